"""All datasets of the collection: `TASKS[name]`.

To add a dataset, add one file to this folder, and its name to the import and to `BEYOND` below. A dataset in a file outside the tree needs
neither: `add_task_file` adds it for one process.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

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
    nlu_evals,
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
from task_adapters.own_files import find_own_files, with_own_data
from task_adapters.task_file import read_task_file
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
TASKS = {task.name: task for task in (*(module.TASK for module in MODULES), *nlu_evals.TASKS)}
BUILT_IN = dict(TASKS)  # without what `add_task_file` adds to TASKS

__all__ = ["BENCHMARKS", "PAPERS_TASKS", "TASKS", "InputError", "Recipe", "RetrievalRecipe", "Source", "Task", "add_task_file",
           "at_revision", "benchmark_of", "data_line", "english_task", "find_own_files", "find_train_files", "find_train_languages",
           "get_task", "hub_ids_of", "in_normal_form", "labels_of", "load_examples", "load_training_data", "nearest", "no_language",
           "under_protocol", "with_languages_of", "with_own_data"]  # fmt: skip


def add_task_file(path: str) -> Task:
    """Adds the TASK of a file of --task_file to TASKS, for this process, and returns it. InputError: see `read_task_file`."""
    task = read_task_file(path, BUILT_IN)
    TASKS[task.name] = task
    return task


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


def under_protocol(name: str, protocol: str) -> str:
    """The name of the task that a protocol has in place of one. Raises InputError for a task that it does not have."""
    in_place_of = {**nlu_evals.IN_PLACE_OF, **{name: name for name in nlu_evals.SCORED}}
    if name not in in_place_of:
        raise InputError(f"--protocol {protocol}: {name} is no part of it. It has: {', '.join(nlu_evals.IN_PLACE_OF)}.")
    return in_place_of[name]


def benchmark_of(task: Task, benchmark: str | None) -> str | None:
    """ "xtreme-r" where a run of the task is over that benchmark's languages: as asked for, or because XTREME does not have the task.

    Else None: XTREME's languages, or those of a task that is in neither. Raises InputError for a benchmark that does not have the task.
    """
    holders = [name for name, tasks in BENCHMARKS.items() if task.name in tasks]
    if benchmark is not None and benchmark not in holders:
        raise InputError(f"--benchmark {benchmark}: {task.name} is a task of {' and '.join(holders) or 'neither XTREME nor XTREME-R'}.")
    return "xtreme-r" if benchmark == "xtreme-r" or holders == ["xtreme-r"] else None


def english_task(task: Task, revisions: list[str] | None, dev_files: Sequence[Any]) -> Task:
    """The task that gives a target its English training and dev data, at --data_revision; its English dev data may be a --dev_file's."""
    if not task.train_on:
        return task
    english_dev = [file for file in dev_files if file.language == "en"]
    return with_own_data(at_revision(TASKS[task.train_on], revisions), dev_files=english_dev)


def with_languages_of(task: Task, benchmark: str | None) -> Task:
    """The task over the languages that a benchmark scores: XTREME-R has more than XTREME in four tasks."""
    if benchmark != "xtreme-r" or not task.xtreme_r:
        return task
    return replace(task, languages=tuple(sorted((*task.languages, *task.xtreme_r))), xtreme_r=())


def hub_ids_of(tasks: Sequence[Task], recipe: str | None = None) -> list[str]:
    """The data sets on the hub from which tasks, those that give them their English data, and the recipe's first stage may be read."""
    stages = [getattr(task.recipes[recipe], "before", "") for task in tasks if recipe]
    tasks = [*tasks, *(TASKS[task.train_on] for task in tasks if task.train_on), *(TASKS[name] for name in stages if name)]
    return sorted({part.hub_id for task in tasks for source in task.sources for part in (source, *source.and_then)})


def at_revision(task: Task, revisions: list[str] | None) -> Task:
    """The task read at a revision of the hub: [REVISION] for all its data sets, [HUB_ID=REVISION, ...] for these, None for none."""
    if not revisions:
        return task
    of_hub_id = dict(given.split("=", 1) for given in revisions if "=" in given)

    def pinned(source):
        revision = of_hub_id.get(source.hub_id) if of_hub_id else revisions[0]
        return replace(source, pinned=revision, and_then=tuple(map(pinned, source.and_then)))

    return replace(task, sources=tuple(map(pinned, task.sources)))
