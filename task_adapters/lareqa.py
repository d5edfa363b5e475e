"""LAReQA (Roy et al., 2020) on XQuAD-R: questions in eleven languages look for the sentences, in all languages, that answer them.

https://github.com/google-research-datasets/lareqa, CC BY-SA 4.0; part of XTREME-R. Read from the project's own files below --data_dir,
DIR/google-research-datasets/lareqa/xquad-r/de.json: SQuAD's layout with the sentences of each paragraph and where they break. The copy on
the hub, google-research-datasets/xquad_r, lacks the breaks, without which there are no candidates: it is refused. A candidate is a
sentence with its whole paragraph behind it, as in XTREME-R; the right ones are the sentences in which the first answer begins, one in each
language.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

from datasets import Dataset

from metrics import mean_average_precision
from task_adapters.base import EXAMPLE_COLUMNS, Absent, InputError, RetrievalRecipe, Source, Task

HUB_ID = "google-research-datasets/lareqa"
HUB_COPY = "google-research-datasets/xquad_r"
SENTENCES = {"ar": 1_222, "de": 1_276, "el": 1_234, "en": 1_180, "es": 1_215, "hi": 1_244, "ru": 1_219, "th": 852, "tr": 1_167,
             "vi": 1_209, "zh": 1_196}  # fmt: skip
QUESTIONS = 1_190


@dataclass(frozen=True)
class RankingRecipe(RetrievalRecipe):
    """query_length: longest question in tokens, special tokens included; max_seq_length is that of candidates; lower_case: of all texts."""

    query_length: int = 96
    max_seq_length: int = 256
    lower_case: bool = False


# What XTREME-R's code reads of a model trained as a dual encoder: the pooler behind the last layer, on lower-cased text.
XTREME_R_RANKING = RankingRecipe(layer="last", pooling="pooler", lower_case=True)


class SentenceFiles(Source):
    """The project's own files, xquad-r/{language}.json."""

    def load(self, split: str, language: str, data_dir: str | None) -> tuple[Dataset, str | None]:
        """-> (a row per question and per sentence, checksum). InputError for a file that is not LAReQA's."""
        if data_dir is None:
            raise Absent(f"LAReQA is read from files below --data_dir, of https://github.com/{self.hub_id}: DIR/{self.hub_id}/xquad-r.")
        path = Path(data_dir) / self.hub_id / "xquad-r" / f"{language}.json"
        if not path.is_file():
            copy = Path(data_dir) / HUB_COPY
            refused = f" {copy} is the hub's copy, which lacks sentence breaks: it holds no candidates." if copy.exists() else ""
            raise Absent(f"{path} does not exist.{refused}")
        content = path.read_bytes()
        return Dataset.from_list(rows_of(content, language, path), features=EXAMPLE_COLUMNS["ranking"]), (
            f"sha256 {hashlib.sha256(content).hexdigest()[:16]}"
        )


def rows_of(content: bytes, language: str, path: Path) -> list[dict]:
    """Candidates and questions of one file; a candidate's id is its language, paragraph and sentence, counted from 0."""
    try:
        paragraphs = [paragraph for article in json.loads(content)["data"] for paragraph in article["paragraphs"]]
        candidates, questions = [], {}
        for number, paragraph in enumerate(paragraphs):
            context = paragraph["context"]
            if "sentence_breaks" not in paragraph:
                raise InputError(f"{path}, paragraph {number}: no sentence_breaks. Use the files of https://github.com/{HUB_ID}.")
            names = [f"{language}-{number}-{place}" for place in range(len(paragraph["sentence_breaks"]))]
            for name, (start, end) in zip(names, paragraph["sentence_breaks"], strict=True):
                if not context[start:end].strip():
                    raise InputError(f"{path}, paragraph {number}: the sentence from {start} to {end} is empty.")
                text = candidate_text(context[start:end], context)
                candidates.append({"side": "target", "id": name, "text": text, "matches": []})
            for question in paragraph["qas"]:
                begins = question["answers"][0]["answer_start"]
                right = [name for name, (start, end) in zip(names, paragraph["sentence_breaks"]) if start <= begins < end]
                if len(right) != 1:
                    raise InputError(f"{path}, question {question['id']!r}: {len(right)} sentences hold the answer at {begins}.")
                if question["id"] in questions:
                    raise InputError(f"{path}: question {question['id']!r} occurs twice.")
                questions[question["id"]] = {"side": "source", "id": question["id"], "text": question["question"], "matches": right}
    except (KeyError, TypeError, IndexError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not in LAReQA's format: data > paragraphs > context, sentence_breaks, qas ({error!r}).") from error
    return [*candidates, *questions.values()]


def candidate_text(sentence: str, paragraph: str) -> str:
    """A candidate as XTREME-R puts it: one text, nothing between sentence and paragraph."""
    return (sentence + paragraph).replace("\n", "")


def to_example(row: dict) -> dict:
    return {name: row[name] for name in ("side", "id", "text", "matches")}


TASK = Task(
    name="lareqa",
    phase="retrieval",
    task_type="ranking",
    sources=(
        SentenceFiles(
            HUB_ID,
            config="xquad-r/{language}",
            splits={"test": "test"},
            rows={"test": {language: sentences + QUESTIONS for language, sentences in SENTENCES.items()}},
        ),
    ),
    to_example=to_example,
    metric=mean_average_precision,
    dev_metric="map20",
    languages=tuple(SENTENCES),
    recipes={"jiant": RankingRecipe(), "xtreme-r": replace(XTREME_R_RANKING, before="squad_sentences")},
    licence="CC BY-SA 4.0",
)
