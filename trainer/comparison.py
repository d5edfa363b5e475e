"""How many checkpoints a run compares, whether its start is one of them, and how far its learning rate gets.

A run that keeps its best checkpoint scores the dev data every `eval_steps` updates. A recipe names that number for runs of full size. A
few-shot run has fewer updates than that and would compare its last checkpoint with nothing; XTREME's XNLI has so many that a large model
would write terabytes. So the number is fitted to the run (`evaluation_steps`), unless the user gives --eval_steps or --save_steps.

This module decides what is compared and when; `trainer/selection.py` decides on which languages' dev data.
"""

import math
import sys
from pathlib import Path

import torch
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from console import say
from results import read_json
from task_adapters.base import InputError
from task_types import TASK_TYPES
from task_types.heads import permutation_warning

LEAST, MOST = 5, 40  # evaluations of a run; all recipes but XTREME's XNLI have fewer than MOST at full size
WITHOUT_WARM_UP = ("constant", "reduce_lr_on_plateau", "greedy")  # schedules that know no warm-up


def evaluation_steps(recipe_steps: int, updates: int) -> int:
    """After how many updates each the dev data are scored: the recipe's number, if that gives LEAST to MOST evaluations.

    The last update is always followed by an evaluation. A run of fewer than LEAST updates is evaluated after each of them. Where the
    recipe's number gives too many evaluations, a multiple of it is taken, so that all of them but the last are among the recipe's.
    """
    if math.ceil(updates / recipe_steps) < LEAST:
        return max(1, updates // LEAST)
    return recipe_steps * max(1, math.ceil(updates / (MOST * recipe_steps)))


def count_updates(args: TrainingArguments, examples: int) -> int:
    """Optimiser updates of a run over `examples` features, as the Trainer counts them. args: `TrainingArguments`"""
    if args.max_steps > 0:
        return args.max_steps
    return math.ceil(args.num_train_epochs * updates_per_epoch(args, examples))


def updates_per_epoch(args: TrainingArguments, examples: int) -> int:
    """The updates of one epoch, the last one perhaps of fewer examples."""
    return math.ceil(examples / (args.train_batch_size * args.gradient_accumulation_steps * args.world_size))


def steps_are_given() -> bool:
    """Whether the command line says when the dev data are scored, or when checkpoints are written."""
    flags = {word.partition("=")[0].replace("-", "_") for word in sys.argv if word.startswith("--")}
    return not flags.isdisjoint({"__eval_steps", "__save_steps"})


def check_comparison(training_args: TrainingArguments) -> None:
    """Raises InputError for flags by which an evaluation would have no effect, or a chosen checkpoint would not be on disk."""
    compares = training_args.load_best_model_at_end
    if training_args.eval_on_start and training_args.eval_strategy == "no":
        raise InputError("--eval_on_start: this recipe scores no dev data while it trains. Add --eval_strategy steps, or leave it out.")
    evaluated, saved = training_args.eval_steps, training_args.save_steps
    if compares and training_args.save_strategy == "steps" and evaluated != saved:
        raise InputError(
            f"--eval_steps {evaluated:g} and --save_steps {saved:g}: a checkpoint can be chosen only if it is both scored and saved."
            " Give both the same number."
        )


def plan_evaluations(args: TrainingArguments, examples: int, with_start: bool, asked_by: str | None = None) -> None:
    """Sets `eval_steps` and `save_steps` by `evaluation_steps`, unless the user gave them; one line says what differs from the recipe.

    args        `TrainingArguments`; they are changed, and a second call leaves them as they are.
    examples    features of the training set; with_start: whether the start is one of the compared checkpoints.
    asked_by    the flag that asks for a comparison, such as "--select_on target"; None where only the recipe does.
    Raises InputError where such a flag is given and the user's own steps leave only one checkpoint.
    """
    if args.eval_strategy == "no":
        return
    updates, recipe_steps = count_updates(args, examples), args.eval_steps
    if args.eval_strategy == "steps" and not steps_are_given():
        args.eval_steps = evaluation_steps(recipe_steps, updates)
        if args.load_best_model_at_end:
            args.save_steps = args.eval_steps
        if args.eval_steps != recipe_steps:
            before, now = (math.ceil(updates / steps) for steps in (recipe_steps, args.eval_steps))
            say(
                f"{now} checkpoint(s) are compared, one every {args.eval_steps:,} of {updates:,} updates; the published recipe, with one"
                f" every {recipe_steps:,}, would compare {before}"
            )
    if args.eval_strategy == "epoch":
        checkpoints = math.ceil(updates / updates_per_epoch(args, examples))
    else:
        checkpoints = math.ceil(updates / (args.eval_steps if args.eval_steps >= 1 else math.ceil(updates * args.eval_steps)))
    if checkpoints + with_start > 1 or not (asked_by or args.load_best_model_at_end):
        return
    if asked_by and updates > 1:
        raise InputError(
            f"{asked_by} compares checkpoints, and this run of {updates:,} updates would have one only. Leave out --eval_strategy epoch,"
            f" --eval_steps and --save_steps, or give --eval_steps and --save_steps {max(1, updates // LEAST)}."
        )
    say(f"warning: {updates:,} update(s) in all, and one checkpoint: there is no other to compare it with")


def compared_checkpoints(trainer: Trainer) -> dict | None:
    """{"checkpoints": how many were compared, "steps": after which updates, 0 the start}; None where the run compares none."""
    if not trainer.args.load_best_model_at_end and not getattr(trainer, "oracle", False):
        return None
    steps = {entry["step"] for entry in trainer.state.log_history if any(name.startswith("eval_") for name in entry)}
    steps -= {0} if trainer.is_deepspeed_enabled else set()
    return {"checkpoints": len(steps), "steps": sorted(steps)}


def warm_up_warning(args: TrainingArguments, updates: int) -> str | None:
    """What to say of a run whose learning rate never reaches its full height; None where it does. args: `TrainingArguments`

    Warm-up rises linearly from 0, which is the rate of the first update.
    """
    warm_up = 0 if args.lr_scheduler_type in WITHOUT_WARM_UP else args.get_warmup_steps(updates)
    share = 0.0 if not args.learning_rate else min(1.0, (updates - 1) / warm_up) if warm_up else 1.0
    if share == 1.0:
        return None
    if not args.learning_rate:
        return "the learning rate is 0: the weights stay those of the start"
    height = f"reaches {share:.1%} of {args.learning_rate:g}" if share else "stays 0, and the weights those of the start"
    return f"warm-up of {warm_up:,} update(s), the run has {updates:,}: the learning rate {height}. --warmup_steps 0 has none."


def early_stopping(trainer: Trainer, patience: int | None, checkpoint: str | None) -> EarlyStoppingCallback | None:
    """Has the trainer end its training when `patience` comparisons in a row have found no better checkpoint; None: it trains to its end.

    checkpoint  from which the run goes on: the count goes on too, and a run that had been ended is not trained any further.
    """
    if patience is None:
        return None
    stopping = EarlyStoppingCallback(patience)
    if checkpoint:
        states = read_json(Path(checkpoint) / "trainer_state.json")["stateful_callbacks"]
        count = states[EarlyStoppingCallback.__name__]["attributes"]["early_stopping_patience_counter"]
        stopping.early_stopping_patience_counter = count
        trainer.is_over = trainer.is_over or count >= patience
    trainer.add_callback(stopping)
    return stopping


def stopped_early(trainer: Trainer, stopping: EarlyStoppingCallback | None) -> dict:
    """{"early_stopping": what results.json says of it}, and one line for the user; {} where the run had none."""
    if stopping is None:
        return {}
    state, patience = trainer.state, stopping.early_stopping_patience
    stopped = state.global_step < state.max_steps
    if stopped:
        say(f"stopped early, after {state.global_step:,} of {state.max_steps:,} updates: the last {patience} comparison(s) found no better"
            f" checkpoint than that of update {state.best_global_step:,}")  # fmt: skip
    return {"early_stopping": {"patience": patience, "stopped": stopped, "steps": state.global_step, "of": state.max_steps}}


class Start(TrainerCallback):
    """Scores the weights that a run starts from as its step 0, and takes them back at the end where no later checkpoint is better.

    trainer    its evaluation (`evaluate`) returns the metric by which checkpoints are compared.
    kept_head  (task, English dev examples) of a run that starts with a trained head (--keep_head): few-shot training may then be worse
               than no training at all. None for a fresh head, whose start is compared only with --eval_on_start.

    Scoring the start leaves the random numbers as they were, so that training goes the same way with it and without. Under DeepSpeed the
    start is scored, but not taken back: the engine would have to load its own partitioned weights.
    """

    def __init__(self, trainer, kept_head=None):
        args = trainer.args
        self.trainer, self.kept_head, self.weights = trainer, kept_head, None
        self.is_scored = args.eval_strategy != "no" and (args.eval_on_start or kept_head is not None)
        self.is_candidate = self.is_scored and not trainer.is_deepspeed_enabled
        if self.is_candidate and args.load_best_model_at_end:
            self.weights = {name: weight.detach().to("cpu", copy=True) for name, weight in trainer.model.state_dict().items()}

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_) -> None:
        if state.global_step:  # a run that is resumed has scored its start before
            return
        with torch.random.fork_rng(devices=[]):
            if self.is_scored:
                metrics = self.trainer.evaluate()
                if self.weights is not None:
                    self.trainer._determine_best_metric(metrics, None)
            if self.kept_head is not None and self.kept_head[0].labels and self.trainer.score_selection:
                task, examples = self.kept_head
                predicted = self.trainer.score_selection()[0]
                warning = permutation_warning(task.labels, TASK_TYPES[task.task_type].gold(examples, task), predicted)
                if warning:
                    say(f"warning: {warning}")

    def take_back(self) -> None:
        """Loads the start's weights into the trained model where they are the best, and says so."""
        state, metric = self.trainer.state, self.trainer.args.metric_for_best_model
        if self.weights is not None and state.best_global_step == 0:
            self.trainer.model.load_state_dict(self.weights)
            say(f"no checkpoint is better than the start ({metric} {state.best_metric:.2f}): its weights are kept, not the trained ones")
        elif self.is_scored and self.trainer.is_deepspeed_enabled and state.best_metric is not None:
            name, sign = f"eval_{metric.removeprefix('eval_')}", 1 if self.trainer.args.greater_is_better else -1
            scores = [entry[name] for entry in state.log_history if entry["step"] == 0 and name in entry]
            if scores and sign * scores[0] >= sign * state.best_metric:
                say(
                    f"warning: the start has {metric} {scores[0]:.2f}, and no checkpoint more than {state.best_metric:.2f}. Under DeepSpeed"
                    " the start cannot be taken back: the best trained checkpoint is kept."
                )
