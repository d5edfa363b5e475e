"""All datasets of the collection: `TASKS[name]`.

To add a dataset, add one file to this folder, and its name to the import and to `BEYOND` below.
"""

from dataclasses import replace

from task_adapters import (
    anli,
    belebele,
    bucc,
    ccg,
    commonsenseqa,
    copa,
    cosmosqa,
    hellaswag,
    lareqa,
    lareqa_paragraphs,
    mewsli_x,
    mlqa,
    mnli,
    panx,
    pawsx,
    qqp,
    sib200,
    siqa,
    squad,
    squad_paragraphs,
    squad_sentences,
    squad_v2,
    tatoeba,
    tydiqa,
    udpos,
    wikipedia_mentions,
    xcopa,
    xnli,
    xquad,
)
from task_adapters.base import InputError, Recipe, RetrievalRecipe, Source, Task, nearest
from task_adapters.loading import data_line, labels_of, load_examples, no_language
from task_adapters.normal_form import in_normal_form
from task_adapters.training_data import find_train_files, find_train_languages, load_training_data

PAPERS = (  # the nine intermediate tasks and nine targets of Phang et al. (2020): `--task all`, the grids, the miniature world's tables
    anli, mnli, qqp, squad, squad_v2, hellaswag, ccg, cosmosqa, commonsenseqa,
    xnli, pawsx, udpos, panx, xquad, mlqa, tydiqa, bucc, tatoeba,
)  # fmt: skip
BEYOND = (
    siqa, copa, xcopa, squad_sentences, wikipedia_mentions, lareqa, mewsli_x, sib200, belebele, squad_paragraphs, lareqa_paragraphs,
)  # fmt: skip
MODULES = PAPERS + BEYOND
BENCHMARKS = {  # the overall score of each is the plain mean over its tasks
    "xtreme": ("xnli", "pawsx", "udpos", "panx", "xquad", "mlqa", "tydiqa", "bucc", "tatoeba"),
    "xtreme-r": ("xnli", "xcopa", "udpos", "panx", "xquad", "mlqa", "tydiqa", "mewsli_x", "lareqa", "tatoeba"),
}
PAPERS_TASKS = tuple(module.TASK.name for module in PAPERS)
TASKS = {module.TASK.name: module.TASK for module in MODULES}

__all__ = ["BENCHMARKS", "PAPERS_TASKS", "TASKS", "InputError", "Recipe", "RetrievalRecipe", "Source", "Task", "benchmark_of",
           "data_line", "find_train_files", "find_train_languages", "get_task", "in_normal_form", "labels_of", "load_examples",
           "load_training_data", "nearest", "no_language", "with_languages_of"]  # fmt: skip


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


def benchmark_of(task: Task, benchmark: str | None) -> str | None:
    """ "xtreme-r" where a run of the task is over that benchmark's languages: as asked for, or because XTREME does not have the task.

    Else None: XTREME's languages, or those of a task that is in neither. Raises InputError for a benchmark that does not have the task.
    """
    holders = [name for name, tasks in BENCHMARKS.items() if task.name in tasks]
    if benchmark is not None and benchmark not in holders:
        raise InputError(f"--benchmark {benchmark}: {task.name} is a task of {' and '.join(holders) or 'neither XTREME nor XTREME-R'}.")
    return "xtreme-r" if benchmark == "xtreme-r" or holders == ["xtreme-r"] else None


def with_languages_of(task: Task, benchmark: str | None) -> Task:
    """The task over the languages that a benchmark scores: XTREME-R has more than XTREME in four tasks."""
    if benchmark != "xtreme-r" or not task.xtreme_r:
        return task
    return replace(task, languages=tuple(sorted((*task.languages, *task.xtreme_r))), xtreme_r=())
