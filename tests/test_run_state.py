"""A run gives the result of its command, whatever happens to the machine. Each test is for a defect that was seen once."""

import json
import os
import random
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from conftest import NLI, ROOT, Cut, begin, nli_rows, save_checkpoint, write_hub_folder
from safetensors.torch import load_file, save_file

import results
import run_intermediate
import run_retrieval
import run_target
from console import Collapsed
from results import RunFolder
from task_adapters import InputError
from trainer import loop, selection
from trainer.checkpoints import checkpoints_of, last_complete_checkpoint

TRAINING = ("--use_cpu", "--disable_tqdm", "true", "--max_seq_length", "48", "--learning_rate", "2e-3", "--effective_batch_size", "16",
            "--per_device_train_batch_size", "16", "--max_train_samples", "160", "--max_eval_samples", "32")  # fmt: skip
STEPS = ("--eval_strategy", "steps", "--eval_steps", "8", "--save_steps", "8", "--max_steps", "21")  # an epoch has 10


def read(folder, name="results.json"):
    return json.loads((folder / name).read_text(encoding="utf-8"))


def weights(folder):
    return load_file(folder / "model.safetensors")


def same_weights(one, other):
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items()) and set(one) == set(other)


@pytest.fixture
def target(call, tiny_model, data_dir):
    """target(folder, *flags): a small run of phase 2 in XNLI."""

    def run(folder, *flags, data=data_dir, model=tiny_model):
        common = ("--task", "xnli", "--languages", "de", "en", "--max_predict_samples", "60", *TRAINING, *STEPS)
        return call(run_target, *common, "--model_name_or_path", model, "--data_dir", data, "--output_dir", folder, *flags)

    return run


@pytest.fixture
def retrieve(call, tiny_model, data_dir):
    def run(folder, *flags, model=tiny_model, data=data_dir, task="tatoeba"):
        common = ("--task", task, "--languages", "de", "--layer", "1", "--use_cpu")
        return call(run_retrieval, *common, "--model_name_or_path", model, "--data_dir", data, "--output_dir", folder, *flags)

    return run


def rotated_labels(data_dir, root, part):
    """A copy of the data in which one part has other labels under the same texts."""
    from datasets import load_dataset

    shutil.copytree(data_dir, root)
    ((file,),) = [[*root.glob(f"{part}*.parquet")]]
    rows = load_dataset("parquet", data_files=str(file), split="train")
    features = rows.features
    rows.map(lambda row: {"label": (row["label"] + 1) % 3}, features=features).to_parquet(str(file) + ".new")
    os.replace(str(file) + ".new", file)
    return root


def with_german_dev(data_dir, root):
    """A copy of the data in which XNLI has German dev data: for --oracle and --select_on."""
    from datasets import ClassLabel, Features, Value

    nli = Features({"premise": Value("string"), "hypothesis": Value("string"), "label": ClassLabel(names=NLI)})
    shutil.copytree(data_dir, root)
    write_hub_folder(root, "facebook/xnli", "de", "validation", nli_rows(random.Random(3), "de", 40), nli)
    return root


# ---- a run's data are part of the run


@pytest.mark.parametrize("part, named", [
    ("nyu-mll/glue/mnli/train", "mnli train en"),
    ("nyu-mll/glue/mnli/validation_matched", "mnli dev en"),
    ("facebook/xnli/de/test", "xnli test de"),
])  # fmt: skip
def test_a_run_goes_on_only_with_the_data_it_began_with(part, named, target, data_dir, tmp_path, cut):
    other = rotated_labels(data_dir, tmp_path / "other", part)
    undo = cut(loop, "score_with_loss", lambda *args: args[4] == "de")
    with pytest.raises(Cut):
        target(tmp_path / "out")
    undo()
    before = read(tmp_path / "out", "progress.json")
    with pytest.raises(InputError, match=f"holds a run that began with other data: what was read as {named} has changed. Choose another"):
        target(tmp_path / "out", data=other)
    assert read(tmp_path / "out", "progress.json") == before
    moved = shutil.copytree(data_dir, tmp_path / "moved")
    assert target(tmp_path / "out", data=moved)["scores"], "the same rows elsewhere are the same data"
    with pytest.raises(InputError, match="began with other data"):  # A finished cell is not skipped if the data are others.
        target(tmp_path / "out", data=other)
    assert target(tmp_path / "out", data=data_dir) == read(tmp_path / "out")


def test_languages_of_one_retrieval_run_are_not_mixed_from_two_data_sets(retrieve, data_dir, tmp_path, cut):
    import predictions

    undo = cut(predictions, "write_labels")
    with pytest.raises(Cut):
        retrieve(tmp_path / "out")
    undo()
    other = shutil.copytree(data_dir, tmp_path / "other")
    (file,) = (other / "google/xtreme/tatoeba.deu").glob("*.parquet")
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(file)
    pyarrow.parquet.write_table(table.slice(1), file)
    with pytest.raises(InputError, match="what was read as tatoeba test de has changed"):
        retrieve(tmp_path / "out", data=other)


# ---- the model


@pytest.mark.parametrize("is_finished", [False, True])
def test_other_weights_at_the_same_path_are_refused(is_finished, retrieve, tiny_model, tmp_path, cut):
    model = shutil.copytree(tiny_model, tmp_path / "model")
    import predictions

    undo = (lambda: None) if is_finished else cut(predictions, "write_labels")
    try:
        retrieve(tmp_path / "out", model=model)
    except Cut:
        undo()
    assert (tmp_path / "out" / "results.json").exists() == is_finished
    tensors = weights(model)
    tensors["lm_head.bias"][0] += 1
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"began with other weights \(.*sha256:\w+\) than .* has now \(sha256:\w+\)"):
        retrieve(tmp_path / "out", model=model)


def test_another_config_beside_the_same_weights_is_refused(retrieve, tiny_model, tmp_path):
    """With one block less the finished cell was skipped, and a cut-off one went on: first languages from another model."""
    model = shutil.copytree(tiny_model, tmp_path / "model")
    first = retrieve(tmp_path / "out", model=model)
    config = read(model, "config.json")
    (model / "config.json").write_text(json.dumps({**config, "transformers_version": "5.0.0"}))
    assert retrieve(tmp_path / "out", model=model) == first, "another layout and version are the same model"
    (model / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 0.1}))
    with pytest.raises(InputError, match="began with another config.json in the model's folder"):
        retrieve(tmp_path / "out", model=model)


def test_what_a_model_was_trained_on_is_compared_and_not_where_it_lay_or_when_it_ended(tmp_path):
    stage = {"task": "mnli", "seed": 1, "folder": "out/mnli", "finished": "2026-01-01"}
    moved, other = {**stage, "folder": "elsewhere", "finished": "2026-01-02"}, {**stage, "task": "qqp"}
    model = {"name_or_path": "out/mnli", "revision": "sha256:1"}
    for lineage in ([stage], [moved]):
        assert begin(tmp_path, {"seed": 1}, inputs={"model": model, "lineage": lineage, "content": {}}) is None
        (tmp_path / "predictions").mkdir(exist_ok=True)  # the run has made something that could be lost
        results.release()
    assert read(tmp_path, "run.json")["lineage"] == [stage], "as it was when the weights were read"
    with pytest.raises(InputError, match="whose model had been trained on other things before"):
        begin(tmp_path, {"seed": 1}, inputs={"model": model, "lineage": [other], "content": {}})


def test_a_rare_flag_that_is_left_out_makes_another_run(tmp_path):
    begin(tmp_path, {"seed": 1, "adam_beta1": 0.8})
    (tmp_path / "predictions").mkdir()
    results.release()
    with pytest.raises(InputError, match="holds a run with adam_beta1 0.8; this command says None"):
        begin(tmp_path, {"seed": 1})


def test_each_of_several_files_of_one_language_is_part_of_the_content():
    part = {"task": "xnli", "split": "train", "language": "de"}
    contents = [results.content_of([{**part, "content": key} for key in keys]) for keys in ("ab", "cb", "ac", "b")]
    assert len({content["xnli train de"] for content in contents}) == 4


def test_a_path_may_be_spelled_in_several_ways(retrieve, tiny_model, tmp_path, monkeypatch):
    shutil.copytree(tiny_model, tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    first = retrieve("out", model="model")
    for spelled in ("./model", "model/", tmp_path / "model", "../" + tmp_path.name + "/model"):
        assert retrieve("out", model=spelled) == first


@pytest.mark.parametrize("model, output_dir, message", [
    ("phase1", "phase1", "is the folder of the model itself, which the run would replace"),
    ("phase1", "./x/../phase1", "is the folder of the model itself"),
    ("link", "phase1", "is the folder of the model itself"),
    ("out/checkpoint-8", "out", "the model lies in it, as checkpoint-8"),
    ("phase1", "phase1/checkpoint-9", "it lies in the model's folder, as checkpoint-9"),
    ("phase1", "phase1/heads/xnli", "it lies in the model's folder, as heads"),
    ("phase1", "phase1/xnli", None),  # the usual folder
    ("phase1/base", "phase1", None),  # A run may have its folder next to the folder of a model.
])  # fmt: skip
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_run_never_destroys_the_model_that_it_starts_from(model, output_dir, message, overwrite, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("phase1/base", "out/checkpoint-8", "x"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "link").symlink_to("phase1")
    begin("phase1", {"task": "mnli"})
    (tmp_path / "out" / "run.json").write_text('{"task": "mnli"}')
    before = sorted(tmp_path.rglob("*"))
    if message is None:
        RunFolder(output_dir, {"task": "mnli"}, model, overwrite, 0.0)
        return
    with pytest.raises(InputError, match=message):
        RunFolder(output_dir, {"task": "mnli"}, model, overwrite, 0.0)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_does_not_go_into_the_folder_of_the_scripts(monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(InputError, match=r"^--output_dir \. is the folder of the scripts. One of the run's own, such as out/my_run, would"):
        RunFolder(".", {}, "no/model", overwrite=False, started=0.0)
    assert not (ROOT / "run.lock").exists()


@pytest.mark.parametrize("flags, message", [
    (("--data_dir", "no/such/folder"), "--data_dir no/such/folder: no such folder"),
    (("--max_seq_length", "100000"), "is more than .* can read"),
    (("--model_name_or_path", "no/such/model"), "Cannot load a"),
    (("--train_file", "no/such/file.tsv"), "no/such/file.tsv"),
    (("--languages", "de", "xx"), "has no 'xx' data"),
    (("--save_steps", "3"), "."),
    (("--keep_head",), "--keep_head: .* has no head of this kind|The head of"),
    (("--model_name_or_path", "TORN"), "Cannot load a model from"),
])  # fmt: skip
def test_overwrite_removes_nothing_before_all_else_was_checked(flags, message, target, tiny_model, tmp_path):
    target(tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file() and path.name != "run.lock"}
    log = before.pop(tmp_path / "out" / "log.txt")
    if "TORN" in flags:
        torn = shutil.copytree(tiny_model, tmp_path / "torn")
        os.truncate(torn / "model.safetensors", 5000)
        flags = ("--model_name_or_path", torn)
    with pytest.raises((InputError, ValueError), match=message):
        target(tmp_path / "out", "--overwrite", *flags)
    after = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file() and path.name != "run.lock"}
    assert after.pop(tmp_path / "out" / "log.txt").startswith(log) and after == before


# ---- the state "trained"


@pytest.fixture
def whole(target, tmp_path):
    return target(tmp_path / "whole"), weights(tmp_path / "whole")


@pytest.mark.parametrize("at", ["dev", "test de", "test en", "results"])
def test_a_run_killed_while_it_is_scored_is_not_trained_again(at, target, whole, tmp_path, cut, monkeypatch, capsys):
    seen = []

    def reached(*args):
        seen.append(args[4])
        return {"dev": len(seen) == 4, "test de": args[4] == "de", "test en": len(seen) > 5}.get(at, False)

    undo = cut(RunFolder, "finish") if at == "results" else cut(loop, "score_with_loss", reached)
    with pytest.raises(Cut):
        target(tmp_path / "out")
    undo()
    assert read(tmp_path / "out", "progress.json")["state"] == ("trained" if at in ("dev", "test de") else "scored")
    monkeypatch.setattr(loop, "run_trainer", None)
    again = target(tmp_path / "out")
    assert "is trained: going on with the scores" in capsys.readouterr().out
    results, tensors = whole
    assert again["scores"] == results["scores"] and again["dev"] == results["dev"] and same_weights(weights(tmp_path / "out"), tensors)
    for name in ("steps", "train_loss", "tokens", "best_step", "best_selection_score", "warning"):
        assert again["training"][name] == results["training"][name], name
    assert again["training"]["steps"] == 21 and again["training"]["train_loss"] > 0 and again["training"]["tokens"]["real_tokens"]


@pytest.mark.parametrize("strategy", ["best", "last"])
def test_a_run_killed_behind_its_last_checkpoint_takes_no_further_step(strategy, call, tiny_model, data_dir, tmp_path, cut):
    flags = ("--task", "udpos", "--languages", "de", *TRAINING, "--max_steps", "15", "--save_steps", "15", "--eval_steps", "15",
             "--model_name_or_path", tiny_model, "--data_dir", data_dir,
             *(() if strategy == "best" else ("--eval_strategy", "no", "--load_best_model_at_end", "false")))  # fmt: skip
    results = call(run_target, *flags, "--output_dir", tmp_path / "whole")
    undo = cut(loop.RunTrainer, "_finalize_training")
    with pytest.raises(Cut):
        call(run_target, *flags, "--output_dir", tmp_path / "out")
    undo()
    again = call(run_target, *flags, "--output_dir", tmp_path / "out")
    assert again["training"]["resumed_from_step"] == again["training"]["steps"] == 15
    assert again["training"]["train_loss"] == results["training"]["train_loss"]
    assert same_weights(weights(tmp_path / "out"), weights(tmp_path / "whole"))


@pytest.mark.parametrize("flags", [("--task", "mnli", "squad_v1"), ("--task", "mnli", "--mlm_languages", "de", "--mlm_eval_samples", "10")])
def test_several_tasks_and_masked_lm_are_not_trained_again_either(flags, call, tiny_model, data_dir, tmp_path, cut, monkeypatch):
    text = tmp_path / "text"
    text.mkdir()
    (text / "de.txt").write_text("\n".join(f"das kleine Haus sieht Stadt {i} ." for i in range(200)))
    flags = (*flags, *(("--mlm_data", text) if "--mlm_languages" in flags else ()), *TRAINING, *STEPS,
             "--model_name_or_path", tiny_model, "--data_dir", data_dir)  # fmt: skip
    results = call(run_intermediate, *flags, "--output_dir", tmp_path / "whole")
    undo = cut(RunFolder, "finish")
    with pytest.raises(Cut):
        call(run_intermediate, *flags, "--output_dir", tmp_path / "out")
    undo()
    monkeypatch.setattr("trainer.multitask.run_trainer", None)
    again = call(run_intermediate, *flags, "--output_dir", tmp_path / "out")
    for name in ("dev", "seed_used", "failed_tries"):
        assert again[name] == results[name]
    for name in ("steps", "train_loss", "tokens", "drawn", "mlm"):
        assert again["training"].get(name) == results["training"].get(name), name


def test_a_run_killed_while_it_is_scored_is_judged_by_the_losses_it_had(call, tiny_model, data_dir, tmp_path, cut, monkeypatch):
    """An empty loss window counted as "at chance": the run ended with exit code 3 and its checkpoint was gone."""
    from trainer import collapse

    monkeypatch.setattr(collapse, "JUDGED_STEPS", 10)
    monkeypatch.setattr(collapse, "NEAR_FLOOR", 90)  # No dev score is above this bound, so only the losses decide.
    flags = ("--task", "udpos", "--languages", "de", *TRAINING, *STEPS, "--warmup_steps", "0", "--model_name_or_path", tiny_model,
             "--data_dir", data_dir, "--output_dir", tmp_path)  # fmt: skip
    undo = cut(loop, "score_with_loss", lambda *args: args[4] == "de")
    with pytest.raises(Cut):
        call(run_target, *flags)
    undo()
    assert len(read(tmp_path, "progress.json")["trained"]["figures"]["watch"]["window"]) == 21
    results = call(run_target, *flags)
    assert results["failed_tries"] == [] and "dev f1 of udpos is" in results["training"]["warning"]


# ---- power cuts


def truncated(folder, name):
    os.truncate(folder / name, (folder / name).stat().st_size // 2)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "config.json", "figures.json",
                                  "trainer_state.json", "training_args.bin"])  # fmt: skip
def test_a_broken_newest_checkpoint_is_passed_over_with_a_line(name, target, whole, tmp_path, cut, capsys):
    undo = cut(loop.RunTrainer, "_finalize_training")
    with pytest.raises(Cut):
        target(tmp_path / "out", "--save_total_limit", "3", "--load_best_model_at_end", "false", "--eval_strategy", "no")
    undo()
    newest, older = (folder for _, folder in checkpoints_of(tmp_path / "out")[:2])
    truncated(newest, name)
    capsys.readouterr()
    again = target(tmp_path / "out", "--save_total_limit", "3", "--load_best_model_at_end", "false", "--eval_strategy", "no")
    said = capsys.readouterr().out
    assert f"{newest} is passed over: {name} is broken" in said and f"going on from {older}" in said
    assert again["training"]["resumed_from_step"] == 8 * (len(str(older)) > 0) + 8 == 16
    straight = target(tmp_path / "straight", "--load_best_model_at_end", "false", "--eval_strategy", "no")
    assert same_weights(weights(tmp_path / "out"), weights(tmp_path / "straight")) and again["scores"] == straight["scores"]


ZEROS = "as a power cut leaves a file whose length alone had come to the disk"


@pytest.mark.parametrize("name, content", [
    *[(f"{name}.pt", ZEROS) for name in ("optimizer", "scheduler")],
    *[(name, ZEROS) for name in ("rng_state.pth", "training_args.bin", "model.safetensors", "trainer_state.json")],
    *[(name, None) for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "model.safetensors")],
    ("optimizer.pt", "a folder"), ("model.safetensors", "a folder"), ("optimizer.pt", b""), ("scheduler.pt", b"PK\x03\x04 and no more"),
])  # fmt: skip
def test_a_checkpoint_with_a_file_that_is_none_is_not_whole(name, content, target, tmp_path, cut):
    """Without optimizer.pt the Trainer went on with an optimizer of its own; zeros in it were a traceback at every rerun."""
    out = tmp_path / "out"
    checkpoint = save_checkpoint(out / "checkpoint-16")
    save_checkpoint(out / "checkpoint-8")
    assert last_complete_checkpoint(out) == str(checkpoint)
    length = (checkpoint / name).stat().st_size
    (checkpoint / name).unlink()
    if content == "a folder":
        (checkpoint / name).mkdir()
    elif content is not None:
        (checkpoint / name).write_bytes(bytes(length) if content == ZEROS else content)
    assert last_complete_checkpoint(out) == str(out / "checkpoint-8")


@pytest.mark.parametrize("fate", ["cut", "kept until the checkpoints are read"])
def test_broken_weights_of_the_oracle_are_made_anew(fate, target, data_dir, tmp_path, cut, capsys):
    """They were a traceback at every rerun."""
    data_dir, flags = with_german_dev(data_dir, tmp_path / "data"), ("--oracle", "--save_total_limit", "4")
    expected = target(tmp_path / "whole", *flags, data=data_dir)
    undo = cut(selection, "load_model") if fate == "cut" else cut(loop.RunTrainer, "_finalize_training")
    with pytest.raises(Cut):
        target(tmp_path / "out", *flags, data=data_dir)
    undo()
    first, *_ = sorted((tmp_path / "out" / "oracle").glob("*.safetensors"), key=lambda path: int(path.stem))
    os.truncate(first, 100)
    again = target(tmp_path / "out", *flags, data=data_dir)
    assert f"is passed over: oracle/{first.name} is broken" in capsys.readouterr().out
    assert again["oracle"] == expected["oracle"] and again["scores"] == expected["scores"]


def test_a_broken_checkpoint_is_removed_before_the_run_goes_on(tmp_path, monkeypatch):
    """It would count as the newest one, and --save_total_limit 1 would remove the whole one in its place."""
    save_checkpoint(tmp_path / "checkpoint-8")
    monkeypatch.setattr(loop, "agree", lambda *_: None)
    accelerator = SimpleNamespace(wait_for_everyone=lambda: None)
    loop.resume(SimpleNamespace(args=SimpleNamespace(output_dir=str(tmp_path)), accelerator=accelerator), None)
    assert not checkpoints_of(tmp_path)


def test_where_the_best_checkpoint_is_broken_its_followers_are_passed_over(target, whole, tmp_path, cut, capsys):
    undo = cut(loop.RunTrainer, "_finalize_training")
    with pytest.raises(Cut):
        target(tmp_path / "out", "--save_total_limit", "4")
    undo()
    state = read(tmp_path / "out" / "checkpoint-21", "trainer_state.json")
    truncated(tmp_path / "out" / os.path.basename(state["best_model_checkpoint"]), "model.safetensors")
    again = target(tmp_path / "out", "--save_total_limit", "4")
    assert "is passed over" in capsys.readouterr().out
    assert again["scores"] == whole[0]["scores"] and same_weights(weights(tmp_path / "out"), whole[1])


def test_a_trained_model_that_is_broken_is_taken_from_its_checkpoints_again(target, whole, tmp_path, cut, capsys):
    undo = cut(loop, "score_with_loss", lambda *args: args[4] == "de")
    with pytest.raises(Cut):
        target(tmp_path / "out")
    undo()
    truncated(tmp_path / "out", "model.safetensors")
    again = target(tmp_path / "out")
    assert "the trained model cannot be read (model.safetensors is broken" in capsys.readouterr().out
    assert again["scores"] == whole[0]["scores"] and same_weights(weights(tmp_path / "out"), whole[1])


def test_a_moved_output_folder_still_finds_its_best_checkpoint(target, whole, tmp_path, cut):
    undo = cut(loop.RunTrainer, "_finalize_training")
    with pytest.raises(Cut):
        target(tmp_path / "out")
    undo()
    shutil.move(tmp_path / "out", tmp_path / "elsewhere")
    again = target(tmp_path / "elsewhere")
    assert again["training"]["best_step"] == whole[0]["training"]["best_step"] and same_weights(weights(tmp_path / "elsewhere"), whole[1])


@pytest.mark.parametrize("name", ["starts.json", "progress.json", "results.json", "run.json", "failed_tries.json"])
@pytest.mark.parametrize("content", ['{"half', "[", "", "null", "3"])
def test_a_torn_note_blocks_no_folder(name, content, tmp_path, capsys):
    settings = {"task": "xnli", "seed": 1}
    begin(tmp_path, settings)
    (tmp_path / "predictions").mkdir()
    (tmp_path / name).write_text(content)
    results.release()
    if name == "run.json":  # No other file says which run this was.
        with pytest.raises(InputError, match="run.json is damaged: .* --overwrite begins anew"):
            begin(tmp_path, settings)
    else:
        assert begin(tmp_path, settings) is None, "it goes on"
    assert begin(tmp_path, {**settings, "seed": 2}, overwrite=True) is None
    assert read(tmp_path, "run.json")["seed"] == 2 and read(tmp_path, "progress.json")["state"] == "begun"


def test_of_many_settings_that_a_command_lacks_the_first_is_named(tmp_path):
    """The message named one by the order of a set, another one in each process."""
    begin(tmp_path, {"seed": 1, **{f"setting_{number}": number for number in range(50)}})
    (tmp_path / "predictions").mkdir()
    results.release()
    with pytest.raises(InputError, match="holds a run with setting_0 0; this command says None"):
        begin(tmp_path, {"seed": 1})


def test_a_torn_record_of_failed_tries_is_no_verdict(target, tmp_path):
    from trainer.collapse import refuse_failed

    begin(tmp_path, {"seed": 1})
    (tmp_path / "failed_tries.json").write_text('[{"seed"')
    assert refuse_failed(RunFolder(str(tmp_path), {"seed": 1}, "no/folder", False, 0.0), 0) == []


def test_a_finished_run_is_finished_however_many_attempts_failed_before(tmp_path):
    """Called again without its --retries, it was said to have failed to learn."""
    from trainer.collapse import refuse_failed

    begin(tmp_path, {"seed": 1})
    attempt = {"seed": 1, "step": 3, "steps": 20, "reason": "at chance"}
    results.write_json(tmp_path / "failed_tries.json", [attempt])
    with pytest.raises(Collapsed, match="--retries 1 tries another seed"):
        refuse_failed(RunFolder(str(tmp_path), {"seed": 1}, "no/folder", False, 0.0), 0)
    results.write_json(tmp_path / "results.json", {"scores": {}})
    assert refuse_failed(RunFolder(str(tmp_path), {"seed": 1}, "no/folder", False, 0.0), 0) == []


def test_a_pipe_in_place_of_a_note_is_no_waiting(tmp_path):
    begin(tmp_path, {"seed": 1})
    os.mkfifo(tmp_path / "results.json")
    with pytest.raises(InputError, match="results.json is not a file"):
        results.read_json(tmp_path / "results.json")
    assert begin(tmp_path, {"seed": 1}) is None


@pytest.mark.parametrize("name", ["results.json", "progress.json", "starts.json", "run.json", "failed_tries.json"])
def test_a_folder_in_place_of_a_note_is_refused_before_the_run(name, tmp_path):
    """A folder named results.json was a traceback after the training."""
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=f"{name} is a folder, where a run writes a file. Remove it"):
        begin(tmp_path, {"seed": 1})


def test_overwrite_leaves_the_files_of_a_folder_that_holds_no_run(tmp_path):
    """XTREME's own download has folders of these names: somebody's labels were removed."""
    files = [tmp_path / name for name in ("labels/xnli/test-de.tsv", "predictions/mine.tsv", "tokenizer_notes.txt")]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("mine")
    begin(tmp_path, {"seed": 1}, overwrite=True)
    assert [file.read_text() for file in files] == ["mine"] * 3
    begin(tmp_path, {"seed": 2}, overwrite=True)  # now they are the run's
    assert not (tmp_path / "labels").exists() and read(tmp_path, "run.json")["seed"] == 2


def test_overwrite_removes_a_link_and_not_what_it_leads_to(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    (disk / "trainer_state.json").write_text("{}")
    begin(tmp_path / "out", {"seed": 1})
    for name in ("checkpoint-9", "predictions"):
        (tmp_path / "out" / name).symlink_to(disk)
    assert begin(tmp_path / "out", {"seed": 1}, overwrite=True) is None
    assert (disk / "trainer_state.json").exists() and not (tmp_path / "out" / "predictions").is_symlink()


# ---- clean-up


def test_what_a_killed_clean_up_left_is_removed_by_the_next_call(target, data_dir, tmp_path, cut):
    data_dir = with_german_dev(data_dir, tmp_path / "data")
    undo = cut(RunFolder, "clean_up")
    with pytest.raises(Cut):
        target(tmp_path / "out", "--oracle", data=data_dir)
    undo()
    out = tmp_path / "out"
    (out / "predictions" / "xnli" / ".test-de.tsv.4711").write_text("half")
    (out / "run.json.part").write_text("half")
    (out / "predictions" / ".gitignore").write_text("somebody else's")
    (out / "download.part").write_text("somebody else's")
    (out / "later" / "predictions").mkdir(parents=True)
    (out / "later" / "progress.json.part").write_text("another run, at work")
    assert (out / "results.json").exists() and list(out.glob("checkpoint-*")) and (out / "oracle").is_dir()
    target(out, "--oracle", data=data_dir)
    assert not [*out.glob("checkpoint-*"), *out.glob("oracle"), *out.rglob(".test*")]
    assert (out / "predictions" / ".gitignore").exists() and (out / "download.part").exists()
    assert not (out / "run.json.part").exists() and not (out / "progress.json").exists()
    assert (out / "later" / "progress.json.part").exists(), "the folder of a later phase is not this run's"


def test_checkpoints_that_were_to_be_kept_are_kept_by_later_calls(target, tmp_path):
    target(tmp_path / "out", "--keep_checkpoints")
    kept = sorted((tmp_path / "out").glob("checkpoint-*"))
    assert kept
    target(tmp_path / "out")
    assert sorted((tmp_path / "out").glob("checkpoint-*")) == kept


def test_an_older_checkpoint_goes_only_when_the_newer_one_is_on_the_disk(target, tmp_path, monkeypatch):
    order, flush, remove = [], loop.flush, loop.remove

    def noted(paths):
        paths = list(paths)
        order.append(("on the disk", {path.name for path in paths}))
        flush(paths)

    monkeypatch.setattr(loop, "flush", noted)
    monkeypatch.setattr(loop, "remove", lambda path: order.append(("removed", path.name)) or remove(path))
    target(tmp_path / "out", "--load_best_model_at_end", "false", "--eval_strategy", "no")
    first, second, third = ({what for what in names if what.startswith("checkpoint-")} for kind, names in order if kind == "on the disk")
    assert [first, second, third] == [{"checkpoint-8"}, {"checkpoint-16"}, {"checkpoint-21"}]
    assert all(
        {"model.safetensors", "optimizer.pt", "trainer_state.json", "figures.json"} <= names
        for kind, names in order
        if kind == "on the disk"
    )
    assert [entry for entry in order if entry[0] == "removed"] == [("removed", "checkpoint-8"), ("removed", "checkpoint-16")]
    assert [kind for kind, _ in order] == ["on the disk", "on the disk", "removed", "on the disk", "removed"]


def test_a_language_counts_as_scored_only_when_its_predictions_are_on_the_disk(target, tmp_path, monkeypatch):
    on_disk, noted, flush = set(), [], results.flush
    monkeypatch.setattr(results, "flush", lambda paths: (paths := list(paths), on_disk.update(path.name for path in paths), flush(paths)))
    write = results.write_json

    def written(path, value):
        if path.name == "progress.json":
            noted.append((set(value.get("scored", {})), set(on_disk)))
        write(path, value)

    monkeypatch.setattr(results, "write_json", written)
    target(tmp_path / "out")
    assert [languages for languages, _ in noted if languages] == [{"de"}, {"de", "en"}]
    assert all(f"test-{language}.tsv" in files for languages, files in noted for language in languages)


# ---- kills at random


@pytest.fixture(scope="module")
def text_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    for language, words in (("de", "das kleine Haus sieht Stadt"), ("en", "the small house sees city")):
        (folder / f"{language}.txt").write_text("\n".join(f"{words} {i} ." for i in range(200)))
    return folder


def test_killed_runs_end_with_the_same_weights_and_scores(tiny_model, data_dir, text_dir, tmp_path):
    """A few of the kills of `python benchmarks/kills.py`."""
    data_dir = with_german_dev(data_dir, tmp_path / "data")
    command = [sys.executable, "benchmarks/kills.py", "--kills", "8", "--seed", "5", "--output_dir", tmp_path / "kills",
               "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--mlm_data", text_dir]  # fmt: skip
    process = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert process.returncode == 0, process.stdout[-3000:] + process.stderr[-3000:]
    assert "8 kills: every run ended with the same weights" in process.stdout
