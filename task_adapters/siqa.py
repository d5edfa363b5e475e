"""Social IQa (Sap et al., 2019): what people in a short scene want, feel or do next; three answers to choose from.

https://huggingface.co/datasets/allenai/social_i_qa; licence not stated there. Its main branch is a script: the hub's converted copy is
tried first, then the equal mirror lighteval/siqa. XTREME-R trains on it before COPA, for XCOPA. Labels are the texts 1, 2 and 3; there is
no test part.
"""

from dataclasses import replace

from metrics import accuracy
from task_adapters.base import CONVERTED, Recipe, Source, Task

SPLITS = {"train": "train", "dev": "validation"}
ROWS = {"train": 33_410, "dev": 1_954}
# XTREME-R's settings for both stages of XCOPA, https://github.com/google-research/xtreme, scripts/train_xcopa.sh: XLM-R Large's
# learning rate (2e-5 for all other models), the last weights.
XTREME_R_CHOICE = Recipe(learning_rate=3e-5, num_train_epochs=5, max_seq_length=128, warmup_steps=0, weight_decay=0)

# nlu-evals' for both stages and every model, https://github.com/izhx/nlu-evals, scripts/train_siqa.sh and run_copa.sh.
NLU_EVALS_CHOICE = replace(XTREME_R_CHOICE, learning_rate=2e-5)


def to_example(row: dict) -> dict:
    return {
        "context": row["context"],
        "question": row["question"],
        "choices": [row[f"answer{letter}"] for letter in "ABC"],
        "label": int(row["label"]) - 1,
    }


TASK = Task(
    name="siqa",
    phase="intermediate",
    task_type="multiple_choice",
    sources=(
        Source("allenai/social_i_qa", splits=SPLITS, rows=ROWS, revision=CONVERTED),
        Source("lighteval/siqa", splits=SPLITS, rows=ROWS),
    ),
    to_example=to_example,
    metric=accuracy,
    dev_metric="accuracy",
    choices=3,
    recipes={"jiant": Recipe(), "xtreme-r": XTREME_R_CHOICE, "nlu-evals": NLU_EVALS_CHOICE},
    licence="not stated",
)
