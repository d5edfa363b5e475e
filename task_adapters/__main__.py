"""All tasks as a table; whether their data can be loaded here; the data fetched ahead for nodes without a network.

    python -m task_adapters
    python -m task_adapters --check                              # all tasks; or --check xnli squad_v1 --languages sw en
    python -m task_adapters --prefetch --model_name_or_path FacebookAI/xlm-roberta-large
    python -m task_adapters --prefetch udpos --benchmark xtreme-r # with the languages that XTREME-R adds
    python -m task_adapters --prefetch panx --train_languages sw # what --train_languages and --select_on read beside English

The exit code is 1 where something is missing or differs from the published counts, 2 for a wrong flag.
"""

import argparse
import sys

from task_adapters import TASKS, InputError, data_line, load_examples, nearest, with_languages_of

SHOWN = 160  # characters of a text
MODEL_FILES = ("*.json", "*.txt", "*.model")


def table(tasks) -> list[str]:
    """One line per task: phase, type, languages, where it is, rows expected per split (for several languages their sum), licence."""
    rows = [("task", "phase", "type", "languages", "source", "train", "dev", "test", "licence")]
    for task in tasks:
        source = task.sources[0]
        ids = dict.fromkeys(part.hub_id for part in (source, *source.and_then))
        others = [other for other in task.sources if other.hub_id not in ids and not other.languages]
        instead = [other for other in others if {*other.splits} & {*source.splits}]
        others = dict.fromkeys(f"else {other.hub_id}" for other in instead)  # mlqa's translations are no other copy of its questions
        counts = {split: expected(task, split) for split in ("train", "dev", "test")}
        if task.train_on:
            counts |= {"train": task.train_on, "dev": task.train_on}
        languages = f"{len(task.languages)}" if len(task.languages) > 1 else task.languages[0]
        rows.append((task.name, task.phase, task.task_type, languages, ", ".join((*ids, *others)), *counts.values(), task.licence))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    right = {3, 5, 6, 7}
    cells = [[f"{cell:>{width}}" if i in right else f"{cell:<{width}}" for i, (cell, width) in enumerate(zip(row, widths))] for row in rows]
    return ["  ".join(row).rstrip() for row in cells]


def expected(task, split) -> str:
    """Published rows of a split over all its languages, before any is dropped; "" where nothing is known."""
    sources = next(([*source.parts(split)] for source in task.sources if split in source.splits), [])
    languages = task.languages if split == "test" else ("en",)
    counts = [source.rows_expected(split, language) for source in sources for language in languages]
    return "" if not counts or None in counts else f"{sum(counts):,}"


def parts_of(task, languages, train_languages=()):
    """(split, language) of everything a task reads: English training and dev data, test data of all languages or of those given.

    Where another task gives the English data (`train_on`), its own training and dev splits are for `train_languages`.
    """
    splits = {split: None for source in task.sources for split in source.splits if split == "test" or not task.train_on}
    for split in splits:
        everywhere = split == "test" or (task.phase == "retrieval" and split != "candidates")  # those are one set for all languages
        for language in task.languages if everywhere else ("en",):
            if not everywhere or languages is None or language in languages:
                yield split, language
    for language in train_languages:
        yield from ((split, language) for split in ("train", "dev") if language != "en" and language in task.languages_with(split))


def check(tasks, languages, data_dir, show, train_languages=()) -> dict[tuple[str, str], dict[str, str]]:
    """Loads everything and prints a line for each part. -> {(task, split): {language: what is missing or differs, and why}}"""
    problems = {}
    for task in tasks:
        shown = not show
        for split, language in parts_of(task, languages, train_languages):
            try:
                examples, provenance = load_examples(task, split, language, data_dir)
            except InputError as error:
                problems.setdefault((task.name, split), {})[language] = str(error)
                print(f"MISSING  {task.name} {language} {split}", flush=True)
                continue
            count, published = provenance["rows"], provenance["rows_expected"]
            is_other = published not in (None, count)
            if is_other:
                problems.setdefault((task.name, split), {})[language] = f"{count:,} rows of {published:,}, from {provenance['hub_id']}"
            print(f"{'DIFFERS' if is_other else 'ok':<7}  {data_line(provenance)}", flush=True)
            if not shown:
                print(*(f"           {text}" for text in as_text(examples[0])), sep="\n")
                shown = True
    return problems


def summary(problems) -> list[str]:
    """What is missing or differs: a line for each task and split, with the reason that its first language gives."""
    lines = []
    for (task, split), reasons in problems.items():
        (language, reason), *others = reasons.items()
        also = f" (so or alike: {' '.join(name for name, _ in others)})" if others else ""
        lines.append(f"  {task} {language} {split}{also}: {reason}")
    return lines


def as_text(example) -> list[str]:
    """An example as `column: value` lines, long values cut."""
    lines = [f"{name}: {' | '.join(map(str, value)) if isinstance(value, list) else value}" for name, value in example.items()]
    return [line if len(line) <= SHOWN else line[:SHOWN] + "..." for line in (" ".join(line.split()) for line in lines)]


def prefetch_model(name: str) -> None:
    """Fetches configuration, tokenizer and one set of weights of a hub model into the cache (XLM-R's repository holds four sets)."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        names = [name for name in HfApi().list_repo_files(name) if "/" not in name]
        weights = "*.safetensors" if any(name.endswith(".safetensors") for name in names) else "pytorch_model*.bin"
        print(f"ok       {name}: {snapshot_download(name, allow_patterns=[*MODEL_FILES, weights])}")
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise InputError(f"Cannot fetch {name!r}: {' '.join(str(error).split())[:300]}") from error


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise InputError(message)


def main(argv=None) -> int:
    parser = Parser(prog="python -m task_adapters", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--check", nargs="*", metavar="TASK", help="load these tasks (all by default) and compare with the published counts"
    )
    parser.add_argument("--prefetch", nargs="*", metavar="TASK", help="the same without examples: afterwards HF_HUB_OFFLINE=1 works")
    parser.add_argument("--languages", nargs="+", help="these test languages only")
    parser.add_argument("--benchmark", choices=("xtreme", "xtreme-r"), default="xtreme", help="xtreme-r: the languages that it adds too")
    parser.add_argument("--train_languages", nargs="+", default=[], help="training and dev data of these languages too")
    parser.add_argument("--data_dir", help="folder laid out by hub id, used in place of the hub")
    parser.add_argument("--model_name_or_path", help="with --prefetch: this model too")
    args = parser.parse_args(argv)
    if args.check is None and args.prefetch is None:
        print("\n".join(table(TASKS.values())))
        print("Rows are the published ones, before any is dropped, test rows over all languages. A task's name: its data are used.")
        return 0
    names = (args.check or []) + (args.prefetch or [])
    for name in names:
        if name not in TASKS:
            raise InputError(f"Unknown task {name!r}. {nearest(name, TASKS)}")
    names = names or list(TASKS)
    tasks = [TASKS[name] for name in dict.fromkeys(other for name in names for other in (name, TASKS[name].train_on) if other)]
    tasks = [with_languages_of(task, args.benchmark) for task in tasks]
    all_languages = {language for task in tasks for language in task.languages}
    for language in (*(args.languages or ()), *args.train_languages):
        if language not in all_languages:
            raise InputError(f"None of these tasks has {language!r} data. {nearest(language, sorted(all_languages))}")

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
