"""What the terminal and the log of a run show: lines beside progress bars, endings, progress, a model that is not there."""

import contextlib
import itertools
import logging
import os
import pty
import re
import subprocess
import sys
import termios
import time
import warnings
from types import SimpleNamespace

import pytest
from conftest import ROOT
from transformers import AutoConfig

import console
import run_log
import run_target
from console import say
from task_adapters import InputError
from trainer import checkpoints
from trainer.checkpoints import check_model

# ---- a model that is not there


@pytest.mark.parametrize("path", ["./x", "../x", "/no/such", "~/nothing", "a/b/c", "x/"])
def test_a_path_that_is_no_folder_is_answered_without_the_hub(path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(AutoConfig, "from_pretrained", lambda *_, **__: pytest.fail("the hub was asked"))
    monkeypatch.setattr(checkpoints, "hub_snapshot", lambda path: pytest.fail("the cache was asked"))
    with pytest.raises(InputError, match=f"^Cannot load a model from '{path}': there is no folder /"):
        check_model(path)


@pytest.mark.parametrize("path, is_offline, refused", [
    ("no/such", True, True), ("nosuch", True, True), ("no/such", False, False), ("--x", True, False),
])  # fmt: skip
def test_a_name_that_may_be_the_hubs_is_answered_at_once_where_the_hub_is_switched_off(path, is_offline, refused, monkeypatch):
    monkeypatch.setattr(checkpoints.constants, "HF_HUB_OFFLINE", is_offline)
    if not refused:
        return check_model(path)
    with pytest.raises(InputError, match="there is no folder /.*, and HF_HUB_OFFLINE is set: of the hub only the cache was searched.$"):
        check_model(path)


def test_a_model_in_the_hubs_cache_is_found_where_the_hub_is_switched_off(monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoints.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(checkpoints, "hub_snapshot", lambda path: tmp_path)
    check_model("some/model")


# ---- log.txt


@pytest.fixture
def fresh_log(monkeypatch):
    """No log of an earlier test is open, and none stays open. Each look at the clock is seven seconds after the one before."""
    run_log.close_log("finished")
    seconds = itertools.count(step=7)
    monkeypatch.setattr(run_log, "time", SimpleNamespace(time=lambda: next(seconds), strftime=time.strftime))
    yield
    run_log.close_log("finished")


@pytest.fixture
def libraries_that_warn():
    """The loggers of the libraries let warnings pass. An earlier test may have left another level: a Trainer sets that of --log_level."""
    levels = {name: logging.getLogger(name).level for name in run_log.LIBRARIES}
    for name in levels:
        logging.getLogger(name).setLevel(logging.WARNING)
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def lines_of(folder):
    """The lines of a log without their times, which must be there."""
    lines = (folder / "log.txt").read_text(encoding="utf-8").splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(  |$)", line) for line in lines)
    return [line[21:] for line in lines]


def test_the_log_has_what_was_said_before_and_after_the_run_began_and_how_it_ended(fresh_log, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["/x/run_target.py", "--task", "xnli", "--output_dir", "a b"])
    say("before")
    run_log.open_log(tmp_path)
    run_log.open_log(tmp_path)  # another attempt of the same run
    say("a table\n  of two lines")
    run_log.close_log("finished")
    say("of no run")
    started, *lines, end = lines_of(tmp_path)
    assert started.startswith("started: python run_target.py --task xnli --output_dir 'a b' (process ")
    assert lines == ["before", "a table", "  of two lines"] and end == "ended: finished (after 7 s)"
    assert capsys.readouterr().out == "before\na table\n  of two lines\nof no run\n"


def test_a_later_start_goes_on_in_the_same_log_and_says_that_the_one_before_was_killed(fresh_log, tmp_path):
    for ending in ("interrupted", None, "finished"):
        run_log.open_log(tmp_path)
        if ending:
            run_log.close_log(ending)
        else:
            run_log._file.close()
            run_log._file = None
    lines = lines_of(tmp_path)
    assert [line.partition(":")[0] for line in lines] == [
        "started", "ended", "started", "the start before ended without a word", "started", "ended"]  # fmt: skip


def test_another_run_of_the_same_process_has_its_own_log(fresh_log, tmp_path):
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        run_log.open_log(tmp_path / name)
        say(f"in {name}")
        if name == "one":
            (tmp_path / name / "results.json").touch()
    assert lines_of(tmp_path / "one")[1:] == ["in one", "ended: finished (after 7 s)"]
    assert lines_of(tmp_path / "two")[1:] == ["in two", "ended: this process went on with another run (after 7 s)"]


def test_warnings_of_libraries_are_in_the_log_once(fresh_log, libraries_that_warn, tmp_path):
    run_log.open_log(tmp_path)
    logging.getLogger("transformers.some.module").warning("careful")
    logging.getLogger("datasets.x").error("broken")
    logging.getLogger("transformers.some.module").info("chatter")
    warnings.warn("old way", UserWarning, stacklevel=1)
    lines = lines_of(tmp_path)[1:]
    assert lines[:2] == ["warning of transformers.some.module: careful", "error of datasets.x: broken"]
    assert lines[2].startswith("UserWarning: old way (") and len(lines) == 3


def test_a_log_on_a_full_disk_does_not_end_the_run(fresh_log, tmp_path, capsys):
    (tmp_path / "log.txt").symlink_to("/dev/full")
    run_log.open_log(tmp_path)
    say("on it goes")
    said = capsys.readouterr()
    assert said.out == "on it goes\n" and said.err == f"warning: {tmp_path}/log.txt cannot be written (No space left on device): the run" \
        " goes on without it\n"  # fmt: skip


@pytest.mark.parametrize("error, ending", [
    (None, "finished"), (KeyboardInterrupt(), "interrupted"), (InputError("no text for de"), "error: no text for de"),
    (RuntimeError("odd"), "error: RuntimeError: odd"), (BrokenPipeError(), "interrupted: nobody reads the output any more"),
])  # fmt: skip
def test_the_ending_of_a_script_is_named_in_the_log(error, ending, fresh_log, tmp_path, monkeypatch):
    monkeypatch.setattr(console, "show_ending", lambda *_: None)

    def main():
        run_log.open_log(tmp_path)
        if error:
            raise error

    if error is None:
        console.run_script(main)
    else:
        with pytest.raises((SystemExit, RuntimeError)):
            console.run_script(main)
    lines = lines_of(tmp_path)
    assert lines[-1] == f"ended: {ending} (after 7 s)".replace("error: error: ", "error: ")
    assert any("Traceback" in line for line in lines) == isinstance(error, RuntimeError)


# ---- progress


def test_the_countdown_counts_languages_and_the_time_that_is_left(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(run_log.time, "time", lambda: now[0])
    countdown = run_log.Countdown({"de": 10, "fr": 10, "sw": 40}, count=5)
    now[0] = 120.0
    assert countdown.after("de") == "language 3 of 5, about 100 s left".replace("100 s", "2 min")
    now[0] = 140.0
    assert countdown.after("fr") == "language 4 of 5, about 80 s left"
    assert countdown.after("sw") == "language 5 of 5"
    assert [run_log.duration(seconds) for seconds in (99, 100, 5940, 7200)] == ["99 s", "2 min", "99 min", "2.0 h"]


def test_lines_are_not_glued_to_progress_bars_in_a_terminal(tmp_path):
    """A pseudo-terminal as a reader sees it: what a carriage return takes back is gone."""
    script = tmp_path / "script.py"
    script.write_text(
        "import logging, warnings, time\nfrom pathlib import Path\nfrom tqdm.auto import tqdm\nimport run_log\n"
        "from console import run_script, say\n"
        "logging.getLogger('transformers').addHandler(logging.StreamHandler())\n"
        "def main():\n    run_log.open_log(Path('.'))\n"
        "    for place in tqdm(range(3), desc='training', mininterval=0):\n"
        "        say(f'line {place}')\n        logging.getLogger('transformers').warning(f'careful {place}')\n"
        "        warnings.warn(f'old {place}')\n    say('the table')\n"
        "run_script(main)\n"
    )
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 200))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, str(script)], stdout=end, stderr=end, stdin=end, cwd=tmp_path, env=environment)
    os.close(end)
    shown = b""
    with contextlib.suppress(OSError):  # the terminal is closed when the process ends
        while part := os.read(terminal, 4096):
            shown += part
    os.close(terminal)
    assert process.wait() == 0
    lines = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in shown.decode().split("\n")]
    for place in range(3):
        assert f"line {place}" in lines and f"careful {place}" in lines, lines
        assert any(line.endswith(f"UserWarning: old {place}") and line.startswith(str(script)) for line in lines), lines
    assert "the table" in lines and any(line.startswith("training: 100%") for line in lines), lines


def test_no_library_draws_its_bars_into_a_file(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import datasets, transformers\nfrom console import run_script\n"
        "def main():\n    datasets.Dataset.from_dict({'a': [1, 2]}).map(lambda row: row, desc='features')\n"
        "    for _ in transformers.utils.logging.tqdm(range(2), desc='weights'):\n        pass\n"
        "run_script(main)\n"
    )
    process = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True
    )
    assert "%|" not in process.stderr, process.stderr


# ---- a run from its beginning to its second start


def test_a_run_shows_its_progress_keeps_a_log_and_shows_its_scores_again_when_it_is_skipped(call, tiny_model, data_dir, tmp_path, capsys):
    flags = ("--task", "udpos", "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--languages", "de", "en", "--use_cpu",
             "--max_train_samples", "16", "--max_eval_samples", "8", "--max_steps", "2", "--logging_steps", "1", "--max_seq_length", "64",
             "--effective_batch_size", "8", "--output_dir", tmp_path / "out")  # fmt: skip
    call(run_target, *flags)
    first = capsys.readouterr().out
    assert re.search(r"^step 1 of 2, loss \d\.\d{4}, about [\d.]+ (s|min|h) of training left$", first, re.M)
    assert re.search(r"^udpos de: f1 [\d.]+ \(language 1 of 2, about [\d.]+ (s|min|h) left\)$", first, re.M)
    assert re.search(r"^udpos en: f1 [\d.]+ \(language 2 of 2\)$", first, re.M)
    table = first[first.rindex("udpos      ") :]
    assert "\nde " in table and "\nen " in table and "no mean: 2 of" in table
    run_log.close_log("finished")
    log = (tmp_path / "out" / "log.txt").read_text()
    assert "started: python run_target.py --task udpos" in log and "udpos de test: 60 examples" in log and "ended: finished" in log
    assert all(line in log for line in table.splitlines())
    assert re.search(r"  step 2 of 2, dev: loss \d\.\d{4}, f1 [\d.]+, precision [\d.]+, recall [\d.]+, accuracy [\d.]+$", log, re.M)
    call(run_target, *flags)
    assert capsys.readouterr().out.endswith(f"{tmp_path}/out is finished: skipped (--overwrite redoes it)\n{table}")
    assert (tmp_path / "out" / "log.txt").read_text() == log, "a finished run is only read"
