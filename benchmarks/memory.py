"""How much GPU memory does a run need, and which flags fit a card of N GB?

    python benchmarks/memory.py --gb 8 --task xnli    # one answer: the command line
    python benchmarks/memory.py --cards               # which flags for 6, 8, 12, 16, 24, 40 GB
    python benchmarks/memory.py                       # the table: settings x lengths
    python benchmarks/memory.py --check               # the estimates against what torch and DeepSpeed keep, counted on this machine's CPU

Without a GPU every figure is an ESTIMATE by formula: what is in memory at the moments of a step where a peak can be (memory_formula.py).
With a GPU the same commands train a few steps of the real shape (random weights, random tokens, by the scripts' own parts) under a hard cap
and print what was measured; --estimate keeps to the formula. GB are GiB, as cards are sold.
"""

import argparse
import contextlib
import json
import math
import os
import shlex
import subprocess
import sys
import tempfile
import time
import weakref
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from transformers import TrainingArguments

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.flags import above_zero, at_least
from benchmarks.memory_formula import CHECKPOINTING, CONTEXT, GIB, PIECES, SHAPES, ZERO, Setting, config_of, estimate, moments, trim
from console import run_script
from task_adapters import TASKS, InputError, Task, nearest
from trainer import deepspeed as deepspeed_support

ROOT = Path(__file__).resolve().parents[1]
CAPS = (6, 8, 12, 16, 24, 40)
SURE = 0.96  # of a card may be filled by an estimate: it is off by a few percent, and a card has a little less than is on its box
MODELS = {"xlmr-large": "FacebookAI/xlm-roberta-large", "xlmr-base": "FacebookAI/xlm-roberta-base"}  # small: nobody's


# ---- with a GPU: the real thing under a cap


def measure(shape: str, setting: Setting, gb: float | None) -> dict:
    """Trains a few steps in a process of its own. -> {"fits", "allocated", "reserved" (bytes), "examples_per_second"} or {"error"}"""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    one_gpu = {**os.environ, "CUDA_VISIBLE_DEVICES": first}  # else the Trainer would spread the batch over all it sees
    cell = json.dumps({"shape": shape, "gb": gb, "setting": asdict(setting)})
    process = subprocess.run([sys.executable, __file__, "--cell", cell], capture_output=True, text=True, cwd=ROOT, env=one_gpu)
    lines = [line for line in process.stdout.splitlines() if line.startswith("CELL ")]
    if process.returncode or not lines:
        return {"error": (process.stderr.strip().splitlines() or ["no output"])[-1]}
    return json.loads(lines[-1].removeprefix("CELL "))


def kind_of(setting: Setting):
    """The task type that is trained: one sequence an example, or several to choose among."""
    from task_types import classification, multiple_choice

    return multiple_choice if setting.choices > 1 else classification


def model_of(shape: str, setting: Setting, vocabulary: int | None = None, **changes):
    """A classifier of random weights, or a chooser. vocabulary: in place of the shape's."""
    *sizes, whole = SHAPES[shape]
    model = kind_of(setting).Model.from_config(config_of(*sizes, vocabulary or whole, num_labels=3, **changes))
    model.accepts_loss_kwargs = False
    return model


def run_cell(model, setting: Setting, gb: float | None, updates: int = 4, beside=None, callbacks=()) -> dict:
    """The child of `measure`: training on random tokens by the parts that the scripts are made of. beside: a context around it."""
    cuda = torch.cuda.is_available()
    if setting.config:
        deepspeed_support.prepare_processes(use_cpu=not cuda)
    if cuda:
        torch.cuda.empty_cache()  # of what drew the weights
    if cuda and gb:  # the cap counts what torch allocates; the context stands beside it and must fit the card too
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, (gb * GIB - CONTEXT) / total), 0)
    from transformers import TrainerCallback

    from speed import device_and_precisions, padding_free
    from speed.real_tokens import RealTokensTrainer
    from task_types.collator import Collator

    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(
            output_dir=folder, max_steps=updates, per_device_train_batch_size=setting.batch, gradient_accumulation_steps=setting.steps(),
            bf16=setting.bf16, **{CHECKPOINTING: setting.checkpointing}, disable_tqdm=True, use_cpu=not cuda, save_strategy="no",
            optim="adamw_bnb_8bit" if setting.optim == "adamw_8bit" else "adamw_torch_fused", logging_strategy="no", report_to="none",
            deepspeed=str(ROOT / "ds_configs" / f"{setting.config}.json") if setting.config else None, label_names=["labels"],
        )  # fmt: skip
        if setting.frozen:
            model.get_input_embeddings().requires_grad_(False)
        trim(model.base_model, setting)
        padding_free.set_up(model.base_model, "auto", *device_and_precisions(args))
        count = setting.batch * setting.steps() * updates
        rows = torch.randint(4, model.get_input_embeddings().num_embeddings, (count, setting.choices, setting.length)).tolist()
        rows = rows if setting.choices > 1 else [row for (row,) in rows]
        ends = []

        class Clock(TrainerCallback):
            def on_step_end(self, *_, **__):
                if cuda:
                    torch.cuda.synchronize()
                ends.append(time.perf_counter())

        trainer = RealTokensTrainer(
            model=model, args=args, train_dataset=[{"input_ids": row, "labels": 0} for row in rows], callbacks=[Clock(), *callbacks],
            data_collator=Collator(model.config.pad_token_id), compute_loss_func=kind_of(setting).loss,
        )  # fmt: skip
        found = {"fits": True}
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        try:
            with beside or contextlib.nullcontext():
                trainer.train()
        except torch.cuda.OutOfMemoryError:
            found["fits"] = False
        if cuda:
            found |= {"allocated": torch.cuda.max_memory_allocated(), "reserved": torch.cuda.max_memory_reserved()}
        if len(ends) > 2:
            examples = setting.batch * setting.steps() * (len(ends) - 2)
            found["examples_per_second"] = examples / (ends[-1] - ends[1])  # the first updates warm up
        return found


# ---- answers


def candidates(length: int, effective: int, frozen: bool = False, choices: int = 1, pieces: int = PIECES):
    """Settings from the quickest to the slowest: no recomputing, then recomputing, then states on the host, then weights too.

    All of them make the same update; frozen embeddings do not, and are tried where they are asked for.
    """
    base = Setting(frozen=frozen, length=length, effective=effective, choices=choices, pieces=pieces)
    sizes = [size for size in (32, 16, 8, 4, 2, 1) if effective % size == 0]
    # Of fewer tokens at once a GPU waits for the host. On an H200 4 x 128 had 43 examples/s, 32 x 384 computed twice 168.
    enough = max(4, math.ceil(1024 / (length * choices)))
    ways = (
        ("", False, enough), ("", True, 4), ("", True, 1),
        ("zero2_offload", False, 8), ("zero2_offload", True, 1), ("zero3_offload", True, 1),
    )  # fmt: skip
    for config, checkpointing, least in ways:
        for size in sizes:
            if size >= min(least, effective):
                yield replace(base, config=config, checkpointing=checkpointing, batch=size)


def first_that_fits(gb: float, shape: str, settings, measuring: bool) -> tuple[Setting, dict, dict]:
    """-> (setting, its estimate, what was measured; {} without a GPU). Raises InputError where nothing fits."""
    settings = list(settings)
    for setting in settings:
        cost = estimate(shape, setting)
        if cost["peak"] > gb * GIB * (1 if measuring else SURE):
            continue
        found = measure(shape, setting, gb) if measuring else {}
        if measuring and not found.get("fits"):
            said = found.get("error") or f"out of memory, {peaks(found)}"
            print(f"measured: does not fit or does not run ({said}): {setting.name}, batch {setting.size}", file=sys.stderr)
            continue
        return setting, cost, found
    smallest = min(settings, key=lambda setting: estimate(shape, setting)["peak"])
    raise InputError(
        f"Nothing fits {gb:g} GB at length {smallest.length}: the smallest needs {estimate(shape, smallest)['peak'] / GIB:.1f} GB"
        f" ({smallest.name}, batch {smallest.size})."
        + ("" if smallest.frozen else " Try --freeze_embeddings, or a smaller --max_seq_length.")
    )


def peaks(found: dict) -> str:
    """What torch held at most; the allocator's gaps are between the two."""
    return f"{found['allocated'] / GIB:.1f} allocated, {found['reserved'] / GIB:.1f} reserved"


def trained_task(name: str) -> Task:
    """The task of that name, of either phase that trains. Raises InputError where there is none."""
    trained = [task.name for task in TASKS.values() if task.phase != "retrieval"]
    if name in TASKS and name not in trained:
        raise InputError(f"{name} is scored without training. Trained are: {', '.join(trained)}.")
    if name in TASKS and TASKS[name].task_type == "pairs":
        raise InputError(f"{name} trains a dual encoder, whose memory has not been measured.")
    if name not in trained:
        raise InputError(f"Unknown task {name!r}. {nearest(name, trained)}")
    return TASKS[name]


def answer(gb: float, shape: str, task: Task, length: int | None, frozen: bool, pieces: int, measuring: bool) -> str:
    """The command line for a card of `gb` GB. Raises InputError where nothing fits."""
    recipe = task.recipes["jiant"]
    length = length or recipe.max_seq_length
    settings = candidates(length, recipe.effective_batch_size, frozen, task.choices, pieces)
    setting, cost, found = first_that_fits(gb, shape, settings, measuring)
    lines = [f"ESTIMATE {cost['peak'] / GIB:.1f} of {gb:g} GB: {setting.name}, batch {setting.size}"]
    if found:
        speed = f"{found.get('examples_per_second', math.nan):.1f} examples/s of full length"
        lines = [f"MEASURED {peaks(found)} GB + context, {speed}: {setting.name}, batch {setting.size}"]
    if cost["host"]:
        lines.append(f"host memory for the offloaded states: ESTIMATE {cost['host'] / GIB:.0f} GB, beside the process itself")
    command = ["accelerate", "launch", f"run_{task.phase}.py", "--task", task.name, "--model_name_or_path", MODELS[shape]]
    command += [
        "--output_dir",
        f"out/{task.name}",
        *setting.flags,
        "--max_seq_length",
        str(length),
        "--effective_batch_size",
        str(setting.effective),
    ]
    lines += [f"trained pieces: {pieces:,} are assumed; a run says its own number in its first lines"]
    return "\n".join([*lines, shlex.join(command), "(--bf16 needs an Ampere GPU or newer; --fp16 on older ones)"])


def markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def cards(shape: str, lengths: list[int], effective: int, frozen: bool, pieces: int, measuring: bool) -> str:
    """Which flags fit which card."""
    rows = []
    for length in lengths:
        for gb in CAPS:
            try:
                setting, cost, found = first_that_fits(gb, shape, candidates(length, effective, frozen, pieces=pieces), measuring)
            except InputError:
                rows.append([str(length), f"{gb} GB", "", "", "", "nothing fits"])
                continue
            needs = f"{found['reserved'] / GIB:.1f}" if found else f"{cost['peak'] / GIB:.1f}"
            speed = f"{found['examples_per_second']:.1f}" if found else "not measured"
            host = f"{cost['host'] / GIB:.0f}" if cost["host"] else ""
            rows.append([str(length), f"{gb} GB", needs, host, speed, f"`{shlex.join(setting.flags)}`"])
    kind = "MEASURED, GB reserved by torch" if measuring else "ESTIMATE"
    head = ["length", "card", "GB", "host GB", "examples/s", "flags"]
    return f"{shape}, effective batch {effective}, {pieces:,} trained pieces, {kind}\n\n" + markdown(head, rows)


TABLE = (
    Setting(bf16=False), Setting(bf16=False, checkpointing=True), Setting(), Setting(pieces=None), Setting(checkpointing=True),
    Setting(optim="adamw_8bit", checkpointing=True), Setting(checkpointing=True, frozen=True),
    *(Setting(config, checkpointing=True) for config in ZERO), Setting("zero2_offload"),
    Setting("zero2_offload", checkpointing=True, frozen=True),
)  # fmt: skip


def table(shape: str, batches: list[int], lengths: list[int], devices: int, pieces: int, measuring: bool, gb: float | None) -> str:
    rows = []
    for base in TABLE:
        for batch in batches:
            cells, largest = [], 0.0
            for length in lengths:
                setting = replace(base, batch=batch, length=length, pieces=base.pieces and pieces)
                cost = estimate(shape, setting, devices)
                shown, largest = f"{cost['peak'] / GIB:.1f}", max(largest, cost["peak"])
                if measuring:
                    found = measure(shape, setting, gb)
                    if "error" in found:  # no question of memory: bitsandbytes is not installed, say
                        print(f"not measured ({found['error']}): {setting.name}, batch {setting.size}", file=sys.stderr)
                    no = "failed" if "error" in found else "no"
                    shown = (f"{found['reserved'] / GIB:.1f}" if found.get("fits") else no) + f" ({shown})"
                cells.append(shown)
            card = next((f"{cap}" for cap in CAPS if largest <= cap * GIB), "-")
            rows.append([base.name, str(batch), *cells, f"{cost['host'] / GIB:.0f}" if cost["host"] else "", card])
    kind = "MEASURED, GB reserved by torch (estimate in brackets)" if measuring else "ESTIMATE, GB on one GPU"
    head = ["setting", "batch", *(f"length {length}" for length in lengths), "host", f"card for {max(lengths)}"]
    return f"{shape}, {devices} GPU(s), effective batch {Setting.effective}, {pieces:,} trained pieces, {kind}\n\n" + markdown(head, rows)


# ---- the formula against what torch and DeepSpeed keep, on a CPU


class Counter(TorchDispatchMode):
    """Bytes of the storages that are alive, as allocators of GPUs round them: a model's, and all that operations make meanwhile."""

    def __init__(self, model):
        super().__init__()
        self.sizes, self.now, self.peak = {}, 0, 0
        for tensor in (*model.parameters(), *model.buffers()):
            self.see(tensor)

    def see(self, tensor) -> None:
        storage = tensor.untyped_storage()
        if tensor.device.type != "meta" and storage._cdata not in self.sizes:
            self.sizes[storage._cdata] = size = -(-storage.nbytes() // 512) * 512
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self.forget, storage._cdata)

    def forget(self, key) -> None:
        self.now -= self.sizes.pop(key)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        for tensor in tree_iter(found):
            if isinstance(tensor, torch.Tensor):
                self.see(tensor)
        return found


def dry_run(shape: str, setting: Setting, updates: int = 2) -> int:
    """Peak bytes of the plain Trainer's steps on tensors without contents: the real model at its real size, computed by nobody.

    Dropout keeps a byte an element, as on a GPU. Without attention dropout: with it a CPU has no fused attention and keeps its matrices.
    """
    with FakeTensorMode():
        model = model_of(shape, setting, setting.pieces, attention_probs_dropout_prob=0.0).train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.forward = lambda values, p=module.p: torch.native_dropout(values, p, True)[0]
        if setting.checkpointing:
            getattr(model, f"{CHECKPOINTING}_enable")()
        if setting.frozen:
            model.get_input_embeddings().requires_grad_(False)
        optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], fused=True)
        with Counter(model) as counter:
            for _ in range(updates):
                for _ in range(min(setting.steps(), 2)):
                    ids = torch.zeros(setting.batch, *[setting.choices] * (setting.choices > 1), setting.length, dtype=torch.long)
                    with torch.autocast("cpu", torch.bfloat16, enabled=setting.bf16):
                        outputs = model(input_ids=ids, attention_mask=torch.ones_like(ids))
                    labels = torch.zeros(setting.batch, dtype=torch.long)
                    kind_of(setting).loss(outputs, labels, setting.effective).backward()
                    del outputs
                optimizer.step()
                optimizer.zero_grad()
    return counter.peak


def count_cell(shape: str, setting: Setting) -> int:
    """Peak bytes of `run_cell` on a CPU, where host and GPU are one memory. In a process of its own: DeepSpeed leaves its marks."""
    from transformers import TrainerCallback

    model = model_of(shape, setting, attention_probs_dropout_prob=0.0)
    trim(model.base_model, setting)  # what waits is not counted
    counter = Counter(model)

    class Start(TrainerCallback):
        def on_train_begin(self, *_, **__):
            counter.peak = counter.now  # what comes before is on the host

    run_cell(model, setting, None, updates=2, beside=counter, callbacks=[Start()])
    return counter.peak


def counted_by_child(shape: str, setting: Setting) -> int:
    cell = json.dumps({"shape": shape, "count": True, "setting": asdict(setting)})
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.run([sys.executable, __file__, "--cell", cell], capture_output=True, text=True, cwd=ROOT, env=environment)
    if process.returncode:
        raise InputError(f"the run to be counted failed: {process.stderr.strip().splitlines()[-1]}")
    return json.loads(process.stdout.splitlines()[-1].removeprefix("CELL "))


def check() -> str:
    rows = []
    for setting in (
        Setting(), Setting(bf16=False), Setting(batch=32, length=256), Setting(batch=16, length=384), Setting(batch=32, length=384),
        Setting(checkpointing=True), Setting(checkpointing=True, batch=32, length=384), Setting(checkpointing=True, frozen=True),
        Setting(pieces=None),
    ):  # fmt: skip
        rows.append((setting, "xlmr-large", "dry run", dry_run("xlmr-large", setting), max(moments("xlmr-large", setting)[0].values())))
    for config in ZERO:
        for setting in (Setting(config, batch=16), Setting(config, batch=16, checkpointing=True, bf16=False, pieces=None)):
            found, host = moments("small", setting, device="cpu")
            rows.append((setting, "small", "DeepSpeed on a CPU", counted_by_child("small", setting), max(found.values()) + host))
    return markdown(
        ["setting", "shape, batch x length", "counted by", "counted GB", "formula GB", "formula / counted"],
        [[setting.name, f"{shape}, {setting.batch} x {setting.length}", by, f"{found / GIB:.2f}", f"{formula / GIB:.2f}",
          f"{formula / found:.3f}"] for setting, shape, by, found, formula in rows],
    )  # fmt: skip


# What each kind of answer reads; another flag beside it would be without effect.
READ = {
    "check": (),
    "cards": ("shape", "length", "freeze_embeddings", "pieces", "estimate"),
    "gb": ("shape", "task", "max_seq_length", "freeze_embeddings", "pieces", "estimate"),
    "table": ("shape", "batch", "length", "devices", "pieces", "cap", "estimate"),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--gb", type=above_zero, help="memory of the card; without it the table")
    parser.add_argument("--task", default="xnli", help="with --gb: task of the command line that is printed")
    parser.add_argument("--max_seq_length", type=at_least(8), help="with --gb: longest input; the task's recipe by default")
    parser.add_argument("--freeze_embeddings", action="store_true", help="with --gb or --cards: word embeddings are not trained")
    parser.add_argument("--pieces", type=at_least(5), default=PIECES, help="that occur in the data: only their embeddings are on the GPU")
    parser.add_argument("--cards", action="store_true", help=f"which flags fit cards of {', '.join(map(str, CAPS))} GB")
    parser.add_argument("--shape", default="xlmr-large", choices=tuple(SHAPES))
    parser.add_argument("--batch", type=at_least(1), nargs="+", default=[1, 8, 32], help="per GPU, for the table")
    parser.add_argument("--length", type=at_least(8), nargs="+", default=[128, 256, 384], help="for the tables")
    parser.add_argument("--devices", type=at_least(1), default=1, help="GPUs that share the states (ZeRO), for the table's estimate")
    parser.add_argument("--cap", type=above_zero, help="with a GPU: hard cap in GB for the table's measurements")
    parser.add_argument("--estimate", action="store_true", help="by formula, with a GPU too")
    parser.add_argument("--check", action="store_true", help="the formula against what torch and DeepSpeed keep, counted on the CPU")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.cell:
        cell = json.loads(args.cell)
        setting = Setting(**cell["setting"])
        if cell.get("count"):
            found = count_cell(cell["shape"], setting)
        else:
            with torch.device("cuda" if torch.cuda.is_available() else "cpu"):  # a GPU draws weights in no time
                model = model_of(cell["shape"], setting)
            found = run_cell(model.cpu(), setting, cell["gb"])
        return print("CELL " + json.dumps(found), flush=True)
    given = vars(parser.parse_args(namespace=argparse.Namespace(**dict.fromkeys(vars(args)))))  # None: left out
    asked = next((name for name in ("check", "cards", "gb") if given[name] is not None), "table")
    for name in (name for name, value in given.items() if value is not None and name not in (asked, *READ[asked])):
        others = [f"--{kind}" if kind != "table" else "the table" for kind, names in READ.items() if name in names]
        beside = "in the table" if asked == "table" else f"beside --{asked}"
        parser.error(f"--{name} has no effect {beside}" + (f": it is for {' and '.join(others)}" if others else ""))
    for name, length in (*(("length", length) for length in args.length), ("max_seq_length", args.max_seq_length or 0)):
        if length > 512:
            parser.error(f"--{name} {length}: the model has 512 positions")
    if asked == "gb" and args.shape not in MODELS:
        parser.error(f"--shape {args.shape}: no published model has it, so there is no command line; {' or '.join(MODELS)}")
    measuring = torch.cuda.is_available() and not args.estimate
    if args.cap and not measuring:
        parser.error(f"--cap {args.cap:g}: nothing is measured without a GPU or with --estimate, so that nothing would be capped")
    if args.devices > 1 and measuring:
        parser.error(f"--devices {args.devices}: one GPU is measured; --estimate counts several")
    if asked == "check":
        print(check())
    elif asked == "cards":
        print(cards(args.shape, args.length, Setting.effective, args.freeze_embeddings, args.pieces, measuring))
    elif asked == "gb":
        print(answer(args.gb, args.shape, trained_task(args.task), args.max_seq_length, args.freeze_embeddings, args.pieces, measuring))
    else:
        print(table(args.shape, args.batch, args.length, args.devices, args.pieces, measuring, args.cap))


if __name__ == "__main__":
    run_script(main)
