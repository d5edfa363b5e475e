"""What is in a GPU's memory at the moments of a training step, by formula: `moments`, `estimate`. The formulas of benchmarks/memory.py.

`python benchmarks/memory.py --check` holds them against what torch and DeepSpeed keep on a CPU, its measured cells against a GPU.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from transformers import TrainingArguments, XLMRobertaConfig

from speed.trimmed_embeddings import TrimmedEmbedding

GIB = 2**30
NAMES = "activation_checkpointing", "gradient_checkpointing"  # the latter in transformers 5.17
CHECKPOINTING = next(name for name in NAMES if name in TrainingArguments.__dataclass_fields__)
# What a formula does not see: CUDA context and libraries, and the allocator's gaps (2 to 12% in five runs of the plain Trainer on an H200).
CONTEXT, GAPS = 0.6 * GIB, 1.08
SHAPES = {  # hidden size, layers, heads, vocabulary
    "xlmr-large": (1024, 24, 16, 250002),
    "xlmr-base": (768, 12, 12, 250002),
    "small": (256, 4, 4, 250002),
}
# Of XLM-R's 250,002 pieces, those that occur in a task's data and are trained (trimmed_embeddings.py): a guess, meant to be high. XLM-R's
# tokenizer has not been here; a run says the number in its first lines.
PIECES = 80_000
ZERO = ("zero1", "zero2", "zero2_offload", "zero3", "zero3_offload")
BUCKET = 50_000_000  # ds_configs/: reduce_bucket_size, allgather_bucket_size


@dataclass(frozen=True)
class Setting:
    """One way to train. config: a file of ds_configs/ or "" for the plain Trainer."""

    config: str = ""
    bf16: bool = True
    optim: str = "adamw"  # or adamw_8bit
    checkpointing: bool = False
    frozen: bool = False
    batch: int = 8
    length: int = 128
    effective: int = 32  # examples of one update, over all GPUs
    choices: int = 1  # sequences of one example: multiple choice reads all of a question's side by side
    pieces: int | None = PIECES  # whose embeddings are on the GPU; None: all

    @property
    def name(self) -> str:
        parts = [self.config or "plain", "bf16" if self.bf16 else "fp32", "8-bit AdamW" if self.optim == "adamw_8bit" else "AdamW"]
        parts += ["checkpointing"] * self.checkpointing + ["frozen embeddings"] * self.frozen
        return ", ".join(parts + ["all embeddings"] * (self.pieces is None))

    @property
    def flags(self) -> list[str]:
        flags = ["--per_device_train_batch_size", str(self.batch)] + ["--bf16"] * self.bf16
        flags += ["--optim", "adamw_bnb_8bit"] * (self.optim == "adamw_8bit")
        flags += [f"--{CHECKPOINTING}"] * self.checkpointing + ["--freeze_embeddings"] * self.frozen
        flags += ["--trim_embeddings", "off"] * (self.pieces is None)
        return flags + (["--deepspeed", f"ds_configs/{self.config}.json"] if self.config else [])

    @property
    def size(self) -> str:
        return f"{self.batch}{f' x {self.choices} choices' * (self.choices > 1)} x {self.length}"

    @property
    def trimmed(self) -> int | None:
        """`pieces` where embeddings can be trimmed: not under ZeRO-3."""
        return None if self.config.startswith("zero3") else self.pieces

    @property
    def tokens(self) -> int:
        """Of a micro-batch on one GPU, at full length."""
        return self.batch * self.choices * self.length

    def steps(self, devices: int = 1) -> int:
        """Micro-batches of one update on each GPU."""
        return max(1, self.effective // (self.batch * devices))


def config_of(hidden: int, layers: int, heads: int, vocabulary: int, **changes) -> XLMRobertaConfig:
    """XLM-R's architecture in the sizes of `SHAPES`, or in others."""
    return XLMRobertaConfig(
        vocab_size=vocabulary, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=4 * hidden,
        max_position_embeddings=514, pad_token_id=1, bos_token_id=0, eos_token_id=2, type_vocab_size=1, layer_norm_eps=1e-5, **changes,
    )  # fmt: skip


def trim(encoder, setting: Setting) -> None:
    """Leaves an encoder its first word embeddings, as a run is left those that occur in its data."""
    words = encoder.get_input_embeddings()
    if setting.trimmed and setting.trimmed < words.num_embeddings:
        encoder.set_input_embeddings(TrimmedEmbedding(words, torch.arange(setting.trimmed), setting.trimmed - 1))


def parameters_of(hidden, layers, heads, vocabulary, pieces: int | None = None) -> tuple[int, int, int]:
    """-> (all weights of the encoder with a two-layer head, word embeddings, of them `pieces`; weights of matrix products)"""
    words = min(vocabulary, pieces or vocabulary) * hidden
    products = layers * 12 * hidden**2 + hidden**2
    small = (514 + 1 + 2) * hidden + layers * 13 * hidden + 4 * hidden  # positions, types, norms, biases, head
    return words + products + small, words, products


def kept_per_token(hidden: int, setting: Setting, device: str = "cuda") -> tuple[int, int, int]:
    """Bytes that autograd keeps for each token of a batch. -> (by the embeddings, by a block, by a block that will be computed again)

    A block keeps 16 vectors of the hidden size: the input, q, k, v, the attention's output, the first norm's input and output, four
    and four around the activation function, the second norm's input; and two dropout masks (CUDA: a byte an element; CPU: as wide as
    the values). Autocast keeps the two norm inputs in fp32 and casts the block's input for q, k and v each on its own.
    """
    width = 2 if setting.bf16 else 4
    mask = 1 if device == "cuda" else width
    if setting.bf16 and not setting.config:
        return (4 + (1 if device == "cuda" else 4)) * hidden, (16 * 2 + 2 * 4 + 2 * mask) * hidden, 4 * hidden
    return (width + mask) * hidden, (16 * width + 2 * mask) * hidden, width * hidden


def moments(shape: str, setting: Setting, devices: int = 1, device: str = "cuda") -> tuple[dict[str, float], float]:
    """ESTIMATE of what is in memory when. -> ({moment: bytes on one GPU}, bytes of host memory)

    forward    its end, or right behind it: all activations are kept, beside gradients of earlier micro-batches and DeepSpeed's bucket
    recompute  (checkpointing) the last block's activations are there again
    backward   its end: the activations are gone, the word embeddings' gradient comes last and whole
    update     the optimiser's step
    device "cpu": host and GPU are one memory, as `--check` counts them.
    """
    hidden, layers, _, _ = SHAPES[shape]
    embedding, block, edge = (size * setting.tokens for size in kept_per_token(hidden, setting, device))
    # What a block's backward needs for a while: a fit to `dry_run` (19 to 28 bytes; 23 to 38; 28 to 60, the more the longer).
    passing = (20 if setting.checkpointing else 24 if setting.bf16 else 36) * hidden * setting.tokens
    copies = 2 * parameters_of(*SHAPES[shape])[2] if setting.bf16 and not setting.config else 0  # of weights, by autocast
    there = held(shape, setting, devices, device)
    kept = there.always + there.forward + embedding + layers * (edge if setting.checkpointing else block)
    found = {"forward": kept + copies + passing * (not setting.checkpointing)}
    if setting.checkpointing:
        found["recompute"] = kept + block + passing
    return found | {"backward": there.always + there.backward, "update": there.always + there.update}, there.host


class Held(NamedTuple):
    """Bytes beside the activations: always, and with it at the end of the forward pass, of backward, in the update; on the host."""

    always: float
    forward: float
    backward: float
    update: float
    host: float = 0.0


def held(shape: str, setting: Setting, devices: int, device: str) -> Held:
    """What the Trainer and DeepSpeed 0.19.8 hold, as read in their sources and counted."""
    hidden = SHAPES[shape][0]
    every, words, _ = parameters_of(*SHAPES[shape], setting.trimmed)
    trained, largest = (every - words, 4 * hidden**2) if setting.frozen else (every, words)
    width, again = 2 if setting.bf16 else 4, setting.steps(devices) > 1  # again: gradients of earlier micro-batches are there
    if not setting.config:
        states = 8 * trained if setting.optim == "adamw" else 2 * (every - words) + 8 * words * (not setting.frozen)
        gradients, buckets = 4 * trained, 4 * trained * (devices > 1)  # DDP's buckets hold the gradients once more
        return Held(4 * every + states + buckets, gradients * again, gradients + 4 * largest * again, gradients)
    own = trained / devices  # the part whose states this GPU has; of fp32 weights, too, DeepSpeed keeps an fp32 copy
    gradient, bucket, norm = width * largest, width * BUCKET, 8 * largest  # a gradient's norm is taken in float64
    for_update = width * own + 4 * own * setting.bf16  # the gradients laid flat, and in fp32
    is_apart = device == "cuda"
    if setting.config in ("zero1", "zero2"):
        kept = width * (own if setting.config == "zero2" else trained)
        backward = kept * (1 + (again and setting.config == "zero2")) + bucket + gradient  # of this micro-batch beside the earlier ones
        return Held(width * every + 12 * own, kept * again + bucket, backward, width * own + max(for_update, norm))
    if setting.config == "zero2_offload":  # on the GPU a gradient's buffer; on the host the same, and a copy of the weights
        pinned = 4 * own, 4 * own, width * own, gradient
        host = sum(map(pinned_size, pinned) if is_apart else pinned) + 8 * own + width * own * again
        # On an H200 it ran out of memory under a cap of 6 GB where this sum is 4.0, and fitted under 8; it is not known what else is there.
        # Trimmed, torch had allocated 4.3 (32 x 128) and 3.5 GB (8 x 384), the forward pass's end: no more than is known.
        unknown = 8 * SHAPES[shape][3] * hidden * is_apart
        in_bucket = largest <= BUCKET  # copied there, and itself gone
        return Held(width * every + gradient, bucket, bucket + gradient * (not in_bucket) + norm + unknown, 4 * own * is_apart, host)
    shared, bucket = width * every / devices, width * hidden**2
    if setting.config == "zero3":
        gathered = width * every * (devices > 1)  # all: stage3_max_live_parameters is more than XLM-R Large has
        return Held(shared + (12 + width) * own, gathered, gathered + bucket + gradient, max(for_update, norm / devices))
    pinned = shared, 4 * own, width * own
    host = sum(map(pinned_size, pinned) if is_apart else pinned) + 12 * own
    gathered, norm = width * every * is_apart, min(norm, 8 * 250_000_000) + gradient * is_apart  # in parts; of a copy
    return Held(0, gathered, gathered + bucket + gradient + norm, 0, host)


def pinned_size(size: float) -> float:
    """Bytes of host memory for a pinned tensor: torch rounds up to a power of two (ATen/core/CachingHostAllocator.h)."""
    return 2.0 ** math.ceil(math.log2(size))


def estimate(shape: str, setting: Setting, devices: int = 1) -> dict:
    """ESTIMATE for one GPU. -> {"peak": bytes with context and gaps, "at": the moment, "host": bytes of offloaded states}"""
    found, host = moments(shape, setting, devices)
    at = max(found, key=found.get)
    return {"peak": found[at] * GAPS + CONTEXT, "at": at, "host": host}
