"""Training on real tokens gives the same numbers: padding-free and padded, sorted and unsorted, in any number of processes."""

import json
import os
import shutil
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from conftest import launch
from datasets import Dataset
from families import write_family
from safetensors.torch import load_file
from torch._dynamo.testing import CompileCounter
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import BatchSampler
from transformers import (
    BertConfig,
    BertForMultipleChoice,
    BertForSequenceClassification,
    BertModel,
    DebertaV2Config,
    DebertaV2Model,
    TrainingArguments,
    XLMRobertaConfig,
    XLMRobertaModel,
)

import arguments
import run_intermediate
import run_target
import task_types
from benchmarks.memory_formula import CHECKPOINTING
from speed import device_and_precisions, padding_free, real_tokens
from speed.real_tokens import GroupedByLength, RealTokensTrainer, SharedOut, choices_are_uneven, lengths_of, predict, scoring_batches
from task_adapters import TASKS, InputError, labels_of, load_examples
from task_types import TASK_TYPES, make_features
from task_types.collator import Collator, what_is_read
from trainer.checkpoints import load_model
from trainer.tokenizers import load_tokenizer

HEADS = ("mnli", "udpos", "squad_v1", "hellaswag")  # classification, tagging, span QA, multiple choice
ON_CPU = torch.device("cpu"), {"no"}
SMALL = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_position_embeddings=64)
NO_DROPOUT = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def features_of(name, split, path, data_dir, rows, max_length=96):
    """-> (task with its labels, tokenizer, examples, features)"""
    tokenizer = load_tokenizer(path, needs_offsets=True)
    examples, _ = load_examples(TASKS[name], split, "en", data_dir, rows, 1)
    task = replace(TASKS[name], labels=labels_of(TASKS[name], examples))
    return task, tokenizer, examples, make_features(examples, tokenizer, task, max_length, 32)


def batch_of(task, tokenizer, features, rows):
    return Collator(tokenizer.pad_token_id)([dict(row) for row in what_is_read(features.select(rows))])


def loss_and_gradients(model, loss, batch):
    model.zero_grad()
    batch = dict(batch)
    value = loss(model(**{name: values for name, values in batch.items() if name != "labels"}), batch["labels"])
    value.backward()
    return value.item(), {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def equal(found, expected, tolerance):
    """Loss, the gradient as one vector, and each weight's own (those of nearly nothing by the scale of the largest)."""
    assert found[0] == pytest.approx(expected[0], rel=tolerance)
    assert found[1].keys() == expected[1].keys()
    norms = torch.stack([gradient.norm() for gradient in expected[1].values()])
    off = torch.stack([(found[1][name] - gradient).norm() for name, gradient in expected[1].items()])
    assert off.norm() <= tolerance * norms.norm()
    assert (off <= 10 * tolerance * norms.clamp(min=0.01 * norms.max())).all()


# ---- padding-free


@pytest.mark.parametrize("dtype, checkpointing", [(torch.float32, False), (torch.float64, False), (torch.float64, True)])
@pytest.mark.parametrize("name", HEADS)
def test_padding_free_gives_the_loss_and_the_gradients_of_the_padded_path(name, dtype, checkpointing, tiny_model, data_dir):
    """fp32 agrees up to rounding. Gradients of four nearly equal choices cancel each other; float64 shows that there is no other error."""
    task, tokenizer, _, features = features_of(name, "train", tiny_model, data_dir, 12)
    lengths = lengths_of(features)
    assert len(set(lengths.tolist())) > 1, "a batch without padding shows nothing"
    task_type = TASK_TYPES[task.task_type]
    model, _ = load_model(task_type.Model, tiny_model, task.labels, seed=1)
    model.to(dtype).train()
    batch = batch_of(task, tokenizer, features, range(8))
    padded = loss_and_gradients(model, task_type.loss, batch)
    state = {key: weight.clone() for key, weight in model.state_dict().items()}
    padding_free.set_up(model.base_model, "on", *ON_CPU)
    model.train()
    if checkpointing:
        model.gradient_checkpointing_enable()
    shapes = []
    model.base_model.embeddings.word_embeddings.register_forward_hook(lambda module, inputs, output: shapes.append(inputs[0].shape))
    tolerance = 1e-7 if dtype == torch.float64 else 1e-4 if name == "hellaswag" else 1e-5
    equal(loss_and_gradients(model, task_type.loss, batch), padded, tolerance)
    assert shapes == [(1, int(batch["attention_mask"].sum()))], "the encoder computed real tokens only"
    assert state.keys() == model.state_dict().keys() and "padding_free" not in model.config.to_json_string()


@pytest.mark.parametrize("choices", [0, 3])
def test_padding_free_with_positions_from_zero_token_types_and_a_pooler(choices):
    """BERT; its classification reads the pooler, whose first token must be each sequence's own."""
    torch.manual_seed(0)
    kind = BertForMultipleChoice if choices else BertForSequenceClassification
    model = kind(BertConfig(vocab_size=100, num_labels=3, **SMALL, **NO_DROPOUT)).train()
    rows = 4 * (choices or 1)
    mask = (torch.arange(12) < torch.randint(3, 13, (rows, 1))).long()
    ids = torch.randint(5, 100, (rows, 12)) * mask
    batch = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.randint(0, 2, ids.shape)}
    if choices:
        batch = {name: values.view(4, choices, 12) for name, values in batch.items()}
    batch["labels"] = torch.tensor([0, 1, 2, 0])
    padded = loss_and_gradients(model, TASK_TYPES["classification"].loss, batch)
    padding_free.set_up(model.base_model, "on", *ON_CPU)
    equal(loss_and_gradients(model, TASK_TYPES["classification"].loss, batch), padded, 1e-5)


def test_a_call_that_packing_cannot_serve_goes_the_padded_way():
    encoder = XLMRobertaModel(XLMRobertaConfig(vocab_size=100, pad_token_id=1, **SMALL)).eval()
    ids, mask = torch.tensor([[5, 6, 7], [8, 1, 1]]), torch.tensor([[1, 1, 1], [1, 0, 0]])
    with torch.no_grad():
        before = encoder(ids, mask, output_hidden_states=True).hidden_states
        padding_free.set_up(encoder, "on", *ON_CPU)
        after = encoder(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
    for one, other in zip(before, after, strict=True):
        assert torch.allclose(one[mask.bool()], other[mask.bool()], atol=1e-6)


def test_a_count_that_the_host_knows_is_taken_once_and_changes_nothing(monkeypatch):
    encoder, counts = XLMRobertaModel(XLMRobertaConfig(vocab_size=100, pad_token_id=1, **SMALL)).eval(), []
    padding_free.set_up(encoder, "on", *ON_CPU)
    nonzero_static = torch.Tensor.nonzero_static
    monkeypatch.setattr(torch.Tensor, "nonzero_static", lambda tensor, size: counts.append(size) or nonzero_static(tensor, size=size))
    batch = {"input_ids": torch.tensor([[5, 6, 7], [8, 1, 1]]), "attention_mask": torch.tensor([[1, 1, 1], [1, 0, 0]])}
    with torch.no_grad():
        expected = encoder(**batch).last_hidden_state
        for more, seen in (({}, [4]), ({"output_hidden_states": True}, [4])):  # The second call is computed with padding.
            encoder.forward.expect(4)
            hidden = encoder(**batch, **more).last_hidden_state
            assert torch.equal(hidden, expected) or more and torch.allclose(hidden[0], expected[0], atol=1e-6)
            assert counts == seen
        assert torch.equal(encoder(**batch).last_hidden_state, expected) and counts == [4]


@pytest.mark.parametrize("task, more", [("hellaswag", ()), ("mnli squad_v1", ()), ("mnli", ("--torch_compile", "true"))])
def test_training_tells_the_encoder_how_many_tokens_are_real(task, more, call, tiny_model, data_dir, tmp_path, monkeypatch):
    """Otherwise a GPU would count the tokens, and the host would wait for it at each micro-batch."""
    seen, packed_forward = [], padding_free.PackedForward.__call__

    def spy(forward, input_ids=None, attention_mask=None, **kwargs):
        seen.append((forward.encoder.training, forward.real_tokens, int(attention_mask.sum())))
        return packed_forward(forward, input_ids, attention_mask, **kwargs)

    monkeypatch.setattr(padding_free.PackedForward, "__call__", spy)
    monkeypatch.setattr(torch, "compile", lambda model, **_: model)
    results = call(run_intermediate, "--task", *task.split(), "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--use_cpu",
                   "--output_dir", tmp_path, "--max_steps", 4, "--effective_batch_size", 8, "--per_device_train_batch_size", 4,
                   "--max_eval_samples", 8, "--max_seq_length", 96, "--padding_free", "on", "--disable_tqdm", "true", *more)  # fmt: skip
    trained = [(known, real) for training, known, real in seen if training]
    assert len(trained) == 8 and all(known == real for known, real in trained)
    assert {known for training, known, _ in seen if not training} == {None}
    assert results["training"]["tokens"]["real_tokens"] == sum(real for _, real in trained)


@pytest.mark.parametrize("more", [(), ("--padding_free", "on", f"--{CHECKPOINTING}", "true")])
def test_compiled_blocks_make_the_same_update(more, call, tiny_model, data_dir, tmp_path, monkeypatch):
    """By dynamo alone: what it captures is run as it is, so that no compiler is needed. Lengths differ from batch to batch."""
    blocks, compile_block = [], torch.nn.Module.compile

    def spy(block, **how):
        blocks.append((type(block).__name__, how))
        compile_block(block, **how)

    monkeypatch.setattr(torch.nn.Module, "compile", spy)
    wholes, compile_any = [], torch.compile
    monkeypatch.setattr(torch, "compile", lambda made, **how: wholes.append(isinstance(made, torch.nn.Module)) or compile_any(made, **how))
    found = {}
    for compiled in ("false", "true"):
        torch._dynamo.reset()
        results = call(run_intermediate, "--task", "mnli", "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--use_cpu",
                       "--output_dir", tmp_path / compiled, "--max_steps", 4, "--effective_batch_size", 8, "--max_eval_samples", 16,
                       "--per_device_train_batch_size", 4, "--max_seq_length", 96, "--torch_compile", compiled, *more,
                       *(("--torch_compile_backend", "eager") if compiled == "true" else ()))  # fmt: skip
        assert results.get("torch_compile", False) is (compiled == "true")
        found[compiled] = load_file(tmp_path / compiled / "model.safetensors"), results["dev"]
    assert blocks == [("XLMRobertaLayer", {"backend": "eager", "mode": None, "dynamic": True})] * 2
    assert wholes == [False] * 2, "accelerate must not compile the model as a whole beside"
    assert found["true"][1] == found["false"][1]
    torch.testing.assert_close(found["true"][0], found["false"][0])


def test_blocks_are_compiled_once_for_all_lengths():
    model = BertForSequenceClassification(BertConfig(vocab_size=100, **{**SMALL, "num_hidden_layers": 3}))
    counter = CompileCounter()
    torch._dynamo.reset()
    real_tokens.compile_blocks(model, counter, None)
    for length in (5, 9, 17, 30):
        model(input_ids=torch.full((3, length), 7), attention_mask=torch.ones(3, length, dtype=torch.long)).logits.sum().backward()
    assert counter.frame_count == 1
    with pytest.raises(InputError, match="--torch_compile: Linear has no blocks"):
        real_tokens.compile_blocks(torch.nn.Linear(2, 2), counter, None)


def test_attention_dropout_is_the_models_own():
    config = XLMRobertaConfig(vocab_size=100, pad_token_id=1, **SMALL, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.5)
    encoder = XLMRobertaModel(config).eval()
    padding_free.set_up(encoder, "on", *ON_CPU)
    batch = {"input_ids": torch.tensor([[5, 6, 7, 8], [8, 9, 1, 1]]), "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])}

    def hidden():
        return encoder(**batch).last_hidden_state

    assert torch.equal(hidden(), hidden())
    encoder.train()
    assert not torch.equal(hidden(), hidden())


def test_what_cannot_be_packed_is_said_in_one_line_or_left_as_it_is():
    deberta = DebertaV2Model(DebertaV2Config(vocab_size=100, **SMALL))
    with pytest.raises(InputError, match="^--padding_free on: the attention of DebertaV2Model cannot be replaced.$"):
        padding_free.set_up(deberta, "on", *ON_CPU)
    padding_free.set_up(deberta, "auto", torch.device("cuda"), {"bf16"})
    assert "forward" not in vars(deberta)
    bert = BertModel(BertConfig(vocab_size=100, **SMALL))
    bert.config.layer_types = ["full_attention", "sliding_attention"]  # The window may be longer than the sequences of the comparison.
    with pytest.raises(InputError, match="BertModel does not attend to whole sequences"):
        padding_free.set_up(bert, "on", *ON_CPU)
    for wanted in ("auto", "off"):
        bert = BertModel(BertConfig(vocab_size=100, **SMALL))
        padding_free.set_up(bert, wanted, *ON_CPU)
        assert "forward" not in vars(bert) and bert.config._attn_implementation != padding_free.NAME
    padding_free.set_up(bert, "off", *ON_CPU, is_uneven=lambda: True)
    assert "forward" not in vars(bert), "that is what off means"
    padding_free.set_up(bert, "auto", *ON_CPU, is_uneven=lambda: True)
    assert "forward" in vars(bert), "the padding of choices is nothing that an order mends"


def test_an_encoder_that_comes_out_otherwise_is_not_packed(monkeypatch):
    """Positions that do not begin where the model's do; sequences that see each other."""
    bert = BertModel(BertConfig(vocab_size=100, **SMALL))
    bert.embeddings.position_embeddings.padding_idx = 0
    with pytest.raises(InputError, match="hidden states of BertModel come out otherwise"):
        padding_free.set_up(bert, "on", *ON_CPU)
    assert "forward" not in vars(bert) and bert.config._attn_implementation != padding_free.NAME

    bert = BertModel(BertConfig(vocab_size=100, **SMALL))
    whole = padding_free.one_by_one
    monkeypatch.setattr(padding_free, "one_by_one", lambda q, k, v, starts, *rest: whole(q, k, v, starts[[0, -1]], *rest))
    with pytest.raises(InputError, match="come out otherwise"):
        padding_free.set_up(bert, "on", *ON_CPU)


def stand_in(q, k, v, starts, longest, dropout, scaling):
    """For the kernel of a GPU, on a CPU."""
    return padding_free.one_by_one(q, k, v, starts, dropout, scaling)


class OtherMask(torch.autograd.Function):
    """Dropout of the values in place of the attention, with another mask in the backward pass."""

    @staticmethod
    def forward(context, values):
        return values * 2 * torch.bernoulli(torch.full_like(values, 0.5))

    @staticmethod
    def backward(context, gradient):
        return gradient * 2 * torch.bernoulli(torch.full_like(gradient, 0.5))


@pytest.mark.parametrize("wrong, reason", [
    (lambda q, k, v, starts, *rest: stand_in(q, k, v, starts[[0, -1]], *rest), "gives other numbers"),
    (lambda q, k, v, starts, longest, dropout, scaling: stand_in(q, k, v, starts, longest, dropout, 2 * scaling), "gives other numbers"),
    (lambda q, k, v, starts, longest, dropout, scaling: stand_in(q, k, v, starts, longest, 0.0, scaling), "no effect"),
    (lambda q, k, v, starts, longest, dropout, scaling: stand_in(q, k, v, starts, longest, dropout and 0.2, scaling), "no effect"),
    (lambda q, k, v, starts, longest, dropout, scaling:
        stand_in(q, k, OtherMask.apply(v) if dropout else v, starts, longest, 0.0, scaling), "another mask in the backward pass"),
])  # fmt: skip
def test_a_kernel_is_compared_before_it_is_used(wrong, reason):
    config, cpu = BertConfig(**SMALL), torch.device("cpu")
    for dtype in (torch.bfloat16, torch.float16):
        assert padding_free.why_not_kernel(stand_in, config, cpu, dtype) is None
    assert reason in padding_free.why_not_kernel(wrong, config, cpu, torch.bfloat16)


def test_a_device_without_the_kernel_is_said():
    assert "no kernel for it" in padding_free.why_not_kernel(padding_free.flash, BertConfig(**SMALL), torch.device("cpu"), torch.bfloat16)


def fails(*_):
    raise ValueError("no compiler\nat all")


@pytest.mark.parametrize("kernel, width, exact, line", [
    ("stand_in", 16, True, ""), ("stand_in", 24, False, ""), (None, 16, False, ""),
    ("fails", 16, False, "by torch's flash kernel, not by Triton's: ValueError: no compiler\n"),
    ("twice", 16, False, "gives other numbers on this device"),
])  # fmt: skip
def test_kernels_for_short_sequences_are_an_offer(kernel, width, exact, line, monkeypatch, capsys):
    """Without Triton, or if it cannot be used, the flash kernel is used. A line says so if Triton could have been tried."""
    kernels = {"stand_in": stand_in, "fails": fails, "twice": lambda *inputs: 2 * stand_in(*inputs)}
    monkeypatch.setattr(padding_free, "by_triton", kernels.get(kernel))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: kernel and name)
    config = BertConfig(hidden_size=2 * width, num_attention_heads=2)
    assert padding_free.triton_is_exact(config, torch.device("cpu"), torch.bfloat16) is exact
    written = capsys.readouterr().out
    assert line in written and bool(line) == bool(written)


def test_the_kernel_takes_what_it_is_given():
    """An operator may change with torch: its shapes and its place in autograd, on tensors without contents."""
    query, key, value = (torch.empty(1, 4, 30, 16, device="meta", dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
    output = padding_free.flash(query, key, value, torch.empty(4, device="meta", dtype=torch.int32), 20, 0.1, 0.25)
    functions = output.grad_fn, output.grad_fn.next_functions[0][0]
    assert output.shape == (1, 30, 4, 16) and "FlashAttentionBackward0" in [type(function).__name__ for function in functions]
    arguments = [argument.name for argument in torch.ops.aten._flash_attention_forward.default._schema.arguments]
    assert arguments[:10] == "query key value cum_seq_q cum_seq_k max_q max_k dropout_p is_causal return_debug_mask".split()


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_attention_alone_can_be_padded(dropout):
    """For a GPU that has no such kernel. Values of one show what dropout leaves: the rest scaled, in the mean what was there."""
    torch.manual_seed(0)
    real = torch.arange(60) < torch.tensor([[7], [60], [29]])
    places, starts = real.flatten().nonzero().squeeze(1), torch.tensor([0, 7, 67, 96])
    query, key, value, weights = torch.randn(4, 1, 4, 96, 8)
    if dropout:
        ones = torch.ones_like(value)
        left = padding_free.padded(query, key, ones, real, places, dropout, 0.3)
        expected = padding_free.one_by_one(query, key, ones, starts, dropout, 0.3)
        assert float(left.mean()) == pytest.approx(1, abs=0.1) and float(left.std()) == pytest.approx(float(expected.std()), rel=0.25)
        return

    def output_and_gradients(kernel, *layout):
        leaves = [tensor.clone().requires_grad_() for tensor in (query, key, value)]
        output = kernel(*leaves, *layout, 0.0, 0.3)
        return [output, *torch.autograd.grad((output.transpose(1, 2) * weights).sum(), leaves)]

    expected = output_and_gradients(padding_free.one_by_one, starts)
    torch.testing.assert_close(output_and_gradients(padding_free.padded, real, places), expected)


@pytest.mark.parametrize("capability, dtype, tokens, expected", [
    ((8, 0), torch.bfloat16, 256, "by_triton"), ((8, 0), torch.bfloat16, 257, "flash"), ((9, 0), torch.float16, 20, "flash"),
    ((8, 0), torch.float32, 20, "padded"), ((7, 5), torch.float16, 20, "padded"), (None, torch.float32, 20, "one_by_one"),
])  # fmt: skip
def test_each_device_has_its_attention(capability, dtype, tokens, expected, monkeypatch):
    """A GPU is made of a name here: a tensor's device is what is asked. Two sequences, whose mean is 128 or above; Triton's is for bf16."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    given = {}
    for name in ("by_triton", "flash", "padded", "one_by_one"):
        monkeypatch.setattr(padding_free, name, lambda *inputs, name=name: given.update({name: inputs[3:]}))
    query = SimpleNamespace(device=torch.device("cuda" if capability else "cpu"), dtype=dtype, shape=(1, 4, tokens, 16))
    layout = padding_free.Layout(torch.ones(2, 5, dtype=torch.bool), torch.arange(5), (torch.bfloat16,))
    padding_free.attention(None, query, query, query, None, 0.1, 0.5, cu_seq_lens_q="starts", layout=layout)
    inputs = {"by_triton": ("starts", 5), "flash": ("starts", 5), "padded": layout[:2], "one_by_one": ("starts",)}[expected]
    assert given == {expected: (*inputs, 0.1, 0.5)}


def test_a_model_whose_attention_alone_is_padded_gives_the_same_hidden_states(monkeypatch):
    """All the code that a GPU without the kernel would run, run on a CPU."""
    encoder = XLMRobertaModel(XLMRobertaConfig(vocab_size=100, pad_token_id=1, **SMALL)).eval()
    ids, mask = torch.tensor([[5, 6, 7, 9], [8, 4, 1, 1], [9, 1, 1, 1]]), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]])
    with torch.no_grad():
        before = encoder(ids, mask).last_hidden_state[mask.bool()]
        calls, padded = [], padding_free.padded

        def in_its_place(module, query, key, value, attention_mask, dropout=0.0, scaling=None, layout=None, **_):
            calls.append(query.shape[2])
            return padded(query, key, value, *layout[:2], dropout, scaling), None

        monkeypatch.setitem(padding_free.AttentionInterface._global_mapping, padding_free.NAME, in_its_place)
        padding_free.set_up(encoder, "on", *ON_CPU)
        calls.clear()
        after = encoder(input_ids=ids, attention_mask=mask).last_hidden_state[mask.bool()]
    torch.testing.assert_close(after, before)
    assert calls == [7] * SMALL["num_hidden_layers"]


def test_on_a_gpu_the_kernel_is_compared_in_the_precisions_of_training_and_scoring(monkeypatch):
    compared = []
    monkeypatch.setattr(padding_free, "has_flash", lambda device, dtype: dtype != torch.float32)
    monkeypatch.setattr(padding_free, "why_not_kernel", lambda kernel, config, device, dtype: compared.append((kernel, dtype)))
    monkeypatch.setattr(padding_free, "triton_is_exact", lambda config, device, dtype: compared.append(("triton", dtype)))
    args = SimpleNamespace(device=torch.device("cuda"), bf16=True, fp16=False, bf16_full_eval=False, fp16_full_eval=True)
    on_gpu = device_and_precisions(args)
    padding_free.set_up(BertModel(BertConfig(vocab_size=100, **SMALL)), "auto", *on_gpu)
    assert {*compared} == {(kernel, dtype) for kernel in (padding_free.flash, "triton") for dtype in (torch.bfloat16, torch.float16)}
    monkeypatch.setattr(padding_free, "why_not_kernel", lambda *_: "no kernel")
    with pytest.raises(InputError, match="no kernel"):
        padding_free.set_up(BertModel(BertConfig(vocab_size=100, **SMALL)), "on", *on_gpu)
    padding_free.set_up(BertModel(BertConfig(vocab_size=100, **SMALL)), "on", torch.device("cuda"), {"no"})


def test_a_padding_free_run_takes_the_same_steps_and_says_so(call, tiny_model, data_dir, tmp_path):
    flags = ("--task", "udpos", "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--languages", "de", "--use_cpu",
             "--max_steps", "3", "--optim", "sgd", "--learning_rate", "0.5", "--warmup_steps", "0", "--effective_batch_size", "16",
             "--per_device_train_batch_size", "4", "--max_eval_samples", "20", "--disable_tqdm", "true")  # fmt: skip
    padded = call(run_target, *flags, "--output_dir", tmp_path / "padded")
    packed = call(run_target, *flags, "--padding_free", "on", "--output_dir", tmp_path / "packed")
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("padded", "packed"))
    for name, weight in one.items():
        assert (other[name] - weight).norm() <= 1e-5 * weight.norm() + 1e-6, name
    assert packed["scores"] == padded["scores"]
    tokens = padded["training"]["tokens"], packed["training"]["tokens"]
    assert tokens[0]["real_tokens"] == tokens[1]["real_tokens"] == tokens[1]["computed_tokens"] < tokens[0]["computed_tokens"]
    assert packed["training"]["padding_free"] and not padded["training"]["padding_free"]
    assert packed["training"]["attention_dropout"] == 0.0
    with pytest.raises(InputError, match="padding_free 'on'; this command says 'auto'"):
        call(run_target, *flags, "--output_dir", tmp_path / "packed")


# ---- the same examples in any number of processes


@pytest.mark.parametrize("examples", [0, 1, 5, 8, 9, 16, 23, 24, 25])
@pytest.mark.parametrize("processes", [2, 3])
def test_every_example_is_dealt_out_once_and_all_processes_read_as_many_micro_batches(examples, processes):
    batches = BatchSampler(range(examples), 4, drop_last=False)
    shares = []
    for process in range(processes):
        shard = BatchSamplerShard(SharedOut(batches, processes), processes, process)
        shares.append(list(shard))
        assert len(shard) == len(shares[-1])
    assert len({*map(len, shares)}) == 1
    turns = [[share[turn] for share in shares] for turn in range(len(shares[0]))]
    assert [row for turn in turns for part in turn for row in part] == list(range(examples)), "in the order of one process"
    for turn in turns[: examples // (4 * processes)]:
        assert {*map(len, turn)} == {4}
    if examples % (4 * processes):
        sizes = [*map(len, turns[-1])]
        assert max(sizes) - min(sizes) <= 1 and sum(sizes) == examples % (4 * processes)


def test_a_micro_batch_without_examples_is_the_first_example_without_its_label(tiny_model, data_dir):
    for name in HEADS:
        task, tokenizer, _, features = features_of(name, "train", tiny_model, data_dir, 3)
        collate = real_tokens.CountingCollator(Collator(tokenizer.pad_token_id))
        collate.dataset = what_is_read(features)
        empty, first = collate([]), collate([dict(collate.dataset[0])])
        assert (empty.pop("is_empty"), first.pop("is_empty")) == (True, False)
        assert (empty.pop("labels") == -100).all() and (first.pop("labels") != -100).any()
        assert all(torch.equal(values, first[key]) if torch.is_tensor(values) else values == first[key] for key, values in empty.items())


@pytest.mark.parametrize("flag, message", [
    ({"accelerator_config": {"dispatch_batches": True}}, "dispatch_batches and split_batches make other batches"),
    ({"accelerator_config": {"split_batches": True}}, "dispatch_batches and split_batches make other batches"),
])  # fmt: skip
def test_what_makes_other_batches_on_several_processes_is_refused(flag, message, tiny_model, data_dir, tmp_path, monkeypatch):
    task, tokenizer, _, features = features_of("mnli", "train", tiny_model, data_dir, 10)
    model, _ = load_model(TASK_TYPES[task.task_type].Model, tiny_model, task.labels, seed=1)
    args = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none", **flag)
    monkeypatch.setattr(TrainingArguments, "world_size", 2)
    with pytest.raises(InputError, match=message):
        RealTokensTrainer(model=model, args=args, train_dataset=features, data_collator=Collator(1)).get_train_dataloader()


def test_noise_on_the_embeddings_is_for_padded_batches(capsys):
    """transformers scales it by the length of a row, which without padding is that of all sequences together."""
    bert = BertModel(BertConfig(vocab_size=100, **SMALL))
    padding_free.set_up(bert, "auto", *ON_CPU, is_uneven=lambda: True, has_noise=True)
    assert "forward" not in vars(bert) and "with padding: --neftune_noise_alpha would have smaller noise" in capsys.readouterr().out
    with pytest.raises(InputError, match="--padding_free on: --neftune_noise_alpha"):
        padding_free.set_up(bert, "on", *ON_CPU, has_noise=True)


# ---- training batches of like lengths


def mixed_lengths(count=5000):
    return np.random.default_rng(0).gamma(6, 8, count).astype(int) + 5


def test_groups_of_like_length_hardly_need_padding_and_steps_stay_mixed():
    lengths = mixed_lengths()
    order = np.array(list(GroupedByLength(lengths, 32, 7, lambda: 0)))
    assert sorted(order) == list(range(len(lengths)))
    micro = lengths[order[: len(order) // 8 * 8]].reshape(-1, 8)
    assert micro.sum() / (micro.max(1) * 8).sum() > 0.98
    steps = lengths[order[: len(order) // 32 * 32]].reshape(-1, 32)
    assert (np.diff(steps, axis=1) <= 0).all(), "longest first"
    assert np.mean(steps.max(1) - steps.min(1)) > lengths.std(), "steps of one length would be biased"
    rest = order[len(order) // 32 * 32 :]
    assert abs(lengths[rest].mean() - lengths.mean()) < lengths.std(), "what no step is whole of is left over by chance"


def test_the_order_knows_epoch_and_seed_only():
    lengths = mixed_lengths(300)
    orders = [list(GroupedByLength(lengths, 16, seed, partial(int, epoch))) for seed, epoch in ((1, 0), (1, 0), (1, 1), (2, 0))]
    assert orders[0] == orders[1] and len({tuple(order) for order in orders}) == 3
    assert list(GroupedByLength(lengths, 14, 1, lambda: 0)) and GroupedByLength(lengths, 14, 1, lambda: 0).group == 7
    assert list(GroupedByLength([3, 9, 4, 7, 5], 16, 1, lambda: 0)) == [1, 3, 4, 2, 0]


def test_lengths_are_pieces_of_multiple_choice_those_of_the_longest(tiny_model, data_dir):
    for name in ("mnli", "hellaswag"):
        *_, features = features_of(name, "train", tiny_model, data_dir, 20)
        rows = features.select([3, 1, 2])["input_ids"][:]
        expected = [max(map(len, row)) if name == "hellaswag" else len(row) for row in rows]
        assert lengths_of(features.select([3, 1, 2])).tolist() == expected


def test_the_trainer_says_which_epoch_begins(tiny_model, data_dir, tmp_path):
    """The order is the same in the middle of an epoch, from which a run may be resumed."""
    task, tokenizer, _, features = features_of("mnli", "train", tiny_model, data_dir, 40)
    model, _ = load_model(TASK_TYPES[task.task_type].Model, tiny_model, task.labels, seed=1)
    args = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, train_sampling_strategy="group_by_length", report_to="none")
    trainer = RealTokensTrainer(model=model, args=args, train_dataset=features, processing_class=tokenizer)
    sampler, orders = trainer._get_train_sampler(), []
    for epoch in (0, 1.0, 1.6):
        trainer.state.epoch = epoch
        orders.append(list(sampler))
    assert orders[0] != orders[1] == orders[2]
    trainer.args.seed = 7
    assert list(trainer._get_train_sampler()) != orders[2]
    trainer.args.data_seed = 42
    assert list(trainer._get_train_sampler()) == orders[2], "--data_seed has its own say"


def test_two_processes_go_on_in_the_second_epoch_where_they_were_cut_off(tiny_model, data_dir, tmp_path):
    """accelerate does not tell a sampler the epoch there: it stands below two wrappers. Each epoch's third step has one example."""
    flags = ("--task", "mnli", "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--use_cpu", "--max_train_samples", "17",
             "--effective_batch_size", "8", "--per_device_train_batch_size", "2", "--max_steps", "9", "--save_steps", "1",
             "--save_total_limit", "9", "--keep_checkpoints", "--max_eval_samples", "8", "--disable_tqdm", "true",
             "--eval_strategy", "no", "--load_best_model_at_end", "false")  # fmt: skip
    out, cut = tmp_path / "out", tmp_path / "cut"
    launch("run_intermediate.py", *flags, "--output_dir", out, processes=2)
    shutil.copytree(out, cut)
    for step in range(5, 10):
        shutil.rmtree(cut / f"checkpoint-{step}")
    (cut / "results.json").unlink()
    launch("run_intermediate.py", *flags, "--output_dir", cut, processes=2)
    assert json.loads((cut / "results.json").read_text())["training"]["resumed_from_step"] == 4
    whole, resumed = load_file(out / "model.safetensors"), load_file(cut / "model.safetensors")
    assert all(torch.equal(weight, resumed[name]) for name, weight in whole.items())
    assert any(not torch.equal(weight, load_file(out / "checkpoint-4/model.safetensors")[name]) for name, weight in whole.items())


# ---- scoring


def test_scoring_batches_hold_every_feature_once_within_their_budget():
    lengths = mixed_lengths(700)
    batches = scoring_batches(lengths, 32)
    assert sorted(row for batch in batches for row in batch) == list(range(700))
    padded = np.array([lengths[batch].max() * len(batch) for batch in batches])
    assert padded.max() <= 32 * lengths.max() and lengths.sum() / padded.sum() >= 0.96
    assert len(batches) < 60, "and they are not single texts"
    assert [len(batch) for batch in scoring_batches(np.full(70, 50), 32)] == [32, 32, 6]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", HEADS)
def test_scoring_sorted_by_length_says_the_same_in_the_same_order(name, packed, tiny_model, data_dir, tmp_path):
    task, tokenizer, examples, features = features_of(name, "dev", tiny_model, data_dir, 40)
    task_type = TASK_TYPES[task.task_type]
    model, _ = load_model(task_type.Model, tiny_model, task.labels, seed=1)
    one_by_one, losses = [], []
    model.eval()
    with torch.no_grad():
        for row in range(len(features)):
            batch = batch_of(task, tokenizer, features, [row])
            labels = batch.pop("labels")
            outputs = model(**batch)
            logits = tuple(values for key, values in outputs.items() if key.endswith("logits"))
            one_by_one.append(task_type.reduce_logits(logits if len(logits) > 1 else logits[0], labels))
            losses.append((float(task_type.loss(outputs, labels)), int(labels.ne(-100).sum())))
    if packed:
        padding_free.set_up(model.base_model, "on", *ON_CPU)
    for part in model.modules():  # Scoring happens during training and must not use dropout.
        part.train()
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.5
    args = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, per_device_eval_batch_size=7, disable_tqdm=True, report_to="none")
    trainer = RealTokensTrainer(
        model=model, args=args, data_collator=Collator(tokenizer.pad_token_id), processing_class=tokenizer, compute_loss_func=task_type.loss
    )
    sizes = []
    embeddings = model.base_model.embeddings.word_embeddings
    embeddings.register_forward_hook(lambda module, inputs, output: sizes.append(inputs[0].shape))
    found, loss = predict(trainer, features, task_type)
    columns = found if isinstance(found, tuple) else (found,)
    for column, parts in zip(columns, zip(*(row if isinstance(row, tuple) else (row,) for row in one_by_one)), strict=True):
        for row, expected in zip(column, parts, strict=True):
            assert np.allclose(row[: expected.shape[1]], expected[0].numpy(), atol=1e-5)
    assert loss == pytest.approx(sum(value * count for value, count in losses) / sum(count for _, count in losses), rel=1e-5)
    longest, choices = int(lengths_of(features).max()), 4 if name == "hellaswag" else 1
    assert max(rows * length for rows, length in sizes) <= 7 * longest * choices and len(sizes) > 1
    if not isinstance(found, tuple) and name != "udpos":
        single = np.concatenate([reduced.numpy() for reduced in one_by_one])
        assert task_type.decode(examples, features, found, task) == task_type.decode(examples, features, single, task)


def test_each_process_scores_its_share_of_the_batches(tiny_model, data_dir, tmp_path, monkeypatch):
    task, _, _, features = features_of("mnli", "dev", tiny_model, data_dir, 50)
    model, _ = load_model(TASK_TYPES[task.task_type].Model, tiny_model, task.labels, seed=1)
    args = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, per_device_eval_batch_size=4, disable_tqdm=True, report_to="none")
    trainer = RealTokensTrainer(model=model, args=args, data_collator=Collator(1), compute_loss_func=TASK_TYPES["classification"].loss)
    batches, scored, passes = len(scoring_batches(lengths_of(features), 4)), [], []
    monkeypatch.setattr(real_tokens, "gather_object", lambda found: scored.append([rows for rows, _ in found]) or found)
    model.register_forward_hook(lambda *_: passes.append(1))
    for process in range(3):
        three = SimpleNamespace(**{name: getattr(args, name) for name in (
            "per_device_eval_batch_size", "dataloader_num_workers", "device", "disable_tqdm", "bf16_full_eval", "fp16_full_eval")},
            process_index=process, world_size=3)  # fmt: skip
        monkeypatch.setattr(trainer, "args", three)
        predict(trainer, features, TASK_TYPES["classification"])
    assert sorted(row for rows in scored for batch in rows for row in batch) == list(range(50)), "each feature once, by one of them"
    assert len(passes) == 3 * -(-batches // 3), "and as many forward passes on all: under ZeRO-3 each is a common one"


def test_autocast_copies_the_weights_once_for_all_batches(tiny_model, data_dir, tmp_path):
    class Casts(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if function is torch.ops.aten._to_copy.default and tuple(args[0].shape) == matrix.shape and args[0].dtype == torch.float32:
                casts.append(1)
            return function(*args, **(kwargs or {}))

    task, _, _, features = features_of("mnli", "dev", tiny_model, data_dir, 40)
    model, _ = load_model(TASK_TYPES[task.task_type].Model, tiny_model, task.labels, seed=1)
    matrix, counts = model.base_model.encoder.layer[0].intermediate.dense.weight, []
    args = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, bf16=True, disable_tqdm=True, report_to="none")
    trainer = RealTokensTrainer(model=model, args=args, data_collator=Collator(1), compute_loss_func=TASK_TYPES["classification"].loss)
    model.forward = torch.autocast("cpu", torch.bfloat16)(model.forward)  # accelerate wraps a prepared model in the same way.
    for batch in (40, 4):
        casts, trainer.args.per_device_eval_batch_size = [], batch
        with Casts():
            predict(trainer, features, TASK_TYPES["classification"])
        counts.append(len(casts))
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize("longer, expected", [(20, False), (30, True)])
def test_more_than_a_twentieth_of_padding_makes_choices_uneven(longer, expected):
    rows = [[[1] * 100, [1] * (100 - longer // 2)], [[1] * 50, [1] * (50 - longer // 4)]] * 10
    share = sum(len(choice) for row in rows for choice in row) / sum(2 * len(row[0]) for row in rows)
    assert (share < 0.95) is expected
    assert choices_are_uneven(Dataset.from_dict({"input_ids": rows})) is expected


def test_an_encoder_that_cannot_is_refused_before_anything_is_tokenised(call, data_dir, tmp_path, monkeypatch):
    folder = write_family("deberta-v2", tmp_path / "model")
    monkeypatch.setattr(task_types, "_features_of_batch", None)
    with pytest.raises(InputError, match="--padding_free on: the attention of DebertaV2Model cannot be replaced"):
        call(run_intermediate, "--task", "hellaswag", "--model_name_or_path", folder, "--data_dir", data_dir, "--padding_free", "on",
             "--output_dir", tmp_path / "out", "--use_cpu", "--max_steps", "1", "--max_seq_length", "64")  # fmt: skip


def test_choices_of_unlike_length_run_on_real_tokens_by_default_and_train_the_same_model(call, tiny_model, data_dir, tmp_path):
    uneven, path = tmp_path / "data", "Rowan/hellaswag/data"
    (uneven / path).mkdir(parents=True)
    for file in Path(data_dir, path).iterdir():
        rows = Dataset.from_parquet(str(file), cache_dir=str(tmp_path / "cache"))
        rows.map(lambda row: {"endings": [row["endings"][0] * 6, *row["endings"][1:]]}).to_parquet(uneven / path / file.name)

    def run(name, data, *more):
        return call(run_intermediate, "--task", "hellaswag", "--model_name_or_path", tiny_model, "--data_dir", data, "--max_steps", 4,
                    "--eval_strategy", "no", "--optim", "sgd", "--learning_rate", 0.1, "--use_cpu", "--disable_tqdm", "true",
                    "--report_to", "none", "--output_dir", tmp_path / name, *more)["training"]  # fmt: skip

    default, padded = run("default", uneven), run("padded", uneven, "--padding_free", "off")
    assert default["padding_free"] and default["tokens"]["share"] == 1
    assert not padded["padding_free"] and padded["tokens"]["share"] < 0.9
    assert default["train_loss"] == pytest.approx(padded["train_loss"], rel=1e-5)
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("default", "padded"))
    assert all(torch.allclose(one[key], other[key], atol=1e-4) for key in one)
    assert not run("even", data_dir)["padding_free"], "an order is enough there, and one forward pass of all is faster"


# ---- defaults on a GPU


def given_flags(flags) -> dict:
    return arguments.Parser((TrainingArguments,)).given_flags(flags)[0]


@pytest.mark.parametrize("cuda, half, flags, deepspeed, expected", [
    (True, True, (), None, {"bf16": True}),
    (True, False, (), None, {"bf16": False}),
    (True, True, ("--fp16",), None, {}),
    (True, True, ("--bf16", "false"), None, {}),
    (True, True, ("--use_cpu",), None, {}),
    (False, True, (), None, {}),
    (True, True, (), {"bf16": {"enabled": "auto"}}, {"bf16": True}),
    (True, True, (), {"bf16": {"enabled": False}}, {"bf16": False}),
    (False, False, (), {"bf16": {"enabled": True}}, {"bf16": True, "fp16": False}),
    (True, True, (), {"fp16": {"enabled": True}}, {"bf16": False}),
])  # fmt: skip
def test_bf16_is_the_default_where_the_gpu_has_it_and_nothing_else_was_asked(cuda, half, flags, deepspeed, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: half or including_emulation)
    launch = arguments.Launch(given_flags(flags), (), None, deepspeed_file=deepspeed and "x.json", deepspeed=deepspeed or {})
    assert arguments.precision_defaults(launch) == expected


@pytest.mark.parametrize("flags, launcher, expected, left", [
    ((), "fp16", {"bf16": False, "fp16": True}, "fp16"),
    ((), "no", {"bf16": True}, "no"),
    (("--bf16", "false"), "fp16", {}, None),  # The flag decides, and the launcher's precision has no effect.
])  # fmt: skip
def test_what_accelerate_config_says_stands_in_the_flags(flags, launcher, expected, left, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", launcher)
    launch = arguments.Launch(given_flags(flags), (), None)
    arguments.prepare_process(launch)
    assert arguments.precision_defaults(launch) == expected and os.environ.get("ACCELERATE_MIXED_PRECISION") == left


def test_a_command_line_without_precision_and_optimiser_gets_both(monkeypatch, tmp_path):
    """A launcher's precision stands for a GPU's here: both are defaults that `parse` hands on."""
    found = []
    for launcher in ("bf16", "no"):
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", launcher)
        monkeypatch.setattr(sys, "argv", ["run_intermediate.py", "--task", "mnli", "--use_cpu", "--output_dir", str(tmp_path)])
        _, training_args, *_ = arguments.parse(run_intermediate.ScriptArguments, "intermediate")
        found.append((training_args.bf16, training_args.fp16, training_args.optim.value))
    assert found == [(True, False, "adamw_torch_fused"), (False, False, "adamw_torch_fused")]
    assert training_args.logging_nan_inf_filter is False, "a GPU would wait for the loss of each step"
