"""Tatoeba and BUCC: embedding, nearest neighbours, mining by margin, the files of both tasks, and refused input."""

import functools
import json
import math
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from conftest import SHARED, launch, text, write_hub_folder
from datasets import Dataset, Features, List, Value
from torch.utils._python_dispatch import TorchDispatchMode

import predictions
import run_retrieval
from console import Collapsed
from metrics import accuracy, pair_f1
from predictions import read_labels, read_predictions
from task_adapters import TASKS, InputError, load_examples
from task_types import mining, retrieval
from task_types.precision import computing_in, default_precision
from trainer import checkpoints

BUCC, TATOEBA = TASKS["bucc"], TASKS["tatoeba"]
STRING = Value("string")
PAIRS = Features({name: STRING for name in ("source_sentence", "target_sentence", "source_lang", "target_lang")})
LISTS = Features({"sentence1": List(STRING), "sentence2": List(STRING), "gold": List(List(Value("int32")))})
SOURCE = {"de-000000001": "Guten Tag", "de-000000002": "Nichts dergleichen", "de-000000003": "Auf Wiedersehen"}
TARGET = {"en-000000001": "Goodbye", "en-000000002": "Good day", "en-000000003": "A stranger"}
GOLD = [("de-000000001", "en-000000002"), ("de-000000003", "en-000000001")]


def write_bucc(root, part, language="de", source=SOURCE, target=TARGET, gold=GOLD):
    """Writes BUCC's three files as in its archives. Returns their folder."""
    folder = Path(root) / "bucc2018" / f"{language}-en"
    folder.mkdir(parents=True, exist_ok=True)
    for end, lines in ((language, source.items()), ("en", target.items()), ("gold", gold)):
        (folder / f"{language}-en.{part}.{end}").write_text("".join(f"{a}\t{b}\n" for a, b in lines), encoding="utf-8")
    return folder


def planted(language, count, seed):
    """Source, target and gold of a corpus. Translations are equal texts, which any encoder finds. Half of the texts have none."""
    rng = random.Random(seed)
    draws = iter(dict.fromkeys(f"{text(rng, 'en')} {text(rng, 'de')}" for _ in range(9 * count)))
    shared = [next(draws) for _ in range(count // 2)]
    source, target = (shared + [next(draws) for _ in range(count - len(shared))] for _ in range(2))
    order = rng.sample(range(count), count)
    names = [f"en-{place + 1:09d}" for place in order]
    gold = [(f"{language}-{i + 1:09d}", names[i]) for i in range(len(shared))]
    return (
        {f"{language}-{i + 1:09d}": line for i, line in enumerate(source)},
        dict(sorted(zip(names, target))),
        gold,
    )


@pytest.fixture(scope="module")
def bucc_dir(tmp_path_factory):
    """A --data_dir with BUCC's own files of de and fr, both parts, and zh in the layout of mteb/BUCC."""
    root = tmp_path_factory.mktemp("bucc")
    for language in ("de", "fr"):
        for part, count in (("sample", 30), ("training", 60)):
            source, target, gold = planted(language, count, seed=f"{language}{part}")
            write_bucc(root, part, language, source, target, gold)
    source, target, gold = planted("zh", 40, seed="zh")
    numbers = [[int(a[-9:]), int(b[-9:])] for a, b in gold]
    row = {"sentence1": list(source.values()), "sentence2": list(target.values()), "gold": numbers}
    write_hub_folder(root, "mteb/BUCC", "zh-en", "test", [row], LISTS)
    return root


@pytest.fixture(scope="module")
def tatoeba_dir(tmp_path_factory):
    """A --data_dir with two languages of Tatoeba that share an English sentence; most translations are the English text itself."""
    root, rng = tmp_path_factory.mktemp("tatoeba"), random.Random(5)
    for code in ("deu", "fra"):
        english = list(dict.fromkeys(text(rng, "en") for _ in range(60)))[:40] + ["the shared sentence ."]
        rows = [
            {"source_sentence": f"{line}\n", "target_sentence": f"{line}\n", "source_lang": "x", "target_lang": "eng"} for line in english
        ]
        rows[3]["source_sentence"], rows[5]["source_sentence"] = rows[5]["source_sentence"], rows[3]["source_sentence"]  # two wrong pairs
        write_hub_folder(root, "google/xtreme", f"tatoeba.{code}", "validation", rows, PAIRS)
    return root


@pytest.fixture
def retrieve(call, tiny_model):
    """retrieve(task, data_dir, output_dir, flags ...): run_retrieval.py on the tiny model."""

    def run(task, data_dir, output_dir, *flags, model=tiny_model):
        settings = ("--layer", 1, "--max_seq_length", 64, "--batch_tokens", 512)
        where = ("--data_dir", data_dir, "--output_dir", output_dir, "--model_name_or_path", model)
        return call(run_retrieval, "--task", task, *where, *settings, *flags)

    return run


def stored(output_dir):
    return json.loads((Path(output_dir) / "results.json").read_text(encoding="utf-8"))


# ---- Tatoeba


def test_english_is_sorted_by_code_point_and_equal_sentences_keep_their_order():
    examples = Dataset.from_dict({"source": list("abcde"), "target": ["be", "Zoo", "be", "Ärger", "a"]})
    assert retrieval.sorted_english(examples) == [1, 4, 0, 2, 3]


@pytest.mark.parametrize("language", ["ar", "de", "es", "fr", "sw", "zh"])
def test_sorting_english_gives_the_first_rows_of_xtremes_own_labels(language):
    hub, golden = SHARED / "hub" / "datasets", SHARED / "golden" / "labels"
    if not hub.is_dir() or not golden.is_dir():
        pytest.skip(f"{SHARED} is not here: real Tatoeba and XTREME's labels are only there")
    labels = read_labels(golden, "tatoeba", language)
    examples, _ = load_examples(TATOEBA, "test", language, str(hub))
    assert retrieval.sorted_english(examples)[: len(labels)] == labels


def test_the_other_direction_and_the_mutual_match_are_counted_per_pair():
    # Lines of the sorted English file belong to foreign rows 2, 0, 1; English finds 2, 0, 0; foreign rows find lines 1, 0, 0.
    scores = retrieval.other_directions([2, 0, 1], [2, 0, 0], [1, 0, 0])
    assert scores == {"foreign_to_english": pytest.approx(200 / 3), "mutual": pytest.approx(200 / 3)}
    scores = retrieval.other_directions([2, 0, 1], [2, 1, 1], [0, 2, 0])
    assert scores == {"foreign_to_english": pytest.approx(200 / 3), "mutual": pytest.approx(200 / 3)}
    scores = retrieval.other_directions([0, 1], [0, 0], [1, 1])
    assert scores == {"foreign_to_english": 50.0, "mutual": 0.0}


def test_tatoeba_is_scored_from_english_and_the_other_figures_stand_beside(retrieve, tatoeba_dir, tmp_path):
    results = retrieve("tatoeba", tatoeba_dir, tmp_path / "out", "--languages", "de", "fr")
    assert results == stored(tmp_path / "out")
    assert results["mean"] is None and results["layer"] == 1 and results["pooling"] == "mean"
    for language in ("de", "fr"):
        scores = results["scores"][language]
        assert scores == {"accuracy": 100 * 39 / 41, "foreign_to_english": 100 * 39 / 41, "mutual": 100 * 39 / 41, "examples": 41}
        gold, predicted = (read(tmp_path / "out" / name, "tatoeba", language) for read, name in (
            (read_labels, "labels"), (read_predictions, "predictions")))  # fmt: skip
        assert accuracy(gold, predicted, language)["accuracy"] == scores["accuracy"]
        english = list(load_examples(TATOEBA, "test", language, str(tatoeba_dir))[0]["target"])
        assert [english[row] for row in gold] == sorted(english), "XTREME's lines"
    assert not list((tmp_path / "out").rglob("scored.json"))


def test_a_finished_run_is_skipped_and_overwrite_redoes_it(retrieve, tatoeba_dir, tmp_path, capsys):
    first = retrieve("tatoeba", tatoeba_dir, tmp_path, "--languages", "de")
    (tmp_path / "predictions" / "scored.json").write_text(json.dumps({"de": {"scores": {"accuracy": 0.0, "examples": 1}}}))
    assert retrieve("tatoeba", tatoeba_dir, tmp_path, "--languages", "de") == first
    assert "is finished: skipped" in capsys.readouterr().out
    for flag, value in (("layer", 2), ("pooling", "cls"), ("max_seq_length", 32), ("max_predict_samples", 9), ("recipe", "xtreme")):
        with pytest.raises(InputError, match=f"holds a run with {flag} "):
            retrieve("tatoeba", tatoeba_dir, tmp_path, "--languages", "de", "--pooling", "mean", f"--{flag}", value)
    again = retrieve("tatoeba", tatoeba_dir, tmp_path, "--languages", "de", "--overwrite")
    assert again["scores"] == first["scores"]


def test_processes_that_do_not_know_of_each_other_are_refused(retrieve, tatoeba_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="Several processes were launched, but each of them runs alone"):
        retrieve("tatoeba", tatoeba_dir, tmp_path, "--languages", "de")


def test_only_a_whole_task_mined_by_dev_is_held_against_xtremes_scores(retrieve, tatoeba_dir, bucc_dir, tmp_path, monkeypatch):
    monkeypatch.setattr("results.xtreme_score", lambda task, scores: 50.0)  # as if all languages had scores
    for name, task, where, expected, *flags in (
        ("whole", "tatoeba", tatoeba_dir, 50.0),
        ("part", "tatoeba", tatoeba_dir, None, "--max_predict_samples", 9),
        ("mined", "bucc", bucc_dir, 50.0),
        ("by gold", "bucc", bucc_dir, None, "--languages", "de", "zh"),
    ):
        assert retrieve(task, where, tmp_path / name, "--languages", "de", *flags)["xtreme_score"] == expected, name


def test_sentences_that_stand_twice_are_each_found(retrieve, tmp_path):
    lines = ["the dog sees a cat .", "a book takes the house .", "the river loves a tree .", "the old city finds a child ."]
    pairs = [*zip(lines, lines), (lines[0], "the dog sees a cat !"), (lines[1], "a book takes the house !")]
    rows = [
        {"source_sentence": foreign, "target_sentence": english, "source_lang": "x", "target_lang": "eng"} for foreign, english in pairs
    ]
    write_hub_folder(tmp_path, "google/xtreme", "tatoeba.deu", "validation", rows[:2] + rows[4:] + rows[2:4], PAIRS)
    scores = retrieve("tatoeba", tmp_path, tmp_path / "out", "--languages", "de")["scores"]["de"]
    assert scores["examples"] == 6 and scores["accuracy"] >= 100 * 4 / 6, "of two equal sentences the first counts"


def test_a_run_cut_off_between_languages_goes_on_with_the_next(retrieve, tatoeba_dir, tmp_path, monkeypatch, capsys):
    flags = ("--languages", "fr", "de")
    whole = retrieve("tatoeba", tatoeba_dir, tmp_path / "whole", *flags)
    write, embedded = predictions.write_predictions, []

    def power_cut(root, name, language, predicted):
        if language == "de":
            raise KeyboardInterrupt
        return write(root, name, language, predicted)

    monkeypatch.setattr(predictions, "write_predictions", power_cut)
    with pytest.raises(KeyboardInterrupt):
        retrieve("tatoeba", tatoeba_dir, tmp_path / "cut", *flags)
    assert not (tmp_path / "cut" / "results.json").exists()
    (start,) = json.loads((tmp_path / "cut" / "starts.json").read_text())
    assert start["started"] + start["seconds"] >= (tmp_path / "cut/progress.json").stat().st_mtime, "noted after French"
    (tmp_path / "cut" / "starts.json").write_text(json.dumps([start | {"seconds": start["seconds"] + 1e6}]))
    monkeypatch.setattr(predictions, "write_predictions", write)
    embed = retrieval.embed
    monkeypatch.setattr(retrieval, "embed", lambda texts, *rest: embedded.append(rest[-1]) or embed(texts, *rest))
    capsys.readouterr()
    results = retrieve("tatoeba", tatoeba_dir, tmp_path / "cut", *flags)
    assert embedded == ["en", "de"]
    assert "fr: scored before" in capsys.readouterr().out
    assert results["scores"] == whole["scores"] and list(results["scores"]) == ["fr", "de"]
    assert results["seconds"] >= 1e6 and 0 < whole["seconds"] < 1e6
    assert [row["language"] for row in results["data"]] == ["fr", "de"]
    for language in ("de", "fr"):
        assert read_predictions(tmp_path / "cut/predictions", "tatoeba", language) == read_predictions(
            tmp_path / "whole/predictions", "tatoeba", language
        )
    assert not (tmp_path / "cut/progress.json").exists()


def test_english_sentences_of_several_languages_are_embedded_once(retrieve, tatoeba_dir, tmp_path, monkeypatch):
    embed, embedded = retrieval.embed, {}
    monkeypatch.setattr(retrieval, "embed", lambda texts, *rest: embedded.setdefault(rest[-1], list(texts)) and embed(texts, *rest))
    retrieve("tatoeba", tatoeba_dir, tmp_path, "--languages", "de", "fr")
    assert list(embedded) == ["en", "de", "fr"]
    assert embedded["en"].count("the shared sentence .") == 1 and len(set(embedded["en"])) == len(embedded["en"])
    monkeypatch.setattr(retrieval, "embed", lambda texts, *rest: embedded.setdefault("how", rest[2:6]) and embed(texts, *rest))
    retrieve("tatoeba", tatoeba_dir, tmp_path / "cls", "--languages", "de", "--pooling", "cls")
    assert embedded["how"] == (1, "cls", 64, 512)


def test_vectors_do_not_depend_on_how_many_texts_are_tokenised_at_once(tiny_model, monkeypatch):
    from transformers import AutoModel, AutoTokenizer

    rng = random.Random(3)
    texts = [" ".join(text(rng, "en") for _ in range(rng.randrange(1, 4))) for _ in range(50)]
    arguments = texts, AutoModel.from_pretrained(tiny_model).eval(), AutoTokenizer.from_pretrained(tiny_model), 1
    together = retrieval.embed(*arguments, "mean", 64, 256, Accelerator())
    monkeypatch.setattr(retrieval, "TOKENIZED_AT_ONCE", 7)
    apart = retrieval.embed(*arguments, "mean", 64, 256, Accelerator())
    torch.testing.assert_close(apart, together)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(50))
    first = retrieval.embed(*arguments, "cls", 64, 256, Accelerator())
    model, tokenizer, layer = arguments[1:]
    cut = retrieval.embed(*arguments, "mean", 9, 256, Accelerator())
    for number in range(3):
        for found, length, pooled in ((together, 64, slice(None)), (first, 64, slice(1)), (cut, 9, slice(None))):
            inputs = tokenizer(texts[number], truncation=True, max_length=length, return_tensors="pt")
            with torch.no_grad():
                hidden = model(**inputs, output_hidden_states=True).hidden_states[layer][0, pooled]
            torch.testing.assert_close(found[number], torch.nn.functional.normalize(hidden.mean(0), dim=0))


def forward_passes(monkeypatch):
    """[(number of blocks, whether all hidden states were asked for, mask)] of every forward pass of an encoder from now on."""
    from transformers import XLMRobertaModel

    passes, forward = [], XLMRobertaModel.forward

    @functools.wraps(forward)
    def seen(self, *args, **inputs):
        passes.append((len(self.encoder.layer), bool(inputs.get("output_hidden_states")), inputs.get("attention_mask")))
        return forward(self, *args, **inputs)

    monkeypatch.setattr(XLMRobertaModel, "forward", seen)
    return passes


def test_the_model_is_loaded_once_up_to_the_layer_and_reads_full_batches(retrieve, tatoeba_dir, tmp_path, monkeypatch):
    """For all languages together: a model without the blocks behind the layer, batches of like length, and the one state that is read."""
    loaded, load = [], checkpoints.load_encoder
    monkeypatch.setattr(checkpoints, "load_encoder", lambda path, layer, pooling: loaded.append(layer) or load(path, layer, pooling))
    passes = forward_passes(monkeypatch)
    retrieve("tatoeba", tatoeba_dir, tmp_path, "--languages", "de", "fr", "--batch_tokens", 128)
    assert loaded == [1] and {blocks for blocks, _, _ in passes} == {1} and not any(all_states for _, all_states, _ in passes)
    assert max(mask.numel() for _, _, mask in passes) <= 128
    assert sum(int(mask.sum()) for *_, mask in passes) >= 0.95 * sum(mask.numel() for *_, mask in passes)
    assert len(passes) < sum(len(mask) for *_, mask in passes) / 3, "and they are not single sentences"


def test_batches_of_very_unlike_texts_are_hardly_padded_and_hold_each_text_once():
    rng = np.random.default_rng(0)
    rows = [[0] * length for length in rng.gamma(2, 20, 205).astype(int) + 3]  # as many as the smallest language of Tatoeba
    for budget in (1024, 8192):
        batches = retrieval.embedding_batches(rows, budget)
        assert sorted(place for batch in batches for place in batch) == list(range(205))
        padded = [max(len(rows[place]) for place in batch) * len(batch) for batch in batches]
        assert max(padded) <= budget and sum(map(len, rows)) >= 0.96 * sum(padded)
        assert len(batches) < 60


def test_packed_and_padded_embeddings_find_the_same(retrieve, tatoeba_dir, tmp_path, monkeypatch):
    padded = retrieve("tatoeba", tatoeba_dir, tmp_path / "padded", "--languages", "de")
    passes = forward_passes(monkeypatch)
    packed = retrieve("tatoeba", tatoeba_dir, tmp_path / "packed", "--languages", "de", "--padding_free", "on")
    assert packed["padding_free"] and not padded["padding_free"] and packed["scores"] == padded["scores"]
    _, *others = passes  # The first pass is the one with which packing is compared.
    assert others and all(mask is None for *_, mask in others), "without a mask: nothing was padding"


@pytest.mark.parametrize("precision, dtype", [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_half_precision_is_used_where_it_is_asked_for_and_said(precision, dtype, retrieve, tatoeba_dir, tmp_path, monkeypatch):
    dtypes, linear = set(), torch.nn.functional.linear
    monkeypatch.setattr(torch.nn.functional, "linear", lambda *inputs: (result := linear(*inputs), dtypes.add(result.dtype))[0])
    plain = retrieve("tatoeba", tatoeba_dir, tmp_path / "plain", "--languages", "de", "--use_cpu")
    assert dtypes == {torch.float32} and plain["precision"] == "fp32"
    dtypes.clear()
    half = retrieve("tatoeba", tatoeba_dir, tmp_path / "half", "--languages", "de", "--use_cpu", "--precision", precision)
    assert dtypes == {dtype} and half["precision"] == precision
    assert half["scores"]["de"]["accuracy"] == pytest.approx(plain["scores"]["de"]["accuracy"], abs=5)
    with pytest.raises(InputError, match=f"holds a run with precision '{precision}'; this command says None"):
        retrieve("tatoeba", tatoeba_dir, tmp_path / "half", "--languages", "de", "--use_cpu")


def test_tf32_is_the_default_where_a_gpu_has_it_and_for_embedding_alone(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    for capability, expected in (((8, 0), "tf32"), ((7, 5), "fp32")):  # noqa: B007 (read by the function above)
        assert default_precision(gpu) == expected and default_precision(cpu) == "fp32"
    before = torch.get_float32_matmul_precision()
    with computing_in("tf32", cpu):
        assert torch.get_float32_matmul_precision() == "high" and not torch.is_autocast_enabled("cpu")
    with computing_in("fp32", cpu):
        assert torch.get_float32_matmul_precision() == "highest"
    assert torch.get_float32_matmul_precision() == before, "the search stays in fp32"


class LargestTensor(TorchDispatchMode):
    size = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        self.size = max(
            [self.size, *(tensor.numel() for tensor in torch.utils._pytree.tree_leaves(found) if isinstance(tensor, torch.Tensor))]
        )
        return found


def test_searching_never_holds_the_whole_product():
    vectors = torch.nn.functional.normalize(torch.randn(600, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    with LargestTensor() as largest:
        found = retrieval.nearest_neighbours(vectors, vectors, block=50)
    assert found.tolist() == list(range(600)) and largest.size <= 50 * 600
    with LargestTensor() as largest:
        mining.top_k_both_ways(vectors, vectors, 4, block=128)
    assert largest.size < 600 * 600 / 4
    assert mining.BLOCK**2 * 4 <= 2**28, "a tile of 256 MiB at most"


def test_a_broken_model_is_refused_before_anything_is_scored(retrieve, tatoeba_dir, tmp_path, tiny_model):
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(tiny_model)
    with torch.no_grad():
        model.encoder.layer[0].output.dense.weight[0, 0] = math.nan
    model.save_pretrained(tmp_path / "broken"), AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path / "broken")
    with pytest.raises(Collapsed, match="en: .* vectors of layer 1 are not finite numbers"):
        retrieve("tatoeba", tatoeba_dir, tmp_path / "out", "--languages", "de", model=tmp_path / "broken")


def test_two_processes_give_the_predictions_of_one(call, bucc_dir, tiny_model, tmp_path):
    flags = ("--task", "bucc", "--languages", "de", "--data_dir", bucc_dir, "--model_name_or_path", tiny_model, "--layer", 1,
             "--max_seq_length", 64, "--batch_tokens", 512, "--use_cpu")  # fmt: skip
    call(run_retrieval, *flags, "--output_dir", tmp_path / "1")
    launch("run_retrieval.py", *flags, "--output_dir", tmp_path / "2", processes=2)
    one, two = stored(tmp_path / "1"), stored(tmp_path / "2")
    assert (one["world_size"], two["world_size"]) == (1, 2)
    assert one["scores"] == two["scores"] and one["mining"] == two["mining"]
    files = [(tmp_path / name / "predictions/bucc2018/test-de.tsv").read_bytes() for name in "12"]
    assert files[0] == files[1]


# ---- BUCC: the data


def rows(examples):
    return [tuple(example.values()) for example in examples]


def test_raw_files_become_a_row_per_sentence_and_test_is_the_training_part(tmp_path):
    write_bucc(tmp_path, "training")
    examples, provenance = load_examples(BUCC, "test", "de", str(tmp_path))
    assert rows(examples) == [
        ("source", "de-000000001", "Guten Tag", ["en-000000002"]),
        ("source", "de-000000002", "Nichts dergleichen", []),
        ("source", "de-000000003", "Auf Wiedersehen", ["en-000000001"]),
        ("target", "en-000000001", "Goodbye", ["de-000000003"]),
        ("target", "en-000000002", "Good day", ["de-000000001"]),
        ("target", "en-000000003", "A stranger", []),
    ]
    assert mining.gold(examples) == GOLD
    write_bucc(tmp_path / "twice", "training", gold=GOLD + GOLD[:1])
    assert mining.gold(load_examples(BUCC, "test", "de", str(tmp_path / "twice"))[0]) == GOLD
    assert provenance["hub_id"] == "bucc2018" and provenance["revision"].startswith("sha256 ")
    with pytest.raises(InputError, match="sample"):
        load_examples(BUCC, "dev", "de", str(tmp_path))
    write_bucc(tmp_path, "sample", target={**TARGET, "en-000000004": "More"})
    assert len(load_examples(BUCC, "dev", "de", str(tmp_path))[0]) == 7


def test_raw_files_may_lie_in_data_dir_itself_and_a_line_ends_at_a_line_feed_only(tmp_path):
    folder = write_bucc(tmp_path, "training", source={**SOURCE, "de-000000002": "Zeile\u2028eins\x85\rzwei\tdrei"})
    folder.rename(tmp_path / "de-en")
    assert load_examples(BUCC, "test", "de", str(tmp_path))[0]["text"][1] == "Zeile\u2028eins\x85\rzwei\tdrei"


def test_gold_of_mteb_counts_from_one_and_its_ids_look_like_the_files(tmp_path):
    row = {"sentence1": [" Guten Tag\n", "Nichts", "Ende"], "sentence2": ["End", "Good day"], "gold": [[1, 2], [3, 1]]}
    write_hub_folder(tmp_path, "mteb/BUCC", "de-en", "test", [row], LISTS)
    examples, provenance = load_examples(BUCC, "test", "de", str(tmp_path))
    assert rows(examples)[0] == ("source", "de-000000001", "Guten Tag", ["en-000000002"])
    assert mining.gold(examples) == [("de-000000001", "en-000000002"), ("de-000000003", "en-000000001")]
    assert provenance["hub_id"] == "mteb/BUCC"
    with pytest.raises(InputError):
        load_examples(BUCC, "dev", "de", str(tmp_path))
    for wrong in ([0, 1], [4, 1], [1, 3], [1]):
        write_hub_folder(tmp_path, "mteb/BUCC", "fr-en", "test", [{**row, "gold": [[1, 2], wrong]}], LISTS)
        with pytest.raises(InputError, match=r"gold pair 2 is \[.*1 to 3 and 1 to 2"):
            load_examples(BUCC, "test", "fr", str(tmp_path))


def test_copies_that_hold_gold_pairs_only_are_refused_with_the_reason(tmp_path):
    reason = "gold pairs only. Mining has to find them among sentences without a translation"
    everything = [("de-000000001", "en-000000002"), ("de-000000003", "en-000000001"), ("de-000000002", "en-000000003")]
    write_bucc(tmp_path / "raw", "training", gold=everything)
    with pytest.raises(InputError, match=reason):
        load_examples(BUCC, "test", "de", str(tmp_path / "raw"))
    row = {"sentence1": ["a", "b"], "sentence2": ["c", "d"], "gold": [[1, 2], [2, 1]]}
    write_hub_folder(tmp_path / "all", "mteb/BUCC", "de-en", "test", [row], LISTS)
    with pytest.raises(InputError, match=reason):
        load_examples(BUCC, "test", "de", str(tmp_path / "all"))
    pairs = [{"sentence1": "a", "sentence2": "c", "lang": "de-en"}, {"sentence1": "b", "sentence2": "d", "lang": "de-en"}]
    write_hub_folder(tmp_path / "mteb", "mteb/BUCC", "de-en", "test", pairs, Features({name: STRING for name in pairs[0]}))
    with pytest.raises(InputError, match=reason):
        load_examples(BUCC, "test", "de", str(tmp_path / "mteb"))
    xtreme = [{"source_sentence": "a", "target_sentence": "c", "source_lang": "de-000000001", "target_lang": "en-000000001"}]
    write_hub_folder(tmp_path / "xtreme", "google/xtreme", "bucc18.de", "test", xtreme, PAIRS)
    with pytest.raises(InputError, match=f"google/xtreme/bucc18.de holds {reason}"):
        load_examples(BUCC, "test", "de", str(tmp_path / "xtreme"))


@pytest.mark.parametrize(
    ("end", "content", "message"),
    [
        ("de", "de-1\tGut\nde-2 ohne Tabulator\n", r"training\.de:2: 'de-2 ohne Tabulator' is not an id, one TAB and a sentence"),
        ("de", "de-1\tGut\nde-2\n", r"training\.de:2: 'de-2' is not"),
        ("de", "de-1\tGut\n\nde-2\tBesser\n", r"training\.de:2: '' is not"),
        ("en", "en-1\tGood\nen-1\tBetter\n", r"training\.en:2: id 'en-1' stands on line 1 already"),
        ("en", "\tGood\n", r"training\.en:1: .* is not an id"),
        ("en", "en 1\tGood\n", r"training\.en:1: 'en 1\\tGood' is not an id"),
        ("en", "", r"training\.en is empty"),
        ("en", b"en-1\tGood\nen-2\t\xff\n", r"training\.en is not UTF-8 text: byte 15 is 0xff"),
        ("gold", "", r"training\.gold is empty"),
        ("gold", "de-000000001\ten-000000002\nde-7\ten-000000001\n", r"training\.gold:2: the source sentences have no id 'de-7'"),
        ("gold", "de-000000001\ten-000000009\n", r"training\.gold:1: the English sentences have no id 'en-000000009'"),
        ("gold", "de-000000001 en-000000002\n", r"training\.gold:1: .* is not a source id, one TAB and an English id"),
        ("gold", None, r"training\.gold does not exist; a part of BUCC is three files"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path, end, content, message):
    path = write_bucc(tmp_path, "training") / f"de-en.training.{end}"
    path.unlink()
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message) as caught:
        load_examples(BUCC, "test", "de", str(tmp_path))
    assert "\n" not in str(caught.value)


def test_without_files_the_message_says_where_they_should_lie(tmp_path):
    with pytest.raises(InputError, match=r"bucc2018/de-en/de-en\.training\.de does not exist.*mteb/BUCC"):
        load_examples(BUCC, "test", "de", str(tmp_path))


def test_the_recipes_are_those_of_jiant_and_of_xtremes_script():
    jiant, xtreme = BUCC.recipes["jiant"], BUCC.recipes["xtreme"]
    assert (jiant.layer, jiant.pooling, jiant.max_seq_length, jiant.duplicates) == (14, "mean", 512, "all")
    assert (xtreme.layer, xtreme.pooling, xtreme.max_seq_length, xtreme.duplicates) == (20, "cls", 512, "none")


# ---- BUCC: the method


def by_brute_force(source, target, k):
    """The k best of each row of the whole matrix, equal values in order of position."""
    order = np.argsort(-(source @ target.T).numpy(), axis=1, kind="stable")[:, :k]
    return np.take_along_axis((source @ target.T).numpy(), order, 1), order


def vectors(kind, count, seed):
    generator = torch.Generator().manual_seed(seed)
    if kind == "ties":  # Small whole numbers give exact products, many of which are equal or zero.
        return torch.randint(-2, 3, (count, 3), generator=generator).float()
    if kind == "all equal":
        return torch.ones(count, 2)
    return torch.nn.functional.normalize(torch.randn(count, 16, generator=generator), dim=1)


@pytest.mark.parametrize("kind", ["random", "ties", "all equal"])
@pytest.mark.parametrize(("n", "m", "block"), [(300, 200, 64), (97, 260, 50), (40, 41, 7), (3, 200, 4096), (2, 3, 1), (1, 1, 4)])
def test_neighbours_in_tiles_are_those_of_the_whole_matrix(kind, n, m, block):
    source, target = vectors(kind, n, 1), vectors(kind, m, 2)
    found = mining.top_k_both_ways(source, target, 4, block)
    for (values, positions), expected in zip(found, (by_brute_force(source, target, 4), by_brute_force(target, source, 4))):
        np.testing.assert_allclose(values, expected[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(positions, expected[1])


def test_keys_are_ordered_by_value_then_position_and_zero_has_no_sign():
    values = torch.tensor([-1.5, -0.0, 0.0, 1e-30, 2.0, -torch.inf])
    keys = mining.to_keys(values, torch.tensor([0, 3, 7, 0, 9, 0]))
    assert keys.argsort(descending=True).tolist() == [4, 3, 1, 2, 0, 5]
    back, positions = mining.from_keys(keys)
    assert back.tolist() == values.tolist() and positions.tolist() == [0, 3, 7, 0, 9, 0]


def test_no_tensor_comes_near_the_size_of_the_whole_matrix():
    class Largest(TorchDispatchMode):
        size = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            for value in result if isinstance(result, tuple | list) else [result]:
                if isinstance(value, torch.Tensor):
                    self.size = max(self.size, value.numel())
            return result

    source, target = vectors("random", 1000, 1), vectors("random", 1500, 2)
    with Largest() as largest:
        mining.top_k_both_ways(source, target, 4, block=100)
    assert 100 * 100 <= largest.size < 1000 * 1500 / 30


def test_the_ratio_margin_is_the_one_worked_out_by_hand():
    # Cosines of 3 x 3 sentences; with k = 3 each mean is that of the whole row or column.
    cosines = np.array([[0.9, 0.3, 0.0], [0.6, 0.6, 0.0], [0.3, 0.3, 0.3]], dtype=np.float32)
    rows, columns = np.argsort(-cosines, 1, kind="stable"), np.argsort(-cosines.T, 1, kind="stable")
    neighbours = (np.take_along_axis(cosines, rows, 1), rows), (np.take_along_axis(cosines.T, columns, 1), columns)
    scores, sources, targets = mining.margin_pairs(*neighbours)
    # Row means 0.4, 0.4, 0.3; column means 0.6, 0.4, 0.1.
    forward = [0.9 / 0.5, 0.6 / 0.4, 0.3 / 0.2]
    backward = [0.9 / 0.5, 0.6 / 0.4, 0.3 / 0.2]
    np.testing.assert_allclose(scores, forward + backward, rtol=1e-6)
    assert sources.tolist() == [0, 1, 2, 0, 1, 2] and targets.tolist() == [0, 1, 2, 0, 1, 2]


def test_backward_candidates_are_pooled_with_forward_ones():
    # The source has two near targets. The second one is found only by the search from the target side.
    source = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.2]]), dim=1)
    target = torch.nn.functional.normalize(torch.tensor([[1.0, 0.1, 0.0], [0.9, 0.0, 0.3], [0.0, 0.0, 1.0]]), dim=1)
    scores, rows, columns = mining.margin_pairs(*mining.top_k_both_ways(source, target, 2))
    assert len(scores) == 5
    assert set(columns[2:].tolist()) == {0, 1, 2} and set(rows[:2].tolist()) == {0, 1}


def test_matching_is_greedy_one_to_one_and_ends_at_zero():
    scores = np.array([0.5, 0.9, 0.8, 0.7, 0.0, -1.0, 0.5])
    rows, columns = np.array([0, 1, 1, 2, 3, 4, 5]), np.array([0, 1, 2, 1, 3, 4, 5])
    assert mining.one_to_one(scores, rows, columns) == [(0.9, 1, 1), (0.5, 0, 0), (0.5, 5, 5)]
    assert mining.one_to_one(np.array([-np.inf, np.inf]), rows[:2], columns[:2]) == [(np.inf, 1, 1)]


def test_the_threshold_lies_half_way_behind_the_best_prefix():
    found = [(9.0, "a"), (8.0, "wrong"), (6.0, "b"), (4.0, "wrong too"), (1.0, "also")]
    assert mining.best_threshold(found, {"a", "b"}) == 5.0  # prefixes score 2/3, 2/4, 4/5, 4/6, 4/7
    assert mining.best_threshold(found, {"a", "x", "y"}) == 8.5  # only the first is right: 2/4, 2/5 ...


def test_the_threshold_is_the_last_score_where_every_candidate_is_worth_keeping():
    found = [(3.0, "a"), (2.0, "b")]
    assert mining.best_threshold(found, {"a", "b"}) == 2.0
    assert mining.at_least(2.0, found) == ["a", "b"]
    assert mining.best_threshold([(3.0, "a")], {"b"}) == 0.0
    assert mining.best_threshold([], {"b"}) == 0.0


def test_candidates_of_equal_score_are_in_or_out_together():
    # After "a" the prefix would score best, but no threshold parts it from "wrong".
    found = [(5.0, "a"), (5.0, "wrong"), (5.0, "wrong too"), (2.0, "b")]
    assert mining.best_threshold(found, {"a", "b"}) == 2.0
    assert mining.best_threshold(found[::-1][1:] + found[-1:], {"a", "b"}) == 2.0
    assert mining.best_threshold(found[:3], {"a"}) == 5.0


def test_of_two_prefixes_with_equal_f1_the_shorter_one_counts():
    found = [(4.0, "a"), (3.0, "wrong"), (2.0, "wrong too"), (1.0, "b")]  # 2 right of 4 + 3: 2/4, 2/5, 2/6, 4/7 ...
    assert mining.best_threshold(found, {"a", "b", "c"}) == 1.0
    assert mining.best_threshold([(4.0, "a"), (3.0, "w"), (2.0, "b"), (1.0, "w")], {"a", "b"} | {"c", "d"}) == 1.5
    assert mining.best_threshold([(4.0, "a"), (3.0, "w"), (2.0, "w"), (1.0, "b")], {"a", "b"}) == 3.5  # 2/3 first, 4/6 last


def test_sentences_that_stand_twice_are_one_vector_and_give_all_ids_or_none():
    examples = Dataset.from_dict(
        {
            "side": ["source"] * 3 + ["target"] * 3,
            "id": ["de-1", "de-2", "de-3", "en-1", "en-2", "en-3"],
            "text": ["gleich", "anders", "gleich", "same", "other", "x"],
            "matches": [["en-1"], ["en-2"], [], ["de-1"], ["de-2"], []],
        }
    )
    (source, source_ids), (target, target_ids) = mining.sides(examples)
    assert source == ["gleich", "anders"] and source_ids == [["de-1", "de-3"], ["de-2"]]
    assert target == ["same", "other", "x"] and target_ids == [["en-1"], ["en-2"], ["en-3"]]
    assert mining.gold(examples) == [("de-1", "en-1"), ("de-2", "en-2")]
    unit = torch.eye(3)
    of_all = mining.candidates(unit[:2], unit, source_ids, target_ids, "all")
    assert [pair for _, pair in of_all] == [("de-1", "en-1"), ("de-3", "en-1"), ("de-2", "en-2")]
    assert [pair for _, pair in mining.candidates(unit[:2], unit, source_ids, target_ids, "none")] == [("de-2", "en-2")]
    target_ids[1].append("en-9")
    assert mining.candidates(unit[:2], unit, source_ids, target_ids, "none") == []


def reference_candidates(source, target, k=4):
    """The method of XTREME's mine_bitext, in simple loops over the whole matrix."""
    cosines = (source @ target.T).double().numpy()
    near = [np.sort(matrix, axis=1)[:, -k:].mean(1) for matrix in (cosines, cosines.T)]
    margin = cosines / ((near[0][:, None] + near[1][None]) / 2)
    pool = []
    for i in range(len(source)):
        among = np.argsort(-cosines[i], kind="stable")[:k]
        pool.append(max((margin[i, j], i, j) for j in among))
    for j in range(len(target)):
        among = np.argsort(-cosines[:, j], kind="stable")[:k]
        pool.append(max((margin[i, j], i, j) for i in among))
    chosen = []
    for score, i, j in sorted(pool, reverse=True):
        if score > 0 and all(i != a and j != b for _, a, b in chosen):
            chosen.append((score, i, j))
    return chosen


def test_mining_agrees_with_plain_loops_over_the_whole_matrix():
    source = vectors("random", 150, 7)
    target = torch.nn.functional.normalize(torch.cat([source[:80] + 0.4 * vectors("random", 80, 8), vectors("random", 40, 9)]), dim=1)
    found = mining.candidates(source, target, [[i] for i in range(150)], [[j] for j in range(120)])
    expected = reference_candidates(source, target)
    assert [pair for _, pair in found] == [(i, j) for _, i, j in expected] and len(found) > 100
    np.testing.assert_allclose([score for score, _ in found], [score for score, _, _ in expected], rtol=1e-5)


def test_noisy_planted_pairs_are_found_and_strangers_are_not():
    strangers, noise = vectors("random", 300, 3), vectors("random", 200, 4)
    source = vectors("random", 400, 5)
    target = torch.nn.functional.normalize(torch.cat([source[:200] + 0.1 * noise, strangers]), dim=1)
    gold = [(i, i) for i in range(200)]
    found = mining.candidates(source, target, [[i] for i in range(400)], [[j] for j in range(500)])
    threshold = mining.best_threshold(found, gold)
    assert pair_f1(gold, mining.at_least(threshold, found), "de")["f1"] > 99


# ---- BUCC: the script


def test_bucc_is_mined_with_the_threshold_of_dev(retrieve, bucc_dir, tmp_path):
    results = retrieve("bucc", bucc_dir, tmp_path, "--languages", "de", "fr")
    assert results == stored(tmp_path) and results["mean"] is None
    for language in ("de", "fr"):
        details = results["mining"][language]
        assert details["threshold_from"] == "dev" and details["gold_pairs"] == 30
        assert results["scores"][language]["f1"] > 80 and results["scores"][language]["examples"] == 120
        gold, predicted = read_labels(tmp_path / "labels", "bucc", language), read_predictions(tmp_path / "predictions", "bucc", language)
        assert pair_f1(gold, predicted, language)["f1"] == results["scores"][language]["f1"]
        assert len(predicted) == details["pairs"] <= details["candidates"]
        lines = (tmp_path / "predictions" / "bucc2018" / f"test-{language}.tsv").read_text().splitlines()
        assert all(re.fullmatch(rf"{language}-\d{{9}}\ten-\d{{9}}", line) for line in lines)
    assert [(row["language"], row["split"]) for row in results["data"]] == [("de", "test"), ("de", "dev"), ("fr", "test"), ("fr", "dev")]


def test_a_threshold_from_dev_may_miss_and_is_not_tuned_on_test(retrieve, bucc_dir, tmp_path, monkeypatch):
    tuned_on = []
    best = mining.best_threshold
    monkeypatch.setattr(mining, "best_threshold", lambda found, gold: tuned_on.append(len(gold)) or best(found, gold))
    retrieve("bucc", bucc_dir, tmp_path, "--languages", "de")
    assert tuned_on == [15]  # the sample part's pairs


def test_without_a_dev_part_the_result_says_that_test_gold_gave_the_threshold(retrieve, bucc_dir, tmp_path):
    results = retrieve("bucc", bucc_dir, tmp_path, "--languages", "zh")
    assert results["mining"]["zh"]["threshold_from"] == "test gold: not comparable with XTREME"
    assert results["scores"]["zh"]["f1"] > 90
    assert results["data"][0]["hub_id"] == "mteb/BUCC"


def test_broken_dev_files_are_an_error_and_not_a_missing_dev_part(retrieve, bucc_dir, tmp_path):
    write_bucc(tmp_path, "training")
    (tmp_path / "bucc2018/de-en/de-en.sample.de").write_text("no tab\n")
    with pytest.raises(InputError, match=r"sample\.de:1"):
        retrieve("bucc", tmp_path, tmp_path / "out", "--languages", "de")


def test_a_part_of_bucc_cannot_be_mined(retrieve, bucc_dir, tmp_path):
    with pytest.raises(InputError, match="mined from all sentences"):
        retrieve("bucc", bucc_dir, tmp_path, "--max_predict_samples", 5)


def test_the_xtreme_recipe_leaves_out_sentences_that_stand_twice(retrieve, tmp_path, bucc_dir):
    source, target, gold = planted("ru", 40, seed="ru")
    source["ru-000000099"] = source["ru-000000001"]
    for part in ("sample", "training"):
        write_bucc(tmp_path, part, "ru", source, target, gold)
    found = {}
    for recipe in ("jiant", "xtreme"):
        retrieve("bucc", tmp_path, tmp_path / recipe, "--languages", "ru", "--recipe", recipe, "--pooling", "mean")
        found[recipe] = {name for name, _ in read_predictions(tmp_path / recipe / "predictions", "bucc", "ru")}
    assert {"ru-000000001", "ru-000000099"} <= found["jiant"]
    assert not {"ru-000000001", "ru-000000099"} & found["xtreme"] and len(found["xtreme"]) > 15
