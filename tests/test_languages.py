"""Facts about languages, the groups that come of them, and a user's own."""

import json

import numpy as np
import pytest
from scipy import stats
from test_report import after, cells_of, nli_answers, write_run, write_scored_run

import run_report
from report import tables
from report.analysis import Analysis
from report.collect import collect
from report.languages import GROUPINGS, MEASURES, amount, groups_of, read_groups, read_languages, sources
from task_adapters import TASKS, InputError


def test_every_language_of_every_task_stands_in_the_table_and_every_column_has_a_source():
    table = read_languages()
    needed = {language for task in TASKS.values() for language in (*task.languages, *task.xtreme_r)}
    assert needed == set(table.index) and table.index.is_unique and len(table) == 210
    assert set(sources()) == {"language", *table.columns}
    assert not table.drop(columns="imputed").isin(["", None]).any().any() and not table.isna().any().any()
    distances = table[["syntactic", "phylogenetic", "geographic"]]
    assert ((distances >= 0) & (distances <= 1)).all().all() and (distances.loc["en"] == 0).all()
    assert set(table.joshi) == {"0", "1", "2", "3", "4", "5", "unknown"}
    assert set(table.imputed) == {"", "syntactic"}  # shares are rounded: Malayalam's 0.498 stands there as 0.50
    assert table.syntax_observed[table.imputed == "syntactic"].max() <= 0.5 <= table.syntax_observed[table.imputed == ""].min()


def test_a_variety_of_flores_has_the_script_in_its_name_and_the_family_of_its_language():
    """Facts that any encyclopaedia has; the script of a FLORES name is an ISO 15924 code."""
    table = read_languages()
    scripts = {"Latn": "Latin", "Arab": "Arabic", "Cyrl": "Cyrillic", "Deva": "Devanagari", "Ethi": "Ethiopic",
               "Tibt": "Tibetan", "Armn": "Armenian", "Khmr": "Khmer", "Laoo": "Lao", "Tfng": "Tifinagh",
               "Olck": "Ol Chiki", "Nkoo": "N'Ko", "Hant": "Han", "Sinh": "Sinhala"}  # fmt: skip
    named = [(code, code.split("_")[1]) for code in table.index if "_" in code]
    assert len(named) == 160
    assert {code: table.script[code] for code, script in named if script in scripts} == {
        code: scripts[script] for code, script in named if script in scripts
    }
    families = {"swe_Latn": "Indo-European", "uzn_Latn": "Turkic", "amh_Ethi": "Afro-Asiatic",
                "khk_Cyrl": "Mongolic-Khitan", "lvs_Latn": "Indo-European", "zul_Latn": "Atlantic-Congo",
                "ayr_Latn": "Aymaran", "grn_Latn": "Tupian", "kan_Knda": "Dravidian", "sat_Olck": "Austroasiatic",
                "smo_Latn": "Austronesian", "lao_Laoo": "Tai-Kadai", "nqo_Nkoo": "Mande", "luo_Latn": "Nilotic",
                "ory_Orya": "Indo-European"}  # fmt: skip
    assert table.family[list(families)].to_dict() == families
    same = {"zho_Hant": "zh", "hin_Latn": "hi", "urd_Latn": "ur", "ben_Latn": "bn", "arb_Latn": "ar"}
    for code, other in same.items():  # one language in another script: only the script and the amount of text differ
        columns = ["name", "family", "joshi", "syntactic", "phylogenetic", "geographic"]
        assert table.loc[code, columns].equals(table.loc[other, columns].rename(code)), code
        assert table.cc100_gib[code] != table.cc100_gib[other]
    close = table.phylogenetic[["nob_Latn", "nno_Latn", "lvs_Latn", "ltg_Latn", "swe_Latn", "dan_Latn", "slk_Latn", "bos_Latn"]]
    assert (close < 0.95).all(), "no Indo-European language lacks its family because it stands under another code"


def test_classes_and_amounts_of_the_languages_beyond_xtreme_r():
    """Joshi et al. name Swedish a 4 and Egyptian Arabic a 3, and no other Arabic dialect; CC-100's romanised Hindi is counted apart."""
    table = read_languages()
    classes = {"swe_Latn": "4", "ces_Latn": "4", "srp_Cyrl": "4", "arz_Arab": "3", "uzn_Latn": "3", "dan_Latn": "3",
               "amh_Ethi": "2", "xho_Latn": "2", "isl_Latn": "2", "als_Latn": "1", "nob_Latn": "1", "kan_Knda": "1",
               "mos_Latn": "0", "shn_Mymr": "0", "ars_Arab": "unknown"}  # fmt: skip
    assert table.joshi[list(classes)].to_dict() == classes
    amounts = {"swe_Latn": 85, "nob_Latn": 49, "nno_Latn": 0, "zho_Hant": 16.6, "hin_Latn": 0.5, "npi_Latn": 0,
               "srp_Cyrl": 9.1, "gaz_Latn": 0.1, "arz_Arab": 0, "arb_Latn": 0, "kmr_Latn": 0.4, "ckb_Arab": 0,
               "min_Latn": 0}  # fmt: skip
    assert table.cc100_gib[list(amounts)].to_dict() == amounts


def test_facts_that_are_known_from_elsewhere():
    """Distances as measured before this table was made; isolates have nothing in common with English; absent from CC-100 is 0."""
    table = read_languages()
    known = {
        "nl": 0.249,
        "de": 0.283,
        "he": 0.459,
        "fi": 0.497,
        "th": 0.558,
        "ml": 0.640,
        "kk": 0.705,
        "my": 0.742,
        "zh": 0.497,
        "ar": 0.549,
    }
    assert table.syntactic[list(known)].to_dict() == pytest.approx(known, abs=5e-4)
    of_xtreme_r = table[~table.index.str.contains("_")]
    assert (table.phylogenetic[["eu", "ko", "ja", "fi"]] == 1).all()
    assert table.phylogenetic["de"] == of_xtreme_r.phylogenetic.drop("en").min()
    assert of_xtreme_r.index[of_xtreme_r.cc100_gib == 0].tolist() == ["ht", "qu", "wo", "yo"]
    assert set(of_xtreme_r.index[of_xtreme_r.imputed == "syntactic"]) == {"af", "gu", "ht", "jv", "kk", "ml", "qu"}
    assert table.script[["zh", "ja", "ta", "hu", "en", "vi", "ka"]].tolist() == [
        "Han",
        "Japanese",
        "Tamil",
        "Latin",
        "Latin",
        "Latin",
        "Georgian",
    ]


def test_what_cc100_lacks_is_a_group_of_its_own():
    assert [amount(gib) for gib in (0, 0.2, 1.0, 9.9, 10, 50, 300)] == [
        "not in CC-100", "below 1 GiB", "1 to 10 GiB", "1 to 10 GiB", "10 to 50 GiB", "50 GiB and more", "50 GiB and more"]  # fmt: skip
    groups = groups_of(["en", "de", "yo", "jv", "xx"])
    assert groups["cc100"] == {"unknown": ["xx"], "not in CC-100": ["yo"], "below 1 GiB": ["jv"], "50 GiB and more": ["de"]}
    assert groups["family"]["Indo-European"] == ["de"], "English is in no group"


def test_a_users_groups_are_read_and_every_mistake_is_one_line(tmp_path):
    path = tmp_path / "groups.csv"
    path.write_text("language,region\nde,Europe\nzh,Asia\n")
    assert read_groups(str(path)) == {"region": {"de": "Europe", "zh": "Asia"}}
    for text, said in (
        ("code,region\nde,x\n", "a column `language` and one or more"),
        ("language\nde\n", "a column `language` and one or more"),
        ("", "it has: none"),
        ("language,family\nde,x\n", "family is a grouping of the report"),
        ("language,region\nde\n", "groups.csv:2: every column needs a value"),
        ("language,region\nde,x,y\n", "groups.csv:2: every column needs a value"),
        ("language,region\nde,x\nde,y\n", "groups.csv:2: de stands there twice"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=said):
            read_groups(str(path))
    with pytest.raises(InputError, match="cannot be read"):
        read_groups(str(tmp_path / "none.csv"))


def test_group_means_are_those_of_a_calculator(tmp_path):
    scores = {"en": 80.0, "de": 60.0, "ru": 50.0, "zh": 40.0, "sw": 30.0}
    write_run(tmp_path / "a", "xnli", scores)
    write_run(tmp_path / "b", "xnli", {**scores, "de": 70.0, "zh": 30.0}, after("mnli", 42))
    (tmp_path / "own.csv").write_text("language,<b>continent</b>\nde,Europe\nru,Europe\nsw,Africa\n")
    analysis = Analysis(collect([tmp_path]), resamples=0, groups=read_groups(str(tmp_path / "own.csv")))
    found = {(row[0].text, row[1].text): row[2].text for row in tables.group_table(analysis, "family").rows}
    assert found["baseline", "Indo-European"] == "55.0 (2)" and found["mnli", "Indo-European"] == "+5.0"
    assert found["baseline", "Sino-Tibetan"] == "40.0 (1)" and found["mnli", "Sino-Tibetan"] == "-10.0"
    table = tables.group_table(analysis, "<b>continent</b>")
    assert {(row[0].text, row[1].text): row[2].text for row in table.rows}["baseline", "unknown"] == "40.0 (1)"
    assert table.name == "groups_b_continent_b"
    assert {f"groups_{name}" for name in GROUPINGS} < {table.name for table in tables.all_tables(analysis)}
    assert cells_of(tables.by_language(analysis, analysis.columns[0]))["baseline"][-1] == "sw", "the worst language"


def test_intervals_of_a_group_are_those_of_its_examples(tmp_path):
    rng = np.random.default_rng(0)
    answers = {start: {language: nli_answers(rng, share) for language in ("en", "de", "ru")} for start, share in ((0, 0.5), (1, 0.7))}
    write_scored_run(tmp_path / "a", "xnli", answers[0])
    write_scored_run(tmp_path / "b", "xnli", answers[1], after("mnli", 42))
    column = Analysis(collect([tmp_path]), resamples=4000).columns[0]
    difference = column.by_group["family", "Indo-European"][column.runs[0].model, "mnli"][1]
    gains = np.array([
        [(a[1][i] == a[0][i]) - (b[1][i] == b[0][i]) for i in range(300)]
        for a, b in ((answers[1][language], answers[0][language]) for language in ("de", "ru"))
    ])  # fmt: skip
    assert difference.value == pytest.approx(100 * gains.mean(), abs=1e-9)
    assert difference.error == pytest.approx(100 * gains.mean(0).std() / np.sqrt(300), rel=0.03), "translations are drawn together"


def test_rank_correlations_are_those_of_scipy(tmp_path):
    languages = TASKS["xnli"].languages
    rng = np.random.default_rng(0)
    scores = {language: float(rng.uniform(40, 80)) for language in languages}
    write_run(tmp_path / "a", "xnli", scores)
    write_run(
        tmp_path / "b", "xnli", {language: score + float(rng.uniform(-5, 5)) for language, score in scores.items()}, after("mnli", 42)
    )
    analysis = Analysis(collect([tmp_path]), resamples=0)
    found = {(row[0].text, row[1].text): row[2] for row in tables.correlation_table(analysis).rows}
    others = [language for language in languages if language != "en"]
    facts = read_languages()
    gained = json.loads((tmp_path / "b/results.json").read_text())["scores"]
    for measure, name in MEASURES.items():
        rho = stats.spearmanr(facts[measure][others], [scores[language] for language in others]).statistic
        assert found["baseline", name].value == pytest.approx(rho, abs=1e-9) and "n = 14" in found["baseline", name].text
        gains = [gained[language]["accuracy"] - scores[language] for language in others]
        assert found["mnli", name].value == pytest.approx(stats.spearmanr(facts[measure][others], gains).statistic, abs=1e-9)


def test_the_note_on_imputed_features_names_languages_of_the_report_alone(tmp_path):
    scores = dict.fromkeys(["en", "de", "af", "kk", "swe_Latn", "slk_Latn"], 50.0)
    write_run(tmp_path / "a", "sib200", scores)
    notes = tables.correlation_table(Analysis(collect([tmp_path / "a"]), resamples=0)).notes
    assert any("are imputed for: af, kk, slk_Latn." in note for note in notes)
    write_run(tmp_path / "b", "sib200", {"en": 50.0, "de": 50.0, "ar": 40.0})
    assert not any("imputed" in note for note in tables.correlation_table(Analysis(collect([tmp_path / "b"]), resamples=0)).notes)


def test_the_command_takes_a_users_groups(tmp_path, capsys):
    write_run(tmp_path / "a", "xnli", {"de": 60.0, "zh": 50.0})
    (tmp_path / "own.csv").write_text("language,region\nde,Europe\n")
    assert (
        run_report.main([str(tmp_path), "--groups", str(tmp_path / "own.csv"), "--output_dir", str(tmp_path / "r"), "--format", "md"]) == 0
    )
    assert "### Groups: region (--groups)" in (tmp_path / "r/report.md").read_text()
    assert run_report.main([str(tmp_path), "--groups", str(tmp_path / "no.csv")]) == 2
    assert "--groups" in capsys.readouterr().err
