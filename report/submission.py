"""XTREME's submission: the nine folders of predictions of one row, laid out as its evaluator reads them, and checked.

Format: https://github.com/google-research/xtreme, <folder>/<task>/test-<language>.<tsv or json>; BUCC is bucc2018.
"""

import shutil
from collections import Counter
from pathlib import Path

from metrics import XTREME_METRIC
from predictions import prediction_path, read_labels, read_predictions
from report.analysis import Analysis
from task_adapters import TASKS, InputError, nearest


def write_submission(analysis: Analysis, name: str, folder: str | Path, seed: int | None = None) -> list[str]:
    """Copies the predictions of one row into `folder`. -> what is missing or wrong, one line each; [] for a whole submission.

    name  a start, where there are several models `model start`; seed: which run of the row, the first by default.
    Raises InputError for an unknown row or seed, and for a folder that holds something already.
    """
    folder, row = Path(folder), row_named(analysis, name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"--submission {folder} holds something already: a new folder would be right.")
    seeds = sorted({run.seed for run in analysis.collection.scored if (run.model, run.start) == row} - {None})
    if seed is not None and seed not in seeds:
        raise InputError(f"--seed {seed}: {name} has the seeds {', '.join(map(str, seeds)) or 'none'}.")
    seed = seeds[0] if seed is None and seeds else seed
    problems = []
    for task in XTREME_METRIC:
        run = next((run for run in analysis.collection.scored
                    if (run.model, run.start, run.task) == (*row, task) and run.seed in (seed, None)), None)  # fmt: skip
        if run is None:
            problems.append(f"{task}: no run of {name}" + ("" if seed is None else f" with seed {seed}"))
            continue
        if run.own:
            problems.append(f"{task}: own data in {', '.join(sorted(run.own))}, not XTREME's")
        for language in TASKS[task].languages:
            source, target = prediction_path(Path(run.folder) / "predictions", task, language), prediction_path(folder, task, language)
            if wrong := problem_of(run.folder, task, language):
                problems.append(f"{task} {language}: {wrong}")
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
    return problems


def row_named(analysis: Analysis, name: str) -> tuple[str, str]:
    names = {" ".join(row): row for row in analysis.rows}
    if len(analysis.models) == 1:
        names |= {start: (model, start) for model, start in analysis.rows}
    if name not in names:
        raise InputError(f"--row {name}: no such row. {nearest(name, names)}")
    return names[name]


def problem_of(run_folder: str | Path, task: str, language: str) -> str | None:
    """What is wrong with the predictions of one language (absent, another format, other lines or ids than the gold); None if nothing."""
    path = prediction_path(Path(run_folder) / "predictions", task, language)
    if not path.is_file():
        return f"{path} is missing"
    try:
        predicted = read_predictions(Path(run_folder) / "predictions", task, language)
    except (OSError, ValueError) as error:
        return " ".join(str(error).split())
    try:
        gold = read_labels(Path(run_folder) / "labels", task, language)
    except (OSError, ValueError) as error:
        return f"cannot be counted against the labels: {' '.join(str(error).split())}"
    kind = TASKS[task].task_type
    if kind == "span_qa":
        missing, unknown = set(gold[0]) - set(predicted), set(predicted) - set(gold[0])
        return f"{len(missing)} questions without an answer, {len(unknown)} answers without a question" if missing or unknown else None
    if kind == "mining":
        repeated = [pair for pair, times in Counter(predicted).items() if times > 1]
        return f"{len(repeated)} pairs stand there twice, the first is {' '.join(repeated[0])}" if repeated else None
    if len(gold) != len(predicted):
        return f"{len(predicted)} rows, the labels have {len(gold)}"
    if kind == "tagging":
        other = [number for number, pair in enumerate(zip(gold, predicted), start=1) if len(pair[0]) != len(pair[1])]
        return f"{len(other)} sentences with another number of tags than words, the first is {other[0]}" if other else None
    return None
