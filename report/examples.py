"""What each test example adds to a score: the statistics that the bootstrap resamples, from predictions/ and labels/ of a run.

Every score of a target is 100 times a ratio of two sums over examples. Accuracy, exact match and F1 of answers: points over examples. F1 of
tags, entities and pairs: twice the chunks found over the chunks there are and the chunks predicted.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metrics import XTREME_METRIC, XTREME_R_METRIC, chunks
from predictions import prediction_path, read_labels, read_predictions
from task_adapters import TASKS

BENCHMARK_METRIC = {**XTREME_R_METRIC, **XTREME_METRIC}


def statistics_of_runs(folders: Sequence[str], task: str, language: str) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
    """Numerators and denominators of several runs on the same examples, for 100 * sum(numerators) / sum(denominators).

    Returns (numerators (n, runs), denominators (n, runs), {folder: what is wrong}). A run without usable files, or scored on other gold
    than the first usable one, has NaN in its columns. n is 0 where no run is usable.
    """
    columns, wrong, gold_files, absent = {}, {}, {}, []
    for folder in folders:
        try:
            gold_file = prediction_path(Path(folder) / "labels", task, language).read_bytes()
            reference = next(iter(gold_files.items()), (folder, gold_file))
            if gold_file != reference[1]:
                wrong[folder] = f"the gold labels of {task} in {language} are other ones than in {reference[0]}"
                continue
            columns[folder] = statistics_of_run(folder, task, language)
            gold_files.setdefault(folder, gold_file)
        except FileNotFoundError as error:
            absent.append((folder, f"no intervals: {error.filename} is missing"))
        except (OSError, ValueError) as error:
            wrong[folder] = f"no intervals for {task} in {language}: {' '.join(str(error).split())}"
    wrong |= dict(absent if columns else [])  # where no run has files there is nothing to be said of each
    if TASKS[task].task_type == "mining":
        columns = aligned_pairs(columns)
    n = max((len(column) for column in columns.values()), default=0)
    unknown = np.full((n, 2), np.nan)
    both = np.stack([columns.get(folder, unknown) for folder in folders], axis=1) if folders else np.zeros((n, 0, 2))
    return both[..., 0], both[..., 1], wrong


def statistics_of_run(folder: str, task: str, language: str) -> Any:
    """(n, 2) numerators and denominators of one run; for mining {source id: (numerator, denominator)}.

    Raises ValueError or OSError where its files cannot be used.
    """
    kind, metrics = TASKS[task].task_type, metrics_of(task)
    is_counted = metrics == ("accuracy",) or (kind in ("tagging", "mining") and metrics == ("f1",)) or kind in ("span_qa", "ranking")
    if not is_counted:
        raise ValueError(f"no statistics for {' and '.join(metrics)} of a task of the kind {kind}")
    gold = read_labels(Path(folder) / "labels", task, language)
    predicted = read_predictions(Path(folder) / "predictions", task, language)
    if kind == "mining":
        return pair_counts(gold, predicted)
    if kind == "span_qa":
        ids, answers = gold
        return np.array([[answer_points(task, answers[row], predicted.get(ids[row]), language), 1] for row in range(len(ids))])
    if kind == "ranking":  # both scores are means over questions, of which an unanswered one has 0
        (name,), metric = metrics, TASKS[task].metric
        return np.array([[metric({question: right}, {question: predicted.get(question, [])}, language)[name] / 100, 1]
                         for question, right in gold.items()])  # fmt: skip
    if len(gold) != len(predicted):
        raise ValueError(f"{len(predicted)} predictions for {len(gold)} examples")
    if kind == "tagging":
        counts = chunk_counts if metrics == ("f1",) else word_counts
        return np.array([counts(*pair) for pair in zip(gold, predicted)], dtype=float)
    return np.array([[float(right == said), 1] for right, said in zip(gold, predicted)])


def answer_points(task: str, answers: Any, predicted: Any, language: str) -> float:
    """Points in 0..1 of one answer; in XTREME the mean of exact match and F1."""
    scores, metrics = TASKS[task].metric([answers], [predicted], language), metrics_of(task)
    return sum(scores[name] for name in metrics) / len(metrics) / 100


def word_counts(gold: Sequence[str], predicted: Sequence[str]) -> tuple[int, int]:
    """One sentence's share of an accuracy over words: (right, words)."""
    return sum(right == said for right, said in zip(gold, predicted, strict=True)), len(gold)


def chunk_counts(gold: Sequence[str], predicted: Sequence[str]) -> tuple[int, int]:
    """One sentence's share of a micro F1 over chunks: (2 * found, in gold + predicted)."""
    right, said = set(chunks(gold)), set(chunks(predicted))
    return 2 * len(right & said), len(right) + len(said)


def pair_counts(gold: Iterable[tuple], predicted: Iterable[tuple]) -> dict[str, tuple[int, int]]:
    """Each source sentence's share of an F1 over pairs: {source id: (2 * found, in gold + predicted)}."""
    gold, predicted = set(gold), set(predicted)
    counts = {source: [0, 0] for source, _ in sorted(gold | predicted)}
    for source, target in gold | predicted:
        pair = source, target
        counts[source][0] += 2 * (pair in gold and pair in predicted)
        counts[source][1] += (pair in gold) + (pair in predicted)
    return {source: (found, of_all) for source, (found, of_all) in counts.items()}


def aligned_pairs(columns: dict) -> dict:
    """Rows in the same order for all runs: every source sentence with a gold pair, or with a pair that some run predicted."""
    sources = sorted({source for column in columns.values() for source in column})
    return {folder: np.array([column.get(source, (0, 0)) for source in sources], dtype=float) for folder, column in columns.items()}


def score_of(numerators: np.ndarray, denominators: np.ndarray) -> np.ndarray:
    """100 * ratio of the sums over the first axis; 0 where nothing is there to be found."""
    above, below = numerators.sum(0), denominators.sum(0)
    return 100 * np.divide(above, below, out=np.zeros_like(above, dtype=float), where=below != 0)  # an absent run's NaN stays


def metrics_of(task: str) -> tuple[str, ...]:
    """The metrics whose mean is the task's score: XTREME's or XTREME-R's, or outside both the one that the task is known by."""
    return BENCHMARK_METRIC.get(task) or (TASKS[task].dev_metric,)


def score_in(task: str, scores: dict[str, float]) -> float | None:
    """One language's score as XTREME counts the task (of answers: the mean of exact match and F1); None where a metric is absent."""
    names = metrics_of(task)
    values = [scores[name] for name in names if name in scores]
    return sum(values) / len(values) if len(values) == len(names) else None


def chance(folder: str | Path, task: str, languages: Iterable[str]) -> dict[str, float | None]:
    """What answering without looking scores in each language: one label for all, the most frequent tag, one candidate of all, no answer.

    Counted from the labels of the run in `folder`; None for a language without usable ones.
    """
    kind, scores = TASKS[task].task_type, {}
    for language in languages:
        if kind in ("span_qa", "mining", "ranking"):
            scores[language] = 0.0
            continue
        try:
            gold = read_labels(Path(folder) / "labels", task, language)
        except (OSError, ValueError):
            scores[language] = None
            continue
        if kind == "retrieval":
            scores[language] = 100 / len(gold)
            continue
        counts = Counter(tag for tags in gold for tag in tags) if kind == "tagging" else Counter(gold)
        most = min(counts, key=lambda label: (-counts[label], label))
        guess = [[most] * len(tags) for tags in gold] if kind == "tagging" else [most] * len(gold)
        scores[language] = score_in(task, TASKS[task].metric(gold, guess, language))
    return scores
