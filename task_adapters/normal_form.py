"""Conversion of text to Unicode's composed form (NFC), the form in the encoders' training data.

"ế" can be one character (NFC) or three (NFD). Files written on macOS and some corpora have NFD. Fast tokenizers then give other tokens:
Vietnamese and Yoruba lose their tones (https://github.com/huggingface/tokenizers/issues/2116).
"""

import unicodedata

import pyarrow
import pyarrow.compute
from datasets import Dataset

from task_adapters.base import code_of, fingerprint

NFC = "nfc"


def in_normal_form(examples: Dataset, normalize: str | None) -> tuple[Dataset, int]:
    """Returns (the examples, in composed form if normalize is "nfc"; the number of texts that were not in composed form).

    `answer_start` is changed to count characters of the composed context. An answer that begins or ends inside a composed character is
    extended to the whole character.
    """
    count = texts_in_other_form(examples)
    if not count or normalize != NFC:
        return examples, count
    key = fingerprint(examples._fingerprint, NFC, code_of(in_normal_form))
    return examples.map(_compose_batch, batched=True, features=examples.features, desc="NFC", new_fingerprint=key), count


def texts_in_other_form(examples: Dataset) -> int:
    """Returns the number of texts (in tagging: words) of the examples that are not in NFC."""
    table, count = examples.with_format("arrow")[:], 0
    for column in _texts(table.columns):
        texts = column.unique()
        not_nfc = [text for text in _not_ascii(texts) if not unicodedata.is_normalized("NFC", text)]
        if not_nfc:
            count += pyarrow.compute.sum(pyarrow.compute.is_in(column, value_set=pyarrow.array(not_nfc, column.type))).as_py()
    return count


def _texts(columns):
    """Yields all columns of text, also those inside lists and structs, as flat arrays."""
    for column in columns:
        if pyarrow.types.is_struct(column.type):
            yield from _texts(column.flatten())
        elif pyarrow.types.is_list(column.type):
            yield from _texts([pyarrow.compute.list_flatten(column)])
        elif pyarrow.types.is_string(column.type):
            yield column


def _not_ascii(texts):
    return texts.filter(pyarrow.compute.invert(pyarrow.compute.string_is_ascii(texts))).to_pylist()


def _compose_batch(batch):
    composed = {name: _composed(values) for name, values in batch.items()}
    if "answers" in batch:
        composed["answers"] = [compose_answers(*pair) for pair in zip(batch["context"], batch["answers"])]
    return composed


def _composed(value):
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, list):
        return [_composed(inner) for inner in value]
    return {name: _composed(inner) for name, inner in value.items()} if isinstance(value, dict) else value


def compose_answers(context: str, answers: dict) -> dict:
    """Returns the answers {"text", "answer_start"} of `context` for the composed context.

    XTREME's test files have answers whose `answer_start` is wrong. The text of such an answer is composed by itself, and its start is moved
    as the context changes.
    """
    composed_context, texts, starts = unicodedata.normalize("NFC", context), [], []
    for text, start in zip(answers["text"], answers["answer_start"]):
        end = start + len(text)
        if start < 0:
            texts.append(unicodedata.normalize("NFC", text))
            starts.append(start)
            continue
        new_start = _length_before(context, start, composed_context, -1)
        if context[start:end] == text:
            texts.append(composed_context[new_start : _length_before(context, end, composed_context, 1)])
        else:
            texts.append(unicodedata.normalize("NFC", text))
        starts.append(new_start)
    return {"text": texts, "answer_start": starts}


def _length_before(text, position, composed_text, step) -> int:
    """Returns the number of composed characters before `position` of `text`.

    If the position is inside a composed character, the next position in direction `step` (-1 or 1) is taken.
    """
    while 0 < position < len(text):
        composed_start = unicodedata.normalize("NFC", text[:position])
        if composed_start + unicodedata.normalize("NFC", text[position:]) == composed_text:
            return len(composed_start)
        position += step
    return 0 if position <= 0 else len(composed_text)
