"""Rows of files: parquet, jsonl, json, csv and tsv, read in one way wherever they come from (--data_dir, --train_file, the hub's branches).

Text stays text: a cell `007` or `None` of csv and tsv is these letters, and only JSON has numbers and null. tsv has no quoting, csv has.
A column that holds lists is JSON in both. Text is UTF-8, and only a line feed ends a line.
"""

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet
from datasets import Dataset, Features, Value, load_dataset

from task_adapters.columns import has_header, read_columns
from task_adapters.content import code_of, file_key, fingerprint, from_cache
from task_adapters.errors import InputError, readable

LISTS = ("answers", "choices", "endings", "ner_tags", "pos_tags", "tags", "tokens", "words")  # columns that hold lists or dicts
# XTREME's translated pairs have no header: English pair, translated pair, label; before September 2020 the translated pair and the label.
FIELDS_WITHOUT_HEADER = (3, 5)
BROKEN = "no pair"  # the only column of a line that is no pair and label, in a file without a header
SPELLINGS = {"contradictory": "contradiction"}  # in XNLI's and XTREME's translations
TAGGED = (".conllu", ".conll", ".bio", ".iob2")  # endings of files with a word and its tag a line
TAG = re.compile(r"O|[A-Z]{1,5}|[BIESLU]-\w+")  # the second of two columns: no name of a column is written in capitals
TEXT_ROWS = Features({"location": Value("string"), "row": Value("string")})


def check_file(path: Path, what: str = "") -> None:
    """Raises InputError for what cannot be read as a file of data: a dangling link, a folder, a pipe, an empty file, a Git LFS pointer."""
    if path.is_symlink() and not path.exists():
        raise InputError(f"{what}{path} is a link to {path.readlink()}, which does not exist.")
    if path.is_dir():
        raise InputError(f"{what}{path} is a folder, where a file should be.")
    if not path.exists():
        raise InputError(f"{what}there is no file {path}.")
    if not path.is_file():  # to open a pipe would wait for a writer
        raise InputError(f"{what}{path} is a pipe or a device, where a file should be.")
    with readable(str(path)):
        with path.open("rb") as file:
            start = file.read(64)
    if not start:
        raise InputError(f"{what}{path} is empty.")
    if start.startswith(b"version https://git-lfs"):
        raise InputError(f"{what}{path} is a Git LFS pointer and not the file itself: run `git lfs pull` where it was cloned.")


def rows_of_files(files: list[Path], labels: tuple[str, ...] = (), reader: Callable[..., Any] | None = None) -> Dataset:
    """The rows of files of one kind, in order, through the cache of `datasets`; the files' content is the key there.

    labels  of a classification task: by them a tsv file without a header is known.
    reader  in place of that of the files' kind (`READERS`).
    Parquet gives its own columns. All other kinds give TEXT_ROWS, where `row` is the row as JSON text, which keeps each value as it stands
    in the file, and `location` says where that is. Raises InputError for a file that cannot be read, and where there are no rows.
    """
    for path in files:
        check_file(path)
    if files[0].suffix == ".parquet":
        return _parquet_rows(files)
    key = fingerprint(*files, *map(file_key, files), labels, reader and reader.__name__, code_of(rows_of_files))
    names = tuple(str(path) for path in files)  # a list would be cut into shards
    options = {"features": TEXT_ROWS, "gen_kwargs": {"names": names, "labels": labels, "reader": reader}, "fingerprint": key}
    with readable(names[0]):
        return from_cache(key, lambda: Dataset.from_generator(_text_rows, **options))


def has_text_rows(rows: Dataset) -> bool:
    return rows.features == TEXT_ROWS


def columns_of(batch: dict) -> dict[str, list]:
    """A batch of rows as their own columns: of text files each row is JSON, and a value that a row lacks is None."""
    if {*batch} != {*TEXT_ROWS}:
        return batch
    rows = [json.loads(row) for row in batch["row"]]
    return {name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}


def _parquet_rows(files):
    counts = []
    for path in files:
        with readable(str(path)):
            counts.append(pyarrow.parquet.read_metadata(path).num_rows)
    filled = [str(path) for path, count in zip(files, counts) if count]
    if not filled:
        raise InputError(f"{files[0]} holds no rows.")
    # `datasets` adds path and time stamp to the name, which alone would not tell a file from one that took its place.
    name = fingerprint(*map(file_key, files))
    with readable(filled[0] if len(filled) == 1 else f"{filled[0]} or one of the {len(filled) - 1} files beside it"):
        return from_cache(name, lambda: load_dataset("parquet", name, data_files={"rows": filled}, split="rows"))


def _text_rows(names, labels, reader):
    for name in names:
        path, is_empty = Path(name), True
        for location, row in (reader or READERS[path.suffix])(path, labels):
            is_empty = False
            yield {"location": f"{path}, {location}", "row": json.dumps(row)}
        if is_empty:
            raise InputError(f"{path} holds no rows.")


# ---- readers: (path, labels) -> (where a row stands, row); a row is {BROKEN: its line} where a file without a header has something else


def read_jsonl(path: Path, labels: Sequence[str] = ()) -> Iterator[tuple[str, dict | None]]:
    for number, line in lines_of(path):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}, line {number}: not JSON ({error}).") from error
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number}: not an object {{...}}.")
        yield f"line {number}", row


def read_json(path: Path, labels: Sequence[str] = ()) -> Iterator[tuple[str, dict | None]]:
    """SQuAD's format; a list of rows; or lines of JSON under the wrong name."""
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text.") from error
    except (ValueError, RecursionError):
        yield from read_jsonl(path)
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
                yield f"question {number}", _squad_row(paragraph, question, f"{path}, question {number}")


def _squad_row(paragraph, question, location):
    answers = _objects(question.get("answers", []), f"{location}: answers")
    for answer in answers:
        if {"text", "answer_start"} - {*answer}:
            raise InputError(f"{location}: an answer needs text and answer_start.")
        if not isinstance(answer["text"], str) or not re.fullmatch("-?[0-9]+", str(answer["answer_start"])):
            raise InputError(f"{location}: {answer!r:.90}: text must be text, answer_start a whole number.")
    asked = {name: question[name] for name in ("id", "question", "language") if name in question}
    context = {name: paragraph[name] for name in ("context",) if name in paragraph}
    texts, starts = [answer["text"] for answer in answers], [int(answer["answer_start"]) for answer in answers]
    return {**asked, **context, "answers": {"text": texts, "answer_start": starts}}


def read_csv(path: Path, labels: Sequence[str] = ()) -> Iterator[tuple[str, dict | None]]:
    csv.field_size_limit(1 << 30)  # else a context of 131,073 characters is refused
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines, strict=True)
        try:
            header = None
            for fields in reader:
                if fields and header is None:
                    header = _header(path, fields)
                elif fields:
                    yield f"line {reader.line_num}", _row(path, reader.line_num, header, fields)
        except csv.Error as error:
            raise InputError(f"{path}, line {reader.line_num}: {error}.") from error
        except UnicodeDecodeError as error:
            raise InputError(f"{path}, after line {reader.line_num}: not UTF-8 text.") from error


def read_tsv(path: Path, labels: Sequence[str] = ()) -> Iterator[tuple[str, dict | None]]:
    header = None
    for number, line in lines_of(path):
        fields = line.split("\t")
        if header is None and len(fields) == 2 and TAG.fullmatch(fields[1]) and not has_header(line):
            yield from read_tagged(path)
            return
        if header is None:
            is_pair = len(fields) in FIELDS_WITHOUT_HEADER and _label(fields) in labels
            header = len(fields) if is_pair else _header(path, fields)
            if not is_pair:
                continue
        if isinstance(header, int):  # without a header the last three fields count
            fits = len(fields) == header and _label(fields) in labels
            row = {"text_a": fields[-3], "text_b": fields[-2], "label": _label(fields)} if fits else {BROKEN: line[:90]}
        else:
            row = _row(path, number, header, fields)
        yield f"line {number}", row


def read_tagged(path: Path, labels: Sequence[str] = ()) -> Iterator[tuple[str, dict]]:
    """A word and its tag a line: CoNLL-U, CoNLL-2003, WikiAnn, two columns (columns.py)."""
    yield from read_columns(path, list(lines_of(path, with_blank_ones=True)))


def read_text(path: Path, labels: Sequence[str] = ()) -> Iterator[tuple[str, dict]]:
    """Fields between tabs under a header (MultiNLI's own files are .txt), or a word and its tag a line (CoNLL-2003, WikiAnn)."""
    first = next((line for _, line in lines_of(path)), "").split("\t")
    is_table = len(first) > 1 and not TAG.fullmatch(first[-1].strip()) and not first[0].startswith(("#", "-DOCSTART-"))
    yield from (read_tsv if is_table else read_tagged)(path, labels)


# WikiAnn's own files have no ending.
READERS = {".jsonl": read_jsonl, ".json": read_json, ".csv": read_csv, ".tsv": read_tsv, **dict.fromkeys(TAGGED, read_tagged),
           **dict.fromkeys((".txt", ""), read_text)}  # fmt: skip
KINDS = (".parquet", *READERS)  # of files that are read, the first one is looked for first
FOLDER_KINDS = tuple(kind for kind in KINDS if kind not in (".txt", ""))  # below --data_dir, where a README may lie beside


def _objects(value, location) -> list[dict]:
    if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
        raise InputError(f"{location} {value!r:.60} is not a list of objects {{...}}.")
    return value


def lines_of(path: Path, with_blank_ones: bool = False) -> Iterator[tuple[int, str]]:
    """(number, text) of the lines, as a rule of those that are not blank; only a line feed ends one."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise InputError(f"{path}, line {number}: not UTF-8 text.") from error
            if with_blank_ones or text.strip():
                yield number, text


def _label(fields):
    return SPELLINGS.get(fields[-1].strip(), fields[-1].strip())


def _header(path, fields):
    repeated = [name for name in fields if fields.count(name) > 1]
    if repeated:
        raise InputError(f"{path}: its header names the column {repeated[0]!r} twice.")
    return fields


def _row(path, number, header, fields):
    """One row of csv or tsv; columns that hold lists are JSON."""
    missing = header[len(fields) :]
    if missing and "gold_label" in header and all(re.fullmatch("label[1-5]", name) for name in missing):
        fields = [*fields, *[""] * len(missing)]  # MultiNLI: the answers of annotators who were not asked
    if len(fields) != len(header):
        raise InputError(f"{path}, line {number}: {len(fields)} fields under {len(header)} columns ({', '.join(header)}).")
    row = dict(zip(header, fields))
    for name in LISTS:
        if name in row:
            try:
                row[name] = json.loads(row[name])
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path}, line {number}: {name} must hold a list as JSON, not {row[name][:60]!r}.") from error
    return row
