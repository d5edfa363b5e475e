"""Tokenizers that read text as the model's own files say, whatever class transformers takes for them.

tokenizer.json says everything about a fast tokenizer. The classes of transformers keep the pieces of that file, and replace its
normalizer and its special tokens by their own. A SentencePiece model says everything but the ids of special tokens. So each
tokenizer is compared with its files on `PROBES` and mended, once; the result is kept below HF_HOME, and later starts read that.
"""

import hashlib
import json
import os
import re
import sys
import tempfile
import unicodedata
from contextlib import contextmanager
from pathlib import Path

import sentencepiece
import tokenizers
import transformers
from huggingface_hub.constants import HF_HOME
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.utils import cached_file

from console import say
from results import base_model_of, read_json, write_json
from task_adapters.base import InputError
from task_types import late_tokenizer
from task_types.late_tokenizer import LateTokenizer
from trainer.checkpoints import check_model, first_line, hub_id_and_revision, load_config

TOKENIZERS = Path(HF_HOME) / "tokenizers_as_read"
FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt")
SENTENCEPIECE = ("sentencepiece.bpe.model", "spm.model", "spiece.model", "sentencepiece.model", "tokenizer.model")
NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError)  # KeyError to AttributeError: files of another kind

PROBES = (
    "", "Hello world", "HELLO hello", " two  spaces ", "tab\tand\nline", "a\u00a0b c\u3000d e\u200bf", "don't (stop), 3.14!",
    "naïve Müller Straße", "Việt Nam", "Vie\u0323\u0302t nai\u0308ve", "ﬁve ½ №", "１２，ＡＢＣ", "Привет, мир", "سلام دنیا",
    "नमस्ते दुनिया", "ภาษาไทย", "中国人民，你好。", "日本語のテキスト", "한국어", "\u1112\u1161\u11ab\u1100\u116e\u11a8",
    "👍🏽 👩‍👩‍👧", "Donaudampfschifffahrtsgesellschaft" * 3,
)  # fmt: skip
PAIR = ("Hello", "world")


def load_tokenizer(path: str, needs_offsets: bool, as_loaded: bool = False) -> PreTrainedTokenizerBase:
    """The tokenizer of a model or an earlier run, with the input names of that model.

    needs_offsets  the task needs to know which characters a piece stands for: only fast tokenizers say it.
    as_loaded      follow the class that transformers takes where its reading differs from the files'.
    Raises InputError where a tokenizer cannot be read, or cannot be made to read text as its files say.
    """
    check_model(path)
    config, path = load_config(path), base_model_of(path) or path
    folder, files = _tokenizer_files(path)
    input_names = ["input_ids", "attention_mask"] + ["token_type_ids"] * ((getattr(config, "type_vocab_size", None) or 0) > 1)
    tokenizer = _kept(_key(files, config, input_names, as_loaded), path)
    if tokenizer is None:
        loaded = _load(path, folder, config, files)
        if not loaded.is_fast:
            return _slow(loaded, path, config, input_names, needs_offsets)
        whole, notes = _as_files_say(path, folder, files, config, loaded, input_names, as_loaded)
        tokenizer = LateTokenizer(path, _texts(whole), _summary(whole))
        saved = {name: text.encode() for name, text in tokenizer.files.items()}  # what the next phase finds: it is read as it is
        _keep(tokenizer, {_key(files, config, input_names, as_loaded): notes, _key(saved, config, input_names, False): []})
        _say(path, notes)
    _check(tokenizer, tokenizer.summary["pad_token"], path, config)
    return tokenizer


def fingerprint_of(tokenizer: PreTrainedTokenizerBase) -> dict:
    """How a tokenizer reads text: {"hash", "vocabulary", "probes": {text: its pieces}}, the first two of 12 hexadecimal digits.

    hash        equal for two tokenizers that read all probes and a pair alike.
    vocabulary  equal for two tokenizers with the same pieces, ids and scores or merges: probes do not meet every piece.
    """
    summary = tokenizer.summary if isinstance(tokenizer, LateTokenizer) else _summary(tokenizer)
    pieces_of_probes = {probe: pieces for probe, (pieces, *_) in summary["probes"].items()}
    return {"hash": _short_hash(summary["probes"]), "vocabulary": summary["vocabulary"], "probes": pieces_of_probes}


# ---- files


def _tokenizer_files(path) -> tuple[Path, dict[str, bytes]]:
    """-> (folder, {name: content} of the files that can matter). Of a hub model they are of the commit that config.json is of."""
    folder = Path(path)
    try:
        if not folder.is_dir():
            hub_id, revision = hub_id_and_revision(path)
            folder = Path(cached_file(hub_id, "config.json", revision=revision)).parent
            for name in FILES:
                cached_file(hub_id, name, revision=folder.name, _raise_exceptions_for_missing_entries=False)
            if not (folder / "tokenizer.json").is_file():
                for name in SENTENCEPIECE:
                    cached_file(hub_id, name, revision=folder.name, _raise_exceptions_for_missing_entries=False)
        files = {name: (folder / name).read_bytes() for name in (*FILES, *SENTENCEPIECE) if (folder / name).is_file()}
    except OSError as error:
        raise InputError(f"Cannot load a tokenizer from {path!r}: {first_line(error)}") from error
    for name, content in files.items():
        if content.startswith(b"version https://git-lfs"):
            raise InputError(f"Cannot load a tokenizer from {path!r}: {name} is a Git LFS pointer: `git lfs pull` fetches the file.")
        if not content and name != "added_tokens.json":
            raise InputError(f"Cannot load a tokenizer from {path!r}: {name} is empty.")
    return folder, files


def _key(files, config, input_names, as_loaded) -> str:
    """Of all that changes how text is read: files, libraries, the class that the configuration leads to, and this code."""
    parts = [f"{transformers.__version__} {tokenizers.__version__} {sentencepiece.__version__} {input_names} {as_loaded}"]
    parts.append(f"{config.model_type} {getattr(config, 'tokenizer_class', None)}")
    digest = hashlib.sha256(" ".join(parts).encode())
    code = {module.__name__: Path(module.__file__).read_bytes() for module in (sys.modules[__name__], late_tokenizer)}
    for name, content in {**files, **code}.items():
        digest.update(name.encode() + hashlib.sha256(content).digest())
    return digest.hexdigest()


def _kept(key, path) -> LateTokenizer | None:
    """The tokenizer that an earlier start read under this key."""
    reading = read_json(TOKENIZERS / f"{key}.json")
    content = reading and read_json(TOKENIZERS / reading["content"])
    if not content:
        return None
    _say(path, reading["notes"])
    return LateTokenizer(path, **content)


def _keep(tokenizer, notes_of: dict[str, list[str]]) -> None:
    """Keeps a tokenizer for later starts, under each key with the lines that are said of it."""
    content = f"content-{tokenizer.key}.json"
    try:
        TOKENIZERS.mkdir(parents=True, exist_ok=True)
        _write(content, {"files": tokenizer.files, "summary": tokenizer.summary})
        for key, notes in notes_of.items():
            _write(f"{key}.json", {"content": content, "notes": notes})
    except OSError as error:
        say(f"warning: {TOKENIZERS} cannot be written ({error.strerror}): each start compares the tokenizer with its files anew")


def _write(name, value) -> None:
    own = TOKENIZERS / f"{name}.{os.getpid()}"  # all processes of a run may write at the same time
    write_json(own, value)
    os.replace(own, TOKENIZERS / name)


def _say(path, notes) -> None:
    for note in notes:
        say(f"{path}: {note}")


# ---- reading and mending


@contextmanager
def _in_one_line(path):
    """What a library says of files that it cannot read, as an InputError."""
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()  # transformers warns of what is mended here
    try:
        yield
    except UNREADABLE as error:
        raise InputError(f"Cannot load a tokenizer from {path!r}: {first_line(error)}") from error
    except Exception as error:
        if type(error) is not Exception:  # the tokenizers library has no class of its own for its errors
            raise
        raise InputError(f"Cannot load a tokenizer from {path!r}: {first_line(error)}") from error
    finally:
        transformers.logging.set_verbosity(level)


def _load(path, folder, config, files, **options):
    """The tokenizer that transformers makes of a folder."""
    if "tokenizer.json" not in files:
        _sentencepiece_model(path, files)  # transformers takes a broken one for a file of tiktoken
    with _in_one_line(path):
        return AutoTokenizer.from_pretrained(folder, config=config, trust_remote_code=False, **options)


def _sentencepiece_model(path, files):
    """The folder's SentencePiece model as a protobuf message, beside its processor; (None, None) where there is none."""
    name = next((name for name in SENTENCEPIECE if name in files), None)
    if name is None:
        return None, None
    try:
        from sentencepiece import sentencepiece_model_pb2
    except ImportError as error:
        raise InputError(f"{path!r} has its tokenizer in {name}, which needs protobuf: pip install -r requirements.txt") from error
    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=files[name])
    except RuntimeError as error:
        raise InputError(f"Cannot load a tokenizer from {path!r}: {name} is not a whole SentencePiece model.") from error
    return sentencepiece_model_pb2.ModelProto.FromString(files[name]), processor


def _as_files_say(path, folder, files, config, loaded, input_names, as_loaded):
    """-> (a tokenizer that reads text as the files of the model say, lines for the user on what was mended)"""
    settings, notes = _settings(path, files), []
    model, processor = (None, None) if as_loaded else _sentencepiece_model(path, files)
    backend = loaded.backend_tokenizer
    if not as_loaded and "tokenizer.json" in files:
        with _in_one_line(path):
            backend = Tokenizer.from_buffer(files["tokenizer.json"])
        notes += _difference(loaded.backend_tokenizer, backend, type(loaded).__name__, "its tokenizer.json")
        _refuse_contradiction(path, settings, backend)
        notes += _difference_to_model(backend, processor, loaded.unk_token) if processor is not None else []
    elif model is not None:
        names = _special_pieces(loaded, model, settings)
        loaded = _load(path, folder, config, files, **names) if names else loaded
        backend = _as_sentencepiece(loaded, model)
        notes += _difference(loaded.backend_tokenizer, backend, type(loaded).__name__, "its SentencePiece model")
        for probe in PROBES:
            expected, pieces = _pieces_of_model(processor, probe), _pieces(backend, probe, loaded.unk_token)
            if pieces != expected:
                raise InputError(
                    f"{path!r} would be read otherwise than it was trained: its SentencePiece model cuts {probe!r} into"
                    f" {expected}, {type(loaded).__name__} into {pieces}. --tokenizer_as_loaded takes the latter."
                )
    elif not as_loaded and "vocab.txt" in files and "do_lower_case" not in settings and _loses_capitals(loaded):
        notes.append("tokenizer_config.json does not say do_lower_case, and vocab.txt has words with capitals: nothing is lower-cased")
        loaded = _load(path, folder, config, files, do_lower_case=False)
        backend = loaded.backend_tokenizer
    notes += _split_special_words(backend, loaded.all_special_tokens)
    backend.no_truncation(), backend.no_padding()  # each call says its own
    known = backend.get_vocab(with_added_tokens=True)
    names = {name: str(getattr(loaded, name)) for name in NAMES if getattr(loaded, name) is not None}
    # A class also names pieces that its files need not hold: they are left out, because added they would have no embedding.
    names = {name: token for name, token in names.items() if token in known or name in settings}
    # Padding right: tokenizers made for decoders pad left; windows, words and losses here count from the start.
    whole = PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=loaded.model_max_length, model_input_names=input_names,
        truncation_side=loaded.truncation_side, padding_side="right", **names,
    )  # fmt: skip
    return whole, notes


def _settings(path, files) -> dict:
    """What special_tokens_map.json and tokenizer_config.json say, the latter first."""
    settings = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        with _in_one_line(path):
            settings |= json.loads(files.get(name, b"{}"))
    return settings


def _difference(backend, own, name, source) -> list[str]:
    """One line on the first probe that two backends read differently; none where they read all of them alike."""
    for probe in (*PROBES, PAIR):
        texts = probe if probe is PAIR else (probe,)
        for one in (backend, own):
            one.no_truncation(), one.no_padding()
        theirs, ours = backend.encode(*texts), own.encode(*texts)
        if (theirs.ids, theirs.type_ids) != (ours.ids, ours.type_ids):
            text = " and ".join(map(repr, texts))
            return [f"{name} of transformers {transformers.__version__} reads {text} as {theirs.tokens}, {source} as {ours.tokens},"
                    " which is followed (--tokenizer_as_loaded follows the class)"]  # fmt: skip
    return []


def _difference_to_model(backend, processor, unknown) -> list[str]:
    """One line on the first probe that tokenizer.json cuts otherwise than the SentencePiece model beside it; none where they agree.

    Probes are composed and have single spaces here: tokenizer.json of published models differs there by design, and that is said elsewhere
    (`--normalize`).
    """
    for probe in dict.fromkeys(" ".join(unicodedata.normalize("NFC", probe).split()) for probe in PROBES):
        ours, theirs = _pieces(backend, probe, unknown), _pieces_of_model(processor, probe)
        if ours != theirs:
            return [f"its tokenizer.json cuts {probe!r} into {ours}, the SentencePiece model beside it into {theirs}: tokenizer.json is"
                    " followed (if the other file is the model's own, remove this one)"]  # fmt: skip
    return []


def _refuse_contradiction(path, settings, backend) -> None:
    """tokenizer_config.json may say one thing about capitals and tokenizer.json another."""
    upper, lower = (backend.encode(text).tokens for text in ("Hello World", "hello world"))
    if settings.get("do_lower_case") is True and upper != lower:
        raise InputError(
            f"{path!r}: tokenizer_config.json says do_lower_case, but tokenizer.json reads 'Hello World' as {upper} and 'hello world' as"
            f" {lower}. Mend one of them, or follow the class with --tokenizer_as_loaded."
        )


def _pieces(backend, text, unknown) -> list[str]:
    pieces = [
        backend.id_to_token(place) for place in backend.encode(text, add_special_tokens=False).ids
    ]  # `tokens` has the text of unknown ones
    return ["<unk>" if piece == unknown else piece for piece in pieces]


def _pieces_of_model(processor, text) -> list[str]:
    return ["<unk>" if processor.is_unknown(place) else processor.id_to_piece(place) for place in processor.encode(text)]


def _special_pieces(loaded, model, settings) -> dict[str, str]:
    """{name: piece} of special tokens that the SentencePiece model has under another name than the class, where no file names them."""
    pieces, roles = {piece.piece for piece in model.pieces}, model.trainer_spec
    named = {"unk_token": (roles.unk_id, roles.unk_piece), "pad_token": (roles.pad_id, roles.pad_piece)}
    return {
        name: piece
        for name, (place, piece) in named.items()
        if place >= 0 and piece in pieces and name not in settings and getattr(loaded, name) not in pieces
    }


def _as_sentencepiece(loaded, model) -> Tokenizer:
    """The backend of a loaded tokenizer, with the character map, the unknown piece and the spaces of its SentencePiece model."""
    state = json.loads(loaded.backend_tokenizer.to_str())
    if state["model"]["type"] == "Unigram":  # RemBertTokenizer takes piece 2 for the unknown, whatever piece that is
        unknown = next(piece.piece for piece in model.pieces if piece.type == piece.UNKNOWN)
        state["model"]["unk_id"] = [piece for piece, _ in state["model"]["vocab"]].index(unknown)
    backend, characters = Tokenizer.from_str(json.dumps(state)), model.normalizer_spec.precompiled_charsmap
    steps = [] if backend.normalizer is None else [backend.normalizer]
    if characters:
        if "Precompiled" not in json.dumps(state["normalizer"]):  # DebertaV2Tokenizer leaves it out
            steps = [normalizers.Precompiled(characters), *steps]
        # The map composes letters and accents in SentencePiece; `Precompiled` does not (https://github.com/huggingface/tokenizers/issues/2116).
        steps = [normalizers.NFC(), *steps]
    if model.normalizer_spec.remove_extra_whitespaces:
        steps += [normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip()]
    backend.normalizer = normalizers.Sequence(steps)
    first, last = loaded.cls_token, loaded.sep_token
    if first and last and backend.encode("a").ids == backend.encode("a", add_special_tokens=False).ids:
        # RemBertTokenizer adds none when it is read from a SentencePiece model. This layout is that of its own class.
        ids = [(token, backend.token_to_id(token)) for token in (first, last)]
        pair = f"{first}:0 $A:0 {last}:0 $B:1 {last}:1"
        backend.post_processor = processors.TemplateProcessing(single=f"{first}:0 $A:0 {last}:0", pair=pair, special_tokens=ids)
    return backend


def _loses_capitals(loaded) -> bool:
    """Whether a WordPiece vocabulary has words with capitals, one in a hundred or more, that its tokenizer never gives."""
    words = [piece for piece in loaded.get_vocab() if piece.isalpha() and piece.lower() != piece]
    return len(words) > len(loaded) // 100 and any(loaded.tokenize(word) != [word] for word in words[:20])


def _split_special_words(backend, names) -> list[str]:
    """Makes a word "<mask>" in a text a word for vocabularies that hold "<mask>" as a piece like any other (Unigram). -> notes"""
    tokens = {token.content for token in backend.get_added_tokens_decoder().values() if token.special} | set(names)

    def still_special():
        backend.encode_special_tokens = True
        encoded = {token: backend.encode(f"a {token}", add_special_tokens=False) for token in tokens if len(token) > 1}
        backend.encode_special_tokens = False
        # The unknown token may stand for a part of its own name: the whole name in one piece is what must not be.
        return sorted(token for token, e in encoded.items() if (backend.token_to_id(token), len(token)) in spans_of(e))

    def spans_of(encoded):
        return [(place, end - start) for place, (start, end) in zip(encoded.ids, encoded.offsets)]

    starts = {}
    for token in still_special():
        starts.setdefault(token[0], []).append(re.escape(token[1:]))
    if starts:
        pattern = "|".join(f"{re.escape(first)}(?={'|'.join(ends)})" for first, ends in starts.items())
        before = [] if backend.pre_tokenizer is None else [backend.pre_tokenizer]
        backend.pre_tokenizer = pre_tokenizers.Sequence([*before, pre_tokenizers.Split(Regex(pattern), "merged_with_previous")])
    return [f"warning: the word {token!r} in a text is read as the special token" for token in still_special()]


def _texts(tokenizer) -> dict[str, str]:
    """The two files that say everything about a fast tokenizer, under the class that keeps to them in any version of transformers."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        files = {name: Path(folder, name).read_text(encoding="utf-8") for name in ("tokenizer.json", "tokenizer_config.json")}
    settings = {**json.loads(files["tokenizer_config.json"]), "tokenizer_class": "PreTrainedTokenizerFast"}
    return {**files, "tokenizer_config.json": json.dumps(settings, indent=2, ensure_ascii=False) + "\n"}


def _summary(tokenizer) -> dict:
    return {
        "probes": _probes_of(tokenizer),
        "vocabulary": _short_hash(
            json.loads(tokenizer.backend_tokenizer.to_str())["model"] if tokenizer.is_fast else tokenizer.get_vocab()
        ),
        "pieces": len(tokenizer),
        "pad_token": tokenizer.pad_token,
        "model_max_length": tokenizer.model_max_length,
    }


def _short_hash(value) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=False, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _probes_of(tokenizer) -> dict[str, list]:
    """{probe: [its pieces, their ids, their token types]}"""
    probes = {}
    for texts in (*((probe,) for probe in PROBES), PAIR):
        encoded = tokenizer(*texts, return_token_type_ids=True)
        pieces = " ".join(tokenizer.convert_ids_to_tokens(encoded["input_ids"]))
        probes[" + ".join(texts)] = [pieces, encoded["input_ids"], encoded["token_type_ids"]]
    return probes


def _slow(tokenizer, path, config, input_names, needs_offsets):
    """A tokenizer that transformers has in Python only: it is taken as it is, because no file says how it reads text."""
    if needs_offsets:
        raise InputError(
            f"{path!r} has a slow tokenizer ({type(tokenizer).__name__}) without offsets; this task needs a fast one (tokenizer.json)."
        )
    tokenizer.name_or_path, tokenizer.model_input_names, tokenizer.padding_side = path, input_names, "right"
    tokenizer.split_special_tokens = True
    _check(tokenizer, tokenizer.pad_token, path, config)
    return tokenizer


def _check(tokenizer, pad_token, path, config) -> None:
    """Refuses a tokenizer that cannot be this model's."""
    rows = getattr(config, "vocab_size", None) or 0
    if pad_token is None:
        raise InputError(f"{path!r} has a tokenizer without a padding token. Set pad_token in its tokenizer_config.json.")
    if len(tokenizer) < rows // 2:  # transformers makes an empty one where there are no files
        raise InputError(f"{path!r} has a tokenizer of {len(tokenizer)} tokens for a model of {rows}: are its files missing?")
    if rows and len(tokenizer) > rows:
        raise InputError(f"{path!r} has a tokenizer of {len(tokenizer)} tokens for a model of {rows}: is it another model's?")
