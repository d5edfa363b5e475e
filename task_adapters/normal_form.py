"""Text in Unicode's composed form (NFC), which encoders were trained on.

"ế" can be one character or three. Files written on macOS and some corpora have three (NFD), and fast tokenizers then read another text:
Vietnamese and Yoruba lose their tones (https://github.com/huggingface/tokenizers/issues/2116).
"""

import unicodedata

import pyarrow
import pyarrow.compute
from datasets import Dataset

from task_adapters.base import code_of, fingerprint

NFC = "nfc"


def in_normal_form(examples: Dataset, normalize: str | None) -> tuple[Dataset, int]:
    """-> (the examples, with normalize="nfc" in composed form; how many of their texts were given in another form)

    Answers keep their place: `answer_start` counts characters of the composed context. An answer that begins or ends inside a composed
    character takes the whole of it.
    """
    count = texts_in_other_form(examples)
    if not count or normalize != NFC:
        return examples, count
    key = fingerprint(examples._fingerprint, NFC, code_of(in_normal_form))
    return examples.map(_compose_batch, batched=True, features=examples.features, desc="NFC", new_fingerprint=key), count


def texts_in_other_form(examples: Dataset) -> int:
    """How many texts of the examples (of tagging: words) are not in NFC."""
    table, count = examples.with_format("arrow")[:], 0
    for column in _texts(table.columns):
        texts = column.unique()
        other = [text for text in _not_ascii(texts) if not unicodedata.is_normalized("NFC", text)]
        if other:
            count += pyarrow.compute.sum(pyarrow.compute.is_in(column, value_set=pyarrow.array(other, column.type))).as_py()
    return count


def _texts(columns):
    """All columns of text, those in lists and structs too, as flat arrays."""
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
    """{"text", "answer_start"} of answers in `context` -> the same answers in the composed context.

    An answer that does not stand at its place (XTREME's test files have such) is composed by itself, and its place moved.
    """
    whole, texts, starts = unicodedata.normalize("NFC", context), [], []
    for text, start in zip(answers["text"], answers["answer_start"]):
        end = start + len(text)
        if start < 0:
            texts.append(unicodedata.normalize("NFC", text))
            starts.append(start)
            continue
        moved = _length_before(context, start, whole, -1)
        at_its_place = context[start:end] == text
        texts.append(whole[moved : _length_before(context, end, whole, 1)] if at_its_place else unicodedata.normalize("NFC", text))
        starts.append(moved)
    return {"text": texts, "answer_start": starts}


def _length_before(text, place, whole, step) -> int:
    """How many composed characters stand before `place`; where that is inside one, before the next place in direction `step`."""
    while 0 < place < len(text):
        before = unicodedata.normalize("NFC", text[:place])
        if before + unicodedata.normalize("NFC", text[place:]) == whole:
            return len(before)
        place += step
    return 0 if place <= 0 else len(whole)
