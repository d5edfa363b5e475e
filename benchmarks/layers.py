"""Tatoeba: what `run_retrieval.py --layers all` costs beside one pass to the last layer, same model and sentences, in one process.

    python benchmarks/layers.py --data_dir ../shared/real/datasets --languages de fr         # a random model of XLM-R Base's depth
    python benchmarks/layers.py --hidden_size 1024 --layers 24 --languages de --repeats 1

Both commands run in turn, each `--repeats` times, after one of each that is not counted. The ratio is that of the CPU seconds (on a GPU: of
the clock's) of whole runs: data, embedding, search, measures, files. The model is random: its scores mean nothing.
"""

import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import run_retrieval
from benchmarks.flags import at_least, existing_folder, new_file
from benchmarks.retrieval import write_model
from console import run_script
from task_adapters.errors import OneLineParser
from trainer.tokenizers import load_tokenizer

LIMIT = 1.3  # what all layers may cost, in passes to the last one


def seconds_of(argv, folder) -> float:
    """Seconds of one run, whose folder is then removed."""
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    sys.argv, start = ["run_retrieval.py", *argv, "--output_dir", folder], clock()
    run_retrieval.main()
    seconds = clock() - start
    shutil.rmtree(folder)
    return seconds


def main():
    parser = OneLineParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model_name_or_path", default="FacebookAI/xlm-roberta-large", help="the model whose tokenizer is used")
    parser.add_argument("--data_dir", type=existing_folder)
    parser.add_argument("--languages", nargs="+", default=["de", "fr"])
    parser.add_argument("--hidden_size", type=at_least(64), default=384, help="a multiple of 64")
    parser.add_argument("--layers", type=at_least(1), default=12)
    parser.add_argument("--repeats", type=at_least(1), default=3)
    parser.add_argument("--max_predict_samples", type=at_least(1), help="use the first this many pairs of each language")
    parser.add_argument("--json", type=new_file, help="write the figures to this file")
    args = parser.parse_args()
    if args.hidden_size % 64:
        parser.error(f"--hidden_size {args.hidden_size}: a multiple of 64, the width of a head")
    tokenizer = load_tokenizer(args.model_name_or_path, needs_offsets=False)
    seconds = {"last": [], "all": []}
    with tempfile.TemporaryDirectory() as folder:
        write_model(f"{folder}/model", tokenizer, args.hidden_size, args.layers, args.hidden_size // 64)
        argv = ["--task", "tatoeba", "--model_name_or_path", f"{folder}/model", "--layer", str(args.layers), "--languages", *args.languages]
        argv += ["--data_dir", args.data_dir] if args.data_dir else []
        argv += ["--max_predict_samples", str(args.max_predict_samples)] if args.max_predict_samples else []
        for repeat in range(args.repeats + 1):
            for name, flags in (("last", []), ("all", ["--layers", "all"])):
                taken = seconds_of([*argv, *flags], f"{folder}/out")
                if repeat:
                    seconds[name].append(taken)
    last, everything = (statistics.median(seconds[name]) for name in ("last", "all"))
    ratio = statistics.median(b / a for a, b in zip(seconds["last"], seconds["all"]))
    print(f"the last layer alone: {last:.1f} s; all {args.layers + 1} layers, two poolings: {everything:.1f} s; median ratio {ratio:.2f}")
    if args.json:
        figures = {"shape": [args.hidden_size, args.layers], "languages": args.languages, "threads": torch.get_num_threads(),
                   "seconds": seconds, "ratio": ratio}  # fmt: skip
        Path(args.json).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if ratio > LIMIT:
        raise SystemExit(f"all layers cost {ratio:.2f} times one pass to the last, more than {LIMIT}")


if __name__ == "__main__":
    run_script(main)
