"""The paper's kind of table from every results.json below a folder: rows are starting points, columns are targets.

    python grid_table.py out/grid                                   # the mean over all languages
    python grid_table.py out/grid --part others --picture grid.png  # without English; a heat map of the differences

The first row is the score without intermediate training, the others the difference to it: run by run of the same seed, then the mean over
seeds ± their standard deviation (n - 1). Which run is which is read from the runs themselves, never from the names of folders.
"""

import argparse
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from types import NoneType

from predictions import read_labels
from results import read_json
from settings import NAMED, NAMED_IF_SET
from task_adapters import TASKS, InputError, nearest

NOTHING = "nothing"  # the start without intermediate training
PARTS = {"all": "all languages", "en": "English", "others": "all languages but English"}
INTERMEDIATE = [name for name, task in TASKS.items() if task.phase == "intermediate"]
TARGETS = [name for name, task in TASKS.items() if task.phase != "intermediate"]
PICTURES = (".png", ".pdf", ".svg")
# What is read of a results.json, as `mismatch` has it: the others of its names may be anything.
NUMBER = (int, float)
PART = ({"split": str, "language": str, "examples": int}, {"task": str, "files": str})  # rows; text for masked LM
STAGE = {"task": (str, [str]), "seed": int, "data": [PART], "model?": ({"name_or_path": str}, NoneType)}
SCORED = {**STAGE, "lineage": [STAGE], "seconds": NUMBER, "task": str, "scores?": dict, "mining?": (dict, NoneType)}
RESULTS = {
    "intermediate": {**STAGE, "lineage": [STAGE], "seconds": NUMBER, "dev?": dict},
    "target": SCORED,
    "retrieval": {name: kind for name, kind in SCORED.items() if name != "seed"},
}
KIND_NAMES = {dict: "an object", list: "a list", str: "a text", int: "a whole number", float: "a number", NoneType: "null"}


@dataclass(frozen=True)
class Run:
    """One cell of the grid. seed: None where nothing was drawn (retrieval without intermediate training)."""

    start: str
    target: str
    seed: int | None
    scores: dict[str, float]  # language -> the task's own metric, 0..100
    folder: Path
    is_tuned_on_test: bool = False  # mined with a threshold chosen on the gold that is scored: BUCC from the hub, which has no dev part


def read_runs(folder: str):
    """Yields (path, content) of every results.json below `folder`. Raises InputError for one that no run of this collection left."""
    for path in sorted(Path(folder).rglob("results.json")):
        results = read_json(path)
        phase = results.get("phase") if isinstance(results, dict) else None
        known = isinstance(phase, str) and phase in RESULTS
        wrong = mismatch(results, RESULTS[phase]) if known else f"its phase is none of {', '.join(RESULTS)}"
        if wrong:
            raise InputError(f"{path} was not left by a run of this collection: {wrong}.")
        for language, mined in (results.get("mining") or {}).items():
            if wrong := mismatch(mined, {"threshold_from": str}, f"mining.{language}"):
                raise InputError(f"{path} was not left by a run of this collection: {wrong}.")
        for name in (name for stage in (*results["lineage"], results) for name in tasks_of(stage) or [None]):
            if name not in TASKS:
                raise InputError(f"{path} names an unknown task, {name!r}. {nearest(name, TASKS)}")
        for task, score in scores_of(results) or [(tasks_of(results)[0], None)]:
            metric = TASKS[task].dev_metric
            if wrong := mismatch(score, {metric: NUMBER}, "score"):
                raise InputError(f"{path} lacks a score, {metric} of {task}: no finished run of this collection left it ({wrong}).")
        yield path, results


def mismatch(value, kind, name: str = "") -> str | None:
    """Where and how a JSON value is not of a kind; None where it is.

    kind  a type; [kind], a list of such; {name: kind}, an object with these names and others (`name?`: or without it); or several
          in a tuple, any of which will do.
    """
    kinds, wrong = kind if isinstance(kind, tuple) else (kind,), []
    for one in kinds:
        if type(value) is not (one if isinstance(one, type) else type(one)):  # exactly: True is no number
            continue
        inner = []
        if isinstance(one, list):
            inner = [mismatch(item, one[0], f"{name}[{place}]") for place, item in enumerate(value)]
        elif isinstance(one, dict):
            for key, of_key in one.items():
                at, needed = f"{name}.{key}".strip(".?"), not key.endswith("?")
                if key.strip("?") in value:
                    inner.append(mismatch(value[key.strip("?")], of_key, at))
                elif needed:
                    inner.append(f"{at} is missing")
        wrong.append(next(filter(None, inner), None))
    if None in wrong:
        return None
    names = [KIND_NAMES[one if isinstance(one, type) else type(one)] for one in kinds]
    return wrong[0] if wrong else f"{name or 'it'} is {short(value)}, not {' or '.join(dict.fromkeys(names))}"


def short(value) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:60]}..."


def tasks_of(stage: dict) -> list[str]:
    return [stage["task"]] if isinstance(stage["task"], str) else stage["task"]


def scores_of(results: dict) -> list[tuple[str, dict]]:
    """(task, scores) of each language of a target, or of each intermediate task."""
    if results["phase"] != "intermediate":
        return [(results["task"], score) for score in results.get("scores", {}).values()]
    dev = results.get("dev", {})
    return [(results["task"], dev)] if isinstance(results["task"], str) else [(task, dev.get(task)) for task in results["task"]]


def compare(known: dict, what: str, settings: dict, folder) -> None:
    """Notes the settings of a run. known: {(what, name): (value, folder of the first)}. Raises InputError where the first had another."""
    for name, value in settings.items():
        earlier, first = known.setdefault((what, name), (value, folder))
        if earlier != value:
            raise InputError(f"{first} and {folder} cannot stand in one table: {name} of {what} is {earlier!r} and {value!r}.")


def settings_of(run: dict, is_whole: bool) -> dict:
    """What all runs of a target share, and all trainings that stand in one row: else a difference, or a mean, would be of something else.

    run       what results.json says of itself, or of a training before; what earlier code did not name there is unknown, no difference.
    is_whole  whether what is not named is the default. In the lineages of earlier code it may be anything.
    """
    found = {name: run[name] for name in (*NAMED, "layer", "pooling") if name in run}
    if run.get("phase") == "retrieval":
        found["precision"] = run["precision"] if run.get("precision") in ("bf16", "fp16") else "fp32"  # tf32, by the GPU, finds the same
        found.pop("padding_free", None)  # whether it was, by the hardware; nobody's wish
    return found | ({name: run.get(name, default) for name, default in NAMED_IF_SET.items()} if is_whole else {})


def collect(folder: str) -> tuple[list[Run], float]:
    """-> (all scored runs below `folder`, hours of all finished runs, intermediate training among them)

    Raises InputError where no run is finished, where two claim the same cell, or where a target's runs have different languages, come
    from different models or were made with different settings (`settings_of`).
    """
    runs, seconds, known = {}, 0.0, {}
    for path, results in read_runs(folder):
        seconds += results["seconds"]
        target, lineage = results["task"], results["lineage"]
        stages = [*lineage, results] if results["phase"] == "intermediate" else lineage
        for place, stage in enumerate(stages, start=1):
            examples = sum(part["examples"] for part in stage["data"] if part.get("split") == "train")
            settings = settings_of(stage, is_whole=stage is results or "optim" in stage) | {"number of training examples": examples}
            compare(known, start_name(stages[:place]), settings, path.parent)
        first = (lineage or [results])[0].get("model")  # later ones start from a folder, another for each start and seed
        compare(known, "+".join(tasks_of(results)), {"model": first and first["name_or_path"]}, path.parent)
        if results["phase"] == "intermediate":
            continue
        compare(known, target, settings_of(results, is_whole=True) | data_of(results), path.parent)
        seed = results["seed"] if results["phase"] == "target" else lineage[-1]["seed"] if lineage else None
        metric = TASKS[target].dev_metric
        scores = {language: score[metric] for language, score in results["scores"].items()}
        tuned = any(details["threshold_from"] != "dev" for details in (results.get("mining") or {}).values())
        run = Run(start_name(lineage), target, seed, scores, path.parent, tuned)
        twin = runs.setdefault((run.start, target, seed), run)
        if twin is not run:
            both = f"{twin.folder} and {run.folder}"
            raise InputError(f"{both} are both {target} after {run.start} with seed {seed}. Give a folder with one of them.")
        first = next(other for other in runs.values() if other.target == target)
        if set(first.scores) != set(scores):
            raise InputError(f"{first.folder} and {run.folder} score different languages of {target}: they cannot be compared.")
    if not seconds:
        raise InputError(f"{folder} holds no results.json.")
    return list(runs.values()), seconds / 3600


def data_of(results: dict) -> dict:
    """Of each language, how many examples its score is of, and on which part a mined one's threshold was chosen."""
    found = {f"number of examples in {language}": score.get("examples") for language, score in results["scores"].items()}
    mined = results.get("mining") or {}
    return found | {f"part for the threshold in {language}": details["threshold_from"] for language, details in mined.items()}


def learned(folder: str) -> list[list[str]]:
    """Rows: an intermediate task, its dev score when trained alone, and the difference to that where it was trained otherwise: with others,
    with masked LM beside. The first row names the columns; [] where no task was trained alone.
    """
    found = {}
    for _, results in read_runs(folder):
        if results["phase"] == "intermediate":
            name = start_name([*results["lineage"], results])
            for task, scores in scores_of(results):
                column = found.setdefault("alone" if name == task else name, {})
                column.setdefault(task, {})[results["seed"]] = scores[TASKS[task].dev_metric]
    alone = found.pop("alone", {})
    rows = []
    for task in (task for task in INTERMEDIATE if task in alone):
        beside = (differences(column[task], alone[task]) if task in column else [] for column in found.values())
        rows.append([task, cell(list(alone[task].values())), *(cell(values, "+", len(alone[task])) if values else "" for values in beside)])
    return [["dev score", "alone", *found], *rows] if rows else []


def failures(folder: str) -> list[str]:
    """Lines about the runs below `folder` that failed to learn (failed_tries.json): those that stand in no mean, and those begun again."""
    lost, again = [], []
    for path in sorted(Path(folder).rglob("failed_tries.json")):
        (again if (path.parent / "results.json").is_file() else lost).append(str(path.parent))
    lines = [f"Failed to learn, in no mean: {', '.join(lost)}."] if lost else []
    return lines + ([f"Failed to learn and were begun again with another seed: {', '.join(again)}."] if again else [])


def start_name(lineage: list[dict]) -> str:
    """What a model was trained on before the target: nothing; mnli; all; mnli+qqp (together); mnli+mlm (masked LM beside); mnli (de) (in
    other languages than English); mnli > qqp (one after the other)."""
    names = []
    for earlier in lineage:
        tasks = tasks_of(earlier)
        name = "all" if sorted(tasks) == sorted(INTERMEDIATE) else "+".join(tasks)
        languages = {part["language"] for part in earlier["data"] if part.get("split") == "train"}  # masked LM's text is in none
        names.append(name + "+mlm" * bool(earlier.get("mlm_share")) + (f" ({' '.join(sorted(languages))})" if languages - {"en"} else ""))
    return " > ".join(names) or NOTHING


def mean_of(scores: dict[str, float], part: str) -> float | None:
    """The unweighted mean over a part of the languages; None where there is none of them."""
    chosen = [score for language, score in scores.items() if part == "all" or (language == "en") == (part == "en")]
    return statistics.fmean(chosen) if chosen else None


def by_seed(runs, part) -> dict[tuple[str, str], dict]:
    """{(start, target): {seed: score}}"""
    found = {}
    for run in runs:
        score = mean_of(run.scores, part)
        if score is not None:
            found.setdefault((run.start, run.target), {})[run.seed] = score
    return found


def differences(scores: dict, baseline: dict) -> list[float]:
    """Score minus baseline, seed by seed; a seed that the baseline lacks is held against the mean of those it has."""
    return [score - baseline.get(seed, statistics.fmean(baseline.values())) for seed, score in scores.items()]


def cell(values: list[float], sign: str = "", seeds: int = 1) -> str:
    """`61.2 ± 0.4`: mean and standard deviation (n - 1); one value alone has none. Fewer values than `seeds` are counted: `61.2 (n=1)`."""
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):{sign}.1f}{spread}" + (f" (n={len(values)})" if len(values) < seeds else "")


def in_order(runs):
    """(starts, targets) as the tables of the collection have them, without those that have no run."""
    known, found = [NOTHING, *INTERMEDIATE, "all"], {run.start for run in runs}
    starts = [name for name in known if name in found] + sorted(found.difference(known))
    return starts, [name for name in TARGETS if any(run.target == name for run in runs)]


def chance(folder, target: str, languages) -> dict[str, float]:
    """What answering without looking scores in each language of the run in `folder`: one label for all, the most frequent tag, one
    candidate of all; an empty answer."""
    scores, task = {}, TASKS[target]
    for language in languages:
        if task.task_type in ("span_qa", "mining"):
            scores[language] = 0.0
            continue
        try:
            gold = read_labels(Path(folder) / "labels", target, language)
        except (OSError, ValueError) as error:
            raise InputError(f"Chance is counted from the labels that a run leaves beside its results: {error}") from error
        if task.task_type == "retrieval":
            scores[language] = 100 / len(gold)
            continue
        is_tags = task.task_type == "tagging"
        flat = [tag for tags in gold for tag in tags] if is_tags else gold
        most = max(sorted(set(flat)), key=flat.count)
        guess = [[most] * len(tags) for tags in gold] if is_tags else [most] * len(gold)
        scores[language] = task.metric(gold, guess, language)[task.dev_metric]
    return scores


def grid(runs, part) -> tuple[list[str], list[list[str]]]:
    """-> (targets, rows of text: the start, then a cell for each target)"""
    found, (starts, targets) = by_seed(runs, part), in_order(runs)
    targets = [target for target in targets if any((start, target) in found for start in starts)]
    seeds = len({run.seed for run in runs} - {None})
    rows = []
    for start in starts:
        row = []
        for target in targets:
            scores, baseline = found.get((start, target)), found.get((NOTHING, target))
            if scores is None:
                row.append("")
                continue
            expected = 1 if None in scores else seeds  # where nothing was drawn there is nothing to repeat
            if start == NOTHING or not baseline:
                row.append(cell(list(scores.values()), "", expected) + ("" if start == NOTHING else " (no baseline)"))
            else:
                row.append(cell(differences(scores, baseline), "+", expected))
        rows.append([start, *row])
    firsts = {target: next(run for run in runs if run.target == target) for target in targets}
    rows.append(["chance", *(f"{mean_of(chance(firsts[target].folder, target, firsts[target].scores), part):.1f}" for target in targets)])
    return targets, rows


def languages(runs) -> list[list[str]]:
    """Without intermediate training, for each target: English, the best and the worst other language (chance), means over seeds."""
    rows = []
    for target in in_order(runs)[1]:
        mine = [run for run in runs if run.start == NOTHING and run.target == target]
        if not mine:
            continue
        guess = chance(mine[0].folder, target, mine[0].scores)
        mean = {language: statistics.fmean(run.scores[language] for run in mine) for language in mine[0].scores}
        others = sorted((language for language in mean if language != "en"), key=mean.get)
        shown = ["en" if "en" in mean else None, *(others[-1:] or [None]), *(others[:1] or [None])]
        rows.append([target, *(f"{name} {mean[name]:.1f} ({guess[name]:.1f})" if name else "" for name in shown)])
    return rows


def markdown_table(head, rows) -> str:
    """Lines of a markdown table that also line up as plain text."""
    first, *others = [max(map(len, column)) for column in zip(head, *rows)]
    rule = ["-" * first, *("-" * (width - 1) + ":" for width in others)]
    lines = [[row[0].ljust(first), *(text.rjust(width) for text, width in zip(row[1:], others))] for row in (head, rule, *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def report(runs, hours, parts, intermediate=(), failed=()) -> str:
    """All tables as markdown. intermediate: rows from `learned`; failed: lines from `failures`."""
    seeds = sorted({run.seed for run in runs} - {None})
    texts = []
    for part in parts:
        targets, rows = grid(runs, part)
        if not targets:
            raise InputError(f"No run has a score for {PARTS[part]}.")
        named = [f"{target} ({TASKS[target].dev_metric})" for target in targets]
        table = markdown_table(["trained on", *named], rows)
        texts.append(f"Mean over {PARTS[part]}; below the first row, the difference to it:\n\n{table}")
    head = ["without intermediate training (chance)", "English", "nearest", "farthest"]
    if rows := languages(runs):
        texts.append("The other languages with the highest and the lowest score:\n\n" + markdown_table(head, rows))
    if intermediate:
        table = markdown_table(*intermediate[:1], intermediate[1:])
        texts.append(f"Intermediate tasks, English dev; beside the task alone, the difference to it:\n\n{table}")
    for target in sorted({run.target for run in runs if run.is_tuned_on_test}):
        texts.append(f"{target}: thresholds were chosen on the gold that is scored, not on dev: not comparable with XTREME's.")
    texts += [f"{len(runs)} scored runs, seeds {', '.join(map(str, seeds)) or 'none'}; {hours:.2f} hours of all runs together.", *failed]
    return "\n\n".join(texts)


def picture(runs, part, path) -> None:
    """A heat map of the mean differences to no intermediate training."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found, (starts, targets) = by_seed(runs, part), in_order(runs)
    starts = [start for start in starts if start != NOTHING]
    targets = [target for target in targets if (NOTHING, target) in found]
    if not starts or not targets:
        raise InputError("There is no difference to draw: a picture needs runs with and without intermediate training.")
    values = [
        [statistics.fmean(differences(found[start, target], found[NOTHING, target])) if (start, target) in found else float("nan")
         for target in targets] for start in starts
    ]  # fmt: skip
    limit = max((abs(x) for row in values for x in row if x == x), default=1) or 1
    figure, axes = plt.subplots(figsize=(max(6, 1.6 + 0.8 * len(targets)), 1.2 + 0.4 * len(starts)), layout="constrained")
    image = axes.imshow(values, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")
    for row, numbers in enumerate(values):
        for column, x in enumerate(numbers):
            if x == x:
                color = "white" if abs(x) > 0.6 * limit else "black"
                axes.text(column, row, f"{x:+.1f}", ha="center", va="center", fontsize=8, color=color)
    axes.set_xticks(range(len(targets)), targets, rotation=30, ha="right")
    axes.set_yticks(range(len(starts)), starts)
    axes.set_title(f"difference to no intermediate training, {PARTS[part]}", fontsize=9)
    figure.colorbar(image, ax=axes, fraction=0.03)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="everything below it is read")
    parser.add_argument("--part", choices=PARTS, default="all", help="the languages that a cell is the mean of")
    parser.add_argument("--markdown", help="write the tables there too")
    parser.add_argument("--picture", help="draw the differences there (.png, .pdf or .svg)")
    args = parser.parse_args()
    for name, path in (("markdown", args.markdown), ("picture", args.picture)):
        if path and (not Path(path).parent.is_dir() or Path(path).is_dir()):
            parser.error(f"--{name} {path}: a file in a folder that is there would be right")
    if args.picture and Path(args.picture).suffix not in PICTURES:
        parser.error(f"--picture {args.picture}: no known kind of picture; {', '.join(PICTURES)} would be right")
    runs, hours = collect(args.folder)
    text = report(runs, hours, [args.part] if runs else [], learned(args.folder), failures(args.folder))
    print(text)
    if args.markdown:
        Path(args.markdown).write_text(text + "\n", encoding="utf-8")
    if args.picture:
        picture(runs, args.part, args.picture)


def run():
    """`main`, the user's mistake as one line."""
    try:
        main()
    except InputError as error:
        print(f"grid_table.py: error: {error}", file=sys.stderr)
        sys.exit(2)
