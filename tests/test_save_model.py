"""--save_model false: a finished run keeps its results and predictions, and not its model."""

import pytest
from conftest import Cut

import run_intermediate
import run_retrieval
import run_target
from results import RunFolder
from task_adapters import InputError

FAST = ("--use_cpu", "--disable_tqdm", "true", "--max_seq_length", "48", "--effective_batch_size", "8", "--max_steps", "2",
        "--max_eval_samples", "8")  # fmt: skip


# Every finished run has these: what it is, its scores, what it printed, and its card.
OF_EVERY_RUN = {"run.json", "results.json", "run.lock", "log.txt", "README.md"}


def names_in(folder):
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def run(call, tiny_model, data_dir):
    def run(script, task, folder, *flags, model=tiny_model):
        return call(
            script, "--task", *task.split(), "--model_name_or_path", model, "--data_dir", data_dir, "--output_dir", folder, *FAST, *flags
        )

    return run


def test_results_and_predictions_stay_and_the_model_goes(run, tmp_path, capsys):
    scored = ("--languages", "de", "--max_predict_samples", "9")
    kept = run(run_target, "xnli", tmp_path / "kept", *scored)
    results = run(run_target, "xnli", tmp_path / "out", *scored, "--save_model", "false")
    said = "results and predictions are kept, and not the model (--save_model false)"
    assert said in capsys.readouterr().out and results["model_saved"] is False and "model_saved" not in kept
    assert results["scores"] == kept["scores"] and names_in(tmp_path / "kept") > names_in(tmp_path / "out")
    assert names_in(tmp_path / "out") == {*OF_EVERY_RUN, "predictions", "labels"}
    assert run(run_target, "xnli", tmp_path / "out", *scored)["scores"] == results["scores"], "skipped: the flag is no other run"
    assert "its model was not kept (--save_model false); --overwrite trains it again" in capsys.readouterr().out


def test_heads_go_too_and_an_adapter_stays(run, tmp_path):
    run(run_intermediate, "mnli hellaswag", tmp_path / "out", "--lora_rank", "2", "--save_model", "false")
    assert names_in(tmp_path / "out") == {*OF_EVERY_RUN, "adapter"}


def test_a_kill_before_the_model_is_removed_is_made_good_by_the_next_start(run, cut, tmp_path):
    undo = cut(RunFolder, "clean_up")
    with pytest.raises(Cut):
        run(run_intermediate, "mnli", tmp_path / "out", "--save_model", "false")
    undo()
    assert {"results.json", "model.safetensors"} <= names_in(tmp_path / "out")
    run(run_intermediate, "mnli", tmp_path / "out", "--save_model", "false")
    assert names_in(tmp_path / "out") == OF_EVERY_RUN


def test_a_later_phase_is_told_in_one_line(run, call, data_dir, tmp_path):
    run(run_intermediate, "mnli", tmp_path / "out", "--save_model", "false")
    message = r"out holds a run without its model: run its command again with --overwrite and without --save_model false.$"
    with pytest.raises(InputError, match=message):
        run(run_target, "xnli", tmp_path / "next", model=tmp_path / "out")
    with pytest.raises(InputError, match=message):
        call(run_retrieval, "--task", "tatoeba", "--model_name_or_path", tmp_path / "out", "--output_dir", tmp_path / "next", "--layer",
             "1", "--data_dir", data_dir, "--use_cpu")  # fmt: skip


def test_checkpoints_cannot_stay_without_it(run, tmp_path):
    with pytest.raises(InputError, match="^--keep_checkpoints keeps weights, --save_model false does not: leave one of the two out.$"):
        run(run_intermediate, "mnli", tmp_path / "out", "--save_model", "false", "--keep_checkpoints")
