"""Numbers that flags of the benchmarks take: what makes no sense ends in argparse's own line."""

import argparse
import math


def at_least(least: int):
    def number(text):
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text}: at least {least}")
        return int(text)

    return number


def above_zero(text: str) -> float:
    if not 0 < float(text) < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: a number above 0")
    return float(text)
