"""The last lines of a run: its scores, and what belongs beside them. Made from results.json, so that a skipped run shows them too."""

from dataclasses import replace

from results import bias_lines, dev_table, score_table
from task_adapters import TASKS, Task
from task_adapters.reference_scores import reference_lines
from task_types.layers import choice_lines, curve_lines
from task_types.tagging import bare_spaces_line
from trainer.generalised import matrix_lines
from trainer.selection import oracle_lines


def outcome(tasks: tuple[Task, ...] | list[Task], results: dict) -> str:
    """Returns the lines that a run ends with. tasks: those of the command; results: what stands in results.json."""
    task = tasks[0]
    if results["phase"] == "intermediate":
        dev = results["dev"]
        return dev_table({task.name: task for task in tasks}, dev) if len(tasks) > 1 else score_table(task, {"en": dev})
    scores = results["scores"]
    if not scores:  # --do_eval alone
        return score_table(replace(TASKS[task.train_on] if task.train_on else task, languages=("en",), own=()), {"en": results["dev"]})
    remarks = [*bare_spaces_line(results.get("bare_spaces", {})), *matrix_lines(task, results.get("g_xlt"))]
    remarks += [
        *oracle_lines(task, scores, results.get("oracle")),
        *reference_lines(results),
        *bias_lines(results.get("language_bias", {})),
        *choice_lines(results.get("layer_choice", {})),
        *curve_lines(results.get("by_layer", {}), results.get("pooling")),
    ]
    return "\n".join([score_table(task, scores), *remarks])
