"""What phases 1 and 2 share around the Trainer: what a run is, training that can be cut off and go on, scoring on examples."""

import time
from enum import Enum
from functools import partial

from transformers import TrainerCallback, TrainingArguments

from console import is_main_process, say
from results import DATA_SETTINGS, LAYOUT, MASKED_LM, OUR_SETTINGS, RARE_SETTINGS, SETTINGS, TOGETHER, model_identity, note_time
from speed.real_tokens import RealTokensTrainer, predict
from speed.trimmed_embeddings import agree, complete, trimmed
from task_adapters import InputError
from task_types import TASK_TYPES, probabilities
from task_types.collator import Collator, what_is_read
from trainer.checkpoints import last_complete_checkpoint
from trainer.collapse import CollapseWatch, chance_loss
from trainer.deepspeed import layout_of_checkpoint, layout_of_run, read_config, save_full_precision

NOTE_EVERY = 60  # seconds of training between two notes of the time
ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")  # the latter: ModernBERT, EuroBERT, decoders


def describe_run(phase, args, training_args, tasks) -> dict:
    """What a run is: two commands with the same description are the same cell of the grid."""
    settings = {name: getattr(training_args, name) for name in SETTINGS}
    settings |= {name: getattr(args, name) for name in OUR_SETTINGS if hasattr(args, name)}
    settings |= {name: value for name in RARE_SETTINGS if (value := getattr(training_args, name)) != getattr(TrainingArguments, name)}
    compared_by = training_args.metric_for_best_model, training_args.greater_is_better
    if training_args.load_best_model_at_end and training_args.save_steps != training_args.eval_steps:
        settings["save_steps"] = training_args.save_steps  # only what is saved can be chosen
    if training_args.load_best_model_at_end and compared_by != ("mean" if len(tasks) > 1 else tasks[0].dev_metric, True):
        settings |= dict(zip(("metric_for_best_model", "greater_is_better"), compared_by))
    return {
        "phase": phase,
        "task": tasks[0].name if len(tasks) == 1 else [task.name for task in tasks],
        **model_identity(args.model_name_or_path),
        "head": "kept" if args.keep_head else "fresh",
        "recipe": args.recipe,
        "seed": training_args.seed,
        "data_seed": training_args.data_seed,
        "effective_batch_size": args.effective_batch_size,
        **{name: value.value if isinstance(value, Enum) else value for name, value in settings.items()},
        **{
            name: [*map(str, value)] if isinstance(value, list) else value
            for name, default in {**DATA_SETTINGS, **LAYOUT}.items()
            if (value := getattr(args, name, default)) != default
        },
        **({name: getattr(args, name) for name in TOGETHER} if len(tasks) > 1 else {}),
        **({name: getattr(args, name) for name in MASKED_LM} if getattr(args, "mlm_languages", None) else {}),
    }


def train(
    model, tokenizer, task, training_args, train_features, selection=None, trainer_class=RealTokensTrainer
) -> tuple[RealTokensTrainer, dict]:
    """Trains, or goes on from the last complete checkpoint in the output folder; leaves the chosen weights and the tokenizer there.

    selection      (examples, features) of the English dev data by which checkpoints are compared; None: the last weights are kept.
    trainer_class  one that compares them otherwise (`selection.LanguagesTrainer`).
    Returns (trainer, how it went: steps, loss, where it was resumed, the chosen checkpoint; seconds of all starts and tries, `note_time`).
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
        compute_loss_func=task_type.loss,
    )
    trainer.score_selection = selection and partial(score_with_loss, trainer, task, *selection, "en")
    say(
        f"{task.name}: {len(train_features)} features, {training_args.world_size} process(es)"
        f" x {training_args.train_batch_size} per process x {training_args.gradient_accumulation_steps} accumulation steps"
        f" = effective batch {training_args.world_size * training_args.train_batch_size * training_args.gradient_accumulation_steps}"
    )
    CollapseWatch(trainer, {task.name: task}, {task.name: chance_loss(task.task_type, train_features)})
    training = run_trainer(trainer)
    trainer.save_model(training_args.output_dir)
    save_full_precision(trainer, training_args.output_dir, trimmed(model))
    complete(model)
    return trainer, training


def pad_as(tokenizer, *models) -> None:
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

    def on_step_end(self, *_, **__):
        if time.time() - self.noted > NOTE_EVERY:
            self.note()

    def on_save(self, *_, **__):
        self.note()


def run_trainer(trainer) -> dict:
    """Trains, or goes on from the last complete checkpoint in the output folder. -> how it went"""
    checkpoint = last_complete_checkpoint(trainer.args.output_dir)
    if checkpoint:
        say(f"going on from {checkpoint}")
        written, here = layout_of_checkpoint(checkpoint), layout_of_run(trainer.args)
        if written != here:
            raise InputError(f"{checkpoint} was written with {written}, this command has {here}. Go on as before, or --overwrite.")
    agree(trainer, checkpoint)
    clock = Clock(trainer.args.output_dir)
    trainer.add_callback(clock)
    try:
        outcome = trainer.train(resume_from_checkpoint=checkpoint)
    finally:  # a try that failed took its time too
        time_so_far = clock.note()
    state, config, tokens, embeddings = trainer.state, trainer.model.config, trainer.share_of_real_tokens(), trimmed(trainer.model)
    if tokens:
        say(f"{tokens['share']:.1%} of {tokens['computed_tokens']:,} computed tokens were real{', padding-free' * trainer.packed}")
    return {
        "steps": state.global_step,
        "train_loss": outcome.training_loss,
        "train_seconds": time_so_far.get("train_seconds"),
        "resumed_from_step": int(checkpoint.rsplit("-", 1)[1]) if checkpoint else None,
        "best_step": state.best_global_step if trainer.args.load_best_model_at_end else None,
        "best_selection_score": state.best_metric,
        "tokens": tokens,
        "padding_free": trainer.packed,
        "trained_pieces": embeddings and len(embeddings.pieces) - 1,  # without the one that does not occur; None: all
        "attention_dropout": next((getattr(config, name) for name in ATTENTION_DROPOUT if hasattr(config, name)), None),
        "deepspeed": trainer.args.deepspeed and {"file": trainer.args.deepspeed, **read_config(trainer.args.deepspeed)},
        "log": [entry for entry in state.log_history if "loss" in entry or any(name.startswith("eval_") for name in entry)],
    }


def score(trainer, task, examples, features, language, probabilities_file=None) -> tuple[list, dict]:
    """Predicts and scores one language. -> (predictions as people write them, {metric: 0..100, "examples": n})

    probabilities_file  where the probabilities are kept too (task_types/probabilities.py); None: nowhere.
    """
    return score_with_loss(trainer, task, examples, features, language, probabilities_file)[:2]


def score_with_loss(trainer, task, examples, features, language, probabilities_file=None) -> tuple[list, dict, float | None]:
    """The same, and the mean loss over all labels."""
    task_type = TASK_TYPES[task.task_type]
    logits, loss = predict(trainer, features, probabilities.reducing(task_type) if probabilities_file else task_type, language)
    if probabilities_file:
        logits = probabilities.keep(probabilities_file, task, examples, features, logits, language)
    predicted = task_type.decode(examples, features, logits, task)
    return predicted, {**task.metric(task_type.gold(examples, task), predicted, language), "examples": len(examples)}, loss
