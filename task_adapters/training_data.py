"""Training data other than a task's English split: other languages on the hub (`--train_languages`) and users' files (`--train_file`).

A file is parquet, jsonl, json, csv or tsv. Its rows have the columns of the task's dataset on the hub, or those of `EXAMPLE_COLUMNS`. The
language of a file is in the flag (`de=rows.jsonl`) or in a file name of XTREME's form (en-de-translated.tsv,
squad.translate.train.en-de.json). Otherwise each row names it in a column `language`. Labels are names, or numbers if the task's labels are
numbers (PAWS-X). files.py describes how each kind of file is read. Files below --data_dir are read in the same way.

XTREME's translate-train files can be used unchanged (https://console.cloud.google.com/storage/browser/xtreme_translations):
  XNLI, PAWS-X   tsv without a header: English pair, translated pair, label, as TensorFlow Datasets' xtreme_xnli and xtreme_pawsx read them.
                 Files from before September 2020 have only the translated pair and the label (XTREME's third_party/processors). Some rows
                 of PAWS-X are broken. A small share of broken rows is dropped and counted.
  SQuAD, TyDiQA  SQuAD's JSON, as tydi_qa of TensorFlow Datasets reads it. MLQA's own translate-train files have the same format.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets import Dataset, concatenate_datasets

from task_adapters.base import InputError, Task, nearest
from task_adapters.content import content_key, file_key
from task_adapters.examples import LANGUAGE, NOT_A_PAIR, to_examples, usable
from task_adapters.files import KINDS, check_file, rows_of_files
from task_adapters.flores import meant
from task_adapters.loading import drawn, load_examples
from task_adapters.normal_form import in_normal_form

NAMED_BY_XTREME = re.compile(r"(?:^|\.)en-([a-z]{2,3})(?:-translated)?\.(?:tsv|json)$")
MOST_BROKEN = 0.01  # In a file without a header, this share of the rows may be broken. They are dropped and counted.


@dataclass(frozen=True)
class TrainFile:
    """A checked file of `--train_file`. language: None if each row names its own. sha256: checksum of the file's bytes."""

    path: str
    language: str | None
    sha256: str

    def __str__(self):
        return f"{self.language or 'by row'}={self.path} (sha256 {self.sha256[:16]})"


def find_train_files(given: list[str], flag: str = "train_file") -> list[TrainFile]:
    """Returns the files of `LANG=PATH` or `PATH` texts. Raises InputError for a file that is missing, empty or of an unknown kind."""
    files = []
    for text in given:
        flag_match = re.fullmatch(rf"({LANGUAGE})=(.+)", text)
        path = Path(flag_match[2] if flag_match else text)
        check_file(path, f"--{flag} {text}: ")
        if path.suffix not in KINDS:
            raise InputError(f"--{flag} {text}: {path.suffix or 'no ending'!r} is no known kind. {nearest(path.suffix, KINDS)}")
        name_match = NAMED_BY_XTREME.search(path.name)
        digest = file_key(path)
        language = flag_match[1] if flag_match else name_match[1] if name_match else None
        if any(file.sha256 == digest for file in files):
            raise InputError(f"--{flag} {text}: the same rows are given twice.")
        files.append(TrainFile(str(path), language, digest))
    return files


def find_train_languages(task: Task, given: list[str] | None, files: list) -> list[str]:
    """Returns the languages whose training data are taken from the hub, in the task's order.

    given  the value of --train_languages. None means English, or no language if --train_file is given. ["all"] means all languages that
           have training data.
    Raises InputError for a language without training data, and for one that is named twice.
    """
    available = [language for language in task.languages if language in trainable(task)]
    if given is None:
        return [] if files else ["en"]
    if given == ["all"]:
        return available
    for language in given:
        if language not in available:
            raise InputError(
                f"{task.name} has no training data in {language!r}.{meant(language, available)} It has: {', '.join(available)}."
            )
        if given.count(language) > 1:
            raise InputError(f"--train_languages names {language!r} {given.count(language)} times.")
    return [language for language in available if language in given]


def trainable(task: Task) -> set[str]:
    """Returns the languages with training data on the hub. English is always one of them, from the task itself or from `train_on`."""
    return {*task.languages_with("train"), "en"}


def load_training_data(
    task: Task,
    english_task: Task,
    languages: Iterable[str],
    files: Iterable[TrainFile],
    data_dir: str | None = None,
    max_samples: int | None = None,
    seed: int = 0,
    normalize: str | None = None,
) -> tuple[Dataset, list[dict]]:
    """Returns the training examples of all languages and files, one language after the other, and a provenance for each source and file.

    english_task  the task that gives the English data; for XNLI, XQuAD and MLQA it is another task (`train_on`).
    max_samples   the number of examples to draw per language, from all its sources and files together, with `seed` (see `drawn`).
    A provenance counts the examples that the run trains on. Its "content" is the key of these examples, in the order of the draw.
    """
    parts_of = {}  # language -> [(examples, provenance)]
    for language in languages:
        source = english_task if language == "en" else task
        parts_of.setdefault(language, []).append(load_examples(source, "train", language, data_dir))
    for file in files:
        for examples, provenance in load_file(task, file):
            parts_of.setdefault(provenance["language"], []).append((examples, provenance))
    examples_per_language, provenances = [], []
    for language, parts in parts_of.items():
        examples = concatenate_datasets([part for part, _ in parts]) if len(parts) > 1 else parts[0][0]
        if max_samples is not None and max_samples < len(examples):
            rows = drawn(len(examples), max_samples, seed, language)
            start = 0
            for part, provenance in parts:
                part_rows = rows[(rows >= start) & (rows < start + len(part))] - start
                provenance |= {"examples": len(part_rows), "content": content_key(part.select(part_rows))}
                start += len(part)
            examples = examples.select(rows)
        examples, parts[0][1]["not_nfc"] = in_normal_form(examples, normalize)
        examples_per_language.append(examples)
        provenances += [provenance for _, provenance in parts]
    examples = concatenate_datasets(examples_per_language) if len(examples_per_language) > 1 else examples_per_language[0]
    return examples, provenances


def load_file(task: Task, file: TrainFile) -> list[tuple[Dataset, dict]]:
    """Returns the examples of a file: one (examples, provenance) for each language in it. The rows are cached by `datasets`.

    Raises InputError for a row that is no example of the task, and for a language without a usable row.
    """
    rows = rows_of_files([Path(file.path)], task.labels if task.task_type == "classification" else ())
    examples = to_examples(rows, task, "train", file.language, file.path, is_train_file=True)
    languages, reasons = np.array(examples["language"][:]), examples["dropped"][:]
    parts = []
    for language in sorted(set(languages.tolist())):
        language_rows = examples.select(np.flatnonzero(languages == language))
        usable_examples, dropped = usable(language_rows.remove_columns("language"))
        if dropped[NOT_A_PAIR] > max(1, MOST_BROKEN * len(language_rows)):
            first = reasons.index(NOT_A_PAIR) + 1
            raise InputError(f"{file.path}: {dropped[NOT_A_PAIR]} of {len(language_rows)} rows are {NOT_A_PAIR}, row {first} first.")
        if not len(usable_examples):
            raise InputError(f"{file.path} holds no usable row for {language!r}: {dict(dropped)}.")
        provenance = {
            "task": task.name, "split": "train", "language": language, "data_dir": None, "hub_id": file.path,
            "config": Path(file.path).suffix[1:], "revision": f"sha256 {file.sha256}", "rows": len(language_rows), "rows_expected": None,
            "dropped": dict(dropped), "examples": len(usable_examples), "content": content_key(usable_examples),
            "bytes": Path(file.path).stat().st_size,
        }  # fmt: skip
        parts.append((usable_examples, provenance | translation_note(file.path)))
    return parts


def translation_note(path: str) -> dict:
    """Returns {"made_by": the content of translate.py's <file>.about.json}; {} if there is no such file."""
    note = Path(path + ".about.json")
    if not note.is_file():
        return {}
    try:
        return {"made_by": json.loads(note.read_text(encoding="utf-8"))}
    except ValueError as error:
        raise InputError(f"{note} is not valid JSON ({error}). Remove it, or translate again.") from error
