"""Tokenizers read text as the model's files say: mended where transformers' class does not, else refused in one line."""

import importlib.util
import json
import shutil
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
import sentencepiece
import tokenizer_folders as folders
import torch
from conftest import ROOT, SHARED, begin
from datasets import Dataset
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from task_adapters import TASKS, InputError, in_normal_form
from task_adapters.normal_form import compose_answers, texts_in_other_form
from task_types import TASK_TYPES, tagging
from trainer import tokenizers
from trainer.checkpoints import load_encoder
from trainer.tokenizers import PROBES, fingerprint_of, load_tokenizer

TEXTS = ["Hello world", "Müller Việt ﬁve １２ a，b", "中国 naïve", " two  spaces ", "Vie\u0323\u0302t", "ＡＢＣ", ""]


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    """Removes everything that an earlier test or run has cached."""
    monkeypatch.setattr(tokenizers, "TOKENIZERS", tmp_path / "kept")
    return tmp_path / "kept"


def pieces_of(tokenizer, *texts):
    return tokenizer.convert_ids_to_tokens(tokenizer(*texts)["input_ids"])


def next_phase(tokenizer, folder, tmp_path):
    """The tokenizer as the next phase reads it: saved beside the model's configuration."""
    saved = tmp_path / "next"
    tokenizer.save_pretrained(saved)
    shutil.copyfile(Path(folder, "config.json"), saved / "config.json")
    return load_tokenizer(str(saved), needs_offsets=True)


# ---- files of every kind


@pytest.mark.parametrize("kind", ["xlm-roberta", "deberta-v2", "rembert"])
def test_a_sentencepiece_model_alone_is_read_as_sentencepiece_reads_it(kind, tmp_path):
    """mDeBERTa-v3's repository has no tokenizer.json. transformers drops its character map, and RemBERT's [CLS] and [SEP]."""
    folder = folders.sentencepiece_alone(tmp_path / "model", kind)
    model = sentencepiece.SentencePieceProcessor(model_file=str(next(folder.glob("*.model"))))
    tokenizer = load_tokenizer(str(folder), needs_offsets=True)
    first, last = ("<s>", "</s>") if kind == "xlm-roberta" else ("[CLS]", "[SEP]")
    assert tokenizer.is_fast and len(tokenizer) <= 310
    for text in TEXTS:
        expected = [tokenizer.unk_token if model.is_unknown(piece) else model.id_to_piece(piece) for piece in model.encode(text)]
        assert pieces_of(tokenizer, text) == [first, *expected, last], text
        if kind != "xlm-roberta":  # XLM-R's ids are those of SentencePiece plus one.
            assert tokenizer(text, add_special_tokens=False)["input_ids"] == model.encode(text)
    pair = [
        first,
        *pieces_of(tokenizer, "Hello")[1:-1],
        last,
        *[last] * (kind == "xlm-roberta"),
        *pieces_of(tokenizer, "world")[1:-1],
        last,
    ]
    assert pieces_of(tokenizer, "Hello", "world") == pair
    again = next_phase(tokenizer, folder, tmp_path)
    assert again.key == tokenizer.key and fingerprint_of(again) == fingerprint_of(tokenizer)
    elsewhere = AutoTokenizer.from_pretrained(tmp_path / "next")  # This is how users without this project load the checkpoint.
    assert [elsewhere(text)["input_ids"] for text in TEXTS] == [tokenizer(text)["input_ids"] for text in TEXTS]


DISAGREEING = {
    "the class of another model": (folders.unigram, {"tokenizer_class": "RobertaTokenizer"}),
    "a lowercase that the class drops": (folders.unigram, {"lower": True}),
    "cased, and no do_lower_case": (folders.wordpiece, {}),
    "uncased with accents": (folders.wordpiece, {"lower": True, "strip_accents": False, "do_lower_case": True}),
}


@pytest.mark.parametrize("name", DISAGREEING)
def test_tokenizer_json_is_followed_where_the_class_reads_otherwise(name, tmp_path, capsys):
    write, options = DISAGREEING[name]
    folder = write(tmp_path / "model", **options)
    file, loaded = Tokenizer.from_file(str(folder / "tokenizer.json")), AutoTokenizer.from_pretrained(folder)
    assert any(loaded(text)["input_ids"] != file.encode(text).ids for text in TEXTS), "else this is no test"
    tokenizer = load_tokenizer(str(folder), needs_offsets=True)
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and type(loaded).__name__ in said and "its tokenizer.json as" in said and "--tokenizer_as_loaded" in said
    for text in TEXTS:
        assert tokenizer(text)["input_ids"] == file.encode(text).ids, text
    assert tokenizer("Hello", "world")["input_ids"] == file.encode("Hello", "world").ids
    again = next_phase(tokenizer, folder, tmp_path)
    assert again.key == tokenizer.key and [again(text)["input_ids"] for text in TEXTS] == [tokenizer(text)["input_ids"] for text in TEXTS]
    assert capsys.readouterr().out == "", "the next phase has nothing to mend"

    by_class = load_tokenizer(str(folder), needs_offsets=True, as_loaded=True)
    assert [by_class(text)["input_ids"] for text in TEXTS] == [loaded(text)["input_ids"] for text in TEXTS]
    assert fingerprint_of(by_class)["hash"] != fingerprint_of(tokenizer)["hash"]


def test_a_file_and_a_class_that_agree_are_taken_without_a_word(tmp_path, capsys):
    folder = folders.unigram(tmp_path / "model")
    tokenizer, loaded = load_tokenizer(str(folder), needs_offsets=True), AutoTokenizer.from_pretrained(folder)
    assert [tokenizer(text)["input_ids"] for text in PROBES] == [loaded(text)["input_ids"] for text in PROBES]
    assert capsys.readouterr().out == ""


def test_tokenizer_json_and_a_sentencepiece_model_beside_it_are_compared(tmp_path, capsys):
    """Published models often have both. tokenizer.json is followed; where the other is of another model a line says so."""
    same = folders.unigram(tmp_path / "same")
    (same / "sentencepiece.bpe.model").write_bytes(folders.sentencepiece_model())
    load_tokenizer(str(same), needs_offsets=True)
    assert "SentencePiece model beside it" not in capsys.readouterr().out
    other = folders.unigram(tmp_path / "other")
    (other / "sentencepiece.bpe.model").write_bytes(folders.sentencepiece_model(model_type="bpe"))
    tokenizer = load_tokenizer(str(other), needs_offsets=True)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "SentencePiece model beside it" in line]
    assert line.startswith(f"{other}: its tokenizer.json cuts ") and "tokenizer.json is followed" in line
    assert pieces_of(tokenizer, "Hello world") == pieces_of(load_tokenizer(str(same), needs_offsets=True), "Hello world")
    load_tokenizer(str(other), needs_offsets=True, as_loaded=True)
    assert "SentencePiece model beside it" not in capsys.readouterr().out, "the class is followed, whatever the files say"


@pytest.mark.skipif(not (SHARED / "tools" / "tokenizer_cases.py").is_file(), reason="shared/tools is not here")
def test_the_shared_cases_are_read_as_their_files_say(tmp_path):
    spec = importlib.util.spec_from_file_location("tokenizer_cases", SHARED / "tools" / "tokenizer_cases.py")
    cases = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cases)
    cases.main(tmp_path / "cases")
    made = sorted((tmp_path / "cases").iterdir())
    assert len(made) == 8
    for folder in made:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 23 if config["model_type"] == "bert" else 310}))
        tokenizer = load_tokenizer(str(folder), needs_offsets=True)
        for text in (*cases.TEXTS, *TEXTS):
            if (folder / "tokenizer.json").is_file():
                assert tokenizer(text)["input_ids"] == Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids, (folder, text)
            else:
                model = sentencepiece.SentencePieceProcessor(model_file=str(next(folder.glob("*.model"))))
                own = [tokenizer.unk_token if model.is_unknown(piece) else model.id_to_piece(piece) for piece in model.encode(text)]
                assert pieces_of(tokenizer, text)[1:-1] == own, (folder, text)


def test_a_vocabulary_with_capitals_is_not_lower_cased(tmp_path, capsys):
    """vocab.txt alone says nothing of capitals but that it has them."""
    tokenizer = load_tokenizer(str(folders.wordpiece(tmp_path / "model", as_text=True)), needs_offsets=True)
    assert pieces_of(tokenizer, "Hello Müller") == ["[CLS]", "Hello", "Müller", "[SEP]"]
    assert "does not say do_lower_case" in capsys.readouterr().out
    said = folders.wordpiece(tmp_path / "said", as_text=True, do_lower_case=True)
    assert pieces_of(load_tokenizer(str(said), needs_offsets=True), "Hello") == ["[CLS]", "hello", "[SEP]"]


# ---- what is refused


def refusal(folder, **options) -> str:
    with pytest.raises(InputError) as error:
        load_tokenizer(str(folder), needs_offsets=True, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_cannot_be_mended_is_refused_with_the_text_that_shows_it(tmp_path):
    """The class knows SentencePiece's unigram models only: this one is of byte pairs."""
    model = folders.sentencepiece_model(model_type="bpe", bos_id=1, eos_id=2, unk_id=3, **folders.BRACKETS)
    folder = folders.write(tmp_path / "model", config__json={"model_type": "deberta-v2", "vocab_size": 310}, spm__model=model)
    said = refusal(folder)
    assert "its SentencePiece model cuts '" in said and "--tokenizer_as_loaded takes the latter" in said
    assert len(load_tokenizer(str(folder), needs_offsets=True, as_loaded=True)("Hello")["input_ids"]) > 2


def test_a_configuration_that_contradicts_the_file_is_refused(tmp_path):
    said = refusal(folders.wordpiece(tmp_path / "model", do_lower_case=True))
    assert "says do_lower_case, but tokenizer.json reads 'Hello World' as ['[CLS]', 'Hello'" in said


@pytest.mark.parametrize("content, said", [
    (b"", "{name} is empty"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n", "{name} is a Git LFS pointer: `git lfs pull` fetches the file"),
    ("half", "Cannot load a tokenizer from"),
])  # fmt: skip
@pytest.mark.parametrize("name", ["tokenizer.json", "spm.model", "tokenizer_config.json"])
def test_a_broken_tokenizer_file_is_one_line(name, content, said, tmp_path):
    folder = folders.sentencepiece_alone(tmp_path / "model", "deberta-v2") if name == "spm.model" else folders.unigram(tmp_path / "model")
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    assert said.format(name=name) in refusal(folder)


@pytest.mark.parametrize("content", ["", "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n", None])
def test_broken_weights_are_one_line(content, tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000]) if content is None else weights.write_text(content)
    with pytest.raises(InputError, match="Cannot load a model from") as error:
        load_encoder(str(folder), None)
    assert "\n" not in str(error.value)


def test_more_pieces_than_the_model_has_rows_are_refused(tmp_path):
    folder = folders.unigram(tmp_path / "model")
    (folder / "config.json").write_text('{"model_type": "xlm-roberta", "vocab_size": 301}')
    assert "a tokenizer of 302 tokens for a model of 301" in refusal(folder)


def test_without_protobuf_the_line_says_what_to_install(tmp_path, monkeypatch):
    """transformers' own message advises tiktoken, which would not help."""
    folder = folders.sentencepiece_alone(tmp_path / "model", "deberta-v2")
    monkeypatch.setitem(sys.modules, "sentencepiece.sentencepiece_model_pb2", None)
    monkeypatch.delattr(sentencepiece, "sentencepiece_model_pb2", raising=False)
    assert "spm.model, which needs protobuf: pip install -r requirements.txt" in refusal(folder)
    assert "\nprotobuf==" in (ROOT / "requirements.txt").read_text()


# ---- what is kept


def test_the_second_start_reads_what_the_first_one_kept(tmp_path, monkeypatch, capsys):
    folder = folders.unigram(tmp_path / "model", lower=True)
    first = load_tokenizer(str(folder), needs_offsets=True)
    said = capsys.readouterr().out
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda *_, **__: pytest.fail("the tokenizer was read again"))
    second = load_tokenizer(str(folder), needs_offsets=True)
    assert second.key == first.key and second.model_max_length == first.model_max_length and fingerprint_of(second) == fingerprint_of(first)
    assert "whole" not in vars(second) and capsys.readouterr().out == said, "the line is said at every start"
    assert next_phase(second, folder, tmp_path).key == first.key, "nor does the next phase read it again"


@pytest.mark.parametrize("change", ["file", "configuration", "library"])
def test_what_was_kept_is_for_the_same_files_and_library_only(change, tmp_path, monkeypatch):
    folder = folders.unigram(tmp_path / "model")
    load_tokenizer(str(folder), needs_offsets=True)
    if change == "file":
        shutil.rmtree(folder)
        folders.unigram(folder, lower=True)
    elif change == "configuration":
        (folder / "config.json").write_text('{"model_type": "camembert", "vocab_size": 302}')
    else:
        monkeypatch.setattr(tokenizers.transformers, "__version__", "6.0")
    reads, read = [], AutoTokenizer.from_pretrained
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda *args, **options: reads.append(args) or read(*args, **options))
    load_tokenizer(str(folder), needs_offsets=True)
    assert len(reads) == 1


def test_where_nothing_can_be_kept_a_line_says_so(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(tokenizers, "TOKENIZERS", tmp_path / "file" / "below")
    tokenizer = load_tokenizer(str(folders.unigram(tmp_path / "model")), needs_offsets=True)
    assert "cannot be written" in capsys.readouterr().out and tokenizer("Hello")["input_ids"]


# ---- the fingerprint


def test_the_fingerprint_tells_tokenizers_apart_by_how_they_read(tmp_path):
    kinds = {
        "plain": folders.unigram(tmp_path / "a"),
        "lower": folders.unigram(tmp_path / "b", lower=True),
        "alone": folders.sentencepiece_alone(tmp_path / "c", "xlm-roberta"),
        "cased": folders.wordpiece(tmp_path / "d"),
    }
    found = {name: fingerprint_of(load_tokenizer(str(folder), needs_offsets=True)) for name, folder in kinds.items()}
    assert len({fingerprint["hash"] for fingerprint in found.values()}) == 4
    assert found["plain"]["probes"]["Hello world"] == "<s> ▁Hello ▁world </s>"
    assert found["plain"]["probes"]["Hello + world"] == "<s> ▁Hello </s> </s> ▁world </s>"
    assert found["plain"]["probes"][PROBES[9]] != found["alone"]["probes"][PROBES[9]], "letters and accents apart"
    same = load_tokenizer(str(folders.unigram(tmp_path / "e", tokenizer_class="RobertaTokenizer")), needs_offsets=True)
    assert fingerprint_of(same) == found["plain"] == fingerprint_of(same.whole)


def test_a_run_goes_on_with_the_tokenizer_that_it_began_with(tmp_path):
    plain = load_tokenizer(str(folders.unigram(tmp_path / "a")), needs_offsets=True)
    lower = load_tokenizer(str(folders.unigram(tmp_path / "b", lower=True)), needs_offsets=True)
    inputs = {"model": None, "lineage": [], "content": {}}
    (tmp_path / "run" / "predictions").mkdir(parents=True)
    for _ in range(2):
        assert begin(tmp_path / "run", {"seed": 1}, inputs={**inputs, "tokenizer": fingerprint_of(plain)}) is None
    assert json.loads((tmp_path / "run" / "run.json").read_text())["tokenizer"] == fingerprint_of(plain)
    with pytest.raises(
        InputError, match="began with a tokenizer that reads 'Hello world' as '<s> ▁Hello ▁world </s>'; now it is '<s> ▁hello"
    ):
        begin(tmp_path / "run", {"seed": 1}, inputs={**inputs, "tokenizer": fingerprint_of(lower)})


def test_a_vocabulary_that_differs_where_no_probe_looks_is_another_tokenizer(tmp_path):
    folder = folders.unigram(tmp_path / "a")
    other = shutil.copytree(folder, tmp_path / "b")
    content = json.loads((other / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"]["vocab"][-2][1] -= 0.5  # a score; no probe has this piece
    (other / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    one, two = (fingerprint_of(load_tokenizer(str(path), needs_offsets=True)) for path in (folder, other))
    assert one["hash"] == two["hash"] and one["vocabulary"] != two["vocabulary"]
    (tmp_path / "run" / "predictions").mkdir(parents=True)
    inputs = {"model": None, "lineage": [], "content": {}}
    begin(tmp_path / "run", {"seed": 1}, inputs={**inputs, "tokenizer": one})
    with pytest.raises(InputError, match="began with a tokenizer of other tokens, ids or scores"):
        begin(tmp_path / "run", {"seed": 1}, inputs={**inputs, "tokenizer": two})


# ---- words that look like special tokens


SPECIAL_WORDS = {"unigram": "</s> <mask> <pad> <s>", "alone": "[SEP] [MASK] [PAD] [CLS]", "wordpiece": "[SEP] [MASK] [PAD] [CLS]"}


@pytest.fixture(params=SPECIAL_WORDS)
def words_and_tokenizer(request, tmp_path):
    if request.param == "alone":
        folder = folders.sentencepiece_alone(tmp_path / "model", "deberta-v2")
    else:
        folder = getattr(folders, request.param)(tmp_path / "model")
    return SPECIAL_WORDS[request.param].split(), load_tokenizer(str(folder), needs_offsets=True)


def test_a_word_that_looks_like_a_special_token_stays_a_word_in_every_task(words_and_tokenizer):
    words, tokenizer = words_and_tokenizer
    special, text = set(tokenizer.convert_tokens_to_ids(words)), f"a {' '.join(words)} b{words[0]}"
    assert not special & set(tokenizer(text, add_special_tokens=False)["input_ids"])
    answers = {"text": [words[1]], "answer_start": [text.index(words[1])]}
    examples = {
        "classification": {"text_a": [text], "text_b": [text], "label": ["neutral"]},
        "multiple_choice": {"context": [text], "question": [text], "choices": [[text, "a", "b", text]], "label": [0]},
        "span_qa": {"id": ["1"], "context": [text], "question": [text], "answers": [answers]},
        "tagging": {"words": [["a", *words, "b"]], "tags": [["NOUN"] * 6]},
    }
    plain = {
        kind: json.loads(json.dumps(rows).replace("<", "a").replace("[SEP", "aSEP").replace("[MASK", "aM"))
        for kind, rows in examples.items()
    }
    for kind, name in (("classification", "mnli"), ("multiple_choice", "hellaswag"), ("span_qa", "squad_v1"), ("tagging", "udpos")):
        counts = []
        for rows in (examples[kind], plain[kind]):
            ids = TASK_TYPES[kind].to_features(rows, tokenizer, TASKS[name], 256, 128)["input_ids"]
            flat = ids[0] if kind != "multiple_choice" else sum(ids[0], [])
            counts.append(sum(piece in special for piece in flat))
        assert counts[0] == counts[1], f"{kind}: only the layout has special tokens"
    features = TASK_TYPES["span_qa"].to_features(examples["span_qa"], tokenizer, TASKS["squad_v1"], 256, 128)
    start, end, _ = features["labels"][0]
    first = features["context_start"][0]
    spans = features["offsets"][0]
    assert words[1] in text[spans[start - first][0] : spans[end - first][1]]


def test_splitting_such_words_changes_no_other_text(tiny_model):
    tokenizer, plain = load_tokenizer(tiny_model, needs_offsets=True), AutoTokenizer.from_pretrained(tiny_model)
    texts = [*PROBES, "a < b > c", "</p> <b>s>", "mask pad", "das kleine Kind sieht den Hund ."]
    assert [tokenizer(text)["input_ids"] for text in texts] == [plain(text)["input_ids"] for text in texts]
    assert tokenizer(texts[1], texts[2])["input_ids"] == plain(texts[1], texts[2])["input_ids"]


# ---- letters and accents apart


def test_texts_in_another_form_are_counted_and_composed():
    apart = unicodedata.normalize("NFD", "Việt Nam là")
    rows = Dataset.from_dict({"words": [["a", "é"], [apart, "b", apart]], "tags": [["X", "X"], ["X", "X", "X"]]})
    assert texts_in_other_form(rows) == 2 and texts_in_other_form(rows.select([0])) == 0
    same, count = in_normal_form(rows, "as_is")
    assert same is rows and count == 2
    composed, count = in_normal_form(rows, "nfc")
    assert count == 2 and composed["words"][1] == ["Việt Nam là", "b", "Việt Nam là"] and texts_in_other_form(composed) == 0
    assert composed["tags"][:] == rows["tags"][:]
    clean = rows.select([0])
    assert in_normal_form(clean, "nfc") == (clean, 0)


@pytest.mark.parametrize("answer", ["Nam", "tiếng Việt", "한국", "là"])
def test_answers_keep_their_place_in_the_composed_context(answer):
    context = "Người Việt Nam nói tiếng Việt; 한국 là nước khác"
    apart, answer_apart = unicodedata.normalize("NFD", context), unicodedata.normalize("NFD", answer)
    given = {"text": [answer_apart], "answer_start": [apart.index(answer_apart)]}
    row = {"id": ["1"], "context": [apart], "question": [apart], "answers": [given]}
    composed, count = in_normal_form(Dataset.from_dict(row), "nfc")
    assert count == 2 + (answer_apart != answer) and composed[0]["context"] == composed[0]["question"] == context
    assert composed[0]["answers"] == {"text": [answer], "answer_start": [context.index(answer)]}


def test_an_answer_that_ends_inside_a_character_takes_the_whole_of_it():
    assert compose_answers("xe\u0301 y", {"text": ["xe", "\u0301 y"], "answer_start": [0, 2]}) == {
        "text": ["xé", "é y"],
        "answer_start": [0, 1],
    }


def test_an_answer_that_does_not_stand_at_its_place_is_composed_by_itself():
    """XTREME's test files have answers with a wrong start, and -1 for no start."""
    given = {"text": ["e\u0301", "e\u0301"], "answer_start": [1, -1]}
    assert compose_answers("abc e\u0301", given) == {"text": ["é", "é"], "answer_start": [1, -1]}


# ---- the labelled piece


@pytest.fixture
def spaced(tmp_path):
    """A tokenizer that begins most words with a bare space."""
    return load_tokenizer(str(folders.unigram(tmp_path / "spaced")), needs_offsets=True)


def features_of(tokenizer, label_piece, words=("Hello", "ＡＢ", "ＣＢ"), tags=("NOUN", "VERB", "ADJ")):
    task = replace(TASKS["udpos"], label_piece=label_piece)
    return tagging.to_features({"words": [list(words)], "tags": [list(tags)]}, tokenizer, task, 64)


def test_the_first_piece_that_is_more_than_a_space_can_be_labelled(spaced):
    first, content = features_of(spaced, "first"), features_of(spaced, "first_content")
    pieces = spaced.convert_ids_to_tokens(first["input_ids"][0])
    assert [pieces[place] for place in first["first_pieces"][0]] == ["▁Hello", "▁", "▁"], pieces
    assert [pieces[place] for place in content["first_pieces"][0]] == ["▁Hello", "A", "C"] and content["input_ids"] == first["input_ids"]
    for features in (first, content):
        labelled = [features["labels"][0][place] for place in features["first_pieces"][0]]
        assert [TASKS["udpos"].labels[label] for label in labelled] == ["NOUN", "VERB", "ADJ"]
        assert sum(label >= 0 for label in features["labels"][0]) == 3
        assert tagging.share_of_bare_spaces(Dataset.from_dict(dict(features))) == pytest.approx(2 / 3)
    assert tagging.bare_spaces_line({"zh": 0.86, "en": 0.0}) == ["words whose first token is a bare space: zh 86%"]


def test_a_letter_that_byte_level_tokenizers_write_for_a_space_is_none(tmp_path):
    """Ġ is a letter of Maltese."""
    file = folders.unigram_file()
    file["model"]["vocab"][9][0] = "Ġ"
    folder = folders.unigram(tmp_path / "maltese")
    (folder / "tokenizer.json").write_text(json.dumps(file))
    tokenizer = load_tokenizer(str(folder), needs_offsets=True)
    assert tokenizer.convert_tokens_to_ids("Ġ") == 9 and {"▁"} == {tokenizer.convert_ids_to_tokens(p) for p in tagging.space_ids(tokenizer)}


def test_the_mean_of_a_words_logits_is_trained_and_predicted(spaced):
    """Two sentences of unlike length; the same as word by word."""
    from task_types.collator import Collator

    task = replace(TASKS["udpos"], label_piece="mean")
    rows = {"words": [["Hello", "ＡＢ", "ＣＢ"], ["world"]], "tags": [["NOUN", "VERB", "ADJ"], ["NOUN"]]}
    features = Dataset.from_dict(dict(tagging.to_features(rows, spaced, task, 64)))
    batch = Collator(1)([{"input_ids": row["input_ids"], "labels": row["labels"]} for row in features])
    length = batch["input_ids"].shape[1]
    assert batch["labels"].shape == (2, 2, length)
    logits = torch.randn(2, length, 17, generator=torch.Generator().manual_seed(1), requires_grad=True)
    means, losses = [], []
    for row, (words, tags) in enumerate(zip(rows["words"], rows["tags"])):
        position = 1
        for word, tag in zip(words, tags):
            count = len(spaced([word], is_split_into_words=True, add_special_tokens=False)["input_ids"])
            means.append(logits[row, position : position + count].mean(0))
            losses.append(torch.nn.functional.cross_entropy(means[-1], torch.tensor(task.labels.index(tag))))
            position += count
    loss = tagging.loss({"logits": logits}, batch["labels"])
    torch.testing.assert_close(loss, torch.stack(losses).mean())
    counted = batch["labels"].ne(-100).sum()  # The Trainer counts in the same way.
    torch.testing.assert_close(tagging.loss({"logits": logits}, batch["labels"], counted), loss)
    loss.backward()
    assert not logits.grad[:, 0].any() and logits.grad[0, 3].any(), "no gradient at <s>, some at a word's second piece"
    examples = Dataset.from_dict(rows)
    predicted = tagging.decode(examples, features, list(tagging.reduce_logits(logits.detach(), batch["labels"]).numpy()), task)
    assert sum(predicted, []) == [task.labels[mean.argmax()] for mean in means]


def test_the_chance_loss_of_the_mean_counts_tags_not_pieces(spaced):
    from trainer.collapse import chance_loss

    chance = {name: chance_loss("tagging", Dataset.from_dict(dict(features_of(spaced, name)))) for name in ("first", "mean")}
    assert chance["mean"] == chance["first"] == pytest.approx(1.0986, abs=1e-4)


@pytest.mark.parametrize("label_piece", ["first_content", "mean"])
def test_a_run_names_its_labelled_piece_its_tokenizer_and_its_bare_spaces(label_piece, call, data_dir, tiny_model, tmp_path):
    import run_target

    results = call(
        run_target, "--task", "udpos", "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--languages", "en", "de", "--use_cpu",
        "--max_steps", 60, "--learning_rate", "2e-3", "--eval_strategy", "no", "--save_strategy", "no", "--disable_tqdm", "true",
        "--output_dir", tmp_path / "out", "--label_piece", label_piece, "--normalize", "nfc",
    )  # fmt: skip
    assert results["label_piece"] == label_piece and results["normalize"] == "nfc"
    assert results["tokenizer"] == fingerprint_of(load_tokenizer(tiny_model, needs_offsets=True))
    assert set(results["bare_spaces"]) == {"en", "de"} and 0 < results["bare_spaces"]["en"] <= 1
    assert {part["not_nfc"] for part in results["data"]} == {0}
    assert results["scores"]["en"]["f1"] > 90, "it is learned"
