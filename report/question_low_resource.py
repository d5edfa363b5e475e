"""Is transfer to low-resource languages more robust after intermediate training than after multilingual fine-tuning?"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from report.analysis import Analysis
from report.collect import BASELINE, READING, Run, is_english_intermediate
from report.effects import contrast, spread_ratio
from report.formats import Cell
from report.languages import ENGLISH, read_languages
from report.section import MARGIN, Section, averaged, mean_score, of_model
from report.statistics import Estimate

LOW = {"joshi": "Joshi's class 0 to 2", "cc100": "less than 10 GiB in CC-100"}
ABOVE_CHANCE = 5.0  # points: an arm that is no better has learned nothing that could be robust
LOW_GROUP = "low"  # the name of the group in a column of a user's --groups


def low_resource(analysis: Analysis) -> Section:
    section = Section()
    runs = [run for run in (*analysis.collection.scored, *analysis.collection.arms) if run.phase == "target"]
    plain_examples = {run.arm.get("max_train_samples") for run in analysis.collection.scored}
    for model in dict.fromkeys(run.model for run in runs):
        arms = {}
        for run in (run for run in runs if run.model == model):
            kind = arm_of(run, plain_examples)
            if kind:
                arms.setdefault(kind, {}).setdefault((run.task, run.start), {})[run.seed] = run
        name = of_model(analysis, model)
        arms = of_shared_targets(section, arms, name)
        for arm in (arm for arm in ("none", "intermediate", "multilingual") if arm not in arms):
            section.missing.append(f"the arm `{arm}`{name}.")
        scored = {language for seeds in arms.values() for by_seed in seeds.values() for run in by_seed.values() for language in run.scores}
        for title, low in low_groups(analysis, scored):
            if len(low) < 2:
                section.missing.append(
                    f"languages of the low-resource group by {title}: {'only ' + low[0] if low else 'none'} among the scored ones{name}."
                )
            if not low:
                continue
            compare_arms(section, arms, title, low, name)
            at_chance = arms_at_chance(section, analysis, arms, title, low, name)
            compare_drops(section, arms, analysis.collection.perturbed, title, low, name, at_chance)
        compare_spreads(section, arms, name)
    if len(analysis.seeds()) < 2:
        section.missing.append("a second seed: without it no arm has an interval.")
    section.notes += [
        "Intervals are over seeds; targets, languages and test examples stay as they are. Intermediate: mean over all starts. Differences"
        " are means over the targets that both arms have. Drop: score on the text as it is minus score on perturbed text. A lower score"
        " has less to lose: read drops beside the scores.",
        *averaged(run.start for run in runs),
        f"Yes: the interval lies on the side of intermediate training. No: it leaves no room for {MARGIN:g} point there. Else undecided.",
    ]
    return section


def arm_of(run: Run, plain_examples: set) -> str | None:
    """none, intermediate, multilingual or few-shot; None for an arm of another question."""
    if "label_smoothing_factor" in run.arm:
        return None
    if "train_languages" in run.arm or "train_file" in run.arm:
        is_small = run.arm.get("max_train_samples") is not None and run.arm["max_train_samples"] not in plain_examples
        return "few-shot" if is_small else "multilingual"
    return "none" if run.start == BASELINE else "intermediate" if is_english_intermediate(run.start) else None


def of_shared_targets(section: Section, arms: dict, name: str) -> dict:
    """The arms without the targets that not all of them have, whose levels would be those of unlike targets; all if none is shared."""
    targets = [{task for task, _ in runs} for runs in arms.values()]
    shared = set.intersection(*targets) if targets else set()
    others = sorted(set().union(*targets) - shared)
    if not shared or not others:
        return arms
    section.notes.append(f"Left out, because not every arm has them{name}: {', '.join(others)}.")
    return {arm: {key: seeds for key, seeds in runs.items() if key[0] in shared} for arm, runs in arms.items()}


def low_groups(analysis: Analysis, languages: Iterable[str]) -> list[tuple[str, list[str]]]:
    """(what a measure counts as low, the low ones of the languages): Joshi's classes, CC-100, and a user's groups named `low`."""
    facts = read_languages()
    known = sorted(language for language in languages if language in facts.index and language != ENGLISH)
    is_low = {"joshi": lambda language: facts.joshi[language] in ("0", "1", "2"), "cc100": lambda language: facts.cc100_gib[language] < 10}
    found = [(title, [language for language in known if is_low[measure](language)]) for measure, title in LOW.items()]
    for grouping, groups in (analysis.own_groups or {}).items():
        members = sorted(language for language in languages if groups.get(language) == LOW_GROUP)
        if members:
            found.append((f"{grouping} (--groups)", members))
    return found


def arm_scores(arm: dict, tasks: Sequence[str], value_of: Callable) -> list[list[float]]:
    """For each start of an arm its seeds' means over tasks. value_of: run -> number, None where it has none."""
    rows = []
    for start in dict.fromkeys(start for _, start in arm):
        by_task = [{seed: value_of(run) for seed, run in arm.get((task, start), {}).items()} for task in tasks]
        by_task = [{seed: value for seed, value in values.items() if value is not None} for values in by_task]
        seeds = set.intersection(*map(set, by_task)) if by_task else set()
        if seeds:
            rows.append([float(np.mean([values[seed] for values in by_task])) for seed in sorted(seeds, key=str)])
    return rows


def arm_difference(arms: dict, one: str, other: str, value_of: Callable) -> tuple[Estimate, list[str]] | None:
    """(mean of an arm minus that of another, the tasks); None where they have no task in common."""
    tasks = sorted({task for task, _ in arms.get(one, {})} & {task for task, _ in arms.get(other, {})})
    tasks = [task for task in tasks if all(arm_scores(arms[arm], [task], value_of) for arm in (one, other))]
    above, below = (arm_scores(arms.get(arm, {}), tasks, value_of) for arm in (one, other))
    if not tasks or not above or not below:
        return None
    return contrast([(sign / len(rows), values) for sign, rows in ((1, above), (-1, below)) for values in rows]), tasks


def add_levels(section: Section, arms: dict, what: str, value_of: Callable) -> None:
    """A row for each arm: its mean over starts, seeds, and those of its targets that have such a value."""
    for arm, runs in arms.items():
        tasks = [task for task in sorted({task for task, _ in runs}) if arm_scores(runs, [task], value_of)]
        rows = arm_scores(runs, tasks, value_of)
        if rows:
            level = float(np.mean([np.mean(values) for values in rows]))
            section.rows.append([Cell(f"{arm}, {what}"), Cell(f"{level:.1f}", "", level), Cell(", ".join(tasks)), Cell("")])


def compare_arms(section: Section, arms: dict, title: str, low: list[str], name: str) -> None:
    def of_group(run):
        languages = [language for language in low if language in run.scores]
        return mean_score(run, languages) if languages else None

    def worst(run):
        return min((mean_score(run, [language]) for language in low if language in run.scores), default=None)

    for what, value_of in ((f"mean over {' '.join(low)} ({title})", of_group), (f"worst of {' '.join(low)} ({title})", worst)):
        add_levels(section, arms, what + name, value_of)
        for other in ("multilingual", "few-shot", "none"):
            found = arm_difference(arms, "intermediate", other, value_of)
            if found:
                said = section.add(f"intermediate minus {other}, {what}{name}", found[0], ", ".join(found[1]), MARGIN)
                if other == "multilingual":
                    section.answers[f"better than multilingual, {what}{name}"] = said


def arms_at_chance(section: Section, analysis: Analysis, arms: dict, title: str, low: list[str], name: str) -> set[str]:
    """The arms that are less than `ABOVE_CHANCE` points better than one answer for all, which the section names as missing."""
    guesses, found = {column.target: column.chance for column in analysis.columns}, set()
    for arm, runs in arms.items():
        levels, of_chance = {}, {}
        scored = [run for by_seed in runs.values() for run in by_seed.values() if any(x in run.scores for x in low)]
        for run in scored:
            languages = [x for x in low if x in run.scores and guesses.get(run.task, {}).get(x) is not None]
            if languages:
                levels.setdefault(run.task, []).append(mean_score(run, languages))
                of_chance[run.task] = float(np.mean([guesses[run.task][x] for x in languages]))
        if not levels or {*levels} != {run.task for run in scored}:
            continue
        level = float(np.mean([np.mean(values) for values in levels.values()]))  # each target once, however many languages it has
        guess = float(np.mean(list(of_chance.values())))
        if level < guess + ABOVE_CHANCE:
            what = f"mean over {' '.join(low)} ({title}) {level:.1f}, one answer for all {guess:.1f}"
            section.missing.append(f"scores above chance in the arm `{arm}`{name}: {what}. It has nothing to lose by perturbed text.")
            found.add(arm)
    return found


def compare_drops(section: Section, arms: dict, perturbed: list[Run], title: str, low: list[str], name: str, at_chance: set) -> None:
    for kind in dict.fromkeys(run.perturbed for run in perturbed):
        runs = {(run.model, run.start, run.task, run.seed, repr(run.arm)): run for run in perturbed if run.perturbed == kind}

        def drop(run, runs=runs, kind=kind):
            other = runs.get((run.model, run.start, run.task, run.seed, repr(run.arm)))
            languages = [language for language in low if language in run.scores]
            if other and (differ := differing_readings(run, other)):
                note = f"drops under {kind}: the perturbed text was read with another {', '.join(differ)} than the text as it is{name}."
                section.missing += [note] * (note not in section.missing)
                return None
            if other is None or not languages or any(other.examples.get(x) != run.examples[x] for x in languages):
                return None
            return mean_score(run, languages) - mean_score(other, languages)

        what = f"drop under {kind}, mean over {' '.join(low)} ({title})"
        add_levels(section, arms, what + name, drop)
        for other in ("multilingual", "few-shot", "none"):
            found = arm_difference(arms, "intermediate", other, drop)
            if found:
                row, targets = f"intermediate minus {other}, {what}{name}", ", ".join(found[1])
                said = section.add(row, found[0], targets, MARGIN, sign=-1, is_gain=False)
                if at_chance & {"intermediate", other}:
                    said = "undecided"
                    section.rows[-1][3] = Cell(said)
                if other == "multilingual":
                    section.answers[f"smaller {what}{name}"] = said


def differing_readings(run: Run, other: Run) -> list[str]:
    """The settings of how texts are read in which two runs of a model and target differ."""
    of_run, of_other = ({name: run.settings.get(((run.model, run.task), name)) for name in READING} for run in (run, other))
    return [name for name in READING if of_run[name] != of_other[name]]


def compare_spreads(section: Section, arms: dict, name: str) -> None:
    def all_languages(run):
        return mean_score(run, list(run.scores))

    rows = {arm: [values for key in seeds for values in arm_scores({key: seeds[key]}, [key[0]], all_languages)]
            for arm, seeds in arms.items()}  # fmt: skip
    for other in ("multilingual", "none"):
        ratio = spread_ratio(rows.get("intermediate", []), rows.get(other, []))
        if not np.isnan(ratio.value):
            said = "yes" if ratio.high < 1 else "no" if ratio.low > 1 else "undecided"
            cell = Cell(f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})", "", ratio.value)
            section.rows.append([Cell(f"spread between seeds, intermediate over {other}{name}"), cell, Cell("all languages"), Cell(said)])
