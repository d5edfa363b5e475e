"""What a retrieval run says of alignment: {measure: {language: value}}."""

from report.collect import Run


def measures_of(run: Run) -> dict[str, dict[str, float]]:
    """{measure: {language: value}}, all so that more is better aligned."""
    return {"accuracy": {language: scores["accuracy"] for language, scores in run.scores.items() if "accuracy" in scores}}
