"""Runs that fail to learn: seen while they train, ended with exit code 3 or begun again with another seed, and never forgotten.

A large encoder may collapse: its loss becomes NaN, or stays at (falls back to) what knowing the label frequencies alone gives, and the
model gives one answer for all examples. A failed seed that nobody sees makes a mean wrong. A run has collapsed if

1. its weights are not finite numbers, or `READ_EVERY` steps in a row had no finite loss, 3 at the end (a single one can happen in fp16);
2. it has come to half of its steps, and `GRACE_STEPS` beyond warm-up, and the mean training loss of a whole window (`WINDOW_STEPS`, or a
   tenth of all steps if that is more) is not below chance (`chance_loss`). Some runs that learn in the end stay at chance for an epoch;
3. it has ended, at least `JUDGED_STEPS` after warm-up, a whole window is at chance, *and* the dev score of every task is about that of one
   answer for all. If only one of the two holds, or if there were fewer steps, the user reads a warning: a small or a hard data set is no
   collapse.

Where several tasks are trained together, the window has the losses of all tasks, each as a share of its own chance loss. If a single
task stays at chance while others learn, the encoder has not collapsed: the user reads a warning while the run trains (from 2. on) and at
its end, if the window has `READ_EVERY` losses of the task.

`--collapse warn` makes 2. and 3. warnings, `--collapse off` leaves them out. Watching reads the losses and changes nothing: a run that is
not stopped is the same run. With --retries N a failed run is begun again with seed + 1000, seed + 2000 ... (neighbouring seeds are likely
to be cells of their own). Everything is then drawn anew except the few-shot sample of --max_train_samples and the texts and masks of masked
LM. Each failed attempt stands in failed_tries.json of the output folder, and in results.json beside `seed_used`. If a collapsed cell is run
again, it ends at once with exit code 3 unless --retries allows one more attempt.
(`torchrun` and `accelerate launch` turn every exit code into 1. A folder with failed_tries.json and without results.json has failed.)
"""

import gc
import math
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from console import Collapsed, is_main_process, say
from results import RunFolder, read_note, remove_checkpoints, write_json
from task_adapters import InputError
from task_adapters.base import Task
from task_types import TASK_TYPES
from task_types.loss import IGNORED

READ_EVERY = 25  # steps between two looks at the losses, which stay on the device until then
WINDOW_STEPS = 250
GRACE_STEPS = 1000
JUDGED_STEPS = 300
# Share of the chance loss from which on a loss counts as at chance. Span QA: see `chance_loss`.
AT_CHANCE = {"classification": 0.99, "multiple_choice": 0.99, "tagging": 0.99, "span_qa": 0.95}
NEAR_FLOOR = 10  # points of the dev metric above one answer for all
SEED_STEP = 1000
RECORD = "failed_tries.json"


def chance_loss(task_type: str, features: Dataset, smoothing: float = 0.0, classes: int = 0) -> float | None:
    """The loss, in nats, of a model that has learned how often each label comes and nothing else; None where there is one label only.

    Multiple choice scores the choices one by one and cannot know their places: ln K. Span QA: the entropy of the places, or a uniform
    guess within the window if that is less; a model that sees where the question ends does a little better, hence its lower AT_CHANCE.
    smoothing: with it, the entropy of the smoothed frequencies; classes: how many labels there are.
    """
    if task_type == "pairs":
        return None  # it depends on how many questions a step has, not on the features
    if task_type == "multiple_choice":
        return math.log(len(features[0]["input_ids"]))
    labels = all_labels(task_type, features)
    if task_type == "span_qa":
        starts, ends, lengths = labels.reshape(-1, 3).T
        # A position is in a smoothed target of every window that reaches as far as it.
        uniform = (np.bincount(lengths, 1 / lengths)[::-1].cumsum()[::-1] / len(lengths))[1:]
        entropies = [entropy(starts), entropy(ends)]
        if smoothing and max(entropies):
            entropies = [smoothed_entropy(np.bincount(places, minlength=len(uniform)), uniform, smoothing) for places in (starts, ends)]
        return min(sum(entropies) / 2, float(np.log(lengths).mean())) or None
    labels = labels[labels != IGNORED]
    if smoothing and len(np.unique(labels)) > 1:
        return smoothed_entropy(np.bincount(labels, minlength=classes), np.full(classes, 1 / classes), smoothing)
    return entropy(labels) or None


def floor_loss(task_type: str, features: Dataset, smoothing: float, classes: int) -> float:
    """The entropy of a smoothed target, in nats: no model's training loss is lower on average. 0 without smoothing."""
    if not smoothing:
        return 0.0
    if task_type == "span_qa":
        sizes = all_labels(task_type, features).reshape(-1, 3)[:, 2]
    else:
        sizes = np.array([len(features[0]["input_ids"]) if task_type == "multiple_choice" else classes])
    other, label = smoothing / sizes, 1 - smoothing + smoothing / sizes
    return float(-(label * np.log(label) + (sizes - 1) * other * np.log(other)).mean())


def all_labels(task_type: str, features: Dataset) -> np.ndarray:
    """The labels of all features, one after the other."""
    column = features.select_columns("labels").with_format("arrow")[:]["labels"].combine_chunks()
    if task_type == "tagging" and hasattr(column.type.value_type, "value_type"):  # two rows, tags and numbers of pieces
        column = column.flatten().take(np.arange(0, 2 * len(column), 2))
    while hasattr(column, "flatten") and not column.type.equals(column.flatten().type):  # lists of labels
        column = column.flatten()
    return column.to_numpy(zero_copy_only=False)


def smoothed_entropy(counts: np.ndarray, uniform: np.ndarray, smoothing: float) -> float:
    """The entropy of label frequencies of which a share is spread evenly. counts, uniform: one number for each label."""
    shares = (1 - smoothing) * counts / counts.sum() + smoothing * uniform
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())


def entropy(labels: np.ndarray) -> float:
    shares = np.unique(labels, return_counts=True)[1] / len(labels)
    return float(-(shares * np.log(shares)).sum())


class CollapseWatch(TrainerCallback):
    """Sees the loss of every step, over all processes, and raises `Collapsed` on all of them at the same step.

    The trainer hands over the loss of each micro-batch (`add`). Losses in the Trainer's log come later and without NaN.
    `state` and `restore` carry it from one start of a run to the next.

    tasks   {name: task} that are trained; chance_losses: {name: loss in nats, or None}, see `chance_loss`.
    reduce  the mean over all processes of a tensor.
    action  "stop", "warn" or "off": what becomes of a run whose loss is at chance.
    floors  {name: the least loss that any model can have, see `floor_loss`}; 0 where nothing is given.
    """

    def __init__(self, tasks: dict, chance_losses: dict, reduce, action: str = "stop", floors: dict | None = None):
        self.chance_losses = {name: chance_losses[name] for name in tasks if chance_losses.get(name)}
        floors = {name: (floors or {}).get(name, 0.0) for name in self.chance_losses}
        self.bars = {
            name: floors[name] + (loss - floors[name]) * AT_CHANCE[tasks[name].task_type] for name, loss in self.chance_losses.items()
        }
        self.tasks, self.reduce, self.action = tasks, reduce, action
        self.warmup = 0
        self.step_task, self.step_loss = None, 0  # of the step that is being computed
        self.unread = []  # (task, loss) of the steps whose losses are still on the device
        self.last_losses = deque(maxlen=READ_EVERY)
        self.window = deque(maxlen=WINDOW_STEPS)  # (task, loss) after warm-up, finite ones only
        self.loss_sum, self.loss_count = 0.0, 0  # over all steps
        self.warned = set()

    def add(self, task: str, loss: torch.Tensor) -> None:
        """The loss of a micro-batch, as its share of the step's."""
        self.step_task, self.step_loss = task, self.step_loss + loss.float()

    def state(self) -> dict:
        """What the watch has seen, as JSON."""
        losses = {"loss_sum": self.loss_sum, "loss_count": self.loss_count}
        return {"window": list(self.window), "last_losses": list(self.last_losses), "warmup": self.warmup, **losses}

    def restore(self, state: dict) -> None:
        """Goes on from the `state` of an earlier start of the run."""
        self.window = deque(map(tuple, state["window"]), maxlen=max(WINDOW_STEPS, len(state["window"])))
        self.last_losses.extend(state["last_losses"])
        self.warmup = state["warmup"]
        self.loss_sum, self.loss_count = state["loss_sum"], state["loss_count"]

    def mean_loss(self) -> float | None:
        """The mean training loss of all steps; None where there was none."""
        return self.loss_sum / self.loss_count if self.loss_count else None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_) -> None:
        self.warmup = args.get_warmup_steps(state.max_steps)
        self.window = deque(self.window, maxlen=max(WINDOW_STEPS, state.max_steps // 10))

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: PreTrainedModel | None = None, **_
    ) -> None:
        self.unread.append((self.step_task, self.step_loss))
        self.step_loss = 0
        # Weights must be known to be numbers before they are evaluated or saved. The flags for both are set by now.
        is_used = control.should_evaluate or control.should_save or state.global_step >= state.max_steps
        if is_used or len(self.unread) >= READ_EVERY:
            self.read(state.global_step)
            self.judge(args, state, model, is_used)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: PreTrainedModel | None = None, **_
    ) -> None:
        if control.should_evaluate or control.should_save:  # --eval_strategy epoch, --save_strategy epoch
            self.read(state.global_step)
            self.judge(args, state, model, is_used=True)

    def read(self, step: int) -> None:
        """Takes the losses of the last steps from the device. step: the number of the last one."""
        if not self.unread:
            return
        losses = self.reduce(torch.stack([loss for _, loss in self.unread])).tolist()
        for number, (task, _), loss in zip(range(step - len(losses) + 1, step + 1), self.unread, losses):
            self.last_losses.append(loss)
            if math.isfinite(loss):
                self.loss_sum, self.loss_count = self.loss_sum + loss, self.loss_count + 1
                if number > self.warmup and task in self.bars:
                    self.window.append((task, loss))
        self.unread = []

    def judge(self, args: TrainingArguments, state: TrainerState, model: PreTrainedModel, is_used: bool) -> None:
        """Raises `Collapsed` where the run has, or names tasks that stay at chance. is_used: weights are about to be evaluated or saved."""
        if (is_used or not math.isfinite(self.last_losses[-1])) and not self.weights_are_finite(model, args):
            raise self.collapsed("weights that are not finite numbers", args.seed, state)
        # At the end 3 losses decide, because no further ones come. (DeepSpeed skips updates that are not finite: the weights stay finite,
        # and untrained.)
        count = 3 if state.global_step >= state.max_steps else READ_EVERY
        if len(self.last_losses) >= count and not any(map(math.isfinite, list(self.last_losses)[-count:])):
            raise self.collapsed(f"no finite loss in its last {count} steps", args.seed, state)
        if self.action != "off" and self.is_time_to_judge(state) and len(self.window) == self.window.maxlen:
            if self.is_at_chance() and self.action == "stop":
                raise self.collapsed(self.loss_line(), args.seed, state)
            for name in self.tasks_at_chance() or [None] * self.is_at_chance():
                if name not in self.warned:
                    say(f"warning: at step {state.global_step} {self.loss_line(name)}")
                self.warned.add(name)

    def is_time_to_judge(self, state: TrainerState) -> bool:
        """Whether a run that still is at chance is not just a slow starter."""
        return state.global_step >= max(self.warmup + GRACE_STEPS, state.max_steps // 2)

    def weights_are_finite(self, model: PreTrainedModel, args: TrainingArguments) -> bool:
        weights = [own_part(weight, args.process_index) for weight in model.parameters()]
        # The largest of each weight tells: `isfinite` of the word embeddings alone would take half as much memory again as they do.
        largest = [torch.linalg.vector_norm(weight, torch.inf).to(args.device) for weight in weights if weight.numel()]
        share_of_broken = (~torch.isfinite(torch.stack([value.float() for value in largest]))).any().float()
        return self.reduce(share_of_broken).item() == 0

    def is_at_chance(self) -> bool:
        return bool(self.window) and bool(np.mean([loss / self.bars[task] for task, loss in self.window]) >= 1)

    def tasks_at_chance(self) -> list[str]:
        """Of several tasks those that do not learn, if the window has enough of their losses to tell."""
        losses = {name: [loss for task, loss in self.window if task == name] for name in self.bars}
        return [name for name in losses
                if len(losses) > 1 and len(losses[name]) >= READ_EVERY and np.mean(losses[name]) >= self.bars[name]]  # fmt: skip

    def loss_line(self, name: str | None = None) -> str:
        """How the losses in the window, those of one task or of all, compare with chance."""
        ratios = [loss / self.chance_losses[task] for task, loss in self.window if name in (None, task)]
        steps = f"{len(ratios)} steps" + (f" of {name}" if name else "")
        return f"the training loss of {steps} is {np.mean(ratios):.3f} times that of knowing the label frequencies alone"

    def collapsed(self, reason: str, seed: int, state: TrainerState) -> Collapsed:
        last = [round(loss, 4) if math.isfinite(loss) else str(loss) for loss in list(self.last_losses)[-5:]]
        return Collapsed(reason, {"seed": seed, "step": state.global_step, "steps": state.max_steps, "reason": reason, "last_losses": last})


def own_part(weight: torch.Tensor, process: int) -> torch.Tensor:
    """The numbers of a weight that a process has: all of them, under ZeRO-3 a slice.

    Slices are equally long. What the last ones have behind the weight's end is memory that nobody has written, and may be anything.
    """
    if not hasattr(weight, "ds_tensor"):
        return weight.detach()
    part = weight.ds_tensor.detach().flatten()
    return part[: max(0, weight.ds_numel - process * part.numel())]


def check_learned(watch: CollapseWatch, state: TrainerState, seed: int, tasks: dict, examples: dict, dev: dict) -> str | None:
    """The judgement at the end of training. tasks, examples, dev: by task name; dev as from `loop.score`. state: the Trainer's.

    Raises `Collapsed`; returns a warning where the run learned little but has not collapsed, None where it learned.
    """
    if watch.action == "off":
        return None
    doubts = []
    for name, task in tasks.items():
        floor, score = one_answer_for_all(task, examples[name]), dev[name][task.dev_metric]
        if score <= floor + NEAR_FLOOR and floor + NEAR_FLOOR < 100:
            doubts.append(f"dev {task.dev_metric} of {name} is {score:.1f}, one answer for all has {floor:.1f}")
    is_long = state.global_step - watch.warmup >= JUDGED_STEPS and len(watch.window) >= min(WINDOW_STEPS, JUDGED_STEPS)
    if len(doubts) == len(tasks) and watch.is_at_chance() and is_long and watch.action == "stop":
        raise watch.collapsed("; ".join([*doubts, watch.loss_line()]), seed, state)
    doubts += [watch.loss_line()] if watch.is_at_chance() else map(watch.loss_line, watch.tasks_at_chance())
    if not doubts:
        return None
    say(f"warning: {'; '.join(doubts)} ({state.global_step} steps, {watch.warmup} of them warm-up)")
    return "; ".join(doubts)


def one_answer_for_all(task: Task, examples: Dataset) -> float:
    """The best dev score that needs no look at the examples: one label, the most frequent tag, no answer."""
    gold = TASK_TYPES[task.task_type].gold(examples, task)
    if task.task_type == "tagging":
        ((tag, _),) = Counter(tag for tags in gold for tag in tags).most_common(1)
        guesses: list[list] = [[[tag] * len(tags) for tags in gold]]
    elif task.task_type == "span_qa":
        blank = {"text": "", "no_answer_margin": 1e9} if task.may_have_no_answer else ""
        guesses = [[blank] * len(gold)]
    else:
        guesses = [[label] * len(gold) for label in sorted(set(gold))]
    return max(task.metric(gold, guess, "en")[task.dev_metric] for guess in guesses)


def refuse_failed(folder: RunFolder, retries: int, failed: list[dict] | None = None) -> list[dict]:
    """The failed attempts of this cell so far: `failed`, else those on disk. Raises `Collapsed` where --retries allows no further one.

    folder  the run's `RunFolder`. A finished run needs no further attempt, however many failed before it.
    """
    if retries < 0:
        raise InputError(f"--retries {retries} is not a number of tries: 0 or more.")
    if folder.results is not None:
        return []
    if failed is None:
        failed = [] if folder.overwrite else read_note(folder.path / RECORD, list) or []
    if len(failed) > retries:
        attempts = [f"seed {attempt['seed']} at step {attempt['step']} of {attempt['steps']}: {attempt['reason']}" for attempt in failed]
        more = f"--retries {len(failed)} tries another seed, --overwrite begins anew"
        raise Collapsed(f"{folder.path} failed to learn ({'; '.join(attempts)}). {more}.")
    return failed


def train_with_retries(attempt: Callable[[], Any], folder: RunFolder, training_args: TrainingArguments, retries: int) -> tuple[Any, dict]:
    """Calls `attempt()` under one seed after the other until one learns. -> (what it returned, {seed_used, failed_tries})

    attempt  makes the model with `training_args.seed`, trains it and raises `Collapsed` where that failed; it must keep nothing of it.
    folder   the run's `RunFolder`.
    Raises `Collapsed` where no attempt is left. All processes come here and fail alike.
    """
    seed, failed = training_args.seed, None
    while True:
        failed = refuse_failed(folder, retries, failed)
        training_args.seed = seed + SEED_STEP * len(failed)
        if failed:
            say(f"try {len(failed) + 1} of {retries + 1}, with seed {training_args.seed}")
        try:
            return attempt(), {"seed_used": training_args.seed, "failed_tries": failed}
        except Collapsed as collapsed:
            failed.append(collapsed.record)
        gc.collect()  # the Trainer of the failed attempt, its model and its optimiser hold each other
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        with training_args.main_process_first(desc="failed attempt"):
            if is_main_process():
                if len(failed) <= retries:  # the last attempt's reason stands in the line that ends the script
                    say(f"seed {training_args.seed} failed to learn, at step {failed[-1]['step']}: {failed[-1]['reason']}")
                # A kill in between does no harm: the next attempt has another seed, and `RunFolder.begin` removes what this one left.
                write_json(folder.path / RECORD, failed)
                remove_checkpoints(folder.path)
        if training_args.deepspeed and len(failed) <= retries:  # accelerate refuses a second Accelerator with it
            raise Collapsed(f"{folder.path} failed to learn; under DeepSpeed run the command again for each new seed.")
