"""SQuAD v1.1 as pairs: a question and the whole paragraph that answers it, for a dual encoder as nlu-evals trains it.

https://huggingface.co/datasets/rajpurkar/squad, CC BY-SA 4.0. https://github.com/izhx/nlu-evals is what papers since 2024 call XTREME-R;
its retrieval is another task than XTREME-R's (`lareqa_paragraphs`). The oddity: questions about one paragraph are no negatives of each
other under recipe `jiant`; nlu-evals has them as negatives.
"""

from metrics import accuracy
from task_adapters.base import DualRecipe, Task
from task_adapters.squad import SQUAD_V1


def to_example(row: dict) -> dict:
    return {"query": row["question"].strip(), "candidate": row["context"]}


TASK = Task(
    name="squad_paragraphs",
    phase="intermediate",
    task_type="pairs",
    sources=(SQUAD_V1,),
    to_example=to_example,
    metric=accuracy,
    dev_metric="accuracy",
    recipes={
        "jiant": DualRecipe(learning_rate=2e-5),
        # scripts/train_squad_v1_retrieval.sh: batches of 16, the first token's vector, cosines times a fixed 20.
        "nlu-evals": DualRecipe(
            learning_rate=2e-5,
            effective_batch_size=16,
            warmup_steps=0,
            weight_decay=0,
            pooling="cls",
            negatives_among=16,
            is_scale_learned=False,
        ),  # fmt: skip
    },
    licence="CC BY-SA 4.0",
)
