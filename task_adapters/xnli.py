"""XNLI (Conneau et al., 2018): MNLI-style pairs, professionally translated into 14 languages.

https://huggingface.co/datasets/facebook/xnli, CC BY-NC 4.0. For zero-shot transfer the English training data and the English dev set are
MNLI's, as in jiant. The train splits of the other languages are machine translations (translate-train). --train_languages uses them, and
--select_on uses the validation splits of the other languages.
"""

from metrics import accuracy
from task_adapters.base import Recipe, Source, Task
from task_adapters.mnli import NLI_LABELS, NLI_NUMBERS, to_example
from task_adapters.xtreme_download import download, read_pairs

XNLI = Source(
    "facebook/xnli",
    config="{language}",
    splits={"train": "train", "dev": "validation", "test": "test"},
    rows={"train": 392_702, "dev": 2_490, "test": 5_010},
)

TASK = Task(
    name="xnli",
    phase="target",
    task_type="classification",
    sources=(
        XNLI,
        download("xnli", {"dev": "dev-{language}.tsv", "test": "test-{language}.tsv"}, read_pairs, labelled=XNLI),
    ),
    to_example=to_example,
    labels=NLI_LABELS,
    class_names=NLI_NUMBERS,
    metric=accuracy,
    dev_metric="accuracy",
    languages=("ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh"),
    train_on="mnli",
    recipes={
        "jiant": Recipe(num_train_epochs=2, selection="best", max_selection_samples=500),
        "xtreme": Recipe(
            learning_rate=3e-5, num_train_epochs=5, max_seq_length=128, warmup_steps=0, weight_decay=0, eval_steps=100, selection="best"
        ),
    },
    licence="CC BY-NC 4.0",
)
