"""Models from the hub or from an earlier phase: the encoder is taken over, the head is fresh.

An MNLI head would fit XNLI (same class, same shape) and a tagging head would fit multiple choice (same key): loaded without a
thought, they would slip into the next phase unseen.
"""

import hashlib
import json
import os
import pickle
import re
import zipfile
from pathlib import Path

import torch
import transformers
from huggingface_hub import try_to_load_from_cache
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModel, set_seed
from transformers.integrations import is_deepspeed_zero3_enabled

from console import say
from task_adapters.base import InputError
from task_types.heads import check_label_names, model_for
from trainer.deepspeed import gathered

# Where a hub model has .bin weights only, transformers would ask the hub, in a thread, to convert them for everybody.
os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
# The last: .bin weights that hold more than tensors.
UNREADABLE = (OSError, ValueError, RuntimeError, SafetensorError, pickle.UnpicklingError)

# A block's output is what the next one reads. Others normalise what the last block leaves, and that alone.
NORMALISED_BLOCKS = ("bert", "roberta", "xlm-roberta", "rembert", "deberta-v2")
# Positions count from behind the padding token's id, so that many rows of the table are never used.
OFFSET_POSITIONS = ("camembert", "xmod", "mpnet", "ibert", "data2vec-text", "longformer", "luke", "mluke")


def load_config(path: str, **changes):
    """The configuration of a checkpoint, as an InputError of one line where there is none."""
    try:
        return AutoConfig.from_pretrained(path, trust_remote_code=False, **changes)
    except (OSError, ValueError) as error:
        absent = "" if Path(path).exists() else f" There is no folder {os.path.abspath(path)} either."
        raise InputError(f"Cannot load a model from {path!r}: {first_line(error)}{absent}") from error


def check_length(max_seq_length: int, config, tokenizer, path: str) -> None:
    """Refuses a maximum length that the model has no positions for (XLM-R: 512 of its 514, two stand before the first token)."""
    positions = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    reserved = (config.pad_token_id or 0) + 1 if "roberta" in config.model_type or config.model_type in OFFSET_POSITIONS else 0
    usable = min(positions - reserved, tokenizer.model_max_length)
    if max_seq_length > usable:
        raise InputError(f"--max_seq_length {max_seq_length} is more than {path!r} can read: at most {usable}.")
    if max_seq_length < 8:
        raise InputError(f"--max_seq_length {max_seq_length} leaves no room for text: at least 8.")


def check_precision(config, training_args, path: str) -> None:
    """Refuses fp16 for (m)DeBERTa-v3: attention scores overflowed and nothing was learned (https://github.com/microsoft/DeBERTa/issues/77).

    transformers mended the attention (pull request 24116); with published weights that has not been tried here.
    """
    if config.model_type == "deberta-v2" and (training_args.fp16 or training_args.fp16_full_eval):
        raise InputError(f"--fp16: {path!r} is a DeBERTa, which is known to overflow in fp16. Use --bf16, or neither (fp32).")


def load_model(model_class, path: str, labels: tuple[str, ...], seed: int, keep_head: bool = False, freeze_embeddings: bool = False):
    """The model of a task: the encoder of `path` with a fresh head, drawn with `seed`, or with `keep_head` the head that is there.

    model_class  an Auto class; labels: names in the order of the outputs, () for span QA.
    Returns (model in fp32, labels: as given, or in the kept head's order).
    Raises InputError where `path` holds no model, no complete encoder, or no head to keep.
    """
    names = labels or ("LABEL_0", "LABEL_1")  # span QA has two outputs; the number of an earlier head must not be inherited
    fresh = {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    config = load_config(path, **({} if keep_head and labels else fresh))
    if keep_head and labels:
        labels = check_label_names(config, labels, path)
    if keep_head:
        _refuse_other_head(path, model_class, config)
    model_class = model_for(model_class, type(config))
    set_seed(seed)  # the pooler of multiple choice, where the checkpoint has none, is drawn while loading
    model, loading = read_weights(model_class, path, config, ignore_mismatched_sizes=True)
    prefix = model.base_model_prefix + "."
    # Checkpoints of masked-LM and head classes have no pooler: it is the one part of an encoder that may be new.
    absent = {*loading["missing_keys"], *(key for key, *_ in loading["mismatched_keys"])}
    missing = sorted(key for key in absent if key.startswith(prefix) and ".pooler." not in key)
    if missing:
        raise InputError(f"{path!r} holds no complete {config.model_type} encoder: {len(missing)} weights are missing, {missing[0]} first.")
    if keep_head and any(not key.startswith(prefix) for key in absent):
        raise InputError(f"--keep_head: {path!r} has no head of this kind. Leave the flag out for a fresh one.")
    if not keep_head:
        draw_head(model, seed)
    if freeze_embeddings:
        model.get_input_embeddings().requires_grad_(False)
    if is_deepspeed_zero3_enabled():
        # Loaded slice by slice, a model would be saved under the names of old files (LayerNorm.gamma), which other readers do not know.
        model._weight_conversions = None
    # The heads' plain means would be multiplied by accumulation steps and processes: our loss does its own counting.
    model.accepts_loss_kwargs = False
    return model, labels


def read_weights(model_class, path: str, config, **options):
    """-> (model in fp32, {"missing_keys", "mismatched_keys", ...}: what `path` did not hold of it).

    Fresh heads are not reported: from_pretrained warns of them as of a problem; here they are the rule, and checked by key.
    """
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    try:
        return model_class.from_pretrained(
            path, config=config, dtype=torch.float32, output_loading_info=True, trust_remote_code=False, **options
        )
    except UNREADABLE as error:
        raise InputError(f"Cannot load a model from {path!r}: {first_line(error)}") from error
    finally:
        transformers.logging.set_verbosity(level)


def draw_head(model, seed: int) -> None:
    """Draws all weights outside the encoder anew, as the model's own class initialises them; the same for the same seed."""
    set_seed(seed)
    parts = [module for name, module in model.named_children() if name != model.base_model_prefix]
    parameters = [parameter for module in parts for parameter in module.parameters()]
    for parameter in parameters:
        parameter.__dict__.pop("_is_hf_initialized", None)  # transformers would leave loaded weights as they are
    with gathered(parameters):
        there = [parameter.data for parameter in parameters]
        for parameter in parameters:  # under ZeRO-3 they may be on a GPU, or bf16: other random numbers
            parameter.data = parameter.data.cpu().float()
        for module in parts:
            module.apply(model._init_weights)
        model._init_weights(model)  # ModernBERT knows how its last layer is drawn only as part of the whole
        for parameter, data in zip(parameters, there):
            parameter.data = data.copy_(parameter.data)


def load_encoder(path: str, layer: int | None, pooling: str = "mean"):
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
    """The newest checkpoint-N from which a run can go on: all its files are whole, and those of the best one that it names.

    A newer one that a kill or a power cut has left broken is passed over, and a line names what is wrong with it.
    """
    for _, folder in checkpoints_of(output_dir):
        fault = fault_of_checkpoint(folder)
        if fault is None:
            return str(folder)
        say(f"{folder} is passed over: {fault}")
    return None


def checkpoints_of(output_dir: str | Path) -> list[tuple[int, Path]]:
    """(step, folder) of every checkpoint, the newest first."""
    matches = ((re.fullmatch(r"checkpoint-(\d+)", folder.name), folder) for folder in Path(output_dir).glob("checkpoint-*"))
    return sorted(((int(match[1]), folder) for match, folder in matches if match), reverse=True)


def fault_of_checkpoint(folder: Path) -> str | None:
    """Why a run cannot go on from a checkpoint; None where it can."""
    if not (folder / "trainer_state.json").is_file():  # the Trainer writes it last
        return "it was not written to its end"
    if not any(folder.glob("*.safetensors")):
        return "it holds no weights"
    fault = fault_of_files(folder)
    if fault is None and (best := best_checkpoint(folder)) is not None and best != folder:
        fault = f"{best.name}, the best one so far, is not there" if not best.is_dir() else fault_of_files(best)
    return fault


def best_checkpoint(folder: Path) -> Path | None:
    """The best checkpoint that a checkpoint names, where it lies now: the whole output folder may have been moved."""
    best = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8")).get("best_model_checkpoint")
    return best and folder.parent / Path(best).name


def fault_of_files(folder: Path) -> str | None:
    """The first file of a folder that was cut off or cannot be read, as text; None where there is none."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if fault := fault_of_file(path):
            return f"{path.relative_to(folder)} {fault}"
    return None


def fault_of_file(path: Path) -> str | None:
    """What is wrong with a file by its form alone, without reading the weights in it; None where nothing is, or the form is unknown."""
    try:
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".safetensors":
            with safe_open(path, "pt"):  # compares the length of the file with what its head says
                pass
        elif path.suffix in (".pt", ".pth", ".bin"):
            with path.open("rb") as file:
                head = file.read(2)
            if head == b"PK":  # what torch.save writes is a zip archive, whose list of contents stands at the end
                zipfile.ZipFile(path).close()
            elif not head:
                return "is empty"
    except (ValueError, OSError, SafetensorError, zipfile.BadZipFile) as error:
        return f"is broken ({first_line(error)})"
    return None


def describe_model(path: str, config) -> dict:
    """What a result says of the model it started from."""
    return {
        "name_or_path": os.path.normpath(path) if Path(path).is_dir() else path,
        "revision": hub_commit(path) or checksum(path),
        "model_type": config.model_type,
        "layers": config.num_hidden_layers,
        "hidden_size": config.hidden_size,
    }


def hub_commit(path: str) -> str | None:
    """The commit of a hub model; None for a folder."""
    snapshot = None if Path(path).is_dir() else hub_snapshot(path)
    return snapshot and snapshot.name


def hub_snapshot(path: str) -> Path | None:
    """The folder of the cache, named by its commit, that holds a hub model's files."""
    cached = try_to_load_from_cache(path, "config.json")
    return Path(cached).parent if isinstance(cached, str) else None


def checksum(path: str) -> str | None:
    """Of the weights in a folder, so that a result says which they were wherever the folder goes; None where there are none."""
    digest, files = hashlib.sha256(), sorted((*Path(path).glob("*.safetensors"), *Path(path).glob("pytorch_model*.bin")))
    if not files:  # a hub id whose commit the cache does not tell
        return None
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return f"sha256:{digest.hexdigest()}"


def check_model(path: str) -> None:
    """Refuses what is no model, and the folder of a run that is not finished or that failed to learn."""
    folder = Path(path)
    if folder.is_file():
        raise InputError(f"{path} is a file. A model is given by its folder.")
    if (folder / "run.json").is_file() and not (folder / "results.json").is_file():
        if (folder / "failed_tries.json").is_file():
            raise InputError(f"{path} holds a run that failed to learn, and none that did: see its failed_tries.json.")
        raise InputError(f"{path} holds a run that is not finished: run its command again, it goes on where it stood.")
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise InputError(f"{path} holds no model (no config.json).")


def _refuse_other_head(path, model_class, config):
    """Heads of different kinds share names (`classifier`) and, with two tags or one, shapes: a tagger would fit span QA unseen."""
    kind = model_class.__name__.rpartition("For")[2]
    held = (config.architectures or ["?"])[0]
    if held.rpartition("For")[2] != kind:
        raise InputError(f"--keep_head: {path!r} has no head of this kind: it is a {held}. Leave the flag out for a fresh one.")


def first_line(error):
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
