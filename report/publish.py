"""A finished run's folder on the Hugging Face hub: the model, its tokenizer and its card, and on request what it predicted."""

from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

from console import NotPublished, is_main_process, say
from results import CARD

# Files of a run's folder itself. training_args.bin stays: it is a pickle, which the hub warns of, and names paths of this machine.
MODEL_FILES = (CARD, "config.json", "*.safetensors", "*.safetensors.index.json", "tokenizer*", "special_tokens_map.json",
               "added_tokens.json", "vocab.*", "merges.txt", "*.model", "heads/*/*")  # fmt: skip
# Neither gold labels nor probabilities, which hold gold: the test data are not ours to publish.
PREDICTION_FILES = ("results.json", "predictions/*/test-*.tsv", "predictions/*/test-*.json")
# What the hub's client raises: ValueError where the hub refuses the card's metadata, RuntimeError where hf_xet cannot upload a large file.
REFUSALS = (HTTPError, OfflineModeIsEnabled, LocalTokenNotFoundError, ValueError, RuntimeError)


def share(folder: str | Path, publication: dict | None, is_new: bool) -> None:
    """Leaves the card in the folder of a finished run and publishes the run where that is asked for. For all processes of a run.

    publication  {"repo_id", "token", "private", "predictions"}; None: nothing is published.
    is_new       whether this start finished the run; of one that was finished before the card stays, where there is one.
    Raises NotPublished where the hub is not reached or refuses; the run is finished all the same.
    """
    if not is_main_process():
        return
    folder = Path(folder)
    if is_new or not (folder / CARD).exists():
        from report.card import write_card  # here: it needs pandas and scipy, and the start of a run should not wait for them

        write_card(folder)
    if publication:
        publish(folder, **publication)


def publish(folder: Path, repo_id: str, token: str | None, private: bool | None, predictions: bool) -> None:
    """Uploads the files of a finished run in one commit."""
    patterns = (*MODEL_FILES, *(PREDICTION_FILES if predictions else ()))
    files = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
    if not any(path.suffix == ".safetensors" for path in files):
        raise NotPublished(f"{folder} is finished, but not published: it holds no model.")
    additions = [CommitOperationAdd(path.relative_to(folder).as_posix(), path) for path in files]
    api = HfApi(token=token)
    try:
        api.create_repo(repo_id, private=private, exist_ok=True)
        if private and not api.model_info(repo_id).private:
            raise NotPublished(f"{folder} is finished, but not published: {repo_id} is there already and is public. Choose another id.")
        commit = api.create_commit(repo_id, additions, commit_message=f"The finished run of {folder.resolve().name}")
    except REFUSALS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise NotPublished(f"{folder} is finished, but not published: {reason} Run the same command again to publish it.") from error
    say(f"published as {repo_id}: {len(files)} files, {commit.commit_url}")
