"""Features are the same whoever makes them: one process or several, made now or found again."""

import os
import subprocess
from dataclasses import replace

import pytest
from datasets import Dataset
from transformers import AutoTokenizer

import task_types
from task_adapters import TASKS, InputError, labels_of, load_examples
from task_adapters.base import EXAMPLE_COLUMNS
from task_types import classification, make_features


@pytest.fixture
def processes(monkeypatch):
    """processes(n): features are made by n processes, whatever the machine and however few the rows."""

    def choose(count):
        monkeypatch.setattr(task_types, "available_cores", lambda: count)
        monkeypatch.setattr(task_types, "ROWS_PER_PROCESS", 10)

    return choose


def environment_of_a_child():
    return subprocess.run(["printenv", "TOKENIZERS_PARALLELISM"], capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("name, length", [("squad_v1", 24), ("udpos", 16)])
def test_several_processes_make_the_same_features(name, length, data_dir, tiny_model, processes, monkeypatch, tmp_path):
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    tokenizer, task = AutoTokenizer.from_pretrained(tiny_model), TASKS[name]
    examples, _ = load_examples(task, "train", "en", data_dir)
    task = replace(task, labels=labels_of(task, examples))
    examples = Dataset.from_file(examples.cache_files[0]["filename"])  # with a file beside which features can be kept
    examples._fingerprint = os.path.basename(tmp_path)[:32] + name  # not made by another test before
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
    assert again.cache_files == many.cache_files  # found, though one process would have made one file
    examples._fingerprint += "x"
    alone = make_features(examples, tokenizer, task, length, 8)
    assert len(alone.cache_files) == 1 and alone.to_list() == many.to_list()
    if name == "squad_v1":  # more windows than examples, counted over all processes
        assert len(many) > len(examples) and sorted(set(many["example_index"][:])) == list(range(len(examples)))


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


def test_the_mask_that_is_not_kept_is_made_by_the_collator(tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    batch = {"text_a": ["the dog", "the dog sees a small cat"], "text_b": ["", ""], "label": ["neutral", "neutral"]}
    features = classification.to_features(batch, tokenizer, replace(TASKS["mnli"], name="x"), 32)
    assert "attention_mask" not in features
    rows = [{name: features[name][i] for name in features} for i in range(2)]
    collated = classification.Collator(tokenizer)(rows)
    assert collated["attention_mask"].sum(1).tolist() == [len(ids) for ids in features["input_ids"]]
    assert collated["input_ids"].shape == collated["attention_mask"].shape
