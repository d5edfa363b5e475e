"""Retrieval by every layer: measures of alignment against independent computations, one pass over the text, and the choice of a layer."""

import json
import math
import random
import re
import shutil

import numpy as np
import pandas
import pytest
import torch
from conftest import Cut, launch, text, write_hub_folder
from datasets import Features, Value
from scipy import stats
from test_report import after, write_run

import predictions
import run_report
import run_retrieval
from console import Collapsed
from metrics import AS_THEY_ARE, choose_layer
from report import pictures, tables
from report.analysis import Analysis
from report.collect import collect
from task_adapters import InputError
from task_types import layers
from task_types.alignment import CENTRED, NO_OUTLIERS, anc, isoscore, measures, variants

PAIRS = Features({name: Value("string") for name in ("source_sentence", "target_sentence", "source_lang", "target_lang")})
METRICS = ("accuracy", "foreign_to_english", "cosine_difference", "margin", "anc", "isoscore")


def clouds(n=60, width=12, seed=0):
    """Two sides of n pairs with different means, scales and noise, in double precision."""
    rng = np.random.default_rng(seed)
    meaning = rng.normal(size=(n, width)) * rng.uniform(0.1, 3, width)
    return tuple(torch.from_numpy(meaning + rng.normal(size=(n, width)) + rng.normal(size=width) * 4) for _ in range(2))


# ---- measures


def test_anc_is_the_mean_of_scipys_correlations():
    english, foreign = clouds()
    expected = np.mean([stats.pearsonr(english[:, place], foreign[:, place]).statistic for place in range(12)])
    assert anc(english, foreign) == pytest.approx(expected, abs=1e-12)
    assert anc(english, -english) == pytest.approx(-1), "signed"
    english[:, 0] = 3.0
    others = [stats.pearsonr(english[:, place], foreign[:, place]).statistic for place in range(1, 12)]
    assert anc(english, foreign) == pytest.approx(sum(others) / 12, abs=1e-12), "a constant dimension counts as 0"


def published_isoscore(points):
    """The steps of Rudman et al. (2022): rotate to principal components, scale their variances, measure the distance, rescale."""
    n, d = points.shape
    rotated = (points - points.mean(0)) @ np.linalg.svd(points - points.mean(0), full_matrices=True)[2].T
    variances = np.diag(np.cov(rotated.T))
    scaled = math.sqrt(d) * variances / np.linalg.norm(variances)
    defect = np.linalg.norm(scaled - 1) / math.sqrt(2 * (d - math.sqrt(d)))
    used = (d - defect**2 * (d - math.sqrt(d))) ** 2 / d
    return (used - 1) / (d - 1)


@pytest.mark.parametrize("n, width", [(60, 12), (9, 12), (2000, 3)])
def test_isoscore_is_that_of_the_published_steps(n, width):
    points = clouds(n, width)[0]
    assert isoscore(points) == pytest.approx(published_isoscore(points.numpy()), abs=1e-9)
    assert isoscore(points.float() * 1e6) == pytest.approx(published_isoscore(points.numpy()), abs=1e-6), "in single precision too"


def test_isoscore_is_one_for_a_sphere_and_zero_for_a_line():
    axes = torch.eye(5, dtype=torch.float64)
    assert isoscore(torch.cat([axes, -axes])) == pytest.approx(1, abs=1e-12)
    assert isoscore(torch.cat([axes[:1], -axes[:1]])) == pytest.approx(0, abs=1e-12)
    assert math.isnan(isoscore(torch.ones(4, 5))), "nothing varies"


def test_isoscore_is_that_of_the_authors_package():
    """pip install IsoScore (2.0.1), in no requirements file: tests of a plain checkout skip this one."""
    package = pytest.importorskip("IsoScore.IsoScore")
    for n, width in ((200, 12), (3000, 40)):
        points = clouds(n, width)[0]
        assert isoscore(points) == pytest.approx(float(package.IsoScore(points)), abs=1e-6)


def test_cosines_accuracies_and_margins_are_those_of_a_loop():
    english, foreign = clouds(40, 6, seed=3)
    found = measures(english.float(), foreign.float())
    unit, other = (side / side.norm(dim=1, keepdim=True) for side in (english, foreign))
    product = (unit @ other.T).numpy()
    pairs, rest = product.diagonal(), product[~np.eye(40, dtype=bool)]
    nearest = np.sort(product, 1)[:, -4:].mean(1), np.sort(product, 0)[-4:].mean(0)
    assert found["accuracy"] == pytest.approx(100 * (product.argmax(1) == range(40)).mean())
    assert found["foreign_to_english"] == pytest.approx(100 * (product.argmax(0) == range(40)).mean())
    assert 0 < found["accuracy"] < 100 and found["accuracy"] != found["foreign_to_english"]
    assert found["cosine_difference"] == pytest.approx(pairs.mean() - rest.mean(), abs=1e-6)
    assert found["margin"] == pytest.approx((pairs - (nearest[0] + nearest[1]) / 2).mean(), abs=1e-6)
    assert found["isoscore"] == pytest.approx(isoscore(torch.cat([english, foreign])), abs=1e-6)
    assert tuple(found) == METRICS


def test_means_of_languages_and_dimensions_of_largest_mean_are_removed():
    english, foreign = clouds()
    for side in (english, foreign):
        side[:, [2, 7, 11]] += torch.tensor([50.0, -90.0, 30.0])  # the largest by absolute value
    changed = variants(english, foreign)
    assert torch.equal(changed[AS_THEY_ARE][0], english)
    for side in changed[CENTRED]:
        torch.testing.assert_close(side.mean(0), torch.zeros(12, dtype=torch.float64))
    rest = [place for place in range(12) if place not in (2, 7, 11)]
    assert torch.equal(changed[NO_OUTLIERS][1], foreign[:, rest])
    plain, centred = (measures(*(side.float() for side in changed[name])) for name in (AS_THEY_ARE, CENTRED))
    assert plain["cosine_difference"] < 0.1 < centred["cosine_difference"], "outliers hide in the cosine what pairs have in common"
    assert variants(english[:, :2], foreign[:, :2])[NO_OUTLIERS][0].shape == (60, 1), "of two dimensions one is left"


# ---- one pass over the text


@pytest.fixture(scope="module")
def tatoeba_dir(tmp_path_factory):
    """Three languages of Tatoeba. A source is the English text with some other words, so that layers find some and not all."""
    root, rng = tmp_path_factory.mktemp("tatoeba"), random.Random(5)
    for code in ("deu", "fra", "spa"):
        english = list(dict.fromkeys(text(rng, "en") for _ in range(60)))[:30] + ["the shared sentence ."]
        rows = [{"source_sentence": " ".join(line.split()[rng.randrange(2) :] + text(rng, "de").split()[: rng.randrange(6)]),
                 "target_sentence": line, "source_lang": "x", "target_lang": "eng"} for line in english]  # fmt: skip
        write_hub_folder(root, "google/xtreme", f"tatoeba.{code}", "validation", rows, PAIRS)
    return root


@pytest.fixture
def retrieve(call, tiny_model, tatoeba_dir):
    """retrieve(output_dir, flags ...): run_retrieval.py on the tiny model, German, Spanish and French."""

    def run(output_dir, *flags, languages=("de", "es", "fr"), model=tiny_model):
        where = ("--data_dir", tatoeba_dir, "--output_dir", output_dir, "--model_name_or_path", model, "--use_cpu")
        return call(run_retrieval, "--task", "tatoeba", *where, "--max_seq_length", 64, "--batch_tokens", 512,
                    *(("--languages", *languages) if languages else ()), *flags)  # fmt: skip

    return run


def record(results, language, layer, pooling="mean", vectors=AS_THEY_ARE):
    (found,) = [part for part in results["by_layer"][language]
                if (part["layer"], part["pooling"], part["vectors"]) == (layer, pooling, vectors)]  # fmt: skip
    return found


def test_every_layer_and_pooling_is_what_a_run_of_this_layer_finds(retrieve, tmp_path):
    results = retrieve(tmp_path / "all", "--layer", 1, "--layers", "all")
    assert results == json.loads((tmp_path / "all/results.json").read_text(encoding="utf-8"))
    assert {len(records) for records in results["by_layer"].values()} == {3 * 2 * 3}, "layers, poolings, vectors"
    seen = set()
    for layer in (0, 1, 2):
        for pooling in ("mean", "cls"):
            if (layer, pooling) == (0, "cls"):
                continue  # all first tokens are equal there, up to rounding
            one = retrieve(tmp_path / f"{layer}{pooling}", "--layer", layer, "--pooling", pooling)
            for language, scores in one["scores"].items():
                found = record(results, language, layer, pooling)
                for name in ("accuracy", "foreign_to_english"):
                    assert found[name] == pytest.approx(scores[name], abs=1e-4), (layer, pooling, language)
                seen.add(scores["accuracy"])
            if (layer, pooling) == (1, "mean"):
                assert one["scores"] == results["scores"] and "by_layer" not in one
    assert len(seen) > 4, "layers and poolings that find the same would show nothing"
    for name in ("predictions", "labels"):
        for language in ("de", "es", "fr"):
            paths = [tmp_path / run / name / "tatoeba" / f"test-{language}.tsv" for run in ("all", "1mean")]
            assert paths[0].read_bytes() == paths[1].read_bytes()
    arrays = [np.load(tmp_path / run / "predictions/tatoeba/test-de.npz") for run in ("all", "1mean")]
    assert all(np.array_equal(arrays[0][name], arrays[1][name]) for name in ("similarity", "margin", "right"))
    assert not [path for path in (tmp_path / "all").iterdir() if path.name.startswith("tmp")], "the vectors are gone"


def test_all_layers_are_read_in_one_pass_over_the_text(retrieve, tmp_path, monkeypatch):
    from transformers import XLMRobertaModel

    passes, forward = [], XLMRobertaModel.forward
    monkeypatch.setattr(XLMRobertaModel, "forward", lambda self, *args, **inputs: passes.append(len(inputs["input_ids"])) or forward(
        self, *args, **inputs))  # fmt: skip
    retrieve(tmp_path / "one", "--layer", 2)
    one, passes[:] = sum(passes), []
    retrieve(tmp_path / "all", "--layer", 2, "--layers", "all")
    assert sum(passes) == one, "each different sentence once"


def test_a_list_of_layers_is_measured_in_order_and_the_model_ends_behind_the_last(retrieve, tmp_path, monkeypatch):
    depths = []
    monkeypatch.setattr(layers, "hidden_states", lambda model, inputs, read, real=layers.hidden_states: depths.append(
        len(model.encoder.layer)) or real(model, inputs, read))  # fmt: skip
    results = retrieve(tmp_path, "--layer", 0, "--layers", 1)
    assert [part["layer"] for part in results["by_layer"]["de"]] == [0] * 6 + [1] * 6 and set(depths) == {1}
    assert results["layers"] == ["1"] and results["layer"] == 0
    with pytest.raises(InputError, match=r"holds a run with layers \['1'\]; this command says None"):
        retrieve(tmp_path, "--layer", 0)


def test_only_one_layer_of_one_language_is_in_memory(retrieve, tmp_path, monkeypatch):
    held, at = [], layers.States.at

    def watched(self, *where):
        vectors = at(self, *where)
        held.append(vectors.numel())
        assert isinstance(self.vectors, np.memmap) and self.vectors.filename is None, "a file without a name"
        return vectors

    monkeypatch.setattr(layers.States, "at", watched)
    retrieve(tmp_path, "--layer", 1, "--layers", "all")
    assert max(held) <= 64 * (3 * 30 + 1), "of English when it is checked; 64 is the width"


def test_a_run_cut_off_goes_on_with_the_next_language(retrieve, tmp_path, cut, monkeypatch):
    flags = ("--layer", 1, "--layers", "all")
    whole = retrieve(tmp_path / "whole", *flags)
    undo = cut(predictions, "write_predictions", lambda root, name, language, predicted: language == "es")
    with pytest.raises(Cut):
        retrieve(tmp_path / "cut", *flags)
    undo()
    measured, measure = [], layers.LayerSearch.measured
    monkeypatch.setattr(layers.LayerSearch, "measured", lambda self, language, read: measured.append(language) or measure(
        self, language, read))  # fmt: skip
    results = retrieve(tmp_path / "cut", *flags)
    assert measured == ["es", "fr"] and results["by_layer"] == whole["by_layer"]


def test_vectors_that_are_no_numbers_end_the_run_with_the_name_of_the_layer(retrieve, tiny_model, tmp_path):
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(tiny_model)
    with torch.no_grad():
        model.encoder.layer[1].output.dense.weight[0, 0] = math.nan
    model.save_pretrained(tmp_path / "broken"), AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path / "broken")
    with pytest.raises(Collapsed, match="en: .* vectors of layer 2 are not finite numbers"):
        retrieve(tmp_path / "out", "--layer", 1, "--layers", "all", model=tmp_path / "broken")


def test_two_processes_measure_what_one_does(retrieve, tatoeba_dir, tiny_model, tmp_path):
    flags = ("--task", "tatoeba", "--languages", "de", "fr", "--data_dir", tatoeba_dir, "--model_name_or_path", tiny_model, "--layer",
             "best", "--max_seq_length", 64, "--batch_tokens", 128, "--use_cpu")  # fmt: skip
    launch("run_retrieval.py", *flags, "--output_dir", tmp_path / "2", processes=2)
    one, two = retrieve(tmp_path / "1", "--layer", "best", languages=("de", "fr")), json.loads((tmp_path / "2/results.json").read_text())
    assert two["world_size"] == 2 and one["scores"] == two["scores"] and one["layer_choice"] == two["layer_choice"]
    for language in ("de", "fr"):
        for a, b in zip(one["by_layer"][language], two["by_layer"][language], strict=True):
            assert (a["pooling"], a["layer"]) == ("cls", 0) or a == pytest.approx(b, abs=1e-4)


def test_a_full_disk_is_said_before_anything_is_embedded(retrieve, tmp_path, monkeypatch):
    def full(descriptor, start, size):
        assert size == 4 * 3 * 2 * 64 * len(set(english))
        raise OSError(28, "No space left on device")

    english = [str(number) for number in range(7)]
    monkeypatch.setattr(layers.os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        layers.States(english, [0, 1, 2], type("M", (), {"config": type("C", (), {"hidden_size": 64})}), None, 8, 8,
                      type("A", (), {"device": torch.device("cpu")}), tmp_path)  # fmt: skip


# ---- the layer that is best on other languages


def test_a_language_has_no_say_in_its_own_layer():
    curves = {"de": {0: 10.0, 1: 90.0, 2: 20.0}, "fr": {0: 5.0, 1: 6.0, 2: 60.0}, "es": {0: 50.0, 1: 8.0, 2: 50.0}}
    choice = choose_layer("de", curves)
    assert choice == {"layer": 2, "chosen_on": ["fr", "es"], "best_on_test": {"layer": 1, "accuracy": 90.0}}
    for own in ({0: 0.0, 1: 0.0, 2: 100.0}, {0: 100.0, 1: 0.0, 2: 0.0}):
        assert choose_layer("de", {**curves, "de": own})["layer"] == 2
    assert choose_layer("es", {"es": curves["es"], "fr": dict.fromkeys((0, 1, 2), 3.0)})["layer"] == 0, "the first of equal ones"
    assert choose_layer("es", curves)["best_on_test"] == {"layer": 0, "accuracy": 50.0}


def test_each_language_is_scored_at_the_layer_that_is_best_on_the_others(retrieve, tmp_path, monkeypatch, capsys):
    curves = {"de": {0: 1.0, 1: 2.0, 2: 9.0}, "es": {0: 30.0, 1: 20.0, 2: 1.0}, "fr": {0: 1.0, 1: 8.0, 2: 1.0}}
    places = iter(sorted(curves))
    asked = {}
    monkeypatch.setattr(layers, "layer_accuracies", lambda records, pooling: asked.setdefault(id(records), curves[next(places, "de")])
                        if id(records) not in asked else asked[id(records)])  # fmt: skip
    results = retrieve(tmp_path / "best", "--layer", "best")
    # de: es and fr have 31, 28, 2. es: de and fr have 2, 10, 10. fr: de and es have 31, 22, 10.
    assert {language: choice["layer"] for language, choice in results["layer_choice"].items()} == {"de": 0, "es": 1, "fr": 0}
    assert results["layer_choice"]["es"]["chosen_on"] == ["de", "fr"]
    assert "layer, chosen on the other languages: de 0, es 1, fr 0" in capsys.readouterr().out
    assert results["layer"] == "best" and results["layers"] == ["all"]
    for language, layer in (("de", 0), ("es", 1), ("fr", 0)):
        one = retrieve(tmp_path / language, "--layer", layer, languages=(language,))
        assert one["scores"][language] == results["scores"][language]
        files = [tmp_path / run / f"predictions/tatoeba/test-{language}.tsv" for run in ("best", language)]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_a_cut_off_choice_is_made_anew_on_all_languages(retrieve, tmp_path, cut):
    whole = retrieve(tmp_path / "whole", "--layer", "best")
    undo = cut(predictions, "write_predictions", lambda root, name, language, predicted: language == "es")
    with pytest.raises(Cut):
        retrieve(tmp_path / "cut", "--layer", "best")
    undo()
    results = retrieve(tmp_path / "cut", "--layer", "best")
    assert results["layer_choice"] == whole["layer_choice"] and results["scores"] == whole["scores"]


@pytest.mark.parametrize("flags, said", [
    ("", "^--layer 14 is the default, for the 24 blocks of XLM-R Large, and '.*' has 2 blocks: --layer 0 .* to 2, or last, would be right"),
    ("--layers 1", "^--layer 14 is the default"),
    ("--layer 14", "^--layer 14: '.*' has 2 blocks: --layer 0 .the output of the embeddings. to 2, or last, would be right"),
    ("--layer 1 --layers 0 7", "^--layers 7: '.*' has 2 blocks: --layers 0 .the output of the embeddings. to 2, or all, would be right"),
    ("--layer first", "--layer first: a number from 0, last, or best"),
    ("--layer -1", "--layer -1: a number from 0, last, or best"),
    ("--layer 1 --layers all 1", "--layers all: numbers from 0, or all alone"),
    ("--layer 1 --layers x", "--layers x: numbers from 0, or all alone"),
    ("--layer 1 --layers 1 1", "--layers names 1 2 times"),
    ("--layer best --languages de", "--layer best is chosen on other languages than the one that is scored: at least two --languages"),
    ("--layer 2 --layers all --pooling pooler", "--pooling pooler stands behind the last layer alone"),
])  # fmt: skip
def test_layers_that_cannot_be_read_are_refused_in_one_line(flags, said, retrieve, tmp_path):
    with pytest.raises(InputError, match=said) as caught:
        retrieve(tmp_path / "out", *flags.split(), languages=() if "--languages" in flags else ("de", "fr"))
    assert "\n" not in str(caught.value) and not list(tmp_path.rglob("run.json"))


@pytest.mark.parametrize(
    "task, recipe, layer", [("tatoeba", "jiant", 14), ("bucc", "jiant", 14), ("bucc", "xtreme", 20), ("lareqa", "jiant", 14)]
)
def test_the_refusal_of_the_default_layer_names_those_that_are_there(task, recipe, layer, call, tiny_model, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "base")
    config = json.loads((tmp_path / "base/config.json").read_text()) | {"num_hidden_layers": 12}
    (tmp_path / "base/config.json").write_text(json.dumps(config))
    flags = ("--task", task, "--recipe", recipe, "--model_name_or_path", tmp_path / "base", "--output_dir", tmp_path / "out", "--use_cpu")
    with pytest.raises(InputError, match=f"^--layer {layer} is the default, .* has 12 blocks: .* to 12, or last, .*XTREME") as caught:
        call(run_retrieval, *flags)
    assert "\n" not in str(caught.value) and not list(tmp_path.rglob("run.json"))


@pytest.mark.parametrize("task", ["bucc", "lareqa"])
@pytest.mark.parametrize("flags, name", [("--layer best", "--layer best"), ("--layer 1 --layers all", "--layers")])
def test_tasks_that_are_mined_or_ranked_have_no_curve(task, flags, name, call, tmp_path):
    with pytest.raises(InputError, match=f"{name} is for pairs of translations, such as tatoeba: {task} would have to be searched anew"):
        call(run_retrieval, "--task", task, "--output_dir", tmp_path / "out", *flags.split())


# ---- the report


def by_layer(curves, missing=()):
    """`by_layer` of a results.json: accuracies {language: [of layer 0, 1, ...]}; other vectors and poolings find one point less each."""
    return {
        language: [
            {"layer": layer, "pooling": pooling, "vectors": vectors, "accuracy": accuracy - p - v,
             **dict.fromkeys(METRICS[1:-1], 0.25), "isoscore": None if layer in missing else 0.125 * layer}
            for layer, accuracy in enumerate(curve) for p, pooling in enumerate(("mean", "cls"))
            for v, vectors in enumerate((AS_THEY_ARE, CENTRED, NO_OUTLIERS))
        ] for language, curve in curves.items()
    }  # fmt: skip


CURVES = {"de": [10.0, 90.0, 20.0], "fr": [5.0, 6.0, 60.0], "es": [50.0, 8.0, 49.0]}


@pytest.fixture
def grid(tmp_path):
    """Two starts of Tatoeba with the same curves, of which the second is 5 points lower; one run without layers."""
    scores = {language: curve[1] for language, curve in CURVES.items()}
    common = {"phase": "retrieval", "layer": 1, "pooling": "mean"}
    write_run(tmp_path / "a", "tatoeba", scores, **common, by_layer=by_layer(CURVES, missing=(0,)))
    lower = {language: [value - 5 for value in curve] for language, curve in CURVES.items()}
    write_run(tmp_path / "b", "tatoeba", scores, after("mnli", 1), **common, by_layer=by_layer(lower))
    write_run(tmp_path / "c", "tatoeba", scores, after("qqp", 1), **common)
    return tmp_path


def test_the_report_shows_accuracy_and_measures_of_every_layer(grid):
    analysis = Analysis(collect([grid]), resamples=0)
    (column,) = analysis.columns
    table = tables.layer_accuracy_table(analysis, column)
    assert table.head == ["trained on", "pooling", "vectors", "0", "1", "2"] and len(table.rows) == 2 * 2 * 3
    rows = {tuple(cell.text for cell in row[:3]): [cell.text for cell in row[3:]] for row in table.rows}
    assert rows["baseline", "mean", AS_THEY_ARE] == ["21.7", "34.7", "43.0*"]
    assert rows["mnli", "cls", NO_OUTLIERS] == ["13.7", "26.7", "35.0*"]
    measured = tables.layer_measures_table(analysis, column)
    rows = {(row[0].text, row[1].text): [cell.text for cell in row[2:]] for row in measured.rows}
    assert rows["baseline", "IsoScore"] == ["—", "0.125", "0.250"] and rows["mnli", "ANC"] == ["0.250"] * 3
    assert rows["baseline", "English to foreign"] == ["21.7", "34.7", "43.0"]


def test_the_report_says_what_choosing_on_the_test_would_have_claimed(grid):
    analysis = Analysis(collect([grid]), resamples=0)
    table = tables.layer_choice_table(analysis, analysis.columns[0])
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}
    # Chosen on the others: de at 2 (20), fr at 1 (means 30, 49, 34.5: 6), es at 1 (7.5, 48, 40: 8): mean 11.3.
    expected = ["43.0 (layer 2)", "11.3 (layer 1–2)", "43.0 (layer 2)", "66.7 (layer 0–2)", "+55.3"]
    assert rows["baseline"] == expected and [*rows] == ["baseline", "mnli"]
    assert rows["mnli"][1] == "6.3 (layer 1–2)"


def test_the_report_keeps_all_records_and_draws_the_curve(grid, tmp_path):
    run_report.write_report([grid], tmp_path / "report", resamples=0)
    values = pandas.read_csv(tmp_path / "report/layers.csv")
    assert len(values) == 2 * 3 * 3 * 2 * 3 and values.accuracy.max() == 90.0
    assert (tmp_path / "report/layers_tatoeba.png").stat().st_size > 10_000
    assert "accuracy from English by layer" in (tmp_path / "report/report.html").read_text(encoding="utf-8")
    assert {"layers_tatoeba", "alignment_tatoeba", "layer_choice_tatoeba"} <= {path.stem for path in (tmp_path / "report").glob("*.tex")}


def test_without_layers_the_report_has_no_curve(tmp_path):
    write_run(tmp_path / "a", "tatoeba", {"de": 5.0}, phase="retrieval", layer=1, pooling="mean")
    run_report.write_report([tmp_path / "a"], tmp_path / "report", resamples=0)
    assert not [path for path in (tmp_path / "report").iterdir() if path.name.startswith(("layer", "alignment"))]


def test_one_language_or_one_layer_is_no_choice_and_no_curve(tmp_path):
    write_run(tmp_path / "a", "tatoeba", {"de": 5.0}, phase="retrieval", layer=1, pooling="mean", by_layer=by_layer({"de": [3.0]}))
    analysis = Analysis(collect([tmp_path]), resamples=0)
    table = tables.layer_choice_table(analysis, analysis.columns[0])
    assert not table.rows and pictures.accuracy_by_layer(analysis, analysis.columns[0], analysis.models[0])[0] is None


@pytest.mark.parametrize("change, said", [
    (lambda layers: layers["de"][0].pop("accuracy"), r"by_layer.de\[0\].accuracy is missing"),
    (lambda layers: layers["de"][0].update(layer="1"), r"by_layer.de\[0\].layer is '1', not a whole number"),
    (lambda layers: layers["de"].append(layers["de"][0]), "by_layer names a layer twice"),
    (lambda layers: layers["fr"].pop(), "by_layer has other layers in one language than in another"),
    (lambda layers: layers.update(de=7), "by_layer.de is 7, not a list"),
])  # fmt: skip
def test_damaged_layers_are_named(change, said, tmp_path):
    layers_of_run = by_layer(CURVES)
    change(layers_of_run)
    write_run(tmp_path / "a", "tatoeba", dict.fromkeys(CURVES, 5.0), phase="retrieval", by_layer=layers_of_run)
    write_run(tmp_path / "b", "xquad", {"de": 1.0})
    (problem,) = collect([tmp_path]).problems
    assert problem.kind == "damaged" and re.search(said, problem.what)
