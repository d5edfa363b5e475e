"""The benchmarks' and the samples' command lines: what makes no sense ends in one line before any work, and the hours count the grid."""

import importlib

import pytest

from samples import write_data
from task_adapters import TASKS, InputError


@pytest.mark.parametrize("name, flags, said", [
    ("benchmarks.throughput", "--tasks foo", "invalid choice: 'foo'"),
    ("benchmarks.throughput", "--tasks", "--tasks: expected at least one argument"),
    ("benchmarks.throughput", "--examples 0", "--examples: 0: at least 1"),
    ("benchmarks.throughput", "--examples x", "--examples: invalid number value: 'x'"),
    ("benchmarks.throughput", "--steps -1", "--steps: -1: at least 0"),
    ("benchmarks.throughput", "--width 100", "--width 100: up to 64, or a multiple of 64"),
    ("benchmarks.memory", "--devices 0", "--devices: 0: at least 1"),
    ("benchmarks.memory", "--gb nan", "--gb: nan: a number above 0"),
    ("benchmarks.memory", "--batch 8 0", "--batch: 0: at least 1"),
    ("benchmarks.mining", "--pairs 20 --count 10", "--pairs 20: of --count 10 vectors no more can be translations"),
    ("benchmarks.mining", "--repeats 0", "--repeats: 0: at least 1"),
    ("benchmarks.mining", "--sentences 4", "--sentences 4: 0, or at least 8"),
    ("benchmarks.mining", "--noise nan", "--noise nan: a length"),
    ("benchmarks.retrieval", "--hidden_size 10", "--hidden_size: 10: at least 64"),
    ("benchmarks.retrieval", "--hidden_size 100", "--hidden_size 100: a multiple of 64"),
    ("benchmarks.retrieval", "--layers 2", "--layer 14 of a model of 2"),
    ("benchmarks.retrieval", "--pad_to 513", "--pad_to 513: the model has 512 positions"),
    ("benchmarks.preparation", "--slices 0", "--slices: 0: at least 1"),
    ("benchmarks.paper_hours", "--tokens_per_second nan", "--tokens_per_second: nan: a number above 0"),
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
    monkeypatch.setattr(write_data, "write_all", None)  # no test may overwrite samples/data
    with pytest.raises(SystemExit, match="2"):
        call(importlib.import_module(name), *flags.split())
    assert said in capsys.readouterr().err.splitlines()[-1] and not list(tmp_path.iterdir())


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


def test_the_papers_hours_count_eleven_starts_and_nine_tasks_together(call, tiny_model, data_dir, capsys):
    paper_hours = importlib.import_module("benchmarks.paper_hours")
    call(paper_hours, "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--tokens_per_second", "1000")
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line.replace("~", "").split()[1:] for line in lines[1 : lines.index("")]}

    def number(text):
        return float(text.replace(",", ""))

    alone = {name: number(row[4]) for name, row in rows.items() if name != "all"}
    of_all, tokens_of_all = map(number, rows["all"][:2])
    sizes = {name: number(rows[name][0]) for name, task in TASKS.items() if task.phase == "intermediate"}
    assert len(sizes) == 9 and of_all == sum(min(size, 131_072) for size in sizes.values()) == 724_057
    assert tokens_of_all == pytest.approx(sum(alone[name] * min(1, 131_072 / size) for name, size in sizes.items()), abs=0.5)
    assert 0 < tokens_of_all < sum(alone[name] for name in sizes)
    targets = sum(alone[name] for name, task in TASKS.items() if task.phase == "target")
    total = (sum(alone[name] for name in sizes) + tokens_of_all + 11 * targets) / 1000
    (line,) = (line for line in lines if line.startswith("the grid:"))
    assert "10 intermediate trainings" in line and "11 starts x 7 targets" in line
    assert float(line.split("Tatoeba: ")[1].split()[0]) == pytest.approx(total, abs=0.02)
    hours = {line.split()[0]: float(line.split()[1]) for line in lines if line.endswith("h a cell")}
    assert hours["all"] == pytest.approx(tokens_of_all * 1e6 / 1000 / 3600, rel=0.01)
