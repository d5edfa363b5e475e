"""README.md of a finished run: what the model is, what it scored, how it was made, and what was not run. On the hub it is the model card.

All of it is in results.json; the intervals and chance are computed from predictions/ and labels/, where a run has them. The first lines of
the file are the hub's metadata (https://huggingface.co/docs/hub/model-cards), its `model-index` among them.
"""

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from console import say
from report.analysis import TOLERANCE
from report.collect import mismatch, shape_of, start_name, tasks_of
from report.examples import chance, metrics_of, score_in, score_of, statistics_of_runs
from report.formats import Cell, Table, markdown_escape, to_markdown, visible
from report.statistics import Estimate, Rows, resampled_scores
from results import CARD, CARD_MARK, is_card, read_json
from task_adapters import TASKS

RESAMPLES = 1000
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
# Of a task type: the pipeline of the hub, the class that loads the model.
KINDS = {
    "classification": ("text-classification", "AutoModelForSequenceClassification"),
    "multiple_choice": ("multiple-choice", "AutoModelForMultipleChoice"),
    "span_qa": ("question-answering", "AutoModelForQuestionAnswering"),
    "tagging": ("token-classification", "AutoModelForTokenClassification"),
    "pairs": ("sentence-similarity", "AutoModel"),
    "retrieval": ("sentence-similarity", "AutoModel"),
    "mining": ("sentence-similarity", "AutoModel"),
    "ranking": ("sentence-similarity", "AutoModel"),
}
ENCODER_ALONE = ("feature-extraction", "AutoModel")
LICENCE_NOTE = (
    "Licences are those that the distributors of each dataset state (its page on the hub, or the adapter in `task_adapters/`); *not stated*"
    " means that they name none. No licence is named for the weights here: they come from an encoder and from data that have terms of their"
    " own, some of which exclude commercial use."
)
# What a step of training says of itself beside its data, in the order of the table.
STEP_SETTINGS = ("recipe", "learning_rate", "num_train_epochs", "max_steps", "effective_batch_size", "max_seq_length", "layer", "pooling",
                 "mlm_share", "lora_rank", "lora_alpha", "early_stopping_patience", "label_smoothing_factor")  # fmt: skip


def write_card(folder: str | Path) -> None:
    """Writes README.md into the folder of a finished run. One that a run did not write stays as it is, and a line says so.

    A folder that may only be read, and results of earlier code that lack something, get a line and no card: the run is finished.
    """
    folder = Path(folder)
    path = folder / CARD
    if path.exists() and not is_card(path):
        say(f"{path} is not from a run: it stays, and no card is written")
        return
    results = read_json(folder / "results.json")
    if lacking := mismatch(results, {**shape_of(results), "versions": dict, "finished": str, "device": str}):
        say(f"warning: no {path} is written, because results.json is of an earlier version: {lacking}")
        return
    part = path.with_name(f"{CARD}.part")
    try:
        part.write_text(card_of(folder, results), encoding="utf-8", errors="backslashreplace", newline="\n")
        os.replace(part, path)
    except OSError as error:
        say(f"warning: {path} was not written ({error.strerror})")


def card_of(folder: Path, results: dict) -> str:
    """The text of the card: metadata, then one section after the other."""
    steps = steps_of(results)
    command = visible(results["command"]) if results.get("command") else ""
    parts = [
        f"# {title_of(results)}",
        CARD_MARK,
        *introduction(results, steps),
        "## Scores",
        *map(as_section, score_tables(folder, results)),
        "## How it was trained",
        as_section(steps_table(steps)),
        "## Data and licences",
        as_section(data_table(data_of(results, steps))),
        LICENCE_NOTE,
        "## What was not run",
        "\n".join(f"- {line}" for line in not_run(results)),
        *(["## Command", "As it was typed; a token of the hub is left out.", fenced(command, "bash")] if command else []),
        *usage(results),
        "## Made with",
        made_with(results),
    ]
    return str(ModelCard(f"---\n{metadata(results, steps).to_yaml()}\n---\n\n" + "\n\n".join(filter(None, parts)) + "\n"))


def as_section(table: Table) -> str:
    """A table of the card: its title is a bold line, because it stands within a section."""
    return re.sub(r"\A### (.*)", r"**\1**", to_markdown(table))


def fenced(text: str, language: str) -> str:
    """A block of code, whose fence is longer than any within."""
    fence = "`" * (1 + max([2, *map(len, re.findall("`+", text))]))
    return f"{fence}{language}\n{text}\n{fence}"


# ---- what the run was


def first_model(results: dict) -> dict:
    """The model that the first step started from: {"name_or_path", "revision", ...}."""
    first = (results["lineage"] or results.get("stages") or [results])[0]
    return first.get("model") or {"name_or_path": "a model without a name", "revision": None}


def is_on_hub(model: dict) -> bool:
    return bool(HUB_ID.fullmatch(model["name_or_path"])) and bool(model.get("revision")) and not model["revision"].startswith("sha256:")


def model_name(model: dict) -> str:
    """The hub's id of a model; of a folder its last part, because the rest says more about a machine than about the model."""
    return model["name_or_path"] if is_on_hub(model) else Path(model["name_or_path"]).name


def is_trained(results: dict) -> bool:
    """Whether the run itself trained a model: retrieval and the scoring of a finished model train nothing, and leave no model."""
    return any(part.get("split") == "train" for part in results["data"])


def steps_of(results: dict) -> list[dict]:
    """All trainings that led to this model, oldest first; of a run that trains nothing, those of its model."""
    return [*results["lineage"], *results.get("stages", []), *([results] if is_trained(results) else [])]


def own_title(results: dict) -> str:
    """`mnli > xnli`: what was trained, and for retrieval what was scored."""
    earlier = [start_name(results["lineage"])] if results["lineage"] else []
    return " > ".join([*earlier, start_name([results]) if results["phase"] == "intermediate" else results["task"]])


def title_of(results: dict) -> str:
    name = model_name(first_model(results))
    if is_trained(results):
        return markdown_escape(f"{name}, trained on {own_title(results)}")
    before = f" trained on {start_name(results['lineage'])}," if results["lineage"] else ""
    return markdown_escape(f"{name},{before} scored on {results['task']}")


def languages_of(part_list: Iterable[dict], split: str) -> list[str]:
    return sorted({part["language"] for part in part_list if part.get("split") == split}, key=lambda name: (name != "en", name))


def introduction(results: dict, steps: list[dict]) -> list[str]:
    """Two or three sentences on what lies in the folder."""
    encoder, task = markdown_escape(model_name(first_model(results))), results["task"]
    revision = first_model(results).get("revision")
    origin = markdown_escape(f"revision {revision}") if revision else "of unknown revision"
    before = markdown_escape(start_name(results["lineage"])) if results["lineage"] else ""
    first = f"The encoder is {encoder} ({origin})." + (f" It was trained on {before} first." if before else "")
    trained = ", ".join(languages_of(results["data"], "train")) or "no language"
    if not is_trained(results):
        scored = "the encoder" if results["phase"] == "retrieval" else "the model, with the head that it had,"
        return [first, f"This folder holds no model: {scored} was scored on **{task}** without any training in this run."]
    if results["phase"] == "intermediate":
        names = ", ".join(f"**{name}**" for name in tasks_of(results))
        return [first, f"The model was then trained on {names} ({trained}). It is meant as the start of a training on a target task."]
    head = "a fresh head" if results.get("head") == "fresh" else "the head that it had"
    data = ", ".join(dict.fromkeys(part["task"] for part in results["data"] if part.get("split") == "train"))
    sentences = f"The model was then trained for **{task}** with {head}, on data of {markdown_escape(data)} in {trained}."
    if foreign := sorted(set(results["scores"]) - set(languages_of(results["data"], "train"))):
        sentences += f" Zero-shot, that is without training data for this task, are the scores in {', '.join(foreign)}."
    return [first, sentences]


# ---- scores


def shown_metrics(scores: dict) -> list[str]:
    return [name for name in scores if name != "examples" and not name.endswith("_threshold")]


def score_tables(folder: Path, results: dict) -> list[Table]:
    """A row for each language with its interval, chance where labels are there, and the mean; of an intermediate run a table per task."""
    if results["phase"] == "intermediate":
        dev = results["dev"] if isinstance(results["task"], list) else {results["task"]: results["dev"]}
        return [dev_table_of(task, scores) for task, scores in dev.items()]
    task, scores = results["task"], results["scores"]
    if not scores:  # --do_eval alone
        return [dev_table_of(task, results["dev"])]
    names = shown_metrics(next(iter(scores.values())))
    estimates, guesses = intervals(folder, task, scores), chance(folder, task, scores)
    has_chance = any(guess for guess in guesses.values())
    several = " and ".join(metrics_of(task))
    heads = [f"mean of {several} (95% interval)" if len(metrics_of(task)) > 1 else "95% interval"] if estimates else []
    rows = []
    for language, values in scores.items():
        cells = [Cell(f"{values[name]:.2f}", "", values[name]) for name in names]
        cells += [interval_cell(estimates.get(language), len(metrics_of(task)) > 1)] if estimates else []
        cells += [Cell("—" if guesses[language] is None else f"{guesses[language]:.1f}")] if has_chance else []
        rows.append([Cell(language), *cells, Cell(f"{values['examples']:,}" if values.get("examples") is not None else "—")])
    notes = ["In percent."]
    if mean := results.get("mean"):
        blank = [Cell("")] * (len(heads) + has_chance + 1)
        rows.append([Cell("mean"), *(Cell(f"{mean[name]:.2f}", "", mean[name]) for name in names), *blank])
    else:
        notes.append(f"There is no mean, because not exactly the {len(TASKS[task].languages)} languages of {task} were scored.")
    for name, of_whom in (("xtreme_score", "XTREME"), ("xtreme_r_score", "XTREME-R"), ("nlu_evals_score", "nlu-evals")):
        if results.get(name) is not None:
            notes.append(f"{of_whom}'s score of this task is {results[name]:.2f}.")
    if estimates:
        notes.append(f"Intervals: {RESAMPLES:,} resamples of the test examples. They say nothing about other seeds.")
    if has_chance:
        notes.append("Chance: the most frequent answer for every example.")
    head = ["language", *names, *heads, *(["chance"] if has_chance else []), "examples"]
    return [Table("scores", f"{task}, test data", head, rows, notes)]


def interval_cell(estimate: Estimate | None, with_value: bool) -> Cell:
    if estimate is None:
        return Cell("—")
    between = f"{estimate.low:.1f} to {estimate.high:.1f}"
    return Cell(f"{estimate.value:.1f} ({between})" if with_value else between, "", estimate.value)


def dev_table_of(task: str, scores: dict) -> Table:
    names = shown_metrics(scores)
    row = [Cell("en"), *(Cell(f"{scores[name]:.2f}", "", scores[name]) for name in names), Cell(f"{scores['examples']:,}")]
    return Table("dev", f"{task}, English dev set", ["language", *names, "examples"], [row], ["In percent."])


def intervals(folder: Path, task: str, scores: dict) -> dict[str, Estimate]:
    """{language: its score as XTREME counts the task, with the 95% interval over examples}; a language without usable files is in none."""
    found = {}
    for language, values in scores.items():
        numerators, denominators, _ = statistics_of_runs([str(folder)], task, language)
        value = score_in(task, values)
        if not len(numerators) or np.isnan(numerators).any() or value is None:
            continue
        if abs(score_of(numerators, denominators)[0] - value) > TOLERANCE:  # the predictions are not those of this score
            continue
        resampled = resampled_scores(numerators, denominators, RESAMPLES)[:, 0]
        found[language] = Rows({"run": {0: value}}, {"run": {0: resampled}}, len(numerators)).mean("run")
    return found


# ---- training, data


def steps_table(steps: list[dict]) -> Table:
    """A row for each training, oldest first."""
    rows = []
    for place, step in enumerate(steps, start=1):
        parts = [part for part in step["data"] if part.get("split") == "train"]
        settings = ", ".join(f"{name} {step[name]}" for name in STEP_SETTINGS if step.get(name) not in (None, -1))
        seed = step.get("seed_used") or step.get("seed")
        rows.append([
            Cell(str(place)), Cell("+".join(tasks_of(step)) + " and masked LM" * bool(step.get("mlm_share"))),
            Cell(" ".join(languages_of(step["data"], "train"))), Cell(f"{sum(part['examples'] for part in parts):,}"),
            Cell(str(seed)), Cell(dev_text(step.get("dev"))), Cell(settings), Cell(fingerprint(parts)),
        ])  # fmt: skip
    notes = [] if rows else ["Nothing was trained."]
    head = ["step", "task", "languages", "examples", "seed", "English dev", "settings", "fingerprint of the training data"]
    return Table("steps", "Each training, the oldest first", head, rows, notes, len(head))


def dev_text(dev: dict | None) -> str:
    """`accuracy 80.1`; of several tasks each with its name."""
    if not dev:
        return "—"
    if all(isinstance(scores, dict) for scores in dev.values()):
        return ", ".join(f"{task}: {dev_text(scores)}" for task, scores in dev.items())
    return ", ".join(f"{name} {dev[name]:.1f}" for name in shown_metrics(dev))


def fingerprint(parts: list[dict]) -> str:
    """12 digits that are equal for the same examples: of one part its content's, of several those of all of them together."""
    keys = [str(part.get("content")) for part in parts]
    if not keys:
        return "—"
    return (keys[0] if len(keys) == 1 else hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest())[:12]


def data_of(results: dict, steps: list[dict]) -> list[dict]:
    """The records of all data that were read, those of earlier trainings first, each once."""
    found = {}
    for part in [part for step in [*steps, results] for part in step["data"]]:
        found.setdefault((part["task"], part.get("split"), part["language"], str(part.get("content"))), part)
    return list(found.values())


def origin_of(part: dict) -> str:
    """Where the rows are from, in words: a dataset of the hub with its commit, a file, or a folder whose rows may be any."""
    if "files" in part:  # texts of masked LM
        return part["files"] if part.get("revision") else Path(part["files"]).name
    revision, name = part.get("revision"), part["hub_id"]
    if revision is None:
        return f"local files in the layout of {name}; whether they are the published rows is not known"
    return f"the file {Path(part['hub_id']).name}" if revision.startswith("sha256 ") else f"{name}, revision {revision[:12]}"


def licence_of(part: dict) -> str:
    """The licence as the distributors of a dataset state it; of a user's own files nobody here knows it."""
    if "files" in part:
        return "CC BY-SA 4.0 and GFDL" if "wikimedia/wikipedia" in part["files"] else "not known here"
    if str(part.get("revision")).startswith("sha256 "):
        return "not known here"
    return TASKS[part["task"]].licence or "not stated"


def data_table(parts: list[dict]) -> Table:
    """A row for each part of the data; languages of one dataset and split share a row."""
    rows = {}
    for part in parts:
        rows.setdefault((part["task"], part.get("split", "texts"), origin_of(part), licence_of(part)), []).append(part)
    cells = [
        [Cell(task), Cell(split), Cell(" ".join(dict.fromkeys(part["language"] for part in those))),
         Cell(f"{sum(part.get('examples', part.get('rows', 0)) for part in those):,}"), Cell(name), Cell(fingerprint(those)), Cell(licence)]
        for (task, split, name, licence), those in rows.items()
    ]  # fmt: skip
    head = ["task", "split", "languages", "examples", "source", "fingerprint", "licence of the data"]
    return Table("data", "Everything that was read", head, cells, [], len(head))


# ---- what was not run


def not_run(results: dict) -> list[str]:
    """Everything that a reader could take for done, one sentence each."""
    lines = []
    if results["phase"] != "intermediate":
        task, scored = TASKS[results["task"]], set(results["scores"])
        if missing := [language for language in task.languages if language not in scored]:
            lines.append(f"{len(missing)} of the {len(task.languages)} languages of {task.name} were not scored: {', '.join(missing)}.")
    if protocol := results.get("protocol"):
        lines.append(f"It was trained as {protocol} does (--protocol {protocol}): its scores compare with no scores of XTREME-R itself.")
    if own := results.get("own_data"):
        lines.append(f"The scores in {', '.join(own)} are on test data of the user's own, and compare with no others.")
    if results.get("perturb"):
        lines.append(f"The test text was perturbed (--perturb {results['perturb']}): the scores are not those of the benchmark.")
    for flag, what in (("max_train_samples", "training examples of each language"), ("max_eval_samples", "English dev examples"),
                       ("max_predict_samples", "test examples of each language")):  # fmt: skip
        if results.get(flag):
            lines.append(f"Only {results[flag]:,} {what} were used (--{flag}).")
    for part in results["data"]:
        where = f"{part['task']} {part.get('split', 'texts')} {part['language']}"
        if part.get("rows_expected") not in (None, part.get("rows")):
            lines.append(f"{where}: the files hold {part['rows']:,} rows, not the published {part['rows_expected']:,}.")
        lines += [f"{where}: {count:,} rows were dropped ({reason})." for reason, count in (part.get("dropped") or {}).items()]
    if any(details.get("threshold_from", "dev") != "dev" for details in (results.get("mining") or {}).values()):
        lines.append("There was no dev part: thresholds were chosen on the gold that is scored, which makes scores too high.")
    if results.get("failed_tries"):
        lines.append(f"{len(results['failed_tries'])} attempts with other seeds failed to learn before this one.")
    if warning := (results.get("training") or {}).get("warning"):
        lines.append(f"The run warned that it learned little: {warning}.")
    if is_trained(results):
        lines.append("This is one seed. Another seed of the same training gives other scores.")
    if is_trained(results) and results["phase"] == "target":
        lines.append("Nothing is compared here: whether the intermediate training helped needs a run without it.")
    lines.append("Texts of other domains, languages that are not in the table, and harms of the model's errors were not looked at.")
    return [markdown_escape(line) for line in lines]


# ---- use, versions


def kind_of_model(results: dict) -> tuple[str, str]:
    """(the hub's pipeline, the class that loads the model)."""
    tasks = tasks_of(results)
    alone = len(tasks) == 1 and not results.get("mlm_share")
    return KINDS[TASKS[tasks[0]].task_type] if alone else ENCODER_ALONE


def usage(results: dict) -> list[str]:
    if not is_trained(results):
        return []
    _, name = kind_of_model(results)
    lines = [f"from transformers import {name}, AutoTokenizer", "", 'path = "."  # this folder, or the id of the model on the hub',
             f"model = {name}.from_pretrained(path)", "tokenizer = AutoTokenizer.from_pretrained(path)"]  # fmt: skip
    heads = " The heads of the tasks are in `heads/`." if (name == "AutoModel" and len(tasks_of(results)) > 1) else ""
    return ["## Use", fenced("\n".join(lines), "python"), f"Inputs were at most {results['max_seq_length']} tokens long.{heads}"]


def made_with(results: dict) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items() if version)
    code = f", commit {results['code']} of the code" if results.get("code") else ""
    processes = results.get("world_size", 1)
    return markdown_escape(
        f"{results['device']}, {processes} process{'es' * (processes != 1)}, {results['seconds'] / 3600:.2f} hours; finished"
        f" {results['finished']}{code}. {versions}."
    )


# ---- metadata of the hub


def published_datasets(parts: list[dict], split: str | None = None) -> list[str]:
    """Hub ids of the data that are surely the hub's: those with a commit."""
    known = [part for part in parts if part.get("revision") and "hub_id" in part and part.get("split") == (split or part.get("split"))]
    ids = [name for part in known if not part["revision"].startswith("sha256 ") for name in part["hub_id"].split(" + ")]
    return sorted({name for name in ids if HUB_ID.fullmatch(name)})


def metadata(results: dict, steps: list[dict]) -> ModelCardData:
    """The card's first lines. A run that trained nothing has none of those that describe a model."""
    model, is_model = first_model(results), is_trained(results)
    scored = [*results["scores"]] if "scores" in results else ["en"]
    train = [part for step in steps for part in step["data"]]
    names = sorted({name for step in steps for name in tasks_of(step)} | {*tasks_of(results)})
    return ModelCardData(
        language=[name for name in scored if re.fullmatch("[a-z]{2,3}", name)] or None,
        library_name="transformers" if is_model else None,
        pipeline_tag=kind_of_model(results)[0] if is_model else None,
        base_model=model["name_or_path"] if is_on_hub(model) else None,
        datasets=published_datasets(train, "train") or None,
        tags=["cross-lingual-transfer", "intermediate-task-training", *names],
        model_name=visible(f"{model_name(model)} {own_title(results)}"),
        eval_results=eval_results(results),
    )


def eval_results(results: dict) -> list[EvalResult]:
    """One entry for each language and metric, in the form of the hub's `model-index`.

    Rows of unknown origin are named as local files: their scores must not stand among those of a dataset of the hub.
    """
    several = isinstance(results["task"], list)
    if results["phase"] == "intermediate":
        scored = [
            (task, "dev", "en", scores) for task, scores in (results["dev"] if several else {results["task"]: results["dev"]}).items()
        ]
    else:
        scored = [(results["task"], "test", language, scores) for language, scores in results["scores"].items()]
    entries = []
    for task, split, language, scores in scored:
        part = next(
            (part for part in results["data"] if (part["task"], part.get("split"), part["language"]) == (task, split, language)), {}
        )
        published = published_datasets([part])
        cut = (
            f", the first {scores['examples']:,} examples"
            if results.get("max_predict_samples" if split == "test" else "max_eval_samples")
            else ""
        )
        if split == "test" and results.get("perturb"):
            cut += f", perturbed: {results['perturb']}"
        for metric in shown_metrics(scores):
            entries.append(EvalResult(
                task_type=KINDS[TASKS[task].task_type][0],
                dataset_type=published[0] if published else f"local-files/{task}",
                dataset_name=f"{task} ({language}{cut})" if published else f"{task} ({language}{cut}), local files",
                dataset_config=part.get("config"), dataset_split=split,
                dataset_revision=part["revision"] if published and " + " not in part["revision"] else None,
                metric_type=metric, metric_value=round(scores[metric], 4), metric_name=f"{metric} in percent",
            ))  # fmt: skip
    return entries
