"""What is kept of a model's probabilities, so that calibration needs no GPU: `predictions/<task>/test-<language>.npz`.

Log probabilities as float16 (relative error 0.0005), compressed. report/calibration.py reads the files. Arrays, with n examples or words:

classification, multiple choice, tagging (a word each)
    log_probabilities (n, classes); gold (n,), the place of the right class, -1 where training never saw it;
    sentence (n,), of tagging: the number of the word's sentence
span_qa
    log_probabilities (n, N_BEST), of different answer texts among the best, the chosen one first, -inf where there are fewer;
    log_no_answer (n,), of "no answer" among these and itself; right (n,), whether the chosen answer is an exact match
retrieval
    similarity (n,), cosine with the sentence that was found; margin (n,), what it is ahead of the second best; right (n,)
mining
    margin (n,) of all candidate pairs, best first; right (n,); mined (n,), whether the pair was above the threshold
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from datasets import Dataset

from console import is_main_process
from predictions import prediction_path
from task_adapters.base import Task
from task_types import TASK_TYPES, span_qa, tagging


def probabilities_path(output_dir: str | Path, task_name: str, language: str, split: str = "test") -> Path:
    """Where the probabilities of one language lie: beside its predictions."""
    return prediction_path(Path(output_dir) / "predictions", task_name, language).with_name(f"{split}-{language}.npz")


def reducing(task_type: Any) -> Any:
    """The task type, leaving on the device what probabilities are made of: of tags all of them, not only the best."""
    return SimpleNamespace(reduce_logits=reduce_tags, loss=tagging.loss) if task_type is tagging else task_type


def reduce_tags(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """-> (best tag, as `tagging.reduce_logits`; log probabilities of all tags), (batch, length) and (batch, length, tags)."""
    return tagging.reduce_logits(logits, labels), logits.float().log_softmax(-1)


def keep(path: Path, task: Task, examples: Dataset, features: Dataset, logits: Any, language: str) -> Any:
    """Writes what is kept of `logits` (left by `reducing`). -> the logits that the task type's `decode` expects"""
    kept = TASK_TYPES[task.task_type]
    arrays = {tagging: of_tags, span_qa: of_spans}.get(kept, of_classes)
    if is_main_process():
        write(path, arrays(task, examples, features, logits, language))
    return logits[0] if kept is tagging else logits


def of_classes(task: Task, examples: Dataset, features: Dataset, logits: Sequence[np.ndarray], language: str) -> dict[str, np.ndarray]:
    """Of one label, or one choice, for each example."""
    gold = examples["label"][:]
    places = [task.labels.index(label) if label in task.labels else -1 for label in gold] if task.labels else gold
    return {"log_probabilities": log_softmax(np.stack(logits)), "gold": np.array(places, dtype=np.int16)}


def of_tags(task: Task, examples: Dataset, features: Dataset, logits: Any, language: str) -> dict[str, np.ndarray]:
    """Of one tag for each word, in the order of examples and words."""
    rows = [[] for _ in range(len(examples))]
    for row, first, index in zip(logits[1], features["first_pieces"][:], features["example_index"][:]):
        rows[index].append(row[first])
    places = {tag: place for place, tag in enumerate(task.labels)}
    tags = examples["tags"][:]
    gold = [places.get(tag, -1) for sentence in tags for tag in sentence]
    values = np.concatenate([part for parts in rows for part in parts] or [np.zeros((0, len(task.labels)))])
    sentence = np.repeat(np.arange(len(tags)), [len(words) for words in tags])
    return {"log_probabilities": values, "gold": np.array(gold, dtype=np.int16), "sentence": sentence.astype(np.int32)}


def of_spans(task: Task, examples: Dataset, features: Dataset, logits: Any, language: str) -> dict[str, np.ndarray]:
    """Of the answers to each question."""
    best, null = best_texts(examples, features, logits)
    scores = np.full((len(best), span_qa.N_BEST), -np.inf)
    for row, answers in enumerate(best):
        scores[row, : len(answers)] = list(answers.values())
    chosen = [next(iter(answers), "") for answers in best]
    gold = span_qa.gold(examples, task)
    right = [task.metric([answers], [text], language)["exact_match"] == 100 for answers, text in zip(gold, chosen)]
    no_answer = log_softmax(np.concatenate([null[:, None], scores], axis=1))[:, 0]
    return {"log_probabilities": log_softmax(scores), "log_no_answer": no_answer, "right": np.array(right, dtype=bool)}


def best_texts(examples: Dataset, features: Dataset, logits: Any) -> tuple[list[dict[str, float]], np.ndarray]:
    """For each question {text: score} of its `N_BEST` best answers, best first, and the lowest score of "no answer" over its windows."""
    best, null = [{} for _ in range(len(examples))], np.full(len(examples), np.inf)
    contexts = examples["context"][:]
    columns = (features[name] for name in ("example_index", "context_start", "offsets", "is_max_context"))
    for index, first, offsets, is_max_context, start_logits, end_logits in zip(*columns, *logits):
        null[index] = min(null[index], start_logits[0] + end_logits[0])
        for score, start, end in window_spans(first, len(offsets), is_max_context, start_logits, end_logits):
            text = contexts[index][offsets[start][0] : offsets[end][1]].strip()
            best[index][text] = max(score, best[index].get(text, -np.inf))
    return [dict(sorted(answers.items(), key=lambda pair: -pair[1])[: span_qa.N_BEST]) for answers in best], null


def window_spans(
    first: int, count: int, is_max_context: Sequence[bool], start_logits: np.ndarray, end_logits: np.ndarray
) -> list[tuple[float, int, int]]:
    """The `N_BEST` best (score, start, end) of one window, best first: pieces counted from the context's first, as in `best_spans`."""
    if not count:
        return []
    start_scores, end_scores = np.where(is_max_context, start_logits[first : first + count], -np.inf), end_logits[first : first + count]
    starts, ends = span_qa.n_best(start_scores), span_qa.n_best(end_scores)
    length = ends[None, :] - starts[:, None] + 1
    allowed = (length > 0) & (length <= span_qa.MAX_ANSWER_PIECES)
    scores = np.where(allowed, start_scores[starts][:, None] + end_scores[ends][None, :], -np.inf)
    order = np.argsort(-scores, axis=None, kind="stable")[: span_qa.N_BEST]
    rows, columns = np.unravel_index(order, scores.shape)
    places = zip(rows, columns)  # type: ignore[call-overload]  # numpy's hints take them for numbers
    return [(float(scores[r, c]), starts[r], ends[c]) for r, c in places if scores[r, c] > -np.inf]


@torch.inference_mode()
def of_neighbours(
    queries: torch.Tensor, candidates: torch.Tensor, gold: Sequence[int], predicted: Sequence[int], block: int = 4096
) -> dict[str, np.ndarray]:
    """Of the sentence found for each query. queries, candidates: unit vectors (n, d), (m, d); gold, predicted: places, n integers."""
    nearest = [(queries[i : i + block] @ candidates.T).topk(min(2, len(candidates))).values for i in range(0, len(queries), block)]
    values = torch.cat(nearest).numpy()
    right = np.asarray(gold) == np.asarray(predicted)
    return {"similarity": values[:, 0], "margin": values[:, 0] - values[:, -1], "right": right}


def of_pairs(candidates: Sequence[tuple], gold: Iterable[tuple], threshold: float) -> dict[str, np.ndarray]:
    """Of mined pairs. candidates: [(margin, (source id, target id))], best first."""
    gold = set(gold)
    margin = np.array([score for score, _ in candidates])
    return {"margin": margin, "right": np.array([pair in gold for _, pair in candidates], dtype=bool), "mined": margin >= threshold}


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Log probabilities over the last axis; a row of -inf alone stays as it is."""
    highest = scores.max(-1, keepdims=True)
    shifted = scores - np.where(np.isfinite(highest), highest, 0)
    with np.errstate(divide="ignore"):
        return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes the arrays in one move, floats as float16."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    halves = {name: values.astype(np.float16) if values.dtype.kind == "f" else values for name, values in arrays.items()}
    try:
        with open(part, "wb") as file:
            np.savez_compressed(file, **halves)  # type: ignore[arg-type]  # numpy's hints know no names of the caller
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
