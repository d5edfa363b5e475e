"""Loads models from the hub or from an earlier phase: the encoder's weights are loaded, the head is drawn anew.

The check is needed because heads can fit by accident: an MNLI head has the class and the shape of an XNLI head, and a tagging head has the
weight name of a multiple-choice head. Without it `from_pretrained` would silently carry the old head into the next phase.
"""

import hashlib
import json
import os
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import constants, try_to_load_from_cache
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments, set_seed
from transformers.integrations import is_deepspeed_zero3_enabled

from console import say
from results import base_model_of, earlier_run, lineage_of
from task_adapters.base import InputError
from task_types.heads import check_label_names, model_for
from trainer.adapters import add_adapter, settings_of
from trainer.deepspeed import gathered

# If a hub model has only .bin weights, a thread of transformers would ask the hub to convert them for all users.
os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
# UnpicklingError: .bin weights that hold more than tensors.
UNREADABLE = (OSError, ValueError, RuntimeError, SafetensorError, pickle.UnpicklingError)

HUB_ID = re.compile(r"(\w[\w.-]*/)?\w[\w.-]*")  # transformers answers other names itself
# In these families the output of block n is hidden state n. Other families normalise the output of the last block alone: a model that was
# cut off behind block n would give a normalised hidden state, so that one more block is kept.
NORMALISED_BLOCKS = ("bert", "roberta", "xlm-roberta", "rembert", "deberta-v2")
# In these families, as in RoBERTa's, the first token has the position pad_token_id + 1. The positions before it are never used.
OFFSET_POSITIONS = ("camembert", "xmod", "mpnet", "ibert", "data2vec-text", "longformer", "luke", "mluke")
TRAININGS = "task_trainings"  # in config.json: how many trainings by this project the weights have behind them


def load_config(path: str, **changes) -> PreTrainedConfig:
    """Returns the configuration of a checkpoint; of an adapter that of its base. Raises InputError, in one line, if `path` has none."""
    if base := base_model_of(path):
        settings_of(path)
        try:
            return load_config(base, **changes)
        except InputError as error:
            raise InputError(f"{path} is an adapter of {base!r}. {error}") from error
    try:
        hub_id, revision = hub_id_and_revision(path)
        return AutoConfig.from_pretrained(hub_id, revision=revision, trust_remote_code=False, **changes)
    except (OSError, ValueError) as error:
        absent = "" if Path(path).exists() else f" There is no folder {os.path.abspath(path)} either."
        raise InputError(f"Cannot load a model from {path!r}: {first_line(error)}{absent}") from error


def check_length(max_seq_length: int, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, path: str) -> None:
    """Raises InputError for a maximum length that is larger than the model's number of usable positions.

    XLM-R has 514 positions and can use 512 of them, because the first token has position 2.
    """
    positions = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    reserved = (config.pad_token_id or 0) + 1 if "roberta" in config.model_type or config.model_type in OFFSET_POSITIONS else 0
    usable = min(positions - reserved, tokenizer.model_max_length)
    if max_seq_length > usable:
        raise InputError(f"--max_seq_length {max_seq_length} is more than {path!r} can read: at most {usable}.")
    if max_seq_length < 8:
        raise InputError(f"--max_seq_length {max_seq_length} leaves no room for text: at least 8.")


def check_precision(config: PreTrainedConfig, training_args: TrainingArguments, path: str) -> None:
    """Raises InputError for fp16 with (m)DeBERTa-v3, whose attention scores overflow (https://github.com/microsoft/DeBERTa/issues/77).

    transformers changed the attention in pull request 24116. Nobody has tried fp16 with published weights in this project since.
    """
    if config.model_type == "deberta-v2" and (training_args.fp16 or training_args.fp16_full_eval):
        raise InputError(f"--fp16: {path!r} is a DeBERTa, which is known to overflow in fp16. Use --bf16, or neither (fp32).")


def load_model(
    model_class: Any,
    path: str,
    labels: tuple[str, ...],
    seed: int,
    keep_head: bool = False,
    freeze_embeddings: bool = False,
    label_map: list[str] | None = None,
) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """Returns the model of a task in fp32, and its labels: the encoder of `path` with a fresh head, or with the stored head.

    model_class  an Auto class.
    labels       names in the order of the model's outputs, () for span QA.
    seed         draws the fresh head, another one after each training that `path` has behind it (`draw_head`).
    keep_head    takes the head of `path`. The returned labels are then in the order of that head's outputs.
    label_map    words of --label_map, for a kept head with other names. The model's configuration then has the task's names.
    Raises InputError if `path` holds no model, no complete encoder, or no head to keep.
    """
    names = labels or ("LABEL_0", "LABEL_1")  # Span QA has two outputs. Without names the model would have as many as an earlier head.
    fresh = {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    config = load_config(path, **({} if keep_head and labels else fresh))
    if keep_head and labels:
        labels = check_label_names(config, labels, path, label_map)
        config.id2label, config.label2id = dict(enumerate(labels)), {name: output for output, name in enumerate(labels)}
    if keep_head:
        _refuse_other_head(path, model_class, config)
    model_class = model_for(model_class, type(config))  # type: ignore[arg-type]  # a class can be hashed
    set_seed(seed)  # Multiple choice needs a pooler. If the checkpoint has none, `from_pretrained` draws one.
    model, loading = read_weights(model_class, path, config, ignore_mismatched_sizes=True)
    prefix = model.base_model_prefix + "."
    # Checkpoints with a masked-LM head or another head have no pooler, so only this part of the encoder may be drawn anew.
    absent = {*loading["missing_keys"], *(key for key, *_ in loading["mismatched_keys"])}
    missing = sorted(key for key in absent if key.startswith(prefix) and ".pooler." not in key)
    if missing:
        raise InputError(f"{path!r} holds no complete {config.model_type} encoder: {len(missing)} weights are missing, {missing[0]} first.")
    if keep_head and absent:  # a pooler too, because the kept head reads it
        raise InputError(f"{path!r} has no head of this kind: it lacks {min(absent)}.")
    trainings = count_training(model, path)
    if not keep_head:
        draw_head(model, seed, trainings)
    if freeze_embeddings:
        model.get_input_embeddings().requires_grad_(False)
    if is_deepspeed_zero3_enabled():
        # With these conversions a model under ZeRO-3 would be saved under weight names of old files (LayerNorm.gamma).
        model._weight_conversions = None
    # With True the Trainer would multiply the heads' mean losses by accumulation steps and processes. Our loss already counts examples.
    model.accepts_loss_kwargs = False
    return model, labels


def read_weights(model_class: Any, path: str, config: PreTrainedConfig, **options) -> tuple[PreTrainedModel, dict]:
    """Returns (model in fp32, {"missing_keys", "mismatched_keys", ...}: the weights that `path` does not have).

    The function silences from_pretrained's warning about fresh heads. Fresh heads are intended here, and callers check the missing keys.
    """
    if base := base_model_of(path):
        model, loading = read_weights(model_class, base, config, **options)
        add_adapter(model, path)
        return model, loading
    level, (hub_id, revision) = transformers.logging.get_verbosity(), hub_id_and_revision(path)
    transformers.logging.set_verbosity_error()
    try:
        return model_class.from_pretrained(
            hub_id, config=config, revision=revision, dtype=torch.float32, output_loading_info=True, trust_remote_code=False, **options
        )
    except UNREADABLE as error:
        raise InputError(f"Cannot load a model from {path!r}: {first_line(error)}") from error
    finally:
        transformers.logging.set_verbosity(level)


def count_training(model: PreTrainedModel, path: str) -> int:
    """Returns how many trainings `path` has behind it, and notes one more in the configuration of `model`, which will be trained.

    The number in config.json is that of a model that was published without its results.json.
    """
    trainings = max(len(lineage_of(path)), getattr(model.config, TRAININGS, 0))
    setattr(model.config, TRAININGS, trainings + 1)
    return trainings


def draw_head(model: PreTrainedModel, seed: int, trainings: int = 0) -> None:
    """Draws all weights outside the encoder anew, as the model's own class initialises them. The same arguments give the same weights.

    trainings  how many trainings the encoder has behind it. With the seed alone a target's head would begin with the values with which the
               head of the intermediate task began, and the encoder was trained to fit them: XNLI would be solved before its first step.
    """
    set_seed((seed + 1_000_003 * trainings) % 2**32)  # far from all the seeds of one grid; numpy takes no seed beyond
    parts = [module for name, module in model.named_children() if name != model.base_model_prefix]
    parameters = [parameter for module in parts for parameter in module.parameters()]
    for parameter in parameters:
        parameter.__dict__.pop("_is_hf_initialized", None)  # With this mark transformers would not initialise a loaded weight again.
    with gathered(parameters):
        original_data = [parameter.data for parameter in parameters]
        for parameter in parameters:  # Under ZeRO-3 a parameter can be on a GPU or in bf16, where the seed gives other random numbers.
            parameter.data = parameter.data.cpu().float()
        for module in parts:
            module.apply(model._init_weights)
        model._init_weights(model)  # ModernBERT initialises its last layer only when it is given the whole model.
        for parameter, data in zip(parameters, original_data):
            parameter.data = data.copy_(parameter.data)


def load_encoder(path: str, layer: int | None, pooling: str = "mean") -> PreTrainedModel:
    """The bare encoder in fp32, for embedding: as far as hidden state `layer` takes it (0: the embedding output; None: whole)."""
    config = load_config(path)
    if layer is not None:
        blocks = max(layer, 1) if config.model_type in NORMALISED_BLOCKS else layer + 1
        config.num_hidden_layers = min(blocks, config.num_hidden_layers)
    model, loading = read_weights(AutoModel, path, config)
    missing = sorted(key for key in loading["missing_keys"] if "pooler." not in key)
    if missing:
        raise InputError(f"{path!r} holds no complete {config.model_type} encoder: {len(missing)} weights are missing, {missing[0]} first.")
    has_pooler = getattr(model, "pooler", None) is not None and not any("pooler." in key for key in loading["missing_keys"])
    if pooling == "cls" and not has_pooler:
        say(f"{path} holds no pooler: its first token was not trained to stand for a sentence (--pooling mean reads all tokens)")
    return model


def last_complete_checkpoint(output_dir: str) -> str | None:
    """Returns the newest checkpoint-N from which a run can be resumed; None if there is none.

    All files of this checkpoint are complete, and so are those of the best checkpoint that it names. A kill or a power cut can leave a
    newer checkpoint broken. The function skips it and prints what is wrong with it.
    """
    for _, folder in checkpoints_of(output_dir):
        fault = fault_of_checkpoint(folder)
        if fault is None:
            return str(folder)
        say(f"{folder} is passed over: {fault}")
    return None


def checkpoints_of(output_dir: str | Path) -> list[tuple[int, Path]]:
    """Returns (step, folder) of every checkpoint, the newest first."""
    matches = ((re.fullmatch(r"checkpoint-(\d+)", folder.name), folder) for folder in Path(output_dir).glob("checkpoint-*"))
    return sorted(((int(match[1]), folder) for match, folder in matches if match), reverse=True)


def fault_of_checkpoint(folder: Path) -> str | None:
    """Returns the reason why a run cannot be resumed from a checkpoint; None if it can."""
    if not (folder / "trainer_state.json").is_file():  # The Trainer writes this file last.
        return "it was not written to its end"
    if not any(path.is_file() for path in folder.glob("*.safetensors")):
        return "it holds no weights"
    # Without one of these the Trainer would go on, and make other updates. DeepSpeed keeps its optimizer states in global_step*.
    for pattern in ("rng_state*.pth", *(() if any(folder.glob("global_step*")) else ("optimizer.pt", "scheduler.pt"))):
        if not any(path.is_file() for path in folder.glob(pattern)):
            return f"{pattern} is missing"
    fault = fault_of_files(folder) or fault_of_oracle(folder)
    if fault is None and (best := best_checkpoint(folder)) is not None and best != folder:
        fault = f"{best.name}, the best one so far, is not there" if not best.is_dir() else fault_of_files(best)
    return fault


def best_checkpoint(folder: Path) -> Path | None:
    """Returns the path of the best checkpoint that a checkpoint names. It is in the same output folder, which may have been moved."""
    best = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8")).get("best_model_checkpoint")
    return best and folder.parent / Path(best).name


def fault_of_oracle(checkpoint: Path) -> str | None:
    """The first broken file of --oracle beside a checkpoint that a run from there would need; None where there is none.

    Each is named by the step whose weights it holds. Later ones are written again.
    """
    step = int(checkpoint.name.rsplit("-", 1)[1])
    for path in sorted((checkpoint.parent / "oracle").glob("*.safetensors")):
        if int(path.stem) <= step and (fault := fault_of_file(path)):
            return f"oracle/{path.name} {fault}"
    return None


def fault_of_files(folder: Path) -> str | None:
    """Returns a description of the first broken file in a folder; None if no file is broken."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if fault := fault_of_file(path):
            return f"{path.relative_to(folder)} {fault}"
    return None


def fault_of_file(path: Path) -> str | None:
    """Returns what is wrong with the format of a file; None if nothing is wrong or the format is unknown. It does not read the weights."""
    try:
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".safetensors":
            with safe_open(path, "pt"):  # safe_open compares the length of the file with its header.
                pass
        elif path.suffix in (".pt", ".pth", ".bin"):
            with path.open("rb") as file:
                head = file.read(2)
            if not head:
                return "is empty"
            if head[:1] != b"\x80":  # the first byte of a pickle: what torch.save wrote before it wrote zip archives
                zipfile.ZipFile(path).close()  # its list of contents stands at the end
    except (ValueError, OSError, SafetensorError, zipfile.BadZipFile) as error:
        return f"is broken ({first_line(error)})"
    return None


def describe_model(path: str, config: PreTrainedConfig) -> dict:
    """Returns what results.json says about the model that a run started from."""
    base, revision = base_model_of(path), hub_commit(path) or checksum(path)
    return {
        "name_or_path": os.path.normpath(path) if Path(path).is_dir() else hub_id_and_revision(path)[0],
        "revision": f"{describe_model(base, config)['revision']} + {revision}" if base else revision,
        "model_type": config.model_type,
        "layers": config.num_hidden_layers,
        "hidden_size": config.hidden_size,
    }


def hub_id_and_revision(path: str) -> tuple[str, str | None]:
    """Returns the parts of ID@REVISION, which is how --model_revision reaches all that loads a model; (path, None) for any other path."""
    hub_id, at, revision = path.rpartition("@")
    return (hub_id, revision) if at and not os.path.exists(path) else (path, None)


def hub_commit(path: str) -> str | None:
    """Returns the commit of a hub model; None for a folder."""
    snapshot = None if Path(path).is_dir() else hub_snapshot(path)
    return snapshot.name if snapshot else None


def hub_snapshot(path: str) -> Path | None:
    """Returns the folder in the hub's cache that holds a model's files; its name is the commit. None if the model is not cached."""
    hub_id, revision = hub_id_and_revision(path)
    cached = try_to_load_from_cache(hub_id, "config.json", revision=revision)
    return Path(cached).parent if isinstance(cached, str) else None


def checksum(path: str) -> str | None:
    """Returns the checksum of the weights in a folder; None if there are none. It identifies the weights after the folder was moved."""
    digest, files = hashlib.sha256(), sorted((*Path(path).glob("*.safetensors"), *Path(path).glob("pytorch_model*.bin")))
    if not files:  # `path` is a hub id, and the cache does not have its commit.
        return None
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return f"sha256:{digest.hexdigest()}"


def check_model(path: str) -> None:
    """Raises InputError if `path` is no model, or the folder of a run that is not finished or that failed to learn."""
    folder = Path(path)
    if folder.is_file():
        raise InputError(f"{path} is a file. A model is given by its folder.")
    if (folder / "run.json").is_file() and not (folder / "results.json").is_file():
        if (folder / "failed_tries.json").is_file():
            raise InputError(f"{path} holds a run that failed to learn, and none that did: see its failed_tries.json.")
        raise InputError(f"{path} holds a run that is not finished: run its command again, it goes on where it stood.")
    if (earlier_run(path) or {}).get("model_saved") is False:
        raise InputError(f"{path} holds a run without its model: run its command again with --overwrite and without --save_model false.")
    if base := base_model_of(path):
        try:
            return check_model(base)
        except InputError as error:
            raise InputError(f"{path} is an adapter of {base!r}. {error}") from error
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise InputError(f"{path} holds no model (no config.json).")
    if not folder.exists():
        refuse_missing_folder(path)


def refuse_missing_folder(path: str) -> None:
    """Raises InputError if `path` can only be a folder, or if the hub is switched off and its cache lacks the model.

    transformers would ask the hub for the name of a folder too, and try again for a while where the hub is not reached.
    """
    absent = f"Cannot load a model from {path!r}: there is no folder {os.path.abspath(os.path.expanduser(path))}"
    if path.startswith((".", "/", "~")) or path.endswith("/") or path.count("/") > 1:  # a hub id is NAME or OWNER/NAME
        raise InputError(f"{absent}.")
    if constants.HF_HUB_OFFLINE and HUB_ID.fullmatch(path) and hub_snapshot(path) is None:
        raise InputError(f"{absent}, and HF_HUB_OFFLINE is set: of the hub only the cache was searched.")


def _refuse_other_head(path, model_class, config):
    """Raises InputError if the stored head is of another kind (--keep_head).

    Weight names and shapes do not show the kind: the layer is often called `classifier`, and a tagger with two tags has the shape of span
    QA.
    """
    kind = model_class.__name__.rpartition("For")[2]
    architecture = (config.architectures or ["?"])[0]
    if architecture.rpartition("For")[2] != kind:
        raise InputError(f"--keep_head: {path!r} has no head of this kind: it is a {architecture}. Leave the flag out for a fresh one.")


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message, or the name of its class if it has no message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
