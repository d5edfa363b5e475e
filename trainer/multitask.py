"""Several tasks at once: one shared encoder, one head per task, one task per optimiser step.

The training loop is the Trainer's own. Its data are one long list of the features of all steps, read in order (`MixedFeatures`). The task
of a step and the features in it are a function of the seed and the step's number. So all processes, any number of accumulation steps and
a resumed run have the same steps without any communication. A single task comes here together with masked LM; alone it is trained by
`trainer.loop.train`.
"""

import contextlib
import math
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from datasets import Dataset
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainingArguments, set_seed

from console import say
from results import RunFolder, dev_mean
from speed.real_tokens import lengths_of
from speed.trimmed_embeddings import complete
from task_adapters import InputError, nearest
from task_types import TASK_TYPES
from task_types.collator import Collator, what_is_read
from trainer import lora, masked_lm
from trainer.checkpoints import TRAININGS, check_model, count_training, load_config, load_encoder, load_model
from trainer.loop import RunTrainer, note_trained, pad_as, restore, run_trainer, score, watch_losses


def sampling_probabilities(sizes: dict[str, int], sampling: str, cap: int, temperature: float | None = None) -> dict[str, float]:
    """The probability of each task: proportional to min(size, cap), or to its 1/temperature-th power, or equal for all.

    The cap is T5's examples-proportional mixing (Raffel et al., 2020, section 3.5.2); jiant has it as `train_examples_cap`.
    """
    power = {"proportional": 1.0, "uniform": 0.0, "temperature": 1 / (temperature or 1)}[sampling]
    largest = min(max(sizes.values()), cap)  # sizes are divided by it, so that no power overflows
    weights = {name: (min(size, cap) / largest) ** power for name, size in sizes.items()}
    return {name: weight / sum(weights.values()) for name, weight in weights.items()}


def draw_schedule(probabilities: dict[str, float], steps: int, seed: int) -> np.ndarray:
    """The task of each step, as an index into `probabilities`. It depends on the seed and the step alone, not on how many steps follow."""
    edges = np.cumsum(list(probabilities.values()))
    return np.asarray(np.searchsorted(edges[:-1], np.random.default_rng(seed).random(steps), side="right"))


def count_steps(sizes: dict[str, int], cap: int, epochs: float, batch: int) -> int:
    """The number of steps of a run: the sum over tasks of epochs x capped size / batch, as in jiant."""
    return sum(math.ceil(epochs * math.ceil(min(size, cap) / batch)) for size in sizes.values())


class MixedFeatures(torch.utils.data.Dataset):
    """The features of all steps, one after the other: items i x batch to (i + 1) x batch - 1 are those of step i, all of one task.

    They are read in order, in micro-batches that are dealt out to the processes in turn, so all micro-batches of a step have the same task.
    Each task goes through its own features again and again, shuffled anew each time by a generator that depends on the seed, the task's
    name and the number of the pass. The features of a step come longest first, so that its micro-batches have less padding. Masked LM has
    an order of its own.

    features  {task: its features}; lengths: {task: the length of each feature, as from `real_tokens.lengths_of`}.
    schedule  the task of each step, as an index into `features`; batch: features of a step over all processes.
    """

    def __init__(self, features: dict, lengths: dict, schedule: np.ndarray, batch: int, seed: int):
        self.names, self.schedule, self.batch, self.seed = list(features), schedule, batch, seed
        self.features, self.lengths = features, lengths
        self.orders = {}  # {task: (pass, order of its features in that pass)}, of the last pass that was asked for
        self.step_and_rows = None, []  # of the last step that was asked for
        self.earlier_steps = np.zeros(len(schedule), dtype=np.int64)  # steps of the same task before each step
        for task in range(len(self.names)):
            steps = np.flatnonzero(schedule == task)
            self.earlier_steps[steps] = np.arange(len(steps))

    def __len__(self):
        return len(self.schedule) * self.batch

    def __getitem__(self, item):
        step, slot = divmod(item, self.batch)
        name, first = self.names[self.schedule[step]], int(self.earlier_steps[step]) * self.batch
        if name == masked_lm.NAME:
            return self.features[name][first + slot]
        if self.step_and_rows[0] != step:
            rows = [self.row(name, *divmod(number, len(self.features[name]))) for number in range(first, first + self.batch)]
            self.step_and_rows = step, sorted(rows, key=lambda row: -self.lengths[name][row])
        return self.features[name][self.step_and_rows[1][slot]]

    def row(self, name: str, pass_number: int, position: int) -> int:
        """The row of a task's feature at this position of the pass."""
        if self.orders.get(name, (None,))[0] != pass_number:
            generator = np.random.default_rng((self.seed, zlib.crc32(name.encode()), pass_number))
            self.orders[name] = pass_number, generator.permutation(len(self.features[name]))
        return int(self.orders[name][1][position])


class MultitaskModel(torch.nn.Module):
    """The Auto models of all tasks around one encoder (`share_encoder`). Each batch names its task.

    The heads of other tasks have no gradient in a step (None, not zero), so AdamW leaves them as they are: without weight decay and without
    momentum. Otherwise a task that is drawn rarely would lose its head to decay between two of its steps.
    """

    accepts_loss_kwargs = True  # so the Trainer counts the labels of the whole step and passes the count to `forward`

    def __init__(self, encoder, models: dict, losses: dict):
        super().__init__()
        self.encoder, self.models, self.losses, self.config = encoder, torch.nn.ModuleDict(models), losses, encoder.config

    def forward(
        self,
        task: str,
        labels: torch.Tensor | None = None,
        num_items_in_batch: int | torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
    ) -> dict:
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        with masked_lm.only_masked(self.encoder, labels) if task == masked_lm.NAME else contextlib.nullcontext():
            outputs = self.models[task](**{name: value for name, value in inputs.items() if value is not None})
        return {"loss": self.losses[task](outputs, labels, num_items_in_batch), **outputs}  # as in a run of this task alone

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.encoder.get_input_embeddings()  # where the Trainer adds the noise of --neftune_noise_alpha

    def activation_checkpointing_enable(self, **options) -> None:
        self.encoder.activation_checkpointing_enable(**options)

    def gradient_checkpointing_enable(self, **options) -> None:  # the name in transformers 5.17
        self.encoder.gradient_checkpointing_enable(**options)


def share_encoder(model: PreTrainedModel, encoder: PreTrainedModel) -> None:
    """Replaces the model's own encoder by `encoder`, as a plain attribute: the model uses it, but does not count its weights as its own.

    So each weight has one name in the whole, which optimisers and safetensors need, and the state dict of a model is its head.
    """
    delattr(model, model.base_model_prefix)
    model.__dict__[model.base_model_prefix] = encoder


def load_models(
    path: str, tasks: dict, seed: int, freeze_embeddings: bool = False, with_lm: bool = False, is_trained: bool = False
) -> MultitaskModel:
    """The encoder of `path` and for each task a fresh head: the same one from which a run of that task alone with this seed starts.

    with_lm     also the checkpoint's own head for masked LM, tied to that encoder.
    is_trained  `save_together` left encoder and heads at `path`, and these heads are taken.
    """
    set_seed(seed)  # for the pooler, which is drawn where the checkpoint has none
    encoder, models, losses = load_encoder(path, None), {}, {name: TASK_TYPES[task.task_type].loss for name, task in tasks.items()}
    count_training(encoder, path)
    if freeze_embeddings:
        encoder.get_input_embeddings().requires_grad_(False)
    for name, task in tasks.items():
        model_class = TASK_TYPES[task.task_type].Model
        models[name] = task_model(path, name) if is_trained else load_model(model_class, path, task.labels, seed)[0]
        share_encoder(models[name], encoder)  # at once, so that never more than two encoders are in memory
        assert not list(models[name].parameters(recurse=False)), f"{type(models[name]).__name__} has weights besides encoder and head"
    if with_lm:
        models[masked_lm.NAME], losses[masked_lm.NAME] = masked_lm.load_lm(path), masked_lm.loss
        masked_lm.tie(models[masked_lm.NAME], encoder)
        share_encoder(models[masked_lm.NAME], encoder)
    return MultitaskModel(encoder, models, losses)


class MultitaskTrainer(RunTrainer):
    """Our Trainer for several tasks: an evaluation is each task's dev score, on examples, and their unweighted mean.

    tasks  {name: task}; selection: {name: (examples, features)} of the dev data.
    """

    tasks, selection = {}, {}

    def evaluate(self, *_, **__) -> dict[str, float]:
        dev = {name: score(self, task, self.selection[name][0], self.selection[name][1], "en")[1] for name, task in self.tasks.items()}
        metrics = {
            f"eval_{name}_{metric}": value for name, values in dev.items() for metric, value in values.items() if metric != "examples"
        }
        metrics["eval_mean"] = dev_mean(self.tasks, dev)
        if len(self.tasks) == 1:  # with masked LM: checkpoints are compared by the same name as without it
            metrics |= {f"eval_{metric}": value for values in dev.values() for metric, value in values.items() if metric != "examples"}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def train_together(
    model: MultitaskModel,
    tokenizer: PreTrainedTokenizerBase,
    tasks: dict,
    training_args: TrainingArguments,
    features: dict,
    sampling: tuple,
    selection: dict | None,
    folder: RunFolder,
    collapse_action: str,
    masked: Any = None,
    mlm_share: float = 0.0,
    patience: int | None = None,
) -> tuple[RunTrainer, dict]:
    """Trains, or resumes from the last complete checkpoint in the output folder; leaves encoder, heads and tokenizer there.

    tasks, features  two dicts with the same names; features as from `with_task`.
    sampling         how tasks are drawn: (one of proportional, uniform, temperature; cap; temperature)
    selection        {name: (examples, features)} of the dev data by whose mean checkpoints are compared; None: the last weights are kept.
    folder           the run's `RunFolder`; collapse_action: "stop", "warn" or "off" (`collapse.CollapseWatch`).
    patience         --early_stopping_patience (`comparison.early_stopping`).
    masked           a `masked_lm.MaskedText` for steps of masked LM; mlm_share: the probability that a step is one of these.
    Returns (trainer, the course of training as from `trainer.loop.train`, with each task's size, probability and number of steps).

    The tasks have as many steps as without masked LM; the steps of masked LM are added. --max_steps is the number of all steps.
    """
    batch = training_args.train_batch_size * training_args.gradient_accumulation_steps * training_args.world_size
    sizes = {name: len(features[name]) for name in tasks}
    seed = training_args.seed if training_args.data_seed is None else training_args.data_seed
    probabilities = {name: (1 - mlm_share) * share for name, share in sampling_probabilities(sizes, *sampling).items()}
    if training_args.max_steps < 1:
        cap = sampling[1] if len(tasks) > 1 else sizes[next(iter(tasks))]  # the run of a single task has no cap
        training_args.max_steps = round(count_steps(sizes, cap, training_args.num_train_epochs, batch) / (1 - mlm_share))
    if masked is not None:
        probabilities[masked_lm.NAME] = mlm_share
    schedule = draw_schedule(probabilities, training_args.max_steps, seed)
    drawn = dict(zip(probabilities, np.bincount(schedule, minlength=len(probabilities)).tolist()))
    features = {name: what_is_read(features[name]) for name in tasks}
    training_args.train_sampling_strategy = "sequential"  # MixedFeatures has its own order
    training_args.label_names = ["labels"]
    if masked is not None:
        masked.draw(drawn[masked_lm.NAME] * batch)
        features[masked_lm.NAME] = masked
    pad_as(tokenizer, model, *model.models.values())
    tensors_of = Collator(model.config.pad_token_id)

    def collate(rows):
        (name,) = {row["task"] for row in rows}
        return {"task": name, **tensors_of([{key: row[key] for key in row if key != "task"} for row in rows])}

    trainer = MultitaskTrainer(
        model=model,
        args=training_args,
        train_dataset=MixedFeatures(features, {name: lengths_of(features[name]) for name in tasks}, schedule, batch, seed),
        eval_dataset=selection and {name: selection[name][1] for name in tasks},
        data_collator=collate,
        processing_class=tokenizer,
    )
    trainer.tasks, trainer.selection = tasks, selection
    smoothing = training_args.label_smoothing_factor
    # Masked LM has no smoothing: its held-out loss is compared with what the checkpoint was pretrained to.
    model.losses |= {name: partial(TASK_TYPES[task.task_type].loss, label_smoothing=smoothing) for name, task in tasks.items()}
    for name in tasks:
        say(f"{name}: {sizes[name]} features, drawn with probability {probabilities[name]:.4f}: {drawn[name]} of {len(schedule)} steps")
    trained = folder.trained(training_args.seed)
    mlm_before = trained and trained["mlm_before"]
    if masked is not None and trained is None:
        mlm_before = masked_lm.held_out_losses(trainer, masked)  # also with --mlm_share 0, where it is not trained
        say(f"{masked_lm.NAME}: drawn with probability {mlm_share:.4f}: {drawn[masked_lm.NAME]} of {len(schedule)} steps; languages: "
            + ", ".join(f"{language} {share:.4f}" for language, share in masked.probabilities.items()))  # fmt: skip
    watch_losses(trainer, tasks, features, collapse_action)
    if trained:
        training = restore(trainer, trained)
    else:
        training = run_trainer(trainer, patience=patience) | {"features": sizes, "probabilities": probabilities, "drawn": drawn}
        lora.merge(trainer, folder)
        save_together(trainer, training_args.output_dir)
        note_trained(trainer, folder, training, mlm_before=mlm_before)
    complete(model)
    if masked is not None:
        training["mlm"] = masked_lm.report(masked, mlm_before, masked_lm.held_out_losses(trainer, masked))
    return trainer, training


def with_task(features: Dataset, name: str) -> Dataset:
    """Features with the name of their task in the column `task`."""
    return features.add_column("task", [name] * len(features))


def save_together(trainer: Trainer, output_dir: str) -> None:
    """Writes encoder and tokenizer to `output_dir` as an ordinary checkpoint, and each head with its configuration to heads/<task>/."""
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped)  # on all processes, because ZeRO-3 gathers weights
    if not trainer.args.should_save:
        return
    model = trainer.model
    model.encoder.save_pretrained(output_dir, state_dict=part_of(state, "encoder."))
    trainer.processing_class.save_pretrained(output_dir)
    for name, head in model.models.items():
        head.config.architectures = [type(head).__name__]
        head.config.save_pretrained(f"{output_dir}/heads/{name}")
        weights = {key: weight.contiguous() for key, weight in part_of(state, f"models.{name}.").items()}
        save_file(weights, f"{output_dir}/heads/{name}/model.safetensors", metadata={"format": "pt"})


def part_of(state: dict, prefix: str) -> dict:
    return {key.removeprefix(prefix): weight for key, weight in state.items() if key.startswith(prefix)}


def load_task_model(output_dir: str, name: str) -> PreTrainedModel:
    """The ordinary model of one task of a multi-task run: its encoder with heads/<name>. Its `save_pretrained` writes a checkpoint.

    Raises InputError where the run is not finished or has no such head.
    """
    check_model(output_dir)
    return task_model(output_dir, name)


def task_model(output_dir: str, name: str) -> PreTrainedModel:
    """The same, also of a run that is trained but not finished."""
    folder = Path(output_dir) / "heads" / name
    if not folder.is_dir():
        raise InputError(f"{output_dir} has no head {name!r}. {nearest(name, sorted(path.name for path in folder.parent.glob('*')))}")
    if name == masked_lm.NAME:
        return masked_lm.load_lm(output_dir)
    config = load_config(str(folder))
    # By the Auto class, because heads of our own (task_types/heads.py) are no classes of transformers.
    model_class = getattr(transformers, "AutoModelFor" + config.architectures[0].rpartition("For")[2])
    model, _ = load_model(model_class, output_dir, tuple(config.id2label[i] for i in range(config.num_labels)), seed=0)
    setattr(model.config, TRAININGS, getattr(config, TRAININGS, 0))  # it is not trained again
    loaded = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    missing = [key for key in loaded.missing_keys if not key.startswith(model.base_model_prefix + ".")]
    if missing or loaded.unexpected_keys:
        raise InputError(f"{folder} does not hold the head of a {config.architectures[0]}: {(missing + loaded.unexpected_keys)[0]}.")
    return model
