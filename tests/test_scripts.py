"""The three scripts as users run them: they learn, give their model to the next phase, score, skip finished runs, and refuse mistakes."""

import json
import random
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import SHARED, launch, qa_rows, write_hub_folder
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, Trainer, TrainingArguments
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK
from transformers.training_args import OptimizerNames

import run_intermediate
import run_retrieval
import run_target
from console import run_script
from predictions import score_folders
from refusals import PACKAGES, check_packages
from settings import NAMED
from speed.real_tokens import RealTokensTrainer
from task_adapters import TASKS, InputError
from trainer.checkpoints import check_model, load_model

FAST = (
    "--learning_rate",
    "2e-3",
    "--num_train_epochs",
    "6",
    "--effective_batch_size",
    "16",
    "--per_device_train_batch_size",
    "16",
    "--use_cpu",
    "--disable_tqdm",
    "true",
    "--max_seq_length",
    "96",
)


def results_of(folder):
    return json.loads((Path(folder) / "results.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def mnli_run(tiny_model, data_dir, tmp_path_factory):
    """Phase 1 on MNLI, trained once for all tests that use it."""
    folder = tmp_path_factory.mktemp("runs") / "mnli"
    with pytest.MonkeyPatch.context() as patch:
        flags = ["run_intermediate.py", "--task", "mnli", "--model_name_or_path", tiny_model, "--data_dir", data_dir, *FAST]
        patch.setattr(sys, "argv", [*flags, "--output_dir", str(folder)])
        run_intermediate.main()
    return str(folder)


# ---- the method, end to end


def test_phase_1_learns_and_leaves_a_checkpoint_that_pipeline_runs(mnli_run):
    from transformers import pipeline

    results = results_of(mnli_run)
    assert results["dev"]["accuracy"] > 90, results["dev"]
    assert not list(Path(mnli_run).glob("checkpoint-*"))
    assert list(Path(mnli_run).glob("*.safetensors")) and not list(Path(mnli_run).glob("*.bin.index*")) + list(
        Path(mnli_run).glob("pytorch_model*")
    )
    classify = pipeline("text-classification", model=mnli_run, device="cpu")
    verdicts = [classify({"text": "the dog sees a cat .", "text_pair": f"{word} the old dog sees a cat ."}) for word in ("never", "surely")]
    assert [(v[0] if isinstance(v, list) else v)["label"] for v in verdicts] == ["contradiction", "entailment"]


def test_the_three_phases_hand_over_and_say_where_a_model_comes_from(call, mnli_run, data_dir, tmp_path):
    flags = ("--model_name_or_path", mnli_run, "--data_dir", data_dir)
    results = call(run_target, "--task", "xnli", *flags, *FAST, "--languages", "en", "de", "--output_dir", tmp_path / "xnli")
    assert results["scores"]["en"]["accuracy"] > 90 and results["scores"]["en"]["examples"] == 90
    assert not list((tmp_path / "xnli").glob("checkpoint-*"))
    assert results["mean"] is None, "two languages of fifteen have no mean"
    assert [run["task"] for run in results["lineage"]] == ["mnli"] and results["head"] == "fresh"
    before = json.loads(Path(mnli_run, "results.json").read_text())
    assert before["optim"] == "adamw_torch_fused" and {*NAMED} & {*before} == {*NAMED} & {*results["lineage"][0]}
    assert all(results["lineage"][0][name] == before[name] for name in NAMED if name in before)
    assert results["effective_batch_size"] == 16 and results["world_size"] == 1
    assert {d["hub_id"] for d in results["data"]} == {"nyu-mll/glue", "facebook/xnli"}

    retrieved = call(
        run_retrieval, "--task", "tatoeba", *flags, "--languages", "de", "--layer", "1", "--use_cpu", "--output_dir", tmp_path / "t"
    )
    assert retrieved["layer"] == 1 and [run["task"] for run in retrieved["lineage"]] == ["mnli"]
    assert 0 <= retrieved["scores"]["de"]["accuracy"] <= 100 and retrieved["scores"]["de"]["examples"] == 50

    for folder, task, language in ((tmp_path / "xnli", "xnli", "de"), (tmp_path / "t", "tatoeba", "de")):
        again = score_folders(folder / "predictions", folder / "labels")[task]["languages"][language]
        assert again["accuracy"] == results_of(folder)["scores"][language]["accuracy"], "re-scoring the files gives the same number"


def test_the_weights_of_the_best_evaluation_are_kept_be_it_neither_the_first_nor_the_last(
    call, tiny_model, data_dir, tmp_path, monkeypatch
):
    weights_at, evaluate = {}, RealTokensTrainer.evaluate

    def recorded(self, *args, **kwargs):
        weights_at[self.state.global_step] = {name: weight.clone() for name, weight in self.model.state_dict().items()}
        return evaluate(self, *args, **kwargs)

    monkeypatch.setattr(RealTokensTrainer, "evaluate", recorded)
    flags = ("--task", "xnli", "--model_name_or_path", tiny_model, "--data_dir", data_dir, *FAST, "--languages", "en")
    results = call(run_target, *flags, "--output_dir", tmp_path)
    scores = {entry["step"]: entry["eval_accuracy"] for entry in results["training"]["log"] if "eval_accuracy" in entry}
    best, steps = results["training"]["best_step"], list(scores)
    assert steps[0] < best < steps[-1] and scores[steps[0]] < scores[best], "an evaluation that could be missed"
    assert best == max(steps, key=scores.get) and scores[best] == results["dev"]["accuracy"] == results["training"]["best_selection_score"]
    assert results["training"]["compared"] == {"checkpoints": len(steps), "steps": steps} and len(steps) == 5
    saved = load_file(tmp_path / "model.safetensors")
    for step, weights in weights_at.items():
        assert all(torch.equal(saved[name], weights[name]) for name in saved) == (step == best), step


@pytest.mark.parametrize("task, metric, least", [("udpos", "f1", 95), ("xquad", "f1", 60)])
def test_tagging_and_span_qa_learn_and_their_files_score_the_same(task, metric, least, call, tiny_model, data_dir, tmp_path):
    epochs = ("--num_train_epochs", "12", "--learning_rate", "2e-3") if task == "xquad" else ()
    results = call(run_target, "--task", task, "--model_name_or_path", tiny_model, "--data_dir", data_dir, *FAST, *epochs,
                   "--languages", "en", "de", "--output_dir", tmp_path)  # fmt: skip
    assert results["scores"]["en"][metric] > least, results["scores"]
    again = score_folders(tmp_path / "predictions", tmp_path / "labels")[task]["languages"]
    for language in ("en", "de"):
        assert {k: v for k, v in results["scores"][language].items() if k != "examples"} == pytest.approx(again[language])


@pytest.mark.parametrize("script, task", [(run_intermediate, "mnli"), (run_target, "xnli")])
def test_a_kept_head_says_what_it_said_whatever_the_order_of_its_labels(script, task, call, mnli_run, data_dir, tmp_path):
    """The rows of the head and their names are reversed together. The run trains nothing."""
    model = tmp_path / "turned"
    shutil.copytree(mnli_run, model)
    weights, config = load_file(model / "model.safetensors"), json.loads((model / "config.json").read_text())
    for name in ("classifier.out_proj.weight", "classifier.out_proj.bias"):
        weights[name] = weights[name].flip(0)
    config["id2label"] = dict(zip(config["id2label"], reversed(config["id2label"].values())))
    config["label2id"] = {name: int(place) for place, name in config["id2label"].items()}
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    (model / "config.json").write_text(json.dumps(config))
    languages = ("--languages", "en") if script is run_target else ()
    results = call(script, "--task", task, "--keep_head", "--model_name_or_path", model, "--data_dir", data_dir, *FAST, *languages,
                   "--learning_rate", "0", "--max_steps", "1", "--seed", "7", "--output_dir", tmp_path / "out")  # fmt: skip
    assert results["head"] == "kept" and results["dev"] == results_of(mnli_run)["dev"]
    if script is run_target:
        assert results["scores"]["en"]["accuracy"] > 90


def test_every_language_is_scored_by_its_own_rule_and_a_head_is_drawn_with_the_runs_seed(call, tiny_model, data_dir, tmp_path, monkeypatch):
    asked, task = [], TASKS["xnli"]

    def metric(gold, predicted, language):
        asked.append(language)
        return task.metric(gold, predicted, language)

    monkeypatch.setitem(TASKS, "xnli", replace(task, metric=metric))
    monkeypatch.setattr("results.xtreme_score", lambda *_: 50.0)  # as if all languages had scores
    flags = ("--task", "xnli", "--languages", "de", "en", "--model_name_or_path", tiny_model, "--data_dir", data_dir, *FAST, "--max_steps",
             "1", "--eval_strategy", "no", "--learning_rate", "0", "--seed", "5")  # fmt: skip
    whole = call(run_target, *flags, "--output_dir", tmp_path / "whole")
    assert asked[-2:] == ["de", "en"] and whole["xtreme_score"] == 50.0
    fresh, _ = load_model(AutoModelForSequenceClassification, tiny_model, task.labels, seed=5)
    assert torch.equal(load_file(tmp_path / "whole/model.safetensors")["classifier.out_proj.weight"], fresh.classifier.out_proj.weight)
    part = call(run_target, *flags, "--max_predict_samples", "9", "--output_dir", tmp_path / "part")
    assert part["xtreme_score"] is None, "the first nine are not the test set"


@pytest.mark.parametrize("script, task", [(run_intermediate, "mnli"), (run_target, "xnli")])
def test_examples_and_texts_are_drawn_with_the_users_seed(script, task, call, tiny_model, data_dir, tmp_path, monkeypatch):
    class Drawn(Exception):
        pass

    def drawn(*arguments):
        raise Drawn(arguments)

    flags = ("--model_name_or_path", tiny_model, "--data_dir", data_dir, *FAST, "--output_dir", tmp_path, "--seed", "7", "--task", task)
    with monkeypatch.context() as patch, pytest.raises(Drawn) as caught:
        patch.setattr("trainer.inputs.load_training_data", drawn)
        call(script, *flags, "--max_train_samples", "9")
    assert caught.value.args[0][-3:] == (9, 7, "as_is")
    if script is run_intermediate:
        monkeypatch.setattr("trainer.masked_lm.open_texts", drawn)
        with pytest.raises(Drawn) as caught:
            call(script, *flags, "--mlm_languages", "de", "--data_seed", "8", "--mlm_eval_samples", "3")
        assert caught.value.args[0][-2:] == (3, 8)


def test_the_threshold_for_no_answer_is_the_users(call, tiny_model, tmp_path):
    from datasets import Features, List, Value

    string, rng = Value("string"), random.Random(2)
    answers = {"text": List(string), "answer_start": List(Value("int32"))}
    squad = Features({"id": string, "title": string, "context": string, "question": string, "answers": answers})
    rows = qa_rows(rng, "en", 12)
    for row in rows[::2]:
        row["answers"] = {"text": [], "answer_start": []}
    for split in ("train", "validation"):
        write_hub_folder(tmp_path, "rajpurkar/squad_v2", "squad_v2", split, rows, squad)
    found = {}
    for threshold in (-1e9, 1e9):
        flags = ("--no_answer_threshold", threshold, "--max_steps", "1", "--output_dir", tmp_path / f"{threshold}")
        found[threshold] = call(run_intermediate, "--task", "squad_v2", "--model_name_or_path", tiny_model, "--data_dir", tmp_path, *FAST,
                                *flags)["dev"]  # fmt: skip
    assert found[-1e9]["no_answer_accuracy"] == 100 and found[-1e9]["has_answer_exact"] == 0, "nothing is answered"
    assert found[1e9]["no_answer_accuracy"] == 0 and found[1e9]["best_f1"] == found[-1e9]["best_f1"]


def test_squad_as_intermediate_task_loads_into_any_head(call, tiny_model, data_dir, tmp_path):
    from transformers import AutoModelForQuestionAnswering

    call(run_intermediate, "--task", "squad_v1", "--model_name_or_path", tiny_model, "--data_dir", data_dir, *FAST, "--max_steps", "2",
         "--freeze_embeddings", "--output_dir", tmp_path)  # fmt: skip
    words, before = "roberta.embeddings.word_embeddings.weight", load_file(f"{tiny_model}/model.safetensors")
    assert torch.equal(load_file(tmp_path / "model.safetensors")[words], before[words]), "--freeze_embeddings"
    span, classes = AutoModelForQuestionAnswering.from_pretrained(tmp_path), AutoModelForSequenceClassification.from_pretrained(tmp_path)
    name = "encoder.layer.1.output.dense.weight"
    assert torch.equal(span.roberta.get_parameter(name), classes.roberta.get_parameter(name))


# ---- loops can be run again


def test_a_finished_run_is_skipped_and_overwrite_redoes_it(call, tiny_model, data_dir, tmp_path, capsys):
    flags = (
        "--task",
        "mnli",
        "--model_name_or_path",
        tiny_model,
        "--data_dir",
        data_dir,
        *FAST,
        "--max_steps",
        "2",
        "--output_dir",
        tmp_path,
    )
    call(run_intermediate, *flags)
    written = (tmp_path / "results.json").stat().st_mtime_ns
    call(run_intermediate, *flags)
    assert "finished: skipped" in capsys.readouterr().out and (tmp_path / "results.json").stat().st_mtime_ns == written
    call(run_intermediate, *flags, "--overwrite")
    assert (tmp_path / "results.json").stat().st_mtime_ns > written


def test_a_folder_of_another_run_is_refused_and_left_as_it_is(call, mnli_run, tiny_model, data_dir, tmp_path):
    folder = tmp_path / "mnli"
    shutil.copytree(mnli_run, folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    flags = ("--model_name_or_path", tiny_model, "--data_dir", data_dir, *FAST, "--output_dir", folder)
    with pytest.raises(InputError, match="holds a run with task 'mnli'; this command says 'squad_v1'"):
        call(run_intermediate, "--task", "squad_v1", *flags)
    with pytest.raises(InputError, match="holds a run with seed 42; this command says 7"):
        call(run_intermediate, "--task", "mnli", *flags, "--seed", "7")
    foreign = tmp_path / "foreign"
    shutil.copytree(tiny_model, foreign)
    with pytest.raises(InputError, match="holds a model or results that no run of this collection left"):
        call(run_target, "--task", "udpos", *flags[:-1], foreign)
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_command_that_failed_at_once_does_not_hold_the_folder(call, tiny_model, data_dir, tmp_path):
    flags = ("--task", "tatoeba", "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--languages", "de", "--use_cpu")
    with pytest.raises(InputError, match="has 2 blocks: --layer 0"):
        call(run_retrieval, *flags, "--layer", "3", "--output_dir", tmp_path)
    assert call(run_retrieval, *flags, "--layer", "2", "--output_dir", tmp_path)["layer"] == 2


def test_the_same_folder_trained_again_is_another_starting_point(call, mnli_run, data_dir, tmp_path):
    model = tmp_path / "mnli"
    shutil.copytree(mnli_run, model)
    flags = ("--task", "tatoeba", "--model_name_or_path", model, "--data_dir", data_dir, "--languages", "de", "--layer", "1", "--use_cpu")
    call(run_retrieval, *flags, "--output_dir", tmp_path / "out")
    results = results_of(model)
    (model / "results.json").write_text(json.dumps({**results, "finished": "2031-01-01T00:00:00+00:00"}), encoding="utf-8")
    assert call(run_retrieval, *flags, "--output_dir", tmp_path / "out"), "the same weights, trained in the same way, at another time"
    weights = load_file(model / "model.safetensors")
    weights["classifier.dense.bias"][0] += 1
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=f"holds a run that began with other weights .{model}, sha256:.* than {model} has now"):
        call(run_retrieval, *flags, "--output_dir", tmp_path / "out")


def test_a_run_killed_in_the_middle_goes_on_to_the_same_scores(call, tiny_model, data_dir, tmp_path, capsys):
    flags = ["--task", "xnli", "--model_name_or_path", tiny_model, "--data_dir", data_dir, *FAST, "--languages", "de",
             "--eval_steps", "10", "--num_train_epochs", "8"]  # fmt: skip
    whole = call(run_target, *flags, "--output_dir", tmp_path / "whole")
    cut = tmp_path / "cut"
    launch("tests/killed.py", 25, "run_target", *flags, "--output_dir", cut, expect=-9)
    assert not (cut / "results.json").exists()
    (start,) = json.loads((cut / "starts.json").read_text())  # This was saved with the checkpoint.
    assert 0 < start["train_seconds"] < start["seconds"]
    long_ago = {name: start[name] + 1e6 for name in ("started", "seconds", "train_seconds")}  # as if the kill had come after days
    (cut / "starts.json").write_text(json.dumps([long_ago]))
    with pytest.raises(InputError, match="not finished: run its command again"):
        check_model(str(cut))
    half = cut / "checkpoint-9999"  # a kill while a checkpoint was being written
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    resumed = call(run_target, *flags, "--output_dir", cut)
    assert "going on from" in capsys.readouterr().out
    assert resumed["training"]["resumed_from_step"] == 20
    assert min(resumed["seconds"], resumed["training"]["train_seconds"]) >= 1e6, "those of all starts"
    assert 0 < whole["training"]["train_seconds"] < whole["seconds"] < 1e6 and not (cut / "starts.json").exists()
    assert resumed["training"]["tokens"] == whole["training"]["tokens"], "those of all starts"
    assert resumed["training"]["train_loss"] == whole["training"]["train_loss"], "over the steps of all starts"
    assert whole["scores"] == resumed["scores"] and whole["dev"] == resumed["dev"]
    weights = [load_file(folder / "model.safetensors") for folder in (tmp_path / "whole", cut)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


# ---- bad input: one line, no results


@pytest.mark.parametrize("script, flags, message", [
    (run_intermediate, ["--task", "mnlii"], "Unknown task 'mnlii'. Did you mean 'mnli'?"),
    (run_intermediate, ["--task", "xnli"], "xnli is a target task: use run_target.py"),
    (run_target, ["--task", "all"], "Unknown task 'all'"),
    (run_intermediate, [], "--task is missing"),
    (run_target, ["--task", "xnli", "--languages", "swa"], "xnli has no 'swa' data. Did you mean 'sw'?"),
    (run_target, ["--task", "xnli", "--languages", "de,fr"],
     "--languages de,fr: blanks stand between names, not commas: --languages de fr"),
    (run_target, ["--task", "panx", "--train_languages", "de,", "fr"],
     "--train_languages de, fr: blanks stand between names, not commas: --train_languages de fr"),
    (run_target, ["--task", "xnli", "--output_dir", "OUT", "--seeds", "1,2"],
     "argument --seeds: invalid int value: '1,2': blanks stand between numbers, not commas"),
    (run_intermediate, ["--task", "mnli,squad_v1"], "--task mnli,squad_v1: blanks stand between names, not commas: --task mnli squad_v1"),
    (run_target, ["--task", "xnli", "--languages", "german"], "xnli has no 'german' data. Did you mean 'de'. It covers: .*zh.$"),
    (run_target, ["--task", "panx", "--train_languages", "german"], "panx has no training data in 'german'. Did you mean 'de'. It has: "),
    (run_target, ["--task", "xnli", "--languages", "ig"], "xnli has no 'ig' data. It covers: .* --test_file ig=FILE.$"),
    (run_target, ["--task", "xnli", "--recipe", "jiantt"], "Unknown recipe 'jiantt' for xnli. Did you mean 'jiant'?"),
    (run_target, ["--task", "xnli", "--lerning_rate", "1"], "Unknown argument '--lerning_rate'. Did you mean '--learning_rate'?"),
    (run_target, ["--task", "xnli", "--max_seq_length", "513"], "--max_seq_length 513 is more than"),
    (run_target, ["--task", "xnli", "--max_train_samples", "0"], "--max_train_samples 0: at least 1"),
    (run_target, ["--task", "xnli", "--per_device_train_batch_size", "5"], "does not divide an effective batch of 32"),
    (run_target, ["--task", "xnli", "--learning_rate", "fast"], "argument --learning_rate"),
    (run_target, ["--task", "xnli", "--languages", "de", "de"], "--languages names 'de' 2 times"),
    (run_target, ["--task", "xnli", "--seed", "-1"], "--seed -1: at least 0"),
    (run_target, ["--task", "xnli", "--seed", "99999999999"], "--seed 99999999999: at least 0 and below 2.32"),
    (run_target, ["--task", "xnli", "--learning_rate", "nan"], "--learning_rate nan: at least 0"),
    (run_target, ["--task", "xnli", "--num_train_epochs", "0"], "--num_train_epochs 0.0: above 0"),
    (run_target, ["--task", "xnli", "--per_device_eval_batch_size", "-1"], "--per_device_eval_batch_size -1: at least 1"),
    (run_target, ["--task", "xnli", "--dataloader_num_workers", "-1"], "--dataloader_num_workers -1: at least 0"),
    (run_target, ["--task", "xnli", "--resume_from_checkpoint", "x"], "--resume_from_checkpoint has no effect"),
    (run_target, ["--task", "xnli", "--auto_find_batch_size"], "changes the update if .*--per_device_train_batch_size"),
    (run_target, ["--task", "xnli", "--save_steps", "300", "--eval_steps", "200"], "saving steps to be a round multiple of the evaluation"),
    (run_target, ["--task", "xnli", "--lr_scheduler_kwargs", "{bad"], "--lr_scheduler_kwargs|Expecting property name"),
    (run_target, ["--task", "xquad", "--doc_stride", "0"], "--doc_stride 0: at least 1"),
    (run_target, ["--task", "xquad", "--languages", "de", "--max_seq_length", "8"], "leaves no room for a context"),
    (run_target, ["--task", "udpos", "--languages", "de", "--metric_for_best_model", "foo", "--eval_steps", "2", "--max_steps", "2"],
     "--metric_for_best_model foo: there are loss, f1"),
    (run_intermediate, ["--task", "mnli", "squad_v1", "--sampling", "temperature", "--temperature", "inf"],
     "--temperature inf is not a number"),
    (run_intermediate, ["--task", "mnli", "--mlm_languages", "de", "--mlm_alpha", "nan"], "--mlm_alpha nan is not between 0"),
    *((run_retrieval, ["--task", "tatoeba", flag, *value], f"^{flag.split('=')[0]} is for training: this script trains nothing and has no")
      for flag, *value in (["--deepspeed", "x"], ["--lr_scheduler_type=linear"], ["--train-file", "x"], ["--oracle"], ["--temperature"])),
    (run_retrieval, ["--task", "tatoeba", "--poling", "cls"], "Unknown argument '--poling'. Did you mean '--pooling'?"),
    (run_retrieval, ["--task", "tatoeba", "--batch_tokens", "-1"], "--batch_tokens -1: at least 1"),
    (run_target, ["--task", "xnli", "--languages", "sw"], "facebook/xnli holds no split 'test' of configuration 'sw'"),
    (run_retrieval, ["--task", "tatoeba", "--layer", "3"], "--layer 3: .* has 2 blocks: --layer 0"),
    (run_retrieval, ["--task", "tatoeba", "--layer", "1", "--pooling", "max"], "Unknown --pooling 'max'"),
])  # fmt: skip
def test_a_mistake_ends_in_one_line_and_leaves_no_results(script, flags, message, call, tiny_model, data_dir, tmp_path):
    common = ["--model_name_or_path", tiny_model, "--data_dir", data_dir, "--output_dir", tmp_path / "out", "--use_cpu"]
    with pytest.raises(InputError, match=message) as caught:
        call(script, *flags, *common)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "results.json").exists()


@pytest.mark.parametrize("flag, package", [
    ("--optim adamw_bnb_8bit", "bitsandbytes"),
    ("--optim paged_adamw_8bit", "bitsandbytes"),
    ("--optim adamw_torch_4bit", "torchao"),
    ("--optim galore_adamw", "galore-torch"),
    ("--report_to wandb", "wandb"),
    ("--report_to tensorboard", "tensorboard"),
])  # fmt: skip
@pytest.mark.parametrize("script, task", [(run_intermediate, "mnli"), (run_target, "xnli")])
def test_a_package_that_is_missing_is_said_before_anything_is_read(script, task, flag, package, call, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    nowhere = ("--model_name_or_path", tmp_path / "no-model", "--data_dir", tmp_path / "no-data", "--output_dir", tmp_path / "out")
    with pytest.raises(InputError, match=f"^{flag} needs \\w+, which is not installed: pip install {package}$"):
        call(script, "--task", task, *nowhere, "--use_cpu", *flag.split())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", OptimizerNames, ids=lambda name: name.value)
def test_an_optimizer_that_the_trainer_cannot_make_is_refused_and_no_other(name):
    args = TrainingArguments(optim=name, optim_target_modules="all-linear", use_cpu=True)
    try:
        Trainer.get_optimizer_cls_and_kwargs(args, torch.nn.Sequential(torch.nn.Linear(2, 2)))
    except (ImportError, ValueError):
        with pytest.raises(InputError, match=f"--optim {name.value} needs .* not installed: pip install "):
            check_packages(args)
    else:
        check_packages(args)


def test_whom_the_trainer_can_report_to_is_known():
    known = {name for flag, names, *_ in PACKAGES if flag == "--report_to" for name in names}
    assert known | {"kubeflow"} == set(INTEGRATION_TO_CALLBACK)
    for name, said in (("kubeflow", "inside a Kubeflow TrainJob alone"), ("wandbb", "is unknown. Did you mean 'wandb'")):
        with pytest.raises(InputError, match=f"--report_to {name} .*{said}"):
            check_packages(TrainingArguments(report_to=name, use_cpu=True))


@pytest.mark.parametrize("make, message", [
    (lambda folder, model: (folder / "out").write_text(""), "--output_dir .*out/sub cannot be written: Not a directory"),
    (lambda folder, model: (model / "tokenizer.json").write_text("{}"), "Cannot load a tokenizer from"),
    (lambda folder, model: [file.unlink() for file in model.glob("tokenizer*")], "has a tokenizer of 5 tokens for a model of"),
])  # fmt: skip
def test_folders_that_are_not_what_they_should_be(make, message, call, tiny_model, data_dir, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    make(tmp_path, model)
    flags = ("--task", "tatoeba", "--languages", "de", "--layer", "1", "--use_cpu", "--data_dir", data_dir)
    with pytest.raises(InputError, match=message):
        call(run_retrieval, *flags, "--model_name_or_path", model, "--output_dir", tmp_path / "out" / "sub")


def test_another_projects_results_beside_a_model_are_no_lineage(call, tiny_model, data_dir, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    (model / "results.json").write_text('{"accuracy": 0.9}')
    flags = ("--task", "tatoeba", "--languages", "de", "--layer", "1", "--use_cpu", "--data_dir", data_dir)
    results = call(run_retrieval, *flags, "--model_name_or_path", model, "--output_dir", tmp_path / "out")
    assert results["lineage"] == [] and results["model"]["revision"].startswith("sha256:")
    assert results["device"].startswith("cpu") and set(results["versions"]) >= {"torch", "numpy", "huggingface_hub"}


@pytest.mark.parametrize("flags, expected", [
    ("xnli --eval_strategy no", ("no", "steps", False)),
    ("xnli --eval_strategy epoch", ("epoch", "epoch", True)),
    ("xnli --save_strategy epoch", ("epoch", "epoch", True)),
    ("xnli --save_strategy no", ("no", "no", False)),
    ("xnli", ("steps", "steps", True)),
    ("xnli --eval_steps 7", ("steps", "steps", True)),
    ("mlqa --recipe xtreme", ("no", "steps", False)),
    ("mlqa --recipe xtreme --select_on target", ("steps", "steps", True)),
])  # fmt: skip
def test_one_strategy_brings_its_companions(flags, expected, monkeypatch, tmp_path):
    from arguments import parse

    monkeypatch.setattr(sys, "argv", ["run_target.py", "--use_cpu", "--output_dir", str(tmp_path), "--task", *flags.split()])
    _, found, _, _ = parse(run_target.ScriptArguments, "target")
    assert (found.eval_strategy.value, found.save_strategy.value, found.load_best_model_at_end) == expected
    assert found.save_steps == found.eval_steps and found.save_total_limit == 1, "what is compared is there, and nothing else"


def test_a_task_that_keeps_the_last_weights_may_be_evaluated_on_the_way(call, tiny_model, data_dir, tmp_path):
    flags = ("--task", "xquad", "--recipe", "xtreme", "--languages", "de", "--eval_strategy", "steps", "--eval_steps", "1", "--use_cpu",
             "--max_steps", "2", "--effective_batch_size", "4", "--max_eval_samples", "8", "--max_seq_length", "64",
             "--disable_tqdm", "true", "--freeze_embeddings", "--max_predict_samples", "7")  # fmt: skip
    results = call(run_target, *flags, "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--output_dir", tmp_path)
    assert (results["dev"]["examples"], results["scores"]["de"]["examples"], list(results["scores"])) == (8, 7, ["de"])
    words = "roberta.embeddings.word_embeddings.weight"
    assert torch.equal(load_file(tmp_path / "model.safetensors")[words], load_file(f"{tiny_model}/model.safetensors")[words])
    assert [entry["step"] for entry in results["training"]["log"] if "eval_f1" in entry] == [1, 2]
    assert results["training"]["best_step"] is None and results["selected_on"] is None


def test_help_for_a_task_shows_its_recipes_defaults(call, capsys):
    with pytest.raises(SystemExit):
        call(run_target, "--task", "xnli", "--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "Highest learning rate. [1e-05]" in text


def test_the_command_line_shows_one_line_and_a_non_zero_exit(tmp_path):
    process = launch("run_intermediate.py", "--task", "mnlii", "--output_dir", tmp_path, expect=2)
    assert process.stderr.strip().splitlines() == ["run_intermediate.py: error: Unknown task 'mnlii'. Did you mean 'mnli'?"], process.stderr


@pytest.mark.parametrize("error, said", [
    ("InputError('no text for de')", "script.py: error: no text for de"),
    ("OSError('disk full')", "OSError: disk full"),
])  # fmt: skip
def test_an_error_in_one_of_two_processes_ends_both_and_is_seen(error, said, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(f"""
import torch.distributed as dist
from arguments import InputError
from console import run_script

def main():
    dist.init_process_group("gloo")
    if dist.get_rank() == 1:
        raise {error}
    dist.barrier()  # This waits for the other process.

run_script(main)
""")
    process = launch(script, processes=2, expect=1)
    assert said in process.stderr, process.stderr


@pytest.mark.parametrize("script, flag", [(run_intermediate, "--sampling_cap"), (run_target, "--languages"), (run_retrieval, "--layer")])
def test_help_is_printed(script, flag, call, capsys):
    with pytest.raises(SystemExit) as ended:
        call(script, "--help")
    assert ended.value.code == 0 and flag in capsys.readouterr().out


def test_processes_that_do_not_know_of_each_other_are_refused(tiny_model, data_dir, tmp_path):
    flags = ("--task", "xnli", "--model_name_or_path", tiny_model, "--data_dir", data_dir)
    process = launch("run_target.py", *flags, "--output_dir", tmp_path, processes=2, expect=1)
    assert "2 processes were launched, but each of them runs alone" in process.stderr
    assert not (tmp_path / "run.json").exists()


# ---- the real loading path


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared, the local hub with real rows, is not here")
def test_the_hub_is_read_over_http_with_an_empty_cache_and_then_offline(tmp_path):
    sys.path.insert(0, str(SHARED / "tools"))
    from local_hub import LocalHub

    flags = ("--task", "tatoeba", "--languages", "sw", "--use_cpu", "--layer", "1", "--max_predict_samples", "20")
    with LocalHub(SHARED / "hub") as hub:
        online = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
        launch("run_retrieval.py", *flags, "--output_dir", tmp_path / "online", **online)
    launch("run_retrieval.py", *flags, "--output_dir", tmp_path / "offline", **{**online, "HF_HUB_OFFLINE": "1"})
    first, second = results_of(tmp_path / "online"), results_of(tmp_path / "offline")
    assert first["scores"] == second["scores"]
    assert first["data"][0]["revision"] == second["data"][0]["revision"] and len(first["data"][0]["revision"]) == 40
    assert len(first["model"]["revision"]) == 40


@pytest.mark.parametrize("script, flags", [(run_target, ["--languages", "de"]), (run_intermediate, [])])
def test_a_model_that_knows_no_padding_token_takes_the_tokenizers(script, flags, call, tiny_model, data_dir, tmp_path):
    """Such models are usually decoders, which look for the last token that is not padding."""
    from transformers import AutoConfig, LlamaConfig, LlamaModel

    config = LlamaConfig(vocab_size=400, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
    assert config.pad_token_id is None
    shutil.copytree(tiny_model, tmp_path / "model", ignore=shutil.ignore_patterns("config.json", "model*"))
    LlamaModel(config).save_pretrained(tmp_path / "model")
    task = "xnli" if script is run_target else "mnli"
    call(script, "--task", task, "--model_name_or_path", tmp_path / "model", "--data_dir", data_dir, "--output_dir", tmp_path / "out",
         "--max_steps", "2", "--use_cpu", "--disable_tqdm", "true", "--max_train_samples", "40", *flags)  # fmt: skip
    assert AutoConfig.from_pretrained(tmp_path / "out").pad_token_id == 1


def test_columns_that_no_model_reads_are_left_out_whatever_the_flags(call, tiny_model, data_dir, tmp_path):
    results = call(run_intermediate, "--task", "squad_v1", "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--use_cpu",
                   "--output_dir", tmp_path / "out", "--max_steps", "2", "--max_train_samples", "20", "--max_eval_samples", "8",
                   "--remove_unused_columns", "false", "--disable_tqdm", "true")  # fmt: skip
    assert results["training"]["steps"] == 2


def test_a_full_gpu_is_one_line_with_the_way_out(monkeypatch, capsys):
    def main():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore lines.")

    monkeypatch.setattr(sys, "argv", ["run_target.py"])
    with pytest.raises(SystemExit, match="1"):
        run_script(main)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("run_target.py: error: CUDA out of memory. Tried to allocate 2.00 GiB. A smaller --per_device_train_batch_size")
