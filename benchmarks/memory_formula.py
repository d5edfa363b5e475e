"""Formulas for the contents of a GPU's memory at the moments of a training step: `moments` and `estimate`. benchmarks/memory.py uses them.

`python benchmarks/memory.py --check` compares the formulas with the memory that torch and DeepSpeed use on a CPU. On a GPU
`python benchmarks/memory.py` prints measured memory next to the estimates.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from transformers import TrainingArguments, XLMRobertaConfig

from speed.trimmed_embeddings import TrimmedEmbedding

GIB = 2**30
NAMES = "activation_checkpointing", "gradient_checkpointing"  # transformers 5.17 has the second name.
CHECKPOINTING = next(name for name in NAMES if name in TrainingArguments.__dataclass_fields__)
# Two parts that the formulas do not include: CUDA's context and libraries, and gaps of torch's allocator ("Memory" in
# benchmarks/README.md).
CONTEXT, GAPS = 0.6 * GIB, 1.08
SHAPES = {  # hidden size, layers, heads, vocabulary
    "xlmr-large": (1024, 24, 16, 250002),
    "xlmr-base": (768, 12, 12, 250002),
    "small": (256, 4, 4, 250002),
}
# The number of XLM-R's 250,002 pieces that occur in a task's data, so that their embeddings are trained (trimmed_embeddings.py). This is a
# high guess, because XLM-R's tokenizer was not available. A run prints the true number in its first lines.
PIECES = 80_000
ZERO = ("zero1", "zero2", "zero2_offload", "zero3", "zero3_offload")
BUCKET = 50_000_000  # reduce_bucket_size and allgather_bucket_size in ds_configs/.


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
    effective: int = 32  # Examples in one update, over all GPUs.
    choices: int = 1  # Sequences in one example: the number of choices in multiple choice.
    pieces: int | None = PIECES  # The number of pieces whose embeddings are on the GPU; None: all.

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
        """`pieces`, or None under ZeRO-3, where embeddings cannot be trimmed."""
        return None if self.config.startswith("zero3") else self.pieces

    @property
    def tokens(self) -> int:
        """Tokens of a micro-batch on one GPU, at full length."""
        return self.batch * self.choices * self.length

    def steps(self, devices: int = 1) -> int:
        """Micro-batches of one update on each GPU."""
        return max(1, self.effective // (self.batch * devices))


def config_of(hidden: int, layers: int, heads: int, vocabulary: int, **changes) -> XLMRobertaConfig:
    """Returns a configuration of XLM-R's architecture with these sizes."""
    return XLMRobertaConfig(
        vocab_size=vocabulary, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=4 * hidden,
        max_position_embeddings=514, pad_token_id=1, bos_token_id=0, eos_token_id=2, type_vocab_size=1, layer_norm_eps=1e-5, **changes,
    )  # fmt: skip


def trim(encoder, setting: Setting) -> None:
    """Trims an encoder to its first word embeddings, as a run trims it to the embeddings of the pieces in its data."""
    words = encoder.get_input_embeddings()
    if setting.trimmed and setting.trimmed < words.num_embeddings:
        encoder.set_input_embeddings(TrimmedEmbedding(words, torch.arange(setting.trimmed), setting.trimmed - 1))


def parameters_of(hidden, layers, heads, vocabulary, pieces: int | None = None) -> tuple[int, int, int]:
    """Returns (all weights of the encoder with a two-layer head, weights of word embeddings, weights of matrix products).

    pieces: only so many word embeddings are counted; None: all.
    """
    words = min(vocabulary, pieces or vocabulary) * hidden
    products = layers * 12 * hidden**2 + hidden**2
    other_weights = (514 + 1 + 2) * hidden + layers * 13 * hidden + 4 * hidden  # positions, types, norms, biases, head
    return words + products + other_weights, words, products


def kept_per_token(hidden: int, setting: Setting, device: str = "cuda") -> tuple[int, int, int]:
    """Returns the bytes that autograd keeps for each token: (by the embeddings, by a block, by a block with checkpointing).

    A block keeps 16 vectors of the hidden size: the input, q, k, v, the attention's output, the first norm's input and output, four
    before and four after the activation function, and the second norm's input. It also keeps two dropout masks, with one byte per element
    on CUDA and the width of the values on a CPU. Autocast keeps the two norm inputs in fp32, and casts the block's input three times, for
    q, k and v.
    """
    width = 2 if setting.bf16 else 4
    mask = 1 if device == "cuda" else width
    if setting.bf16 and not setting.config:
        return (4 + (1 if device == "cuda" else 4)) * hidden, (16 * 2 + 2 * 4 + 2 * mask) * hidden, 4 * hidden
    return (width + mask) * hidden, (16 * width + 2 * mask) * hidden, width * hidden


def moments(shape: str, setting: Setting, devices: int = 1, device: str = "cuda") -> tuple[dict[str, float], float]:
    """Returns an ESTIMATE of memory: ({moment: bytes on one GPU}, bytes of host memory).

    forward    end of the forward pass: memory holds all activations, the gradients of earlier micro-batches and DeepSpeed's bucket
    recompute  (with checkpointing) the activations of the last block have been computed again
    backward   end of the backward pass: the activations are freed; the gradient of the word embeddings comes last
    update     the optimiser's step
    device: with "cpu", host and GPU are one memory, as `--check` counts them.
    """
    hidden, layers, _, _ = SHAPES[shape]
    embedding, block, edge = (size * setting.tokens for size in kept_per_token(hidden, setting, device))
    # Temporary memory of one block's backward pass, fitted to `dry_run` ("Memory" in benchmarks/README.md).
    temporary = (20 if setting.checkpointing else 24 if setting.bf16 else 36) * hidden * setting.tokens
    weight_copies = 2 * parameters_of(*SHAPES[shape])[2] if setting.bf16 and not setting.config else 0  # autocast's bf16 copies
    states = state_memory(shape, setting, devices, device)
    kept = states.always + states.forward + embedding + layers * (edge if setting.checkpointing else block)
    sizes = {"forward": kept + weight_copies + temporary * (not setting.checkpointing)}
    if setting.checkpointing:
        sizes["recompute"] = kept + block + temporary
    return sizes | {"backward": states.always + states.backward, "update": states.always + states.update}, states.host


class StateMemory(NamedTuple):
    """Bytes of weights, gradients, optimiser states and buffers, without activations.

    always                     on the GPU during the whole step
    forward, backward, update  on the GPU in addition, at the end of the forward pass, at the end of the backward pass, in the update
    host                       on the host
    """

    always: float
    forward: float
    backward: float
    update: float
    host: float = 0.0


def state_memory(shape: str, setting: Setting, devices: int, device: str) -> StateMemory:
    """Returns the memory of the Trainer's and DeepSpeed 0.19.8's states, by formulas from their source code."""
    hidden = SHAPES[shape][0]
    weights, words, _ = parameters_of(*SHAPES[shape], setting.trimmed)
    trained, largest = (weights - words, 4 * hidden**2) if setting.frozen else (weights, words)
    width, accumulates = 2 if setting.bf16 else 4, setting.steps(devices) > 1  # Memory holds gradients of earlier micro-batches.
    if not setting.config:
        states = 8 * trained if setting.optim == "adamw" else 2 * (weights - words) + 8 * words * (not setting.frozen)
        gradients, buckets = 4 * trained, 4 * trained * (devices > 1)  # DDP's buckets are a second copy of the gradients.
        return StateMemory(4 * weights + states + buckets, gradients * accumulates, gradients + 4 * largest * accumulates, gradients)
    shard = trained / devices  # The part whose states are on this GPU. DeepSpeed keeps an fp32 copy even of fp32 weights.
    gradient, bucket, norm = width * largest, width * BUCKET, 8 * largest  # DeepSpeed computes a gradient's norm in float64.
    for_update = width * shard + 4 * shard * setting.bf16  # The gradients in one flat tensor, and their fp32 copy.
    is_apart = device == "cuda"
    if setting.config in ("zero1", "zero2"):
        kept = width * (shard if setting.config == "zero2" else trained)
        # ZeRO-2 keeps the gradients of this micro-batch and of the earlier ones at the same time.
        backward = kept * (1 + (accumulates and setting.config == "zero2")) + bucket + gradient
        return StateMemory(width * weights + 12 * shard, kept * accumulates + bucket, backward, width * shard + max(for_update, norm))
    if setting.config == "zero2_offload":  # The GPU has a buffer for a gradient. The host has the same buffer and a copy of the weights.
        pinned = 4 * shard, 4 * shard, width * shard, gradient
        host = sum(map(pinned_size, pinned) if is_apart else pinned) + 8 * shard + width * shard * accumulates
        # With all embeddings a run needs more than this sum, and the reason is not known ("Memory" in benchmarks/README.md).
        unknown = 8 * SHAPES[shape][3] * hidden * is_apart
        in_bucket = largest <= BUCKET  # The gradient is then copied into the bucket and freed.
        backward = bucket + gradient * (not in_bucket) + norm + unknown
        return StateMemory(width * weights + gradient, bucket, backward, 4 * shard * is_apart, host)
    shared, bucket = width * weights / devices, width * hidden**2
    if setting.config == "zero3":
        gathered = width * weights * (devices > 1)  # All weights: stage3_max_live_parameters is more than XLM-R Large has.
        return StateMemory(shared + (12 + width) * shard, gathered, gathered + bucket + gradient, max(for_update, norm / devices))
    pinned = shared, 4 * shard, width * shard
    host = sum(map(pinned_size, pinned) if is_apart else pinned) + 12 * shard
    gathered = width * weights * is_apart
    norm = min(norm, 8 * 250_000_000) + gradient * is_apart  # DeepSpeed computes the norm in parts, from a copy of the gradient.
    return StateMemory(0, gathered, gathered + bucket + gradient + norm, 0, host)


def pinned_size(size: float) -> float:
    """Returns the bytes of host memory for a pinned tensor. torch rounds up to a power of two (ATen/core/CachingHostAllocator.h)."""
    return 2.0 ** math.ceil(math.log2(size))


def estimate(shape: str, setting: Setting, devices: int = 1) -> dict:
    """Returns an ESTIMATE for one GPU: {"peak": bytes with context and gaps, "at": the moment, "host": bytes of offloaded states}."""
    sizes, host = moments(shape, setting, devices)
    at = max(sizes, key=sizes.get)
    return {"peak": sizes[at] * GAPS + CONTEXT, "at": at, "host": host}
