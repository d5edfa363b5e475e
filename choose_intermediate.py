"""Which intermediate task to take for a target, without training the target.

    python choose_intermediate.py --task xquad --model_name_or_path ENCODER                    # sizes and texts
    python choose_intermediate.py --task xquad --model_name_or_path ENCODER --checkpoints out  # their checkpoints too
    python choose_intermediate.py --task xquad --model_name_or_path ENCODER --checkpoints out --steps 100   # and short runs
    python choose_intermediate.py --grid out --model_name_or_path ENCODER                      # how good is that?

Ranks by size, by likeness of the texts, by how well English labels of the target can be read off each intermediate checkpoint (LogME,
H-score), and with --steps by short runs of the target on a few hundred English rows. With --grid it says how good each ranking is on all
targets that were scored. See docs/choosing.md.
"""

import argparse

import numpy as np

from console import run_script, say
from task_adapters import PAPERS_TASKS, TASKS, InputError, get_task, nearest
from task_adapters.errors import OneLineParser

DEFAULT = [name for name in PAPERS_TASKS if TASKS[name].phase == "intermediate"]


def arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    parser.add_argument("--task", help="the target")
    parser.add_argument(
        "--model_name_or_path", help="the encoder that intermediate training starts from; with --grid: which of the grid's encoders"
    )
    parser.add_argument("--tasks", nargs="+", default=DEFAULT, help="the intermediate tasks to choose from; the paper's nine by default")
    parser.add_argument("--checkpoints", help="a folder with finished runs of run_intermediate.py: adds LogME and H-score")
    parser.add_argument("--grid", help="a folder with a finished grid: shows how good each ranking is on its targets")
    parser.add_argument("--data_dir", help="folder laid out by hub id, used instead of the hub")
    parser.add_argument("--rows", type=int, default=500, help="texts of each task that are embedded")
    parser.add_argument("--target_rows", type=int, default=300, help="English rows of the target that LogME, H-score and --steps read")
    parser.add_argument("--steps", type=int, help="also train the target for this many steps from each checkpoint, on --target_rows rows")
    parser.add_argument("--learning_rate", type=float, help="with --steps; the recipe's by default")
    parser.add_argument(
        "--output_dir", default="out/choosing", help="where the results of --steps are kept, to be read when it is run again"
    )
    parser.add_argument("--max_seq_length", type=int, default=128, help="longest input in tokens")
    parser.add_argument("--seed", type=int, default=42, help="draws the rows")
    parser.add_argument("--use_cpu", action="store_true", help="stay off the GPU")
    return parser.parse_args()


def main() -> dict:
    """Runs the script. -> {target: {method: {intermediate task: score}}}"""
    args = arguments(OneLineParser(description=__doc__.splitlines()[0]))
    check(args)
    from report.analysis import Analysis
    from report.choice import grid_of, judgement
    from report.collect import collect
    from trainer.choosing import Chooser

    targets, grid = [args.task] if args.task else [], None
    if args.grid:
        analysis = Analysis(collect([args.grid]).of_protocol(""), resamples=0)
        model = args.model_name_or_path or next(iter(analysis.models), None)
        if model not in analysis.models:
            raise InputError(f"--model_name_or_path {model}: not in --grid. {nearest(str(model), analysis.models)}")
        grid = grid_of(analysis, model, args.tasks)
        if len(grid.tasks) < 2 or not grid.scores:
            raise InputError(f"--grid {args.grid}: no target of {model} was scored after two of the intermediate tasks.")
        args.tasks = grid.tasks
        targets += [target for target in grid.scores if TASKS[target].phase == "target" and target not in targets]
    chooser = Chooser(args)
    found = {target: chooser.ranked(target) for target in targets}
    if args.task:
        say("\n".join(chooser.lines(args.task, found[args.task])))
    say("\n".join(chooser.costs()))
    if grid:
        methods = dict.fromkeys(name for by_method in found.values() for name in by_method)
        predictions = {
            method: {
                target: np.array([of_target[method][task] for task in grid.tasks])
                for target, of_target in found.items()
                if method in of_target
            }
            for method in methods
        }
        judged = [target for target in grid.scores if TASKS[target].phase == "target"]
        left_out = [target for target in grid.scores if target not in judged]
        if left_out:
            say(f"not judged, because a retrieval task has no labels to read: {', '.join(left_out)}")
        grid.scores = {target: grid.scores[target] for target in judged}
        say("\n".join(judgement(grid, predictions)) if judged else "no target to judge")
    return found


def check(args: argparse.Namespace) -> None:
    """Raises InputError for flags that are wrong by themselves."""
    if not args.task and not args.grid:
        raise InputError("--task is missing. For example: --task xquad")
    if not args.model_name_or_path and not args.grid:
        raise InputError("--model_name_or_path is missing. For example: --model_name_or_path FacebookAI/xlm-roberta-large")
    if args.task and args.task in TASKS and TASKS[args.task].phase == "retrieval":
        raise InputError(f"{args.task} is never trained: score each checkpoint with run_retrieval.py itself, which takes minutes.")
    if args.task:
        get_task(args.task, "target")
    for name in args.tasks:
        get_task(name, "intermediate")
        if args.tasks.count(name) > 1:
            raise InputError(f"--tasks names {name!r} {args.tasks.count(name)} times.")
    if len(args.tasks) < 2:
        raise InputError("--tasks names one task: there is nothing to choose.")
    for name, least in (("rows", 1), ("target_rows", 8), ("max_seq_length", 8)):
        if getattr(args, name) < least:
            raise InputError(f"--{name} {getattr(args, name)}: at least {least}.")
    args.checkpoints = args.checkpoints or args.grid
    if args.steps is not None:
        if args.steps < 1:
            raise InputError(f"--steps {args.steps}: at least 1.")
        if not args.checkpoints:
            raise InputError(f"--steps {args.steps} trains from intermediate checkpoints: add --checkpoints, or --grid.")
    if args.learning_rate is not None:
        if args.steps is None:
            raise InputError("--learning_rate has no effect without --steps. Leave it out, or add --steps.")
        if not args.learning_rate > 0:
            raise InputError(f"--learning_rate {args.learning_rate}: more than 0.")


if __name__ == "__main__":
    run_script(main)
