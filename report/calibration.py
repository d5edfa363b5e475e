"""How far probabilities can be trusted, before and after temperature scaling (Guo et al., 2017, https://arxiv.org/abs/1706.04599).

Definitions, as in the literature on multilingual calibration (Ahuja et al., 2022, https://arxiv.org/abs/2210.12265):

ece_10, ece_15  expected calibration error in percent: the gap between accuracy and mean confidence of the most probable class, over 10 or
                15 bins of equal width (low < confidence <= high), weighted by their size
ece_mass        the same over 15 bins of equal size
brier           squared distance of the probabilities to the right answer, summed over classes, mean over examples (0..2)
nll             negative log-likelihood of the right answer in nats, probabilities no smaller than 1e-12
accuracy_80     accuracy on the 80% of the examples of which the model is surest

Intervals are over examples (sentences for tags). Of answers there is no right class among all: Brier and NLL are those of "the chosen
answer is an exact match" (0..1). Temperature scaling divides the logits by one number, the one with the least NLL on other examples.
"""

import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from scipy.optimize import minimize_scalar

from predictions import prediction_path
from report.collect import Run
from report.statistics import LEVEL, resampled_sums

SMALLEST = 1e-12  # probability in a log-likelihood
COVERAGE = 0.8
TEMPERATURES = (0.02, 50.0)
METRICS = ("accuracy", "ece_10", "ece_15", "ece_mass", "brier", "nll", "accuracy_80")


@dataclass(frozen=True)
class Judged:
    """n predictions with what the model believed of them.

    scores  (n, classes) logits, or log probabilities; of answers (n, candidates), the chosen one first.
    right   (n,) whether the most probable class, or the chosen answer, is right.
    gold    (n,) place of the right class, -1 where there is none; None for answers.
    unit    (n,) number of the sentence or example that a row belongs to: what the bootstrap draws.
    """

    scores: np.ndarray
    right: np.ndarray
    gold: np.ndarray | None
    unit: np.ndarray

    def scaled(self, temperature: float) -> "Judged":
        return replace(self, scores=self.scores / temperature)

    def part(self, kept: np.ndarray) -> "Judged":
        return Judged(self.scores[kept], self.right[kept], None if self.gold is None else self.gold[kept], self.unit[kept])

    @property
    def log_probabilities(self) -> np.ndarray:
        shifted = self.scores - self.scores.max(1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))

    @property
    def confidence(self) -> np.ndarray:
        """(n,) probability of the most probable class, or of the chosen answer."""
        highest = self.log_probabilities.max(1) if self.gold is not None else self.log_probabilities[:, 0]
        return np.exp(highest)


def judge(logits: Any, gold: Any) -> Judged:
    """Predictions of one class each. logits: (n, classes); gold: (n,) places."""
    logits, gold = np.asarray(logits, dtype=float), np.asarray(gold)
    return Judged(logits, logits.argmax(1) == gold, gold, np.arange(len(gold)))


def kept_path(folder: str | Path, task: str, language: str, split: str) -> Path:
    return prediction_path(Path(folder) / "predictions", task, language).with_name(f"{split}-{language}.npz")


def read_arrays(folder: str | Path, task: str, language: str, split: str = "test") -> dict[str, np.ndarray] | None:
    """The arrays that a run kept of one language (task_types/probabilities.py); None where it kept none.

    Raises ValueError for a file that cannot be read.
    """
    path = kept_path(folder, task, language, split)
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def read_probabilities(folder: str | Path, task: str, language: str, split: str = "test") -> Judged | None:
    """What a run kept of one language; None where it kept nothing that has classes or answers.

    Raises ValueError for a file that cannot be read.
    """
    arrays, path = read_arrays(folder, task, language, split) or {}, kept_path(folder, task, language, split)
    scores = arrays.get("log_probabilities")
    if scores is None:
        return None
    gold, right = arrays.get("gold"), arrays.get("right")
    if scores.ndim != 2 or not len(scores) or (gold if gold is not None else right) is None:
        raise ValueError(f"{path} holds no probabilities of this collection")
    scores = np.maximum(scores.astype(float), -1e4)  # -inf: fewer candidates than others have
    if gold is None:
        return Judged(scores, right.astype(bool), None, np.arange(len(right)))
    return replace(judge(scores, gold), unit=arrays.get("sentence", np.arange(len(gold))))


def losses(judged: Judged) -> tuple[np.ndarray, np.ndarray]:
    """(Brier, NLL) of each prediction."""
    if judged.gold is None:
        confidence, right = judged.confidence, judged.right
        chosen = np.where(right, confidence, 1 - confidence)
        return (confidence - right) ** 2, -np.log(np.maximum(chosen, SMALLEST))
    probabilities = np.exp(judged.log_probabilities)
    one_hot = np.eye(probabilities.shape[1] + 1)[judged.gold][:, :-1]  # -1, a class without an output, is the last row: all zeros
    known = np.where(judged.gold >= 0, probabilities[np.arange(len(judged.gold)), judged.gold], 0.0)
    missed = judged.gold < 0
    return ((probabilities - one_hot) ** 2).sum(1) + missed, -np.log(np.maximum(known, SMALLEST))


def bins_of(confidence: np.ndarray, bins: int, is_equal_mass: bool = False) -> np.ndarray:
    """(n,) the bin of each prediction."""
    if not is_equal_mass:
        return np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    ranks = np.empty(len(confidence), dtype=int)
    ranks[np.argsort(confidence, kind="stable")] = np.arange(len(confidence))
    return ranks * bins // len(confidence)


def columns_of(judged: Judged) -> tuple[np.ndarray, list[int]]:
    """What every metric is a function of, summed over predictions: (n, 5 + 40) columns, and the number of bins of each kind."""
    confidence = judged.confidence
    brier, nll = losses(judged)
    sure = np.zeros(len(confidence), dtype=bool)
    sure[np.argsort(-confidence, kind="stable")[: max(1, round(COVERAGE * len(confidence)))]] = True
    columns, sizes = [np.ones(len(confidence)), judged.right, brier, nll, sure, sure & judged.right], [10, 15, 15]
    gaps = []
    for bins, is_equal_mass in zip(sizes, (False, False, True)):
        gap = np.zeros((len(confidence), bins))
        gap[np.arange(len(confidence)), bins_of(confidence, bins, is_equal_mass)] = judged.right - confidence
        gaps.append(gap)
    return np.concatenate([np.stack(columns, axis=1).astype(float), *gaps], axis=1), sizes


def metrics_of_sums(sums: np.ndarray, sizes: list[int]) -> np.ndarray:
    """(..., columns) sums -> (..., `METRICS`)."""
    n, right, brier, nll, sure, sure_right = np.moveaxis(sums[..., :6], -1, 0)
    starts = np.cumsum([6, *sizes])
    errors = [np.abs(sums[..., start:end]).sum(-1) for start, end in zip(starts, starts[1:])]
    return np.stack(
        [100 * right / n, *(100 * error / n for error in errors), brier / n, nll / n, 100 * sure_right / np.maximum(sure, 1)], axis=-1
    )


def calibration(judged: Judged, resamples: int = 0) -> dict[str, tuple[float, float, float]]:
    """{metric: (value, low, high)}: `METRICS` with 95% bootstrap intervals over examples (sentences for tags); NaN without resamples."""
    columns, sizes = columns_of(judged)
    values = metrics_of_sums(columns.sum(0), sizes)
    low = high = np.full(len(METRICS), np.nan)
    if resamples:
        units = np.add.reduceat(columns, np.flatnonzero(np.diff(judged.unit, prepend=-1)))  # the rows of a unit follow one another
        drawn = metrics_of_sums(resampled_sums(units, resamples), sizes)
        low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return {name: (float(v), float(a), float(b)) for name, v, a, b in zip(METRICS, values, low, high)}


def fit_temperature(judged: Judged) -> float:
    """The temperature with the least mean NLL on these predictions, between 0.02 and 50."""

    def loss(log_temperature):
        return losses(judged.scaled(np.exp(log_temperature)))[1].mean()

    return float(np.exp(minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-8}).x))


def split_units(judged: Judged, examples: int, seed: int = 0) -> tuple[Judged, Judged]:
    """(`examples` examples, or sentences, drawn at random; the others)."""
    units = np.unique(judged.unit)
    drawn = np.random.default_rng(seed).permutation(units)[:examples]
    within = np.isin(judged.unit, drawn)
    return judged.part(within), judged.part(~within)


# ---- all runs of a report

COLUMNS = ["model", "start", "task", "language", "seed", "scaling", "temperature", "metric", "value", "low", "high"]
NO_SCALING, ON_DEV, ON_TARGET = "none", "English dev", "target"
RESAMPLES_AT_MOST = 200  # of each language, run and scaling; enough for the second digit of an interval


def calibrate(runs: Iterable[Run], resamples: int, temperature_examples: int = 0) -> tuple[pandas.DataFrame, dict[str, str]]:
    """Calibration of every run and language that kept probabilities, and {folder: what is wrong} of those that cannot be read.

    temperature_examples  how many examples of each language's test data a second temperature is fitted on; these metrics are those of the
                          other examples. 0: none.
    """
    rows, wrong = [], {}
    for run in runs:
        try:
            kept = prediction_path(Path(run.folder) / "predictions", run.task, "en").parent.glob("*.npz")
            languages = {path.stem.removeprefix("test-") for path in kept}
            dev = read_probabilities(run.folder, run.task, "en", "dev") if languages else None
            fitted = None if dev is None else fit_temperature(dev)
            for language in (language for language in run.scores if language in languages):
                judged = read_probabilities(run.folder, run.task, language)
                if judged is None:
                    continue
                for scaling, temperature, part in scalings(judged, fitted, temperature_examples):
                    values = calibration(part.scaled(temperature), min(resamples, RESAMPLES_AT_MOST))
                    name = run.model, run.start, run.task, language, run.seed, scaling, temperature
                    rows += [(*name, metric, *three) for metric, three in values.items()]
        except ValueError as error:
            wrong[run.folder] = str(error)
    return pandas.DataFrame(rows, columns=COLUMNS).astype({"seed": "Int64"}), wrong


def scalings(judged: Judged, fitted_on_dev: float | None, temperature_examples: int) -> Iterator[tuple[str, float, Judged]]:
    """Yields (scaling, temperature, the predictions it is judged on)."""
    yield NO_SCALING, 1.0, judged
    if fitted_on_dev is not None:
        yield ON_DEV, fitted_on_dev, judged
    if 0 < temperature_examples < len(np.unique(judged.unit)):
        shots, others = split_units(judged, temperature_examples)
        yield ON_TARGET, fit_temperature(shots), others


def reliability(judged: Judged, bins: int = 10) -> list[tuple[float, float, int]]:
    """(mean confidence, share of right ones, number) of each bin of equal width that is not empty."""
    confidence = judged.confidence
    home = bins_of(confidence, bins)
    return [(float(confidence[home == b].mean()), float(judged.right[home == b].mean()), int((home == b).sum())) for b in np.unique(home)]
