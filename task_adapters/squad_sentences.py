"""SQuAD v1.1 as pairs: a question and the sentence that answers it, for a dual encoder (LAReQA's English training, Roy et al., 2020).

https://huggingface.co/datasets/rajpurkar/squad, CC BY-SA 4.0. A pair's candidate is put as LAReQA's candidates are: the sentence in which
the first answer begins, and its paragraph behind it. The oddity: SQuAD has no sentence breaks. XTREME-R's come from sixty rules of its
own; `sentence_breaks` has the few below. On the 240 English paragraphs of XQuAD-R, whose breaks are given, it finds them with F1 0.991
(tests/test_dual_encoder.py).
"""

import re

from metrics import accuracy
from task_adapters.base import DropRow, DualRecipe, Task
from task_adapters.lareqa import candidate_text
from task_adapters.squad import SQUAD_V1

# A sentence ends behind . ! or ?, and what closes a quotation or a bracket, where a blank follows and then what can begin a sentence.
END = re.compile(r"[.!?]+[\"'”’)\]]*\s+(?=[\"'“‘(\[]*[A-Z0-9À-Þ])")
# ... but not behind these, nor behind one capital letter (J. Smith) or a chain of them (U.S.).
ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof st jr sr v vs no fig gen col lt sgt capt rev hon gov sen rep pres bros inc ltd co corp dept univ ca cf al approx"
    " est ed eds vol pp jan feb mar apr jun jul aug sept sep oct nov dec mt ft bishop".split()
)
LAST_WORD = re.compile(r"([\w.&-]*)[.!?]+[\"'”’)\]]*\s*$")


def sentence_breaks(text: str) -> list[tuple[int, int]]:
    """(start, end) of each sentence; blanks between two sentences belong to neither, as in XQuAD-R."""
    breaks, start = [], 0
    for match in END.finditer(text):
        word = LAST_WORD.search(text, start, match.end())
        name = word[1] if word else ""
        follows_blank = word is not None and text[max(word.start() - 1, 0)] in " (\"'"  # 30 °C. is no initial
        is_initial = follows_blank and re.fullmatch(r"(?:[A-Z]\.)*[A-Z]", name) is not None
        if is_initial or name.lower().strip(".") in ABBREVIATIONS:
            continue
        breaks.append((start, len(text[: match.end()].rstrip())))
        start = match.end()
    return [*breaks, (start, len(text))] if start < len(text) else breaks


def to_example(row: dict) -> dict:
    context, answers = row["context"], row["answers"]
    if not answers["text"]:
        raise DropRow("no answer")
    begins = answers["answer_start"][0]
    sentence = next((context[start:end] for start, end in sentence_breaks(context) if start <= begins < end), None)
    if sentence is None:
        raise DropRow("answer outside its context")
    return {"query": row["question"].strip(), "candidate": candidate_text(sentence, context)}


TASK = Task(
    name="squad_sentences",
    phase="intermediate",
    task_type="pairs",
    sources=(SQUAD_V1,),
    to_example=to_example,
    metric=accuracy,
    dev_metric="accuracy",
    recipes={
        "jiant": DualRecipe(learning_rate=2e-5),
        # https://github.com/google-research/xtreme, scripts/train_lareqa.sh: 4 questions at a time, accumulated to 16.
        "xtreme-r": DualRecipe(
            learning_rate=2e-5,
            effective_batch_size=16,
            warmup_steps=0,
            weight_decay=0,
            pooling="pooler",
            scale=100.0,
            negatives_among=4,
            lower_case=True,
        ),  # fmt: skip
    },
    licence="CC BY-SA 4.0",
)
