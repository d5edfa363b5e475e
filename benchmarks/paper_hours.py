"""Hours of one GPU for the paper's grid, from a measured speed: eleven starting points x seven trained targets, and retrieval.

    python benchmarks/paper_hours.py                              # the tokens, and the formula: no speed is invented
    python benchmarks/paper_hours.py --tokens_per_second 60000 --scoring_tokens_per_second 200000

Hours = real tokens / real tokens per second / 3600. Real tokens of a cell = rows of the task table x epochs of the recipe x tokens per row,
and its test rows once. Speeds are those of the model and GPU in question, counted in real tokens: training as benchmarks/throughput.py
measures it, scoring forward only. Tokens per row: with --data_dir or a hub, the mean of `make_features`' own rows for each task that is
there; else, and for all others, the mean of the tasks of the same type that were measured, which the table marks with ~.
"""

import argparse
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from dataclasses import replace

from benchmarks.flags import above_zero
from run_intermediate import ScriptArguments
from task_adapters import TASKS, InputError, labels_of, load_examples
from task_types import NEEDS_OFFSETS, TASK_TYPES, make_features

ROWS = 2000  # a task's mean is taken over this many of its English training rows


def total_rows(task, split):
    """Rows of all languages by the task table; 0 where the table names none."""
    for source in task.sources:
        if split in source.splits:
            found = [part.rows_expected(split, language) for language in task.languages for part in source.parts(split)]
            return sum(found) if None not in found else 0
    return 0


def train_rows(task):
    source = TASKS[task.train_on] if task.train_on else task
    part = next(source for source in source.sources if "train" in source.splits)
    return sum(piece.rows_expected("train", "en") or 0 for piece in part.parts("train"))


def tokens_per_row(task, tokenizer, data_dir):
    """The mean of real tokens over a task's English training rows, all windows and choices together; None where they are not here."""
    recipe, source = task.recipes["jiant"], TASKS[task.train_on] if task.train_on else task
    try:
        examples, _ = load_examples(source, "train", "en", data_dir, ROWS, 0)
    except InputError:
        return None
    features = make_features(
        examples, tokenizer, replace(source, labels=labels_of(source, examples)), recipe.max_seq_length, recipe.doc_stride
    )
    counts = [sum(map(len, row)) if row and isinstance(row[0], list) else len(row) for row in features["input_ids"][:]]
    return sum(counts) / len(examples)


def retrieval_tokens(task, tokenizer, data_dir):
    """Mean of both sides of a pair together."""
    for language in task.languages:
        try:
            examples, _ = load_examples(task, "test", language, data_dir)
        except InputError:
            continue
        return sum(len(ids) for name in ("source", "target") for ids in tokenizer(examples[name][:])["input_ids"]) / len(examples)
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens_per_second", type=above_zero, help="training, real tokens")
    parser.add_argument("--scoring_tokens_per_second", type=above_zero, help="scoring; left out: three times the training speed")
    parser.add_argument("--model_name_or_path", default="FacebookAI/xlm-roberta-large", help="whose tokenizer counts")
    parser.add_argument("--data_dir")
    args = parser.parse_args()

    from checkpoints import load_tokenizer

    tokenizer = load_tokenizer(args.model_name_or_path, needs_offsets=bool(NEEDS_OFFSETS))
    trained = [task for task in TASKS.values() if task.task_type in TASK_TYPES]
    measured = {task.name: tokens_per_row(task, tokenizer, args.data_dir) for task in trained}
    measured["tatoeba"] = retrieval_tokens(TASKS["tatoeba"], tokenizer, args.data_dir)
    training, scoring, unknown, rows_of_all, tokens_of_all = {}, {}, [], 0, 0.0
    print(
        f"{'task':<15}{'train rows':>12}{'epochs':>8}{'test rows':>11}{'tokens a row':>14}{'million tokens, training':>26}{'scoring':>10}"
    )
    for task in (*trained, TASKS["tatoeba"]):
        alike = [measured[other.name] for other in trained if other.task_type == task.task_type and measured[other.name]]
        mean = measured[task.name] or (statistics.fmean(alike) if alike else None)
        if mean is None:
            unknown.append(task.name)
            mean = 0.0
        epochs = task.recipes["jiant"].num_train_epochs if task.task_type in TASK_TYPES else 0
        rows, test = (train_rows(task) if epochs else 0), total_rows(task, "test")
        training[task.name], scoring[task.name] = rows * epochs * mean, test * mean
        if task.phase == "intermediate":
            rows_of_all += min(rows, ScriptArguments.sampling_cap)
            tokens_of_all += min(rows, ScriptArguments.sampling_cap) * epochs * mean
        mark = "" if measured[task.name] else "~" if mean else "unknown "
        print(f"{task.name:<15}{rows:>12,}{epochs:>8}{test:>11,}{mark + format(mean, '.1f'):>14}{training[task.name] / 1e6:>26,.1f}"
              f"{scoring[task.name] / 1e6:>10,.2f}")  # fmt: skip

    training["all"], scoring["all"] = tokens_of_all, 0.0
    print(f"{'all':<15}{rows_of_all:>12,}{'':>33}{tokens_of_all / 1e6:>26,.1f}{0:>10,.2f}")
    phase = {name: [task.name for task in TASKS.values() if task.phase == name] for name in ("intermediate", "target")}
    phase["intermediate"].append("all")  # of a task no more rows than the sampling cap
    starts = len(phase["intermediate"]) + 1  # and none
    all_training = sum(training[name] for name in phase["intermediate"]) + starts * sum(training[name] for name in phase["target"])
    all_scoring = starts * sum(scoring[name] for name in (*phase["target"], "tatoeba"))
    print(f"\nthe grid: {len(phase['intermediate'])} intermediate trainings (all: the others together, capped),"
          f" {starts} starts x {len(phase['target'])} targets and Tatoeba:"
          f" {all_training / 1e9:.2f} billion real tokens of training, {all_scoring / 1e9:.2f} billion of scoring; one seed")  # fmt: skip
    print("not in it: BUCC (the table has no row counts for it), dev scores, process starts, reading data")
    if unknown:
        print(f"counted as nothing, because no data of their kind is here to count tokens of: {', '.join(unknown)}")
    if args.tokens_per_second is None:
        print("hours = training tokens / training speed / 3600 + scoring tokens / scoring speed / 3600: give --tokens_per_second")
        return
    forward = args.scoring_tokens_per_second or 3 * args.tokens_per_second
    for name in (*phase["intermediate"], *phase["target"], "tatoeba"):
        print(f"{name:<15}{training[name] / args.tokens_per_second / 3600 + scoring[name] / forward / 3600:>8.2f} h a cell")
    print(f"{'the grid':<15}{all_training / args.tokens_per_second / 3600 + all_scoring / forward / 3600:>8.2f} h")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"paper_hours.py: error: {error}")
