"""Runs that fail to learn end with exit code 3 and are remembered; healthy runs, however short, do not."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from conftest import ROOT, launch
from datasets import Dataset
from dead_encoder import dead_under
from safetensors.torch import load_file

import collapse
import run_intermediate
import run_target
from arguments import Collapsed
from collapse import chance_loss
from results import lineage_of
from task_adapters import InputError

SCRIPT = {"mnli": run_intermediate, "udpos": run_target, "squad_v1": run_intermediate, "hellaswag": run_intermediate}
LAST = ("--eval_strategy", "no", "--load_best_model_at_end", "false")
HEADS = tuple(SCRIPT)  # classification, tagging, span QA, multiple choice


@pytest.fixture
def common(tiny_model, data_dir):
    return ("--model_name_or_path", tiny_model, "--data_dir", data_dir, "--use_cpu", "--disable_tqdm", "true", "--max_seq_length", "96",
            "--effective_batch_size", "16", "--per_device_train_batch_size", "16", "--learning_rate", "2e-3")  # fmt: skip


def languages(script):
    return ("--languages", "en") if script is run_target else ()


def read(folder, name):
    return json.loads((folder / name).read_text(encoding="utf-8"))


@pytest.fixture
def soon(monkeypatch):
    """Judged after tens of steps in place of hundreds."""
    monkeypatch.setattr(collapse, "JUDGED_STEPS", 60)


# ---- what chance is


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


# ---- collapsed


def test_learning_rate_ten_is_exit_code_3_with_every_try_remembered_and_the_second_call_ends_at_once(common, tmp_path):
    flags = ("--task", "mnli", *common, "--learning_rate", "10", "--max_steps", "310", "--warmup_steps", "5", "--effective_batch_size", "4",
             "--per_device_train_batch_size", "4", "--output_dir", tmp_path / "out")  # fmt: skip
    process = launch("run_intermediate.py", *flags, "--retries", "1", expect=3)
    (line,) = [line for line in process.stderr.splitlines() if "error:" in line]
    assert "failed to learn (seed 42 at step 310 of 310: dev accuracy of mnli is 3" in line
    assert line.endswith("--retries 2 tries another seed, --overwrite begins anew.")
    tries = read(tmp_path / "out", "failed_tries.json")
    assert [(tried["seed"], tried["step"], len(tried["last_losses"])) for tried in tries] == [(42, 310, 5), (1042, 310, 5)]
    assert not (tmp_path / "out" / "results.json").exists() and not list((tmp_path / "out").glob("checkpoint-*"))

    again = launch("run_intermediate.py", *flags, expect=3)  # as a loop over cells would
    assert "failed to learn (seed 42" in again.stderr and "examples from" not in again.stdout, "nothing is loaded"


@pytest.mark.parametrize("task", [*HEADS, "several"])
def test_an_encoder_that_says_the_same_of_every_text_is_found_and_the_same_run_alive_is_not(task, common, call, tmp_path, soon):
    names, script = (("mnli", "hellaswag"), run_intermediate) if task == "several" else ((task,), SCRIPT[task])
    flags = ("--task", *names, *common, "--max_steps", "120", "--warmup_steps", "0.1", *LAST, *languages(script))
    with dead_under([42]), pytest.raises(Collapsed, match="seed 42 at step 120 of 120: dev .* one answer for all has"):
        call(script, *flags, "--output_dir", tmp_path / "dead")
    assert not (tmp_path / "dead" / "results.json").exists()
    results = call(script, *flags, "--output_dir", tmp_path / "alive")
    assert results["failed_tries"] == [] and results["seed_used"] == 42


def test_a_long_run_is_stopped_in_the_middle(common, call, tmp_path, monkeypatch):
    monkeypatch.setattr(collapse, "GRACE_STEPS", 60)
    monkeypatch.setattr(collapse, "WINDOW_STEPS", 50)
    flags = ("--task", "mnli", *common, "--max_steps", "300", "--warmup_steps", "20")
    with dead_under([42]), pytest.raises(Collapsed, match="seed 42 at step 100 of 300: the training loss of 50 steps is 1.0"):
        call(run_intermediate, *flags, "--output_dir", tmp_path / "dead")
    assert call(run_intermediate, *flags, "--output_dir", tmp_path / "alive")["training"]["steps"] == 300


@pytest.mark.parametrize("task, steps", [("mnli", 200), ("squad_v1", 2), ("mnli hellaswag", 200)])
def test_weights_that_are_no_numbers_end_the_run_at_the_next_look(task, steps, common, call, tmp_path):
    """A rate of 1e38 makes inf of the weights in one step. Two steps: the end comes before 25 steps have passed."""
    flags = ("--task", *task.split(), *common, "--learning_rate", "1e38", "--warmup_steps", "0", "--max_steps", steps)
    with pytest.raises(Collapsed, match="weights that are not finite numbers"):
        call(run_intermediate, *flags, "--output_dir", tmp_path)
    (tried,) = read(tmp_path, "failed_tries.json")
    assert tried["step"] == min(steps, 25) and "nan" in tried["last_losses"]
    assert not list(tmp_path.glob("model*"))


def test_weights_are_looked_at_before_they_are_evaluated_or_saved(common, call, tmp_path):
    flags = ("--task", "squad_v1", *common, "--learning_rate", "1e38", "--warmup_steps", "0", "--max_steps", "9")
    with pytest.raises(Collapsed):
        call(run_intermediate, *flags, "--save_steps", "3", "--output_dir", tmp_path)
    assert read(tmp_path, "failed_tries.json")[0]["step"] == 3


def test_losses_that_stay_infinite_over_healthy_weights_are_found_and_a_single_one_is_not():
    watch = object.__new__(collapse.CollapseWatch)
    state = SimpleNamespace(global_step=50, max_steps=500)
    watch.trainer = SimpleNamespace(state=state, args=SimpleNamespace(seed=1))
    watch.warmup, watch.window, watch.weights_are_finite = 0, collapse.deque(maxlen=250), lambda: True
    watch.raw = collapse.deque([1.0] * 24 + [math.nan], maxlen=25)
    watch.judge(state, used=False)
    watch.raw = collapse.deque([math.inf] * 24 + [math.nan], maxlen=25)
    with pytest.raises(Collapsed, match="no finite loss in its last 25 steps"):
        watch.judge(state, used=False)


# ---- not collapsed


@pytest.mark.parametrize("task", [*HEADS, "several"])
def test_a_short_run_is_never_called_collapsed(task, common, call, tmp_path, capsys):
    """Dead and short: nobody can tell whether it would have learned. The user reads a warning."""
    names, script = (("mnli", "squad_v1"), run_intermediate) if task == "several" else ((task,), SCRIPT[task])
    flags = ("--task", *names, *common, "--max_steps", "30", *LAST, *languages(script))
    with dead_under([42]):
        results = call(script, *flags, "--output_dir", tmp_path)
    assert "one answer for all has" in results["training"]["warning"] and results["failed_tries"] == []
    assert "warning: dev" in capsys.readouterr().out


def test_a_task_that_does_not_learn_among_others_that_do_is_a_warning(common, call, tmp_path, soon):
    flags = ("--task", "mnli", "squad_v1", *common, "--max_steps", "160", "--sampling", "temperature", "--temperature", "1")
    results = call(run_intermediate, *flags, "--output_dir", tmp_path)
    assert results["dev"]["mnli"]["accuracy"] > 80
    assert results["training"]["warning"].startswith("dev f1 of squad_v1") and "mnli" not in results["training"]["warning"]


def test_watching_changes_nothing(common, call, tmp_path, monkeypatch):
    flags = ("--task", "mnli", *common, "--max_steps", "40", "--save_steps", "20", "--eval_steps", "20")
    call(run_intermediate, *flags, "--output_dir", tmp_path / "watched")
    monkeypatch.setattr(collapse.CollapseWatch, "on_step_end", lambda *_, **__: None)
    call(run_intermediate, *flags, "--output_dir", tmp_path / "unwatched")
    watched, unwatched = (load_file(tmp_path / name / "model.safetensors") for name in ("watched", "unwatched"))
    assert all(torch.equal(watched[name], unwatched[name]) for name in watched)


# ---- again with another seed


@pytest.fixture
def one_failed(common):
    return ("--task", "xnli", *common, "--languages", "de", "--max_steps", "320", "--warmup_steps", "10", "--eval_steps", "80",
            "--retries", "1")  # fmt: skip


def test_a_retry_is_the_run_of_the_other_seed_and_the_failed_one_stands_beside_it(one_failed, call, tmp_path):
    with dead_under([42]) as still_there:
        results = call(run_target, *one_failed, "--output_dir", tmp_path / "retried")
    assert still_there == [0, 0], "the failed model is gone before the next is made"
    assert results["seed"] == 42 and results["seed_used"] == 1042
    (failed,) = results["failed_tries"]
    assert failed["seed"] == 42 and failed["step"] == 320 and "one answer for all" in failed["reason"]
    assert results["dev"]["accuracy"] > 90
    straight = call(run_target, *one_failed, "--seed", "1042", "--output_dir", tmp_path / "straight")
    assert straight["scores"] == results["scores"] and straight["failed_tries"] == []
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("retried", "straight")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not list((tmp_path / "retried").glob("checkpoint-*"))

    (before,) = lineage_of(str(tmp_path / "retried"))
    assert before["failed_tries"] == [failed] and before["seed_used"] == 1042, "a later phase says so too"


def test_a_run_killed_in_its_second_try_goes_on_there(one_failed, tmp_path):
    command = [sys.executable, "tests/dead_encoder.py", "42", "run_target", *map(str, one_failed), "--output_dir"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    cut = tmp_path / "cut"
    process = subprocess.Popen([*command, str(cut)], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not ((cut / "failed_tries.json").exists() and list(cut.glob("checkpoint-*/trainer_state.json"))):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (cut / "results.json").exists()
    again = launch(*command[1:-1], "--output_dir", cut)
    assert "try 2 of 2, with seed 1042" in again.stdout and "going on from" in again.stdout
    launch(*command[1:-1], "--output_dir", tmp_path / "whole")
    resumed, whole = read(cut, "results.json"), read(tmp_path / "whole", "results.json")
    assert resumed["training"]["resumed_from_step"] >= 80 and whole["training"]["resumed_from_step"] is None
    assert resumed["failed_tries"] == whole["failed_tries"] and resumed["seed_used"] == whole["seed_used"] == 1042
    assert resumed["scores"] == whole["scores"]


def test_two_processes_fail_and_begin_again_together(one_failed, tmp_path):
    flags = ("--per_device_train_batch_size", "8", "--output_dir", tmp_path)
    process = launch("tests/dead_encoder.py", "42", "run_target", *one_failed, *flags, processes=2)
    assert process.stdout.count("seed 42 failed to learn") == 1
    results = read(tmp_path, "results.json")
    assert results["world_size"] == 2 and results["seed_used"] == 1042 and results["dev"]["accuracy"] > 90
    assert [tried["seed"] for tried in results["failed_tries"]] == [42]


def test_failed_tries_belong_to_their_settings(common, call, tmp_path):
    flags = ("--task", "mnli", *common, "--warmup_steps", "0", "--max_steps", "2", "--output_dir", tmp_path)
    with pytest.raises(Collapsed):
        call(run_intermediate, *flags, "--learning_rate", "1e38")
    with pytest.raises(InputError, match="holds a run with learning_rate 1e\\+38; this command says 0.002"):
        call(run_intermediate, *flags, "--retries", "1")
    with pytest.raises(InputError, match="--retries -1 is not a number of tries"):
        call(run_intermediate, *flags, "--learning_rate", "1e38", "--retries", "-1")
    results = call(run_intermediate, *flags, "--overwrite")
    assert results["failed_tries"] == [] and not (tmp_path / "failed_tries.json").exists()
