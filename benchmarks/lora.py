"""Compares LoRA with full fine-tuning: time of a step, peak memory of the process, size of a checkpoint.

    python benchmarks/lora.py --model_name_or_path FacebookAI/xlm-roberta-large --data_dir D
    python benchmarks/lora.py --model_name_or_path samples/encoder --data_dir samples/data --use_cpu --max_steps 5 --rounds 1   # a trial

Each measurement is `run_intermediate.py --task mnli` in a process of its own, with its defaults; both settings take turns. The first step
is not counted. On a GPU the time is the clock's and the memory is torch's peak. On a CPU the time is that of the processor, and the
memory is the largest resident size of the process, which has Python and the libraries in it.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
import run_intermediate  # noqa: E402
from benchmarks.flags import at_least, existing_folder  # noqa: E402
from console import run_script  # noqa: E402
from task_adapters import InputError  # noqa: E402
from task_adapters.errors import OneLineParser  # noqa: E402
from trainer.loop import Clock  # noqa: E402


def measured(flags: list[str]) -> None:
    """Trains in this process, and prints as the last line: seconds of a step, peak bytes, bytes of a checkpoint, trained weights."""
    on_gpu, ends = torch.cuda.is_available() and "--use_cpu" not in flags, []
    note_end = lambda *_, **__: ends.append(time.perf_counter() if on_gpu else time.process_time())  # noqa: E731
    with mock.patch("sys.argv", ["run_intermediate.py", *flags]), mock.patch.object(Clock, "on_step_end", note_end):
        results = run_intermediate.main()
    peak = torch.cuda.max_memory_allocated() if on_gpu else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    checkpoint = next(Path(flags[flags.index("--output_dir") + 1]).glob("checkpoint-*"))
    print(json.dumps({
        "seconds": (ends[-1] - ends[0]) / (len(ends) - 1),
        "peak": peak,
        "checkpoint": sum(file.stat().st_size for file in checkpoint.iterdir()),
        "trained": results["training"].get("lora", {}).get("trained_weights"),
    }))  # fmt: skip


def train(flags: list[str]) -> dict:
    """What a process of its own measures."""
    process = subprocess.run([sys.executable, __file__, "--measure", *flags], cwd=ROOT, capture_output=True, text=True)
    if process.returncode:
        raise InputError(f"a run failed: {process.stderr.strip().splitlines()[-1]}")
    return json.loads(process.stdout.strip().splitlines()[-1])


def main():
    if "--measure" in sys.argv:
        return measured(sys.argv[2:])
    parser = OneLineParser(description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--model_name_or_path", default="FacebookAI/xlm-roberta-large")
    parser.add_argument("--data_dir", type=existing_folder, help="a folder laid out by hub id, in place of the hub")
    parser.add_argument("--lora_rank", type=at_least(1), default=8)
    parser.add_argument("--lora_target", nargs="+", default=["query", "value"])
    parser.add_argument("--max_steps", type=at_least(2), default=20, help="steps of each run")
    parser.add_argument("--rounds", type=at_least(1), default=3)
    parser.add_argument("--use_cpu", action="store_true")
    args = parser.parse_args()
    model = str(Path(args.model_name_or_path).resolve()) if Path(args.model_name_or_path).is_dir() else args.model_name_or_path
    common = ["--task", "mnli", "--model_name_or_path", model, "--max_steps", str(args.max_steps), "--save_steps", str(args.max_steps)]
    common += ["--max_eval_samples", "32", "--keep_checkpoints", "--disable_tqdm", "true", "--collapse", "off"]
    common += [*(["--data_dir", str(Path(args.data_dir).resolve())] if args.data_dir else []), *["--use_cpu"] * args.use_cpu]
    settings = {"all weights": [], f"LoRA, rank {args.lora_rank}": ["--lora_rank", str(args.lora_rank), "--lora_target", *args.lora_target]}
    figures = {name: [] for name in settings}
    with tempfile.TemporaryDirectory() as folder:
        for round_number in range(args.rounds):
            for number, (name, flags) in enumerate(settings.items()):
                figures[name].append(train([*common, *flags, "--output_dir", f"{folder}/{round_number}-{number}"]))
    print("| trained | weights | seconds of a step | peak GiB | checkpoint MiB | times the first row: time, memory, disk |")
    print("|---" * 6 + "|")
    first = None
    for name, runs in figures.items():
        seconds, peak, checkpoint = (statistics.median(run[figure] for run in runs) for figure in ("seconds", "peak", "checkpoint"))
        first = first or (seconds, peak, checkpoint)
        ratios = ", ".join(f"{value / of_first:.2f}" for value, of_first in zip((seconds, peak, checkpoint), first))
        trained = f"{runs[0]['trained']:,}" if runs[0]["trained"] else "all"
        print(f"| {name} | {trained} | {seconds:.3f} | {peak / 2**30:.2f} | {checkpoint / 2**20:.1f} | {ratios} |")


if __name__ == "__main__":
    run_script(main)
