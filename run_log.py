"""log.txt of a run: what the terminal shows, each line with its time, and how each start ended. And lines that keep clear of progress bars.

A process has one run at a time. What is said before the run's folder is known waits (`note`), and is written when the run begins
(`open_log`). A start that ends without a word was killed; the next start says so.
"""

import contextlib
import logging
import os
import platform
import shlex
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

LOG = "log.txt"
ENDED = "ended: "
MOST_WAITING = 1000  # lines that wait for a run to begin
LIBRARIES = ("", "transformers", "datasets", "accelerate", "huggingface_hub", "torch", "DeepSpeed")  # "": the root of all loggers

_file: TextIO | None = None
_opened = 0.0  # time.time() when this start began to write
_waiting: list[str] = []


@contextlib.contextmanager
def beside_bars() -> Iterator[None]:
    """Clears all progress bars, lets the caller print whole lines, and draws the bars again below them."""
    with tqdm.external_write_mode(file=sys.stderr):
        yield


def note(text: str) -> None:
    """Writes lines into the log, each with the time. Before the run begins they wait."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    lines = [f"{stamp}  {line}".rstrip() for line in text.splitlines() or [""]]
    if _file is None:
        _waiting.extend(lines)
        del _waiting[:-MOST_WAITING]
        return
    _write(lines)


def command_line(argv: list[str]) -> str:
    """The command as it was typed, without the folder of the script and without the value of --hub_token."""
    words, hides_next = [], False
    for word in argv:
        flag, is_equation, _ = word.partition("=")
        is_token = flag.replace("-", "_") == "__hub_token"
        words.append("HIDDEN" if hides_next else f"{flag}=HIDDEN" if is_token and is_equation else word)
        hides_next = is_token and not is_equation
    return " ".join(["python", os.path.basename(words[0]), shlex.join(words[1:])]).strip()


def open_log(folder: Path) -> None:
    """Goes on with the log of a run that begins, or begins it. Warnings of the libraries go there too, from here on."""
    global _file, _opened
    path = Path(folder) / LOG
    if _file is not None:
        if _file.name == str(path):  # another attempt of the same run
            return
        is_finished = Path(_file.name).with_name("results.json").exists()
        close_log("finished" if is_finished else "this process went on with another run")
    last = _last_line(path)
    lines, _opened = [*_waiting], time.time()
    _waiting.clear()
    _file = path.open("a", encoding="utf-8", errors="backslashreplace")
    if last and ENDED not in last:
        note("the start before ended without a word: it was killed, or the machine went down")
    note(f"started: {command_line(sys.argv)} (process {os.getpid()} on {platform.node()})")
    _write(lines)
    _listen()


def close_log(ending: str) -> None:
    """Ends the log of this start, and forgets what waits. ending: finished, interrupted, or error and what went wrong"""
    global _file
    if _file is not None:
        note(f"{ENDED}{ending} (after {duration(time.time() - _opened)})")
    if _file is not None:  # a full disk has closed it
        _file.close()
        _file = None
    _waiting.clear()


def note_traceback(error: BaseException) -> None:
    note("".join(traceback.format_exception(error)))


def duration(seconds: float) -> str:
    """A time as people say it: 40 s, 12 min, 3.5 h."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


class Countdown:
    """How far a run is with its languages, and how long the others take if they go on at the same speed.

    sizes  {language: examples} of those that are still to be scored; count: of all languages, the scored ones too.
    """

    def __init__(self, sizes: dict[str, int], count: int):
        self.sizes, self.count, self.done, self.started = sizes, count, 0, time.time()
        self.languages = count - len(sizes)

    def after(self, language: str) -> str:
        """The line for a language that has been scored: `language 3 of 15, about 4 min left`."""
        self.done, self.languages = self.done + self.sizes[language], self.languages + 1
        left = sum(self.sizes.values()) - self.done
        rest = f", about {duration((time.time() - self.started) * left / self.done)} left" if left and self.done else ""
        return f"language {self.languages} of {self.count}{rest}"


class BesideBars:
    """Stands in for stderr in the handlers of loggers, so that their lines are not glued to a progress bar."""

    def write(self, text: str) -> None:
        with beside_bars():
            sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


class _Notes(logging.Handler):
    """Puts warnings of the libraries into the log, once, though a record may pass several loggers."""

    def emit(self, record: logging.LogRecord) -> None:
        if not hasattr(record, "is_noted"):
            record.is_noted = True
            note(f"{record.levelname.lower()} of {record.name}: {record.getMessage()}")


_notes = _Notes(level=logging.WARNING)
_show_warning = warnings.showwarning


def _listen() -> None:
    for name in LIBRARIES:
        logger = logging.getLogger(name)
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr:
                handler.setStream(BesideBars())
        if _notes not in logger.handlers:
            logger.addHandler(_notes)
    warnings.showwarning = _note_warning


def _note_warning(message, category, filename, lineno, file=None, line=None) -> None:
    with beside_bars():
        _show_warning(message, category, filename, lineno, file, line)
    note(f"{category.__name__}: {message} ({filename}:{lineno})")


def _last_line(path: Path) -> str:
    """The last line of a log, "" where there is none."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 10_000))
        lines = file.read().decode("utf-8", "replace").split("\n")
    return next((line for line in reversed(lines) if line), "")


def _write(lines: list[str]) -> None:
    """A log that cannot be written, as on a full disk, is no reason to lose the run: it ends, and the terminal says so."""
    global _file
    if _file is None:
        return
    try:
        _file.write("".join(f"{line}\n" for line in lines))
        _file.flush()
    except OSError as error:
        name, _file = _file.name, None
        with beside_bars():
            print(f"warning: {name} cannot be written ({error.strerror}): the run goes on without it", file=sys.stderr)
