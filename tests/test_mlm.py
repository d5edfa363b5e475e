"""Masked LM together with tasks: sampling and masking by the formulas, the same in all processes and after a kill, with its own head."""

import json
import math
import random
import sys
from collections import Counter
from pathlib import Path

import fsspec
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from conftest import launch, text
from recorded_steps import LAYOUTS, record_layouts
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM

import run_intermediate
from task_adapters import TASKS, InputError
from task_types import TASK_TYPES
from task_types.collator import Collator
from task_types.loss import IGNORED
from trainer import masked_lm
from trainer.checkpoints import load_encoder, load_model
from trainer.masked_lm import MaskedText, Texts, load_lm, open_texts
from trainer.multitask import count_steps, load_models, load_task_model
from trainer.tokenizers import load_tokenizer

COMMON = ("--use_cpu", "--disable_tqdm", "true", "--max_seq_length", "64")
HEAD = {"lm_head.bias", "lm_head.dense.bias", "lm_head.dense.weight", "lm_head.layer_norm.bias", "lm_head.layer_norm.weight"}


@pytest.fixture(scope="session")
def text_dir(tmp_path_factory):
    """en.txt with 900 lines, de.txt with 300; every third is blank."""
    folder, rng = tmp_path_factory.mktemp("text"), random.Random(7)
    for language, lines in (("en", 600), ("de", 200)):
        written = [" ".join(text(rng, language) for _ in range(3)) + ("\n\n" if i % 2 else "\n") for i in range(lines)]
        (folder / f"{language}.txt").write_text("".join(written), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    return load_tokenizer(tiny_model, needs_offsets=True)


def results_of(folder):
    return json.loads((Path(folder) / "results.json").read_text(encoding="utf-8"))


def numbered(language, sizes, held_out=100, seed=0):
    """Texts "group row" in groups of these sizes, and a list to which each read group is appended."""
    opened = []

    def read(group, rows):
        opened.append(group)
        return pyarrow.chunked_array([[f"{group} {row}" for row in range(rows)]])

    groups = [(rows, lambda group=group, rows=rows: read(group, rows)) for group, rows in enumerate(sizes)]
    return Texts(language, groups, held_out, seed, language), opened


# ---- sampling of languages and texts


@pytest.mark.parametrize("alpha", [0.3, 0.0, 1.0])
def test_ten_thousand_draws_have_languages_in_proportion_to_n_to_the_alpha(alpha, tokenizer):
    sizes = {"en": 900_000, "de": 60_000, "sw": 1_000}
    texts = {language: numbered(language, [size + 100])[0] for language, size in sizes.items()}
    masked = MaskedText(texts, alpha, tokenizer, 64, seed=3)
    expected = np.array(list(sizes.values())) ** alpha
    expected = dict(zip(sizes, expected / expected.sum()))
    assert masked.probabilities == pytest.approx(expected)
    masked.draw(10_000)
    assert masked.drawn.sum() == len(masked) == 10_000
    for language, count in zip(sizes, masked.drawn):
        share = expected[language]
        assert abs(count - 10_000 * share) < 4 * math.sqrt(10_000 * share * (1 - share)), language
    languages = masked.languages
    masked.draw(100)
    assert (masked.languages == languages[:100]).all(), "example k's language does not depend on how many follow"
    other = MaskedText(texts, alpha, tokenizer, 64, seed=4)
    other.draw(100)
    assert (other.languages != languages[:100]).any(), "another seed, another order"


def test_every_text_comes_once_in_each_pass_group_by_group_and_the_held_out_ones_never():
    texts, opened = numbered("en", [50, 7, 12, 30], held_out=10)
    assert texts.held_out == 5 and len(texts) == 94, "at most a tenth of the first group"
    held_out = {f"0 {row}" for row in range(45, 50)}
    assert set(texts.read(0, held_out=True).to_pylist()) == held_out
    opened.clear()
    found = [texts[k] for k in range(3 * 94)]
    assert len(opened) == 12, "a pass opens each group once"
    passes = [found[start : start + 94] for start in (0, 94, 188)]
    everything = {f"{group} {row}" for group, rows in enumerate([50, 7, 12, 30]) for row in range(rows)} - held_out
    for part in passes:
        assert len(part) == 94 and set(part) == everything
    assert passes[0] != passes[1] != passes[2] and len({tuple(opened[i : i + 4]) for i in (0, 4, 8)}) > 1, "in a new order"
    single, _ = numbered("en", [40])
    assert [single[k] for k in range(36)] != [single[k] for k in range(36, 72)], "in a single group, too"
    again, opened = numbered("en", [50, 7, 12, 30], held_out=10)
    assert [again[k] for k in range(200, 282)] == found[200:] and len(opened) <= 4, "read from the middle, as after a kill"
    assert [numbered("en", [50, 7, 12, 30], held_out=10, seed=1)[0][k] for k in range(94)] != passes[0]


def test_text_files_are_read_in_blocks_of_whole_lines_without_blank_ones(text_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(masked_lm, "BLOCK", 1000)
    texts, provenance = open_texts(["de", "en"], [str(text_dir)], None, 10, seed=0)
    for language, lines in (("de", 200), ("en", 600)):
        read = texts[language]
        assert len(read.rows) > 10 and len(read) + read.held_out == lines and max(read.rows) < 20
        written = Counter(line for line in (text_dir / f"{language}.txt").read_text(encoding="utf-8").split("\n") if line)
        assert Counter([read[k] for k in range(len(read))] + read.read(0, held_out=True).to_pylist()) == written
    assert [part["rows"] for part in provenance] == [len(texts["de"]), len(texts["en"])]
    named, _ = open_texts(["de"], [f"en={text_dir}/en.txt", f"de={text_dir}/de.txt"], None, 10, seed=0)
    assert [named["de"][k] for k in range(50)] == [texts["de"][k] for k in range(50)]
    (tmp_path / "latin.txt").write_bytes("straße\n".encode("latin-1") * 20)
    latin, _ = open_texts(["de"], [f"de={tmp_path}/latin.txt"], None, 1, seed=0)
    with pytest.raises(InputError, match="latin.txt is not UTF-8"):
        latin["de"][0]


def wikipedia(root, language, shards=2, rows=40, column="text"):
    """Parquet shards as the hub has them: several row groups, id url title text; one article of each is blank."""
    for shard in range(shards):
        articles = [
            {"id": str(row), "url": "u", "title": "t", column: f"{language} {shard} {row}" if row % 40 else " "} for row in range(rows)
        ]
        path = f"{root}/20231101.{language}/train-{shard:05}-of-{shards:05}.parquet"
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(articles), path, row_group_size=16)


def test_wikipedia_is_read_row_group_by_row_group_here_and_on_the_hub(tmp_path, monkeypatch):
    root = tmp_path / "wikimedia/wikipedia"
    for language in ("de", "en", "sw"):
        wikipedia(root, language)
    local, provenance = open_texts(["de", "sw"], ["wikipedia"], str(tmp_path), 3, seed=5)
    assert list(local) == ["de", "sw"] and local["de"].rows.tolist() == [15, 16, 8, 16, 16, 8] and local["de"].held_out == 1
    read = [local["de"][k] for k in range(len(local["de"]))]
    held_out = local["de"].read(0, held_out=True).to_pylist()
    assert held_out == ["de 0 15"] and set(read) == {f"de {s} {r}" for s in (0, 1) for r in range(1, 40)} - set(held_out)
    assert provenance[0]["revision"] is None and provenance[0]["files"].endswith("and 1 more")

    class Api:
        def dataset_info(self, name):
            if not online:
                raise masked_lm.NETWORK[0]("Connection refused")
            files = [type("File", (), {"rfilename": str(path.relative_to(root))}) for path in root.rglob("*.parquet")]
            return type("Info", (), {"sha": "abc", "siblings": [*files, type("File", (), {"rfilename": "README.md"})]})

    online, opened = False, []

    class Hub(fsspec.get_filesystem_class("file")):
        cachable = False

        def open(self, path, *rest, **options):
            opened.append(path)
            return super().open(path.replace("datasets/wikimedia/wikipedia@abc", str(root)), *rest, **options)

    monkeypatch.setattr(masked_lm, "HfApi", Api)
    monkeypatch.setattr(masked_lm, "HfFileSystem", Hub)
    with pytest.raises(InputError, match="Cannot reach wikimedia/wikipedia: Connection refused A folder with the same files can be given"):
        open_texts(["de"], ["wikipedia"], None, 3, seed=5)
    online = True
    remote, provenance = open_texts(["de", "sw"], ["wikipedia"], None, 3, seed=5)
    assert len(opened) == 4 and provenance[0]["revision"] == "abc", "a look at the end of each file, no more"
    assert [remote["de"][k] for k in range(len(remote["de"]))] == read
    assert len(opened) == 4 + 6
    with pytest.raises(InputError, match=r"wikipedia@abc holds no 20231101.swa/\*.parquet. Did you mean 'sw'?"):
        open_texts(["swa"], ["wikipedia"], None, 3, seed=5)
    wikipedia(tmp_path / "other/wikimedia/wikipedia", "de", column="body")
    with pytest.raises(InputError, match="has no column 'text'. It has: id, url, title, body"):
        open_texts(["de"], ["wikipedia"], str(tmp_path / "other"), 3, seed=5)


# ---- masks


def test_fifteen_per_cent_of_the_pieces_have_a_label_and_all_others_none(tokenizer, text_dir):
    """Of the selected tokens 80% become <mask>, 10% another token, 10% stay. Special tokens are never selected."""
    texts, _ = open_texts(["en"], [str(text_dir)], None, 10, seed=0)
    masked = MaskedText(texts, 0.3, tokenizer, 128, seed=0)
    masked.draw(3000)
    pieces = labelled = replaced = kept = 0
    for k in range(3000):
        original = tokenizer(texts["en"][k])["input_ids"]
        example = masked[k]
        ids, labels = example["input_ids"], example["labels"]
        assert len(ids) == len(labels) == len(original) == len(example["attention_mask"]) <= 128 and example["task"] == "mlm"
        assert labels[0] == labels[-1] == IGNORED and (ids[0], ids[-1]) == (0, 2)
        for place in range(1, len(ids) - 1):
            pieces += 1
            if labels[place] == IGNORED:
                assert ids[place] == original[place]
            else:
                assert labels[place] == original[place]
                labelled += 1
                replaced += ids[place] == tokenizer.mask_token_id
                kept += ids[place] == original[place]
    assert pieces > 50_000
    assert labelled / pieces == pytest.approx(0.15, abs=0.005)
    assert replaced / labelled == pytest.approx(0.80, abs=0.02) and kept / labelled == pytest.approx(0.10, abs=0.015)
    assert masked[17] == masked[17] and masked[17] != masked.example(texts["en"][17], (1, 17))


def test_a_long_text_gives_windows_from_all_over_it(tokenizer):
    words = " ".join(f"{i} dog" for i in range(100, 900))
    texts = {"en": Texts("en", [(4, lambda: pyarrow.chunked_array([[words] * 4]))], 1, 0, "en")}
    masked = MaskedText(texts, 0.3, tokenizer, 32, seed=0)
    masked.draw(900)
    seen = set()
    for k in range(900):
        example = masked[k]
        ids = [label if label != IGNORED else piece for piece, label in zip(example["input_ids"], example["labels"])]
        assert len(ids) <= 32 and (ids[0], ids[-1]) == (0, 2)
        seen |= {int(word) for word in tokenizer.decode(ids[1:-1]).split() if word.isdigit() and len(word) == 3}
    assert len(seen) > 740, "the whole text is seen, not its beginning alone"


def test_held_out_texts_have_the_same_masks_whatever_the_seed(tokenizer, text_dir):
    found = []
    for seed in (0, 1):
        texts, _ = open_texts(["de", "en"], [str(text_dir)], None, 10, seed)
        found.append(MaskedText(texts, 0.3, tokenizer, 64, seed).held_out("en"))
    assert found[0] == found[1] and len(found[0]) == 10


# ---- the head


@pytest.fixture
def models(tiny_model):
    return load_models(tiny_model, {"mnli": TASKS["mnli"]}, seed=1, with_lm=True)


def test_the_pretrained_head_is_tied_to_the_shared_encoder_and_no_weight_is_there_twice(models, tiny_model):
    head, embeddings = models.models["mlm"].lm_head, models.encoder.get_input_embeddings().weight
    assert head.decoder.weight is embeddings and head.decoder.bias is head.bias
    state = models.state_dict()
    assert {name.removeprefix("models.mlm.") for name in state if name.startswith("models.mlm.")} == HEAD
    assert len({weight.data_ptr() for weight in state.values() if weight.numel()}) == len(state)
    names = [name for name, _ in models.named_parameters(remove_duplicate=False)]
    assert len(names) == len({id(weight) for weight in models.parameters()})
    saved = load_file(f"{tiny_model}/model.safetensors")
    assert all(torch.equal(state[f"models.mlm.{name}"], saved[name]) for name in HEAD), "the checkpoint's, not a fresh one"


def test_the_loss_and_its_gradients_are_those_of_the_checkpoints_own_masked_lm(models, tiny_model, tokenizer, text_dir):
    """Logits are computed only at the masked tokens. The embeddings get gradients as input and as output layer."""
    texts, _ = open_texts(["en"], [str(text_dir)], None, 10, seed=0)
    masked = MaskedText(texts, 0.3, tokenizer, 64, seed=0)
    masked.draw(8)
    rows = [{name: value for name, value in masked[k].items() if name != "task"} for k in range(8)]
    batch = Collator(tokenizer.pad_token_id)(rows)
    assert batch["labels"].shape == batch["input_ids"].shape and len({len(row["labels"]) for row in rows}) > 1
    plain = AutoModelForMaskedLM.from_pretrained(tiny_model)
    expected = plain(**batch).loss
    found = models(task="mlm", **batch)
    assert found["logits"].shape[:2] == (1, batch["labels"].ne(IGNORED).sum())
    assert found["loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    expected.backward(), found["loss"].backward()
    pairs = {"roberta.embeddings.word_embeddings.weight": models.encoder.get_input_embeddings().weight,
             "roberta.encoder.layer.0.output.dense.weight": models.encoder.encoder.layer[0].output.dense.weight,
             "lm_head.dense.weight": models.models["mlm"].lm_head.dense.weight,
             "lm_head.bias": models.models["mlm"].lm_head.bias}  # fmt: skip
    for name, weight in pairs.items():
        assert (plain.get_parameter(name).grad - weight.grad).norm() < 1e-5 * weight.grad.norm(), name
    with torch.no_grad():
        assert models.encoder(input_ids=batch["input_ids"]).last_hidden_state.shape[:2] == batch["labels"].shape, "the hook is gone"
        nothing = models(task="mlm", **{**batch, "labels": torch.full_like(batch["labels"], IGNORED)}, num_items_in_batch=torch.tensor(0))
    assert nothing["loss"] == 0


def test_a_checkpoint_without_a_pretrained_head_is_refused(tiny_model, tmp_path):
    load_model(TASK_TYPES["classification"].Model, tiny_model, TASKS["mnli"].labels, seed=1)[0].save_pretrained(tmp_path)
    with pytest.raises(
        InputError, match=r"has no pretrained masked-LM head \(lm_head.bias is missing\).*such as FacebookAI/xlm-roberta-large"
    ) as caught:
        load_lm(str(tmp_path))
    assert "\n" not in str(caught.value)


# ---- runs


@pytest.fixture(scope="module")
def mlm_run(tiny_model, data_dir, text_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlm") / "mnli"
    with pytest.MonkeyPatch.context() as patch:
        flags = ["run_intermediate.py", "--task", "mnli", "--model_name_or_path", tiny_model, "--data_dir", data_dir, *COMMON,
                 "--mlm_languages", "en", "de", "--mlm_data", str(text_dir), "--mlm_share", "0.4", "--mlm_eval_samples", "40",
                 "--sampling_cap", "9", "--learning_rate", "2e-3", "--num_train_epochs", "4", "--effective_batch_size", "16",
                 "--per_device_train_batch_size", "16", "--output_dir", str(folder)]  # fmt: skip
        patch.setattr(sys, "argv", flags)
        run_intermediate.main()
    return folder


def test_the_masked_lm_improves_while_nli_is_learned(mlm_run):
    results = results_of(mlm_run)
    training, mlm = results["training"], results["training"]["mlm"]
    assert results["task"] == "mnli" and results["dev"]["accuracy"] > 90, results["dev"]
    assert mlm["loss_after"] < 0.6 * mlm["loss_before"], mlm
    assert mlm["loss_before"] > 0.9 * math.log(300), "a random encoder knows nothing of its 400 pieces"
    assert list(mlm["languages"]) == ["de", "en"]
    for when in ("before", "after"):
        parts = [part[f"loss_{when}"] for part in mlm["languages"].values()]
        assert mlm[f"loss_{when}"] == pytest.approx(sum(parts) / 2)
        assert [part[f"perplexity_{when}"] for part in mlm["languages"].values()] == pytest.approx([math.exp(part) for part in parts])
    weights = [(200 - 20) ** 0.3, (600 - 40) ** 0.3]
    assert [part["texts"] for part in mlm["languages"].values()] == [180, 560]
    assert [part["probability"] for part in mlm["languages"].values()] == pytest.approx([weight / sum(weights) for weight in weights])
    assert training["probabilities"] == pytest.approx({"mnli": 0.6, "mlm": 0.4})
    assert training["steps"] == round(count_steps({"mnli": 480}, 480, 4, 16) / 0.6) == sum(training["drawn"].values())
    assert sum(part["drawn"] for part in mlm["languages"].values()) == 16 * training["drawn"]["mlm"] > 0
    assert (results["mlm_languages"], results["mlm_share"], results["mlm_alpha"]) == (["de", "en"], 0.4, 0.3)
    assert {part["language"] for part in results["data"] if part["task"] == "mlm"} == {"de", "en"}
    assert json.loads((mlm_run / "config.json").read_text())["task_trainings"] == 1, "of both tasks together"


def test_a_share_of_nothing_measures_what_is_lost_without_masked_lm(call, mlm_run, tiny_model, data_dir, text_dir, tmp_path):
    flags = ("--task", "mnli", "--mlm_languages", "de", "en", "--mlm_data", text_dir, "--mlm_share", "0", "--mlm_eval_samples", "40",
             "--mlm_alpha", "0", "--data_dir", data_dir, *COMMON, "--max_steps", "20", "--learning_rate", "2e-3",
             "--output_dir", tmp_path)  # fmt: skip
    results = call(run_intermediate, *flags, "--model_name_or_path", mlm_run)
    training, earlier = results["training"], results_of(mlm_run)["training"]["mlm"]
    assert [(run["task"], run["folder"]) for run in results["lineage"]] == [("mnli", str(mlm_run))]
    assert training["drawn"] == {"mnli": 20, "mlm": 0} and all(part["drawn"] == 0 for part in training["mlm"]["languages"].values())
    assert {part["probability"] for part in training["mlm"]["languages"].values()} == {0.5}, "--mlm_alpha 0"
    assert training["mlm"]["loss_before"] == pytest.approx(earlier["loss_after"], rel=1e-5) != training["mlm"]["loss_after"]


def test_the_head_that_was_saved_is_found_again_and_tied(mlm_run, tiny_model, text_dir, tokenizer):
    saved, head = load_file(mlm_run / "model.safetensors"), load_file(mlm_run / "heads/mlm/model.safetensors")
    assert set(head) == HEAD and not any(name.startswith("lm_head") for name in saved)
    model = load_task_model(str(mlm_run), "mlm")
    assert type(model).__name__ == "XLMRobertaForMaskedLM"
    assert (
        model.lm_head.decoder.weight is model.roberta.embeddings.word_embeddings.weight and model.lm_head.decoder.bias is model.lm_head.bias
    )
    assert torch.equal(model.lm_head.decoder.weight, saved["embeddings.word_embeddings.weight"])
    assert all(torch.equal(model.get_parameter(name), weight) for name, weight in head.items())
    before = load_file(f"{tiny_model}/model.safetensors")
    assert not torch.equal(head["lm_head.dense.weight"], before["lm_head.dense.weight"]), "it was trained"

    texts, _ = open_texts(["de", "en"], [str(text_dir)], None, 40, seed=0)
    masked, mlm = MaskedText(texts, 0.3, tokenizer, 64, seed=0), results_of(mlm_run)["training"]["mlm"]
    for language in texts:
        batch = Collator(tokenizer.pad_token_id)(masked.held_out(language))
        with torch.no_grad():
            assert model(**batch).loss.item() == pytest.approx(mlm["languages"][language]["loss_after"], rel=1e-5)
    again = load_models(str(mlm_run), {"mnli": TASKS["mnli"]}, seed=1, with_lm=True)
    assert again.models["mlm"].lm_head.decoder.weight is again.encoder.get_input_embeddings().weight, "a start for the next run, too"
    assert all(torch.equal(again.state_dict()[f"models.mlm.{name}"], weight) for name, weight in head.items())


def test_the_encoder_and_the_tasks_head_are_handed_over_as_ever(mlm_run):
    saved = load_file(mlm_run / "model.safetensors")
    model, _ = load_model(TASK_TYPES["classification"].Model, str(mlm_run), TASKS["xnli"].labels, seed=1)
    assert all(torch.equal(weight, saved[name]) for name, weight in model.base_model.state_dict().items())
    assert all(torch.equal(weight, saved[name]) for name, weight in load_encoder(str(mlm_run), None).state_dict().items())
    assert type(load_task_model(str(mlm_run), "mnli")).__name__ == "XLMRobertaForSequenceClassification"


def test_a_finished_run_is_skipped_and_another_share_is_another_run(mlm_run, call, tiny_model, data_dir, text_dir):
    flags = ["--task", "mnli", "--model_name_or_path", tiny_model, "--data_dir", data_dir, *COMMON, "--mlm_data", text_dir,
             "--mlm_eval_samples", "40", "--learning_rate", "2e-3", "--num_train_epochs", "4", "--effective_batch_size", "16",
             "--per_device_train_batch_size", "16", "--output_dir", mlm_run]  # fmt: skip
    assert call(run_intermediate, *flags, "--mlm_languages", "de", "en", "--mlm_share", "0.4") == results_of(mlm_run)
    with pytest.raises(InputError, match="holds a run with mlm_share 0.4; this command says 0.3"):
        call(run_intermediate, *flags, "--mlm_languages", "de", "en", "--mlm_share", "0.3")
    with pytest.raises(InputError, match=r"mlm_languages \['de', 'en'\]"):
        call(run_intermediate, *flags, "--mlm_languages", "de", "--mlm_share", "0.4")


STEPS = 8


@pytest.fixture(scope="module")
def recorded(tiny_model, data_dir, text_dir, tmp_path_factory):
    return record_layouts(
        tmp_path_factory.mktemp, STEPS,
        "--task", "mnli", "hellaswag", "--model_name_or_path", tiny_model, "--data_dir", data_dir, *COMMON, "--warmup_steps", "0",
        "--mlm_languages", "en", "de", "--mlm_data", text_dir, "--optim", "sgd", "--learning_rate", "0.2", "--max_eval_samples", "8",
        "--sampling", "uniform", "--seed", "2",
    )  # fmt: skip


@pytest.mark.parametrize("layout", list(LAYOUTS)[1:])
def test_processes_and_accumulation_agree_in_each_steps_task_its_masked_rows_and_the_weights(layout, recorded, tiny_model):
    (folder, steps), (other, others) = recorded["1 process x 8"], recorded[layout]
    assert set.union(*(tasks for tasks, _ in steps)) == {"mnli", "hellaswag", "mlm"}, "the comparison has to see all of them"
    assert steps == others and all(len(tasks) == 1 for tasks, _ in steps)
    before, moved = load_file(f"{tiny_model}/model.safetensors"), load_file(folder / "heads/mlm/model.safetensors")
    name = "lm_head.dense.weight"
    assert (moved[name] - before[name]).norm() > 1e-3 * before[name].norm(), "the steps must be large enough to compare"
    for part in ("model.safetensors", "heads/mnli/model.safetensors", "heads/hellaswag/model.safetensors", "heads/mlm/model.safetensors"):
        reference, cut = load_file(folder / part), load_file(other / part)
        for name, weight in reference.items():
            assert (weight - cut[name]).norm() <= 1e-5 * weight.norm() + 1e-6, f"{part} {name}"
    found = [results_of(path)["training"]["mlm"] for path in (folder, other)]
    assert found[0]["loss_before"] == pytest.approx(found[1]["loss_before"], rel=1e-5)
    assert found[0]["loss_after"] == pytest.approx(found[1]["loss_after"], rel=1e-4) and found[0]["loss_after"] != found[0]["loss_before"]


def test_a_run_killed_in_the_middle_goes_on_to_the_same_weights(call, tiny_model, data_dir, text_dir, tmp_path):
    flags = ["--task", "mnli", "--model_name_or_path", tiny_model, "--data_dir", data_dir, *COMMON, "--learning_rate", "1e-3",
             "--mlm_languages", "en", "de", "--mlm_data", text_dir, "--effective_batch_size", "8", "--per_device_train_batch_size", "4",
             "--max_steps", "40", "--max_eval_samples", "20", "--eval_strategy", "steps", "--eval_steps", "10",
             "--load_best_model_at_end", "true", "--metric_for_best_model", "accuracy", "--mlm_eval_samples", "5"]  # fmt: skip
    whole = call(run_intermediate, *flags, "--output_dir", tmp_path / "whole")
    cut = tmp_path / "cut"
    launch("tests/killed.py", 25, "run_intermediate", *flags, "--output_dir", cut, expect=-9)
    assert not (cut / "results.json").exists()
    resumed = call(run_intermediate, *flags, "--output_dir", cut)
    assert resumed["training"]["resumed_from_step"] == 20
    for part in ("model.safetensors", "heads/mnli/model.safetensors", "heads/mlm/model.safetensors"):
        weights = [load_file(folder / part) for folder in (tmp_path / "whole", cut)]
        assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0]), part
    for name in ("drawn", "mlm", "best_step"):
        assert whole["training"][name] == resumed["training"][name], name
    assert whole["dev"] == resumed["dev"]

    scores = {entry["step"]: entry for entry in whole["training"]["log"] if "eval_mean" in entry}
    assert sorted(scores) == [10, 20, 30, 40] and not any("mlm" in name for entry in scores.values() for name in entry)
    assert all(entry["eval_mean"] == entry["eval_accuracy"] == entry["eval_mnli_accuracy"] for entry in scores.values())
    assert whole["training"]["best_step"] == max(scores, key=lambda step: (scores[step]["eval_mean"], -step)), "by the task alone"


# ---- bad input


@pytest.mark.parametrize("flags, message", [
    (["--mlm_data", "wikipedia"], "--mlm_data is given without --mlm_languages"),
    (["--mlm_languages", "de", "en", "de", "--mlm_data", "TEXT"], "--mlm_languages names 'de' 2 times"),
    (["--mlm_languages", "all", "--mlm_data", "TEXT"], "has no text for 'af'"),
    (["--mlm_languages", "german", "--mlm_data", "TEXT"], "has no text for 'german'. Did you mean 'de'?"),
    (["--mlm_languages", "den", "--mlm_data", "TEXT"], "has no text for 'den'. Did you mean 'en'?|Did you mean 'de'?"),
    (["--mlm_languages", "de", "--mlm_data", "nowhere"], "--mlm_data nowhere is no folder"),
    (["--mlm_languages", "de", "--mlm_data", "de=nowhere.txt"], "--mlm_data de=nowhere.txt: there is no such file"),
    (["--mlm_languages", "de", "--mlm_data", "de=x.txt", "en.txt"], "'en.txt' among several is not of the form LANGUAGE=FILE"),
    (["--mlm_languages", "de", "--mlm_data", "de=EMPTY"], "holds 0 texts: too few"),
    (["--mlm_languages", "de"], r"wikimedia/wikipedia holds no 20231101.de/\*.parquet. It has no language at all"),
    (["--mlm_languages", "de", "--mlm_share", "1"], "--mlm_share 1.0 is not from 0"),
    (["--mlm_languages", "de", "--mlm_alpha", "-1"], "--mlm_alpha -1.0 is not between 0"),
    (["--mlm_languages", "de", "--mlm_eval_samples", "0"], "--mlm_eval_samples 0 leaves nothing to measure"),
    (["--mlm_languages", "de", "--normalize", "nfc"], "--normalize nfc does not reach the texts of masked LM"),
    (["--mlm_languages", "de", "--mlm_data", "TEXT", "--keep_head"], "--keep_head is for one task"),
])  # fmt: skip
def test_a_mistake_ends_in_one_line_and_leaves_no_results(flags, message, call, tiny_model, data_dir, text_dir, tmp_path):
    (tmp_path / "empty.txt").write_text("\n \n", encoding="utf-8")
    flags = [flag.replace("TEXT", str(text_dir)).replace("EMPTY", str(tmp_path / "empty.txt")) for flag in flags]
    common = ["--task", "mnli", "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--output_dir", tmp_path / "out", "--use_cpu"]
    with pytest.raises(InputError, match=message) as caught:
        call(run_intermediate, *flags, *common)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "results.json").exists()
