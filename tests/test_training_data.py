"""Training data other than the hub's English: languages, few-shot samples, files, translations; and selection on other dev data."""

import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import NLI, ROOT, UPOS, WORDS, launch, nli_rows, qa_rows, tag_rows, text, write_hub_folder
from datasets import ClassLabel, Dataset, Features, List, Value

import run_intermediate
import run_target
import translate
from task_adapters import (
    TASKS,
    InputError,
    find_own_files,
    find_train_files,
    find_train_languages,
    load_examples,
    load_training_data,
    with_own_data,
)
from task_adapters.__main__ import parts_of
from task_adapters.examples import NOT_A_PAIR as BROKEN
from task_adapters.training_data import load_file as load_train_file
from trainer.selection import best_steps, selection_score
from translate import answer_span, sentences, translated, translated_test

TEXT = Value("string")
NLI_COLUMNS = Features({"premise": TEXT, "hypothesis": TEXT, "label": ClassLabel(names=NLI)})
FAST = ("--learning_rate", "2e-3", "--effective_batch_size", "16", "--per_device_train_batch_size", "16", "--use_cpu",
        "--disable_tqdm", "true", "--max_seq_length", "64")  # fmt: skip


@pytest.fixture(scope="module")
def languages_dir(data_dir, tmp_path_factory):
    """The session's data, with additional German training and dev data of xnli and udpos."""
    root, rng = tmp_path_factory.mktemp("languages") / "data", random.Random(5)
    shutil.copytree(data_dir, root)
    write_hub_folder(root, "facebook/xnli", "de", "train", nli_rows(rng, "de", 360), NLI_COLUMNS)
    write_hub_folder(root, "facebook/xnli", "de", "validation", nli_rows(rng, "de", 60), NLI_COLUMNS)
    pos = Features({"tokens": List(TEXT), "pos_tags": List(ClassLabel(names=UPOS))})
    write_hub_folder(root, "google/xtreme", "udpos.German", "train", tag_rows(rng, "de", 300), pos)
    write_hub_folder(root, "google/xtreme", "udpos.German", "validation", tag_rows(rng, "de", 60), pos)
    return str(root)


def named(rows):
    """NLI rows with their labels as names."""
    return [{**row, "label": NLI[row["label"]]} for row in rows]


def write_lines(path, lines):
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def write_jsonl(path, rows):
    return write_lines(path, [json.dumps(row, ensure_ascii=False) for row in rows])


def read(task, *given):
    """[(examples as dicts, provenance)] of the files of a --train_file."""
    return [
        (examples.to_list(), provenance)
        for file in find_train_files([str(g) for g in given])
        for examples, provenance in load_train_file(TASKS[task], file)
    ]


def refusal(task, *given):
    with pytest.raises(InputError) as refused:
        read(task, *given)
    assert "\n" not in str(refused.value)
    return str(refused.value)


# ---- languages of the hub


def test_languages_with_training_data_are_those_that_the_hub_publishes():
    assert find_train_languages(TASKS["xnli"], ["all"], []) == list(TASKS["xnli"].languages)
    assert len(find_train_languages(TASKS["panx"], ["all"], [])) == 40
    assert set(TASKS["udpos"].languages) - set(find_train_languages(TASKS["udpos"], ["all"], [])) == {"th", "tl", "yo"}
    assert find_train_languages(TASKS["xquad"], ["all"], []) == ["en"], "its translations are XTREME's files, not on the hub"
    assert find_train_languages(TASKS["mlqa"], ["all"], []) == ["ar", "de", "en", "es", "hi", "vi", "zh"]
    assert find_train_languages(TASKS["tydiqa"], ["sw", "ar"], []) == ["ar", "sw"], "in the task's order, so that both are one run"
    assert find_train_languages(TASKS["mnli"], ["all"], []) == ["en"]
    assert find_train_languages(TASKS["xnli"], None, []) == ["en"] and find_train_languages(TASKS["xnli"], None, ["file"]) == []
    sums = {name: sum(TASKS[name].sources[0].rows["train"].values()) for name in ("tydiqa",)}
    assert sums == {"tydiqa": 49_881}


def test_a_language_without_training_data_is_refused_with_those_that_have_some():
    with pytest.raises(InputError, match=r"udpos has no training data in 'yo'\. .*It has: af, ar, .*, zh\.$"):
        find_train_languages(TASKS["udpos"], ["en", "yo"], [])
    with pytest.raises(InputError, match="names 'de' 2 times"):
        find_train_languages(TASKS["xnli"], ["de", "de"], [])


def test_english_comes_from_mnli_and_german_from_xnlis_translations(languages_dir):
    examples, provenances = load_training_data(TASKS["xnli"], TASKS["mnli"], ["de", "en"], [], languages_dir)
    assert [(p["language"], p["hub_id"], p["examples"]) for p in provenances] == [
        ("de", "facebook/xnli", 360), ("en", "nyu-mll/glue", 480)]  # fmt: skip
    assert len(examples) == 840 and examples.column_names == ["text_a", "text_b", "label"]


def test_few_shot_draws_are_nested_and_each_languages_own(languages_dir, tmp_path):
    def rows(k, seed, language="de", task="udpos"):
        examples, provenances = load_training_data(TASKS[task], TASKS[task], [language], [], languages_dir, k, seed)
        assert len(examples) == k == provenances[0]["examples"]
        return [" ".join(words) for words in examples["words"][:]]

    assert rows(100, 1)[:10] == rows(10, 1) != rows(10, 2)
    # Rows that are translations of each other are not drawn side by side.
    write = {language: [{"premise": str(i), "hypothesis": "h", "label": i % 3} for i in range(50)] for language in ("de", "fr")}
    for language, nli in write.items():
        write_hub_folder(tmp_path, "facebook/xnli", language, "train", nli, NLI_COLUMNS)
    examples, _ = load_training_data(TASKS["xnli"], TASKS["mnli"], ["de", "fr"], [], str(tmp_path), 10, 3)
    assert len(examples) == 20 and examples["text_a"][:10] != examples["text_a"][10:]
    # English draws what it always drew.
    english, _ = load_examples(TASKS["udpos"], "train", "en", languages_dir)
    assert load_training_data(TASKS["udpos"], TASKS["udpos"], ["en"], [], languages_dir, 7, 3)[0]["words"][:] == (
        english.shuffle(seed=3).select(range(7))["words"][:])  # fmt: skip


def test_training_on_the_target_language_scores_it_and_stands_in_the_result(call, tiny_model, languages_dir, tmp_path):
    flags = ("--task", "udpos", "--model_name_or_path", tiny_model, "--data_dir", languages_dir, *FAST, "--num_train_epochs", "8",
             "--languages", "de", "--output_dir", tmp_path)  # fmt: skip
    results = call(run_target, *flags, "--train_languages", "de", "--max_train_samples", "200")
    assert results["train_languages"] == ["de"] and results["scores"]["de"]["f1"] > 90, results["scores"]
    assert [p["examples"] for p in results["data"] if p["split"] == "train"] == [200]
    with pytest.raises(InputError, match="holds a run with train_languages"):
        call(run_target, *flags, "--max_train_samples", "200")


def test_prefetch_asks_for_the_training_languages_too():
    asked = list(parts_of(TASKS["xnli"], ["sw"], ["de", "en"]))
    assert asked == [("test", "sw"), ("train", "de"), ("dev", "de")], "English is MNLI's"
    assert list(parts_of(TASKS["udpos"], ["sw"], ["kk"])) == [("train", "en"), ("dev", "en"), ("train", "kk")]


# ---- files


def test_files_of_all_kinds_give_the_same_examples(tmp_path):
    rows = named(nli_rows(random.Random(1), "de", 12))
    rows[0]["premise"] = 'sagt "ja", nicht nein'
    dataset = Dataset.from_list([{**row, "label": NLI.index(row["label"])} for row in rows], features=NLI_COLUMNS)
    dataset.to_parquet(tmp_path / "a.parquet")  # with the hub's numbers, and their names inside
    dataset.cast_column("label", Value("int32")).remove_columns("label").add_column("label", [r["label"] for r in rows]).to_csv(
        tmp_path / "a.csv", index=False
    )
    write_jsonl(tmp_path / "a.jsonl", rows)
    (tmp_path / "a.json").write_text(json.dumps(rows), encoding="utf-8")
    write_lines(tmp_path / "a.tsv", ["\t".join(rows[0]), *("\t".join(row.values()) for row in rows)])
    write_jsonl(
        tmp_path / "b.jsonl", [{"text_a": r["premise"], "text_b": r["hypothesis"], "label": r["label"], "language": "de"} for r in rows]
    )
    wanted = [{"text_a": row["premise"], "text_b": row["hypothesis"], "label": row["label"]} for row in rows]
    spelled = [{**row, "label": {"contradiction": "contradictory"}.get(row["label"], row["label"])} for row in rows]
    write_jsonl(tmp_path / "c.jsonl", spelled)  # as XNLI's translations have it
    for name in ("de=c.jsonl", "de=a.parquet", "de=a.csv", "de=a.jsonl", "de=a.json", "de=a.tsv", "b.jsonl"):
        language, _, file = name.rpartition("=")
        ((examples, provenance),) = read("mnli", f"{language}={tmp_path / file}" if language else tmp_path / file)
        assert examples == wanted, name
        assert provenance["language"] == "de" and provenance["rows"] == provenance["examples"] == 12
        assert provenance["hub_id"] == str(tmp_path / file) and len(provenance["revision"]) == len("sha256 ") + 64


def test_lists_in_csv_are_json_and_multiple_choice_and_tags_are_read(tmp_path):
    story = {"ctx_a": "A", "ctx_b": "b", "endings": ["w", "x", "y", "z"], "label": 2}
    wanted = [{"context": "A", "question": "", "choices": ["b w", "b x", "b y", "b z"], "label": 2}]
    assert read("hellaswag", f"en={write_jsonl(tmp_path / 'a.jsonl', [story])}")[0][0] == wanted
    Dataset.from_list([{**story, "endings": json.dumps(story["endings"])}]).to_csv(tmp_path / "a.csv", index=False)
    assert read("hellaswag", f"en={tmp_path / 'a.csv'}")[0][0] == wanted
    cosmos = write_lines(tmp_path / "c.csv", ["context,question,answer0,answer1,answer2,answer3,label", "c,q,a,b,c,d,3"])
    assert read("cosmosqa", f"en={cosmos}")[0][0] == [
        {"context": "c", "question": "q", "choices": ["a", "b", "c", "d"], "label": 3}]  # fmt: skip
    tagged = {"tokens": ["ein", "Haus"], "pos_tags": ["DET", "NOUN"], "language": "de"}
    assert read("udpos", write_jsonl(tmp_path / "t.jsonl", [tagged]))[0][0] == [{"words": ["ein", "Haus"], "tags": ["DET", "NOUN"]}]
    assert "endings must hold a list as JSON, not 'w x y z'" in refusal(
        "hellaswag", f"en={write_lines(tmp_path / 'd.csv', ['ctx_a,ctx_b,endings,label', 'A,b,w x y z,2'])}")  # fmt: skip
    no_list = write_jsonl(tmp_path / "e.jsonl", [{"context": "A", "question": "", "choices": "w x y z", "label": 0}])
    assert "choices 'w x y z' is not a list" in refusal("hellaswag", f"en={no_list}")


def test_xtremes_translated_nli_and_paraphrases_are_read_as_they_are(tmp_path):
    five = ['e1\te2\tDas "ist.\tJa.\tcontradictory', "e3\te4\tNein.\tUnd?\tneutral"]
    ((examples, provenance),) = read("xnli", write_lines(tmp_path / "en-de-translated.tsv", five))
    assert provenance["language"] == "de", "the name says it"
    assert examples == [
        {"text_a": 'Das "ist.', "text_b": "Ja.", "label": "contradiction"},
        {"text_a": "Nein.", "text_b": "Und?", "label": "neutral"},
    ]
    three = ["Ja.\tNein.\t0", *["Ja.\tJa.\t1"] * 120, "Ja.\tJa. Ja.", "Und.\tJa.\t7"]  # XTREME's first form, with two broken rows
    file = tmp_path / "en-sw-translated.tsv"
    with pytest.raises(InputError, match=f"2 of 123 rows are {BROKEN}, row 122 first"):
        read("pawsx", write_lines(file, three))
    ((examples, provenance),) = read("pawsx", write_lines(file, three + ["Ja.\tJa.\t1"] * 80))
    assert provenance["dropped"] == {BROKEN: 2} and len(examples) == 201 and examples[0]["label"] == "0"


def test_squads_json_is_read_and_answers_are_found_again(tmp_path):
    qas = [
        {"id": "1", "question": "Was?", "answers": [{"text": "Haus", "answer_start": 3}]},  # it stands at 4
        {"id": "2", "question": "Wer?", "answers": [{"text": "Hund", "answer_start": 0}]},  # nowhere
    ]
    data = {"version": "1.1", "data": [{"title": "t", "paragraphs": [{"context": "Ein Haus.", "qas": qas}]}]}
    for name in ("squad.translate.train.en-de.json", "tydiqa.translate.train.en-de.json"):
        (tmp_path / name).write_text(json.dumps(data), encoding="utf-8")
        ((examples, provenance),) = read("xquad", tmp_path / name)
        assert examples == [{"id": "1", "context": "Ein Haus.", "question": "Was?", "answers": {"text": ["Haus"], "answer_start": [4]}}]
        assert provenance["language"] == "de" and provenance["dropped"] == {"answer not found in its context": 1}


def test_a_file_of_several_languages_is_parted_and_drawn_from_by_language(tmp_path):
    rows = [{**row, "language": "de" if i % 3 else "fr"} for i, row in enumerate(named(nli_rows(random.Random(1), "de", 60)))]
    more = named(nli_rows(random.Random(2), "de", 60))
    files = find_train_files([str(write_jsonl(tmp_path / "mixed.jsonl", rows)), f"de={write_jsonl(tmp_path / 'more.jsonl', more)}"])
    examples, provenances = load_training_data(TASKS["xnli"], TASKS["mnli"], [], files, None, 15, 1)
    counts = [(p["language"], p["rows"], p["examples"]) for p in provenances]
    assert [(language, rows) for language, rows, _ in counts] == [("de", 40), ("de", 60), ("fr", 20)]
    assert counts[0][2] + counts[1][2] == 15 == counts[2][2] and counts[0][2] and counts[1][2] and len(examples) == 30


def squads(questions):
    return json.dumps({"data": [{"paragraphs": [{"context": "c", "qas": [{"question": "q", **question} for question in questions]}]}]})


PAIR = {"premise": "p", "hypothesis": "h", "label": "neutral"}


@pytest.mark.parametrize("name, content, message", [
    ("a.jsonl", "", "a.jsonl is empty"),
    ("a.jsonl", "\n\n", "holds no rows"),
    ("a.jsonl", json.dumps(PAIR) + "\n{", "a.jsonl, line 2: not JSON"),
    ("a.jsonl", json.dumps(PAIR) + "\n\n" + json.dumps({**PAIR, "label": "entails"}),
     "a.jsonl, line 3: label 'entails' is not one of contradiction, entailment, neutral"),
    ("a.jsonl", json.dumps({**PAIR, "label": 2}), "line 1: label 2 is a number, and its name is not known: one of contra"),
    ("a.jsonl", json.dumps({"premise": "p", "label": "neutral"}), "line 1: no column 'hypothesis'. It has: premise, label; mnli needs the"),
    ("a.jsonl", json.dumps({**PAIR, "premise": None}), "line 1: column 'premise' is or holds null"),
    ("a.jsonl", json.dumps([1]), "line 1: not an object"),
    ("a.jsonl", json.dumps({**PAIR, "language": "fr"}), "line 1: language 'fr', where de should stand"),
    ("a.csv", "premise,hypothesis,label\np,h\n", "a.csv, line 2: 2 fields under 3 columns"),
    ("a.csv", "premise,hypothesis,label\n\"p\n\",h,neutral\np,h,nope\n", "a.csv, line 4: label 'nope'"),
    ("a.tsv", "premise\thypothesis\tlabel\np\th\tneutral\tx\n", "a.tsv, line 2: 4 fields under 3 columns"),
    ("a.json", json.dumps({"data": [{"paragraphs": 5}]}), "a.json, after question 0: paragraphs 5 is not a list of objects"),
    ("a.json", json.dumps({"data": [{"paragraphs": [{"context": "c", "qas": ["x"]}]}]}),
     "a.json, after question 0: qas ['x'] is not a list"),
    ("a.json", squads([{"id": "1", "answers": 5}]), "a.json, question 1: answers 5 is not a list of objects"),
    ("a.json", squads([{"answers": ["x"]}]), "a.json, question 1: answers ['x'] is not a list of objects"),
    ("a.json", squads([{"id": "1", "answers": [{"text": "c", "answer_start": "x"}]}]), "text must be text, answer_start a whole number"),
    ("a.json", squads([{"id": "1", "answers": [{"text": "c", "answer_start": None}]}]), "text must be text, answer_start a whole number"),
    ("a.json", squads([{"id": "1", "answers": [{"text": 5, "answer_start": 0}]}]), "text must be text"),
    ("a.json", '{"data": [3]}', "neither SQuAD's format nor a list of rows"),
    ("a.parquet", "PAR?", "a.parquet: "),
    ("a.docx", "x", "'.docx' is no known kind"),
    ("a.txt", "x", "a.txt, line 1: 'x' is not a word and its tag"),
])  # fmt: skip
def test_a_broken_file_is_named_with_its_row(name, content, message, tmp_path):
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert message in refusal("squad_v1" if name == "a.json" else "mnli", f"de={tmp_path / name}")


@pytest.mark.parametrize("content", ["", "{", "[1"])
def test_a_broken_note_beside_a_translated_file_is_named(content, tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [PAIR])
    (tmp_path / "a.jsonl.about.json").write_text(content, encoding="utf-8")
    assert "a.jsonl.about.json is not valid JSON" in refusal("mnli", f"de={tmp_path / 'a.jsonl'}")


def test_a_file_without_a_language_or_that_is_not_there_is_refused(tmp_path):
    file = write_jsonl(tmp_path / "a.jsonl", [PAIR])
    assert f"which language? Write --train_file de={file}" in refusal("mnli", file)
    assert "there is no file nowhere.jsonl" in refusal("mnli", "de=nowhere.jsonl")
    assert "the same rows are given twice" in refusal("mnli", f"de={file}", f"fr={file}")


def test_the_cache_of_a_file_sees_its_content(tmp_path):
    file = tmp_path / "a.jsonl"
    for label in ("neutral", "entailment"):
        write_jsonl(file, [{**PAIR, "label": label}])
        assert read("mnli", f"de={file}")[0][0][0]["label"] == label


def dictionary(word):
    """A word-for-word translation from the test's English to its German; a numeral is itself."""
    english = {w: d for tag in ("NOUN", "VERB", "DET", "ADJ") for w, d in zip(WORDS["en"][tag], WORDS["de"][tag])}
    english |= {WORDS["en"]["NLI"][name]: WORDS["de"]["NLI"][name] for name in NLI}
    return " ".join(english.get(w, w) for w in word.split())


def test_a_translated_file_trains_and_its_language_is_learned(call, tiny_model, data_dir, tmp_path):
    english, _ = load_examples(TASKS["mnli"], "train", "en", data_dir)
    rows = [{**translated(example, dictionary, "de"), "language": "de"} for example in english.to_list()]
    file = write_jsonl(tmp_path / "mnli.de.jsonl", rows)
    flags = ("--task", "xnli", "--model_name_or_path", tiny_model, "--data_dir", data_dir, *FAST, "--num_train_epochs", "6",
             "--eval_strategy", "no", "--languages", "de", "--output_dir", tmp_path / "out")  # fmt: skip
    results = call(run_target, *flags, "--train_file", file)
    assert results["scores"]["de"]["accuracy"] > 80, results["scores"]
    (provenance,) = [p for p in results["data"] if p["split"] == "train"]
    assert provenance["hub_id"] == str(file) and provenance["examples"] == 480 and provenance["bytes"] == file.stat().st_size
    assert results["train_file"] == [f"by row={file} (sha256 {provenance['revision'][7:23]})"]
    write_jsonl(file, rows[:-1])
    with pytest.raises(InputError, match="holds a run with train_file"):
        call(run_target, *flags, "--train_file", file)


def test_an_intermediate_task_trains_on_files_beside_english_where_asked(call, tiny_model, data_dir, tmp_path):
    file = write_jsonl(tmp_path / "de.jsonl", named(nli_rows(random.Random(3), "de", 40)))
    flags = ("--task", "mnli", "--model_name_or_path", tiny_model, "--data_dir", data_dir, *FAST, "--max_steps", "2")
    results = call(run_intermediate, *flags, "--train_file", f"de={file}", "--output_dir", tmp_path / "a")
    assert [p["language"] for p in results["data"] if p["split"] == "train"] == ["de"]
    results = call(run_intermediate, *flags, "--train_file", f"de={file}", "--train_languages", "en", "--output_dir", tmp_path / "b")
    assert [(p["language"], p["examples"]) for p in results["data"] if p["split"] == "train"] == [("en", 480), ("de", 40)]
    with pytest.raises(InputError, match="--train_file is for one task"):
        call(run_intermediate, *flags[2:], "--task", "mnli", "squad_v1", "--train_file", f"de={file}", "--output_dir", tmp_path / "c")


# ---- choosing a checkpoint


def test_the_three_ways_to_choose_and_the_oracles_steps():
    dev = {"en": 90.0, "de": 50.0, "fr": 40.0}
    assert [selection_score(dev, how) for how in ("en", "target", "mean")] == [90.0, 45.0, 60.0]
    history = [
        {"loss": 1.0, "step": 5},
        *({"step": s, "eval_en_f1": e, "eval_de_f1": d} for s, e, d in ((10, 3.0, 1.0), (20, 3.0, 2.0), (30, 1.0, 1.0))),
    ]
    assert best_steps(history, ("en", "de", "fr"), "f1") == {"en": 10, "de": 20}


@pytest.fixture(scope="module")
def conflicting_dir(languages_dir, tmp_path_factory):
    """In German dev and test data the labels of two verdicts are exchanged, so that the best checkpoint for English is bad for German."""
    root = tmp_path_factory.mktemp("conflict") / "data"
    shutil.copytree(languages_dir, root)
    rng, exchanged = random.Random(9), {0: 2, 1: 1, 2: 0}
    for split in ("validation", "test"):
        # English words under German's name: what training teaches applies to them at once, and is wrong in two cases of three.
        rows = [{**row, "label": exchanged[row["label"]]} for row in nli_rows(rng, "en", 60)]
        shutil.rmtree(root / "facebook/xnli/de" / f"{split}.none", ignore_errors=True)
        write_hub_folder(root, "facebook/xnli", "de", split, rows, NLI_COLUMNS)
    return str(root)


def test_selecting_on_target_dev_chooses_another_checkpoint_and_the_oracle_stands_beside(
    call, tiny_model, conflicting_dir, tmp_path, monkeypatch
):
    asked, task = [], TASKS["xnli"]
    monkeypatch.setitem(TASKS, "xnli", replace(task, metric=lambda *of: asked.append(of[2]) or task.metric(*of)))
    flags = ("--task", "xnli", "--model_name_or_path", tiny_model, "--data_dir", conflicting_dir, *FAST, "--max_steps", "120",
             "--eval_steps", "20", "--languages", "en", "de")  # fmt: skip
    runs = {how: call(run_target, *flags, *more, "--output_dir", tmp_path / how)
            for how, more in (("en", ("--oracle",)), ("target", ("--select_on", "target")))}  # fmt: skip
    expected = (6 + 1 + 1 + 1) + (6 + 1 + 1)
    assert asked.count("de") == expected, "evaluations, test data, the oracle's, the card's: each by its language's rule"
    steps = {how: run["training"]["best_step"] for how, run in runs.items()}
    assert steps["en"] > steps["target"], "the more English is learned, the worse German's exchanged labels are met"
    assert runs["target"]["selected_on"] == {"dev": "target", "languages": ["de"]} and runs["target"]["oracle"] is None
    assert runs["en"]["scores"]["de"]["accuracy"] < runs["target"]["scores"]["de"]["accuracy"]
    # The oracle of the English-selected run is, for each language, what choosing by that language gives.
    oracle = runs["en"]["oracle"]
    assert (oracle["en"]["step"], oracle["de"]["step"]) == (steps["en"], steps["target"])
    assert oracle["de"]["accuracy"] == runs["target"]["scores"]["de"]["accuracy"]
    for language in ("en", "de"):
        found = [entry[f"eval_{language}_accuracy"] for entry in runs["en"]["training"]["log"] if "eval_accuracy" in entry]
        assert oracle[language]["dev"] == max(found), "its own dev data"
    assert oracle["en"]["accuracy"] == runs["en"]["scores"]["en"]["accuracy"] and oracle["de"]["examples"] == 60
    assert not (tmp_path / "en/oracle").exists() and "select_on" not in runs["en"] and runs["target"]["select_on"] == "target"


def test_an_oracle_run_that_was_killed_goes_on_to_the_same_scores(call, tiny_model, conflicting_dir, tmp_path, monkeypatch):
    from trainer.selection import LanguagesTrainer

    flags = ("--task", "xnli", "--model_name_or_path", tiny_model, "--data_dir", conflicting_dir, *FAST, "--max_steps", "60",
             "--eval_steps", "20", "--languages", "en", "de", "--oracle", "--select_on", "mean")  # fmt: skip
    whole = call(run_target, *flags, "--output_dir", tmp_path / "whole")
    keep = LanguagesTrainer.keep_weights

    def die_at_40(self, before):
        keep(self, before)
        if self.state.global_step == 40:
            raise KeyboardInterrupt

    monkeypatch.setattr(LanguagesTrainer, "keep_weights", die_at_40)
    with pytest.raises(KeyboardInterrupt):
        call(run_target, *flags, "--output_dir", tmp_path / "cut")
    monkeypatch.setattr(LanguagesTrainer, "keep_weights", keep)
    resumed = call(run_target, *flags, "--output_dir", tmp_path / "cut")
    assert resumed["training"]["resumed_from_step"] == 20
    assert resumed["oracle"] == whole["oracle"] and resumed["scores"] == whole["scores"]
    assert whole["selected_on"] == {"dev": "mean", "languages": ["en", "de"]}


@pytest.mark.parametrize("task, flags, message", [
    ("xquad", ("--select_on", "target"), "--select_on target: xquad has no dev data in de. Leave the flag out to choose by English"),
    ("tydiqa", ("--oracle",), "--oracle: tydiqa has no dev data but those that are scored"),
    ("udpos", ("--select_on", "mean", "--languages", "en"), "needs a target language"),
    ("udpos", ("--oracle", "--eval_strategy", "no", "--load_best_model_at_end", "false"), "--oracle compares checkpoints, and this recipe"),
    ("udpos", ("--select_on", "target", "--metric_for_best_model", "loss"), "metric_for_best_model loss: --select_on and --oracle"),
])  # fmt: skip
def test_choosing_by_dev_data_that_are_not_there_is_refused(task, flags, message, call, tiny_model, data_dir, tmp_path):
    languages = () if "--languages" in flags else ("--languages", "de" if task == "xquad" else "en", *(["ar"] if task != "xquad" else []))
    flags = (*languages, *flags, "--model_name_or_path", tiny_model, *FAST, "--max_train_samples", "16", "--output_dir", tmp_path)
    if task == "tydiqa":
        rows = [{**row, "id": f"english-{i}"} for i, row in enumerate(qa_rows(random.Random(0), "en", 20))]
        answers = {"text": List(TEXT), "answer_start": List(Value("int32"))}
        squad = Features({"id": TEXT, "title": TEXT, "context": TEXT, "question": TEXT, "answers": answers})
        for split in ("train", "validation"):
            write_hub_folder(tmp_path / "data", "google-research-datasets/tydiqa", "secondary_task", split, rows, squad)
        data_dir = tmp_path / "data"
    with pytest.raises(InputError, match=message):
        call(run_target, "--task", task, "--data_dir", data_dir, *flags)


def test_two_processes_choose_and_score_the_oracle_as_one_does(call, tiny_model, conflicting_dir, tmp_path):
    flags = ("--task", "xnli", "--model_name_or_path", tiny_model, "--data_dir", conflicting_dir, "--learning_rate", "5e-4", "--use_cpu",
             "--effective_batch_size", "16", "--max_seq_length", "64", "--disable_tqdm", "true", "--max_steps", "16", "--eval_steps", "8",
             "--languages", "en", "de", "--oracle", "--select_on", "target", "--train_languages", "en", "de",
             "--max_train_samples", "64")  # fmt: skip
    one = call(run_target, *flags, "--output_dir", tmp_path / "1")
    launch("run_target.py", *flags, "--output_dir", tmp_path / "2", processes=2)
    two = json.loads((tmp_path / "2" / "results.json").read_text())
    assert two["oracle"] == one["oracle"] and two["scores"] == one["scores"]
    assert two["training"]["best_step"] == one["training"]["best_step"]


# ---- translation


def test_sentences_are_cut_after_their_ends_and_not_after_initials():
    assert sentences('He said "No." J. Smith left. It cost 3.5 euros! (Why?) Nobody knew') == [
        'He said "No."', "J. Smith left.", "It cost 3.5 euros!", "(Why?)", "Nobody knew"]  # fmt: skip
    assert sentences("") == [""] and sentences("one. two") == ["one. two"]


@pytest.mark.parametrize("context, answer, span, language, place", [
    ("Das Haus ist rot. Ein Haus.", "Haus", (18, 27), "de", (22, 26)),  # in its sentence before elsewhere
    ("Das Haus ist rot. Ein Hund.", "Haus", (18, 27), "de", (4, 8)),
    ("Er kam 1945 nach 19 Jahren.", "19", (0, 27), "de", (17, 19)),  # no part of a word
    ("Er kam 1945.", "19", (0, 12), "de", None),
    ("Das rote Haus steht.", "Rote Haus.", (0, 20), "de", (4, 13)),  # another case, a final dot
    ("他在北京住了19年。", "北京。", (0, 11), "zh", (2, 4)),  # no spaces between words
    ("他在1945年。", "19", (0, 8), "zh", None),
    ("", "Haus", (0, 0), "de", None),
    ("Haus", " . ", (0, 4), "de", None),
])  # fmt: skip
def test_answers_are_found_as_whole_words_in_their_sentence_first(context, answer, span, language, place):
    assert answer_span(context, answer, span, language) == place


def test_a_translated_question_keeps_the_answer_of_its_sentence_or_is_dropped():
    words = {"A dog is here.": "Ein Hund ist hier.", "The dog sleeps.": "Der Hund schläft.", "Who?": "Wer?", "dog": "Hund", "here": "da"}
    example = {
        "id": "1",
        "context": "A dog is here. The dog sleeps.",
        "question": "Who?",
        "answers": {"text": ["dog"], "answer_start": [19]},
    }
    found = translated(example, words.get, "de")
    assert found == {"id": "1", "context": "Ein Hund ist hier. Der Hund schläft.", "question": "Wer?",
                     "answers": {"text": ["Hund"], "answer_start": [23]}}  # fmt: skip
    twice = {**example, "context": "Dogs bark. Dogs sleep.", "answers": {"text": ["Dogs"], "answer_start": [11]}}
    german = {"Dogs bark.": "Hunde bellen.", "Dogs sleep.": "Hunde schlafen.", "Dogs": "Hunde", "Who?": "Wer?"}
    assert translated(twice, german.get, "de")["answers"] == {"text": ["Hunde"], "answer_start": [14]}, "the first word of its sentence"
    lost = {**example, "answers": {"text": ["here"], "answer_start": [9]}}
    assert translated(lost, words.get, "de") == "answer not found in the translated context"
    assert translated({**example, "question": "Where?"}, words.get, "de") == "too long to translate"
    assert translated(example, {**words, "Who?": ""}.get, "de") == "empty translation"
    story = {"context": "Who?", "question": "", "choices": ["dog", "here"], "label": 1}
    assert translated(story, words.get, "de") == {"context": "Wer?", "question": "", "choices": ["Hund", "da"], "label": 1}
    assert translated({"text_a": "A dog is here. The dog sleeps.", "text_b": "", "label": "x"}, words.get, "zh")["text_a"] == (
        "Ein Hund ist hier.Der Hund schläft.")  # fmt: skip


@pytest.fixture(scope="module")
def translation_model(tmp_path_factory):
    """A tiny M2M100 with its own tokenizer, trained for some steps: what it writes is no German, but it ends."""
    import sentencepiece
    from transformers import M2M100Config, M2M100ForConditionalGeneration, M2M100Tokenizer, set_seed

    folder, rng = tmp_path_factory.mktemp("m2m100"), random.Random(1)
    lines = [f"{text(rng, language)} {rng.randrange(100, 1000)}" for language in WORDS for _ in range(300)]
    lines += [" ".join(words["NLI"].values()) for words in WORDS.values()] * 20
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(folder / "spm"), vocab_size=120, minloglevel=2, hard_vocab_limit=False
    )
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spm.model"))
    names = ["<s>", "<pad>", "</s>", "<unk>"] + [pieces.id_to_piece(i) for i in range(3, pieces.get_piece_size())]
    (folder / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}), encoding="utf-8")
    tokenizer = M2M100Tokenizer(str(folder / "vocab.json"), str(folder / "spm.model"), src_lang="en", tgt_lang="de")
    tokenizer.save_pretrained(folder / "model")
    set_seed(0)
    config = M2M100Config(
        vocab_size=len(names) + 120, d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=96, dropout=0.0, attention_dropout=0.0, activation_dropout=0.0,
    )  # fmt: skip
    model = M2M100ForConditionalGeneration(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(60):
        source = [" ".join(text(rng, "en").split()[: rng.randrange(2, 7)]) for _ in range(16)]
        batch = tokenizer(source, text_target=[dictionary(line) for line in source], padding=True, return_tensors="pt")
        batch["labels"][batch["labels"] == 1] = -100
        loss = model(**batch).loss
        loss.backward(), optimizer.step(), optimizer.zero_grad()
    model.save_pretrained(folder / "model")
    return str(folder / "model")


def translate_flags(translation_model, data_dir, output, *more):
    return ("--task", "mnli", "--language", "de", "--translation_model", translation_model, "--data_dir", data_dir, "--output_file",
            output, "--num_beams", "2", "--max_length", "40", "--max_samples", "30", *more)  # fmt: skip


def rows_of(path):
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def test_a_model_translates_a_task_into_a_file_that_trains(call, translation_model, tiny_model, data_dir, tmp_path, capsys):
    file = tmp_path / "mnli.de.jsonl"
    made = call(translate, *translate_flags(translation_model, data_dir, file))
    rows, (english, _) = rows_of(file), load_examples(TASKS["mnli"], "train", "en", data_dir, 30, 42)
    assert made["examples"] == len(rows) and made["examples"] + sum(made["dropped"].values()) == 30
    assert len(rows) >= 20 and {row["language"] for row in rows} == {"de"}
    parts = [part for example in english for text in translate.texts_of(example) for part in sentences(text)]
    german = dict(zip(parts, translate.Translator(translation_model, "de", 32, 2, 40, False)(parts)))
    kept = [example for example in english if isinstance(translated(example, german.get, "de"), dict)]
    assert [row["label"] for row in rows] == [example["label"] for example in kept], "a label stays with its pair, whatever is dropped"
    assert all(row["text_a"] and row["text_a"] not in english["text_a"][:] and "__de__" not in row["text_a"] for row in rows)
    assert f"{made['examples']} examples" in capsys.readouterr().out and not list(tmp_path.glob("*.part*"))
    results = call(run_intermediate, "--task", "mnli", "--model_name_or_path", tiny_model, "--data_dir", data_dir, *FAST,
                   "--max_steps", "2", "--train_file", file, "--output_dir", tmp_path / "out")  # fmt: skip
    (provenance,) = [p for p in results["data"] if p["split"] == "train"]
    assert provenance["made_by"]["translation_model"] == translation_model and provenance["examples"] == len(rows)


def test_a_translation_that_was_cut_off_goes_on_to_the_same_file(call, translation_model, data_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(translate, "BLOCK", 8)
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    made = call(translate, *translate_flags(translation_model, data_dir, whole, "--batch_size", "4"))
    once, blocks = translate.Translator.__call__, []

    def die_in_the_third_block(self, texts):
        blocks.append(len(texts))
        if len(blocks) == 3:
            raise KeyboardInterrupt
        return once(self, texts)

    monkeypatch.setattr(translate.Translator, "__call__", die_in_the_third_block)
    with pytest.raises(KeyboardInterrupt):
        call(translate, *translate_flags(translation_model, data_dir, cut))
    partial = tmp_path / "cut.jsonl.partial"
    with partial.open("a", encoding="utf-8") as lines:
        lines.write('{"dropped": "", "text_a": "half a li')  # killed in the middle of a line
    with pytest.raises(InputError, match="was begun with other settings"):
        call(translate, *translate_flags(translation_model, data_dir, cut, "--seed", "7"))
    capsys.readouterr()
    resumed = call(translate, *translate_flags(translation_model, data_dir, cut))  # another batch size, too: no other translation
    assert "going on after 16 examples" in capsys.readouterr().out and len(blocks) == 5
    assert cut.read_bytes() == whole.read_bytes() and resumed["examples"] == made["examples"] and resumed["dropped"] == made["dropped"]
    assert not partial.exists()
    call(translate, *translate_flags(translation_model, data_dir, cut))
    assert "is finished: skipped" in capsys.readouterr().out and len(blocks) == 5
    with pytest.raises(InputError, match="exists and was made otherwise"):
        call(translate, *translate_flags(translation_model, data_dir, cut, "--seed", "7"))


def test_what_reaches_the_limit_is_dropped_and_not_cut(translation_model):
    short = translate.Translator(translation_model, "de", 4, 1, 40, False)
    texts = ["a cat .", "the " * 60, "the old dog sees a small tree"]  # the shortest first: translated in another order
    found = short(texts)
    assert found[1] is None and found[0] is not None
    assert found == [short([one])[0] for one in texts], "a text's neighbours in its batch change nothing"
    tight = translate.Translator(translation_model, "de", 4, 1, 3, False)
    assert tight(["the old dog sees a cat"]) == [None]
    written, french = [], translate.Translator(translation_model, "fr", 4, 1, 40, False)
    generate = french.model.generate
    french.model.generate = lambda **inputs: written.append(generate(**inputs)) or written[-1]
    assert french(["a cat ."]) == [None], "it learned no French and writes on until the limit"
    assert written[0][0, 1] == french.tokenizer.get_lang_id("fr"), "the language's token is forced, whatever the model would write"
    with pytest.raises(InputError, match="has no token for 'eu': neither __eu__"):
        translate.Translator(translation_model, "eu", 4, 1, 40, False)


def test_nllbs_language_codes_are_taken_where_the_tokenizer_has_them(tmp_path):
    from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

    vocabulary = {name: i for i, name in enumerate(["<s>", "<pad>", "</s>", "<unk>", "▁", "a", "b"])}
    NllbTokenizer(vocab=vocabulary, merges=[], src_lang="fra_Latn").save_pretrained(tmp_path)
    M2M100ForConditionalGeneration(
        M2M100Config(vocab_size=300, d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=16, decoder_ffn_dim=16,
                     encoder_attention_heads=2, decoder_attention_heads=2)
    ).save_pretrained(tmp_path)  # fmt: skip
    model = translate.Translator(str(tmp_path), "sw", 1, 1, 10, False)
    ids = model.tokenizer("a")["input_ids"]
    assert model.tokenizer.convert_ids_to_tokens(model.first_token) == "swh_Latn"
    assert model.tokenizer.convert_ids_to_tokens(ids[0]) == "eng_Latn", "the source's code comes first"
    assert set(translate.NLLB_CODES) > {*TASKS["panx"].languages}
    assert set(translate.NLLB_CODES.values()) <= set(FAIRSEQ_LANGUAGE_CODES) and len(FAIRSEQ_LANGUAGE_CODES) == 202

    def token_of(language):
        return model.tokenizer.convert_ids_to_tokens(model.language_token(language, "path")[1])

    assert [token_of(language) for language in FAIRSEQ_LANGUAGE_CODES] == FAIRSEQ_LANGUAGE_CODES, "every language of NLLB by its own code"
    assert [token_of(language) for language in ("ig", "ibo", "ibo_Latn", "zh", "quy")] == [
        "ibo_Latn", "ibo_Latn", "ibo_Latn", "zho_Hans", "quy_Latn"]  # fmt: skip
    with pytest.raises(InputError, match="--language 'ace': path knows it as ace_Arab and ace_Latn. Choose one of them."):
        token_of("ace")
    with pytest.raises(InputError, match="path has no token for 'ibo_Latm': .* Did you mean 'ibo_Latn'"):
        token_of("ibo_Latm")
    from_igbo = translate.Translator(str(tmp_path), "en", 1, 1, 10, False, "ibo")
    assert from_igbo.tokenizer.convert_ids_to_tokens(from_igbo.tokenizer("a")["input_ids"][0]) == "ibo_Latn"
    assert from_igbo.tokenizer.convert_ids_to_tokens(from_igbo.first_token) == "eng_Latn"


# ---- test sets into English


def test_sentences_of_other_languages_end_at_their_own_marks():
    assert sentences("Он пришёл. Она ушла! А. Петров спит. это 3.5.", "ru") == ["Он пришёл.", "Она ушла!", "А. Петров спит. это 3.5."]
    assert sentences("他来了。她走了？好", "zh") == ["他来了。", "她走了？", "好"] and sentences("好。", "zh") == ["好。"]
    assert sentences("वह आया। वह गई।", "hi") == ["वह आया।", "वह गई।"] and sentences("جاء. من؟ ذهب", "ar") == ["جاء.", "من؟", "ذهب"]
    assert sentences("", "zh") == [""]


def test_a_question_in_english_keeps_its_answer_wherever_it_is_found_and_is_never_dropped():
    words = {"Ein Hund ist hier.": "A dog is here.", "Der Hund schläft.": "The dog sleeps.", "Wer?": "Who?", "Hund": "dog", "da": "there"}
    example = {"id": "1", "context": "Ein Hund ist hier. Der Hund schläft.", "question": "Wer?",
               "answers": {"text": ["Hund", "da"], "answer_start": [23, 4]}}  # fmt: skip
    found, remarks = translated_test(example, words.get, "de")
    assert found == {"id": "1", "context": "A dog is here. The dog sleeps.", "question": "Who?",
                     "answers": {"text": ["dog", "there"], "answer_start": [19, -1]}}  # fmt: skip
    assert remarks == {"answers that the translated context does not have": 1}
    chinese = {**example, "context": "狗来了。狗睡了。", "answers": {"text": ["狗"], "answer_start": [4]}}
    english = {"狗来了。": "The dog comes.", "狗睡了。": "The dog sleeps.", "狗": "dog", "Wer?": "Who?"}
    assert translated_test(chinese, english.get, "zh")[0]["answers"] == {"text": ["dog"], "answer_start": [19]}, "in its own sentence"
    untranslated, remarks = translated_test(example, {**words, "Wer?": None, "Der Hund schläft.": ""}.get, "de")
    assert untranslated["question"] == "Wer?" and untranslated["context"] == "A dog is here. Der Hund schläft."
    assert remarks["sentences that stay as they are"] == 2
    choice = {"context": "Wer?", "question": "What was the cause?", "choices": ["Hund", "da"], "label": 1}
    assert translated_test(choice, words.get, "de") == (
        {"context": "Who?", "question": "What was the cause?", "choices": ["dog", "there"], "label": 1}, {})  # fmt: skip


def test_a_test_set_is_translated_into_english_and_scored(call, translation_model, tiny_model, data_dir, tmp_path, monkeypatch, capsys):
    """The tiny model was trained from English into German: what it writes is no English, but the file keeps every row with its label."""
    monkeypatch.setattr(translate, "BLOCK", 8)
    file = tmp_path / "xnli.de.en.jsonl"
    flags = ("--task", "xnli", "--language", "de", "--to_english", "--translation_model", translation_model, "--data_dir", data_dir,
             "--num_beams", "1", "--max_length", "40", "--max_samples", "20")  # fmt: skip
    made = call(translate, *flags, "--output_file", file)
    german, _ = load_examples(TASKS["xnli"], "test", "de", data_dir, 20)
    rows = rows_of(file)
    assert [row["label"] for row in rows] == german["label"][:] and made["examples"] == 20 and made["to_english"] is True
    assert "language" not in rows[0] and not {"dropped", "remarks"} & {*rows[0]}
    model = translate.Translator(translation_model, "en", 32, 1, 40, False, "de")
    assert rows[0]["text_a"] == (model([german["text_a"][0]])[0] or german["text_a"][0])
    results = call(run_target, "--task", "xnli", "--model_name_or_path", tiny_model, "--data_dir", data_dir, *FAST, "--max_steps", "2",
                   "--eval_strategy", "no", "--languages", "en", "--test_file", f"de={file}", "--output_dir", tmp_path / "out")  # fmt: skip
    assert results["scores"]["de"]["examples"] == 20 and results["mean_over"] == ["en", "de"]
    (part,) = [part for part in results["data"] if part["language"] == "de"]
    assert part["made_by"]["to_english"] is True and part["made_by"]["translation_model"] == translation_model

    once, blocks = translate.Translator.__call__, []  # cut off in the second block, it goes on to the same file

    def die(self, texts):
        blocks.append(len(texts))
        if len(blocks) == 2:
            raise KeyboardInterrupt
        return once(self, texts)

    monkeypatch.setattr(translate.Translator, "__call__", die)
    cut = tmp_path / "cut.jsonl"
    with pytest.raises(KeyboardInterrupt):
        call(translate, *flags, "--output_file", cut)
    again = call(translate, *flags, "--output_file", cut)
    assert "going on after 8 examples" in capsys.readouterr().out and cut.read_bytes() == file.read_bytes()
    assert again["remarks"] == made["remarks"]


def test_a_test_file_of_ones_own_is_translated_into_english_and_mlqa_refuses_its_answers(call, translation_model, data_dir, tmp_path):
    rows = qa_rows(random.Random(4), "de", 6)
    own, file = write_jsonl(tmp_path / "my.jsonl", rows), tmp_path / "my.en.jsonl"
    flags = ("--language", "de", "--to_english", "--translation_model", translation_model, "--data_dir", data_dir, "--num_beams", "1",
             "--max_length", "40", "--output_file", file)  # fmt: skip
    made = call(translate, "--task", "xquad", *flags, "--test_file", f"de={own}")
    assert made["examples"] == 6 and [row["id"] for row in rows_of(file)] == [row["id"] for row in rows]
    assert made["test_file"][0].startswith(f"de={own} (sha256 ")
    (task,) = [with_own_data(TASKS["xquad"], find_own_files("test_file", [f"de={file}"]))]
    assert len(load_examples(task, "test", "de", data_dir)[0]) == 6
    with pytest.raises(InputError, match="my.en.jsonl exists and was made otherwise"):
        call(translate, "--task", "xquad", *flags)
    with pytest.raises(InputError, match="is translated into English, and mlqa's metric would remove the articles of 'de'"):
        with_own_data(TASKS["mlqa"], find_own_files("test_file", [f"de={file}"]))


@pytest.mark.parametrize("flags, message", [
    ((), "^--task is missing. For example: --task mnli$"),
    (("--task", "mnli"), "^--language is missing. For example: --language sw$"),
    (("--task", "mnli", "--language", "de"), "^--output_file is missing. For example: --output_file mnli.de.jsonl$"),
    (("--task", "panx", "--language", "de"), "panx cannot be translated: tagging"),
    (("--task", "mnly", "--language", "de"), "Did you mean 'mnli'"),
    (("--task", "mnli", "--language", "Igbo"), "--language 'Igbo': another language than English"),
    (("--task", "mnli", "--language", "en"), "--language 'en': another language than English"),
    (("--task", "mnli", "--language", "sw", "--to_english"), "--to_english translates the test sets of targets, and mnli is"),
    (("--task", "udpos", "--language", "sw", "--to_english"), "udpos cannot be translated: tagging"),
    (("--task", "xnli", "--language", "sw", "--test_file", "sw=a.tsv"), "--test_file goes with --to_english"),
    (("--task", "xnli", "--language", "sw", "--to_english", "--test_file", f"ig={__file__}"), "is no known kind"),
    (("--task", "mnli", "--language", "de", "--output_file", "a.csv"), "must end in .jsonl"),
    (("--task", "mnli", "--language", "de", "--output_file", "a.jsonl", "--batch_size", "0"), "--batch_size 0 leaves nothing"),
    (("--task", "mnli", "--language", "de", "--output_file", "a.jsonl", "--seed", "-1"), "--seed -1 is no seed: 0 or more"),
    (("--task", "mnli", "--language", "de", "--output_file", f"{__file__}/a.jsonl"), "test_training_data.py is a file, no folder"),
    (("--task", "mnli", "--language", "de", "--output_file", f"{__file__}/b/a.jsonl"), "test_training_data.py is a file, no folder"),
])  # fmt: skip
def test_what_cannot_be_translated_is_refused(flags, message, call):
    with pytest.raises(InputError, match=message):
        call(translate, *flags)


@pytest.mark.parametrize("about", ["[]", "5", "null", "{}"])
def test_a_finished_file_with_a_foreign_note_is_not_taken(about, call, tmp_path):
    (tmp_path / "a.jsonl").write_text("{}\n")
    (tmp_path / "a.jsonl.about.json").write_text(about)
    with pytest.raises(InputError, match="a.jsonl exists and was made otherwise"):
        call(translate, "--task", "mnli", "--language", "de", "--output_file", tmp_path / "a.jsonl")


def test_of_two_translations_into_one_file_at_once_the_second_is_refused(call, translation_model, data_dir, tmp_path, monkeypatch):
    """The second script is another process, because locks are per process. It ends before it reads data or model."""
    file, answers, once = tmp_path / "new" / "mnli.de.jsonl", [], translate.Translator.__call__
    flags = translate_flags(translation_model, data_dir, file)

    def start_a_second_one(self, texts):
        for output in (file, file.with_name("other.jsonl")):
            code = f"import results; from pathlib import Path; print(results.hold(Path({str(file.parent)!r}), {f'.{output.name}.lock'!r}))"
            answers.append(
                subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
            )
        return once(self, texts)

    monkeypatch.setattr(translate.Translator, "__call__", start_a_second_one)
    made = call(translate, *flags)
    assert answers[0].startswith(f"process {os.getpid()} on ") and answers[1] == "None", "other files of the folder are free"
    assert made["examples"] == len(rows_of(file))
    monkeypatch.setattr(translate, "hold", lambda folder, name: "process 7 on node3")
    call(translate, *flags)  # it is finished, and only read
    file.unlink()
    with pytest.raises(InputError, match="process 7 on node3 is at work on --output_file .*mnli.de.jsonl: wait for its end"):
        call(translate, *flags)


def test_a_file_that_another_process_has_finished_meanwhile_is_not_made_twice(call, tmp_path, monkeypatch):
    """The file did not exist when this process checked first, and exists when this process has the lock."""
    file = tmp_path / "a.jsonl"
    flags = ("--task", "mnli", "--language", "de", "--output_file", file)

    def finish(folder, name):
        file.write_text("{}\n")
        settings = {"task": "mnli", "language": "de", "translation_model": "facebook/nllb-200-distilled-600M", "max_samples": None,
                    "seed": 42, "num_beams": 4, "max_length": 256, "bf16": False}  # fmt: skip
        file.with_name("a.jsonl.about.json").write_text(json.dumps({**settings, "examples": 1}))

    monkeypatch.setattr(translate, "hold", finish)
    assert call(translate, *flags)["examples"] == 1


@pytest.mark.parametrize("about", ["", "{", '{"task": "mn', "\0\0\0"])
def test_a_torn_note_beside_a_finished_file_blocks_nothing(about, call, translation_model, data_dir, tmp_path, capsys):
    file, note = tmp_path / "a.jsonl", tmp_path / "a.jsonl.about.json"
    file.write_text("{}\n")
    note.write_text(about)
    made = call(translate, *translate_flags(translation_model, data_dir, file, "--max_samples", "6"))
    assert "a.jsonl.about.json is not valid JSON" in capsys.readouterr().out
    assert made["examples"] == len(rows_of(file)) and json.loads(note.read_text())["examples"] == made["examples"]


@pytest.mark.parametrize("torn", [b"", b'{"ta', b"\0\0\0\0"])
def test_a_partial_file_that_was_cut_off_in_its_first_line_is_begun_anew(torn, tmp_path):
    partial = tmp_path / "a.jsonl.partial"
    partial.write_bytes(torn)
    assert translate.go_on(partial, {"task": "mnli"}) == [] and rows_of(partial) == [{"task": "mnli"}]


def test_zeros_at_the_end_of_a_partial_file_are_removed(tmp_path):
    partial = tmp_path / "a.jsonl.partial"
    partial.write_bytes(b'{"task": "mnli"}\n{"dropped": ""}\n{"dro\0\0\0')
    assert translate.go_on(partial, {"task": "mnli"}) == [{"dropped": ""}]
    assert partial.read_bytes() == b'{"task": "mnli"}\n{"dropped": ""}\n'


@pytest.mark.parametrize("line, message", [
    ("{", "a.jsonl.partial, line 2: not JSON"),
    ("[]", "a.jsonl.partial, line 2: not an object"),
    ("{}", "a.jsonl.partial was not left by this script"),
])  # fmt: skip
def test_a_broken_partial_file_is_named(line, message, tmp_path):
    partial = tmp_path / "a.jsonl.partial"
    assert translate.go_on(partial, {"task": "mnli"}) == []
    with partial.open("a", encoding="utf-8") as lines:
        lines.write(f'{line}\n{{"dropped": ""}}\n')
    with pytest.raises(InputError, match=message):
        translate.go_on(partial, {"task": "mnli"})
