"""Rankings of intermediate tasks for a target, each with what it cost: sizes, likeness of texts, labels that a checkpoint gives away,
and the score after a few steps of training."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from console import say
from results import earlier_run
from task_adapters import TASKS, InputError, labels_of, load_examples
from task_adapters.base import Task
from task_adapters.loading import drawn
from task_types.retrieval import default_batch_tokens, embed
from task_types.transferability import logme, shrunk_h_score
from trainer.checkpoints import load_encoder
from trainer.few_steps import short_run
from trainer.probing import labelled_vectors, texts_of
from trainer.tokenizers import load_tokenizer

SIZE, TEXT, LOGME, H_SCORE, STEPS = "size", "text", "LogME", "H-score", "few steps"
DIGITS = {SIZE: 0, TEXT: 4, LOGME: 4, H_SCORE: 4, STEPS: 1}


class Chooser:
    """args: those of choose_intermediate.py. `ranked` gives {method: {task: score}} of a target; higher is better."""

    def __init__(self, args):
        from accelerate import Accelerator

        self.args, self.seconds = args, dict.fromkeys((SIZE, TEXT, "vectors", LOGME, H_SCORE, STEPS), 0.0)
        self.accelerator = Accelerator(cpu=args.use_cpu)
        self.examples, self.means = {}, {}
        self.checkpoints = checkpoints_of(args.checkpoints, args.tasks, args.model_name_or_path) if args.checkpoints else {}

    def timed(self, name: str, function: Callable[..., Any], *arguments) -> Any:
        start = time.perf_counter()
        value = function(*arguments)
        self.seconds[name] += time.perf_counter() - start
        return value

    def training_examples(self, task: str) -> tuple[Task, Dataset]:
        """English training examples: of a target those of the task that trains it."""
        name = TASKS[task].train_on or task
        if name not in self.examples:
            self.examples[name] = load_examples(TASKS[name], "train", "en", self.args.data_dir)[0]
        return TASKS[name], self.examples[name]

    def ranked(self, target: str) -> dict[str, dict[str, float]]:
        tasks = self.args.tasks
        found = {SIZE: self.timed(SIZE, lambda: {task: float(len(self.training_examples(task)[1])) for task in tasks})}
        if self.args.model_name_or_path:
            own = self.timed(TEXT, self.mean_vector, target)
            found[TEXT] = {task: float(own @ self.timed(TEXT, self.mean_vector, task)) for task in tasks}
        if set(self.checkpoints) >= set(tasks):
            vectors = {task: self.timed("vectors", self.vectors, target, self.checkpoints[task]) for task in tasks}
            found[LOGME] = {task: self.timed(LOGME, logme, *vectors[task]) for task in tasks}
            found[H_SCORE] = {task: self.timed(H_SCORE, shrunk_h_score, *vectors[task]) for task in tasks}
            if self.args.steps:
                found[STEPS] = {task: self.few_steps(target, task) for task in tasks}
        elif self.args.checkpoints:
            missing = ", ".join(task for task in tasks if task not in self.checkpoints)
            lacking = "no LogME, no H-score and no short runs" if self.args.steps else "no LogME and no H-score"
            say(f"{lacking}: {self.args.checkpoints} holds no finished run of {missing} on this model")
        return found

    def drawn_examples(self, task: str, count: int) -> tuple[Task, Dataset]:
        trained_on, examples = self.training_examples(task)
        return trained_on, examples.select(drawn(len(examples), min(count, len(examples)), self.args.seed, "en"))

    def mean_vector(self, name: str) -> torch.Tensor:
        """The unit vector (width,) of a task's texts: the mean of their vectors, of the untrained encoder's last layer."""
        task, examples = self.drawn_examples(name, self.args.rows)
        if task.name not in self.means:
            model, tokenizer = self.encoder(self.args.model_name_or_path)
            how = (
                model.config.num_hidden_layers,
                "mean",
                self.args.max_seq_length,
                default_batch_tokens(self.accelerator.device),
                self.accelerator,
            )
            mean = embed(texts_of(examples, task), model, tokenizer, *how, f"texts of {task.name}").double().mean(0)
            self.means[task.name] = mean / mean.norm()
        return self.means[task.name]

    def encoder(self, path: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """The encoder of a folder with its tokenizer; the last one is kept."""
        if getattr(self, "loaded", (None,))[0] != path:
            self.loaded = path, load_encoder(path, None).eval().to(self.accelerator.device), load_tokenizer(path, needs_offsets=True)
        return self.loaded[1:]

    def vectors(self, target: str, path: str) -> tuple[np.ndarray, np.ndarray]:
        task, examples = self.drawn_examples(target, self.args.target_rows)
        if not task.labels and task.task_type == "tagging":
            raise InputError(f"{task.name} has open labels: {', '.join(labels_of(task, examples)[:3])} ...")
        vectors, classes = labelled_vectors(*self.encoder(path), task, examples, self.args.max_seq_length, 64, self.args.seed)
        if len(set(classes.tolist())) < 2:
            raise InputError(f"{target}: the rows that were drawn have one label. More --target_rows would be right.")
        return vectors, classes

    def few_steps(self, target: str, task: str) -> float:
        """The English dev score of the target after a short run from a task's checkpoint. An earlier run's seconds count too."""
        english, examples = self.drawn_examples(target, self.args.target_rows)
        dev = load_examples(english, "dev", "en", self.args.data_dir, self.args.target_rows)[0]
        self.loaded = (None,)  # makes room: the encoder that was read last is not needed any more
        record = short_run(self.checkpoints[task], TASKS[target], task, examples, dev, self.args)
        self.seconds[STEPS] += record["seconds"]
        return record["score"]

    def lines(self, target: str, found: dict[str, dict[str, float]]) -> list[str]:
        """The ranking as lines that line up: best first by the last method, which knows most; in brackets the rank by each."""
        order = np.argsort([-found[list(found)[-1]][task] for task in self.args.tasks], kind="stable")
        ranks = {name: {task: rank for rank, task in enumerate(sorted(values, key=values.get, reverse=True), start=1)}
                 for name, values in found.items()}  # fmt: skip
        lines = [f"{target}: intermediate tasks, best first by {list(found)[-1]}; in brackets the rank"]
        lines.append(f"{'':<16}" + "".join(f"{name:>18}" for name in found))
        for task in (self.args.tasks[place] for place in order):
            cells = (f"{found[name][task]:,.{DIGITS[name]}f} ({ranks[name][task]})" for name in found)
            lines.append(f"{task:<16}" + "".join(f"{cell:>18}" for cell in cells))
        return lines

    def costs(self) -> list[str]:
        spent = ", ".join(f"{name} {seconds:.1f}" for name, seconds in self.seconds.items() if name != STEPS or self.args.steps)
        explained = "vectors: of the target's rows by each checkpoint, for LogME and H-score"
        if self.args.steps:
            explained += "; few steps: of runs that were there too"
        return [f"seconds, on {self.accelerator.device.type}: {spent} ({explained})"]


def checkpoints_of(folder: str, tasks: Sequence[str], model: str | None) -> dict[str, str]:
    """{task: the folder of a finished run of it alone}, the smallest seed where there are several.

    model  the encoder that was trained; None for any. Raises InputError for a folder that is not there.
    """
    if not Path(folder).is_dir():
        raise InputError(f"--checkpoints {folder}: no such folder.")
    found = {}
    # os.walk passes over a folder that another run removes meanwhile; before Python 3.13 Path.rglob raises an error there.
    for path in sorted(Path(path) for path, _, files in os.walk(folder) if "results.json" in files):
        run = earlier_run(str(path))
        is_one = run is not None and run["phase"] == "intermediate" and run["task"] in tasks and not run["lineage"]
        if is_one and not run.get("mlm_languages") and (model is None or run["model"]["name_or_path"] == model.rstrip("/")):
            found.setdefault(run["task"], []).append((run["seed"], str(path)))
    return {task: min(runs)[1] for task, runs in found.items()}
