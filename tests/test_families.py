"""Every family of encoders goes through every task type: tiny random models of the architecture, tokenizers of the family's kind."""

import json
import math
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pyarrow
import pytest
import torch
import transformers
from accelerate import Accelerator
from conftest import NLI, NO_FOLDER, ROOT, choice_rows, nli_rows, qa_rows, sentence
from datasets import Dataset
from families import FAMILIES, POSITIONS, table, write_family
from transformers import AutoModel, TrainingArguments

from speed import trimmed_embeddings
from task_adapters import TASKS, InputError
from task_types import TASK_TYPES, make_features, retrieval
from task_types.collator import Collator, what_is_read
from task_types.tagging import needs_space
from trainer.checkpoints import check_length, check_precision, draw_head, load_config, load_encoder, load_model
from trainer.loop import score, train
from trainer.masked_lm import MaskedText, Texts, load_lm
from trainer.multitask import load_models, load_task_model, train_together, with_task
from trainer.tokenizers import load_tokenizer

TAGS = ("ADJ", "DET", "NOUN", "PUNCT", "VERB")
TASK_OF = {
    "classification": TASKS["mnli"],
    "tagging": replace(TASKS["udpos"], labels=TAGS),
    "span_qa": TASKS["squad_v1"],
    "multiple_choice": TASKS["hellaswag"],
}
ABSOLUTE = [name for name, family in FAMILIES.items() if family.absolute_positions]
ODD_WORDS = ["the", "", " ", "\u200b", "\u00a0", "ﬁ", "汉字", "नमस्ते", "👩‍👩‍👧", "don't", "e\u0301", "x" * 400, "http://x.y/z?q=1", "dog"]


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    """{family: folder of its tiny encoder}, each written when it is first asked for."""

    class Folders(dict):
        def __missing__(self, name):
            self[name] = write_family(name, tmp_path_factory.mktemp(name))
            return self[name]

    return Folders()


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture
def encoder(family, encoders):
    return encoders[family]


@pytest.fixture(scope="module")
def examples():
    """{task type: eight examples}, in the columns that adapters give."""
    import random

    rng = random.Random(3)
    tagged = [sentence(rng, "en") for _ in range(8)]
    return {
        "classification": Dataset.from_list(
            [{"text_a": row["premise"], "text_b": row["hypothesis"], "label": NLI[row["label"]]} for row in nli_rows(rng, "en", 8)]
        ),
        "tagging": Dataset.from_list([{"words": words, "tags": tags} for words, tags in tagged]),
        "span_qa": Dataset.from_list([{name: row[name] for name in row if name != "title"} for row in qa_rows(rng, "en", 8)]),
        "multiple_choice": Dataset.from_list(
            [
                {"context": row["ctx_a"], "question": row["ctx_b"], "choices": row["endings"], "label": int(row["label"])}
                for row in choice_rows(rng, "en", 8)
            ]
        ),
    }


def arguments(folder, **settings):
    return TrainingArguments(
        str(folder), use_cpu=True, report_to="none", disable_tqdm=True, save_strategy="no", lr_scheduler_type="constant", seed=1,
        **{"per_device_train_batch_size": 8, "learning_rate": 3e-3, "max_steps": 12, "logging_steps": 1, **settings},
    )  # fmt: skip


def body(model):
    """The encoder's weights but the pooler's, which some task types have not got."""
    return {name: weight.clone() for name, weight in model.base_model.state_dict().items() if not name.startswith("pooler.")}


def head(model):
    return {name: weight.clone() for name, weight in model.state_dict().items() if not name.startswith(model.base_model_prefix + ".")}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# ---- training, all task types


@pytest.mark.parametrize("family, name", [
    ("xlm-roberta", "attention_probs_dropout_prob"), ("modernbert", "attention_dropout"), ("eurobert", "attention_dropout"),
])  # fmt: skip
def test_results_say_the_models_own_attention_dropout_by_whichever_name(family, name, encoders, examples, tmp_path):
    folder = shutil.copytree(encoders[family], tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    assert name in config
    (folder / "config.json").write_text(json.dumps({**config, name: 0.1}))
    task, tokenizer = TASK_OF["classification"], load_tokenizer(str(folder), needs_offsets=False)
    model, _ = load_model(TASK_TYPES[task.task_type].Model, str(folder), task.labels, seed=1)
    features = make_features(examples["classification"], tokenizer, task, POSITIONS, 32)
    _, training = train(model, tokenizer, task, arguments(tmp_path / "out", max_steps=1), features, None, NO_FOLDER, "stop")
    assert training["attention_dropout"] == 0.1


@pytest.mark.parametrize("kind", TASK_OF)
def test_a_task_is_learned_and_the_next_phase_takes_the_encoder_over(kind, family, encoder, examples, tmp_path):
    task, task_type = TASK_OF[kind], TASK_TYPES[kind]
    tokenizer = load_tokenizer(encoder, needs_offsets=True)
    model, _ = load_model(task_type.Model, encoder, task.labels, seed=1, freeze_embeddings=True)
    features = make_features(examples[kind], tokenizer, task, POSITIONS, 32)
    assert ("token_type_ids" in features.column_names) == (getattr(model.config, "type_vocab_size", 0) > 1)
    before, words = body(model), model.get_input_embeddings().weight.clone()
    trainer, training = train(model, tokenizer, task, arguments(tmp_path), features, None, NO_FOLDER, "stop")
    losses = [entry["loss"] for entry in training["log"] if "loss" in entry]
    assert all(map(math.isfinite, losses)) and losses[-1] < 0.9 * losses[0], losses
    after = body(model)
    still = {name for name in before if torch.equal(before[name], after[name])}
    blocks = {name for name in before if ".layer" in f".{name}" and name.endswith("weight")}
    assert blocks and not still & blocks, "the gradient reaches every block"
    assert torch.equal(model.get_input_embeddings().weight, words), "--freeze_embeddings"

    predicted, scores = score(trainer, task, examples[kind], features, "en")
    assert len(predicted) == 8 and math.isfinite(scores[task.dev_metric])
    if kind == "span_qa":
        assert all(answer and answer in row["context"] for answer, row in zip(predicted, examples[kind]))
    if kind == "tagging":
        assert [len(tags) for tags in predicted] == [len(row["words"]) for row in examples[kind]]
    if kind == "multiple_choice":
        assert set(predicted) <= {0, 1, 2, 3}

    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == [type(model).__name__] and (tmp_path / "model.safetensors").is_file()
    kept, _ = load_model(task_type.Model, str(tmp_path), task.labels, seed=2, keep_head=True)
    assert type(kept) is type(model) and same(kept.state_dict(), model.state_dict())
    again = load_tokenizer(str(tmp_path), needs_offsets=True)
    assert again("the dog", "sees")["input_ids"] == tokenizer("the dog", "sees")["input_ids"]
    for other, next_type in ((name, TASK_TYPES[name]) for name in TASK_OF):
        following, _ = load_model(next_type.Model, str(tmp_path), TASK_OF[other].labels, seed=2)
        fresh, _ = load_model(next_type.Model, encoder, TASK_OF[other].labels, seed=2)
        draw_head(fresh, seed=2, trainings=1)  # one training is behind the model in tmp_path
        assert same(body(following), after) and same(head(following), head(fresh)), other
        assert not any(torch.equal(weight, head(model).get(name)) for name, weight in head(following).items()
                       if name in head(model) and name.endswith("weight") and "norm" not in name.lower()), other  # fmt: skip
        if other != kind:
            with pytest.raises(InputError, match="has no head of this kind|names"):
                load_model(next_type.Model, str(tmp_path), TASK_OF[other].labels, seed=2, keep_head=True)
    assert same(
        {name: weight for name, weight in load_encoder(str(tmp_path), None).state_dict().items() if not name.startswith("pooler.")}, after
    )


def test_trimmed_embeddings_give_the_same_model(encoder, examples, tmp_path):
    task, tokenizer, trained = TASK_OF["classification"], load_tokenizer(encoder, needs_offsets=False), {}
    features = make_features(examples["classification"], tokenizer, task, POSITIONS, 32)
    for wanted in ("on", "off"):
        model, _ = load_model(TASK_TYPES[task.task_type].Model, encoder, task.labels, seed=1)
        trimmed_embeddings.set_up(model.base_model, wanted, "adamw_torch", [features], tokenizer)
        rows = len(model.get_input_embeddings().weight)
        _, training = train(
            model, tokenizer, task, arguments(tmp_path / wanted, max_steps=3, weight_decay=0.1), features, None, NO_FOLDER, "stop"
        )
        trained[wanted] = rows, training["trained_pieces"], model.state_dict()
    (some, pieces, found), (every, none, expected) = trained["on"], trained["off"]
    assert pieces == some - 1 < every // 2 and none is None and found.keys() == expected.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-4, atol=1e-5 * float(weight.abs().max()), msg=name)


def test_a_fresh_head_is_as_the_models_own_class_draws_it(encoder, tmp_path):
    """ModernBERT draws its last layer wider than the rest, and only when it is asked for the whole model."""
    encoder = copy_of(encoder, tmp_path, initializer_range=0.02)
    for kind, task_type in ((name, TASK_TYPES[name]) for name in TASK_OF):
        labels = tuple("abcdefghijkl") if kind in ("classification", "tagging") else ()
        model, _ = load_model(task_type.Model, encoder, labels, seed=1)
        own = head(type(model)(model.config))
        for name, weight in head(model).items():
            if weight.dim() > 1:
                assert 0.6 < weight.std() / own[name].std() < 1.6, (kind, name)
            else:
                assert torch.equal(weight, own[name]), (kind, name)


def test_heads_of_ours_score_each_choice_and_each_piece_as_the_familys_own_do(encoders):
    """EuroBERT: two examples of three choices, the last of one padded; span QA's start is the first output."""
    path = encoders["eurobert"]
    tokenizer = load_tokenizer(path, needs_offsets=True)
    batch = tokenizer(["the dog", "a", "a small tree", "das Haus", "book", "sees the cat"], padding=True, return_tensors="pt")
    chooser, _ = load_model(TASK_TYPES["multiple_choice"].Model, path, (), seed=1)
    classifier, _ = load_model(TASK_TYPES["classification"].Model, path, ("x",), seed=2)
    span, _ = load_model(TASK_TYPES["span_qa"].Model, path, (), seed=1)
    tagger, _ = load_model(TASK_TYPES["tagging"].Model, path, ("x", "y"), seed=2)
    classifier.load_state_dict(chooser.state_dict()), tagger.load_state_dict(span.state_dict())
    with torch.no_grad():
        logits = chooser.eval()(**{name: values.view(2, 3, -1) for name, values in batch.items()}).logits
        torch.testing.assert_close(logits, classifier.eval()(**batch).logits.view(2, 3))
        outputs, tags = span.eval()(**batch), tagger.eval()(**batch).logits
    assert torch.equal(outputs.start_logits, tags[..., 0]) and torch.equal(outputs.end_logits, tags[..., 1])


@pytest.mark.parametrize("name", ["modernbert", "eurobert"])
def test_a_tagger_of_two_tags_is_not_kept_for_span_qa(name, encoders, tmp_path):
    """Both call their layer `classifier`, of the same shape, and span QA has no label names that would differ."""
    load_model(TASK_TYPES["tagging"].Model, encoders[name], ("B", "O"), seed=1)[0].save_pretrained(tmp_path)
    with pytest.raises(InputError, match="has no head of this kind: it is a (Modern|Euro)BertForTokenClassification"):
        load_model(TASK_TYPES["span_qa"].Model, str(tmp_path), (), seed=1, keep_head=True)


def test_four_tasks_and_masked_lm_share_one_encoder_and_their_heads_are_found_again(encoder, family, examples, tmp_path):
    tokenizer, tasks = load_tokenizer(encoder, needs_offsets=True), {task.name: task for task in TASK_OF.values()}
    has_lm = family not in ("labse", "minilm")  # published without that head
    model, masked = load_models(encoder, tasks, seed=1, with_lm=has_lm), None
    if has_lm:
        lines = pyarrow.chunked_array([[f"{row['text_a']} {i}" for i, row in enumerate(examples["classification"])]])
        masked = MaskedText({"en": Texts("en", [(8, lambda: lines)], 1, 0, "en")}, 0.3, tokenizer, POSITIONS, seed=0)
    features = {
        task.name: with_task(make_features(examples[kind], tokenizer, task, POSITIONS, 32), task.name) for kind, task in TASK_OF.items()
    }
    before = {name: weight.clone() for name, weight in model.encoder.state_dict().items()}
    settings = arguments(tmp_path, max_steps=9), features, ("uniform", 8, None), None, NO_FOLDER, "stop", masked, 0.3 if has_lm else 0.0
    trainer, training = train_together(model, tokenizer, tasks, *settings)
    assert min(training["drawn"].values()) > 0, "choose a seed that draws every task"
    assert all(math.isfinite(entry["loss"]) for entry in training["log"] if "loss" in entry)
    assert not same(before, model.encoder.state_dict())
    collate = Collator(tokenizer.pad_token_id)
    for task in TASK_OF.values():
        alone = load_task_model(str(tmp_path), task.name).eval()
        batch = collate(list(what_is_read(features[task.name]).remove_columns("task")))
        labels = batch.pop("labels")
        with torch.no_grad():
            together = model.eval()(task.name, labels, **batch)
            outputs = alone(**batch)
        assert torch.equal(outputs[0], together[list(outputs)[0]]), task.name
    if has_lm:
        batch = collate([{name: value for name, value in masked[k].items() if name != "task"} for k in range(8)])
        with torch.no_grad():
            alone, together = load_task_model(str(tmp_path), "mlm").eval()(**batch), model.eval()("mlm", **batch)
        torch.testing.assert_close(alone.loss, together["loss"])


# ---- what a model reads


def test_the_usable_length_is_the_tokenizers_and_the_configurations(encoder, family):
    tokenizer, config = load_tokenizer(encoder, needs_offsets=True), load_config(encoder)
    tokenizer.model_max_length = 10**30  # what transformers says where nothing was saved
    check_length(POSITIONS, config, tokenizer, encoder)
    with pytest.raises(InputError, match=f"can read: at most {POSITIONS}."):
        check_length(POSITIONS + 1, config, tokenizer, encoder)
    tokenizer.model_max_length = 20
    with pytest.raises(InputError, match="can read: at most 20."):
        check_length(21, config, tokenizer, encoder)

    ids = torch.full((1, POSITIONS + 1), tokenizer.convert_tokens_to_ids(tokenizer.tokenize("dog"))[0])
    model = load_encoder(encoder, None).eval()
    with torch.no_grad():
        assert model(input_ids=ids[:, :POSITIONS], attention_mask=torch.ones(1, POSITIONS)).last_hidden_state.isfinite().all()
        if family in ABSOLUTE:
            with pytest.raises((IndexError, RuntimeError)):
                model(input_ids=ids, attention_mask=torch.ones_like(ids))


def test_words_are_read_as_in_running_text_and_each_has_one_tag(encoder, family):
    """Else byte-level pieces say that every word of a list is the rest of a longer one."""
    tokenizer = load_tokenizer(encoder, needs_offsets=True)
    task, tagging = TASK_OF["tagging"], TASK_TYPES["tagging"]
    assert needs_space(tokenizer) == (family in ("modernbert", "mmbert", "eurobert"))
    words = ["the", "small", "dog", "sees", "a", "tree", "."]
    features = tagging.to_features({"words": [words], "tags": [["NOUN"] * 7]}, tokenizer, task, POSITIONS)
    assert features["input_ids"][0] == tokenizer(" " + " ".join(words))["input_ids"]

    tags = [TAGS[i % len(TAGS)] for i in range(len(ODD_WORDS))]
    for length in (POSITIONS, 16):
        features = tagging.to_features({"words": [ODD_WORDS, words], "tags": [tags, ["NOUN"] * 7]}, tokenizer, task, length)
        assert all(len(ids) <= length for ids in features["input_ids"])
        labels = [[row[place] for place in first] for row, first in zip(features["labels"], features["first_pieces"])]
        assert sum((row for row, index in zip(labels, features["example_index"]) if index == 0), []) == [TAGS.index(tag) for tag in tags]
        for row, first in zip(features["labels"], features["first_pieces"]):
            assert first == sorted(set(first)) and sum(label >= 0 for label in row) == len(first)
        logits = [[label if label >= 0 else 0 for label in row] for row in features["labels"]]
        rows = Dataset.from_dict({"words": [ODD_WORDS, words], "tags": [tags, ["NOUN"] * 7]})
        columns = {name: features[name] for name in ("first_pieces", "example_index")}
        predicted = tagging.decode(rows, columns, [torch.tensor(row).numpy() for row in logits], task)
        assert predicted == [tags, ["NOUN"] * 7]


def test_answers_are_found_again_by_their_pieces_in_any_script(encoder):
    """Offsets: byte-level pieces cut through characters, and some hold the space before a word."""
    tokenizer, span_qa = load_tokenizer(encoder, needs_offsets=True), TASK_TYPES["span_qa"]
    rows = []
    for context, answer in (("the dog sees 12 trees .", "12"), ("das Haus, (grüne) Bäume", "(grüne)"), ("city\u00a0book a", "book")):
        answers = {"text": [answer], "answer_start": [context.index(answer)]}
        rows.append({"id": answer, "context": context, "question": "number ?", "answers": answers})
    rows = Dataset.from_list(rows)
    features = span_qa.to_features(rows[:], tokenizer, TASK_OF["span_qa"], POSITIONS, 32)
    width = max(map(len, features["input_ids"]))
    logits = torch.zeros(2, len(features["labels"]), width)
    for row, (start, end, _) in enumerate(features["labels"]):
        logits[0, row, start] = logits[1, row, end] = 1.0
    found = span_qa.decode(rows, features, tuple(logits.numpy()), TASK_OF["span_qa"])
    for answer, row in zip(found, rows):
        assert answer in row["context"] and row["answers"]["text"][0] in answer
        assert len(answer) - len(row["answers"]["text"][0]) <= 1, "a piece may hold the comma beside the answer"


# ---- retrieval


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_every_layer_is_that_of_the_whole_model(encoder, family, pooling):
    """The encoder is cut behind the layer that is read; padding beside longer texts changes nothing."""
    tokenizer = load_tokenizer(encoder, needs_offsets=False)
    texts = ["the dog sees a cat .", "ein Baum", "das kleine Kind findet das alte Buch ."]
    whole, accelerator = load_encoder(encoder, None).eval(), Accelerator(cpu=True)
    for layer in range(4):
        cut = load_encoder(encoder, layer).eval()
        tight = family in ("bert", "labse", "minilm", "xlm-roberta", "glot500", "deberta-v2", "rembert")  # no norm behind the last block
        assert cut.config.num_hidden_layers == (max(layer, 1) if tight else min(layer + 1, 3))
        together = retrieval.embed(texts, cut, tokenizer, layer, pooling, POSITIONS, 10_000, accelerator)
        one_by_one = []
        for text in texts:
            with torch.no_grad():
                states = whole(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states
            assert len(states) == 4
            vector = states[layer][0, 0] if pooling == "cls" else states[layer][0].mean(0)
            one_by_one.append(torch.nn.functional.normalize(vector, dim=0))
        torch.testing.assert_close(together, torch.stack(one_by_one), atol=1e-5, rtol=1e-4)
        parameters = sum(weight.numel() for weight in cut.parameters())
        assert layer > 1 or parameters < sum(weight.numel() for weight in whole.parameters())


# ---- what is refused, and what is not


@pytest.mark.parametrize("flag", ["fp16", "fp16_full_eval"])
def test_fp16_is_refused_where_it_is_known_to_overflow(flag, encoder, family):
    training_args = SimpleNamespace(**{"fp16": False, "fp16_full_eval": False, flag: True})
    if family == "deberta-v2":
        with pytest.raises(InputError, match="overflow in fp16. Use --bf16, or neither"):
            check_precision(load_config(encoder), training_args, encoder)
    else:
        check_precision(load_config(encoder), training_args, encoder)
    check_precision(load_config(encoder), SimpleNamespace(fp16=False, fp16_full_eval=False), encoder)


def copy_of(encoder, folder, **changes):
    """The family's folder once more, its config.json changed."""
    for file in Path(encoder).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    return str(folder)


def test_code_from_the_hub_stays_off(encoders, tmp_path, monkeypatch):
    """EuroBERT's published configuration names code of its own, beside which transformers has the same; for others there is only a line."""
    own = {"AutoConfig": "evil.EvilConfig", "AutoModel": "evil.EvilModel", "AutoModelForMultipleChoice": "evil.EvilModel"}
    (tmp_path / "known").mkdir(), (tmp_path / "unknown").mkdir()
    for folder in tmp_path.iterdir():
        (folder / "evil.py").write_text("raise SystemExit('code from the hub was run')")
    known = copy_of(encoders["eurobert"], tmp_path / "known", auto_map=own)
    model, _ = load_model(TASK_TYPES["multiple_choice"].Model, known, (), seed=1)
    assert type(model).__name__ == "EuroBertForMultipleChoice" and load_encoder(known, None) and load_tokenizer(known, needs_offsets=True)

    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("nobody is there to be asked"))
    unknown = copy_of(encoders["eurobert"], tmp_path / "unknown", auto_map=own, model_type="of_its_own")
    for load in (lambda: load_config(unknown), lambda: load_tokenizer(unknown, True), lambda: load_encoder(unknown, None)):
        with pytest.raises(InputError, match="custom code") as error:
            load()
        assert "\n" not in str(error.value)

    (tmp_path / "headless").mkdir()  # transformers has no masked LM of this family, the folder's code says it has
    config = transformers.BertGenerationConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    config.auto_map = {"AutoModelForMaskedLM": "evil.EvilModel"}
    config.save_pretrained(tmp_path / "headless")
    with pytest.raises(InputError, match="Cannot load a model"):
        load_lm(str(tmp_path / "headless"))


def test_bin_weights_are_read_as_tensors_only(encoders, tmp_path):
    """mDeBERTa-v3 was published as a .bin, which is a pickle: code in it must not run."""
    path = copy_of(encoders["deberta-v2"], tmp_path)
    assert not (tmp_path / "model.safetensors").exists()
    weights = {name.removeprefix("deberta."): weight for name, weight in torch.load(tmp_path / "pytorch_model.bin").items()}
    encoder = load_encoder(path, None).state_dict()
    assert encoder.keys() <= weights.keys() and all(torch.equal(weight, weights[name]) for name, weight in encoder.items())
    assert same(body(load_model(TASK_TYPES["tagging"].Model, path, TAGS, seed=1)[0]), encoder)

    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    with open(tmp_path / "pytorch_model.bin", "wb") as file:
        pickle.dump({"deberta.embeddings": Trap()}, file)
    tagger = TASK_TYPES["tagging"].Model
    for load in (lambda: load_encoder(path, None), lambda: load_model(tagger, path, TAGS, seed=1), lambda: load_lm(path)):
        with pytest.raises(InputError, match="Cannot load a model") as error:
            load()
        assert "\n" not in str(error.value)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("family, pooler", [("bert", False), ("labse", True), ("minilm", False), ("modernbert", False)])
def test_cls_pooling_without_a_pooler_is_one_line(family, pooler, encoders, capsys):
    """Masked-LM checkpoints, MiniLM and the newer architectures have none: their first token was not trained to stand for a sentence."""
    load_encoder(encoders[family], None, "mean")
    assert capsys.readouterr().out == ""
    load_encoder(encoders[family], None, "cls")
    said = capsys.readouterr().out
    assert (said == "") if pooler else ("holds no pooler" in said and said.count("\n") == 1)


def test_a_tokenizer_without_padding_token_is_refused(encoders, tmp_path):
    path = copy_of(encoders["eurobert"], tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({key: value for key, value in settings.items() if key != "pad_token"}))
    with pytest.raises(InputError, match="without a padding token. Set pad_token in its tokenizer_config.json"):
        load_tokenizer(path, needs_offsets=False)("a")


def test_a_head_that_cannot_be_made_is_one_line(tmp_path):
    """transformers has no multiple choice for this family, and no classifier to make one of."""
    config = transformers.BertGenerationConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    AutoModel.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="bert-generation has no model ForMultipleChoice in transformers") as error:
        load_model(TASK_TYPES["multiple_choice"].Model, str(tmp_path), (), seed=1)
    assert "\n" not in str(error.value)


def test_the_table_says_what_the_code_does(tmp_path):
    assert table(tmp_path) in (ROOT / "docs" / "encoders.md").read_text(encoding="utf-8"), (
        "PYTHONPATH=.:tests python tests/families.py writes it anew"
    )
