"""Hours of one GPU for the paper's grid, from a measured speed: eleven starting points x seven trained targets, and retrieval.

    python benchmarks/paper_hours.py                              # without a speed: the numbers of tokens and the formula
    python benchmarks/paper_hours.py --tokens_per_second 60000 --scoring_tokens_per_second 200000
    python benchmarks/paper_hours.py --tokens_per_second 60000 --seconds_per_step 0.064      # a step never takes less time
    python benchmarks/paper_hours.py --tflops 400                 # an ESTIMATE for XLM-R Large on a GPU with this sustained speed

Hours = real tokens / real tokens per second / 3600. Real tokens of a cell = rows of the task table x epochs of the recipe x tokens per
row, plus the tokens of its test rows once. For the training on all nine tasks together, the script uses the steps and probabilities of
run_intermediate.py (`multitask.count_steps`). These count features, of which a long text has several, and at most the sampling cap per
task. Two numbers are unknown without all the data: the rows that a task drops (they are counted here), and the features of rows that were
not measured. Speeds are in real tokens per second, for the model and the GPU in question: training as benchmarks/throughput.py measures it,
scoring for forward passes only. Tokens and features per row are means of `make_features` for each task whose data are on the hub or in
--data_dir. For every other task they are the mean of the measured tasks of the same type; the table marks these with ~.

With --seconds_per_step S, the hours of a training = max(real tokens / real tokens per second, steps x S) / 3600, for each task, and each
cell's line says which of the two is larger. S is the time in which the host launches the kernels of one optimiser step with all its
micro-batches. Steps = features (rows x features per row) / the recipe's effective batch, rounded up, x epochs. If the steps decide, the GPU
waits for the host, and several cells at the same time (AT_ONCE of recipes/paper_grid.sh) need fewer hours than one after the other.
"""

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from dataclasses import replace

from benchmarks.flags import above_zero, existing_folder
from benchmarks.memory_formula import SHAPES, parameters_of
from console import run_script
from run_intermediate import ScriptArguments
from task_adapters import PAPERS_TASKS, TASKS, InputError, labels_of, load_examples
from task_adapters.errors import OneLineParser
from task_types import NEEDS_OFFSETS, TASK_TYPES, make_features
from trainer.multitask import count_steps, sampling_probabilities

ROWS = 2000  # The means of a task are taken over this many of its English training rows.


def total_rows(task, split):
    """Returns the number of rows of all languages in the task table; 0 if the table has none."""
    for source in task.sources:
        if split in source.splits:
            rows = [part.rows_expected(split, language) for language in task.languages for part in source.parts(split)]
            return sum(rows) if None not in rows else 0
    return 0


def train_rows(task):
    """Returns the number of English training rows in the task table."""
    english_task = TASKS[task.train_on] if task.train_on else task
    source = next(source for source in english_task.sources if "train" in source.splits)
    return sum(part.rows_expected("train", "en") or 0 for part in source.parts("train"))


def per_row(task, tokenizer, data_dir):
    """Returns (mean number of real tokens, mean number of features) of an English training row; None without the task's data.

    Windows and choices of one row are counted together.
    """
    recipe, source = task.recipes["jiant"], TASKS[task.train_on] if task.train_on else task
    try:
        examples, _ = load_examples(source, "train", "en", data_dir, ROWS, 0)
    except InputError:
        return None
    features = make_features(
        examples, tokenizer, replace(source, labels=labels_of(source, examples)), recipe.max_seq_length, recipe.doc_stride
    )
    counts = [sum(map(len, row)) if row and isinstance(row[0], list) else len(row) for row in features["input_ids"][:]]
    return sum(counts) / len(examples), len(features) / len(examples)


def retrieval_per_row(task, tokenizer, data_dir):
    """Returns the same two means for a pair of sentences, both sides together."""
    for language in task.languages:
        try:
            examples, _ = load_examples(task, "test", language, data_dir)
        except InputError:
            continue
        return sum(len(ids) for name in ("source", "target") for ids in tokenizer(examples[name][:])["input_ids"]) / len(examples), 2.0
    return None


def main():
    parser = OneLineParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens_per_second", type=above_zero, help="speed of training, in real tokens")
    parser.add_argument("--scoring_tokens_per_second", type=above_zero, help="speed of scoring; default: three times the training speed")
    parser.add_argument("--tflops", type=above_zero, help="in place of a measured speed: model TFLOP/s that the GPU sustains, an ESTIMATE")
    parser.add_argument("--seconds_per_step", type=above_zero, help="the shortest time of an optimiser step")
    parser.add_argument("--model_name_or_path", default="FacebookAI/xlm-roberta-large", help="the model whose tokenizer counts tokens")
    parser.add_argument("--data_dir", type=existing_folder)
    args = parser.parse_args()
    if args.tflops and args.tokens_per_second:
        parser.error("--tflops stands in the place of --tokens_per_second: give one of them")
    if args.scoring_tokens_per_second and not args.tokens_per_second:
        parser.error("--scoring_tokens_per_second goes with --tokens_per_second")
    if args.seconds_per_step and not (args.tokens_per_second or args.tflops):
        parser.error("--seconds_per_step goes with --tokens_per_second or --tflops")

    from trainer.tokenizers import load_tokenizer

    tokenizer = load_tokenizer(args.model_name_or_path, needs_offsets=bool(NEEDS_OFFSETS))
    trained = [TASKS[name] for name in PAPERS_TASKS if TASKS[name].task_type in TASK_TYPES]
    measured = {task.name: per_row(task, tokenizer, args.data_dir) for task in trained}
    measured["tatoeba"] = retrieval_per_row(TASKS["tatoeba"], tokenizer, args.data_dir)
    training, scoring, unknown, sizes, tokens_of_feature, steps = {}, {}, [], {}, {}, {}
    print(f"{'task':<15}{'train rows':>12}{'epochs':>8}{'test rows':>11}{'tokens a row':>14}{'features a row':>16}"
          f"{'million tokens, training':>26}{'scoring':>10}")  # fmt: skip
    for task in (*trained, TASKS["tatoeba"]):
        same_type = [measured[other.name] for other in trained if other.task_type == task.task_type and measured[other.name]]
        mean, features = measured[task.name] or (tuple(map(statistics.fmean, zip(*same_type))) if same_type else (None, 1.0))
        if mean is None:
            unknown.append(task.name)
            mean = 0.0
        recipe = task.recipes["jiant"] if task.task_type in TASK_TYPES else None
        epochs = recipe.num_train_epochs if recipe else 0
        rows, test = (train_rows(task) if epochs else 0), total_rows(task, "test")
        training[task.name], scoring[task.name] = rows * epochs * mean, test * mean
        size = round(rows * features)
        steps[task.name] = count_steps({task.name: size}, size, epochs, recipe.effective_batch_size) if recipe and mean else 0
        if task.phase == "intermediate":
            sizes[task.name], tokens_of_feature[task.name] = size, mean / features
        mark = "" if measured[task.name] else "~" if mean else "unknown "
        print(f"{task.name:<15}{rows:>12,}{epochs:>8}{test:>11,}{mark + format(mean, '.1f'):>14}{features:>16.3f}"
              f"{training[task.name] / 1e6:>26,.1f}{scoring[task.name] / 1e6:>10,.2f}")  # fmt: skip

    cap, recipe = ScriptArguments.sampling_cap, TASKS[next(iter(sizes))].recipes["jiant"]  # all nine have the same
    steps["all"] = count_steps(sizes, cap, recipe.num_train_epochs, recipe.effective_batch_size)
    shares = sampling_probabilities(sizes, ScriptArguments.sampling, cap)
    training["all"] = steps["all"] * recipe.effective_batch_size * sum(share * tokens_of_feature[name] for name, share in shares.items())
    scoring["all"] = 0.0
    print(f"{'all':<15}{steps['all']:>12,} steps of {recipe.effective_batch_size} features, {cap:,} of a task at most"
          f"{training['all'] / 1e6:>35,.1f}{0:>10,.2f}")  # fmt: skip
    phase = {name: [task for task in PAPERS_TASKS if TASKS[task].phase == name] for name in ("intermediate", "target")}
    phase["intermediate"].append("all")
    starts = len(phase["intermediate"]) + 1  # and none
    all_training = sum(training[name] for name in phase["intermediate"]) + starts * sum(training[name] for name in phase["target"])
    all_scoring = starts * sum(scoring[name] for name in (*phase["target"], "tatoeba"))
    print(f"\nthe grid: {len(phase['intermediate'])} intermediate trainings (all: the others together, capped),"
          f" {starts} starts x {len(phase['target'])} targets and Tatoeba:"
          f" {all_training / 1e9:.2f} billion real tokens of training, {all_scoring / 1e9:.2f} billion of scoring; one seed")  # fmt: skip
    print("not in it: BUCC (the table has no row counts for it), dev scores, process starts, reading data")
    if unknown:
        print(f"counted as nothing, because no data of their kind is here to count tokens of: {', '.join(unknown)}")
    if args.tflops:
        width, layers, *_ = SHAPES["xlmr-large"]
        of_token = 6 * parameters_of(*SHAPES["xlmr-large"])[2] + 12 * layers * width * 128  # attention at a length of 128: 2% of it
        args.tokens_per_second = args.tflops * 1e12 / of_token
        print(f"ESTIMATE: {args.tflops:g} TFLOP/s are {args.tokens_per_second:,.0f} tokens of XLM-R Large a second in training")
    if args.tokens_per_second is None:
        print(
            "hours = training tokens / training speed / 3600 + scoring tokens / scoring speed / 3600: give --tokens_per_second or --tflops"
        )
        return
    forward = args.scoring_tokens_per_second or 3 * args.tokens_per_second
    step = args.seconds_per_step or 0.0
    hours = {}
    for name in (*phase["intermediate"], *phase["target"], "tatoeba"):
        by_tokens, by_steps = training[name] / args.tokens_per_second, steps[name] * step
        hours[name] = max(by_tokens, by_steps) / 3600 + scoring[name] / forward / 3600
        bound = f", bound by {'steps' if by_steps > by_tokens else 'tokens'}" if step and training[name] else ""
        print(f"{name:<15}{hours[name]:>8.2f} h a cell{bound}")
    total = sum(hours[name] for name in phase["intermediate"]) + starts * sum(hours[name] for name in (*phase["target"], "tatoeba"))
    print(f"{'the grid':<15}{total:>8.2f} h")


if __name__ == "__main__":
    run_script(main)
