"""Choosing an intermediate task: LogME and H-score against independent computations, regret and NDCG, the script and what it refuses."""

import itertools
import json
import os
import re
import shutil
import sys

import numpy as np
import pytest
import torch
from conftest import Cut
from scipy import optimize, stats
from sklearn.covariance import LedoitWolf
from sklearn.metrics import ndcg_score
from test_report import after, write_run

import choose_intermediate
import run_intermediate
from report import choice
from report.analysis import Analysis
from report.choice import Grid, by_chance, from_other_targets, judgement, ndcg, regret
from report.collect import collect
from results import release
from run_log import close_log
from task_adapters import TASKS, InputError, load_examples
from task_types.transferability import h_score, logme, shrunk_h_score
from trainer import few_steps, probing
from trainer.choosing import checkpoints_of


def labelled(n=80, d=6, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    return rng.normal(size=(n, d)) + rng.normal(size=(classes, d))[labels], labels


# ---- LogME and H-score


@pytest.mark.parametrize("n, d", [(80, 6), (20, 30)])
def test_logme_is_the_largest_density_that_a_search_finds(n, d):
    features, labels = labelled(n, d)

    def density(precisions, y):
        alpha, beta = np.exp(precisions)
        return stats.multivariate_normal.logpdf(y, cov=features @ features.T / alpha + np.eye(n) / beta) / n

    expected = []
    for name in range(3):
        y = (labels == name).astype(float)
        starts = [optimize.minimize(lambda p, y=y: -density(p, y), start, method="Nelder-Mead",
                                    options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 4000}).fun
                  for start in ([0, 0], [2, 2])]  # fmt: skip
        expected.append(-min(starts))
    assert logme(features, labels) == pytest.approx(np.mean(expected), abs=1e-6)
    assert logme(features[:, :2], labels) != pytest.approx(np.mean(expected), abs=1e-3)


def test_vectors_that_tell_labels_apart_have_a_higher_logme_and_h_score_than_noise():
    features, labels = labelled(300, 20)
    noise = np.random.default_rng(1).normal(size=features.shape)
    for measure in (logme, h_score, shrunk_h_score):
        assert measure(features, labels) > measure(noise, labels), measure.__name__


def test_the_h_score_is_the_sum_of_squared_canonical_correlations():
    features, labels = labelled()
    sides = features - features.mean(0), (one_hot := np.eye(3)[labels]) - one_hot.mean(0)
    bases = [np.linalg.svd(side, full_matrices=False) for side in sides]
    a, b = (u[:, singular > 1e-9] for u, singular, _ in bases)
    expected = (np.linalg.svd(a.T @ b, compute_uv=False) ** 2).sum()
    assert h_score(features, labels) == pytest.approx(expected, abs=1e-9) and 0 < expected < 2
    few, few_labels = labelled(10, 30)
    assert h_score(few, few_labels) == pytest.approx(2, abs=1e-6), "fewer rows than dimensions: the maximum, whatever the labels are"
    assert shrunk_h_score(few, few_labels) < 1.9


def test_the_shrunk_h_score_is_that_of_the_formula():
    features, labels = labelled(40, 12)
    estimate = LedoitWolf().fit(features)
    means = np.stack([features[labels == label].mean(0) for label in labels])
    covariance = sum(np.outer(row, row) for row in means - means.mean(0)) / (len(means) - 1)
    expected = (1 - estimate.shrinkage_) * np.trace(np.linalg.inv(estimate.covariance_) @ covariance)
    assert 0 < estimate.shrinkage_ < 1
    assert shrunk_h_score(features, labels) == pytest.approx(expected, abs=1e-9)


# ---- how good a ranking is


def test_regret_and_ndcg_are_those_of_a_calculator_and_of_scikit_learn():
    scores, predicted = [50.0, 80.0, 60.0, 20.0], [0.9, 0.1, 0.5, 0.2]
    assert regret(scores, predicted, 1) == pytest.approx(100 * (80 - 50) / 80)
    assert regret(scores, predicted, 3) == pytest.approx(100 * (80 - 60) / 80)
    assert regret(scores, predicted, 4) == 0
    assert ndcg(scores, predicted) == pytest.approx(ndcg_score([scores], [predicted]), abs=1e-9)
    assert ndcg(scores, scores) == 1


def test_rankings_by_chance_have_the_expectation_of_all_orders():
    scores = np.array([5.0, 9.0, 7.0, 1.0])
    orders = [choice.judged(scores, [-order.index(place) for place in range(4)]) for order in itertools.permutations(range(4))]
    assert by_chance([scores]).mean(0) == pytest.approx(np.mean(orders, axis=0), rel=0.05)


def planted(seed=0, targets=6):
    """A grid in which scores follow one hidden quality of tasks, and methods that know it, know nothing, or know its reverse."""
    rng = np.random.default_rng(seed)
    quality = rng.permutation(9)
    names = [f"t{number}" for number in range(targets)]
    grid = Grid([f"task{n}" for n in range(9)], {name: 50 + 2.0 * quality + rng.normal(0, 0.1, 9) for name in names}, {})
    blind = rng.normal(size=(targets, 9))
    return grid, {"knows": dict.fromkeys(names, quality), "blind": dict(zip(names, blind)), "reversed": dict.fromkeys(names, -quality)}


def test_a_good_ranking_beats_chance_and_a_blind_one_does_not():
    grid, predictions = planted()
    lines = {line.split("  ")[0]: line for line in judgement(grid, predictions)}
    values = {name: [float(x) for x in re.findall(r"([\d.]+) \(", lines[name])] for name in (*predictions, "by chance")}
    assert values["knows"][0] == values["knows"][1] == 0 and values["knows"][2] == 1
    assert values["reversed"][0] > values["by chance"][0] > values["by chance"][1] > 0
    assert any("A random choice of three has a Regret@3 of" in line for line in lines.values())


def test_what_is_fitted_never_sees_its_own_target():
    grid, predictions = planted()
    before = from_other_targets(grid)["t0"], choice.best_method_on_others(grid, predictions)["t0"]
    grid.scores["t0"] = grid.scores["t0"][::-1].copy() * 3
    after_change = from_other_targets(grid)["t0"], choice.best_method_on_others(grid, predictions)["t0"]
    assert np.array_equal(before[0], after_change[0]) and before[1] == after_change[1] == "knows"


def test_a_grid_has_the_tasks_that_all_its_targets_were_scored_after(tmp_path):
    for target, tasks in (("xquad", ("mnli", "qqp", "squad_v1")), ("xnli", ("qqp", "squad_v1", "mnli")), ("udpos", ("mnli",))):
        write_run(tmp_path / target / "none", target, {"de": 10.0})
        for place, task in enumerate(tasks):
            write_run(tmp_path / target / task, target, {"de": 20.0 + place}, after(task, 42))
    write_run(tmp_path / "together", "xquad", {"de": 90.0}, [{**after("mnli", 42)[0], "task": ["mnli", "qqp"]}])
    analysis = Analysis(collect([tmp_path]), resamples=0)
    grid = choice.grid_of(analysis, analysis.models[0])
    assert grid.tasks == ["mnli", "qqp", "squad_v1"] and set(grid.scores) == {"xquad", "xnli"}
    assert grid.scores["xnli"].tolist() == [22.0, 20.0, 21.0] and grid.baselines["xnli"] == 10.0


# ---- rows of a target as vectors with classes


@pytest.fixture(scope="module")
def encoder(tiny_model):
    from trainer.checkpoints import load_encoder
    from trainer.tokenizers import load_tokenizer

    return load_encoder(tiny_model, None).eval(), load_tokenizer(tiny_model, needs_offsets=True)


def hidden_of(encoder, ids):
    with torch.no_grad():
        return encoder[0](input_ids=torch.tensor([ids])).last_hidden_state[0].double().numpy()


@pytest.mark.parametrize("name", ["mnli", "udpos", "squad_v1", "hellaswag"])
def test_each_kind_of_task_gives_the_vectors_that_its_labels_are_of(name, encoder, data_dir):
    task = TASKS[name]
    examples = load_examples(task, "train", "en", data_dir)[0].select(range(6))
    vectors, classes = probing.labelled_vectors(*encoder, task, examples, 64, 32)
    assert len(vectors) == len(classes)
    features = list(probing.make_features(examples, encoder[1], task, 64, 32))
    if name == "mnli":
        assert classes.tolist() == [task.labels.index(label) for label in examples["label"]]
        np.testing.assert_allclose(vectors[2], hidden_of(encoder, features[2]["input_ids"]).mean(0), atol=1e-5)
    elif name == "udpos":
        assert [task.labels[place] for place in classes] == [tag for tags in examples["tags"] for tag in tags]
        expected = hidden_of(encoder, features[0]["input_ids"])[features[0]["first_pieces"]]
        np.testing.assert_allclose(vectors[: len(expected)], expected, atol=1e-5)
    elif name == "hellaswag":
        assert classes.reshape(6, 4).sum(1).tolist() == [1] * 6 and classes.reshape(6, 4).argmax(1).tolist() == examples["label"][:]
    else:
        holding = [feature for feature in features if feature["labels"][0]]
        assert (classes == probing.START).sum() == (classes == probing.END).sum() == len(holding) > 0
        assert (classes == probing.OTHER).sum() == probing.OTHERS * len(holding)
        for place, name in enumerate((probing.START, probing.END)):
            expected = [hidden_of(encoder, feature["input_ids"])[feature["labels"][place]] for feature in holding]
            np.testing.assert_allclose(vectors[classes == name], expected, atol=1e-5)
        assert any(feature["labels"][0] != feature["labels"][1] for feature in holding)


def test_texts_are_whole_whatever_the_kind(data_dir):
    for name in ("mnli", "squad_v1", "hellaswag", "udpos"):
        examples = load_examples(TASKS[name], "train", "en", data_dir)[0].select(range(2))
        for text, example in zip(probing.texts_of(examples, TASKS[name]), examples):
            for value in ([example["context"], example["question"]] if name == "squad_v1" else example["words"] if name == "udpos"
                          else example["choices"] if name == "hellaswag" else [example["text_a"], example["text_b"]]):  # fmt: skip
                assert value in text


# ---- the script


@pytest.fixture
def choose(call, tiny_model, data_dir):
    def run(*flags, model=tiny_model):
        given = ("--model_name_or_path", model) if model else ()
        return call(choose_intermediate, *given, "--data_dir", data_dir, "--use_cpu", "--rows", 20, "--target_rows", 12, *flags)

    return run


def checkpoint(folder, tiny_model, task, seed=42):
    """A finished run of an intermediate task, whose weights are the tiny model's, changed by the task."""
    from transformers import AutoModel

    shutil.copytree(tiny_model, folder)
    model = AutoModel.from_pretrained(tiny_model)
    with torch.no_grad():
        for parameter in model.encoder.layer[1].parameters():
            parameter.mul_(1 + len(task) / 10)
    model.save_pretrained(folder)
    results = {"phase": "intermediate", "task": task, "lineage": [], "finished": "2031", "seed": seed, "seconds": 1, "data": [
        {"split": "train", "language": "en", "examples": 9}], "model": {"name_or_path": tiny_model}, "dev": {
            TASKS[task].dev_metric: 50.0, "examples": 2}}  # fmt: skip
    for name in ("results.json", "run.json"):
        (folder / name).write_text(json.dumps(results))


def test_tasks_are_ranked_by_size_text_and_checkpoints_with_the_seconds_of_each(choose, tiny_model, tmp_path, capsys):
    for task in ("mnli", "squad_v1"):
        checkpoint(tmp_path / task, tiny_model, task)
    checkpoint(tmp_path / "later", tiny_model, "mnli", seed=43)
    found = choose("--task", "xquad", "--tasks", "mnli", "squad_v1", "--checkpoints", tmp_path)["xquad"]
    assert found["size"] == {"mnli": 480, "squad_v1": 480}
    assert found["text"]["squad_v1"] == pytest.approx(1), "xquad is trained on squad_v1's own texts"
    assert found["text"]["mnli"] < 0.999
    assert set(found) == {"size", "text", "LogME", "H-score"} and found["LogME"]["mnli"] != found["LogME"]["squad_v1"]
    printed = capsys.readouterr().out
    assert "xquad: intermediate tasks, best first by H-score" in printed and re.search(
        r"seconds, on cpu: size [\d.]+, text [\d.]+", printed
    )


def test_finished_runs_are_found_while_another_run_removes_a_checkpoint(tiny_model, tmp_path, monkeypatch):
    checkpoint(tmp_path / "mnli", tiny_model, "mnli")
    removed, scandir = tmp_path / "squad_v1/checkpoint-8", os.scandir
    removed.mkdir(parents=True)

    def removed_meanwhile(path="."):
        if str(path) == str(removed):
            removed.rmdir()
        return scandir(path)

    monkeypatch.setattr(os, "scandir", removed_meanwhile)
    assert checkpoints_of(tmp_path, ["mnli"], None) == {"mnli": str(tmp_path / "mnli")} and not removed.exists()


def test_without_a_checkpoint_of_each_task_the_other_rankings_stand(choose, tiny_model, tmp_path, capsys):
    checkpoint(tmp_path / "mnli", tiny_model, "mnli")
    found = choose("--task", "xnli", "--tasks", "mnli", "squad_v1", "--checkpoints", tmp_path)["xnli"]
    assert set(found) == {"size", "text"}
    assert "holds no finished run of squad_v1 on this model" in capsys.readouterr().out


# ---- a few steps of training


@pytest.fixture(scope="module")
def trained_on_mnli(tiny_model, data_dir, tmp_path_factory):
    """A checkpoint that has learned MNLI, made by the script itself."""
    folder = tmp_path_factory.mktemp("phase1") / "mnli"
    flags = f"--task mnli --model_name_or_path {tiny_model} --data_dir {data_dir} --output_dir {folder} --num_train_epochs 6"
    flags += " --learning_rate 2e-3 --per_device_train_batch_size 32 --max_seq_length 64 --use_cpu --eval_strategy no --disable_tqdm true"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["run_intermediate.py", *flags.split()])
        assert run_intermediate.main()["dev"]["accuracy"] > 60
    release()
    close_log("finished")
    return folder


def two_checkpoints(folder, trained_on_mnli, tiny_model):
    """MNLI's trained checkpoint, and one of SQuAD that has learned nothing."""
    shutil.copytree(trained_on_mnli, folder / "mnli")
    checkpoint(folder / "squad_v1", tiny_model, "squad_v1")
    return folder


STEPS = ("--tasks", "mnli", "squad_v1", "--target_rows", 48, "--steps", 12, "--learning_rate", 1e-3)


def test_a_few_steps_of_the_target_rank_the_checkpoint_that_has_learned_it_first(choose, trained_on_mnli, tiny_model, tmp_path, capsys):
    folder = two_checkpoints(tmp_path / "phase1", trained_on_mnli, tiny_model)
    found = choose("--task", "xnli", "--checkpoints", folder, *STEPS, "--output_dir", tmp_path / "short")["xnli"]
    assert list(found)[-1] == "few steps", "the ranking by what knows most"
    assert found["few steps"]["mnli"] > max(80, found["few steps"]["squad_v1"] + 15), found["few steps"]
    printed = capsys.readouterr().out
    assert "xnli: intermediate tasks, best first by few steps" in printed and "train_runtime" not in printed
    assert float(re.search(r"few steps ([\d.]+)", printed.split("seconds, on cpu")[1])[1]) > 0
    left = {path.name for path in (tmp_path / "short").rglob("*") if path.is_file()}
    assert len(left) == 2 and all(name.endswith(".json") for name in left), f"a short run leaves its line and no model: {left}"


def test_a_short_run_does_not_meet_the_head_that_the_checkpoint_was_trained_with(choose, trained_on_mnli, tiny_model, tmp_path):
    """Both have seed 42. A step too small to learn anything leaves a fresh head at chance."""
    folder = two_checkpoints(tmp_path / "phase1", trained_on_mnli, tiny_model)
    flags = ("--tasks", "mnli", "squad_v1", "--target_rows", 96, "--steps", 1, "--learning_rate", 1e-9, "--output_dir", tmp_path / "short")
    assert choose("--task", "xnli", "--checkpoints", folder, *flags)["xnli"]["few steps"]["mnli"] < 60


def test_short_runs_are_those_that_the_flags_ask_for(choose, tiny_model, tmp_path):
    for task in ("mnli", "squad_v1"):
        checkpoint(tmp_path / "phase1" / task, tiny_model, task)
    flags = ("--task", "xquad", "--checkpoints", tmp_path / "phase1", *STEPS, "--output_dir", tmp_path / "short")
    found = choose(*flags)["xquad"]["few steps"]
    records = {
        record["intermediate_task"]: record for record in map(json.loads, (p.read_text() for p in (tmp_path / "short").rglob("*.json")))
    }
    assert {task: record["score"] for task, record in records.items()} == found
    for record in records.values():
        assert (record["steps"], record["learning_rate"], record["train_examples"], record["dev_examples"]) == (12, 1e-3, 48, 48)
        assert record["metric"] == "f1" and record["seconds"] > 0 and np.isfinite(record["train_loss"])


def test_a_command_that_was_cut_off_goes_on_with_the_short_runs_that_are_missing(
    choose, trained_on_mnli, tiny_model, tmp_path, cut, capsys
):
    folder = two_checkpoints(tmp_path / "phase1", trained_on_mnli, tiny_model)
    flags = ("--task", "xnli", "--checkpoints", folder, *STEPS, "--output_dir", tmp_path / "short")
    mend = cut(few_steps, "train_briefly", lambda path, *_: path.endswith("squad_v1"))
    with pytest.raises(Cut):
        choose(*flags)
    (kept,) = (tmp_path / "short").rglob("*.json")
    mend()
    refuse = cut(few_steps, "train_briefly", lambda path, *_: path.endswith("mnli"))
    found = choose(*flags)["xnli"]["few steps"]
    assert found["mnli"] == json.loads(kept.read_text())["score"] and set(found) == {"mnli", "squad_v1"}
    assert "was there" in capsys.readouterr().out
    refuse()
    cut(few_steps, "train_briefly")
    assert choose(*flags)["xnli"]["few steps"] == found, "nothing is trained again"
    for change in (("--steps", 13), ("--learning_rate", 2e-3), ("--target_rows", 40), ("--seed", 5), ("--max_seq_length", 64)):
        with pytest.raises(Cut):
            choose(*flags, *change)


def test_other_weights_are_another_short_run(choose, trained_on_mnli, tiny_model, tmp_path, cut):
    folder = two_checkpoints(tmp_path / "phase1", trained_on_mnli, tiny_model)
    flags = ("--task", "xnli", "--checkpoints", folder, *STEPS, "--output_dir", tmp_path / "short")
    choose(*flags)
    shutil.copy(folder / "mnli" / "model.safetensors", folder / "squad_v1" / "model.safetensors")
    cut(few_steps, "train_briefly", lambda path, *_: path.endswith("squad_v1"))
    with pytest.raises(Cut):
        choose(*flags)


def test_a_short_run_of_xcopa_trains_copa_and_not_its_first_stage():
    assert few_steps.recipe_of(TASKS["xcopa"]) is TASKS["xcopa"].recipes["copa"]
    assert few_steps.recipe_of(TASKS["xnli"]) is TASKS["xnli"].recipes["jiant"]


def test_a_short_run_that_breaks_ends_in_one_line(choose, tiny_model, tmp_path):
    for task in ("mnli", "squad_v1"):
        checkpoint(tmp_path / "phase1" / task, tiny_model, task)
    with pytest.raises(InputError, match="mnli.*not finite numbers.*--learning_rate") as caught:
        choose("--task", "xnli", "--checkpoints", tmp_path / "phase1", *STEPS, "--learning_rate", 1e30, "--output_dir", tmp_path / "short")
    assert "\n" not in str(caught.value) and not list((tmp_path / "short").rglob("*.json"))


def test_a_finished_grid_says_how_good_each_ranking_is(choose, tiny_model, tmp_path, capsys):
    for target, scores in (("xquad", (20.0, 40.0)), ("xnli", (60.0, 50.0)), ("tatoeba", (5.0, 6.0))):
        phase = "retrieval" if target == "tatoeba" else "target"
        for task, score in zip(("mnli", "squad_v1"), scores):
            lineage = [{**after(task, 42)[0], "model": {"name_or_path": tiny_model}}]
            write_run(tmp_path / target / task, target, {"de": score}, lineage, phase=phase, model={"name_or_path": "a/folder"})
    found = choose("--grid", tmp_path, "--tasks", "mnli", "squad_v1")
    assert set(found) == {"xquad", "xnli"}
    printed = capsys.readouterr().out
    assert "2 intermediate tasks, 2 targets" in printed and "not judged, because a retrieval task has no labels to read: tatoeba" in printed
    assert re.search(r"^text .* \(", printed, flags=re.M) and "xquad: best squad_v1 (40.0)" in printed
    assert "A random choice of three has a Regret@3 of 0.0 here" in printed


@pytest.mark.parametrize("flags, said", [
    ("", "--task is missing. For example: --task xquad"),
    ("--task tatoeba", "tatoeba is never trained: score each checkpoint with run_retrieval.py itself"),
    ("--task xquat", "Unknown task 'xquat'. Did you mean"),
    ("--task mnli", "mnli is an intermediate task"),
    ("--task xquad --tasks mnli", "--tasks names one task: there is nothing to choose"),
    ("--task xquad --tasks mnli mnli", "--tasks names 'mnli' 2 times"),
    ("--task xquad --tasks mnli xnli", "xnli is a target task"),
    ("--task xquad --rows 0", "--rows 0: at least 1"),
    ("--task xquad --target_rows 7", "--target_rows 7: at least 8"),
    ("--task xquad --max_seq_length 4", "--max_seq_length 4: at least 8"),
    ("--task xquad --tasks mnli squad_v1 --checkpoints no/such", "--checkpoints no/such: no such folder"),
    ("--grid no/such", "no/such is not a folder of results"),
    ("--task xquad --tasks mnli squad_v1 --steps 10", "--steps 10 trains from intermediate checkpoints: add --checkpoints, or --grid"),
    ("--task xquad --tasks mnli squad_v1 --checkpoints . --steps 0", "--steps 0: at least 1"),
    ("--task xquad --tasks mnli squad_v1 --learning_rate 1e-4", "--learning_rate has no effect without --steps"),
    ("--task xquad --tasks mnli squad_v1 --checkpoints . --steps 5 --learning_rate 0", "--learning_rate 0.0: more than 0"),
])  # fmt: skip
def test_mistakes_are_one_line(flags, said, choose):
    with pytest.raises(InputError, match=re.escape(said)) as caught:
        choose(*flags.split())
    assert "\n" not in str(caught.value)


def test_without_a_model_nothing_is_ranked(choose):
    with pytest.raises(InputError, match="--model_name_or_path is missing"):
        choose("--task", "xquad", model=None)


def test_another_model_than_the_grids_is_refused(choose, tmp_path):
    write_run(tmp_path / "a", "xquad", {"de": 1.0}, after("mnli", 42))
    with pytest.raises(InputError, match="not in --grid"):
        choose("--grid", tmp_path)
    with pytest.raises(InputError, match="no target of a model without a name was scored after two of the intermediate tasks"):
        choose("--grid", tmp_path, model=None)
