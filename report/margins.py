"""How far the translation that was found is ahead of others, from what retrieval keeps (task_types/probabilities.py).

Tatoeba: the cosine with the nearest sentence minus that with the second nearest. BUCC: the margin score of a candidate pair, its cosine
over the mean cosine with the neighbours of both. Where margins of right pairs are larger than those of wrong ones, a threshold can tell
them apart: the AUC is the probability that a right pair has the larger margin (0.5: margins say nothing).
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas
from scipy.stats import rankdata

from report.calibration import read_arrays
from report.collect import Run

COLUMNS = ["model", "start", "task", "language", "seed", "right", "wrong", "auc"]


def read_margins(runs: Iterable[Run]) -> tuple[pandas.DataFrame, dict[str, str]]:
    """One row (`COLUMNS`) for each run and language that kept margins, and {folder: what is wrong} of those that cannot be read.

    right, wrong  mean margin of right and of wrong pairs, NaN where there are none.
    """
    rows, wrong = [], {}
    for run in runs:
        if not Path(run.folder, "predictions").is_dir():  # one look, in place of one for each language
            continue
        try:
            for language in run.scores:
                arrays = read_arrays(run.folder, run.task, language)
                if arrays is not None and "margin" in arrays:
                    values = separation(*margins_of(arrays, run.folder))
                    rows.append((run.model, run.start, run.task, language, run.seed, *values))
        except ValueError as error:
            wrong[run.folder] = str(error)
    return pandas.DataFrame(rows, columns=COLUMNS).astype({"seed": "Int64"}), wrong


def margins_of(arrays: dict, folder: str) -> tuple[np.ndarray, np.ndarray]:
    """(margins (n,), whether each pair is right (n,)). Raises ValueError for arrays that no run writes."""
    margin, right = arrays["margin"], arrays.get("right")
    if margin.ndim != 1 or margin.dtype.kind != "f" or right is None or right.shape != margin.shape:
        raise ValueError(f"{folder}: the margins beside the predictions are not as a run writes them")
    return margin.astype(float), right.astype(bool)


def separation(margin: np.ndarray, right: np.ndarray) -> tuple[float, float, float]:
    """(mean margin of right pairs, of wrong ones, AUC); NaN where one kind is absent."""
    n, rest = int(right.sum()), int((~right).sum())
    mean_right, mean_wrong = (float(margin[kind].mean()) if kind.any() else np.nan for kind in (right, ~right))
    if not n or not rest:
        return mean_right, mean_wrong, np.nan
    return mean_right, mean_wrong, float((rankdata(margin)[right].sum() - n * (n + 1) / 2) / (n * rest))
