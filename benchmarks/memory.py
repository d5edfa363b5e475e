"""How much GPU memory does a run need, and which flags fit a card of N GB?

    python benchmarks/memory.py --gb 8 --task xnli    # one answer: the command line
    python benchmarks/memory.py                       # the table: settings x lengths
    python benchmarks/memory.py --check               # the formula against the bytes autograd keeps, on this machine's CPU

Without a GPU every figure is an ESTIMATE: parameters, gradients, optimiser states and kept activations by formula. With a GPU the
same commands train a few steps of the real shape (random weights, random tokens) under a hard cap and print what was measured;
--estimate keeps to the formula. THE MEASURING PATH HAS NOT BEEN RUN ON A GPU YET. GB are GiB, as cards are sold.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from arguments import run_script  # noqa: E402
from benchmarks.flags import above_zero, at_least  # noqa: E402
from task_adapters import InputError, get_task  # noqa: E402

GIB = 2**30
CAPS = (6, 8, 12, 16, 24, 40)
# What a formula does not see: CUDA context and libraries, and the allocator's gaps.
CONTEXT, GAPS = 0.6 * GIB, 1.08
SHAPES = {  # hidden size, layers, heads, vocabulary
    "xlmr-large": (1024, 24, 16, 250002),
    "xlmr-base": (768, 12, 12, 250002),
    "tiny": (64, 2, 4, 500),
}
ZERO = ("zero1", "zero2", "zero2_offload", "zero3", "zero3_offload")
BUCKET = 50_000_000  # ds_configs/: reduce_bucket_size, allgather_bucket_size


@dataclass(frozen=True)
class Setting:
    """One way to train. config: a file of ds_configs/ or "" for the plain Trainer."""

    config: str = ""
    bf16: bool = True
    optim: str = "adamw"  # or adamw_8bit
    checkpointing: bool = False
    frozen: bool = False
    batch: int = 8
    length: int = 128

    @property
    def name(self) -> str:
        parts = [self.config or "plain", "bf16" if self.bf16 else "fp32", "8-bit AdamW" if self.optim == "adamw_8bit" else "AdamW"]
        return ", ".join(parts + ["checkpointing"] * self.checkpointing + ["frozen embeddings"] * self.frozen)

    def flags(self, effective_batch: int | None = None) -> list[str]:
        flags = ["--per_device_train_batch_size", str(self.batch), "--max_seq_length", str(self.length)]
        flags += ["--bf16"] * self.bf16 + ["--optim", "adamw_bnb_8bit"] * (self.optim == "adamw_8bit")
        flags += ["--activation_checkpointing"] * self.checkpointing + ["--freeze_embeddings"] * self.frozen
        flags += ["--deepspeed", f"ds_configs/{self.config}.json"] if self.config else []
        return flags + (["--effective_batch_size", str(effective_batch)] if effective_batch else [])


def parameters_of(hidden, layers, heads, vocabulary) -> tuple[int, int, int]:
    """-> (all weights of the encoder with a two-layer head, word embeddings, weights of matrix products)"""
    words = vocabulary * hidden
    products = layers * 12 * hidden**2 + hidden**2
    small = (514 + 1 + 2) * hidden + layers * 13 * hidden + 4 * hidden  # positions, types, norms, biases, head
    return words + products + small, words, products


def kept_per_token(hidden: int, layers: int, setting: Setting, device: str = "cuda") -> float:
    """Bytes that autograd keeps for each token of a batch.

    A block keeps 16 vectors of the hidden size: the input, q, k, v, the attention's output, the first norm's input and output, four
    and four around the activation function, the second norm's input; and two dropout masks (CUDA: a byte an element; CPU: as wide as
    the values). Autocast keeps the two norm inputs in fp32 and casts the block's input for q, k and v each on its own.
    """
    width = 2 if setting.bf16 else 4
    mask = 1 if device == "cuda" else width
    if setting.bf16 and not setting.config:
        block, embedding, edge = (16 * 2 + 2 * 4 + 2 * mask) * hidden, (4 + (1 if device == "cuda" else 4)) * hidden, 4 * hidden
    else:
        block, embedding, edge = (16 * width + 2 * mask) * hidden, (width + mask) * hidden, width * hidden
    if setting.checkpointing:
        return embedding + layers * edge + (block if device == "cuda" else 0)  # the block that is being computed again
    return embedding + layers * block


def estimate(shape: str, setting: Setting, devices: int = 1) -> dict[str, float]:
    """ESTIMATE of the peak on one GPU. -> bytes by kind, "peak" (with context and gaps) and "host" (offloaded states)"""
    hidden, layers, heads, vocabulary = SHAPES[shape]
    every, words, products = parameters_of(hidden, layers, heads, vocabulary)
    trained = every - words * setting.frozen
    largest = hidden * hidden * 4 if setting.frozen else words
    width = 2 if setting.bf16 else 4
    master = 12 if setting.bf16 else 8  # AdamW's two moments, and under bf16 the fp32 weights
    host = window = 0.0
    if not setting.config:
        weights = 4 * every + (2 * products if setting.bf16 else 0)  # autocast's copies live as long as the forward pass
        gradients = 4 * trained * (2 if devices > 1 else 1)  # DDP's buckets hold them once more
        states = 8 * trained if setting.optim == "adamw" else 2 * (every - words) + 8 * words * (not setting.frozen)
    elif setting.config in ("zero1", "zero2", "zero3"):
        master += 0 if setting.bf16 else 4  # DeepSpeed keeps an fp32 copy beside fp32 weights too
        weights = width * every / (devices if setting.config == "zero3" else 1)
        gradients = width * trained / (1 if setting.config == "zero1" else devices)
        states = (master + 4) * trained / devices  # and the gradients in fp32 while a step is taken
        window = 2 * width * largest if setting.config == "zero3" else 2 * width * BUCKET
    else:  # gradients leave for the host as they come; the largest one sets the window
        weights = width * every if setting.config == "zero2_offload" else 2 * width * words
        gradients, states, window = 0.0, 0.0, width * (largest + BUCKET)
        host = (16 * trained + (width * every if setting.config == "zero3_offload" else 0)) / devices
    tokens = setting.batch * setting.length
    activations = kept_per_token(hidden, layers, setting) * tokens + 8 * hidden * width * tokens  # and what backward needs in passing
    bytes_of = {"weights": weights, "gradients": gradients, "states": states, "window": window, "activations": activations}
    return {**bytes_of, "peak": sum(bytes_of.values()) * GAPS + CONTEXT, "host": host}


# ---- with a GPU: the real thing under a cap


def measure(shape: str, setting: Setting, gb: float | None, steps: int = 4) -> dict:
    """Trains a few steps in a process of its own. -> {"fits", "allocated", "reserved" (bytes), "examples_per_second"} or {"error"}"""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    one_gpu = {**os.environ, "CUDA_VISIBLE_DEVICES": first}  # else the Trainer would spread the batch over all it sees
    cell = json.dumps({"shape": shape, "gb": gb, "steps": steps, "setting": asdict(setting)})
    process = subprocess.run([sys.executable, __file__, "--cell", cell], capture_output=True, text=True, cwd=ROOT, env=one_gpu)
    lines = [line for line in process.stdout.splitlines() if line.startswith("CELL ")]
    if process.returncode or not lines:
        return {"error": (process.stderr.strip().splitlines() or ["no output"])[-1]}
    return json.loads(lines[-1].removeprefix("CELL "))


def run_cell(cell: str) -> None:
    """The child of `measure`: one Trainer run of random tokens, as the scripts would make it; prints one CELL line."""
    given = json.loads(cell)
    setting, steps, gb = Setting(**given["setting"]), given["steps"], given["gb"]
    cuda = torch.cuda.is_available()
    import deepspeed_support

    if setting.config:
        deepspeed_support.prepare_processes(use_cpu=not cuda)
    if cuda and gb:  # the cap counts what torch allocates; the context stands beside it and must fit the card too
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, (gb * GIB - CONTEXT) / total), 0)
    from transformers import (
        AutoModelForSequenceClassification,
        Trainer,
        TrainerCallback,
        TrainingArguments,
        XLMRobertaConfig,
    )

    hidden, layers, heads, vocabulary = SHAPES[given["shape"]]
    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(
            output_dir=folder, max_steps=steps, per_device_train_batch_size=setting.batch, save_strategy="no", report_to="none",
            bf16=setting.bf16, activation_checkpointing=setting.checkpointing, disable_tqdm=True, use_cpu=not cuda,
            optim="adamw_bnb_8bit" if setting.optim == "adamw_8bit" else "adamw_torch_fused", logging_strategy="no",
            deepspeed=str(ROOT / "ds_configs" / f"{setting.config}.json") if setting.config else None,
        )  # fmt: skip
        config = XLMRobertaConfig(
            vocab_size=vocabulary, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
            intermediate_size=4 * hidden, max_position_embeddings=514, pad_token_id=1, type_vocab_size=1, num_labels=3,
        )  # fmt: skip
        model = AutoModelForSequenceClassification.from_config(config)
        model.accepts_loss_kwargs = False
        if setting.frozen:
            model.get_input_embeddings().requires_grad_(False)
        rows = torch.randint(4, vocabulary, (setting.batch * steps, setting.length)).tolist()
        data = [{"input_ids": row, "attention_mask": [1] * setting.length, "labels": 0} for row in rows]
        ends = []

        class Clock(TrainerCallback):
            def on_step_end(self, *_, **__):
                if cuda:
                    torch.cuda.synchronize()
                ends.append(time.perf_counter())

        found = {"fits": True}
        try:
            Trainer(model=model, args=args, train_dataset=data, callbacks=[Clock()]).train()
        except torch.cuda.OutOfMemoryError:
            found["fits"] = False
        if cuda:
            found |= {"allocated": torch.cuda.max_memory_allocated(), "reserved": torch.cuda.max_memory_reserved()}
        if len(ends) > 2:
            found["examples_per_second"] = setting.batch * (len(ends) - 2) / (ends[-1] - ends[1])  # the first steps warm up
        print("CELL " + json.dumps(found), flush=True)


# ---- answers


def candidates(length: int, effective_batch: int, frozen: bool):
    """Settings from the quickest to the slowest: no recomputing, then recomputing, then states on the host, then weights too.

    All of them make the same update; frozen embeddings do not, and are tried where they are asked for.
    """
    sizes = [size for size in (32, 16, 8, 4, 2, 1) if effective_batch % size == 0]
    for config, checkpointing, least in (
        ("", False, 4), ("", True, 4), ("", True, 1), ("zero2_offload", False, 8), ("zero2_offload", True, 1), ("zero3_offload", True, 1),
    ):  # fmt: skip
        for size in sizes:
            if size >= min(least, effective_batch):
                yield Setting(config, checkpointing=checkpointing, frozen=frozen, batch=size, length=length)


def answer(gb: float, shape: str, task_name: str, phase: str, length: int | None, frozen: bool, measuring: bool) -> str:
    """The command line for a card of `gb` GB. Raises InputError where nothing fits."""
    task = get_task(task_name, phase)
    recipe = task.recipes["jiant"]
    length = length or recipe.max_seq_length
    smallest = None
    for setting in candidates(length, recipe.effective_batch_size, frozen):
        cost = estimate(shape, setting)
        if smallest is None or cost["peak"] < smallest[0]:
            smallest = cost["peak"], setting
        if cost["peak"] > gb * GIB:
            continue
        lines = [f"ESTIMATE {cost['peak'] / GIB:.1f} of {gb:g} GB: {setting.name}, batch {setting.batch} x {length}"]
        if measuring:
            found = measure(shape, setting, gb)
            if not found.get("fits"):
                print(f"measured: does not fit or does not run ({found.get('error', 'out of memory')}): {setting.name}", file=sys.stderr)
                continue
            speed = found.get("examples_per_second", float("nan"))
            lines = [f"MEASURED {found['reserved'] / GIB:.1f} GB + context, {speed:.1f} examples/s: {setting.name}"]
        if cost["host"]:
            lines.append(f"host memory for the offloaded states: ESTIMATE {cost['host'] / GIB:.1f} GB")
        script = f"run_{phase}.py"
        out = f"out/{task_name}"
        command = ["accelerate", "launch", script, "--task", task_name, "--output_dir", out, *setting.flags(recipe.effective_batch_size)]
        return "\n".join([*lines, shlex.join(command), "(--bf16 needs an Ampere GPU or newer; --fp16 on older ones)"])
    raise InputError(
        f"Nothing fits {gb:g} GB at length {length}: the smallest needs {smallest[0] / GIB:.1f} GB ({smallest[1].name}, batch 1)."
        + ("" if frozen else " Try --freeze_embeddings, or a smaller --max_seq_length.")
    )


TABLE = (
    Setting(bf16=False), Setting(bf16=False, checkpointing=True), Setting(), Setting(checkpointing=True),
    Setting(optim="adamw_8bit", checkpointing=True), Setting(checkpointing=True, frozen=True),
    *(Setting(config, checkpointing=True) for config in ZERO), Setting("zero2_offload"),
    Setting("zero2_offload", checkpointing=True, frozen=True),
)  # fmt: skip


def table(shape: str, batches: list[int], lengths: list[int], devices: int, measuring: bool, gb: float | None) -> str:
    rows = []
    for base in TABLE:
        for batch in batches:
            cells, host = [], 0.0
            for length in lengths:
                setting = replace(base, batch=batch, length=length)
                cost = estimate(shape, setting, devices)
                host = cost["host"]
                if measuring:
                    found = measure(shape, setting, gb)
                    shown = f"{found['reserved'] / GIB:.1f}" if found.get("fits") else "no"
                    cells.append(f"{shown} ({cost['peak'] / GIB:.1f})")
                else:
                    cells.append(f"{cost['peak'] / GIB:.1f}")
            last = max(estimate(shape, replace(base, batch=batch, length=length), devices)["peak"] for length in lengths)
            cards = next((f"{cap}" for cap in CAPS if last <= cap * GIB), "-")
            rows.append([base.name, str(batch), *cells, f"{host / GIB:.0f}" if host else "", cards])
    head = ["setting", "batch", *(f"length {length}" for length in lengths), "host", f"card for {max(lengths)}"]
    kind = "MEASURED, GB reserved by torch (estimate in brackets)" if measuring else "ESTIMATE, GB on one GPU"
    lines = [f"{shape}, {devices} GPU(s), {kind}", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


# ---- the formula against autograd, on CPU


def counted(hidden, layers, heads, setting: Setting) -> int:
    """Bytes that autograd keeps in one forward pass, weights and their copies left out; each storage once.

    Without attention dropout: with it the CPU has no fused attention and keeps its matrices, which CUDA does not.
    """
    from transformers import AutoModelForSequenceClassification, XLMRobertaConfig

    config = XLMRobertaConfig(
        vocab_size=1000, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=4 * hidden,
        max_position_embeddings=514, attention_probs_dropout_prob=0.0, pad_token_id=1,
    )  # fmt: skip
    model = AutoModelForSequenceClassification.from_config(config).train()
    if setting.checkpointing:
        model.gradient_checkpointing_enable()
    if setting.bf16 and setting.config:
        model = model.bfloat16()
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    weight_shapes = {tuple(parameter.shape) for parameter in model.parameters() if parameter.dim() == 2}
    weight_shapes |= {shape[::-1] for shape in weight_shapes}
    kept = {}

    def keep(tensor):
        if tensor.untyped_storage().data_ptr() not in weights and tuple(tensor.shape) not in weight_shapes:
            kept[tensor.untyped_storage().data_ptr()] = tensor  # held, so that no address is used twice
        return tensor

    ids = torch.randint(5, 900, (setting.batch, setting.length))
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16, enabled=setting.bf16 and not setting.config):
        loss = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=torch.zeros(len(ids), dtype=torch.long)).loss
    del loss
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def check() -> str:
    lines = [
        "| kept by autograd (CPU) | hidden x layers, batch x length | counted MB | formula MB | formula / counted |",
        "|---|---|---|---|---|",
    ]
    for hidden, layers, heads, batch, length in ((768, 3, 12, 2, 100), (1024, 2, 16, 2, 100), (1024, 4, 16, 1, 250)):
        for setting in (Setting(bf16=False), Setting(), Setting("zero2"), Setting(checkpointing=True, bf16=False)):
            setting = replace(setting, batch=batch, length=length)
            found = counted(hidden, layers, heads, setting)
            formula = kept_per_token(hidden, layers, setting, device="cpu") * batch * length
            shape = f"{hidden} x {layers}, {batch} x {length}"
            lines.append(f"| {setting.name} | {shape} | {found / 1e6:.2f} | {formula / 1e6:.2f} | {formula / found:.3f} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--gb", type=above_zero, help="memory of the card; without it the table")
    parser.add_argument("--task", default="xnli", help="task of the command line that --gb prints")
    parser.add_argument("--phase", default="target", choices=("target", "intermediate"))
    parser.add_argument("--max_seq_length", type=at_least(1), help="longest input; the task's recipe by default")
    parser.add_argument("--freeze_embeddings", action="store_true", help="with --gb: word embeddings are not trained")
    parser.add_argument("--shape", default="xlmr-large", choices=tuple(SHAPES))
    parser.add_argument("--batch", type=at_least(1), nargs="+", default=[1, 8, 32], help="per GPU, for the table")
    parser.add_argument("--length", type=at_least(1), nargs="+", default=[128, 256, 384], help="for the table")
    parser.add_argument("--devices", type=at_least(1), default=1, help="GPUs that share the states (ZeRO), for the table's estimate")
    parser.add_argument("--cap", type=above_zero, help="with a GPU: hard cap in GB for the table's measurements")
    parser.add_argument("--estimate", action="store_true", help="by formula, with a GPU too")
    parser.add_argument("--check", action="store_true", help="the formula against the bytes that autograd keeps")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.cell:
        return run_cell(args.cell)
    for name, length in (*(("length", length) for length in args.length), ("max_seq_length", args.max_seq_length or 0)):
        if length > 512:
            parser.error(f"--{name} {length}: the model has 512 positions")
    measuring = torch.cuda.is_available() and not args.estimate
    if args.check:
        print(check())
    elif args.gb is not None:
        print(answer(args.gb, args.shape, args.task, args.phase, args.max_seq_length, args.freeze_embeddings, measuring))
    else:
        print(table(args.shape, args.batch, args.length, args.devices, measuring, args.cap))


if __name__ == "__main__":
    run_script(main)
