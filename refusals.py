"""Command lines that are refused: each mistake is one line, said before a model or data are read.

A flag works or is refused. `settings.REFUSED` names the flags that no run may change. Here are the values that a flag may not have, and
the values that do not go together.
"""

import dataclasses
import importlib.util
import json
import math
import os
from pathlib import Path

from transformers import TrainingArguments

from settings import refusal
from task_adapters import InputError, Task, nearest, no_language

# Packages that a flag needs beside requirements.txt: flag, how its values begin, modules (one of them is enough), what pip calls it.
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
    *(("--report_to", (name,), name, name) for name in "clearml codecarbon dvclive mlflow neptune swanlab trackio wandb".split()),
    ("--report_to", ("azure_ml",), "azureml", "azureml-sdk"),
    ("--report_to", ("comet_ml",), "comet_ml", "comet-ml"),
    ("--report_to", ("dagshub",), "dagshub", "dagshub mlflow"),
    ("--report_to", ("flyte",), "flytekit", "flytekit"),
    ("--report_to", ("tensorboard",), "tensorboard tensorboardX", "tensorboard"),
)  # fmt: skip


# Numbers that the Trainer would accept and stumble over later, or take for something else: what would be right, the test, flags.
# Comparisons with nan are false, so that nan is refused too.
LIMITS = (
    ("at least 0 and finite", lambda value: 0 <= value < math.inf,
     ("learning_rate", "warmup_steps", "weight_decay", "adam_epsilon", "max_grad_norm", "eval_delay")),
    ("at least 0 and below 1", lambda value: 0 <= value < 1, ("adam_beta1", "adam_beta2", "label_smoothing_factor")),
    ("above 0 and finite", lambda value: 0 < value < math.inf,
     ("eval_steps", "save_steps", "logging_steps", "neftune_noise_alpha", "num_train_epochs")),
    ("a finite number", math.isfinite, ("no_answer_threshold",)),
    ("at least 0 and below 2^32", lambda value: 0 <= value < 2**32, ("seed", "data_seed")),
    ("at least 0", lambda value: value >= 0, ("dataloader_num_workers", "retries")),
    ("at least 1", lambda value: value >= 1,
     ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps", "effective_batch_size", "max_seq_length",
      "doc_stride", "max_train_samples", "max_eval_samples", "max_predict_samples", "save_total_limit", "torch_empty_cache_steps",
      "dataloader_prefetch_factor", "ddp_bucket_cap_mb", "ddp_timeout")),
    ("at least 1, or -1 where --num_train_epochs decides", lambda value: value >= 1 or value == -1, ("max_steps",)),
)  # fmt: skip


# ---- what is wrong by itself


def check_given(given: dict, trains: bool) -> None:
    """Values that are wrong by themselves, and flags that are refused."""
    library_defaults = {field.name: field.default for field in dataclasses.fields(TrainingArguments)}
    for name, value in given.items():
        check_number(name, value, given)
        if refusal(name) and value != library_defaults[name]:
            raise InputError(f"--{name} {refusal(name)}")
    if given.get("train_sampling_strategy") == "batch_rebalance":  # transformers' sampler of that name has its own fixed seed
        raise InputError("--train_sampling_strategy batch_rebalance ignores --seed: group_by_length, random or sequential would be right.")
    if given.get("do_train") is False:
        raise InputError("--do_train false: scoring without training is not there yet. Leave the flag out.")
    for name in ("lr_scheduler_kwargs", "activation_checkpointing_kwargs", "gradient_checkpointing_kwargs", "accelerator_config"):
        if name in given:
            check_json(name, given[name])
    if trains and not given.get("output_dir"):
        raise InputError("--output_dir is missing. For example: --output_dir out/mnli")


def check_number(name: str, value, given: dict) -> None:
    if name == "num_train_epochs" and value == 0 and given.get("max_steps", 0) > 0:
        return
    for right, is_right, names in LIMITS:
        if name in names and not is_right(value):
            raise InputError(f"--{name} {value}: {right}.")


def check_json(name: str, text: str) -> None:
    """A JSON object, in the members that the scripts leave to the user."""
    try:
        is_file = name == "accelerator_config" and not text.startswith("{")
        values = json.loads(Path(text).read_text(encoding="utf-8") if is_file else text)
    except OSError as error:
        raise InputError(f"--{name} {text} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise InputError(f"--{name} {text} is not valid JSON ({error}).") from error
    if not isinstance(values, dict):
        raise InputError(f'--{name} {text} is no JSON object, such as {{"name": 1}}.')
    if name == "accelerator_config":
        check_accelerator(values)
    elif name.endswith("checkpointing_kwargs") and values != {"use_reentrant": False}:
        raise InputError(f'--{name} {text}: only {{"use_reentrant": false}}, the default, computes the same gradients in every run.')


def check_accelerator(values: dict) -> None:
    from transformers.trainer_pt_utils import AcceleratorConfig

    defaults = {field.name: field.default for field in dataclasses.fields(AcceleratorConfig)}
    for name, value in values.items():
        if name not in defaults:
            raise InputError(f"--accelerator_config: there is no {name!r}. {nearest(name, defaults)}")
        if value != defaults[name] and name != "non_blocking":
            raise InputError(
                f"--accelerator_config {name} {json.dumps(value)}: batches, their order and accumulation are the scripts' own, the same for"
                " any number of processes. Leave it out."
            )


def check_languages(task: Task, args) -> None:
    languages = getattr(args, "languages", None) or []
    for language in languages:
        if language not in task.languages:
            if language in task.xtreme_r:
                raise InputError(f"{task.name} has {language!r} data in XTREME-R alone: add --benchmark xtreme-r.")
            raise InputError(no_language(task, language))
        if languages.count(language) > 1:
            raise InputError(f"--languages names {language!r} {languages.count(language)} times.")


# ---- what does not go together


def check_search(task: Task, args) -> None:
    """Flags of run_retrieval.py that its task does not have."""
    if args.batch_tokens is not None and args.batch_tokens < 1:
        raise InputError(f"--batch_tokens {args.batch_tokens}: at least 1.")
    if task.task_type != "retrieval" and args.max_predict_samples:
        reason = "is mined from all sentences" if task.task_type == "mining" else "is ranked among all candidates"
        raise InputError(f"--max_predict_samples counts pairs; {task.name} {reason}. Choose fewer --languages.")
    if task.task_type == "ranking" and args.save_probabilities and "save_probabilities" in args.given_flags:
        raise InputError(f"--save_probabilities: no probabilities are kept of the rankings of {task.name}. Leave the flag out.")


def check_processes(training_args) -> None:
    """Processes that do not know of each other, or that share a model in another way than one process for each GPU."""
    launched = int(os.environ.get("WORLD_SIZE", 1))
    # torchrun on a machine without GPU starts copies that do not know of each other, and all would write to one folder.
    if launched > 1 and training_args.world_size == 1:
        raise InputError(f"{launched} processes were launched, but each of them runs alone. On a machine without GPU add --use_cpu.")
    if training_args.n_gpu > 1:  # DataParallel multiplies the loss by the number of GPUs
        count = training_args.n_gpu
        raise InputError(
            f"One process sees {count} GPUs: start one for each (torchrun --nproc_per_node {count}),"
            " or show it one (CUDA_VISIBLE_DEVICES=0)."
        )
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() in ("true", "1"):
        raise InputError(f"FSDP, which accelerate's settings ask for, {refusal('fsdp')}")


def check_packages(training_args) -> None:
    """Packages that a flag needs: the Trainer would miss them when all data have been read."""
    reporters = [name for flag, names, *_ in PACKAGES if flag == "--report_to" for name in names]
    for name in training_args.report_to:
        if name == "kubeflow" and "KUBEFLOW_TRAINER_SERVER_URL" not in os.environ:
            raise InputError("--report_to kubeflow works inside a Kubeflow TrainJob alone, which sets KUBEFLOW_TRAINER_SERVER_URL.")
        if name not in (*reporters, "kubeflow"):
            raise InputError(f"--report_to {name} is unknown. {nearest(name, reporters)}")
    flags_and_values = [("--optim", training_args.optim.value), *(("--report_to", name) for name in training_args.report_to)]
    for flag, value in flags_and_values:
        for needed_by, beginnings, modules, package in PACKAGES:
            if flag == needed_by and value.startswith(beginnings) and not any(map(importlib.util.find_spec, modules.split())):
                module = modules.split()[0]
                raise InputError(f"{flag} {value} needs {module}, which is not installed: pip install {package}")


def check_optimizer(given: dict, training_args) -> None:
    """Flags that the optimizer of --optim does not read."""
    optimizer = training_args.optim.value
    for name in ("adam_beta1", "adam_beta2", "adam_epsilon"):
        if name in given and optimizer in ("sgd", "adagrad", "rmsprop", "adafactor"):
            raise InputError(f"--{name} has no effect with --optim {optimizer}. Leave one of the two out.")
    if "optim_target_modules" in given and not optimizer.startswith(("galore", "apollo")):
        raise InputError(f"--optim_target_modules has no effect with --optim {optimizer}: it is for GaLore and APOLLO.")
    if training_args.optim_args and optimizer in ("adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "adagrad", "rmsprop"):
        check_optim_args(training_args, optimizer)


def check_optim_args(training_args, optimizer: str) -> None:
    """Raises InputError for a part of --optim_args that is no NAME=VALUE, or that changes nothing in what the optimizer is made with."""
    from transformers import Trainer  # here, because a command line seldom has the flag

    text, kwargs = training_args.optim_args, []
    parts = text.replace(" ", "").split(",")
    for part in parts:
        if part.count("=") != 1:
            raise InputError(f"--optim_args {text}: {part!r} is no NAME=VALUE.")
        try:
            for kept in (parts, [other for other in parts if other != part]):
                training_args.optim_args = ",".join(kept)
                kwargs.append(Trainer.get_optimizer_cls_and_kwargs(training_args)[1])
        except ValueError as error:
            raise InputError(f"--optim_args {text}: {error}.") from error
        finally:
            training_args.optim_args = text
        if kwargs[-1] == kwargs[-2]:
            raise InputError(f"--optim_args {part} has no effect with --optim {optimizer}. Leave it out.")


def check_schedule(given: dict, training_args) -> None:
    """What the schedule of the learning rate does not read, or cannot be made with."""
    import torch
    from transformers import get_scheduler

    kind, kwargs = training_args.lr_scheduler_type.value, training_args.lr_scheduler_kwargs
    if given.get("warmup_steps") and kind in ("constant", "reduce_lr_on_plateau", "greedy"):
        raise InputError(f"--warmup_steps has no effect with --lr_scheduler_type {kind}. Leave it out, or choose constant_with_warmup.")
    if kwargs and kind in ("constant", "constant_with_warmup"):
        raise InputError(f"--lr_scheduler_kwargs has no effect with --lr_scheduler_type {kind}. Leave it out.")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=training_args.learning_rate)
    try:
        get_scheduler(kind, optimizer, num_warmup_steps=1, num_training_steps=10, scheduler_specific_kwargs=kwargs)
    except (ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"--lr_scheduler_type {kind} with --lr_scheduler_kwargs {json.dumps(kwargs)}: {reason}") from error


def check_pairs(tasks, recipe, training_args, draws_task_by_task: bool) -> None:
    """What the training of a dual encoder cannot have."""
    for name in (task.name for task in tasks if task.task_type == "pairs"):
        batch, among = training_args.per_device_train_batch_size, recipe.negatives_among
        if draws_task_by_task:
            raise InputError(f"{name} is trained alone: the negatives of its loss are the other questions of a whole step.")
        if training_args.deepspeed:
            raise InputError("A dual encoder has not been trained under DeepSpeed: leave --deepspeed out.")
        if training_args.label_smoothing_factor:
            raise InputError(f"--label_smoothing_factor has no effect on {name}, which has no labels. Leave it out.")
        if among and batch % among:
            raise InputError(
                f"--per_device_train_batch_size {batch} cuts through the {among} questions that are negatives"
                f" of each other in this recipe: a multiple of {among} would be right."
            )


def check_together(tasks, args, training_args) -> None:
    """What several tasks at once, or masked LM beside them, cannot have."""
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
    if training_args.ddp_find_unused_parameters is False:
        raise InputError("--ddp_find_unused_parameters false is for one task alone: with several, each step leaves the other heads unused.")


# ---- flags of run_intermediate.py


def check_sampling(args) -> None:
    """How the task of each step is drawn where several are trained together."""
    if args.sampling_cap < 1:
        raise InputError(f"--sampling_cap {args.sampling_cap} leaves nothing to draw: at least 1.")
    if (args.sampling == "temperature") != (args.temperature is not None):
        raise InputError("--sampling temperature and --temperature T go together.")
    if args.temperature is not None and not 0 < args.temperature < math.inf:
        raise InputError(f"--temperature {args.temperature} is not a number above 0.")


def check_masked_lm(args) -> None:
    """Masked LM beside the task."""
    if args.mlm_languages is None:
        if args.mlm_data is not None:
            raise InputError("--mlm_data is given without --mlm_languages. For example: --mlm_languages all")
        return
    if args.normalize != "as_is":
        raise InputError(f"--normalize {args.normalize} does not reach the texts of masked LM: bring those into composed form first.")
    for language in args.mlm_languages:
        if args.mlm_languages.count(language) > 1:
            raise InputError(f"--mlm_languages names {language!r} {args.mlm_languages.count(language)} times.")
    if not 0 <= args.mlm_share < 1:
        raise InputError(f"--mlm_share {args.mlm_share} is not from 0 (masked LM is measured, not trained) to below 1.")
    if not 0 <= args.mlm_alpha <= 1:
        raise InputError(f"--mlm_alpha {args.mlm_alpha} is not between 0 (all languages alike) and 1 (as many as there are texts).")
    if args.mlm_eval_samples < 1:
        raise InputError(f"--mlm_eval_samples {args.mlm_eval_samples} leaves nothing to measure: at least 1.")
