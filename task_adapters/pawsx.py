"""PAWS-X (Yang et al., 2019): do two sentences with nearly the same words have the same meaning? English and six translations.

https://huggingface.co/datasets/google-research-datasets/paws-x, free use with attribution. The copy in google/xtreme is not used, because
quotation marks cost it rows: its English training split has 49,175 of 49,401. --data_dir may also hold the authors' own tsv files (train,
translated_train, dev_2k, test_2k in a folder per language). Examples with an empty translated sentence are kept, because XTREME scores
them.
"""

from metrics import accuracy
from task_adapters.base import CONVERTED, Recipe, Source, Task
from task_adapters.xtreme_download import download, read_pairs

SPLITS = {"train": "train", "dev": "validation", "test": "test"}
FILE_NAMES = {"train": ("translated_train",), "validation": ("dev_2k",), "test": ("test_2k",)}
ROWS = {"train": 49_401, "dev": 2_000, "test": 2_000}


def to_example(row: dict) -> dict:
    return {"text_a": row["sentence1"] or "", "text_b": row["sentence2"] or "", "label": row["label"]}


HUB = tuple(
    Source("google-research-datasets/paws-x", config="{language}", splits=SPLITS, rows=ROWS, revision=revision, file_names=FILE_NAMES)
    for revision in (None, CONVERTED)
)
XTREMES_FILES = {split: f"{split}-{{language}}.tsv" for split in SPLITS}

TASK = Task(
    name="pawsx",
    phase="target",
    task_type="classification",
    sources=(*HUB, download("pawsx", XTREMES_FILES, read_pairs, labelled=HUB[0])),
    to_example=to_example,
    labels=("0", "1"),
    metric=accuracy,
    dev_metric="accuracy",
    languages=("de", "en", "es", "fr", "ja", "ko", "zh"),
    recipes={
        "jiant": Recipe(num_train_epochs=5, selection="best", max_selection_samples=500),
        "xtreme": Recipe(
            learning_rate=2e-5, num_train_epochs=5, max_seq_length=128, warmup_steps=0, weight_decay=0, eval_steps=200, selection="best"
        ),
    },
    may_be_null=("sentence1", "sentence2"),
    licence="free use with attribution",
)
