"""XQuAD (Artetxe et al., 2020): SQuAD v1.1 development questions translated into ten languages.

https://huggingface.co/datasets/google/xquad, CC BY-SA 4.0. Test only: English training data is SQuAD v1.1. The hub's contexts
are stripped and some `answer_start` are off by what was stripped (zh 100 of 1,190); scoring is by text. XTREME-R adds Romanian.
"""

from metrics import squad_scores
from task_adapters.base import Recipe, Source, Task
from task_adapters.squad import XTREME_QA, to_example
from task_adapters.xtreme_download import download, read_questions

JIANT_QA = Recipe(num_train_epochs=2, effective_batch_size=16, max_seq_length=384, selection="best", max_selection_samples=500)

HUB = Source("google/xquad", config="xquad.{language}", splits={"test": "validation"}, rows={"test": 1_190})

TASK = Task(
    name="xquad",
    phase="target",
    task_type="span_qa",
    sources=(
        HUB,
        Source("google/xtreme", config="XQuAD.{language}", splits={"test": "validation"}, rows={"test": 1_190}),
        download("xquad", {"test": "xquad.{language}.json"}, read_questions, labelled=HUB),
    ),
    to_example=to_example,
    metric=squad_scores,
    dev_metric="f1",
    languages=("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh"),
    xtreme_r=("ro",),
    train_on="squad_v1",
    recipes={"jiant": JIANT_QA, "xtreme": XTREME_QA},
    licence="CC BY-SA 4.0",
)
