"""Measures how much faster training on real tokens is, and which share of the computed tokens is real.

    python benchmarks/throughput.py                                  # XLM-R base's shape, MNLI's lengths: minutes on a CPU
    python benchmarks/throughput.py --width 64 --layers 2 --steps 2  # a quick trial
    python benchmarks/throughput.py --shape xlmr-large --batch 32    # on a GPU: bf16, tokens/s, share of the matrix-product peak
    python benchmarks/throughput.py --width 256 --layers 4 --compile # also with torch.compile
    python benchmarks/throughput.py --steps 0 --data_dir samples/data  # shares of real tokens only, no model

The data come from the hub or from --data_dir. A task without data is left out, and a line says so. In each round all settings take turns.
Each trains one model of random weights for whole optimiser steps with the same effective batch, on examples drawn at random. The figure to
compare is the quotient: the ratio of examples per second to the transformers example's settings, over the ratio of computed tokens.
"""

import argparse
import contextlib
import json
import math
import statistics
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from transformers import DataCollatorWithPadding

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.flags import at_least, existing_folder, new_file
from benchmarks.memory_formula import PIECES, SHAPES, config_of, parameters_of
from console import run_script
from speed import padding_free, trimmed_embeddings
from speed.real_tokens import GroupedByLength, compile_blocks, lengths_of, scoring_batches
from task_adapters import TASKS, InputError, labels_of, load_examples
from task_adapters.errors import OneLineParser
from task_types import TASK_TYPES, make_features
from task_types.collator import Collator, what_is_read
from task_types.retrieval import different, embedding_batches
from trainer.tokenizers import load_tokenizer

# examples/pytorch/text-classification/run_glue.py with pad_to_max_length, length 128 and random order.
EXAMPLE = "transformers example"


@dataclass(frozen=True)
class Setting:
    """One way to train. batch: examples in one forward pass. padded_to: length of all texts; None: the longest of the batch."""

    batch: int
    padded_to: int | None = None
    grouped: bool = True
    packed: bool = False
    bf16: bool = False
    compiled: bool = False
    trimmed: bool = False


def settings(args, gpu: bool) -> dict[str, Setting]:
    """Returns {name: setting} of all settings that the flags ask for."""
    ours = args.batch if gpu else min(8, args.batch)  # The scripts' default micro-batch. On a large GPU it is the whole effective batch.
    padded = min(args.batch, 256)  # More padded examples do not fit a GPU.
    chosen = {
        EXAMPLE: Setting(padded, padded_to=128, grouped=False),
        "padded to the longest, unsorted": Setting(padded, grouped=False),
        "ours, padded": Setting(min(ours, padded)),
        "ours, padding-free": Setting(ours, packed=True),
    }
    if not args.width:  # With XLM-R's vocabulary this setting is the default of a run.
        chosen["ours, padding-free, trimmed" if gpu else "ours, padded, trimmed"] = Setting(ours, packed=gpu, trimmed=True)
    if args.compile:
        chosen["ours, compiled"] = Setting(ours, packed=gpu, compiled=True, trimmed=not args.width)
    if gpu:
        chosen = {name: replace(setting, bf16=True) for name, setting in chosen.items()}
        eighth = min(64, max(1, args.effective_batch // 8))  # jiant accumulates over 8 steps. More than 64 examples do not fit in fp32.
        chosen["jiant-like: padded to 256, fp32"] = Setting(eighth, padded_to=256, grouped=False)
    return chosen


# ---- shares of real tokens, computed from lengths


def load(name, split, tokenizer, args):
    """Returns (task, features); None without the task's data."""
    task = TASKS[name]
    try:
        examples, _ = load_examples(task, split, "en", args.data_dir, args.examples, 0)
    except InputError as error:
        print(f"{name} {split} left out: {error}", file=sys.stderr)
        return None
    task = replace(task, labels=labels_of(task, examples))
    recipe = task.recipes["jiant"]
    return task, make_features(examples, tokenizer, task, recipe.max_seq_length, recipe.doc_stride)


def tokens_of(features):
    """Returns (padded length of each feature, its number of real tokens over all choices, number of choices)."""
    rows, lengths = features["input_ids"][:], lengths_of(features)
    if not isinstance(rows[0][0], list):
        return lengths, lengths, 1
    return lengths, np.array([sum(map(len, row)) for row in rows]), len(rows[0])


def share(lengths, real, choices, batches):
    """Returns the share of real tokens if each batch is padded to its longest feature."""
    return float(sum(real[batch].sum() for batch in batches) / sum(lengths[batch].max() * len(batch) * choices for batch in batches))


def retrieval_share(name, tokenizer, args) -> dict | None:
    """Returns the shares for one language of a retrieval task, in the batches that run_retrieval.py makes on a CPU and on a GPU."""
    for language in TASKS[name].languages:
        try:
            examples, _ = load_examples(TASKS[name], "test", language, args.data_dir)
            break
        except InputError:
            continue
    else:
        print(f"{name} left out: no language of it is here", file=sys.stderr)
        return None
    sides = [examples[side] for side in ("source", "target") if side in examples.column_names] or [examples["text"]]
    rows = [ids for texts in sides for ids in tokenizer(different(texts)[0])["input_ids"]]
    lengths = np.array([len(ids) for ids in rows])
    ours = [share(lengths, lengths, 1, [np.array(batch) for batch in embedding_batches(rows, budget)]) for budget in (1024, 8192)]
    order = np.random.default_rng(0).permutation(len(lengths))
    unsorted = share(lengths, lengths, 1, [order[i : i + 100] for i in range(0, len(order), 100)])
    longest = TASKS[name].recipes["jiant"].max_seq_length
    return {"type": f"{TASKS[name].task_type} ({language})", "tokens": float(lengths.mean()), "padded_to_maximum": lengths.mean() / longest,
            "unsorted": unsorted, "training": math.nan, "scoring": min(ours), "padding_free": 1.0}  # fmt: skip


def shares(name, tokenizer, args) -> dict | None:
    if TASKS[name].phase == "retrieval":
        return retrieval_share(name, tokenizer, args)
    train, dev = (load(name, split, tokenizer, args) for split in ("train", "dev"))
    if train is None or dev is None:
        return None
    task, features = train
    lengths, real, choices = tokens_of(features)
    scored, recipe = tokens_of(dev[1]), task.recipes["jiant"]
    effective = recipe.effective_batch_size
    size = max(size for size in range(1, 9) if effective % size == 0)
    orders = {"unsorted": np.random.default_rng(0).permutation(len(lengths)), "ours": list(GroupedByLength(lengths, effective, 0, int))}
    cut = {key: [np.array(order[i : i + size]) for i in range(0, len(order), size)] for key, order in orders.items()}
    sorted_batches = [np.array(batch) for batch in scoring_batches(scored[0], 32)]
    return {
        "type": task.task_type,
        "tokens": float(real.mean()),
        "padded_to_maximum": float(real.sum() / (len(real) * recipe.max_seq_length * choices)),
        "unsorted": share(lengths, real, choices, cut["unsorted"]),
        "training": share(lengths, real, choices, cut["ours"]),
        "scoring": share(*scored, sorted_batches),
        "padding_free": 1.0,
    }


# ---- training, all settings in turn


def batches_of(setting, features, lengths, task, tokenizer, effective, count, seed):
    """Yields `count` optimiser steps, each a list of collated micro-batches."""
    if setting.grouped:
        order = list(GroupedByLength(lengths, effective, seed, int))
    else:
        order = np.random.default_rng(seed).permutation(len(lengths)).tolist()
    collator, rows = Collator(tokenizer.pad_token_id), what_is_read(features)
    if setting.padded_to:
        collator = DataCollatorWithPadding(tokenizer, padding="max_length", max_length=setting.padded_to)

    def row(index):  # transformers' example cuts texts that are longer than the padded length.
        return {name: value[: setting.padded_to] if isinstance(value, list) else value for name, value in rows[index].items()}

    for step in range(count):
        chosen = order[step * effective : (step + 1) * effective]
        yield [collator([row(index) for index in chosen[i : i + setting.batch]]) for i in range(0, effective, setting.batch)]


def packing(encoder, on: bool) -> None:
    """Switches padding-free computation of an encoder on or off."""
    if on and "forward" not in vars(encoder):
        on_gpu = encoder.device.type == "cuda"
        has_triton = on_gpu and padding_free.triton_is_exact(encoder.config, encoder.device, torch.bfloat16)
        reason = padding_free.pack(encoder, (torch.bfloat16,) if has_triton else ())
        if reason:
            raise InputError(reason)
    elif not on and "forward" in vars(encoder):
        del encoder.forward
        encoder.set_attn_implementation("sdpa")


def compiling(encoder, on: bool) -> None:
    """Switches compiled blocks on or off, as a run's --torch_compile. `torch.nn.Module.compile` has no public way to switch off."""
    if on and not hasattr(encoder.encoder.layer[0], "compiled"):
        compile_blocks(encoder, "inductor", None)
        for layer in encoder.encoder.layer:
            layer.compiled = layer._compiled_call_impl
    for layer in encoder.encoder.layer:
        layer._compiled_call_impl = layer.compiled if on else None


def train_step(model, optimizer, loss, micro_batches, setting, device):
    """Makes one optimiser step. Returns its numbers of (real, computed) tokens."""
    model.train()
    real = computed = 0
    examples = sum(len(batch["labels"]) for batch in micro_batches)
    for batch in micro_batches:
        batch_tokens = int(batch["attention_mask"].sum())
        real, computed = real + batch_tokens, computed + (batch_tokens if setting.packed else batch["attention_mask"].numel())
        if setting.packed:
            model.base_model.forward.expect(batch_tokens)
        if device.type == "cuda":  # The Trainer copies its batches in the same way.
            batch = {name: values.pin_memory() for name, values in batch.items()}
        inputs = {name: values.to(device, non_blocking=True) for name, values in batch.items()}
        labels = inputs.pop("labels")
        with torch.autocast(device.type, torch.bfloat16) if setting.bf16 else contextlib.nullcontext():
            outputs = model(**inputs)
        loss(outputs, labels, examples).backward()
    optimizer.step()
    optimizer.zero_grad()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return real, computed


def state_bytes(pair) -> int:
    """Returns the bytes of a model's weights and its optimiser's states. pair: (model, optimiser)."""
    model, optimizer = pair
    states = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, torch.Tensor)]
    return sum(tensor.nbytes for tensor in (*model.parameters(), *states))


def matrix_peak(device) -> float:
    """Returns the measured FLOP/s of a large bf16 matrix product."""
    one, other = (torch.randn(8192, 8192, dtype=torch.bfloat16, device=device) for _ in range(2))
    seconds = []
    for _ in range(20):
        torch.cuda.synchronize()
        start = time.perf_counter()
        one @ other
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return 2 * 8192**3 / statistics.median(seconds[5:])


def speed(args, tokenizer) -> dict:
    """Trains all settings in turn, round by round. Returns {setting: figures}."""
    from transformers import AutoModelForSequenceClassification

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    gpu = device.type == "cuda"
    width, layers, heads, vocabulary = SHAPES[args.shape]
    width, layers, heads = args.width or width, args.layers or layers, max(1, args.width // 64) if args.width else heads
    vocabulary = vocabulary if not args.width else len(tokenizer)
    loaded = load("mnli", "train", tokenizer, args)
    if loaded is None:
        raise InputError("the lengths are MNLI's, and its data are not there.")
    task, features = loaded
    lengths, loss = lengths_of(features), TASK_TYPES[task.task_type].loss
    if len(lengths) < args.steps * args.effective_batch:
        raise InputError(f"--steps {args.steps} x {args.effective_batch} examples are more than the {len(lengths)} that there are.")
    chosen = {name: setting for name, setting in settings(args, gpu).items() if not any(word in name for word in args.without)}
    models = {}  # {whether the embeddings are trimmed: (model, optimiser)}
    for trimmed in sorted({setting.trimmed for setting in chosen.values()}):
        torch.manual_seed(0)
        with device:  # A GPU draws the weights much faster.
            model = AutoModelForSequenceClassification.from_config(config_of(width, layers, heads, vocabulary, num_labels=3))
        if trimmed:  # The second data set keeps as many pieces as all of MNLI may have. A few examples would keep too few.
            datasets = [features, Dataset.from_dict({"input_ids": [list(range(PIECES))]})]
            trimmed_embeddings.set_up(model.cpu().base_model, "on", "adamw_torch_fused", datasets, tokenizer)
            model.to(device)
        models[trimmed] = model, torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    figures_of = {name: {"seconds": [], "real": 0, "computed": 0, "examples": 0} for name in chosen}
    for turn in range(args.rounds + 1):  # The first round warms up and is not measured.
        for name, setting in chosen.items():
            model, optimizer = models[setting.trimmed]
            packing(model.base_model, setting.packed)
            compiling(model.base_model, setting.compiled)
            count = args.steps if turn or gpu else 1
            steps = list(batches_of(setting, features, lengths, task, tokenizer, args.effective_batch, count, turn))
            if gpu:
                torch.cuda.reset_peak_memory_stats()
            start, figures = time.perf_counter(), figures_of[name]
            tokens = [train_step(model, optimizer, loss, step, setting, device) for step in steps]
            if turn:
                figures["seconds"].append(time.perf_counter() - start)
                figures["real"] += sum(real for real, _ in tokens)
                figures["computed"] += sum(computed for _, computed in tokens)
                figures["examples"] += len(steps) * args.effective_batch
                idle_bytes = sum(map(state_bytes, (pair for trimmed, pair in models.items() if trimmed != setting.trimmed)))
                figures["peak_gib"] = (torch.cuda.max_memory_allocated() - idle_bytes) / 2**30 if gpu else None
    examples_per_round = args.steps * args.effective_batch
    first = figures_of[EXAMPLE]
    peak = matrix_peak(device) if gpu else None
    for figures in figures_of.values():
        figures["examples_per_second"] = examples_per_round / statistics.median(figures["seconds"])
        figures["share_real"] = figures["real"] / figures["computed"]
        figures["ratio"] = statistics.median(one / other for one, other in zip(first["seconds"], figures["seconds"]))
        figures["token_ratio"] = first["computed"] / figures["computed"]
        figures["quotient"] = figures["ratio"] / figures["token_ratio"]
        figures["real_tokens_per_second"] = figures["real"] / args.rounds / statistics.median(figures["seconds"])
        if peak:  # The model's FLOPs: six per token and weight of a matrix product, plus attention at the mean length.
            products, mean = parameters_of(width, layers, heads, vocabulary)[2], figures["real"] / figures["examples"]
            flops = 6 * products + 12 * layers * width * mean
            figures["share_of_peak"] = flops * figures["real_tokens_per_second"] / peak
    return figures_of


def table(head, rows) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def main():
    parser = OneLineParser(description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data_dir", type=existing_folder, help="a folder laid out by hub id, in place of the hub")
    parser.add_argument("--tokenizer", default="FacebookAI/xlm-roberta-large")
    shown = ["mnli", "udpos", "squad_v1", "hellaswag", "tatoeba"]
    parser.add_argument("--tasks", nargs="+", choices=tuple(TASKS), default=shown, help="for the table of shares")
    parser.add_argument("--examples", type=at_least(1), default=4000, help="examples of each task")
    parser.add_argument("--shape", default="xlmr-base", choices=tuple(SHAPES))
    parser.add_argument("--width", type=at_least(1), help="replaces the shape's")
    parser.add_argument("--layers", type=at_least(1), help="replaces the shape's")
    parser.add_argument("--effective_batch", type=at_least(1), default=32)
    parser.add_argument("--batch", type=at_least(1), default=32, help="examples in one forward pass; ours on a CPU take 8")
    gpu = torch.cuda.is_available()
    parser.add_argument("--steps", type=at_least(0), default=20 if gpu else 2, help="optimiser steps in a round; 0: shares only")
    parser.add_argument("--compile", action="store_true", help="also a setting with torch.compile, for shapes of all sizes")
    parser.add_argument("--without", nargs="+", default=[], metavar="WORD", help="leave out settings with these words in their names")
    parser.add_argument("--rounds", type=at_least(1), default=5)
    parser.add_argument("--json", type=new_file, help="write the figures to this file")
    args = parser.parse_args()
    if args.width and args.width > 64 and args.width % 64:
        parser.error(f"--width {args.width}: up to 64, or a multiple of 64, the width of a head")
    for word in args.without:
        if not any(word in name for name in settings(args, gpu)) or word in EXAMPLE:
            parser.error(f"--without {word}: can be left out: " + "; ".join(name for name in settings(args, gpu) if name != EXAMPLE))
    tokenizer = load_tokenizer(args.tokenizer, needs_offsets=True)

    task_shares = {name: values for name in args.tasks if (values := shares(name, tokenizer, args))}
    if not task_shares:
        raise InputError(f"no data of {', '.join(args.tasks)} are there.")
    print(table(
        ["task", "type", "tokens", "padded to the maximum", "unsorted", "ours, training", "ours, scoring", "padding-free"],
        [[name, f["type"], f"{f['tokens']:.0f}", *(f"{f[key]:.3f}" for key in (
            "padded_to_maximum", "unsorted", "training", "scoring", "padding_free"))] for name, f in task_shares.items()],
    ).replace("| nan |", "| - |"))  # fmt: skip
    trained = speed(args, tokenizer) if args.steps else {}
    if trained:
        head = ["setting", "examples/s", "real tokens/s", "share real", "speed ratio", "token ratio", "quotient"]
        rows = [
            [name, f"{f['examples_per_second']:.2f}", f"{f['real_tokens_per_second']:.0f}", f"{f['share_real']:.3f}",
             *(f"{f[key]:.2f}" for key in ("ratio", "token_ratio", "quotient")),
             *([f"{f['share_of_peak']:.1%}", f"{f['peak_gib']:.1f}"] if gpu else [])]
            for name, f in trained.items()
        ]  # fmt: skip
        print(f"\nshape {args.shape}, width {args.width}, layers {args.layers}, {torch.get_num_threads()} thread(s)\n")
        print(table(head + (["share of peak", "peak GiB"] if gpu else []), rows))
    if args.json:
        Path(args.json).write_text(json.dumps({"shares": task_shares, "training": trained}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_script(main)
