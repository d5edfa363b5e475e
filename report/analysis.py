"""Every number of the report, computed once: scores, their uncertainty and the differences to a baseline.

A row of a table is (model, start). A column is a target, its score as XTREME counts it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas

from predictions import METRICS, NAMES
from report.calibration import calibrate
from report.collect import BASELINE, INTERMEDIATE, Collection, Problem, Run
from report.examples import chance, score_in, score_of, statistics_of_runs
from report.languages import groups_of
from report.margins import read_margins
from report.statistics import RESAMPLES, Estimate, Rows, holm, resampled_scores
from task_adapters import BENCHMARKS, TASKS, InputError, nearest, with_languages_of

TOLERANCE = 1e-6  # between a score in results.json and the same from the predictions


@dataclass
class Column:
    """One target.

    mean, others  rows of means over all languages, and over all but English.
    by_language   {language: {row: (its mean over seeds, its difference to the baseline)}}.
    by_group      the same of the means over the languages of each (grouping, group); groups: these languages.
    """

    target: str
    runs: list[Run]
    languages: list[str]
    mean: Rows
    others: Rows | None
    by_language: dict[str, dict[tuple, tuple[Estimate, Estimate | None]]]
    by_group: dict[tuple[str, str], dict[tuple, tuple[Estimate, Estimate | None]]]
    groups: dict[tuple[str, str], list[str]]
    chance: dict[str, float | None]
    has_intervals: bool
    resampled: dict[tuple, dict] = field(repr=False, default_factory=dict)  # of the means: {row: {seed: (resamples,)}}

    @property
    def is_whole(self) -> bool:
        return self.is_whole_of("xtreme")

    def is_whole_of(self, benchmark: str) -> bool:
        """Whether the languages are exactly those that a benchmark scores in the target."""
        return set(self.languages) == set(with_languages_of(TASKS[self.target], benchmark).languages)

    def has_all_of(self, benchmark: str) -> bool:
        """Whether all languages are there that a benchmark scores in the target, and perhaps others."""
        return set(self.languages) >= set(with_languages_of(TASKS[self.target], benchmark).languages)

    @property
    def own(self) -> list[str]:
        """The languages that were scored on the user's data: the same in all runs of a column."""
        return [language for language in self.languages if any(language in run.own for run in self.runs)]


class Analysis:
    """All columns of a collection. baseline: the start, or the model, that others are compared with; groups: a user's own; protocol: that
    of the collection's runs (`Collection.of_protocol`)."""

    def __init__(
        self,
        collection: Collection,
        baseline: str = BASELINE,
        resamples: int = RESAMPLES,
        temperature_examples: int = 0,
        groups: dict | None = None,
        protocol: str = "",
    ):
        self.collection, self.resamples, self.own_groups, self.protocol = collection, resamples, groups, protocol
        self.temperature_examples = temperature_examples
        self.problems = list(collection.problems)
        self.rows = in_order({(run.model, run.start) for run in collection.scored})
        self.models = list(dict.fromkeys(model for model, _ in self.rows))
        self.baseline, self.baseline_of = baseline, self._baselines(baseline)
        self.columns = [self._column(target) for target in TASKS if any(run.task == target for run in collection.scored)]
        self.differences = self._differences()
        self.calibration, wrong = calibrate(collection.scored, resamples, temperature_examples)
        self.problems += [Problem(folder, "without calibration", what) for folder, what in wrong.items()]
        self.margins, wrong = read_margins(run for run in collection.scored if TASKS[run.task].task_type in ("retrieval", "mining"))
        self.problems += [Problem(folder, "without margins", what) for folder, what in wrong.items()]

    def _baselines(self, name: str) -> Callable:
        starts = list(dict.fromkeys(start for _, start in self.rows))
        if name not in (*starts, *self.models, BASELINE):
            raise InputError(f"--baseline {name}: neither a start nor a model of these results. {nearest(name, [*starts, *self.models])}")
        if name in self.models:
            return lambda row: (name, row[1])
        return lambda row: (row[0], name)

    def is_baseline(self, row: tuple[str, str]) -> bool:
        return self.baseline_of(row) == row

    def _column(self, target: str) -> Column:
        runs = [run for run in self.collection.scored if run.task == target]
        languages = sorted(runs[0].scores, key=lambda language: (language != "en", language))
        values = {run.folder: [score_in(target, run.scores[language]) for language in languages] for run in runs}
        for run in [run for run in runs if None in values[run.folder]]:
            self.problems.append(Problem(run.folder, "damaged", f"a language of {target} lacks a metric that its score is a mean of"))
            runs.remove(run)
        scores = np.array([values[run.folder] for run in runs], dtype=float).reshape(-1, len(languages))
        mean = np.zeros((self.resamples, len(runs)))
        others, by_language, examples, silent = mean.copy(), {}, 0, set()
        groups = {(grouping, group): members for grouping, parts in groups_of(languages, self.own_groups).items()
                  for group, members in parts.items()}  # fmt: skip
        of_groups = {group: mean.copy() for group in groups}
        for place, language in enumerate(languages):
            resampled, n = self._resampled(target, language, runs, scores[:, place], silent)
            by_language[language] = self._estimates(as_rows(runs, scores[:, place], resampled, n))
            examples += n
            if resampled is None:
                mean[:] = others[:] = np.nan
                resampled = mean
            for group in (group for group, members in groups.items() if language in members):
                of_groups[group] += resampled / len(groups[group])
            if np.isnan(mean).all():
                continue
            mean += resampled / len(languages)
            if language != "en":
                others += resampled / max(1, len(languages) - ("en" in languages))
        places = {language: place for place, language in enumerate(languages)}
        by_group = {
            group: self._estimates(as_rows(runs, scores[:, [places[language] for language in groups[group]]].mean(1), drawn, examples))
            for group, drawn in of_groups.items()
        } if runs else {}  # fmt: skip
        has_intervals = not np.isnan(mean).all() and self.resamples > 0
        foreign = [place for place, language in enumerate(languages) if language != "en"]
        mean, others = (mean, others) if has_intervals else (None, None)
        return Column(
            target, runs, languages, as_rows(runs, scores.mean(1), mean, examples),
            as_rows(runs, scores[:, foreign].mean(1), others, examples) if foreign else None,
            by_language, by_group, groups, chance(runs[0].folder, target, languages) if runs else {}, has_intervals,
            grouped(runs, mean.T) if mean is not None else {},
        )  # fmt: skip

    def _estimates(self, rows: Rows) -> dict:
        """{row: (mean, difference to its baseline or None)}: all that is kept of a language, whose resampled scores are large."""
        pairs = {row: self.baseline_of(row) for row in rows.scores}
        return {row: (rows.mean(row), rows.difference(row, base) if base in pairs and base != row else None) for row, base in pairs.items()}

    def _resampled(self, target, language, runs, scores, silent):
        """((resamples, runs), n examples) of one language; (None, 0) where no run has predictions. Names runs whose files do not fit."""
        if not self.resamples:
            return None, 0
        numerators, denominators, wrong = statistics_of_runs([run.folder for run in runs], target, language)
        for folder, what in wrong.items():
            if folder not in silent:  # once for a run, not for each language
                self.problems.append(Problem(folder, "without intervals", what))
                silent.add(folder)
        for place, recomputed in enumerate(score_of(numerators, denominators) if len(numerators) else ()):
            if abs(recomputed - scores[place]) > TOLERANCE:
                said = f"results.json says {scores[place]:.4f} for {target} in {language}, its predictions score {recomputed:.4f}"
                numerators[:, place] = np.nan
                if runs[place].folder not in silent:
                    self.problems.append(Problem(runs[place].folder, "contradictory", f"{said}: no intervals"))
                    silent.add(runs[place].folder)
        if not len(numerators) or np.isnan(numerators).all():
            return None, 0
        return resampled_scores(numerators, denominators, self.resamples), len(numerators)

    def _differences(self) -> pandas.DataFrame:
        """The difference to the baseline, its interval, p-value and Holm's correction over all: of each row and column, and of averages."""
        columns = [(column.target, column.mean) for column in self.columns]
        columns += [(name, rows) for name, (rows, _) in self.averages.items() if rows]
        found = [
            (*row, name, rows.difference(row, self.baseline_of(row)))
            for name, rows in columns for row in self.rows
            if not self.is_baseline(row) and row in rows.scores and self.baseline_of(row) in rows.scores
        ]  # fmt: skip
        table = pandas.DataFrame(
            [(*row, e.value, e.low, e.high, e.error, e.p) for *row, e in found],
            columns=["model", "start", "task", "difference", "low", "high", "error", "p"],
        )
        table["p_holm"] = holm(table["p"])
        return table.set_index(["model", "start", "task"])

    @cached_property
    def compared(self) -> list[str]:
        """What the rows are compared on: the targets, and the averages that some row and its baseline both have."""
        found = set(self.differences.index.get_level_values("task"))
        return [*(column.target for column in self.columns), *(name for name in self.averages if name in found)]

    @cached_property
    def averages(self) -> dict[str, tuple[Rows | None, dict[tuple, str]]]:
        """{name: its rows and what others lack, see `_average`}: XTREME's; XTREME-R's too where a column is of that alone; of a protocol
        its own."""
        if self.protocol:
            return {NAMES[self.protocol]: self._average(self.protocol)}
        is_of_xtreme_r = any(
            column.target in BENCHMARKS["xtreme-r"]
            and (column.target not in BENCHMARKS["xtreme"] or (column.is_whole_of("xtreme-r") and not column.is_whole))
            for column in self.columns
        )
        return {NAMES[benchmark]: self._average(benchmark) for benchmark in ("xtreme", "xtreme-r")[: 1 + is_of_xtreme_r]}

    def _average(self, benchmark: str) -> tuple[Rows | None, dict[tuple, str]]:
        """(rows of a benchmark's average, {row: what it lacks}). A row has one only with all tasks of the benchmark in all languages."""
        tasks = METRICS[benchmark]
        columns = {column.target: column for column in self.columns if column.target in tasks}
        scores, resampled, lacking = {}, {}, {}
        for row in self.rows:
            missing = [task for task in tasks if task not in columns or row not in columns[task].mean.scores]
            own = [task for task in tasks if task not in missing and columns[task].own]
            others = [task for task in tasks if task not in (*missing, *own) and not columns[task].is_whole_of(benchmark)]
            wider = [task for task in others if columns[task].has_all_of(benchmark)]
            if missing or others or own:
                found = {
                    "no": missing,
                    "not all languages of": [task for task in others if task not in wider],
                    f"more languages than {NAMES[benchmark]}'s in": wider,
                    "own data in": own,
                }
                lacking[row] = "; ".join(f"{what} {' '.join(names)}" for what, names in found.items() if names)
                continue
            by_task = {task: seeds_of(columns[task].runs, row, columns[task].mean) for task in tasks}
            common = set.intersection(*(set(seeds) for seeds in by_task.values() if None not in seeds))
            if not common:
                lacking[row] = f"no seed with all {'nine' if benchmark == 'xtreme' else 'ten'} tasks"
                continue
            common = sorted(common)
            scores[row] = {s: float(np.mean([seeds.get(s, seeds.get(None)) for seeds in by_task.values()])) for s in common}
            parts = [columns[task].resampled.get(row) for task in tasks]
            if None not in parts:
                resampled[row] = {s: np.mean([part.get(s, part.get(None)) for part in parts], axis=0) for s in common}
        return (Rows(scores, resampled) if scores else None), lacking

    def seeds(self) -> list[int]:
        return sorted({run.seed for run in self.collection.runs} - {None})

    def number_of_seeds(self, row: tuple[str, str]) -> int:
        return max((len(seeds_of(column.runs, row, column.mean)) for column in self.columns), default=0)

    def difference(self, row: tuple[str, str], name: str) -> Estimate | None:
        """That of a target or an average to the baseline; its p-value is Holm's."""
        key = (*row, name)
        if key not in self.differences.index:
            return None
        return Estimate(*self.differences.loc[key, ["difference", "low", "high", "error", "p_holm"]])


def in_order(rows: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Rows by model, then the baseline, the intermediate tasks in the collection's order, all of them together, and the rest by name."""
    usual = [BASELINE, *INTERMEDIATE, "all"]
    return sorted(rows, key=lambda row: (row[0], usual.index(row[1]) if row[1] in usual else len(usual), row[1]))


def grouped(runs: Iterable[Run], values: Iterable) -> dict[tuple, dict]:
    """{row: {seed: value}} of a value for each run."""
    rows = {}
    for run, value in zip(runs, values):
        rows.setdefault((run.model, run.start), {})[run.seed] = value
    return rows


def as_rows(runs: Sequence[Run], scores: Iterable, resampled: np.ndarray | None, examples: float) -> Rows:
    """`Rows` of runs. A row in which some run has no predictions has no resampled scores."""
    if resampled is None or not len(resampled):
        return Rows(grouped(runs, scores))
    rows = grouped(runs, resampled.T)
    whole = {row: seeds for row, seeds in rows.items() if not any(np.isnan(values).any() for values in seeds.values())}
    return Rows(grouped(runs, scores), whole, examples)


def seeds_of(runs: Iterable[Run], row: tuple[str, str], rows: Rows) -> dict:
    """{seed: mean score} of one row."""
    seeds = [run.seed for run in runs if (run.model, run.start) == row]
    return dict(zip(seeds, rows.scores.get(row, ())))
