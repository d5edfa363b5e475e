"""Files in XTREME's submission format: they are written, read back and scored, and refused if rows would be shifted or skipped."""

import json
import os
import shutil
from pathlib import Path

import pytest

import metrics
import predictions
from predictions import prediction_path, read_labels, read_predictions, score_folders, write_labels, write_predictions
from task_adapters import TASKS

GOLDEN = Path(__file__).parents[2] / "shared" / "golden"
EXAMPLES = [
    {"id": "q1", "context": "شمال شرق", "question": "أين؟", "answers": {"text": ["شرق", "شمال شرق"], "answer_start": [5, 0]}},
    {"id": "q2", "context": "شمال شرق", "question": "؟", "answers": {"text": ["شمال"], "answer_start": [0]}},
    {"id": "q3", "context": "line\u2028break", "question": "?", "answers": {"text": ["line\u2028break"], "answer_start": [0]}},
]
ANSWERS = [example["answers"]["text"] for example in EXAMPLES]
ROWS = {
    "xnli": (["neutral", "entailment", "neutral"], ["neutral", "neutral", "neutral"]),
    "pawsx": (["0", "1"], ["1", "1"]),
    "udpos": ([["NOUN", "NOUN"], ["SCONJ"]], [["NOUN", "O"], ["_"]]),  # neither is a label
    "panx": ([["O", "B-LOC"], ["B-PER", "I-PER"]], [["O", "O"], ["B-PER", "I-PER"]]),
    "tatoeba": ([2, 0, 1], [2, 1, 1]),
    "bucc": ([("s1", "t1"), ("s2", "t2")], [("s1", "t1"), ("s2", "t1")]),
}


@pytest.fixture
def xnli(tmp_path):
    """Two languages of XNLI, predicted and labelled, to be spoilt by the test that uses them."""
    for language in ("en", "sw"):
        write_labels(tmp_path / "labels", "xnli", language, ROWS["xnli"][0])
        write_predictions(tmp_path / "predicted", "xnli", language, ROWS["xnli"][1])
    return tmp_path / "predicted", tmp_path / "labels"


@pytest.fixture
def questions(tmp_path):
    write_labels(tmp_path / "labels", "xquad", "ar", ANSWERS, EXAMPLES)
    return tmp_path / "predicted", tmp_path / "labels"


def spoil(root, task_name, language, text):
    path = prediction_path(root, task_name, language)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize("task_name", ROWS)
def test_what_is_written_is_read_back_and_scores_the_same(task_name, tmp_path):
    gold, predicted = ROWS[task_name]
    write_labels(tmp_path / "l", task_name, "de", gold)
    path = write_predictions(tmp_path / "p", task_name, "de", predicted)
    assert read_labels(tmp_path / "l", task_name, "de") == gold
    assert read_predictions(tmp_path / "p", task_name, "de") == predicted
    scored = score_folders(tmp_path / "p", tmp_path / "l")[task_name]["languages"]["de"]
    assert scored == TASKS[task_name].metric(gold, predicted, "de")
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_answers_are_read_back_and_score_the_same(questions):
    predicted = ["شرق", "غرب", "line break"]
    write_predictions(questions[0], "xquad", "ar", predicted, ids=["q1", "q2", "q3"])
    assert read_labels(questions[1], "xquad", "ar") == (["q1", "q2", "q3"], ANSWERS)
    assert read_predictions(questions[0], "xquad", "ar") == dict(zip(["q1", "q2", "q3"], predicted, strict=True))
    scores = metrics.squad_scores(ANSWERS, predicted, "ar")
    assert score_folders(*questions)["xquad"]["languages"]["ar"] == scores
    write_predictions(questions[0], "xquad", "ar", predicted[::-1], ids=["q3", "q2", "q1"])
    assert score_folders(*questions)["xquad"]["languages"]["ar"] == scores, "an answer is found by its id, not by its place"


def test_mlqa_files_are_scored_by_the_rule_of_their_own_language(tmp_path):
    for language, same in (("de", 100), ("en", 0)):  # The word is an article in German only.
        write_labels(tmp_path / "l", "mlqa", language, None, [{**EXAMPLES[1], "answers": {"text": ["der Hund"], "answer_start": [0]}}])
        write_predictions(tmp_path / "p", "mlqa", language, ["Hund"], ids=["q2"])
        assert score_folders(tmp_path / "p", tmp_path / "l")["mlqa"]["languages"][language]["exact_match"] == same


def test_questions_on_one_context_share_a_paragraph(questions):
    (article,) = json.loads(prediction_path(questions[1], "xquad", "ar").read_text(encoding="utf-8"))["data"]
    assert [len(paragraph["qas"]) for paragraph in article["paragraphs"]] == [2, 1]
    assert article["paragraphs"][0]["qas"][0] == {
        "id": "q1",
        "question": "أين؟",
        "answers": [{"text": "شرق", "answer_start": 5}, {"text": "شمال شرق", "answer_start": 0}],
    }


def test_files_are_laid_out_as_xtreme_reads_them(tmp_path):
    write_predictions(tmp_path, "udpos", "yo", [["NOUN", "VERB"], ["X"]])
    write_predictions(tmp_path, "bucc", "fr", [("fr-1", "en-2")])
    write_predictions(tmp_path, "tatoeba", "jv", [29, 0])
    write_predictions(tmp_path, "mlqa", "vi", ["nhà"], ids=["a"])
    found = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*.*")}
    assert found == {
        "udpos/test-yo.tsv": b"NOUN\nVERB\n\nX\n",
        "bucc2018/test-fr.tsv": b"fr-1\ten-2\n",
        "tatoeba/test-jv.tsv": b"29\n0\n",
        "mlqa/test-vi.json": '{\n "a": "nhà"\n}\n'.encode(),
    }


def test_other_tasks_are_written_by_their_task_type(tmp_path):
    write_predictions(tmp_path, "ccg", "en", [["N/N", "N"]])
    assert read_predictions(tmp_path, "ccg", "en") == [["N/N", "N"]]
    write_predictions(tmp_path, "hellaswag", "en", [3, 0])
    assert read_predictions(tmp_path, "hellaswag", "en") == [3, 0]  # XTREME-R writes places of choices as numbers
    v2 = [{"text": "Paris", "no_answer_margin": -1.0}, {"text": "Rome", "no_answer_margin": 0.5}, None]
    write_predictions(tmp_path, "squad_v2", "en", v2, ids=["a", "b", "c"])
    assert read_predictions(tmp_path, "squad_v2", "en") == {"a": "Paris", "b": ""}
    with pytest.raises(ValueError, match="Unknown task 'squat_v2'. Did you mean 'squad_v2'?"):
        prediction_path(tmp_path, "squat_v2", "en")


def test_a_failed_write_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = write_predictions(tmp_path, "pawsx", "de", ["0"])
    monkeypatch.setattr(predictions.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_predictions(tmp_path, "pawsx", "de", ["1"])
    assert path.read_text() == "0\n"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("task_name", "predicted", "ids", "message"),
    [
        ("udpos", [["X"], []], None, "row 2 is .*needs a tag at least"),
        ("udpos", [["X Y"]], None, "row 1 has 'X Y', which is blank or would break the line"),
        ("xnli", ["neutral", " "], None, "row 2 has ' '"),
        ("xnli", ["a\nb"], None, "row 1 has 'a.nb'"),
        ("bucc", [("a", "b", "c")], None, "row 1 is .*exactly two ids"),
        ("xquad", ["a"], None, "1 answers need as many ids"),
        ("xquad", ["a", "b"], ["q", "q"], "there are 1 different ids"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(task_name, predicted, ids, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_predictions(tmp_path, task_name, "en", predicted, ids)
    assert not list(tmp_path.rglob("*.*"))


def test_gold_answers_are_not_written_without_examples(tmp_path):
    with pytest.raises(ValueError, match="gold answers are written from examples"):
        write_labels(tmp_path, "xquad", "en", [["a"]])


@pytest.mark.parametrize(
    ("task_name", "text", "message"),
    [
        ("xnli", "neutral\nneutal\n", r"test-de.tsv:2: 'neutal' is not a label of xnli: contradiction, entailment, neutral"),
        ("xnli", "neutral\n\nneutral\n", r"test-de.tsv:2: blank line; every line holds one row"),
        ("xnli", "", "test-de.tsv is empty"),
        ("xnli", b"neutral\n\xff\n", "not UTF-8 text, byte 8 is 0xff"),
        ("udpos", "X\n\n\nX\n", r"test-de.tsv:3: blank line; an empty sentence would shift all that follow"),
        ("udpos", "\nX\n", r"test-de.tsv:1: blank line"),
        ("panx", "Berlin\tB-LOC\n", r"test-de.tsv:1: 'Berlin.tB-LOC' is not a label of panx: B-LOC, B-ORG"),
        ("tatoeba", "3\n[29]\n", r"test-de.tsv:2: '\[29\]' is not a line number counted from 0; write 29"),
        ("tatoeba", "-1\n", "test-de.tsv:1: '-1' is not a line number"),
        ("bucc", "a\tb\na b\n", "test-de.tsv:2: 'a b' is not a source id, one TAB and a target id"),
        ("mlqa", '{"a": "b",\n "a": "c"}', "test-de.json: id 'a' occurs twice"),
        ("mlqa", '{"a": "b",\n oops}', "test-de.json:2: not JSON"),
        ("mlqa", '["a"]', r"holds \['a'\] where question ids and answers"),
        ("mlqa", '{"a": 3}', "holds 3 where question ids and answers"),
    ],
)
def test_files_that_are_not_in_the_format_are_refused_by_line(task_name, text, message, tmp_path):
    spoil(tmp_path, task_name, "de", text)
    with pytest.raises(ValueError, match=message):
        read_predictions(tmp_path, task_name, "de")


def test_one_blank_line_at_the_end_and_windows_lines_are_read(tmp_path):
    spoil(tmp_path, "udpos", "de", "NOUN\r\n\r\nX\r\n\r\n")
    assert read_predictions(tmp_path, "udpos", "de") == [["NOUN"], ["X"]]
    spoil(tmp_path, "bucc", "de", "")
    assert read_predictions(tmp_path, "bucc", "de") == []


def test_gold_answers_of_another_shape_or_with_repeated_ids_are_refused(tmp_path):
    spoil(tmp_path, "xquad", "en", '{"data": [{"paragraph": []}]}')
    with pytest.raises(ValueError, match="not SQuAD's data > paragraphs > qas"):
        read_labels(tmp_path, "xquad", "en")
    for question in ({"id": "q1", "answers": [{"text": 1945}]}, {"id": ["q1"], "answers": []}, {"id": 7, "answers": []}):
        spoil(tmp_path, "xquad", "en", json.dumps({"data": [{"paragraphs": [{"qas": [question]}]}]}))
        with pytest.raises(
            ValueError, match=r"test-en.json: holds (1945|\['q1'\]|7) where an id or an answer's text, all strings, should be"
        ):
            read_labels(tmp_path, "xquad", "en")
    write_labels(tmp_path, "xquad", "en", None, [EXAMPLES[0], EXAMPLES[2], EXAMPLES[0]])
    with pytest.raises(ValueError, match="id 'q1' occurs twice"):
        read_labels(tmp_path, "xquad", "en")


def test_a_language_without_predictions_stops_the_scoring(xnli):
    prediction_path(xnli[0], "xnli", "sw").unlink()
    with pytest.raises(FileNotFoundError, match="xnli has no 'sw' predictions: .*predicted/xnli/test-sw.tsv does not exist"):
        score_folders(*xnli)


def test_a_file_that_names_no_language_is_refused(xnli):
    write_labels(xnli[1], "xnli", "German", ["neutral"])
    with pytest.raises(ValueError, match="test-German.tsv: xnli covers ar, bg.*; 'German' is no language code"):
        score_folders(*xnli)


def test_a_language_that_the_benchmark_lacks_is_scored_and_is_in_no_mean(xnli):
    for language in TASKS["xnli"].languages:
        write_labels(xnli[1], "xnli", language, ROWS["xnli"][0])
        write_predictions(xnli[0], "xnli", language, ROWS["xnli"][1])
    before = score_folders(*xnli)["xnli"]
    assert before["score"] is not None
    write_labels(xnli[1], "xnli", "ig", ["neutral", "neutral"])
    write_predictions(xnli[0], "xnli", "ig", ["neutral", "entailment"])
    after = score_folders(*xnli)["xnli"]
    assert after["languages"] == {**before["languages"], "ig": {"accuracy": 50.0}} and after["score"] == before["score"]
    lines = list(predictions._table({"xnli": after}))
    assert "xnli     ig      accuracy  50.00  (own data, not in the score)" in lines
    assert sum("own data" in line for line in lines) == 1


def test_rows_that_do_not_line_up_are_refused(xnli, tmp_path):
    write_predictions(xnli[0], "xnli", "sw", ["neutral"])
    with pytest.raises(ValueError, match=r"predicted/xnli/test-sw.tsv has 1 rows, .*labels/xnli/test-sw.tsv has 3"):
        score_folders(*xnli)
    write_labels(tmp_path / "l", "panx", "en", [["O"], ["O", "B-LOC"]])
    write_predictions(tmp_path / "p", "panx", "en", [["O", "O"], ["B-LOC"]])
    with pytest.raises(ValueError, match="panx/test-en.tsv: sentence 1 has 1 tags in gold and has 2 tags in predicted"):
        score_folders(tmp_path / "p", tmp_path / "l")


def test_a_missing_answer_is_an_error_unless_it_may_score_zero(questions):
    write_predictions(questions[0], "xquad", "ar", ["شرق", "شمال"], ids=["q1", "q2"])
    with pytest.raises(ValueError, match="no answer for 1 of 3 ids, the first is 'q3'; --missing_answers zero"):
        score_folders(*questions)
    scored = score_folders(*questions, missing_answers="zero")["xquad"]["languages"]["ar"]
    assert scored == pytest.approx({"exact_match": 200 / 3, "f1": 200 / 3})
    with pytest.raises(ValueError, match="missing_answers is 'skip'"):
        score_folders(*questions, missing_answers="skip")


def test_an_answer_to_a_question_that_gold_does_not_have_is_an_error(questions):
    write_predictions(questions[0], "xquad", "ar", ["a"] * 4, ids=["q1", "q2", "q3", "q9"])
    with pytest.raises(ValueError, match="1 ids are not in .*the first is 'q9'"):
        score_folders(*questions, missing_answers="zero")


@pytest.mark.parametrize(("task_name", "placeholder"), [("xnli", "neutral"), ("udpos", ["X", "X"]), ("panx", ["O"])])
def test_placeholder_labels_are_not_scored(task_name, placeholder, tmp_path):
    for root in (tmp_path / "p", tmp_path / "l"):
        write_labels(root, task_name, "en", [placeholder] * 21)
    with pytest.raises(ValueError, match="a placeholder; scores against it mean nothing"):
        score_folders(tmp_path / "p", tmp_path / "l")
    for root in (tmp_path / "p", tmp_path / "l"):
        write_labels(root, task_name, "en", [placeholder] * 10)
    assert score_folders(tmp_path / "p", tmp_path / "l")[task_name]["score"] is None


@pytest.mark.parametrize("task_name", ["xquad", "mlqa", "tydiqa", "squad_v1"])
@pytest.mark.parametrize("texts", [[""], [" \n"], ["", "blue"]])
def test_gold_answers_that_were_emptied_are_not_scored(texts, task_name, tmp_path):
    kept = {"id": "q1", "answers": [{"text": "blue", "answer_start": 0}]}
    emptied = [{"id": f"e{i}", "answers": [{"text": text, "answer_start": 0} for text in texts]} for i in range(2)]
    spoil(tmp_path / "l", task_name, "en", json.dumps({"data": [{"paragraphs": [{"context": "", "qas": [kept, *emptied]}]}]}))
    with pytest.raises(ValueError, match="test-en.json: 2 of 3 questions have an answer without text, 'e0' first, as XTREME's download"):
        read_labels(tmp_path / "l", task_name, "en")
    if task_name in metrics.XTREME_METRIC:
        write_predictions(tmp_path / "p", task_name, "en", ["", "", ""], ids=["q1", "e0", "e1"])
        with pytest.raises(ValueError, match="an answer without text"):
            score_folders(tmp_path / "p", tmp_path / "l")


def test_answers_and_pairs_that_are_all_the_same_are_placeholders_too(tmp_path):
    for count in (21, 20):
        answers = [{**EXAMPLES[1], "id": str(i)} for i in range(count)]
        write_labels(tmp_path / str(count) / "l", "xquad", "ar", None, answers)
        write_predictions(tmp_path / str(count) / "p", "xquad", "ar", ["شمال"] * count, ids=[str(i) for i in range(count)])
    with pytest.raises(ValueError, match="xquad/test-ar.json: all 21 labels are 'شمال', a placeholder"):
        score_folders(tmp_path / "21/p", tmp_path / "21/l")
    assert score_folders(tmp_path / "20/p", tmp_path / "20/l")["xquad"]["languages"]["ar"]["f1"] == 100
    for root in ("l", "p"):
        write_labels(tmp_path / root, "bucc", "de", [("de-0", "en-0")] * 21)
    with pytest.raises(ValueError, match="bucc2018/test-de.tsv: all 21 labels are"):
        score_folders(tmp_path / "p", tmp_path / "l")


@pytest.mark.parametrize("task_name, lines", [("xnli", "\n" * 30), ("pawsx", "0\n" * 30), ("panx", "O\n\n" * 30), ("udpos", "X\n" * 30),
                                              ("udpos", "_\n\n" * 30), ("tatoeba", "0\n" * 30), ("xnli", ""), ("bucc", "")])  # fmt: skip
def test_labels_as_downloads_leave_them_are_not_scored(task_name, lines, tmp_path):
    for root in ("l", "p"):
        spoil(tmp_path / root, task_name, "de", lines)
    with pytest.raises(ValueError, match="placeholder|blank line|is empty|no gold pairs"):
        score_folders(tmp_path / "p", tmp_path / "l")


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir])
@pytest.mark.parametrize("task_name", ["xnli", "mlqa"])
def test_a_pipe_or_folder_is_named_and_not_waited_for(task_name, make, tmp_path):
    path = prediction_path(tmp_path, task_name, "de")
    path.parent.mkdir()
    make(path)
    with pytest.raises(ValueError, match="is a folder, a pipe or a device"):
        read_predictions(tmp_path, task_name, "de")


def test_brackets_without_end_are_no_answers(tmp_path):
    spoil(tmp_path, "mlqa", "de", "[" * 200_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        read_predictions(tmp_path, "mlqa", "de")


def test_folders_without_a_common_task_are_an_error(xnli, tmp_path):
    with pytest.raises(ValueError, match="have no task folder in common. XTREME's folders are: xnli, .*bucc2018"):
        score_folders(xnli[0], tmp_path / "nowhere")
    (tmp_path / "empty" / "xnli").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"holds no test-\*.tsv file"):
        score_folders(xnli[0], tmp_path / "empty")


def write_all(root):
    """Every language of all nine tasks, predicted perfectly but for half of pawsx and one of the two xquad questions."""
    for task_name in metrics.XTREME_METRIC:
        for language in TASKS[task_name].languages:
            if TASKS[task_name].task_type == "span_qa":
                write_labels(root / "l", task_name, language, None, EXAMPLES[:2])
                answers = ["شمال شرق", "none" if task_name == "xquad" else "شمال"]
                write_predictions(root / "p", task_name, language, answers, ids=["q1", "q2"])
            else:
                write_labels(root / "l", task_name, language, ROWS[task_name][0])
                write_predictions(root / "p", task_name, language, ROWS[task_name][task_name == "pawsx"])


def test_the_command_prints_every_score_and_the_overall_one(tmp_path, capsys):
    write_all(tmp_path)
    assert predictions.main(["--prediction_folder", str(tmp_path / "p"), "--label_folder", str(tmp_path / "l")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == sum(len(TASKS[task_name].languages) + 1 for task_name in metrics.XTREME_METRIC) + 1
    assert "pawsx    score   50.00" in lines
    assert "xquad    en      exact_match  50.00  f1  50.00" in lines
    assert lines[-1] == f"overall  score   {(7 * 100 + 50 + 50) / 9:.2f}"


def test_an_incomplete_task_has_no_score_and_the_command_says_what_is_lacking(xnli, capsys):
    assert predictions.main(["--prediction_folder", str(xnli[0]), "--label_folder", str(xnli[1])]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "xnli     score   none, without labels for: ar bg de el es fr hi ru th tr ur vi zh"
    assert lines[3] == "overall  score   none, without a score for: xnli pawsx udpos panx xquad mlqa tydiqa bucc tatoeba"


@pytest.mark.parametrize("text", ["maybe\n", None])
def test_the_command_ends_in_one_line_on_an_error(text, xnli, capsys):
    spoil(xnli[0], "xnli", "sw", text or "")
    if text is None:
        prediction_path(xnli[0], "xnli", "sw").unlink()
    assert predictions.main(["--prediction_folder", str(xnli[0]), "--label_folder", str(xnli[1])]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1


def test_golden_files_survive_reading_and_writing(tmp_path):
    if not GOLDEN.is_dir():
        pytest.skip(f"no golden files at {GOLDEN}")
    for task_name in metrics.XTREME_METRIC:
        for path in sorted(prediction_path(GOLDEN / "predictions", task_name, "*").parent.iterdir()):
            language = path.stem.removeprefix("test-")
            read = read_predictions(GOLDEN / "predictions", task_name, language)
            ids = list(read) if isinstance(read, dict) else None
            write_predictions(tmp_path, task_name, language, list(read.values()) if ids else read, ids=ids)
    shutil.copytree(GOLDEN / "labels", tmp_path / "labels")
    assert score_folders(tmp_path, tmp_path / "labels") == score_folders(GOLDEN / "predictions", GOLDEN / "labels")
