"""Translations are mined from two large sets of sentences. Example columns: side (source, target), id, text, matches (gold ids).

Ratio margin (Artetxe and Schwenk, 2019, https://aclanthology.org/P19-1309) as XTREME and jiant use it: a pair's cosine over the mean of
both sentences' cosines with their four nearest neighbours on the other side. The matrix of all cosines is never whole in memory.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import product

import numpy as np
import torch
from datasets import Dataset

from task_types.retrieval import different

NEIGHBOURS = 4
GROUP = 32  # values that are first reduced to their maximum (`benchmarks/mining.py`)
BLOCK = 8192  # rows and columns of a tile of the product, 256 MiB in fp32 (`benchmarks/mining.py`)
LAST = 0xFFFFFFFF  # the largest position


def sides(examples: Dataset) -> list[tuple[list[str], list[list[str]]]]:
    """[(texts, ids) of the source, (texts, ids) of the target]: each different sentence once, and for each the list of its ids."""
    rows = {"source": ([], []), "target": ([], [])}
    for side, name, text in zip(examples["side"], examples["id"], examples["text"]):
        rows[side][0].append(text)
        rows[side][1].append(name)
    merged = []
    for texts, names in rows.values():
        texts, positions = different(texts)
        ids = [[] for _ in texts]
        for position, name in zip(positions, names):
            ids[position].append(name)
        merged.append((texts, ids))
    return merged


def gold(examples: Dataset) -> list[tuple[str, str]]:
    """[(source id, target id)] of the sentences that are translations of each other."""
    rows = zip(examples["side"], examples["id"], examples["matches"])
    return [(name, match) for side, name, matches in rows if side == "source" for match in matches]


def mine(
    test: Dataset, dev: Dataset | None, vectors_of: Callable[..., torch.Tensor], duplicates: str = "all", keep: Callable | None = None
) -> tuple[list, list, dict]:
    """Mines a corpus with a threshold that is chosen on `dev`, or, where `dev` is None, on the gold pairs that are scored.

    test, dev   examples; vectors_of(texts, part): unit vectors of texts, on the device that searches; part: "test" or "dev".
    duplicates  as in `candidates`.
    keep        called with (candidates, gold pairs, threshold), where the margins are wanted too.
    Returns (gold pairs, mined pairs, {"threshold", "threshold_from", "candidates", "pairs", "gold_pairs"}).
    """

    def candidates_of(examples, part):
        (source, source_ids), (target, target_ids) = sides(examples)
        return candidates(vectors_of(source, part), vectors_of(target, part), source_ids, target_ids, duplicates)

    test_candidates, gold_pairs = candidates_of(test, "test"), gold(test)
    if dev is not None:
        threshold, chosen_on = best_threshold(candidates_of(dev, "dev"), gold(dev)), "dev"
    else:
        threshold, chosen_on = best_threshold(test_candidates, gold_pairs), "test gold: not comparable with XTREME"
    mined = at_least(threshold, test_candidates)
    if keep:
        keep(test_candidates, gold_pairs, threshold)
    counts = {"candidates": len(test_candidates), "pairs": len(mined), "gold_pairs": len(gold_pairs)}
    return gold_pairs, mined, {"threshold": threshold, "threshold_from": chosen_on, **counts}


def candidates(
    source: torch.Tensor, target: torch.Tensor, source_ids: list[list[str]], target_ids: list[list[str]], duplicates: str = "all"
) -> list[tuple[float, tuple[str, str]]]:
    """[(score, (source id, target id))], best first: each sentence with its best partner by margin, each sentence used once.

    source, target  unit vectors of the different sentences, (n, width) and (m, width).
    *_ids           for each sentence the list of its ids.
    duplicates      what a sentence with several ids gives: "all" combinations of ids, or "none".
    """
    pairs = one_to_one(*margin_pairs(*top_k_both_ways(source, target, NEIGHBOURS)))
    if duplicates == "none":
        pairs = [(score, i, j) for score, i, j in pairs if len(source_ids[i]) == len(target_ids[j]) == 1]
    return [(score, pair) for score, i, j in pairs for pair in product(source_ids[i], target_ids[j])]


def best_threshold(scored_pairs: Sequence[tuple], gold: Iterable[tuple]) -> float:
    """The threshold whose pairs have the best F1 with gold: half way between the lowest score that is kept and the next one below it.

    scored_pairs  [(score, pair)], best first; gold: pairs.
    Pairs of equal score (several ids of one sentence) are kept or left out together, as no threshold separates them. Where no pair is
    right, the threshold is 0. Where it is best to keep all pairs, it is the last score (XTREME's code raises IndexError there).
    """
    gold = set(gold)
    threshold = best = right = 0
    for rank, (score, pair) in enumerate(scored_pairs, start=1):
        right += pair in gold
        following = scored_pairs[rank][0] if rank < len(scored_pairs) else None
        f1 = 2 * right / (rank + len(gold))
        if following != score and f1 > best:
            best, threshold = f1, score if following is None else (score + following) / 2
    return float(threshold)


def at_least(threshold: float, scored_pairs: Sequence[tuple]) -> list[tuple]:
    """The pairs of ids whose score reaches the threshold, best first. scored_pairs: [(score, pair)]"""
    return [pair for score, pair in scored_pairs if score >= threshold]


def margin_pairs(
    source_neighbours: tuple[np.ndarray, np.ndarray], target_neighbours: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(scores, rows, columns) of pairs: each source sentence with its best target by margin, then each target with its best source.

    *_neighbours  what `top_k_both_ways` returns: (cosines, positions) of the nearest neighbours on the other side, (n, k) each.
    """
    (forward, columns), (backward, rows) = source_neighbours, target_neighbours
    forward, backward = forward.astype(np.float64), backward.astype(np.float64)
    source_means, target_means = forward.mean(1), backward.mean(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        forward = np.nan_to_num(forward / ((source_means[:, None] + target_means[columns]) / 2), nan=-np.inf)
        backward = np.nan_to_num(backward / ((target_means[:, None] + source_means[rows]) / 2), nan=-np.inf)
    best_column, best_row = (scores.argmax(1)[:, None] for scores in (forward, backward))
    return (
        np.concatenate([forward.max(1), backward.max(1)]),
        np.concatenate([np.arange(len(forward)), np.take_along_axis(rows, best_row, 1)[:, 0]]),
        np.concatenate([np.take_along_axis(columns, best_column, 1)[:, 0], np.arange(len(backward))]),
    )


def one_to_one(scores: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> list[tuple[float, int, int]]:
    """[(score, row, column)], best first: pairs with a score above 0, without those whose row or column a better pair has."""
    order = np.argsort(-scores, kind="stable")
    used_rows, used_columns, chosen = set(), set(), []
    for score, row, column in zip(scores[order].tolist(), rows[order].tolist(), columns[order].tolist()):
        if score <= 0:
            break
        if row not in used_rows and column not in used_columns:
            used_rows.add(row)
            used_columns.add(column)
            chosen.append((score, row, column))
    return chosen


@torch.inference_mode()
def top_k_both_ways(
    source: torch.Tensor, target: torch.Tensor, k: int, block: int = BLOCK
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The k largest inner products of each source vector and of each target vector, best first: two pairs (values, positions).

    source, target  unit vectors, (n, width) and (m, width); the pairs are arrays (n, k) and (m, k). block: rows and columns of a tile.
    The search is exact and goes over the product once, in tiles. Equal values come in the order of their positions, whatever the block.
    The k best values of a row of a tile are among the k groups of GROUP values whose maxima are largest, so that all other values are
    read only once.
    """
    best_targets = torch.full((len(source), min(k, len(target))), -(2**63), dtype=torch.int64, device=source.device)
    best_sources = torch.full((len(target), min(k, len(source))), -(2**63), dtype=torch.int64, device=source.device)
    size = [-(-min(block, len(vectors)) // GROUP) * GROUP for vectors in (source, target)]
    tile = torch.empty(size, dtype=torch.float32, device=source.device)
    for top in range(0, len(source), block):
        rows = source[top : top + block]
        for left in range(0, len(target), block):
            columns = target[left : left + block]
            torch.mm(rows, columns.T, out=tile[: len(rows), : len(columns)])
            tile[len(rows) :] = -torch.inf
            tile[:, len(columns) :] = -torch.inf
            row_maxima = tile.unflatten(1, (-1, GROUP)).amax(2)
            column_maxima = tile.unflatten(0, (-1, GROUP)).amax(1).T  # of tile.T it is much slower
            keep_best(best_targets[top : top + block], tile[: len(rows)], row_maxima[: len(rows)], left)
            keep_best(best_sources[left : left + block], tile.T[: len(columns)], column_maxima[: len(columns)], top)
    return from_keys(best_targets), from_keys(best_sources)


def keep_best(best: torch.Tensor, tile: torch.Tensor, maxima: torch.Tensor, start: int) -> None:
    """Replaces keys in `best` by those of larger values in the same row of a tile.

    best    (rows, k) keys, changed in place; tile: (rows, columns) values.
    maxima  (rows, groups), the largest value of every GROUP columns.
    start   the position that column 0 has among all columns.
    """
    count = best.shape[1]
    groups = tile.unflatten(1, (-1, GROUP))
    numbers = torch.arange(maxima.shape[1], device=tile.device).expand_as(maxima)
    chosen = to_keys(maxima, numbers).topk(min(count, maxima.shape[1])).values
    chosen = LAST - (chosen & LAST)  # back from key to group
    values = groups.gather(1, chosen.unsqueeze(2).expand(-1, -1, GROUP))
    positions = start + chosen.unsqueeze(2) * GROUP + torch.arange(GROUP, device=tile.device)
    keys = to_keys(values, positions).flatten(1)
    best.copy_(torch.cat([best, keys], dim=1).topk(count).values)


def to_keys(values: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Each value with its position as one int64, larger for a larger value and, among equal values, for the smaller position."""
    bits = (values + 0.0).view(torch.int32)  # + 0.0: no minus zero
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # the bits of negative floats count backwards
    return (ordered.to(torch.int64) << 32) | (LAST - positions)


def from_keys(keys: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """(values, positions) of keys, as arrays of the keys' shape: the inverse of `to_keys`."""
    ordered = (keys >> 32).to(torch.int32)
    values = (ordered ^ ((ordered >> 31) & 0x7FFFFFFF)).view(torch.float32)
    return values.cpu().numpy(), (LAST - (keys & LAST)).cpu().numpy()
