"""Every command that README.md, docs/ and the headers of scripts and recipes show is one that its program accepts.

Nothing is trained here. The parsers of our scripts, of accelerate, torchrun and the hub's `hf` read the commands. Recipes run with programs
that only note what they are told, and what they noted is read like a command of a page. `make doc-commands` runs the commands
(tests/run_doc_commands.py).
"""

import argparse
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import ROOT
from doc_commands import PAGES, Command, all_commands, looks_like_a_command, of_header, of_page, read
from transformers import TrainingArguments

import run_intermediate
import run_retrieval
import run_target
import translate
from arguments import parse
from foreign_flags import FOREIGN
from task_adapters import BUILT_IN, TASKS, InputError, add_task_file

PHASES = {"run_intermediate.py": (run_intermediate, "intermediate", "mnli"), "run_target.py": (run_target, "target", "xnli"),
          "run_retrieval.py": (run_retrieval, "retrieval", "tatoeba")}  # fmt: skip
# Words that stand for a value of the reader's own, and folders that a clean clone does not have.
FOLDERS = {
    "encoder": ("M", "T", "PATH", "ENCODER", "FOLDER", "[MODEL"),
    "data": ("D", "DIR", "DATA", "samples/data", "../shared/real/datasets"),
    "out": ("OUT", "P", "L", "[OUT]"),
}
VALUES = {"N": "8", "NAME": "xnli", "SEEDS]": "42"}
OPTIONAL_PACKAGES = {"trackio", "bitsandbytes", "pre-commit"}
ENDS_PARSING = (SystemExit, InputError)


class Accepted(Exception):
    """The command line was read to its end."""


def accepted(*_, **__):
    raise Accepted


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder with everything that the commands name: data, an encoder, files of rows, and links to the repository's folders."""
    folder = tmp_path_factory.mktemp("reader")
    for name in ("data", "encoder", "my_data", "out", "texts", "samples/data"):
        (folder / name).mkdir(parents=True)
    for name in ("recipes", "benchmarks", "ds_configs", "tests", "requirements.txt", "samples/encoder"):
        (folder / name).symlink_to(ROOT / name)
    rows = "".join(json.dumps({"text_a": f"a {i}", "text_b": "b", "label": i % 3}) + "\n" for i in range(3))
    for name in ("hellaswag.de.jsonl", "xnli.sw.en.jsonl"):
        (folder / name).write_text(rows)
    for name in ("my.tsv", "wrong.tsv", "pairs.tsv"):
        (folder / name).write_text("text_a\ttext_b\tlabel\na\tb\tneutral\n")
    (file,) = [
        block for block in re.findall(r"```python\n(.*?)```", (ROOT / "docs/your_task.md").read_text(), flags=re.S) if "TASK = " in block
    ]
    (folder / "my_task.py").write_text(file)
    (folder / "make_reviews.py").touch()
    # One write for each command: a recipe starts several at once.
    notes = '#!/usr/bin/env bash\nprintf -v words \' %q\' "$@"; printf \'%s\\n\' "${{0##*/}}$words" >>"$NOTES"{}\n'
    (folder / "bin").mkdir()
    for program in ("python", "accelerate", "torchrun", "sbatch"):
        (folder / "bin" / program).write_text(notes.format("; echo 17" if program == "sbatch" else ""))
        (folder / "bin" / program).chmod(0o755)
    return folder


@pytest.fixture
def check(folder, monkeypatch):
    """check(command): raises an error that says why the program refuses the command."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    monkeypatch.setattr("arguments.check_packages", lambda *_: None)
    monkeypatch.setattr("arguments.prepare_process", lambda *_: None)
    monkeypatch.setattr("arguments.run_seeds", accepted)
    yield Checker(folder, monkeypatch)
    for name in TASKS.keys() - BUILT_IN.keys():  # of my_task.py: TASKS is one dict for the whole process
        del TASKS[name]


class Checker:
    def __init__(self, folder: Path, monkeypatch):
        self.folder, self.monkeypatch, self.read_before = folder, monkeypatch, set()

    def __call__(self, command: Command) -> None:
        words = [self.value(word) for word in command.words]
        program, *rest = words
        try:
            if "/" in program and program.endswith((".sh", ".sbatch", "/run")):
                self.recipe(command, program, rest)
            elif program.endswith(".py"):
                self.script(command, words)
            else:
                getattr(self, program.replace("-", "_"))(command, rest)
        except ENDS_PARSING as error:
            assert getattr(error, "code", 2) == 0, f"{command.place}: {command}\n{error}"
        except AttributeError as error:
            raise AssertionError(f"{command.place}: {command}\nno such program: {program}") from error

    def value(self, word: str) -> str:
        return VALUES.get(word, next((str(self.folder / name) for name, words in FOLDERS.items() if word in words), word))

    # ---- programs

    def python(self, command, words):
        if words[0] == "-m":
            return self.main_of(importlib.import_module(self.module(words[1])), words[2:])
        return self.script(command, words)

    def module(self, name: str) -> str:
        assert (ROOT / f"{name.replace('.', '/')}.py").is_file() or (ROOT / name / "__main__.py").is_file(), f"no module {name}"
        return f"{name}.__main__" if (ROOT / name).is_dir() else name

    def accelerate(self, command, words):
        from accelerate.commands.launch import launch_command_parser

        assert words[0] == "launch", f"{command.place}: {command}"
        has_script = any(word.endswith(".py") for word in words)
        if not has_script and command.is_whole:
            raise InputError("no script")
        args = launch_command_parser().parse_args(words[1:] if has_script else [*words[1:], "run_target.py"])
        assert args.deepspeed_config_file is None or Path(args.deepspeed_config_file).is_file()
        self.script(command, [args.training_script, *args.training_script_args])

    def torchrun(self, command, words):
        from torch.distributed.run import get_args_parser

        has_script = any(word.endswith(".py") for word in words)
        args = get_args_parser().parse_args(
            words if has_script else [*words[: words.index("--use_cpu") if "--use_cpu" in words else None], "run_target.py"]
        )
        self.script(command, [args.training_script, *args.training_script_args])

    def make(self, command, words):
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.M)
        assert set(words) <= set(targets), f"{command.place}: {command}: the Makefile has {' '.join(targets)}"

    def pip(self, command, words):
        assert words[0] == "install" and (words[1] in OPTIONAL_PACKAGES or words[1] == "-r" and Path(words[2]).is_file()), str(command)

    def pre_commit(self, command, words):
        assert words == ["install"] and (ROOT / ".pre-commit-config.yaml").is_file()

    def hf(self, command, words):
        import click
        from huggingface_hub.cli import hf

        context = hf.app.make_context("hf", words, resilient_parsing=not command.is_whole)
        try:
            while hasattr(context.command, "resolve_command"):
                name, inner, words = context.command.resolve_command(context, words)
                context = inner.make_context(name, list(words), parent=context, resilient_parsing=not words)
        except click.ClickException as error:
            raise AssertionError(f"{command.place}: {command}\n{error.format_message()}") from error

    def git(self, command, words):
        assert words[0] == "clone" and words[1].startswith("https://github.com/") and len(words) == 3, str(command)

    def pytest(self, command, words):
        assert Path(words[0]).is_file() and words[1:2] in ([], ["-k"]), str(command)

    def source(self, command, words):
        assert words == [".venv/bin/activate"]

    def export(self, command, words):
        assert all(re.fullmatch(r"[A-Z_]+=\S+", word) for word in words), str(command)

    # ---- our scripts

    def script(self, command, words):
        path, *flags = words
        if path in PHASES:
            return self.run_script(command, path, flags)
        if path == "throughput.py":  # in the page of benchmarks/
            path = f"benchmarks/{path}"
        assert (ROOT / path).is_file() or Path(path).is_file(), f"{command.place}: {command}\nno file {path}"
        if path in ("make_reviews.py", "tests/pages.py"):  # test_task_file.py and test_docs.py run them
            return None
        return self.main_of(importlib.import_module(path.removesuffix(".py").replace("/", ".")), flags)

    def run_script(self, command, path, flags):
        module, phase, task = PHASES[path]
        if "--deepspeed" in flags:  # test_deepspeed.py reads the files
            place = flags.index("--deepspeed")
            assert Path(flags[place + 1]).is_file()
            del flags[place : place + 2]
        if not command.is_whole:
            flags += [] if "--task" in flags or "--task_file" in flags or "--config" in flags else ["--task", task]
            flags += [] if "--output_dir" in flags or "--config" in flags else ["--output_dir", "out/x"]
        if "--task_file" in flags:
            own = SimpleNamespace(**vars(add_task_file("my_task.py")))
            self.monkeypatch.setattr("arguments.add_task_file", lambda path: own)
        self.monkeypatch.setattr(sys, "argv", [path, *flags, "--use_cpu"])
        try:
            parse(module.ScriptArguments, phase)
        except Accepted:
            pass

    def main_of(self, module, words):
        """Calls main() of a module, which ends when its command line is read."""
        if "parse_args" not in Path(module.__file__).read_text(encoding="utf-8"):
            assert not words, f"{module.__name__} takes no flags"
            return
        with self.monkeypatch.context() as patch:
            patch.setattr(sys, "argv", [f"{module.__name__.rpartition('.')[2]}.py", *words])
            patch.setattr(module, "ROOT", self.folder, raising=False)  # for defaults such as samples/data
            read_words, read_fields = argparse.ArgumentParser.parse_args, translate.Parser.parse_args_into_dataclasses
            patch.setattr(argparse.ArgumentParser, "parse_args", lambda *given, **named: accepted(read_words(*given, **named)))
            patch.setattr(translate.Parser, "parse_args_into_dataclasses", lambda parser: accepted(translate.check(*read_fields(parser))))
            with pytest.raises(Accepted):
                module.main()

    # ---- recipes

    def recipe(self, command, path, words):
        assert os.access(ROOT / path, os.X_OK), f"{command.place}: {command}\nno file that can be run: {path}"
        if path in (".ci/run", "benchmarks/on_a_gpu.sh") or not (command.is_whole or words or command.environment):
            return
        sources = [path, "recipes/cells.sh"]
        if path.startswith("recipes/questions/"):  # each pass is a call of paper_grid.sh
            sources += ["recipes/questions/passes.sh", "recipes/paper_grid.sh"]
        read_by_recipe = set(re.findall(r"\$\{?([A-Z_]+)", "".join((ROOT / name).read_text() for name in sources)))
        assert set(command.environment) <= read_by_recipe, f"{command.place}: {command}\n{path} does not read one of the variables"
        notes = self.folder / "notes"
        notes.write_text("")
        own = {name: self.value(value) for name, value in command.environment.items()}
        targets = "xnli xquad" if path.startswith("recipes/questions/") else "xnli tatoeba"
        small = {"STARTS": "none mnli", "TARGETS": targets, "SEEDS": "42", **own, "OUT": str(self.folder / "out/recipe")}
        environment = {**os.environ, **small, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "NOTES": str(notes)}
        process = subprocess.run([ROOT / path, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment)
        assert process.returncode == 0, f"{command.place}: {command}\n{process.stderr[-1000:]}"
        noted = notes.read_text().splitlines()
        assert noted or "--help" in words, f"{command.place}: {command}\nruns nothing"
        for line in noted:
            (called,) = read(command.place, line, command.is_whole)
            key = re.sub(r"(--(output_dir|model_name_or_path|seed)|run_report.py) \S+", "", line)
            if called.words[0] != "sbatch" and key not in self.read_before:
                self.read_before.add(key)
                self(called)


COMMANDS = all_commands()
KINDS = {place: [command for command in COMMANDS if command.place.partition(":")[0] == place] for place in dict.fromkeys(
    command.place.partition(":")[0] for command in COMMANDS)}  # fmt: skip


@pytest.mark.parametrize("place", KINDS)
def test_every_command_is_accepted_by_its_program(place, check):
    for command in dict.fromkeys(KINDS[place]):
        check(command)


def test_pages_and_headers_have_the_commands_that_a_reader_sees():
    assert len(COMMANDS) > 250
    assert {"README.md", "docs/runs.md", "recipes/paper_grid.sh", "run_target.py", "benchmarks/README.md", "recipes/mnli.yaml"} <= set(
        KINDS
    )


def unknown_flags(text: str) -> list[str]:
    """Flags between backticks in a page's sentences that no program has. Commands are left out: their programs read them."""
    known = set(re.findall(r"`--(\w+)`", (ROOT / "docs" / "flags.md").read_text())) | set(TrainingArguments.__dataclass_fields__)
    known |= {name for names in FOREIGN.values() for name in names} | {"help", "quiet", "requeue"}  # of other tools, and named as such
    sentences = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", sentences)]
    flags = [flag for span in spans if not looks_like_a_command(span, is_span=True) for flag in re.findall(r"(?<!\S)--([\w-]+)", span)]
    return [flag for flag in flags if flag not in known]


@pytest.mark.parametrize("place", [place for place in PAGES if not place.startswith("benchmarks/")])
def test_every_flag_in_a_sentence_exists(place):
    assert not unknown_flags((ROOT / place).read_text(encoding="utf-8"))


def test_a_misspelt_flag_in_a_sentence_is_seen():
    assert unknown_flags("With `--langages de` or `--layer 2`, and `python x.py --any`.\n```\n`--no_span`\n```\n") == ["langages"]


BLOCK = "```bash\n{}\n```\n"
WITH_MISTAKES = {
    "a flag": "python run_target.py --task xnli --output_dir x --lerning_rate 1",
    "a value": "python run_target.py --task xnli --output_dir x --select_on frensh",
    "a task": "accelerate launch --quiet run_target.py --task xnly --output_dir x",
    "a recipe": "accelerate launch run_target.py --task xcopa --recipe xtreme-s --output_dir x",
    "a language": "python run_target.py --task xnli --languages de xx --output_dir x",
    "a script": "python run_tarket.py --task xnli --output_dir x",
    "a program": "pyhton run_target.py --task xnli --output_dir x",
    "a flag of the launcher": "accelerate launch --quite run_target.py --task xnli --output_dir x",
    "a missing output_dir": "python run_target.py --task xnli",
    "a module": "python -m sample.show",
    "a flag of a module": "python -m samples.grid --sedes 42",
    "a flag of the report": "python run_report.py out --outputdir x",
    "a flag of a benchmark": "python benchmarks/memory.py --gb 8 --tasks xnli",
    "a task to translate": "python translate.py --task mnly --language de --output_file x.jsonl",
    "a recipe's name": "recipes/paper_gird.sh",
    "a recipe's argument": "recipes/real_languages.sh fourtytwo",
    "a recipe's variable": 'START="none mnli" recipes/paper_grid.sh',
    "a flag in a recipe's variable": 'FLAGS="--bf61" recipes/paper_grid.sh',
    "a target of make": "make dmeo",
    "a file of requirements": "pip install -r requirement.txt",
    "a flag of hf": "hf download --repo-typ dataset nyu-mll/glue",
    "a file of tests": "pytest tests/test_gpus.py",
}


@pytest.mark.parametrize("what", WITH_MISTAKES)
def test_a_mistake_in_a_page_is_seen(what, check):
    (command,) = of_page("page.md", BLOCK.format(WITH_MISTAKES[what]))
    with pytest.raises((AssertionError, *ENDS_PARSING)):
        check(command)


def test_commands_are_found_in_blocks_sentences_and_headers():
    blocks = (
        "```\n$ python a.py --b \\\n  c   # why\noutput of it\n```\n",
        BLOCK.format("for task in xnli pawsx; do\n  python a.py --task $task\ndone"),
    )
    text = "Run `make demo`, or `A=1 recipes/x.sh`, not `make`.\n" + "".join(blocks)
    found = [(command.place, str(command), command.is_whole) for command in of_page("p", text)]
    assert found == [("p:3", "python a.py --b c", True), ("p:9", "python a.py --task xnli", True), ("p:1", "make demo", False),
                     ("p:1", "A=1 recipes/x.sh", False)]  # fmt: skip
    header = '"""What.\n\n    python a.py --b ...   # part\n    python c.py --d 1\n"""\n'
    assert [(str(command), command.is_whole) for command in of_header("h", header)] == [
        ("python a.py --b", False),
        ("python c.py --d 1", True),
    ]
    either = [str(command) for command in of_header("h", '"""What.\n\n    make demo        (or: python -m a.b --c d)\n"""\n')]
    assert either == ["make demo", "python -m a.b --c d"]
    assert [str(command) for command in of_header("h", "#!/x\n# Why.\n#   X='1 2' recipes/a.sh y   # z\n")] == ["X='1 2' recipes/a.sh y"]
