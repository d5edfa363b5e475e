"""How does training on one kind of task carry over to other kinds, on XTREME and on XTREME-R?"""

from collections.abc import Sequence

import numpy as np

from report.analysis import Analysis
from report.collect import BASELINE, INTERMEDIATE
from report.domains import kind_of
from report.effects import contrast
from report.formats import Cell
from report.section import MARGIN, Section, left_out, mean_score, of_model, without_baseline
from report.statistics import Estimate, holm
from report.tables import MISSING, difference_cell
from task_adapters import BENCHMARKS, TASKS


def cross_task(analysis: Analysis) -> Section:
    shared = set.intersection(*(benchmark_languages(benchmark) for benchmark in BENCHMARKS))
    section = Section(missing=without_baseline(analysis), head=["kind of intermediate task", "kind of target"], labels=2)
    views = [(benchmark, wide) for benchmark in BENCHMARKS for wide in (False, True)]
    names = {"xtreme": "XTREME", "xtreme-r": "XTREME-R"}
    section.head += [f"{names[benchmark]}, {'all' if wide else 'shared'} languages" for benchmark, wide in views]
    for model in analysis.models:
        starts = [start for m, start in analysis.rows if m == model and start in INTERMEDIATE]
        cells, kinds = {}, {}
        for start in starts:
            kinds.setdefault(kind_of(start), []).append(start)
        for kind, members in kinds.items():
            for benchmark, wide in views:
                for target_kind, targets in targets_of(analysis, benchmark).items():
                    found = kind_gain(analysis, model, members, targets, benchmark, None if wide else shared)
                    if found:
                        cells[kind, target_kind, benchmark, wide] = found
        corrected = {}  # within each view: the four repeat the same differences, and each answers by itself
        for view in views:
            keys = [key for key in cells if key[2:] == view]
            corrected |= dict(zip(keys, holm([cells[key][0].p for key in keys])))
        for kind, target_kind in dict.fromkeys(key[:2] for key in cells):
            keys = [(kind, target_kind, *view) for view in views]
            row = [kind_cell(*cells[key], corrected[key]) if key in cells else MISSING for key in keys]
            section.rows.append([Cell(kind + of_model(analysis, model)), Cell(target_kind), *row])
        for benchmark in BENCHMARKS:
            across = {key: cells[key][0] for key in cells if key[0] != key[1] and key[2:] == (benchmark, True)}
            if not across:
                section.missing.append(f"pairs of unlike kinds on {names[benchmark]}{of_model(analysis, model)}, with their baseline.")
                continue
            section.has_interval |= any(not np.isnan(estimate.low) for estimate in across.values())
            words = [word_of(estimate, corrected[key]) for key, estimate in across.items()]
            said = f"{words.count('up')} of {len(words)} pairs of unlike kinds gain, {words.count('down')} lose"
            verdict = "yes" if "up" in words else "no" if all(e.high < MARGIN for e in across.values()) else "undecided"
            section.answers[f"a kind helps another one on {names[benchmark]}{of_model(analysis, model)} ({said})"] = verdict
        section.notes += carried_over(cells, of_model(analysis, model))
    section.notes += [
        "Mean gain in points over the baseline, over the tasks of a kind and the targets of a kind; in brackets the interval over seeds"
        " (tasks, targets, languages and test examples stay as they are), then the number of pairs. Ties after Holm's correction over"
        " a column are grey. Shared: languages that both benchmarks have in some task.",
        *left_out(start for _, start in analysis.rows),
        f"Yes: some pair of unlike kinds gains after the correction. No: no interval has room for {MARGIN:g} point. Else undecided.",
    ]
    return section


def benchmark_languages(benchmark: str) -> set[str]:
    return {language for name in BENCHMARKS[benchmark] for language in languages_in(name, benchmark)}


def languages_in(name: str, benchmark: str, among: set[str] | None = None) -> set[str]:
    """The languages that a benchmark scores in a task; among: of these only."""
    task = TASKS[name]
    languages = {*task.languages, *(task.xtreme_r if benchmark == "xtreme-r" else ())}
    return languages if among is None else languages & among


def targets_of(analysis: Analysis, benchmark: str) -> dict[str, list[str]]:
    """{kind: the benchmark's targets that are here}."""
    kinds = {}
    for column in analysis.columns:
        if column.target in BENCHMARKS[benchmark]:
            kinds.setdefault(kind_of(column.target), []).append(column.target)
    return kinds


def kind_gain(
    analysis: Analysis, model: str, starts: Sequence[str], targets: Sequence[str], benchmark: str, among: set[str] | None
) -> tuple[Estimate, int] | None:
    """(mean gain of some starts on some targets, number of pairs); None where the baseline or all starts lack a target.

    benchmark, among: whose languages, see `languages_in`.
    """
    base = seed_means(analysis, (model, BASELINE), targets, benchmark, among)
    found = [scores for start in starts if (scores := seed_means(analysis, (model, start), targets, benchmark, among))]
    if not base or not found:
        return None
    rows = [(1 / len(found), list(scores.values())) for scores in found] + [(-1.0, list(base.values()))]
    return contrast(rows, [None in scores for scores in (*found, base)]), len(found) * len(targets)


def seed_means(analysis: Analysis, row: tuple[str, str], targets: Sequence[str], benchmark: str, among: set[str] | None) -> dict:
    """{seed: mean over targets of the mean over languages}, of the seeds that have all targets. {None: mean} where nothing is drawn."""
    by_target = []
    for column in (column for column in analysis.columns if column.target in targets):
        runs = [run for run in column.runs if (run.model, run.start) == row]
        languages = [language for language in column.languages if language in languages_in(column.target, benchmark, among)]
        by_target.append({run.seed: mean_score(run, languages) for run in runs} if languages else {})
    seeds = set.intersection(*map(set, by_target)) if by_target else set()
    return {seed: float(np.mean([scores[seed] for scores in by_target])) for seed in seeds}


def kind_cell(estimate: Estimate, pairs: int, corrected: float) -> Cell:
    cell = difference_cell(estimate, None if np.isnan(corrected) else corrected)
    return Cell(f"{cell.text}, {pairs} pair{'s' * (pairs > 1)}", cell.kind, cell.value)


def word_of(estimate: Estimate, corrected: float) -> str:
    return difference_cell(estimate, None if np.isnan(corrected) else corrected).kind


def carried_over(cells: dict, name: str) -> list[str]:
    """How far the gains on XTREME and on XTREME-R agree over the pairs of kinds that both have."""
    both = [key[:2] for key in cells if key[2:] == ("xtreme", True) and (*key[:2], "xtreme-r", True) in cells]
    values = [[cells[(*pair, benchmark, True)][0].value for pair in both] for benchmark in BENCHMARKS]
    agree = sum(a * b > 0 for a, b in zip(*values))
    return [f"{agree} of {len(both)} pairs of kinds that both benchmarks have move in the same direction on both{name}."] if both else []
