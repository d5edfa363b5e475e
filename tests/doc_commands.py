"""The commands that README.md, docs/ and the headers of scripts and recipes show, as data. test_doc_commands.py checks all of them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (
    "README.md", "CONTRIBUTING.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")),
    "benchmarks/README.md", "ds_configs/README.md",
)  # fmt: skip
PROGRAMS = ("python", "accelerate", "torchrun", "make", "pip", "hf", "git", "pytest", "source", "export")
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
RECIPE = re.compile(r"(recipes|benchmarks)/[\w/]+\.(sh|sbatch)")
SCRIPT = re.compile(r"[\w./]+\.(py|sh|sbatch)")


@dataclass(frozen=True)
class Command:
    """One command as a page shows it.

    place        page and line
    words        the command without its comment and without what is left out ("...")
    environment  {name: value} of the assignments before it
    is_whole     False where the text shows a part of a command, as in a sentence
    """

    place: str
    words: tuple[str, ...]
    environment: dict = field(default_factory=dict, hash=False)
    is_whole: bool = True

    def __str__(self) -> str:
        assignments = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return " ".join([*assignments, shlex.join(self.words)])


def split(text: str) -> list[str]:
    """The words of a line, without its comment. Signs between commands are words of their own."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";&|>")
    lexer.whitespace_split = True
    return list(lexer)


def read(place: str, text: str, is_whole: bool = True) -> list[Command]:
    """The commands of one line: several where && or ; stands between them."""
    parts: list[list[str]] = [[]]
    for word in split(text):
        if set(word) <= set(";&|>"):
            parts.append([])
        else:
            parts[-1].append(word)
    commands = []
    for words in parts[:1] if ">" in split(text) else parts:
        environment = {}
        while words and ASSIGNMENT.match(words[0]):
            name, _, value = words.pop(0).partition("=")
            environment[name] = value
        shown = [word for word in words if word != "..."]
        if shown:
            commands.append(Command(place, tuple(shown), environment, is_whole and len(shown) == len(words)))
    return commands


def looks_like_a_command(text: str, is_span: bool = False) -> bool:
    """Whether a line of a block without a language, or some words in a sentence, are a command and not output, a path or code."""
    try:
        words = split(text)
    except ValueError:  # an apostrophe
        return False
    has_assignment = bool(words) and ASSIGNMENT.match(words[0]) is not None
    while words and ASSIGNMENT.match(words[0]):
        words.pop(0)
    if not words:
        return False
    if RECIPE.fullmatch(words[0]) or (has_assignment and SCRIPT.fullmatch(words[0])):
        return True
    if words[0] in PROGRAMS:
        return len(words) > 1
    first = range(0 if is_span else 1, min(4, len(words) - 1))
    return bool(re.fullmatch(r"[\w./]+", words[0])) and any(SCRIPT.fullmatch(words[i]) and words[i + 1].startswith("--") for i in first)


def joined(lines: list[str]) -> Iterator[tuple[int, str]]:
    """(index, line), a line that ends in a backslash together with the next."""
    start, text = 0, ""
    for index, line in enumerate(lines):
        start = start if text else index
        text += line.removesuffix("\\")
        if not line.endswith("\\"):
            yield start, text
            text = ""


def of_block(place: str, first_line: int, lines: list[str], language: str) -> list[Command]:
    """The commands of a block. In a bash block each line is one; `for NAME in ...; do` gives NAME its first value."""
    commands, variables = [], {}
    for index, line in joined(lines):
        line = line.strip()
        if loop := re.fullmatch(r"for (\w+) in (\S+).*; do", line):
            variables[f"${loop[1]}"] = loop[2]
            continue
        for name, value in variables.items():
            line = line.replace(name, value)
        if line.startswith("#") or line in ("", "done"):
            continue
        if language == "bash" or looks_like_a_command(line.removeprefix("$ ")):
            commands += read(f"{place}:{first_line + index}", line.removeprefix("$ "))
    return commands


def of_page(place: str, text: str) -> list[Command]:
    """The commands of a Markdown page: of its blocks, fenced or indented, and between backticks in its sentences."""
    commands, blocks = [], list(re.finditer(r"^```(\w*)\n(.*?)^```", text, flags=re.S | re.M))
    sentences = text
    for block in blocks:
        line = text[: block.start(2)].count("\n") + 1
        if block[1] in ("", "bash"):
            commands += of_block(place, line, block[2].splitlines(), block[1])
        sentences = sentences.replace(block[0], "\n" * block[0].count("\n"))
    for index, line in enumerate(sentences.splitlines(), start=1):
        if line.startswith("    ") and looks_like_a_command(line.strip()):
            commands += read(f"{place}:{index}", line.strip())
    return commands + of_spans(place, sentences)


def of_spans(place: str, sentences: str) -> list[Command]:
    """The commands between backticks. Many are parts of commands."""
    commands = []
    for span in re.finditer(r"`([^`]+)`", sentences):
        words = " ".join(span[1].split())
        if looks_like_a_command(words, is_span=True):
            commands += read(f"{place}:{sentences[: span.start()].count(chr(10)) + 1}", words, is_whole=False)
    return commands


def of_header(place: str, text: str) -> list[Command]:
    """The commands of a recipe's comment at its top, or of a module's docstring: indented lines, and between backticks."""
    docstring = re.match(r'(?:#!.*\n)?"""(.*?)"""', text, flags=re.S)
    lines = (
        docstring[1].splitlines() if docstring else [line.removeprefix("# ") if line.startswith("#") else "" for line in text.splitlines()]
    )
    shown, sentences = [], []
    for line in lines:
        is_shown = line.startswith(("  ", "python "))
        shown.append(line.strip() if is_shown else "")
        sentences.append("" if is_shown else line)
    commands = []
    for index, line in joined(shown):
        first, _, other = line.partition("(or: ")
        for text in (first, other.removesuffix(")")):
            if looks_like_a_command(text):
                commands += read(f"{place}:{index + 1}", text)
    return commands + of_spans(place, "\n".join(sentences))


def headers() -> list[str]:
    """The files whose header may show commands: scripts, recipes, files of flags, benchmarks."""
    folders = ("recipes/*", "recipes/questions/*.sh", "benchmarks/*.py", "benchmarks/*.sh", "samples/*.py")
    patterns = ("*.py", "task_adapters/__main__.py", *folders)
    return sorted(str(path.relative_to(ROOT)) for pattern in patterns for path in ROOT.glob(pattern) if path.is_file())


def all_commands() -> list[Command]:
    commands = []
    for place in PAGES:
        commands += of_page(place, (ROOT / place).read_text(encoding="utf-8"))
    for place in headers():
        commands += of_header(place, (ROOT / place).read_text(encoding="utf-8"))
    return commands
