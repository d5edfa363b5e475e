"""Only one process at a time works in an output folder, and the hours of a run include all its starts."""

import errno
import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
from conftest import ROOT, begin, save_checkpoint
from transformers import TrainingArguments

import results
import run_target
from console import Collapsed
from results import RunFolder, note_time
from task_adapters import InputError
from trainer import loop as training
from trainer.checkpoints import last_complete_checkpoint

RUN = {"phase": "target", "task": "xnli", "seed": 1}
# Begins the run, starts a child process, as a data loader may, and waits.
AT_WORK = f"""
import os, sys, time
sys.path.insert(0, "tests")
from conftest import begin
begin(sys.argv[1], {RUN})
if os.fork() == 0:
    os.close(1)
    time.sleep(600)
print(os.getpid(), flush=True)
time.sleep(600)
"""


@pytest.fixture
def at_work(tmp_path):
    """-> (folder, pid of a process that works in it, which has a child)"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", AT_WORK, tmp_path], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    yield tmp_path, int(process.stdout.readline())
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def running(folder, settings=RUN) -> RunFolder:
    """The `RunFolder` of the process that works in `folder`."""
    run_folder = RunFolder(str(folder), settings, "no/folder", False, 0.0)
    run_folder.agree({"model": None, "lineage": [], "content": {}})
    return run_folder


def test_a_second_command_ends_in_one_line_and_a_killed_one_blocks_nobody(at_work, monkeypatch):
    folder, pid = at_work
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for overwrite in (False, True):
        for seed in (1, 2):
            with pytest.raises(InputError, match=f"^process {pid} on .* is at work in --output_dir {folder}: wait for its end"):
                begin(folder, {**RUN, "seed": seed}, overwrite)
    with monkeypatch.context() as patch:  # This stands for another process of the same run, or of a run that will be refused.
        patch.setenv("RANK", "1")
        assert not begin(folder, RUN)
        assert not begin(folder, {**RUN, "seed": 2})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    (folder / "results.json").write_text('{"seed": 1}')  # The run is about to end.
    assert begin(folder, RUN)
    with pytest.raises(InputError, match="is at work"):
        begin(folder, RUN, overwrite=True)
    (folder / "results.json").unlink()

    os.kill(pid, signal.SIGKILL)  # The child process continues.
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert not begin(folder, RUN)
    assert not begin(folder, RUN), "the same process may begin again"


@pytest.mark.parametrize("locks", ["no locks", "no fcntl"])
def test_without_locks_runs_go_on(locks, tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    if locks == "no fcntl":  # Windows
        monkeypatch.setattr(results, "fcntl", None)
    else:
        monkeypatch.setattr(results.fcntl, "lockf", refuse)
    assert not begin(tmp_path, RUN)
    said = capsys.readouterr().out
    assert (f"warning: {tmp_path} cannot be locked (No locks available)" in said) == (locks == "no locks")


def test_a_finished_folder_that_nobody_may_write_to_is_still_skipped(tmp_path, monkeypatch):
    begin(tmp_path, RUN)
    (tmp_path / "results.json").write_text('{"seed": 1}')
    monkeypatch.setattr(results, "hold", None)
    assert begin(tmp_path, RUN)


# ---- time


@pytest.fixture
def clock(monkeypatch):
    """clock.now: the value of time.time()."""
    now = SimpleNamespace(now=0.0)
    monkeypatch.setattr(results.time, "time", lambda: now.now)
    return now


def test_seconds_are_those_of_all_starts(tmp_path, clock):
    folder = str(tmp_path)

    def start(at, run=RUN, overwrite=False):
        clock.now = at + 5  # imports
        assert not begin(folder, run, overwrite, at)

    start(100.0)
    clock.now = 160.0
    note_time(folder, trained=20.0)
    clock.now = 190.0  # The process was killed now. The last 30 seconds are not in its notes.
    start(1000.0)
    start(2000.0)  # The second start was killed 5 seconds after it began.
    clock.now = 2050.0
    assert note_time(folder, trained=7.0) == {"seconds": 60 + 5 + 50, "train_seconds": 27}
    clock.now = 2051.0
    assert running(folder).finish({})["seconds"] == 116
    assert json.loads((tmp_path / "results.json").read_text())["seconds"] == 116 and not (tmp_path / "starts.json").exists()

    start(3000.0, overwrite=True)
    assert note_time(folder)["seconds"] == 5, "begun anew"
    start(4000.0, {**RUN, "seed": 2})  # The first run has made no files, so the folder now belongs to another run.
    assert note_time(folder)["seconds"] == 5


def test_training_notes_its_time_and_a_failed_trys_counts(tmp_path, clock, monkeypatch):
    begin(tmp_path, RUN)
    noted, args = [], TrainingArguments(output_dir=str(tmp_path), use_cpu=True, max_steps=10, report_to="none")

    def train(resume_from_checkpoint):
        for _ in range(10):
            clock.now += 7.0
            trainer.callback.on_step_end(args, None, None)
            noted.append(json.loads((tmp_path / "starts.json").read_text())[-1]["train_seconds"])
        trainer.callback.on_save(args, None, None)
        noted.append(json.loads((tmp_path / "starts.json").read_text())[-1]["train_seconds"])
        clock.now += 1.0
        if trainer.dies:
            raise Collapsed("flat")

    state = SimpleNamespace(global_step=10, best_global_step=None, best_metric=None, log_history=[])
    trainer = SimpleNamespace(
        args=args, train=train, state=state, train_dataset=[], is_deepspeed_enabled=False, dies=True, packed=False,
        tokens_of_all_starts=lambda: [0, 0],
        model=SimpleNamespace(config=None, modules=list), watch=SimpleNamespace(mean_loss=lambda: None),
        accelerator=SimpleNamespace(wait_for_everyone=lambda: None),
        add_callback=lambda callback: isinstance(callback, training.Clock) and setattr(trainer, "callback", callback),
    )  # fmt: skip
    with pytest.raises(Collapsed):
        training.run_trainer(trainer)
    assert noted == [0] * 8 + [63, 63, 70], "once a minute, and with each checkpoint"
    assert note_time(str(tmp_path)) == {"seconds": 71, "train_seconds": 71}
    clock.now = 500.0
    begin(tmp_path, RUN, started=500.0)  # --retries 1
    trainer.dies = False
    assert training.run_trainer(trainer)["train_seconds"] == 142 and note_time(str(tmp_path))["seconds"] == 142


def test_time_is_noted_after_each_language_that_is_scored(call, tiny_model, data_dir, tmp_path, monkeypatch):
    note, scored = results.note_time, []
    monkeypatch.setattr(
        results, "note_time", lambda *args: scored.append(len(list(tmp_path.glob("out/predictions/xnli/*.tsv")))) or note(*args)
    )
    flags = ("--task", "xnli", "--languages", "en", "de", "--max_steps", "1", "--max_train_samples", "32", "--max_eval_samples", "8",
             "--max_predict_samples", "8", "--use_cpu", "--disable_tqdm", "true", "--max_seq_length", "32")  # fmt: skip
    call(run_target, *flags, "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--output_dir", tmp_path / "out")
    assert scored == [0, 1, 2, 2], "at the start, after each language, at the end"


def files_of(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def finished_folder(folder):
    assert not begin(folder, RUN)
    for name in ("config.json", "model.safetensors", "failed_tries.json"):
        (folder / name).write_text("{}")
    save_checkpoint(folder / "checkpoint-3")
    running(folder).finish({}, keep_checkpoints=True)


@pytest.mark.parametrize("removals", range(1, 7))
def test_an_overwrite_that_is_killed_leaves_a_folder_that_can_be_overwritten(removals, tmp_path, monkeypatch):
    """While a folder is being removed, a half removed checkpoint must not look complete, and a half removed run must not look finished."""
    finished_folder(tmp_path)
    done = []

    def killed_after(path, **_):
        if len(done) == removals:
            raise KeyboardInterrupt
        done.append(path.name)
        return os_unlink(path)

    os_unlink = os.unlink
    monkeypatch.setattr(os, "unlink", lambda path, *rest, **named: killed_after(results.Path(path)))
    monkeypatch.setattr(results.Path, "unlink", lambda path, missing_ok=False: killed_after(path) if path.exists() else None)
    monkeypatch.setattr(results.shutil, "rmtree", lambda folder: [killed_after(file) for file in sorted(folder.iterdir())])
    with pytest.raises(KeyboardInterrupt):
        begin(tmp_path, RUN, overwrite=True)
    monkeypatch.undo()
    assert len(done) == removals and not (tmp_path / "results.json").exists()
    assert last_complete_checkpoint(str(tmp_path)) is None or (tmp_path / "checkpoint-3" / "optimizer.pt").exists()
    assert not begin(tmp_path, RUN, overwrite=True)
    assert set(files_of(tmp_path)) - {"checkpoint-3/optimizer.pt"} == {"log.txt", "progress.json", "run.json", "run.lock", "starts.json"}


def test_checkpoints_that_are_half_removed_are_none(tmp_path, monkeypatch):
    finished_folder(tmp_path)
    monkeypatch.setattr(results.shutil, "rmtree", lambda folder: (folder / "optimizer.pt").unlink())
    assert last_complete_checkpoint(str(tmp_path))
    results.remove_checkpoints(str(tmp_path))
    assert (tmp_path / "checkpoint-3").is_dir() and last_complete_checkpoint(str(tmp_path)) is None


def test_a_released_folder_is_free_while_the_process_lives_on(tmp_path):
    code = "import sys; sys.path.insert(0, 'tests'); from conftest import begin; begin(sys.argv[1], {}, True); print('free')"
    command, environment = [sys.executable, "-c", code, str(tmp_path)], {**os.environ, "PYTHONPATH": str(ROOT)}
    finished_folder(tmp_path)
    assert "is at work in --output_dir" in subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT).stderr
    results.release()
    assert subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT).stdout == "free\n"


def test_a_time_that_cannot_be_noted_does_not_end_a_run(tmp_path, monkeypatch, capsys):
    def fails(*_, **__):
        raise OSError(errno.ESTALE, "Stale file handle")

    clock = training.Clock(str(tmp_path))
    monkeypatch.setattr(training, "note_time", fails)
    clock.noted -= 2 * training.NOTE_EVERY
    clock.on_step_end()
    assert clock.note() == {} and "warning: the time was not noted" in capsys.readouterr().out
