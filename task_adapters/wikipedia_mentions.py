"""Mewsli-X's training data: English Wikipedia's mentions of entities, each with its entity's description, for a dual encoder.

https://huggingface.co/datasets/izhx/mewsli-x, configuration wikipedia_pairs, Apache 2.0. Texts are put as Mewsli-X's mentions and
candidates are. --data_dir: DIR/izhx/mewsli-x/wikipedia_pairs/train.jsonl and dev.jsonl, unpacked. The oddity: many mentions are of one
entity; they are no negatives of each other.
"""

from metrics import accuracy
from task_adapters.base import DropRow, DualRecipe, Source, Task


def to_example(row: dict) -> dict:
    if not row["mention"].strip() or not row["entity"].strip():
        raise DropRow("an empty text")
    return {"query": row["mention"], "candidate": row["entity"]}


TASK = Task(
    name="wikipedia_mentions",
    phase="intermediate",
    task_type="pairs",
    sources=(
        Source(
            "izhx/mewsli-x",
            config="wikipedia_pairs",
            splits={"train": "train", "dev": "validation"},
            rows={"train": 167_719, "dev": 14_051},
            file_names={"validation": ("dev",)},  # the repository's own name
        ),
    ),
    to_example=to_example,
    metric=accuracy,
    dev_metric="accuracy",
    recipes={
        "jiant": DualRecipe(learning_rate=2e-5, num_train_epochs=2, max_seq_length=64),
        # https://github.com/google-research/xtreme, scripts/train_mewslix.sh, XLM-R Large: 8 mentions at a time, accumulated to 32.
        "xtreme-r": DualRecipe(
            num_train_epochs=2,
            max_seq_length=64,
            warmup_steps=0,
            weight_decay=0,
            pooling="pooler",
            scale=100.0,
            negatives_among=8,
            lower_case=True,
        ),  # fmt: skip
        # https://github.com/izhx/nlu-evals, scripts/run_mewslix.sh: batches of 64, the first token's vector, cosines times a fixed 20.
        "nlu-evals": DualRecipe(
            learning_rate=2e-5,
            num_train_epochs=2,
            effective_batch_size=64,
            max_seq_length=64,
            warmup_steps=0,
            weight_decay=0,
            pooling="cls",
            negatives_among=64,
            is_scale_learned=False,
        ),  # fmt: skip
    },
    licence="Apache 2.0",
)
