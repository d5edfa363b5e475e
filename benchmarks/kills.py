"""Kills runs before randomly chosen file operations and starts them again. Each must end with the results of an undisturbed run.

    python benchmarks/kills.py --kills 48                     # the miniature data; about 10 minutes on one core
    python benchmarks/kills.py --kills 6 --cases oracle clean_up --seed 3

A run counts its operations on files of its output folder (opening to write, moving, removing, making folders). SIGKILL ends the process
just before the chosen operation. One kill in four also cuts the file that was written last in half, as a power cut may. The benchmark then
starts the run again with the same command, and kills some runs a second time. It compares each run with the undisturbed one: all weights
bit by bit, scores, predictions, steps, training loss, tokens and the scores of checkpoint selection. No other files may be left in the
folder. The system must support fork.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # A forked process has only one thread of its parent.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from safetensors.torch import load_file

# Imported once, before runs are forked. These modules must not start a thread.
import run_intermediate
import run_retrieval
import run_target
from console import run_script
from task_adapters.errors import OneLineParser
from task_types import TASK_TYPES  # noqa: F401
from trainer import masked_lm, multitask, selection  # noqa: F401

SHORT = ("--use_cpu --disable_tqdm true --max_seq_length 64 --learning_rate 1e-3 --max_train_samples 150 --max_eval_samples 40"
         " --eval_strategy steps --eval_steps 8 --save_steps 8 --max_steps 21 --effective_batch_size 16"
         " --per_device_train_batch_size 8").split()  # fmt: skip
PREDICT = "--languages de en --max_predict_samples 60".split()
# Name: script, its flags, and the flags of an earlier run in the same folder (None: no earlier run). With one, --overwrite is given.
CASES = {
    "one_task": (run_intermediate, ["--task", "mnli", *SHORT], None),
    "several_tasks": (run_intermediate, ["--task", "mnli", "squad_v1", *SHORT], None),
    "masked_lm": (run_intermediate, ["--task", "mnli", "--mlm_languages", "de", "en", "--mlm_eval_samples", "20", *SHORT], None),
    "target": (run_target, ["--task", "xquad", *SHORT, *PREDICT], None),
    "oracle": (run_target, ["--task", "xnli", *SHORT, *PREDICT, "--oracle", "--select_on", "mean", "--recipe", "jiant"], None),
    "retrieval": (run_retrieval, ["--task", "tatoeba", "--languages", "de", "--layer", "1", "--use_cpu"], None),
    "clean_up": (run_target, ["--task", "udpos", *SHORT, *PREDICT, "--save_total_limit", "2"], None),
    "overwrite": (run_target, ["--task", "udpos", *SHORT, *PREDICT], ["--seed", "7"]),
}
# Operation: the index of its path among the arguments.
WRITES = {"os.rename": 1, "os.remove": 0, "os.rmdir": 0, "os.mkdir": 0, "shutil.rmtree": 0}


def run(script, argv, output_dir: Path, kill_at: int | None = None, log: Path | None = None) -> int:
    """Runs a command in a child process. Returns the number of its file operations below `output_dir`, or -1 if it was killed.

    kill_at  the process is killed before the operation of this number, counted from 0; None lets it end.
    log      the file to which its output is appended.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, 1), os.dup2(file, 2)
        operations = 0

        def watch(event, arguments):
            nonlocal operations
            if event == "open":
                path, mode, flags = arguments
                if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                    return
            elif event in WRITES:
                path = arguments[WRITES[event]]
            else:
                return
            if isinstance(path, str | os.PathLike) and os.path.abspath(path).startswith(f"{output_dir}/"):
                if operations == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                operations += 1

        sys.addaudithook(watch)
        sys.argv = [f"{script.__name__}.py", *argv]
        code = 1
        try:
            run_script(script.main)
            code = 0
        except SystemExit as error:
            code = error.code or 0
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os.write(writer, str(operations).encode())
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as counts:
        count = counts.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return -1
    assert os.WEXITSTATUS(status) == 0, f"{' '.join(argv)}: exit code {os.WEXITSTATUS(status)}\n{log.read_text()[-3000:]}"
    return int(count)


def outcome(folder: Path) -> dict:
    """Returns everything that is compared between two runs."""
    results = json.loads((folder / "results.json").read_text())
    training = results.get("training") or {}
    texts = {path.relative_to(folder): path.read_bytes() for name in ("predictions", "labels") for path in folder.glob(f"{name}/**/*.*")}
    tensors = {path.relative_to(folder): load_file(path) for path in folder.glob("**/*.safetensors")}
    names = ("scores", "mean", "dev", "dev_mean", "oracle", "mining", "seed_used", "failed_tries", "selected_on", "lineage")
    training_names = ("steps", "train_loss", "tokens", "best_step", "best_selection_score", "warning", "log", "mlm", "drawn")
    return {
        "results": {name: results.get(name) for name in names},
        "training": {name: without_times(training.get(name)) for name in training_names},
        "texts": texts,
        "tensors": tensors,
        "files": sorted(str(path.relative_to(folder)) for path in folder.rglob("*")),
    }


def without_times(log):
    """Returns log entries without the values that depend on the speed of the machine."""
    if not isinstance(log, list):
        return log
    return [{name: value for name, value in entry.items() if not name.endswith(("_runtime", "_per_second"))} for entry in log]


def difference(one: dict, other: dict) -> str | None:
    """Returns a description of the first difference of two outcomes; None if they are equal."""
    for part in ("results", "training", "texts", "files"):
        if one[part] != other[part]:
            return f"{part}: {one[part]} and {other[part]}"
    for path, tensors in one["tensors"].items():
        if set(tensors) != set(other["tensors"][path]):
            return f"{path} has other weights"
        for name, tensor in tensors.items():
            if not torch.equal(tensor, other["tensors"][path][name]):
                return f"{path}: {name} differs by up to {(tensor - other['tensors'][path][name]).abs().max():.1e}"
    return None


def seed_of(folder: Path) -> int | None:
    """The seed of the run that a folder holds; None where it holds none, or where run.json is torn."""
    try:
        return json.loads((folder / "run.json").read_text())["seed"]
    except (OSError, ValueError):
        return None


def cut_newest_file(folder: Path) -> str:
    """Cuts the file that was written last in half, except for run.lock. Returns its name.

    Files that were written within one tick of the clock have the same time. Where they lie in several folders nothing is cut: one of them
    may be on the disk already, because the run flushes the files of one folder before it writes into another.
    """
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "run.lock"]
    last = max((path.stat().st_mtime_ns for path in files), default=0)
    newest = sorted(path for path in files if path.stat().st_mtime_ns == last)
    if len({path.parent for path in newest}) != 1:
        return "nothing"
    os.truncate(newest[-1], newest[-1].stat().st_size // 2)
    return str(newest[-1].relative_to(folder))


def main():
    parser = OneLineParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--output_dir", default="out/kills", help="folder for the runs; removed first, and last if no run failed")
    parser.add_argument("--model_name_or_path", default="samples/encoder")
    parser.add_argument("--data_dir", default="samples/data")
    parser.add_argument("--mlm_data", default="samples/data/text", help="folder of de.txt and en.txt")
    args = parser.parse_args()
    for name in (args.data_dir, args.mlm_data):
        if not Path(name).is_dir():
            parser.error(f"there is no {name}: python -m samples.write_data writes samples/data with its texts")
    root, draw, failures = Path(args.output_dir).absolute(), random.Random(args.seed), []
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    common = ["--model_name_or_path", args.model_name_or_path, "--data_dir", args.data_dir]
    undisturbed = {}
    for number in range(args.kills):
        name = args.cases[number % len(args.cases)]
        script, flags, earlier_flags = CASES[name]
        log = root / f"{name}.log"
        flags = [*common, *flags, *(["--mlm_data", args.mlm_data] if name == "masked_lm" else [])]
        overwrite = ["--overwrite"] if earlier_flags else []

        def start(folder, *more, kill_at=None):
            return run(script, [*flags, "--output_dir", str(folder), *more], folder, kill_at, log)  # noqa: B023

        if name not in undisturbed:
            undisturbed_folder = root / name / "whole"
            if earlier_flags:
                start(undisturbed_folder, *earlier_flags)
            undisturbed[name] = start(undisturbed_folder, *overwrite), outcome(undisturbed_folder)
        operations, expected = undisturbed[name]
        folder, kills, cuts = root / name / f"kill{number}", [], ""
        if earlier_flags:
            start(folder, *earlier_flags)
        started = time.time()
        kill_at = draw.randrange(operations)
        again = overwrite
        while start(folder, *again, kill_at=kill_at) < 0:
            kills.append(kill_at)
            if overwrite and seed_of(folder) == 42:  # the earlier run is gone: the new one goes on without the flag
                again = []
            if draw.random() < 0.25:
                cuts += f", {cut_newest_file(folder)} cut in half"
            if len(kills) == 2 or draw.random() < 0.6:
                kill_at = None
            else:
                kill_at = draw.randrange(operations)
        fault = difference(expected, outcome(folder))
        if fault:
            failures.append(f"{name}, killed before operations {kills} of {operations}{cuts}: {fault[:2000]}")
        state = "FAILED" if fault else "same"
        print(f"[{number + 1}/{args.kills}] {name}: killed before operations {kills} of {operations}{cuts}: {state},"
              f" {time.time() - started:.0f} s", flush=True)  # fmt: skip
        if not fault:
            shutil.rmtree(folder)
    for failure in failures:
        print(failure, file=sys.stderr)
    if failures:
        sys.exit(1)
    shutil.rmtree(root)
    print(f"{args.kills} kills: every run ended with the same weights, scores, predictions and figures")


if __name__ == "__main__":
    main()
