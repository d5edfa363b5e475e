"""One of the five questions of docs/questions.md on miniature data, offline, on two CPU cores.

    python -m samples.question domain        (or: MINIATURE=1 recipes/questions/domain.sh)

The same design as that of recipes/questions, with fewer tasks and two seeds. The miniature data have no low-resource languages: Russian and
Chinese stand for them (samples/resources.csv). Turkish and Arabic do not: without training data in them all models are at chance there.
The targets have training data in English alone: for training in all languages this script writes training pairs of XNLI in each. Run the
command again: finished cells are skipped. The answers say that the design runs, and nothing else.
"""

import json
from dataclasses import replace
from pathlib import Path

from samples import grid, tasks
from samples.grid import Cell
from samples.lexicon import LANGUAGES
from samples.write_data import NLI, output_folder
from task_adapters import TASKS, load_examples
from task_adapters.errors import OneLineParser

SEEDS = (42, 43)
RESOURCES = "samples/resources.csv"
ROWS = 2000  # in each language of the files for training: from 500 the encoder learns nothing
SHOTS = "200"  # of each language in the few-shot arm: from 20 the encoder learns nothing
SIZE = "1000"  # examples of each intermediate task where size must not be taken for domain
NOISES = ("typos:0.1", "diacritics:1", "normalisation:1", "script_noise:0.1")
SCORING = "--do_train false --max_seq_length 128 --use_cpu --disable_tqdm true".split()
REPORT = {"low_resource": {"groups": RESOURCES}, "calibration": {"temperature_examples": 50}}


def with_flags(cells: list[Cell], *flags: str) -> list[Cell]:
    return [replace(cell, flags=(*cell.flags, *flags)) for cell in cells]


def domain(out, seeds) -> list[Cell]:
    starts, targets = (None, "mnli", "qqp", "squad_v1", "hellaswag"), ("xnli", "pawsx", "panx", "xquad")
    cells = grid.cells(out, starts, targets, seeds)
    trained = [cell for cell in cells if cell.script == "run_intermediate"]
    return with_flags(trained, "--max_train_samples", SIZE) + [cell for cell in cells if cell not in trained]


def cross_task(out, seeds) -> list[Cell]:
    return grid.cells(out, (None, "mnli", "squad_v1", "ccg"), ("xnli", "udpos", "xquad", "tatoeba"), seeds)


def low_resource(out, seeds) -> list[Cell]:
    arms = {"": grid.cells(out, (None, "mnli"), ("xnli",), seeds), **in_all_languages(out, seeds)}
    noisy = [noisy_cell(out, cell, noise) for cells in arms.values() for cell in cells if cell.script == "run_target" for noise in NOISES]
    return [cell for cells in arms.values() for cell in cells] + noisy


def in_all_languages(out, seeds) -> dict[str, list[Cell]]:
    """The arms `multilingual` and `few_shot`: XNLI from the encoder as it is, trained in all languages."""
    files = ["--train_file", *(f"{language}={path}" for language, path in train_files().items())]
    multilingual = with_flags(grid.cells(f"{out}/multilingual", (None,), ("xnli",), seeds), *files)
    few_shot = with_flags(grid.cells(f"{out}/few_shot", (None,), ("xnli",), seeds), *files, "--max_train_samples", SHOTS)
    return {"multilingual": multilingual, "few_shot": few_shot}


def noisy_cell(out, cell: Cell, noise: str) -> Cell:
    """The finished target of a cell, scored on perturbed text."""
    folder = f"{out}/perturbed/{noise.partition(':')[0]}/{Path(cell.folder).relative_to(out)}"
    languages = [name for name in LANGUAGES if name in TASKS[cell.task].languages]
    flags = ["--model_name_or_path", cell.folder, "--data_dir", grid.DATA, "--languages", *languages, *SCORING, "--perturb", noise]
    return Cell("run_target", cell.task, cell.start, folder, tuple(flags), cell.folder)


def alignment(out, seeds) -> list[Cell]:
    cells = grid.cells(out, (None, "mnli", "squad_v1"), ("tatoeba",), seeds)
    tuned = in_all_languages(out, seeds)["multilingual"]
    before = next(cell for cell in cells if cell.script == "run_retrieval")
    for cell in tuned:
        flags = ["--model_name_or_path", cell.folder, *before.flags[2:]]
        cells.append(Cell("run_retrieval", "tatoeba", "xnli", f"{cell.folder}/tatoeba", tuple(flags), cell.folder))
    trained = [cell for cell in cells if cell.script != "run_retrieval"]
    return tuned + trained + with_flags([cell for cell in cells if cell not in trained], "--layers", "all")


def calibration(out, seeds) -> list[Cell]:
    starts, targets = (None, "mnli", "squad_v1"), ("xnli", "xquad", "udpos")
    plain = grid.cells(out, starts, targets, seeds)
    smoothed = [replace(cell, folder=f"{out}/label_smoothing/{Path(cell.folder).relative_to(out)}")
                for cell in plain if cell.script == "run_target"]  # fmt: skip
    return plain + with_flags(smoothed, "--label_smoothing_factor", "0.1")


QUESTIONS = {cells.__name__: cells for cells in (domain, cross_task, low_resource, alignment, calibration)}


def train_files() -> dict[str, Path]:
    """{language: file}: the same training pairs of XNLI in every language. Writes the files that are not there."""
    folder = Path(grid.DATA, "train_files")
    files = {language: folder / f"xnli.{language}.{ROWS}.jsonl" for language in LANGUAGES}
    if not all(path.is_file() for path in files.values()):
        folder.mkdir(exist_ok=True)
        test = load_examples(TASKS["xnli"], "test", "en", grid.DATA)[0]
        for language, rows in parallel_rows({*test["text_a"], *test["text_b"]}).items():
            files[language].write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return files


def parallel_rows(taken: set[str]) -> dict[str, list[dict]]:
    """{language: pairs of sentences with their label}, in every language the same `ROWS`. taken: English sentences that none may have."""
    drawn = tasks.Writer(0, 1.0).collect("xnli translated", "train", 3 * ROWS, tasks.nli_pair)
    pairs = [pair for pair in drawn if taken.isdisjoint(utterance.text("en") for utterance in pair[:2])][:ROWS]
    names = NLI["label"].names
    return {x: [row | {"label": names[row["label"]]} for row in tasks.nli_rows(pairs, x)] for x in LANGUAGES}


def main():
    parser = OneLineParser(description=__doc__.splitlines()[0])
    parser.add_argument("question", choices=QUESTIONS)
    parser.add_argument("--output_dir", type=output_folder, help="out/questions/QUESTION-miniature by default")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--jobs", type=int, default=2, help="processes, of one thread each")
    args = parser.parse_args()
    out = args.output_dir or f"out/questions/{args.question}-miniature"
    grid.make_world()
    todo = QUESTIONS[args.question](out, args.seeds)
    failed = grid.run_all(todo, args.jobs)
    from run_report import write_report  # which reads pandas and matplotlib: the workers need neither

    if len(failed) < len(todo):
        print(f"\n{write_report([out], Path(out, 'report'), questions=[args.question], **REPORT.get(args.question, {}))}")
    grid.end_with(failed, todo)


if __name__ == "__main__":
    grid.stop_in_one_line(main)
