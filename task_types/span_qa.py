"""The answer is a span of the context. Example columns: id, context, question, answers (text, answer_start).

Windows and decoding follow BERT's and XTREME's rules: windows start every `doc_stride` pieces of the context, a span starts where its
window gives the start most context, and the best span is sought over all windows. Answers are cut out of the context by character
offsets, so no script needs white space.
"""

from functools import lru_cache

import numpy as np
import torch
from transformers import AutoModelForQuestionAnswering

from task_adapters.base import InputError
from task_types.loss import cross_entropy

Model = AutoModelForQuestionAnswering

MAX_QUESTION_PIECES = 64
MAX_ANSWER_PIECES = 30
N_BEST = 20


@lru_cache(maxsize=8)
def pair_layout(tokenizer):
    """The special tokens around a pair, (ids, token types): before A, between A and B, after B; and the types of A and B."""
    encoded = tokenizer("a", "b", return_token_type_ids=True)
    sides, ids, types = encoded.sequence_ids(0), encoded["input_ids"], encoded["token_type_ids"]
    a, b = sides.index(0), sides.index(1)
    end_a, end_b = len(sides) - sides[::-1].index(0), len(sides) - sides[::-1].index(1)
    spans = [(0, a), (end_a, b), (end_b, len(sides))]
    return [(ids[start:end], types[start:end]) for start, end in spans], types[a], types[b]


def to_features(examples, tokenizer, task, max_length, doc_stride):
    """A batch of examples -> windows of `<s> question </s></s> part of the context </s>`, at most `max_length` pieces.

    Besides what the model eats: `example_index`, `context_start` (position of the window's first context piece), `offsets` (the
    window's context pieces as (start, end) characters) and `is_max_context` (one flag per context piece). `labels` is (start, end,
    length of the window), positions in the window; start and end are 0, the <s>, where the window does not hold the answer.
    """
    (before, between, after), type_a, type_b = pair_layout(tokenizer)
    plain = {"add_special_tokens": False, "verbose": False}
    questions = tokenizer(examples["question"], **plain)["input_ids"]
    contexts = tokenizer(examples["context"], return_offsets_mapping=True, **plain)
    names = ("input_ids", "token_type_ids", "labels", "example_index", "context_start", "offsets", "is_max_context")
    features = {name: [] for name in names if name != "token_type_ids" or name in tokenizer.model_input_names}

    for index, (question, context, offsets) in enumerate(zip(questions, contexts["input_ids"], contexts["offset_mapping"])):
        question = question[:MAX_QUESTION_PIECES]
        head = before[0] + question + between[0]
        room = max_length - len(head) - len(after[0])
        windows = window_spans(len(context), room, doc_stride)
        answer = answer_pieces(examples["answers"][index], offsets)
        best, first = best_windows(len(context), windows), len(features["is_max_context"])
        for start, end in windows:
            features["input_ids"].append(head + context[start:end] + after[0])
            if "token_type_ids" in features:
                types = before[1] + [type_a] * len(question) + between[1] + [type_b] * (end - start) + after[1]
                features["token_type_ids"].append(types)
            inside = answer is not None and start <= answer[0] and answer[1] < end
            place = [len(head) + piece - start for piece in answer] if inside else [0, 0]
            features["labels"].append([*place, len(features["input_ids"][-1])])
            features["example_index"].append(index)
            features["context_start"].append(len(head))
            features["offsets"].append([list(pair) for pair in offsets[start:end]])
            features["is_max_context"].append((best == len(features["is_max_context"]) - first).tolist()[start:end])
    return features


def window_spans(length, room, doc_stride):
    """[(start, end)) of the windows over `length` pieces: each holds `room` at most and starts `doc_stride` after the one before."""
    if room < 1:
        raise InputError(f"--max_seq_length leaves no room for a context beside a question of that length: {room} pieces.")
    spans, start = [], 0
    while True:
        spans.append((start, min(start + room, length)))
        if start + room >= length:
            return spans
        start += min(doc_stride, room)


def best_windows(length, windows):
    """For each piece the window in which it has most context: the larger of the smaller sides, longer windows before shorter ones."""
    pieces = np.arange(length)
    context = np.full((len(windows), length), -np.inf)
    for row, (start, end) in enumerate(windows):
        inside = pieces[start:end]
        context[row, start:end] = np.minimum(inside - start, end - 1 - inside) + 0.01 * (end - start)
    return context.argmax(axis=0)


def answer_pieces(answers, offsets):
    """(first, last) context piece of the first answer, by characters; None where there is no answer or it has no place."""
    if not answers["text"] or answers["answer_start"][0] < 0:
        return None
    start = answers["answer_start"][0]
    end = start + len(answers["text"][0])
    touching = [piece for piece, (first, last) in enumerate(offsets) if first < end and last > start]
    return (touching[0], touching[-1]) if touching else None


def loss(outputs, labels, num_items_in_batch=None, label_smoothing=0.0):
    """Mean of the start's and the end's cross-entropy over the real tokens. labels: (batch, 3): start, end, tokens in the window.

    The head scores padding too: left in the softmax, a window's loss would depend on how long its neighbours in the batch are.
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


def reduce_logits(logits, labels):
    """What leaves the device: start and end logits, (batch, length) each, 3 KB a window at most.

    All of them: which starts count (`is_max_context`) is known beside the text, and the best of those need not be among the best of all.
    """
    return logits


def gold(examples, task):
    return [list(answers["text"]) for answers in examples["answers"][:]]


def decode(examples, features, logits, task):
    """(start logits, end logits), each (features, length) -> one answer string per example.

    Where the task says that a question may have no answer: one {"text", "no_answer_margin"}, to be held against a threshold.
    """
    spans = best_spans(examples, features, logits)
    if task.may_have_no_answer:
        return [{name: span[name] for name in ("text", "no_answer_margin")} for span in spans]
    return [span["text"] for span in spans]


def best_spans(examples, features, logits):
    """The best span of each example over all its windows, and how much better "no answer" would be.

    Returns one {"text", "score", "no_answer_margin"} per example; margin = lowest null score of its windows - best span's score.
    """
    best = [{"text": "", "score": -np.inf, "null": np.inf} for _ in range(len(examples))]
    contexts = examples["context"][:]  # a slice is one read; going through a column is one per row
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


def n_best(scores):
    """Positions of the `N_BEST` highest scores, best first."""
    best = np.argpartition(-scores, N_BEST)[:N_BEST] if len(scores) > N_BEST else np.arange(len(scores))
    return best[np.argsort(-scores[best], kind="stable")]
