"""All datasets of the collection: `TASKS[name]`. To add a dataset, add one file to this folder and its name to the two lists below."""

from task_adapters import (
    anli,
    bucc,
    ccg,
    commonsenseqa,
    cosmosqa,
    hellaswag,
    mlqa,
    mnli,
    panx,
    pawsx,
    qqp,
    squad,
    squad_v2,
    tatoeba,
    tydiqa,
    udpos,
    xnli,
    xquad,
)
from task_adapters.base import InputError, Recipe, RetrievalRecipe, Source, Task, nearest
from task_adapters.loading import data_line, labels_of, load_examples
from task_adapters.normal_form import in_normal_form
from task_adapters.training_data import find_train_files, find_train_languages, load_training_data

MODULES = (
    anli, mnli, qqp, squad, squad_v2, hellaswag, ccg, cosmosqa, commonsenseqa,
    xnli, pawsx, udpos, panx, xquad, mlqa, tydiqa, bucc, tatoeba,
)  # fmt: skip
TASKS = {module.TASK.name: module.TASK for module in MODULES}

__all__ = ["TASKS", "InputError", "Recipe", "RetrievalRecipe", "Source", "Task", "data_line", "find_train_files",
           "find_train_languages", "get_task", "in_normal_form", "labels_of", "load_examples", "load_training_data", "nearest"]  # fmt: skip


def get_task(name: str, phase: str) -> Task:
    """Returns the task of that name. Raises InputError if there is no such task, or if it belongs to another phase."""
    names = [task.name for task in TASKS.values() if task.phase == phase]
    if name not in TASKS:
        raise InputError(f"Unknown task {name!r}. {nearest(name, names)}")
    task = TASKS[name]
    if task.phase != phase:
        script = {"intermediate": "run_intermediate.py", "target": "run_target.py", "retrieval": "run_retrieval.py"}
        raise InputError(
            f"{name} is {'an' if task.phase[0] in 'aeiou' else 'a'} {task.phase} task: use {script[task.phase]}. "
            f"Tasks of {script[phase]}: {', '.join(names)}."
        )
    return task
