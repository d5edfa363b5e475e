"""Metrics over plain lists. Every metric has one signature: metric(gold, predicted, language) -> {name: value in 0..100}.

For XTREME's tasks the metrics give the scores of XTREME's own evaluator (Hu et al., 2020, https://github.com/google-research/xtreme), which
used seqeval 0.0.12. That version scores part-of-speech tags in runs of equal tags and not token by token.
`language` is the two-letter code; only `mlqa_scores` uses it. Every metric raises ValueError if gold is empty, or if gold and predicted do
not have the same rows. This module does not import torch, datasets, transformers or evaluate, so that stored predictions can be scored on
any machine. Retrieval of single sentences (Tatoeba) is scored by `accuracy` over line numbers.
"""

import math
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

XTREME_METRIC = {
    "xnli": ("accuracy",),
    "pawsx": ("accuracy",),
    "udpos": ("f1",),
    "panx": ("f1",),
    "xquad": ("exact_match", "f1"),
    "mlqa": ("exact_match", "f1"),
    "tydiqa": ("exact_match", "f1"),
    "bucc": ("f1",),
    "tatoeba": ("accuracy",),
}
XTREME_R_METRIC = {
    **{task: metrics for task, metrics in XTREME_METRIC.items() if task not in ("pawsx", "bucc")},
    "xcopa": ("accuracy",),
    "mewsli_x": ("mrr20",),
    "lareqa": ("map20",),
}
MLQA_ARTICLES = {
    "en": "a an the",
    "es": "un una unos unas el la los las",
    "hi": "",
    "vi": "của là cái chiếc những",
    "de": "ein eine einen einem eines einer der die das den dem des",
    "ar": "ال",
    "zh": "",
}


def accuracy(gold: Sequence, predicted: Sequence, language: str) -> dict[str, float]:
    """Returns the share of rows with the right label: {"accuracy"}.

    gold, predicted: lists of n labels, both strings or both integers (0-based line numbers for Tatoeba). ValueError if the two differ in
    length, or if one holds strings and the other does not, because then every row would count as wrong.
    """
    _check_rows(gold, predicted, "labels")
    _check_kind(gold[0], predicted[0])
    return {"accuracy": _percent(sum(g == p for g, p in zip(gold, predicted, strict=True)), len(gold))}


def accuracy_and_f1(gold: Sequence, predicted: Sequence, language: str, positive: str | int = "duplicate") -> dict[str, float]:
    """Returns accuracy and the F1 of one label: {"accuracy", "f1"}, as GLUE does for QQP (Wang et al., 2018).

    gold, predicted: lists of n labels. f1 is 0 if no row has the positive label in both lists. ValueError as in `accuracy`, and if
    `positive` is a string and the labels are numbers, or the other way round.
    """
    scores = accuracy(gold, predicted, language)
    _check_kind(gold[0], positive)
    true_positives = sum(g == p == positive for g, p in zip(gold, predicted, strict=True))
    positives = [sum(label == positive for label in labels) for labels in (gold, predicted)]
    return scores | {"f1": _f1(true_positives, *positives)["f1"]}


def tag_run_f1(gold: Sequence, predicted: Sequence, language: str) -> dict[str, float]:
    """Returns XTREME's udpos score, micro F1 over runs of equal tags: {"f1", "precision", "recall", "accuracy"}.

    gold, predicted: lists of n sentences, each a list of tags, one for each word. XTREME publishes f1. accuracy is the share of words with
    the right tag. ValueError names the first sentence whose length differs. Source: seqeval 0.0.12. From version 1.0 on, seqeval removes
    the first letter of a tag without prefix; SCONJ and CCONJ then become one type, and the scores differ.
    """
    _check_sentences(gold, predicted)
    return _chunk_f1(gold, predicted) | _token_share(gold, predicted)


def entity_f1(gold: Sequence, predicted: Sequence, language: str) -> dict[str, float]:
    """Returns micro F1 over named entities: {"f1", "precision", "recall"}. An entity counts if both its ends and its type are right.

    gold, predicted: lists of n sentences, each a list of BIO tags. An I- tag without a B- tag before it opens an entity, as in conlleval.
    Errors and source are those of `tag_run_f1`, which uses the same rule. For BIO tags all versions of seqeval agree.
    """
    _check_sentences(gold, predicted)
    return _chunk_f1(gold, predicted)


def token_accuracy(gold: Sequence, predicted: Sequence, language: str) -> dict[str, float]:
    """Returns the share of words with the right tag, over all sentences together: {"accuracy"}. CCG supertags are scored by it.

    gold, predicted: lists of n sentences, each a list of tags. ValueError names the first sentence whose length differs.
    """
    _check_sentences(gold, predicted)
    return _token_share(gold, predicted)


def squad_scores(gold: Sequence, predicted: Sequence, language: str) -> dict[str, float]:
    """Returns SQuAD 1.1's exact match and bag-of-words F1 (Rajpurkar et al., 2016): {"exact_match", "f1"}. Also for XQuAD and TyDiQA.

    gold: list of n lists of acceptable answers; the answer with the highest score counts. predicted: list of n strings; None means no
    prediction and scores 0. The scores are means over all n questions. In every language English articles are removed, and text without
    spaces is a single word: XTREME does the same. ValueError for different lengths and for a question without an acceptable answer.
    """
    return _question_means(gold, predicted, _normalise_squad)


def mlqa_scores(gold: Sequence, predicted: Sequence, language: str) -> dict[str, float]:
    """Returns MLQA's exact match and F1 (Lewis et al., 2020): {"exact_match", "f1"}.

    Shapes as for `squad_scores`. The metric deletes all Unicode punctuation, removes the articles of the answer's language, and splits
    Chinese into characters. ValueError also for a language other than en es hi vi de ar zh.
    """
    if language not in MLQA_ARTICLES:
        raise ValueError(f"MLQA's metric has no rule for {language!r}. It covers: {', '.join(MLQA_ARTICLES)}.")
    return _question_means(gold, predicted, lambda text: _normalise_mlqa(text, language))


def squad_v2_scores(gold: Sequence, predicted: Sequence, language: str, threshold: float = 0.0) -> dict[str, float]:
    """Returns SQuAD 2.0's scores (Rajpurkar et al., 2018), where a question may have no answer.

    gold: list of n lists of acceptable answers, empty for an unanswerable question. predicted: list of n dicts {"text": the best span,
    "no_answer_margin": null score minus best span score}. A prediction whose margin is above the threshold counts as "no answer".
    exact_match, f1: over all questions. has_answer_exact, has_answer_f1: over the answerable questions. no_answer_accuracy: over the
    unanswerable ones. The keys of a group without questions are absent. best_exact, best_f1: the highest scores of all thresholds, reached
    at best_exact_threshold and best_f1_threshold (in units of the margin; the smallest margin minus 1 if it is best to answer no question).
    A threshold never separates questions of equal margin, so that scoring at a best threshold gives the best score. The official script may
    separate them. The time is O(n log n). ValueError for different lengths and for a margin that is not a number.
    """
    _check_rows(gold, predicted, "questions")
    margins = [float(prediction["no_answer_margin"]) for prediction in predicted]
    if any(map(math.isnan, margins)):
        raise ValueError(f"question {1 + [math.isnan(m) for m in margins].index(True)}: its no_answer_margin is not a number.")
    empty_scores = [float(not answers) for answers in gold]  # the score of each question if it is left without an answer
    scores, best = {}, {}
    for name, short, column in (("exact_match", "exact", 0), ("f1", "f1", 1)):
        text_scores = [_v2_scores(answers, prediction["text"])[column] for answers, prediction in zip(gold, predicted, strict=True)]
        final_scores = [e if m > threshold else t for e, t, m in zip(empty_scores, text_scores, margins, strict=True)]
        has_answer = [score for score, is_empty in zip(final_scores, empty_scores, strict=True) if not is_empty]
        no_answer = [score for score, is_empty in zip(final_scores, empty_scores, strict=True) if is_empty]
        scores[name] = _percent(sum(final_scores), len(final_scores))
        if has_answer:
            scores[f"has_answer_{short}"] = _percent(sum(has_answer), len(has_answer))
        if no_answer:
            scores["no_answer_accuracy"] = _percent(sum(no_answer), len(no_answer))
        best[f"best_{short}"], best[f"best_{short}_threshold"] = _best_threshold(margins, text_scores, empty_scores)
    return scores | best


def pair_f1(gold: Iterable, predicted: Iterable, language: str) -> dict[str, float]:
    """Returns F1 over sets of sentence pairs: {"f1", "precision", "recall"}, BUCC's score (Zweigenbaum et al., 2017).

    gold, predicted: iterables of (source id, target id). A repeated pair counts once. Without any predicted pair the score is 0.
    ValueError if there is no gold pair.
    """
    gold, predicted = ({tuple(pair) for pair in pairs} for pairs in (gold, predicted))
    if not gold:
        raise ValueError("there are no gold pairs to score against.")
    return _f1(len(gold & predicted), len(gold), len(predicted))


def calibration(gold: Any, predicted: Any, probabilities: Any, bins: int = 15) -> dict[str, float]:
    """Returns how well a classifier's probabilities agree with its errors: {"ece", "brier", "nll"}. Smaller is better for all three.

    gold, predicted: n class indices; probabilities: (n, classes), rows summing to 1. ece: mean gap between top probability and accuracy
    over equal-width bins, in 0..100 (Guo et al., 2017). brier: squared distance to the one-hot gold, mean over rows, in 0..2. nll: mean
    -ln p(gold) in nats, with p at least 1e-12. ValueError for shapes that differ, rows that are not probabilities, a gold label outside
    the classes, and a predicted class that is not the row's most probable one.
    """
    import numpy as np

    gold, predicted, table = np.asarray(gold), np.asarray(predicted), np.asarray(probabilities, dtype=np.float64)
    if table.ndim != 2 or not len(table) or gold.shape != table.shape[:1] or predicted.shape != gold.shape:
        raise ValueError(
            f"gold {gold.shape} and predicted {predicted.shape} must be (n,), probabilities {table.shape} (n, classes), n > 0."
        )
    if not (table >= 0).all() or not np.allclose(table.sum(axis=1), 1, atol=1e-2):
        raise ValueError("probabilities must be 0 or more and sum to 1 in every row; are these logits?")
    if gold.min() < 0 or gold.max() >= table.shape[1]:
        raise ValueError(f"gold labels run from {gold.min()} to {gold.max()}, but there are {table.shape[1]} classes, 0 to n-1.")
    rows, top = np.arange(len(gold)), table.max(axis=1)
    is_less_probable = table[rows, predicted] < top - 1e-6
    if is_less_probable.any():
        row = is_less_probable.argmax()
        raise ValueError(f"row {row + 1}: predicted class {predicted[row]} is not the most probable one.")
    bin_of_row = np.clip(np.ceil(top * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.abs(np.bincount(bin_of_row, weights=(gold == predicted) - top))
    one_hot = np.eye(table.shape[1])[gold]
    return {
        "ece": float(100 * gaps.sum() / len(gold)),
        "brier": float(((table - one_hot) ** 2).sum(axis=1).mean()),
        "nll": float(-np.log(np.maximum(table[rows, gold], 1e-12)).mean()),
    }


def xtreme_task_score(
    task: str, per_language: Mapping[str, Mapping[str, float]], metric_of: Mapping[str, tuple[str, ...]] = XTREME_METRIC
) -> float:
    """Returns XTREME's score of a task, in 0..100: the mean over languages. For QA it is the mean of exact match and F1, each averaged so.

    per_language: {language: {metric: value}}. It must hold exactly the languages to average, because this function cannot notice a missing
    one. metric_of: `XTREME_METRIC`, or `XTREME_R_METRIC` for XTREME-R's score. ValueError for a task outside XTREME, for no language, and
    for a language without the task's metric.
    """
    if task not in metric_of:
        raise ValueError(f"{task!r} is not an XTREME task. They are: {', '.join(metric_of)}.")
    if not per_language:
        raise ValueError(f"{task} has no language to average over.")
    for language, scores in per_language.items():
        for name in metric_of[task]:
            if name not in scores:
                raise ValueError(f"{task} {language} has no {name!r}, only: {', '.join(scores) or 'nothing'}.")
    means = [sum(scores[name] for scores in per_language.values()) / len(per_language) for name in metric_of[task]]
    return sum(means) / len(means)


def xtreme_overall(task_scores: Mapping[str, float | None], metric_of: Mapping[str, tuple[str, ...]] = XTREME_METRIC) -> float:
    """Returns XTREME's overall score, in 0..100: the mean of its nine task scores.

    task_scores: {task: score}. Scores of other tasks are ignored. ValueError names each of the nine tasks whose score is absent or None.
    metric_of: `XTREME_METRIC`, or `XTREME_R_METRIC` for the mean of XTREME-R's ten. XTREME-R's own code cannot compute that mean, because
    its evaluator has no languages for LAReQA.
    """
    missing = [task for task in metric_of if task_scores.get(task) is None]
    if missing:
        raise ValueError(f"no overall score without: {', '.join(missing)}.")
    return sum(task_scores[task] for task in metric_of) / len(metric_of)


def _check_rows(gold, predicted, what):
    if len(gold) != len(predicted):
        raise ValueError(f"gold has {len(gold)} {what}, predicted has {len(predicted)}: they must be the same rows.")
    if not len(gold):
        raise ValueError(f"there are no gold {what} to score against.")


def _check_kind(gold, other):
    if isinstance(gold, str) != isinstance(other, str):
        raise ValueError(f"gold labels are like {gold!r}, but {other!r} is no such label: use names on both sides, or numbers on both.")


def _check_sentences(gold, predicted):
    for number, pair in enumerate(zip_longest(gold, predicted), start=1):
        lengths = ["is absent" if tags is None else f"has {len(tags)} tags" for tags in pair]
        if lengths[0] != lengths[1]:
            raise ValueError(
                f"sentence {number} {lengths[0]} in gold and {lengths[1]} in predicted ({len(gold)} and {len(predicted)} sentences)."
            )
        if any("" in tags for tags in pair):
            raise ValueError(f"sentence {number} has an empty tag.")
    if not any(len(tags) for tags in gold):
        raise ValueError("there are no gold tags to score against.")


def _percent(part, whole):
    return 100.0 * float(part) / whole


def _f1(shared, gold, predicted):
    """Returns F1, precision and recall in 0..100 from three counts: items in both sets, gold items and predicted items."""
    precision, recall = (_percent(shared, whole) if whole else 0.0 for whole in (predicted, gold))
    return {"f1": _percent(2 * shared, gold + predicted) if shared else 0.0, "precision": precision, "recall": recall}


def _token_share(gold, predicted):
    is_right = [g == p for tags, guesses in zip(gold, predicted, strict=True) for g, p in zip(tags, guesses, strict=True)]
    return {"accuracy": _percent(sum(is_right), len(is_right))}


def _chunk_f1(gold, predicted):
    gold_chunks, predicted_chunks = (
        {(n, *chunk) for n, tags in enumerate(sentences) for chunk in chunks(tags)} for sentences in (gold, predicted)
    )
    return _f1(len(gold_chunks & predicted_chunks), len(gold_chunks), len(predicted_chunks))


def chunks(tags: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Yields (type, first index, last index) of every chunk, by the rules of seqeval 0.0.12.

    The first letter of a tag is its position (B, I, E, S or O). The text after its last hyphen is its type. seqeval applies both rules to
    tags without a hyphen too: the type is then the whole tag. So SYM and SCONJ begin with S and are chunks of one word each, while equal
    neighbours such as NOUN NOUN or INTJ INTJ form one chunk. A change of type always ends a chunk. O and "." never open one.
    """
    first, last_position, last_type = 0, "O", ""
    for index, tag in enumerate([*tags, "O"]):
        position, kind = tag[0], tag.split("-")[-1]
        is_new_type, step = kind != last_type, last_position + position
        if last_position in "ES" or step in ("BB", "BS", "IB", "IS") or (last_position not in "O." and is_new_type):
            yield last_type, first, index - 1
        if position in "BS" or step in ("EE", "EI", "SE", "SI") or (position not in "O." and is_new_type):
            first = index
        last_position, last_type = position, kind


def _normalise_squad(text):
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(?:a|an|the)\b", " ", text).split())


def _normalise_mlqa(text, language):
    text = "".join(c for c in text.lower() if c not in string.punctuation and not unicodedata.category(c).startswith("P"))
    if language == "ar":  # The article is a prefix. MLQA removes its two letters everywhere, inside words too.
        text = text.replace(MLQA_ARTICLES["ar"], " ")
    elif MLQA_ARTICLES[language]:
        text = re.sub(rf"\b(?:{'|'.join(MLQA_ARTICLES[language].split())})\b", " ", text)
    if language == "zh":
        text = re.sub(r"([\u4e00-\u9fa5])", r" \1 ", text)
    return " ".join(text.split())


def _overlap_f1(gold, predicted):
    gold, predicted = gold.split(), predicted.split()
    shared = sum((Counter(gold) & Counter(predicted)).values())
    return 2 * shared / (len(gold) + len(predicted)) if shared else 0.0


def _question_means(gold, predicted, normalise):
    _check_rows(gold, predicted, "questions")
    exact = f1 = 0.0
    for number, (answers, text) in enumerate(zip(gold, predicted, strict=True), start=1):
        if not len(answers):
            raise ValueError(f"question {number} has no acceptable answer. For unanswerable questions use squad_v2_scores.")
        if text is not None:
            answers, text = [normalise(answer) for answer in answers], normalise(text)
            exact += text in answers
            f1 += max(_overlap_f1(answer, text) for answer in answers)
    return {"exact_match": _percent(exact, len(gold)), "f1": _percent(f1, len(gold))}


def _v2_scores(answers, text):
    """Returns (exact match, F1) in 0..1 of a predicted text. Answers that are empty after normalisation are ignored.

    If no answer is left, an empty text is right.
    """
    answers, text = [a for a in map(_normalise_squad, answers) if a] or [""], _normalise_squad(text)
    exact = float(text in answers)
    return exact, max(exact, *(_overlap_f1(answer, text) for answer in answers))


def _best_threshold(margins, text_scores, empty_scores):
    """Returns the highest mean score (0..100) over all thresholds, and the smallest threshold that reaches it.

    text_scores, empty_scores: for each question the score of its text and the score of answering nothing, in 0..1.
    """
    order = sorted(range(len(margins)), key=margins.__getitem__)
    total = best = sum(empty_scores)
    threshold = margins[order[0]] - 1.0
    for question, next_question in zip_longest(order, order[1:]):
        total += text_scores[question] - empty_scores[question]
        if total > best and (next_question is None or margins[next_question] > margins[question]):
            best, threshold = total, margins[question]
    return _percent(best, len(margins)), threshold


def average_precision(relevant: Any, ranked: Sequence, k: int = None) -> float:
    """Average precision of one ranking, in 0..1: the mean, over the right answers, of the precision at the rank of each.

    relevant: set of right answers; ranked: answers, best first, each once; k: only the first k count, and no more than k right answers are
    expected. A right answer that is not among them adds 0. ValueError where there is no right answer. Source: XTREME-R's utils_lareqa.py.
    """
    if not relevant:
        raise ValueError("there is no right answer to look for.")
    found, total = 0, 0.0
    for rank, answer in enumerate(ranked[:k], start=1):
        if answer in relevant:
            found += 1
            total += found / rank
    return total / (len(relevant) if k is None else min(len(relevant), k))


def mean_average_precision(gold: Mapping[str, Any], predicted: Mapping[str, Any], language: str, k: int = 20) -> dict[str, float]:
    """LAReQA's score (Roy et al., 2020) as XTREME-R counts it, mAP@20: {"map20"}.

    gold: {question: its right answers}; predicted: {question: answers, best first}, a question that is absent scores 0. LAReQA has one
    right answer in each language, so that the divisor is 11 where all languages are searched. A prediction for a question that gold does
    not know is left out, as in XTREME-R (`predictions.py` refuses it). ValueError for no question, and for one without a right answer.
    """
    if not gold:
        raise ValueError("there are no gold questions to score against.")
    scores = [average_precision(set(relevant), predicted.get(name) or [], k) for name, relevant in gold.items()]
    return {f"map{k}": _percent(sum(scores), len(scores))}


def mean_reciprocal_rank(gold: Mapping[str, Any], predicted: Mapping[str, Any], language: str, k: int = 20) -> dict[str, float]:
    """Mewsli-X's score, MRR@20: {"mrr20"}: 1 / rank of the right entity among the first 20, else 0; the mean over mentions.

    Shapes and errors as in `mean_average_precision`; exactly one answer is right (with one, XTREME-R's mewslix_map20 is the same number).
    """
    several = next((name for name, relevant in gold.items() if len(relevant) != 1), None)
    if several is not None:
        raise ValueError(f"{several!r} has {len(gold[several])} right answers; reciprocal ranks are of one.")
    return {f"mrr{k}": mean_average_precision(gold, predicted, language, k)[f"map{k}"]}


# ---- retrieval by layer

AS_THEY_ARE = "as they are"  # vectors of which nothing was removed (task_types/alignment.py)


def layer_accuracies(records: Sequence[dict], pooling: str | None) -> dict[int, float]:
    """{layer: accuracy} of one language, by vectors as they are. records: what results.json holds of it under "by_layer"."""
    return {r["layer"]: r["accuracy"] for r in records if (r["pooling"], r["vectors"]) == (pooling, AS_THEY_ARE)}


def choose_layer(language: str, curves: dict[str, dict[int, float]]) -> dict:
    """Which layer a language is scored by: the first of those with the best mean accuracy over all other languages, never its own.

    curves  {language: {layer: accuracy}}, of two languages at least.
    -> {"layer", "chosen_on": the other languages, "best_on_test": {"layer", "accuracy"} of the choice that would have looked at the scores}
    """
    others = [other for other in curves if other != language]
    own = curves[language]
    mean = {layer: sum(curves[other][layer] for other in others) / len(others) for layer in own}
    best, claimed = max(mean, key=mean.get), max(own, key=own.get)
    return {"layer": best, "chosen_on": others, "best_on_test": {"layer": claimed, "accuracy": own[claimed]}}
