"""Print the same meanings side by side in all eight languages, as the Markdown tables of docs/miniature_world.md.

python -m samples.show > tables.md
"""

from samples.grammar import Meaning, Thing
from samples.lexicon import LANGUAGES
from samples.tasks import NAMES_OF_LANGUAGES, Utterance

APPLES = Meaning(Thing("Anna"), "buy", Thing("apple", "red", 3), "market", "monday")
DOCTOR = Meaning(Thing("doctor", "young", definite=True), "wake", Thing("queen", "sad", definite=True), "hotel", "yesterday")
SIGHT = Meaning(Thing("Omar"), "see", Thing("Nina"), "Madrid", "2011")
UTTERANCES = (
    Utterance(APPLES),
    Utterance(APPLES, front="time"),
    Utterance(APPLES, asked="subject"),
    Utterance(APPLES, asked="count"),
    Utterance(APPLES, asked="place"),
    Utterance(DOCTOR),
    Utterance(SIGHT),
    Utterance(SIGHT, asked="object"),
    Utterance(SIGHT, asked="year"),
    Utterance(Meaning(Thing("Sofia"), "read", Thing("book", "old"), "library", negated=True)),
    Utterance(Meaning(Thing("girl", definite=True), "find", Thing("dog", "black", definite=True), "street", "tuesday", negated=True)),
    Utterance(Meaning(Thing("Boris"), "draw", Thing("horse", "white", 4), "La Paz", "1999")),
    Utterance(Meaning(Thing("woman", definite=True), "sleep", place="garden", time="sunday", negated=True)),
    Utterance(Meaning(Thing("soldier", "tired", definite=True), "be", place="kitchen", time="morning")),
    Utterance(Meaning(Thing("Leila"), "work", place="Orbis Media", time="2003")),
    Utterance(Meaning(Thing("Clara"), "sing", place="park"), second=Meaning(Thing("Ivan"), "dance", place="Lima")),
    Utterance(Meaning(Thing("Tom"), "save", Thing("Marta"), "beach", "friday"), is_passive=True),
)


def main():
    for utterance in UTTERANCES:
        languages = ("en", "de", "es", "fr", "zh") if utterance.is_passive else LANGUAGES
        print("| | |\n|---|---|")
        for language in languages:
            print(f"| {NAMES_OF_LANGUAGES[language]} | {utterance.text(language)} |")
        print()


if __name__ == "__main__":
    main()
