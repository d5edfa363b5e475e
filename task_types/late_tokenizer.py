"""A tokenizer whose 250,002 pieces are read only when there is text to tokenize.

A run whose features are cached trains and scores without reading them (`benchmarks/preparation.py` has the seconds).
"""

import hashlib
import tempfile
from functools import cached_property
from pathlib import Path

import tokenizers
import transformers


class LateTokenizer:
    """A fast tokenizer, read from its two files when an attribute is asked for that the files' summary does not hold.

    name_or_path  the model's, for messages. files: the texts of tokenizer.json and tokenizer_config.json, which say everything.
    summary       {"probes", "pieces", "pad_token", "model_max_length"}: what the run asks of a tokenizer before it tokenizes.
    The texts are held in memory: another run may write to the model's folder, or remove it, before this run tokenizes.
    """

    def __init__(self, name_or_path: str, files: dict[str, str], summary: dict):
        self.name_or_path, self.files, self.summary = name_or_path, files, summary
        self.model_max_length = summary["model_max_length"]

    @cached_property
    def whole(self) -> transformers.PreTrainedTokenizerBase:
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
        tokenizer.name_or_path = self.name_or_path
        tokenizer.split_special_tokens = True  # "<mask>" in a text is a word. Not in the files: elsewhere people write it as the token.
        return tokenizer

    @cached_property
    def key(self) -> str:
        """A key of everything that changes the ids: the files and the libraries that read them."""
        digest = hashlib.sha256(f"{transformers.__version__} {tokenizers.__version__}".encode())
        for name, text in sorted(self.files.items()):
            digest.update(name.encode() + hashlib.sha256(text.encode()).digest())
        return digest.hexdigest()

    @property
    def is_fast(self) -> bool:
        return True

    def save_pretrained(self, folder: str | Path, **_) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name, text in self.files.items():
            Path(folder, name).write_text(text, encoding="utf-8", newline="")

    def __call__(self, *texts, **options):
        return self.whole(*texts, **options)

    def __len__(self):
        return self.summary["pieces"]

    def __getstate__(self):  # processes that tokenize receive the files and read the pieces themselves
        return {name: value for name, value in vars(self).items() if name != "whole"}

    def __getattr__(self, name):
        # copy and pickle ask an object that is still empty. Python asks for `whole` here when reading it raised AttributeError.
        if name.startswith("__") or name == "whole" or "files" not in vars(self):
            raise AttributeError(name)
        return getattr(self.whole, name)
