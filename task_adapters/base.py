"""What a dataset says about itself (`Task`), and how its rows become examples (`load_examples`).

A row is what the hub holds; an example is text in the fixed columns of its task type (`EXAMPLE_COLUMNS`).
Nothing here knows a tokenizer or a model, and nothing here imports torch.
"""

import difflib
import hashlib
import inspect
import os
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute
from datasets import ClassLabel, Dataset, Features, List, Value, concatenate_datasets, load_dataset
from datasets.exceptions import DatasetsError
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError

TEXT = Value("string")
EXAMPLE_COLUMNS = {
    "classification": Features({"text_a": TEXT, "text_b": TEXT, "label": TEXT}),
    "multiple_choice": Features({"context": TEXT, "question": TEXT, "choices": List(TEXT), "label": Value("int32")}),
    "span_qa": Features(
        {"id": TEXT, "context": TEXT, "question": TEXT, "answers": {"text": List(TEXT), "answer_start": List(Value("int32"))}}
    ),
    "tagging": Features({"words": List(TEXT), "tags": List(TEXT)}),
    "retrieval": Features({"source": TEXT, "target": TEXT}),  # translations of each other; target is English
    "mining": Features({"side": TEXT, "id": TEXT, "text": TEXT, "matches": List(TEXT)}),  # side: source or target; matches: gold ids
}
PHASES = ("intermediate", "target", "retrieval")
CONVERTED = "refs/convert/parquet"


class InputError(ValueError):
    """The user's mistake: the message is one line that says what is wrong, with which value, and what would be right."""


class Absent(InputError):
    """A source is not here: the next one is tried. A source that is here and broken stops the run with an InputError."""


class DropRow(Exception):
    """Raised by a `to_example` whose row the protocol leaves out; the reason is counted and stands in the result."""


def nearest(name: str, known) -> str:
    """` Did you mean 'xnli'?` for 'xnl', or the whole list where nothing is near."""
    match = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f"Did you mean {match[0]!r}?" if match else f"Known: {', '.join(known)}."


@dataclass(frozen=True)
class Source:
    """One place that holds a dataset on the hub; the same layout is found under `--data_dir` by the same id.

    config   the hub's configuration; `{language}` and `{name}` are replaced.
    splits   our split ("train", "dev", "test") -> the hub's split, or several that are read as one.
    names    language code -> the hub's own spelling, used as `{name}`.
    rows     expected rows per split, before any is dropped; per language where they differ.
    keep     (row, language) -> bool, for configurations that hold several languages; `rows` counts what it keeps.
    revision a branch or commit; None for main. `CONVERTED` is the hub's own parquet copy of a dataset that is a script on main.
    and_then further sources whose rows follow these, as one dataset; those that lack a split have no part in it.
    """

    hub_id: str
    config: str = "default"
    splits: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, Any] = field(default_factory=dict)
    keep: Callable[[dict, str], bool] | None = None
    revision: str | None = None
    and_then: tuple["Source", ...] = ()

    def parts(self, split: str) -> list["Source"]:
        """All sources whose rows make up one split, in order."""
        return [source for source in (self, *self.and_then) if split in source.splits]

    def config_for(self, language: str) -> str:
        return self.config.format(language=language, name=self.names.get(language, language))

    def rows_expected(self, split: str, language: str) -> int | None:
        rows = self.rows.get(split)
        return rows.get(language) if isinstance(rows, Mapping) else rows

    def publishes(self, split: str, language: str) -> bool:
        """Whether the source holds a split of a language; where `rows` has nothing about the split, all languages are taken to have it."""
        return split in self.splits and (split not in self.rows or self.rows_expected(split, language) is not None)

    def load(self, split: str, language: str, data_dir: str | None) -> tuple[Dataset, str | None]:
        """-> (rows, revision). The revision is the hub commit, or None for files of unknown origin."""
        config, names = self.config_for(language), self.splits[split]
        parts = [self._load_split(config, name, data_dir) for name in ((names,) if isinstance(names, str) else names)]
        rows = [part for part, _ in parts]
        return (rows[0] if len(rows) == 1 else concatenate_datasets(rows)), parts[0][1]

    def _load_split(self, config, split, data_dir):
        if data_dir is not None:
            return _load_local(Path(data_dir) / self.hub_id, config, split)
        try:
            if self.revision is not None:
                return self._load_revision(config, split)
            rows = load_dataset(self.hub_id, config, split=split)
        except (DatasetsError, HfHubHTTPError, ValueError, OSError, RuntimeError) as error:
            offline = " HF_HUB_OFFLINE is set: only the cache was searched." if os.environ.get("HF_HUB_OFFLINE") else ""
            at = f" at {self.revision}" if self.revision else ""
            raise Absent(
                f"Cannot load split {split!r} of {self.hub_id} ({config}){at}: {_one_line(error)}{offline}"
                " A folder with the same files can be given with --data_dir."
            ) from error
        # datasets names the cache folder after the commit that it downloaded.
        return rows, Path(rows.cache_files[0]["filename"]).parent.name if rows.cache_files else None

    def _load_revision(self, config, split):
        """Other branches than main by file name: the converted one has no index of its configurations, and `datasets` cannot find
        again what it read from there once the network is gone."""
        patterns = [f"{folder}{split}{end}" for folder in (f"{config}/", "data/", "") for end in ("-*", ".*", "/*")]
        folder = Path(snapshot_download(self.hub_id, repo_type="dataset", revision=self.revision, allow_patterns=patterns))
        return _load_local(folder, config, split)[0], folder.name


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:300] + "..."


def _load_local(folder: Path, config: str, split: str) -> tuple[Dataset, str | None]:
    """Reads `folder` as `hf download --repo-type dataset ID --local-dir folder` leaves it (parquet, jsonl, json, csv or tsv)."""
    if not folder.is_dir():
        raise Absent(f"{folder} does not exist: --data_dir must hold a folder named by hub id, DIR/{folder.parent.name}/{folder.name}.")
    places = [folder / config] + ([folder / "data", folder] if config in ("default", folder.name, "plain_text") else [])
    for place in places:
        for suffix, builder in ((".parquet", "parquet"), (".jsonl", "json"), (".json", "json"), (".csv", "csv"), (".tsv", "csv")):
            files = sorted(
                p
                for p in (*place.glob(f"{split}*{suffix}"), *place.glob(f"{split}/*{suffix}"))
                if p.parent.name == split or p.name[len(split)] in "-."  # `test` must not match `test_r1-...`
            )
            if not files:
                continue
            empty = [p for p in files if p.stat().st_size == 0]
            if empty:
                raise InputError(f"{empty[0]} is empty.")
            options = {"delimiter": "\t"} if suffix == ".tsv" else {}
            try:
                rows = load_dataset(builder, data_files={split: [str(p) for p in files]}, split=split, **options)
            except (DatasetsError, pyarrow.ArrowException, ValueError, OSError) as error:
                raise InputError(f"Cannot read {files[0]}: {_one_line(error.__cause__ or error)}") from error
            return rows, _downloaded_commit(folder, files[0])
    raise Absent(
        f"{folder} holds no split {split!r} of configuration {config!r}: looked for {places[0]}/{split}-*.parquet (or jsonl, csv, tsv)."
    )


def _downloaded_commit(folder: Path, file: Path) -> str | None:
    """The commit that `hf download` notes beside the files it fetches: first line of .cache/huggingface/download/FILE.metadata."""
    note = folder / ".cache" / "huggingface" / "download" / (str(file.relative_to(folder)) + ".metadata")
    return note.read_text(encoding="utf-8").split("\n", 1)[0].strip() if note.is_file() else None


@dataclass(frozen=True)
class Recipe:
    """Published training settings, as data. Names are those of `TrainingArguments` where it has them.

    selection             "best": the checkpoint with the best English dev score; "last": the final weights.
    max_selection_samples how many of the first dev examples that choice looks at (None: all of them).
    seed                  where the original names one; else the 42 of `TrainingArguments`.
    """

    learning_rate: float = 1e-5
    num_train_epochs: float = 3
    effective_batch_size: int = 32
    max_seq_length: int = 256
    doc_stride: int = 128
    warmup_steps: float = 0.1  # below 1: a share of all steps
    weight_decay: float = 0.01
    adam_epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    eval_steps: int = 1000
    selection: str = "last"
    max_selection_samples: int | None = None
    seed: int = 42


@dataclass(frozen=True)
class RetrievalRecipe:
    """Which hidden state is a sentence's vector. Layer 0 is the embedding output, layer n the output of the n-th block."""

    layer: int = 14
    pooling: str = "mean"
    max_seq_length: int = 512


@dataclass(frozen=True)
class Task:
    """One dataset of the collection: a frozen value, checked when it is made.

    phase         "intermediate", "target" or "retrieval".
    sources       tried in order; the result says which one served.
    labels        names in the order of the model's outputs (classification, tagging). Rows are mapped by name. A tagging task that
                  leaves them out takes them from its training examples (`labels_of`).
    train_on      the task that gives a target its English training and dev data (itself, where None).
    to_example    row -> example, pure; class labels arrive as names (None where the hub says -1).
    metric        (gold, predicted, language) -> {name: 0..100}.
    dev_metric    the name among the metric's values by which checkpoints are compared.
    may_be_null   columns of rows in which null is no mistake: `to_example` knows what it means.
    choices       multiple choice: how many answers each question offers.
    may_have_no_answer  span QA where a question can be unanswerable: predictions carry a margin, and gold may be empty.
    label_piece   tagging: which pieces' output is a word's (`task_types/tagging.py`).
    """

    name: str
    phase: str
    task_type: str
    sources: tuple
    to_example: Callable[[dict], dict]
    metric: Callable[..., dict[str, float]]
    dev_metric: str
    languages: tuple[str, ...] = ("en",)
    labels: tuple[str, ...] = ()
    train_on: str | None = None
    recipes: Mapping[str, Recipe | RetrievalRecipe] = field(default_factory=dict)
    licence: str = ""
    may_be_null: tuple[str, ...] = ()
    choices: int = 1
    may_have_no_answer: bool = False
    label_piece: str = "first"

    def __post_init__(self):
        for value, known in ((self.phase, PHASES), (self.task_type, EXAMPLE_COLUMNS)):
            if value not in known:
                raise ValueError(f"Task {self.name!r}: {value!r} is unknown. {nearest(value, known)}")
        for what, values in (("languages", self.languages), ("labels", self.labels)):
            if len(set(values)) != len(values):
                raise ValueError(f"Task {self.name!r} repeats one of its {what}: {values}")
        if self.task_type == "classification" and not self.labels:
            raise ValueError(f"Task {self.name!r} has no labels.")
        if (self.choices > 1) != (self.task_type == "multiple_choice"):
            raise ValueError(f"Task {self.name!r} is {self.task_type} with {self.choices} choices.")
        if not self.sources or "jiant" not in self.recipes:
            raise ValueError(f"Task {self.name!r} needs a source and a recipe named 'jiant'.")

    def languages_with(self, split: str) -> tuple[str, ...]:
        """Languages in which the task's own sources publish a split. (Its English training and dev data may be `train_on`'s.)"""
        return tuple(language for language in self.languages if any(source.publishes(split, language) for source in self.sources))


def load_examples(
    task: Task, split: str, language: str = "en", data_dir: str | None = None, max_samples: int | None = None, seed: int | None = None
) -> tuple[Dataset, dict]:
    """Loads one split of one language as examples.

    max_samples  keep this many: drawn with `seed` (see `drawn`), or the first ones where `seed` is None.
    Returns (examples with the columns of `EXAMPLE_COLUMNS[task.task_type]`, provenance: which rows of which source, what was dropped).
    Raises InputError for a language, split, file, column or label that is not there.
    """
    if language not in task.languages:
        raise InputError(
            f"{task.name} has no {language!r} data. {nearest(language, task.languages)} It covers: {', '.join(task.languages)}."
        )
    sources = [source for source in task.sources if split in source.splits]
    if not sources:
        raise InputError(f"{task.name} has no {split!r} split. It has: {', '.join(task.sources[0].splits)}.")
    passed_over = []
    for source in sources:
        try:
            loaded = [(part, *part.load(split, language, data_dir)) for part in source.parts(split)]
            break
        except Absent as error:
            passed_over.append(str(error))
    else:
        raise InputError(" | ".join(dict.fromkeys(passed_over)))

    converted = [_to_examples(rows, revision, part, task, split, language) for part, rows, revision in loaded]
    parts = [provenance for _, provenance in converted]
    examples = concatenate_datasets([part for part, _ in converted]) if len(converted) > 1 else converted[0][0]
    where = " + ".join(part["hub_id"] for part in parts) + f" ({split}, {language})"
    if split != "train":
        _refuse_duplicate_ids(examples, where)
    if split == "test":
        _refuse_placeholders(examples, where)
    if max_samples is not None and max_samples < len(examples):
        examples = examples.select(range(max_samples) if seed is None else drawn(len(examples), max_samples, seed, language))
    provenance = {
        "task": task.name,
        "split": split,
        "language": language,
        "data_dir": data_dir,
        **_together(parts),
        "examples": len(examples),
    }
    if len(parts) > 1:
        provenance["parts"] = parts
    if passed_over:
        provenance["passed_over"] = passed_over
    return examples, provenance


def drawn(count: int, max_samples: int, seed: int, language: str) -> np.ndarray:
    """The rows of a few-shot draw: the first `max_samples` of a permutation of `count` rows, so that smaller draws are within larger ones.

    Each language has its own permutation: translations of the same rows are not drawn side by side. English has the plain seed's.
    """
    key = seed if language == "en" else (seed, zlib.crc32(language.encode()))
    return np.random.default_rng(key).permutation(count)[:max_samples]


def _together(parts: list[dict]) -> dict:
    """One summary of the parts of a split."""
    expected = [part["rows_expected"] for part in parts]
    return {
        **{name: " + ".join(str(part[name]) for part in parts) for name in ("hub_id", "config")},
        "revision": None if None in (found := [part["revision"] for part in parts]) else " + ".join(found),
        "rows": sum(part["rows"] for part in parts),
        "rows_expected": None if None in expected else sum(expected),
        "dropped": dict(sum((Counter(part["dropped"]) for part in parts), Counter())),
    }


def labels_of(task: Task, train_examples) -> tuple[str, ...]:
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
    line += f"; {p['not_nfc']:,} texts are not NFC as published (--normalize nfc composes such)" if p.get("not_nfc") else ""
    return line + "".join(f"; passed over: {reason}" for reason in p.get("passed_over", ()))


def _to_examples(rows, revision, source, task, split, language):
    """Rows of one source -> (checked examples, provenance), through the cache of `datasets`: the key names rows, code and language."""
    where = f"{source.hub_id} ({source.config_for(language)}, {split})"
    if len(rows) == 0:
        raise InputError(f"{where} holds no rows.")
    code = [code_of(function) for function in (task.to_example, source.keep, load_examples) if function is not None]
    mapped = rows.map(
        _convert_batch,
        batched=True,
        with_indices=True,
        fn_kwargs={
            "features": rows.features,
            "task": task,
            "source": source,
            "split": split,
            "language": language,
            "where": where,
            "nulls": [name for name in rows.column_names if name not in task.may_be_null and has_nulls(rows.data.column(name))],
        },
        remove_columns=rows.column_names,
        features=Features({**EXAMPLE_COLUMNS[task.task_type], "dropped": TEXT}),
        desc=f"{task.name} {language} {split}",
        new_fingerprint=fingerprint(rows._fingerprint, task.name, task.labels, split, language, where, *code),
    )
    mapped, dropped = usable(mapped)
    other_languages = dropped.pop(NOT_THIS_LANGUAGE, 0)
    if len(mapped) == 0:
        raise InputError(f"{where} holds no usable row for {language!r}: {dict(dropped) or 'all are of other languages'}.")
    return mapped, {
        "hub_id": source.hub_id,
        "config": source.config_for(language),
        "revision": revision,
        "rows": len(rows) - other_languages,
        "rows_expected": source.rows_expected(split, language),
        "dropped": dict(dropped),
    }


def usable(mapped: Dataset) -> tuple[Dataset, Counter]:
    """Parts rows by their `dropped` column. -> (those without a reason, how many were dropped for each reason)"""
    reasons = mapped["dropped"][:]  # a slice is one read; going through a column is one per row
    dropped = Counter(reason for reason in reasons if reason)
    if dropped:
        mapped = mapped.select([i for i, reason in enumerate(reasons) if not reason])
    return mapped.remove_columns("dropped"), dropped


NOT_THIS_LANGUAGE = "another language"
FEW = 20  # so few equal labels can be real


def has_nulls(column: pyarrow.ChunkedArray) -> bool:
    """Whether a column, or a list or struct in it, holds null: arrow has counted them."""
    if pyarrow.types.is_struct(column.type):
        return column.null_count > 0 or any(map(has_nulls, column.flatten()))
    return column.null_count > 0 or (pyarrow.types.is_list(column.type) and has_nulls(pyarrow.compute.list_flatten(column)))


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


def _convert_batch(batch, indices, features, task, source, split, language, where, nulls):
    names, empty = tuple(batch), empty_example(task.task_type)
    decoded = {name: names_of(features[name], batch[name]) for name in names}
    examples = []
    for position, index in enumerate(indices):
        row = {name: decoded[name][position] for name in names}
        row = WithoutNull(row, nulls) if nulls else row
        try:
            if source.keep is not None and not source.keep(row, language):
                examples.append({**empty, "dropped": NOT_THIS_LANGUAGE})
                continue
            example = task.to_example(row)
            check_example(example, task, split)
            examples.append({**example, "dropped": ""})
        except DropRow as reason:
            examples.append({**empty, "dropped": str(reason)})
        except KeyError as error:
            raise InputError(f"{where} has no column {error}. It has: {', '.join(names)}.") from error
        except InputError as error:
            raise InputError(f"{where}, row {index}: {error}") from error
    return {column: [example[column] for example in examples] for column in (*empty, "dropped")}


def empty_example(task_type: str) -> dict:
    """What stands in the columns of a row that is dropped."""
    blank = {"text": [], "answer_start": []}
    return {
        column: [] if isinstance(kind, List) else blank if isinstance(kind, dict) else 0 if kind != TEXT else ""
        for column, kind in EXAMPLE_COLUMNS[task_type].items()
    }


def names_of(feature, values):
    """Class ids -> class names (labels are mapped by name, never by position); -1, the hub's "no label", -> None."""
    if isinstance(feature, ClassLabel):
        return [None if value is None or value < 0 else feature.names[value] for value in values]
    inner = getattr(feature, "feature", None)
    if isinstance(inner, ClassLabel):
        return [row and [None if value is None or value < 0 else inner.names[value] for value in row] for row in values]
    return values


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
        if split == "train" and -1 in example["answers"]["answer_start"]:
            raise DropRow("answer not found in its context")


def _refuse_duplicate_ids(examples, where):
    """Answers are kept by question id: of two questions with one id, one would be scored with the other's answer."""
    if "id" not in examples.column_names or "side" in examples.column_names:
        return
    repeated = [name for name, count in Counter(examples["id"][:]).items() if count > 1]
    if repeated:
        raise InputError(f"{where}: {len(repeated)} ids occur more than once, {repeated[0]!r} first.")


def _refuse_placeholders(examples, where):
    """XTREME ships test files with one constant label: a score against them would mean nothing."""
    column = next((name for name in ("label", "tags", "answers") if name in examples.column_names), None)
    if column is None or len(examples) <= FEW:
        return
    seen = set()
    for value in examples[column]:
        seen.update(value["text"] if isinstance(value, dict) else value if isinstance(value, list) else [value])
        if len(seen) > 1:
            return
    raise InputError(f"{where}: every label is {''.join(map(repr, seen)) or 'empty'}, a placeholder. There is nothing to score against.")


def fingerprint(*parts) -> str:
    """A short stable key of its parts' text, for the cache of `datasets` (its own hash does not see changes in imported code)."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:32]


def code_of(function: Callable) -> str:
    """The source text of the module that defines `function` and of those beside it: they use each other."""
    return _code_in(Path(inspect.getfile(function)).parent)


@lru_cache
def _code_in(folder: Path) -> str:
    return "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py")))
