"""The description of a dataset: `Task`, its `Source`s and its recipes.

A row has the columns of the hub's dataset. An example has the fixed text columns of its task type (`EXAMPLE_COLUMNS`).
This module uses no tokenizer and no model, and does not import torch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, List, Value, concatenate_datasets

from task_adapters.content import code_of, fingerprint
from task_adapters.errors import Absent, DropRow, InputError, nearest
from task_adapters.hub import files_in_folder, rows_from_folder, rows_from_hub

__all__ = ["CONVERTED", "EXAMPLE_COLUMNS", "TEXT", "Absent", "DropRow", "InputError", "Recipe", "RetrievalRecipe", "Source", "Task",
           "code_of", "fingerprint", "nearest"]  # fmt: skip

TEXT = Value("string")
EXAMPLE_COLUMNS = {
    "classification": Features({"text_a": TEXT, "text_b": TEXT, "label": TEXT}),
    "multiple_choice": Features({"context": TEXT, "question": TEXT, "choices": List(TEXT), "label": Value("int32")}),
    "span_qa": Features(
        {"id": TEXT, "context": TEXT, "question": TEXT, "answers": {"text": List(TEXT), "answer_start": List(Value("int32"))}}
    ),
    "tagging": Features({"words": List(TEXT), "tags": List(TEXT)}),
    "retrieval": Features({"source": TEXT, "target": TEXT}),  # A pair of translations. The target is English.
    "mining": Features({"side": TEXT, "id": TEXT, "text": TEXT, "matches": List(TEXT)}),  # side: source or target; matches: gold ids
}
EXAMPLE_COLUMNS["ranking"] = EXAMPLE_COLUMNS["mining"]  # side source: a question; matches: its right candidates, which are side target
EXAMPLE_COLUMNS["pairs"] = Features({"query": TEXT, "candidate": TEXT})  # a question and the text that answers it
PHASES = ("intermediate", "target", "retrieval")
CONVERTED = "refs/convert/parquet"


@dataclass(frozen=True)
class Source:
    """One dataset on the hub, or a folder with the same id and layout under `--data_dir`.

    config      the hub's configuration; `{language}` and `{name}` are replaced.
    splits      our split ("train", "dev", "test") -> the hub's split, or several that are read as one.
    names       language code -> the hub's spelling of the language, used as `{name}`.
    rows        expected number of rows per split, before rows are dropped; a dict per language if the numbers differ.
    keep        (row, language) -> bool, for a configuration with several languages. `rows` counts the rows that `keep` accepts.
    revision    a branch or commit; None for main. `CONVERTED` is the hub's own parquet copy of a dataset that is a script on main.
    file_names  the hub's split -> other names of its file under `--data_dir`, as the dataset's authors published it.
    and_then    further sources. Their rows follow the rows of this source, in one dataset. A source without the split is left out.
    pinned      what the user asks for in place of `revision` (--data_revision); files are found as for `revision`.
    languages   the only languages that this source serves, which no other one then serves; () where it serves all others of the task.
    """

    hub_id: str
    config: str = "default"
    splits: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, Any] = field(default_factory=dict)
    keep: Callable[[dict, str], bool] | None = None
    revision: str | None = None
    file_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    and_then: tuple["Source", ...] = ()
    languages: tuple[str, ...] = ()
    pinned: str | None = None
    is_own = False  # True for a file of the user's (`own_files.OwnFile`)

    def parts(self, split: str) -> list["Source"]:
        """Returns all sources whose rows make up one split, in order."""
        return [source for source in (self, *self.and_then) if split in source.splits]

    def config_for(self, language: str) -> str:
        return self.config.format(language=language, name=self.names.get(language, language))

    def rows_expected(self, split: str, language: str) -> int | None:
        rows = self.rows.get(split)
        return rows.get(language) if isinstance(rows, Mapping) else rows

    def publishes(self, split: str, language: str) -> bool:
        """Returns whether the source holds a split of a language. If `rows` does not mention the split, the answer is yes."""
        serves = not self.languages or language in self.languages
        return serves and split in self.splits and (split not in self.rows or self.rows_expected(split, language) is not None)

    def files(self, split: str, language: str, data_dir: str | None) -> list[Path]:
        """The files below --data_dir that hold one split of one language; [] where there are none, and without --data_dir."""
        if data_dir is None or split not in self.splits:
            return []
        config, names = self.config_for(language), self.splits[split]
        folder, names = Path(data_dir) / self.hub_id, (names,) if isinstance(names, str) else names
        return [path for name in names for path in files_in_folder(folder, config, name, self.file_names.get(name, ()))]

    def load(self, split: str, language: str, data_dir: str | None) -> tuple[Dataset, str | None]:
        """Returns (rows, revision). The revision is the hub commit, or None for files of unknown origin."""
        config, names = self.config_for(language), self.splits[split]
        parts = [self._load_split(config, name, data_dir) for name in ((names,) if isinstance(names, str) else names)]
        rows = [part for part, _ in parts]
        return (rows[0] if len(rows) == 1 else concatenate_datasets(rows)), parts[0][1]

    def _load_split(self, config, split, data_dir):
        if data_dir is None:
            return rows_from_hub(self.hub_id, config, split, self.revision, self.pinned)
        return rows_from_folder(Path(data_dir) / self.hub_id, config, split, self.file_names.get(split, ()))


@dataclass(frozen=True)
class Recipe:
    """Published training settings, as data. A setting that `TrainingArguments` has too has the same name here.

    selection             checkpoint selection. "best": the checkpoint with the best English dev score; "last": the final weights.
    max_selection_samples checkpoint selection uses this many examples, the first of the dev set (None: all of them).
    seed                  the seed of the published run if its authors name one, otherwise the default of `TrainingArguments`.
    """

    learning_rate: float = 1e-5
    num_train_epochs: float = 3
    effective_batch_size: int = 32
    max_seq_length: int = 256
    doc_stride: int = 128
    warmup_steps: float = 0.1  # A number below 1 is a share of all steps.
    weight_decay: float = 0.01
    adam_epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    eval_steps: int = 1000
    selection: str = "last"
    max_selection_samples: int | None = None
    seed: int = 42


@dataclass(frozen=True)
class DualRecipe(Recipe):
    """How a dual encoder is trained.

    pooling        "mean" of the last layer, its first token ("cls"), or "pooler": what the model makes of the first token.
    scale          what cosines are multiplied by; at the start, where is_scale_learned.
    negatives_among each question has the other candidates of so many questions as negatives; None: those of the whole step.
    lower_case     texts are lower-cased. XTREME-R's code did so for XLM-R too, whose vocabulary knows capitals.
    """

    pooling: str = "mean"
    scale: float = 20.0
    is_scale_learned: bool = True
    negatives_among: int | None = None
    lower_case: bool = False


@dataclass(frozen=True)
class RetrievalRecipe:
    """Which hidden state gives a sentence's vector.

    layer   0 is the embedding output, n the output of block n, "last" that of the model's last block.
    before  the intermediate task that the model must have been trained on, with this recipe: a stage of the target. "": none.
    """

    layer: int | str = 14
    pooling: str = "mean"
    max_seq_length: int = 512
    before: str = ""


@dataclass(frozen=True)
class Task:
    """One dataset of the collection: a frozen value, checked when it is made.

    phase         "intermediate", "target" or "retrieval".
    sources       tried in order. results.json says which one was used.
    labels        names in the order of the model's outputs (classification, tagging). Labels of rows are mapped by name. A tagging task
                  without `labels` takes them from its training examples (`labels_of`).
    train_on      the task that gives a target its English training and dev data; None for the task itself.
    to_example    row -> example, a pure function. It receives class labels as names (None if the hub says -1).
    metric        (gold, predicted, language) -> {name: 0..100}.
    dev_metric    the name of the metric's value by which checkpoints are compared.
    may_be_null   columns of rows that may be null. `to_example` handles null in them.
    choices       multiple choice: how many answers each question offers.
    sentences     classification: 2 for pairs, one of which may be empty; 1 for single sentences (`text_b` is then "").
    may_have_no_answer  span QA with unanswerable questions: predictions have a margin, and gold may be empty.
    dual          pairs: the recipe that a run trains with, which says how vectors are made; the script puts it there.
    xtreme_r      languages that XTREME-R adds to those of XTREME (`task_adapters.with_languages_of`).
    class_names   hub id -> the names of its class numbers, for exports of this data set that have numbers in place of names.
    label_piece   tagging: the tokens whose output gives the tag of a word (`task_types/tagging.py`).
    own           languages whose test data are the user's (`own_files.with_own_data`): no score of the benchmark is made with them.
    protocol      "nlu-evals" for a task as that code has it (`nlu_evals`), in place of XTREME-R's; "" for every other.
    searches_english  retrieval: foreign sentences look for the English one; False: English sentences look for the foreign one.
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
    sentences: int = 2
    may_have_no_answer: bool = False
    dual: DualRecipe | None = None
    xtreme_r: tuple[str, ...] = ()
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    label_piece: str = "first"
    own: tuple[str, ...] = ()
    protocol: str = ""
    searches_english: bool = False

    def __post_init__(self):
        for value, allowed in ((self.phase, PHASES), (self.task_type, EXAMPLE_COLUMNS)):
            if value not in allowed:
                raise ValueError(f"Task {self.name!r}: {value!r} is unknown. {nearest(value, allowed)}")
        for what, values in (("languages", self.languages), ("labels", self.labels)):
            if len(set(values)) != len(values):
                raise ValueError(f"Task {self.name!r} repeats one of its {what}: {values}")
        if self.task_type == "classification" and not self.labels:
            raise ValueError(f"Task {self.name!r} has no labels.")
        if (self.choices > 1) != (self.task_type == "multiple_choice"):
            raise ValueError(f"Task {self.name!r} is {self.task_type} with {self.choices} choices.")
        if not self.sources or not self.recipes:
            raise ValueError(f"Task {self.name!r} needs a source and a recipe.")

    @property
    def default_recipe(self) -> str:
        """The name of the recipe that a run takes without --recipe: jiant's where the task has one, otherwise its first."""
        return "jiant" if "jiant" in self.recipes else next(iter(self.recipes))

    def languages_with(self, split: str) -> tuple[str, ...]:
        """Returns the languages in which the task's own sources publish a split. `train_on` may give English training and dev data."""
        return tuple(language for language in self.languages if any(source.publishes(split, language) for source in self.sources))
