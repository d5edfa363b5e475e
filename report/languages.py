"""Groups of languages, and what else is known of them: report/languages.csv (made by make_languages.py), and a user's own table."""

import csv
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pandas

from task_adapters import InputError

TABLE = Path(__file__).with_name("languages.csv")
ENGLISH = "en"  # trained on: it is in no group
# grouping: its title. Resources are counted in two ways that disagree (Basque: class 4 with 2 GiB), so both are shown.
GROUPINGS = {
    "family": "language family",
    "script": "script",
    "cc100": "text in CC-100, which XLM-R was trained on",
    "joshi": "class of resources (Joshi et al., 2020; 5: the most)",
}
MEASURES = {
    "syntactic": "syntactic distance from English",
    "phylogenetic": "phylogenetic distance from English",
    "geographic": "geographic distance from English",
    "cc100_gib": "GiB in CC-100",
}
STEPS = ((0, "not in CC-100"), (1, "below 1 GiB"), (10, "1 to 10 GiB"), (50, "10 to 50 GiB"), (float("inf"), "50 GiB and more"))


@cache
def read_languages() -> pandas.DataFrame:
    """The shipped table, indexed by language code; columns and their sources stand in its first lines."""
    return pandas.read_csv(TABLE, comment="#", keep_default_na=False).set_index("language")


@cache
def sources() -> dict[str, str]:
    """{column: where it comes from}, from the comments of the shipped table."""
    lines = [line[2:].strip().split(": ", 1) for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("# ")]
    return dict(lines)


def amount(gib: float) -> str:
    """The step of an amount of text; what is absent from CC-100 is a class of its own."""
    return next(name for most, name in STEPS if gib < most or gib == most == 0)


def groups_of(languages: Iterable[str], own: dict[str, dict[str, str]] | None = None) -> dict[str, dict[str, list[str]]]:
    """{grouping: {group: languages}} of the languages without English. own: a user's groupings (`read_groups`). Unknown ones: "unknown"."""
    table, found = read_languages(), {}
    own = own or {}
    for grouping in (*GROUPINGS, *own):
        groups = found.setdefault(grouping, {})
        for language in (language for language in languages if language != ENGLISH):
            if grouping in own:
                group = own[grouping].get(language, "unknown")
            elif language not in table.index:
                group = "unknown"
            else:
                group = amount(table.cc100_gib[language]) if grouping == "cc100" else str(table[grouping][language])
            groups.setdefault(group, []).append(language)
        order = [name for _, name in STEPS]
        found[grouping] = dict(sorted(groups.items(), key=lambda pair: (order.index(pair[0]) if pair[0] in order else -1, pair[0])))
    return found


def read_groups(path: str) -> dict[str, dict[str, str]]:
    """A user's table, a column `language` and one for each grouping: {grouping: {language: group}}. Raises InputError for another one."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"--groups {path} cannot be read: {' '.join(str(error).split())}") from error
    names = [name for name in (rows[0] if rows else {}) if name is not None]
    if "language" not in names or len(names) < 2:
        raise InputError(
            f"--groups {path}: a column `language` and one or more with groups are needed; it has: {', '.join(names) or 'none'}."
        )
    for name in names:
        if name in GROUPINGS:
            raise InputError(f"--groups {path}: {name} is a grouping of the report; another name would be right.")
    codes = [row["language"] for row in rows]
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values() or not all(row.values()):
            raise InputError(f"--groups {path}:{number}: every column needs a value: {list(row.values())!r:.60}.")
        if codes.count(row["language"]) > 1:
            raise InputError(f"--groups {path}:{number}: {row['language']} stands there twice.")
    return {name: {row["language"]: row[name] for row in rows} for name in names if name != "language"}
