"""The five questions: planted effects are found, planted nulls are not, and what a design lacks is said."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.special import log_softmax
from test_report import after, write_run, write_scored_run

import run_report
from report import question_alignment, question_calibration, question_cross_task
from report.analysis import Analysis
from report.collect import TOGETHER, collect, lines_of
from report.domains import kind_of, shares_domain
from report.effects import intervals
from report.formats import to_markdown, to_plain
from report.languages import read_languages
from report.page import to_html
from report.question_domain import domain_effects
from report.questions import QUESTIONS, question_tables
from report.section import answer, estimate_cell
from report.statistics import Estimate, holm
from task_adapters import TASKS

STARTS = ("anli", "mnli", "qqp", "squad_v1", "squad_v2", "hellaswag", "ccg", "cosmosqa", "commonsenseqa")
TARGETS = ("xnli", "pawsx", "panx", "xquad", "mlqa", "tydiqa", "tatoeba", "bucc")
PAIRS = list(itertools.product(STARTS, TARGETS))
LANGUAGES = [language for language in read_languages().index if language != "en"]


def section(folder, name, **options):
    (table,) = question_tables(Analysis(collect([folder]), resamples=0, **options), [name])
    return table


def said(table):
    """What stands behind `Answer:` and behind each `Missing:`."""
    return table.lead[0], [note for note in table.lead if note.startswith("Missing: ")]


def rows_of(table):
    return {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}


def test_an_answer_is_yes_or_no_only_by_its_interval():
    assert answer(Estimate(2, 0.1, 3.9)) == "yes" and answer(Estimate(-2, -3.9, -0.1), sign=-1) == "yes"
    assert answer(Estimate(0.2, -0.5, 0.9)) == "no" and answer(Estimate(-2, -3, -1)) == "no"
    assert answer(Estimate(0.2, -0.5, 1.1)) == "undecided" and answer(Estimate(2.0)) == "undecided"


# ---- domain


def grid_of_gains(rng, by_size=0.0, by_domain=0.0, draws=1):
    """(gains (pairs, draws), sizes): noise of cells, intermediate models and baselines, and what is planted."""
    sizes = dict(zip(STARTS, 2.0 ** rng.uniform(11, 18, len(STARTS))))
    starts, targets = ([names.index(pair[place]) for pair in PAIRS] for place, names in ((0, STARTS), (1, TARGETS)))
    noise = 0.4 * rng.normal(size=(len(PAIRS), draws)) + rng.normal(size=(len(STARTS), draws))[starts]
    noise += rng.normal(size=(len(TARGETS), draws))[targets]
    planted = [by_size * np.log2(sizes[start]) + by_domain * bool(shares_domain(start, target)) for start, target in PAIRS]
    return np.array(planted)[:, None] + noise, sizes


def effects_of(gains, sizes):
    return domain_effects([(*pair, gain) for pair, gain in zip(PAIRS, gains)], sizes)


def test_a_number_with_three_digits_is_marked_as_one_with_one_digit_is():
    for low, high, kind in ((0.01, 0.03, "up"), (-0.03, -0.01, "down"), (-0.01, 0.03, "tie")):
        estimate = Estimate((low + high) / 2, low, high)
        assert estimate_cell(estimate, 3).kind == estimate_cell(estimate, 1).kind == kind
    assert estimate_cell(Estimate(0.5), 3).kind == "", "without an interval nothing is said"


def test_a_gain_by_size_is_not_taken_for_one_by_domain():
    """Every draw: gains grow by 2 points with each doubling. Whatever tasks are large, domain says no or, seldom, undecided."""
    rng = np.random.default_rng(0)
    answers, sizes_hit = [], 0
    for _ in range(100):
        gains, sizes = grid_of_gains(rng, by_size=2.0)
        found = effects_of(gains[:, 0], sizes)
        answers.append(answer(found["same domain"]))
        sizes_hit += found["size"].low <= 2 <= found["size"].high
    assert answers.count("no") > 85 and answers.count("yes") <= 10
    assert sizes_hit >= 90, "and the size is found"


def test_a_planted_domain_is_found():
    rng = np.random.default_rng(1)
    answers = [answer(effects_of(grid_of_gains(rng, 0.5, by_domain=2.0)[0][:, 0], {})["same domain"]) for _ in range(50)]
    assert answers.count("yes") >= 48


def test_intervals_of_domain_hold_the_truth_in_95_of_100_draws():
    outcomes, _ = grid_of_gains(np.random.default_rng(2), by_domain=1.3, draws=4000)
    same = np.array([[shares_domain(*pair), kind_of(pair[0]) == kind_of(pair[1])] for pair in PAIRS], dtype=float)
    levels = [[pair[place] for pair in PAIRS] for place in (0, 1)]
    values, errors, freedom = intervals(outcomes, same, levels, [f"{start} {kind_of(target)}" for start, target in PAIRS])
    hits = np.abs(values[0] - 1.3) <= stats.t.ppf(0.975, freedom[0]) * errors[0]
    assert 0.93 <= hits.mean() <= 0.97
    one = effects_of(outcomes[:, 7], {})["same domain"]
    assert (one.value, one.error) == pytest.approx((values[0, 7], errors[0, 7])), "the section fits the same model"


def write_grid(folder, gain_of, sizes, starts=STARTS, targets=TARGETS, baseline=True, seed=1):
    for start in (*([None] if baseline else []), *starts):
        data = [{"split": "train", "language": "en", "examples": sizes.get(start, 1000)}]
        for target in targets:
            phase = "retrieval" if target in ("tatoeba", "bucc") else "target"
            gain = gain_of(start, target) if start else 0.0
            lineage = after(start, seed, data=data) if start else ()
            write_run(folder / f"{seed}/{start}/{target}", target, {"de": 50.0 + gain, "fr": 40.0 + gain}, lineage, seed, phase)


def test_the_section_domain_says_no_for_a_grid_in_which_size_alone_matters(tmp_path):
    gains, sizes = grid_of_gains(np.random.default_rng(3), by_size=1.0)
    table = dict(zip(PAIRS, gains[:, 0] - 15))
    write_grid(tmp_path, lambda *pair: table[pair], {name: round(size) for name, size in sizes.items()})
    found = section(tmp_path, "domain")
    assert said(found)[0] == "Answer: tasks from another domain help less: no."
    rows = rows_of(found)
    estimate, n, word = rows["text of the target's domain, not of another"]
    assert (
        word == "no"
        and n == f"{len(PAIRS)} of {len(PAIRS)} pairs have known domains, {sum(shares_domain(*pair) for pair in PAIRS)} the same"
    )
    assert rows["twice as many training examples"][0].startswith("+")
    assert any("second seed" in note for note in said(found)[1])
    assert "domain" in found.title and "Yes: the interval" in to_markdown(found)
    for shown in (to_markdown(found), to_plain(found), to_html("t", [], [found], [])):
        assert shown.index("Answer: tasks") < shown.index("twice as many") < shown.index("Yes: the interval"), "the answer comes first"


def test_equal_sizes_are_said_to_be_equal_and_the_section_comes_by_itself(tmp_path):
    rng = np.random.default_rng(4)
    write_grid(tmp_path, lambda start, target: 3.0 * shares_domain(start, target) + 0.3 * rng.normal(), {})
    found = section(tmp_path, "domain")
    assert said(found)[0].endswith("help less: yes.") and any("equally many examples" in note for note in found.notes)
    assert "twice as many training examples" not in rows_of(found)
    text = run_report.write_report([tmp_path], tmp_path / "report", formats=("md",), resamples=0)
    assert "Question domain" not in text, "on the terminal where it is asked for"
    assert "Question domain" in (tmp_path / "report/report.md").read_text()
    assert "Question low" not in (tmp_path / "report/report.md").read_text()
    text = run_report.write_report([tmp_path], tmp_path / "again", formats=("md",), resamples=0, questions=["domain"])
    assert "Question domain" in text


def test_a_grid_without_baseline_or_without_both_kinds_of_pairs_says_what_is_missing(tmp_path):
    write_grid(tmp_path / "a", lambda *pair: 1.0, {}, baseline=False)
    answered, missing = said(section(tmp_path / "a", "domain"))
    assert answered == "Answer: undecided." and any("the baseline of a model without a name" in note for note in missing)
    write_grid(tmp_path / "b", lambda *pair: 1.0, {}, starts=("squad_v1",), targets=("xquad", "xnli"))
    _, missing = said(section(tmp_path / "b", "domain"))
    assert any("here 1 and 2, 1 of 2 pairs of one domain" in note for note in missing)


# ---- cross_task


def test_kinds_that_help_other_kinds_are_told_from_those_that_do_not(tmp_path):
    rng = np.random.default_rng(0)
    gains = {("squad_v1", "xnli"): 5.0, ("mnli", "xquad"): 0.0}
    for seed in (1, 2, 3):
        write_grid(
            tmp_path, lambda *pair: gains.get(pair, 3.0) + 0.1 * rng.normal(), {}, ("mnli", "squad_v1"), ("xnli", "xquad"), seed=seed
        )
    found = section(tmp_path, "cross_task")
    assert found.head[2:] == ["XTREME, shared languages", "XTREME, all languages", "XTREME-R, shared languages", "XTREME-R, all languages"]
    cells = {(row[0].text, row[1].text): [cell.kind for cell in row[2:]] for row in found.rows}
    assert cells["span qa", "classification"] == ["up"] * 4 and cells["classification", "span qa"] == ["tie"] * 4
    assert said(found)[0].startswith("Answer: a kind helps another one on XTREME (1 of 2 pairs of unlike kinds gain, 0 lose): yes;")


def test_the_benchmarks_languages_are_told_apart(tmp_path):
    """Romanian is XTREME-R's alone: its score counts there among all languages, and nowhere else."""
    for seed, start in itertools.product((1, 2), (None, "mnli")):
        gain = {"de": 1.0, "ro": 5.0} if start else {"de": 0.0, "ro": 0.0}
        scores = {language: 50.0 + seed + value for language, value in gain.items()}
        write_run(tmp_path / f"{seed}/{start}", "xquad", scores, after("mnli", seed) if start else (), seed)
    (row,) = section(tmp_path, "cross_task").rows
    assert [cell.value for cell in row[2:]] == pytest.approx([1.0, 1.0, 1.0, 3.0])
    assert all(cell.text.endswith(", 1 pair") for cell in row[2:])


def test_each_view_of_kinds_is_corrected_by_itself(tmp_path, monkeypatch):
    for seed in (1, 2):
        write_grid(tmp_path, lambda *pair: float(len(pair[0])), {}, ("mnli", "squad_v1"), ("xnli", "xquad"), seed=seed)
    counts = []
    monkeypatch.setattr(question_cross_task, "holm", lambda values: counts.append(len(values)) or holm(values))
    section(tmp_path, "cross_task")
    assert counts == [4] * 4, "four views of four pairs of kinds"


def test_one_seed_leaves_kinds_undecided_and_says_so(tmp_path):
    write_grid(tmp_path, lambda *pair: 5.0, {}, ("mnli",), ("xquad",))
    answered, missing = said(section(tmp_path, "cross_task"))
    assert "undecided" in answered and any("second seed" in note for note in missing)


# ---- low_resource

LOW = ("sw", "ur")


def write_arm(folder, scores_of, seeds=(1, 2, 3), start=None, target="xnli", languages=("en", "de", *LOW), **more):
    for seed in seeds:
        scores = {language: scores_of(seed, language) for language in languages}
        write_run(folder / f"{seed}", target, scores, after(start, seed) if start else (), seed, **more)


@pytest.fixture
def arms(tmp_path):
    """Intermediate training: 3 points above none and 5 below multilingual in sw and ur; typos cost it 8, multilingual 2 points.

    Perturbed runs are as many as the others, and come first.
    """
    noise = {seed: 0.1 * seed for seed in (1, 2, 3)}
    levels = {"none": 50.0, "mnli": 53.0, "multilingual": 58.0}
    for arm, level in levels.items():
        more = {"train_languages": ["de", "en", "sw", "ur"]} if arm == "multilingual" else {"train_languages": ["en"]}
        start = "mnli" if arm == "mnli" else None
        drop = {"none": 8.0, "mnli": 8.0, "multilingual": 2.0}[arm]
        write_arm(tmp_path / arm, lambda seed, language, level=level: level + noise[seed], start=start, **more)
        write_arm(tmp_path / f"a-{arm}-typos", lambda seed, language, level=level - drop: level + noise[seed], start=start,
                  perturb="typos:0.1", **more)  # fmt: skip
    return tmp_path


def test_arms_are_compared_and_perturbed_runs_stand_in_no_table_of_scores(arms):
    collection = collect([arms])
    assert len(collection.runs) == 6 and len(collection.arms) == 3 and len(collection.perturbed) == 9
    assert not any(run.perturbed for run in (*collection.runs, *collection.arms))
    folders = {line[-1] for line in lines_of(collection.runs)}
    assert folders == {str(arms / f"{arm}/{seed}") for arm in ("none", "mnli") for seed in (1, 2, 3)}
    found = section(arms, "low_resource")
    rows = rows_of(found)
    by_cc100 = "mean over sw ur (less than 10 GiB in CC-100)"
    assert [rows[f"{arm}, {by_cc100}"][0] for arm in ("none", "intermediate", "multilingual")] == ["50.2", "53.2", "58.2"]
    assert rows[f"intermediate minus multilingual, {by_cc100}"][0].startswith("-5.0 (")
    assert rows[f"intermediate minus multilingual, {by_cc100}"][1:] == ["xnli", "no"]
    assert rows[f"intermediate minus none, {by_cc100}"][0].startswith("+3.0 (")
    assert rows[f"intermediate minus multilingual, drop under typos:0.1, {by_cc100}"][0].startswith("+6.0 (")
    drops = {arm: rows[f"{arm}, drop under typos:0.1, {by_cc100}"][0] for arm in ("none", "intermediate", "multilingual")}
    assert drops == {"none": "8.0", "intermediate": "8.0", "multilingual": "2.0"}, "the drops themselves, not their differences alone"
    assert f"better than multilingual, {by_cc100}: no" in said(found)[0] and "smaller drop under typos:0.1" in said(found)[0]
    assert any("only sw among the scored ones" in note for note in said(found)[1]), (
        "by Joshi's classes one language is left: ur has class 3"
    )
    text = run_report.write_report([arms], arms / "report", formats=("md",), resamples=0)
    assert "9 runs on perturbed text stand in no table of scores" in text
    assert "3 runs whose target was trained otherwise (the last table names them) stand in no table of scores" in text
    assert "more are left out" not in text, "a run that a question reads is not left out"
    kinds = [line.split("|")[2].strip() for line in (arms / "report/report.md").read_text().splitlines() if "multilingual/" in line]
    assert kinds == ["arm"] * 3


def test_an_arm_at_chance_is_named(tmp_path):
    """And its drop answers nothing, however much smaller the other's is. (10 and 20 points of drop are written by hand.)"""
    gold = ["entailment", "neutral", "contradiction"] * 4
    for arm, predicted in (("none", gold), ("mnli", gold), ("multilingual", ["neutral"] * 12)):
        for seed in (1, 2):
            answers = {language: (gold, predicted) for language in ("en", "de", *LOW)}
            more = {"train_languages": ["de", "en", "sw", "ur"]} if arm == "multilingual" else {"train_languages": ["en"]}
            lineage = after("mnli", seed) if arm == "mnli" else ()
            write_scored_run(tmp_path / arm / str(seed), "xnli", answers, lineage, seed, **more)
            left = {"none": 80.0, "mnli": 90.0, "multilingual": 100 / 3 - 20}[arm]
            scores = dict.fromkeys(answers, left + 0.01 * seed)
            write_run(tmp_path / f"{arm}-typos/{seed}", "xnli", scores, lineage, seed, perturb="typos:0.1", **more)
            path = tmp_path / f"{arm}-typos/{seed}/results.json"
            results = json.loads(path.read_text())
            for values in results["scores"].values():
                values["examples"] = 12
            path.write_text(json.dumps(results))
    notes = [note for note in said(section(tmp_path, "low_resource"))[1] if "chance" in note and "CC-100" in note]
    levels = "mean over sw ur (less than 10 GiB in CC-100) 33.3, one answer for all 33.3."
    assert notes == [f"Missing: scores above chance in the arm `multilingual`: {levels} It has nothing to lose by perturbed text."]
    found = section(tmp_path, "low_resource")
    drops = {what: cells for what, cells in rows_of(found).items() if "intermediate minus" in what and "drop" in what and "CC-100" in what}
    by_other = {what.split(",")[0].split()[-1]: (cells[0][:4], cells[-1]) for what, cells in drops.items()}
    assert by_other == {"multilingual": ("-10.", "undecided"), "none": ("-10.", "yes")}, "what has nothing to lose is not robust"
    assert "smaller drop under typos:0.1, mean over sw ur (less than 10 GiB in CC-100): undecided" in said(found)[0]


def test_a_target_without_low_resource_languages_takes_nothing_from_the_others(arms):
    """PAWS-X has none, and the level and the drop of each arm are those on XNLI."""
    before = rows_of(section(arms, "low_resource"))
    for arm, level in (("none", 80.0), ("mnli", 81.0), ("multilingual", 82.0)):
        more = {"train_languages": ["de", "en"] if arm == "multilingual" else ["en"]}
        start = "mnli" if arm == "mnli" else None
        write_arm(
            arms / f"{arm}-pawsx", lambda seed, _, level=level: level + seed, start=start, target="pawsx", languages=("en", "de"), **more
        )
    after_pawsx = rows_of(section(arms, "low_resource"))
    assert {what: cells for what, cells in after_pawsx.items() if "spread" not in what} == {
        what: cells for what, cells in before.items() if "spread" not in what
    }


def test_a_target_that_only_some_arms_have_is_left_out_and_named(arms):
    """The levels stand below each other, and the group of languages is that of the targets that all arms have."""
    before = rows_of(section(arms, "low_resource"))
    write_arm(arms / "mnli-panx", lambda seed, _: 10.0 + 9 * seed, start="mnli", target="panx", languages=("en", "sw", "yo"))
    found = section(arms, "low_resource")
    assert rows_of(found) == before
    assert "Left out, because not every arm has them: panx." in found.notes


def test_of_targets_with_unlike_numbers_of_languages_each_counts_once_for_chance(tmp_path):
    """PAN-X, where one tag for all scores 0, has three times as many of the languages as XNLI, where one label scores 33.3."""
    gold, tags = ["entailment", "neutral", "contradiction"] * 4, [["O", "O", "B-PER"]] * 4
    for arm in ("none", "mnli", "multilingual"):
        for seed in (1, 2):
            more = {"train_languages": ["de", "en", "sw", "ur"] if arm == "multilingual" else ["en"]}
            lineage = after("mnli", seed) if arm == "mnli" else ()
            is_blind = arm == "multilingual"
            pairs = dict.fromkeys(("en", *LOW), (gold, ["neutral"] * 12 if is_blind else gold))
            names = dict.fromkeys(("en", *LOW, "jv", "ml", "my", "yo"), (tags, [["O"] * 3] * 4 if is_blind else tags))
            write_scored_run(tmp_path / arm / f"{seed}-xnli", "xnli", pairs, lineage, seed, **more)
            write_scored_run(tmp_path / arm / f"{seed}-panx", "panx", names, lineage, seed, **more)
            write_scored_run(
                tmp_path / arm / f"{seed}-pawsx", "pawsx", dict.fromkeys(("en", "de"), (["0", "1"], ["0", "1"])), lineage, seed, **more
            )
    notes = [note for note in said(section(tmp_path, "low_resource"))[1] if "above chance" in note and "CC-100" in note]
    assert len(notes) == 1 and "16.7, one answer for all 16.7" in notes[0], notes


def test_a_users_group_counts_too_and_missing_arms_are_named(tmp_path):
    write_arm(tmp_path / "none", lambda seed, language: 50.0 + seed, languages=("en", "de", "tr"))
    write_arm(tmp_path / "mnli", lambda seed, language: 54.0 + seed, start="mnli", languages=("en", "de", "tr"))
    groups = {"resources": {"de": "low", "tr": "low"}}
    found = section(tmp_path, "low_resource", groups=groups)
    assert rows_of(found)["intermediate minus none, mean over de tr (resources (--groups))"][0].startswith("+4.0")
    missing = said(found)[1]
    assert "Missing: the arm `multilingual`." in missing and any("none among the scored ones" in note for note in missing)


def test_a_run_on_fewer_english_examples_or_with_a_kept_head_is_no_arm(tmp_path):
    plain = {"head": "fresh", "max_train_samples": None}
    for start in (None, "mnli"):
        write_arm(tmp_path / f"{start}", lambda *_: 50.0, start=start, **plain)
    before = rows_of(section(tmp_path, "low_resource"))
    for name, more in (("few", {"max_train_samples": 7}), ("kept", {"head": "kept"})):
        write_arm(tmp_path / name, lambda *_: 99.0, seeds=(1,), **{**plain, **more})
    collection = collect([tmp_path])
    assert not collection.arms and [problem.kind for problem in collection.problems] == ["contradictory"] * 2
    assert rows_of(section(tmp_path, "low_resource")) == before


def test_a_drop_is_not_computed_from_other_examples(arms):
    path = Path(arms, "a-mnli-typos/1/results.json")
    results = json.loads(path.read_text())
    for scores in results["scores"].values():
        scores |= {"examples": 3, "accuracy": 0.0}
    path.write_text(json.dumps(results))
    run = next(row for row in section(arms, "low_resource").rows if row[0].text.startswith("intermediate minus none, drop"))
    assert run[1].text.startswith("+0.0"), "the other two seeds are compared"


def test_a_drop_is_not_computed_where_the_text_was_cut_at_another_length(arms):
    for path in arms.glob("a-*-typos/*/results.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "max_seq_length": 7}))
    found = section(arms, "low_resource")
    assert not any("drop under" in row[0].text for row in found.rows)
    assert any("max_seq_length" in text and "typos:0.1" in text for text in said(found)[1])


def test_a_finished_model_that_is_only_scored_belongs_to_the_start_of_its_training(tmp_path):
    write_arm(tmp_path / "mnli", lambda *_: 50.0, seeds=(7,), start="mnli")
    (stage,) = after("mnli", 7)
    trained = {"task": "xnli", "seed": 7, "data": [], "train_languages": ["en"]}
    write_run(tmp_path / "typos", "xnli", {"sw": 40.0}, [stage, trained], seed=42, perturb="typos:0.1")
    (run,) = collect([tmp_path]).perturbed
    assert (run.start, run.seed, run.arm) == ("mnli", 7, {})


def test_of_equally_many_runs_the_plain_arm_stays_in_the_tables(tmp_path):
    write_arm(tmp_path / "a", lambda *_: 50.0, label_smoothing_factor=0.1)
    write_arm(tmp_path / "b", lambda *_: 60.0)
    collection = collect([tmp_path])
    assert {run.folder.split("/")[-2] for run in collection.runs} == {"b"} and len(collection.arms) == 3


# ---- alignment


def simulated(slope, draws, spread=1.0, seed=0):
    """(languages, draws) changes of accuracy: a slope over syntactic distance, noise of languages and of families."""
    facts, rng = read_languages(), np.random.default_rng(seed)
    distance = facts.syntactic[LANGUAGES].to_numpy()
    families = np.unique(facts.family[LANGUAGES], return_inverse=True)[1]
    noise = rng.normal(size=(len(LANGUAGES), draws)) + 0.5 * rng.normal(size=(families.max() + 1, draws))[families]
    return 10 * slope * distance[:, None] - 3 + spread * noise


def slopes(slope, draws, **more):
    return [question_alignment.slope(dict(zip(LANGUAGES, column)))[0] for column in simulated(slope, draws, **more).T]


def test_a_planted_slope_over_distance_is_found_and_a_planted_null_is_not():
    assert [answer(found, sign=-1) for found in slopes(-2.0, 50)].count("yes") >= 48
    nulls = [answer(found, sign=-1) for found in slopes(0.0, 100)]
    assert nulls.count("no") > 85 and nulls.count("yes") <= 8


def test_intervals_of_the_slope_hold_the_truth_in_95_of_100_draws():
    facts = read_languages()
    distance, families = 10 * facts.syntactic[LANGUAGES].to_numpy(), facts.family[LANGUAGES].to_numpy()
    outcomes = simulated(-1.0, 4000)
    values, errors, freedom = intervals(outcomes, distance[:, None], blocks=families)
    hits = np.abs(values + 1) <= stats.t.ppf(0.975, freedom)[:, None] * errors
    assert 0.93 <= hits.mean() <= 0.97
    one = question_alignment.slope(dict(zip(LANGUAGES, outcomes[:, 7])))[0]
    assert (one.value, one.error) == pytest.approx((values[0, 7], errors[0, 7])), "the section fits the same model"


def write_alignment(folder, intermediate, target):
    """Tatoeba before, after mnli, and after tuning on XNLI in all languages; changes for a tenth of distance."""
    facts = read_languages()
    before = {language: 90 - 40 * facts.syntactic[language] for language in LANGUAGES}
    rng = np.random.default_rng(0)
    tuning = {"data": [{"split": "train", "language": language, "examples": 9} for language in LANGUAGES]}
    for name, lineage, slope in (("before", (), 0), ("mnli", after("mnli", 1), intermediate), ("xnli", after("xnli", 1, **tuning), target)):
        scores = {x: float(np.clip(value + 10 * slope * facts.syntactic[x] + 0.5 * rng.normal(), 0, 100)) for x, value in before.items()}
        write_run(folder / name, "tatoeba", scores, lineage, phase="retrieval")


def test_the_section_alignment_says_yes_where_distance_matters_and_no_where_it_does_not(tmp_path):
    write_alignment(tmp_path / "yes", -3.0, 0.0)
    found = section(tmp_path / "yes", "alignment")
    lowers = "intermediate training lowers accuracy of distant languages more [tatoeba]: yes"
    assert said(found)[0] == f"Answer: {lowers}; more than tuning on the target language does [tatoeba]: yes."
    assert rows_of(found)["accuracy, before any training [tatoeba]"][0].startswith("-4.0 (")
    assert rows_of(found)["accuracy, change by intermediate training [tatoeba]"][1:] == [f"{len(LANGUAGES)} languages", "yes"]
    scores = {name: json.loads((tmp_path / "yes" / name / "results.json").read_text())["scores"] for name in ("before", "mnli")}
    before, after_mnli = (np.mean([scores[name][x]["accuracy"] for x in LANGUAGES]) for name in ("before", "mnli"))
    levels = [rows_of(found)[f"accuracy, {what}, mean over languages [tatoeba]"][0]
              for what in ("before any training", "change by intermediate training")]  # fmt: skip
    assert levels == [f"{before:.1f}", f"{after_mnli - before:+.1f}"] and after_mnli < before - 5, "a general loss is seen too"
    write_alignment(tmp_path / "no", 0.0, 0.0)
    assert said(section(tmp_path / "no", "alignment"))[0].count(": no") == 2


def test_measures_of_all_layers_are_read_and_the_answer_is_that_of_the_scored_one(tmp_path):
    write_alignment(tmp_path, -3.0, 0.0)
    facts = read_languages()
    for name, slope in (("before", 0.0), ("mnli", -5.0), ("xnli", -1.0)):
        path = tmp_path / name / "results.json"
        results = json.loads(path.read_text()) | {"layer": 2, "pooling": "mean"}

        def record(layer, pooling, vectors, value):
            measures = dict.fromkeys(("foreign_to_english", "cosine_difference", "margin", "anc", "isoscore"), value / 100)
            return {"layer": layer, "pooling": pooling, "vectors": vectors, "accuracy": value, **measures}

        results["by_layer"] = {
            x: [record(layer, pooling, vectors, 90 + 10 * slope * facts.syntactic[x] * (layer + 1) * (1 if pooling == "mean" else 9))
                for layer in (1, 2) for pooling in ("mean", "cls") for vectors in ("as they are", "means removed")]
            for x in results["scores"]
        }  # fmt: skip
        path.write_text(json.dumps(results))
    found = section(tmp_path, "alignment")
    rows = rows_of(found)
    assert rows["accuracy at layer 1, change by intermediate training [tatoeba]"][0].startswith("-10.0 (")
    assert rows["margin, change by intermediate training [tatoeba]"][0].startswith("-15.0 (")
    assert rows["margin, difference of the two changes [tatoeba]"][0].startswith("-12.0 (")
    assert rows["accuracy, means removed, change by intermediate training [tatoeba]"][0].startswith("-15.0 (")
    assert not any("ANC, means removed" in what for what in rows), "it is ANC itself"
    assert "accuracy, means removed, before any training [tatoeba]" not in rows and said(found)[0].count(":") == 3
    assert rows["accuracy, change by intermediate training [tatoeba]"][0].startswith("-3.")


def test_alignment_without_target_tuning_or_with_few_languages_says_what_is_missing(tmp_path):
    write_run(tmp_path / "before", "tatoeba", {"de": 90.0, "sw": 50.0}, phase="retrieval")
    write_run(tmp_path / "mnli", "tatoeba", {"de": 80.0, "sw": 50.0}, after("mnli", 1), phase="retrieval")
    answered, missing = said(section(tmp_path, "alignment"))
    assert answered == "Answer: undecided." and any("retrieval after tuning on the target languages" in note for note in missing)
    assert any("change by intermediate training: 2 with a known distance, at least 4 are needed" in note for note in missing)


def together(*tasks, **more):
    (stage,) = after(list(tasks), 1, **more)
    return [stage]


@pytest.mark.parametrize("lineage, counts", [
    (together("mnli", "squad_v1"), True),
    (together(*TOGETHER), True),
    ([*after("mnli", 1), *after("squad_v1", 1)], True),
    (together("mnli", "squad_v1", mlm_share=0.5), False),
    (after("mnli", 1, data=[{"split": "train", "language": "de", "examples": 9}]), False),
    ([*after("mnli", 1), *after("xquad", 1)], False),
])  # fmt: skip
def test_english_intermediate_training_is_one_task_or_several_and_in_english_alone(lineage, counts, tmp_path):
    write_alignment(tmp_path, -3.0, 0.0)
    path = tmp_path / "mnli" / "results.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"lineage": lineage}))
    rows = rows_of(section(tmp_path, "alignment"))
    assert ("accuracy, change by intermediate training [tatoeba]" in rows) is counts


def test_sections_name_the_starts_that_they_average_and_those_that_they_leave_out(tmp_path):
    rng = np.random.default_rng(0)
    for seed in (1, 2):
        write_grid(tmp_path, lambda *pair: rng.normal(), {}, ("mnli", "squad_v1"), ("xnli", "xquad"), seed=seed)
        for target in ("xnli", "xquad"):
            write_run(tmp_path / f"{seed}/both/{target}", target, {"de": 70.0, "fr": 70.0}, together("mnli", "squad_v1"), seed)
    for name in ("domain", "cross_task"):
        assert any("Left out: mnli+squad_v1" in note for note in section(tmp_path, name).notes), name
    for name in ("low_resource", "calibration"):
        assert any("Intermediate training: mnli, mnli+squad_v1, squad_v1." in note for note in section(tmp_path, name).notes), name


# ---- calibration


def changes(difference, draws, spread=0.5, seed=0):
    facts, rng = read_languages(), np.random.default_rng(seed)
    cells = [(task, language) for task in ("xnli", "xquad", "udpos") for language in TASKS[task].languages if language != "en"]
    is_far = np.array([facts.syntactic[language] >= question_calibration.FAR for _, language in cells])
    families = np.unique([facts.family[language] for _, language in cells], return_inverse=True)[1]
    noise = rng.normal(size=(len(cells), draws)) + 0.3 * rng.normal(size=(families.max() + 1, draws))[families]
    return cells, 2 + difference * is_far[:, None] + spread * noise


@pytest.mark.parametrize("difference, word", [(3.0, "yes"), (0.0, "no")])
def test_a_difference_of_differences_is_found_where_it_is_planted(difference, word):
    cells, values = changes(difference, 60)
    hits, words = 0, []
    for column in values.T:
        found = question_calibration.Section()
        words.append(question_calibration.add_groups(found, dict(zip(cells, column)), "ECE", 1.0, 1))
        low, high = (float(part) for part in found.rows[-1][1].text.split("(")[1].rstrip(")").split(" to "))
        hits += low - 0.05 <= difference <= high + 0.05
    assert words.count(word) > 50 and words.count({"yes": "no", "no": "yes"}[word]) <= 5
    assert hits >= 54


def test_the_arm_with_label_smoothing_is_found_in_a_grid_on_few_examples_too(tmp_path):
    """What all runs share, here a smaller training set, is no arm."""
    for start in (None, "mnli"):
        for smoothing in (None, 0.1):
            more = {"max_train_samples": 64, **({"label_smoothing_factor": smoothing} if smoothing else {})}
            write_arm(tmp_path / f"{smoothing}-{start}", lambda *_: 50.0, seeds=(1,) if smoothing else (1, 2), start=start, **more)
    write_arm(tmp_path / "other", lambda *_: 50.0, seeds=(1,), max_train_samples=9, label_smoothing_factor=0.1)
    found = question_calibration.smoothed_runs(collect([tmp_path]))
    assert sorted(Path(run.folder).parent.name for run in found) == ["0.1-None", "0.1-mnli"]


def test_label_smoothing_is_judged_after_the_same_temperatures_as_intermediate_training(tmp_path):
    """Planted: logits three times too large, with smoothing twice. Any temperature takes both back to the same probabilities."""
    languages = ("en", "de", "fr", "zh", "ja")
    for arm, factor in (("plain", 3.0), ("smoothed", 2.0)):
        more = {"label_smoothing_factor": 0.1} if arm == "smoothed" else {}
        write_arm(tmp_path / arm, lambda *_: 50.0, seeds=(1,), languages=languages, **more)
        kept = tmp_path / arm / "1/predictions/xnli"
        kept.mkdir(parents=True)
        for place, name in enumerate(("dev-en", *(f"test-{language}" for language in languages))):
            logits = np.random.default_rng(place).normal(size=(400, 3))
            gold = (np.random.default_rng(100 + place).random((400, 1)) > np.exp(log_softmax(logits, axis=1)).cumsum(1)).sum(1)
            np.savez(kept / f"{name}.npz", log_probabilities=log_softmax(factor * logits, axis=1), gold=gold)
    values = {row[0].text: row[1].value for row in section(tmp_path, "calibration", temperature_examples=100).rows}
    for temperature in ("from English dev", "from the language"):
        assert abs(values[f"NLL, label smoothing, temperature {temperature}, near"]) < 0.02
    assert values["NLL, label smoothing, no temperature, near"] < -0.1


def test_a_group_of_one_language_is_named_and_leaves_it_undecided():
    found = question_calibration.Section()
    assert question_calibration.add_groups(found, {("xnli", "de"): 1.0, ("xnli", "sw"): 4.0}, "ECE", 1.0, 1) == "undecided"
    assert found.missing == ["languages of the group `near`: 1.", "languages of the group `distant`: 1."]


# ---- all of them


def test_every_question_says_what_is_missing_where_hardly_anything_is_there(tmp_path):
    write_run(tmp_path / "a", "xnli", {"de": 50.0})
    for name in QUESTIONS:
        answered, missing = said(section(tmp_path, name))
        assert answered.endswith("undecided.") and missing, name
    assert question_tables(Analysis(collect([tmp_path]), resamples=0)) == []


def test_an_unknown_question_is_one_line(tmp_path, capsys):
    write_run(tmp_path / "a", "xnli", {"de": 50.0})
    assert run_report.main([str(tmp_path), "--questions", "domains"]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "--questions domains: one or several of domain, cross_task" in line
