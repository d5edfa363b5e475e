"""SQuAD v2.0 (Rajpurkar et al., 2018): as v1.1, but half the dev questions have no answer in their context.

https://huggingface.co/datasets/rajpurkar/squad_v2, CC BY-SA 4.0. There is no `is_impossible` column: an unanswerable question has empty
answer lists. The model learns "no answer" as the span of the token <s>. Results have the scores at the given threshold and at the best one.
"""

from metrics import squad_v2_scores
from task_adapters.base import Recipe, Source, Task
from task_adapters.squad import to_example

TASK = Task(
    name="squad_v2",
    phase="intermediate",
    task_type="span_qa",
    sources=(
        Source(
            "rajpurkar/squad_v2",
            config="squad_v2",
            splits={"train": "train", "dev": "validation"},
            rows={"train": 130_319, "dev": 11_873},
        ),
    ),
    to_example=to_example,
    metric=squad_v2_scores,
    dev_metric="f1",
    recipes={"jiant": Recipe()},
    licence="CC BY-SA 4.0",
    may_have_no_answer=True,
)
