"""Runs a script with a model that, under some seeds, gives the same output for every text, as after a collapse, and cannot learn.

The check for collapse then decides after tens of steps instead of hundreds.

python tests/dead_encoder.py 42,1042 run_target --task xnli ...
"""

import sys
import weakref
from contextlib import contextmanager
from importlib import import_module
from unittest.mock import patch

import torch

import console
from trainer import checkpoints, collapse, multitask


@contextmanager
def dead_under(seeds):
    """In this context, a model drawn with one of these seeds has a frozen last layer of zeros. Gives per model: earlier ones in memory."""
    load_model, load_models, made, still_there = checkpoints.load_model, multitask.load_models, [], []

    def kill(encoder, seed):
        still_there.append(sum(earlier() is not None for earlier in made))
        made.append(weakref.ref(encoder))
        if seed in seeds:
            for weight in encoder.encoder.layer[-1].output.LayerNorm.parameters():
                torch.nn.init.zeros_(weight.requires_grad_(False))

    def one(model_class, path, labels, seed, *rest):
        model, labels = load_model(model_class, path, labels, seed, *rest)
        kill(model.base_model, seed)
        return model, labels

    def several(path, tasks, seed, *rest, **named):
        model = load_models(path, tasks, seed, *rest, **named)
        kill(model.encoder, seed)
        return model

    soon = patch.object(collapse, "JUDGED_STEPS", 60)
    with soon, patch.object(checkpoints, "load_model", one), patch.object(multitask, "load_models", several):
        yield still_there


def main():
    seeds, script, *sys.argv[1:] = sys.argv[1:]
    with dead_under([int(seed) for seed in seeds.split(",")]):
        import_module(script).main()


if __name__ == "__main__":
    console.run_script(main)
