"""Folders of small tokenizers of the kinds that published models have: a SentencePiece model alone, or files that disagree."""

import io
import json
import random
from functools import cache
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = ["Hello", "world", "hello", "answer", "Müller", "Việt", "five", "12", "ABC", ",", "中", "国", "muller"]
BRACKETS = {"bos_piece": "[CLS]", "eos_piece": "[SEP]", "unk_piece": "[UNK]", "pad_piece": "[PAD]", "pad_id": 0}
WORDPIECES = "[PAD] [UNK] [CLS] [SEP] [MASK] a b Müller muller müller Muller Hello hello world na ##ïve naïve naive".split()


@cache
def sentencepiece_model(**options) -> bytes:
    """A SentencePiece model of 300 pieces with the map that the published models have (nmt_nfkc)."""
    rng, out = random.Random(1), io.BytesIO()
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 6))) for _ in range(3000)] + WORDS * 50
    rng.shuffle(words)
    lines = (" ".join(rng.choices(words, k=10)) for _ in range(800))
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines, model_writer=out, vocab_size=300, character_coverage=1.0, minloglevel=2, **options
    )
    return out.getvalue()


def write(folder, **files) -> Path:
    """Writes a folder with these files. `__` in a name becomes a point. Bytes are written as they are, other values as JSON."""
    folder = Path(folder)
    folder.mkdir(parents=True)
    for name, content in files.items():
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        (folder / name.replace("__", ".")).write_bytes(content)
    return folder


def sentencepiece_alone(folder, kind) -> Path:
    """Folders with the tokenizer files of microsoft/mdeberta-v3-base, and of two other families."""
    if kind == "xlm-roberta":
        files = {"sentencepiece__bpe__model": sentencepiece_model()}
    elif kind == "deberta-v2":
        files = {"spm__model": sentencepiece_model(bos_id=1, eos_id=2, unk_id=3, **BRACKETS)}
    else:
        files = {"sentencepiece__model": sentencepiece_model(unk_id=1, bos_id=2, eos_id=3, **BRACKETS)}
    return write(folder, config__json={"model_type": kind, "vocab_size": 310}, **files)


def unigram_file(lower=False) -> dict:
    """tokenizer.json as XLM-R's, with SentencePiece's own normalizer and, where asked for, a Lowercase behind it."""
    proto = sentencepiece_model_pb2.ModelProto.FromString(sentencepiece_model())
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    pieces = [(piece.piece, piece.score) for piece in proto.pieces if piece.piece not in specials]
    tokenizer = Tokenizer(models.Unigram([(special, 0.0) for special in specials] + pieces + [("<mask>", 0.0)], unk_id=3))
    steps = [normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap)] + [normalizers.Lowercase()] * lower
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> </s> $B </s>", [("<s>", 0), ("</s>", 2)])
    tokenizer.add_special_tokens([*specials, "<mask>"])
    return json.loads(tokenizer.to_str())


def unigram(folder, lower=False, **settings) -> Path:
    """A folder of XLM-R's kind with a tokenizer.json. settings: the values in tokenizer_config.json."""
    names = {"bos": "<s>", "eos": "</s>", "sep": "</s>", "cls": "<s>", "unk": "<unk>", "pad": "<pad>", "mask": "<mask>"}
    settings = {"tokenizer_class": "XLMRobertaTokenizer", **{f"{name}_token": token for name, token in names.items()}, **settings}
    config = {"model_type": "xlm-roberta", "vocab_size": 302}
    return write(folder, config__json=config, tokenizer__json=unigram_file(lower), tokenizer_config__json=settings)


def wordpiece(folder, lower=False, strip_accents=None, as_text=False, **settings) -> Path:
    """A folder of BERT's kind with a tokenizer.json, or with only vocab.txt. settings: the values in tokenizer_config.json."""
    config = {"model_type": "bert", "vocab_size": len(WORDPIECES)}
    if as_text:
        return write(folder, config__json=config, vocab__txt="\n".join(WORDPIECES).encode(), tokenizer_config__json=settings)
    tokenizer = Tokenizer(models.WordPiece({piece: place for place, piece in enumerate(WORDPIECES)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower, strip_accents=strip_accents)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pair = "[CLS] $A [SEP] $B:1 [SEP]:1"
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", pair, [("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.add_special_tokens(WORDPIECES[:5])
    settings = {"tokenizer_class": "BertTokenizer", **settings}
    return write(folder, config__json=config, tokenizer__json=json.loads(tokenizer.to_str()), tokenizer_config__json=settings)
