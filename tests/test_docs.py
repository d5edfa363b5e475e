"""README.md and docs/: links lead somewhere, commands are understood, pages that are written from the code are current."""

import ast
import re
import shlex
from itertools import chain

import pytest
from conftest import ROOT
from pages import FLAGS, TASKS, flags_page, tasks_page
from test_layout import modules

import run_intermediate
import run_retrieval
import run_target
from arguments import Parser, TrainArguments, find_tasks
from config_file import with_file
from task_adapters import TASKS as ALL_TASKS
from task_adapters import InputError

TARGET = ALL_TASKS["xnli"]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "benchmarks" / "README.md", ROOT / "ds_configs" / "README.md"])
SCRIPTS = {"run_intermediate.py": (run_intermediate, "intermediate"), "run_target.py": (run_target, "target"),
           "run_retrieval.py": (run_retrieval, "retrieval")}  # fmt: skip


def anchor(heading: str) -> str:
    """The name by which GitHub links to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def headings(text: str) -> set[str]:
    return {anchor(line.lstrip("# ")) for line in re.sub(r"```.*?```", "", text, flags=re.S).splitlines() if line.startswith("#")}


def commands(text: str) -> list[str]:
    """The commands of a page's code blocks that call one of the three scripts, without their comments."""
    blocks = re.findall(r"```(?:bash)?\n(.*?)```", text, flags=re.S)
    lines = chain.from_iterable(block.replace("\\\n", " ").splitlines() for block in blocks)
    return [line for line in lines if re.search(r"\brun_(intermediate|target|retrieval)\.py\b.* --", line) and "..." not in line]


def commands_of_all_pages():
    return [(path.name, line) for path in PAGES for line in commands(path.read_text(encoding="utf-8"))]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 150


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(path):
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        name, _, heading = target.partition("#")
        file = path.parent / name if name else path
        assert file.exists(), f"{path.name} links to {target}"
        assert not heading or heading in headings(file.read_text(encoding="utf-8")), f"{path.name} links to {target}"


def test_every_page_of_the_docs_can_be_reached_from_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {path.name for path in (ROOT / "docs").glob("*.md")} <= set(re.findall(r"docs/(\w+\.md)", readme))


@pytest.mark.parametrize("name, line", commands_of_all_pages())
def test_every_command_of_a_page_has_flags_that_its_script_knows(name, line, monkeypatch):
    words = shlex.split(line, comments=True)
    if "--task_file" in words:  # a page that shows the file is run as it is printed (test_task_file.py)
        monkeypatch.setattr("arguments.add_task_file", lambda path: TARGET)
    script = next(word for word in words if word in SCRIPTS)
    module, phase = SCRIPTS[script]
    words = ["mnli" if word == "$task" and phase == "intermediate" else "xnli" if word == "$task" else word for word in words]
    from transformers import TrainingArguments

    trains = issubclass(module.ScriptArguments, TrainArguments)
    parser = Parser((module.ScriptArguments, *[TrainingArguments] * trains), allow_abbrev=False)
    given, unknown_words = parser.given_flags(with_file(words[words.index(script) + 1 :], parser))
    assert not unknown_words and find_tasks(given, phase) and given["output_dir"], f"{name}: {line}"


def test_a_flag_that_a_script_does_not_know_is_seen():
    with pytest.raises(AssertionError, match="README.md: run_target.py"):
        flags = "run_target.py --task xnli --output_dir x --no_such_flag"
        test_every_command_of_a_page_has_flags_that_its_script_knows("README.md", flags, None)


@pytest.mark.parametrize(
    "page, written_from_the_code", [(FLAGS, flags_page), (TASKS, tasks_page)], ids=lambda value: getattr(value, "stem", "")
)
def test_pages_that_are_written_from_the_code_are_current(page, written_from_the_code):
    assert page.read_text(encoding="utf-8") == written_from_the_code(), "PYTHONPATH=.:tests python tests/pages.py writes it anew"


def test_no_script_needs_a_package_that_only_tests_and_lint_are_given():
    dev = set(re.findall(r"^([\w-]+)==", (ROOT / "requirements-dev.txt").read_text(), flags=re.M))
    assert {"pytest", "seqeval", "ruff"} <= dev
    for name, path in modules().items():
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        assert dev.isdisjoint(module.partition(".")[0] for module in imported), f"{name} imports what make demo does not install"


@pytest.mark.parametrize("script, flags, languages", [
    (run_target, ["--task", "xnli"], "de en"),
    (run_target, ["--task", "udpos", "--languages", "en", "sv"], None),  # no language of the task: another mistake
    (run_retrieval, ["--task", "tatoeba", "--layer", "1"], "de"),
    (run_retrieval, ["--task", "tatoeba", "--layer", "1", "--languages", "sw"], "de"),
    (run_target, ["--task", "xnli", "--select_on", "target"], None),  # there are no dev data but English ones
])  # fmt: skip
def test_where_languages_are_missing_those_that_are_there_are_offered(script, flags, languages, call, data_dir, tiny_model, tmp_path):
    with pytest.raises(InputError) as caught:
        call(script, *flags, "--data_dir", data_dir, "--model_name_or_path", tiny_model, "--output_dir", tmp_path / "out", "--use_cpu")
    offered = re.findall(r"These languages are there: --languages (.*)$", str(caught.value))
    assert offered == ([languages] if languages else [])
