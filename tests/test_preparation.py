"""Features are the same if one process or several make them, and if they come from the cache."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import datasets
import huggingface_hub
import pytest
import torch
from conftest import ROOT
from datasets import Dataset
from tokenizers import normalizers
from transformers import (
    AutoTokenizer,
    DataCollatorForMultipleChoice,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
)

import run_intermediate
import run_target
import task_types
from task_adapters import TASKS, InputError, labels_of, load_examples
from task_adapters.base import EXAMPLE_COLUMNS
from task_types import late_tokenizer, make_features
from task_types.collator import Collator, what_is_read
from task_types.late_tokenizer import LateTokenizer
from trainer import tokenizers
from trainer.tokenizers import load_tokenizer


@pytest.fixture
def processes(monkeypatch):
    """processes(n): n processes make features, independent of the machine and the number of rows."""

    def choose(count):
        monkeypatch.setattr(task_types, "available_cores", lambda: count)
        monkeypatch.setattr(task_types, "ROWS_PER_PROCESS", 10)

    return choose


def test_features_of_another_suite_are_not_taken_for_what_these_tests_made():
    caches = datasets.config.HF_DATASETS_CACHE, huggingface_hub.constants.HF_HUB_CACHE, tokenizers.TOKENIZERS
    assert all(Path(os.environ["HF_HOME"]) in Path(cache).parents and "tests-hf-home" in str(cache) for cache in caches), caches


def environment_of_a_child():
    return subprocess.run(["printenv", "TOKENIZERS_PARALLELISM"], capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("name, length", [("squad_v1", 24), ("udpos", 16)])
def test_several_processes_make_the_same_features(name, length, data_dir, tiny_model, processes, monkeypatch):
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    tokenizer, task = AutoTokenizer.from_pretrained(tiny_model), TASKS[name]
    examples, _ = load_examples(task, "train", "en", data_dir)
    task = replace(task, labels=labels_of(task, examples))
    examples = Dataset.from_file(examples.cache_files[0]["filename"])  # The features are cached next to this file.
    examples._fingerprint = f"several processes, {name}"  # No other test has this key.
    before, mapped = os.environ, []
    run_map = Dataset.map
    monkeypatch.setattr(
        Dataset, "map", lambda self, *args, **options: mapped.append(options["num_proc"]) or run_map(self, *args, **options)
    )

    processes(3)
    many = make_features(examples, tokenizer, task, length, 8)
    assert mapped == [3] and len(many.cache_files) == 3
    assert os.environ is before and os.environ["TOKENIZERS_PARALLELISM"] == environment_of_a_child() == "true"

    processes(1)
    again = make_features(examples, tokenizer, task, length, 8)
    assert again.cache_files == many.cache_files  # The cache is used, although one process would have made one file.
    examples._fingerprint += "x"
    alone = make_features(examples, tokenizer, task, length, 8)
    assert len(alone.cache_files) == 1 and alone.to_list() == many.to_list()
    if name == "squad_v1":  # more windows than examples, counted over all processes
        assert len(many) > len(examples) and sorted(set(many["example_index"][:])) == list(range(len(examples)))


def test_features_are_kept_by_everything_that_makes_them(data_dir, tiny_model, monkeypatch):
    """If another tokenizer or length had the same cache key, wrong features would be used, and only the score would show it."""
    tokenizer, with_types = AutoTokenizer.from_pretrained(tiny_model), AutoTokenizer.from_pretrained(tiny_model)
    with_types.model_input_names = [*tokenizer.model_input_names, "token_type_ids"]
    lower = AutoTokenizer.from_pretrained(tiny_model)
    lower.backend_tokenizer.normalizer = normalizers.Lowercase()
    task, (examples, _) = TASKS["mnli"], load_examples(TASKS["mnli"], "dev", "en", data_dir)
    others, _ = load_examples(TASKS["mnli"], "dev", "en", data_dir, 7)
    turned = replace(task, labels=task.labels[::-1])
    made = [(examples, tokenizer, task, 32, 8), (others, tokenizer, task, 32, 8), (examples, lower, task, 32, 8),
            (examples, with_types, task, 32, 8), (examples, tokenizer, turned, 32, 8), (examples, tokenizer, task, 31, 8),
            (examples, tokenizer, task, 32, 7)]  # fmt: skip
    keys = [make_features(*arguments)._fingerprint for arguments in made]
    used = AutoTokenizer.from_pretrained(tiny_model)
    used("the dog", truncation=True, max_length=3, padding="max_length")  # This call changes the tokenizer's settings.
    assert make_features(examples, used, task, 32, 8)._fingerprint == keys[0]
    monkeypatch.setattr(task_types, "code_of", lambda _: "as it will be")
    assert len({*keys, make_features(*made[0])._fingerprint}) == len(made) + 1


def test_a_variable_that_was_not_set_is_not_set_afterwards(data_dir, tiny_model, processes, monkeypatch):
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    processes(2)
    examples, _ = load_examples(TASKS["squad_v1"], "dev", "en", data_dir)
    make_features(examples, AutoTokenizer.from_pretrained(tiny_model), TASKS["squad_v1"], 31, 8)
    assert "TOKENIZERS_PARALLELISM" not in os.environ and environment_of_a_child() == ""


def test_a_mistake_in_another_process_is_still_the_users_line(tiny_model, processes):
    processes(2)
    rows = [{"context": "", "question": "the dog", "choices": ["cat"] * (2 + row // 30), "label": 0} for row in range(60)]
    rows[5]["choices"] = ["cat"] * 3
    task, features = TASKS["hellaswag"], EXAMPLE_COLUMNS["multiple_choice"]
    with pytest.raises(InputError, match="examples with 2 and with 3 choices"):
        make_features(Dataset.from_list(rows, features=features), AutoTokenizer.from_pretrained(tiny_model), task, 64, None)


@pytest.mark.parametrize("name, reference", [
    ("mnli", DataCollatorWithPadding),
    ("squad_v1", DataCollatorWithPadding),
    ("udpos", DataCollatorForTokenClassification),
    ("hellaswag", DataCollatorForMultipleChoice),
])  # fmt: skip
@pytest.mark.parametrize("with_types", [False, True])
def test_batches_are_those_of_transformers_own_collators(name, reference, with_types, data_dir, tiny_model):
    tokenizer, task = AutoTokenizer.from_pretrained(tiny_model), TASKS[name]
    tokenizer.model_input_names = ["input_ids", "attention_mask"] + ["token_type_ids"] * with_types
    examples, _ = load_examples(task, "train", "en", data_dir, 40)
    features = make_features(examples, tokenizer, replace(task, labels=labels_of(task, examples)), 96, 32)
    assert "attention_mask" not in features.column_names and ("token_type_ids" in features.column_names) == with_types
    rows = list(what_is_read(features))
    ours, theirs = Collator(tokenizer.pad_token_id)(rows), dict(reference(tokenizer)(rows))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert 0 < ours["attention_mask"].float().mean() < 1, "some are shorter"


# ---- a tokenizer that is not loaded


@pytest.fixture
def nothing_is_read(monkeypatch):
    def refuse(path, **_):
        raise AssertionError(f"the tokenizer of {path} was read")

    return lambda: monkeypatch.setattr(AutoTokenizer, "from_pretrained", refuse)


@pytest.mark.parametrize("script, tasks", [(run_target, ["udpos"]), (run_intermediate, ["mnli", "hellaswag"])])
def test_features_from_the_cache_are_trained_on_and_scored_without_the_tokenizer(
    script, tasks, call, data_dir, tiny_model, tmp_path, nothing_is_read
):
    flags = ("--task", *tasks, "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--max_steps", 4, "--eval_steps", 2, "--use_cpu",
             "--save_steps", 2, "--max_train_samples", 40, "--disable_tqdm", "true", "--report_to", "none")  # fmt: skip
    flags += ("--languages", "en", "de") if script is run_target else ()
    first = call(script, *flags, "--output_dir", tmp_path / "first")
    nothing_is_read()
    second = call(script, *flags, "--output_dir", tmp_path / "second")
    for name in ("scores", "dev"):
        assert first.get(name) == second.get(name)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "second" / name).read_bytes() == (tmp_path / "first" / name).read_bytes()


def test_a_late_tokenizer_says_what_the_whole_one_says(tiny_model, tmp_path):
    late, whole = load_tokenizer(tiny_model, needs_offsets=True), AutoTokenizer.from_pretrained(tiny_model)
    assert isinstance(late, LateTokenizer) and late.model_max_length == whole.model_max_length == 512 and "whole" not in vars(late)
    sent = pickle.loads(pickle.dumps(late))
    assert sent("the dog", "sees")["input_ids"] == whole("the dog", "sees")["input_ids"] and len(late) == len(whole)
    assert late.unk_token == "<unk>" and late.is_fast and late.pad_token_id == 1
    late.save_pretrained(tmp_path)
    shutil.copyfile(Path(tiny_model, "config.json"), tmp_path / "config.json")
    copy = load_tokenizer(str(tmp_path), needs_offsets=True)
    assert copy.key == late.key and copy.files == late.files and sorted(copy.files) == ["tokenizer.json", "tokenizer_config.json"]


def test_the_key_of_a_late_tokenizer_names_all_that_changes_what_it_says(tiny_model, monkeypatch):
    late = load_tokenizer(tiny_model, needs_offsets=True)
    keys = [late.key]
    for name, text in late.files.items():
        keys.append(LateTokenizer("other", {**late.files, name: text + " "}, late.summary).key)
    for library in (late_tokenizer.transformers, late_tokenizer.tokenizers):
        monkeypatch.setattr(library, "__version__", "6.0")
        keys.append(LateTokenizer("other", late.files, late.summary).key)
    assert len(set(keys)) == 5


def test_token_types_are_in_the_key(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"type_vocab_size": 2}))
    assert load_tokenizer(str(folder), needs_offsets=True).key != load_tokenizer(tiny_model, needs_offsets=True).key


@pytest.mark.parametrize("removed", [False, True])
def test_a_tokenizer_that_is_changed_or_removed_meanwhile_stays_what_it_was(removed, tiny_model, tmp_path):
    """A run that trained for hours on cached features must be able to score, though its start is being trained anew."""
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    late = load_tokenizer(str(folder), needs_offsets=True)
    expected = load_tokenizer(tiny_model, needs_offsets=True)("the dog")["input_ids"]
    if removed:
        shutil.rmtree(folder)
    else:
        (folder / "tokenizer.json").write_text("{}")
    late.save_pretrained(tmp_path / "out")
    assert (tmp_path / "out" / "tokenizer.json").read_text(encoding="utf-8") == late.files["tokenizer.json"]
    assert late("the dog")["input_ids"] == expected and late.name_or_path == str(folder)


def test_a_tokenizer_in_python_is_read_at_once_and_saved_by_itself(tiny_model, tmp_path):
    """Its files have other names. If they were not copied, the next phase would have no tokenizer."""
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PhobertTokenizer", "model_max_length": 100}')
    rows = json.loads((folder / "config.json").read_text())["vocab_size"]
    words = [f"w{number}" for number in range(rows - 10)]
    (folder / "vocab.txt").write_text("".join(f"{word} 1\n" for word in words))
    (folder / "bpe.codes").write_text("#version: 0.2\n")
    tokenizer = load_tokenizer(str(folder), needs_offsets=False)
    assert not isinstance(tokenizer, LateTokenizer) and not tokenizer.is_fast
    tokenizer.save_pretrained(tmp_path / "out")
    assert (tmp_path / "out" / "vocab.txt").is_file()
    with pytest.raises(InputError, match="has a slow tokenizer"):
        load_tokenizer(str(folder), needs_offsets=True)


def test_processes_that_tokenise_read_the_tokenizer_themselves(tiny_model, monkeypatch):
    """datasets pickles the tokenizer for each process. The pickle must be small and still give the same features."""
    late, task = load_tokenizer(tiny_model, needs_offsets=True), TASKS["hellaswag"]
    rows = {"context": ["the dog"] * 40, "question": ["sees"] * 40, "choices": [["a", "the cat"]] * 40, "label": [0, 1] * 20}
    monkeypatch.setattr(task_types, "ROWS_PER_PROCESS", 20)
    monkeypatch.setattr(task_types, "available_cores", lambda: 2)
    together = make_features(Dataset.from_dict(rows), late, task, 32, None)
    assert len(together) == 40 and "whole" not in vars(late), "the main process had nothing to read"
    late("read now")
    assert "whole" in vars(late) and "whole" not in vars(pickle.loads(pickle.dumps(late)))
    monkeypatch.setattr(task_types, "ROWS_PER_PROCESS", 1000)
    alone = make_features(Dataset.from_dict({**rows, "label": [1, 0] * 20}), late, task, 32, None)
    assert alone["input_ids"][:] == together["input_ids"][:]


def test_a_hub_model_loads_from_a_cache_without_internet(tiny_model, tmp_path):
    """Files that a model does not have are no error there."""
    commit = "0123456789" * 4
    snapshot = tmp_path / "models--me--tiny" / "snapshots" / commit
    shutil.copytree(tiny_model, snapshot)
    (tmp_path / "models--me--tiny" / "refs").mkdir()
    (tmp_path / "models--me--tiny" / "refs" / "main").write_text(commit)
    code = "from trainer.tokenizers import load_tokenizer; print(load_tokenizer('me/tiny', True)('the dog')['input_ids'])"
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.stdout.strip() == str(load_tokenizer(tiny_model, True)("the dog")["input_ids"]), done.stderr


@pytest.mark.parametrize("name, text", [
    ("tokenizer_config.json", "[]"),
    ("tokenizer_config.json", '{"tokenizer_class": 5}'),
    ("tokenizer.json", '{"model": null}'),
    ("tokenizer.json", "[]"),
    ("tokenizer.json", ""),
    ("added_tokens.json", "[]"),
])  # fmt: skip
def test_broken_files_are_one_line(name, text, tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    if name == "added_tokens.json":  # This file is read if the configuration names no tokens.
        (folder / "special_tokens_map.json").write_text("{}")
    (folder / name).write_text(text)
    with pytest.raises(InputError, match="Cannot load a tokenizer from"):
        load_tokenizer(str(folder), needs_offsets=True)("the dog")


def test_a_hub_models_tokenizer_is_read_from_its_own_commit(tiny_model, tmp_path, monkeypatch):
    """The hub may have moved on since config.json was read."""
    config, snapshot, asked = tokenizers.load_config(tiny_model), tmp_path / "0123abcd", []
    snapshot.mkdir()

    def cached_file(path, name, revision=None, **_):
        asked.append((path, name, revision))
        if Path(tiny_model, name).is_file():
            shutil.copyfile(Path(tiny_model, name), snapshot / name)
        return snapshot / name

    monkeypatch.setattr("trainer.checkpoints.refuse_missing_folder", lambda path: None)  # the tests are offline
    monkeypatch.setattr(tokenizers, "load_config", lambda path: config)
    monkeypatch.setattr(tokenizers, "cached_file", cached_file)
    late = load_tokenizer("some/model", needs_offsets=True)
    monkeypatch.undo()
    assert asked[0] == ("some/model", "config.json", None)
    assert {(path, revision) for path, _, revision in asked[1:]} == {("some/model", "0123abcd")}
    assert not [name for _, name, _ in asked if name.endswith(".model")], "5 MB that are not needed where there is a tokenizer.json"
    here = load_tokenizer(tiny_model, needs_offsets=True)
    assert late.key == here.key and late("the dog")["input_ids"] == here("the dog")["input_ids"]
