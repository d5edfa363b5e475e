"""The pictures of the report, each as PNG and SVG, in colours that the colour-blind tell apart."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from metrics import AS_THEY_ARE
from report.analysis import Analysis, Column
from report.calibration import Judged, fit_temperature, read_probabilities, reliability
from report.formats import visible
from report.languages import ENGLISH, read_languages
from report.layers import layers_table
from report.statistics import Estimate
from report.tables import ALPHA, MATRICES, matrices_by_row
from results import read_json
from task_adapters import TASKS

COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")  # Okabe and Ito (2008)
MARKERS = "osD^vPX"
STARTS_AT_ONCE = 4  # more dots on one line cannot be told apart
MOST_LANGUAGES = 60  # in one picture of languages
LEAST_IN_BIN = 10  # of fewer examples the share that is right says nothing


def all_pictures(analysis: Analysis, folder: Path) -> list[tuple[str, Path]]:
    """Draws every picture that these results allow into `folder`. -> (caption, SVG file) of each. Files of a protocol have its name."""
    drawn = []
    with style():
        for number, model in enumerate(analysis.models, start=1):
            suffix = f"_{number}" if len(analysis.models) > 1 else ""
            of_protocol = f"_{analysis.protocol.replace('-', '_')}" if analysis.protocol else ""
            figure, caption = transfer_matrix(analysis, model)
            if figure is not None:
                drawn.append((caption, save(figure, folder, f"transfer{of_protocol}{suffix}")))
            figure, caption = gains(analysis, model)
            if figure is not None:
                drawn.append((caption, save(figure, folder, f"gains{of_protocol}{suffix}")))
            for column in analysis.columns:
                draws: tuple[tuple[str, Callable], ...]
                draws = (("languages", language_dots), ("layers", accuracy_by_layer), ("reliability", reliability_diagram),
                         ("training", training_curves), *((name, partial(matrix_map, name=name)) for name in MATRICES))  # fmt: skip
                for name, draw in draws:
                    figure, caption = draw(analysis, column, model)
                    if figure is not None:
                        drawn.append((caption, save(figure, folder, f"{name}_{column.target}{suffix}")))
    return drawn


def style() -> AbstractContextManager[None]:
    """A context in which matplotlib draws as all pictures of the report are drawn."""
    import matplotlib

    matplotlib.use("Agg")
    settings = {"text.parse_math": False, "svg.fonttype": "path", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    return matplotlib.rc_context(settings)


def gains(analysis: Analysis, model: str) -> tuple[Figure | None, str]:
    """Gain of each language against its syntactic distance from English and its amount of text, a panel for each target."""
    import matplotlib.pyplot as plt

    facts = read_languages()
    gaining = {
        column.target: [row for row in analysis.rows if row[0] == model and analysis.difference(row, column.target) is not None]
        for column in analysis.columns
    }
    columns = [column for column in analysis.columns if gaining[column.target]]
    if not columns:
        return None, ""
    figure, panels = plt.subplots(
        2, len(columns), figsize=(1.2 + 2.1 * len(columns), 4.6), squeeze=False, sharey="col", layout="constrained"
    )
    names = {}
    for place, column in enumerate(columns):
        for row in most_different(analysis, column, gaining[column.target]):
            colour = names.setdefault(row[1], len(names) + 1) % len(COLOURS)
            points = [(facts.syntactic[language], facts.cc100_gib[language], pair[1].value) for language in column.languages
                      if language in facts.index and language != ENGLISH and (pair := column.by_language[language][row])[1]]  # fmt: skip
            for axes, x in ((panels[0][place], 0), (panels[1][place], 1)):
                values = [max(point[x], 0.05) if x else point[x] for point in points]  # absent from CC-100: at the left edge
                axes.plot(values, [point[2] for point in points], MARKERS[colour], color=COLOURS[colour], ms=4, alpha=0.8)
        panels[0][place].set_title(column.target, fontsize=9)
        panels[1][place].set_xscale("log")
        names_of_ticks = {0.05: "none", 0.3: "0.3", 1: "1", 10: "10", 100: "100"}  # matplotlib's own are set as mathematics
        panels[1][place].set_xticks([*names_of_ticks], [*names_of_ticks.values()])
        panels[1][place].minorticks_off()
        panels[1][place].set_xlim(0.04, 500)
        for axes, label in ((panels[0][place], "syntactic distance"), (panels[1][place], "GiB in CC-100")):
            axes.axhline(0, color="#888888", lw=0.8)
            axes.set_xlabel(label, fontsize=8)
    panels[0][0].set_ylabel("gain in points"), panels[1][0].set_ylabel("gain in points")
    dots = [plt.Line2D([], [], marker=MARKERS[n % len(COLOURS)], color=COLOURS[n % len(COLOURS)], ls="", ms=4) for n in names.values()]
    figure.legend(dots, [short_name(name) for name in names], loc="outside upper left", ncols=4, frameon=False, fontsize=8)
    return figure, f"{model}: gain over the baseline in each language, by syntactic distance from English and by GiB in CC-100."


def training_curves(analysis: Analysis, column: Column, model: str) -> tuple[Figure | None, str]:
    """Score on the dev data by which checkpoints are compared, during training on a target: the first seed of the rows that are shown."""
    import matplotlib.pyplot as plt

    rows = [row for row in analysis.rows if row[0] == model and row in column.mean.scores]
    curves = {}
    for row in most_different(analysis, column, rows):
        run = next(run for run in column.runs if (run.model, run.start) == row)
        if len(points := dev_scores(Path(run.folder), TASKS[column.target].dev_metric)) > 1:
            curves[row] = points
    if not curves:
        return None, ""
    figure, axes = plt.subplots(figsize=(5.4, 3.2), layout="constrained")
    for place, (row, points) in enumerate(curves.items()):
        steps, scores = zip(*points)
        axes.plot(steps, scores, marker=MARKERS[place], color=COLOURS[place], ms=3, lw=1.2, label=short_name(row[1]))
    axes.set_xlabel("updates")
    axes.set_ylabel(f"{TASKS[column.target].dev_metric} on dev")
    axes.legend(frameon=False, fontsize=8)
    return figure, f"{model}, {column.target}: score on the dev data during training, first seed of each row."


def dev_scores(folder: Path, metric: str) -> list[tuple[int, float]]:
    """(step, score) of each evaluation that a run logged; [] where it logged none."""
    training = read_json(folder / "results.json").get("training")
    log = training.get("log") if isinstance(training, dict) else None
    entries = [entry for entry in log if isinstance(entry, dict)] if isinstance(log, list) else []
    points = [(entry.get("step"), entry.get(f"eval_{metric}")) for entry in entries]
    return [(step, score) for step, score in points if type(step) is int and type(score) in (int, float)]


def reliability_diagram(analysis: Analysis, column: Column, model: str) -> tuple[Figure | None, str]:
    """Accuracy against confidence of a target's first row, a line for each language: as it is, and scaled on English dev."""
    import matplotlib.pyplot as plt

    row = next((row for row in analysis.rows if row[0] == model and row in column.mean.scores), None)
    run = next((run for run in column.runs if (run.model, run.start) == row), None)
    judged = {language: read_probabilities(run.folder, column.target, language) for language in column.languages} if run else {}
    dev = read_probabilities(run.folder, column.target, "en", "dev") if run else None
    if dev is None or None in judged.values():
        return None, ""
    temperature = fit_temperature(dev)
    worst = min(column.languages, key=lambda language: column.by_language[language][row][0].value)
    figure, panels = plt.subplots(1, 2, figsize=(7.2, 3.6), sharex=True, sharey=True, layout="constrained")
    for axes, scale, title in ((panels[0], 1.0, "as trained"), (panels[1], temperature, f"scaled on English dev: T = {temperature:.2f}")):
        axes.plot([0, 1], [0, 1], color="#999999", lw=0.8, ls="--")
        for language in sorted(column.languages, key=lambda language: language in ("en", worst)):
            confidence, right = drawn_bins(judged[language].scaled(scale))
            colour = {"en": COLOURS[1], worst: COLOURS[2]}.get(language, "#bbbbbb")
            name = language if language in ("en", worst) else None
            axes.plot(confidence, right, marker=".", color=colour, lw=1.2, label=name)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("confidence")
        axes.set_xlim(-0.02, 1.02), axes.set_ylim(-0.02, 1.02)
    panels[0].set_ylabel("share that is right")
    panels[0].legend(frameon=False, fontsize=8, loc="upper left")
    figure.get_layout_engine().set(wspace=0.08)
    coloured = f"English and the hardest, {worst}," if "en" in column.languages else f"the hardest, {worst},"
    caption = (
        f"{model}, {column.target}, {row[1]}: reliability in 10 bins; a line for each language, {coloured} in colour. Bins of fewer than"
        f" {LEAST_IN_BIN} examples are left out."
    )
    return figure, caption


def matrix_map(analysis: Analysis, column: Column, model: str, name: str) -> tuple[Figure | None, str]:
    """A heat map of a matrix of two languages (`MATRICES`), for the first row and the one that differs most from it."""
    import matplotlib.pyplot as plt

    matrices = {row: matrix for row, matrix in matrices_by_row(analysis, column, name).items() if row[0] == model}
    if not matrices:
        return None, ""
    title, across, *_ = MATRICES[name]
    shown = [row for row in most_different(analysis, column, list(matrices)) if row in matrices][:2]
    languages = list(dict.fromkeys(other for row in shown for line in matrices[row].values() for other in line))
    values = {row: np.array([[matrices[row].get(q, {}).get(other, np.nan) for other in languages] for q in languages]) for row in shown}
    low, high = (reach([np.nanmin(v) if reach is min else np.nanmax(v) for v in values.values()]) for reach in (min, max))
    side = 0.7 + 0.34 * max(4, len(languages))
    figure, panels = plt.subplots(1, len(shown), figsize=(side * len(shown) + 0.2, side + 0.3), squeeze=False, layout="constrained")
    for axes, row in zip(panels[0], shown):
        axes.imshow(values[row], cmap="cividis", vmin=low, vmax=high)
        for (line, place), value in np.ndenumerate(values[row]):
            said = "—" if np.isnan(value) else f"{value:.0f}"
            axes.text(place, line, said, ha="center", va="center", fontsize=8, color="white" if value < (low + high) / 2 else "black")
        axes.set_xticks(range(len(languages)), [visible(language) for language in languages])
        axes.set_yticks(range(len(languages)), [visible(language) for language in languages])
        axes.set_xlabel(across)
        axes.set_title(short_name(row[1]), fontsize=9)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    panels[0][0].set_ylabel("questions in")
    return figure, f"{model}, {column.target}: {title}; in percent, mean over seeds."


def drawn_bins(judged: Judged) -> tuple[list[float], list[float]]:
    """(mean confidence, share that is right) of each of ten bins that holds enough examples."""
    bins = [(confidence, right) for confidence, right, n in reliability(judged) if n >= LEAST_IN_BIN]
    return [confidence for confidence, _ in bins], [right for _, right in bins]


def accuracy_by_layer(analysis: Analysis, column: Column, model: str) -> tuple[Figure | None, str]:
    """Retrieval accuracy by layer: of the first row every language, and of the rows that are shown the mean over languages."""
    import matplotlib.pyplot as plt

    values = layers_table([run for run in column.runs if run.model == model])
    rows = [row for row in analysis.rows if row[0] == model and (values.start == row[1]).any()]
    if not rows or values.layer.nunique() < 2:
        return None, ""
    pooling = next(run.pooling for run in column.runs if run.by_layer)
    values = values[values.pooling == pooling]
    figure, panels = plt.subplots(1, 2, figsize=(7.2, 3.2), sharex=True, sharey=True, layout="constrained")
    shown = most_different(analysis, column, rows)
    plain = values[values.vectors == AS_THEY_ARE]
    by_language = plain[plain.start == shown[0][1]].groupby(["language", "layer"]).accuracy.mean().unstack(0)
    panels[0].plot(by_language.index, by_language, color="#bbbbbb", lw=0.8)
    for language, place in ((by_language.mean().idxmax(), 1), (by_language.mean().idxmin(), 2)):
        panels[0].plot(by_language.index, by_language[language], color=COLOURS[place], lw=1.2, label=visible(language))
    panels[0].plot(by_language.index, by_language.mean(axis=1), color=COLOURS[0], marker=MARKERS[0], ms=3, lw=1.6, label="mean")
    panels[0].set_title(f"{short_name(shown[0][1])}: every language", fontsize=9)
    for place, row in enumerate(shown):
        for vectors, dashes, label in ((AS_THEY_ARE, "-", short_name(row[1])), ("means removed", ":", None)):
            curve = values[(values.start == row[1]) & (values.vectors == vectors)].groupby("layer").accuracy.mean()
            style = {"marker": MARKERS[place], "ms": 3} if label else {}
            panels[1].plot(curve.index, curve, dashes, color=COLOURS[place], lw=1.2, label=label, **style)
    panels[1].plot([], [], ":", color="#888888", lw=1.2, label="means of languages removed")
    panels[1].set_title("means over languages", fontsize=9)
    for axes in panels:
        axes.set_xlabel(f"layer, {pooling} pooling")
        axes.set_ylim(0, 100)
        axes.grid(color="#eeeeee", lw=0.6)
        axes.legend(frameon=False, fontsize=7, loc="lower right")
        axes.xaxis.get_major_locator().set_params(integer=True)
    panels[0].set_ylabel("accuracy in percent")
    caption = (
        f"{model}, {column.target}: accuracy from English by layer (0: the embeddings). In colour the easiest and the hardest language."
    )
    return figure, caption


def save(figure: Figure, folder: Path, name: str) -> Path:
    """Writes a figure as PNG and SVG and closes it. -> the SVG file"""
    import matplotlib.pyplot as plt

    figure.savefig(folder / f"{name}.png", dpi=144)
    figure.set_layout_engine("none")  # the same layout again: making another takes a quarter of the time
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)
    return folder / f"{name}.svg"


def transfer_matrix(analysis: Analysis, model: str) -> tuple[Figure | None, str]:
    """A heat map of the differences to the baseline: colour by difference in units of its standard error, each column on its own scale."""
    import matplotlib.pyplot as plt

    rows = [row for row in analysis.rows if row[0] == model and not analysis.is_baseline(row)]
    found = {(row, name): analysis.difference(row, name) for row in rows for name in analysis.compared}
    rows = [row for row in rows if any(found[row, name] for name in analysis.compared)]
    columns = [name for name in analysis.compared if any(found[row, name] for row in rows)]
    if not rows:
        return None, ""
    values = np.array([[np.nan if (e := found[row, name]) is None else e.value for name in columns] for row in rows])
    errors = np.array([[np.nan if (e := found[row, name]) is None else e.error for name in columns] for row in rows])
    with np.errstate(divide="ignore", invalid="ignore"):
        units = np.where(errors > 0, values / errors, np.sign(values) * np.isfinite(values) * 10.0)
    units = np.where(np.isnan(errors), values, units)  # without uncertainty: plain points
    scale = np.fmax(np.nanmax(np.abs(units), axis=0), 2.0)  # a column of ties stays pale
    shares = units / scale
    size = max(4.5, 2.2 + 0.95 * len(columns)), 1.5 + 0.38 * len(rows)
    figure, axes = plt.subplots(figsize=size, layout="constrained")
    ties = np.array([[(e := found[row, name]) is not None and is_tied(e) for name in columns] for row in rows])
    # The darkest tenth of the colours is left out: black numbers must be read on them.
    image = axes.imshow(np.where(np.isnan(values) | ties, np.nan, shares), cmap="PuOr_r", vmin=-1.25, vmax=1.25, aspect="auto")
    axes.set_facecolor("#eeeeee")
    for place, row in enumerate(rows):
        for other, name in enumerate(columns):
            estimate = found[row, name]
            if estimate is None:
                axes.text(other, place, "—", ha="center", va="center", color="#666666")
                continue
            is_tie = ties[place, other]
            ink = "#666666" if is_tie else "white" if abs(shares[place, other]) > 0.75 else "black"
            axes.text(other, place, f"{'≈ ' if is_tie else ''}{estimate.value:+.1f}", ha="center", va="center", color=ink)
    axes.set_xticks(range(len(columns)), columns, rotation=30, ha="right")
    axes.set_yticks(range(len(rows)), [short_name(row[1]) for row in rows])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, fraction=0.04, ticks=[-1, 0, 1], boundaries=np.linspace(-1, 1, 101))
    bar.ax.set_yticklabels(["worse", "equal", "better"])
    bar.outline.set_visible(False)
    caption = (
        f"{model}: differences to the baseline in points. Colour: difference in units of its standard error, each column on its own scale;"
        " grey: a tie after Holm's correction."
    )
    return figure, caption


def is_tied(difference: Estimate) -> bool:
    """Whether a difference of the summary is a tie; its p-value is Holm's."""
    return not np.isnan(difference.low) and (difference.is_tie or difference.p >= ALPHA)


def language_dots(analysis: Analysis, column: Column, model: str) -> tuple[Figure | None, str]:
    """Scores of one target, a line for each language, a dot with its 95% interval for the baseline and the starts that differ most."""
    import matplotlib.pyplot as plt

    rows = [row for row in analysis.rows if row[0] == model and row in column.mean.scores]
    if not rows:
        return None, ""
    shown = most_different(analysis, column, rows)
    baseline = shown[0]
    order = sorted(column.languages, key=lambda language: column.by_language[language][baseline][0].value)
    between = len(order) - MOST_LANGUAGES
    if between > 0:
        order = [*order[: MOST_LANGUAGES // 2], *order[-(MOST_LANGUAGES // 2) :]]
    figure, axes = plt.subplots(figsize=(6.4, 1.3 + len(order) * (0.17 + 0.075 * len(shown))), layout="constrained")
    handles = []
    is_without_baseline = not analysis.is_baseline(baseline)  # black is the baseline's
    for place, row in enumerate(shown):
        estimates = [column.by_language[language][row][0] for language in order]
        heights = np.arange(len(order)) - 0.6 * ((place + 0.5) / len(shown) - 0.5)  # the first row on top, as in the legend
        values = np.array([estimate.value for estimate in estimates])
        ends = [(e.value, e.value) if np.isnan(e.low) else (max(0.0, e.low), min(100.0, e.high)) for e in estimates]
        reach = np.array([[max(0.0, e.value - low), max(0.0, high - e.value)] for e, (low, high) in zip(estimates, ends)])
        colour = place + is_without_baseline
        look = {"fmt": MARKERS[colour], "color": COLOURS[colour], "ms": 4, "lw": 1.2, "label": short_name(row[1])}
        handles.append(axes.errorbar(values, heights, xerr=reach.T, **look))
    guesses = [column.chance.get(language) for language in order]
    if None not in guesses and any(guesses):
        handles += axes.plot(guesses, range(len(order)), "|", color="#888888", ms=9, label="chance")
    axes.set_yticks(range(len(order)), order)
    axes.set_ylim(-0.7, len(order) - 0.3)
    axes.grid(axis="x", color="#dddddd", lw=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(f"{column.target}: score in percent")
    fits_one_line = sum(len(handle.get_label()) for handle in handles) <= 60
    axes.legend(
        handles=handles, frameon=False, fontsize=8, ncols=len(handles) if fits_one_line else 2, loc="lower left", bbox_to_anchor=(0, 1)
    )
    left_out = len(rows) - len(shown)
    more = f"; {left_out} more rows are in the table" if left_out else ""
    more += f"; the {between} languages between the easiest and the hardest are in the table" if between > 0 else ""
    sure = "with 95% intervals" if column.has_intervals else "without intervals"
    return figure, f"{model}, {column.target}: languages from easiest to hardest for the first row, {sure}{more}."


def most_different(analysis: Analysis, column: Column, rows: Sequence[tuple[str, str]]) -> list:
    """The baseline, then the starts with the largest differences to it on this target, in the order of the tables."""
    baselines = [row for row in rows if analysis.is_baseline(row)]
    others = [row for row in rows if row not in baselines]
    size = {row: abs(e.value) if (e := analysis.difference(row, column.target)) else 0.0 for row in others}
    kept = sorted(others, key=lambda row: -size[row])[: STARTS_AT_ONCE - len(baselines)]
    return [*baselines, *(row for row in others if row in kept)]


def short_name(name: str, longest: int = 28) -> str:
    name = visible(name)
    return name if len(name) <= longest else f"{name[: longest - 1]}…"
