"""Cosmos QA (Huang et al., 2019): questions about what a short everyday story implies, with four answers to choose from.

https://huggingface.co/datasets/allenai/cosmos_qa, CC BY 4.0. The hub's main branch was a script when it was last checked. The hub's
converted copy is therefore tried first, then main, then the mirror Samsoup/cosmos_qa. Test labels are -1 and not used. The paper counts
25,588 training questions, but fewer were released.
"""

from metrics import accuracy
from task_adapters.base import CONVERTED, Recipe, Source, Task

SPLITS = {"train": "train", "dev": "validation"}
ROWS = {"train": 25_262, "dev": 2_985}


def to_example(row: dict) -> dict:
    return {
        "context": row["context"],
        "question": row["question"],
        "choices": [row[f"answer{number}"] for number in range(4)],
        "label": row["label"],
    }


TASK = Task(
    name="cosmosqa",
    phase="intermediate",
    task_type="multiple_choice",
    sources=(
        Source("allenai/cosmos_qa", splits=SPLITS, rows=ROWS, revision=CONVERTED),
        Source("allenai/cosmos_qa", splits=SPLITS, rows=ROWS),
        Source("Samsoup/cosmos_qa", splits=SPLITS, rows=ROWS),
    ),
    to_example=to_example,
    metric=accuracy,
    dev_metric="accuracy",
    choices=4,
    recipes={"jiant": Recipe()},
    licence="CC BY 4.0",
)
