"""Padding-free: the sequences of a batch laid end to end, each attending to itself alone. The same numbers from real tokens only.

The encoder reads one row of all real tokens, positions beginning anew with each sequence, and its hidden states are put back into the
padded layout. Heads, losses, decoding and the state dict do not know of it. Attention dropout is the model's own, as in the padded path.

Attention by device: CPU, one `scaled_dot_product_attention` for each sequence; CUDA in half precision (Ampere and later), kernels for
sequences laid end to end, triton_attention.py's where they are short and torch's flash kernel elsewhere; other CUDA, attention alone is
padded. (torch's memory-efficient kernel takes sequences laid end to end, too, but its backward pass drops other places than its forward
pass: seen on an H200, torch 2.11, fp32.)
The flash kernel is called as an operator. Its public ways are `varlen_attn`, which has no dropout, and jagged nested tensors, which take
milliseconds of Python for each layer (24 of them, forward and backward: five times the padded path's; torch 2.13). `set_up` compares model
and kernels with the padded path before a run relies on them.
"""

import functools
import importlib.util
import inspect

import torch
import torch.nn.functional as F
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations import is_deepspeed_zero3_enabled
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from console import say
from task_adapters.base import InputError

NAME = "padding_free"
SHORT = 128  # pieces of a sequence in the mean of a batch, up to which triton_attention.py is used: `benchmarks/attention.py`
TILED = set()  # (precision, width of a head) in which it was compared, and agrees
DTYPES = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}  # by accelerate's names of precisions


def attention(module, query, key, value, attention_mask, dropout=0.0, scaling=None, cu_seq_lens_q=None, layout=None, **kwargs):
    """transformers' attention interface. query, key, value: (1, heads, tokens, width). -> ((1, tokens, heads, width), None)

    cu_seq_lens_q  (sequences + 1,) int32: where sequences begin, and the end; without it the batch is a padded one.
    layout         of the padded batch: ((sequences, longest) bool: what is real, (tokens,) int: where each token stands in it, flattened).
    """
    if cu_seq_lens_q is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs)
    if query.device.type == "cpu":
        output = one_by_one(query, key, value, cu_seq_lens_q, dropout, scaling)
    elif has_flash(query.device, query.dtype):
        is_short = (query.dtype, query.shape[3]) in TILED and query.shape[2] <= SHORT * layout[0].shape[0]
        output = (tiles if is_short else flash)(query, key, value, cu_seq_lens_q, layout[0].shape[1], dropout, scaling)
    else:
        output = padded(query, key, value, *layout, dropout, scaling)
    return output, None


def one_by_one(query, key, value, starts, dropout, scaling):
    lengths = starts.diff().tolist()
    parts = zip(*(tensor.split(lengths, dim=2) for tensor in (query, key, value)))
    outputs = [F.scaled_dot_product_attention(*part, dropout_p=dropout, scale=scaling) for part in parts]
    return torch.cat(outputs, dim=2).transpose(1, 2)


def has_flash(device, dtype) -> bool:
    return dtype != torch.float32 and torch.cuda.get_device_capability(device) >= (8, 0)


def flash(query, key, value, starts, longest, dropout, scaling):
    """longest: of the sequences, or more; to ask for the number itself would make a GPU wait."""
    query, key, value = (tensor[0].transpose(0, 1) for tensor in (query, key, value))  # (tokens, heads, width)
    sequences = starts, starts, longest, longest
    return torch.ops.aten._flash_attention_forward(query, key, value, *sequences, dropout, False, False, scale=scaling)[0][None]


def padded(query, key, value, real, places, dropout, scaling):
    def apart(tensor):  # -> (sequences, heads, longest, width), zeros at padding
        rows = tensor[0].transpose(0, 1)
        return rows.new_zeros(real.numel(), *rows.shape[1:]).index_copy(0, places, rows).view(*real.shape, *rows.shape[1:]).transpose(1, 2)

    query, key, value = map(apart, (query, key, value))
    output = F.scaled_dot_product_attention(query, key, value, attn_mask=real[:, None, None], dropout_p=dropout, scale=scaling)
    return output.transpose(1, 2).flatten(0, 1)[places][None]


def tiles(query, key, value, starts, longest, dropout, scaling):
    """As `flash`, by the kernels for short sequences."""
    from speed.triton_attention import attention

    return attention(*(tensor[0].transpose(0, 1) for tensor in (query, key, value)), starts, longest, dropout, scaling)[None]


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)  # of batches that come padded


def packed_forward(encoder, padded_forward, input_ids=None, attention_mask=None, *, position_ids=None, return_dict=None, **kwargs):
    """The encoder's forward: (batch, length) in, (batch, length, width) out, zeros at padding. Unusual calls go the padded way.

    position_ids begin anew with each sequence: at 0, or behind the padding's own where the model's table has one (XLM-R: at 2).
    encoder.real_tokens: how many tokens of the batch are real, where the caller knows; for this call alone.
    """
    known, encoder.real_tokens = encoder.real_tokens, None
    unusual = attention_mask is None or attention_mask.dim() != 2 or position_ids is not None or input_ids is None
    if unusual or kwargs.get("output_hidden_states") or kwargs.get("output_attentions") or kwargs.get("inputs_embeds") is not None:
        return padded_forward(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, return_dict=return_dict, **kwargs
        )
    real = attention_mask.bool()
    # How many are real decides a shape. Where the host does not know it waits for the GPU (https://github.com/pytorch/pytorch/pull/141838).
    places = (real.flatten().nonzero() if known is None else real.flatten().nonzero_static(size=known)).squeeze(1)
    lengths = real.sum(1)
    starts = F.pad(lengths.cumsum(0), (1, 0)).to(torch.int32)
    first = encoder.embeddings.position_embeddings.padding_idx
    positions = real.cumsum(1) - 1 + (0 if first is None else first + 1)
    if kwargs.get("token_type_ids") is not None:
        kwargs["token_type_ids"] = kwargs["token_type_ids"].flatten()[places][None]
    outputs = padded_forward(
        input_ids=input_ids.flatten()[places][None],
        position_ids=positions.flatten()[places][None],
        cu_seq_lens_q=starts,
        layout=(real, places),
        return_dict=True,
        **kwargs,
    )
    hidden = outputs.last_hidden_state[0]
    outputs["last_hidden_state"] = hidden.new_zeros(real.numel(), hidden.shape[1]).index_copy(0, places, hidden).view(*real.shape, -1)
    if getattr(encoder, "pooler", None) is not None:
        outputs["pooler_output"] = encoder.pooler(outputs.last_hidden_state)
    return outputs


def set_up(encoder, wanted: str, device, precisions: set[str], is_uneven=lambda: False) -> None:
    """Makes `encoder`, still on the CPU and in fp32, read its batches without padding.

    wanted      "on": raises InputError where it cannot, or not exactly; "auto": where it can, on a GPU, on a CPU if `is_uneven`; "off".
    device      that it will run on; precisions: in which, names of `DTYPES`.
    is_uneven   asked whether batches hold much padding that no order of the examples mends (`real_tokens.choices_are_uneven`).
    """
    if wanted == "off" or (wanted == "auto" and device.type != "cuda" and not (device.type == "cpu" and is_uneven())):
        return
    reason = against_model(encoder)
    for precision in precisions if device.type != "cpu" else ():
        if reason is None and has_flash(device, DTYPES[precision]):
            reason = against_kernel(flash, encoder.config, device, DTYPES[precision])
            if reason is None:
                offer_tiles(encoder.config, device, DTYPES[precision])
    reason = reason or pack(encoder)
    if reason and wanted == "on":
        raise InputError(f"--padding_free on: {reason}.")
    if reason:
        say(f"with padding: {reason}")


def is_packed(encoder) -> bool:
    return encoder.config._attn_implementation == NAME


def packed_encoder(model):
    """The encoder inside a model that reads its batches without padding; None where there is none."""
    return next((module for module in model.modules() if "real_tokens" in vars(module) and is_packed(module)), None)


def against_model(encoder) -> str | None:
    """What in the architecture stands against it; None where nothing does."""
    kind = type(encoder).__name__
    if is_deepspeed_zero3_enabled():
        return "under ZeRO-3 a model cannot be tried before it is trained"
    if not encoder._supports_attention_backend or "position_ids" not in inspect.signature(encoder.forward).parameters:
        return f"the attention of {kind} cannot be replaced"
    if not hasattr(getattr(encoder, "embeddings", None), "position_embeddings"):
        return f"{kind} has no table of positions"
    if set(getattr(encoder.config, "layer_types", None) or ["full_attention"]) != {"full_attention"}:
        return f"{kind} does not attend to whole sequences"
    return None


def pack(encoder) -> str | None:
    """Replaces attention and forward, if two sequences come out as before. -> what stands against it"""
    before, padded_forward = encoder.config._attn_implementation, encoder.forward
    expected = two_sequences(encoder)
    encoder.real_tokens = None
    encoder.set_attn_implementation(NAME)
    encoder.forward = functools.wraps(padded_forward)(functools.partial(packed_forward, encoder, padded_forward))
    off = float((two_sequences(encoder) - expected).norm() / expected.norm())
    if off <= 1e-4:
        return None
    encoder.set_attn_implementation(before)
    del encoder.forward
    return f"the hidden states of {type(encoder).__name__} come out otherwise (by {off:.1%})"


@torch.no_grad()
def two_sequences(encoder):
    """Hidden states of a batch of 7 and 4 pieces, (11, width)."""
    pad, training = encoder.config.pad_token_id or 0, encoder.training
    ids = torch.tensor([piece for piece in range(15) if piece != pad][:14], device=encoder.device).view(2, 7)
    mask = torch.ones_like(ids)
    ids[1, 4:], mask[1, 4:] = pad, 0
    hidden = encoder.eval()(input_ids=ids, attention_mask=mask).last_hidden_state[mask.bool()]
    encoder.train(training)
    return hidden


def offer_tiles(config, device, dtype) -> None:
    """Short sequences get their own kernels, where Triton is there and can compile them, and they are exact."""
    width = config.hidden_size // config.num_attention_heads
    if importlib.util.find_spec("triton") is None or width not in (16, 32, 64, 128):
        return
    try:
        reason = against_kernel(tiles, config, device, dtype)
    except Exception as error:  # no C compiler, a GPU that Triton does not know: it has errors of many kinds for them, and flash goes on
        reason = f"{type(error).__name__}: {(str(error).strip() or 'no reason given').splitlines()[0]}"
    if reason:
        say(f"attention of short sequences by torch's flash kernel, not by Triton's: {reason}")
    else:
        TILED.add((dtype, width))


def against_kernel(kernel, config, device, dtype) -> str | None:
    """What stands against `flash`, or `tiles`, on this device: missing, or not one attention for each sequence. None: nothing."""
    heads = config.num_attention_heads
    draw, starts = torch.Generator(device).manual_seed(0), torch.tensor([0, 5, 75, 96], dtype=torch.int32, device=device)
    shape, scaling = (4, 1, heads, 96, config.hidden_size // heads), (config.hidden_size // heads) ** -0.5
    *inputs, weights = torch.randn(shape, generator=draw, device=device).to(dtype)

    def output_and_gradients(kernel, dtype, *longest, dropout=0.0):
        leaves = [tensor.detach().to(dtype).requires_grad_() for tensor in inputs]
        output = kernel(*leaves, starts, *longest, dropout, scaling).transpose(1, 2)
        return torch.stack([output.detach(), *torch.autograd.grad((output * weights).sum(), leaves)]).float()

    expected = output_and_gradients(one_by_one, torch.float32)
    try:
        found = output_and_gradients(kernel, dtype, 70)
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(0)
            dropped, *_, of_values = output_and_gradients(kernel, dtype, 70, dropout=0.5)
            query, key, whole = inputs[0], inputs[1], torch.ones_like(inputs[2])
            left = kernel(query, key, whole, starts, 70, 0.5, scaling).float()  # of each token's attention, 1 in the mean
            expected_left = one_by_one(query.float(), key.float(), whole.float(), starts, 0.5, scaling)
    except RuntimeError as error:
        return f"this device has no kernel for it ({str(error).strip().splitlines()[0]})"
    off = float((found - expected).norm() / expected.norm())
    if not off <= 2e-2:
        return f"the kernel for sequences laid end to end gives other numbers on this device (by {off:.1%})"
    # The output is linear in the values: with the forward pass's own mask, their product with the gradient is the output's with `weights`.
    products, back = dropped * weights.float(), of_values * inputs[2].float()
    if not abs(float(products.sum() - back.sum())) <= 0.05 * float(products.norm()):
        return "attention dropout of the kernel has another mask in the backward pass on this device"
    if not (abs(float(left.mean()) - 1) < 0.1 and abs(float(left.std() / expected_left.std()) - 1) < 0.25):
        return "attention dropout of the kernel has no effect on this device, or a wrong one"
    return None
