"""The command line: recipe values as defaults, every one of them overridden by the usual flag, mistakes as one line.

The effective batch is the recipe's, whatever the number of processes: accumulation steps are computed, never guessed.
"""

import argparse
import importlib.util
import os
import sys
from dataclasses import dataclass, field
from typing import Literal

from transformers import HfArgumentParser, TrainingArguments
from transformers.hf_argparser import string_to_bool

from console import say
from task_adapters import TASKS, InputError, Task, find_train_files, find_train_languages, get_task, nearest
from trainer import deepspeed as deepspeed_support

# What flags need beside requirements.txt: flag, how its values begin, module (one of them will do), what pip calls it.
PACKAGES = (
    ("--optim", ("adamw_bnb", "adamw_8bit", "ademamix", "lion", "paged", "rmsprop_bnb"), "bitsandbytes", "bitsandbytes"),
    ("--optim", ("adamw_torch_8bit", "adamw_torch_4bit"), "torchao", "torchao"),
    ("--optim", ("adamw_torch_xla",), "torch_xla", "torch_xla"),
    ("--optim", ("adamw_torch_npu",), "torch_npu", "torch_npu"),
    ("--optim", ("adamw_anyprecision",), "torchdistx", "git+https://github.com/pytorch/torchdistx"),
    ("--optim", ("galore",), "galore_torch", "galore-torch"),
    ("--optim", ("apollo",), "apollo_torch", "apollo-torch"),
    ("--optim", ("lomo", "adalomo"), "lomo_optim", "lomo-optim"),
    ("--optim", ("grokadamw",), "grokadamw", "grokadamw"),
    ("--optim", ("schedule_free",), "schedulefree", "schedulefree"),
    ("--optim", ("stable_adamw",), "optimi", "torch-optimi"),
    ("--use_liger_kernel", ("",), "liger_kernel", "liger-kernel"),
    *(("--report_to", (name,), name, name) for name in "clearml codecarbon dvclive mlflow neptune swanlab trackio wandb".split()),
    ("--report_to", ("azure_ml",), "azureml", "azureml-sdk"),
    ("--report_to", ("comet_ml",), "comet_ml", "comet-ml"),
    ("--report_to", ("dagshub",), "dagshub", "dagshub mlflow"),
    ("--report_to", ("flyte",), "flytekit", "flytekit"),
    ("--report_to", ("tensorboard",), "tensorboard tensorboardX", "tensorboard"),
)  # fmt: skip


@dataclass
class CommonArguments:
    """Flags of all three scripts."""

    task: str = field(default="", metadata={"help": "Name of the task."})
    model_name_or_path: str = field(
        default="FacebookAI/xlm-roberta-large", metadata={"help": "Hub id or folder; the folder of an earlier run for the next phase."}
    )
    recipe: str = field(default="jiant", metadata={"help": "Published settings that give the defaults."})
    data_dir: str | None = field(
        default=None, metadata={"help": "Folder laid out by hub id, used in place of the hub: DIR/nyu-mll/glue/mnli/train-*.parquet."}
    )
    max_seq_length: int | None = field(default=None, metadata={"help": "Longest input in pieces, special tokens included."})
    normalize: Literal["as_is", "nfc"] = field(
        default="as_is", metadata={"help": "nfc: compose letters and accents, as encoders were trained on; how many texts need it is said."}
    )
    tokenizer_as_loaded: bool = field(
        default=False, metadata={"help": "Read text as transformers' class does where the tokenizer's own files say otherwise."}
    )
    overwrite: bool = field(default=False, metadata={"help": "Redo a run that --output_dir holds already."})


@dataclass
class TrainArguments(CommonArguments):
    """Flags of the two scripts that train, beside those of `TrainingArguments`."""

    effective_batch_size: int | None = field(
        default=None, metadata={"help": "Examples per update over all devices; reached by accumulation."}
    )
    doc_stride: int | None = field(default=None, metadata={"help": "Span QA: pieces between the starts of two windows."})
    train_languages: list[str] | None = field(
        default=None,
        metadata={
            "help": "Train on the hub's data in these languages, or `all` that have any; English by default, none with --train_file."
        },
    )
    train_file: list[str] | None = field(
        default=None,
        metadata={"help": "Train on these files (parquet, jsonl, json, csv, tsv) in place of the hub's data: PATH, or LANG=PATH."},
    )
    max_train_samples: int | None = field(
        default=None, metadata={"help": "Train on this many examples of each language, drawn with --seed."}
    )
    max_eval_samples: int | None = field(default=None, metadata={"help": "Score the first this many dev examples of each language."})
    label_piece: Literal["first", "first_content", "mean"] = field(
        default="first",
        metadata={"help": "Tagging: a word's tag is read at its first piece, at its first beyond a bare space, or as the mean over all."},
    )
    keep_head: bool = field(default=False, metadata={"help": "Start from the checkpoint's head in place of a fresh one."})
    freeze_embeddings: bool = field(
        default=False,
        metadata={"help": "Leave the word embeddings as they are, nearly half of XLM-R Large's weights: no gradient, no state."},
    )
    padding_free: Literal["auto", "on", "off"] = field(
        default="auto",
        metadata={"help": "Run the encoder on real tokens, not on padding; auto: on a GPU, and for choices of unlike length, where exact."},
    )
    trim_embeddings: Literal["auto", "on", "off"] = field(
        default="auto",
        metadata={"help": "Leave embeddings of pieces that do not occur on the host while training: the same update; auto: where it is."},
    )
    retries: int = field(default=0, metadata={"help": "Begin a run that fails to learn again with another seed, this many times."})
    keep_checkpoints: bool = field(default=False, metadata={"help": "Keep checkpoint-* (for resuming) after the run is finished."})


class Parser(HfArgumentParser):
    """argparse prints all two hundred flags before its one line of complaint."""

    def error(self, message):
        raise InputError(message)


def find_tasks(names: list[str], recipe: str, phase: str) -> tuple[Task, ...]:
    """The tasks of these names in the collection's own order, so that `squad_v1 mnli` and `mnli squad_v1` are the same run."""
    if not names:
        raise InputError(
            "--task is missing. For example: --task " + {"intermediate": "mnli", "target": "xnli", "retrieval": "tatoeba"}[phase]
        )
    if names == ["all"] and phase == "intermediate":
        names = [task.name for task in TASKS.values() if task.phase == phase]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"--task names {name!r} {names.count(name)} times.")
        task = get_task(name, phase)
        if recipe not in task.recipes:
            raise InputError(f"Unknown recipe {recipe!r} for {task.name}. {nearest(recipe, task.recipes)}")
        if task.recipes[recipe] != TASKS[names[0]].recipes[recipe]:
            raise InputError(f"Recipe {recipe!r} has other settings for {name} than for {names[0]}: they cannot be trained together.")
    return tuple(sorted((TASKS[name] for name in names), key=list(TASKS.values()).index))


def parse(arguments_class, phase: str):
    """The command line of a script. -> (arguments, TrainingArguments or None, tasks: one, or several to be trained together, recipe)"""
    import torch

    trains = issubclass(arguments_class, TrainArguments)
    parser = Parser((arguments_class, TrainingArguments) if trains else (arguments_class,), allow_abbrev=False)
    known = {option for action in parser._actions for option in action.option_strings}
    task_and_recipe = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    task_and_recipe.add_argument("--task", nargs="*", default=[])
    task_and_recipe.add_argument("--mlm_languages", "--mlm-languages", nargs="*")
    for action in (
        "--recipe", "--eval_strategy", "--eval_steps", "--save_strategy", "--deepspeed", "--select_on",
        "--gradient_accumulation_steps", "--per_device_train_batch_size", "--effective_batch_size", "--max_seq_length",
    ):  # fmt: skip
        task_and_recipe.add_argument(action, action.replace("_", "-"))
    first, _ = task_and_recipe.parse_known_args()
    deepspeed_file = deepspeed_config = None
    if first.task or not {"-h", "--help"} & set(sys.argv):  # help shows a task's own defaults
        tasks = find_tasks(first.task if phase == "intermediate" else first.task[:1], first.recipe or "jiant", phase)
        if trains:
            deepspeed_file = deepspeed_support.config_path(first.deepspeed)
            if deepspeed_file:
                deepspeed_config = deepspeed_support.read_config(deepspeed_file)
                deepspeed_support.prepare_processes(use_cpu=cpu_is_asked_for())
                parser.set_defaults(deepspeed=deepspeed_file, use_cpu=not torch.cuda.is_available())
            recipe = tasks[0].recipes[first.recipe or "jiant"]
            parser.set_defaults(**training_defaults(tasks, recipe, first, deepspeed=bool(deepspeed_file)))
            parser.set_defaults(**precision_defaults(deepspeed_config))
    try:
        *parsed, unknown = parser.parse_args_into_dataclasses(return_remaining_strings=True)
    except (ValueError, TypeError) as error:  # what TrainingArguments say of values that do not go together
        raise InputError(" ".join(str(error).split())) from error
    if unknown:
        flag = unknown[0].partition("=")[0]
        if not trains and flag in flags_of_training():
            raise InputError(f"{flag} is for training: this script trains nothing and has no such flag.")
        raise InputError(f"Unknown argument {unknown[0]!r}. {nearest(unknown[0], known) if unknown[0].startswith('-') else ''}".strip())
    args, training_args = parsed if trains else (parsed[0], None)
    recipe = tasks[0].recipes[args.recipe]
    for name in ("max_seq_length", "doc_stride", "layer", "pooling"):
        if getattr(args, name, 0) is None:
            setattr(args, name, getattr(recipe, name))
    for name in ("max_train_samples", "max_eval_samples", "max_predict_samples"):
        if getattr(args, name, None) is not None and getattr(args, name) < 1:
            raise InputError(f"--{name} {getattr(args, name)} leaves nothing: at least 1.")
    if getattr(args, "doc_stride", None) is not None and args.doc_stride < 1:
        raise InputError(f"--doc_stride {args.doc_stride} never reaches the end of a text: at least 1.")
    if trains:
        check_numbers(training_args)
        check_processes(training_args)
        check_packages(training_args)
        if training_args.device.type == "cuda" and not (training_args.bf16 or training_args.fp16 or precision_is_asked_for()):
            say("this GPU has no bf16, so that this run is in fp32: --fp16 is several times faster (bf16 false: this line goes away)")
        if deepspeed_file:
            deepspeed_support.check_agreement(deepspeed_file, deepspeed_config, training_args)
            deepspeed_support.check_settings(deepspeed_file, training_args)
        if len(tasks) > 1 or getattr(args, "mlm_languages", None):
            check_together(tasks, args, training_args)
        args.train_file = find_train_files(args.train_file or [])
        args.train_languages = find_train_languages(tasks[0], args.train_languages, args.train_file)
        args.effective_batch_size = training_args.train_batch_size * training_args.gradient_accumulation_steps * training_args.world_size
    if getattr(args, "languages", None) is not None:
        for language in args.languages:
            if language not in tasks[0].languages:
                known = tasks[0].languages
                raise InputError(f"{tasks[0].name} has no {language!r} data. {nearest(language, known)} It covers: {', '.join(known)}.")
            if args.languages.count(language) > 1:
                raise InputError(f"--languages names {language!r} {args.languages.count(language)} times.")
    return args, training_args, tasks, recipe


def flags_of_training() -> set[str]:
    """The flags of both scripts that train."""
    parsers = [Parser((TrainArguments, TrainingArguments))]
    return {option for parser in parsers for action in parser._actions for option in action.option_strings}


def training_defaults(tasks, recipe, given, deepspeed: bool) -> dict:
    """`TrainingArguments` of a recipe: those it names, and what follows from them."""
    together, room = len(tasks) > 1, room_on_device(tasks, recipe, given)
    best = recipe.selection == "best" or (together and given.eval_strategy not in (None, "no")) or given.select_on not in (None, "en")
    best = best and "no" not in (given.eval_strategy, given.save_strategy)  # nothing to compare, or nothing to take back
    strategy = (given.eval_strategy or ("epoch" if given.save_strategy == "epoch" else "steps")) if best else "no"
    return {
        **{name: getattr(recipe, name) for name in (
            "learning_rate", "num_train_epochs", "warmup_steps", "weight_decay", "adam_epsilon", "max_grad_norm", "eval_steps", "seed")},
        # The filter asks each step's loss for its value, and a GPU would wait; `collapse.py` reads many at once.
        "logging_nan_inf_filter": False,
        "output_dir": None, "report_to": "none", "logging_steps": 100, "per_device_eval_batch_size": max(32, 4 * room),
        # A checkpoint that is compared is also kept: else the best may be one that is not there.
        "save_steps": given.eval_steps or recipe.eval_steps, "save_total_limit": 1, "eval_strategy": strategy,
        "save_strategy": strategy if best else "steps",
        "load_best_model_at_end": best, "metric_for_best_model": ("mean" if together else tasks[0].dev_metric) if best else None,
        "greater_is_better": True if best else None,
        "train_sampling_strategy": "random" if together or given.mlm_languages else "group_by_length",
        **batch_and_accumulation(recipe.effective_batch_size, given, deepspeed, max(8, room)),
    }  # fmt: skip


def room_on_device(tasks, recipe, given) -> int:
    """Examples of the longest kind that a large GPU surely has room for at once, beside XLM-R Large and its states; 0: none is sure.

    A few short sentences leave a GPU waiting for its next command most of the time. By `benchmarks/memory.py`.
    """
    import torch

    if cpu_is_asked_for() or not torch.cuda.is_available():
        return 0
    own = min(int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count() - 1)
    memory = torch.cuda.get_device_properties(max(own, 0)).total_memory / 2**30
    tokens = 8192 if memory > 38 else 4096 if memory > 22 else 0  # cards of 40 and of 24 GB
    return tokens // ((whole("max_seq_length", given.max_seq_length) or recipe.max_seq_length) * max(task.choices for task in tasks))


def batch_and_accumulation(recipe_batch: int, given, deepspeed: bool = False, most: int = 8) -> dict:
    """Batch per device, `most` of them where none is given, and accumulation steps, whose product over all devices is the effective batch.

    Where the user gives accumulation steps, they are taken as they are; --effective_batch_size beside them must agree.
    """
    import torch

    world = int(os.environ.get("WORLD_SIZE", 1))
    # A process without a launcher uses all GPUs it sees; one of torchrun's, or under DeepSpeed, only its own.
    is_launched = int(os.environ.get("LOCAL_RANK", -1)) >= 0
    devices = world if is_launched or cpu_is_asked_for() or deepspeed else max(1, torch.cuda.device_count())
    batch = whole("effective_batch_size", given.effective_batch_size) or recipe_batch
    per_device = whole("per_device_train_batch_size", given.per_device_train_batch_size)
    steps = whole("gradient_accumulation_steps", given.gradient_accumulation_steps)
    if steps is not None:
        if given.effective_batch_size and per_device and per_device * steps * devices != batch:
            raise InputError(
                f"{per_device} per device x {steps} steps x {devices} devices is {per_device * steps * devices},"
                f" not --effective_batch_size {batch}."
            )
        if per_device is None and batch % (steps * devices):
            raise InputError(f"{steps} accumulation steps on {devices} devices do not divide an effective batch of {batch}.")
        return {"per_device_train_batch_size": per_device or batch // (steps * devices), "gradient_accumulation_steps": steps}
    if batch % devices:
        raise InputError(f"{devices} devices do not divide an effective batch of {batch}. Choose --effective_batch_size.")
    if per_device is None:
        per_device = max(size for size in range(1, most + 1) if (batch // devices) % size == 0)
    if batch % (per_device * devices):
        raise InputError(
            f"{per_device} per device x {devices} devices does not divide an effective batch of {batch}."
            " Choose --per_device_train_batch_size or --effective_batch_size."
        )
    return {"per_device_train_batch_size": per_device, "gradient_accumulation_steps": batch // (per_device * devices)}


def precision_defaults(deepspeed_config: dict | None = None) -> dict:
    """bf16 on GPUs that compute in it; what DeepSpeed's file or `accelerate config` says, where they say so; the flags before all.

    AdamW is fused by default anyway.
    """
    import torch

    config = deepspeed_config or {}
    in_file = config.get("bf16", {}).get("enabled", "auto")
    if in_file != "auto":
        return {"bf16": in_file}
    asked = precision_is_asked_for()
    launcher = "ACCELERATE_MIXED_PRECISION"  # TrainingArguments would follow it without saying so in their flags
    if asked:
        os.environ.pop(launcher, None)
    if os.environ.get(launcher) in ("bf16", "fp16"):
        return {os.environ[launcher]: True}
    if asked or config.get("fp16", {}).get("enabled") is True or cpu_is_asked_for() or not torch.cuda.is_available():
        return {}
    return {"bf16": torch.cuda.is_bf16_supported(including_emulation=False)}


def precision_is_asked_for() -> bool:
    return any(flag.partition("=")[0] in ("--fp16", "--bf16") for flag in sys.argv)


def cpu_is_asked_for() -> bool:
    """--use_cpu, --use_cpu=true, or `accelerate launch --cpu`."""
    parser = Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--use_cpu", "--use-cpu", type=string_to_bool, nargs="?", const=True)
    launcher = os.environ.get("ACCELERATE_USE_CPU", "false").lower() in ("1", "true")
    return launcher or bool(parser.parse_known_args()[0].use_cpu)


def whole(name, text):
    """A flag's positive whole number; None where it was not given."""
    if text is None:
        return None
    if not text.isdigit() or int(text) < 1:
        raise InputError(f"--{name} {text} is not a positive whole number.")
    return int(text)


def check_numbers(training_args) -> None:
    """Numbers that the Trainer takes and stumbles over later, or takes for something else."""
    zero = ("seed", "data_seed", "learning_rate", "logging_steps", "dataloader_num_workers")
    for name, smallest in {**dict.fromkeys(zero, 0), "per_device_eval_batch_size": 1}.items():
        value = getattr(training_args, name)
        if value is not None and not value >= smallest:
            raise InputError(f"--{name} {value}: at least {smallest}.")
    for name in ("seed", "data_seed"):
        if (getattr(training_args, name) or 0) >= 2**32:
            raise InputError(f"--{name} {getattr(training_args, name)} is not below 2^32.")
    if not (training_args.num_train_epochs > 0 or training_args.max_steps > 0):
        raise InputError(f"--num_train_epochs {training_args.num_train_epochs} trains nothing: above 0, or --max_steps.")
    if training_args.auto_find_batch_size:  # accelerate takes a tenth off the batch per device; the accumulation steps stay
        raise InputError(
            "--auto_find_batch_size makes another update where memory is short: --per_device_train_batch_size N makes the same one with"
            " less memory, and `python benchmarks/memory.py --gb N` says what fits."
        )
    if training_args.resume_from_checkpoint:
        raise InputError("--resume_from_checkpoint has no effect: a run that was cut off goes on from its last checkpoint by itself.")


def check_processes(training_args) -> None:
    """torchrun on a machine without GPU starts copies that do not know of each other; all would write to one folder."""
    launched = int(os.environ.get("WORLD_SIZE", 1))
    if launched > 1 and training_args.world_size == 1:
        raise InputError(f"{launched} processes were launched, but each of them runs alone. On a machine without GPU add --use_cpu.")
    if training_args.n_gpu > 1:  # DataParallel multiplies the loss by the number of GPUs
        count = training_args.n_gpu
        raise InputError(
            f"One process sees {count} GPUs: start one for each (torchrun --nproc_per_node {count}),"
            " or show it one (CUDA_VISIBLE_DEVICES=0)."
        )
    if training_args.fsdp or os.environ.get("ACCELERATE_USE_FSDP", "false").lower() in ("true", "1"):
        raise InputError("FSDP has not been tried here: --deepspeed ds_configs/zero3.json shares a model out among GPUs too.")
    if training_args.label_smoothing_factor:
        raise InputError("--label_smoothing_factor would have no effect: the losses here are plain cross-entropies.")
    if not training_args.output_dir:
        raise InputError("--output_dir is missing.")


def check_packages(training_args) -> None:
    """Packages that a flag needs: the Trainer would miss them when all data have been read."""
    reporters = [name for flag, names, *_ in PACKAGES if flag == "--report_to" for name in names]
    for name in training_args.report_to:
        if name == "kubeflow" and "KUBEFLOW_TRAINER_SERVER_URL" not in os.environ:
            raise InputError("--report_to kubeflow works inside a Kubeflow TrainJob alone, which sets KUBEFLOW_TRAINER_SERVER_URL.")
        if name not in (*reporters, "kubeflow"):
            raise InputError(f"--report_to {name} is unknown. {nearest(name, reporters)}")
    asked = [("--optim", training_args.optim.value), *(("--report_to", name) for name in training_args.report_to)]
    for flag, value in asked + [("--use_liger_kernel", "")] * training_args.use_liger_kernel:
        for own, beginnings, modules, name in PACKAGES:
            if flag == own and value.startswith(beginnings) and not any(map(importlib.util.find_spec, modules.split())):
                module = modules.split()[0]
                raise InputError(f"{f'{flag} {value}'.strip()} needs {module}, which is not installed: pip install {name}")


def check_together(tasks, args, training_args) -> None:
    """What several tasks at once, or masked LM beside, cannot have."""
    if training_args.deepspeed:
        raise InputError(
            "Several tasks at once, and masked LM beside, have not been tried under DeepSpeed; --deepspeed is for one task alone."
        )
    if args.keep_head:
        raise InputError("--keep_head is for one task alone: several at once, and masked LM beside, start with fresh heads.")
    for name in ("train_file", "train_languages"):
        if len(tasks) > 1 and getattr(args, name) not in (None, ["en"]):
            raise InputError(f"--{name} is for one task: several at once train on the hub's English data.")
    if training_args.train_sampling_strategy != "random":
        raise InputError(
            f"--train_sampling_strategy {training_args.train_sampling_strategy} is for one task alone: here steps are drawn task by task."
        )
