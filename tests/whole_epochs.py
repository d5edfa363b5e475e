"""Trains two epochs of each head type, and of two tasks together. The last step of an epoch is smaller. test_training.py runs this.

python tests/whole_epochs.py MODEL DATA_DIR OUT --per_device_train_batch_size 4 ... -- OUT2 --per_device_train_batch_size 1 ...
"""

import sys
from unittest.mock import patch

import run_intermediate
import run_target

# Name of the run: (script, its flags). A step has 12 examples: 37 leave 1 for the last step, 41 leave 5, and 10 are less than a step.
RUNS = {
    "classification": (run_intermediate, "--task mnli --max_train_samples 37"),
    "tagging": (run_target, "--task udpos --max_train_samples 41 --languages de --max_predict_samples 4"),
    "span_qa": (run_intermediate, "--task squad_v1 --max_train_samples 37"),
    "multiple_choice": (run_intermediate, "--task hellaswag --max_train_samples 37"),
    "few_shot": (run_intermediate, "--task mnli --max_train_samples 10"),
    "random": (run_intermediate, "--task mnli --max_train_samples 37 --train_sampling_strategy random"),
    "sequential": (
        run_intermediate,
        "--task mnli --max_train_samples 29 --train_sampling_strategy sequential --dataloader_num_workers 1",
    ),
    "padding_free": (run_intermediate, "--task squad_v1 --max_train_samples 25 --padding_free on"),
    "together": (run_intermediate, "--task mnli squad_v1 hellaswag --max_train_samples 29"),
}


def train_all(model, data_dir, out, *flags):
    for name, (script, own) in RUNS.items():
        command = [
            script.__name__, *own.split(), "--model_name_or_path", model, "--data_dir", data_dir, "--output_dir", f"{out}/{name}",
            "--use_cpu", "--num_train_epochs", "2", "--effective_batch_size", "12", "--warmup_steps", "0", "--optim", "sgd",
            "--learning_rate", "0.3", "--eval_strategy", "no", "--load_best_model_at_end", "false", "--save_strategy", "no",
            "--logging_steps", "1", "--max_eval_samples", "4", "--max_seq_length", "96", "--disable_tqdm", "true", *flags,
        ]  # fmt: skip
        with patch("sys.argv", command):
            script.main()


if __name__ == "__main__":
    model, data_dir, *layouts = sys.argv[1:]
    while layouts:
        end = layouts.index("--") if "--" in layouts else len(layouts)
        train_all(model, data_dir, *layouts[:end])
        layouts = layouts[end + 1 :]
