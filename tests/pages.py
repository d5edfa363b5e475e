"""Pages that are written from the code: docs/flags.md, and the table of tasks and the adapter in docs/tasks.md.

`PYTHONPATH=.:tests python tests/pages.py` writes them anew.
"""

import argparse
import contextlib
import dataclasses
import importlib
import io
import sys
import typing
from unittest.mock import patch

from conftest import ROOT

FLAGS, TASKS = ROOT / "docs" / "flags.md", ROOT / "docs" / "tasks.md"
HEAD = """# Flags

Our own flags, one line each. This page is written by `PYTHONPATH=.:tests python tests/pages.py` from the help texts in the code, and
`tests/test_docs.py` compares it with them. The two scripts that train also accept the flags of transformers' `TrainingArguments`:
`python run_target.py --help` lists the usual ones, `python run_target.py --help all` lists all. With `--task xnli` they show the defaults
of that task.

"-" as a default means: nothing, or what the recipe of the task says. A recipe's values are in `task_adapters/`.
"""
TRAINING = """## Flags of transformers

The two scripts that train take the flags of `TrainingArguments`. The recipe sets the defaults of learning rate, epochs, warm-up, weight
decay, batch, evaluation and saving. `settings.py` puts each flag into one of three groups: flags that change scores (`run.json` names
them, and runs with other values share no table), flags that change no score beyond rounding, and flags that are refused. These flags are
refused with any value but the library's default:

"""


def field_rows(fields) -> list[str]:
    """Table rows of dataclass fields."""
    rows = []
    for field in fields:
        if field.init and "help" in field.metadata:
            default = field.default if field.default_factory is dataclasses.MISSING else None
            rows.append(row(f"--{field.name}", default, field.metadata["help"], choices_of(field.type)))
    return rows


def choices_of(kind) -> tuple:
    """The words that a flag takes, of `Literal[...]` or `Literal[...] | None`; () for every other type."""
    if typing.get_origin(kind) is typing.Literal:
        return typing.get_args(kind)
    return next(filter(None, map(choices_of, typing.get_args(kind))), ())


def row(flag: str, default, text: str, choices=()) -> str:
    shown = "-" if default in (None, "", []) or default is False or default is dataclasses.MISSING else f"`{default}`"
    words = f" {', '.join(map(str, choices))}" if choices else ""
    cells = f"`{flag}`{words}", shown, " ".join(text.split())
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def table(rows: list[str]) -> str:
    return "\n".join(["| flag | default | what it does |", "|---|---|---|", *rows]) + "\n"


def own_fields(child, *parents):
    """The fields of a dataclass that its parents lack, or have with another help text."""
    inherited = {field.name: field.metadata.get("help") for parent in parents for field in dataclasses.fields(parent)}
    return [field for field in dataclasses.fields(child) if inherited.get(field.name) != field.metadata.get("help")]


class Seen(Exception):
    """Carries the parser of a command out of it."""


def argparse_rows(module: str) -> list[str]:
    """Table rows of a command that makes its parser in `main()`."""

    def stop(parser, *_, **__):
        raise Seen(parser)

    with patch.object(argparse.ArgumentParser, "parse_args", stop), patch.object(sys, "argv", [module]):
        try:
            importlib.import_module(module).main()
        except Seen as seen:
            actions = seen.args[0]._actions
    return [
        row((action.option_strings or [action.dest])[0], action.default, action.help or action.dest, action.choices or ())
        for action in actions
        if not isinstance(action, argparse._HelpAction)
    ]


def flags_page() -> str:
    """The whole text of docs/flags.md."""
    import run_intermediate
    import run_retrieval
    import run_target
    import translate
    from arguments import CommonArguments, TrainArguments
    from settings import REFUSED

    sections = {
        "All three scripts": field_rows(dataclasses.fields(CommonArguments)),
        "run_intermediate.py and run_target.py": field_rows(own_fields(TrainArguments, CommonArguments)),
        "run_intermediate.py": field_rows(own_fields(run_intermediate.ScriptArguments, TrainArguments)),
        "run_target.py": field_rows(own_fields(run_target.ScriptArguments, TrainArguments)),
        "run_retrieval.py": field_rows(own_fields(run_retrieval.ScriptArguments, CommonArguments)),
        "python -m task_adapters": argparse_rows("task_adapters.__main__"),
        "run_report.py": argparse_rows("run_report"),
        "choose_intermediate.py": argparse_rows("choose_intermediate"),
        "predictions.py": argparse_rows("predictions"),
        "translate.py": field_rows(dataclasses.fields(translate.TranslateArguments)),
    }
    refused = [f"- {', '.join(f'`--{name}`' for name in names)}: {reason}" for reason, names in REFUSED.items()]
    parts = [HEAD, *(f"## {title}\n\n{table(rows)}" for title, rows in sections.items()), TRAINING + "\n".join(refused) + "\n"]
    return "\n".join(parts)


def tasks_page() -> str:
    """The text of docs/tasks.md with the table that `python -m task_adapters` prints, and xquad.py as it is."""
    from task_adapters.__main__ import main

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        main([])
    before, _, after = TASKS.read_text(encoding="utf-8").partition("```\n")
    text = f"{before}```\n{printed.getvalue()}```{after.partition('```')[2]}"
    before, _, after = text.partition("```python\n")
    return f"{before}```python\n{(ROOT / 'task_adapters' / 'xquad.py').read_text(encoding='utf-8')}```{after.partition('```')[2]}"


if __name__ == "__main__":
    FLAGS.write_text(flags_page(), encoding="utf-8")
    TASKS.write_text(tasks_page(), encoding="utf-8")
