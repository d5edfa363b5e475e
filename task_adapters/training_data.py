"""Training data beyond a task's English split: other languages of the hub (`--train_languages`) and files of one's own (`--train_file`).

A file is parquet, jsonl, json, csv or tsv. Its rows have the columns of the task's dataset on the hub, or those of `EXAMPLE_COLUMNS`, and a
`language` column where the language is not in the flag (`de=rows.jsonl`) or in a name as XTREME gives it (en-de-translated.tsv,
squad.translate.train.en-de.json). Labels are names, or numbers where the task's labels are numbers (PAWS-X). files.py says how each kind
of file is read; files below --data_dir are read in the same way.

XTREME's translate-train files are read as they are (https://console.cloud.google.com/storage/browser/xtreme_translations):
  XNLI, PAWS-X   tsv without a header, English pair, translated pair, label, as TensorFlow Datasets' xtreme_xnli and xtreme_pawsx read them;
                 before September 2020 the translated pair and the label only (XTREME's third_party/processors). Some rows of PAWS-X are
                 broken: where they are few, they are dropped and counted.
  SQuAD, TyDiQA  SQuAD's JSON, as tydi_qa of TensorFlow Datasets reads it; MLQA's own translate-train too.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets import Dataset, concatenate_datasets

from task_adapters.base import InputError, Task, nearest
from task_adapters.content import content_key, file_key
from task_adapters.examples import LANGUAGE, NOT_A_PAIR, to_examples, usable
from task_adapters.files import KINDS, check_file, rows_of_files
from task_adapters.loading import drawn, load_examples
from task_adapters.normal_form import in_normal_form

NAMED_BY_XTREME = re.compile(r"(?:^|\.)en-([a-z]{2,3})(?:-translated)?\.(?:tsv|json)$")
MOST_BROKEN = 0.01  # In a file without a header, this share of the rows may be broken. They are dropped and counted.


@dataclass(frozen=True)
class TrainFile:
    """A file of `--train_file` that is there. language: None where each row states its own. sha256: of its bytes."""

    path: str
    language: str | None
    sha256: str

    def __str__(self):
        return f"{self.language or 'by row'}={self.path} (sha256 {self.sha256[:16]})"


def find_train_files(given: list[str]) -> list[TrainFile]:
    """`LANG=PATH` or `PATH` -> the files, each with its checksum. Raises InputError for one that is missing, empty or of another kind."""
    files = []
    for text in given:
        named = re.fullmatch(rf"({LANGUAGE})=(.+)", text)
        path = Path(named[2] if named else text)
        check_file(path, f"--train_file {text}: ")
        if path.suffix not in KINDS:
            raise InputError(f"--train_file {text}: {path.suffix or 'no ending'!r} is no known kind. {nearest(path.suffix, KINDS)}")
        by_name = NAMED_BY_XTREME.search(path.name)
        digest = file_key(path)
        language = named[1] if named else by_name[1] if by_name else None
        if any(file.sha256 == digest for file in files):
            raise InputError(f"--train_file {text}: the same rows are given twice.")
        files.append(TrainFile(str(path), language, digest))
    return files


def find_train_languages(task: Task, given: list[str] | None, files: list) -> list[str]:
    """The languages of the hub to train on, in the task's order.

    given  what --train_languages says. None means English, or no language of the hub where --train_file is given. ["all"] means all
           languages that have training data.
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
                f"{task.name} has no training data in {language!r}. {nearest(language, available)} It has: {', '.join(available)}."
            )
        if given.count(language) > 1:
            raise InputError(f"--train_languages names {language!r} {given.count(language)} times.")
    return [language for language in available if language in given]


def trainable(task: Task) -> set[str]:
    """Languages with training data on the hub. English is always among them: `train_on` gives it where the task itself does not."""
    return {*task.languages_with("train"), "en"}


def load_training_data(task, english_task, languages, files, data_dir=None, max_samples=None, seed=0, normalize=None):
    """The training examples of all languages and files, one language after the other.

    english_task  the task that gives the English data: another one for XNLI, XQuAD and MLQA (`train_on`).
    max_samples   how many examples to draw of each language, from all that is given in it, with `seed` (see `drawn`).
    Returns (examples, a list with one provenance for each source and file). A provenance counts the examples that are trained on, and its
    "content" is the key of just those, in the order of the draw.
    """
    parts = {}  # language -> [(examples, provenance)]
    for language in languages:
        source = english_task if language == "en" else task
        parts.setdefault(language, []).append(load_examples(source, "train", language, data_dir))
    for file in files:
        for examples, provenance in load_file(task, file):
            parts.setdefault(provenance["language"], []).append((examples, provenance))
    kept, provenances = [], []
    for language, pieces in parts.items():
        examples = concatenate_datasets([piece for piece, _ in pieces]) if len(pieces) > 1 else pieces[0][0]
        if max_samples is not None and max_samples < len(examples):
            rows = drawn(len(examples), max_samples, seed, language)
            start = 0
            for piece, provenance in pieces:
                of_piece = rows[(rows >= start) & (rows < start + len(piece))] - start
                provenance |= {"examples": len(of_piece), "content": content_key(piece.select(of_piece))}
                start += len(piece)
            examples = examples.select(rows)
        examples, pieces[0][1]["not_nfc"] = in_normal_form(examples, normalize)
        kept.append(examples)
        provenances += [provenance for _, provenance in pieces]
    return (concatenate_datasets(kept) if len(kept) > 1 else kept[0]), provenances


def load_file(task: Task, file: TrainFile) -> list[tuple[Dataset, dict]]:
    """The examples of a file: one (examples, provenance) for each language in it. Both come through the cache of `datasets`.

    Raises InputError for a row that is no example of the task, and for a language without a usable row.
    """
    rows = rows_of_files([Path(file.path)], task.labels if task.task_type == "classification" else ())
    examples = to_examples(rows, task, "train", file.language, file.path, is_train_file=True)
    languages, reasons = np.array(examples["language"][:]), examples["dropped"][:]
    parts = []
    for language in sorted(set(languages.tolist())):
        of_language = examples.select(np.flatnonzero(languages == language))
        kept, dropped = usable(of_language.remove_columns("language"))
        if dropped[NOT_A_PAIR] > max(1, MOST_BROKEN * len(of_language)):
            first = reasons.index(NOT_A_PAIR) + 1
            raise InputError(f"{file.path}: {dropped[NOT_A_PAIR]} of {len(of_language)} rows are {NOT_A_PAIR}, row {first} first.")
        if not len(kept):
            raise InputError(f"{file.path} holds no usable row for {language!r}: {dict(dropped)}.")
        provenance = {
            "task": task.name, "split": "train", "language": language, "data_dir": None, "hub_id": file.path,
            "config": Path(file.path).suffix[1:], "revision": f"sha256 {file.sha256}", "rows": len(of_language), "rows_expected": None,
            "dropped": dict(dropped), "examples": len(kept), "content": content_key(kept), "bytes": Path(file.path).stat().st_size,
        }  # fmt: skip
        parts.append((kept, provenance | _translation_note(file.path)))
    return parts


def _translation_note(path: str) -> dict:
    """{"made_by": what translate.py left beside the file}; {} where there is nothing."""
    note = Path(path + ".about.json")
    if not note.is_file():
        return {}
    try:
        return {"made_by": json.loads(note.read_text(encoding="utf-8"))}
    except ValueError as error:
        raise InputError(f"{note} is not valid JSON ({error}). Remove it, or translate again.") from error
