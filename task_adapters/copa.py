"""COPA (Roemmele et al., 2011): which of two sentences is the cause, or the effect, of a third. English; SuperGLUE's split.

https://huggingface.co/datasets/aps/super_glue, config copa; licence not stated there. It is the second stage of XCOPA's English training,
and an intermediate task by itself. The question is put as XTREME-R puts it. Labels are the number of the choice, or its column's name. 400
rows are 13 steps of 32: beside jiant's settings the recipe has 10 epochs, our choice.
"""

from metrics import accuracy
from task_adapters.base import Recipe, Source, Task
from task_adapters.siqa import NLU_EVALS_CHOICE, XTREME_R_CHOICE

CHOICES = ("choice1", "choice2")


def to_example(row: dict) -> dict:
    label = row["label"]
    return {
        "context": row["premise"],
        "question": f"What was the {row['question']}?",  # cause or effect: English words in every language of XCOPA
        "choices": [row[name] for name in CHOICES],
        "label": CHOICES.index(label) if label in CHOICES else int(label),
    }


TASK = Task(
    name="copa",
    phase="intermediate",
    task_type="multiple_choice",
    sources=(Source("aps/super_glue", config="copa", splits={"train": "train", "dev": "validation"}, rows={"train": 400, "dev": 100}),),
    to_example=to_example,
    metric=accuracy,
    dev_metric="accuracy",
    choices=2,
    recipes={"jiant": Recipe(num_train_epochs=10), "xtreme-r": XTREME_R_CHOICE, "nlu-evals": NLU_EVALS_CHOICE},
    licence="not stated",
)
