"""Noise in test text (`--perturb KIND:RATE` of run_target.py): what people type, and what other programs make of it.

typos          a letter is swapped with the next one, dropped, doubled, or replaced by another letter of the same text
diacritics     a word loses its accents, in scripts whose writers often leave them out: Latin, Greek, Cyrillic, Arabic and Hebrew
normalisation  a word is decomposed (NFD): the same text in other characters
script_noise   a letter becomes its look-alike of another script (Latin, Greek, Cyrillic), or is followed by a zero-width non-joiner

RATE is a share of letters for typos and script_noise, of words for the other two. The noise depends on the text alone: every model, seed
and process reads the same. Labels stay, no word appears or vanishes, and answers are what the perturbed context has in their place.
"""

import math
import re
import unicodedata
import zlib
from typing import Any

import numpy as np
from datasets import Dataset

from task_adapters.base import InputError, code_of, fingerprint, nearest

MARKED_SCRIPTS = ("LATIN", "GREEK", "CYRILLIC", "ARABIC", "HEBREW")  # their text is often written without diacritics
LATIN, CYRILLIC = "aceiopsxyABCEHKMOPTX", "асеіорѕхуАВСЕНКМОРТХ"
GREEK, GREEKS_LATIN = "αινορυΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "aivopuABEZHIKMNOPTYX"
LOOK_ALIKES = str.maketrans(LATIN + CYRILLIC + GREEK, CYRILLIC + LATIN + GREEKS_LATIN)
NON_JOINER = "\u200c"
TEXTS = ("text_a", "text_b", "context", "question", "choices", "words")  # columns that are perturbed


def typos(text: str, rate: float, rng: np.random.Generator) -> list[str]:
    pieces, letters = list(text), [c for c in text if c.isalpha()]
    for place in np.flatnonzero(rng.random(len(text)) < rate):
        what, other = rng.integers(4), letters[rng.integers(len(letters))] if letters else ""
        if not text[place].isalpha() or pieces[place] != text[place]:
            continue
        has_next = place + 1 < len(text) and text[place + 1].isalpha()
        if what == 0 and has_next:
            pieces[place], pieces[place + 1] = text[place + 1], text[place]
        elif what == 1 and place and text[place - 1].isalpha():  # the first letter of a word stays
            pieces[place] = ""
        elif what == 2:
            pieces[place] *= 2
        else:
            pieces[place] = other
    return pieces


def diacritics(text: str, rate: float, rng: np.random.Generator) -> list[str]:
    pieces, base = list(text), ""
    for place in places_of_words(text, rate, rng):
        parts = unicodedata.normalize("NFD", text[place])
        kept = ""
        for c in parts:
            if not unicodedata.combining(c):
                base = c
            if not (unicodedata.combining(c) and unicodedata.name(base or " ", "").startswith(MARKED_SCRIPTS)):
                kept += c
        if kept != parts:
            pieces[place] = kept
    return pieces


def normalisation(text: str, rate: float, rng: np.random.Generator) -> list[str]:
    pieces = list(text)
    for place in places_of_words(text, rate, rng):
        pieces[place] = unicodedata.normalize("NFD", text[place])
    return pieces


def script_noise(text: str, rate: float, rng: np.random.Generator) -> list[str]:
    pieces = list(text)
    for place in np.flatnonzero(rng.random(len(text)) < rate):
        if not text[place].isalpha():
            continue
        is_western = unicodedata.name(text[place], "").startswith(MARKED_SCRIPTS[:3])
        pieces[place] = text[place].translate(LOOK_ALIKES) if is_western else text[place] + NON_JOINER
    return pieces


KINDS = {"typos": typos, "diacritics": diacritics, "normalisation": normalisation, "script_noise": script_noise}


def places_of_words(text: str, rate: float, rng: np.random.Generator) -> list[int]:
    """The places of the characters of a share of the words."""
    words = list(re.finditer(r"\S+", text))
    return [place for word, drawn in zip(words, rng.random(len(words)) < rate) if drawn for place in range(*word.span())]


def kind_and_rate(text: str) -> tuple[str, float]:
    """The value of --perturb. Raises InputError for another one."""
    kind, colon, number = text.partition(":")
    if not colon:
        raise InputError(f"--perturb {text}: KIND:RATE would be right, such as typos:0.05.")
    if kind not in KINDS:
        raise InputError(f"--perturb {text}: unknown kind {kind!r}. {nearest(kind, KINDS)}")
    try:
        rate = float(number)
    except ValueError:
        rate = math.nan
    if not 0 < rate <= 1:
        raise InputError(f"--perturb {text}: the rate is no number above 0 and up to 1.")
    return kind, rate


def perturbed(examples: Dataset, noise: str) -> tuple[Dataset, dict[str, int]]:
    """Returns (the examples with perturbed texts, counts: texts, changed, and with answers how many there are and stand at their start).

    noise  KIND:RATE. Raises InputError as `kind_and_rate` does.
    """
    kind, rate = kind_and_rate(noise)
    key = fingerprint(examples._fingerprint, kind, rate, code_of(perturbed))
    noisy = examples.map(
        _perturb_batch, batched=True, fn_kwargs={"kind": kind, "rate": rate}, features=examples.features, desc=noise, new_fingerprint=key
    )
    columns = [name for name in TEXTS if name in examples.column_names]
    pairs = [pair for name in columns for pair in zip(flat(examples[name][:]), flat(noisy[name][:]), strict=True)]
    counts = {"texts": len(pairs), "changed": sum(a != b for a, b in pairs)}
    if "answers" in examples.column_names:
        answers = [(context, *answer) for context, of_context in zip(noisy["context"][:], noisy["answers"][:])
                   for answer in zip(of_context["text"], of_context["answer_start"])]  # fmt: skip
        counts |= {"answers": len(answers), "answers_found": sum(c[s : s + len(t)] == t for c, t, s in answers)}
    return noisy, counts


def flat(values: Any) -> list[str]:
    return [text for value in values for text in ([value] if isinstance(value, str) else value)]


def _perturb_batch(batch, kind, rate):
    columns = {}
    for name in (name for name in TEXTS if name in batch):
        columns[name] = [noisy_text(v, kind, rate) if isinstance(v, str) else [noisy_text(t, kind, rate) for t in v] for v in batch[name]]
    if "answers" in batch:
        together = [noisy_context(*pair, kind, rate) for pair in zip(batch["context"], batch["answers"])]
        columns["context"], columns["answers"] = map(list, zip(*together))
    return batch | columns


def pieces_of(text: str, kind: str, rate: float) -> list[str]:
    """What each character becomes. A word of which nothing visible would be left stays as it is."""
    rng = np.random.default_rng(zlib.crc32(f"{kind} {rate} {text}".encode("utf-8", "backslashreplace")))
    pieces = KINDS[kind](text, rate, rng)
    for word in re.finditer(r"\S+", text):
        restore_if_empty(pieces, text, *word.span())
    return pieces


def restore_if_empty(pieces: list[str], text: str, start: int, end: int) -> None:
    if not "".join(pieces[start:end]).strip(f"{NON_JOINER} \t\n"):
        pieces[start:end] = text[start:end]


def noisy_text(text: str, kind: str, rate: float) -> str:
    return "".join(pieces_of(text, kind, rate))


def noisy_context(context: str, answers: dict, kind: str, rate: float) -> tuple[str, dict]:
    """(the perturbed context, answers {"text", "answer_start"} as they stand in it).

    An answer whose start is wrong is sought in the context. One that stands nowhere in it keeps its text.
    """
    pieces = pieces_of(context, kind, rate)
    spans = []
    for text, start in zip(answers["text"], answers["answer_start"]):
        start = start if start >= 0 and context[start : start + len(text)] == text else context.find(text)
        spans.append((start, start + len(text)) if text and start >= 0 else None)
        if spans[-1]:
            restore_if_empty(pieces, context, *spans[-1])
    starts = np.cumsum([0, *map(len, pieces)]).tolist()
    texts = [text if span is None else "".join(pieces[slice(*span)]) for text, span in zip(answers["text"], spans)]
    places = [start if span is None else starts[span[0]] for start, span in zip(answers["answer_start"], spans)]
    return "".join(pieces), {"text": texts, "answer_start": places}
