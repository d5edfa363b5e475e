"""MNLI (Williams et al., 2018): does the premise entail, contradict or leave open the hypothesis?

https://huggingface.co/datasets/nyu-mll/glue, config mnli; licence: mostly OANC, see the dataset. XNLI trains on this dataset too.
The dev set is the hub's validation_matched. The hub's test labels are hidden (-1). The hub's order of labels is entailment, neutral,
contradiction. jiant and XTREME sort them by name. Labels are therefore mapped by name.
"""

from metrics import accuracy
from task_adapters.base import Recipe, Source, Task

NLI_LABELS = ("contradiction", "entailment", "neutral")


def to_example(row: dict) -> dict:
    return {"text_a": row["premise"], "text_b": row["hypothesis"], "label": row["label"]}


TASK = Task(
    name="mnli",
    phase="intermediate",
    task_type="classification",
    sources=(
        Source(
            "nyu-mll/glue",
            config="mnli",
            splits={"train": "train", "dev": "validation_matched"},
            rows={"train": 392_702, "dev": 9_815},
        ),
    ),
    to_example=to_example,
    labels=NLI_LABELS,
    metric=accuracy,
    dev_metric="accuracy",
    recipes={"jiant": Recipe()},
    licence="OANC and others",
)
