"""Adapters of peft as models: the folder of a LoRA stands for its base model with the adapter added to its layers.

A LoRA of linear layers is a sum, weight + scale * second @ first, which needs no peft. Other adapters are refused.
"""

import math
import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import PreTrainedModel

from results import base_model_of, read_json
from task_adapters.base import InputError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# Settings by which an adapter is more than that sum, or is one of another base than its published one.
UNUSUAL = ("use_dora", "fan_in_fan_out", "use_qalora", "layer_replication", "trainable_token_indices", "target_parameters",
           "alora_invocation_tokens", "megatron_config", "arrow_config", "use_bdlora")  # fmt: skip
CHANGES_BASE = ("pissa", "olora", "loftq", "corda", "lora_ga", "mlp")  # values of init_lora_weights; some have a number behind


def settings_of(path: str) -> dict:
    """adapter_config.json of an adapter that can be added here. Raises InputError for any other adapter."""
    settings = read_json(Path(path) / CONFIG)
    if settings.get("peft_type") != "LORA":
        raise InputError(f"{path} is an adapter of the kind {settings.get('peft_type')}: only LORA can be merged here.")
    asked = [name for name in UNUSUAL if settings.get(name)]
    if settings.get("bias", "none") != "none":
        asked.append(f"bias {settings['bias']}")
    if str(settings.get("init_lora_weights")).lower().startswith(CHANGES_BASE):
        asked.append(f"init_lora_weights {settings['init_lora_weights']}")
    if asked:
        raise InputError(f"{path} is a LoRA with {asked[0]}, which cannot be merged here: merge it with peft, and give the merged model.")
    return settings


def add_adapter(model: PreTrainedModel, path: str) -> None:
    """Adds a LoRA to the layers of `model`, its base, and takes over the parts of the encoder that were trained as a whole.

    Layers that the model lacks because it was cut off behind a block (`load_encoder`) are passed over, and so is the head.
    Raises InputError where adapter and model do not fit.
    """
    settings, encoder = settings_of(path), model.base_model
    try:
        weights = load_file(Path(path) / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} is an adapter whose {WEIGHTS} cannot be read ({str(error).splitlines()[0]}).") from error
    modules, parameters = dict(encoder.named_modules()), dict(encoder.named_parameters())
    pairs = {}
    for key, weight in weights.items():
        name = key.removeprefix("base_model.model.")
        part = re.fullmatch(r"(.*)\.lora_(A|B)\.weight", name)
        if part:
            pairs.setdefault(part[1], {})[part[2]] = weight
        elif ".lora_" in name:
            raise InputError(f"{path} holds {name}, which is no LoRA of a linear layer: merge it with peft, and give the merged model.")
        elif inner := _within(name, parameters):
            if parameters[inner].shape != weight.shape:
                raise InputError(_foreign(path, model, name))
            parameters[inner].data.copy_(weight)
    if not pairs:
        raise InputError(f"{path} is an adapter without weights: {WEIGHTS} holds no LoRA.")
    for name, pair in pairs.items():
        inner = _within(name, modules)
        if inner is None and _is_cut_off(name, model.config.num_hidden_layers):
            continue
        layer = modules.get(inner)
        fits = isinstance(layer, torch.nn.Linear) and set(pair) == {"A", "B"}
        if not fits or layer.weight.shape != (pair["B"].shape[0], pair["A"].shape[1]) or pair["B"].shape[1] != pair["A"].shape[0]:
            raise InputError(_foreign(path, model, name))
        with torch.no_grad():
            layer.weight += _scale(settings, name, rank=len(pair["A"])) * pair["B"].float() @ pair["A"].float()


def _within(name: str, names) -> str | None:
    """The name of a weight or a layer within the encoder: adapters of models with a head have the encoder's own name before it."""
    return next((inner for inner in (name, name.partition(".")[2]) if inner and inner in names), None)


def _is_cut_off(name: str, blocks: int) -> bool:
    block = re.search(r"\.(\d+)\.", name)
    return block is not None and int(block[1]) >= blocks


def _scale(settings: dict, name: str, rank: int) -> float:
    patterns = settings.get("alpha_pattern") or {}
    alpha = next((value for pattern, value in patterns.items() if re.fullmatch(rf"(.*\.)?({pattern})", name)), settings["lora_alpha"])
    return alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank)


def _foreign(path, model, name) -> str:
    base = base_model_of(path)
    return f"{path} is an adapter of another architecture than its base model {base!r}, a {model.config.model_type}: {name} does not fit."
