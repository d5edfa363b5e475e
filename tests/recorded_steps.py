"""run_intermediate.py on several tasks, noting what each forward pass of training saw; for test_multitask.py, in one process and in two.

python tests/recorded_steps.py NOTES --task mnli hellaswag ...    leaves NOTES/<rank>.json: [[task, [ids of each row, padding removed]]]
"""

import json
import os
import sys
from pathlib import Path
from unittest.mock import patch

import run_intermediate
from multitask import MultitaskModel


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
