"""The whole method in miniature, offline: baseline and two intermediate tasks, five targets, a table and a picture.

    make demo        (or: python -m samples.demo --output_dir out/demo)

Calls the three scripts' own main() with the flags that a user would type; everything that it prints can be typed.
"""

import argparse
import hashlib
import sys
import time
from pathlib import Path

ENCODER = "samples/encoder"
DATA = "samples/data"
INTERMEDIATE = ("mnli", "squad_v1")
LANGUAGES = {
    "xnli": "ar de en es fr ru tr zh".split(),
    "udpos": "ar de en es fr ru tr zh".split(),
    "xquad": "ar de en es ru tr zh".split(),
    "bucc": "de fr ru zh".split(),
    "tatoeba": "ar de es fr ru tr zh".split(),
}
TARGETS = tuple(LANGUAGES)
METRIC = {"xnli": "accuracy", "udpos": "f1", "xquad": "f1", "bucc": "f1", "tatoeba": "accuracy"}
SMALL = ("--learning_rate 1e-3 --max_seq_length 128 --per_device_train_batch_size 16 --use_cpu --disable_tqdm true"
         " --logging_steps 100000 --eval_steps 200 --save_steps 200").split()  # fmt: skip
EPOCHS = {"mnli": 3, "squad_v1": 3, "xnli": 3, "udpos": 3, "xquad": 3}


def commands(output_dir):
    """Every command of the demo: (script, task, folder, flags). A start, then its targets."""
    for start in (None, *INTERMEDIATE):
        model = f"{output_dir}/{start}" if start else ENCODER
        if start:
            yield "run_intermediate", start, model, ["--model_name_or_path", ENCODER, "--num_train_epochs", EPOCHS[start], *SMALL]
        for target in TARGETS:
            folder, flags = f"{output_dir}/{start or 'none'}/{target}", ["--model_name_or_path", model, "--languages", *LANGUAGES[target]]
            if target in EPOCHS:
                yield "run_target", target, folder, [*flags, "--num_train_epochs", EPOCHS[target], *SMALL]
            else:
                yield "run_retrieval", target, folder, [*flags, "--layer", 2, "--use_cpu"]


def chance(target, output_dir):
    """What answering without looking scores: one label for all, the most frequent tag, one candidate of all; an empty answer."""
    from predictions import read_labels
    from task_adapters import TASKS

    scores = []
    for language in LANGUAGES[target]:
        if target in ("xquad", "bucc"):
            scores.append(0.0)
            continue
        gold = read_labels(f"{output_dir}/none/{target}/labels", target, language)
        if target == "tatoeba":
            scores.append(100 / len(gold))
        else:
            flat = [tag for tags in gold for tag in tags] if target == "udpos" else gold
            most = max(sorted(set(flat)), key=flat.count)
            guess = [[most] * len(tags) for tags in gold] if target == "udpos" else [most] * len(gold)
            scores.append(TASKS[target].metric(gold, guess, language)[METRIC[target]])
    return sum(scores) / len(scores)


def table(results, chances):
    """The paper's kind of table: a row per start; English and the mean over the other languages, with the difference to no start."""
    columns = [(target, part) for target in TARGETS for part in (("en", "others") if "en" in LANGUAGES[target] else ("others",))]

    def value(start, target, part):
        scores = {language: score[METRIC[target]] for language, score in results[start, target]["scores"].items()}
        others = [score for language, score in scores.items() if language != "en"]
        return scores["en"] if part == "en" else sum(others) / len(others)

    lines = [f"{'':<12}" + "".join(f"{target:>15}" for target, _ in columns)]
    lines.append(f"{'trained on':<12}" + "".join(f"{part:>15}" for _, part in columns))
    rows = {}
    for start in (None, *INTERMEDIATE):
        rows[start] = [value(start, *column) for column in columns]
        cells = (f"{x:.1f}" if start is None else f"{x:.1f} ({x - base:+.1f})" for x, base in zip(rows[start], rows[None]))
        lines.append(f"{start or 'nothing':<12}" + "".join(f"{cell:>15}" for cell in cells))
    lines.append(f"{'chance':<12}" + "".join(f"{chances[target]:>15.1f}" for target, _ in columns))
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
        bars = axes.bar([x + shift * width for x in range(len(places))], [values[i] for i in places], width, label=start or "nothing")
        axes.bar_label(bars, fmt="%.0f", fontsize=8)
    axes.set_xticks([x + width * (len(rows) - 1) / 2 for x in range(len(places))], [columns[i][0] for i in places])
    axes.set_ylabel("score, mean over unseen languages")
    axes.set_ylim(0, 100)
    axes.legend(title="intermediate training on", frameon=False, ncols=len(rows))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def make_world():
    """Writes the miniature world's data, unless they are there and whole, from the generator as it is now."""
    from samples.write_data import write_all

    code = sorted(path for pattern in ("*.py", "lexicon/*.txt") for path in Path(__file__).parent.glob(pattern))
    key = hashlib.sha256(b"".join(path.read_bytes() for path in code if path.name not in ("demo.py", "pretrain.py"))).hexdigest()
    marker = Path(DATA, "written_by")
    if not marker.is_file() or marker.read_text() != key:
        print("writing the miniature world: eight languages, eighteen data sets (about half a minute) ...", flush=True)
        write_all(DATA)
        marker.write_text(key)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output_dir", default="out/demo")
    args = parser.parse_args()
    started = time.time()
    import run_intermediate
    import run_retrieval
    import run_target

    make_world()
    scripts = {"run_intermediate": run_intermediate, "run_target": run_target, "run_retrieval": run_retrieval}
    results = {}
    for script, task, folder, flags in commands(args.output_dir):
        argv = [f"{script}.py", "--task", task, "--data_dir", DATA, "--output_dir", folder, *map(str, flags)]
        print(f"\n[{time.time() - started:.0f} s] python {' '.join(argv)}", flush=True)
        sys.argv = argv
        outcome = scripts[script].main()
        if script != "run_intermediate":
            start = Path(folder).parent.name
            results[None if start == "none" else start, task] = outcome
    text, columns, rows = table(results, {target: chance(target, args.output_dir) for target in TARGETS})
    Path(args.output_dir, "table.txt").write_text(text + "\n", encoding="utf-8")
    picture(columns, rows, Path(args.output_dir, "table.png"))
    print(f"\n{text}\n\nsame table: {args.output_dir}/table.txt, picture: {args.output_dir}/table.png, {time.time() - started:.0f} seconds")


if __name__ == "__main__":
    main()
