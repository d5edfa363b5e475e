r"""CCG supertags (CCGbank; Hockenmaier and Steedman, 2007): the grammatical category of each word, such as (S[dcl]\NP)/NP.

The data are licensed, LDC2005T13 (https://catalog.ldc.upenn.edu/LDC2005T13), and users must provide the files. With `--data_dir DIR` the
files are below DIR/LDC2005T13: CCGbank's own `AUTO/<section>/*.auto`, or jiant's ccg.train and ccg.dev (words, a TAB, tags). The sections
are jiant's: 00-18 for training, 19-21 for dev, 22-24 for test. The CCG literature uses others; a file DIR/LDC2005T13/sections.json chooses
them:

    {"train": "02-21", "dev": "00", "test": "23"}

The tag set is the sorted set of the tags in the training sentences. A dev or test word with another tag counts as wrong, because the model
cannot predict it. (jiant numbers the 1,363 tags of all sections in the order in which it reads them. This order differs between machines.)
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset, Features, List

from metrics import token_accuracy
from task_adapters.base import TEXT, InputError, Recipe, Source, Task, nearest
from task_adapters.files import check_file

SECTIONS = {"train": "00-18", "dev": "19-21", "test": "22-24"}
# (<T category head children> opens a phrase, (<L category tag tag word category>) is a word.
LEAF = re.compile(r"\(<L (\S+) \S+ \S+ (\S+) \S+>\)")
PHRASE = re.compile(r"\(<T \S+ \d+ \d+>")


def to_example(row: dict) -> dict:
    return row


@dataclass(frozen=True)
class CCGbank(Source):
    """CCGbank's files, or jiant's, below DIR/LDC2005T13. The revision names the sections and a checksum of the files."""

    def load(self, split: str, language: str, data_dir: str | None) -> tuple[Dataset, str | None]:
        folder = Path(data_dir or "DIR") / self.hub_id
        if data_dir is None or not folder.is_dir():
            missing = "" if data_dir is None else f"{folder} does not exist. "
            raise InputError(
                f"{missing}CCGbank ({self.hub_id}) is licensed and not on the hub: put its data folder, with AUTO/00 to AUTO/24,"
                f" anywhere below {folder} and give --data_dir {data_dir or 'DIR'}."
            )
        sections = sections_of(folder)[split]
        by_section = auto_files(folder)
        if by_section:
            missing_sections = [section for section in sections if section not in by_section]
            if missing_sections:
                raise InputError(f"{folder} holds no .auto files of section {', '.join(missing_sections)}, which {split} needs.")
            files, reader = [file for section in sections for file in by_section[section]], read_auto
        else:
            files, reader = [folder / f"ccg.{split}"], read_tagged_lines
            if not files[0].is_file():
                raise InputError(f"{folder} holds neither AUTO/<section>/*.auto nor {files[0].name}.")
        digest, sentences = hashlib.sha256(), []
        for file in files:
            check_file(file)
            content = file.read_bytes()
            digest.update(content)
            sentences += reader(file, content)
        columns = {"words": [words for words, _ in sentences], "tags": [tags for _, tags in sentences]}
        rows = Dataset.from_dict(columns, features=Features({"words": List(TEXT), "tags": List(TEXT)}))
        description = f"sections {sections[0]}-{sections[-1]}" if by_section else files[0].name
        return rows, f"{description}, sha256 {digest.hexdigest()[:16]}"


def sections_of(folder: Path) -> dict[str, list[str]]:
    """Returns {split: two-digit sections}: those of sections.json if the file exists, otherwise jiant's."""
    file = folder / "sections.json"
    try:
        given = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except ValueError as error:
        raise InputError(f"{file} is not valid JSON ({error}).") from error
    if not isinstance(given, dict):
        raise InputError(f"{file} must look like {json.dumps(SECTIONS)}.")
    sections = {}
    for split, text in {**SECTIONS, **given}.items():
        if split not in SECTIONS:
            raise InputError(f"{file}: {split!r} is no split. {nearest(split, SECTIONS)}")
        match = re.fullmatch(r"(\d\d)(?:-(\d\d))?", str(text))
        if not match or int(match[1]) > int(match[2] or match[1]):
            raise InputError(f"{file}: {text!r} is no range of sections. For example: {SECTIONS[split]!r}.")
        sections[split] = [f"{number:02}" for number in range(int(match[1]), int(match[2] or match[1]) + 1)]
    for split in ("dev", "test"):
        shared = sorted(set(sections["train"]) & set(sections[split]))
        if shared:
            raise InputError(f"{file}: section {shared[0]} is in train and in {split}.")
    return sections


def auto_files(folder: Path) -> dict[str, list[Path]]:
    """Returns {section: its .auto files in order}. InputError if a file is there twice, because its sentences would count twice."""
    by_section, file_of = {}, {}
    for file in sorted(folder.rglob("AUTO/[0-9][0-9]/*.auto")):
        key = (file.parent.name, file.name)
        if key in file_of:
            raise InputError(f"{file} is also at {file_of[key]}: keep one copy of CCGbank below {folder}.")
        file_of[key] = file
        by_section.setdefault(file.parent.name, []).append(file)
    return by_section


def read_auto(file: Path, content: bytes) -> list[tuple[list[str], list[str]]]:
    """Returns [(words, categories)] of a file in CCGbank's .auto format: two lines per sentence, ID=... and then its derivation."""
    sentences, has_header = [], False
    for number, line in enumerate(_lines(file, content), start=1):
        if not line.strip():
            continue
        if line.startswith("ID=") != (not has_header):
            raise InputError(f"{file}:{number}: {'a derivation' if has_header else 'a line ID=...'} should stand here, not {line[:60]!r}.")
        has_header = not has_header
        if has_header:
            continue
        leaves = LEAF.findall(line)
        phrases = len(PHRASE.findall(line))
        remainder = PHRASE.sub("", LEAF.sub("", line))
        if not leaves or remainder.replace(" ", "") != ")" * phrases:
            raise InputError(f"{file}:{number}: no whole derivation of (<T ...> and (<L ...>) nodes: {line[:60]!r}.")
        sentences.append(([word for _, word in leaves], [category for category, _ in leaves]))
    if has_header:
        raise InputError(f"{file}:{number}: the file ends where a derivation should stand.")
    return sentences


def read_tagged_lines(file: Path, content: bytes) -> list[tuple[list[str], list[str]]]:
    """Returns [(words, tags)] of a file in jiant's format: `words TAB tags` with single spaces."""
    sentences = []
    for number, line in enumerate(_lines(file, content), start=1):
        if not line.strip():
            continue
        fields = [field.split() for field in line.split("\t")]
        if len(fields) != 2 or len(fields[0]) != len(fields[1]):
            counts = f"{len(fields) - 1} TABs" if len(fields) != 2 else f"{len(fields[0])} words and {len(fields[1])} tags"
            raise InputError(f"{file}:{number}: {counts}, where words, one TAB and as many tags should stand.")
        sentences.append((fields[0], fields[1]))
    return sentences


def _lines(file, content):
    try:
        return content.decode("utf-8").removesuffix("\n").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}:{content[: error.start].count(10) + 1}: not UTF-8 text.") from error


TASK = Task(
    name="ccg",
    phase="intermediate",
    task_type="tagging",
    sources=(
        CCGbank(
            "LDC2005T13", config="CCGbank", splits={"train": "train", "dev": "dev", "test": "test"}, rows={"train": 38_015, "dev": 5_484}
        ),
    ),
    to_example=to_example,
    metric=token_accuracy,
    dev_metric="accuracy",
    recipes={"jiant": Recipe()},
    licence="LDC user agreement",
)
