"""--seeds: one run for each seed in a process of its own; a failed one hides no other; a table with mean and standard deviation."""

import json
import sys
from types import SimpleNamespace

import pytest
from conftest import launch

import run_intermediate
import run_target
from task_adapters import InputError
from trainer import seeds
from trainer.seeds import seed_table


def write(folder, **results):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results))


@pytest.fixture
def started(call, monkeypatch, tmp_path):
    """started(codes, script, *flags): (exit code of the script, commands of its runs), each of which ends with the code of its seed."""

    def run(codes, script, *flags):
        commands = []

        def process(command):
            commands.append(command)
            seed = int(command[command.index("--seed") + 1])
            if not codes[seed]:
                write(tmp_path / f"out/seed{seed}", task="mnli", dev={"accuracy": float(seed), "examples": 9})
            return SimpleNamespace(returncode=codes[seed])

        monkeypatch.setattr(seeds.subprocess, "run", process)
        with pytest.raises(SystemExit) as ended:
            call(script, "--output_dir", tmp_path / "out", "--use_cpu", *flags)
        return ended.value.code, commands

    return run


def test_each_seed_is_the_same_command_in_a_folder_of_its_own(started, tmp_path, capsys):
    code, commands = started({42: 0, 43: 0, 44: 0}, run_intermediate, "--task", "mnli", "--seeds", "42", "43", "44", "--max_steps", "3")
    assert code == 0 and commands == [
        [sys.executable, "run_intermediate.py", "--use_cpu", "--task", "mnli", "--max_steps", "3", "--seed", str(seed), "--output_dir",
         str(tmp_path / f"out/seed{seed}")] for seed in (42, 43, 44)
    ]  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == [
        "accuracy         seed 42   seed 43   seed 44      mean        sd",
        "en dev             42.00     43.00     44.00     43.00      1.00",
    ]


def test_a_seed_that_fails_hides_no_other(started, capsys):
    code, commands = started({42: 3, 43: 0}, run_intermediate, "--task", "mnli", "--seeds", "42", "43")
    lines = capsys.readouterr().out.splitlines()
    assert code == 1 and len(commands) == 2 and lines[-2].split() == ["en", "dev", "43.00", "43.00", "-"]
    assert lines[-1] == "failed: seed 42 (exit code 3). Run the same command again for these alone."
    assert started({42: 2, 43: 2}, run_intermediate, "--task", "mnli", "--seeds", "42", "43")[0] == 1


def test_languages_of_a_target_and_tasks_that_were_trained_together_have_rows():
    def scores(value):
        return {language: {"accuracy": value + number, "examples": 9} for number, language in enumerate(("en", "de"))}

    target = {seed: {"task": "xnli", "scores": scores(seed), "mean": {"accuracy": seed + 0.5}, "dev": {"accuracy": 1.0}} for seed in (1, 3)}
    assert [line.split() for line in seed_table(target).splitlines()] == [
        ["accuracy", "seed", "1", "seed", "3", "mean", "sd"], ["en", "1.00", "3.00", "2.00", "1.41"],
        ["de", "2.00", "4.00", "3.00", "1.41"], ["mean", "1.50", "3.50", "2.50", "1.41"],
    ]  # fmt: skip
    assert "mean  " not in seed_table({1: {**target[1], "mean": None}}).split("\n", 1)[1]
    together = {1: {"task": ["mnli", "squad_v1"], "dev": {"mnli": {"accuracy": 5.0}, "squad_v1": {"f1": 7.0}}, "dev_mean": 6.0}}
    assert [line.split()[:2] for line in seed_table(together).splitlines()[1:]] == [
        ["mnli", "5.00"],
        ["squad_v1", "7.00"],
        ["mean", "6.00"],
    ]


@pytest.mark.parametrize("flags, world, message", [
    (("--seeds", "1", "2", "1"), 1, "--seeds names 1 2 times."),
    (("--seeds", "-1"), 1, "--seed -1: at least 0 and below 2"),
    (("--seeds", "1", "2", "--seed", "3"), 1, "--seed and --seeds: leave one of the two out."),
    (("--seeds", "1", "2", "--push_to_hub", "--hub_model_id", "me/x"), 1, "--push_to_hub publishes one model, and --seeds makes several"),
    (("--seeds", "1", "2"), 2, "--seeds starts a process for each seed: with several processes a seed, run the command once"),
])  # fmt: skip
def test_mistakes_are_one_line_before_the_first_run(flags, world, message, started, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", str(world))
    with pytest.raises(InputError) as error:
        started({}, run_target, "--task", "xnli", *flags)
    assert str(error.value).startswith(message)


def test_two_seeds_as_a_user_starts_them(tiny_model, data_dir, tmp_path):
    """The first has failed to learn before, and says so; the second is trained."""
    failed = [{"seed": 1, "step": 1, "steps": 2, "reason": "x", "last_losses": []}]
    flags = ("--task", "mnli", "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--output_dir", tmp_path / "out", "--use_cpu",
             "--max_steps", "2", "--max_eval_samples", "8", "--max_seq_length", "48", "--disable_tqdm", "true")  # fmt: skip
    (tmp_path / "out/seed1").mkdir(parents=True)
    (tmp_path / "out/seed1/failed_tries.json").write_text(json.dumps(failed))
    process = launch("run_intermediate.py", *flags, "--seeds", "1", "2", expect=1)
    assert "seed1 failed to learn (seed 1 at step 1 of 2: x)" in process.stderr
    results = json.loads((tmp_path / "out/seed2/results.json").read_text())
    last = process.stdout.splitlines()[-2:]
    assert results["seed"] == 2 and last[0].split()[:3] == ["en", "dev", f"{results['dev']['accuracy']:.2f}"]
    assert last[1] == "failed: seed 1 (exit code 3). Run the same command again for these alone."
