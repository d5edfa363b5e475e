"""One tag for each word. Example columns: words, tags.

A sentence that is too long is split at word boundaries into several features and joined again (as XTREME does, Hu et al. 2020,
utils_preprocess.py), so that every word has a tag and no word drops out of the score.

Which output of the model is a word's (`task.label_piece`):
first          that of its first piece, XTREME's rule. In languages without spaces that is often the piece of a bare space, which is the
               same input for every word: XLM-R begins 86% of the words of a Chinese treebank so (docs/encoders.md).
first_content  that of its first piece that is more than a space.
mean           the mean of the logits over all of its pieces.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoModelForTokenClassification, PreTrainedTokenizerBase

from task_adapters.base import InputError, Task
from task_types.loss import IGNORED, cross_entropy, loss_of_logits

Model = AutoModelForTokenClassification

RESERVED = 3  # XTREME leaves room for <s> and a double </s>: chunks of 125 pieces at a maximum of 128
SENTENCEPIECE_SPACE, BYTE_LEVEL_SPACE = "▁", "Ġ"


def to_features(
    examples: dict[str, list], tokenizer: PreTrainedTokenizerBase, task: Task, max_length: int, doc_stride: int | None = None
) -> dict[str, list]:
    """A batch of examples -> chunks of at most `max_length` - 3 pieces.

    Besides the model's input: `example_index` (which sentence of the batch), `first_pieces` (the position of each word's labelled piece,
    in order) and `bare_spaces` (how many words have a bare space as their first piece). `labels` has one number per piece; for the mean
    two rows, (2, pieces): the tags, and how many pieces each word has, both at its first piece.
    A word that has no pieces, or more than a chunk holds, becomes one <unk> (<mask> where the tokenizer has no <unk>).
    """
    room, spaces = max_length - RESERVED, space_ids(tokenizer)
    before, text_type, after = layout(tokenizer)
    unknown = tokenizer.mask_token_id if tokenizer.unk_token_id is None else tokenizer.unk_token_id
    output_of = {tag: place for place, tag in enumerate(task.labels)}
    sentences = examples["words"]
    if needs_space(tokenizer):
        sentences = [[f" {word}" if word.strip() else word for word in words] for words in sentences]
    encoded = tokenizer(sentences, is_split_into_words=True, add_special_tokens=False, return_attention_mask=False, verbose=False)
    has_types = "token_type_ids" in tokenizer.model_input_names
    names = ("input_ids", *["token_type_ids"] * has_types, "labels", "first_pieces", "bare_spaces", "example_index")
    features = {name: [] for name in names}

    for index, (words, tags) in enumerate(zip(sentences, examples["tags"])):
        pieces_of = [[] for _ in words]
        for word, piece in zip(encoded.word_ids(index), encoded["input_ids"][index]):
            pieces_of[word].append(piece)
        chunks, used = [[]], 0
        for word, tag, pieces in zip(words, tags, pieces_of):
            if not 0 < len(pieces) <= room:
                if unknown is None:
                    raise InputError(f"{tokenizer.name_or_path!r} has no token for the unknown, which the word {word[:60]!r} needs.")
                pieces = [unknown]
            if used + len(pieces) > room:
                chunks.append([])
                used = 0
            chunks[-1].append((pieces, tag))
            used += len(pieces)
        for chunk in chunks:
            ids, labelled, bare = list(before[0]), [], 0
            for pieces, _ in chunk:
                content = next((place for place, piece in enumerate(pieces) if piece not in spaces), 0)
                labelled.append(len(ids) + (content if task.label_piece == "first_content" else 0))
                bare += pieces[0] in spaces
                ids += pieces
            types = before[1] + [text_type] * (len(ids) - len(before[0])) + after[1]
            ids += after[0]
            labels, counts = [IGNORED] * len(ids), [IGNORED] * len(ids)
            for position, (pieces, tag) in zip(labelled, chunk):
                # A tag that training never saw (CCG) has no output: it is not learned, and scored as wrong.
                labels[position], counts[position] = output_of.get(tag, IGNORED), len(pieces)
            features["input_ids"].append(ids)
            features["labels"].append([labels, counts] if task.label_piece == "mean" else labels)
            features["first_pieces"].append(labelled)
            features["bare_spaces"].append(bare)
            features["example_index"].append(index)
            if has_types:
                features["token_type_ids"].append(types)
    return features


@lru_cache(maxsize=8)
def layout(tokenizer: PreTrainedTokenizerBase) -> tuple[tuple[list[int], list[int]], int, tuple[list[int], list[int]]]:
    """The special tokens around a single text: (ids, token types) before it, the type of the text, (ids, token types) after it."""
    encoded = tokenizer("a", return_token_type_ids=True)
    ids, types = encoded["input_ids"], encoded["token_type_ids"]
    places = [place for place, side in enumerate(encoded.sequence_ids(0)) if side is not None]
    start, end = places[0], places[-1] + 1
    return (ids[:start], types[:start]), types[start], (ids[end:], types[end:])


@lru_cache(maxsize=8)
def space_ids(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The ids of pieces that are a space and nothing else."""
    ids = [tokenizer.convert_tokens_to_ids(SENTENCEPIECE_SPACE)]
    byte_level = tokenizer.convert_tokens_to_ids(BYTE_LEVEL_SPACE)  # elsewhere that is a letter of Maltese
    ids += [byte_level] if byte_level is not None and tokenizer.decode([byte_level]) == " " else []
    return frozenset(piece for piece in ids if piece not in (None, tokenizer.unk_token_id))


def share_of_bare_spaces(features: Dataset) -> float:
    """The share of words whose first piece is a bare space."""
    words = sum(map(len, features["first_pieces"][:]))
    return sum(features["bare_spaces"][:]) / words if words else 0.0


def bare_spaces_line(shares: dict[str, float]) -> list[str]:
    """{language: share of bare spaces} -> one line for the user; none where no word begins with a bare space."""
    high = {language: share for language, share in shares.items() if share}
    return ["words whose first token is a bare space: " + ", ".join(f"{name} {share:.0%}" for name, share in high.items())] if high else []


@lru_cache(maxsize=8)
def needs_space(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a word must bring the space before it, as byte-level BPE and Gemma's tokenizer (mmBERT) read it in running text.

    Without it every word of a list looks like the rest of a longer one (https://github.com/AnswerDotAI/ModernBERT/issues/149).
    Loading with `add_prefix_space` would do the same, but saved with the model it would reach tasks that read running text.
    """
    plain, split = {"add_special_tokens": False}, {"add_special_tokens": False, "is_split_into_words": True}
    text, bare, spaced = tokenizer("a b", **plain), tokenizer(["a", "b"], **split), tokenizer(["a", " b"], **split)
    return bare["input_ids"] != text["input_ids"] == spaced["input_ids"]


def word_means(logits: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """The mean logits of each word, at the position of its first piece.

    logits  (batch, pieces, tags). counts: (batch, pieces), how many pieces each word has, at its first piece; IGNORED elsewhere.
    """
    positions = torch.arange(counts.shape[1], device=counts.device).expand_as(counts)
    first = torch.where(counts.ne(IGNORED), positions, 0).cummax(1).values  # of the word that each piece belongs to
    inside = positions - first < counts.gather(1, first)  # special tokens and padding belong to none
    sums = torch.zeros_like(logits, dtype=torch.float32)
    sums.scatter_add_(1, first[..., None].expand_as(logits), logits.float() * inside[..., None])
    return sums / counts.clamp(min=1)[..., None]


def loss(
    outputs: dict, labels: torch.Tensor, num_items_in_batch: int | torch.Tensor | None = None, label_smoothing: float = 0.0
) -> torch.Tensor:
    """Cross-entropy, averaged over words."""
    if labels.dim() == 2:
        return loss_of_logits(outputs, labels, num_items_in_batch, label_smoothing)
    tags, counts = labels.unbind(1)
    words = None if num_items_in_batch is None else num_items_in_batch / 2  # the Trainer counts both rows
    return cross_entropy(word_means(outputs["logits"], counts), tags, words, label_smoothing)


def reduce_logits(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """What leaves the device: the best tag of each piece (for the mean: of the word that begins there), (batch, length) integers."""
    return (logits if labels.dim() == 2 else word_means(logits, labels[:, 1])).argmax(-1)


def gold(examples: Dataset, task: Task) -> list[list[str]]:
    return [list(tags) for tags in examples["tags"][:]]


def decode(examples: Dataset, features: Dataset, logits: Sequence[np.ndarray], task: Task) -> list[list[str]]:
    """Best tag ids (features, length) -> one tag name per word of each example."""
    predicted = [[] for _ in range(len(examples))]
    for row, labelled, index in zip(logits, features["first_pieces"][:], features["example_index"][:]):
        predicted[index].extend(task.labels[tag] for tag in row[labelled])
    return predicted
