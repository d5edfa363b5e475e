"""Padding-free: the sequences of a batch laid end to end, each attending to itself alone. The same numbers from real tokens only.

The encoder reads one row of all real tokens, positions beginning anew with each sequence, and its hidden states are put back into the
padded layout. Heads, losses, decoding and the state dict do not know of it. Attention dropout is the model's own, as in the padded path.

Attention by device: CPU, one `scaled_dot_product_attention` for each sequence; CUDA, variable-length kernels of torch: `varlen_attn`
(half precision, no dropout argument: scoring), else `scaled_dot_product_attention` of jagged nested tensors, whose flash and
memory-efficient kernels take dropout (training). `set_up` compares model and kernels with the padded path before a run relies on them.
"""

import functools
import inspect

import torch
import torch.nn.functional as F
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations import is_deepspeed_zero3_enabled
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from arguments import say
from task_adapters.base import InputError

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # before torch 2.10
    varlen_attn = None

NAME = "padding_free"


def attention(module, query, key, value, attention_mask, dropout=0.0, scaling=None, cu_seq_lens_q=None, max_length_q=None, **kwargs):
    """transformers' attention interface. query, key, value: (1, heads, tokens, width). -> ((1, tokens, heads, width), None)

    cu_seq_lens_q  (sequences + 1,) int32: where sequences begin, and the end; without it the batch is a padded one.
    """
    if cu_seq_lens_q is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs)
    if query.device.type == "cpu":
        output = one_by_one(query, key, value, cu_seq_lens_q, dropout, scaling)
    else:
        output = by_kernel(query, key, value, cu_seq_lens_q, max_length_q, dropout, scaling)
    return output, None


def one_by_one(query, key, value, starts, dropout, scaling):
    lengths = starts.diff().tolist()
    parts = zip(*(tensor.split(lengths, dim=2) for tensor in (query, key, value)))
    outputs = [F.scaled_dot_product_attention(*part, dropout_p=dropout, scale=scaling) for part in parts]
    return torch.cat(outputs, dim=2).transpose(1, 2)


def by_kernel(query, key, value, starts, longest, dropout, scaling):
    kernel = varlen if dropout == 0 and has_varlen(query.device, query.dtype) else nested
    return kernel(query, key, value, starts, longest, dropout, scaling)


def has_varlen(device, dtype) -> bool:
    """Whether there is `varlen_attn`: a flash kernel, of half precision, for Ampere and later."""
    is_half = dtype in (torch.float16, torch.bfloat16)
    return varlen_attn is not None and is_half and device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def varlen(query, key, value, starts, longest, dropout, scaling):
    query, key, value = (tensor[0].transpose(0, 1) for tensor in (query, key, value))  # (tokens, heads, width)
    return varlen_attn(query, key, value, starts, starts, longest, longest, scale=scaling)[None]


def nested(query, key, value, starts, longest, dropout, scaling):
    jagged = [
        torch.nested.nested_tensor_from_jagged(tensor[0].transpose(0, 1).contiguous(), starts, min_seqlen=1, max_seqlen=longest)
        for tensor in (query, key, value)
    ]
    output = F.scaled_dot_product_attention(*(tensor.transpose(1, 2) for tensor in jagged), dropout_p=dropout, scale=scaling)
    return output.transpose(1, 2).values()[None]


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)  # of batches that come padded


def packed_forward(encoder, padded_forward, input_ids=None, attention_mask=None, *, position_ids=None, return_dict=None, **kwargs):
    """The encoder's forward: (batch, length) in, (batch, length, width) out, zeros at padding. Unusual calls go the padded way.

    position_ids begin anew with each sequence: at 0, or behind the padding's own where the model's table has one (XLM-R: at 2).
    """
    unusual = attention_mask is None or attention_mask.dim() != 2 or position_ids is not None or input_ids is None
    if unusual or kwargs.get("output_hidden_states") or kwargs.get("output_attentions") or kwargs.get("inputs_embeds") is not None:
        return padded_forward(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, return_dict=return_dict, **kwargs
        )
    real = attention_mask.bool()
    places = real.flatten().nonzero().squeeze(1)
    lengths = real.sum(1)
    starts = F.pad(lengths.cumsum(0), (1, 0)).to(torch.int32)
    first = encoder.embeddings.position_embeddings.padding_idx
    positions = real.cumsum(1) - 1 + (0 if first is None else first + 1)
    if kwargs.get("token_type_ids") is not None:
        kwargs["token_type_ids"] = kwargs["token_type_ids"].flatten()[places][None]
    longest = int(lengths.max())
    outputs = padded_forward(
        input_ids=input_ids.flatten()[places][None],
        position_ids=positions.flatten()[places][None],
        cu_seq_lens_q=starts,
        cu_seq_lens_k=starts,
        max_length_q=longest,
        max_length_k=longest,
        return_dict=True,
        **kwargs,
    )
    hidden = outputs.last_hidden_state[0]
    outputs["last_hidden_state"] = hidden.new_zeros(real.numel(), hidden.shape[1]).index_copy(0, places, hidden).view(*real.shape, -1)
    if getattr(encoder, "pooler", None) is not None:
        outputs["pooler_output"] = encoder.pooler(outputs.last_hidden_state)
    return outputs


def set_up(encoder, wanted: str, training_args, is_uneven: bool = False) -> None:
    """Makes `encoder`, still on the CPU and in fp32, read its batches without padding.

    wanted     "on": raises InputError where it cannot, or not exactly; "auto": where it can and pays: on a GPU, or `is_uneven`; "off".
    is_uneven  whether batches hold much padding that no order of the examples mends (`real_tokens.choices_are_uneven`).
    """
    device = training_args.device
    if wanted == "off" or (wanted == "auto" and device.type != "cuda" and not (is_uneven and device.type == "cpu")):
        return
    args = training_args
    training = torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else torch.float32
    scoring = torch.bfloat16 if args.bf16_full_eval else torch.float16 if args.fp16_full_eval else training
    reason = against_model(encoder)
    for dtype in {training, scoring} if device.type != "cpu" else ():
        reason = reason or against_kernels(encoder.config, device, dtype)
    reason = reason or pack(encoder)
    if reason and wanted == "on":
        raise InputError(f"--padding_free on: {reason}.")
    if reason:
        say(f"with padding: {reason}")


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


def against_kernels(config, device, dtype) -> str | None:
    """What stands against this device: a kernel that is missing, or differs from one attention for each sequence. None: nothing."""
    heads = config.num_attention_heads
    draw, starts = torch.Generator(device).manual_seed(0), torch.tensor([0, 5, 69, 96], dtype=torch.int32, device=device)
    shape, scaling = (4, 1, heads, 96, config.hidden_size // heads), (config.hidden_size // heads) ** -0.5
    *inputs, weights = torch.randn(shape, generator=draw, device=device).to(dtype)
    half = dtype != torch.float32

    def output_and_gradients(kernel, dtype, *longest):
        leaves = [tensor.to(dtype).requires_grad_() for tensor in inputs]
        output = kernel(*leaves, starts, *longest, 0.0, scaling)
        gradients = torch.autograd.grad((output.transpose(1, 2) * weights).sum(), leaves)
        return torch.stack([output.detach().transpose(1, 2), *gradients]).float()

    expected = output_and_gradients(one_by_one, torch.float32)
    try:
        for kernel in [nested] + [varlen] * has_varlen(device, dtype):
            found = output_and_gradients(kernel, dtype, 64)
            off = float((found - expected).norm() / expected.norm())
            if not off <= (2e-2 if half else 1e-4):
                return f"the kernel for {kernel.__name__} sequences gives other numbers on this device (by {off:.1%})"
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            kept = nested(*inputs[:2], torch.ones_like(inputs[2]), starts, 64, 0.5, scaling).float()
    except RuntimeError as error:
        return f"this device has no kernel for it ({str(error).strip().splitlines()[0]})"
    if not (abs(float(kept.mean()) - 1) < 0.1 and float(kept.std()) > 0.05):
        return "attention dropout of the kernel for nested sequences has no effect on this device, or a wrong one"
    return None
