"""What can happen in the miniature data, and whether one meaning follows from, contradicts, leaves open or equals another.

Nothing here knows a language: relations between sentences are decided on meanings, so they hold in all eight languages at once.
"""

import random
from dataclasses import dataclass, replace
from functools import cache

from samples.grammar import Meaning, Thing, is_person
from samples.lexicon import (
    ACTIVITIES,
    ADJECTIVES,
    CITIES,
    COMPANIES,
    EXCLUSIVE,
    KIND_OF,
    KINDS,
    NAMES,
    OBJECT_KINDS,
    PLACES,
    SURNAMES,
    TIMES,
    TRANSITIVE_ON_PEOPLE,
    YEARS,
    is_name,
)

ENTAILMENT, NEUTRAL, CONTRADICTION = 0, 1, 2


def random_name(rng, with_surname=0.0):
    return rng.choice(NAMES) + (f" {rng.choice(SURNAMES)}" if rng.random() < with_surname else "")


def random_subject(rng, with_surname=0.0, nouns=0.25):
    return random_person_noun(rng) if rng.random() < nouns else Thing(random_name(rng, with_surname))


def random_person_noun(rng):
    noun = rng.choice(KINDS["person"])
    fitting = [a for a in ADJECTIVES["person"] if not (a == "young" and noun in ("boy", "girl"))]
    return Thing(noun, rng.choice(fitting) if rng.random() < 0.5 else "", definite=True)


def random_object(rng, verb, adjective=0.5, category=0.0):
    kind = rng.choice(OBJECT_KINDS[verb])
    if kind == "person":
        return Thing(random_name(rng)) if rng.random() < 0.6 else random_person_noun(rng)
    if rng.random() < category and kind in KINDS["category"]:
        return Thing(kind)
    noun = rng.choice([n for n in KINDS[kind] if (verb, n) != ("write", "newspaper")])
    form = rng.random()
    count = rng.randint(3, 10) if form < 0.25 else 1
    chosen = rng.choice(ADJECTIVES[kind]) if rng.random() < adjective and verb != "write" else ""  # nobody writes an old letter
    return Thing(noun, chosen, count, definite=form > 0.85)


def random_place(rng):
    return rng.choice((rng.choice(CITIES), rng.choice(CITIES), rng.choice(PLACES), rng.choice(PLACES), rng.choice(COMPANIES)))


def random_time(rng):
    return rng.choice(YEARS) if rng.random() < 0.4 else rng.choice(TIMES)


def random_meaning(rng, place=0.7, time=0.6, negated=0.15, be=0.12, with_surname=0.0):
    """Any event. The numbers are probabilities."""
    subject, kind = random_subject(rng, with_surname), rng.random()
    where = random_place(rng) if rng.random() < place else ""
    when = random_time(rng) if rng.random() < time else ""
    if kind < be:
        return Meaning(subject, "be", place=where or random_place(rng), time=when)
    if kind < be + 0.25:
        return Meaning(subject, rng.choice(ACTIVITIES), place=where, time=when, negated=rng.random() < negated)
    verb = rng.choice(list(OBJECT_KINDS))
    thing = random_object(rng, verb)
    while thing == subject:
        thing = random_object(rng, verb)
    return Meaning(subject, verb, thing, where, when, rng.random() < negated and thing.count == 1)


@dataclass(frozen=True)
class Habits:
    """What a person usually does and never does, where and when. The texts of all languages agree in this."""

    deeds: tuple  # (verb, noun or name), or (activity, "")
    never: tuple
    places: tuple
    times: tuple


HABIT = 0.9  # how often a part of an event is as usual


def dealt(rng, cards, hands, size):
    """Yields `size` different cards for each hand. Every card comes to about the same number of hands."""
    pack = []
    for _ in range(hands):
        hand = []
        while len(hand) < size:
            pack = pack or rng.sample(cards, len(cards))
            card = pack.pop()
            if card not in hand:
                hand.append(card)
        yield tuple(hand)


@cache
def habits():
    """({name or person noun: Habits}, {noun: its usual adjective and count}): the same for every seed of the data."""
    rng, people = random.Random(1), (*NAMES, *KINDS["person"])
    things = [noun for kind, nouns in KINDS.items() if kind not in ("person", "category") for noun in nouns]
    packs = (things, 6), (people, 2), (ACTIVITIES, 4), (PLACES, 2), ((*CITIES, *COMPANIES), 1), (TIMES, 2), (YEARS, 2)
    hands = zip(people, *(dealt(rng, cards, len(people), size) for cards, size in packs))
    of_people = {}
    for who, objects, friends, activities, places, towns, times, years in hands:
        deeds = [(rng.choice([verb for verb in OBJECT_KINDS if usable(verb, Thing(noun))]), noun) for noun in objects + friends]
        done, never = (tuple(deeds[i::2]) + tuple((activity, "") for activity in activities[i::2]) for i in (0, 1))
        of_people[who] = Habits(done, never, places + towns, times + years)
    of_things = {noun: (rng.choice(ADJECTIVES[KIND_OF[noun]]), rng.randint(3, 10)) for noun in (*things, *KINDS["person"])}
    return of_people, of_things


def usual_meaning(rng, subject=None, **options):
    """A random event. Most of its parts follow the subject's habits."""
    m = random_meaning(rng, with_surname=0.15, **options)
    m = replace(m, subject=subject or m.subject)
    of_people, of_things = habits()
    own = of_people[m.subject.noun.split()[0]]
    deeds = [deed for deed in (own.never if m.negated else own.deeds) if bool(deed[1]) == (m.object is not None)]
    if m.verb != "be" and rng.random() < HABIT:
        verb, noun = rng.choice(deeds)
        thing = noun and Thing(noun, definite=noun not in NAMES and (is_person(Thing(noun)) or rng.random() < 0.15))
        if noun in of_things and not is_person(thing):
            adjective, count = of_things[noun]
            described, counted = rng.random() < 0.5 and verb != "write", rng.random() < 0.25 and not m.negated
            thing = replace(thing, adjective=adjective if described else "", count=count if counted else 1)
        m = replace(m, verb=verb, object=thing or None)
    place, time = usual_place_and_time(rng, m)
    return replace(m, place=place, time=time)


def usual_place_and_time(rng, m):
    """(place, time) drawn again where the meaning has them, most often from the subject's habits."""
    own = habits()[0][m.subject.noun.split()[0]]
    place = rng.choice(own.places) if rng.random() < HABIT else random_place(rng)
    time = rng.choice(own.times) if rng.random() < HABIT else random_time(rng)
    return m.place and place, m.time and time


def random_front(rng, meaning):
    """The part with which a sentence may begin in place of its subject, or ''."""
    fronts = ["", "", ""] + ["time"] * bool(meaning.time) + ["place"] * bool(meaning.place and meaning.verb != "be")
    return rng.choice(fronts)


def details(meaning):
    """The parts that can be left out of a meaning, which then says less."""
    has_adjective = meaning.object is not None and not is_person(meaning.object) and meaning.object.adjective
    return ["adjective"] * bool(has_adjective) + ["place"] * bool(meaning.place) + ["time"] * bool(meaning.time)


def room(meaning):
    """The parts that could still be added."""
    thing = meaning.object
    free = thing is not None and not is_person(thing) and not thing.adjective and meaning.verb != "write"
    return ["adjective"] * bool(free) + ["place"] * (not meaning.place) + ["time"] * (not meaning.time)


def without(meaning, part):
    return replace(meaning, object=replace(meaning.object, adjective="")) if part == "adjective" else replace(meaning, **{part: ""})


def with_more(rng, meaning, part):
    if part == "adjective":
        kind = meaning.object.noun if meaning.object.noun in KINDS["category"] else KIND_OF[meaning.object.noun]
        return replace(meaning, object=replace(meaning.object, adjective=rng.choice(ADJECTIVES[kind])))
    return replace(meaning, **{part: random_place(rng) if part == "place" else random_time(rng)})


def others(value):
    """The values that exclude `value` in the same event."""
    if value.isdigit():
        return [year for year in YEARS if year != value]
    return [other for group in (*EXCLUSIVE, PLACES) if value in group for other in group if other != value]


def exchanged(rng, meaning, part):
    """The meaning with another, incompatible value of one part; None where there is no such value."""
    thing = meaning.object
    if part == "count":
        if thing is None or thing.count == 1:
            return None
        return replace(meaning, object=replace(thing, count=rng.choice([n for n in range(3, 11) if n != thing.count])))
    if part == "noun":
        if thing is None or is_person(thing) or thing.noun in KINDS["category"]:
            return None
        fitting = [n for n in others(thing.noun) if usable(meaning.verb, Thing(n))]
        return replace(meaning, object=replace(thing, noun=rng.choice(fitting))) if fitting else None
    if part == "adjective":
        if thing is None or is_person(thing):
            return None
        kind = thing.noun if thing.noun in KINDS["category"] else KIND_OF[thing.noun]
        fitting = [a for a in others(thing.adjective) if a in ADJECTIVES[kind]] if thing.adjective else []
        return replace(meaning, object=replace(thing, adjective=rng.choice(fitting))) if fitting else None
    fitting = others(getattr(meaning, part)) if getattr(meaning, part) else []
    if part == "verb" and thing is not None:
        fitting = [v for v in fitting if fits(v, thing)]
    return replace(meaning, **{part: rng.choice(fitting)}) if fitting else None


def usable(verb, thing):
    return fits(verb, thing) and (verb, thing.noun) != ("write", "newspaper")


def fits(verb, thing):
    kind = "person" if is_name(thing.noun) else thing.noun if thing.noun in KINDS["category"] else KIND_OF[thing.noun]
    return kind in OBJECT_KINDS[verb]


def random_hypothesis(rng):
    """A hypothesis, drawn before its label. It fits all three labels: a part can be left out, added or denied."""
    while True:
        m = random_meaning(rng, place=0.45, time=0.45, negated=0.25, be=0.0)
        if m.object and not is_person(m.object) and m.object.noun in (*KINDS["animal"], *KINDS["fruit"]) and rng.random() < 0.25:
            category = KIND_OF[m.object.noun]
            m = replace(m, object=Thing(category, m.object.adjective, definite=m.object.definite))
        if details(m) and room(m):
            return m


def premise_for(rng, hypothesis, label):
    """A premise from which the hypothesis follows, is left open or is contradicted, all by what the premise says of the same event.

    As in SNLI, one event is meant: who bought it in Lima did not buy it in Oslo. A denial is the reverse of a statement:
    "not a red book" follows from "not a book", and "not on Monday" leaves open "not at all".
    """
    h = hypothesis
    if label == CONTRADICTION:
        if h.negated:
            return more(rng, replace(h, negated=False))
        if rng.random() < 0.4 and (h.object is None or h.object.count == 1):
            return less(rng, replace(h, negated=True), at_least=0)
        changed = [exchanged(rng, h, part) for part in ("count", "noun", "adjective", "place", "time", "verb")]
        changed = [m for m in changed if m is not None]
        return more(rng, rng.choice(changed), at_least=0) if changed else replace(h, negated=True)
    specific = (label == ENTAILMENT) != h.negated
    if specific:
        if h.object and h.object.noun in KINDS["category"] and rng.random() < 0.6:
            noun = rng.choice([n for n in KINDS[h.object.noun]])
            return more(rng, replace(h, object=replace(h.object, noun=noun)), at_least=0)
        return more(rng, h)
    if label == NEUTRAL and rng.random() < 0.5:  # what one person does says nothing about another
        return more(rng, replace(h, subject=another(rng, h.subject)), at_least=0)
    weaker = less(rng, h)
    if label == NEUTRAL:  # the premise may also say what the hypothesis does not
        taken = set(details(h))
        for part in room(weaker):
            if part not in taken and rng.random() < 0.7:
                weaker = with_more(rng, weaker, part)
    return weaker


def another(rng, subject):
    """Another person of the same kind: a name for a name, a noun for a noun."""
    while True:
        other = Thing(random_name(rng)) if is_name(subject.noun) else random_person_noun(rng)
        if other.noun != subject.noun:
            return other


def more(rng, meaning, at_least=1):
    parts = room(meaning)
    chosen = rng.sample(parts, min(len(parts), max(at_least, rng.randint(1, 2))))
    for part in chosen:
        meaning = with_more(rng, meaning, part)
    return meaning


def less(rng, meaning, at_least=1):
    parts = details(meaning)
    for part in rng.sample(parts, max(at_least, rng.randint(0, len(parts)))):
        meaning = without(meaning, part)
    return meaning


def story(rng, length):
    """Facts about few people in which names, verbs, things and places recur, so that only one sentence answers a question."""
    target = random_meaning(rng, place=1.0, time=0.7, negated=0.0, be=0.08)
    facts = [target]
    while len(facts) < length:
        old = rng.choice(facts)
        kind = rng.random()
        if kind < 0.4:  # the same thing done by another, elsewhere
            new = replace(old, subject=random_subject(rng), place=random_place(rng), time=old.time and random_time(rng))
        elif kind < 0.75:  # the same one does another thing
            new = replace(random_meaning(rng, place=1.0, time=0.7, negated=0.0, be=0.08), subject=old.subject)
        else:
            new = random_meaning(rng, place=1.0, time=0.7, negated=0.0, be=0.08)
        if new.object is None or new.object != new.subject:
            facts.append(new)
    rng.shuffle(facts)
    return facts


def slots(fact):
    """What can be asked about a fact."""
    asked = ["subject"] + ["place"] * bool(fact.place) + ["year"] * fact.time.isdigit()
    if fact.object is not None:
        asked += ["object"] + ["count"] * (fact.object.count > 1)
        if is_person(fact.object) and fact.verb not in TRANSITIVE_ON_PEOPLE:
            asked.remove("object")
    return asked


def is_animate(thing):
    return is_person(thing) or thing.noun == "animal" or KIND_OF.get(thing.noun) == "animal"


def indefinite(thing):
    return thing and replace(thing, definite=False)


def answers(question, slot, fact):
    """Whether a fact answers a question; parts the question does not mention may be anything."""
    if question.verb != fact.verb or (slot == "year" and not fact.time.isdigit()):
        return False
    if slot == "count":
        same = fact.object and (fact.object.noun, fact.object.adjective) == (question.object.noun, question.object.adjective)
        if not same or fact.object.count == 1:
            return False
    elif slot == "object":
        if is_animate(fact.object) != is_animate(question.object):  # Russian asks for people and animals alike
            return False
    elif indefinite(question.object) != indefinite(fact.object):  # nor does it say "a" and "the"
        return False
    if slot != "subject" and question.subject != fact.subject:
        return False
    return (slot == "place" or question.place in ("", fact.place)) and (slot == "year" or question.time in ("", fact.time))


def random_question(rng, facts):
    """(question meaning, slot, index of the one fact that answers it), or None if none was found in a few draws."""
    for _ in range(10):
        index = rng.randrange(len(facts))
        fact = facts[index]
        slot = rng.choice(slots(fact))
        question = fact
        for part in ("place", "time"):
            if slot != {"place": "place", "time": "year"}[part] and rng.random() < 0.5 and not (fact.verb == "be" and part == "place"):
                question = replace(question, **{part: ""})
        if sum(answers(question, slot, other) for other in facts) == 1:
            return question, slot, index
    return None
