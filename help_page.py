"""What `--help` prints: our flags in groups, the usual ones of transformers with a line each, the other ones under `--help all`."""

import argparse
import shutil
import textwrap
from enum import Enum
from typing import Any

from transformers.hf_argparser import string_to_bool

from task_adapters import TASKS, Task
from task_adapters.nlu_evals import PROTOCOL

# {title: names of flags}. Flags of ours that stand in no group follow under OTHERS.
GROUPS = {
    "What is run": (
        "task", "model_name_or_path", "output_dir", "recipe", "benchmark", "protocol", "data_dir", "do_train", "do_eval", "do_predict",
        "seed", "seeds", "overwrite", "config", "task_file", "model_revision", "data_revision"),
    "Languages, data and text": (
        "languages", "train_languages", "train_file", "test_file", "dev_file", "max_train_samples", "max_eval_samples",
        "max_predict_samples", "max_seq_length", "doc_stride", "label_piece", "normalize", "tokenizer_as_loaded", "perturb"),
    "Training": (
        "learning_rate", "num_train_epochs", "max_steps", "warmup_steps", "weight_decay", "effective_batch_size", "keep_head",
        "freeze_embeddings", "collapse", "retries", "lora_rank", "lora_alpha", "lora_dropout", "lora_target"),
    "Several tasks, and masked LM beside a task": (
        "sampling", "sampling_cap", "temperature", "mlm_languages", "mlm_data", "mlm_share", "mlm_alpha", "mlm_eval_samples"),
    "Vectors of retrieval": ("layer", "layers", "pooling", "lower_case"),
    "Checkpoints and scores": (
        "eval_strategy", "eval_steps", "early_stopping_patience", "select_on", "oracle", "g_xlt", "no_answer_threshold", "label_map",
        "save_probabilities", "keep_checkpoints", "save_model"),
    "Speed and memory": (
        "per_device_train_batch_size", "per_device_eval_batch_size", "batch_tokens", "bf16", "fp16", "precision", "padding_free",
        "trim_embeddings", "activation_checkpointing", "deepspeed", "use_cpu"),
    "Trackers, publishing, output": (
        "report_to", "run_name", "project", "push_to_hub", "hub_model_id", "push_predictions", "disable_tqdm"),
}  # fmt: skip
OTHERS = "More of this script"
OF_TRANSFORMERS = "Other flags of transformers' TrainingArguments"
# Flags that a script always refuses: intermediate tasks are English alone and have no test data here.
NOT_FOR = {"intermediate": ("benchmark", "do_predict")}
# One line for flags whose help text in transformers is a paragraph.
SHORT = {
    "output_dir": "Where the model, the results and the log go.",
    "do_train": "false: train nothing and score the model as it is.",
    "do_eval": "Train nothing and score the English dev set; add --do_predict to score both.",
    "do_predict": "Train nothing and score the test sets.",
    "seed": "Draws the head and the order of the examples.",
    "learning_rate": "Highest learning rate.",
    "num_train_epochs": "How often all training examples are read.",
    "max_steps": "Number of updates, in place of --num_train_epochs.",
    "warmup_steps": "Updates until the highest learning rate; below 1: a share of all updates.",
    "weight_decay": "Weight decay of AdamW.",
    "per_device_train_batch_size": "Examples that a device trains on at once; does not change the update.",
    "per_device_eval_batch_size": "Examples that a device scores at once.",
    "bf16": "Train in bf16; the default on a GPU that computes in it.",
    "fp16": "Train in fp16.",
    "deepspeed": "A file of ds_configs/: several GPUs share the optimizer states, or the model.",
    "activation_checkpointing": "Compute activations twice instead of keeping them: less memory, more time.",
    "eval_strategy": "When checkpoints are compared on dev data.",
    "eval_steps": "Updates between two comparisons.",
    "use_cpu": "Do not use the GPU.",
    "report_to": "Tracker that gets losses and scores: tensorboard, wandb, mlflow, trackio, ...",
    "run_name": "Name of this run in the tracker.",
    "project": "Name of the project in Trackio.",
    "push_to_hub": "Publish the finished run on the hub; needs --hub_model_id.",
    "hub_model_id": "Name of the published model: OWNER/NAME.",
    "disable_tqdm": "Draw no progress bars.",
}
# What stands behind a flag, where its type does not say it.
VALUES = {
    "config": "FILE", "deepspeed": "FILE", "do_train": "true|false", "perturb": "KIND:RATE", "test_file": "LANG=PATH ...",
    "dev_file": "LANG=PATH ...", "train_file": "[LANG=]PATH ...", "label_map": "NAME=LABEL ...", "layer": "N|last|best",
    "layers": "all|N ...",
    "model_revision": "REVISION", "data_revision": "REVISION ...", "hub_model_id": "OWNER/NAME",
}  # fmt: skip
EXAMPLES = {"intermediate": "mnli", "target": "xnli", "retrieval": "tatoeba"}
COLUMN = 32  # where help texts begin
WHAT_IT_DOES = {
    "intermediate": "trains an encoder on an intermediate task, or on several",
    "target": "trains on a target's English data and scores every language",
    "retrieval": "scores retrieval without training",
}


def help_page(parser: argparse.ArgumentParser, phase: str, ours: set[str], task: Task | None, shows_all: bool) -> str:
    """The text of `--help`; with a task, the defaults in it are those of the task.

    parser: its defaults are shown. ours: names of the flags that are not transformers'.
    """
    width = max(80, min(shutil.get_terminal_size().columns, 110))
    actions: dict[str, argparse.Action] = {}
    for action in parser._actions:
        if action.dest not in ("help", *NOT_FOR.get(phase, ())):
            actions.setdefault(action.dest, action)  # `--no_x` follows `--x`
    grouped = [name for names in GROUPS.values() for name in names]
    groups = {title: [name for name in names if name in actions] for title, names in GROUPS.items()}
    groups[OTHERS] = [name for name in actions if name in ours and name not in grouped]
    inherited = [name for name in actions if name not in ours and name not in grouped]
    if shows_all:
        groups[OF_TRANSFORMERS] = inherited
    lines = [
        f"{parser.prog} {WHAT_IT_DOES[phase]}.",
        "",
        f"  python {parser.prog} --task {EXAMPLES[phase]} --output_dir out/{EXAMPLES[phase]}",
        "",
    ]
    lines += [line for text in about_tasks(phase, task) for line in wrapped(text, width)]
    for title, names in groups.items():
        if names:
            lines += [
                "",
                f"{title}:",
                *(line for name in names for line in flag_lines(actions[name], width, phase, name in ours, task is not None)),
            ]
    lines += ["", *wrapped(about_help(phase, task, len(inherited), shows_all), width)]
    return "\n".join(lines)


def about_tasks(phase: str, task: Task | None) -> list[str]:
    """Which values --task and --recipe have; of one task, what it is."""
    if task is not None:
        trained = f", trained on {task.train_on}" if task.train_on else ""
        languages = f"{len(task.languages)} languages ({' '.join(task.languages)})" if len(task.languages) > 1 else "English"
        compared = f", compared by {task.dev_metric}" if phase != "retrieval" else ""
        return [f"{task.name}: {task.task_type}{trained}, {languages}{compared}. Recipes: {', '.join(task.recipes)}."]
    tasks = [task for task in TASKS.values() if task.phase == phase and not task.protocol]
    recipes: dict[str, list[str]] = {}
    for one in tasks:
        for recipe in (recipe for recipe in one.recipes if recipe != PROTOCOL):
            recipes.setdefault(recipe, []).append(one.name)
    which = [f"{name} ({'all tasks' if len(names) == len(tasks) else ', '.join(names)})" for name, names in recipes.items()]
    of_protocol = [one.name for one in TASKS.values() if one.phase == phase and (one.protocol or PROTOCOL in one.recipes)]
    return [
        f"Tasks: {' '.join(one.name for one in tasks)}",
        f"Recipes: {'; '.join(which)}",
        f"Tasks of --protocol {PROTOCOL}: {' '.join(of_protocol)}",
    ]


def about_help(phase: str, task: Task | None, count: int, shows_all: bool) -> str:
    with_task = f"`--help --task {EXAMPLES[phase]}` shows the defaults of that task."
    others = f"`--help all` adds {count} more flags of transformers' TrainingArguments." if count and not shows_all else ""
    default = "Defaults stand in brackets" + (", those that depend on the machine too." if task else "; without one, the recipe decides.")
    return " ".join(filter(None, (default, "" if task else with_task, others, "docs/flags.md lists our flags too.")))


def flag_lines(action: argparse.Action, width: int, phase: str, is_ours: bool, has_task: bool) -> list[str]:
    """One flag: its name and values, and from COLUMN on what it does and its default in brackets."""
    head = f"  --{action.dest}{values_of(action)}"
    text = "" if is_ours else SHORT.get(action.dest, "")
    text = text or " ".join((action.help or "").replace("%%", "%").split())
    if (phase, action.dest) == ("intermediate", "do_eval"):
        text = "The same as --do_train false."
    shows_default = is_ours or has_task
    default = action.default.value if isinstance(action.default, Enum) else action.default
    if default is True:
        text += " [true]"
    elif shows_default and default not in (None, "", [], False):
        text += f" [{' '.join(map(str, default)) if isinstance(default, list | tuple) else default}]"
    first, *more = textwrap.wrap(text, width - COLUMN, break_long_words=False, break_on_hyphens=False) or [""]
    rest = [" " * COLUMN + line for line in more]
    if len(head) >= COLUMN:
        return [head, " " * COLUMN + first, *rest]
    return [head.ljust(COLUMN) + first, *rest]


def values_of(action: argparse.Action) -> str:
    """What stands behind a flag: its choices where they are few, or a word for their kind."""
    if action.dest in VALUES:
        return f" {VALUES[action.dest]}"
    if isinstance(action.const, bool):
        return " true|false" if action.default is True else ""
    choices = "|".join(map(str, action.choices or ()))
    if choices and len(choices) <= 40:
        return f" {choices}"
    if action.type is string_to_bool:
        return " true|false"
    kinds: dict[Any, str] = {int: "N", float: "X"}
    kind = kinds.get(action.type, "PATH" if action.dest.endswith(("_dir", "_file", "_path")) else "NAME")
    return f" {kind} ..." if action.nargs == "+" else f" {kind}"


def wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
