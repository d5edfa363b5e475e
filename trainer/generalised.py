"""G-XLT (Lewis et al., 2020): MLQA's questions in one language about contexts in another, all pairs of languages."""

from collections.abc import Callable, Iterable
from typing import Any

from datasets import Dataset
from transformers import Trainer

from task_adapters.base import InputError, Task
from task_adapters.mlqa import asked_in
from trainer.loop import score


def check_generalised(task: Task, args: Any) -> None:
    if args.g_xlt and task.name != "mlqa":
        raise InputError(f"--g_xlt: only mlqa has questions in another language than their context; {task.name} has none.")
    if args.g_xlt and task.own:
        raise InputError(
            f"--g_xlt pairs the languages of MLQA's own data, and {', '.join(task.own)} is own data. Leave one of the two out."
        )


def load_pairs(task: Task, languages: Iterable[str], load: Callable[[Task, str, str], Any]) -> dict[tuple[str, str], object]:
    """{(language of the question, language of the context): examples}, without the pairs of equal ones, which are scored anyway.

    load(task, split, language): examples.
    """
    pairs = [(question, context) for question in languages for context in languages if question != context]
    return {(question, context): load(asked_in(task, question), "test", context) for question, context in pairs}


def score_pairs(
    trainer: Trainer, task: Task, pairs: dict, scores: dict, features_of: Callable[[Dataset], Dataset]
) -> dict[str, dict[str, dict]]:
    """{language of the question: {language of the context: scores}}, the diagonal being `scores` of each language.

    Answers are spans of the context, so that the metric's rules are those of the context's language.
    """
    matrix = {language: {language: dict(own)} for language, own in scores.items()}
    for (question, context), examples in pairs.items():
        matrix[question][context] = score(trainer, task, examples, features_of(examples), context)[1]
    return {question: {context: row[context] for context in scores} for question, row in matrix.items()}


def matrix_lines(task: Task, matrix: dict | None) -> list[str]:
    """The matrix as lines that line up, by the task's own metric, and its mean over all pairs; [] where there is none."""
    if not matrix:
        return []
    values = {question: [scores[task.dev_metric] for scores in row.values()] for question, row in matrix.items()}
    lines = [f"{task.dev_metric} of questions in each language (rows) about contexts in each (columns)"]
    lines.append(f"{'':<10}" + "".join(f"{context:>8}" for context in matrix))
    lines += [f"{question:<10}" + "".join(f"{value:>8.2f}" for value in row) for question, row in values.items()]
    everything = [value for row in values.values() for value in row]
    return [*lines, f"mean over all {len(everything)} pairs: {sum(everything) / len(everything):.2f}"]
