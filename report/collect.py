"""One table of all results below some folders, and a list of what could not be used and why.

Whatever made a run, its results.json says what it is: names of folders mean nothing. A result that is damaged, foreign, contradictory or a
duplicate is left out and named; the others are reported.
"""

import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import NoneType
from typing import Any

from results import read_json
from settings import NAMED, NAMED_IF_SET
from task_adapters import PAPERS_TASKS, TASKS, InputError, nearest

BASELINE = "baseline"  # the start without intermediate training
AS_IT_IS = "evaluated as it is"  # the start of a model that was scored with its own head (--do_train false)
INTERMEDIATE = [name for name, task in TASKS.items() if task.phase == "intermediate"]
TOGETHER = sorted(name for name in INTERMEDIATE if name in PAPERS_TASKS)  # what `--task all` trains
COLUMNS = ["model", "start", "phase", "task", "language", "seed", "metric", "value", "examples", "failed_tries", "folder"]
# Folders of a run that hold many files and never a run of their own.
SKIPPED_FOLDERS = ("checkpoint-", "predictions", "labels", "heads", "oracle")

# How a target may be trained otherwise than in the other rows of a table: the arms of an experiment.
PLAIN = {repr(value) for value in (None, "fresh", 0, 0.0, [], ["en"])}
ARM = ("head", "label_smoothing_factor", "max_train_samples", "train_file", "train_languages")
OF_QUESTIONS = {"label_smoothing_factor", "train_file", "train_languages"}  # an arm of a question differs in one of these, or more

# What the report reads of a results.json, in the notation of `mismatch`. Other names may hold anything.
NUMBER = (int, float)
PART = ({"split": str, "language": str, "examples": int}, {"task": str, "files": str})  # rows of a dataset, or text for masked LM
STAGE = {"task": (str, [str]), "seed": int, "data": [PART], "model?": ({"name_or_path": str}, NoneType)}
TOKENIZER = ({"hash": str, "vocabulary": str}, NoneType)  # results of earlier code have none
SCORED = {**STAGE, "lineage": [STAGE], "seconds": NUMBER, "training?": (dict, NoneType), "task": str, "scores": dict,
          "mining?": (dict, NoneType), "by_layer?": dict, "own_data?": (dict, NoneType), "tokenizer?": TOKENIZER, "stages?": [STAGE],
          "g_xlt?": dict, "language_bias?": dict}  # fmt: skip
RESULTS = {
    "intermediate": {**STAGE, "lineage": [STAGE], "seconds": NUMBER, "training?": (dict, NoneType), "dev": dict, "tokenizer?": TOKENIZER},
    "target": SCORED,
    "retrieval": {name: kind for name, kind in SCORED.items() if name != "seed"},
}
RECORD = {"layer": int, "pooling": str, "vectors": str, "accuracy": NUMBER} | dict.fromkeys(  # of `by_layer`
    ("foreign_to_english", "cosine_difference", "margin", "anc", "isoscore"), (*NUMBER, NoneType))  # fmt: skip
KIND_NAMES = {dict: "an object", list: "a list", str: "a text", int: "a whole number", float: "a number", NoneType: "null"}


class Unusable(Exception):
    """A result that cannot stand in a table. kind: one word for the list of problems."""

    def __init__(self, kind: str, what: str):
        super().__init__(what)
        self.kind = kind


@dataclass(frozen=True)
class Problem:
    """A folder whose result is in no table. kind: damaged, foreign, half-written, unfinished, failed, without test, contradictory,
    duplicate, or arm (its target was trained otherwise; the questions read it)."""

    folder: str
    kind: str
    what: str


@dataclass
class Run:
    """One usable results.json. For an intermediate run `start` names the chain of trainings up to and with this one.

    model     the first encoder of the chain; of a target that was trained with LoRA, with its rank behind.
    seed      None where no random number is drawn (retrieval from the bare encoder).
    scores    {language: {metric: 0..100}} of a target; {task: {metric: 0..100}} on English dev of an intermediate run.
    settings  {(what, name): value} of all that must be equal in one table; see `settings_of_run`.
    arm       {name: value} of `ARM` where a target was trained otherwise than usual; perturbed: --perturb, None for the text as it is.
    tuned_in  the languages of the last training before a target.
    protocol  "nlu-evals" of a task that is trained and scored as that code does, "" of every other.
    matrices  {"g_xlt" or "language_bias": {language of the question: {language of the context, or of the answer: 0..100}}}
    """

    folder: str
    phase: str
    model: str
    start: str
    task: str
    seed: int | None
    scores: dict[str, dict[str, float]]
    examples: dict[str, int | None]
    settings: dict[tuple, object]
    seconds: float
    failed_tries: int
    pooling: str | None = None
    by_layer: dict[str, list[dict]] = field(default_factory=dict, repr=False)  # what --layers measured in each language, see `RECORD`
    is_tuned_on_test: bool = False  # a threshold was chosen on the gold that is scored (BUCC without a dev part)
    own: frozenset[str] = frozenset()  # languages that were scored on the user's data, not on the benchmark's
    arm: dict[str, object] = field(default_factory=dict)
    perturbed: str | None = None
    tuned_in: frozenset[str] = frozenset()
    protocol: str = ""
    warning: str | None = None  # that the training learned little (trainer/collapse.py)
    matrices: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict, repr=False)

    @property
    def cell(self) -> tuple:
        return self.model, self.start, self.phase, self.task, self.seed


@dataclass
class Collection:
    """All usable runs, and what was left out.

    arms       runs that no other table can hold, because their target was trained otherwise (`ARM`); report/questions.py compares them.
    perturbed  runs on perturbed text, which stand in no table of scores.
    """

    runs: list[Run]
    problems: list[Problem]
    arms: list[Run] = field(default_factory=list)
    perturbed: list[Run] = field(default_factory=list)

    @property
    def scored(self) -> list[Run]:
        return [run for run in self.runs if run.phase != "intermediate"]

    @property
    def protocols(self) -> list[str]:
        """The protocols of the runs beside "", the benchmarks' own. No table holds runs of two."""
        return sorted({run.protocol for run in self.scored} - {""})

    def of_protocol(self, protocol: str) -> "Collection":
        """The runs of one protocol. Intermediate runs, and what was left out, belong to "" alone."""
        runs = [run for run in (self.runs if protocol == "" else self.scored) if run.protocol == protocol]
        return Collection(runs, self.problems, self.arms, self.perturbed) if protocol == "" else Collection(runs, [])


def collect(folders: Iterable[str | Path]) -> Collection:
    """Reads every results.json below `folders`. Raises InputError for a folder that is not there, and where no result is usable."""
    below = {Path(top): run_folders(Path(top)) for top in folders}
    runs, problems = [], []
    if len(below) > 1:
        problems = [Problem(str(top), "empty", "no run is in this folder") for top, found in below.items() if not found]
    each_once: dict[str, Path] = {}
    for found in below.values():
        each_once = found | each_once  # a run below two of the folders has its path below the first
    for folder in sorted(each_once.values()):
        try:
            runs.append(read_run(folder))
        except Unusable as error:
            problems.append(Problem(str(folder), error.kind, str(error)))
    perturbed = [run for run in runs if run.perturbed]
    usable = [run for run in runs if not run.perturbed]
    runs = usable
    for check in (without_contradictions, without_duplicates):
        runs, left_out = check(runs)
        problems += left_out
    arms = arms_of(usable, runs)
    read_by_questions = {run.folder for run in arms}
    problems = [replace(problem, kind="arm") if problem.folder in read_by_questions else problem for problem in problems]
    if not runs:
        named = f"; {problems[0].folder}: {problems[0].what}" if problems else ""
        raise InputError(f"{' '.join(map(str, below))}: no finished run of this collection{named}")
    return Collection(runs, sorted(problems, key=lambda problem: problem.folder), arms, perturbed)


def arms_of(usable: list[Run], kept: list[Run]) -> list[Run]:
    """Of the runs that are in no table, the arms of questions: they differ from the kept ones in `OF_QUESTIONS`, and but for the number of
    examples in nothing else."""
    settings = {key: value for run in kept for key, value in run.settings.items()}
    folders = {run.folder for run in kept}

    def is_arm(run: Run) -> bool:
        others = {name for (what, name), value in run.settings.items() if settings.get((what, name), value) != value}
        return bool(others & OF_QUESTIONS) and others <= OF_QUESTIONS | {"max_train_samples"}

    return [run for run in usable if run.folder not in folders and run.phase == "target" and is_arm(run)]


def run_folders(top: Path) -> dict[str, Path]:
    """{real path: path} of every folder at or below `top` that a run finished, left unfinished or failed in."""
    if not top.is_dir():
        raise InputError(f"{top} is not a folder of results.")
    found: dict[str, Path] = {}
    for path, inner, files in os.walk(top):
        inner[:] = [name for name in inner if name == "results.json" or not name.startswith(SKIPPED_FOLDERS)]
        if {"results.json", "run.json", "failed_tries.json", "results.json.part"} & {*files, *inner}:
            found.setdefault(os.path.realpath(path), Path(path))
        inner[:] = [name for name in inner if name != "results.json"]
    return found


def read_run(folder: Path) -> Run:
    """The run in a folder. Raises Unusable where there is none that could stand in a table."""
    path = folder / "results.json"
    if not os.path.lexists(path):
        if (folder / "failed_tries.json").exists():
            raise Unusable("failed", "failed to learn with every seed that was tried")
        if (folder / "results.json.part").exists():
            raise Unusable("half-written", "the run was cut off while it wrote results.json")
        raise Unusable("unfinished", "has a run.json and no results.json: the same command again goes on")
    if not path.is_file():
        raise Unusable("damaged", "results.json is not a file")
    try:
        results = read_json(path)
    except (InputError, OSError, RecursionError) as error:
        raise Unusable("damaged", f"results.json cannot be read: {' '.join(str(error).split())[:200]}") from error
    phase = results.get("phase") if isinstance(results, dict) else None
    if not isinstance(phase, str) or phase not in RESULTS:
        raise Unusable("foreign", f"results.json is of no run of this collection: its phase is none of {', '.join(RESULTS)}")
    if wrong := mismatch(results, shape_of(results)):
        raise Unusable("damaged", f"results.json is not as a run leaves it: {wrong}")
    for language, mined in (results.get("mining") or {}).items():
        if wrong := mismatch(mined, {"threshold_from": str}, f"mining.{language}"):
            raise Unusable("damaged", f"results.json is not as a run leaves it: {wrong}")
    for language, records in results.get("by_layer", {}).items():
        if wrong := mismatch(records, [RECORD], f"by_layer.{language}") or wrong_layers(records, results):
            raise Unusable("damaged", f"results.json is not as a run leaves it: {wrong}")
    for name in (name for stage in (*results["lineage"], results) for name in tasks_of(stage) or [None]):
        if name not in TASKS:
            raise Unusable("foreign", f"an unknown task, {name!r}. {nearest(name, TASKS)}")
    return to_run(folder, results)


def wrong_layers(records: list[dict], results: dict) -> str | None:
    """What is wrong with the layers of one language; None where all languages have the same, each once."""
    keys = [(record["layer"], record["pooling"], record["vectors"]) for record in records]
    if len({*keys}) < len(keys):
        return "by_layer names a layer twice"
    first = next(iter(results["by_layer"].values()))
    return None if len(first) == len(keys) and {*keys} == {(r["layer"], r["pooling"], r["vectors"]) for r in first} else (
        "by_layer has other layers in one language than in another"
    )  # fmt: skip


def to_run(folder: Path, results: dict) -> Run:
    """A checked results.json as a `Run`. Raises Unusable for scores that are missing or that no metric gives."""
    phase, lineage, mined = results["phase"], results["lineage"], results.get("mining") or {}
    scores = scores_of(results)
    if not scores and results.get("evaluate_only") == ["dev"]:
        raise Unusable("without test", "scored the English dev set alone (--do_eval): add --do_predict")
    if not scores:
        raise Unusable("damaged", "results.json holds no score")
    for name, values in scores.items():
        task = results["task"] if phase != "intermediate" else name
        check_scores(task, name, values)
    is_trained = phase != "retrieval" and "evaluate_only" not in results
    before = [*lineage, *results.get("stages", [])]  # retrieval: a stage of the target has drawn random numbers too
    seed = results["seed"] if is_trained else before[-1]["seed"] if before else None
    first = (lineage or [results])[0].get("model")  # later models are folders of earlier runs, another for each start and seed
    trained = trained_target(results, lineage)
    training = results.get("training") or {}
    model = (utf8(first["name_or_path"]) if first else "a model without a name") + (with_lora(trained) if phase == "target" else "")
    examples = {name: values.get("examples") for name, values in scores.items()}
    start = utf8(start_name([*lineage, results] if phase == "intermediate" and is_trained else lineage))
    if "evaluate_only" in results:
        start = f"{start}: {AS_IT_IS}" if lineage else AS_IT_IS
    run = Run(
        folder=str(folder), phase=phase, model=model, start=start, task="+".join(tasks_of(results)), seed=seed, examples=examples,
        scores={
            name: {metric: float(value) for metric, value in values.items() if metric != "examples"} for name, values in scores.items()
        },
        settings=settings_of_run(results, model, first, examples), seconds=float(results["seconds"]),
        failed_tries=len(results["failed_tries"]) if isinstance(results.get("failed_tries"), list) else 0,
        pooling=results.get("pooling"), by_layer=results.get("by_layer", {}),
        is_tuned_on_test=any(details["threshold_from"] != "dev" for details in mined.values()),
        own=frozenset(results.get("own_data") or {}),
        arm=arm_of(results) if phase == "target" else {},
        perturbed=utf8(str(results["perturb"])) if results.get("perturb") else None,
        tuned_in=frozenset(part["language"] for part in lineage[-1]["data"] if part.get("split") == "train") if lineage else frozenset(),
        protocol=TASKS[results["task"]].protocol if phase != "intermediate" else "",
        warning=utf8(str(training["warning"])) if training.get("warning") else None,
        matrices=matrices_of(results),
    )  # fmt: skip
    if trained is not results:  # the row of the finished target, beside its scores on the text as it is
        run = replace(run, start=utf8(start_name(lineage[:-1])), seed=trained["seed"], arm=arm_of(trained))
    return run


def matrices_of(results: dict) -> dict[str, dict[str, dict[str, float]]]:
    """`Run.matrices`: of G-XLT the metric that the task is known by. Raises Unusable where a matrix holds something else."""
    found = {}
    for name in ("g_xlt", "language_bias"):
        for question, row in results.get(name, {}).items():
            metric = TASKS[results["task"]].dev_metric
            cell = {metric: NUMBER} if name == "g_xlt" else NUMBER
            wrong = mismatch(row, dict.fromkeys(row if isinstance(row, dict) else (), cell), f"{name}.{question}")
            if wrong:
                raise Unusable("damaged", wrong)
            values = {utf8(other): float(value[metric] if name == "g_xlt" else value) for other, value in row.items()}
            found.setdefault(name, {})[utf8(question)] = values
    return found


def shape_of(results: dict) -> dict:
    """What results.json of a run must hold, as `mismatch` takes it. A model that was scored as it is has no seed."""
    shape = RESULTS[results["phase"]]
    return {name: kind for name, kind in shape.items() if name != "seed" or "evaluate_only" not in results}


def arm_of(stage: dict) -> dict[str, object]:
    return {name: stage[name] for name in ARM if repr(stage.get(name)) not in PLAIN}


def trained_target(results: dict, lineage: list[dict]) -> dict:
    """The training of the target: this run, or that of the finished target which it only scored on perturbed text (--do_train false)."""
    is_scored_again = results.get("perturb") and lineage and tasks_of(lineage[-1]) == tasks_of(results)
    return lineage[-1] if is_scored_again else results


def with_lora(stage: dict) -> str:
    """What the names of a start and of a model say of a training with LoRA: it has settings of its own, and so it has rows of its own."""
    return f" (LoRA rank {stage['lora_rank']})" if stage.get("lora_rank") else ""


def scores_of(results: dict) -> dict[str, dict]:
    """{language: scores} of a target, {task: scores on English dev} of an intermediate run."""
    if results["phase"] != "intermediate":
        return results["scores"]
    dev = results["dev"]
    return {results["task"]: dev} if isinstance(results["task"], str) else {task: dev.get(task) for task in results["task"]}


def check_scores(task: str, name: str, scores: Any) -> None:
    """Raises Unusable unless `scores` holds the task's metric and nothing that is no score."""
    metric = TASKS[task].dev_metric
    is_plain = type(scores) is dict and type(scores.get(metric)) is float and type(scores.get("examples")) is int  # as runs leave it: quick
    if not is_plain and (wrong := mismatch(scores, {metric: NUMBER, "examples?": (int, NoneType)}, name)):
        raise Unusable("damaged", f"no score, {metric} of {task}: {wrong}")
    for what, value in scores.items():
        if (type(value) is float and 0 <= value <= 100) or (what == "examples" and (value is None or 0 <= value < 2**63)):
            continue
        if what == "examples":
            raise Unusable("damaged", f"the number of examples of {name} is {short(value)}")
        if mismatch(value, NUMBER):
            raise Unusable("damaged", f"{what} of {name} is {short(value)}, not a number")
        if not what.endswith("_threshold") and not 0 <= value <= 100:
            raise Unusable("damaged", f"{what} of {name} is {value}: a score is from 0 to 100")


def mismatch(value: Any, kind: Any, name: str = "") -> str | None:
    """Where and how a JSON value is not of a kind; None where it is.

    kind  a type; [kind], a list of such; {name: kind}, an object with these names and others (`name?`: or without it); or several
          in a tuple, any of which will do.
    """
    kinds, wrong = kind if isinstance(kind, tuple) else (kind,), []
    for one in kinds:
        is_of_kind = type(value) is (one if isinstance(one, type) else type(one))  # exactly: True is no number
        if not is_of_kind:
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
        elif one is float and not math.isfinite(value):
            inner = [f"{name} is {value}"]
        elif one is int and abs(value) >= 2**63:
            inner = [f"{name} is {short(value)}, more than 64 bits hold"]
        wrong.append(next(filter(None, inner), None))
    if None in wrong:
        return None
    names = [KIND_NAMES[one if isinstance(one, type) else type(one)] for one in kinds]
    return wrong[0] if wrong else f"{name or 'it'} is {short(value)}, not {' or '.join(dict.fromkeys(names))}"


def short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:60]}..."


def utf8(text: str) -> str:
    """The text with lone surrogates, which JSON and names of files may hold and UTF-8 may not, as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def tasks_of(stage: dict) -> list[str]:
    return [stage["task"]] if isinstance(stage["task"], str) else stage["task"]


def start_name(lineage: list[dict]) -> str:
    """What a model was trained on before the target: baseline (nothing); mnli; all; mnli+qqp (together); mnli+mlm (masked LM beside);
    mnli (de) (in other languages than English); mnli (LoRA rank 8); mnli > qqp (one after the other)."""
    names = []
    for earlier in lineage:
        tasks = tasks_of(earlier)
        name = "all" if sorted(tasks) == TOGETHER else "+".join(tasks)
        languages = {part["language"] for part in earlier["data"] if part.get("split") == "train"}  # masked LM's text is in none
        name += "+mlm" * bool(earlier.get("mlm_share")) + (f" ({' '.join(sorted(languages))})" if languages - {"en"} else "")
        names.append(name + with_lora(earlier))
    return " > ".join(names) or BASELINE


def is_english_intermediate(start: str) -> bool:
    """Whether a start, as `start_name` names it, is training on English intermediate tasks alone: one, several together, or one after
    the other."""
    return all(stage == "all" or {*stage.split("+")} <= {*INTERMEDIATE} for stage in start.split(" > "))


# ---- what may stand in one table

READING = ("max_seq_length", "doc_stride", "label_piece", "normalize", "tokenizer_as_loaded")
KEYS = {}  # the keys of settings, which ten thousand runs share


def settings_of(run: dict, is_whole: bool) -> dict:
    """The settings of a training that change scores, as results.json names them. What earlier code did not name is unknown, and left out.

    is_whole  whether a setting without a name has its default. In the lineages of earlier code it may have any value.
    """
    settings = {name: run[name] for name in (*NAMED, "layer", "pooling", "lower_case") if name in run}
    if run.get("phase") == "retrieval":
        settings["precision"] = run["precision"] if run.get("precision") in ("bf16", "fp16") else "fp32"  # tf32 finds the same
        settings.pop("padding_free", None)  # the hardware decides about it, not the user
    return settings | ({name: run.get(name, default) for name, default in NAMED_IF_SET.items()} if is_whole else {})


def settings_of_run(results: dict, model: str, first: dict | None, examples: dict) -> dict[tuple, object]:
    """{((model or None, what), name): value}: what must be equal among all runs that share the first part of the key.

    A model that was scored as it is stands in a row of its own: with others it shares only how texts are read (`READING`).
    Settings are compared among the runs of one model, because differences are taken within a model. What is scored (languages, numbers of
    examples, the user's own data, part for the threshold) is compared among the runs of all models, because all stand in one column.
    """
    settings = {((model, "the model"), "revision"): first["revision"]} if first and first.get("revision") else {}
    is_as_it_is = "evaluate_only" in results
    last = [results] if results["phase"] == "intermediate" and not is_as_it_is else results.get("stages", [])
    stages = [*results["lineage"], *last]
    for place, stage in enumerate(stages, start=1):
        what = model, start_name(stages[:place])
        named = settings_of(stage, is_whole=stage is results or "optim" in stage)
        named["number of training examples"] = sum(part["examples"] for part in stage["data"] if part.get("split") == "train")
        settings |= {(what, name): value for name, value in named.items()}
    task = "+".join(tasks_of(results))
    named = settings_of(results, is_whole=True)
    if is_as_it_is:
        settings |= {((model, f"{start_name(stages)}: {task} {AS_IT_IS}"), name): value for name, value in named.items()}
        named = {name: named[name] for name in READING if name in named}
    part = start_name(stages) if results["phase"] == "intermediate" else task
    if tokenizer := results.get("tokenizer"):
        settings[(model, part), "fingerprint of the tokenizer"] = f"{tokenizer['hash']} {tokenizer['vocabulary']}"
    if results["phase"] == "intermediate":
        return settings
    settings |= {((model, task), name): value for name, value in named.items()}
    scored = {"languages": sorted(examples)} | {f"number of examples in {language}": number for language, number in examples.items()}
    scored["own data"] = dict(sorted((results.get("own_data") or {}).items()))
    mined = results.get("mining") or {}
    scored |= {f"part for the threshold in {language}": details["threshold_from"] for language, details in mined.items()}
    settings |= {((None, task), name): value for name, value in scored.items()}
    return {KEYS.setdefault(key, key): value for key, value in settings.items()}


def without_contradictions(runs: list[Run]) -> tuple[list[Run], list[Problem]]:
    """Leaves out the runs with another setting than most of those they would be compared with.

    Of equally frequent settings the plain one stays where they are arms of an experiment, else that of the first run.
    """
    votes: dict[tuple, Counter[str]] = defaultdict(Counter)
    first: dict[tuple, str] = {}
    for run in runs:
        for key, value in run.settings.items():
            said = repr(value)
            votes[key][said] += 1
            first.setdefault((key, said), run.folder)
    usual = {key: usual_of(key[1], counter) for key, counter in votes.items() if len(counter) > 1}
    kept, problems = [], []
    for run in runs:
        other = next((key for key in run.settings if key in usual and repr(run.settings[key]) != usual[key]), None)
        if other is None:
            kept.append(run)
            continue
        (_, what), name = other
        said = f"{name} of {what} is {short(run.settings[other])}, but {usual[other]} in {first[other, usual[other]]}"
        problems.append(Problem(run.folder, "contradictory", said))
    return kept, problems


def usual_of(name: str, counter: Counter) -> str:
    """The most frequent of the values of a setting, as `repr`."""
    return max(counter, key=lambda value: (counter[value], name in ARM and value in PLAIN))


def without_duplicates(runs: list[Run]) -> tuple[list[Run], list[Problem]]:
    """Of runs of the same cell with equal scores the first stays. Where scores differ nobody can say which one is meant: none stays."""
    cells = {}
    for run in runs:
        cells.setdefault(run.cell, []).append(run)
    kept, problems = [], []
    for twins in cells.values():
        if all(twin.scores == twins[0].scores for twin in twins):
            kept.append(twins[0])
            problems += [Problem(twin.folder, "duplicate", f"a copy of {twins[0].folder}") for twin in twins[1:]]
            continue
        for twin in twins:
            other = next(run for run in twins if run is not twin)
            seed = "" if twin.seed is None else f" with seed {twin.seed}"
            said = f"{twin.task} after {twin.start}{seed}, as in {other.folder}, with other scores"
            problems.append(Problem(twin.folder, "duplicate", said))
    return kept, problems


def lines_of(runs: Iterable[Run]) -> Iterator[tuple]:
    """results.csv, line by line: one for each run, language and metric (`COLUMNS`), or each task and dev metric of intermediate runs."""
    for run in runs:
        is_scored, folder = run.phase != "intermediate", utf8(run.folder)
        for name, scores in run.scores.items():
            task, language = (run.task, utf8(name)) if is_scored else (name, "en")
            cell = (run.model, run.start, run.phase, task, language, run.seed)
            last = (run.examples[name], run.failed_tries, folder)
            for metric, value in scores.items():
                yield *cell, utf8(metric), float(value), *last
