"""One of several answers to a question about a context ("" where there is none). Example columns: context, question, choices, label.

Each choice makes a pair with context and question, `<s> context question </s></s> choice </s>`; a model reads all choices of an example in
one forward pass. Where a pair is too long the context loses its beginning, as in jiant; the question at its end and the choice stay whole.
"""

from collections.abc import Sequence

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoModelForMultipleChoice, PreTrainedTokenizerBase

from task_adapters.base import InputError, Task
from task_types.loss import loss_of_logits
from task_types.span_qa import MOST_SPECIAL_TOKENS, most_tokens, pair_layout

Model = AutoModelForMultipleChoice
loss = loss_of_logits


def to_features(
    examples: dict[str, list], tokenizer: PreTrainedTokenizerBase, task: Task, max_length: int, doc_stride: int | None = None
) -> dict[str, list]:
    """A batch of examples -> for each one list of token ids per choice, (choices, tokens), under the tokenizer's own input names.

    Raises InputError where a choice alone is longer than `max_length` (`too_long` says so before training), and where examples differ in
    their number of choices.
    """
    choices = examples["choices"]
    if len({len(row) for row in choices}) > 1:
        raise InputError(f"{task.name}: examples with {min(map(len, choices))} and with {max(map(len, choices))} choices.")
    (before, between, after), type_a, type_b = pair_layout(tokenizer)
    special = len(before[0]) + len(between[0]) + len(after[0])
    plain = {"add_special_tokens": False, "verbose": False}
    firsts = [f"{context} {question}".strip() for context, question in zip(examples["context"], examples["question"])]
    firsts = tokenizer(firsts, **plain)["input_ids"]
    seconds = iter(tokenizer([choice for row in choices for choice in row], **plain)["input_ids"])

    names = [name for name in ("input_ids", "token_type_ids") if name in tokenizer.model_input_names]
    features = {name: [] for name in names}
    for row, context in zip(choices, firsts):
        encoded = {name: [] for name in names}
        for choice, second in zip(row, seconds):
            room = max_length - special - len(second)
            if room < 0:
                raise InputError(f"--max_seq_length {max_length} is too short for a choice of {len(second)} tokens: {choice[:60]!r}.")
            first = context[max(len(context) - room, 0) :]
            ids = before[0] + first + between[0] + second + after[0]
            types = before[1] + [type_a] * len(first) + between[1] + [type_b] * len(second) + after[1]
            for name, values in (("input_ids", ids), ("token_type_ids", types)):
                if name in encoded:
                    encoded[name].append(values)
        for name in names:
            features[name].append(encoded[name])
    return {**features, "labels": list(examples["label"])}


def too_long(examples: Dataset, tokenizer: PreTrainedTokenizerBase, task: Task, max_length: int) -> str | None:
    """What is wrong with the first example of which a choice alone is too long; None where there is none.

    Only those choices are tokenised that may be too long.
    """
    for row, choices in enumerate(examples["choices"][:]):
        for choice in choices:
            if most_tokens(choice) + MOST_SPECIAL_TOKENS <= max_length:
                continue
            special = sum(len(ids) for ids, _ in pair_layout(tokenizer)[0])
            length = len(tokenizer(choice, add_special_tokens=False, verbose=False)["input_ids"])
            if length + special > max_length:
                return f"a choice of row {row + 1} has {length} tokens, and {special} special tokens come with it: {choice[:60]!r}"
    return None


def reduce_logits(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """What leaves the device: one score per choice."""
    return logits


def gold(examples: Dataset, task: Task) -> list[int]:
    return examples["label"][:]


def decode(examples: Dataset, features: Dataset, logits: Sequence[np.ndarray], task: Task) -> list[int]:
    """Logits (n, choices) -> the number of the chosen answer, counted from 0, for each example."""
    return [int(choice) for choice in np.asarray(logits).argmax(-1)]
