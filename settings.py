"""Which settings make a run what it is.

Each flag of the three scripts, also each of transformers' `TrainingArguments`, is in exactly one of three groups:

COMPARED  changes scores. run.json names it, a rerun must have the same value, and only runs with equal values share a table.
HARMLESS  changes no score beyond rounding. The reason stands beside it.
REFUSED   is accepted with its default value only. The reason is the error that the user reads.

tests/test_arguments.py walks all fields of the installed library, so that a new one must be put into a group. This file imports no torch,
because the report reads its names and must start quickly.
"""

import dataclasses
import json
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any

# ---- compared

# `describe_run` names these by hand: `keep_head` as "head", the model by its content.
IDENTITY = ("task", "model_name_or_path", "keep_head", "recipe", "seed", "data_seed", "effective_batch_size",
            "do_train", "do_eval", "do_predict")  # fmt: skip
# Fields of TrainingArguments that run.json always names.
SETTINGS = ("learning_rate", "num_train_epochs", "max_steps", "warmup_steps", "lr_scheduler_type", "weight_decay", "adam_epsilon",
            "max_grad_norm", "eval_strategy", "eval_steps", "load_best_model_at_end", "bf16", "fp16", "optim",
            "train_sampling_strategy")  # fmt: skip
# Fields that run.json names only where they differ from the library's default, so that a plain run keeps its description when a field
# is added here. eval_delay and eval_on_start decide which checkpoints are candidates.
RARE_SETTINGS = ("adam_beta1", "adam_beta2", "lr_scheduler_kwargs", "optim_args", "optim_target_modules", "neftune_noise_alpha",
                 "label_smoothing_factor", "bf16_full_eval", "fp16_full_eval", "tf32", "torch_compile",
                 "eval_delay", "eval_on_start")  # fmt: skip
# Fields that matter only where checkpoints are compared (`selection_settings`).
SELECTION_SETTINGS = ("save_steps", "metric_for_best_model", "greater_is_better")
# Our own flags that run.json names in every run whose script has them.
OUR_SETTINGS = ("max_seq_length", "doc_stride", "no_answer_threshold", "max_train_samples", "max_eval_samples", "max_predict_samples",
                "languages", "freeze_embeddings", "padding_free")  # fmt: skip
# Our own flags about data, selection and adapters, with the value of the plain run. run.json names them only where they differ.
DATA_SETTINGS = {"benchmark": None, "protocol": None, "g_xlt": False, "train_languages": ["en"], "train_file": [], "select_on": "en",
                 "oracle": False, "task_file": None, "label_piece": "first", "normalize": "as_is", "tokenizer_as_loaded": False,
                 "label_map": None, "test_file": [], "dev_file": [], "perturb": None, "lora_rank": None, "lora_alpha": None,
                 "lora_dropout": 0.0, "lora_target": None, "early_stopping_patience": None, "model_revision": None,
                 "data_revision": None}  # fmt: skip
# Settings that do not change scores but must match when a run is resumed. Stored only when they differ from the default.
LAYOUT = {"trim_embeddings": "auto"}
TOGETHER = ("sampling", "sampling_cap", "temperature")  # named for several tasks
MASKED_LM = ("mlm_languages", "mlm_data", "mlm_share", "mlm_alpha", "mlm_eval_samples")  # named with masked LM
# run_retrieval.py names them, the last two if they are set. --layers adds figures and changes no score: the report does not compare it.
RETRIEVAL = ("layer", "pooling", "precision", "lower_case", "layers")
# Of --deepspeed the content of the file is compared, not its path (`deepspeed_settings`).
COMPARED = (*IDENTITY, *SETTINGS, *RARE_SETTINGS, *SELECTION_SETTINGS, "deepspeed", *OUR_SETTINGS, *DATA_SETTINGS, *LAYOUT, *TOGETHER,
            *MASKED_LM, *RETRIEVAL)  # fmt: skip

# Compared flags that the user may set together with --protocol. Every other compared flag must have the protocol's value.
LEFT_BY_PROTOCOL = ("task", "protocol", "recipe", "model_name_or_path", "seed", "data_seed", "bf16", "fp16", "bf16_full_eval",
                    "fp16_full_eval", "tf32", "torch_compile", "deepspeed", "languages", "max_eval_samples", "max_predict_samples",
                    "padding_free", "trim_embeddings", "precision", "layer", "model_revision", "data_revision")  # fmt: skip

# The flags that a run without training reads (--do_train false). It refuses all other compared flags, and those named in WITHOUT_EFFECT.
SCORING = ("task", "model_name_or_path", "keep_head", "recipe", "do_train", "do_eval", "do_predict", "bf16", "fp16", "bf16_full_eval",
           "fp16_full_eval", "tf32", "torch_compile", "max_seq_length", "doc_stride", "no_answer_threshold", "max_eval_samples",
           "max_predict_samples", "languages", "padding_free", "benchmark", "g_xlt", "label_piece", "normalize", "tokenizer_as_loaded",
           "label_map", "task_file", "test_file", "dev_file", "perturb", "model_revision", "data_revision")  # fmt: skip
WITHOUT_EFFECT = (*(name for name in COMPARED if name not in SCORING), "seeds", "retries", "collapse", "keep_checkpoints", "save_model",
                  "save_strategy", "save_total_limit", "per_device_train_batch_size", "gradient_accumulation_steps",
                  "activation_checkpointing", "gradient_checkpointing", "push_to_hub")  # fmt: skip

# What the report compares: names that every run has (NAMED), and names that only some runs have, with their default (NAMED_IF_SET). Not
# here: languages, test files and the oracle, which the report checks by itself; G-XLT, which adds scores and changes none; and the model's
# revision, because a model is compared by its commit.
NAMED = ("head", "recipe", "effective_batch_size", "data_seed", *SETTINGS, *(name for name in OUR_SETTINGS if name != "languages"),
         *TOGETHER, *MASKED_LM)  # fmt: skip
NAMED_IF_SET = {**dict.fromkeys((*RARE_SETTINGS, *SELECTION_SETTINGS, "eval_steps_given", "deepspeed")),
                **{name: default for name, default in DATA_SETTINGS.items()
                   if name not in ("oracle", "g_xlt", "test_file", "model_revision")}}  # fmt: skip

# ---- harmless: {reason: names}

HARMLESS = {
    "says where the run is, or that it is redone": ("output_dir", "overwrite", "keep_checkpoints"),
    "says whether the model of a finished run stays on the disk": ("save_model",),
    "names a file of flags, each of which is in one of the three groups": ("config",),
    "starts one run for each seed, which is compared": ("seeds",),
    "says where the data are; what was read is compared by its content": ("data_dir",),
    "says whether the finished model is published, and where": (
        "push_to_hub", "hub_model_id", "hub_token", "hub_private_repo", "push_predictions"),
    "is one factor of the effective batch, which is compared": ("per_device_train_batch_size", "gradient_accumulation_steps"),
    "starts a new attempt, whose seed the result names": ("retries",),
    "keeps probabilities, and changes no score": ("save_probabilities",),
    "ends a run that does not learn, and changes no other run": ("collapse",),
    "says how many examples are scored at once: the same scores": ("per_device_eval_batch_size", "batch_tokens"),
    "chooses the device; devices differ in rounding only": ("use_cpu",),
    "computes activations twice: the same numbers with less memory": ("activation_checkpointing", "gradient_checkpointing"),
    "says how blocks are compiled; whether they are is compared (torch_compile)": ("torch_compile_backend", "torch_compile_mode"),
    "makes the same numbers at each start, instead of nearly the same": ("full_determinism",),
    "concerns memory or its measurement": ("torch_empty_cache_steps", "skip_memory_metrics"),
    "concerns what is logged, and where": (
        "logging_strategy", "logging_steps", "logging_first_step", "log_on_each_node", "logging_nan_inf_filter", "log_level",
        "log_level_replica", "disable_tqdm", "report_to", "run_name", "project", "trackio_space_id", "trackio_bucket_id",
        "trackio_static_space_id", "include_num_input_tokens_seen"),
    "concerns which checkpoints are on disk; a candidate is kept in any case": ("save_strategy", "save_total_limit"),
    "concerns how batches are loaded; their order stays": (
        "dataloader_num_workers", "dataloader_pin_memory", "dataloader_persistent_workers", "dataloader_prefetch_factor",
        "dataloader_multiprocessing_context"),
    "has no effect: our collator takes the columns that a model reads": ("remove_unused_columns",),
    "concerns how processes exchange gradients": (
        "ddp_find_unused_parameters", "ddp_bucket_cap_mb", "ddp_broadcast_buffers", "ddp_backend", "ddp_timeout"),
    "comes from the launcher": ("local_rank",),
    "has members that are refused one by one (`arguments.check_accelerator`)": ("accelerator_config",),
    "has members that are refused one by one (`arguments.check_checkpointing`)": (
        "activation_checkpointing_kwargs", "gradient_checkpointing_kwargs"),
}  # fmt: skip

# ---- refused: {what the user reads after the flag: names}

REFUSED = {
    "has no effect: a run that was cut off goes on from its last checkpoint by itself.": ("resume_from_checkpoint",),
    "leaves checkpoints without optimizer states: a run that was cut off could not go on. Leave the flag out.": ("save_only_model",),
    "lets a resumed run read examples a second time: it would end with other weights. Leave the flag out.": ("ignore_data_skip",),
    "has no effect: no callback here has a state of its own. Leave the flag out.": ("restore_callback_states_from_checkpoint",),
    "ends training early at SIGTERM, and the half-trained model would be scored. A run that is killed goes on from its last checkpoint"
    " by itself: choose --save_steps.": ("enable_jit_checkpoint",),
    "makes each machine write the same files into --output_dir, which all machines share. Leave the flag out.": ("save_on_each_node",),
    "false makes the update depend on the number of processes. Leave the flag out.": ("average_tokens_across_devices",),
    "drops examples; how many depends on processes and accumulation steps. Leave the flag out.": (
        "dataloader_drop_last",),
    "changes the update if memory is short. --per_device_train_batch_size N keeps the update and needs less memory;"
    " `python benchmarks/memory.py --gb N` says what fits.": ("auto_find_batch_size",),
    "has no effect: scores are computed on examples, from all predictions, and not by the Trainer. Leave the flag out.": (
        "prediction_loss_only", "eval_accumulation_steps", "eval_do_concat_batches", "eval_use_gather_object", "include_for_metrics",
        "batch_eval_metrics"),
    "has no effect: columns have their names here. Leave the flag out.": ("label_names", "length_column_name"),
    "false lets batches come in an order that differs from start to start. Leave the flag out.": ("dataloader_in_order",),
    "has no effect: --push_to_hub publishes the finished model once, at the end of the run, on the branch main. Leave the flag out.": (
        "hub_strategy", "hub_always_push", "hub_revision"),
    "fails at the attention masks of these models, which are no numbers. Leave the flag out.": ("debug",),
    "is for text generation: nothing is generated here. Leave the flag out.": ("use_cache",),
    "has not been tried here, and Liger has no kernels for encoders such as XLM-R. Leave the flag out.": (
        "use_liger_kernel", "liger_kernel_config"),
    "has not been tried here: --deepspeed ds_configs/zero3.json also shares a model among GPUs.": (
        "fsdp", "fsdp_config", "parallelism_config"),
    "has not been tried here: with several tasks the trained weights change from step to step.": ("ddp_static_graph",),
}  # fmt: skip

# Sections of a DeepSpeed file that change no update beyond rounding. ZeRO and offloading only say where numbers lie. The batch, the
# clipping and the precision must agree with the flags (`trainer.deepspeed.check_agreement`). Every other section is compared: an optimizer
# and a scheduler of DeepSpeed follow their own formulas ("adam_w_mode": false is another optimizer, WarmupDecayLR warms up
# logarithmically), data efficiency and compression change what is trained, and communication and data types are precisions.
DEEPSPEED_HARMLESS = (
    "train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping", "bf16", "fp16",
    "zero_optimization", "zero_allow_untested_optimizer", "zero_force_ds_cpu_optimizer", "prescale_gradients", "gradient_predivide_factor",
    "sparse_gradients", "disable_allgather", "activation_checkpointing", "aio", "checkpoint", "steps_per_print", "wall_clock_breakdown",
    "dump_state", "memory_breakdown", "flops_profiler", "comms_logger", "csv_monitor", "tensorboard", "wandb", "comet")  # fmt: skip
# ZeRO++ sends weights and gradients as 8-bit or 4-bit integers.
DEEPSPEED_LOSSY = ("zero_quantized_weights", "zero_quantized_nontrainable_weights", "zero_quantized_gradients", "zeropp_loco_param")


def describe_run(phase: str, args: Any, training_args: Any, tasks: Sequence[Any]) -> dict:
    """What a run is, without its model: two commands with the same description and the same model are the same cell of the grid."""
    if not training_args.do_train:
        return describe_scoring(phase, args, training_args, tasks)
    always = {name: getattr(training_args, name) for name in SETTINGS}
    always |= {name: getattr(args, name) for name in OUR_SETTINGS if hasattr(args, name)}
    return {
        "phase": phase,
        "task": tasks[0].name if len(tasks) == 1 else [task.name for task in tasks],
        "head": "kept" if args.keep_head else "fresh",
        "recipe": args.recipe,
        "seed": training_args.seed,
        "data_seed": training_args.data_seed,
        "effective_batch_size": args.effective_batch_size,
        **{name: value.value if isinstance(value, Enum) else value for name, value in always.items()},
        **rare_settings(training_args),
        **selection_settings(training_args, tasks),
        **({"eval_steps_given": True} if has_fixed_steps(args, training_args, tasks) else {}),
        **deepspeed_settings(training_args.deepspeed),
        **data_settings(args),
        **({name: getattr(args, name) for name in TOGETHER} if len(tasks) > 1 else {}),
        **({name: getattr(args, name) for name in MASKED_LM} if getattr(args, "mlm_languages", None) else {}),
    }


def describe_scoring(phase: str, args: Any, training_args: Any, tasks: Sequence[Any]) -> dict:
    """The same of a run that trains nothing: which parts it scores, and the settings of `SCORING`."""
    settings = {"bf16": training_args.bf16, "fp16": training_args.fp16}
    settings |= {name: getattr(args, name) for name in OUR_SETTINGS if hasattr(args, name)}
    settings |= {**rare_settings(training_args), **data_settings(args)}
    parts = {"dev": training_args.do_eval, "test": training_args.do_predict and phase != "intermediate"}
    return {
        "phase": phase,
        "task": tasks[0].name if len(tasks) == 1 else [task.name for task in tasks],
        "evaluate_only": [part for part, is_scored in parts.items() if is_scored],
        **{name: value for name, value in settings.items() if name in SCORING},
    }


def describe_search(args: Any, task: Any, precision: str) -> dict:
    """The same of a run of run_retrieval.py. precision: what it embeds in; fp32 and tf32 find the same, and are not named."""
    return {
        "phase": "retrieval",
        "task": task.name,
        **{name: getattr(args, name) for name in ("recipe", "layer", "pooling", "max_seq_length", "max_predict_samples", "languages")},
        **data_settings(args),
        **{name: value for name in ("layers", "lower_case") if (value := getattr(args, name))},
        **({"precision": precision} if precision in ("bf16", "fp16") else {}),
    }


def rare_settings(training_args: Any) -> dict:
    """Those of RARE_SETTINGS that differ from the library's default."""
    defaults = {field.name: field.default for field in dataclasses.fields(training_args)}
    return {name: value for name in RARE_SETTINGS if (value := getattr(training_args, name)) != defaults[name]}


def selection_settings(training_args: Any, tasks: Sequence[Any]) -> dict:
    """How checkpoints are compared, where that differs from the plain way: by the dev metric of the task, each one that is evaluated."""
    if not training_args.load_best_model_at_end:
        return {}
    settings = {}
    if training_args.save_steps != training_args.eval_steps:
        settings["save_steps"] = training_args.save_steps  # only a checkpoint that is saved can be chosen
    metric_and_direction = training_args.metric_for_best_model, training_args.greater_is_better
    if metric_and_direction != ("mean" if len(tasks) > 1 else tasks[0].dev_metric, True):
        settings |= dict(zip(("metric_for_best_model", "greater_is_better"), metric_and_direction))
    return settings


def has_fixed_steps(args: Any, training_args: Any, tasks: Sequence[Any]) -> bool:
    """Whether the user gives the recipe's own number of eval_steps, which is otherwise fitted to the run (`trainer/comparison.py`)."""
    given, settings = not args.given_flags.isdisjoint({"eval_steps", "save_steps"}), selection_settings(training_args, tasks)
    return given and training_args.eval_steps == tasks[0].recipes[args.recipe].eval_steps and "save_steps" not in settings


def deepspeed_settings(path: str | None) -> dict:
    """{"deepspeed": the sections of the file that change an update}; {} where there are none, or no file."""
    if path is None:
        return {}
    config = json.loads(Path(path).read_text(encoding="utf-8"))
    sections = {name: content for name, content in config.items() if name not in DEEPSPEED_HARMLESS}
    lossy = {name: value for name in DEEPSPEED_LOSSY if (value := config.get("zero_optimization", {}).get(name))}
    sections |= {"zero_optimization": lossy} if lossy else {}
    return {"deepspeed": sections} if sections else {}


def data_settings(args: Any) -> dict:
    """Those of DATA_SETTINGS and LAYOUT that differ from the plain run."""
    defaults = {**DATA_SETTINGS, **LAYOUT}
    values = {name: getattr(args, name, default) for name, default in defaults.items()}
    return {name: [*map(str, value)] if isinstance(value, list) else value for name, value in values.items() if value != defaults[name]}


def refusal(name: str) -> str | None:
    """What the user reads after `--name` where that flag is refused; None for every other flag."""
    return next((reason for reason, names in REFUSED.items() if name in names), None)


def scripts_flags() -> set[str]:
    """The names of all flags of all scripts."""
    return {*COMPARED, *(name for group in (HARMLESS, REFUSED) for names in group.values() for name in names)}
