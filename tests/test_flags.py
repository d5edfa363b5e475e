"""What a user meets first: flags that are misspelt or of another tool, and `--help`."""

import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT
from transformers import TrainingArguments

import run_intermediate
import run_retrieval
import run_target
from arguments import Parser, TrainArguments, parse
from foreign_flags import FOREIGN, answer, is_known, refuse_unknown
from help_page import EXAMPLES, GROUPS, NOT_FOR
from settings import scripts_flags
from task_adapters import TASKS, InputError

SCRIPTS = {"intermediate": run_intermediate, "target": run_target, "retrieval": run_retrieval}
NAMES = scripts_flags() | {"help"}
ELSEWHERE = {"lora_rank", "early_stopping_patience", "model_revision"}  # flags that another branch adds


def parser_of(script):
    trains = issubclass(script.ScriptArguments, TrainArguments)
    return Parser((script.ScriptArguments, *[TrainingArguments] * trains), allow_abbrev=False)


# ---- flags that no script has


@pytest.mark.parametrize("word, said", [
    ("--overwrite_output_dir", "There is no --overwrite_output_dir here. `--overwrite` redoes a run."),
    ("--trust_remote_code=true", "There is no --trust_remote_code here. Code from a model's or a data set's repository is never run here."),
    ("--lora_r=8", "There is no --lora_r here. `--lora_rank N`"),
    ("--attn-implementation", "There is no --attn-implementation here. Attention is chosen by hardware and model."),
    ("--fp16_opt_level", "There is no --fp16_opt_level here. Apex is not used: `--bf16` or `--fp16`"),
    ("--train_batch_size", "There is no --train_batch_size here. `--effective_batch_size N`"),
    ("--train-batch-size", "There is no --train-batch-size here. `--effective_batch_size N`"),
    ("--warmup_ratio", "There is no --warmup_ratio here. `--warmup_steps 0.1`"),
    ("--max_seq_lenght", "Unknown argument '--max_seq_lenght'. Did you mean '--max_seq_length'?"),
    ("--langauges", "Unknown argument '--langauges'. Did you mean '--languages'?"),
    ("--learnig-rate=1", "Unknown argument '--learnig-rate=1'. Did you mean '--learning_rate'?"),
    ("--frobnicate", "Unknown argument '--frobnicate'. `--help` lists the flags."),
])  # fmt: skip
def test_a_flag_that_no_script_has_is_answered(word, said):
    assert answer(word, NAMES).startswith(said)


def test_foreign_flags_are_none_of_ours_and_each_answer_names_flags_that_exist():
    foreign = [name for names in FOREIGN.values() for name in names]
    assert not NAMES & {*foreign} and len(set(foreign)) == len(foreign)
    for text in FOREIGN:
        named = {name for name in re.findall(r"--(\w+)", text)}
        assert named <= NAMES | ELSEWHERE, text
        assert text[0] in "`" or text[0].isupper(), text
        assert text.endswith((".", ")."))


@pytest.mark.parametrize("phase", SCRIPTS)
def test_every_flag_that_a_script_takes_is_known_before_anything_is_imported(phase):
    options = [option for action in parser_of(SCRIPTS[phase])._actions for option in action.option_strings if option.startswith("--")]
    assert options and all(is_known(option, NAMES) and is_known(f"{option}=x", NAMES) for option in options)
    refuse_unknown(["run.py", *options, "-1", "--", "--learning-rate=-1"])


@pytest.mark.parametrize("script", ["run_intermediate.py", "run_target.py", "run_retrieval.py"])
def test_a_misspelt_flag_is_answered_before_torch_is_imported(script):
    """`import torch` fails here, so that a script which needs it first would end in a traceback."""
    blocked = "import sys, runpy; sys.modules.update(torch=None, transformers=None, datasets=None);"
    command = f"{blocked} sys.argv = [{script!r}, '--task', 'xnli', '--lora_r', '8']; runpy.run_path({script!r}, run_name='__main__')"
    process = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, cwd=ROOT,
                             env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    assert process.returncode == 2 and process.stdout == ""
    assert process.stderr == f"{script}: error: There is no --lora_r here. `--lora_rank N` is the rank here.\n"


def test_of_several_processes_one_answers(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    refuse_unknown(["run_target.py", "--lora_r", "8"])
    assert not capsys.readouterr().err


@pytest.mark.parametrize("phase, word, said", [
    ("target", "--mlm_languages", "--mlm_languages is a flag of another script: `--help` lists those of this one."),
    ("intermediate", "--layer", "--layer is a flag of another script"),
    ("retrieval", "--learning_rate", "--learning_rate is for training: this script trains nothing and has no such flag."),
    ("retrieval", "--overwrite_output_dir", "There is no --overwrite_output_dir here."),
    ("target", "-task", "Unknown argument '-task'. Did you mean '--task'?"),
    ("target", "xnli", "Unknown argument 'xnli'."),
])  # fmt: skip
def test_what_only_the_parser_can_tell_is_one_line_too(phase, word, said, monkeypatch):
    task = {"target": "xnli", "intermediate": "mnli", "retrieval": "tatoeba"}[phase]
    monkeypatch.setattr(sys, "argv", ["run.py", word, "--task", task, "--output_dir", "x"])
    with pytest.raises(InputError) as error:
        parse(SCRIPTS[phase].ScriptArguments, phase)
    assert str(error.value).startswith(said)


# ---- --help


@pytest.fixture
def help_of(monkeypatch, capsys):
    """help_of(phase, "--help", ...): the printed lines"""

    def run(phase, *words):
        monkeypatch.setattr(sys, "argv", [f"run_{phase}.py", *words])
        monkeypatch.setenv("COLUMNS", "110")
        with pytest.raises(SystemExit) as ended:
            parse(SCRIPTS[phase].ScriptArguments, phase)
        assert ended.value.code == 0
        return capsys.readouterr().out.splitlines()

    return run


def flags_in(lines):
    return [match[1] for line in lines if (match := re.match(r"  --(\w+)", line))]


@pytest.mark.parametrize("phase", SCRIPTS)
def test_help_is_short_and_has_every_flag_of_ours_once_in_a_group(phase, help_of):
    lines = help_of(phase, "--help")
    assert len(lines) <= 170 and max(map(len, lines)) <= 110
    shown, script = flags_in(lines), SCRIPTS[phase]
    ours = {field for field in script.ScriptArguments.__dataclass_fields__ if field not in ("given_flags", "publication")}
    assert ours - {*NOT_FOR.get(phase, ())} <= {*shown} and len(set(shown)) == len(shown)
    assert shown[:2] == ["task", "model_name_or_path"]
    assert any("--help all" in line for line in lines) == (phase != "retrieval")
    assert f"--help --task {EXAMPLES[phase]}" in " ".join(lines)


@pytest.mark.parametrize("phase", SCRIPTS)
def test_help_names_every_task_and_recipe_of_the_script(phase, help_of):
    text = " ".join(help_of(phase, "--help"))
    for task in (task for task in TASKS.values() if task.phase == phase):
        assert re.search(rf"\b{task.name}\b", text) and all(re.search(rf"\b{recipe}\b", text) for recipe in task.recipes)


@pytest.mark.parametrize("phase", ["intermediate", "target"])
def test_help_all_has_every_flag_of_transformers_last(phase, help_of):
    short, whole = flags_in(help_of(phase, "--help")), flags_in(help_of(phase, "--help", "all"))
    assert whole[: len(short)] == short
    names = {action.dest for action in parser_of(SCRIPTS[phase])._actions} - {"help"}
    assert {*whole} == names - {*NOT_FOR.get(phase, ())}


def test_help_of_a_script_lists_no_flag_that_the_script_always_refuses_and_says_what_its_own_flags_do(help_of):
    """An intermediate task has neither test data nor a benchmark's languages, and retrieval saves no model."""
    lines = help_of("intermediate", "--help", "all")
    assert not {"benchmark", "do_predict"} & {*flags_in(lines)} and not any("--do_predict" in line for line in lines)
    text = " ".join(" ".join(help_of("retrieval", "--help")).split())
    assert "--output_dir PATH Where the results, the predictions and the log go." in text and "losses" not in text
    assert "--layer N|last|best " in text and "--layers all|N ... " in text


def test_help_beside_a_task_shows_the_task_and_its_defaults(help_of):
    lines = help_of("target", "--help", "--task", "xnli", "--use_cpu")
    text = " ".join(" ".join(lines).split())
    assert "xnli: classification, trained on mnli, 15 languages (ar bg de" in text and "compared by accuracy" in text
    line = lambda flag: next(line for line in lines if line.startswith(f"  --{flag} "))  # noqa: E731
    assert line("learning_rate").endswith("[1e-05]") and line("max_seq_length").endswith("[256]") and "[jiant]" in text
    assert line("num_train_epochs").endswith("[2]") and "choices" not in line("task")
    other = help_of("target", "--help", "--task", "xnli", "--recipe", "xtreme", "--use_cpu")
    assert next(line for line in other if line.startswith("  --learning_rate ")).endswith("[3e-05]")


def test_help_shows_how_to_score_without_training_and_to_publish(help_of):
    lines = help_of("target", "--help")
    assert {"do_train", "do_eval", "do_predict", "push_to_hub", "hub_model_id", "activation_checkpointing"} <= {*flags_in(lines)}
    assert "Vectors of retrieval:" not in lines and any(line.startswith("  --save_model true|false ") for line in lines)
    assert not re.search(r"--recipe nlu-evals|nlu-evals \(", " ".join(lines)), "it is a protocol, and refused as a recipe"


def test_help_with_another_word_says_what_there_is(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run_target.py", "--help", "xnli"])
    with pytest.raises(InputError, match="--help xnli: `--help`, `--help all` or `--help --task xnli` would be right."):
        parse(run_target.ScriptArguments, "target")


def test_the_groups_of_help_name_only_flags_that_some_script_has():
    names = [name for group in GROUPS.values() for name in group]
    assert len(set(names)) == len(names) and {*names} <= NAMES
