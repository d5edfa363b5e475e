"""`load_examples`: one split of one language of a task, from the first of its sources that is here, with what a result says about it."""

import zlib
from collections import Counter
from pathlib import Path

import numpy as np
from datasets import Dataset, concatenate_datasets

from task_adapters.base import Absent, InputError, Task
from task_adapters.content import content_key
from task_adapters.examples import NOT_THIS_LANGUAGE, to_examples, usable
from task_adapters.flores import meant
from task_adapters.xtreme_download import Download

FEW = 20  # In a test set of up to this size all labels can really be equal. In a larger one they are a placeholder.


def load_examples(
    task: Task, split: str, language: str = "en", data_dir: str | None = None, max_samples: int | None = None, seed: int | None = None
) -> tuple[Dataset, dict]:
    """Loads one split of one language as examples.

    max_samples  keep this many: drawn with `seed` (see `drawn`), or the first ones where `seed` is None.
    Returns (examples with the columns of `EXAMPLE_COLUMNS[task.task_type]`, provenance: which rows of which source, what was dropped, and
    under "content" a key of the examples that are returned: the same wherever they came from, see `content_key`).
    Raises InputError for a language, split, file, column or label that is not there.
    """
    if language not in task.languages:
        raise InputError(no_language(task, language))
    loaded, passed_over = _first_source_that_is_here(task, split, language, data_dir)
    converted = [_examples_of(rows, revision, source, task, split, language) for source, rows, revision in loaded]
    parts = [provenance for _, provenance in converted]
    examples = concatenate_datasets([part for part, _ in converted]) if len(converted) > 1 else converted[0][0]
    name = " + ".join(part["hub_id"] for part in parts) + f" ({split}, {language})"
    if split != "train":
        _refuse_duplicate_ids(examples, name)
    if split == "test":
        _refuse_placeholders(examples, name)
    if max_samples is not None and max_samples < len(examples):
        examples = examples.select(range(max_samples) if seed is None else drawn(len(examples), max_samples, seed, language))
    provenance = {
        "task": task.name,
        "split": split,
        "language": language,
        "data_dir": data_dir,
        **_together(parts),
        "examples": len(examples),
        "content": content_key(examples),
    }
    if len(parts) > 1:
        provenance["parts"] = parts
    if passed_over:
        provenance["passed_over"] = passed_over
    if loaded[0][0].is_own:
        provenance |= loaded[0][0].facts()
    return examples, provenance


def _first_source_that_is_here(task, split, language, data_dir):
    """-> ([(source, its rows, their revision)] of all parts of the first of the task's sources that is here, why others are not)"""
    sources = [source for source in task.sources if split in source.splits]
    if not sources:
        raise InputError(f"{task.name} has no {split!r} split. It has: {', '.join(task.sources[0].splits)}.")
    sources = [source for source in sources if language in source.languages] or [source for source in sources if not source.languages]
    sources = _of_the_layout(sources, split, language, data_dir)
    passed_over = []
    for source in sources:
        try:
            return [(part, *part.load(split, language, data_dir)) for part in source.parts(split)], passed_over
        except Absent as error:
            passed_over.append(str(error))
    if data_dir is not None and not Path(data_dir).is_dir():
        raise InputError(f"--data_dir {data_dir}: no such folder. It must be one laid out by hub id, such as DIR/facebook/xnli.")
    raise InputError(" | ".join(dict.fromkeys(passed_over)) + _languages_that_are_here(task, split, language, data_dir))


def _of_the_layout(sources, split, language, data_dir):
    """The sources that --data_dir can hold: those of the hub's layout, or XTREME's download where it is here and they are not."""
    downloads = [source for source in sources if isinstance(source, Download) and source.is_here(data_dir)]
    sources = [source for source in sources if not isinstance(source, Download)]
    is_laid_out = any(path.exists() for source in sources for path in source.files(split, language, data_dir))
    return downloads if downloads and not is_laid_out else sources


def _languages_that_are_here(task, split, language, data_dir) -> str:
    """What the user can write where --data_dir lacks the test or dev data of one language, and holds those of others."""
    if split == "train" or (split == "dev" and language == "en"):
        return ""

    def is_here(language):
        hub = [source for source in task.sources if not isinstance(source, Download)]
        parts = [(source, part) for source in hub for part in {split, "test"} if part in source.splits]
        return {part for source, part in parts if any(path.exists() for path in source.files(part, language, data_dir))} == {split, "test"}

    languages = [language for language in task.languages if is_here(language)]
    return f" These languages are there: --languages {' '.join(languages)}" if languages else ""


def drawn(count: int, max_samples: int, seed: int, language: str) -> np.ndarray:
    """The row numbers of a few-shot draw, (max_samples,): the first ones of a permutation of `count` rows.

    With the same seed, a smaller draw is a subset of a larger one. Each language has its own permutation, so that translations of one row
    are not drawn together. The permutation of English depends on the seed alone.
    """
    key = seed if language == "en" else (seed, zlib.crc32(language.encode()))
    return np.random.default_rng(key).permutation(count)[:max_samples]


def _together(parts: list[dict]) -> dict:
    """One summary of the parts of a split, for results and messages."""
    expected, revisions = [part["rows_expected"] for part in parts], [part["revision"] for part in parts]
    return {
        **{name: " + ".join(str(part[name]) for part in parts) for name in ("hub_id", "config")},
        "revision": None if None in revisions else " + ".join(revisions),
        "rows": sum(part["rows"] for part in parts),
        "rows_expected": None if None in expected else sum(expected),
        "dropped": dict(sum((Counter(part["dropped"]) for part in parts), Counter())),
    }


def no_language(task: Task, language: str) -> str:
    """The answer to a language that a task does not have: its code where it is spelled otherwise, and the list, once."""
    return f"{task.name} has no {language!r} data.{meant(language, task.languages)} It covers: {', '.join(task.languages)}."


def labels_of(task: Task, train_examples: Dataset) -> tuple[str, ...]:
    """The task's labels; where it leaves them open, the tags of its training examples in sorted order."""
    if task.labels or task.task_type != "tagging":
        return task.labels
    return tuple(sorted({tag for tags in train_examples["tags"][:] for tag in tags}))


def data_line(provenance: dict) -> str:
    """What was loaded, as one line: examples, where they are from, and what differs from the published counts."""
    p = provenance
    line = f"{p['task']} {p['language']} {p['split']}: {p['examples']:,} examples from {p['hub_id']} ({p['config']})"
    if p["rows_expected"] not in (None, p["rows"]):
        line += f"; it holds {p['rows']:,} rows, not the published {p['rows_expected']:,}"
    line += "".join(f"; {count:,} dropped: {reason}" for reason, count in p["dropped"].items())
    if counts := p.get("perturbed"):
        line += f"; {counts['changed']:,} of {counts['texts']:,} texts perturbed"
    return line + "".join(f"; passed over: {reason}" for reason in p.get("passed_over", ()))


def _examples_of(rows, revision, source, task, split, language):
    """Rows of one source -> (the examples that are used, provenance)."""
    name = f"{source.hub_id} ({source.config_for(language)}, {split})"
    if len(rows) == 0:
        raise InputError(f"{name} holds no rows.")
    examples, dropped = usable(to_examples(rows, task, split, language, name, source.keep, source.is_own))
    examples = examples.remove_columns("language") if source.is_own else examples
    other_languages = dropped.pop(NOT_THIS_LANGUAGE, 0)
    if len(examples) == 0:
        raise InputError(f"{name} holds no usable row for {language!r}: {dict(dropped) or 'all are of other languages'}.")
    return examples, {
        "hub_id": source.hub_id,
        "config": source.config_for(language),
        "revision": revision,
        "rows": len(rows) - other_languages,
        "rows_expected": source.rows_expected(split, language),
        "dropped": dict(dropped),
    }


def _refuse_duplicate_ids(examples, name):
    """Answers are kept by question id: of two questions with one id, one would be scored with the other's answer."""
    if "id" not in examples.column_names or "side" in examples.column_names:
        return
    repeated = [name for name, count in Counter(examples["id"][:]).items() if count > 1]
    if repeated:
        raise InputError(f"{name}: {len(repeated)} ids occur more than once, {repeated[0]!r} first.")


def _refuse_placeholders(examples, name):
    """Refuses test examples that all have the same label, as XTREME's download leaves them: a score would mean nothing."""
    column = next((name for name in ("label", "tags", "answers") if name in examples.column_names), None)
    if column is None or len(examples) <= FEW:
        return
    seen = set()
    for value in examples[column]:
        seen.update(value["text"] if isinstance(value, dict) else value if isinstance(value, list) else [value])
        if len(seen) > 1:
            return
    raise InputError(f"{name}: every label is {''.join(map(repr, seen)) or 'empty'}, a placeholder. There is nothing to score against.")
