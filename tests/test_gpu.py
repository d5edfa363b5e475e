"""Tests that need a GPU: its kernels, precisions and defaults. They are skipped without a GPU. `benchmarks/on_a_gpu.sh` runs them."""

import json
import shutil

import pytest
import torch
from conftest import launch, needs_deepspeed
from safetensors.torch import load_file
from test_deepspeed import CONFIGS, FLAGS, plain_run, same  # noqa: F401, a fixture
from test_real_tokens import HEADS, batch_of, equal, features_of, loss_and_gradients
from transformers import XLMRobertaConfig

import run_retrieval
import run_target
from speed import padding_free
from speed.real_tokens import compile_blocks
from task_types import TASK_TYPES, mining
from trainer.checkpoints import load_model

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is here")
GPU = torch.device("cuda")
LARGE = XLMRobertaConfig(hidden_size=1024, num_attention_heads=16)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_kernel_of_this_gpu_gives_the_numbers_of_one_attention_for_each_sequence(dtype):
    if not padding_free.has_flash(GPU, dtype):
        pytest.skip("this GPU is older than Ampere: attention alone is padded")
    assert padding_free.why_not_kernel(padding_free.flash, LARGE, GPU, dtype) is None
    assert padding_free.why_not_kernel(padding_free.by_triton, LARGE, GPU, dtype) is None


def prepared(name, path, data_dir, precision, packed):
    """-> (model on the GPU, its loss under autocast, a batch there)"""
    task, tokenizer, _, features = features_of(name, "train", path, data_dir, 12)
    task_type = TASK_TYPES[task.task_type]
    model, _ = load_model(task_type.Model, path, task.labels, seed=1)
    if packed:
        padding_free.set_up(model.base_model, "on", GPU, {precision})
    batch = {key: values.to(GPU) for key, values in batch_of(task, tokenizer, features, range(8)).items()}
    model.to(GPU).train()
    forward = model.forward
    if precision != "no":
        model.forward = torch.autocast("cuda", padding_free.DTYPES[precision])(forward)
    return model, task_type.loss, batch


def off(found, truth):
    """The relative distance of all gradients, as one vector, from the true gradients."""
    squares = sum((found[1][name] - gradient).square().sum() for name, gradient in truth[1].items())
    return float(squares.sqrt() / sum(gradient.square().sum() for gradient in truth[1].values()).sqrt())


@pytest.mark.parametrize("precision", padding_free.DTYPES)
@pytest.mark.parametrize("name", HEADS)
def test_padding_free_gives_the_loss_and_the_gradients_of_the_padded_path(name, precision, tiny_model, data_dir):
    """In half precision as near to those of fp32 as the padded path's: the gradients of four nearly equal choices cancel, and rounding
    is half of what is left of them in bf16."""
    padded, packed = (loss_and_gradients(*prepared(name, tiny_model, data_dir, precision, packed)) for packed in (False, True))
    if precision == "no":
        return equal(packed, padded, 1e-3 if name == "hellaswag" else 1e-4)
    truth = loss_and_gradients(*prepared(name, tiny_model, data_dir, "no", packed=False))
    assert abs(packed[0] - truth[0]) <= 2 * abs(padded[0] - truth[0]) + 1e-3
    assert off(packed, truth) <= 2 * off(padded, truth)


def test_dropout_of_the_kernels_is_the_same_when_a_block_is_computed_again(tiny_model, data_dir):
    found = []
    for checkpointing in (False, True):
        model, loss, batch = prepared("mnli", tiny_model, data_dir, "bf16", packed=True)
        for module in model.modules():
            if type(module).__name__.endswith("SelfAttention"):
                module.dropout.p = 0.5
        if checkpointing:
            model.gradient_checkpointing_enable()
        torch.manual_seed(0)
        found.append(loss_and_gradients(model, loss, batch))
    equal(found[1], found[0], 1e-2)
    model, loss, batch = prepared("mnli", tiny_model, data_dir, "bf16", packed=True)
    with pytest.raises(AssertionError):  # Dropout must have had an effect.
        equal(loss_and_gradients(model, loss, batch), found[0], 1e-2)


def test_compiled_blocks_compute_the_same(tiny_model, data_dir):
    found, truth = [], loss_and_gradients(*prepared("mnli", tiny_model, data_dir, "no", packed=False))
    for compiled in (False, True):
        model, loss, batch = prepared("mnli", tiny_model, data_dir, "bf16", packed=True)
        if compiled:
            compile_blocks(model, "inductor", None)
        found.append(loss_and_gradients(model, loss, batch))
    assert abs(found[1][0] - truth[0]) <= 2 * abs(found[0][0] - truth[0]) + 1e-3
    assert off(found[1], truth) <= 2 * off(found[0], truth)


def test_a_step_of_known_length_never_waits_for_the_gpu(tiny_model, data_dir):
    model, loss, batch = prepared("mnli", tiny_model, data_dir, "bf16", packed=True)
    labels, forward = batch.pop("labels"), padding_free.packed_forward_of(model)

    def step(known):
        forward.expect(known)
        loss(model(**batch), labels).backward()

    real = int(batch["attention_mask"].sum())
    step(real)  # This step allocates everything that is made only once.
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(real)
        with pytest.raises(RuntimeError, match="synchronizing"):
            step(None)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_run_by_its_defaults_computes_real_tokens_in_bf16_and_learns(call, tiny_model, data_dir, tmp_path, monkeypatch):
    precisions, pack = [], padding_free.pack
    monkeypatch.setattr(padding_free, "pack", lambda encoder, dtypes: precisions.append(dtypes) or pack(encoder, dtypes))
    results = call(run_target, "--task", "xnli", "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--languages", "en", "de",
                   "--output_dir", tmp_path, "--learning_rate", "2e-3", "--num_train_epochs", "6", "--effective_batch_size", "16",
                   "--max_seq_length", "96", "--disable_tqdm", "true")  # fmt: skip
    has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    expected = (torch.bfloat16,) if padding_free.has_flash(GPU, torch.bfloat16) else ()
    assert precisions == [expected], "short sentences have their own kernels"
    assert results["bf16"] is has_bf16 and results["device"] == torch.cuda.get_device_name()
    assert results["training"]["padding_free"] and results["training"]["tokens"]["share"] == 1
    assert results["scores"]["en"]["accuracy"] > 80


def test_retrieval_by_its_defaults_finds_what_the_cpu_finds(call, tiny_model, data_dir, tmp_path):
    flags = ("--task", "tatoeba", "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--languages", "de", "--layer", 1)
    launch("run_retrieval.py", *flags, "--max_seq_length", 96, "--output_dir", tmp_path / "cpu", "--use_cpu")
    cpu = json.loads((tmp_path / "cpu/results.json").read_text())
    gpu = call(run_retrieval, *flags, "--max_seq_length", 96, "--output_dir", tmp_path / "gpu")
    assert gpu["padding_free"] and gpu["precision"] == ("tf32" if torch.cuda.get_device_capability() >= (8, 0) else "fp32")
    assert gpu["scores"]["de"]["accuracy"] == pytest.approx(cpu["scores"]["de"]["accuracy"], abs=2)


def test_search_finds_the_same_neighbours_as_on_the_cpu():
    vectors = torch.nn.functional.normalize(torch.randn(3000, 64, generator=torch.Generator().manual_seed(0)), dim=1)
    here, there = (mining.top_k_both_ways(vectors[:1000].to(device), vectors[1000:].to(device), 4, block=512) for device in ("cpu", GPU))
    for (values, places), (others, other_places) in zip(here, there, strict=True):
        assert (places == other_places).mean() > 0.999 and abs(values - others).max() < 1e-4


@needs_deepspeed
@pytest.mark.parametrize("name", CONFIGS)
def test_deepspeed_trains_goes_on_and_hands_over_as_one_cpu_process_without_it(name, plain_run, tiny_model, data_dir, tmp_path):  # noqa: F811
    out, cut, half = tmp_path / "out", tmp_path / "cut", tmp_path / "half"
    flags = [flag for flag in FLAGS if flag != "--use_cpu"]
    flags += ["--model_name_or_path", tiny_model, "--data_dir", data_dir, "--deepspeed", f"ds_configs/{name}.json"]
    launch("run_intermediate.py", *flags, "--output_dir", out, "--bf16", "false", CUDA_VISIBLE_DEVICES="0")
    results = json.loads((out / "results.json").read_text())
    assert results["device"] == torch.cuda.get_device_name() and results["training"]["best_step"] == 2
    same(out / "checkpoint-6", plain_run / "checkpoint-6", 1e-3)
    same(out, out / "checkpoint-2", 0)

    shutil.copytree(out, cut)
    for gone in ("checkpoint-4", "checkpoint-6"):
        shutil.rmtree(cut / gone)
    for gone in ("results.json", "model.safetensors"):
        (cut / gone).unlink()
    launch("run_intermediate.py", *flags, "--output_dir", cut, "--bf16", "false", CUDA_VISIBLE_DEVICES="0")
    assert json.loads((cut / "results.json").read_text())["training"]["resumed_from_step"] == 2
    same(cut / "checkpoint-6", out / "checkpoint-6", 1e-5)

    launch("run_intermediate.py", *flags, "--output_dir", half, CUDA_VISIBLE_DEVICES="0")  # This run uses bf16 if the GPU has it.
    same(half, plain_run, 2e-2)
    weight = load_file(half / "model.safetensors")["roberta.encoder.layer.0.output.dense.weight"]
    assert (weight != weight.bfloat16().float()).any(), "what was trained, not its rounded copy"
