"""The Trainer on real tokens: training batches of like lengths, scoring sorted by length, and the share of tokens that were padding."""

import itertools
import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow.compute
import torch
from accelerate.data_loader import BatchSamplerShard
from accelerate.utils import gather_object
from datasets import Dataset
from torch.utils.data import BatchSampler, DataLoader, Sampler
from tqdm.auto import tqdm
from transformers import Trainer
from transformers.modeling_layers import GradientCheckpointingLayer

from console import Collapsed
from speed import padding_free
from task_adapters.base import InputError
from task_types.collator import what_is_read
from task_types.loss import IGNORED
from task_types.retrieval import batches_by_length

GROUP = 8  # examples of like length that come together: the default batch per device
POOL = 50  # steps whose examples are sorted together; transformers' own number


def lengths_of(features: Dataset) -> np.ndarray:
    """The length to which each feature is padded at least: its tokens, in multiple choice those of the longest choice. (n,) integers"""
    return tokens_of(features).max(1)


def tokens_of(features: Dataset) -> np.ndarray:
    """The number of tokens of each choice of each feature, (n, choices) integers; (n, 1) where it is no multiple choice."""
    column = features.with_format("arrow")["input_ids"][:]
    column = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    nested = len(column) and hasattr(column.type.value_type, "value_type")  # one list for each choice; all examples have as many
    counts = pyarrow.compute.list_value_length(column.flatten() if nested else column).to_numpy(zero_copy_only=False)
    return counts.reshape(len(column), -1) if nested else counts[:, None]


def choices_are_uneven(features: Dataset) -> bool:
    """Whether more than 5% of a batch is padding whatever the order: choices of one question differ in length and are read side by side."""
    tokens = tokens_of(features)
    return bool(tokens.sum() < 0.95 * tokens.max(1).sum() * tokens.shape[1])


class GroupedByLength(Sampler):
    """An order of training in which examples of like length come together while each step still has examples of all lengths.

    The examples of POOL steps, drawn at random, are sorted by length and cut into groups of GROUP. Each step is a random choice of groups,
    longest first. So a micro-batch has hardly any padding, and steps are more mixed than with transformers' sampler, whose steps have one
    length each and go from long to short. The order depends on the effective batch, the seed and the epoch, and not on the number of
    processes or accumulation steps.

    lengths  of all examples; batch: examples of an optimiser step over all processes; epoch: () -> the epoch that is about to begin.
    """

    def __init__(self, lengths, batch: int, seed: int, epoch):
        self.lengths, self.batch, self.seed, self.epoch = np.asarray(lengths), batch, seed, epoch
        self.group = max(size for size in range(1, GROUP + 1) if batch % size == 0)

    def __len__(self):
        return len(self.lengths)

    def __iter__(self):
        generator = np.random.default_rng((self.seed, self.epoch()))
        order = generator.permutation(len(self.lengths))
        whole = len(order) // self.batch * self.batch
        for pool in np.split(order[:whole], range(POOL * self.batch, whole, POOL * self.batch)):
            groups = self.longest_first(pool).reshape(-1, self.group)
            for step in generator.permutation(groups).reshape(-1, self.batch):
                yield from self.longest_first(step).tolist()
        yield from self.longest_first(order[whole:]).tolist()

    def longest_first(self, rows: np.ndarray) -> np.ndarray:
        return rows[np.argsort(-self.lengths[rows], kind="stable")]


class SharedOut(BatchSampler):
    """The micro-batches of all processes, in the order in which accelerate's `BatchSamplerShard` deals them out: one to each in turn.

    Full micro-batches stay as they are. At the end of an epoch the examples that are left are shared out evenly, and a process for which
    none is left gets an empty micro-batch (`[]`). So all processes read equally many micro-batches and no example is read twice. By itself
    accelerate would fill up the last ones with examples from the beginning of the epoch, which would then count twice.

    batches  a `BatchSampler` of micro-batches for one process; processes: how many there are.
    """

    def __init__(self, batches: BatchSampler, processes: int):
        self.batches, self.processes = batches, processes

    def __len__(self):
        return math.ceil(len(self.batches) / self.processes) * self.processes

    def __iter__(self):
        batches = iter(self.batches)
        while turn := list(itertools.islice(batches, self.processes)):
            if len(turn) < self.processes or len(turn[-1]) < self.batches.batch_size:
                turn = [part.tolist() for part in np.array_split(np.concatenate(turn), self.processes)]
            yield from turn


class CountingCollator:
    """A batch with the number of its real tokens, as a number of the host: asking a GPU for it would make the host wait.

    A micro-batch without examples (`SharedOut`) becomes the first example without its label: the process takes part in the forward and
    backward pass, as DDP and ZeRO need it, and adds nothing to the loss, to the gradients or to the count of labels.

    collator  makes the tensors; dataset: the features, set when the Trainer has made its loader of them.
    """

    def __init__(self, collator):
        self.collator, self.dataset = collator, None

    def __call__(self, rows: list[dict]) -> dict:
        batch = self.collator(rows or [self.dataset[0]])
        if not rows:
            batch["labels"].fill_(IGNORED)
        return {**batch, "real_tokens": int(batch["attention_mask"].sum()), "is_empty": not rows}


def compile_blocks(model: torch.nn.Module, backend: str | None, mode: str | None) -> None:
    """Carries out `--torch_compile` block by block: all blocks share one compiled form, for batches of any shape.

    A model compiled as a whole would be compiled anew for each new number of tokens. Raises InputError where the model has no blocks.
    """
    blocks = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not blocks:
        raise InputError(f"--torch_compile: {type(model).__name__} has no blocks that could be compiled one by one.")
    for block in blocks:
        block.compile(backend=backend, mode=mode, dynamic=True)


class RealTokensTrainer(Trainer):
    """The Trainer with `GroupedByLength`, with every example read once an epoch on any number of processes, and with a count of tokens.

    transformers' own `--train_sampling_strategy group_by_length` takes the number of choices for a length, depends on the number of
    processes, and shuffles the evaluation data too.
    """

    tokens = (0, 0)  # real tokens, and computed tokens with padding, of this process's training steps since the run was started
    score_selection: Callable[[], tuple] | None = (
        None  # () -> (predictions, scores, loss) of the dev data by which checkpoints are compared
    )

    def __init__(self, model, args, **options):
        # The next batch is copied to the GPU while the GPU computes.
        args.dataloader_pin_memory = args.accelerator_config.non_blocking = args.device.type == "cuda"
        backend = args.torch_compile_backend
        if args.torch_compile:
            compile_blocks(model, backend, args.torch_compile_mode)
            args.torch_compile_backend = None  # otherwise accelerate compiles the model as a whole
        super().__init__(model, args, **options)
        args.torch_compile_backend = backend

    @property
    def packed(self) -> bool:
        """Whether the encoder computes real tokens only."""
        return padding_free.is_packed(self.model)

    def _get_train_sampler(self, train_dataset=None):
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        features = self.train_dataset if train_dataset is None else train_dataset
        batch = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        return GroupedByLength(lengths_of(features), batch, seed, lambda: int(self.state.epoch or 0))

    def floating_point_ops(self, inputs: dict) -> int:
        return 0  # the library would walk through all modules at each micro-batch, for a number that we do not report

    def get_train_dataloader(self) -> DataLoader:
        collator, self.data_collator = self.data_collator, CountingCollator(self.data_collator)
        try:
            loader = super().get_train_dataloader()
            self.data_collator.dataset = loader.dataset
        finally:
            self.data_collator = collator
        if self.args.world_size > 1:
            shard = loader.batch_sampler
            if not isinstance(shard, BatchSamplerShard) or shard.split_batches:
                raise InputError("--accelerator_config: dispatch_batches and split_batches make other batches on several processes.")
            # Without a size of its own, the shard deals micro-batches out as they come.
            shard.batch_sampler, shard.batch_size = SharedOut(shard.batch_sampler, shard.num_processes), None
        return loader

    @cached_property
    def packed_forward(self) -> padding_free.PackedForward | None:
        """The forward pass that is told how many tokens are real; None where batches are padded."""
        return padding_free.packed_forward_of(self.model)

    def training_step(self, model: torch.nn.Module, inputs: dict, num_items_in_batch: int | torch.Tensor | None = None) -> torch.Tensor:
        real_tokens, is_empty = inputs.pop("real_tokens"), inputs.pop("is_empty")
        computed_tokens = real_tokens if self.packed else inputs["attention_mask"].numel()
        self.tokens = self.tokens[0] + (0 if is_empty else real_tokens), self.tokens[1] + computed_tokens
        if self.packed_forward is not None:
            self.packed_forward.expect(real_tokens)
        return super().training_step(model, inputs, num_items_in_batch)

    def evaluate(self, *_, **__) -> dict[str, float]:
        """Scores the dev data by which checkpoints are compared, on examples, as after training. -> {"eval_<metric>": value}"""
        _, scores, loss = self.score_selection()
        metrics = {"eval_loss": loss, **{f"eval_{name}": value for name, value in scores.items() if name != "examples"}}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _determine_best_metric(self, metrics, trial):
        metric = self.args.metric_for_best_model
        if metric is not None and f"eval_{metric.removeprefix('eval_')}" not in metrics:
            names = [name.removeprefix("eval_") for name in metrics if name.startswith("eval_")]
            raise InputError(f"--metric_for_best_model {metric}: there are {', '.join(names)}.")
        return super()._determine_best_metric(metrics, trial)


def scoring_batches(lengths: np.ndarray, batch: int) -> list[list[int]]:
    """Row numbers in batches of like length: at most as many padded tokens as `batch` of the longest have, at most 4% of them padding."""
    return batches_by_length(lengths, batch * int(lengths.max()), least_share=0.96)


def broken_rows(logits: list[torch.Tensor], mask: torch.Tensor) -> torch.Tensor:
    """How many rows of a batch have a logit that is no finite number, as a number on the device.

    logits  [(batch, classes or choices)], [(batch, tokens, classes)], of span QA [(batch, tokens), (batch, tokens)], or of a dual encoder
            [(batch, 2, width)], whose mask is (batch, 2, tokens)
    mask    the attention mask: what stands on padding is not looked at.
    """
    wrong = [~values.isfinite() for values in logits]
    if mask.dim() == 2 and (len(logits) > 1 or logits[0].dim() == 3):  # a logit for each token
        wrong = [(values.flatten(2).any(2) if values.dim() == 3 else values) & mask.bool() for values in wrong]
    return torch.cat([values.flatten(1) for values in wrong], dim=1).any(1).sum()


def broken_logits(trainer: Trainer, language: str, reason: str) -> Collapsed:
    """The error that ends a run whose model does not give finite numbers: it is a failed one, and leaves no score."""
    args, state = trainer.args, trainer.state
    reason = f"{language}: {reason}; the model's weights are broken, or its numbers overflow"
    return Collapsed(
        f"{args.output_dir}: {reason}. No score is written.",
        {"seed": args.seed, "step": state.global_step, "steps": state.max_steps, "reason": reason, "last_losses": []},
    )


def predict(trainer: Trainer, features: Dataset, task_type: Any, description: str = "") -> tuple[Any, float | None]:
    """The model's answer to each feature. Batches are of like length, and none has more padded tokens than the longest unsorted one.

    Every process computes the same number of batches (under ZeRO-3 each forward pass needs all processes) and returns all answers.
    Returns (reduced, loss). reduced: for each feature, in the order given, the row that `task_type.reduce_logits` leaves of its logits;
    where it leaves two, a pair of such lists. Rows of tokens may be longer than the feature. loss: mean over all labels; None where the
    model computes its own.
    """
    args, lengths = trainer.args, lengths_of(features)
    batches = scoring_batches(lengths, args.per_device_eval_batch_size)
    own_batches = batches[args.process_index :: args.world_size]
    repeated = math.ceil(len(batches) / args.world_size) - len(own_batches)  # computed only to take part, and not kept
    loader = DataLoader(
        what_is_read(features),
        batch_sampler=own_batches + batches[:1] * repeated,
        collate_fn=trainer.data_collator,
        num_workers=args.dataloader_num_workers,
    )
    model = trainer.model_wrapped if trainer.is_deepspeed_enabled else trainer.model
    if not trainer.is_in_train and (args.bf16_full_eval or args.fp16_full_eval):
        model.to(torch.bfloat16 if args.bf16_full_eval else torch.float16)
    model.eval()
    answers, (total, count, broken) = [], torch.zeros(3, device=args.device).unbind()
    progress = tqdm(loader, desc=description, disable=args.disable_tqdm or args.process_index > 0, leave=False)
    with torch.no_grad(), trainer.accelerator.autocast():  # around all batches: autocast copies the weights once
        for inputs in progress:
            inputs = trainer._prepare_inputs(inputs)
            labels = inputs.pop("labels") if trainer.compute_loss_func else inputs["labels"]
            outputs = model(**inputs)
            if len(answers) == len(own_batches):
                continue
            logits = [values for name, values in outputs.items() if name.endswith("logits")]
            broken += broken_rows(logits, inputs["attention_mask"])
            reduced = task_type.reduce_logits(tuple(logits) if len(logits) > 1 else logits[0], labels)
            reduced = reduced if isinstance(reduced, tuple) else (reduced,)
            answers.append([(values.float() if values.is_floating_point() else values).cpu().numpy() for values in reduced])
            if trainer.compute_loss_func:
                labelled = labels.ne(IGNORED).sum()
                total += task_type.loss(outputs, labels, labelled.clamp(min=1)) * labelled  # without label smoothing
                count += labelled
    broken = int(trainer.accelerator.reduce(broken, reduction="sum").item())
    if broken:
        raise broken_logits(trainer, description, f"the logits of {broken} of {len(lengths)} inputs are not finite numbers")
    answers = gather_object(list(zip(own_batches, answers)))
    columns = [[None] * len(lengths) for _ in answers[0][1]]
    for batch, parts in answers:
        for column, part in zip(columns, parts):
            for row, values in zip(batch, part):
                column[row] = values
    total, count = (trainer.accelerator.reduce(value, reduction="sum").item() for value in (total, count))
    return tuple(columns) if len(columns) > 1 else columns[0], total / count if count else None
