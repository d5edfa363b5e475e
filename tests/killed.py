"""Runs a script and ends it with SIGKILL at a moment that does not depend on the speed of the machine.

python tests/killed.py scoring run_target --task xnli ...      just before the run saves the scores of its first language
python tests/killed.py 25 run_target --task xnli ...           at the end of step 25, before a checkpoint of that step
python tests/killed.py 25@1042 run_target --task xnli ...      at the end of step 25 of the attempt with seed 1042
"""

import os
import signal
import sys
from importlib import import_module

import console
from results import RunFolder
from trainer.loop import Clock


def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at_step(step, seed):
    on_step_end = Clock.on_step_end

    def killed(self, args, state, *rest, **named):
        if state.global_step == step and seed in (None, args.seed):
            kill()
        return on_step_end(self, args, state, *rest, **named)

    Clock.on_step_end = killed


if __name__ == "__main__":
    moment, script, *sys.argv[1:] = sys.argv[1:]
    if moment == "scoring":
        RunFolder.note_scored = kill
    else:
        step, _, seed = moment.partition("@")
        kill_at_step(int(step), int(seed) if seed else None)
    console.run_script(import_module(script).main)
