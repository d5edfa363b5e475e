"""The kinds of task that are trained. Each module has the same names: Model, to_features, loss, reduce_logits, gold, decode.

Features have no mask: one sequence is all ones, and the collator writes it.
"""

import os
from contextlib import contextmanager
from functools import lru_cache

from task_adapters.base import code_of, fingerprint
from task_types import classification, multiple_choice, span_qa, tagging
from task_types.late_tokenizer import LateTokenizer

TASK_TYPES = {"classification": classification, "multiple_choice": multiple_choice, "tagging": tagging, "span_qa": span_qa}
NEEDS_OFFSETS = ("multiple_choice", "tagging", "span_qa")  # a fast tokenizer: where pieces come from, and the layout of a pair
ROWS_PER_PROCESS = 20_000  # a process costs 4 CPU seconds (it reads the tokenizer itself: XLM-R's has 250,002 pieces): 4,000 rows of SQuAD


def make_features(examples, tokenizer, task, max_length, doc_stride):
    """Examples -> features (a `Dataset` that holds at least one feature per example; `example_index` counts from 0 over all of them).

    Kept in the cache of `datasets` under a key that names the examples, the tokenizer, the lengths and the code; the number of processes
    that make them is no part of it.
    """
    task_type = TASK_TYPES[task.task_type]
    key = (
        examples._fingerprint,
        tokenizer_key(tokenizer),
        task.labels,
        task.label_piece,
        max_length,
        doc_stride,
        code_of(task_type.to_features),
    )
    # Classification leaves all the work to the tokenizer, which has threads of its own; the others cut windows and pair choices in Python.
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


def available_cores() -> int:
    """Cores that this process may use: on a shared machine fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _environment_kept():
    """`map` with several processes switches the tokenizer's own threads off by the environment, and leaves them off."""
    environment, before = os.environ, os.environ.get("TOKENIZERS_PARALLELISM")
    try:
        yield
    finally:
        os.environ = environment  # noqa: B003 (`datasets` put a copy there)
        os.environ["TOKENIZERS_PARALLELISM"] = before or ""
        if before is None:
            del os.environ["TOKENIZERS_PARALLELISM"]


def _features_of_batch(batch, indices, tokenizer, task, max_length, doc_stride):
    features = dict(TASK_TYPES[task.task_type].to_features(batch, tokenizer, task, max_length, doc_stride))
    if "example_index" in features:  # several features per example: from places in this batch to places among all examples
        features["example_index"] = [indices[index] for index in features["example_index"]]
    return features


@lru_cache(maxsize=8)  # the vocabulary of XLM-R is 17 MB of text, and every language asks
def tokenizer_key(tokenizer):
    """A key of everything that changes what a tokenizer says."""
    if isinstance(tokenizer, LateTokenizer):
        return tokenizer.key
    if not tokenizer.is_fast:
        return f"{tokenizer.name_or_path} {tokenizer.get_vocab()}"
    backend = tokenizer.backend_tokenizer
    backend.no_truncation(), backend.no_padding()  # left over from the last call, set again by the next
    return backend.to_str() + str(tokenizer.model_input_names)
