"""ANLI+ (Nie et al., 2020): Adversarial NLI rounds 1-3 together with SNLI and MNLI, with one head.

https://huggingface.co/datasets/facebook/anli (CC BY-NC 4.0), stanfordnlp/snli (CC BY-SA 4.0), nyu-mll/glue (OANC and others).
The training data are all three datasets, 162,865 + 549,367 + 392,702 = 1,104,934 examples. SNLI's 785 pairs without a majority label (-1 on
the hub) are dropped and counted; no other row is dropped. jiant draws the five sets in proportion to their size. Shuffling them together
has the same effect. The dev set is that of ANLI's three rounds together (3,200 examples); jiant compares models by the mean of five dev
scores, one for each set.
"""

from metrics import accuracy
from task_adapters.base import DropRow, Recipe, Source, Task
from task_adapters.mnli import NLI_LABELS, NLI_NUMBERS

ROUNDS = ("r1", "r2", "r3")


def to_example(row: dict) -> dict:
    if row["label"] is None:
        raise DropRow("no gold label")
    return {"text_a": row["premise"], "text_b": row["hypothesis"], "label": row["label"]}


TASK = Task(
    name="anli",
    phase="intermediate",
    task_type="classification",
    sources=(
        Source(
            "facebook/anli",
            config="plain_text",
            splits={"train": tuple(f"train_{r}" for r in ROUNDS), "dev": tuple(f"dev_{r}" for r in ROUNDS)},
            rows={"train": 162_865, "dev": 3_200},
            and_then=(
                Source("stanfordnlp/snli", config="plain_text", splits={"train": "train"}, rows={"train": 550_152}),
                Source("nyu-mll/glue", config="mnli", splits={"train": "train"}, rows={"train": 392_702}),
            ),
        ),
    ),
    to_example=to_example,
    labels=NLI_LABELS,
    class_names=NLI_NUMBERS,
    metric=accuracy,
    dev_metric="accuracy",
    recipes={"jiant": Recipe()},
    may_be_null=("label",),
    licence="CC BY-NC 4.0, CC BY-SA 4.0, OANC",
)
