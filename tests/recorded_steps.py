"""Runs run_intermediate.py on several tasks and records the inputs of each forward pass. test_multitask.py and test_mlm.py use it.

python tests/recorded_steps.py NOTES --task mnli hellaswag ...    leaves NOTES/<rank>.json: [[task, [ids of each row, padding removed]]]
"""

import json
import os
import sys
from pathlib import Path
from unittest.mock import patch

from conftest import launch

import run_intermediate
from trainer.multitask import MultitaskModel

LAYOUTS = {  # Ways to compute a step of 8 examples: (processes, flags).
    "1 process x 8": (1, ("--per_device_train_batch_size", "8")),
    "1 process x 2 x 4 steps": (1, ("--per_device_train_batch_size", "2")),
    "2 processes x 2 x 2 steps": (2, ("--per_device_train_batch_size", "2")),
}


def record_layouts(make_folder, steps, *flags):
    """Runs the same `steps` steps in each layout. -> {layout: (folder, [per step (tasks of all its forward passes, all its rows)])}"""
    found = {}
    for layout, (processes, cut) in LAYOUTS.items():
        out = make_folder("layout")
        command = (out / "notes", *flags, *cut, "--output_dir", out, "--max_steps", steps, "--effective_batch_size", "8")
        if processes == 1:
            record(*command)
        else:
            launch("tests/recorded_steps.py", *command, processes=processes)
        notes = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((out / "notes").glob("*.json"))]
        results = json.loads((out / "results.json").read_text(encoding="utf-8"))
        assert len(notes) == processes == results["world_size"] and results["effective_batch_size"] == 8
        each = len(notes[0]) // steps
        per_step = [[part for rank in notes for part in rank[each * step : each * (step + 1)]] for step in range(steps)]
        found[layout] = out, [({task for task, _ in parts}, sorted(row for _, rows in parts for row in rows)) for parts in per_step]
    return found


def record(notes, *flags):
    forward, seen = MultitaskModel.forward, []

    def recorded(self, task, input_ids=None, **inputs):
        if self.training:
            seen.append([task, [[int(i) for i in row if i != 1] for row in input_ids.flatten(1)]])
        return forward(self, task, input_ids=input_ids, **inputs)

    with patch.object(MultitaskModel, "forward", recorded), patch("sys.argv", ["run_intermediate.py", *map(str, flags)]):
        run_intermediate.main()
    Path(notes).mkdir(parents=True, exist_ok=True)
    (Path(notes) / f"{os.environ.get('RANK', 0)}.json").write_text(json.dumps(seen), encoding="utf-8")


if __name__ == "__main__":
    record(*sys.argv[1:])
