"""Predictions and labels in XTREME's submission format, and the scores of two such folders.

    python predictions.py --prediction_folder out/xlmr/predictions --label_folder labels

Format: <root>/<task>/test-<language>.<tsv or json>, as https://github.com/google-research/xtreme (Apache 2.0) reads it. The oddity: BUCC
lives in a folder called bucc2018. Stricter than XTREME on purpose: what it would shift, skip or score as 0 without a word is an error here.
"""

import argparse
import json
import operator
import os
import re
import sys
from itertools import groupby
from pathlib import Path

from metrics import XTREME_METRIC, xtreme_overall, xtreme_task_score
from task_adapters import TASKS, nearest

FOLDER = {"bucc": "bucc2018"}  # every other task's folder has the task's name
EXTRA_TAGS = {"udpos": ("O", "_")}  # XTREME's taggers can predict O too, and `_` stands where Universal Dependencies have no tag
LONGEST_CONSTANT_GOLD = 20  # XTREME's download leaves one placeholder as the label of every row; a few equal rows can be real


def prediction_path(root, task_name, language):
    """Where a task's file for one language lies: <root>/<folder>/test-<language>.<json for span_qa, else tsv>."""
    extension = "json" if _kind(task_name) == "span_qa" else "tsv"
    return Path(root) / FOLDER.get(task_name, task_name) / f"test-{language}.{extension}"


def write_predictions(root, task_name, language, predicted, ids=None):
    """Write one language's predictions, whole or not at all, and return the path.

    predicted: labels (classification, multiple_choice), lists of tags (tagging), 0-based line numbers (retrieval), (source id, target id)
    pairs (mining), or answers (span_qa), which need their `ids`. An answer is a string, None (left out of the file: no prediction) or
    SQuAD 2.0's {"text", "no_answer_margin"}, written as "" where the margin is above 0.
    ValueError for what could not be read back.
    """
    path, kind = prediction_path(root, task_name, language), _kind(task_name)
    if kind != "span_qa":
        return _write(path, _rows_text(kind, predicted, path))
    if ids is None or len(ids) != len(predicted) or len(set(ids)) != len(ids):
        raise ValueError(f"{path}: {len(predicted)} answers need as many ids, each once; there are {len(set(ids or []))} different ids.")
    answers = {str(id_): _answer_text(answer) for id_, answer in zip(ids, predicted, strict=True) if answer is not None}
    return _write(path, json.dumps(answers, ensure_ascii=False, indent=1) + "\n")


def write_labels(root, task_name, language, gold, examples=None):
    """Write one language's gold labels and return the path; shapes as in `write_predictions`.

    For span_qa everything comes from `examples`, n dicts {id, context, question, answers: {text, answer_start}}, written as SQuAD's JSON:
    consecutive questions on the same context share a paragraph.
    """
    path, kind = prediction_path(root, task_name, language), _kind(task_name)
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


def read_predictions(root, task_name, language):
    """One language's predictions as `write_predictions` takes them; {id: answer} for span_qa.

    ValueError naming file and line for anything else than the task's format.
    """
    path, kind = prediction_path(root, task_name, language), _kind(task_name)
    return _read_answers(path) if kind == "span_qa" else _read_rows(path, kind, task_name)


def read_labels(root, task_name, language):
    """One language's gold labels as its metric takes them; for span_qa (ids, lists of acceptable answers). Errors as in predictions."""
    path, kind = prediction_path(root, task_name, language), _kind(task_name)
    return _read_gold_answers(path) if kind == "span_qa" else _read_rows(path, kind, task_name)


def score_folders(predictions_root, labels_root, missing_answers="error"):
    """Score every XTREME task that has a folder in both: {task: {"languages": {language: {metric: value}}, "score": 0..100 or None}}.

    Languages are those in the labels folder; the score stays None unless these are all of the task's. missing_answers="zero" scores a
    question without prediction 0, as XTREME does. ValueError or FileNotFoundError, in one line, for a language without predictions,
    rows that do not line up, ids that gold does not know, and gold that XTREME's download has emptied: answers without text, or one label
    throughout.
    """
    if missing_answers not in ("error", "zero"):
        raise ValueError(f"missing_answers is {missing_answers!r}; it is 'error' or 'zero'.")
    results = {}
    for task_name in XTREME_METRIC:
        folder = prediction_path(labels_root, task_name, "*")
        if not folder.parent.is_dir() or not prediction_path(predictions_root, task_name, "*").parent.is_dir():
            continue
        labelled = sorted(path.stem.removeprefix("test-") for path in folder.parent.glob(folder.name))
        all_languages = TASKS[task_name].languages
        for language in labelled:
            if language not in all_languages:
                raise ValueError(f"{prediction_path(labels_root, task_name, language)}: {task_name} covers {', '.join(all_languages)}.")
        if not labelled:
            raise ValueError(f"{folder.parent} holds no {folder.name} file.")
        languages = {language: _score(predictions_root, labels_root, task_name, language, missing_answers) for language in labelled}
        score = xtreme_task_score(task_name, languages) if set(labelled) == set(all_languages) else None
        results[task_name] = {"languages": languages, "score": score}
    if not results:
        folders = ", ".join(FOLDER.get(name, name) for name in XTREME_METRIC)
        raise ValueError(f"{predictions_root} and {labels_root} have no task folder in common. XTREME's folders are: {folders}.")
    return results


def main(argv=None):
    parser = argparse.ArgumentParser(description="Scores of a folder of predictions in XTREME's submission format.")
    parser.add_argument("--prediction_folder", required=True)
    parser.add_argument("--label_folder", required=True)
    parser.add_argument("--missing_answers", choices=("error", "zero"), default="error", help="zero: as XTREME scores them")
    args = parser.parse_args(argv)
    try:
        results = score_folders(args.prediction_folder, args.label_folder, args.missing_answers)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(_table(results)))
    return 0


def _table(results):
    for task_name, result in results.items():
        for language, scores in result["languages"].items():
            yield f"{task_name:<8} {language:<6}" + "".join(f"  {name} {value:6.2f}" for name, value in scores.items())
        missing = [language for language in TASKS[task_name].languages if language not in result["languages"]]
        yield f"{task_name:<8} score   " + (f"none, without labels for: {' '.join(missing)}" if missing else f"{result['score']:.2f}")
    lacking = [name for name in XTREME_METRIC if results.get(name, {"score": None})["score"] is None]
    overall = (
        f"none, without a score for: {' '.join(lacking)}"
        if lacking
        else (f"{xtreme_overall({name: result['score'] for name, result in results.items()}):.2f}")
    )
    yield f"{'overall':<8} score   {overall}"


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
    if kind == "span_qa":
        ids, gold = gold
        unknown, missing = sorted(predicted.keys() - set(ids)), [id_ for id_ in ids if id_ not in predicted]
        if unknown:
            raise ValueError(f"{path}: {len(unknown)} ids are not in {gold_path}, the first is {unknown[0]!r}.")
        if missing and missing_answers == "error":
            raise ValueError(
                f"{path}: no answer for {len(missing)} of {len(ids)} ids, the first is {missing[0]!r}; "
                "--missing_answers zero scores them 0, as XTREME does."
            )
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
        words = [str(operator.index(word)) if kind == "retrieval" else str(word) for word in block]
        if not words or (kind == "mining" and len(words) != 2):
            raise ValueError(f"{path}: row {number} is {block!r}; a sentence needs a tag at least, a pair exactly two ids.")
        for word in words:
            has_break = re.search(r"\s" if kind in ("tagging", "mining") else r"[\r\n]", word)
            if has_break or not word.strip():
                raise ValueError(f"{path}: row {number} has {word!r}, which is blank or would break the line.")
        lines.append(("\t" if kind == "mining" else "\n").join(words) + "\n")
    return ("\n" if kind == "tagging" else "").join(lines)


def _answer_text(answer):
    if isinstance(answer, str):
        return answer
    return "" if answer["no_answer_margin"] > 0 else answer["text"]


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # a run then notes that the language is scored, and does not come back to it
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _read(path):
    if path.exists() and not path.is_file():  # to open a pipe would wait for a writer
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
    if not rows and kind != "mining":  # no pair above the threshold is an answer; no label is a broken file
        raise ValueError(f"{path} is empty.")
    return rows


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
