"""Translate with NLLB or M2M100: English training data for --train_file, or with --to_english a test set for --test_file.

    python translate.py --task hellaswag --language de --translation_model facebook/nllb-200-distilled-600M --output_file hellaswag.de.jsonl
    python run_intermediate.py --task hellaswag --train_file hellaswag.de.jsonl --output_dir out/hellaswag_de
    python translate.py --task xnli --language sw --to_english --output_file xnli.sw.en.jsonl
    python run_target.py --task xnli --languages en --test_file sw=xnli.sw.en.jsonl --output_dir out/translate_test

The script translates texts sentence by sentence, because these models were trained on sentences. Labels stay as they are. For span QA the
script translates the answer by itself and searches for it in the translated context, first in the translation of its own sentence. It drops
a question whose answer it does not find, and an example with a sentence that is too long for the model. It counts both. The lines of the
file have the columns of `task_adapters.base.EXAMPLE_COLUMNS` and `language`. <file>.about.json says how the file was made; a run copies
this into its results.

Of a test set no example is dropped, so that its score is over the same examples as in the original language: a sentence that cannot be
translated stays as it is, and is counted. The right answers of span QA become English too: as they stand in the translated context, or,
where they are not found there, translated by themselves. Scores compare texts, so that both can be scored.

A translation that was cut off can be resumed: finished examples are kept in <file>.partial. Tagging tasks are refused, because each tag
belongs to a word and translation moves words.
"""

import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from datasets import Dataset

from arguments import Parser
from console import run_script, say
from results import hold, read_json, write_json
from task_adapters import TASKS, InputError, Task, data_line, find_own_files, load_examples, nearest, with_own_data
from task_adapters.examples import LANGUAGE
from task_adapters.files import read_jsonl
from task_adapters.flores import NLLB_CODES

FLORES_CODE = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")
# Languages and scripts that are written without spaces between words.
WITHOUT_SPACES = ("ja", "km", "lo", "my", "th", "zh")
SCRIPTS_WITHOUT_SPACES = ("_Jpan", "_Khmr", "_Laoo", "_Mymr", "_Thai", "_Hans", "_Hant")
SENTENCE_END = re.compile(r"(?<!\b[A-Z])[.!?][\"'”’)\]]*\s+(?=[\"'“‘(\[]*[A-Z0-9])")  # A sentence does not end after an initial: J. Smith.
# In languages other than English: capitals of any alphabet, or none, may follow, and other marks end a sentence, some without a space.
OTHER_SENTENCE_END = re.compile(r"(?<!\b[^\W\d_])[.!?…][\"'”’»)\]]*\s+|[。！？｡।॥؟۔።။།][\"'”’»」』)\]]*\s*")
OUTER = " .,;:!?\"'“”‘’„«»()[]。，、；：！？「」।؟،"
OF_TEST_SETS = ("to_english", "test_file")  # named in <file>.about.json where they are given
ENGLISH_ALREADY = ("What was the cause?", "What was the effect?")  # XCOPA's questions, in all its languages
BLOCK = 512  # Examples that are translated before the next write. Their sentences are sorted by length together.


@dataclass
class TranslateArguments:
    """Flags of this script."""

    task: str = field(default="", metadata={"help": "Name of the task."})
    language: str = field(
        default="",
        metadata={
            "help": "Translate into this language (with --to_english: from it): two letters, or a code of FLORES-200 such as ibo_Latn."
        },
    )
    to_english: bool = field(default=False, metadata={"help": "Translate the task's test set of --language into English, for --test_file."})
    test_file: list[str] | None = field(
        default=None, metadata={"help": "With --to_english: translate this file (LANG=PATH) instead of the task's test set."}
    )
    translation_model: str = field(default="facebook/nllb-200-distilled-600M", metadata={"help": "Hub id or folder of NLLB or M2M100."})
    output_file: str = field(default="", metadata={"help": "The .jsonl file to make."})
    data_dir: str | None = field(default=None, metadata={"help": "Folder laid out by hub id, used instead of the hub."})
    max_samples: int | None = field(
        default=None,
        metadata={"help": "Translate only this many examples: training data are drawn with --seed, of a test set the first are taken."},
    )
    seed: int = field(default=42, metadata={"help": "Draws the examples of --max_samples."})
    batch_size: int = field(default=32, metadata={"help": "Sentences translated at once."})
    num_beams: int = field(default=4, metadata={"help": "Width of the beam search."})
    max_length: int = field(default=256, metadata={"help": "Longest sentence in tokens, before and after translation."})
    bf16: bool = field(default=False, metadata={"help": "Translate in bfloat16 (GPU)."})


def is_without_spaces(language: str) -> bool:
    """Returns whether a language is written without spaces between words, as far as this is known."""
    return language in WITHOUT_SPACES or language.endswith(SCRIPTS_WITHOUT_SPACES)


def sentence_ends(text: str, language: str = "en") -> list[int]:
    """Returns the positions behind all sentences of a text but the last one."""
    if language == "en":
        return [match.end() for match in SENTENCE_END.finditer(text)]
    ends = [match.end() for match in OTHER_SENTENCE_END.finditer(text)]
    return [end for end in ends if end < len(text) and not text[end].islower()]


def sentences(text: str, language: str = "en") -> list[str]:
    """Returns the sentences of a text. Joined with blanks they give the text again, except for other white space between them."""
    ends = sentence_ends(text, language)
    return [text[start:end].strip() for start, end in zip([0, *ends], [*ends, len(text)])]


def texts_of(example: dict) -> list[str]:
    """Returns all texts of an example that are translated, in the order that `translated` expects."""
    if "choices" in example:
        return [example["context"], example["question"], *example["choices"]]
    if "answers" in example:
        return [example["context"], example["question"], *example["answers"]["text"]]
    return [example["text_a"], example["text_b"]]


def translated(example: dict, translate: Callable[[str], str | None], language: str) -> dict | str:
    """Returns an example in another language, or the reason why it is dropped.

    translate  a function from a sentence to its translation, or to None if the sentence is too long.
    """
    parts = [[translate(sentence) if sentence else "" for sentence in sentences(text)] for text in texts_of(example)]
    if any(part is None for text in parts for part in text):
        return "too long to translate"
    blank = "" if is_without_spaces(language) else " "
    texts = [blank.join(part) for part in parts]
    if any(before.strip() and not after.strip() for before, after in zip(texts_of(example), texts)):
        return "empty translation"
    if "answers" not in example:
        return with_texts(example, texts)
    spans = []
    for answer, start in zip(texts[2:], example["answers"]["answer_start"]):
        span = answer_span(texts[0], answer, sentence_span(example["context"], start, parts[0], blank), language)
        if span is None:
            return "answer not found in the translated context"
        spans.append(span)
    answers = {"text": [texts[0][start:end] for start, end in spans], "answer_start": [start for start, _ in spans]}
    return {**example, "context": texts[0], "question": texts[1], "answers": answers}


def with_texts(example: dict, texts: list[str]) -> dict:
    """Returns an example that is no question about a span with other texts, in the order of `texts_of`."""
    if "choices" in example:
        return {**example, "context": texts[0], "question": texts[1], "choices": texts[2:]}
    return {**example, "text_a": texts[0], "text_b": texts[1]}


def translated_test(example: dict, translate: Callable[[str], str | None], language: str) -> tuple[dict, Counter]:
    """Returns (a test example in English, how many sentences stay as they are, and how many answers its context does not have).

    translate  as for `translated`. language: that of the example.
    An answer that the translated context does not have is scored by its own translation; its answer_start is -1.
    """
    remarks, parts = Counter(), []
    for text in texts_of(example):
        if text in ENGLISH_ALREADY:
            parts.append([text])
            continue
        before = [sentence for sentence in sentences(text, language) if sentence]
        after = [translate(sentence) for sentence in before]
        remarks["sentences that stay as they are"] += sum(not sentence for sentence in after)
        parts.append([new or old for old, new in zip(before, after)])
    texts = [" ".join(part) for part in parts]
    if "answers" not in example:
        return with_texts(example, texts), +remarks
    answers = {"text": [], "answer_start": []}
    for answer, start in zip(texts[2:], example["answers"]["answer_start"]):
        span = answer_span(texts[0], answer, sentence_span(example["context"], start, parts[0], " ", language), "en")
        remarks["answers that the translated context does not have"] += span is None
        answers["text"].append(answer if span is None else texts[0][span[0] : span[1]])
        answers["answer_start"].append(-1 if span is None else span[0])
    return {**example, "context": texts[0], "question": texts[1], "answers": answers}, +remarks


def sentence_span(context: str, start: int, parts: list[str], blank: str, language: str = "en") -> tuple[int, int]:
    """Returns (start, end) of the translation of the sentence that contains character `start` of the context, in the joined `parts`.

    parts  the translations of the context's sentences, in order; blank: the text between two of them. language: of the context.
    """
    number = sum(end <= start for end in sentence_ends(context, language))
    first = sum(len(part) + len(blank) for part in parts[:number])
    return first, first + len(parts[number])


def answer_span(context: str, answer: str, span: tuple[int, int], language: str) -> tuple[int, int] | None:
    """Returns (start, end) of an answer in a context, in characters; None if the context does not have the answer.

    The function searches for the answer as it is, then without punctuation around it, then without regard to case. It prefers an occurrence
    inside `span`. Only whole words count: 19 is not an answer inside 1945. In languages without spaces between words, only Latin words and
    numbers have visible ends.
    """

    def cuts_word(position):
        pair = context[position - 1 : position + 1] if position > 0 else ""
        return len(pair) == 2 and all(char.isalnum() and (char.isascii() or not is_without_spaces(language)) for char in pair)

    lower = context.lower() if len(context.lower()) == len(context) else context
    bare = answer.strip(OUTER)
    for text, searched in ((answer.strip(), context), (bare, context), (bare.lower(), lower)):
        starts = [match.start() for match in re.finditer(f"(?={re.escape(text)})", searched)] if text else []
        starts = [start for start in starts if not cuts_word(start) and not cuts_word(start + len(text))]
        if starts:
            best = min(starts, key=lambda start: (not span[0] <= start < span[1], start))
            return best, best + len(text)
    return None


class Translator:
    """A translation model (NLLB or M2M100). The first token of its output sets the target language."""

    def __init__(self, path, language, batch_size, num_beams, max_length, bf16, source="en"):
        import torch
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

        from trainer.checkpoints import UNREADABLE  # This import also keeps transformers from converting .bin weights on the hub.

        try:
            self.tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
            self.tokenizer.src_lang, _ = self.language_token(source, path)
            _, self.first_token = self.language_token(language, path)
            dtype = torch.bfloat16 if bf16 else torch.float32
            self.model = AutoModelForSeq2SeqLM.from_pretrained(path, dtype=dtype, trust_remote_code=False)
        except UNREADABLE as error:
            raise InputError(f"Cannot load a translation model from {path!r}: {' '.join(str(error).split())[:300]}") from error
        self.model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        self.batch_size, self.num_beams = batch_size, num_beams
        positions = getattr(self.model.config, "max_position_embeddings", max_length)
        self.max_length = min(max_length, positions, self.tokenizer.model_max_length)

    def language_token(self, language: str, path: str) -> tuple[str, int]:
        """Returns (the model's name of a language, the id of the token for it).

        The tokenizer says which languages there are. A language is named by M2M100's code, by that of FLORES-200 (ibo_Latn), by two
        letters, or by the three letters of a FLORES code, where the model knows one script of it.
        """
        vocabulary = self.tokenizer.get_vocab()
        flores = sorted(token for token in vocabulary if FLORES_CODE.fullmatch(token))
        scripts = [code for code in flores if code.startswith(f"{language}_")]
        code = language if language in flores else NLLB_CODES.get(language, scripts[0] if len(scripts) == 1 else language)
        for name, token in ((language, f"__{language}__"), (code, code)):
            token_id = self.tokenizer.convert_tokens_to_ids(token)
            if token_id not in (None, self.tokenizer.unk_token_id) and (name != token or token in flores):
                return name, token_id
        if len(scripts) > 1:
            raise InputError(f"--language {language!r}: {path} knows it as {' and '.join(scripts)}. Choose one of them.")
        known = flores or sorted(token.strip("_") for token in vocabulary if re.fullmatch("__[a-z]{2,3}__", token))
        near = nearest(code if flores else language, known)
        raise InputError(f"{path} has no token for {language!r}: neither __{language}__ (M2M100) nor {code} (NLLB). {near}")

    def __call__(self, texts: list[str]) -> list[str | None]:
        """Returns the translations; None for a text that is too long, or whose translation is cut off at the maximum length."""
        import torch

        ids = [self.tokenizer(text)["input_ids"] for text in texts]
        order = sorted((i for i in range(len(ids)) if len(ids[i]) <= self.max_length), key=lambda i: -len(ids[i]))
        translations: list[str | None] = [None] * len(texts)
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            inputs = self.tokenizer.pad({"input_ids": [ids[i] for i in rows]}, return_tensors="pt").to(self.model.device)
            with torch.no_grad():
                outputs = self.model.generate(
                    **inputs, forced_bos_token_id=self.first_token, num_beams=self.num_beams, max_new_tokens=self.max_length,
                    forced_eos_token_id=None,
                )  # fmt: skip
            for i, output in zip(rows, outputs.tolist()):
                if self.model.config.eos_token_id in output[1:]:  # Every output also begins with the end-of-text token.
                    tokens = [token for token in output if token != self.first_token]
                    translations[i] = self.tokenizer.decode(tokens, skip_special_tokens=True).strip()
        return translations


def check(args: TranslateArguments) -> Task:
    """Returns the task whose English data, or whose test set, are translated.

    Raises InputError for arguments with which nothing can be translated.
    """
    for name, example in (("task", "mnli"), ("language", "sw")):
        if not getattr(args, name):
            raise InputError(f"--{name} is missing. For example: --{name} {example}")
    if args.task not in TASKS:
        raise InputError(f"Unknown task {args.task!r}. {nearest(args.task, TASKS)}")
    task = TASKS[args.task if args.to_english else TASKS[args.task].train_on or args.task]
    if args.to_english and task.phase == "intermediate":
        raise InputError(f"--to_english translates the test sets of targets, and {args.task} is an intermediate task.")
    if args.test_file and not args.to_english:
        raise InputError("--test_file goes with --to_english: training data are translated from English.")
    if task.task_type not in ("classification", "multiple_choice", "span_qa"):
        raise InputError(f"{args.task} cannot be translated: {task.task_type} has no training texts whose labels stay when words move.")
    if not re.fullmatch(LANGUAGE, args.language) or args.language in ("en", "eng", "eng_Latn"):
        raise InputError(
            f"--language {args.language!r}: another language than English, by a code such as sw, ig or ibo_Latn, would be right."
        )
    files = find_own_files("test_file", args.test_file or [])
    if [file.language for file in files] not in ([], [args.language]):
        raise InputError(f"--test_file {args.test_file[0]}: one file is translated, in the language that --language names.")
    args.test_file = files
    if args.to_english:
        task = with_own_data(task, files, languages=[args.language], data_dir=args.data_dir)
    for name in ("max_samples", "batch_size", "num_beams", "max_length"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise InputError(f"--{name} {getattr(args, name)} leaves nothing: at least 1.")
    if args.seed < 0:
        raise InputError(f"--seed {args.seed} is no seed: 0 or more.")
    if not args.output_file:
        raise InputError(f"--output_file is missing. For example: --output_file {args.task}.{args.language}.jsonl")
    if not args.output_file.endswith(".jsonl"):
        raise InputError(f"--output_file {args.output_file!r} must end in .jsonl.")
    existing_parent = next(folder for folder in Path(args.output_file).absolute().parents if folder.exists())
    if not existing_parent.is_dir():
        raise InputError(f"--output_file {args.output_file}: {existing_parent} is a file, no folder.")
    return task


def made_before(output: Path, about: Path, settings: dict) -> dict | None:
    """Returns the content of <file>.about.json if the file is finished; None if it must still be made.

    Raises InputError if the file was made with other settings, or not by this script.
    """
    if not output.exists():
        return None
    try:
        made = read_json(about)
    except InputError as error:  # A power cut left this file half written. It does not say how the translations were made.
        say(f"{error} {output} is translated again.")
        return None
    if not isinstance(made, dict) or any(made.get(name) != settings.get(name) for name in (*settings, *OF_TEST_SETS)):
        raise InputError(f"--output_file {output} exists and was made otherwise. Remove it, or choose another.")
    say(f"{output} is finished: skipped")
    return made


def lock(output: Path) -> None:
    """Lets only this process make `output`. Raises InputError if another process makes it, or if the folder cannot be written to."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        other = hold(output.parent, f".{output.name}.lock")
    except OSError as error:
        raise InputError(f"--output_file {output} cannot be written: {error.strerror}.") from error
    if other:
        raise InputError(f"{other} is at work on --output_file {output}: wait for its end, or choose another file.")


def go_on(partial: Path, settings: dict) -> list[dict]:
    """Returns the lines of an earlier translation that was cut off. Removes an incomplete line at the end of the file."""
    content = partial.read_bytes() if partial.exists() else b""
    text = content.rstrip(b"\0")  # A power cut can leave zeros in place of text.
    whole_lines = text[: text.rfind(b"\n") + 1]
    if not whole_lines:  # The earlier translation was cut off before it wrote its first line.
        partial.write_text(json.dumps(settings) + "\n", encoding="utf-8")
    elif whole_lines != content:
        os.truncate(partial, len(whole_lines))
    lines = [line for _, line in read_jsonl(partial)]
    if lines[:1] != [settings]:
        raise InputError(f"{partial} was begun with other settings: {lines[:1]}. Remove it, or choose another --output_file.")
    if not all("dropped" in line for line in lines[1:]):
        raise InputError(f"{partial} was not left by this script: a line has no 'dropped'. Remove it, or choose another --output_file.")
    return lines[1:]


def translate_examples(
    examples: Dataset, partial: Path, done: list[dict], translator: Translator, language: str, to_english: bool = False
) -> Counter:
    """Translates the examples that are not `done` and appends them to `partial`.

    Returns the number of dropped examples for each reason. The reason "" counts the examples that are kept. Of a test set (`to_english`)
    all are kept, and the other counts are those of `translated_test`.
    """
    source = language if to_english else "en"
    counts = Counter(line["dropped"] for line in done) + sum((Counter(line.get("remarks")) for line in done), Counter())
    with partial.open("a", encoding="utf-8") as lines:
        for start in range(len(done), len(examples), BLOCK):
            block = examples.select(range(start, min(start + BLOCK, len(examples)))).to_list()
            texts = dict.fromkeys(part for example in block for text in texts_of(example) for part in sentences(text, source) if part)
            translations = dict(zip(texts, translator(list(texts))))
            for example in block:
                if to_english:  # the file's language is not named: the text is English, the examples are those of another language
                    result, remarks = translated_test(example, translations.get, language)
                    line = {"dropped": "", "remarks": remarks, **result}
                    counts += remarks
                else:
                    result = translated(example, translations.get, language)
                    line = {"dropped": result} if isinstance(result, str) else {"dropped": "", **result, "language": language}
                counts[line["dropped"]] += 1
                lines.write(json.dumps(line, ensure_ascii=False) + "\n")
            lines.flush()
            say(f"{start + len(block):,} of {len(examples):,} examples, {counts['']:,} kept")
    return counts


def write_kept(partial: Path, part: Path) -> None:
    """Copies the examples that are kept from `partial` to `part`, without "dropped" and "remarks", and flushes them to the disk."""
    with partial.open(encoding="utf-8") as lines, part.open("w", encoding="utf-8") as kept_lines:
        next(lines)
        for line in lines:
            row = json.loads(line)
            row.pop("remarks", None)
            if not row.pop("dropped"):
                kept_lines.write(json.dumps(row, ensure_ascii=False) + "\n")
        kept_lines.flush()
        os.fsync(kept_lines.fileno())


def main() -> dict:
    """Runs the script. Returns the content of <file>.about.json."""
    parser = Parser((TranslateArguments,), allow_abbrev=False, description=__doc__.splitlines()[0])
    (args,) = parser.parse_args_into_dataclasses()
    task = check(args)
    output, partial, about, part = (Path(args.output_file + end) for end in ("", ".partial", ".about.json", ".part"))
    compared = ("language", "translation_model", "max_samples", "seed", "num_beams", "max_length", "bf16")
    settings = {"task": task.name, **{name: value for name, value in asdict(args).items() if name in compared}}
    settings |= {"to_english": True} if args.to_english else {}
    settings |= {"test_file": [*map(str, args.test_file)]} if args.test_file else {}
    made = made_before(output, about, settings)
    if made is None:
        lock(output)
        made = made_before(output, about, settings)  # Another process may have finished the file before this one had the lock.
    if made is not None:
        return made

    started = time.time()
    split, source, seed = ("test", args.language, None) if args.to_english else ("train", "en", args.seed)
    examples, provenance = load_examples(task, split, source, args.data_dir, args.max_samples, seed)
    settings["source"] = {name: provenance[name] for name in ("hub_id", "config", "revision", "examples", "content")}
    say(data_line(provenance))
    done = go_on(partial, settings)
    if done:
        say(f"going on after {len(done):,} examples")
    into = "en" if args.to_english else args.language
    translator = Translator(args.translation_model, into, args.batch_size, args.num_beams, args.max_length, args.bf16, source)
    counts = translate_examples(examples, partial, done, translator, args.language, args.to_english)
    if not counts[""]:
        raise InputError(f"No example could be translated: {dict(counts)}. {partial} holds the reasons.")
    write_kept(partial, part)
    others = {reason: count for reason, count in counts.items() if reason}
    name = "remarks" if args.to_english else "dropped"
    made = {**settings, "examples": counts[""], name: others, "seconds": round(time.time() - started, 1)}
    write_json(about, made)
    part.replace(output)
    partial.unlink()
    what = "; {:,} {}" if args.to_english else "; {:,} dropped: {}"
    say(f"{output}: {counts['']:,} examples" + "".join(what.format(count, reason) for reason, count in others.items()))
    return made


if __name__ == "__main__":
    run_script(main)
