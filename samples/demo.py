"""The whole method in miniature, offline: baseline and two intermediate tasks, five targets, a table and a picture.

    make demo        (or: python -m samples.demo --output_dir out/demo)

Calls the three scripts' own main() with the flags that a user would type; everything that it prints can be typed.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

from report.examples import chance
from samples import grid
from samples.write_data import output_folder
from task_adapters import TASKS

STARTS = (None, "mnli", "squad_v1")
TARGETS = ("xnli", "udpos", "xquad", "bucc", "tatoeba")
SEED = 42


def table(results, chances):
    """The paper's kind of table: a row per start; English and the mean over the other languages, with the difference to no start."""
    columns = [(target, part) for target in TARGETS for part in (("en", "others") if "en" in chances[target] else ("others",))]

    def value(start, target, part):
        scores = {language: score[TASKS[target].dev_metric] for language, score in results[start, target]["scores"].items()}
        others = [score for language, score in scores.items() if language != "en"]
        return scores["en"] if part == "en" else sum(others) / len(others)

    lines = [f"{'':<12}" + "".join(f"{target:>15}" for target, _ in columns)]
    lines.append(f"{'trained on':<12}" + "".join(f"{part:>15}" for _, part in columns))
    rows = {}
    for start in STARTS:
        rows[start] = [value(start, *column) for column in columns]
        cells = (f"{x:.1f}" if start is None else f"{x:.1f} ({x - base:+.1f})" for x, base in zip(rows[start], rows[None]))
        lines.append(f"{start or 'baseline':<12}" + "".join(f"{cell:>15}" for cell in cells))
    lines.append(f"{'chance':<12}" + "".join(f"{sum(chances[target].values()) / len(chances[target]):>15.1f}" for target, _ in columns))
    return "\n".join(lines), columns, rows


def picture(columns, rows, path):
    """Bars per target (mean over the languages that were never trained on): no start, then each intermediate task."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    places = [i for i, (_, part) in enumerate(columns) if part == "others"]
    figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    width = 0.8 / len(rows)
    for shift, (start, values) in enumerate(rows.items()):
        bars = axes.bar([x + shift * width for x in range(len(places))], [values[i] for i in places], width, label=start or "baseline")
        axes.bar_label(bars, fmt="%.0f", fontsize=8)
    axes.set_xticks([x + width * (len(rows) - 1) / 2 for x in range(len(places))], [columns[i][0] for i in places])
    axes.set_ylabel("score, mean over unseen languages")
    axes.set_ylim(0, 100)
    axes.legend(title="intermediate training on", frameon=False, ncols=len(rows))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output_dir", type=output_folder, default="out/demo")
    args = parser.parse_args()
    started = time.time()
    grid.make_world()
    results, folders = {}, {}
    for cell in grid.cells(args.output_dir, STARTS, TARGETS, [SEED]):
        print(f"\n[{time.time() - started:.0f} s] python {' '.join(cell.argv)}", flush=True)
        outcome = grid.call(cell)
        if cell.script != "run_intermediate":
            results[cell.start, cell.task], folders[cell.task] = outcome, cell.folder
    chances = {target: chance(folders[target], target, results[None, target]["scores"]) for target in TARGETS}
    text, columns, rows = table(results, chances)
    Path(args.output_dir, "table.txt").write_text(text + "\n", encoding="utf-8")
    picture(columns, rows, Path(args.output_dir, "table.png"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)  # bytes there, kB elsewhere
    print(f"\n{text}\n\nsame table: {args.output_dir}/table.txt, picture: {args.output_dir}/table.png")
    print(f"{time.time() - started:.0f} seconds, peak memory {peak:.1f} GiB")


if __name__ == "__main__":
    main()
