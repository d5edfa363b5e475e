"""PAN-X, also WikiAnn (Pan et al., 2017; splits of Rahimi et al., 2019): names of people, places and organisations in 40 languages.

https://huggingface.co/datasets/google/xtreme, configs PAN-X.<language>; licence not stated, text from Wikipedia. The hub's order of tags is
not that of jiant and XTREME. Tags are therefore mapped by name. jv, my and yo have 100 test sentences.
XTREME-R adds eight languages, from https://huggingface.co/datasets/unimelb-nlp/wikiann; their row counts are those of its card.
"""

from metrics import entity_f1
from task_adapters.base import Recipe, Source, Task
from task_adapters.xtreme_download import download, read_panx

LANGUAGES = (
    "af", "ar", "bg", "bn", "de", "el", "en", "es", "et", "eu", "fa", "fi", "fr", "he", "hi", "hu", "id", "it", "ja", "jv",
    "ka", "kk", "ko", "ml", "mr", "ms", "my", "nl", "pt", "ru", "sw", "ta", "te", "th", "tl", "tr", "ur", "vi", "yo", "zh",
)  # fmt: skip
XTREME_R = ("az", "gu", "lt", "pa", "pl", "qu", "ro", "uk")
XTREME_R_TESTS = {**dict.fromkeys(XTREME_R, 10_000), "az": 1_000, **dict.fromkeys(("gu", "pa", "qu"), 100)}  # dev as many
XTREME_R_TRAINS = {**dict.fromkeys(XTREME_R, 20_000), **dict.fromkeys(("az", "lt"), 10_000), **dict.fromkeys(("gu", "pa", "qu"), 100)}
SMALL_TESTS = {
    **dict.fromkeys(("jv", "my", "yo"), 100),
    **dict.fromkeys(("af", "bn", "hi", "kk", "ml", "mr", "ms", "sw", "ta", "te", "tl", "ur"), 1_000),
}
SMALL_TRAINS = {
    **dict.fromkeys(("jv", "my", "yo"), 100),
    **dict.fromkeys(("kk", "sw", "te"), 1_000),
    **dict.fromkeys(("af", "hi", "mr"), 5_000),
    **dict.fromkeys(("bn", "eu", "ka", "ml", "tl"), 10_000),
    **dict.fromkeys(("et", "ta"), 15_000),
}


def to_example(row: dict) -> dict:
    return {"words": row["tokens"], "tags": row["ner_tags"]}


HUB = Source(
    "google/xtreme",
    config="PAN-X.{language}",
    splits={"train": "train", "dev": "validation", "test": "test"},
    rows={
        "train": {language: SMALL_TRAINS.get(language, 20_000) for language in LANGUAGES},
        # The dev part has as many rows as the test part.
        "dev": {language: SMALL_TESTS.get(language, 10_000) for language in LANGUAGES},
        "test": {language: SMALL_TESTS.get(language, 10_000) for language in LANGUAGES},
    },
)

TASK = Task(
    name="panx",
    phase="target",
    task_type="tagging",
    sources=(
        HUB,
        Source(
            "unimelb-nlp/wikiann",
            config="{language}",
            splits={"train": "train", "dev": "validation", "test": "test"},
            rows={"train": XTREME_R_TRAINS, "dev": XTREME_R_TESTS, "test": XTREME_R_TESTS},
            languages=XTREME_R,
        ),
        download("panx", {split: f"{split}-{{language}}.tsv" for split in HUB.splits}, read_panx, labelled=HUB),
    ),
    to_example=to_example,
    labels=("B-LOC", "B-ORG", "B-PER", "I-LOC", "I-ORG", "I-PER", "O"),
    metric=entity_f1,
    dev_metric="f1",
    languages=LANGUAGES,
    xtreme_r=XTREME_R,
    recipes={
        "jiant": Recipe(num_train_epochs=10, selection="best", max_selection_samples=500),
        "xtreme": Recipe(
            learning_rate=2e-5, num_train_epochs=10, max_seq_length=128, warmup_steps=0, weight_decay=0, selection="best", seed=1
        ),
    },
    licence="not stated (Wikipedia)",
)
