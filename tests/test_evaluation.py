"""--do_train false: the given model is scored as it is, with its own head. Nothing is trained, and no training data are read."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Cut, launch, qa_rows, write_hub_folder
from safetensors.torch import load_file, save_file
from test_scripts import FAST
from test_xtreme_r import choice_data, copa_rows  # noqa: F401 (a fixture)

import run_intermediate
import run_target
from report.analysis import Analysis
from report.collect import collect
from task_adapters import InputError
from task_types.heads import permutation_warning
from trainer import evaluation, loop

SCORING = ("--use_cpu", "--disable_tqdm", "true", "--max_seq_length", "96")
LABELS = ("contradiction", "entailment", "neutral")


def read(folder, name="results.json"):
    return json.loads((Path(folder) / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def world(data_dir, choice_data, tmp_path_factory):  # noqa: F811
    """A --data_dir with tasks of every type: those of both fixtures, and SQuAD v2, half of whose questions have no answer."""
    from datasets import Features, List, Value

    root, rng, string = tmp_path_factory.mktemp("world") / "data", random.Random(4), Value("string")
    shutil.copytree(data_dir, root)
    shutil.copytree(choice_data, root, dirs_exist_ok=True)
    answers = {"text": List(string), "answer_start": List(Value("int32"))}
    squad = Features({"id": string, "title": string, "context": string, "question": string, "answers": answers})
    for split, count in (("train", 240), ("validation", 60)):
        rows = qa_rows(rng, "en", count, split)
        for row in rows[::2]:
            row |= {"question": "dog ?", "answers": {"text": [], "answer_start": []}}
        write_hub_folder(root, "rajpurkar/squad_v2", "squad_v2", split, rows, squad)
    return root


@pytest.fixture(scope="module")
def blind(world, tmp_path_factory):
    """The same without a single file of training data."""
    root = tmp_path_factory.mktemp("blind") / "data"
    shutil.copytree(world, root, ignore=lambda folder, names: [name for name in names if name.startswith("train")])
    return root


@pytest.fixture(scope="module")
def trained(tiny_model, world, tmp_path_factory):
    """trained(script, "mnli", *flags): the folder of a run that is trained once for all tests of this module."""
    root = tmp_path_factory.mktemp("trained")

    def run(script, *words):
        folder = root / "_".join(word.strip("-") for word in words)
        if not folder.exists():
            with pytest.MonkeyPatch.context() as patch:
                flags = ("--model_name_or_path", tiny_model, "--data_dir", world, *FAST, "--max_steps", "24", "--task", *words)
                patch.setattr("sys.argv", [script.__name__, *map(str, flags), "--output_dir", str(folder)])
                script.main()
        return folder

    return run


@pytest.fixture
def as_it_is(call, blind):
    def run(script, task, model, folder, *flags, data=blind):
        words = task if isinstance(task, tuple) else (task,)
        spelling = () if {"--do_eval", "--do_predict"} & {*flags} else ("--do_train", "false")
        return call(script, "--task", *words, "--model_name_or_path", model, "--data_dir", data, *SCORING, *spelling, *flags,
                    "--output_dir", folder)  # fmt: skip

    return run


# ---- the scores are those that training left


@pytest.mark.parametrize("task, languages", [("xnli", "en de"), ("udpos", "en de"), ("xquad", "en de"), ("xcopa", "it et")])
def test_a_target_model_has_the_scores_that_training_left(task, languages, as_it_is, trained, tmp_path, capsys):
    model, folder = trained(run_target, task, "--languages", *languages.split()), tmp_path / "out"
    capsys.readouterr()
    results, before = as_it_is(run_target, task, model, folder, "--languages", *languages.split()), read(model)
    assert results["scores"] == {language: pytest.approx(before["scores"][language], abs=1e-9) for language in languages.split()}
    assert results["dev"] == pytest.approx(before["dev"], abs=1e-9) and results["trained_steps"] == 0
    assert not {part["split"] for part in results["data"]} - {"dev", "test"} and "training" not in results and "seed" not in results
    assert results["lineage"][-1]["task"] == task
    for part in ("predictions", "labels"):
        files = {path.relative_to(model): path for path in model.glob(f"{part}/**/*") if path.is_file()}
        assert len(files) == len(languages.split()) * (2 if part == "predictions" else 1) + (part == "predictions")
        for name, path in files.items():
            if name.suffix == ".npz":
                one, other = np.load(path), np.load(folder / name)
                assert set(one) == set(other) and all(np.array_equal(one[array], other[array]) for array in one)
            else:
                assert path.read_bytes() == (folder / name).read_bytes()
    assert {path.name for path in folder.iterdir()} == {
        "predictions",
        "labels",
        "results.json",
        "run.json",
        "run.lock",
        "log.txt",
        "README.md",
    }
    said = capsys.readouterr().out
    assert "train" not in said and "permuted" not in said


@pytest.mark.parametrize("task", ["mnli", "squad_v1", "squad_v2", "hellaswag"])
def test_an_intermediate_model_has_the_dev_scores_that_training_left(task, as_it_is, trained, tmp_path, monkeypatch):
    """With its own weights too: a model that has learned little may have the scores of a fresh head."""
    model, weights = trained(run_intermediate, task), {}

    def recorded(trainer, *args):
        weights.update(trainer.model.state_dict())
        return loop.score(trainer, *args)

    monkeypatch.setattr(evaluation, "score", recorded)
    results = as_it_is(run_intermediate, task, model, tmp_path / "out")
    saved = load_file(model / "model.safetensors")
    assert set(saved) == set(weights) and all(torch.equal(weights[name], saved[name]) for name in saved)
    assert results["dev"] == pytest.approx(read(model)["dev"], abs=1e-9) and results["trained_steps"] == 0
    assert [part["split"] for part in results["data"]] == ["dev"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"results.json", "run.json", "run.lock", "log.txt", "README.md"}


def test_each_head_of_a_joint_run_is_scored_together_alone_and_on_its_targets(as_it_is, trained, tmp_path):
    tasks = ("mnli", "squad_v1", "hellaswag")
    model = trained(run_intermediate, *tasks)
    before = read(model)["dev"]
    together = as_it_is(run_intermediate, tasks, model, tmp_path / "together")
    assert together["dev"] == {name: pytest.approx(before[name], abs=1e-9) for name in tasks}
    assert together["model_read"]["mnli"]["head"] == "heads/mnli" and together["dev_mean"] == pytest.approx(read(model)["dev_mean"])
    for task in tasks:
        assert as_it_is(run_intermediate, task, model, tmp_path / task)["dev"] == pytest.approx(before[task], abs=1e-9)
    target = as_it_is(run_target, "xnli", model, tmp_path / "xnli", "--languages", "de")
    assert target["dev"] == pytest.approx(before["mnli"], abs=1e-9) and target["model_read"]["head"] == "heads/mnli"
    with pytest.raises(InputError, match="has no head for udpos. Known: hellaswag, mnli, squad_v1."):
        as_it_is(run_target, "udpos", model, tmp_path / "udpos")


def test_the_number_of_processes_makes_no_difference(as_it_is, trained, blind, tmp_path):
    model = trained(run_target, "xnli", "--languages", "en", "de")
    flags = ("--task", "xnli", "--languages", "en", "de", "--model_name_or_path", model, "--data_dir", blind, *SCORING)
    launch("run_target.py", *flags, "--do_train", "false", "--output_dir", tmp_path / "two", processes=2)
    assert read(tmp_path / "two")["scores"] == read(model)["scores"] and read(tmp_path / "two")["world_size"] == 2


# ---- which parts are scored


@pytest.mark.parametrize("flags, parts", [
    ((), {"dev", "test"}), (("--do_eval", "--do_predict"), {"dev", "test"}), (("--do_predict",), {"test"}), (("--do_eval",), {"dev"}),
])  # fmt: skip
def test_transformers_flags_choose_what_is_scored(flags, parts, as_it_is, trained, tmp_path, capsys):
    model = trained(run_target, "xnli", "--languages", "en", "de")
    languages = ("--languages", "en", "de") if "test" in parts else ()
    results, before = as_it_is(run_target, "xnli", model, tmp_path / "out", *flags, *languages), read(model)
    assert {part["split"] for part in results["data"]} == parts == {*results["evaluate_only"]}
    assert results["scores"] == (before["scores"] if "test" in parts else {})
    assert results["dev"] == (before["dev"] if "dev" in parts else None)
    assert ("accuracy" in capsys.readouterr().out) and results["trained_steps"] == 0


def test_do_train_with_the_others_trains_and_scores_as_ever(call, tiny_model, world, tmp_path):
    flags = ("--task", "mnli", "--model_name_or_path", tiny_model, "--data_dir", world, *FAST, "--max_steps", "2")
    results = call(run_intermediate, *flags, "--do_train", "--do_eval", "--output_dir", tmp_path)
    assert results["training"]["steps"] == 2 and "trained_steps" not in results and "evaluate_only" not in results


# ---- the run in its folder


def test_a_run_that_was_cut_off_goes_on_and_a_finished_one_is_skipped(as_it_is, trained, tmp_path, cut, capsys):
    model, flags = trained(run_target, "xnli", "--languages", "en", "de"), ("--languages", "en", "de")
    undo = cut(loop, "score_with_loss", lambda *args: args[4] == "de")
    with pytest.raises(Cut):
        as_it_is(run_target, "xnli", model, tmp_path / "out", *flags)
    undo()
    assert [*read(tmp_path / "out", "progress.json")["scored"]] == ["en"]
    capsys.readouterr()
    results = as_it_is(run_target, "xnli", model, tmp_path / "out", *flags)
    assert results["scores"] == read(model)["scores"] and "xnli en: scored before this run was cut off" in capsys.readouterr().out
    assert as_it_is(run_target, "xnli", model, tmp_path / "out", *flags) == results
    assert "is finished: skipped" in capsys.readouterr().out


def test_neither_kind_of_run_is_taken_for_the_other(as_it_is, call, trained, tiny_model, world, tmp_path):
    model, flags = trained(run_target, "xnli", "--languages", "en", "de"), ("--languages", "en", "de")
    as_it_is(run_target, "xnli", model, tmp_path / "out", *flags)
    training = ("--task", "xnli", *flags, "--model_name_or_path", tiny_model, "--data_dir", world, *FAST, "--max_steps", "24")
    with pytest.raises(InputError, match="out holds a run that scores the dev and test data of a model as it is; this command trains. "):
        call(run_target, *training, "--output_dir", tmp_path / "out")
    shutil.copytree(model, tmp_path / "trained")
    with pytest.raises(InputError, match="trained holds a run that trains; this command scores the dev and test data of a model as it is"):
        as_it_is(run_target, "xnli", tiny_model, tmp_path / "trained", *flags)
    with pytest.raises(InputError, match="scores the dev and test data of a model as it is; this command scores the test data"):
        as_it_is(run_target, "xnli", model, tmp_path / "out", "--do_predict", *flags)
    with pytest.raises(InputError, match="is the folder of the model itself"):
        as_it_is(run_target, "xnli", tmp_path / "trained", tmp_path / "trained", *flags)
    with pytest.raises(InputError, match="holds a run with max_seq_length 96; this command says 64"):
        as_it_is(run_target, "xnli", model, tmp_path / "out", *flags, "--max_seq_length", "64")


def test_its_row_in_the_report_is_its_own(as_it_is, call, trained, tmp_path):
    model, flags = trained(run_target, "xnli", "--languages", "en", "de"), ("--languages", "en", "de")
    shutil.copytree(model, tmp_path / "trained")
    as_it_is(run_target, "xnli", model, tmp_path / "own", *flags)
    stranger = tmp_path / "stranger"
    shutil.copytree(model, stranger)
    (stranger / "results.json").unlink(), (stranger / "run.json").unlink()
    as_it_is(run_target, "xnli", stranger, tmp_path / "foreign", *flags)
    shutil.rmtree(stranger)
    as_it_is(run_target, "xnli", model, tmp_path / "dev", "--do_eval")
    as_it_is(run_intermediate, "mnli", trained(run_intermediate, "mnli"), tmp_path / "mnli")
    collection = collect([tmp_path])
    base = read(model)["model"]["name_or_path"]
    rows = {(run.model, run.start, run.task): run.seed for run in collection.runs}
    assert rows == {
        (base, "baseline", "xnli"): 42,
        (base, "xnli: evaluated as it is", "xnli"): 42,
        (str(stranger), "evaluated as it is", "xnli"): None,
        (base, "mnli: evaluated as it is", "mnli"): 42,
    }
    (problem,) = collection.problems
    assert problem.folder == str(tmp_path / "dev") and problem.what.startswith("scored the English dev set alone")
    analysis = Analysis(collection, resamples=0)
    assert analysis.difference((base, "xnli: evaluated as it is"), "xnli").value == pytest.approx(0)
    as_it_is(run_target, "xnli", model, tmp_path / "short", *flags, "--max_seq_length", "64")
    kinds = {Path(problem.folder).name: problem.what for problem in collect([tmp_path]).problems}
    assert kinds["short"].startswith("max_seq_length of ")


# ---- heads whose labels have other names


def renamed(model, folder, names):
    """A copy of a model whose head has these names."""
    shutil.copytree(model, folder, ignore=shutil.ignore_patterns("results.json", "run.json", "predictions", "labels"))
    config = read(folder, "config.json")
    config |= {"id2label": dict(enumerate(names)), "label2id": {name: output for output, name in enumerate(names)}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def names_of(model, change):
    return [change(name) for _, name in sorted(read(model, "config.json")["id2label"].items(), key=lambda pair: int(pair[0]))]


def test_a_label_map_gives_a_head_the_names_of_the_task(as_it_is, trained, tmp_path):
    model, flags = trained(run_target, "xnli", "--languages", "en", "de"), ("--languages", "en", "de")
    foreign = renamed(model, tmp_path / "foreign", names_of(model, str.upper))
    words = [f"{name.upper()}={name}" for name in LABELS]
    results = as_it_is(run_target, "xnli", foreign, tmp_path / "out", *flags, "--label_map", *words)
    assert results["scores"] == read(model)["scores"]
    assert results["model_read"]["outputs"] == {name.upper(): name for name in LABELS} and results["label_map"] == sorted(words)
    other = [f"{name.upper()}={next_name}" for name, next_name in zip(LABELS, (*LABELS[1:], LABELS[0]))]
    with pytest.raises(InputError, match="holds a run with label_map"):
        as_it_is(run_target, "xnli", foreign, tmp_path / "out", *flags, "--label_map", *other)


def test_tags_and_intermediate_heads_are_renamed_too(as_it_is, trained, tmp_path):
    model = trained(run_target, "udpos", "--languages", "en", "de")
    foreign = renamed(model, tmp_path / "udpos", names_of(model, "U-{}".format))
    words = [f"U-{name}={name}" for name in names_of(model, str)]
    results = as_it_is(run_target, "udpos", foreign, tmp_path / "out", "--languages", "en", "de", "--label_map", *words)
    assert results["scores"] == read(model)["scores"]
    model = trained(run_intermediate, "mnli")
    foreign = renamed(model, tmp_path / "mnli", names_of(model, str.upper))
    words = [f"{name.upper()}={name}" for name in LABELS]
    assert as_it_is(run_intermediate, "mnli", foreign, tmp_path / "dev", "--label_map", *words)["dev"] == read(model)["dev"]


def test_a_kept_head_with_a_label_map_is_trained_on_and_saved_with_the_names_of_the_task(call, trained, world, tmp_path):
    model = trained(run_intermediate, "mnli")
    foreign = renamed(model, tmp_path / "mnli", names_of(model, str.upper))
    flags = ("--task", "xnli", "--languages", "de", "--data_dir", world, *FAST, "--keep_head", "--learning_rate", "0", "--max_steps", "1")
    words = [f"{name.upper()}={name}" for name in LABELS]
    results = call(run_target, *flags, "--model_name_or_path", foreign, "--label_map", *words, "--output_dir", tmp_path / "out")
    assert results["dev"] == read(model)["dev"] and names_of(tmp_path / "out", str) == names_of(model, str)


@pytest.mark.parametrize("words, message", [
    (None, "The head of .* names ENTAILMENT, .* --label_map ENTAILMENT=entailment NEUTRAL=neutral CONTRADICTION=contradiction gives them"),
    ("ENTAILMENT=entailment NEUTRAL=neutral", "names ENTAILMENT, .* --label_map misses CONTRADICTION."),
    ("ENTAILMENT=entailment NEUTRAL=neutral CONTRADICTION=against", "--label_map CONTRADICTION=against: this task has no 'against'. Known"),
    ("ENTAILMENT=entailment NEUTRAL=neutral AGAINST=contradiction", "--label_map AGAINST=contradiction: the head of .* has no 'AGAINST'"),
    ("ENTAILMENT=entailment NEUTRAL=neutral CONTRADICTION=neutral", "--label_map makes NEUTRAL and CONTRADICTION .* the same label"),
    ("ENTAILMENT=entailment ENTAILMENT=neutral", "--label_map names 'ENTAILMENT' twice"),
    ("ENTAILMENT", "--label_map ENTAILMENT: NAME=LABEL would be right, a name of the head"),
    ("=neutral", "--label_map =neutral: NAME=LABEL would be right"),
])  # fmt: skip
@pytest.mark.parametrize("script, task", [(run_target, "xnli"), (run_intermediate, "mnli")])
def test_a_label_map_that_is_wrong_is_one_line_before_data_are_read(words, message, script, task, as_it_is, trained, tmp_path):
    model = trained(run_intermediate, "mnli")
    foreign = renamed(model, tmp_path / "model", ["ENTAILMENT", "NEUTRAL", "CONTRADICTION"])
    flags = ("--label_map", *words.split()) if words else ()
    with pytest.raises(InputError, match=message) as error:
        as_it_is(script, task, foreign, tmp_path / "out", *flags, data=tmp_path / "no data")
    assert "\n" not in str(error.value) and not (tmp_path / "out" / "run.json").exists()


def test_a_map_that_lacks_a_class_of_a_larger_head_is_refused(as_it_is, trained, tmp_path):
    model = renamed(trained(run_intermediate, "mnli"), tmp_path / "model", [*LABELS, "other"])
    with pytest.raises(InputError, match="names contradiction, entailment, neutral, other; this task needs"):
        as_it_is(run_target, "xnli", model, tmp_path / "out", data=tmp_path / "no data")


# ---- labels in another order than the outputs


@pytest.mark.parametrize("flags, scored", [((), "English dev"), (("--do_predict", "--languages", "de", "en"), "English test")])
def test_a_head_whose_labels_are_permuted_is_named(flags, scored, as_it_is, trained, tmp_path, capsys):
    model, flags = trained(run_intermediate, "mnli", "--max_steps", "90"), flags or ("--languages", "de")
    foreign = tmp_path / "model"
    shutil.copytree(model, foreign)
    weights = load_file(foreign / "model.safetensors")
    for name in ("classifier.out_proj.weight", "classifier.out_proj.bias"):
        weights[name] = weights[name].roll(1, 0)
    save_file(weights, foreign / "model.safetensors", metadata={"format": "pt"})
    results = as_it_is(run_target, "xnli", foreign, tmp_path / "out", *flags)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "permuted" in line]
    assert line == f"warning: {results['model_read']['warning']}" and f" {scored} labels the kept head gets" in line
    assert "The first is below chance (" in line and "binomial test, p = " in line and "--label_map gives others" in line
    # German verdicts are words that this head never saw: it answers each in one way, as if its labels were permuted. They are not judged.
    as_it_is(run_target, "xnli", model, tmp_path / "right", *flags)
    assert "permuted" not in capsys.readouterr().out


def test_a_head_below_chance_is_named_where_the_gain_over_the_most_frequent_label_is_small():
    """Two labels, 60% of one kind; the head is wrong in 64%. Renamed it is right as often, 4 points above the most frequent one."""
    rng = np.random.default_rng(0)
    gold = ["0" if share < 0.6 else "1" for share in rng.random(1000)]
    wrong = {"0": "1", "1": "0"}
    predicted = [wrong[label] if share < 0.64 else label for label, share in zip(gold, rng.random(1000))]
    assert "is below chance (" in permutation_warning(("0", "1"), gold, predicted)
    assert permutation_warning(("0", "1"), gold[:40], predicted[:40]) is None, "too few to tell"
    assert permutation_warning(("0", "1"), gold, ["1"] * 1000) is None, "40% right, and no more than the same answers without looking"


# ---- what is refused


def test_a_model_without_a_head_for_the_task_is_one_line_before_data_are_read(as_it_is, trained, tiny_model, tmp_path):
    nli, qa = trained(run_intermediate, "mnli"), trained(run_intermediate, "squad_v1")
    for script, task, model, said in (
        (run_target, "xnli", tiny_model, "its class is XLMRobertaForMaskedLM, and one that ends in ForSequenceClassification is"),
        (run_target, "xquad", nli, "its class is XLMRobertaForSequenceClassification, and one that ends in ForQuestionAnswering"),
        (run_target, "udpos", qa, "its class is XLMRobertaForQuestionAnswering, and one that ends in ForTokenClassification"),
        (run_target, "xcopa", qa, "one that ends in ForMultipleChoice"),
        (run_intermediate, "hellaswag", tiny_model, "one that ends in ForMultipleChoice"),
        (run_target, "pawsx", nli, "names .*; this task needs 0, 1."),
    ):
        with pytest.raises(InputError, match=said) as error:
            as_it_is(script, task, model, tmp_path / "out", data=tmp_path / "no data")
        assert "\n" not in str(error.value)
    assert not (tmp_path / "out" / "run.json").exists()


def test_a_head_of_which_a_part_is_missing_is_never_drawn(as_it_is, trained, tmp_path):
    """Multiple choice reads the pooler, which is a part of the encoder; `from_pretrained` would draw it."""
    for task, name in (("mnli", "classifier.dense.weight"), ("hellaswag", "roberta.pooler.dense.weight")):
        model = tmp_path / task
        shutil.copytree(trained(run_intermediate, task), model)
        weights = load_file(model / "model.safetensors")
        del weights[name]
        save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(InputError, match=f"has no head of this kind: it lacks {name}"):
            as_it_is(run_intermediate, task, model, tmp_path / "out")
        assert not (tmp_path / "out" / "run.json").exists()


@pytest.mark.parametrize("script, flags, message", [
    (run_target, "--do_train false --learning_rate 1", "--learning_rate has no effect without training"),
    (run_target, "--do_predict --seed 3 --oracle", "--oracle, --seed have no effect without training"),
    (run_target, "--do_train false --train_file x", "--train_file has no effect"),
    (run_target, "--do_train false --deepspeed x.json", "--deepspeed has no effect|x.json"),
    (run_target, "--do_train false --do_eval false --do_predict false", "leave nothing to do"),
    (run_target, "--do_eval --languages de", "--languages has no effect where --do_eval alone says what is scored. Add --do_predict"),
    (run_target, "--do_eval --test_file ig=x.tsv", "--test_file has no effect where --do_eval alone"),
    (run_target, "--do_eval --perturb typos:0.1", "--perturb has no effect where --do_eval alone"),
    (run_target, "--do_predict --dev_file en=x.tsv", "--dev_file has no effect where --do_predict alone"),
    (run_target, "--do_train false --seeds 1 2", "--seeds has no effect without training"),
    (run_target, "--do_predict --max_eval_samples 3", "--max_eval_samples has no effect where --do_predict alone"),
    (run_target, "--do_train --do_predict false", "--do_predict false: a run that trains is scored"),
    (run_target, "--label_map A=entailment", "--label_map names the outputs of a head that is kept: add --keep_head, or --do_train false"),
    (run_intermediate, "--do_predict", "--do_predict: of an intermediate task the English dev set alone is scored"),
    (run_intermediate, "--do_train false --do_eval false", "leave nothing to do"),
    (run_intermediate, "--do_train false --mlm_languages de", "--mlm_languages has no effect without training"),
])  # fmt: skip
def test_flags_without_effect_are_refused(script, flags, message, call, tiny_model, tmp_path):
    task = {run_target: "xnli", run_intermediate: "mnli"}[script]
    with pytest.raises(InputError, match=message) as error:
        call(script, "--task", task, "--model_name_or_path", tiny_model, *SCORING, *flags.split(), "--output_dir", tmp_path / "out")
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


def test_a_label_map_for_a_task_without_labels_is_refused(as_it_is, trained, tmp_path):
    with pytest.raises(InputError, match="--label_map: xquad has no labels"):
        as_it_is(run_target, "xquad", trained(run_intermediate, "squad_v1"), tmp_path / "out", "--label_map", "A=b", data=tmp_path / "no")
