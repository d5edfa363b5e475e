"""Perturbed test text: labels, numbers of words and answers stay, the noise is seeded, and a wrong flag is one line."""

import json
import random
import unicodedata
from pathlib import Path

import pytest
from conftest import SHARED
from datasets import Dataset

import run_target
from report.collect import collect
from task_adapters import TASKS, InputError, load_examples, with_languages_of
from task_adapters.base import EXAMPLE_COLUMNS
from task_adapters.perturb import KINDS, kind_and_rate, perturbed

SCRIPTS = {
    "latin": "Das Haus des Königs Łukasz steht in Ñuñoa, Việt Nam; être ou ne pas être, 42 Städte.",
    "cyrillic": "Мой ёжик живёт в Йошкар-Оле у реки.", "greek": "Η Αθήνα είναι η πρωτεύουσα της Ελλάδας.",
    "arabic": "وُلِدَ أحمد في القاهرة عام 1990 قرب آثار قديمة.", "hindi": "दिल्ली भारत की राजधानी है और यहाँ लोग रहते हैं।",

    "chinese": "北京是中华人民共和国的首都，人口两千万。",
    "thai": "กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทย", "korean": "서울은 대한민국의 수도이다.",
    "odd": "e\u0301 \u0301 a\u200d 👩\u200d👩\u200d👧 \u05d0\u05b0 ﷺ", "empty": "", "space": "  \n ",
}  # fmt: skip


def questions(contexts, rng, per_context=5):
    """Span QA over contexts with answers cut at random, some of which have a wrong start or stand nowhere, as in XTREME's files."""
    rows = []
    for context in contexts:
        for _ in range(per_context):
            start = rng.randrange(max(1, len(context)))
            text = context[start : start + rng.randrange(1, 12)].strip() or context.strip()[:3]
            right = context.find(text) if text else 0
            texts, starts = [text, text, "stands nowhere"], [right, right + 3, 0]
            rows.append(
                {"id": str(len(rows)), "context": context, "question": context[:20], "answers": {"text": texts, "answer_start": starts}}
            )
    return Dataset.from_list(rows, features=EXAMPLE_COLUMNS["span_qa"])


def found(examples):
    """For each question which of its answers stand at their start, and which stand anywhere in the context."""
    return [
        [(context[start : start + len(text)] == text, text in context) for text, start in zip(answers["text"], answers["answer_start"])]
        for context, answers in zip(examples["context"], examples["answers"])
    ]


@pytest.mark.parametrize("rate", [0.05, 0.5, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_every_answer_that_stood_in_its_context_still_stands_there(kind, rate):
    rng = random.Random(0)
    words = [word for texts in SCRIPTS.values() for word in texts.split()]
    contexts = [*SCRIPTS.values(), *(" ".join(rng.choices(words, k=30)) for _ in range(40))]
    clean = questions(contexts, rng)
    noisy, counts = perturbed(clean, f"{kind}:{rate}")
    anywhere = 0
    for before, after in zip(found(clean), found(noisy), strict=True):
        for (_, stood), (at_start, stands) in zip(before, after, strict=True):
            assert not stood or (stands and at_start), "a wrong start is mended where the text stands elsewhere"
            anywhere += stood
    assert counts["answers"] == 3 * len(clean) and counts["answers_found"] == anywhere
    assert all(text.strip() for answers in noisy["answers"] for text in answers["text"][:1] if text) and noisy["id"][:] == clean["id"][:]


@pytest.mark.parametrize("kind", KINDS)
def test_all_answers_of_real_xquad_stay_findable_in_every_language(kind):
    folder = SHARED / "real/datasets"
    if not folder.is_dir():
        pytest.skip("the small real world is not here")
    languages = [path.name.removeprefix("xquad.") for path in sorted((folder / "google/xquad").glob("xquad.*"))]
    assert len(languages) >= 7
    for language in languages:
        clean, _ = load_examples(with_languages_of(TASKS["xquad"], "xtreme-r"), "test", language, str(folder))
        noisy, counts = perturbed(clean, f"{kind}:0.2")
        assert counts["answers_found"] == counts["answers"] == sum(len(answers["text"]) for answers in clean["answers"])
        assert all(at_start for question in found(noisy) for at_start, _ in question), language


def test_words_and_tags_stay_as_many_and_no_word_is_empty_or_two():
    words = [text.split() for text in SCRIPTS.values()] + [["a"], ["\u0301"], ["é", "B"]]
    clean = Dataset.from_list([{"words": w, "tags": ["X"] * len(w)} for w in words], features=EXAMPLE_COLUMNS["tagging"])
    for kind in KINDS:
        noisy, _ = perturbed(clean, f"{kind}:1")
        assert [len(w) for w in noisy["words"]] == [len(w) for w in words] and noisy["tags"][:] == clean["tags"][:]
        assert all(word.strip() and len(word.split()) == 1 for sentence in noisy["words"] for word in sentence)


@pytest.mark.parametrize("kind", KINDS)
def test_no_word_of_a_text_appears_or_vanishes(kind):
    """The odd text has a word that is one accent, behind a Latin letter: without its accent nothing would be left of it."""
    clean = Dataset.from_list([{"text_a": text, "text_b": "", "label": "x"} for text in SCRIPTS.values()],
                              features=EXAMPLE_COLUMNS["classification"])  # fmt: skip
    for rate in (0.3, 1):
        noisy, _ = perturbed(clean, f"{kind}:{rate}")
        assert [len(text.split()) for text in noisy["text_a"]] == [len(text.split()) for text in clean["text_a"]]


def test_labels_stay_and_all_texts_change_but_an_empty_one():
    rows = [{"text_a": SCRIPTS["latin"], "text_b": "", "label": "neutral"}, {"text_a": "Ein Baum", "text_b": "zwei Bäume", "label": "x"}]
    clean = Dataset.from_list(rows, features=EXAMPLE_COLUMNS["classification"])
    noisy, counts = perturbed(clean, "typos:0.5")
    assert noisy["label"][:] == clean["label"][:] and noisy["text_b"][0] == ""
    assert noisy["text_a"][0] != clean["text_a"][0] and counts == {"texts": 4, "changed": 3}
    choice = [{"context": "Der Hund bellt laut", "question": "warum denn das", "choices": ["weil er will", "darum eben"], "label": 1}]
    noisy, counts = perturbed(Dataset.from_list(choice, features=EXAMPLE_COLUMNS["multiple_choice"]), "typos:0.6")
    assert noisy["label"][:] == [1] and len(noisy["choices"][0]) == 2 and noisy["choices"][0] != choice[0]["choices"]


def test_each_kind_does_what_its_name_says():
    def of(text, spec):
        rows = Dataset.from_list([{"text_a": text, "text_b": "", "label": "x"}], features=EXAMPLE_COLUMNS["classification"])
        return perturbed(rows, spec)[0]["text_a"][0]

    assert of(SCRIPTS["latin"], "diacritics:1").startswith("Das Haus des Konigs Łukasz steht in Nunoa, Viet Nam; etre")
    assert of(SCRIPTS["cyrillic"], "diacritics:1") == "Мои ежик живет в Иошкар-Оле у реки."
    assert of(SCRIPTS["arabic"], "diacritics:1").startswith("ولد احمد في القاهرة")
    assert of(SCRIPTS["hindi"], "diacritics:1") == SCRIPTS["hindi"], "signs that are letters stay"
    assert of(SCRIPTS["korean"], "normalisation:1") == unicodedata.normalize("NFD", SCRIPTS["korean"]) != SCRIPTS["korean"]
    noisy = of("Наша opera", "script_noise:1")
    assert noisy != "Наша opera" and len(noisy) == 10 and unicodedata.name(noisy[-1]).startswith("CYRILLIC")
    assert "\u200c" in of(SCRIPTS["thai"], "script_noise:0.5")
    changed = sum(a != b for a, b in zip(of("a" * 10 + "bcdefg" * 500, "typos:0.1"), "a" * 10 + "bcdefg" * 500))
    assert changed > 0 and of("12 34, 56!", "typos:1") == "12 34, 56!", "digits and signs stay"


def test_the_rate_is_kept_and_the_noise_is_that_of_the_text_alone():
    text = " ".join("Baum Haus Katze Stadt Fluss Kind".split() * 200)
    rows = [{"text_a": text, "text_b": str(i), "label": "x"} for i in range(3)]
    clean = Dataset.from_list(rows, features=EXAMPLE_COLUMNS["classification"])
    first, again = perturbed(clean, "script_noise:0.1")[0], perturbed(clean.select([2]), "script_noise:0.1")[0]
    assert first["text_a"][0] == first["text_a"][1] == again["text_a"][0], "not of its place, nor of how many are scored"
    able = sum(c in "aoucsteinKSBHF" and c in "aceiopsxyK BH" for c in text.replace(" ", ""))
    changed = sum(a != b for a, b in zip(text, first["text_a"][0]))
    assert 0.06 * able < changed < 0.14 * len(text)
    assert perturbed(clean, "script_noise:0.3")[0]["text_a"][0] != first["text_a"][0]


@pytest.mark.parametrize("text, said", [
    ("typo:0.1", "--perturb typo:0.1: unknown kind 'typo'. Did you mean 'typos'?"),
    ("typos", "--perturb typos: KIND:RATE would be right, such as typos:0.05."),
    ("typos:x", "--perturb typos:x: the rate is no number above 0 and up to 1."),
    ("typos:0", "--perturb typos:0: the rate is no number above 0 and up to 1."),
    ("typos:1.5", "--perturb typos:1.5: the rate is no number above 0 and up to 1."),
    ("typos:nan", "--perturb typos:nan: the rate is no number above 0 and up to 1."),
])  # fmt: skip
def test_a_wrong_flag_is_one_line(text, said):
    with pytest.raises(InputError) as error:
        kind_and_rate(text)
    assert str(error.value).startswith(said) and "\n" not in str(error.value)


# ---- the script


def test_a_run_names_its_noise_counts_it_and_keeps_the_labels(call, tiny_model, data_dir, tmp_path):
    def run(folder, *flags):
        return call(
            run_target, "--task", "xnli", "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--output_dir", tmp_path / folder,
            "--languages", "en", "de", "--max_train_samples", "16", "--max_predict_samples", "12", "--num_train_epochs", "1", "--use_cpu",
            "--collapse", "off", "--max_seq_length", "64", *flags,
        )  # fmt: skip

    plain, noisy = run("plain"), run("noisy", "--perturb", "typos:0.3")
    assert "perturb" not in json.loads((tmp_path / "plain/run.json").read_text())
    assert json.loads((tmp_path / "noisy/run.json").read_text())["perturb"] == noisy["perturb"] == "typos:0.3"
    for language in ("en", "de"):
        labels = [(tmp_path / folder / f"labels/xnli/test-{language}.tsv").read_bytes() for folder in ("plain", "noisy")]
        assert labels[0] == labels[1]
    counts = [part.get("perturbed") for part in noisy["data"]]
    assert [bool(count) for count in counts] == [part["split"] == "test" for part in noisy["data"]]
    assert all(12 < count["changed"] <= count["texts"] == 24 for count in counts if count)
    assert not any("perturbed" in part for part in plain["data"])
    with pytest.raises(InputError, match="perturb"):
        run("noisy", "--perturb", "typos:0.2")
    with pytest.raises(InputError, match="unknown kind 'typo'"):
        run("other", "--perturb", "typo:0.2")
    assert not (tmp_path / "other").exists()
    collection = collect([tmp_path])
    assert [Path(run.folder).name for run in collection.runs] == ["plain"] and [run.arm for run in collection.perturbed] == [
        {"max_train_samples": 16}
    ]
