"""What is said to the user, by which process, and how a script ends."""

import atexit
import errno
import os
import sys
import time
import traceback
from collections.abc import Callable

from run_log import beside_bars, close_log, note, note_traceback
from task_adapters.base import InputError
from task_adapters.errors import causes


def is_main_process() -> bool:
    """Whether this process is the only one, or the first of several."""
    return int(os.environ.get("RANK", 0)) == 0


def say(text: str) -> None:
    """Lines for the user, once, whatever the number of processes; on the terminal, and in the log of the run."""
    if is_main_process():
        note(text)
        with beside_bars():
            print(text, flush=True)


class Collapsed(Exception):
    """A run that failed to learn (trainer/collapse.py). record: {seed, step, steps, reason, last_losses}, one item of failed_tries.json."""

    def __init__(self, message, record=None):
        super().__init__(message)
        self.record = record


class NotPublished(Exception):
    """A finished run that the hub did not take (report/publish.py)."""


# What writers that raise no OSError say when the disk is full: safetensors, and torch.save at its first and at a later write.
DISK_FULL = ("No space left on device", "Disk quota exceeded", "basic_ios::clear: iostream error", "inline_container.cc")


def run_script(main: Callable[[], object]) -> None:
    """Runs a script's `main`. An error of a known kind ends in one line on stderr and the exit code of its kind (`ending_of`)."""
    prepare_torch()
    hide_bars_in_files()
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that lacks a character must not end a run
    several, code = int(os.environ.get("WORLD_SIZE", 1)) > 1, 0
    try:
        main()
        sys.stdout.flush()  # here, where a closed pipe can still be answered
        close_log("finished")
    except (Exception, KeyboardInterrupt) as error:
        ending = ending_of(error)
        log_ending(error, ending)
        if ending is None and not several:
            raise
        code = 1 if ending is None else ending[1]
        if ending is None:
            traceback.print_exc()
        else:
            show_ending(error, ending[0])
    if several:
        leave(code)
    import torch.distributed

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    if code:
        sys.exit(code)


def prepare_torch() -> None:
    """Settings of torch and DeepSpeed that all scripts need before they use them."""
    import torch

    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # else DeepSpeed, where installed, warns at every start
    # On Hopper and later torch would take cuDNN's attention, which makes a plan for each new shape. That takes half a second, and batches
    # here are of all shapes (https://github.com/modelscope/FunASR/issues/3704; not measured here).
    torch.backends.cuda.enable_cudnn_sdp(False)


def hide_bars_in_files() -> None:
    """Where stderr is no terminal, the progress bars of datasets and transformers are left out: in a file they are glued to the lines."""
    if sys.stderr.isatty():
        return
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")  # datasets may not be imported yet, and takes a second
    if "datasets" in sys.modules:
        sys.modules["datasets"].disable_progress_bars()
    if "transformers" in sys.modules:
        sys.modules["transformers"].utils.logging.disable_progress_bar()


def ending_of(error: BaseException) -> tuple[str | None, int] | None:
    """How a script ends after an error: (its line for the user, its exit code); None for an error that needs its traceback.

    2: the user's mistake. 3: a run that failed to learn. 1: the machine or the network. As for other programs, 130: Ctrl-C, and 141
    without a line: the reader of the output has gone, as in `... | head`.
    """
    import torch  # here and below: an import takes seconds, and most scripts end without an error
    from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    text = " ".join(str(error).split())
    if isinstance(error, BrokenPipeError):
        return None, 141
    if isinstance(error, KeyboardInterrupt):
        return "stopped. Run the same command again: a run goes on where it stood.", 130
    if (full := disk_full(error)) is not None:
        return f"error: no space left on the disk{full}. Make room and run the same command again: a run goes on where it stood.", 1
    if isinstance(error, Collapsed):
        return f"error: {error}", 3
    if isinstance(error, NotPublished):
        return f"error: {error}", 1
    if isinstance(error, InputError):
        return f"error: {error}", 2
    if isinstance(error, UnicodeEncodeError):
        start, end = max(0, error.start - 20), error.start + 20
        return f"error: {error.object[error.start]!a} in {error.object[start:end]!a} is no character of {error.encoding}.", 2
    if isinstance(error, torch.OutOfMemoryError):
        return (
            f"error: {str(error).splitlines()[0]} A smaller --per_device_train_batch_size (or --per_device_eval_batch_size,"
            " --batch_tokens) makes the same update; `python benchmarks/memory.py --gb N` says what fits."
        ), 1
    if isinstance(error, (LocalEntryNotFoundError, OfflineModeIsEnabled)):
        return f"error: {text}", 1
    if isinstance(error, HTTPError):
        answer = "answered with an error" if getattr(error, "response", None) is not None else "closed the connection, or was not reached"
        return f"error: the hub {answer} ({text or type(error).__name__}). Run again, or set HF_HUB_OFFLINE=1 if all is cached.", 1
    return None


def log_ending(error: BaseException, ending: tuple[str | None, int] | None) -> None:
    """Names the ending of this start in the log. ending: as `ending_of` returns it"""
    if ending is None:
        note_traceback(error)
        close_log(f"error: {type(error).__name__}: {' '.join(str(error).split())}")
    elif isinstance(error, KeyboardInterrupt):
        close_log("interrupted")
    else:
        close_log(ending[0] or "interrupted: nobody reads the output any more")


def disk_full(error: BaseException) -> str | None:
    """` (PATH)` of the file that a full disk cut off, `` where the path is not known; None where no disk was full.

    Looks through the errors that led to this one, because `datasets` puts its own around them.
    """
    for cause in causes(error):
        is_full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
        if is_full or any(text in str(cause) for text in DISK_FULL):
            path = getattr(cause, "filename", None)
            return f" ({path})" if path else ""
    return None


def show_ending(error: BaseException, line: str | None) -> None:
    """Prints the line of an error; without a line, what is still to be printed goes nowhere. One process of several speaks for all where
    each has the same to say."""
    if line is None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    if not is_main_process():
        if isinstance(error, KeyboardInterrupt):
            return
        time.sleep(5)  # as a rule the main process says the same, and the launcher then ends this one
    print(f"{os.path.basename(sys.argv[0])}: {line}", file=sys.stderr)


def leave(code: int) -> None:
    """Ends one of several processes at once, without Python's own clean-up.

    After an error, NCCL's clean-up would wait for the other processes, and they wait for this one. And a thread of some library at times
    aborts a process whose work is done ("terminate called without an active exception", seen twice in some hundreds of launches with torch
    2.13 on a busy CPU): torchrun would call the finished run failed.
    """
    import torch.distributed

    if not code:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        atexit._run_exitfuncs()  # what loggers and trackers still have to write
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
