"""One label for a pair of sentences, or for one sentence. Example columns: text_a, text_b ("" where there is one sentence), label."""

from collections.abc import Sequence

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerBase

from task_adapters.base import Task
from task_types.loss import loss_of_logits
from task_types.span_qa import pair_layout

Model = AutoModelForSequenceClassification
loss = loss_of_logits


def to_features(
    examples: dict[str, list], tokenizer: PreTrainedTokenizerBase, task: Task, max_length: int, doc_stride: int | None = None
) -> dict[str, list]:
    """A batch of examples -> token ids of `<s> text_a </s></s> text_b </s>`, the longer text cut first; labels as numbers in `task.labels`.

    The task decides whether there is a second sentence (`task.sentences`), not the batch: in a pair an empty sentence keeps its place.
    """
    labels = [task.labels.index(label) for label in examples["label"]]
    texts = (examples["text_a"], examples["text_b"])[: task.sentences]
    if len(texts) == 1 or not tokenizer.is_fast:
        return {**tokenizer(*texts, truncation="longest_first", max_length=max_length, return_attention_mask=False), "labels": labels}
    (before, between, after), type_a, type_b = pair_layout(tokenizer)
    room = max_length - len(before[0]) - len(between[0]) - len(after[0])
    tokens = (tokenizer(column, add_special_tokens=False, verbose=False)["input_ids"] for column in texts)
    from_left = tokenizer.truncation_side == "left"
    features = {name: [] for name in ("input_ids", "token_type_ids") if name in tokenizer.model_input_names}
    for pair in zip(*tokens):
        lengths = cut_lengths(len(pair[0]), len(pair[1]), room)
        a, b = (ids[len(ids) - length :] if from_left else ids[:length] for ids, length in zip(pair, lengths))
        features["input_ids"].append(before[0] + a + between[0] + b + after[0])
        if "token_type_ids" in features:
            features["token_type_ids"].append(before[1] + [type_a] * len(a) + between[1] + [type_b] * len(b) + after[1])
    return {**features, "labels": labels}


def cut_lengths(a: int, b: int, room: int) -> tuple[int, int]:
    """How many tokens are left of two texts that share `room`: the shorter one is cut only where it is longer than half of it.

    The same as `truncation="longest_first"` of the tokenizers library, which also keeps every pair of parts that are cut off: of two
    long texts their number grows with the product of the lengths (`benchmarks/README.md`, peak memory).
    """
    if a + b <= room:
        return a, b
    shorter = min(a, b, room // 2)
    return (shorter, room - shorter) if a <= b else (room - shorter, shorter)


def reduce_logits(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """What leaves the device: all logits, which are few, and from which probabilities can be computed."""
    return logits


def gold(examples: Dataset, task: Task) -> list:
    return examples["label"][:]


def decode(examples: Dataset, features: Dataset, logits: Sequence[np.ndarray], task: Task) -> list[str]:
    """Logits (n, labels) -> one label name per example."""
    return [task.labels[index] for index in np.asarray(logits).argmax(-1)]
