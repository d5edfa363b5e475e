"""Files with one word and its tag a line, and an empty line between sentences: CoNLL-U, CoNLL-2003, WikiAnn, two columns.

  CoNLL-U      ten columns between tabs: FORM and UPOS. Ranges (1-2) and empty nodes (8.1) are left out, as in the hub's copy of udpos,
               whose words are syntactic words.
  CoNLL-2003   columns between blanks: the first and the last. -DOCSTART- lines belong to no sentence.
  WikiAnn      `de:Berlin`, a tab, the tag: the words carry their language. A word that is empty behind its colon is left out.
  two columns  between tabs, as XTREME's panx and udpos files: the first and the last.
Tags stay as they are written: CoNLL-2003 as it was first distributed has I-ORG where others begin an entity with B-ORG.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from task_adapters.errors import InputError

CONLLU_COLUMNS = 10
WITH_LANGUAGE = re.compile(r"([a-z][a-z_-]*[a-z]):(.*)", flags=re.S)
CODE = re.compile(r"[a-z]{2,3}(?:[-_][A-Za-z]+)?")
HEADER = {"words", "tags", "tokens", "pos_tags", "ner_tags", "language"}  # of a table with a sentence a line, whose columns hold lists


def has_header(line: str) -> bool:
    """Whether the first line of a tsv file names the columns of a table of sentences; otherwise it is a word and its tag."""
    return len(HEADER & {*line.split("\t")}) > 1


def read_columns(path: Path, lines: Iterable[tuple[int, str]]) -> Iterator[tuple[str, dict]]:
    """Yields (where a sentence begins, {words, tags} and, of WikiAnn, language).

    lines: (number, text) of all lines of the file, the blank ones too. Raises InputError, with the line, for a word without a tag, and for
    a line of CoNLL-U that has another number of columns.
    """
    lines = [line for line in lines if not line[1].startswith("-DOCSTART-")]
    first = next((text for _, text in lines if text.strip() and not text.startswith("#")), "")
    if path.suffix == ".conllu" or len(first.split("\t")) == CONLLU_COLUMNS:
        lines, read = [line for line in lines if not line[1].startswith("#")], _conllu_word
    else:
        separator = "\t" if "\t" in first else None  # None: any blanks
        read = lambda path, number, text: _word(path, number, text, separator)  # noqa: E731
    blocks = [[*part] for is_words, part in groupby(lines, key=lambda line: bool(line[1].strip())) if is_words]
    starts = [block[0][0] for block in blocks]
    sentences = [[word for number, text in block if (word := read(path, number, text))] for block in blocks]
    prefixes = {match and match[1] for part in sentences for word, _ in part for match in [WITH_LANGUAGE.fullmatch(word)]}
    language = prefixes.pop() if len(prefixes) == 1 else None
    if language:
        sentences = [[(word.partition(":")[2].strip(), tag) for word, tag in part] for part in sentences]
        sentences = [[(word, tag) for word, tag in part if word] for part in sentences]
    named = {"language": language} if language and CODE.fullmatch(language) else {}
    for start, part in zip(starts, sentences):
        yield f"sentence of line {start}", {"words": [word for word, _ in part], "tags": [tag for _, tag in part], **named}


def _conllu_word(path, number, text):
    fields = text.split("\t")
    if len(fields) != CONLLU_COLUMNS:
        raise InputError(f"{path}, line {number}: {len(fields)} columns, where CoNLL-U has {CONLLU_COLUMNS}.")
    return (fields[1], fields[3]) if fields[0].isdigit() else None


def _word(path, number, text, separator):
    fields = [field.strip() for field in text.split(separator)]
    if len(fields) < 2 or not fields[0] or not fields[-1]:
        raise InputError(f"{path}, line {number}: {text.strip()[:60]!r} is not a word and its tag.")
    return fields[0], fields[-1]
