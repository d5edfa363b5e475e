"""Tatoeba: CPU seconds of run_retrieval.py against the reference's way, same model, same sentences, in one process.

    python benchmarks/retrieval.py                                          # every language that the hub (or --data_dir) holds
    python benchmarks/retrieval.py --hidden_size 128 --languages sw th --json figures.json

The reference follows google-research/xtreme, third_party/evaluate_retrieval.py with scripts/run_tatoeba.sh. It embeds each language alone,
loads the model once for each side, takes batches of 100 in the order of the file, pads them to the longest sentence of the batch (its
`use_local_max_length`) and computes all layers. Two things make our copy of it faster than the original: a fast tokenizer, and pooling of
one layer only. With --pad_to N it pads all sentences to N tokens.
Ours is run_retrieval.main() itself, including reading data and writing predictions. The model is random and has XLM-R's shape: 24 layers,
of which layer 14 is used. --hidden_size sets its width.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import torch
from transformers import XLMRobertaModel, set_seed

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import run_retrieval
from benchmarks.flags import at_least, existing_folder, new_file
from benchmarks.memory_formula import config_of
from console import run_script
from task_adapters import TASKS, InputError, load_examples
from task_adapters.errors import OneLineParser
from task_types.retrieval import nearest_neighbours, sorted_english
from trainer.tokenizers import load_tokenizer

BATCH = 100
TASK = TASKS["tatoeba"]


def write_model(folder, tokenizer, *sizes):
    """Writes a random encoder and its tokenizer. sizes: hidden size, layers, heads."""
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):  # A GPU draws the weights much faster.
        set_seed(0)
        XLMRobertaModel(config_of(*sizes, len(tokenizer))).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@torch.inference_mode()
def reference_vectors(texts, folder, layer, pad_to):
    """Returns (unit vectors, number of real tokens, number of computed tokens)."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    vectors, real, computed = [], 0, 0
    for first in range(0, len(texts), BATCH):
        padding = {"padding": "max_length", "max_length": pad_to} if pad_to else {"padding": True, "max_length": 512}
        inputs = tokenizer(texts[first : first + BATCH], truncation=True, return_tensors="pt", **padding)
        mask = inputs["attention_mask"]
        real, computed = real + int(mask.sum()), computed + mask.numel()
        hidden = model(**inputs, output_hidden_states=True).hidden_states[layer]
        vectors.append((hidden * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True))
    return torch.nn.functional.normalize(torch.cat(vectors), dim=-1), real, computed


def reference(examples, folder, layer, pad_to):
    """Scores one language. Returns (accuracy, predictions, number of real tokens, number of computed tokens)."""
    gold, targets = sorted_english(examples), list(examples["target"])
    english, real, computed = reference_vectors([targets[row] for row in gold], folder, layer, pad_to)
    foreign, more_real, more_computed = reference_vectors(list(examples["source"]), folder, layer, pad_to)
    predicted = nearest_neighbours(english, foreign).tolist()
    return TASK.metric(gold, predicted, "")["accuracy"], predicted, real + more_real, computed + more_computed


def cpu_of(function, *arguments):
    """Calls a function. Returns (CPU seconds, its value)."""
    start = time.process_time()
    value = function(*arguments)
    return time.process_time() - start, value


def main():
    parser = OneLineParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model_name_or_path", default="FacebookAI/xlm-roberta-large", help="the model whose tokenizer is used")
    parser.add_argument("--data_dir", type=existing_folder)
    parser.add_argument("--languages", nargs="+", help="without this flag: all languages that have data")
    parser.add_argument("--hidden_size", type=at_least(64), default=256, help="a multiple of 64")
    parser.add_argument("--layers", type=at_least(1), default=24)
    parser.add_argument("--layer", type=at_least(0), default=14, help="the layer whose output gives the vectors")
    parser.add_argument("--pad_to", type=at_least(1), help="the reference pads every sentence to this length")
    parser.add_argument("--tolerance", type=float, default=0.5, help="largest difference in accuracy that passes")
    parser.add_argument("--json", type=new_file, help="write the figures to this file")
    args = parser.parse_args()
    if args.hidden_size % 64:
        parser.error(f"--hidden_size {args.hidden_size}: a multiple of 64, the width of a head")
    if args.layer > args.layers:
        parser.error(f"--layer {args.layer} of a model of {args.layers}: give more --layers, or another --layer")
    if not args.tolerance >= 0:
        parser.error(f"--tolerance {args.tolerance}: 0 or more")
    if args.pad_to and args.pad_to > 512:
        parser.error(f"--pad_to {args.pad_to}: the model has 512 positions")

    tokenizer, data = load_tokenizer(args.model_name_or_path, needs_offsets=False), {}
    for language in args.languages or TASK.languages:
        try:
            data[language] = load_examples(TASK, "test", language, args.data_dir)[0]
        except InputError as error:
            if args.languages:
                raise
            print(f"{language} left out: {error}", file=sys.stderr)
    if not data:
        raise InputError("no language of Tatoeba is here. Give --data_dir, or a hub.")
    with tempfile.TemporaryDirectory() as folder:
        write_model(f"{folder}/model", tokenizer, args.hidden_size, args.layers, args.hidden_size // 64)
        settings = f"{folder}/model", args.layer, args.pad_to
        reference(next(iter(data.values())).select(range(2)), *settings)  # The first call starts libraries and threads.
        sys.argv = ["run_retrieval.py", "--task", "tatoeba", "--model_name_or_path", f"{folder}/model", "--output_dir", f"{folder}/out",
                    "--use_cpu", "--layer", str(args.layer), "--languages", *data]  # fmt: skip
        sys.argv += ["--data_dir", args.data_dir] if args.data_dir else []
        ours, results = cpu_of(run_retrieval.main)
        theirs, rows, real, computed = 0.0, [], 0, 0
        for language, examples in data.items():
            seconds, (accuracy, predicted, *tokens) = cpu_of(reference, examples, *settings)
            path = Path(folder, "out", "predictions", "tatoeba", f"test-{language}.tsv")
            our_answers = [int(line) for line in path.read_text(encoding="utf-8").split()]
            same = sum(a == b for a, b in zip(our_answers, predicted, strict=True)) / len(our_answers)
            rows.append((language, len(examples), results["scores"][language]["accuracy"], accuracy, same, seconds))
            theirs, real, computed = theirs + seconds, real + tokens[0], computed + tokens[1]
    difference = max(abs(row[2] - row[3]) for row in rows)
    print(f"{'':<10}{'pairs':>8}{'accuracy, ours':>16}{'reference':>12}{'same answers':>14}{'CPU s, reference':>18}")
    for language, pairs, our_accuracy, accuracy, same, seconds in rows:
        print(f"{language:<10}{pairs:>8}{our_accuracy:>16.2f}{accuracy:>12.2f}{same:>14.4f}{seconds:>18.1f}")
    print(
        f"CPU seconds of all: reference {theirs:.1f}, ours {ours:.1f}, {theirs / ours:.1f} times less;"
        f" largest difference in accuracy {difference:.2f}\n"
        f"the reference computes {computed / real:.2f} times its {real:,} real tokens, through {args.layers} layers;"
        f" {args.layer} are read"
    )
    figures = {
        "shape": [args.hidden_size, args.layers], "layer": args.layer, "pad_to": args.pad_to, "threads": torch.get_num_threads(),
        "reference_cpu_seconds": theirs, "ours_cpu_seconds": ours, "ratio": theirs / ours, "reference_real_tokens": real,
        "reference_computed_tokens": computed, "largest_accuracy_difference": difference,
        "languages": {row[0]: dict(zip(("pairs", "ours", "reference", "same", "reference_cpu_seconds"), row[1:])) for row in rows},
    }  # fmt: skip
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if difference > args.tolerance:
        raise SystemExit(f"accuracies differ by {difference:.2f}, more than {args.tolerance}")


if __name__ == "__main__":
    run_script(main)
