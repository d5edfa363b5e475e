"""Scores are XTREME's, in a clean clone too: tests/golden holds invented labels and predictions of all nine tasks, and their scores.

The scores in expected.json were frozen when metrics.py met every figure of XTREME's own evaluator on XTREME's own mock files to 1e-9
(tests/test_metrics.py, with ../shared). Here they are also computed by another route: the rules of the official scripts, written down
plainly, and scikit-learn.
"""

import collections
import json
import re
import string
import sys
import unicodedata
from pathlib import Path

import pytest
from seqeval.metrics import f1_score
from sklearn.metrics import accuracy_score

from metrics import XTREME_METRIC
from predictions import prediction_path, score_folders

GOLDEN = Path(__file__).parent / "golden"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))
CASES = [(task, language) for task, languages in EXPECTED.items() for language in languages]


@pytest.fixture(scope="module")
def scored():
    return score_folders(GOLDEN / "predictions", GOLDEN / "labels", missing_answers="zero")


@pytest.mark.parametrize("task", XTREME_METRIC)
def test_the_frozen_scores_of_every_task_are_met(task, scored):
    assert scored[task]["languages"].keys() == EXPECTED[task].keys() and len(EXPECTED[task]) >= 2
    for language, scores in EXPECTED[task].items():
        assert scored[task]["languages"][language] == pytest.approx(scores, abs=1e-9), language


@pytest.mark.parametrize("task, language", CASES)
def test_the_frozen_scores_are_those_of_the_official_rules(task, language):
    for name, value in official_scores(task, language).items():
        assert EXPECTED[task][language][name] == pytest.approx(value, abs=1e-9), name


def test_the_hard_cases_are_among_the_frozen_ones():
    assert all(0 < score < 100 for task, languages in EXPECTED.items() for scores in languages.values() for name, score in scores.items()
               if (task, name) != ("xquad", "exact_match"))  # fmt: skip
    articles = EXPECTED["mlqa"]["de"], EXPECTED["mlqa"]["en"]
    assert articles[0] != articles[1] and EXPECTED["xquad"]["zh"] != EXPECTED["mlqa"]["zh"], "Chinese is split by MLQA alone"
    assert EXPECTED["xquad"]["en"]["exact_match"] > EXPECTED["xquad"]["en"]["f1"], "an article alone is met by an empty answer: EM 1, F1 0"


# ---- the other route


def official_scores(task, language):
    files = [prediction_path(GOLDEN / kind, task, language) for kind in ("labels", "predictions")]
    if files[0].suffix == ".json":
        return official_answers(task, language, *(json.loads(file.read_text(encoding="utf-8")) for file in files))
    lines = [file.read_text(encoding="utf-8").rstrip("\n").split("\n") for file in files]
    if task in ("xnli", "pawsx", "tatoeba"):
        return {"accuracy": 100 * accuracy_score(*lines)}
    if task == "bucc":
        gold, predicted = map(set, lines)
        return harmonic(len(gold & predicted), len(gold), len(predicted))
    gold, predicted = (list(seqeval_0_0_12(tags)) for tags in lines)
    assert len(lines[0]) == len(lines[1]) and [not tag for tag in lines[0]] == [not tag for tag in lines[1]]
    scores = harmonic(len(set(gold) & set(predicted)), len(gold), len(predicted))
    if task == "panx":  # on BIO tags, unlike part-of-speech tags, newer versions of seqeval agree
        sentences = [[sentence.split("\n") for sentence in "\n".join(tags).split("\n\n")] for tags in lines]
        assert scores["f1"] == pytest.approx(100 * f1_score(*sentences), abs=1e-9)
    return scores


def harmonic(both, gold, predicted):
    precision, recall = both / predicted, both / gold
    return {"f1": 200 * precision * recall / (precision + recall), "precision": 100 * precision, "recall": 100 * recall}


def seqeval_0_0_12(lines):
    """get_entities of seqeval 0.0.12 with its start_of_chunk and end_of_chunk; a blank line is the O that it puts between sentences."""
    tag_before, type_before, begin = "O", "", 0
    for index, line in enumerate([*lines, "O"]):
        tag, kind = (line or "O")[0], (line or "O").split("-")[-1]
        other, inside = kind != type_before, tag_before + tag
        ends = inside in ("BB", "BS", "BO", "IB", "IS", "IO") or tag_before in "ES" or (tag_before not in ("O", ".") and other)
        starts = tag in "BS" or inside in ("EE", "EI", "SE", "SI", "OE", "OI") or (tag not in ("O", ".") and other)
        if ends:
            yield type_before, begin, index - 1
        if starts:
            begin = index
        tag_before, type_before = tag, kind


def official_answers(task, language, gold, predicted):
    """evaluate-v1.1.py (XQuAD, TyDiQA) and mlqa_evaluation_v1.py: the best gold answer counts, a question without prediction 0."""
    words = (lambda text: mlqa_words(text, language)) if task == "mlqa" else squad_words
    exact = overlap = count = 0
    for question in (qa for article in gold["data"] for paragraph in article["paragraphs"] for qa in paragraph["qas"]):
        count += 1
        if question["id"] not in predicted:
            continue
        answer, truths = words(predicted[question["id"]]), [words(truth["text"]) for truth in question["answers"]]
        exact += max(" ".join(answer) == " ".join(truth) for truth in truths)
        overlap += max(word_f1(answer, truth) for truth in truths)
    return {"exact_match": 100 * exact / count, "f1": 100 * overlap / count}


def word_f1(answer, truth):
    same = sum((collections.Counter(answer) & collections.Counter(truth)).values())
    return 2 * same / (len(answer) + len(truth)) if same else 0


def squad_words(text):
    text = "".join(char for char in text.lower() if char not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


PUNCTUATION = {chr(i) for i in range(sys.maxunicode) if unicodedata.category(chr(i)).startswith("P")} | set(string.punctuation)
ARTICLES = {
    "en": r"\b(a|an|the)\b", "es": r"\b(un|una|unos|unas|el|la|los|las)\b", "vi": r"\b(của|là|cái|chiếc|những)\b", "ar": r"\sال^|ال",
    "de": r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b",
}  # fmt: skip


def mlqa_words(text, language):
    text = "".join(char for char in text.lower() if char not in PUNCTUATION)
    if language in ARTICLES:
        text = re.sub(ARTICLES[language], " ", text)
    if language != "zh":
        return text.split()
    return re.sub(r"([\u4e00-\u9fa5])", r" \1 ", text).split()
