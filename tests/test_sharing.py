"""The card of a finished run and its publication on the hub: what stands in them, and what must not."""

import base64
import json
import pickle
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
import yaml
from conftest import launch
from huggingface_hub import ModelCard

import run_intermediate
import run_retrieval
import run_target
from console import NotPublished, ending_of
from report import card, publish
from run_log import command_line
from task_adapters import TASKS, InputError

QUICK = ("--use_cpu", "--disable_tqdm", "true", "--max_seq_length", "64", "--max_steps", "3", "--effective_batch_size", "8",
         "--max_train_samples", "24", "--max_eval_samples", "12", "--eval_strategy", "no", "--collapse", "off")  # fmt: skip


@pytest.fixture(scope="module")
def runs(tiny_model, data_dir, tmp_path_factory):
    """One finished run of each phase, the last two after the first one."""
    folder = tmp_path_factory.mktemp("shared-runs")
    commands = (
        (run_intermediate, "mnli", tiny_model, (*QUICK, "--seed", "7")),
        (run_target, "xnli", folder / "mnli", (*QUICK, "--languages", "en", "de", "--max_predict_samples", "30")),
        (run_target, "xquad", folder / "mnli", (*QUICK, "--languages", "en", "de")),
        (run_retrieval, "tatoeba", folder / "mnli", ("--use_cpu", "--layer", "1", "--languages", "de")),
    )
    with pytest.MonkeyPatch.context() as patch:
        for script, task, model, flags in commands:
            argv = [f"/home/somebody/{script.__name__}.py", "--task", task, "--model_name_or_path", model, "--data_dir", data_dir, *flags]
            patch.setattr("sys.argv", [*map(str, argv), "--output_dir", str(folder / task)])
            script.main()
    return folder


def text_of(folder) -> str:
    return Path(folder, "README.md").read_text(encoding="utf-8")


def results_of(folder) -> dict:
    return json.loads(Path(folder, "results.json").read_text(encoding="utf-8"))


def table_rows(text: str, title: str) -> list[list[str]]:
    """The cells of the first table after a line, without its head and rule."""
    lines = text[text.index(title) :].splitlines()
    table = [line for line in lines[: next(i for i, line in enumerate(lines) if i > 2 and line.startswith(("#", "**")))] if "|" in line]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[2:]]


# ---- the card


def test_every_finished_run_has_a_card_and_none_says_what_the_trainers_would(runs):
    for task in ("mnli", "xnli", "xquad", "tatoeba"):
        text = text_of(runs / task)
        assert "from scratch" not in text and "unknown dataset" not in text and "generated automatically" not in text
        assert not list((runs / task).glob("*.part"))


def test_the_scores_of_a_card_are_those_of_results_json_with_the_interval_of_the_report(runs):
    results = results_of(runs / "xnli")
    rows = {row[0]: row for row in table_rows(text_of(runs / "xnli"), "**xnli, test data**")}
    assert list(rows) == ["en", "de"]
    for language, (_, accuracy, interval, chance, examples) in rows.items():
        score = results["scores"][language]["accuracy"]
        assert accuracy == f"{score:.2f}" and examples == "30" and chance == "33.3"
        low, high = map(float, interval.split(" to "))
        reach = 1.96 * 100 * (score / 100 * (1 - score / 100) / 30) ** 0.5  # of a binomial share
        assert low < score < high and (high - low) / 2 == pytest.approx(reach, rel=0.1)
    assert "There is no mean, because not exactly the 15 languages of xnli were scored." in text_of(runs / "xnli")


def test_the_interval_of_answers_is_that_of_the_mean_of_both_metrics(runs):
    text, results = text_of(runs / "xquad"), results_of(runs / "xquad")
    assert "mean of exact_match and f1 (95% interval)" in text
    rows = {row[0]: row for row in table_rows(text, "**xquad, test data**")}
    for language, scores in results["scores"].items():
        assert rows[language][3].startswith(f"{(scores['f1'] + scores['exact_match']) / 2:.1f} (")


def test_predictions_that_are_not_those_of_the_score_give_no_interval(runs, tmp_path):
    results = results_of(runs / "xnli")
    results["scores"]["de"]["accuracy"] += 1
    assert set(card.intervals(runs / "xnli", "xnli", results["scores"])) == {"en"}
    assert card.intervals(tmp_path, "xnli", results["scores"]) == {}, "no predictions at all"


def test_a_card_names_every_training_with_its_seed_data_and_licence(runs, tiny_model):
    text, results = text_of(runs / "xnli"), results_of(runs / "xnli")
    steps = table_rows(text, "**Each training, the oldest first**")
    assert [row[:5] for row in steps] == [["1", "mnli", "en", "24", "7"], ["2", "xnli", "en", "24", "42"]]
    first = results["lineage"][0]
    train = next(part for part in first["data"] if part["split"] == "train")
    assert steps[0][-1] == train["content"][:12] and "learning_rate 1e-05" in steps[0][-2] and "effective_batch_size 8" in steps[0][-2]
    assert steps[0][5] == f"accuracy {first['dev']['accuracy']:.1f}"
    assert f"The encoder is {Path(tiny_model).name} (revision {first['model']['revision']}). It was trained on mnli first." in text
    data = {(row[0], row[1]): row for row in table_rows(text, "**Everything that was read**")}
    assert set(data) == {("mnli", "train"), ("mnli", "dev"), ("xnli", "test")}
    assert data["xnli", "test"][2:4] == ["en de", "60"] and data["xnli", "test"][-1] == TASKS["xnli"].licence == "CC BY-NC 4.0"
    assert data["mnli", "train"][-1] == TASKS["mnli"].licence


def test_data_and_model_of_unknown_origin_are_not_passed_off_as_the_hubs(runs):
    metadata = yaml.safe_load(text_of(runs / "xnli").split("---")[1])
    assert "datasets" not in metadata and "base_model" not in metadata and "license" not in metadata
    assert {entry["dataset"]["type"] for entry in metadata["model-index"][0]["results"]} == {"local-files/xnli"}
    assert "whether they are the published rows is not known" in text_of(runs / "xnli")


def hub_results(runs, **more) -> dict:
    """results.json of the run on XNLI, as if encoder and data had come from the hub."""
    results = results_of(runs / "xnli")
    for part in [*results["data"], *results["lineage"][0]["data"]]:
        part["revision"] = "a" * 40
    results["lineage"][0]["model"] |= {"name_or_path": "FacebookAI/xlm-roberta-large", "revision": "c" * 40}
    return results | more


def test_what_came_from_the_hub_is_linked_and_its_scores_are_in_the_model_index(runs):
    results = hub_results(runs)
    loaded = ModelCard(card.card_of(runs / "xnli", results))
    assert loaded.data.base_model == "FacebookAI/xlm-roberta-large" and loaded.data.datasets == ["nyu-mll/glue"]
    assert loaded.data.pipeline_tag == "text-classification" and loaded.data.language == ["en", "de"]
    entries = {entry.dataset_config: entry for entry in loaded.data.eval_results}
    assert set(entries) == {"en", "de"}
    for language, entry in entries.items():
        assert entry.dataset_type == "facebook/xnli" and entry.dataset_revision == "a" * 40 and entry.metric_type == "accuracy"
        assert entry.metric_value == pytest.approx(results["scores"][language]["accuracy"], abs=1e-4)
        assert entry.dataset_name == f"xnli ({language}, the first 30 examples)"
    noisy = card.eval_results({**results, "perturb": "typos:0.5"})
    assert all(entry.dataset_name.endswith("the first 30 examples, perturbed: typos:0.5)") for entry in noisy)


def test_a_card_says_what_was_not_run(runs):
    missing = [language for language in TASKS["xnli"].languages if language not in ("en", "de")]
    text = text_of(runs / "xnli")
    assert f"13 of the 15 languages of xnli were not scored: {', '.join(missing)}." in text
    for said in ("Only 24 training examples of each language were used (--max\\_train\\_samples)", "Only 30 test examples of each",
                 "the files hold 90 rows, not the published 5,010", "This is one seed.", "needs a run without it"):  # fmt: skip
        assert said.replace("\\", "") in text.replace("\\", ""), said
    little = {"warning": "dev accuracy of xnli is 34.0, one answer for all has 33.5"}
    lines = card.not_run(hub_results(runs, failed_tries=[{}, {}], mining={"de": {"threshold_from": "test"}}, training=little))
    for said in ("2 attempts with other seeds failed", "gold that is scored", f"it learned little: {little['warning']}."):
        assert any(said in line for line in lines), said


def test_a_whole_set_of_languages_has_its_mean(runs):
    scores = {language: {"accuracy": 50.0 + place, "examples": 4} for place, language in enumerate(TASKS["xnli"].languages)}
    text = card.card_of(Path("no/predictions"), hub_results(runs, scores=scores, mean={"accuracy": 57.0}, xtreme_score=57.0))
    assert table_rows(text, "**xnli, test data**")[-1][:2] == ["mean", "57.00"] and "XTREME's score of this task is 57.00" in text
    assert "were not scored" not in text and "interval" not in text


def test_the_card_of_an_intermediate_run_has_english_dev_scores_and_that_of_retrieval_promises_no_model(runs):
    dev = results_of(runs / "mnli")["dev"]
    assert table_rows(text_of(runs / "mnli"), "**mnli, English dev set**") == [["en", f"{dev['accuracy']:.2f}", "12"]]
    text = text_of(runs / "tatoeba")
    assert (
        "This folder holds no model: the encoder was scored" in text
        and "from_pretrained" not in text
        and "library_name" not in text.split("---")[1]
    )
    assert table_rows(text, "**Each training")[0][1] == "mnli", "the trainings of its model"


def test_a_run_that_only_scored_a_finished_model_promises_no_training_and_no_model(runs, tmp_path):
    results = hub_results(runs)
    results["data"] = [part for part in results["data"] if part["split"] == "test"]
    text = card.card_of(runs / "xnli", results)
    assert "This folder holds no model: the model, with the head that it had, was scored on **xnli**" in text
    assert [row[1] for row in table_rows(text, "**Each training")] == ["mnli"] and "This is one seed" not in text
    assert "from_pretrained" not in text and "library_name" not in text.split("---")[1]
    with pytest.raises(NotPublished, match="it holds no model"):
        publish.publish(tmp_path, "group/name", "hf_secret", None, predictions=False)


def test_a_model_that_is_scored_as_it_is_has_a_card_too(runs, call, data_dir, tmp_path, capsys):
    flags = (
        "--task",
        "xnli",
        "--do_train",
        "false",
        "--languages",
        "de",
        "--max_predict_samples",
        "30",
        "--data_dir",
        data_dir,
        "--use_cpu",
    )
    call(run_target, *flags, "--model_name_or_path", runs / "xnli", "--perturb", "typos:0.1", "--output_dir", tmp_path)
    text = (tmp_path / card.CARD).read_text(encoding="utf-8")
    assert "This folder holds no model" in text and "earlier version" not in "".join(capsys.readouterr())
    assert len(ModelCard(text).data.eval_results or []) == 1 and "perturbed: typos:0.1" in text.split("---")[1]
    assert "The test text was perturbed (--perturb typos:0.1)" in text.replace("\\", "")


def test_several_tasks_and_masked_lm_are_named_in_the_card(runs):
    results = results_of(runs / "mnli")
    text_part = {"task": "masked_lm", "language": "de", "files": "/secret/place/de.txt", "revision": None, "rows": 9, "content": "ab" * 9}
    wiki = {**text_part, "language": "sw", "files": "wikimedia/wikipedia/20231101.sw/train.parquet", "revision": "f" * 40}
    several = {**results, "task": ["mnli", "squad_v1"], "mlm_share": 0.5, "data": [*results["data"], text_part, wiki],
               "dev": {"mnli": {"accuracy": 50.0, "examples": 4}, "squad_v1": {"f1": 20.0, "examples": 4}}}  # fmt: skip
    text = card.card_of(runs / "mnli", several)
    assert "AutoModel.from_pretrained" in text and "heads" in text and "feature-extraction" in text.split("---")[1]
    assert table_rows(text, "**Each training")[0][1:3] == ["mnli+squad_v1 and masked LM", "en"]
    assert "mnli: accuracy 50.0, squad_v1: f1 20.0" in text.replace("\\", "")
    licences = {row[2]: row[-1] for row in table_rows(text, "**Everything that was read**") if row[0].startswith("masked")}
    assert licences == {"de": "not known here", "sw": "CC BY-SA 4.0 and GFDL"} and "/secret/place" not in text


HOSTILE = "<script>x</script> | [a](javascript:1) ``` \n# fake\n---\nx: 1\x1b[31m\u202e"


def test_hostile_names_are_escaped_in_the_card_and_in_its_metadata(runs):
    results = hub_results(runs, command=f"python run_target.py --task {HOSTILE}", device=HOSTILE)
    results["lineage"][0]["model"] |= {"name_or_path": HOSTILE, "revision": f"sha256:{HOSTILE}"}
    results["data"][0] |= {"hub_id": HOSTILE, "dropped": {HOSTILE: 3}}
    text = card.card_of(runs / "xnli", results)
    loaded = ModelCard(text)
    assert "\x1b" not in text and "\u202e" not in text and "\n# fake" not in text and loaded.data.model_name
    assert len(loaded.data.eval_results) == 2 and "x" not in loaded.data.to_dict()
    body = text[text.index("# ") :]
    outside = re.sub(r"(`{3,})bash\n.*?\n\1", "", body, flags=re.S)
    assert "<script>" not in outside and not re.search(r"(?<!\\)\]\(javascript", outside)


def test_an_own_page_in_the_folder_stays_and_a_line_says_so(runs, capsys, tmp_path):
    own = tmp_path / "README.md"
    own.write_text("# my notes\n")
    (tmp_path / "results.json").write_text(json.dumps(results_of(runs / "xnli")))
    card.write_card(tmp_path)
    assert own.read_text() == "# my notes\n" and "README.md is not from a run: it stays" in capsys.readouterr().out


def test_a_new_run_replaces_the_card_of_another_and_a_folder_that_cannot_be_written_is_no_error(runs, capsys, tmp_path, monkeypatch):
    (tmp_path / "README.md").write_text(f"{card.CARD_MARK} an old run")
    results = results_of(runs / "xnli")
    (tmp_path / "results.json").write_text(json.dumps(results))
    publish.share(tmp_path, None, is_new=False)
    assert "an old run" in text_of(tmp_path)
    publish.share(tmp_path, None, is_new=True)
    assert "## Scores" in text_of(tmp_path)
    (tmp_path / "README.md").unlink()
    (tmp_path / "results.json").write_text(json.dumps({name: value for name, value in results.items() if name != "versions"}))
    publish.share(tmp_path, None, is_new=False)
    assert "results.json is of an earlier version: versions is missing" in capsys.readouterr().out
    monkeypatch.setattr(card.os, "replace", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    (tmp_path / "results.json").write_text(json.dumps(results))
    publish.share(tmp_path, None, is_new=False)
    assert "README.md was not written (Permission denied)" in capsys.readouterr().out and not (tmp_path / "README.md").exists()


def test_a_card_that_is_missing_is_written_by_the_skipped_run_and_an_edited_one_stays(runs, call, data_dir, capsys):
    folder = runs / "mnli-again"
    flags = ("--task", "mnli", "--model_name_or_path", results_of(runs / "mnli")["model"]["name_or_path"], "--data_dir", data_dir, *QUICK)
    call(run_intermediate, *flags, "--output_dir", folder)
    (folder / "README.md").unlink()
    call(run_intermediate, *flags, "--output_dir", folder)
    assert "is finished: skipped" in capsys.readouterr().out and "## Scores" in text_of(folder)
    (folder / "README.md").write_text(text_of(folder) + "edited\n")
    call(run_intermediate, *flags, "--output_dir", folder)
    assert text_of(folder).endswith("edited\n")
    call(run_intermediate, *flags, "--output_dir", folder, "--overwrite")
    assert not text_of(folder).endswith("edited\n"), "the run was redone"


def test_overwrite_removes_the_card_of_the_old_run_before_the_new_one_is_trained(runs, call, data_dir, cut, tmp_path):
    from conftest import Cut

    flags = ("--task", "mnli", "--model_name_or_path", results_of(runs / "mnli")["model"]["name_or_path"], "--data_dir", data_dir, *QUICK)
    call(run_intermediate, *flags, "--output_dir", tmp_path)
    import trainer.loop

    restore = cut(trainer.loop, "run_trainer")
    with pytest.raises(Cut):
        call(run_intermediate, *flags, "--output_dir", tmp_path, "--overwrite")
    restore()
    assert not (tmp_path / "README.md").exists()


# ---- the command


@pytest.mark.parametrize("words, said", [
    (["/a/b/run_target.py", "--task", "xnli"], "python run_target.py --task xnli"),
    (["run_target.py", "--run_name", "a b"], "python run_target.py --run_name 'a b'"),
    (["run_target.py", "--hub_token", "hf_secret", "--task", "xnli"], "python run_target.py --hub_token HIDDEN --task xnli"),
    (["run_target.py", "--hub-token=hf_secret"], "python run_target.py --hub-token=HIDDEN"),
    (["run_target.py", "--hub_token=hf_secret"], "python run_target.py --hub_token=HIDDEN"),
    (["run_target.py"], "python run_target.py"),
])  # fmt: skip
def test_the_command_is_kept_as_typed_without_the_token(words, said):
    assert command_line(words) == said


def test_the_card_holds_the_command_of_the_run(runs):
    assert "python run_target.py --task xnli --model_name_or_path" in text_of(runs / "xnli")
    assert "/home/somebody/" not in text_of(runs / "xnli"), "the folder of the script says nothing about the run"


# ---- the hub


class Hub(ThreadingHTTPServer):
    """Takes commits as the hub does. refuse: an HTTP status with which commits are answered; private: of repositories that are there."""

    daemon_threads = True

    def __init__(self, refuse=None, private=False):
        super().__init__(("127.0.0.1", 0), Handler)
        self.refuse, self.private, self.files, self.repos, self.tokens = refuse, private, {}, [], set()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    def reply(self, code, value):
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        name = self.path.removeprefix("/api/models/").partition("/revision")[0]
        self.reply(200, {"_id": "0" * 24, "id": name, "sha": "1" * 40, "private": self.server.private, "siblings": [], "tags": []})

    def do_POST(self):
        hub, body = self.server, self.rfile.read(int(self.headers.get("Content-Length") or 0))
        hub.tokens.add(self.headers.get("Authorization"))
        if self.path == "/api/repos/create":
            hub.repos.append(json.loads(body))
            owner, name = hub.repos[-1].get("organization"), hub.repos[-1]["name"]
            return self.reply(200, {"url": f"{hub.url}/{owner}/{name}", "name": f"{owner}/{name}"})
        if self.path == "/api/validate-yaml":
            return self.reply(200, {"warnings": [], "errors": []})
        if "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(body)["files"]]
            return self.reply(200, {"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]})
        if "/commit/" in self.path:
            if hub.refuse:
                return self.reply(hub.refuse, {"error": "You may not write here"})
            for line in filter(None, body.decode().splitlines()):
                entry = json.loads(line)
                if entry["key"] == "file":
                    hub.files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            return self.reply(
                200,
                {
                    "commitUrl": f"{hub.url}{self.path.removeprefix('/api/models').partition('/commit')[0]}/commit/{'1' * 40}",
                    "commitOid": "1" * 40,
                    "hookOutput": "",
                },
            )
        self.reply(404, {"error": self.path})

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(monkeypatch, request):
    with Hub(**getattr(request, "param", {})) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server.url)
        yield server
        server.shutdown()


PUSH = ("--push_to_hub", "--hub_model_id", "group/mnli-test", "--hub_token", "hf_secret")


def push_flags(runs, data_dir):
    model = results_of(runs / "mnli")["model"]["name_or_path"]
    return ("--task", "mnli", "--model_name_or_path", model, "--data_dir", data_dir, *QUICK, "--seed", "7")


def test_a_finished_run_is_published_whole_and_nothing_else(runs, call, data_dir, hub, tmp_path, capsys):
    call(run_intermediate, *push_flags(runs, data_dir), *PUSH, "--output_dir", tmp_path)
    names = set(hub.files)
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} == names
    for name in names:
        assert hub.files[name] == (tmp_path / name).read_bytes()
    assert hub.tokens == {"Bearer hf_secret"} and hub.repos[0]["name"] == "mnli-test" and hub.repos[0]["organization"] == "group"
    assert "published as group/mnli-test: 5 files" in capsys.readouterr().out
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert b"hf_secret" not in path.read_bytes(), f"{path} holds the token"


def test_predictions_are_published_on_request_without_gold(runs, call, data_dir, hub):
    flags = ("--task", "xnli", "--model_name_or_path", runs / "mnli", "--data_dir", data_dir, *QUICK, "--languages", "en", "de")
    call(run_target, *flags, "--max_predict_samples", 30, "--output_dir", runs / "xnli", *PUSH, "--push_predictions")
    added = set(hub.files) - {"README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert added == {"results.json", "predictions/xnli/test-en.tsv", "predictions/xnli/test-de.tsv"}
    assert hub.files["README.md"] == (runs / "xnli/README.md").read_bytes()


def test_runs_below_a_run_are_not_published_with_it(runs, hub, tmp_path):
    import shutil

    shutil.copytree(runs / "mnli", tmp_path / "mnli")
    shutil.copytree(runs / "xnli", tmp_path / "mnli/xnli")
    publish.publish(tmp_path / "mnli", "group/name", "hf_secret", None, predictions=True)
    assert not [name for name in hub.files if name.startswith("xnli")] and "results.json" in hub.files


@pytest.mark.parametrize("hub", [{"refuse": 403}], indirect=True)
def test_a_hub_that_refuses_is_one_line_and_the_run_stays_finished(runs, call, data_dir, hub, tmp_path):
    with pytest.raises(NotPublished) as error:
        call(run_intermediate, *push_flags(runs, data_dir), *PUSH, "--output_dir", tmp_path)
    line, code = ending_of(error.value)
    assert "is finished, but not published: " in line and "403" in line and "Run the same command again" in line and "\n" not in line
    assert code == 1 and "hf_secret" not in line
    assert results_of(tmp_path)["dev"] and (tmp_path / "README.md").is_file()
    hub.refuse = None
    call(run_intermediate, *push_flags(runs, data_dir), *PUSH, "--output_dir", tmp_path)
    assert "model.safetensors" in hub.files, "the finished run is published by the same command"


def test_offline_is_one_line_on_stderr_with_exit_code_1(runs, data_dir):
    process = launch("run_intermediate.py", *push_flags(runs, data_dir), *PUSH, "--output_dir", runs / "mnli", expect=1, HF_HUB_OFFLINE="1")
    assert process.stderr.count("\n") == 1 and "is finished, but not published: " in process.stderr and "offline" in process.stderr.lower()


@pytest.mark.parametrize("hub", [{"private": False}, {"private": True}], indirect=True)
def test_a_private_model_is_never_put_into_a_public_repository(runs, hub):
    if hub.private:
        publish.publish(runs / "mnli", "group/name", "hf_secret", True, predictions=False)
        assert hub.files and hub.repos[0]["visibility" if "visibility" in hub.repos[0] else "private"] in (True, "private")
        return
    with pytest.raises(NotPublished, match="is there already and is public"):
        publish.publish(runs / "mnli", "group/name", "hf_secret", True, predictions=False)
    assert not hub.files


def test_the_first_of_two_stages_is_not_published():
    from trainer.stages import flags_of_first_stage

    words = ["--task", "xcopa", *PUSH, "--hub_private_repo", "true", "--push_predictions", "--seed", "3"]
    assert flags_of_first_stage(words) == ["--seed", "3"]


@pytest.mark.parametrize("flags, message", [
    ("--push_to_hub", "--push_to_hub needs the name that the model is to have: --hub_model_id OWNER/NAME."),
    ("--push_to_hub --hub_model_id name --hub_token x", "--push_to_hub needs the name"),
    ("--push_to_hub --hub_model_id a/b..c --hub_token x", "--hub_model_id a/b..c: "),
    ("--push_to_hub --hub_model_id a/b", "--push_to_hub needs a token of the hub that may write"),
    ("--hub_model_id a/b", "--hub_model_id has no effect without --push_to_hub."),
    ("--hub_token x", "--hub_token has no effect without --push_to_hub."),
    ("--hub_private_repo true", "--hub_private_repo has no effect without --push_to_hub."),
    ("--push_predictions", "--push_predictions has no effect without --push_to_hub."),
    ("--hub_strategy end", "--hub_strategy has no effect: --push_to_hub publishes the finished model once"),
    ("--hub_revision x", "--hub_revision has no effect: --push_to_hub publishes"),
])  # fmt: skip
def test_a_publication_that_cannot_be_is_refused_before_anything_is_read(flags, message, call, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(InputError) as error:
        call(run_target, "--task", "xnli", "--model_name_or_path", tmp_path / "none", "--output_dir", tmp_path / "out", *flags.split())
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_the_trainer_knows_nothing_of_the_publication(runs):
    """Else it would make a repository before training, push checkpoints, and write its own card."""
    arguments = torch.load(runs / "mnli/training_args.bin", weights_only=False)
    assert not arguments.push_to_hub and arguments.hub_token is None
    assert b"hf_" not in pickle.dumps(arguments.to_dict())
