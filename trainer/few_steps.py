"""How far a target comes from a checkpoint in a few steps: a short run on a few English rows, which leaves one record and no model.

A short run has the settings of the target's recipe, but for its number of steps, its rows and its length in tokens. A record names all that
the score depends on, the checkpoint's weights too; a run with the same record is not made again.
"""

import hashlib
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainingArguments

from console import say
from results import read_note, write_json
from speed.real_tokens import RealTokensTrainer
from task_adapters import InputError, Task, labels_of
from task_adapters.base import Recipe
from task_types import NEEDS_OFFSETS, TASK_TYPES, make_features
from task_types.collator import Collator, what_is_read
from trainer.checkpoints import describe_model, load_config, load_model
from trainer.loop import pad_as, score
from trainer.tokenizers import load_tokenizer

PER_DEVICE = 8  # examples of a micro-batch: XLM-R Large fits into 16 GB with them


def recipe_of(task: Task) -> Any:
    """The target's default recipe; of XCOPA, whose recipes train Social IQa first, the one that trains the target's own data alone."""
    of_one_stage = (recipe for recipe in task.recipes.values() if not getattr(recipe, "before", ""))
    default = task.recipes[task.default_recipe]
    return next(of_one_stage, default) if getattr(default, "before", "") else default


def short_run(path: str, target: Task, intermediate_task: str, train_examples: Dataset, dev_examples: Dataset, args: Any) -> dict:
    """The record of a short run: {"score": English dev score, 0..100, "seconds", and all that they depend on}.

    path  the checkpoint; target: the task whose head is trained; train_examples, dev_examples: English rows, none too many.
    args  those of choose_intermediate.py: steps, learning_rate, max_seq_length, seed, use_cpu, output_dir.
    Raises InputError where training breaks.
    """
    recipe = recipe_of(target)
    asked = {
        "target": target.name, "intermediate_task": intermediate_task, "steps": args.steps, "seed": args.seed,
        "learning_rate": args.learning_rate or recipe.learning_rate, "max_seq_length": args.max_seq_length,
        "effective_batch_size": recipe.effective_batch_size, "metric": target.dev_metric, "train_examples": len(train_examples),
        "dev_examples": len(dev_examples), "rows": [train_examples._fingerprint, dev_examples._fingerprint],
        "model": describe_model(path, load_config(path))["revision"],
    }  # fmt: skip
    key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]
    file, name = Path(args.output_dir, target.name, f"{intermediate_task}-{key}.json"), f"{target.name}, {args.steps} steps after"
    if record := read_note(file):
        say(f"{name} {intermediate_task}: was there, {target.dev_metric} {record['score']:.2f}")
        return record
    started = time.time()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--output_dir {args.output_dir} cannot be written: {error.strerror}.") from error
    measured = train_briefly(path, target, recipe, train_examples, dev_examples, args)
    record = {**asked, **measured, "seconds": round(time.time() - started, 1)}
    write_json(file, record)
    say(f"{name} {intermediate_task}: {target.dev_metric} {record['score']:.2f} ({record['seconds']:.0f} s)")
    return record


def train_briefly(path: str, target: Task, recipe: Recipe, train_examples: Dataset, dev_examples: Dataset, args: Any) -> dict:
    """{"score", "train_loss"} of a fresh head and the encoder of `path` after `args.steps` updates."""
    task = replace(target, labels=labels_of(target, train_examples))
    task_type, tokenizer = TASK_TYPES[task.task_type], load_tokenizer(path, task.task_type in NEEDS_OFFSETS)
    model, labels = load_model(task_type.Model, path, task.labels, args.seed)
    task = replace(task, labels=labels)
    pad_as(tokenizer, model)
    stride = min(recipe.doc_stride, args.max_seq_length // 2)
    features = {split: make_features(examples, tokenizer, task, args.max_seq_length, stride)
                for split, examples in (("train", train_examples), ("dev", dev_examples))}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        trainer = RealTokensTrainer(
            model=model, args=arguments_of(recipe, folder, args), train_dataset=what_is_read(features["train"]),
            data_collator=Collator(model.config.pad_token_id), processing_class=tokenizer, compute_loss_func=task_type.loss,
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)  # one line about each short run is enough
        loss = trainer.train().training_loss
    if not all(torch.isfinite(weight).all() for weight in model.parameters()):
        raise InputError(
            f"{target.name}, {args.steps} steps from {path}: weights that are not finite numbers. A smaller --learning_rate would be right."
        )
    return {"score": score(trainer, task, dev_examples, features["dev"], "en")[1][task.dev_metric], "train_loss": loss}


def arguments_of(recipe: Recipe, folder: str, args: Any) -> TrainingArguments:
    """The Trainer's arguments of a short run: the recipe's, for `args.steps` updates, without checkpoints."""
    on_gpu = not args.use_cpu and torch.cuda.is_available()
    per_device = next(size for size in range(PER_DEVICE, 0, -1) if recipe.effective_batch_size % size == 0)
    made = TrainingArguments(
        output_dir=folder, max_steps=args.steps, learning_rate=args.learning_rate or recipe.learning_rate, seed=args.seed,
        warmup_steps=recipe.warmup_steps, weight_decay=recipe.weight_decay, adam_epsilon=recipe.adam_epsilon,
        max_grad_norm=recipe.max_grad_norm, per_device_train_batch_size=per_device, per_device_eval_batch_size=32,
        gradient_accumulation_steps=recipe.effective_batch_size // per_device, train_sampling_strategy="group_by_length",
        eval_strategy="no", save_strategy="no", report_to="none", disable_tqdm=True, logging_strategy="no", use_cpu=args.use_cpu,
        bf16=on_gpu and torch.cuda.is_bf16_supported(including_emulation=False), label_names=["labels"],
    )  # fmt: skip
    if made.n_gpu > 1:  # without a launcher the library shares a micro-batch among all visible GPUs; a short run needs one
        made._n_gpu = 1
    return made
