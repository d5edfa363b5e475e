"""What a run writes down, and how it is read again.

run.json      what the run is (task, model, settings); written first. A folder with it and without results.json is unfinished.
starts.json   how long each start of an unfinished run lasted (`note_time`).
run.lock      locked by the process that is at work in the folder (`hold`); of no meaning by itself.
results.json  scores, lineage, data, recipe, versions, time; written last, in one move. A folder with it is finished.
"""

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

from console import is_main_process, say
from metrics import XTREME_METRIC, xtreme_task_score
from task_adapters.base import InputError, Task

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

PACKAGES = ("torch", "transformers", "datasets", "accelerate", "deepspeed", "tokenizers", "numpy", "pyarrow", "huggingface_hub")
OWN_FILES = ("results.json", "config.json", "model*.safetensors*", "tokenizer*", "special_tokens_map.json",
             "added_tokens.json", "sentencepiece.bpe.model", "training_args.bin", "predictions", "labels", "heads", "oracle",
             "checkpoint-*", "failed_tries.json", "run.json")  # fmt: skip
# Without run.lock: who removed it while it is locked, and made it anew, would hold another one.

# ---- what a run is (`training.describe_run`), here because `grid_table.py`, which compares runs by it, needs no torch

# What changes a score, beside task, model, seed and languages; world size and batch per device do not.
SETTINGS = ("learning_rate", "num_train_epochs", "max_steps", "warmup_steps", "lr_scheduler_type", "weight_decay", "adam_epsilon",
            "max_grad_norm", "eval_strategy", "eval_steps", "load_best_model_at_end", "bf16", "fp16", "optim",
            "train_sampling_strategy")  # fmt: skip
# As much, and hardly ever set: named only where they are not the library's defaults.
RARE_SETTINGS = ("adam_beta1", "adam_beta2", "lr_scheduler_kwargs", "optim_args", "neftune_noise_alpha", "dataloader_drop_last",
                 "bf16_full_eval", "fp16_full_eval", "tf32", "torch_compile")  # fmt: skip
OUR_SETTINGS = ("max_seq_length", "doc_stride", "no_answer_threshold", "max_train_samples", "max_eval_samples", "max_predict_samples",
                "languages", "freeze_embeddings", "padding_free")  # fmt: skip
# Other data than the hub's English, chosen by English dev, read otherwise. Named only where they differ.
DATA_SETTINGS = {
    "train_languages": ["en"],
    "train_file": [],
    "select_on": "en",
    "oracle": False,
    "label_piece": "first",
    "normalize": "as_is",
    "tokenizer_as_loaded": False,
}
# What a score does not depend on, but the checkpoints that a run goes on from. Named only where it differs.
LAYOUT = {"trim_embeddings": "auto"}
TOGETHER = ("sampling", "sampling_cap", "temperature")  # of several tasks
MASKED_LM = ("mlm_languages", "mlm_data", "mlm_share", "mlm_alpha", "mlm_eval_samples")  # of masked LM beside
# All of these that a score depends on: `languages` says which there are, `oracle` what else. {name: default} where only others are named.
NAMED = tuple(name for name in ("head", "recipe", "effective_batch_size", "data_seed", *SETTINGS, *OUR_SETTINGS, *TOGETHER, *MASKED_LM)
              if name != "languages")  # fmt: skip
NAMED_IF_SET = {**dict.fromkeys((*RARE_SETTINGS, "save_steps", "metric_for_best_model", "greater_is_better")),
                **{name: default for name, default in DATA_SETTINGS.items() if name != "oracle"}}  # fmt: skip


def write_json(path, value) -> None:
    """Writes a JSON file in one move: a reader finds the old text, or the new, never a part."""
    path = Path(path)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(part, path)


def read_json(path) -> dict | None:
    """The file's value, None where there is no such file. Raises InputError where it is broken."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}).") from error


_held = None  # the open run.lock of this process: it has one run at a time


def hold(folder: Path) -> str | None:
    """Makes this process the one that works in `folder`, until it ends or holds another. -> None; where another one does, that one's name.

    The lock belongs to the process (POSIX; unlike flock's, its children do not inherit it) and goes with it, however it ends. Over NFS it
    is the server that keeps it: after the death of a whole machine for its lease, as a rule 90 s; on a mount with `nolock` or `local_lock`
    (Lustre: `localflock`) processes of other machines are not seen. To open and close run.lock elsewhere in this process would drop it.
    Where there are no locks at all, a line says so, and the run goes on.
    """
    global _held
    if fcntl is None:
        return None
    release()
    _held = open(folder / "run.lock", "a+", encoding="utf-8")
    try:
        fcntl.lockf(_held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # POSIX allows either for a lock that another has
        _held.seek(0)
        return _held.read().strip() or "another process"
    except OSError as error:
        say(f"warning: {folder} cannot be locked ({error.strerror}): a second command that runs in it at the same time is not noticed")
        return None
    _held.truncate(0)
    _held.write(f"process {os.getpid()} on {platform.node()}")
    _held.flush()
    return None


def release() -> None:
    """Gives up the folder that this process holds, for a process that has more to do than this run."""
    global _held
    if _held is not None:
        _held.close()
        _held = None


def note_time(output_dir: str, started: float | None = None, trained: float = 0.0) -> dict[str, float]:
    """Notes how long this start of a run has lasted. -> {"seconds", "train_seconds"} of all its starts, and tries, so far.

    started  time.time() of a new start; trained: seconds of training since the last note. For the main process alone.
    Wall seconds from the first line of a script's `main`, lost work (steps behind the last checkpoint, failed tries) among them. What
    no note tells is in no count: of a start that was killed what came after its last note. Notes are taken every `training.NOTE_EVERY`
    seconds between steps, at each checkpoint, at the end of training, and after each language that is scored.
    """
    path = Path(output_dir) / "starts.json"
    starts = read_json(path) or []
    if started is not None or not starts:  # the latter: `training.train` called by itself
        starts.append({"started": started or time.time(), "train_seconds": 0.0})
    starts[-1]["seconds"] = time.time() - starts[-1]["started"]
    starts[-1]["train_seconds"] += trained
    write_json(path, starts)
    return {name: round(sum(start[name] for start in starts), 1) for name in ("seconds", "train_seconds")}


def start_run(output_dir: str, run: dict, overwrite: bool, started: float) -> bool:
    """Notes in `output_dir` what this run is, and that it `started` (time.time()). -> True where the same run is finished already.

    Raises InputError where another process is at work in the folder, where it holds another run, or a model that none of ours wrote;
    nothing of theirs is changed then.
    """
    folder = Path(output_dir)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--output_dir {output_dir} is a file.")
    held = any(folder.glob("checkpoint-*")) | (folder / "config.json").exists() | (folder / "results.json").exists()
    if held and not (folder / "run.json").exists():
        raise InputError(f"--output_dir {output_dir} holds a model or results that no run of this collection left. Choose another folder.")
    # Of the processes of one run, which share the folder, the main one alone writes. A finished folder is only read.
    if is_main_process() and (overwrite or not (folder / "results.json").is_file()):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            other = hold(folder)
        except OSError as error:
            raise InputError(f"--output_dir {output_dir} cannot be written: {error.strerror}.") from error
        if other:
            raise InputError(f"{other} is at work in --output_dir {output_dir}: wait for its end, or choose another folder.")
    earlier = read_json(folder / "run.json")
    if earlier is not None and not isinstance(earlier, dict):
        raise InputError(f"{folder / 'run.json'} was not written by a run of this collection. Choose another --output_dir.")
    if earlier is not None and overwrite:
        # results.json first, run.json last: a folder that is half removed must neither look finished nor like somebody else's.
        for pattern in OWN_FILES:
            for path in folder.glob(pattern):
                remove(path)
        earlier = None
    run = json.loads(json.dumps(run))
    # A command that ended in an error before it made anything is no run that could be lost.
    made = [path for pattern in ("results.json", "checkpoint-*", "predictions", "failed_tries.json") for path in folder.glob(pattern)]
    if earlier is not None and made:
        for name in (*run, *(name for name in earlier if name not in run)):
            if earlier.get(name) != run.get(name):
                raise InputError(
                    f"{output_dir} holds a run with {name} {earlier.get(name)!r}; this command says {run.get(name)!r}."
                    " Choose another --output_dir, or redo it with --overwrite."
                )
        if (folder / "results.json").is_file():
            return True
    if is_main_process():
        try:
            if earlier != run:
                (folder / "starts.json").unlink(missing_ok=True)
                write_json(folder / "run.json", run)
            note_time(output_dir, started)
        except OSError as error:
            raise InputError(f"--output_dir {output_dir} cannot be written: {error.strerror}.") from error
    return False


def remove(path: Path) -> None:
    """Removes a file or a folder; of a checkpoint first what tells that it is whole, as a kill may come before the rest is gone."""
    if path.is_dir():
        (path / "trainer_state.json").unlink(missing_ok=True)
        shutil.rmtree(path)
    else:
        path.unlink()


def remove_checkpoints(output_dir: str) -> None:
    """Removes checkpoint-* of a finished run: optimiser states, three times the size of the model; and the oracle's weights."""
    for folder in (*Path(output_dir).glob("checkpoint-*"), *Path(output_dir).glob("oracle")):
        remove(folder)


def model_identity(model_name_or_path: str) -> dict:
    """Which starting point a run has: the same folder trained again is another one."""
    earlier = earlier_run(model_name_or_path)
    return {"model_name_or_path": model_name_or_path.rstrip("/"), "model_finished": earlier and earlier["finished"]}


def earlier_run(model_name_or_path: str) -> dict | None:
    """results.json of the run of ours that left this checkpoint; None for any other model, whatever lies beside it."""
    found = read_json(Path(model_name_or_path) / "results.json")
    return found if isinstance(found, dict) and {"phase", "task", "lineage", "finished"} <= set(found) else None


def lineage_of(model_name_or_path: str) -> list[dict]:
    """What was trained on what before, oldest first: the chain of runs that led to this checkpoint; [] for a model from the hub."""
    earlier = earlier_run(model_name_or_path)
    if earlier is None:
        return []
    kept = ("phase", "task", "model", "seed", "seed_used", "failed_tries", "data", "dev", "finished")
    named = [name for name in (*NAMED, *NAMED_IF_SET, "dev_mean") if name in earlier]
    return [*earlier["lineage"], {name: earlier.get(name) for name in (*kept, *named)} | {"folder": model_name_or_path}]


def finish_run(output_dir: str, results: dict) -> dict:
    """Adds versions and time, and writes results.json: from here on the folder is finished."""
    seconds = note_time(output_dir)["seconds"]
    finished = datetime.now(UTC).isoformat(timespec="seconds")
    results = {**results, "seconds": seconds, "versions": versions(), "code": code_version(), "finished": finished}
    write_json(Path(output_dir) / "results.json", results)
    (Path(output_dir) / "starts.json").unlink()
    return results


def versions() -> dict[str, str | None]:
    """Versions of the libraries that make the numbers; None where one is not installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def code_version() -> str | None:
    """The commit of this collection, `-dirty` where files were changed; None outside a git checkout."""
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        return subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def device_name(device) -> str:
    """The GPU's model, or the processor's kind."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} ({platform.machine()})"


def mean_over_languages(task: Task, scores: dict[str, dict]) -> dict[str, float] | None:
    """Unweighted mean of each metric over exactly the task's languages; None where one is missing."""
    if set(scores) != set(task.languages):
        return None
    names = [name for name in scores[task.languages[0]] if name != "examples"]
    return {name: sum(scores[language][name] for language in task.languages) / len(task.languages) for name in names}


def xtreme_score(task: Task, scores: dict[str, dict]) -> float | None:
    """The task's score as XTREME counts it (QA: the mean of exact match and F1); None outside XTREME or where a language is missing."""
    return xtreme_task_score(task.name, scores) if task.name in XTREME_METRIC and set(scores) == set(task.languages) else None


def dev_table(tasks: dict[str, Task], dev: dict[str, dict]) -> str:
    """The dev scores of several tasks as lines that line up, each by the metric that the task is known by, and their mean."""
    lines = [
        f"{name:<14}{task.dev_metric:<10}{dev[name][task.dev_metric]:>8.2f}{dev[name]['examples']:>10}" for name, task in tasks.items()
    ]
    return "\n".join([*lines, f"{'mean':<24}{dev_mean(tasks, dev):>8.2f}"])


def dev_mean(tasks: dict[str, Task], dev: dict[str, dict]) -> float:
    """The unweighted mean over tasks of the score by which each task's checkpoints are compared."""
    return sum(dev[name][task.dev_metric] for name, task in tasks.items()) / len(tasks)


def score_table(task: Task, scores: dict[str, dict]) -> str:
    """The scores of one run as lines that line up: a row per language, then the mean or why there is none."""
    names = [name for name in next(iter(scores.values())) if name != "examples" and not name.endswith("_threshold")]
    width = max(len(name) for name in (*names, "examples")) + 2
    lines = [f"{task.name:<10}" + "".join(f"{name:>{width}}" for name in (*names, "examples"))]
    for language, score in scores.items():
        lines.append(f"{language:<10}" + "".join(f"{score[name]:>{width}.2f}" for name in names) + f"{score['examples']:>{width}}")
    mean = mean_over_languages(task, scores)
    if mean is None:
        lines.append(f"no mean: {len(scores)} of the {len(task.languages)} languages of {task.name} are scored")
    else:
        lines.append(f"{'mean':<10}" + "".join(f"{mean[name]:>{width}.2f}" for name in names))
    return "\n".join(lines)
