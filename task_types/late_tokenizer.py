"""A tokenizer that is read when it has something to tokenise: features from the cache are trained on and scored without it.

transformers takes 3.5 s to read the 250,002 pieces of XLM-R (`benchmarks/preparation.py`), and would write them anew with each checkpoint.
"""

import hashlib
import json
from functools import cached_property
from pathlib import Path

import tokenizers
import transformers

from task_adapters.base import InputError

FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")  # what text is tokenised by


class LateTokenizer:
    """The tokenizer in `folder`; what needs its pieces goes to `whole`, which `read` gives.

    folder  with a tokenizer.json. needs: what else changes what the tokenizer says, as text; a part of the key.
    """

    def __init__(self, folder: str | Path, read, needs: str = ""):
        self.folder, self.read, self.needs = Path(folder), read, needs
        self.files = contents(self.folder)  # as they are now: another run may write there before this one ends

    @cached_property
    def whole(self):
        tokenizer = self.read()
        if contents(self.folder) != self.files:
            raise InputError(f"The tokenizer in {self.folder} was changed since this run began: run it again.")
        return tokenizer

    @cached_property
    def key(self) -> str:
        """Of everything that changes what it says: its files and the libraries that read them."""
        digest = hashlib.sha256(f"{transformers.__version__} {tokenizers.__version__} {self.needs}".encode())
        for name, content in self.files.items():
            digest.update(name.encode() + hashlib.sha256(content).digest())
        return digest.hexdigest()

    @cached_property
    def model_max_length(self) -> int:
        try:
            length = json.loads(self.files["tokenizer_config.json"])["model_max_length"]
        except (KeyError, ValueError, TypeError):
            length = None
        return length if isinstance(length, int) else self.whole.model_max_length  # the library's own answer, or its complaint

    def save_pretrained(self, folder, **_) -> None:
        """Hands the files on as they are (and not with our `model_input_names`: the next phase makes them itself)."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            Path(folder, name).write_bytes(content)

    def __call__(self, *texts, **how):
        return self.whole(*texts, **how)

    def __len__(self):
        return len(self.whole)

    def __getattr__(self, name):  # asked for what is not above
        # copy and pickle ask an empty object; for `whole` Python asks here where reading it ended in an AttributeError
        if name.startswith("__") or name == "whole" or "files" not in vars(self):
            raise AttributeError(name)
        return getattr(self.whole, name)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()}
