"""Attention in Triton against one attention for each sequence: on a GPU, or on a CPU by Triton's interpreter, which needs an older NumPy:

pip install triton "numpy<2.4" && TRITON_INTERPRET=1 pytest tests/test_triton_attention.py
"""

import os

import numpy as np
import pytest
import torch

from speed import padding_free

ON_GPU = torch.cuda.is_available()
if not ON_GPU and os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("no GPU is here, and TRITON_INTERPRET=1 was not asked for", allow_module_level=True)

DEVICE, DTYPE = (torch.device("cuda"), torch.bfloat16) if ON_GPU else (torch.device("cpu"), torch.float32)
NEAR = 1e-2 if ON_GPU else 1e-5  # relative, as vectors
LENGTHS, HEADS, WIDTH = [5, 64, 27, 65, 1, 130], 2, 64
STARTS = torch.tensor([0, *np.cumsum(LENGTHS)], dtype=torch.int32, device=DEVICE)
SCALING = WIDTH**-0.5


def drawn(seed=0):
    """Queries, keys, values and weights of the output, as the attention interface has them: (1, heads, tokens, width)."""
    values = torch.randn(4, 1, sum(LENGTHS), HEADS, WIDTH, generator=torch.Generator().manual_seed(seed))
    return values.to(DEVICE, DTYPE).transpose(2, 3)


def output_and_gradients(kernel, inputs, weights):
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]
    output = kernel(*leaves)
    return [output.detach(), *torch.autograd.grad((output.transpose(1, 2).float() * weights.float()).sum(), leaves)]


def tiles(dropout, seed=0):
    def kernel(*inputs):
        torch.manual_seed(seed)
        return padding_free.by_triton(*inputs, STARTS, 144, dropout, SCALING)

    return kernel


def off(found, expected):
    return max(float((one.float() - other.float()).norm() / other.float().norm()) for one, other in zip(found, expected, strict=True))


def test_numbers_and_gradients_are_those_of_each_sequence_alone():
    *inputs, weights = drawn()
    expected = output_and_gradients(
        lambda *leaves: padding_free.one_by_one(*leaves, STARTS, 0.0, SCALING), [tensor.float() for tensor in inputs], weights
    )
    found = output_and_gradients(tiles(0.0), inputs, weights)
    assert found[0].dtype == DTYPE and off(found, expected) < NEAR
    swapped = [inputs[1], inputs[0], inputs[2]]
    assert off(output_and_gradients(tiles(0.0), swapped, weights), expected) > 0.1  # it would be seen


def test_dropout_is_the_same_in_both_directions_and_another_with_each_call():
    *inputs, weights = drawn(1)
    share = 0.3
    # Values that say where they stand: what comes out is the attention itself, so many columns at a time.
    real = torch.arange(max(LENGTHS), device=DEVICE) < torch.tensor(LENGTHS, device=DEVICE)[:, None]
    column = torch.arange(max(LENGTHS), device=DEVICE).expand_as(real)[real]
    used = torch.zeros(sum(LENGTHS), HEADS, 192, device=DEVICE)
    for first in range(0, 192, WIDTH):
        here = (column[:, None] == first + torch.arange(WIDTH, device=DEVICE)).to(DTYPE)
        one_hot = here[None, None].expand(1, HEADS, -1, -1).contiguous()
        used[..., first : first + WIDTH] = tiles(share)(*inputs[:2], one_hot)[0].float()
    kept = used > 0

    def with_that_mask(query, key, value):
        outputs = []
        for start, length in zip(STARTS.tolist(), LENGTHS):
            q, k, v = (tensor[0, :, start : start + length] for tensor in (query, key, value))
            mask = kept[start : start + length, :, :length].transpose(0, 1) / (1 - share)
            outputs.append(((q @ k.transpose(1, 2) * SCALING).softmax(-1) * mask) @ v)
        return torch.cat(outputs, dim=1).transpose(0, 1)[None]

    expected = output_and_gradients(with_that_mask, [tensor.float() for tensor in inputs], weights)
    found = output_and_gradients(tiles(share), inputs, weights)
    assert off(found, expected) < NEAR
    again = output_and_gradients(tiles(share), inputs, weights)
    assert all(torch.equal(one, other) for one, other in zip(found, again, strict=True)), "the same seed, the same bits"
    assert off(output_and_gradients(tiles(share, seed=1), inputs, weights), found) > 0.1

    places = sum(length**2 for length in LENGTHS) * HEADS
    assert int(kept.sum()) / places == pytest.approx(1 - share, abs=4 * (share * (1 - share) / places) ** 0.5)
    longest = kept[STARTS[-2] :, :, :130].float()
    for along in (0, 1, 2):  # no row, head or column is left out more than chance has it
        others = [axis for axis in range(3) if axis != along]
        count = longest.numel() / longest.shape[along]
        assert float((longest.mean(others) - 1 + share).abs().max()) < 5 * (share * (1 - share) / count) ** 0.5
    neighbours = (longest[:, :, 1:] == longest[:, :, :-1]).float().mean(), (longest[1:] == longest[:-1]).float().mean()
    assert all(float(value) == pytest.approx(share**2 + (1 - share) ** 2, abs=0.02) for value in neighbours)


def test_any_layout_of_its_inputs():
    """A model may compute queries, keys and values in one product, and hand on views of it."""
    *inputs, weights = drawn(2)
    together = torch.stack([tensor[0].transpose(0, 1) for tensor in inputs], dim=1)  # (tokens, 3, heads, width)
    views = [together[:, place].transpose(0, 1)[None] for place in range(3)]
    assert not views[0].transpose(1, 2).is_contiguous()
    expected = output_and_gradients(tiles(0.0), inputs, weights)
    assert off(output_and_gradients(tiles(0.0), views, weights), expected) == 0
