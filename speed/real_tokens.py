"""The Trainer on real tokens: training batches of like lengths, scoring sorted by length under a budget, and the share that was padding."""

import math
from functools import cached_property, partial

import numpy as np
import pyarrow.compute
import torch
from accelerate.utils import gather_object
from torch.utils.data import DataLoader, Sampler
from tqdm.auto import tqdm
from transformers import Trainer
from transformers.modeling_layers import GradientCheckpointingLayer

from console import Collapsed
from speed import padding_free
from task_adapters.base import InputError
from task_types.collator import what_is_read
from task_types.loss import IGNORED
from task_types.retrieval import batches_by_length

GROUP = 8  # examples of like length that come together: the batch per device that a run has where none is given
POOL = 50  # steps whose examples are sorted together; transformers' own number


def lengths_of(features) -> np.ndarray:
    """What each feature is padded by: its pieces, of multiple choice those of the longest choice. (n,) integers"""
    return pieces_of(features).max(1)


def pieces_of(features) -> np.ndarray:
    """Pieces of each choice of each feature, (n, choices) integers; (n, 1) where it is no multiple choice."""
    column = features.with_format("arrow")["input_ids"][:]
    column = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    nested = len(column) and hasattr(column.type.value_type, "value_type")  # one list for each choice; all examples have as many
    counts = pyarrow.compute.list_value_length(column.flatten() if nested else column).to_numpy(zero_copy_only=False)
    return counts.reshape(len(column), -1) if nested else counts[:, None]


def choices_are_uneven(features) -> bool:
    """Whether more than 5% is padding that no order of questions mends: their choices are of unlike length, and read side by side."""
    pieces = pieces_of(features)
    return bool(pieces.sum() < 0.95 * pieces.max(1).sum() * pieces.shape[1])


class GroupedByLength(Sampler):
    """An order of training in which examples of like length come together, and steps have all lengths.

    POOL steps' examples, drawn at random, are sorted by length and cut into groups of GROUP; each step is a random choice of groups,
    longest first. So a micro-batch is hardly padded, while a step is more mixed than with transformers' sampler, whose steps are of one
    length and go from long to short. The order knows the effective batch, the seed and the epoch, not processes and accumulation steps.

    batch  examples of an optimiser step over all processes; epoch: a function that says which epoch is about to begin.
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

    def longest_first(self, rows):
        return rows[np.argsort(-self.lengths[rows], kind="stable")]


def compile_blocks(model, backend, mode) -> None:
    """`--torch_compile`, block by block: all share what one is compiled to, for batches of any shape.

    As a whole a model would be compiled anew for each new number of tokens. Raises InputError where there are no blocks.
    """
    blocks = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not blocks:
        raise InputError(f"--torch_compile: {type(model).__name__} has no blocks that could be compiled one by one.")
    for block in blocks:
        block.compile(backend=backend, mode=mode, dynamic=True)


def counted(collator, rows) -> dict:
    """A batch that says how many of its tokens are real, as a number of the host: asking a GPU for it would make it wait."""
    batch = collator(rows)
    return {**batch, "real_tokens": int(batch["attention_mask"].sum())}


class RealTokensTrainer(Trainer):
    """The Trainer with the order above for `--train_sampling_strategy group_by_length`, and a count of tokens.

    transformers' own group_by_length takes the number of choices for a length, depends on the number of processes, and shuffles what is
    evaluated too.
    """

    tokens = (0, 0)  # real, and computed with padding, in the training steps of this process since it started
    score_selection = None  # () -> (predictions, scores, loss) of the dev data by which checkpoints are compared

    def __init__(self, model, args, **rest):
        # Batches travel while a GPU computes.
        args.dataloader_pin_memory = args.accelerator_config.non_blocking = args.device.type == "cuda"
        backend = args.torch_compile_backend
        if args.torch_compile:
            compile_blocks(model, backend, args.torch_compile_mode)
            args.torch_compile_backend = None  # else the library compiles the model as a whole
        super().__init__(model, args, **rest)
        args.torch_compile_backend = backend

    @property
    def packed(self) -> bool:
        """Whether what is computed is what is real."""
        return padding_free.is_packed(self.model)

    def _get_train_sampler(self, train_dataset=None):
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        features = self.train_dataset if train_dataset is None else train_dataset
        batch = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        return GroupedByLength(lengths_of(features), batch, seed, lambda: int(self.state.epoch or 0))

    def floating_point_ops(self, inputs):
        return 0  # the library would walk through all modules with each micro-batch, for a number that is not ours to report

    def get_train_dataloader(self):
        collator, self.data_collator = self.data_collator, partial(counted, self.data_collator)
        try:
            return super().get_train_dataloader()
        finally:
            self.data_collator = collator

    @cached_property
    def packed_encoder(self):
        """Whom to tell how many tokens are real."""
        return padding_free.packed_encoder(self.model)

    def training_step(self, model, inputs, num_items_in_batch=None):
        real = inputs.pop("real_tokens")
        self.tokens = self.tokens[0] + real, self.tokens[1] + (real if self.packed else inputs["attention_mask"].numel())
        if self.packed_encoder is not None:
            self.packed_encoder.real_tokens = real
        return super().training_step(model, inputs, num_items_in_batch)

    def evaluate(self, *_, **__):
        """The dev score by which checkpoints are compared, on examples, as after training."""
        _, scores, loss = self.score_selection()
        found = {"eval_loss": loss, **{f"eval_{name}": value for name, value in scores.items() if name != "examples"}}
        self.log(found)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, found)
        return found

    def _determine_best_metric(self, metrics, trial):
        by = self.args.metric_for_best_model
        if by is not None and f"eval_{by.removeprefix('eval_')}" not in metrics:
            known = [name.removeprefix("eval_") for name in metrics if name.startswith("eval_")]
            raise InputError(f"--metric_for_best_model {by}: there are {', '.join(known)}.")
        return super()._determine_best_metric(metrics, trial)

    def share_of_real_tokens(self) -> dict:
        """{"real_tokens", "computed_tokens", "share"} of this start's training steps over all processes; {} where it took none."""
        real, computed = self.accelerator.reduce(torch.tensor(self.tokens, device=self.args.device), reduction="sum").tolist()
        if not computed:  # a run that was cut off after its last step
            return {}
        return {"real_tokens": real, "computed_tokens": computed, "share": round(real / computed, 4)}


def scoring_batches(lengths, batch: int) -> list[list[int]]:
    """Positions in batches of like length: at most the padded tokens of `batch` of the longest, at most 4% of them padding."""
    return batches_by_length(lengths, batch * int(lengths.max()), least_share=0.96)


def broken_rows(logits, mask) -> torch.Tensor:
    """How many rows of a batch have a logit that is no finite number, as a number on the device.

    logits  [(batch, classes or choices)], [(batch, tokens, classes)], or of span QA [(batch, tokens), (batch, tokens)]
    mask    the attention mask: what stands on padding is not looked at.
    """
    wrong = [~values.isfinite() for values in logits]
    if len(logits) > 1 or logits[0].dim() == 3:  # a logit for each token
        wrong = [(values.flatten(2).any(2) if values.dim() == 3 else values) & mask.bool() for values in wrong]
    return torch.cat([values.flatten(1) for values in wrong], dim=1).any(1).sum()


def broken_logits(trainer, language: str, reason: str) -> Collapsed:
    """The error that ends a run whose model does not give finite numbers: it is a failed one, and leaves no score."""
    args, state = trainer.args, trainer.state
    reason = f"{language}: {reason}; the model's weights are broken, or its numbers overflow"
    return Collapsed(
        f"{args.output_dir}: {reason}. No score is written.",
        {"seed": args.seed, "step": state.global_step, "steps": state.max_steps, "reason": reason, "last_losses": []},
    )


def predict(trainer, features, task_type, description=""):
    """What a model says to each feature. Batches are of like length, and none has more padded tokens than the longest unsorted one.

    Every process reads as many batches (under ZeRO-3 each forward pass is a common one) and gets the whole.
    Returns (reduced, loss). reduced: for each feature, in the order given, the row that `task_type.reduce_logits` leaves of its logits;
    where it leaves two, a pair of such lists. Rows of pieces may be longer than the feature. loss: mean over all labels; None where the
    model computes its own.
    """
    args, lengths = trainer.args, lengths_of(features)
    batches = scoring_batches(lengths, args.per_device_eval_batch_size)
    mine = batches[args.process_index :: args.world_size]
    repeated = math.ceil(len(batches) / args.world_size) - len(mine)
    loader = DataLoader(
        what_is_read(features),
        batch_sampler=mine + batches[:1] * repeated,
        collate_fn=trainer.data_collator,
        num_workers=args.dataloader_num_workers,
    )
    model = trainer.model_wrapped if trainer.is_deepspeed_enabled else trainer.model
    if not trainer.is_in_train and (args.bf16_full_eval or args.fp16_full_eval):
        model.to(torch.bfloat16 if args.bf16_full_eval else torch.float16)
    model.eval()
    found, total, count = [], torch.zeros((), device=args.device), torch.zeros((), device=args.device)
    broken = torch.zeros((), device=args.device)
    progress = tqdm(loader, desc=description, disable=args.disable_tqdm or args.process_index > 0, leave=False)
    with torch.no_grad(), trainer.accelerator.autocast():  # around all batches: its copies of the weights are made once
        for inputs in progress:
            inputs = trainer._prepare_inputs(inputs)
            labels = inputs.pop("labels") if trainer.compute_loss_func else inputs["labels"]
            outputs = model(**inputs)
            if len(found) == len(mine):
                continue
            logits = [values for name, values in outputs.items() if name.endswith("logits")]
            broken += broken_rows(logits, inputs["attention_mask"])
            reduced = task_type.reduce_logits(tuple(logits) if len(logits) > 1 else logits[0], labels)
            reduced = reduced if isinstance(reduced, tuple) else (reduced,)
            found.append([(values.float() if values.is_floating_point() else values).cpu().numpy() for values in reduced])
            if trainer.compute_loss_func:
                labelled = labels.ne(IGNORED).sum()
                total += task_type.loss(outputs, labels, labelled.clamp(min=1)) * labelled  # without label smoothing
                count += labelled
    broken = int(trainer.accelerator.reduce(broken, reduction="sum").item())
    if broken:
        raise broken_logits(trainer, description, f"the logits of {broken} of {len(lengths)} inputs are not finite numbers")
    found = gather_object(list(zip(mine, found)))
    rows = [[None] * len(lengths) for _ in found[0][1]]
    for batch, parts in found:
        for column, part in zip(rows, parts):
            for row, values in zip(batch, part):
                column[row] = values
    total, count = (trainer.accelerator.reduce(value, reduction="sum").item() for value in (total, count))
    return tuple(rows) if len(rows) > 1 else rows[0], total / count if count else None
