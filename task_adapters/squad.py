"""SQuAD v1.1 (Rajpurkar et al., 2016): the answer is a span of the context. XQuAD and MLQA train on this dataset too.

https://huggingface.co/datasets/rajpurkar/squad, CC BY-SA 4.0. Several copies of SQuAD-like data have stripped contexts but the old values
of `answer_start`. `relocated` corrects them.
"""

from metrics import squad_scores
from task_adapters.base import Recipe, Source, Task
from task_adapters.xtreme_download import download, read_questions

XTREME_QA = Recipe(  # XTREME's settings for all targets with SQuAD-like training data. XTREME takes the last weights for them.
    learning_rate=3e-5, num_train_epochs=3, max_seq_length=384, warmup_steps=500, weight_decay=1e-4
)


def relocated(context: str, answers: dict) -> dict:
    """Returns the same answers with corrected `answer_start`: the occurrence of the answer's text nearest to the given start.

    The start is -1 if the context does not contain the text.
    """
    starts = []
    for text, start in zip(answers["text"], answers["answer_start"]):
        if not text or context[start : start + len(text)] != text:
            before, after = context.rfind(text, 0, max(start, 0) + len(text)), context.find(text, max(start, 0))
            occurrences = [first for first in (before, after) if text and first >= 0]
            start = min(occurrences, key=lambda first: abs(first - start), default=-1)
        starts.append(start)
    return {"text": list(answers["text"]), "answer_start": starts}


def to_example(row: dict) -> dict:
    return {
        "id": row["id"],
        "context": row["context"],
        "question": row["question"].strip(),
        "answers": relocated(row["context"], row["answers"]),
    }


SQUAD_V1 = Source(
    "rajpurkar/squad",
    config="plain_text",
    splits={"train": "train", "dev": "validation"},
    rows={"train": 87_599, "dev": 10_570},
    file_names={"validation": ("dev",)},  # train-v1.1.json and dev-v1.1.json, as SQuAD's authors named them
)

TASK = Task(
    name="squad_v1",
    phase="intermediate",
    task_type="span_qa",
    sources=(SQUAD_V1, download("squad", {"train": "train-v1.1.json", "dev": "dev-v1.1.json"}, read_questions)),
    to_example=to_example,
    metric=squad_scores,
    dev_metric="f1",
    recipes={"jiant": Recipe()},
    licence="CC BY-SA 4.0",
)
