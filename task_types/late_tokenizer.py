"""A tokenizer that is read when it has something to tokenise: features from the cache are trained on and scored without it.

transformers takes 3.5 s to read the 250,002 pieces of XLM-R (`benchmarks/preparation.py`), and would write them anew with each checkpoint.
"""

import hashlib
import json
import shutil
from functools import cached_property
from pathlib import Path

import tokenizers
import transformers

FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")  # all that a fast one is read from


class LateTokenizer:
    """The tokenizer in `folder`; what needs its pieces goes to `whole`, which `read` gives.

    folder  with a tokenizer.json. needs: what else changes what the tokenizer says, as text; a part of the key.
    """

    def __init__(self, folder: str | Path, read, needs: str = ""):
        self.folder, self.read, self.needs = Path(folder), read, needs

    @cached_property
    def whole(self):
        return self.read()

    @cached_property
    def key(self) -> str:
        """Of everything that changes what it says: its files and the libraries that read them."""
        digest = hashlib.sha256(f"{transformers.__version__} {tokenizers.__version__} {self.needs}".encode())
        for file in self.files:
            digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()

    @property
    def files(self) -> list[Path]:
        return [self.folder / name for name in FILES if (self.folder / name).is_file()]

    @cached_property
    def model_max_length(self) -> int:
        config = self.folder / "tokenizer_config.json"
        length = json.loads(config.read_text(encoding="utf-8")).get("model_max_length") if config.is_file() else None
        return self.whole.model_max_length if length is None else length

    def save_pretrained(self, folder, **_) -> None:
        """Hands the files on as they are, as the Trainer asks with each checkpoint."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        for file in self.files:
            shutil.copyfile(file, Path(folder, file.name))

    def __call__(self, *texts, **how):
        return self.whole(*texts, **how)

    def __len__(self):
        return len(self.whole)

    def __getattr__(self, name):  # asked for what is not above
        if name.startswith("__") or "read" not in vars(self):  # copy and pickle ask an empty object
            raise AttributeError(name)
        return getattr(self.whole, name)
