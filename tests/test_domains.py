"""Domains of the tasks' text, and the gains split by them and by kind of task."""

import csv

import pytest
from test_report import after, cells_of, write_run

from metrics import XTREME_METRIC
from report import domains, tables
from report.analysis import Analysis
from report.collect import collect
from task_adapters import PAPERS_TASKS, TASKS


def test_every_task_of_the_paper_and_of_xtreme_has_a_domain_with_a_source():
    """Tasks beyond them have no entry yet: whether they share a domain is unknown."""
    with open(domains.TABLE, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["task"] for row in rows) == sorted({*PAPERS_TASKS, *XTREME_METRIC} & set(TASKS))
    assert all(row["source"].startswith("https://") for row in rows)


def test_a_domain_is_shared_different_or_unknown():
    assert domains.shares_domain("squad_v1", "xquad") and domains.shares_domain("anli", "xnli")
    assert domains.shares_domain("ccg", "xquad") is False and domains.shares_domain("ccg", "udpos") is None
    assert domains.shares_domain("a task of mine", "xquad") is None


@pytest.fixture
def analysis(tmp_path):
    """xquad and xnli after the baseline (50), squad_v1, mnli, ccg, and two tasks together, which are in no split."""
    gains = {"squad_v1": (6.0, -1.0), "mnli": (-2.0, 5.0), "ccg": (1.0, 1.0)}
    for start, (xquad, xnli) in {None: (0.0, 0.0), **gains, ("mnli", "qqp"): (30.0, 30.0)}.items():
        lineage = after(list(start) if isinstance(start, tuple) else start, 42) if start else ()
        for target, gain in (("xquad", xquad), ("xnli", xnli)):
            write_run(tmp_path / f"{start}/{target}", target, {"de": 50.0 + gain}, lineage)
    return Analysis(collect([tmp_path]), resamples=0)


def test_gains_by_kind_are_means_over_pairs(analysis):
    table = tables.kinds_table(analysis)
    assert table.head[1:] == ["classification", "span qa"]
    assert cells_of(table) == {
        "classification": ["+5.0 (1)", "-2.0 (1)"],
        "span qa": ["-1.0 (1)", "+6.0 (1)"],
        "tagging": ["+1.0 (1)", "+1.0 (1)"],
    }


def test_gains_by_domain_are_means_over_pairs(analysis):
    table = tables.domain_table(analysis)
    assert table.head[1:] == ["xnli", "xquad"]
    assert cells_of(table) == {"the same": ["+5.0 (1)", "+6.0 (1)"], "another": ["+0.0 (2)", "-0.5 (2)"]}
