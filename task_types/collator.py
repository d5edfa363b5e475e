"""Features of a batch -> tensors, for all kinds of task. It takes no tokenizer: features from the cache are trained on without one."""

import numpy as np
import torch

from task_types.loss import IGNORED

READ = ("task", "labels", "input_ids", "token_type_ids")  # the rest of a feature is for decoding; the task is for joint training


def what_is_read(features):
    """The columns that a model reads, of a `Dataset` of features."""
    return features.select_columns([name for name in READ if name in features.column_names])


class Collator:
    """Pads at the right to the longest of the batch. pad_token_id: the one of the model's configuration.

    Rows are what a model reads: `input_ids`, (pieces,) or (choices, pieces), `token_type_ids` where it has them, and `labels`: one number,
    as many for each row, or one for each piece. Returns int64 tensors, (batch, ...), and the mask: one sequence has no padding inside.
    """

    def __init__(self, pad_token_id: int | None):
        self.fill = {"input_ids": pad_token_id or 0, "labels": IGNORED}

    def __call__(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        columns = {name: [row[name] for row in rows] for name in rows[0] if name != "attention_mask"}
        batch = {name: padded(values, self.fill.get(name, 0)) for name, values in columns.items()}
        batch["attention_mask"] = padded(ones_like(columns["input_ids"]), 0)
        return batch


def padded(values, fill: int) -> torch.Tensor:
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


def ones_like(values):
    return [ones_like(inner) for inner in values] if len(values) and not np.isscalar(values[0]) else [1] * len(values)
