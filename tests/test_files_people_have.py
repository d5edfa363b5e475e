"""Files as people have them: XTREME's own download folder, CoNLL-U, CoNLL-2003, WikiAnn, MultiNLI's and XNLI's own files.

What XTREME's code reads is written down here a second time, as plain as it is there (utils_preprocess.py, third_party/processors and
third_party/utils_tag.py of https://github.com/google-research/xtreme), and compared with what the adapters read.
"""

import csv
import json

import pytest

from task_adapters import TASKS, InputError, find_train_files, load_examples, load_training_data
from task_adapters.mlqa import asked_in


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8", newline="")
    return path


def read(name, split, language, folder):
    return load_examples(TASKS[name], split, language, str(folder))


def refusal(name, split, language, folder, task=None):
    with pytest.raises(InputError) as caught:
        load_examples(task or TASKS[name], split, language, str(folder))
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- XTREME's download: written as its script writes, read as its code reads

PAIRS = [('He said "yes".', "Yes, he did", "entailment"), ("plain", '"quoted"', "neutral"), (" inner  blanks\u2028 ", "ü", "contradiction"),
         ('"', "a", "neutral")]  # fmt: skip


def write_pairs(path, rows, with_labels=True):
    """XTREME's xnli_preprocess and pawsx_preprocess: csv.writer with tabs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        csv.writer(file, delimiter="\t").writerows([row if with_labels else row[:2] for row in rows])


def pairs_as_xtreme_reads_them(path):
    """DataProcessor._read_tsv of transformers 2 and XnliProcessor.get_examples."""
    with path.open(encoding="utf-8-sig") as file:
        lines = list(csv.reader(file, delimiter="\t", quotechar=None))
    return [{"text_a": line[0], "text_b": line[1], "label": line[2].strip()} for line in lines]


def test_xnli_of_xtremes_download_is_read_as_its_code_reads_it(tmp_path):
    for name, rows in (("train-en", PAIRS), ("dev-en", PAIRS[::-1]), ("dev-sw", PAIRS[:2])):
        write_pairs(tmp_path / f"xnli/{name}.tsv", rows)
    write_pairs(tmp_path / "xnli/test-sw.tsv", PAIRS, with_labels=False)
    for task, split, language in (("mnli", "train", "en"), ("mnli", "dev", "en"), ("xnli", "dev", "sw")):
        examples, provenance = read(task, split, language, tmp_path)
        assert examples.to_list() == pairs_as_xtreme_reads_them(tmp_path / f"xnli/{split}-{language}.tsv")
        assert (provenance["hub_id"], provenance["config"]) == ("XTREME's download", f"xnli/{language}")
        assert "passed_over" not in provenance and provenance["revision"].startswith("sha256 ")
    assert read("mnli", "train", "en", tmp_path)[0][0]["text_a"] == '"He said ""yes""."', "its writer doubles quotation marks"
    message = refusal("xnli", "test", "sw", tmp_path)
    assert message == (
        f"{tmp_path}/xnli/test-sw.tsv has no labels: XTREME's script has removed those of its test sets. Labelled ones: hf download"
        f' --repo-type dataset facebook/xnli --include "sw/*" --local-dir {tmp_path}/facebook/xnli'
    )
    assert "dev-de.tsv does not exist" in refusal("xnli", "dev", "de", tmp_path)


def test_pawsx_of_xtremes_download(tmp_path):
    rows = [('a "b" c', "d", "1"), ("", "e", "0")]
    write_pairs(tmp_path / "pawsx/train-en.tsv", rows)
    write_pairs(tmp_path / "pawsx/dev-de.tsv", rows)
    write_pairs(tmp_path / "pawsx/test-de.tsv", rows, with_labels=False)
    for split, language in (("train", "en"), ("dev", "de")):
        examples, _ = read("pawsx", split, language, tmp_path)
        assert examples.to_list() == pairs_as_xtreme_reads_them(tmp_path / f"pawsx/{split}-{language}.tsv")
    assert "pawsx/test-de.tsv has no labels" in refusal("pawsx", "test", "de", tmp_path)


WIKIANN = "en:Berlin\tB-LOC\nen:is\tO\n\nen:a:b\tO\nen:two\u00a0words\tB-ORG\nen:\tO\nen:: \tO\n\n\n"


def write_panx(path, text, is_test=False):
    """XTREME's panx_preprocess."""
    lines = text.splitlines(keepends=True)
    lines = lines[:-1] if lines[-1].strip() == "" else lines
    written = ""
    for line in lines:
        items = line.strip().split("\t")
        if len(items) == 2:
            place = items[0].find(":")
            if place != -1:
                token = items[0][place + 1 :].strip()
                written += f"{token}\n" if is_test else f"{token}\t{items[1].strip()}\n"
        else:
            written += "\n"
    return put(path, written)


def tags_as_xtreme_reads_them(path, without):
    """panx_tokenize_preprocess or udpos_tokenize_preprocess without the cuts by length, then read_examples_from_file."""
    sentences, words, tags = [], [], []
    for line in [*path.read_text(encoding="utf-8").split("\n"), ""]:
        items = line.strip().split()
        if items:
            words.append(items[0])
            tags.append(items[1] if len(items) == 2 else without)
        elif words:
            sentences.append({"words": words, "tags": tags})
            words, tags = [], []
    return sentences


def test_panx_of_xtremes_download(tmp_path):
    path = write_panx(tmp_path / "panx/train-en.tsv", WIKIANN)
    examples, _ = read("panx", "train", "en", tmp_path)
    assert examples.to_list() == tags_as_xtreme_reads_them(path, "O") == [
        {"words": ["Berlin", "is"], "tags": ["B-LOC", "O"]},
        {"words": ["a:b", "two", "O", ":"], "tags": ["O", "O", "O", "O"]},  # golden: the blank within a word costs its tag
    ]  # fmt: skip
    write_panx(tmp_path / "panx/test-de.tsv", WIKIANN, is_test=True)
    assert '--include "PAN-X.de/*" --local-dir' in refusal("panx", "test", "de", tmp_path)


def test_udpos_of_xtremes_download(tmp_path):
    path = put(tmp_path / "udpos/train-en.tsv", "The\tDET\ndog\tNOUN\n\n\nimmer noch\tADV\nRun\tVERB\n")
    examples, _ = read("udpos", "train", "en", tmp_path)
    assert examples.to_list() == tags_as_xtreme_reads_them(path, "X")
    assert examples[1] == {"words": ["immer", "Run"], "tags": ["X", "VERB"]}
    put(tmp_path / "udpos/test-de.tsv", "Der\nHund\n\nja\n")
    assert '--include "udpos.German/*" --local-dir' in refusal("udpos", "test", "de", tmp_path)


def squad(*questions, context="Rome is old."):
    return {"version": "1.1", "data": [{"title": "t", "paragraphs": [{"context": context, "qas": list(questions)}]}]}


def question(name, text="Rome", start=0):
    return {"id": name, "question": "What? ", "answers": [{"text": text, "answer_start": start}]}


def test_questions_of_xtremes_download(tmp_path):
    wanted = {"id": "1", "context": "Rome is old.", "question": "What?", "answers": {"text": ["Rome"], "answer_start": [0]}}
    put(tmp_path / "squad/train-v1.1.json", squad(question("1")))
    put(tmp_path / "squad/dev-v1.1.json", squad(question("2"), question("3")))
    put(tmp_path / "tydiqa/tydiqa-goldp-v1.1-train/tydiqa.goldp.sw.train.json", squad(question("1"), question("1", "is", 5)))
    put(tmp_path / "mlqa/MLQA_V1/dev/dev-context-de-question-de.json", squad(question("1")))
    assert read("squad_v1", "train", "en", tmp_path)[0].to_list() == [wanted] and len(read("squad_v1", "dev", "en", tmp_path)[0]) == 2
    assert read("mlqa", "dev", "de", tmp_path)[0].to_list() == [wanted]
    assert [row["answers"]["text"] for row in read("tydiqa", "train", "sw", tmp_path)[0]] == [["Rome"], ["is"]], "ids lost their language"
    emptied = squad(question("1", "", 0))
    put(tmp_path / "xquad/xquad.de.json", emptied)
    put(tmp_path / "mlqa/MLQA_V1/test/test-context-de-question-de.json", emptied)
    put(tmp_path / "tydiqa/tydiqa-goldp-v1.1-dev/tydiqa.goldp.sw.dev.json", emptied)
    for task, place in (("xquad", "xquad.de"), ("mlqa", "MLQA.de.de"), ("tydiqa", "secondary_task")):
        message = refusal(task, "test", "sw" if task == "tydiqa" else "de", tmp_path)
        assert "has no labels: XTREME's script has removed" in message and f'--include "{place}/*"' in message
    assert "does not exist" in refusal("mlqa", "test", "de", tmp_path, asked_in(TASKS["mlqa"], "en")), "questions in another language"


def test_answers_that_were_not_removed_are_read(tmp_path):
    put(tmp_path / "xquad/xquad.de.json", squad(question("1")))  # a clone of XQuAD's own repository in the same place
    assert read("xquad", "test", "de", tmp_path)[0]["answers"][0]["text"] == ["Rome"]


def test_tatoeba_of_xtremes_download_is_refused(tmp_path):
    put(tmp_path / "tatoeba/de-en.de", "Hund\nApfel\n")
    put(tmp_path / "tatoeba/de-en.en", "apple\ndog\n")
    message = refusal("tatoeba", "test", "de", tmp_path)
    assert message.startswith(f"{tmp_path}/tatoeba/de-en.en is sorted: ") and '--include "tatoeba.deu/*"' in message


def test_bucc_of_xtremes_download_has_dev_and_says_where_the_gold_pairs_of_test_are(tmp_path):
    for part in ("test", "dev"):
        put(tmp_path / f"bucc2018/de-en.{part}.de", "de-1\tHund\nde-2\tKatze\n")
        put(tmp_path / f"bucc2018/de-en.{part}.en", "en-1\tdog\nen-2\tsun\n")
    put(tmp_path / "bucc2018/de-en.dev.gold", "de-1\ten-1\n")
    assert TASKS["bucc"].sources[0].holds("dev", "de", str(tmp_path))
    assert read("bucc", "dev", "de", tmp_path)[0]["matches"][:] == [["en-1"], [], ["de-1"], []]
    message = refusal("bucc", "test", "de", tmp_path)
    assert "de-en.test.gold does not exist: XTREME's script removes" in message and "bucc2018-de-en.training-gold.tar.bz2" in message
    put(tmp_path / "bucc2018/de-en.test.gold", "de-1\ten-1\n")
    assert len(read("bucc", "test", "de", tmp_path)[0]) == 4


def test_the_layout_of_the_hub_wins_where_both_are_here(tmp_path):
    write_pairs(tmp_path / "xnli/test-sw.tsv", PAIRS, with_labels=False)
    write_pairs(tmp_path / "xnli/dev-sw.tsv", PAIRS)
    put(tmp_path / "facebook/xnli/sw/test.jsonl", json.dumps({"premise": "p", "hypothesis": "h", "label": "neutral"}))
    assert read("xnli", "test", "sw", tmp_path)[1]["hub_id"] == "facebook/xnli"
    assert read("xnli", "dev", "sw", tmp_path)[1]["hub_id"] == "XTREME's download", "what the hub's layout lacks is taken from the other"
    assert "XTREME" not in refusal("panx", "test", "de", tmp_path), "there is no panx folder"


# ---- files of tags


CONLLU = """# sent_id = 1
# text = Im Haus
1-2 Im _ _ _ _ _ _ _ _
1 in in ADP _ _ 3 case _ _
2 dem der DET _ _ 3 det _ _
3 Haus Haus NOUN _ _ 0 root _ _
3.1 ist sein AUX _ _ _ _ _ _

# sent_id = 2
1 # # SYM _ _ 0 root _ _
"""
CONLLU = "\n".join(line if line.startswith("#") else line.replace(" ", "\t") for line in CONLLU.split("\n"))
CONLL = "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n# # B-NP O\n"


def train_on(name, *files):
    examples, provenances = load_training_data(TASKS[name], TASKS[name], [], find_train_files([str(file) for file in files]))
    return examples.to_list(), provenances


@pytest.mark.parametrize("task, name, content, wanted", [
    ("udpos", "a.conllu", CONLLU, [(["in", "dem", "Haus"], ["ADP", "DET", "NOUN"]), (["#"], ["SYM"])]),
    ("panx", "a.conll", CONLL, [(["EU", "rejects"], ["B-ORG", "O"]), (["#"], ["O"])]),
    ("panx", "a.txt", CONLL, [(["EU", "rejects"], ["B-ORG", "O"]), (["#"], ["O"])]),
    ("panx", "train", WIKIANN.replace("en:", "de:"), [(["Berlin", "is"], ["B-LOC", "O"]),
                                                      (["a:b", "two\u00a0words", ":"], ["O", "B-ORG", "O"])]),
    ("panx", "a.tsv", "Berlin\tB-LOC\nNew York\tB-LOC\n\nja\tO\n", [(["Berlin", "New York"], ["B-LOC", "B-LOC"]), (["ja"], ["O"])]),
    ("udpos", "b.tsv", "\ufeff#\tSYM\r\nja\tX\r\n", [(["#", "ja"], ["SYM", "X"])]),
])  # fmt: skip
def test_files_of_tags_are_training_files(task, name, content, wanted, tmp_path):
    examples, (provenance,) = train_on(task, f"de={put(tmp_path / name, content)}")
    assert [(row["words"], row["tags"]) for row in examples] == wanted and provenance["language"] == "de"


def test_wikiann_names_its_language(tmp_path):
    _, (provenance,) = train_on("panx", put(tmp_path / "train", WIKIANN))
    assert provenance["language"] == "en"
    with pytest.raises(InputError, match="language 'en', where de should stand"):
        train_on("panx", f"de={tmp_path / 'train'}")


@pytest.mark.parametrize("name, content, message", [
    ("a.conllu", CONLLU.replace("\t3\tdet\t_\t_", ""), "a.conllu, line 5: 6 columns, where CoNLL-U has 10"),
    ("a.conll", "EU\n", "a.conll, line 1: 'EU' is not a word and its tag"),
    ("a.conll", CONLL, "a.conll, sentence of line 3: tag 'B-ORG' is not one of ADJ, ADP"),
    ("a.conllu", "# nothing\n\n", "a.conllu holds no rows"),
])  # fmt: skip
def test_a_broken_file_of_tags_is_named_with_its_line(name, content, message, tmp_path):
    with pytest.raises(InputError, match=message):
        train_on("udpos", f"de={put(tmp_path / name, content)}")


def test_a_file_of_tags_is_refused_for_a_task_without_tags(tmp_path):
    with pytest.raises(InputError, match="no column 'premise'. It has: words, tags; mnli needs"):
        train_on("mnli", f"de={put(tmp_path / 'a.conll', CONLL)}")


def test_conllu_below_data_dir(tmp_path):
    put(tmp_path / "google/xtreme/udpos.German/test.conllu", CONLLU)
    assert read("udpos", "test", "de", tmp_path)[0]["tags"][0] == ["ADP", "DET", "NOUN"]


# ---- questions below --data_dir, as SQuAD's authors named their files


def test_squads_own_files_below_data_dir(tmp_path):
    put(tmp_path / "rajpurkar/squad/train-v1.1.json", squad(question("1")))
    put(tmp_path / "rajpurkar/squad/dev-v1.1.json", squad(question("2")))
    assert [read("squad_v1", split, "en", tmp_path)[0]["id"][0] for split in ("train", "dev")] == ["1", "2"]


# ---- MultiNLI's and XNLI's own files


MULTINLI_COLUMNS = (
    "gold_label sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse sentence1 sentence2 promptID pairID genre"
    " label1 label2 label3 label4 label5"
).split()


def multinli(rows, cut=0):
    lines = [MULTINLI_COLUMNS]
    for label, premise, hypothesis in rows:
        fields = [label, "( a )", "( b )", "(A a)", "(B b)", premise, hypothesis, "1", "1n", "fiction", label, "", "", "", ""]
        lines.append(fields[: len(fields) - cut])
    return "\n".join("\t".join(line) for line in lines) + "\n"


ROWS = [("neutral", 'He "said".', "h"), ("-", "no", "agreement"), ("entailment", "p", "NA")]
WANTED = [("neutral", 'He "said".', "h"), ("entailment", "p", "NA")]


@pytest.mark.parametrize("name, content", [
    ("multinli_1.0_train.txt", multinli(ROWS)),
    ("multinli_1.0_cut.txt", multinli(ROWS, cut=4)),
    ("a.tsv", multinli(ROWS)),
    ("multinli_1.0_train.jsonl", "\n".join(json.dumps({"gold_label": label, "sentence1": a, "sentence2": b, "annotator_labels": [label]})
                                           for label, a, b in ROWS)),
    ("xnli.dev.tsv", "language\tgold_label\tsentence1\tsentence2\n" + "".join("\t".join(("en", *row)) + "\n" for row in ROWS)),
    ("multinli.train.en.tsv", "premise\thypo\tlabel\n" + "".join(f"{a}\t{b}\t{label}\n" for label, a, b in ROWS)),
])  # fmt: skip
def test_own_files_of_multinli_and_xnli(name, content, tmp_path):
    examples, (provenance,) = train_on("mnli", f"en={put(tmp_path / name, content)}")
    assert [(row["label"], row["text_a"], row["text_b"]) for row in examples] == WANTED
    assert provenance["dropped"] == {"no gold label (-)": 1}


def test_xnlis_own_file_names_the_language_of_each_row(tmp_path):
    rows = [{"language": language, "gold_label": "neutral", "sentence1": language, "sentence2": "h"} for language in ("sw", "ar", "sw")]
    examples, provenances = train_on("xnli", put(tmp_path / "xnli.dev.jsonl", "\n".join(map(json.dumps, rows))))
    assert [(part["language"], part["examples"]) for part in provenances] == [("ar", 1), ("sw", 2)] and len(examples) == 3


def test_contradictory_of_xnli_mt_is_contradiction(tmp_path):
    file = put(tmp_path / "multinli.train.de.tsv", "premise\thypo\tlabel\na\tb\tcontradictory\n")
    examples, _ = train_on("xnli", f"de={file}")
    assert examples[0]["label"] == "contradiction"


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_numbers_are_names_where_their_meaning_is_certain(kind, tmp_path):
    numbers = [0, 1, 2, -1]
    content = {
        "jsonl": "\n".join(json.dumps({"premise": "p", "hypothesis": "h", "label": number}) for number in numbers),
        "csv": "premise,hypothesis,label\n" + "".join(f"p,h,{number}\n" for number in numbers),
    }[kind]
    names = ["entailment", "neutral", "contradiction"]
    file = put(tmp_path / f"facebook/xnli/de/train.{kind}", content)
    examples, (provenance,) = train_on("xnli", f"de={file}")  # a folder of the hub's name: the hub's numbers
    assert [row["label"] for row in examples] == names and provenance["dropped"] == {"no gold label (-1)": 1}
    assert read("xnli", "train", "de", tmp_path)[0]["label"][:] == names
    other = put(tmp_path / f"mine.{kind}", content)
    with pytest.raises(InputError) as caught:
        train_on("xnli", f"de={other}")
    assert "label 0 is a number, and its name is not known: one of contradiction, entailment, neutral" in str(caught.value)
    assert "On the hub they are 0 entailment, 1 neutral, 2 contradiction: where these are meant, put the file" in str(caught.value)


def test_numbers_beside_their_names_are_certain(tmp_path):
    rows = [{"premise": "p", "hypothesis": "h", "label": 0, "label_text": "contradiction"}]  # an export that counts otherwise
    assert train_on("mnli", f"en={put(tmp_path / 'a.jsonl', json.dumps(rows[0]))}")[0][0]["label"] == "contradiction"
