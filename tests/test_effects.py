"""Linear models and contrasts of seeds: beside other computations, and the share of their 95% intervals that hold the truth."""

import numpy as np
import pytest
from scipy import stats

from report.effects import contrast, effects, intervals, spread_ratio

DRAWS = 4000


def test_coefficients_are_those_of_least_squares_with_all_dummies():
    rng = np.random.default_rng(0)
    tasks, targets = np.repeat(range(6), 5), np.tile(range(5), 6)
    x, z = rng.random(30), rng.random(30)
    y = 3 * x - z + tasks + 2 * targets + rng.normal(size=30)
    dummies = [(tasks == i).astype(float) for i in range(6)] + [(targets == i).astype(float) for i in range(1, 5)]
    expected = np.linalg.lstsq(np.stack([x, z, *dummies], axis=1), y, rcond=None)[0]
    found = effects(y, {"x": x, "z": z}, [tasks, targets])
    assert [found["x"].value, found["z"].value] == pytest.approx(expected[:2], abs=1e-9)


def test_two_groups_without_blocks_are_compared_as_by_welch():
    """With one predictor, 0 or 1, these standard errors are Welch's, and the degrees of freedom are those of Bell and McCaffrey."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=9), 2 + 3 * rng.normal(size=5)
    estimate = effects(np.r_[a, b], {"b": np.r_[np.zeros(9), np.ones(5)]})["b"]
    assert estimate.value == pytest.approx(b.mean() - a.mean())
    assert estimate.error == pytest.approx(np.sqrt(a.var(ddof=1) / 9 + b.var(ddof=1) / 5))
    freedom = (1 / 9 + 1 / 5) ** 2 / (1 / 9**2 / 8 + 1 / 5**2 / 4)  # Satterthwaite's, of equal variances
    assert estimate.high - estimate.value == pytest.approx(stats.t.ppf(0.975, freedom) * estimate.error)


def test_what_the_design_cannot_tell_apart_has_no_value():
    same = np.array([1, 1, 0, 0, 1, 1, 0, 0.0])
    found = effects(np.arange(8.0), {"a": same, "b": 2 * same, "c": np.array([0, 1, 2, 5, 1, 3, 0, 1.0])})
    assert np.isnan(found["a"].value) and np.isnan(found["b"].value) and not np.isnan(found["c"].low)
    assert np.isnan(effects(np.arange(8.0), {"a": np.ones(8)})["a"].value), "a constant"
    two = effects([1.0, 2.0], {"a": [0.0, 1.0]})["a"]
    assert two.value == pytest.approx(1) and np.isnan(two.low), "as many coefficients as rows: no interval"
    assert np.isnan(effects([], {"a": []})["a"].value)


def share_of_hits(design, truth, outcomes):
    """Share of intervals that hold the truth. outcomes: (rows, draws)."""
    values, errors, freedom = intervals(outcomes, *design)
    reach = stats.t.ppf(0.975, freedom)[:, None] * errors
    return (np.abs(values - np.asarray(truth)[:, None]) <= reach).mean(1)


def grid_of_tasks(tasks=9, targets=9):
    rng = np.random.default_rng(5)
    starts, columns = np.repeat(range(tasks), targets), np.tile(range(targets), tasks)
    domains, kinds = rng.integers(0, 3, tasks), rng.integers(0, 3, tasks)
    of_target = rng.integers(0, 3, targets), rng.integers(0, 3, targets)
    same, kind = domains[starts] == of_target[0][columns], kinds[starts] == of_target[1][columns]
    return starts, columns, same.astype(float), kind.astype(float), of_target[1][columns]


@pytest.mark.parametrize("tasks, targets, most", [(9, 9, 0.97), (5, 5, 0.99), (4, 9, 0.99)])
def test_intervals_of_a_grid_hold_the_truth_though_targets_of_one_kind_move_together(tasks, targets, most):
    """Noise of the baseline (shared by a target), of the intermediate model (shared by a task), and of a task with a kind of target.

    Small grids, in which few comparisons carry a coefficient, get intervals that are a little too wide.
    """
    starts, columns, same, kind, kind_of_target = grid_of_tasks(tasks, targets)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(starts.size, DRAWS)) + 2 * rng.normal(size=(tasks, DRAWS))[starts]
    noise += rng.normal(size=(targets, DRAWS))[columns]
    noise += rng.normal(size=(tasks, 3, DRAWS))[starts, kind_of_target]
    blocks = np.unique(np.stack([starts, kind_of_target]), axis=1, return_inverse=True)[1].ravel()
    outcomes = (0.7 * same + 0.3 * kind)[:, None] + noise
    hits = share_of_hits((np.stack([same, kind], axis=1), [starts, columns], blocks), [0.7, 0.3], outcomes)
    assert ((hits >= 0.93) & (hits <= most)).all(), hits


def test_intervals_of_a_slope_over_languages_hold_the_truth_though_families_move_together():
    rng = np.random.default_rng(0)
    families = np.repeat(range(12), [9, 5, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1])
    distance = 0.2 * rng.random(12)[families] + 0.3 * rng.random(30)
    outcomes = -4 * distance[:, None] + rng.normal(size=(30, DRAWS)) + 0.5 * rng.normal(size=(12, DRAWS))[families]
    hits = share_of_hits((distance[:, None], [], families), [-4.0], outcomes)
    assert 0.93 <= hits[0] <= 0.97


def test_a_percentile_bootstrap_over_nine_tasks_would_be_too_sure():
    rng = np.random.default_rng(0)
    gains, drawn = rng.normal(size=(1000, 9)), rng.integers(0, 9, (400, 9))
    low, high = np.quantile(gains[:, drawn].mean(2), [0.025, 0.975], axis=1)
    assert ((low <= 0) & (0 <= high)).mean() < 0.92
    values, errors, freedom = intervals(gains.T + 1.0, np.ones((9, 1)))
    assert np.isnan(values).all() and np.isnan(errors).all(), "a constant is absorbed"


# ---- contrasts of seeds


def test_a_contrast_of_two_rows_is_students_test():
    a, b = [50.0, 52.0, 51.5], [53.0, 56.0, 54.0]
    estimate = contrast([(1.0, b), (-1.0, a)])
    expected = stats.ttest_ind(b, a)
    low, high = expected.confidence_interval()
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((np.mean(b) - np.mean(a), low, high))
    assert estimate.p == pytest.approx(expected.pvalue)


def test_a_contrast_without_a_second_seed_has_no_interval_and_a_row_without_seeds_adds_no_spread():
    assert np.isnan(contrast([(1.0, [50.0]), (-1.0, [49.0])]).low)
    alone = contrast([(1.0, [50.0, 52.0]), (-1.0, [40.0])], undrawn=[False, True])
    assert alone.error == pytest.approx(np.std([50, 52], ddof=1) / np.sqrt(2))


def test_contrasts_hold_the_truth_in_95_of_100_draws():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(DRAWS):
        mnli, qqp, base = 52 + rng.normal(size=3), 54 + rng.normal(size=3), 50 + rng.normal(size=2)
        estimate = contrast([(0.5, mnli), (0.5, qqp), (-1.0, base)])
        hits += estimate.low <= 3 <= estimate.high
    assert 0.94 <= hits / DRAWS <= 0.96


def test_the_ratio_of_spreads_holds_the_truth_too():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(DRAWS):
        ratio = spread_ratio([2 * rng.normal(size=3), 2 * rng.normal(size=3)], [rng.normal(size=3)])
        hits += ratio.low <= 2 <= ratio.high
    assert 0.94 <= hits / DRAWS <= 0.96
    assert np.isnan(spread_ratio([[1.0]], [[1.0, 2.0]]).low) and np.isnan(spread_ratio([[1.0, 2.0]], [[1.0, 1.0]]).value)
