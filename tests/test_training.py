"""What training must not do: depend on how a batch is cut into pieces, take an earlier head over unseen, start without its encoder."""

import json
import shutil
import sys
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from conftest import launch
from one_update import update
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

import arguments
import run_intermediate
import run_target
from arguments import InputError
from report.collect import collect
from results import lineage_of
from task_adapters import TASKS
from task_adapters.mnli import NLI_LABELS
from trainer.checkpoints import draw_head, last_complete_checkpoint, load_encoder, load_model, load_tokenizer

HEADS = ("mnli", "udpos", "squad_v1", "hellaswag")  # classification, tagging, span QA, multiple choice
LAYOUTS = {
    "1 process x 8": (1, ("--per_device_train_batch_size", "8", "--effective_batch_size", "8")),
    "1 process x 2 x 4 steps": (1, ("--per_device_train_batch_size", "2", "--effective_batch_size", "8")),
    "2 processes x 4": (2, ("--per_device_train_batch_size", "4", "--effective_batch_size", "8")),
    "2 processes x 1 x 4 steps": (2, ("--per_device_train_batch_size", "1", "--effective_batch_size", "8")),
}


@pytest.fixture(scope="module")
def updated(tiny_model, data_dir, tmp_path_factory):
    """{layout: {task: (weights after one step of plain gradient descent, results)}}"""
    folders = {layout: tmp_path_factory.mktemp("update") for layout in LAYOUTS}
    together = []  # a launch costs more than what is done in it
    for layout, (processes, flags) in LAYOUTS.items():
        if processes == 1:
            update(tiny_model, data_dir, folders[layout], *flags)
        else:
            together += ["--"] * bool(together) + [folders[layout], *flags]
    launch("tests/one_update.py", tiny_model, data_dir, *together, processes=2)
    return {
        layout: {
            task: (load_file(out / task / "model.safetensors"), json.loads((out / task / "results.json").read_text(encoding="utf-8")))
            for task in HEADS
        }
        for layout, out in folders.items()
    }


@pytest.mark.parametrize("task", HEADS)
@pytest.mark.parametrize("layout", list(LAYOUTS)[1:])
def test_a_batch_cut_into_pieces_gives_the_same_update(task, layout, updated, tiny_model):
    """Sentences and windows differ in length, so a mean of means would differ; SGD at rate 1 so that the scale of a gradient shows."""
    (reference, whole), (cut, results) = updated["1 process x 8"][task], updated[layout][task]
    before = load_file(f"{tiny_model}/model.safetensors")
    name = "roberta.encoder.layer.0.attention.self.value.weight"
    moved = (reference[name] - before[name]).norm() / before[name].norm()
    assert moved > 1e-3, "the step must be large enough to compare"
    for name, weight in reference.items():
        assert (weight - cut[name]).norm() <= 1e-5 * weight.norm() + 1e-6, name
    assert results["effective_batch_size"] == 8 and results["world_size"] == LAYOUTS[layout][0]
    assert results["dev"]["examples"] == 20
    assert results["training"]["tokens"]["real_tokens"] == whole["training"]["tokens"]["real_tokens"], "counted over all processes"
    losses = [entry["eval_loss"] for run in (whole, results) for entry in run["training"]["log"] if "eval_loss" in entry]
    assert len(losses) == 2 and losses[0] == pytest.approx(losses[1], rel=1e-4) and losses[0] > 0.1, (
        "scored by all processes, each feature once"
    )


def test_a_head_is_drawn_alike_whatever_holds_it(tiny_model, monkeypatch):
    """Under ZeRO-3 it is on a GPU, and may be in bf16, where other random numbers would be drawn."""
    model, _ = load_model(AutoModelForSequenceClassification, tiny_model, NLI_LABELS, seed=1)
    weight = model.classifier.out_proj.weight
    expected, drawn, draw = weight.detach().bfloat16(), [], type(model)._init_weights

    def spy(model, module):
        drawn.extend((parameter.device.type, parameter.dtype) for parameter in module.parameters(recurse=False))
        draw(model, module)

    monkeypatch.setattr(type(model), "_init_weights", spy)
    model.bfloat16()
    held = weight.data_ptr()
    weight.data.zero_()
    draw_head(model, 1)
    assert {*drawn} == {("cpu", torch.float32)}
    assert torch.equal(weight, expected) and weight.data_ptr() == held, "DeepSpeed hands out what stands there"


def test_the_head_is_fresh_and_seeded_whatever_the_checkpoint_held(tiny_model, tmp_path):
    """An MNLI head has the class and the shape that XNLI needs."""
    trained, _ = load_model(AutoModelForSequenceClassification, tiny_model, NLI_LABELS, seed=1)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(1.0)
    trained.save_pretrained(tmp_path)

    fresh, _ = load_model(AutoModelForSequenceClassification, str(tmp_path), NLI_LABELS, seed=1)
    base, _ = load_model(AutoModelForSequenceClassification, tiny_model, NLI_LABELS, seed=1)
    other, _ = load_model(AutoModelForSequenceClassification, tiny_model, NLI_LABELS, seed=2)
    for name, weight in fresh.state_dict().items():
        if name.startswith("roberta."):
            assert torch.equal(weight, trained.state_dict()[name]), f"{name}: the encoder is taken over"
        else:
            assert torch.equal(weight, base.state_dict()[name]), f"{name}: the head depends on the seed alone"
    assert not torch.equal(base.classifier.out_proj.weight, other.classifier.out_proj.weight)
    poolers = []
    for noise in (1, 2):  # the pooler, a part of the encoder that masked-LM checkpoints lack, is drawn while loading
        torch.manual_seed(noise)
        model, _ = load_model(AutoModelForMultipleChoice, tiny_model, (), seed=1)
        poolers.append(model.roberta.pooler.dense.weight)
    assert torch.equal(*poolers), "drawn with the run's own seed"


def test_keep_head_keeps_it_and_follows_its_label_order(tiny_model, tmp_path):
    order = ("neutral", "contradiction", "entailment")
    trained, _ = load_model(AutoModelForSequenceClassification, tiny_model, order, seed=1)
    trained.save_pretrained(tmp_path)
    kept, labels = load_model(AutoModelForSequenceClassification, str(tmp_path), NLI_LABELS, seed=5, keep_head=True)
    assert labels == order and torch.equal(kept.classifier.out_proj.weight, trained.classifier.out_proj.weight)
    with pytest.raises(InputError, match="names neutral, contradiction, entailment; this task needs 0, 1"):
        load_model(AutoModelForSequenceClassification, str(tmp_path), ("0", "1"), seed=5, keep_head=True)
    with pytest.raises(InputError, match="has no head of this kind"):
        load_model(AutoModelForQuestionAnswering, str(tmp_path), (), seed=5, keep_head=True)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["classifier.out_proj.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="has no head of this kind"):  # a part of it would be drawn
        load_model(AutoModelForSequenceClassification, str(tmp_path), NLI_LABELS, seed=5, keep_head=True)


def test_a_tagging_head_does_not_slip_into_multiple_choice(tiny_model, tmp_path):
    """Both call their layer `classifier`; with one tag the shapes agree too."""
    tagger, _ = load_model(AutoModelForTokenClassification, tiny_model, ("O",), seed=1)
    with torch.no_grad():
        tagger.classifier.weight.fill_(7.0)
    tagger.save_pretrained(tmp_path)
    chooser, _ = load_model(AutoModelForMultipleChoice, str(tmp_path), (), seed=1)
    assert chooser.classifier.weight.shape == (1, 64) and chooser.classifier.weight.abs().max() < 1
    span, _ = load_model(AutoModelForQuestionAnswering, str(tmp_path), (), seed=1)
    assert span.qa_outputs.weight.shape == (2, 64), "the number of labels is not inherited"


def test_a_checkpoint_without_its_encoder_is_refused(tiny_model, tmp_path):
    """Else a random encoder would be trained, and only the score would tell."""
    load_model(AutoModelForTokenClassification, tiny_model, ("a", "b"), seed=1)[0].save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {name: weight.contiguous() for name, weight in weights.items() if ".layer.1." not in name}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    for load in (
        lambda: load_model(AutoModelForTokenClassification, str(tmp_path), ("a", "b"), seed=1),
        lambda: load_encoder(str(tmp_path), None),
    ):
        with pytest.raises(InputError, match="holds no complete xlm-roberta encoder: 16 weights are missing"):
            load()
    name = "roberta.encoder.layer.1.output.dense.weight"
    save_file({**weights, name: weights[name][:, :100].contiguous()}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=f"holds no complete xlm-roberta encoder: 1 weights are missing, {name} first"):
        load_model(AutoModelForTokenClassification, str(tmp_path), ("a", "b"), seed=1)  # as a head of another size it would be drawn


def test_a_model_is_trained_in_full_precision_whatever_its_checkpoint_is_in(tiny_model, tmp_path):
    load_model(AutoModelForTokenClassification, tiny_model, ("a", "b"), seed=1)[0].bfloat16().save_pretrained(tmp_path)
    for model in (load_model(AutoModelForTokenClassification, str(tmp_path), ("a", "b"), seed=1)[0], load_encoder(str(tmp_path), None)):
        assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_the_encoder_cut_after_a_layer_gives_that_layers_hidden_states(tiny_model):
    tokenizer = load_tokenizer(tiny_model, needs_offsets=False)
    inputs = tokenizer("the dog sees a cat .", return_tensors="pt")
    with torch.no_grad():
        whole = load_encoder(tiny_model, None).eval()(**inputs, output_hidden_states=True).hidden_states
        cut = load_encoder(tiny_model, 1).eval()(**inputs, output_hidden_states=True).hidden_states
    assert len(whole) == 3 and len(cut) == 2 and torch.equal(whole[1], cut[1])


def test_a_run_goes_on_from_the_newest_checkpoint_that_is_whole(tmp_path):
    for name, state in (("9", "{}"), ("10", "{}"), ("11", '{"half'), ("12", None), ("13-old", "{}")):
        folder = tmp_path / f"checkpoint-{name}"
        folder.mkdir()
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
    assert last_complete_checkpoint(str(tmp_path)) == str(tmp_path / "checkpoint-10")
    assert last_complete_checkpoint(str(tmp_path / "checkpoint-10")) is None


def test_a_slow_tokenizer_is_refused_where_offsets_are_needed(tiny_model, monkeypatch):
    from transformers import AutoTokenizer

    class Slow:
        is_fast, pad_token, model_input_names, __len__ = False, "<pad>", ["input_ids"], lambda self: 1000

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda path, **_: Slow())
    assert load_tokenizer(tiny_model, needs_offsets=False).is_fast is False
    with pytest.raises(InputError, match="has a slow tokenizer"):
        load_tokenizer(tiny_model, needs_offsets=True)("a")


@pytest.mark.parametrize("given, world, expected", [
    ({}, 1, (8, 4)),
    ({}, 2, (8, 2)),
    ({"per_device_train_batch_size": "2"}, 1, (2, 16)),
    ({"gradient_accumulation_steps": "1"}, 1, (32, 1)),
    ({"gradient_accumulation_steps": "8", "per_device_train_batch_size": "1"}, 1, (1, 8)),
    ({"effective_batch_size": "6"}, 1, (6, 1)),
])  # fmt: skip
def test_the_effective_batch_is_reached_by_accumulation(given, world, expected, monkeypatch):
    from arguments import batch_and_accumulation

    monkeypatch.setenv("WORLD_SIZE", str(world))
    monkeypatch.setattr(sys, "argv", ["run.py", "--use_cpu"])
    names = ("effective_batch_size", "per_device_train_batch_size", "gradient_accumulation_steps")
    found = batch_and_accumulation(32, SimpleNamespace(**{name: given.get(name) for name in names}))
    assert (found["per_device_train_batch_size"], found["gradient_accumulation_steps"]) == expected


@pytest.mark.parametrize("gigabytes, flags, train, scoring", [
    (79, "--task xnli", 32, 128), (39.4, "--task xnli", 32, 128), (23.6, "--task xnli", 16, 64), (15.8, "--task xnli", 8, 32),
    (79, "--task xquad", 16, 84), (23.6, "--task xquad", 8, 40), (79, "--task xnli --max_seq_length 512", 16, 64),
    (79, "--task xnli --per_device_train_batch_size 4", 4, 128), (79, "--task xnli --use_cpu", 8, 32),
])  # fmt: skip
def test_a_large_gpu_reads_as_many_examples_at_once_as_it_surely_has_room_for(gigabytes, flags, train, scoring, monkeypatch, tmp_path):
    """A few short sentences leave it waiting; the update is the same."""
    found = on_a_gpu(gigabytes, flags, monkeypatch)
    assert found["per_device_train_batch_size"] == train and found["per_device_eval_batch_size"] == scoring
    assert train * found["gradient_accumulation_steps"] == TASKS[flags.split()[1]].recipes["jiant"].effective_batch_size


def test_choices_are_read_side_by_side_and_need_room_as_such(monkeypatch):
    for flags, train in (("hellaswag", 8), ("hellaswag --max_seq_length 128", 16), ("commonsenseqa --max_seq_length 128", 8)):
        assert on_a_gpu(79, f"--task {flags}", monkeypatch, "intermediate")["per_device_train_batch_size"] == train, flags


def on_a_gpu(gigabytes, flags, monkeypatch, phase="target"):
    """The defaults of a command line on such a machine."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(total_memory=gigabytes * 2**30))
    monkeypatch.setattr(sys, "argv", ["run.py", *flags.split()])
    names = ("task", "recipe", "eval_strategy", "eval_steps", "save_strategy", "deepspeed", "select_on", "mlm_languages", "max_seq_length",
             "gradient_accumulation_steps", "per_device_train_batch_size", "effective_batch_size")  # fmt: skip
    words = flags.split()
    given = SimpleNamespace(**{name: words[words.index(f"--{name}") + 1] if f"--{name}" in words else None for name in names})
    tasks = arguments.find_tasks([given.task], "jiant", phase)
    return arguments.training_defaults(tasks, tasks[0].recipes["jiant"], given, deepspeed=False)


@pytest.mark.parametrize("given, world, message", [
    ({"effective_batch_size": "8", "per_device_train_batch_size": "2", "gradient_accumulation_steps": "4"}, 2,
     "2 per device x 4 steps x 2 devices is 16, not --effective_batch_size 8"),
    ({"gradient_accumulation_steps": "3"}, 1, "3 accumulation steps on 1 devices do not divide an effective batch of 32"),
    ({"gradient_accumulation_steps": "16"}, 4, "16 accumulation steps on 4 devices do not divide"),
    ({}, 3, "3 devices do not divide an effective batch of 32"),
    ({"per_device_train_batch_size": "3"}, 2, "3 per device x 2 devices does not divide an effective batch of 32"),
    ({"per_device_train_batch_size": "0"}, 1, "--per_device_train_batch_size 0 is not a positive whole number"),
])  # fmt: skip
def test_batches_that_do_not_come_out_are_refused(given, world, message, monkeypatch):
    from arguments import batch_and_accumulation

    monkeypatch.setenv("WORLD_SIZE", str(world))
    monkeypatch.setattr(sys, "argv", ["run.py", "--use_cpu"])
    names = ("effective_batch_size", "per_device_train_batch_size", "gradient_accumulation_steps")
    with pytest.raises(InputError, match=message):
        batch_and_accumulation(32, SimpleNamespace(**{name: given.get(name) for name in names}))


@pytest.mark.parametrize("flags, environment, expected", [
    ((), {"LOCAL_RANK": "0"}, (8, 4)),  # torchrun --nproc_per_node 1: one of the four GPUs
    (("--use_cpu=true",), {}, (8, 4)),
    ((), {"ACCELERATE_USE_CPU": "True"}, (8, 4)),
    (("--use_cpu", "false"), {}, (8, 1)),  # all four; refused later
    ("deepspeed", {}, (8, 4)),
])  # fmt: skip
def test_only_the_devices_that_a_process_will_use_are_counted(flags, environment, expected, monkeypatch):
    from arguments import batch_and_accumulation

    for name, value in {"WORLD_SIZE": "1", **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(sys, "argv", ["run.py", *flags])
    nothing = SimpleNamespace(effective_batch_size=None, per_device_train_batch_size=None, gradient_accumulation_steps=None)
    found = batch_and_accumulation(32, nothing, deepspeed=flags == "deepspeed")
    assert (found["per_device_train_batch_size"], found["gradient_accumulation_steps"]) == expected


@pytest.mark.parametrize("flags, environment, message", [
    ({"n_gpu": 2}, {}, "One process sees 2 GPUs: start one for each"),  # DataParallel would multiply the loss by two
    ({"fsdp": ["full_shard"]}, {}, "FSDP has not been tried"),
    ({}, {"ACCELERATE_USE_FSDP": "true"}, "FSDP has not been tried"),
    ({"label_smoothing_factor": 0.1}, {}, "--label_smoothing_factor would have no effect"),
    ({}, {"WORLD_SIZE": "2"}, "2 processes were launched, but each of them runs alone"),
    ({"output_dir": None}, {}, "--output_dir is missing"),
])  # fmt: skip
def test_ways_to_run_that_would_give_other_numbers_are_refused(flags, environment, message, monkeypatch):
    from arguments import check_processes

    plain = {"world_size": 1, "n_gpu": 1, "fsdp": [], "label_smoothing_factor": 0.0, "output_dir": "out"}
    check_processes(SimpleNamespace(**plain))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=message):
        check_processes(SimpleNamespace(**{**plain, **flags}))


@pytest.mark.parametrize("flags, message", [
    ({"deepspeed": "x.json"}, "not been tried under DeepSpeed"),
    ({"keep_head": True}, "--keep_head is for one task alone"),
    ({"train_languages": ["de"]}, "--train_languages is for one task"),
    ({"train_file": ["de=x.tsv"]}, "--train_file is for one task"),
    ({"train_sampling_strategy": "group_by_length"}, "--train_sampling_strategy group_by_length is for one task alone"),
])  # fmt: skip
def test_what_several_tasks_cannot_have_is_refused(flags, message):
    from arguments import check_together

    plain = {"deepspeed": None, "keep_head": False, "train_languages": None, "train_file": None, "train_sampling_strategy": "random"}
    for given in (plain, {**plain, "train_languages": ["en"]}):
        check_together(("mnli", "qqp"), SimpleNamespace(**given), SimpleNamespace(**given))
    with pytest.raises(InputError, match=message):
        check_together(("mnli", "qqp"), SimpleNamespace(**{**plain, **flags}), SimpleNamespace(**{**plain, **flags}))


def test_a_models_revision_is_its_weights_checksum_in_a_folder_and_never_that_of_nothing(tiny_model, tmp_path):
    from trainer.checkpoints import describe_model, load_config

    config, copy = load_config(tiny_model), tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    revision = describe_model(tiny_model, config)["revision"]
    assert revision.startswith("sha256:") and describe_model(str(copy), config)["revision"] == revision
    weights = load_file(copy / "model.safetensors")
    name = next(iter(weights))
    save_file({**weights, name: weights[name] + 1}, copy / "model.safetensors", metadata={"format": "pt"})
    assert describe_model(str(copy), config)["revision"] != revision
    save_file({"b": torch.ones(1)}, copy / "other.safetensors")
    both = describe_model(str(copy), config)["revision"]
    save_file({"b": torch.zeros(1)}, copy / "other.safetensors")
    assert describe_model(str(copy), config)["revision"] != both, "of all files"
    assert describe_model("nobody/no-such-model", config)["revision"] is None


def test_the_second_process_does_not_write_run_json_again(tmp_path):
    """Seven processes that move the same file into place at once lose it to each other."""
    from results import start_run

    run = {"phase": "target", "languages": ("de", "en"), "seed": 1}
    assert not start_run(str(tmp_path), run, False, 0.0)
    written = (tmp_path / "run.json").stat().st_ino
    assert not start_run(str(tmp_path), run, False, 0.0) and (tmp_path / "run.json").stat().st_ino == written
    assert not start_run(str(tmp_path), {**run, "seed": 2}, False, 0.0) and (tmp_path / "run.json").stat().st_ino != written


def test_a_folder_holds_its_run_until_it_is_overwritten(tmp_path):
    from results import start_run

    run, other = {"seed": 1}, {"seed": 2}
    for name in ("results.json", "checkpoint-3", "predictions", "failed_tries.json"):
        folder = tmp_path / name
        assert not start_run(str(folder), run, overwrite=False, started=0.0)
        (folder / name).write_text("{}") if name.endswith(".json") else (folder / name).mkdir()
        with pytest.raises(InputError, match="holds a run with seed 1; this command says 2"):
            start_run(str(folder), other, overwrite=False, started=0.0)
        assert start_run(str(folder), run, overwrite=False, started=0.0) == (name == "results.json"), "finished, or to be gone on with"
    for name in (
        "results.json",
        "config.json",
        "model.safetensors",
        "model-00001-of-00002.safetensors",
        "tokenizer.json",
        "predictions",
        "labels",
        "heads",
        "oracle",
        "checkpoint-3",
    ):  # what is left would be gone on with, or scored
        (folder / name).touch()
    (folder / "notes.txt").touch()
    assert not start_run(str(folder), other, overwrite=True, started=0.0)
    assert sorted(path.name for path in folder.iterdir()) == ["notes.txt", "run.json", "run.lock", "starts.json"]
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "config.json").touch()
    for overwrite in (False, True):
        with pytest.raises(InputError, match="holds a model or results that no run of this collection left"):
            start_run(str(foreign), run, overwrite, 0.0)
    assert [path.name for path in foreign.iterdir()] == ["config.json"]


def test_what_a_result_says_of_its_languages_and_of_the_runs_before(tmp_path):
    from results import lineage_of, mean_over_languages, model_identity, xtreme_score
    from task_adapters import TASKS

    task = TASKS["mlqa"]
    scores = {language: {"exact_match": 40.0, "f1": 60.0, "examples": 1} for language in task.languages}
    scores["de"] = {"exact_match": 47.0, "f1": 81.0, "examples": 1000}
    assert mean_over_languages(task, scores) == {"exact_match": 41.0, "f1": 63.0} and xtreme_score(task, scores) == 52.0
    del scores["zh"]
    assert mean_over_languages(task, scores) is None and xtreme_score(task, scores) is None
    first = {"phase": "intermediate", "task": "mnli", "lineage": [], "finished": "2031", "seed": 3, "dev": {"accuracy": 90.0}}
    second = {**first, "task": "qqp", "lineage": [{"task": "mnli"}]}
    (tmp_path / "results.json").write_text(json.dumps(second))
    before = lineage_of(str(tmp_path))
    assert [run["task"] for run in before] == ["mnli", "qqp"] and before[1]["seed"] == 3 and before[1]["dev"] == {"accuracy": 90.0}
    assert (
        model_identity(f"{tmp_path}/") == model_identity(str(tmp_path)) == {"model_name_or_path": str(tmp_path), "model_finished": "2031"}
    )


@pytest.fixture
def described(monkeypatch, tmp_path):
    """described(script, "--task", "xnli", "--flag", value, ...): what a run with this command line is."""
    from arguments import parse
    from trainer.loop import describe_run

    def run(script, *flags):
        monkeypatch.setattr(sys, "argv", ["run.py", "--use_cpu", "--output_dir", str(tmp_path), *flags])
        phase = script.__name__.removeprefix("run_")
        args, training_args, tasks, _ = parse(script.ScriptArguments, phase)
        return describe_run(phase, args, training_args, tasks)

    return run


# What stands behind --task, and the flags that make another run of it, one at a time.
OF_EVERY_RUN = (
    "--model_name_or_path a/b", "--keep_head", "--recipe xtreme", "--seed 7", "--data_seed 7", "--effective_batch_size 64",
    "--learning_rate 1e-3", "--num_train_epochs 9", "--max_steps 9", "--warmup_steps 9", "--lr_scheduler_type cosine", "--weight_decay 0.5",
    "--adam_epsilon 1e-3", "--max_grad_norm 9", "--eval_strategy epoch", "--eval_steps 9", "--load_best_model_at_end false", "--bf16",
    "--fp16", "--optim sgd", "--train_sampling_strategy random", "--adam_beta1 0.5", "--adam_beta2 0.98", "--lr_scheduler_kwargs {\"a\":1}",
    "--optim_args a=1", "--neftune_noise_alpha 5", "--dataloader_drop_last", "--bf16_full_eval", "--fp16_full_eval",
    "--max_seq_length 99", "--doc_stride 9", "--max_train_samples 9", "--max_eval_samples 9", "--max_predict_samples 9", "--languages de",
    "--freeze_embeddings", "--padding_free on", "--train_languages de", "--train_file de=FILE", "--train_file fr=FILE",
    "--select_on mean", "--oracle", "--metric_for_best_model loss", "--save_steps 3000",
)  # fmt: skip
OF_SEVERAL_TASKS = (
    "--sampling uniform",
    "--sampling_cap 9",
    "--sampling temperature --temperature 2",
    "--sampling temperature --temperature 3",
)
OF_MASKED_LM = ("--mlm_languages de sw", "--mlm_data de=FILE", "--mlm_share 0.25", "--mlm_alpha 0.5", "--mlm_eval_samples 9")


CELLS = pytest.mark.parametrize("script, plain, others", [
    (run_target, "xnli", OF_EVERY_RUN),
    (run_intermediate, "squad_v2", ("--no_answer_threshold 1",)),
    (run_intermediate, "mnli qqp", OF_SEVERAL_TASKS),
    (run_intermediate, "mnli --mlm_languages de", OF_MASKED_LM),
])  # fmt: skip


@CELLS
def test_every_flag_that_changes_a_score_makes_another_cell(script, plain, others, described, tmp_path):
    """A setting that `describe_run` forgets would let a finished run stand for another one."""
    (tmp_path / "file.tsv").write_text("a\tb\tneutral\n", encoding="utf-8")
    before = described(script, "--task", *plain.split())
    seen = [before]
    for other in others:
        found = described(script, "--task", *plain.split(), *other.replace("FILE", str(tmp_path / "file.tsv")).split())
        assert found not in seen, other
        seen.append(found)
    for alike in ("--per_device_train_batch_size 1", "--per_device_eval_batch_size 1", "--logging_steps 1", "--overwrite", "--retries 1"):
        assert described(script, "--task", *plain.split(), *alike.split()) == before, alike


@CELLS
def test_what_every_such_flag_makes_cannot_stand_in_one_table_with_the_plain_run(script, plain, others, described, tmp_path):
    (tmp_path / "file.tsv").write_text("a\tb\tneutral\n", encoding="utf-8")
    before = described(script, "--task", *plain.split())

    def write(folder, run, **more):
        folder.mkdir(parents=True)
        tasks = [run["task"]] if isinstance(run["task"], str) else run["task"]
        scores = {task: {TASKS[task].dev_metric: 50.0, "examples": 2} for task in tasks}
        kind = {"scores": {"de": scores[tasks[0]]}} if run["phase"] == "target" else {"dev": scores if len(tasks) > 1 else scores[tasks[0]]}
        results = {**run, "data": [], "lineage": [], "seconds": 1, "finished": "2031", **kind, **more}
        (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")

    starts_and_what_is_scored = ("--model_name_or_path", "--seed", "--languages", "--oracle")
    for place, flags in enumerate(flags for flags in others if flags.split()[0] not in starts_and_what_is_scored):
        flag = flags.split()[0].removeprefix("--")
        name = {"keep_head": "head", "train_file": "train_languages"}.get(flag, flag)
        changed = described(script, "--task", *plain.split(), *flags.replace("FILE", str(tmp_path / "file.tsv")).split())
        folder = tmp_path / f"{place}"
        for seed, run in enumerate((before, changed), start=1):
            write(folder / f"{seed}", {**run, "seed": seed})
        (problem,) = collect([folder]).problems
        assert problem.folder == f"{folder}/2" and problem.what.startswith(f"{name} of") and f" in {folder}/1" in problem.what, flags
        if script is run_intermediate:
            after = {seed: lineage_of(str(folder / f"{seed}")) for seed in (1, 2)}
            for seed, lineage in after.items():
                shutil.rmtree(folder / f"{seed}")
                write(folder / f"{seed}", {"phase": "target", "task": "xnli", "seed": seed}, lineage=lineage)
            (problem,) = collect([folder]).problems
            assert problem.kind == "contradictory" and problem.what.startswith(f"{name} of"), flags


def test_the_order_in_which_tasks_and_languages_are_named_makes_no_other_run(described):
    for one, other in (("mnli qqp", "qqp mnli"), ("mnli --mlm_languages de sw", "mnli --mlm_languages sw de")):
        assert described(run_intermediate, "--task", *one.split()) == described(run_intermediate, "--task", *other.split())


def test_the_plain_run_names_no_rare_flag(described):
    from trainer.loop import RARE_SETTINGS

    compared = ("--eval_strategy", "steps", "--load_best_model_at_end", "true", "--metric_for_best_model")
    described = partial(described, run_target, "--task", "xnli")
    plain, best = described(), described(*compared, "accuracy", "--greater_is_better", "true")
    assert not {*RARE_SETTINGS, "metric_for_best_model", "greater_is_better"} & {*plain, *best}
    for name, value in (("adam_beta2", "0.98"), ("neftune_noise_alpha", "5.0"), ("bf16_full_eval", "true"), ("optim_args", "a=1")):
        changed = described(f"--{name}", value)
        assert changed != plain and {key: changed[key] for key in plain} == plain, name
    saved_less_often = described(*compared, "accuracy", "--greater_is_better", "true", "--save_steps", str(2 * best["eval_steps"]))
    assert saved_less_often == {**best, "save_steps": 2 * best["eval_steps"]}, "only what is saved can be chosen"
    by_loss = described(*compared, "loss", "--greater_is_better", "false")
    assert by_loss != best and by_loss["metric_for_best_model"] == "loss" and by_loss["greater_is_better"] is False
