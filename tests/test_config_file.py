"""--config: a file of flags, which those of the command line win over; mistakes in it are one line."""

import json
import re
import sys

import pytest
from conftest import ROOT
from transformers import TrainingArguments

import arguments
import run_intermediate
import run_retrieval
import run_target
from arguments import Parser
from config_file import with_file
from settings import describe_run
from task_adapters import InputError

SCRIPTS = {"run_intermediate.py": run_intermediate, "run_target.py": run_target, "run_retrieval.py": run_retrieval}


@pytest.fixture
def parsed(monkeypatch):
    """parsed(script, *flags): (arguments, TrainingArguments, description of the run)"""

    def run(script, *flags):
        monkeypatch.setattr(sys, "argv", [script.__name__ + ".py", *map(str, flags)])
        phase = script.__name__.removeprefix("run_")
        args, training_args, tasks, _ = arguments.parse(script.ScriptArguments, phase)
        return args, training_args, training_args and describe_run(phase, args, training_args, tasks)

    return run


YAML = """# a comment
task: xnli
output_dir: OUT
languages: [de, sw]
learning-rate: 1e-5
padding_free: off
bf16: false
use_cpu: true
max_steps: -1
lr_scheduler_kwargs: '{}'
"""
FLAGS = ("--task", "xnli", "--output_dir", "OUT", "--languages", "de", "sw", "--learning_rate", "1e-5", "--padding_free", "off", "--bf16",
         "false", "--use_cpu", "--max_steps", "-1", "--lr_scheduler_kwargs", "{}")  # fmt: skip


def test_a_file_says_what_the_flags_say(parsed, tmp_path):
    expected = parsed(run_target, *FLAGS)
    values = {"task": "xnli", "output_dir": "OUT", "languages": ["de", "sw"], "learning_rate": 1e-5, "padding_free": "off", "bf16": False,
              "use_cpu": True, "max_steps": -1, "lr_scheduler_kwargs": "{}"}  # fmt: skip
    for name, text in (("run.yaml", YAML), ("run.yml", YAML), ("run.json", json.dumps(values))):
        (tmp_path / name).write_text(text, encoding="utf-8")
        args, training_args, description = parsed(run_target, "--config", tmp_path / name)
        assert description == expected[2] and training_args.max_steps == -1 and args.languages == ["de", "sw"]
        assert args.given_flags == expected[0].given_flags and training_args.use_cpu


def test_flags_of_the_command_line_win_wherever_they_stand(parsed, tmp_path):
    (tmp_path / "run.yaml").write_text(YAML)
    given = ("--languages", "en", "--seed", "7")
    for flags in ((*given, f"--config={tmp_path / 'run.yaml'}"), ("--config", tmp_path / "run.yaml", *given)):
        args, training_args, _ = parsed(run_target, *flags)
        assert args.languages == ["en"] and training_args.seed == 7 and args.padding_free == "off"
        assert "--config" not in " ".join(sys.argv), "what else reads the command line sees the flags"


@pytest.mark.parametrize("of_file, given", [("seed: 42", ("--seeds", "7", "8")), ("seeds: [7, 8]", ("--seed=42",))])
def test_seed_and_seeds_are_one_thing_of_which_the_command_line_wins(of_file, given, tmp_path):
    (tmp_path / "run.yaml").write_text(f"task: xnli\n{of_file}\n")
    parser = Parser((run_target.ScriptArguments, TrainingArguments), allow_abbrev=False, add_help=False)
    assert with_file(["--config", str(tmp_path / "run.yaml"), *given], parser) == ["--task=xnli", *given]


def test_it_serves_the_script_that_trains_nothing(parsed, tmp_path):
    (tmp_path / "run.yaml").write_text("task: tatoeba\nlayer: 3\noutput_dir: OUT\n")
    assert parsed(run_retrieval, "--config", tmp_path / "run.yaml")[0].layer == 3


@pytest.mark.parametrize("name, text, message", [
    ("run.yaml", "task: xnli\nlearning_rat: 1\n", "there is no flag 'learning_rat'. Did you mean 'learning_rate'?"),
    ("run.yaml", "task: xnli\noptimizer: {lr: 1}\n", "optimizer has a value with names or lists of its own: flags have one level."),
    ("run.yaml", "languages: [[de]]\n", "languages has a value with names or lists of its own"),
    ("run.json", '{"languages": [["de"]]}', "languages has a value with names or lists of its own"),
    ("run.json", '{"seed": {"a": 1}}', "seed has a value with names or lists of its own"),
    ("run.yaml", "task: xnli\nseed:\n", "seed has no value."),
    ("run.json", '{"seed": null}', "seed has no value."),
    ("run.yaml", "languages: []\n", "languages has no value."),
    ("run.yaml", "task: xnli\nseed: many\n", "argument --seed: invalid int value: 'many'"),
    ("run.yaml", "task: xnli\npadding_free: maybe\n", "argument --padding_free/--padding-free: invalid choice: 'maybe'"),
    ("run.yaml", "seed: [1, 2]\n", "seed takes one value, not 2."),
    ("run.yaml", "config: other.yaml\n", "there is no flag 'config'."),
    ("run.yaml", "seed: 1\nseed: 2\n", " names seed 2 times."),
    ("run.json", '{"seed": 1, "seed": 2}', " names seed 2 times."),
    ("run.yaml", "- task\n", " holds no flags: lines such as `task: mnli` would be right."),
    ("run.yaml", "", " holds no flags"),
    ("run.json", "[1]", " holds no flags"),
    ("run.yaml", "task: [xnli\n", " is no valid YAML: "),
    ("run.json", "{task: 1}", " is no valid JSON: "),
    ("run.yaml", None, " cannot be read (No such file or directory)."),
    ("run.yaml", b"task: \xff", " is no valid YAML: "),
])  # fmt: skip
def test_a_mistake_in_a_file_is_one_line(name, text, message, parsed, tmp_path):
    if text is not None:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as error:
        parsed(run_target, "--config", tmp_path / name)
    line = str(error.value)
    assert line.startswith(f"--config {tmp_path / name}") and message in line and "\n" not in line


@pytest.mark.parametrize("flags, message", [
    (("--config",), "--config needs a file."), (("--config", "--task"), "--config needs a file."),
    (("--config", "a.yaml", "--config", "b.yaml"), "--config is given 2 times"),
])  # fmt: skip
def test_one_file_is_given(flags, message, parsed):
    with pytest.raises(InputError, match=message):
        parsed(run_target, *flags)


RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_recipe_is_accepted_by_the_script_that_its_first_line_names(path, parsed, monkeypatch):
    monkeypatch.setattr(arguments, "run_seeds", lambda *_: None)
    command = re.match(r"# .*`python (run_\w+\.py) --config recipes/(\S+)`", path.read_text(encoding="utf-8"))
    assert command and command[2] == path.name and parsed(SCRIPTS[command[1]], "--config", path, "--use_cpu")[0].task


def test_there_are_recipes():
    assert len(RECIPES) >= 3
