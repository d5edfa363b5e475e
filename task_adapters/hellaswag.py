"""HellaSwag (Zellers et al., 2019): which of four endings continues the story?

https://huggingface.co/datasets/Rowan/hellaswag, MIT. Labels are strings, "0" to "3". The test part has "" for labels and is not used.
The hub's main branch was a script for a long time, and the script's source on GitHub is blocked. If main does not load, the hub's converted
copy is tried, and then a pull request with the same files. As in jiant, every choice begins with `ctx_b`, the start of the second sentence.
"""

from metrics import accuracy
from task_adapters.base import CONVERTED, Recipe, Source, Task

LABELS = ("0", "1", "2", "3")
SPLITS = {"train": "train", "dev": "validation"}
ROWS = {"train": 39_905, "dev": 10_042}


def to_example(row: dict) -> dict:
    return {
        "context": row["ctx_a"],
        "question": "",
        "choices": [f"{row['ctx_b']} {ending}".strip() for ending in row["endings"]],
        "label": LABELS.index(str(row["label"])) if str(row["label"]) in LABELS else -1,
    }


TASK = Task(
    name="hellaswag",
    phase="intermediate",
    task_type="multiple_choice",
    sources=tuple(Source("Rowan/hellaswag", splits=SPLITS, rows=ROWS, revision=revision) for revision in (None, CONVERTED, "refs/pr/7")),
    to_example=to_example,
    metric=accuracy,
    dev_metric="accuracy",
    choices=4,
    recipes={"jiant": Recipe()},
    licence="MIT",
)
