"""The whole grid in miniature: no start, nine intermediate tasks and all nine together, nine targets, three seeds, on two CPU cores.

    python -m samples.grid --output_dir out/grid        (or: recipes/miniature_grid.sh)

The cells are shared among --jobs processes of one thread each; a process imports once and calls the scripts' own main(). What a cell prints
stands in FOLDER.log. Run again, finished cells are skipped and cut-off ones go on. Ends with run_report.py. `samples/demo.py`
runs some of the same cells.
"""

import argparse
import os
import sys
import time
import traceback
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from results import release
from samples.lexicon import LANGUAGES
from samples.write_data import output_folder
from task_adapters import TASKS, InputError, nearest

ENCODER = "samples/encoder"
DATA = "samples/data"
TOGETHER = "all"
STARTS = (None, *(name for name, task in TASKS.items() if task.phase == "intermediate"), TOGETHER)
TARGETS = tuple(name for name, task in TASKS.items() if task.phase != "intermediate")
SEEDS = (42, 43, 44)
SMALL = ("--num_train_epochs 4 --learning_rate 5e-4 --max_seq_length 128 --use_cpu --disable_tqdm true"
         " --logging_steps 100000 --eval_steps 200 --save_steps 200").split()  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One command. start: None without intermediate training; after: the folder of the run whose model it takes, None for the encoder."""

    script: str
    task: str
    start: str | None
    folder: str
    flags: tuple[str, ...]
    after: str | None = None

    @property
    def argv(self) -> list[str]:
        return [f"{self.script}.py", "--task", self.task, "--output_dir", self.folder, *self.flags]


def whole_batch(task) -> list[str]:
    """A step's examples at once: the models are so small that a second micro-batch costs more than its padding."""
    batch = TASKS[STARTS[1] if task == TOGETHER else task].recipes["jiant"].effective_batch_size
    return ["--per_device_train_batch_size", str(batch)]


def cells(output_dir, starts=STARTS, targets=TARGETS, seeds=SEEDS, data_dir=DATA, training=()) -> list[Cell]:
    """Every command of a grid, each after the one that it builds on. training: more flags for those that train."""
    found = []
    for seed in seeds:
        for start in starts:
            model = f"{output_dir}/seed{seed}/{start}" if start else None
            common = ["--model_name_or_path", model or ENCODER, "--data_dir", data_dir]
            trained = [*SMALL, "--seed", str(seed), *training]
            if start:
                flags = ["--model_name_or_path", ENCODER, "--data_dir", data_dir, *whole_batch(start), *trained]
                found.append(Cell("run_intermediate", start, start, model, tuple(flags)))
            for target in targets:
                flags = [*common, "--languages", *sorted(set(TASKS[target].languages) & set(LANGUAGES))]
                folder = f"{model or f'{output_dir}/seed{seed}/none'}/{target}"
                if TASKS[target].phase == "target":
                    found.append(Cell("run_target", target, start, folder, (*flags, *whole_batch(target), *trained), model))
                elif start or seed == seeds[0]:  # nothing is drawn where nothing is trained
                    folder = folder if start else f"{output_dir}/none/{target}"
                    found.append(Cell("run_retrieval", target, start, folder, (*flags, "--layer", "2", "--use_cpu"), model))
    return found


def call(cell: Cell) -> dict:
    """Runs a cell in this process. -> what stands in its results.json"""
    import run_intermediate
    import run_retrieval
    import run_target

    scripts = {"run_intermediate": run_intermediate, "run_target": run_target, "run_retrieval": run_retrieval}
    sys.argv = cell.argv
    return scripts[cell.script].main()


def call_logged(cell: Cell) -> tuple[float, str | None]:
    """Runs a cell in a worker, its output in FOLDER.log. -> (seconds, the error's last line or None)"""
    log = Path(cell.folder + ".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.time()
    with log.open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1), os.dup2(file.fileno(), 2)
        print(f"python {' '.join(cell.argv)}", flush=True)
        try:
            call(cell)
        except (Exception, SystemExit) as error:  # the other cells go on; the whole story stands in the log
            traceback.print_exc()
            return time.time() - started, f"{type(error).__name__}: {error}"
        finally:
            release()  # this process lives on
            sys.stdout.flush(), sys.stderr.flush()
    return time.time() - started, None


def run_all(todo: list[Cell], jobs: int) -> dict[str, str]:
    """Runs all cells, each when the one it builds on is done. -> {folder: error} of those that failed or could not start"""
    os.environ["OMP_NUM_THREADS"] = "1"  # tiny models gain nothing from a second thread, and the workers would fight for the cores
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    failed, done, durations, started = {}, set(), [], time.time()
    waiting = sorted(todo, key=lambda cell: cell.script != "run_intermediate")  # the long ones first, and what others wait for
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        running = {}
        while waiting or running:
            for cell in list(waiting):
                if cell.after in failed:
                    failed[cell.folder] = f"not run: {cell.after} failed"
                    waiting.remove(cell)
                elif len(running) < jobs and (cell.after is None or cell.after in done):
                    was_there = Path(cell.folder, "results.json").is_file()
                    running[pool.submit(call_logged, cell)] = cell, was_there
                    waiting.remove(cell)
            for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
                cell, was_there = running.pop(future)
                seconds, error = future.result()
                if error:
                    failed[cell.folder] = error
                elif not was_there:
                    durations.append(seconds)
                done.add(cell.folder)
                left = len(waiting) + len(running)
                to_go = f"{left * sum(durations) / len(durations) / jobs / 60:.0f} min to go" if durations else "finished before"
                state = f"FAILED ({error}; {cell.folder}.log)" if error else "was there" if was_there else f"{seconds:.0f} s"
                place = f"[{len(todo) - left}/{len(todo)}, {(time.time() - started) / 60:.0f} min]"
                print(f"{place} {cell.folder}: {state}; {to_go}", flush=True)
    return failed


def make_world():
    """Writes the miniature world's datasets (no raw text), unless they are there and whole, from the generator as it is now."""
    from samples.write_data import MARKER, generator, write_all

    marker = Path(DATA, MARKER)
    if not marker.is_file() or marker.read_text() != generator():
        print("writing the miniature world: eight languages, eighteen data sets (about half a minute, once) ...", flush=True)
        write_all(DATA, with_text=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output_dir", type=output_folder, default="out/grid")
    parser.add_argument("--jobs", type=int, default=2, help="processes, of one thread each")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--starts", nargs="+", default=[start or "none" for start in STARTS], help="none: no intermediate training")
    parser.add_argument("--targets", nargs="*", default=list(TARGETS), help="none at all: intermediate training alone")
    parser.add_argument("--data_dir", help=f"in place of {DATA}")
    parser.add_argument("--num_train_epochs", help="in place of 4")
    parser.add_argument("--max_train_samples", help="for a quick look: train on this many examples")
    args = parser.parse_args()
    for name, given, known in (("start", args.starts, [start or "none" for start in STARTS]), ("target", args.targets, TARGETS)):
        for value in given:
            if value not in known:
                raise InputError(f"Unknown {name} {value!r}. {nearest(value, known)}")
    for name in ("seeds", "starts", "targets"):
        given = getattr(args, name)
        if len(set(given)) < len(given):  # two workers would write to one folder
            raise InputError(f"--{name} {' '.join(map(str, given))}: one is named twice.")
    if args.jobs < 1:
        raise InputError(f"--jobs {args.jobs}: at least 1.")
    if not args.data_dir:
        make_world()
    starts = [None if start == "none" else start for start in args.starts]
    given = {f"--{name}": getattr(args, name) for name in ("num_train_epochs", "max_train_samples")}
    training = [word for flag, value in given.items() if value for word in (flag, value)]
    todo = cells(args.output_dir, starts, args.targets, args.seeds, args.data_dir or DATA, training)
    try:
        failed = run_all(todo, args.jobs)
    except BrokenProcessPool:
        sys.exit("samples.grid: a worker was killed (too little memory?). Run the same command again: it goes on where it stood.")

    from run_report import write_report

    if len(failed) < len(todo):
        print(f"\n{write_report([args.output_dir], Path(args.output_dir, 'report'))}")
    if failed:
        print(f"\n{len(failed)} of {len(todo)} cells failed; run the same command again for these alone:", file=sys.stderr)
        for folder, error in failed.items():
            print(f"  {folder}: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(f"samples.grid: error: {error}", file=sys.stderr)
        sys.exit(2)
