"""The miniature data: the same for a seed, in the hub's layout, without overlap of splits or shortcuts, and correct as language."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from samples import show
from samples.ccg import derivation
from samples.grammar import GRAMMARS, Meaning, Thing
from samples.lexicon import KINDS, LANGUAGES, NAMES, read_lexicon
from samples.tasks import Utterance, Writer, nli_pair, owner, two_people
from samples.world import habits, random_meaning, slots
from samples.write_data import DATASETS, ENTITIES, UPOS, write_all

LABELS = ["entailment", "neutral", "contradiction"]
NLI_FOLDERS = ("nyu-mll/glue/mnli", "facebook/anli/plain_text", "stanfordnlp/snli/plain_text", "facebook/xnli/en")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write_all(folder, seed=0, scale=0.1)
    return folder


def tables(folder):
    """{(hub id/config, split): rows} of everything written as parquet."""
    rows = {}
    for path in sorted(Path(folder).rglob("*.parquet")):
        split = path.name.split("-")[0]
        rows[str(path.parent.relative_to(folder)), split] = pq.read_table(path).to_pylist()
    return rows


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path):
    for name, seed in (("one", 3), ("two", 3), ("three", 4)):
        write_all(tmp_path / name, seed=seed, scale=0.004)
    files = [p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file()]
    assert len(files) > 100
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)
    assert any((tmp_path / "one" / f).read_bytes() != (tmp_path / "three" / f).read_bytes() for f in files)


def test_every_config_loads_as_from_the_hub(data, tmp_path):
    expected = {
        "nyu-mll/glue mnli": {"train", "validation_matched", "validation_mismatched"},
        "nyu-mll/glue qqp": {"train", "validation"},
        "facebook/anli plain_text": {f"{part}_r{i}" for part in ("train", "dev", "test") for i in (1, 2, 3)},
        "stanfordnlp/snli plain_text": {"train", "validation", "test"},
        "rajpurkar/squad plain_text": {"train", "validation"},
        "rajpurkar/squad_v2 squad_v2": {"train", "validation"},
        "Rowan/hellaswag default": {"train", "validation", "test"},
        "allenai/cosmos_qa default": {"train", "validation", "test"},
        "tau/commonsense_qa default": {"train", "validation", "test"},
        "facebook/xnli en": {"train", "validation", "test"},
        "facebook/xnli tr": {"validation", "test"},
        "google-research-datasets/paws-x zh": {"validation", "test"},
        "google/xtreme udpos.English": {"train", "validation", "test"},
        "google/xtreme udpos.Arabic": {"validation", "test"},
        "google/xtreme PAN-X.ru": {"validation", "test"},
        "google/xtreme MLQA.zh.zh": {"validation", "test"},
        "google/xtreme tatoeba.cmn": {"validation"},
        "google/xquad xquad.tr": {"validation"},
        "google-research-datasets/tydiqa secondary_task": {"train", "validation"},
        "mteb/BUCC ru-en": {"test"},
    }
    for key, splits in expected.items():
        hub_id, config = key.split()
        loaded = load_dataset(str(data / hub_id), config, cache_dir=str(tmp_path))
        assert set(loaded) == splits, key
        assert all(len(rows) for rows in loaded.values())
        features = next(iter(loaded.values())).features
        if hub_id in ("facebook/anli", "facebook/xnli", "stanfordnlp/snli") or config == "mnli":
            assert features["label"].names == LABELS
        if config.startswith("udpos"):
            assert features["pos_tags"].feature.names == UPOS and len(UPOS) == 17
        if config.startswith("PAN-X"):
            assert features["ner_tags"].feature.names == ENTITIES


def test_readmes_list_every_config_that_was_written(data):
    for hub_id in [*DATASETS, "mteb/BUCC"]:
        readme = (data / hub_id / "README.md").read_text()
        for folder in (data / hub_id).iterdir():
            if folder.is_dir():
                name = "default" if folder.name == "data" else folder.name
                assert f"- config_name: {name}\n" in readme
                assert all(f"path: {folder.name}/{file.name.split('-')[0]}-*" in readme for file in folder.iterdir())


def test_columns_have_the_hub_types(data):
    def schema(path):
        return json.loads(pq.read_schema(data / path).metadata[b"huggingface"])["info"]["features"]

    hellaswag = schema("Rowan/hellaswag/data/test-00000-of-00001.parquet")
    assert list(hellaswag) == "ind activity_label ctx_a ctx_b ctx endings source_id split split_type label".split()
    assert hellaswag["label"] == {"dtype": "string", "_type": "Value"}
    cosmos = schema("allenai/cosmos_qa/data/train-00000-of-00001.parquet")
    assert list(cosmos) == "id context question answer0 answer1 answer2 answer3 label".split()
    assert cosmos["label"] == {"dtype": "int32", "_type": "Value"}
    assert schema("google-research-datasets/paws-x/fr/test-00000-of-00001.parquet")["label"]["names"] == ["0", "1"]
    assert schema("nyu-mll/glue/qqp/train-00000-of-00001.parquet")["label"]["names"] == ["not_duplicate", "duplicate"]
    assert list(schema("google/xquad/xquad.de/validation-00000-of-00001.parquet")) == ["id", "context", "question", "answers"]
    assert schema("mteb/BUCC/de-en/test-00000-of-00001.parquet")["gold"]["feature"]["feature"] == {"dtype": "int32", "_type": "Value"}


def sentences_of(row):
    """Whole statements and questions of a row; choices are drawn from one pool for all splits."""
    if "pos_tags" in row or "ner_tags" in row:
        return [" ".join(row["tokens"])]
    keys = ("premise", "hypothesis", "context", "question", "question1", "question2", "sentence1", "sentence2", "ctx_a")
    texts = [row[key] for key in keys if isinstance(row.get(key), str)]
    return [s.strip() for text in texts for s in text.replace("。", ".\n").replace(". ", ".\n").splitlines() if s.strip()]


GENERIC = ("Who may be", "What may", "Where should", "probably go?", "effect")  # multiple choice asks these of every context


def test_no_sentence_is_in_two_splits_whatever_the_dataset(data):
    """English train is what every model saw; no dev or test set of any language and dataset may hold a sentence of it."""
    part = {"train": "train", "test": "test", "dev": "validation", "validation": "validation"}
    seen = {}
    for (name, split), rows in tables(data).items():
        is_target_test = any(key in name for key in ("xquad", "tydiqa", "tatoeba")) and split == "validation"
        kind = "test" if is_target_test else part[split.split("_")[0]]
        for row in rows:
            for text in sentences_of(row):
                if not text.startswith(GENERIC) and not text.endswith(GENERIC):
                    assert seen.setdefault(text, kind) == kind, (name, split, text)
    assert len(seen) > 5000


def test_raw_text_holds_no_test_sentence_and_no_two_texts_are_parallel(data):
    for language in LANGUAGES:
        lines = (data / "text" / f"{language}.txt").read_text().splitlines()
        assert len(lines) == 2000
        held_out = {row["hypothesis"] for row in tables(data / "facebook/xnli" / language)[".", "test"]}
        assert not held_out & {s.strip() + "." for line in lines for s in line.replace("。", ".").split(".")}
    drawn = [random_meaning(Writer(0, 1).rng(str(i))) for i in range(200)]
    assert {owner(m, m.place, m.time) for m in drawn} == set(LANGUAGES)


def test_answers_are_exact_spans(data):
    count = 0
    for rows in tables(data).values():
        for row in rows:
            for text, start in zip(row.get("answers", {}).get("text", []), row.get("answers", {}).get("answer_start", [])):
                assert row["context"][start : start + len(text)] == text != ""
                count += 1
    assert count > 1500


def test_squad_v2_has_unanswerable_questions_and_snli_has_undecided_rows(data):
    rows = tables(data / "rajpurkar/squad_v2")
    share = sum(not row["answers"]["text"] for row in rows["squad_v2", "train"]) / len(rows["squad_v2", "train"])
    assert 0.25 < share < 0.5
    assert any(row["label"] == -1 for row in tables(data / "stanfordnlp/snli")["plain_text", "train"])


def test_labels_are_balanced(data):
    for name in NLI_FOLDERS:
        for rows in tables(data / name).values():
            counts = [sum(row["label"] == label for row in rows) for label in range(3)]
            assert max(counts) - min(counts) <= max(2, 0.05 * len(rows)), (name, counts)
    for rows in tables(data / "google-research-datasets/paws-x").values():
        assert sum(row["label"] for row in rows) == len(rows) // 2


@pytest.mark.parametrize("part, most", [("hypothesis", 0.38), ("premise", 0.46)])
def test_one_half_of_a_pair_tells_next_to_nothing(part, most):
    """Bag of words and pairs of words on 6,000 pairs; chance is 33%. A premise that says much is likelier to entail, as it is elsewhere."""
    writer = Writer(seed=1, scale=1.0)
    train, test = (writer.collect("shortcut", split, number, nli_pair) for split, number in (("train", 4500), ("test", 1500)))
    texts, labels = zip(
        *(([pair[part == "hypothesis"].text("en") for pair in pairs], [pair[2] for pair in pairs]) for pairs in (train, test))
    )
    vectorizer = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\S+", min_df=3)
    model = LogisticRegression(max_iter=200, C=0.1).fit(vectorizer.fit_transform(texts[0]), labels[0])
    assert 0.28 < model.score(vectorizer.transform(texts[1]), labels[1]) < most


def test_texts_of_all_languages_tell_of_the_same_habits(data):
    """Who works where: names are spelled alike, so each text shows it. Without habits the two halves of a text would not agree."""
    of_people, _ = habits()

    def share(lines, shift):
        """Of the lines about each person, those that tell of the usual town of that one (or of the next one in the list)."""
        towns = [of_people[who].places[-1] for who in NAMES]
        seen = [town in line for who, town in zip(NAMES, towns[shift:] + towns[:shift]) for line in lines if who in line]
        return sum(seen) / len(seen)

    for language in ("en", "ru", "zh"):
        lines = (data / "text" / f"{language}.txt").read_text().splitlines()
        assert share(lines, 0) > 5 * share(lines, 1), language


def test_bucc_gold_counts_from_one_and_matches_the_raw_files(data):
    (row,) = tables(data / "mteb/BUCC/ru-en")[".", "test"]
    raw = data / "bucc2018/ru-en"
    foreign, english = (dict(x.split("\t") for x in (raw / f"ru-en.training.{y}").read_text().splitlines()) for y in ("ru", "en"))
    gold = [x.split("\t") for x in (raw / "ru-en.training.gold").read_text().splitlines()]
    assert list(foreign.values()) == row["sentence1"] and list(english.values()) == row["sentence2"]
    assert len(gold) == len(row["gold"]) == 20 and len(foreign) == len(english) == 200
    for (a, b), (i, j) in zip(gold, row["gold"]):
        assert (foreign[a], english[b]) == (row["sentence1"][i - 1], row["sentence2"][j - 1])
    assert len(set(english.values())) == len(english)


def test_tatoeba_shares_its_english_sentences_and_keeps_the_newline(data):
    sides = [tables(data / "google/xtreme" / f"tatoeba.{code}")[".", "validation"] for code in ("ara", "tur", "deu")]
    assert [r["target_sentence"] for r in sides[0]] == [r["target_sentence"] for r in sides[1]] == [r["target_sentence"] for r in sides[2]]
    assert all(r["source_sentence"].endswith("\n") and r["target_sentence"].endswith("\n") for side in sides for r in side)


def test_ccgbank_files_cover_the_sections_and_their_trees_are_closed(data):
    files = sorted((data / "LDC2005T13/data/AUTO").rglob("*.auto"))
    assert [f.parent.name for f in files] == [f"{i:02d}" for i in range(25)]
    for line in files[0].read_text().splitlines()[1::2]:
        assert line.count("(<") == line.count("<T") + line.count("<L") and check_tree(line) == "S[dcl]"


def check_tree(line):
    """The category at the root of a derivation, after checking every step by application, composition or unary N -> NP."""
    tokens = line.replace("(<", " (< ").replace("> )", "> )").split()

    def read(at):
        kind, category = tokens[at + 1], tokens[at + 2]
        at += 3
        while not tokens[at].endswith(">") and not tokens[at].endswith(">)"):
            at += 1
        if kind == "L":
            return category, at + 1
        children, at = [], at + 1
        while tokens[at] == "(<":
            child, at = read(at)
            children.append(child)
        assert tokens[at] == ")"
        assert fits(category, children), (category, children)
        return category, at + 1

    return read(0)[0]


def bare(category):
    """Without features, and without the brackets around the whole."""
    for feature in ("[dcl]", "[b]", "[pss]", "[nb]", "[conj]"):
        category = category.replace(feature, "")
    if category.startswith("(") and category.endswith(")"):
        depth = [category[: i + 1].count("(") - category[: i + 1].count(")") for i in range(len(category) - 1)]
        category = category[1:-1] if min(depth) > 0 else category
    return category


def fits(result, children):
    if len(children) == 1:
        return (children[0], result) == ("N", "NP")
    left, right = map(bare, children)
    result = bare(result)
    forms = {f"{result}/{right}", f"({result})/{right}", f"{result}/({right})", f"({result})/({right})"}
    backward = {f"{result}\\{left}", f"({result})\\{left}", f"{result}\\({left})", f"({result})\\({left})"}
    composed = right == "(S\\NP)\\(S\\NP)" and left == result == "(S\\NP)/(S\\NP)"
    joined = (left, right, result) in (("conj", "S", "S"), ("S", "S", "S"))
    return left in forms or right in backward or composed or joined or right in (".", ",") and left == result


def test_ccg_derivations_cover_every_kind_of_statement():
    meaning = Meaning(Thing("Anna", ""), "see", Thing("dog", "black", 3), "park", "monday")
    text = derivation(GRAMMARS["en"].say(meaning, "time"))
    assert "(<L (S[dcl]\\NP)/NP VBD VBD saw (S[dcl]\\NP)/NP>)" in text and "(<L (S/S)/NP IN IN On (S/S)/NP>)" in text
    people = two_people(Writer(0, 1).rng("ccg"))
    for line in (text, derivation(GRAMMARS["en"].say_passive(people)), derivation(GRAMMARS["en"].say_both(meaning, people))):
        assert check_tree(line) == "S[dcl]"


def test_every_lexicon_knows_the_same_concepts():
    english = read_lexicon("en")
    assert set(english["nouns"]) == {noun for nouns in KINDS.values() for noun in nouns}
    for language in LANGUAGES:
        lexicon = read_lexicon(language)
        for section in ("nouns", "adjectives", "verbs", "places", "times", "numbers"):
            assert list(lexicon[section]) == list(english[section]), (language, section)
    assert set(NAMES) <= set(read_lexicon("tr")["suffixed"])


def test_every_meaning_can_be_said_and_asked_in_every_language():
    rng = Writer(0, 1).rng("all")
    for _ in range(300):
        meaning = random_meaning(rng)
        for language in LANGUAGES:
            sentence = GRAMMARS[language].say(meaning)
            assert "  " not in sentence.text and sentence.text[0] == sentence.text[0].upper()
            assert all(tag in UPOS for _, tag in sentence.words) and all(token.entity in ENTITIES for token in sentence.tokens)
            for slot in slots(meaning) if not meaning.negated else ():
                start, answer = sentence.span(slot)
                assert sentence.text[start : start + len(answer)] == answer
                assert answer.casefold() not in GRAMMARS[language].ask(meaning, slot).text.casefold() or len(answer) < 3


def test_universal_dependencies_words_split_contractions():
    assert GRAMMARS["de"].say(Meaning(Thing("Anna"), "sing", place="park")).words[2:5] == [("in", "ADP"), ("dem", "DET"), ("Park", "NOUN")]
    assert GRAMMARS["fr"].say(Meaning(Thing("Anna"), "sing", place="park")).words[3:6] == [("à", "ADP"), ("le", "DET"), ("parc", "NOUN")]
    was_in_the_garden = GRAMMARS["tr"].say(Meaning(Thing("Anna"), "be", place="garden"))
    assert was_in_the_garden.text == "Anna bahçedeydi." and was_in_the_garden.words[1:3] == [("bahçede", "NOUN"), ("ydi", "AUX")]


READ_BY_A_PERSON = (
    Utterance(Meaning(Thing("king", definite=True), "sell", Thing("elephant", "big", 5), "village", "1999"), front="time"),
    Utterance(Meaning(Thing("queen", "young", definite=True), "write", Thing("letter", "new", 3), "office", "evening")),
    Utterance(Meaning(Thing("Ali"), "eat", Thing("egg"), time="saturday", negated=True)),
    Utterance(Meaning(Thing("Emma"), "lose", Thing("guitar", "old", definite=True), "Solvex", "wednesday")),
    Utterance(Meaning(Thing("teacher", definite=True), "praise", Thing("boy", "happy", definite=True), "school")),
    Utterance(Meaning(Thing("Nadia"), "wash", Thing("cup", "white", 6), "kitchen", "yesterday"), front="place"),
    Utterance(Meaning(Thing("Rosa"), "draw", Thing("flower", "", 4), "La Paz"), asked="count"),
    Utterance(Meaning(Thing("king", definite=True), "be", place="forest", time="thursday"), asked="place"),
    Utterance(Meaning(Thing("Hugo"), "see", Thing("animal", "white"), "station", "morning")),
    Utterance(Meaning(Thing("Olga"), "hear", Thing("lion", definite=True), "park", "2003"), asked="year"),
    Utterance(Meaning(Thing("thief", definite=True), "find", Thing("key", "", 3), "hotel", "sunday"), asked="subject"),
    Utterance(Meaning(Thing("woman", "sad", definite=True), "cry", place="hospital", negated=True)),
    Utterance(Meaning(Thing("Irina"), "buy", Thing("coat", "blue"), "Buenos Aires"), asked="object"),
)
READ = {
    "en": [
        "In 1999, the king sold five big elephants in the village.",
        "The young queen wrote three new letters in the office in the evening.",
        "Ali did not eat an egg on Saturday.",
        "Emma lost the old guitar at Solvex on Wednesday.",
        "The teacher praised the happy boy at the school.",
        "In the kitchen, Nadia washed 6 white cups yesterday.",
        "How many flowers did Rosa draw in La Paz?",
        "Where was the king on Thursday?",
        "Hugo saw a white animal at the station in the morning.",
        "In which year did Olga hear the lion in the park?",
        "Who found three keys in the hotel on Sunday?",
        "The sad woman did not cry in the hospital.",
        "What did Irina buy in Buenos Aires?",
    ],
    "de": [
        "Im Jahr 1999 verkaufte der König im Dorf fünf große Elefanten.",
        "Die junge Königin schrieb am Abend im Büro drei neue Briefe.",
        "Ali aß am Samstag kein Ei.",
        "Emma verlor die alte Gitarre am Mittwoch bei Solvex.",
        "Der Lehrer lobte den glücklichen Jungen in der Schule.",
        "In der Küche wusch Nadia gestern 6 weiße Tassen.",
        "Wie viele Blumen zeichnete Rosa in La Paz?",
        "Wo war der König am Donnerstag?",
        "Hugo sah am Morgen am Bahnhof ein weißes Tier.",
        "In welchem Jahr hörte Olga den Löwen im Park?",
        "Wer fand am Sonntag im Hotel drei Schlüssel?",
        "Die traurige Frau weinte nicht im Krankenhaus.",
        "Was kaufte Irina in Buenos Aires?",
    ],
    "es": [
        "En 1999 el rey vendió cinco elefantes grandes en el pueblo.",
        "La reina joven escribió tres cartas nuevas en la oficina por la noche.",
        "Ali no comió ningún huevo el sábado.",
        "Emma perdió la guitarra vieja en Solvex el miércoles.",
        "El profesor elogió al niño feliz en la escuela.",
        "En la cocina Nadia lavó 6 tazas blancas ayer.",
        "¿Cuántas flores dibujó Rosa en La Paz?",
        "¿Dónde estuvo el rey el jueves?",
        "Hugo vio un animal blanco en la estación por la mañana.",
        "¿En qué año oyó Olga al león en el parque?",
        "¿Quién encontró tres llaves en el hotel el domingo?",
        "La mujer triste no lloró en el hospital.",
        "¿Qué compró Irina en Buenos Aires?",
    ],
    "fr": [
        "En 1999, le roi a vendu cinq grands éléphants au village.",
        "La jeune reine a écrit trois nouvelles lettres au bureau le soir.",
        "Ali n'a pas mangé d'œuf samedi.",
        "Emma a perdu la vieille guitare chez Solvex mercredi.",
        "Le professeur a complimenté le garçon heureux à l'école.",
        "Dans la cuisine, Nadia a lavé 6 tasses blanches hier.",
        "Combien de fleurs Rosa a-t-elle dessinées à La Paz ?",
        "Où le roi était-il jeudi ?",
        "Hugo a vu un animal blanc à la gare le matin.",
        "En quelle année Olga a-t-elle entendu le lion au parc ?",
        "Qui a trouvé trois clés à l'hôtel dimanche ?",
        "La femme triste n'a pas pleuré à l'hôpital.",
        "Qu'a acheté Irina à Buenos Aires ?",
    ],
    "ru": [
        "В 1999 году король продал пять больших слонов в деревне.",
        "Молодая королева написала три новых письма в офисе вечером.",
        "Ali не съел яйцо в субботу.",
        "Emma потеряла старую гитару в компании Solvex в среду.",
        "Учитель похвалил счастливого мальчика в школе.",
        "На кухне Nadia помыла 6 белых чашек вчера.",
        "Сколько цветов Rosa нарисовала в La Paz?",
        "Где был король в четверг?",
        "Hugo видел белое животное на вокзале утром.",
        "В каком году Olga слышала льва в парке?",
        "Кто нашёл три ключа в гостинице в воскресенье?",
        "Грустная женщина не плакала в больнице.",
        "Что купила Irina в Buenos Aires?",
    ],
    "tr": [
        "1999 yılında kral köyde beş büyük fil sattı.",
        "Genç kraliçe akşam ofiste üç yeni mektup yazdı.",
        "Ali cumartesi günü yumurta yemedi.",
        "Emma çarşamba günü Solvex'te eski gitarı kaybetti.",
        "Öğretmen okulda mutlu oğlanı övdü.",
        "Mutfakta Nadia dün 6 beyaz fincan yıkadı.",
        "Rosa La Paz'da kaç çiçek çizdi?",
        "Kral perşembe günü neredeydi?",
        "Hugo sabah istasyonda beyaz bir hayvan gördü.",
        "Olga hangi yıl parkta aslanı duydu?",
        "Pazar günü otelde kim üç anahtar buldu?",
        "Üzgün kadın hastanede ağlamadı.",
        "Irina Buenos Aires'te ne aldı?",
    ],
    "ar": [
        "في عام 1999 باع الملك خمسة أفيال كبيرة في القرية.",
        "كتبت الملكة الشابة ثلاث رسائل جديدة في المكتب في المساء.",
        "لم يأكل Ali بيضة يوم السبت.",
        "فقدت Emma الغيتار القديم في شركة Solvex يوم الأربعاء.",
        "مدح المعلم الولد السعيد في المدرسة.",
        "في المطبخ غسلت Nadia 6 أكواب بيضاء أمس.",
        "كم زهرة رسمت Rosa في La Paz؟",
        "أين كان الملك يوم الخميس؟",
        "رأى Hugo حيوانا أبيض في المحطة في الصباح.",
        "في أي عام سمعت Olga الأسد في المتنزه؟",
        "من الذي وجد ثلاثة مفاتيح في الفندق يوم الأحد؟",
        "لم تبك المرأة الحزينة في المستشفى.",
        "ماذا اشترت Irina في Buenos Aires؟",
    ],
    "zh": [
        "1999 年，国王在村子里卖了五头巨大的象。",
        "年轻的女王晚上在办公室里写了三封新信。",
        "Ali 星期六没有吃鸡蛋。",
        "Emma 星期三在 Solvex 公司弄丢了那把旧吉他。",
        "老师在学校里称赞了快乐的男孩。",
        "在厨房里，Nadia 昨天洗了 6 个白色的杯子。",
        "Rosa 在 La Paz 画了几朵花？",
        "国王星期四在哪里？",
        "Hugo 早上在车站看见了一只白色的动物。",
        "Olga 哪一年在公园里听见了那头狮子？",
        "星期日谁在酒店里找到了三把钥匙？",
        "悲伤的女人没有在医院里哭。",
        "Irina 在 Buenos Aires 买了什么？",
    ],
}


def test_the_page_of_sentences_is_what_the_world_says(capsys):
    show.main()
    page = (Path(__file__).parents[1] / "docs" / "miniature_world.md").read_text()
    assert page.endswith(capsys.readouterr().out.rstrip() + "\n")


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_read_by_a_person(language):
    """Verified word by word: gender, case, agreement, vowel harmony, elision, measure words, order."""
    said = [utterance.text(language) for utterance in READ_BY_A_PERSON]
    assert said == READ[language]


NO_KEY = Meaning(Thing("Bruno"), "find", Thing("key"), negated=True)
NO_OLD_BOOK = Meaning(Thing("Eva"), "read", Thing("book", "old"), "park", negated=True)
THE_DOG = Meaning(Thing("Nina"), "see", Thing("dog", "black", definite=True), "park", "sunday")
THE_COW = Meaning(Thing("Karim"), "buy", Thing("cow", definite=True))
NINE_EGGS = Meaning(Thing("Boris"), "find", Thing("egg", count=9), time="2010")
LAST_YEARS = Meaning(Thing("Diana"), "be", place="Oslo", time="2011")
QUEEN = Meaning(Thing("Anna"), "wake", Thing("queen", definite=True), "hotel", "yesterday")
DECIDED = (  # Sentences for which a grammar allows a choice, or whose first version was understandable but not idiomatic.
    (Utterance(NO_KEY), dict(de="Bruno fand keinen Schlüssel.", es="Bruno no encontró ninguna llave.", ru="Bruno не нашёл ключ.")),
    (Utterance(NO_KEY), dict(fr="Bruno n'a pas trouvé de clé.", tr="Bruno anahtar bulamadı.", zh="Bruno 没有找到钥匙。")),
    (Utterance(NO_OLD_BOOK), dict(es="Eva no leyó ningún libro viejo en el parque.", tr="Eva parkta eski bir kitap okumadı.")),
    (Utterance(THE_DOG), dict(de="Nina sah den schwarzen Hund am Sonntag im Park.", es="Nina vio al perro negro en el parque el domingo.")),
    (Utterance(replace(THE_DOG, negated=True)), dict(es="Nina no vio al perro negro en el parque el domingo.")),
    (Utterance(replace(THE_DOG, object=Thing("dog"))), dict(es="Nina vio un perro en el parque el domingo.")),
    (Utterance(replace(THE_DOG, object=Thing("cow", definite=True))), dict(es="Nina vio a la vaca en el parque el domingo.")),
    (Utterance(replace(THE_DOG, object=Thing("animal", definite=True))), dict(es="Nina vio al animal en el parque el domingo.")),
    (Utterance(replace(THE_DOG, object=Thing("hat", definite=True))), dict(es="Nina vio el sombrero en el parque el domingo.")),
    (Utterance(THE_COW), dict(es="Karim compró la vaca.", ru="Karim купил корову.", ar="اشترى Karim البقرة.", zh="Karim 买了那头牛。")),
    (Utterance(QUEEN), dict(de="Anna weckte die Königin gestern im Hotel.", zh="Anna 昨天在酒店里叫醒了女王。")),
    (Utterance(replace(QUEEN, negated=True)), dict(de="Anna weckte die Königin gestern nicht im Hotel.")),
    (Utterance(NINE_EGGS), dict(de="Boris fand 9 Eier im Jahr 2010.", tr="Boris 2010 yılında 9 yumurta buldu.")),
    (Utterance(replace(NINE_EGGS, place="Oslo")), dict(de="Boris fand im Jahr 2010 in Oslo 9 Eier.")),
    (Utterance(replace(NINE_EGGS, place="Oslo"), asked="place"), dict(de="Wo fand Boris 9 Eier im Jahr 2010?")),
    (Utterance(NINE_EGGS, front="time"), dict(de="Im Jahr 2010 fand Boris 9 Eier.")),
    (Utterance(replace(NINE_EGGS, time="monday")), dict(de="Boris fand am Montag 9 Eier.")),
    (Utterance(LAST_YEARS, asked="year"), dict(es="¿En qué año estuvo Diana en Oslo?", ru="В каком году Diana была в Oslo?")),
    (Utterance(LAST_YEARS, asked="place"), dict(es="¿Dónde estuvo Diana en 2011?", ru="Где была Diana в 2011 году?")),
    (Utterance(QUEEN, asked="object"), dict(ru="Кого разбудила Anna в гостинице вчера?", es="¿A quién despertó Anna en el hotel ayer?")),
    (Utterance(QUEEN, asked="place"), dict(ru="Где Anna разбудила королеву вчера?", es="¿Dónde despertó Anna a la reina ayer?")),
    (Utterance(Meaning(Thing("Hugo"), "work", place="Lima")), dict(zh="Hugo 在 Lima 工作过。")),
    (Utterance(Meaning(Thing("Hugo"), "work", negated=True)), dict(zh="Hugo 没有工作。")),
    (Utterance(Meaning(Thing("Hugo"), "run", time="monday"), asked="subject"), dict(zh="星期一谁跑步了？")),
    (Utterance(Meaning(Thing("Hugo"), "sleep")), dict(zh="Hugo 睡觉了。")),
    (Utterance(Meaning(Thing("Hugo"), "hear", Thing("elephant"))), dict(zh="Hugo 听见了一头象。")),
    (Utterance(Meaning(Thing("Hugo"), "hear", Thing("elephant", "big", 7)), asked="count"), dict(zh="Hugo 听见了几头巨大的象？")),
    (Utterance(Meaning(Thing("Tom"), "draw", Thing("Sara"), "beach"), is_passive=True), dict(zh="Sara 在海滩上被 Tom 画了下来。")),
    (Utterance(Meaning(Thing("Tom"), "see", Thing("Sara"), "beach"), is_passive=True), dict(zh="Sara 在海滩上被 Tom 看见了。")),
)


@pytest.mark.parametrize(("language", "utterance", "said"), [(x, u, said) for u, by_language in DECIDED for x, said in by_language.items()])
def test_sentences_decided_upon(language, utterance, said):
    assert utterance.text(language) == said


def test_words_decided_upon_have_their_tags():
    work, drawn = Meaning(Thing("Hugo"), "work"), Meaning(Thing("Tom"), "draw", Thing("Sara"))
    assert GRAMMARS["zh"].say(work).words[1:3] == [("工作", "VERB"), ("过", "AUX")]
    assert GRAMMARS["zh"].say_passive(drawn).words[3:6] == [("画", "VERB"), ("了", "AUX"), ("下来", "VERB")]
    elephant = GRAMMARS["zh"].ask(Meaning(Thing("Hugo"), "hear", Thing("elephant", "big", 7)), "count").words[5:8]
    assert elephant == [("巨大", "ADJ"), ("的", "PART"), ("象", "NOUN")]
    assert GRAMMARS["es"].say(NO_KEY).words[3:5] == [("ninguna", "DET"), ("llave", "NOUN")]
    assert GRAMMARS["es"].say(THE_DOG).words[2:5] == [("a", "ADP"), ("el", "DET"), ("perro", "NOUN")]
    assert GRAMMARS["es"].say(LAST_YEARS).words[1] == ("estuvo", "AUX")
