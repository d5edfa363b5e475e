"""The report: which results stand in its tables, which are left out and why, and that every number can be had on another route."""

import csv
import json
import math
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas
import pytest
from scipy import stats

import run_report
from metrics import XTREME_METRIC, XTREME_R_METRIC
from predictions import score_folders, write_labels, write_predictions
from report import examples, formats, pictures, tables
from report.analysis import Analysis
from report.collect import OF_QUESTIONS, TOGETHER, collect, start_name
from report.formats import Cell, Table, latex_escape, markdown_escape, to_csv, to_latex, to_markdown, to_plain, visible
from task_adapters import TASKS, InputError, with_languages_of
from trainer import masked_lm

HOSTILE = "<script>alert(1)</script> | `x` *b* \\input{/etc/passwd} $x$ % & # ~ ^ [a](javascript:1)\n\x1b[31mred\u202eesrever\ud800"


def write_run(folder, target, scores, lineage=(), seed=42, phase="target", seconds=36.0, **more):
    """results.json as a run leaves it, with what the report reads. scores: language -> score."""
    names = XTREME_METRIC.get(target, (TASKS[target].dev_metric,))
    per_language = {language: {"precision": 1.0, **dict.fromkeys(names, score), "examples": 4} for language, score in scores.items()}
    results = {"phase": phase, "task": target, "lineage": list(lineage), "seconds": seconds, "data": [], "scores": per_language, **more}
    if phase != "retrieval":
        results["seed"] = seed
    Path(folder).mkdir(parents=True)
    Path(folder, "results.json").write_text(json.dumps(results))


def after(task, seed, **more):
    data = [{"split": split, "language": "en", "examples": 8} for split in ("train", "dev")]
    return [{"task": task, "seed": seed, "data": data, **more}]


def write_scored_run(folder, target, answers, lineage=(), seed=42, **more):
    """A run with labels and predictions. answers: {language: (gold, predicted)}; scores are those of the task's metric."""
    write_run(folder, target, dict.fromkeys(answers, 0.0), lineage, seed, **more)
    path = Path(folder, "results.json")
    results = json.loads(path.read_text())
    for language, (gold, predicted) in answers.items():
        if TASKS[target].task_type == "span_qa":
            rows = [{"id": f"{i}", "context": "c", "question": "q", "answers": {"text": texts, "answer_start": [0] * len(texts)}}
                    for i, texts in enumerate(gold)]  # fmt: skip
            write_labels(Path(folder, "labels"), target, language, None, rows)
            write_predictions(Path(folder, "predictions"), target, language, predicted, [row["id"] for row in rows])
        else:
            write_labels(Path(folder, "labels"), target, language, gold)
            write_predictions(Path(folder, "predictions"), target, language, predicted)
        results["scores"][language] = {**TASKS[target].metric(gold, predicted, language), "examples": len(gold)}
    path.write_text(json.dumps(results))


def cells_of(table: Table) -> dict[str, list[str]]:
    return {row[table.labels - 1].text: [cell.text for cell in row[table.labels :]] for row in table.rows}


def left_out(*folders) -> dict[str, tuple[str, str]]:
    return {Path(problem.folder).name: (problem.kind, problem.what) for problem in collect(folders).problems}


# ---- scores and differences


def test_means_and_spreads_are_those_of_a_calculator(tmp_path):
    for seed, nothing, mnli in ((1, 40.0, 43.0), (2, 50.0, 51.0), (3, 45.0, 50.0)):
        write_run(tmp_path / f"{seed}/a", "xquad", {"en": nothing + 20, "de": nothing, "zh": nothing - 10}, seed=seed)
        write_run(tmp_path / f"{seed}/b", "xquad", {"en": 0.0, "de": mnli, "zh": mnli - 10}, after("mnli", seed), seed)
        write_run(tmp_path / f"{seed}/c", "bucc", {"de": 10.0 * seed}, after("mnli", seed), phase="retrieval")
    write_run(tmp_path / "d", "bucc", {"de": 12.0}, phase="retrieval", seconds=36 * 90)
    collection = collect([tmp_path])
    assert len(collection.runs) == 10 and not collection.problems
    analysis = Analysis(collection)
    assert analysis.rows == [("a model without a name", "baseline"), ("a model without a name", "mnli")]
    # xquad: means of en, de and zh are 150/3 - 10 ...: (60 + 40 + 30) / 3 = 43.3, 53.3, 48.3: 48.3 ± 5.0.
    table = tables.summary(analysis)
    assert table.head == ["trained on", "xquad", "bucc", "XTREME", "seeds", "failed tries"]
    assert cells_of(table)["baseline"] == ["48.3 ± 5.0", "12.0", "—", "3", "0"]
    assert cells_of(table)["mnli"] == ["28.7 ± 2.9", "20.0 ± 10.0", "—", "3", "0"]
    by_language = tables.by_language(analysis, analysis.columns[0])
    assert by_language.head == ["trained on", "en", "de", "zh", "mean", "others", "gap", "worst"]
    assert cells_of(by_language)["baseline"] == ["65.0", "45.0", "35.0", "48.3 ± 5.0", "40.0 ± 5.0", "25.0", "zh"]
    assert cells_of(by_language)["mnli"][:3] == ["0.0 (-65.0)", "48.0 (+3.0)", "38.0 (+3.0)"]
    assert any("0.99 hours" in line and "seeds 1, 2, 3" in line for line in run_report.intro(collection, [tmp_path]))


def test_chance_has_its_means_in_a_table_by_language(tmp_path):
    gold = {"en": ["neutral"] * 3 + ["entailment"], "de": ["neutral", "entailment"] * 2, "zh": ["neutral"] * 4}
    write_scored_run(tmp_path / "a", "xnli", {language: (answers, answers) for language, answers in gold.items()})
    analysis = Analysis(collect([tmp_path]), resamples=0)
    table = tables.by_language(analysis, analysis.columns[0])
    assert table.head[1:] == ["en", "de", "zh", "mean", "others", "gap", "worst"]
    assert cells_of(table)["chance"] == ["75.0", "50.0", "100.0", "75.0", "75.0", "", ""]
    assert cells_of(tables.summary(analysis))["chance"][0] == "75.0"


def test_runs_that_learned_little_are_counted_where_their_mean_stands(tmp_path):
    """Their scores are those of chance; the run said so in its log, where the reader of a table does not look."""
    little = {"training": {"warning": "dev accuracy of pawsx is 48.2, one answer for all has 50.0"}}
    for seed, more in ((42, little), (43, {}), (44, little)):
        write_run(tmp_path / f"{seed}/a", "pawsx", {"en": 90.0, "de": 80.0}, (), seed)
        write_run(tmp_path / f"{seed}/b", "pawsx", {"en": 50.0, "de": 50.0}, after("mnli", seed), seed, **more)
        dev = {"dev": {"accuracy": 33.0, "f1": 33.0, "examples": 4}}
        write_run(tmp_path / f"{seed}/i", "qqp", {}, (), seed, phase="intermediate", **dev, **(little if seed == 42 else {}))
    analysis = Analysis(collect([tmp_path]), resamples=0)
    assert not analysis.problems
    summary, intermediate = tables.summary(analysis), tables.intermediate_table(analysis)
    assert cells_of(summary)["mnli"][0] == "50.0 ± 0.0 (2 learned little)" and cells_of(summary)["baseline"][0] == "85.0 ± 0.0"
    assert cells_of(intermediate)[f"qqp ({TASKS['qqp'].dev_metric})"] == ["33.0 ± 0.0 (1 learned little)"]
    assert tables.LITTLE_NOTE in summary.notes and tables.LITTLE_NOTE in intermediate.notes
    assert tables.score_cell([1.0, 2.0], 3, 1).text == "1.5 ± 0.7 (n=2, 1 learned little)"


def test_the_summary_says_of_how_many_languages_a_mean_is(tmp_path):
    write_run(tmp_path / "a", "xquad", dict.fromkeys(("en", "de", "ro"), 50.0))
    write_run(tmp_path / "b", "xnli", dict.fromkeys(("en", "de"), 50.0))
    notes = tables.summary(Analysis(collect([tmp_path]), resamples=0)).notes
    assert "Not all languages: xnli (2 of 15), xquad (3 of XTREME-R's 12)." in notes


def test_a_column_of_targets_that_were_not_trained_on_english_alone_says_so(tmp_path):
    """The folder of an arm of its own: without other runs of the target nothing else would show it."""
    write_run(tmp_path / "a", "xnli", {"en": 50.0, "de": 40.0}, train_languages=["de", "en"], max_train_samples=100)
    write_run(tmp_path / "b", "xquad", {"en": 50.0})
    notes = tables.summary(Analysis(collect([tmp_path]), resamples=0)).notes
    assert "Trained otherwise than usual: xnli (max_train_samples 100; train_languages de en)." in notes


def test_all_languages_of_xtreme_r_are_not_said_to_be_few(tmp_path):
    languages = with_languages_of(TASKS["xquad"], "xtreme-r").languages
    write_run(tmp_path / "a", "xquad", dict.fromkeys(languages, 50.0), benchmark="xtreme-r")
    write_run(tmp_path / "b", "xnli", dict.fromkeys(TASKS["xnli"].languages, 50.0))
    notes = " ".join(tables.summary(Analysis(collect([tmp_path]), resamples=0)).notes)
    assert "Not all languages" not in notes and "In all of XTREME-R's languages: xquad (12)." in notes
    assert "; more languages than XTREME's in xquad." in notes and "not all languages of xquad" not in notes


def test_one_run_has_no_spread_and_a_row_with_fewer_seeds_says_so():
    assert tables.score_cell([1.25]).text == "1.2" and tables.score_cell([1.0, 2.0]).text == "1.5 ± 0.7"
    assert tables.score_cell([1.0, 2.0], 3).text == "1.5 ± 0.7 (n=2)"


def test_chance_is_the_most_frequent_answer(tmp_path):
    labels = tmp_path / "labels"
    for target, text in (
        ("xnli", "neutral\nneutral\nentailment\nneutral\n"),
        ("tatoeba", "1\n0\n3\n2\n"),
        ("udpos", "NOUN\nNOUN\nVERB\n\nNOUN\n\n"),
    ):
        (labels / target).mkdir(parents=True)
        (labels / target / "test-de.tsv").write_text(text)
    assert examples.chance(tmp_path, "xnli", ["de"]) == {"de": 75.0}
    assert examples.chance(tmp_path, "tatoeba", ["de"]) == {"de": 25.0}
    # Guess: NOUN NOUN NOUN / NOUN, two runs of tags; gold has three, one of which is found: F1 = 2 * 1 / (2 + 3).
    assert examples.chance(tmp_path, "udpos", ["de"])["de"] == pytest.approx(40.0)
    assert examples.chance(tmp_path, "mlqa", ["de"]) == {"de": 0.0}
    assert examples.chance(tmp_path, "xnli", ["sw"]) == {"sw": None}, "no labels: unknown, not 0"


ANSWERS = {
    "xnli": (["neutral", "entailment", "neutral", "contradiction"], ["neutral", "neutral", "neutral", "contradiction"]),
    "udpos": ([["NOUN", "VERB"], ["DET", "NOUN", "NOUN"], ["X"]], [["NOUN", "NOUN"], ["DET", "NOUN", "NOUN"], ["PUNCT"]]),
    "panx": ([["B-PER", "I-PER"], ["O", "O"], ["B-LOC", "O"]], [["B-PER", "I-PER"], ["B-LOC", "O"], ["O", "O"]]),
    "xquad": ([["a red dog"], ["Paris", "in Paris"], ["7"]], ["red dog barks", "in Paris", None]),
    "bucc": ([("a", "b"), ("c", "d"), ("e", "f")], [("a", "b"), ("c", "f"), ("g", "h")]),
    "tatoeba": ([0, 1, 2, 3], [0, 1, 3, 3]),
}  # fmt: skip


@pytest.mark.parametrize("target", ANSWERS)
def test_statistics_of_examples_add_up_to_the_metric_of_the_task(tmp_path, target):
    gold, predicted = ANSWERS[target]
    write_scored_run(tmp_path / "a", target, {"de": (gold, predicted)}, phase="retrieval" if target in ("bucc", "tatoeba") else "target")
    numerators, denominators, wrong = examples.statistics_of_runs([str(tmp_path / "a")], target, "de")
    scores = TASKS[target].metric(gold, predicted, "de")
    expected = sum(scores[name] for name in XTREME_METRIC[target]) / len(XTREME_METRIC[target])
    assert not wrong and 0 < expected < 100
    assert examples.score_of(numerators, denominators) == pytest.approx([expected], abs=1e-9)
    assert Analysis(collect([tmp_path]), resamples=200).columns[0].has_intervals


def nli_answers(rng, right_share, n=300):
    labels = ["neutral", "entailment", "contradiction"]
    gold = [labels[i % 3] for i in range(n)]
    return gold, [label if rng.random() < right_share else labels[(labels.index(label) + 1) % 3] for label in gold]


def test_two_runs_that_differ_by_chance_are_a_tie_and_a_planted_difference_is_none(tmp_path):
    rng = np.random.default_rng(5)
    for seed in (1, 2):
        write_scored_run(tmp_path / f"base{seed}", "xnli", {"de": nli_answers(rng, 0.6)}, seed=seed)
        write_scored_run(tmp_path / f"same{seed}", "xnli", {"de": nli_answers(rng, 0.6)}, after("qqp", seed), seed)
        write_scored_run(tmp_path / f"more{seed}", "xnli", {"de": nli_answers(rng, 0.8)}, after("mnli", seed), seed)
    analysis = Analysis(collect([tmp_path]), resamples=1000)
    kinds = {row[0].text: row[1].kind for row in tables.differences(analysis).rows}
    assert kinds == {"qqp": "tie", "mnli": "up"}
    text = to_plain(tables.differences(analysis))
    assert re.search(r"qqp +≈ [+-]", text) and re.search(r"mnli +\+", text) and "the spread between seeds" in text
    again = Analysis(collect([tmp_path]), resamples=1000)
    pandas.testing.assert_frame_equal(analysis.differences, again.differences)


def test_predictions_that_contradict_the_stored_score_are_named_and_give_no_interval(tmp_path):
    rng = np.random.default_rng(5)
    write_scored_run(tmp_path / "a", "xnli", {"de": nli_answers(rng, 0.6)})
    write_scored_run(tmp_path / "b", "xnli", {"de": nli_answers(rng, 0.8)}, after("mnli", 42))
    results = json.loads((tmp_path / "b/results.json").read_text())
    results["scores"]["de"]["accuracy"] = 99.0
    (tmp_path / "b/results.json").write_text(json.dumps(results))
    analysis = Analysis(collect([tmp_path]), resamples=200)
    (problem,) = analysis.problems
    assert problem.kind == "contradictory" and "results.json says 99.0000 for xnli in de, its predictions score" in problem.what
    assert analysis.differences["low"].isna().all() and analysis.differences["difference"].iloc[0] > 15


def test_runs_scored_on_other_gold_are_not_paired(tmp_path):
    rng = np.random.default_rng(5)
    gold, predicted = nli_answers(rng, 0.6)
    write_scored_run(tmp_path / "a", "xnli", {"de": (gold, predicted)})
    write_scored_run(tmp_path / "b", "xnli", {"de": (gold[::-1], predicted)}, after("mnli", 42))
    problems = Analysis(collect([tmp_path]), resamples=200).problems
    assert [problem.kind for problem in problems] == ["without intervals"] and "are other ones than in" in problems[0].what


def test_the_average_of_xtreme_is_there_only_with_all_nine_tasks_in_all_languages(tmp_path):
    values = {}
    for place, target in enumerate(XTREME_METRIC):
        languages = TASKS[target].languages
        scores = {language: 10.0 + place + 0.1 * i for i, language in enumerate(languages)}
        values[target] = sum(scores.values()) / len(scores)
        retrieval = target in ("bucc", "tatoeba")
        write_run(tmp_path / "all" / target, target, scores, phase="retrieval" if retrieval else "target")
        if target != "panx":
            lineage = after("mnli", 42)
            write_run(tmp_path / "mnli" / target, target, scores, lineage, phase="retrieval" if retrieval else "target")
    table = tables.summary(Analysis(collect([tmp_path])))
    place = table.head.index("XTREME")
    cells = {row[0].text: row[place] for row in table.rows}
    assert cells["baseline"].value == pytest.approx(sum(values.values()) / 9, abs=1e-9)
    assert cells["mnli"].text == "—" and "No XTREME average for mnli: no panx." in table.notes


def test_the_average_of_xtreme_has_a_difference_where_both_rows_have_it(tmp_path):
    rng = np.random.default_rng(3)
    noise = {(start, seed): rng.normal(0, 0.5) for start in ("", "mnli", "qqp") for seed in (42, 43, 44)}
    for (start, seed), by_seed in noise.items():
        for place, target in enumerate(XTREME_METRIC):
            retrieval = target in ("bucc", "tatoeba")
            if (retrieval and not start and seed != 42) or (start == "qqp" and target == "panx"):
                continue
            gain = {"": 0.0, "mnli": place, "qqp": 1.0}[start] + (0.0 if retrieval else by_seed)
            lineage = after(start, seed) if start else []
            scores = dict.fromkeys(TASKS[target].languages, 50.0 + gain)
            folder = tmp_path / f"{start or 'none'}{seed}/{target}"
            write_run(folder, target, scores, lineage, seed, phase="retrieval" if retrieval else "target")
    analysis = Analysis(collect([tmp_path]), resamples=0)
    table = tables.differences(analysis)
    cells = {row[0].text: row[table.head.index("XTREME")] for row in table.rows}
    means = {start: np.mean([noise[start, seed] for seed in (42, 43, 44)]) * 7 / 9 for start in ("", "mnli")}
    truth = 4.0 + means["mnli"] - means[""]
    assert cells["mnli"].value == pytest.approx(truth, abs=1e-9) and cells["mnli"].kind == "up" and cells["qqp"].text == "—"
    sd = np.sqrt(np.mean([np.var([7 / 9 * noise[start, seed] for seed in (42, 43, 44)], ddof=1) for start in ("", "mnli")]))
    reach = stats.t.ppf(0.975, 4) * sd * np.sqrt(2 / 3)
    assert cells["mnli"].text == f"{truth:+.1f} ({truth - reach:+.1f} to {truth + reach:+.1f})"
    with pictures.style():
        axes = pictures.transfer_matrix(analysis, analysis.models[0])[0].axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == [*XTREME_METRIC, "XTREME"]
    assert f"{truth:+.1f}" in {text.get_text() for text in axes.texts}


def test_several_models_stand_in_one_table_and_each_is_held_against_its_own_baseline(tmp_path):
    for model, score in (("xlmr", 40.0), ("mbert", 30.0)):
        named = {"model": {"name_or_path": model}}
        write_run(tmp_path / model / "a", "xquad", {"de": score}, seed=1, **named, recipe=model)
        write_run(tmp_path / model / "b", "xquad", {"de": score + 2}, after("mnli", 1, **named), seed=1, recipe=model, **named)
    collection = collect([tmp_path / "xlmr", tmp_path / "mbert", tmp_path])
    assert not collection.problems and len(collection.runs) == 4, "settings are compared within a model; a folder counts once"
    found = Analysis(collection).differences["difference"].to_dict()
    assert found == {("mbert", "mnli", "xquad"): 2.0, ("xlmr", "mnli", "xquad"): 2.0}
    found = Analysis(collection, "xlmr").differences["difference"].to_dict()
    assert found == {("mbert", "baseline", "xquad"): -10.0, ("mbert", "mnli", "xquad"): -10.0}
    assert Analysis(collection, "mnli").differences["difference"].to_dict() == {
        ("mbert", "baseline", "xquad"): -2.0, ("xlmr", "baseline", "xquad"): -2.0}  # fmt: skip
    with pytest.raises(InputError, match="--baseline mnly: neither a start nor a model of these results. Did you mean 'mnli'"):
        Analysis(collection, "mnly")


def test_tasks_trained_together_stand_beside_each_alone(tmp_path):
    def write(folder, task, dev, seed, **more):
        (tmp_path / folder).mkdir()
        results = {"phase": "intermediate", "lineage": [], "seconds": 1, **after(task, seed)[0], "dev": dev, **more}
        (tmp_path / folder / "results.json").write_text(json.dumps(results))

    for seed, mnli, together in ((1, 70.0, 71.0), (2, 80.0, 83.0)):
        write(f"a{seed}", "mnli", {"accuracy": mnli}, seed)
        write(f"b{seed}", ["mnli", "squad_v1"], {"mnli": {"accuracy": together}, "squad_v1": {"f1": 5.0}}, seed)
    write("c", "squad_v1", {"f1": 4.0}, 1)
    write("d", "mnli", {"accuracy": 60.0}, 1, mlm_languages=["de"], mlm_share=0.5)
    (table,) = tables.all_tables(Analysis(collect([tmp_path])))
    assert table.head == ["intermediate task", "alone", "mnli+squad_v1", "mnli+mlm"]
    assert cells_of(table) == {"mnli (accuracy)": ["75.0 ± 7.1", "77.0 (+2.0)", "60.0 (-15.0)"],
                               "squad_v1 (f1)": ["4.0", "5.0 (+1.0)", ""]}  # fmt: skip


def test_what_a_start_is_called(tmp_path):
    assert start_name([]) == "baseline"
    assert start_name(after("mnli", 1) + after("qqp", 1)) == "mnli > qqp"
    assert start_name(after(["mnli", "qqp"], 1)) == "mnli+qqp"
    assert start_name(after(TOGETHER, 1)) == "all"
    (run,) = after("mnli", 1)
    (tmp_path / "de.txt").write_text("ein Satz\n" * 20)
    _, text = masked_lm.open_texts(["de"], [str(tmp_path)], None, 1, seed=0)
    assert start_name([run | {"mlm_share": 0.5, "data": run["data"] + text}]) == "mnli+mlm", "the text is no train split"
    assert start_name([run | {"data": [{"split": "train", "language": x} for x in ("fr", "de")]}]) == "mnli (de fr)"
    assert start_name([run | {"lora_rank": 8}, *after("qqp", 1)]) == "mnli (LoRA rank 8) > qqp"


def test_lora_has_rows_of_its_own_beside_full_training(tmp_path):
    """LoRA wants another learning rate: the two must not be taken for contradictory runs of one row."""
    full, lora = {**XLMR, "learning_rate": 1e-5}, {**XLMR, "learning_rate": 3e-4, "lora_rank": 8}
    write_run(tmp_path / "full", "xnli", {"de": 60.0}, **full)
    write_run(tmp_path / "lora", "xnli", {"de": 58.0}, **lora)
    write_run(tmp_path / "both", "xnli", {"de": 59.0}, after("mnli", 42, **lora), **lora)
    write_run(tmp_path / "before", "xnli", {"de": 61.5}, after("mnli", 42, **lora), **full)
    write_run(tmp_path / "rank", "xnli", {"de": 57.0}, **{**lora, "lora_rank": 2})
    write_run(tmp_path / "alpha", "xnli", {"de": 56.0}, seed=43, **lora, lora_alpha=1)
    assert left_out(tmp_path) == {"alpha": ("contradictory", f"lora_alpha of xnli is 1, but None in {tmp_path / 'both'}")}
    table = tables.all_tables(Analysis(collect([tmp_path])))[0]
    assert {(row[0].text, row[1].text): row[2].text for row in table.rows if row[0].text or row[1].text != "chance"} == {
        ("xlm-roberta-base", "baseline"): "60.0", ("xlm-roberta-base", "mnli (LoRA rank 8)"): "61.5",
        ("xlm-roberta-base (LoRA rank 8)", "baseline"): "58.0", ("xlm-roberta-base (LoRA rank 8)", "mnli (LoRA rank 8)"): "59.0",
        ("xlm-roberta-base (LoRA rank 2)", "baseline"): "57.0"}  # fmt: skip


def test_a_finished_lora_target_that_is_scored_on_perturbed_text_is_of_the_same_row(tmp_path):
    (trained,) = after("xnli", 3, **XLMR, lora_rank=8)
    write_run(tmp_path / "plain", "xnli", {"de": 60.0}, seed=3, **XLMR, lora_rank=8)
    write_run(tmp_path / "noisy", "xnli", {"de": 50.0}, [trained], seed=None, perturb="typos:0.1", evaluate_only=["test"])
    collection = collect([tmp_path])
    assert [(run.model, run.start, run.seed) for run in (*collection.runs, *collection.perturbed)] == [
        ("xlm-roberta-base (LoRA rank 8)", "baseline", 3)] * 2  # fmt: skip


# ---- what is left out, by name


XLMR = {"model": {"name_or_path": "xlm-roberta-base"}}


@pytest.mark.parametrize("first, second, said", [
    (((), {"recipe": "jiant"}), (after("mnli", 1), {"recipe": "xtreme"}), "recipe of xquad is 'xtreme', but 'jiant' in"),
    (((), {}), ((), {"adam_beta2": 0.98}), "adam_beta2 of xquad is 0.98, but None in"),
    (((), {"optim": "adamw_torch"}), ((), {"optim": "sgd"}), "optim of xquad is 'sgd', but 'adamw_torch' in"),
    (((), {"phase": "retrieval"}), (after("qqp", 1), {"phase": "retrieval", "precision": "bf16"}), "precision of xquad is 'bf16', but"),
    (((), {"max_train_samples": None}), ((), {"max_train_samples": 9}), "max_train_samples of xquad is 9, but None"),
    (((), {"train_languages": ["en"]}), ((), {"train_languages": ["de"]}), "train_languages of xquad is ['de'], but ['en']"),
    (((), {"layer": 8}), ((), {"layer": 14}), "layer of xquad is 14, but 8"),
    (((), {"max_seq_length": 128}), ((), {"max_seq_length": 256}), "max_seq_length of xquad is 256, but 128"),
    (((), {}), ((), {"select_on": "target"}), "select_on of xquad is 'target', but 'en'"),
    (((), {"head": "fresh"}), ((), {"head": "kept"}), "head of xquad is 'kept', but 'fresh'"),
    (((), {"mining": {"de": {"threshold_from": "dev"}}}), ((), {"mining": {"de": {"threshold_from": "x"}}}), "part for the threshold"),
    (((), {"pooling": "mean"}), ((), {"pooling": "cls"}), "pooling of xquad is 'cls', but 'mean'"),
    (((), {"effective_batch_size": 8}), ((), {"effective_batch_size": 9}), "effective_batch_size of xquad is 9, but 8"),
    ((after("mnli", 1, recipe="jiant"), {}), (after("mnli", 2, recipe="xtreme"), {}), "recipe of mnli is 'xtreme', but 'jiant'"),
    ((after("mnli", 1, optim="sgd"), {}), (after("mnli", 2, optim="sgd", fp16_full_eval=True), {}), "fp16_full_eval of mnli is True"),
    ((after("mnli", 1, mlm_languages=[], mlm_share=0.1), {}), (after("mnli", 2, mlm_languages=[], mlm_share=0.5), {}), "mlm_share of"),
    ((after("mnli", 1), {}), (after("mnli", 2, data=[]), {}), "number of training examples of mnli is 0, but 8"),
    (((), {"tokenizer": {"hash": "a", "vocabulary": "v"}}), ((), {"tokenizer": {"hash": "b", "vocabulary": "v"}}),
     "fingerprint of the tokenizer of xquad is 'b v', but 'a v' in"),
    (((), {"tokenizer": {"hash": "a", "vocabulary": "v"}}), ((), {"tokenizer": {"hash": "a", "vocabulary": "w"}}),
     "fingerprint of the tokenizer of xquad is 'a w', but 'a v' in"),
    (((), {"model": {"name_or_path": "x", "revision": "a"}}), ((), {"model": {"name_or_path": "x", "revision": "b"}}), "revision of the"),
])  # fmt: skip
def test_a_run_that_differs_in_more_than_start_and_seed_is_left_out_and_named(tmp_path, first, second, said):
    for seed, (lineage, more) in enumerate((first, second), start=1):
        write_run(tmp_path / str(seed), "xquad", {"de": 1.0}, lineage, seed, **more)
    kind, what = left_out(tmp_path)["2"]
    assert kind == ("arm" if said.split()[0] in OF_QUESTIONS else "contradictory")
    assert what.startswith(said) and len(collect([tmp_path]).runs) == 1


def test_models_may_have_different_tokenizers_and_earlier_code_noted_none(tmp_path):
    for name, tokenizer in (("xlmr", "a"), ("mbert", "b"), ("old", None)):
        more = {"tokenizer": {"hash": tokenizer, "vocabulary": "v", "probes": {}}} if tokenizer else {}
        model = {"name_or_path": "xlmr" if name == "old" else name}
        write_run(tmp_path / name, "xquad", {"de": 1.0}, seed=3 if name == "old" else 1, model=model, **more)
    assert not left_out(tmp_path)


def test_intermediate_runs_whose_tokenizers_read_otherwise_are_not_compared(tmp_path):
    for seed, fingerprint in ((1, "a"), (2, "b")):
        results = {"phase": "intermediate", "lineage": [], "seconds": 1, **after("mnli", seed)[0], "dev": {"accuracy": 50.0},
                   "tokenizer": {"hash": fingerprint, "vocabulary": "v"}}  # fmt: skip
        (tmp_path / f"{seed}").mkdir()
        (tmp_path / f"{seed}/results.json").write_text(json.dumps(results))
    assert left_out(tmp_path)["2"][1].startswith("fingerprint of the tokenizer of mnli is 'b v', but 'a v' in")


def test_a_fingerprint_that_is_none_is_damage(tmp_path):
    write_run(tmp_path / "a", "xquad", {"de": 1.0}, seed=1)
    write_run(tmp_path / "b", "xquad", {"de": 1.0}, seed=2, tokenizer={"hash": 3})
    assert left_out(tmp_path)["b"][0] == "damaged" and "tokenizer" in left_out(tmp_path)["b"][1]


def test_of_contradicting_runs_the_more_frequent_setting_stays(tmp_path):
    for seed, recipe in ((1, "xtreme"), (2, "jiant"), (3, "jiant")):
        write_run(tmp_path / str(seed), "xquad", {"de": 1.0}, seed=seed, recipe=recipe)
    assert list(left_out(tmp_path)) == ["1"]


def test_runs_of_other_languages_or_of_other_numbers_of_examples_are_left_out(tmp_path):
    for place in range(3):
        write_run(tmp_path / f"{place}", "xquad", {"de": 1.0}, seed=place, **XLMR)
    write_run(tmp_path / "more", "xquad", {"de": 2.0, "zh": 2.0}, model={"name_or_path": "another"})
    write_run(tmp_path / "fewer", "xquad", {"de": 1.0}, model={"name_or_path": "a third"})
    results = json.loads((tmp_path / "fewer/results.json").read_text())
    results["scores"]["de"]["examples"] = 3
    (tmp_path / "fewer/results.json").write_text(json.dumps(results))
    found = left_out(tmp_path)
    assert "languages of xquad is ['de', 'zh'], but ['de']" in found["more"][1]
    assert "number of examples in de of xquad is 3, but 4" in found["fewer"][1] and len(found) == 2


def test_what_earlier_code_did_not_write_down_is_no_difference(tmp_path):
    write_run(tmp_path / "a", "xquad", {"de": 1.0}, after("mnli", 1), seed=1)
    now = {"max_seq_length": 256, "optim": "sgd", "adam_beta2": 0.98}
    write_run(tmp_path / "b", "xquad", {"de": 1.0}, after("mnli", 2, **now), seed=2, padding_free="auto", train_languages=["en"])
    assert not left_out(tmp_path)


def test_what_only_the_machine_decides_is_no_difference(tmp_path):
    for seed, on_a_gpu in ((1, {"padding_free": True, "precision": "tf32"}), (2, {"padding_free": False, "precision": "fp32"}), (3, {})):
        write_run(tmp_path / f"a{seed}", "bucc", {"de": 1.0}, after("mnli", seed), phase="retrieval", **on_a_gpu)
        write_run(tmp_path / f"b{seed}", "xquad", {"de": 1.0}, seed=seed, world_size=seed, device=f"{seed}", languages=[seed], oracle={})
    assert not left_out(tmp_path)


def test_folders_of_the_models_between_are_no_difference(tmp_path):
    write_run(tmp_path / "a", "xquad", {"de": 1.0}, seed=1, **XLMR, recipe="jiant")
    for seed, start in ((1, "mnli"), (2, "mnli"), (1, "qqp")):
        lineage = after(start, seed, **XLMR, recipe="jiant") + after("anli", seed, model={"name_or_path": f"out/{seed}/{start}"})
        write_run(tmp_path / start / str(seed), "xquad", {"de": 1.0}, lineage, seed, model={"name_or_path": f"o/{seed}"}, recipe="jiant")
    assert not left_out(tmp_path) and {run.model for run in collect([tmp_path]).runs} == {"xlm-roberta-base"}


def test_a_copy_is_counted_once_and_of_two_runs_that_disagree_neither_is_believed(tmp_path):
    for name, score in (("a", 1.0), ("b", 1.0), ("c", 2.0), ("d", 3.0)):
        write_run(tmp_path / name, "xquad", {"de": score}, seed=1 if name in "ab" else 2)
    write_run(tmp_path / "good", "xquad", {"de": 1.0}, seed=3)
    found = left_out(tmp_path)
    assert found["b"] == ("duplicate", f"a copy of {tmp_path}/a") and set(found) == {"b", "c", "d"}
    assert found["c"][1] == f"xquad after baseline with seed 2, as in {tmp_path}/d, with other scores"


GOOD = {
    "phase": "target",
    "task": "xquad",
    "seed": 1,
    "seconds": 1,
    "data": [],
    "lineage": [],
    "scores": {"de": {"f1": 1.0, "exact_match": 1.0}},
}


def scored(**values):
    return GOOD | {"scores": {"de": {"f1": 1.0, "exact_match": 1.0, **values}}}


@pytest.mark.parametrize("content, kind, said", [
    ([{}], "foreign", "is of no run of this collection"),
    (None, "foreign", "is of no run of this collection"),
    ({"accuracy": 1}, "foreign", "is of no run of this collection"),
    (GOOD | {"lineage": 5}, "damaged", "lineage is 5, not a list"),
    ({name: GOOD[name] for name in GOOD if name != "seed"}, "damaged", "seed is missing"),
    (GOOD | {"lineage": [{}]}, "damaged", "lineage[0].task is missing"),
    (GOOD | {"task": "xquat"}, "foreign", "an unknown task, 'xquat'. Did you mean 'xquad'"),
    (GOOD | {"lineage": after("mnly", 1)}, "foreign", "an unknown task, 'mnly'"),
    (GOOD | {"scores": {}}, "damaged", "holds no score"),
    (GOOD | {"scores": {"de": {"accuracy": 1.0}}}, "damaged", "no score, f1 of xquad: de.f1 is missing"),
    (GOOD | {"phase": "intermediate", "task": "mnli"}, "damaged", "dev is missing"),
    (GOOD | {"phase": "intermediate", "task": ["mnli", "qqp"], "dev": {"mnli": {"accuracy": 1.0}}}, "damaged", "no score, f1 of qqp"),
    (GOOD | {"phase": "intermediate", "task": [], "dev": {}}, "foreign", "an unknown task, None"),
    (GOOD | {"phase": ["target"]}, "foreign", "its phase is none of intermediate, target, retrieval"),
    (GOOD | {"seconds": "1"}, "damaged", "seconds is '1', not a whole number or a number"),
    (GOOD | {"seconds": math.inf}, "damaged", "seconds is inf"),
    (GOOD | {"seed": True}, "damaged", "seed is True, not a whole number"),
    (GOOD | {"seed": 2**70}, "damaged", "more than 64 bits hold"),
    (GOOD | {"model": {}}, "damaged", "model.name_or_path is missing"),
    (scored(f1="1.0"), "damaged", "de.f1 is '1.0', not a whole number or a number"),
    (scored(f1=math.nan), "damaged", "de.f1 is nan"),
    (scored(f1=math.inf), "damaged", "de.f1 is inf"),
    (scored(f1=-5), "damaged", "f1 of de is -5: a score is from 0 to 100"),
    (scored(f1=1000), "damaged", "f1 of de is 1000: a score is from 0 to 100"),
    (scored(exact_match=-5.0), "damaged", "exact_match of de is -5.0: a score is from 0 to 100"),
    (scored(exact_match=math.nan), "damaged", "exact_match of de is nan, not a number"),
    (scored(examples=2**80), "damaged", "the number of examples of de is 1208925819614629174706176"),
    (scored(examples=-1), "damaged", "the number of examples of de is -1"),
    (scored(examples="4"), "damaged", "de.examples is '4', not a whole number or null"),
])  # fmt: skip
def test_json_that_is_no_run_is_named_and_the_rest_is_reported(tmp_path, content, kind, said):
    write_run(tmp_path / "good", "xquad", {"de": 1.0})
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/results.json").write_text(json.dumps(content))
    found, what = left_out(tmp_path)["bad"]
    assert found == kind and said in what and len(collect([tmp_path]).runs) == 1


def test_whatever_lies_where_results_should_be_is_named(tmp_path):
    write_run(tmp_path / "good", "xquad", {"de": 1.0})
    whole = (tmp_path / "good/results.json").read_bytes()
    for name in ("cut", "latin", "empty", "deep", "folder", "pipe", "link", "unfinished", "part", "failed", "notes"):
        (tmp_path / name).mkdir()
    (tmp_path / "cut/results.json").write_bytes(whole[:50])
    (tmp_path / "latin/results.json").write_bytes(b'{"phase": "\xe9"}')
    (tmp_path / "empty/results.json").touch()
    (tmp_path / "deep/results.json").write_text("[" * 100_000)
    (tmp_path / "folder/results.json").mkdir()
    os.mkfifo(tmp_path / "pipe/results.json")
    (tmp_path / "link/results.json").symlink_to("nowhere")
    for name in ("unfinished", "part", "failed"):
        (tmp_path / name / "run.json").write_text("{}")
    (tmp_path / "part/results.json.part").write_bytes(whole[:50])
    (tmp_path / "failed/failed_tries.json").write_text("[]")
    (tmp_path / "notes/readme.txt").write_text("no run at all")
    kinds = {name: kind for name, (kind, _) in left_out(tmp_path).items()}
    damaged = dict.fromkeys(("cut", "latin", "empty", "deep", "folder", "pipe", "link"), "damaged")
    assert kinds == damaged | {"unfinished": "unfinished", "part": "half-written", "failed": "failed"}
    text = run_report.write_report([tmp_path], tmp_path / "report", ["md"])
    for name in kinds:
        assert f"{tmp_path}/{name}" in text


def test_a_folder_with_nothing_usable_is_one_line(tmp_path, capsys):
    assert run_report.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"run_report.py: error: {tmp_path}: no finished run of this collection\n"
    assert run_report.main([str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err == f"run_report.py: error: {tmp_path}/none is not a folder of results.\n"
    (tmp_path / "results.json").write_text("{")
    assert run_report.main([str(tmp_path)]) == 2
    assert "results.json cannot be read" in capsys.readouterr().err


def test_a_folder_without_runs_beside_another_is_named(tmp_path, capsys):
    write_run(tmp_path / "good", "xquad", {"de": 1.0})
    (tmp_path / "not_begun").mkdir()
    assert left_out(tmp_path / "good", tmp_path / "not_begun") == {"not_begun": ("empty", "no run is in this folder")}
    assert run_report.main([str(tmp_path / "good"), str(tmp_path / "not_begun"), "--output_dir", str(tmp_path / "report")]) == 0
    assert "1 more are left out; the last table names each with the reason." in capsys.readouterr().out


@pytest.mark.parametrize("flags, said", [
    (["--format", "pdf"], "--format pdf: one or several of md, tex, csv, html"),
    (["--resamples", "3"], "--resamples 3: 0, or at least 100"),
    (["--output_dir", "{}/good/results.json"], "cannot be written"),
    (["--baseline", "nothing"], "--baseline nothing: neither a start nor a model"),
    (["--resamples", "many"], "argument --resamples: invalid int value: 'many'"),
    (["--benchmrk", "xtreme"], "unrecognized arguments: --benchmrk xtreme"),
])  # fmt: skip
def test_mistakes_are_one_line(tmp_path, capsys, flags, said):
    write_run(tmp_path / "good", "xquad", {"de": 1.0})
    try:
        code = run_report.main([str(tmp_path), *(flag.format(tmp_path) for flag in flags)])
    except SystemExit as end:  # argparse's own way out
        code = end.code
    assert code == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def places(value, path=()):
    """Every place in a JSON value, as the keys that lead there."""
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


def test_whatever_a_hand_changes_in_one_result_the_others_are_reported(tmp_path):
    model = {"name_or_path": "xlm-roberta-base"}
    (stage,) = after(["mnli", "squad_v1"], 1, model=model, mlm_share=0.5)
    stage["data"].append({"task": "mlm", "language": "de", "files": "de.txt", "rows": 5})
    dev = {"mnli": {"accuracy": 50.0, "examples": 4}, "squad_v1": {"f1": 5.0, "exact_match": 4.0}}
    write_run(tmp_path / "none", "xquad", {"en": 3.0, "de": 2.0}, model=model)
    write_run(tmp_path / "other", "xquad", {"en": 3.0, "de": 2.0}, [stage])
    write_run(tmp_path / "bucc", "bucc", {"de": 2.0}, [stage], phase="retrieval", mining={"de": {"threshold_from": "dev"}})
    (tmp_path / "first").mkdir()
    first = {"phase": "intermediate", "lineage": [], "seconds": 1, "dev": dev, **stage}
    (tmp_path / "first" / "results.json").write_text(json.dumps(first))
    named = 0
    for path in sorted(tmp_path.rglob("results.json")):
        whole = path.read_text()
        for *way, key in filter(None, places(json.loads(whole))):
            for other in (None, True, 7, -0.5, "x", [], [[]], ["x"], {}, {"x": {}}, 10**400, "left out"):
                edited = json.loads(whole)
                at = edited
                for step in way:
                    at = at[step]
                at[key] = other
                if other == "left out":
                    del at[key]
                path.write_text(json.dumps(edited))
                collection = collect([tmp_path])
                if named % 20 == 0:
                    tables.all_tables(Analysis(collection, resamples=0))
                assert len(collection.runs) + len(collection.problems) == 4 and len(collection.runs) > 1
                named += len(collection.problems)
        path.write_text(whole)
    assert named > 500


# ---- what is written


class Page(HTMLParser):
    """Collects the tags, the links and the text of cells of an HTML page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.text, self.within = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href")]
        if any(name.startswith("on") for name, _ in attributes):
            self.tags.append("handler")

    def handle_data(self, data):
        self.text.append(data)


def test_hostile_names_are_escaped_in_every_format(tmp_path):
    rng = np.random.default_rng(0)
    model = {"model": {"name_or_path": HOSTILE}}
    hostile = after("mnli", 42, **model)
    hostile[0]["data"][0]["language"] = HOSTILE
    write_scored_run(tmp_path / "a", "xnli", {"de": nli_answers(rng, 0.5)}, **model)
    write_scored_run(tmp_path / "b", "xnli", {"de": nli_answers(rng, 0.8)}, hostile, **model)
    (tmp_path / "<img src=x onerror=alert(1)>").mkdir()
    (tmp_path / "<img src=x onerror=alert(1)>/run.json").write_text("{}")
    shown = run_report.write_report([tmp_path], tmp_path / "report", resamples=100)
    assert "\x1b" not in shown and "\u202e" not in shown and "\\x1b[31mred\\u202eesrever\\ud800" in shown
    page = Page((tmp_path / "report/report.html").read_text())
    assert (
        page.tags.count("script") == 1
        and "handler" not in page.tags
        and page.tags.count("img") == len([*(tmp_path / "report").glob("*.svg")])
    )
    assert all(link.startswith(("#", "data:image/svg+xml;base64,")) for link in page.links)
    assert any("<script>alert(1)</script>" in text for text in page.text), "shown as text"
    markdown = (tmp_path / "report/report.md").read_text()
    assert "<script>" not in markdown and "<img" not in markdown and "\x1b" not in markdown
    for table in re.findall(r"(?:^\|.*\n)+", markdown, re.M):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1, "every row has all columns"
    latex = (tmp_path / "report/transfer.tex").read_text()
    assert r"\input{" not in latex and r"\textbackslash{}input\{" in latex and "\x1b" not in latex
    for path in (tmp_path / "report").glob("*.svg"):
        assert not [tag for tag in xml.etree.ElementTree.parse(path).iter() if tag.tag.endswith("script")]
    with open(tmp_path / "report/results.csv", encoding="utf-8", newline="") as file:
        assert {len(row) for row in csv.reader(file)} == {11}


COMMANDS = {"begin", "end", "centering", "small", "toprule", "midrule", "bottomrule", "caption", "label", "textcolor", "textbackslash",
            "textasciicircum", "textasciitilde", "textless", "textgreater", "textbar", "textquotesingle",
            "textasciigrave", "pm", "approx", "sbox", "ifdim", "wd", "linewidth", "resizebox", "usebox", "else", "fi",
            "allowbreak"}  # fmt: skip


def check_latex(text: str) -> None:
    """A strict reading of a booktabs table: known commands alone, all specials escaped, braces closed, every row with all its columns.

    Raises AssertionError. It is no compiler: fonts and packages are not looked at (the test that compiles does).
    """
    body = re.sub(r"\\[&%#_${}]", "x", text.replace("\\\\\n", "ROW-END\n"))  # escaped specials are text
    assert set(re.findall(r"\\([A-Za-z]+)", body)) <= COMMANDS, set(re.findall(r"\\([A-Za-z]+)", body)) - COMMANDS
    assert not re.search(r"\\[^A-Za-z]", body), "a backslash that begins no command"
    depth = 0
    for character in body:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert not re.search("[%#^~]", body) and body.count("$") % 2 == 0
    assert set(re.findall(r"\$([^$]*)\$", body)) <= {"-", r"\pm", r"\approx"}
    assert "_" not in re.sub(r"\\label\{[a-z0-9_:]+\}", "", body), "an underscore outside mathematics"
    order = re.findall(r"\\(begin\{\w+\}|end\{\w+\}|toprule|midrule|bottomrule|caption|label)", body)
    assert order == ["begin{table}", "begin{tabular}", "toprule", "midrule", "bottomrule", "end{tabular}", "caption", "label", "end{table}"]
    columns = re.sub(r"p\{[\d.]+\\linewidth\}", "p", re.search(r"\\begin\{tabular\}\{((?:[lr]|p\{[\d.]+\\linewidth\})+)\}", body)[1])
    rows = body[body.index(r"\toprule") : body.index(r"\bottomrule")].splitlines()
    rows = [row for row in rows if row not in (r"\toprule", r"\midrule")]
    for row in rows:
        assert row.endswith("ROW-END") and row.count("ROW-END") == 1 and row.count("&") == len(columns) - 1, row
        assert not row.startswith(("[", "*")), "an option of the row before"
    assert "&" not in body[body.index(r"\bottomrule") :], "a column in the caption"


NAMES = ["plain", HOSTILE, "[a] * ]", "* [b]", '"x" it\'s `y` ^ ~ <|> ± ≈ —', "\\\\ \\ \\end{tabular} 100% $5 a_b #1 {}"]


def tables_of(name, folder) -> list[Table]:
    """Every table of a small report with two models, one of them called `name`, with ties and a damaged result."""
    rng = np.random.default_rng(0)
    for place, model in enumerate((name, "another")):
        for seed in (1, 2):
            named = {"model": {"name_or_path": model}}
            write_scored_run(folder / f"{place}a{seed}", "xnli", {"de": nli_answers(rng, 0.5, 30)}, seed=seed, **named)
            lineage = after("squad_v1", seed, **named)
            write_scored_run(folder / f"{place}b{seed}", "xnli", {"de": nli_answers(rng, 0.8, 30)}, lineage, seed, **named)
    (folder / "damaged").mkdir()
    (folder / "damaged/results.json").write_text("{ _&%#")
    made = tables.all_tables(Analysis(collect([folder]), resamples=100))
    assert len(made) > 8 and any(cell.kind == "tie" for table in made for row in table.rows for cell in row)
    return made


@pytest.mark.parametrize("name", NAMES)
def test_every_table_is_latex_that_can_be_read_strictly(tmp_path, name):
    for table in tables_of(name, tmp_path):
        check_latex(to_latex(table))


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex (Debian: texlive-latex-recommended) is not installed")
@pytest.mark.parametrize("name", NAMES)
def test_every_table_compiles_and_fits_the_line(tmp_path, name):
    packages = r"\documentclass{article}\usepackage{booktabs,graphicx,textcomp,xcolor}\begin{document}"
    text = "\n\\clearpage\n".join([packages, *map(to_latex, tables_of(name, tmp_path)), r"\end{document}"])
    (tmp_path / "tables.tex").write_text(text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0 and (tmp_path / "tables.pdf").is_file(), done.stdout[-2000:]
    assert "Overfull" not in done.stdout, re.findall("Overfull.*", done.stdout)


@pytest.mark.parametrize("broken", [
    lambda text: text.replace(r"\_", "_", 1), lambda text: text.replace(" & ", " ", 1), lambda text: text.replace(r"\midrule", ""),
    lambda text: text.replace(r"\&", "&", 1), lambda text: text.replace("{[}", "[", 1), lambda text: text.replace(r"\%", "%", 1),
    lambda text: text.replace("}", "", 1), lambda text: text.replace(r"\textbackslash{}", "\\", 1),
])  # fmt: skip
def test_the_strict_reading_sees_what_is_broken(broken):
    table = Table("t", "T & Co", ["name", "score"], [[Cell("[a_b] 5% \\x"), Cell("+1.0", "tie", 1.0)]], ["Note."])
    check_latex(to_latex(table))
    with pytest.raises((AssertionError, TypeError)):
        check_latex(broken(to_latex(table)))


def test_every_escape_keeps_the_text():
    assert markdown_escape("a|b_c _d_ <x> [y](z)") == "a\\|b_c \\_d\\_ &lt;x&gt; \\[y\\](z)"
    assert latex_escape("a_b & 5% -1.5 x-2 {\\y}") == r"a\_b \& 5\% $-$1.5 x-2 \{\textbackslash{}y\}"
    assert visible("a\x1b[0m\nb\u202e é 中") == "a\\x1b[0m\\nb\\u202e é 中"
    table = Table("t", "T", ["name", "score"], [[Cell("a|b"), Cell("+1.0", "tie", 1.0)]], ["Note."])
    assert to_markdown(table) == "### T\n\n| name |  score |\n| ---- | -----: |\n| a\\|b | ≈ +1.0 |\n\nNote."
    assert to_latex(table).count(r"\textcolor{gray}{+1.0}") == 1 and r"\toprule" in to_latex(table)
    assert to_csv(table) == "name,score\na|b,≈ +1.0"
    assert set(formats.FORMATS) == {"md", "tex", "csv"}


def test_every_number_of_the_tables_can_be_computed_from_results_csv(tmp_path):
    rng = np.random.default_rng(3)
    for seed in (1, 2, 3):
        for start, share in (((), 0.5), (after("mnli", seed), 0.6)):
            answers = {language: nli_answers(rng, share, 60) for language in ("en", "de", "zh")}
            write_scored_run(tmp_path / f"out/{seed}{len(start)}", "xnli", answers, start, seed)
    run_report.write_report([tmp_path / "out"], tmp_path / "report", resamples=200)
    table = pandas.read_csv(tmp_path / "report/results.csv")
    runs = table[table.metric == "accuracy"].groupby(["start", "seed"]).value.mean()
    mean, spread = runs.groupby("start").mean(), runs.groupby("start").std()
    summary = pandas.read_csv(tmp_path / "report/summary.csv").set_index("trained on")
    for start in ("baseline", "mnli"):
        assert summary.xnli[start] == f"{mean[start]:.1f} ± {spread[start]:.1f}"
    differences = pandas.read_csv(tmp_path / "report/differences.csv")
    assert differences.difference[0] == pytest.approx(mean["mnli"] - mean["baseline"], abs=1e-9)


def test_the_page_is_whole_without_a_network_and_small(tmp_path):
    rng = np.random.default_rng(0)
    for start in ((), after("mnli", 42)):
        answers = {language: nli_answers(rng, 0.5, 30) for language in TASKS["xnli"].languages}
        write_scored_run(tmp_path / f"out/{len(start)}", "xnli", answers, start)
    run_report.write_report([tmp_path / "out"], tmp_path / "report", resamples=100)
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert {"report.html", "report.md", "summary.tex", "transfer.csv", "transfer.png", "transfer.svg", "languages_xnli.png"} <= names
    text = (tmp_path / "report/report.html").read_text()
    assert len(text) < 5_000_000 and "http" not in re.sub(r"base64,[A-Za-z0-9+/=]+|http-equiv", "", text)
    assert "prefers-color-scheme: dark" in text and "width=device-width" in text
    run_report.write_report([tmp_path / "out"], tmp_path / "small", ["tex"], resamples=0)
    assert {path.suffix for path in (tmp_path / "small").iterdir()} == {".tex", ".csv"}, "results.csv and differences.csv are always there"
    assert not (tmp_path / "small/summary.csv").exists()


SCRIPT = """<script>onload = () => {
  const page = document.querySelector("iframe").contentDocument, box = page.querySelector(".wide");
  const stuck = [...box.querySelectorAll("thead th")].filter(cell => page.defaultView.getComputedStyle(cell).position === "sticky");
  const order = place => {
    page.querySelectorAll("thead button")[place].click();
    return [...box.querySelectorAll("tbody tr")].map(row => row.cells[place].textContent);
  };
  document.title = JSON.stringify([order(2), order(2), order(1), page.documentElement.scrollWidth, stuck.map(cell => cell.textContent),
    stuck.reduce((sum, cell) => sum + cell.offsetWidth, 0) / box.clientWidth, stuck.map(cell => cell.style.left)]);
}</script>"""


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
@pytest.mark.parametrize("width", [360, 1280])
def test_in_a_browser_the_page_fits_its_width_and_the_row_labels_stay_in_sight(tmp_path, width):
    values = iter((30.0, 100.0, 9.5, 31.0))
    for name in ("/home/somebody/models/an-organisation/a-multilingual-encoder-with-a-long-name", "another/encoder"):
        for start in ((), after("mnli", 42, model={"name_or_path": name})):
            folder = tmp_path / f"out/{name[-4:]}{len(start)}"
            scores = dict.fromkeys(TASKS["udpos"].languages, next(values))
            write_run(folder, "udpos", scores, start, model={"name_or_path": name})
    run_report.write_report([tmp_path / "out"], tmp_path / "report", ["html"], resamples=0)
    frame = f"<iframe src='report/report.html' style='border:0;width:{width}px;height:900px'></iframe>"
    (tmp_path / "frame.html").write_text(f"<!doctype html><body style='margin:0'>{frame}{SCRIPT}")
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", f"--user-data-dir={tmp_path}/profile"]
    command = ["chromium", *flags, "--window-size=1400,1000", "--virtual-time-budget=3000", "--dump-dom", f"file://{tmp_path}/frame.html"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=300).stdout
    falling, rising, names, page_width, stuck, share, lefts = json.loads(re.search(r"<title>(.*)</title>", shown)[1])
    assert falling == ["100.0", "31.0", "30.0", "9.5", "—"], "a click on a column's head sorts by number, what has none last"
    assert rising == ["9.5", "30.0", "31.0", "100.0", "—"], "a second click turns the order round"
    assert names == ["baseline", "baseline", "chance", "mnli", "mnli"], "names from A to Z first"
    assert page_width <= width, "the page itself does not scroll sideways; its tables do"
    assert "trained on" in stuck and share < 0.7, "numbers have room beside the labels"
    assert lefts[0] == "0px" and len(set(lefts)) == len(lefts), "no label lies on another"


# ---- XTREME's submission


def write_all_nine(folder, seed=42, lineage=()):
    for target in XTREME_METRIC:
        labels = TASKS["pawsx"].labels
        gold, predicted = ([*labels], [labels[0]] * 2) if target == "pawsx" else ANSWERS.get(target, ANSWERS["xquad"])
        predicted = ["no idea" if answer is None else answer for answer in predicted]
        phase = "retrieval" if target in ("bucc", "tatoeba") else "target"
        answers = dict.fromkeys(TASKS[target].languages, (gold, predicted))
        write_scored_run(folder / target, target, answers, lineage, seed, phase=phase)


def test_a_submission_has_nine_folders_and_scores_as_the_runs_did(tmp_path, capsys):
    write_all_nine(tmp_path / "out")
    assert run_report.main([str(tmp_path / "out"), "--submission", str(tmp_path / "x"), "--row", "baseline"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/x: nine tasks, all languages\n"
    assert {path.name for path in (tmp_path / "x").iterdir()} == {*XTREME_METRIC, "bucc2018"} - {"bucc"}
    assert sum(1 for _ in (tmp_path / "x").rglob("test-*")) == sum(len(TASKS[target].languages) for target in XTREME_METRIC)
    for target in XTREME_METRIC:
        shutil.copytree(tmp_path / "out" / target / "labels", tmp_path / "labels", dirs_exist_ok=True)
    scores = score_folders(tmp_path / "x", tmp_path / "labels", "zero")
    average = tables.summary(Analysis(collect([tmp_path / "out"]), resamples=0)).rows[0][-3].value
    assert sum(result["score"] for result in scores.values()) / 9 == pytest.approx(average, abs=1e-9)
    assert run_report.main([str(tmp_path / "out"), "--submission", str(tmp_path / "x"), "--row", "baseline"]) == 2
    assert "holds something already" in capsys.readouterr().err


def test_a_submission_names_all_that_is_missing_or_wrong(tmp_path, capsys):
    write_all_nine(tmp_path / "out")
    predictions = {target: tmp_path / "out" / target / "predictions" for target in XTREME_METRIC}
    (predictions["xnli"] / "xnli/test-de.tsv").unlink()
    (predictions["pawsx"] / "pawsx/test-ko.tsv").write_text(TASKS["pawsx"].labels[0] + "\n")
    (predictions["udpos"] / "udpos/test-fr.tsv").write_text("NOUN\n\nDET\nNOUN\nNOUN\n\nX\n\n")
    (predictions["panx"] / "panx/test-ru.tsv").write_text("B-XYZ\n")
    (predictions["mlqa"] / "mlqa/test-hi.json").write_text('{"0": "x", "z": "y"}')
    (predictions["bucc"] / "bucc2018/test-zh.tsv").write_text("a\tb\na\tb\n")
    shutil.rmtree(tmp_path / "out/tydiqa")
    assert run_report.main([str(tmp_path / "out"), "--submission", str(tmp_path / "x"), "--row", "baseline"]) == 1
    lines = capsys.readouterr().out.splitlines()
    for said in (
        "xnli de: .*test-de.tsv is missing",
        "pawsx ko: 1 rows, the labels have 2",
        "udpos fr: 1 sentences with another number of tags",
        "panx ru: .*'B-XYZ' is not a label",
        "mlqa hi: 2 questions without an answer, 1 answers without a question",
        "bucc zh: 1 pairs stand there twice",
        "tydiqa: no run of baseline with seed 42",
        ".*not whole, .* things are missing",
    ):
        assert any(re.match(said, line) for line in lines), said


RANKED = {"q1": ["a", "b"], "q2": ["c"]}, {"q1": ["a", "x", "b"], "q2": ["x", "y"]}
FOUND = {"m1": ["Q1"], "m2": ["Q2"]}, {"m1": ["Q1", "Q3"], "m2": ["Q3", "Q2"]}


def write_all_ten(folder, seed=42):
    """A run of each task of XTREME-R, in all its languages."""
    special = {"xcopa": ([0, 1, 1, 0], [0, 1, 0, 0]), "lareqa": RANKED, "mewsli_x": FOUND}
    for target in XTREME_R_METRIC:
        gold, predicted = special.get(target) or ANSWERS.get(target, ANSWERS["xquad"])
        predicted = ["no idea" if answer is None else answer for answer in predicted] if isinstance(predicted, list) else predicted
        phase = "retrieval" if target in ("lareqa", "mewsli_x", "tatoeba") else "target"
        answers = dict.fromkeys(with_languages_of(TASKS[target], "xtreme-r").languages, (gold, predicted))
        write_scored_run(folder / target, target, answers, (), seed, phase=phase, benchmark="xtreme-r")


def test_a_submission_to_xtreme_r_has_ten_tasks_and_scores_as_the_runs_did(tmp_path, capsys):
    write_all_ten(tmp_path / "out")
    argv = [str(tmp_path / "out"), "--submission", str(tmp_path / "x"), "--row", "baseline", "--benchmark", "xtreme-r"]
    assert run_report.main(argv) == 0
    said = f"{tmp_path}/x: ten tasks, all languages; LAReQA, which its evaluator cannot read, in not_read_by_xtreme_r\n"
    assert capsys.readouterr().out == said
    folders = {"xnli", "xcopa", "udpos", "panx", "xquad", "mlqa", "tydiqa", "mewslix", "tatoeba"}
    assert {path.name for path in (tmp_path / "x").iterdir()} == {*folders, "not_read_by_xtreme_r"}
    counts = {path.name: len([*path.iterdir()]) for path in (tmp_path / "x").iterdir()}
    assert counts == {"xnli": 15, "xcopa": 11, "udpos": 38, "panx": 48, "xquad": 12, "mlqa": 7, "tydiqa": 9, "mewslix": 11, "tatoeba": 41,
                      "not_read_by_xtreme_r": 1}  # fmt: skip
    assert len([*(tmp_path / "x/not_read_by_xtreme_r/lareqa").glob("test-*.json")]) == 11
    assert {path.suffix for path in (tmp_path / "x/xcopa").iterdir()} == {".jsonl"}
    shutil.move(tmp_path / "x/not_read_by_xtreme_r/lareqa", tmp_path / "x/lareqa")
    for target in XTREME_R_METRIC:
        shutil.copytree(tmp_path / "out" / target / "labels", tmp_path / "labels", dirs_exist_ok=True)
    scores = score_folders(tmp_path / "x", tmp_path / "labels", "zero", "xtreme-r")
    table = tables.summary(Analysis(collect([tmp_path / "out"]), resamples=0))
    assert table.head[-4:] == ["XTREME", "XTREME-R", "seeds", "failed tries"] and table.rows[0][-4].text == "—"
    assert sum(scores[target]["score"] for target in XTREME_R_METRIC) / 10 == pytest.approx(table.rows[0][-3].value, abs=1e-9)
    assert not any(note.startswith("No XTREME-R average") for note in table.notes)
    assert run_report.main([str(tmp_path / "out"), "--submission", str(tmp_path / "y"), "--row", "baseline"]) == 1
    assert re.search("pawsx: no run of baseline", capsys.readouterr().out), "XTREME's is another one"


def test_a_submission_to_xtreme_r_names_all_that_is_missing_or_wrong(tmp_path, capsys):
    write_all_ten(tmp_path / "out")
    predictions = {target: tmp_path / "out" / target / "predictions" for target in XTREME_R_METRIC}
    (predictions["xquad"] / "xquad/test-ro.json").unlink()
    (predictions["xcopa"] / "xcopa/test-qu.jsonl").write_text('{"label": 0}\n')
    (predictions["xcopa"] / "xcopa/test-sw.jsonl").write_text('{"label": 2}\n' * 4)
    (predictions["tatoeba"] / "tatoeba/test-uk.tsv").write_text("0\n1\n")
    (predictions["lareqa"] / "lareqa/test-th.json").write_text('{"q1": ["a"], "q3": ["a"]}')
    (predictions["mewsli_x"] / "mewslix/test-fa.json").write_text(json.dumps({"m1": [f"Q{n}" for n in range(21)], "m2": ["Q2"]}))
    for kind in ("labels", "predictions"):  # as the adapter numbers mentions that have no name
        text = (tmp_path / "out/mewsli_x" / kind / "mewslix/test-uk.json").read_text()
        (tmp_path / "out/mewsli_x" / kind / "mewslix/test-uk.json").write_text(text.replace('"m', '"uk-'))
    results = json.loads((tmp_path / "out/panx/results.json").read_text())
    (tmp_path / "out/panx/results.json").write_text(json.dumps({**results, "max_predict_samples": 3}))
    shutil.rmtree(tmp_path / "out/mlqa")
    argv = [str(tmp_path / "out"), "--submission", str(tmp_path / "x"), "--row", "baseline", "--benchmark", "xtreme-r"]
    assert run_report.main(argv) == 1
    lines = capsys.readouterr().out.splitlines()
    wanted = (
        "xquad ro: .*test-ro.json is missing", "xcopa qu: 1 rows, the labels have 4", r"xcopa sw: .*test-sw.jsonl:1: .* 0 to 1",
        "tatoeba uk: 2 rows, the labels have 4", "lareqa th: 1 questions without an answer, 1 answers without a question",
        "mewsli_x fa: 1 mentions with more than 20 entities, the first is m1", "mewsli_x uk: the data named no example_id",
        "panx: the first 3 examples of each language alone", "mlqa: no run of baseline", ".*not whole, 9 things are missing or wrong",
    )  # fmt: skip
    for said in wanted:
        assert any(re.match(said, line) for line in lines), said
    assert len(lines) == len(wanted)


@pytest.mark.parametrize("flags, said", [
    (["--benchmark", "xtreme-r"], "--seed and --benchmark go with them"),
    (["--submission", "{}/x"], "go together"),
    (["--row", "mnli"], "go together"),
    (["--seed", "3"], "go together"),
    (["--submission", "{}/x", "--row", "mnly"], "--row mnly: no such row"),
    (["--submission", "{}/x", "--row", "baseline", "--seed", "3"], "--seed 3: baseline has the seeds 42."),
])  # fmt: skip
def test_mistakes_about_a_submission_are_one_line(tmp_path, capsys, flags, said):
    write_run(tmp_path / "good", "xquad", {"de": 1.0})
    assert run_report.main([str(tmp_path), *(flag.format(tmp_path) for flag in flags)]) == 2
    assert said in capsys.readouterr().err


# ---- matrices of two languages


def matrix(*rows, f1=False):
    """{language: {language: value}} over en, de, ar, as results.json has it."""
    languages = ("ar", "de", "en")
    return {question: {other: {"f1": value, "exact_match": 0.0, "examples": 3} if f1 else value for other, value in zip(languages, row)}
            for question, row in zip(languages, rows)}  # fmt: skip


def write_matrices(folder):
    plain = {language: 50.0 for language in ("ar", "de", "en")}
    write_run(folder / "a", "mlqa", plain, seed=1, g_xlt=matrix((60.0, 20.0, 10.0), (30.0, 70.0, 50.0), (40.0, 60.0, 80.0), f1=True))
    write_run(folder / "b", "mlqa", plain, seed=2, g_xlt=matrix((62.0, 24.0, 10.0), (30.0, 70.0, 50.0), (40.0, 60.0, 80.0), f1=True))
    write_run(folder / "c", "mlqa", plain, after("mnli", 1), 1)
    write_run(folder / "d", "lareqa", {language: 30.0 for language in plain}, phase="retrieval",
              language_bias=matrix((90.0, 10.0, 20.0), (30.0, 80.0, 40.0), (5.0, 15.0, 70.0)))  # fmt: skip


def test_matrices_of_two_languages_are_tables_and_pictures(tmp_path):
    write_matrices(tmp_path / "out")
    run_report.write_report([tmp_path / "out"], tmp_path / "report", resamples=0)
    made = {table.name: table for table in tables.all_tables(Analysis(collect([tmp_path / "out"]), resamples=0))}
    g_xlt, bias = made["g_xlt_mlqa"], made["language_bias_lareqa"]
    assert g_xlt.head == ["trained on", "questions in / contexts in", "en", "ar", "de", "mean"]
    assert [[cell.text for cell in row] for row in g_xlt.rows] == [
        ["baseline", "en", "80.0", "40.0", "60.0", "60.0"],
        ["baseline", "ar", "10.0", "61.0", "22.0", "31.0"],  # the mean over two seeds
        ["baseline", "de", "50.0", "30.0", "70.0", "50.0"],
    ], "a row without a matrix has none here"
    assert [row[-1].text for row in bias.rows] == ["+60.0", "+75.0", "+45.0"], "en: 70 - (5 + 15) / 2"
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert {"g_xlt_mlqa.png", "g_xlt_mlqa.csv", "language_bias_lareqa.svg", "language_bias_lareqa.tex"} <= names
    page = (tmp_path / "report/report.html").read_text()
    assert "lareqa: language bias" in page and "mlqa: questions in one language, contexts in another (F1); in percent" in page


@pytest.mark.parametrize("broken, said", [
    ({"g_xlt": {"en": {"en": {"exact_match": 1.0}}}}, "g_xlt.en.en.f1 is missing"),
    ({"g_xlt": {"en": {"en": 3.0}}}, "g_xlt.en.en is 3.0, not an object"),
    ({"language_bias": {"en": [1.0]}}, r"language_bias.en is \[1.0\], not an object"),
    ({"language_bias": {"en": {"de": "x"}}}, "language_bias.en.de is 'x', not a whole number or a number"),
])  # fmt: skip
def test_a_matrix_that_no_run_writes_is_named(tmp_path, broken, said):
    write_run(tmp_path / "a", "mlqa", {"en": 50.0}, **broken)
    write_run(tmp_path / "b", "mlqa", {"en": 50.0}, seed=2)
    (problem,) = collect([tmp_path]).problems
    assert problem.kind == "damaged" and re.fullmatch(said, problem.what)


def test_a_run_without_its_predictions_is_named_where_others_have_theirs(tmp_path):
    rng = np.random.default_rng(0)
    write_run(tmp_path / "a", "xnli", {"de": 50.0, "en": 50.0})
    write_run(tmp_path / "b", "xnli", {"de": 50.0, "en": 50.0}, after("mnli", 42))
    analysis = Analysis(collect([tmp_path]), resamples=100)
    assert not analysis.problems and "Without predictions to resample: xnli." in tables.differences(analysis).notes
    answers = {language: nli_answers(rng, 0.5, 4) for language in ("de", "en")}
    write_scored_run(tmp_path / "c", "xnli", answers, after("qqp", 42))
    (problem, other) = Analysis(collect([tmp_path]), resamples=100).problems
    assert (Path(problem.folder).name, Path(other.folder).name) == ("a", "b") and problem.what.endswith("test-en.tsv is missing")


XLMR_LARGE = {"model": {"name_or_path": "FacebookAI/xlm-roberta-large"}, "layer": 14, "max_seq_length": 256}


@pytest.mark.parametrize("changed, is_shown", [
    ({}, True), ({"layer": 7}, False), ({"max_seq_length": 512}, False), ({"model": {"name_or_path": "xlm-roberta-base"}}, False),
])  # fmt: skip
def test_a_published_score_stands_beside_runs_under_the_same_conditions_alone(tmp_path, changed, is_shown):
    write_run(tmp_path / "a", "tatoeba", {"de": 60.0, "fr": 40.0}, phase="retrieval", **XLMR_LARGE | changed)
    rows = tables.summary(Analysis(collect([tmp_path]), resamples=0)).rows
    published = [[cell.text for cell in row] for row in rows if row[0].text.startswith("published")]
    assert published == ([[published[0][0], "56.0", "", "", ""]] if is_shown else []), "(63.9 + 48.1) / 2"


@pytest.mark.parametrize("part, is_said", [("dev", False), ("test gold: not comparable with XTREME", True)])
def test_thresholds_chosen_on_the_scored_gold_are_said_below_the_table(tmp_path, part, is_said):
    write_run(tmp_path / "a", "bucc", {"de": 12.0}, phase="retrieval", mining={"de": {"threshold_from": part}})
    notes = tables.summary(Analysis(collect([tmp_path]), resamples=0)).notes
    assert any("bucc: thresholds were chosen on the gold that is scored" in note for note in notes) == is_said


def test_the_dots_of_a_language_stand_in_the_order_of_the_legend(tmp_path):
    rng = np.random.default_rng(0)
    for start, share in (((), 0.5), (after("mnli", 42), 0.6), (after("squad_v1", 42), 0.7)):
        write_scored_run(tmp_path / f"{start[0]['task'] if start else 0}", "xnli", {"de": nli_answers(rng, share)}, start)
    analysis = Analysis(collect([tmp_path]), resamples=100)
    with pictures.style():
        axes = pictures.language_dots(analysis, analysis.columns[0], analysis.models[0])[0].axes[0]
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["baseline", "mnli", "squad_v1", "chance"]
    heights = {line.get_marker(): float(line.get_ydata()[0]) for line in axes.lines if line.get_marker() in pictures.MARKERS}
    assert heights["o"] > heights["s"] > heights["D"], "the baseline on top"


def test_dots_without_intervals_have_no_bars_and_of_very_many_languages_the_extremes_are_drawn(tmp_path):
    languages = TASKS["sib200"].languages
    write_run(tmp_path / "a", "sib200", {language: 20.0 + place / 4 for place, language in enumerate(languages)})
    analysis = Analysis(collect([tmp_path]), resamples=0)
    with pictures.style():
        figure, caption = pictures.language_dots(analysis, analysis.columns[0], analysis.models[0])
    axes = figure.axes[0]
    bars = [path.vertices for lines in axes.collections for path in lines.get_paths()]
    assert all(float(ends[0][0]) == float(ends[-1][0]) for ends in bars), "a bar from 0 to 100 would say that nothing is known"
    names = [label.get_text() for label in axes.get_yticklabels()]
    half = pictures.MOST_LANGUAGES // 2
    assert names == [*languages[:half], *languages[-half:]] and f"{len(languages) - 2 * half} languages between" in caption


def test_black_dots_are_the_baselines_alone(tmp_path):
    write_run(tmp_path / "b", "tatoeba", {"de": 30.0, "fr": 20.0}, after("mnli", 42), phase="retrieval")
    analysis = Analysis(collect([tmp_path]), resamples=0)
    with pictures.style():
        axes = pictures.language_dots(analysis, analysis.columns[0], analysis.models[0])[0].axes[0]
    assert {line.get_color() for line in axes.lines if line.get_marker() in pictures.MARKERS} == {pictures.COLOURS[1]}


def test_gains_are_drawn_only_where_there_is_a_baseline(tmp_path):
    """A target that was scored after an intermediate task alone has no gains: its panel would be empty, and a legend without dots."""
    write_run(tmp_path / "a", "xnli", {"de": 50.0, "zh": 40.0})
    write_run(tmp_path / "b", "tatoeba", {"de": 30.0, "fr": 20.0}, after("mnli", 42), phase="retrieval")
    analysis = Analysis(collect([tmp_path]), resamples=0)
    assert pictures.gains(analysis, analysis.models[0]) == (None, "")
    for made in (tables.group_table(analysis, "family"), tables.correlation_table(analysis)):
        assert not made.rows or "without a baseline" in made.notes[0], "what the numbers of such a row are"
    write_run(tmp_path / "c", "xnli", {"de": 52.0, "zh": 40.0}, after("squad_v1", 42))
    analysis = Analysis(collect([tmp_path]), resamples=0)
    with pictures.style():
        figure, _ = pictures.gains(analysis, analysis.models[0])
    assert [axes.get_title() for axes in figure.axes] == ["xnli", ""]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["squad_v1"]


def test_training_curves_are_drawn_of_runs_that_evaluated_more_than_once(tmp_path):
    rng = np.random.default_rng(0)
    answers = {"de": nli_answers(rng, 0.5, 30)}
    log = [
        {"step": 1, "loss": 2.0},
        {"step": 100, "eval_accuracy": 40.0},
        {"step": 200, "eval_accuracy": 50.0},
        "x",
        {"eval_accuracy": "y"},
    ]
    write_scored_run(tmp_path / "out/a", "xnli", answers, training={"log": log})
    assert pictures.dev_scores(tmp_path / "out/a", "accuracy") == [(100, 40.0), (200, 50.0)]
    run_report.write_report([tmp_path / "out"], tmp_path / "report", ["html"], resamples=0)
    assert (tmp_path / "report/training_xnli.svg").exists()
    write_scored_run(tmp_path / "none/a", "xnli", answers, training={"log": 5})
    run_report.write_report([tmp_path / "none"], tmp_path / "other", ["html"], resamples=0)
    assert not (tmp_path / "other/training_xnli.svg").exists() and (tmp_path / "other/languages_xnli.svg").exists()
