"""The words of the world: shared names, what kind of thing each concept is, and one readable file per language.

Names, cities, companies and digits are spelled alike in all eight languages: they are what a small encoder can hold on to.
Every other word form is stored in `lexicon/<language>.txt`, not derived: a stored form can be checked by a reader of that language.
"""

import re
from pathlib import Path

LANGUAGES = ("en", "de", "es", "fr", "ru", "tr", "ar", "zh")

WOMEN = tuple("Anna Maria Nina Laura Sara Julia Clara Eva Elena Sofia Marta Irina Amina Leila Diana Emma Olga Rosa Nadia Fatima".split())
MEN = tuple("Omar Ivan Martin Daniel David Jonas Ali Hugo Oscar Boris Victor Simon Leo Karim Samir Pablo Bruno Felix Tom Anton".split())
NAMES = WOMEN + MEN
SURNAMES = tuple("Weber Silva Kaya Novak Costa Rossi Moreno Berger".split())
CITIES = (
    "Madrid", "Lima", "Oslo", "Toronto", "Chicago", "Boston", "Dakar", "Rabat", "Ankara", "Quito", "Caracas", "Bonn", "Leipzig",
    "Bilbao", "Nairobi", "Osaka", "Tampere", "Miami", "Buenos Aires", "La Paz",
)  # fmt: skip
COMPANIES = ("Solvex", "Nordia", "Medisa", "Lumina", "Orbis", "Velora", "Kentar", "Zenova", "Solvex Motors", "Orbis Media")

KINDS = {
    "person": "man woman boy girl teacher doctor farmer soldier king queen baker thief".split(),
    "animal": "dog cat horse cow lion elephant bear rabbit duck bird".split(),
    "fruit": "apple orange banana lemon pear".split(),
    "food": "egg cake".split(),
    "text": "book letter newspaper".split(),
    "thing": "chair table lamp cup bottle knife key hat shirt coat bag box ball guitar car bicycle boat painting ring".split(),
    "plant": ["flower"],
    "category": ["animal", "fruit"],
}
KIND_OF = {concept: kind for kind, concepts in KINDS.items() for concept in concepts}

COLOURS = ("red", "white", "black", "green", "blue", "yellow")
ADJECTIVES = {
    "person": ("famous", "happy", "sad", "tired", "young"),
    "animal": ("white", "black", "big", "small"),
    "fruit": ("red", "green", "yellow", "big", "small"),
    "food": ("white", "big", "small"),
    "text": ("new", "old"),
    "plant": (*COLOURS, "big", "small"),
    "thing": (*COLOURS, "big", "small", "new", "old"),
}
# Two values of one group exclude each other in one event: on Monday / on Friday, red / blue, bought / sold.
EXCLUSIVE = (COLOURS, ("big", "small"), ("new", "old"), ("happy", "sad"), ("buy", "sell"), ("find", "lose"), ("smile", "cry"),
             ("sleep", "work"), ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"), ("morning", "evening"),
             CITIES, COMPANIES, *KINDS.values())  # fmt: skip

GOODS = ("fruit", "food", "text", "thing", "plant")
OBJECT_KINDS = {
    "buy": (*GOODS, "animal"), "sell": (*GOODS, "animal"), "find": (*GOODS, "animal"), "lose": GOODS, "see": (*GOODS, "animal", "person"),
    "draw": (*GOODS, "animal", "person"), "wash": ("fruit", "thing", "animal"), "eat": ("fruit", "food"), "read": ("text",),
    "write": ("text",), "hear": ("animal", "person"), "wake": ("person",), "save": ("person",), "praise": ("person",),
}  # fmt: skip
ACTIVITIES = ("sleep", "work", "sing", "dance", "cry", "smile", "play", "run", "cook")
TRANSITIVE_ON_PEOPLE = tuple(verb for verb, kinds in OBJECT_KINDS.items() if "person" in kinds)
PLACES = ("garden", "market", "school", "park", "kitchen", "station", "hospital", "library", "restaurant", "forest", "museum", "hotel",
          "village", "office", "beach", "street")  # fmt: skip
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
TIMES = (*DAYS, "yesterday", "morning", "evening")
YEARS = tuple(str(year) for year in range(1990, 2025))


def is_name(noun):
    return noun.split()[0] in NAMES


def read_lexicon(language):
    """{section: {concept: {column: form}}}; cells stand two or more spaces apart, so that a form may hold one space."""
    sections = {}
    for line in (Path(__file__).parent / "lexicon" / f"{language}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            title, columns = line[1:].split("]")
            rows = sections[title] = {}
        elif line and not line.startswith("#"):
            concept, *cells = re.split(r"\s{2,}", line.strip())
            assert len(cells) == len(columns.split()), (language, line)
            rows[concept] = dict(zip(columns.split(), cells))
    return sections
