"""LoRA (Hu et al., 2021, arXiv 2106.09685) by `peft`: linear layers of the encoder stay as they are, and a product of two small matrices is
added to each. These are trained, with the head and the pooler; nothing else is.

While a run trains, its checkpoints hold the trained weights alone. Before the model is saved, the products are added to the layers
(`merge`): what is saved, scored and handed to the next phase is an ordinary checkpoint. The adapter stays beside it, in adapter/, as peft
reads and writes it. `trainer/adapters.py` reads such folders.
"""

import os
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel, Trainer, set_seed

from console import say
from results import ADAPTER, RunFolder, base_model_of, flush
from task_adapters.base import InputError
from trainer.checkpoints import hub_commit, hub_id_and_revision
from trainer.deepspeed import full_precision

NAME = "default"  # peft's name of an adapter that has none
TASK_TYPES = {"classification": "SEQ_CLS", "tagging": "TOKEN_CLS", "span_qa": "QUESTION_ANS"}  # by which peft chooses the Auto class


def check_adapters(args: Any, config: PreTrainedConfig) -> None:
    """Raises InputError where the encoder has no linear layer of a name in --lora_target, or where peft knows no default for it; and where
    --keep_head asks for the head of an adapter.

    Only the names of the layers are needed: the encoder is made without weights.
    """
    if args.keep_head and base_model_of(args.model_name_or_path):
        raise InputError(f"--keep_head: {args.model_name_or_path} is an adapter, which does not name its labels. Give the merged model.")
    if args.lora_rank is None:
        return
    with torch.device("meta"):
        encoder = AutoModel.from_config(config)
    names = sorted({name.rpartition(".")[2] for name in linear_layers(encoder)})
    for target in targets_of(args, config.model_type):
        if target not in names:
            raise InputError(f"--lora_target {target}: {config.model_type} has no linear layer of that name. It has: {', '.join(names)}.")


def targets_of(args: Any, model_type: str) -> list[str]:
    """The names of the layers that get an adapter: those of --lora_target, or peft's for this architecture."""
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as OF_PEFT  # imports of peft take a second

    if args.lora_target is None and model_type not in OF_PEFT:
        raise InputError(f"--lora_rank: peft knows no layers of {model_type} by itself. Name them: --lora_target query value, for example.")
    return sorted(set(args.lora_target or OF_PEFT[model_type]))


def linear_layers(encoder: PreTrainedModel) -> list[str]:
    """The names of the encoder's linear layers, without the pooler, which is trained as a whole."""
    layers = [name for name, module in encoder.named_modules() if isinstance(module, torch.nn.Linear)]
    return [name for name in layers if name.split(".")[0] != "pooler"]


def set_up(model: torch.nn.Module, encoder: PreTrainedModel, args: Any, seed: int) -> None:
    """Adds adapters to `encoder`, which is a part of `model`, and leaves only them, the pooler and the heads to be trained.

    args  the script's arguments: nothing is done without --lora_rank. seed: draws the first matrix of each product; the second is zero.
    `model.lora` is then what results.json says of it.
    """
    if args.lora_rank is None:
        return
    from peft import LoraConfig
    from peft.tuners.lora import LoraModel

    set_seed(seed)
    targets = targets_of(args, encoder.config.model_type)
    alpha = 2 * args.lora_rank if args.lora_alpha is None else args.lora_alpha
    layers = [name for name in linear_layers(encoder) if name.rpartition(".")[2] in targets]
    config = LoraConfig(r=args.lora_rank, lora_alpha=alpha, lora_dropout=args.lora_dropout, target_modules=layers)
    encoder.requires_grad_(False)
    LoraModel(encoder, config, NAME)  # it replaces the layers of the encoder itself, whose weights keep their names, before `.base_layer`
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler.requires_grad_(True)
    weights = list(model.parameters())
    trained, whole = sum(weight.numel() for weight in weights if weight.requires_grad), sum(weight.numel() for weight in weights)
    say(f"LoRA of rank {args.lora_rank} on {', '.join(targets)}: {trained:,} of {whole:,} weights are trained")
    model.lora = {"rank": args.lora_rank, "alpha": alpha, "dropout": args.lora_dropout, "targets": targets, "trained_weights": trained,
                  "weights": whole}  # fmt: skip


def adapted_layers(model: torch.nn.Module) -> dict:
    """{name: layer} of the layers that have an adapter."""
    # By name, so that runs without LoRA need not import peft.
    return {name: module for name, module in model.named_modules() if hasattr(module, "lora_A")}


def trained_part(model: torch.nn.Module, state: dict | None) -> dict | None:
    """Of a state dict the weights that are trained, for a checkpoint of a run with LoRA; the state dict as it is for any other run.

    The others are those of the model that the run started from, and a run that goes on loads them from there.
    """
    if not adapted_layers(model):
        return state
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    return {name: weight for name, weight in (model.state_dict() if state is None else state).items() if name in trained}


def merge(trainer: Trainer, folder: RunFolder, task_type: str | None = None) -> dict[str, torch.Tensor]:
    """Writes the adapter beside the model and adds it to the layers, which are ordinary ones afterwards. All processes must call it.

    folder     the run's `RunFolder`: its model is the adapter's base.
    task_type  of a run of one task, whose head becomes a part of the adapter; None for several tasks, whose heads stand in heads/.
    Returns {name: weight in fp32} of the layers that were changed, for `deepspeed.save_full_precision`; {} for a run without LoRA.
    """
    model, merged = trainer.model, {}
    layers = adapted_layers(model)
    if not layers:
        return merged
    weights = {name: full_precision(trainer, weight) for name, weight in model.named_parameters() if weight.requires_grad}
    if trainer.args.should_save:
        save_adapter(model, weights, folder, task_type)
    for name, layer in layers.items():
        first, second = (weights[f"{name}.lora_{part}.{NAME}.weight"] for part in "AB")
        linear = layer.get_base_layer()
        with torch.no_grad():
            merged[f"{name}.weight"] = weight = linear.weight.float() + layer.scaling[NAME] * (second @ first).float()
            linear.weight.copy_(weight)
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, linear)
    return merged


def save_adapter(model: torch.nn.Module, weights: dict, folder: RunFolder, task_type: str | None) -> None:
    """Writes adapter/ as `PeftModel.from_pretrained` reads it. weights: {name: value} of the trained weights; the rest as in `merge`."""
    from peft import LoraConfig

    lora, prefix = model.lora, "encoder." if task_type is None else ""
    weights = {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}
    inner = "" if task_type is None else f"{model.base_model_prefix}."
    whole = sorted({name.removeprefix(inner).split(".")[0] for name in weights if ".lora_" not in name})
    model_name_or_path = folder.run["model_name_or_path"]
    base = hub_id_and_revision(model_name_or_path)[0]
    config = LoraConfig(
        r=lora["rank"], lora_alpha=lora["alpha"], lora_dropout=lora["dropout"], target_modules=lora["targets"],
        modules_to_save=whole or None, task_type=TASK_TYPES.get(task_type), inference_mode=True, revision=hub_commit(model_name_or_path),
        base_model_name_or_path=os.path.abspath(base) if os.path.isdir(base) else base,
    )  # fmt: skip
    path = folder.path / ADAPTER
    path.mkdir(exist_ok=True)
    tensors = {f"base_model.model.{name.replace(f'.{NAME}.', '.')}": weight.detach().cpu().contiguous() for name, weight in weights.items()}
    save_file(tensors, path / "adapter_model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(str(path))
    flush([*path.iterdir(), path])
