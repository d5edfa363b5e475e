"""What a run leaves on the disk, and how it is read again.

A run is begun, trained, scored language by language, and finished. Each step is one file, written in one move:

run.json       begun: what the run is (task, model, data, settings). Another command in this folder is refused.
progress.json  trained: how training went. scored: the scores of each language so far.
results.json   finished: scores, lineage, data, recipe, versions, time. progress.json and the checkpoints are then removed.
starts.json    how long each start of an unfinished run lasted (`note_time`).
log.txt        what the terminal showed, with times, of all starts (`run_log`).
run.lock       locked by the process that works in the folder (`hold`); the file itself says nothing.
"""

import errno
import fnmatch
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from console import is_main_process, say
from metrics import XTREME_METRIC, XTREME_R_METRIC, xtreme_task_score
from run_log import close_log, command_line, open_log
from settings import NAMED, NAMED_IF_SET
from task_adapters.base import InputError, Task

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

PACKAGES = ("torch", "transformers", "datasets", "accelerate", "deepspeed", "peft", "tokenizers", "numpy", "pyarrow", "huggingface_hub")
WHOLE_MODEL = ("model*.safetensors", "pytorch_model*.bin")  # weights that need no base
ADAPTER = "adapter"  # what LoRA has trained, beside the model to which it was added (trainer/lora.py)
# What a run writes, in the order in which --overwrite removes it. results.json and progress.json go first, so that a folder that is half
# removed looks neither finished nor trained; run.json goes last, so that it is still known as a run's folder. run.lock stays: a process
# that removed it and made a new file would lock another file than the processes that had opened the old one.
OWN_FILES = ("results.json", "progress.json", "config.json", "model*.safetensors*", "tokenizer*", "special_tokens_map.json",
             "added_tokens.json", "sentencepiece.bpe.model", "training_args.bin", "predictions", "labels", "heads", ADAPTER, "oracle",
             "checkpoint-*", "failed_tries.json", "starts.json", "run.json")  # fmt: skip
NOTES = ("run.json", "progress.json", "results.json", "starts.json", "failed_tries.json", "config.json", "run.lock")
# Of these the model: what --save_model false removes from a finished run.
MODEL_FILES = ("config.json", "model*.safetensors*", "tokenizer*", "special_tokens_map.json", "added_tokens.json",
               "sentencepiece.bpe.model", "training_args.bin", "heads")  # fmt: skip
# A command that ended before its first checkpoint has made none of these.
MADE = ("results.json", "checkpoint-*", "predictions", "failed_tries.json")
CARD = "README.md"  # what a finished run says of itself (report/card.py)
CARD_MARK = "<!-- Written by a finished run of this collection. --overwrite replaces this file; without this line it would stay. -->"
# Names in run.json that may differ between two starts of the same run. A model is compared by its weights, not by its path.
NOT_COMPARED = ("model_name_or_path", "model_finished")


def write_json(path: str | Path, value: Any) -> None:
    """Writes a JSON file in one move, and to the disk itself: after a power cut a reader finds the old text, or the new, never a part."""
    path = Path(path)
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        file.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def read_json(path: str | Path) -> dict | None:
    """The file's value, None where there is no such file. Raises InputError where it is broken, or no file."""
    path = Path(path)
    if path.exists() and not path.is_file():  # to read a pipe would wait for ever
        raise InputError(f"{path} is not a file.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}).") from error


def read_note(path: str | Path, kind: type = dict) -> Any:
    """The value of a file that a run left for itself; None where it is missing, or torn by a power cut: then one line says so."""
    try:
        note = read_json(path)
    except InputError as error:
        say(f"warning: {error} It is passed over.")
        return None
    if note is not None and not isinstance(note, kind):
        say(f"warning: {path} was not written by a run of this collection. It is passed over.")
        return None
    return note


def flush(paths: Iterable[Path]) -> None:
    """Has files and folders written to the disk itself, so that what is removed next is not the last whole copy."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:  # some network file systems have no such call for folders
            if error.errno != errno.EINVAL:
                raise
        finally:
            os.close(descriptor)


_lock_file = None  # the open run.lock of this process: it has one run at a time


def hold(folder: Path, name: str = "run.lock") -> str | None:
    """Makes this process the one that works in `folder`, until it ends or holds another. -> None; where another one does, that one's name.

    The lock is a POSIX lock: it belongs to the process, its children do not inherit it, and the system releases it when the process ends,
    also after a kill. This process loses it if it opens and closes run.lock elsewhere. Over NFS the server keeps the lock: if a whole
    machine dies, until its lease ends, as a rule 90 s later. On a mount with `nolock` or `local_lock` (Lustre: `localflock`) processes of
    other machines are not noticed. Where the file system has no locks at all, a line says so, and the run goes on.
    """
    global _lock_file
    if fcntl is None:
        return None
    release()
    _lock_file = open(folder / name, "a+", encoding="utf-8")
    try:
        fcntl.lockf(_lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # POSIX allows either for a lock that another has
        _lock_file.seek(0)
        return _lock_file.read().strip() or "another process"
    except OSError as error:
        say(f"warning: {folder} cannot be locked ({error.strerror}): a second command that runs in it at the same time is not noticed")
        return None
    _lock_file.truncate(0)
    _lock_file.write(f"process {os.getpid()} on {platform.node()}")
    _lock_file.flush()
    return None


def release() -> None:
    """Gives up the folder that this process holds, for a process that has more to do than this run."""
    global _lock_file
    if _lock_file is not None:
        _lock_file.close()
        _lock_file = None


def note_time(output_dir: str, started: float | None = None, trained: float = 0.0) -> dict[str, float]:
    """Notes how long this start of a run has lasted. -> {"seconds", "train_seconds"} of all its starts, and tries, so far.

    started  time.time() of a new start; trained: seconds of training since the last note. For the main process alone.
    The seconds are those of the clock, from the first line of a script's `main`. Lost work counts: steps behind the last checkpoint, failed
    attempts. The time between the last note of a start and its kill is not counted. Notes are taken every `loop.NOTE_EVERY` seconds between
    steps, at each checkpoint, at the end of training, and after each language that is scored.
    """
    path = Path(output_dir) / "starts.json"
    starts = read_note(path, list) or []
    if started is not None or not starts:  # the latter: `loop.train` called without a `RunFolder`
        starts.append({"started": started or time.time(), "train_seconds": 0.0})
    starts[-1]["seconds"] = time.time() - starts[-1]["started"]
    starts[-1]["train_seconds"] += trained
    write_json(path, starts)
    return {name: round(sum(start[name] for start in starts), 1) for name in ("seconds", "train_seconds")}


class RunFolder:
    """One output folder and the run in it; both training scripts and retrieval go through the same four steps.

        folder = RunFolder(output_dir, settings, model_name_or_path, overwrite, started)   # changes nothing yet
        results = folder.agree(inputs)     # what was read is compared with what the run began with; results: it is finished
        folder.begin(seed)                 # removes what --overwrite redoes, and notes what the run is
        folder.note_trained(record)        # folder.trained(seed)
        folder.note_scored(language, record)   # folder.scored
        folder.finish(results)

    All processes of a run make one; of them the main one alone writes.
    """

    def __init__(self, output_dir: str, settings: dict, model_name_or_path: str, overwrite: bool, started: float):
        """settings: what the command says of the run, comparable as JSON. started: time.time() of this start.

        Raises InputError where the folder is a file, holds another run or a model that no run of ours left, where another process is at
        work in it, and where the run would destroy the model that it starts from. Nothing is changed then.
        """
        self.path, self.overwrite, self.started = Path(output_dir), overwrite, started
        self.run = json.loads(json.dumps({**settings, "model_name_or_path": model_name_or_path.rstrip("/")}))
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"--output_dir {output_dir} is a file.")
        if self.path.resolve() == Path(__file__).resolve().parent:
            raise InputError(
                f"--output_dir {output_dir} is the folder of the scripts. One of the run's own, such as out/my_run, would be right."
            )
        refuse_clash(self.path, Path(model_name_or_path))
        for note in NOTES:
            if (self.path / note).is_dir() and not overwrite:  # a file cannot take its place, and hours later the run would end by it
                raise InputError(f"{self.path / note} is a folder, where a run writes a file. Remove it, or choose another --output_dir.")
        holds_model = any(self.path.glob("checkpoint-*")) | (self.path / "config.json").exists() | (self.path / "results.json").exists()
        if holds_model and not (self.path / "run.json").exists():
            raise InputError(
                f"--output_dir {output_dir} holds a model or results that no run of this collection left. Choose another folder."
            )
        results = None if overwrite else read_note(self.path / "results.json")
        if is_main_process() and results is None:  # a finished folder is only read
            self._lock()
        self.progress = {} if overwrite else read_note(self.path / "progress.json") or {}
        self.earlier = None if overwrite else self._earlier()
        self.results = results if self.earlier is not None else None
        if self.earlier is not None:
            self._compare(self.run)

    def _lock(self):
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            other = hold(self.path)
        except OSError as error:
            raise InputError(f"--output_dir {self.path} cannot be written: {error.strerror}.") from error
        if other:
            raise InputError(f"{other} is at work in --output_dir {self.path}: wait for its end, or choose another folder.")

    def _earlier(self) -> dict | None:
        """run.json of the run that is here; None where it made nothing yet: a command that ended early is no run that could be lost."""
        is_made = "trained" in self.progress or any(True for pattern in MADE for _ in self.path.glob(pattern))
        if not is_made or not (self.path / "run.json").exists():
            self.progress = {}
            return None
        earlier = read_note(self.path / "run.json")
        if earlier is None:
            raise InputError(f"{self.path / 'run.json'} is damaged: nothing says which run this folder holds. --overwrite begins anew.")
        return earlier

    def _compare(self, facts: dict):
        before, now = ({name: run.get(name) for name in ("phase", "evaluate_only")} for run in (self.earlier, self.run))
        if before["phase"] == now["phase"] and before != now:  # else the first of many differences would be named
            raise InputError(difference("evaluate_only", before["evaluate_only"], now["evaluate_only"], self.path))
        for name, value in facts.items():
            # An earlier version of this collection noted no model and no content: they cannot be compared.
            if name in NOT_COMPARED or (name in INPUTS and name not in self.earlier):
                continue
            if comparable(name, self.earlier.get(name)) != comparable(name, value):
                raise InputError(difference(name, self.earlier.get(name), value, self.path))
        for name, value in self.earlier.items():
            if name not in (*self.run, *INPUTS, *NOT_COMPARED):
                raise InputError(difference(name, value, None, self.path))
        before, now = self.earlier.get("model_name_or_path"), self.run.get("model_name_or_path")
        if "model" not in self.earlier and before != now:
            raise InputError(difference("model_name_or_path", before, now, self.path))

    def agree(self, inputs: dict) -> dict | None:
        """Compares what was read with what the run began with. -> its results.json where it is finished, else None.

        inputs  `INPUTS`: the model (its checksum or commit), its configuration, its lineage, the content of the data, the tokenizer's
                fingerprint.
        """
        inputs = json.loads(json.dumps(inputs))
        if self.earlier is not None:
            self._compare(inputs)
            inputs["lineage"] = self.earlier.get("lineage", inputs["lineage"])
        self.run |= inputs
        if self.results is not None:
            self.clean_up(self.results.get("keep_checkpoints", False), self.results.get("model_saved", True))
            if not self.results.get("model_saved", True):
                say(f"{self.path}: its model was not kept (--save_model false); --overwrite trains it again")
            close_log("finished")  # before: a finished run is only read, and gets no new lines
        return self.results

    def begin(self, seed: int | None) -> None:
        """Notes what the run is, for the attempt with `seed`. --overwrite removes here: data, model and lengths have been checked."""
        if not is_main_process():
            if self.progress.get("seed") != seed:
                self.progress = {"state": "begun", "seed": seed}
            return
        try:
            if self.overwrite and (self.path / "run.json").exists():  # else the files of these names are not a run's
                for pattern in OWN_FILES:
                    for path in self.path.glob(pattern):
                        remove(path)
                if is_card(self.path / CARD):
                    remove(self.path / CARD)
            self.overwrite = False
            if self.progress.get("seed", seed) != seed:  # what an attempt with another seed left
                remove_checkpoints(self.path)
            if read_note(self.path / "run.json") != self.run:
                if self.earlier is None:  # the time in it is that of another run
                    (self.path / "starts.json").unlink(missing_ok=True)
                write_json(self.path / "run.json", self.run)
            self.earlier = self.run
            open_log(self.path)
            if "state" not in self.progress or self.progress.get("seed") != seed:
                self._note({"state": "begun", "seed": seed})
            note_time(str(self.path), self.started)
        except OSError as error:
            raise InputError(f"--output_dir {self.path} cannot be written: {error.strerror}.") from error

    def _note(self, progress: dict) -> None:
        self.progress = progress
        if is_main_process():
            write_json(self.path / "progress.json", progress)

    def trained(self, seed: int) -> dict | None:
        """What `note_trained` noted of the attempt with `seed`; None where its training is not over."""
        return self.progress.get("trained") if self.progress.get("seed") == seed else None

    @property
    def scored(self) -> dict[str, dict]:
        """What `note_scored` noted of each language so far."""
        return self.progress.get("scored", {})

    def note_trained(self, record: dict) -> None:
        """The weights of this attempt are chosen and saved: from here on training is never repeated."""
        if is_main_process():
            flush([*(path for path in self.path.glob("*") if path.is_file()), *self.path.glob("heads/**/*"), self.path])
        self._note({**self.progress, "state": "trained", "trained": record})

    def forget_training(self, reason: str) -> None:
        """Takes back that the run is trained, for saved weights that cannot be read. reason: what the user reads."""
        say(f"{self.path}: {reason}")
        self._note({"state": "begun", "seed": self.progress.get("seed")})

    def note_scored(self, language: str, record: dict) -> None:
        if is_main_process():  # after a power cut no language may count as scored whose predictions are not whole
            flush(path for kind in ("predictions", "labels") for path in self.path.glob(f"{kind}/**/*"))
        self._note({**self.progress, "state": "scored", "scored": {**self.scored, language: record}})
        if is_main_process():
            note_time(str(self.path))

    def finish(self, results: dict, keep_checkpoints: bool = False, keep_model: bool = True) -> dict:
        """Adds versions and time, and writes results.json: from here on the run is finished. -> what stands in it

        keep_model: false removes the model then, all but an adapter.
        """
        seconds = note_time(str(self.path))["seconds"]
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        kept = {"keep_checkpoints": True} if keep_checkpoints else {} if keep_model else {"model_saved": False}
        # The data's own records have their content, and the saved model has its config.json.
        facts = {name: value for name, value in self.run.items() if name not in ("content", "config")}
        made = {"command": command_line(sys.argv), "versions": versions(), "code": code_version(), "finished": finished}
        results = {**facts, **results, **kept, "seconds": seconds, **made}
        write_json(self.path / "results.json", results)
        self.clean_up(keep_checkpoints, keep_model)
        if not keep_model:
            say(f"{self.path}: results and predictions are kept, and not the model (--save_model false)")
        return results

    def clean_up(self, keep_checkpoints: bool, keep_model: bool) -> None:
        """Removes what a finished run needs no more, also what an earlier clean-up that was killed left."""
        if not is_main_process():
            return
        # Not `**/*.part`: the folders of later phases often lie below this one. Hidden files are predictions that were being written.
        patterns = ("progress.json", "starts.json", "*.json.part", f"{CARD}.part", "predictions/**/.test-*", "labels/**/.test-*")
        try:
            for path in [path for pattern in patterns for path in self.path.glob(pattern)]:
                path.unlink(missing_ok=True)
            if not keep_checkpoints:
                remove_checkpoints(self.path)
            for path in [path for pattern in MODEL_FILES if not keep_model for path in self.path.glob(pattern)]:
                remove(path)
        except OSError as error:  # a finished folder that may only be read is finished all the same
            say(f"warning: {self.path} could not be cleaned up: {error}")


def content_of(provenances: list[dict]) -> dict[str, str]:
    """What was read, by its content: {"xnli test de": key}. provenances: as `load_examples` returns them."""
    content = {}
    for part in provenances:
        name = " ".join(part[name] for name in ("task", "split", "language") if name in part)
        content[name] = " ".join([*content.get(name, "").split(), part["content"]])  # a file and the hub's data may be of one language
    return content


INPUTS = ("model", "config", "lineage", "content", "tokenizer")  # what a run reads: known only when it was read


def comparable(name: str, value: Any) -> Any:
    """A value of run.json without what may differ between two starts: where the earlier runs lie, and when they ended."""
    if name == "lineage" and value:
        return [{key: part for key, part in stage.items() if key not in ("folder", "finished")} for stage in value]
    if name == "tokenizer" and value:
        return value["hash"], value["vocabulary"]
    return value.get("revision") or value["name_or_path"] if name == "model" and value else value


def difference(name: str, before: Any, now: Any, folder: Path) -> str:
    """One line that says how a command differs from the run that its folder holds."""
    remedy = "Choose another --output_dir, or redo it with --overwrite."
    if name == "evaluate_only":
        before, now = (f"scores the {' and '.join(parts)} data of a model as it is" if parts else "trains" for parts in (before, now))
        return f"{folder} holds a run that {before}; this command {now}. {remedy}"
    if name == "model":
        before, now = before or {}, now or {}
        return (
            f"{folder} holds a run that began with other weights ({before.get('name_or_path')}, {before.get('revision')})"
            f" than {now.get('name_or_path')} has now ({now.get('revision')}). {remedy}"
        )
    if name == "tokenizer":
        before, now = ((value or {}).get("probes", {}) for value in (before, now))
        probe = next((probe for probe in {**before, **now} if before.get(probe) != now.get(probe)), None)
        if probe is None:
            return f"{folder} holds a run that began with a tokenizer of other tokens, ids or scores. Take the same files. {remedy}"
        return (
            f"{folder} holds a run that began with a tokenizer that reads {probe!r} as {before.get(probe)!r}; now it is {now.get(probe)!r}."
            f" Take the same files and libraries. {remedy}"
        )
    if name == "config":
        return f"{folder} holds a run that began with another config.json in the model's folder. {remedy}"
    if name == "lineage":
        return f"{folder} holds a run whose model had been trained on other things before than results.json beside it says now. {remedy}"
    if name == "task_file" and before and now:
        return f"{folder} holds a run that began when --task_file said something else. {remedy}"
    if name == "content":
        before, now = before or {}, now or {}
        others = sorted(part for part in {*before, *now} if before.get(part) != now.get(part))
        return f"{folder} holds a run that began with other data: what was read as {others[0]} has changed. {remedy}"
    return f"{folder} holds a run with {name} {before!r}; this command says {now!r}. {remedy}"


def is_card(path: Path) -> bool:
    """Whether a README.md is there and was written by a run: any other one is somebody's own and stays."""
    return path.is_file() and CARD_MARK in path.read_text(encoding="utf-8", errors="replace")


def refuse_clash(folder: Path, model: Path) -> None:
    """Refuses an output folder whose files would replace, or whose clean-up would remove, those of the model that a run starts from."""
    if not model.is_dir():
        return
    folder, model = folder.resolve(), model.resolve()
    if folder == model:
        raise InputError(f"--output_dir {folder} is the folder of the model itself, which the run would replace. Choose another folder.")
    for outer, inner, said in ((folder, model, "the model lies in it"), (model, folder, "it lies in the model's folder")):
        if outer in inner.parents:
            name = inner.relative_to(outer).parts[0]
            if any(fnmatch.fnmatch(name, pattern) for pattern in OWN_FILES):
                raise InputError(f"--output_dir {folder}: {said}, as {name}, which a run there replaces or removes. Choose another folder.")


def remove(path: Path) -> None:
    """Removes a file or a folder, of a link the link alone.

    Of a checkpoint the file that tells that it is whole goes first, because a kill may come before the others are gone.
    """
    if path.is_dir() and not path.is_symlink():
        (path / "trainer_state.json").unlink(missing_ok=True)
        shutil.rmtree(path)
    else:
        path.unlink()


def remove_checkpoints(output_dir: str | Path) -> None:
    """Removes checkpoint-* of a finished run: optimiser states, three times the size of the model; and the oracle's weights."""
    for folder in (*Path(output_dir).glob("checkpoint-*"), *Path(output_dir).glob("oracle")):
        remove(folder)


def base_model_of(path: str) -> str | None:
    """The model that an adapter of peft was trained on, with its revision as ID@REVISION; None where `path` is no adapter's folder.

    Raises InputError where the adapter names no base.
    """
    folder = Path(path)
    if not (folder / "adapter_config.json").is_file() or any(True for pattern in WHOLE_MODEL for _ in folder.glob(pattern)):
        return None
    config = read_json(folder / "adapter_config.json")
    base = isinstance(config, dict) and config.get("base_model_name_or_path")
    if not base or not isinstance(base, str):
        raise InputError(f"{path} is an adapter whose adapter_config.json names no base model (base_model_name_or_path).")
    if Path(base).resolve() == folder.resolve():
        raise InputError(f"{path} is an adapter that names itself as its base model.")
    return f"{base}@{config['revision']}" if config.get("revision") and not Path(base).is_dir() else base


def earlier_run(model_name_or_path: str) -> dict | None:
    """results.json of the run of ours that left this checkpoint; None for any other model, whatever lies beside it."""
    results = read_json(Path(model_name_or_path) / "results.json")
    return results if isinstance(results, dict) and {"phase", "task", "lineage", "finished"} <= set(results) else None


def lineage_of(model_name_or_path: str) -> list[dict]:
    """What was trained on what before, oldest first: the chain of runs that led to this checkpoint; [] for a model from the hub."""
    base, folder = base_model_of(model_name_or_path), Path(model_name_or_path)
    if base and folder.name == ADAPTER and earlier_run(str(folder.parent)):  # its run's model, before it was merged
        return lineage_of(str(folder.parent))
    if base:
        return lineage_of(base)
    earlier = earlier_run(model_name_or_path)
    if earlier is None:
        return []
    kept = ("phase", "task", "model", "seed", "seed_used", "failed_tries", "data", "dev", "finished")
    named = [name for name in (*NAMED, *NAMED_IF_SET, "dev_mean") if name in earlier]
    return [*earlier["lineage"], {name: earlier.get(name) for name in (*kept, *named)} | {"folder": model_name_or_path}]


def versions() -> dict[str, str | None]:
    """Versions of the libraries that make the numbers; None where one is not installed."""
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            installed[package] = None
    return installed


def code_version() -> str | None:
    """The commit of this collection, `-dirty` where files were changed; None outside a git checkout."""
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        return subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def device_name(device: Any) -> str:
    """The GPU's model, or the processor's kind."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} ({platform.machine()})"


def machine_of(training_args: Any) -> dict:
    """Where a run of the Trainer ran, and how its batches were shared out: nothing of the latter where nothing is trained."""
    machine = {"device": device_name(training_args.device), "world_size": training_args.world_size}
    batch = ("per_device_train_batch_size", "gradient_accumulation_steps") if training_args.do_train else ()
    return {**machine, **{name: getattr(training_args, name) for name in batch}}


def mean_over_languages(task: Task, scores: dict[str, dict]) -> dict[str, float] | None:
    """Unweighted mean of each metric over exactly the task's languages, None where one is missing. With own data: over what was scored."""
    languages = tuple(scores) if task.own else task.languages
    if set(scores) != set(languages):
        return None
    names = [name for name in scores[languages[0]] if name != "examples"]
    return {name: sum(scores[language][name] for language in languages) / len(languages) for name in names}


def own_data(task: Task, scores: dict[str, dict], data: list[dict]) -> dict:
    """{"own_data": {language: the content of its test examples}, "mean_over": the languages of the mean}; {} without own data."""
    if not task.own:
        return {}
    content = {part["language"]: part["content"] for part in data if part["split"] == "test" and part["language"] in task.own}
    return {"own_data": content, "mean_over": list(scores)}


def benchmarks_own(task: Task, scores: dict[str, dict]) -> dict[str, dict]:
    """The scores on the benchmark's own test sets: those of own data are comparable with no published ones."""
    return {language: score for language, score in scores.items() if language not in task.own}


def xtreme_score(task: Task, scores: dict[str, dict], metric_of: Mapping[str, tuple[str, ...]] = XTREME_METRIC) -> float | None:
    """The task's score as XTREME counts it (QA: the mean of exact match and F1); None outside XTREME, where a language is missing, and
    with own data."""
    is_whole = task.name in metric_of and set(scores) == set(task.languages) and not task.own
    return xtreme_task_score(task.name, scores, metric_of) if is_whole else None


def xtreme_scores(task: Task, scores: dict[str, dict], benchmark: str | None, is_comparable: bool) -> dict[str, float | None]:
    """{"xtreme_score"}, None where the run is not comparable; over XTREME-R's languages that is None, with "xtreme_r_score" beside it.

    Of a task of nlu-evals that is None too, with "nlu_evals_score" beside it: the mean over its languages, of answers the F1.
    """
    if task.protocol:
        mean = mean_over_languages(task, scores)
        return {"xtreme_score": None, "nlu_evals_score": mean[task.dev_metric] if mean and is_comparable else None}
    if benchmark == "xtreme-r":
        return {"xtreme_score": None, "xtreme_r_score": xtreme_score(task, scores, XTREME_R_METRIC) if is_comparable else None}
    return {"xtreme_score": xtreme_score(task, scores) if is_comparable else None}


def dev_table(tasks: dict[str, Task], dev: dict[str, dict]) -> str:
    """The dev scores of several tasks as lines that line up, each by the metric that the task is known by, and their mean."""
    lines = [
        f"{name:<14}{task.dev_metric:<10}{dev[name][task.dev_metric]:>8.2f}{dev[name]['examples']:>10}" for name, task in tasks.items()
    ]
    return "\n".join([*lines, f"{'mean':<24}{dev_mean(tasks, dev):>8.2f}"])


def dev_mean(tasks: dict[str, Task], dev: dict[str, dict]) -> float:
    """The unweighted mean over tasks of the score by which each task's checkpoints are compared."""
    return sum(dev[name][task.dev_metric] for name, task in tasks.items()) / len(tasks)


def bias_lines(bias: dict[str, dict[str, float]]) -> list[str]:
    """The language bias of a ranking task as lines that line up; [] where there is none.

    bias: {language of the question: {language of the answer: 0..100}}
    """
    if not bias:
        return []
    lines = ["language bias: mean reciprocal rank of the right answer in each language (columns), for questions in each (rows)"]
    lines.append(f"{'':<10}" + "".join(f"{language:>7}" for language in bias))
    return lines + [f"{name:<10}" + "".join(f"{row[other]:>7.1f}" for other in bias if other in row) for name, row in bias.items()]


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
    if task.own:
        lines.append(
            f"the mean is over {', '.join(scores)}: what was scored, not {task.name}'s own test sets (own data: {', '.join(task.own)})"
        )
    return "\n".join(lines)
