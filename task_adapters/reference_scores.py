"""Published scores per language, as data. The scripts print them next to the scores of a run.

Scores are in 0..100. Each set names the conditions under which it was measured. To add a set, add another `Reference`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """One published set of scores: {language: value in 0..100} of one metric, for one model under one set of conditions."""

    task: str
    metric: str
    model: str
    conditions: str
    source: str
    scores: dict[str, float]


JIANT = "jiant authors, https://github.com/jiant-dev/jiant/pull/128"
XLMR_LARGE, XLMR_LARGE_LAYERS = "FacebookAI/xlm-roberta-large", 24
REFERENCES = (
    Reference(
        "bucc", "f1", XLMR_LARGE, "no intermediate task, dev part, threshold chosen on the same gold, layer 14, length 256", JIANT,
        {"de": 77.7, "fr": 62.7, "ru": 79.2, "zh": 66.5},
    ),
    Reference(
        "tatoeba", "accuracy", XLMR_LARGE, "no intermediate task, English to foreign, layer 14, length 256", JIANT,
        {
            "af": 30.5, "ar": 20.4, "bg": 39.0, "bn": 13.3, "de": 63.9, "el": 18.9, "es": 48.0, "et": 25.8, "eu": 19.9, "fa": 42.0,
            "fi": 41.5, "fr": 48.1, "he": 28.0, "hi": 38.3, "hu": 42.5, "id": 47.0, "it": 42.3, "ja": 41.8, "jv": 10.2, "ka": 11.8,
            "kk": 17.4, "ko": 35.5, "ml": 19.4, "mr": 15.2, "nl": 52.6, "pt": 47.2, "ru": 42.1, "sw": 7.9, "ta": 9.1, "te": 19.7,
            "th": 27.4, "tl": 10.3, "tr": 37.8, "ur": 22.5, "vi": 38.3, "zh": 41.2,
        },
    ),
)  # fmt: skip


def references_for(task_name: str) -> list[Reference]:
    """Returns all published sets of scores of a task; [] if this module has none."""
    return [reference for reference in REFERENCES if reference.task == task_name]


def reference_lines(task_name: str, scores: dict[str, dict], layers: int = XLMR_LARGE_LAYERS) -> list[str]:
    """Returns a table of our scores next to each published set, as lines; [] if there is no set for a model of that many layers.

    scores: {language: {metric: value}}. layers: the number of blocks of the scored model.
    """
    if layers != XLMR_LARGE_LAYERS:  # All published sets are XLM-R Large's. A comparison with another model would mislead.
        return []
    lines = []
    for reference in references_for(task_name):
        languages = [language for language in scores if language in reference.scores and reference.metric in scores[language]]
        if languages:
            lines.append(f"{reference.task} {reference.metric} of {reference.model} ({reference.conditions}; {reference.source})")
            lines.append(f"{'':<10}{'ours':>10}{'published':>12}{'difference':>12}")
        for language in languages:
            ours, published = scores[language][reference.metric], reference.scores[language]
            lines.append(f"{language:<10}{ours:>10.2f}{published:>12.2f}{ours - published:>+12.2f}")
    return lines
