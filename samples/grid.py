"""The whole grid on miniature data: the baseline, nine intermediate tasks, all nine together; nine targets, three seeds; on two CPU cores.

    python -m samples.grid --output_dir out/grid        (or: recipes/miniature_grid.sh)

A cell is one command of the grid. --jobs worker processes of one thread each run the cells. A worker imports torch and transformers once
and then calls the scripts' own main(). Everything that a cell prints is in FOLDER.log. Run the command again: finished cells are skipped,
cells that were cut off go on. At the end comes the report of run_report.py. `samples/demo.py` runs some of the same cells.
"""

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path

from results import release
from run_log import close_log
from samples.lexicon import LANGUAGES
from samples.write_data import output_folder
from task_adapters import PAPERS_TASKS, TASKS, InputError, nearest
from task_adapters.errors import OneLineParser

ENCODER = "samples/encoder"
DATA = "samples/data"
TOGETHER = "all"
STARTS = (None, *(name for name in PAPERS_TASKS if TASKS[name].phase == "intermediate"), TOGETHER)
TARGETS = tuple(name for name in PAPERS_TASKS if TASKS[name].phase != "intermediate")
SEEDS = (42, 43, 44)
SMALL = ("--num_train_epochs 4 --learning_rate 5e-4 --max_seq_length 128 --use_cpu --disable_tqdm true"
         " --logging_steps 100000 --eval_steps 200 --save_steps 200").split()  # fmt: skip


# The models are so small that a second thread gains nothing, and threads that wait by spinning take the cores from the other worker.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}
SHOWN_OF_LOG = 8  # lines of a failed cell


@dataclass(frozen=True)
class Cell:
    """One command. start: the intermediate task, None for the baseline; after: the folder of the run whose model it takes, or None."""

    script: str
    task: str
    start: str | None
    folder: str
    flags: tuple[str, ...]
    after: str | None = None

    @property
    def argv(self) -> list[str]:
        return [f"{self.script}.py", "--task", self.task, "--output_dir", self.folder, *self.flags]

    @property
    def command(self) -> str:
        return f"python {' '.join(self.argv)}"

    @property
    def log(self) -> Path:
        return Path(self.folder + ".log")


def whole_batch(task) -> list[str]:
    """Flags that put all examples of a step into one batch: with models this small, a second batch costs more than padding does."""
    batch = TASKS[STARTS[1] if task == TOGETHER else task].recipes["jiant"].effective_batch_size
    return ["--per_device_train_batch_size", str(batch)]


def cells(output_dir, starts=STARTS, targets=TARGETS, seeds=SEEDS, data_dir=DATA, training=()) -> list[Cell]:
    """Every command of a grid, each after the one whose model it takes. training: more flags for the commands that train."""
    commands = []
    for seed in seeds:
        for start in starts:
            model = f"{output_dir}/seed{seed}/{start}" if start else None
            common = ["--model_name_or_path", model or ENCODER, "--data_dir", data_dir]
            trained = [*SMALL, "--seed", str(seed), *training]
            if start:
                flags = ["--model_name_or_path", ENCODER, "--data_dir", data_dir, *whole_batch(start), *trained]
                commands.append(Cell("run_intermediate", start, start, model, tuple(flags)))
            for target in targets:
                flags = [*common, "--languages", *sorted(set(TASKS[target].languages) & set(LANGUAGES))]
                folder = f"{model or f'{output_dir}/seed{seed}/none'}/{target}"
                if TASKS[target].phase == "target":
                    commands.append(Cell("run_target", target, start, folder, (*flags, *whole_batch(target), *trained), model))
                elif start or seed == seeds[0]:  # retrieval with the encoder as it is draws no random numbers: one seed is all seeds
                    folder = folder if start else f"{output_dir}/none/{target}"
                    commands.append(Cell("run_retrieval", target, start, folder, (*flags, "--layer", "2", "--use_cpu"), model))
    return commands


def call_logged(cell: Cell) -> tuple[float, str | None]:
    """Runs a cell in this worker process, its output in FOLDER.log. -> (seconds, the error in one line or None)"""
    started = time.time()
    with cell.log.open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1), os.dup2(file.fileno(), 2)
        print(cell.command, flush=True)
        try:
            import run_intermediate
            import run_retrieval
            import run_target

            sys.argv = cell.argv
            {"run_intermediate": run_intermediate, "run_target": run_target, "run_retrieval": run_retrieval}[cell.script].main()
        except (Exception, SystemExit) as error:  # the worker has more cells to run; the whole traceback is in the log
            traceback.print_exc()
            close_log(f"error: {type(error).__name__}: {error}")
            return time.time() - started, " ".join(f"{type(error).__name__}: {error}".split())
        finally:
            release()  # the process goes on after this run, so it gives up the run's lock
            close_log("finished")
            sys.stdout.flush(), sys.stderr.flush()
    return time.time() - started, None


def run_all(todo: list[Cell], jobs: int, show: Callable[[Cell], str] | None = None) -> dict[str, str]:
    """Runs all cells, each when the one whose model it takes is done. -> {folder: error} of those that failed or could not start

    jobs: worker processes; show: what to print when a cell begins. When a cell ends a line says so, and a failed cell shows the end of
    its log. Every worker ends when this process does, whatever ends it.
    """
    os.environ.update(ONE_THREAD)
    try:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:
            try:
                return share_out(pool, todo, jobs, show)
            except BaseException:  # above all Ctrl-C: the pool would wait until the running cells are done
                for worker in active_children():
                    worker.kill()
                raise
    except BrokenProcessPool:
        sys.exit("A worker process was killed (too little memory?). Run the same command again: it goes on where it stopped.")


def share_out(pool, todo, jobs, show) -> dict[str, str]:
    """The loop of `run_all`: at most `jobs` cells are with the pool at a time."""
    failed, done, durations, running, started = {}, set(), [], {}, time.time()
    # The long ones first, which others wait for too; the short ones last, so that no worker is idle for long at the end.
    waiting = sorted(todo, key=lambda cell: ("run_intermediate", "run_target", "run_retrieval").index(cell.script))
    workers = set()
    while waiting or running:
        # The pool may overlook the death of a worker that it has just started: it waits for the workers that were there before.
        before, workers = workers, set(active_children())
        if before - workers:
            raise BrokenProcessPool("a worker is gone")
        for cell in list(waiting):
            if cell.after in failed:
                failed[cell.folder] = f"not run: {cell.after} failed"
                waiting.remove(cell)
            elif len(running) < jobs and (cell.after is None or cell.after in done):
                if show:
                    print(show(cell), flush=True)
                is_finished = Path(cell.folder, "results.json").is_file()
                running[submit(pool, cell)] = cell, is_finished
                waiting.remove(cell)
        for future in wait(running, timeout=1, return_when=FIRST_COMPLETED).done if running else ():
            cell, was_finished = running.pop(future)
            seconds, error = future.result()
            if error:
                failed[cell.folder] = error
            elif not was_finished:
                durations.append(seconds)
            done.add(cell.folder)
            left = len(waiting) + len(running)
            to_go = f"about {clock(left * sum(durations) / len(durations) / jobs)} to go" if durations else "finished before"
            state = f"FAILED ({error}; {cell.log})" if error else "was there" if was_finished else clock(seconds)
            print(f"[{len(todo) - left}/{len(todo)}, {clock(time.time() - started)}] {cell.folder}: {state}; {to_go}", flush=True)
            if error:
                print(end_of_log(cell), flush=True)
    return failed


def submit(pool, cell):
    """Gives a cell to the pool, which may start a worker for it. A worker inherits that SIGINT is blocked: Ctrl-C, which a terminal sends
    to all processes, is for this one alone. Here it waits until the worker has all that it needs to start.

    Raises InputError where the cell's log cannot be written.
    """
    try:
        cell.log.parent.mkdir(parents=True, exist_ok=True)
        cell.log.touch()
    except OSError as error:
        raise InputError(f"{cell.log} cannot be written: {error.strerror}.") from error
    pressed = []
    handler = signal.signal(signal.SIGINT, lambda *_: pressed.append(True))  # a thread of a library may get the signal and not block it
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(call_logged, cell)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
        if pressed:
            raise KeyboardInterrupt


def end_with_parent() -> None:
    """Makes a worker end when the process that started it is gone, however that was killed."""

    def wait_and_end():
        parent_process().join()
        os._exit(1)

    threading.Thread(target=wait_and_end, daemon=True).start()


def end_of_log(cell: Cell) -> str:
    lines = cell.log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"    {line}" for line in lines[-SHOWN_OF_LOG:])


def clock(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"


def stop_in_one_line(main) -> None:
    """Calls `main`. A user's mistake is one line and exit code 2, Ctrl-C one line and exit code 130."""
    # Ctrl-C kills the workers, and multiprocessing's tracker, a process of its own, would warn of the semaphores that they leave.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker")
    try:
        main()
    except InputError as error:
        print(f"{Path(sys.argv[0]).name}: error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\nstopped. Run the same command again: it goes on where it stopped.", file=sys.stderr)
        sys.exit(130)


def make_world():
    """Writes the miniature datasets, without raw text, unless the present generator has written them already."""
    from samples.write_data import MARKER, generator, write_all

    marker = Path(DATA, MARKER)
    if not marker.is_file() or marker.read_text() != generator():
        print("writing the miniature data: eight languages, eighteen datasets (about 20 seconds, once) ...", flush=True)
        write_all(DATA, with_text=False)


def main():
    parser = OneLineParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output_dir", type=output_folder, default="out/grid")
    parser.add_argument("--jobs", type=int, default=2, help="processes, of one thread each")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--starts", nargs="+", default=[start or "none" for start in STARTS], help="none is the baseline")
    parser.add_argument("--targets", nargs="*", default=list(TARGETS), help="without a name: intermediate training alone")
    parser.add_argument("--data_dir", help=f"in place of {DATA}")
    parser.add_argument("--num_train_epochs", help="in place of 4")
    parser.add_argument("--max_train_samples", help="for a quick look: train on this many examples")
    args = parser.parse_args()
    for kind, given, names in (("start", args.starts, [start or "none" for start in STARTS]), ("target", args.targets, TARGETS)):
        for name in given:
            if name not in names:
                raise InputError(f"Unknown {kind} {name!r}. {nearest(name, names)}")
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
    failed = run_all(todo, args.jobs)

    from run_report import write_report  # which reads pandas and matplotlib: the workers need neither

    if len(failed) < len(todo):
        print(f"\n{write_report([args.output_dir], Path(args.output_dir, 'report'))}")
    end_with(failed, todo)


def end_with(failed: dict[str, str], todo: list[Cell]) -> None:
    """Exit code 1 where cells failed, each in one line."""
    if failed:
        print(f"\n{len(failed)} of {len(todo)} cells failed; run the same command again for these alone:", file=sys.stderr)
        for folder, error in failed.items():
            print(f"  {folder}: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    stop_in_one_line(main)
