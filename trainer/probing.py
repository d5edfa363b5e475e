"""What an encoder makes of a task's English rows: vectors with a class each, for measures that need no training."""

import numpy as np
import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from task_adapters.base import Task
from task_types import make_features
from task_types.loss import IGNORED
from task_types.retrieval import batches_by_length, default_batch_tokens, pooled_by

OTHERS = 8  # tokens of a window of span QA that are neither start nor end
MOST = 5_000  # vectors that are kept
OTHER, START, END = range(3)


def labelled_vectors(
    encoder: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    examples: Dataset,
    max_length: int,
    doc_stride: int | None,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of the last layer and their classes, (n, width) float64 and (n,) integers, n at most MOST.

    classification   one for each example: the mean over its tokens.
    tagging          one for each word: its first token.
    span_qa          of windows that hold the answer: the start token, the end token, and OTHERS drawn from the rest of the context.
    multiple_choice  one for each choice beside its question, right or wrong: a head scores each choice by itself. That a question has one
                     right choice is lost.
    """
    rng, features = np.random.default_rng(seed), make_features(examples, tokenizer, task, max_length, doc_stride)
    sequences = [sequence for row in features for sequence in sequences_of(task, row, rng)]
    vectors: list = [None] * len(sequences)
    classes = [[label for _, label in reads] for _, reads in sequences]
    for batch in batches_by_length(np.array([len(inputs["input_ids"]) for inputs, _ in sequences]), default_batch_tokens(encoder.device)):
        inputs = tokenizer.pad([sequences[row][0] for row in batch], return_tensors="pt").to(encoder.device)
        with torch.inference_mode():
            hidden = encoder(**inputs).last_hidden_state.float()
        means = pooled_by("mean", hidden, inputs["attention_mask"])
        for place, row in enumerate(batch):
            vectors[row] = [(means[place] if token is None else hidden[place, token]).cpu() for token, _ in sequences[row][1]]
    vectors = torch.stack([vector for row in vectors for vector in row]).double().numpy()
    classes = np.array([label for row in classes for label in row])
    kept = np.sort(rng.permutation(len(classes))[:MOST])
    return vectors[kept], classes[kept]


def sequences_of(task: Task, row: dict, rng: np.random.Generator) -> list[tuple[dict, list[tuple[int | None, int]]]]:
    """[(inputs of one sequence, [(token that is read, or None for the mean over all; its class)])] of one feature."""
    names = [name for name in ("input_ids", "token_type_ids") if name in row]
    if task.task_type == "multiple_choice":
        choices = [dict(zip(names, values)) for values in zip(*(row[name] for name in names))]
        return [(inputs, [(None, int(place == row["labels"]))]) for place, inputs in enumerate(choices)]
    inputs = {name: row[name] for name in names}
    if task.task_type == "tagging":
        reads = [(token, row["labels"][token]) for token in row["first_pieces"] if row["labels"][token] != IGNORED]
        return [(inputs, reads)] if reads else []
    if task.task_type == "span_qa":
        start, end, _ = row["labels"]
        context = range(row["context_start"], row["context_start"] + len(row["offsets"]))
        if start not in context:  # the window does not hold the answer
            return []
        rest = [token for token in context if token not in (start, end)]
        drawn = rng.permutation(rest)[:OTHERS].tolist() if rest else []
        return [(inputs, [(start, START), (end, END), *((int(token), OTHER) for token in drawn)])]
    return [(inputs, [(None, row["labels"])])]


def texts_of(examples: Dataset, task: Task) -> list[str]:
    """The whole text of each example, for an embedding without labels."""
    if task.task_type == "tagging":
        return [" ".join(words) for words in examples["words"][:]]
    names = {"classification": ("text_a", "text_b"), "span_qa": ("question", "context"), "multiple_choice": ("context", "question"),
             "pairs": ("query", "candidate")}[task.task_type]  # fmt: skip
    choices = examples["choices"][:] if task.task_type == "multiple_choice" else [[]] * len(examples)
    return [" ".join(filter(None, [*parts, *more])) for *parts, more in zip(*(examples[name][:] for name in names), choices)]
