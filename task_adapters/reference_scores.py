"""Published scores per language, as data. The scripts print them next to the scores of a run.

Scores are in 0..100. Each set names the conditions under which it was measured. To add a set, add another `Reference`.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Reference:
    """One published set of scores: {language: value in 0..100} of one metric, for one model under one set of conditions.

    layer, max_seq_length  of the published run, as the flags of run_retrieval.py name them.
    is_tuned_on_test       whether the threshold of mining was chosen on the gold that is scored.
    """

    task: str
    metric: str
    model: str
    conditions: str
    source: str
    scores: dict[str, float]
    layer: int
    max_seq_length: int
    is_tuned_on_test: bool = False


JIANT = "jiant authors, https://github.com/jiant-dev/jiant/pull/128"
XLMR_LARGE, XLMR_LARGE_SHAPE = "FacebookAI/xlm-roberta-large", (24, 1024)  # layers, hidden size
CHANGES = ("max_predict_samples", "lower_case")  # settings of a run that make its scores other ones than the published
REFERENCES = (
    Reference(
        "bucc", "f1", XLMR_LARGE, "no intermediate task, dev part, threshold chosen on the same gold, layer 14, length 256", JIANT,
        {"de": 77.7, "fr": 62.7, "ru": 79.2, "zh": 66.5}, 14, 256, True,
    ),
    Reference(
        "tatoeba", "accuracy", XLMR_LARGE, "no intermediate task, English to foreign, layer 14, length 256", JIANT,
        {
            "af": 30.5, "ar": 20.4, "bg": 39.0, "bn": 13.3, "de": 63.9, "el": 18.9, "es": 48.0, "et": 25.8, "eu": 19.9, "fa": 42.0,
            "fi": 41.5, "fr": 48.1, "he": 28.0, "hi": 38.3, "hu": 42.5, "id": 47.0, "it": 42.3, "ja": 41.8, "jv": 10.2, "ka": 11.8,
            "kk": 17.4, "ko": 35.5, "ml": 19.4, "mr": 15.2, "nl": 52.6, "pt": 47.2, "ru": 42.1, "sw": 7.9, "ta": 9.1, "te": 19.7,
            "th": 27.4, "tl": 10.3, "tr": 37.8, "ur": 22.5, "vi": 38.3, "zh": 41.2,
        }, 14, 256,
    ),
)  # fmt: skip


def references_for(task_name: str) -> list[Reference]:
    """Returns all published sets of scores of a task; [] if this module has none."""
    return [reference for reference in REFERENCES if reference.task == task_name]


def is_of_model(reference: Reference, run: dict) -> bool:
    """Whether a run scored the model of a published set as it was published: XLM-R Large from the hub or a copy of it, trained on nothing
    else before."""
    model = run["model"]
    has_its_name = Path(model["name_or_path"]).name == Path(reference.model).name
    return has_its_name and (model.get("layers"), model.get("hidden_size")) == XLMR_LARGE_SHAPE and not run["lineage"]


def reference_lines(run: dict) -> list[str]:
    """Returns a table of a run's scores next to each published set, as lines; [] if there is no set for the run's task and model.

    run: results.json of a run. If only the layer or the length is another one, one line says with which flags the run would compare.
    """
    lines, own = [], run.get("own_data") or {}  # scores on the user's test data are no others' scores
    for reference in references_for(run["task"]):
        scores = {language: scores for language, scores in run["scores"].items() if language in reference.scores and language not in own}
        if not is_of_model(reference, run) or not any(reference.metric in of_language for of_language in scores.values()):
            continue
        title = f"{reference.task} {reference.metric} of {reference.model} ({reference.conditions}; {reference.source})"
        if reference.is_tuned_on_test != any(part.get("threshold_from", "dev") != "dev" for part in run.get("mining", {}).values()):
            continue
        as_published = {"layer": reference.layer, "max_seq_length": reference.max_seq_length, "pooling": "mean"}
        if any(run.get(name) != value for name, value in as_published.items()) or any(run.get(name) for name in CHANGES):
            flags = " ".join(f"--{name} {value}" for name, value in as_published.items())
            lines.append(f"published: {title}. A run with {flags} stands beside it.")
            continue
        lines += [title, f"{'':<10}{'ours':>10}{'published':>12}{'difference':>12}"]
        for language, of_language in scores.items():
            ours, published = of_language[reference.metric], reference.scores[language]
            lines.append(f"{language:<10}{ours:>10.2f}{published:>12.2f}{ours - published:>+12.2f}")
    return lines
