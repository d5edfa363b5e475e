"""One command under several seeds (`--seeds 42 43 44`): each is a run of its own, in <output_dir>/seed42 and in a process of its own.

A run that fails does not end the others. The same command goes on where it stood: finished runs are skipped, others are resumed.
"""

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

from console import say
from results import read_json
from task_adapters import TASKS


def run_seeds(seeds: list[int], output_dir: str) -> None:
    """Runs this script's command line once for each seed, prints a table, and ends the script: exit code 1 where a seed failed."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--seeds", nargs="*")
    parser.add_argument("--output_dir", "--output-dir")
    flags, failed, results = parser.parse_known_args(sys.argv[1:])[1], [], {}
    for seed in seeds:
        folder = Path(output_dir) / f"seed{seed}"
        say(f"---- seed {seed}: {folder}")
        command = [sys.executable, sys.argv[0], *flags, "--seed", str(seed), "--output_dir", str(folder)]
        code = subprocess.run(command).returncode
        if code:
            failed.append(f"seed {seed} (exit code {code})")
        else:
            results[seed] = read_json(folder / "results.json")
    if results:
        say(seed_table(results))
    if failed:
        say(f"failed: {', '.join(failed)}. Run the same command again for these alone.")
    sys.exit(1 if failed else 0)


def seed_table(results: dict[int, dict]) -> str:
    """Scores of all seeds as lines that line up, with their mean and their standard deviation (of a sample: n - 1)."""
    columns = {seed: rows_of(result) for seed, result in results.items()}
    names = list(next(iter(columns.values())))
    lines = [f"{names.pop(0):<14}" + "".join(f"{head:>10}" for head in (*(f"seed {seed}" for seed in columns), "mean", "sd"))]
    for name in names:
        scores = [rows[name] for rows in columns.values()]
        spread = f"{statistics.stdev(scores):>10.2f}" if len(scores) > 1 else f"{'-':>10}"
        lines.append(f"{name:<14}" + "".join(f"{score:>10.2f}" for score in (*scores, statistics.mean(scores))) + spread)
    return "\n".join(lines)


def rows_of(result: dict) -> dict[str, float]:
    """{the metric: None, the name of a row: score} of a results.json: languages of a target, dev scores of intermediate tasks."""
    if "dev_mean" in result:
        return {"dev": None} | {name: dev[TASKS[name].dev_metric] for name, dev in result["dev"].items()} | {"mean": result["dev_mean"]}
    metric = TASKS[result["task"]].dev_metric
    if "scores" not in result:
        return {metric: None, "en dev": result["dev"][metric]}
    mean = {"mean": result["mean"][metric]} if result["mean"] else {}
    return {metric: None} | {language: scores[metric] for language, scores in result["scores"].items()} | mean
