"""The order of modules: a module imports only modules of its own line of FLOORS or of earlier lines."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# A file may import from its own line and from the lines before it.
FLOORS = [
    ["metrics"],
    ["task_adapters"],
    ["run_log"],
    ["console", "foreign_flags", "settings"],
    ["predictions", "results"],
    ["task_types"],
    ["speed"],
    ["trainer"],
    ["report"],
    ["arguments", "config_file", "help_page", "refusals"],
    ["run_intermediate", "run_target", "run_retrieval", "run_report", "translate", "choose_intermediate"],
    ["samples", "benchmarks"],
]
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}


def modules() -> dict[str, Path]:
    """{dotted name: file} of the whole project without its tests."""
    files = [path for path in ROOT.glob("*.py")] + [path for name in FLOOR_OF for path in (ROOT / name).glob("*.py")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def imports_of(path: Path, known) -> set[str]:
    """The modules of the project that a file imports, those inside functions too."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} has a relative import"
            # `from speed import padding_free` is a module, `from speed import set_up` a name of the package.
            imported |= {name if (name := f"{node.module}.{alias.name}") in known else node.module for alias in node.names}
    return imported & set(known)


def test_every_file_has_a_floor():
    missing = {name.split(".")[0] for name in modules()} - set(FLOOR_OF)
    assert not missing, f"add {', '.join(missing)} to FLOORS"


@pytest.mark.parametrize("name", sorted(modules()))
def test_no_import_goes_up(name):
    known = modules()
    floor = FLOOR_OF[name.split(".")[0]]
    upwards = {other for other in imports_of(known[name], known) if FLOOR_OF[other.split(".")[0]] > floor}
    assert not upwards, f"{name} imports {', '.join(sorted(upwards))}, which stand above it"


def test_no_imports_go_in_a_circle():
    known = modules()
    graph = {name: imports_of(path, known) - {name} for name, path in known.items()}
    finished = set()

    def visit(name, trail):
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in finished:
            for other in sorted(graph[name]):
                visit(other, [*trail, name])
            finished.add(name)

    for name in sorted(graph):
        visit(name, [])


@pytest.mark.parametrize("line", ["import run_target", "def f():\n    from trainer.loop import train"])
def test_a_hidden_import_is_seen(line, tmp_path):
    file = tmp_path / "any.py"
    file.write_text(line, encoding="utf-8")
    assert imports_of(file, modules()) in ({"run_target"}, {"trainer.loop"})
