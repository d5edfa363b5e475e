"""MLQA (Lewis et al., 2020): SQuAD-like questions in seven languages, with context and question in the same language.

https://huggingface.co/datasets/google/xtreme, configs MLQA.<context language>.<question language>; CC BY-SA 3.0. The English training data
are SQuAD v1.1. Their machine translations (MLQA's translate-train) are in facebook/mlqa. Its main branch was a script when it was last
checked: the pull request with parquet files is tried, then the hub's converted copy. Contexts are stripped but have the old values of
`answer_start`. Scores compare texts, so this does not change them. As in XTREME the test part is scored; jiant's validation figures are
those of the dev part. The metric is MLQA's own: it removes articles of the answer's language and splits Chinese into characters.
"""

from dataclasses import replace

from metrics import mlqa_scores
from task_adapters.base import CONVERTED, Source, Task
from task_adapters.squad import XTREME_QA, to_example
from task_adapters.xquad import JIANT_QA
from task_adapters.xtreme_download import download, read_questions

TEST_ROWS = {"ar": 5_335, "de": 4_517, "en": 11_590, "es": 5_253, "hi": 4_918, "vi": 5_495, "zh": 5_137}
DEV_ROWS = {"ar": 517, "de": 512, "en": 1_148, "es": 500, "hi": 507, "vi": 511, "zh": 504}
TRANSLATED_ROWS = {"ar": 78_058, "de": 80_069, "es": 81_810, "hi": 82_451, "vi": 84_816, "zh": 76_285}


def asked_in(task: Task, language: str) -> Task:
    """The task with its test questions in one language, whatever the language of the context: generalised transfer, G-XLT."""
    source = replace(task.sources[0], config=f"MLQA.{{language}}.{language}", splits={"test": "test"}, rows={})
    return replace(task, sources=(source,))


HUB = Source(
    "google/xtreme",
    config="MLQA.{language}.{language}",
    splits={"dev": "validation", "test": "test"},
    rows={"dev": DEV_ROWS, "test": TEST_ROWS},
)
XTREMES_FILES = {split: f"MLQA_V1/{split}/{split}-context-{{language}}-question-{{language}}.json" for split in HUB.splits}

TASK = Task(
    name="mlqa",
    phase="target",
    task_type="span_qa",
    sources=(
        HUB,
        *(
            Source(
                "facebook/mlqa",
                config="mlqa-translate-train.{language}",
                splits={"train": "train"},
                rows={"train": TRANSLATED_ROWS},
                revision=revision,
            )
            for revision in ("refs/pr/5", CONVERTED)
        ),
        download("mlqa", XTREMES_FILES, read_questions, labelled=HUB),
    ),
    to_example=to_example,
    metric=mlqa_scores,
    dev_metric="f1",
    languages=tuple(TEST_ROWS),
    train_on="squad_v1",
    recipes={"jiant": JIANT_QA, "xtreme": XTREME_QA},
    licence="CC BY-SA 3.0",
)
