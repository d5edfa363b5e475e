"""Mistakes of the user, and what reading data can raise, as one line."""

import argparse
import difflib
import errno
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import datasets
import pyarrow
from datasets.exceptions import DatasetsError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class InputError(ValueError):
    """The user's mistake: the message is one line that says what is wrong, with which value, and what would be right."""


class Absent(InputError):
    """A source is not here: the next one is tried. A source that is here and broken stops the run with an InputError."""


class DropRow(Exception):
    """Raised by a `to_example` whose row the protocol leaves out; the reason is counted and stands in the result."""


class OneLineParser(argparse.ArgumentParser):
    """argparse prints the usage of all flags before a complaint; here the complaint stands alone."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def nearest(name: str, candidates: Iterable[str]) -> str:
    """` Did you mean 'xnli'?` for 'xnl', or the whole list where nothing is near."""
    return near(name, candidates).lstrip() or f"Known: {', '.join(candidates)}."


def near(name: str, candidates: Iterable[str]) -> str:
    """` Did you mean 'xnli'?` for 'xnl' or 'XNLI', or nothing: for a message that has the whole list anyway."""
    ratios = {candidate: difflib.SequenceMatcher(None, candidate.lower(), str(name).lower()).ratio() for candidate in candidates}
    closest = max(ratios, key=lambda candidate: ratios[candidate], default=None)  # the first of those that are equally near
    return f" Did you mean {closest!r}?" if closest is not None and ratios[closest] >= 0.5 else ""


def one_line(error: BaseException) -> str:
    """The error's message on one line of at most 300 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:300] + "..."


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, the one that caused it, and so on. An error that is raised again can stand among its own causes: it comes once."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def refuse_full_disk(error: BaseException, what: str) -> None:
    """Raises an InputError where an error, or one that caused it, is a full disk or a used-up quota."""
    if any(isinstance(cause, OSError) and cause.errno in NO_ROOM for cause in causes(error)):
        raise InputError(
            f"No space is left on the disk for {what}: in the cache {datasets.config.HF_DATASETS_CACHE} or in {tempfile.gettempdir()}."
            " Make room, or set HF_HOME and TMPDIR to folders on a larger disk."
        ) from error


@contextmanager
def errors_said_once() -> Iterator[None]:
    """`datasets` logs some errors before it raises them; the user is told by the exception alone."""
    verbosity = datasets.logging.get_verbosity()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    try:
        yield
    finally:
        datasets.logging.set_verbosity(verbosity)


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Errors of reading `what` through `datasets` as an InputError of one line; an InputError from within stays as it is."""
    try:
        with errors_said_once():
            yield
    except (DatasetsError, pyarrow.ArrowException, OSError, ValueError) as error:
        mistake = next((cause for cause in causes(error) if isinstance(cause, InputError)), None)
        if mistake is not None:
            raise mistake from None
        refuse_full_disk(error, what)
        raise InputError(f"Cannot read {what}: {one_line(error.__cause__ or error)}") from error
