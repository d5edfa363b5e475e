"""Mewsli-X (Ruder et al., 2021): mentions in eleven languages look for their entity among a million descriptions in fifty languages.

https://huggingface.co/datasets/izhx/mewsli-x, Apache 2.0, release 20220518_6; part of XTREME-R, whose paper used an earlier release: its
scores are not comparable. A mention is its name, and the sentence around it with the name in braces; a candidate is the beginning of an
entity's Wikipedia page. --data_dir: DIR/izhx/mewsli-x/wikinews_mentions/de/test.jsonl and candidate_entities.jsonl, unpacked. The oddity:
candidates are one set for all languages, a split of their own; mentions without an `example_id` are numbered.
"""

from dataclasses import replace
from pathlib import Path

from datasets import Dataset

from metrics import mean_reciprocal_rank
from task_adapters.base import EXAMPLE_COLUMNS, InputError, Source, Task
from task_adapters.files import columns_of
from task_adapters.hub import rows_from_folder
from task_adapters.lareqa import XTREME_R_RANKING, RankingRecipe, to_example

MENTIONS = {"ar": 1_501, "de": 1_551, "en": 1_490, "es": 1_552, "fa": 458, "ja": 1_519, "pl": 1_562, "ro": 672, "ta": 1_567, "tr": 1_215,
            "uk": 1_537}  # fmt: skip


class MentionsAndEntities(Source):
    """Mentions by language (split "test"), and the entities (split "candidates") of a configuration of their own."""

    def load(self, split: str, language: str, data_dir: str | None) -> tuple[Dataset, str | None]:
        """-> (a row per mention or per entity, revision). InputError for a row without its text or its entity."""
        is_mention = split == "test"
        if data_dir is not None:
            folder = Path(data_dir) / self.hub_id
            places = (folder / "wikinews_mentions", language, "test") if is_mention else (folder, "default", "candidate_entities")
            rows, revision = rows_from_folder(*places)
        else:
            rows, revision = self._load_split(language if is_mention else "candidate_entities", "test", None)
        where = f"{self.hub_id} ({split}, {language})"
        convert = mention_rows if is_mention else entity_rows
        return rows.map(
            convert, batched=True, with_indices=True, remove_columns=rows.column_names, features=EXAMPLE_COLUMNS["ranking"],
            fn_kwargs={"where": where, "language": language},
        ), revision  # fmt: skip


def mention_rows(batch: dict, indices: list[int], where: str, language: str) -> dict[str, list]:
    batch = columns_of(batch)
    _check(batch, indices, "mention", where)
    names = batch["example_id"] if "example_id" in batch else [f"{language}-{index}" for index in indices]
    count = len(indices)
    return {"side": ["source"] * count, "id": names, "text": batch["mention"], "matches": [[name] for name in batch["entity_id"]]}


def entity_rows(batch: dict, indices: list[int], where: str, language: str) -> dict[str, list]:
    batch = columns_of(batch)
    _check(batch, indices, "description", where)
    count = len(indices)
    return {"side": ["target"] * count, "id": batch["entity_id"], "text": batch["description"], "matches": [[]] * count}


def _check(batch, indices, column, where):
    for name in (column, "entity_id"):
        if name not in batch:
            raise InputError(f"{where} has no column {name!r}. It has: {', '.join(batch)}.")
        for index, value in zip(indices, batch[name]):
            if not value or not value.strip():
                raise InputError(f"{where}, row {index}: {name} is empty.")


TASK = Task(
    name="mewsli_x",
    phase="retrieval",
    task_type="ranking",
    sources=(
        MentionsAndEntities(
            "izhx/mewsli-x",
            config="{language}",
            splits={"test": "test", "candidates": "test"},
            rows={"test": MENTIONS, "candidates": 1_003_893},
        ),
    ),
    to_example=to_example,
    metric=mean_reciprocal_rank,
    dev_metric="mrr20",
    languages=tuple(MENTIONS),
    recipes={
        "jiant": RankingRecipe(query_length=64, max_seq_length=64),
        "xtreme-r": replace(XTREME_R_RANKING, query_length=64, max_seq_length=64, before="wikipedia_mentions"),
    },
    licence="Apache 2.0",
)
