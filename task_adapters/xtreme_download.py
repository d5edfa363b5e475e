"""XTREME's own `download/` folder as --data_dir: what its scripts/download_data.sh leaves, read as its code reads it.

https://github.com/google-research/xtreme, Apache 2.0, scripts/download_data.sh, utils_preprocess.py and third_party. The script removes the
labels of all test sets, so that this folder serves training and checkpoint selection. Test sets with labels can lie in the same folder, in
the layout of the hub. The oddities, all of them XTREME's:
- xnli and pawsx: its writer doubles quotation marks, and its reader keeps them. Models are trained on `""yes""`.
- panx and udpos: a line of other than two fields between blanks has the tag O (panx) or X (udpos).
- xnli: English training data are MNLI's, English dev data XNLI's. Elsewhere in this collection English dev data are MNLI's.
- tydiqa: ids of training questions have lost their language, and there is one file for each language.
- tatoeba: the English side is sorted.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from datasets import Dataset

from task_adapters.base import Absent, InputError, Source
from task_adapters.content import file_key
from task_adapters.files import lines_of, read_json, rows_of_files

NAME = "XTREME's download"
REMOVED = "has no labels: XTREME's script has removed those of its test sets."


class NoLabels(InputError):
    """A file from which XTREME's script has removed the labels."""


@dataclass(frozen=True)
class Download(Source):
    """One folder of XTREME's download, as a source of a task; `download` makes it.

    folder    its name. splits: our split -> the file in it; `{language}` is replaced.
    reader    (path, labels) -> (where a row stands, row), as those of files.py. It raises NoLabels for a file without labels.
    labelled  the source that has the labels of the test data.
    """

    folder: str = ""
    reader: Callable | None = None
    labelled: Source | None = None

    def publishes(self, split: str, language: str) -> bool:
        """No: it has no language that the hub lacks."""
        return False

    def is_here(self, data_dir: str | None) -> bool:
        """Whether --data_dir has a file of this folder."""
        patterns = [str(path).replace("{language}", "*") for path in self.splits.values()]
        return data_dir is not None and any(any((Path(data_dir) / self.folder).glob(pattern)) for pattern in patterns)

    def files(self, split: str, language: str, data_dir: str | None) -> list[Path]:
        if data_dir is None or split not in self.splits:
            return []
        return [Path(data_dir) / self.folder / str(self.splits[split]).format(language=language)]

    def load(self, split: str, language: str, data_dir: str | None) -> tuple[Dataset, str | None]:
        """-> (rows, checksum). InputError for a test set whose labels XTREME's script has removed."""
        (path,) = self.files(split, language, data_dir)
        if not path.exists():
            raise Absent(f"{path} does not exist; the folder is {NAME}.")
        try:
            return rows_of_files([path], reader=self.reader), f"sha256 {file_key(path)[:16]}"
        except NoLabels as error:
            raise InputError(f"{path} {error} {self.where_labels_are(language, data_dir)}") from error

    def where_labels_are(self, language: str, data_dir: str | None) -> str:
        hub_id, config = self.labelled.hub_id, self.labelled.config_for(language)
        return f'Labelled ones: hf download --repo-type dataset {hub_id} --include "{config}/*" --local-dir {Path(data_dir) / hub_id}'


@dataclass(frozen=True)
class SortedEnglish(Download):
    """Tatoeba, which cannot be scored as it lies there."""

    def load(self, split: str, language: str, data_dir: str | None) -> tuple[Dataset, str | None]:
        english = Path(data_dir) / self.folder / f"{language}-en.en"
        raise InputError(
            f"{english} is sorted: XTREME's script hides in this way which sentence translates which. Paired line by line, scores would be"
            f" about 0. {self.where_labels_are(language, data_dir)}"
        )


def download(folder: str, files: dict[str, str], reader: Callable[..., Any], labelled: Source | None = None) -> Download:
    """The source of one folder. files: our split -> its file."""
    kind = SortedEnglish if reader is None else Download
    return kind(NAME, config=f"{folder}/{{language}}", splits=files, folder=folder, reader=reader, labelled=labelled)


# ---- readers: (path, labels) -> (where a row stands, row)


def read_pairs(path: Path, labels: Sequence[str] = ()) -> Iterator[tuple[str, dict]]:
    """xnli, pawsx: two sentences and a label between tabs. Quotation marks stay doubled, as XTREME's own reader leaves them."""
    for number, line in lines_of(path):
        fields = line.split("\t")
        if len(fields) == 2:
            raise NoLabels(REMOVED)
        if len(fields) < 2:
            raise InputError(f"{path}, line {number}: {line[:60]!r} is not two sentences and a label.")
        yield f"line {number}", {"text_a": fields[0], "text_b": fields[1], "label": fields[2].strip()}


def read_panx(path: Path, labels: Sequence[str] = ()) -> Iterator[tuple[str, dict]]:
    yield from _tagged(path, without_tag="O")


def read_udpos(path: Path, labels: Sequence[str] = ()) -> Iterator[tuple[str, dict]]:
    yield from _tagged(path, without_tag="X")


def _tagged(path, without_tag):
    """Sentences of lines `word, tab, tag`. A word of a line that has not two fields between blanks is the first, with `without_tag`."""
    lines = list(lines_of(path, with_blank_ones=True))
    if not any("\t" in line.strip() for _, line in lines):
        raise NoLabels(REMOVED)
    lines = [(number, line.split()) for number, line in lines]
    for is_words, part in groupby(lines, key=lambda line: bool(line[1])):
        part = list(part)
        if is_words:
            tags = [fields[1] if len(fields) == 2 else without_tag for _, fields in part]
            yield f"sentence of line {part[0][0]}", {"words": [fields[0] for _, fields in part], "tags": tags}


def read_questions(path: Path, labels: Sequence[str] = ()) -> Iterator[tuple[str, dict]]:
    """SQuAD's JSON; XTREME's script puts an empty answer in the place of each answer of a test set."""
    for location, row in read_json(path):
        if row.get("answers", {}).get("text") == [""]:
            raise NoLabels(REMOVED)
        yield location, row
