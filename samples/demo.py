"""The whole method on miniature data, offline: a baseline and two intermediate tasks, five targets, a table and a picture.

    make demo        (or: python -m samples.demo --output_dir out/demo)

Runs cells of `samples/grid.py`, two side by side. Each line that begins with `$` is a command that a user could type.
"""

import resource
import sys
import time
from pathlib import Path

from report.examples import chance
from results import read_json
from samples import grid
from samples.write_data import output_folder
from task_adapters import TASKS
from task_adapters.errors import OneLineParser

STARTS = (None, "mnli", "squad_v1")
TARGETS = ("xnli", "udpos", "xquad", "bucc", "tatoeba")
SEED = 42
WORKERS = 2


def value_of(scores, part):
    """English, or the mean over the other languages."""
    others = [score for language, score in scores.items() if language != "en"]
    return scores["en"] if part == "en" else sum(others) / len(others)


def table(results, chances):
    """The paper's kind of table: a row for each intermediate task; English and the mean over the other languages, with the difference to
    the baseline. -> (text, [(target, "en" or "others")] of the columns, {start: values})

    results: {(start, target): {language: scores}}; chances: {target: {language: score}}
    """
    columns = [(target, part) for target in TARGETS for part in (("en", "others") if "en" in chances[target] else ("others",))]

    def scores_of(start, target):
        return {language: scores[TASKS[target].dev_metric] for language, scores in results[start, target].items()}

    lines = [f"{'':<12}" + "".join(f"{target:>15}" for target, _ in columns)]
    lines.append(f"{'trained on':<12}" + "".join(f"{part:>15}" for _, part in columns))
    rows = {start: [value_of(scores_of(start, target), part) for target, part in columns] for start in STARTS}
    for start, values in rows.items():
        texts = (f"{x:.1f}" if start is None else f"{x:.1f} ({x - base:+.1f})" for x, base in zip(values, rows[None]))
        lines.append(f"{start or 'baseline':<12}" + "".join(f"{text:>15}" for text in texts))
    lines.append(f"{'chance':<12}" + "".join(f"{value_of(chances[target], part):>15.1f}" for target, part in columns))
    return "\n".join(lines), columns, rows


def picture(columns, rows, chances, path):
    """Bars for each target, mean over all languages except English: the baseline, then each intermediate task; a line at chance."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from report.pictures import COLOURS  # here, as it reads pandas, which the workers do not need

    shown = [i for i, (_, part) in enumerate(columns) if part == "others"]
    figure, axes = plt.subplots(figsize=(8, 3.4), layout="constrained")
    width = 0.8 / len(rows)
    for shift, (start, values) in enumerate(rows.items()):
        name = f"after {start}" if start else "baseline"
        colour = ("#999999", *COLOURS[1:])[shift]  # the baseline in grey: black bars would hide the line at chance
        bars = axes.bar([x + shift * width for x in range(len(shown))], [values[i] for i in shown], width, label=name, color=colour)
        axes.bar_label(bars, fmt="%.0f", fontsize=10)
    for x, i in enumerate(shown):
        by_chance = value_of(chances[columns[i][0]], "others")
        axes.hlines(by_chance, x - width / 2, x + 0.8 - width / 2, colors="black", linestyles="dotted", label=None if x else "chance")
    axes.set_xticks([x + width * (len(rows) - 1) / 2 for x in range(len(shown))], [columns[i][0] for i in shown], fontsize=11)
    axes.set_ylabel("score in percent, mean over\nall languages except English", fontsize=10)
    axes.set_ylim(0, 100)
    (chance_line, *bars), (chance_name, *names) = axes.get_legend_handles_labels()
    axes.legend([*bars, chance_line], [*names, chance_name], frameon=False, ncols=len(rows) + 1)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def main():
    parser = OneLineParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output_dir", type=output_folder, default="out/demo")
    args = parser.parse_args()
    started = time.time()
    grid.make_world()
    todo = grid.cells(args.output_dir, STARTS, TARGETS, [SEED])
    grid.end_with(grid.run_all(todo, WORKERS, lambda cell: f"$ {cell.command}"), todo)
    scored = {(cell.start, cell.task): cell.folder for cell in todo if cell.script != "run_intermediate"}
    results = {key: read_json(f"{folder}/results.json")["scores"] for key, folder in scored.items()}
    chances = {target: chance(scored[None, target], target, results[None, target]) for target in TARGETS}
    text, columns, rows = table(results, chances)
    Path(args.output_dir, "table.txt").write_text(text + "\n", encoding="utf-8")
    picture(columns, rows, chances, Path(args.output_dir, "table.png"))
    from run_report import write_report  # which reads pandas and matplotlib: the workers need neither

    report = write_report([args.output_dir], Path(args.output_dir, "report")).splitlines()[-1]
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    peak = max(use.ru_maxrss for use in used) / (2**30 if sys.platform == "darwin" else 2**20)  # bytes there, kB elsewhere
    print(f"\n{text}\n\nsame table: {args.output_dir}/table.txt, picture: {args.output_dir}/table.png\n{report}")
    print(f"{time.time() - started:.0f} seconds, of which the processes computed {sum(use.ru_utime + use.ru_stime for use in used):.0f};"
          f" peak memory of one process {peak:.1f} GiB")  # fmt: skip


if __name__ == "__main__":
    grid.stop_in_one_line(main)
