"""The rows of all eighteen datasets, made from meanings. Each function returns {config: {split: rows}} for one dataset.

`Ledger` keeps the splits apart: a meaning belongs for good to the first of train, validation and test that said it.
"""

import json
import random
import zlib
from dataclasses import dataclass, replace
from functools import cache

from samples import world
from samples.ccg import derivation
from samples.grammar import GRAMMARS, Meaning, Thing, is_person
from samples.lexicon import KINDS, LANGUAGES, NAMES, SURNAMES, WOMEN, is_name
from samples.world import random_front, random_meaning, random_name

NAMES_OF_LANGUAGES = dict(en="English", de="German", es="Spanish", fr="French", ru="Russian", tr="Turkish", ar="Arabic", zh="Chinese")
TATOEBA_CODES = dict(ar="ara", de="deu", es="spa", fr="fra", ru="rus", tr="tur", zh="cmn")
CACHE_PATH = "cache/huggingface/datasets/downloads/" + "0" * 64  # the hub's column source_lang holds a path like this one, not a language


@dataclass(frozen=True)
class Utterance:
    """A meaning and its wording: with a part in front, as a question, in the passive, or joined with a second meaning by "and"."""

    meaning: Meaning
    front: str = ""
    asked: str = ""
    is_passive: bool = False
    second: Meaning | None = None

    def sentence(self, language):
        grammar = GRAMMARS[language]
        if self.second:
            return grammar.say_both(self.meaning, self.second)
        if self.asked:
            return grammar.ask(self.meaning, self.asked)
        return grammar.say_passive(self.meaning) if self.is_passive else grammar.say(self.meaning, self.front)

    def text(self, language):
        return self.sentence(language).text

    @property
    def keys(self):
        """Keys for the ledger: the meaning in any wording. A question's key is its meaning without the answer."""
        if self.asked:
            part = {"year": "time", "count": "object"}.get(self.asked, self.asked)
            uncounted = Thing(self.meaning.object.noun, self.meaning.object.adjective) if self.asked == "count" else None
            return [(without_article(replace(self.meaning, **{part: uncounted if part == "object" else ""})), self.asked)]
        return [without_article(m) for m in (self.meaning, self.second) if m]


def without_article(m):
    """The meaning with "a" in place of "the". Russian says both alike, so the ledger must not tell them apart."""
    return replace(m, object=replace(m.object, definite=False)) if m.object and m.object.definite else m


def all_keys(utterances):
    return [key for utterance in utterances for key in utterance.keys]


def paragraph(utterances, language):
    return ("" if language == "zh" else " ").join(utterance.text(language) for utterance in utterances)


class Ledger:
    """Notes the split of each meaning. Two splits that share a meaning would share a sentence in every language."""

    def __init__(self):
        self.split_of = {}

    def claim(self, split, keys):
        if any(self.split_of.get(key, split) != split for key in keys):
            return False
        self.split_of.update(dict.fromkeys(keys, split))
        return True


class Writer:
    """A seeded source of rows. `scale` multiplies every size; the ledger is shared by all datasets."""

    def __init__(self, seed, scale):
        self.seed, self.scale, self.ledger = seed, scale, Ledger()

    def size(self, number):
        return max(8, round(number * self.scale))

    def rng(self, name):
        return random.Random(zlib.crc32(f"{self.seed} {name}".encode()))

    def collect(self, name, split, number, make):
        """`number` items. make(rng, number of items so far) returns (item, keys that no other split may have), or None to draw again."""
        rng, items = self.rng(f"{name} {split}"), []
        while len(items) < self.size(number):
            made = make(rng, len(items))
            if made is not None and self.ledger.claim(split, made[1]):
                items.append(made[0])
        return items

    def collect_splits(self, name, sizes, make):
        return {split: self.collect(name, split, number, make) for split, number in sizes.items()}


def indexed(rows):
    return [{**row, "idx": i} for i, row in enumerate(rows)]


def fronted(rng, meaning):
    return Utterance(meaning, random_front(rng, meaning))


# Natural language inference


def nli_pair(rng, number, persons=False):
    """(premise, hypothesis, label). Labels take turns. The hypothesis is drawn before its label."""
    hypothesis, label = world.random_hypothesis(rng), number % 3
    if persons and is_name(hypothesis.subject.noun):
        hypothesis = replace(hypothesis, subject=world.random_person_noun(rng))
    pair = [fronted(rng, m) for m in (world.premise_for(rng, hypothesis, label), hypothesis)]
    return (*pair, label), all_keys(pair)


def person_pair(rng, number):
    return nli_pair(rng, number, persons=True)


def nli_rows(pairs, language="en"):
    return [dict(premise=p.text(language), hypothesis=h.text(language), label=label) for p, h, label in pairs]


def glue(w):
    mnli = {
        "train": w.collect("mnli", "train", 8000, nli_pair),
        "validation_matched": w.collect("mnli", "validation", 400, nli_pair),
        "validation_mismatched": w.collect("mnli mismatched", "validation", 400, person_pair),
    }
    qqp = w.collect_splits("qqp", {"train": 5000, "validation": 400}, question_pair)
    return {"mnli": {s: indexed(nli_rows(p)) for s, p in mnli.items()}, "qqp": {s: indexed(rows) for s, rows in qqp.items()}}


def snli(w):
    """Sentences about persons only, as in picture captions. One row in fifty has the label -1, as where SNLI's annotators disagree."""
    pairs = w.collect_splits("snli", {"train": 4000, "validation": 400, "test": 400}, person_pair)
    rows = {split: nli_rows(each) for split, each in pairs.items()}
    return {"plain_text": {s: [{**row, "label": -1} if i % 50 == 49 else row for i, row in enumerate(r)] for s, r in rows.items()}}


def anli(w):
    """The premise is one of several facts; the others, one, two or three in rounds one, two and three, are about other people."""
    result = {}
    for distractors, size in ((1, 1500), (2, 2000), (3, 2500)):
        for split, hub, number in (("train", "train", size), ("validation", "dev", 300), ("test", "test", 300)):
            pairs = w.collect(f"anli {distractors}", split, number, lambda rng, n, d=distractors: crowded_pair(rng, n, d))
            rows = nli_rows((h, h, label) for _, h, label in pairs)
            for i, (row, (facts, _, _)) in enumerate(zip(rows, pairs)):
                row.update(uid=f"r{distractors}-{hub}-{i}", premise=paragraph(facts, "en"), reason="")
            result[f"{hub}_r{distractors}"] = rows
    return {"plain_text": result}


def crowded_pair(rng, number, distractors):
    (premise, hypothesis, label), _ = nli_pair(rng, number)
    facts = [premise]
    while len(facts) <= distractors:
        other = random_meaning(rng, place=0.6, time=0.5)
        if other.subject.noun != hypothesis.meaning.subject.noun:
            facts.append(fronted(rng, other))
    rng.shuffle(facts)
    return (facts, hypothesis, label), all_keys([*facts, hypothesis])


def xnli(w):
    pairs = w.collect_splits("xnli", {"train": 4000, "validation": 400, "test": 400}, nli_pair)
    return {x: {s: nli_rows(p, x) for s, p in pairs.items() if s != "train" or x == "en"} for x in LANGUAGES}


# Paraphrase


def swapped(m):
    return replace(m, subject=m.object, object=m.subject)


def two_people(rng):
    """One person does something to another. When they exchange their roles, the words stay the same."""
    one, other = rng.sample(world.NAMES, 2)
    time = world.random_time(rng) if rng.random() < 0.6 else ""
    return Meaning(Thing(one), rng.choice(world.TRANSITIVE_ON_PEOPLE), Thing(other), world.random_place(rng), time)


def two_events(rng):
    """Two events that share no part, so that their people or places can be exchanged."""
    while True:
        a, b = (random_meaning(rng, place=1.0, time=0.6, negated=0.0, be=0.0) for _ in range(2))
        people_and_things = [thing for m in (a, b) for thing in (m.subject, m.object) if thing is not None]
        if a.verb != b.verb and a.place != b.place and len(set(people_and_things)) == len(people_and_things):
            return [a, b]


def paraphrase_pair(rng, number):
    """(utterances, utterances, label): label 1 says the same in another order or in the passive, label 0 exchanges two parts."""
    label, is_passive = number % 2, False
    if rng.random() < 0.5:
        m = two_people(rng)
        first, second, is_passive = [m], [m if label else swapped(m)], rng.random() < 0.5
    else:
        first, part = two_events(rng), rng.choice(("subject", "place"))
        second = first if label else [replace(m, **{part: getattr(n, part)}) for m, n in zip(first, reversed(first))]
        second = second[::-1] if rng.random() < 0.7 else second
    one = [fronted(rng, m) for m in first]
    two = [Utterance(m, is_passive=True) if is_passive else fronted(rng, m) for m in second]
    if not is_passive and [(u.meaning.verb, u.front) for u in one] == [(u.meaning.verb, u.front) for u in two]:
        return None  # The wording is the same. Such pairs are refused for both labels: else the wording would tell the label.
    return (one, two, label), all_keys(one + two)


def paws_x(w):
    pairs = w.collect_splits("paws-x", {"train": 4000, "validation": 400, "test": 400}, paraphrase_pair)

    def rows(x, split):
        return [dict(id=i, sentence1=paragraph(a, x), sentence2=paragraph(b, x), label=y) for i, (a, b, y) in enumerate(pairs[split], 1)]

    return {x: {s: rows(x, s) for s in pairs if s != "train" or x == "en"} for x in ("en", "de", "es", "fr", "zh")}


def question_pair(rng, number):
    """A direct and an indirect question. They are no duplicates when roles, a value or the slot that is asked for differ."""
    label = number % 2
    m = two_people(rng) if rng.random() < 0.5 else random_meaning(rng, place=0.8, time=0.6, negated=0.0)
    asked = other_asked = rng.choice(world.slots(m))
    other = m
    if not label:
        kind = rng.choice(("swap", "slot", "value"))
        if kind == "swap" and m.object and is_name(m.object.noun) and is_name(m.subject.noun):
            other, other_asked = swapped(m), {"subject": "object", "object": "subject"}.get(asked, asked)
        elif kind == "slot" and len(world.slots(m)) > 1:
            other_asked = rng.choice([slot for slot in world.slots(m) if slot != asked])
        else:
            told = {"place", "time", "noun", "verb"} - {{"place": "place", "year": "time", "object": "noun"}.get(asked)}
            changed = [c for c in (world.exchanged(rng, m, part) for part in sorted(told)) if c]
            if not changed:
                return None
            other = rng.choice(changed)
    pair = [GRAMMARS["en"].ask(m, asked).text, indirect_question(rng, other, other_asked)]
    one, two = pair if rng.random() < 0.5 else reversed(pair)
    return dict(question1=one, question2=two, label=label), all_keys([Utterance(m, asked=asked), Utterance(other, asked=other_asked)])


def indirect_question(rng, m, slot):
    """Can you tell me where Anna bought a book? (the order of a statement)"""
    english = GRAMMARS["en"]
    parts = {key: " ".join(token.text for token in tokens) for key, tokens in english.parts(m, without=slot).items()}
    verb = " ".join(token.text for token in english.verb(m))
    if slot == "count":
        wh = f"how many {m.object.adjective} {english.nouns[m.object.noun]['plural']}"
    elif slot == "object":
        wh = "who" if is_person(m.object) else "what"
    else:
        wh = {"subject": "who", "place": "where", "year": "in which year"}[slot]
    opening = rng.choice(("Can you tell me", "Do you know", "Could you say"))
    return " ".join(f"{opening} {wh} {parts['subject']} {verb} {parts['object']} {parts['place']} {parts['time']}".split()) + "?"


# Question answering


def reading(rng, unanswerable=False):
    """(facts, question, index of the fact that answers it or None); None where no question has a single answer in the story."""
    facts = world.story(rng, rng.randint(3, 6))
    drawn = world.random_question(rng, facts)
    if drawn is None:
        return None
    question, slot, index = drawn
    if unanswerable:
        part = "subject" if slot != "subject" else rng.choice(("verb", "place", "time"))
        somebody = rng.choice(facts).subject if rng.random() < 0.7 else Thing(random_name(rng))  # more often a person of the story
        question = replace(question, subject=somebody) if part == "subject" else world.exchanged(rng, question, part)
        if question is None or question.subject == question.object or any(world.answers(question, slot, fact) for fact in facts):
            return None
        index = None
    said, asked = [fronted(rng, fact) for fact in facts], Utterance(question, asked=slot)
    return (said, asked, index), all_keys([*said, asked])


def reading_maker(answerable=1.0):
    return lambda rng, number: reading(rng, unanswerable=rng.random() >= answerable)


def reading_row(item, language, row_id):
    """Answers in the hub's form. answer_start counts code points of the context, as in all these datasets."""
    facts, question, index = item
    sentences, between = [fact.sentence(language) for fact in facts], "" if language == "zh" else " "
    answers = {"text": [], "answer_start": []}
    if index is not None:
        start, text = sentences[index].span(question.asked)
        answers = {"text": [text], "answer_start": [start + sum(len(s.text + between) for s in sentences[:index])]}
    context = between.join(s.text for s in sentences)
    title = facts[0].meaning.place.title().replace(" ", "_")
    return dict(id=row_id, title=title, context=context, question=question.text(language), answers=answers)


def squad(w):
    items = w.collect_splits("squad", {"train": 4000, "validation": 400}, reading_maker())
    return {"plain_text": {s: [reading_row(item, "en", f"squad-{s}-{i}") for i, item in enumerate(each)] for s, each in items.items()}}


def squad_v2(w):
    items = w.collect_splits("squad_v2", {"train": 5000, "validation": 400}, reading_maker(answerable=0.6))
    return {"squad_v2": {s: [reading_row(item, "en", f"squad2-{s}-{i}") for i, item in enumerate(each)] for s, each in items.items()}}


def xquad(w):
    items = w.collect("xquad", "test", 400, reading_maker())
    rows = {x: [reading_row(item, x, f"xquad-{i}") for i, item in enumerate(items)] for x in LANGUAGES if x != "fr"}
    return {f"xquad.{x}": {"validation": [{k: v for k, v in row.items() if k != "title"} for row in each]} for x, each in rows.items()}


def mlqa(w):
    items = w.collect_splits("mlqa", {"validation": 400, "test": 400}, reading_maker())
    return {
        f"MLQA.{x}.{x}": {s: [reading_row(item, x, f"mlqa-{s}-{i}") for i, item in enumerate(each)] for s, each in items.items()}
        for x in ("en", "de", "es", "ar", "zh")
    }


def tydiqa(w):
    """Not parallel: every language has its own texts, and the id begins with the language's name."""
    rows = {"train": [], "validation": []}
    for x in ("en", "ar", "ru"):
        for split, hub, number in (("train", "train", 1500), ("test", "validation", 400)):
            items = w.collect(f"tydiqa {x}", split, number, reading_maker())
            rows[hub] += [reading_row(item, x, f"{NAMES_OF_LANGUAGES[x].lower()}-{hub}{i}-0") for i, item in enumerate(items)]
    return {"secondary_task": rows}


# Multiple choice, English only: the context decides, or what is always true in these data

DONE_WITH = {"read": "text", "eat": "fruit", "wake": "animal", "wash": "thing"}
WISHES = {
    "kitchen": "cook", "hotel": "sleep", "office": "work", "library": "read a book", "market": "buy some fruit", "restaurant": "eat cake",
    "museum": "see old paintings", "beach": "swim", "station": "take a train", "hospital": "see a doctor", "school": "meet a teacher",
}  # fmt: skip
CONCEPTS = {"animal": "an animal", "fruit": "some fruit", "person": "a person", "text": "something to read"}
CHOICE_SIZES = {"validation": 400, "test": 400}


def pronoun(name):
    return "she" if name in WOMEN else "he"


def random_phrase(rng):
    """in Madrid on Monday"""
    english = GRAMMARS["en"]
    return " ".join(token.text for token in english.place(world.random_place(rng)) + english.time(world.random_time(rng)))


def shuffled(rng, choices):
    """(choices in a new order, index of what was the first)."""
    order = rng.sample(range(len(choices)), len(choices))
    return [choices[i] for i in order], order.index(0)


def numbered(splits):
    """The rows of each split. `make` decides about the labels of test rows."""
    return {split: [{**row, "id": f"miniature-{split}-{i}"} for i, row in enumerate(rows)] for split, rows in splits.items()}


def hellaswag(w):
    """Two people get one thing each. The right ending uses the thing of the person who is named, a wrong one that of the other."""

    def make(rng, number):
        verbs, people = rng.sample(sorted(DONE_WITH), 4), rng.sample(world.NAMES, 2)
        nouns = [rng.choice(KINDS[DONE_WITH[verb]]) for verb in verbs]
        got = [Meaning(Thing(who), rng.choice(("buy", "find")), Thing(noun), world.random_place(rng)) for who, noun in zip(people, nouns)]
        facts = [fronted(rng, m) for m in rng.sample(got, 2)]
        endings, label = shuffled(rng, [f"{GRAMMARS['en'].verbs[verb]['past']} the {noun}." for verb, noun in zip(verbs, nouns)])
        context, start = paragraph(facts, "en"), f"Then {people[0]}"
        row = dict(ind=number, activity_label=f"Getting a {nouns[0]}", ctx_a=context, ctx_b=start, ctx=f"{context} {start}")
        return dict(**row, endings=endings, split_type="indomain", label=str(label)), all_keys(facts)

    splits = w.collect_splits("hellaswag", {"train": 4000, **CHOICE_SIZES}, make)
    for split, rows in splits.items():
        for i, row in enumerate(rows):
            row.update(split={"validation": "val"}.get(split, split), source_id=f"miniature~{split}_{i}")
            row.update({"label": ""} if split == "test" else {})
    return {"default": splits}


def cosmos_qa(w):
    """Who finds something is happy, who loses something is sad. Who wants to do something goes to the place where it is done."""

    def make(rng, number):
        people = rng.sample(world.NAMES, 3)
        if rng.random() < 0.5:
            verbs, thing = rng.sample(("find", "lose"), 2), [world.random_object(rng, "lose") for _ in range(2)]
            facts = [fronted(rng, Meaning(Thing(who), *each, world.random_place(rng))) for who, *each in zip(people, verbs, thing)]
            context, keys = paragraph(facts, "en"), all_keys(facts)
            right = rng.randrange(2)
            question = f"Who may be {'happy' if verbs[right] == 'find' else 'sad'} now?"
            choices = [people[right], people[1 - right], people[2], "None of the above choices."]
        else:
            places, right = rng.sample(sorted(WISHES), 4), rng.randrange(2)
            keys = [f"{who} was {random_phrase(rng)} and wanted to {WISHES[place]}." for who, place in zip(people, places[:2])]
            context, question = " ".join(keys), f"Where did {people[right]} probably go?"
            choices = [f"To the {place}." for place in (places[right], places[1 - right], *places[2:])]
        choices, label = shuffled(rng, choices)
        row = dict(context=context, question=question, label=label, **{f"answer{i}": choice for i, choice in enumerate(choices)})
        return row, keys

    splits = numbered(w.collect_splits("cosmos_qa", {"train": 3000, **CHOICE_SIZES}, make))
    return {"default": {**splits, "test": [{**row, "label": -1} for row in splits["test"]]}}


def commonsense_qa(w):
    """What kind of thing something is, and where one goes to do something."""

    def make(rng, number):
        who = random_name(rng)
        if rng.random() < 0.5:
            kind = rng.choice(sorted(CONCEPTS))
            concept = CONCEPTS[kind].split(" ", 1)[1] if kind != "text" else "reading"
            told, question = f"{who} was looking for {CONCEPTS[kind]} {random_phrase(rng)}.", f"What may {pronoun(who)} have found?"
            wrong = [noun for other in ("animal", "fruit", "person", "text", "thing") if other != kind for noun in KINDS[other]]
            choices = [rng.choice(KINDS[kind]), *rng.sample(wrong, 4)]
        else:
            choices = rng.sample(sorted(WISHES), 5)
            concept = WISHES[choices[0]]
            told, question = f"{who} was {random_phrase(rng)} and wanted to {concept}.", f"Where should {pronoun(who)} have gone?"
        choices, label = shuffled(rng, choices)
        row = dict(question=f"{told} {question}", question_concept=concept, choices={"label": list("ABCDE"), "text": choices})
        return {**row, "answerKey": "ABCDE"[label]}, [told]

    splits = numbered(w.collect_splits("commonsense_qa", {"train": 3000, **CHOICE_SIZES}, make))
    return {"default": {**splits, "test": [{**row, "answerKey": ""} for row in splits["test"]]}}


# Tagging


def spoken(rng, questions=0.2, joined=0.08, with_surname=0.15):
    """Anything one can say: a statement, a question or two short statements joined."""
    kind, m = rng.random(), random_meaning(rng, with_surname=with_surname)
    if kind < questions and not m.negated:
        return Utterance(m, asked=rng.choice(world.slots(m)))
    if kind > 1 - joined:
        one, two = (random_meaning(rng, place=0.4, time=0.2, with_surname=with_surname) for _ in range(2))
        if one.subject != two.subject:
            return Utterance(one, second=two)
    return fronted(rng, m)


def maker(**options):
    def make(rng, number):
        utterance = spoken(rng, **options)
        return utterance, utterance.keys

    return make


TAGGING_SIZES = {"validation": 400, "test": 400}


def udpos(w):
    items = w.collect_splits("udpos", {"train": 2000, **TAGGING_SIZES}, maker())

    def row(utterance, x):
        forms, tags = zip(*utterance.sentence(x).words)
        return dict(tokens=list(forms), pos_tags=list(tags))

    return {
        f"udpos.{name}": {s: [row(each, x) for each in items[s]] for s in items if s != "train" or x == "en"}
        for x, name in NAMES_OF_LANGUAGES.items()
    }


def panx(w):
    items = w.collect_splits("panx", {"train": 3000, **TAGGING_SIZES}, maker(questions=0.0, with_surname=0.4))

    def row(utterance, x):
        tokens = utterance.sentence(x).tokens
        return dict(tokens=[t.text for t in tokens], ner_tags=[t.entity for t in tokens], langs=[x] * len(tokens))

    return {f"PAN-X.{x}": {s: [row(each, x) for each in items[s]] for s in items if s != "train" or x == "en"} for x in LANGUAGES}


def ccgbank(w):
    """{path: text} in CCGbank's layout: 25 sections of one file, two lines for each sentence."""
    splits = {**dict.fromkeys(range(19), "train"), **dict.fromkeys((19, 20, 21), "validation"), **dict.fromkeys((22, 23, 24), "test")}
    files = {}
    for section, split in splits.items():
        lines = []
        for i, utterance in enumerate(w.collect(f"ccg {section}", split, 160, maker(questions=0.0)), start=1):
            lines += [f"ID=wsj_{section:02d}00.{i} PARSER=GOLD NUMPARSE=1", derivation(utterance.sentence("en"))]
        files[f"data/AUTO/{section:02d}/wsj_{section:02d}00.auto"] = "\n".join(lines) + "\n"
    return files


# Retrieval


def distinct(taken, **options):
    """A maker that never returns the same sentence twice: a second translation would be a second right answer."""

    def make(rng, number):
        utterance = spoken(rng, **options)
        text = utterance.text("en")
        return None if text in taken or taken.add(text) else (utterance, utterance.keys)

    return make


def tatoeba(w):
    """The same English sentences for every language. Each ends in a newline, as on the hub."""
    items = w.collect("tatoeba", "test", 300, distinct(set(), questions=0.1, with_surname=0.0))
    english = [dict(target_sentence=u.text("en") + "\n", source_lang=CACHE_PATH, target_lang="eng") for u in items]
    return {
        f"tatoeba.{code}": {"validation": [dict(source_sentence=u.text(x) + "\n", **row) for u, row in zip(items, english)]}
        for x, code in TATOEBA_CODES.items()
    }


def near_misses(rng, gold):
    """English distractors that differ from a true translation in one word."""
    for utterance in gold:
        changed = [world.exchanged(rng, utterance.meaning, part) for part in ("place", "time", "adjective", "noun", "verb")]
        changed = [m for m in changed if m is not None]
        if changed and not utterance.second and utterance.asked != "year":
            yield replace(utterance, meaning=rng.choice(changed))


def comparable_corpora(w, x, split, pairs, each_side):
    """(foreign sentences, English sentences, [[i, j]] counted from one): one sentence in ten has its translation."""
    rng, taken = w.rng(f"bucc {x} {split}"), set()
    make = distinct(taken, questions=0.1, with_surname=0.0)
    gold = w.collect(f"bucc {x} gold", split, pairs, make)
    near = [u for u in near_misses(rng, gold) if u.text("en") not in taken and w.ledger.claim(split, u.keys)]
    taken.update(u.text("en") for u in near)
    sides = []
    for language, start in ((x, gold), ("en", gold + near)):
        rest = w.collect(f"bucc {x} {language}", split, each_side, make)
        sides.append((start + rest)[: w.size(each_side)])
    order = [rng.sample(range(len(side)), len(side)) for side in sides]
    links = sorted([order[0].index(k) + 1, order[1].index(k) + 1] for k in range(len(gold)))
    foreign, english = ([side[i].text(language) for i in at] for side, at, language in zip(sides, order, (x, "en")))
    return foreign, english, links


def bucc(w):
    """mteb's one row for each language pair, and the raw files of the shared task (training, and the sample to tune on)."""
    configs, files = {}, {}
    for x in ("de", "fr", "ru", "zh"):
        for part, split, pairs, each_side in (("training", "test", 200, 2000), ("sample", "validation", 60, 600)):
            foreign, english, links = comparable_corpora(w, x, split, pairs, each_side)
            if part == "training":
                configs[f"{x}-en"] = {"test": [dict(sentence1=foreign, sentence2=english, gold=links)]}
            for language, texts in ((x, foreign), ("en", english)):
                files[f"{x}-en/{x}-en.{part}.{language}"] = "".join(f"{language}-{i:09d}\t{text}\n" for i, text in enumerate(texts, 1))
            files[f"{x}-en/{x}-en.{part}.gold"] = "".join(f"{x}-{i:09d}\ten-{j:09d}\n" for i, j in links)
    return configs, files


# Raw text for masked LM


@cache
def residue(text):
    return zlib.crc32(text.encode()) % len(LANGUAGES)


def owner(m, place, time):
    """The only language whose raw text may express a meaning with this place and time, so that no two texts are parallel."""
    thing = m.object.noun if m.object else ""
    return LANGUAGES[(residue(m.subject.noun) + residue(f"{m.verb} {thing} {place} {time}")) % len(LANGUAGES)]


def raw_text(w, language):
    """Statements, questions with and without answers, passives, retellings, short stories. No meaning of a validation or test set."""
    rng, lines = w.rng(f"text {language}"), []

    def draw(make=world.usual_meaning, **options):
        while True:
            m = make(rng, **options)
            if m.object == m.subject:
                continue
            place, time = m.place, m.time
            for _ in range(20):
                if owner(m, place, time) == language:
                    return replace(m, place=place, time=time)
                place, time = world.usual_place_and_time(rng, m)  # until the meaning belongs to this language

    while len(lines) < w.size(20000):
        kind = rng.random()
        if kind < 0.3:
            said = [fronted(rng, draw())]
        elif kind < 0.35:
            said = [Utterance(draw(), second=draw())]
        elif kind < 0.47:
            m = draw(negated=0.0)
            question = Utterance(m, asked=rng.choice(world.slots(m)))
            said = [question] if rng.random() < 0.5 else [question, fronted(rng, m)]
        elif kind < 0.53 and language in ("en", "de", "es", "fr", "zh"):
            said = [Utterance(draw(two_people), is_passive=True)]
        elif kind < 0.8:  # told twice, once with less
            m = draw()
            while m.verb == "be" or not world.details(m) or owner(weaker := world.less(rng, m), weaker.place, weaker.time) != language:
                m = draw()
            said = [fronted(rng, each) for each in rng.sample([m, weaker], 2)]
        else:
            first = draw()
            rest = [draw(subject=first.subject if rng.random() < 0.4 else None) for _ in range(rng.randint(1, 3))]
            said = [fronted(rng, m) for m in (first, *rest)]
        if all(w.ledger.split_of.get(key, "train") == "train" for key in all_keys(said)):
            lines.append(paragraph(said, language))
    return lines


# XTREME-R, SIB-200 and Belebele. Made last, from what the datasets above have said in the same split: they claim no meaning of their own,
# so that the datasets above and the raw text stay as they are.

FLORES = dict(ar="arb_Arab", de="deu_Latn", en="eng_Latn", es="spa_Latn", fr="fra_Latn", ru="rus_Cyrl", tr="tur_Latn", zh="zho_Hans")
TOPIC_OF = {
    "hospital": "health", "park": "health", "museum": "entertainment", "restaurant": "entertainment", "school": "science/technology",
    "library": "science/technology", "office": "politics", "street": "politics", "beach": "sports", "forest": "sports",
    "station": "travel", "hotel": "travel", "village": "geography", "garden": "geography",
}  # fmt: skip
FEELINGS = {"find": "happy", "lose": "sad"}
EFFECTS = {"find": "smile", "lose": "cry"}


def said(w, split, name, number, fits):
    """`number` meanings of a split that fit, drawn from those that some dataset above has said."""
    claimed = [key for key, part in w.ledger.split_of.items() if part == split and isinstance(key, Meaning) and fits(key)]
    return w.rng(f"{name} {split}").sample(claimed, min(w.size(number), len(claimed)))


def sib200(w):
    """{path: text}: the topic of a sentence is told by its place."""
    files = {}
    for split, number, file in (("train", 1400, "train"), ("validation", 100, "dev"), ("test", 200, "test")):
        meanings = said(w, split, "sib200", number, lambda m: m.place in TOPIC_OF)
        for x, name in FLORES.items():
            lines = [f"{i}\t{TOPIC_OF[m.place]}\t{GRAMMARS[x].say(m, '').text}" for i, m in enumerate(meanings)]
            files[f"data/{name}/{file}.tsv"] = "\n".join(["index_id\tcategory\ttext", *lines]) + "\n"
    return files


def finds_or_loses(m):
    return m.verb in FEELINGS and not m.negated


def social_iqa(w):
    """Finding makes happy and losing sad."""
    splits = {}
    for split, number in (("train", 2000), ("validation", 200)):
        rng, rows = w.rng(f"social_i_qa {split}"), []
        for m in said(w, split, "social_i_qa", number, finds_or_loses):
            right = FEELINGS[m.verb]
            answers, label = shuffled(rng, [right, {"happy": "sad", "sad": "happy"}[right], "tired"])
            row = dict(zip(("answerA", "answerB", "answerC"), answers))
            rows.append(dict(context=GRAMMARS["en"].say(m, "").text, question="What may they feel now?", **row, label=str(label + 1)))
        splits[split] = rows
    return {"default": splits}


def copa_rows(w, split, name, number, x):
    """Who finds something smiles, who loses something cries."""
    rng, rows = w.rng(f"{name} {split} choices"), []
    for i, m in enumerate(said(w, split, name, number, finds_or_loses)):
        verbs = [EFFECTS[m.verb], EFFECTS["lose" if m.verb == "find" else "find"]]
        choices, label = shuffled(rng, [GRAMMARS[x].say(Meaning(m.subject, verb), "").text for verb in verbs])
        row = dict(premise=GRAMMARS[x].say(m, "").text, choice1=choices[0], choice2=choices[1], question="effect", idx=i, label=label)
        rows.append(row)
    return rows


def copa(w):
    return {"copa": {split: copa_rows(w, split, "copa", number, "en") for split, number in (("train", 800), ("validation", 100))}}


def xcopa(w):
    """Of XCOPA's languages the world has two."""
    return {x: {split: copa_rows(w, split, "xcopa", 200, x) for split in ("validation", "test")} for x in ("tr", "zh")}


def xquad_items(w):
    """XQuAD's own items again: the same draws, all of which it has claimed."""
    return w.collect("xquad", "test", 400, reading_maker())


def lareqa(w):
    """{path: text}: XQuAD's paragraphs with their sentences, in seven languages."""
    files, items = {}, xquad_items(w)
    for x in (x for x in LANGUAGES if x != "fr"):
        paragraphs, between = [], 0 if x == "zh" else 1
        for i, (facts, question, index) in enumerate(items):
            sentences, breaks, start = [fact.text(x) for fact in facts], [], 0
            for sentence in sentences:
                breaks.append([start, start + len(sentence)])
                start += len(sentence) + between
            answer = {"text": sentences[index], "answer_start": breaks[index][0]}
            qas = [{"id": f"xquad-{i}", "question": question.text(x), "answers": [answer]}]
            paragraphs.append({"context": paragraph(facts, x), "sentences": sentences, "sentence_breaks": breaks, "qas": qas})
        files[f"xquad-r/{x}.json"] = json.dumps({"data": [{"title": "", "paragraphs": paragraphs}]}, ensure_ascii=False) + "\n"
    return files


def xquad_r(w):
    """The hub's copy of LAReQA's questions, without sentence breaks: what nlu-evals reads."""
    items = xquad_items(w)
    rows = {x: [reading_row(item, x, f"xquad-{i}") for i, item in enumerate(items)] for x in LANGUAGES if x != "fr"}
    kept = ("id", "context", "question", "answers")
    return {x: {"validation": [{name: row[name] for name in kept} for row in each]} for x, each in rows.items()}


def belebele(w):
    """{path: text}: XQuAD's questions with three wrong answers, which are right ones of others."""
    files, items = {}, xquad_items(w)
    for x, name in FLORES.items():
        rng, rows = w.rng("belebele"), []
        texts = [facts[index].sentence(x).span(question.asked)[1] for facts, question, index in items]
        for i, (facts, question, _) in enumerate(items):
            wrong = rng.sample([other for other in dict.fromkeys(texts) if other != texts[i]], 3)
            choices, label = shuffled(rng, [texts[i], *wrong])
            row = dict(flores_passage=paragraph(facts, x), question=question.text(x), correct_answer_num=str(label + 1), dialect=name)
            rows.append({**row, **{f"mc_answer{number}": choice for number, choice in enumerate(choices, start=1)}})
        files[f"data/{name}.jsonl"] = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return files


def mewsli_x(w):
    """{path: text}: mentions of people by their full names, which are told about in one language each."""
    entities, files = {}, {}
    people = [f"{name} {surname}" for name in NAMES for surname in SURNAMES]
    rng = w.rng("mewsli-x")
    for number, name in enumerate(people):
        x = rng.choice(LANGUAGES)
        meanings = [replace(random_meaning(rng, place=1.0), subject=Thing(name)) for _ in range(2)]
        entities[name] = f"Q{number}", f"{name}. " + paragraph([Utterance(m) for m in meanings], x)
    for x in ("ar", "de", "en", "es", "tr"):
        rows = []
        for i in range(w.size(100)):
            name = rng.choice(people)
            text = GRAMMARS[x].say(replace(random_meaning(rng, place=1.0), subject=Thing(name)), "").text
            mention = f"{name}: " + text.replace(name, f"{{ {name} }}", 1)
            rows.append({"mention": mention, "entity_id": entities[name][0], "example_id": f"{x}-{i}"})
        files[f"wikinews_mentions/{x}/test.jsonl"] = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    for split, number in (("train", 600), ("dev", 60)):
        rows = []
        for name in rng.choices(people, k=w.size(number)):
            text = GRAMMARS["en"].say(replace(random_meaning(rng, place=1.0), subject=Thing(name)), "").text
            rows.append({"mention": f"{name}: " + text.replace(name, f"{{ {name} }}", 1), "entity": entities[name][1]})
        files[f"wikipedia_pairs/{split}.jsonl"] = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    rows = [{"entity_id": key, "description": text} for key, text in entities.values()]
    files["candidate_entities.jsonl"] = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return files
