"""Our metrics as a local module of `evaluate`: loaded by path, offline, with the scores of metrics.py."""

import os
import subprocess
import sys

import evaluate
import pytest
from conftest import ROOT

import metrics

FOLDER = str(ROOT / "evaluate_modules" / "xtreme")
TAGS, GUESSES = [["NOUN", "NOUN", "SCONJ"], ["VERB"]], [["NOUN", "ADJ", "CCONJ"], ["VERB"]]
ENTITIES, FOUND = [["B-PER", "I-PER", "O"]], [["B-PER", "O", "O"]]
CASES = {
    "xnli": (["neutral", "entailment"], ["neutral", "neutral"], "de", metrics.accuracy),
    "pawsx": (["0", "1"], ["0", "1"], "de", metrics.accuracy),
    "tatoeba": (["0", "1", "1"], ["0", "1", "2"], "de", metrics.accuracy),
    "udpos": (GUESSES, TAGS, "de", metrics.tag_run_f1),
    "panx": (FOUND, ENTITIES, "de", metrics.entity_f1),
    "xquad": (["the dog", "x"], [["dog"], ["y", "x z"]], "en", metrics.squad_scores),
    "tydiqa": (["the dog"], [["a dog"]], "en", metrics.squad_scores),
    "mlqa": (["das Haus", "我们 好"], [["Haus"], ["我好"]], "de", metrics.mlqa_scores),
}


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(evaluate.config, "HF_MODULES_CACHE", str(tmp_path / "modules"))


@pytest.mark.parametrize("task", CASES)
def test_a_module_gives_the_scores_of_our_metrics(task, tmp_path):
    predictions, references, language, metric = CASES[task]
    module = evaluate.load(FOLDER, task, cache_dir=str(tmp_path))
    assert module.compute(predictions=predictions, references=references, language=language) == metric(references, predictions, language)


def test_mined_pairs_are_one_row_each(tmp_path):
    gold, mined = [["a", "1"], ["b", "2"]], [["a", "1"], ["b", "3"], ["c", "4"]]
    module = evaluate.load(FOLDER, "bucc", cache_dir=str(tmp_path))
    assert module.compute(predictions=[mined], references=[gold]) == metrics.pair_f1(gold, mined, "de")


def test_every_task_of_xtreme_has_a_module_and_another_name_is_refused(tmp_path):
    assert {*CASES, "bucc"} == set(metrics.XTREME_METRIC)
    with pytest.raises(ValueError, match="'squad' is no task of XTREME. They are: xnli, pawsx, "):
        evaluate.load(FOLDER, "squad", cache_dir=str(tmp_path))


def test_the_module_of_a_clone_is_loaded_from_anywhere_offline(tmp_path):
    code = (
        f"import evaluate; m = evaluate.load({FOLDER!r}, 'mlqa');"
        "print(m.compute(predictions=['das Haus'], references=[['Haus']], language='de'))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path,
                             env={**environment, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"})  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[-1] == "{'exact_match': 100.0, 'f1': 100.0}"
