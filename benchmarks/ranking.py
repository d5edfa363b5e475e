"""The 20 nearest of a million candidates for each mention of Mewsli-X: exact, in how much memory, in how many times a plain product's time?

    python benchmarks/ranking.py                                                   # 14,624 x 1,003,893 vectors of width 1024
    python benchmarks/ranking.py --queries 1462 --candidates 100389 --width 384    # a small part of it

Vectors are drawn at random, part by part, as `run_retrieval.py` embeds them (`task_types.ranking.Search`). The plain product is done in the
same tiles on the same threads and kept nowhere. Of the first --checked queries the answer is compared with sorting all scores.
"""

import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.flags import at_least, new_file
from benchmarks.mining import peak_of_memory, seconds, start_of_memory
from console import run_script
from task_adapters.errors import OneLineParser
from task_types import ranking


def unit_vectors(count, width, seed, device):
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(count, width, generator=generator), dim=1).to(device)


def plain_product(queries, candidates, block=ranking.BLOCK):
    """All inner products in tiles, each overwritten by the next."""
    tile = torch.empty(block, block, device=queries.device)
    for left in range(0, len(candidates), block):
        columns = candidates[left : left + block]
        for top in range(0, len(queries), block):
            rows = queries[top : top + block]
            torch.mm(rows, columns.T, out=tile[: len(rows), : len(columns)])


def main():
    parser = OneLineParser(description=__doc__.split("\n")[0])
    parser.add_argument("--queries", type=at_least(1), default=14_624)
    parser.add_argument("--candidates", type=at_least(20), default=1_003_893)
    parser.add_argument("--width", type=at_least(1), default=1024)
    parser.add_argument("--checked", type=at_least(1), default=16, help="queries whose answer is compared with sorting everything")
    parser.add_argument("--json", type=new_file, help="write the figures there")
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    queries = unit_vectors(args.queries, args.width, 0, device)
    checked = queries[: args.checked]
    plain_product(queries[:64], unit_vectors(64, args.width, 1, device), 64)  # threads and libraries start
    before, search, scores, times = start_of_memory(), ranking.Search(queries), [], {"search": 0.0, "product": 0.0}
    for seed, start in enumerate(range(0, args.candidates, ranking.EMBEDDED_AT_ONCE), start=1):
        part = unit_vectors(min(ranking.EMBEDDED_AT_ONCE, args.candidates - start), args.width, seed, device)
        times["product"] += seconds(plain_product, queries, part)[0]  # side by side: other work on the machine slows both
        times["search"] += seconds(search.add, part)[0]
        scores.append((checked @ part.T).cpu())
    peak = peak_of_memory()
    values, _ = search.result()
    wanted = torch.cat(scores, dim=1).topk(ranking.BEST, dim=1).values
    figures = {
        "device": device,
        "threads": torch.get_num_threads(),
        "queries": args.queries,
        "candidates": args.candidates,
        "width": args.width,
        "plain_product_seconds": times["product"],
        "search_seconds": times["search"],
        "ratio": times["search"] / times["product"],
        "peak_above_queries_mib": (peak - before) / 2**20,
        "all_candidate_vectors_mib": args.candidates * args.width * 4 / 2**20,
        "largest_difference_of_a_score": float((torch.from_numpy(values[: args.checked]) - wanted).abs().max()),
    }
    print(json.dumps(figures, indent=1))
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_script(main)
