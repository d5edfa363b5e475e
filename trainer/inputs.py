"""What a run reads, as run.json keeps it: a run goes on only with the same (`results.RunFolder.agree`)."""

import hashlib
import json
from pathlib import Path
from typing import Any

from results import content_of, lineage_of, read_json
from trainer.checkpoints import describe_model
from trainer.tokenizers import fingerprint_of


def inputs_of(model_name_or_path: str, config: Any, tokenizer: Any, data: list[dict]) -> dict:
    """The model (its commit or checksum), its config.json, what it was trained on before, how its tokenizer reads text, the data's content.

    config, tokenizer  of the model; data: the provenance of everything that was read.
    """
    return {
        "model": describe_model(model_name_or_path, config),
        "config": config_key(model_name_or_path),
        "lineage": lineage_of(model_name_or_path),
        "tokenizer": fingerprint_of(tokenizer),
        "content": content_of(data),
    }


def config_key(model_name_or_path: str) -> str | None:
    """SHA-256 of what a model folder's config.json says, without the library's version; None for a hub model, which has its commit."""
    path = Path(model_name_or_path)
    config = read_json(path / "config.json") if path.is_dir() else None
    if config is None:
        return None
    config.pop("transformers_version", None)
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
