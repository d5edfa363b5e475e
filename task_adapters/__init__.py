"""All datasets of the collection: `TASKS[name]`. A new dataset is one file here and one word in the list below."""

from task_adapters import mnli, squad, tatoeba, udpos, xnli, xquad
from task_adapters.base import InputError, Recipe, RetrievalRecipe, Source, Task, load_examples, nearest

TASKS = {module.TASK.name: module.TASK for module in (mnli, squad, xnli, udpos, xquad, tatoeba)}

__all__ = ["TASKS", "InputError", "Recipe", "RetrievalRecipe", "Source", "Task", "get_task", "load_examples", "nearest"]


def get_task(name: str, phase: str) -> Task:
    """The task of that name, refused with the nearest known one, or where it belongs to another phase."""
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
