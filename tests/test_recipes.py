"""The recipes' command lines: help, mistakes in one line, and which commands recipes/real_languages.sh runs."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import test_grid
from conftest import ROOT

import run_intermediate
import run_retrieval
import run_target
from arguments import parse

fake = test_grid.fake  # a launcher that notes the commands
RUNNABLE = sorted(path.name for path in test_grid.RECIPES if os.access(path, os.X_OK))


def call_recipe(name, *arguments, **environment):
    """Runs a recipe as a user would, from another folder."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run([ROOT / "recipes" / name, *arguments], capture_output=True, text=True, cwd="/", stdin=subprocess.DEVNULL,
                          env={**os.environ, "PATH": path, "LAUNCH": "false", **environment})  # fmt: skip


def test_these_recipes_are_for_running():
    assert RUNNABLE == ["miniature_grid.sh", "multi_gpu.sh", "paper_grid.sh", "real_languages.sh", "slurm_grid.sbatch"]


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("recipe", RUNNABLE)
def test_help_prints_the_header_comment_and_runs_nothing(recipe, flag, tmp_path):
    process = call_recipe(recipe, flag, OUT=str(tmp_path / "out"))
    header = [line[2:] for line in (ROOT / "recipes" / recipe).read_text().splitlines()[1:] if line.startswith(("# ", "#\n"))]
    assert process.returncode == 0 and not process.stderr and not (tmp_path / "out").exists()
    lines = process.stdout.splitlines()
    assert lines[0] == header[0] and f"recipes/{recipe}" in process.stdout
    assert not any(line.startswith(("#", "set ", "SBATCH")) for line in lines)


@pytest.mark.parametrize("recipe, arguments, said", [
    ("paper_grid.sh", ["--seeds", "42"], "paper_grid.sh: unknown flag '--seeds'; --help says what there is."),
    ("paper_grid.sh", ["m", "out", "42", "43"], "paper_grid.sh: '43' is one argument too many; --help says what there is."),
    ("real_languages.sh", ["42", "--jobs"], "real_languages.sh: unknown flag '--jobs'; --help says what there is."),
    ("real_languages.sh", ["42", "x"], "real_languages.sh: 'x' is no seed: a whole number would be right."),
    ("real_languages.sh", ["42", "42"], "real_languages.sh: seed 42 is named twice."),
    ("miniature_grid.sh", ["--sedes", "42"], "grid.py: error: unrecognized arguments: --sedes 42"),
    ("multi_gpu.sh", ["--gpus"], "multi_gpu.sh: unknown flag '--gpus'; flags belong to the script, behind its name. --help says more."),
    ("multi_gpu.sh", ["4", "--task", "xnli"],
     "multi_gpu.sh: '--task' stands where the script must be: multi_gpu.sh 4 run_target.py --task ... would be right."),
    ("slurm_grid.sbatch", ["--submit"], "slurm_grid.sbatch: unknown flag '--submit'; --help says what there is."),
    ("slurm_grid.sbatch", ["sumbit"], "slurm_grid.sbatch: 'sumbit' is not 'submit'; --help says what there is."),
    ("slurm_grid.sbatch", [], "slurm_grid.sbatch: '' is not 'submit'; --help says what there is."),
    ("slurm_grid.sbatch", ["submit", "42"], "slurm_grid.sbatch: '42' is one argument too many; --help says what there is."),
    ("slurm_grid.sbatch", ["target"], "slurm_grid.sbatch: 'target' is for jobs; `submit` makes them."),
])  # fmt: skip
def test_mistakes_are_one_line_and_exit_code_2(recipe, arguments, said, tmp_path):
    process = call_recipe(recipe, *arguments, OUT=str(tmp_path / "out"))
    assert (process.returncode, process.stderr, process.stdout) == (2, said + "\n", "") and not (tmp_path / "out").exists()


@pytest.mark.parametrize("folder, said", [("no/such", "no such folder."), ("with space", "a path without spaces would be right.")])
def test_a_data_dir_that_cannot_be_read_is_refused_before_the_first_cell(folder, said, tmp_path):
    (tmp_path / "with space").mkdir()
    process = call_recipe("real_languages.sh", DATA_DIR=str(tmp_path / folder), OUT=str(tmp_path / "out"))
    assert process.returncode == 2 and process.stderr == f"real_languages.sh: DATA_DIR={tmp_path / folder}: {said}\n"
    assert not (tmp_path / "out").exists()


# ---- real_languages.sh


@pytest.fixture
def commands_of(fake, tmp_path):
    """commands_of(*seeds, **environment) -> (process, the commands of the recipe), with a launcher that leaves no results"""
    launch = tmp_path / "note"
    launch.write_text('#!/bin/bash\necho "$OMP_NUM_THREADS $OMP_WAIT_POLICY $TOKENIZERS_PARALLELISM $*" >>"$NOTES"\n')
    launch.chmod(0o755)

    def run(*seeds, **environment):
        given = {"STARTS": "", "TARGETS": "", "OUT": str(tmp_path / "out"), "LAUNCH": "note", "OMP_NUM_THREADS": "8", **environment}
        process, lines = fake("real_languages.sh", *seeds, **given)
        assert all(line.startswith("1 PASSIVE false run_") for line in lines), "one thread for each process"
        return process, [line.removeprefix("1 PASSIVE false ") for line in lines]

    return run


def test_real_languages_runs_every_start_before_every_target(commands_of, tmp_path):
    out = tmp_path / "out"
    process, commands = commands_of("1", "3", DATA_DIR=str(tmp_path), MODEL="some/model")
    assert len(commands) == 2 * 3 + 2 * 4 * 4 - 1  # trainings; targets, but Tatoeba with the encoder as it is once
    together = f"run_intermediate.py --task mnli squad_v1 --model_name_or_path some/model --output_dir {out}/seed3/mnli+squad_v1 --seed 3"
    assert any(command.startswith(together) for command in commands)
    assert all(f"--data_dir {tmp_path}" in command for command in commands)
    from_both = [command for command in commands if f"--model_name_or_path {out}/seed3/mnli+squad_v1 " in command]
    assert sorted(command.split()[2] for command in from_both) == ["tatoeba", "udpos", "xnli", "xquad"]
    assert process.stderr.count(f"done   {out}/logs/") == len(commands), "each cell has a log: two run side by side"


def test_real_languages_takes_one_model_from_the_hub_and_flags_for_all_and_for_those_that_score(commands_of):
    _, commands = commands_of(JOBS="1", TARGETS="xnli", STARTS="none mnli", FLAGS="--bf16", TARGET_FLAGS="--max_predict_samples 5")
    assert len(commands) == 3 and all(command.endswith(" --bf16") and "--data_dir" not in command for command in commands)
    assert [command.endswith("--max_predict_samples 5 --bf16") for command in commands] == [False, True, True]
    assert [" --model_name_or_path intfloat/multilingual-e5-small " in command for command in commands] == [True, True, False]
    assert all(" --seed 42 " in command for command in commands)


def test_models_of_targets_need_not_stay(commands_of):
    _, commands = commands_of(JOBS="1", TARGETS="xnli tatoeba", STARTS="none mnli", SAVE_TARGETS="false")
    assert [command.endswith("--save_model false") for command in commands] == ["run_target.py" in command for command in commands]


def test_real_languages_ends_in_the_report(fake, tmp_path):
    out = tmp_path / "out"
    process, commands = fake("real_languages.sh", "1", "3", OUT=str(out), TARGETS="xquad")
    assert process.returncode == 0 and len(commands) == 2 + 4, process.stderr
    assert "\nmnli " in process.stdout and "| mnli " in (out / "report" / "report.md").read_text()


def test_every_command_of_real_languages_is_accepted_by_its_script(commands_of, monkeypatch):
    """The scripts' own parsers read the commands, so that a flag or a language that they lack shows here."""
    scripts = {"run_intermediate.py": run_intermediate, "run_target.py": run_target, "run_retrieval.py": run_retrieval}
    parsed = {}
    for command in commands_of("7")[1]:
        script, *flags = shlex.split(command)
        monkeypatch.setattr(sys, "argv", [script, *flags, "--use_cpu"])
        phase = script.removeprefix("run_").removesuffix(".py")
        args, training, tasks, _ = parse(scripts[script].ScriptArguments, phase)
        languages = len(getattr(args, "languages", None) or [])
        numbers = training and (training.learning_rate, training.num_train_epochs, training.seed)
        parsed["+".join(task.name for task in tasks)] = numbers, languages, args.layer if phase == "retrieval" else args.max_seq_length
    assert parsed == {
        "mnli": ((1e-4, 5, 7), 0, 256), "squad_v1": ((2e-4, 3, 7), 0, 256), "mnli+squad_v1": ((1e-4, 5, 7), 0, 256),
        "xnli": ((1e-4, 5, 7), 2, 256), "udpos": ((5e-5, 3, 7), 12, 256), "xquad": ((2e-4, 3, 7), 8, 256),
        "tatoeba": (None, 21, 12),
    }  # fmt: skip
