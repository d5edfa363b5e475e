"""XTREME-R, SIB-200 and Belebele: their data, training in two stages, ranking scores and the searches that they need."""

import json
import random
import shutil
import sys

import numpy as np
import pytest
import torch
from conftest import ROOT, SHARED, WORDS, Cut, qa_rows, text, write_hub_folder

import metrics
import run_intermediate
import run_retrieval
import run_target
from console import run_script
from metrics import average_precision, mean_average_precision, mean_reciprocal_rank
from predictions import prediction_path, read_labels, read_predictions, score_folders, write_labels, write_predictions
from report.collect import collect
from results import RunFolder
from samples.lexicon import LANGUAGES
from samples.write_data import write_all
from task_adapters import BENCHMARKS, PAPERS_TASKS, TASKS, InputError, benchmark_of, load_examples, with_languages_of
from task_adapters.__main__ import main as check
from task_adapters.flores import TWO_LETTERS
from task_types import ranking
from trainer import loop
from trainer.generalised import matrix_lines
from trainer.stages import flags_of_first_stage

FAST = ["--learning_rate", "2e-3", "--num_train_epochs", "4", "--effective_batch_size", "16", "--per_device_train_batch_size", "16",
        "--use_cpu", "--disable_tqdm", "true", "--max_seq_length", "64"]  # fmt: skip


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def write_tsv(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(row) + "\n" for row in (("index_id", "category", "text"), *rows)), encoding="utf-8")


# ---- SIB-200 and Belebele


def test_languages_of_flores_have_the_codes_that_other_tasks_give_them():
    assert len(TASKS["sib200"].languages) == 205 and len(TASKS["belebele"].languages) == 122
    known = {language for name in (*PAPERS_TASKS, "xcopa") for language in TASKS[name].languages}
    for name in ("sib200", "belebele"):
        assert {code for code in TASKS[name].languages if len(code) == 2} <= set(TWO_LETTERS.values())
    assert known <= set(TASKS["sib200"].languages), "a report can compare every language of the other tasks"
    config_of = TASKS["sib200"].sources[0].config_for
    assert [config_of(code) for code in ("en", "zh", "zho_Hant", "ms")] == ["eng_Latn", "zho_Hans", "zho_Hant", "zsm_Latn"]


def test_tsv_files_of_sib200_keep_quotation_marks_and_the_dev_file_is_the_dev_split(tmp_path):
    folder = tmp_path / "Davlan/sib200/data/eng_Latn"
    write_tsv(folder / "dev.tsv", ("1", "sports", '"He said ""go"" and went."'), ("2", "travel", 'A 6" wall.'))
    examples, _ = load_examples(TASKS["sib200"], "dev", "en", str(tmp_path))
    assert examples["text_a"][:] == ['He said "go" and went.', 'A 6" wall.'] and examples["label"][:] == ["sports", "travel"]


def test_a_topic_outside_the_seven_is_refused(tmp_path):
    write_tsv(tmp_path / "Davlan/sib200/data/swh_Latn/test.tsv", ("1", "weather", "Mvua."))
    with pytest.raises(InputError, match=r"swh_Latn/test.tsv, line 2: label 'weather' is not one of entertainment, geography"):
        load_examples(TASKS["sib200"], "test", "sw", str(tmp_path))


def test_belebele_reads_one_jsonl_for_each_language(tmp_path):
    path = tmp_path / "facebook/belebele/data/swh_Latn.jsonl"
    path.parent.mkdir(parents=True)
    row = {"flores_passage": "p", "question": "q", **{f"mc_answer{i}": f"a{i}" for i in range(1, 5)}, "correct_answer_num": "2"}
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    examples, provenance = load_examples(TASKS["belebele"], "test", "sw", str(tmp_path))
    assert examples.to_list() == [{"context": "p", "question": "q", "choices": ["a1", "a2", "a3", "a4"], "label": 1}]
    assert provenance["config"] == "swh_Latn"
    with pytest.raises(InputError, match="belebele has no 'train' split"):
        load_examples(TASKS["belebele"], "train", "en", str(tmp_path))


# ---- XCOPA: two stages


def told_choices(rng, language, count):
    """(context, choices, place of the right one): the right choice says surely, the others say never."""
    right, told = rng.randrange(count), WORDS[language]["NLI"]
    verdicts = [told["entailment" if place == right else "contradiction"] for place in range(count)]
    return text(rng, language), [f"{verdict} {text(rng, language)}" for verdict in verdicts], right


def siqa_rows(rng, n):
    for _ in range(n):
        context, choices, right = told_choices(rng, "en", 3)
        yield {"context": context, "question": "number ?", **dict(zip(("answerA", "answerB", "answerC"), choices)), "label": str(right + 1)}


def copa_rows(rng, language, n):
    for i in range(n):
        context, choices, right = told_choices(rng, language, 2)
        yield {"premise": context, "choice1": choices[0], "choice2": choices[1], "question": "cause", "label": right, "idx": i}


@pytest.fixture(scope="module")
def choice_data(tmp_path_factory):
    """A --data_dir with Social IQa, COPA and XCOPA in two languages."""
    root, rng = tmp_path_factory.mktemp("choices"), random.Random(0)
    for split, n in (("train", 160), ("validation", 40)):
        path = root / f"allenai/social_i_qa/default/{split}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in siqa_rows(rng, n)), encoding="utf-8")
        write_hub_folder(root, "aps/super_glue", "copa", split, list(copa_rows(rng, "en", n)), None)
    for language, words in (("it", "en"), ("et", "de")):
        write_hub_folder(root, "cambridgeltl/xcopa", language, "test", list(copa_rows(rng, words, 30)), None)
    return str(root)


@pytest.fixture(scope="module")
def siqa_run(tiny_model, choice_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "siqa"
    with pytest.MonkeyPatch.context() as patch:
        flags = ["--task", "siqa", "--model_name_or_path", tiny_model, "--data_dir", choice_data, *FAST, "--output_dir", str(folder)]
        patch.setattr(sys, "argv", ["run_intermediate.py", *flags])
        run_intermediate.main()
    return folder


def xcopa_flags(model, choice_data):
    return ("--task", "xcopa", "--model_name_or_path", model, "--data_dir", choice_data, *FAST, "--languages", "it", "et")


def test_one_command_trains_both_stages_of_xcopa(call, tiny_model, choice_data, tmp_path):
    flags = (*xcopa_flags(tiny_model, choice_data), "--output_dir", tmp_path / "xcopa")
    results = call(run_target, *flags)
    first = json.loads((tmp_path / "xcopa/siqa/results.json").read_text())
    assert first["task"] == "siqa" and first["phase"] == "intermediate" and first["head"] == "fresh" and first["max_seq_length"] == 64
    assert results["head"] == "kept" and results["model_name_or_path"].endswith("xcopa/siqa")
    assert [stage["task"] for stage in results["stages"]] == ["siqa"] and results["lineage"] == []
    assert results["model"]["name_or_path"] == tiny_model, "where the whole training started"
    assert {part["task"] for part in results["data"]} == {"copa", "xcopa"}
    assert results["scores"]["it"]["accuracy"] > 70, results["scores"]
    lines = (tmp_path / "xcopa/predictions/xcopa/test-it.jsonl").read_text().splitlines()
    assert len(lines) == 30 and all(json.loads(line) in ({"label": 0}, {"label": 1}) for line in lines)
    before = [(tmp_path / "xcopa" / name).stat().st_mtime_ns for name in ("results.json", "siqa/results.json")]
    assert call(run_target, *flags)["finished"] == results["finished"]
    assert before == [(tmp_path / "xcopa" / name).stat().st_mtime_ns for name in ("results.json", "siqa/results.json")]


def test_a_grid_counts_the_first_stage_of_xcopa_as_no_intermediate_training(call, siqa_run, choice_data, tmp_path):
    shutil.copytree(siqa_run, tmp_path / "siqa")
    call(run_target, *xcopa_flags(str(tmp_path / "siqa"), choice_data), "--num_train_epochs", "1", "--output_dir", tmp_path / "xcopa")
    collection = collect([str(tmp_path)])
    assert [(run.start, run.task) for run in collection.scored] == [("baseline", "xcopa")] and not collection.problems


def test_a_checkpoint_that_has_seen_social_iqa_skips_the_first_stage(call, siqa_run, choice_data, tmp_path):
    results = call(run_target, *xcopa_flags(str(siqa_run), choice_data), "--num_train_epochs", "1", "--output_dir", tmp_path / "xcopa")
    assert not (tmp_path / "xcopa/siqa").exists() and results["head"] == "kept"
    assert [stage["folder"] for stage in results["stages"]] == [str(siqa_run)]


def test_a_finished_first_stage_is_not_trained_again_when_the_second_is_begun(call, tiny_model, choice_data, tmp_path):
    """A run that was cut off in its second stage: the command finds the first one finished in its folder."""
    call(run_intermediate, "--task", "siqa", "--model_name_or_path", tiny_model, "--data_dir", choice_data, *FAST,
         "--output_dir", tmp_path / "xcopa/siqa")  # fmt: skip
    before = (tmp_path / "xcopa/siqa/model.safetensors").stat().st_mtime_ns
    results = call(run_target, *xcopa_flags(tiny_model, choice_data), "--output_dir", tmp_path / "xcopa")
    assert (tmp_path / "xcopa/siqa/model.safetensors").stat().st_mtime_ns == before
    assert [stage["task"] for stage in results["stages"]] == ["siqa"]


def test_a_kill_in_either_stage_of_xcopa_and_between_them_changes_nothing(call, cut, tiny_model, choice_data, tmp_path):
    flags = xcopa_flags(tiny_model, choice_data)
    whole = call(run_target, *flags, "--output_dir", tmp_path / "whole")
    first, second = tmp_path / "killed/siqa", tmp_path / "killed"

    def trains(trainer, folder):
        return trainer.args.output_dir == str(folder)

    kills = {
        "at the end of the first training": (loop.RunTrainer, "_finalize_training", lambda trainer, *_: trains(trainer, first)),
        "between the stages": (RunFolder, "begin", lambda folder, *_: folder.path == second),
        "at the end of the second training": (loop.RunTrainer, "_finalize_training", lambda trainer, *_: trains(trainer, second)),
        "while the second language is scored": (loop, "score_with_loss", lambda *args: args[4] == "et"),
        "before the results": (RunFolder, "finish", lambda folder, *_: folder.path == second),
    }  # fmt: skip
    for when, kill in kills.items():  # one folder: each kill comes later than the one before
        undo = cut(*kill)
        before = (first / "results.json").read_bytes() if (first / "results.json").exists() else None
        with pytest.raises(Cut):
            call(run_target, *flags, "--output_dir", second)
        undo()
        assert not (second / "results.json").exists(), when
        assert before is None or before == (first / "results.json").read_bytes(), when
    results = call(run_target, *flags, "--output_dir", second)
    assert results["scores"] == whole["scores"] and results["lineage"] == [] and results["model"] == whole["model"]
    assert [stage["task"] for stage in results["stages"]] == ["siqa"]
    for name in ("model.safetensors", "siqa/model.safetensors", "predictions/xcopa/test-it.jsonl", "predictions/xcopa/test-et.jsonl"):
        assert (second / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_other_settings_than_those_of_a_killed_second_stage_are_refused_before_the_first(call, cut, tiny_model, choice_data, tmp_path):
    undo = cut(RunFolder, "finish", lambda folder, *_: folder.path == tmp_path)
    with pytest.raises(Cut):
        call(run_target, *xcopa_flags(tiny_model, choice_data), "--num_train_epochs", "1", "--output_dir", tmp_path)
    undo()
    shutil.rmtree(tmp_path / "siqa")
    with pytest.raises(InputError, match="holds a run with num_train_epochs 1"):
        call(run_target, *xcopa_flags(tiny_model, choice_data), "--num_train_epochs", "2", "--output_dir", tmp_path)
    assert not (tmp_path / "siqa").exists()


def test_the_recipe_copa_trains_on_copa_alone(call, tiny_model, choice_data, tmp_path):
    flags = (*xcopa_flags(tiny_model, choice_data), "--num_train_epochs", "1", "--recipe", "copa", "--output_dir", tmp_path / "xcopa")
    results = call(run_target, *flags)
    assert "stages" not in results and results["head"] == "fresh" and not (tmp_path / "xcopa/siqa").exists()


def test_flags_of_the_second_stage_are_not_handed_to_the_first():
    argv = ["--task", "xcopa", "--languages", "it", "et", "--seed", "3", "--oracle", "--bf16", "--train-file", "a.jsonl",
            "--recipe=xtreme-r", "--output_dir", "out", "--max_train_samples", "9"]  # fmt: skip
    assert flags_of_first_stage(argv) == ["--seed", "3", "--bf16", "--recipe=xtreme-r", "--max_train_samples", "9"]


@pytest.mark.parametrize("more, said", [
    (["--keep_head"], "--keep_head: xcopa always keeps the head of its first stage, siqa"),
    (["--languages", "sw"], "holds no split 'test'|does not exist"),
])  # fmt: skip
def test_what_the_second_stage_cannot_have_is_refused_before_the_first(more, said, call, tiny_model, choice_data, tmp_path):
    with pytest.raises(InputError, match=said):
        call(run_target, *xcopa_flags(tiny_model, choice_data), *more, "--output_dir", tmp_path / "xcopa")
    assert not (tmp_path / "xcopa/siqa").exists()


def test_a_folder_of_another_run_is_refused_before_the_first_stage(call, tiny_model, choice_data, tmp_path):
    (tmp_path / "run.json").write_text('{"task": "xnli"}')
    (tmp_path / "predictions").mkdir()
    with pytest.raises(InputError, match="holds a run with phase None; this command says 'target'"):
        call(run_target, *xcopa_flags(tiny_model, choice_data), "--output_dir", tmp_path)
    assert not (tmp_path / "siqa").exists()


# ---- files of multiple choice


def test_places_of_choices_are_written_and_read_as_xtreme_r_does(tmp_path):
    path = write_predictions(tmp_path, "xcopa", "sw", [1, 0, 1])
    assert path == prediction_path(tmp_path, "xcopa", "sw") and path.name == "test-sw.jsonl"
    assert path.read_text() == '{"label": 1}\n{"label": 0}\n{"label": 1}\n'
    assert read_predictions(tmp_path, "xcopa", "sw") == read_labels(tmp_path, "xcopa", "sw") == [1, 0, 1]


@pytest.mark.parametrize("line", ['{"label": 2}', '{"label": "1"}', '{"label": true}', "1", '{"gold": 1}', "x"])
def test_a_line_that_names_no_choice_is_refused(line, tmp_path):
    path = prediction_path(tmp_path, "xcopa", "sw")
    path.parent.mkdir(parents=True)
    path.write_text('{"label": 0}\n' + line + "\n")
    with pytest.raises(ValueError, match=r"test-sw.jsonl:2: "):
        read_predictions(tmp_path, "xcopa", "sw")


def test_the_papers_tasks_are_still_eighteen():
    assert len(PAPERS_TASKS) == 18 and not {"siqa", "copa"} & set(PAPERS_TASKS)
    from arguments import find_tasks

    assert len(find_tasks({"task": ["all"]}, "intermediate")) == 9


# ---- ranking scores

RANKINGS = [  # right answers, ranked, k, average precision by hand
    ("a", "abc", 20, 1.0),
    ("a", "bca", 20, 1 / 3),
    ("ab", "acb", 20, (1 + 2 / 3) / 2),
    ("ab", "cab", 2, 1 / 2 / 2),  # the second right answer stands behind the cut
    ("abc", "xyzab", 5, (1 / 4 + 2 / 5) / 3),
    ("abcdefghijk", "a", 20, 1 / 11),  # LAReQA: one right answer in each of eleven languages
    ("abc", "ab", 2, 1.0),  # no more than k right answers are expected
    ("abc", "ab", None, 2 / 3),
    ("a", "", 20, 0.0),
]


@pytest.mark.parametrize("relevant, ranked, k, wanted", RANKINGS)
def test_average_precision_is_the_one_computed_by_hand(relevant, ranked, k, wanted):
    assert average_precision(set(relevant), list(ranked), k) == pytest.approx(wanted, abs=1e-12)


def test_ranking_scores_are_means_over_all_questions_and_an_absent_one_scores_nothing():
    gold, predicted = {"q1": ["a"], "q2": ["b"], "q3": ["c"]}, {"q1": ["x", "a"], "q2": [*"acdefghijklmnopqrstu", "b"]}
    assert mean_average_precision(gold, predicted, "de") == {"map20": pytest.approx(100 / 6)}
    assert mean_reciprocal_rank(gold, predicted, "de") == {"mrr20": pytest.approx(100 / 6)}, "rank 21 is behind the cut"
    assert mean_average_precision(gold, predicted | {"q4": ["a"]}, "de") == mean_average_precision(gold, predicted, "de")
    with pytest.raises(ValueError, match="'q' has 2 right answers"):
        mean_reciprocal_rank({"q": ["a", "b"]}, {}, "de")
    with pytest.raises(ValueError, match="no gold questions"):
        mean_average_precision({}, {}, "de")


def test_ranking_scores_are_those_of_xtreme_rs_own_code():
    if not (SHARED / "golden/ranking.json").is_file():
        pytest.skip("needs ../shared/golden/ranking.json, which is not here")
    golden = json.loads((SHARED / "golden/ranking.json").read_text())
    for case in golden["average_precision"]:
        found = average_precision(set(case["targets"]), case["ranked"], case["k"])
        assert found == pytest.approx(case["average_precision"], abs=1e-9), case
    for case in (golden["mewslix"], *golden["mewslix_mock"].values()):
        found = mean_reciprocal_rank(case["labels"], case["predictions"], "en")
        assert found["mrr20"] == pytest.approx(case["score"], abs=1e-9)


# ---- the search


def integers(rng, n, width=8):
    """Vectors whose products are exact in single precision, with many equal ones."""
    return torch.from_numpy(rng.integers(-2, 3, (n, width)).astype(np.float32))


@pytest.mark.parametrize("queries, candidates, k, block", [(70, 300, 20, 64), (33, 1000, 20, 96), (5, 12, 20, 64), (40, 257, 3, 32)])
def test_the_search_in_blocks_finds_what_sorting_everything_finds(queries, candidates, k, block):
    rng = np.random.default_rng(0)
    left, right = integers(rng, queries), integers(rng, candidates)
    search = ranking.Search(left, k, block)
    for part in right.split(101):
        search.add(part)
    scores = left.numpy() @ right.numpy().T
    wanted = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    values, positions = search.result()
    assert (positions == wanted).all() and (values == np.take_along_axis(scores, wanted, 1)).all()


def test_ranks_count_better_candidates_and_equal_ones_before():
    rng = np.random.default_rng(1)
    left, right = integers(rng, 50), integers(rng, 90)
    places = rng.integers(0, 90, (50, 3))
    order = np.argsort(-(left.numpy() @ right.numpy().T), axis=1, kind="stable")
    wanted = np.argsort(order, axis=1)[np.arange(50)[:, None], places] + 1
    assert (ranking.ranks(left, right, places, block=16) == wanted).all()


# ---- LAReQA


def paragraph(context, breaks, *questions):
    qas = [{"id": name, "question": f"{name}?", "answers": [{"text": "x", "answer_start": start}]} for name, start in questions]
    return {"context": context, "sentence_breaks": breaks, "sentences": [context[a:b] for a, b in breaks], "qas": qas}


def write_lareqa(root, language, *paragraphs):
    path = root / f"google-research-datasets/lareqa/xquad-r/{language}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"data": [{"paragraphs": list(paragraphs)}]}), encoding="utf-8")
    return path


@pytest.mark.parametrize("broken, said", [
    (paragraph("Ja. Nein.", [[0, 4], [4, 9]], ("q", 9)), "question 'q': 0 sentences hold the answer at 9"),
    (paragraph("Ja. Nein.", [[0, 4], [4, 4]], ("q", 0)), "paragraph 0: the sentence from 4 to 4 is empty"),
    (paragraph("Ja. Nein.", [[0, 9]], ("q", 0), ("q", 4)), "question 'q' occurs twice"),
    ({"context": "Ja.", "qas": []}, "paragraph 0: no sentence_breaks"),
    ({"context": "Ja.", "sentence_breaks": [[0, 3]]}, "is not in LAReQA's format: data > paragraphs"),
])  # fmt: skip
def test_a_file_that_is_not_lareqas_is_refused(broken, said, tmp_path):
    write_lareqa(tmp_path, "de", broken)
    with pytest.raises(InputError, match=said):
        load_examples(TASKS["lareqa"], "test", "de", str(tmp_path))


def test_the_hubs_copy_of_xquad_r_is_refused_because_it_lacks_sentence_breaks(tmp_path):
    write_hub_folder(tmp_path, "google-research-datasets/xquad_r", "de", "validation", [{"id": "q", "context": "c"}], None)
    with pytest.raises(InputError, match="xquad_r is the hub's copy, which lacks sentence breaks"):
        load_examples(TASKS["lareqa"], "test", "de", str(tmp_path))
    with pytest.raises(InputError, match="LAReQA is read from files below --data_dir"):
        load_examples(TASKS["lareqa"], "test", "de")


@pytest.fixture(scope="module")
def lareqa_data(tmp_path_factory):
    """Three questions whose answers are the only sentences with their words, in two languages."""
    root = tmp_path_factory.mktemp("lareqa")
    for language, words in (("en", "en"), ("de", "de")):
        nouns, paragraphs = WORDS[words]["NOUN"], []
        for number in range(3):
            one, other = f"{nouns[2 * number]} {nouns[2 * number]} .", f"{nouns[2 * number + 1]} {nouns[2 * number + 1]} ."
            paragraphs.append(paragraph(f"{one} {other}", [[0, len(one) + 1], [len(one) + 1, len(one) + 1 + len(other)]],
                                        (f"q{number}", 0), (f"r{number}", len(one) + 1)))  # fmt: skip
        write_lareqa(root, language, *paragraphs)
    return str(root)


def test_lareqa_is_scored_over_the_candidates_of_all_languages(call, tiny_model, lareqa_data, tmp_path):
    flags = ("--task", "lareqa", "--model_name_or_path", tiny_model, "--data_dir", lareqa_data, "--layer", "2", "--use_cpu",
             "--languages", "en", "de", "--output_dir", tmp_path)  # fmt: skip
    results = call(run_retrieval, *flags)
    assert results["scores"]["de"]["examples"] == 6 and results["mean"] is None, "two languages of eleven have no mean"
    assert {name: set(row) for name, row in results["language_bias"].items()} == {"en": {"en", "de"}, "de": {"en", "de"}}
    gold, predicted = read_labels(tmp_path / "labels", "lareqa", "de"), read_predictions(tmp_path / "predictions", "lareqa", "de")
    assert gold["r1"] == ["en-1-1", "de-1-1"] and len(predicted["r1"]) == 12, "all candidates, as there are fewer than 20"
    again = mean_average_precision(gold, predicted, "de")
    assert again["map20"] == results["scores"]["de"]["map20"]
    reciprocal = [1 / (1 + predicted[name].index(f"en-{name[1]}-{int(name[0] == 'r')}")) for name in gold]
    assert results["language_bias"]["de"]["en"] == pytest.approx(100 * sum(reciprocal) / 6)
    with pytest.raises(InputError, match="--max_predict_samples counts pairs; lareqa is ranked among all candidates"):
        call(run_retrieval, *flags, "--max_predict_samples", "3")


def test_a_ranking_that_was_cut_off_ends_as_an_undisturbed_one(call, cut, tiny_model, lareqa_data, tmp_path, monkeypatch):
    """The candidates of all languages are searched together, so that a language alone would have other scores."""
    flags = ("--task", "lareqa", "--model_name_or_path", tiny_model, "--data_dir", lareqa_data, "--layer", "2", "--use_cpu",
             "--languages", "en", "de")  # fmt: skip
    whole, killed = call(run_retrieval, *flags, "--output_dir", tmp_path / "whole"), tmp_path / "killed"
    for kill in ((RunFolder, "note_scored", lambda folder, language, record: language == "de"), (RunFolder, "finish")):
        undo = cut(*kill)
        with pytest.raises(Cut):
            call(run_retrieval, *flags, "--output_dir", killed)
        undo()
    monkeypatch.setattr(ranking, "score", None)  # all languages are scored: nothing is searched again
    results = call(run_retrieval, *flags, "--output_dir", killed)
    assert results["scores"] == whole["scores"] and results["language_bias"] == whole["language_bias"]
    for name in ("predictions/lareqa/test-en.json", "predictions/lareqa/test-de.json", "labels/lareqa/test-de.json"):
        assert (killed / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_probabilities_of_a_ranking_are_refused_where_they_are_asked_for(call, tiny_model, lareqa_data, tmp_path):
    with pytest.raises(InputError, match="--save_probabilities: no probabilities are kept of the rankings of lareqa"):
        call(run_retrieval, "--task", "lareqa", "--model_name_or_path", tiny_model, "--data_dir", lareqa_data, "--save_probabilities",
             "--output_dir", tmp_path)  # fmt: skip


def plain_double_loop(gold, names, scores):
    """mAP@20 over dicts and lists alone."""
    total = 0.0
    for row, relevant in enumerate(gold):
        order = sorted(range(len(names)), key=lambda place: (-scores[row][place], place))[:20]
        hits = precision = 0.0
        for rank, place in enumerate(order, start=1):
            if names[place] in relevant:
                hits += 1
                precision += hits / rank
        total += precision / min(len(relevant), 20)
    return 100 * total / len(gold)


def test_lareqas_score_of_five_real_languages_is_that_of_a_plain_double_loop():
    real = SHARED / "real/datasets"
    if not (real / "google-research-datasets/lareqa").is_dir():
        pytest.skip("needs ../shared/real, which is not here")
    test = {language: load_examples(TASKS["lareqa"], "test", language, str(real))[0] for language in ("ar", "de", "en", "es", "zh")}
    vectors = {}

    def vectors_of(texts, description, length):
        rng = np.random.default_rng(len(vectors))
        vectors[description] = integers(rng, len(texts), width=16)
        return vectors[description]

    gold, predicted, _ = ranking.rank(test, vectors_of, 96, 256, "cpu")
    assert sum(len(examples) for examples in test.values()) == 5 * 1190 + 6089 and {len(right) for right in gold["en"].values()} == {5}
    candidates = torch.cat([vectors[f"{language} candidates"] for language in test]).numpy()
    names = [name for examples in test.values() for side, name in zip(examples["side"], examples["id"]) if side == "target"]
    for language in ("de", "zh"):
        rows = slice(0, 300)
        scores = vectors[f"{language} questions"].numpy()[rows] @ candidates.T
        chosen = list(gold[language])[rows]
        wanted = plain_double_loop([set(gold[language][name]) for name in chosen], names, scores.tolist())
        found = mean_average_precision({n: gold[language][n] for n in chosen}, {n: predicted[language][n] for n in chosen}, language)
        assert found["map20"] == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("content, said", [
    ('{"q": ["a", "a"]}', "it should be a list of different ids"),
    ('{"q": "a"}', "it should be a list of different ids"),
    ('["a"]', "where {question id"),
    ('{"q": ["a"], "q": ["b"]}', "id 'q' occurs twice"),
])  # fmt: skip
def test_a_file_that_holds_no_rankings_is_refused(content, said, tmp_path):
    path = prediction_path(tmp_path, "lareqa", "de")
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(ValueError, match=said):
        read_predictions(tmp_path, "lareqa", "de")
    with pytest.raises(ValueError, match="it should be different ids, best first"):
        write_labels(tmp_path, "lareqa", "de", {"q": ["a", "a"]})


# ---- Mewsli-X


def write_mewsli_x(root, mentions, entities):
    folder = root / "izhx/mewsli-x"
    for language, rows in mentions.items():
        (folder / "wikinews_mentions" / language).mkdir(parents=True)
        (folder / "wikinews_mentions" / language / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "candidate_entities.jsonl").write_text("".join(json.dumps(row) + "\n" for row in entities))
    return str(root)


def entities(*names):
    return [{"entity_id": name, "description": f"{WORDS['en']['NOUN'][place % 8]} {place}"} for place, name in enumerate(names)]


def test_mentions_of_all_languages_look_among_one_set_of_entities(call, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(ranking, "EMBEDDED_AT_ONCE", 7)  # 30 candidates in five parts
    names = [f"Q{number}" for number in range(30)]
    mentions = {language: [{"mention": f"{WORDS['en']['NOUN'][place % 8]} {place}", "entity_id": f"Q{place}"} for place in (3, 17, 29)]
                for language in ("de", "tr")}  # fmt: skip
    data_dir = write_mewsli_x(tmp_path, mentions, entities(*names))
    results = call(run_retrieval, "--task", "mewsli_x", "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--layer", "2",
                   "--use_cpu", "--languages", "de", "tr", "--output_dir", tmp_path / "out")  # fmt: skip
    assert results["scores"]["de"] == results["scores"]["tr"] == {"mrr20": 100.0, "examples": 3}, "a mention is its entity's text"
    assert results["benchmark"] == "xtreme-r" and "language_bias" not in results
    path = prediction_path(tmp_path / "out/predictions", "mewsli_x", "tr")
    assert path.parts[-2:] == ("mewslix", "test-tr.json") and {len(ranked) for ranked in json.loads(path.read_text()).values()} == {20}


def mewsli_x_flags(model, data_dir):
    return ("--task", "mewsli_x", "--model_name_or_path", model, "--data_dir", data_dir, "--layer", "last", "--use_cpu",
            "--languages", "de", "tr")  # fmt: skip


def test_mewsli_x_that_was_cut_off_in_the_middle_ends_as_an_undisturbed_run(call, cut, world, tmp_path, monkeypatch):
    """Cut off among the candidates it has noted nothing and begins anew; between languages it searches all again; then nothing more."""
    monkeypatch.setattr(ranking, "EMBEDDED_AT_ONCE", 16)
    flags, killed = mewsli_x_flags(ROOT / "samples/encoder", world), tmp_path / "killed"
    whole = call(run_retrieval, *flags, "--output_dir", tmp_path / "whole")
    kills = {
        "among the candidates": (ranking.Search, "add", lambda search, vectors: search.count >= 32),
        "before the second language is noted": (RunFolder, "note_scored", lambda folder, language, record: language == "tr"),
        "before the results": (RunFolder, "finish"),
    }  # fmt: skip
    for when, kill in kills.items():
        undo = cut(*kill)
        with pytest.raises(Cut):
            call(run_retrieval, *flags, "--output_dir", killed)
        undo()
        noted = json.loads((killed / "progress.json").read_text()).get("scored", {})
        wanted = {"among the candidates": [], "before the second language is noted": ["de"], "before the results": ["de", "tr"]}[when]
        assert [*noted] == wanted and not (killed / "results.json").exists(), when
        assert (killed / "predictions").exists() == (when != "among the candidates"), when
    monkeypatch.setattr(ranking, "score", None)  # all languages are scored: nothing is searched again
    assert call(run_retrieval, *flags, "--output_dir", killed)["scores"] == whole["scores"]
    for name in ("predictions/mewslix/test-de.json", "predictions/mewslix/test-tr.json", "labels/mewslix/test-tr.json"):
        assert (killed / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_mention_that_occurs_twice_is_refused_and_other_languages_may_have_its_name(call, tiny_model, tmp_path):
    """XTREME-R's files name mentions in each language by themselves: what is right for one is not right for another of that name."""
    texts = {name: f"{noun} 0" for name, noun in zip(("Q1", "Q2"), WORDS["en"]["NOUN"])}
    known = [{"entity_id": name, "description": text} for name, text in texts.items()]
    mentions = {"de": [{"mention": texts["Q1"], "entity_id": "Q1", "example_id": "m"}],
                "tr": [{"mention": texts["Q2"], "entity_id": "Q2", "example_id": "m"}]}  # fmt: skip
    results = call(
        run_retrieval, *mewsli_x_flags(tiny_model, write_mewsli_x(tmp_path / "a", mentions, known)), "--output_dir", tmp_path / "x"
    )
    assert {language: scores["mrr20"] for language, scores in results["scores"].items()} == {"de": 100.0, "tr": 100.0}
    assert read_labels(tmp_path / "x/labels", "mewsli_x", "tr") == {"m": ["Q2"]}
    twice = {**mentions, "tr": mentions["tr"] * 2}
    with pytest.raises(InputError, match="mewsli_x tr: 1 questions have an id that another one has, 'm' first"):
        call(run_retrieval, *mewsli_x_flags(tiny_model, write_mewsli_x(tmp_path / "b", twice, known)), "--output_dir", tmp_path / "y")


def test_mentions_whose_entity_is_no_candidate_are_counted(call, tiny_model, tmp_path, capsys):
    mentions = {language: [{"mention": "dog", "entity_id": "Q1"}, {"mention": "cat", "entity_id": "Q9"}] for language in ("de", "tr")}
    data_dir = write_mewsli_x(tmp_path, mentions, entities("Q1", "Q2"))
    results = call(run_retrieval, *mewsli_x_flags(tiny_model, data_dir), "--output_dir", tmp_path / "x")
    assert results["scores"]["de"]["mrr20"] <= 50.0
    assert "warning: mewsli_x de: 1 of 2 questions have a right answer that is no candidate, 'Q9' first" in capsys.readouterr().out


@pytest.mark.parametrize("broken, said", [
    ([*entities("Q1", "Q2"), *entities("Q1")], "mewsli_x 1 candidates have an id that another one has, 'Q1' first"),
    ([{"entity_id": "Q1", "description": " "}], "row 0: description is empty"),
    ([{"entity_id": "Q1"}], "has no column 'description'"),
])  # fmt: skip
def test_entities_that_cannot_be_ranked_are_refused(broken, said, call, tiny_model, tmp_path):
    data_dir = write_mewsli_x(tmp_path, {"de": [{"mention": "dog", "entity_id": "Q1"}]}, broken)
    with pytest.raises(InputError, match=said):
        call(run_retrieval, "--task", "mewsli_x", "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--layer", "2",
             "--use_cpu", "--languages", "de", "--output_dir", tmp_path / "out")  # fmt: skip


# ---- XTREME-R's languages


def test_xtreme_r_has_the_languages_of_its_evaluator():
    tasks = {name: with_languages_of(TASKS[name], "xtreme-r") for name in BENCHMARKS["xtreme-r"]}
    counts = {name: len(task.languages) for name, task in tasks.items()}
    assert counts == {"xnli": 15, "xcopa": 11, "udpos": 38, "panx": 48, "xquad": 12, "mlqa": 7, "tydiqa": 9, "mewsli_x": 11, "lareqa": 11,
                      "tatoeba": 41}  # fmt: skip
    assert len({language for task in tasks.values() for language in task.languages}) == 50
    assert with_languages_of(TASKS["panx"], None) is TASKS["panx"] and len(TASKS["panx"].languages) == 40
    assert set(BENCHMARKS["xtreme"]) == set(metrics.XTREME_METRIC) and set(BENCHMARKS["xtreme-r"]) == set(metrics.XTREME_R_METRIC)


@pytest.mark.parametrize("name, language, place, row, wanted", [
    ("tatoeba", "pl", "mteb/tatoeba-bitext-mining/pol-eng/test", {"sentence1": "Tak.", "sentence2": "Yes.", "lang": "pol-eng"},
     {"source": "Tak.", "target": "Yes."}),
    ("panx", "uk", "unimelb-nlp/wikiann/uk/test", {"tokens": ["Kyiv"], "ner_tags": ["B-LOC"]}, {"words": ["Kyiv"], "tags": ["B-LOC"]}),
    ("udpos", "wo", "izhx/xtreme-r-udpos/wo/test", {"tokens": ["Xaj"], "pos_tags": ["NOUN"]}, {"words": ["Xaj"], "tags": ["NOUN"]}),
    ("xquad", "ro", "google/xquad/xquad.ro/validation",
     {"id": "q", "context": "Cerul.", "question": "Ce?", "answers": {"text": ["Cerul"], "answer_start": [0]}},
     {"id": "q", "context": "Cerul.", "question": "Ce?", "answers": {"text": ["Cerul"], "answer_start": [0]}}),
])  # fmt: skip
def test_a_language_that_xtreme_r_adds_is_read_from_its_own_source(name, language, place, row, wanted, tmp_path):
    hub_id, config, split = place.rsplit("/", 2)
    write_hub_folder(tmp_path, hub_id, config, split, [row], None)
    examples, provenance = load_examples(with_languages_of(TASKS[name], "xtreme-r"), "test", language, str(tmp_path))
    assert examples.to_list() == [wanted] and provenance["hub_id"] == hub_id and "passed_over" not in provenance
    with pytest.raises(InputError, match=f"{name} has no '{language}' data"):
        load_examples(TASKS[name], "test", language, str(tmp_path))


def test_languages_that_xtreme_r_adds_have_as_many_rows_as_published():
    """mteb's statistics of its Tatoeba; the card of wikiann (huggingface/datasets, datasets/wikiann/README.md)."""
    tatoeba, panx = (task.sources[1] for task in (TASKS["tatoeba"], TASKS["panx"]))
    assert {tatoeba.rows_expected("test", language) for language in tatoeba.languages} == {1_000}
    assert {language: panx.rows_expected("test", language) for language in panx.languages} == {
        "az": 1_000, "gu": 100, "lt": 10_000, "pa": 100, "pl": 10_000, "qu": 100, "ro": 10_000, "uk": 10_000}  # fmt: skip
    assert panx.rows_expected("train", "lt") == 10_000 and panx.rows_expected("train", "uk") == 20_000
    assert sum(TASKS["tatoeba_nlu_evals"].sources[0].rows["test"].values()) == 36_692, "41 languages"


def test_sources_of_xtreme_r_serve_no_language_of_xtreme(tmp_path):
    write_hub_folder(tmp_path, "unimelb-nlp/wikiann", "de", "test", [{"tokens": ["Rom"], "ner_tags": ["B-LOC"]}], None)
    with pytest.raises(InputError, match="google/xtreme does not exist"):
        load_examples(TASKS["panx"], "test", "de", str(tmp_path))


@pytest.mark.parametrize("name, benchmark, said", [
    ("pawsx", "xtreme-r", "--benchmark xtreme-r: pawsx is a task of xtreme"),
    ("xcopa", "xtreme", "--benchmark xtreme: xcopa is a task of xtreme-r"),
    ("sib200", "xtreme", "sib200 is a task of neither XTREME nor XTREME-R"),
])  # fmt: skip
def test_a_benchmark_without_the_task_is_refused(name, benchmark, said):
    with pytest.raises(InputError, match=said):
        benchmark_of(TASKS[name], benchmark)


def test_a_language_of_the_other_benchmark_is_refused_with_the_flag_that_has_it(call, tiny_model, data_dir, tmp_path):
    flags = ("--model_name_or_path", tiny_model, "--data_dir", data_dir, "--languages", "ro", "--output_dir", tmp_path)
    with pytest.raises(InputError, match="xquad has 'ro' data in XTREME-R alone: add --benchmark xtreme-r"):
        call(run_target, "--task", "xquad", *flags)
    with pytest.raises(InputError, match="xnli has no 'ro' data"):
        call(run_target, "--task", "xnli", *flags)


def test_data_of_xtreme_rs_languages_can_be_checked(tmp_path, capsys):
    row = {"id": "q", "context": "Cerul.", "question": "Ce?", "answers": {"text": ["Cerul"], "answer_start": [0]}}
    write_hub_folder(tmp_path, "google/xquad", "xquad.ro", "validation", [row], None)
    check(["--check", "xquad", "--benchmark", "xtreme-r", "--languages", "ro", "--data_dir", str(tmp_path)])
    assert "xquad ro test: 1 examples from google/xquad (xquad.ro)" in capsys.readouterr().out
    with pytest.raises(InputError, match="None of these tasks has 'ro' data"):
        check(["--check", "xquad", "--languages", "ro", "--data_dir", str(tmp_path)])


def test_a_run_over_xtreme_rs_languages_has_that_score_and_no_xtreme_score(call, tiny_model, tmp_path):
    task = with_languages_of(TASKS["tatoeba"], "xtreme-r")
    pairs = [("dog", "dog"), ("cat", "cat")]
    for language in task.languages:
        if language in TASKS["tatoeba"].languages:
            config, split = task.sources[0].config_for(language), "validation"
            rows = [{"source_sentence": s, "target_sentence": t, "source_lang": "x", "target_lang": "eng"} for s, t in pairs]
            write_hub_folder(tmp_path, "google/xtreme", config, split, rows, None)
        else:
            rows = [{"sentence1": s, "sentence2": t, "lang": "x"} for s, t in pairs]
            write_hub_folder(tmp_path, "mteb/tatoeba-bitext-mining", task.sources[1].config_for(language), "test", rows, None)
    flags = ("--task", "tatoeba", "--model_name_or_path", tiny_model, "--data_dir", tmp_path, "--layer", "2", "--use_cpu")
    whole = call(run_retrieval, *flags, "--benchmark", "xtreme-r", "--output_dir", tmp_path / "r")
    assert len(whole["scores"]) == 41 and whole["xtreme_score"] is None and whole["xtreme_r_score"] == 100.0
    assert whole["benchmark"] == "xtreme-r"
    plain = call(run_retrieval, *flags, "--output_dir", tmp_path / "x")
    assert len(plain["scores"]) == 36 and plain["xtreme_score"] == 100.0 and not {"benchmark", "xtreme_r_score"} & set(plain)
    scored = score_folders(tmp_path / "r/predictions", tmp_path / "r/labels", benchmark="xtreme-r")["tatoeba"]
    assert scored["score"] == 100.0 and len(scored["languages"]) == 41
    with pytest.raises(ValueError, match="test-az.tsv: tatoeba covers"):
        score_folders(tmp_path / "r/predictions", tmp_path / "r/labels")


def test_xtreme_rs_overall_score_is_the_mean_of_its_ten():
    scores = {task: float(place) for place, task in enumerate(BENCHMARKS["xtreme-r"])}
    assert metrics.xtreme_overall(scores | {"bucc": 99.0}, metrics.XTREME_R_METRIC) == 4.5
    with pytest.raises(ValueError, match="no overall score without: lareqa"):
        metrics.xtreme_overall({task: 1.0 for task in BENCHMARKS["xtreme-r"] if task != "lareqa"}, metrics.XTREME_R_METRIC)
    of_qa = {"de": {"exact_match": 40.0, "f1": 60.0}}
    assert metrics.xtreme_task_score("mlqa", of_qa, metrics.XTREME_R_METRIC) == 50.0
    assert metrics.xtreme_task_score("lareqa", {"de": {"map20": 30.0}, "en": {"map20": 40.0}}, metrics.XTREME_R_METRIC) == 35.0


# ---- mistakes


def lareqa_file(root, *, breaks=True, sentence="Ja. ", twice=False):
    part = paragraph("Ja. Nein.", [[0, len(sentence)], [4, 9]], ("q", 4), *[("q", 4)] * twice)
    part["context"] = part["context"].replace("Ja. ", sentence, 1)
    write_lareqa(root, "de", {name: value for name, value in part.items() if breaks or name != "sentence_breaks"})


MISTAKES = {
    "a model without the stage before": (("--task", "lareqa", "--recipe", "xtreme-r"), lareqa_file, "after training on squad_sentences"),
    "a copy without sentence breaks": (("--task", "lareqa"), lambda root: lareqa_file(root, breaks=False), "no sentence_breaks"),
    "the hub's copy": (
        ("--task", "lareqa"),
        lambda root: write_hub_folder(root, "google-research-datasets/xquad_r", "de", "validation", [{"id": "q"}], None),
        "lacks sentence breaks: it holds no candidates"),
    "a language of the other benchmark": (("--task", "tatoeba", "--languages", "pl"), lareqa_file, "add --benchmark xtreme-r"),
    "a language of neither": (("--task", "lareqa", "--languages", "fr"), lareqa_file, "lareqa has no 'fr' data"),
    "a question that occurs twice": (("--task", "lareqa"), lambda root: lareqa_file(root, twice=True), "'q' occurs twice"),
    "two entities with one id": (
        ("--task", "mewsli_x"),
        lambda root: write_mewsli_x(root, {"de": [{"mention": "dog", "entity_id": "Q1"}]}, [*entities("Q1", "Q2"), *entities("Q2")]),
        "mewsli_x 1 candidates have an id that another one has, 'Q2' first"),
    "an empty candidate": (("--task", "lareqa"), lambda root: lareqa_file(root, sentence="    "), "the sentence from 0 to 4 is empty"),
    "an empty description": (
        ("--task", "mewsli_x"),
        lambda root: write_mewsli_x(root, {"de": [{"mention": "dog", "entity_id": "Q1"}]}, [{"entity_id": "Q1", "description": ""}]),
        "row 0: description is empty"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_no_run(mistake, call, tiny_model, tmp_path, capsys, monkeypatch):
    flags, write, said = MISTAKES[mistake]
    write(tmp_path / "data")
    languages = () if "--languages" in flags else ("--languages", "de")
    argv = ["run_retrieval.py", *flags, *languages, "--model_name_or_path", tiny_model, "--data_dir", str(tmp_path / "data"), "--use_cpu",
            "--layer", "last", "--output_dir", str(tmp_path / "out")]  # fmt: skip
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as end:
        run_script(run_retrieval.main)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert end.value.code == 2 and said in line, line
    assert not (tmp_path / "out/run.json").exists() and not (tmp_path / "out/predictions").exists()


# ---- nlu-evals


@pytest.mark.parametrize("rows, said", [
    ([{"id": "q", "context": " ", "question": "?"}], "question 'q' has an empty context"),
    ([{"id": "q", "context": "a", "question": "?"}] * 2, "question 'q' occurs twice"),
])  # fmt: skip
def test_paragraphs_that_cannot_be_ranked_are_refused(rows, said, tmp_path):
    write_hub_folder(tmp_path, "google-research-datasets/xquad_r", "de", "validation", rows, None)
    with pytest.raises(InputError, match=said):
        load_examples(TASKS["lareqa_paragraphs"], "test", "de", str(tmp_path))


# ---- G-XLT


def mlqa_rows(rng, context_words, n):
    """Questions have one text in every language: the number of the context is asked for."""
    rows = qa_rows(rng, context_words, n)
    return [{name: row[name] for name in ("id", "title", "context", "question", "answers")} for row in rows]


def test_mlqa_scores_questions_of_each_language_about_contexts_of_each_other(call, tiny_model, data_dir, tmp_path):
    rng, root = random.Random(0), tmp_path / "data"
    shutil.copytree(f"{data_dir}/rajpurkar", root / "rajpurkar")
    for context in ("en", "de"):
        rows = mlqa_rows(rng, context, 12)
        for question in ("en", "de"):
            asked = rows if question == context else rows[:8]
            write_hub_folder(root, "google/xtreme", f"MLQA.{context}.{question}", "test", asked, None)
    flags = ("--task", "mlqa", "--model_name_or_path", tiny_model, "--data_dir", root, *FAST, "--languages", "en", "de", "--g_xlt",
             "--max_train_samples", "64", "--num_train_epochs", "1")  # fmt: skip
    results = call(run_target, *flags, "--output_dir", tmp_path / "out")
    matrix = results["g_xlt"]
    assert {question: [*row] for question, row in matrix.items()} == {"en": ["en", "de"], "de": ["en", "de"]}
    assert matrix["en"]["en"] == results["scores"]["en"] and matrix["en"]["de"]["examples"] == matrix["de"]["en"]["examples"] == 8
    read = {(part["config"], part["language"]) for part in results["data"] if part["task"] == "mlqa"}
    assert read == {("MLQA.en.en", "en"), ("MLQA.de.de", "de"), ("MLQA.de.en", "de"), ("MLQA.en.de", "en")}
    assert matrix_lines(TASKS["mlqa"], matrix)[-1].startswith("mean over all 4 pairs: ") and matrix_lines(TASKS["mlqa"], None) == []


def test_g_xlt_is_refused_where_questions_have_one_language(call, tiny_model, data_dir, tmp_path):
    with pytest.raises(InputError, match="--g_xlt: only mlqa has questions in another language than their context; xquad has none"):
        call(run_target, "--task", "xquad", "--model_name_or_path", tiny_model, "--data_dir", data_dir, *FAST, "--g_xlt",
             "--output_dir", tmp_path)  # fmt: skip


# ---- the miniature world

MINIATURE = {
    "siqa": ("en",),
    "copa": ("en",),
    "xcopa": ("tr", "zh"),
    "squad_sentences": ("en",),
    "wikipedia_mentions": ("en",),
    "squad_paragraphs": ("en",),
    "lareqa": ("ar", "de", "en", "es", "ru", "tr", "zh"),
    "lareqa_paragraphs": ("ar", "de", "en", "es", "ru", "tr", "zh"),
    "mewsli_x": ("ar", "de", "en", "es", "tr"),
    "sib200": LANGUAGES,
    "belebele": LANGUAGES,
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write_all(folder, scale=0.1, with_text=False)
    return str(folder)


@pytest.mark.parametrize("name", MINIATURE)
def test_the_miniature_world_has_every_task_beyond_the_paper(name, world):
    task = TASKS[name]
    for language in MINIATURE[name]:
        splits = {split for split in task.sources[0].splits if language == "en" or split in ("test", "candidates")}
        for split in splits:
            examples, provenance = load_examples(task, split, language, world)
            assert len(examples) >= 8 and not provenance["dropped"], (language, split)


def test_no_topic_sentence_of_the_miniature_world_is_trained_and_tested_on(world):
    train, test = (set(load_examples(TASKS["sib200"], split, "en", world)[0]["text_a"][:]) for split in ("train", "test"))
    assert not train & test and len(test) > 15


def test_a_dual_encoder_trained_on_english_pairs_finds_answers_in_english_and_german(call, world, tmp_path):
    encoder, scores = ROOT / "samples" / "encoder", {}
    call(run_intermediate, "--task", "squad_sentences", "--model_name_or_path", encoder, "--data_dir", world, "--learning_rate", "1e-3",
         "--num_train_epochs", "6", "--per_device_train_batch_size", "32", "--max_seq_length", "96", "--use_cpu", "--disable_tqdm", "true",
         "--output_dir", tmp_path / "dual")  # fmt: skip
    for name, model in (("before", encoder), ("after", tmp_path / "dual")):
        flags = ("--model_name_or_path", model, "--data_dir", world, "--languages", "en", "de", "--layer", "2", "--use_cpu")
        scores[name] = call(run_retrieval, "--task", "lareqa", *flags, "--output_dir", tmp_path / name)["scores"]
    gains = {language: scores["after"][language]["map20"] - scores["before"][language]["map20"] for language in ("en", "de")}
    assert gains["en"] > 10 and gains["de"] > 0, scores
