"""Fixtures: a two-layer encoder with its tokenizer, and small data sets in the hub's layout, made anew for each session. No network."""

import importlib.util
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # This must be set before datasets is imported, so that no test uses the network.
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Whatever the shell says: weights are compared bit by bit with those of processes that `launch` starts with one thread.
os.environ["OMP_NUM_THREADS"] = "1"

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
needs_deepspeed = pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="DeepSpeed is not installed")
NLI = ["entailment", "neutral", "contradiction"]  # The hub's order, which is not ours.
UPOS = ["ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X"]

# Two languages with a word list each. Only the verdict word and the numbers decide about labels, so that little training is enough.
WORDS = {
    "en": {"NOUN": "dog cat house river tree child city book".split(), "VERB": "sees takes finds loves".split(), "DET": ["the", "a"],
           "ADJ": "small old green quiet".split(), "NLI": {"entailment": "surely", "neutral": "perhaps", "contradiction": "never"}},
    "de": {"NOUN": "Hund Katze Haus Fluss Baum Kind Stadt Buch".split(), "VERB": "sieht nimmt findet liebt".split(), "DET": ["das", "ein"],
           "ADJ": "kleine alte grüne stille".split(), "NLI": {"entailment": "sicher", "neutral": "vielleicht", "contradiction": "niemals"}},
}  # fmt: skip


def pytest_configure(config):
    """Caches of its own for each process of pytest: a test neither finds what another worker or suite has left, nor loses it to one."""
    home = tempfile.TemporaryDirectory(prefix="tests-hf-home-")
    config.add_cleanup(home.cleanup)
    for name in ("HF_DATASETS_CACHE", "HF_HUB_CACHE", "HF_MODULES_CACHE", "HF_ASSETS_CACHE", "HF_XET_CACHE"):  # each instead of HF_HOME
        os.environ.pop(name, None)
    os.environ["HF_HOME"] = home.name


def sentence(rng, language):
    """-> (words, tags) of one sentence."""
    words = WORDS[language]
    order = ("DET", "ADJ", "NOUN", "VERB", "DET", "NOUN")
    return [rng.choice(words[tag]) for tag in order] + ["."], [*order, "PUNCT"]


def text(rng, language):
    return " ".join(sentence(rng, language)[0])


def nli_rows(rng, language, n):
    rows = []
    for _, label in zip(range(n), itertools.cycle(range(3))):
        rows.append(
            {"premise": text(rng, language), "hypothesis": f"{WORDS[language]['NLI'][NLI[label]]} {text(rng, language)}", "label": label}
        )
    return rows


def qa_rows(rng, language, n, name=""):
    """A SQuAD row whose answer is the number in the context."""
    rows = []
    for i in range(n):
        answer = str(rng.randrange(100, 1000))
        parts = [text(rng, language) for _ in range(3)]
        parts.insert(rng.randrange(4), f"{rng.choice(WORDS[language]['NOUN'])} {answer} .")
        context = " ".join(parts)
        rows.append({"id": f"{name}{language}{i}", "title": "t", "context": context, "question": "number ?",
                     "answers": {"text": [answer], "answer_start": [context.index(answer)]}})  # fmt: skip
    return rows


def choice_rows(rng, language, n):
    """HellaSwag rows: the right ending repeats the number of the context. The hub's labels are strings."""
    rows = []
    for i in range(n):
        numbers = rng.sample(range(100, 1000), 4)
        right = rng.randrange(4)
        rows.append({"ind": i, "activity_label": "", "ctx_a": f"{text(rng, language)} {numbers[right]}", "ctx_b": "the", "ctx": "",
                     "endings": [f"{rng.choice(WORDS[language]['NOUN'])} {number} ." for number in numbers], "source_id": "s",
                     "split": "train", "split_type": "indomain", "label": str(right)})  # fmt: skip
    return rows


def tag_rows(rng, language, n):
    rows = [sentence(rng, language) for _ in range(n)]
    return [{"tokens": words, "pos_tags": [UPOS.index(tag) for tag in tags]} for words, tags in rows]


def write_hub_folder(root, hub_id, config, split, rows, features):
    """Writes one split in the hub's layout: <root>/<hub_id>/<config>/<split>-00000-of-00001.parquet, with its features."""
    from datasets import Dataset

    path = Path(root) / hub_id / config / f"{split}-00000-of-00001.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    Dataset.from_list(rows, features=features).to_parquet(path)
    return path


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    """A --data_dir with small versions of mnli, xnli, squad, xquad, udpos and tatoeba."""
    from datasets import ClassLabel, Features, List, Value

    root, rng, string = tmp_path_factory.mktemp("data"), random.Random(0), Value("string")
    nli = Features({"premise": string, "hypothesis": string, "label": ClassLabel(names=NLI)})
    answers = {"text": List(string), "answer_start": List(Value("int32"))}
    squad = Features({"id": string, "title": string, "context": string, "question": string, "answers": answers})
    xquad = Features({name: kind for name, kind in squad.items() if name != "title"})
    pos = Features({"tokens": List(string), "pos_tags": List(ClassLabel(names=UPOS))})
    pairs = Features({"source_sentence": string, "target_sentence": string, "source_lang": string, "target_lang": string})

    write_hub_folder(root, "nyu-mll/glue", "mnli", "train", nli_rows(rng, "en", 480), nli)
    rows = nli_rows(rng, "en", 60)[::-1]  # another order than in training: wrong features change the score
    write_hub_folder(root, "nyu-mll/glue", "mnli", "validation_matched", rows, nli)
    write_hub_folder(root, "rajpurkar/squad", "plain_text", "train", qa_rows(rng, "en", 480, "train"), squad)
    write_hub_folder(root, "rajpurkar/squad", "plain_text", "validation", qa_rows(rng, "en", 60, "dev"), squad)
    choice = {name: string for name in ("activity_label", "ctx_a", "ctx_b", "ctx", "source_id", "split", "split_type", "label")}
    choice = Features({"ind": Value("int32"), **choice, "endings": List(string)})
    write_hub_folder(root, "Rowan/hellaswag", "data", "train", choice_rows(rng, "en", 120), choice)
    write_hub_folder(root, "Rowan/hellaswag", "data", "validation", choice_rows(rng, "en", 40), choice)
    for language, name, code in (("en", "English", None), ("de", "German", "deu")):
        write_hub_folder(root, "facebook/xnli", language, "test", nli_rows(rng, language, 90), nli)
        rows = [{k: v for k, v in row.items() if k != "title"} for row in qa_rows(rng, language, 40)]
        write_hub_folder(root, "google/xquad", f"xquad.{language}", "validation", rows, xquad)
        write_hub_folder(root, "google/xtreme", f"udpos.{name}", "test", tag_rows(rng, language, 60), pos)
        if code:
            rows = [{"source_sentence": f"{text(rng, language)} {i}\n", "target_sentence": f"{text(rng, 'en')} {i}\n",
                     "source_lang": "cache/huggingface/x", "target_lang": "eng"} for i in range(50)]  # fmt: skip
            write_hub_folder(root, "google/xtreme", f"tatoeba.{code}", "validation", rows, pairs)
    write_hub_folder(root, "google/xtreme", "udpos.English", "train", tag_rows(rng, "en", 300), pos)
    write_hub_folder(root, "google/xtreme", "udpos.English", "validation", tag_rows(rng, "en", 60), pos)
    return str(root)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """A two-layer XLM-R with random weights, saved as a masked-LM checkpoint. It has no dropout, so that updates can be compared."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM, XLMRobertaTokenizer, set_seed

    folder, rng = tmp_path_factory.mktemp("model"), random.Random(1)
    lines = [text(rng, language) for language in WORDS for _ in range(400)]
    lines += [f"number ? {rng.randrange(100, 1000)}" for _ in range(900)] + [" ".join(w["NLI"].values()) for w in WORDS.values()] * 50
    unigram = Tokenizer(models.Unigram())
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    unigram.train_from_iterator(lines, trainers.UnigramTrainer(vocab_size=400, special_tokens=[], unk_token="<unk>", show_progress=False))
    pieces = [tuple(piece) for piece in json.loads(unigram.to_str())["model"]["vocab"]]
    specials = [(piece, 0.0) for piece in ("<s>", "<pad>", "</s>", "<unk>")]
    vocab = specials + [piece for piece in pieces if piece[0] != "<unk>"] + [("<mask>", 0.0)]
    tokenizer = XLMRobertaTokenizer(vocab=vocab, model_max_length=512)
    tokenizer.save_pretrained(folder)
    set_seed(0)
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer), hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
        max_position_embeddings=514, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, pad_token_id=1, bos_token_id=0,
        eos_token_id=2, type_vocab_size=1, layer_norm_eps=1e-5, initializer_range=0.05,
    )  # fmt: skip
    XLMRobertaForMaskedLM(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def call(monkeypatch):
    """call(module, "--flag", value, ...): a script's main() with this command line."""

    def run(module, *arguments):
        monkeypatch.setattr(sys, "argv", [module.__name__ + ".py", *map(str, arguments)])
        return module.main()

    return run


def launch(script, *arguments, processes=1, expect=0, **environment):
    """Runs a script as a user does; -> its CompletedProcess. Several processes go through torchrun and --use_cpu."""
    command = (
        [sys.executable]
        if processes == 1
        else [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    )
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.run(
        [*command, str(ROOT / script), *map(str, arguments)], capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths), **environment},
    )  # fmt: skip
    assert process.returncode == expect, (
        f"{command} {script}: exit code {process.returncode}\n{process.stdout[-3000:]}\n{process.stderr[-3000:]}"
    )
    return process


# Replaces a run's `RunFolder` in trainings without a script. It has no earlier start and writes nothing.
NO_FOLDER = SimpleNamespace(trained=lambda seed: None, note_trained=lambda record: None)


def save_checkpoint(folder, state="{}"):
    """A checkpoint with all the files that a run goes on from. -> its folder"""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    save_file({"a": torch.ones(2)}, folder / "model.safetensors")
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"):
        torch.save({"a": torch.ones(2)}, folder / name)
    (folder / "trainer_state.json").write_text(state)
    return folder


def begin(folder, settings, overwrite=False, started=0.0, model="no/folder", inputs=None):
    """Makes the first three steps of a run in `folder`. Returns its results if it is finished, otherwise None."""
    from results import RunFolder

    run_folder = RunFolder(str(folder), settings, model, overwrite, started)
    results = run_folder.agree(inputs or {"model": None, "lineage": [], "content": {}})
    if results is None:
        run_folder.begin(seed=1)
    return results


class Cut(BaseException):
    """Stands for a kill. No code catches it."""


@pytest.fixture
def cut(monkeypatch):
    """cut(object, name): the process is killed when this function is called. Returns a function that undoes the change."""

    def make(owner, name, when=lambda *args, **named: True):
        original = getattr(owner, name)

        def killed(*args, **named):
            if when(*args, **named):
                raise Cut
            return original(*args, **named)

        monkeypatch.setattr(owner, name, killed)
        return lambda: monkeypatch.setattr(owner, name, original)

    return make
