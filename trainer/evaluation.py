"""A model that is scored as it is: --do_train false, or --do_eval or --do_predict without --do_train.

The model keeps its own head. No training data are read, nothing is trained, and no copy of the model is written: the output folder holds
scores, predictions, probabilities and labels.

A run of several tasks leaves its heads in heads/<task>/ beside the encoder. The head of the task itself is taken there, or that of the task
on whose English data a target is trained: `--task xnli` is scored with heads/mnli.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerBase, TrainingArguments

import speed
from console import say
from results import RunFolder, base_model_of
from task_adapters.base import InputError, Task, nearest
from task_types import TASK_TYPES
from task_types.collator import Collator
from task_types.heads import check_label_names, permutation_warning
from trainer.checkpoints import load_config, load_model
from trainer.contrastive import trainer_class_for
from trainer.loop import pad_as, score
from trainer.multitask import task_model


def with_own_head(task: Task, args: Any, dual: Any = None) -> Task:
    """The task with its labels in the order of the outputs of the model's own head: to be called before data are read.

    args  the script's arguments, with `model_name_or_path`, `label_map` and `label_piece`; dual: the recipe of a dual encoder.
    Raises InputError where the model has no head for the task, or one with other labels.
    """
    path = args.model_name_or_path
    if base_model_of(path):
        raise InputError(f"{path!r} is an adapter, which does not name its labels. Give the merged model.")
    config, kind = load_config(str(head_folder(task, path) or path)), TASK_TYPES[task.task_type].Model.__name__.rpartition("For")[2]
    architecture = (config.architectures or ["model without a name"])[0]
    if architecture.rpartition("For")[2] != kind:
        raise InputError(
            f"{path!r} has no head for {task.name}: its class is {architecture}, and one that ends in For{kind} is needed."
            " Without --do_train false, --do_eval and --do_predict one is trained."
        )
    labels = ()
    if task.task_type in ("classification", "tagging"):
        labels = check_label_names(config, task.labels, path, args.label_map)
    elif args.label_map:
        raise InputError(f"--label_map: {task.name} has no labels. Leave the flag out.")
    return replace(task, labels=labels, label_piece=args.label_piece, dual=dual if task.task_type == "pairs" else task.dual)


def head_folder(task: Task, path: str) -> Path | None:
    """The folder of the task's head in a run of several tasks; None where `path` holds a model with its head, or a hub id.

    Raises InputError where such a run has no head for the task.
    """
    heads = Path(path) / "heads"
    if not heads.is_dir():
        return None
    for name in (task.name, task.train_on):
        if name and (heads / name).is_dir():
            return heads / name
    names = sorted(folder.name for folder in heads.iterdir())
    raise InputError(f"{path!r} has no head for {task.name}. {nearest(task.train_on or task.name, names)}")


def scoring_trainer(
    task: Task, features: Dataset, tokenizer: PreTrainedTokenizerBase, args: Any, training_args: TrainingArguments
) -> tuple:
    """-> (a trainer that can score, how its model was read: as results.json has it)

    task  as from `with_own_head`; features: of the first data that are scored.
    """
    path, folder, task_type = args.model_name_or_path, head_folder(task, args.model_name_or_path), TASK_TYPES[task.task_type]
    if folder:
        model = task_model(path, folder.name)
    else:
        model, _ = load_model(task_type.Model, path, task.labels, training_args.seed, keep_head=True, label_map=args.label_map)
    speed.set_up_scoring(model.base_model, args, training_args, features)
    pad_as(tokenizer, model)
    training_args.label_names = ["labels"]
    trainer = trainer_class_for(model, task, is_trained=True)(
        model=model,
        args=training_args,
        data_collator=Collator(model.config.pad_token_id),
        processing_class=tokenizer,
        compute_loss_func=task_type.loss,
    )
    names = load_config(str(folder or path)).id2label
    outputs = {"outputs": {names[output]: label for output, label in enumerate(task.labels)}} if task.labels else {}
    return trainer, {"class": type(model).__name__, "head": f"heads/{folder.name}" if folder else "its own", **outputs}


def score_as_it_is(
    task: Task,
    dev_examples: Dataset | None,
    first: Dataset,
    features_of: Callable[[Dataset], Dataset],
    tokenizer: PreTrainedTokenizerBase,
    args: Any,
    training_args: TrainingArguments,
    folder: RunFolder | None,
    probabilities_file: Path | None = None,
) -> tuple:
    """Opens a model and scores English dev data. -> (its trainer, how the model was read, the dev scores: None without dev examples)

    first        the examples that are scored first; features_of: examples -> features.
    folder       the run's `RunFolder`, in which the run begins when the model could be loaded; None where it has begun.
    Without dev examples the English test data must show whether labels are permuted: the description then has no "warning" yet.
    """
    trainer, reading = scoring_trainer(task, features_of(first), tokenizer, args, training_args)
    if folder is not None:
        with training_args.main_process_first(local=False, desc="begin"):
            folder.begin(training_args.seed)
    if dev_examples is None:
        return trainer, reading, None
    predicted, dev = score(trainer, task, dev_examples, features_of(dev_examples), "en", probabilities_file)
    return trainer, {**reading, "warning": warn_of_permuted_labels(task, dev_examples, predicted, "English dev")}, dev


def warn_of_permuted_labels(task: Task, examples: Dataset, predicted: Sequence, scored: str) -> str | None:
    """Says in one line where the head's labels seem to stand in another order than its outputs. -> that line, for results.json

    scored  what the examples are: "English dev".
    """
    if not task.labels:
        return None
    warning = permutation_warning(task.labels, TASK_TYPES[task.task_type].gold(examples, task), predicted, scored)
    if warning:
        say(f"warning: {warning}")
    return warning
