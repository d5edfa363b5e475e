"""--protocol nlu-evals: its tasks, settings, directions and scores; and that no folder, mean or table holds results of both."""

import json
import random
import sys

import pytest
from conftest import WORDS, qa_rows, write_hub_folder

import predictions
import run_intermediate
import run_report
import run_retrieval
import run_target
from arguments import parse
from predictions import read_labels, score_folders
from report.analysis import Analysis
from report.collect import collect
from task_adapters import TASKS, InputError, load_examples, nlu_evals

SCRIPTS = {"intermediate": run_intermediate, "target": run_target, "retrieval": run_retrieval}
PROTOCOL = ("--protocol", "nlu-evals")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def parsed(phase, *flags, monkeypatch, folder):
    command = [f"run_{phase}.py", *map(str, flags), "--output_dir", str(folder), "--use_cpu"]
    monkeypatch.setattr(sys, "argv", command)
    return parse(SCRIPTS[phase].ScriptArguments, phase)


def test_the_protocol_has_ten_tasks_in_its_own_languages():
    counts = {name: len(TASKS[name].languages) for name in nlu_evals.SCORED}
    assert counts == {"xnli_nlu_evals": 15, "xcopa_nlu_evals": 11, "udpos_nlu_evals": 38, "panx_nlu_evals": 48, "xquad_nlu_evals": 11,
                      "mlqa_nlu_evals": 7, "tydiqa_nlu_evals": 9, "mewsli_x_nlu_evals": 11, "lareqa_paragraphs": 11,
                      "tatoeba_nlu_evals": 41}  # fmt: skip
    assert {*TASKS["xquad"].languages, "ro"} - {*TASKS["xquad_nlu_evals"].languages} == {"hi"}
    assert all(TASKS[name].protocol == "nlu-evals" and [*TASKS[name].recipes] == ["nlu-evals"] for name in nlu_evals.SCORED)


@pytest.mark.parametrize("phase, typed, name", [
    ("target", "xquad", "xquad_nlu_evals"), ("target", "udpos", "udpos_nlu_evals"), ("retrieval", "lareqa", "lareqa_paragraphs"),
    ("retrieval", "tatoeba", "tatoeba_nlu_evals"), ("retrieval", "mewsli_x", "mewsli_x_nlu_evals"),
    ("intermediate", "squad_sentences", "squad_paragraphs"), ("intermediate", "wikipedia_mentions", "wikipedia_mentions"),
])  # fmt: skip
def test_one_flag_chooses_task_and_recipe(phase, typed, name, monkeypatch, tmp_path):
    args, _, (task,), recipe = parsed(phase, "--task", typed, *PROTOCOL, monkeypatch=monkeypatch, folder=tmp_path)
    assert (task.name, args.recipe, args.protocol, args.benchmark) == (name, "nlu-evals", "nlu-evals", None)
    assert recipe == TASKS[name].recipes["nlu-evals"]
    if task.protocol:  # the name alone says as much
        args, *_ = parsed(phase, "--task", name, monkeypatch=monkeypatch, folder=tmp_path)
        assert (args.recipe, args.protocol) == ("nlu-evals", "nlu-evals")


@pytest.mark.parametrize("phase, flags, said", [
    ("target", ("--task", "xquad", "--recipe", "xtreme"), "is a recipe of its own: leave --recipe xtreme out"),
    ("retrieval", ("--task", "lareqa", "--recipe", "xtreme-r"), "is a recipe of its own: leave --recipe xtreme-r out"),
    ("target", ("--task", "xquad", "--benchmark", "xtreme-r"), "has its own languages: leave --benchmark xtreme-r out"),
    ("target", ("--task", "xquad", "--languages", "hi"), "xquad_nlu_evals has no 'hi' data"),
    ("target", ("--task", "xquad", "--learning_rate", "1e-4"), "its learning_rate is 3e-05: leave --learning_rate out"),
    ("target", ("--task", "xnli", "--max_train_samples", "9"), "how a task is trained and scored: leave --max_train_samples out"),
    ("target", ("--task", "xnli", "--lora_rank", "8"), "leave --lora_rank out"),
    ("target", ("--task", "xnli", "--do_train", "false"), "leave --do_train out"),
    ("target", ("--task", "pawsx"), "--protocol nlu-evals: pawsx is no part of it. It has: xnli, xcopa"),
    ("retrieval", ("--task", "bucc"), "--protocol nlu-evals: bucc is no part of it"),
    ("retrieval", ("--task", "tatoeba", "--pooling", "mean"), "its pooling is cls: leave --pooling out"),
    ("retrieval", ("--task", "tatoeba", "--layers", "all"), "leave --layers out"),
    ("intermediate", ("--task", "mnli"), "mnli is no part of it"),
    ("intermediate", ("--task", "siqa", "copa"), "is for one task at a time, and --task names siqa, copa"),
    ("target", ("--task", "xquod"), "Unknown task 'xquod'"),
    ("target", ("--task_file", "mine.py"), "has its own tasks: leave --task_file out"),
])  # fmt: skip
def test_what_contradicts_the_protocol_is_one_line(phase, flags, said, monkeypatch, tmp_path):
    with pytest.raises(InputError) as error:
        parsed(phase, *flags, *PROTOCOL, monkeypatch=monkeypatch, folder=tmp_path)
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("task", ["tatoeba", "mewsli_x", "lareqa"])
def test_a_recipe_that_became_a_protocol_is_answered_with_the_flag(task, monkeypatch, tmp_path):
    with pytest.raises(InputError, match=f"nlu-evals is no recipe of {task}, but a protocol: --protocol nlu-evals"):
        parsed("retrieval", "--task", task, "--recipe", "nlu-evals", monkeypatch=monkeypatch, folder=tmp_path)


def test_a_flag_with_the_protocols_own_value_is_no_contradiction(monkeypatch, tmp_path):
    flags = ("--task", "xquad", *PROTOCOL, "--learning_rate", "3e-5", "--effective_batch_size", "32", "--seed", "7")
    _, training_args, *_ = parsed("target", *flags, monkeypatch=monkeypatch, folder=tmp_path)
    assert training_args.learning_rate == 3e-5 and training_args.seed == 7


def test_its_own_sources_serve_all_languages(tmp_path):
    write_hub_folder(tmp_path, "izhx/xtreme-r-udpos", "de", "test", [{"tokens": ["Ja"], "pos_tags": ["INTJ"]}], None)
    write_hub_folder(tmp_path, "unimelb-nlp/wikiann", "de", "test", [{"tokens": ["Rom"], "ner_tags": ["B-LOC"]}], None)
    write_hub_folder(tmp_path, "mteb/tatoeba-bitext-mining", "deu-eng", "test", [{"sentence1": "Ja.", "sentence2": "Yes."}], None)
    for name in ("udpos", "panx", "tatoeba"):
        examples, _ = load_examples(TASKS[f"{name}_nlu_evals"], "test", "de", str(tmp_path))
        assert len(examples) == 1
        with pytest.raises(InputError):
            load_examples(TASKS[name], "test", "de", str(tmp_path))


# ---- questions: the F1 over eleven languages


@pytest.fixture(scope="module")
def question_data(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("questions"), random.Random(0)
    write_hub_folder(root, "rajpurkar/squad", "plain_text", "train", qa_rows(rng, "en", 64, "train"), None)
    write_hub_folder(root, "rajpurkar/squad", "plain_text", "validation", qa_rows(rng, "en", 16, "dev"), None)
    for language in TASKS["xquad"].languages + ("ro",):
        rows = [{name: value for name, value in row.items() if name != "title"} for row in qa_rows(rng, "de", 6)]
        write_hub_folder(root, "google/xquad", f"xquad.{language}", "validation", rows, None)
    return str(root)


@pytest.fixture(scope="module")
def both_ways(tiny_model, question_data, tmp_path_factory):
    """XQuAD by XTREME's recipe and by the protocol: (folder, {name: results})"""
    folder, results = tmp_path_factory.mktemp("runs"), {}
    for name, flags in (("faithful", ("--recipe", "xtreme", "--benchmark", "xtreme-r", "--num_train_epochs", "1")), ("nlu", PROTOCOL)):
        with pytest.MonkeyPatch.context() as patch:
            command = ["--task", "xquad", *flags, "--model_name_or_path", tiny_model, "--data_dir", question_data, "--use_cpu",
                       "--disable_tqdm", "true", "--output_dir", str(folder / name)]  # fmt: skip
            patch.setattr(sys, "argv", ["run_target.py", *command])
            results[name] = run_target.main()
    return folder, results


def test_a_result_names_its_protocol_and_has_its_score_alone(both_ways):
    _, results = both_ways
    nlu, faithful = results["nlu"], results["faithful"]
    assert (nlu["task"], nlu["protocol"], nlu["recipe"], nlu["warmup_steps"]) == ("xquad_nlu_evals", "nlu-evals", "nlu-evals", 0)
    assert len(nlu["scores"]) == 11 and "hi" not in nlu["scores"]
    f1 = [scores["f1"] for scores in nlu["scores"].values()]
    assert nlu["nlu_evals_score"] == pytest.approx(sum(f1) / 11) and nlu["xtreme_score"] is None
    assert not {"xtreme_r_score", "benchmark"} & set(nlu)
    assert "protocol" not in faithful and "nlu_evals_score" not in faithful and len(faithful["scores"]) == 12
    assert faithful["xtreme_r_score"] is not None


def test_the_card_of_a_run_names_its_protocol_and_its_own_score(both_ways):
    folder, results = both_ways
    nlu, faithful = ((folder / name / "README.md").read_text() for name in ("nlu", "faithful"))
    assert "It was trained as nlu-evals does (--protocol nlu-evals): its scores compare with no scores of XTREME-R itself." in nlu
    assert f"nlu-evals's score of this task is {results['nlu']['nlu_evals_score']:.2f}." in nlu and "nlu-evals" not in faithful
    assert f"XTREME-R's score of this task is {results['faithful']['xtreme_r_score']:.2f}." in faithful


def test_a_rerun_without_the_protocol_is_another_run(call, both_ways, tiny_model, question_data):
    folder, results = both_ways
    flags = ("--task", "xquad", "--model_name_or_path", tiny_model, "--data_dir", question_data, "--use_cpu", "--disable_tqdm", "true")
    assert call(run_target, *flags, *PROTOCOL, "--output_dir", folder / "nlu")["finished"] == results["nlu"]["finished"]
    with pytest.raises(InputError, match="holds a run with task 'xquad_nlu_evals'; this command says 'xquad'"):
        call(run_target, *flags, "--output_dir", folder / "nlu")


def test_scored_folders_hold_one_protocol_each(both_ways, capsys):
    folder, results = both_ways
    for name in ("predictions", "labels"):  # one folder for both: the tasks' names keep them apart
        for run in ("faithful", "nlu"):
            for path in (folder / run / name).iterdir():
                target = folder / "together" / name / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(path)
    roots = folder / "together/predictions", folder / "together/labels"
    assert [*score_folders(*roots, benchmark="xtreme-r")] == ["xquad"]
    (nlu,) = (scored := score_folders(*roots, benchmark="nlu-evals")).values()
    assert [*scored] == ["xquad_nlu_evals"] and nlu["score"] == pytest.approx(results["nlu"]["nlu_evals_score"])
    argv = ["--prediction_folder", str(roots[0]), "--label_folder", str(roots[1])]
    assert predictions.main([*argv, *PROTOCOL]) == 0
    said = capsys.readouterr().out
    assert f"xquad_nlu_evals score   {nlu['score']:.2f}" in said and "xquad " not in said and "none, without a score for: lareqa" in said
    with pytest.raises(SystemExit):
        predictions.main([*argv, *PROTOCOL, "--benchmark", "xtreme"])


def test_no_table_of_the_report_holds_both(both_ways, tmp_path, capsys):
    folder, results = both_ways
    assert run_report.main([str(folder / "faithful"), str(folder / "nlu"), "--output_dir", str(tmp_path), "--resamples", "100"]) == 0
    said = capsys.readouterr().out
    heads = {}
    for path in tmp_path.glob("*.csv"):
        if path.stem not in ("results", "differences", "calibration"):
            text = path.read_text()
            heads[path.stem] = "xquad_nlu_evals" in text or "nlu_evals" in path.stem, ",xquad," in text or path.stem.endswith("_xquad")
    assert not [name for name, both in heads.items() if all(both)], heads
    assert {"summary", "summary_nlu_evals", "languages_xquad", "languages_xquad_nlu_evals"} <= heads.keys()
    summary = (tmp_path / "summary_nlu_evals.csv").read_text().splitlines()
    assert summary[0] == "trained on,xquad_nlu_evals,nlu-evals,seeds,failed tries"
    assert summary[1].split(",")[1].removesuffix(" (1 learned little)") == f"{results['nlu']['nlu_evals_score']:.1f}"
    assert "Scores of the targets (nlu-evals)" in said and not list(tmp_path.glob("problems*"))
    page = (tmp_path / "report.html").read_text()
    assert page.count("Scores of the targets (nlu-evals)") >= 1


# ---- retrieval


@pytest.fixture(scope="module")
def paragraph_run(tiny_model, tmp_path_factory):
    """A dual encoder trained as nlu-evals trains it, and one that was trained with other settings."""
    root, rng = tmp_path_factory.mktemp("dual"), random.Random(0)
    for split, n in (("train", 32), ("validation", 8)):
        write_hub_folder(root / "data", "rajpurkar/squad", "plain_text", split, qa_rows(rng, "en", n, split), None)
    for name, flags in (("nlu", PROTOCOL), ("other", ("--recipe", "jiant", "--max_steps", "1"))):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["run_intermediate.py", "--task", "squad_paragraphs", *flags, "--model_name_or_path", tiny_model,
                                        "--data_dir", str(root / "data"), "--use_cpu", "--disable_tqdm", "true", "--output_dir",
                                        str(root / name)])  # fmt: skip
            results = run_intermediate.main()
        assert results.get("protocol") == (None if name == "other" else "nlu-evals")
    return root


def write_pairs(root, *pairs):
    rows = [{"sentence1": foreign, "sentence2": english, "lang": "deu-eng"} for foreign, english in pairs]
    write_hub_folder(root, "mteb/tatoeba-bitext-mining", "deu-eng", "test", rows, None)


def test_foreign_sentences_look_for_english_ones_of_which_equal_ones_are_one(call, paragraph_run, tmp_path):
    """Each foreign sentence is its translation's text, so that it finds it; English to foreign would miss the second of two equal ones."""
    nouns = WORDS["en"]["NOUN"]
    write_pairs(tmp_path, *((noun, noun) for noun in nouns), (nouns[0], nouns[0]), ("number", nouns[1]))
    flags = ("--data_dir", tmp_path, "--languages", "de", "--use_cpu", *PROTOCOL, "--task", "tatoeba")
    results = call(run_retrieval, *flags, "--model_name_or_path", paragraph_run / "nlu", "--output_dir", tmp_path / "out")
    assert results["scores"]["de"] == {"accuracy": pytest.approx(90.0), "examples": 10}, "all but `number`"
    assert (results["task"], results["layer"], results["pooling"]) == ("tatoeba_nlu_evals", 2, "cls")
    assert [stage["task"] for stage in results["stages"]] == ["squad_paragraphs"] and results["lineage"] == []
    assert results["nlu_evals_score"] is None, "one language of 41"
    (run,) = collect([tmp_path / "out"]).scored
    assert (run.start, run.seed) == ("baseline", 42), "its training is a part of the target"
    analysis = Analysis(collect([tmp_path / "out"]).of_protocol("nlu-evals"), resamples=100)
    assert not analysis.problems and analysis.columns[0].has_intervals, "the files say the same as results.json"
    with pytest.raises(InputError, match="--protocol nlu-evals reads the last layer, 2: leave --layer 1 out"):
        call(run_retrieval, *flags, "--layer", "1", "--model_name_or_path", paragraph_run / "nlu", "--output_dir", tmp_path / "x")


def test_lareqa_counts_the_paragraph_in_the_questions_own_language_alone(call, paragraph_run, tmp_path):
    for language, words in (("en", "en"), ("de", "de")):
        nouns = WORDS[words]["NOUN"]
        rows = [{"id": f"q{i}", "context": f"{noun} {noun} .", "question": f"{noun} {noun} ."} for i, noun in enumerate(nouns)]
        write_hub_folder(tmp_path, "google-research-datasets/xquad_r", language, "validation", rows, None)
    results = call(run_retrieval, "--task", "lareqa", *PROTOCOL, "--model_name_or_path", paragraph_run / "nlu", "--data_dir", tmp_path,
                   "--use_cpu", "--languages", "en", "de", "--output_dir", tmp_path / "out")  # fmt: skip
    assert results["scores"]["de"] == {"mrr20": 100.0, "examples": 8}, "a question is its paragraph's text"
    assert results["task"] == "lareqa_paragraphs" and results["pooling"] == "cls" and not {"benchmark", "language_bias"} & set(results)
    assert read_labels(tmp_path / "out/labels", "lareqa_paragraphs", "de")["de-q3"] == ["de-3"]


@pytest.mark.parametrize("task, model", [("tatoeba", "bare"), ("tatoeba", "other"), ("lareqa", "bare"), ("mewsli_x", "nlu")])
def test_a_model_without_the_stage_before_is_refused(task, model, call, paragraph_run, tiny_model, tmp_path):
    path = tiny_model if model == "bare" else paragraph_run / model
    stage = "wikipedia_mentions" if task == "mewsli_x" else "squad_paragraphs"
    with pytest.raises(InputError) as error:
        call(run_retrieval, "--task", task, *PROTOCOL, "--model_name_or_path", path, "--use_cpu", "--output_dir", tmp_path / "out")
    assert f"after training on {stage}, which {path} has not had: run_intermediate.py --task {stage}" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_xtreme_rs_own_recipe_asks_for_its_stage_too(call, tiny_model, tmp_path):
    with pytest.raises(InputError, match="--recipe xtreme-r scores lareqa after training on squad_sentences, which"):
        call(run_retrieval, "--task", "lareqa", "--recipe", "xtreme-r", "--model_name_or_path", tiny_model, "--use_cpu", "--output_dir",
             tmp_path / "out")  # fmt: skip


# ---- XCOPA


def test_both_stages_of_xcopa_are_trained_by_the_protocol(call, tiny_model, tmp_path):
    sentences = [f"{noun} {verb}" for noun in WORDS["en"]["NOUN"] for verb in WORDS["en"]["VERB"]]
    for split in ("train", "validation"):
        rows = [{"context": s, "question": "why ?", "answerA": s, "answerB": "x", "answerC": "y", "label": "1"} for s in sentences[:8]]
        path = tmp_path / f"allenai/social_i_qa/default/{split}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        rows = [{"premise": s, "choice1": s, "choice2": "x", "question": "cause", "label": 0, "idx": 0} for s in sentences[:8]]
        write_hub_folder(tmp_path, "aps/super_glue", "copa", split, rows, None)
    write_hub_folder(tmp_path, "cambridgeltl/xcopa", "it", "test", rows, None)
    flags = ("--model_name_or_path", tiny_model, "--data_dir", tmp_path, "--use_cpu", "--disable_tqdm", "true", "--collapse", "off")
    results = call(run_target, "--task", "xcopa", *PROTOCOL, *flags, "--languages", "it", "--output_dir", tmp_path / "out")
    assert [(stage["task"], stage["recipe"], stage["protocol"]) for stage in results["stages"]] == [("siqa", "nlu-evals", "nlu-evals")]
    assert (results["task"], results["protocol"], results["learning_rate"]) == ("xcopa_nlu_evals", "nlu-evals", 2e-5)
    call(run_intermediate, "--task", "siqa", *flags, "--max_steps", "1", "--output_dir", tmp_path / "siqa")
    with pytest.raises(InputError, match="was trained on siqa with other settings"):
        call(run_target, "--task", "xcopa", *PROTOCOL, *flags, "--languages", "it", "--output_dir", tmp_path / "other",
             "--model_name_or_path", tmp_path / "siqa")  # fmt: skip
