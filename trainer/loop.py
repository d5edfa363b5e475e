"""What phases 1 and 2 share around the Trainer: training that can be cut off and go on, scoring on examples."""

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

import predictions
from console import is_main_process, say
from results import RunFolder, flush, note_time, read_json, remove, write_json
from run_log import duration, note
from speed.real_tokens import RealTokensTrainer, predict
from speed.trimmed_embeddings import agree, complete, trimmed
from task_adapters import InputError
from task_adapters.base import Task
from task_types import TASK_TYPES, probabilities
from task_types.collator import Collator, what_is_read
from trainer import lora
from trainer.checkpoints import best_checkpoint, checkpoints_of, fault_of_file, last_complete_checkpoint
from trainer.collapse import CollapseWatch, chance_loss, floor_loss
from trainer.comparison import (
    Start,
    compared_checkpoints,
    count_updates,
    early_stopping,
    plan_evaluations,
    stopped_early,
    warm_up_warning,
)
from trainer.deepspeed import layout_of_checkpoint, layout_of_run, load_plainly, place_plainly, read_config, save_full_precision
from trainer.trackers import Trackers

FIGURES = "figures.json"  # in a checkpoint: what has been counted over all starts of the run
NOTE_EVERY = 60  # seconds of training between two notes of the time
ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")  # the latter: ModernBERT, EuroBERT, decoders


class RunTrainer(RealTokensTrainer):
    """Our Trainer for runs that may be cut off anywhere: checkpoints are whole, figures cover all starts, losses are watched."""

    watch: CollapseWatch
    is_over = False  # whether the checkpoint from which the run goes on is that of its last step
    earlier_tokens = (0, 0)  # real and computed tokens of earlier starts, over all processes

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.trackers = Trackers(self.callback_handler.callbacks)
        self.add_callback(self.trackers)

    def training_step(self, model: torch.nn.Module, inputs: dict, num_items_in_batch: int | torch.Tensor | None = None) -> torch.Tensor:
        task = inputs.get("task", next(iter(self.watch.tasks)))  # a batch of a single task does not name it
        loss = super().training_step(model, inputs, num_items_in_batch)
        self.watch.add(task, loss)
        return loss

    def figures(self) -> dict:
        """What has been counted over all starts of the run, as JSON. All processes must call it."""
        return {"tokens": self.tokens_of_all_starts(), "watch": self.watch.state()}

    def tokens_of_all_starts(self) -> list[int]:
        """[real, computed] tokens of all training steps, over all processes."""
        now = self.accelerator.reduce(torch.tensor(self.tokens, device=self.args.device), reduction="sum").tolist()
        return [earlier + own for earlier, own in zip(self.earlier_tokens, now)]

    def restore_figures(self, figures: dict) -> None:
        self.earlier_tokens = figures["tokens"]
        self.watch.restore(figures["watch"])

    def set_initial_training_values(self, *args, **options) -> tuple:
        epochs, *others = super().set_initial_training_values(*args, **options)
        # The library would take one more step where a run goes on from its last one.
        return (0 if self.is_over else epochs, *others)

    def _save(self, output_dir=None, state_dict=None):
        super()._save(output_dir, lora.trained_part(self.model, state_dict))

    def _issue_warnings_after_load(self, load_result):
        if not lora.adapted_layers(self.model):  # else the checkpoint lacks the weights that are not trained
            super()._issue_warnings_after_load(load_result)

    def _save_checkpoint(self, model, trial):
        """The figures first, then the library's files, trainer_state.json last. Older checkpoints go when all is on the disk."""
        folder, figures = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}", self.figures()
        if self.args.should_save:
            folder.mkdir(exist_ok=True)
            write_json(folder / FIGURES, figures)
        with self.keeping_all_checkpoints():
            super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            flush([*folder.rglob("*"), folder, folder.parent])
            remove_old_checkpoints(folder.parent, self.args.save_total_limit, self.state.best_model_checkpoint)

    def _finalize_training(self, *args):
        with self.keeping_all_checkpoints():  # the library would remove all but the best one before the chosen weights are saved
            return super()._finalize_training(*args)

    @contextlib.contextmanager
    def keeping_all_checkpoints(self) -> Iterator[None]:
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            yield
        finally:
            self.args.save_total_limit = limit


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    training_args: TrainingArguments,
    train_features: Dataset,
    selection: tuple[Dataset, Dataset] | None,
    folder: RunFolder,
    collapse_action: str,
    trainer_class: Callable[..., RunTrainer] = RunTrainer,
    keep_head: bool = False,
    patience: int | None = None,
) -> tuple[RunTrainer, dict]:
    """Trains, or goes on from the last complete checkpoint in the output folder; leaves the chosen weights and the tokenizer there.

    selection        (examples, features) of the English dev data by which checkpoints are compared; None: the last weights are kept.
    folder           the run's `RunFolder`. Where it is trained already, `model` has its weights, and nothing is trained.
    collapse_action  "stop", "warn" or "off" (`CollapseWatch`).
    trainer_class    one that compares checkpoints otherwise (`selection.LanguagesTrainer`).
    keep_head        whether the run starts with a trained head: then its start is one of the compared checkpoints (`comparison.Start`).
    patience         --early_stopping_patience (`comparison.early_stopping`).
    Returns (trainer, how it went: steps, loss, where it was resumed, the chosen checkpoint; seconds of all starts and attempts).
    """
    task_type = TASK_TYPES[task.task_type]

    training_args.label_names = ["labels"]
    pad_as(tokenizer, model)
    trainer = trainer_class(
        model=model,
        args=training_args,
        train_dataset=what_is_read(train_features),
        eval_dataset=selection and selection[1],
        data_collator=Collator(model.config.pad_token_id),
        processing_class=tokenizer,
        compute_loss_func=partial(task_type.loss, label_smoothing=training_args.label_smoothing_factor),
    )
    if selection:
        trainer.score_selection = partial(score_with_loss, trainer, task, selection[0], selection[1], "en")
    watch_losses(trainer, {task.name: task}, {task.name: train_features}, collapse_action)
    if trained := folder.trained(training_args.seed):
        complete(model)
        return trainer, restore(trainer, trained)
    say(
        f"{task.name}: {len(train_features)} features, {training_args.world_size} process(es)"
        f" x {training_args.train_batch_size} per process x {training_args.gradient_accumulation_steps} accumulation steps"
        f" = effective batch {training_args.world_size * training_args.train_batch_size * training_args.gradient_accumulation_steps}"
    )
    training = run_trainer(trainer, (task, selection[0]) if keep_head and selection else None, patience)
    merged = lora.merge(trainer, folder, task.task_type)
    trainer.save_model(training_args.output_dir)
    save_full_precision(trainer, training_args.output_dir, trimmed(model), merged)
    note_trained(trainer, folder, training)
    complete(model)
    return trainer, training


def watch_losses(trainer: Trainer, tasks: dict, features: dict, action: str) -> None:
    """Gives a trainer its `CollapseWatch`. tasks, features: by task name"""
    smoothing = trainer.args.label_smoothing_factor
    targets = {name: (task.task_type, features[name], smoothing, len(task.labels)) for name, task in tasks.items()}
    chance_losses, floors = ({name: loss(*of_task) for name, of_task in targets.items()} for loss in (chance_loss, floor_loss))
    trainer.watch = CollapseWatch(tasks, chance_losses, partial(trainer.accelerator.reduce, reduction="mean"), action, floors)
    trainer.add_callback(trainer.watch)


def note_trained(trainer: Trainer, folder: RunFolder, training: dict, **more) -> None:
    """Notes that the chosen weights are saved, and all that the rest of the run must know of the training. All processes must call it."""
    figures = trainer.figures()
    trainer.accelerator.wait_for_everyone()
    folder.note_trained({"training": training, "figures": figures, "max_steps": trainer.state.max_steps, **more})


def restore(trainer: Trainer, trained: dict) -> dict:
    """Makes a trainer of the saved weights what it was when the run noted that it is trained. -> how training went"""
    say(f"{trainer.args.output_dir} is trained: going on with the scores")
    trainer.restore_figures(trained["figures"])
    trainer.state.log_history = trained["training"]["log"]
    trainer.state.global_step, trainer.state.max_steps = trained["training"]["steps"], trained["max_steps"]
    if trainer.is_deepspeed_enabled:
        place_plainly(trainer)
    return trained["training"]


def trained_weights(folder: RunFolder, training_args: TrainingArguments) -> str | None:
    """The output folder where the run is trained with this seed and its weights can be read; else None."""
    if folder.trained(training_args.seed) is None:
        return None
    fault = fault_of_files_in(folder.path)
    if fault:
        folder.forget_training(f"the trained model cannot be read ({fault}): training goes on from the last checkpoint")
        return None
    if training_args.deepspeed:
        load_plainly()
    return str(folder.path)


def fault_of_files_in(folder: Path) -> str | None:
    patterns = ("*.safetensors", "heads/*/*", "oracle/*.safetensors")
    for path in sorted((folder / "config.json", *(path for pattern in patterns for path in folder.glob(pattern)))):
        if fault := fault_of_file(path) if path.is_file() else "is missing":
            return f"{path.relative_to(folder)} {fault}"
    return None


def pad_as(tokenizer: PreTrainedTokenizerBase, *models) -> None:
    """Gives models that know no padding token (decoders, as a rule) the tokenizer's: they ask where a sequence ends."""
    for model in models:
        if getattr(model.config, "pad_token_id", None) is None:
            model.config.pad_token_id = tokenizer.pad_token_id


class Clock(TrainerCallback):
    """Notes the time while a run trains, so that of one that is killed it is known."""

    def __init__(self, output_dir):
        self.output_dir, self.noted = output_dir, time.time()

    def note(self) -> dict[str, float]:
        if not is_main_process():
            return {}
        before, self.noted = self.noted, time.time()
        try:
            return note_time(self.output_dir, trained=self.noted - before)
        except OSError as error:  # a full disk, a network folder that is away for a moment: no reason to lose the run
            say(f"warning: the time was not noted ({error})")
            return {}

    def on_step_end(self, *_, **__) -> None:
        if time.time() - self.noted > NOTE_EVERY:
            self.note()

    def on_save(self, *_, **__) -> None:
        self.note()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_) -> None:
        self.began, self.first_step = time.time(), state.global_step

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict | None = None, **_) -> None:
        """How far training is, for the log and for a terminal without progress bars. Dev scores for the log: transformers prints them."""
        if not is_main_process() or not logs:
            return
        step = f"step {state.global_step:,} of {state.max_steps:,}"
        scores = {name: float(logs[name]) for name in logs if name.startswith("eval_") and not name.endswith(("_second", "_runtime"))}
        if scores:
            note(f"{step}, dev: " + ", ".join(f"{name.removeprefix('eval_')} {value:.4f}" for name, value in scores.items()))
        if "loss" in logs and state.global_step > self.first_step:
            left = (time.time() - self.began) * (state.max_steps - state.global_step) / (state.global_step - self.first_step)
            (say if args.disable_tqdm else note)(f"{step}, loss {float(logs['loss']):.4f}, about {duration(left)} of training left")


def remove_old_checkpoints(folder: Path, limit: int | None, best: str | None) -> None:
    """Keeps the newest checkpoint, the best one, and of the others as many of the newest as `limit` leaves room for. None: keeps all."""
    checkpoints = [path for _, path in checkpoints_of(folder)]
    kept = checkpoints[:1] + [path for path in checkpoints[1:] if best is not None and path.name == Path(best).name]
    others = [path for path in checkpoints if path not in kept]
    for path in others[max(0, limit - len(kept)) :] if limit else []:
        remove(path)


def resume(trainer: Trainer, checkpoint: str | None) -> None:
    """Makes a trainer ready to go on from a checkpoint, or from the start.

    Raises InputError where the checkpoint's optimizer states were written in another layout (DeepSpeed), or for other trained pieces of the
    vocabulary (--trim_embeddings).
    """
    step = int(checkpoint.rsplit("-", 1)[1]) if checkpoint else 0
    if checkpoint:
        say(f"going on from {checkpoint}")
        written, here = layout_of_checkpoint(checkpoint), layout_of_run(trainer.args)
        if written != here:
            raise InputError(f"{checkpoint} was written with {written}, this command has {here}. Go on as before, or --overwrite.")
        figures, state_file = read_json(f"{checkpoint}/{FIGURES}"), Path(checkpoint) / "trainer_state.json"
        if figures is None:
            say(f"warning: {checkpoint} is of an earlier version: train_loss and tokens will be those of the steps after {step} alone")
        else:
            trainer.restore_figures(figures)
        state, best = read_json(state_file), best_checkpoint(Path(checkpoint))
        trainer.is_over = state["global_step"] >= state["max_steps"]
        if is_main_process() and best is not None and state["best_model_checkpoint"] != str(best):
            write_json(state_file, {**state, "best_model_checkpoint": str(best)})  # the folder was moved
    trainer.accelerator.wait_for_everyone()  # until all processes have chosen the same checkpoint
    if is_main_process():
        for _, folder in [newer for newer in checkpoints_of(trainer.args.output_dir) if newer[0] > step]:
            remove(folder)  # it is broken, and would count as the newest one
    trainer.accelerator.wait_for_everyone()
    agree(trainer, checkpoint)


def run_trainer(trainer: Trainer, kept_head: Any = None, patience: int | None = None) -> dict:
    """Trains, or goes on from the last complete checkpoint in the output folder. -> how it went

    kept_head  as `comparison.Start` has it; patience: as `comparison.early_stopping` has it.
    """
    checkpoint = last_complete_checkpoint(trainer.args.output_dir)
    resume(trainer, checkpoint)
    stopping = early_stopping(trainer, patience, checkpoint)
    clock = Clock(trainer.args.output_dir)
    trainer.add_callback(clock)
    start, eval_on_start = Start(trainer, kept_head), trainer.args.eval_on_start
    trainer.add_callback(start)
    plan_evaluations(trainer.args, len(trainer.train_dataset), start.is_candidate, getattr(trainer, "asked_by", None))
    low_rate = warm_up_warning(trainer.args, count_updates(trainer.args, len(trainer.train_dataset)))
    if low_rate:
        say(f"warning: {low_rate}")
    trainer.args.eval_on_start = False  # the Trainer's own is repeated at every resumption, and no candidate: `Start` has taken it over
    trainer.label_smoother = None  # the Trainer's own: our losses have smoothed already
    try:
        trainer.train(resume_from_checkpoint=checkpoint)
    finally:  # an attempt that failed took its time too
        time_so_far = clock.note()
        trainer.args.eval_on_start = eval_on_start  # for the next attempt
    start.take_back()
    state, config, embeddings = trainer.state, trainer.model.config, trimmed(trainer.model)
    real, computed = trainer.tokens_of_all_starts()
    tokens = {"real_tokens": real, "computed_tokens": computed, "share": round(real / computed, 4)} if computed else {}
    if tokens:
        say(f"{tokens['share']:.1%} of {tokens['computed_tokens']:,} computed tokens were real{', padding-free' * trainer.packed}")
    return {
        "steps": state.global_step,
        "train_loss": trainer.watch.mean_loss(),
        "train_seconds": time_so_far.get("train_seconds"),
        "resumed_from_step": int(checkpoint.rsplit("-", 1)[1]) if checkpoint else None,
        "best_step": state.best_global_step if trainer.args.load_best_model_at_end else None,
        "best_selection_score": state.best_metric,
        "compared": compared_checkpoints(trainer),
        "learning_rate_warning": low_rate,
        **stopped_early(trainer, stopping),
        **({"lora": trainer.model.lora} if hasattr(trainer.model, "lora") else {}),
        "tokens": tokens,
        "padding_free": trainer.packed,
        "trained_pieces": embeddings and len(embeddings.pieces) - 1,  # without the one that does not occur; None: all
        "attention_dropout": next((getattr(config, name) for name in ATTENTION_DROPOUT if hasattr(config, name)), None),
        "deepspeed": trainer.args.deepspeed and {"file": trainer.args.deepspeed, **read_config(trainer.args.deepspeed)},
        "log": [entry for entry in state.log_history if "loss" in entry or any(name.startswith("eval_") for name in entry)],
    }


def score(
    trainer: Trainer, task: Task, examples: Dataset, features: Dataset, language: str, probabilities_file: Path | None = None
) -> tuple[list, dict]:
    """Predicts and scores one language. -> (predictions as people write them, {metric: 0..100, "examples": n})

    probabilities_file  where the probabilities are kept too (task_types/probabilities.py); None: nowhere.
    """
    return score_with_loss(trainer, task, examples, features, language, probabilities_file)[:2]


def score_with_loss(
    trainer: Trainer, task: Task, examples: Dataset, features: Dataset, language: str, probabilities_file: Path | None = None
) -> tuple[list, dict, float | None]:
    """The same, and the mean loss over all labels."""
    task_type = TASK_TYPES[task.task_type]
    logits, loss = predict(trainer, features, probabilities.reducing(task_type) if probabilities_file else task_type, language)
    if probabilities_file:
        logits = probabilities.keep(probabilities_file, task, examples, features, logits, language)
    predicted = task_type.decode(examples, features, logits, task)
    return predicted, {**task.metric(task_type.gold(examples, task), predicted, language), "examples": len(examples)}, loss


def write_scored(output_dir: str, task: Task, language: str, examples: Dataset, predicted: list) -> None:
    """Writes the predictions and the labels of one language in XTREME's formats."""
    if not is_main_process():
        return
    ids = examples["id"] if "id" in examples.column_names else None
    predictions.write_predictions(f"{output_dir}/predictions", task.name, language, predicted, ids)
    predictions.write_labels(f"{output_dir}/labels", task.name, language, TASK_TYPES[task.task_type].gold(examples, task), examples)
