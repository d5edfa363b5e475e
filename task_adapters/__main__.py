"""Prints all tasks as a table, checks whether their data can be loaded, or fetches the data for machines without a network.

    python -m task_adapters
    python -m task_adapters --check                              # all tasks; or --check xnli squad_v1 --languages sw en
    python -m task_adapters --prefetch --model_name_or_path FacebookAI/xlm-roberta-large
    python -m task_adapters --prefetch udpos --benchmark xtreme-r # with the languages that XTREME-R adds
    python -m task_adapters --prefetch panx --train_languages sw # also the data that --train_languages and --select_on use
    python -m task_adapters --check --task_file my_task.py --data_dir data # a task of your own, and no other

The exit code is 1 where something is missing or differs from the published counts, 2 for a wrong flag.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence

from task_adapters import TASKS, InputError, add_task_file, data_line, load_examples, nearest, with_languages_of
from task_adapters.base import Task
from task_adapters.errors import OneLineParser
from task_adapters.flores import meant_or_all
from task_adapters.xtreme_download import NAME as XTREMES_DOWNLOAD

SHOWN = 160  # The number of characters that are printed of a text.
MODEL_FILES = ("*.json", "*.txt", "*.model")


def table(tasks: Iterable[Task]) -> list[str]:
    """Returns one line per task: phase, type, languages, source, expected rows per split (the sum over languages), licence."""
    rows: list[tuple[str, ...]] = [("task", "phase", "type", "languages", "source", "train", "dev", "test", "licence")]
    for task in tasks:
        source = task.sources[0]
        ids = dict.fromkeys(part.hub_id for part in (source, *source.and_then))
        # A source without a common split is no other copy of the same data: one of mlqa's sources has only its translated training data.
        # A source that serves some languages alone is none either.
        others = [other for other in task.sources if other.hub_id not in (*ids, XTREMES_DOWNLOAD) and not other.languages]
        copies = [other for other in others if {*other.splits} & {*source.splits}]
        others = dict.fromkeys(f"else {other.hub_id}" for other in copies)
        counts = {split: expected(task, split) for split in ("train", "dev", "test")}
        if task.train_on:
            counts |= {"train": task.train_on, "dev": task.train_on}
        languages = f"{len(task.languages)}" if len(task.languages) > 1 else task.languages[0]
        rows.append((task.name, task.phase, task.task_type, languages, ", ".join((*ids, *others)), *counts.values(), task.licence))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    aligned_right = {3, 5, 6, 7}
    cells = [
        [f"{cell:>{width}}" if i in aligned_right else f"{cell:<{width}}" for i, (cell, width) in enumerate(zip(row, widths))]
        for row in rows
    ]
    return ["  ".join(row).rstrip() for row in cells]


def expected(task: Task, split: str) -> str:
    """Returns the published number of rows of a split over all its languages, before rows are dropped; "" if it is unknown."""
    sources = next(([*source.parts(split)] for source in task.sources if split in source.splits), [])
    languages = task.languages if split == "test" else ("en",)
    counts = [source.rows_expected(split, language) for source in sources for language in languages]
    return "" if not counts or None in counts else f"{sum(counts):,}"


def parts_of(task: Task, languages: Sequence[str] | None, train_languages: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Yields (split, language) of all data of a task: English training and dev data, and test data of `languages` (None: all).

    If another task gives the English data (`train_on`), the task's own training and dev splits are used for `train_languages` only.
    """
    splits = {split: None for source in task.sources for split in source.splits if split == "test" or not task.train_on}
    for split in splits:
        is_multilingual = split == "test" or (task.phase == "retrieval" and split != "candidates")  # those are one set for all
        for language in task.languages if is_multilingual else ("en",):
            if not is_multilingual or languages is None or language in languages:
                yield split, language
    for language in train_languages:
        yield from ((split, language) for split in ("train", "dev") if language != "en" and language in task.languages_with(split))


def check(
    tasks: Iterable[Task], languages: Sequence[str] | None, data_dir: str | None, show: bool, train_languages: Sequence[str] = ()
) -> dict[tuple[str, str], dict[str, str]]:
    """Loads all data and prints a line for each split and language. Returns {(task, split): {language: what is missing or differs}}.

    show  whether the first example of each task is printed.
    """
    problems = {}
    for task in tasks:
        is_shown = not show
        for split, language in parts_of(task, languages, train_languages):
            try:
                examples, provenance = load_examples(task, split, language, data_dir)
            except InputError as error:
                problems.setdefault((task.name, split), {})[language] = str(error)
                print(f"MISSING  {task.name} {language} {split}", flush=True)
                continue
            count, published = provenance["rows"], provenance["rows_expected"]
            differs = published not in (None, count)
            if differs:
                problems.setdefault((task.name, split), {})[language] = f"{count:,} rows of {published:,}, from {provenance['hub_id']}"
            print(f"{'DIFFERS' if differs else 'ok':<7}  {data_line(provenance)}", flush=True)
            if not is_shown:
                print(*(f"           {text}" for text in as_text(examples[0])), sep="\n")
                is_shown = True
    return problems


def summary(problems: dict[tuple[str, str], dict[str, str]]) -> list[str]:
    """Returns a line for each task and split in which data are missing or differ, with the reason for its first language."""
    lines = []
    for (task, split), reasons in problems.items():
        (language, reason), *others = reasons.items()
        also = f" (so or alike: {' '.join(name for name, _ in others)})" if others else ""
        lines.append(f"  {task} {language} {split}{also}: {reason}")
    return lines


def as_text(example: dict) -> list[str]:
    """Returns an example as `column: value` lines; long values are cut."""
    lines = [f"{name}: {' | '.join(map(str, value)) if isinstance(value, list) else value}" for name, value in example.items()]
    return [line if len(line) <= SHOWN else line[:SHOWN] + "..." for line in (" ".join(line.split()) for line in lines)]


def prefetch_model(name: str) -> None:
    """Fetches configuration, tokenizer and one set of weights of a hub model into the cache. XLM-R's repository holds four sets."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        names = [name for name in HfApi().list_repo_files(name) if "/" not in name]
        weights = "*.safetensors" if any(name.endswith(".safetensors") for name in names) else "pytorch_model*.bin"
        print(f"ok       {name}: {snapshot_download(name, allow_patterns=[*MODEL_FILES, weights])}")
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise InputError(f"Cannot fetch {name!r}: {' '.join(str(error).split())[:300]}") from error


def main(argv: list[str] | None = None) -> int:
    parser = OneLineParser(prog="python -m task_adapters", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--check",
        nargs="*",
        metavar="TASK",
        help="load these tasks and compare with the published counts; by default all but those of nlu-evals",
    )
    parser.add_argument(
        "--prefetch",
        nargs="*",
        metavar="TASK",
        help="fill the hub's cache with these tasks, all by default: afterwards HF_HUB_OFFLINE=1 works",
    )
    parser.add_argument("--task_file", help="a Python file with a TASK of your own; --check alone then checks that task")
    parser.add_argument("--languages", nargs="+", help="test data of these languages only")
    parser.add_argument(
        "--benchmark", choices=("xtreme", "xtreme-r"), default="xtreme", help="xtreme-r: also the languages that XTREME-R adds"
    )
    parser.add_argument("--train_languages", nargs="+", default=[], help="also training and dev data of these languages")
    parser.add_argument("--data_dir", help="folder laid out by hub id, used instead of the hub")
    parser.add_argument("--model_name_or_path", help="with --prefetch: also fetch this model")
    args = parser.parse_args(argv)
    own = [add_task_file(args.task_file).name] if args.task_file else []
    if args.check is None and args.prefetch is None:
        print("\n".join(table(TASKS.values())))
        print("Rows are the published ones, before any is dropped, test rows over all languages. A task's name: its data are used.")
        return 0
    names = (args.check or []) + (args.prefetch or [])
    for name in names:
        if name not in TASKS:
            raise InputError(f"Unknown task {name!r}. {nearest(name, TASKS)}")
    names = names or own or [name for name, task in TASKS.items() if not task.protocol]  # those read the same data, or other copies
    tasks = [TASKS[name] for name in dict.fromkeys(other for name in names for other in (name, TASKS[name].train_on) if other)]
    tasks = [with_languages_of(task, args.benchmark) for task in tasks]
    all_languages = {language for task in tasks for language in task.languages}
    for language in (*(args.languages or ()), *args.train_languages):
        if language not in all_languages:
            raise InputError(f"None of these tasks has {language!r} data. {meant_or_all(language, sorted(all_languages))}")

    import datasets

    datasets.disable_progress_bars()
    missing = summary(check(tasks, args.languages, args.data_dir, args.check is not None, args.train_languages))
    if args.prefetch is not None and args.model_name_or_path:
        try:
            prefetch_model(args.model_name_or_path)
        except InputError as error:
            missing.append(f"  {error}")
    print("\nMissing or different:" if missing else "\nNothing is missing.", *missing, sep="\n")
    return 1 if missing else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as mistake:
        print(f"task_adapters: error: {mistake}", file=sys.stderr)
        sys.exit(2)
