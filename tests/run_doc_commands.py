"""Runs the commands that README.md, docs/ and the headers of scripts show, cut short and on the miniature data: `make doc-commands`.

    PYTHONPATH=.:tests python tests/run_doc_commands.py                     # all that can run offline
    PYTHONPATH=.:tests python tests/run_doc_commands.py README.md docs/runs.md --folder out/pages   # some pages, in a folder that stays

The commands run in a copy of the repository, page by page, so that a command finds what those before it left. Each runs in a forked process
that has the libraries already. The command that is run is printed below the page's: with the encoder and the data of samples/, few steps
and rows, and languages that the miniature data have. A command that cannot run here is named with the reason.
"""

import argparse
import contextlib
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

for name, value in {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}.items():
    os.environ.setdefault(name, value)

from doc_commands import PAGES, ROOT, Command, all_commands, headers

ENCODER, DATA = "samples/encoder", "samples/data"
LANGUAGES = ("en", "de", "es", "fr", "ru", "tr", "ar", "zh")  # of samples/
SHORT = {"--max_steps": "4", "--eval_steps": "2", "--save_steps": "2", "--max_train_samples": "48", "--max_eval_samples": "16",
         "--max_predict_samples": "12", "--collapse": "off", "--max_seq_length": "64", "--effective_batch_size": "16"}  # fmt: skip
# {benchmark: flags that make it small}. A later flag wins over the page's.
SMALL = {
    "at_once": "--shape small --max_steps 3 --runs 1 2 --use_cpu --tokenizer samples/encoder --data_dir samples/data",
    "kills": "--kills 1 --cases retrieval",
    "layers": "--model_name_or_path samples/encoder --data_dir samples/data --languages de --hidden_size 64 --layers 2 --repeats 1"
              " --max_predict_samples 20",
    "lora": "--model_name_or_path samples/encoder --data_dir samples/data --use_cpu --max_steps 2 --rounds 1",
    "mining": "--count 400 --pairs 100 --repeats 1 --sentences 200 --json figures.json",
    "paper_hours": "--model_name_or_path samples/encoder --data_dir samples/data",
    "precision": "--data_dir samples/data --model_name_or_path samples/encoder --layer 2 --tasks tatoeba",
    "preparation": "--model_name_or_path samples/encoder --data_dir samples/data --rows 300 --vocabulary 9000 --repeats 1",
    "ranking": "--queries 64 --candidates 500 --width 32 --checked 2",
    "retrieval": "--model_name_or_path samples/encoder --data_dir samples/data --languages de --hidden_size 64 --tolerance 5",
    "throughput": "--shape small --width 64 --layers 2 --batch 4 --effective_batch 8 --examples 64 --rounds 1 --tasks mnli"
                  " --tokenizer samples/encoder --data_dir samples/data",
}  # fmt: skip
NOT_HERE = {
    r"--deepspeed|--use_deepspeed": "DeepSpeed: tests/test_deepspeed.py",
    r"--push_to_hub": "publishes: tests/test_sharing.py",
    r"--report_to trackio": "trackio is not installed: tests/test_trackers.py",
    r"^translate.py|xnli\.sw\.en": "needs a translation model: tests/test_training_data.py",
    r"--prefetch": "fills the hub's cache",
    r"^(hf|git|pip|pre-commit|source|export|pytest) ": "the internet, or the reader's shell",
    r"^make (test|lint|coverage)|^\.ci/run|tests/pages.py": "the test suite itself",
    r"my_task.py|make_reviews.py": "tests/test_task_file.py runs the page",
    r"wrong.tsv": "a mistake on purpose: tests/test_own_languages.py",
    r"benchmarks/label_pieces": "needs a trained tagger",
    r"benchmarks/(attention|on_a_gpu)": "needs a GPU",
    r"--compile": "compiles for minutes",
    r"benchmarks/memory.py --check|benchmarks/memory.py$": "minutes: tests/test_memory.py",
    r"benchmarks.report": "minutes: tests/test_statistics.py",
    r"^-m samples.(grid|question|pretrain|show)|MINIATURE": "minutes to hours",
    r"^-m samples.write_data": "the data are written before the first command",
    r"slurm_grid": "SLURM: tests/test_grid.py",
    r"multi_gpu|--multi_gpu|torchrun": "several processes: tests/test_scripts.py, tests/test_grid.py",
    r"--mlm_languages all": "Wikipedia of all languages, streamed",
    r"--protocol nlu-evals": "its settings cannot be cut short: tests/test_protocol.py",
    r"panx --train_languages": "the miniature PAN-X has English training data alone: tests/test_training_data.py",
    r"labels$|--grid|--checkpoints out$|--submission": "needs a whole grid: tests/test_choice.py, tests/test_report.py",
}
RECIPES = {"recipes/paper_grid.sh", "recipes/real_languages.sh", "recipes/questions/domain.sh"}  # each once; the others start these


def value_of(words: list[str], flag: str) -> list[str] | None:
    """The words after a flag, up to the next flag."""
    if flag not in words:
        return None
    start = words.index(flag) + 1
    return words[start : next((i for i in range(start, len(words)) if words[i].startswith("--")), len(words))]


def put(words: list[str], flag: str, *values: str) -> None:
    """Replaces a flag and its values, or adds them."""
    if (old := value_of(words, flag)) is not None:
        start = words.index(flag)
        del words[start : start + 1 + len(old)]
    words += [flag, *values]


def on_the_miniature(words: list[str]) -> list[str]:
    """A command of one of the three scripts, cut short and with the data and the encoder of samples/."""
    from task_adapters import TASKS

    script, *flags = words
    tasks = [TASKS[name] for name in value_of(flags, "--task") or () if name in TASKS]
    trains = script != "run_retrieval.py"
    model, only_scores = (value_of(flags, "--model_name_or_path") or [""])[0], value_of(flags, "--do_train") == ["false"]
    if "--config" in flags:  # the file names a model of the hub, and languages
        put(flags, "--seeds", "42")
        put(flags, "--languages", *[language for language in LANGUAGES if language in TASKS["udpos"].languages])
    if not Path(model).is_dir() or not model:
        put(flags, "--model_name_or_path", "out/mnli/xnli" if only_scores else ENCODER)
    put(flags, "--data_dir", DATA)
    if (languages := value_of(flags, "--mlm_languages")) is not None:
        put(flags, "--mlm_languages", *[language for language in languages if language in LANGUAGES])
        put(flags, "--mlm_data", f"{DATA}/text")
    if (languages := value_of(flags, "--train_languages")) is not None:
        put(flags, "--train_languages", "de")
    if script != "run_intermediate.py" and tasks:
        asked = value_of(flags, "--languages") or tasks[0].languages
        here = [language for language in asked if language in LANGUAGES and language in (*tasks[0].languages, *tasks[0].xtreme_r)]
        put(flags, "--languages", *(here or ["de"]))
    if trains:
        for flag, value in SHORT.items():
            if script == "run_target.py" or flag != "--max_predict_samples":
                put(flags, flag, value)
    else:
        if (value_of(flags, "--layer") or ["14"])[0].isdigit():
            put(flags, "--layer", "2")
        is_whole = any(task.task_type in ("ranking", "mining") for task in tasks)  # all candidates are needed: no cut of the rows
        few = [language for language in ("de", "en") if any(language in task.languages for task in tasks)]
        put(flags, *(("--languages", *few) if is_whole else ("--max_predict_samples", "40")))
    if only_scores:
        for flag in ("--max_steps", "--eval_steps", "--save_steps", "--collapse", "--max_train_samples", "--effective_batch_size"):
            del flags[flags.index(flag) : flags.index(flag) + 2]
    put(flags, "--overwrite")
    put(flags, "--use_cpu")
    return [script, *flags]


def runnable(command: Command, done: set[str]) -> tuple[list[str] | None, str]:
    """(the words that run here, why not)"""
    words = list(command.words)
    is_launched = any(word.endswith(".py") for word in words)
    while words and (words[0] in ("accelerate", "launch", "python") or (is_launched and words[0].startswith("--"))):
        words.pop(0)
    text = " ".join(words)
    everything = f"{' '.join(f'{name}={value}' for name, value in command.environment.items())} {' '.join(command.words)}"
    for pattern, reason in NOT_HERE.items():
        if re.search(pattern, text) or re.search(pattern, everything):
            return None, reason
    if not command.is_whole and (
        not words or re.match(r"(run_(intermediate|target|retrieval)|throughput)\.py|recipes/", words[0]) or words[0].startswith("--")
    ):
        return None, "a part of a command"
    if text in done:
        return None, "as above"
    done.add(text)
    if words[0].startswith("recipes/"):
        if words[0] not in RECIPES or f"{words[0]} " in done:
            return None, "the recipe runs once, with few cells"
        done.add(f"{words[0]} ")
        return words[:1], ""
    grid = "out/paper_grid" if Path("out/paper_grid").is_dir() else "out"
    places = {"DATA": DATA, "D": DATA, "DIR": DATA, "M": ENCODER, "T": ENCODER, "ENCODER": ENCODER, "OUT": "out", "N": "8", "NAME": "xnli",
              "P": "out/mnli/xnli/predictions",
              "L": "out/mnli/xnli/labels", "out/grid": grid, "out/xlmr": "out/mnli", "out/mmbert": "out/first",
              "out/a": "out/mnli", "out/b": "out/first", "out/questions/alignment": "out"}  # fmt: skip
    words = [places.get(word, word) for word in words]
    if words[0].startswith("run_") and words[0] != "run_report.py":
        return on_the_miniature(words), ""
    if words[0].startswith("benchmarks/"):
        small = SMALL.get(Path(words[0]).stem, "").split()
        for flag in [word for word in small if word.startswith("--")]:
            put(words, flag, *value_of(small, flag))
        return words, ""
    if words[0] == "choose_intermediate.py":
        return [*words, "--data_dir", DATA, "--tasks", "mnli", "squad_v1", "--rows", "40", "--target_rows", "40", "--use_cpu"], ""
    if words[:2] == ["-m", "task_adapters"] and "--check" in words:
        return [*words, "--data_dir", DATA], ""
    if words[0] == "make":
        return (["-m", "samples.demo"], "") if words == ["make", "demo"] else (None, "the test suite itself")
    return words, ""


def call(words: list[str], log: Path) -> int:
    """Runs a script in a forked process. -> its exit code"""
    if words[0].startswith("recipes/"):
        flags = " ".join(f"{flag} {value}" for flag, value in SHORT.items() if flag not in ("--max_predict_samples", "--max_seq_length"))
        environment = {
            **os.environ, "MODEL": ENCODER, "STARTS": "none mnli", "TARGETS": "xnli", "SEEDS": "42", "LAUNCH": "python",
            "OUT": f"out/{Path(words[0]).stem}",
            "FLAGS": f"--use_cpu --data_dir {DATA} {flags}", "TARGET_FLAGS": "--max_predict_samples 12 --languages en de",
        }  # fmt: skip
        with log.open("w") as file:
            return subprocess.run(words, env=environment, stdout=file, stderr=file, stdin=subprocess.DEVNULL).returncode
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            if words[0] == "-m":
                sys.argv = words[1:]
                runpy.run_module(words[1], run_name="__main__", alter_sys=True)
            else:
                sys.argv, sys.path[0:0] = words, [str(Path(words[0]).parent.absolute())]
                runpy.run_path(words[0], run_name="__main__")
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
            if code and not isinstance(end.code, int):
                print(end.code)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)


def copy_of_the_repository(folder: Path) -> None:
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, files):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).unlink(missing_ok=True)  # a link of an earlier call
        shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)


def prepare(folder: Path) -> None:
    """The copy, the miniature data and the files that pages name, in the current folder from now on."""
    copy_of_the_repository(folder)
    os.chdir(folder)
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    if not Path(DATA).is_dir():
        subprocess.run([sys.executable, "-m", "samples.write_data", "--output_dir", DATA], check=True)
    from task_adapters import TASKS, load_examples

    xnli, tatoeba = (load_examples(TASKS[name], "test", "de", DATA)[0].select(range(40)) for name in ("xnli", "tatoeba"))
    rows = zip(xnli["text_a"], xnli["text_b"], xnli["label"])
    Path("my.tsv").write_text("text_a\ttext_b\tlabel\n" + "".join(f"{a}\t{b}\t{label}\n" for a, b, label in rows))
    source, target = (tatoeba[name] for name in [name for name in tatoeba.column_names if name != "id"][:2])
    Path("pairs.tsv").write_text("source\ttarget\n" + "".join(f"{a}\t{b}\n" for a, b in zip(source, target)))
    train = load_examples(TASKS["hellaswag"], "train", "en", DATA)[0].select(range(64))
    train.add_column("language", ["de"] * 64).to_json("hellaswag.de.jsonl")  # as translate.py writes it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", choices=[[], *PAGES, *headers()], help="all by default")
    parser.add_argument("--without", metavar="REGEX", help="leave out commands in which this is found, such as 'make demo'")
    parser.add_argument("--folder", type=Path, help="where they run; a temporary folder by default")
    args = parser.parse_args()
    commands = [command for command in all_commands() if not args.pages or command.place.partition(":")[0] in args.pages]
    commands = [command for command in commands if not args.without or not re.search(args.without, str(command))]
    with contextlib.ExitStack() as stack:
        folder = args.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        prepare(folder.absolute())
        failed = run_all(commands)
    sys.exit(1 if failed else 0)


def run_all(commands: list[Command]) -> int:
    """Runs the commands in turn, a line for each. -> how many failed"""
    import matplotlib.pyplot  # noqa: F401  (imported once, before processes are forked)
    import pandas  # noqa: F401

    import run_intermediate  # noqa: F401
    import run_retrieval  # noqa: F401
    import run_target  # noqa: F401
    from task_types import TASK_TYPES  # noqa: F401

    done, counts, started = set(), {"ok": 0, "FAILED": 0, "not run": 0}, time.monotonic()
    for number, command in enumerate(commands):
        words, reason = runnable(command, done)
        if words is None:
            counts["not run"] += 1
            print(f"not run  {command.place}  {command}  ({reason})", flush=True)
            continue
        log, begun = Path(f"command{number}.log"), time.monotonic()
        code = call(words, log) - ("--check" in words)  # which ends with 1: the miniature data have other counts than the published
        counts["FAILED" if code else "ok"] += 1
        print(
            f"{'FAILED' if code else 'ok':<8} {command.place}  {command}\n         {time.monotonic() - begun:.0f} s: {shlex.join(words)}",
            flush=True,
        )
        if code:
            print("".join(f"         | {line}\n" for line in log.read_text(errors="replace").splitlines()[-12:]), flush=True)
    print(", ".join(f"{count} {name}" for name, count in counts.items()), f"in {time.monotonic() - started:.0f} s")
    return counts["FAILED"]


if __name__ == "__main__":
    main()
