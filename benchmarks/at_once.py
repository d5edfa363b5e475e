"""Measures how much faster one GPU trains several runs at the same time than one run.

    python benchmarks/at_once.py --runs 1 2 4 --data_dir D                          # XLM-R Large, on a GPU
    python benchmarks/at_once.py --runs 1 2 --shape small --max_steps 20 --use_cpu  # a quick trial

The GPU finishes a step of few tokens before the host has launched the next one, so that steps of another run can use the time between. Each
run is `run_intermediate.py --task mnli` with its defaults, from random weights. Examples per second are the sum over all runs at a time.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from benchmarks.flags import at_least, existing_folder  # noqa: E402
from benchmarks.memory_formula import SHAPES  # noqa: E402
from benchmarks.retrieval import write_model  # noqa: E402
from console import run_script  # noqa: E402
from task_adapters import InputError  # noqa: E402
from task_adapters.errors import OneLineParser  # noqa: E402
from trainer.tokenizers import load_tokenizer  # noqa: E402


def train(count: int, folder: str, args) -> list[dict]:
    """Trains `count` runs at the same time and returns their results."""
    command = [sys.executable, "run_intermediate.py", "--task", "mnli", "--model_name_or_path", f"{folder}/model", "--save_strategy", "no"]
    command += ["--max_steps", str(args.max_steps), "--eval_strategy", "no", "--load_best_model_at_end", "false", "--disable_tqdm", "true"]
    command += ["--max_eval_samples", "32", "--overwrite", *(["--data_dir", args.data_dir] if args.data_dir else [])]
    command += ["--use_cpu"] * args.use_cpu
    outputs = [f"{folder}/{number}" for number in range(count)]
    logs = [Path(f"{output}.log") for output in outputs]
    runs = [subprocess.Popen([*command, "--output_dir", output], cwd=ROOT, stdout=log.open("w"), stderr=subprocess.STDOUT)
            for output, log in zip(outputs, logs)]  # fmt: skip
    if any([run.wait() for run in runs]):
        failed = next(log for run, log in zip(runs, logs) if run.returncode)
        raise InputError(f"a run failed: {failed.read_text(encoding='utf-8').strip().splitlines()[-1]}")
    return [json.loads(Path(output, "results.json").read_text(encoding="utf-8")) for output in outputs]


def main():
    parser = OneLineParser(description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--runs", type=at_least(1), nargs="+", default=[1, 2, 4], help="numbers of runs at the same time")
    parser.add_argument("--shape", default="xlmr-large", choices=tuple(SHAPES))
    parser.add_argument("--max_steps", type=at_least(2), default=300, help="steps of each run")
    parser.add_argument("--tokenizer", default="FacebookAI/xlm-roberta-large")
    parser.add_argument("--data_dir", type=existing_folder, help="a folder laid out by hub id, in place of the hub")
    parser.add_argument("--use_cpu", action="store_true")
    args = parser.parse_args()
    if not (args.use_cpu or torch.cuda.is_available()):
        parser.error("no GPU is here: --use_cpu, with --shape small, tries the command")
    tokenizer = load_tokenizer(args.tokenizer, needs_offsets=False)
    print(f"{args.shape}, {len(tokenizer):,} tokens, {args.max_steps} steps, the start of training counted in\n")
    print("| runs at once | trained tokens | seconds of a step | examples/s, all | times the first row |\n" + "|---" * 5 + "|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        write_model(f"{folder}/model", tokenizer, *SHAPES[args.shape][:3])
        first = None
        for count in args.runs:
            results = train(count, folder, args)
            step_seconds = sum(run["training"]["train_seconds"] for run in results) / count / args.max_steps
            examples_per_second = count * results[0]["effective_batch_size"] / step_seconds
            first = first or examples_per_second
            pieces = results[0]["training"]["trained_pieces"]  # A run is faster with fewer: a stand-in tokenizer has hardly any.
            cells = count, pieces or "all", f"{step_seconds:.4f}", f"{examples_per_second:.1f}", f"{examples_per_second / first:.2f}"
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    run_script(main)
