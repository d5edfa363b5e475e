"""Tiny random encoders of every family, in files with the hub's layout. Nothing is downloaded.

`PYTHONPATH=.:tests python tests/families.py` writes the table of docs/encoders.md from what these models and the code say.
"""

import io
import json
import random
from dataclasses import dataclass
from pathlib import Path

import sentencepiece
import torch
import transformers
from conftest import ROOT, WORDS, text
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModel, AutoModelForMaskedLM, PreTrainedTokenizerFast, set_seed

POSITIONS = 96  # that a text can use
SPECIAL = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}


def lines():
    """What the tokenizers learn from."""
    rng = random.Random(1)
    found = [text(rng, language) for language in WORDS for _ in range(100)]
    return found + [f"number ? {rng.randrange(100, 1000)}" for _ in range(300)] + [" ".join(w["NLI"].values()) for w in WORDS.values()] * 20


def learn(model, trainer, pre_tokenizer, normalizer=None):
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizer
    if normalizer:
        backend.normalizer = normalizer
    backend.train_from_iterator(lines(), trainer)
    return backend


def template(backend, before, after):
    """`before A after B after`, without token types: what decoders' tokenizers were given for encoders."""
    ids = [(token, backend.token_to_id(token)) for token in (before, after)]
    return processors.TemplateProcessing(single=f"{before} $A {after}", pair=f"{before} $A {after} $B {after}", special_tokens=ids)


def wordpiece():
    special = list(SPECIAL.values())
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    backend = learn(models.WordPiece(unk_token="[UNK]"), trainer, pre_tokenizers.BertPreTokenizer())
    return transformers.BertTokenizer(vocab=backend.get_vocab(), do_lower_case=False)


def unigram(tokenizer_class, specials, last=()):
    """Unigram pieces as SentencePiece has them: the special ones first, <mask> last."""
    backend = learn(
        models.Unigram(), trainers.UnigramTrainer(vocab_size=260, special_tokens=[], unk_token="<unk>", show_progress=False),
        pre_tokenizers.Metaspace(),
    )  # fmt: skip
    pieces = [tuple(piece) for piece in json.loads(backend.to_str())["model"]["vocab"] if piece[0] != "<unk>"]
    return tokenizer_class(vocab=[(piece, 0.0) for piece in specials] + pieces + [(piece, 0.0) for piece in last])


def byte_level():
    """ModernBERT's: no space is put before a text's first word."""
    backend = learn(
        models.BPE(), trainers.BpeTrainer(vocab_size=500, special_tokens=list(SPECIAL.values()), show_progress=False,
                                          initial_alphabet=pre_tokenizers.ByteLevel.alphabet()),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    )  # fmt: skip
    backend.decoder, backend.post_processor = decoders.ByteLevel(), template(backend, "[CLS]", "[SEP]")
    return PreTrainedTokenizerFast(tokenizer_object=backend, **{f"{name}_token": token for name, token in SPECIAL.items()})


def llama_level():
    """EuroBERT's, which is Llama 3's: no unknown token, offsets with the space before a word."""
    names = {"bos": "<|begin_of_text|>", "eos": "<|end_of_text|>", "pad": "<|pad|>", "mask": "<|mask|>"}
    backend = learn(
        models.BPE(), trainers.BpeTrainer(vocab_size=500, special_tokens=list(names.values()), show_progress=False,
                                          initial_alphabet=pre_tokenizers.ByteLevel.alphabet()),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False),
    )  # fmt: skip
    backend.decoder, backend.post_processor = decoders.ByteLevel(), template(backend, names["bos"], names["eos"])
    return PreTrainedTokenizerFast(tokenizer_object=backend, **{f"{name}_token": token for name, token in names.items()})


def gemma_level():
    """mmBERT's, which is Gemma 2's: spaces become ▁, unknown characters bytes; made for a decoder, so it pads left."""
    names = {"pad": "<pad>", "eos": "<eos>", "bos": "<bos>", "unk": "<unk>", "mask": "<mask>"}
    backend = learn(
        models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True),
        trainers.BpeTrainer(vocab_size=600, special_tokens=[*names.values(), *(f"<0x{byte:02X}>" for byte in range(256))],
                            initial_alphabet=["▁", "a", "b"], show_progress=False),
        pre_tokenizers.Split("▁", "merged_with_next"), normalizers.Replace(" ", "▁"),
    )  # fmt: skip
    backend.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")  # Gemma's own, which finds no space any more
    backend.decoder, backend.post_processor = decoders.ByteFallback(), template(backend, names["bos"], names["eos"])
    names = {f"{name}_token": token for name, token in names.items()}
    return PreTrainedTokenizerFast(tokenizer_object=backend, padding_side="left", **names)


def xlm_r():
    return unigram(transformers.XLMRobertaTokenizer, ("<s>", "<pad>", "</s>", "<unk>"), ("<mask>",))


def xlm_r_alone():
    """The file from which XLM-R's tokenizers were made, and nothing else."""
    return {"sentencepiece.bpe.model": sentencepiece_model()}


def deberta():
    """mDeBERTa-v3's repository holds this and nothing else of its tokenizer."""
    return {
        "spm.model": sentencepiece_model(pad_id=0, bos_id=1, eos_id=2, unk_id=3, pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]",
                                         unk_piece="[UNK]"),
        "tokenizer_config.json": b'{"do_lower_case": false, "vocab_type": "spm"}',
    }  # fmt: skip


def sentencepiece_model(**options) -> bytes:
    """A SentencePiece model with the map of the published ones (nmt_nfkc)."""
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines()),
        model_writer=out,
        vocab_size=220,
        character_coverage=1.0,
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    return out.getvalue()


def rembert():
    """RemBERT's, in the order in which transformers looks for the unknown."""
    tokenizer = unigram(transformers.RemBertTokenizer, ("<pad>", "</s>", "<unk>", "[CLS]", "[SEP]", "[MASK]"))
    backend = tokenizer.backend_tokenizer
    ids = [(token, backend.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    pair = "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1"
    backend.post_processor = processors.TemplateProcessing(single="[CLS]:0 $A:0 [SEP]:0", pair=pair, special_tokens=ids)
    return tokenizer


@dataclass(frozen=True)
class Family:
    """One architecture: its configuration's class and what is special in it; what is said of the published models."""

    models: str
    config: str
    tokenizer: callable
    settings: dict
    published: str  # usable length, blocks
    precision: str = "fp32, bf16; fp16 not known to fail"
    saved_as: type = AutoModelForMaskedLM
    absolute_positions: bool = True
    weights: str = "safetensors"  # or "bin", or "sharded"


NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
XLM_R = {**NO_DROPOUT, "max_position_embeddings": POSITIONS + 2, "type_vocab_size": 1}
FAMILIES = {
    "bert": Family("mBERT", "BertConfig", wordpiece, NO_DROPOUT, "512, 12", weights="bin"),
    "labse": Family("LaBSE", "BertConfig", wordpiece, NO_DROPOUT, "512, 12", saved_as=AutoModel),
    "minilm": Family(
        "multilingual MiniLM, e5", "BertConfig", xlm_r, {**NO_DROPOUT, "tokenizer_class": "XLMRobertaTokenizer"}, "512, 12",
        saved_as=AutoModel,
    ),
    "xlm-roberta": Family("XLM-R base, large; XLM-V", "XLMRobertaConfig", xlm_r, XLM_R, "512, 12 or 24"),
    "glot500": Family("Glot500", "XLMRobertaConfig", xlm_r_alone, XLM_R, "512, 12", weights="bin"),
    "xlm-roberta-xl": Family("XLM-R XL", "XLMRobertaXLConfig", xlm_r, XLM_R, "512, 36", weights="sharded"),
    "deberta-v2": Family(
        "mDeBERTa-v3", "DebertaV2Config", deberta,
        {**NO_DROPOUT, "type_vocab_size": 0, "relative_attention": True, "position_buckets": 16, "norm_rel_ebd": "layer_norm",
         "share_att_key": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False, "pooler_hidden_size": 32},
        "512, 12", precision="fp32, bf16; fp16 refused", absolute_positions=False, weights="bin",
    ),
    "rembert": Family(
        "RemBERT", "RemBertConfig", rembert,
        {**NO_DROPOUT, "classifier_dropout_prob": 0.0, "input_embedding_size": 24, "output_embedding_size": 40}, "512, 32",
    ),
    "modernbert": Family("ModernBERT", "ModernBertConfig", byte_level, {"local_attention": 16}, "8192, 22", absolute_positions=False),
    "mmbert": Family("mmBERT", "ModernBertConfig", gemma_level, {"local_attention": 16}, "8192, 22", absolute_positions=False),
    "eurobert": Family("EuroBERT", "EuroBertConfig", llama_level, {"num_key_value_heads": 1}, "8192, 12 to 36", absolute_positions=False),
}  # fmt: skip


def write_tokenizer(family, folder):
    """Writes the family's tokenizer files. -> the tokenizer that transformers makes of them, whose ids of special tokens count"""
    made = family.tokenizer()
    if not isinstance(made, dict):
        made.save_pretrained(folder)
        return made
    Path(folder).mkdir(parents=True, exist_ok=True)
    for file, content in made.items():
        Path(folder, file).write_bytes(content)
    classes = {"DebertaV2Config": transformers.DebertaV2Tokenizer, "XLMRobertaConfig": transformers.XLMRobertaTokenizer}
    return classes[family.config].from_pretrained(folder)


def write_family(name, folder) -> str:
    """A tiny encoder of the family, random, as its published models come: with their masked-LM head, or bare (LaBSE, MiniLM). -> folder"""
    family, folder = FAMILIES[name], Path(folder)
    tokenizer = write_tokenizer(family, folder)
    ids = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("pad", "bos", "eos", "cls", "sep", "mask")}
    settings = {
        "vocab_size": len(tokenizer), "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48,
        "max_position_embeddings": POSITIONS, "initializer_range": 0.2, **{key: value for key, value in ids.items() if value is not None},
    }  # fmt: skip
    set_seed(0)
    config = getattr(transformers, family.config)(**{**settings, **family.settings})
    options = {"add_pooling_layer": False} if name == "minilm" else {}  # published without that layer's weights
    model = family.saved_as.from_config(config, dtype=torch.float32, **options)
    model.save_pretrained(folder, max_shard_size="20KB" if family.weights == "sharded" else "50GB")
    if family.weights == "bin":
        torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
    return str(folder)


def table(root) -> str:
    """The table of docs/encoders.md: what is read off the code and the tiny models, beside what is said of the published ones."""
    from task_types import TASK_TYPES
    from task_types.tagging import needs_space
    from trainer.checkpoints import load_model
    from trainer.tokenizers import load_tokenizer

    rows = [
        "| family | models | tried with | usable length, blocks | token types | space before words | heads of ours | precision |",
        "|---" * 8 + "|",
    ]
    for name, family in FAMILIES.items():
        path = write_family(name, Path(root) / name)
        tokenizer = load_tokenizer(path, needs_offsets=True)
        classes = {
            kind: type(load_model(task_type.Model, path, (), seed=0)[0]) for kind, task_type in TASK_TYPES.items() if kind != "pairs"
        }
        ours = ", ".join(kind.replace("_", " ") for kind, made in classes.items() if not made.__module__.startswith("transformers."))
        kinds = "yes" if "token_type_ids" in tokenizer.model_input_names else "no"
        space = "yes" if needs_space(tokenizer) else "no"
        config = family.config.removesuffix("Config")
        files = sorted(file.name for file in Path(path).iterdir() if "token" in file.name or file.suffix == ".model")
        files = "SentencePiece alone" if any(name.endswith(".model") for name in files) else "tokenizer.json"
        cells = [config, family.models, f"{files}, {family.weights}", family.published, kinds, space, ours or "none", family.precision]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    import tempfile

    page = ROOT / "docs" / "encoders.md"
    before, _, rest = page.read_text(encoding="utf-8").partition("| family |")
    with tempfile.TemporaryDirectory() as root:
        page.write_text(before + table(root) + "\n\n" + rest.partition("\n\n")[2], encoding="utf-8")
