"""`--task_file`: a Task that stands in one file outside the tree (docs/your_task.md).

The file is run as Python, once for each process. It may import this package and everything that is installed.
"""

import inspect
import runpy
import traceback
from collections.abc import Mapping
from pathlib import Path

from task_adapters.base import DualRecipe, InputError, Recipe, RetrievalRecipe, Task, nearest
from task_adapters.errors import one_line
from task_adapters.files import check_file

# One right answer of each kind of task, as (gold, predicted): a metric is tried on it before hours of training.
RIGHT_ANSWERS = {
    "multiple_choice": ([0], [0]), "span_qa": ([["Rome"]], ["Rome"]), "retrieval": ([0], [0]), "mining": ([("a", "b")], [("a", "b")]),
    "ranking": ({"q": ["a"]}, {"q": ["a"]}),
}  # fmt: skip
RECIPES = {"retrieval": RetrievalRecipe, "intermediate": Recipe, "target": Recipe}


def read_task_file(path: str, others: Mapping[str, Task]) -> Task:
    """Returns the TASK of a file. others: the tasks of the collection, whose names it may not have.

    Raises InputError, with the name of the file and the cause, where the file is missing, raises, or has no TASK that a run can use.
    """
    what = f"--task_file {path}: "
    check_file(Path(path), what)
    try:
        content = runpy.run_path(path, run_name="task_file")
    except (Exception, SystemExit) as error:  # whatever the user's code raises is the user's mistake
        raise InputError(f"{what}{_line_of(error, path)}{type(error).__name__}: {one_line(error)}") from error
    if "TASK" not in content:
        raise InputError(f"{what}it has no TASK. Write TASK = Task(name=..., ...); docs/your_task.md has an example.")
    task = content["TASK"]
    if not isinstance(task, Task):
        raise InputError(f"{what}its TASK is {task!r:.60}, not a task_adapters.Task. docs/your_task.md has an example.")
    _check(task, what, others)
    return task


def _line_of(error, path) -> str:
    """`line 12: ` of the file's own last line that led to an error; "" where none did."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    if isinstance(error, SyntaxError) and error.filename == path:
        lines.append(error.lineno)
    return f"line {lines[-1]}: " if lines else ""


def _check(task, what, others):
    if task.name in others:
        raise InputError(f"{what}{task.name!r} is a task of this collection. Choose another name.")
    if not isinstance(task.name, str) or not task.name.replace("_", "").replace("-", "").isalnum():
        raise InputError(f"{what}name {task.name!r}: letters, digits, - and _ would be right, because folders are named by it.")
    if not inspect.isfunction(task.to_example):
        raise InputError(f"{what}to_example is {task.to_example!r:.60}, not a function that takes a row.")
    kind = DualRecipe if task.task_type == "pairs" else RECIPES[task.phase]
    for name, recipe in task.recipes.items():
        if not isinstance(recipe, kind):
            raise InputError(f"{what}recipe {name!r} is {recipe!r:.60}, where {task.phase} tasks of its type need a {kind.__name__}.")
    if task.train_on is not None:
        _check_train_on(task, what, others)
    elif task.phase != "retrieval" and (missing := {"train", "dev"} - {split for source in task.sources for split in source.splits}):
        raise InputError(f"{what}no source has the split {sorted(missing)[0]!r}, and train_on names no task that has it.")
    if task.phase != "intermediate" and not any("test" in source.splits for source in task.sources):
        raise InputError(f"{what}no source has the split 'test', which a {task.phase} task is scored on.")
    if task.task_type != "pairs":  # whose score is computed by the loss
        _check_metric(task, what)


def _check_train_on(task, what, others):
    if task.train_on not in others:
        raise InputError(f"{what}train_on names {task.train_on!r}. {nearest(task.train_on, others)}")
    other = others[task.train_on]
    for name in ("task_type", "labels", "choices"):
        if getattr(other, name) != getattr(task, name):
            raise InputError(
                f"{what}{name} is {getattr(task, name)!r}, but {other.name}, which it trains on, has {getattr(other, name)!r}."
            )


def _check_metric(task, what):
    label = (task.labels or ("X",))[0]
    gold, predicted = RIGHT_ANSWERS.get(task.task_type) or (([[label]], [[label]]) if task.task_type == "tagging" else ([label], [label]))
    if task.may_have_no_answer:
        predicted = [{"text": answer, "no_answer_margin": 0.0} for answer in predicted]
    try:
        scores = task.metric(gold, predicted, task.languages[0])
    except (Exception, SystemExit) as error:  # as above
        raise InputError(f"{what}its metric raises {type(error).__name__}: {one_line(error)}, for one right answer.") from error
    if not isinstance(scores, Mapping) or task.dev_metric not in scores:
        raise InputError(f"{what}its metric gives {scores!r:.60}, without the dev_metric {task.dev_metric!r}.")
