"""Attention of short sequences laid end to end, in Triton: padding_free.py calls it on a GPU where sequences are short.

torch's flash kernel computes tiles of 128 x 128, which short sentences hardly fill, and adds up the gradients of the queries in memory.
Here a tile is 64 x 64, and each tile is computed by one program that keeps its sums to itself. So one batch always gives the same bits.
Triton comes with torch for CUDA on Linux. It compiles a kernel at its first call, which takes seconds, and keeps it in ~/.triton.

The softmax is computed block by block, and the backward pass computes the weights again, as in FlashAttention-2 (Dao 2023,
arXiv 2307.08691). Products are in the precision of the inputs, sums in fp32. Dropout is a hash of token, head and column with a seed from
torch's generator ("lowbias32", C. Wellons, https://nullprogram.com/blog/2018/07/31/), so no mask is stored.
"""

import torch
import triton
import triton.language as tl

BLOCK, WARPS = 64, 4  # rows of a tile, and warps that compute it: `benchmarks/README.md`, attention of short sequences


@triton.jit
def _hashed(x):
    x = (x ^ (x >> 16)) * 0x7FEB352D
    x = (x ^ (x >> 15)) * 0x846CA68B
    return x ^ (x >> 16)


@triton.jit
def _kept(seed, rows, columns, dropped):
    """Which positions of a tile dropout keeps. rows: token x heads + head; dropped: the share of dropped positions, in 2^24ths."""
    row_hashes = _hashed(rows.to(tl.uint32) ^ seed.to(tl.uint32))
    hashes = _hashed(row_hashes[:, None] + columns.to(tl.uint32)[None, :] * 0x9E3779B9)
    return (hashes >> 8).to(tl.int32) >= dropped


@triton.jit
def _rows_of(tensor, start, rows, length, token_stride, head, head_stride, WIDTH: tl.constexpr):
    """(BLOCK, WIDTH): these rows of a sequence, with zeros after its end."""
    offsets = (start + rows).to(tl.int64)[:, None] * token_stride + head * head_stride + tl.arange(0, WIDTH)[None, :]
    return tl.load(tensor + offsets, mask=(rows < length)[:, None], other=0.0)


@triton.jit
def _store_rows(tensor, values, start, rows, length, heads, head, WIDTH: tl.constexpr):
    offsets = ((start + rows).to(tl.int64)[:, None] * heads + head) * WIDTH + tl.arange(0, WIDTH)[None, :]
    tl.store(tensor + offsets, values.to(tensor.dtype.element_ty), mask=(rows < length)[:, None])


@triton.jit
def _forward(
    query, key, value, output, log_sums, starts, seed, scaling, dropped, rescaled,
    query_token, query_head, key_token, key_head, value_token, value_head,
    WIDTH: tl.constexpr, BLOCK: tl.constexpr, DROPOUT: tl.constexpr,
):  # fmt: skip
    """Attention of one block of queries of one sequence and head. log_sums: (tokens, heads), the log of each softmax's denominator."""
    head, sequence, heads = tl.program_id(0), tl.program_id(1), tl.num_programs(0)
    scaling, rescaled = tl.cast(scaling, tl.float32), tl.cast(rescaled, tl.float32)  # torch.compile passes them in fp64
    start = tl.load(starts + sequence)
    length = tl.load(starts + sequence + 1) - start
    first_row = tl.program_id(2) * BLOCK
    if first_row < length:
        rows, columns = first_row + tl.arange(0, BLOCK), tl.arange(0, BLOCK)
        q = _rows_of(query, start, rows, length, query_token, head, query_head, WIDTH)
        largest = tl.full((BLOCK,), float("-inf"), tl.float32)
        total = tl.zeros((BLOCK,), tl.float32)
        summed = tl.zeros((BLOCK, WIDTH), tl.float32)
        for first in range(0, length, BLOCK):
            k = _rows_of(key, start, first + columns, length, key_token, head, key_head, WIDTH)
            v = _rows_of(value, start, first + columns, length, value_token, head, value_head, WIDTH)
            scores = tl.dot(q, tl.trans(k)) * scaling
            scores = tl.where((first + columns < length)[None, :], scores, float("-inf"))
            now_largest = tl.maximum(largest, tl.max(scores, 1))
            weights = tl.exp(scores - now_largest[:, None])
            shrunk = tl.exp(largest - now_largest)
            total = total * shrunk + tl.sum(weights, 1)
            if DROPOUT:
                kept = _kept(tl.load(seed), (start + rows) * heads + head, first + columns, dropped)
                weights = tl.where(kept, weights, 0.0)
            summed = summed * shrunk[:, None] + tl.dot(weights.to(v.dtype), v)
            largest = now_largest
        _store_rows(output, summed * (rescaled / total)[:, None], start, rows, length, heads, head, WIDTH)
        tl.store(log_sums + (start + rows).to(tl.int64) * heads + head, largest + tl.log(total), mask=rows < length)


@triton.jit
def _queries(
    query, output, grad_output, log_sums, start, rows, length, query_token, heads, head, query_head, WIDTH: tl.constexpr
):  # fmt: skip
    """-> (token x heads + head, queries, outputs, gradients of the outputs, log of each softmax's denominator)"""
    row_ids, contiguous = (start + rows) * heads + head, heads * WIDTH
    q = _rows_of(query, start, rows, length, query_token, head, query_head, WIDTH)
    out = _rows_of(output, start, rows, length, contiguous, head, WIDTH, WIDTH)
    grad = _rows_of(grad_output, start, rows, length, contiguous, head, WIDTH, WIDTH)
    return row_ids, q, out, grad, tl.load(log_sums + row_ids.to(tl.int64), mask=rows < length, other=float("inf"))


@triton.jit
def _tile(
    q, k, v, out, grad, log_sum, row_ids, columns, length, seed, scaling, dropped, rescaled, DROPOUT: tl.constexpr
):  # fmt: skip
    """-> (attention weights after dropout, gradient of the scores), both (BLOCK, BLOCK) in fp32"""
    scores = tl.dot(q, tl.trans(k)) * scaling
    weights = tl.where((columns < length)[None, :], tl.exp(scores - log_sum[:, None]), 0.0)
    grad_weights = tl.dot(grad, tl.trans(v))
    used = weights
    if DROPOUT:
        factor = tl.where(_kept(tl.load(seed), row_ids, columns, dropped), rescaled, 0.0)
        used, grad_weights = weights * factor, grad_weights * factor
    shared = tl.sum(grad.to(tl.float32) * out.to(tl.float32), 1)
    return used, weights * (grad_weights - shared[:, None]) * scaling


@triton.jit
def _backward(
    query, key, value, output, grad_output, log_sums, grad_query, grad_key, grad_value, starts, seed, scaling, dropped, rescaled,
    query_token, query_head, key_token, key_head, value_token, value_head,
    WIDTH: tl.constexpr, BLOCK: tl.constexpr, DROPOUT: tl.constexpr,
):  # fmt: skip
    """The gradients of one block of keys and values, and of the same block of queries, of one sequence and head."""
    head, sequence, heads = tl.program_id(0), tl.program_id(1), tl.num_programs(0)
    scaling, rescaled = tl.cast(scaling, tl.float32), tl.cast(rescaled, tl.float32)
    start = tl.load(starts + sequence)
    length = tl.load(starts + sequence + 1) - start
    own_rows = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    if tl.program_id(2) * BLOCK < length:
        k = _rows_of(key, start, own_rows, length, key_token, head, key_head, WIDTH)
        v = _rows_of(value, start, own_rows, length, value_token, head, value_head, WIDTH)
        sum_key = tl.zeros((BLOCK, WIDTH), tl.float32)
        sum_value = tl.zeros((BLOCK, WIDTH), tl.float32)
        for first in range(0, length, BLOCK):
            rows = first + tl.arange(0, BLOCK)
            row_ids, q, out, grad, log_sum = _queries(
                query, output, grad_output, log_sums, start, rows, length, query_token, heads, head, query_head, WIDTH
            )
            used, grad_scores = _tile(q, k, v, out, grad, log_sum, row_ids, own_rows, length, seed, scaling, dropped, rescaled, DROPOUT)
            sum_value += tl.dot(tl.trans(used).to(grad.dtype), grad)
            sum_key += tl.dot(tl.trans(grad_scores).to(q.dtype), q)
            if length <= BLOCK:  # this tile holds all keys of the sequence
                _store_rows(grad_query, tl.dot(grad_scores.to(k.dtype), k), start, rows, length, heads, head, WIDTH)
        _store_rows(grad_key, sum_key, start, own_rows, length, heads, head, WIDTH)
        _store_rows(grad_value, sum_value, start, own_rows, length, heads, head, WIDTH)
        if length > BLOCK:
            row_ids, q, out, grad, log_sum = _queries(
                query, output, grad_output, log_sums, start, own_rows, length, query_token, heads, head, query_head, WIDTH
            )
            sum_query = tl.zeros((BLOCK, WIDTH), tl.float32)
            for first in range(0, length, BLOCK):
                columns = first + tl.arange(0, BLOCK)
                k = _rows_of(key, start, columns, length, key_token, head, key_head, WIDTH)
                v = _rows_of(value, start, columns, length, value_token, head, value_head, WIDTH)
                _, grad_scores = _tile(q, k, v, out, grad, log_sum, row_ids, columns, length, seed, scaling, dropped, rescaled, DROPOUT)
                sum_query += tl.dot(grad_scores.to(k.dtype), k)
            _store_rows(grad_query, sum_query, start, own_rows, length, heads, head, WIDTH)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, value, starts, seed, longest, dropout, scaling):
        tokens, heads, width = query.shape
        output = query.new_empty(tokens, heads, width)
        log_sums = torch.empty(tokens, heads, dtype=torch.float32, device=query.device)
        ctx.grid = heads, starts.shape[0] - 1, triton.cdiv(longest, BLOCK)
        ctx.numbers = scaling, int(dropout * 2**24), 1 / (1 - dropout)
        ctx.constants = {"WIDTH": width, "BLOCK": BLOCK, "DROPOUT": dropout > 0, "num_warps": WARPS, "num_stages": 1}
        strides = [stride for tensor in (query, key, value) for stride in tensor.stride()[:2]]
        _forward[ctx.grid](query, key, value, output, log_sums, starts, seed, *ctx.numbers, *strides, **ctx.constants)
        ctx.save_for_backward(query, key, value, output, log_sums, starts, seed)
        return output

    @staticmethod
    def backward(ctx, grad_output):
        query, key, value, output, log_sums, starts, seed = ctx.saved_tensors
        grad_query, grad_key, grad_value = (query.new_empty(query.shape) for _ in range(3))
        strides = [stride for tensor in (query, key, value) for stride in tensor.stride()[:2]]
        _backward[ctx.grid](
            query, key, value, output, grad_output.contiguous(), log_sums, grad_query, grad_key, grad_value, starts, seed,
            *ctx.numbers, *strides, **ctx.constants,
        )  # fmt: skip
        return grad_query, grad_key, grad_value, None, None, None, None, None


def attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, starts: torch.Tensor, longest: int, dropout: float, scaling: float
) -> torch.Tensor:
    """Each sequence's attention to itself. query, key, value: (tokens, heads, width), bf16 or fp16 -> the same shape.

    The last dimension must be contiguous and the width a power of two.
    starts   (sequences + 1,) int32: the first token of each sequence, and the number of tokens.
    longest  tokens of the longest sequence, or more.
    """
    seed = torch.randint(2**31, (1,), device=query.device, dtype=torch.int64) if dropout else starts
    return _Attention.apply(query, key, value, starts, seed, longest, dropout, scaling)
