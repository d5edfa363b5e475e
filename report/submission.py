"""A submission to XTREME or XTREME-R: the folders of predictions of one row, laid out as its evaluator reads them, and checked.

Format: https://github.com/google-research/xtreme, <folder>/<task>/test-<language>.<tsv, json or jsonl>; BUCC is bucc2018, Mewsli-X mewslix.
XTREME-R's evaluator has no languages for LAReQA, and computes no average where predictions/lareqa is there. LAReQA is checked like the
others, and laid out in a folder that the evaluator passes over.
"""

import re
import shutil
from collections import Counter
from pathlib import Path

from metrics import XTREME_METRIC, XTREME_R_METRIC
from predictions import NAMES, prediction_path, read_labels, read_predictions
from report.analysis import Analysis
from task_adapters import TASKS, InputError, nearest, with_languages_of

TASKS_OF = {"xtreme": tuple(XTREME_METRIC), "xtreme-r": tuple(XTREME_R_METRIC)}
PASSED_OVER = "not_read_by_xtreme_r"  # the folder above that of LAReQA
LONGEST_RANKING = 20  # of an answer to Mewsli-X


def write_submission(analysis: Analysis, name: str, folder: str | Path, seed: int | None = None, benchmark: str = "xtreme") -> list[str]:
    """Copies the predictions of one row into `folder`. -> what is missing or wrong, one line each; [] for a whole submission.

    name  a start, where there are several models `model start`; seed: which run of the row, the first by default; benchmark: of `TASKS_OF`.
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
    for task in TASKS_OF[benchmark]:
        run = next((run for run in analysis.collection.scored
                    if (run.model, run.start, run.task) == (*row, task) and run.seed in (seed, None)), None)  # fmt: skip
        if run is None:
            problems.append(f"{task}: no run of {name}" + ("" if seed is None else f" with seed {seed}"))
            continue
        if run.own:
            problems.append(f"{task}: own data in {', '.join(sorted(run.own))}, not {NAMES[benchmark]}'s")
        if some := run.settings.get(((run.model, task), "max_predict_samples")):
            problems.append(f"{task}: the first {some} examples of each language alone (--max_predict_samples)")
        root = folder / PASSED_OVER if task == "lareqa" else folder
        for language in with_languages_of(TASKS[task], benchmark).languages:
            source, target = prediction_path(Path(run.folder) / "predictions", task, language), prediction_path(root, task, language)
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
    if kind in ("span_qa", "ranking"):
        asked = set(gold[0] if kind == "span_qa" else gold)
        missing, unknown = asked - set(predicted), set(predicted) - asked
        if missing or unknown:
            return f"{len(missing)} questions without an answer, {len(unknown)} answers without a question"
        return problem_of_ranking(predicted, language) if task == "mewsli_x" else None
    if kind == "mining":
        repeated = [pair for pair, times in Counter(predicted).items() if times > 1]
        return f"{len(repeated)} pairs stand there twice, the first is {' '.join(repeated[0])}" if repeated else None
    if len(gold) != len(predicted):
        return f"{len(predicted)} rows, the labels have {len(gold)}"
    if kind == "tagging":
        other = [number for number, pair in enumerate(zip(gold, predicted), start=1) if len(pair[0]) != len(pair[1])]
        return f"{len(other)} sentences with another number of tags than words, the first is {other[0]}" if other else None
    return None


def problem_of_ranking(predicted: dict, language: str) -> str | None:
    """What XTREME-R's evaluator cannot take of an answer to Mewsli-X: lists that are too long, and mentions that it does not know."""
    long = [name for name, answers in predicted.items() if len(answers) > LONGEST_RANKING]
    if long:
        return f"{len(long)} mentions with more than {LONGEST_RANKING} entities, the first is {long[0]}"
    if all(re.fullmatch(rf"{language}-[0-9]+", name) for name in predicted):  # the adapter numbers mentions without a name
        return "the data named no example_id: XTREME-R's evaluator knows none of these mentions"
    return None
