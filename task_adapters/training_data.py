"""Training data beyond a task's English split: other languages of the hub (`--train_languages`) and files of one's own (`--train_file`).

A file is parquet, jsonl, json, csv or tsv. Its rows have the columns of the task's dataset on the hub, or those of `EXAMPLE_COLUMNS`, and a
`language` column where the language is not in the flag (`de=rows.jsonl`) or in a name as XTREME gives it (en-de-translated.tsv,
squad.translate.train.en-de.json). Labels are names. In csv and tsv a list is written as JSON; tsv has no quoting.

XTREME's translate-train files are read as they are (https://console.cloud.google.com/storage/browser/xtreme_translations):
  XNLI, PAWS-X   tsv without a header, English pair, translated pair, label, as TensorFlow Datasets' xtreme_xnli and xtreme_pawsx read them;
                 before September 2020 the translated pair and the label only (XTREME's third_party/processors). Some rows of PAWS-X are
                 broken: where they are few, they are dropped and counted.
  SQuAD, TyDiQA  SQuAD's JSON, as tydi_qa of TensorFlow Datasets reads it; MLQA's own translate-train too.
"""

import csv
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow
import pyarrow.parquet
from datasets import Dataset, Features, List, concatenate_datasets
from datasets.exceptions import DatasetGenerationError

from task_adapters.base import (
    EXAMPLE_COLUMNS,
    TEXT,
    DropRow,
    InputError,
    Task,
    check_example,
    code_of,
    drawn,
    empty_example,
    fingerprint,
    load_examples,
    names_of,
    nearest,
    usable,
)
from task_adapters.normal_form import in_normal_form

LANGUAGE = r"[a-z]{2,3}(?:[-_][A-Za-z]+)?"
NAMED_BY_XTREME = re.compile(r"(?:^|\.)en-([a-z]{2,3})(?:-translated)?\.(?:tsv|json)$")
LISTS = ("answers", "choices", "endings", "ner_tags", "pos_tags", "tags", "tokens", "words")  # columns that hold lists or dicts
SPELLINGS = {"contradictory": "contradiction"}  # in XNLI's and XTREME's translations
BROKEN = "not a pair of sentences and a label"
MOST_BROKEN = 0.01  # of the rows of a file without a header


@dataclass(frozen=True)
class TrainFile:
    """A file of `--train_file`, found and measured. language: None where each row says its own."""

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
        if not path.is_file():
            raise InputError(f"--train_file {text}: there is no file {path}.")
        if path.suffix not in READERS:
            raise InputError(f"--train_file {text}: {path.suffix or 'no ending'!r} is no known kind. {nearest(path.suffix, READERS)}")
        if path.stat().st_size == 0:
            raise InputError(f"--train_file {text}: the file is empty.")
        by_name = NAMED_BY_XTREME.search(path.name)
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        language = named[1] if named else by_name[1] if by_name else None
        if any(file.sha256 == digest for file in files):
            raise InputError(f"--train_file {text}: the same rows are given twice.")
        files.append(TrainFile(str(path), language, digest))
    return files


def find_train_languages(task: Task, given: list[str] | None, files: list) -> list[str]:
    """The hub's languages to train on, in the task's order: English, or none beside files, where nothing is given; `all` that have data."""
    known = [language for language in task.languages if language in trainable(task)]
    if given is None:
        return [] if files else ["en"]
    if given == ["all"]:
        return known
    for language in given:
        if language not in known:
            raise InputError(f"{task.name} has no training data in {language!r}. {nearest(language, known)} It has: {', '.join(known)}.")
        if given.count(language) > 1:
            raise InputError(f"--train_languages names {language!r} {given.count(language)} times.")
    return [language for language in known if language in given]


def trainable(task: Task) -> set[str]:
    return {*task.languages_with("train"), "en"}


def load_training_data(task, english_task, languages, files, data_dir=None, max_samples=None, seed=0, normalize=None):
    """The training examples of all languages and files, one language after the other.

    english_task  the task that gives the English data: another one for XNLI, XQuAD and MLQA (`train_on`).
    max_samples   of each language, drawn with `seed` over everything that is given in it (`drawn`).
    normalize     "nfc": compose letters and accents (`normal_form.py`).
    Returns (examples, a provenance for each source and file; of a language the first says how many of its texts are not NFC).
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
                provenance["examples"] = int(((rows >= start) & (rows < start + len(piece))).sum())
                start += len(piece)
            examples = examples.select(rows)
        examples, pieces[0][1]["not_nfc"] = in_normal_form(examples, normalize)
        kept.append(examples)
        provenances += [provenance for _, provenance in pieces]
    return (concatenate_datasets(kept) if len(kept) > 1 else kept[0]), provenances


def load_file(task: Task, file: TrainFile) -> list[tuple[Dataset, dict]]:
    """A file's rows as examples, parted by language, each with its provenance; through the cache of `datasets`."""
    key = fingerprint(task.name, task.labels, file, code_of(task.to_example), code_of(load_file))
    features = Features({**EXAMPLE_COLUMNS[task.task_type], "language": TEXT, "dropped": TEXT})
    try:
        rows = Dataset.from_generator(_examples_of, features=features, gen_kwargs={"task": task, "file": file}, fingerprint=key)
    except DatasetGenerationError as error:
        if isinstance(error.__cause__, InputError):
            raise error.__cause__ from None
        raise
    languages = rows["language"][:]
    parts = []
    for language in sorted(set(languages)):
        of_language = rows.select([place for place, name in enumerate(languages) if name == language])
        examples, dropped = usable(of_language.remove_columns("language"))
        if dropped[BROKEN] > max(1, MOST_BROKEN * len(of_language)):
            place = next(place for place, reason in enumerate(rows["dropped"][:]) if reason == BROKEN)
            raise InputError(f"{file.path}: {dropped[BROKEN]} of {len(of_language)} rows are {BROKEN}, row {place + 1} first.")
        if not len(examples):
            raise InputError(f"{file.path} holds no usable row for {language!r}: {dict(dropped)}.")
        provenance = {
            "task": task.name, "split": "train", "language": language, "data_dir": None, "hub_id": file.path,
            "config": Path(file.path).suffix[1:], "revision": f"sha256 {file.sha256}", "rows": len(of_language), "rows_expected": None,
            "dropped": dict(dropped), "examples": len(examples), "bytes": Path(file.path).stat().st_size,
        }  # fmt: skip
        about = Path(file.path + ".about.json")  # left by translate.py
        if about.is_file():
            try:
                provenance["made_by"] = json.loads(about.read_text(encoding="utf-8"))
            except ValueError as error:
                raise InputError(f"{about} is not valid JSON ({error}). Remove it, or translate again.") from error
        parts.append((examples, provenance))
    return parts


def _examples_of(task, file):
    """Yields each row of a file as a checked example with its language and, where it is left out, why."""
    is_empty = True
    for place, row in READERS[Path(file.path).suffix](Path(file.path), task):
        is_empty = False
        where, example = f"{file.path}, {place}", None
        try:
            if row is None:
                raise DropRow(BROKEN)
            example = as_example(row, task)
            check_example(example, task, "train")
            reason = ""
        except DropRow as left_out:
            example, reason = empty_example(task.task_type), str(left_out)
        except KeyError as error:
            known = " or ".join([f"the columns of {task.sources[0].hub_id}", ", ".join(EXAMPLE_COLUMNS[task.task_type])])
            raise InputError(f"{where}: no column {error}. It has: {', '.join(map(str, row))}; {task.name} needs {known}.") from error
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{where}: not a row of {task.name} ({error}).") from error
        language = (row or {}).get("language") or file.language
        if language is None:
            raise InputError(f"{where}: which language? Write --train_file de={file.path}, or give each row a `language`.")
        if not re.fullmatch(LANGUAGE, str(language)) or file.language not in (None, language):
            raise InputError(f"{where}: language {language!r}, where {file.language or 'a code such as de'} should stand.")
        yield {**example, "language": language, "dropped": reason}
    if is_empty:
        raise InputError(f"{file.path} holds no rows.")


def as_example(row: dict, task: Task) -> dict:
    """A row with the columns of the hub, or of an example already, as an example."""
    columns = EXAMPLE_COLUMNS[task.task_type]
    is_example = task.task_type != "span_qa" and all(name in row for name in columns)  # span QA: answers may have to be found again
    example = {name: row[name] for name in columns} if is_example else task.to_example(row)
    if task.task_type == "classification":
        label = SPELLINGS.get(example["label"], example["label"])
        if isinstance(label, int) and str(label) not in task.labels:
            names = ", ".join(task.labels)
            raise InputError(f"label {label} is a number, and its name is not known: one of {names} (parquet of `datasets` keeps names).")
        example = {**example, "label": str(label)}
    if task.task_type == "multiple_choice":
        example = {**example, "label": int(example["label"])}
    for name, kind in columns.items():
        values = example[name] if isinstance(example[name], list) else [example[name]]
        wrong = [value for value in values if not isinstance(value, str)]
        if kind == List(TEXT) and not isinstance(example[name], list):
            raise InputError(f"{name} {example[name]!r} is not a list.")
        if kind in (TEXT, List(TEXT)) and wrong:
            raise InputError(f"{name} {wrong[0]!r} is not text.")
    return example


# ---- readers: (path, task) -> (where a row stands, row); a row is None where a file without a header has something else


def read_jsonl(path, task):
    for number, line in _lines(path):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}, line {number}: not JSON ({error}).") from error
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number}: not an object {{...}}.")
        yield f"line {number}", row


def read_json(path, task):
    """SQuAD's format; a list of rows; or lines of JSON under the wrong name."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text.") from error
    except ValueError:
        yield from read_jsonl(path, task)
        return
    rows = value.get("data", [value]) if isinstance(value, dict) else value
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path}: neither SQuAD's format nor a list of rows.")
    number = 0
    for row in rows:
        if "paragraphs" not in row:
            number += 1
            yield f"row {number}", row
            continue
        for paragraph in _objects(row["paragraphs"], f"{path}, after question {number}: paragraphs"):
            for question in _objects(paragraph.get("qas", []), f"{path}, after question {number}: qas"):
                number += 1
                answers = _objects(question.get("answers", []), f"{path}, question {number}: answers")
                if any({"text", "answer_start"} - {*answer} for answer in answers):
                    raise InputError(f"{path}, question {number}: an answer needs text and answer_start.")
                for answer in answers:
                    if not isinstance(answer["text"], str) or not re.fullmatch("-?[0-9]+", str(answer["answer_start"])):
                        raise InputError(f"{path}, question {number}: {answer!r:.90}: text must be text, answer_start a whole number.")
                texts, starts = [answer["text"] for answer in answers], [int(answer["answer_start"]) for answer in answers]
                asked = {name: question[name] for name in ("id", "question", "language") if name in question}
                context = {name: paragraph[name] for name in ("context",) if name in paragraph}
                yield f"question {number}", {**asked, **context, "answers": {"text": texts, "answer_start": starts}}


def read_csv(path, task):
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines, strict=True)
        try:
            header = None
            for fields in reader:
                if fields and header is None:
                    header = fields
                elif fields:
                    yield f"line {reader.line_num}", _row(path, reader.line_num, header, fields)
        except csv.Error as error:
            raise InputError(f"{path}, line {reader.line_num}: {error}.") from error
        except UnicodeDecodeError as error:
            raise InputError(f"{path}, after line {reader.line_num}: not UTF-8 text.") from error


def read_tsv(path, task):
    header = None
    for number, line in _lines(path):
        fields = line.split("\t")
        if header is None:
            pair = task.task_type == "classification" and len(fields) in (3, 5) and _label(fields) in task.labels
            header = len(fields) if pair else fields
            if not pair:
                continue
        if isinstance(header, int):  # XTREME: no header, the last three fields count
            fits = len(fields) == header and _label(fields) in task.labels
            row = {"text_a": fields[-3], "text_b": fields[-2], "label": _label(fields)} if fits else None
        else:
            row = _row(path, number, header, fields)
        yield f"line {number}", row


def read_parquet(path, task):
    try:
        table = pyarrow.parquet.ParquetFile(path)
        features = Features.from_arrow_schema(table.schema_arrow)
        number = 0
        for batch in table.iter_batches():
            columns = {name: names_of(features[name], values) for name, values in batch.to_pydict().items()}
            for values in zip(*columns.values()):
                number += 1
                yield f"row {number}", dict(zip(columns, values))
    except pyarrow.ArrowException as error:
        raise InputError(f"{path}: {' '.join(str(error).split())[:300]}") from error


READERS = {".parquet": read_parquet, ".jsonl": read_jsonl, ".json": read_json, ".csv": read_csv, ".tsv": read_tsv}


def _objects(value, where) -> list[dict]:
    if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
        raise InputError(f"{where} {value!r:.60} is not a list of objects {{...}}.")
    return value


def _lines(path):
    """(number, text) of the lines that are not blank; only a line feed ends one."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise InputError(f"{path}, line {number}: not UTF-8 text.") from error
            if text.strip():
                yield number, text


def _label(fields):
    return SPELLINGS.get(fields[-1].strip(), fields[-1].strip())


def _row(path, number, header, fields):
    """One row of csv or tsv; columns that hold lists are JSON."""
    if len(fields) != len(header):
        raise InputError(f"{path}, line {number}: {len(fields)} fields under {len(header)} columns ({', '.join(header)}).")
    row = dict(zip(header, fields))
    for name in LISTS:
        if name in row:
            try:
                row[name] = json.loads(row[name])
            except ValueError as error:
                raise InputError(f"{path}, line {number}: {name} must hold a list as JSON, not {row[name][:60]!r}.") from error
    return row
