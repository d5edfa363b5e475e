"""Languages and test sets of one's own: --test_file, --dev_file, languages that only --data_dir has; translate-test; two encoders."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from conftest import NLI, UPOS, nli_rows, qa_rows, tag_rows, text, write_hub_folder
from datasets import ClassLabel, Features, Value

import run_report
import run_retrieval
import run_target
from predictions import score_folders
from report import tables
from report.analysis import Analysis
from report.calibration import read_probabilities
from report.collect import collect
from task_adapters import TASKS, InputError, find_own_files, find_train_languages, load_examples, with_own_data

STRING = Value("string")
NLI_COLUMNS = Features({"premise": STRING, "hypothesis": STRING, "label": ClassLabel(names=NLI)})
FAST = ("--learning_rate", "2e-3", "--effective_batch_size", "16", "--per_device_train_batch_size", "16", "--use_cpu",
        "--disable_tqdm", "true", "--max_seq_length", "64", "--max_steps", "2", "--eval_strategy", "no",
        "--max_eval_samples", "8")  # fmt: skip


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_tsv(path, header, rows):
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in (header, *rows)), encoding="utf-8")
    return path


def own_nli(path, language="de", count=30, seed=7):
    rows = nli_rows(random.Random(seed), language, count)
    return write_tsv(path, ("premise", "hypothesis", "label"), [(r["premise"], r["hypothesis"], NLI[r["label"]]) for r in rows])


@pytest.fixture
def target(call, tiny_model, data_dir, tmp_path):
    """target(task, flags ...): run_target.py on the tiny model, two updates, into tmp_path/out. -> what stands in results.json"""

    def run(task, *flags, model=tiny_model, output_dir=tmp_path / "out", data=data_dir):
        where = ("--model_name_or_path", model, "--data_dir", data, "--output_dir", output_dir)
        return call(run_target, "--task", task, *where, *FAST, *flags)

    return run


def stored(folder):
    return json.loads((Path(folder) / "results.json").read_text(encoding="utf-8"))


# ---- test files of every kind of task


def test_a_language_of_ones_own_joins_those_that_are_scored(target, tmp_path, capsys):
    results = target("xnli", "--languages", "de", "--test_file", f"ig={own_nli(tmp_path / 'my.tsv')}")
    assert list(results["scores"]) == ["de", "ig"] and results["scores"]["ig"]["examples"] == 30
    assert results["mean_over"] == ["de", "ig"] and results["xtreme_score"] is None
    accuracies = [score["accuracy"] for score in results["scores"].values()]
    assert results["mean"]["accuracy"] == pytest.approx(sum(accuracies) / 2)
    printed = capsys.readouterr().out
    assert f"mean      {sum(accuracies) / 2:>10.2f}" in printed
    assert "the mean is over de, ig: what was scored, not xnli's own test sets (own data: ig)" in printed
    assert f"xnli ig test: 30 examples from {tmp_path / 'my.tsv'} (tsv)" in printed
    (part,) = [part for part in results["data"] if part["language"] == "ig"]
    assert results["own_data"] == {"ig": part["content"]} and part["bytes"] == (tmp_path / "my.tsv").stat().st_size
    assert part["revision"].startswith("sha256 ") and stored(tmp_path / "out")["own_data"] == results["own_data"]


def test_predictions_and_probabilities_of_an_own_language_are_read_again(target, tmp_path):
    results = target("xnli", "--languages", "en", "--test_file", f"ig={own_nli(tmp_path / 'my.tsv')}")
    scored = score_folders(tmp_path / "out" / "predictions", tmp_path / "out" / "labels")["xnli"]
    assert scored["languages"]["ig"] == {"accuracy": results["scores"]["ig"]["accuracy"]} and scored["score"] is None
    judged = read_probabilities(tmp_path / "out", "xnli", "ig")
    assert np.mean(judged.right) * 100 == pytest.approx(results["scores"]["ig"]["accuracy"])
    analysis = Analysis(collect([tmp_path]))
    assert not analysis.problems
    (column,) = analysis.columns
    assert column.languages == ["en", "ig"] and column.groups["family", "unknown"] == ["ig"] and column.has_intervals
    notes = tables.summary(analysis).notes
    assert "Own data: xnli (ig). They are part of the mean, and of no average of XTREME." in notes
    assert any(table.name == "languages_xnli" and "ig" in table.head for table in tables.all_tables(analysis))


def rows_of_kind(task):
    rng = random.Random(3)
    if task == "udpos":
        return [{"tokens": row["tokens"], "pos_tags": [UPOS[tag] for tag in row["pos_tags"]]} for row in tag_rows(rng, "de", 20)]
    if task == "xcopa":
        return [{"premise": text(rng, "de"), "choice1": "a", "choice2": "b", "question": "cause", "label": i % 2} for i in range(20)]
    if task == "sib200":
        return [{"text": text(rng, "de"), "category": ("sports", "travel")[i % 2]} for i in range(20)]
    if task == "pawsx":
        return [{"sentence1": text(rng, "de"), "sentence2": text(rng, "de"), "label": i % 2} for i in range(20)]
    if task == "panx":
        return [{"tokens": row["tokens"], "ner_tags": ["B-LOC", *["O"] * 6]} for row in tag_rows(rng, "de", 20)]
    if task == "belebele":
        return [{"flores_passage": text(rng, "de"), "question": "?", **{f"mc_answer{n}": f"{n}" for n in range(1, 5)},
                 "correct_answer_num": str(i % 4 + 1)} for i in range(20)]  # fmt: skip
    if task in ("xquad", "mlqa", "tydiqa"):
        return qa_rows(rng, "de", 20)
    return [{**row, "label": NLI[row["label"]]} for row in nli_rows(rng, "de", 20)]


TARGETS = [name for name, task in TASKS.items() if task.phase == "target" and not task.protocol]


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_reads_a_test_file_in_its_own_columns(name, tmp_path):
    language = "hi" if name == "mlqa" else "ig"
    file = write_jsonl(tmp_path / "my.jsonl", rows_of_kind(name))
    task = with_own_data(TASKS[name], find_own_files("test_file", [f"{language}={file}"]))
    examples, provenance = load_examples(task, "test", language, "nowhere")
    assert len(examples) == 20 and provenance["hub_id"] == str(file) and "language" not in examples.column_names
    assert task.own == (language,) and language in task.languages and set(TASKS[name].languages) <= set(task.languages)
    assert task.languages_with("dev") == TASKS[name].languages_with("dev"), "a test file brings no dev data"


@pytest.mark.parametrize("task, metric", [("udpos", "f1"), ("xquad", "f1")])
def test_tags_and_answers_of_an_own_language_are_scored(task, metric, target, tmp_path):
    file = write_jsonl(tmp_path / "my.jsonl", rows_of_kind(task))
    results = target(task, "--languages", "en", "--test_file", f"ig={file}")
    again = score_folders(tmp_path / "out" / "predictions", tmp_path / "out" / "labels")[task]
    assert again["languages"]["ig"][metric] == pytest.approx(results["scores"]["ig"][metric]) and again["score"] is None


def test_a_file_of_one_of_the_tasks_languages_takes_the_place_of_its_test_set(target, tmp_path):
    results = target("xnli", "--languages", "en", "de", "--test_file", f"de={own_nli(tmp_path / 'my.tsv', count=21)}")
    assert list(results["scores"]) == ["en", "de"] and results["scores"]["de"]["examples"] == 21
    assert list(results["own_data"]) == ["de"]


def test_without_languages_all_of_the_task_are_scored_beside_the_file(target, tmp_path):
    with pytest.raises(InputError, match="facebook/xnli holds no split 'test' of configuration 'ar'.*are there: --languages de en ig$"):
        target("xnli", "--test_file", f"ig={own_nli(tmp_path / 'my.tsv')}")


def test_no_score_of_xtreme_is_made_with_own_data():
    from results import mean_over_languages, score_table, xtreme_scores

    for language in ("de", "ig"):  # in the place of a test set, and beside all of them
        own = {"own": (language,), "languages": tuple(dict.fromkeys((*TASKS["xnli"].languages, language)))}
        task = type(TASKS["xnli"])(**{**vars(TASKS["xnli"]), **own})
        scores = {name: {"accuracy": 50.0, "examples": 4} for name in task.languages}
        assert mean_over_languages(task, scores) == {"accuracy": 50.0}
        assert set(xtreme_scores(task, scores, None, True).values()) == {None}
        assert set(xtreme_scores(task, scores, "xtreme-r", True).values()) == {None}
        assert f"(own data: {language})" in score_table(task, scores)
    assert xtreme_scores(TASKS["xnli"], {name: {"accuracy": 50.0} for name in TASKS["xnli"].languages}, None, True) == {
        "xtreme_score": 50.0
    }


# ---- mistakes

PAIR = "premise\thypothesis\tlabel\np\th\tneutral\n"


@pytest.mark.parametrize("name, content, flag, message", [
    ("a.tsv", PAIR + "p\th\tnope\n", "ig={}", "a.tsv, line 3: label 'nope' is not one of contradiction, entailment, neutral"),
    ("a.tsv", "premise\tlabel\np\tneutral\n", "ig={}", "a.tsv, line 2: no column 'hypothesis'. It has: premise, label; xnli needs"
     " the columns of facebook/xnli or text_a, text_b, label"),
    ("a.tsv", "p\th\tneutral\np\th\tnope\n", "ig={}", "a.tsv, line 2: 'p\\th\\tnope' is not a pair of sentences and a label (contradiction,"
     " entailment, neutral)"),
    ("a.tsv", "", "ig={}", "--test_file ig=…a.tsv is empty"),
    ("a.tsv", "premise\thypothesis\tlabel\n", "ig={}", "a.tsv holds no rows"),
    ("a.tsv", PAIR, "{}", "--test_file …a.tsv: which language? Write --test_file LANG="),
    ("a.tsv", PAIR, "Igbo={}", "'Igbo' is no language code, such as ig or ibo_Latn"),
    ("a.tsv", PAIR, "ig={} ig={}", "--test_file names 'ig' 2 times"),
    ("a.tsv", PAIR, "ig={} yo={}", "the same rows are given twice"),
    ("a.tsv", PAIR, "ig=nowhere.tsv", "--test_file ig=nowhere.tsv: there is no file nowhere.tsv"),
    ("a.doc", PAIR, "ig={}", "'.doc' is no known kind"),
    ("a.jsonl", '{"premise": "p", "hypothesis": "h", "label": "neutral", "language": "yo"}\n', "ig={}",
     "a.jsonl, line 1: language 'yo', where ig should stand"),
    ("a.tsv", "premise\thypothesis\tlabel\n" + "p\th\tneutral\n" * 21, "ig={}", "every label is 'neutral', a placeholder"),
])  # fmt: skip
def test_a_mistake_in_a_test_file_ends_in_one_line_before_training(name, content, flag, message, target, tmp_path):
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as refused:
        target("xnli", "--languages", "en", "--test_file", *flag.replace("{}", str(file)).split())
    assert all(part in str(refused.value) for part in message.split("…")), refused.value
    assert "\n" not in str(refused.value) and not list(tmp_path.glob("out/results.json")) and not list(tmp_path.glob("out/checkpoint-*"))


@pytest.mark.parametrize("script, task, message", [
    (run_target, "mlqa", "mlqa's metric removes the articles of a language, and has none for 'ig'. --task xquad trains on the same data"),
    (run_retrieval, "bucc", "bucc is mined from two sets of sentences.*DIR/bucc2018/ig-en/ig-en.training.{ig,en,gold}, and add"
     " --languages ig"),
    (run_retrieval, "lareqa", "lareqa ranks the candidates of all its languages together"),
])  # fmt: skip
def test_tasks_that_no_test_file_can_be_scored_for_say_so(script, task, message, call, tmp_path):
    with pytest.raises(InputError, match=message):
        call(script, "--task", task, "--test_file", f"ig={own_nli(tmp_path / 'a.tsv')}", "--output_dir", tmp_path / "out")


def test_a_language_without_any_data_is_refused_with_the_way_to_bring_some(target):
    with pytest.raises(InputError, match="xnli has no 'ig' data.* A file of your own: --test_file ig=FILE"):
        target("xnli", "--languages", "ig")


# ---- going on


def test_a_finished_run_is_skipped_with_the_same_file_and_refused_with_another(target, tmp_path, capsys):
    file = own_nli(tmp_path / "my.tsv")
    flags = ("--languages", "en", "--test_file", f"ig={file}")
    first = target("xnli", *flags)
    assert first["test_file"] == [f"ig={file} (sha256 {first['data'][-1]['revision'][7:23]})"]
    assert target("xnli", *flags) == first and "is finished: skipped" in capsys.readouterr().out
    own_nli(file, seed=8)
    with pytest.raises(InputError, match="holds a run with test_file"):
        target("xnli", *flags)
    with pytest.raises(InputError, match="holds a run with (languages|test_file)"):
        target("xnli", "--languages", "en")


# ---- dev files


def test_dev_files_choose_the_checkpoint_where_the_task_has_no_dev_data(target, tmp_path):
    dev, test = (write_jsonl(tmp_path / f"{name}.jsonl", qa_rows(random.Random(name), "de", 12, name)) for name in ("dev", "test"))
    flags = ("--languages", "en", "--test_file", f"ig={test}", "--eval_strategy", "steps", "--select_on", "target")
    with pytest.raises(InputError, match="xquad has no dev data in ig"):
        target("xquad", *flags)
    results = target("xquad", *flags, "--dev_file", f"ig={dev}")
    assert results["selected_on"] == {"dev": "target", "languages": ["ig"]}
    assert [part["hub_id"] for part in results["data"] if part["split"] == "dev"] == ["rajpurkar/squad", str(dev)]


def test_an_english_dev_file_takes_the_place_of_english_dev(target, tmp_path):
    file = own_nli(tmp_path / "dev.tsv", "en", count=6)
    results = target("xnli", "--languages", "de", "--dev_file", f"en={file}")
    assert [part["hub_id"] for part in results["data"] if part["split"] == "dev"] == [str(file)] and results["dev"]["examples"] == 6
    assert "own_data" not in results and results["mean"] is None, "the test data are the benchmark's"
    own_nli(file, "en", count=6, seed=9)
    with pytest.raises(InputError, match="holds a run with dev_file"):
        target("xnli", "--languages", "de", "--dev_file", f"en={file}")


@pytest.mark.parametrize("flags, message", [
    (("--dev_file", "de={dev}"), "--dev_file de=.* is read with --select_on target, --select_on mean or --oracle alone"),
    (("--dev_file", "ig={dev}", "--select_on", "mean"), "--dev_file ig=.*: 'ig' is not scored"),
    (("--dev_file", "ig={test}", "--test_file", "ig={test}"), "choosing by it would be choosing by the test"),
    (("--dev_file", "en={dev}", "en={dev}"), "--dev_file names 'en' 2 times"),
])  # fmt: skip
def test_dev_files_that_would_have_no_effect_are_refused(flags, message, target, tmp_path):
    files = {name: own_nli(tmp_path / f"{name}.tsv", seed=name) for name in ("dev", "test")}
    with pytest.raises(InputError, match=message):
        target("xnli", "--languages", "en", "de", *(flag.format(**files) for flag in flags))


# ---- languages below --data_dir


def test_a_language_that_only_data_dir_has_is_found_there(target, data_dir, tmp_path):
    import shutil

    root = tmp_path / "data"
    shutil.copytree(data_dir, root)
    write_hub_folder(root, "facebook/xnli", "ig", "test", nli_rows(random.Random(4), "de", 24), NLI_COLUMNS)
    results = target("xnli", "--languages", "en", "ig", data=str(root))
    assert results["scores"]["ig"]["examples"] == 24 and list(results["own_data"]) == ["ig"] and results["mean_over"] == ["en", "ig"]


@pytest.mark.parametrize("task, path", [
    ("udpos", "google/xtreme/udpos.ig/test.jsonl"), ("panx", "google/xtreme/PAN-X.ig/test.jsonl"),
    ("sib200", "Davlan/sib200/data/xx/test.jsonl"),
    ("belebele", "facebook/belebele/data/xx.jsonl"), ("xquad", "google/xquad/xquad.ig/validation.jsonl"),
    ("tatoeba", "google/xtreme/tatoeba.ig/validation.jsonl"), ("xcopa", "cambridgeltl/xcopa/ig/test.jsonl"),
    ("pawsx", "google-research-datasets/paws-x/ig/test_2k.jsonl"),
])  # fmt: skip
def test_where_the_layout_has_a_place_for_a_language_it_is_found(task, path, tmp_path):
    language = "xx" if "xx" in path else "ig"
    (tmp_path / path).parent.mkdir(parents=True)
    rows = [{"source_sentence": f"a {i}", "target_sentence": f"b {i}"} for i in range(5)] if task == "tatoeba" else rows_of_kind(task)
    write_jsonl(tmp_path / path, rows)
    found = with_own_data(TASKS[task], languages=[language], data_dir=str(tmp_path))
    assert found.own == (language,) and len(load_examples(found, "test", language, str(tmp_path))[0]) == len(rows)
    assert with_own_data(TASKS[task], languages=["qq"], data_dir=str(tmp_path)) is TASKS[task]


def test_dev_and_training_data_beside_a_found_language_are_found_too(tmp_path):
    for split in ("train", "validation", "test"):
        (tmp_path / "facebook/xnli/ig").mkdir(parents=True, exist_ok=True)
        write_jsonl(tmp_path / f"facebook/xnli/ig/{split}.jsonl", rows_of_kind("xnli"))
    found = with_own_data(TASKS["xnli"], languages=["ig"], data_dir=str(tmp_path))
    assert "ig" in found.languages_with("dev") and find_train_languages(found, ["ig"], []) == ["ig"]
    assert all(len(load_examples(found, split, "ig", str(tmp_path))[0]) == 20 for split in ("train", "dev", "test"))


def test_tydiqa_has_no_place_for_a_language_in_its_one_table(tmp_path):
    table = tmp_path / "google-research-datasets/tydiqa/secondary_task/validation.jsonl"
    table.parent.mkdir(parents=True)
    write_jsonl(table, qa_rows(random.Random(1), "de", 3))
    assert with_own_data(TASKS["tydiqa"], languages=["ig"], data_dir=str(tmp_path)) is TASKS["tydiqa"]


# ---- pairs


@pytest.fixture
def retrieve(call, tiny_model, data_dir, tmp_path):
    def run(task, *flags, data=data_dir):
        where = ("--data_dir", data, "--output_dir", tmp_path / "out", "--model_name_or_path", tiny_model, "--use_cpu")
        return call(run_retrieval, "--task", task, *where, "--layer", 1, "--max_seq_length", 64, *flags)

    return run


def test_pairs_of_an_own_language_are_retrieved(retrieve, tmp_path, capsys):
    rng = random.Random(2)
    pairs = [(text(rng, "de"), f"{text(rng, 'en')} {i}") for i in range(12)]
    file = write_tsv(tmp_path / "pairs.tsv", ("source", "target"), pairs)
    results = retrieve("tatoeba", "--languages", "de", "--test_file", f"ig={file}")
    assert list(results["scores"]) == ["de", "ig"] and results["scores"]["ig"]["examples"] == 12
    assert results["mean_over"] == ["de", "ig"] and list(results["own_data"]) == ["ig"] and results["xtreme_score"] is None
    assert "the mean is over de, ig" in capsys.readouterr().out
    assert "ig" in score_folders(tmp_path / "out" / "predictions", tmp_path / "out" / "labels")["tatoeba"]["languages"]
    write_tsv(file, ("source", "target"), pairs[1:])
    with pytest.raises(InputError, match="holds a run with test_file"):
        retrieve("tatoeba", "--languages", "de", "--test_file", f"ig={file}")


def test_pairs_without_a_header_are_refused_with_the_columns_that_are_needed(retrieve, tmp_path):
    file = write_tsv(tmp_path / "pairs.tsv", ("Guten Tag", "Good day"), [("Ja", "Yes")])
    with pytest.raises(InputError, match="pairs.tsv, line 2: no column .*It has: Guten Tag, Good day; tatoeba needs.* source, target"):
        retrieve("tatoeba", "--languages", "de", "--test_file", f"ig={file}")


def test_bucc_mines_a_language_whose_three_files_lie_below_data_dir(retrieve, tmp_path):
    from test_retrieval import planted, write_bucc

    source, target_side, gold = planted("ig", 40, seed="ig")
    write_bucc(tmp_path / "data", "training", "ig", source, target_side, gold)
    results = retrieve("bucc", "--languages", "ig", data=str(tmp_path / "data"))
    assert results["scores"]["ig"]["f1"] > 50 and list(results["own_data"]) == ["ig"] and results["xtreme_score"] is None


# ---- several encoders in one table


def test_two_encoders_and_two_starts_are_four_rows_and_differences_stay_within_an_encoder(tmp_path, capsys):
    """Real settings differ between encoders (length, rate, layer): that must not keep the runs out of one table."""
    from test_report import after, write_scored_run

    gold = ["entailment", "neutral", "contradiction", "neutral"] * 6
    right = {("a", "baseline"): 12, ("a", "mnli"): 18, ("b", "baseline"): 6, ("b", "mnli"): 9}
    for (model, start), count in right.items():
        named = {"model": {"name_or_path": f"org/{model}", "revision": model * 40}}
        lineage = after("mnli", 1, **named, max_seq_length=64) if start == "mnli" else []
        said = [label if place < count else "wrong" for place, label in enumerate(gold)]
        answers = {language: (gold, ["neutral" if word == "wrong" else word for word in said]) for language in ("en", "de")}
        settings = {"max_seq_length": 64, "learning_rate": 1e-5} if model == "a" else {"max_seq_length": 128, "learning_rate": 3e-5}
        write_scored_run(tmp_path / model / start, "xnli", answers, lineage, seed=1, **named, **settings)
    assert run_report.main([str(tmp_path / "a"), str(tmp_path / "b"), "--output_dir", str(tmp_path / "report"), "--resamples", "100"]) == 0
    printed = capsys.readouterr().out
    assert "4 finished runs below" in printed and "left out" not in printed
    analysis = Analysis(collect([tmp_path / "a", tmp_path / "b"]), resamples=0)
    assert analysis.rows == [("org/a", "baseline"), ("org/a", "mnli"), ("org/b", "baseline"), ("org/b", "mnli")] and not analysis.problems
    table = tables.summary(analysis)
    assert table.head[:2] == ["model", "trained on"] and [row[0].text for row in table.rows[:4]] == ["org/a", "org/a", "org/b", "org/b"]
    (column,) = analysis.columns
    scores = {row: float(column.mean.scores[row][0]) for row in analysis.rows}
    for model in ("org/a", "org/b"):
        expected = scores[model, "mnli"] - scores[model, "baseline"]
        assert analysis.difference((model, "mnli"), "xnli").value == pytest.approx(expected) and expected != 0
    assert analysis.difference(("org/b", "baseline"), "xnli") is None, "a baseline is compared with no other encoder"
    assert {"report.html", "transfer.csv", "summary.csv"} <= {path.name for path in (tmp_path / "report").iterdir()}


def test_runs_on_other_own_data_share_no_column_whichever_encoder_they_have(tmp_path):
    from test_report import write_run

    for place, (model, content) in enumerate((("a", "x"), ("b", "x"), ("c", "y"), ("d", None))):
        own = {"own_data": {"ig": content}} if content else {}
        write_run(tmp_path / f"{place}", "xnli", {"en": 50.0, "ig": 40.0 + place}, model={"name_or_path": model}, **own)
    collection = collect([tmp_path])
    assert [run.model for run in collection.runs] == ["a", "b"] and collection.runs[0].own == {"ig"}
    whats = {Path(problem.folder).name: problem.what for problem in collection.problems}
    assert "own data of xnli is {'ig': 'y'}, but {'ig': 'x'}" in whats["2"] and "own data of xnli is {}, but" in whats["3"]


def test_own_data_in_the_place_of_a_test_set_give_no_average_no_submission_and_no_published_row(tmp_path):
    from test_report import write_run

    from metrics import XTREME_METRIC
    from report.submission import write_submission

    for target in XTREME_METRIC:
        own = {"own_data": {"de": "x"}} if target == "tatoeba" else {}
        phase = "retrieval" if target in ("bucc", "tatoeba") else "target"
        of_layer = {"layer": 14, "max_seq_length": 256} if phase == "retrieval" else {}
        write_run(tmp_path / target, target, dict.fromkeys(TASKS[target].languages, 50.0), phase=phase, **own, **of_layer,
                  model={"name_or_path": "FacebookAI/xlm-roberta-large"})  # fmt: skip
    analysis = Analysis(collect([tmp_path]), resamples=0)
    average, lacking = analysis.averages["XTREME"]
    assert average is None and list(lacking.values()) == ["own data in tatoeba"]
    assert not any("published" in row[0].text for row in tables.summary(analysis).rows)
    assert "tatoeba: own data in de, not XTREME's" in write_submission(analysis, "baseline", tmp_path / "submission")
