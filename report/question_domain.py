"""Do intermediate tasks from another text domain help less than those of the target's own, when size and kind are held equal?"""

import numpy as np

from report.analysis import Analysis
from report.domains import kind_of, shares_domain
from report.effects import effects
from report.section import MARGIN, Section, left_out, of_model, without_baseline
from report.statistics import Estimate
from report.tables import gains_of_pairs


def domain(analysis: Analysis) -> Section:
    section = Section(missing=without_baseline(analysis))
    for model in analysis.models:
        pairs = [(start, target, gain.value) for m, start, target, gain in gains_of_pairs(analysis) if m == model]
        known = [pair for pair in pairs if shares_domain(*pair[:2]) is not None]
        found = domain_effects(known, sizes_of(analysis, model))
        starts, targets = ({pair[place] for pair in known} for place in (0, 1))
        shared = sum(shares_domain(*pair[:2]) for pair in known)
        n = f"{len(known)} of {len(pairs)} pairs have known domains, {shared} the same"
        name = of_model(analysis, model)
        if np.isnan(found["same domain"].value):
            section.missing.append(
                f"two intermediate tasks and two targets of known domains that can be told apart{name}; here {len(starts)} and"
                f" {len(targets)}, {shared} of {len(known)} pairs of one domain."
            )
            continue
        said = section.add(f"text of the target's domain, not of another{name}", found["same domain"], n, MARGIN)
        section.answers[f"tasks from another domain help less{name}"] = said
        section.add(f"same kind of task, not another{name}", found["same kind"], n)
        equal = "size" not in found
        if equal:
            section.notes.append(f"All intermediate tasks were trained on equally many examples{name}: size cannot be taken for domain.")
        else:
            section.add(f"twice as many training examples{name}", found["size"], f"{len(starts)} intermediate tasks")
    section.notes += [
        "Gain in points over the baseline ~ intermediate task + target + same domain + same kind. Each intermediate task has a level of its"
        " own, which takes its size with it; size is read from these levels. Rows of one intermediate task and one kind of target may move"
        " together. Domains: report/domains.csv; tasks of mixed domains are left out.",
        *left_out(start for _, start in analysis.rows),
        f"Yes: the interval lies above 0. No: it leaves no room for {MARGIN:g} point. Else undecided.",
    ]
    return section


def sizes_of(analysis: Analysis, model: str) -> dict[str, int]:
    """{intermediate task: number of its training examples}."""
    settings = {key: value for run in analysis.collection.runs if run.model == model for key, value in run.settings.items()}
    return {
        what[1]: value
        for (what, name), value in settings.items()
        if name == "number of training examples" and isinstance(value, int) and value
    }


def domain_effects(pairs: list[tuple[str, str, float]], sizes: dict[str, int]) -> dict[str, Estimate]:
    """{"same domain", "same kind", and where sizes differ "size"} from (intermediate task, target, gain). size: of a doubling."""
    starts, targets, gains = [np.array([pair[place] for pair in pairs]) for place in range(3)]
    same = np.array([bool(shares_domain(*pair[:2])) for pair in pairs], dtype=float)
    kind = np.array([kind_of(start) == kind_of(target) for start, target, _ in pairs], dtype=float)
    blocks = np.array([f"{start} {kind_of(target)}" for start, target, _ in pairs])
    found = effects(gains, {"same domain": same, "same kind": kind}, [starts, targets], blocks)
    known = [sizes.get(start) for start in starts]
    if known and None not in known and max(known) > 1.01 * min(known):
        rest = gains - sum(np.nan_to_num(found[name].value) * column for name, column in (("same domain", same), ("same kind", kind)))
        found["size"] = effects(rest, {"size": np.log2(known)}, [targets], starts)["size"]
    return found
