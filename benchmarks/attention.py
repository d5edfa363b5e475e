"""Compares two attention kernels on a GPU for sequences laid end to end: torch's flash kernel, and ours for short sequences.

    python benchmarks/attention.py                 # XLM-R Large's heads, 12,544 tokens in sequences of each length, and of MNLI's lengths
    python benchmarks/attention.py --tokens 50000

The benchmark records the calls in a CUDA graph and replays them, so that it measures the kernels and not the time of the host. Figures are
medians of several rounds; in each round both kernels take turns.
"""

import argparse
import statistics
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.flags import at_least
from benchmarks.memory_formula import SHAPES, config_of
from console import run_script
from speed import padding_free
from task_adapters import InputError
from task_adapters.errors import OneLineParser

CALLS = 10  # Calls in one CUDA graph.


def recorded(call):
    """Returns a function that replays `CALLS` calls and returns the microseconds of one call."""
    for _ in range(3):
        call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(CALLS):
            call()

    def play():
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        return 1000 * start.elapsed_time(end) / CALLS

    return play


def times(lengths, heads: int, width: int, rounds: int) -> dict:
    """Returns {kernel: (microseconds of a forward pass, of a backward pass)}."""
    device = torch.device("cuda")
    starts = torch.tensor([0, *np.cumsum(lengths)], dtype=torch.int32, device=device)
    *inputs, output_gradient = torch.randn(4, 1, int(sum(lengths)), heads, width, device=device, dtype=torch.bfloat16).transpose(2, 3)
    leaves = [tensor.requires_grad_() for tensor in inputs]
    plays = {}
    for kernel in (padding_free.flash, padding_free.by_triton):

        def forward(kernel=kernel):
            return kernel(*leaves, starts, max(lengths), 0.1, width**-0.5)

        def forward_and_backward(forward=forward):
            torch.autograd.grad(forward(), leaves, output_gradient.transpose(1, 2))

        with torch.no_grad():
            play = recorded(forward)
        plays[kernel.__name__] = play, recorded(forward_and_backward)
    round_times = {name: [] for name in plays}
    for _ in range(rounds):
        for name, (forward, both) in plays.items():
            round_times[name].append((forward(), both()))
    microseconds = {}
    for name, pairs in round_times.items():
        forward, both = map(statistics.median, zip(*pairs))
        microseconds[name] = forward, both - forward
    return microseconds


def main():
    parser = OneLineParser(description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--shape", default="xlmr-large", choices=tuple(SHAPES))
    parser.add_argument("--tokens", type=at_least(512), default=12544)
    parser.add_argument("--lengths", type=at_least(1), nargs="+", default=[16, 32, 64, 96, 128, 192, 256, 512])
    parser.add_argument("--rounds", type=at_least(1), default=7)
    args = parser.parse_args()
    if not torch.cuda.is_available():
        raise InputError("this compares kernels of a GPU, and none is here.")
    config = config_of(*SHAPES[args.shape])
    heads, width = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    if not padding_free.triton_is_exact(config, torch.device("cuda"), torch.bfloat16):
        raise InputError("our kernel does not run here.")  # `triton_is_exact` has printed the reason.
    drawn = np.random.default_rng(0).lognormal(np.log(43), 0.5, args.tokens).astype(int).clip(8, 128)  # Their mean is that of MNLI, 49.
    mixed = drawn[: int(np.searchsorted(drawn.cumsum(), args.tokens))].tolist()
    print("| tokens of a sequence | flash, us forward | backward | tiles, us forward | backward | times as fast |\n|" + "---|" * 6)
    for name, lengths in {**{str(n): [n] * max(1, args.tokens // n) for n in args.lengths}, "as MNLI's": mixed}.items():
        microseconds = times(lengths, heads, width, args.rounds)
        flash, triton = microseconds["flash"], microseconds["by_triton"]
        ratio = sum(flash) / sum(triton)
        print(f"| {name} | {flash[0]:.0f} | {flash[1]:.0f} | {triton[0]:.0f} | {triton[1]:.0f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    run_script(main)
