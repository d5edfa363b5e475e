"""The answer is a span of the context. Example columns: id, context, question, answers (text, answer_start).

Windows and decoding follow BERT's and XTREME's rules: windows start every `doc_stride` tokens of the context, a span may start only in the
window that gives its first token most context, and the best span is sought over all windows. Answers are cut out of the context by
character offsets, so no writing system needs white space.
"""

import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoModelForQuestionAnswering, PreTrainedTokenizerBase

from task_adapters.base import InputError, Task
from task_types.loss import cross_entropy

Model = AutoModelForQuestionAnswering

MAX_QUESTION_PIECES = 64
MAX_ANSWER_PIECES = 30
N_BEST = 20
MOST_SPECIAL_TOKENS = 8  # around a pair, more than any tokenizer has


@lru_cache(maxsize=8)
def pair_layout(tokenizer: PreTrainedTokenizerBase) -> tuple[list[tuple[list[int], list[int]]], int, int]:
    """The special tokens of a pair as [(ids, token types)] before A, between A and B, after B; then the token types of A and of B."""
    encoded = tokenizer("a", "b", return_token_type_ids=True)
    sides, ids, types = encoded.sequence_ids(0), encoded["input_ids"], encoded["token_type_ids"]
    a, b = sides.index(0), sides.index(1)
    end_a, end_b = len(sides) - sides[::-1].index(0), len(sides) - sides[::-1].index(1)
    spans = [(0, a), (end_a, b), (end_b, len(sides))]
    return [(ids[start:end], types[start:end]) for start, end in spans], types[a], types[b]


def to_features(
    examples: dict[str, list], tokenizer: PreTrainedTokenizerBase, task: Task, max_length: int, doc_stride: int | None
) -> dict[str, list]:
    """A batch of examples -> windows of `<s> question </s></s> part of the context </s>`, at most `max_length` tokens each.

    Besides the model's inputs: `example_index`, `context_start` (position of the window's first context token), `offsets` (the
    window's context tokens as (start, end) characters) and `is_max_context` (one flag per context token). `labels` is (start, end,
    length of the window), positions in the window; start and end are 0, the <s>, where the window does not hold the answer.
    Raises InputError where a question leaves no room for a context (`too_long` says so before training).
    """
    (before, between, after), type_a, type_b = pair_layout(tokenizer)
    plain = {"add_special_tokens": False, "verbose": False}
    questions = tokenizer(examples["question"], **plain)["input_ids"]
    contexts = tokenizer(examples["context"], return_offsets_mapping=True, **plain)
    names = ("input_ids", "token_type_ids", "labels", "example_index", "context_start", "offsets", "is_max_context")
    features = {name: [] for name in names if name != "token_type_ids" or name in tokenizer.model_input_names}

    for index, (question, context, offsets) in enumerate(zip(questions, contexts["input_ids"], contexts["offset_mapping"])):
        question = question[:MAX_QUESTION_PIECES]
        beginning = before[0] + question + between[0]
        room = max_length - len(beginning) - len(after[0])
        windows = window_spans(len(context), room, doc_stride)
        answer = answer_pieces(examples["answers"][index], offsets)
        best = best_windows(len(context), windows)
        for window, (start, end) in enumerate(windows):
            features["input_ids"].append(beginning + context[start:end] + after[0])
            if "token_type_ids" in features:
                types = before[1] + [type_a] * len(question) + between[1] + [type_b] * (end - start) + after[1]
                features["token_type_ids"].append(types)
            inside = answer is not None and start <= answer[0] and answer[1] < end
            span = [len(beginning) + token - start for token in answer] if inside else [0, 0]
            features["labels"].append([*span, len(features["input_ids"][-1])])
            features["example_index"].append(index)
            features["context_start"].append(len(beginning))
            features["offsets"].append([list(pair) for pair in offsets[start:end]])
            features["is_max_context"].append((best[start:end] == window).tolist())
    return features


def too_long(examples: Dataset, tokenizer: PreTrainedTokenizerBase, task: Task, max_length: int) -> str | None:
    """What is wrong with the first example whose question leaves no room for a context; None where there is none.

    Only questions are tokenised, and only where one of them may be too long.
    """
    if max_length > MAX_QUESTION_PIECES + MOST_SPECIAL_TOKENS:
        return None
    for row, question in enumerate(examples["question"][:]):
        if most_tokens(question) + MOST_SPECIAL_TOKENS < max_length:
            continue
        special = sum(len(ids) for ids, _ in pair_layout(tokenizer)[0])
        length = len(tokenizer(question, add_special_tokens=False, verbose=False)["input_ids"])
        if min(length, MAX_QUESTION_PIECES) + special >= max_length:
            return (
                f"the question of {examples['id'][row]!r} (row {row + 1}) has {length} tokens, and with {special} special tokens leaves no"
                f" room for a context: {question[:60]!r}"
            )
    return None


def most_tokens(text: str) -> int:
    """At least as many tokens as any tokenizer makes of a text: its bytes, or those of its longest Unicode form, and a word's beginning."""
    return 1 + max(len(form.encode("utf-8", "replace")) for form in (text, unicodedata.normalize("NFKD", text)))


def answer_ceiling(examples: Dataset, features: Dataset, doc_stride: int | None) -> dict:
    """How many questions have a gold answer that stands as a whole in some window: no model can answer the others exactly.

    features  all of the examples, made with `doc_stride`.
    Returns {"questions", "reachable", "ceiling"}: two counts, and the second in percent of the first. A question without an answer
    counts as reachable.
    """
    windows = [[] for _ in range(len(examples))]
    for index, offsets in zip(features["example_index"][:], features["offsets"][:]):
        windows[index].append(offsets)
    reachable = sum(not any(answers["text"]) or _stands_in_a_window(answers, of_example, doc_stride)
                    for answers, of_example in zip(examples["answers"][:], windows, strict=True))  # fmt: skip
    return {"questions": len(windows), "reachable": reachable, "ceiling": 100 * reachable / max(1, len(windows))}


def answer_ceilings(task: Task, examples: dict, features_of: Callable[[Dataset], Dataset], doc_stride: int | None) -> dict[str, dict]:
    """{language: `answer_ceiling`} of {language: examples}; {} where the task is no span QA. features_of: examples -> features."""
    if task.task_type != "span_qa":
        return {}
    return {language: answer_ceiling(part, features_of(part), doc_stride) for language, part in examples.items()}


def _stands_in_a_window(answers, windows, doc_stride) -> bool:
    """windows: the offsets of one example's windows, in order. All but the last are full."""
    step = min(doc_stride, len(windows[0]))
    offsets = [pair for window in windows[:-1] for pair in window[:step]] + windows[-1]
    for text, start in zip(answers["text"], answers["answer_start"]):
        span = answer_pieces({"text": [text], "answer_start": [start]}, offsets)
        if span and any(row * step <= span[0] and span[1] < row * step + len(window) for row, window in enumerate(windows)):
            return True
    return False


def ceiling_line(task: Task, ceilings: dict[str, dict], max_length: int, doc_stride: int) -> str | None:
    """One line for the user where some answers stand in no window; None where all do. ceilings: {language: `answer_ceiling`}."""
    below = {language: counts for language, counts in ceilings.items() if counts["reachable"] < counts["questions"]}
    if not below:
        return None
    languages = ", ".join(
        f"{language} {counts['ceiling']:.1f} ({counts['questions'] - counts['reachable']} of {counts['questions']} lost)"
        for language, counts in below.items()
    )
    return (
        f"{task.name}: with --max_seq_length {max_length} --doc_stride {doc_stride} some answers stand in no window."
        f" The highest possible exact match: {languages}"
    )


def window_spans(length: int, room: int, doc_stride: int) -> list[tuple[int, int]]:
    """[(start, end)] of the windows over `length` tokens: each holds `room` at most and starts `doc_stride` after the one before."""
    if room < 1:
        raise InputError(f"--max_seq_length leaves no room for a context beside a question of that length: {room} tokens.")
    spans, start = [], 0
    while True:
        spans.append((start, min(start + room, length)))
        if start + room >= length:
            return spans
        start += min(doc_stride, room)


def best_windows(length: int, windows: Sequence[tuple[int, int]]) -> np.ndarray:
    """For each token the window in which it has most context, (length,) integers.

    Context is the smaller of its sides, longer windows before shorter ones, and earlier windows before later ones.
    """
    best, most_context = np.zeros(length, dtype=np.int64), np.full(length, -np.inf)
    for window, (start, end) in enumerate(windows):
        left = np.arange(end - start)
        context = np.minimum(left, end - start - 1 - left) + 0.01 * (end - start)
        is_more = context > most_context[start:end]
        best[start:end][is_more] = window
        most_context[start:end][is_more] = context[is_more]
    return best


def answer_pieces(answers: dict, offsets: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """(first, last) context token of the first answer, by its characters; None where there is no answer or the context lacks it."""
    if not answers["text"] or answers["answer_start"][0] < 0:
        return None
    start = answers["answer_start"][0]
    end = start + len(answers["text"][0])
    touching = [token for token, (first, last) in enumerate(offsets) if first < end and last > start]
    return (touching[0], touching[-1]) if touching else None


def loss(
    outputs: dict, labels: torch.Tensor, num_items_in_batch: int | torch.Tensor | None = None, label_smoothing: float = 0.0
) -> torch.Tensor:
    """Mean of the start's and the end's cross-entropy over the real tokens. labels: (batch, 3): start, end, tokens in the window.

    The head gives padding a logit too. Inside the softmax it would make a window's loss depend on the other windows of the batch. Of a
    window that is wholly `IGNORED` (`speed.real_tokens.CountingCollator`) all logits are masked; its loss and its gradients are 0.
    `label_smoothing` spreads over the real tokens of each window, those of the question among them.
    """
    start_logits, end_logits = outputs["start_logits"].float(), outputs["end_logits"].float()
    padding = torch.arange(start_logits.shape[1], device=labels.device) >= labels[:, 2:]
    windows = len(labels) if num_items_in_batch is None else num_items_in_batch / 3  # the Trainer counts all three columns
    start, end = (
        cross_entropy(logits.masked_fill(padding, -torch.inf), labels[:, column], windows, label_smoothing)
        for column, logits in enumerate((start_logits, end_logits))
    )
    return (start + end) / 2


def reduce_logits(logits: tuple[torch.Tensor, torch.Tensor], labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What leaves the device: start and end logits, (batch, length) each.

    All of them are needed: which starts count (`is_max_context`) is not known here, and the best of those may not be among the best of all.
    """
    return logits


def gold(examples: Dataset, task: Task) -> list[list[str]]:
    return [list(answers["text"]) for answers in examples["answers"][:]]


def decode(examples: Dataset, features: Dataset, logits: tuple[Sequence[np.ndarray], Sequence[np.ndarray]], task: Task) -> list:
    """(start logits, end logits), each (features, length) -> one answer string per example.

    Where the task says that a question may have no answer: one {"text", "no_answer_margin"}, which the metric compares with a threshold.
    """
    spans = best_spans(examples, features, logits)
    if task.may_have_no_answer:
        return [{name: span[name] for name in ("text", "no_answer_margin")} for span in spans]
    return [span["text"] for span in spans]


def best_spans(examples: Dataset, features: Dataset, logits: tuple[Sequence[np.ndarray], Sequence[np.ndarray]]) -> list[dict]:
    """The best span of each example over all its windows, and how much better "no answer" would be.

    Returns one {"text", "score", "no_answer_margin"} per example; the margin is the lowest null score of its windows minus the best
    span's score.
    """
    best: list[dict[str, Any]] = [{"text": "", "score": -np.inf, "null": np.inf} for _ in range(len(examples))]
    contexts = examples["context"][:]  # one read for all rows
    columns = (features[name] for name in ("example_index", "context_start", "offsets", "is_max_context"))
    for index, first, offsets, is_max_context, start_logits, end_logits in zip(*columns, *logits):
        answer, count = best[index], len(offsets)
        answer["null"] = min(answer["null"], float(start_logits[0] + end_logits[0]))
        if not count:  # a context of characters that the tokenizer drops, such as a lone zero-width space
            continue
        start_scores = np.where(is_max_context, start_logits[first : first + count], -np.inf)
        end_scores = end_logits[first : first + count]
        starts, ends = n_best(start_scores), n_best(end_scores)
        length = ends[None, :] - starts[:, None] + 1
        scores = np.where((length > 0) & (length <= MAX_ANSWER_PIECES), start_scores[starts][:, None] + end_scores[ends][None, :], -np.inf)
        row, column = np.unravel_index(scores.argmax(), scores.shape)
        if scores[row, column] > answer["score"]:
            text = contexts[index][offsets[starts[row]][0] : offsets[ends[column]][1]].strip()
            answer.update(text=text, score=float(scores[row, column]))
    return [{"text": a["text"], "score": a["score"], "no_answer_margin": a["null"] - a["score"]} for a in best]


def n_best(scores: np.ndarray) -> np.ndarray:
    """Positions of the `N_BEST` highest scores, best first."""
    best = np.argpartition(-scores, N_BEST)[:N_BEST] if len(scores) > N_BEST else np.arange(len(scores))
    return best[np.argsort(-scores[best], kind="stable")]
