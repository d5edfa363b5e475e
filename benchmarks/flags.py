"""Values that flags of the benchmarks take: what makes no sense ends in argparse's own line."""

import argparse
import math
from pathlib import Path


def at_least(least: int):
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
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: a number above 0, such as 8")
    return value


def new_file(text: str) -> str:
    """Asked before minutes of work, not when they are to be written down."""
    if not Path(text).parent.is_dir() or Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text}: a file in a folder that is there would be right")
    return text


def there(text: str) -> str:
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text}: no such folder")
    return text
