"""Command lines that are refused: each mistake is one line, said before a model or data are read.

A flag works or is refused. `settings.REFUSED` names the flags that no run may change. Here are the values that a flag may not have, and
the values that do not go together.
"""

import dataclasses
import importlib.util
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from settings import COMPARED, LEFT_BY_PROTOCOL, WITHOUT_EFFECT, refusal
from task_adapters import InputError, Task, hub_ids_of, nearest, no_language

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
    ("at least 0 and below 1", lambda value: 0 <= value < 1, ("adam_beta1", "adam_beta2", "label_smoothing_factor", "lora_dropout")),
    ("above 0 and finite", lambda value: 0 < value < math.inf,
     ("lora_alpha", "eval_steps", "save_steps", "logging_steps", "neftune_noise_alpha", "num_train_epochs")),
    ("a finite number", math.isfinite, ("no_answer_threshold",)),
    ("at least 0 and below 2^32", lambda value: 0 <= value < 2**32, ("seed", "data_seed")),
    ("at least 0", lambda value: value >= 0, ("dataloader_num_workers", "retries")),
    ("at least 1", lambda value: value >= 1,
     ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps", "effective_batch_size", "max_seq_length",
      "doc_stride", "max_train_samples", "max_eval_samples", "max_predict_samples", "save_total_limit", "torch_empty_cache_steps",
      "dataloader_prefetch_factor", "ddp_bucket_cap_mb", "ddp_timeout", "lora_rank", "early_stopping_patience")),
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
    for name in ("lr_scheduler_kwargs", "activation_checkpointing_kwargs", "gradient_checkpointing_kwargs", "accelerator_config"):
        if name in given:
            check_json(name, given[name])
    if trains and not given.get("output_dir"):
        raise InputError("--output_dir is missing. For example: --output_dir out/my_run")


def check_lists(given: dict) -> None:
    """Names with commas between them, as other programs have them. Paths and labels may hold commas."""
    for name in ("task", "languages", "train_languages", "mlm_languages", "layers", "lora_target"):
        values = given.get(name)
        if isinstance(values, list) and "," in "".join(values):
            words = " ".join(values)
            right = " ".join(words.replace(",", " ").split())
            raise InputError(f"--{name} {words}: blanks stand between names, not commas: --{name} {right}")


def check_number(name: str, value: float | None, given: dict) -> None:
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


def check_languages(task: Task, args: Any) -> None:
    languages = getattr(args, "languages", None) or []
    for language in languages:
        if language not in task.languages:
            if language in task.xtreme_r:
                raise InputError(f"{task.name} has {language!r} data in XTREME-R alone: add --benchmark xtreme-r.")
            answer = no_language(task, language)
            raise InputError(answer if "Did you mean" in answer else f"{answer} A file of your own: --test_file {language}=FILE.")
        if languages.count(language) > 1:
            raise InputError(f"--languages names {language!r} {languages.count(language)} times.")


def check_dev_files(task: Task, args: Any) -> None:
    """Dev files that no checkpoint would be compared on, and such as are scored."""
    for file in args.dev_file:
        if any(file.sha256 == other.sha256 for other in args.test_file):
            raise InputError(f"--dev_file {file.path} is --test_file too: choosing by it would be choosing by the test.")
        if file.language == "en":
            continue
        if file.language not in (args.languages or task.languages):
            raise InputError(f"--dev_file {file.language}={file.path}: {file.language!r} is not scored. Add it to --languages.")
        if args.select_on == "en" and not args.oracle:
            raise InputError(
                f"--dev_file {file.language}={file.path} is read with --select_on target, --select_on mean or --oracle alone: otherwise"
                " checkpoints are compared on English dev data."
            )


# ---- what does not go together


def check_parts(given: dict, phase: str, evaluates_only: bool, deepspeed_file: str | None) -> None:
    """--do_train, --do_eval and --do_predict, and the flags that have no effect where nothing is trained."""
    if phase == "intermediate" and given.get("do_predict"):
        raise InputError("--do_predict: of an intermediate task the English dev set alone is scored. --do_eval would be right.")
    if not evaluates_only:
        for name in ("do_eval", "do_predict"):
            if given.get(name) is False:
                raise InputError(f"--{name} false: a run that trains is scored on dev and test data. Leave the flag out.")
        if given.get("label_map") and not given.get("keep_head"):
            raise InputError("--label_map names the outputs of a head that is kept: add --keep_head, or --do_train false.")
        return
    if given.get("do_eval") is False and (phase == "intermediate" or given.get("do_predict") is False):
        raise InputError("--do_train false and --do_eval false leave nothing to do.")
    if idle := [f"--{name}" for name in given if name in WITHOUT_EFFECT]:
        verb, them = ("has", "it") if len(idle) == 1 else ("have", "them")
        asked = "--do_train false, --do_eval, --do_predict"
        raise InputError(f"{', '.join(idle)} {verb} no effect without training ({asked}). Leave {them} out.")
    parts = {
        "do_predict": ("languages", "max_predict_samples", "g_xlt", "test_file", "perturb"),
        "do_eval": ("max_eval_samples", "dev_file"),
    }
    for scored, other in (("do_eval", "do_predict"), ("do_predict", "do_eval")):
        for name in parts[other]:
            if given.get(scored) and not given.get(other) and name in given and phase == "target":
                raise InputError(f"--{name} has no effect where --{scored} alone says what is scored. Add --{other}, or leave it out.")
    if deepspeed_file:
        raise InputError("DeepSpeed is for training. Without training, start one process for each GPU: torchrun --nproc_per_node N.")


def check_protocol(given: dict, recipe: Any) -> None:
    """Flags that would make another training, or another score, than the protocol's."""
    for name in given if given.get("protocol") else ():
        if name in COMPARED and name not in LEFT_BY_PROTOCOL and given[name] != getattr(recipe, name, None):
            said = f"; its {name} is {getattr(recipe, name)}" if hasattr(recipe, name) else ""
            raise InputError(f"--protocol {given['protocol']} says how a task is trained and scored{said}: leave --{name} out.")


def check_search(task: Task, args: Any) -> None:
    """Flags of run_retrieval.py that its task does not have."""
    check_layers(task, args)
    if args.batch_tokens is not None and args.batch_tokens < 1:
        raise InputError(f"--batch_tokens {args.batch_tokens}: at least 1.")
    if task.task_type != "retrieval" and args.max_predict_samples:
        reason = "is mined from all sentences" if task.task_type == "mining" else "is ranked among all candidates"
        raise InputError(f"--max_predict_samples counts pairs; {task.name} {reason}. Choose fewer --languages.")
    if task.task_type == "ranking" and args.save_probabilities and "save_probabilities" in args.given_flags:
        raise InputError(f"--save_probabilities: no probabilities are kept of the rankings of {task.name}. Leave the flag out.")


def check_layers(task: Task, args: Any) -> None:
    """--layer and --layers of run_retrieval.py; `args.layer` becomes a number. Which layers a model has is known when it is read."""
    layer, layers, several = args.layer, args.layers, args.layers is not None or args.layer == "best"
    if layer not in ("best", "last") and not str(layer).isdecimal():
        raise InputError(f"--layer {layer}: a number from 0, last, or best.")
    for name in layers or []:
        if not name.isdecimal() and layers != ["all"]:
            raise InputError(f"--layers {name}: numbers from 0, or all alone.")
        if layers.count(name) > 1:
            raise InputError(f"--layers names {name} {layers.count(name)} times.")
    if several and task.task_type != "retrieval":
        flag = "--layer best" if layer == "best" else "--layers"
        raise InputError(f"{flag} is for pairs of translations, such as tatoeba: {task.name} would have to be searched anew at each layer.")
    if several and args.pooling == "pooler":
        raise InputError("--pooling pooler stands behind the last layer alone: with several layers, mean or cls would be right.")
    if layer == "best" and len(args.languages or task.languages) < 2:
        raise InputError("--layer best is chosen on other languages than the one that is scored: at least two --languages.")
    args.layer = layer if layer in ("best", "last") else int(layer)
    args.layers = ["all"] if layer == "best" and layers is None else sorted(layers, key=int) if layers not in (None, ["all"]) else layers


def check_processes(training_args: TrainingArguments) -> None:
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


def check_packages(training_args: TrainingArguments) -> None:
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


def check_publication(given: dict, training_args: TrainingArguments) -> dict | None:
    """What --push_to_hub publishes, as `report.publish.share` has it; None without the flag."""
    from huggingface_hub import get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    repo_id, private = given.get("hub_model_id"), given.get("hub_private_repo")
    if not given.get("push_to_hub"):
        for name in ("hub_model_id", "hub_token", "hub_private_repo", "push_predictions"):
            is_trackers = name == "hub_private_repo" and "trackio" in training_args.report_to
            if given.get(name) and not is_trackers:
                raise InputError(f"--{name} has no effect without --push_to_hub.")
        return None
    if given.get("save_model") is False:
        raise InputError("--push_to_hub publishes the model, and --save_model false leaves none. Leave one of the two out.")
    if not repo_id or repo_id.count("/") != 1:
        raise InputError("--push_to_hub needs the name that the model is to have: --hub_model_id OWNER/NAME.")
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise InputError(f"--hub_model_id {repo_id}: {' '.join(str(error).split())}") from error
    if not (given.get("hub_token") or get_token()):
        raise InputError("--push_to_hub needs a token of the hub that may write: `hf auth login`, HF_TOKEN, or --hub_token.")
    return {
        "repo_id": repo_id,
        "token": given.get("hub_token"),
        "private": private,
        "predictions": bool(given.get("push_predictions")),
    }


def check_optimizer(given: dict, training_args: TrainingArguments) -> None:
    """Flags that the optimizer of --optim does not read."""
    optimizer = training_args.optim.value
    for name in ("adam_beta1", "adam_beta2", "adam_epsilon"):
        if name in given and optimizer in ("sgd", "adagrad", "rmsprop", "adafactor"):
            raise InputError(f"--{name} has no effect with --optim {optimizer}. Leave one of the two out.")
    if "optim_target_modules" in given and not optimizer.startswith(("galore", "apollo")):
        raise InputError(f"--optim_target_modules has no effect with --optim {optimizer}: it is for GaLore and APOLLO.")
    if training_args.optim_args and optimizer in ("adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "adagrad", "rmsprop"):
        check_optim_args(training_args, optimizer)


def check_optim_args(training_args: TrainingArguments, optimizer: str) -> None:
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


def check_schedule(given: dict, training_args: TrainingArguments) -> None:
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


def check_pairs(tasks: Sequence[Task], recipe: Any, training_args: TrainingArguments, draws_task_by_task: bool) -> None:
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


def check_revisions(args: Any, tasks: Sequence[Task]) -> None:
    """Revisions of what does not come from the hub, and of data sets that the run does not read."""
    if args.model_revision and os.path.exists(args.model_name_or_path):
        raise InputError(
            f"--model_revision {args.model_revision}: {args.model_name_or_path} is a folder; models of the hub have revisions."
        )
    for given in args.data_revision or []:
        if args.data_dir:
            raise InputError(f"--data_revision {given}: --data_dir {args.data_dir} is a folder; data of the hub have revisions.")
        hub_id, equals, _ = given.partition("=")
        read = hub_ids_of(tasks, args.recipe)
        if equals and hub_id not in read:
            raise InputError(f"--data_revision {given}: {hub_id!r} is not read here. {nearest(hub_id, read)}")
        if not equals and len(args.data_revision) > 1:
            raise InputError(f"--data_revision {given}: one revision is that of all data; several are HUB_ID=REVISION each.")


def check_seeds(given: dict) -> None:
    """Several seeds in one command."""
    seeds = given["seeds"]
    for seed in seeds:
        check_number("seed", seed, given)
        if seeds.count(seed) > 1:
            raise InputError(f"--seeds names {seed} {seeds.count(seed)} times.")
    if "seed" in given:
        raise InputError("--seed and --seeds: leave one of the two out.")
    if given.get("push_to_hub"):
        raise InputError("--push_to_hub publishes one model, and --seeds makes several: publish one of them with --seed N.")
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise InputError("--seeds starts a process for each seed: with several processes a seed, run the command once for each --seed.")


def check_early_stopping(args: Any, training_args: TrainingArguments) -> None:
    """Early stopping of a run that compares no checkpoints; a model that is to be kept and not."""
    if args.early_stopping_patience is not None and not training_args.load_best_model_at_end:
        raise InputError(
            f"--early_stopping_patience {args.early_stopping_patience} counts comparisons of checkpoints, and this run makes none:"
            " leave --load_best_model_at_end, --eval_strategy and --save_strategy out."
        )
    if args.keep_checkpoints and not args.save_model:
        raise InputError("--keep_checkpoints keeps weights, --save_model false does not: leave one of the two out.")


def check_lora(launch: Any, args: Any, training_args: TrainingArguments) -> None:
    """What training adapters in place of all weights cannot have. launch: an `arguments.Launch`"""
    if args.lora_rank is None:
        for name in ("lora_alpha", "lora_dropout", "lora_target"):
            if name in launch.given:
                raise InputError(f"--{name} has no effect without --lora_rank. For example: --lora_rank 8")
        return
    not_with = {
        "--freeze_embeddings has no effect with it, because LoRA trains no embeddings": args.freeze_embeddings,
        "masked LM trains the embeddings, which LoRA leaves as they are: leave --mlm_languages out": getattr(args, "mlm_languages", None),
        "--oracle has not been tried with it": getattr(args, "oracle", False),
        "--torch_compile has not been tried with it": training_args.torch_compile,
        "a dual encoder has not been trained with it": any(task.task_type == "pairs" for task in launch.tasks),
        "it has not been tried under ZeRO-3: ds_configs/zero2.json would be right": launch.deepspeed.get("zero_optimization", {}).get(
            "stage") == 3,
    }  # fmt: skip
    for reason, is_asked_for in not_with.items():
        if is_asked_for:
            raise InputError(f"--lora_rank: {reason}.")


def check_together(tasks: Sequence[Task], args: Any, training_args: TrainingArguments) -> None:
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


def check_sampling(args: Any) -> None:
    """How the task of each step is drawn where several are trained together."""
    if args.sampling_cap < 1:
        raise InputError(f"--sampling_cap {args.sampling_cap} leaves nothing to draw: at least 1.")
    if (args.sampling == "temperature") != (args.temperature is not None):
        raise InputError("--sampling temperature and --temperature T go together.")
    if args.temperature is not None and not 0 < args.temperature < math.inf:
        raise InputError(f"--temperature {args.temperature} is not a number above 0.")


def check_masked_lm(args: Any) -> None:
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
