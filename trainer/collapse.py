"""Runs that fail to learn: found while they train, ended with exit code 3 or begun again with another seed, and never forgotten.

A large encoder may collapse: its loss becomes NaN, or stays at (falls back to) what knowing the label frequencies alone gives, and one
answer is given for all. A failed seed that nobody sees is a lie in the mean. What is called a collapse:

1. weights that are not finite, or `READ_EVERY` steps in a row without a finite loss, 3 at the end (a single one can happen in fp16);
2. in a long run, once `GRACE_STEPS` and a tenth of all steps have passed since warm-up: the mean training loss of a whole window
   (`WINDOW_STEPS`, or a tenth of all steps if that is more) is not below chance (`chance_loss`);
3. at the end, at least `JUDGED_STEPS` after warm-up: the last window is at chance *and* the dev score of every task is about that of
   one answer for all. Only one of the two, or fewer steps, is a warning: a small or a hard data set is no collapse.

Of several tasks together the window has the losses of all, each as a share of its own chance. A single one that stays at chance among
others that learn is no collapse of the encoder: it is a warning, on the way (from 2. on) and at the end, where it has `READ_EVERY` losses
in the window.

Watching reads the losses and changes nothing: a run that is not stopped is the same run. With --retries N a failed run is begun again
with seed + 1000, seed + 2000 ... (neighbouring seeds are likely to be cells of their own), everything drawn anew but the few-shot sample
of --max_train_samples and the texts and masks of masked LM. Each failed try stands in failed_tries.json of the output folder as soon as
its checkpoints are removed, and in results.json beside `seed_used`. Run again, a collapsed cell ends at once with exit code 3 unless
--retries now allows one more try.
(`torchrun` and `accelerate launch` turn every exit code into 1; failed_tries.json without results.json tells then.)
"""

import gc
import math
from collections import Counter, deque
from pathlib import Path

import numpy as np
import torch
from transformers import TrainerCallback

from console import Collapsed, is_main_process, say
from results import read_json, remove_checkpoints, write_json
from task_adapters import InputError
from task_types import TASK_TYPES
from task_types.loss import IGNORED

READ_EVERY = 25  # steps between two looks: losses stay on the device until then
WINDOW_STEPS = 250
GRACE_STEPS = 1000
JUDGED_STEPS = 300
AT_CHANCE = {"classification": 0.99, "multiple_choice": 0.99, "tagging": 0.99, "span_qa": 0.95}  # share of the chance loss; see below
NEAR_FLOOR = 10  # points of the dev metric above one answer for all
SEED_STEP = 1000
RECORD = "failed_tries.json"


def chance_loss(task_type: str, features) -> float | None:
    """The loss, in nats, of a model that has learned how often each label comes and nothing else; None where there is one label only.

    Multiple choice scores the choices one by one and cannot know their places: ln K. Span QA: the entropy of the places, or a uniform
    guess within the window if that is less; a model that sees where the question ends does a little better, hence its lower AT_CHANCE.
    """
    if task_type == "multiple_choice":
        return math.log(len(features[0]["input_ids"]))
    column = features.select_columns("labels").with_format("arrow")[:]["labels"].combine_chunks()
    if task_type == "tagging" and hasattr(column.type.value_type, "value_type"):  # two rows, tags and numbers of pieces
        column = column.flatten().take(np.arange(0, 2 * len(column), 2))
    while hasattr(column, "flatten") and not column.type.equals(column.flatten().type):  # lists of labels
        column = column.flatten()
    labels = column.to_numpy(zero_copy_only=False)
    if task_type == "span_qa":
        starts, ends, lengths = labels.reshape(-1, 3).T
        return min((entropy(starts) + entropy(ends)) / 2, float(np.log(lengths).mean())) or None
    return entropy(labels[labels != IGNORED]) or None


def entropy(labels) -> float:
    shares = np.unique(labels, return_counts=True)[1] / len(labels)
    return float(-(shares * np.log(shares)).sum())


class CollapseWatch(TrainerCallback):
    """Sees the loss of every step, over all processes, and raises `Collapsed` on all of them at the same step.

    Losses are taken where they are made: the Trainer's log is later, and leaves NaN out of it (`logging_nan_inf_filter`).
    """

    def __init__(self, trainer, tasks: dict, chance: dict):
        self.trainer, self.chance = trainer, chance
        self.bars = {name: chance[name] * AT_CHANCE[tasks[name].task_type] for name in tasks if chance.get(name)}
        self.only = next(iter(tasks))  # a batch of a single task does not say which
        self.pending, self.raw, self.step_loss = [], deque(maxlen=READ_EVERY), 0
        self.window = deque(maxlen=WINDOW_STEPS)  # (task, share of its bar, share of its chance loss)
        self.warned = set()
        training_step = trainer.training_step

        def watched_step(model, inputs, *rest, **named):
            self.name = inputs.get("task", self.only)
            loss = training_step(model, inputs, *rest, **named)
            self.step_loss = self.step_loss + loss.float()  # each is its micro-batch's share of the step
            return loss

        trainer.training_step = watched_step
        trainer.collapse_watch = self
        trainer.add_callback(self)

    def on_train_begin(self, args, state, control, **_):
        self.warmup = args.get_warmup_steps(state.max_steps)
        self.window = deque(maxlen=max(WINDOW_STEPS, state.max_steps // 10))

    def on_step_end(self, args, state, control, **_):
        self.pending.append((self.name, self.step_loss))
        self.step_loss = 0
        # Before weights are evaluated or saved (the flags are set by now), they must be known to be numbers.
        used = control.should_evaluate or control.should_save or state.global_step >= state.max_steps
        if used or len(self.pending) >= READ_EVERY:
            self.read(state)
            self.judge(state, used)

    def on_epoch_end(self, args, state, control, **_):
        if control.should_evaluate or control.should_save:  # --eval_strategy epoch, --save_strategy epoch
            self.read(state)
            self.judge(state, True)

    def read(self, state):
        if not self.pending:
            return
        losses = self.trainer.accelerator.reduce(torch.stack([loss for _, loss in self.pending]), "mean").tolist()
        first = state.global_step - len(losses) + 1
        for step, (name, _), loss in zip(range(first, state.global_step + 1), self.pending, losses):
            self.raw.append(loss)
            if step > self.warmup and name in self.bars and math.isfinite(loss):
                self.window.append((name, loss / self.bars[name], loss / self.chance[name]))
        self.pending = []

    def judge(self, state, used):
        if (used or not math.isfinite(self.raw[-1])) and not self.weights_are_finite():
            raise self.collapsed("weights that are not finite numbers")
        # At the end there is no waiting. (DeepSpeed skips updates that are not finite: weights may stay numbers, and useless.)
        count = 3 if state.global_step >= state.max_steps else READ_EVERY
        if len(self.raw) >= count and not any(map(math.isfinite, list(self.raw)[-count:])):
            raise self.collapsed(f"no finite loss in its last {count} steps")
        judged = self.warmup + max(GRACE_STEPS, state.max_steps // 10)
        if state.global_step >= judged and len(self.window) == self.window.maxlen:
            if self.is_at_chance():
                raise self.collapsed(self.loss_line())
            for name in self.tasks_at_chance():
                if name not in self.warned:
                    say(f"warning: at step {state.global_step} {self.loss_line(name)}")
                self.warned.add(name)

    def weights_are_finite(self) -> bool:
        weights = [held(weight, self.trainer.args.process_index) for weight in self.trainer.model.parameters()]
        # By the largest of each: `isfinite` of the word embeddings alone would take half as much memory again as they do.
        largest = [torch.linalg.vector_norm(weight, torch.inf).to(self.trainer.args.device) for weight in weights if weight.numel()]
        broken = (~torch.isfinite(torch.stack([value.float() for value in largest]))).any().float()
        return self.trainer.accelerator.reduce(broken, "sum").item() == 0

    def is_at_chance(self) -> bool:
        return np.mean([to_bar for _, to_bar, _ in self.window]) >= 1

    def tasks_at_chance(self) -> list[str]:
        """Of several tasks those that do not learn, by enough of their own losses to tell."""
        shares = {name: [to_bar for task, to_bar, _ in self.window if task == name] for name in self.bars}
        return [name for name, mine in shares.items() if len(shares) > 1 and len(mine) >= READ_EVERY and np.mean(mine) >= 1]

    def loss_line(self, name=None) -> str:
        """name: of this task alone."""
        ratios = [to_chance for task, _, to_chance in self.window if name in (None, task)]
        of = f" of {name}" if name else ""
        return f"the training loss of {len(ratios)} steps{of} is {np.mean(ratios):.3f} times that of knowing the label frequencies alone"

    def collapsed(self, reason):
        seed, state = self.trainer.args.seed, self.trainer.state
        last = [round(loss, 4) if math.isfinite(loss) else str(loss) for loss in list(self.raw)[-5:]]
        return Collapsed(reason, {"seed": seed, "step": state.global_step, "steps": state.max_steps, "reason": reason, "last_losses": last})


def held(weight, process: int):
    """What a process holds of a weight: all of it, under ZeRO-3 a slice.

    Slices are equally long; what the last ones have behind the weight's end is memory that nobody has written, and may be anything.
    """
    if not hasattr(weight, "ds_tensor"):
        return weight.detach()
    part = weight.ds_tensor.detach().flatten()
    return part[: max(0, weight.ds_numel - process * part.numel())]


def check_learned(trainer, tasks: dict, examples: dict, dev: dict) -> str | None:
    """The judgement at the end. tasks, examples, dev: by task name; dev as from `training.score`.

    Raises `Collapsed`; returns a warning where the run learned little but is not called collapsed, None where it learned.
    """
    watch, state, doubts = trainer.collapse_watch, trainer.state, []
    for name, task in tasks.items():
        floor, found = one_answer_for_all(task, examples[name]), dev[name][task.dev_metric]
        if found <= floor + NEAR_FLOOR and floor + NEAR_FLOOR < 100:
            doubts.append(f"dev {task.dev_metric} of {name} is {found:.1f}, one answer for all has {floor:.1f}")
    # A run that was resumed after its last step has seen no loss.
    at_chance = bool(watch.bars) and (not watch.window or watch.is_at_chance())
    if len(doubts) == len(tasks) and at_chance and state.global_step - watch.warmup >= JUDGED_STEPS:
        raise watch.collapsed("; ".join([*doubts, *([watch.loss_line()] if watch.window else [])]))
    doubts += [watch.loss_line()] if watch.window and at_chance else map(watch.loss_line, watch.tasks_at_chance())
    if not doubts:
        return None
    say(f"warning: {'; '.join(doubts)} ({state.global_step} steps, {watch.warmup} of them warm-up)")
    return "; ".join(doubts)


def one_answer_for_all(task, examples) -> float:
    """The best dev score that needs no look at the examples: one label, the most frequent tag, no answer."""
    gold = TASK_TYPES[task.task_type].gold(examples, task)
    if task.task_type == "tagging":
        ((tag, _),) = Counter(tag for tags in gold for tag in tags).most_common(1)
        guesses = [[[tag] * len(tags) for tags in gold]]
    elif task.task_type == "span_qa":
        blank = {"text": "", "no_answer_margin": 1e9} if task.may_have_no_answer else ""
        guesses = [[blank] * len(gold)]
    else:
        guesses = [[label] * len(gold) for label in sorted(set(gold))]
    return max(task.metric(gold, guess, "en")[task.dev_metric] for guess in guesses)


def refuse_failed(output_dir: str, retries: int, failed: list[dict] | None = None) -> list[dict]:
    """The failed tries of this cell so far: `failed`, else those on disk. Raises `Collapsed` where --retries allows no further one."""
    if retries < 0:
        raise InputError(f"--retries {retries} is not a number of tries: 0 or more.")
    failed = failed or read_json(Path(output_dir) / RECORD) or []
    if len(failed) > retries:
        tries = "; ".join(f"seed {record['seed']} at step {record['step']} of {record['steps']}: {record['reason']}" for record in failed)
        more = f"--retries {len(failed)} tries another seed, --overwrite begins anew"
        raise Collapsed(f"{output_dir} failed to learn ({tries}). {more}.")
    return failed


def train_with_retries(attempt, training_args, retries: int):
    """Calls `attempt()` under one seed after the other until one learns. -> (what it returned, {seed_used, failed_tries})

    attempt  makes the model with `training_args.seed`, trains it and raises `Collapsed` where that failed; it must keep nothing of it.
    Raises `Collapsed` where no try is left. All processes come here and fail alike.
    """
    seed, failed = training_args.seed, None
    while True:
        failed = refuse_failed(training_args.output_dir, retries, failed)
        training_args.seed = seed + SEED_STEP * len(failed)
        if failed:
            say(f"try {len(failed) + 1} of {retries + 1}, with seed {training_args.seed}")
        try:
            return attempt(), {"seed_used": training_args.seed, "failed_tries": failed}
        except Collapsed as collapsed:
            failed.append(collapsed.record)
        gc.collect()  # the Trainer of the failed try, its model and its optimiser hold each other
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        with training_args.main_process_first(desc="failed try"):
            if is_main_process():
                say(f"seed {training_args.seed} failed to learn, at step {failed[-1]['step']}: {failed[-1]['reason']}")
                # In this order: a kill between the two repeats this try, and never goes on from its checkpoint in the next.
                remove_checkpoints(training_args.output_dir)
                write_json(Path(training_args.output_dir) / RECORD, failed)
        if training_args.deepspeed and len(failed) <= retries:  # accelerate refuses a second Accelerator with it
            raise Collapsed(f"{training_args.output_dir} failed to learn; under DeepSpeed each try is a call of its own: run it again.")
