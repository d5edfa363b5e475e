"""What a factor does to a score: linear models with few and unequal blocks, and contrasts of seeds, with 95% intervals.

A model is fitted by least squares. Its standard errors are those of Bell and McCaffrey (2002) with their degrees of freedom: rows of one
block may move together, and a handful of blocks is enough (Imbens and Kolesar, 2016, https://doi.org/10.1162/REST_a_00552). A percentile
bootstrap over nine tasks is too sure of itself: tests/test_effects.py counts how often the intervals of both hold the truth.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from report.statistics import LEVEL, Estimate

SMALL = 1e-9  # of a column, beside its own length: nothing is left of it


def effects(
    outcome: Sequence[float] | np.ndarray, predictors: dict, within: Sequence = (), blocks: Sequence | None = None
) -> dict[str, Estimate]:
    """The coefficient of each predictor: {name: Estimate}. The value is NaN where the design cannot tell a predictor from the rest.

    outcome     (n,) numbers; predictors: {name: (n,) numbers}.
    within      lists of n labels; each label gets a level of its own (a fixed effect).
    blocks      (n,) labels: rows with equal ones may have noise in common. None: no two rows have.
    """
    columns = np.stack([np.asarray(values, dtype=float) for values in predictors.values()], axis=1)
    values, errors, freedom = intervals(np.asarray(outcome, dtype=float)[:, None], columns, within, blocks)
    return {name: estimate(values[place, 0], errors[place, 0], freedom[place]) for place, name in enumerate(predictors)}


def intervals(
    outcomes: np.ndarray, columns: np.ndarray, within: Sequence = (), blocks: Sequence | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fits m outcomes to the same k predictors: (values (k, m), standard errors (k, m), degrees of freedom (k,)). NaN: not known.

    outcomes (n, m); columns (n, k); within, blocks: see `effects`.
    """
    n, k = columns.shape
    unknown = np.full((k, outcomes.shape[1]), np.nan)
    if not n:
        return unknown, unknown.copy(), np.full(k, np.nan)
    levels = [np.ones((n, 1)), *(np.asarray(labels)[:, None] == np.unique(labels) for labels in map(np.asarray, within))]
    absorbed = basis_of(np.concatenate(levels, axis=1).astype(float))
    left = columns - absorbed @ (absorbed.T @ columns)
    is_known = np.array([is_left(columns[:, j], left[:, j], np.delete(left, j, axis=1)) for j in range(k)])
    weights = np.linalg.pinv(left, rcond=SMALL)  # (k, n): coefficients are weights @ outcome
    maker = np.eye(n) - absorbed @ absorbed.T - left @ weights  # residuals are maker @ outcome
    residuals = maker @ outcomes
    blocks = np.arange(n) if blocks is None else np.unique(np.asarray(blocks), return_inverse=True)[1].ravel()
    variances, vectors = np.zeros_like(unknown), []
    for block in np.unique(blocks):
        rows = np.flatnonzero(blocks == block)
        corrected = weights[:, rows] @ inverse_root(maker[np.ix_(rows, rows)])
        variances += (corrected @ residuals[rows]) ** 2
        vectors.append(maker[:, rows] @ corrected.T)
    vectors = np.stack(vectors, axis=2)  # (n, k, blocks)
    freedom = np.array([satterthwaite(vectors[:, j], weights[j]) for j in range(k)])
    values = weights @ outcomes
    values[~is_known] = variances[~is_known] = np.nan
    errors = np.where(np.isnan(freedom)[:, None], np.nan, np.sqrt(variances))
    return values, errors, freedom


def basis_of(columns: np.ndarray) -> np.ndarray:
    """An orthonormal basis of the space of some columns."""
    u, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    return u[:, sizes > SMALL * sizes[0]]


def is_left(column: np.ndarray, rest: np.ndarray, others: np.ndarray) -> bool:
    """Whether something of a column is left when levels and the other predictors are taken out of it."""
    basis = basis_of(others) if others.size and np.abs(others).max() > SMALL else np.zeros((len(rest), 0))
    return bool(np.linalg.norm(rest - basis @ (basis.T @ rest)) > SMALL * max(float(np.linalg.norm(column)), SMALL))


def inverse_root(matrix: np.ndarray) -> np.ndarray:
    """The inverse square root of a symmetric matrix; of its null space nothing."""
    sizes, vectors = np.linalg.eigh(matrix)
    roots = np.where(sizes > SMALL, 1 / np.sqrt(np.maximum(sizes, SMALL)), 0)
    return (vectors * roots) @ vectors.T


def satterthwaite(vectors: np.ndarray, weights: np.ndarray) -> float:
    """Degrees of freedom of a coefficient's variance where all rows have equal and independent noise; NaN where no residual is left."""
    products = vectors.T @ vectors
    total = np.trace(products)
    return float(total**2 / (products**2).sum()) if total > SMALL * (weights**2).sum() else np.nan


def estimate(value: Any, error: Any, freedom: Any) -> Estimate:
    if np.isnan(error) or np.isnan(value):
        return Estimate(float(value))
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, freedom) * error)
    p = 2 * stats.t.sf(abs(value) / error, freedom) if error else float(value == 0)
    return Estimate(float(value), float(value - reach), float(value + reach), float(error), float(p))


def contrast(rows: Sequence[tuple[float, Sequence]], undrawn: Sequence[bool] | None = None) -> Estimate:
    """A weighted sum of means over seeds, with the spread between seeds pooled over its rows.

    rows     [(weight, scores of the seeds of a row)].
    undrawn  for each row whether no random number is drawn in it: its one score has no spread.
    The interval is NaN where no row has two seeds.
    """
    undrawn = undrawn or [False] * len(rows)
    scores = [np.asarray(values, dtype=float) for _, values in rows]
    value = sum(weight * values.mean() for (weight, _), values in zip(rows, scores))
    drawn = [(weight, values) for (weight, _), values, is_fixed in zip(rows, scores, undrawn) if not is_fixed]
    freedom = sum(len(values) - 1 for _, values in drawn)
    if freedom < 1:
        return Estimate(float(value))
    variance = sum(((values - values.mean()) ** 2).sum() for _, values in drawn) / freedom
    return estimate(value, np.sqrt(variance * sum(weight**2 / len(values) for weight, values in drawn)), freedom)


def spread_ratio(rows: Sequence[Sequence[float]], others: Sequence[Sequence[float]]) -> Estimate:
    """The standard deviation between seeds in some rows over that in others, with the interval of Fisher's F. NaN: not known.

    rows, others  lists of the scores of a row's seeds; deviations are from the mean of each row.
    """

    def pooled(lists):
        freedom = sum(len(values) - 1 for values in lists)
        return sum(np.var(values) * len(values) for values in lists) / freedom if freedom else np.nan, freedom

    (above, n), (below, m) = pooled(rows), pooled(others)
    if not (n and m and below > 0):
        return Estimate(float("nan"))
    ratio, edges = above / below, stats.f.ppf([0.5 + LEVEL / 2, 0.5 - LEVEL / 2], n, m)
    low, high = np.sqrt(ratio / edges)
    return Estimate(float(np.sqrt(ratio)), float(low), float(high))
