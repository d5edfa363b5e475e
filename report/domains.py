"""Where the text of each task comes from (report/domains.csv), and gains by domain and by kind of task."""

import csv
from functools import cache
from pathlib import Path

from task_adapters import TASKS

TABLE = Path(__file__).with_name("domains.csv")


@cache
def domains() -> dict[str, frozenset[str]]:
    """{task: the domains of its text}; `mixed` is like no other."""
    with open(TABLE, encoding="utf-8", newline="") as file:
        return {row["task"]: frozenset(row["domains"].split()) for row in csv.DictReader(file)}


def shares_domain(intermediate: str, target: str) -> bool | None:
    """Whether two tasks have text of a common domain; None where one of them has no entry, or is mixed."""
    pair = [domains().get(task, frozenset()) for task in (intermediate, target)]
    return None if not all(pair) or any("mixed" in names for names in pair) else bool(pair[0] & pair[1])


def kind_of(task: str) -> str:
    return TASKS[task].task_type.replace("_", " ")
