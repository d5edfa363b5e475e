"""UDPOS: part-of-speech tags of Universal Dependencies v2.5 in 33 languages (Nivre et al., 2020), as XTREME uses them.

https://huggingface.co/datasets/google/xtreme, configs udpos.<Language>; licence: per treebank. The score is F1 over runs of equal tags.
The hub's copy differs from XTREME's own files:
- The hub takes every treebank whose folder name contains the name of the language. The test sets of Greek, Chinese, French, German and
  Russian therefore contain ancient or regional varieties, and so do the training sets of Greek, Chinese, French and Russian. French also
  contains the remains of FTB, whose words are blanked (2,541 fragments in the test part). English is the same in both.
- In all languages the words are syntactic words ("in dem"). XTREME's and jiant's files have the fused form ("im") with one of the tags.
- Blanks and zero-width non-joiners inside words (Vietnamese, Persian) are kept. XTREME's files do not have them.
Kazakh has no dev part. Tagalog, Thai and Yoruba have a test part only.
XTREME-R adds five languages, of UD v2.7: the test part of https://huggingface.co/datasets/izhx/xtreme-r-udpos. Its row counts were not
seen, and so nothing is expected of them.
"""

from metrics import tag_run_f1
from task_adapters.base import Recipe, Source, Task
from task_adapters.xtreme_download import download, read_udpos

HUB_NAMES = {
    "af": "Afrikaans", "ar": "Arabic", "bg": "Bulgarian", "de": "German", "el": "Greek", "en": "English", "es": "Spanish",
    "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi",
    "hu": "Hungarian", "id": "Indonesian", "it": "Italian", "ja": "Japanese", "kk": "Kazakh", "ko": "Korean", "mr": "Marathi",
    "nl": "Dutch", "pt": "Portuguese", "ru": "Russian", "ta": "Tamil", "te": "Telugu", "th": "Thai", "tl": "Tagalog", "tr": "Turkish",
    "ur": "Urdu", "vi": "Vietnamese", "yo": "Yoruba", "zh": "Chinese",
}  # fmt: skip
TRAIN_ROWS = {
    "af": 1315, "ar": 6075, "bg": 8907, "de": 166849, "el": 28152, "en": 21253, "es": 28492, "et": 25749, "eu": 5396, "fa": 4798,
    "fi": 27198, "fr": 47308, "he": 5241, "hi": 13304, "hu": 910, "id": 4477, "it": 29685, "ja": 7125, "kk": 31, "ko": 27410,
    "mr": 373, "nl": 18051, "pt": 17992, "ru": 67435, "ta": 400, "te": 1051, "tr": 3664, "ur": 4043, "vi": 1400, "zh": 18998,
}  # fmt: skip
DEV_ROWS = {
    "af": 194, "ar": 909, "bg": 1115, "de": 19233, "el": 2559, "en": 3974, "es": 3054, "et": 3125, "eu": 1798, "fa": 599, "fi": 3239,
    "fr": 5979, "he": 484, "hi": 1659, "hu": 441, "id": 559, "it": 2278, "ja": 511, "ko": 3016, "mr": 46, "nl": 1394, "pt": 1770,
    "ru": 9960, "ta": 80, "te": 131, "tr": 988, "ur": 552, "vi": 800, "zh": 3038,
}  # fmt: skip
TEST_ROWS = {
    "af": 425, "ar": 1680, "bg": 1116, "de": 22458, "el": 2809, "en": 5440, "es": 3147, "et": 3760, "eu": 1799, "fa": 600, "fi": 4422,
    "fr": 9465, "he": 491, "hi": 2684, "hu": 449, "id": 1557, "it": 3518, "ja": 2372, "kk": 1047, "ko": 4276, "mr": 47, "nl": 1471,
    "pt": 2681, "ru": 11336, "ta": 120, "te": 146, "th": 1000, "tl": 55, "tr": 4785, "ur": 535, "vi": 800, "yo": 100, "zh": 5528,
}  # fmt: skip

XTREME_R = ("lt", "pl", "ro", "uk", "wo")
LABELS = (
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X",
)  # fmt: skip


def to_example(row: dict) -> dict:
    return {"words": row["tokens"], "tags": row["pos_tags"]}


HUB = Source(
    "google/xtreme",
    config="udpos.{name}",
    names=HUB_NAMES,
    splits={"train": "train", "dev": "validation", "test": "test"},
    rows={"train": TRAIN_ROWS, "dev": DEV_ROWS, "test": TEST_ROWS},
)

TASK = Task(
    name="udpos",
    phase="target",
    task_type="tagging",
    sources=(
        HUB,
        Source("izhx/xtreme-r-udpos", config="{language}", splits={"test": "test"}, languages=XTREME_R),
        download("udpos", {split: f"{split}-{{language}}.tsv" for split in HUB.splits}, read_udpos, labelled=HUB),
    ),
    to_example=to_example,
    labels=LABELS,
    metric=tag_run_f1,
    dev_metric="f1",
    languages=tuple(HUB_NAMES),
    xtreme_r=XTREME_R,
    recipes={
        "jiant": Recipe(num_train_epochs=10, selection="best", max_selection_samples=500),
        "xtreme": Recipe(
            learning_rate=2e-5,
            num_train_epochs=10,
            max_seq_length=128,
            warmup_steps=0,
            weight_decay=0,
            eval_steps=500,
            selection="best",
            seed=1,
        ),
    },
    licence="per treebank",
)
