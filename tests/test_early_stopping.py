"""--early_stopping_patience: training ends when comparisons find no better checkpoint; a resumed run keeps the count."""

import pytest
import torch
from conftest import Cut
from safetensors.torch import load_file

import run_intermediate
import run_target
from speed.real_tokens import RealTokensTrainer
from task_adapters import InputError
from trainer import loop

SCORES = (50.0, 70.0, 60.0, 70.0, 65.0, 90.0)  # the second is the best of the first five; an equal one is no better


@pytest.fixture
def run(call, tiny_model, data_dir, monkeypatch):
    """run(folder, *flags): MNLI, whose comparisons of checkpoints have the scores above."""
    score = loop.score_with_loss

    def scored(trainer, *more):
        predicted, metrics, loss = score(trainer, *more)
        at = trainer.state.global_step // 2 - 1
        return predicted, {**metrics, "accuracy": SCORES[at]} if trainer.is_in_train and at >= 0 else metrics, loss

    monkeypatch.setattr(loop, "score_with_loss", scored)
    flags = ("--use_cpu", "--disable_tqdm", "true", "--max_seq_length", "48", "--effective_batch_size", "8", "--max_steps", "12",
             "--eval_steps", "2", "--save_steps", "2", "--max_eval_samples", "8", "--warmup_steps", "0", "--keep_checkpoints")  # fmt: skip
    where = ("--task", "mnli", "--model_name_or_path", tiny_model, "--data_dir", data_dir)
    return lambda folder, *more: call(run_intermediate, *where, "--output_dir", folder, *flags, *more)


@pytest.mark.parametrize("patience, steps", [(2, 8), (3, 10), (4, 12)])
def test_a_run_ends_after_that_many_comparisons_without_a_better_checkpoint(patience, steps, run, tmp_path, capsys):
    results = run(tmp_path / "out", "--early_stopping_patience", patience)
    stopped = steps < 12
    assert results["training"]["early_stopping"] == {"patience": patience, "stopped": stopped, "steps": steps, "of": 12}
    assert results["training"]["steps"] == steps and results["training"]["best_step"] == (4 if stopped else 12)
    assert results["early_stopping_patience"] == patience
    line = f"stopped early, after {steps} of 12 updates: the last {patience} comparison(s) found no better checkpoint than that of update 4"
    assert (line in capsys.readouterr().out) == stopped
    best = load_file(tmp_path / f"out/checkpoint-{results['training']['best_step']}/model.safetensors")
    saved = load_file(tmp_path / "out/model.safetensors")
    assert all(torch.equal(best[name], saved[name]) for name in saved)


def test_a_resumed_run_keeps_the_count(run, cut, tmp_path):
    whole = run(tmp_path / "whole", "--early_stopping_patience", "3")
    undo = cut(RealTokensTrainer, "training_step", when=lambda trainer, *_, **__: trainer.state.global_step == 8)
    with pytest.raises(Cut):
        run(tmp_path / "cut", "--early_stopping_patience", "3")
    undo()
    results = run(tmp_path / "cut", "--early_stopping_patience", "3")
    assert results["training"]["resumed_from_step"] == 8
    assert (
        results["training"]["early_stopping"]
        == whole["training"]["early_stopping"]
        == {"patience": 3, "stopped": True, "steps": 10, "of": 12}
    )
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_that_is_killed_when_it_was_stopped_is_not_trained_any_further(run, cut, tmp_path):
    undo = cut(loop.RunTrainer, "_finalize_training")
    with pytest.raises(Cut):
        run(tmp_path / "out", "--early_stopping_patience", "2")
    undo()
    results = run(tmp_path / "out", "--early_stopping_patience", "2")
    assert results["training"]["resumed_from_step"] == 8 and results["training"]["steps"] == 8
    assert results["training"]["early_stopping"]["stopped"] and results["training"]["best_step"] == 4


def test_several_tasks_are_stopped_by_their_mean(call, tiny_model, data_dir, tmp_path, monkeypatch):
    monkeypatch.setattr("trainer.multitask.dev_mean", lambda *_: 50.0)
    where = ("--model_name_or_path", tiny_model, "--data_dir", data_dir, "--output_dir", tmp_path / "out")
    fast = ("--use_cpu", "--max_seq_length", "48", "--effective_batch_size", "8", "--max_eval_samples", "4", "--disable_tqdm", "true")
    steps = ("--max_steps", "6", "--eval_steps", "1", "--save_steps", "1")
    results = call(run_intermediate, "--task", "mnli", "hellaswag", *where, *fast, *steps, "--early_stopping_patience", "1")
    assert results["training"]["early_stopping"] == {"patience": 1, "stopped": True, "steps": 2, "of": 6}


@pytest.mark.parametrize("flags, message", [
    (("--early_stopping_patience", "0"), "--early_stopping_patience 0: at least 1."),
    *((("--early_stopping_patience", "3", *flags), "--early_stopping_patience 3 counts comparisons of checkpoints, and this run makes none")
      for flags in (("--eval_strategy", "no"), ("--save_strategy", "no"), ("--load_best_model_at_end", "false"))),
])  # fmt: skip
def test_without_comparisons_it_is_refused(flags, message, call, tiny_model, tmp_path):
    with pytest.raises(InputError) as error:
        call(run_target, "--task", "xnli", "--model_name_or_path", tiny_model, "--output_dir", tmp_path / "out", "--use_cpu", *flags)
    assert str(error.value).startswith(message) and not (tmp_path / "out").exists()
