"""BUCC 2018 (Zweigenbaum et al., 2017, https://aclanthology.org/W17-2512): find the pairs of translations in two large sets of sentences.

https://comparable.limsi.fr/bucc2018; German, French, Russian and Chinese, each with English. As in XTREME and jiant, our test part is
BUCC's training part, and our dev part is BUCC's sample part, on which the threshold is chosen. There are two sources: BUCC's own files
under --data_dir, DIR/bucc2018/de-en/de-en.{training,sample}.{de,en,gold}, and https://huggingface.co/datasets/mteb/BUCC. The second one has
the test part only, as one row of two long lists without ids. This adapter makes ids in the format of BUCC's files (de-000000001), counted
from 1 in the order of the list. Copies that hold only the gold pairs are refused, because every sentence in them has a translation.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset

from metrics import pair_f1
from task_adapters.base import EXAMPLE_COLUMNS, Absent, InputError, RetrievalRecipe, Source, Task
from task_adapters.files import check_file, has_text_rows

GOLD_ONLY_COPIES = ("google/xtreme/bucc18.{language}", "mteb/bucc-bitext-mining")
GOLD_ONLY = (
    "holds gold pairs only. Mining has to find them among sentences without a translation, so a score on them would not be BUCC's:"
    " use BUCC's own files or mteb/BUCC"
)


@dataclass(frozen=True)
class MiningRecipe(RetrievalRecipe):
    """A retrieval recipe for mining.

    duplicates  what a mined sentence gives that is in the corpus under several ids: pairs of "all" of them (jiant), or "none" (XTREME).
    """

    duplicates: str = "all"


class RawFiles(Source):
    """BUCC's own files: lines of id, TAB, sentence, and lines of source id, TAB, English id in `.gold`."""

    def holds(self, split: str, language: str, data_dir: str | None) -> bool:
        """Returns whether --data_dir has a file of this part. If it has one, this source is used, and a missing file is an error."""
        return split in self.splits and any(path.exists() for path in self.files(split, language, data_dir))

    def files(self, split: str, language: str, data_dir: str | None) -> list[Path]:
        if data_dir is None:
            return []
        name = self.config_for(language)
        xtremes = [Path(data_dir) / self.hub_id / f"{name}.{split}.{end}" for end in (language, "en", "gold")]
        if xtremes[0].exists():  # as XTREME's scripts/download_data.sh leaves them
            return xtremes
        folders = [Path(data_dir) / self.hub_id / name, Path(data_dir) / name]
        folder = next((folder for folder in folders if folder.is_dir()), folders[0])
        return [folder / f"{name}.{self.splits[split]}.{end}" for end in (language, "en", "gold")]

    def load(self, split: str, language: str, data_dir: str | None) -> tuple[Dataset, str | None]:
        """Returns (a row per sentence, checksum of the three files). InputError names file and line if a line has another format."""
        if not self.holds(split, language, data_dir):
            missing = f"{self.files(split, language, data_dir)[0]} does not exist." if data_dir else "--data_dir is not given."
            copies = [Path(data_dir or "") / copy.format(language=language) for copy in GOLD_ONLY_COPIES] if data_dir else []
            refusals = "".join(f" {copy} {GOLD_ONLY}." for copy in copies if copy.exists())
            raise Absent(f"BUCC's own {self.splits[split]} files are read from --data_dir: {missing}{refusals}")
        source_file, target_file, gold_file = self.files(split, language, data_dir)
        if split == "test" and source_file.name == f"{self.config_for(language)}.test.{language}" and not gold_file.exists():
            archive = f"https://comparable.limsi.fr/bucc2018/bucc2018-{self.config_for(language)}.training-gold.tar.bz2"
            raise InputError(
                f"{gold_file} does not exist: XTREME's script removes the gold pairs of its test set. They are"
                f" {self.config_for(language)}.training.gold in {archive}; put that file there under this name."
            )
        source, target = read_sentences(source_file), read_sentences(target_file)
        gold = read_gold(gold_file, source, target)
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in (source_file, target_file, gold_file)))
        return rows_of(source, target, gold, str(gold_file.parent)), f"sha256 {digest.hexdigest()[:16]}"


class PairedLists(Source):
    """mteb/BUCC: one row of `sentence1`, `sentence2` (English) and `gold`, which holds pairs of positions in them, counted from 1."""

    def holds(self, split: str, language: str, data_dir: str | None) -> bool:
        return split in self.splits and not RAW_FILES.holds(split, language, data_dir)

    def load(self, split: str, language: str, data_dir: str | None) -> tuple[Dataset, str | None]:
        """Returns (a row per sentence, revision). InputError for gold positions outside the lists, and for copies of another layout."""
        rows, revision = super().load(split, language, data_dir)
        name = f"{self.hub_id} ({self.config_for(language)}, {split})"
        row = {} if len(rows) != 1 else json.loads(rows[0]["row"]) if has_text_rows(rows) else rows[0]
        if not all(isinstance(row.get(column), list) for column in ("sentence1", "sentence2", "gold")):
            raise InputError(
                f"{name} {GOLD_ONLY}. (Expected one row of three lists, sentence1, sentence2 and gold; found {len(rows)} row(s) of"
                f" {', '.join(row or rows.column_names)}.)"
            )
        for column in ("sentence1", "sentence2"):
            wrong = [number for number, text in enumerate(row[column], start=1) if not isinstance(text, str)]
            if wrong:
                raise InputError(f"{name}: number {wrong[0]} of {column} is {row[column][wrong[0] - 1]!r:.60}, which is not text.")
        names = [f"{language}-{{:09d}}".format, "en-{:09d}".format]
        sides = [
            {name(number): text.strip() for number, text in enumerate(row[column], start=1)}
            for name, column in zip(names, ("sentence1", "sentence2"), strict=True)
        ]
        for number, pair in enumerate(row["gold"], start=1):
            is_pair = isinstance(pair, list) and len(pair) == 2 and all(isinstance(position, int) for position in pair)
            if not is_pair or not all(1 <= position <= len(side) for position, side in zip(pair, sides)):
                raise InputError(
                    f"{name}: gold pair {number} is {pair}; it should be two positions, 1 to {len(sides[0])} and 1 to {len(sides[1])}."
                )
        return rows_of(sides[0], sides[1], [(names[0](i), names[1](j)) for i, j in row["gold"]], name), revision


def read_sentences(path: Path) -> dict[str, str]:
    """Returns {id: sentence} of one file."""
    sentences, line_of = {}, {}
    for number, (name, text) in _fields(path, "an id, one TAB and a sentence"):
        if name in line_of:
            raise InputError(f"{path}:{number}: id {name!r} stands on line {line_of[name]} already.")
        line_of[name], sentences[name] = number, text.strip()
    return sentences


def read_gold(path: Path, source: dict[str, str], target: dict[str, str]) -> list[tuple[str, str]]:
    """Returns [(source id, target id)] of a gold file. InputError for an id that is not among the sentences."""
    pairs = []
    for number, pair in _fields(path, "a source id, one TAB and an English id"):
        for name, side, end in zip(pair, (source, target), ("source", "English"), strict=True):
            if name not in side:
                raise InputError(f"{path}:{number}: the {end} sentences have no id {name!r}.")
        pairs.append(pair)
    return pairs


def _fields(path, expected):
    """Yields (line number, (id, text after the TAB)) of each line. Only line feeds end a line: sentences contain other separators."""
    if not path.exists():
        raise InputError(f"{path} does not exist; a part of BUCC is three files that end in the two languages and in gold.")
    check_file(path)
    try:
        lines = path.read_bytes().decode("utf-8-sig").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: byte {error.start} is {error.object[error.start]:#x}.") from None
    if lines == [""]:
        raise InputError(f"{path} is empty.")
    for number, line in enumerate(lines, start=1):
        name, tab, text = line.rstrip("\r").partition("\t")
        if not tab or name.split() != [name]:
            raise InputError(f"{path}:{number}: {line[:60]!r} is not {expected}.")
        yield number, (name, text)


def rows_of(source: dict[str, str], target: dict[str, str], gold: list[tuple[str, str]], corpus: str) -> Dataset:
    """Returns a row per sentence, source side first. InputError for a corpus in which every sentence has a translation."""
    if len({i for i, _ in gold}) == len(source) and len({j for _, j in gold}) == len(target):
        raise InputError(f"{corpus} {GOLD_ONLY}.")
    matches = [{}, {}]
    for pair in dict.fromkeys(gold):
        for side, name, other in zip(matches, pair, reversed(pair), strict=True):
            side.setdefault(name, []).append(other)
    return Dataset.from_dict(
        {
            "side": ["source"] * len(source) + ["target"] * len(target),
            "id": [*source, *target],
            "text": [*source.values(), *target.values()],
            "matches": [side.get(name, []) for side, names in zip(matches, (source, target), strict=True) for name in names],
        },
        features=EXAMPLE_COLUMNS["mining"],
    )


def to_example(row: dict) -> dict:
    return {name: row[name] for name in ("side", "id", "text", "matches")}


RAW_FILES = RawFiles("bucc2018", config="{language}-en", splits={"test": "training", "dev": "sample"})

TASK = Task(
    name="bucc",
    phase="retrieval",
    task_type="mining",
    sources=(RAW_FILES, PairedLists("mteb/BUCC", config="{language}-en", splits={"test": "test"})),
    to_example=to_example,
    metric=pair_f1,
    dev_metric="f1",
    languages=("de", "fr", "ru", "zh"),
    recipes={
        "jiant": MiningRecipe(),
        # XTREME takes layer 7 of the last 12 (+ 1) hidden states and the vector of <s>. In a model of 24 blocks that is layer 20.
        "xtreme": MiningRecipe(layer=20, pooling="cls", duplicates="none"),
    },
    licence="not stated by its distributors",
)
