"""Makes one optimiser step of each head type and scores the dev data. test_training.py runs it in one process and in two.

python tests/one_update.py MODEL DATA_DIR OUT --per_device_train_batch_size 4 ... -- OUT2 --per_device_train_batch_size 1 ...
"""

import sys
from unittest.mock import patch

import run_intermediate
import run_target


def update(model, data_dir, out, *flags):
    for script, task in (
        (run_intermediate, "mnli"),
        (run_target, "udpos"),
        (run_intermediate, "squad_v1"),
        (run_intermediate, "hellaswag"),
    ):
        languages = ["--languages", "de", "--max_predict_samples", "8"] if script is run_target else []
        command = [
            script.__name__, "--task", task, "--model_name_or_path", model, "--data_dir", data_dir, "--output_dir", f"{out}/{task}",
            "--use_cpu",
            "--max_steps", "1", "--warmup_steps", "0", "--optim", "sgd", "--learning_rate", "1.0", "--max_eval_samples", "20",
            "--eval_strategy", "steps", "--eval_steps", "1", "--save_strategy", "no", "--per_device_eval_batch_size", "4",
            "--max_seq_length", "96", "--disable_tqdm", "true", *languages, *flags,
        ]  # fmt: skip
        with patch("sys.argv", command):
            script.main()


if __name__ == "__main__":
    model, data_dir, *layouts = sys.argv[1:]
    while layouts:
        end = layouts.index("--") if "--" in layouts else len(layouts)
        update(model, data_dir, *layouts[:end])
        layouts = layouts[end + 1 :]
