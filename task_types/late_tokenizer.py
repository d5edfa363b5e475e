"""A tokenizer that is read when it has something to tokenise: features from the cache are trained on and scored without it.

transformers takes 3.5 s to read the 250,002 pieces of XLM-R (`benchmarks/preparation.py`), and would write them anew with each checkpoint.
"""

import hashlib
import json
import tempfile
from functools import cached_property
from pathlib import Path

import tokenizers
import transformers
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING, tokenizer_class_from_name

FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")  # what text is tokenised by


class LateTokenizer:
    """The tokenizer in `folder`; what needs its pieces goes to `whole`, which `read`, given a folder of its files, makes of them.

    folder  with a tokenizer.json. needs: what else changes what the tokenizer says, as text; a part of the key.
    The files are held from the start: another run may write to that folder, or remove it, before this one has to tokenise.
    """

    def __init__(self, folder: str | Path, read, needs: str = ""):
        self.files = {name: Path(folder, name).read_bytes() for name in FILES if Path(folder, name).is_file()}
        self.read, self.needs = read, needs

    @cached_property
    def whole(self):
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return self.read(folder)

    @cached_property
    def key(self) -> str:
        """Of everything that changes what it says: its files and the libraries that read them."""
        digest = hashlib.sha256(f"{transformers.__version__} {tokenizers.__version__} {self.needs}".encode())
        for name, content in self.files.items():
            digest.update(name.encode() + hashlib.sha256(content).digest())
        return digest.hexdigest()

    @cached_property
    def model_max_length(self) -> int:
        length = self.configuration().get("model_max_length")
        return length if isinstance(length, int) else self.whole.model_max_length  # the library's own answer, or its complaint

    def configuration(self) -> dict:
        """tokenizer_config.json; {} where there is none, or no such thing in it."""
        try:
            found = json.loads(self.files["tokenizer_config.json"])
        except (KeyError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def is_complete(self, config) -> bool:
        """Whether FILES are all that the tokenizer reads: those that transformers has in Python (PhoBERT's) read files of other names.

        config  the model's configuration, which names the class where the tokenizer's own does not.
        """
        name = self.configuration().get("tokenizer_class") or getattr(config, "tokenizer_class", None)
        found = tokenizer_class_from_name(name) if isinstance(name, str) else TOKENIZER_MAPPING.get(type(config), None)
        return found is not None and issubclass(found, transformers.PreTrainedTokenizerFast)

    def save_pretrained(self, folder, **_) -> None:
        """Hands the files on as they are (and not with our `model_input_names`: the next phase makes them itself)."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            Path(folder, name).write_bytes(content)

    def __call__(self, *texts, **how):
        return self.whole(*texts, **how)

    def __len__(self):
        return len(self.whole)

    def __getstate__(self):  # for processes that tokenise: each reads its own
        return {name: value for name, value in vars(self).items() if name != "whole"}

    def __getattr__(self, name):  # asked for what is not above
        # copy and pickle ask an empty object; for `whole` Python asks here where reading it ended in an AttributeError
        if name.startswith("__") or name == "whole" or "files" not in vars(self):
            raise AttributeError(name)
        return getattr(self.whole, name)
