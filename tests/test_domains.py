"""Domains of the tasks' text, and the gains split by them and by kind of task."""

import csv
import re

import numpy as np
import pytest
from test_report import after, cells_of, nli_answers, write_run, write_scored_run

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
    assert {row["read"] for row in rows} == {"paper", "abstract", "description", "half", "memory"}, "how sure each row is"
    unread = [row["task"] for row in rows if row["read"] in ("half", "memory")]
    page = (domains.TABLE.parent.parent / "docs/report.md").read_text(encoding="utf-8")
    listed = re.search(r"rest\swholly or partly on memory: (.*?)\.\n", page, re.S)[1]
    assert sorted(re.findall(r"`(\w+)`", listed)) == sorted(unread), "the page names the rows that rest on memory"


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


def test_the_interval_of_a_gain_by_domain_is_that_of_the_mean_over_its_pairs(tmp_path):
    """anli and mnli share a domain with xnli: the mean of both gains, on the same examples. Recomputed here example by example."""
    rng, answers = np.random.default_rng(2), {}
    for start, share in ((None, 0.5), ("anli", 0.7), ("mnli", 0.75)):
        answers[start] = nli_answers(rng, share, 400)
        write_scored_run(tmp_path / f"{start}", "xnli", {"de": answers[start]}, after(start, 42) if start else ())
    analysis = Analysis(collect([tmp_path]), resamples=4000)
    assert domains.shares_domain("anli", "xnli") and domains.shares_domain("mnli", "xnli")
    table = tables.domain_table(analysis)
    (cell,) = [row[-1] for row in table.rows if row[-2].text == "the same"]
    right = {start: np.array([a == b for a, b in zip(*pair)], dtype=float) for start, pair in answers.items()}
    gains = 100 * ((right["anli"] + right["mnli"]) / 2 - right[None])
    reach = 1.96 * gains.std(ddof=1) / 400**0.5
    low, high = map(float, cell.text.partition("(")[2].partition(";")[0].split(" to "))
    assert cell.value == pytest.approx(gains.mean()) and cell.kind == "up"
    assert low == pytest.approx(gains.mean() - reach, abs=0.3) and high == pytest.approx(gains.mean() + reach, abs=0.3)
    assert (
        cell.text.endswith("2: 2 up, 0 down)")
        and "95% interval" in table.notes[0]
        and "no interval" in tables.kinds_table(analysis).notes[0]
    )


def test_a_baseline_that_several_pairs_share_counts_once_in_the_spread_between_seeds():
    from report.statistics import Rows

    rows = Rows({"base": {1: 10.0, 2: 14.0}, "a": {1: 20.0, 2: 22.0}, "b": {1: 30.0, 2: 36.0}})
    estimate = rows.mean_difference([("a", "base"), ("b", "base")])
    variance = (8.0 + 2.0 + 18.0) / 3  # pooled over three rows of two seeds
    assert estimate.value == pytest.approx(27.0 - 12.0)
    assert estimate.error == pytest.approx((variance * (0.25 / 2 + 0.25 / 2 + 1 / 2)) ** 0.5)
    assert rows.difference("a", "base").error == pytest.approx((variance * (1 / 2 + 1 / 2)) ** 0.5)
