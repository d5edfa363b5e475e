"""What a run reads, as run.json keeps it: a run goes on only with the same (`results.RunFolder.agree`)."""

from results import content_of, lineage_of
from trainer.checkpoints import describe_model
from trainer.tokenizers import fingerprint_of


def inputs_of(model_name_or_path: str, config, tokenizer, data: list[dict]) -> dict:
    """The model (its commit or checksum) and what it was trained on before, how its tokenizer reads text, the content of the data.

    config, tokenizer  of the model; data: the provenance of everything that was read.
    """
    return {
        "model": describe_model(model_name_or_path, config),
        "lineage": lineage_of(model_name_or_path),
        "tokenizer": fingerprint_of(tokenizer),
        "content": content_of(data),
    }
