"""Dual encoders: SQuAD's sentences, pairs of vectors, and a loss over the questions of a whole step, however it is cut up."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import SHARED, WORDS, launch, text, write_hub_folder
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

import run_intermediate
import run_retrieval
from task_adapters import TASKS, InputError
from task_adapters.squad_sentences import sentence_breaks, to_example
from task_types import TASK_TYPES, dual_encoder

TASK = replace(TASKS["squad_sentences"], dual=TASKS["squad_sentences"].recipes["jiant"])


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


# ---- sentences


@pytest.mark.parametrize("sentences", [
    ["It rained.", "We left!", "Why?"],
    ["He met Dr. Lee and J. A. Hobson in the U.S. Senate.", "They talked."],
    ['She said "Go."', '"No," he said.'],
    ["It is 30 °C.", "In 2010 it was 3.5 degrees."],
    ["One sentence without an end"],
])  # fmt: skip
def test_sentences_end_where_a_reader_ends_them(sentences):
    text = " ".join(sentences)
    assert [text[start:end] for start, end in sentence_breaks(text)] == sentences


def test_sentence_breaks_of_xquad_r_are_found_again():
    path = SHARED / "real/datasets/google-research-datasets/lareqa/xquad-r/en.json"
    if not path.is_file():
        pytest.skip("needs ../shared/real, which is not here")
    right = given = found = 0
    for article in json.loads(path.read_text())["data"]:
        for paragraph in article["paragraphs"]:
            ours, theirs = set(sentence_breaks(paragraph["context"])), {tuple(pair) for pair in paragraph["sentence_breaks"]}
            right, given, found = right + len(ours & theirs), given + len(theirs), found + len(ours)
    assert given == 1180 and 2 * right / (given + found) > 0.99


def test_a_pair_is_the_question_and_the_sentence_of_its_first_answer_before_its_paragraph():
    row = {"id": "q", "context": "It rained.\nWe left.", "question": " Who left? ", "answers": {"text": ["We"], "answer_start": [11]}}
    assert to_example(row) == {"query": "Who left?", "candidate": "We left.It rained.We left."}


# ---- vectors and their loss


def test_equal_candidates_are_no_negatives_of_each_other():
    vectors = torch.nn.functional.normalize(torch.randn(4, 2, 6, generator=torch.Generator().manual_seed(0)), dim=-1)
    labels, scale = torch.tensor([7, 8, 7, 9]), torch.tensor(5.0)
    found = dual_encoder.contrastive(vectors, labels, scale)
    cosines = 5.0 * vectors[:, 0] @ vectors[:, 1].T
    first = -cosines[0, 0] + torch.logsumexp(cosines[0, [0, 1, 3]], dim=0)  # the third has the first one's candidate
    second = -cosines[1, 1] + torch.logsumexp(cosines[1], dim=0)
    torch.testing.assert_close(found[:2], torch.stack([first, second]))


def test_features_cut_questions_and_candidates_at_their_own_lengths(tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    long = " ".join(WORDS["en"]["NOUN"] * 30)
    features = dual_encoder.to_features({"query": [long], "candidate": [long]}, tokenizer, TASK, 128)
    (pair,) = features["input_ids"]
    assert list(map(len, pair)) == [96, 128] and all(ids[-1] == tokenizer.eos_token_id for ids in pair)


def test_a_decoded_place_counts_the_different_candidates_that_are_nearer():
    examples = {"candidate": ["a", "b", "a", "c"]}
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((4, 2, 5)).astype(np.float32)
    vectors[2, 1] = vectors[0, 1]
    scores = vectors[:, 0] @ vectors[[0, 1, 3], 1].T
    wanted = [int((row > row[place]).sum()) for row, place in zip(scores, (0, 1, 0, 2))]
    assert dual_encoder.decode(examples, None, list(vectors), TASK) == wanted


# ---- training


@pytest.fixture(scope="module")
def pair_data(tmp_path_factory):
    """SQuAD's columns: the question repeats a number that only its own paragraph has."""
    root, rng = tmp_path_factory.mktemp("pairs"), random.Random(0)
    for split, n in (("train", 240), ("validation", 40)):
        rows = []
        for i in range(n):
            answer = str(rng.randrange(100, 1000))
            context = f"{text(rng, 'en')} {answer} . {text(rng, 'en')}"
            rows.append({"id": f"{split}{i}", "title": "t", "context": context, "question": f"{rng.choice(WORDS['en']['NOUN'])} {answer} ?",
                         "answers": {"text": [answer], "answer_start": [context.index(answer)]}})  # fmt: skip
        write_hub_folder(root, "rajpurkar/squad", "plain_text", split, rows, None)
    return str(root)


def flags(model, data_dir, folder):
    return ("--task", "squad_sentences", "--model_name_or_path", model, "--data_dir", data_dir, "--use_cpu", "--disable_tqdm", "true",
            "--max_seq_length", "64", "--output_dir", folder)  # fmt: skip


def test_a_dual_encoder_learns_and_leaves_an_encoder_that_retrieval_reads(call, tiny_model, pair_data, tmp_path):
    before = call(run_intermediate, *flags(tiny_model, pair_data, tmp_path / "untrained"), "--max_steps", "1", "--learning_rate", "0")
    results = call(run_intermediate, *flags(tiny_model, pair_data, tmp_path / "trained"), "--num_train_epochs", "5",
                   "--learning_rate", "1e-3")  # fmt: skip
    assert results["dev"]["accuracy"] > before["dev"]["accuracy"] + 20, (before["dev"], results["dev"])
    weights = load_file(tmp_path / "trained/model.safetensors")
    assert weights["scale"] != TASK.recipes["jiant"].scale, "the scale is learned"
    AutoModel.from_pretrained(tmp_path / "trained")
    pairs = {"source_sentence": "dog", "target_sentence": "cat", "source_lang": "x", "target_lang": "eng"}
    write_hub_folder(tmp_path, "google/xtreme", "tatoeba.deu", "validation", [pairs], None)
    retrieved = call(run_retrieval, "--task", "tatoeba", "--languages", "de", "--model_name_or_path", tmp_path / "trained", "--data_dir",
                     tmp_path, "--layer", "2", "--use_cpu", "--output_dir", tmp_path / "tatoeba")  # fmt: skip
    assert [stage["task"] for stage in retrieved["lineage"]] == ["squad_sentences"]


UPDATE = ("--max_steps", "1", "--warmup_steps", "0", "--optim", "sgd", "--learning_rate", "1.0", "--effective_batch_size", "8",
          "--max_eval_samples", "8", "--max_grad_norm", "1e9")  # fmt: skip


@pytest.mark.parametrize("recipe", ["jiant", "xtreme-r"])
def test_a_step_cut_into_micro_batches_or_processes_is_the_same_update(recipe, call, tiny_model, pair_data, tmp_path):
    """The negatives are all 32 questions of the step, or groups of four of them: a loss of micro-batches alone would be another one."""
    how = (*UPDATE, "--effective_batch_size", "32", "--recipe", recipe)
    for name, size in (("1 x 32", 32), ("4 x 8", 8)):
        call(run_intermediate, *flags(tiny_model, pair_data, tmp_path / name), *how, "--per_device_train_batch_size", size)
    launch("run_intermediate.py", *flags(tiny_model, pair_data, tmp_path / "2 processes"), *how, "--per_device_train_batch_size", "8",
           processes=2)  # fmt: skip
    before = load_file(f"{tiny_model}/model.safetensors")
    whole = load_file(tmp_path / "1 x 32/model.safetensors")
    name = "roberta.encoder.layer.0.attention.self.value.weight"
    assert (whole[name] - before[name]).norm() > 1e-3 * before[name].norm(), "the step must be large enough to compare"
    losses = {}
    for layout in ("4 x 8", "2 processes"):
        other = load_file(tmp_path / layout / "model.safetensors")
        for name, weight in whole.items():
            assert (weight - other[name]).norm() <= 1e-4 * weight.norm() + 1e-6, (layout, name)
    for layout in ("1 x 32", "4 x 8", "2 processes"):
        losses[layout] = json.loads((tmp_path / layout / "results.json").read_text())["training"]["train_loss"]
    assert losses["4 x 8"] == pytest.approx(losses["1 x 32"], rel=1e-4) == pytest.approx(losses["2 processes"], rel=1e-4)


def test_a_process_without_examples_adds_nothing_to_the_loss_of_a_step(call, tiny_model, pair_data, tmp_path):
    """13 examples in steps of 8: of the last five one process reads three, the other two, and one micro-batch is empty."""
    epoch = (*UPDATE[2:], "--num_train_epochs", "1", "--max_train_samples", "13")
    call(run_intermediate, *flags(tiny_model, pair_data, tmp_path / "one"), *epoch, "--per_device_train_batch_size", "8")
    launch("run_intermediate.py", *flags(tiny_model, pair_data, tmp_path / "two"), *epoch, "--per_device_train_batch_size", "2",
           processes=2)  # fmt: skip
    before, one, two = (load_file(f"{folder}/model.safetensors") for folder in (tiny_model, tmp_path / "one", tmp_path / "two"))
    name = "roberta.encoder.layer.0.attention.self.value.weight"
    assert (one[name] - before[name]).norm() > 1e-3 * before[name].norm(), "the steps must be large enough to compare"
    for name, weight in one.items():
        assert (weight - two[name]).norm() <= 1e-3 * weight.norm() + 1e-6, name


def test_a_kept_head_keeps_the_scale_that_was_learned(call, tiny_model, pair_data, tmp_path):
    call(run_intermediate, *flags(tiny_model, pair_data, tmp_path / "first"), "--max_steps", "3", "--learning_rate", "1e-2")
    call(run_intermediate, *flags(tmp_path / "first", pair_data, tmp_path / "second"), "--keep_head", "--max_steps", "1", "--learning_rate",
         "0")  # fmt: skip
    first, second = (load_file(tmp_path / name / "model.safetensors")["scale"] for name in ("first", "second"))
    assert first == second != TASK.recipes["jiant"].scale


def test_label_smoothing_of_a_dual_encoder_is_refused(call, tiny_model, pair_data, tmp_path):
    with pytest.raises(InputError, match="--label_smoothing_factor has no effect on squad_sentences"):
        call(run_intermediate, *flags(tiny_model, pair_data, tmp_path / "x"), "--label_smoothing_factor", "0.1")


def test_a_dual_encoder_is_trained_alone(call, tiny_model, pair_data, tmp_path):
    with pytest.raises(InputError, match="squad_sentences is trained alone"):
        call(run_intermediate, *flags(tiny_model, pair_data, tmp_path / "x"), "--mlm_languages", "en", "--mlm_data", tmp_path)


def test_dropout_of_the_second_pass_is_that_of_the_first(call, tiny_model, pair_data, tmp_path, monkeypatch):
    """Else the gradient would belong to other vectors than the loss."""
    from trainer.contrastive import ContrastiveTrainer

    seen, compute_loss = [], ContrastiveTrainer.compute_loss

    def spy(trainer, model, inputs, *rest, **named):
        model.train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.3
        if not seen or trainer.turn == 0:
            trainer.prepare_step(model)
        first = []
        handle = model.register_forward_hook(lambda _, __, output: first.append(output.logits.detach()))
        loss = compute_loss(trainer, model, inputs, *rest, **named)
        handle.remove()
        seen.append(first)
        return loss

    monkeypatch.setattr(ContrastiveTrainer, "compute_loss", spy)
    call(run_intermediate, *flags(tiny_model, pair_data, tmp_path / "x"), *UPDATE, "--per_device_train_batch_size", "4")
    (one, two, again), (last,) = seen
    torch.testing.assert_close(again, one)
    torch.testing.assert_close(last, two)
    assert not torch.allclose(one[0], two[0])


def test_every_kind_of_task_that_is_trained_has_the_same_names():
    names = {"Model", "to_features", "loss", "reduce_logits", "gold", "decode"}
    assert all(names <= set(dir(module)) for module in TASK_TYPES.values())


# ---- XTREME-R's recipe


def test_negatives_among_four_are_four_losses_and_equal_candidates_stay_negatives():
    vectors = torch.nn.functional.normalize(torch.randn(8, 2, 6, generator=torch.Generator().manual_seed(0)), dim=-1)
    labels, scale = torch.tensor([7, 7, 8, 9, 1, 2, 3, 4]), torch.tensor(5.0)
    found = dual_encoder.contrastive(vectors, labels, scale, among=4)
    for start in (0, 4):
        queries, candidates = vectors[start : start + 4].unbind(1)
        wanted = torch.nn.functional.cross_entropy(5.0 * queries @ candidates.T, torch.arange(4), reduction="none")
        torch.testing.assert_close(found[start : start + 4], wanted)


def test_xtreme_rs_recipe_reads_the_pooler_and_lower_cases(call, tiny_model, pair_data, tmp_path, capsys):
    results = call(run_intermediate, *flags(tiny_model, pair_data, tmp_path / "dual"), "--recipe", "xtreme-r", "--max_steps", "2")
    assert results["effective_batch_size"] == 16
    config = json.loads((tmp_path / "dual/config.json").read_text())
    assert config["dual_encoder"] == {"pooling": "pooler", "lower_case": True}
    assert load_file(tmp_path / "dual/model.safetensors")["scale"] == pytest.approx(100, abs=1)
    pairs = [{"source_sentence": s, "target_sentence": s, "source_lang": "x", "target_lang": "eng"} for s in ("dog", "Hund")]
    write_hub_folder(tmp_path, "google/xtreme", "tatoeba.deu", "validation", pairs, None)
    ask = ("--task", "tatoeba", "--languages", "de", "--model_name_or_path", tmp_path / "dual", "--data_dir", tmp_path, "--use_cpu")
    capsys.readouterr()
    call(run_retrieval, *ask, "--layer", "2", "--output_dir", tmp_path / "a")
    assert "was trained to make its vectors with --layer 2 --pooling pooler --lower_case" in capsys.readouterr().out
    read = call(run_retrieval, *ask, "--layer", "2", "--pooling", "pooler", "--lower_case", "--output_dir", tmp_path / "b")
    assert "was trained to make" not in capsys.readouterr().out and read["lower_case"] is True
    with pytest.raises(InputError, match="--pooling pooler stands behind the last layer: --layer 2, not 1"):
        call(run_retrieval, *ask, "--layer", "1", "--pooling", "pooler", "--output_dir", tmp_path / "c")


def test_a_batch_that_cuts_through_the_negatives_is_refused(call, tiny_model, pair_data, tmp_path):
    with pytest.raises(InputError, match="--per_device_train_batch_size 2 cuts through the 4 questions"):
        call(run_intermediate, *flags(tiny_model, pair_data, tmp_path / "dual"), "--recipe", "xtreme-r", "--max_steps", "1",
             "--per_device_train_batch_size", "2")  # fmt: skip


def test_lower_cased_features_are_others(tiny_model):
    tokenizer, text = AutoTokenizer.from_pretrained(tiny_model), {"query": ["Hund"], "candidate": ["Haus"]}
    plain = dual_encoder.to_features(text, tokenizer, TASK, 64)["input_ids"]
    lowered = dual_encoder.to_features(text, tokenizer, replace(TASK, dual=TASKS["squad_sentences"].recipes["xtreme-r"]), 64)["input_ids"]
    assert lowered != plain == dual_encoder.to_features(text, tokenizer, TASK, 64)["input_ids"]


def test_nlu_evals_recipe_reads_the_first_token_and_keeps_its_scale(call, tiny_model, pair_data, tmp_path):
    given = list(flags(tiny_model, pair_data, tmp_path / "dual"))
    given[1] = "squad_paragraphs"
    call(run_intermediate, *given, "--recipe", "nlu-evals", "--max_steps", "2", "--per_device_train_batch_size", "16")
    assert json.loads((tmp_path / "dual/config.json").read_text())["dual_encoder"]["pooling"] == "cls"
    assert load_file(tmp_path / "dual/model.safetensors")["scale"] == 20.0
