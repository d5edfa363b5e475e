"""Support for --deepspeed: a start without MPI and without a compiler, checks of the settings file, and an ordinary checkpoint at the end.

This module has no effect without --deepspeed. DeepSpeed's settings are JSON files; ds_configs/ has five of them.
"""

import contextlib
import copy
import importlib.util
import json
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import TrainingArguments
from transformers.integrations import is_deepspeed_zero3_enabled
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from results import read_json, write_json
from task_adapters.base import InputError

if TYPE_CHECKING:  # arguments.py imports this module, and `--help` should not wait for the Trainer
    from transformers import Trainer

# Sections of a DeepSpeed file that must be objects, with an example. Any other value ends in a traceback of one of three libraries.
SECTIONS = {
    "zero_optimization": '{"stage": 2}',
    "bf16": '{"enabled": "auto"}',
    "fp16": '{"enabled": "auto"}',
    "optimizer": '{"type": "AdamW", "params": {"lr": "auto"}}',
    "scheduler": '{"type": "WarmupDecayLR", "params": {"warmup_num_steps": "auto"}}',
    **dict.fromkeys(("offload_optimizer", "offload_param"), '{"device": "cpu"}'),
    **dict.fromkeys(("params", "data_types", "activation_checkpointing", "aio", "checkpoint", "comms_logger", "csv_monitor",
                     "data_efficiency", "flops_profiler", "tensorboard", "torch_autocast", "wandb"), "{...}"),
}  # fmt: skip


def config_path(flag: str | None) -> str | None:
    """Returns the path of DeepSpeed's JSON file: that of --deepspeed or that of `accelerate config`; None without DeepSpeed.

    Raises InputError if both name a file and the files differ, or if accelerate asks for DeepSpeed and no file is named.
    """
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() != "true":
        return flag
    path = os.environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE", "none")
    if path.lower() == "none":
        if flag is None:
            raise InputError("accelerate's settings ask for DeepSpeed but name no JSON file. Name one there, or here: --deepspeed FILE.")
        return flag
    if flag is not None and Path(flag).resolve() != Path(path).resolve():
        raise InputError(f"--deepspeed {flag}, but accelerate's settings name {path}: leave the flag out, or name one file in both.")
    # The caller must set --deepspeed to this file. Otherwise accelerate would compare its other DeepSpeed variables with our settings.
    return path


def read_config(path: str) -> dict:
    """Returns the settings in a DeepSpeed file. Raises InputError if the file is missing or broken, or would leave no ordinary checkpoint.

    This function checks the JSON only. DeepSpeed must not be imported before `prepare_processes`, because it would choose a GPU in spite of
    --use_cpu. `check_settings` lets DeepSpeed itself check the values later.
    """
    if importlib.util.find_spec("deepspeed") is None:
        raise InputError(f"--deepspeed {path}: DeepSpeed is not installed (pip install deepspeed).")
    try:
        config = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        provided = ", ".join(sorted(file.name for file in (Path(__file__).parents[1] / "ds_configs").glob("*.json")))
        raise InputError(f"--deepspeed {path} cannot be read ({error.strerror}). In ds_configs/: {provided}.") from error
    except ValueError as error:
        raise InputError(f"--deepspeed {path} is not valid JSON ({error}).") from error
    if not isinstance(config, dict) or "zero_optimization" not in config:
        raise InputError(f"--deepspeed {path} has no zero_optimization section.")
    check_sections(path, config)
    zero = config["zero_optimization"]
    check_sections(path, zero, "zero_optimization.")
    if type(zero.get("stage")) is not int or zero["stage"] not in (1, 2, 3):
        stage = json.dumps(zero["stage"]) if "stage" in zero else "none"
        raise InputError(f"{path}: zero_optimization.stage must be 1, 2 or 3, a whole number; there is {stage}.")
    for name in ("offload_optimizer", "offload_param"):
        if zero.get(name, {}).get("device") == "nvme":
            raise InputError(f'{path} says zero_optimization.{name}.device "nvme", which has not been tried here: "cpu" is host memory.')
    for name in ("optimizer", "scheduler"):
        if name in config:
            check_sections(path, config[name], f"{name}.")
            if not isinstance(config[name].get("type"), str):
                raise InputError(
                    f'{path}: {name} names no type. For example: "{name}": {SECTIONS[name]}. Or leave it out: the flags say it.'
                )
    if "amp" in config:
        raise InputError(
            f"{path} has a section amp, which DeepSpeed does not know any more: remove it. Half precision is --bf16 or --fp16."
        )
    if zero.get("stage") == 3 and not zero.get("stage3_gather_16bit_weights_on_model_save"):
        raise InputError(f"{path}: without stage3_gather_16bit_weights_on_model_save no model is left that loads without DeepSpeed.")
    return config


def check_sections(path: str, settings: dict, prefix: str = "") -> None:
    """Raises InputError if a section in `settings` is not a JSON object. prefix: the names of the sections around it, for the message."""
    for name, value in settings.items():
        if name in SECTIONS and not isinstance(value, dict):
            raise InputError(
                f"{path} says {prefix}{name}: {json.dumps(value)}. That is a section, {SECTIONS[name]} for example, or it is left out."
            )


def prepare_processes(use_cpu: bool) -> None:
    """Prepares this process for DeepSpeed. Must run before `TrainingArguments` are made, because they start DeepSpeed's communication."""
    # DeepSpeed calls functions by names that torch has replaced. Under ZeRO-3 torch would warn at every step, hundreds of times.
    renamed = r"`torch\.distributed\.(reduce_scatter_tensor|all_gather_into_tensor)` is deprecated"
    warnings.filterwarnings("ignore", renamed, FutureWarning)
    if "RANK" not in os.environ:  # `python` or `accelerate launch` with one process. Without these variables DeepSpeed would look for MPI.
        # Port 0: the system chooses a free one when torch opens it. One that was chosen here could be taken by then.
        one_process = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
        for name, value in one_process.items():
            os.environ.setdefault(name, value)
    if torch.cuda.is_available() and not use_cpu:
        return
    os.environ["DS_ACCELERATOR"] = "cpu"
    import deepspeed

    # On a CPU, DeepSpeed would compile this kernel at each user's first start. torch's gloo gives the same results without compiling.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed("gloo", auto_mpi_discovery=False)


def check_agreement(path: str, config: dict, training_args: TrainingArguments) -> None:
    """Raises InputError if the file contradicts the flags, because the file or the flag would silently have no effect."""
    if training_args.torch_compile:
        raise InputError(f"--torch_compile has not been tried under DeepSpeed ({path}): leave out one of the two.")
    for precision in ("bf16", "fp16"):  # Under DeepSpeed transformers would use the precision of --*_full_eval for training too.
        if getattr(training_args, f"{precision}_full_eval") and not getattr(training_args, precision):
            flag = f"--{precision}_full_eval"
            raise InputError(
                f"{flag} without --{precision} would train in {precision} too under DeepSpeed: add --{precision}, or leave it out."
            )
    for mismatch in training_args.hf_deepspeed_config.mismatches:
        in_file, flag = mismatch.removeprefix("- ds ").split(" vs hf ")
        raise InputError(f'{path} says {in_file}, the flags say {flag}. Write "auto" there, or change the flag.')
    optimizer, scheduler = config.get("optimizer", {}).get("type"), config.get("scheduler", {}).get("type")
    if optimizer and not (optimizer.lower() in ("adam", "adamw") and training_args.optim.startswith("adamw_torch")):
        raise InputError(f"{path} says optimizer {optimizer}, the flags say --optim {training_args.optim.value}. Remove one of them.")
    if scheduler and not (scheduler == "WarmupDecayLR" and training_args.lr_scheduler_type == "linear"):
        raise InputError(
            f"{path} says scheduler {scheduler}, the flags say --lr_scheduler_type {training_args.lr_scheduler_type.value}."
            " Remove the section."
        )


def check_settings(path: str, training_args: TrainingArguments) -> None:
    """Raises InputError for unknown names and for values of a wrong type. DeepSpeed would refuse them later, with a traceback."""
    from deepspeed import DeepSpeedConfig, DeepSpeedConfigError
    from pydantic import ValidationError

    config = copy.deepcopy(training_args.hf_deepspeed_config.config)
    # `check_agreement` compared the batch sizes with the flags. DeepSpeed would also multiply them by the number of processes, which it may
    # not know yet.
    for name in ("train_batch_size", "gradient_accumulation_steps"):
        config.pop(name, None)
    try:
        DeepSpeedConfig({**config, "train_micro_batch_size_per_gpu": 1})
    except ValidationError as error:
        sections = {"DeepSpeedZeroConfig": ["zero_optimization"], "DeepSpeedBF16Config": ["bf16"], "DeepSpeedFP16Config": ["fp16"]}
        first = error.errors()[0]
        name = ".".join(map(str, (*sections.get(error.title, []), *first["loc"])))
        reason = "no setting of that name" if first["type"] == "extra_forbidden" else first["msg"]
        raise InputError(f"{path}: {name}: {reason}. DeepSpeed's are in https://www.deepspeed.ai/docs/config-json/") from error
    except (DeepSpeedConfigError, ValueError, AssertionError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error


def optimizer_of(training_args: TrainingArguments) -> str:
    """Returns the name of the optimizer: that of --optim, or the type in DeepSpeed's file."""
    config = training_args.hf_deepspeed_config.config if training_args.deepspeed else {}
    return f"{config['optimizer']['type']} of {training_args.deepspeed}" if "optimizer" in config else training_args.optim.value


def load_plainly() -> None:
    """Lets transformers load the next models as without DeepSpeed. A run that is already trained needs this, because it only scores."""
    unset_hf_deepspeed_config()


def place_plainly(trainer: "Trainer") -> None:
    """Moves a model that was loaded without DeepSpeed to the device and the precision that DeepSpeed's engine would use."""
    args = trainer.args
    trainer.model.to(args.device, torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else torch.float32)


def layout_of_run(training_args: TrainingArguments) -> str:
    """Returns the layout in which this run writes and reads optimizer states. The number of processes matters only under DeepSpeed."""
    if not training_args.deepspeed:
        return "no DeepSpeed"
    stage = "stage 3" if training_args.hf_deepspeed_config.is_zero3() else "stage 1 or 2"
    return f"DeepSpeed ZeRO {stage} in {training_args.world_size} process(es)"


def layout_of_checkpoint(folder: str) -> str:
    """Returns the layout in which a checkpoint was written. The names of the checkpoint's files show it."""
    processes = len(list(Path(folder).glob("global_step*/*_optim_states.pt")))
    if not processes:
        return "no DeepSpeed"
    sliced = any(Path(folder).glob("global_step*/zero_pp_rank_*_model_states.pt"))
    return f"DeepSpeed ZeRO {'stage 3' if sliced else 'stage 1 or 2'} in {processes} process(es)"


def gathered(parameters: Iterable[torch.Tensor]) -> contextlib.AbstractContextManager:
    """Returns a context in which all processes can read whole weights, and the first process can change them.

    Outside of it each process holds only a slice of every weight under ZeRO-3. Without ZeRO-3 the context does nothing.
    """
    if is_deepspeed_zero3_enabled():
        import deepspeed

        return deepspeed.zero.GatheredParameters(parameters, modifier_rank=0)
    return contextlib.nullcontext()


def full_precision(trainer: "Trainer", parameter: torch.Tensor) -> torch.Tensor:
    """Returns the fp32 value of a trained weight. Under DeepSpeed the model in memory may be a copy in bf16 or fp16.

    All processes must call this function. Under ZeRO-3 it is not to be called in fp32, where each process holds a slice.
    """
    if not trainer.is_deepspeed_enabled or parameter.dtype == torch.float32:
        return parameter.detach()
    from deepspeed.utils import safe_get_full_fp32_param

    return safe_get_full_fp32_param(parameter)


def save_full_precision(trainer: "Trainer", output_dir: str, embeddings: torch.nn.Module | None = None, merged: dict | None = None) -> None:
    """Saves the fp32 weights that DeepSpeed trains if the model in memory is a copy in bf16 or fp16. Without DeepSpeed, fp32 is saved too.

    All processes must call this function, after `trainer.save_model`. Frozen weights have no fp32 original and stay rounded.
    embeddings  the `TrimmedEmbedding` of the model, which has all rows; None where the model is not trimmed.
    merged      {name: fp32 weight} of frozen layers to which an adapter was added (`trainer.lora.merge`).
    """
    if not trainer.is_deepspeed_enabled or trainer.model.dtype == torch.float32:
        return
    weights, merged = {}, merged or {}
    for name, parameter in trainer.model.named_parameters():
        if parameter.requires_grad:
            weight = full_precision(trainer, parameter)
        elif name in merged:
            weight = merged[name]
        else:
            with gathered([parameter]):
                weight = parameter.detach().float().clone()
        if trainer.args.should_save:
            is_trimmed = embeddings is not None and parameter is embeddings.weight
            weights[name] = embeddings.expanded(weight) if is_trimmed else weight.cpu()
    if trainer.args.should_save:
        trainer.model.save_pretrained(output_dir, state_dict=weights)
        config = Path(output_dir) / "config.json"  # It names the dtype of the copy in memory, and from_pretrained would use that dtype.
        write_json(config, {**read_json(config), "dtype": "float32"})
