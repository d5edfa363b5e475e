"""Features and decoding of the task types: choices are not cut, sentences are split and joined again, spans are exact to the character."""

import os
import random
import re
import resource
from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets import Dataset
from families import FAMILIES, write_tokenizer
from tokenizers import normalizers
from transformers import XLMRobertaConfig, XLMRobertaForMultipleChoice, XLMRobertaTokenizer, set_seed

from metrics import squad_v2_scores, token_accuracy
from task_adapters import TASKS, InputError
from task_types import NEEDS_OFFSETS, TASK_TYPES, check_lengths, classification, make_features, multiple_choice, span_qa, tagging
from task_types.collator import Collator
from task_types.loss import IGNORED, cross_entropy, loss_of_logits

HELLASWAG, UDPOS, SQUAD, SQUAD_V2 = (TASKS[name] for name in ("hellaswag", "udpos", "squad_v1", "squad_v2"))
NAMES = ("Model", "to_features", "loss", "reduce_logits", "gold", "decode")


def tokenizer_of(characters="", words=()):
    """XLM-R's own tokenizer over single characters and whole words."""
    vocab = [(piece, 0.0) for piece in ("<s>", "<pad>", "</s>", "<unk>")] + [("▁", -5.0)]
    vocab += [(character, -4.0) for character in dict.fromkeys(characters) if not character.isspace()]
    vocab += [(f"▁{word}", -3.0) for word in words] + [("<mask>", 0.0)]
    return XLMRobertaTokenizer(vocab=vocab, model_max_length=512)


def columns(rows):
    return {name: [row[name] for row in rows] for name in rows[0]}


def row_of(features, index):
    return {name: values[index] for name, values in features.items()}


@pytest.mark.parametrize("name", TASK_TYPES)
def test_every_type_has_the_same_names(name):
    assert all(hasattr(TASK_TYPES[name], attribute) for attribute in NAMES) and TASK_TYPES[name].__doc__


def test_every_task_that_is_trained_has_its_type():
    assert {task.task_type for task in TASKS.values() if task.phase != "retrieval"} == set(TASK_TYPES)


def memory_growth(work) -> int:
    """Returns the peak memory of `work()` in MB, above the memory of this process. It is measured in a forked copy."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            work()
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            os.write(writer, str(grown // 1024).encode())
        finally:
            os._exit(0)  # The copy must not run the other tests.
    os.close(writer)
    with os.fdopen(reader) as answer:
        megabytes = answer.read()
    os.waitpid(child, 0)
    return int(megabytes)  # "" where the work failed


# ---- classification


@pytest.mark.parametrize("text_a, text_b", [("a", ""), ("", "b"), ("", "")])
def test_an_empty_sentence_has_the_same_layout_alone_as_beside_pairs(text_a, text_b):
    tokenizer, row = tokenizer_of("ab"), {"text_a": text_a, "text_b": text_b, "label": "1"}
    pair = {"text_a": "a", "text_b": "b", "label": "0"}
    alone, beside = (
        classification.to_features(columns(rows), tokenizer, TASKS["pawsx"], 16)["input_ids"][0] for rows in ([row], [row, pair])
    )
    assert alone == beside == tokenizer([text_a], [text_b])["input_ids"][0]


def test_a_task_of_single_sentences_has_no_second_one():
    tokenizer, task = tokenizer_of("ab"), replace(TASKS["pawsx"], sentences=1)
    rows = [{"text_a": "a" * length, "text_b": "", "label": "1"} for length in (0, 3, 20)]
    features = classification.to_features(columns(rows), tokenizer, task, 12)
    assert features["input_ids"] == [tokenizer(row["text_a"], truncation=True, max_length=12)["input_ids"] for row in rows]


@pytest.mark.parametrize("side", ["right", "left"])
def test_pairs_are_cut_as_the_library_cuts_the_longest_first(side):
    tokenizer, rng = tokenizer_of("ab"), random.Random(0)
    tokenizer.truncation_side = side
    for _ in range(300):
        length, rows = rng.randrange(6, 40), []
        for _ in range(4):
            rows.append({"text_a": "a" * rng.choice([0, 1, rng.randrange(60)]), "text_b": "b" * rng.randrange(60), "label": "neutral"})
        features, texts = classification.to_features(columns(rows), tokenizer, TASKS["mnli"], length), columns(rows)
        expected = tokenizer(texts["text_a"], texts["text_b"], truncation="longest_first", max_length=length)["input_ids"]
        assert features["input_ids"] == expected


def test_the_memory_of_a_long_pair_grows_with_its_length():
    """The library keeps all pairs of parts that it cuts off: 620 MB for 2 x 5,000 tokens, four times as much for twice the length."""
    tokenizer, label = tokenizer_of(words=["a", "b"]), ["neutral"]
    rows = {"text_a": ["a " * 5000], "text_b": ["b " * 5000], "label": label}
    classification.to_features({"text_a": ["a"], "text_b": ["b"], "label": label}, tokenizer, TASKS["mnli"], 128)
    assert memory_growth(lambda: classification.to_features(rows, tokenizer, TASKS["mnli"], 128)) < 100


def test_an_empty_second_sentence_does_not_stop_a_pair_task():
    tokenizer = tokenizer_of("ab")
    rows = [{"text_a": "a", "text_b": "b", "label": "1"}, {"text_a": "", "text_b": "", "label": "0"}]
    features = classification.to_features(columns(rows), tokenizer, TASKS["pawsx"], 16)
    assert features["labels"] == [1, 0] and [len(ids) for ids in features["input_ids"]] == [8, 4]


def test_the_longer_text_of_a_pair_is_cut_and_labels_count_as_the_task_names_them():
    tokenizer, task = tokenizer_of("ab"), replace(TASKS["mnli"], labels=("neutral", "contradiction", "entailment"))
    rows = [{"text_a": "a" * 20, "text_b": "bb", "label": "entailment"}, {"text_a": "aa", "text_b": "b" * 20, "label": "neutral"}]
    features = classification.to_features(columns(rows), tokenizer, task, 12)
    assert features["labels"] == [2, 0] and [len(ids) for ids in features["input_ids"]] == [12, 12]
    for ids, kept in zip(features["input_ids"], ("bb", "aa")):
        assert tokenizer.convert_ids_to_tokens(ids).count(kept[0]) == 2, "the shorter one stays whole"
    assert classification.decode(rows, features, [[0, 0, 1], [1, 0, 0]], task) == ["entailment", "neutral"]


# ---- the loss


def test_the_loss_is_summed_in_full_precision_and_is_nothing_where_nothing_is_labelled():
    logits, labels = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0)), torch.tensor([[1, IGNORED, 2], [0, 4, IGNORED]])
    rows = [-torch.log_softmax(logits[i, j], 0)[labels[i, j]] for i in range(2) for j in range(3) if labels[i, j] != IGNORED]
    assert cross_entropy(logits, labels).item() == pytest.approx(float(sum(rows)) / 4)
    assert cross_entropy(logits, labels, torch.tensor(10)).item() == pytest.approx(float(sum(rows)) / 10), "of the whole step"
    assert cross_entropy(logits.bfloat16(), labels).dtype == torch.float32
    assert cross_entropy(logits, torch.full_like(labels, IGNORED)).item() == 0


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("name", [name for name in TASK_TYPES if name != "pairs"])  # whose empty batches are in test_dual_encoder.py
def test_a_row_without_labels_adds_nothing_to_loss_gradients_and_count(name, smoothing):
    """A process without examples in a micro-batch computes such a row (`speed.real_tokens.CountingCollator`)."""
    generator = torch.Generator().manual_seed(0)
    shape = {"classification": (2, 3), "multiple_choice": (2, 4), "tagging": (2, 5, 3), "span_qa": (2, 5)}[name]
    labels = {"classification": [1, 2], "multiple_choice": [3, 0], "tagging": [[IGNORED, 1, 2, 0, IGNORED]] * 2, "span_qa": [[1, 3, 5]] * 2}
    labels = torch.tensor(labels[name])
    labels[1] = IGNORED

    def loss_and_gradients(rows):
        generator.manual_seed(0)
        parts = [torch.randn(shape, generator=generator)[:rows].requires_grad_() for _ in range(2 if name == "span_qa" else 1)]
        outputs = dict(zip(("start_logits", "end_logits") if name == "span_qa" else ("logits",), parts))
        loss = TASK_TYPES[name].loss(outputs, labels[:rows], labels[:rows].ne(IGNORED).sum(), smoothing)
        return loss.item(), torch.autograd.grad(loss, parts)

    (alone, gradients), (both, gradients_of_both) = loss_and_gradients(1), loss_and_gradients(2)
    assert both == alone > 0
    for gradient, expected in zip(gradients_of_both, gradients):
        assert torch.equal(gradient[:1], expected) and not gradient[1].any()


def plain_smoothed(logits, label, a):
    """Cross-entropy with label smoothing as it is defined (Szegedy et al., 2016), in float64. logits: those of the admissible classes."""
    shifted = np.asarray(logits, dtype=np.float64) - np.max(logits)
    log_shares = shifted - np.log(np.exp(shifted).sum())
    target = np.full(len(shifted), a / len(shifted))
    target[label] += 1 - a
    return -(target * log_shares).sum()


@pytest.mark.parametrize("a", [0.0, 0.1, 0.9])
def test_smoothed_targets_are_spread_over_labels_or_choices_and_ignored_tags_stay_ignored(a):
    rng = np.random.default_rng(0)
    for shape in ((4, 3), (4, 5, 3), (4, 4)):  # classes, tags, choices
        logits, labels = rng.normal(size=shape).astype(np.float32) * 3, rng.integers(0, shape[-1], shape[:-1])
        if len(shape) == 3:
            labels[:, ::2] = IGNORED
        rows = [plain_smoothed(logits[at], labels[at], a) for at in np.ndindex(labels.shape) if labels[at] != IGNORED]
        given = {"logits": torch.from_numpy(logits)}, torch.from_numpy(labels)
        assert loss_of_logits(*given, label_smoothing=a).item() == pytest.approx(np.mean(rows), rel=1e-5)
        assert loss_of_logits(*given, torch.tensor(32), a).item() == pytest.approx(sum(rows) / 32, rel=1e-5), "of the whole step"
        expected = torch.nn.functional.cross_entropy(given[0]["logits"].flatten(0, -2), given[1].flatten(), label_smoothing=a)
        assert loss_of_logits(*given, label_smoothing=a).item() == pytest.approx(expected.item(), rel=1e-5), "as torch has it"
        if not a:
            plain = torch.nn.functional.cross_entropy(given[0]["logits"].flatten(0, -2), given[1].flatten(), reduction="sum")
            assert torch.equal(loss_of_logits(*given, label_smoothing=a), plain / (given[1] != IGNORED).sum()), "bit-equal to the plain one"


@pytest.mark.parametrize("a", [0.0, 0.1, 0.9])
def test_span_qa_spreads_over_the_real_tokens_of_each_window_and_its_gradient_is_finite(a):
    rng = np.random.default_rng(1)
    lengths, positions = [5, 9, 2], 9
    labels = torch.tensor([[1, 3, 5], [8, 8, 9], [0, 0, 2]])
    logits = {name: torch.from_numpy(rng.normal(size=(3, positions)).astype(np.float32)).requires_grad_() for name in ("start", "end")}
    outputs = {f"{name}_logits": values for name, values in logits.items()}
    rows = [
        plain_smoothed(logits[name].detach().numpy()[row, :length], int(labels[row, column]), a)
        for row, length in enumerate(lengths)
        for column, name in enumerate(("start", "end"))
    ]
    value = span_qa.loss(outputs, labels, label_smoothing=a)
    assert value.item() == pytest.approx(np.mean(rows), rel=1e-5)
    assert span_qa.loss(outputs, labels, torch.tensor(30), a).item() == pytest.approx(sum(rows) / 2 / 10, rel=1e-5), (
        "ten windows in the step"
    )
    value.backward()
    for values in logits.values():
        assert values.grad.isfinite().all() and values.grad.any()
        assert all(not values.grad[row, length:].any() for row, length in enumerate(lengths)), "padding has no part in it"
        assert values.grad.sum(1).abs().max() < 1e-6


def test_a_window_without_labels_adds_nothing_to_a_smoothed_loss():
    """An empty share of a step's last examples has its labels blanked out, all three columns."""
    logits = {
        name: torch.randn(1, 4, generator=torch.Generator().manual_seed(2)).requires_grad_() for name in ("start_logits", "end_logits")
    }
    value = span_qa.loss(logits, torch.full((1, 3), IGNORED), torch.tensor(3), 0.1)
    value.backward()
    assert value.item() == 0 and not any(values.grad.any() for values in logits.values())


# ---- multiple choice


def choice_rows(rng, words, n, choices=4):
    """Multiple-choice rows whose right choice is the only one that occurs in the context."""
    rows = []
    for _ in range(n):
        drawn, label = rng.sample(words, choices + 2), rng.randrange(choices)
        answers = drawn[3:]
        answers.insert(label, rng.choice(drawn[:3]))
        rows.append({"context": " ".join(drawn[:3]), "question": "", "choices": answers, "label": label})
    return rows


def test_a_small_model_learns_multiple_choice():
    rng, words = random.Random(0), [f"w{i:02}" for i in range(16)]
    tokenizer = tokenizer_of(words=words)
    train, test = choice_rows(rng, words, 2000), choice_rows(rng, words, 400)
    features, unseen = (multiple_choice.to_features(columns(rows), tokenizer, HELLASWAG, 32) for rows in (train, test))
    collate = Collator(tokenizer.pad_token_id)
    set_seed(0)
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer), hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, max_position_embeddings=64, type_vocab_size=1, initializer_range=0.1,
    )  # fmt: skip
    model = XLMRobertaForMultipleChoice(config)

    def predicted():
        batch = collate([row_of(unseen, i) for i in range(len(test))])
        with torch.no_grad():
            logits = model(**{name: values for name, values in batch.items() if name != "labels"}).logits
        return multiple_choice.decode(test, unseen, multiple_choice.reduce_logits(logits, None).numpy(), HELLASWAG)

    gold, steps = multiple_choice.gold(columns(test), HELLASWAG), 150
    before = HELLASWAG.metric(gold, predicted(), "en")["accuracy"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, (step + 1) / 50) * (1 - step / steps))
    for _ in range(steps):
        batch = collate([row_of(features, rng.randrange(len(train))) for _ in range(32)])
        labels = batch.pop("labels")
        multiple_choice.loss(model(**batch), labels).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step(), schedule.step(), optimizer.zero_grad()
    after = HELLASWAG.metric(gold, predicted(), "en")["accuracy"]
    assert before < 45 and after > 95, (before, after)


def test_a_choice_is_the_second_segment_and_all_choices_share_the_first():
    tokenizer = tokenizer_of(words=["rain", "why", "wet", "sun", "tea"])
    row = {"context": "rain", "question": "why wet", "choices": ["sun", "tea"], "label": 1}
    features = multiple_choice.to_features(columns([row]), tokenizer, HELLASWAG, 32)
    assert features["input_ids"] == [tokenizer(["rain why wet"] * 2, ["sun", "tea"])["input_ids"]]
    assert set(features) == {"input_ids", "labels"} and features["labels"] == [1]


def test_a_question_without_context_stands_alone():
    tokenizer = tokenizer_of(words=["why", "sun", "tea"])
    features = multiple_choice.to_features(
        columns([{"context": "", "question": "why", "choices": ["sun", "tea"], "label": 0}]), tokenizer, HELLASWAG, 32
    )
    assert features["input_ids"] == [tokenizer(["why"] * 2, ["sun", "tea"])["input_ids"]]


@pytest.mark.parametrize("max_length", range(8, 20))
def test_the_context_is_cut_at_its_beginning_and_the_choice_never(max_length):
    words = [f"w{i:02}" for i in range(20)]
    tokenizer = tokenizer_of(words=words)
    row = {"context": " ".join(words[:10]), "question": "w10", "choices": ["w11", "w12 w13 w14", "w15 w16"], "label": 0}
    features = multiple_choice.to_features(columns([row]), tokenizer, HELLASWAG, max_length)
    for ids, choice in zip(features["input_ids"][0], row["choices"]):
        pieces = [piece.strip("▁") for piece in tokenizer.convert_ids_to_tokens(ids)]
        end = pieces.index("</s>")
        room = max_length - 4 - len(choice.split())
        assert pieces[end:] == ["</s>", "</s>", *choice.split(), "</s>"]
        assert pieces[1:end] == words[:11][max(0, 11 - room) :] and len(ids) <= max_length


def test_a_choice_longer_than_the_maximum_is_refused_in_one_line():
    tokenizer = tokenizer_of(words=["a"])
    row = {"context": "a", "question": "a", "choices": ["a", "a a a a a"], "label": 0}
    assert multiple_choice.to_features(columns([row]), tokenizer, HELLASWAG, 9)["input_ids"][0][1].count(2) == 3  # no context left
    with pytest.raises(InputError, match="--max_seq_length 8 is too short for a choice of 5 tokens: 'a a a a a'"):
        multiple_choice.to_features(columns([row]), tokenizer, HELLASWAG, 8)


def test_examples_with_different_numbers_of_choices_are_refused():
    rows = [{"context": "a", "question": "", "choices": ["a"] * n, "label": 0} for n in (2, 3)]
    with pytest.raises(InputError, match="hellaswag: examples with 2 and with 3 choices"):
        multiple_choice.to_features(columns(rows), tokenizer_of("a"), HELLASWAG, 8)


def test_token_types_are_given_only_where_the_model_knows_them():
    tokenizer = tokenizer_of(words=["a", "b"])
    row = columns([{"context": "a", "question": "", "choices": ["b b", "b"], "label": 0}])
    assert "token_type_ids" not in multiple_choice.to_features(row, tokenizer, HELLASWAG, 16)
    tokenizer = tokenizer_of(words=["a", "b"])
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    features = multiple_choice.to_features(row, tokenizer, HELLASWAG, 16)
    assert [len(types) for types in features["token_type_ids"][0]] == [len(ids) for ids in features["input_ids"][0]] == [7, 6]
    assert "multiple_choice" in NEEDS_OFFSETS


def test_choices_of_a_batch_are_padded_together():
    tokenizer = tokenizer_of(words=["a", "b"])
    rows = [{"context": "a " * n, "question": "", "choices": ["b", "b b"], "label": 1} for n in (1, 5)]
    features = multiple_choice.to_features(columns(rows), tokenizer, HELLASWAG, 32)
    batch = Collator(tokenizer.pad_token_id)([row_of(features, i) for i in range(2)])
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (2, 2, 11) and batch["labels"].tolist() == [1, 1]
    assert batch["attention_mask"].sum(-1).tolist() == [[6, 7], [10, 11]]


# ---- tagging


def random_sentence(rng):
    return ["a" * rng.choice([0, 1, 1, 2, 3, 5, 9]) for _ in range(rng.randrange(1, 40))]


def test_long_sentences_are_split_at_word_boundaries_as_full_as_they_get_and_joined_again():
    """XTREME's rule: chunks of max_length - 3 pieces, a new one where the next word has no room."""
    tokenizer, rng = tokenizer_of("a"), random.Random(0)
    sentences = [random_sentence(rng) for _ in range(60)]
    tags = [[rng.choice(UDPOS.labels) for _ in words] for words in sentences]
    features = tagging.to_features({"words": sentences, "tags": tags}, tokenizer, UDPOS, 15)
    room = 12
    # This rule is independent of the code: a word of n > 0 letters gives "▁" and n tokens, an empty word gives one <unk>.
    expected = []
    for index, words in enumerate(sentences):
        sizes = [len(word) + 1 if word else 1 for word in words]
        chunks = [[]]
        for size in sizes:
            if sum(chunks[-1]) + size > room:
                chunks.append([])
            chunks[-1].append(size)
        expected += [(index, chunk) for chunk in chunks]
    assert [(index, len(first)) for index, first in zip(features["example_index"], features["first_pieces"])] == [
        (index, len(chunk)) for index, chunk in expected
    ]
    for ids, first, labels, (_, chunk) in zip(features["input_ids"], features["first_pieces"], features["labels"], expected):
        assert len(ids) == sum(chunk) + 2 <= 14 and [i for i, label in enumerate(labels) if label != IGNORED] == first
        assert first == [1 + sum(chunk[:n]) for n in range(len(chunk))]
    best = np.full((len(features["labels"]), 15), -1)
    for row, labels in enumerate(features["labels"]):
        best[row, : len(labels)] = labels
    examples = {"words": sentences, "tags": tags}
    turned = replace(UDPOS, labels=UDPOS.labels[::-1])  # A kept head may have this order.
    mirrored = np.where(best < 0, best, len(UDPOS.labels) - 1 - best)
    assert tagging.decode(Dataset.from_dict(examples), features, mirrored, turned) == tags
    assert tagging.to_features(examples, tokenizer, turned, 15)["labels"] == [
        [label if label == IGNORED else len(UDPOS.labels) - 1 - label for label in labels] for labels in features["labels"]
    ]
    predicted = tagging.decode(Dataset.from_dict(examples), features, best, UDPOS)
    assert predicted == tagging.gold(examples, UDPOS) == tags


def test_a_chunk_holds_125_pieces_at_a_maximum_of_128():
    tokenizer = tokenizer_of(words=["a"])
    features = tagging.to_features({"words": [["a"] * 251], "tags": [["X"] * 251]}, tokenizer, UDPOS, 128)
    assert [len(first) for first in features["first_pieces"]] == [125, 125, 1] and features["example_index"] == [0, 0, 0]


def test_a_word_that_tokenises_to_nothing_still_gets_a_tag():
    tokenizer = tokenizer_of(words=["a"])
    words, tags = ["a", " ", "a", "\u3000"], ["NOUN", "X", "VERB", "PUNCT"]
    features = tagging.to_features({"words": [words], "tags": [tags]}, tokenizer, UDPOS, 16)
    unknown = tokenizer.unk_token_id
    assert [features["input_ids"][0][place] for place in features["first_pieces"][0]] == [5, unknown, 5, unknown]
    assert tagging.decode([words], features, np.array(features["labels"]), UDPOS) == [tags]


def test_a_word_longer_than_a_chunk_becomes_one_unknown_piece():
    tokenizer = tokenizer_of("ab")
    features = tagging.to_features({"words": [["b", "a" * 125, "a" * 124]], "tags": [["X", "NOUN", "VERB"]]}, tokenizer, UDPOS, 128)
    assert features["input_ids"] == [[0, 4, 6, tokenizer.unk_token_id, 2], [0, 4, *[5] * 124, 2]]
    assert tagging.decode(
        [0], features, np.array([row[:4] + [-100] * 6 for row in [[-100, 0, -100, 1], [-100, 2, -100, -100]]]), UDPOS
    ) == [["ADJ", "ADP", "ADV"]]


def test_only_the_first_piece_of_a_word_is_labelled():
    tokenizer = tokenizer_of("abc")
    features = tagging.to_features({"words": [["ab", "c"]], "tags": [["NOUN", "VERB"]]}, tokenizer, UDPOS, 16)
    noun, verb = UDPOS.labels.index("NOUN"), UDPOS.labels.index("VERB")
    assert features["labels"] == [[IGNORED, noun, IGNORED, IGNORED, verb, IGNORED, IGNORED]]


def test_a_tag_unseen_in_training_is_not_learned_and_counts_as_wrong():
    tokenizer, task = tokenizer_of("ab"), replace(TASKS["ccg"], labels=("N", "NP"))
    examples = {"words": [["a", "b"]], "tags": [["NP", "ODD/TAG"]]}
    features = tagging.to_features(examples, tokenizer, task, 16)
    assert features["labels"] == [[IGNORED, 1, IGNORED, IGNORED, IGNORED, IGNORED]]
    predicted = tagging.decode([0], features, np.ones((1, 6), dtype=int), task)
    assert token_accuracy(tagging.gold(examples, task), predicted, "en") == {"accuracy": 50.0}


def test_features_of_several_batches_point_at_their_own_examples(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    tokenizer = tokenizer_of("a")
    words = [["a"] * (1 + i % 9) for i in range(1500)]  # more than one batch of `map`
    examples = Dataset.from_dict({"words": words, "tags": [["X"] * len(row) for row in words]})
    features = make_features(examples, tokenizer, UDPOS, 13, None)
    counts = np.bincount(features["example_index"], weights=[len(first) for first in features["first_pieces"]])
    assert counts.tolist() == [len(row) for row in words]


# ---- span QA

TEXTS = {
    "th": ("กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทย มีน้ำท่วมบ่อยครั้งในปี พ.ศ. ๒๕๕๔", ["เมืองหลวง", "น้ำท่วม", "๒๕๕๔", "ประเทศไทย", "กรุงเทพมหานคร"]),
    "hi": ("गंगा नदी हिमालय से निकलती है और १९७५ में बाढ़ आई थी।", ["हिमालय", "गंगा नदी", "१९७५", "बाढ़", "थी।"]),
    "zh": ("丹佛野马队在2016年以24比10战胜卡罗来纳黑豹队,获得冠军。", ["丹佛野马", "2016", "24比10", "卡罗来纳黑豹队", "冠军", "丹"]),
    "ar": ("تأسست مدينة القاهرة عام 969، وهي عاصمة جمهورية مصر العربية.", ["القاهرة", "969", "جمهورية مصر العربية", "تأسست"]),
    "ko": ("세종대왕은 1443년에 한글을 만들었다.", ["세종대왕", "1443년", "한글"]),
    "en": ("The Panthers' defense gave up  just 308 points (sixth).", ["308", "just 308", "Panthers", "sixth", "The Panthers' defense"]),
}  # fmt: skip


def qa_examples(context, answers, asked="q"):
    return {
        "id": [str(i) for i in range(len(answers))],
        "context": [context] * len(answers),
        "question": [asked] * len(answers),
        "answers": [
            {"text": [text], "answer_start": [context.index(text)]} if text else {"text": [], "answer_start": []} for text in answers
        ],
    }


def logits_at_labels(features, width=None, height=10.0):
    """Returns the start and end logits of a model that has learned its training labels."""
    width = width or max(map(len, features["input_ids"]))
    start, end = (np.random.default_rng(0).normal(size=(len(features["labels"]), width)) for _ in range(2))
    for row, (first, last, *_) in enumerate(features["labels"]):
        start[row, first] += height
        end[row, last] += height
    return start, end


@pytest.mark.parametrize("normalized", [False, True], ids=["plain", "NFKC"])
@pytest.mark.parametrize("language", TEXTS)
def test_spans_are_exact_to_the_character(language, normalized):
    context, answers = TEXTS[language]
    tokenizer = tokenizer_of(context + "q")
    if normalized:  # XLM-R's own tokenizer normalises: Thai "ำ" becomes two characters, full-width digits plain ones
        tokenizer = tokenizer_of(normalizers.NFKC().normalize_str(context) + "q")
        tokenizer.backend_tokenizer.normalizer = normalizers.NFKC()
    examples = qa_examples(context, answers)
    features = span_qa.to_features(examples, tokenizer, SQUAD, 128, 64)
    assert features["example_index"] == list(range(len(answers)))
    assert span_qa.decode(Dataset.from_dict(examples), features, logits_at_labels(features), SQUAD) == answers
    assert span_qa.gold(examples, SQUAD) == [[answer] for answer in answers]


@pytest.mark.parametrize("language", TEXTS)
def test_spans_are_exact_across_windows(language):
    context, answers = TEXTS[language]
    context = context * 4  # the answer is its first occurrence; later windows hold the others
    tokenizer = tokenizer_of(context + "q")
    examples = qa_examples(context, answers)
    features = span_qa.to_features(examples, tokenizer, SQUAD, 64, 16)
    assert len(features["input_ids"]) > 2 * len(answers)
    assert span_qa.decode(Dataset.from_dict(examples), features, logits_at_labels(features), SQUAD) == answers


def test_windows_start_every_stride_and_end_where_the_context_does():
    assert span_qa.window_spans(10, 4, 2) == [(0, 4), (2, 6), (4, 8), (6, 10)]
    assert (
        span_qa.window_spans(11, 4, 2)[-1] == (8, 11)
        and span_qa.window_spans(4, 4, 2) == [(0, 4)]
        and span_qa.window_spans(0, 4, 2) == [(0, 0)]
    )
    assert span_qa.window_spans(9, 4, 100) == [(0, 4), (4, 8), (8, 9)]  # A stride larger than the window would skip tokens.
    with pytest.raises(InputError, match="leaves no room for a context"):
        span_qa.window_spans(5, 0, 2)


def bert_max_context(windows, piece):
    """`_check_is_max_context` of BERT's run_squad.py, as published."""
    best_score, best = None, None
    for index, (start, end) in enumerate(windows):
        if not start <= piece <= end - 1:
            continue
        score = min(piece - start, end - 1 - piece) + 0.01 * (end - start)
        if best_score is None or score > best_score:
            best_score, best = score, index
    return best


@pytest.mark.parametrize(("length", "room", "stride"), [(30, 8, 3), (31, 10, 5), (7, 10, 5), (50, 20, 7), (41, 9, 9), (450, 300, 128)])
def test_a_span_starts_where_its_window_gives_it_most_context(length, room, stride):
    windows = span_qa.window_spans(length, room, stride)
    assert span_qa.best_windows(length, windows).tolist() == [bert_max_context(windows, piece) for piece in range(length)]


def test_windows_hold_question_and_context_with_their_characters():
    tokenizer = tokenizer_of("abcdefghijq")
    context = "ab cd ef gh ij"
    examples = qa_examples(context, ["ef"], asked="q q")
    features = span_qa.to_features(examples, tokenizer, SQUAD, 16, 3)
    head = tokenizer("q q", "a")["input_ids"][:-3]
    offsets = tokenizer(context, return_offsets_mapping=True, add_special_tokens=False)["offset_mapping"]
    for row, ids in enumerate(features["input_ids"]):
        first = features["context_start"][row]
        assert ids[:first] == head and ids[-1] == 2 and len(ids) <= 16
        start = 3 * row
        assert features["offsets"][row] == [list(pair) for pair in offsets[start : start + len(ids) - first - 1]]
    flags = [sum(features["is_max_context"][row]) for row in range(len(features["input_ids"]))]
    assert sum(flags) == len(offsets)


def test_long_questions_are_cut_to_64_pieces():
    tokenizer = tokenizer_of(words=["q", "a"])
    features = span_qa.to_features(qa_examples("a a", ["a"], asked="q " * 100), tokenizer, SQUAD, 128, 64)
    assert features["context_start"] == [1 + 64 + 2]


def brute_force(features, start, end, context):
    """The best span by trying all, under the rules: starts with most context, not longer than 30 pieces, best 20 starts and ends."""
    best = (-np.inf, "")
    for row, first in enumerate(features["context_start"]):
        count = len(features["offsets"][row])
        starts = [(start[row, first + i] if features["is_max_context"][row][i] else -np.inf) for i in range(count)]
        ends = [end[row, first + i] for i in range(count)]
        top_starts, top_ends = (sorted(range(count), key=lambda i: -scores[i])[:20] for scores in (starts, ends))  # noqa: B023
        for i in top_starts:
            for j in top_ends:
                if i <= j < i + 30 and starts[i] + ends[j] > best[0]:
                    text = context[features["offsets"][row][i][0] : features["offsets"][row][j][1]]
                    best = (starts[i] + ends[j], text.strip())
    return best[1]


def test_the_best_span_is_that_of_an_exhaustive_search():
    context = "abcdefghij klmnopqrst uvwxyz " * 5
    tokenizer = tokenizer_of(context)
    examples, rng = qa_examples(context, ["abc"]), np.random.default_rng(1)
    features = span_qa.to_features(examples, tokenizer, SQUAD, 70, 20)
    found = set()
    for _ in range(50):
        start, end = (rng.normal(size=(len(features["input_ids"]), 70)) for _ in range(2))
        text = span_qa.decode(Dataset.from_dict(examples), features, (start, end), SQUAD)[0]
        assert text == brute_force(features, start, end, context)
        found.add(text)
    assert len(found) > 40


def test_no_answer_is_held_against_the_best_span_over_all_windows():
    context = "abcdefghij " * 12
    tokenizer = tokenizer_of(context)
    examples = qa_examples(context, ["abc", ""])
    features = span_qa.to_features(examples, tokenizer, SQUAD_V2, 64, 16)
    start, end = logits_at_labels(features)
    predicted = span_qa.decode(Dataset.from_dict(examples), features, (start, end), SQUAD_V2)
    assert [set(prediction) for prediction in predicted] == [{"text", "no_answer_margin"}] * 2
    assert predicted[0]["text"] == "abc" and predicted[0]["no_answer_margin"] < 0 < predicted[1]["no_answer_margin"]
    for index, prediction in enumerate(predicted):
        rows = [row for row, example in enumerate(features["example_index"]) if example == index]
        null = min(start[row, 0] + end[row, 0] for row in rows)
        span = span_qa.best_spans(Dataset.from_dict(examples), features, (start, end))[index]
        assert prediction["no_answer_margin"] == pytest.approx(null - span["score"])
    scores = squad_v2_scores(span_qa.gold(examples, SQUAD_V2), predicted, "en")
    assert scores["exact_match"] == scores["no_answer_accuracy"] == scores["best_f1"] == 100
    assert squad_v2_scores(span_qa.gold(examples, SQUAD_V2), predicted, "en", threshold=1e9)["no_answer_accuracy"] == 0


def test_an_unanswerable_question_and_a_window_without_its_answer_point_at_the_first_piece():
    context = "ab " * 40
    features = span_qa.to_features(qa_examples(context + "c", ["", "c"]), tokenizer_of("abc"), SQUAD_V2, 32, 16)
    places = [tuple(label[:2]) for label in features["labels"]]
    per_question = [[place for place, index in zip(places, features["example_index"]) if index == question] for question in (0, 1)]
    assert set(per_question[0]) == {(0, 0)}
    assert set(per_question[1][:-1]) == {(0, 0)} and per_question[1][-1][0] > 0


def test_an_answer_that_a_window_cuts_is_no_answer_of_that_window():
    """Otherwise half of the answer would be learned as the whole, or its end would be searched for after the end of the window."""
    context = "a " * 40 + "bbbbbbbb" + " a" * 40
    tokenizer = tokenizer_of("abq")
    features = span_qa.to_features(qa_examples(context, ["bbbbbbbb"]), tokenizer, SQUAD, 32, 3)
    found = set()
    for ids, (first, last, length) in zip(features["input_ids"], features["labels"]):
        read = "".join(tokenizer.convert_ids_to_tokens(ids))
        whole = "▁bbbbbbbb" in read
        assert length == len(ids) and (last > 0) == whole, "all of its pieces, or none"
        assert not whole or "".join(tokenizer.convert_ids_to_tokens(ids[first : last + 1])) == "▁bbbbbbbb"
        found.add((whole, "b" in read))
    assert found == {(True, True), (False, True), (False, False)}, "windows with the answer, with a part of it, without"


def test_a_context_that_tokenises_to_nothing_gives_an_empty_answer():
    tokenizer = tokenizer_of("ab")
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("\u200b", "")
    examples = {"id": ["1", "2"], "context": ["\u200b", "ab"], "question": ["a", "a"],
                "answers": [{"text": ["x"], "answer_start": [-1]}, {"text": ["b"], "answer_start": [1]}]}  # fmt: skip
    features = span_qa.to_features(examples, tokenizer, SQUAD, 16, 8)
    assert span_qa.decode(Dataset.from_dict(examples), features, logits_at_labels(features), SQUAD) == ["", "b"]


def test_the_memory_of_a_long_context_grows_with_its_length():
    """An array of windows x tokens, as in an earlier version, takes 650 MB for 100,000 tokens and 5.6 GB for 300,000."""
    tokenizer = tokenizer_of(words=["a", "q"])
    examples = qa_examples("a " * 100_000, ["a"])
    span_qa.to_features(qa_examples("a", ["a"]), tokenizer, SQUAD, 384, 128)
    assert memory_growth(lambda: span_qa.to_features(examples, tokenizer, SQUAD, 384, 128)) < 300


# ---- before training


def test_a_question_that_leaves_no_room_is_named_with_language_row_and_length():
    tokenizer = tokenizer_of(words=["q", "a"])
    examples = Dataset.from_list([row_of(qa_examples("a a", ["a"], asked=asked), 0) | {"id": name} for name, asked in
                                  (("first", "q"), ("second", "q " * 55), ("third", "q " * 56), ("fourth", "q " * 200))])  # fmt: skip
    message = (
        "squad_v1 de: --max_seq_length 60 is too short: the question of 'third' (row 3) has 56 tokens, and with 4 special tokens leaves"
        " no room for a context: 'q q q "
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        check_lengths(examples, tokenizer, SQUAD, 60, "de")
    with pytest.raises(InputError, match="'fourth' .row 4. has 200 tokens"):  # The model reads 64 of them.
        check_lengths(examples, tokenizer, SQUAD, 68, "de")
    check_lengths(examples, tokenizer, SQUAD, 69, "de")
    for rows, length in ((3, 61), (4, 69)):  # The check gives the same message as making the features.
        span_qa.to_features(examples.select(range(rows))[:], tokenizer, SQUAD, length, 32)
        with pytest.raises(InputError):
            span_qa.to_features(examples.select(range(rows))[:], tokenizer, SQUAD, length - 1, 32)


def test_a_choice_that_is_too_long_is_named_with_its_row_and_length():
    tokenizer = tokenizer_of(words=["q", "a"])
    rows = [{"context": "", "question": "q", "choices": choices, "label": 0} for choices in (["a", "a " * 12], ["a " * 13, "a"])]
    with pytest.raises(InputError, match="^hellaswag en: --max_seq_length 16 is too short: a choice of row 2 has 13 tokens, and 4 special"):
        check_lengths(Dataset.from_list(rows), tokenizer, HELLASWAG, 16, "en")
    check_lengths(Dataset.from_list(rows), tokenizer, HELLASWAG, 17, "en")
    check_lengths(Dataset.from_list(rows[:1]), tokenizer, HELLASWAG, 16, "en")


def test_lengths_that_are_surely_enough_need_no_tokenizer():
    check_lengths(Dataset.from_dict(qa_examples("a", ["a"], asked="q" * 500)), None, SQUAD, 128, "en")
    check_lengths(Dataset.from_dict(qa_examples("a", ["a"], asked="q" * 20)), None, SQUAD, 64, "en")
    row = {"context": "a" * 900, "question": "q" * 900, "choices": ["a" * 40, "b"], "label": 0}
    check_lengths(Dataset.from_list([row]), None, HELLASWAG, 64, "en")


@pytest.mark.parametrize("text", ["abc", "\ufdfa" * 5, "Å" * 7, "กำ" * 9, "🙂 é"])
def test_no_tokenizer_makes_more_tokens_than_are_counted_on(text, tmp_path):
    for name, family in FAMILIES.items():
        tokenizer = write_tokenizer(family, tmp_path / name)
        assert len(tokenizer(text, add_special_tokens=False)["input_ids"]) <= span_qa.most_tokens(text), family.models


def test_the_ceiling_counts_the_questions_whose_answer_stands_in_some_window():
    """Windows of 10 tokens that do not overlap: an answer across an edge stands in none, unless another gold answer does."""
    tokenizer, words = tokenizer_of(words=["q", *(f"w{i}" for i in range(30))]), [f"w{i}" for i in range(30)]
    context = " ".join(words)

    def answers(*spans):
        texts = [" ".join(words[first : last + 1]) for first, last in spans]
        return {"text": texts, "answer_start": [context.index(text) for text in texts]}

    golds = [answers((2, 4)), answers((9, 10)), answers((9, 10), (19, 19)), answers((18, 21)), answers(), answers((10, 19))]
    examples = Dataset.from_dict({"id": list("abcdef"), "context": [context] * 6, "question": ["q"] * 6, "answers": golds})
    for stride, reachable in ((10, 4), (5, 6)):
        features = Dataset.from_dict(span_qa.to_features(examples[:], tokenizer, SQUAD, 15, stride))
        assert max(map(len, features["offsets"])) == 10
        ceiling = span_qa.answer_ceiling(examples, features, stride)
        assert ceiling == {"questions": 6, "reachable": reachable, "ceiling": pytest.approx(100 * reachable / 6)}
    low, whole = {"questions": 6, "reachable": 4, "ceiling": 200 / 3}, {"questions": 6, "reachable": 6, "ceiling": 100.0}
    line = span_qa.ceiling_line(SQUAD, {"de": low, "en": whole}, 15, 10)
    assert line.endswith("--max_seq_length 15 --doc_stride 10 some answers stand in no window. The highest possible exact match:"
                         " de 66.7 (2 of 6 lost)")  # fmt: skip
    assert span_qa.ceiling_line(SQUAD, {"en": whole}, 15, 10) is None
