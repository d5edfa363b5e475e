"""The command lines of benchmarks and samples: wrong values are refused in one line before any work, and the hours fit the grid."""

import importlib
import math
import os
import runpy
import subprocess

import datasets
import pytest
import torch
from conftest import ROOT, write_hub_folder

from samples import write_data
from task_adapters import PAPERS_TASKS, TASKS, InputError, load_examples
from task_types import make_features
from trainer.tokenizers import load_tokenizer

PAPERS = {name: TASKS[name] for name in PAPERS_TASKS}


@pytest.mark.parametrize("name, flags, said", [
    ("benchmarks.throughput", "--tasks foo", "invalid choice: 'foo'"),
    ("benchmarks.throughput", "--tasks", "--tasks: expected at least one argument"),
    ("benchmarks.throughput", "--examples 0", "--examples: 0: at least 1"),
    ("benchmarks.throughput", "--examples x", "--examples: x: a whole number, at least 1"),
    ("benchmarks.throughput", "--steps -1", "--steps: -1: at least 0"),
    ("benchmarks.throughput", "--width 100", "--width 100: up to 64, or a multiple of 64"),
    ("benchmarks.at_once", "--runs 1 0", "--runs: 0: at least 1"),
    ("benchmarks.at_once", "--max_steps 1", "--max_steps: 1: at least 2"),
    ("benchmarks.lora", "--lora_rank 0", "--lora_rank: 0: at least 1"),
    ("benchmarks.memory", "--devices 0", "--devices: 0: at least 1"),
    ("benchmarks.memory", "--gb nan", "--gb: nan: a number above 0"),
    ("benchmarks.memory", "--gb 8GB", "--gb: 8GB: a number above 0, such as 8"),
    ("benchmarks.memory", "--batch 8 0", "--batch: 0: at least 1"),
    ("benchmarks.memory", "--gb 8 --max_seq_length 3", "--max_seq_length: 3: at least 8"),
    *(("benchmarks.memory", f"--gb 8 {flag}", f"{flag.split()[0]} has no effect with --gb: it is for the table")
      for flag in ("--batch 1 8 32", "--devices 1", "--cap 8")),
    ("benchmarks.memory", "--gb 8 --length 128", "--length has no effect with --gb: it is for --cards and the table"),
    ("benchmarks.memory", "--gb 8 --cards", "--gb has no effect with --cards"),
    ("benchmarks.memory", "--gb 8 --check", "--gb has no effect with --check"),
    ("benchmarks.memory", "--check --shape small", "--shape has no effect with --check"),
    ("benchmarks.memory", "--cards --task xnli", "--task has no effect with --cards: it is for --gb"),
    ("benchmarks.memory", "--freeze_embeddings", "--freeze_embeddings has no effect in the table: it is for --cards and --gb"),
    ("benchmarks.memory", "--cap 8 --estimate", "--cap 8: nothing is measured"),
    ("benchmarks.memory", "--gb 8 --shape small", "--shape small: no published model has it"),
    ("benchmarks.mining", "--pairs 20 --count 10", "--pairs 20: of --count 10 vectors no more can be translations"),
    ("benchmarks.mining", "--repeats 0", "--repeats: 0: at least 1"),
    ("benchmarks.mining", "--sentences 4", "--sentences 4: 0, or at least 8"),
    ("benchmarks.mining", "--noise nan", "--noise nan: a length"),
    ("benchmarks.retrieval", "--hidden_size 10", "--hidden_size: 10: at least 64"),
    ("benchmarks.retrieval", "--hidden_size 100", "--hidden_size 100: a multiple of 64"),
    ("benchmarks.retrieval", "--layers 2", "--layer 14 of a model of 2"),
    ("benchmarks.retrieval", "--pad_to 513", "--pad_to 513: the model has 512 positions"),
    ("benchmarks.retrieval", "--tolerance nan", "--tolerance nan: 0 or more"),
    ("benchmarks.memory", "--length 128 513", "--length 513: the model has 512 positions"),
    ("benchmarks.memory", "--gb 8 --max_seq_length 513", "--max_seq_length 513: the model has 512 positions"),
    ("benchmarks.preparation", "--slices 0", "--slices: 0: at least 1"),
    ("benchmarks.preparation", "--slices 3 --rows 2", "--slices 3: of --rows 2 some would be empty"),
    *((f"benchmarks.{name}", "--data_dir no/such", "--data_dir: no/such: no such folder")
      for name in ("at_once", "lora", "preparation", "retrieval", "paper_hours", "throughput", "precision")),
    *((f"benchmarks.{name}", "--json no/such.json", "--json: no/such.json: a file in a folder that is there")
      for name in ("preparation", "retrieval", "mining", "throughput")),
    ("benchmarks.paper_hours", "--tokens_per_second nan", "--tokens_per_second: nan: a number above 0"),
    ("benchmarks.paper_hours", "--tflops 1 --tokens_per_second 1", "--tflops stands in the place of --tokens_per_second"),
    ("benchmarks.paper_hours", "--scoring_tokens_per_second 5", "--scoring_tokens_per_second goes with --tokens_per_second"),
    ("benchmarks.paper_hours", "--seconds_per_step 0.1", "--seconds_per_step goes with --tokens_per_second or --tflops"),
    ("benchmarks.paper_hours", "--tflops 1 --seconds_per_step 0", "--seconds_per_step: 0: a number above 0"),
    ("benchmarks.paper_hours", "--scoring_tokens_per_second 0", "--scoring_tokens_per_second: 0: a number above 0"),
    ("samples.write_data", f"--output_dir {__file__}", "test_benchmarks.py is a file, no folder"),
    ("samples.write_data", f"--output_dir {__file__}/a/b", "test_benchmarks.py is a file, no folder"),
    ("samples.grid", f"--output_dir {__file__}", "test_benchmarks.py is a file, no folder"),
    ("samples.demo", f"--output_dir {__file__}", "test_benchmarks.py is a file, no folder"),
    ("samples.pretrain", f"--output_dir {__file__}", "test_benchmarks.py is a file, no folder"),
    *(("samples.write_data", f"--scale {scale}", f"--scale: {scale}: a number above 0") for scale in ("nan", "0", "-1", "inf")),
])  # fmt: skip
def test_senseless_flags_are_refused_in_one_line(name, flags, said, call, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(write_data, "write_all", None)  # No test may overwrite samples/data.
    with pytest.raises(SystemExit, match="2"):
        call(importlib.import_module(name), *flags.split())
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name, flags, said", [
    ("preparation", "--data_dir {empty} --model_name_or_path {model}", "glue does not exist: --data_dir must hold a folder"),
    ("preparation", "--data_dir {data} --model_name_or_path {empty} --rows 60", "{empty} holds no model (no config.json)."),
    ("preparation", "--data_dir {data} --model_name_or_path {bert} --rows 60", "has a WordPiece tokenizer: only Unigram, as XLM-R's"),
    ("retrieval", "--data_dir {empty} --model_name_or_path {model}", "no language of Tatoeba is here. Give --data_dir, or a hub."),
    ("retrieval", "--data_dir {data} --model_name_or_path {model} --languages sw", "holds no split 'validation' of configuration"),
    ("retrieval", "--data_dir {data} --model_name_or_path {model} --languages xx", "tatoeba has no 'xx' data"),
    ("retrieval", "--data_dir {data} --model_name_or_path no/such", "Cannot load a model from 'no/such'"),
    ("paper_hours", "--data_dir {data} --model_name_or_path no/such", "Cannot load a model from 'no/such'"),
    ("throughput", "--data_dir {empty} --tokenizer {model}", "no data of mnli, udpos, squad_v1, hellaswag, tatoeba are there."),
    ("throughput", "--data_dir {data} --tokenizer {empty}", "{empty} holds no model (no config.json)."),
    ("throughput", "--without jiantt", "--without jiantt: can be left out: padded to the longest, unsorted; ours, padded"),
    ("throughput", "--without example", "--without example: can be left out: padded to the longest, unsorted; ours, padded"),
    ("precision", "--data_dir {empty} --model_name_or_path {model}", "no language of tatoeba is in {empty}."),
    ("attention", "", "this compares kernels of a GPU, and none is here."),
    ("memory", "--gb 8 --task xnlu", "Unknown task 'xnlu'. Did you mean 'xnli'?"),
    ("memory", "--gb 8 --task mnlu", "Unknown task 'mnlu'. Did you mean 'mnli'?"),
    ("memory", "--gb 8 --task tatoeba", "tatoeba is scored without training. Trained are: anli"),
    ("memory", "--gb 1 --estimate", "Nothing fits 1 GB"),
])  # fmt: skip
def test_what_is_not_there_is_one_line_and_exit_code_2(name, flags, said, tiny_model, data_dir, tmp_path, monkeypatch, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    if "{bert}" in flags:
        from transformers import BertConfig, BertTokenizerFast

        (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"]))
        BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path / "bert")
        BertConfig(vocab_size=6).save_pretrained(tmp_path / "bert")
    places = {"empty": empty, "model": tiny_model, "data": data_dir, "bert": tmp_path / "bert"}
    monkeypatch.setenv("HF_DATASETS_CACHE", os.environ.get("HF_DATASETS_CACHE", ""))  # preparation.py changes this variable.
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", datasets.config.HF_DATASETS_CACHE)
    monkeypatch.setattr("sys.argv", [f"{name}.py", *flags.format(**places).split()])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(str(ROOT / "benchmarks" / f"{name}.py"), run_name="__main__")
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"{name}.py: error: ") and said.format(**places) in last


def test_only_a_file_that_was_surely_written_last_is_cut_in_half(tmp_path):
    kills = runpy.run_path(str(ROOT / "benchmarks/kills.py"))
    for name, time in (("predictions/a.tsv", 2), ("predictions/b.tsv", 2), ("progress.json", 1), ("run.lock", 3)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("four")
        os.utime(tmp_path / name, (time, time))
    assert kills["cut_newest_file"](tmp_path) == "predictions/b.tsv" and (tmp_path / "predictions/b.tsv").read_text() == "fo"
    for name in ("predictions/a.tsv", "predictions/b.tsv", "progress.json"):
        os.utime(tmp_path / name, (4, 4))
    assert kills["cut_newest_file"](tmp_path) == "nothing" and (tmp_path / "progress.json").read_text() == "four"


def test_an_output_folder_may_be_there_or_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in (".", str(tmp_path), "a/b/c", f"{tmp_path}/a"):
        assert write_data.output_folder(text) == text


def test_shares_of_tasks_that_are_not_there_are_no_empty_table(call, tiny_model, data_dir, capsys):
    throughput = importlib.import_module("benchmarks.throughput")
    with pytest.raises(InputError, match="no data of cosmosqa, panx are there"):
        call(throughput, "--tasks", "cosmosqa", "panx", "--steps", "0", "--tokenizer", tiny_model, "--data_dir", data_dir)
    call(throughput, "--tasks", "mnli", "panx", "--steps", "0", "--tokenizer", tiny_model, "--data_dir", data_dir)
    assert "| mnli | classification |" in capsys.readouterr().out


def number(text):
    return float(text.replace(",", ""))


def test_the_papers_hours_cap_features_as_training_does(call, tiny_model, data_dir, tmp_path, capsys):
    rows = [{"id": str(i), "title": "t", "context": "the dog sees a cat . " * 60 + "7", "question": "number ?",
             "answers": {"text": ["7"], "answer_start": [1260]}} for i in range(4)]  # fmt: skip
    write_hub_folder(tmp_path, "rajpurkar/squad", "plain_text", "train", rows, None)
    paper_hours = importlib.import_module("benchmarks.paper_hours")
    call(paper_hours, "--model_name_or_path", tiny_model, "--data_dir", tmp_path)
    table = {line.split()[0]: line.replace("~", "").split()[1:] for line in capsys.readouterr().out.splitlines() if line}
    recipe = TASKS["squad_v1"].recipes["jiant"]
    examples, _ = load_examples(TASKS["squad_v1"], "train", "en", str(tmp_path))
    features = make_features(examples, load_tokenizer(tiny_model, True), TASKS["squad_v1"], recipe.max_seq_length, recipe.doc_stride)
    windows, tokens = len(features) / 4, sum(map(len, features["input_ids"][:])) / 4
    assert windows > 1.5 and table["squad_v1"][3:5] == [f"{tokens:.1f}", f"{windows:.3f}"]
    assert 87_599 * windows > 131_072, "both are capped, though not by their rows"
    of_feature = [number(table[name][3]) / number(table[name][4]) for name in ("squad_v1", "squad_v2")]  # squad_v2: mean of its type
    unknown = {name: task for name, task in PAPERS.items() if task.phase == "intermediate" and task.task_type != "span_qa"}
    steps = sum(3 * math.ceil(min(number(table[name][0]), 131_072) / 32) for name in unknown) + 2 * 3 * 131_072 // 32
    assert number(table["all"][0]) == steps
    assert number(table["all"][-2]) == pytest.approx(3 * 131_072 * sum(of_feature) / 1e6, rel=0.001)


def test_the_papers_hours_count_eleven_starts_and_nine_tasks_together(call, tiny_model, data_dir, capsys):
    paper_hours = importlib.import_module("benchmarks.paper_hours")
    call(paper_hours, "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--tokens_per_second", "1000")
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line.replace("~", "").split()[1:] for line in lines[1 : lines.index("")]}
    alone = {name: number(row[5]) for name, row in rows.items() if name != "all"}
    sizes = {name: number(rows[name][0]) for name, task in PAPERS.items() if task.phase == "intermediate"}
    capped = sum(min(size, 131_072) for size in sizes.values())
    assert len(sizes) == 9 and capped == 724_057 and {rows[name][4] for name in sizes} == {"1.000"}
    tokens_of_all = number(rows["all"][-2])
    assert number(rows["all"][0]) == sum(3 * math.ceil(min(size, 131_072) / 32) for size in sizes.values())
    assert tokens_of_all == pytest.approx(sum(alone[name] * min(1, 131_072 / size) for name, size in sizes.items()), abs=0.5)
    assert 0 < tokens_of_all < sum(alone[name] for name in sizes)
    targets = sum(alone[name] for name, task in PAPERS.items() if task.phase == "target")
    total = (sum(alone[name] for name in sizes) + tokens_of_all + 11 * targets) / 1000
    (line,) = (line for line in lines if line.startswith("the grid:"))
    assert "10 intermediate trainings" in line and "11 starts x 7 targets" in line
    assert float(line.split("Tatoeba: ")[1].split()[0]) == pytest.approx(total, abs=0.02)
    hours = {line.split()[0]: float(line.split()[1]) for line in lines if line.endswith("h a cell")}
    assert hours["all"] == pytest.approx(tokens_of_all * 1e6 / 1000 / 3600, rel=0.01)


def test_no_step_of_the_papers_hours_is_quicker_than_its_launch(call, tiny_model, data_dir, capsys):
    paper_hours = importlib.import_module("benchmarks.paper_hours")
    flags = "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--tokens_per_second", "1000"
    call(paper_hours, *flags)
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line.replace("~", "").split()[1:] for line in lines[1 : lines.index("")]}
    steps = {"all": number(rows.pop("all")[0]), "tatoeba": 0}
    seconds = {"all": next(float(line.split()[1]) for line in lines if line.startswith("all ") and "h a cell" in line) * 3600}
    for name, row in rows.items():
        seconds[name] = number(row[5]) * 1e3
        if name != "tatoeba":
            recipe = TASKS[name].recipes["jiant"]
            size = round(number(row[0]) * number(row[4]))
            steps[name] = math.ceil(size / recipe.effective_batch_size) * recipe.num_train_epochs
    each = sorted(seconds[name] / steps[name] for name in steps if steps[name])
    fewer, more = max(zip(each, each[1:]), key=lambda pair: pair[1] - pair[0])
    step = (fewer + more) / 2  # The value lies between two tasks and far from both, because the table is rounded.
    call(paper_hours, *flags, "--seconds_per_step", step)
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if "h a cell" in line or line.startswith("the grid  ")]
    assert len(lines) == len(seconds) + 1
    hours = {}
    for name, told, _, _, _, *bound in lines[:-1]:
        hours[name] = max(seconds[name], steps[name] * step) / 3600 + (number(rows[name][6]) * 1e6 / 3000 / 3600 if name in rows else 0)
        assert float(told) == pytest.approx(hours[name], rel=0.01, abs=0.02), name
        by = "steps" if steps[name] * step > seconds[name] else "tokens"
        assert (name, bound[-1:]) == (name, [by] if steps[name] else [])
    assert {line[-1] for line in lines[:-1]} == {"steps", "tokens", "cell"}
    trained = sum(hours[name] for name in hours if name == "all" or TASKS[name].phase == "intermediate")
    after = sum(hours[name] for name in hours if name != "all" and TASKS[name].phase != "intermediate")
    assert float(lines[-1][2]) == pytest.approx(trained + 11 * after, rel=0.01)


def test_hours_by_sustained_tflops_are_an_estimate(call, tiny_model, data_dir, capsys):
    paper_hours = importlib.import_module("benchmarks.paper_hours")
    call(paper_hours, "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--tflops", "400")
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("ESTIMATE"))
    speed = number(line.split(" are ")[1].split()[0])
    weights = 24 * 12 * 1024**2 + 1024**2  # The matrix products of the blocks and of the head.
    assert speed == pytest.approx(400e12 / (6 * weights), rel=0.03) and speed < 400e12 / (6 * weights)
    call(paper_hours, "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--tokens_per_second", speed)
    measured = capsys.readouterr().out.splitlines()
    call(paper_hours, "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--tflops", "400")
    assert capsys.readouterr().out.splitlines()[-1] == measured[-1]


def test_precisions_are_held_against_fp32(call, tiny_model, data_dir, capsys):
    precision = importlib.import_module("benchmarks.precision")
    assert precision.rounded(torch.tensor([1 + 2**-10, 1 + 2**-12, -3.0])).tolist() == [1 + 2**-10, 1.0, -3.0]
    call(precision, "--data_dir", data_dir, "--model_name_or_path", tiny_model, "--layer", "1", "--tasks", "tatoeba")
    rows = [
        line.split()
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("tatoeba ") and line.split()[2] in "fp32 tf32 bf16 fp16"
    ]
    assert [row[2] for row in rows] == ["fp32", "tf32", "bf16", "fp16"] and rows[0][4] == "0" and {row[5] for row in rows} == {"50"}


@pytest.mark.parametrize("flag, code", [("--help", 0), ("--data", 2), ("", 2)])
def test_the_script_for_a_gpu_measures_nothing_without_a_folder_of_data(flag, code, tmp_path):
    process = subprocess.run(
        ["bash", ROOT / "benchmarks" / "on_a_gpu.sh", flag, tmp_path / "out"],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": "/bin:/usr/bin"},
    )
    assert process.returncode == code and not (tmp_path / "out").exists()
    assert process.stdout.startswith("Runs all measurements") if code == 0 else len(process.stderr.splitlines()) == 1
