"""Padding-free: the sequences of a batch laid end to end, each attending to itself alone. The same numbers, computed from real tokens only.

The encoder reads one row with all real tokens; positions begin anew with each sequence. Afterwards the hidden states are put back into the
padded layout, so heads, losses, decoding and the state dict are those of a padded model. Attention dropout is the model's own.

How attention is computed depends on the device:
- CPU: one `scaled_dot_product_attention` for each sequence.
- CUDA in half precision, Ampere and later: kernels for sequences laid end to end. Short sequences use triton_attention.py, others torch's
  flash kernel.
- other CUDA devices and precisions: attention alone is padded. (torch's memory-efficient kernel takes sequences laid end to end too, but
  its backward pass drops other positions than its forward pass: seen on an H200 with torch 2.11 in fp32.)

The flash kernel is called as an operator. torch's public ways to it do not serve: `varlen_attn` has no dropout, and jagged nested tensors
spend more time in Python than the padded model in all (`benchmarks/attention.py`). `set_up` therefore compares the encoder and the kernels
with the padded computation before a run relies on them.
"""

import functools
import importlib.util
import inspect
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedConfig, PreTrainedModel
from transformers.integrations import is_deepspeed_zero3_enabled
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from console import say
from task_adapters.base import InputError

NAME = "padding_free"
SHORT = 128  # mean tokens per sequence of a batch up to which triton_attention.py is faster: `benchmarks/attention.py`
DTYPES = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}  # accelerate's names of precisions


class Layout(NamedTuple):
    """The padded batch that a row of real tokens was taken from.

    is_real        (sequences, longest) bool: False at padding.
    positions      (tokens,) int: the position of each real token in the padded batch, flattened.
    triton_dtypes  the precisions in which triton_attention.py may be used.
    """

    is_real: torch.Tensor
    positions: torch.Tensor
    triton_dtypes: tuple[torch.dtype, ...] = ()


# ---- attention


def attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    layout: Layout | None = None,
    **kwargs,
) -> tuple[torch.Tensor, None]:
    """transformers' attention interface. query, key, value: (1, heads, tokens, width). -> ((1, tokens, heads, width), None)

    cu_seq_lens_q  (sequences + 1,) int32: the first token of each sequence, and the number of tokens. None: the batch is padded.
    layout         the `Layout` of the padded batch.
    """
    if cu_seq_lens_q is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs)
    sequences, longest = layout.is_real.shape
    if query.device.type == "cpu":
        output = one_by_one(query, key, value, cu_seq_lens_q, dropout, scaling)
    elif has_flash(query.device, query.dtype):
        is_short = query.dtype in layout.triton_dtypes and query.shape[2] <= SHORT * sequences
        output = (by_triton if is_short else flash)(query, key, value, cu_seq_lens_q, longest, dropout, scaling)
    else:
        output = padded(query, key, value, layout.is_real, layout.positions, dropout, scaling)
    return output, None


def one_by_one(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, starts: torch.Tensor, dropout: float, scaling: float | None
) -> torch.Tensor:
    lengths = starts.diff().tolist()
    parts = zip(*(tensor.split(lengths, dim=2) for tensor in (query, key, value)))
    outputs = [F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=scaling) for q, k, v in parts]
    return torch.cat(outputs, dim=2).transpose(1, 2)


def has_flash(device: torch.device, dtype: torch.dtype) -> bool:
    return dtype != torch.float32 and torch.cuda.get_device_capability(device) >= (8, 0)


def flash(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, starts: torch.Tensor, longest: int, dropout: float, scaling: float | None
) -> torch.Tensor:
    """longest: the longest sequence's tokens, or more. (The host would have to wait for a GPU to know the exact number.)"""
    query, key, value = (tensor[0].transpose(0, 1) for tensor in (query, key, value))  # (tokens, heads, width)
    sequences = starts, starts, longest, longest
    return torch.ops.aten._flash_attention_forward(query, key, value, *sequences, dropout, False, False, scale=scaling)[0][None]


def padded(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    is_real: torch.Tensor,
    positions: torch.Tensor,
    dropout: float,
    scaling: float | None,
) -> torch.Tensor:
    def to_padded(tensor):  # -> (sequences, heads, longest, width), zeros at padding
        tokens = tensor[0].transpose(0, 1)
        rows = tokens.new_zeros(is_real.numel(), *tokens.shape[1:]).index_copy(0, positions, tokens)
        return rows.view(*is_real.shape, *tokens.shape[1:]).transpose(1, 2)

    query, key, value = map(to_padded, (query, key, value))
    output = F.scaled_dot_product_attention(query, key, value, attn_mask=is_real[:, None, None], dropout_p=dropout, scale=scaling)
    return output.transpose(1, 2).flatten(0, 1)[positions][None]


def by_triton(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, starts: torch.Tensor, longest: int, dropout: float, scaling: float | None
) -> torch.Tensor:
    """As `flash`, by the kernels for short sequences."""
    from speed.triton_attention import attention  # Triton is not installed everywhere

    query, key, value = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    return attention(query, key, value, starts, longest, dropout, scaling)[None]


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)  # for batches that stay padded


# ---- the encoder


class PackedForward:
    """Takes the place of an encoder's forward pass: (batch, length) in, (batch, length, width) out, zeros at padding.

    Calls that packing cannot serve (other masks, all hidden states, embeddings instead of ids) go through the padded forward pass.

    triton_dtypes  the precisions in which triton_attention.py may be used.
    """

    def __init__(self, encoder, triton_dtypes: tuple[torch.dtype, ...] = ()):
        functools.update_wrapper(self, encoder.forward)  # transformers looks at the signature
        self.encoder, self.padded_forward, self.triton_dtypes = encoder, encoder.forward, triton_dtypes
        self.real_tokens = None

    def expect(self, real_tokens: int) -> None:
        """Says how many tokens of the next batch are real. Otherwise the host has to wait for the GPU to count them."""
        self.real_tokens = real_tokens

    def __call__(self, input_ids=None, attention_mask=None, *, position_ids=None, return_dict=None, **kwargs):
        real_tokens, self.real_tokens = self.real_tokens, None  # said for this call alone
        is_unusual = attention_mask is None or attention_mask.dim() != 2 or position_ids is not None or input_ids is None
        if is_unusual or kwargs.get("output_hidden_states") or kwargs.get("output_attentions") or kwargs.get("inputs_embeds") is not None:
            return self.padded_forward(
                input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, return_dict=return_dict, **kwargs
            )
        is_real = attention_mask.bool()
        # The number of real tokens is a shape, which the host must know (https://github.com/pytorch/pytorch/pull/141838).
        positions = is_real.flatten()
        positions = (positions.nonzero() if real_tokens is None else positions.nonzero_static(size=real_tokens)).squeeze(1)
        starts = F.pad(is_real.sum(1).cumsum(0), (1, 0)).to(torch.int32)
        if kwargs.get("token_type_ids") is not None:
            kwargs["token_type_ids"] = kwargs["token_type_ids"].flatten()[positions][None]
        outputs = self.padded_forward(
            input_ids=input_ids.flatten()[positions][None],
            position_ids=self.position_ids(is_real).flatten()[positions][None],
            cu_seq_lens_q=starts,
            layout=Layout(is_real, positions, self.triton_dtypes),
            return_dict=True,
            **kwargs,
        )
        hidden = outputs.last_hidden_state[0]
        hidden = hidden.new_zeros(is_real.numel(), hidden.shape[1]).index_copy(0, positions, hidden)
        outputs["last_hidden_state"] = hidden.view(*is_real.shape, -1)
        if getattr(self.encoder, "pooler", None) is not None:
            outputs["pooler_output"] = self.encoder.pooler(outputs.last_hidden_state)
        return outputs

    def position_ids(self, is_real: torch.Tensor) -> torch.Tensor:
        """(sequences, longest): from 0 in each sequence, or from the id behind the padding's where the table has one (XLM-R: from 2)."""
        padding_id = self.encoder.embeddings.position_embeddings.padding_idx
        return is_real.cumsum(1) - 1 + (0 if padding_id is None else padding_id + 1)


def packed_forward_of(model: torch.nn.Module) -> PackedForward | None:
    """The forward pass of the encoder inside `model`, where it reads its batches without padding; None where there is none."""
    forwards = (vars(module).get("forward") for module in model.modules())
    return next((forward for forward in forwards if isinstance(forward, PackedForward)), None)


def is_packed(encoder: PreTrainedModel) -> bool:
    return encoder.config._attn_implementation == NAME


# ---- setting up


def set_up(
    encoder: PreTrainedModel,
    wanted: str,
    device: torch.device,
    precisions: set[str],
    is_uneven: Callable[[], bool] = lambda: False,
    has_noise: bool = False,
) -> None:
    """Makes `encoder`, still on the CPU and in fp32, read its batches without padding.

    wanted      "on": raises InputError where that is impossible or not exact. "auto": on a GPU where it is possible, on a CPU if
                `is_uneven`. "off".
    device      the device that the encoder will run on; precisions: those it will run in, names of `DTYPES`.
    is_uneven   asked whether batches hold much padding whatever the order of the examples (`real_tokens.choices_are_uneven`).
    has_noise   whether training adds noise to the embeddings (`--neftune_noise_alpha`).
    """
    if wanted == "off" or (wanted == "auto" and device.type != "cuda" and not (device.type == "cpu" and is_uneven())):
        return
    reason = why_not_model(encoder, has_noise)
    triton_dtypes = []
    for dtype in [DTYPES[precision] for precision in precisions] if device.type != "cpu" else ():
        if reason is None and has_flash(device, dtype):
            reason = why_not_kernel(flash, encoder.config, device, dtype)
            if reason is None and triton_is_exact(encoder.config, device, dtype):
                triton_dtypes.append(dtype)
    reason = reason or pack(encoder, tuple(triton_dtypes))
    if reason and wanted == "on":
        raise InputError(f"--padding_free on: {reason}.")
    if reason:
        say(f"with padding: {reason}")


def why_not_model(encoder: PreTrainedModel, has_noise: bool = False) -> str | None:
    """Why this encoder cannot read without padding; None where it can. has_noise: as for `set_up`."""
    name = type(encoder).__name__
    if has_noise:  # transformers scales the noise by the length of a row, and without padding all sequences are one row
        return "--neftune_noise_alpha would have smaller noise without padding"
    if is_deepspeed_zero3_enabled():
        return "under ZeRO-3 a model cannot be tried before it is trained"
    if not encoder._supports_attention_backend or "position_ids" not in inspect.signature(encoder.forward).parameters:
        return f"the attention of {name} cannot be replaced"
    if not hasattr(getattr(encoder, "embeddings", None), "position_embeddings"):
        return f"{name} has no table of positions"
    if set(getattr(encoder.config, "layer_types", None) or ["full_attention"]) != {"full_attention"}:
        return f"{name} does not attend to whole sequences"
    return None


def pack(encoder: PreTrainedModel, triton_dtypes: tuple[torch.dtype, ...] = ()) -> str | None:
    """Replaces attention and forward pass, if two sequences have the same hidden states as before. -> the reason where they have not"""
    implementation, expected = encoder.config._attn_implementation, two_sequences(encoder)
    encoder.set_attn_implementation(NAME)
    encoder.forward = PackedForward(encoder, triton_dtypes)
    difference = float((two_sequences(encoder) - expected).norm() / expected.norm())
    if difference <= 1e-4:
        return None
    encoder.set_attn_implementation(implementation)
    del encoder.forward
    return f"the hidden states of {type(encoder).__name__} come out otherwise (by {difference:.1%})"


@torch.no_grad()
def two_sequences(encoder: PreTrainedModel) -> torch.Tensor:
    """Hidden states of a batch of 7 and 4 tokens, (11, width)."""
    pad, training = encoder.config.pad_token_id or 0, encoder.training
    ids = torch.tensor([token for token in range(15) if token != pad][:14], device=encoder.device).view(2, 7)
    mask = torch.ones_like(ids)
    ids[1, 4:], mask[1, 4:] = pad, 0
    hidden = encoder.eval()(input_ids=ids, attention_mask=mask).last_hidden_state[mask.bool()]
    encoder.train(training)
    return hidden


def triton_is_exact(config: PreTrainedConfig, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether triton_attention.py can be used for short sequences: Triton is installed, can compile the kernels, and they are exact."""
    width = config.hidden_size // config.num_attention_heads
    if importlib.util.find_spec("triton") is None or width not in (16, 32, 64, 128):
        return False
    try:
        reason = why_not_kernel(by_triton, config, device, dtype)
    except Exception as error:  # Triton raises errors of many kinds: no C compiler, a GPU that it does not know. Flash serves then.
        reason = f"{type(error).__name__}: {(str(error).strip() or 'no reason given').splitlines()[0]}"
    if reason:
        say(f"attention of short sequences by torch's flash kernel, not by Triton's: {reason}")
    return reason is None


def why_not_kernel(kernel: Callable[..., torch.Tensor], config: PreTrainedConfig, device: torch.device, dtype: torch.dtype) -> str | None:
    """Why `flash` or `by_triton` cannot be used on this device: missing, or other numbers than one attention for each sequence."""
    heads = config.num_attention_heads
    generator, starts = torch.Generator(device).manual_seed(0), torch.tensor([0, 5, 75, 96], dtype=torch.int32, device=device)
    shape, scaling = (4, 1, heads, 96, config.hidden_size // heads), (config.hidden_size // heads) ** -0.5
    *inputs, weights = torch.randn(shape, generator=generator, device=device).to(dtype)

    def output_and_gradients(kernel, dtype, *longest, dropout=0.0):
        leaves = [tensor.detach().to(dtype).requires_grad_() for tensor in inputs]
        output = kernel(*leaves, starts, *longest, dropout, scaling).transpose(1, 2)
        return torch.stack([output.detach(), *torch.autograd.grad((output * weights).sum(), leaves)]).float()

    expected = output_and_gradients(one_by_one, torch.float32)
    try:
        outputs = output_and_gradients(kernel, dtype, 70)
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(0)
            dropped, *_, value_gradient = output_and_gradients(kernel, dtype, 70, dropout=0.5)
            # With values of 1 the output is what dropout leaves of each token's attention: 1 in the mean.
            query, key, ones = inputs[0], inputs[1], torch.ones_like(inputs[2])
            left = kernel(query, key, ones, starts, 70, 0.5, scaling).float()
            expected_left = one_by_one(query.float(), key.float(), ones.float(), starts, 0.5, scaling)
    except RuntimeError as error:
        return f"this device has no kernel for it ({str(error).strip().splitlines()[0]})"
    difference = float((outputs - expected).norm() / expected.norm())
    if not difference <= 2e-2:
        return f"the kernel for sequences laid end to end gives other numbers on this device (by {difference:.1%})"
    # The output is linear in the values. If the backward pass drops the same positions as the forward pass, then the sums of
    # output x weights and of values x their gradient are equal.
    forward_products, backward_products = dropped * weights.float(), value_gradient * inputs[2].float()
    if not abs(float(forward_products.sum() - backward_products.sum())) <= 0.05 * float(forward_products.norm()):
        return "attention dropout of the kernel has another mask in the backward pass on this device"
    if not (abs(float(left.mean()) - 1) < 0.1 and abs(float(left.std() / expected_left.std()) - 1) < 0.25):
        return "attention dropout of the kernel has no effect on this device, or a wrong one"
    return None
