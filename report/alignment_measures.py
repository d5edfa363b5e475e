"""What a retrieval run says of alignment: its scores, and with `run_retrieval.py --layers` the measures of each layer."""

from pathlib import Path

from report.collect import Run
from results import read_json

AS_THEY_ARE = "as they are"  # vectors without a change, in the records of run_retrieval.py
MEANS_REMOVED = "means removed"
SCORED = "accuracy"  # what the answer is read from
# Measures in 0..1 or so are multiplied by 100.
NAMES = {"accuracy": ("accuracy", 1), "foreign_to_english": ("accuracy into English", 1), "cosine_difference": ("cosine difference", 100),
         "margin": ("margin", 100), "anc": ("ANC", 100), "isoscore": ("IsoScore", 100)}  # fmt: skip


def measures_of(run: Run) -> dict[str, dict[str, float]]:
    """{measure: {language: value}}: of the scored layer and pooling all measures, and of the other layers the accuracy."""
    found = {SCORED: {language: scores[SCORED] for language, scores in run.scores.items() if SCORED in scores}}
    layer, pooling = (run.settings.get(((run.model, run.task), name)) for name in ("layer", "pooling"))
    by_layer = read_json(Path(run.folder) / "results.json").get("by_layer") or {}
    for language, records in by_layer.items():
        for record in (record for record in records if record["pooling"] == pooling):
            changed = "" if record["vectors"] == AS_THEY_ARE else f", {record['vectors']}"
            for key, (name, scale) in NAMES.items():
                if key == "anc" and record["vectors"] == MEANS_REMOVED:  # a correlation does not change
                    continue
                if record["layer"] == layer and (key != SCORED or changed):
                    found.setdefault(name + changed, {})[language] = scale * record[key]
                elif record["layer"] != layer and key == SCORED and not changed:
                    found.setdefault(f"accuracy at layer {record['layer']}", {})[language] = record[key]
    return found
