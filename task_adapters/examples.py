"""Rows become examples: text in the fixed columns of the task type, checked one by one, through the cache of `datasets`."""

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pyarrow
import pyarrow.compute
from datasets import ClassLabel, Dataset, Features, List

from task_adapters.base import EXAMPLE_COLUMNS, TEXT, DropRow, InputError, Task
from task_adapters.content import code_of, fingerprint, from_cache
from task_adapters.errors import readable
from task_adapters.files import BROKEN, SPELLINGS, has_text_rows

NOT_THIS_LANGUAGE = "another language"
NOT_A_PAIR = "not a pair of sentences and a label"  # of a file without a header
LANGUAGE = r"[a-z]{2,3}(?:[-_][A-Za-z]+)?"


def to_examples(
    rows: Dataset,
    task: Task,
    split: str,
    language: str | None,
    source: str,
    keep: Callable[[dict, str], bool] | None = None,
    is_train_file: bool = False,
) -> Dataset:
    """All rows as examples, with why one is to be dropped in the column `dropped` ("" for the others).

    source         how messages name the rows: hub id, configuration and split, or a file.
    keep           (row, language) -> bool: rows for which it is false are dropped as NOT_THIS_LANGUAGE.
    is_train_file  a file of one's own, for training or scoring: there is a column `language`, which each row may state where `language`
                   is None.
    Raises InputError, with the row, for one that is no example of the task.
    """
    columns = rows.column_names
    converter = _Converter(task, split, language, source, keep, is_train_file)
    if not has_text_rows(rows):
        converter.features = rows.features
        converter.nulls = [name for name in columns if name not in task.may_be_null and has_nulls(rows.data.column(name))]
    code = [code_of(function) for function in (task.to_example, keep, to_examples) if function is not None]
    key = fingerprint(rows._fingerprint, task.name, task.labels, split, language, source, is_train_file, *code)
    features = {**EXAMPLE_COLUMNS[task.task_type], "dropped": TEXT, **({"language": TEXT} if is_train_file else {})}
    options = {"batched": True, "with_indices": True, "remove_columns": columns, "features": Features(features), "new_fingerprint": key}
    with readable(source):
        return from_cache(key, lambda: rows.map(converter.convert, desc=f"{task.name} {language} {split}", **options))


def usable(examples: Dataset) -> tuple[Dataset, Counter]:
    """Parts examples by their `dropped` column. -> (those without a reason, how many were dropped for each reason)"""
    reasons = examples["dropped"][:]  # a slice is one read; going through a column is one per row
    dropped = Counter(reason for reason in reasons if reason)
    if dropped:
        examples = examples.select([row for row, reason in enumerate(reasons) if not reason])
    return examples.remove_columns("dropped"), dropped


class _Converter:
    """Converts batches of rows; see `to_examples` for what it is made from.

    features  of columns of the hub, whose class numbers become names; None for rows of text files.
    nulls     columns in which null is a mistake: those that hold any; None for rows of text files, where each row is looked at.
    """

    features, nulls = None, None

    def __init__(self, task: Task, split: str, language: str | None, source: str, keep: Callable | None, is_train_file: bool):
        self.task, self.split, self.language, self.source = task, split, language, source
        self.keep, self.is_train_file = keep, is_train_file
        # A file in a folder of the hub's name is an export of it: its numbers are the hub's.
        place = f"/{source.partition(' (')[0]}/"
        self.class_names = next((names for hub_id, names in task.class_names.items() if f"/{hub_id}/" in place), ())

    def convert(self, batch: dict, indices: list[int]) -> dict:
        examples = [self.example(row, location) for row, location in self.rows(batch, indices)]
        return {column: [example[column] for example in examples] for column in examples[0]}

    def rows(self, batch, indices):
        """(row, where it stands) of each row of a batch; a row is {BROKEN: its line} where a file without a header has something else."""
        if self.features is None:
            yield from ((json.loads(row), location) for row, location in zip(batch["row"], batch["location"]))
            return
        names = list(batch)
        with readable(self.source):
            decoded = [names_of(self.features[name], batch[name]) for name in names]
        for index, values in zip(indices, zip(*decoded)):
            yield dict(zip(names, values)), f"{self.source}, row {index}"

    def example(self, row: dict, location: str) -> dict:
        """One row as an example with `dropped` and, for a file of one's own, `language`."""
        try:
            example, reason = self.checked(row), ""
        except DropRow as left_out:
            example, reason = empty_example(self.task.task_type), str(left_out)
        except KeyError as error:
            raise InputError(self.missing_column(error, row, location)) from error
        except InputError as error:
            raise InputError(f"{location}: {error}") from error
        except (TypeError, ValueError, AttributeError, IndexError) as error:
            raise InputError(f"{location}: not a row of {self.task.name} ({error}).") from error
        language = {"language": self.language_of(row, location)} if self.is_train_file else {}
        return {**example, "dropped": reason, **language}

    def checked(self, row):
        if BROKEN in row:
            if self.split == "train":
                raise DropRow(NOT_A_PAIR)
            raise InputError(f"{row[BROKEN]!r} is {NOT_A_PAIR} ({', '.join(self.task.labels)}).")
        nulls = [name for name in row if name not in self.task.may_be_null] if self.nulls is None else self.nulls
        row = WithoutNull(row, nulls) if nulls else row
        if self.keep is not None and not self.keep(row, self.language):
            raise DropRow(NOT_THIS_LANGUAGE)
        example = as_example(row, self.task, SPELLINGS if self.is_train_file else {}, self.class_names)
        check_example(example, self.task, self.split)
        return example

    def missing_column(self, error, row, location):
        if self.features is not None and not self.is_train_file:
            return f"{self.source} has no column {error}. It has: {', '.join(row)}."
        published = next(source for source in self.task.sources if not source.is_own)
        needed = f"the columns of {published.hub_id} or {', '.join(EXAMPLE_COLUMNS[self.task.task_type])}"
        return f"{location}: no column {error}. It has: {', '.join(map(str, row))}; {self.task.name} needs {needed}."

    def language_of(self, row, location):
        language = row.get("language") or self.language
        if language is None:
            raise InputError(f"{location}: which language? Write --train_file de={self.source}, or give each row a `language`.")
        if not re.fullmatch(LANGUAGE, str(language)) or self.language not in (None, language):
            raise InputError(f"{location}: language {language!r}, where {self.language or 'a code such as de'} should stand.")
        return language


class WithoutNull(dict):
    """A row of a split that holds nulls: reading one of the columns `nulls` is an error where it is null here."""

    def __init__(self, row, nulls):
        super().__init__(row)
        self.nulls = nulls

    def __getitem__(self, name):
        value = super().__getitem__(name)
        inner = value.values() if isinstance(value, dict) else [value]
        if name in self.nulls and any(part is None or (isinstance(part, list) and None in part) for part in inner):
            raise InputError(f"column {name!r} is or holds null, where there should be a value.")
        return value


def has_nulls(column: pyarrow.ChunkedArray) -> bool:
    """Whether a column, or a list or struct in it, holds null: arrow has counted them."""
    if pyarrow.types.is_struct(column.type):
        return column.null_count > 0 or any(map(has_nulls, column.flatten()))
    return column.null_count > 0 or (pyarrow.types.is_list(column.type) and has_nulls(pyarrow.compute.list_flatten(column)))


def names_of(feature: Any, values: list) -> list:
    """Class numbers -> class names (labels are mapped by name, never by position); -1, the hub's "no label", -> None."""
    inner = getattr(feature, "feature", None)
    if isinstance(feature, ClassLabel):
        return [_class_name(feature, value) for value in values]
    if isinstance(inner, ClassLabel):
        return [row and [_class_name(inner, value) for value in row] for row in values]
    return values


def _class_name(feature, value):
    if value is None or value < 0:
        return None
    if value >= len(feature.names):
        raise InputError(f"class number {value} is outside 0 to {len(feature.names) - 1}, which are {', '.join(feature.names)}.")
    return feature.names[value]


def empty_example(task_type: str) -> dict:
    """What stands in the columns of a row that is dropped."""
    blank = {"text": [], "answer_start": []}
    return {
        column: [] if isinstance(kind, List) else blank if isinstance(kind, dict) else 0 if kind != TEXT else ""
        for column, kind in EXAMPLE_COLUMNS[task_type].items()
    }


def as_example(row: dict, task: Task, spellings: dict[str, str], class_names: tuple[str, ...] = ()) -> dict:
    """A row with the columns of the hub, or of an example already, as an example whose values have the types of its columns.

    A label that is a number stands for the name of the same digits, where the task's labels are such names (PAWS-X). Otherwise its name
    is in the row's `label_text`, or the place of the number in `class_names`; where both are missing the meaning is not certain.
    """
    columns = EXAMPLE_COLUMNS[task.task_type]
    is_example = task.task_type != "span_qa" and all(name in row for name in columns)  # span QA: answers may have to be found again
    if task.task_type == "span_qa" and "answers" in row:
        _check_answers(row["answers"])
    example = {name: row[name] for name in columns} if is_example else task.to_example(row)
    for name, kind in columns.items():
        if name == "label":
            label = row.get("label_text") if _is_number(example["label"]) and row.get("label_text") else example["label"]
            example = {**example, "label": _label(label, task, spellings, class_names)}
        elif kind == List(TEXT):
            _check_texts(name, example[name], task)
        elif kind == TEXT:
            _check_text(name, example[name])
    return example


def _is_number(label) -> bool:
    return (isinstance(label, int) and not isinstance(label, bool)) or (isinstance(label, str) and bool(re.fullmatch("-?[0-9]+", label)))


def _label(label, task, spellings, class_names):
    is_number = isinstance(label, int) and not isinstance(label, bool)
    if task.task_type == "multiple_choice":
        if not is_number and not re.fullmatch("-?[0-9]+", str(label)):
            raise InputError(f"label {label!r} is not a whole number.")
        return int(label)
    if _is_number(label) and str(label) not in task.labels:
        if class_names and int(label) == -1:
            raise DropRow("no gold label (-1)")
        if 0 <= int(label) < len(class_names):
            return class_names[int(label)]
        raise InputError(f"label {label} is a number, and its name is not known: {_names(task)}{_hub_numbers(task)}")
    return str(label) if is_number else spellings.get(label, label) if isinstance(label, str) else label


def _names(task):
    return f"one of {', '.join(task.labels)} (parquet of `datasets` keeps names)."


def _hub_numbers(task):
    if not task.class_names:
        return ""
    hub_id, names = next(iter(task.class_names.items()))
    numbers = ", ".join(f"{number} {name}" for number, name in enumerate(names))
    return f" On the hub they are {numbers}: where these are meant, put the file below a folder of the hub's name, DIR/{hub_id}/."


def _check_texts(name, values, task):
    if not isinstance(values, list):
        raise InputError(f"{name} {values!r:.60} is not a list.")
    for value in values:
        if name == "tags" and isinstance(value, int):
            raise InputError(f"tag {value} is a number, and its name is not known: {_names(task)}")
        _check_text(name, value)


def _check_text(name, value):
    if not isinstance(value, str):
        raise InputError(f"{name} {value!r:.60} is not text.")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"{name} holds {value[error.start]!r}, half of a character (a lone surrogate), which is no text.") from error


def _check_answers(answers):
    if not isinstance(answers, dict) or not all(isinstance(answers.get(name), list) for name in ("text", "answer_start")):
        raise InputError(f"answers {answers!r:.90} should hold two lists, text and answer_start.")
    texts, starts = answers["text"], answers["answer_start"]
    if len(texts) != len(starts):
        raise InputError(f"answers hold {len(texts)} texts and {len(starts)} answer_start.")
    for start in starts:
        if isinstance(start, bool) or not isinstance(start, int) or not -1 <= start < 2**31:
            raise InputError(f"answer_start {start!r:.60} is not a whole number: the answer's first character, counted from 0.")
    for text in texts:
        _check_text("answer", text)


def check_example(example: dict, task: Task, split: str) -> None:
    """Refuses an example whose label, tags or answers do not fit its task."""
    if task.task_type == "classification" and example["label"] not in task.labels:
        raise InputError(f"label {example['label']!r} is not one of {', '.join(task.labels)}.")
    if task.task_type == "tagging":
        if len(example["words"]) != len(example["tags"]):
            raise InputError(f"{len(example['words'])} words but {len(example['tags'])} tags.")
        if not example["words"]:
            raise DropRow("no words")
        unknown = [tag for tag in example["tags"] if task.labels and tag not in task.labels]
        if unknown:
            raise InputError(f"tag {unknown[0]!r} is not one of {', '.join(task.labels)}.")
    if task.task_type == "multiple_choice" and not 0 <= example["label"] < len(example["choices"]):
        raise InputError(f"label {example['label']} does not point at one of {len(example['choices'])} choices.")
    if task.task_type == "span_qa":
        if not example["context"].strip():
            raise InputError(f"question {example['id']!r} has an empty context.")
        if not example["answers"]["text"] and not task.may_have_no_answer:
            raise InputError(f"question {example['id']!r} has no answer.")
        if split != "train" and not all(text.strip() for text in example["answers"]["text"]):
            raise InputError(f"question {example['id']!r} has an answer without text, a placeholder: there is nothing to score against.")
        if split == "train" and -1 in example["answers"]["answer_start"]:
            raise DropRow("answer not found in its context")
