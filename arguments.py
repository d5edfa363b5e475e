"""The command line of the three scripts: recipe values as defaults, every one of them overridden by its flag, mistakes as one line.

`parse` reads the flags once. Whatever the user left out comes from LAYERS, an ordered list of functions (launch -> defaults) in which later
ones win; a flag wins over all of them, and the library's own default stands where no layer names a value.

The effective batch is the recipe's, whatever the number of processes: accumulation steps are computed, never guessed.
"""

import argparse
import dataclasses
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

from transformers import HfArgumentParser, TrainingArguments

from config_file import with_file
from console import say
from foreign_flags import answer, is_known
from help_page import EXAMPLES, help_page
from refusals import (
    check_dev_files,
    check_early_stopping,
    check_given,
    check_languages,
    check_lists,
    check_lora,
    check_optimizer,
    check_packages,
    check_pairs,
    check_parts,
    check_processes,
    check_protocol,
    check_publication,
    check_revisions,
    check_schedule,
    check_search,
    check_seeds,
    check_together,
)
from settings import scripts_flags
from task_adapters import (
    PAPERS_TASKS,
    TASKS,
    InputError,
    Task,
    add_task_file,
    at_revision,
    benchmark_of,
    find_own_files,
    find_train_files,
    find_train_languages,
    get_task,
    nearest,
    nlu_evals,
    under_protocol,
    with_languages_of,
    with_own_data,
)
from task_adapters.content import file_key
from task_adapters.perturb import kind_and_rate
from trainer import deepspeed as deepspeed_support
from trainer.seeds import run_seeds


@dataclass
class CommonArguments:
    """Flags of all three scripts."""

    task: str = field(default="", metadata={"help": "Name of the task."})
    task_file: str | None = field(
        default=None, metadata={"help": "A Python file with a TASK of your own (docs/your_task.md); --task may then be left out."}
    )
    model_name_or_path: str = field(
        default="FacebookAI/xlm-roberta-large", metadata={"help": "Hub id or folder; the folder of an earlier run for the next phase."}
    )
    benchmark: Literal["xtreme", "xtreme-r"] | None = field(
        default=None,
        metadata={"help": "Score this benchmark's languages; by default xtreme, and xtreme-r for tasks that only XTREME-R has."},
    )
    protocol: Literal["nlu-evals"] | None = field(
        default=None, metadata={"help": "nlu-evals: train and score a task of XTREME-R as the code of that name does (docs/xtreme_r.md)."}
    )
    recipe: str = field(
        default="jiant",
        metadata={"help": "Published settings that are the defaults; a task without the recipe jiant takes its first recipe."},
    )
    data_dir: str | None = field(
        default=None, metadata={"help": "Folder laid out by hub id, used instead of the hub: DIR/nyu-mll/glue/mnli/train-*.parquet."}
    )
    max_seq_length: int | None = field(default=None, metadata={"help": "Longest input in tokens, special ones included."})
    normalize: Literal["as_is", "nfc"] = field(
        default="as_is", metadata={"help": "nfc: compose letters with their accents, as in the text that encoders were trained on."}
    )
    tokenizer_as_loaded: bool = field(
        default=False, metadata={"help": "Tokenize as transformers' class does, even where the tokenizer's own files say otherwise."}
    )
    model_revision: str | None = field(default=None, metadata={"help": "Commit, tag or branch of the hub's model; main by default."})
    data_revision: list[str] | None = field(
        default=None, metadata={"help": "Commit, tag or branch of data on the hub: one REVISION for all data sets, or HUB_ID=REVISION ..."}
    )
    config: str | None = field(default=None, metadata={"help": "File of flags, YAML or JSON; flags on the command line win."})
    overwrite: bool = field(default=False, metadata={"help": "Redo the run that --output_dir holds."})
    # Names of the flags that the user wrote, of transformers' too: a value chosen later never replaces one of these.
    given_flags: frozenset = field(default=frozenset(), init=False)


@dataclass
class TrainArguments(CommonArguments):
    """Flags of the two scripts that train, beside those of `TrainingArguments`."""

    effective_batch_size: int | None = field(
        default=None, metadata={"help": "Examples per update over all devices; reached by accumulation."}
    )
    doc_stride: int | None = field(default=None, metadata={"help": "Span QA: tokens between the starts of two windows."})
    train_languages: list[str] | None = field(
        default=None,
        metadata={
            "help": "Train on the task's own data in these languages, or in `all` that have some; en by default, none with --train_file."
        },
    )
    train_file: list[str] | None = field(
        default=None,
        metadata={"help": "Train on these files (parquet, jsonl, json, csv, tsv) instead of the task's own data: PATH, or LANG=PATH."},
    )
    max_train_samples: int | None = field(
        default=None, metadata={"help": "Train on only this many examples of each language, drawn with --seed."}
    )
    max_eval_samples: int | None = field(default=None, metadata={"help": "Score only the first N dev examples of each language."})
    label_piece: Literal["first", "first_content", "mean"] = field(
        default="first",
        metadata={
            "help": "Tagging: read a word's tag at its first token, at its first token that is more than a space, or as the mean over all."
        },
    )
    keep_head: bool = field(default=False, metadata={"help": "Start from the checkpoint's head instead of a fresh one."})
    label_map: list[str] | None = field(
        default=None,
        metadata={"help": "Which label of the task each output of a kept head stands for: ENTAILMENT=entailment LABEL_0=neutral ..."},
    )
    freeze_embeddings: bool = field(
        default=False,
        metadata={
            "help": "Do not train the word embeddings (nearly half of XLM-R Large's weights): saves their gradients and optimizer states."
        },
    )
    lora_rank: int | None = field(
        default=None,
        metadata={"help": "Train only LoRA adapters of this rank and the head; the adapters are merged into the saved model."},
    )
    lora_alpha: float | None = field(
        default=None, metadata={"help": "LoRA: adapters are scaled by alpha / rank; alpha is twice the rank by default."}
    )
    lora_dropout: float = field(default=0.0, metadata={"help": "LoRA: dropout on the input of each adapter."})
    lora_target: list[str] | None = field(
        default=None, metadata={"help": "LoRA: names of the linear layers that get an adapter; peft's for this architecture by default."}
    )
    padding_free: Literal["auto", "on", "off"] = field(
        default="auto",
        metadata={
            "help": "Compute no padding tokens. auto: on a GPU, and for choices of very different lengths, if the encoder allows it."
        },
    )
    trim_embeddings: Literal["auto", "on", "off"] = field(
        default="auto",
        metadata={
            "help": "While training, embeddings of tokens that the data lack stay in host memory; auto: where updates stay the same."
        },
    )
    collapse: Literal["stop", "warn", "off"] = field(
        default="stop", metadata={"help": "What to do if the loss of a run stays at chance: stop it, warn, or nothing (off)."}
    )
    early_stopping_patience: int | None = field(
        default=None, metadata={"help": "End training after N comparisons of checkpoints in a row without a better one."}
    )
    seeds: list[int] | None = field(
        default=None, metadata={"help": "Run the command once for each of these seeds, in OUTPUT_DIR/seed42 and so on."}
    )
    save_model: bool = field(
        default=True, metadata={"help": "false: remove the model when the run is finished; results and predictions stay."}
    )
    retries: int = field(default=0, metadata={"help": "If the run fails to learn, begin again with another seed, up to N times."})
    keep_checkpoints: bool = field(default=False, metadata={"help": "Keep checkpoint-* (for resuming) after the run is finished."})
    push_predictions: bool = field(default=False, metadata={"help": "With --push_to_hub: publish results.json and predictions/ too."})
    # What `report.publish.share` publishes, and as whom; None: nothing. The Trainer does not know of it: it would push its own card.
    publication: dict | None = field(default=None, init=False)


class Parser(HfArgumentParser):
    """transformers' parser, whose complaint is one line. argparse prints all two hundred flags before its own."""

    def error(self, message: str) -> NoReturn:
        commas = ": blanks stand between numbers, not commas" if re.search(r"invalid int value: '\d+(,\d*)+'$", message) else ""
        raise InputError(message + commas)

    def given_flags(self, words: list[str] | None = None) -> tuple[dict, list[str]]:
        """({name: typed value} of the given flags, the words that are no flag of this parser). words: None for the command line"""
        not_given = object()
        # argparse fills in a default only where the namespace lacks the name.
        blank = argparse.Namespace(**{action.dest: not_given for action in self._actions})
        namespace, unknown_words = self.parse_known_args(words, blank)
        return {name: value for name, value in vars(namespace).items() if value is not not_given}, unknown_words


@dataclass(frozen=True)
class Launch:
    """All that a default may depend on.

    given            {name: typed value} of the flags that the user wrote
    tasks, recipe    what --task and --recipe name
    deepspeed_file   the JSON file of DeepSpeed, None without DeepSpeed
    deepspeed        its content, {} without DeepSpeed
    """

    given: dict
    tasks: tuple[Task, ...]
    recipe: Any
    deepspeed_file: str | None = None
    deepspeed: dict = field(default_factory=dict)

    @property
    def has_several_tasks(self) -> bool:
        return len(self.tasks) > 1

    @property
    def draws_task_by_task(self) -> bool:
        """Whether each step is drawn from several tasks, of which masked LM is one."""
        return self.has_several_tasks or bool(self.given.get("mlm_languages"))

    @property
    def evaluates_only(self) -> bool:
        """--do_train false, or as transformers' users write it: --do_eval or --do_predict without --do_train."""
        is_scoring_asked_for = bool(self.given.get("do_eval") or self.given.get("do_predict"))
        return not self.given.get("do_train", not is_scoring_asked_for)

    @property
    def stays_off_the_gpu(self) -> bool:
        """--use_cpu, or `accelerate launch --cpu`."""
        return bool(self.given.get("use_cpu")) or os.environ.get("ACCELERATE_USE_CPU", "false").lower() in ("1", "true")

    @property
    def uses_gpu(self) -> bool:
        import torch  # here and below: `--help` and mistakes in a flag should not wait for it

        return not self.stays_off_the_gpu and torch.cuda.is_available()

    @property
    def gives_precision(self) -> bool:
        return bool({"bf16", "fp16"} & self.given.keys())

    @property
    def devices(self) -> int:
        """How many devices share an update. Without a launcher, one process uses all visible GPUs. Under torchrun or DeepSpeed each
        process uses one."""
        import torch

        is_launched = int(os.environ.get("LOCAL_RANK", -1)) >= 0
        if is_launched or self.stays_off_the_gpu or self.deepspeed_file:
            return int(os.environ.get("WORLD_SIZE", 1))
        return max(1, torch.cuda.device_count())


# ---- defaults: functions of a Launch, in the order of LAYERS


def collection_defaults(launch: Launch) -> dict:
    """What every run here has otherwise than the library's default."""
    return {
        "report_to": "none",
        "disable_tqdm": not sys.stderr.isatty(),  # in a file, bars are glued to the lines; there each logging_steps has a line
        "logging_steps": 100,
        # The filter asks for the value of each step's loss, and a GPU would wait for it. trainer/collapse.py reads many at once.
        "logging_nan_inf_filter": False,
        "save_total_limit": 1,
        "train_sampling_strategy": "random" if launch.draws_task_by_task else "group_by_length",
    }


def parts_defaults(launch: Launch) -> dict:
    """Whether a run trains, and which data it scores, under transformers' names. A run that trains scores dev and test data.

    Without training: --do_eval alone scores dev data, --do_predict alone test data, and where neither is given both are scored.
    """
    if not launch.evaluates_only:
        return {"do_train": True, "do_eval": True, "do_predict": True}
    given = launch.given
    return {"do_train": False, "do_eval": not given.get("do_predict", False), "do_predict": not given.get("do_eval", False)}


def recipe_defaults(launch: Launch) -> dict:
    """The values of the recipe, under the names of their flags: numbers of training, lengths, the layer that retrieval reads."""
    about_selection = ("selection", "max_selection_samples")  # these have no flag
    return {name: value for name, value in vars(launch.recipe).items() if name not in about_selection}


def lora_defaults(launch: Launch) -> dict:
    """LoRA learns little at the learning rates of full fine-tuning: the rate of its authors for MNLI with RoBERTa Large (Table 9)."""
    return {"learning_rate": 3e-4} if launch.given.get("lora_rank") else {}


def selection_defaults(launch: Launch) -> dict:
    """Whether checkpoints are compared, when, and by which number.

    Checkpoints are compared where the recipe keeps the best, or where a flag asks for it. A checkpoint that is compared is also saved,
    because the best one must be on disk. eval_steps and save_steps are the recipe's here: how many updates a run has is known when its data
    are read. Whoever spaces evaluations then must leave what stands in `given_flags`.
    """
    given = launch.given
    if launch.evaluates_only:
        return {"eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False}
    is_asked_for = (
        given.get("select_on", "en") != "en"
        or "early_stopping_patience" in given
        or (launch.has_several_tasks and given.get("eval_strategy", "no") != "no")
    )
    is_impossible = "no" in (given.get("eval_strategy"), given.get("save_strategy"))  # nothing to compare, or nothing to go back to
    steps = {"save_steps": given.get("eval_steps", launch.recipe.eval_steps)}
    if is_impossible or not (launch.recipe.selection == "best" or is_asked_for):
        return {**steps, "eval_strategy": "no", "save_strategy": "steps", "load_best_model_at_end": False}
    strategy = given.get("eval_strategy", "epoch" if given.get("save_strategy") == "epoch" else "steps")
    return {
        **steps,
        "eval_strategy": strategy,
        "save_strategy": strategy,
        "load_best_model_at_end": True,
        "metric_for_best_model": "mean" if launch.has_several_tasks else launch.tasks[0].dev_metric,
        "greater_is_better": True,
    }


def batch_defaults(launch: Launch) -> dict:
    """Examples per device, as many as there is surely room for, and accumulation steps; their product over all devices is the effective
    batch. Accumulation steps that the user gives are taken as they are, and must agree with --effective_batch_size."""
    room, devices = room_on_device(launch), launch.devices
    if launch.evaluates_only:
        return {"per_device_eval_batch_size": max(32, 4 * room)}
    batch = launch.given.get("effective_batch_size", launch.recipe.effective_batch_size)
    per_device, steps = launch.given.get("per_device_train_batch_size"), launch.given.get("gradient_accumulation_steps")
    if steps is None:
        together = getattr(launch.recipe, "negatives_among", None) or 0  # pairs: so many questions must be on one device
        per_device, steps = split_batch(batch, devices, per_device, most=max(8, room, together))
    elif per_device is None:
        if batch % (steps * devices):
            raise InputError(f"{steps} accumulation steps on {devices} devices do not divide an effective batch of {batch}.")
        per_device = batch // (steps * devices)
    elif "effective_batch_size" in launch.given and per_device * steps * devices != batch:
        product = f"{per_device} per device x {steps} steps x {devices} devices is {per_device * steps * devices}"
        raise InputError(f"{product}, not --effective_batch_size {batch}.")
    return {
        "per_device_train_batch_size": per_device,
        "gradient_accumulation_steps": steps,
        "per_device_eval_batch_size": max(32, 4 * room),
    }


def split_batch(batch: int, devices: int, per_device: int | None, most: int) -> tuple[int, int]:
    """(examples per device, accumulation steps) of an effective batch. per_device: None for the largest that divides it, at most `most`."""
    if batch % devices:
        raise InputError(f"{devices} devices do not divide an effective batch of {batch}. Choose --effective_batch_size.")
    if per_device is None:
        per_device = max(size for size in range(1, most + 1) if (batch // devices) % size == 0)
    if batch % (per_device * devices):
        raise InputError(
            f"{per_device} per device x {devices} devices does not divide an effective batch of {batch}."
            " Choose --per_device_train_batch_size or --effective_batch_size."
        )
    return per_device, batch // (per_device * devices)


def room_on_device(launch: Launch) -> int:
    """Examples of the longest kind that this process's GPU surely has room for at once, beside XLM-R Large and its optimizer states.

    0 where that is not sure. A few short sentences at a time leave a GPU waiting for its next command (benchmarks/memory.py).
    """
    import torch

    if not launch.uses_gpu:
        return 0
    local_rank = min(int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count() - 1)
    gibibytes = torch.cuda.get_device_properties(max(local_rank, 0)).total_memory / 2**30
    tokens = 8192 if gibibytes > 38 else 4096 if gibibytes > 22 else 0  # cards of 40 and of 24 GB
    max_seq_length = launch.given.get("max_seq_length", launch.recipe.max_seq_length)
    return tokens // (max_seq_length * max(task.choices for task in launch.tasks))


def hardware_precision(launch: Launch) -> dict:
    """bf16 on GPUs that compute in it."""
    import torch

    return {"bf16": torch.cuda.is_bf16_supported(including_emulation=False)} if launch.uses_gpu else {}


def launcher_precision(launch: Launch) -> dict:
    """What `accelerate config` says."""
    precision = os.environ.get("ACCELERATE_MIXED_PRECISION")
    return {"bf16": precision == "bf16", "fp16": precision == "fp16"} if precision in ("bf16", "fp16") else {}


def deepspeed_precision(launch: Launch) -> dict:
    """What DeepSpeed's file says about bf16, unless that is "auto". A file with fp16 needs --fp16 (`deepspeed.check_agreement`)."""
    bf16, fp16 = (launch.deepspeed.get(name, {}).get("enabled", "auto") for name in ("bf16", "fp16"))
    if bf16 != "auto":
        return {"bf16": bf16, **({"fp16": False} if bf16 else {})}
    return {"bf16": False} if fp16 is True else {}


def precision_defaults(launch: Launch) -> dict:
    """The precision by the hardware, the launcher and DeepSpeed's file, later ones winning. {} where a flag names a precision: --fp16 alone
    must not meet a default of bf16."""
    if launch.gives_precision:
        return {}
    return {**hardware_precision(launch), **launcher_precision(launch), **deepspeed_precision(launch)}


def deepspeed_defaults(launch: Launch) -> dict:
    """The file that accelerate names counts like --deepspeed. Without a GPU, DeepSpeed runs on the CPU."""
    import torch

    return {"deepspeed": launch.deepspeed_file, "use_cpu": not torch.cuda.is_available()} if launch.deepspeed_file else {}


LAYERS = (collection_defaults, parts_defaults, recipe_defaults, lora_defaults, selection_defaults, batch_defaults, precision_defaults,
          deepspeed_defaults)  # fmt: skip


# ---- the command line


def parse(arguments_class: type[CommonArguments], phase: str) -> tuple[Any, Any, Any, Any]:
    """The command line of a script. -> (arguments, TrainingArguments, tasks: one, or several to be trained together, recipe)

    A script that trains nothing has TrainingArguments for its trackers alone, None without one.
    """
    trains = issubclass(arguments_class, TrainArguments)
    parser = Parser((arguments_class, *[TrainingArguments] * trains), allow_abbrev=False, add_help=False)
    parser.add_argument("-h", "--help", nargs="?", const="ours")
    sys.argv[1:] = with_file(sys.argv[1:], parser)
    given, unknown_words = parser.given_flags()
    check_lists(given)
    given = with_protocol(given)
    if which := given.pop("help", None):
        show_help(parser, given, phase, arguments_class, which)
    tasks, benchmark = over_languages(find_tasks(given, phase), given, phase)
    check_unknown(unknown_words, parser, trains)
    check_given(given, trains)
    launch = launch_of(given, tasks, trains)
    check_protocol(given, launch.recipe)
    if trains:
        check_parts(given, phase, launch.evaluates_only, launch.deepspeed_file)
    values = {"recipe": tasks[0].default_recipe, **defaults_of(launch, trains), **given}
    args = make(arguments_class, values)
    args.given_flags, args.benchmark = frozenset(given), benchmark
    check_revisions(args, tasks)
    if args.model_revision:
        args.model_name_or_path = f"{args.model_name_or_path}@{args.model_revision}"
    tasks = tuple(at_revision(task, args.data_revision) for task in tasks)
    args.task_file = args.task_file and f"sha256 {file_key(Path(args.task_file))}"  # the run is compared by what the file says
    tasks = (over_own_data(tasks[0], args),) if phase != "intermediate" else tasks
    check_languages(tasks[0], args)
    if not trains:
        check_search(tasks[0], args)
        return args, tracking_arguments(args), tasks, launch.recipe
    if args.seeds:
        check_seeds(given)
        run_seeds(args.seeds, given["output_dir"])  # the end of this script
    prepare_process(launch)
    # Without the token: the Trainer writes its arguments into training_args.bin.
    training_args = make(TrainingArguments, {name: value for name, value in values.items() if name not in ("push_to_hub", "hub_token")})
    check_training(launch, args, training_args)
    args.label_map = args.label_map and sorted(args.label_map)
    args.publication = check_publication(given, training_args)
    args.train_file = find_train_files(args.train_file or [])
    args.train_languages = find_train_languages(tasks[0], args.train_languages, args.train_file)
    args.effective_batch_size = training_args.train_batch_size * training_args.gradient_accumulation_steps * training_args.world_size
    return args, training_args, tasks, launch.recipe


def show_help(parser: Parser, given: dict, phase: str, arguments_class: type[CommonArguments], which: str) -> None:
    """Prints the flags, with the defaults of the task where one is named, and ends the script. which: "ours" or "all" """
    if which not in ("ours", "all"):
        raise InputError(f"--help {which}: `--help`, `--help all` or `--help --task {EXAMPLES[phase]}` would be right.")
    trains, task = issubclass(arguments_class, TrainArguments), None
    if given.get("task") or given.get("task_file"):
        task, *others = find_tasks(given, phase)
        parser.set_defaults(**{**defaults_of(launch_of(given, (task, *others), trains), trains), **given})
    ours = {field.name for field in dataclasses.fields(arguments_class)}
    print(help_page(parser, phase, ours, task, which == "all"))
    parser.exit()


def with_protocol(given: dict) -> dict:
    """The flags with the task and the recipe that --protocol has, or that a task of a protocol brings along; as they are without one."""
    names = given.get("task") or []
    names = [names] if isinstance(names, str) else names
    protocol = given.get("protocol") or next((TASKS[name].protocol for name in names if name in TASKS and TASKS[name].protocol), None)
    if protocol is not None and "task_file" in given:
        raise InputError(f"--protocol {protocol} has its own tasks: leave --task_file out.")
    if protocol is None or not names:  # `find_tasks` says what is missing
        return given
    if len(names) > 1:
        raise InputError(f"--protocol {protocol} is for one task at a time, and --task names {', '.join(names)}.")
    if given.get("recipe", protocol) != protocol:
        raise InputError(f"--protocol {protocol} is a recipe of its own: leave --recipe {given['recipe']} out.")
    if "benchmark" in given:
        raise InputError(f"--protocol {protocol} has its own languages: leave --benchmark {given['benchmark']} out.")
    name = under_protocol(names[0], protocol) if names[0] in TASKS else names[0]
    return {**given, "protocol": protocol, "recipe": protocol, "task": [name] if isinstance(given["task"], list) else name}


def find_tasks(given: dict, phase: str) -> tuple[Task, ...]:
    """The tasks of --task in the collection's own order, so that `squad_v1 mnli` and `mnli squad_v1` are the same run."""
    names = given.get("task") or []
    names = [names] if isinstance(names, str) else names
    if "task_file" in given:
        own = add_task_file(given["task_file"]).name
        names = names or [own]
        if own not in names:
            raise InputError(f"--task_file {given['task_file']}: its TASK is {own!r}, and --task names {', '.join(names)}. Leave one out.")
    if not names:
        raise InputError(
            "--task is missing. For example: --task " + {"intermediate": "mnli", "target": "xnli", "retrieval": "tatoeba"}[phase]
        )
    if names == ["all"] and phase == "intermediate":
        names = [name for name in PAPERS_TASKS if TASKS[name].phase == phase]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"--task names {name!r} {names.count(name)} times.")
        task = get_task(name, phase)
        recipe = given.get("recipe", TASKS[names[0]].default_recipe)
        if recipe not in task.recipes and recipe == nlu_evals.PROTOCOL:
            raise InputError(f"{recipe} is no recipe of {task.name}, but a protocol: --protocol {recipe}.")
        if recipe not in task.recipes:
            raise InputError(f"Unknown recipe {recipe!r} for {task.name}. {nearest(recipe, task.recipes)}")
        if task.recipes[recipe] != TASKS[names[0]].recipes[recipe]:
            raise InputError(f"Recipe {recipe!r} has other settings for {name} than for {names[0]}: they cannot be trained together.")
    return tuple(sorted((TASKS[name] for name in names), key=list(TASKS.values()).index))


def over_languages(tasks: tuple[Task, ...], given: dict, phase: str) -> tuple[tuple[Task, ...], str | None]:
    """-> (the tasks with the languages that --benchmark scores, the value of --benchmark that the run names: `benchmark_of`)"""
    if phase != "intermediate":
        benchmark = benchmark_of(tasks[0], given.get("benchmark"))
        return (with_languages_of(tasks[0], benchmark),), benchmark
    if "benchmark" in given:
        raise InputError("--benchmark says which languages a target is scored in: intermediate tasks are English alone.")
    return tasks, None


def over_own_data(task: Task, args: Any) -> Task:
    """The task with the user's own test and dev files, and with languages of --languages that only --data_dir has; checks the flags.

    A language of --test_file joins those of --languages, where that flag is given.
    """
    args.test_file = find_own_files("test_file", args.test_file or [])
    args.dev_file = find_own_files("dev_file", getattr(args, "dev_file", None) or [])  # run_retrieval.py has no such flag
    if args.languages:
        args.languages = [*args.languages, *(file.language for file in args.test_file if file.language not in args.languages)]
    if getattr(args, "perturb", None) is not None:
        kind_and_rate(args.perturb)
    task = with_own_data(task, args.test_file, args.dev_file, args.languages or (), args.data_dir)
    check_dev_files(task, args)
    return task


def launch_of(given: dict, tasks: tuple[Task, ...], trains: bool) -> Launch:
    """What the defaults of this command depend on."""
    recipe = tasks[0].recipes[given.get("recipe", tasks[0].default_recipe)]
    path = deepspeed_support.config_path(given.get("deepspeed")) if trains else None
    return Launch(given, tasks, recipe, path, deepspeed_support.read_config(path) if path else {})


def prepare_process(launch: Launch) -> None:
    """What must be done before `TrainingArguments` are made."""
    if launch.gives_precision:  # where the flags say false, TrainingArguments would follow the launcher without saying so
        os.environ.pop("ACCELERATE_MIXED_PRECISION", None)
    if launch.deepspeed_file:
        deepspeed_support.prepare_processes(use_cpu=launch.stays_off_the_gpu)


def defaults_of(launch: Launch, trains: bool) -> dict:
    """The defaults of all layers, later ones winning. A script without training needs those of the recipe alone."""
    defaults = {}
    for layer in LAYERS if trains else (recipe_defaults,):
        defaults |= layer(launch)
    return defaults


def make(dataclass_type: type, values: dict) -> Any:
    """An object of a dataclass from those values that are its fields. Raises InputError for values that do not go together."""
    names = {field.name for field in dataclasses.fields(dataclass_type) if field.init}
    try:
        return dataclass_type(**{name: value for name, value in values.items() if name in names})
    except (ValueError, TypeError) as error:
        raise InputError(" ".join(str(error).split())) from error


def tracking_arguments(args: Any) -> TrainingArguments | None:
    """What the trackers of --report_to ask for, for a script that trains nothing; None without a tracker."""
    if args.report_to == "none":
        return None
    names = ("output_dir", "report_to", "run_name", "project", "use_cpu")
    training_args = make(TrainingArguments, {name: getattr(args, name) for name in names})
    check_packages(training_args)
    return training_args


def check_unknown(words: list[str], parser: Parser, trains: bool) -> None:
    """Words that are no flag of this script; run_retrieval.py names the flags that the other two scripts have."""
    if not words:
        return
    flag, names = words[0].partition("=")[0], {action.dest for action in parser._actions}
    if not words[0].startswith("-"):
        raise InputError(f"Unknown argument {words[0]!r}.")
    if is_known(words[0], scripts_flags() - names):
        if not trains:
            raise InputError(f"{flag} is for training: this script trains nothing and has no such flag.")
        raise InputError(f"{flag} is a flag of another script: `--help` lists those of this one.")
    raise InputError(answer(words[0], names))


def check_training(launch: Launch, args: Any, training_args: TrainingArguments) -> None:
    """All that would end a run, or change it without a word, when its data have been read."""
    check_processes(training_args)
    check_packages(training_args)
    check_optimizer(launch.given, training_args)
    check_schedule(launch.given, training_args)
    check_pairs(launch.tasks, launch.recipe, training_args, launch.draws_task_by_task)
    check_lora(launch, args, training_args)
    check_early_stopping(args, training_args)
    if training_args.device.type == "cuda" and not (training_args.bf16 or training_args.fp16 or launch.gives_precision):
        say("this GPU has no bf16, so that this run is in fp32: --fp16 should be faster (--bf16 false leaves this line out)")
    if launch.deepspeed_file:
        deepspeed_support.check_agreement(launch.deepspeed_file, launch.deepspeed, training_args)
        deepspeed_support.check_settings(launch.deepspeed_file, training_args)
    if launch.draws_task_by_task:
        check_together(launch.tasks, args, training_args)
