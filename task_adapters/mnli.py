"""MNLI (Williams et al., 2018): does the premise entail, contradict or leave open the hypothesis?

https://huggingface.co/datasets/nyu-mll/glue, config mnli; licence: mostly OANC, see the dataset. XNLI trains on this dataset too.
The dev set is the hub's validation_matched. The hub's test labels are hidden (-1). The hub's order of labels is entailment, neutral,
contradiction. jiant and XTREME sort them by name. Labels are therefore mapped by name.
"""

from metrics import accuracy
from task_adapters.base import DropRow, Recipe, Source, Task
from task_adapters.xtreme_download import download, read_pairs

NLI_LABELS = ("contradiction", "entailment", "neutral")
# The hub's numbers of the labels, in all of its copies. Other exports count otherwise.
NLI_NUMBERS = dict.fromkeys(
    ("nyu-mll/glue", "facebook/xnli", "facebook/anli", "stanfordnlp/snli"), ("entailment", "neutral", "contradiction")
)
OTHER_COLUMNS = (("sentence1", "sentence2", "gold_label"), ("premise", "hypo", "label"))  # MultiNLI's and XNLI's own files; XNLI-MT's


def to_example(row: dict) -> dict:
    """A row of the hub, or of the files of MultiNLI and XNLI, whose annotators agreed on no label where it is `-`."""
    names = next((names for names in OTHER_COLUMNS if {*names} <= {*row}), ("premise", "hypothesis", "label"))
    text_a, text_b, label = (row[name] for name in names)
    if label == "-":
        raise DropRow("no gold label (-)")
    return {"text_a": text_a, "text_b": text_b, "label": label}


TASK = Task(
    name="mnli",
    phase="intermediate",
    task_type="classification",
    sources=(
        Source(
            "nyu-mll/glue",
            config="mnli",
            splits={"train": "train", "dev": "validation_matched"},
            rows={"train": 392_702, "dev": 9_815},
        ),
        download("xnli", {"train": "train-{language}.tsv", "dev": "dev-{language}.tsv"}, read_pairs),
    ),
    to_example=to_example,
    labels=NLI_LABELS,
    class_names=NLI_NUMBERS,
    metric=accuracy,
    dev_metric="accuracy",
    recipes={"jiant": Recipe()},
    licence="OANC and others",
)
