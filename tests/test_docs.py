"""README.md and docs/: links lead somewhere, pages that are written from the code are current."""

import ast
import re

import pytest
from conftest import ROOT
from pages import FLAGS, TASKS, flags_page, tasks_page
from test_layout import modules

import run_retrieval
import run_target
from task_adapters import InputError

OTHERS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md", "ds_configs/README.md")
PAGES = sorted([*(ROOT / name for name in OTHERS), *(ROOT / "docs").glob("*.md")])


def anchor(heading: str) -> str:
    """The name by which GitHub links to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def headings(text: str) -> set[str]:
    return {anchor(line.lstrip("# ")) for line in re.sub(r"```.*?```", "", text, flags=re.S).splitlines() if line.startswith("#")}


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
