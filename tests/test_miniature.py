"""Transfer on miniature data: English training reaches the nearest language, and only through the encoder.

The encoder in samples/encoder was trained by masked language modelling on text that is not parallel: samples/pretrain.py.
"""

import sys

import pytest
from conftest import ROOT

import run_intermediate
import run_retrieval
import run_target
from samples.write_data import write_all

ENCODER = str(ROOT / "samples" / "encoder")
FAST = ("--learning_rate", "1e-3", "--per_device_train_batch_size", "32", "--max_seq_length", "96", "--use_cpu", "--disable_tqdm", "true",
        "--eval_strategy", "no", "--load_best_model_at_end", "false")  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write_all(folder, scale=0.5)
    return str(folder)


@pytest.fixture(scope="module")
def fresh_encoder(tmp_path_factory):
    """The same architecture and tokenizer with random weights, as if the weights of the first phase had not been loaded."""
    from transformers import AutoConfig, AutoModelForMaskedLM, AutoTokenizer, set_seed

    folder = tmp_path_factory.mktemp("fresh")
    AutoTokenizer.from_pretrained(ENCODER).save_pretrained(folder)
    set_seed(0)
    AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(ENCODER)).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def trained(world, fresh_encoder, tmp_path_factory):
    """trained(task, start): results of run_target on English and the nearest language. Each pair is trained only once."""
    runs = {}

    def run(task, start, *flags):
        if (task, start) not in runs:
            folder = tmp_path_factory.mktemp(f"{task}-{start}") / "run"
            model = {"encoder": ENCODER, "fresh": fresh_encoder}[start]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", ["run_target.py", "--task", task, "--model_name_or_path", model, "--data_dir", world, *FAST,
                                            *flags, "--output_dir", str(folder)])  # fmt: skip
                runs[task, start] = {**run_target.main(), "folder": str(folder)}
        return runs[task, start]

    return run


def test_zero_shot_tagging_reaches_the_nearest_language_through_the_encoder_alone(trained):
    """If the next phase started from a fresh encoder, English would still be learned, but the other language would not."""
    flags = ("--num_train_epochs", "6", "--languages", "en", "de")
    handed_over, fresh = trained("udpos", "encoder", *flags)["scores"], trained("udpos", "fresh", *flags)["scores"]
    assert handed_over["en"]["f1"] > 95 and fresh["en"]["f1"] > 80, "both learn English"
    assert handed_over["de"]["f1"] > 60, handed_over
    assert fresh["de"]["f1"] < handed_over["de"]["f1"] - 30, (handed_over, fresh)


def test_retrieval_after_training_differs_from_before_and_from_a_fresh_encoder(trained, world, fresh_encoder, call, tmp_path):
    after = trained("udpos", "encoder", "--num_train_epochs", "6", "--languages", "en", "de")["folder"]
    scores = {}
    for name, model in (("before", ENCODER), ("after", after), ("fresh", fresh_encoder)):
        flags = ("--data_dir", world, "--languages", "es", "fr", "--layer", "2", "--use_cpu", "--output_dir", tmp_path / name)
        scores[name] = call(run_retrieval, "--task", "tatoeba", "--model_name_or_path", model, *flags)["scores"]
    assert scores["before"] != scores["after"]
    for language in ("es", "fr"):  # Chance is one of 150 candidates. Names and numbers alone give a few more.
        assert scores["before"][language]["accuracy"] > scores["fresh"][language]["accuracy"] + 30, scores


@pytest.mark.parametrize("task, epochs, metric, least", [
    ("mnli", 3, "accuracy", 45),  # chance 33
    ("squad_v1", 4, "f1", 18),  # an untrained head: below 10
    ("hellaswag", 3, "accuracy", 35),  # chance 25
    ("ccg", 3, "accuracy", 90),  # the most frequent of 17 tags: below 30
])  # fmt: skip
def test_each_kind_of_intermediate_task_learns_its_miniature(task, epochs, metric, least, call, world, tmp_path):
    results = call(run_intermediate, "--task", task, "--model_name_or_path", ENCODER, "--data_dir", world, *FAST,
                   "--num_train_epochs", epochs, "--output_dir", tmp_path)  # fmt: skip
    assert results["dev"][metric] > least, results["dev"]


def test_mining_finds_pairs_in_the_miniature_corpus(call, world, tmp_path):
    flags = ("--model_name_or_path", ENCODER, "--data_dir", world, "--languages", "fr", "--layer", "2", "--use_cpu")
    results = call(run_retrieval, "--task", "bucc", *flags, "--output_dir", tmp_path)
    assert results["mining"]["fr"]["threshold_from"] == "dev"
    assert results["scores"]["fr"]["f1"] > 1, "a pair chosen blindly among a million is right once in ten thousand times"
