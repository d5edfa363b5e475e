"""Estimates or measures how much GPU memory a run needs, and finds the flags that fit a card of N GB.

    python benchmarks/memory.py --gb 8 --task xnli    # the command line for one card
    python benchmarks/memory.py --cards               # the flags for cards of 6, 8, 12, 16, 24, 40 GB
    python benchmarks/memory.py                       # a table: settings x lengths
    python benchmarks/memory.py --check               # compares the formulas with the memory of torch and DeepSpeed on this machine's CPU

Without a GPU every figure is an ESTIMATE by formula for the moments of a step at which memory can have its peak (memory_formula.py). With a
GPU the same commands train a few steps of a model of the real size under a hard cap and print measured figures. Weights and tokens are then
random, and training uses the scripts' own parts. --estimate prints the formula's figures on a GPU too. GB means GiB.
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
from task_adapters.errors import OneLineParser
from trainer import deepspeed as deepspeed_support

ROOT = Path(__file__).resolve().parents[1]
CAPS = (6, 8, 12, 16, 24, 40)
# An estimate may fill this share of a card. Estimates are wrong by a few percent, and a card has a little less memory than its name says.
SURE = 0.96
MODELS = {"xlmr-large": "FacebookAI/xlm-roberta-large", "xlmr-base": "FacebookAI/xlm-roberta-base"}  # No published model is "small".


# ---- with a GPU: training under a cap


def measure(shape: str, setting: Setting, gb: float | None) -> dict:
    """Trains a few steps in a child process. Returns {"fits", "allocated", "reserved" (bytes), "examples_per_second"} or {"error"}."""
    first_gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    one_gpu = {**os.environ, "CUDA_VISIBLE_DEVICES": first_gpu}  # The Trainer would divide the batch among all visible GPUs.
    cell = json.dumps({"shape": shape, "gb": gb, "setting": asdict(setting)})
    process = subprocess.run([sys.executable, __file__, "--cell", cell], capture_output=True, text=True, cwd=ROOT, env=one_gpu)
    lines = [line for line in process.stdout.splitlines() if line.startswith("CELL ")]
    if process.returncode or not lines:
        return {"error": (process.stderr.strip().splitlines() or ["no output"])[-1]}
    return json.loads(lines[-1].removeprefix("CELL "))


def kind_of(setting: Setting):
    """Returns the module of the task type that is trained: classification, or multiple choice if an example has several sequences."""
    from task_types import classification, multiple_choice

    return multiple_choice if setting.choices > 1 else classification


def model_of(shape: str, setting: Setting, vocabulary: int | None = None, **changes):
    """Returns a model of random weights for the setting's task type. vocabulary: replaces the shape's."""
    *sizes, whole = SHAPES[shape]
    model = kind_of(setting).Model.from_config(config_of(*sizes, vocabulary or whole, num_labels=3, **changes))
    model.accepts_loss_kwargs = False
    return model


def run_cell(model, setting: Setting, gb: float | None, updates: int = 4, context=None, callbacks=()) -> dict:
    """Trains on random tokens with the scripts' own parts, in the child process of `measure`. Returns the figures of `measure`.

    context  a context manager around the training.
    """
    cuda = torch.cuda.is_available()
    if setting.config:
        deepspeed_support.prepare_processes(use_cpu=not cuda)
    if cuda:
        torch.cuda.empty_cache()  # Drawing the weights has filled the cache.
    if cuda and gb:  # The cap counts only what torch allocates. CUDA's context must fit the card too.
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
        step_ends = []

        class Clock(TrainerCallback):
            def on_step_end(self, *_, **__):
                if cuda:
                    torch.cuda.synchronize()
                step_ends.append(time.perf_counter())

        trainer = RealTokensTrainer(
            model=model, args=args, train_dataset=[{"input_ids": row, "labels": 0} for row in rows], callbacks=[Clock(), *callbacks],
            data_collator=Collator(model.config.pad_token_id), compute_loss_func=kind_of(setting).loss,
        )  # fmt: skip
        figures = {"fits": True}
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        try:
            with context or contextlib.nullcontext():
                trainer.train()
        except torch.cuda.OutOfMemoryError:
            figures["fits"] = False
        if cuda:
            figures |= {"allocated": torch.cuda.max_memory_allocated(), "reserved": torch.cuda.max_memory_reserved()}
        if len(step_ends) > 2:  # The first two updates warm up.
            examples = setting.batch * setting.steps() * (len(step_ends) - 2)
            figures["examples_per_second"] = examples / (step_ends[-1] - step_ends[1])
        return figures


# ---- answers


def candidates(length: int, effective: int, frozen: bool = False, choices: int = 1, pieces: int = PIECES):
    """Yields settings from the fastest to the slowest: without checkpointing, with it, states on the host, weights on the host too.

    All of them make the same update. Frozen embeddings change the update, so only `frozen` selects them.
    """
    base = Setting(frozen=frozen, length=length, effective=effective, choices=choices, pieces=pieces)
    sizes = [size for size in (32, 16, 8, 4, 2, 1) if effective % size == 0]
    # With fewer tokens per micro-batch the GPU waits for the host, and checkpointing is faster ("Memory" in benchmarks/README.md).
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
    """Returns (setting, its estimate, its measured figures; {} without measuring). Raises InputError if no setting fits."""
    settings = list(settings)
    for setting in settings:
        cost = estimate(shape, setting)
        if cost["peak"] > gb * GIB * (1 if measuring else SURE):
            continue
        figures = measure(shape, setting, gb) if measuring else {}
        if measuring and not figures.get("fits"):
            reason = figures.get("error") or f"out of memory, {peaks(figures)}"
            print(f"measured: does not fit or does not run ({reason}): {setting.name}, batch {setting.size}", file=sys.stderr)
            continue
        return setting, cost, figures
    smallest = min(settings, key=lambda setting: estimate(shape, setting)["peak"])
    raise InputError(
        f"Nothing fits {gb:g} GB at length {smallest.length}: the smallest needs {estimate(shape, smallest)['peak'] / GIB:.1f} GB"
        f" ({smallest.name}, batch {smallest.size})."
        + ("" if smallest.frozen else " Try --freeze_embeddings, or a smaller --max_seq_length.")
    )


def peaks(figures: dict) -> str:
    """Returns torch's peaks of allocated and of reserved memory as text. Their difference is gaps of the allocator."""
    return f"{figures['allocated'] / GIB:.1f} allocated, {figures['reserved'] / GIB:.1f} reserved"


def trained_task(name: str) -> Task:
    """Returns the intermediate or target task of that name. Raises InputError if there is none."""
    trained = [task.name for task in TASKS.values() if task.phase != "retrieval"]
    if name in TASKS and name not in trained:
        raise InputError(f"{name} is scored without training. Trained are: {', '.join(trained)}.")
    if name in TASKS and TASKS[name].task_type == "pairs":
        raise InputError(f"{name} trains a dual encoder, whose memory has not been measured.")
    if name not in trained:
        raise InputError(f"Unknown task {name!r}. {nearest(name, trained)}")
    return TASKS[name]


def answer(gb: float, shape: str, task: Task, length: int | None, frozen: bool, pieces: int, measuring: bool) -> str:
    """Returns the command line for a card of `gb` GB. Raises InputError if no setting fits."""
    recipe = task.recipes["jiant"]
    length = length or recipe.max_seq_length
    settings = candidates(length, recipe.effective_batch_size, frozen, task.choices, pieces)
    setting, cost, figures = first_that_fits(gb, shape, settings, measuring)
    lines = [f"ESTIMATE {cost['peak'] / GIB:.1f} of {gb:g} GB: {setting.name}, batch {setting.size}"]
    if figures:
        speed = f"{figures.get('examples_per_second', math.nan):.1f} examples/s of full length"
        lines = [f"MEASURED {peaks(figures)} GB + context, {speed}: {setting.name}, batch {setting.size}"]
    if cost["host"]:
        lines.append(f"host memory for the offloaded states: ESTIMATE {cost['host'] / GIB:.0f} GB, beside the process itself")
    command = ["accelerate", "launch", "--quiet", f"run_{task.phase}.py", "--task", task.name, "--model_name_or_path", MODELS[shape]]
    command += [
        "--output_dir",
        f"out/{task.name}",
        *setting.flags,
        "--max_seq_length",
        str(length),
        "--effective_batch_size",
        str(setting.effective),
    ]
    lines += [f"trained tokens: {pieces:,} are assumed; a run says its own number in its first lines"]
    return "\n".join([*lines, shlex.join(command), "(--bf16 needs an Ampere GPU or newer; --fp16 on older ones)"])


def markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def cards(shape: str, lengths: list[int], effective: int, frozen: bool, pieces: int, measuring: bool) -> str:
    """Returns a table of the flags that fit each card."""
    rows = []
    for length in lengths:
        for gb in CAPS:
            try:
                setting, cost, figures = first_that_fits(gb, shape, candidates(length, effective, frozen, pieces=pieces), measuring)
            except InputError:
                rows.append([str(length), f"{gb} GB", "", "", "", "nothing fits"])
                continue
            needs = f"{figures['reserved'] / GIB:.1f}" if figures else f"{cost['peak'] / GIB:.1f}"
            speed = f"{figures['examples_per_second']:.1f}" if figures else "not measured"
            host = f"{cost['host'] / GIB:.0f}" if cost["host"] else ""
            rows.append([str(length), f"{gb} GB", needs, host, speed, f"`{shlex.join(setting.flags)}`"])
    kind = "MEASURED, GB reserved by torch" if measuring else "ESTIMATE"
    head = ["length", "card", "GB", "host GB", "examples/s", "flags"]
    return f"{shape}, effective batch {effective}, {pieces:,} trained tokens, {kind}\n\n" + markdown(head, rows)


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
                    figures = measure(shape, setting, gb)
                    if "error" in figures:  # The reason is not memory: for example, bitsandbytes is not installed.
                        print(f"not measured ({figures['error']}): {setting.name}, batch {setting.size}", file=sys.stderr)
                    failure = "failed" if "error" in figures else "no"
                    shown = (f"{figures['reserved'] / GIB:.1f}" if figures.get("fits") else failure) + f" ({shown})"
                cells.append(shown)
            card = next((f"{cap}" for cap in CAPS if largest <= cap * GIB), "-")
            rows.append([base.name, str(batch), *cells, f"{cost['host'] / GIB:.0f}" if cost["host"] else "", card])
    kind = "MEASURED, GB reserved by torch (estimate in brackets)" if measuring else "ESTIMATE, GB on one GPU"
    head = ["setting", "batch", *(f"length {length}" for length in lengths), "host", f"card for {max(lengths)}"]
    return f"{shape}, {devices} GPU(s), effective batch {Setting.effective}, {pieces:,} trained tokens, {kind}\n\n" + markdown(head, rows)


# ---- --check: the formulas compared with the memory of torch and DeepSpeed, on a CPU


class Counter(TorchDispatchMode):
    """Counts the bytes of all living storages: those of a model, and those that operations make while the mode is active.

    Sizes are rounded up to 512 bytes, as a GPU's allocator does.
    """

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
        outputs = function(*args, **(kwargs or {}))
        for tensor in tree_iter(outputs):
            if isinstance(tensor, torch.Tensor):
                self.see(tensor)
        return outputs


def dry_run(shape: str, setting: Setting, updates: int = 2) -> int:
    """Returns the peak bytes of the plain Trainer's steps, counted on tensors without contents. The model has its real size.

    Dropout keeps one byte per element, as on a GPU. Attention has no dropout here, because a CPU would then compute it without a fused
    kernel and keep its matrices.
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
    """Returns the peak bytes of `run_cell` on a CPU, where host and GPU are one memory. DeepSpeed changes the process that calls this."""
    from transformers import TrainerCallback

    model = model_of(shape, setting, attention_probs_dropout_prob=0.0)
    trim(model.base_model, setting)  # The embeddings that are trimmed away are not counted.
    counter = Counter(model)

    class Start(TrainerCallback):
        def on_train_begin(self, *_, **__):
            counter.peak = counter.now  # Earlier allocations are on the host.

    run_cell(model, setting, None, updates=2, context=counter, callbacks=[Start()])
    return counter.peak


def counted_by_child(shape: str, setting: Setting) -> int:
    """Returns the value of `count_cell`, computed in a child process."""
    cell = json.dumps({"shape": shape, "count": True, "setting": asdict(setting)})
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.run([sys.executable, __file__, "--cell", cell], capture_output=True, text=True, cwd=ROOT, env=environment)
    if process.returncode:
        raise InputError(f"the run to be counted failed: {process.stderr.strip().splitlines()[-1]}")
    return json.loads(process.stdout.splitlines()[-1].removeprefix("CELL "))


def check() -> str:
    """Returns a table of counted memory and the formulas' values."""
    rows = []
    for setting in (
        Setting(), Setting(bf16=False), Setting(batch=32, length=256), Setting(batch=16, length=384), Setting(batch=32, length=384),
        Setting(checkpointing=True), Setting(checkpointing=True, batch=32, length=384), Setting(checkpointing=True, frozen=True),
        Setting(pieces=None),
    ):  # fmt: skip
        rows.append((setting, "xlmr-large", "dry run", dry_run("xlmr-large", setting), max(moments("xlmr-large", setting)[0].values())))
    for config in ZERO:
        for setting in (Setting(config, batch=16), Setting(config, batch=16, checkpointing=True, bf16=False, pieces=None)):
            sizes, host = moments("small", setting, device="cpu")
            rows.append((setting, "small", "DeepSpeed on a CPU", counted_by_child("small", setting), max(sizes.values()) + host))
    return markdown(
        ["setting", "shape, batch x length", "counted by", "counted GB", "formula GB", "formula / counted"],
        [[setting.name, f"{shape}, {setting.batch} x {setting.length}", method, f"{counted / GIB:.2f}", f"{formula / GIB:.2f}",
          f"{formula / counted:.3f}"] for setting, shape, method, counted, formula in rows],
    )  # fmt: skip


# The flags of each kind of answer. Any other flag would have no effect and is refused.
FLAGS_OF_ANSWER = {
    "check": (),
    "cards": ("shape", "length", "freeze_embeddings", "pieces", "estimate"),
    "gb": ("shape", "task", "max_seq_length", "freeze_embeddings", "pieces", "estimate"),
    "table": ("shape", "batch", "length", "devices", "pieces", "cap", "estimate"),
}


def main():
    parser = OneLineParser(description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--gb", type=above_zero, help="memory of the card; without it the table")
    parser.add_argument("--task", default="xnli", help="with --gb: task of the command line that is printed")
    parser.add_argument("--max_seq_length", type=at_least(8), help="with --gb: longest input; the task's recipe by default")
    parser.add_argument("--freeze_embeddings", action="store_true", help="with --gb or --cards: word embeddings are not trained")
    parser.add_argument("--pieces", type=at_least(5), default=PIECES, help="number of tokens in the data, whose embeddings are on the GPU")
    parser.add_argument("--cards", action="store_true", help=f"which flags fit cards of {', '.join(map(str, CAPS))} GB")
    parser.add_argument("--shape", default="xlmr-large", choices=tuple(SHAPES))
    parser.add_argument("--batch", type=at_least(1), nargs="+", default=[1, 8, 32], help="per GPU, for the table")
    parser.add_argument("--length", type=at_least(8), nargs="+", default=[128, 256, 384], help="for the tables")
    parser.add_argument("--devices", type=at_least(1), default=1, help="number of GPUs that share the states (ZeRO), for the table")
    parser.add_argument("--cap", type=above_zero, help="with a GPU: hard cap in GB for the table's measurements")
    parser.add_argument("--estimate", action="store_true", help="use the formula on a GPU too")
    parser.add_argument("--check", action="store_true", help="compare the formula with the memory of torch and DeepSpeed on a CPU")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.cell:
        cell = json.loads(args.cell)
        setting = Setting(**cell["setting"])
        if cell.get("count"):
            figures = count_cell(cell["shape"], setting)
        else:
            with torch.device("cuda" if torch.cuda.is_available() else "cpu"):  # A GPU draws the weights much faster.
                model = model_of(cell["shape"], setting)
            figures = run_cell(model.cpu(), setting, cell["gb"])
        return print("CELL " + json.dumps(figures), flush=True)
    given = vars(parser.parse_args(namespace=argparse.Namespace(**dict.fromkeys(vars(args)))))  # None: not on the command line
    asked = next((name for name in ("check", "cards", "gb") if given[name] is not None), "table")
    for name in (name for name, value in given.items() if value is not None and name not in (asked, *FLAGS_OF_ANSWER[asked])):
        others = [f"--{kind}" if kind != "table" else "the table" for kind, names in FLAGS_OF_ANSWER.items() if name in names]
        context = "in the table" if asked == "table" else f"with --{asked}"
        parser.error(f"--{name} has no effect {context}" + (f": it is for {' and '.join(others)}" if others else ""))
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
