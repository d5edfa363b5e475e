"""Several tasks at once: sampling by the formula, the same in all processes, learning, resuming, the next phase, and kept heads."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import launch
from recorded_steps import LAYOUTS, record_layouts
from safetensors.torch import load_file
from transformers.integrations import neftune

import run_intermediate
import run_target
from task_adapters import TASKS, InputError, load_examples
from task_types import TASK_TYPES, make_features
from task_types.collator import Collator
from trainer.checkpoints import load_encoder, load_model
from trainer.loop import score
from trainer.multitask import MixedFeatures, count_steps, draw_schedule, load_models, load_task_model, sampling_probabilities
from trainer.tokenizers import load_tokenizer

THREE = ("mnli", "squad_v1", "hellaswag")
SIZES = {"small": 1_000, "middle": 60_000, "large": 900_000}
COMMON = ("--use_cpu", "--disable_tqdm", "true", "--max_seq_length", "96")


def results_of(folder):
    return json.loads((Path(folder) / "results.json").read_text(encoding="utf-8"))


# ---- sampling of tasks and features


@pytest.mark.parametrize("sampling, cap, temperature, expected", [
    ("proportional", 131072, None, (1000 / 192072, 60000 / 192072, 131072 / 192072)),
    ("proportional", 10**9, None, (1 / 961, 60 / 961, 900 / 961)),
    ("uniform", 131072, None, (1 / 3, 1 / 3, 1 / 3)),
    ("temperature", 90_000, 2.0, np.sqrt([1, 60, 90]) / np.sqrt([1, 60, 90]).sum()),
])  # fmt: skip
def test_ten_thousand_draws_have_the_proportions_of_the_formula(sampling, cap, temperature, expected):
    probabilities = sampling_probabilities(SIZES, sampling, cap, temperature)
    assert list(probabilities.values()) == pytest.approx(list(expected))
    drawn = np.bincount(draw_schedule(probabilities, 10_000, seed=3), minlength=3)
    for count, share in zip(drawn, expected):
        assert abs(count - 10_000 * share) < 4 * np.sqrt(10_000 * share * (1 - share)) + 1


def test_a_steps_task_depends_on_the_seed_and_the_steps_number_alone():
    probabilities = sampling_probabilities(SIZES, "proportional", 131072)
    schedule = draw_schedule(probabilities, 1_000, seed=3)
    assert (draw_schedule(probabilities, 400, seed=3) == schedule[:400]).all()
    assert (draw_schedule(probabilities, 1_000, seed=4) != schedule).any()


def test_steps_are_the_sum_over_tasks_of_their_capped_epochs():
    assert count_steps({"a": 33, "b": 64, "c": 1000}, cap=100, epochs=3, batch=32) == 3 * (2 + 2 + 4)
    assert count_steps({"a": 33}, cap=100, epochs=0.4, batch=32) == 1


def test_every_task_goes_round_its_own_features_in_a_new_order_each_time():
    features = {"a": [("a", i) for i in range(5)], "b": [("b", i) for i in range(7)]}
    schedule = np.array([0, 1, 0, 0, 1, 1, 0, 0, 1, 0])
    lengths = {"a": np.array([3, 9, 5, 5, 7]), "b": np.arange(7)}
    items = MixedFeatures(features, lengths, schedule, batch=4, seed=0)
    assert len(items) == 40
    found = [items[i] for i in range(40)]
    for step, place in enumerate(schedule):
        assert {name for name, _ in found[4 * step : 4 * step + 4]} == {"ab"[place]}
        of_step = [lengths[name][row] for name, row in found[4 * step : 4 * step + 4]]
        assert of_step == sorted(of_step, reverse=True), "micro-batches of like length"
    for name, size in (("a", 5), ("b", 7)):
        rows = [row for task, row in found if task == name]
        steps = [tuple(sorted(rows[start : start + 4])) for start in range(0, len(rows), 4)]
        assert len(set(steps)) > 1, "other neighbours in another round"
        counts = np.bincount(rows, minlength=size)
        assert counts.max() - counts.min() <= 1, "all of them, before one comes again"
        orders = [[items.row(name, turn, place) for place in range(size)] for turn in (0, 1)]
        assert orders[0] != orders[1] and all(sorted(order) == list(range(size)) for order in orders), "shuffled anew"
    again = MixedFeatures(features, lengths, schedule, batch=4, seed=0)
    assert [again[i] for i in range(24, 40)] == found[24:], "read from the middle, as after a kill"
    assert [MixedFeatures(features, lengths, schedule, 4, seed=1)[i] for i in range(40)] != found


# ---- processes and accumulation

STEPS = 7


@pytest.fixture(scope="module")
def recorded(tiny_model, data_dir, tmp_path_factory):
    return record_layouts(
        tmp_path_factory.mktemp, STEPS,
        "--task", *THREE, "--model_name_or_path", tiny_model, "--data_dir", data_dir, *COMMON, "--warmup_steps", "0",
        "--optim", "sgd", "--learning_rate", "0.2", "--max_eval_samples", "8", "--sampling", "uniform",
    )  # fmt: skip


@pytest.mark.parametrize("layout", list(LAYOUTS)[1:])
def test_processes_and_accumulation_agree_in_each_steps_task_its_rows_and_the_weights(layout, recorded, tiny_model):
    (folder, steps), (other, others) = recorded["1 process x 8"], recorded[layout]
    assert all(len(tasks) == 1 for tasks, _ in steps + others), "one task per step"
    assert set.union(*(tasks for tasks, _ in steps)) == set(THREE), "the comparison has to see all of them"
    assert steps == others
    drawn = results_of(folder)["training"]["drawn"]
    assert drawn == {name: sum(tasks == {name} for tasks, _ in steps) for name in THREE} == results_of(other)["training"]["drawn"]
    assert results_of(folder)["training"]["probabilities"] == pytest.approx(dict.fromkeys(THREE, 1 / 3)), "--sampling uniform"
    before = load_file(f"{tiny_model}/model.safetensors")
    for part in ("model.safetensors", *(f"heads/{name}/model.safetensors" for name in THREE)):
        reference, cut = load_file(folder / part), load_file(other / part)
        for name, weight in reference.items():
            assert (weight - cut[name]).norm() <= 1e-5 * weight.norm() + 1e-6, f"{part} {name}"
    name = "encoder.layer.0.attention.self.value.weight"
    moved = load_file(folder / "model.safetensors")[name] - before[f"roberta.{name}"]
    assert moved.norm() > 1e-3 * before[f"roberta.{name}"].norm(), "the steps must be large enough to compare"


@pytest.mark.parametrize("processes", [1, 2])
def test_a_head_that_no_step_used_stays_as_it_was_drawn(processes, call, tiny_model, data_dir, tmp_path):
    """With a zero gradient AdamW would still shrink the weights by weight decay, so there must be none. DDP must not wait for it."""
    flags = ("--task", "mnli", "hellaswag", "--model_name_or_path", tiny_model, "--data_dir", data_dir, *COMMON, "--max_steps", "2",
             "--warmup_steps", "0", "--learning_rate", "0.01", "--weight_decay", "0.5", "--effective_batch_size", "4",
             "--sampling_cap", "1", "--max_eval_samples", "4", "--output_dir", tmp_path, "--seed", "4",
             "--freeze_embeddings", "--padding_free", "on")  # fmt: skip
    if processes == 1:
        call(run_intermediate, *flags)
    else:
        launch("run_intermediate.py", *flags, processes=processes)
    training = results_of(tmp_path)["training"]
    assert training["padding_free"] is True
    drawn = training["drawn"]
    assert sorted(drawn.values()) == [0, 2], "choose a seed that draws one task only"
    before, trained = load_file(f"{tiny_model}/model.safetensors"), load_file(tmp_path / "model.safetensors")
    for name in ("embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight"):
        assert torch.equal(trained[name], before[f"roberta.{name}"]) == ("word" in name), "--freeze_embeddings"
    for name, steps in drawn.items():
        task = TASKS[name]
        fresh, _ = load_model(TASK_TYPES[task.task_type].Model, tiny_model, task.labels, seed=4)
        head, fresh = load_file(tmp_path / "heads" / name / "model.safetensors"), fresh.state_dict()
        assert all(torch.equal(weight, fresh[key]) == (steps == 0) for key, weight in head.items() if key.endswith("weight"))


def test_what_a_checkpoint_lacks_is_drawn_with_the_runs_seed(tiny_model):
    weights = []
    for noise, seed in ((1, 4), (2, 4), (2, 5)):
        torch.manual_seed(noise)
        weights.append(load_models(tiny_model, {"hellaswag": TASKS["hellaswag"]}, seed).state_dict())
    assert {name for name in weights[0] if not torch.equal(weights[0][name], weights[1][name])} == set()
    assert not torch.equal(weights[1]["encoder.pooler.dense.weight"], weights[2]["encoder.pooler.dense.weight"])


def test_noise_on_the_embeddings_reaches_all_tasks_and_ends_with_training(call, tiny_model, data_dir, tmp_path, monkeypatch):
    """As in a single task's run: the shared embeddings are moved in training by at most alpha / sqrt(length x width), else not at all."""
    moved, hook = [], neftune.neftune_post_forward_hook

    def spy(module, inputs, output):
        noisy = hook(module, inputs, output)
        bound = module.neftune_noise_alpha / (output.shape[1] * output.shape[2]) ** 0.5
        moved.append((module.training, float((noisy - output).detach().abs().max()) / bound))
        return noisy

    monkeypatch.setattr(neftune, "neftune_post_forward_hook", spy)
    flags = ("--model_name_or_path", tiny_model, "--data_dir", data_dir, *COMMON, "--max_steps", "6", "--effective_batch_size", "8",
             "--sampling", "uniform", "--max_eval_samples", "8", "--max_train_samples", "40")  # fmt: skip
    weights = {}
    for alpha in ("0", "5"):
        results = call(run_intermediate, "--task", "mnli", "hellaswag", *flags, "--output_dir", tmp_path / alpha,
                       *(("--neftune_noise_alpha", alpha) if alpha != "0" else ()))  # fmt: skip
        weights[alpha] = load_file(tmp_path / alpha / "model.safetensors")
        assert bool(moved) == (alpha == "5")
    assert all(results["training"]["drawn"].values()) and len(moved) == 6
    assert all(training and 0.9 < share <= 1.0001 for training, share in moved)
    assert any(not torch.equal(weight, weights["5"][name]) for name, weight in weights["0"].items())


# ---- learning, and the files of the run


@pytest.fixture(scope="module")
def joint_run(tiny_model, data_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("joint") / "three"
    with pytest.MonkeyPatch.context() as patch:
        flags = ["run_intermediate.py", "--task", "squad_v1", "hellaswag", "mnli", "--model_name_or_path", tiny_model, "--data_dir",
                 data_dir, *COMMON, "--learning_rate", "2e-3", "--num_train_epochs", "6", "--effective_batch_size", "16",
                 "--per_device_train_batch_size", "16", "--output_dir", str(folder)]  # fmt: skip
        patch.setattr(sys, "argv", flags)
        run_intermediate.main()
    return folder


def test_each_task_learns_in_a_joint_run(joint_run):
    results = results_of(joint_run)
    dev = results["dev"]
    assert dev["mnli"]["accuracy"] > 90 and dev["squad_v1"]["f1"] > 80 and dev["hellaswag"]["accuracy"] > 40, dev
    assert results["dev_mean"] == pytest.approx((dev["mnli"]["accuracy"] + dev["squad_v1"]["f1"] + dev["hellaswag"]["accuracy"]) / 3)
    assert results["task"] == list(THREE), "in the collection's order"
    assert (results["sampling"], results["sampling_cap"], results["temperature"]) == ("proportional", 131072, None)
    training = results["training"]
    assert sum(training["drawn"].values()) == training["steps"] == count_steps(training["features"], 131072, 6, 16)
    assert not list(joint_run.glob("checkpoint-*"))


def test_phase_2_starts_from_the_encoder_that_was_saved(joint_run, call, data_dir, tmp_path):
    saved = load_file(joint_run / "model.safetensors")
    for task in (TASKS["xnli"], TASKS["udpos"], TASKS["xquad"], TASKS["hellaswag"]):
        model, _ = load_model(TASK_TYPES[task.task_type].Model, str(joint_run), task.labels or ("a", "b"), seed=1)
        own = model.base_model.state_dict()
        assert set(saved) - set(own) <= {"pooler.dense.weight", "pooler.dense.bias"} and set(own) <= set(saved)
        assert all(torch.equal(weight, saved[name]) for name, weight in own.items()), task.name
    assert all(torch.equal(weight, saved[name]) for name, weight in load_encoder(str(joint_run), None).state_dict().items())

    results = call(run_target, "--task", "xnli", "--model_name_or_path", joint_run, "--data_dir", data_dir, *COMMON, "--languages", "en",
                   "--max_steps", "1", "--learning_rate", "0", "--max_eval_samples", "4", "--output_dir", tmp_path)  # fmt: skip
    after = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(after[f"roberta.{name}"], weight) for name, weight in saved.items() if f"roberta.{name}" in after)
    (earlier,) = results["lineage"]
    assert earlier["task"] == list(THREE) and earlier["sampling_cap"] == 131072 and earlier["dev_mean"] == results_of(joint_run)["dev_mean"]


def test_heads_are_found_again_and_give_the_scores_of_the_run(joint_run, data_dir, tmp_path):
    from transformers import Trainer, TrainingArguments

    tokenizer, dev = load_tokenizer(str(joint_run), needs_offsets=True), results_of(joint_run)["dev"]
    training_args = TrainingArguments(tmp_path, use_cpu=True, report_to="none", label_names=["labels"], disable_tqdm=True)
    for name in THREE:
        task, task_type = TASKS[name], TASK_TYPES[TASKS[name].task_type]
        model = load_task_model(str(joint_run), name)
        assert model.config.task_trainings == 1, "that of all three together"
        assert not task.labels or tuple(model.config.id2label[place] for place in range(len(task.labels))) == task.labels
        examples, _ = load_examples(task, "dev", "en", data_dir)
        trainer = Trainer(model, training_args, data_collator=Collator(tokenizer.pad_token_id), compute_loss_func=task_type.loss)
        features = make_features(examples, tokenizer, task, 96, 128)
        assert score(trainer, task, examples, features, "en")[1] == dev[name]
    with pytest.raises(InputError, match="has no head 'mnlii'. Did you mean 'mnli'?"):
        load_task_model(str(joint_run), "mnlii")
    with pytest.raises(InputError, match="holds no complete xlm-roberta encoder"):
        load_model(TASK_TYPES["classification"].Model, str(joint_run / "heads" / "mnli"), TASKS["mnli"].labels, seed=1)
    shutil.copytree(joint_run, tmp_path / "mixed")
    shutil.copy(joint_run / "heads/squad_v1/model.safetensors", tmp_path / "mixed/heads/mnli/model.safetensors")
    with pytest.raises(InputError, match="does not hold the head of a XLMRobertaForSequenceClassification"):
        load_task_model(str(tmp_path / "mixed"), "mnli")


# ---- resumed runs and checkpoint selection


def test_a_joint_run_killed_in_the_middle_goes_on_to_the_same_weights(call, tiny_model, data_dir, tmp_path):
    flags = ["--task", "mnli", "hellaswag", "--model_name_or_path", tiny_model, "--data_dir", data_dir, *COMMON, "--learning_rate", "1e-3",
             "--effective_batch_size", "8", "--per_device_train_batch_size", "4", "--max_steps", "40", "--max_eval_samples", "20",
             "--eval_strategy", "steps", "--eval_steps", "10"]  # fmt: skip
    whole = call(run_intermediate, *flags, "--output_dir", tmp_path / "whole")
    cut = tmp_path / "cut"
    launch("tests/killed.py", 25, "run_intermediate", *flags, "--output_dir", cut, expect=-9)
    assert not (cut / "results.json").exists()
    resumed = call(run_intermediate, *flags, "--output_dir", cut)
    assert resumed["training"]["resumed_from_step"] == 20
    for part in ("model.safetensors", "heads/mnli/model.safetensors", "heads/hellaswag/model.safetensors"):
        weights = [load_file(folder / part) for folder in (tmp_path / "whole", cut)]
        assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0]), part
    assert whole["dev"] == resumed["dev"] and whole["training"]["drawn"] == resumed["training"]["drawn"]

    scores = {entry["step"]: entry for entry in whole["training"]["log"] if "eval_mean" in entry}
    assert sorted(scores) == [10, 20, 30, 40]
    for entry in scores.values():
        assert entry["eval_mean"] == pytest.approx((entry["eval_mnli_accuracy"] + entry["eval_hellaswag_accuracy"]) / 2)
    best = max(scores, key=lambda step: (scores[step]["eval_mean"], -step))
    assert whole["training"]["best_step"] == best and whole["dev_mean"] == pytest.approx(scores[best]["eval_mean"])


# ---- bad input


@pytest.mark.parametrize("flags, message", [
    (["--task", "mnli", "squad1"], "Unknown task 'squad1'. Did you mean 'squad_v1'?"),
    (["--task", "mnli", "squad_v1", "mnli"], "--task names 'mnli' 2 times"),
    (["--task", "mnli", "xnli"], "xnli is a target task: use run_target.py"),
    (["--task", "mnli", "all"], "Unknown task 'all'"),
    (["--task", "mnli", "hellaswag", "--sampling_cap", "0"], "--sampling_cap 0 leaves nothing to draw: at least 1"),
    (["--task", "mnli", "hellaswag", "--sampling", "proportionl"], "argument --sampling: invalid choice: 'proportionl'"),
    (["--task", "mnli", "hellaswag", "--sampling", "temperature"], "--sampling temperature and --temperature T go together"),
    (["--task", "mnli", "hellaswag", "--temperature", "2"], "--sampling temperature and --temperature T go together"),
    (["--task", "mnli", "hellaswag", "--sampling", "temperature", "--temperature", "0"], "--temperature 0.0 is not a number above 0"),
    (["--task", "mnli", "hellaswag", "--keep_head"], "--keep_head is for one task"),
    (["--task", "mnli", "ccg"], "CCGbank .* is licensed and not on the hub"),
    (["--task", "all"], "anli|glue|snli"),
])  # fmt: skip
def test_a_mistake_ends_in_one_line_and_leaves_no_results(flags, message, call, tiny_model, data_dir, tmp_path):
    common = ["--model_name_or_path", tiny_model, "--data_dir", data_dir, "--output_dir", tmp_path / "out", "--use_cpu"]
    with pytest.raises(InputError, match=message) as caught:
        call(run_intermediate, *flags, *common)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "results.json").exists()
