"""Training must not depend on micro-batches, must not silently keep an earlier head, and must not start without the encoder's weights."""

import json
import shutil

import pytest
import torch
from conftest import begin, launch, save_checkpoint
from one_update import update
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)
from whole_epochs import RUNS, train_all

from arguments import InputError
from results import lineage_of
from task_adapters import TASKS
from task_adapters.mnli import NLI_LABELS
from trainer.checkpoints import draw_head, last_complete_checkpoint, load_encoder, load_model
from trainer.tokenizers import load_tokenizer

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
    together = []  # A launch takes longer than the work of one task.
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


EPOCH_LAYOUTS = {
    "1 process x 12": (1, ("--per_device_train_batch_size", "12")),
    "1 process x 4 x 3 steps": (1, ("--per_device_train_batch_size", "4")),
    "2 processes x 2 x 3 steps": (2, ("--per_device_train_batch_size", "2")),
    "3 processes x 4": (3, ("--per_device_train_batch_size", "4")),
}


@pytest.fixture(scope="module")
def whole_epochs(tiny_model, data_dir, tmp_path_factory):
    """{layout: {name of the run: (losses of its steps, weights by file, results)}}"""
    folders = {layout: tmp_path_factory.mktemp("epochs") for layout in EPOCH_LAYOUTS}
    for layout, (processes, flags) in EPOCH_LAYOUTS.items():
        if processes == 1:
            train_all(tiny_model, data_dir, folders[layout], *flags)
        else:
            launch("tests/whole_epochs.py", tiny_model, data_dir, folders[layout], *flags, processes=processes)

    def outcome(folder):
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        losses = [entry["loss"] for entry in results["training"]["log"] if "loss" in entry]
        return losses, {file.relative_to(folder): load_file(file) for file in folder.rglob("*.safetensors")}, results

    return {layout: {name: outcome(out / name) for name in RUNS} for layout, out in folders.items()}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("layout", list(EPOCH_LAYOUTS)[1:])
def test_whole_epochs_with_a_smaller_last_step_are_the_same_in_every_layout(layout, name, whole_epochs):
    """No example is read twice in an epoch, no gradient counts twice, and a process without examples takes part in the step."""
    losses, weights, whole = whole_epochs["1 process x 12"][name]
    cut_losses, cut_weights, cut = whole_epochs[layout][name]
    assert cut["world_size"] == EPOCH_LAYOUTS[layout][0] and cut["effective_batch_size"] == 12
    assert len(losses) == cut["training"]["steps"] == {"few_shot": 2, "sequential": 6, "padding_free": 6, "together": 18}.get(name, 8)
    assert cut_losses == pytest.approx(losses, abs=2e-5), "of each step"
    assert max(losses) - min(losses) > 1e-3, "the steps must differ"
    assert cut["training"]["tokens"]["real_tokens"] == whole["training"]["tokens"]["real_tokens"]
    assert weights.keys() == cut_weights.keys()
    for file, state in weights.items():
        for key, weight in state.items():
            assert (weight - cut_weights[file][key]).norm() <= 1e-4 * weight.norm() + 1e-5, f"{file} {key}"


def test_a_head_is_drawn_alike_whatever_holds_it(tiny_model, monkeypatch):
    """Under ZeRO-3 the head is on a GPU and may be in bf16, where the seed would give other random numbers."""
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


def test_a_target_does_not_begin_with_the_head_that_its_intermediate_task_began_with(tiny_model, tmp_path):
    """The encoder was trained to fit that head: with the same seed in both phases XNLI was solved before its first step."""
    first, _ = load_model(AutoModelForSequenceClassification, tiny_model, NLI_LABELS, seed=1)
    first.save_pretrained(tmp_path)
    (tmp_path / "results.json").write_text('{"phase": "intermediate", "task": "mnli", "lineage": [], "finished": "2031"}')
    second, again = (load_model(AutoModelForSequenceClassification, str(tmp_path), NLI_LABELS, seed=1)[0] for _ in range(2))
    weights, repeated = second.classifier.out_proj.weight, again.classifier.out_proj.weight
    assert torch.equal(weights, repeated) and not torch.equal(weights, first.classifier.out_proj.weight)
    load_model(AutoModelForSequenceClassification, str(tmp_path), NLI_LABELS, seed=2**32 - 1)  # numpy's largest seed
    (tmp_path / "results.json").unlink()
    published, _ = load_model(AutoModelForSequenceClassification, str(tmp_path), NLI_LABELS, seed=1)
    assert torch.equal(published.classifier.out_proj.weight, weights), "results.json is not published"
    published.save_pretrained(tmp_path)
    third, _ = load_model(AutoModelForSequenceClassification, str(tmp_path), NLI_LABELS, seed=1)
    assert not torch.equal(third.classifier.out_proj.weight, weights), "two trainings are behind it"


def test_the_head_is_fresh_and_seeded_whatever_the_checkpoint_held(tiny_model, tmp_path):
    """An MNLI head has the class and the shape that XNLI needs."""
    trained, _ = load_model(AutoModelForSequenceClassification, tiny_model, NLI_LABELS, seed=1)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(1.0)
    del trained.config.task_trainings  # as in a checkpoint that others trained
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
    with pytest.raises(InputError, match="has no head of this kind"):  # A part of the head would be drawn at random.
        load_model(AutoModelForSequenceClassification, str(tmp_path), NLI_LABELS, seed=5, keep_head=True)


def test_a_tagging_head_does_not_slip_into_multiple_choice(tiny_model, tmp_path):
    """Both heads have a layer `classifier`; with one tag its shapes are equal too."""
    tagger, _ = load_model(AutoModelForTokenClassification, tiny_model, ("O",), seed=1)
    with torch.no_grad():
        tagger.classifier.weight.fill_(7.0)
    tagger.save_pretrained(tmp_path)
    chooser, _ = load_model(AutoModelForMultipleChoice, str(tmp_path), (), seed=1)
    assert chooser.classifier.weight.shape == (1, 64) and chooser.classifier.weight.abs().max() < 1
    span, _ = load_model(AutoModelForQuestionAnswering, str(tmp_path), (), seed=1)
    assert span.qa_outputs.weight.shape == (2, 64), "the number of labels is not inherited"


def test_a_checkpoint_without_its_encoder_is_refused(tiny_model, tmp_path):
    """Otherwise a random encoder would be trained, and only the score would show it."""
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
        folder = save_checkpoint(tmp_path / f"checkpoint-{name}", state or "")
        if state is None:
            (folder / "trainer_state.json").unlink()
    assert last_complete_checkpoint(str(tmp_path)) == str(tmp_path / "checkpoint-10")
    assert last_complete_checkpoint(str(tmp_path / "checkpoint-10")) is None


def test_a_slow_tokenizer_is_refused_where_offsets_are_needed(tiny_model, monkeypatch, tmp_path):
    from transformers import AutoTokenizer

    monkeypatch.setattr("trainer.tokenizers.TOKENIZERS", tmp_path)  # nothing that an earlier test has kept

    class Slow:
        is_fast, pad_token, model_input_names, __len__ = False, "<pad>", ["input_ids"], lambda self: 280

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda path, **_: Slow())
    assert load_tokenizer(tiny_model, needs_offsets=False).is_fast is False
    with pytest.raises(InputError, match="has a slow tokenizer"):
        load_tokenizer(tiny_model, needs_offsets=True)("a")


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
    run = {"phase": "target", "languages": ("de", "en"), "seed": 1}
    assert not begin(tmp_path, run)
    written = (tmp_path / "run.json").stat().st_ino
    assert not begin(tmp_path, run) and (tmp_path / "run.json").stat().st_ino == written


def test_a_folder_holds_its_run_until_it_is_overwritten(tmp_path):
    run, other = {"seed": 1}, {"seed": 2}
    for name in ("results.json", "checkpoint-3", "predictions", "failed_tries.json"):
        folder = tmp_path / name
        assert not begin(folder, run)
        (folder / name).write_text('{"seed": 1}') if name.endswith(".json") else (folder / name).mkdir()
        with pytest.raises(InputError, match="holds a run with seed 1; this command says 2"):
            begin(folder, other)
        assert bool(begin(folder, run)) == (name == "results.json"), "finished, or to be gone on with"
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
    assert not begin(folder, other, overwrite=True)
    names = ["log.txt", "notes.txt", "progress.json", "run.json", "run.lock", "starts.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "config.json").touch()
    for overwrite in (False, True):
        with pytest.raises(InputError, match="holds a model or results that no run of this collection left"):
            begin(foreign, run, overwrite)
    assert [path.name for path in foreign.iterdir()] == ["config.json"]


def test_what_a_result_says_of_its_languages_and_of_the_runs_before(tmp_path):
    from results import mean_over_languages, xtreme_score

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
