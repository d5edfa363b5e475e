"""Every task on rows in the hub's form, the known problems of the data one by one, and bad input."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

import task_adapters
from metrics import XTREME_METRIC
from task_adapters import (
    BENCHMARKS,
    MODULES,
    PAPERS_TASKS,
    TASKS,
    InputError,
    Recipe,
    Source,
    Task,
    data_line,
    get_task,
    labels_of,
    load_examples,
    no_language,
)
from task_adapters import nlu_evals as nlu
from task_adapters.__main__ import as_text, expected, main, parts_of, summary, table
from task_adapters.base import CONVERTED, EXAMPLE_COLUMNS
from task_adapters.ccg import read_auto
from task_adapters.examples import check_example
from task_adapters.reference_scores import REFERENCES, reference_lines, references_for
from task_adapters.squad import relocated
from task_adapters.xtreme_download import NAME as XTREMES_DOWNLOAD

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
TEXT, INT = Value("string"), Value("int32")
HUB_NLI = ClassLabel(names=["entailment", "neutral", "contradiction"])
HUB_UPOS = List(ClassLabel(names=list(TASKS["udpos"].labels)))
HUB_NER = List(ClassLabel(names=["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"]))
ANSWERS = {"text": List(TEXT), "answer_start": List(INT)}
SQUAD = {"id": TEXT, "title": TEXT, "context": TEXT, "question": TEXT, "answers": ANSWERS}
NLI = {"premise": TEXT, "hypothesis": TEXT, "label": HUB_NLI}
ANLI = {"uid": TEXT, **NLI, "reason": TEXT}
GLUE_NLI = {**NLI, "idx": INT}
HELLASWAG = {
    **{name: TEXT for name in ("activity_label", "ctx_a", "ctx_b", "ctx", "source_id", "split", "split_type", "label")},
    "ind": INT, "endings": List(TEXT),
}  # fmt: skip
COSMOS = {**{name: TEXT for name in ("id", "context", "question", "answer0", "answer1", "answer2", "answer3")}, "label": INT}
CSQA = {"id": TEXT, "question": TEXT, "question_concept": TEXT, "choices": {"label": List(TEXT), "text": List(TEXT)}, "answerKey": TEXT}
SIQA = {name: TEXT for name in ("context", "question", "answerA", "answerB", "answerC", "label")}
COPA = {**{name: TEXT for name in ("premise", "choice1", "choice2", "question")}, "idx": INT}
BELEBELE = {"link": TEXT, "question_number": INT, "flores_passage": TEXT, "question": TEXT,
            **{f"mc_answer{i}": TEXT for i in range(1, 5)}, "correct_answer_num": TEXT, "dialect": TEXT, "ds": TEXT}  # fmt: skip
AUTO = (
    "ID=wsj_0099.7 PARSER=GOLD NUMPARSE=1\n"
    r"(<T S[dcl] 0 2> (<L NP NNP NNP Mira NP>) (<T S[dcl]\NP 0 2> (<L (S[dcl]\NP)/NP VBD VBD drew (S[dcl]\NP_1)/NP_2>) "
    "(<L NP NNS NNS maps NP>) ) )\n"
)
AUTO_EXAMPLE = {"words": ["Mira", "drew", "maps"], "tags": ["NP", r"(S[dcl]\NP)/NP", "NP"]}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def write(root, place, features, *rows):
    """Writes a parquet file as the hub has it, with class names, to its path below `root`."""
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {name: [row.get(name, "" if kind == TEXT else 0) for row in rows] for name, kind in features.items()}
    Dataset.from_dict(columns, features=Features(features)).to_parquet(path)
    return root


def write_text(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def load(name, split, root, language="en", **options):
    examples, provenance = load_examples(TASKS[name], split, language, str(root), **options)
    return examples.to_list(), provenance


def pair(a, b, label):
    return {"text_a": a, "text_b": b, "label": label}


def question(id_="q1", context="The answer is blue.", text=("blue",), start=(14,), language_question="What is it?"):
    return {"id": id_, "title": "t", "context": context, "question": language_question,
            "answers": {"text": list(text), "answer_start": list(start)}}  # fmt: skip


def without_title(row):
    return {name: value for name, value in row.items() if name != "title"}


# For each task: files in the hub's layout, the requested split and language, and the expected examples.
STORY = {"ctx_a": "A man sits down.", "ctx_b": "he", "endings": ["sings.", "sleeps.", "eats.", "runs."], "label": "2"}
RIDDLE = {"id": "c1", "question": "Where do fish live?", "choices": {"label": list("ABCDE"), "text": ["sea", "sky", "sand", "sun", "wood"]},
          "answerKey": "A"}  # fmt: skip
COSMOS_ROW = {"context": "It rained.", "question": "Why was she wet ?", "answer0": "Rain", "answer1": "Sun", "answer2": "Tea",
              "answer3": "None", "label": 0}  # fmt: skip
OWN = {*PAPERS_TASKS, *(name for tasks in BENCHMARKS.values() for name in tasks)}
WALK = {
    "anli": (
        [("facebook/anli/plain_text/dev_r1-00000-of-00001.parquet", ANLI, {"premise": "p1", "hypothesis": "h1", "label": 0}),
         ("facebook/anli/plain_text/dev_r2-00000-of-00001.parquet", ANLI, {"premise": "p2", "hypothesis": "h2", "label": 1}),
         ("facebook/anli/plain_text/dev_r3-00000-of-00001.parquet", ANLI, {"premise": "p3", "hypothesis": "h3", "label": 2})],
        "dev", "en", [pair("p1", "h1", "entailment"), pair("p2", "h2", "neutral"), pair("p3", "h3", "contradiction")]),
    "mnli": (
        [("nyu-mll/glue/mnli/validation_matched-00000-of-00001.parquet", GLUE_NLI, {"premise": "p", "hypothesis": "h", "label": 2})],
        "dev", "en", [pair("p", "h", "contradiction")]),
    "qqp": (
        [("nyu-mll/glue/qqp/train-00000-of-00001.parquet",
          {"question1": TEXT, "question2": TEXT, "label": ClassLabel(names=["not_duplicate", "duplicate"]), "idx": INT},
          {"question1": "Who?", "question2": "", "label": 0}, {"question1": "Who?", "question2": None, "label": 1})],
        "train", "en", [pair("Who?", "", "not_duplicate"), pair("Who?", "", "duplicate")]),
    "squad_v1": (
        [("rajpurkar/squad/plain_text/train-00000-of-00001.parquet", SQUAD, question())], "train", "en", [without_title(question())]),
    "squad_v2": (
        [("rajpurkar/squad_v2/squad_v2/validation-00000-of-00001.parquet", SQUAD, question(), question("q2", text=(), start=()))],
        "dev", "en", [without_title(question()), without_title(question("q2", text=(), start=()))]),
    "hellaswag": (
        [("Rowan/hellaswag/data/validation-00000-of-00001.parquet", HELLASWAG, STORY, {**STORY, "ctx_b": "", "label": "0"})],
        "dev", "en",
        [{"context": "A man sits down.", "question": "", "choices": ["he sings.", "he sleeps.", "he eats.", "he runs."], "label": 2},
         {"context": "A man sits down.", "question": "", "choices": ["sings.", "sleeps.", "eats.", "runs."], "label": 0}]),
    "cosmosqa": (
        [("allenai/cosmos_qa/default/train/0000.parquet", COSMOS, COSMOS_ROW)],
        "train", "en",
        [{"context": "It rained.", "question": "Why was she wet ?", "choices": ["Rain", "Sun", "Tea", "None"], "label": 0}]),
    "commonsenseqa": (
        [("tau/commonsense_qa/data/train-00000-of-00001.parquet", CSQA, RIDDLE, {**RIDDLE, "answerKey": "E"})],
        "train", "en",
        [{"context": "", "question": "Where do fish live?", "choices": ["sea", "sky", "sand", "sun", "wood"], "label": label}
         for label in (0, 4)]),
    "xnli": ([("facebook/xnli/sw/test-00000-of-00001.parquet", NLI, {"premise": "p", "hypothesis": "h", "label": 0})],
             "test", "sw", [pair("p", "h", "entailment")]),
    "pawsx": (
        [("google-research-datasets/paws-x/ko/test-00000-of-00001.parquet",
          {"id": INT, "sentence1": TEXT, "sentence2": TEXT, "label": ClassLabel(names=["0", "1"])},
          {"sentence1": "가", "sentence2": "나", "label": 1}, {"sentence1": "", "sentence2": None, "label": 0})],
        "test", "ko", [pair("가", "나", "1"), pair("", "", "0")]),
    "udpos": (
        [("google/xtreme/udpos.Afrikaans/test-00000-of-00001.parquet", {"tokens": List(TEXT), "pos_tags": HUB_UPOS},
          {"tokens": ["Die", "hond"], "pos_tags": [5, 7]})],
        "test", "af", [{"words": ["Die", "hond"], "tags": ["DET", "NOUN"]}]),
    "panx": (
        [("google/xtreme/PAN-X.jv/test-00000-of-00001.parquet", {"tokens": List(TEXT), "ner_tags": HUB_NER, "langs": List(TEXT)},
          {"tokens": ["Joko", "ing", "Solo"], "ner_tags": [1, 0, 5], "langs": ["jv"] * 3})],
        "test", "jv", [{"words": ["Joko", "ing", "Solo"], "tags": ["B-PER", "O", "B-LOC"]}]),
    "xquad": (
        [("google/xquad/xquad.zh/validation-00000-of-00001.parquet", {n: k for n, k in SQUAD.items() if n != "title"},
          question("x", "丹佛野马队赢了。", ("丹佛野马",), (0,)))],
        "test", "zh", [without_title(question("x", "丹佛野马队赢了。", ("丹佛野马",), (0,)))]),
    "mlqa": (
        [("google/xtreme/MLQA.vi.vi/test-00000-of-00001.parquet", SQUAD, question("m", "Trời xanh.", ("xanh",), (5,)))],
        "test", "vi", [without_title(question("m", "Trời xanh.", ("xanh",), (5,)))]),
    "tydiqa": (
        [("google-research-datasets/tydiqa/secondary_task/validation-00000-of-00001.parquet", SQUAD,
          question("korean-7-1", "하늘은 파랗다.", ("파랗다",), (4,)), question("english-7-1"))],
        "test", "ko", [without_title(question("korean-7-1", "하늘은 파랗다.", ("파랗다",), (4,)))]),
    "bucc": (
        [("mteb/BUCC/de-en/test-00000-of-00001.parquet", {"sentence1": List(TEXT), "sentence2": List(TEXT), "gold": List(List(INT))},
          {"sentence1": ["Ja.", "Und?"], "sentence2": ["Yes."], "gold": [[1, 1]]})],
        "test", "de",
        [{"side": "source", "id": "de-000000001", "text": "Ja.", "matches": ["en-000000001"]},
         {"side": "source", "id": "de-000000002", "text": "Und?", "matches": []},
         {"side": "target", "id": "en-000000001", "text": "Yes.", "matches": ["de-000000001"]}]),
    "tatoeba": (
        [("google/xtreme/tatoeba.cmn/validation-00000-of-00001.parquet",
          {name: TEXT for name in ("source_sentence", "target_sentence", "source_lang", "target_lang")},
          {"source_sentence": "谢谢。\n", "target_sentence": "Thanks.\n", "source_lang": "cache/downloads/0f", "target_lang": "eng"})],
        "test", "zh", [{"source": "谢谢。", "target": "Thanks."}]),
    "siqa": (
        [("allenai/social_i_qa/default/train/0000.parquet", SIQA,
          {"context": "Kim left.", "question": "Why?", "answerA": "bored", "answerB": "ill", "answerC": "late", "label": "3"})],
        "train", "en", [{"context": "Kim left.", "question": "Why?", "choices": ["bored", "ill", "late"], "label": 2}]),
    "squad_sentences": (
        [("rajpurkar/squad/plain_text/train-00000-of-00001.parquet", SQUAD, question("q1", "It rained. We left.", ("We",), (11,)))],
        "train", "en", [{"query": "What is it?", "candidate": "We left.It rained. We left."}]),
    "copa": (
        [("aps/super_glue/copa/train-00000-of-00001.parquet", {**COPA, "label": ClassLabel(names=["choice1", "choice2"])},
          {"premise": "It rained.", "choice1": "Sun.", "choice2": "Clouds.", "question": "cause", "label": 1})],
        "train", "en", [{"context": "It rained.", "question": "What was the cause?", "choices": ["Sun.", "Clouds."], "label": 1}]),
    "xcopa": (
        [("cambridgeltl/xcopa/sw/test-00000-of-00001.parquet", {**COPA, "label": INT, "changed": Value("bool")},
          {"premise": "Mvua.", "choice1": "Jua.", "choice2": "Mawingu.", "question": "effect", "label": 0})],
        "test", "sw", [{"context": "Mvua.", "question": "What was the effect?", "choices": ["Jua.", "Mawingu."], "label": 0}]),
    "lareqa": (
        [("google-research-datasets/lareqa/xquad-r/de.json",
          {"context": "Ja.\nNein.", "sentence_breaks": [[0, 4], [4, 9]], "sentences": ["Ja.\n", "Nein."],
           "qas": [{"id": "q", "question": "Wie?", "answers": [{"text": "Nein", "answer_start": 4}]}]})],
        "test", "de",
        [{"side": "target", "id": "de-0-0", "text": "Ja.Ja.Nein.", "matches": []},
         {"side": "target", "id": "de-0-1", "text": "Nein.Ja.Nein.", "matches": []},
         {"side": "source", "id": "q", "text": "Wie?", "matches": ["de-0-1"]}]),
    "squad_paragraphs": (
        [("rajpurkar/squad/plain_text/train-00000-of-00001.parquet", SQUAD, question())], "train", "en",
        [{"query": "What is it?", "candidate": "The answer is blue."}]),
    "lareqa_paragraphs": (
        [("google-research-datasets/xquad_r/de/validation-00000-of-00001.parquet", {"id": TEXT, "context": TEXT, "question": TEXT},
          {"id": "q", "context": "Ja.", "question": "Was?"}, {"id": "r", "context": "Ja.", "question": "Wie?"})],
        "test", "de",
        [{"side": "target", "id": "de-0", "text": "Ja.", "matches": []},
         {"side": "source", "id": "de-q", "text": "Was?", "matches": ["de-0"]},
         {"side": "source", "id": "de-r", "text": "Wie?", "matches": ["de-0"]}]),
    "wikipedia_mentions": (
        [("izhx/mewsli-x/wikipedia_pairs/train-00000-of-00001.parquet", {"mention": TEXT, "entity": TEXT},
          {"mention": "Rome: In { Rome }.", "entity": "Rome is a city."})],
        "train", "en", [{"query": "Rome: In { Rome }.", "candidate": "Rome is a city."}]),
    "mewsli_x": (
        [("izhx/mewsli-x/wikinews_mentions/de/test-00000-of-00001.parquet", {"mention": TEXT, "entity_id": TEXT},
          {"mention": "Rom: Nach { Rom }.", "entity_id": "Q220"})],
        "test", "de", [{"side": "source", "id": "de-0", "text": "Rom: Nach { Rom }.", "matches": ["Q220"]}]),
    "sib200": (
        [("Davlan/sib200/quy_Latn/test-00000-of-00001.parquet", {"index_id": INT, "category": TEXT, "text": TEXT},
          {"index_id": 7, "category": "science/technology", "text": "Allqu."})],
        "test", "qu", [pair("Allqu.", "", "science/technology")]),
    "belebele": (
        [("facebook/belebele/data/ben_Latn.parquet", BELEBELE,
          {"flores_passage": "Nodi.", "question": "Ki?", **{f"mc_answer{i}": str(i) for i in range(1, 5)}, "correct_answer_num": "4"})],
        "test", "ben_Latn", [{"context": "Nodi.", "question": "Ki?", "choices": ["1", "2", "3", "4"], "label": 3}]),
}  # fmt: skip


def like(name):
    """A task with the same rows under another name: most tasks of a protocol are."""
    task = TASKS[name]
    return next((other for other in WALK if (TASKS[other].sources, TASKS[other].to_example) == (task.sources, task.to_example)), None)


@pytest.mark.parametrize("name", TASKS)
def test_every_task_reads_rows_of_the_hub_as_examples(name, tmp_path):
    if name == "ccg":
        write_text(tmp_path / "LDC2005T13/ccgbank_1_1/data/AUTO/00/wsj_0099.auto", AUTO)
        write_text(tmp_path / "LDC2005T13/sections.json", '{"train": "00"}')
        split, language, wanted = "train", "en", [AUTO_EXAMPLE]
    elif name == "lareqa":
        [(place, paragraph)], split, language, wanted = WALK[name]
        write_text(tmp_path / place, json.dumps({"data": [{"paragraphs": [paragraph]}]}))
    elif not (rows := WALK.get(name) or WALK.get(like(name))):
        assert name not in OWN, "a task of the paper or of a benchmark has rows here"
        pytest.skip(f"{name}: no rows are written down here; an entry in WALK, or tests/test_protocol.py, tries them")
    else:
        files, split, language, wanted = rows
        for place, features, *rows in files:
            write(tmp_path, place, features, *rows)
    examples, provenance = load(name, split, tmp_path, language)
    assert examples == wanted
    task = TASKS[name]
    assert {len(row.get("choices", "1")) for row in examples} == {task.choices}
    served = [source for source in task.sources if source.hub_id == provenance["hub_id"]][0]
    assert provenance["examples"] == len(wanted) == provenance["rows"]
    assert provenance["config"] == served.config_for(language) and provenance["rows_expected"] == served.rows_expected(split, language)
    assert provenance["dropped"] == {}
    assert data_line(provenance).startswith(f"{name} {language} {split}: {len(wanted)} examples from {provenance['hub_id']}")


def test_every_adapter_is_a_task_of_its_own_name():
    """A file that lies here and is not in MODULES is no task of the collection; --task_file takes it."""
    files = {path.stem for path in Path(task_adapters.__file__).parent.glob("*.py") if "\nTASK = Task(" in path.read_text(encoding="utf-8")}
    assert {module.__name__.rpartition(".")[2] for module in MODULES} <= files and len(MODULES) == len({*MODULES})
    assert [*TASKS] == [*(module.TASK.name for module in MODULES), *(task.name for task in nlu.TASKS)]
    assert {*PAPERS_TASKS, *chain(*BENCHMARKS.values())} <= {*WALK, "ccg"}, "rows of these are tried above"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.TASK.name)
def test_every_task_is_well_formed(module):
    task = module.TASK
    assert len(set(task.languages)) == len(task.languages) and len(set(task.labels)) == len(task.labels)
    assert task.licence and any(source.hub_id in module.__doc__ for source in task.sources), "the page says where the data are from"
    if task.phase == "target":
        trained = TASKS[task.train_on] if task.train_on else task
        assert "en" in trained.languages and trained.labels == task.labels and trained.task_type == task.task_type
        assert {"train", "dev"} <= {split for source in trained.sources for split in source.splits}
    assert ({"jiant", "xtreme"} <= set(task.recipes)) == (task.name in XTREME_METRIC)
    for source in task.sources:
        configs = [source.config_for(language) for language in task.languages]
        assert source.keep or len(set(configs)) == len(configs), "two languages read the same rows"


LANGUAGES = {  # XTREME's, protocol.md section 2
    "xnli": "ar bg de el en es fr hi ru sw th tr ur vi zh",
    "pawsx": "de en es fr ja ko zh",
    "udpos": "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th tl tr ur vi yo zh",
    "panx": "ar he vi id jv ms tl eu ml ta te af nl en de el bn hi mr ur fa fr it pt es bg ru ja ka ko th sw yo my zh kk tr et fi hu",
    "xquad": "en es de el ru tr ar vi th zh hi",
    "mlqa": "en es de ar hi vi zh",
    "tydiqa": "en ar bn fi id ko ru sw te",
    "bucc": "de fr ru zh",
    "tatoeba": "ar he vi id jv tl eu ml ta te af nl de el bn hi mr ur fa fr it pt es bg ru ja ka ko th sw zh kk tr et fi hu",
}


def test_languages_and_counts_are_those_of_the_benchmark():
    for name, languages in LANGUAGES.items():
        assert sorted(TASKS[name].languages) == sorted(languages.split()), name
    assert expected(TASKS["tatoeba"], "test") == "31,692"  # protocol.md, section 2
    assert expected(TASKS["tydiqa"], "test") == "5,077"
    assert expected(TASKS["xnli"], "test") == "75,150"
    assert expected(TASKS["anli"], "train") == "1,105,719"


def test_xtreme_recipes_are_those_of_its_scripts():
    settings = {name: TASKS[name].recipes["xtreme"] for name in ("xnli", "pawsx", "udpos", "panx", "xquad", "mlqa", "tydiqa")}
    short = dict(effective_batch_size=32, max_seq_length=128, warmup_steps=0, weight_decay=0, selection="best")
    assert settings["xnli"] == Recipe(learning_rate=3e-5, num_train_epochs=5, eval_steps=100, **short)
    assert settings["pawsx"] == Recipe(learning_rate=2e-5, num_train_epochs=5, eval_steps=200, **short)
    assert settings["udpos"] == Recipe(learning_rate=2e-5, num_train_epochs=10, eval_steps=500, seed=1, **short)
    assert settings["panx"] == Recipe(learning_rate=2e-5, num_train_epochs=10, eval_steps=1000, seed=1, **short)
    long = Recipe(learning_rate=3e-5, num_train_epochs=3, max_seq_length=384, warmup_steps=500, weight_decay=1e-4, selection="last")
    assert settings["xquad"] == settings["mlqa"] == settings["tydiqa"] == long


# ---- known problems of the data, one by one


def test_snli_rows_without_a_gold_label_are_dropped_and_counted(tmp_path):
    for r in ("r1", "r2", "r3"):
        write(tmp_path, f"facebook/anli/plain_text/train_{r}-00000-of-00001.parquet", ANLI, {"premise": r, "hypothesis": "h", "label": 0})
    rows = [{"premise": "s", "hypothesis": "h", "label": label} for label in (-1, 2, -1)]
    write(tmp_path, "stanfordnlp/snli/plain_text/train-00000-of-00001.parquet", NLI, *rows)
    write(tmp_path, "nyu-mll/glue/mnli/train-00000-of-00001.parquet", GLUE_NLI, {"premise": "m", "hypothesis": "h", "label": 1})
    examples, provenance = load("anli", "train", tmp_path)
    assert [example["text_a"] for example in examples] == ["r1", "r2", "r3", "s", "m"]
    assert examples[3]["label"] == "contradiction"
    assert provenance["dropped"] == {"no gold label": 2} and provenance["rows"] == 7 and provenance["rows_expected"] == 1_105_719
    assert [(part["hub_id"], part["rows"]) for part in provenance["parts"]] == [
        ("facebook/anli", 3), ("stanfordnlp/snli", 3), ("nyu-mll/glue", 1)]  # fmt: skip
    assert "2 dropped: no gold label" in data_line(provenance)


def test_anli_is_three_datasets_and_1104934_examples():
    source = TASKS["anli"].sources[0]
    rows = {part.hub_id: part.rows["train"] for part in source.parts("train")}
    assert rows == {"facebook/anli": 162_865, "stanfordnlp/snli": 550_152, "nyu-mll/glue": 392_702}
    assert sum(rows.values()) - 785 == 1_104_934
    assert [part.hub_id for part in source.parts("dev")] == ["facebook/anli"]


def test_a_part_with_its_labels_in_another_order_is_mapped_by_name(tmp_path):
    for r in ("r1", "r2", "r3"):
        write(tmp_path, f"facebook/anli/plain_text/train_{r}-00000-of-00001.parquet", ANLI, {"premise": r, "hypothesis": "h", "label": 0})
    other = {**NLI, "label": ClassLabel(names=["contradiction", "entailment", "neutral"])}
    write(tmp_path, "stanfordnlp/snli/plain_text/train-00000-of-00001.parquet", other, {"premise": "s", "hypothesis": "h", "label": 0})
    write(tmp_path, "nyu-mll/glue/mnli/train-00000-of-00001.parquet", GLUE_NLI, {"premise": "m", "hypothesis": "h", "label": 0})
    examples, _ = load("anli", "train", tmp_path)
    assert [example["label"] for example in examples] == ["entailment"] * 3 + ["contradiction", "entailment"]


def test_hellaswag_labels_are_strings_and_empty_in_the_test_part(tmp_path):
    assert "test" not in TASKS["hellaswag"].sources[0].splits
    write(tmp_path, "Rowan/hellaswag/data/train-00000-of-00001.parquet", HELLASWAG, STORY, {**STORY, "label": ""})
    with pytest.raises(InputError, match=r"row 1: label -1 does not point at one of 4 choices"):
        load("hellaswag", "train", tmp_path)
    with pytest.raises(InputError, match="hellaswag has no 'test' split. It has: train, dev"):
        load("hellaswag", "test", tmp_path)


def test_commonsenseqa_answers_are_letters(tmp_path):
    shuffled = {**RIDDLE, "choices": {"label": ["B", "A"], "text": ["sky", "sea"]}}  # the label is a position here, not in the alphabet
    write(tmp_path, "tau/commonsense_qa/data/train-00000-of-00001.parquet", CSQA, shuffled)
    assert load("commonsenseqa", "train", tmp_path)[0][0]["label"] == 1
    write(tmp_path, "tau/commonsense_qa/data/validation-00000-of-00001.parquet", CSQA, {**RIDDLE, "answerKey": ""})
    with pytest.raises(InputError, match="row 0: label -1"):
        load("commonsenseqa", "dev", tmp_path)


def test_cosmosqa_labels_are_minus_one_in_the_test_part(tmp_path):
    write(tmp_path, "allenai/cosmos_qa/default/train/0000.parquet", COSMOS, {**COSMOS_ROW, "label": -1})
    with pytest.raises(InputError, match="row 0: label -1 does not point at one of 4 choices"):
        load("cosmosqa", "train", tmp_path)


def test_pawsx_comes_from_the_complete_source():
    assert {source.hub_id for source in TASKS["pawsx"].sources} == {"google-research-datasets/paws-x", XTREMES_DOWNLOAD}
    assert TASKS["pawsx"].sources[0].rows_expected("train", "en") == 49_401


def test_tydiqa_trains_on_english_only_by_id_prefix(tmp_path):
    rows = [question(f"{name}-1-1") for name in ("arabic", "english", "finnish", "englishman")]
    write(tmp_path, "google-research-datasets/tydiqa/secondary_task/train-00000-of-00001.parquet", SQUAD, *rows)
    examples, provenance = load("tydiqa", "train", tmp_path)
    assert [example["id"] for example in examples] == ["english-1-1"]
    assert provenance["rows"] == 1 and provenance["rows_expected"] == 3_696 and provenance["dropped"] == {}


def test_examples_are_kept_by_language_and_code(tmp_path, monkeypatch):
    """One table holds all languages. With the same cache key, the second language would get the examples of the first."""
    rows = [question(f"{name}-1-1") for name in ("english", "finnish")]
    write(tmp_path, "google-research-datasets/tydiqa/secondary_task/validation-00000-of-00001.parquet", SQUAD, *rows)
    for language, name in (("en", "english"), ("fi", "finnish")):
        assert [example["id"] for example in load("tydiqa", "test", tmp_path, language)[0]] == [f"{name}-1-1"]
    keys = []
    for code in ("as it is", "as it will be"):
        monkeypatch.setattr("task_adapters.examples.code_of", lambda _, code=code: code)
        keys.append(load_examples(TASKS["tydiqa"], "test", "en", str(tmp_path))[0]._fingerprint)
    assert keys[0] != keys[1], "what older code made of the rows is not found again"


def test_answers_of_stripped_contexts_are_found_again_and_lost_ones_dropped(tmp_path):
    off = question("english-1", "  The sky is blue, blue.".strip(), ("blue",), (13,))  # The start was 13 before two blanks were stripped.
    lost = question("english-2", "The sky is grey.", ("blue",), (11,))
    place = "google-research-datasets/tydiqa/secondary_task/{}-00000-of-00001.parquet"
    write(tmp_path, place.format("train"), SQUAD, off, lost)
    write(tmp_path, place.format("validation"), SQUAD, lost)
    examples, provenance = load("tydiqa", "train", tmp_path)
    assert [example["answers"] for example in examples] == [{"text": ["blue"], "answer_start": [11]}]
    assert provenance["dropped"] == {"answer not found in its context": 1} and provenance["rows"] == 2
    examples, provenance = load("tydiqa", "test", tmp_path)  # Scores compare texts, so the start is not needed.
    assert [example["answers"] for example in examples] == [{"text": ["blue"], "answer_start": [-1]}] and not provenance["dropped"]


@pytest.mark.parametrize(
    ("context", "text", "start", "found"),
    [
        ("ab ab ab", "ab", 3, 3),  # The given start is right.
        ("ab ab ab", "ab", 4, 3),  # The nearest occurrence is before the given start.
        ("ab -- ab", "ab", 5, 6),  # The nearest occurrence is after the given start.
        ("ab", "ab", 99, 0),
        ("ab", "ab", -5, 0),
        ("ab", "c", 0, -1),
        ("กขค กขค", "ขค", 4, 5),
        ("ab", "", 0, -1),
    ],
)
def test_relocated_takes_the_occurrence_nearest_to_the_given_start(context, text, start, found):
    assert relocated(context, {"text": [text], "answer_start": [start]}) == {"text": [text], "answer_start": [found]}


def test_tatoeba_sentences_lose_their_trailing_newline(tmp_path):
    files, split, language, _ = WALK["tatoeba"]
    write(tmp_path, *files[0])
    assert load("tatoeba", split, tmp_path, language)[0] == [{"source": "谢谢。", "target": "Thanks."}]


def test_config_spellings_are_the_hubs():
    config = {name: TASKS[name].sources[0].config_for for name in ("udpos", "tatoeba", "panx", "mlqa", "xquad", "xnli", "tydiqa")}
    assert config["udpos"]("af") == "udpos.Afrikaans" and config["udpos"]("el") == "udpos.Greek"
    assert (config["tatoeba"]("zh"), config["tatoeba"]("fa"), config["tatoeba"]("sw")) == ("tatoeba.cmn", "tatoeba.pes", "tatoeba.swh")
    assert config["panx"]("zh") == "PAN-X.zh" and config["mlqa"]("zh") == "MLQA.zh.zh" and config["xquad"]("zh") == "xquad.zh"
    assert config["tydiqa"]("en") == "secondary_task"


def test_labels_are_mapped_by_name_not_by_number(tmp_path):
    assert TASKS["xnli"].labels == TASKS["mnli"].labels == TASKS["anli"].labels == ("contradiction", "entailment", "neutral")
    assert TASKS["panx"].labels == ("B-LOC", "B-ORG", "B-PER", "I-LOC", "I-ORG", "I-PER", "O")
    renumbered = {**NLI, "label": ClassLabel(names=["neutral", "entailment", "contradiction"])}
    write(tmp_path, "facebook/xnli/de/test-00000-of-00001.parquet", renumbered, {"premise": "p", "hypothesis": "h", "label": 0})
    assert load("xnli", "test", tmp_path, "de")[0][0]["label"] == "neutral"


def test_xnli_trains_on_mnli_not_on_machine_translations():
    assert TASKS["xnli"].train_on == "mnli"  # test_training_data.py tests --train_languages de.


def test_a_second_source_serves_where_the_first_is_gone_and_the_result_says_so(tmp_path):
    write(tmp_path, "Samsoup/cosmos_qa/data/train-00000-of-00001.parquet", COSMOS, COSMOS_ROW)
    _, provenance = load("cosmosqa", "train", tmp_path)
    assert provenance["hub_id"] == "Samsoup/cosmos_qa"
    assert all("allenai/cosmos_qa does not exist" in reason for reason in provenance["passed_over"])
    assert "passed over: " in data_line(provenance)
    with pytest.raises(InputError) as gone:
        load("cosmosqa", "dev", tmp_path)
    assert "allenai/cosmos_qa" in str(gone.value) and "Samsoup/cosmos_qa" in str(gone.value) and "\n" not in str(gone.value)


def test_hellaswag_and_cosmosqa_know_the_converted_copy():
    assert [source.revision for source in TASKS["hellaswag"].sources] == [None, CONVERTED, "refs/pr/7"]
    assert [(source.hub_id, source.revision) for source in TASKS["cosmosqa"].sources] == [
        ("allenai/cosmos_qa", CONVERTED), ("allenai/cosmos_qa", None), ("Samsoup/cosmos_qa", None)]  # fmt: skip


LAYOUTS = ["{config}/{split}-00000-of-00001.parquet", "{config}/{split}/0000.parquet", "data/{split}-00000-of-00001.parquet",
           "{split}-00000-of-00001.parquet"]  # fmt: skip


@pytest.mark.parametrize(("name", "layout"), [
    *(("hellaswag", layout) for layout in LAYOUTS), *(("commonsenseqa", layout) for layout in LAYOUTS),
    *(("squad_v1", layout) for layout in LAYOUTS), *(("squad_v2", layout) for layout in LAYOUTS),
    ("mnli", LAYOUTS[0]), ("mnli", LAYOUTS[1]), ("pawsx", LAYOUTS[0]), ("pawsx", LAYOUTS[1]), ("tydiqa", LAYOUTS[0])])  # fmt: skip
def test_layouts_of_downloaded_datasets_are_found(name, layout, tmp_path):
    source = TASKS[name].sources[0]
    features, row = {
        "hellaswag": (HELLASWAG, STORY),
        "commonsenseqa": (CSQA, RIDDLE),
        "squad_v1": (SQUAD, question()),
        "squad_v2": (SQUAD, question()),
        "mnli": (GLUE_NLI, {"premise": "p", "hypothesis": "h", "label": 0}),
        "pawsx": ({"sentence1": TEXT, "sentence2": TEXT, "label": ClassLabel(names=["0", "1"])}, {"sentence1": "a", "sentence2": "b"}),
        "tydiqa": (SQUAD, question("english-1")),
    }[name]
    write(tmp_path / source.hub_id, layout.format(config=source.config_for("en"), split=source.splits["train"]), features, row)
    assert load(name, "train", tmp_path)[1]["examples"] == 1


@pytest.mark.parametrize(("end", "text"), [
    ("tsv", 'premise\thypothesis\tlabel\na, b\th\tneutral\n'),
    ("csv", 'premise,hypothesis,label\n"a, b",h,neutral\n'),
    ("jsonl", '{"premise": "a, b", "hypothesis": "h", "label": "neutral"}\n'),
    ("json", '[{"premise": "a, b", "hypothesis": "h", "label": "neutral"}]'),
])  # fmt: skip
def test_other_kinds_of_files_are_read_as_what_they_are(end, text, tmp_path):
    write_text(tmp_path / f"facebook/xnli/de/test.{end}", text)
    assert load("xnli", "test", tmp_path, "de")[0] == [pair("a, b", "h", "neutral")]


def test_shards_are_read_in_order_and_other_splits_are_left_alone(tmp_path):
    for shard in (5, 2, 0, 4, 1, 3):
        name = f"nyu-mll/glue/mnli/validation_matched-{shard:05}-of-00006.parquet"
        write(tmp_path, name, GLUE_NLI, {"premise": str(shard), "hypothesis": "h", "label": 0})
    name = "nyu-mll/glue/mnli/validation_matched_extra-00000-of-00001.parquet"
    write(tmp_path, name, GLUE_NLI, {"premise": "x", "hypothesis": "h", "label": 0})
    assert [example["text_a"] for example in load("mnli", "dev", tmp_path)[0]] == ["0", "1", "2", "3", "4", "5"]


def test_the_commit_of_a_downloaded_folder_is_in_the_result(tmp_path):
    files, split, language, _ = WALK["squad_v1"]
    write(tmp_path, *files[0])
    note = ".cache/huggingface/download/plain_text/train-00000-of-00001.parquet.metadata"
    write_text(tmp_path / "rajpurkar/squad" / note, "7b6d24c440a36b6815f21b70d25016731768db1f\nabc\n1.0\n")
    assert load("squad_v1", split, tmp_path)[1]["revision"] == "7b6d24c440a36b6815f21b70d25016731768db1f"


def test_max_samples_takes_the_first_rows_or_draws_them_with_a_seed(tmp_path):
    rows = [{"premise": str(i), "hypothesis": "h", "label": i % 3} for i in range(30)]
    write(tmp_path, "nyu-mll/glue/mnli/train-00000-of-00001.parquet", GLUE_NLI, *rows)
    first = [example["text_a"] for example in load("mnli", "train", tmp_path, max_samples=5)[0]]
    drawn, again, other = (
        [example["text_a"] for example in load("mnli", "train", tmp_path, max_samples=5, seed=seed)[0]] for seed in (1, 1, 2)
    )
    assert first == list("01234") and drawn == again != other and drawn != first
    assert load("mnli", "train", tmp_path, max_samples=99)[1]["examples"] == 30


# ---- CCGbank


def ccgbank(root, sections=range(25), text=AUTO):
    for section in sections:
        write_text(root / f"LDC2005T13/ccgbank_1_1/data/AUTO/{section:02}/wsj_{section:02}01.auto", text)
    return root


def test_ccg_sections_are_jiants_by_default(tmp_path):
    root = ccgbank(tmp_path)
    for split, sections in (("train", 19), ("dev", 3), ("test", 3)):
        examples, provenance = load("ccg", split, root)
        assert examples == [AUTO_EXAMPLE] * sections
        assert provenance["revision"].startswith({"train": "sections 00-18", "dev": "sections 19-21", "test": "sections 22-24"}[split])
    assert TASKS["ccg"].sources[0].rows == {"train": 38_015, "dev": 5_484}


def test_ccg_sections_can_be_those_of_the_literature(tmp_path):
    root = ccgbank(tmp_path)
    write_text(root / "LDC2005T13/sections.json", '{"train": "02-21", "dev": "00", "test": "23"}')
    assert [len(load("ccg", split, root)[0]) for split in ("train", "dev", "test")] == [20, 1, 1]


@pytest.mark.parametrize(("text", "message"), [
    ('{"train": "02-22", "dev": "21"}', "section 21 is in train and in dev"),
    ('{"trian": "02"}', "'trian' is no split. Did you mean 'train'"),
    ('{"dev": "21-19"}', "'21-19' is no range of sections"),
    ('{"dev": "wsj"}', "'wsj' is no range of sections"),
    ("{", "sections.json is not valid JSON"),
    ("[]", "sections.json must look like"),
])  # fmt: skip
def test_wrong_ccg_sections_are_refused_in_one_line(text, message, tmp_path):
    write_text(ccgbank(tmp_path) / "LDC2005T13/sections.json", text)
    with pytest.raises(InputError, match=message):
        load("ccg", "dev", tmp_path)


def test_ccg_tags_are_those_of_training_sorted_and_others_do_not_stop_the_run(tmp_path):
    write_text(tmp_path / "LDC2005T13/ccg.train", "Mira drew\tNP S\\NP\nmaps\tN\n")
    write_text(tmp_path / "LDC2005T13/ccg.dev", "odd\tODD/TAG\n")
    train, _ = load_examples(TASKS["ccg"], "train", "en", str(tmp_path))
    labels = labels_of(TASKS["ccg"], train)
    assert labels == ("N", "NP", "S\\NP")
    assert load("ccg", "dev", tmp_path)[0] == [{"words": ["odd"], "tags": ["ODD/TAG"]}]
    assert replace(TASKS["ccg"], labels=labels).labels == labels
    assert labels_of(TASKS["udpos"], train) == TASKS["udpos"].labels and labels_of(TASKS["squad_v1"], train) == ()


def test_ccg_reads_jiants_files(tmp_path):
    write_text(tmp_path / "LDC2005T13/ccg.train", r"Mira drew maps" + "\t" + r"NP (S[dcl]\NP)/NP NP" + "\n")
    examples, provenance = load("ccg", "train", tmp_path)
    assert examples == [AUTO_EXAMPLE] and provenance["revision"].startswith("ccg.train, sha256 ")


@pytest.mark.parametrize(("text", "message"), [
    (AUTO + "ID=wsj_1 PARSER=GOLD\n", r"wsj_0001.auto:3: the file ends where a derivation should stand"),
    (AUTO + AUTO.split("\n")[1], r"wsj_0001.auto:3: a line ID=... should stand here"),
    (AUTO.split("\n")[0] + "\n" + AUTO, r"wsj_0001.auto:2: a derivation should stand here"),
    (AUTO.replace("(<L NP NNS NNS maps NP>)", "(<L NP NNS maps NP>)"), r"wsj_0001.auto:2: no whole derivation"),
    (AUTO.replace(") )\n", ")\n"), r"wsj_0001.auto:2: no whole derivation"),
    ("ID=wsj_1\n( )\n", r"wsj_0001.auto:2: no whole derivation"),
])  # fmt: skip
def test_broken_ccgbank_lines_are_named_by_file_and_number(text, message, tmp_path):
    ccgbank(tmp_path)
    write_text(tmp_path / "LDC2005T13/ccgbank_1_1/data/AUTO/00/wsj_0001.auto", text)
    with pytest.raises(InputError, match=message):
        load("ccg", "train", tmp_path)


@pytest.mark.parametrize(("line", "message"), [
    ("a b\tX", "ccg.train:2: 2 words and 1 tags"), ("a b X Y", "ccg.train:2: 0 TABs"), ("a\tX\tY", "ccg.train:2: 2 TABs")])  # fmt: skip
def test_broken_lines_of_jiants_files_are_named_by_file_and_number(line, message, tmp_path):
    write_text(tmp_path / "LDC2005T13/ccg.train", f"a\tX\n{line}\n")
    with pytest.raises(InputError, match=message):
        load("ccg", "train", tmp_path)


def test_words_with_brackets_are_read_from_auto_files(tmp_path):
    line = "ID=x\n(<T NP 0 2> (<L NP[nb]/N DT DT :) NP[nb]_1/N_1>) (<L N NN NN -LRB- N>) )\n"
    assert read_auto(tmp_path / "x.auto", line.encode()) == [([":)", "-LRB-"], ["NP[nb]/N", "N"])]


def test_without_ccgbank_one_line_says_what_to_bring(tmp_path):
    for data_dir in (None, str(tmp_path)):
        with pytest.raises(
            InputError, match=r"CCGbank \(LDC2005T13\) is licensed and not on the hub: put its data folder.*--data_dir"
        ) as e:
            load_examples(TASKS["ccg"], "train", "en", data_dir)
        assert "\n" not in str(e.value)
    (tmp_path / "LDC2005T13").mkdir()
    with pytest.raises(InputError, match="holds neither AUTO/<section>/.*nor ccg.train"):
        load("ccg", "train", tmp_path)
    ccgbank(tmp_path, range(3))
    with pytest.raises(InputError, match="no .auto files of section 03, 04, .*, which train needs"):
        load("ccg", "train", tmp_path)


def test_two_copies_of_ccgbank_are_refused(tmp_path):
    ccgbank(tmp_path)
    write_text(tmp_path / "LDC2005T13/copy/AUTO/00/wsj_0001.auto", AUTO)
    with pytest.raises(InputError, match="wsj_0001.auto is also at"):
        load("ccg", "train", tmp_path)


# ---- bad input


@pytest.mark.parametrize("name, written, code", [
    ("xnli", "DE", "de"), ("xnli", "German", "de"), ("xnli", "deu", "de"), ("xnli", "deu_Latn", "de"), ("xnli", "swa", "sw"),
    ("sib200", "ig", "ibo_Latn"), ("sib200", "ibo", "ibo_Latn"), ("tatoeba", "zho", "zh"), ("udpos", "chinese", "zh"),
])  # fmt: skip
def test_a_language_that_is_spelled_otherwise_has_its_code_in_the_answer(name, written, code):
    assert no_language(TASKS[name], written).startswith(f"{name} has no {written!r} data. Did you mean {code!r}? It covers: ")


@pytest.mark.parametrize("name, written", [("tatoeba", "en"), ("xnli", "ig"), ("xnli", "se"), ("xnli", "yo"), ("xnli", "yoruba")])
def test_no_other_language_is_offered_in_place_of_one(name, written):
    """A code of two letters is always near to another one."""
    assert no_language(TASKS[name], written).startswith(f"{name} has no {written!r} data. It covers: ")


def test_an_unknown_language_without_a_near_one_has_the_list_once(tmp_path):
    with pytest.raises(InputError) as error:
        load("xnli", "test", tmp_path, "xx")
    assert str(error.value) == "xnli has no 'xx' data. It covers: ar, bg, de, el, en, es, fr, hi, ru, sw, th, tr, ur, vi, zh."


def test_an_unknown_task_offers_the_nearest():
    with pytest.raises(InputError, match="Unknown task 'pawx'. Did you mean 'pawsx'"):
        get_task("pawx", "target")
    with pytest.raises(InputError, match="Unknown task 'XNLI'. Did you mean 'xnli'"):
        get_task("XNLI", "target")
    with pytest.raises(InputError, match="Unknown task 'squad'. Did you mean 'squad_v1'"):  # the first of two that are equally near
        get_task("squad", "intermediate")
    with pytest.raises(InputError, match="anli is an intermediate task: use run_intermediate.py. Tasks of run_target.py: xnli"):
        get_task("anli", "target")


def test_a_missing_folder_or_split_is_named(tmp_path):
    with pytest.raises(InputError, match=r"squad does not exist: --data_dir must hold a folder named by hub id"):
        load("squad_v1", "train", tmp_path)
    with pytest.raises(InputError, match=f"^--data_dir {tmp_path}/typo: no such folder. It must be one laid out by hub id"):
        load("squad_v1", "train", tmp_path / "typo")
    files, *_ = WALK["squad_v1"]
    write(tmp_path, *files[0])
    with pytest.raises(InputError, match="holds no split 'validation' of configuration 'plain_text'"):
        load("squad_v1", "dev", tmp_path)


def test_a_broken_first_source_is_not_passed_over_for_the_second(tmp_path):
    write_text(tmp_path / "google/xquad/xquad.de/validation-00000-of-00001.parquet", "no parquet")
    write(tmp_path, "google/xtreme/XQuAD.de/validation-00000-of-00001.parquet", SQUAD, question())
    with pytest.raises(InputError, match="Cannot read .*google/xquad/xquad.de/validation-00000-of-00001.parquet"):
        load_examples(TASKS["xquad"], "test", "de", str(tmp_path))


def test_an_empty_file_is_named(tmp_path):
    write_text(tmp_path / "rajpurkar/squad/plain_text/train-00000-of-00001.parquet", "")
    with pytest.raises(InputError, match="train-00000-of-00001.parquet is empty"):
        load("squad_v1", "train", tmp_path)
    write(tmp_path, "nyu-mll/glue/mnli/train-00000-of-00001.parquet", GLUE_NLI)
    with pytest.raises(InputError, match="mnli/train-00000-of-00001.parquet holds no rows"):
        load("mnli", "train", tmp_path)


def test_a_broken_file_is_named(tmp_path):
    write_text(tmp_path / "rajpurkar/squad/plain_text/train-00000-of-00001.parquet", "not parquet at all")
    with pytest.raises(InputError, match="Cannot read .*train-00000-of-00001.parquet") as error:
        load("squad_v1", "train", tmp_path)
    assert "\n" not in str(error.value)


def test_a_missing_column_is_named_beside_those_that_are_there(tmp_path):
    features = {"premise": TEXT, "label": HUB_NLI}
    write(tmp_path, "facebook/xnli/sw/test-00000-of-00001.parquet", features, {"premise": "p", "label": 0})
    with pytest.raises(InputError, match=r"facebook/xnli \(sw, test\) has no column 'hypothesis'. It has: premise, label"):
        load("xnli", "test", tmp_path, "sw")


ASKED = {"id": "1", "context": "c", "question": "q", "answers": {"text": ["c"], "answer_start": [0]}}
TAGGED = {"tokens": List(TEXT), "pos_tags": HUB_UPOS}


@pytest.mark.parametrize(("name", "place", "features", "good", "column", "null"), [
    ("mnli", "nyu-mll/glue/mnli", GLUE_NLI, {"premise": "p", "hypothesis": "h"}, "premise", None),
    ("squad_v1", "rajpurkar/squad/plain_text", SQUAD, ASKED, "question", None),
    ("squad_v1", "rajpurkar/squad/plain_text", SQUAD, ASKED, "answers", None),
    ("squad_v1", "rajpurkar/squad/plain_text", SQUAD, ASKED, "answers", {"text": [None], "answer_start": [0]}),
    ("hellaswag", "Rowan/hellaswag/data", HELLASWAG, {"ctx_b": "b", "endings": ["a", "b", "c", "d"], "label": "0"}, "ctx_b", None),
    ("udpos", "google/xtreme/udpos.English", TAGGED, {"tokens": ["a", "b"], "pos_tags": [0, 0]}, "tokens", ["a", None]),
    ("udpos", "google/xtreme/udpos.English", TAGGED, {"tokens": ["a", "b"], "pos_tags": [0, 0]}, "pos_tags", [0, None]),
    ("udpos", "google/xtreme/udpos.English", TAGGED, {"tokens": ["a", "b"], "pos_tags": [0, 0]}, "pos_tags", None),
])  # fmt: skip
def test_a_null_is_named_by_row_and_column(tmp_path, name, place, features, good, column, null):
    write(tmp_path, f"{place}/train-00000-of-00001.parquet", features, good, good, {**good, column: null})
    source = TASKS[name].sources[0]
    where = f"{source.hub_id} ({source.config_for('en')}, train), row 2: column {column!r} is or holds null"
    with pytest.raises(InputError, match=re.escape(where)):
        load(name, "train", tmp_path)


def test_a_null_that_nothing_reads_or_whose_meaning_the_task_knows_is_no_mistake(tmp_path):
    row = {"premise": "p", "hypothesis": "h", "label": None, "reason": None}
    for part, label in (("r1", 0), ("r2", None), ("r3", None)):
        write(tmp_path, f"facebook/anli/plain_text/dev_{part}-00000-of-00001.parquet", ANLI, {**row, "label": label})
    examples, provenance = load("anli", "dev", tmp_path)
    assert len(examples) == 1 and provenance["dropped"] == {"no gold label": 2}
    features = {"question1": TEXT, "question2": TEXT, "label": ClassLabel(names=["not_duplicate", "duplicate"])}
    write(tmp_path, "nyu-mll/glue/qqp/train-00000-of-00001.parquet", features, {"question1": None, "question2": "q"})
    assert load("qqp", "train", tmp_path)[0] == [pair("", "q", "not_duplicate")]
    write(tmp_path, "google-research-datasets/tydiqa/secondary_task/train-00000-of-00001.parquet", SQUAD, {**ASKED, "id": None})
    with pytest.raises(InputError, match="row 0: column 'id' is or holds null"):  # `keep` uses this column.
        load("tydiqa", "train", tmp_path)


def test_a_label_outside_the_set_is_refused_with_its_row(tmp_path):
    features = {"premise": TEXT, "hypothesis": TEXT, "label": TEXT}
    rows = [{"premise": "p", "hypothesis": "h", "label": label} for label in ("neutral", "contradictory")]
    write(tmp_path, "facebook/xnli/sw/test-00000-of-00001.parquet", features, *rows)
    with pytest.raises(InputError, match="row 1: label 'contradictory' is not one of contradiction, entailment, neutral"):
        load("xnli", "test", tmp_path, "sw")


def test_hidden_test_labels_are_refused(tmp_path):
    write(tmp_path, "facebook/xnli/sw/test-00000-of-00001.parquet", NLI, {"premise": "p", "hypothesis": "h", "label": -1})
    with pytest.raises(InputError, match="row 0: label None is not one of"):
        load("xnli", "test", tmp_path, "sw")


def test_constant_placeholder_labels_are_refused_in_test_data_only(tmp_path):
    def rows(n, label=0):
        return [{"premise": str(i), "hypothesis": "h", "label": label} for i in range(n)]

    place = "facebook/xnli/{}/test-00000-of-00001.parquet"
    write(tmp_path, place.format("sw"), NLI, *rows(21))
    write(tmp_path, place.format("de"), NLI, *rows(20))
    write(tmp_path, place.format("fr"), NLI, *rows(20), *rows(1, 2))
    with pytest.raises(InputError, match="every label is 'entailment', a placeholder"):
        load("xnli", "test", tmp_path, "sw")
    assert [load("xnli", "test", tmp_path, language)[1]["examples"] for language in ("de", "fr")] == [20, 21]
    tags = {"tokens": List(TEXT), "pos_tags": HUB_UPOS}
    write(tmp_path, "google/xtreme/udpos.Thai/test-00000-of-00001.parquet", tags, *[{"tokens": ["a", "b"], "pos_tags": [16, 16]}] * 30)
    with pytest.raises(InputError, match="every label is 'X', a placeholder"):
        load("udpos", "test", tmp_path, "th")
    answers = [question(str(i), "a b c", ("a",), (0,)) for i in range(30)]
    write(tmp_path, "google/xtreme/MLQA.vi.vi/test-00000-of-00001.parquet", SQUAD, *answers)
    with pytest.raises(InputError, match="every label is 'a', a placeholder"):
        load("mlqa", "test", tmp_path, "vi")


def test_duplicated_question_ids_are_refused_where_they_are_scored(tmp_path):
    for split in ("train", "validation"):
        write(tmp_path, f"rajpurkar/squad/plain_text/{split}-00000-of-00001.parquet", SQUAD, question("q"), question("q"), question("r"))
    with pytest.raises(InputError, match="1 ids occur more than once, 'q' first"):
        load("squad_v1", "dev", tmp_path)
    assert load("squad_v1", "train", tmp_path)[1]["examples"] == 3


def test_empty_contexts_and_missing_answers_are_refused(tmp_path):
    place = "rajpurkar/squad/plain_text/train-00000-of-00001.parquet"
    write(tmp_path, place, SQUAD, question(), question("q2", " \n", ("x",), (0,)))
    with pytest.raises(InputError, match="row 1: question 'q2' has an empty context"):
        load("squad_v1", "train", tmp_path)
    write(tmp_path, place, SQUAD, question("q3", text=(), start=()))
    with pytest.raises(InputError, match="row 0: question 'q3' has no answer"):
        load("squad_v1", "train", tmp_path)


def test_answers_without_text_are_not_scored_against(tmp_path):
    for name, place, split in (("xquad", "google/xquad/xquad.de", "validation"), ("squad_v2", "rajpurkar/squad_v2/squad_v2", "validation")):
        write(tmp_path, f"{place}/{split}-00000-of-00001.parquet", SQUAD, question(), question("q2", text=("",), start=(-1,)))
        with pytest.raises(InputError, match="row 1: question 'q2' has an answer without text, a placeholder"):
            load(name, "test" if name == "xquad" else "dev", tmp_path, "de" if name == "xquad" else "en")


def test_tags_that_do_not_line_up_and_sentences_without_words(tmp_path):
    tags, place = {"tokens": List(TEXT), "pos_tags": HUB_UPOS}, "google/xtreme/udpos.Afrikaans/test-00000-of-00001.parquet"
    write(tmp_path, place, tags, {"tokens": [], "pos_tags": []}, {"tokens": ["a"], "pos_tags": [0]})
    assert load("udpos", "test", tmp_path, "af")[1]["dropped"] == {"no words": 1}
    write(tmp_path, place, tags, {"tokens": ["a", "b"], "pos_tags": [0]})
    with pytest.raises(InputError, match="row 0: 2 words but 1 tags"):
        load("udpos", "test", tmp_path, "af")
    with pytest.raises(InputError, match="tag 'B-MISC' is not one of B-LOC, B-ORG"):
        check_example({"words": ["a"], "tags": ["B-MISC"]}, TASKS["panx"], "test")


def test_a_language_without_a_row_is_refused(tmp_path):
    write(tmp_path, "google-research-datasets/tydiqa/secondary_task/validation-00000-of-00001.parquet", SQUAD, question("arabic-1"))
    with pytest.raises(InputError, match="no usable row for 'ko': all are of other languages"):
        load("tydiqa", "test", tmp_path, "ko")


def test_a_task_that_contradicts_itself_is_refused_when_it_is_made():
    task = TASKS["xnli"]
    for change, message in (
        ({"task_type": "clasification"}, "'clasification' is unknown. Did you mean 'classification'"),
        ({"languages": ("en", "en")}, "repeats one of its languages"),
        ({"labels": ()}, "has no labels"),
        ({"choices": 4}, "is classification with 4 choices"),
        ({"sources": ()}, "needs a source"),
        ({"recipes": {}}, "needs a source and a recipe"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(task, **change)
    assert isinstance(task, Task) and isinstance(task.sources[0], Source)


# ---- published scores


def test_reference_scores_cover_the_languages_of_their_tasks():
    for reference in REFERENCES:
        assert set(reference.scores) == set(TASKS[reference.task].languages)
        assert all(1 < value < 100 for value in reference.scores.values()) and reference.source.startswith("jiant authors, https://")
    assert references_for("bucc")[0].scores == {"de": 77.7, "fr": 62.7, "ru": 79.2, "zh": 66.5}
    assert len(references_for("tatoeba")[0].scores) == 36 and references_for("xnli") == []
    assert references_for("tatoeba")[0].scores["sw"] == 7.9 and references_for("tatoeba")[0].scores["de"] == 63.9


def scored_run(**changes):
    """results.json of a run that stands beside the published Tatoeba scores, changed."""
    return {
        "task": "tatoeba", "model": {"name_or_path": "FacebookAI/xlm-roberta-large", "layers": 24, "hidden_size": 1024}, "lineage": [],
        "layer": 14, "max_seq_length": 256, "pooling": "mean", "max_predict_samples": None,
        "scores": {"de": {"accuracy": 60.0, "examples": 1000}, "sw": {"accuracy": 8.0, "examples": 390}}, **changes,
    }  # fmt: skip


def test_reference_lines_put_ours_beside_the_published():
    lines = reference_lines(scored_run())
    assert [line.split() for line in lines[1:]] == [
        ["ours", "published", "difference"], ["de", "60.00", "63.90", "-3.90"], ["sw", "8.00", "7.90", "+0.10"],
    ]  # fmt: skip
    copy = {"name_or_path": "models/xlm-roberta-large", "layers": 24, "hidden_size": 1024}
    assert reference_lines(scored_run(model=copy)) == lines, "a copy of the hub's model"


@pytest.mark.parametrize("changes", [
    {"own_data": {"de": "key", "sw": "key"}},
    {"task": "xnli"}, {"lineage": [{"task": "mnli"}]}, {"scores": {"de": {"f1": 1.0}}}, {"scores": {"az": {"accuracy": 1.0}}},
    {"model": {"name_or_path": "microsoft/infoxlm-large", "layers": 24, "hidden_size": 1024}},
    {"model": {"name_or_path": "x/xlm-roberta-large", "layers": 12, "hidden_size": 1024}},
    {"model": {"name_or_path": "x/xlm-roberta-large", "layers": 24, "hidden_size": 768}},
])  # fmt: skip
def test_another_models_figures_are_not_put_beside(changes):
    assert reference_lines(scored_run(**changes)) == []


def test_mined_pairs_stand_beside_the_published_only_if_both_thresholds_saw_the_gold():
    mined = {"task": "bucc", "scores": {"de": {"f1": 70.0}}}
    lines = reference_lines(scored_run(**mined, mining={"de": {"threshold_from": "test"}}))
    assert lines[-1].split() == ["de", "70.00", "77.70", "-7.70"]
    assert reference_lines(scored_run(**mined, mining={"de": {"threshold_from": "dev"}})) == []


@pytest.mark.parametrize("changes", [
    {"layer": 16}, {"max_seq_length": 512}, {"pooling": "cls"}, {"max_predict_samples": 5}, {"lower_case": True},
])  # fmt: skip
def test_of_another_layer_or_length_one_line_says_which_would_compare(changes):
    (line,) = reference_lines(scored_run(**changes))
    assert line.startswith("published: tatoeba accuracy of FacebookAI/xlm-roberta-large (no intermediate task")
    assert line.endswith("A run with --layer 14 --max_seq_length 256 --pooling mean stands beside it.")


# ---- the command


def test_the_table_shows_every_task_in_columns():
    lines = table(TASKS.values())
    assert [line.split()[0] for line in lines] == ["task", *TASKS]
    starts = lines[0].index("licence")
    assert all(line[starts - 2 : starts] == "  " and line[starts] != " " for line in lines)
    row = next(line for line in lines if line.startswith("xquad"))
    assert "google/xquad, else google/xtreme" in row and row.split()[-5:-3] == ["squad_v1", "13,090"]


def test_the_page_of_tasks_shows_the_table_and_an_adapter_as_they_are():
    page = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
    assert "\n".join(table(TASKS.values())) in page
    assert (ROOT / "task_adapters" / "xquad.py").read_text(encoding="utf-8") in page


def test_check_lists_what_is_missing_or_differs_and_why(tmp_path, capsys):
    files, *_ = WALK["commonsenseqa"]
    write(tmp_path, *files[0])
    assert main(["--check", "commonsenseqa", "--data_dir", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "DIFFERS  commonsenseqa en train: 2 examples from tau/commonsense_qa (default); it holds 2 rows, not the published 9,741" in out
    assert "choices: sea | sky | sand | sun | wood" in out
    assert "MISSING  commonsenseqa en dev" in out
    listed = out.split("Missing or different:\n")[1].splitlines()
    assert listed[0] == "  commonsenseqa en train: 2 rows of 9,741, from tau/commonsense_qa"
    assert listed[1].startswith("  commonsenseqa en dev: ") and "holds no split 'validation'" in listed[1] and len(listed) == 2


def test_check_succeeds_where_nothing_is_missing(tmp_path, capsys, monkeypatch):
    files, *_ = WALK["commonsenseqa"]
    for split in ("train", "validation"):
        write(tmp_path, files[0][0].replace("train", split), *files[0][1:])
    source = replace(TASKS["commonsenseqa"].sources[0], rows={"train": 2, "dev": 2})
    monkeypatch.setitem(TASKS, "commonsenseqa", replace(TASKS["commonsenseqa"], sources=(source,)))
    assert main(["--check", "commonsenseqa", "--data_dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out.rstrip().endswith("Nothing is missing.")


def test_check_of_a_target_includes_the_task_that_trains_it(tmp_path, capsys):
    assert main(["--check", "xnli", "--languages", "sw", "--data_dir", str(tmp_path)]) == 1
    missing = [line.split()[1:] for line in capsys.readouterr().out.splitlines() if line.startswith("MISSING")]
    assert missing == [["xnli", "sw", "test"], ["mnli", "en", "train"], ["mnli", "en", "dev"]]


def test_check_asks_for_every_language_once():
    asked = Counter(parts_of(TASKS["udpos"], None))
    assert asked == Counter([("train", "en"), ("dev", "en"), *(("test", language) for language in TASKS["udpos"].languages)])
    assert list(parts_of(TASKS["udpos"], ["af"])) == [("train", "en"), ("dev", "en"), ("test", "af")]


def test_the_summary_names_each_split_once():
    assert summary({("xnli", "test"): {"ar": "gone", "bg": "gone too"}}) == ["  xnli ar test (so or alike: bg): gone"]


def test_long_texts_are_cut_in_the_shown_example():
    assert as_text({"words": ["a", "b"], "context": "x\ny" + "z" * 500, "label": 1}) == [
        "words: a | b", ("context: x y" + "z" * 500)[:160] + "...", "label: 1"]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), [
    (["--check", "xnlo"], "Unknown task 'xnlo'. Did you mean 'xnli'"),
    (["--check", "xnli", "--languages", "xx"], "None of these tasks has 'xx' data"),
    (["--check", "xnli", "--languages", "German"], "None of these tasks has 'German' data. Did you mean 'de'?"),
    (["--chekc"], "unrecognized arguments: --chekc"),
])  # fmt: skip
def test_wrong_flags_of_the_command_end_in_one_line(arguments, message):
    run = subprocess.run([sys.executable, "-m", "task_adapters", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 2 and message in run.stderr and len(run.stderr.splitlines()) == 1, run.stderr


def hub_with_a_converted_copy(root):
    """HellaSwag as a script on main and as a converted branch. The fake hub serves a commit from the folder with its name."""
    import hashlib

    write_text(root / "datasets/Rowan/hellaswag/hellaswag.py", "import datasets\n")
    base = root / "datasets/Rowan/hellaswag@refs_convert_parquet"
    for split in ("train", "validation"):
        write(base, f"default/{split}/0000.parquet", HELLASWAG, STORY)
    listing = [(str(p.relative_to(base)), hashlib.sha1(p.read_bytes()).hexdigest()) for p in sorted(base.rglob("*")) if p.is_file()]
    commit = hashlib.sha1(str(listing).encode()).hexdigest()
    base.with_name(f"hellaswag@{commit}").symlink_to(base)
    return commit


def test_what_prefetch_loads_from_the_converted_copy_is_there_without_a_network(tmp_path):
    if not (SHARED / "tools/local_hub.py").is_file():
        pytest.skip("needs ../shared/tools/local_hub.py, which is not here")
    sys.path.insert(0, str(SHARED / "tools"))
    from local_hub import LocalHub

    commit = hub_with_a_converted_copy(tmp_path / "hub")
    with LocalHub(tmp_path / "hub") as hub:
        environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
        environment.pop("HF_DATASETS_CACHE", None)
        command = [sys.executable, "-m", "task_adapters", "--prefetch", "hellaswag"]
        online = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert online.returncode == 1 and "1 examples from Rowan/hellaswag (default); it holds 1 rows" in online.stdout, online.stderr
    assert "Dataset scripts are no longer supported" in online.stdout and "context:" not in online.stdout
    offline = {**environment, "HF_HUB_OFFLINE": "1"}
    code = "import json; from task_adapters import *; print(json.dumps(load_examples(TASKS['hellaswag'], 'dev')[1]))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=offline, capture_output=True, text=True)
    provenance = json.loads(run.stdout.splitlines()[-1])
    assert provenance["examples"] == 1 and provenance["revision"] == commit


def test_examples_have_the_columns_of_their_type():
    assert set(EXAMPLE_COLUMNS["multiple_choice"]) == {"context", "question", "choices", "label"}
