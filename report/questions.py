"""The five questions of docs/questions.md: for each a table of estimates with intervals, an answer, and what is missing for it."""

from collections.abc import Sequence

from report.analysis import Analysis
from report.formats import Cell, Table
from report.question_alignment import alignment
from report.question_calibration import calibration
from report.question_cross_task import cross_task
from report.question_domain import domain
from report.question_low_resource import low_resource
from report.tables import MISSING

QUESTIONS = {
    "domain": ("do intermediate tasks from another text domain help less than those of the target's own?", domain),
    "cross_task": ("does training on one kind of task carry over to other kinds, on XTREME and on XTREME-R?", cross_task),
    "low_resource": ("is transfer to low-resource languages more robust after intermediate training than after multilingual fine-tuning?",
                     low_resource),
    "alignment": ("does English intermediate training degrade alignment with distant languages more than tuning on the target language?",
                  alignment),
    "calibration": ("does intermediate training change calibration otherwise in distant languages?", calibration),
}  # fmt: skip


def question_tables(analysis: Analysis, names: Sequence[str] | None = None) -> list[Table]:
    """The sections of the questions. names: which; None for those with an answer that rests on an interval."""
    tables = []
    for name in names or QUESTIONS:
        text, ask = QUESTIONS[name]
        section = ask(analysis)
        if names is None and not (section.answers and section.has_interval):
            continue
        said = "; ".join(f"{what}: {word}" for what, word in section.answers.items()) or "undecided"
        lead = [f"Answer: {said}.", *(f"Missing: {what}" for what in section.missing)]
        rows = section.rows or [[Cell("nothing can be estimated", "missing"), *[MISSING] * (len(section.head) - 1)]]
        tables.append(Table(f"question_{name}", f"Question {name}: {text}", section.head, rows, section.notes, section.labels, lead))
    return tables
