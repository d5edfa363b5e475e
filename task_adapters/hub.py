"""Rows of a dataset on the hub, or in a folder laid out as the hub's repository is; damaged downloads are removed from the cache."""

import os
from pathlib import Path

import pyarrow
import pyarrow.parquet
from datasets import Dataset, load_dataset
from datasets.exceptions import DatasetsError
from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.file_download import repo_folder_name

from task_adapters.errors import Absent, InputError, one_line, refuse_full_disk
from task_adapters.files import FOLDER_KINDS, rows_of_files

NETWORK = HfHubHTTPError.__bases__  # OSError, and the HTTPError of the client beneath (httpx, or httpx2): no connection is one of these


def rows_from_hub(hub_id: str, config: str, split: str, revision: str | None, pinned: str | None = None) -> tuple[Dataset, str | None]:
    """-> (rows, commit). revision: None for main; pinned: another revision whose files are laid out as those of `revision`.

    Raises Absent where it is not to be had, InputError where what came is damaged.
    """
    try:
        if revision is not None:
            return _rows_of_branch(hub_id, config, split, pinned or revision)
        rows = _rows_of_main(hub_id, config, split, pinned)
    except (DatasetsError, *NETWORK, ValueError, RuntimeError) as error:
        refuse_full_disk(error, f"{hub_id} ({config}, {split})")
        damaged = [] if isinstance(error, RuntimeError) else remove_damaged_downloads(hub_id)  # RuntimeError: main is a script
        if damaged:
            raise InputError(
                f"{damaged[0]} of {hub_id} was damaged when it was downloaded ({one_line(error.__cause__ or error)})."
                " It has been removed from the cache: run the same command again, and it is downloaded anew."
            ) from error
        if isinstance(error, InputError):
            raise
        offline = " HF_HUB_OFFLINE is set: only the cache was searched." if os.environ.get("HF_HUB_OFFLINE", "0") not in ("0", "") else ""
        at = f" at {pinned or revision}" if pinned or revision else ""
        raise Absent(
            f"Cannot load split {split!r} of {hub_id} ({config}){at}: {one_line(error)}{offline}"
            " A folder with the same files can be given with --data_dir."
        ) from error
    # datasets names the cache folder after the commit that it downloaded.
    return rows, Path(rows.cache_files[0]["filename"]).parent.name if rows.cache_files else None


def _rows_of_main(hub_id, config, split, revision):
    try:
        return load_dataset(hub_id, config, split=split, revision=revision)
    except pyarrow.ArrowException:  # of what was prepared before: a power cut has torn it, and the downloads are still here
        return load_dataset(hub_id, config, split=split, revision=revision, download_mode="reuse_cache_if_exists")


def _rows_of_branch(hub_id, config, split, revision):
    """Other branches than main by file name: the converted one has no index of its configurations, and `datasets` cannot find
    again what it read from there once the network is gone."""
    patterns = [f"{folder}{split}{end}" for folder in (f"{config}/", "data/", "") for end in ("-*", ".*", "/*")]
    options = {"repo_type": "dataset", "revision": revision, "allow_patterns": patterns}
    try:
        folder = Path(snapshot_download(hub_id, **options))
    except HfHubHTTPError:
        raise  # the hub has answered: there is no such branch, or it may not be read
    except NETWORK:  # a connection that the hub closes is no reason not to use what is here already
        folder = Path(snapshot_download(hub_id, **options, local_files_only=True))
    return rows_from_folder(folder, config, split)[0], folder.name


def remove_damaged_downloads(hub_id: str) -> list[str]:
    """Removes parquet files of a dataset that cannot be read from the hub's cache. -> their names in the repository"""
    snapshots = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=hub_id, repo_type="dataset") / "snapshots"
    damaged = []
    for path in sorted(snapshots.rglob("*.parquet")):
        try:
            for _ in pyarrow.parquet.ParquetFile(path).iter_batches():
                pass
        except (pyarrow.ArrowException, OSError):
            damaged.append(path.relative_to(snapshots).as_posix().partition("/")[2])
            path.resolve().unlink(missing_ok=True)  # the content, to which the name in the snapshot is a link
            path.unlink(missing_ok=True)
    return damaged


def rows_from_folder(folder: Path, config: str, split: str, other_names: tuple[str, ...] = ()) -> tuple[Dataset, str | None]:
    """-> (rows, commit or None) of a folder as `hf download --repo-type dataset ID --local-dir folder` leaves it.

    other_names  of the split's file, as its authors published it.
    Raises Absent where the folder or the split is not there, InputError where it cannot be read.
    """
    files = files_in_folder(folder, config, split, other_names)
    if files:
        return rows_of_files(files), _downloaded_commit(folder, files[0])
    if not folder.is_dir():
        raise Absent(f"{folder} does not exist: --data_dir must hold a folder named by hub id, DIR/{folder.parent.name}/{folder.name}.")
    raise Absent(
        f"{folder} holds no split {split!r} of configuration {config!r}: looked for {folder / config}/{split}-*.parquet"
        " (or jsonl, csv, tsv)."
    )


def files_in_folder(folder: Path, config: str, split: str, other_names: tuple[str, ...] = ()) -> list[Path]:
    """The files of one split of one configuration, in the order in which they are read; [] where there are none."""
    subfolders = [folder / config, folder / "data" / config]
    subfolders += [folder / "data", folder] if config in ("default", folder.name, "plain_text") else []
    for subfolder in subfolders:
        for kind in FOLDER_KINDS:
            for name in (split, *other_names):
                if files := _files_of(subfolder, name, kind):
                    return files
    return []


def _files_of(folder, name, kind):
    paths = (*folder.glob(f"{name}*{kind}"), *folder.glob(f"{name}/*{kind}"))
    return sorted(path for path in paths if path.parent.name == name or path.name[len(name)] in "-.")  # `test` is not `test_r1-...`


def _downloaded_commit(folder: Path, file: Path) -> str | None:
    """The commit that `hf download` notes beside the files it fetches: first line of .cache/huggingface/download/FILE.metadata."""
    note = folder / ".cache" / "huggingface" / "download" / (str(file.relative_to(folder)) + ".metadata")
    return note.read_text(encoding="utf-8").split("\n", 1)[0].strip() if note.is_file() else None
