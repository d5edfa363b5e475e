"""How sure the report is: the bootstrap beside scipy's, coverage on data with known differences, Holm beside a calculator."""

import numpy as np
import pytest
from scipy import stats

from report.statistics import Rows, holm, rank_correlation, resampled_scores


def test_the_bootstrap_has_the_standard_error_of_scipys():
    rng = np.random.default_rng(0)
    right = (rng.random((120, 2)) < (0.6, 0.7)).astype(float)
    found = resampled_scores(right, np.ones_like(right), 20_000)
    difference = stats.bootstrap(
        (right[:, 0], right[:, 1]), lambda a, b, axis: b.mean(axis) - a.mean(axis), paired=True, n_resamples=20_000, vectorized=True,
        rng=np.random.default_rng(1), method="percentile",
    )  # fmt: skip
    mine = found[:, 1] - found[:, 0]
    assert mine.std() == pytest.approx(100 * difference.standard_error, rel=0.03)
    assert np.quantile(mine, [0.025, 0.975]) == pytest.approx(100 * np.array(difference.confidence_interval), abs=0.6)
    rows = Rows(
        {"a": {1: 100 * right[:, 0].mean()}, "b": {1: 100 * right[:, 1].mean()}}, {"a": {1: found[:, 0]}, "b": {1: found[:, 1]}}, 120
    )
    estimate = rows.difference("b", "a")
    assert (estimate.low, estimate.high) == pytest.approx(100 * np.array(difference.confidence_interval), abs=0.6)
    t, p = stats.ttest_rel(right[:, 1], right[:, 0])
    assert estimate.value / estimate.error == pytest.approx(t, rel=0.03) and estimate.p == pytest.approx(p, rel=0.3)


def test_a_ratio_of_sums_is_resampled_as_a_ratio():
    rng = np.random.default_rng(0)
    found, there = rng.integers(0, 5, (80, 1)).astype(float), rng.integers(5, 9, (80, 1)).astype(float)
    mine = resampled_scores(found, there, 20_000)
    other = stats.bootstrap((found[:, 0], there[:, 0]), lambda a, b, axis: a.sum(axis) / b.sum(axis), paired=True, n_resamples=20_000,
                            vectorized=True, rng=np.random.default_rng(1), method="percentile")  # fmt: skip
    assert mine.std() == pytest.approx(100 * other.standard_error, rel=0.03)


def test_all_runs_get_the_same_draws_and_an_absent_run_stays_absent():
    values = np.random.default_rng(0).random((50, 1))
    ones = np.ones((50, 3))
    found = resampled_scores(np.hstack([values, values, np.full((50, 1), np.nan)]), ones, 300)
    assert (found[:, 0] == found[:, 1]).all() and np.isnan(found[:, 2]).all()
    assert (found == resampled_scores(np.hstack([values, values, values]), ones, 300))[:, :2].all(), "seeded"


def coverage(draws, examples, seeds, spread, resamples=300):
    """Share of 95% intervals that hold the true difference of two rows; spread: sd of skill between seeds."""
    rng = np.random.default_rng(1)
    hits = 0
    skills = np.array([0.2, 0.6])
    truth = 100 * np.diff(stats.norm.cdf(skills / np.sqrt(2 + spread**2)))[0]
    for draw in range(draws):
        ease, skill = rng.normal(size=(examples, 1)), np.repeat(skills, seeds) + spread * rng.normal(size=2 * seeds)
        right = (ease + skill + rng.normal(size=(examples, 2 * seeds)) > 0).astype(float)
        found, scores = resampled_scores(right, np.ones_like(right), resamples, seed=draw), 100 * right.mean(0)
        split = [range(seeds), range(seeds, 2 * seeds)]
        rows = Rows({row: {i: scores[i] for i in split[row]} for row in (0, 1)},
                    {row: {i: found[:, i] for i in split[row]} for row in (0, 1)}, examples)  # fmt: skip
        estimate = rows.difference(1, 0)
        hits += estimate.low <= truth <= estimate.high
    return hits / draws


def test_intervals_over_examples_hold_the_truth_in_95_of_100_draws():
    assert 0.94 <= coverage(draws=1000, examples=150, seeds=1, spread=0.0) <= 0.96


def test_intervals_over_examples_and_seeds_hold_the_truth_too():
    assert 0.93 <= coverage(draws=400, examples=100, seeds=3, spread=0.4) <= 0.97


def test_two_seeds_of_the_same_model_are_a_tie_though_their_examples_differ():
    """Examples alone would call two seeds different; the spread between the seeds of other rows says that they are not."""
    rng = np.random.default_rng(2)
    n, skills = 2000, {"a": [0.55, 0.61, 0.49], "b": [0.60, 0.52, 0.57], "one": [0.60], "two": [0.55]}
    right = {row: [(rng.random((n, 1)) < skill).astype(float) for skill in values] for row, values in skills.items()}
    columns = np.hstack([column for values in right.values() for column in values])
    found = iter(resampled_scores(columns, np.ones_like(columns), 500).T)
    resampled = {row: {seed: next(found) for seed in range(len(values))} for row, values in right.items()}
    scores = {row: {seed: 100 * column.mean() for seed, column in enumerate(values)} for row, values in right.items()}
    alone = Rows({row: scores[row] for row in ("one", "two")}, {row: resampled[row] for row in ("one", "two")}, n)
    assert not alone.difference("one", "two").is_tie
    assert Rows(scores, resampled, n).difference("one", "two").is_tie


def draws_of_guessers(draws, n=300):
    """Intervals of rows whose three seeds are stuck, each at an answer of its own: what one seed gets right, the others get wrong. The true
    difference is 0: gold is drawn with equal chances."""
    rng, estimates = np.random.default_rng(4), []
    for draw in range(draws):
        gold = rng.integers(0, 3, (n, 1))
        stuck = gold == np.arange(3)
        copied = rng.random((n, 6)) < 0.03  # a few examples are answered rightly or wrongly by chance
        right = np.where(copied, rng.random((n, 6)) < 1 / 3, np.concatenate([stuck, stuck], axis=1)).astype(float)
        found, scores = resampled_scores(right, np.ones_like(right), 500, seed=draw), 100 * right.mean(0)
        places = {"one": range(3), "two": range(3, 6)}
        rows = Rows({row: {i: scores[i] for i in those} for row, those in places.items()},
                    {row: {i: found[:, i] for i in those} for row, those in places.items()}, n)  # fmt: skip
        estimates.append(rows.difference("two", "one"))
    return estimates


def test_seeds_that_are_stuck_at_different_answers_do_not_blow_up_an_interval():
    """Their mean hardly moves between resamples, though each seed does: little is left of the variance, and with it of its degrees of
    freedom. Then the examples' part is not taken off."""
    estimates = draws_of_guessers(300)
    assert max(estimate.high - estimate.low for estimate in estimates) < 60, "in points; one in ten had over a million"
    assert np.mean([estimate.low <= 0 <= estimate.high for estimate in estimates]) >= 0.94


def test_nothing_known_gives_no_interval_and_equal_predictions_a_certain_zero():
    assert np.isnan(Rows({"a": {1: 1.0}, "b": {1: 2.0}}).difference("b", "a").low)
    same = {row: {1: np.full(10, 50.0)} for row in "ab"}
    estimate = Rows({"a": {1: 50.0}, "b": {1: 50.0}}, same, 10).difference("b", "a")
    assert (estimate.value, estimate.error, estimate.p) == (0, 0, 1) and estimate.is_tie
    sure = Rows({"a": {1: 0.0}, "b": {1: 100.0}}, {"a": {1: np.zeros(10)}, "b": {1: np.full(10, 100.0)}}, 4).difference("b", "a")
    assert sure.p == 2**-3, "four examples cannot say more"


def test_holm_is_that_of_a_calculator():
    # .01 * 4, .02 * 3, .03 * 2 (not below the one before), .5
    assert holm([0.02, np.nan, 0.01, 0.5, 0.03]) == pytest.approx([0.06, np.nan, 0.04, 0.5, 0.06], nan_ok=True)
    assert holm([]).size == 0 and holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])


def test_rank_correlation_is_scipys_with_an_interval_around_it():
    rng = np.random.default_rng(0)
    x = rng.normal(size=40)
    y = x + rng.normal(size=40)
    rho, low, high, n, p = rank_correlation(x, [*y[:-1], np.nan], resamples=2000)
    assert rho == pytest.approx(stats.spearmanr(x[:-1], y[:-1]).statistic) and low < rho < high and n == 39
    assert p == pytest.approx(stats.spearmanr(x[:-1], y[:-1]).pvalue, abs=0.01)
    assert np.isnan(rank_correlation([1, 2, 3], [1, 2, 3])[0]) and np.isnan(rank_correlation([1, 1, 1, 1], [1, 2, 3, 4])[0])


def test_a_perfect_order_of_four_languages_is_no_evidence_and_p_is_that_of_all_permutations():
    """Resamples of four pairs in perfect order all have a correlation of 1: the bootstrap's interval has no width. 2 of 24 orders are as
    extreme."""
    rho, low, high, n, p = rank_correlation([1, 2, 3, 4], [9, 7, 5, 1])
    assert (rho, n) == (-1, 4) and p == pytest.approx(2 / 24)
    x, y = np.array([3.0, 1, 4, 1, 5, 9]), np.array([2.0, 7, 1, 8, 2, 8])
    size = {"permutation_type": "pairings", "n_resamples": np.inf, "alternative": "greater"}
    exact = stats.permutation_test((x,), lambda x: abs(stats.spearmanr(x, y).statistic), **size)
    assert rank_correlation(x, y)[4] == pytest.approx(exact.pvalue)
    rng = np.random.default_rng(1)
    drawn = [rank_correlation(rng.normal(size=12), rng.normal(size=12), resamples=10)[4] for _ in range(400)]
    assert 0.03 < np.mean(np.array(drawn) < 0.05) < 0.07, "of unrelated lists one in twenty"
