"""XCOPA (Ponti et al., 2020): COPA's development and test questions translated into eleven languages; there is no English.

https://huggingface.co/datasets/cambridgeltl/xcopa, CC BY 4.0. Part of XTREME-R. English training has two stages: Social IQa, then, from
that checkpoint and with its head, COPA. A recipe names the first one (`before`): `run_target.py` trains both. Recipe `copa` trains on COPA
alone.
"""

from dataclasses import asdict, dataclass

from metrics import accuracy
from task_adapters.base import Recipe, Source, Task
from task_adapters.copa import TASK as COPA
from task_adapters.copa import to_example


@dataclass(frozen=True)
class StagedRecipe(Recipe):
    """before: the intermediate task that is trained first, with its own recipe of the same name; its head is kept."""

    before: str = ""


TASK = Task(
    name="xcopa",
    phase="target",
    task_type="multiple_choice",
    sources=(
        Source("cambridgeltl/xcopa", config="{language}", splits={"dev": "validation", "test": "test"}, rows={"dev": 100, "test": 500}),
    ),
    to_example=to_example,
    metric=accuracy,
    dev_metric="accuracy",
    languages=("et", "ht", "id", "it", "qu", "sw", "ta", "th", "tr", "vi", "zh"),
    train_on="copa",
    choices=2,
    recipes={
        **{name: StagedRecipe(**asdict(COPA.recipes[name]), before="siqa") for name in ("jiant", "xtreme-r")},
        "copa": COPA.recipes["jiant"],
    },
    licence="CC BY 4.0",
)
