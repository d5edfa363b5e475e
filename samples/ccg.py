"""CCGbank derivations of the world's English statements, in the one-line `.auto` notation.

The world's sentences are few in kind, so supertags follow from the tags and a derivation is folded together part by part.
"""

POS = {"DET": "DT", "ADJ": "JJ", "ADP": "IN", "NUM": "CD", "PROPN": "NNP", "AUX": "VBD", "PART": "RB", "CCONJ": "CC"}
VP_MODIFIER = "(S\\NP)\\(S\\NP)"


def leaf(token, category, pos=""):
    tag = token.words[0][1]
    pos = pos or POS.get(tag) or ("NNS" if token.text.endswith("s") and tag == "NOUN" else "NN" if tag == "NOUN" else token.text)
    return category, f"(<L {category} {pos} {pos} {token.text} {category}>)"


def node(category, head, *children):
    return category, f"(<T {category} {head} {len(children)}> {' '.join(text for _, text in children)} )"


def noun_phrase(tokens):
    """Fold (the (young doctor)) to NP; a phrase without a determiner is an N that becomes an NP by itself."""
    tree = leaf(tokens[-1], "N")
    for token in reversed(tokens[:-1]):
        if token.words[0][1] == "DET":
            tree = node("NP[nb]", 0, leaf(token, "NP[nb]/N"), tree)
        else:
            tree = node("N", 1, leaf(token, "N/N"), tree)
    return tree if tree[0] == "NP[nb]" else node("NP", 0, tree)


def adverbial(tokens, frame):
    """A place or time: one word, or a preposition with its noun phrase."""
    if len(tokens) == 1:
        return leaf(tokens[0], frame)
    category = f"{frame}/NP" if frame == "PP" else f"({frame})/NP"
    return node(frame, 0, leaf(tokens[0], category), noun_phrase(tokens[1:]))


def derivation(sentence):
    """The tree of a statement: ((front ,) (subject ((verb object) place time))) . or two such clauses joined by "and"."""
    *tokens, stop = sentence.tokens
    texts = [token.text for token in tokens]
    if "and" in texts:
        at = texts.index("and")
        second = node("S[dcl][conj]", 1, leaf(tokens[at], "conj"), clause(tokens[at + 1 :]))
        tree = node("S[dcl]", 0, clause(tokens[:at]), second)
    else:
        tree = clause(tokens)
    return node("S[dcl]", 0, tree, leaf(stop, "."))[1]


def clause(tokens):
    texts = [token.text for token in tokens]
    if "," in texts:
        at = texts.index(",")
        opening = node("S/S", 0, adverbial(tokens[:at], "S/S"), leaf(tokens[at], ","))
        return node("S[dcl]", 1, opening, clause(tokens[at + 1 :]))
    verb_at = next(i for i, token in enumerate(tokens) if token.words[0][1] in ("AUX", "VERB"))
    return node("S[dcl]", 1, noun_phrase(tokens[:verb_at]), predicate(tokens[verb_at:]))


def predicate(tokens):
    if tokens[0].text == "did":  # "not" composes with "did" before the verb is taken
        did = "(S[dcl]\\NP)/(S[b]\\NP)"
        auxiliary = node(did, 0, leaf(tokens[0], did), leaf(tokens[1], VP_MODIFIER))
        return node("S[dcl]\\NP", 0, auxiliary, verb_phrase(tokens[2:], "b", "VB"))
    if tokens[0].text == "was" and tokens[1].words[0][1] == "VERB":
        return node("S[dcl]\\NP", 0, leaf(tokens[0], "(S[dcl]\\NP)/(S[pss]\\NP)"), verb_phrase(tokens[1:], "pss", "VBN"))
    return verb_phrase(tokens, "dcl", "VBD")


def verb_phrase(tokens, form, pos):
    """The verb with its object or place, then each adverbial."""
    result, (verb, *others) = f"S[{form}]\\NP", tokens
    chunks = []
    for token in others:
        if token.words[0][1] == "ADP" or token.text == "yesterday" or not chunks:
            chunks.append([])
        chunks[-1].append(token)
    if verb.text == "was":
        tree = node(result, 0, leaf(verb, f"({result})/PP"), adverbial(chunks.pop(0), "PP"))
    elif chunks and chunks[0][0].words[0][1] != "ADP" and chunks[0][0].text != "yesterday":
        tree = node(result, 0, leaf(verb, f"({result})/NP", pos), noun_phrase(chunks.pop(0)))
    else:
        tree = leaf(verb, result, pos)
    for chunk in chunks:
        tree = node(result, 0, tree, adverbial(chunk, VP_MODIFIER))
    return tree
