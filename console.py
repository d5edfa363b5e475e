"""What is said to the user, by which process, and how a script ends."""

import atexit
import os
import sys
import time
import traceback

from task_adapters.base import InputError


def is_main_process() -> bool:
    return int(os.environ.get("RANK", 0)) == 0


def say(text: str) -> None:
    """One line for the user, once, whatever the number of processes."""
    if is_main_process():
        print(text, flush=True)


class Collapsed(Exception):
    """A run that failed to learn (collapse.py). `record`: {seed, step, steps, reason, last_losses}, as it stands in failed_tries.json."""

    def __init__(self, message, record=None):
        super().__init__(message)
        self.record = record


def run_script(main) -> None:
    """Runs a script's `main`; the user's mistake becomes one line on stderr and exit code 2, a run that failed to learn 3, a full GPU 1."""
    import torch.distributed

    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # else DeepSpeed, where installed, warns at every start
    # On Hopper and later torch would take cuDNN's attention, which makes a plan for each new shape: half a second, and batches here are
    # of all shapes (https://github.com/modelscope/FunASR/issues/3704; not measured here).
    torch.backends.cuda.enable_cudnn_sdp(False)
    several, code = int(os.environ.get("WORLD_SIZE", 1)) > 1, 0
    try:
        main()
    except (InputError, Collapsed) as error:
        if not is_main_process():
            time.sleep(5)  # as a rule the main process says the same, and the launcher then ends this one
        print(f"{os.path.basename(sys.argv[0])}: error: {error}", file=sys.stderr)
        code = 3 if isinstance(error, Collapsed) else 2
    except torch.OutOfMemoryError as error:
        print(
            f"{os.path.basename(sys.argv[0])}: error: {str(error).splitlines()[0]} A smaller --per_device_train_batch_size (or"
            " --per_device_eval_batch_size, --batch_tokens) makes the same update; `python benchmarks/memory.py --gb N` says what fits.",
            file=sys.stderr,
        )
        code = 1
    except Exception:
        if not several:
            raise
        traceback.print_exc()
        code = 1
    if several:
        leave(code)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    if code:
        sys.exit(code)


def leave(code: int) -> None:
    """Ends one of several processes without taking Python down piece by piece.

    After an error, NCCL would wait there for the others, who wait for this one. And a thread of some library at times aborts one whose
    work is done ("terminate called without an active exception", twice in some hundreds of launches with torch 2.13 on a busy CPU), and
    torchrun calls a finished run failed.
    """
    import torch.distributed

    if not code:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        atexit._run_exitfuncs()  # what loggers and trackers still have to write
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
