"""How sure a score or a difference is: a paired bootstrap over examples, the spread between seeds, and a correction for many comparisons.

Examples: all runs of a language are scored on the same examples, so each resample draws the same examples for all of them (Efron and
Tibshirani, 1993; Berg-Kirkpatrick et al., 2012, https://aclanthology.org/D12-1091). Languages with equally many examples share their draws
too: the test sets of XNLI, PAWS-X and XQuAD are translations of the same sentences, in the same order. Seeds: the variance between the
runs of a row, less what resampling alone explains, pooled over rows because three seeds say little. Intervals use Student's t with the
degrees of freedom of that mixture (Satterthwaite, 1946). Where hardly anything is left of the variance, hardly any freedom is left either,
and t grows without bounds: then the interval without that subtraction, which is rather too long than too short, is the shorter one and is
taken.
Languages are not drawn: a mean is over exactly the languages that it names.
"""

import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import stats

RESAMPLES = 10_000
WEIGHTS_AT_ONCE = 2**22
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A value, its 95% interval, standard error and the p-value of its being 0. All but the value are NaN where nothing is known."""

    value: float
    low: float = np.nan
    high: float = np.nan
    error: float = np.nan
    p: float = np.nan

    @property
    def is_tie(self) -> bool:
        """Whether the interval holds 0. False where there is no interval."""
        return bool(self.low <= 0 <= self.high)


def resampled_scores(numerators: np.ndarray, denominators: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Scores of k runs on `resamples` draws of n examples with replacement, the same draws for all runs: (resamples, k), 0..100.

    numerators, denominators  (n, k), see `examples.statistics_of_runs`; the scores of a run with NaN are NaN.
    """
    sums = resampled_sums(np.concatenate([numerators, denominators], axis=1), resamples, seed)
    above, below = np.split(sums, 2, axis=1)
    ratio = np.zeros_like(above)
    np.divide(above, below, out=ratio, where=below != 0)  # NaN != 0: an absent run stays NaN
    return 100 * ratio


def resampled_sums(values: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Sums of the rows of `values` (n, m) over `resamples` draws of n rows with replacement: (resamples, m)."""
    n = len(values)
    rng = np.random.default_rng(seed)
    sums = np.empty((resamples, values.shape[1]))
    step = max(1, WEIGHTS_AT_ONCE // max(n, 1))
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        drawn = rng.integers(0, n, (count, n), dtype=np.int64) + n * np.arange(count)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=count * n).reshape(count, n).astype(float)
        sums[start : start + count] = weights @ values
    return sums


class Rows:
    """The runs of one column of a table, in rows of seeds, and what is known about their uncertainty.

    scores      {row: {seed: score}}; a seed of None: nothing was drawn in this row.
    resampled   {row: {seed: (resamples,) scores}}, or None where there are no predictions to resample.
    examples    number of examples that were resampled: with n of them no p-value is below 2 ** (1 - n).
    """

    def __init__(self, scores, resampled=None, examples=np.inf):
        self.scores = {row: np.array(list(seeds.values()), dtype=float) for row, seeds in scores.items()}
        self.is_drawn = {row: None not in seeds for row, seeds in scores.items()}
        self.resampled = {row: np.stack(list(seeds.values())) for row, seeds in (resampled or {}).items()}
        self.examples = examples
        self.seed_variance, self.observed_variance, self.seed_freedom = self._between_seeds()

    def _between_seeds(self) -> tuple[float, float, int]:
        """(variance between seeds that examples do not explain, observed variance, degrees of freedom), pooled over rows.

        All are 0 where no row has several seeds.
        """
        squares, by_examples, freedom = 0.0, 0.0, 0
        for row, scores in self.scores.items():
            if len(scores) < 2:
                continue
            squares += ((scores - scores.mean()) ** 2).sum()
            freedom += len(scores) - 1
            if row in self.resampled:  # what differs between seeds only because of the examples is counted with the examples
                by_examples += np.nanvar(self.resampled[row] - self.resampled[row].mean(0), axis=1).sum()
        return (max(0.0, squares - by_examples) / freedom, squares / freedom, freedom) if freedom else (0.0, 0.0, 0)

    def mean(self, row: Hashable) -> Estimate:
        """The mean over seeds of a row. Its p-value says nothing: scores are not compared with 0."""
        return self.combination({row: 1.0})

    def difference(self, row: Hashable, baseline: Hashable) -> Estimate:
        """The mean over seeds of `row` minus that of `baseline`, on the same examples."""
        return self.combination({row: 1.0, baseline: -1.0})

    def mean_difference(self, pairs: Sequence[tuple]) -> Estimate:
        """The mean over pairs (row, baseline) of their differences, on the same examples. A baseline of several pairs counts once."""
        weights = {}
        for row, baseline in pairs:
            weights[row] = weights.get(row, 0.0) + 1 / len(pairs)
            weights[baseline] = weights.get(baseline, 0.0) - 1 / len(pairs)
        return self.combination(weights)

    def combination(self, weights: dict) -> Estimate:
        """The sum of the means over seeds of several rows, each times its weight: {row: weight}."""
        value = sum(weight * self.scores[row].mean() for row, weight in weights.items())
        resampled = None
        if all(row in self.resampled for row in weights):
            resampled = sum(weight * self.resampled[row].mean(0) for row, weight in weights.items())
        has_examples = resampled is not None and not np.isnan(resampled).any()
        by_examples = resampled.var() if has_examples else 0.0
        share = sum(weight**2 / len(self.scores[row]) for row, weight in weights.items() if self.is_drawn[row])
        by_seeds, observed = self.seed_variance * share, self.observed_variance * share
        knows_seeds = self.seed_freedom > 0 and any(self.is_drawn[row] for row in weights)
        if not has_examples and not knows_seeds:
            return Estimate(float(value))
        error, freedom, reach = interval(by_examples + by_seeds, observed if by_seeds else 0.0, self.seed_freedom)
        if by_seeds:  # seeds that answer by chance, each in its own way: what is left of the variance may be next to nothing, and unknown
            with_examples_twice = interval(by_examples + observed, observed, self.seed_freedom)
            error, freedom, reach = min((error, freedom, reach), with_examples_twice, key=lambda found: found[2])
        if error:
            p = 2 * stats.t.sf(abs(value) / error, freedom)
        else:
            p = float(value == 0)
        smallest = 2.0 ** (1 - self.examples) if np.isfinite(self.examples) else 0.0
        return Estimate(float(value), float(value - reach), float(value + reach), error, float(min(1.0, max(p, smallest))))


def interval(variance: float, observed: float, seed_freedom: int) -> tuple[float, float, float]:
    """(standard error, degrees of freedom, half the length of the 95% interval) of a value with this variance.

    observed  the part of the variance that was observed between seeds, with seed_freedom degrees of freedom; 0: the variance is known.
    """
    freedom = seed_freedom * (variance / observed) ** 2 if observed else np.inf
    error = float(np.sqrt(variance))
    return error, freedom, float(stats.t.ppf(0.5 + LEVEL / 2, freedom)) * error


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """p-values corrected for their number (Holm, 1979): below .05, the chance of any false one among all is below 5%. NaN stays NaN."""
    values = np.asarray(p_values, dtype=float)
    corrected = np.full(values.shape, np.nan)
    order = [place for place in np.argsort(values, kind="stable") if not np.isnan(values[place])]
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * values[place]))
        corrected[place] = highest
    return corrected


def rank_correlation(
    x: Sequence[float], y: Sequence[float], resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float, float, int, float]:
    """Spearman's correlation of two lists, its 95% bootstrap interval over their pairs, and the p-value over permutations of one list:
    (rho, low, high, n, p); NaN for fewer than 4 pairs.

    Pairs with a NaN are left out. Resamples in which one side is constant have no correlation and are left out. The p-value is there for
    few pairs: resamples of four pairs in perfect order are all in perfect order, though one order in twelve is.
    """
    pairs = np.array([pair for pair in zip(x, y) if not np.isnan(pair).any()], dtype=float).reshape(-1, 2)
    n = len(pairs)
    if n < 4 or len(set(pairs[:, 0])) < 2 or len(set(pairs[:, 1])) < 2:
        return np.nan, np.nan, np.nan, n, np.nan
    drawn = pairs[np.random.default_rng(seed).integers(0, n, (resamples, n))]
    ranks = stats.rankdata(drawn, axis=1)
    centred = ranks - ranks.mean(1, keepdims=True)
    spread = np.sqrt((centred**2).sum(1)).prod(1)
    usable = spread > 0
    values = (centred[usable, :, 0] * centred[usable, :, 1]).sum(1) / spread[usable]
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    first, second = (stats.rankdata(side) - (n + 1) / 2 for side in pairs.T)
    by_chance = np.abs(first[permutations(n)] @ second)
    p = np.mean(by_chance >= abs(first @ second) - 1e-9)
    return float(stats.spearmanr(pairs[:, 0], pairs[:, 1]).statistic), float(low), float(high), n, float(p)


@cache
def permutations(n: int) -> np.ndarray:
    """(m, n) all orders of n things, for more than seven 5,000 of them, drawn once; the given order is the first."""
    if n <= 7:
        return np.array(list(itertools.permutations(range(n))))
    drawn = np.random.default_rng(n).permuted(np.tile(np.arange(n), (4999, 1)), axis=1)
    return np.concatenate([np.arange(n)[None], drawn])
