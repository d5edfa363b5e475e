"""One optimiser step of each head type, from the flags in argv on; run by test_training.py in one process and in two.

python tests/one_update.py OUT MODEL DATA_DIR --per_device_train_batch_size 4 ...
"""

import sys

import run_intermediate
import run_target

out, model, data_dir, *flags = sys.argv[1:]
for script, task in ((run_intermediate, "mnli"), (run_target, "udpos"), (run_intermediate, "squad_v1"), (run_intermediate, "hellaswag")):
    languages = ["--languages", "de", "--max_predict_samples", "8"] if script is run_target else []
    sys.argv = [
        script.__name__, "--task", task, "--model_name_or_path", model, "--data_dir", data_dir, "--output_dir", f"{out}/{task}",
        "--use_cpu",
        "--max_steps", "1", "--warmup_steps", "0", "--optim", "sgd", "--learning_rate", "1.0", "--max_eval_samples", "8",
        "--max_seq_length", "96", "--disable_tqdm", "true", *languages, *flags,
    ]  # fmt: skip
    script.main()
