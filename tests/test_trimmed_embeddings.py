"""Trimmed embeddings: the run, its checkpoints and its scores are those of a run that trains with all embeddings."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from torch.nn import Embedding

import run_intermediate
import run_target
from arguments import InputError
from speed import trimmed_embeddings
from speed.trimmed_embeddings import complete, occurring, set_up, trimmed

WORDS = "roberta.embeddings.word_embeddings.weight"


class Encoder(torch.nn.Module):
    """What `set_up` asks of an encoder: its embeddings, and the padding that the collator writes."""

    def __init__(self, padding_idx=1, rows=12, **options):
        super().__init__()
        torch.manual_seed(0)
        self.words = Embedding(rows, 4, padding_idx=padding_idx, **options)
        self.config = SimpleNamespace(pad_token_id=padding_idx)

    def get_input_embeddings(self):
        return self.words

    def set_input_embeddings(self, words):
        self.words = words


TOKENIZER = SimpleNamespace(pad_token_id=3)
READ = [Dataset.from_dict({"input_ids": [[0, 5, 2], [0, 8, 8, 2]]}), Dataset.from_dict({"input_ids": [[[0, 9, 2], [0, 2]]]})]
OCCUR = [0, 1, 2, 5, 8, 9]


def encoders(**options):
    """-> (a plain encoder, the same one trimmed to READ)"""
    whole, part = Encoder(**options), Encoder(**options)
    set_up(part, "on", "adamw_torch", READ, TOKENIZER)
    return whole, part


@pytest.mark.parametrize("ids", [[[0, 5, 1, 2], [9, 8, 8, 1]], [[1, 1]]])
def test_what_occurs_has_its_own_embedding_and_gradient(ids):
    whole, part = encoders()
    ids = torch.tensor(ids)
    outputs = [encoder.words(ids) for encoder in (whole, part)]
    assert torch.equal(*outputs) and len(part.words.weight) == len(OCCUR) + 1
    for output in outputs:
        (output * torch.arange(output.numel()).view_as(output)).sum().backward()
    pieces = part.words.pieces
    assert torch.equal(part.words.weight.grad, whole.words.weight.grad[pieces]), "nothing for padding, as in the whole"
    rest = [piece for piece in range(12) if piece not in pieces]
    assert not whole.words.weight.grad[rest].any(), "what is left out gets no gradient"


@pytest.mark.parametrize("padding", [1, 10])
def test_what_does_not_occur_is_an_error_until_the_embeddings_are_complete(padding):
    whole, part = encoders(padding_idx=padding)
    with pytest.raises(IndexError):
        part.words(torch.tensor([[0, 6]]))
    complete(part)
    ids = torch.arange(12)[None]
    assert torch.equal(part.words(ids), whole.words(ids)) and trimmed(part) is None
    assert part.words.padding_idx == padding and part.words.num_embeddings == 12 and part.words.weight.requires_grad
    complete(whole)  # nothing to do


def test_the_state_dict_holds_all_rows_and_takes_them():
    whole, part = encoders()
    assert part.state_dict().keys() == whole.state_dict().keys() and torch.equal(part.state_dict()["words.weight"], whole.words.weight)
    with torch.no_grad():
        part.words.weight[part.words.rows[5]] += 1
    found = part.state_dict()["words.weight"]
    assert torch.equal(found[5], whole.words.weight[5] + 1) and torch.equal(found[6:], whole.words.weight[6:])
    other, _ = Encoder(), torch.nn.init.normal_(whole.words.weight)
    set_up(other, "auto", "sgd", READ, TOKENIZER)
    other.load_state_dict(part.state_dict())
    assert torch.equal(other.state_dict()["words.weight"], found)
    complete(other)
    other.load_state_dict(whole.state_dict())
    assert torch.equal(other.words.weight, whole.words.weight)


@pytest.mark.parametrize("dtype, decay", [(torch.float32, 0.0), (torch.float32, 0.1), (torch.bfloat16, 0.0)])
def test_what_the_optimiser_does_to_rows_without_gradient_is_done_to_those_that_wait(dtype, decay):
    encoders_ = [encoder.to(dtype) for encoder in encoders()]
    for encoder in encoders_:
        optimizer = torch.optim.AdamW(encoder.parameters(), lr=0.05, weight_decay=decay)
        for step in range(20):
            optimizer.zero_grad()
            encoder.words(torch.tensor([[0, 5, 2], [0, 8 + step % 2, 2]])).square().sum().backward()
            optimizer.step()
    whole, part = (encoder.state_dict()["words.weight"] for encoder in encoders_)
    assert part.dtype == dtype
    torch.testing.assert_close(part, whole, rtol=1e-6 if decay else 0, atol=0)
    if decay:
        assert (whole[6].norm() / Encoder().words.weight[6].norm()).item() == pytest.approx((1 - 0.05 * decay) ** 20, rel=1e-5)


@pytest.mark.parametrize("decay", [1.0, 0.9])
def test_what_is_trained_in_fp32_from_rounded_weights_tells_of_decay_alone(decay):
    """As under DeepSpeed: the model is rounded, and an fp32 copy of the rounded model is trained."""
    whole, part = encoders()
    part.to(torch.bfloat16)
    found = part.words.expanded(part.words.weight.float() * decay)
    rest = [piece for piece in range(12) if piece not in part.words.pieces]
    torch.testing.assert_close(found[rest], whole.words.weight.detach()[rest] * decay, rtol=1e-6 if decay < 1 else 0, atol=0)


def test_frozen_embeddings_are_what_they_were_whatever_the_precision():
    whole, part = Encoder(), Encoder()
    part.words.weight.requires_grad_(False)
    set_up(part, "auto", "adamw_torch", READ, TOKENIZER)
    assert not part.words.weight.requires_grad
    part.to(torch.bfloat16)
    assert torch.equal(part.words.expanded(part.words.weight.float()), whole.words.weight), "not rounded"
    assert torch.equal(part.state_dict()["words.weight"], whole.words.weight.bfloat16())
    complete(part)
    assert not part.words.weight.requires_grad and part.words.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("padding_idx, expected", [(1, OCCUR), (None, [0, 2, 3, 5, 8, 9])])
def test_kept_are_the_pieces_that_occur_the_padding_and_one_that_tells_of_the_others(padding_idx, expected, capsys):
    encoder = Encoder(padding_idx)
    absent = [piece for piece in range(12) if piece not in expected]
    with torch.no_grad():
        encoder.words.weight[absent[:2]] = 0  # zeros decay to zeros
    set_up(encoder, "auto", "adamw_torch", READ, TOKENIZER)
    assert sorted(encoder.words.pieces.tolist()) == sorted([*expected, absent[2]])
    assert encoder.words.pieces[encoder.words.unused_row] == absent[2]
    assert capsys.readouterr().out == "6 of 12 tokens occur: the embeddings of the others stay in host memory while training\n"


def test_where_all_that_waits_is_zero_it_stays_so():
    encoder = Encoder()
    with torch.no_grad():
        encoder.words.weight[[3, 4, 6, 7, 10, 11]] = 0
    expected = encoder.words.weight.clone()
    set_up(encoder, "auto", "adamw_torch", READ, TOKENIZER)
    assert torch.equal(encoder.state_dict()["words.weight"], expected)


def test_where_all_pieces_occur_nothing_is_trimmed():
    encoder = Encoder()
    set_up(encoder, "on", "sgd", [Dataset.from_dict({"input_ids": [list(range(12))]})], TOKENIZER)
    assert trimmed(encoder) is None


@pytest.mark.parametrize("features, expected", [
    (READ[0], [0, 2, 5, 8]), (READ[1], [0, 2, 9]), (READ[0].select([1]), [0, 2, 8]), (READ[0].select([]), []),
])  # fmt: skip
def test_pieces_are_counted_in_lists_and_lists_of_lists(features, expected):
    assert np.flatnonzero(occurring(features, 12)).tolist() == expected


@pytest.mark.parametrize("encoder, optim, has_lm, zero3, reason", [
    (Encoder(), "adamw_torch", True, False, "masked LM reads the embeddings of all tokens"),
    (Encoder(), "adamw_torch", False, True, "under ZeRO-3 the embeddings are in slices"),
    (Encoder(), "adafactor", False, False, "rows may be left out under adamw_torch, .*sgd, not under adafactor"),
    (Encoder(max_norm=1.0), "adamw_torch", False, False, "the embeddings of Encoder are no plain table"),
])  # fmt: skip
def test_where_it_would_be_another_run_it_is_not_done(encoder, optim, has_lm, zero3, reason, monkeypatch):
    monkeypatch.setattr(trimmed_embeddings, "is_deepspeed_zero3_enabled", lambda: zero3)
    with pytest.raises(InputError, match=f"^--trim_embeddings on: {reason}"):
        set_up(encoder, "on", optim, READ, TOKENIZER, has_lm)
    for wanted, *given in (("auto", optim, READ, TOKENIZER, has_lm), ("off", "sgd", READ, TOKENIZER)):
        set_up(encoder, wanted, *given)
        assert type(encoder.words) is Embedding


# ---- whole runs

FLAGS = ("--use_cpu", "--disable_tqdm", "true", "--effective_batch_size", "8", "--warmup_steps", "0", "--weight_decay", "0.1",
         "--learning_rate", "1e-3", "--keep_checkpoints", "--max_eval_samples", "16")  # fmt: skip


@pytest.mark.parametrize("script, task, more", [
    (run_target, "xnli", ("--select_on", "target", "--eval_steps", "10", "--max_steps", "20", "--max_seq_length", "64")),
    (run_target, "xquad", ("--max_steps", "10", "--eval_steps", "5", "--max_seq_length", "96", "--doc_stride", "32")),
    (run_intermediate, "hellaswag", ("--max_steps", "10", "--eval_strategy", "steps", "--eval_steps", "5", "--max_train_samples", "9",
                                     "--max_seq_length", "64")),
    (run_intermediate, "mnli hellaswag", ("--max_steps", "10", "--save_steps", "5", "--max_seq_length", "64")),
])  # fmt: skip
def test_a_trimmed_run_is_the_untrimmed_one(script, task, more, call, tiny_model, data_dir, tmp_path):
    """German is scored, and with --select_on target read during training, though most of its pieces occur in no English example;

    nor do all of hellaswag's dev data in nine examples.
    """
    if "--select_on" in more:
        data_dir = shutil.copytree(data_dir, tmp_path / "data")
        for file in (data_dir / "facebook/xnli/de").iterdir():
            shutil.copy(file, file.with_name(file.name.replace("test", "validation")))
    runs = {}
    languages = ("--languages", "en", "de") if script is run_target else ()
    for trim in ("auto", "off"):
        out = tmp_path / trim
        results = call(script, "--task", *task.split(), "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--output_dir", out,
                       "--trim_embeddings", trim, *languages, *FLAGS, *more)  # fmt: skip
        last = max(out.glob("checkpoint-*"), key=lambda folder: int(folder.name.rpartition("-")[2]))
        runs[trim] = results, load_file(out / "model.safetensors"), load_file(last / "model.safetensors")
    (part, *trimmed_weights), (whole, *weights) = runs["auto"], runs["off"]
    assert 20 < part["training"]["trained_pieces"] < 200 and whole["training"]["trained_pieces"] is None
    for found, expected in zip(trimmed_weights, weights):
        assert found.keys() == expected.keys()
        for name, weight in expected.items():
            assert found[name].shape == weight.shape and (found[name] - weight).norm() <= 1e-5 * weight.norm(), name
    before = load_file(f"{tiny_model}/model.safetensors")[WORDS]
    moved = (weights[0].get(WORDS, weights[0].get(WORDS.removeprefix("roberta."))) - before).norm(dim=1)
    assert (moved > 0).sum() > len(before) - 9, "weight decay moves rows that no gradient reaches"
    for scored in ("scores", "dev"):
        assert part.get(scored) == whole.get(scored)
    if script is run_target:
        predictions = [sorted((tmp_path / trim / "predictions").rglob("*.*")) for trim in ("auto", "off")]
        assert [file.read_bytes() for file in predictions[0]] == [file.read_bytes() for file in predictions[1]] and len(predictions[0]) > 1


CUT = ("--task", "mnli", *FLAGS, "--max_seq_length", "64", "--max_steps", "12", "--save_steps", "6", "--save_total_limit", "2")


def cut_off(folder):
    """Turns a finished run into one that was cut off after its sixth step."""
    (folder / "results.json").unlink()
    shutil.rmtree(folder / "checkpoint-12")


@pytest.mark.parametrize("script, task, more, reason", [
    (run_target, "xnli", (), "rows may be left out under .*, not under adafactor"),
    (run_intermediate, "mnli", ("--mlm_languages", "en", "--mlm_data", "en={text}"), "masked LM reads the embeddings of all tokens"),
])  # fmt: skip
def test_a_run_that_cannot_be_trimmed_says_why_in_one_line(script, task, more, reason, call, tiny_model, data_dir, tmp_path):
    (tmp_path / "en.txt").write_text("the dog sees\nthe cat sees\n" * 9, encoding="utf-8")
    more = [value.format(text=tmp_path / "en.txt") for value in more] or ["--optim", "adafactor", "--languages", "en"]
    with pytest.raises(InputError, match=f"^--trim_embeddings on: {reason}"):
        call(script, "--task", task, "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--output_dir", tmp_path / "out",
             "--trim_embeddings", "on", "--max_steps", "2", "--max_seq_length", "64", *FLAGS, *more)  # fmt: skip


def test_a_cut_off_run_goes_on_trimmed_and_another_setting_is_another_run(call, tiny_model, data_dir, tmp_path):
    flags = (*CUT, "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--output_dir", tmp_path / "out")
    whole, expected = call(run_intermediate, *flags), load_file(tmp_path / "out/model.safetensors")
    cut_off(tmp_path / "out")
    with pytest.raises(InputError, match="trim_embeddings"):
        call(run_intermediate, *flags, "--trim_embeddings", "off")
    results, found = call(run_intermediate, *flags), load_file(tmp_path / "out/model.safetensors")
    assert results["training"]["resumed_from_step"] == 6 and results["training"]["trained_pieces"] == whole["training"]["trained_pieces"]
    assert all(torch.equal(found[name], weight) for name, weight in expected.items()) and results["dev"] == whole["dev"]


def test_a_cut_off_run_on_other_data_is_one_line_and_one_of_earlier_code_goes_on_untrimmed(call, tiny_model, data_dir, tmp_path, capsys):
    """Otherwise the optimiser would use the states of other rows, or read beyond their end."""
    flags = (*CUT, "--model_name_or_path", tiny_model, "--output_dir", tmp_path / "out", "--data_dir", tmp_path / "data")
    train = shutil.copytree(data_dir, tmp_path / "data") / "nyu-mll/glue/mnli/train-00000-of-00001.parquet"
    call(run_intermediate, *flags)
    cut_off(tmp_path / "out")
    rows = Dataset.from_parquet(str(train))
    rows.map(lambda row: {"premise": "ein Hund " + row["premise"]}, features=rows.features).to_parquet(train)
    with pytest.raises(InputError, match="began with other data: what was read as mnli train en has changed"):
        call(run_intermediate, *flags)
    run = json.loads((tmp_path / "out/run.json").read_text())
    (tmp_path / "out/run.json").write_text(json.dumps({name: value for name, value in run.items() if name != "content"}))  # earlier code
    with pytest.raises(InputError, match="checkpoint-6 is of data in which other tokens occur: they have changed. --overwrite begins anew"):
        call(run_intermediate, *flags)
    rows.to_parquet(train)

    flags += ("--overwrite",)
    whole, expected = call(run_intermediate, *flags, "--trim_embeddings", "off"), load_file(tmp_path / "out/model.safetensors")
    cut_off(tmp_path / "out")
    run = json.loads((tmp_path / "out/run.json").read_text())
    assert run.pop("trim_embeddings") == "off"
    (tmp_path / "out/run.json").write_text(json.dumps(run))
    capsys.readouterr()
    results, found = call(run_intermediate, *flags[:-1]), load_file(tmp_path / "out/model.safetensors")
    assert "checkpoint-6 has states of all embeddings: they are trained on\n" in capsys.readouterr().out
    assert results["training"]["trained_pieces"] is None and results["training"]["resumed_from_step"] == 6
    assert all(torch.equal(found[name], weight) for name, weight in expected.items()) and results["dev"] == whole["dev"]
