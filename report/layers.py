"""What `run_retrieval.py --layers` measured: one row per run, language, layer, pooling and treatment of the vectors."""

from collections.abc import Iterable

import pandas

from metrics import choose_layer, layer_accuracies
from report.collect import Run

MEASURES = {"accuracy": "English to foreign", "foreign_to_english": "foreign to English", "cosine_difference": "pair minus other cosine",
            "margin": "margin", "anc": "ANC", "isoscore": "IsoScore"}  # fmt: skip
KEYS = ["model", "start", "task", "seed", "language", "layer", "pooling", "vectors"]


def layers_table(runs: list[Run]) -> pandas.DataFrame:
    """All records of all runs, with the columns KEYS and MEASURES."""
    rows = [
        {"model": run.model, "start": run.start, "task": run.task, "seed": run.seed, "language": language, **record}
        for run in runs for language, records in run.by_layer.items() for record in records
    ]  # fmt: skip
    return pandas.DataFrame(rows, columns=[*KEYS, *MEASURES])


def curves_of(run: Run, pooling: str) -> dict[str, dict[int, float]]:
    """{language: {layer: accuracy}} of a run, by vectors as they are."""
    return {language: layer_accuracies(records, pooling) for language, records in run.by_layer.items()}


def claims(run: Run) -> dict[str, tuple[float, str]]:
    """What each way to choose a layer would report of one run: {name: (mean accuracy over languages, the layers that it takes)}.

    "other languages" is the way of --layer best; the last two look at the scores that they report. {} for fewer than two languages.
    """
    curves = curves_of(run, run.pooling)
    if len(curves) < 2:
        return {}
    choices = {language: choose_layer(language, curves) for language in curves}
    layers = list(next(iter(curves.values())))
    means = {layer: mean(curve[layer] for curve in curves.values()) for layer in layers}
    one = max(means, key=means.get)
    honest = [choice["layer"] for choice in choices.values()]
    greedy = [choice["best_on_test"]["layer"] for choice in choices.values()]
    return {
        "last layer": (means[layers[-1]], f"{layers[-1]}"),
        "other languages": (mean(curves[language][layer] for language, layer in zip(curves, honest)), span(honest)),
        "one layer, on the test": (means[one], f"{one}"),
        "each language's own, on the test": (mean(curves[language][layer] for language, layer in zip(curves, greedy)), span(greedy)),
    }


def mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values)


def span(layers: list[int]) -> str:
    return f"{min(layers)}" if min(layers) == max(layers) else f"{min(layers)}–{max(layers)}"
