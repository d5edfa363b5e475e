"""Values of a file are not changed by reading, with --data_dir and with --train_file. Unreadable files are refused in one line."""

import errno
import json
import logging
import os
import socket
import threading
from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from conftest import NLI, SHARED
from datasets import ClassLabel, Dataset, Features, List, Value

from task_adapters import TASKS, InputError, find_train_files, load_examples, load_training_data
from task_adapters.bucc import RAW_FILES
from task_adapters.content import from_cache
from task_adapters.errors import readable
from task_adapters.hub import remove_damaged_downloads

TEXT = Value("string")
NLI_COLUMNS = {"premise": TEXT, "hypothesis": TEXT, "label": ClassLabel(names=NLI)}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def put_parquet(path, rows, features):
    path.parent.mkdir(parents=True, exist_ok=True)
    Dataset.from_list(rows, features=Features(features)).to_parquet(path)
    return path


PLACES = {
    "mnli": ("nyu-mll/glue/mnli", "train"), "qqp": ("nyu-mll/glue/qqp", "train"), "pawsx": ("google-research-datasets/paws-x/en", "train"),
    "squad_v1": ("rajpurkar/squad/plain_text", "train"), "udpos": ("google/xtreme/udpos.English", "train"),
    "cosmosqa": ("Samsoup/cosmos_qa/data", "train"), "hellaswag": ("Rowan/hellaswag/data", "train"),
}  # fmt: skip


RAIN = {"context": "c", "question": "q", **{f"answer{i}": "a" for i in range(4)}}


def read_both(task, file_name, content, tmp_path):
    """The examples of one file, read below --data_dir and as --train_file. Both must be equal."""
    folder, split = PLACES[task]
    file = put(tmp_path / "data" / folder / f"{split}{Path(file_name).suffix}", content)
    below, _ = load_examples(TASKS[task], "train", "en", str(tmp_path / "data"))
    alone, _ = load_training_data(TASKS[task], TASKS[task], [], find_train_files([f"en={file}"]))
    assert below.to_list() == alone.to_list()
    return below.to_list()


def refusals(task, file, tmp_path):
    """The messages for a file below --data_dir, where it lies already, and as --train_file."""
    messages = []
    for load in (
        lambda: load_examples(TASKS[task], "train", "en", str(tmp_path / "data")),
        lambda: load_training_data(TASKS[task], TASKS[task], [], find_train_files([f"en={file}"])),
    ):
        with pytest.raises(InputError) as refused:
            load()
        assert "\n" not in str(refused.value)
        messages.append(str(refused.value))
    return messages


# ---- text stays text


def test_quotation_marks_in_tsv_swallow_no_rows(tmp_path):
    sentences = ["plain", '"opens', 'closes"', 'in "the" middle', '"whole"', 'odd " one', '""'] * 6
    lines = ["premise\thypothesis\tlabel", *(f"{sentence}\th{i}\tneutral" for i, sentence in enumerate(sentences))]
    examples = read_both("mnli", "a.tsv", "\n".join(lines) + "\n", tmp_path)
    assert [example["text_a"] for example in examples] == sentences


@pytest.mark.parametrize("end, line", [("csv", "{},{},{}"), ("tsv", "{}\t{}\t{}")])
def test_words_for_null_and_numbers_with_zeros_are_text_in_csv_and_tsv(end, line, tmp_path):
    words = ["None", "NA", "null", "nan", "007", "1e5", "True", "", " "]
    content = "\n".join([line.format("question1", "question2", "label"), *(line.format("How?", word, "duplicate") for word in words)])
    assert [example["text_b"] for example in read_both("qqp", f"a.{end}", content, tmp_path)] == words


@pytest.mark.parametrize("end", ["json", "jsonl"])
def test_words_for_null_and_dates_are_text_in_json(end, tmp_path):
    words = ["None", "007", "2020-01-01", "2020-01-01T00:00:00", "1.0", "null"]
    rows = [json.dumps({"question1": "How?", "question2": word, "label": "duplicate"}) for word in words]
    content = f"[{', '.join(rows)}]" if end == "json" else "\n".join(rows)
    assert [example["text_b"] for example in read_both("qqp", f"a.{end}", content, tmp_path)] == words


@pytest.mark.parametrize("value", [7, 7.5, True, ["list"], {"di": "ct"}])
@pytest.mark.parametrize("end", ["json", "jsonl"])
def test_what_json_holds_in_the_place_of_text_is_refused(end, value, tmp_path):
    row = json.dumps({"premise": "p", "hypothesis": value, "label": "neutral"})
    file = put(tmp_path / f"data/nyu-mll/glue/mnli/train.{end}", f"[{row}]" if end == "json" else row)
    for message in refusals("mnli", file, tmp_path):
        assert message == f"{file}, {'row' if end == 'json' else 'line'} 1: text_b {value!r} is not text."


def test_null_in_json_is_empty_where_the_task_knows_its_meaning_and_else_refused(tmp_path):
    row = {"question1": None, "question2": "q", "label": "duplicate"}
    assert read_both("qqp", "a.jsonl", json.dumps(row), tmp_path) == [{"text_a": "", "text_b": "q", "label": "duplicate"}]
    story = {"ctx_a": "A", "ctx_b": None, "endings": ["w", "x", "y", "z"], "label": 2}
    file = put(tmp_path / "data/Rowan/hellaswag/data/train.jsonl", json.dumps(story))
    for message in refusals("hellaswag", file, tmp_path):
        assert "line 1: column 'ctx_b' is or holds null" in message, "else each choice begins with the word None"


def test_a_long_cell_of_csv_is_read(tmp_path):
    long = "word " * 60_000
    content = f"premise,hypothesis,label\n{long},h,neutral\n"
    assert read_both("mnli", "a.csv", content, tmp_path)[0]["text_a"] == long


def test_rows_of_mixed_types_of_one_column_are_each_read_as_they_stand(tmp_path):
    rows = [{**RAIN, "label": label} for label in (3, "2")]
    content = "\n".join(map(json.dumps, rows))
    assert [example["label"] for example in read_both("cosmosqa", "a.jsonl", content, tmp_path)] == [3, 2]


# ---- labels


PUBLISHED = 'id\tsentence1\tsentence2\tlabel\n1\tHe said "no.\tHe said.\t0\n2\tA\tA\t1\n3\tNA\tNone\t1\n'
PAIRS = [('He said "no.', "He said.", "0"), ("A", "A", "1"), ("NA", "None", "1")]


@pytest.mark.parametrize("name, split, language", [
    ("train.tsv", "train", "en"), ("translated_train.tsv", "train", "de"), ("dev_2k.tsv", "dev", "de"), ("test_2k.tsv", "test", "de"),
    ("validation.tsv", "dev", "de"), ("test.tsv", "test", "de"),
])  # fmt: skip
def test_paws_x_is_read_as_it_was_published(name, split, language, tmp_path):
    put(tmp_path / "google-research-datasets/paws-x" / language / name, PUBLISHED)
    examples, provenance = load_examples(TASKS["pawsx"], split, language, str(tmp_path))
    assert [tuple(example.values()) for example in examples.to_list()] == PAIRS and provenance["rows"] == 3


def test_paws_x_as_published_is_a_train_file_too(tmp_path):
    (examples, _) = load_training_data(TASKS["pawsx"], TASKS["pawsx"], [], find_train_files([f"de={put(tmp_path / 'a.tsv', PUBLISHED)}"]))
    assert [tuple(example.values()) for example in examples.to_list()] == PAIRS


@pytest.mark.parametrize("end", ["csv", "tsv", "json", "jsonl", "parquet"])
@pytest.mark.parametrize("value", ["1", 1])
def test_numbers_are_labels_where_the_tasks_labels_are_numbers(end, value, tmp_path):
    row = {"sentence1": "a", "sentence2": "b", "label": value}
    file = tmp_path / f"data/google-research-datasets/paws-x/en/train.{end}"
    file.parent.mkdir(parents=True)
    if end == "parquet":
        Dataset.from_list([row]).to_parquet(file)
    else:
        blank = "," if end == "csv" else "\t"
        cells = f"{blank.join(row)}\n{blank.join(map(str, row.values()))}\n"
        put(file, json.dumps([row]) if end == "json" else json.dumps(row) if end == "jsonl" else cells)
    assert load_examples(TASKS["pawsx"], "train", "en", str(tmp_path / "data"))[0]["label"][0] == "1"
    assert load_training_data(TASKS["pawsx"], TASKS["pawsx"], [], find_train_files([f"en={file}"]))[0]["label"][0] == "1"


@pytest.mark.parametrize("task, row, message", [
    ("mnli", {"premise": "p", "hypothesis": "h", "label": 3}, "label 3 is a number, and its name is not known: one of contradiction,"),
    ("pawsx", {"sentence1": "p", "sentence2": "h", "label": 2}, "label 2 is a number, and its name is not known: one of 0, 1"),
    ("pawsx", {"sentence1": "p", "sentence2": "h", "label": True}, "label True is not one of 0, 1"),
    ("pawsx", {"sentence1": "p", "sentence2": "h", "label": 1.0}, "label 1.0 is not one of 0, 1"),
    ("pawsx", {"sentence1": "p", "sentence2": "h", "label": [1]}, "label [1] is not one of 0, 1"),
    ("udpos", {"tokens": ["a"], "pos_tags": [5]}, "tag 5 is a number, and its name is not known: one of ADJ, ADP"),
    ("udpos", {"tokens": "a", "pos_tags": ["DET"]}, "words 'a' is not a list"),
    ("udpos", {"tokens": [["a"]], "pos_tags": ["DET"]}, "words ['a'] is not text"),
    ("hellaswag", {"ctx_a": "A", "ctx_b": "b", "endings": ["w", 3], "label": 2}, "label 2 does not point at one of 2 choices"),
    ("hellaswag", {"ctx_a": "A", "ctx_b": "b", "endings": 5, "label": 2}, "not a row of hellaswag"),
    ("cosmosqa", {**RAIN, "label": 1.5}, "label 1.5 is not a whole number"),
    ("cosmosqa", {**RAIN, "label": "x"}, "label 'x' is not a whole number"),
])  # fmt: skip
def test_a_label_or_list_of_another_kind_is_refused_by_row(task, row, message, tmp_path):
    folder, split = PLACES[task]
    file = put(tmp_path / "data" / folder / f"{split}.jsonl", json.dumps(row))
    for text in refusals(task, file, tmp_path):
        assert text.startswith(f"{file}, line 1: ") and message in text


ASKED = {"id": "1", "question": "q", "context": "c d"}


@pytest.mark.parametrize("answers, message", [
    ({"text": ["c"], "answer_start": ["0"]}, "answer_start '0' is not a whole number"),
    ({"text": ["c"], "answer_start": [0.5]}, "answer_start 0.5 is not a whole number"),
    ({"text": ["c"], "answer_start": [2**40]}, "is not a whole number"),
    ({"text": ["c", "d"], "answer_start": [0]}, "answers hold 2 texts and 1 answer_start"),
    ({"text": "c", "answer_start": 0}, "should hold two lists"),
    ({"text": [7], "answer_start": [0]}, "answer 7 is not text"),
    ("c", "answers 'c' should hold two lists"),
    ([], "answers [] should hold two lists"),
    ({"text": ["c"]}, "should hold two lists"),
])  # fmt: skip
def test_answers_of_another_shape_are_refused_by_row(answers, message, tmp_path):
    file = put(tmp_path / "data/rajpurkar/squad/plain_text/train.jsonl", json.dumps({**ASKED, "answers": answers}))
    for text in refusals("squad_v1", file, tmp_path):
        assert text.startswith(f"{file}, line 1: ") and message in text


PAIRED = {"sentence1": ["Ja.", "Und?"], "sentence2": ["Yes.", "What?"], "gold": [[1, 1]]}


@pytest.mark.parametrize("changes, message", [
    ({}, None),
    ({"sentence1": ["Ja.", None]}, "number 2 of sentence1 is None, which is not text"),
    ({"sentence2": [7, "What?"]}, "number 1 of sentence2 is 7, which is not text"),
    ({"gold": [["1", "1"]]}, "gold pair 1 is ['1', '1']; it should be two positions"),
    ({"gold": [None]}, "gold pair 1 is None; it should be two positions"),
    ({"gold": [1]}, "gold pair 1 is 1; it should be two positions"),
    ({"gold": 1}, "found 1 row(s) of sentence1, sentence2, gold"),
])  # fmt: skip
def test_the_hubs_copy_of_bucc_is_read_from_lines_of_json_too(changes, message, tmp_path):
    put(tmp_path / "mteb/BUCC/de-en/test.jsonl", json.dumps({**PAIRED, **changes}))
    if message is None:
        assert load_examples(TASKS["bucc"], "test", "de", str(tmp_path))[0]["text"][:] == ["Ja.", "Und?", "Yes.", "What?"]
        return
    with pytest.raises(InputError) as refused:
        load_examples(TASKS["bucc"], "test", "de", str(tmp_path))
    assert message in str(refused.value)


# ---- columns of parquet


@pytest.mark.parametrize("column, shown", [
    (pyarrow.array([7]), "7"), (pyarrow.array([b"a"]), "b'a'"), (pyarrow.array([["a"]]), "['a']"),
    (pyarrow.array([{"a": "b"}]), "{'a': 'b'}"),
])  # fmt: skip
def test_a_column_of_numbers_bytes_lists_or_dicts_is_no_text(column, shown, tmp_path):
    file = tmp_path / "data/nyu-mll/glue/mnli/train-00000-of-00001.parquet"
    file.parent.mkdir(parents=True)
    pyarrow.parquet.write_table(pyarrow.table({"premise": column, "hypothesis": ["h"], "label": ["neutral"]}), file)
    for message in refusals("mnli", file, tmp_path):
        assert message.endswith(f", row 0: text_a {shown} is not text.")


def test_a_class_number_that_has_no_name_is_refused(tmp_path):
    file = put_parquet(tmp_path / "data/nyu-mll/glue/mnli/train-00000-of-00001.parquet", [{"premise": "p", "hypothesis": "h", "label": 2}],
                       {**NLI_COLUMNS, "label": ClassLabel(names=[*NLI, "more"])})  # fmt: skip
    table = pyarrow.parquet.read_table(file)
    wrong = table.set_column(2, "label", pyarrow.array([7]))
    pyarrow.parquet.write_table(wrong.replace_schema_metadata(table.schema.metadata), file)
    for message in refusals("mnli", file, tmp_path):
        assert "class number 7 is outside 0 to 3, which are " in message
    tagged = {"tokens": List(TEXT), "pos_tags": List(ClassLabel(names=["DET"]))}
    file = put_parquet(
        tmp_path / "data/google/xtreme/udpos.English/train-00000-of-00001.parquet", [{"tokens": ["a"], "pos_tags": [0]}], tagged
    )
    table = pyarrow.parquet.read_table(file)
    wrong = table.set_column(1, "pos_tags", pyarrow.array([[3]]))
    pyarrow.parquet.write_table(wrong.replace_schema_metadata(table.schema.metadata), file)
    for message in refusals("udpos", file, tmp_path):
        assert "class number 3 is outside 0 to 0, which are DET" in message


def test_bytes_that_are_no_text_in_a_column_of_text_are_refused(tmp_path):
    file = tmp_path / "data/nyu-mll/glue/mnli/train-00000-of-00001.parquet"
    file.parent.mkdir(parents=True)
    latin = pyarrow.StringArray.from_buffers(
        1, pyarrow.array([0, 4], pyarrow.int32()).buffers()[1], pyarrow.py_buffer("café".encode("latin-1"))
    )
    pyarrow.parquet.write_table(pyarrow.table({"premise": latin, "hypothesis": ["h"], "label": ["neutral"]}), file)
    for message in refusals("mnli", file, tmp_path):
        assert "nyu-mll/glue" in message and "codec can't decode" in message


@pytest.mark.parametrize("text", ["\\ud800", "a\\udfffb"])
def test_half_a_character_is_refused_by_row(text, tmp_path):
    rows = [f'{{"premise": "p{end}", "hypothesis": "h", "label": "neutral"}}' for end in ("é", text)]
    file = put(tmp_path / "data/nyu-mll/glue/mnli/train.jsonl", "\n".join(rows))
    for message in refusals("mnli", file, tmp_path):
        assert f"{file}, line 2: text_a holds " in message and "lone surrogate" in message
    asked = json.dumps({**ASKED, "context": "c x", "answers": {"text": ["x"], "answer_start": [2]}}).replace('"x"', f'"{text}"')
    file = put(tmp_path / "data/rajpurkar/squad/plain_text/train.jsonl", asked)
    for message in refusals("squad_v1", file, tmp_path):
        assert "answer holds " in message


# ---- paths that are no readable files


@pytest.mark.parametrize("end", ["csv", "tsv", "json", "jsonl"])
def test_latin_1_is_refused(end, tmp_path):
    row = '{"premise": "café", "hypothesis": "h", "label": "neutral"}'
    lines = {"csv": "premise,hypothesis,label\ncafé,h,neutral\n", "tsv": "premise\thypothesis\tlabel\ncafé\th\tneutral\n"}
    contents = {**lines, "json": f"[{row}]", "jsonl": row}
    file = put(tmp_path / f"data/nyu-mll/glue/mnli/train.{end}", contents[end].encode("latin-1"))
    for message in refusals("mnli", file, tmp_path):
        assert str(file) in message and "not UTF-8 text" in message


def dangling(path):
    path.symlink_to(path.parent / "gone")


@pytest.mark.parametrize("make, message", [
    (dangling, "is a link to "),
    (os.mkfifo, "is a pipe or a device, where a file should be"),
    (Path.mkdir, "is a folder, where a file should be"),
    (Path.touch, "is empty"),
    (lambda path: put(path, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n"), "is a Git LFS pointer"),
])  # fmt: skip
@pytest.mark.parametrize("end", ["parquet", "jsonl", "csv"])
def test_what_is_no_file_is_named_and_nothing_waits_for_it(make, message, end, tmp_path):
    file = tmp_path / f"data/nyu-mll/glue/mnli/train.{end}"
    file.parent.mkdir(parents=True)
    make(file)
    for text in refusals("mnli", file, tmp_path):
        assert f"{file} {message}" in text


def test_pipes_among_files_of_their_own_formats_are_named_too(tmp_path):
    for folder, name, task, language in (("bucc2018/de-en", "de-en.training.de", "bucc", "de"), ("LDC2005T13", "ccg.train", "ccg", "en")):
        (tmp_path / folder).mkdir(parents=True)
        os.mkfifo(tmp_path / folder / name)
        if task == "ccg":
            auto = tmp_path / folder / "AUTO/00/wsj_0001.auto"
            for section in range(19):
                put(tmp_path / folder / f"AUTO/{section:02}/wsj_0001.auto", "x")
            auto.unlink()
            os.mkfifo(auto)
        with pytest.raises(InputError, match="is a pipe or a device"):
            load_examples(TASKS[task], "test" if task == "bucc" else "train", language, str(tmp_path))
    assert RAW_FILES.holds("test", "de", str(tmp_path))


def test_a_parquet_file_without_rows_is_named(tmp_path):
    file = tmp_path / "data/nyu-mll/glue/mnli/train-00000-of-00002.parquet"
    file.parent.mkdir(parents=True)
    empty = {name: [] for name in NLI_COLUMNS}
    Dataset.from_dict(empty, features=Features(NLI_COLUMNS)).to_parquet(file)
    for message in refusals("mnli", file, tmp_path):
        assert message.endswith(f"{file} holds no rows.")
    row = {"premise": "p", "hypothesis": "h", "label": 1}
    put_parquet(file.with_name("train-00001-of-00002.parquet"), [row], NLI_COLUMNS)
    assert len(load_examples(TASKS["mnli"], "train", "en", str(tmp_path / "data"))[0]) == 1, "an empty part beside a filled one is none"


@pytest.mark.parametrize("end", ["parquet", "jsonl"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_a_file_that_was_cut_off_is_named(end, share, tmp_path):
    file = tmp_path / f"data/nyu-mll/glue/mnli/train.{end}"
    rows = [{"premise": f"p{i}", "hypothesis": "h", "label": i % 3} for i in range(500)]
    if end == "parquet":
        put_parquet(file, rows, NLI_COLUMNS)
    else:
        put(file, "\n".join(json.dumps({**row, "label": NLI[row["label"]]}) for row in rows))
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    for message in refusals("mnli", file, tmp_path):
        assert str(file) in message


def test_a_parquet_file_with_a_hole_in_the_middle_is_named(tmp_path):
    rows = [{"premise": f"p{i}", "hypothesis": "h", "label": i % 3} for i in range(5000)]
    file = put_parquet(tmp_path / "data/nyu-mll/glue/mnli/train.parquet", rows, NLI_COLUMNS)
    content = bytearray(file.read_bytes())
    content[len(content) // 4 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 4)
    file.write_bytes(content)
    for message in refusals("mnli", file, tmp_path):
        assert f"Cannot read {file}" in message


def test_what_the_library_logs_before_it_raises_is_not_said_twice():
    records, logger = [], logging.getLogger("datasets.packaged_modules.parquet.parquet")
    handler = logging.Handler()
    handler.emit = records.append
    logger.addHandler(handler)
    try:
        with pytest.raises(InputError, match="Cannot read a.parquet: no parquet"), readable("a.parquet"):
            logger.error("Failed to read file 'a.parquet'")
            raise pyarrow.ArrowInvalid("no parquet")
        assert not records
        logger.error("afterwards it is heard again")
        assert len(records) == 1
    finally:
        logger.removeHandler(handler)


# ---- the cache


@pytest.mark.parametrize("end", ["parquet", "jsonl", "csv"])
def test_a_file_that_took_another_ones_place_with_its_time_is_read_anew(end, tmp_path):
    file, labels, names = tmp_path / f"nyu-mll/glue/mnli/train.{end}", [], ClassLabel(names=["neutral", "entailment"])
    for label, blanks in ((0, "   "), (1, "")):  # Both files have the same size.
        row = {"premise": "p", "hypothesis": "h", "label": names.names[label]}
        if end == "parquet":
            put_parquet(file, [{**row, "label": label}], {**NLI_COLUMNS, "label": names})
        else:
            put(file, f"premise,hypothesis,label\n{blanks}p,h,{row['label']}\n" if end == "csv" else json.dumps(row) + blanks)
        os.utime(file, (1_700_000_000, 1_700_000_000))
        labels.append(load_examples(TASKS["mnli"], "train", "en", str(tmp_path))[0]["label"][0])
    assert labels == ["neutral", "entailment"]


@pytest.mark.parametrize("end", ["parquet", "jsonl"])
@pytest.mark.parametrize("torn", ["rows", "examples", "all"])
def test_a_cache_that_was_torn_by_a_power_cut_is_made_anew(end, torn, tmp_path):
    rows = [{"premise": f"p{i}", "hypothesis": "h", "label": i % 3} for i in range(50)]
    if end == "parquet":
        put_parquet(tmp_path / "nyu-mll/glue/mnli/train.parquet", rows, NLI_COLUMNS)
    else:
        put(tmp_path / "nyu-mll/glue/mnli/train.jsonl", "\n".join(json.dumps({**row, "label": NLI[row["label"]]}) for row in rows))
    whole = load_examples(TASKS["mnli"], "train", "en", str(tmp_path))[1]
    files = list((tmp_path / "cache").rglob("*.arrow"))
    assert len(files) == 2
    for file in files:
        if torn == "all" or file.name.startswith("cache-") == (torn == "examples"):
            old = file.rename(file.with_suffix(".old"))  # This process has mapped the file into memory.
            file.write_bytes(old.read_bytes()[: 100 if torn == "all" else old.stat().st_size // 2])
    assert load_examples(TASKS["mnli"], "train", "en", str(tmp_path))[1] == whole
    assert load_examples(TASKS["mnli"], "train", "en", str(tmp_path))[1] == whole


def test_a_torn_cache_is_made_anew_while_another_process_removes_a_folder_of_its_own(tmp_path, monkeypatch):
    """datasets renames and removes folders of the cache while it prepares data. A search through the cache ended by that."""
    torn, others, scandir, answers = put(tmp_path / "cache/a/of-the-key.arrow", "torn"), tmp_path / "cache/b.incomplete", os.scandir, []
    others.mkdir()

    def removed_meanwhile(path="."):
        if path == str(others) or path == others:
            others.rmdir()
        return scandir(path)

    def build():
        answers.append(torn.exists())
        if torn.exists():
            raise pyarrow.ArrowInvalid("torn")
        return "whole"

    monkeypatch.setattr(os, "scandir", removed_meanwhile)
    assert from_cache("the-key", build) == "whole" and answers == [True, False] and not others.exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("end", ["parquet", "jsonl"])
def test_a_full_disk_is_one_line_that_names_the_cache(code, end, tmp_path, monkeypatch):
    row = {"premise": "p", "hypothesis": "h", "label": 0}
    file = tmp_path / f"data/nyu-mll/glue/mnli/train.{end}"
    if end == "parquet":
        put_parquet(file, [row], NLI_COLUMNS)
    else:
        put(file, json.dumps({**row, "label": "neutral"}))
    whole = datasets.arrow_writer.ArrowWriter.finalize

    def full(*_, **__):
        raise OSError(code, os.strerror(code))

    def full_later(writer, *arguments, **options):  # The disk is full after the rows were written, while the examples are being written.
        return full() if "dropped" in (writer._features or {}) else whole(writer, *arguments, **options)

    for stub in (full, full_later):
        monkeypatch.setattr(datasets.arrow_writer.ArrowWriter, "finalize", stub)
        for message in refusals("mnli", file, tmp_path):
            assert "No space is left on the disk" in message and str(tmp_path / "cache") in message and "TMPDIR" in message


# ---- the hub


def test_a_full_disk_during_a_download_is_not_an_absent_source(monkeypatch):
    def full(*_, **__):
        raise datasets.exceptions.DatasetGenerationError("An error occurred") from OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("task_adapters.hub.load_dataset", full)
    with pytest.raises(InputError, match=r"No space is left on the disk for google/xquad \(xquad.de, validation\)"):
        load_examples(TASKS["xquad"], "test", "de")


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def download(cache, hub_id, name, content):
    """Writes a file as in the hub's cache: the content under its key, and the name as a link to it."""
    folder = cache / f"datasets--{hub_id.replace('/', '--')}"
    blob = put(folder / "blobs" / name.replace("/", "_"), content)
    link = folder / "snapshots/abc" / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(blob)
    return link, blob


def test_a_damaged_download_is_named_and_not_kept(hub_cache, tmp_path, monkeypatch):
    whole = put_parquet(tmp_path / "a.parquet", [{"premise": "p", "hypothesis": "h", "label": 0}], NLI_COLUMNS).read_bytes()
    good = download(hub_cache, "facebook/xnli", "sw/test-00000-of-00001.parquet", whole)
    bad = download(hub_cache, "facebook/xnli", "de/test-00000-of-00001.parquet", whole[: len(whole) // 2])

    def broken(*_, **__):
        raise datasets.exceptions.DatasetGenerationError("An error occurred") from pyarrow.ArrowInvalid("Parquet magic bytes not found")

    monkeypatch.setattr("task_adapters.hub.load_dataset", broken)
    with pytest.raises(InputError) as refused:
        load_examples(TASKS["xnli"], "test", "de")
    assert str(refused.value).startswith(
        "de/test-00000-of-00001.parquet of facebook/xnli was damaged when it was downloaded (Parquet magic"
    )
    assert "has been removed from the cache: run the same command again" in str(refused.value) and "\n" not in str(refused.value)
    assert not any(path.is_symlink() or path.exists() for path in bad) and all(path.exists() for path in good)
    assert remove_damaged_downloads("facebook/xnli") == []
    with pytest.raises(InputError, match="Cannot load split 'test' of facebook/xnli"):  # nothing damaged is left: it is absent
        load_examples(TASKS["xnli"], "test", "de")


def test_what_was_prepared_of_a_hub_dataset_and_torn_is_prepared_again(monkeypatch):
    whole = Dataset.from_list([{"premise": "p", "hypothesis": "h", "label": "neutral"}])

    def torn(*_, download_mode=None, **__):
        if download_mode != "reuse_cache_if_exists":
            raise pyarrow.ArrowInvalid("Expected to read 992 metadata bytes, but only read 3")
        return whole

    monkeypatch.setattr("task_adapters.hub.load_dataset", torn)
    assert load_examples(TASKS["xnli"], "test", "de")[0]["label"][:] == ["neutral"]


@pytest.fixture
def closing_hub(monkeypatch):
    """A hub that accepts each connection and closes it without an answer."""
    server = socket.create_server(("127.0.0.1", 0))

    def close():
        while True:
            try:
                connection, _ = server.accept()
                connection.recv(65536)
                connection.close()
            except OSError:
                return

    threading.Thread(target=close, daemon=True).start()
    url = f"http://127.0.0.1:{server.getsockname()[1]}"
    for name in ("huggingface_hub.constants.ENDPOINT", "datasets.config.HF_ENDPOINT"):
        monkeypatch.setattr(name, url)
    for name in ("huggingface_hub.constants.HF_HUB_OFFLINE", "datasets.config.HF_HUB_OFFLINE"):
        monkeypatch.setattr(name, False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}", raising=False)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}", raising=False
    )
    yield url
    server.close()


@pytest.mark.parametrize("task", ["xquad", "hellaswag"])
def test_a_hub_that_closes_the_connection_is_one_line(task, closing_hub, hub_cache):
    split, language = ("test", "de") if task == "xquad" else ("train", "en")
    with pytest.raises(InputError, match="Cannot load split .* Server disconnected") as refused:
        load_examples(TASKS[task], split, language)
    assert "\n" not in str(refused.value)


def test_what_is_cached_of_a_branch_serves_where_the_hub_closes_the_connection(closing_hub, hub_cache, tmp_path):
    features = {"ctx_a": TEXT, "ctx_b": TEXT, "endings": List(TEXT), "label": TEXT}
    row = {"ctx_a": "A", "ctx_b": "b", "endings": ["w", "x", "y", "z"], "label": "2"}
    whole = put_parquet(tmp_path / "a.parquet", [row], features).read_bytes()
    download(hub_cache, "Rowan/hellaswag", "default/train/0000.parquet", whole)
    put(hub_cache / "datasets--Rowan--hellaswag/refs/refs/convert/parquet", "abc")
    examples, provenance = load_examples(TASKS["hellaswag"], "train")
    assert examples["label"][:] == [2] and provenance["revision"] == "abc" and len(provenance["passed_over"]) == 1


def test_the_reference_data_are_read_as_before():
    if not (SHARED / "real/datasets").is_dir():
        pytest.skip("needs ../shared/real/datasets, which is not here")
    for task, split, language, count in (("xnli", "test", "sw", 5_010), ("xquad", "test", "de", 284), ("tatoeba", "test", "sw", 390)):
        examples, provenance = load_examples(TASKS[task], split, language, str(SHARED / "real/datasets"))
        assert len(examples) == count == provenance["rows"]
