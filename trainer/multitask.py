"""Several tasks at once: one shared encoder, one head per task, one task per optimiser step.

The training loop is the stock one. Its data are one long list of all steps' features, read in order (`MixedFeatures`): which task a
step uses and which features it sees is a function of the seed and the step's number, so that processes, accumulation steps and a run
that goes on after a kill all agree without telling each other. A single task comes here with masked LM beside; else `training.train`.
"""

import contextlib
import math
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import set_seed

from console import say
from results import dev_mean
from speed.real_tokens import lengths_of
from speed.trimmed_embeddings import complete
from task_adapters import InputError, nearest
from task_types import TASK_TYPES
from task_types.collator import Collator, what_is_read
from trainer import masked_lm
from trainer.checkpoints import check_model, load_config, load_encoder, load_model
from trainer.loop import RunTrainer, note_trained, pad_as, restore, run_trainer, score, watch_losses


def sampling_probabilities(sizes: dict[str, int], sampling: str, cap: int, temperature: float | None = None) -> dict[str, float]:
    """How often each task is drawn: proportional to min(size, cap), to its 1/temperature-th power, or all alike.

    The cap is T5's examples-proportional mixing (Raffel et al., 2020, section 3.5.2); jiant has it as `train_examples_cap`.
    """
    power = {"proportional": 1.0, "uniform": 0.0, "temperature": 1 / (temperature or 1)}[sampling]
    largest = min(max(sizes.values()), cap)  # of shares of it no power is too large a number
    weights = {name: (min(size, cap) / largest) ** power for name, size in sizes.items()}
    return {name: weight / sum(weights.values()) for name, weight in weights.items()}


def draw_schedule(probabilities: dict[str, float], steps: int, seed: int) -> np.ndarray:
    """The task of each step, as places in `probabilities`. Step i's depends on the seed and i alone, not on how many steps follow."""
    edges = np.cumsum(list(probabilities.values()))
    return np.searchsorted(edges[:-1], np.random.default_rng(seed).random(steps), side="right")


def count_steps(sizes: dict[str, int], cap: int, epochs: float, batch: int) -> int:
    """Steps of a run: the sum over tasks of epochs x capped size / batch, as in jiant."""
    return sum(math.ceil(epochs * math.ceil(min(size, cap) / batch)) for size in sizes.values())


class MixedFeatures(torch.utils.data.Dataset):
    """The features of all steps, one after the other: those of step i are items i x batch to (i + 1) x batch, all of one task.

    Read in order, in batches dealt out to processes in turn, each step's micro-batches on all processes are of the same task. Every
    task goes round its own features, shuffled anew each time by a generator that knows the seed, the task's name and the round; those of
    a step come longest first, so that its micro-batches are less padded. Masked LM has an order of its own.

    lengths  of each task, what each feature is padded by (`real_tokens.lengths_of`).
    """

    def __init__(self, features: dict, lengths: dict, schedule: np.ndarray, batch: int, seed: int):
        self.names, self.schedule, self.batch, self.seed = list(features), schedule, batch, seed
        self.features, self.lengths, self.orders, self.rows = features, lengths, {}, (None, [])
        # How many steps the same task had before: where in its own features a step begins.
        self.earlier = np.zeros(len(schedule), dtype=np.int64)
        for place in range(len(self.names)):
            steps = np.flatnonzero(schedule == place)
            self.earlier[steps] = np.arange(len(steps))

    def __len__(self):
        return len(self.schedule) * self.batch

    def __getitem__(self, item):
        step, slot = divmod(item, self.batch)
        name, first = self.names[self.schedule[step]], int(self.earlier[step]) * self.batch
        if name == masked_lm.NAME:
            return self.features[name][first + slot]
        if self.rows[0] != step:  # asked for one after the other
            rows = [self.row(name, *divmod(place, len(self.features[name]))) for place in range(first, first + self.batch)]
            self.rows = step, sorted(rows, key=lambda row: -self.lengths[name][row])
        return self.features[name][self.rows[1][slot]]

    def row(self, name, turn, place):
        if self.orders.get(name, (None,))[0] != turn:
            generator = np.random.default_rng((self.seed, zlib.crc32(name.encode()), turn))
            self.orders[name] = turn, generator.permutation(len(self.features[name]))
        return int(self.orders[name][1][place])


class MultitaskModel(torch.nn.Module):
    """The Auto models of all tasks around one encoder (`share_encoder`). A batch says which of them it is for.

    A head without a part in a step has no gradient there (None, not zero), so that AdamW leaves it as it is: no decay, no momentum.
    A task that is drawn rarely is thus not pulled back to zero, or pushed on, between two of its steps.
    """

    accepts_loss_kwargs = True  # the Trainer then counts the labels of the whole step and hands the count to `forward`

    def __init__(self, encoder, models: dict, losses: dict):
        super().__init__()
        self.encoder, self.models, self.losses, self.config = encoder, torch.nn.ModuleDict(models), losses, encoder.config

    def forward(self, task, labels=None, num_items_in_batch=None, input_ids=None, attention_mask=None, token_type_ids=None):
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        with masked_lm.only_masked(self.encoder, labels) if task == masked_lm.NAME else contextlib.nullcontext():
            outputs = self.models[task](**{name: value for name, value in inputs.items() if value is not None})
        return {"loss": self.losses[task](outputs, labels, num_items_in_batch), **outputs}  # the loss as a single task's run has it

    def activation_checkpointing_enable(self, **options):
        self.encoder.activation_checkpointing_enable(**options)

    def gradient_checkpointing_enable(self, **options):  # what transformers 5.17 knows, and calls
        self.encoder.gradient_checkpointing_enable(**options)


def share_encoder(model, encoder) -> None:
    """Puts `encoder` in the place of the model's own, as a plain attribute: the model uses it, and its weights are not the model's.

    So each weight has one name in the whole, as optimisers and safetensors want it, and a model's state is its head.
    """
    delattr(model, model.base_model_prefix)
    model.__dict__[model.base_model_prefix] = encoder


def load_models(
    path: str, tasks: dict, seed: int, freeze_embeddings: bool = False, with_lm: bool = False, is_trained: bool = False
) -> MultitaskModel:
    """The encoder of `path`, once, and for each task a fresh head: the one that its single-task run with this seed starts from.

    with_lm: and the checkpoint's own head for masked LM, tied to that encoder.
    is_trained: `save_together` left encoder and heads at `path`, and these heads are taken.
    """
    set_seed(seed)  # the pooler, where the checkpoint has none
    encoder, models, losses = load_encoder(path, None), {}, {name: TASK_TYPES[task.task_type].loss for name, task in tasks.items()}
    if freeze_embeddings:
        encoder.get_input_embeddings().requires_grad_(False)
    for name, task in tasks.items():
        model_class = TASK_TYPES[task.task_type].Model
        models[name] = task_model(path, name) if is_trained else load_model(model_class, path, task.labels, seed)[0]
        share_encoder(models[name], encoder)  # at once: no more than two encoders are in memory
        assert not list(models[name].parameters(recurse=False)), f"{type(models[name]).__name__} has weights beside encoder and head"
    if with_lm:
        models[masked_lm.NAME], losses[masked_lm.NAME] = masked_lm.load_lm(path), masked_lm.loss
        masked_lm.tie(models[masked_lm.NAME], encoder)
        share_encoder(models[masked_lm.NAME], encoder)
    return MultitaskModel(encoder, models, losses)


class MultitaskTrainer(RunTrainer):
    """Our Trainer, whose evaluation is one of ours: each task's dev score, on examples, and their unweighted mean."""

    tasks, selection = {}, {}

    def evaluate(self, *_, **__):
        dev = {name: score(self, task, *self.selection[name], "en")[1] for name, task in self.tasks.items()}
        found = {f"eval_{name}_{metric}": value for name, values in dev.items() for metric, value in values.items() if metric != "examples"}
        found["eval_mean"] = dev_mean(self.tasks, dev)
        if len(self.tasks) == 1:  # beside masked LM: its best checkpoint is found by the same name as without
            found |= {f"eval_{metric}": value for values in dev.values() for metric, value in values.items() if metric != "examples"}
        self.log(found)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, found)
        return found


def train_together(
    model, tokenizer, tasks, training_args, features, sampling, selection, folder, collapse_action, masked=None, mlm_share=0.0
) -> tuple[RunTrainer, dict]:
    """Trains, or goes on from the last complete checkpoint in the output folder; leaves encoder, heads and tokenizer there.

    tasks, features  the same names; features as from `with_task`.
    sampling         how tasks are drawn: (one of proportional, uniform, temperature; cap; temperature)
    selection        {name: (examples, features)} of the dev data by whose mean checkpoints are compared; None: the last weights are kept.
    folder, collapse_action: as for `training.train`.
    masked           a `masked_lm.MaskedText` to train on beside, in steps of its own; mlm_share: the probability that a step is such.
    Returns (trainer, how it went: as from `training.train`, and of each task its size, its probability and the steps it had).

    The tasks have as many steps as they would have without masked LM, whose steps come on top. --max_steps is the number of all.
    """
    batch = training_args.train_batch_size * training_args.gradient_accumulation_steps * training_args.world_size
    sizes = {name: len(features[name]) for name in tasks}
    seed = training_args.seed if training_args.data_seed is None else training_args.data_seed
    probabilities = {name: (1 - mlm_share) * share for name, share in sampling_probabilities(sizes, *sampling).items()}
    if training_args.max_steps < 1:
        cap = sampling[1] if len(tasks) > 1 else sizes[next(iter(tasks))]  # a single task's plain run knows no cap
        training_args.max_steps = round(count_steps(sizes, cap, training_args.num_train_epochs, batch) / (1 - mlm_share))
    if masked is not None:
        probabilities[masked_lm.NAME] = mlm_share
    schedule = draw_schedule(probabilities, training_args.max_steps, seed)
    drawn = dict(zip(probabilities, np.bincount(schedule, minlength=len(probabilities)).tolist()))
    features = {name: what_is_read(features[name]) for name in tasks}
    training_args.train_sampling_strategy = "sequential"  # the order is MixedFeatures' own
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
        mlm_before = masked_lm.held_out_losses(trainer, masked)  # with --mlm_share 0 nothing of it is trained, and all is measured
        say(f"{masked_lm.NAME}: drawn with probability {mlm_share:.4f}: {drawn[masked_lm.NAME]} of {len(schedule)} steps; languages: "
            + ", ".join(f"{language} {share:.4f}" for language, share in masked.probabilities.items()))  # fmt: skip
    watch_losses(trainer, tasks, features, collapse_action)
    if trained:
        training = restore(trainer, trained)
    else:
        training = run_trainer(trainer) | {"features": sizes, "probabilities": probabilities, "drawn": drawn}
        save_together(trainer, training_args.output_dir)
        note_trained(trainer, folder, training, mlm_before=mlm_before)
    complete(model)
    if masked is not None:
        training["mlm"] = masked_lm.report(masked, mlm_before, masked_lm.held_out_losses(trainer, masked))
    return trainer, training


def with_task(features, name):
    """Features that say which task they are of."""
    return features.add_column("task", [name] * len(features))


def save_together(trainer, output_dir: str) -> None:
    """The encoder as an ordinary checkpoint with its tokenizer in `output_dir`; heads/<task>/ holds a head's weights and configuration."""
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped)  # on all processes: ZeRO-3 gathers
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


def part_of(state, prefix):
    return {key.removeprefix(prefix): weight for key, weight in state.items() if key.startswith(prefix)}


def load_task_model(output_dir: str, name: str):
    """The ordinary model of one task of a multi-task run: its encoder with heads/<name>; `save_pretrained` makes it a checkpoint.

    Raises InputError where the run is not finished or has no such head.
    """
    check_model(output_dir)
    return task_model(output_dir, name)


def task_model(output_dir: str, name: str):
    """The same, also of a run that is trained but not finished."""
    folder = Path(output_dir) / "heads" / name
    if not folder.is_dir():
        raise InputError(f"{output_dir} has no head {name!r}. {nearest(name, sorted(path.name for path in folder.parent.glob('*')))}")
    if name == masked_lm.NAME:
        return masked_lm.load_lm(output_dir)
    config = load_config(str(folder))
    # Not the class itself: heads of ours (task_types/heads.py) are not in transformers.
    model_class = getattr(transformers, "AutoModelFor" + config.architectures[0].rpartition("For")[2])
    model, _ = load_model(model_class, output_dir, tuple(config.id2label[i] for i in range(config.num_labels)), seed=0)
    loaded = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    missing = [key for key in loaded.missing_keys if not key.startswith(model.base_model_prefix + ".")]
    if missing or loaded.unexpected_keys:
        raise InputError(f"{folder} does not hold the head of a {config.architectures[0]}: {(missing + loaded.unexpected_keys)[0]}.")
    return model
