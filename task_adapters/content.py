"""Keys of content: the same examples, or the same bytes of a file, have the same key wherever they lie and whenever they were written.

The cache of `datasets` is asked by these keys. Its own key of a local file is the path and the time stamp: a file that was replaced by
`rsync -t` or `tar x`, which keep the time, would be served as it was before.
"""

import hashlib
import inspect
import os
import shutil
from collections.abc import Callable
from functools import lru_cache
from itertools import chain
from pathlib import Path

import datasets
import pyarrow
import pyarrow.compute
from datasets import Dataset
from datasets.exceptions import DatasetsError

ROWS = 20_000  # read at once: bounds the memory, does not change the key


def content_key(examples: Dataset) -> str:
    """A key of the examples themselves: column names, all values, and their order; 64 hexadecimal digits (SHA-256).

    It does not depend on the path, the kind of file, the cache, or how the rows are cut into batches. 400,000 pairs of sentences take about
    a second. Raises TypeError for a column that holds other values than text, whole numbers, lists of them and dicts of them.
    """
    streams: dict[tuple, hashlib._Hash] = {}
    rows = examples._indices and examples._indices.column(0)  # those that a draw selected; to iterate over them takes minutes
    for name in examples.column_names:
        column = examples.data.column(name)
        for chunk in (column if rows is None else column.take(rows)).chunks:
            for start in range(0, len(chunk), ROWS):
                _add(streams, (name,), chunk.slice(start, ROWS))
    digests = [f"{'.'.join(path)}={digest.hexdigest()}" for path, digest in sorted(streams.items())]
    return hashlib.sha256("\n".join([f"rows={len(examples)}", *digests]).encode()).hexdigest()


def _add(streams, path, array) -> None:
    """Adds an array's values to the digests of its column: one for the bytes, one for the lengths, so that batches leave no trace."""

    def add(part, numbers, missing=-1):
        values = pyarrow.compute.fill_null(numbers.cast("int64"), missing)
        streams.setdefault((*path, part), hashlib.sha256()).update(values.to_numpy(zero_copy_only=False).tobytes())

    if pyarrow.types.is_struct(array.type):
        for field, values in zip(array.type, array.flatten()):
            _add(streams, (*path, field.name), values)
    elif pyarrow.types.is_list(array.type) or pyarrow.types.is_large_list(array.type):
        add("length", pyarrow.compute.list_value_length(array))
        _add(streams, (*path, "item"), array.flatten())
    elif pyarrow.types.is_string(array.type) or pyarrow.types.is_large_string(array.type):
        add("length", pyarrow.compute.binary_length(array))
        texts = array.drop_null().cast(pyarrow.large_binary()).to_pylist()
        streams.setdefault((*path, "bytes"), hashlib.sha256()).update(b"".join(texts))
    elif pyarrow.types.is_integer(array.type):
        add("value", array, missing=-(2**63))  # -1 may be a label
    else:
        raise TypeError(f"column {'.'.join(path)} is of type {array.type}: neither text nor whole numbers.")


def file_key(path: Path) -> str:
    """A key of a file's bytes: its SHA-256, whatever its name and time."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def from_cache(key: str, build: Callable[[], Dataset]) -> Dataset:
    """What `build` makes under a key of the cache of `datasets`, or finds there.

    What lies there and cannot be read, as after a power cut, is removed and made anew: else every later run would end by it.
    """
    try:
        return build()
    except (pyarrow.ArrowException, DatasetsError, OSError):
        # os.walk passes over a folder that another process removes meanwhile; before Python 3.13 Path.rglob raises an error there.
        names = ((folder, name) for folder, *both in os.walk(datasets.config.HF_DATASETS_CACHE) for name in chain(*both))
        cached = [Path(folder, name) for folder, name in names if key in name and not name.endswith(".lock")]
        if not cached:
            raise
        for path in cached:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        return build()


def fingerprint(*parts) -> str:
    """A short stable key of its parts' text, for the cache of `datasets` (its own hash does not see changes in imported code)."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:32]


def code_of(function: Callable) -> str:
    """The source text of the module that defines `function`, and of those beside it where it is one of ours: they use each other.

    A file of --task_file is one file. What lies beside it is not part of it.
    """
    file = Path(inspect.getfile(function))
    return _code_in(file.parent) if file.parent == Path(__file__).parent else file.read_text(encoding="utf-8")


@lru_cache
def _code_in(folder: Path) -> str:
    return "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py")))
