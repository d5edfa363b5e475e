"""The end of a script: one line and an exit code for each known kind of error, and a traceback for all other errors."""

import errno
import itertools
import os
import signal
import subprocess
import sys

import pytest
import safetensors.torch
import torch
from conftest import ROOT
from huggingface_hub import errors

import console
from console import Collapsed, ending_of, run_script, say
from task_adapters.base import InputError
from task_adapters.errors import causes


def http_error(name):
    """One of the errors of the HTTP library that huggingface_hub uses, which was httpx and is httpx2."""
    library = sys.modules[errors.HTTPError.__module__.partition(".")[0]]
    return getattr(library, name)("Server disconnected without sending a response.")


def wrapped(error):
    """`datasets` raises its own error, with the original error as its cause."""
    outer = InputError("Cannot load split 'train' of x: An error occurred while generating the dataset")
    outer.__cause__ = error
    return outer


def among_its_own_causes():
    """As a file in Latin-1 left it: an error that was raised again while the next one was handled."""
    first, error = UnicodeDecodeError("utf-8", b"\xe4", 0, 1, "invalid"), InputError("x.tsv, line 1: not UTF-8 text.")
    first.__context__, error.__cause__ = error, first
    return error


def surrogate():
    try:
        "a word \ud800 more".encode()
    except UnicodeEncodeError as error:
        return error


def test_the_causes_of_an_error_come_once_each():
    """The search for a full disk went round and round, and the script never ended."""
    error = among_its_own_causes()
    assert list(itertools.islice(causes(error), 9)) == [error, error.__cause__]


ENDINGS = [
    (InputError("no text for de"), 2, "error: no text for de"),
    (Collapsed("failed to learn"), 3, "error: failed to learn"),
    (KeyboardInterrupt(), 130, "stopped. Run the same command again: a run goes on where it stood."),
    (OSError(errno.ENOSPC, "No space left on device", "out/x.bin"), 1, "error: no space left on the disk (out/x.bin). Make room and run"),
    (OSError(errno.EDQUOT, "Disk quota exceeded"), 1, "error: no space left on the disk. Make room"),
    (wrapped(OSError(errno.ENOSPC, "No space left on device")), 1, "error: no space left on the disk. Make room"),
    (safetensors.SafetensorError("I/O error: No space left on device (os error 28)"), 1, "error: no space left on the disk. Make room"),
    (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"), 1, "error: no space left on the disk. Make"),
    (among_its_own_causes(), 2, "error: x.tsv, line 1: not UTF-8 text."),
    (surrogate(), 2, "error: '\\ud800' in 'a word \\ud800 more' is no character of utf-8."),
    (torch.OutOfMemoryError("CUDA out of memory.\nMore."), 1, "error: CUDA out of memory. A smaller --per_device_train_batch_size"),
    (http_error("RemoteProtocolError"), 1, "error: the hub closed the connection, or was not reached (Server disconnected without sending a"
     " response.). Run again, or set HF_HUB_OFFLINE=1 if all is cached."),
    (http_error("ConnectError"), 1, "error: the hub closed the connection, or was not reached"),
    (http_error("ReadTimeout"), 1, "error: the hub closed the connection, or was not reached"),
    (errors.OfflineModeIsEnabled("Cannot reach https://hub: offline mode is enabled."), 1, "error: Cannot reach https://hub: offline"),
    (errors.LocalEntryNotFoundError("Cannot find the file\nin the cache."), 1, "error: Cannot find the file in the cache."),
]  # fmt: skip


@pytest.mark.parametrize("error, code, line", ENDINGS, ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "")
def test_an_error_of_a_known_kind_is_one_line_and_its_exit_code(error, code, line, monkeypatch, capsys):
    def main():
        raise error

    monkeypatch.setattr(sys, "argv", ["/somewhere/run_target.py"])
    with pytest.raises(SystemExit) as ended:
        run_script(main)
    (said,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == code and said.startswith(f"run_target.py: {line}")


def test_torchs_own_message_of_a_full_disk_is_known():
    """/dev/full refuses each write, as a full disk does. torch.save raises no OSError then."""
    with pytest.raises(RuntimeError) as caught:
        torch.save({"weight": torch.zeros(9)}, "/dev/full")
    assert ending_of(caught.value)[1] == 1


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("x"), OSError(errno.EACCES, "Permission denied"), ConnectionResetError()])
def test_what_nobody_foresaw_keeps_its_traceback(error):
    def main():
        raise error

    assert ending_of(error) is None
    with pytest.raises(type(error)):
        run_script(main)


def test_of_several_processes_the_main_one_says_that_it_was_stopped(monkeypatch, capsys):
    ends = []
    monkeypatch.setattr(console, "leave", lambda code: ends.append(code))
    monkeypatch.setenv("WORLD_SIZE", "2")

    def main():
        raise KeyboardInterrupt

    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        with pytest.raises(SystemExit):  # In a script, `leave` would have ended the process.
            run_script(main)
    assert ends == [130, 130] and len(capsys.readouterr().err.splitlines()) == 1


def script(tmp_path, body) -> list[str]:
    """Returns the command line of a script whose main function has this body."""
    path = tmp_path / "script.py"
    path.write_text(f"import time\nfrom console import run_script, say\n\ndef main():\n{body}\n\nrun_script(main)\n")
    return [sys.executable, str(path)]


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def test_a_reader_that_has_gone_ends_a_script_quietly(tmp_path):
    command = script(tmp_path, "    for number in range(10**6):\n        say(f'line {number}')")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert process.stdout.readline() == "line 0\n"
    process.stdout.close()  # `| head -n 1` does the same.
    assert process.stderr.read() == "" and process.wait() == 141


def test_ctrl_c_is_one_line(tmp_path):
    command = script(tmp_path, "    say('at work')\n    time.sleep(600)")
    heard = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731  (a suite in the background ignores it)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, preexec_fn=heard)
    assert process.stdout.readline() == "at work\n"
    process.send_signal(signal.SIGINT)
    assert process.stderr.read() == "script.py: stopped. Run the same command again: a run goes on where it stood.\n"
    assert process.wait() == 130


def test_a_terminal_that_lacks_a_character_does_not_end_a_script(tmp_path):
    command = script(tmp_path, "    say('half a pair \\ud800, and \u00fc')")
    for encoding, said in (("utf-8", "half a pair \\ud800, and \u00fc\n"), ("ascii", "half a pair \\ud800, and \\xfc\n")):
        process = subprocess.run(command, capture_output=True, encoding=encoding, env={**ENVIRONMENT, "PYTHONIOENCODING": encoding})
        assert (process.returncode, process.stderr, process.stdout) == (0, "", said)


def test_only_the_main_process_speaks(monkeypatch, capsys):
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        say(f"from {rank}")
    assert capsys.readouterr().out == "from 0\n"
