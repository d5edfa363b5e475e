"""The kinds of task that are trained. Each module has the same names: Model, to_features, loss, reduce_logits, gold, decode.

Features have no attention mask: for a single sequence it is all ones, and the collator makes it.
"""

import os
from contextlib import contextmanager
from functools import lru_cache

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from task_adapters.base import InputError, Task, code_of, fingerprint
from task_types import classification, dual_encoder, multiple_choice, span_qa, tagging
from task_types.late_tokenizer import LateTokenizer

TASK_TYPES = {
    "classification": classification,
    "multiple_choice": multiple_choice,
    "tagging": tagging,
    "span_qa": span_qa,
    "pairs": dual_encoder,
}
NEEDS_OFFSETS = ("multiple_choice", "tagging", "span_qa")  # only a fast tokenizer says where tokens come from, and how a pair is laid out
ROWS_PER_PROCESS = 20_000  # a process reads the tokenizer anew, which takes as long as some thousand rows (`benchmarks/preparation.py`)


def make_features(examples: Dataset, tokenizer: PreTrainedTokenizerBase, task: Task, max_length: int, doc_stride: int | None) -> Dataset:
    """Examples -> features: a `Dataset` with at least one feature per example; `example_index` is the example's row, counted from 0.

    Features are kept in the cache of `datasets` under a key of the examples, the tokenizer, the lengths and the code. The number of
    processes that make them is not part of the key.
    """
    task_type = TASK_TYPES[task.task_type]
    key = (
        examples._fingerprint,
        tokenizer_key(tokenizer),
        task.labels,
        task.sentences,
        task.label_piece,
        max_length,
        doc_stride,
        *([task.dual.lower_case] if task.dual else []),
        code_of(task_type.to_features),
    )
    # In classification the tokenizer does nearly all the work, and has its own threads. The other types do much of theirs in Python.
    processes = 1 if task.task_type == "classification" else min(available_cores(), len(examples) // ROWS_PER_PROCESS)
    with _environment_kept():
        return examples.map(
            _features_of_batch,
            batched=True,
            with_indices=True,
            remove_columns=examples.column_names,
            desc=f"{task.name} features",
            fn_kwargs={"tokenizer": tokenizer, "task": task, "max_length": max_length, "doc_stride": doc_stride},
            new_fingerprint=fingerprint(*key),
            num_proc=processes if processes > 1 else None,
        )


def check_lengths(examples: Dataset, tokenizer: PreTrainedTokenizerBase, task: Task, max_length: int, language: str) -> None:
    """Raises InputError where some example cannot become a feature, with its language, row and length; quick, as little is tokenised.

    To be called before training for all data whose features are made after it.
    """
    task_type = TASK_TYPES[task.task_type]
    reason = task_type.too_long(examples, tokenizer, task, max_length) if hasattr(task_type, "too_long") else None
    if reason:
        raise InputError(f"{task.name} {language}: --max_seq_length {max_length} is too short: {reason}.")


def available_cores() -> int:
    """The number of cores that this process may use; on a shared machine fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _environment_kept():
    """Undoes what `map` with several processes does: it switches the tokenizer's threads off in the environment, and leaves them off."""
    environment, before = os.environ, os.environ.get("TOKENIZERS_PARALLELISM")
    try:
        yield
    finally:
        os.environ = environment  # noqa: B003 (`datasets` puts a copy there)
        os.environ["TOKENIZERS_PARALLELISM"] = before or ""
        if before is None:
            del os.environ["TOKENIZERS_PARALLELISM"]


def _features_of_batch(batch, indices, tokenizer, task, max_length, doc_stride):
    features = dict(TASK_TYPES[task.task_type].to_features(batch, tokenizer, task, max_length, doc_stride))
    if "example_index" in features:  # several features per example: rows of this batch become rows of all examples
        features["example_index"] = [indices[index] for index in features["example_index"]]
    return features


@lru_cache(maxsize=8)  # the vocabulary of XLM-R is long, and each language needs the key
def tokenizer_key(tokenizer: PreTrainedTokenizerBase) -> str:
    """A key of everything that the output of a tokenizer depends on."""
    if isinstance(tokenizer, LateTokenizer):
        return tokenizer.key
    if not tokenizer.is_fast:
        return f"{tokenizer.name_or_path} {tokenizer.get_vocab()}"
    backend = tokenizer.backend_tokenizer
    backend.no_truncation(), backend.no_padding()  # settings of the last call; the next one sets its own
    return backend.to_str() + str(tokenizer.model_input_names)
