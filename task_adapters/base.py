"""What a dataset says about itself (`Task`), and how its rows become examples (`load_examples`).

A row is what the hub holds; an example is text in the fixed columns of its task type (`EXAMPLE_COLUMNS`).
Nothing here knows a tokenizer or a model, and nothing here imports torch.
"""

import difflib
import hashlib
import inspect
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import ClassLabel, Dataset, Features, List, Value, concatenate_datasets, load_dataset
from datasets.exceptions import DatasetNotFoundError

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


class InputError(ValueError):
    """The user's mistake: the message is one line that says what is wrong, with which value, and what would be right."""


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
    keep     (row, language) -> bool, for configurations that hold several languages.
    """

    hub_id: str
    config: str = "default"
    splits: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, Any] = field(default_factory=dict)
    keep: Callable[[dict, str], bool] | None = None
    revision: str | None = None

    def config_for(self, language: str) -> str:
        return self.config.format(language=language, name=self.names.get(language, language))

    def rows_expected(self, split: str, language: str) -> int | None:
        rows = self.rows.get(split)
        return rows.get(language) if isinstance(rows, Mapping) else rows

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
            rows = load_dataset(self.hub_id, config, split=split, revision=self.revision)
        except (DatasetNotFoundError, ValueError, FileNotFoundError, ConnectionError, RuntimeError) as error:
            offline = " HF_HUB_OFFLINE is set: only the cache was searched." if os.environ.get("HF_HUB_OFFLINE") else ""
            raise InputError(
                f"Cannot load split {split!r} of {self.hub_id} ({config}): {_one_line(error)}{offline}"
                " A folder with the same files can be given with --data_dir."
            ) from error
        # datasets names the cache folder after the commit that it downloaded.
        return rows, Path(rows.cache_files[0]["filename"]).parent.name if rows.cache_files else None


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:300] + "..."


def _load_local(folder: Path, config: str, split: str) -> tuple[Dataset, str | None]:
    """Reads `folder` as `hf download --repo-type dataset ID --local-dir folder` leaves it (parquet, jsonl, json, csv or tsv)."""
    if not folder.is_dir():
        raise InputError(f"{folder} does not exist: --data_dir must hold a folder named by hub id, DIR/{folder.parent.name}/{folder.name}.")
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
            except Exception as error:  # the readers raise many kinds for a broken file; it is re-raised, as one line that names the file
                raise InputError(f"Cannot read {files[0]}: {_one_line(error.__cause__ or error)}") from error
            return rows, _downloaded_commit(folder, files[0])
    raise InputError(
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
    labels        names in the order of the model's outputs (classification, tagging). Rows are mapped by name.
    train_on      the task that gives a target its English training and dev data (itself, where None).
    to_example    row -> example, pure; class labels arrive as names (None where the hub says -1).
    metric        (gold, predicted, language) -> {name: 0..100}.
    dev_metric    the name among the metric's values by which checkpoints are compared.
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

    def __post_init__(self):
        for value, known in ((self.phase, PHASES), (self.task_type, EXAMPLE_COLUMNS)):
            if value not in known:
                raise ValueError(f"Task {self.name!r}: {value!r} is unknown. {nearest(value, known)}")
        for what, values in (("languages", self.languages), ("labels", self.labels)):
            if len(set(values)) != len(values):
                raise ValueError(f"Task {self.name!r} repeats one of its {what}: {values}")
        if self.task_type in ("classification", "tagging") and not self.labels and self.name != "ccg":
            raise ValueError(f"Task {self.name!r} has no labels.")
        if not self.sources or "jiant" not in self.recipes:
            raise ValueError(f"Task {self.name!r} needs a source and a recipe named 'jiant'.")


def load_examples(
    task: Task, split: str, language: str = "en", data_dir: str | None = None, max_samples: int | None = None, seed: int | None = None
) -> tuple[Dataset, dict]:
    """Loads one split of one language as examples.

    max_samples  keep this many: drawn with `seed`, or the first ones where `seed` is None.
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
    failures = []
    for source in sources:
        try:
            rows, revision = source.load(split, language, data_dir)
            break
        except InputError as error:
            failures.append(str(error))
    else:
        raise InputError(" | ".join(failures))

    where = f"{source.hub_id} ({source.config_for(language)}, {split})"
    if len(rows) == 0:
        raise InputError(f"{where} holds no rows.")
    examples, dropped = _to_examples(rows, task, source, split, language, where)
    if len(examples) == 0:
        raise InputError(f"{where} holds no usable row for {language!r}: {dict(dropped)}.")
    expected, kept = source.rows_expected(split, language), len(examples)
    if split == "test":
        _refuse_placeholders(examples, where)
    if max_samples is not None and max_samples < kept:
        examples = (examples if seed is None else examples.shuffle(seed=seed)).select(range(max_samples))
    return examples, {
        "task": task.name,
        "split": split,
        "language": language,
        "hub_id": source.hub_id,
        "config": source.config_for(language),
        "revision": revision,
        "data_dir": data_dir,
        "rows": len(rows),
        "rows_expected": expected,
        "examples": len(examples),
        "dropped": dict(dropped),
    }


def _to_examples(rows, task, source, split, language, where):
    """Rows -> checked examples, through the cache of `datasets`: the key names the rows, the code and the language."""
    columns = EXAMPLE_COLUMNS[task.task_type]
    arguments = {"features": rows.features, "task": task, "source": source, "split": split, "language": language, "where": where}
    mapped = rows.map(
        _convert_batch,
        batched=True,
        with_indices=True,
        fn_kwargs=arguments,
        remove_columns=rows.column_names,
        features=Features({**columns, "dropped": TEXT}),
        desc=f"{task.name} {language} {split}",
        new_fingerprint=fingerprint(rows._fingerprint, task.name, split, language, code_of(task.to_example), code_of(load_examples)),
    )
    dropped = Counter(reason for reason in mapped["dropped"] if reason)
    if dropped:
        mapped = mapped.select([i for i, reason in enumerate(mapped["dropped"]) if not reason])
        dropped.pop(NOT_THIS_LANGUAGE, None)
    return mapped.remove_columns("dropped"), dropped


NOT_THIS_LANGUAGE = "another language"


def _convert_batch(batch, indices, features, task, source, split, language, where):
    names = tuple(batch)
    blank = {"text": [], "answer_start": []}
    empty = {
        column: [] if isinstance(kind, List) else blank if isinstance(kind, dict) else 0 if kind != TEXT else ""
        for column, kind in EXAMPLE_COLUMNS[task.task_type].items()
    }
    decoded = {name: _names_of(features[name], batch[name]) for name in names}
    examples = []
    for position, index in enumerate(indices):
        row = {name: decoded[name][position] for name in names}
        if source.keep is not None and not source.keep(row, language):
            examples.append({**empty, "dropped": NOT_THIS_LANGUAGE})
            continue
        try:
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


def _names_of(feature, values):
    """Class ids -> class names (labels are mapped by name, never by position); -1, the hub's "no label", -> None."""
    if isinstance(feature, ClassLabel):
        return [None if value is None or value < 0 else feature.names[value] for value in values]
    inner = getattr(feature, "feature", None)
    if isinstance(inner, ClassLabel):
        return [[inner.names[value] if value >= 0 else None for value in row] for row in values]
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
        if split == "train" and -1 in example["answers"]["answer_start"]:
            raise DropRow("answer not found in its context")


def _refuse_placeholders(examples, where):
    """XTREME ships test files with one constant label: a score against them would mean nothing."""
    column = next((name for name in ("label", "tags") if name in examples.column_names), None)
    if column is None or len(examples) <= 20:
        return
    seen = set()
    for value in examples[column]:
        seen.update(value if isinstance(value, list) else [value])
        if len(seen) > 1:
            return
    raise InputError(f"{where}: every label is {seen.pop()!r}, a placeholder. There is nothing to score against.")


def fingerprint(*parts) -> str:
    """A short stable key of its parts' text, for the cache of `datasets` (its own hash does not see changes in imported code)."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:32]


def code_of(function: Callable) -> str:
    """The source text of the module that defines `function`."""
    return inspect.getsource(inspect.getmodule(function))
