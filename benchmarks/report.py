"""What the report costs, and whether its intervals hold what they promise.

python -m benchmarks.report read --results 10000      # seconds and memory of reading so many results and writing the tables
python -m benchmarks.report coverage --draws 1000     # share of 95% intervals that hold the true difference
"""

import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import stats

from report.collect import INTERMEDIATE
from report.statistics import Rows, resampled_scores
from run_report import write_report
from task_adapters import PAPERS_TASKS
from task_adapters.errors import OneLineParser

TARGETS = [name for name in PAPERS_TASKS if name not in INTERMEDIATE]


def write_results(folder: Path, number: int) -> None:
    """Results as large as real ones: 40 languages, a log of 60 entries."""
    data = [{"split": split, "language": "en", "examples": 8} for split in ("train", "dev")]
    scores = {f"l{i}": {"f1": 50.0 + i / 10, "exact_match": 40.0, "accuracy": 60.0, "examples": 1000} for i in range(40)}
    log = [{"step": step, "loss": 1.0, "learning_rate": 1e-5, "grad_norm": 1.0, "epoch": 0.1} for step in range(60)]
    for place in range(number):
        start, target, seed = INTERMEDIATE[place % 9], TARGETS[place // 9 % len(TARGETS)], place // (9 * len(TARGETS))
        stage = {"task": start, "seed": seed, "data": data, "model": {"name_or_path": "a/model"}}
        results = {"phase": "target", "task": target, "seed": seed, "seconds": 1.0, "lineage": [stage], "data": data, "scores": scores,
                   "training": {"log": log}, "model": {"name_or_path": f"out/{place}"}}  # fmt: skip
        (folder / f"{place}").mkdir()
        (folder / f"{place}/results.json").write_text(json.dumps(results, indent=1))


def read(number: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "out")
        folder.mkdir()
        write_results(folder, number)
        for formats in (("csv",), ("md", "tex", "csv", "html")):
            started, processor = time.monotonic(), time.process_time()
            write_report([folder], Path(name, "report"), formats, resamples=0)
            seconds, processor = time.monotonic() - started, time.process_time() - processor
            print(f"{number} results, {' '.join(formats)}: {seconds:.1f} s, of the processor {processor:.1f} s", flush=True)
        page = Path(name, "report/report.html").stat().st_size / 1e6
        print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB, page {page:.2f} MB")


def coverage(draws: int, examples: int, rows: int, seeds: int, spread: float, resamples: int = 1000) -> float:
    """Share of intervals that hold the true difference between each row and the first; `spread`: sd of skill between seeds."""
    rng, hits = np.random.default_rng(1), []
    skills = np.linspace(0.2, 0.8, rows)
    truth = 100 * (stats.norm.cdf(skills / np.sqrt(2 + spread**2)) - stats.norm.cdf(skills[0] / np.sqrt(2 + spread**2)))
    for draw in range(draws):
        ease, skill = rng.normal(size=(examples, 1)), np.repeat(skills, seeds) + spread * rng.normal(size=rows * seeds)
        right = (ease + skill + rng.normal(size=(examples, rows * seeds)) > 0).astype(float)
        found, scores = resampled_scores(right, np.ones_like(right), resamples, seed=draw), 100 * right.mean(0)
        places = {row: range(row * seeds, (row + 1) * seeds) for row in range(rows)}
        column = Rows({row: {i: scores[i] for i in those} for row, those in places.items()},
                      {row: {i: found[:, i] for i in those} for row, those in places.items()}, examples)  # fmt: skip
        estimates = [column.difference(row, 0) for row in range(1, rows)]
        hits += [e.low <= true <= e.high for e, true in zip(estimates, truth[1:])]
    return float(np.mean(hits))


def main():
    parser = OneLineParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("read", "coverage"))
    parser.add_argument("--results", type=int, default=10_000)
    parser.add_argument("--draws", type=int, default=1000)
    args = parser.parse_args()
    if args.what == "read":
        return read(args.results)
    for rows, seeds, spread in ((2, 1, 0.0), (2, 3, 0.0), (2, 3, 0.15), (2, 3, 0.5), (5, 3, 0.15), (10, 3, 0.15)):
        print(f"{rows} rows, {seeds} seeds, spread {spread}: {coverage(args.draws, 500, rows, seeds, spread):.3f}", flush=True)


if __name__ == "__main__":
    main()
