"""The grid: its commands, and that the loop can be run again."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

from samples import demo, grid, write_data
from samples.write_data import write_all
from task_adapters import InputError

RECIPES = sorted(path for path in (ROOT / "recipes").rglob("*") if path.suffix in (".sh", ".sbatch"))
FAKE_LAUNCH = """#!{python}
# Stands for a launcher: notes the command, fails where $FAIL is in it, else leaves the results of a run with a score of 10 x seed.
# $HOLD: a command with it goes on when one with $UNTIL has begun, and notes its end.
# $TOGETHER: goes on when so many of its script have begun. $HANG: notes itself and its child, and neither ends.
import json, os, subprocess, sys, time
from pathlib import Path
line, notes = " ".join(sys.argv[1:]), Path(os.environ["NOTES"])
def note(text):
    with open(notes, "a") as file:
        file.write(text + "\\n")
if os.environ.get("HANG"):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    note(f"{{os.getpid()}} {{child.pid}}")
    time.sleep(3600)
note(line)
print("launched", line, file=sys.stderr)
assert not sys.stdin.read(), "the list of cells is not the launcher's to read"
if os.environ.get("HOLD") and os.environ["HOLD"] in line:
    end = time.time() + 600
    while not any(os.environ["UNTIL"] in text for text in notes.read_text().splitlines()):
        assert time.time() < end, "alone"
        time.sleep(0.01)
    note("end of " + line)
if os.environ.get("TOGETHER"):
    end = time.time() + 600
    while sum(text.startswith(sys.argv[1]) for text in notes.read_text().splitlines()) < int(os.environ["TOGETHER"]):
        assert time.time() < end, "alone"
        time.sleep(0.01)
if os.environ.get("FAIL") and os.environ["FAIL"] in line:
    sys.exit(2)
value = lambda flag: sys.argv[sys.argv.index(flag) + 1] if flag in sys.argv else None
folder, seed, model = Path(value("--output_dir")), value("--seed"), Path(value("--model_name_or_path"))
earlier = json.loads((model / "results.json").read_text()) if (model / "results.json").exists() else None
phase = sys.argv[1].removeprefix("run_").removesuffix(".py")
folder.mkdir(parents=True, exist_ok=True)
(folder / "results.json").write_text(json.dumps({{
    "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
    "phase": phase, "task": value("--task"), "seed": int(seed) if seed else None, "seconds": 36, "lineage": [earlier] if earlier else [],
    "data": [], "dev": {{"accuracy": 50.0, "f1": 50.0}}, "scores": {{"de": {{
    name: 10.0 * int(seed or earlier and earlier["seed"] or 0) for name in ("f1", "exact_match")}} | {{"examples": 2}}}}}}))
"""


# ---- which commands


def test_the_grid_is_thirty_trainings_and_every_start_before_every_target():
    todo = grid.cells("out")
    trained = [cell for cell in todo if cell.script == "run_intermediate"]
    scored = [cell for cell in todo if cell.script != "run_intermediate"]
    assert len(trained) == 10 * 3 and len(scored) == 11 * 9 * 3 - 2 * 2  # retrieval from nothing has no seed
    assert len({cell.folder for cell in todo}) == len(todo)
    for place, cell in enumerate(todo):
        assert cell.after is None or cell.after in {earlier.folder for earlier in todo[:place]}
        assert (cell.after is None) == (cell.start is None or cell in trained)
        model = cell.argv[cell.argv.index("--model_name_or_path") + 1]
        assert model == (cell.after or grid.ENCODER)
        if cell.script != "run_retrieval":
            assert cell.argv[cell.argv.index("--seed") + 1] in cell.folder
    xquad = next(cell for cell in scored if cell.task == "xquad")
    assert xquad.argv[xquad.argv.index("--languages") + 1 :][:7] == "ar de en es ru tr zh".split()  # no French XQuAD


def test_the_demo_runs_cells_of_the_grid():
    assert set(grid.cells("out", demo.STARTS, demo.TARGETS, [demo.SEED])) < set(grid.cells("out"))


def cells_of_recipes(name, **environment):
    command = ["bash", "-c", f"set -euo pipefail; source recipes/cells.sh; {name}"]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, env={**os.environ, **environment}).stdout.split(
        "\n"
    )[:-1]


def test_the_recipes_name_the_same_cells_as_the_miniature():
    todo = grid.cells("out")
    trained = [f"seed{line.replace(' ', '/')}" for line in cells_of_recipes("intermediate_cells")]
    assert sorted(f"out/{folder}" for folder in trained) == sorted(cell.folder for cell in todo if cell.script == "run_intermediate")
    scored = {(cell.start or "none", cell.task) for cell in todo if cell.script != "run_intermediate"}
    lines = [line.split() for line in cells_of_recipes("target_cells")]
    assert {(start, target) for _, start, target in lines} == scored and len(lines) == 293


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_recipes_are_valid_bash(recipe):
    subprocess.run(["bash", "-n", recipe], check=True)


# ---- the paper's grid, with a launcher that only notes what it was told


@pytest.fixture
def fake(tmp_path):
    """fake(recipe, *arguments, **environment) -> (process, the commands that were launched)

    meanwhile  called with the process and the path of the commands' file, while it runs."""
    launch = tmp_path / "launch"
    launch.write_text(FAKE_LAUNCH.format(python=sys.executable))
    launch.chmod(0o755)
    notes = tmp_path / "notes"

    def run(recipe, *arguments, meanwhile=None, **environment):
        notes.write_text("")
        here = {"PATH": f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}", "NOTES": str(notes), "LAUNCH": "launch",
                "TARGETS": "xquad bucc", "STARTS": "none mnli"}  # fmt: skip
        command = [ROOT / "recipes" / recipe, *map(str, arguments)]
        # A suite in the background of a shell ignores SIGINT, and bash cannot trap what was ignored when it began.
        heard = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
            env={**os.environ, **here, **environment}, start_new_session=True, preexec_fn=heard,
        )  # fmt: skip
        try:
            if meanwhile:
                meanwhile(process, notes)
        except BaseException:
            process.terminate()
            raise
        output, errors = process.communicate()
        return subprocess.CompletedProcess(command, process.returncode, output, errors), notes.read_text().splitlines()

    return run


def test_paper_grid_runs_every_cell_goes_on_after_a_failure_and_ends_in_the_table(fake, tmp_path):
    out = tmp_path / "out"
    process, commands = fake(
        "paper_grid.sh", "some/model", out, "1 3", FAIL="seed3/mnli/xquad", FLAGS="--bf16 --data_dir D", RETRIEVAL_FLAGS="--use_cpu"
    )
    assert process.returncode == 1 and process.stderr.strip().endswith("for these alone: seed3/mnli/xquad")
    assert len(commands) == 2 + 4 + 3  # trainings, xquad, bucc (from nothing once)
    assert (
        commands[0]
        == f"run_intermediate.py --task mnli --model_name_or_path some/model --output_dir {out}/seed1/mnli --seed 1 --bf16 --data_dir D"
    )
    assert (
        f"run_target.py --task xquad --model_name_or_path some/model --output_dir {out}/seed1/none/xquad --seed 1 --bf16 --data_dir D"
        in commands
    )
    assert f"run_retrieval.py --task bucc --model_name_or_path {out}/seed3/mnli --output_dir {out}/seed3/mnli/bucc --use_cpu" in commands
    assert f"run_retrieval.py --task bucc --model_name_or_path some/model --output_dir {out}/none/bucc --use_cpu" in commands
    report = (out / "report" / "report.md").read_text()
    tables = report.split("### ")
    rows = {row[1]: row[2:-1] for row in ([text.strip() for text in line.split("|")] for line in tables[1].splitlines()) if len(row) > 2}
    assert "| mnli (accuracy)   | 50.0 ± 0.0 |" in report, "the intermediate task itself"
    assert rows["baseline"] == ["20.0 ± 14.1", "0.0", "—", "2", "0"]
    assert rows["mnli"] == ["10.0 (n=1)", "20.0 ± 14.1", "—", "2", "0"]
    assert "20.0 ± 14.1" in process.stdout and "(n=1)" in process.stdout
    process, _ = fake("paper_grid.sh", "some/model", out, "1 3")
    assert process.returncode == 0 and "(n=1)" not in process.stdout


def test_paper_grid_says_what_failed_though_there_is_nothing_for_a_table(fake, tmp_path):
    process, commands = fake("paper_grid.sh", "some/model", tmp_path / "out", "1", FAIL="run_", STARTS="none")
    assert process.returncode == 1 and len(commands) == 2
    assert process.stderr.strip().endswith("for these alone: seed1/none/xquad seed1/none/bucc report")


def test_cells_at_once_run_side_by_side_each_on_its_gpu(fake, tmp_path, monkeypatch):
    out = tmp_path / "out"
    grid_of_six = {"STARTS": "mnli qqp anli", "TARGETS": "xquad", "TOGETHER": "3"}
    process, notes = fake("paper_grid.sh", "some/model", out, "1", AT_ONCE="4", GPUS="6 7", **grid_of_six)
    assert process.returncode == 0, process.stderr
    begun = [line.split()[0] for line in notes]
    assert sorted(begun) == ["run_intermediate.py"] * 3 + ["run_target.py"] * 3 and begun[:3] == ["run_intermediate.py"] * 3, "each once"
    gpus = [json.loads((out / "seed1" / folder / "results.json").read_text())["gpu"] for folder in ("mnli", "qqp", "anli")]
    assert sorted(gpus) == ["6", "6", "7"]
    for gpu in ("3", None):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpu) if gpu else monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        fake("paper_grid.sh", "some/model", tmp_path / f"on{gpu}", "1", STARTS="none", TARGETS="xquad")
        assert json.loads((tmp_path / f"on{gpu}/seed1/none/xquad/results.json").read_text())["gpu"] == gpu


def test_the_targets_of_a_start_and_of_the_baseline_do_not_wait_for_the_training_of_another(fake, tmp_path):
    """QQP's training ends only when a target after MNLI has begun."""
    out, targets = tmp_path / "out", {"STARTS": "none mnli qqp", "TARGETS": "xquad udpos"}
    until = f"run_target.py --task udpos --model_name_or_path {out}/seed1/mnli "
    process, notes = fake("paper_grid.sh", "m", out, "1", AT_ONCE="2", HOLD="run_intermediate.py --task qqp", UNTIL=until, **targets)
    assert process.returncode == 0, process.stderr
    tasks = [" ".join(line.split()[:3]) for line in notes]
    end = tasks.index("end of run_intermediate.py")
    # Each training is launched once. The order of the notes is the scheduler's: a target after MNLI may write its own before QQP does.
    assert [tasks.count(f"run_intermediate.py --task {start}") for start in ("mnli", "qqp")] == [1, 1]
    after = {start: [n for n, line in enumerate(notes) if line.startswith("run_target.py") and f"--output_dir {out}/seed1/{start}/" in line]
             for start in ("none", "mnli", "qqp")}  # fmt: skip
    assert all(len(places) == 2 for places in after.values())
    assert max(after["none"]) < end and min(after["qqp"]) > end and min(after["mnli"]) < end


@pytest.mark.parametrize("at_once", ["1", "2"])
def test_each_phase_has_its_own_flags(fake, tmp_path, at_once):
    flags = {
        "FLAGS": "--bf16",
        "INTERMEDIATE_FLAGS": "--sampling uniform",
        "TARGET_FLAGS": "--select_on mean",
        "RETRIEVAL_FLAGS": "--layer 8",
    }
    _, commands = fake("paper_grid.sh", "m", tmp_path / "out", "1", AT_ONCE=at_once, **flags)
    ends = {
        "run_intermediate.py": " --sampling uniform --bf16",
        "run_target.py": " --select_on mean --bf16",
        "run_retrieval.py": " --layer 8",
    }
    assert len(commands) == 5 and all(command.endswith(ends[command.split()[0]]) for command in commands)
    assert not any("--select_on" in command for command in commands if not command.startswith("run_target"))


def test_cells_at_once_write_logs_and_one_that_fails_is_named(fake, tmp_path):
    out = tmp_path / "out"
    process, commands = fake("paper_grid.sh", "some/model", out, "1 3", AT_ONCE="2", FAIL="seed3/mnli/xquad")
    assert process.returncode == 1 and len(commands) == 9
    logs = {path.name: path.read_text() for path in (out / "logs").iterdir()}
    cells = "1-mnli 3-mnli 1-none-xquad 1-none-bucc 1-mnli-xquad 1-mnli-bucc 3-none-xquad 3-mnli-xquad 3-mnli-bucc"
    assert set(logs) == {f"seed{cell}.log" for cell in cells.split()}
    assert all(text.startswith("launched run_") and text.count("\n") == 1 for text in logs.values())
    *said, last = process.stderr.splitlines()
    ended = [line for line in said if line.startswith(("done", "failed"))]  # On a new machine Matplotlib says that it looks for fonts.
    failed = f"failed {out}/logs/seed3-mnli-xquad.log"
    assert sorted(ended) == sorted({f"done   {out}/logs/{name}" for name in logs} - {failed.replace("failed", "done  ")} | {failed})
    assert last == "failed, run the same command again for these alone: seed3/mnli/xquad"
    assert (out / "report" / "report.html").is_file()
    process, _ = fake("paper_grid.sh", "some/model", out, "1 3", AT_ONCE="2")
    assert process.returncode == 0 and (out / "logs/seed1-mnli.log").read_text().count("launched") == 2, "no log is lost"
    process, _ = fake("paper_grid.sh", "some/model", tmp_path / "alone", "1")
    assert process.stderr.count("launched run_") == 5 and not (tmp_path / "alone/logs").exists(), "one by one: to the terminal"


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0] != "Z"
    except OSError:
        return False


def until(condition):
    """Waits for what a correct program does soon. The deadline is far away, because a machine may be busy."""
    end = time.monotonic() + 120
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()


def nothing_runs_after(process, notes):
    """Waits for the end of the recipe, and then of the cells that $HANG has noted."""
    process.wait(120)
    cells = [int(pid) for pid in notes.read_text().split()]
    try:
        until(lambda: not any(alive(pid) for pid in cells))
    finally:
        for pid in filter(alive, cells):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_paper_grid_leaves_nothing_running_when_it_is_stopped(fake, tmp_path, at_once, sent):
    def stop(process, notes):
        until(lambda: notes.read_text().count("\n") == at_once)
        if sent == signal.SIGINT:
            os.killpg(process.pid, sent)  # as a terminal does at Ctrl-C
        else:
            process.send_signal(sent)
        nothing_runs_after(process, notes)

    (tmp_path / "tmp").mkdir()
    process, notes = fake("paper_grid.sh", "some/model", tmp_path / "out", "1", meanwhile=stop, HANG="1", STARTS="mnli qqp anli",
                          AT_ONCE=str(at_once), TMPDIR=str(tmp_path / "tmp"))  # fmt: skip
    assert process.returncode == 128 + sent and len(notes) == at_once and "failed" not in process.stderr
    assert not list((tmp_path / "tmp").iterdir())


def test_a_cell_that_has_just_been_started_is_stopped_too(fake, tmp_path):
    """The signal comes when the cell runs, and the recipe has not noted its process yet. A busy machine leaves that much time."""
    late = """if [[ $0 == */paper_grid.sh ]]; then
      first() { [[ -z ${sent:-} && $1 == cell_of\\[* ]] || return 0; sent=1; until [[ -s $NOTES ]]; do sleep 0.02; done; kill -TERM $$; }
      trap 'first "$BASH_COMMAND"' DEBUG
    fi"""
    (tmp_path / "late").write_text(late)
    process, notes = fake("paper_grid.sh", "some/model", tmp_path / "out", "1", meanwhile=nothing_runs_after, HANG="1",
                          BASH_ENV=str(tmp_path / "late"))  # fmt: skip
    assert process.returncode == 143 and len(notes) == 1


@pytest.mark.parametrize("at_once", ["0", "x", "-1", "2 2", "1.5"])
def test_a_senseless_number_of_cells_at_once_is_one_line(fake, tmp_path, at_once):
    process, commands = fake("paper_grid.sh", "some/model", tmp_path / "out", AT_ONCE=at_once)
    assert process.returncode == 2 and not commands and not (tmp_path / "out").exists()
    assert process.stderr == f"'{at_once}' is no number of cells at once (AT_ONCE): a whole one, at least 1, would be right.\n"


@pytest.fixture
def slurm(fake, tmp_path):
    """slurm(**environment) -> (the arrays that `submit` gives to sbatch, what it prints); job numbers are 71, 72, ..."""
    sbatch = tmp_path / "sbatch"
    sbatch.write_text('#!/bin/bash\necho "$*" >> "$NOTES"\necho "$((70 + $(wc -l < "$NOTES")));cluster"\n')
    sbatch.chmod(0o755)

    def submit(**environment):
        process, submitted = fake("slurm_grid.sbatch", "submit", **environment)
        assert process.returncode == 0, process.stderr
        return submitted, process.stdout.splitlines()

    return submit


def test_slurm_arrays_cover_the_grid_and_targets_wait_for_their_own_training_alone(slurm):
    submitted, said = slurm(SEEDS="1 3", STARTS="none mnli qqp", LIMIT="5")
    file = "recipes/slurm_grid.sbatch"
    assert submitted == [
        f"--parsable --array=0-3%5 {file} intermediate",
        f"--parsable --array=0-1%5 {file} target 1 none",
        f"--parsable --array=0-1%5 --dependency=afterany:71_0 {file} target 1 mnli",
        f"--parsable --array=0-1%5 --dependency=afterany:71_1 {file} target 1 qqp",
        f"--parsable --array=0-0%5 {file} target 3 none",
        f"--parsable --array=0-1%5 --dependency=afterany:71_2 {file} target 3 mnli",
        f"--parsable --array=0-1%5 --dependency=afterany:71_3 {file} target 3 qqp",
    ]
    assert said[:2] == ["job 71: 4 intermediate trainings", "job 72: 2 targets of seed 1, none"]


def test_a_slurm_job_may_run_several_cells_on_its_gpu_in_a_partition(slurm):
    submitted, _ = slurm(SEEDS="1", STARTS="mnli qqp anli", PER_JOB="2", PARTITION="gpu")
    arrays = [line.removeprefix("--parsable --partition=gpu --array=").replace("recipes/slurm_grid.sbatch ", "") for line in submitted]
    assert arrays == ["0-1%16 intermediate", "0-0%16 --dependency=afterany:71_0 target 1 mnli",
                      "0-0%16 --dependency=afterany:71_0 target 1 qqp", "0-0%16 --dependency=afterany:71_1 target 1 anli"]  # fmt: skip
    assert not any("--dependency" in line for line in slurm(SEEDS="1", STARTS="none mnli", MODELS="earlier")[0]), "their models are there"
    assert slurm(SEEDS="1", STARTS="none")[0] == ["--parsable --array=0-1%16 recipes/slurm_grid.sbatch target 1 none"]


def test_an_array_that_slurm_refuses_ends_the_submission(fake, tmp_path):
    """sbatch takes one array and refuses the next: no job may wait for a number that does not exist, and the exit code says so."""
    sbatch = tmp_path / "sbatch"
    refuses = 'if (($(wc -l < "$NOTES") > 1)); then echo "sbatch: invalid" >&2; exit 1; fi'
    sbatch.write_text(f'#!/bin/bash\necho "$*" >> "$NOTES"\n{refuses}\necho 71\n')
    sbatch.chmod(0o755)
    process, submitted = fake("slurm_grid.sbatch", "submit", SEEDS="1", STARTS="mnli qqp")
    assert len(submitted) == 2 and process.stdout == "job 71: 2 intermediate trainings\n"
    assert (process.returncode, process.stderr) == (2, "sbatch: invalid\nslurm_grid.sbatch: sbatch refused this array: target 1 mnli\n")


def test_each_slurm_job_runs_its_cells(fake, tmp_path):
    out = tmp_path / "o"
    folders = set()
    for seed, start, count in (("1", "none", 2), ("1", "mnli", 2), ("3", "none", 1), ("3", "mnli", 2)):
        for number in range(count):
            job = {"SLURM_ARRAY_TASK_ID": str(number), "SLURM_SUBMIT_DIR": str(ROOT), "SEEDS": "1 3", "OUT": str(out)}
            process, (line,) = fake("slurm_grid.sbatch", "target", seed, start, FAIL="run_", **job)
            assert process.returncode == 2  # the cell's own exit code
            folders.add(line.split("--output_dir ")[1].split()[0])
    trained = {f"{out}/seed{seed}/{start}" for seed in (1, 3) for start in ("none", "mnli")}
    assert folders == {f"{folder}/xquad" for folder in trained} | {f"{out}/seed1/mnli/bucc", f"{out}/seed3/mnli/bucc", f"{out}/none/bucc"}
    job = {"SLURM_ARRAY_TASK_ID": "0", "SLURM_SUBMIT_DIR": str(ROOT), "SEEDS": "1", "OUT": str(out), "PER_JOB": "2"}
    process, lines = fake("slurm_grid.sbatch", "target", "1", "none", FAIL="bucc", **job)
    assert process.returncode == 2 and len(lines) == 2, "both ran, and one failed"
    assert {path.name for path in (out / "logs").iterdir()} == {"seed1-none-xquad.log", "seed1-none-bucc.log"}
    tuned = {**job, "STARTS": "none/panx", "MODELS": "m", "TARGETS": "tatoeba"}
    assert fake("slurm_grid.sbatch", "target", "1", "none/panx", **tuned)[0].returncode == 0
    assert (out / "logs" / "seed1-none-panx-tatoeba.log").is_file(), "a start may be a finished target"
    process, (line,) = fake("slurm_grid.sbatch", "intermediate", **job)
    assert process.returncode == 0 and line.startswith("run_intermediate.py --task mnli")


def test_a_slurm_job_that_is_preempted_is_queued_again():
    text = (ROOT / "recipes" / "slurm_grid.sbatch").read_text()
    assert "\n#SBATCH --requeue\n" in text and "\n#SBATCH --open-mode=append\n" in text


@pytest.mark.parametrize("name, what", [("PER_JOB", "cells in a job (PER_JOB)"), ("LIMIT", "jobs at a time (LIMIT)")])
def test_a_senseless_number_for_slurm_is_one_line(fake, name, what):
    process, commands = fake("slurm_grid.sbatch", "submit", **{name: "0"})
    assert process.returncode == 2 and not commands
    assert process.stderr == f"'0' is no number of {what}: a whole one, at least 1, would be right.\n"


def test_multi_gpu_lines(tmp_path):
    for name in ("torchrun", "accelerate"):
        (tmp_path / name).write_text(f'#!/bin/bash\necho "{name} $*; RANK ${{RANK-unset}}"\n')
        (tmp_path / name).chmod(0o755)

    def line(*arguments, expect=0, **environment):
        process = subprocess.run([ROOT / "recipes" / "multi_gpu.sh", *arguments], capture_output=True, text=True,
                                 env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **environment})  # fmt: skip
        assert process.returncode == expect
        return process.stderr if expect else process.stdout.strip()

    assert line("4", "run_target.py", "--task", "xnli") == "torchrun --standalone --nproc_per_node 4 run_target.py --task xnli; RANK unset"
    two = line("4", "run_target.py", NODES="2", RANK="1", MASTER="m")
    assert two == "torchrun --nnodes 2 --nproc_per_node 4 --node_rank 1 --master_addr m --master_port 29500 run_target.py; RANK unset"
    assert line("4", "run_target.py", NODES="2", expect=2) == "NODES=2 needs MASTER, the address of machine 0.\n"
    for gpus in ("four", "0", "-1", "4 4", ""):
        said = f"'{gpus}' is no number of GPUs: a whole one, at least 1, would be right.\n"
        assert all(line(gpus, "run_target.py", LAUNCHER=launcher, expect=2) == said for launcher in ("torchrun", "accelerate")), gpus
    assert line("4", "x.py", NODES="two", expect=2) == (
        "'two' is no number of machines (NODES): a whole one, at least 1, would be right.\n"
    )
    two = line("4", "x.py", NODES="2", RANK="1", MASTER="m", LAUNCHER="accelerate")
    flags = "--num_processes 8 --num_machines 2 --machine_rank 1 --main_process_port 29500 --main_process_ip m"
    assert two == f"accelerate launch --multi_gpu {flags} x.py; RANK unset"
    one = line("1", "x.py", LAUNCHER="accelerate")  # accelerate refuses --multi_gpu for a single process
    assert one == "accelerate launch --num_processes 1 --num_machines 1 --machine_rank 0 --main_process_port 29500 x.py; RANK unset"


# ---- the miniature grid itself


def test_the_miniature_grid_skips_what_is_finished_and_says_what_failed(tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    write_all(data, scale=0.02)

    def run(*targets, start="mnli"):
        command = [sys.executable, "-m", "samples.grid", "--output_dir", out, "--data_dir", data, "--jobs", "1", "--seeds", "7",
                   "--starts", "none", start, "--max_train_samples", "32", "--targets", *targets]  # fmt: skip
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=ROOT)

    first = run("tatoeba", "xnli")
    assert first.returncode == 0, first.stdout + first.stderr
    lines = first.stdout.splitlines()
    assert lines[0].startswith("[1/5") and "seed7/mnli: " in lines[0] and "was there" not in first.stdout
    assert re.search("^mnli +", first.stdout, re.M) and (out / "report/transfer.png").stat().st_size > 1000
    results = {path: path.read_bytes() for path in out.rglob("results.json")}
    assert len(results) == 5
    trained = json.loads((out / "seed7/mnli/xnli/results.json").read_text())
    assert trained["seed"] == 7 and trained["lineage"][0]["task"] == "mnli" and trained["lineage"][0]["seed"] == 7

    shutil.rmtree(data / "google-research-datasets" / "paws-x")
    second = run("tatoeba", "pawsx", "xnli")
    assert second.returncode == 1 and second.stdout.count("was there") == 5 and second.stdout.count("FAILED (InputError") == 2
    assert "2 of 7 cells failed" in second.stderr and f"{out}/seed7/none/pawsx: InputError: " in second.stderr
    assert "InputError" in (out / "seed7/none/pawsx.log").read_text()
    assert {path: path.read_bytes() for path in out.rglob("results.json")} == results

    shutil.rmtree(data / "nyu-mll" / "glue" / "qqp")
    third = run("tatoeba", "xnli", start="qqp")
    assert third.returncode == 1 and f"{out}/seed7/qqp: InputError: " in third.stderr
    for target in ("tatoeba", "xnli"):
        assert f"{out}/seed7/qqp/{target}: not run: {out}/seed7/qqp failed" in third.stderr
    assert "3 of 5 cells failed" in third.stderr and {path: path.read_bytes() for path in out.rglob("results.json")} == results


def test_the_world_is_written_again_when_its_generator_is_another(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(grid, "DATA", str(tmp_path))
    monkeypatch.setattr(write_data, "write_all", lambda *where, **_: written.append(where))
    for marker, times in ((None, 1), ("older", 2), (write_data.generator(), 2)):
        if marker is not None:
            (tmp_path / write_data.MARKER).write_text(marker)
        grid.make_world()
        assert len(written) == times


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--starts", "mnlu"], "Unknown start 'mnlu'. Did you mean 'mnli'?"),
        (["--jobs", "0"], "at least 1"),
        (["--seeds", "7", "7"], "one is named twice"),
    ],
)
def test_mistakes_are_one_line(flags, said, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["grid.py", *flags])
    with pytest.raises(InputError, match=said.replace("?", r"\?")):
        grid.main()
