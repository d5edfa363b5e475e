"""The recipes' command lines: help, mistakes in one line, and which commands recipes/real_languages.sh runs."""

import os
import shlex
import shutil
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
RUNNABLE = sorted(str(path.relative_to(ROOT / "recipes")) for path in test_grid.RECIPES if os.access(path, os.X_OK))
QUESTIONS = ("alignment", "calibration", "cross_task", "domain", "low_resource")


def call_recipe(name, *arguments, **environment):
    """Runs a recipe as a user would, from another folder."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run([ROOT / "recipes" / name, *arguments], capture_output=True, text=True, cwd="/", stdin=subprocess.DEVNULL,
                          env={**os.environ, "PATH": path, "LAUNCH": "false", **environment})  # fmt: skip


def test_these_recipes_are_for_running():
    questions = [f"questions/{name}.sh" for name in QUESTIONS]
    assert RUNNABLE == ["miniature_grid.sh", "multi_gpu.sh", "paper_grid.sh", *questions, "real_languages.sh", "slurm_grid.sbatch"]


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("recipe", RUNNABLE)
def test_help_prints_the_header_comment_and_runs_nothing(recipe, flag, tmp_path):
    process = call_recipe(recipe, flag, OUT=str(tmp_path / "out"))
    header = [line[2:] for line in (ROOT / "recipes" / recipe).read_text().splitlines()[1:] if line.startswith(("# ", "#\n"))]
    assert process.returncode == 0 and not process.stderr and not (tmp_path / "out").exists()
    lines = process.stdout.splitlines()
    assert lines[0] == header[0] and f"recipes/{recipe}" in process.stdout
    assert not any(line.startswith(("#", "set ", "SBATCH")) for line in lines)
    assert max(map(len, lines)) <= 80, "a terminal would break the lines within words"


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
    ("questions/domain.sh", ["--size"], "domain.sh: unknown flag '--size'; --help says what there is."),
    ("questions/alignment.sh", ["42"], "alignment.sh: '42' is one argument too many; --help says what there is."),
    ("slurm_grid.sbatch", ["--submit"], "slurm_grid.sbatch: unknown flag '--submit'; --help says what there is."),
    ("slurm_grid.sbatch", ["sumbit"], "slurm_grid.sbatch: 'sumbit' is not 'submit'; --help says what there is."),
    ("slurm_grid.sbatch", [], "slurm_grid.sbatch: `slurm_grid.sbatch submit` submits the grid; --help says more."),
    ("slurm_grid.sbatch", ["submit"],
     "slurm_grid.sbatch: there is no sbatch here: SLURM's login nodes have it. recipes/paper_grid.sh needs none."),
    ("slurm_grid.sbatch", ["submit", "42"], "slurm_grid.sbatch: '42' is one argument too many; --help says what there is."),
    ("slurm_grid.sbatch", ["target"], "slurm_grid.sbatch: 'target' is for jobs; `submit` makes them."),
])  # fmt: skip
def test_mistakes_are_one_line_and_exit_code_2(recipe, arguments, said, tmp_path):
    process = call_recipe(recipe, *arguments, OUT=str(tmp_path / "out"))
    assert (process.returncode, process.stderr, process.stdout) == (2, said + "\n", "") and not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [[], ["submit"]])
def test_sbatch_itself_is_told_how_the_grid_is_submitted(arguments, tmp_path):
    """`sbatch recipes/slurm_grid.sbatch`: SLURM runs a copy of the file in another folder."""
    copy = tmp_path / "job7" / "slurm_script"
    copy.parent.mkdir()
    shutil.copy(ROOT / "recipes" / "slurm_grid.sbatch", copy)
    process = subprocess.run(["bash", copy, *arguments], capture_output=True, text=True, cwd=tmp_path)
    said = "slurm_grid.sbatch: `recipes/slurm_grid.sbatch submit` on a login node submits the grid, without sbatch before it.\n"
    assert (process.returncode, process.stdout, process.stderr) == (2, "", said)


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
    for command in commands_of("7", TARGETS="xnli udpos xquad tatoeba sib200")[1]:
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
        "tatoeba": (None, 21, 12), "sib200": ((1e-4, 10, 7), 18, 256),
    }  # fmt: skip


# ---- questions


@pytest.fixture
def question(fake, tmp_path):
    """question(name, **environment) -> (process, the commands of the recipe without their folder for results)"""

    def run(name, **environment):
        given = {"OUT": str(tmp_path / "out"), "SEEDS": "1", "MODEL": "m", **environment}
        process, lines = fake(f"questions/{name}.sh", **given)
        return process, [line.replace(f"{tmp_path}/", "") for line in lines]

    return run


def model_and_folder(command):
    words = command.split()
    return words[words.index("--model_name_or_path") + 1], words[words.index("--output_dir") + 1]


def test_domain_cuts_all_intermediate_tasks_to_one_size(question, tmp_path):
    process, commands = question("domain", STARTS="none mnli squad_v1", TARGETS="xquad bucc", SIZE="77")
    assert process.returncode == 0, process.stderr
    trained = [command for command in commands if command.startswith("run_intermediate.py")]
    assert len(trained) == 2 and all(command.endswith("--max_train_samples 77") for command in trained)
    assert len(commands) == 2 + 3 * 2 and sum("--max_train_samples" in command for command in commands) == 2
    assert "Question domain" in process.stdout and (tmp_path / "out/report/question_domain.csv").is_file()


def test_cross_task_scores_the_languages_of_xtreme_r_where_they_are_more(question):
    _, commands = question("cross_task", STARTS="none mnli", TARGETS="xnli xquad tatoeba", MODEL="")
    assert all("bert-base-multilingual-cased" in command for command in commands if "/mnli" not in model_and_folder(command)[0])
    wide = {command.split()[2] for command in commands if "--benchmark xtreme-r" in command}
    assert wide == {"xquad", "tatoeba"} and sum(command.endswith("--layer 8") for command in commands) == 2


def test_low_resource_scores_every_arms_finished_targets_again_without_training(question):
    process, commands = question("low_resource", STARTS="none mnli", TARGETS="xnli", NOISES="typos:0.1", DATA_DIR="/tmp", FLAGS="--bf16")
    scored = {folder: model for command in commands if "--do_train false" in command for model, folder in [model_and_folder(command)]}
    assert scored == {f"out/perturbed/typos_0.1{arm}/seed1/{start}/xnli": f"out{arm}/seed1/{start}/xnli"
                      for arm, start in (("", "none"), ("", "mnli"), ("/multilingual", "none"), ("/few_shot", "none"))}  # fmt: skip
    assert all(command.endswith("--do_train false --data_dir /tmp --perturb typos:0.1") for command in commands if "--do_train" in command)
    multilingual = next(command for command in commands if model_and_folder(command)[1] == "out/multilingual/seed1/none/xnli")
    assert multilingual.endswith("--data_dir /tmp --bf16 --train_languages all") and model_and_folder(multilingual)[0] == "m"
    assert sum("--max_train_samples 100" in command for command in commands) == 1
    assert process.stderr.count("low_resource, pass ") == 6


@pytest.mark.parametrize(("name", "arms"), [("low_resource", ["en yo", "en yo --max_train_samples 100"]), ("alignment", ["en yo"])])
def test_a_question_tunes_on_the_languages_that_are_named(question, name, arms):
    _, commands = question(name, STARTS="none", TARGETS="sib200", TUNED="sib200", NOISES="typos:0.1", TRAIN_LANGUAGES="en yo")
    assert [command.partition("--train_languages ")[2] for command in commands if "--train_languages" in command] == arms


def test_a_cell_that_starts_from_a_finished_target_has_a_log_beside_other_cells(question, tmp_path):
    process, commands = question("alignment", STARTS="none", TUNED="xnli", AT_ONCE="2", PASS="3")
    assert process.returncode == 0 and len(commands) == 1, process.stderr
    assert [path.name for path in (tmp_path / "out/tuned/logs").iterdir()] == ["seed1-none-xnli-tatoeba.log"]


def test_a_question_takes_the_settings_of_the_grid_that_it_names(question):
    process, commands = question("low_resource", STARTS="none mnli", TARGETS="sib200", NOISES="typos:0.1", DATA_DIR="/tmp",
                                 GRID="recipes/real_languages.sh", TARGET_FLAGS="--max_steps 9")  # fmt: skip
    trained = [command for command in commands if "--do_train" not in command and command.startswith("run_target.py --task sib200")]
    assert process.returncode == 0 and len(trained) == 4, process.stderr
    assert all("--num_train_epochs 10" in command and "--max_steps 9" in command for command in trained)
    scored = {folder: model for command in commands if "--do_train false" in command for model, folder in [model_and_folder(command)]}
    assert len(scored) == 4 and scored["out/perturbed/typos_0.1/few_shot/seed1/none/sib200"] == "out/few_shot/seed1/none/sib200"
    assert sum(command.startswith("run_intermediate.py") for command in commands) == 1


def test_the_passes_that_score_again_take_the_flags_of_score_flags(question):
    flags = {"FLAGS": "--max_seq_length 64", "SCORE_FLAGS": "--max_seq_length 64"}
    _, commands = question("low_resource", STARTS="none", TARGETS="xnli", NOISES="typos:0.1", **flags)
    assert len(commands) == 6 and all("--max_seq_length 64" in command for command in commands)
    assert sum("--do_train false" in command for command in commands) == 3


@pytest.mark.parametrize("name", ["alignment", "low_resource"])
def test_a_question_that_reads_the_models_of_targets_keeps_them(name, tmp_path):
    process = call_recipe(f"questions/{name}.sh", OUT=str(tmp_path / "out"), SAVE_TARGETS="false")
    said = f"{name}.sh: SAVE_TARGETS=false: later passes of {name} start from the models of the targets. Leave it out.\n"
    assert (process.returncode, process.stderr) == (2, said) and not (tmp_path / "out").exists()


def test_alignment_reads_all_layers_before_and_after_both_trainings(question):
    _, commands = question("alignment", STARTS="none mnli", TUNED="panx", LAYER="3")
    retrieval = {
        folder: model for command in commands if command.startswith("run_retrieval") for model, folder in [model_and_folder(command)]
    }
    assert retrieval == {"out/none/tatoeba": "m", "out/seed1/mnli/tatoeba": "out/seed1/mnli",
                         "out/tuned/seed1/none/panx/tatoeba": "out/tuned/seed1/none/panx"}  # fmt: skip
    assert all("--layers all --layer 3" in command for command in commands if command.startswith("run_retrieval"))
    (tuned,) = [command for command in commands if command.startswith("run_target")]
    assert tuned.endswith("--train_languages all") and len(commands) == 5


def test_calibration_smooths_labels_of_the_same_starts_and_trains_none_again(question):
    _, commands = question("calibration", STARTS="none mnli", TARGETS="xnli")
    smoothed = {folder: model for command in commands if command.endswith("--label_smoothing_factor 0.1")
                for model, folder in [model_and_folder(command)]}  # fmt: skip
    assert smoothed == {"out/label_smoothing/seed1/none/xnli": "m", "out/label_smoothing/seed1/mnli/xnli": "out/seed1/mnli"}
    assert sum(command.startswith("run_intermediate") for command in commands) == 1 and len(commands) == 1 + 2 + 2


def test_a_failed_cell_does_not_stop_the_later_passes(question):
    process, commands = question("calibration", STARTS="none", TARGETS="xnli xquad", FAIL="--task xnli")
    assert process.returncode == 1 and sum("--label_smoothing_factor" in command for command in commands) == 2


def test_passes_are_run_one_at_a_time_where_one_is_named(question):
    process, commands = question("calibration", STARTS="none", TARGETS="xnli", PASS="2")
    assert process.returncode == 0 and len(commands) == 1 and "--label_smoothing_factor" in commands[0] and not process.stdout
    for environment, said in (({"PASS": "3"}, "PASS=3: calibration has 2 passes."), ({"PASS": "x"}, "PASS=x is no number of a pass."),
                              ({"GRID": "recipes/slurm_grid.sbatch submit"}, "under SLURM name one pass:"),
                              ({"DATA_DIR": "/no/such"}, "DATA_DIR=/no/such: no such folder.")):  # fmt: skip
        process, commands = question("calibration", STARTS="none", TARGETS="xnli", **environment)
        assert process.returncode == 2 and said in process.stderr.splitlines()[-1] and not commands
