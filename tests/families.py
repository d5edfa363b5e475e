"""Tiny random encoders of every family, each with a tokenizer of the family's kind. Nothing is downloaded.

`PYTHONPATH=.:tests python tests/families.py` writes the table of docs/encoders.md from these models and the code.
"""

import json
import random
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from conftest import ROOT, WORDS, text
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModel, AutoModelForMaskedLM, PreTrainedTokenizerFast, set_seed

POSITIONS = 96  # The number of positions that a text can use.
SPECIAL = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}


def lines():
    """The texts from which the tokenizers are trained."""
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
    """The template `before A after B after` without token types, as in decoders' tokenizers that were adapted to encoders."""
    ids = [(token, backend.token_to_id(token)) for token in (before, after)]
    return processors.TemplateProcessing(single=f"{before} $A {after}", pair=f"{before} $A {after} $B {after}", special_tokens=ids)


def wordpiece():
    special = list(SPECIAL.values())
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    backend = learn(models.WordPiece(unk_token="[UNK]"), trainer, pre_tokenizers.BertPreTokenizer())
    return transformers.BertTokenizer(vocab=backend.get_vocab(), do_lower_case=False)


def unigram(tokenizer_class, specials, last=()):
    """Unigram pieces in SentencePiece's order: the special pieces first, <mask> last."""
    backend = learn(
        models.Unigram(), trainers.UnigramTrainer(vocab_size=260, special_tokens=[], unk_token="<unk>", show_progress=False),
        pre_tokenizers.Metaspace(),
    )  # fmt: skip
    pieces = [tuple(piece) for piece in json.loads(backend.to_str())["model"]["vocab"] if piece[0] != "<unk>"]
    return tokenizer_class(vocab=[(piece, 0.0) for piece in specials] + pieces + [(piece, 0.0) for piece in last])


def byte_level():
    """ModernBERT's tokenizer, which puts no space before the first word of a text."""
    backend = learn(
        models.BPE(), trainers.BpeTrainer(vocab_size=500, special_tokens=list(SPECIAL.values()), show_progress=False,
                                          initial_alphabet=pre_tokenizers.ByteLevel.alphabet()),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    )  # fmt: skip
    backend.decoder, backend.post_processor = decoders.ByteLevel(), template(backend, "[CLS]", "[SEP]")
    return PreTrainedTokenizerFast(tokenizer_object=backend, **{f"{name}_token": token for name, token in SPECIAL.items()})


def llama_level():
    """EuroBERT's tokenizer, which is Llama 3's: it has no unknown token, and its offsets include the space before a word."""
    names = {"bos": "<|begin_of_text|>", "eos": "<|end_of_text|>", "pad": "<|pad|>", "mask": "<|mask|>"}
    backend = learn(
        models.BPE(), trainers.BpeTrainer(vocab_size=500, special_tokens=list(names.values()), show_progress=False,
                                          initial_alphabet=pre_tokenizers.ByteLevel.alphabet()),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False),
    )  # fmt: skip
    backend.decoder, backend.post_processor = decoders.ByteLevel(), template(backend, names["bos"], names["eos"])
    return PreTrainedTokenizerFast(tokenizer_object=backend, **{f"{name}_token": token for name, token in names.items()})


def gemma_level():
    """mmBERT's tokenizer, which is Gemma 2's: spaces become ▁, unknown characters become bytes, and padding is on the left."""
    names = {"pad": "<pad>", "eos": "<eos>", "bos": "<bos>", "unk": "<unk>", "mask": "<mask>"}
    backend = learn(
        models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True),
        trainers.BpeTrainer(vocab_size=600, special_tokens=[*names.values(), *(f"<0x{byte:02X}>" for byte in range(256))],
                            initial_alphabet=["▁", "a", "b"], show_progress=False),
        pre_tokenizers.Split("▁", "merged_with_next"), normalizers.Replace(" ", "▁"),
    )  # fmt: skip
    backend.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")  # Gemma's; the normalizer has already replaced all spaces
    backend.decoder, backend.post_processor = decoders.ByteFallback(), template(backend, names["bos"], names["eos"])
    names = {f"{name}_token": token for name, token in names.items()}
    return PreTrainedTokenizerFast(tokenizer_object=backend, padding_side="left", **names)


def xlm_r():
    return unigram(transformers.XLMRobertaTokenizer, ("<s>", "<pad>", "</s>", "<unk>"), ("<mask>",))


def deberta():
    return unigram(transformers.DebertaV2Tokenizer, ("[PAD]", "[CLS]", "[SEP]", "[UNK]"), ("[MASK]",))


def rembert():
    """RemBERT's tokenizer. The unknown token is at the position where transformers looks for it."""
    tokenizer = unigram(transformers.RemBertTokenizer, ("<pad>", "</s>", "<unk>", "[CLS]", "[SEP]", "[MASK]"))
    backend = tokenizer.backend_tokenizer
    ids = [(token, backend.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    pair = "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1"
    backend.post_processor = processors.TemplateProcessing(single="[CLS]:0 $A:0 [SEP]:0", pair=pair, special_tokens=ids)
    return tokenizer


@dataclass(frozen=True)
class Family:
    """One architecture: the class of its configuration, its special settings, and facts about the published models."""

    models: str
    config: str
    tokenizer: callable
    settings: dict
    published: str  # usable length, blocks
    precision: str = "fp32, bf16; fp16 not known to fail"
    saved_as: type = AutoModelForMaskedLM
    absolute_positions: bool = True


NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
XLM_R = {**NO_DROPOUT, "max_position_embeddings": POSITIONS + 2, "type_vocab_size": 1}
FAMILIES = {
    "bert": Family("mBERT", "BertConfig", wordpiece, NO_DROPOUT, "512, 12"),
    "labse": Family("LaBSE", "BertConfig", wordpiece, NO_DROPOUT, "512, 12", saved_as=AutoModel),
    "xlm-roberta": Family("XLM-R base, large; XLM-V; Glot500", "XLMRobertaConfig", xlm_r, XLM_R, "512, 12 or 24"),
    "xlm-roberta-xl": Family("XLM-R XL", "XLMRobertaXLConfig", xlm_r, XLM_R, "512, 36"),
    "deberta-v2": Family(
        "mDeBERTa-v3", "DebertaV2Config", deberta,
        {**NO_DROPOUT, "type_vocab_size": 0, "relative_attention": True, "position_buckets": 16, "norm_rel_ebd": "layer_norm",
         "share_att_key": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False, "pooler_hidden_size": 32},
        "512, 12", precision="fp32, bf16; fp16 refused", absolute_positions=False,
    ),
    "rembert": Family(
        "RemBERT", "RemBertConfig", rembert,
        {**NO_DROPOUT, "classifier_dropout_prob": 0.0, "input_embedding_size": 24, "output_embedding_size": 40}, "512, 32",
    ),
    "modernbert": Family("ModernBERT", "ModernBertConfig", byte_level, {"local_attention": 16}, "8192, 22", absolute_positions=False),
    "mmbert": Family("mmBERT", "ModernBertConfig", gemma_level, {"local_attention": 16}, "8192, 22", absolute_positions=False),
    "eurobert": Family("EuroBERT", "EuroBertConfig", llama_level, {"num_key_value_heads": 1}, "8192, 12 to 36", absolute_positions=False),
}  # fmt: skip


def write_family(name, folder) -> str:
    """Writes a tiny random encoder of the family, with a masked-LM head if its published models have one (LaBSE has none). -> folder"""
    family, tokenizer = FAMILIES[name], FAMILIES[name].tokenizer()
    ids = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("pad", "bos", "eos", "cls", "sep", "mask")}
    settings = {
        "vocab_size": len(tokenizer), "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48,
        "max_position_embeddings": POSITIONS, "initializer_range": 0.2, **{key: value for key, value in ids.items() if value is not None},
    }  # fmt: skip
    set_seed(0)
    config = getattr(transformers, family.config)(**{**settings, **family.settings})
    family.saved_as.from_config(config, dtype=torch.float32).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def table(root) -> str:
    """The table of docs/encoders.md: facts that come from the code and the tiny models, and facts about the published models."""
    from task_types import TASK_TYPES
    from task_types.tagging import needs_space
    from trainer.checkpoints import load_model
    from trainer.tokenizers import load_tokenizer

    rows = ["| family | models | usable length, blocks | token types | space before words | heads of ours | precision |", "|---" * 7 + "|"]
    for name, family in FAMILIES.items():
        path = write_family(name, Path(root) / name)
        tokenizer = load_tokenizer(path, needs_offsets=True)
        classes = {kind: type(load_model(task_type.Model, path, (), seed=0)[0]) for kind, task_type in TASK_TYPES.items()}
        ours = ", ".join(kind.replace("_", " ") for kind, made in classes.items() if not made.__module__.startswith("transformers."))
        kinds = "yes" if "token_type_ids" in tokenizer.model_input_names else "no"
        space = "yes" if needs_space(tokenizer) else "no"
        config = family.config.removesuffix("Config")
        rows.append(f"| {config} | {family.models} | {family.published} | {kinds} | {space} | {ours or 'none'} | {family.precision} |")
    return "\n".join(rows)


if __name__ == "__main__":
    import tempfile

    page = ROOT / "docs" / "encoders.md"
    before, _, rest = page.read_text(encoding="utf-8").partition("| family |")
    with tempfile.TemporaryDirectory() as root:
        page.write_text(before + table(root) + "\n\n" + rest.partition("\n\n")[2], encoding="utf-8")
