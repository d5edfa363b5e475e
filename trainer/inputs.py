"""What a run reads, and how run.json keeps it: a run goes on only with the same (`results.RunFolder.agree`)."""

import hashlib
import json
from pathlib import Path
from typing import Any

from datasets import Dataset

from console import say
from results import base_model_of, content_of, lineage_of, read_json
from task_adapters import Task, data_line, in_normal_form, load_examples, load_training_data
from task_adapters.perturb import perturbed
from trainer.checkpoints import describe_model
from trainer.tokenizers import fingerprint_of


class DataReader:
    """Reads examples as the flags say, one line for each part. The main process reads first, so that the others find its cache.

    main_process_first  of `TrainingArguments` or of an `Accelerator`.
    provenances         of everything that was read so far, as results.json has them.
    """

    def __init__(self, args, main_process_first):
        self.args, self.main_process_first, self.provenances = args, main_process_first, []

    def read(self, task: Task, split: str, language: str, max_samples: int | None) -> Dataset:
        """The examples of one split of one language."""
        with self.main_process_first():
            examples, provenance = load_examples(task, split, language, self.args.data_dir, max_samples)
            examples, provenance["not_nfc"] = in_normal_form(examples, self.args.normalize)
            if split == "test" and (noise := getattr(self.args, "perturb", None)):  # a flag of run_target.py
                examples, provenance["perturbed"] = perturbed(examples, noise)
        self._note([provenance])
        return examples

    def read_training_data(self, task: Task, english_task: Task, seed: int) -> Dataset:
        """The training examples of all languages and files; english_task, seed: see `load_training_data`."""
        args = self.args
        with self.main_process_first():
            examples, provenances = load_training_data(
                task, english_task, args.train_languages, args.train_file, args.data_dir, args.max_train_samples, seed, args.normalize
            )
        self._note(provenances)
        return examples

    def _note(self, provenances):
        self.provenances += provenances
        say("\n".join(map(data_line, provenances)))


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
    path = Path(base_model_of(model_name_or_path) or model_name_or_path)
    config = read_json(path / "config.json") if path.is_dir() else None
    if config is None:
        return None
    config.pop("transformers_version", None)
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
