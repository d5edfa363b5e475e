"""How good a ranking of intermediate tasks is, judged on a finished grid: regret and NDCG for each target, beside rankings by chance.

A ranking is a score for each intermediate task, higher is better. What is fitted is fitted on the other targets alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from report.analysis import Analysis
from report.collect import INTERMEDIATE

RANDOM = 10_000  # rankings by chance
LEVEL = 0.95
METRICS = ("Regret@1", "Regret@3", "NDCG")
OTHER_TARGETS = "gain on the other targets"
BEST_ON_OTHERS = "method that is best on the other targets"


def regret(scores: np.ndarray, predicted: np.ndarray, k: int) -> float:
    """Regret@k in percent: (best - best of the k that are predicted best) / best. scores, predicted: (n,), in the same order."""
    scores, chosen = np.asarray(scores, dtype=float), order_of(predicted)[:k]
    return 100 * float((scores.max() - scores[chosen].max()) / scores.max())


def ndcg(scores: np.ndarray, predicted: np.ndarray) -> float:
    """Normalised discounted cumulative gain over all tasks, 0..1; the gain of a task is its score, as in Poth et al. (2021)."""
    scores = np.asarray(scores, dtype=float)
    discounts = 1 / np.log2(np.arange(len(scores)) + 2)
    return float(scores[order_of(predicted)] @ discounts / (np.sort(scores)[::-1] @ discounts))


def order_of(predicted: Any) -> np.ndarray:
    """Places from the best to the worst; of equal ones the first in the collection's order comes first."""
    return np.argsort(-np.asarray(predicted, dtype=float), kind="stable")


def judged(scores: np.ndarray, predicted: np.ndarray) -> tuple[float, float, float]:
    """METRICS of one target."""
    return regret(scores, predicted, 1), regret(scores, predicted, 3), ndcg(scores, predicted)


def by_chance(targets: list, seed: int = 0) -> np.ndarray:
    """METRICS of RANDOM rankings, their means over targets: (RANDOM, 3). targets: the scores (n,) of each."""
    rng, totals = np.random.default_rng(seed), np.zeros((RANDOM, 3))
    for scores in (np.asarray(scores, dtype=float) for scores in targets):
        drawn = scores[rng.permuted(np.tile(np.arange(len(scores)), (RANDOM, 1)), axis=1)]
        discounts = 1 / np.log2(np.arange(len(scores)) + 2)
        best = scores.max()
        totals[:, 0] += 100 * (best - drawn[:, 0]) / best
        totals[:, 1] += 100 * (best - drawn[:, :3].max(1)) / best
        totals[:, 2] += drawn @ discounts / (np.sort(scores)[::-1] @ discounts)
    return totals / len(targets)


@dataclass
class Grid:
    """Scores of targets after each intermediate task.

    tasks      the intermediate tasks, in the collection's order.
    scores     {target: (n,) score after each of them}.
    baselines  {target: score without intermediate training}, for those that have one.
    """

    tasks: list[str]
    scores: dict[str, np.ndarray]
    baselines: dict[str, float]


def grid_of(analysis: Analysis, model: str, tasks: Sequence[str] = INTERMEDIATE) -> Grid:
    """The grid of one model: the intermediate tasks after which every target was scored that was scored after any, each trained alone.

    A target is left out that was scored after fewer tasks than another, because its regret would be over fewer choices.
    """
    found = {
        column.target: {start: float(column.mean.scores[model, start].mean()) for start in tasks if (model, start) in column.mean.scores}
        for column in analysis.columns
    }
    most = max(found.values(), key=len, default={})
    scores = {target: np.array([by_task[name] for name in most]) for target, by_task in found.items() if by_task.keys() == most.keys()}
    baselines = {c.target: float(c.mean.scores[model, "baseline"].mean()) for c in analysis.columns if (model, "baseline") in c.mean.scores}
    return Grid(list(most), {target: values for target, values in scores.items() if values.size and values.max() > 0}, baselines)


def from_other_targets(grid: Grid) -> dict[str, np.ndarray]:
    """{target: prediction}: the mean standing of each task on the other targets, its score less the target's mean over its spread."""
    standing = {target: (values - values.mean()) / (values.std() or 1) for target, values in grid.scores.items()}
    return {target: np.mean([standing[other] for other in standing if other != target], axis=0) for target in standing}


def best_method_on_others(grid: Grid, predictions: dict[str, dict[str, np.ndarray]]) -> dict[str, str]:
    """{target: the method with the smallest mean Regret@1 on the other targets, then the largest NDCG}."""
    chosen = {}
    for target in grid.scores:
        others = [other for other in grid.scores if other != target]
        results = {name: np.mean([judged(grid.scores[other], by_target[other]) for other in others], axis=0)
                   for name, by_target in predictions.items()}  # fmt: skip
        chosen[target] = min(results, key=lambda name: (results[name][0], -results[name][2]))
    return chosen


def judgement(grid: Grid, predictions: dict[str, dict[str, np.ndarray]]) -> list[str]:
    """Lines: METRICS of every method for each target and as mean over targets with its interval, beside rankings by chance.

    predictions  {method: {target: (n,) prediction}}; a method that lacks a target is left out and named.
    """
    targets = list(grid.scores)
    whole = {name: found for name, found in predictions.items() if all(target in found for target in targets)}
    lines = [f"{name} is not judged: it has no ranking for {', '.join(target for target in targets if target not in predictions[name])}"
             for name in predictions if name not in whole]  # fmt: skip
    if len(targets) > 1:
        chosen = best_method_on_others(grid, whole) if whole else {}
        whole = {**whole, OTHER_TARGETS: from_other_targets(grid)}
        if chosen:
            whole[BEST_ON_OTHERS] = {target: predictions[name][target] for target, name in chosen.items()}
    chance = by_chance(list(grid.scores.values()))
    names = [*whole, "by chance"]
    width = max(len(name) for name in names) + 2
    lines.append(f"{len(grid.tasks)} intermediate tasks, {len(targets)} targets; Regret in percent of the best score, NDCG from 0 to 1")
    lines.append(f"{'':<{width}}" + "".join(f"{name:>24}" for name in METRICS))
    for name, found in whole.items():
        values = np.array([judged(grid.scores[target], found[target]) for target in targets])
        lines.append(f"{name:<{width}}" + "".join(f"{text:>24}" for text in with_intervals(values)))
    shown = (between(chance[:, place].mean(), chance[:, place], place) for place in range(3))
    lines.append(f"{'by chance':<{width}}" + "".join(f"{text:>24}" for text in shown))
    lines.append("Intervals (95%): of methods over targets (bootstrap), of chance over random rankings.")
    lines.append(f"A random choice of three has a Regret@3 of {chance[:, 1].mean():.1f} here: a small Regret@3 alone says little.")
    if len(targets) > 1:
        lines.append("The last two methods are fitted: for each target on the others alone.")
    for target in targets:
        best = grid.tasks[int(np.argmax(grid.scores[target]))]
        parts = [f"{name} {'/'.join(f'{v:.1f}' for v in judged(grid.scores[target], found[target])[:2])}" for name, found in whole.items()]
        beside = f", without any {grid.baselines[target]:.1f}" if target in grid.baselines else ""
        lines.append(f"{target}: best {best} ({grid.scores[target].max():.1f}{beside}); Regret@1/@3: " + ", ".join(parts))
    return lines


def with_intervals(values: np.ndarray, seed: int = 0) -> list[str]:
    """Means over targets with bootstrap intervals over them; values (targets, 3). One target has no interval."""
    if len(values) == 1:
        return [between(value, None, place) for place, value in enumerate(values[0])]
    drawn = values[np.random.default_rng(seed).integers(0, len(values), (RANDOM, len(values)))].mean(1)
    return [between(values[:, place].mean(), drawn[:, place], place) for place in range(3)]


def between(value: float, draws: np.ndarray | None, place: int) -> str:
    digits = 3 if METRICS[place] == "NDCG" else 1
    if draws is None:
        return f"{value:.{digits}f}"
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
