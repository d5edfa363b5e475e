"""Features of a batch -> tensors, for all kinds of task. No tokenizer is needed: a run whose features are cached does not load one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset

from task_types.loss import IGNORED

MODEL_COLUMNS = ("task", "labels", "input_ids", "token_type_ids")  # `task` in joint training; other columns are for decoding


def what_is_read(features: Dataset) -> Dataset:
    """The columns of a `Dataset` of features that a model reads."""
    return features.select_columns([name for name in MODEL_COLUMNS if name in features.column_names])


class Collator:
    """Pads at the right to the longest feature of the batch. pad_token_id: the one of the model's configuration.

    Each row has the columns that a model reads: `input_ids`, (tokens,) or (choices, tokens), `token_type_ids` where the model has them, and
    `labels`: one number, the same number of them for each row, or one for each token. Returns int64 tensors, (batch, ...), with the
    attention mask.
    """

    def __init__(self, pad_token_id: int | None):
        self.fill = {"input_ids": pad_token_id or 0, "labels": IGNORED}

    def __call__(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        columns = {name: [row[name] for row in rows] for name in rows[0] if name != "attention_mask"}
        batch = {name: padded(values, self.fill.get(name, 0)) for name, values in columns.items()}
        batch["attention_mask"] = padded(ones_like(columns["input_ids"]), 0)
        return batch


def padded(values: Sequence, fill: int) -> torch.Tensor:
    """Numbers, lists of numbers or lists of such lists -> one tensor."""
    first = values[0]
    if np.isscalar(first):
        return torch.tensor(values)
    if len(first) and not np.isscalar(first[0]):
        return padded([inner for row in values for inner in row], fill).view(len(values), len(first), -1)
    array = np.full((len(values), max(map(len, values))), fill)
    for row, numbers in zip(array, values):
        row[: len(numbers)] = numbers
    return torch.from_numpy(array)


def ones_like(values: Any) -> Any:
    return [ones_like(inner) for inner in values] if len(values) and not np.isscalar(values[0]) else [1] * len(values)
