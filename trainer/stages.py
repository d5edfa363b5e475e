"""Recipes of two stages: an intermediate task is trained before the target's own English data (XCOPA: Social IQa, then COPA).

The first stage is a run of `run_intermediate.py` in a folder of its own, <output_dir>/<task>: finished, it is skipped; cut off, it goes on.
Retrieval has no English data: its recipes may ask for a model that has had their stage (LAReQA: pairs from SQuAD).
"""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

from transformers import TrainingArguments

from results import RunFolder, lineage_of
from settings import describe_run
from task_adapters import TASKS, InputError, hub_ids_of, load_examples
from task_adapters.base import Recipe, Task
from task_adapters.xcopa import StagedRecipe

# Flags of run_target.py that say nothing about the first stage: its model is kept for the second, and is named with its revision. All
# others hold for both stages.
SECOND_STAGE = ("task", "output_dir", "model_name_or_path", "languages", "max_predict_samples", "select_on", "oracle", "g_xlt",
                "train_languages", "train_file", "test_file", "dev_file", "perturb", "keep_head", "benchmark", "save_probabilities",
                "save_model", "model_revision", "protocol", "push_to_hub", "hub_model_id", "hub_token", "hub_private_repo",
                "push_predictions", "do_train", "do_eval", "do_predict", "data_revision")  # fmt: skip


def has_stage_before(recipe: Recipe) -> bool:
    return bool(getattr(recipe, "before", ""))


def train_stage_before(
    task: Task, recipe: StagedRecipe, args: Any, training_args: TrainingArguments, run_intermediate: Callable[[], Any]
) -> None:
    """Makes `args` start from a checkpoint that has the recipe's first stage, with its head: that of the user, or one trained here.

    run_intermediate  `main` of that script; it reads sys.argv.
    Raises InputError where the output folder holds another run or test data are missing: both before the first stage is trained.
    """
    if args.keep_head:
        raise InputError(f"--keep_head: {task.name} always keeps the head of its first stage, {recipe.before}. Leave the flag out.")
    args.keep_head = True
    if stages := _stages(lineage_of(args.model_name_or_path), recipe):
        if args.protocol and stages[0].get("protocol") != args.protocol:
            raise InputError(
                f"--protocol {args.protocol}: {args.model_name_or_path} was trained on {recipe.before} with other settings. Leave"
                " --model_name_or_path to the model before it."
            )
        return
    if training_args.deepspeed:
        raise InputError(
            f"{task.name} is trained in two stages, {recipe.before} first. Under --deepspeed each is a command of its own:"
            f" run_intermediate.py --task {recipe.before} --output_dir DIR, then this one with --model_name_or_path DIR."
        )
    settings = describe_run("target", args, training_args, [task])
    with training_args.main_process_first(local=False, desc="output folder"):
        RunFolder(training_args.output_dir, settings, args.model_name_or_path, args.overwrite, time.time())  # it refuses another run
    with training_args.main_process_first(desc=f"{task.name} test data"):
        for language in args.languages or task.languages:
            load_examples(task, "test", language, args.data_dir)
    folder = f"{training_args.output_dir.rstrip('/')}/{recipe.before}"
    command, protocol = sys.argv, ["--protocol", args.protocol] if args.protocol else []
    try:
        sys.argv = ["run_intermediate.py", "--task", recipe.before, "--output_dir", folder,
                    "--model_name_or_path", args.model_name_or_path, *protocol,
                    *revisions_of_first_stage(args.data_revision, recipe.before), *flags_of_first_stage(command[1:])]  # fmt: skip
        run_intermediate()
    finally:
        sys.argv = command
    args.model_name_or_path = folder


def check_stage_before(task: Task, recipe: Any, args: Any) -> None:
    """Refuses, for a target that is trained elsewhere (retrieval), a model that has not had its recipe's stage: nothing is trained here."""
    if not has_stage_before(recipe):
        return
    stage = (lineage_of(args.model_name_or_path) or [{}])[-1]
    if stage.get("task") != recipe.before or stage.get("recipe") != args.recipe or stage.get("protocol") != args.protocol:
        flag = f"--protocol {args.protocol}" if args.protocol else f"--recipe {args.recipe}"
        raise InputError(
            f"{flag} scores {task.name} after training on {recipe.before}, which {args.model_name_or_path} has not had:"
            f" run_intermediate.py --task {recipe.before} {flag} --output_dir DIR, then this with --model_name_or_path DIR."
        )


def flags_of_first_stage(argv: list[str]) -> list[str]:
    """The user's flags without those that are for the second stage alone (`SECOND_STAGE`)."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in SECOND_STAGE:
        spellings = {f"--{prefix}{name}".replace("_", dash) for prefix in ("", "no_") for dash in "_-"}
        parser.add_argument(*sorted(spellings), nargs="*")
    return parser.parse_known_args(argv)[1]


def revisions_of_first_stage(revisions: list[str] | None, task: str) -> list[str]:
    """--data_revision of the first stage: what --data_revision of both stages says about the data that `task` reads; [] for nothing."""
    read = hub_ids_of([TASKS[task]])
    pins = [pin for pin in revisions or [] if "=" not in pin or pin.partition("=")[0] in read]
    return ["--data_revision", *pins] if pins else []


def lineage_and_stages(lineage: list[dict], recipe: Recipe) -> dict:
    """{"lineage", "stages", "model"} of a recipe with two stages: its first stage is part of the target, and no intermediate training.

    lineage  of the model that the second stage starts from. "model" is the model that the first stage started from.
    Returns {} for other recipes: their results keep what run.json says.
    """
    stages = _stages(lineage, recipe)
    if not stages:
        return {}
    return {"lineage": lineage[:-1], "stages": stages, "model": stages[0]["model"]}


def _stages(lineage, recipe) -> list[dict]:
    """The last run of the lineage, in a list, where it is the recipe's first stage."""
    return lineage[-1:] if has_stage_before(recipe) and lineage and lineage[-1]["task"] == recipe.before else []
