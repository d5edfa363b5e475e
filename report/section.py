"""What a question of docs/questions.md found: estimates with intervals, and what they answer.

An estimate answers yes where its whole interval lies in the asked direction, no where the interval leaves no room for an effect of
`MARGIN` in that direction, and is undecided otherwise.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from report.analysis import Analysis
from report.collect import BASELINE, INTERMEDIATE, Run, is_english_intermediate
from report.examples import score_in
from report.formats import Cell
from report.statistics import Estimate
from report.tables import MISSING, difference_cell

MARGIN = 1.0  # points of a score: an effect below it is none. Of a slope: points for a tenth of syntactic distance
HEAD = ["what", "estimate (95% interval)", "n", "answer"]


@dataclass
class Section:
    """What a question found: a table, {of what: yes, no or undecided}, sentences on what was done, and on what is missing."""

    rows: list[list[Cell]] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    head: list[str] = field(default_factory=lambda: list(HEAD))
    labels: int = 1
    has_interval: bool = False

    def add(
        self, what: str, estimate: Estimate, n: str, margin: float | None = None, sign: int = 1, digits: int = 1, is_gain: bool = True
    ) -> str:
        """Adds a row. -> its answer, "" without a margin.

        margin: see `answer`; sign: -1 where a negative estimate says yes; is_gain: whether a positive estimate is shown as a gain.
        """
        said = "" if margin is None else answer(estimate, margin, sign)
        self.has_interval |= not np.isnan(estimate.low)
        self.rows.append([Cell(what), estimate_cell(estimate, digits, is_gain), Cell(n), Cell(said)])
        return said


def answer(estimate: Estimate, margin: float = MARGIN, sign: int = 1) -> str:
    low, high = sorted((sign * estimate.low, sign * estimate.high))
    return "yes" if low > 0 else "no" if high < margin else "undecided"


def estimate_cell(estimate: Estimate, digits: int = 1, is_gain: bool = True) -> Cell:
    if np.isnan(estimate.value):
        return MISSING
    if digits == 1 and is_gain:
        return difference_cell(estimate)
    between = "" if np.isnan(estimate.low) else f" ({estimate.low:+.{digits}f} to {estimate.high:+.{digits}f})"
    return Cell(f"{estimate.value:+.{digits}f}{between}", difference_cell(estimate).kind, estimate.value)


def of_model(analysis: Analysis, model: str) -> str:
    return f" [{model}]" if len(analysis.models) > 1 else ""


def without_baseline(analysis: Analysis) -> list[str]:
    """What is missing where a model has no baseline, or one seed."""
    lacking = [model for model in analysis.models if (model, BASELINE) not in analysis.rows]
    said = [f"the baseline of {model}: the same targets without intermediate training." for model in lacking]
    if len(analysis.seeds()) < 2:
        said.append("a second seed: how far another seed of the same training would differ is not known.")
    return said


def averaged(starts: Iterable[str]) -> list[str]:
    """A sentence that names the starts that count as intermediate training, in a list; [] where there is none."""
    counted = sorted({start for start in starts if is_english_intermediate(start)})
    return [f"Intermediate training: {', '.join(counted)}."] if counted else []


def left_out(starts: Iterable[str]) -> list[str]:
    """A sentence that names the trained starts that are not one intermediate task, in a list; [] where there is none."""
    others = sorted({start for start in starts if start not in (BASELINE, *INTERMEDIATE)})
    return [f"Left out: {', '.join(others)}, because only one English intermediate task has a domain and a kind."] if others else []


def mean_score(run: Run, languages: Sequence[str]) -> float:
    """The mean of a run's scores over some languages, as XTREME counts them."""
    return float(np.mean([score_in(run.task, run.scores[language]) for language in languages]))
