"""QQP (Iyer et al., 2017): are two questions from Quora the same question?

https://huggingface.co/datasets/nyu-mll/glue, config qqp; licence: Quora's terms, non-commercial use. The dev set is the hub's `validation`.
The hub's test labels are hidden (-1). Examples with an empty question are kept. The scores are accuracy and the F1 of "duplicate". If
checkpoints are compared, they are compared by F1; jiant compares the mean of the two scores.
"""

from metrics import accuracy_and_f1
from task_adapters.base import Recipe, Source, Task


def to_example(row: dict) -> dict:
    return {"text_a": row["question1"] or "", "text_b": row["question2"] or "", "label": row["label"]}


TASK = Task(
    name="qqp",
    phase="intermediate",
    task_type="classification",
    sources=(
        Source(
            "nyu-mll/glue",
            config="qqp",
            splits={"train": "train", "dev": "validation"},
            rows={"train": 363_846, "dev": 40_430},
        ),
    ),
    to_example=to_example,
    labels=("not_duplicate", "duplicate"),
    metric=accuracy_and_f1,
    dev_metric="f1",
    recipes={"jiant": Recipe()},
    may_be_null=("question1", "question2"),
    licence="Quora, non-commercial",
)
