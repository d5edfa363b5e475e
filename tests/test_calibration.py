"""Probabilities that are kept, and how far they can be trusted: beside scikit-learn, golden figures, and a planted over-confident model."""

import json

import numpy as np
import pandas
import pytest
import torch
from conftest import SHARED
from scipy.optimize import minimize
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

import run_report
import run_retrieval
import run_target
from predictions import read_labels, read_predictions
from report import pictures
from report.calibration import Judged, calibrate, calibration, fit_temperature, judge, read_probabilities, reliability, split_units
from report.collect import collect
from task_adapters import TASKS
from task_types import probabilities, span_qa

GOLDEN = SHARED / "golden" / "calibration.json"


def planted(n=3000, classes=3, sharpness=1.0, seed=0):
    """Logits whose softmax is the true distribution of gold, times `sharpness`: at 1 a perfectly calibrated model."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, classes))
    gold = (logits + rng.gumbel(size=(n, classes))).argmax(1)
    return sharpness * logits, gold


@pytest.mark.skipif(not GOLDEN.exists(), reason="the golden figures are not part of the repository")
@pytest.mark.parametrize("name", ["nli_overconfident", "nli_underconfident", "pairs", "tags"])
def test_golden_figures(name):
    golden = json.loads(GOLDEN.read_text())[name]
    judged = judge(golden["logits"], golden["gold"])
    values = {metric: value for metric, (value, _, _) in calibration(judged).items()}
    for metric in ("ece_10", "ece_15", "brier", "nll", "accuracy"):
        assert values[metric] == pytest.approx(golden[metric], abs=1e-4)
    temperature = fit_temperature(judged)
    assert temperature == pytest.approx(golden["temperature"], abs=1e-4)
    scaled = calibration(judged.scaled(temperature))
    assert scaled["nll"][0] == pytest.approx(golden["nll_scaled"], abs=1e-4)
    assert scaled["ece_15"][0] == pytest.approx(golden["ece_15_scaled"], abs=1e-4)


def test_metrics_are_those_of_scikit_learn():
    logits, gold = planted(800, 2, 2.0)
    judged = judge(logits, gold)
    values = {metric: value for metric, (value, _, _) in calibration(judged).items()}
    table = np.exp(judged.log_probabilities)
    assert values["nll"] == pytest.approx(log_loss(gold, table), abs=1e-9)
    assert values["brier"] == pytest.approx(2 * brier_score_loss(gold, table[:, 1]), abs=1e-9), "over both classes: twice"
    confidence, right = table.max(1), table.argmax(1) == gold
    for bins in (10, 15):
        share, mean = calibration_curve(right, confidence, n_bins=bins)
        sizes = np.histogram(confidence, np.linspace(0, 1, bins + 1))[0]
        assert values[f"ece_{bins}"] == pytest.approx(100 * (sizes[sizes > 0] * abs(share - mean)).sum() / 800, abs=1e-9)
    order = np.argsort(confidence, kind="stable")
    parts = [order[np.arange(800) * 15 // 800 == b] for b in range(15)]
    gaps = [len(part) * abs(right[part].mean() - confidence[part].mean()) for part in parts]
    assert values["ece_mass"] == pytest.approx(100 * sum(gaps) / 800, abs=1e-9)
    assert values["accuracy_80"] == pytest.approx(100 * right[order[160:]].mean(), abs=1e-9)


def test_the_temperature_is_that_of_another_optimiser():
    judged = judge(*planted(1000, 4, 3.0))

    def loss(t):
        return log_loss(judged.gold, np.exp(judged.scaled(float(np.exp(t[0]))).log_probabilities), labels=range(4))

    assert fit_temperature(judged) == pytest.approx(float(np.exp(minimize(loss, [0.4], method="Nelder-Mead").x[0])), rel=1e-3)


def test_a_planted_over_confident_model_is_found_and_mended():
    sure = judge(*planted(sharpness=4.0))
    dev = judge(*planted(sharpness=4.0, seed=1))
    before, after = calibration(sure, 200), calibration(sure.scaled(fit_temperature(dev)), 200)
    assert before["ece_15"][0] > 15 and before["ece_15"][1] > after["ece_15"][2], "the intervals are apart"
    assert after["ece_15"][0] < 3 and fit_temperature(dev) == pytest.approx(4.0, rel=0.1)
    assert after["accuracy"] == before["accuracy"] and after["nll"][0] < before["nll"][0]


def test_a_class_that_training_never_saw_counts_as_wrong_with_probability_0():
    judged = judge([[2.0, 0.0], [0.0, 1.0]], [0, -1])
    values = calibration(judged)
    assert values["accuracy"][0] == 50 and values["nll"][0] > 13
    p = np.exp(judged.log_probabilities[1])
    assert values["brier"][0] == pytest.approx((2 * (1 - np.exp(judged.log_probabilities[0, 0])) ** 2 + (p**2).sum() + 1) / 2)


def test_sentences_are_drawn_whole():
    logits, gold = planted(1000, 3, 2.0)
    words = judge(logits, gold)
    repeated = judge(np.repeat(logits, 10, axis=0), np.repeat(gold, 10))
    sentences = repeated.__class__(repeated.scores, repeated.right, repeated.gold, np.repeat(np.arange(1000), 10))
    width = [np.diff(calibration(judged, 300)["accuracy"][1:])[0] for judged in (words, sentences, repeated)]
    assert width[1] == pytest.approx(width[0], rel=0.15) and width[2] < 0.5 * width[0]
    shots, others = split_units(sentences, 50)
    assert len(shots.gold) == 500 and len(others.gold) == 9500 and not set(shots.unit) & set(others.unit)


# ---- what runs keep


@pytest.fixture(scope="module")
def runs(tmp_path_factory, tiny_model, data_dir):
    """One run of each kind of task in two languages, hardly trained."""
    folder = tmp_path_factory.mktemp("runs")
    flags = ["--model_name_or_path", tiny_model, "--data_dir", data_dir, "--languages", "en", "de", "--max_seq_length", "64", "--use_cpu"]
    training = ["--max_steps", "4", "--learning_rate", "3e-3", "--disable_tqdm", "true", "--logging_steps", "1000"]
    with pytest.MonkeyPatch.context() as patch:
        for task in ("xnli", "udpos", "xquad"):
            patch.setattr("sys.argv", ["run_target.py", "--task", task, "--output_dir", f"{folder}/{task}", *flags, *training])
            run_target.main()
        tatoeba = [*flags[:4], "--languages", "de", "--use_cpu", "--layer", "1"]
        patch.setattr("sys.argv", ["run_retrieval.py", "--task", "tatoeba", "--output_dir", f"{folder}/tatoeba", *tatoeba])
        run_retrieval.main()
    return folder


def test_the_most_probable_class_is_the_one_that_was_predicted(runs):
    for task, flatten in (("xnli", list), ("udpos", lambda rows: [tag for row in rows for tag in row])):
        for language in ("en", "de"):
            with np.load(runs / task / "predictions" / task / f"test-{language}.npz") as file:
                kept = dict(file)
            assert kept["log_probabilities"].dtype == np.float16
            assert np.exp(kept["log_probabilities"].astype(float)).sum(1) == pytest.approx(1, abs=5e-3)
            labels = TASKS[task].labels
            gold = flatten(read_labels(runs / task / "labels", task, language))
            predicted = flatten(read_predictions(runs / task / "predictions", task, language))
            assert [labels[place] for place in kept["gold"]] == gold
            said = [labels[place] for place in kept["log_probabilities"].argmax(1)]
            assert np.mean([a == b for a, b in zip(said, predicted)]) > 0.99, "float16 may make two classes equal"
            if task == "udpos":
                sizes = [len(row) for row in read_labels(runs / task / "labels", task, language)]
                assert kept["sentence"].tolist() == np.repeat(np.arange(len(sizes)), sizes).tolist()
        assert (runs / task / "predictions" / task / "dev-en.npz").exists()


def test_of_answers_the_chosen_one_comes_first_and_is_the_one_that_was_predicted(runs):
    for language in ("en", "de"):
        with np.load(runs / "xquad/predictions/xquad" / f"test-{language}.npz") as file:
            kept = dict(file)
        ids, gold = read_labels(runs / "xquad/labels", "xquad", language)
        predicted = read_predictions(runs / "xquad/predictions", "xquad", language)
        metric = TASKS["xquad"].metric
        right = [metric([answers], [predicted[id_]], language)["exact_match"] == 100 for id_, answers in zip(ids, gold)]
        assert kept["right"].tolist() == right
        scores = kept["log_probabilities"]
        assert scores.shape == (len(ids), span_qa.N_BEST) and (scores[:, 0] == scores.max(1)).all() and (kept["log_no_answer"] < 0).all()


def test_the_best_answers_of_several_windows_are_joined_by_their_text():
    examples = {"context": ["a b c", "x"]}

    class Examples(dict):
        def __len__(self):
            return 2

    features = {"example_index": [0, 0, 1], "context_start": [1, 1, 1], "offsets": [[[0, 1], [2, 3]], [[2, 3], [4, 5]], []],
                "is_max_context": [[True, False], [True, True], []]}  # fmt: skip
    start = np.array([[0.0, 5, 9, 0], [1.0, 2, 3, 0], [4.0, 0, 0, 0]])
    end = np.array([[0.0, 1, 4, 0], [1.0, 6, 2, 0], [4.0, 0, 0, 0]])
    best, null = probabilities.best_texts(Examples(examples), features, (start, end))
    # Window 1 may start at a only: "a" 6, "a b" 9. Window 2: "b" 8, "b c" 4, "c" 5.
    assert best == [{"a b": 9.0, "b": 8.0, "a": 6.0, "c": 5.0, "b c": 4.0}, {}] and list(best[0]) == ["a b", "b", "a", "c", "b c"]
    assert null.tolist() == [0.0, 8.0]


def test_of_neighbours_the_margin_is_what_the_best_is_ahead_of_the_second():
    vectors = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), dim=-1)
    kept = probabilities.of_neighbours(vectors[:2], vectors, [0, 2], [0, 1])
    assert kept["similarity"] == pytest.approx([1, 1]) and kept["margin"] == pytest.approx([1 - 0.5**0.5] * 2, abs=1e-6)
    assert kept["right"].tolist() == [True, False]
    pairs = probabilities.of_pairs([(1.2, ("a", "b")), (1.1, ("c", "d"))], [("a", "b")], 1.15)
    assert pairs["right"].tolist() == [True, False] == pairs["mined"].tolist()


def test_retrieval_keeps_margins(runs):
    with np.load(runs / "tatoeba/predictions/tatoeba/test-de.npz") as file:
        results = json.loads((runs / "tatoeba/results.json").read_text())
        assert 100 * file["right"].mean() == pytest.approx(results["scores"]["de"]["accuracy"])
        assert (file["margin"] >= 0).all() and file["similarity"].max() <= 1.001


def test_probabilities_can_be_left_out(tmp_path, tiny_model, data_dir, call):
    flags = ["--model_name_or_path", tiny_model, "--data_dir", data_dir, "--languages", "de", "--use_cpu", "--save_probabilities", "false"]
    call(run_target, "--task", "xnli", "--output_dir", tmp_path / "xnli", *flags, "--max_steps", "1", "--disable_tqdm", "true",
         "--max_seq_length", "64")  # fmt: skip
    call(run_retrieval, "--task", "tatoeba", "--output_dir", tmp_path / "tatoeba", *flags, "--layer", "1")
    assert not list(tmp_path.rglob("*.npz")) and list(tmp_path.rglob("test-de.tsv"))
    run_report.write_report([tmp_path], tmp_path / "report", ["md"], resamples=100)
    assert "alibration: no probabilities were kept" in (tmp_path / "report/report.md").read_text()


def test_the_report_shows_calibration_before_and_after(runs, tmp_path):
    run_report.write_report([runs], tmp_path, resamples=100, temperature_examples=20)
    table = pandas.read_csv(tmp_path / "calibration.csv")
    assert set(table.task) == {"xnli", "udpos", "xquad"} and set(table.scaling) == {"none", "English dev", "target"}
    judged = read_probabilities(runs / "udpos", "udpos", "de")
    row = table[(table.task == "udpos") & (table.language == "de") & (table.scaling == "none") & (table.metric == "nll")].iloc[0]
    assert row.value == pytest.approx(calibration(judged)["nll"][0], abs=1e-9) and row.low < row.value < row.high
    text = (tmp_path / "report.md").read_text()
    assert "udpos: ECE by language" in text and "ECE, 15 bins" in text
    assert (tmp_path / "reliability_xnli.svg").exists()


def test_bins_of_a_few_examples_are_not_drawn():
    """Of one example the share that is right is 0 or 1, which is no sign of calibration."""
    confidence = np.array([0.55] * 9 + [0.95] * 10)
    scores = np.log(np.stack([confidence, 1 - confidence], axis=1))
    right = np.arange(19) % 2 == 0
    judged = Judged(scores, right, np.where(right, 0, 1), np.arange(19))
    assert len(reliability(judged)) == 2
    assert pictures.drawn_bins(judged) == ([pytest.approx(0.95)], [pytest.approx(0.5)])
    assert pictures.drawn_bins(judged.part(np.arange(9))) == ([], [])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04half", b"\x93NUMPY"])
def test_a_damaged_file_of_probabilities_is_named(tmp_path, content):
    from test_report import write_run

    write_run(tmp_path / "run", "xnli", {"de": 50.0})
    path = tmp_path / "run/predictions/xnli/test-de.npz"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    table, wrong = calibrate(collect([tmp_path]).runs, 0)
    assert table.empty and f"{path} cannot be read" in wrong[str(tmp_path / "run")]
