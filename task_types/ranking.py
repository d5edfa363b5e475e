"""Questions look for their answers among the candidates of all languages. Example columns: side, id, text, matches.

side is source (a question, or a mention of an entity) or target (a candidate); matches are the ids of the right candidates. Questions of
several languages may share an id: where each language brings its candidates (LAReQA), what is right for one of them is right for all.
Candidates are searched in blocks, as they are embedded: neither all their vectors nor all scores are ever in memory.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from datasets import Dataset

from console import say
from task_adapters.base import InputError, Task
from task_types.mining import GROUP, from_keys, keep_best

EMBEDDED_AT_ONCE = 65_536  # vectors of XLM-R Large: 256 MiB
BEST = 20  # both scores are of the first 20
BLOCK = 8192  # vectors at a time, of questions and of candidates: a tile of 256 MiB


class Search:
    """The k best candidates of each query by inner product; among equal scores the candidate that was added first.

    queries  (n, width) float32, on the device that searches. Memory beside them: n x k numbers of 8 bytes, one tile, and what
    `add` is given.
    """

    def __init__(self, queries, k=BEST, block=BLOCK):
        self.queries, self.block, self.count = queries, block, 0
        self.best = torch.full((len(queries), k), -(2**63), dtype=torch.int64, device=queries.device)

    @torch.inference_mode()
    def add(self, vectors: torch.Tensor) -> None:
        """Compares the next candidates, (m, width), with all queries."""
        for left in range(0, len(vectors), self.block):
            columns = vectors[left : left + self.block]
            for top in range(0, len(self.queries), self.block):
                rows = self.queries[top : top + self.block]
                tile = torch.full((len(rows), -(-len(columns) // GROUP) * GROUP), -torch.inf, device=rows.device)
                torch.mm(rows, columns.T, out=tile[:, : len(columns)])
                keep_best(self.best[top : top + self.block], tile, tile.unflatten(1, (-1, GROUP)).amax(2), self.count)
            self.count += len(columns)

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """-> (scores, positions), each (n, k), best first; (n, number of candidates) where there are fewer than k."""
        scores, positions = from_keys(self.best)
        return scores[:, : self.count], positions[:, : self.count]


def ranks(queries: torch.Tensor, candidates: torch.Tensor, places: Sequence[Sequence[int]] | np.ndarray, block: int = BLOCK) -> np.ndarray:
    """The rank, from 1, of candidate `places[i, j]` for query i among all candidates; of equal scores the first candidate is better.

    queries (n, width), candidates (m, width), places (n, j) positions. -> (n, j) integers
    """
    rows, found = torch.as_tensor(places, device=queries.device), []
    positions = torch.arange(len(candidates), device=queries.device)
    for top in range(0, len(queries), block):
        scores = queries[top : top + block] @ candidates.T
        columns = []
        for place in rows[top : top + block].T:
            own = scores.gather(1, place[:, None])
            is_before = (scores > own) | ((scores == own) & (positions < place[:, None]))
            columns.append(is_before.sum(1) + 1)
        found.append(torch.stack(columns, dim=1))
    return torch.cat(found).cpu().numpy()


def sides(examples: Dataset) -> tuple[tuple[list, list], tuple[list, list], list]:
    """-> ((ids, texts) of the questions, (ids, texts) of the candidates, the right ids of each question)"""
    rows = list(zip(examples["side"][:], examples["id"][:], examples["text"][:], examples["matches"][:]))
    source, target = ([row for row in rows if row[0] == side] for side in ("source", "target"))
    parts = [([name for _, name, _, _ in part], [text for _, _, text, _ in part]) for part in (source, target)]
    return parts[0], parts[1], [matches for *_, matches in source]


def right_answers(test: dict) -> dict[str, dict[str, str]]:
    """{question id: {language: id of its right candidate}} over all languages. test: {language: examples}"""
    right = {}
    for language, examples in test.items():
        (names, _), _, matches = sides(examples)
        for name, (match,) in zip(names, matches):
            right.setdefault(name, {})[language] = match
    return right


def check_ids(name: str, test: dict, candidates: Dataset | None = None) -> None:
    """Raises InputError for two questions of one language, or two candidates, with one id: one of them would stand for both.

    A line names right answers that are not in the one set of candidates, where nothing can find them. LAReQA's adapter checks its own.
    """
    questions = {language: sides(examples)[0][0] for language, examples in test.items()}
    targets = list(candidates["id"]) if candidates is not None else [id_ for part in test.values() for id_ in sides(part)[1][0]]
    for what, ids in (*((f"{language}: {{}} questions", ids) for language, ids in questions.items()), ("{} candidates", targets)):
        if repeated := [id_ for id_, times in Counter(ids).items() if times > 1]:
            raise InputError(f"{name} {what.format(len(ids) - len(set(ids)))} have an id that another one has, {repeated[0]!r} first.")
    known = set(targets)
    for language, examples in test.items() if candidates is not None else ():
        matches = sides(examples)[2]
        absent = [[match for match in answers if match not in known] for answers in matches]
        if first := next(filter(None, absent), None):
            said = f"{sum(map(bool, absent))} of {len(matches)} questions have a right answer that is no candidate, {first[0]!r} first"
            say(f"warning: {name} {language}: {said}")


def candidate_parts(test: dict, candidates: Dataset | None = None) -> Iterator[tuple[list, list, str]]:
    """Yields (ids, texts, description) of all candidates, in parts that fit into memory: of each language, or of the one set for all."""
    if candidates is None:
        for language, examples in test.items():
            yield *sides(examples)[1], f"{language} candidates"
        return
    for start in range(0, len(candidates), EMBEDDED_AT_ONCE):
        part = candidates[start : start + EMBEDDED_AT_ONCE]
        yield part["id"], part["text"], f"candidates from {start:,} of {len(candidates):,}"


def score(
    task: Task,
    test: dict,
    vectors_of: Callable[..., torch.Tensor],
    query_length: int,
    candidate_length: int,
    device: torch.device,
    candidates: Dataset | None = None,
) -> dict[str, tuple]:
    """{language: (gold, predicted, scores, details)}: what `rank` returns, by language, with the scores of the task's metric.

    details: {"language_bias"} where there is one. Other arguments as for `rank`.
    """
    gold, predicted, bias = rank(test, vectors_of, query_length, candidate_length, device, candidates)
    return {
        language: (
            gold[language],
            predicted[language],
            {**task.metric(gold[language], predicted[language], language), "examples": len(gold[language])},
            {"language_bias": bias[language]} if language in bias else {},
        )
        for language in test
    }


def rank(
    test: dict,
    vectors_of: Callable[..., torch.Tensor],
    query_length: int,
    candidate_length: int,
    device: torch.device,
    candidates: Dataset | None = None,
) -> tuple[dict, dict, dict]:
    """Ranks all candidates for the questions of each language.

    test: {language: examples}; vectors_of(texts, description, longest text in tokens): unit vectors, (n, width); device: where it searches;
    candidates: examples of one set for all languages (Mewsli-X); None where each language brings its own (LAReQA).
    Returns three dicts by language: gold {question: ids of its right answers in all languages}, predicted {question: the 20 best ids},
    and, of LAReQA, the language bias {language of the answer: mean reciprocal rank, in 0..100, of that language's right answer among all
    candidates}. Ids are different ones (`check_ids`).
    """
    right, names, kept, searches = right_answers(test) if candidates is None else {}, [], [], {}
    questions = {language: sides(examples)[0] for language, examples in test.items()}
    for language, (_, texts) in questions.items():
        searches[language] = Search(vectors_of(texts, f"{language} questions", min(query_length, candidate_length)).to(device))
    for ids, texts, description in candidate_parts(test, candidates):
        vectors = vectors_of(texts, description, candidate_length).to(device)
        for search in searches.values():
            search.add(vectors)
        names += ids
        if candidates is None:
            kept.append(vectors)
    place_of = {name: place for place, name in enumerate(names)}
    gold, predicted, bias = {}, {}, {}
    for language, (ids, _) in questions.items():
        search = searches[language]
        _, positions = search.result()
        answers_of = right if candidates is None else right_answers({language: test[language]})
        gold[language] = {name: list(dict.fromkeys(answers_of[name].values())) for name in ids}
        predicted[language] = {name: [names[place] for place in row] for name, row in zip(ids, positions.tolist())}
        if candidates is None and len(test) > 1 and any(len(right[name]) > 1 for name in ids):
            bias[language] = language_bias(search.queries, torch.cat(kept), [right[name] for name in ids], list(test), place_of)
    return gold, predicted, bias


def language_bias(queries: torch.Tensor, candidates: torch.Tensor, right: list, languages: list, place_of: dict) -> dict[str, float]:
    """{language: mean reciprocal rank, in 0..100, of the right answer in that language}, over the questions that have one there."""
    found = {}
    for language in languages:
        rows = [row for row, answers in enumerate(right) if language in answers]
        if rows:
            places = [[place_of[right[row][language]]] for row in rows]
            found[language] = 100 * float((1 / ranks(queries[rows], candidates, places)).mean())
    return found
