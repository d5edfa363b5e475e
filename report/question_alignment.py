"""Does English intermediate training degrade alignment with distant languages more than tuning on the target language does?"""

import pandas

from report.alignment_measures import NAMES, SCORED, measures_of
from report.analysis import Analysis
from report.collect import BASELINE, Run, is_english_intermediate
from report.domains import kind_of
from report.effects import effects
from report.formats import Cell
from report.languages import ENGLISH, read_languages
from report.section import MARGIN, Section, averaged, of_model, without_baseline
from report.statistics import Estimate

SHOWN_WHOLE = [name for name, _ in NAMES.values()]  # of these measures the slopes before and after each training are shown


def alignment(analysis: Analysis) -> Section:
    section = Section(missing=without_baseline(analysis))
    runs = [run for run in analysis.collection.scored if kind_of(run.task) == "retrieval"]
    for model in dict.fromkeys(run.model for run in runs):
        for task in dict.fromkeys(run.task for run in runs if run.model == model):
            align_task(section, [run for run in runs if (run.model, run.task) == (model, task)], f" [{task}]" + of_model(analysis, model))
    if not runs:
        section.missing.append("runs of run_retrieval.py on pairs of translations (tatoeba).")
    section.notes += [
        "Where no mean is named: points for a tenth more of syntactic distance from English (report/languages.csv), over n languages;"
        " languages of one family may move together. Tuning on the target language: each language after a training that had data in it."
        " Measures in 0..1 (cosine difference, margin, ANC, IsoScore) are multiplied by 100; definitions: run_retrieval.py --layers.",
        *averaged(run.start for run in runs),
        f"Yes: the interval lies below 0. No: it leaves no room for {MARGIN:g} point for each tenth. Else undecided.",
    ]
    return section


def align_task(section: Section, runs: list[Run], name: str) -> None:
    before = [run for run in runs if run.start == BASELINE]
    after = [run for run in runs if is_english_intermediate(run.start)]
    tuned = [run for run in runs if run.tuned_in - {ENGLISH} and ">" not in run.start]
    values = {"before": alignment_values(before), "intermediate": alignment_values(after), "target": tuned_values(tuned)}
    if not tuned:
        section.missing.append(f"retrieval after tuning on the target languages (--train_languages){name}.")
    for measure, first in values["before"].items():
        change = {
            when: {x: value - first[x] for x, value in values[when].get(measure, {}).items() if x in first}
            for when in ("intermediate", "target")
        }
        both = {x: change["intermediate"][x] - change["target"][x] for x in change["intermediate"] if x in change["target"]}
        rows = (("before any training", first, None), ("change by intermediate training", change["intermediate"], -1),
                ("change by tuning on the target language", change["target"], -1), ("difference of the two changes", both, -1))  # fmt: skip
        for what, by_language, sign in rows:
            found, n = slope(by_language)
            if by_language and measure == SCORED:
                level = sum(by_language.values()) / len(by_language)
                text = f"{level:+.1f}" if sign else f"{level:.1f}"
                cells = [Cell(f"{measure}, {what}, mean over languages{name}"), Cell(text, "", level)]
                section.rows.append([*cells, Cell(f"{len(by_language)} languages"), Cell("")])
            if n == 0 or (measure not in SHOWN_WHOLE and what != rows[1][0]):
                continue
            if n < 4:
                section.missing.append(
                    f"languages for a slope of {measure}, {what}: {n} with a known distance, at least 4 are needed{name}."
                )
                continue
            said = section.add(f"{measure}, {what}{name}", found, f"{n} languages", MARGIN if sign else None, sign or 1)
            if measure == SCORED and what == rows[1][0]:
                section.answers[f"intermediate training lowers {measure} of distant languages more{name}"] = said
            if measure == SCORED and what == rows[3][0]:
                section.answers[f"more than tuning on the target language does{name}"] = said


def alignment_values(runs: list[Run]) -> dict[str, dict[str, float]]:
    """{measure: {language: mean over starts of the mean over seeds}}."""
    rows = [(measure, language, run.start, value) for run in runs for measure, values in measures_of(run).items()
            for language, value in values.items()]  # fmt: skip
    if not rows:
        return {}
    frame = pandas.DataFrame(rows, columns=["measure", "language", "start", "value"])
    means = frame.groupby(["measure", "language", "start"]).value.mean().groupby(["measure", "language"]).mean()
    order = dict.fromkeys(frame.measure)
    return {measure: means[measure].to_dict() for measure in order}


def tuned_values(runs: list[Run]) -> dict[str, dict[str, float]]:
    """The same of runs after target training, each language from the runs whose training had data in it."""
    found = {}
    for language in sorted({language for run in runs for language in run.scores}):
        for measure, values in alignment_values([run for run in runs if language in run.tuned_in]).items():
            if language in values:
                found.setdefault(measure, {})[language] = values[language]
    return found


def slope(by_language: dict[str, float]) -> tuple[Estimate, int]:
    """(change for a tenth of syntactic distance, number of languages)."""
    facts = read_languages()
    languages = [language for language in by_language if language in facts.index and language != ENGLISH]
    distance = [10 * facts.syntactic[language] for language in languages]
    families = [facts.family[language] for language in languages]
    return effects([by_language[language] for language in languages], {"distance": distance}, blocks=families)["distance"], len(languages)
