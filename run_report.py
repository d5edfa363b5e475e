"""From folders of results to tables, pictures and one HTML page.

    python run_report.py out/grid                                  # out/report/: page, tables, pictures, results.csv
    python run_report.py out/xlmr out/mmbert --output_dir both     # several folders, one table
    python run_report.py out/grid --baseline mnli --format md,tex  # differences to another row, two formats
    python run_report.py out/mine --task_file my_task.py           # with runs of a task of your own
    python run_report.py out/grid --submission xtreme --row mnli   # nothing else: the nine folders that XTREME's evaluator reads
    python run_report.py out/grid --submission r --row mnli --benchmark xtreme-r   # XTREME-R's ten

Reads every results.json below the folders, whatever made it. Trains nothing, needs no GPU and no network. See docs/report.md.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from pandas import concat

from report.analysis import Analysis
from report.collect import BASELINE, COLUMNS, Collection, collect, lines_of
from report.formats import FORMATS, to_plain, visible
from report.languages import read_groups
from report.layers import layers_table
from report.questions import QUESTIONS, question_tables
from report.statistics import RESAMPLES
from report.submission import PASSED_OVER, TASKS_OF, write_submission
from report.tables import SHOWN, all_tables
from task_adapters import InputError, add_task_file
from task_adapters.errors import OneLineParser

PAGE = "html"


def write_report(
    folders: Sequence[str],
    output_dir: str | Path,
    formats: Sequence[str] = (*FORMATS, PAGE),
    baseline: str = BASELINE,
    resamples: int = RESAMPLES,
    temperature_examples: int = 0,
    groups: str | None = None,
    questions: Sequence[str] | None = None,
) -> str:
    """Writes the report of everything below `folders` into `output_dir`. -> its first tables as plain text, and where the rest is.

    Raises InputError where no result is usable, and for an output folder that cannot be written.
    """
    collection = collect(folders)
    how = {"resamples": resamples, "temperature_examples": temperature_examples, "groups": groups and read_groups(groups)}
    analyses = analyses_of(collection, baseline, how)
    analysis = analyses[0]
    tables, output_dir = [*all_tables(analysis), *question_tables(analysis, questions)], Path(output_dir)
    tables += [table for other in analyses[1:] for table in all_tables(other)]
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        with open(output_dir / "results.csv", "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *lines_of(collection.runs)])
        write(output_dir / "differences.csv", concat([part.differences for part in analyses]).to_csv())
        write(output_dir / "calibration.csv", concat([part.calibration for part in analyses]).to_csv(index=False))
        if not (by_layer := layers_table(collection.runs)).empty:
            write(output_dir / "layers.csv", by_layer.to_csv(index=False))
        for name in (name for name in FORMATS if name in formats):
            for table in tables if name != "md" else ():
                write(output_dir / f"{table.name}.{name}", FORMATS[name](table))
        if "md" in formats:
            write(output_dir / "report.md", "\n\n".join(map(FORMATS["md"], tables)))
        if PAGE in formats:
            from report.page import to_html
            from report.pictures import all_pictures

            pictures = [picture for part in analyses for picture in all_pictures(part, output_dir)]
            write(output_dir / "report.html", to_html(title_of(analyses), intro(collection, folders), tables, pictures))
    except OSError as error:
        raise InputError(f"--output_dir {output_dir} cannot be written: {error.strerror or error}.") from error
    names = [*SHOWN, *(f"{name}_{protocol.replace('-', '_')}" for protocol in collection.protocols for name in SHOWN)]
    shown = [to_plain(table) for table in tables if table.name in (*names, *(f"question_{name}" for name in questions or ()))]
    shown += [visible(line) for line in intro(collection, folders)]
    return "\n\n".join([*shown, f"report: {output_dir}/{'report.html' if PAGE in formats else ''}"])


def analyses_of(collection: Collection, baseline: str, how: dict) -> list[Analysis]:
    """One analysis for each protocol, the benchmarks' own first: no table holds runs of two.

    baseline  a start or a model that one of them has; elsewhere the usual one. how: other arguments of `Analysis`.
    """
    analyses = []
    for protocol in ("", *collection.protocols):
        part = collection.of_protocol(protocol)
        has_baseline = any(baseline in (run.start, run.model) for run in part.scored)
        is_known = has_baseline or not any(baseline in (run.start, run.model) for run in collection.scored)
        analyses.append(Analysis(part, baseline if is_known else BASELINE, protocol=protocol, **how))
    return analyses


def write(path: Path, text: str) -> None:
    """Writes text as UTF-8; what has no UTF-8, a lone surrogate in a name, as an escape."""
    path.write_text(text.rstrip("\n") + "\n", encoding="utf-8", errors="backslashreplace", newline="\n")


def title_of(analyses: list[Analysis]) -> str:
    return f"Transfer of {', '.join(dict.fromkeys(model for part in analyses for model in part.models)) or 'intermediate tasks'}"


def intro(collection: Collection, folders: Sequence[str]) -> list[str]:
    """What was read, as sentences."""
    seeds = sorted({run.seed for run in collection.runs} - {None})
    hours = sum(run.seconds for run in collection.runs) / 3600
    lines = [f"{len(collection.runs)} finished runs below {', '.join(map(str, folders))}; seeds {', '.join(map(str, seeds)) or 'none'};"
             f" {hours:.2f} hours of all runs together."]  # fmt: skip
    if collection.perturbed:
        lines.append(
            f"{len(collection.perturbed)} runs on perturbed text stand in no table of scores; the question low_resource reads them."
        )
    if collection.arms:
        said = f"{len(collection.arms)} runs whose target was trained otherwise (the last table names them) stand in no table of scores;"
        lines.append(f"{said} the questions low_resource and calibration compare them with the others.")
    if left_out := len(collection.problems) - len(collection.arms):
        lines.append(f"{left_out} more are left out; the last table names each with the reason.")
    return lines


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = OneLineParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", metavar="OUT", help="folders with runs, at any depth")
    parser.add_argument("--output_dir", default="out/report", help="where tables, pictures and the page go")
    parser.add_argument("--format", default=",".join((*FORMATS, PAGE)), help="formats to write, separated by commas: md, tex, csv, html")
    parser.add_argument("--baseline", default=BASELINE, help="the start (such as mnli) or the model that all others are compared with")
    parser.add_argument(
        "--resamples", type=int, default=RESAMPLES, help="number of bootstrap samples; 0: no intervals, and no predictions are read"
    )
    parser.add_argument(
        "--temperature_examples",
        type=int,
        default=0,
        help="calibration: also fit a temperature on this many test examples of each language",
    )
    parser.add_argument("--groups", help="a CSV of your own: a column `language`, and one column for each grouping")
    parser.add_argument(
        "--questions",
        help=f"questions to answer, separated by commas: {', '.join(QUESTIONS)}; by default those whose answer has an interval",
    )
    parser.add_argument(
        "--submission",
        help="write no report, but the predictions of --row as a submission to --benchmark in this new folder, and check them",
    )
    parser.add_argument("--row", help="with --submission: the row of the tables, `mnli` or `MODEL mnli`")
    parser.add_argument("--benchmark", choices=tuple(TASKS_OF), help="with --submission: XTREME's nine tasks, or XTREME-R's ten")
    parser.add_argument("--seed", type=int, help="with --submission: which seed of the row; the smallest by default")
    parser.add_argument("--task_file", nargs="+", default=[], help="Python files with a TASK of your own, so that its runs are read")
    args = parser.parse_args(argv)
    args.format = args.format.split(",")
    for name in args.format:
        if name not in (*FORMATS, PAGE):
            raise InputError(f"--format {name}: one or several of {', '.join((*FORMATS, PAGE))}, separated by commas, would be right.")
    args.questions = args.questions.split(",") if args.questions is not None else None
    for name in args.questions or ():
        if name not in QUESTIONS:
            raise InputError(f"--questions {name}: one or several of {', '.join(QUESTIONS)}, separated by commas, would be right.")
    if args.resamples != 0 and args.resamples < 100:
        raise InputError(f"--resamples {args.resamples}: 0, or at least 100.")
    if bool(args.submission) != bool(args.row) or (not args.submission and (args.seed is not None or args.benchmark)):
        raise InputError("--submission DIR and --row NAME go together, and --seed and --benchmark go with them.")
    if args.temperature_examples < 0:
        raise InputError(f"--temperature_examples {args.temperature_examples}: 0 or more.")
    return args


def submit(args: argparse.Namespace) -> int:
    """Lays out a submission. -> 0 where it is whole, 1 where something is missing, which is said line by line."""
    analysis, benchmark = Analysis(collect(args.folders).of_protocol(""), resamples=0), args.benchmark or "xtreme"
    try:
        problems = write_submission(analysis, args.row, args.submission, args.seed, benchmark)
    except OSError as error:
        raise InputError(f"--submission {args.submission} cannot be written: {error.strerror or error}.") from error
    for line in problems:
        print(visible(line))
    apart = f"; LAReQA, which its evaluator cannot read, in {PASSED_OVER}" if benchmark == "xtreme-r" else ""
    whole = f"{'ten' if apart else 'nine'} tasks, all languages{apart}"
    print(f"{args.submission}: " + (f"not whole, {len(problems)} things are missing or wrong" if problems else whole))
    return 1 if problems else 0


def main(argv: list[str] | None = None) -> int:
    """The command. -> its exit code; a mistake of the user is one line on stderr and 2."""
    try:
        args = arguments(argv)
        for path in args.task_file:
            add_task_file(path)
        if args.submission:
            return submit(args)
        print(
            write_report(
                args.folders,
                args.output_dir,
                args.format,
                args.baseline,
                args.resamples,
                args.temperature_examples,
                args.groups,
                args.questions,
            )
        )
    except InputError as error:
        print(f"run_report.py: error: {visible(str(error))}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
