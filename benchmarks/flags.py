"""Types for the benchmarks' flags. argparse prints one line for a value that the type refuses."""

import argparse
import math
from pathlib import Path


def at_least(least: int):
    """Returns a type for whole numbers that are not smaller than `least`."""

    def number(text):
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text}: a whole number, at least {least}") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"{text}: at least {least}")
        return value

    return number


def above_zero(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: a number above 0, such as 8")
    return value


def new_file(text: str) -> str:
    """The path of a file to write. The folder is checked at once, and not after minutes of work."""
    if not Path(text).parent.is_dir() or Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text}: a file in a folder that is there would be right")
    return text


def existing_folder(text: str) -> str:
    """The path of a folder that exists."""
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text}: no such folder")
    return text
