"""Flags that no script here has: a typing mistake, or a flag of another tool.

The scripts call `refuse_unknown` before they import torch and transformers, so that a mistake in a flag's name is answered at once. This
module therefore imports nothing but settings.py. Values, and flags of another of our scripts, are checked later (`arguments.parse`).
"""

import difflib
import os
import sys

from settings import scripts_flags

# {what the user reads after the flag: names of flags in transformers' examples, earlier versions of transformers, jiant, PEFT and others}
FOREIGN = {
    "`--overwrite` redoes a run. Without it a finished run is skipped, and a run that was cut off goes on.": (
        "overwrite_output_dir", "overwrite_results", "force_overwrite", "resume", "restart"),
    "Code from a model's or a data set's repository is never run here. Only models of transformers' own classes are read.": (
        "trust_remote_code",),
    "`--lora_rank N` is the rank here.": ("lora_r", "lora_dim", "use_lora", "use_peft", "lora"),
    "Attention is chosen by hardware and model. `--padding_free off` takes transformers' own on padded batches.": (
        "attn_implementation", "use_flash_attention", "use_flash_attention_2", "flash_attn"),
    "Apex is not used: `--bf16` or `--fp16` alone would be right.": (
        "fp16_opt_level", "fp16_backend", "half_precision_backend", "use_apex", "use_amp", "mixed_precision"),
    "`--effective_batch_size N` is the number of examples per update over all devices, `--per_device_train_batch_size N` the number that a"
    " device reads at once.": (
        "train_batch_size", "per_gpu_train_batch_size", "batch_size", "per_device_batch_size", "total_batch_size"),
    "`--per_device_eval_batch_size N` would be right.": ("eval_batch_size", "per_gpu_eval_batch_size", "predict_batch_size"),
    "`--learning_rate X` would be right.": ("lr", "peak_lr", "max_lr"),
    "`--num_train_epochs N` would be right.": ("epochs", "num_epochs", "n_epochs", "max_epochs", "train_epochs"),
    "`--warmup_steps 0.1` would be right: below 1 it is a share of all steps.": ("warmup_ratio", "warmup_proportion", "warmup"),
    "`--max_seq_length N` would be right.": ("max_length", "max_len", "max_seq_len", "model_max_length", "block_size"),
    "`--model_name_or_path PATH` names the model; its tokenizer and configuration are read from the same place.": (
        "model", "model_name", "model_path", "pretrained_model", "base_model", "model_type", "tokenizer_name", "config_name", "checkpoint",
        "use_fast_tokenizer"),
    "`--task NAME` names the data set; `--train_file PATH` takes training data of your own.": (
        "task_name", "tasks", "dataset", "dataset_name", "dataset_config", "dataset_config_name"),
    "`--languages de sw` says what is scored, `--train_languages de` what is trained on.": (
        "language", "lang", "langs", "predict_languages", "predict_langs", "train_language", "target_languages"),
    "`--output_dir DIR` would be right. `run_report.py` takes several folders.": ("out_dir", "output", "output_folder", "save_dir"),
    "`--data_dir DIR` would be right; for downloads, set HF_HOME in the environment.": ("data_path", "dataset_dir", "cache_dir"),
    "`--eval_strategy steps` would be right.": ("evaluation_strategy", "evaluate_during_training"),
    "`--use_cpu` stays off the GPU, CUDA_VISIBLE_DEVICES chooses GPUs, and the launcher starts one process for each.": (
        "no_cuda", "device", "cuda", "gpu", "gpus", "n_gpu", "num_gpus"),
    "Examples of like length are batched together by default (`--train_sampling_strategy group_by_length`).": (
        "group_by_length", "pad_to_max_length"),
    "`--early_stopping_patience N` would be right.": ("patience", "early_stopping", "early_stop"),
    "`--model_revision COMMIT` would be right.": ("revision", "model_version"),
    "The tokenizer's own files say whether it lower-cases.": ("do_lower_case", "do_lower_case_input", "cased"),
    "`--no_answer_threshold X` of run_intermediate.py would be right.": ("null_score_diff_threshold",),
    "`--task squad_v2` has unanswerable questions.": ("version_2_with_negative",),
    "`--label_piece` says at which token a word's tag is read.": ("label_all_tokens",),
    "`hf auth login` signs in to the hub.": ("token", "use_auth_token", "hf_token"),
    "`--max_grad_norm X` would be right.": ("gradient_clip_val", "clip_grad", "grad_clip", "max_grad_value"),
    "`--gradient_accumulation_steps N` would be right; by default it follows from the effective batch.": (
        "accumulate_grad_batches", "grad_accumulation_steps", "gradient_accumulation"),
    "`--freeze_embeddings` is the one part that can be frozen.": ("freeze_encoder", "freeze_base_model", "freeze_layers"),
    "A head of another kind is never loaded: it is drawn anew, or kept with `--keep_head`.": ("ignore_mismatched_sizes",),
    "`--report_to wandb` would be right.": ("use_wandb", "wandb", "wandb_project", "with_tracking"),
}  # fmt: skip


def name_of(word: str) -> str:
    """The name of a flag as the user wrote it: `--learning-rate=1e-5` is learning_rate."""
    return word.partition("=")[0].lstrip("-").replace("-", "_")


def is_known(word: str, names: set[str]) -> bool:
    """Whether a word on the command line is a flag of these names, or `--no_` before one."""
    name = name_of(word)
    return name in names or name.removeprefix("no_") in names


def answer(word: str, names: set[str]) -> str:
    """One line about a flag that is none of `names`: what the same thing is called here, or the flag that is spelled most like it."""
    flag, name = word.partition("=")[0], name_of(word)
    for text, foreign_names in FOREIGN.items():
        if name in foreign_names:
            return f"There is no {flag} here. {text}"
    close = difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.75)
    return f"Unknown argument {word!r}. " + (f"Did you mean '--{close[0]}'?" if close else "`--help` lists the flags.")


def refuse_unknown(argv: list[str]) -> None:
    """Ends the script with one line and exit code 2 where its command line has a flag that none of our scripts has.

    argv: as `sys.argv`. Of several processes the main one alone looks: the others would say the same.
    """
    names = scripts_flags() | {"help"}
    if int(os.environ.get("RANK", 0)):
        return
    for word in argv[1:]:
        if word.startswith("--") and word != "--" and not is_known(word, names):
            print(f"{os.path.basename(argv[0])}: error: {answer(word, names)}", file=sys.stderr)
            sys.exit(2)
