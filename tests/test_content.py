"""provenance["content"]: equal examples have equal keys and different examples have different keys, from whatever source they come."""

import json
import os
import random

import pytest
from conftest import NLI, nli_rows, write_hub_folder
from datasets import ClassLabel, Dataset, Features, List, Value, concatenate_datasets

from task_adapters import TASKS, find_train_files, load_examples, load_training_data
from task_adapters.content import content_key, file_key

TEXT = Value("string")
NLI_COLUMNS = Features({"premise": TEXT, "hypothesis": TEXT, "label": ClassLabel(names=NLI)})
ROTATED = Features({**NLI_COLUMNS, "label": ClassLabel(names=[*NLI[1:], NLI[0]])})
ROWS = nli_rows(random.Random(1), "de", 40)
NAMED = [{**row, "label": NLI[row["label"]]} for row in ROWS]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def key(data_dir, **options):
    return load_examples(TASKS["mnli"], "train", "en", str(data_dir), **options)[1]["content"]


def train_key(file, **options):
    (provenance,) = load_training_data(TASKS["xnli"], TASKS["mnli"], [], find_train_files([f"de={file}"]), **options)[1]
    return provenance["content"]


@pytest.fixture
def parquet_dir(tmp_path):
    write_hub_folder(tmp_path / "parquet", "nyu-mll/glue", "mnli", "train", ROWS, NLI_COLUMNS)
    return tmp_path / "parquet"


def write_lines(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def test_the_key_does_not_depend_on_path_kind_of_file_or_cut(parquet_dir, tmp_path):
    lines = [json.dumps(row) for row in NAMED]
    whole = write_lines(tmp_path / "jsonl" / "nyu-mll/glue/mnli/train.jsonl", lines)
    for part in (0, 1):
        write_lines(tmp_path / "two" / f"nyu-mll/glue/mnli/train-{part}.jsonl", lines[:7] if part == 0 else lines[7:])
    keys = {key(folder) for folder in (parquet_dir, tmp_path / "jsonl", tmp_path / "two")}
    assert len(keys) == 1 and len(keys.pop()) == 64
    assert train_key(whole) == key(parquet_dir), "a file of one's own has the key of the same rows on the hub"


@pytest.mark.parametrize("change", [
    lambda rows: [{**rows[0], "label": NLI[(NLI.index(rows[0]["label"]) + 1) % 3]}, *rows[1:]],
    lambda rows: [{**rows[0], "premise": rows[0]["premise"] + " "}, *rows[1:]],
    lambda rows: [rows[1], rows[0], *rows[2:]],
    lambda rows: rows[:-1],
    lambda rows: [{**rows[0], "premise": rows[0]["premise"][:-1], "hypothesis": rows[0]["premise"][-1] + rows[0]["hypothesis"]}, *rows[1:]],
])  # fmt: skip
def test_another_label_text_order_or_number_of_rows_is_another_key(change, parquet_dir, tmp_path):
    write_lines(tmp_path / "other/nyu-mll/glue/mnli/train.jsonl", [json.dumps(row) for row in change(NAMED)])
    assert key(tmp_path / "other") != key(parquet_dir)


def test_rotated_class_names_are_another_key_though_the_numbers_are_the_same(parquet_dir, tmp_path):
    write_hub_folder(tmp_path / "rotated", "nyu-mll/glue", "mnli", "train", ROWS, ROTATED)
    assert key(tmp_path / "rotated") != key(parquet_dir)


def test_the_key_is_of_the_rows_that_were_drawn(parquet_dir, tmp_path):
    ten, other, first = key(parquet_dir, max_samples=10, seed=1), key(parquet_dir, max_samples=10, seed=2), key(parquet_dir, max_samples=10)
    assert len({ten, other, first, key(parquet_dir)}) == 4
    file = write_lines(tmp_path / "rows.jsonl", [json.dumps(row) for row in NAMED])
    examples, (provenance,) = load_training_data(TASKS["xnli"], TASKS["mnli"], [], find_train_files([f"de={file}"]), None, 10, 1)
    assert provenance["content"] == content_key(examples) != train_key(file)


def test_batches_slices_and_selections_leave_no_trace_in_the_key():
    answers = {"text": List(TEXT), "answer_start": List(Value("int32"))}
    features = Features({"words": List(TEXT), "answers": answers, "label": Value("int32")})
    rows = [
        {"words": ["a"] * (i % 3), "answers": {"text": [str(i)] * (i % 2), "answer_start": [i] * (i % 2)}, "label": i} for i in range(9)
    ]
    whole = Dataset.from_list(rows, features=features)
    parts = concatenate_datasets([Dataset.from_list(rows[:4], features=features), Dataset.from_list(rows[4:], features=features)])
    shuffled = Dataset.from_list(rows[::-1], features=features).select(range(8, -1, -1))
    sliced = Dataset.from_list([rows[3], *rows, rows[0]], features=features).select(range(1, 10))
    assert content_key(whole) == content_key(parts) == content_key(shuffled) == content_key(sliced) != content_key(whole.select(range(8)))
    moved = [{**row, "words": words} for row, words in zip(rows, [["a"], [], *(row["words"] for row in rows[2:])])]
    assert content_key(Dataset.from_list(moved, features=features)) != content_key(whole), "the same words in other sentences"


@pytest.mark.parametrize("one, other", [
    (["ab", "c"], ["a", "bc"]), (["", "a"], ["a", ""]), ([None, "a"], ["", "a"]), ([None, 1], [-1, 1]),
    ([["a", "b"], []], [["a"], ["b"]]), ([["ab"]], [["a", "b"]]), ([None, ["a"]], [[], ["a"]]),
])  # fmt: skip
def test_values_that_are_cut_otherwise_or_missing_are_another_key(one, other):
    assert content_key(Dataset.from_dict({"column": one})) != content_key(Dataset.from_dict({"column": other}))


def test_a_files_key_is_its_bytes_and_not_its_name_or_time(tmp_path):
    for name, text in (("a", "one"), ("b", "one"), ("c", "two")):
        (tmp_path / name).write_text(text)
        os.utime(tmp_path / name, (1, 1))
    assert file_key(tmp_path / "a") == file_key(tmp_path / "b") != file_key(tmp_path / "c")
