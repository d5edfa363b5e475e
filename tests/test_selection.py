"""Checkpoint selection: the number of compared checkpoints, the start as one of them, and warnings about runs that cannot learn."""

import json
import math
import random
import shutil
import sys

import numpy as np
import pytest
import torch
from conftest import NLI as HUB_NLI
from conftest import launch, nli_rows, write_hub_folder
from datasets import ClassLabel, Features, Value
from safetensors.torch import load_file, save_file
from transformers import TrainingArguments

import arguments as arguments_module
import run_intermediate
import run_target
from settings import describe_run
from task_adapters import TASKS, InputError
from task_types.heads import permutation_warning
from trainer.comparison import (
    Start,
    check_comparison,
    count_updates,
    evaluation_steps,
    plan_evaluations,
    steps_are_given,
    warm_up_warning,
)

NLI = TASKS["xnli"].labels
FAST = ("--use_cpu", "--disable_tqdm", "true", "--max_seq_length", "64", "--effective_batch_size", "16", "--per_device_train_batch_size",
        "16")  # fmt: skip


def evaluations(steps, updates):
    return math.ceil(updates / steps)


def arguments(tmp_path, **values):
    """`TrainingArguments` of a recipe that compares checkpoints."""
    values = {"eval_strategy": "steps", "save_strategy": "steps", "eval_steps": 1000, "save_steps": 1000, "use_cpu": True,
              "load_best_model_at_end": True, "metric_for_best_model": "accuracy", "output_dir": str(tmp_path), **values}  # fmt: skip
    return TrainingArguments(**values)


@pytest.fixture
def typed(monkeypatch):
    """typed("--flag", value, ...): as if the user had started a script with this command line."""
    return lambda *words: monkeypatch.setattr(sys, "argv", ["run_target.py", *words])


# ---- how many checkpoints


@pytest.mark.parametrize("recipe_steps, updates, steps, compared", [
    (1000, 1, 1, 1),  # 10 examples, one epoch
    (1000, 4, 1, 4),
    (1000, 12, 2, 6),
    (1000, 462, 92, 6),  # English TyDiQA under jiant
    (1000, 4000, 800, 5),
    (1000, 4001, 1000, 5),
    (1000, 24544, 1000, 25),  # XNLI under jiant
    (200, 7720, 200, 39),  # PAWS-X under xtreme
    (100, 61360, 1600, 39),  # XNLI under xtreme: the original has 614
])  # fmt: skip
def test_checkpoints_are_compared_five_to_forty_times(recipe_steps, updates, steps, compared):
    assert evaluation_steps(recipe_steps, updates) == steps and evaluations(steps, updates) == compared


def test_a_recipes_number_is_kept_where_it_makes_five_to_forty_and_applying_the_rule_twice_changes_nothing():
    for recipe_steps in (1, 100, 200, 1000):
        for updates in range(1, 70_000, 13):
            steps = evaluation_steps(recipe_steps, updates)
            assert min(5, updates) <= evaluations(steps, updates) <= 40
            assert evaluation_steps(steps, updates) == steps, "a second try of the same run"
            if 5 <= evaluations(recipe_steps, updates) <= 40:
                assert steps == recipe_steps
            elif evaluations(recipe_steps, updates) > 40:
                assert steps % recipe_steps == 0, "all but the last are among the recipe's own"


def test_what_a_run_with_the_recipes_number_compares_is_planned_and_said(tmp_path, typed, capsys):
    typed("--task", "xnli")
    args = arguments(tmp_path, eval_steps=100, save_steps=100, per_device_train_batch_size=32, num_train_epochs=5)
    plan_evaluations(args, 392_702, with_start=False)
    assert (args.eval_steps, args.save_steps) == (1600, 1600)
    said = capsys.readouterr().out
    assert said == (
        "39 checkpoint(s) are compared, one every 1,600 of 61,360 updates; the published recipe, with one every 100, would compare 614\n"
    )
    plan_evaluations(args, 392_702, with_start=False)
    assert (args.eval_steps, args.save_steps) == (1600, 1600) and not capsys.readouterr().out
    args = arguments(tmp_path, load_best_model_at_end=False, max_steps=12)
    plan_evaluations(args, 100, with_start=False)
    assert (args.eval_steps, args.save_steps) == (2, 1000), "where nothing is compared, checkpoints are for resuming alone"
    args = arguments(tmp_path, load_best_model_at_end=False, eval_strategy="no", max_steps=12)
    plan_evaluations(args, 100, with_start=False)
    assert args.eval_steps == 1000


@pytest.mark.parametrize("flags, given", [
    (("--eval_steps", "7"), True), (("--save_steps=7",), True), (("--eval-steps", "7"), True), (("--eval_strategy", "steps"), False),
    ((), False), (("--output_dir", "--eval_steps_7"), False),
])  # fmt: skip
def test_steps_that_the_user_gives_are_his(flags, given, typed, tmp_path):
    typed(*flags)
    assert steps_are_given() == given
    args = arguments(tmp_path, max_steps=100)
    plan_evaluations(args, 100, with_start=True)
    assert args.eval_steps == args.save_steps == (1000 if given else 20)


@pytest.mark.parametrize("values, with_start, asked_by, outcome", [
    ({"max_steps": 12}, False, "--select_on target", "refused"),
    ({"max_steps": 12}, True, "--select_on target", None),  # the start and the last
    ({"max_steps": 12}, False, None, "said"),
    ({"max_steps": 1}, False, "--oracle", "said"),  # There is no other checkpoint.
    ({"max_steps": 2000}, False, "--oracle", None),
    ({"max_steps": 12, "eval_steps": 0.5, "save_steps": 0.5}, False, "--oracle", None),
    ({"eval_strategy": "epoch", "save_strategy": "epoch", "num_train_epochs": 1}, False, "--oracle", "refused"),
    ({"eval_strategy": "epoch", "save_strategy": "epoch", "num_train_epochs": 2}, False, "--oracle", None),
])  # fmt: skip
def test_a_comparison_of_one_checkpoint_is_refused_where_it_is_asked_for_and_said_otherwise(
    values, with_start, asked_by, outcome, typed, tmp_path, capsys
):
    typed("--eval_steps", "1000")
    args = arguments(tmp_path, **values)
    if outcome == "refused":
        with pytest.raises(InputError, match=f"{asked_by} compares checkpoints, and this run of .* would have one only. Leave out .*"):
            plan_evaluations(args, 100, with_start, asked_by)
    else:
        plan_evaluations(args, 100, with_start, asked_by)
        assert ("there is no other to compare it with" in capsys.readouterr().out) == (outcome == "said")


def test_a_recipes_number_that_the_user_gives_is_another_run_than_the_number_that_is_fitted_to_it(typed, tmp_path):
    def described(*more):
        typed("--task", "xnli", "--use_cpu", "--output_dir", str(tmp_path), *more)
        args, training_args, tasks, _ = arguments_module.parse(run_target.ScriptArguments, "target")
        return describe_run("target", args, training_args, tasks)

    fitted, given = described(), described("--eval_steps", "1000")
    assert fitted["eval_steps"] == given["eval_steps"] == 1000 and given == {**fitted, "eval_steps_given": True}
    assert described("--eval_steps", "200") == {**fitted, "eval_steps": 200}, "as before"
    assert described("--eval_on_start") == {**fitted, "eval_on_start": True}


def test_what_could_not_be_chosen_is_refused(tmp_path):
    check_comparison(arguments(tmp_path))
    check_comparison(arguments(tmp_path, load_best_model_at_end=False, save_steps=500))
    with pytest.raises(InputError, match="--eval_steps 1000 and --save_steps 3000: a checkpoint can be chosen only if it is both"):
        check_comparison(arguments(tmp_path, save_steps=3000))
    with pytest.raises(InputError, match="--eval_on_start: this recipe scores no dev data while it trains"):
        check_comparison(arguments(tmp_path, eval_strategy="no", load_best_model_at_end=False, eval_on_start=True))


@pytest.mark.parametrize("examples, flags", [
    (50, ("--num_train_epochs", "3")), (48, ("--num_train_epochs", "2.5")), (7, ("--num_train_epochs", "1")), (50, ("--max_steps", "9")),
    (50, ("--num_train_epochs", "2", "--per_device_train_batch_size", "4")),
])  # fmt: skip
def test_updates_are_counted_as_the_trainer_counts_them(examples, flags, call, tiny_model, data_dir, tmp_path, monkeypatch):
    counted = []
    monkeypatch.setattr("trainer.loop.count_updates", lambda *of: counted.append(count_updates(*of)) or counted[-1])
    results = call(run_target, "--task", "udpos", "--languages", "en", "--model_name_or_path", tiny_model, "--data_dir", data_dir, *FAST,
                   "--max_train_samples", examples, "--max_eval_samples", "8", "--max_predict_samples", "4", *flags,
                   "--output_dir", tmp_path)  # fmt: skip
    assert counted == [results["training"]["steps"]]
    compared = results["training"]["compared"]
    assert compared["checkpoints"] == len(compared["steps"]) >= min(5, counted[0]) and compared["steps"][-1] == counted[0]
    assert compared["steps"] == [entry["step"] for entry in results["training"]["log"] if "eval_f1" in entry]


# ---- the start is one of the compared checkpoints


@pytest.fixture(scope="module")
def mnli_run(tiny_model, data_dir, tmp_path_factory):
    """An encoder with an MNLI head that has learned its task, for runs that keep the head."""
    folder = tmp_path_factory.mktemp("kept") / "mnli"
    with pytest.MonkeyPatch.context() as patch:
        flags = ("--task", "mnli", "--model_name_or_path", tiny_model, "--data_dir", data_dir, *FAST, "--learning_rate", "2e-3")
        patch.setattr(sys, "argv", ["run_intermediate.py", *flags, "--num_train_epochs", "5", "--output_dir", str(folder)])
        assert run_intermediate.main()["dev"]["accuracy"] > 90
    return str(folder)


# Ten updates on a few examples with exchanged labels, after which the head gives wrong labels.
FEW = ("--task", "xnli", "--languages", "en", "de", *FAST, "--max_steps", "10", "--warmup_steps", "0", "--max_train_samples", "40")


@pytest.fixture(scope="module")
def wrong_file(data_dir, tmp_path_factory):
    """English training data whose labels are exchanged in turn."""
    file, rng = tmp_path_factory.mktemp("wrong") / "wrong.jsonl", random.Random(5)
    rows = [
        {"text_a": row["premise"], "text_b": row["hypothesis"], "label": HUB_NLI[(row["label"] + 1) % 3]} for row in nli_rows(rng, "en", 40)
    ]
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return str(file)


def flags_of(mnli_run, data_dir, wrong_file):
    return (*FEW, "--model_name_or_path", mnli_run, "--data_dir", data_dir, "--train_file", f"en={wrong_file}", "--learning_rate", "2e-3")


def weights_of(folder):
    return load_file(f"{folder}/model.safetensors")


def are_equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("more", [(), ("--trim_embeddings", "off"), ("--select_on", "mean")])
def test_few_shot_training_that_makes_a_kept_head_worse_leaves_the_start_and_says_so(
    more, call, mnli_run, data_dir, wrong_file, tmp_path, capsys
):
    flags = flags_of(mnli_run, data_dir, wrong_file)
    if "--select_on" in more:
        data_dir_with_german_dev(data_dir, tmp_path / "data")
        flags = (*flags, "--data_dir", tmp_path / "data")
    results = call(run_target, *flags, *more, "--keep_head", "--output_dir", tmp_path / "out")
    training = results["training"]
    assert training["best_step"] == 0 and training["compared"]["steps"] == [0, 2, 4, 6, 8, 10]
    assert "no checkpoint is better than the start (accuracy " in capsys.readouterr().out
    name = "eval_accuracy"
    compared = {entry["step"]: entry[name] for entry in training["log"] if name in entry}
    assert compared[0] == max(compared.values()) == training["best_selection_score"] > compared[10] + 30
    assert are_equal(weights_of(tmp_path / "out"), weights_of(mnli_run)), "the start's weights are saved"
    if more:
        return
    zero_shot = call(run_target, *flags, "--keep_head", "--learning_rate", "0", "--max_steps", "1", "--output_dir", tmp_path / "zero")
    assert results["scores"] == zero_shot["scores"] and results["dev"] == zero_shot["dev"], "and scored"


def data_dir_with_german_dev(data_dir, folder):
    shutil.copytree(data_dir, folder)
    columns = Features({"premise": Value("string"), "hypothesis": Value("string"), "label": ClassLabel(names=HUB_NLI)})
    write_hub_folder(folder, "facebook/xnli", "de", "validation", nli_rows(random.Random(3), "de", 30), columns)


def test_comparing_the_start_changes_nothing_where_training_helps(call, mnli_run, data_dir, tmp_path, monkeypatch):
    """Scoring the start uses no random numbers, so that the updates are the same with and without it, with dropout too."""
    model = tmp_path / "model"
    shutil.copytree(mnli_run, model)
    config = json.loads((model / "config.json").read_text())
    config["hidden_dropout_prob"] = 0.1
    (model / "config.json").write_text(json.dumps(config))
    flags = ("--task", "mnli", "--keep_head", "--model_name_or_path", model, "--data_dir", data_dir, *FAST, "--learning_rate", "1e-3",
             "--max_steps", "4", "--eval_strategy", "steps")  # fmt: skip
    with_start = call(run_intermediate, *flags, "--output_dir", tmp_path / "with")
    monkeypatch.setattr(Start, "on_train_begin", lambda *_, **__: None)
    call(run_intermediate, *flags, "--output_dir", tmp_path / "without")
    assert [entry["step"] for entry in with_start["training"]["log"] if "eval_accuracy" in entry] == [0, 1, 2, 3, 4]
    assert with_start["training"]["compared"] is None, "mnli's recipe keeps the last weights"
    assert are_equal(weights_of(tmp_path / "with"), weights_of(tmp_path / "without"))


def test_eval_on_start_makes_a_fresh_start_a_candidate_and_is_another_run(call, mnli_run, data_dir, wrong_file, tmp_path, capsys):
    """A learning rate of 0: all checkpoints are the start, and the first of equal ones is chosen."""
    flags = ("--task", "udpos", "--languages", "en", "--model_name_or_path", mnli_run, "--data_dir", data_dir, *FAST,
             "--learning_rate", "0", "--max_steps", "5", "--max_eval_samples", "10", "--output_dir", tmp_path)  # fmt: skip
    results = call(run_target, *flags, "--eval_on_start")
    assert results["training"]["best_step"] == 0 and results["training"]["compared"]["steps"] == [0, 1, 2, 3, 4, 5]
    assert results["training"]["learning_rate_warning"] == "the learning rate is 0: the weights stay those of the start"
    assert capsys.readouterr().out.count("the learning rate is 0") == 1
    with pytest.raises(InputError, match="holds a run with eval_on_start True; this command says None"):
        call(run_target, *flags)


def test_a_joint_run_compares_at_least_five_times_and_its_start_where_asked(call, tiny_model, data_dir, tmp_path):
    flags = ("--task", "mnli", "hellaswag", "--model_name_or_path", tiny_model, "--data_dir", data_dir, *FAST, "--max_steps", "10",
             "--eval_strategy", "steps", "--max_eval_samples", "8", "--learning_rate", "0")  # fmt: skip
    results = call(run_intermediate, *flags, "--output_dir", tmp_path / "a")
    assert results["training"]["compared"] == {"checkpoints": 5, "steps": [2, 4, 6, 8, 10]}
    results = call(run_intermediate, *flags, "--eval_on_start", "--output_dir", tmp_path / "b")
    assert results["training"]["compared"]["steps"] == [0, 2, 4, 6, 8, 10] and results["training"]["best_step"] == 0
    assert are_equal(weights_of(tmp_path / "a"), weights_of(tmp_path / "b"))


def test_the_oracle_may_be_the_start(call, mnli_run, data_dir, wrong_file, tmp_path):
    data_dir_with_german_dev(data_dir, tmp_path / "data")
    flags = (*flags_of(mnli_run, data_dir, wrong_file), "--data_dir", tmp_path / "data", "--keep_head", "--oracle")
    results = call(run_target, *flags, "--output_dir", tmp_path / "out")
    assert results["oracle"]["en"]["step"] == 0 and results["oracle"]["en"]["accuracy"] == results["scores"]["en"]["accuracy"] > 80


def test_a_run_killed_behind_its_start_still_leaves_it(call, mnli_run, data_dir, wrong_file, tmp_path, monkeypatch, capsys):
    from trainer import loop

    flags = (*flags_of(mnli_run, data_dir, wrong_file), "--keep_head", "--output_dir", tmp_path)

    def die_at_6(self, args, state, control, **_):
        if state.global_step == 6:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop.Clock, "on_save", die_at_6)
        call(run_target, *flags)
    capsys.readouterr()
    results = call(run_target, *flags)
    assert results["training"]["resumed_from_step"] == 6 and results["training"]["best_step"] == 0
    assert [entry["step"] for entry in results["training"]["log"] if "eval_accuracy" in entry] == [0, 2, 4, 6, 8, 10], "once each"
    assert "do not match" not in capsys.readouterr().err
    assert are_equal(weights_of(tmp_path), weights_of(mnli_run))


def test_two_processes_take_the_start_back_as_one_does(mnli_run, data_dir, wrong_file, tmp_path):
    flags = (*flags_of(mnli_run, data_dir, wrong_file), "--per_device_train_batch_size", "8", "--keep_head", "--output_dir", tmp_path)
    launch("run_target.py", *flags, processes=2)
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["training"]["best_step"] == 0 and are_equal(weights_of(tmp_path), weights_of(mnli_run))


# ---- runs inside their warm-up


@pytest.mark.parametrize("updates, values, said", [
    (1, {"warmup_steps": 0.1}, "warm-up of 1 update(s), the run has 1: the learning rate stays 0, and the weights those of the start"),
    (12, {"warmup_steps": 500}, "warm-up of 500 update(s), the run has 12: the learning rate reaches 2.2% of 3e-05"),
    (500, {"warmup_steps": 500}, "reaches 99.8% of 3e-05"),
    (501, {"warmup_steps": 500}, None),
    (2, {"warmup_steps": 0.1}, None),
    (1, {"warmup_steps": 0}, None),
    (1, {"warmup_steps": 9, "lr_scheduler_type": "constant"}, None),
    (9, {"warmup_steps": 0, "learning_rate": 0.0}, "the learning rate is 0"),
])  # fmt: skip
def test_a_run_inside_its_warm_up_is_told_how_far_the_learning_rate_gets(updates, values, said, tmp_path):
    args = arguments(tmp_path, **{"learning_rate": 3e-5, **values})
    warning = warm_up_warning(args, updates)
    assert (said is None and warning is None) or said in warning
    # What transformers' own schedule gives to each update.
    from transformers import get_scheduler

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=args.learning_rate)
    schedule, rates = get_scheduler(args.lr_scheduler_type, optimizer, args.get_warmup_steps(updates), updates), []
    for _ in range(updates):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step(), schedule.step()
    assert (max(rates) < 3e-5) == (warning is not None)
    if warning and max(rates):
        assert f"{max(rates) / 3e-5:.1%}" in warning


def test_ten_examples_for_one_epoch_are_said_to_change_nothing_and_change_nothing(call, tiny_model, data_dir, tmp_path, capsys):
    flags = ("--task", "mnli", "--model_name_or_path", tiny_model, "--data_dir", data_dir, *FAST, "--max_train_samples", "10",
             "--num_train_epochs", "1", "--max_eval_samples", "8", "--output_dir", tmp_path)  # fmt: skip
    results = call(run_intermediate, *flags)
    warning = results["training"]["learning_rate_warning"]
    assert (
        warning.startswith("warm-up of 1 update(s), the run has 1: the learning rate stays 0")
        and f"warning: {warning}" in capsys.readouterr().out
    )
    before, after = load_file(f"{tiny_model}/model.safetensors"), weights_of(tmp_path)
    assert all(torch.equal(after[name], before[name]) for name in after if ".encoder." in name)


# ---- a kept head whose label names are in another order than its outputs


def said_by_a_head(rng, gold, labels, share_right, renamed=None):
    """Predictions of a head that is right in this share of the examples, and guesses otherwise; {own name: the name it goes under}."""
    said = [name if rng.random() < share_right else labels[rng.integers(len(labels))] for name in gold]
    return [(renamed or {}).get(name, name) for name in said]


ROUND = dict(zip(NLI, (*NLI[1:], NLI[0])))


@pytest.mark.parametrize("renamed, share_right, examples, warned", [
    (ROUND, 0.7, 400, True),
    ({NLI[0]: NLI[1], NLI[1]: NLI[0]}, 0.7, 400, True),
    (ROUND, 0.7, 60, True),
    (ROUND, 0.7, 9, False),  # too few to tell
    (ROUND, 0.1, 2000, False),  # The head is hardly better than chance, whatever the names of its labels.
    ({}, 0.7, 400, False),
    ({}, 0.0, 400, False),
    ({}, 0.0, 20, False),
])  # fmt: skip
def test_a_head_whose_names_are_permuted_is_told_from_one_that_is_merely_bad(renamed, share_right, examples, warned):
    rng = np.random.default_rng(examples)
    gold = [NLI[index] for index in rng.integers(0, 3, examples)]
    warning = permutation_warning(NLI, gold, said_by_a_head(rng, gold, NLI, share_right, renamed))
    assert bool(warning) == warned, warning
    if warned:
        back = {shown: own for own, shown in renamed.items()}
        names = ", ".join(f"{name} -> {back[name]}" for name in NLI if back.get(name, name) != name)
        assert warning.startswith("are the labels permuted?") and f"if they are renamed: {names}." in warning


def test_a_head_at_chance_is_suspected_less_than_once_in_two_hundred_and_one_that_says_the_same_of_everything_never():
    rng = np.random.default_rng(0)
    for labels in (NLI, ("0", "1"), TASKS["udpos"].labels):
        for examples in (10, 40, 200):
            gold = [labels[min(index, len(labels) - 1)] for index in rng.geometric(0.5, examples) - 1]
            for constant in labels[:3]:
                assert permutation_warning(labels, gold, [constant] * examples) is None
    suspected = 0
    for _ in range(200):
        for labels in (NLI, ("0", "1"), TASKS["panx"].labels):
            gold = [labels[index] for index in rng.integers(0, len(labels), 100)]
            suspected += permutation_warning(labels, gold, [labels[index] for index in rng.integers(0, len(labels), 100)]) is not None
    assert suspected <= 3, "of 600"


def test_permuted_tags_are_found_by_their_words():
    rng, labels = np.random.default_rng(3), TASKS["udpos"].labels
    order = {labels[index]: labels[(index + 5) % len(labels)] for index in range(len(labels))}
    gold = [[labels[index] for index in rng.integers(0, len(labels), 7)] for _ in range(100)]
    gold[0][0] = "a tag without an output"
    warning = permutation_warning(labels, gold, [said_by_a_head(rng, tags, labels, 0.8, order) for tags in gold])
    assert "Of 699 English dev labels" in warning and f"{labels[5]} -> {labels[0]}" in warning
    assert permutation_warning(labels, gold, [said_by_a_head(rng, tags, labels, 0.8) for tags in gold]) is None


@pytest.mark.parametrize("script, task", [(run_target, "xnli"), (run_intermediate, "mnli")])
def test_a_kept_head_with_permuted_names_is_named_before_training(script, task, call, mnli_run, data_dir, tmp_path, capsys):
    """Its rows are moved round and its names are not. No checkpoints are compared: the start is scored for this alone."""
    shutil.copytree(mnli_run, tmp_path / "model")
    weights = load_file(tmp_path / "model" / "model.safetensors")
    for name in ("classifier.out_proj.weight", "classifier.out_proj.bias"):
        weights[name] = weights[name].roll(1, 0)
    save_file(weights, tmp_path / "model" / "model.safetensors", metadata={"format": "pt"})
    flags = ("--task", task, "--keep_head", "--data_dir", data_dir, *FAST, "--max_steps", "1", "--learning_rate", "0",
             "--eval_strategy", "no")  # fmt: skip
    languages = ("--languages", "en") if script is run_target else ()
    results = call(script, *flags, *languages, "--model_name_or_path", tmp_path / "model", "--output_dir", tmp_path / "a")
    said = capsys.readouterr().out
    assert results["dev"]["accuracy"] < 20 and said.count("warning: are the labels permuted?") == 1
    order = ", ".join(f"{NLI[(index + 1) % 3]} -> {NLI[index]}" for index in (2, 0, 1))
    assert f"if they are renamed: {order}." in said
    call(script, *flags, *languages, "--model_name_or_path", mnli_run, "--output_dir", tmp_path / "b")
    assert "permuted" not in capsys.readouterr().out


@pytest.mark.parametrize("names, label2id, message", [
    (("neutral", "entailment", "contradiction"), None, None),
    (("neutral", "entailment", "contradiction"), {"neutral": 0, "entailment": 1, "contradiction": 2}, None),
    (("neutral", "entailment", "contradiction"), {"neutral": 1, "entailment": 0, "contradiction": 2},
     "contradicts itself: id2label calls output 0 'neutral', label2id calls output 1 so"),
    (("neutral", "entailment"), None, "names neutral, entailment; this task needs"),
    (("neutral", "entailment", "contradiction", "neutral"), None, "names neutral, entailment, contradiction, neutral; this task needs"),
    (("LABEL_0", "LABEL_1", "LABEL_2"), None, "names LABEL_0, LABEL_1, LABEL_2; this task needs"),
])  # fmt: skip
def test_the_names_of_a_kept_head_are_compared_before_any_data_are_read(names, label2id, message, call, mnli_run, tmp_path):
    shutil.copytree(mnli_run, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    config |= {"id2label": dict(enumerate(names)), "label2id": label2id or {name: index for index, name in enumerate(names)}}
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    flags = ("--task", "xnli", "--keep_head", "--model_name_or_path", tmp_path / "model", "--data_dir", tmp_path / "no data", *FAST)
    with pytest.raises(InputError, match=message or "no data"):
        call(run_target, *flags, "--output_dir", tmp_path / "out")


# ---- label smoothing, in whole runs


ONE_UPDATE = ("--use_cpu", "--disable_tqdm", "true", "--max_seq_length", "64", "--effective_batch_size", "8", "--max_train_samples", "8",
              "--max_eval_samples", "8", "--max_steps", "1", "--warmup_steps", "0", "--optim", "sgd", "--learning_rate", "1.0",
              "--logging_steps", "1")  # fmt: skip


@pytest.mark.parametrize("script, task", [
    (run_intermediate, "mnli"), (run_target, "udpos"), (run_intermediate, "squad_v1"), (run_intermediate, "hellaswag"),
    (run_intermediate, "mnli hellaswag"),
])  # fmt: skip
def test_a_smoothed_update_is_the_same_however_the_batch_is_cut_and_another_than_without(
    script, task, call, tiny_model, data_dir, tmp_path
):
    languages = ("--languages", "en", "--max_predict_samples", "8") if script is run_target else ()
    flags = ("--task", *task.split(), "--model_name_or_path", tiny_model, "--data_dir", data_dir, *ONE_UPDATE, *languages)
    runs = {"whole": ("0.3", "8"), "in parts": ("0.3", "2"), "unsmoothed": ("0.0", "8")}
    found = {}
    for name, (factor, batch) in runs.items():
        more = ("--label_smoothing_factor", factor, "--per_device_train_batch_size", batch, "--output_dir", tmp_path / name)
        found[name] = call(script, *flags, *more)["training"]["train_loss"], weights_of(tmp_path / name)
    (loss, whole), (loss_in_parts, in_parts), (plain_loss, unsmoothed) = found.values()
    assert loss == pytest.approx(loss_in_parts, rel=1e-5) and loss != plain_loss
    for name, weight in whole.items():
        assert (weight - in_parts[name]).norm() <= 1e-5 * weight.norm() + 1e-6, name
    assert not are_equal(whole, unsmoothed)


def test_a_joint_run_smooths_as_a_single_one_and_the_trainers_own_smoother_does_not_come_on_top(call, tiny_model, data_dir, tmp_path):
    """Beside masked LM that is measured only, a task is trained by the code for joint training."""
    (tmp_path / "de.txt").write_text("das kleine Hund sieht ein Katze .\n" * 40, encoding="utf-8")
    flags = ("--task", "mnli", "--model_name_or_path", tiny_model, "--data_dir", data_dir, *ONE_UPDATE, "--label_smoothing_factor", "0.3")
    single = call(run_intermediate, *flags, "--output_dir", tmp_path / "single")
    masked = ("--mlm_languages", "de", "--mlm_data", tmp_path, "--mlm_share", "0")
    joint = call(run_intermediate, *flags, *masked, "--output_dir", tmp_path / "joint")
    assert joint["training"]["train_loss"] == pytest.approx(single["training"]["train_loss"], rel=1e-5)
    encoder = {name.removeprefix("roberta."): weight for name, weight in weights_of(tmp_path / "single").items() if "roberta." in name}
    for name, weight in weights_of(tmp_path / "joint").items():
        name = name.removeprefix("roberta.")
        if name in encoder:
            assert (weight - encoder[name]).norm() <= 1e-5 * weight.norm() + 1e-6, name


def test_the_dev_loss_is_not_smoothed(call, tiny_model, data_dir, tmp_path):
    flags = ("--task", "mnli", "--model_name_or_path", tiny_model, "--data_dir", data_dir, *ONE_UPDATE, "--learning_rate", "0",
             "--eval_strategy", "steps")  # fmt: skip
    losses = []
    for factor in ("0.0", "0.3"):
        results = call(run_intermediate, *flags, "--label_smoothing_factor", factor, "--output_dir", tmp_path / factor)
        losses += [entry["eval_loss"] for entry in results["training"]["log"] if "eval_loss" in entry]
    assert len(losses) == 2 and losses[0] == losses[1]
