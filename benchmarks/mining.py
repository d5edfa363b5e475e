"""Measures mining on a corpus with known pairs: F1, memory, and the time relative to one plain matrix product.

    python benchmarks/mining.py                      # 20,000 x 20,000 vectors of width 1024, about a minute on two cores
    python benchmarks/mining.py --noise 1.0 --json benchmarks/mining.json

The vectors are random unit vectors. `--pairs` of the targets are noisy copies of sources; the other targets have no translation. A second
part writes a corpus of sentences with known pairs in BUCC's file format and processes it as run_retrieval.py does (loading, merging,
mining, threshold on dev, F1 on ids), with bags of words instead of a model. The plain product uses the same tiles and threads and discards
its result.
"""

import itertools
import json
import math
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.flags import at_least, new_file
from console import run_script
from metrics import pair_f1
from task_adapters import TASKS, load_examples
from task_adapters.errors import OneLineParser
from task_types import mining

WIDTH = 1024


def planted_vectors(count, pairs, noise, seed):
    """Returns (source, target, [(i, j)]): for `pairs` sources i, target j is a copy of source i plus noise of length `noise`."""
    generator = torch.Generator().manual_seed(seed)
    source = torch.nn.functional.normalize(torch.randn(count, WIDTH, generator=generator), dim=1)
    target = torch.randn(count, WIDTH, generator=generator) * max(noise, 1e-3) / WIDTH**0.5
    target_rows = torch.randperm(count, generator=generator)
    target[target_rows[:pairs]] += source[:pairs]
    return source, torch.nn.functional.normalize(target, dim=1), [(i, int(target_rows[i])) for i in range(pairs)]


def plain_product(source, target):
    """Computes all inner products in tiles. Each tile overwrites the one before."""
    tile = torch.empty(mining.BLOCK, mining.BLOCK, device=source.device)
    for top in range(0, len(source), mining.BLOCK):
        rows = source[top : top + mining.BLOCK]
        for left in range(0, len(target), mining.BLOCK):
            columns = target[left : left + mining.BLOCK]
            torch.mm(rows, columns.T, out=tile[: len(rows), : len(columns)])


def seconds(function, *arguments):
    """Calls a function. Returns (seconds, its value)."""
    started = time.perf_counter()
    value = function(*arguments)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started, value


def start_of_memory():
    """Returns the bytes in use now, and resets the peak that `peak_of_memory` returns. On a CPU this needs Linux."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    Path("/proc/self/clear_refs").write_text("5")
    return memory_line("VmRSS")


def peak_of_memory():
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else memory_line("VmHWM")


def memory_line(name):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def write_corpus(folder, part, count, pairs, seed):
    """Writes BUCC's three files with invented sentences. `pairs` source sentences have a translation: the same words in the target file.

    A tenth of the source sentences without a translation are in the file twice, under two ids.
    """
    draw = random.Random(seed)
    words = [f"{draw.choice('bdfgklmnprst')}{draw.choice('aeiou')}{draw.choice('bdfgklmnprst')}{number}" for number in range(3000)]
    sentences = [draw.sample(words, 8) for _ in range(2 * count - pairs)]
    source, target = sentences[:count], sentences[:pairs] + sentences[count:]
    order = list(range(count))
    draw.shuffle(order)
    line_of_target = {i: number for number, i in enumerate(order)}
    gold = [(i, line_of_target[i]) for i in range(pairs)]
    for i in range(pairs, pairs + (count - pairs) // 10):  # Repeats a source sentence that has no translation.
        source[i] = source[i + (count - pairs) // 10]
    folder.mkdir(parents=True, exist_ok=True)
    lines = {
        "de": [f"de-{number:09d}\t{' '.join(text)}" for number, text in enumerate(source, start=1)],
        "en": [f"en-{number:09d}\t{' '.join(target[i])}" for number, i in enumerate(order, start=1)],
        "gold": [f"de-{i + 1:09d}\ten-{j + 1:09d}" for i, j in gold],
    }
    for end, rows in lines.items():
        (folder / f"de-en.{part}.{end}").write_text("\n".join(rows) + "\n", encoding="utf-8")


def bags_of_words(texts, noise, seed):
    """Returns unit vectors of texts: the sum of a random vector for each word, plus noise."""
    generator, vector_of = torch.Generator().manual_seed(seed), {}
    rows = np.empty((len(texts), WIDTH), dtype=np.float32)
    for row, text in enumerate(texts):
        words = text.split()
        for word in words:
            if word not in vector_of:
                vector_of[word] = np.random.default_rng(int.from_bytes(word.encode(), "big")).standard_normal(WIDTH, dtype=np.float32)
        rows[row] = np.sum([vector_of[word] for word in words], axis=0)
    vectors = torch.nn.functional.normalize(torch.from_numpy(rows), dim=1)
    vectors += torch.randn(vectors.shape, generator=generator) * noise / WIDTH**0.5
    return torch.nn.functional.normalize(vectors, dim=1)


def mine_sentences(folder, noise, device):
    """Returns (scores, threshold) of the corpus in `folder`, mined by the function that run_retrieval.py calls."""
    seeds = itertools.count()
    test, dev = (load_examples(TASKS["bucc"], split, "de", str(folder))[0] for split in ("test", "dev"))
    gold, mined, details = mining.mine(test, dev, lambda texts, part: bags_of_words(texts, noise, next(seeds)).to(device))
    return pair_f1(gold, mined, "de"), details["threshold"]


def main():
    parser = OneLineParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=at_least(1), default=20_000, help="vectors on each side")
    parser.add_argument("--pairs", type=at_least(1), default=10_000, help="how many of the vectors on a side have a translation")
    parser.add_argument("--noise", type=float, default=0.0, help="length of the noise; a vector has length 1")
    parser.add_argument("--repeats", type=at_least(1), default=5)
    parser.add_argument("--sentences", type=at_least(0), default=5_000, help="sentences on each side of the text corpus; 0: no text corpus")
    parser.add_argument("--json", type=new_file, help="write the figures to this file")
    args = parser.parse_args()
    if args.pairs > args.count:
        parser.error(f"--pairs {args.pairs}: of --count {args.count} vectors no more can be translations")
    if 0 < args.sentences < 8:
        parser.error(f"--sentences {args.sentences}: 0, or at least 8, a quarter of which is the dev part")
    if not 0 <= args.noise < math.inf:
        parser.error(f"--noise {args.noise}: a length, 0 or more")
    device = "cuda" if torch.cuda.is_available() else "cpu"

    source, target, gold = planted_vectors(args.count, args.pairs, args.noise, seed=0)
    source, target = source.to(device), target.to(device)
    plain, mined, ratios = [], [], []
    plain_product(source[: mining.BLOCK], target[: mining.BLOCK])  # The first call starts threads and libraries.
    bytes_before = start_of_memory()
    for _ in range(args.repeats):  # The two take turns, because other work on the machine then slows both.
        plain.append(seconds(plain_product, source, target)[0])
        search_seconds, neighbours = seconds(mining.top_k_both_ways, source, target, mining.NEIGHBOURS, mining.BLOCK)
        mined.append(search_seconds)
        ratios.append(search_seconds / plain[-1])
    matching_seconds, pairs = seconds(lambda: mining.one_to_one(*mining.margin_pairs(*neighbours)))
    peak = peak_of_memory()
    scored_pairs = [(score, (row, column)) for score, row, column in pairs]
    threshold = mining.best_threshold(scored_pairs, gold)
    figures = {
        "device": device,
        "threads": torch.get_num_threads(),
        "vectors": [args.count, args.count, WIDTH],
        "pairs": args.pairs,
        "noise": args.noise,
        "f1": pair_f1(gold, mining.at_least(threshold, scored_pairs), "de")["f1"],
        "threshold": threshold,
        "plain_product_seconds": statistics.median(plain),
        "neighbours_both_ways_seconds": statistics.median(mined),
        "ratio": statistics.median(ratios),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "margins_and_matching_seconds": matching_seconds,
        "peak_above_vectors_mib": (peak - bytes_before) / 2**20,
        "whole_matrix_mib": args.count**2 * 4 / 2**20,
    }
    if args.sentences:
        with tempfile.TemporaryDirectory() as folder:
            for seed, (part, count) in enumerate((("sample", args.sentences // 4), ("training", args.sentences))):
                write_corpus(Path(folder) / "bucc2018" / "de-en", part, count, count // 2, seed)
            mining_seconds, (scores, threshold) = seconds(mine_sentences, folder, args.noise, device)
        figures["sentences"] = {"count": args.sentences, **scores, "threshold_from_dev": threshold, "seconds": mining_seconds}
    print(json.dumps(figures, indent=1))
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_script(main)
