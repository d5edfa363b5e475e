"""Measures how fast features are made, compared with the bare tokenizer, and how long a second start takes until its first step.

    python benchmarks/preparation.py                    # MNLI's 392,702 rows, a vocabulary of XLM-R's size
    python benchmarks/preparation.py --data_dir DIR --model_name_or_path FOLDER --rows 50000 --json figures.json

The rows are those of MNLI, from the hub or from --data_dir. If there are fewer than --rows, premises are paired with other hypotheses, and
a number is added to make each row new.
First preparation: `make_features` and a bare batched `tokenizer(...)` over the same rows. The rows are cut into slices, and the two take
turns on each slice. No slice is cached before.
Second start: `main` of run_intermediate.py with everything cached, from the end of the imports to the first training step.
The tokenizer's vocabulary is extended to --vocabulary by pieces that never occur. The model is tiny, so the time to read weights is not
measured.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import datasets

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from benchmarks.flags import at_least, existing_folder, new_file  # noqa: E402
from console import run_script  # noqa: E402
from task_adapters import InputError  # noqa: E402
from task_adapters.errors import OneLineParser  # noqa: E402

MNLI_ROWS, XLMR_VOCABULARY, LENGTH = 392_702, 250_002, 256


def write_rows(folder, data_dir, count):
    """Writes a --data_dir with `count` training rows and MNLI's own dev rows, in the hub's columns."""
    from datasets import Dataset, Features, Value

    from task_adapters import TASKS

    source, draw = TASKS["mnli"].sources[0], random.Random(0)
    target = Path(folder, source.hub_id, source.config)
    target.mkdir(parents=True)
    train, _ = source.load("train", "en", data_dir)
    source.load("dev", "en", data_dir)[0].to_parquet(target / "validation_matched-00000-of-00001.parquet")
    premises, hypotheses, labels = (train[name][:] for name in ("premise", "hypothesis", "label"))
    text = Value("string")
    features = Features({"premise": text, "hypothesis": text, "label": train.features["label"], "idx": Value("int32")})
    rows = {"premise": [], "hypothesis": [], "label": [], "idx": list(range(count))}
    for number in range(count):
        is_repeated = number >= len(train)
        rows["premise"].append(premises[number % len(train)])
        rows["hypothesis"].append(f"{draw.choice(hypotheses)} {number}" if is_repeated else hypotheses[number])
        rows["label"].append(labels[number % len(train)])
    Dataset.from_dict(rows, features=features).to_parquet(target / "train-00000-of-00001.parquet")


def write_model(folder, model_name_or_path, vocabulary):
    """Writes the tokenizer of `model_name_or_path` with more pieces, and a tiny random encoder. Returns the vocabulary's size."""
    from transformers import XLMRobertaConfig, XLMRobertaModel

    from trainer.tokenizers import load_tokenizer

    load_tokenizer(model_name_or_path, needs_offsets=True).save_pretrained(folder)
    path = Path(folder, "tokenizer.json")
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    if tokenizer["model"]["type"] != "Unigram":
        raise InputError(f"{model_name_or_path!r} has a {tokenizer['model']['type']} tokenizer: only Unigram, as XLM-R's, is widened.")
    pieces = tokenizer["model"]["vocab"]
    letters = [chr(code) for code in range(0x1200, 0x1340)]  # Ethiopic letters do not occur in English text.
    draw, texts = random.Random(0), {piece for piece, _ in pieces}
    while len(pieces) < vocabulary:
        piece = "".join(draw.choices(letters, k=draw.randint(3, 8)))
        if piece not in texts:
            texts.add(piece)
            pieces.insert(-1, [piece, -20.0])  # <mask> must stay the last one.
    mask = len(pieces) - 1
    for token in tokenizer["added_tokens"]:
        if token["content"] == "<mask>":
            token["id"] = mask
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    XLMRobertaModel(XLMRobertaConfig(vocab_size=len(pieces), max_position_embeddings=514, **size)).save_pretrained(folder)
    return len(pieces)


def cpu_seconds():
    """Returns the CPU seconds of this process and its finished children, over all threads."""
    return sum(os.times()[:4])


def first_preparation(data, model, slices):
    """Returns rows per second of the bare tokenizer, of `make_features` and of `load_examples`, and their ratios, by name."""
    from transformers import AutoTokenizer

    from task_adapters import TASKS, load_examples
    from task_types import make_features

    task, tokenizer = TASKS["mnli"], AutoTokenizer.from_pretrained(model)
    start = time.perf_counter()
    examples, _ = load_examples(task, "train", "en", data)
    loading = time.perf_counter() - start
    bare, ours, cpu_ratios = [], [], []
    for number in range(slices):
        rows = examples.select(range(number * len(examples) // slices, (number + 1) * len(examples) // slices))
        texts = rows["text_a"][:], rows["text_b"][:]
        start, start_cpu = time.perf_counter(), cpu_seconds()
        for row in range(0, len(rows), 1000):
            tokenizer(*(column[row : row + 1000] for column in texts), truncation="longest_first", max_length=LENGTH)
        middle, middle_cpu = time.perf_counter(), cpu_seconds()
        make_features(rows, tokenizer, task, LENGTH, None)
        bare.append(len(rows) / (middle - start))
        ours.append(len(rows) / (time.perf_counter() - middle))
        cpu_ratios.append((middle_cpu - start_cpu) / (cpu_seconds() - middle_cpu))
    ratios = [our_speed / bare_speed for our_speed, bare_speed in zip(ours, bare)]
    return {
        "rows": len(examples),
        "slices": len(bare),
        "bare_rows_per_second": statistics.median(bare),
        "ours_rows_per_second": statistics.median(ours),
        "ratio": statistics.median(ratios),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "ratio_of_cpu_seconds": statistics.median(cpu_ratios),
        "load_examples_rows_per_second": len(examples) / loading,
    }


def start_training(data, model, output):
    """Runs run_intermediate's main, in a separate process. Prints the seconds of each phase up to the first step, without the imports."""
    import accelerate  # noqa: F401
    import transformers.models.xlm_roberta.modeling_xlm_roberta
    import transformers.models.xlm_roberta.tokenization_xlm_roberta  # noqa: F401
    from transformers import Trainer

    import run_intermediate
    import task_adapters
    import task_types
    from trainer import (
        checkpoints,
        multitask,  # noqa: F401
        tokenizers,
    )
    from trainer import loop as training

    imported, imported_cpu, phases = time.perf_counter(), time.process_time(), {}

    def timed(module, name):
        function = getattr(module, name)

        def wrapper(*args, **kwargs):
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                phases[name] = phases.get(name, 0.0) + time.perf_counter() - start

        setattr(module, name, wrapper)

    for module, name in (
        (run_intermediate, "parse"), (tokenizers, "load_tokenizer"), (task_adapters, "load_examples"),
        (checkpoints, "load_model"), (task_types, "make_features"),
    ):  # fmt: skip
        timed(module, name)
    step = Trainer.training_step

    def first_step(self, *args, **kwargs):
        phases.setdefault("to the first step", time.perf_counter() - imported)
        phases.setdefault("the same, CPU", time.process_time() - imported_cpu)
        return step(self, *args, **kwargs)

    Trainer.training_step = first_step
    train = training.train

    def until_trained(*args, **kwargs):
        phases["before train()"] = time.perf_counter() - imported
        return train(*args, **kwargs)

    training.train = until_trained
    sys.argv = ["run_intermediate.py", "--task", "mnli", "--model_name_or_path", model, "--data_dir", data, "--output_dir", output,
                "--max_steps", "1", "--max_seq_length", str(LENGTH), "--use_cpu", "--disable_tqdm", "true", "--overwrite"]  # fmt: skip
    run_intermediate.main()
    print("PHASES " + json.dumps(phases))


def second_start(data, model, output, repeats):
    """Returns ({phase: median seconds of the second starts}, {phase: seconds of the first start, when nothing was cached})."""
    runs = []
    for _ in range(repeats + 1):
        command = [sys.executable, __file__, "--start", data, model, output]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        line = next(line for line in done.stdout.splitlines() if line.startswith("PHASES "))
        runs.append(json.loads(line.removeprefix("PHASES ")))
    return {name: statistics.median(run[name] for run in runs[1:]) for name in runs[0]}, runs[0]


def main():
    parser = OneLineParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model_name_or_path", default="FacebookAI/xlm-roberta-large", help="the model whose tokenizer is extended")
    parser.add_argument("--data_dir", type=existing_folder, help="folder with MNLI's rows; without it they come from the hub")
    parser.add_argument("--rows", type=at_least(1), default=MNLI_ROWS)
    parser.add_argument("--vocabulary", type=at_least(1), default=XLMR_VOCABULARY)
    parser.add_argument("--slices", type=at_least(1), default=3, help="slices of the rows, on which the two take turns")
    parser.add_argument("--repeats", type=at_least(1), default=3, help="number of second starts")
    parser.add_argument("--json", type=new_file, help="write the figures to this file")
    parser.add_argument("--start", nargs=3, metavar=("DATA", "MODEL", "OUTPUT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.start:
        return start_training(*args.start)
    if args.slices > args.rows:
        parser.error(f"--slices {args.slices}: of --rows {args.rows} some would be empty")
    with tempfile.TemporaryDirectory() as folder:
        # An empty cache that is removed at the end, for this process and for the processes that it starts.
        datasets.config.HF_DATASETS_CACHE = Path(folder, "cache")
        os.environ["HF_DATASETS_CACHE"] = f"{folder}/cache"
        data, model = f"{folder}/data", f"{folder}/model"
        write_rows(data, args.data_dir, args.rows)
        vocabulary = write_model(model, args.model_name_or_path, args.vocabulary)
        first = first_preparation(data, model, args.slices)
        seconds, uncached = second_start(data, model, f"{folder}/out", args.repeats)
    figures = {"vocabulary": vocabulary, "cores": os.cpu_count(), "first_preparation": first, "second_start_seconds": seconds,
               "first_start_seconds": uncached}  # fmt: skip
    print(
        f"first preparation, {first['rows']:,} rows ({first['slices']} slices):\n"
        f"  bare tokenizer {first['bare_rows_per_second']:>10,.0f} rows/s\n"
        f"  make_features  {first['ours_rows_per_second']:>10,.0f} rows/s, ratio {first['ratio']:.2f} {first['ratios']},"
        f" by CPU seconds {first['ratio_of_cpu_seconds']:.2f}\n"
        f"  load_examples  {first['load_examples_rows_per_second']:>10,.0f} rows/s\n"
        f"second start, seconds after the imports (median of {args.repeats}; then those of the first start):"
    )
    for name, value in seconds.items():
        print(f"  {name:<20}{value:>8.2f}{uncached[name]:>10.2f}")
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_script(main)
