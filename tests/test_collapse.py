"""Runs that fail to learn end with exit code 3 and are recorded. Healthy runs, however short, do not."""

import json
import math
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import launch
from datasets import Dataset
from dead_encoder import dead_under
from safetensors.torch import load_file

import run_intermediate
import run_target
from console import Collapsed
from results import lineage_of
from task_adapters import TASKS, InputError
from trainer import collapse
from trainer.checkpoints import check_model
from trainer.collapse import chance_loss
from trainer.loop import watch_losses

SCRIPT = {"mnli": run_intermediate, "udpos": run_target, "squad_v1": run_intermediate, "hellaswag": run_intermediate}
LAST = ("--eval_strategy", "no", "--load_best_model_at_end", "false")
HEADS = tuple(SCRIPT)  # classification, tagging, span QA, multiple choice


def flags_of(tiny_model, data_dir):
    return ("--model_name_or_path", tiny_model, "--data_dir", data_dir, "--use_cpu", "--disable_tqdm", "true", "--max_seq_length", "96",
            "--effective_batch_size", "16", "--per_device_train_batch_size", "16", "--learning_rate", "2e-3")  # fmt: skip


@pytest.fixture
def common(tiny_model, data_dir):
    return flags_of(tiny_model, data_dir)


def languages(script):
    return ("--languages", "en") if script is run_target else ()


def read(folder, name):
    return json.loads((folder / name).read_text(encoding="utf-8"))


@pytest.fixture
def soon(monkeypatch):
    """The check for collapse decides about a healthy run as early as about one that is `dead_under` a seed."""
    monkeypatch.setattr(collapse, "JUDGED_STEPS", 60)


def watching(*names, action="stop"):
    """A watch over tasks with three equally frequent labels, in one process."""
    return collapse.CollapseWatch({name: TASKS[name] for name in names}, dict.fromkeys(names, math.log(3)), lambda value: value, action)


# ---- the level of chance


def test_chance_is_the_entropy_of_what_can_be_known_without_looking():
    labels = Dataset.from_dict({"labels": [0, 0, 0, 1]})
    assert chance_loss("classification", labels) == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert chance_loss("classification", labels.select([0, 3])) == pytest.approx(math.log(2)), "the rows that are there"
    tags = Dataset.from_dict({"labels": [[-100, 3, 3, -100], [3, 5, -100]]})
    assert chance_loss("tagging", tags) == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    choices = Dataset.from_dict({"labels": [0, 0], "input_ids": [[[1], [2], [3], [4]]] * 2})
    assert chance_loss("multiple_choice", choices) == pytest.approx(math.log(4)), "places cannot be known"
    windows = Dataset.from_dict({"labels": [[0, 0, 50], [0, 0, 50], [7, 9, 50], [8, 9, 50]]})
    expected = (0.5 * math.log(2) + 0.5 * math.log(4) + math.log(2)) / 2
    assert chance_loss("span_qa", windows) == pytest.approx(expected), "half of the windows hold no answer"
    assert chance_loss("classification", Dataset.from_dict({"labels": [1, 1]})) is None


@pytest.mark.parametrize("task, features", [
    ("mnli", {"labels": [0, 0, 0, 1, 2, 2]}),
    ("udpos", {"labels": [[-100, 3, 3, -100], [3, 5, -100]]}),
    ("squad_v1", {"labels": [[0, 0, 5], [1, 2, 8], [7, 7, 9], [1, 1, 3]]}),
    ("hellaswag", {"labels": [0, 3], "input_ids": [[[1], [2], [3], [4]]] * 2}),
])  # fmt: skip
@pytest.mark.parametrize("a", [0.0, 0.1, 0.9])
def test_chance_under_label_smoothing_is_the_loss_of_the_best_constant_answer_and_the_floor_that_of_a_perfect_one(task, features, a):
    """Both values, computed from the smoothed targets one by one."""
    task, features = TASKS[task], Dataset.from_dict(features)
    chance, floor = (loss(task.task_type, features, a, len(task.labels)) for loss in (collapse.chance_loss, collapse.floor_loss))
    if task.task_type == "span_qa":
        rows = [(place, size) for *places, size in features["labels"] for place in places]
        width = 9
    elif task.task_type == "multiple_choice":
        rows, width = [(label, 4) for label in range(4)], 4  # The position of the right choice is random.
    else:
        flat = np.array(features["labels"][:] if task.task_type == "classification" else sum(features["labels"][:], []))
        width = len(task.labels)
        rows = [(label, width) for label in flat[flat != -100]]
    targets = np.zeros((len(rows), width))
    for target, (label, size) in zip(targets, rows):
        target[:size] = a / size
        target[label] += 1 - a
    logs = np.log(np.where(targets > 0, targets, 1))
    assert floor == pytest.approx(-(targets * logs).sum(1).mean())
    sides = [targets[::2], targets[1::2]] if task.task_type == "span_qa" else [targets]
    constant = np.mean([-(part * np.log(np.where(part.mean(0) > 0, part.mean(0), 1))).sum(1).mean() for part in sides])
    uniform = np.mean([math.log(size) for _, size in rows])
    assert chance == pytest.approx(min(constant, uniform) if task.task_type == "span_qa" else constant)
    assert floor < chance and (a or floor == 0)


def test_a_model_that_has_learned_smoothed_targets_is_not_at_chance():
    """At 0.9 even a perfect model has 0.991 times the chance loss, which would be a collapse without smoothing."""
    features = Dataset.from_dict({"labels": [0, 1, 2] * 4})
    for a, unlearned in ((0.0, 0.992), (0.9, 0.99999)):
        chance, floor = (loss("classification", features, a, 3) for loss in (chance_loss, collapse.floor_loss))
        trainer = SimpleNamespace(args=SimpleNamespace(label_smoothing_factor=a), add_callback=lambda _: None)
        trainer.accelerator = SimpleNamespace(reduce=lambda value, reduction: value)
        watch_losses(trainer, {"mnli": TASKS["mnli"]}, {"mnli": features}, "stop")
        assert floor / chance == pytest.approx(0.991, abs=1e-3) if a else floor == 0
        for loss, at_chance in ((floor, False), (unlearned * chance, True), (chance, True)):
            trainer.watch.window = collapse.deque([("mnli", loss)] * 9, maxlen=9)
            assert trainer.watch.is_at_chance() == at_chance, (a, loss)
    assert chance_loss("classification", Dataset.from_dict({"labels": [1, 1]}), 0.1, 3) is None


# ---- collapsed


def test_learning_rate_ten_is_exit_code_3_with_every_try_remembered_and_the_second_call_ends_at_once(common, call, tmp_path, capsys):
    flags = ("--task", "mnli", *common, "--learning_rate", "10", "--max_steps", "310", "--warmup_steps", "5", "--effective_batch_size", "4",
             "--per_device_train_batch_size", "4", "--output_dir", tmp_path / "out")  # fmt: skip
    process = launch("run_intermediate.py", *flags, "--retries", "1", expect=3)
    (line,) = [line for line in process.stderr.splitlines() if "error:" in line]
    assert "failed to learn (seed 42 at step 310 of 310: dev accuracy of mnli is 3" in line
    assert line.endswith("--retries 2 tries another seed, --overwrite begins anew.")
    said = [text.partition(" failed to learn")[0] for text in process.stdout.splitlines() if " failed to learn" in text]
    assert said == ["seed 42"], "the last try's reason stands in the line of the error"
    tries = read(tmp_path / "out", "failed_tries.json")
    assert [(tried["seed"], tried["step"], len(tried["last_losses"])) for tried in tries] == [(42, 310, 5), (1042, 310, 5)]
    assert not (tmp_path / "out" / "results.json").exists() and not list((tmp_path / "out").glob("checkpoint-*"))

    with pytest.raises(Collapsed, match="failed to learn .seed 42"):  # A loop over cells would catch it in the same way.
        call(run_intermediate, *flags)
    assert "examples from" not in capsys.readouterr().out, "nothing is loaded"


@pytest.mark.parametrize("task", [*HEADS, "several"])
def test_an_encoder_that_says_the_same_of_every_text_is_found_and_the_same_run_alive_is_not(task, common, call, tmp_path, soon):
    names, script = (("mnli", "hellaswag"), run_intermediate) if task == "several" else ((task,), SCRIPT[task])
    flags = ("--task", *names, *common, "--max_steps", "80", "--warmup_steps", "0.1", *LAST, *languages(script))
    with dead_under([42]), pytest.raises(Collapsed, match="seed 42 at step 80 of 80: dev .* one answer for all has .* loss of 72 steps"):
        call(script, *flags, "--output_dir", tmp_path / "dead")
    assert not (tmp_path / "dead" / "results.json").exists()
    results = call(script, *flags, "--output_dir", tmp_path / "alive")
    assert results["failed_tries"] == [] and results["seed_used"] == 42


def test_a_long_run_is_stopped_in_the_middle_unless_it_is_to_be_warned_of(common, call, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(collapse, "GRACE_STEPS", 60)
    monkeypatch.setattr(collapse, "WINDOW_STEPS", 50)
    flags = ("--task", "mnli", *common, "--max_steps", "160", "--warmup_steps", "20")
    with dead_under([42]), pytest.raises(Collapsed, match="seed 42 at step 100 of 160: the training loss of 50 steps is 1.0"):
        call(run_intermediate, *flags, "--output_dir", tmp_path / "dead")
    with dead_under([42]):
        warned = call(run_intermediate, *flags, "--collapse", "warn", "--output_dir", tmp_path / "warned")
    assert warned["training"]["steps"] == 160 and "times that of knowing the label frequencies alone" in warned["training"]["warning"]
    assert "warning: at step 100 the training loss of 50 steps is 1.0" in capsys.readouterr().out
    with dead_under([42]):
        silent = call(run_intermediate, *flags, "--collapse", "off", "--output_dir", tmp_path / "silent")
    assert silent["training"]["warning"] is None and "warning: at step" not in capsys.readouterr().out
    assert call(run_intermediate, *flags, "--output_dir", tmp_path / "alive")["training"]["steps"] == 160


@pytest.mark.parametrize("task, steps", [("mnli", 200), ("squad_v1", 1), ("mnli hellaswag", 200)])
def test_weights_that_are_no_numbers_end_the_run_at_the_next_look(task, steps, common, call, tmp_path):
    """A learning rate of 1e38 makes the weights inf in one step. The next loss shows it, but the last step has no next loss."""
    flags = ("--task", *task.split(), *common, "--learning_rate", "1e38", "--warmup_steps", "0", "--max_steps", steps)
    with pytest.raises(Collapsed, match="weights that are not finite numbers"):
        call(run_intermediate, *flags, "--output_dir", tmp_path)
    (tried,) = read(tmp_path, "failed_tries.json")
    assert tried["step"] == min(steps, 25) and (steps == 1 or "nan" in tried["last_losses"])
    assert not list(tmp_path.glob("model*"))
    with pytest.raises(InputError, match="holds a run that failed to learn, and none that did"):
        check_model(str(tmp_path))


def test_weights_are_looked_at_before_they_are_evaluated_or_saved(common, call, tmp_path):
    flags = ("--task", "squad_v1", *common, "--learning_rate", "1e38", "--warmup_steps", "0", "--max_steps", "9")
    with pytest.raises(Collapsed):
        call(run_intermediate, *flags, "--save_steps", "3", "--output_dir", tmp_path)
    assert read(tmp_path, "failed_tries.json")[0]["step"] == 3


@pytest.mark.parametrize("process, values, finite", [
    (0, [1.0, 2.0], True),
    (1, [3.0, math.nan], True),  # The weight has three numbers, so this one is padding.
    (1, [math.nan, 4.0], False),
    (2, [math.inf, math.nan], True),  # A third process has only padding.
])  # fmt: skip
def test_under_zero3_only_a_weights_own_numbers_count(process, values, finite):
    weight = torch.nn.Parameter(torch.empty(0))
    weight.ds_tensor, weight.ds_numel = torch.tensor(values), 3
    model = SimpleNamespace(parameters=lambda: [weight, torch.nn.Parameter(torch.ones(2))])
    assert watching().weights_are_finite(model, SimpleNamespace(process_index=process, device=torch.device("cpu"))) is finite


def test_weights_are_looked_at_before_an_epochs_end_saves_them(common, call, tmp_path):
    flags = ("--task", "squad_v1", *common, "--learning_rate", "1e38", "--warmup_steps", "0", "--num_train_epochs", "2")
    with pytest.raises(Collapsed):
        call(run_intermediate, *flags, "--max_train_samples", "48", "--save_strategy", "epoch", "--output_dir", tmp_path)
    (failed,) = read(tmp_path, "failed_tries.json")
    assert 2 * failed["step"] == failed["steps"], "at the end of the first epoch, not of the run"


def test_losses_that_stay_infinite_over_healthy_weights_are_found_and_a_single_one_is_not():
    watch, args, model = watching("mnli"), SimpleNamespace(seed=1, process_index=0, device=torch.device("cpu")), torch.nn.Linear(1, 1)

    def judge(step, *losses):
        watch.last_losses.extend(losses)
        watch.judge(args, SimpleNamespace(global_step=step, max_steps=500), model, is_used=False)

    judge(50, *[1.0] * 24, math.nan)
    judge(500)
    with pytest.raises(Collapsed, match="no finite loss in its last 3 steps"):
        judge(500, *[1.0] * 22, *[math.nan] * 3)
    judge(50)
    with pytest.raises(Collapsed, match="no finite loss in its last 25 steps"):
        judge(50, *[math.inf] * 24, math.nan)


@pytest.mark.parametrize("accuracy, ratio, count, steps, outcome", [
    (34.0, 1.02, 250, 400, "collapsed"),
    (34.0, 1.02, 0, 400, "warning"),  # cut off after its last step by an earlier version, which kept no losses
    (34.0, 1.02, 249, 400, "warning"),  # There are too few losses.
    (34.0, 1.02, 250, 350, "warning"),  # The check needs 300 steps after warm-up.
    (34.0, 0.5, 250, 400, "warning"),  # The model learned its training data.
    (90.0, 1.02, 250, 400, "warning"),  # The selected checkpoint was good.
    (90.0, 0.5, 250, 400, None),
])  # fmt: skip
@pytest.mark.parametrize("action", ["stop", "warn", "off"])
def test_the_judgement_at_the_end_needs_loss_and_dev_score(accuracy, ratio, count, steps, outcome, action):
    watch, state = watching("mnli", action=action), SimpleNamespace(global_step=steps, max_steps=steps)
    watch.warmup = 60
    watch.window.extend([("mnli", ratio * watch.bars["mnli"])] * count)
    examples = {"mnli": Dataset.from_dict({"label": ["entailment", "neutral", "contradiction"] * 5})}
    judged = watch, state, 1, {"mnli": TASKS["mnli"]}, examples, {"mnli": {"accuracy": accuracy}}
    if outcome == "collapsed" and action == "stop":
        with pytest.raises(Collapsed, match="dev accuracy of mnli is 34.0, one answer for all has 33.3"):
            collapse.check_learned(*judged)
    else:
        assert bool(collapse.check_learned(*judged)) == (outcome is not None and action != "off")


@pytest.mark.parametrize("step, max_steps, losses, ended", [
    (1544, 4632, 463, False), (2315, 4632, 463, False), (2316, 4632, 463, True), (1059, 1500, 250, False),
    (2316, 4632, 462, False), (4600, 4632, 1, False),  # a run whose earlier losses are not known has no whole window yet
])  # fmt: skip
def test_a_slow_starter_is_given_half_of_its_steps_and_a_whole_window(step, max_steps, losses, ended):
    """PAWS-X stays at chance for its first epoch of 1,544 updates, and learns then."""
    watch, model = watching("mnli"), torch.nn.Linear(1, 1)
    args = SimpleNamespace(seed=1, process_index=0, device=torch.device("cpu"), get_warmup_steps=lambda steps: 60)
    state = SimpleNamespace(global_step=step, max_steps=max_steps)
    watch.on_train_begin(args, state, None)
    watch.window.extend([("mnli", watch.chance_losses["mnli"])] * losses)
    watch.last_losses.append(1.0)
    if ended:
        with pytest.raises(Collapsed, match="the training loss of 463 steps is 1.000 times"):
            watch.judge(args, state, model, is_used=False)
    else:
        watch.judge(args, state, model, is_used=False)


def test_what_a_watch_has_seen_is_kept_from_one_start_to_the_next():
    watch = watching("mnli")
    watch.warmup = 2
    for step, loss in enumerate([3.0, 2.0, math.nan, 1.0], start=1):
        watch.add("mnli", torch.tensor(loss / 2)), watch.add("mnli", torch.tensor(loss / 2))  # two micro-batches
        watch.unread.append((watch.step_task, watch.step_loss))
        watch.step_loss = 0
        watch.read(step)
    again = watching("mnli")
    again.restore(json.loads(json.dumps(watch.state())))
    assert again.state() == {"window": [("mnli", 1.0)], "last_losses": [3.0, 2.0, pytest.approx(math.nan, nan_ok=True), 1.0],
                             "warmup": 2, "loss_sum": 6.0, "loss_count": 3}  # fmt: skip
    assert again.mean_loss() == 2.0


def test_one_answer_for_all_is_the_best_of_its_kind():
    tags = Dataset.from_dict({"words": [["a", "b", "c"], ["d"]], "tags": [["X", "X", "Y"], ["X"]]})
    udpos = replace(TASKS["udpos"], labels=("X", "Y"))
    assert collapse.one_answer_for_all(udpos, tags) == pytest.approx(udpos.metric([["X", "X", "Y"], ["X"]], [["X"] * 3, ["X"]], "en")["f1"])
    questions = Dataset.from_dict({"answers": [{"text": ["a"], "answer_start": [0]}] + [{"text": [], "answer_start": []}] * 3})
    assert collapse.one_answer_for_all(TASKS["squad_v2"], questions) == 75
    qqp = Dataset.from_dict({"label": ["not_duplicate"] * 3 + ["duplicate"]})
    assert collapse.one_answer_for_all(TASKS["qqp"], qqp) == 40, "its F1: the rarer label for all"
    mnli = Dataset.from_dict({"label": ["neutral"] * 3 + ["contradiction"]})
    assert collapse.one_answer_for_all(TASKS["mnli"], mnli) == 75


# ---- not collapsed


@pytest.mark.parametrize("task", [*HEADS, "several"])
def test_a_short_run_is_never_called_collapsed(task, common, call, tmp_path, capsys):
    """The run is too short to tell whether it would have learned. The user gets a warning."""
    names, script = (("mnli", "squad_v1"), run_intermediate) if task == "several" else ((task,), SCRIPT[task])
    flags = ("--task", *names, *common, "--max_steps", "30", *LAST, *languages(script))
    with dead_under([42]):
        results = call(script, *flags, "--output_dir", tmp_path)
    assert "one answer for all has" in results["training"]["warning"] and results["failed_tries"] == []
    assert "warning: dev" in capsys.readouterr().out


def test_a_task_that_does_not_learn_among_others_that_do_is_a_warning(capsys):
    watch, state = watching("mnli", "anli"), SimpleNamespace(global_step=400, max_steps=400)
    bar = watch.bars["anli"]
    watch.window.append(("mnli", 0.7 * bar))
    labels = Dataset.from_dict({"label": ["entailment", "neutral", "contradiction"] * 5})
    tasks, dev = {name: TASKS[name] for name in ("mnli", "anli")}, {"mnli": {"accuracy": 90.0}, "anli": {"accuracy": 34.0}}
    examples = {name: labels for name in tasks}
    warning = collapse.check_learned(watch, state, 1, tasks, examples, dev)
    assert warning == "dev accuracy of anli is 34.0, one answer for all has 33.3"
    assert f"warning: {warning} (400 steps, 0 of them warm-up)" in capsys.readouterr().out
    watch.window.extend([("anli", watch.chance_losses["anli"])] * 25)
    assert collapse.check_learned(watch, state, 1, tasks, examples, dev).endswith(
        "has 33.3; the training loss of 25 steps of anli is 1.000 times that of knowing the label frequencies alone"
    )
    watch.window.clear()
    watch.window.append(("anli", watch.chance_losses["anli"]))  # The loss of both tasks together does not decide either.
    assert "1.000 times" in collapse.check_learned(watch, state, 1, tasks, examples, dev)


@pytest.mark.parametrize("accuracy, ended", [(90.0, False), (34.0, True)])
def test_a_joint_run_has_failed_only_where_no_task_is_better_than_one_answer_for_all(accuracy, ended):
    watch, state = watching("mnli", "anli"), SimpleNamespace(global_step=400, max_steps=400)
    watch.window.extend([("mnli", watch.bars["mnli"]), ("anli", watch.bars["anli"])] * 125)
    labels = Dataset.from_dict({"label": ["entailment", "neutral", "contradiction"] * 5})
    tasks, dev = {name: TASKS[name] for name in ("mnli", "anli")}, {"mnli": {"accuracy": accuracy}, "anli": {"accuracy": 34.0}}
    judged = watch, state, 1, tasks, {name: labels for name in tasks}, dev
    if ended:
        with pytest.raises(Collapsed, match="of mnli is 34.0.*of anli is 34.0"):
            collapse.check_learned(*judged)
    else:
        assert "of anli is 34.0" in collapse.check_learned(*judged)


@pytest.mark.parametrize("flat, steps, said", [(1.0, 50, True), (1.0, 20, False), (0.9, 50, False)])
def test_a_task_that_stays_at_chance_behind_others_is_named_once_on_the_way(flat, steps, said, capsys):
    watch, model = watching("mnli", "anli"), torch.nn.Linear(1, 1)
    args = SimpleNamespace(seed=1, process_index=0, device=torch.device("cpu"))
    watch.warmup, chance = 100, watch.chance_losses["anli"]
    losses = [("mnli", 0.4)] * (250 - steps) + [("anli", chance * flat)] * steps
    watch.unread = [(name, torch.tensor(loss, dtype=torch.float64)) for name, loss in losses]
    watch.read(1050)
    watch.judge(args, SimpleNamespace(global_step=1050, max_steps=2100), model, is_used=False)
    assert not capsys.readouterr().out, "before the time of grace is over"
    for step in (1100, 1125):
        watch.judge(args, SimpleNamespace(global_step=step, max_steps=2100), model, is_used=False)
    line = f"warning: at step 1100 the training loss of {steps} steps of anli is 1.000 times that of knowing the label frequencies alone\n"
    assert capsys.readouterr().out == (line if said else "")


def test_watching_changes_nothing(common, call, tmp_path, monkeypatch):
    flags = ("--task", "mnli", *common, "--max_steps", "40", "--save_steps", "20", "--eval_steps", "20")
    call(run_intermediate, *flags, "--output_dir", tmp_path / "watched")
    monkeypatch.setattr(collapse.CollapseWatch, "on_step_end", lambda *_, **__: None)
    call(run_intermediate, *flags, "--output_dir", tmp_path / "unwatched")
    watched, unwatched = (load_file(tmp_path / name / "model.safetensors") for name in ("watched", "unwatched"))
    assert all(torch.equal(watched[name], unwatched[name]) for name in watched)


# ---- attempts with another seed


ONE_FAILED = ("--task", "xnli", "--languages", "de", "--max_steps", "200", "--warmup_steps", "10", "--eval_steps", "80", "--retries", "1")


@pytest.fixture(scope="module")
def retried(tiny_model, data_dir, tmp_path_factory):
    """(folder of a run whose first attempt had a dead encoder, its flags, per attempt: models of earlier attempts still in memory)"""
    folder, flags = tmp_path_factory.mktemp("retried") / "out", (*flags_of(tiny_model, data_dir), *ONE_FAILED)
    with dead_under([42]) as still_there, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["run_target.py", *map(str, flags), "--output_dir", str(folder)])
        run_target.main()
    return folder, flags, still_there


def test_a_retry_is_the_run_of_the_other_seed_and_the_failed_one_stands_beside_it(retried, call, tmp_path):
    folder, flags, still_there = retried
    assert still_there == [0, 0], "the failed model is gone before the next is made"
    results = read(folder, "results.json")
    assert results["seed"] == 42 and results["seed_used"] == 1042
    (failed,) = results["failed_tries"]
    assert failed["seed"] == 42 and failed["step"] == 200 and "one answer for all" in failed["reason"]
    assert results["dev"]["accuracy"] > 90
    straight = call(run_target, *flags, "--seed", "1042", "--output_dir", tmp_path)
    assert straight["scores"] == results["scores"] and straight["failed_tries"] == []
    weights = [load_file(path / "model.safetensors") for path in (folder, tmp_path)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    (before,) = lineage_of(str(folder))
    assert before["failed_tries"] == [failed] and before["seed_used"] == 1042, "a later phase says so too"


def test_a_run_killed_in_its_second_try_goes_on_there(retried, call, tmp_path, capsys):
    folder, flags, _ = retried
    launch("tests/killed.py", "100@1042", "dead_encoder", 42, "run_target", *flags, "--output_dir", tmp_path, expect=-9)
    assert not (tmp_path / "results.json").exists()
    with dead_under([42]):
        resumed = call(run_target, *flags, "--output_dir", tmp_path)
    said = capsys.readouterr().out
    assert "try 2 of 2, with seed 1042" in said and "going on from" in said
    whole = read(folder, "results.json")
    assert resumed["training"]["resumed_from_step"] == 80 and whole["training"]["resumed_from_step"] is None
    assert resumed["failed_tries"] == whole["failed_tries"] and resumed["seed_used"] == 1042
    assert resumed["scores"] == whole["scores"]


def test_two_processes_fail_and_begin_again_together(retried, tmp_path):
    folder, flags, _ = retried
    command = ("42", "run_target", *flags, "--per_device_train_batch_size", "4", "--output_dir", tmp_path)
    process = launch("tests/dead_encoder.py", *command, processes=2)
    assert process.stdout.count("seed 42 failed to learn") == 1
    results, alone = read(tmp_path, "results.json"), read(folder, "results.json")
    assert results["world_size"] == results["gradient_accumulation_steps"] == 2
    assert results["seed_used"] == 1042 and results["dev"]["accuracy"] > 90
    (failed,), (failed_alone,) = results["failed_tries"], alone["failed_tries"]
    assert failed["last_losses"] == pytest.approx(failed_alone["last_losses"], abs=2e-4), "a step's, not a part of it"


def test_failed_tries_belong_to_their_settings(common, call, tmp_path):
    flags = ("--task", "mnli", *common, "--warmup_steps", "0", "--max_steps", "2", "--output_dir", tmp_path)
    with pytest.raises(Collapsed):
        call(run_intermediate, *flags, "--learning_rate", "1e38")
    with pytest.raises(InputError, match="holds a run with learning_rate 1e\\+38; this command says 0.002"):
        call(run_intermediate, *flags, "--retries", "1")
    with pytest.raises(InputError, match="--retries -1: at least 0"):
        call(run_intermediate, *flags, "--learning_rate", "1e38", "--retries", "-1")
    results = call(run_intermediate, *flags, "--overwrite")
    assert results["failed_tries"] == [] and not (tmp_path / "failed_tries.json").exists()
