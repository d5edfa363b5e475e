"""Margins of retrieval in the report: of right and wrong pairs, and whether they tell them apart."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from test_report import after, cells_of, write_run

from report import margins, tables
from report.analysis import Analysis
from report.collect import collect
from task_types.probabilities import probabilities_path, write


def keep(folder, task, language, margin, right, **more):
    write(
        probabilities_path(folder, task, language), {"margin": np.array(margin, dtype=float), "right": np.array(right, dtype=bool), **more}
    )


def test_the_auc_is_that_of_scikit_learn_with_ties():
    rng = np.random.default_rng(0)
    margin, right = rng.integers(0, 6, 200) / 8, rng.random(200) < 0.4
    values = margins.separation(margin, right)
    assert values == pytest.approx((margin[right].mean(), margin[~right].mean(), roc_auc_score(right, margin)), abs=1e-12)
    assert np.isnan(margins.separation(margin, np.ones(200, dtype=bool))[1:]).all()


def test_a_table_shows_the_margins_of_each_language(tmp_path):
    for start, lineage in (("base", ()), ("mnli", after("mnli", 42))):
        write_run(tmp_path / start, "tatoeba", {"de": 50.0, "sw": 100.0}, lineage, phase="retrieval")
        keep(tmp_path / start, "tatoeba", "de", [0.5, 0.25, 0.125, 0.375], [1, 1, 0, 0])
        if start == "base":
            keep(tmp_path / start, "tatoeba", "sw", [0.5, 0.25], [1, 1])
    write_run(tmp_path / "bucc", "bucc", {"de": 50.0}, phase="retrieval")
    keep(tmp_path / "bucc", "bucc", "de", [1.25, 1.0], [1, 0], mined=np.array([True, False]))
    write_run(tmp_path / "xquad", "xquad", {"de": 50.0})
    made = {table.name: table for table in tables.all_tables(Analysis(collect([tmp_path]), resamples=0))}
    assert {name for name in made if name.startswith("margins")} == {"margins_tatoeba", "margins_bucc"}
    assert cells_of(made["margins_tatoeba"]) == {
        "baseline": ["0.375 / 0.250 (0.75)", "0.375 / —"],
        "mnli": ["0.375 / 0.250 (0.75)", "—"],
    }
    assert made["margins_tatoeba"].head == ["trained on", "de", "sw"]
    assert cells_of(made["margins_bucc"]) == {"baseline": ["1.250 / 1.000 (1.00)"]}
    assert "minus that with the next one" in made["margins_tatoeba"].notes[1] and "over the mean cosine" in made["margins_bucc"].notes[1]


@pytest.mark.parametrize("content", [b"no zip", None])
def test_margins_that_cannot_be_read_are_named_and_the_rest_is_reported(tmp_path, content):
    for name in ("a", "b"):
        write_run(tmp_path / name, "tatoeba", {"de": 50.0}, after("mnli", 42) if name == "b" else (), phase="retrieval")
        keep(tmp_path / name, "tatoeba", "de", [0.5, 0.25], [1, 0])
    path = probabilities_path(tmp_path / "b", "tatoeba", "de")
    if content:
        path.write_bytes(content)
    else:
        keep(tmp_path / "b", "tatoeba", "de", [0.5, 0.25], [1])
    analysis = Analysis(collect([tmp_path]), resamples=0)
    problems = {problem.folder: problem for problem in analysis.problems if problem.kind == "without margins"}
    assert list(problems) == [str(tmp_path / "b")]
    assert cells_of(tables.margins_table(analysis, analysis.columns[0])) == {"baseline": ["0.500 / 0.250 (1.00)"]}


def test_runs_without_margins_have_no_table(tmp_path):
    write_run(tmp_path / "a", "tatoeba", {"de": 50.0}, phase="retrieval")
    analysis = Analysis(collect([tmp_path]), resamples=0)
    assert tables.margins_table(analysis, analysis.columns[0]) is None
