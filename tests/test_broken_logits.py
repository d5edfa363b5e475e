"""Logits and vectors that are not finite are counted and reported with their language, and the run counts as failed."""

import json
import math
import shutil
import sys
from pathlib import Path

import pytest
import torch
from datasets import load_dataset
from safetensors.torch import load_file, save_file

import run_intermediate
import run_retrieval
import run_target
from console import Collapsed, run_script
from speed.real_tokens import broken_rows

FAST = ("--use_cpu", "--disable_tqdm", "true", "--max_seq_length", "64", "--effective_batch_size", "16", "--per_device_train_batch_size",
        "16", "--max_steps", "2", "--learning_rate", "1e-4", "--max_train_samples", "40", "--max_eval_samples", "8")  # fmt: skip
BROKEN = {"Hund", "Haus"}  # The German words that contain the broken token. No English word contains it.
WORDS = "roberta.embeddings.word_embeddings.weight"


@pytest.fixture(scope="module")
def broken_model(tiny_model, tmp_path_factory):
    """The tiny model with NaN in the row of a token that German texts have and English ones have not."""
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("broken") / "model"
    shutil.copytree(tiny_model, folder)
    token = AutoTokenizer.from_pretrained(tiny_model).convert_tokens_to_ids("▁H")
    weights = load_file(folder / "model.safetensors")
    weights[WORDS][token, 3] = math.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)


def rows_with_the_token(data_dir, hub_id, columns):
    """(how many German test rows have the broken token, how many there are)"""
    rows = load_dataset("parquet", data_files=str(Path(data_dir, hub_id, "*")), split="train")
    return sum(bool(BROKEN & {*" ".join(row[column] for column in columns).split()}) for row in rows), len(rows)


@pytest.mark.parametrize("task", ["xnli", "udpos", "xquad"])
def test_a_language_whose_logits_are_no_numbers_is_named_and_counted_and_has_no_score(task, call, broken_model, data_dir, tmp_path):
    flags = ("--task", task, "--languages", "en", "de", "--model_name_or_path", broken_model, "--data_dir", data_dir, *FAST)
    with pytest.raises(Collapsed, match=r": de: the logits of \d+ of \d+ inputs are not finite numbers; the model's weights are") as caught:
        call(run_target, *flags, "--output_dir", tmp_path / "trimmed")
    if task == "xnli":
        broken, rows = rows_with_the_token(data_dir, "facebook/xnli/de", ("premise", "hypothesis"))
        assert 0 < broken < rows and f"the logits of {broken} of {rows} inputs" in str(caught.value)
    assert not (tmp_path / "trimmed" / "results.json").exists()
    assert not list((tmp_path / "trimmed").glob("predictions/*/test-de.*")), "nothing of it is written"
    with pytest.raises(Collapsed, match="weights that are not finite numbers"):
        call(run_target, *flags, "--trim_embeddings", "off", "--output_dir", tmp_path / "whole")


def test_dev_data_that_overflow_during_training_are_a_failed_try_with_exit_code_3(broken_model, data_dir, tmp_path, monkeypatch, capsys):
    """All weights are finite, so that only the logits show the error."""
    from test_selection import data_dir_with_german_dev

    data_dir_with_german_dev(data_dir, tmp_path / "data")
    shutil.copytree(broken_model, tmp_path / "model")
    weights = load_file(tmp_path / "model" / "model.safetensors")
    weights[WORDS][weights[WORDS].isnan().any(1)] = 3e38
    save_file(weights, tmp_path / "model" / "model.safetensors", metadata={"format": "pt"})
    flags = ("--task", "xnli", "--languages", "en", "de", *FAST, "--model_name_or_path", tmp_path / "model", "--data_dir",
             tmp_path / "data",
             "--select_on", "mean", "--max_eval_samples", "30", "--output_dir", tmp_path / "out")  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["run_target.py", *map(str, flags)])
    with pytest.raises(SystemExit, match="3"):
        run_script(run_target.main)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert "failed to learn (seed 42 at step 1 of 2: de: the logits of" in line
    (failed,) = json.loads((tmp_path / "out" / "failed_tries.json").read_text())
    assert failed["step"] == 1 and failed["seed"] == 42 and "of 30 inputs" in failed["reason"]
    assert not (tmp_path / "out" / "results.json").exists()


def test_a_broken_weight_that_no_dev_text_needs_does_not_end_a_run_that_never_reads_it(call, broken_model, data_dir, tmp_path):
    flags = ("--task", "xnli", "--languages", "en", "--model_name_or_path", broken_model, "--data_dir", data_dir, *FAST)
    assert call(run_target, *flags, "--output_dir", tmp_path)["scores"]["en"]["examples"] == 90


def test_masked_lm_names_the_language_that_it_cannot_read(call, broken_model, data_dir, tmp_path):
    for language, text in (("en", "the small dog sees a cat ."), ("de", "das kleine Hund sieht ein Katze .")):
        (tmp_path / f"{language}.txt").write_text(f"{text}\n" * 40, encoding="utf-8")
    with pytest.raises(Collapsed, match="de: the masked-LM loss of its 4 held-out texts is nan"):
        call(run_intermediate, "--task", "mnli", "--mlm_languages", "en", "de", "--mlm_data", tmp_path, "--data_dir", data_dir,
             "--model_name_or_path", broken_model, *FAST, "--output_dir", tmp_path / "out")  # fmt: skip
    assert not (tmp_path / "out" / "results.json").exists()


def test_retrieval_names_the_language_and_counts_the_sentences(broken_model, data_dir, tmp_path, monkeypatch, capsys):
    flags = ("--task", "tatoeba", "--languages", "de", "--layer", "1", "--use_cpu", "--model_name_or_path", broken_model, "--data_dir",
             data_dir, "--output_dir", tmp_path)  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["run_retrieval.py", *map(str, flags)])
    with pytest.raises(SystemExit, match="3"):
        run_script(run_retrieval.main)
    broken, rows = rows_with_the_token(data_dir, "google/xtreme/tatoeba.deu", ("source_sentence",))
    said = capsys.readouterr().err
    assert 0 < broken < rows
    assert f"error: de: {broken} of {rows} vectors of layer 1 are not finite numbers" in said and said.count("error:") == 1
    assert not (tmp_path / "results.json").exists()


def test_what_stands_on_padding_is_not_looked_at_and_every_shape_of_logits_is():
    mask = torch.tensor([[1, 1, 0], [1, 1, 1], [1, 0, 0]])
    nan, inf = math.nan, math.inf
    classes = torch.tensor([[0.0, 1.0, nan], [0.0, 1.0, 2.0], [-inf, 0.0, 0.0]])
    assert broken_rows([classes], mask) == 2, "three classes are no three tokens"
    tags = torch.zeros(3, 3, 4)
    tags[0, 2, 1] = tags[2, 1, 0] = nan
    assert broken_rows([tags], mask) == 0
    tags[1, 2, 3] = inf
    assert broken_rows([tags], mask) == 1
    starts, ends = torch.zeros(3, 3), torch.zeros(3, 3)
    starts[0, 2] = ends[2, 2] = -inf
    assert broken_rows([starts, ends], mask) == 0
    ends[0, 0] = starts[0, 1] = nan
    assert broken_rows([starts, ends], mask) == 1
    assert broken_rows([torch.tensor([[0.0, inf], [0.0, 0.0]])], torch.ones(2, 2, 5, dtype=torch.long)) == 1, "choices"
