"""Predictions and labels in XTREME's submission format, and the scores of two such folders.

    python predictions.py --prediction_folder out/xlmr/predictions --label_folder labels        # --benchmark xtreme-r, --protocol nlu-evals
    python predictions.py --prediction_folder out/mine/predictions --label_folder out/mine/labels --task_file my_task.py

Format: <root>/<task>/test-<language>.<tsv, json or jsonl>, as https://github.com/google-research/xtreme (Apache 2.0) reads it. Only the
folders of BUCC and Mewsli-X have other names than the tasks, bucc2018 and mewslix. This module is stricter than XTREME on purpose:
it raises an error for files whose rows XTREME would silently shift, skip or score as 0.
"""

import json
import operator
import os
import re
import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from metrics import XTREME_METRIC, XTREME_R_METRIC, xtreme_overall, xtreme_task_score
from task_adapters import TASKS, add_task_file, nearest, nlu_evals, with_languages_of
from task_adapters.errors import OneLineParser
from task_adapters.examples import LANGUAGE

EXTENSIONS = {"span_qa": "json", "ranking": "json", "multiple_choice": "jsonl"}  # all others: tsv
# The metrics whose mean is a task's score, by benchmark or protocol. nlu-evals counts of answers the F1 alone.
METRICS: dict[str, dict[str, tuple[str, ...]]]
METRICS = {"xtreme": XTREME_METRIC, "xtreme-r": XTREME_R_METRIC,
           nlu_evals.PROTOCOL: {name: (TASKS[name].dev_metric,) for name in nlu_evals.SCORED}}  # fmt: skip
NAMES = {"xtreme": "XTREME", "xtreme-r": "XTREME-R", nlu_evals.PROTOCOL: nlu_evals.PROTOCOL}
FOLDER = {"bucc": "bucc2018", "mewsli_x": "mewslix"}  # every other task's folder has the task's name
EXTRA_TAGS = {"udpos": ("O", "_")}  # XTREME's taggers can also predict O. Universal Dependencies write `_` for a word without a tag.
# XTREME's download gives every row the same placeholder as its label. Up to this many equal rows may be real labels.
LONGEST_CONSTANT_GOLD = 20


def prediction_path(root: str | Path, task_name: str, language: str) -> Path:
    """Returns the path of a task's file for one language: <root>/<folder>/test-<language>.<extension of its kind (`EXTENSIONS`)>."""
    extension = EXTENSIONS.get(_kind(task_name), "tsv")
    return Path(root) / FOLDER.get(task_name, task_name) / f"test-{language}.{extension}"


def write_predictions(root: str | Path, task_name: str, language: str, predicted: Any, ids: Sequence | None = None) -> Path:
    """Writes one language's predictions, the whole file or nothing, and returns the path.

    predicted: labels (classification, multiple_choice), lists of tags (tagging), 0-based line numbers (retrieval), (source id, target id)
    pairs (mining), or answers (span_qa), which need their `ids`. An answer is a string, None (no prediction: the question is left out of
    the file) or SQuAD 2.0's {"text", "no_answer_margin"}, which is written as "" if the margin is above 0.
    Of a ranking: {question id: ids, best first}.
    ValueError for values that `read_predictions` could not read back.
    """
    path, kind = prediction_path(root, task_name, language), _kind(task_name)
    if kind == "ranking":
        return _write(path, _rankings_text(predicted, path))
    if kind != "span_qa":
        return _write(path, _rows_text(kind, predicted, path))
    if ids is None or len(ids) != len(predicted) or len(set(ids)) != len(ids):
        raise ValueError(f"{path}: {len(predicted)} answers need as many ids, each once; there are {len(set(ids or []))} different ids.")
    answers = {str(id_): _answer_text(answer) for id_, answer in zip(ids, predicted, strict=True) if answer is not None}
    return _write(path, json.dumps(answers, ensure_ascii=False, indent=1) + "\n")


def write_labels(root: str | Path, task_name: str, language: str, gold: Any, examples: Iterable[dict] | None = None) -> Path:
    """Writes one language's gold labels and returns the path. Shapes are those of `write_predictions`.

    For span_qa `gold` is not used. `examples` are n dicts {id, context, question, answers: {text, answer_start}}, written as SQuAD's JSON.
    Consecutive questions about the same context share a paragraph.
    """
    path, kind = prediction_path(root, task_name, language), _kind(task_name)
    if kind == "ranking":
        return _write(path, _rankings_text(gold, path))
    if kind != "span_qa":
        return _write(path, _rows_text(kind, gold, path))
    if examples is None:
        raise ValueError(f"{path}: gold answers are written from examples (id, context, question, answers), and there are none.")
    paragraphs = []
    for context, group in groupby(examples, key=operator.itemgetter("context")):
        paragraphs.append(
            {
                "context": context,
                "qas": [
                    {
                        "id": example["id"],
                        "question": example["question"],
                        "answers": [
                            {"text": text, "answer_start": int(start)}
                            for text, start in zip(example["answers"]["text"], example["answers"]["answer_start"], strict=True)
                        ],
                    }
                    for example in group
                ],
            }
        )
    return _write(path, json.dumps({"data": [{"paragraphs": paragraphs}]}, ensure_ascii=False, indent=1) + "\n")


def read_predictions(root: str | Path, task_name: str, language: str) -> Any:
    """Returns one language's predictions, in the shapes that `write_predictions` takes; for span_qa {id: answer}.

    ValueError names file and line if the file does not have the task's format.
    """
    path, kind = prediction_path(root, task_name, language), _kind(task_name)
    if kind == "ranking":
        return _read_rankings(path)
    return _read_answers(path) if kind == "span_qa" else _read_rows(path, kind, task_name)


def read_labels(root: str | Path, task_name: str, language: str) -> Any:
    """Returns one language's gold labels in the shape that the task's metric takes; for span_qa (ids, lists of acceptable answers).

    Errors as in `read_predictions`.
    """
    path, kind = prediction_path(root, task_name, language), _kind(task_name)
    if kind == "ranking":
        return _read_rankings(path)
    return _read_gold_answers(path) if kind == "span_qa" else _read_rows(path, kind, task_name)


def score_folders(
    predictions_root: str | Path,
    labels_root: str | Path,
    missing_answers: str = "error",
    benchmark: str = "xtreme",
    own_task: str | None = None,
) -> dict[str, dict]:
    """Scores the tasks of a benchmark that have a folder in both: {task: {"languages": {language: {metric: value}}, "score": 0..100}}.

    The languages are those of the labels folder. The score is the mean over the languages of the benchmark, and None unless the labels
    folder has all of them. Other languages, which --test_file brings, are scored and in no mean; that one of the benchmark's languages was
    scored on a file of one's own cannot be seen here: results.json says it.
    benchmark: xtreme; xtreme-r, which has more languages in some tasks; or nlu-evals, whose tasks are others.
    own_task: the name of a task beside them (`task_adapters.add_task_file`), whose score is the mean of its dev_metric.
    missing_answers: "zero" gives a question without prediction the score 0, as XTREME does; "error" raises ValueError.
    ValueError or FileNotFoundError, in one line, for a language without predictions, different numbers of rows, ids that gold does not
    have, and gold labels that XTREME's download has removed (answers without text, or the same label in every row).
    """
    if missing_answers not in ("error", "zero"):
        raise ValueError(f"missing_answers is {missing_answers!r}; it is 'error' or 'zero'.")
    results, metric_of = {}, metrics_of(benchmark, own_task)
    for task_name in metric_of:
        folder = prediction_path(labels_root, task_name, "*")
        if not folder.parent.is_dir() or not prediction_path(predictions_root, task_name, "*").parent.is_dir():
            continue
        label_languages = sorted(path.stem.removeprefix("test-") for path in folder.parent.glob(folder.name))
        all_languages = with_languages_of(TASKS[task_name], benchmark).languages
        for language in label_languages:
            is_of_xtreme_r = language in TASKS[task_name].xtreme_r and language not in all_languages
            if is_of_xtreme_r or not re.fullmatch(LANGUAGE, language):
                wrong = f"{language!r} is a language of --benchmark xtreme-r" if is_of_xtreme_r else f"{language!r} is no language code"
                path = prediction_path(labels_root, task_name, language)
                raise ValueError(f"{path}: {task_name} covers {', '.join(all_languages)}; {wrong}.")
        if not label_languages:
            raise ValueError(f"{folder.parent} holds no {folder.name} file.")
        scores = {language: _score(predictions_root, labels_root, task_name, language, missing_answers) for language in label_languages}
        of_benchmark = {language: scores[language] for language in label_languages if language in all_languages}
        task_score = xtreme_task_score(task_name, of_benchmark, metric_of) if len(of_benchmark) == len(all_languages) else None
        results[task_name] = {"languages": scores, "score": task_score}
    if not results:
        folders = ", ".join(FOLDER.get(name, name) for name in METRICS[benchmark])
        own = f" --task_file's is: {own_task}." if own_task else ""
        raise ValueError(
            f"{predictions_root} and {labels_root} have no task folder in common. {NAMES[benchmark]}'s folders are: {folders}.{own}"
        )
    return results


def metrics_of(benchmark: str, own_task: str | None = None) -> dict[str, tuple[str, ...]]:
    """{task: the metrics whose mean is its score} of a benchmark's tasks, and of a task beside them."""
    return METRICS[benchmark] | ({own_task: (TASKS[own_task].dev_metric,)} if own_task else {})


def main(argv: list[str] | None = None) -> int:
    parser = OneLineParser(description="Scores of a folder of predictions in XTREME's submission format.")
    parser.add_argument("--prediction_folder", required=True, help="folder in XTREME's submission format: TASK/test-LANGUAGE.tsv or .json")
    parser.add_argument("--label_folder", required=True, help="folder of the gold labels, laid out in the same way")
    parser.add_argument(
        "--missing_answers",
        choices=("error", "zero"),
        default="error",
        help="what to do with a question that has no prediction: error, or score 0 as XTREME does",
    )
    parser.add_argument(
        "--benchmark", choices=("xtreme", "xtreme-r"), help="score XTREME's nine tasks (default), or XTREME-R's ten in all their languages"
    )
    parser.add_argument("--protocol", choices=(nlu_evals.PROTOCOL,), help="score the ten tasks of nlu-evals")
    parser.add_argument("--task_file", help="a Python file with a TASK of your own, which is then scored too")
    args = parser.parse_args(argv)
    if args.benchmark and args.protocol:
        parser.error(f"--protocol {args.protocol} has its own languages: leave --benchmark {args.benchmark} out.")
    benchmark = args.protocol or args.benchmark or "xtreme"
    try:
        own_task = add_task_file(args.task_file).name if args.task_file else None
        results = score_folders(args.prediction_folder, args.label_folder, args.missing_answers, benchmark, own_task)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(_table(results, benchmark)))
    return 0


def _table(results, benchmark="xtreme"):
    width = max(8, *map(len, results))
    for task_name, result in results.items():
        all_languages = with_languages_of(TASKS[task_name], benchmark).languages
        for language, scores in result["languages"].items():
            own = "" if language in all_languages else "  (own data, not in the score)"
            yield f"{task_name:<{width}} {language:<6}" + "".join(f"  {name} {value:6.2f}" for name, value in scores.items()) + own
        missing = [language for language in all_languages if language not in result["languages"]]
        yield f"{task_name:<{width}} score   " + (f"none, without labels for: {' '.join(missing)}" if missing else f"{result['score']:.2f}")
    if results.keys().isdisjoint(METRICS[benchmark]):  # a task of one's own, which has no overall score
        return
    without_score = [name for name in METRICS[benchmark] if results.get(name, {"score": None})["score"] is None]
    overall = (
        f"none, without a score for: {' '.join(without_score)}"
        if without_score
        else (f"{xtreme_overall({name: result['score'] for name, result in results.items()}, METRICS[benchmark]):.2f}")
    )
    yield f"{'overall':<{width}} score   {overall}"


def _kind(task_name):
    if task_name not in TASKS:
        raise ValueError(f"Unknown task {task_name!r}. {nearest(task_name, TASKS)}")
    return TASKS[task_name].task_type


def _score(predictions_root, labels_root, task_name, language, missing_answers):
    gold_path, path = (prediction_path(root, task_name, language) for root in (labels_root, predictions_root))
    if not path.exists():
        raise FileNotFoundError(f"{task_name} has no {language!r} predictions: {path} does not exist, {gold_path} does.")
    gold, predicted = read_labels(labels_root, task_name, language), read_predictions(predictions_root, task_name, language)
    kind = _kind(task_name)
    _refuse_placeholders(gold_path, gold[1] if kind == "span_qa" else gold, kind)
    if kind in ("span_qa", "ranking"):
        ids, gold = gold if kind == "span_qa" else (list(gold), gold)
        unknown, missing = sorted(predicted.keys() - set(ids)), [id_ for id_ in ids if id_ not in predicted]
        if unknown:
            raise ValueError(f"{path}: {len(unknown)} ids are not in {gold_path}, the first is {unknown[0]!r}.")
        if missing and missing_answers == "error":
            raise ValueError(
                f"{path}: no answer for {len(missing)} of {len(ids)} ids, the first is {missing[0]!r}; "
                "--missing_answers zero scores them 0, as XTREME does."
            )
        if kind == "span_qa":
            predicted = [predicted.get(id_) for id_ in ids]
    elif kind != "mining" and len(gold) != len(predicted):
        rows = "sentences" if kind == "tagging" else "rows"
        raise ValueError(f"{path} has {len(predicted)} {rows}, {gold_path} has {len(gold)}.")
    try:
        return TASKS[task_name].metric(gold, predicted, language)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _refuse_placeholders(path, gold, kind):
    values = [value for values in gold for value in values] if kind in ("tagging", "span_qa") else gold
    if len(values) > LONGEST_CONSTANT_GOLD and len(set(values)) == 1:
        raise ValueError(f"{path}: all {len(values)} labels are {values[0]!r}, a placeholder; scores against it mean nothing.")


def _rows_text(kind, values, path):
    blocks = values if kind in ("tagging", "mining") else [[value] for value in values]
    lines = []
    for number, block in enumerate(blocks, start=1):
        words = [_word(word, kind) for word in block]
        if not words or (kind == "mining" and len(words) != 2):
            raise ValueError(f"{path}: row {number} is {block!r}; a sentence needs a tag at least, a pair exactly two ids.")
        for word in words:
            has_break = re.search(r"\s" if kind in ("tagging", "mining") else r"[\r\n]", word)
            if has_break or not word.strip():
                raise ValueError(f"{path}: row {number} has {word!r}, which is blank or would break the line.")
        lines.append(("\t" if kind == "mining" else "\n").join(words) + "\n")
    return ("\n" if kind == "tagging" else "").join(lines)


def _rankings_text(rankings, path):
    for name, answers in rankings.items():
        if len(set(answers)) != len(answers) or not all(isinstance(answer, str) for answer in answers):
            raise ValueError(f"{path}: {name!r} has {answers!r:.60}; it should be different ids, best first.")
    return json.dumps(rankings, ensure_ascii=False, indent=1) + "\n"


def _word(value, kind):
    """A label as it stands in a file: XTREME-R writes the place of a choice as {"label": 1}."""
    if kind == "multiple_choice":
        return json.dumps({"label": operator.index(value)})
    return str(operator.index(value)) if kind == "retrieval" else str(value)


def _answer_text(answer):
    if isinstance(answer, str):
        return answer
    return "" if answer["no_answer_margin"] > 0 else answer["text"]


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _read(path):
    if path.exists() and not path.is_file():  # Opening a pipe would block until another process writes to it.
        raise ValueError(f"{path} is a folder, a pipe or a device, where a file should be.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text, byte {error.start} is {error.object[error.start]:#x}.") from None


def _read_rows(path, kind, task_name):
    rows, sentence, allowed = [], [], TASKS[task_name].labels + EXTRA_TAGS.get(task_name, ())
    lines = [line.strip() for line in _read(path).removesuffix("\n").split("\n")]
    for number, line in enumerate([] if lines == [""] else lines, start=1):
        if not line:
            if kind != "tagging" or not sentence:
                why = "an empty sentence would shift all that follow" if kind == "tagging" else "every line holds one row"
                raise ValueError(f"{path}:{number}: blank line; {why}.")
            rows.append(sentence)
            sentence = []
        elif kind == "mining":
            if len(line.split("\t")) != 2:
                raise ValueError(f"{path}:{number}: {line!r} is not a source id, one TAB and a target id.")
            rows.append(tuple(line.split("\t")))
        elif kind == "multiple_choice":
            rows.append(_read_choice(line, f"{path}:{number}", TASKS[task_name].choices))
        elif kind == "retrieval":
            if not re.fullmatch("[0-9]+", line):
                raise ValueError(f"{path}:{number}: {line!r} is not a line number counted from 0; write 29, not [29].")
            rows.append(int(line))
        elif (allowed and line not in allowed) or (kind == "tagging" and re.search(r"\s", line)):
            raise ValueError(f"{path}:{number}: {line!r} is not a label of {task_name}" + (f": {', '.join(allowed)}." if allowed else "."))
        elif kind == "tagging":
            sentence.append(line)
        else:
            rows.append(line)
    rows += [sentence] if sentence else []
    if not rows and kind != "mining":  # Mining may find no pair above its threshold. In all other tasks an empty file is broken.
        raise ValueError(f"{path} is empty.")
    return rows


def _read_choice(line, where, choices):
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: not JSON: {error.msg}.") from None
    label = row.get("label") if isinstance(row, dict) else None
    if type(label) is not int or not 0 <= label < choices:
        raise ValueError(f'{where}: {line!r:.60} is not {{"label": 0}}, with a number from 0 to {choices - 1}.')
    return label


def _load_json(path, **options):
    try:
        return json.loads(_read(path), **options)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: not JSON: {error.msg}.") from None
    except RecursionError:
        raise ValueError(f"{path}: not a file of answers: its brackets are nested too deeply to be read.") from None


def _read_answers(path):
    def without_duplicates(pairs):
        _check_unique(path, [name for name, _ in pairs])
        return dict(pairs)

    answers = _load_json(path, object_pairs_hook=without_duplicates)
    wrong = [answers] if not isinstance(answers, dict) else [answer for answer in answers.values() if not isinstance(answer, str)]
    if wrong:
        raise ValueError(f"{path}: holds {wrong[0]!r:.60} where question ids and answers, all strings, should be.")
    return answers


def _read_rankings(path):
    def without_duplicates(pairs):
        _check_unique(path, [name for name, _ in pairs])
        return dict(pairs)

    rankings = _load_json(path, object_pairs_hook=without_duplicates)
    if not isinstance(rankings, dict):
        raise ValueError(f"{path}: holds {rankings!r:.60} where {{question id: [ids, best first]}} should be.")
    for name, answers in rankings.items():
        if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers) or len(set(answers)) != len(answers):
            raise ValueError(f"{path}: {name!r} has {answers!r:.60}; it should be a list of different ids, best first.")
    return rankings


def _read_gold_answers(path):
    try:
        paragraphs = [paragraph for article in _load_json(path)["data"] for paragraph in article["paragraphs"]]
        questions = [(qa["id"], [answer["text"] for answer in qa["answers"]]) for paragraph in paragraphs for qa in paragraph["qas"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: not SQuAD's data > paragraphs > qas > id, answers > text ({error!r}).") from None
    wrong = [value for id_, answers in questions for value in (id_, *answers) if not isinstance(value, str)]
    if wrong:
        raise ValueError(f"{path}: holds {wrong[0]!r:.60} where an id or an answer's text, all strings, should be.")
    emptied = [id_ for id_, answers in questions if not all(text.strip() for text in answers)]
    if emptied:
        raise ValueError(
            f"{path}: {len(emptied)} of {len(questions)} questions have an answer without text, {emptied[0]!r} first, as XTREME's download"
            " leaves it; scores against it mean nothing."
        )
    _check_unique(path, [id_ for id_, _ in questions])
    return [id_ for id_, _ in questions], [answers for _, answers in questions]


def _check_unique(path, ids):
    seen = set()
    for id_ in ids:
        if id_ in seen:
            raise ValueError(f"{path}: id {id_!r} occurs twice.")
        seen.add(id_)


if __name__ == "__main__":
    raise SystemExit(main())
