"""One tag for each word. Example columns: words, tags.

A word is labelled at its first piece. A sentence that is too long is split at word boundaries into several features and joined
again (as XTREME does, Hu et al. 2020, utils_preprocess.py), so that every word has a tag and no word drops out of the score.
"""

from functools import lru_cache

from transformers import AutoModelForTokenClassification

from task_adapters.base import InputError
from task_types.loss import IGNORED, loss_of_logits

Model = AutoModelForTokenClassification
loss = loss_of_logits

RESERVED = 3  # XTREME leaves room for <s> and a double </s>: chunks of 125 pieces at a maximum of 128


def to_features(examples, tokenizer, task, max_length, doc_stride=None):
    """A batch of examples -> chunks of at most `max_length` - 3 pieces.

    Besides what the model eats: `example_index` (which sentence of the batch), `first_pieces` (position of each word's
    first piece, in order). A word that tokenises to nothing, or to more pieces than a chunk holds, becomes one <unk>
    (<mask> where the tokenizer has no <unk>).
    """
    room = max_length - RESERVED
    sentences, unknown = examples["words"], tokenizer.unk_token or tokenizer.mask_token
    if needs_space(tokenizer):
        sentences = [[f" {word}" if word.strip() else word for word in words] for words in sentences]
    pieces = tokenizer(sentences, is_split_into_words=True, add_special_tokens=False, verbose=False)
    chunks, tags, sentence = [], [], []
    output_of = {tag: place for place, tag in enumerate(task.labels)}
    for index, (words, word_tags) in enumerate(zip(sentences, examples["tags"])):
        lengths = [0] * len(words)
        for word in pieces.word_ids(index):
            lengths[word] += 1
        chunk, chunk_tags, used = [], [], 0
        for word, tag, length in zip(words, word_tags, lengths):
            if not 0 < length <= room:
                if unknown is None:
                    raise InputError(f"{tokenizer.name_or_path!r} has no token for the unknown, which the word {word[:60]!r} needs.")
                word, length = unknown, 1
            if used + length > room:
                chunks.append(chunk), tags.append(chunk_tags), sentence.append(index)
                chunk, chunk_tags, used = [], [], 0
            chunk.append(word), chunk_tags.append(tag)
            used += length
        chunks.append(chunk), tags.append(chunk_tags), sentence.append(index)

    features = tokenizer(chunks, is_split_into_words=True, return_attention_mask=False)
    features["first_pieces"], features["labels"] = [], []
    for index, chunk_tags in enumerate(tags):
        first, previous = [], None
        for position, word in enumerate(features.word_ids(index)):
            if word is not None and word != previous:
                first.append(position)
            previous = word
        if len(first) != len(chunk_tags):
            raise ValueError(f"{len(chunk_tags)} words gave {len(first)} first pieces: {chunks[index]}")
        labels = [IGNORED] * len(features["input_ids"][index])
        for position, tag in zip(first, chunk_tags):
            # A tag that training never saw (CCG) has no output: it is not learned, and scored as wrong.
            labels[position] = output_of.get(tag, IGNORED)
        features["first_pieces"].append(first)
        features["labels"].append(labels)
    features["example_index"] = sentence
    return features


@lru_cache(maxsize=8)
def needs_space(tokenizer):
    """Whether a word must bring the space before it, as byte-level BPE and Gemma's tokenizer (mmBERT) read it in running text.

    Without it every word of a list looks like the rest of a longer one (https://github.com/AnswerDotAI/ModernBERT/issues/149).
    Loading with `add_prefix_space` would do the same, but saved with the model it would reach tasks that read running text.
    """
    plain, split = {"add_special_tokens": False}, {"add_special_tokens": False, "is_split_into_words": True}
    text, bare, spaced = tokenizer("a b", **plain), tokenizer(["a", "b"], **split), tokenizer(["a", " b"], **split)
    return bare["input_ids"] != text["input_ids"] == spaced["input_ids"]


def reduce_logits(logits, labels):
    """What leaves the device: the best tag of each piece, (batch, length) integers."""
    return logits.argmax(-1)


def gold(examples, task):
    return [list(tags) for tags in examples["tags"][:]]


def decode(examples, features, logits, task):
    """Best tag ids (features, length) -> one tag name per word of each example."""
    predicted = [[] for _ in range(len(examples))]
    for row, first, index in zip(logits, features["first_pieces"][:], features["example_index"][:]):
        predicted[index].extend(task.labels[tag] for tag in row[first])
    return predicted
