"""CommonsenseQA (Talmor et al., 2019): a question without context, five answers to choose from.

https://huggingface.co/datasets/tau/commonsense_qa, MIT. The answer key is a letter, A to E. The test part has "" for answer keys and is not
used. The choices are one dict of two parallel lists.
"""

from metrics import accuracy
from task_adapters.base import Recipe, Source, Task


def to_example(row: dict) -> dict:
    letters = list(row["choices"]["label"])
    return {
        "context": "",
        "question": row["question"],
        "choices": list(row["choices"]["text"]),
        "label": letters.index(row["answerKey"]) if row["answerKey"] in letters else -1,
    }


TASK = Task(
    name="commonsenseqa",
    phase="intermediate",
    task_type="multiple_choice",
    sources=(
        Source(
            "tau/commonsense_qa",
            splits={"train": "train", "dev": "validation"},
            rows={"train": 9_741, "dev": 1_221},
        ),
    ),
    to_example=to_example,
    metric=accuracy,
    dev_metric="accuracy",
    choices=5,
    recipes={"jiant": Recipe()},
    licence="MIT",
)
