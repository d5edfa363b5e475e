"""The command line: the sources of defaults, the flags that make two runs different, and that each flag works or is refused."""

import dataclasses
import enum
import json
import os
import shutil
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from conftest import ROOT, begin
from safetensors.torch import load_file
from transformers import TrainingArguments

import arguments
import run_intermediate
import run_retrieval
import run_target
import settings
from arguments import InputError, Launch, parse
from refusals import check_processes, check_together
from report.collect import collect
from results import lineage_of
from settings import COMPARED, HARMLESS, RARE_SETTINGS, REFUSED, describe_run
from task_adapters import TASKS

SCRIPTS = (run_intermediate, run_target, run_retrieval)


def launch_of(flags="", phase="target", task="xnli", **more):
    """The context that decides the defaults of `--task TASK FLAGS`."""
    script = {"target": run_target, "intermediate": run_intermediate}[phase]
    given, unknown_words = arguments.Parser((script.ScriptArguments, TrainingArguments), allow_abbrev=False).given_flags(flags.split())
    assert not unknown_words
    return Launch(given, (TASKS[task],), TASKS[task].recipes["jiant"], **more)


@pytest.fixture
def parsed(monkeypatch, tmp_path):
    """parsed(script, "--task", "xnli", ...): the value of `parse` for a command line with an output folder, on the CPU."""

    def run(script, *flags):
        own = () if script is run_retrieval else ("--use_cpu",)
        monkeypatch.setattr(sys, "argv", ["run.py", *own, "--output_dir", str(tmp_path / "out"), *flags])
        return parse(script.ScriptArguments, script.__name__.removeprefix("run_"))

    return run


@pytest.fixture
def described(parsed):
    """described(script, "--task", "xnli", "--flag", value, ...): the description of a run with this command line."""

    def run(script, *flags):
        args, training_args, tasks, _ = parsed(script, *flags)
        return {
            **describe_run(script.__name__.removeprefix("run_"), args, training_args, tasks),
            "model_name_or_path": args.model_name_or_path,
        }

    return run


# ---- every flag is in one group

GROUPS = (COMPARED, *HARMLESS.values(), *REFUSED.values())
FIELDS = {
    field.name: field
    for kind in (TrainingArguments, *(script.ScriptArguments for script in SCRIPTS))
    for field in dataclasses.fields(kind)
    if field.init
}
# Fields that some versions of transformers have: 5.23, and not 5.17.
OF_SOME_VERSIONS = {"activation_checkpointing", "activation_checkpointing_kwargs"}


@pytest.mark.parametrize("name", FIELDS)
def test_every_flag_is_compared_harmless_or_refused(name):
    assert sum(names.count(name) for names in GROUPS) == 1, f"put {name} into one of the groups of settings.py"


def test_no_group_names_a_flag_that_no_script_has():
    assert {name for names in GROUPS for name in names} - {*FIELDS} <= OF_SOME_VERSIONS


def test_a_reason_is_a_sentence_that_goes_on_after_the_flag():
    for reason in REFUSED:
        assert reason.endswith(".") or reason.endswith("`."), reason
        assert reason[0].islower() and len(reason) > 30, reason


def test_names_of_settings_are_read_without_torch():
    command = "import sys, settings, results; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}).returncode == 0


# ---- flags that make two runs different

# For each compared flag a value that gives another run than `--task TASK`; "VALUE | FLAGS" if the flag needs other flags too.
CHANGES = {
    "xnli": {
        "model_name_or_path": ["a/b"], "keep_head": [""], "recipe": ["xtreme"], "seed": ["7"], "data_seed": ["7"],
        "effective_batch_size": ["64"], "learning_rate": ["1e-3"], "num_train_epochs": ["9"], "max_steps": ["9"], "warmup_steps": ["9"],
        "lr_scheduler_type": ["cosine"], "weight_decay": ["0.5"], "adam_epsilon": ["1e-3"], "max_grad_norm": ["9"],
        "eval_strategy": ["epoch"], "eval_steps": ["9"], "load_best_model_at_end": ["false"], "bf16": [""], "fp16": [""], "optim": ["sgd"],
        "train_sampling_strategy": ["random"], "adam_beta1": ["0.5"], "adam_beta2": ["0.98"],
        "lr_scheduler_kwargs": ['{"num_cycles":2} | --lr_scheduler_type cosine_with_restarts'],
        "optim_args": ["momentum=0.9 | --optim sgd"], "neftune_noise_alpha": ["5"], "label_smoothing_factor": ["0.1"],
        "bf16_full_eval": [""], "fp16_full_eval": [""], "torch_compile": [""], "eval_delay": ["5"],
        "eval_on_start": [""], "save_steps": ["3000"], "metric_for_best_model": ["loss"], "greater_is_better": ["false"],
        "max_seq_length": ["99"], "doc_stride": ["9"], "max_train_samples": ["9"], "max_eval_samples": ["9"],
        "max_predict_samples": ["9"], "languages": ["de"], "freeze_embeddings": [""], "padding_free": ["on"], "train_languages": ["de"],
        "train_file": ["de=FILE", "fr=FILE"], "select_on": ["mean"], "oracle": [""], "trim_embeddings": ["off"],
        "label_piece": ["mean"], "normalize": ["nfc"], "tokenizer_as_loaded": [""],
        "label_map": ["A=neutral | --keep_head"], "do_train": ["false"], "do_eval": [""], "do_predict": [""],
        "lora_rank": ["8"], "lora_alpha": ["4 | --lora_rank 8"], "lora_dropout": ["0.1 | --lora_rank 8"],
        "lora_target": ["key | --lora_rank 8"], "early_stopping_patience": ["3"], "model_revision": ["v1"], "data_revision": ["v1"],
        "test_file": ["de=FILE", "ig=FILE"], "dev_file": ["en=FILE"],
    },
    "mlqa": {"g_xlt": [""], "perturb": ["typos:0.1", "typos:0.2"], "benchmark": ["xtreme-r"]},
    "squad_v2": {"no_answer_threshold": ["1"]},
    "mnli qqp": {
        "sampling": ["uniform"], "sampling_cap": ["9"], "temperature": ["3 | --sampling temperature --temperature 2"],
    },
    "mnli --mlm_languages de": {
        "mlm_languages": ["de sw"], "mlm_data": ["de=FILE"], "mlm_share": ["0.25"], "mlm_alpha": ["0.5"], "mlm_eval_samples": ["9"],
    },
}  # fmt: skip
# Compared flags that are not tested above: another task is another command, tf32 needs a GPU, and GaLore needs its package. DeepSpeed,
# retrieval, protocols (test_protocol.py) and files of tasks (test_task_file.py) have tests of their own.
NOT_CHANGED = {"task", "task_file", "protocol", "tf32", "optim_target_modules", "deepspeed", *settings.RETRIEVAL}


def script_of(task):
    return run_target if task in ("xnli", "mlqa") else run_intermediate


def commands(task, tmp_path):
    """Yields (name, command without the flag, command with it) for each changed flag."""
    (tmp_path / "file.tsv").write_text("a\tb\tneutral\n", encoding="utf-8")
    for name, values in CHANGES[task].items():
        for value in values:
            value, _, others = value.replace("FILE", str(tmp_path / "file.tsv")).partition(" | ")
            without = f"--task {task} {others}".split()
            yield name, without, [*without, f"--{name}", *value.split()]


def test_every_compared_flag_is_tried():
    assert {name for names in CHANGES.values() for name in names} == {*COMPARED} - NOT_CHANGED


@pytest.mark.parametrize("task", CHANGES)
def test_every_compared_flag_makes_another_run(task, described, tmp_path):
    """If `describe_run` missed a setting, a finished run would be taken for another run."""
    descriptions = []
    for name, without, with_it in commands(task, tmp_path):
        description = described(script_of(task), *with_it)
        assert description != described(script_of(task), *without) and description not in descriptions, name
        json.dumps(description, allow_nan=False)
        descriptions.append(description)


HARMLESS_CHANGES = (
    "--per_device_train_batch_size 1", "--per_device_eval_batch_size 1", "--logging_steps 1", "--logging_strategy no", "--overwrite",
    "--retries 1", "--keep_checkpoints", "--data_dir x", "--full_determinism", "--save_total_limit 3", "--disable_tqdm true",
    "--run_name x", "--dataloader_num_workers 1", "--gradient_checkpointing", "--ddp_timeout 9",
    "--skip_memory_metrics false", "--torch_empty_cache_steps 9", "--do_train", "--remove_unused_columns false", "--log_level error",
)  # fmt: skip


@pytest.mark.parametrize("task", CHANGES)
def test_a_harmless_flag_makes_no_other_run(task, described):
    plain = described(script_of(task), "--task", *task.split())
    for flags in HARMLESS_CHANGES:
        assert described(script_of(task), "--task", *task.split(), *flags.split()) == plain, flags


@pytest.mark.parametrize("task", CHANGES)
def test_runs_that_differ_in_a_compared_flag_cannot_stand_in_one_table(task, described, tmp_path):
    script = script_of(task)

    def write(folder, run, **more):
        folder.mkdir(parents=True)
        tasks = [run["task"]] if isinstance(run["task"], str) else run["task"]
        scores = {name: {TASKS[name].dev_metric: 50.0, "examples": 2} for name in tasks}
        kind = {"scores": {"de": scores[tasks[0]]}} if run["phase"] == "target" else {"dev": scores if len(tasks) > 1 else scores[tasks[0]]}
        results = {**run, "data": [], "lineage": [], "seconds": 1, "finished": "2031", **kind, **more}
        (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")

    # The report has its own columns for the start and the seed, and compares languages by their scores and test files by their content;
    # the oracle and G-XLT are additions, and a model is known by its commit. Runs on perturbed text stand in no table of scores. LoRA has
    # rows of its own.
    told_apart_otherwise = ("model_name_or_path", "seed", "languages", "test_file", "oracle", "g_xlt", "trim_embeddings", "model_revision",
                            "perturb", "lora_rank", "do_train", "do_eval", "do_predict")  # fmt: skip
    # A user who names a file names no language. A direction is set together with its metric.
    named_first = {"keep_head": "head", "train_file": "train_languages", "greater_is_better": "metric_for_best_model"}
    for place, (name, *both) in enumerate(commands(task, tmp_path)):
        if name in told_apart_otherwise:
            continue
        named, folder = named_first.get(name, name), tmp_path / f"{place}"
        for seed, words in enumerate(both, start=1):
            write(folder / f"{seed}", {**described(script, *words), "seed": seed})
        (problem,) = collect([folder]).problems
        assert problem.folder == f"{folder}/2" and problem.what.startswith(f"{named} of") and f" in {folder}/1" in problem.what, name
        if script is run_intermediate:
            after = {seed: lineage_of(str(folder / f"{seed}")) for seed in (1, 2)}
            for seed, lineage in after.items():
                shutil.rmtree(folder / f"{seed}")
                write(folder / f"{seed}", {"phase": "target", "task": "xnli", "seed": seed}, lineage=lineage)
            (problem,) = collect([folder]).problems
            assert problem.kind == "contradictory" and problem.what.startswith(f"{named} of"), name


def test_the_order_in_which_tasks_and_languages_are_named_makes_no_other_run(described):
    for one, other in (("mnli qqp", "qqp mnli"), ("mnli --mlm_languages de sw", "mnli --mlm_languages sw de")):
        assert described(run_intermediate, "--task", *one.split()) == described(run_intermediate, "--task", *other.split())


def test_the_plain_run_names_no_rare_flag(described):
    compared = ("--eval_strategy", "steps", "--load_best_model_at_end", "true", "--metric_for_best_model")
    described = partial(described, run_target, "--task", "xnli")
    plain, best = described(), described(*compared, "accuracy", "--greater_is_better", "true")
    assert not {*RARE_SETTINGS, "metric_for_best_model", "greater_is_better", "deepspeed"} & {*plain, *best}
    for name, value in (("adam_beta2", "0.98"), ("neftune_noise_alpha", "5.0"), ("bf16_full_eval", "true"), ("eval_delay", "5")):
        changed = described(f"--{name}", value)
        assert changed != plain and {key: changed[key] for key in plain} == plain, name
    saved_less_often = described(*compared, "accuracy", "--greater_is_better", "true", "--save_steps", str(2 * best["eval_steps"]))
    assert saved_less_often == {**best, "save_steps": 2 * best["eval_steps"]}, "only what is saved can be chosen"
    by_loss = described(*compared, "loss", "--greater_is_better", "false")
    assert by_loss != best and by_loss["metric_for_best_model"] == "loss" and by_loss["greater_is_better"] is False


def test_a_run_json_of_earlier_code_is_still_the_same_run(described, tmp_path):
    """Written by the commit before the groups, for `run_target.py --task xnli --adam_beta2 0.98`: a new group member must not break it."""
    earlier = {
        "phase": "target", "task": "xnli", "head": "fresh", "recipe": "jiant", "seed": 42, "data_seed": None, "effective_batch_size": 32,
        "learning_rate": 1e-05, "num_train_epochs": 2, "max_steps": -1, "warmup_steps": 0.1, "lr_scheduler_type": "linear",
        "weight_decay": 0.01, "adam_epsilon": 1e-08, "max_grad_norm": 1.0, "eval_strategy": "steps", "eval_steps": 1000,
        "load_best_model_at_end": True, "bf16": False, "fp16": False, "optim": "adamw_torch_fused",
        "train_sampling_strategy": "group_by_length", "max_seq_length": 256, "doc_stride": 128, "max_train_samples": None,
        "max_eval_samples": None, "max_predict_samples": None, "languages": None, "freeze_embeddings": False, "padding_free": "auto",
        "adam_beta2": 0.98, "model_name_or_path": "FacebookAI/xlm-roberta-large",
    }  # fmt: skip
    (tmp_path / "run.json").write_text(json.dumps(earlier))
    (tmp_path / "results.json").write_text('{"seed": 42}')
    settings = described(run_target, "--task", "xnli", "--adam_beta2", "0.98")
    assert begin(tmp_path, settings, model="FacebookAI/xlm-roberta-large") == {"seed": 42}, "skipped"


# ---- where defaults come from


def test_flags_win_over_every_layer_and_later_layers_over_earlier_ones(monkeypatch, parsed):
    def layer(rate, decay):
        return lambda launch: {"learning_rate": rate, "weight_decay": decay, "max_grad_norm": 7.0}

    monkeypatch.setattr(arguments, "LAYERS", (*arguments.LAYERS, layer(1.0, 0.1), layer(2.0, 0.2)))
    _, training_args, *_ = parsed(run_target, "--task", "xnli", "--weight_decay", "0.3")
    assert (training_args.learning_rate, training_args.weight_decay, training_args.max_grad_norm) == (2.0, 0.3, 7.0)


def test_what_the_user_gave_is_told_from_what_a_recipe_chose(parsed):
    args, training_args, *_ = parsed(
        run_target, "--task", "xnli", "--eval-steps", "1000", "--no_dataloader_pin_memory", "--learning_rate=1e-5"
    )
    assert args.given_flags == {"task", "eval_steps", "dataloader_pin_memory", "learning_rate", "use_cpu", "output_dir"}
    assert training_args.save_steps == 1000 and training_args.dataloader_pin_memory is False


def test_a_hidden_args_file_beside_the_script_is_not_read(parsed, monkeypatch, tmp_path):
    """transformers' parser would read a file run_target.args if there is one."""
    (tmp_path / "run.args").write_text("--learning_rate 7")
    monkeypatch.chdir(tmp_path)
    assert parsed(run_target, "--task", "xnli")[1].learning_rate == 1e-5


@pytest.mark.parametrize("flags, world, expected", [
    ("", 1, (8, 4)),
    ("", 2, (8, 2)),
    ("--per_device_train_batch_size 2", 1, (2, 16)),
    ("--gradient_accumulation_steps 1", 1, (32, 1)),
    ("--gradient_accumulation_steps 8 --per_device_train_batch_size 1", 1, (1, 8)),
    ("--effective_batch_size 6", 1, (6, 1)),
])  # fmt: skip
def test_the_effective_batch_is_reached_by_accumulation(flags, world, expected, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", str(world))
    found = arguments.batch_defaults(launch_of(f"--use_cpu {flags}"))
    assert (found["per_device_train_batch_size"], found["gradient_accumulation_steps"]) == expected


def on_a_gpu(gigabytes, task, flags, monkeypatch, phase="target"):
    """The default batch size on such a machine."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(total_memory=gigabytes * 2**30))
    return arguments.batch_defaults(launch_of(flags, phase, task))


@pytest.mark.parametrize("gigabytes, task, flags, train, scoring", [
    (79, "xnli", "", 32, 128), (39.4, "xnli", "", 32, 128), (23.6, "xnli", "", 16, 64), (15.8, "xnli", "", 8, 32),
    (79, "xquad", "", 16, 84), (23.6, "xquad", "", 8, 40), (79, "xnli", "--max_seq_length 512", 16, 64),
    (79, "xnli", "--per_device_train_batch_size 4", 4, 128), (79, "xnli", "--use_cpu", 8, 32),
])  # fmt: skip
def test_a_large_gpu_reads_as_many_examples_at_once_as_it_surely_has_room_for(gigabytes, task, flags, train, scoring, monkeypatch):
    """A small batch of short sentences leaves a GPU idle. A larger batch gives the same update."""
    found = on_a_gpu(gigabytes, task, flags, monkeypatch)
    assert found["per_device_train_batch_size"] == train and found["per_device_eval_batch_size"] == scoring
    assert train * found["gradient_accumulation_steps"] == TASKS[task].recipes["jiant"].effective_batch_size


def test_choices_are_read_side_by_side_and_need_room_as_such(monkeypatch):
    for task, flags, train in (
        ("hellaswag", "", 8),
        ("hellaswag", "--max_seq_length 128", 16),
        ("commonsenseqa", "--max_seq_length 128", 8),
    ):
        assert on_a_gpu(79, task, flags, monkeypatch, "intermediate")["per_device_train_batch_size"] == train, (task, flags)


@pytest.mark.parametrize("flags, world, message", [
    ("--effective_batch_size 8 --per_device_train_batch_size 2 --gradient_accumulation_steps 4", 2,
     "2 per device x 4 steps x 2 devices is 16, not --effective_batch_size 8"),
    ("--gradient_accumulation_steps 3", 1, "3 accumulation steps on 1 devices do not divide an effective batch of 32"),
    ("--gradient_accumulation_steps 16", 4, "16 accumulation steps on 4 devices do not divide"),
    ("", 3, "3 devices do not divide an effective batch of 32"),
    ("--per_device_train_batch_size 3", 2, "3 per device x 2 devices does not divide an effective batch of 32"),
])  # fmt: skip
def test_batches_that_do_not_come_out_are_refused(flags, world, message, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", str(world))
    with pytest.raises(InputError, match=message):
        arguments.batch_defaults(launch_of(f"--use_cpu {flags}"))


@pytest.mark.parametrize("flags, environment, deepspeed_file, devices", [
    ("", {"LOCAL_RANK": "0"}, None, 1),  # torchrun --nproc_per_node 1 uses one of the four GPUs.
    ("--use_cpu=true", {}, None, 1),
    ("", {"ACCELERATE_USE_CPU": "True"}, None, 1),
    ("--use_cpu false", {}, None, 4),  # A later check refuses this.
    ("", {}, "zero2.json", 1),
])  # fmt: skip
def test_only_the_devices_that_a_process_will_use_are_counted(flags, environment, deepspeed_file, devices, monkeypatch):
    for name, value in {"WORLD_SIZE": "1", **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert launch_of(flags, deepspeed_file=deepspeed_file).devices == devices


@pytest.mark.parametrize("flags, environment, message", [
    ({"n_gpu": 2}, {}, "One process sees 2 GPUs: start one for each"),  # DataParallel would double the loss.
    ({}, {"ACCELERATE_USE_FSDP": "true"}, "FSDP, which accelerate's settings ask for, has not been tried"),
    ({}, {"WORLD_SIZE": "2"}, "2 processes were launched, but each of them runs alone"),
])  # fmt: skip
def test_ways_to_run_that_would_give_other_numbers_are_refused(flags, environment, message, monkeypatch):
    plain = {"world_size": 1, "n_gpu": 1}
    check_processes(SimpleNamespace(**plain))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=message):
        check_processes(SimpleNamespace(**{**plain, **flags}))


@pytest.mark.parametrize("flags, message", [
    ({"deepspeed": "x.json"}, "not been tried under DeepSpeed"),
    ({"keep_head": True}, "--keep_head is for one task alone"),
    ({"train_languages": ["de"]}, "--train_languages is for one task"),
    ({"train_file": ["de=x.tsv"]}, "--train_file is for one task"),
    ({"train_sampling_strategy": "group_by_length"}, "--train_sampling_strategy group_by_length is for one task alone"),
    ({"ddp_find_unused_parameters": False}, "--ddp_find_unused_parameters false is for one task alone"),
])  # fmt: skip
def test_what_several_tasks_cannot_have_is_refused(flags, message):
    plain = {"deepspeed": None, "keep_head": False, "train_languages": None, "train_file": None, "train_sampling_strategy": "random",
             "ddp_find_unused_parameters": None}  # fmt: skip
    for given in (plain, {**plain, "train_languages": ["en"]}):
        check_together(("mnli", "qqp"), SimpleNamespace(**given), SimpleNamespace(**given))
    with pytest.raises(InputError, match=message):
        check_together(("mnli", "qqp"), SimpleNamespace(**{**plain, **flags}), SimpleNamespace(**{**plain, **flags}))


# ---- each flag works or is refused

REFUSED_NAMES = [name for names in REFUSED.values() for name in names if name in FIELDS]


def other_value(name):
    """A value on the command line that is not the default of a field."""
    field = FIELDS[name]
    if field.default in (True, False):
        return str(not field.default).lower()
    return {
        "eval_accumulation_steps": "3",
        "hub_strategy": "end",
        "hub_private_repo": "true",
        "ddp_static_graph": "true",
        "debug": "underflow_overflow",
    }.get(name, "x")


@pytest.mark.parametrize("name", [name for name in REFUSED_NAMES if name not in ("liger_kernel_config", "parallelism_config")])
def test_a_refused_flag_is_one_line_with_the_reason(name, parsed):
    with pytest.raises(InputError, match=f"^--{name} ") as error:
        parsed(run_target, "--task", "xnli", f"--{name}", other_value(name))
    assert str(error.value) == f"--{name} {settings.refusal(name)}"


@pytest.mark.parametrize("name", [name for name in REFUSED_NAMES if FIELDS[name].default in (True, False)])
def test_a_refused_flag_with_its_default_is_no_mistake(name, parsed):
    parsed(run_target, "--task", "xnli", f"--{name}", str(FIELDS[name].default).lower())


FLOATS = [field.name for field in dataclasses.fields(TrainingArguments) if "float" in str(field.type)]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("name", [*FLOATS, "no_answer_threshold"])
def test_no_number_may_be_nan_or_infinite(name, value, parsed):
    """nan is not equal to itself, so such a run could not be resumed and would have no table in common with other runs."""
    with pytest.raises(InputError, match=f"^--{name} {value}: (at least 0|above 0|a finite number)"):
        parsed(run_intermediate, "--task", "squad_v2", f"--{name}={value}")


@pytest.mark.parametrize("flags, message", [
    ("--adam_beta1 1", "--adam_beta1 1.0: at least 0 and below 1."),
    ("--adam_beta2=-0.1", "--adam_beta2 -0.1: at least 0 and below 1."),
    ("--adam_epsilon=-1e-8", "--adam_epsilon -1e-08: at least 0"),
    ("--weight_decay=-1", "--weight_decay -1.0: at least 0"),
    ("--warmup_steps=-1", "--warmup_steps -1.0: at least 0"),
    ("--max_grad_norm=-1", "--max_grad_norm -1.0: at least 0"),
    ("--label_smoothing_factor 1", "--label_smoothing_factor 1.0: at least 0 and below 1."),
    ("--label_smoothing_factor=-0.1", "--label_smoothing_factor -0.1: at least 0 and below 1."),
    ("--eval_steps 0", "--eval_steps 0.0: above 0"),
    ("--save_steps=-1", "--save_steps -1.0: above 0"),
    ("--logging_steps 0", "--logging_steps 0.0: above 0"),
    ("--max_steps 0", "--max_steps 0: at least 1, or -1"),
    ("--max_steps=-2", "--max_steps -2: at least 1, or -1"),
    ("--num_train_epochs=-1", "--num_train_epochs -1.0: above 0"),
    ("--save_total_limit 0", "--save_total_limit 0: at least 1."),
    ("--retries=-1", "--retries -1: at least 0."),
    ("--gradient_accumulation_steps 0", "--gradient_accumulation_steps 0: at least 1."),
    ("--per_device_train_batch_size 0", "--per_device_train_batch_size 0: at least 1."),
    ("--effective_batch_size 0", "--effective_batch_size 0: at least 1."),
    ("--max_seq_length 0", "--max_seq_length 0: at least 1."),
    ("--dataloader_drop_last", "--dataloader_drop_last drops examples; how many depends on"),
    ("--train_sampling_strategy batch_rebalance", "--train_sampling_strategy batch_rebalance ignores --seed"),
    ("--do_train false --do_eval false --do_predict false", "--do_train false and --do_eval false leave nothing to do."),
    ("--accelerator_config {\"split_batches\":true}", "--accelerator_config split_batches true: batches, their order and accumulation"),
    ("--accelerator_config {\"even_batches\":false}", "--accelerator_config even_batches false: batches"),
    ("--accelerator_config {\"use_seedable_sampler\":false}", "--accelerator_config use_seedable_sampler false: batches"),
    ("--accelerator_config {\"dispatch_batches\":true}", "--accelerator_config dispatch_batches true: batches"),
    ("--accelerator_config {\"use_configured_state\":true}", "--accelerator_config use_configured_state true: batches"),
    ("--accelerator_config {\"gradient_accumulation_kwargs\":{\"num_steps\":2}}", "--accelerator_config gradient_accumulation_kwargs {"),
    ("--accelerator_config {\"split_batch\":true}", "--accelerator_config: there is no 'split_batch'. Did you mean 'split_batches'?"),
    ("--accelerator_config /no/such/file.json", "--accelerator_config /no/such/file.json cannot be read (No such file"),
    ("--accelerator_config {bad", "--accelerator_config {bad is not valid JSON"),
    ("--lr_scheduler_kwargs {bad", "--lr_scheduler_kwargs {bad is not valid JSON"),
    ("--lr_scheduler_kwargs 3", "--lr_scheduler_kwargs 3 is no JSON object"),
    ("--lr_scheduler_kwargs {\"a\":1}", "--lr_scheduler_type linear with --lr_scheduler_kwargs {\"a\": 1}: "),
    ("--lr_scheduler_type cosine_with_min_lr", "--lr_scheduler_type cosine_with_min_lr with --lr_scheduler_kwargs null: One of "),
    ("--lr_scheduler_type constant --warmup_steps 5", "--warmup_steps has no effect with --lr_scheduler_type constant."),
    ("--lr_scheduler_type constant --lr_scheduler_kwargs {\"a\":1}", "--lr_scheduler_kwargs has no effect with --lr_scheduler_type"),
    ("--gradient_checkpointing_kwargs {\"use_reentrant\":true}", "--gradient_checkpointing_kwargs {\"use_reentrant\":true}: only"),
    ("--gradient_checkpointing_kwargs {\"preserve_rng_state\":false}", "--gradient_checkpointing_kwargs {\"preserve_rng_state\":false}"),
    ("--optim sgd --adam_beta1 0.5", "--adam_beta1 has no effect with --optim sgd."),
    ("--optim sgd --optim_args nesterov=true,foo=1", "--optim_args foo=1 has no effect with --optim sgd."),
    ("--optim_args a=1", "--optim_args a=1 has no effect with --optim adamw_torch_fused."),
    ("--optim sgd --optim_args momentum", "--optim_args momentum: 'momentum' is no NAME=VALUE."),
    ("--optim sgd --optim_args momentum=x", "--optim_args momentum=x: could not convert"),
    ("--optim_target_modules all-linear", "--optim_target_modules has no effect with --optim adamw_torch_fused"),
])  # fmt: skip
def test_what_no_run_could_honour_is_refused_before_anything_is_read(flags, message, parsed):
    with pytest.raises(InputError) as error:
        parsed(run_target, "--task", "xnli", *flags.split())
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


@pytest.mark.parametrize("flags", [
    "--accelerator_config {\"non_blocking\":true,\"split_batches\":false}", "--gradient_checkpointing_kwargs {\"use_reentrant\":false}",
    "--num_train_epochs 0 --max_steps 5", "--max_steps -1", "--optim sgd --optim_args momentum=0.9,nesterov=true", "--do_train",
    "--lr_scheduler_type constant", "--label_smoothing_factor 0.1", "--hub_strategy every_save", "--max_grad_norm 0",
])  # fmt: skip
def test_what_is_right_is_taken(flags, parsed):
    parsed(run_target, "--task", "xnli", *flags.split())


@pytest.mark.parametrize("script, task", [(run_intermediate, "mnli"), (run_target, "xnli")])
@pytest.mark.parametrize("flags", [(), ("--output_dir", "")])
def test_without_an_output_folder_a_run_ends_in_one_line(script, task, flags, call, monkeypatch, tmp_path):
    """Without --output_dir, TrainingArguments would write to ./trainer_output."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="^--output_dir is missing"):
        call(script, "--task", task, "--use_cpu", *flags)
    assert not list(tmp_path.iterdir())


ONLY_OF_TRAINING = sorted(
    {field.name for script in (run_intermediate, run_target) for field in dataclasses.fields(script.ScriptArguments) if field.init}
    - {field.name for field in dataclasses.fields(run_retrieval.ScriptArguments)}
)


@pytest.mark.parametrize("name", [*ONLY_OF_TRAINING, "deepspeed", "lr_scheduler_type", "bf16"])
def test_run_retrieval_says_of_each_flag_of_the_other_scripts_that_it_trains_nothing(name, parsed):
    for flag in (f"--{name}", f"--{name.replace('_', '-')}=x"):
        with pytest.raises(InputError) as error:
            parsed(run_retrieval, "--task", "tatoeba", flag)
        assert str(error.value) == f"{flag.partition('=')[0]} is for training: this script trains nothing and has no such flag."


def test_the_groups_cover_the_flags_of_training_with_the_reasons_of_each():
    assert {"select_on", "oracle", "sampling", "mlm_languages", "bf16", "push_to_hub"} <= settings.scripts_flags()


def test_harmless_flags_leave_the_weights_as_they_are(call, tiny_model, data_dir, tmp_path):
    """All flags at once, each with another value than its default."""
    common = (
        "--task", "mnli", "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--use_cpu", "--max_seq_length", "96",
        "--max_train_samples", "24", "--max_eval_samples", "8", "--effective_batch_size", "8", "--max_steps", "4", "--eval_strategy",
        "steps", "--eval_steps", "2", "--disable_tqdm", "true", "--learning_rate", "1e-3", "--padding_free", "off",
    )  # fmt: skip
    harmless = (
        "--logging_strategy steps --logging_steps 1 --logging_first_step --logging_nan_inf_filter true --log_level error --run_name x"
        " --log_level_replica error --no_log_on_each_node --include_num_input_tokens_seen true --project x --torch_empty_cache_steps 1"
        " --skip_memory_metrics false --full_determinism --save_total_limit 3 --dataloader_num_workers 1 --dataloader_prefetch_factor 3"
        " --dataloader_persistent_workers --no_remove_unused_columns --do_train --gradient_checkpointing --retries 1 --keep_checkpoints"
        " --per_device_eval_batch_size 3 --ddp_timeout 99 --ddp_bucket_cap_mb 9"
    ).split()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        plain = call(run_intermediate, *common, "--output_dir", tmp_path / "plain")
        changed = call(run_intermediate, *common, *harmless, "--output_dir", tmp_path / "changed")
        torch.use_deterministic_algorithms(False)
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("plain", "changed"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert plain["dev"] == changed["dev"] and changed["training"]["steps"] == 4


def test_values_of_choices_stand_as_words_in_a_description(described):
    assert not [value for value in described(run_target, "--task", "xnli").values() if isinstance(value, enum.Enum)]
