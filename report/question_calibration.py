"""Does intermediate training change calibration otherwise in distant languages than in near ones?"""

import numpy as np
import pandas

from report.analysis import Analysis
from report.calibration import NO_SCALING, calibrate
from report.collect import BASELINE, Collection, Run, is_english_intermediate
from report.effects import contrast, effects
from report.formats import Cell
from report.languages import ENGLISH, read_languages
from report.section import Section, averaged, of_model, without_baseline
from report.tables import METRIC_NAMES, SCALING_NAMES

SMOOTHING = "label_smoothing_factor"
FAR = 0.5  # syntactic distance from English
CALIBRATION_METRICS = {"ece_15": (1.0, 1), "brier": (0.01, 3), "nll": (0.01, 3)}  # metric: (margin, digits)


def calibration(analysis: Analysis) -> Section:
    section = Section(missing=without_baseline(analysis))
    plain = calibration_values(analysis.calibration)
    arms = calibration_values(calibrate(smoothed_runs(analysis.collection), 0, analysis.temperature_examples)[0])
    if not plain:
        section.missing.append("probabilities: --save_probabilities was false, or the runs are older.")
    if plain and not arms:
        section.missing.append("the arm with label smoothing (--label_smoothing_factor 0.1 of run_target.py).")
    for model in analysis.models:
        name = of_model(analysis, model)
        base = {key[2:]: value for key, value in plain.items() if key[:2] == (model, BASELINE)}
        after = {key: value for key, value in plain.items() if key[0] == model and is_english_intermediate(key[1])}
        of_arm = {key: value for key, value in arms.items() if key[0] == model and key in plain}
        changes = {"intermediate training": mean_change(after, {key: base.get(key[2:]) for key in after}),
                   "label smoothing": mean_change(of_arm, plain)}  # fmt: skip
        for what, change in changes.items():
            for metric, (margin, digits) in CALIBRATION_METRICS.items():
                for scaling in SCALING_NAMES:
                    by_cell = {key[:2]: value for key, value in change.items() if key[2:] == (scaling, metric)}
                    temperature = "no temperature" if scaling == NO_SCALING else f"temperature from {SCALING_NAMES[scaling]}"
                    row = f"{METRIC_NAMES[metric][0]}, {what}, {temperature}{name}"
                    said = add_groups(section, by_cell, row, margin, digits)
                    if said and (metric, scaling) == ("ece_15", NO_SCALING):
                        section.answers[f"{what} changes ECE (15 bins) otherwise in distant languages{name}"] = said
    section.notes += [
        *averaged(start for _, start in analysis.rows),
        "Change over the baseline (of label smoothing: over the same start without it), mean over starts and seeds. Lower is better. Near:"
        f" languages below {FAR:g} in syntactic distance from English; distant: the others. Difference: distant minus near, within targets:"
        " positive where calibration of distant languages gets worse in comparison. Languages of one family may move together.",
        "Yes: the interval of the difference does not hold 0. No: it lies within the margin, 1 point of ECE, 0.01 of Brier and NLL."
        " Else undecided.",
    ]
    return section


def smoothed_runs(collection: Collection) -> list[Run]:
    """The runs that differ from those in the tables by label smoothing alone."""
    plain = [run.arm for run in collection.scored]
    return [run for run in collection.arms if SMOOTHING in run.arm
            and {name: value for name, value in run.arm.items() if name != SMOOTHING} in plain]  # fmt: skip


def calibration_values(frame: pandas.DataFrame) -> dict[tuple, float]:
    """{(model, start, task, language, scaling, metric): mean over seeds}."""
    keys = ["model", "start", "task", "language", "scaling", "metric"]
    return frame[frame.metric.isin(list(CALIBRATION_METRICS))].groupby(keys, observed=True).value.mean().to_dict()


def mean_change(values: dict[tuple, float], base: dict[tuple, float | None]) -> dict[tuple, float]:
    """{(task, language, scaling, metric): mean over starts of the change}."""
    changes = {}
    for key, value in values.items():
        if base[key] is not None:
            changes.setdefault(key[2:], []).append(value - base[key])
    return {key: float(np.mean(list_of)) for key, list_of in changes.items()}


def add_groups(section: Section, by_cell: dict[tuple, float], row: str, margin: float, digits: int) -> str | None:
    """Adds the changes of near and of distant languages, and their difference. by_cell: {(task, language): change}. -> the answer"""
    facts = read_languages()
    cells = [(task, language) for task, language in by_cell if language in facts.index and language != ENGLISH]
    is_far = np.array([facts.syntactic[language] >= FAR for _, language in cells], dtype=float)
    if not cells:
        return None
    for group, chosen in (("near", is_far == 0), ("distant", is_far == 1)):
        languages = sorted({cell[1] for cell, is_in in zip(cells, chosen) if is_in})
        means = [np.mean([by_cell[cell] for cell in cells if cell[1] == language]) for language in languages]
        if means:
            section.add(f"{row}, {group}", contrast([(1.0, means)]), f"{len(means)} languages", digits=digits, is_gain=False)
        if len(means) < 2 and (said := f"languages of the group `{group}`: {len(means)}.") not in section.missing:
            section.missing.append(said)
    families = [facts.family[language] for _, language in cells]
    found = effects([by_cell[cell] for cell in cells], {"far": is_far}, [[task for task, _ in cells]], families)["far"]
    if np.isnan(found.value):
        return None
    section.add(f"{row}, difference", found, f"{len(cells)} cells", digits=digits, is_gain=False)
    said = (
        "undecided"
        if np.isnan(found.low)
        else "yes"
        if not found.is_tie
        else "no"
        if -margin < found.low and found.high < margin
        else "undecided"
    )
    section.rows[-1][3] = Cell(said)
    return said
