"""The demo and its worker processes: what they print, how they fail, and that none of them outlives the command.

The workers here call scripts of this file in place of the real ones, so that no test waits for a training.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from test_grid import alive, until

from samples import demo, grid
from samples.grid import Cell
from task_adapters import InputError

# {task} decides what the script does. NOTES: a folder with a file for each cell that has begun, its process in it.
FAKE_SCRIPT = """
import json, multiprocessing, os, sys, time
from pathlib import Path

lock = multiprocessing.RLock()  # as tqdm makes one: a semaphore that a killed worker leaves to multiprocessing's tracker

def main():
    value = lambda flag: sys.argv[sys.argv.index(flag) + 1]
    task, folder, notes = value("--task"), Path(value("--output_dir")), Path(os.environ["NOTES"])
    print("\\n".join(f"line {number} of {task}" for number in range(20)))
    (notes / task).write_text(str(os.getpid()))
    if task.startswith("hang"):
        time.sleep(120)
    if task == "mistake":
        raise ValueError("this value is wrong")
    if task == "killed":
        os.kill(os.getpid(), 9)
    if task.startswith("pair"):  # ends only beside the other one
        end = time.monotonic() + 600
        while len(list(notes.glob("pair*"))) < 2:
            assert time.monotonic() < end, "alone"
            time.sleep(0.01)
    folder.mkdir(parents=True)
    names = "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "TOKENIZERS_PARALLELISM"
    (folder / "results.json").write_text(json.dumps([os.environ[name] for name in names]))
"""


@pytest.fixture
def cells_of(tmp_path, monkeypatch):
    """cells_of("mnli", ("xnli", "mnli")) -> cells of the scripts of this file; the second takes the model of the first."""
    for name in ("run_intermediate", "run_target", "run_retrieval"):
        (tmp_path / f"{name}.py").write_text(FAKE_SCRIPT if name == "run_target" else "")
    (tmp_path / "notes").mkdir()
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    monkeypatch.syspath_prepend(tmp_path)  # The workers inherit the path.
    for name in grid.ONE_THREAD:
        monkeypatch.setenv(name, "another")  # and have the old value back after the test

    def make(*names):
        named = [(name, None) if isinstance(name, str) else name for name in names]
        return [Cell("run_target", task, None, f"{tmp_path}/{task}", (), after and f"{tmp_path}/{after}") for task, after in named]

    return make


def test_two_workers_of_one_thread_run_cells_side_by_side_and_say_what_they_do(cells_of, tmp_path, capfd):
    todo = cells_of("pair1", "pair2", ("third", "pair1"))
    assert grid.run_all(todo, 2, lambda cell: f"$ {cell.command}") == {}
    lines = capfd.readouterr().out.splitlines()
    commands = [f"$ python run_target.py --task {name} --output_dir {tmp_path}/{name}" for name in ("pair1", "pair2", "third")]
    assert lines[:2] == commands[:2] and commands[2] in lines
    ended = [line for line in lines if not line.startswith("$")]
    assert [line.partition(",")[0] for line in ended] == ["[1/3", "[2/3", "[3/3"]
    assert all("to go" in line and "was there" not in line for line in ended)
    for name in ("pair1", "pair2", "third"):
        assert (tmp_path / name / "results.json").read_text() == '["1", "PASSIVE", "false"]'
    assert len({path.read_text() for path in (tmp_path / "notes").glob("pair*")}) == 2
    assert grid.run_all(cells_of("third"), 2) == {f"{tmp_path}/third": f"FileExistsError: [Errno 17] File exists: '{tmp_path}/third'"}


def test_a_failed_cell_shows_the_end_of_its_log_and_those_after_it_are_named(cells_of, tmp_path, capfd):
    todo = cells_of("mistake", "good", ("next", "mistake"))
    failed = grid.run_all(todo, 2)
    assert failed == {f"{tmp_path}/mistake": "ValueError: this value is wrong", f"{tmp_path}/next": f"not run: {tmp_path}/mistake failed"}
    lines = capfd.readouterr().out.splitlines()
    (place,) = [i for i, line in enumerate(lines) if f"mistake: FAILED (ValueError: this value is wrong; {tmp_path}/mistake.log)" in line]
    shown = lines[place + 1 : place + 1 + grid.SHOWN_OF_LOG]
    log = (tmp_path / "mistake.log").read_text().splitlines()
    assert shown == [f"    {line}" for line in log[-grid.SHOWN_OF_LOG :]] and shown[-1] == "    ValueError: this value is wrong"
    assert (tmp_path / "good" / "results.json").exists() and not (tmp_path / "notes" / "next").exists()
    with pytest.raises(SystemExit, match="1"):
        grid.end_with(failed, todo)
    assert capfd.readouterr().err.splitlines()[1:] == [
        "2 of 3 cells failed; run the same command again for these alone:", *(f"  {folder}: {text}" for folder, text in failed.items())
    ]  # fmt: skip


def test_an_output_folder_that_cannot_be_written_is_one_line(cells_of, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    todo = [Cell("run_target", "xnli", None, f"{tmp_path}/file/xnli", ())]
    monkeypatch.setattr(sys, "argv", ["demo.py"])
    with pytest.raises(SystemExit, match="2"):
        grid.stop_in_one_line(lambda: grid.run_all(todo, 2))
    assert capsys.readouterr().err == f"demo.py: error: {tmp_path}/file/xnli.log cannot be written: File exists.\n"


def test_a_worker_that_is_killed_ends_the_command_in_one_line(cells_of):
    with pytest.raises(SystemExit, match=r"A worker process was killed .*: it goes on where it stopped\."):
        grid.run_all(cells_of("killed", "hang"), 2)


DRIVER = """
import sys
sys.path[:0] = [{here!r}, {root!r}]
from samples import grid
from samples.grid import Cell
todo = [Cell("run_target", task, None, {here!r} + "/" + task, ()) for task in ("hang1", "hang2", "hang3")]
grid.stop_in_one_line(lambda: grid.run_all(todo, 2, lambda cell: "$ " + cell.command))
"""


def children_of(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads /proc")
@pytest.mark.parametrize("sent, moment", [
    (signal.SIGINT, "while workers start"), (signal.SIGINT, "while cells run"),
    (signal.SIGTERM, "while cells run"), (signal.SIGKILL, "while workers start"),
])  # fmt: skip
def test_no_worker_outlives_the_command_and_ctrl_c_is_one_line(cells_of, tmp_path, sent, moment):
    driver = DRIVER.format(here=str(tmp_path), root=str(ROOT))
    heard = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731  (a suite in the background ignores it)
    with subprocess.Popen([sys.executable, "-c", driver], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
                          start_new_session=True, preexec_fn=heard) as process:  # fmt: skip
        cells_of()
        assert process.stdout.readline().startswith("$ python run_target.py --task hang1")
        if moment == "while cells run":
            until(lambda: len(list((tmp_path / "notes").iterdir())) == 2)
        else:
            until(lambda: len(children_of(process.pid)) > 1)  # the first worker, beside multiprocessing's own tracker
        workers = children_of(process.pid)
        if sent == signal.SIGINT:
            os.killpg(process.pid, sent)  # A terminal does the same at Ctrl-C.
        else:
            process.send_signal(sent)
        _, errors = process.communicate(timeout=600)
    assert process.returncode == (130 if sent == signal.SIGINT else -sent)
    if sent == signal.SIGINT:
        assert errors == "\nstopped. Run the same command again: it goes on where it stopped.\n"
    until(lambda: not any(alive(pid) for pid in workers))
    assert not (tmp_path / "notes" / "hang3").exists()


# ---- the table and the picture


def results_of(scores):
    """{(start, target): {language: {metric: score}}} of the demo's runs, `scores` more in each row than in the one before."""
    results = {}
    for row, start in enumerate(demo.STARTS):
        for target in demo.TARGETS:
            languages = ("de", "fr") if target in ("bucc", "tatoeba") else ("de", "en", "fr")
            metric = demo.TASKS[target].dev_metric
            results[start, target] = {language: {metric: 10.0 * i + scores * row} for i, language in enumerate(languages, start=1)}
    return results


CHANCES = {
    target: {"de": 1.0, "fr": 2.0} if target in ("bucc", "tatoeba") else {"de": 1.0, "en": 33.0, "fr": 2.0} for target in demo.TARGETS
}


def test_the_table_has_english_and_the_mean_of_the_others_with_the_difference_to_the_baseline(tmp_path):
    text, columns, rows = demo.table(results_of(2.5), CHANCES)
    lines = [line.split() for line in text.splitlines()]
    assert lines[0] == "xnli xnli udpos udpos xquad xquad bucc tatoeba".split()
    assert lines[1] == "trained on en others en others en others others others".split()
    assert lines[2] == "baseline 20.0 20.0 20.0 20.0 20.0 20.0 15.0 15.0".split()
    assert lines[3][:5] == "mnli 22.5 (+2.5) 22.5 (+2.5)".split() and lines[4][:3] == "squad_v1 25.0 (+5.0)".split()
    assert lines[5] == "chance 33.0 1.5 33.0 1.5 33.0 1.5 1.5 1.5".split()
    demo.picture(columns, rows, CHANCES, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def test_the_readme_shows_a_table_of_the_demo():
    """The figures in README.md come from a run. This test compares only rows and columns with the command's."""
    printed = demo.table(results_of(0.0), CHANCES)[0].splitlines()
    readme = (ROOT / "README.md").read_text().splitlines()
    place = readme.index(printed[0])
    shown = readme[place : place + len(printed)]
    assert shown[1] == printed[1] and [line.split()[0] for line in shown] == [line.split()[0] for line in printed]
    assert all(len(a) == len(b) for a, b in zip(shown, printed))


@pytest.mark.parametrize("module", [demo, grid])
def test_an_unknown_flag_is_one_line(module, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [f"{module.__name__.rpartition('.')[2]}.py", "--sedes", "42"])
    with pytest.raises(SystemExit, match="2"):
        grid.stop_in_one_line(module.main)
    assert capsys.readouterr().err == f"{Path(sys.argv[0]).name}: error: unrecognized arguments: --sedes 42\n"


def test_a_mistake_that_a_run_finds_is_one_line_too(monkeypatch, capsys):
    def mistaken():
        raise InputError("what is wrong")

    monkeypatch.setattr(sys, "argv", ["/any/grid.py"])
    with pytest.raises(SystemExit, match="2"):
        grid.stop_in_one_line(mistaken)
    assert capsys.readouterr().err == "grid.py: error: what is wrong\n"
