"""Compares retrieval in fp32, tf32, bf16 and fp16 with one model and the same sentences: scores, and answers that differ from fp32's.

    python -m samples.write_data                   # writes the miniature data, once
    python benchmarks/precision.py                 # uses the miniature data and encoder
    python benchmarks/precision.py --data_dir DIR --model_name_or_path out/mnli --layer 14

On a CPU tf32 is emulated: the inputs of matrix products in linear layers and attention are rounded to 10 bits of mantissa, as in Ampere's
tensor cores.
"""

import contextlib
import sys
import tempfile
from pathlib import Path
from unittest import mock

import torch
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
import run_retrieval  # noqa: E402
from benchmarks.flags import existing_folder  # noqa: E402
from console import run_script  # noqa: E402
from task_adapters import TASKS, InputError, load_examples  # noqa: E402
from task_adapters.errors import OneLineParser  # noqa: E402

PRECISIONS = ("fp32", "tf32", "bf16", "fp16")


def rounded(values):
    """Returns fp32 values whose last 13 of 23 mantissa bits are rounded to zero."""
    bits = values.float().contiguous().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


def emulated_tf32():
    """Returns a context in which linear layers and attention round their inputs as tf32 does."""
    linear, attention = F.linear, F.scaled_dot_product_attention
    patches = contextlib.ExitStack()
    patches.enter_context(mock.patch.object(F, "linear", lambda x, weight, bias=None: linear(rounded(x), rounded(weight), bias)))
    patches.enter_context(mock.patch.object(
        F, "scaled_dot_product_attention", lambda *qkv, **options: attention(*map(rounded, qkv[:3]), *qkv[3:], **options)
    ))  # fmt: skip
    return patches


def answers(folder, task, language):
    return (Path(folder, "predictions", {"bucc": "bucc2018"}.get(task, task), f"test-{language}.tsv")).read_text().splitlines()


def compare(task, languages, args, folder):
    """Returns {precision: (mean score, number of answers that differ from fp32's, number of answers)}."""
    figures, gpu = {}, torch.cuda.is_available()
    for precision in PRECISIONS:
        output = f"{folder}/{task}-{precision}"
        sys.argv = ["run_retrieval.py", "--task", task, "--model_name_or_path", args.model_name_or_path, "--data_dir", args.data_dir,
                    "--layer", str(args.layer), "--languages", *languages, "--output_dir", output, "--precision", precision]  # fmt: skip
        with emulated_tf32() if precision == "tf32" and not gpu else contextlib.nullcontext():
            scores = run_retrieval.main()["scores"]
        metric = TASKS[task].dev_metric
        lines = {language: answers(output, task, language) for language in languages}
        fp32_lines = lines if precision == "fp32" else fp32_lines  # noqa: F821 (fp32 comes first)
        if task == "bucc":  # The answers are pairs, and the number of pairs depends on the threshold.
            different = sum(len(set(lines[language]) ^ set(fp32_lines[language])) for language in languages)
        else:
            different = sum(a != b for language in languages for a, b in zip(lines[language], fp32_lines[language]))
        mean = sum(scores[language][metric] for language in languages) / len(languages)
        figures[precision] = mean, different, sum(map(len, fp32_lines.values()))
    return figures


def main():
    parser = OneLineParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model_name_or_path", default=str(ROOT / "samples/encoder"))
    parser.add_argument("--data_dir", type=existing_folder, default=str(ROOT / "samples/data"))
    parser.add_argument("--layer", type=int, default=2)
    parser.add_argument("--tasks", nargs="+", choices=("tatoeba", "bucc"), default=["tatoeba", "bucc"])
    args = parser.parse_args()
    rows = []
    for task in args.tasks:
        languages = []
        for language in TASKS[task].languages:
            with contextlib.suppress(InputError):
                load_examples(TASKS[task], "test", language, args.data_dir)
                languages.append(language)
        if not languages:
            raise InputError(f"no language of {task} is in {args.data_dir}.")
        with tempfile.TemporaryDirectory() as folder:
            figures = compare(task, languages, args, folder)
        rows += [(task, len(languages), precision, *values) for precision, values in figures.items()]
    print(f"\n{'task':<10}{'languages':>10}{'precision':>11}{'mean score':>12}{'other answers':>15}{'of':>8}")
    for task, languages, precision, mean, other, count in rows:
        print(f"{task:<10}{languages:>10}{precision:>11}{mean:>12.2f}{other:>15}{count:>8}")


if __name__ == "__main__":
    run_script(main)
