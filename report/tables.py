"""The tables of the report, from an `Analysis`. Scores are in percent; columns are targets or languages, rows are model and start."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas

from metrics import AS_THEY_ARE
from report.analysis import Analysis, Column
from report.calibration import NO_SCALING, ON_DEV, ON_TARGET
from report.collect import BASELINE, INTERMEDIATE, Run
from report.domains import kind_of, shares_domain
from report.formats import Cell, Table
from report.languages import ENGLISH, GROUPINGS, MEASURES, STEPS, read_languages, sources
from report.layers import MEASURES as LAYER_MEASURES
from report.layers import claims, layers_table
from report.statistics import Estimate, rank_correlation
from task_adapters import TASKS, with_languages_of
from task_adapters.reference_scores import references_for

MISSING = Cell("—", "missing")
ALPHA = 0.05
SHOWN = ("summary", "transfer", "intermediate", "problems")  # on a terminal; the others are in the files
SCALING_NAMES = {NO_SCALING: "—", ON_DEV: "English dev", ON_TARGET: "the language"}
# metric: its column, its digits
METRIC_NAMES = {"accuracy": ("accuracy", 1), "ece_10": ("ECE, 10 bins", 1), "ece_15": ("ECE, 15 bins", 1),
                "ece_mass": ("ECE, equal mass", 1), "brier": ("Brier", 3), "nll": ("NLL", 3),
                "accuracy_80": ("accuracy at 80% coverage", 1)}  # fmt: skip
GAINS_NOTE = (
    "Mean difference to the baseline over pairs of one intermediate task and one target, in brackets the number of pairs, and of those that"
    " are no ties after Holm's correction."
)
NO_INTERVAL_NOTE = " The pairs share baselines and intermediate models: there is no interval."
INTERVAL_NOTE = (
    " The 95% interval is that of the mean over exactly these pairs, over examples and seeds; it says nothing about other intermediate"
    " tasks. ≈ or grey: it holds 0."
)
MARGINS_NOTE = (
    "Mean margin of right pairs / of wrong pairs (AUC: probability that a right pair has the larger margin; 0.5: margins say nothing),"
    " means over seeds."
)
MARGIN_OF = {
    "retrieval": "Margin: cosine with the sentence that was found minus that with the next one.",
    "mining": "Margin: cosine of a candidate pair over the mean cosine with the nearest neighbours of both.",
}
# name in results.json: title, what the columns are, note, the last column
MATRICES = {
    "g_xlt": (
        "questions in one language, contexts in another (F1)",
        "contexts in",
        "G-XLT (Lewis et al., 2020): F1 in percent, mean over seeds. On the diagonal both have one language, as in XTREME.",
        "mean",
    ),
    "language_bias": (
        "language bias",
        "answers in",
        "Mean reciprocal rank, in percent, of the right answer in each language among the candidates of all, mean over seeds. Without"
        " bias a line has equal numbers. Last column: the own language minus the mean of the others.",
        "own - others",
    ),
}
LITTLE_NOTE = (
    "Learned little: the run warned that its English dev score is hardly above one answer for all, or its training loss at chance. It is"
    " part of the mean."
)
CALIBRATION_NOTE = (
    "ECE: expected calibration error in percent of the most probable class, over 10 or 15 bins of equal width, or 15 of equal size. Brier:"
    " squared distance, summed over classes. NLL in nats. Coverage: the examples of which the model is surest. Of answers: confidence and"
    " exact match of the chosen answer."
)


def all_tables(analysis: Analysis) -> list[Table]:
    """Every table that these results allow, the summary first. Those of a protocol are named after it."""
    tables = tables_of(analysis)
    if not analysis.protocol:
        return tables
    suffix = f"_{analysis.protocol.replace('-', '_')}"
    for table in tables:
        table.name, table.title = table.name.removesuffix(suffix) + suffix, f"{table.title} ({analysis.protocol})"
    return tables


def tables_of(analysis: Analysis) -> list[Table]:
    if not analysis.columns:
        return [table for table in (intermediate_table(analysis), problems_table(analysis)) if table]
    tables = [summary(analysis), differences(analysis), *(by_language(analysis, column) for column in analysis.columns)]
    for column in analysis.columns:
        tables += [layer_accuracy_table(analysis, column), layer_measures_table(analysis, column), layer_choice_table(analysis, column)]
        tables += [matrix_table(analysis, column, name) for name in MATRICES]
        tables += [calibration_table(analysis, column.target), calibration_by_language(analysis, column), margins_table(analysis, column)]
    groupings = dict.fromkeys(grouping for column in analysis.columns for grouping, _ in column.groups)
    tables += [*(group_table(analysis, grouping) for grouping in groupings), correlation_table(analysis)]
    tables += [kinds_table(analysis), domain_table(analysis)]
    return [table for table in (*tables, intermediate_table(analysis), problems_table(analysis)) if table and table.rows]


def labels_of(analysis: Analysis, row: tuple[str, str]) -> list[Cell]:
    """The first cells of a row: the start, before it the model where there are several."""
    model, start = row
    return [Cell(model), Cell(start)] if len(analysis.models) > 1 else [Cell(start)]


def label_head(analysis: Analysis) -> list[str]:
    return ["model", "trained on"] if len(analysis.models) > 1 else ["trained on"]


def score_cell(scores: Sequence[float] | np.ndarray, seeds: int = 1, warned: int = 0) -> Cell:
    """`61.2 ± 0.4`: mean and standard deviation (n - 1) over seeds; one value alone has none. Fewer values than `seeds` are counted, and
    those of `warned` runs, which learned little."""
    spread = f" ± {np.std(scores, ddof=1):.1f}" if len(scores) > 1 else ""
    counts = [f"n={len(scores)}"] * (len(scores) < seeds) + [f"{warned} learned little"] * (warned > 0)
    return Cell(f"{np.mean(scores):.1f}{spread}" + (f" ({', '.join(counts)})" if counts else ""), "", float(np.mean(scores)))


def difference_cell(difference: Estimate, corrected_p: float | None = None) -> Cell:
    """`+1.9 (+0.4 to +3.4)`. A tie: the corrected p-value, or without one the interval, does not exclude 0."""
    if np.isnan(difference.low):
        return Cell(f"{difference.value:+.1f}", "", difference.value)
    is_tie = difference.is_tie or (corrected_p is not None and corrected_p >= ALPHA)
    kind = "tie" if is_tie else "up" if difference.value > 0 else "down"
    return Cell(f"{difference.value:+.1f} ({difference.low:+.1f} to {difference.high:+.1f})", kind, difference.value)


def of_all_languages(column: Column) -> str:
    """`2 of 15`, `3 of XTREME-R's 12`: how many of a benchmark's languages a column has, for a note."""
    task = TASKS[column.target]
    if set(column.languages) <= set(task.languages):
        return f"{len(column.languages)} of {len(task.languages)}"
    return f"{len(column.languages)} of XTREME-R's {len(with_languages_of(task, 'xtreme-r').languages)}"


def said_arm(arm: dict) -> str:
    """`train_languages de en sw; max_train_samples 100`: how a target was trained otherwise than usual."""
    words = {name: " ".join(map(str, value)) if isinstance(value, list) else value for name, value in arm.items()}
    return "; ".join(f"{name} {value}" for name, value in words.items())


def summary(analysis: Analysis) -> Table:
    """Scores of all rows on all targets, the benchmark's average, chance, and published scores under the same conditions."""
    averages = analysis.averages
    empty = [Cell("")] * (len(averages) + 2)
    rows = []
    for row in analysis.rows:
        seeds = analysis.number_of_seeds(row)
        cells = [mean_cell(column, row, seeds) for column in analysis.columns]
        cells += [score_cell(rows.scores[row]) if rows and row in rows.scores else MISSING for rows, _ in averages.values()]
        failed = sum(run.failed_tries for run in analysis.collection.runs if (run.model, run.start) == row)
        rows.append([*labels_of(analysis, row), *cells, Cell(str(seeds), "", seeds), Cell(str(failed), "", failed)])
    blank = [Cell("")] * (len(analysis.models) > 1)
    guesses = [mean_of_all(column.chance) for column in analysis.columns]
    rows.append([*blank, Cell("chance"), *(Cell(f"{x:.1f}", "", x) if x is not None else MISSING for x in guesses), *empty])
    rows += [[*cells, *empty] for cells in published_rows(analysis, blank)]
    of_answers = "F1" if analysis.protocol else "mean of exact match and F1"
    notes = [f"Mean over the languages of a target ± standard deviation over seeds, in percent; of answers: {of_answers}."]
    if analysis.protocol:
        how = f"All targets as {analysis.protocol} trains and scores them (--protocol {analysis.protocol})"
        notes.append(f"{how}: comparable with no other table.")
    others = [column for column in analysis.columns if not column.is_whole and not column.own]
    if partial := [f"{column.target} ({of_all_languages(column)})" for column in others if not column.is_whole_of("xtreme-r")]:
        notes.append(f"Not all languages: {', '.join(partial)}.")
    if whole := [f"{column.target} ({len(column.languages)})" for column in others if column.is_whole_of("xtreme-r")]:
        notes.append(f"In all of XTREME-R's languages: {', '.join(whole)}.")
    own = [f"{column.target} ({' '.join(column.own)})" for column in analysis.columns if column.own]
    if own:
        notes.append(f"Own data: {', '.join(own)}. They are part of the mean, and of no average of {' or '.join(averages)}.")
    arms = {f"{column.target} ({said_arm(run.arm)})": None for column in analysis.columns for run in column.runs if run.arm}
    if arms:
        notes.append(f"Trained otherwise than usual: {', '.join(arms)}.")
    if any(run.warning for run in analysis.collection.scored):
        notes.append(LITTLE_NOTE)
    without = [column.target for column in analysis.columns if TASKS[column.target].task_type not in ("retrieval", "mining", "ranking")
               and column.target not in set(analysis.calibration.task)]  # fmt: skip
    if without:
        notes.append(f"Calibration: no probabilities were kept of {', '.join(without)}.")
    for average, (_, lacking) in averages.items():
        reasons = {}
        for row, why in lacking.items():
            reasons.setdefault(why, []).append(" ".join(row) if len(analysis.models) > 1 else row[1])
        for why, names in reasons.items():
            notes.append(f"No {average} average for {'any row' if len(names) == len(analysis.rows) else ', '.join(names)}: {why}.")
    notes += [f"{column.target}: thresholds were chosen on the gold that is scored, not on dev: not comparable with XTREME's."
              for column in analysis.columns if any(run.is_tuned_on_test for run in column.runs)]  # fmt: skip
    head = [*label_head(analysis), *(column.target for column in analysis.columns), *averages, "seeds", "failed tries"]
    return Table("summary", "Scores of the targets", head, rows, notes, len(label_head(analysis)))


def mean_cell(column: Column, row: tuple[str, str], seeds: int) -> Cell:
    if row not in column.mean.scores:
        return Cell("not there", "missing")
    warned = sum(run.warning is not None for run in column.runs if (run.model, run.start) == row)
    return score_cell(column.mean.scores[row], seeds if column.mean.is_drawn[row] else 1, warned)


def mean_of_all(scores: dict) -> float | None:
    return None if None in scores.values() or not scores else float(np.mean(list(scores.values())))


def published_rows(analysis: Analysis, blank: Sequence[Cell]) -> list[list[Cell]]:
    """A row for each published model whose layer and length agree with a run's, with the mean over the same languages."""
    found, sources = {}, {}
    for column in analysis.columns:
        for reference in references_for(column.target):
            is_of_benchmark = set(column.languages) <= set(reference.scores) and not column.own
            if is_of_benchmark and any(agrees(run, reference) for run in column.runs):
                value = float(np.mean([reference.scores[language] for language in column.languages]))
                found.setdefault(reference.model, {})[column.target] = value
                sources[reference.model] = reference.source
    rows = []
    for model, values in found.items():
        cells = [Cell(f"{values[c.target]:.1f}", "", values[c.target]) if c.target in values else Cell("") for c in analysis.columns]
        rows.append([*blank, Cell(f"published: {model}, {sources[model]}"), *cells])
    return rows


def agrees(run: Run, reference: Any) -> bool:
    """Whether a baseline run has the model, layer, length and choice of threshold of published scores."""
    layer, length = (run.settings.get(((run.model, run.task), name)) for name in ("layer", "max_seq_length"))
    same = (layer, length) == (reference.layer, reference.max_seq_length) and reference.is_tuned_on_test == run.is_tuned_on_test
    return run.start == BASELINE and run.model == reference.model and same


def differences(analysis: Analysis) -> Table:
    """Differences to the baseline of the same model with 95% intervals; ties after Holm's correction over the whole table."""
    rows = []
    for row in analysis.rows:
        cells = [analysis.difference(row, name) for name in analysis.compared]
        if any(cells):
            rows.append([*labels_of(analysis, row), *(MISSING if cell is None else difference_cell(cell, cell.p) for cell in cells)])
    sure = any(column.has_intervals for column in analysis.columns)
    unsure = [column.target for column in analysis.columns if not column.has_intervals]
    several = any(column.mean.seed_freedom for column in analysis.columns)
    notes = [f"Difference to {baseline_name(analysis)} (95% interval), in points."]
    if sure:
        drawn = f"{analysis.resamples:,} paired resamples of the examples" + (" and the spread between seeds" if several else "")
        notes.append(f"Intervals: {drawn}. Ties (≈, grey) are not told from 0 at 5% after Holm's correction over the table.")
    if sure and not several:
        notes.append("Each row has one seed: another seed of the same training may differ by more than the interval.")
    if unsure:
        notes.append(f"Without predictions to resample: {', '.join(unsure)}.")
    head = [*label_head(analysis), *analysis.compared]
    return Table("transfer", f"Differences to {baseline_name(analysis)}", head, rows, notes, len(label_head(analysis)))


def baseline_name(analysis: Analysis) -> str:
    name = analysis.baseline
    if name in analysis.models:
        return f"the same start of {name}"
    return "the baseline of the same model" if name == BASELINE else f"{name} of the same model"


def by_language(analysis: Analysis, column: Column) -> Table:
    """One target, language by language, with the mean, the mean without English, and the transfer gap."""
    rows = []
    for row in (row for row in analysis.rows if row in column.mean.scores):
        cells = []
        for language in column.languages:
            mean, difference = column.by_language[language][row]
            is_tie = difference is not None and difference.is_tie
            beside = f" ({difference.value:+.1f})" if difference else ""
            kind = "tie" if is_tie else "" if difference is None or np.isnan(difference.low) else "up" if difference.value > 0 else "down"
            cells.append(Cell(f"{mean.value:.1f}{beside}", kind, mean.value))
        cells.append(score_cell(column.mean.scores[row]))
        if "en" in column.languages and column.others:
            others, english = float(column.others.scores[row].mean()), column.by_language["en"][row][0].value
            cells += [score_cell(column.others.scores[row]), Cell(f"{english - others:z.1f}", "", english - others)]
        worst = min(column.languages, key=lambda language: column.by_language[language][row][0].value)
        cells.append(Cell(worst))
        rows.append([*labels_of(analysis, row), *cells])
    width = len(label_head(analysis))
    guesses = {language: column.chance.get(language) for language in column.languages}
    has_gap = "en" in column.languages and column.others is not None
    means = [mean_of_all(guesses)]
    if has_gap:
        means.append(mean_of_all({language: guess for language, guess in guesses.items() if language != "en"}))
    guess_cells = [MISSING if guess is None else Cell(f"{guess:.1f}", "", guess) for guess in (*guesses.values(), *means)]
    rows.append([*[Cell("")] * (width - 1), Cell("chance"), *guess_cells, *[Cell("")] * (2 if has_gap else 1)])
    head = [*label_head(analysis), *column.languages, "mean", *(["others", "gap"] if has_gap else []), "worst"]
    notes = [f"In brackets the difference to {baseline_name(analysis)}; ≈ or grey: its 95% interval holds 0 (each language by itself)."]
    if has_gap:
        notes.append("others: mean without English; gap: English minus others.")
    return Table(f"languages_{column.target}", f"{column.target} by language", head, rows, notes, width)


def group_table(analysis: Analysis, grouping: str) -> Table:
    """Means over groups of languages: of the baseline the score, of the other rows the difference to it."""
    groups = list(dict.fromkeys(group for column in analysis.columns for name, group in column.groups if name == grouping))
    groups = [name for _, name in STEPS if name in groups] or sorted(groups)
    rows = []
    for row in analysis.rows:
        for group in groups:
            found = [column.by_group.get((grouping, group), {}).get(row) for column in analysis.columns]
            if any(found):
                cells = [MISSING if pair is None else group_cell(*pair, len(column.groups[grouping, group]))
                         for pair, column in zip(found, analysis.columns)]  # fmt: skip
                rows.append([*labels_of(analysis, row), Cell(group), *cells])
    title = GROUPINGS.get(grouping, f"{grouping} (--groups)")
    notes = [
        f"Mean over the languages of a group without English, in brackets their number; below the baseline, differences to"
        f" {baseline_name(analysis)} (95% interval), of rows without a baseline the mean. ≈ or grey: the interval holds 0."
    ]
    source = sources().get({"cc100": "cc100_gib"}.get(grouping, grouping))
    if source:
        notes.append(f"Source: {source}.")
    head = [*label_head(analysis), "group", *(column.target for column in analysis.columns)]
    return Table(f"groups_{slug(grouping)}", f"Groups: {title}", head, rows, notes, len(label_head(analysis)) + 1)


def slug(name: str) -> str:
    """The name as part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "own"


def group_cell(mean: Estimate, difference: Estimate | None, languages: int) -> Cell:
    return Cell(f"{mean.value:.1f} ({languages})", "", mean.value) if difference is None else difference_cell(difference)


def correlation_table(analysis: Analysis) -> Table:
    """Rank correlations over languages: of the baseline's scores, and of the other rows' gains, with distances and amounts of text."""
    facts, rows = read_languages(), []
    for row in analysis.rows:
        for measure, name in MEASURES.items():
            cells = []
            for column in analysis.columns:
                pairs = [(facts[measure][language], mean if difference is None else difference)
                         for language in column.languages if language in facts.index and language != ENGLISH
                         for mean, difference in [column.by_language[language].get(row, (None, None))] if mean is not None]  # fmt: skip
                rho, low, high, n, p = rank_correlation([x for x, _ in pairs], [estimate.value for _, estimate in pairs], 2000)
                kind = "tie" if low <= 0 <= high or p >= ALPHA else ""
                text = f"{rho:+.2f} ({low:+.2f} to {high:+.2f}, n = {n})"
                cells.append(MISSING if np.isnan(rho) else Cell(text, kind, rho))
            if any(cell is not MISSING for cell in cells):
                rows.append([*labels_of(analysis, row), Cell(name), *cells])
    notes = [
        "Spearman's rank correlation over the n languages without English (95% bootstrap interval over languages): of the baseline, and of"
        " rows without a baseline, the score, of the other rows the gain. ≈ or grey: the interval holds 0, or one in twenty random orders"
        " of the languages does as well: of four languages none can be told from chance."
    ]
    shown = {language for column in analysis.columns for language in column.languages}
    imputed = [language for language in facts.index[facts.imputed == "syntactic"] if language in shown]
    if imputed:
        notes.append(f"Most of the syntactic features are imputed for: {', '.join(imputed)}.")
    notes.append("; ".join(f"{MEASURES[m]}: {sources()[m]}" for m in MEASURES))
    head = [*label_head(analysis), "measure", *(column.target for column in analysis.columns)]
    return Table("correlations", "Which languages gain", head, rows, notes, len(label_head(analysis)) + 1)


def kinds_table(analysis: Analysis) -> Table:
    """Mean difference of every kind of intermediate task on every kind of target."""
    kinds = list(dict.fromkeys(kind_of(column.target) for column in analysis.columns))
    gains = {}
    for model, start, target, estimate in gains_of_pairs(analysis):
        gains.setdefault((model, kind_of(start)), {}).setdefault(kind_of(target), []).append(estimate)
    rows = [
        [*([Cell(model)] * (len(analysis.models) > 1)), Cell(kind), *(gain_cell(by_target.get(other, [])) for other in kinds)]
        for (model, kind), by_target in sorted(gains.items())
    ]
    head = [*label_head(analysis)[:-1], "kind of intermediate task", *kinds]
    return Table("kinds", "Gains by kind of task", head, rows, [GAINS_NOTE + NO_INTERVAL_NOTE], len(label_head(analysis)))


def domain_table(analysis: Analysis) -> Table:
    """Mean difference of intermediate tasks whose text is of a target's domain, and of the others."""
    pairs, rows = gains_of_pairs(analysis), []

    def cell_of(model, column, shared):
        those = [(start, e) for m, start, target, e in pairs if (m, target) == (model, column.target)
                 and shares_domain(start, target) is shared]  # fmt: skip
        if not those:
            return MISSING
        rows_and_baselines = [((model, start), analysis.baseline_of((model, start))) for start, _ in those]
        return gain_cell([e for _, e in those], column.mean.mean_difference(rows_and_baselines))

    for model in analysis.models:
        for shared, name in ((True, "the same"), (False, "another")):
            cells = [cell_of(model, column, shared) for column in analysis.columns]
            if any(cell is not MISSING for cell in cells):
                rows.append([*([Cell(model)] * (len(analysis.models) > 1)), Cell(name), *cells])
    head = [*label_head(analysis)[:-1], "domain of the text", *(column.target for column in analysis.columns)]
    notes = [GAINS_NOTE + INTERVAL_NOTE, "Domains and their sources: report/domains.csv. Targets of mixed domains are in no row."]
    return Table("domains", "Gains by domain of the text", head, rows, notes, len(label_head(analysis)))


def gains_of_pairs(analysis: Analysis) -> list[tuple]:
    """(model, intermediate task, target, difference) of every start that is one intermediate task."""
    found = [(*row, column.target, analysis.difference(row, column.target)) for row in analysis.rows for column in analysis.columns]
    return [pair for pair in found if pair[1] in INTERMEDIATE and pair[3] is not None]


def gain_cell(estimates: list[Estimate], mean: Estimate | None = None) -> Cell:
    """`+1.9 (6: 3 up, 1 down)`: the mean, the number of pairs, and how many of them are no ties.

    mean  of the estimates, with its interval: `+1.9 (+0.4 to +3.4; 6: 3 up, 1 down)`.
    """
    if not estimates:
        return MISSING
    kinds = [difference_cell(estimate, estimate.p).kind for estimate in estimates]
    value = float(np.mean([estimate.value for estimate in estimates]))
    sure = f": {kinds.count('up')} up, {kinds.count('down')} down" if any(kinds) else ""
    has_interval = mean is not None and not np.isnan(mean.low)
    between = f"{mean.low:+.1f} to {mean.high:+.1f}; " if has_interval else ""
    return Cell(f"{value:+.1f} ({between}{len(estimates)}{sure})", difference_cell(mean).kind if has_interval else "", value)


def intermediate_table(analysis: Analysis) -> Table | None:
    """English dev scores of intermediate tasks trained alone, and the difference where a task was trained with others or masked LM."""
    columns, warned = {}, {}
    for run in analysis.collection.runs:
        if run.phase == "intermediate":
            for task, scores in run.scores.items():
                name = "alone" if run.start == task else run.start
                columns.setdefault((run.model, name), {}).setdefault(task, {})[run.seed] = scores[TASKS[task].dev_metric]
                if run.start == task and run.warning:
                    warned[run.model, task] = warned.get((run.model, task), 0) + 1
    starts = list(dict.fromkeys(start for _, start in columns))
    starts = ["alone", *(start for start in starts if start != "alone")]
    rows = []
    for model in dict.fromkeys(model for model, _ in columns):
        for task in (task for task in INTERMEDIATE if any(task in columns.get((model, start), {}) for start in starts)):
            alone = columns.get((model, "alone"), {}).get(task)
            cells = []
            for start in starts:
                scores = columns.get((model, start), {}).get(task)
                if scores is None:
                    cells.append(Cell(""))
                elif start == "alone" or not alone:
                    cells.append(score_cell(list(scores.values()), warned=warned.get((model, task), 0) if start == "alone" else 0))
                else:
                    change = np.mean(list(scores.values())) - np.mean(list(alone.values()))
                    cells.append(Cell(f"{np.mean(list(scores.values())):.1f} ({change:+.1f})", "", float(np.mean(list(scores.values())))))
            rows.append([*[Cell(model)] * (len(analysis.models) > 1), Cell(f"{task} ({TASKS[task].dev_metric})"), *cells])
    if not rows:
        return None
    head = [*["model"] * (len(analysis.models) > 1), "intermediate task", *starts]
    notes = ["Score on English dev ± standard deviation over seeds; in brackets the difference to the task trained alone."]
    notes += [LITTLE_NOTE] * bool(warned)
    return Table("intermediate", "Intermediate tasks on English dev", head, rows, notes, len(head) - len(starts))


def layers_of(analysis: Analysis, column: Column) -> pandas.DataFrame | None:
    """What was measured by layer for one target; None where nothing was."""
    values = layers_table(column.runs)
    return None if values.empty else values


def layer_accuracy_table(analysis: Analysis, column: Column) -> Table | None:
    """Retrieval accuracy of each layer, for both poolings and each treatment of the vectors; the best layer of a row is marked."""
    values = layers_of(analysis, column)
    if values is None:
        return None
    layers, rows = sorted(values.layer.unique().tolist()), []
    means = values.groupby(["model", "start", "pooling", "vectors", "layer"], sort=False).accuracy.mean()
    for row in analysis.rows:
        for pooling, vectors in values[["pooling", "vectors"]].drop_duplicates().itertuples(index=False):
            found = {layer: means.get((*row, pooling, vectors, layer)) for layer in layers}
            if None not in found.values():
                best = max(found, key=found.get)
                cells = [Cell(f"{found[layer]:.1f}{'*' if layer == best else ''}", "", found[layer]) for layer in layers]
                rows.append([*labels_of(analysis, row), Cell(pooling), Cell(vectors), *cells])
    head = [*label_head(analysis), "pooling", "vectors", *map(str, layers)]
    notes = [f"Accuracy from English, mean over {values.language.nunique()} languages and seeds, by layer: 0 is the embedding output. * the"
             " best layer of a row, found on the test itself: no score to report."]  # fmt: skip
    return Table(f"layers_{column.target}", f"{column.target}: accuracy by layer", head, rows, notes, len(label_head(analysis)) + 2)


def layer_measures_table(analysis: Analysis, column: Column) -> Table | None:
    """Measures of alignment by layer, at the pooling that was scored, of vectors as they are."""
    values = layers_of(analysis, column)
    if values is None:
        return None
    pooling = column.runs[0].pooling
    values = values[(values.pooling == pooling) & (values.vectors == AS_THEY_ARE)]
    layers, rows = sorted(values.layer.unique()), []
    means = values.groupby(["model", "start", "layer"], sort=False)[list(LAYER_MEASURES)].mean()
    for row in analysis.rows:
        for measure, name in LAYER_MEASURES.items() if all((*row, layer) in means.index for layer in layers) else ():
            digits = 1 if measure in ("accuracy", "foreign_to_english") else 3
            found = [means.loc[(*row, layer), measure] for layer in layers]
            cells = [MISSING if np.isnan(value) else Cell(f"{value:.{digits}f}", "", float(value)) for value in found]
            rows.append([*labels_of(analysis, row), Cell(name), *cells])
    head = [*label_head(analysis), "measure", *map(str, layers)]
    notes = [f"Means over {values.language.nunique()} languages and seeds, {pooling} pooling, vectors as they are; layers.csv has the rest."
             " Definitions: docs/alignment.md. IsoScore depends on the number of sentences: compare within one column only."]  # fmt: skip
    return Table(f"alignment_{column.target}", f"{column.target}: alignment by layer", head, rows, notes, len(label_head(analysis)) + 1)


def layer_choice_table(analysis: Analysis, column: Column) -> Table | None:
    """What a choice of the layer on other languages reports, and what a choice on the test would have claimed."""
    rows, names = [], []
    for row in analysis.rows:
        found = [claims(run) for run in column.runs if (run.model, run.start) == row]
        if not found or not all(found):
            continue
        names = list(found[0])
        cells = []
        for name in names:
            scores, layers = zip(*(claim[name] for claim in found))
            cells.append(Cell(f"{np.mean(scores):.1f} (layer {', '.join(dict.fromkeys(layers))})", "", float(np.mean(scores))))
        claimed = cells[-1].value - cells[names.index("other languages")].value
        rows.append([*labels_of(analysis, row), *cells, Cell(f"{claimed:+.1f}", "", claimed)])
    head = [*label_head(analysis), *names, "claimed too much"]
    notes = ["Accuracy from English, mean over languages and seeds. Other languages: each language at the layer that is best on all others,"
             " as --layer best chooses it. The columns \"on the test\" look at the scores that they report; the last column is their most"
             " generous form less the honest choice."]  # fmt: skip
    return Table(f"layer_choice_{column.target}", f"{column.target}: choice of the layer", head, rows, notes, len(label_head(analysis)))


def mean_matrix(runs: Sequence[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """The mean of the matrices of several seeds, over the pairs of languages that all have; English first."""
    first = {question: set(row) for question, row in runs[0].items()}
    languages = sorted({*first, *(other for row in first.values() for other in row)}, key=lambda language: (language != "en", language))
    return {
        question: {other: float(np.mean([run[question][other] for run in runs])) for other in languages
                   if all(other in run.get(question, {}) for run in runs)}
        for question in languages if question in first
    }  # fmt: skip


def matrices_by_row(analysis: Analysis, column: Column, name: str) -> dict[tuple, dict[str, dict[str, float]]]:
    """{row: mean matrix over its seeds} of the rows whose runs have one. name: of MATRICES"""
    found = {row: [run.matrices[name] for run in column.runs if (run.model, run.start) == row and name in run.matrices]
             for row in analysis.rows}  # fmt: skip
    return {row: mean_matrix(matrices) for row, matrices in found.items() if matrices}


def matrix_table(analysis: Analysis, column: Column, name: str) -> Table | None:
    """A matrix of two languages for each row of the tables: a line for each language of the questions."""
    matrices = matrices_by_row(analysis, column, name)
    if not matrices:
        return None
    title, across, note, last = MATRICES[name]
    languages = list(dict.fromkeys(other for matrix in matrices.values() for row in matrix.values() for other in row))
    rows = []
    for row, matrix in matrices.items():
        for question, values in matrix.items():
            cells = [Cell(f"{values[other]:.1f}", "", values[other]) if other in values else MISSING for other in languages]
            rows.append([*labels_of(analysis, row), Cell(question), *cells, summary_of_line(name, question, values)])
    head = [*label_head(analysis), f"questions in / {across}", *languages, last]
    return Table(f"{name}_{column.target}", f"{column.target}: {title}", head, rows, [note], len(label_head(analysis)) + 1)


def summary_of_line(name: str, question: str, values: dict[str, float]) -> Cell:
    """The last cell of a line: of G-XLT the mean; of the language bias the own language minus the mean of the others."""
    others = [value for other, value in values.items() if other != question]
    if name == "g_xlt":
        mean = float(np.mean(list(values.values())))
        return Cell(f"{mean:.1f}", "", mean)
    if question not in values or not others:
        return MISSING
    bias = values[question] - float(np.mean(others))
    return Cell(f"{bias:+.1f}", "", bias)


def calibration_of(analysis: Analysis, target: str) -> pandas.DataFrame:
    table = analysis.calibration
    return table[table.task == target]


def calibration_table(analysis: Analysis, target: str) -> Table | None:
    """Calibration metrics of one target before and after temperature scaling, means over languages and seeds."""
    values = calibration_of(analysis, target)
    if values.empty:
        return None
    means = values.groupby(["model", "start", "scaling", "metric"], observed=True).value.mean()
    temperatures = values.groupby(["model", "start", "scaling"], observed=True).temperature.mean()
    rows = []
    for row in analysis.rows:
        for scaling in (name for name in SCALING_NAMES if (*row, name) in temperatures.index):
            cells = [Cell(f"{(v := means[(*row, scaling, metric)]):.{digits}f}", "", v) for metric, (_, digits) in METRIC_NAMES.items()]
            temperature = temperatures[(*row, scaling)]
            rows.append([*labels_of(analysis, row), Cell(SCALING_NAMES[scaling]), Cell(f"{temperature:.2f}", "", temperature), *cells])
    notes = [CALIBRATION_NOTE, "Means over languages and seeds. Temperature: fitted on the English dev set, or on examples of each language"
             " (then the metrics are those of its other examples)."]  # fmt: skip
    head = [*label_head(analysis), "scaled on", "temperature", *(name for name, _ in METRIC_NAMES.values())]
    return Table(f"calibration_{target}", f"{target}: calibration", head, rows, notes, len(label_head(analysis)) + 1)


def calibration_by_language(analysis: Analysis, column: Column) -> Table | None:
    """ECE with 15 bins in each language of one target, before and after temperature scaling, with its 95% interval over examples."""
    values = calibration_of(analysis, column.target)
    values = values[values.metric == "ece_15"]
    if values.empty:
        return None
    means = values.groupby(["model", "start", "scaling", "language"], observed=True)[["value", "low", "high"]].mean()
    rows = []
    for row in analysis.rows:
        for scaling, name in SCALING_NAMES.items():
            keys = [(*row, scaling, language) for language in column.languages]
            if any(key in means.index for key in keys):
                cells = [ece_cell(means.loc[key]) if key in means.index else MISSING for key in keys]
                rows.append([*labels_of(analysis, row), Cell(name), *cells])
    head = [*label_head(analysis), "scaled on", *column.languages]
    notes = ["ECE in percent, 15 bins of equal width (95% interval over examples, mean over seeds)."]
    return Table(f"ece_{column.target}", f"{column.target}: ECE by language", head, rows, notes, len(label_head(analysis)) + 1)


def ece_cell(values: Any) -> Cell:
    between = "" if np.isnan(values.low) else f" ({values.low:.1f} to {values.high:.1f})"
    return Cell(f"{values.value:.1f}{between}", "", float(values.value))


def margins_table(analysis: Analysis, column: Column) -> Table | None:
    """Of retrieval: how far right and wrong pairs are ahead of others, in each language, and whether that tells them apart."""
    values = analysis.margins[analysis.margins.task == column.target]
    if values.empty:
        return None
    means = values.groupby(["model", "start", "language"], observed=True)[["right", "wrong", "auc"]].mean()
    rows = []
    for row in analysis.rows:
        keys = [(*row, language) for language in column.languages]
        if any(key in means.index for key in keys):
            cells = [margin_cell(means.loc[key]) if key in means.index else MISSING for key in keys]
            rows.append([*labels_of(analysis, row), *cells])
    head, notes = [*label_head(analysis), *column.languages], [MARGINS_NOTE, MARGIN_OF[TASKS[column.target].task_type]]
    return Table(f"margins_{column.target}", f"{column.target}: margins", head, rows, notes, len(label_head(analysis)))


def margin_cell(values: Any) -> Cell:
    """`0.112 / 0.021 (0.93)`; a dash for what is not there, as the margin of wrong pairs where all are right."""
    right, wrong = ("—" if np.isnan(value) else f"{value:.3f}" for value in (values.right, values.wrong))
    return Cell(f"{right} / {wrong}" + ("" if np.isnan(values.auc) else f" ({values.auc:.2f})"), "", float(values.right))


def problems_table(analysis: Analysis) -> Table | None:
    """What could not be used, and why."""
    if not analysis.problems:
        return None
    rows = [[Cell(problem.folder), Cell(problem.kind), Cell(problem.what)] for problem in analysis.problems]
    return Table("problems", "Results that are left out, or not whole", ["folder", "kind", "what"], rows, [], 3)
