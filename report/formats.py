"""Tables as text: Markdown, LaTeX, plain and CSV.

What a result says of itself (names, languages) is data: it is escaped in each of them.
"""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

LATEX = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
         "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
         "±": r"$\pm$", "≈": r"$\approx$", "—": "---", '"': "''", "'": r"\textquotesingle{}",
         "`": r"\textasciigrave{}", "[": "{[}", "]": "{]}", "*": "{*}"}  # fmt: skip
MARKDOWN = {"\\": "\\\\", "|": "\\|", "`": "\\`", "*": "\\*", "[": "\\[", "]": "\\]", "~": "\\~", "&": "&amp;", "<": "&lt;", ">": "&gt;"}


@dataclass(frozen=True)
class Cell:
    """Text of one cell. kind: tie (shown grey), up, down, missing or "" (plain). value: what a column is sorted by, None for its text."""

    text: str
    kind: str = ""
    value: float | None = None


@dataclass
class Table:
    """name: of its files; lead, notes: sentences above and below it. The first `labels` columns name the row, the others hold numbers."""

    name: str
    title: str
    head: list[str]
    rows: list[list[Cell]]
    notes: list[str] = field(default_factory=list)
    labels: int = 1
    lead: list[str] = field(default_factory=list)


def visible(text: str) -> str:
    r"""The text on one line, with control characters, direction marks and lone surrogates as escapes: `\x1b`, `\u202e`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))


def markdown_escape(text: str) -> str:
    text = "".join(MARKDOWN.get(c, c) for c in visible(text))
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)  # within a word, as in squad_v1, it is no markup


def latex_escape(text: str) -> str:
    r"""LaTeX that prints the text; minus signs before a digit as in mathematics.

    A row that begins with [ or * would be taken for an option of the \\ before it. \textquotedbl needs an encoding of fonts that is not the
    default.
    """
    return re.sub(r"(?<![\w-])-(?=\d)", "$-$", "".join(LATEX.get(c, c) for c in visible(text)))


def to_markdown(table: Table) -> str:
    """A Markdown table whose columns also line up as plain text; ties are marked ≈."""
    rows = [[markdown_escape(marked(cell)) for cell in row] for row in table.rows]
    head = [markdown_escape(text) for text in table.head]
    widths = [max(3, *map(len, column)) for column in zip(head, *rows)]
    rule = ["-" * width if place < table.labels else "-" * (width - 1) + ":" for place, width in enumerate(widths)]
    lines = [" | ".join(aligned(row, widths, table.labels)) for row in (head, rule, *rows)]
    lead, notes = ([markdown_escape(sentence) for sentence in sentences] for sentences in (table.lead, table.notes))
    return "\n\n".join([f"### {markdown_escape(table.title)}", *lead, "\n".join(f"| {line} |" for line in lines), *notes])


def to_plain(table: Table) -> str:
    """The table for a terminal; ties are marked ≈."""
    rows = [[visible(text) for text in table.head], *([visible(marked(cell)) for cell in row] for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(aligned(row, widths, table.labels)).rstrip() for row in rows]
    return "\n".join([visible(table.title), *map(visible, table.lead), *lines, *map(visible, table.notes)])


def aligned(row: Sequence[str], widths: Sequence[int], labels: int) -> list[str]:
    return [text.ljust(width) if place < labels else text.rjust(width) for place, (text, width) in enumerate(zip(row, widths))]


def marked(cell: Cell) -> str:
    return f"≈ {cell.text}" if cell.kind == "tie" else cell.text


def to_latex(table: Table) -> str:
    r"""A booktabs table (\usepackage{booktabs,graphicx,textcomp,xcolor}); ties are grey. What is wider than the line is made smaller."""

    is_prose = table.labels == len(table.head)  # its last column holds sentences

    def latex(cell: Cell) -> str:
        text = latex_escape(cell.text)
        text = text.replace("/", r"/\allowbreak{}") if is_prose else text  # paths have no blanks at which a line could end
        return rf"\textcolor{{gray}}{{{text}}}" if cell.kind == "tie" else text

    caption = " ".join([f"{table.title}.", *table.lead, *table.notes])
    columns = "l" * (table.labels - is_prose) + (r"p{0.6\linewidth}" if is_prose else "r" * (len(table.head) - table.labels))
    lines = [
        r"\begin{table}", r"\centering\small", rf"\sbox0{{\begin{{tabular}}{{{columns}}}", r"\toprule",
        " & ".join(map(latex_escape, table.head)) + r" \\", r"\midrule",
        *(" & ".join(map(latex, row)) + r" \\" for row in table.rows),
        r"\bottomrule", r"\end{tabular}}", r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi",
        rf"\caption{{{latex_escape(caption)}}}", rf"\label{{tab:{table.name}}}", r"\end{table}",
    ]  # fmt: skip
    return "\n".join(lines)


def to_csv(table: Table) -> str:
    """The table's cells as comma-separated values. Numbers with all digits stand in results.csv and differences.csv."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(visible, table.head))
    writer.writerows([visible(marked(cell)) for cell in row] for row in table.rows)
    return text.getvalue().rstrip("\n")


FORMATS = {"md": to_markdown, "tex": to_latex, "csv": to_csv}
