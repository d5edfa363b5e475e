"""Masked language modelling beside the intermediate tasks, to keep the encoder's languages: one more "task" of trainer/multitask.py.

Tokens are masked as for BERT and XLM-R (15%; of these 80% become <mask>, 10% a random token, 10% stay). Languages are drawn with
probability proportional to n^0.3, where n is their number of texts (Conneau et al., 2020, section 3.1). The head is the checkpoint's own.

Nothing is tokenised in advance and nothing is copied. Example k of a run (its language, text, window and masks) is a function of the seed
and k. The texts of a language lie in groups: row groups of parquet files, on the hub or on disk, or blocks of lines of a text file. Each
pass takes the groups in a new order, and the texts of each group in a new order; one group per language is in memory. So a resumed run
opens the right groups at once, and processes need no communication.
"""

import contextlib
import fnmatch
import math
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import fsspec
import numpy as np
import pyarrow
import pyarrow.compute
import pyarrow.parquet
import torch
from huggingface_hub import HfApi, HfFileSystem
from huggingface_hub.errors import HfHubHTTPError
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM, DataCollatorForLanguageModeling, PreTrainedModel, Trainer

from speed.real_tokens import broken_logits
from task_adapters import InputError
from task_adapters.base import fingerprint
from task_adapters.content import file_key
from task_adapters.flores import meant_or_all
from task_types.collator import Collator
from task_types.loss import IGNORED, cross_entropy
from trainer.checkpoints import first_line, load_config, read_weights

NAME = "mlm"  # instead of a task's name in heads/, in the schedule and in results.json
WIKIPEDIA, CONFIG = "wikimedia/wikipedia", "20231101.{}"
NETWORK = HfHubHTTPError.__bases__  # OSError and the HTTPError of the client in use (httpx, or httpx2): what is raised without a connection
BLOCK = 1 << 20  # bytes of a text file that make a group


# ---- texts


class Texts:
    """An endless series of texts of one language: text k of the run depends on (seed, k) alone.

    groups    [(number of texts, function that reads them as an arrow column)]
    held_out  how many texts are kept for measuring: the last ones of the first group, at most a tenth of it.
    source    the file or files, for messages.
    """

    def __init__(self, language: str, groups: list[tuple[int, Callable]], held_out: int, seed: int, source: str):
        self.language, self.source, self.key = language, source, (seed, zlib.crc32(language.encode()))
        groups = [(rows, read) for rows, read in groups if rows]
        if not groups or groups[0][0] < 2:
            raise InputError(f"{source} holds {groups[0][0] if groups else 0} texts: too few to learn from and to keep some for measuring.")
        self.readers = [read for _, read in groups]
        self.rows = np.array([rows for rows, _ in groups])
        self.held_out = min(held_out, max(1, int(self.rows[0]) // 10))
        self.rows[0] -= self.held_out
        self.pass_number, self.loaded_group = None, None  # the pass and the group of the last text that was asked for

    def __len__(self):
        return int(self.rows.sum())

    def read(self, group: int, held_out: bool = False) -> pyarrow.ChunkedArray:
        column = self.readers[group]()
        texts = column.filter(pyarrow.compute.greater(pyarrow.compute.utf8_length(pyarrow.compute.utf8_trim_whitespace(column)), 0))
        if group == 0:
            texts = texts[-self.held_out :] if held_out else texts[: -self.held_out]
        if not len(texts):
            raise InputError(f"{self.source} holds no text in group {group} of {len(self.rows)}.")
        return texts

    def __getitem__(self, k: int) -> str:
        pass_number, number = divmod(k, len(self))
        if self.pass_number != pass_number:
            self.pass_number = pass_number
            self.group_order = np.random.default_rng((*self.key, pass_number)).permutation(len(self.rows))
            self.group_ends = np.cumsum(self.rows[self.group_order])
        position = int(np.searchsorted(self.group_ends, number, side="right"))
        group = int(self.group_order[position])
        if self.loaded_group != (pass_number, group):
            self.loaded_group, self.texts = (pass_number, group), self.read(group)
            self.text_order = np.random.default_rng((*self.key, pass_number, group)).permutation(self.rows[group])
        row = self.text_order[number - self.group_ends[position] + self.rows[group]]
        return self.texts[int(row) % len(self.texts)].as_py()  # the row count of parquet includes blank texts, which `read` leaves out


def open_texts(
    languages: Sequence[str], data: list[str], data_dir: str | None, held_out: int, seed: int
) -> tuple[dict[str, Texts], list[dict]]:
    """The texts of each language, and for each language a record of their source for results.json.

    data  ["wikipedia"] (the hub's, read over the network when it is needed, or DIR/wikimedia/wikipedia/20231101.de/*.parquet under
          `data_dir`), [a folder of de.txt or de.parquet], or ["de=FILE", ...]. A parquet file has its texts in the column `text`.
    Raises InputError where a language has no file, or a file no text.
    """
    if data == ["wikipedia"]:
        files, revision, system = _wikipedia(languages, data_dir)
    else:
        files, revision, system = _local(languages, data), None, fsspec.filesystem("file")
    texts, provenance = {}, []
    for language, paths in files.items():
        source = paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
        with ThreadPoolExecutor(8) as pool:  # a large Wikipedia has 40 files, each with a footer to read
            groups = [group for part in pool.map(partial(_groups, system), paths) for group in part]
        texts[language] = Texts(language, groups, held_out, seed, source)
        # Wikipedia's commit names its content; its files are streamed and never read as a whole.
        content = revision or fingerprint(*(file_key(Path(path)) for path in paths))
        provenance.append({"task": NAME, "language": language, "files": source, "revision": revision, "rows": len(texts[language]),
                           "held_out": texts[language].held_out, "content": content})  # fmt: skip
    return texts, provenance


def _local(languages, data):
    if len(data) == 1 and "=" not in data[0]:
        folder = Path(data[0])
        if not folder.is_dir():
            raise InputError(f"--mlm_data {folder} is no folder; wikipedia, a folder of LANGUAGE.txt, or LANGUAGE=FILE would be right.")
        named = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix in (".txt", ".parquet")}
    else:
        wrong = [part for part in data if "=" not in part]
        if wrong:
            raise InputError(f"--mlm_data {wrong[0]!r} among several is not of the form LANGUAGE=FILE.")
        folder, named = "--mlm_data", {language: Path(path) for language, path in (part.split("=", 1) for part in data)}
    for language in languages:
        if language not in named:
            raise InputError(f"{folder} has no text for {language!r}. {meant_or_all(language, named) if named else 'It has none at all.'}")
        if not named[language].is_file():
            raise InputError(f"--mlm_data {language}={named[language]}: there is no such file.")
    return {language: [str(named[language])] for language in languages}


def _wikipedia(languages, data_dir):
    """-> ({language: its parquet files}, the hub's commit or None, their file system)"""
    if data_dir is not None:
        revision, system, root = None, fsspec.filesystem("file"), str(Path(data_dir) / WIKIPEDIA)
        present = [str(path.relative_to(root)) for path in sorted(Path(root).rglob("*.parquet"))]
    else:
        try:
            info = HfApi().dataset_info(WIKIPEDIA)
        except NETWORK as error:
            raise InputError(
                f"Cannot reach {WIKIPEDIA}: {first_line(error)} A folder with the same files can be given with --data_dir."
            ) from error
        revision, system, root = info.sha, HfFileSystem(), f"datasets/{WIKIPEDIA}@{info.sha}"
        present = sorted(file.rfilename for file in info.siblings)
    files = {}
    for language in languages:
        names = fnmatch.filter(present, CONFIG.format(language) + "/*.parquet")
        if not names:
            folders = {name.split("/")[0] for name in present if name.startswith(CONFIG.format("")) and "/" in name}
            languages_there = sorted(folder.partition(".")[2] for folder in folders)
            hint = meant_or_all(language, languages_there) if languages_there else "It has no language at all."
            raise InputError(f"{root} holds no {CONFIG.format(language)}/*.parquet. {hint}")
        files[language] = [f"{root}/{name}" for name in names]
    return files, revision, system


def _groups(system, path: str) -> list[tuple[int, Callable]]:
    """The groups of one file: [(number of texts, function that reads them)]."""
    if not path.endswith(".parquet"):
        return _blocks(path)
    try:
        with system.open(path) as file:
            metadata = pyarrow.parquet.read_metadata(file)
    except (pyarrow.ArrowException, *NETWORK) as error:
        raise InputError(f"Cannot read {path}: {first_line(error)}") from error
    if "text" not in metadata.schema.names:
        raise InputError(f"{path} has no column 'text'. It has: {', '.join(metadata.schema.names)}.")
    return [
        (metadata.row_group(group).num_rows, partial(_read_row_group, system, path, metadata, group))
        for group in range(metadata.num_row_groups)
    ]


def _read_row_group(system, path, metadata, group):
    with system.open(path) as file:
        return pyarrow.parquet.ParquetFile(file, metadata=metadata).read_row_group(group, columns=["text"])["text"]


def _blocks(path):
    """The groups of a text file: blocks of whole lines. Blank lines do not count as texts."""
    groups, start, end, rows = [], 0, 0, 0
    with open(path, "rb") as file:
        for line in file:
            end, rows = end + len(line), rows + bool(line.strip())
            if end - start >= BLOCK:
                groups.append((rows, partial(_read_block, path, start, end)))
                start, rows = end, 0
    return [*groups, (rows, partial(_read_block, path, start, end))]


def _read_block(path, start, end):
    with open(path, "rb") as file:
        file.seek(start)
        try:
            return pyarrow.chunked_array([file.read(end - start).decode("utf-8").split("\n")])
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not UTF-8: {error}.") from error


# ---- examples


class MaskedText(torch.utils.data.Dataset):
    """Examples of masked LM, as many as `draw` was asked for; example k depends on the seed and k alone.

    Of a text longer than `max_length` tokens one window is used.
    """

    def __init__(self, texts: dict[str, Texts], alpha: float, tokenizer, max_length: int, seed: int):
        if tokenizer.mask_token is None:
            raise InputError(f"{tokenizer.name_or_path!r} has a tokenizer without a mask token: it cannot do masked LM.")
        self.texts, self.tokenizer, self.max_length, self.key = texts, tokenizer, max_length, (seed, zlib.crc32(NAME.encode()))
        self.masker = DataCollatorForLanguageModeling(tokenizer)  # 15%; 80%, 10%, 10%
        weights = {language: len(text) ** alpha for language, text in texts.items()}
        self.probabilities = {language: weight / sum(weights.values()) for language, weight in weights.items()}
        self.draw(0)

    def draw(self, examples: int) -> None:
        """Draws the languages of the run's examples. The first ones are the same however many are drawn."""
        probabilities = list(self.probabilities.values())
        drawn = np.random.default_rng(self.key).choice(len(probabilities), examples, p=probabilities)
        self.drawn = np.bincount(drawn, minlength=len(probabilities))
        self.languages, self.earlier = drawn, np.empty(examples, dtype=np.int64)  # earlier: examples of the same language before each
        for language, count in enumerate(self.drawn):
            self.earlier[drawn == language] = np.arange(count)

    def __len__(self):
        return len(self.languages)

    def __getitem__(self, k: int) -> dict:
        language = list(self.texts)[self.languages[k]]
        return {"task": NAME, **self.example(self.texts[language][int(self.earlier[k])], (*self.key, k))}

    def held_out(self, language: str) -> list[dict]:
        """Examples of a language's held-out texts: with the same windows and masks each time and for each seed."""
        texts = self.texts[language].read(0, held_out=True)
        return [self.example(text.as_py(), (0, *self.key[1:], row)) for row, text in enumerate(texts)]

    def example(self, text: str, key: tuple) -> dict:
        generator = np.random.default_rng(key)
        windows = self.tokenizer(_part(text, 8 * self.max_length, generator), truncation=True, max_length=self.max_length,
                                 return_overflowing_tokens=True, return_special_tokens_mask=True)  # fmt: skip
        # The window of a token drawn at random. Windows drawn directly would give the short one at a text's end as often as full ones.
        ends = np.cumsum([len(ids) for ids in windows["input_ids"]])
        window = int(np.searchsorted(ends, generator.integers(ends[-1]), side="right"))
        features = {name: windows[name][window] for name in self.tokenizer.model_input_names if name in windows}
        self.masker.generator = torch.Generator().manual_seed(int(generator.integers(2**63)))
        ids, labels = self.masker.torch_mask_tokens(
            torch.tensor([features["input_ids"]]), special_tokens_mask=torch.tensor([windows["special_tokens_mask"][window]])
        )
        return {**features, "input_ids": ids[0].tolist(), "labels": labels[0].tolist()}


def _part(text, characters, generator):
    """That many characters of a long text, beginning with a word where the text has spaces. Tokenising the whole text would take long."""
    if len(text) <= characters:
        return text
    start = int(generator.integers(len(text) - characters + 1))
    part = text[start : start + characters]
    first_word, _, from_second_word = part.partition(" ")
    return from_second_word if start and len(first_word) < 40 else part


# ---- model


def load_lm(path: str) -> PreTrainedModel:
    """The checkpoint's own masked LM in fp32, encoder and pretrained head, from the hub, from a folder, or from an earlier run's heads/mlm.

    Raises InputError where there is no such head: a fresh one would have to learn the vocabulary first, and disturb the encoder.
    """
    model, loading = read_weights(AutoModelForMaskedLM, path, load_config(path))
    missing = {key for key in loading["missing_keys"] if not key.startswith(model.base_model_prefix + ".")}
    head = Path(path) / "heads" / NAME / "model.safetensors"
    if missing and head.is_file():
        weights = load_file(head)
        unknown = model.load_state_dict(weights, strict=False).unexpected_keys
        if unknown:
            raise InputError(f"{head} does not hold the head of a {type(model).__name__}: {unknown[0]}.")
        named = dict(model.named_parameters(remove_duplicate=False))  # a tied weight has two names and is saved under one of them
        filled = {id(named[name]) for name in weights}
        missing = {name for name in missing if name not in named or id(named[name]) not in filled}
    if missing:
        raise InputError(
            f"{path!r} has no pretrained masked-LM head ({sorted(missing)[0]} is missing). Masked LM starts from the checkpoint that was"
            " pretrained with it, such as FacebookAI/xlm-roberta-large, or from a run that had --mlm_languages."
        )
    return model


def tie(model: PreTrainedModel, encoder: PreTrainedModel) -> None:
    """Ties a masked LM's head to `encoder`, which will replace the model's own encoder. To be called before `multitask.share_encoder`.

    A weight that the head shares with the encoder (the word embeddings), or has under two names (the bias), becomes a plain attribute of
    the head's module: the head uses it, and neither optimisers nor safetensors see it twice.
    """
    own = getattr(model, model.base_model_prefix)
    encoder_weights = {id(parameter): encoder.get_parameter(name) for name, parameter in own.named_parameters()}
    head_weights = {}
    for name, parameter in list(model.named_parameters(remove_duplicate=False)):
        if name.startswith(model.base_model_prefix + "."):
            continue
        shared = encoder_weights.get(id(parameter), head_weights.get(id(parameter)))
        if shared is None:
            head_weights[id(parameter)] = parameter
            continue
        path, _, attribute = name.rpartition(".")
        module = model.get_submodule(path)
        delattr(module, attribute)
        module.__dict__[attribute] = shared


def only_masked(encoder: PreTrainedModel, labels: torch.Tensor) -> contextlib.AbstractContextManager:
    """A context in which `encoder` returns the hidden states of masked tokens only, (1, masked, width).

    The logits of all tokens would take most of the run's memory: 8 x 256 x 250,002 of them are 2 GB in fp32, and cross-entropy copies them.
    """

    def select(module, inputs, outputs):
        outputs.last_hidden_state = outputs.last_hidden_state[labels != IGNORED][None]
        return outputs

    return encoder.register_forward_hook(select)


def loss(outputs: dict, labels: torch.Tensor, num_items_in_batch: torch.Tensor | None = None) -> torch.Tensor:
    """Cross-entropy of the masked tokens; outputs as under `only_masked`. In a step that by chance has no masked token it is 0, not 0/0."""
    if num_items_in_batch is not None:
        num_items_in_batch = num_items_in_batch.clamp(min=1)
    return cross_entropy(outputs["logits"], labels[labels != IGNORED], num_items_in_batch)


@torch.no_grad()
def held_out_losses(trainer: Trainer, masked: MaskedText) -> dict[str, float]:
    """Mean cross-entropy per masked token of each language's held-out texts, in nats. Every process computes all of it."""
    model, device, losses = trainer.model.eval(), trainer.args.device, {}
    collate = Collator(model.config.pad_token_id)
    one, size = torch.ones((), device=device), trainer.args.per_device_eval_batch_size
    for language in masked.texts:
        examples, total, tokens = masked.held_out(language), 0.0, 0
        for start in range(0, len(examples), size):
            batch = {key: value.to(device) for key, value in collate(examples[start : start + size]).items()}
            with trainer.accelerator.autocast():
                total += float(model(task=NAME, num_items_in_batch=one, **batch)["loss"])  # divided by one, so a sum
            tokens += int(batch["labels"].ne(IGNORED).sum())
        if not tokens:
            raise InputError(f"{masked.texts[language].source}: no token of the held-out texts is masked. Raise --mlm_eval_samples.")
        losses[language] = total / tokens
        if not math.isfinite(losses[language]):
            raise broken_logits(trainer, language, f"the masked-LM loss of its {len(examples)} held-out texts is {losses[language]}")
    return losses


def report(masked: MaskedText, before: dict[str, float], after: dict[str, float]) -> dict:
    """The entry of masked LM in results.json: the held-out loss before and after, its mean over languages and each language's own."""
    languages = {
        language: {
            "texts": len(text),
            "probability": masked.probabilities[language],
            "drawn": int(drawn),
            "held_out": text.held_out,
            "loss_before": before[language],
            "loss_after": after[language],
            "perplexity_before": math.exp(before[language]),
            "perplexity_after": math.exp(after[language]),
        }
        for (language, text), drawn in zip(masked.texts.items(), masked.drawn)
    }
    mean = {f"loss_{when}": sum(losses.values()) / len(losses) for when, losses in (("before", before), ("after", after))}
    return {**mean, "languages": languages}
