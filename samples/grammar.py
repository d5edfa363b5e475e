"""From one meaning to a sentence in each of eight languages, word by word, with part-of-speech tags and entities.

Each language is one class of about fifty lines: how its noun phrases agree, and in which order a statement and a question put their
parts. All statements are in the past tense and the third person singular: that much can be written without a doubtful form.
"""

from dataclasses import dataclass, replace
from functools import cache, cached_property

from samples.lexicon import CITIES, KIND_OF, WOMEN, is_name, read_lexicon


@dataclass(frozen=True)
class Thing:
    """A name (`Thing("Anna")`) or a noun with what is said about it. Persons are always definite; count is 1 or 3 to 10."""

    noun: str
    adjective: str = ""
    count: int = 1
    definite: bool = False


@dataclass(frozen=True)
class Meaning:
    """Who did what, where and when. The verb "be" needs a place and takes neither object nor negation."""

    subject: Thing
    verb: str
    object: Thing | None = None
    place: str = ""
    time: str = ""
    negated: bool = False


@dataclass(frozen=True)
class Token:
    """One written word. `words`: its syntactic words with tags, as Universal Dependencies splits them (im = in + dem).

    `core`: the part that is an answer (Madrid in Madrid'de). `slot`: subject, object, count, place or year, or nothing.
    """

    text: str
    words: tuple
    slot: str = ""
    core: str = ""
    entity: str = "O"


class Sentence:
    """Tokens and how they are written: text, where each token starts, and the span of each answer."""

    def __init__(self, language, tokens):
        tokens = list(tokens)
        first = 1 if tokens[0].text == "¿" else 0
        tokens[first] = capitalised(tokens[first], language)
        self.language, self.tokens = language, tokens

    @cached_property
    def layout(self):
        text, starts = "", []
        for before, token in zip([None, *self.tokens], self.tokens):
            if before is not None and needs_space(before.text, token.text, self.language):
                text += " "
            starts.append(len(text))
            text += token.text
        return text, starts

    @property
    def text(self):
        return self.layout[0]

    @property
    def words(self):
        """[(form, tag)] as Universal Dependencies counts words."""
        return [word for token in self.tokens for word in token.words]

    def span(self, slot):
        """(start, text) of the part of the sentence that answers a question about `slot`."""
        slots = ("object", "count") if slot == "object" else (slot,)
        at = [i for i, token in enumerate(self.tokens) if token.slot in slots]
        start = self.layout[1][at[0]]
        end = self.layout[1][at[-1]] + len(self.tokens[at[-1]].core or self.tokens[at[-1]].text)
        return start, self.text[start:end]


@cache
def capitalised(token, language):
    def upper(word):
        return ("İ" if language == "tr" and word[0] == "i" else word[0].upper()) + word[1:]

    form, tag = token.words[0]
    return replace(token, text=upper(token.text), core=token.core and upper(token.core), words=((upper(form), tag), *token.words[1:]))


@cache
def needs_space(left, right, language):
    if left.endswith(("'", "¿")) or right.startswith("-") or right in (".", ",", "؟", "。", "？", "，"):
        return False
    if right == "?":
        return language == "fr"
    if language == "zh":  # Chinese words stand together; only Latin letters and digits are set off, as printers do
        return right[0].isascii() and left[-1].isalnum() or left[-1].isascii() and right[0].isalnum()
    return True


class Language:
    """What all eight languages share: words from the lexicon, names, places and times, and the frame of a sentence."""

    code, stop, question_mark, conjunction = "", ".", "?", ""

    def __init__(self):
        lexicon = read_lexicon(self.code)
        self.nouns, self.adjectives, self.verbs = lexicon["nouns"], lexicon["adjectives"], lexicon["verbs"]
        self.places, self.times, self.numbers = lexicon["places"], lexicon["times"], lexicon["numbers"]
        self.closed, self.suffixed = lexicon["closed"], lexicon.get("suffixed", {})
        self.cached_phrase = cache(self.tagged)  # the same few phrases, a million times

    def phrase(self, text, slot="", tag="NOUN"):
        """Tokens of a phrase of the lexicon: closed-class words have their own tags, all others get `tag`."""
        return list(self.cached_phrase(text, slot, tag))

    def tagged(self, text, slot, tag):
        tokens = []
        for form in text.split():
            tags = self.closed[form]["tags"] if form in self.closed else "NUM" if form.isdigit() else tag
            pairs = [part.split("/") for part in tags.split("+")] if "/" in tags else [(form, tags)]
            tokens.append(Token(form, tuple(map(tuple, pairs)), slot))
        return tokens

    def name(self, name, slot, kind, suffixed=False):
        parts = name.split()
        tokens = []
        for i, part in enumerate(parts):
            last = i == len(parts) - 1
            text = self.suffixed[part]["accusative_or_locative"] if suffixed and last else part
            tokens.append(Token(text, ((text, "PROPN"),), slot, part, f"{'I' if i else 'B'}-{kind}"))
        return tokens

    def place(self, place):
        """A city or company answers "where" by its name alone, any other place by the whole phrase."""
        if place in self.places:
            return self.phrase(self.places[place]["phrase"], "place")
        kind, entity = ("CITY", "LOC") if place in CITIES else ("COMPANY", "ORG")
        tokens = []
        for word in self.places[kind]["phrase"].split():
            tokens += self.name(place, "place", entity, suffixed=bool(self.suffixed)) if word == kind else self.phrase(word)
        return tokens

    def time(self, time):
        if not time.isdigit():
            return self.phrase(self.times[time]["phrase"])
        words = self.times["YEAR"]["phrase"].split()
        return [token for word in words for token in (self.phrase(time, "year") if word == "YEAR" else self.phrase(word))]

    def number(self, count, **features):
        """Three, four and five in words, more in digits."""
        form = self.numbers[str(count)] if count < 6 else {}
        return self.phrase(form.get(features.get("column", "form"), str(count)), "count", "NUM")

    def is_feminine(self, thing):
        return thing.noun.split()[0] in WOMEN if is_name(thing.noun) else self.nouns[thing.noun].get("gender") == "f"

    def parts(self, meaning, without=""):
        """Subject, object, place and time as tokens; the part asked for is left out."""
        m = meaning
        return {
            "subject": [] if without == "subject" else self.noun_phrase(m.subject, "subject", m),
            "object": self.noun_phrase(m.object, "object", m) if m.object and without not in ("object", "count") else [],
            "place": self.place(m.place) if m.place and without != "place" else [],
            "time": self.time(m.time) if m.time and without != "year" else [],
        }

    def say(self, meaning, front=""):
        """The statement; `front` ("time" or "place") puts that part first, which changes no meaning."""
        parts = self.parts(meaning)
        head, parts[front] = parts.get(front, []), []
        tokens = self.statement(meaning, head, **{key: parts[key] for key in ("subject", "object", "place", "time")})
        return Sentence(self.code, [*tokens, Token(self.stop, ((self.stop, "PUNCT"),))])

    def ask(self, meaning, slot):
        """The question to which the part `slot` of the meaning is the answer."""
        tokens = self.question(meaning, slot, **self.parts(meaning, without=slot))
        return Sentence(self.code, [*tokens, Token(self.question_mark, ((self.question_mark, "PUNCT"),))])

    def say_both(self, first, second):
        """Two short events in one sentence: Anna sang and Omar danced."""
        clauses = [self.statement(m, [], **self.parts(m)) for m in (first, second)]
        return Sentence(self.code, [*self.conjoined(*clauses), Token(self.stop, ((self.stop, "PUNCT"),))])

    def conjoined(self, first, second):
        return first + self.phrase(self.conjunction) + second

    def comma(self, text=","):
        return [Token(text, ((text, "PUNCT"),))]

    def say_passive(self, meaning):
        """The same event told of the one who underwent it; only where all parts agree by a sure rule (en, de, es, fr, zh)."""
        parts = {key: tokens for key, tokens in self.parts(meaning).items() if key in ("place", "time")}
        return Sentence(self.code, [*self.passive(meaning, **parts), Token(self.stop, ((self.stop, "PUNCT"),))])


class English(Language):
    code, conjunction = "en", "and"

    def noun_phrase(self, thing, slot, meaning):
        if is_name(thing.noun):
            return self.name(thing.noun, slot, "PER")
        noun = thing.noun if thing.count == 1 else self.nouns[thing.noun]["plural"]
        words = self.phrase(thing.adjective, slot, "ADJ") + self.phrase(noun, slot)
        if thing.count > 1:
            return self.number(thing.count) + words
        article = "the" if thing.definite else "an" if words[0].text[0] in "aeiou" else "a"
        return self.phrase(article, slot) + words

    def verb(self, m):
        if m.verb == "be":
            return self.phrase("was")
        if m.negated:
            return self.phrase("did not") + self.phrase(self.verbs[m.verb]["base"], tag="VERB")
        return self.phrase(self.verbs[m.verb]["past"], tag="VERB")

    def statement(self, m, head, subject, object, place, time):
        return (head + self.comma() if head else []) + subject + self.verb(m) + object + place + time

    def question(self, m, slot, subject, object, place, time):
        if slot == "subject":
            return self.phrase("who") + self.verb(m) + object + place + time
        if slot == "count":
            wh = self.phrase("how many") + self.phrase(m.object.adjective, tag="ADJ")
            wh += self.phrase(self.nouns[m.object.noun]["plural"])
        elif slot == "object":
            wh = self.phrase("who" if is_person(m.object) else "what")
        else:
            wh = self.phrase({"place": "where", "year": "in which year"}[slot])
        if m.verb == "be":
            return wh + self.phrase("was") + subject + place + time
        return wh + self.phrase("did") + subject + self.phrase(self.verbs[m.verb]["base"], tag="VERB") + object + place + time

    def passive(self, m, place, time):
        patient, agent = self.noun_phrase(m.object, "object", m), self.noun_phrase(m.subject, "subject", m)
        verb = self.phrase("was") + self.phrase(self.verbs[m.verb]["participle"], tag="VERB")
        return patient + verb + self.phrase("by") + agent + place + time


class German(Language):
    code, conjunction = "de", "und"
    articles = {"m": ("der", "den"), "f": ("die", "die"), "n": ("das", "das")}
    endings = {"m": "en", "f": "e", "n": "es"}

    def noun_phrase(self, thing, slot, meaning):
        """Subjects are definite nominatives; objects are accusatives of any kind."""
        if is_name(thing.noun):
            return self.name(thing.noun, slot, "PER")
        forms, accusative = self.nouns[thing.noun], slot == "object"
        gender, stem = forms["gender"], self.adjectives.get(thing.adjective, {}).get("stem", "")
        if thing.count > 1:
            return self.number(thing.count) + self.adjective(stem, "e", slot) + self.phrase(forms["plural"], slot)
        if thing.definite:
            article, ending = self.articles[gender][accusative], "en" if accusative and gender == "m" else "e"
        else:
            article = ("kein" if meaning.negated else "ein") + {"m": "en", "f": "e", "n": ""}[gender]
            ending = self.endings[gender]
        noun = forms["accusative" if accusative else "nominative"]
        return self.phrase(article, slot) + self.adjective(stem, ending, slot) + self.phrase(noun, slot)

    def adjective(self, stem, ending, slot=""):
        return self.phrase(stem + ending, slot, "ADJ") if stem else []

    def verb(self, m):
        return self.phrase("war") if m.verb == "be" else self.phrase(self.verbs[m.verb]["past"], tag="VERB")

    def middle(self, m, object, place, time):
        """Definite objects stand before the time, indefinite ones after the place. "kein" has already negated an indefinite one."""
        is_definite = m.object is not None and (m.object.definite or is_name(m.object.noun))
        negation = self.phrase("nicht") if m.negated and (is_definite or not m.object) else []
        digits_meet = object and time and not place and object[0].text.isdigit() and time[-1].text.isdigit()  # im Jahr 2010 9 Eier
        early = is_definite or digits_meet
        return (object if early else []) + time + negation + place + ([] if early else object)

    def statement(self, m, head, subject, object, place, time):
        start = head + self.verb(m) + subject if head else subject + self.verb(m)
        return start + self.middle(m, object, place, time)

    def question(self, m, slot, subject, object, place, time):
        if slot == "count":
            stem = self.adjectives.get(m.object.adjective, {}).get("stem", "")
            wh = self.phrase("wie viele") + self.adjective(stem, "e") + self.phrase(self.nouns[m.object.noun]["plural"])
        else:
            asked = {"subject": "wer", "place": "wo", "year": "in welchem Jahr", "object": "was"}[slot]
            wh = self.phrase("wen" if slot == "object" and is_person(m.object) else asked)
        return wh + self.verb(m) + subject + self.middle(m, object, place, time)

    def passive(self, m, place, time):
        patient = [replace(t, slot="object") for t in self.noun_phrase(m.object, "subject", m)]
        agent = self.phrase("von") + self.noun_phrase(m.subject, "subject", m)
        return patient + self.phrase("wurde") + time + agent + place + self.phrase(self.verbs[m.verb]["participle"], tag="VERB")


class Spanish(Language):
    code = "es"

    def conjoined(self, first, second):
        """y becomes e before the sound i (Ivan, Irina)."""
        return first + self.phrase("e" if second[0].text[0] == "I" else "y") + second

    def agree(self, adjective, feminine, plural, slot=""):
        column = ("f" if feminine else "m") + ("p" if plural else "")
        return self.phrase(self.adjectives[adjective][column], slot, "ADJ") if adjective else []

    def noun_phrase(self, thing, slot, meaning):
        """Persons who are objects take "a", which joins with "el" to "al"; so do definite animals that are not bought or sold."""
        marked = slot == "object" and (is_person(thing) or is_animal(thing) and meaning.verb not in ("buy", "sell"))
        if is_name(thing.noun):
            return (self.phrase("a") if marked else []) + self.name(thing.noun, slot, "PER")
        forms, feminine, plural = self.nouns[thing.noun], self.is_feminine(thing), thing.count > 1
        noun = self.phrase(forms["plural" if plural else "singular"], slot)
        noun += self.agree(thing.adjective, feminine, plural, slot)
        if plural:
            return self.number(thing.count) + noun
        if thing.definite:
            article = ("a la" if feminine else "al") if marked else "la" if feminine else "el"
        elif meaning.negated:
            article = "ninguna" if feminine else "ningún"
        else:
            article = "una" if feminine else "un"
        return self.phrase(article, slot) + noun

    def verb(self, m):
        if m.verb == "be":
            return self.phrase("estuvo")
        return (self.phrase("no") if m.negated else []) + self.phrase(self.verbs[m.verb]["past"], tag="VERB")

    def statement(self, m, head, subject, object, place, time):
        return head + subject + self.verb(m) + object + place + time

    def question(self, m, slot, subject, object, place, time):
        start = [Token("¿", (("¿", "PUNCT"),))]
        if slot == "count":
            feminine = self.is_feminine(m.object)
            wh = self.phrase("cuántas" if feminine else "cuántos") + self.phrase(self.nouns[m.object.noun]["plural"])
            wh += self.agree(m.object.adjective, feminine, True)
        else:
            asked = {"subject": "quién", "place": "dónde", "year": "en qué año", "object": "qué"}[slot]
            wh = self.phrase("a quién" if slot == "object" and is_person(m.object) else asked)
        return start + wh + self.verb(m) + subject + object + place + time

    def passive(self, m, place, time):
        patient = [t for t in self.noun_phrase(m.object, "subject", m)]
        participle = self.verbs[m.verb]["participle"]
        participle = participle[:-1] + "a" if self.is_feminine(m.object) else participle
        agent = self.phrase("por") + self.noun_phrase(m.subject, "subject", m)
        patient = [replace(t, slot="object") for t in patient]
        return patient + self.phrase("fue") + self.phrase(participle, tag="VERB") + agent + place + time


class French(Language):
    code, conjunction = "fr", "et"

    def agree(self, adjective, feminine, plural, slot=""):
        column = ("f" if feminine else "m") + ("p" if plural else "")
        return self.phrase(self.adjectives[adjective][column], slot, "ADJ") if adjective else []

    def with_adjective(self, thing, slot=""):
        plural, feminine = thing.count > 1, self.is_feminine(thing)
        noun = self.phrase(self.nouns[thing.noun]["plural" if plural else "singular"], slot)
        adjective = self.agree(thing.adjective, feminine, plural, slot)
        return adjective + noun if adjective and self.adjectives[thing.adjective]["position"] == "before" else noun + adjective

    def noun_phrase(self, thing, slot, meaning):
        if is_name(thing.noun):
            return self.name(thing.noun, slot, "PER")
        words, feminine = self.with_adjective(thing, slot), self.is_feminine(thing)
        if thing.count > 1:
            return self.number(thing.count) + words
        if thing.definite:
            article = elided("la" if feminine else "le", words)
        elif meaning.negated:
            article = elided("de", words)
        else:
            article = "une" if feminine else "un"
        return self.phrase(article, slot) + words

    def verb(self, m):
        if m.verb == "be":
            return self.phrase("était")
        auxiliary = self.phrase("n' a pas" if m.negated else "a")
        return auxiliary + self.phrase(self.verbs[m.verb]["participle"], tag="VERB")

    def statement(self, m, head, subject, object, place, time):
        return (head + self.comma() if head else []) + subject + self.verb(m) + object + place + time

    def question(self, m, slot, subject, object, place, time):
        if slot == "subject":
            return self.phrase("qui") + self.verb(m) + object + place + time
        if m.verb == "be":
            pronoun = "-elle" if self.is_feminine(m.subject) else "-il"
            wh = self.phrase("où" if slot == "place" else "en quelle année")
            return wh + subject + self.phrase(f"était {pronoun}") + place + time
        participle = self.verbs[m.verb]["participle"]
        if slot == "object" and not is_person(m.object):
            return self.phrase("qu' a") + self.phrase(participle, tag="VERB") + subject + place + time
        if slot == "count":  # the participle agrees with an object that stands before it
            feminine = self.is_feminine(m.object)
            participle += ("e" if feminine else "") + ("" if participle.endswith("s") and not feminine else "s")
            things = self.with_adjective(replace(m.object, count=3))
            wh = self.phrase("combien") + self.phrase(elided("de", things)) + things
        else:
            wh = self.phrase({"object": "qui", "place": "où", "year": "en quelle année"}[slot])
        pronoun = "-t-elle" if self.is_feminine(m.subject) else "-t-il"
        return wh + subject + self.phrase(f"a {pronoun}") + self.phrase(participle, tag="VERB") + object + place + time

    def passive(self, m, place, time):
        patient = [replace(t, slot="object") for t in self.noun_phrase(m.object, "subject", m)]
        participle = self.verbs[m.verb]["participle"] + ("e" if self.is_feminine(m.object) else "")
        agent = self.phrase("par") + self.noun_phrase(m.subject, "subject", m)
        return patient + self.phrase("a été") + self.phrase(participle, tag="VERB") + agent + place + time


def elided(word, following):
    """le, la, de before a vowel or a mute h (the only h-word of the lexicon that follows an article, homme, has one)."""
    return word[0] + "'" if following[0].text[0] in "aeiouhéèêâàîôûœ" else word


class Russian(Language):
    code = "ru"

    def conjoined(self, first, second):
        return first + self.comma() + self.phrase("а") + second

    def noun_phrase(self, thing, slot, meaning):
        if is_name(thing.noun):
            return self.name(thing.noun, slot, "PER")
        forms = self.nouns[thing.noun]
        gender, animate, accusative = forms["gender"], forms["animate"] == "yes", slot == "object"
        if thing.count > 1:
            return self.counted(thing, forms, gender, animate and accusative, slot)
        column = gender
        if accusative and gender == "m" and animate:
            column = "genitive_m"
        elif accusative and gender == "f":
            column = "accusative_f"
        noun = forms["accusative" if accusative else "nominative"]
        return self.adjective(thing.adjective, column, slot) + self.phrase(noun, slot)

    def adjective(self, adjective, column, slot=""):
        return self.phrase(self.adjectives[adjective][column], slot, "ADJ") if adjective else []

    def counted(self, thing, forms, gender, animate_object, slot):
        """три книги, трёх собак (animate object), пять книг; the adjective after 3 and 4 is nominative only with feminines."""
        few = thing.count < 5 and not animate_object
        column = "plural" if few and gender == "f" else "many"
        number = self.number(thing.count, column="animate" if animate_object else "form")
        return number + self.adjective(thing.adjective, column, slot) + self.phrase(forms["few" if few else "many"], slot)

    def verb(self, m, feminine):
        if m.verb == "be":
            return self.phrase("была" if feminine else "был")
        verb = self.phrase(self.verbs[m.verb]["f" if feminine else "m"], tag="VERB")
        return (self.phrase("не") if m.negated else []) + verb

    def time(self, time):
        return [replace(t, words=((t.text, "ADJ"),)) if t.text.isdigit() else t for t in super().time(time)]  # an ordinal

    def statement(self, m, head, subject, object, place, time):
        return head + subject + self.verb(m, self.is_feminine(m.subject)) + object + place + time

    def question(self, m, slot, subject, object, place, time):
        if slot == "subject":
            return self.phrase("кто") + self.verb(m, feminine=False) + object + place + time
        if slot == "count":
            wh = self.phrase("сколько") + self.adjective(m.object.adjective, "many") + self.phrase(self.nouns[m.object.noun]["many"])
        else:
            wh = self.phrase({"place": "где", "year": "в каком году", "object": "что"}[slot])
            if slot == "object" and (is_person(m.object) or self.nouns[m.object.noun]["animate"] == "yes"):
                wh = self.phrase("кого")
        if slot in ("place", "object") and not object:  # где был король, but: где король купил яйцо
            return wh + self.verb(m, self.is_feminine(m.subject)) + subject + place + time
        return wh + subject + self.verb(m, self.is_feminine(m.subject)) + object + place + time


class Turkish(Language):
    code, conjunction = "tr", "ve"

    def noun_phrase(self, thing, slot, meaning):
        definite_object = slot == "object" and (thing.definite or is_name(thing.noun))
        if is_name(thing.noun):
            return self.name(thing.noun, slot, "PER", suffixed=definite_object)
        noun = self.phrase(self.nouns[thing.noun]["accusative" if definite_object else "nominative"], slot)
        adjective = self.phrase(self.adjectives[thing.adjective]["form"], slot, "ADJ") if thing.adjective else []
        if thing.count > 1:
            return self.number(thing.count) + adjective + noun
        bare = thing.definite or (meaning.negated and not adjective)  # kitap okumadı, but: eski bir kitap okumadı
        return adjective + ([] if bare else self.phrase("bir", slot)) + noun

    def verb(self, m):
        *light, verb = self.verbs[m.verb]["negative" if m.negated else "past"].split()
        return self.phrase(" ".join(light)) + self.phrase(verb, tag="VERB")

    def was(self, place):
        """bahçede + ydi: "was in the garden"."""
        last = place[-1]
        ending = "ydi" if last.text[-1] == "e" else "ydı"
        return [*place[:-1], replace(last, text=last.text + ending, words=(*last.words, (ending, "AUX")), core=last.core or last.text)]

    def statement(self, m, head, subject, object, place, time):
        if m.verb == "be":
            return head + subject + time + self.was(place)
        return head + subject + time + place + object + self.verb(m)

    def question(self, m, slot, subject, object, place, time):
        if slot == "year":
            return subject + self.phrase("hangi yıl") + (self.was(place) if m.verb == "be" else place + object + self.verb(m))
        if m.verb == "be":
            return time + self.phrase("kim") + self.was(place) if slot == "subject" else subject + time + self.phrase("neredeydi")
        if slot == "subject":
            is_definite = m.object and (m.object.definite or is_name(m.object.noun))
            return time + place + (object + self.phrase("kim") if is_definite else self.phrase("kim") + object) + self.verb(m)
        if slot == "place":
            is_definite = m.object and (m.object.definite or is_name(m.object.noun))
            return subject + time + (object + self.phrase("nerede") if is_definite else self.phrase("nerede") + object) + self.verb(m)
        asked = self.phrase("kimi" if is_person(m.object) else "ne")
        if slot == "count":
            adjective = self.phrase(self.adjectives[m.object.adjective]["form"], "", "ADJ") if m.object.adjective else []
            asked = self.phrase("kaç") + adjective + self.phrase(self.nouns[m.object.noun]["nominative"])
        return subject + time + place + asked + self.verb(m)


class Arabic(Language):
    code, question_mark = "ar", "؟"

    def conjoined(self, first, second):
        """و is written together with the next word."""
        verb = second[0]
        return [*first, replace(verb, text="و" + verb.text, words=(("و", "CCONJ"), *verb.words)), *second[1:]]

    def noun_phrase(self, thing, slot, meaning):
        if is_name(thing.noun):
            return self.name(thing.noun, slot, "PER")
        forms, feminine = self.nouns[thing.noun], self.is_feminine(thing)
        adjective = self.adjectives.get(thing.adjective)
        if thing.count > 1:  # the number has the opposite gender; things in the plural take feminine singular adjectives
            number = self.number(thing.count, column="f" if feminine else "m")
            return number + self.phrase(forms["plural"], slot) + self.adjective(adjective, "f", slot)
        if thing.definite:
            noun = self.phrase("ال" + forms["singular"], slot)
            return noun + self.adjective(adjective, "f" if feminine else "m", slot, article="ال")
        return self.indefinite(thing, slot)

    def indefinite(self, thing, slot=""):
        """The accusative, the only case in which the world's indefinite singulars stand."""
        adjective = self.adjectives.get(thing.adjective)
        noun = self.phrase(self.nouns[thing.noun]["accusative"], slot)
        return noun + self.adjective(adjective, "f" if self.is_feminine(thing) else "accusative_m", slot)

    def adjective(self, forms, column, slot, article=""):
        return self.phrase(article + forms[column], slot, "ADJ") if forms else []

    def verb(self, m, feminine):
        """The verb stands first and agrees in gender with the subject that follows it."""
        gender = "f" if feminine else "m"
        if m.verb == "be":
            return self.phrase("كانت" if feminine else "كان")
        if m.negated:
            return self.phrase("لم") + self.phrase(self.verbs[m.verb][f"jussive_{gender}"], tag="VERB")
        return self.phrase(self.verbs[m.verb][gender], tag="VERB")

    def statement(self, m, head, subject, object, place, time):
        return head + self.verb(m, self.is_feminine(m.subject)) + subject + object + place + time

    def question(self, m, slot, subject, object, place, time):
        if slot == "subject":
            return self.phrase("من الذي") + self.verb(m, feminine=False) + object + place + time
        verb = self.verb(m, self.is_feminine(m.subject))
        if slot == "object" and is_person(m.object):  # "who is the one that Anna saw him": without him, who saw whom stays open
            form = self.verbs[m.verb]["with_him_f" if self.is_feminine(m.subject) else "with_him_m"]
            wh, verb = self.phrase("من الذي"), [Token(form, ((form[:-1], "VERB"), (form[-1], "PRON")))]
        elif slot == "count":
            wh = self.phrase("كم") + self.indefinite(m.object)
        else:
            wh = self.phrase({"place": "أين", "year": "في أي عام", "object": "ماذا"}[slot])
        return wh + verb + subject + object + place + time


class Chinese(Language):
    code, stop, question_mark = "zh", "。", "？"

    def conjoined(self, first, second):
        return first + self.comma("，") + second

    def noun_phrase(self, thing, slot, meaning):
        """A number or 那 needs the measure word of its noun; under negation an indefinite noun stands bare."""
        if is_name(thing.noun):
            return self.name(thing.noun, slot, "PER")
        forms = self.nouns[thing.noun]
        words = self.adjective(thing, slot) + self.phrase(forms["noun"], slot)
        if thing.definite:
            return words if is_person(thing) else self.phrase("那", slot) + self.phrase(forms["measure"], slot) + words
        if thing.count > 1:
            return self.number(thing.count) + self.phrase(forms["measure"], slot) + words
        return words if meaning.negated else self.phrase("一", slot) + self.phrase(forms["measure"], slot) + words

    def adjective(self, thing, slot=""):
        if (thing.adjective, thing.noun) == ("big", "elephant"):  # 大象 is any elephant
            return self.phrase("巨大 的", slot, "ADJ")
        return self.phrase(self.adjectives[thing.adjective]["form"], slot, "ADJ") if thing.adjective else []

    def verb(self, m):
        """了 stands between a verb and the noun it brings along (唱了歌, but 没有唱歌) where that can end a sentence (跑步了)."""
        verb, *words = self.verbs[m.verb]["base" if m.negated else "past"].split()
        return self.phrase(verb, tag="VERB") + self.phrase(" ".join(words))

    def predicate(self, m, object, place, time):
        if m.verb == "be":
            return time + [replace(t, words=((t.text, "VERB"),)) if t.text == "在" else t for t in place]
        return time + (self.phrase("没有") if m.negated else []) + place + self.verb(m) + object

    def statement(self, m, head, subject, object, place, time):
        return (head + self.comma("，") if head else []) + subject + self.predicate(m, object, place, time)

    def question(self, m, slot, subject, object, place, time):
        asked = {"subject": "谁", "place": "在 哪里", "year": "哪 一 年", "object": "什么", "count": "几"}[slot]
        asked = self.phrase("谁" if slot == "object" and is_person(m.object) else asked)
        if slot == "count":
            asked += self.phrase(self.nouns[m.object.noun]["measure"]) + self.adjective(m.object)
            asked += self.phrase(self.nouns[m.object.noun]["noun"])
        return {
            "subject": lambda: time + asked + self.predicate(m, object, place, []),
            "place": lambda: subject + self.predicate(m, object, asked, time),
            "year": lambda: subject + self.predicate(m, object, place, asked),
        }.get(slot, lambda: subject + self.predicate(m, asked, place, time))()

    def passive(self, m, place, time):
        patient, agent = self.noun_phrase(m.object, "object", m), self.noun_phrase(m.subject, "subject", m)
        result = self.phrase("下来" if m.verb == "draw" else "")  # 被 wants a result, and 画 alone has none
        return patient + time + place + self.phrase("被") + agent + self.verb(m) + result


def is_animal(thing):
    return thing.noun == "animal" or KIND_OF.get(thing.noun) == "animal"


def is_person(thing):
    return is_name(thing.noun) or KIND_OF.get(thing.noun) == "person"


GRAMMARS = {grammar.code: grammar for grammar in (g() for g in (English, German, Spanish, French, Russian, Turkish, Arabic, Chinese))}
