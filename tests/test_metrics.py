"""Metrics compared with the output of XTREME's own evaluator (../shared/golden), and with values computed by hand."""

import json
import math
import random
from pathlib import Path

import pytest

import metrics
from metrics import accuracy, accuracy_and_f1, calibration, entity_f1, mlqa_scores, pair_f1, squad_scores, squad_v2_scores, tag_run_f1
from predictions import FOLDER, score_folders

GOLDEN = Path(__file__).parents[2] / "shared" / "golden"


@pytest.fixture(scope="module")
def golden():
    if not GOLDEN.is_dir():
        pytest.skip(f"no golden scores at {GOLDEN}")
    return json.loads((GOLDEN / "expected.json").read_text()), score_folders(GOLDEN / "predictions", GOLDEN / "labels")


@pytest.mark.parametrize("task_name", metrics.XTREME_METRIC)
def test_every_figure_of_xtremes_evaluator_is_met(task_name, golden):
    expected, scored = golden
    languages = scored[task_name]["languages"]
    for metric, per_language in expected[FOLDER.get(task_name, task_name)].items():
        found = {language: scores[metric] for language, scores in languages.items()}
        assert found == pytest.approx(per_language, abs=1e-9), metric


def test_udpos_is_not_scored_by_the_newer_seqeval(golden):
    expected, scored = golden
    newer = expected["udpos (seqeval 1.2.2)"]["f1"]["ar"]
    assert abs(scored["udpos"]["languages"]["ar"]["f1"] - newer) > 0.1


def test_accuracy_is_the_percentage_of_equal_labels():
    assert accuracy(["a", "b", "a", "b"], ["a", "a", "a", "b"], "en") == {"accuracy": 75.0}
    assert accuracy([3, 1], [3, 2], "de") == {"accuracy": 50.0}


def test_qqp_f1_is_that_of_the_positive_label():
    gold = ["duplicate", "duplicate", "not_duplicate", "not_duplicate", "not_duplicate"]
    predicted = ["duplicate", "not_duplicate", "duplicate", "duplicate", "not_duplicate"]
    # 2 of 5 right; one duplicate found of 2 in gold and 3 predicted: 2*1 / (2+3)
    assert accuracy_and_f1(gold, predicted, "en") == {"accuracy": 40.0, "f1": 40.0}
    assert accuracy_and_f1([1, 0], [1, 1], "en", positive=1)["f1"] == pytest.approx(200 / 3)
    assert accuracy_and_f1(["duplicate"], ["no"], "en")["f1"] == 0.0


def test_runs_of_one_tag_are_one_chunk():
    # gold: NOUN NOUN | VERB = 2 chunks; predicted: NOUN | PROPN | VERB = 3, of which VERB is right: P 1/3, R 1/2, F1 2/5; 2 of 3 tokens
    scores = tag_run_f1([["NOUN", "NOUN", "VERB"]], [["NOUN", "PROPN", "VERB"]], "en")
    assert scores == pytest.approx({"f1": 40.0, "precision": 100 / 3, "recall": 50.0, "accuracy": 200 / 3})


def test_tags_beginning_with_s_are_chunks_of_one_word():
    # gold: SYM | SYM | X = 3 chunks, predicted: SYM | X X = 2 chunks, one shared: 2*1 / (3+2); were SYM SYM one run it would be 0
    assert tag_run_f1([["SYM", "SYM", "X"]], [["SYM", "X", "X"]], "en")["f1"] == pytest.approx(40.0)
    # INTJ begins with I, and runs on like NOUN: one chunk against two
    assert tag_run_f1([["INTJ", "INTJ"]], [["INTJ", "X"]], "en")["precision"] == 0.0


def test_sconj_and_cconj_are_different_tags_and_a_final_x_counts():
    assert tag_run_f1([["SCONJ", "NOUN"]], [["CCONJ", "NOUN"]], "en")["f1"] == 50.0
    assert tag_run_f1([["NOUN", "X"]], [["NOUN", "NOUN"]], "en")["recall"] == 0.0


def test_runs_do_not_cross_sentences():
    assert tag_run_f1([["NOUN"], ["NOUN"]], [["NOUN"], ["VERB"]], "en")["f1"] == 50.0


def test_entities_need_both_ends_and_the_type():
    gold = [["B-PER", "I-PER", "O", "B-LOC", "B-LOC", "B-ORG", "I-ORG"]]
    predicted = [["B-PER", "O", "O", "B-LOC", "B-LOC", "B-PER", "I-PER"]]
    # Both have 4 entities. The two LOC next to each other are right.
    assert entity_f1(gold, predicted, "en") == {"f1": 50.0, "precision": 50.0, "recall": 50.0}


def test_a_stray_inside_tag_opens_an_entity_and_a_new_type_ends_one():
    assert entity_f1([["O", "B-PER", "I-PER"]], [["O", "I-PER", "I-PER"]], "en")["f1"] == 100.0
    assert entity_f1([["B-PER", "B-LOC"]], [["B-PER", "I-LOC"]], "en")["f1"] == 100.0
    assert entity_f1([["O", "O"]], [["O", "O"]], "en") == {"f1": 0.0, "precision": 0.0, "recall": 0.0}


def test_entities_agree_with_seqeval_on_random_bio_tags():
    seqeval = pytest.importorskip("seqeval.metrics", reason="seqeval is not installed")
    draw = random.Random(0)
    tags = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    gold, predicted = ([[draw.choice(tags) for _ in range(1 + n % 9)] for n in range(300)] for _ in "gp")
    assert entity_f1(gold, predicted, "en")["f1"] == pytest.approx(100 * seqeval.f1_score(gold, predicted), abs=1e-9)


def test_supertags_are_scored_word_by_word():
    assert metrics.token_accuracy([["N/N", "N"], ["NP"]], [["N/N", "NP"], ["NP"]], "en") == {"accuracy": pytest.approx(200 / 3)}


def test_squad_normalises_and_takes_the_best_gold_answer():
    # "cat sat" vs gold "cat sat down": 2 of 2 and 2 of 3 words: 2*2/5
    assert squad_scores([["The  Cat!"], ["dog", "a cat sat down"]], ["cat", "The cat sat."], "en") == pytest.approx(
        {"exact_match": 50.0, "f1": (100 + 80) / 2}
    )
    # "new york new" vs "new new jersey": "new" is shared twice, 2 of 3 and 2 of 3 words
    assert squad_scores([["new york new"]], ["new new jersey"], "en")["f1"] == pytest.approx(200 / 3)


def test_a_question_without_prediction_scores_zero_and_still_counts():
    assert squad_scores([["yes"], ["yes"]], ["yes", None], "en") == {"exact_match": 50.0, "f1": 50.0}


def test_squad_oddities_are_kept():
    assert squad_scores([["the"]], [""], "en") == {"exact_match": 100.0, "f1": 0.0}
    assert squad_scores([["丹佛野马"]], ["丹佛野马队"], "zh") == {"exact_match": 0.0, "f1": 0.0}
    assert squad_scores([["la casa"]], ["casa"], "es")["exact_match"] == 0.0
    assert squad_scores([["«casa»"]], ["casa"], "es")["exact_match"] == 0.0


@pytest.mark.parametrize(
    ("language", "gold", "predicted"),
    [
        ("en", "The cat", "a cat"),
        ("en", "5$+^", "5"),  # symbols to Unicode, punctuation to ASCII
        ("en", "a an the cat", "cat"),
        ("es", "la «casa»", "una casa"),
        ("es", "un una unos unas el la los las casa", "casa"),
        ("de", "dem Haus", "ein Haus"),
        ("de", "ein eine einen einem eines einer der die das den dem des Haus", "Haus"),
        ("vi", "cái nhà", "nhà"),
        ("vi", "của là cái chiếc những nhà", "nhà"),
        ("ar", "البيت", "بيت"),
        ("ar", "والبيت", "و بيت"),  # wherever it stands
        ("hi", "घर।", "घर"),
        ("zh", "（北京）", "北京"),
    ],
)
def test_mlqa_strips_articles_of_the_language_and_all_punctuation(language, gold, predicted):
    assert mlqa_scores([[gold]], [predicted], language) == {"exact_match": 100.0, "f1": 100.0}


def test_mlqa_leaves_articles_of_other_languages():
    assert mlqa_scores([["the haus"]], ["haus"], "de")["f1"] == pytest.approx(200 / 3)
    assert mlqa_scores([["the घर"]], ["घर"], "hi")["exact_match"] == 0.0


def test_mlqa_compares_chinese_by_character():
    # gold 丹 佛 野 马, predicted 丹 佛 野 马 队: 4 shared of 4 and 5: 8/9
    assert mlqa_scores([["丹佛野马"]], ["丹佛野马队"], "zh") == pytest.approx({"exact_match": 0.0, "f1": 800 / 9})
    # NFL 5 次 against NFL 6 次: 2 shared of 3 and 3
    assert mlqa_scores([["NFL 5次"]], ["NFL 6次"], "zh")["f1"] == pytest.approx(200 / 3)


V2_GOLD = [["Paris"], ["the red dog"], [], []]
V2_PREDICTED = [
    {"text": "Paris", "no_answer_margin": -2.0},
    {"text": "dog", "no_answer_margin": 1.0},
    {"text": "Rome", "no_answer_margin": -1.0},
    {"text": "Oslo", "no_answer_margin": 3.0},
]


def test_squad_v2_blanks_answers_above_the_threshold():
    # at 0: Paris right, dog blanked (0), Rome kept (0), Oslo blanked (1)
    scores = squad_v2_scores(V2_GOLD, V2_PREDICTED, "en")
    assert {k: v for k, v in scores.items() if "best" not in k} == {
        "exact_match": 50.0,
        "f1": 50.0,
        "has_answer_exact": 50.0,
        "has_answer_f1": 50.0,
        "no_answer_accuracy": 50.0,
    }
    # at 1 dog is kept, a margin equal to the threshold being no reason to blank: F1 of dog vs red dog 2/3
    assert squad_v2_scores(V2_GOLD, V2_PREDICTED, "en", threshold=1.0)["f1"] == pytest.approx(100 * (1 + 2 / 3 + 0 + 1) / 4)


def test_squad_v2_finds_the_best_thresholds():
    # totals from nothing kept on: exact 2, +Paris 3, -Rome 2, dog 2, -Oslo 1; F1 2, 3, 2, 2 2/3, 1 2/3
    scores = squad_v2_scores(V2_GOLD, V2_PREDICTED, "en")
    assert [scores[f"best_{name}"] for name in ("exact", "exact_threshold", "f1", "f1_threshold")] == [75.0, -2.0, 75.0, -2.0]


def test_scoring_at_the_best_threshold_gives_the_best_score():
    draw = random.Random(1)
    for _ in range(100):
        gold = [draw.choice([[], ["a red dog"], ["cat", "big cat"]]) for _ in range(12)]
        texts = ["dog", "red dog", "cat", "the", "tree"]
        predicted = [{"text": draw.choice(texts), "no_answer_margin": draw.randint(-2, 2)} for _ in gold]
        scores = squad_v2_scores(gold, predicted, "en")
        for name, best in (("exact_match", "best_exact"), ("f1", "best_f1")):
            at = {t: squad_v2_scores(gold, predicted, "en", threshold=t)[name] for t in [-9, -2, -1, 0, 1, 2, scores[f"{best}_threshold"]]}
            assert scores[best] == pytest.approx(max(at.values()))
            assert scores[best] == pytest.approx(at[scores[f"{best}_threshold"]])


def test_squad_v2_is_best_silent_when_nothing_can_be_answered():
    scores = squad_v2_scores([[]], [{"text": "Rome", "no_answer_margin": -4.0}], "en")
    assert (scores["best_exact"], scores["best_exact_threshold"]) == (100.0, -5.0)
    assert "has_answer_f1" not in scores
    assert scores["no_answer_accuracy"] == scores["exact_match"] == 0.0


def test_squad_v2_ignores_gold_answers_that_are_only_articles():
    assert squad_v2_scores([["the", "dog"]], [{"text": "a", "no_answer_margin": -1.0}], "en")["exact_match"] == 0.0
    assert squad_v2_scores([["the"]], [{"text": "a", "no_answer_margin": -1.0}], "en")["f1"] == 100.0


def test_pairs_are_a_set():
    gold = [("s1", "t1"), ("s2", "t2"), ("s3", "t3")]
    # one of two different predictions is right, out of 3: P 1/2, R 1/3, F1 2/5
    assert pair_f1(gold, [("s1", "t1"), ["s1", "t1"], ("s2", "t1")], "de") == pytest.approx(
        {"f1": 40.0, "precision": 50.0, "recall": 100 / 3}
    )
    assert pair_f1(gold, iter([]), "de") == {"f1": 0.0, "precision": 0.0, "recall": 0.0}


def test_calibration_by_hand():
    # tops .9 right, .6 wrong, each alone in its bin: gaps .1 and .6, ece 100*.7/2
    # brier (.1^2+.1^2 + .6^2+.6^2)/2 = .37; nll -(ln .9 + ln .4)/2
    scores = calibration([0, 1], [0, 0], [[0.9, 0.1], [0.6, 0.4]])
    assert scores == pytest.approx({"ece": 35.0, "brier": 0.37, "nll": -(math.log(0.9) + math.log(0.4)) / 2})
    # one right and one wrong at .5 stand in one bin, where the gaps cancel
    assert calibration([0, 1], [0, 0], [[0.5, 0.5]] * 2)["ece"] == 0.0
    assert calibration([0], [1], [[0.0, 1.0]])["nll"] == pytest.approx(-math.log(1e-12))
    # bins are closed above: with two bins .5 and .4 share the lower one, .5 right and .4 wrong: |.5 - .4| / 2
    assert calibration([0, 1], [0, 0], [[0.5, 0.3, 0.2], [0.4, 0.3, 0.3]], bins=2)["ece"] == pytest.approx(5.0)


def test_task_score_is_the_mean_over_languages_and_for_qa_of_both_means():
    assert metrics.xtreme_task_score("xnli", {"en": {"accuracy": 80.0}, "sw": {"accuracy": 60.0}}) == 70.0
    answers = {"en": {"exact_match": 40.0, "f1": 80.0}, "ar": {"exact_match": 20.0, "f1": 40.0}}
    assert metrics.xtreme_task_score("xquad", answers) == 45.0  # (30 + 60) / 2
    assert metrics.xtreme_task_score("udpos", {"en": {"f1": 70.0, "accuracy": 90.0}}) == 70.0


def test_overall_is_the_mean_of_the_nine():
    scores = {task: float(n) for n, task in enumerate(metrics.XTREME_METRIC)}
    assert metrics.xtreme_overall(scores | {"xcopa": 99.0}) == 4.0
    with pytest.raises(ValueError, match="no overall score without: panx, bucc"):
        metrics.xtreme_overall(scores | {"panx": None, "bucc": None})


V2_NAN = [{"text": "", "no_answer_margin": float("nan")}]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: accuracy(["a", "b"], ["a"], "en"), "gold has 2 labels, predicted has 1"),
        (lambda: accuracy([], [], "en"), "no gold labels"),
        (lambda: accuracy(["1"], [1], "en"), "gold labels are like '1', but 1 is no such label"),
        (lambda: accuracy_and_f1([1], [1], "en"), "but 'duplicate' is no such label"),
        (lambda: tag_run_f1([["X"], ["X", "X"]], [["X"], ["X"]], "en"), "sentence 2 has 2 tags in gold and has 1 tags in predicted"),
        (lambda: entity_f1([["O"]], [["O"], ["O"]], "en"), r"sentence 2 is absent in gold .*1 and 2 sentences"),
        (lambda: metrics.token_accuracy([["N"], ["N"]], [["N"]], "en"), "sentence 2 has 1 tags in gold and is absent in predicted"),
        (lambda: tag_run_f1([["X", ""]], [["X", "X"]], "en"), "sentence 1 has an empty tag"),
        (lambda: tag_run_f1([[]], [[]], "en"), "no gold tags"),
        (lambda: squad_scores([["a"]], [], "en"), "gold has 1 questions, predicted has 0"),
        (lambda: squad_scores([["a"], []], ["a", "a"], "en"), "question 2 has no acceptable answer"),
        (lambda: mlqa_scores([["a"]], ["a"], "th"), "no rule for 'th'. It covers: en, es, hi, vi, de, ar, zh"),
        (lambda: squad_v2_scores([[]], V2_NAN, "en"), "question 1: its no_answer_margin is not a number"),
        (lambda: squad_v2_scores([[]], [], "en"), "gold has 1 questions, predicted has 0"),
        (lambda: pair_f1([], [("a", "b")], "de"), "no gold pairs"),
        (lambda: calibration([0], [0, 1], [[1.0, 0.0]]), r"predicted \(2,\) must be \(n,\)"),
        (lambda: calibration([0], [0], [[3.0, -1.0]]), "are these logits"),
        (lambda: calibration([2], [0], [[1.0, 0.0]]), "from 2 to 2, but there are 2 classes"),
        (lambda: calibration([1], [1], [[0.9, 0.1]]), "row 1: predicted class 1 is not the most probable"),
        (lambda: metrics.xtreme_task_score("xnly", {"en": {}}), "'xnly' is not an XTREME task"),
        (lambda: metrics.xtreme_task_score("xnli", {}), "no language to average"),
        (lambda: metrics.xtreme_task_score("mlqa", {"de": {"f1": 1.0}}), "mlqa de has no 'exact_match', only: f1"),
    ],
)
def test_errors_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
