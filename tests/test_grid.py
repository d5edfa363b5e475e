"""The grid: its commands, the table of their results, and that the loop can be run again."""

import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

from report import grid_table
from samples import demo, grid, write_data
from samples.write_data import write_all
from task_adapters import InputError
from trainer import masked_lm

RECIPES = sorted((ROOT / "recipes").iterdir())
FAKE_LAUNCH = """#!{python}
# Replaces a launcher: writes the command to a file, fails if $FAIL is in it, otherwise leaves results with a score of 10 x seed.
# $TOGETHER: waits until so many commands have begun, and records its end. $HANG: records itself and its child, and neither ends.
import json, os, subprocess, sys, time
from pathlib import Path
line, notes = " ".join(sys.argv[1:]), Path(os.environ["NOTES"])
def note(text):
    with open(notes, "a") as file:
        file.write(text + "\\n")
if os.environ.get("HANG"):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    note(f"{{os.getpid()}} {{child.pid}}")
    time.sleep(60)
note(line)
print("launched", line, file=sys.stderr)
assert not sys.stdin.read(), "the list of cells is not the launcher's to read"
if os.environ.get("TOGETHER"):
    end = time.time() + 20
    while sum(text.startswith(sys.argv[1]) for text in notes.read_text().splitlines()) < int(os.environ["TOGETHER"]):
        assert time.time() < end, "alone"
        time.sleep(0.01)
    time.sleep(0.3)
    note("end of " + line)
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
    "data": [], "dev": {{"accuracy": 50.0, "f1": 50.0}},
    "scores": {{"de": {{"f1": 10.0 * int(seed or earlier and earlier["seed"] or 0), "examples": 2}}}}}}))
"""


def write_run(folder, target, scores, lineage=(), seed=42, phase="target", seconds=36.0, **more):
    """Writes a results.json with the values that the table needs. scores: language -> score."""
    metric = grid_table.TASKS[target].dev_metric
    results = {"phase": phase, "task": target, "lineage": list(lineage), "seconds": seconds, "data": [], **more,
               "scores": {language: {"another": -1.0, metric: score, "examples": 4} for language, score in scores.items()}}  # fmt: skip
    if phase != "retrieval":
        results["seed"] = seed
    Path(folder).mkdir(parents=True)
    Path(folder, "results.json").write_text(json.dumps(results))


def after(task, seed, **more):
    data = [{"split": split, "language": "en", "examples": 8} for split in ("train", "dev")]
    return [{"task": task, "seed": seed, "data": data, **more}]


# ---- commands


def test_the_grid_is_thirty_trainings_and_every_start_before_every_target():
    todo = grid.cells("out")
    trained = [cell for cell in todo if cell.script == "run_intermediate"]
    scored = [cell for cell in todo if cell.script != "run_intermediate"]
    assert len(trained) == 10 * 3 and len(scored) == 11 * 9 * 3 - 2 * 2  # The baseline of retrieval has no seed.
    assert len({cell.folder for cell in todo}) == len(todo)
    for place, cell in enumerate(todo):
        assert cell.after is None or cell.after in {earlier.folder for earlier in todo[:place]}
        assert (cell.after is None) == (cell.start is None or cell in trained)
        model = cell.argv[cell.argv.index("--model_name_or_path") + 1]
        assert model == (cell.after or grid.ENCODER)
        if cell.script != "run_retrieval":
            assert cell.argv[cell.argv.index("--seed") + 1] in cell.folder
    xquad = next(cell for cell in scored if cell.task == "xquad")
    assert xquad.argv[xquad.argv.index("--languages") + 1 :][:7] == "ar de en es ru tr zh".split()  # XQuAD has no French.


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
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", "-x", recipe], check=True, cwd=ROOT)


# ---- the paper's grid, with a launcher that only records its commands


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
    assert len(commands) == 2 + 4 + 3  # trainings, xquad, bucc (with one baseline)
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
    _, table, _, _, _, dev, _ = process.stdout.split("\n\n")
    rows = {row[1]: row[2:-1] for row in ([text.strip() for text in line.split("|")] for line in table.splitlines())}
    assert "| mnli      | 50.0 ± 0.0 |" in dev, "the intermediate task itself"
    assert rows["nothing"] == ["20.0 ± 14.1", "0.0"] and rows["mnli"] == ["+0.0 (n=1)", "+20.0 ± 14.1"]  # bucc: 10 and 30 against 0
    assert (out / "table.md").read_text() == process.stdout
    process, _ = fake("paper_grid.sh", "some/model", out, "1 3")
    assert process.returncode == 0 and "+0.0 ± 0.0" in process.stdout


def test_paper_grid_says_what_failed_though_there_is_nothing_for_a_table(fake, tmp_path):
    process, commands = fake("paper_grid.sh", "some/model", tmp_path / "out", "1", FAIL="run_", STARTS="none")
    assert process.returncode == 1 and len(commands) == 2
    assert process.stderr.strip().endswith("for these alone: seed1/none/xquad seed1/none/bucc table")


def test_cells_at_once_run_side_by_side_each_on_its_gpu_and_targets_wait_for_every_training(fake, tmp_path, monkeypatch):
    out = tmp_path / "out"
    grid_of_six = {"STARTS": "mnli qqp anli", "TARGETS": "xquad", "TOGETHER": "3"}
    process, notes = fake("paper_grid.sh", "some/model", out, "1", AT_ONCE="4", GPUS="6 7", **grid_of_six)
    assert process.returncode == 0, process.stderr
    begun = [line.split()[0] for line in notes if not line.startswith("end of")]
    assert begun == ["run_intermediate.py"] * 3 + ["run_target.py"] * 3, "each once"
    order = [" ".join(line.split()[:3]) for line in notes]
    assert order.index("run_target.py --task xquad") == 6, "a slot is free, and a target waits for the last training all the same"
    gpus = [json.loads((out / "seed1" / folder / "results.json").read_text())["gpu"] for folder in ("mnli", "qqp", "anli")]
    assert sorted(gpus) == ["6", "6", "7"]
    for gpu in ("3", None):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpu) if gpu else monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        fake("paper_grid.sh", "some/model", tmp_path / f"on{gpu}", "1", STARTS="none", TARGETS="xquad")
        assert json.loads((tmp_path / f"on{gpu}/seed1/none/xquad/results.json").read_text())["gpu"] == gpu


def test_cells_at_once_write_logs_and_one_that_fails_is_named(fake, tmp_path):
    out = tmp_path / "out"
    process, commands = fake("paper_grid.sh", "some/model", out, "1 3", AT_ONCE="2", FAIL="seed3/mnli/xquad")
    assert process.returncode == 1 and len(commands) == 9
    logs = {path.name: path.read_text() for path in (out / "logs").iterdir()}
    cells = "1-mnli 3-mnli 1-none-xquad 1-none-bucc 1-mnli-xquad 1-mnli-bucc 3-none-xquad 3-mnli-xquad 3-mnli-bucc"
    assert set(logs) == {f"seed{cell}.log" for cell in cells.split()}
    assert all(text.startswith("launched run_") and text.count("\n") == 1 for text in logs.values())
    *ended, last = process.stderr.splitlines()
    failed = f"failed {out}/logs/seed3-mnli-xquad.log"
    assert sorted(ended) == sorted({f"done   {out}/logs/{name}" for name in logs} - {failed.replace("failed", "done  ")} | {failed})
    assert last == "failed, run the same command again for these alone: seed3/mnli/xquad"
    assert process.stdout == (out / "table.md").read_text()
    process, _ = fake("paper_grid.sh", "some/model", out, "1 3", AT_ONCE="2")
    assert process.returncode == 0 and (out / "logs/seed1-mnli.log").read_text().count("launched") == 2, "no log is lost"
    process, _ = fake("paper_grid.sh", "some/model", tmp_path / "alone", "1")
    assert process.stderr.count("launched run_") == 5 and not (tmp_path / "alone/logs").exists(), "one by one: to the terminal"


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0] != "Z"
    except OSError:
        return False


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_paper_grid_leaves_nothing_running_when_it_is_stopped(fake, tmp_path, at_once, sent):
    def stop(process, notes):
        until(lambda: notes.read_text().count("\n") == at_once)
        if sent == signal.SIGINT:
            os.killpg(process.pid, sent)  # as a terminal does at Ctrl-C
        else:
            process.send_signal(sent)
        process.wait(20)
        until(lambda: not any(alive(pid) for pid in notes.read_text().split()), 5)

    (tmp_path / "tmp").mkdir()
    process, notes = fake("paper_grid.sh", "some/model", tmp_path / "out", "1", meanwhile=stop, HANG="1", STARTS="mnli qqp anli",
                          AT_ONCE=str(at_once), TMPDIR=str(tmp_path / "tmp"))  # fmt: skip
    assert process.returncode == 128 + sent and len(notes) == at_once and "failed" not in process.stderr
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize("at_once", ["0", "x", "-1", "2 2", "1.5"])
def test_a_senseless_number_of_cells_at_once_is_one_line(fake, tmp_path, at_once):
    process, commands = fake("paper_grid.sh", "some/model", tmp_path / "out", AT_ONCE=at_once)
    assert process.returncode == 2 and not commands and not (tmp_path / "out").exists()
    assert process.stderr == f"'{at_once}' is no number of cells at once (AT_ONCE): a whole one, at least 1, would be right.\n"


def test_slurm_arrays_cover_the_grid_and_each_job_runs_one_cell(fake, tmp_path):
    sbatch = tmp_path / "sbatch"
    sbatch.write_text('#!/bin/bash\necho "$*" >> "$NOTES"\nif [[ $* == *parsable* ]]; then echo 77; fi\n')
    sbatch.chmod(0o755)
    process, submitted = fake("slurm_grid.sbatch", "submit", SEEDS="1 3", LIMIT="5")
    assert process.returncode == 0, process.stderr
    assert submitted == ["--parsable --array=0-1%5 recipes/slurm_grid.sbatch intermediate",
                         "--array=0-6%5 --dependency=afterany:77 recipes/slurm_grid.sbatch target"]  # fmt: skip
    folders = set()
    for number in range(7):
        job = {"SLURM_ARRAY_TASK_ID": str(number), "SLURM_SUBMIT_DIR": str(ROOT)}
        process, (line,) = fake("slurm_grid.sbatch", "target", SEEDS="1 3", OUT="o", FAIL="run_", **job)
        assert process.returncode == 2  # the exit code of the cell
        folders.add(line.split("--output_dir ")[1].split()[0])
    trained = {f"o/seed{seed}/{start}" for seed in (1, 3) for start in ("none", "mnli")}
    assert folders == {f"{folder}/xquad" for folder in trained} | {"o/seed1/mnli/bucc", "o/seed3/mnli/bucc", "o/none/bucc"}


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


# ---- the table


def test_means_and_spreads_are_those_of_a_calculator(tmp_path):
    for seed, nothing, mnli in ((1, 40.0, 43.0), (2, 50.0, 51.0), (3, 45.0, 50.0)):
        write_run(tmp_path / f"{seed}/a", "xquad", {"en": nothing + 20, "de": nothing, "zh": nothing - 10}, seed=seed)
        write_run(tmp_path / f"{seed}/b", "xquad", {"en": 0.0, "de": mnli, "zh": mnli - 10}, after("mnli", seed), seed)
        write_run(tmp_path / f"{seed}/c", "bucc", {"de": 10.0 * seed}, after("mnli", seed), phase="retrieval")
    write_run(tmp_path / "d", "bucc", {"de": 12.0}, phase="retrieval", seconds=36 * 90)
    runs, hours = grid_table.collect(tmp_path)
    assert len(runs) == 10 and hours == pytest.approx((9 * 36 + 36 * 90) / 3600)
    assert grid_table.in_order(runs) == (["nothing", "mnli"], ["xquad", "bucc"])
    targets, rows = grid_table.grid(runs, "others")
    # xquad: means of de and zh are 35, 45, 40: 40 ± 5; differences 3, 1, 5: 3 ± 2. bucc: 10, 20, 30 minus 12: 8 ± 10.
    assert rows == [["nothing", "40.0 ± 5.0", "12.0"], ["mnli", "+3.0 ± 2.0", "+8.0 ± 10.0"], ["chance", "0.0", "0.0"]]
    assert grid_table.grid(runs, "en")[1][:2] == [["nothing", "65.0 ± 5.0"], ["mnli", "-65.0 ± 5.0"]]
    assert grid_table.grid(runs, "all")[1][0][1] == "48.3 ± 5.0"  # (65 + 45 + 35) / 3
    assert grid_table.languages(runs) == [["xquad", "en 65.0 (0.0)", "de 45.0 (0.0)", "zh 35.0 (0.0)"],
                                          ["bucc", "", "de 12.0 (0.0)", "de 12.0 (0.0)"]]  # fmt: skip
    text = grid_table.report(runs, hours, ["others", "en"])
    assert len({len(line) for line in text.split("\n\n")[1].split("\n")}) == 1 and "seeds 1, 2, 3; 0.99 hours" in text
    grid_table.picture(runs, "others", tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 1000


def test_a_seed_that_the_baseline_lacks_is_held_against_its_mean_and_one_run_has_no_spread():
    assert grid_table.differences({1: 5.0, 9: 5.0}, {1: 4.0, 2: 2.0}) == [1.0, 2.0]
    assert grid_table.cell([1.25], "+") == "+1.2" and grid_table.cell([1.0, 2.0]) == "1.5 ± 0.7"
    assert grid_table.cell([1.0, 2.0], "+", 3) == "+1.5 ± 0.7 (n=2)"


def test_chance_is_the_most_frequent_answer(tmp_path):
    labels = tmp_path / "labels"
    for target, text in (
        ("xnli", "neutral\nneutral\nentailment\nneutral\n"),
        ("tatoeba", "1\n0\n3\n2\n"),
        ("udpos", "NOUN\nNOUN\nVERB\n\nNOUN\n\n"),
    ):
        (labels / target).mkdir(parents=True)
        (labels / target / "test-de.tsv").write_text(text)
    assert grid_table.chance(tmp_path, "xnli", ["de"]) == {"de": 75.0}
    assert grid_table.chance(tmp_path, "tatoeba", ["de"]) == {"de": 25.0}
    # Guess: NOUN NOUN NOUN / NOUN, two runs of tags; gold has three, one of which is found: F1 = 2 * 1 / (2 + 3).
    assert grid_table.chance(tmp_path, "udpos", ["de"])["de"] == pytest.approx(40.0)
    assert grid_table.chance(tmp_path, "mlqa", ["de"]) == {"de": 0.0}


def test_runs_that_failed_to_learn_are_named_below_the_table(tmp_path, monkeypatch, capsys):
    for seed in (1, 2):
        write_run(tmp_path / f"{seed}", "xquad", {"de": 40.0}, seed=seed)
    (tmp_path / "3").mkdir()
    for failed in ("2", "3"):
        (tmp_path / failed / "failed_tries.json").write_text("[]")
    monkeypatch.setattr(sys, "argv", ["grid_table.py", str(tmp_path)])
    grid_table.main()
    assert capsys.readouterr().out.rstrip().split("\n\n")[-2:] == [
        f"Failed to learn, in no mean: {tmp_path}/3.",
        f"Failed to learn and were begun again with another seed: {tmp_path}/2.",
    ]


def test_what_a_start_is_called(tmp_path):
    assert grid_table.start_name([]) == "nothing"
    assert grid_table.start_name(after("mnli", 1) + after("qqp", 1)) == "mnli > qqp"
    assert grid_table.start_name(after(["mnli", "qqp"], 1)) == "mnli+qqp"
    assert grid_table.start_name(after(grid_table.INTERMEDIATE, 1)) == "all"
    (run,) = after("mnli", 1)
    (tmp_path / "de.txt").write_text("ein Satz\n" * 20)
    _, text = masked_lm.open_texts(["de"], [str(tmp_path)], None, 1, seed=0)
    assert grid_table.start_name([run | {"mlm_share": 0.5, "data": run["data"] + text}]) == "mnli+mlm", "the text is no train split"
    assert grid_table.start_name([run | {"data": [{"split": "train", "language": x} for x in ("fr", "de")]}]) == "mnli (de fr)"


def test_tasks_trained_together_are_held_against_each_alone_seed_by_seed(tmp_path):
    def write(folder, task, dev, seed, **more):
        (tmp_path / folder).mkdir()
        results = {"phase": "intermediate", "lineage": [], "seconds": 1, **after(task, seed)[0], "dev": dev, **more}
        (tmp_path / folder / "results.json").write_text(json.dumps(results))

    for seed, mnli, together in ((1, 70.0, 71.0), (2, 80.0, 83.0)):
        write(f"a{seed}", "mnli", {"accuracy": mnli}, seed)
        write(f"b{seed}", ["mnli", "squad_v1"], {"mnli": {"accuracy": together}, "squad_v1": {"f1": 5.0}}, seed)
    write("c", "squad_v1", {"f1": 4.0}, 1)
    write("d", "mnli", {"accuracy": 60.0}, 1, mlm_languages=["de"], mlm_share=0.5)
    assert grid_table.learned(tmp_path) == [
        ["dev score", "alone", "mnli+squad_v1", "mnli+mlm"],
        ["mnli", "75.0 ± 7.1", "+2.0 ± 1.4", "-10.0 (n=1)"],
        ["squad_v1", "4.0", "+1.0 ± 0.0", ""],
    ]
    runs, hours = grid_table.collect(tmp_path)
    assert runs == [] and "mnli+squad_v1" in grid_table.report(runs, hours, [], grid_table.learned(tmp_path))


@pytest.mark.parametrize("what, said", [
    ("twice", "are both xquad after nothing with seed 42"),
    ("languages", "score different languages of xquad"),
    ("empty", "holds no results.json"),
])  # fmt: skip
def test_runs_that_cannot_stand_in_one_table_are_refused(tmp_path, what, said):
    if what != "empty":
        write_run(tmp_path / "a", "xquad", {"de": 1.0})
    if what == "twice":
        write_run(tmp_path / "b", "xquad", {"de": 2.0})
    if what == "languages":
        write_run(tmp_path / "b", "xquad", {"de": 2.0, "zh": 2.0}, after("mnli", 42))
    with pytest.raises(InputError, match=said):
        grid_table.collect(tmp_path)


XLMR, MBERT = ({"model": {"name_or_path": name}} for name in ("xlm-roberta-base", "bert-base-multilingual-cased"))


@pytest.mark.parametrize("first, second, said", [
    (((), XLMR), ((), MBERT), "model of xquad is 'xlm-roberta-base' and 'bert-base-multilingual-cased'"),
    ((after("mnli", 1, **XLMR), {}), ((), MBERT), "model of xquad is 'xlm-roberta-base' and 'bert-base-multilingual-cased'"),
    (((), {"recipe": "jiant"}), (after("mnli", 1), {"recipe": "xtreme"}), "recipe of xquad is 'jiant' and 'xtreme'"),
    (((), {}), ((), {"adam_beta2": 0.98}), "adam_beta2 of xquad is None and 0.98"),
    (((), {"optim": "adamw_torch"}), ((), {"optim": "sgd"}), "optim of xquad is 'adamw_torch' and 'sgd'"),
    (((), {"phase": "retrieval"}), ((), {"phase": "retrieval", "precision": "bf16"}), "precision of xquad is 'fp32' and 'bf16'"),
    (((), {"max_train_samples": None}), ((), {"max_train_samples": 9}), "max_train_samples of xquad is None and 9"),
    (((), {"train_languages": ["en"]}), ((), {"train_languages": ["de"]}), r"train_languages of xquad is \['en'\] and \['de'\]"),
    (((), {"layer": 8}), ((), {"layer": 14}), "layer of xquad is 8 and 14"),
    (((), {"max_seq_length": 128}), ((), {"max_seq_length": 256}), "max_seq_length of xquad is 128 and 256"),
    (((), {}), ((), {"select_on": "target"}), "select_on of xquad is 'en' and 'target'"),
    (((), {"head": "fresh"}), ((), {"head": "kept"}), "head of xquad is 'fresh' and 'kept'"),
    (((), {"mining": {"de": {"threshold_from": "dev"}}}), ((), {"mining": {"de": {"threshold_from": "x"}}}), "part for the threshold in"),
    (((), {"pooling": "mean"}), ((), {"pooling": "cls"}), "pooling of xquad is 'mean' and 'cls'"),
    (((), {"max_predict_samples": None}), ((), {"max_predict_samples": 9}), "max_predict_samples of xquad is None and 9"),
    (((), {"effective_batch_size": 8}), ((), {"effective_batch_size": 9}), "effective_batch_size of xquad is 8 and 9"),
    (((), {"train_file": None}), ((), {"train_file": ["x"]}), r"train_file of xquad is None and \['x'\]"),
    ((after("mnli", 1, recipe="jiant"), {}), (after("mnli", 2, recipe="xtreme"), {}), "recipe of mnli is 'jiant' and 'xtreme'"),
    ((after("mnli", 1, optim="adamw_torch"), {}), (after("mnli", 2, optim="sgd"), {}), "optim of mnli is 'adamw_torch' and 'sgd'"),
    ((after("mnli", 1, optim="sgd"), {}), (after("mnli", 2, optim="sgd", fp16_full_eval=True), {}), "fp16_full_eval of mnli is None and"),
    ((after("mnli", 1, max_seq_length=9), {}), (after("mnli", 2, max_seq_length=8), {}), "max_seq_length of mnli is 9 and 8"),
    ((after("mnli", 1, mlm_languages=[], mlm_share=0.1), {}), (after("mnli", 2, mlm_languages=[], mlm_share=0.5), {}), "mlm_share of"),
    ((after("mnli", 1), {}), (after("mnli", 2, data=[]), {}), "number of training examples of mnli is 8 and 0"),
])  # fmt: skip
def test_runs_that_differ_in_more_than_start_and_seed_are_refused(tmp_path, first, second, said):
    for seed, (lineage, more) in enumerate((first, second), start=1):
        write_run(tmp_path / str(seed), "xquad", {"de": 1.0}, lineage, seed, **more)
    with pytest.raises(InputError, match=f"{tmp_path}/1 and {tmp_path}/2 cannot stand in one table: {said}"):
        grid_table.collect(tmp_path)


@pytest.mark.parametrize("part, is_said", [("dev", False), ("test gold: not comparable with XTREME", True)])
def test_thresholds_chosen_on_the_scored_gold_are_said_below_the_table(tmp_path, part, is_said):
    write_run(tmp_path / "a", "bucc", {"de": 12.0}, phase="retrieval", mining={"de": {"threshold_from": part}})
    runs, hours = grid_table.collect(tmp_path)
    assert ("bucc: thresholds were chosen on the gold that is scored" in grid_table.report(runs, hours, ["all"])) == is_said


def test_languages_scored_on_other_numbers_of_examples_are_refused(tmp_path):
    write_run(tmp_path / "a", "xquad", {"de": 1.0}, seed=1)
    write_run(tmp_path / "b", "xquad", {"de": 1.0}, seed=2)
    results = json.loads((tmp_path / "b/results.json").read_text())
    results["scores"]["de"]["examples"] = 5
    (tmp_path / "b/results.json").write_text(json.dumps(results))
    with pytest.raises(InputError, match="number of examples in de of xquad is 4 and 5"):
        grid_table.collect(tmp_path)


def test_what_earlier_code_did_not_write_down_is_no_difference(tmp_path):
    write_run(tmp_path / "a", "xquad", {"de": 1.0}, after("mnli", 1), seed=1)
    now = {"max_seq_length": 256, "optim": "sgd", "adam_beta2": 0.98}
    write_run(tmp_path / "b", "xquad", {"de": 1.0}, after("mnli", 2, **now), seed=2, padding_free="auto", train_languages=["en"])
    assert len(grid_table.collect(tmp_path)[0]) == 2


def test_what_only_the_machine_decides_is_no_difference(tmp_path):
    for seed, on_a_gpu in ((1, {"padding_free": True, "precision": "tf32"}), (2, {"padding_free": False, "precision": "fp32"}), (3, {})):
        write_run(tmp_path / f"a{seed}", "bucc", {"de": 1.0}, after("mnli", seed), phase="retrieval", **on_a_gpu)
        write_run(tmp_path / f"b{seed}", "xquad", {"de": 1.0}, seed=seed, world_size=seed, device=f"{seed}", languages=[seed], oracle={})
    assert len(grid_table.collect(tmp_path)[0]) == 6


def test_folders_of_the_models_between_are_no_difference(tmp_path):
    write_run(tmp_path / "a", "xquad", {"de": 1.0}, seed=1, **XLMR, recipe="jiant")
    for seed, start in ((1, "mnli"), (2, "mnli"), (1, "qqp")):
        lineage = after(start, seed, **XLMR, recipe="jiant") + after("anli", seed, model={"name_or_path": f"out/{seed}/{start}"})
        write_run(tmp_path / start / str(seed), "xquad", {"de": 1.0}, lineage, seed, model={"name_or_path": f"o/{seed}"}, recipe="jiant")
    assert len(grid_table.collect(tmp_path)[0]) == 4


GOOD = {"phase": "target", "task": "xquad", "seed": 1, "seconds": 1, "data": [], "lineage": [], "scores": {"de": {"f1": 1.0}}}


@pytest.mark.parametrize("content, said", [
    ([{}], "was not left by a run"),
    (None, "was not left by a run"),
    ({"accuracy": 1}, "was not left by a run"),
    (GOOD | {"lineage": 5}, "was not left by a run"),
    ({name: GOOD[name] for name in GOOD if name != "seed"}, "was not left by a run"),
    (GOOD | {"lineage": [{}]}, "was not left by a run"),
    (GOOD | {"task": "xquat"}, "names an unknown task, 'xquat'. Did you mean 'xquad'"),
    (GOOD | {"lineage": after("mnly", 1)}, "names an unknown task, 'mnly'"),
    (GOOD | {"scores": {}}, "lacks a score, f1"),
    (GOOD | {"scores": {"de": {"accuracy": 1.0}}}, "lacks a score, f1"),
    (GOOD | {"phase": "intermediate", "task": "mnli"}, "lacks a score, accuracy"),
    (GOOD | {"phase": "intermediate", "task": ["mnli", "qqp"], "dev": {"mnli": {"accuracy": 1.0}}}, "lacks a score"),
    (GOOD | {"phase": "intermediate", "task": []}, "names an unknown task, None"),
    (GOOD | {"phase": ["target"]}, "was not left by a run of this collection: its phase is none of intermediate, target, retrieval"),
    (GOOD | {"seconds": "1"}, "was not left by a run of this collection: seconds is '1', not a whole number or a number"),
    (GOOD | {"seed": True}, "was not left by a run of this collection: seed is True, not a whole number"),
    (GOOD | {"task": ["xquad"]}, r"was not left by a run of this collection: task is \['xquad'\], not a text"),
    (GOOD | {"lineage": after("mnli", 1, data=[{"split": "train", "language": "en", "examples": "8"}])},
     r"was not left by a run of this collection: lineage\[0\].data\[0\].examples is '8', not a whole number"),
    (GOOD | {"lineage": after("mnli", 1, data=[{"split": "train", "language": "en"}])}, r".*lineage\[0\].data\[0\].examples is missing"),
    (GOOD | {"model": {}}, "was not left by a run of this collection: model.name_or_path is missing"),
    (GOOD | {"scores": [["de", 1.0]]}, r"was not left by a run of this collection: scores is \[\['de', 1.0\]\], not an object"),
    (GOOD | {"scores": {"de": {"f1": "1.0"}}}, r"lacks a score, f1 of xquad: .*\(score.f1 is '1.0', not a whole number or a number\)"),
])  # fmt: skip
def test_json_that_is_no_run_is_named(tmp_path, content, said):
    (tmp_path / "results.json").write_text(json.dumps(GOOD))
    grid_table.collect(tmp_path)
    (tmp_path / "results.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"^{tmp_path}/results.json {said}"):
        grid_table.collect(tmp_path)
    with pytest.raises(InputError, match=f"^{tmp_path}/results.json {said}"):
        grid_table.learned(tmp_path)


def test_the_command_line_shows_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["grid_table.py", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(str(ROOT / "grid_table.py"), run_name="__main__")
    assert capsys.readouterr().err == f"grid_table.py: error: {tmp_path} holds no results.json.\n"


def places(value, path=()):
    """The path of every value inside a JSON value, as a list of keys."""
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


def test_whatever_a_hand_changes_in_results_ends_in_a_table_or_in_one_line(tmp_path, monkeypatch, capsys):
    model = {"name_or_path": "xlm-roberta-base"}
    (stage,) = after(["mnli", "squad_v1"], 1, model=model, mlm_share=0.5)
    stage["data"].append({"task": "mlm", "language": "de", "files": "de.txt", "rows": 5})
    dev = {"mnli": {"accuracy": 50.0, "examples": 4}, "squad_v1": {"f1": 5.0, "exact_match": 4.0}}
    write_run(tmp_path / "none", "xquad", {"en": 3.0, "de": 2.0}, model=model)
    write_run(tmp_path / "other", "xquad", {"en": 3.0, "de": 2.0}, [stage])
    write_run(tmp_path / "bucc", "bucc", {"de": 2.0}, [stage], phase="retrieval", mining={"de": {"threshold_from": "dev"}})
    (tmp_path / "first").mkdir()
    first = {"phase": "intermediate", "lineage": [], "seconds": 1, "dev": dev, **stage}
    (tmp_path / "first" / "results.json").write_text(json.dumps(first))
    monkeypatch.setattr(sys, "argv", ["grid_table.py", str(tmp_path)])
    grid_table.main()
    refused = 0
    for path in sorted(tmp_path.rglob("results.json")):
        whole = path.read_text()
        for *way, key in filter(None, places(json.loads(whole))):
            for other in (None, True, 7, -0.5, "x", [], [[]], ["x"], {}, {"x": {}}, "left out"):
                edited = json.loads(whole)
                at = edited
                for step in way:
                    at = at[step]
                at[key] = other
                if other == "left out":
                    del at[key]
                path.write_text(json.dumps(edited))
                try:
                    grid_table.main()
                except InputError as error:
                    assert "results.json" in str(error) or "cannot stand in one table" in str(error) or "score different" in str(error)
                    refused += 1
        path.write_text(whole)
    assert refused > 500


def test_a_run_without_its_labels_has_no_chance(tmp_path):
    write_run(tmp_path / "a", "xnli", {"de": 40.0})
    runs, hours = grid_table.collect(tmp_path)
    with pytest.raises(InputError, match=f"labels that a run leaves beside its results: .*{tmp_path}/a/labels/xnli/test-de.tsv"):
        grid_table.report(runs, hours, ["all"])


@pytest.mark.parametrize("flags, said", [
    (["--markdown", "{}/no/table.md"], "--markdown {}/no/table.md: a file in a folder that is there"),
    (["--markdown", "{}"], "--markdown {}: a file in a folder"),
    (["--picture", "{}/no/table.png"], "--picture {}/no/table.png: a file in a folder that is there"),
    (["--picture", "{}/table.pgn"], "--picture {}/table.pgn: no known kind of picture; .png"),
])  # fmt: skip
def test_where_nothing_can_be_written_is_said_before_the_table(tmp_path, monkeypatch, capsys, flags, said):
    monkeypatch.setattr(sys, "argv", ["grid_table.py", str(tmp_path), *(flag.format(tmp_path) for flag in flags)])
    with pytest.raises(SystemExit, match="2"):
        grid_table.main()
    assert said.format(tmp_path) in capsys.readouterr().err


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
    assert "| mnli" in first.stdout and (out / "table.png").stat().st_size > 1000
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
