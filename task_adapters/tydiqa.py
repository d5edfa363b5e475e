"""TyDiQA-GoldP (Clark et al., 2020): questions by speakers of nine languages, with answers from the Wikipedia of each language.

https://huggingface.co/datasets/google-research-datasets/tydiqa, config secondary_task; Apache 2.0. One table holds all languages: the first
word of an id is the language. Training uses the English rows unless --train_languages names others. (jiant's download has all nine
languages, so that its training is not zero-shot.) XTREME scores the dev part, because there is no public test part. The English dev set for
checkpoint selection is therefore the English part of the scored data, as in jiant. Contexts are stripped but have the old values of
`answer_start`. They are corrected by `squad.relocated`. Training rows whose context does not contain the answer are dropped and counted.
"""

from metrics import squad_scores
from task_adapters.base import Source, Task
from task_adapters.squad import XTREME_QA, to_example
from task_adapters.xquad import JIANT_QA
from task_adapters.xtreme_download import download, read_questions

ID_PREFIX = {
    "ar": "arabic", "bn": "bengali", "en": "english", "fi": "finnish", "id": "indonesian", "ko": "korean", "ru": "russian",
    "sw": "swahili", "te": "telugu",
}  # fmt: skip
TEST_ROWS = {"ar": 921, "bn": 113, "en": 440, "fi": 782, "id": 565, "ko": 276, "ru": 812, "sw": 499, "te": 669}
SPLITS = {"train": "train", "dev": "validation", "test": "validation"}
TRAIN_ROWS = {
    "ar": 14_805, "bn": 2_390, "en": 3_696, "fi": 6_855, "id": 5_702, "ko": 1_625, "ru": 6_490, "sw": 2_755, "te": 5_563,
}  # fmt: skip
ROWS = {"train": TRAIN_ROWS, "dev": TEST_ROWS, "test": TEST_ROWS}


def is_of_language(row: dict, language: str) -> bool:
    return row["id"].split("-")[0] == ID_PREFIX[language]


XTREMES_FILES = {
    "train": "tydiqa-goldp-v1.1-train/tydiqa.goldp.{language}.train.json",
    **dict.fromkeys(("dev", "test"), "tydiqa-goldp-v1.1-dev/tydiqa.goldp.{language}.dev.json"),
}
HUB = Source("google-research-datasets/tydiqa", config="secondary_task", splits=SPLITS, rows=ROWS, keep=is_of_language)

TASK = Task(
    name="tydiqa",
    phase="target",
    task_type="span_qa",
    sources=(
        HUB,
        Source("google/xtreme", config="tydiqa", splits=SPLITS, rows=ROWS, keep=is_of_language),
        download("tydiqa", XTREMES_FILES, read_questions, labelled=HUB),
    ),
    to_example=to_example,
    metric=squad_scores,
    dev_metric="f1",
    languages=tuple(ID_PREFIX),
    recipes={"jiant": JIANT_QA, "xtreme": XTREME_QA},
    licence="Apache 2.0",
)
