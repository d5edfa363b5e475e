"""The report as one HTML page: no network, no library, pictures inside."""

import base64
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from report.formats import Table, visible

TEMPLATE = Path(__file__).with_name("page.html")


def to_html(title: str, intro: list[str], tables: list[Table], pictures: list[tuple[str, Path]]) -> str:
    """The page. intro: sentences at its top; pictures: (caption, SVG file), each shown once below the tables."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["visible"] = visible
    environment.filters["breakable"] = breakable
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    drawn = [(caption, base64.b64encode(path.read_bytes()).decode("ascii")) for caption, path in pictures]
    return template.render(title=title, intro=intro, tables=tables, pictures=drawn)


def breakable(text: str) -> Markup:
    """The text, escaped, which may go on in a new line after each slash: names of models are often paths."""
    return Markup("/<wbr>").join(escape(part) for part in visible(text).split("/"))
