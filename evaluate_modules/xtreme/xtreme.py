"""XTREME's scores as a local module of `evaluate`: evaluate.load("evaluate_modules/xtreme", "mlqa").

The rules are those of metrics.py, which lies beside this file as a link: `evaluate` copies both into its cache. The hub's `squad` and
`seqeval` modules score part-of-speech tags, MLQA's articles and Chinese otherwise than XTREME's evaluator.
"""

import datasets
import evaluate

from .metrics import accuracy, entity_f1, mlqa_scores, pair_f1, squad_scores, tag_run_f1

DESCRIPTION = "The scores of XTREME's own evaluator, in 0..100. The configuration is the name of the task."
CITATION = """@inproceedings{hu2020xtreme,
  title={XTREME: A Massively Multilingual Multi-task Benchmark for Evaluating Cross-lingual Generalization},
  author={Hu, Junjie and Ruder, Sebastian and Siddhant, Aditya and Neubig, Graham and Firat, Orhan and Johnson, Melvin},
  booktitle={ICML}, year={2020}}"""
INPUTS = """
predictions, references  lists of rows, the same rows in both:
  xnli, pawsx            names of labels; tatoeba: line numbers, written as text
  udpos, panx            one list of tags per sentence
  xquad, mlqa, tydiqa    a prediction is an answer, a reference a list of acceptable answers
  bucc                   pairs [source id, target id]; the two lists may differ in length and are then given as one row each
language                 the two-letter code; only mlqa uses it
"""
TEXT, TEXTS = datasets.Value("string"), datasets.Sequence(datasets.Value("string"))
# task: (metric, a prediction, a reference)
TASKS = {
    **dict.fromkeys(("xnli", "pawsx", "tatoeba"), (accuracy, TEXT, TEXT)),
    "udpos": (tag_run_f1, TEXTS, TEXTS),
    "panx": (entity_f1, TEXTS, TEXTS),
    **dict.fromkeys(("xquad", "tydiqa"), (squad_scores, TEXT, TEXTS)),
    "mlqa": (mlqa_scores, TEXT, TEXTS),
    "bucc": (pair_f1, datasets.Sequence(TEXTS), datasets.Sequence(TEXTS)),
}


@evaluate.utils.file_utils.add_start_docstrings(DESCRIPTION, INPUTS)
class Xtreme(evaluate.Metric):
    """One task of XTREME; `compute` returns {name: value in 0..100}."""

    def _info(self):
        if self.config_name not in TASKS:
            raise ValueError(f"{self.config_name!r} is no task of XTREME. They are: {', '.join(TASKS)}.")
        _, prediction, reference = TASKS[self.config_name]
        features = datasets.Features({"predictions": prediction, "references": reference})
        return evaluate.MetricInfo(description=DESCRIPTION, citation=CITATION, inputs_description=INPUTS, features=features)

    def _compute(self, predictions, references, language="en"):
        metric, *_ = TASKS[self.config_name]
        if self.config_name == "bucc":
            predictions, references = ([tuple(pair) for row in rows for pair in row] for rows in (predictions, references))
        return metric(references, predictions, language)
