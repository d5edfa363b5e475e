"""--task_file: a task in one file outside the tree. The page that shows one is run as it is printed."""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT, UPOS, tag_rows

import predictions
import run_intermediate
import run_report
import run_retrieval
import run_target
from task_adapters import BUILT_IN, TASKS, InputError, add_task_file, load_examples
from task_adapters.__main__ import main as check
from task_adapters.task_file import _check

PAGE = ROOT / "docs" / "your_task.md"
SCRIPTS = {"run_intermediate.py": run_intermediate, "run_target.py": run_target, "run_retrieval.py": run_retrieval}
PLAIN = '''"""A task."""
from metrics import accuracy
from task_adapters import Recipe, Source, Task

def to_example(row):
    return {"text_a": row["text"], "text_b": "", "label": row["label"]}

TASK = Task(
    name="plain", phase="target", task_type="classification", sentences=1, to_example=to_example, labels=("no", "yes"), metric=accuracy,
    dev_metric="accuracy", languages=("en", "ig"), recipes={"mine": Recipe(eval_steps=5)},
    sources=(Source("plain", config="{language}", splits={"train": "train", "dev": "dev", "test": "test"}),),
)
'''


@pytest.fixture(autouse=True)
def only_built_in_tasks():
    """What a test adds is gone after it: TASKS is one dict for the whole process."""
    yield
    for name in TASKS.keys() - BUILT_IN.keys():
        del TASKS[name]


def put(folder, text, name="my_task.py"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def put_rows(folder, languages=("en", "ig"), count=40):
    for language in languages:
        for split in ("train", "dev", "test"):
            path = folder / "plain" / language / f"{split}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = [{"text": f"{word} dog {i}", "label": word} for i in range(count // 2) for word in ("no", "yes")]
            path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder


# ---- the page


def blocks_of(page, kind):
    return re.findall(rf"```{kind}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.S)


def test_the_page_runs_as_it_is_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    task_file, make_reviews = blocks_of(PAGE, "python")[:2]
    put(tmp_path, task_file)
    put(tmp_path, make_reviews, "make_reviews.py")
    printed = blocks_of(PAGE, "text")
    for line in blocks_of(PAGE, "bash")[0].splitlines():
        words = shlex.split(line)[1:]
        if words[0] == "make_reviews.py":
            subprocess.run([sys.executable, *words], check=True)
        elif words[0] == "-m":
            assert check(words[2:]) == 0
        elif words[0] in SCRIPTS:
            monkeypatch.setattr(sys, "argv", [*words, "--use_cpu", "--disable_tqdm", "true"])
            SCRIPTS[words[0]].main()
        else:
            assert {"predictions.py": predictions, "run_report.py": run_report}[words[0]].main(words[1:]) in (0, None)
    out = capsys.readouterr().out
    results = json.loads(Path("out/reviews/results.json").read_text())
    assert results["task"] == "reviews" and results["recipe"] == "small" and re.fullmatch("sha256 [0-9a-f]{64}", results["task_file"])
    assert results["dev"]["accuracy"] > 90 and results["scores"].keys() == {"en", "ig", "sw"} and results["mean"] is not None
    assert f"reviews  score   {results['mean']['accuracy']:.2f}" in out and "overall" not in out
    assert "reviews" in Path("out/reviews_report/report.md").read_text() and "Nothing is missing." in out
    for text in printed:  # scores are rounded by the machine; words, splits and counts are not
        for line in text.splitlines():
            start = re.split(r"\s+\d+\.\d\d|\s{2,}\d+\.\d", line)[0]
            assert start in out, line


# ---- what a file may hold


def test_a_recipe_need_not_be_called_jiant(tmp_path, call, tiny_model):
    file, data = put(tmp_path, PLAIN), put_rows(tmp_path / "data")
    flags = ["--task_file", file, "--data_dir", data, "--model_name_or_path", tiny_model, "--use_cpu", "--disable_tqdm", "true"]
    flags += ["--max_steps", "4", "--collapse", "off", "--max_seq_length", "32"]
    results = call(run_target, *flags, "--output_dir", tmp_path / "out")
    assert results["recipe"] == "mine" and results["eval_steps"] == 5
    with pytest.raises(InputError, match="Unknown recipe 'jiant' for plain"):
        call(run_target, *flags, "--output_dir", tmp_path / "other", "--recipe", "jiant")
    assert call(run_target, *flags, "--output_dir", tmp_path / "out", "--task", "plain") == results, "--task may name it too"


def test_a_run_goes_on_only_with_a_task_file_of_the_same_content(tmp_path, call, tiny_model):
    file, data = put(tmp_path, PLAIN), put_rows(tmp_path / "data")
    flags = ["--task_file", file, "--data_dir", data, "--model_name_or_path", tiny_model, "--use_cpu", "--disable_tqdm", "true"]
    flags += ["--max_steps", "2", "--collapse", "off", "--max_seq_length", "32", "--output_dir", tmp_path / "out"]
    results = call(run_target, *flags)
    assert json.loads((tmp_path / "out/run.json").read_text())["task_file"] == results["task_file"]
    (tmp_path / "elsewhere").mkdir()
    moved = put(tmp_path / "elsewhere", PLAIN, "renamed.py")
    assert call(run_target, *["--task_file", moved, *flags[2:]]) == results, "the content counts, not the path"
    put(tmp_path, PLAIN.replace('row["text"]', 'row["text"].upper()'))
    with pytest.raises(InputError, match="holds a run that began when --task_file said something else. Choose another --output_dir"):
        call(run_target, *flags)


def test_a_changed_to_example_is_not_served_from_the_cache(tmp_path):
    data = put_rows(tmp_path / "data")
    for text, wanted in ((PLAIN, "no dog 0"), (PLAIN.replace('row["text"]', 'row["text"].upper()'), "NO DOG 0")):
        examples, _ = load_examples(add_task_file(put(tmp_path, text)), "test", "ig", str(data))
        assert examples[0]["text_a"] == wanted


def test_an_intermediate_task_of_ones_own_is_trained_beside_another(tmp_path, monkeypatch):
    from arguments import find_tasks

    file = put(tmp_path, PLAIN.replace('"target"', '"intermediate"').replace('"mine": Recipe(eval_steps=5)', '"jiant": Recipe()'))
    tasks = find_tasks({"task": ["plain", "mnli"], "task_file": file}, "intermediate")
    assert [task.name for task in tasks] == ["mnli", "plain"]


def test_a_tagging_task_and_a_retrieval_task_of_ones_own(tmp_path, call, tiny_model):
    text = PLAIN.replace("classification", "tagging").replace(", sentences=1", "").replace("accuracy", "tag_run_f1", 2)
    text = text.replace('"accuracy"', '"f1"').replace('("no", "yes")', str(tuple(UPOS)))
    text = text.replace('{"text_a": row["text"], "text_b": "", "label": row["label"]}', '{"words": row["tokens"], "tags": row["tags"]}')
    import random

    for split in ("train", "dev", "test"):
        path = tmp_path / "data/plain/en" / f"{split}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [{"tokens": row["tokens"], "tags": [UPOS[tag] for tag in row["pos_tags"]]} for row in tag_rows(random.Random(0), "en", 30)]
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    flags = ["--model_name_or_path", tiny_model, "--data_dir", tmp_path / "data", "--languages", "en", "--use_cpu"]
    train = ["--max_steps", "2", "--collapse", "off", "--max_seq_length", "64", "--disable_tqdm", "true"]
    results = call(run_target, "--task_file", put(tmp_path, text), *flags, *train, "--output_dir", tmp_path / "out")
    assert results["scores"].keys() == {"en"} and (tmp_path / "out/predictions/plain/test-en.tsv").exists()

    text = PLAIN.replace("classification", "retrieval").replace(", sentences=1", "").replace('"target"', '"retrieval"')
    text = text.replace('labels=("no", "yes"), ', "").replace("Recipe", "RetrievalRecipe").replace("eval_steps=5", "layer=2")
    text = text.replace('{"text_a": row["text"], "text_b": "", "label": row["label"]}', '{"source": row["a"], "target": row["b"]}')
    pairs = [{"a": f"{word} Hund", "b": f"{word} dog"} for word in "eins zwei drei".split()]
    (tmp_path / "data/plain/en/test.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    results = call(run_retrieval, "--task_file", put(tmp_path, text), *flags, "--output_dir", tmp_path / "pairs")
    assert results["layer"] == 2 and results["task_file"].startswith("sha256 ") and results["scores"]["en"]["examples"] == 3


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_task_of_the_collection_would_do_as_a_task_file(name):
    _check(BUILT_IN[name], "", {other: task for other, task in BUILT_IN.items() if other != name})


# ---- what it may not hold: one line that names the file and the cause


BAD = {
    "raises": (PLAIN.replace("TASK =", "nonsense\nTASK ="), "line 8: NameError: name 'nonsense' is not defined"),
    "raises below": (PLAIN + "\n\ndef f():\n    return 1 / 0\n\nf()\n", "line 16: ZeroDivisionError: division by zero"),
    "ends the script": ("import sys\nsys.exit(0)\n" + PLAIN, "line 2: SystemExit: 0"),
    "no Python": (PLAIN.replace("def to_example(row):", "def to_example(row)"), "line 5: SyntaxError: expected ':'"),
    "lacks a module": ("import no_such_module\n", "line 1: ModuleNotFoundError: No module named 'no_such_module'"),
    "wrong value": (PLAIN.replace('"classification"', '"clasification"'), "line 8: ValueError: Task 'plain': 'clasification' is unknown."
                    " Did you mean 'classification'?"),
    "no TASK": (PLAIN.replace("TASK", "MINE"), "it has no TASK. Write TASK = Task(name=..., ...); docs/your_task.md has an example."),
    "a dict": ('TASK = {"name": "mine"}\n', "its TASK is {'name': 'mine'}, not a task_adapters.Task."),
    "name taken": (PLAIN.replace('"plain", phase', '"xnli", phase'), "'xnli' is a task of this collection. Choose another name."),
    "a path as name": (PLAIN.replace('"plain", phase', '"../x", phase'), "name '../x': letters, digits, - and _ would be right"),
    "no recipe": (PLAIN.replace('{"mine": Recipe(eval_steps=5)}', "{}"), "Task 'plain' needs a source and a recipe."),
    "another kind's recipe": (PLAIN.replace('Recipe(eval_steps=5)', 'Source("x")'), "recipe 'mine'"),
    "no train": (PLAIN.replace('"train": "train", ', ""), "no source has the split 'train', and train_on names no task that has it."),
    "no test": (PLAIN.replace(', "test": "test"', ""), "no source has the split 'test', which a target task is scored on."),
    "train_on unknown": (PLAIN.replace("sources=", 'train_on="mnly",\n    sources='), "train_on names 'mnly'. Did you mean 'mnli'?"),
    "train_on other labels": (PLAIN.replace("sources=", 'train_on="mnli",\n    sources='), "labels is ('no', 'yes'), but mnli, which it"),
    "metric raises": (PLAIN.replace("metric=accuracy", "metric=lambda gold: 1"), "its metric raises TypeError: "),
    "metric without it": (PLAIN.replace('dev_metric="accuracy"', 'dev_metric="f1"'), "its metric gives {'accuracy': 100.0}, without the"),
    "no function": (PLAIN.replace("to_example=to_example", "to_example=print"), "to_example is <built-in function print>, not a function"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_one_line_with_its_name_and_the_cause(case, tmp_path, call, tiny_model):
    text, cause = BAD[case]
    file = put(tmp_path, text)
    with pytest.raises(InputError) as caught:
        call(run_target, "--task_file", file, "--model_name_or_path", tiny_model, "--output_dir", tmp_path / "out", "--use_cpu")
    message = str(caught.value)
    assert message.startswith(f"--task_file {file}: {cause}") or (message.startswith(f"--task_file {file}: ") and cause in message), message
    assert "\n" not in message and not (tmp_path / "out").exists() and TASKS.keys() == BUILT_IN.keys()


@pytest.mark.parametrize("name, cause", [("gone.py", "there is no file"), ("folder", "is a folder"), ("empty.py", "is empty")])
def test_a_file_that_is_none_is_refused(name, cause, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.py").touch()
    with pytest.raises(InputError, match=f"^--task_file .*{cause}"):
        add_task_file(str(tmp_path / name))


def test_task_and_task_file_that_name_different_tasks_are_refused(tmp_path, call):
    with pytest.raises(InputError, match="its TASK is 'plain', and --task names xnli. Leave one out"):
        call(run_target, "--task_file", put(tmp_path, PLAIN), "--task", "xnli", "--output_dir", tmp_path / "out")
    with pytest.raises(InputError, match="plain is a target task: use run_target.py"):
        call(run_retrieval, "--task_file", put(tmp_path, PLAIN), "--output_dir", tmp_path / "out")


def test_all_commands_end_in_one_line(tmp_path):
    file = put(tmp_path, BAD["raises"][0])
    commands = (["run_report.py", str(tmp_path)], ["-m", "task_adapters", "--check"],
                ["predictions.py", "--prediction_folder", "p", "--label_folder", "l"])  # fmt: skip
    for command in commands:
        run = subprocess.run(
            [sys.executable, *command, "--task_file", file],
            cwd=ROOT,
            capture_output=True,
            text=True,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        )
        assert run.returncode in (1, 2) and len(run.stderr.splitlines()) == 1 and "line 8: NameError" in run.stderr, run.stderr


# ---- --check


def test_check_of_a_task_file_loads_that_task_alone(tmp_path, capsys):
    file, data = put(tmp_path, PLAIN), put_rows(tmp_path / "data")
    assert check(["--check", "--task_file", file, "--data_dir", str(data)]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("ok", "MISSING", "DIFFERS"))]
    assert len(lines) == 4 and all(" plain " in line for line in lines)  # train, dev, and test in two languages
    assert check(["--check", "plain", "--languages", "ig", "--task_file", file, "--data_dir", str(data)]) == 0
    assert check(["--task_file", file]) == 0 and "\nplain " in capsys.readouterr().out, "the table has a line for it"


# ---- predictions.py


def test_predictions_of_a_task_of_ones_own_are_scored(tmp_path, capsys):
    file = put(tmp_path, PLAIN)
    task = add_task_file(file)
    for language, predicted in (("en", ["no", "no"]), ("ig", ["no", "yes"])):
        predictions.write_predictions(tmp_path / "p", task.name, language, predicted)
        predictions.write_labels(tmp_path / "l", task.name, language, ["no", "yes"])
    command = ["--prediction_folder", str(tmp_path / "p"), "--label_folder", str(tmp_path / "l")]
    assert predictions.main(command) == 1, "without the file there is nothing to score"
    assert predictions.main([*command, "--task_file", file]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "plain    score   75.00"


def test_a_task_file_may_not_stand_in_for_another_file_of_the_same_name(tmp_path):
    first = add_task_file(put(tmp_path, PLAIN))
    second = add_task_file(put(tmp_path, PLAIN.replace('("en", "ig")', '("en",)')))
    assert TASKS["plain"] is second and replace(first, languages=("en",)).languages == second.languages
