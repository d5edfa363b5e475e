"""XQuAD-R as nlu-evals scores it: questions look for their paragraph, in their own language, among the paragraphs of all languages.

`--task lareqa --protocol nlu-evals` is this task.
https://huggingface.co/datasets/google-research-datasets/xquad_r, CC BY-SA 4.0. Papers since 2024 print this as LAReQA (around 75 for base
models, where LAReQA's own scale is 20 to 40): it has one right answer and not eleven, and rewards an encoder that prefers its own
language. It is neither a task of XTREME-R here nor comparable with `lareqa`. The score, mAP@20 with one right answer, is MRR@20.
"""

from datasets import Dataset

from metrics import mean_reciprocal_rank
from task_adapters.base import EXAMPLE_COLUMNS, InputError, Source, Task
from task_adapters.files import columns_of
from task_adapters.lareqa import QUESTIONS, RankingRecipe, to_example

LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
# eval_lareqa.sh: the first token of the last layer, of the checkpoint of train_squad_v1_retrieval.sh.
NLU_EVALS = RankingRecipe(layer="last", pooling="cls", before="squad_paragraphs")


class Paragraphs(Source):
    """Rows of question and context: a candidate for each different context, whose id has its language."""

    def load(self, split: str, language: str, data_dir: str | None) -> tuple[Dataset, str | None]:
        """-> (a row per paragraph and per question, revision). InputError for an empty paragraph and a question that occurs twice."""
        rows, revision = super().load(split, language, data_dir)
        where, places, questions = f"{self.hub_id} ({language}, {split})", {}, {}
        columns = columns_of(rows[:])
        for column in ("id", "context", "question"):
            if column not in columns:
                raise InputError(f"{where} has no column {column!r}. It has: {', '.join(columns)}.")
        for name, context, question in zip(columns["id"], columns["context"], columns["question"]):
            if not context or not context.strip():
                raise InputError(f"{where}: question {name!r} has an empty context.")
            if name in questions:
                raise InputError(f"{where}: question {name!r} occurs twice.")
            questions[name] = question, places.setdefault(context, len(places))
        candidates = [{"side": "target", "id": f"{language}-{place}", "text": text, "matches": []} for text, place in places.items()]
        asked = [
            {"side": "source", "id": f"{language}-{name}", "text": text, "matches": [f"{language}-{place}"]}
            for name, (text, place) in questions.items()
        ]
        return Dataset.from_list([*candidates, *asked], features=EXAMPLE_COLUMNS["ranking"]), revision


TASK = Task(
    name="lareqa_paragraphs",
    phase="retrieval",
    task_type="ranking",
    sources=(
        Paragraphs("google-research-datasets/xquad_r", config="{language}", splits={"test": "validation"}, rows={"test": QUESTIONS + 240}),
    ),
    to_example=to_example,
    metric=mean_reciprocal_rank,
    dev_metric="mrr20",
    languages=LANGUAGES,
    recipes={"nlu-evals": NLU_EVALS},
    licence="CC BY-SA 4.0",
    protocol="nlu-evals",
)
