"""Recipes: this file has a second copy of every number of jiant and XTREME, and tests that training uses it.

Sources, as read in the repositories: jiant (nyu-mll/jiant, daa5a258), guides/projects/xstilts.md, the scripts in its benchmarks for XTREME
and its "simple" runner for intermediate tasks; XTREME (google-research/xtreme, 838c13b), scripts/train.sh and its kin.
"""

import sys
from dataclasses import asdict, replace
from itertools import chain

import pytest

import run_intermediate
import run_retrieval
import run_target
from arguments import parse
from task_adapters import BENCHMARKS, PAPERS_TASKS, TASKS, Recipe

# jiant: AdamW with 0.01 of weight decay, a warm-up of a tenth of all steps, clipping at 1.0, epsilon 1e-8 whatever its flag says.
# It draws its seed at random; 42 is that of TrainingArguments. Targets choose a checkpoint by the first 500 English dev examples, every
# 1,000 updates. Intermediate tasks are evaluated at the end only: the last weights are taken.
JIANT = dict(learning_rate=1e-5, effective_batch_size=32, max_seq_length=256, doc_stride=128, warmup_steps=0.1, weight_decay=0.01,
             adam_epsilon=1e-8, max_grad_norm=1.0, eval_steps=1000, seed=42)  # fmt: skip
INTERMEDIATE = JIANT | dict(num_train_epochs=3, selection="last", max_selection_samples=None)
TARGET = JIANT | dict(selection="best", max_selection_samples=500)
JIANT_QA = TARGET | dict(num_train_epochs=2, effective_batch_size=16, max_seq_length=384)
# XTREME: a whole dev set to choose by, no warm-up and no decay but for questions, whose last weights are taken.
XTREME = JIANT | dict(max_seq_length=128, warmup_steps=0, weight_decay=0, selection="best", max_selection_samples=None)
XTREME_QA = XTREME | dict(learning_rate=3e-5, num_train_epochs=3, max_seq_length=384, warmup_steps=500, weight_decay=1e-4, selection="last")
# XTREME-R (google-research/xtreme, scripts/train_xcopa.sh, train_lareqa.sh, train_mewslix.sh), and nlu-evals (izhx/nlu-evals, b8193ba, its
# scripts/ of the same names, and run_glue_one.sh for XNLI, run_squad.sh for XQuAD and MLQA, train_squad_v1_retrieval.sh for LAReQA).
# "jiant" of a task that jiant does not have is our own choice (docs/xtreme_r.md).
XCOPA = INTERMEDIATE | dict(learning_rate=3e-5, num_train_epochs=5, max_seq_length=128, warmup_steps=0, weight_decay=0)
COPA = INTERMEDIATE | dict(num_train_epochs=10)
DUAL = INTERMEDIATE | dict(learning_rate=2e-5, pooling="mean", scale=20.0, is_scale_learned=True, negatives_among=None, lower_case=False)
POOLER = DUAL | dict(warmup_steps=0, weight_decay=0, pooling="pooler", scale=100.0, lower_case=True)
SEARCH = dict(layer=14, pooling="mean", max_seq_length=512, before="")
RANKING = SEARCH | dict(max_seq_length=256, query_length=96, lower_case=False)
RANKING_BY_POOLER = RANKING | dict(layer="last", pooling="pooler", lower_case=True)
NLU_EVALS = JIANT | dict(learning_rate=2e-5, max_seq_length=128, warmup_steps=0, weight_decay=0, selection="last",
                         max_selection_samples=None)  # fmt: skip
MENTIONS = dict(query_length=64, max_seq_length=64)
NUMBERS = {
    **{(name, "jiant"): INTERMEDIATE for name in PAPERS_TASKS if TASKS[name].phase == "intermediate"},
    ("xnli", "jiant"): TARGET | dict(num_train_epochs=2),
    ("pawsx", "jiant"): TARGET | dict(num_train_epochs=5),
    ("udpos", "jiant"): TARGET | dict(num_train_epochs=10),
    ("panx", "jiant"): TARGET | dict(num_train_epochs=10),
    **{(name, "jiant"): JIANT_QA for name in ("xquad", "mlqa", "tydiqa")},
    ("xnli", "xtreme"): XTREME | dict(learning_rate=3e-5, num_train_epochs=5, eval_steps=100),
    ("pawsx", "xtreme"): XTREME | dict(learning_rate=2e-5, num_train_epochs=5, eval_steps=200),
    ("udpos", "xtreme"): XTREME | dict(learning_rate=2e-5, num_train_epochs=10, eval_steps=500, seed=1),
    ("panx", "xtreme"): XTREME | dict(learning_rate=2e-5, num_train_epochs=10, eval_steps=1000, seed=1),
    **{(name, "xtreme"): XTREME_QA for name in ("xquad", "mlqa", "tydiqa")},
    ("tatoeba", "jiant"): SEARCH,
    ("tatoeba", "xtreme"): SEARCH,
    ("bucc", "jiant"): SEARCH | dict(duplicates="all"),
    ("bucc", "xtreme"): SEARCH | dict(layer=20, pooling="cls", duplicates="none"),
    ("siqa", "jiant"): INTERMEDIATE,
    ("siqa", "xtreme-r"): XCOPA,
    ("copa", "jiant"): COPA,
    ("copa", "xtreme-r"): XCOPA,
    ("xcopa", "jiant"): COPA | dict(before="siqa"),
    ("xcopa", "xtreme-r"): XCOPA | dict(before="siqa"),
    ("xcopa", "copa"): COPA,
    ("squad_sentences", "jiant"): DUAL,
    ("squad_sentences", "xtreme-r"): POOLER | dict(effective_batch_size=16, negatives_among=4),
    ("squad_paragraphs", "jiant"): DUAL,
    ("squad_paragraphs", "nlu-evals"): DUAL | dict(
        effective_batch_size=16, warmup_steps=0, weight_decay=0, pooling="cls", negatives_among=16, is_scale_learned=False),
    ("wikipedia_mentions", "jiant"): DUAL | dict(num_train_epochs=2, max_seq_length=64),
    ("wikipedia_mentions", "xtreme-r"): POOLER | dict(learning_rate=1e-5, num_train_epochs=2, max_seq_length=64, negatives_among=8),
    ("lareqa", "jiant"): RANKING,
    ("lareqa", "xtreme-r"): RANKING_BY_POOLER | dict(before="squad_sentences"),
    ("mewsli_x", "jiant"): RANKING | MENTIONS,
    ("mewsli_x", "xtreme-r"): RANKING_BY_POOLER | MENTIONS | dict(before="wikipedia_mentions"),
    ("siqa", "nlu-evals"): XCOPA | dict(learning_rate=2e-5),
    ("copa", "nlu-evals"): XCOPA | dict(learning_rate=2e-5),
    ("xnli_nlu_evals", "nlu-evals"): NLU_EVALS | dict(warmup_steps=0.06, num_train_epochs=3),
    ("xcopa_nlu_evals", "nlu-evals"): XCOPA | dict(learning_rate=2e-5, before="siqa"),
    **{(f"{name}_nlu_evals", "nlu-evals"): NLU_EVALS | dict(num_train_epochs=10) for name in ("udpos", "panx")},
    **{(f"{name}_nlu_evals", "nlu-evals"): NLU_EVALS | dict(learning_rate=3e-5, num_train_epochs=3, max_seq_length=384, weight_decay=1e-4)
       for name in ("xquad", "mlqa", "tydiqa")},
    ("wikipedia_mentions", "nlu-evals"): DUAL | dict(
        num_train_epochs=2, effective_batch_size=64, max_seq_length=64, warmup_steps=0, weight_decay=0, pooling="cls", negatives_among=64,
        is_scale_learned=False),
    ("mewsli_x_nlu_evals", "nlu-evals"): RANKING | MENTIONS | dict(layer="last", pooling="cls", before="wikipedia_mentions"),
    ("lareqa_paragraphs", "nlu-evals"): RANKING | dict(layer="last", pooling="cls", before="squad_paragraphs"),
    ("tatoeba_nlu_evals", "nlu-evals"): SEARCH | dict(layer="last", pooling="cls", max_seq_length=256, before="squad_paragraphs"),
    ("sib200", "jiant"): INTERMEDIATE | dict(num_train_epochs=20, eval_steps=50, selection="best"),
    ("belebele", "jiant"): INTERMEDIATE | dict(max_seq_length=512),
}  # fmt: skip
APPLIED = ("learning_rate", "num_train_epochs", "warmup_steps", "weight_decay", "adam_epsilon", "max_grad_norm", "seed")
SCRIPTS = {"intermediate": run_intermediate, "target": run_target, "retrieval": run_retrieval}


def test_every_recipe_of_a_task_with_published_numbers_is_written_down_here():
    """A dataset that somebody adds has no published numbers, unless they are written down above."""
    published = {name for name, _ in NUMBERS}
    assert {(name, recipe) for name in published for recipe in TASKS[name].recipes} == NUMBERS.keys()
    assert {*PAPERS_TASKS, *chain(*BENCHMARKS.values())} <= published


@pytest.mark.parametrize("name, recipe", NUMBERS)
def test_every_number_of_a_recipe_is_the_published_one(name, recipe):
    assert asdict(TASKS[name].recipes[recipe]) == NUMBERS[name, recipe]


@pytest.mark.parametrize("name, recipe", NUMBERS)
def test_every_number_of_a_recipe_reaches_the_training(name, recipe, monkeypatch, tmp_path):
    phase, numbers = TASKS[name].phase, NUMBERS[name, recipe]
    flags = ["--task", name, "--recipe", recipe, "--output_dir", str(tmp_path), "--use_cpu"]
    monkeypatch.setattr(sys, "argv", [f"run_{phase}.py", *flags])
    args, training_args, _, _ = parse(SCRIPTS[phase].ScriptArguments, phase)
    for field in ("max_seq_length", "doc_stride", "effective_batch_size", "layer", "pooling"):
        if field in numbers and hasattr(args, field):
            assert getattr(args, field) == numbers[field], field
    if phase != "retrieval":
        assert {field: getattr(training_args, field) for field in APPLIED} == {field: numbers[field] for field in APPLIED}
        batch = training_args.per_device_train_batch_size * training_args.gradient_accumulation_steps
        assert batch == numbers["effective_batch_size"]
        assert training_args.load_best_model_at_end == (numbers["selection"] == "best")


@pytest.mark.parametrize("script, name", [(run_target, "udpos"), (run_intermediate, "mnli")])
def test_a_recipe_that_differs_from_every_default_of_the_library_is_followed(script, name, monkeypatch, tmp_path):
    """Some published numbers are the library's defaults (epsilon, clipping). Only other values show that training uses them."""
    numbers = dict(learning_rate=2e-5, num_train_epochs=7, warmup_steps=0.2, weight_decay=0.3, adam_epsilon=1e-6, max_grad_norm=0.5, seed=9,
                   eval_steps=77)  # fmt: skip
    odd = Recipe(**numbers, effective_batch_size=24, max_seq_length=99, doc_stride=11, selection="best")
    monkeypatch.setitem(TASKS, name, replace(TASKS[name], recipes={**TASKS[name].recipes, "jiant": odd}))
    phase = TASKS[name].phase
    monkeypatch.setattr(sys, "argv", [f"run_{phase}.py", "--task", name, "--output_dir", str(tmp_path), "--use_cpu"])
    args, training_args, _, _ = parse(script.ScriptArguments, phase)
    assert {field: getattr(training_args, field) for field in numbers} == numbers
    assert (args.effective_batch_size, args.max_seq_length, args.doc_stride) == (24, 99, 11)


@pytest.mark.parametrize("name, recipe", [("xnli", "jiant"), ("xquad", "xtreme")])
def test_without_a_flag_the_recipe_is_jiants_and_a_flag_wins(name, recipe, monkeypatch, tmp_path):
    given = {"learning_rate": 7e-5, "num_train_epochs": 7.0, "warmup_steps": 70.0, "weight_decay": 0.7, "adam_epsilon": 7e-7, "seed": 7}
    flags = [word for field, value in given.items() for word in (f"--{field}", str(value))]
    command = ["run_target.py", "--task", name, "--recipe", recipe, "--output_dir", str(tmp_path), "--use_cpu"]
    monkeypatch.setattr(sys, "argv", [*command, *flags])
    training_args = parse(run_target.ScriptArguments, "target")[1]
    assert {field: getattr(training_args, field) for field in given} == given
    monkeypatch.setattr(sys, "argv", [word for word in command if word not in ("--recipe", recipe)])
    args, training_args, _, used = parse(run_target.ScriptArguments, "target")
    assert used == TASKS[name].recipes["jiant"] and args.recipe == "jiant" and training_args.weight_decay == 0.01


@pytest.mark.parametrize("script, name", [(run_target, "xnli"), (run_intermediate, "mnli")])
def test_a_checkpoint_is_chosen_by_the_first_dev_examples_that_the_recipe_names(
    script, name, call, tiny_model, data_dir, tmp_path, monkeypatch
):
    task, compared = TASKS[name], []

    def noted(gold, predicted, language):
        compared.append(list(gold))
        return task.metric(gold, predicted, language)

    recipe = replace(task.recipes["jiant"], max_selection_samples=7, selection="best")
    monkeypatch.setitem(TASKS, name, replace(task, metric=noted, recipes={**task.recipes, "jiant": recipe}))
    flags = ("--task", name, "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--output_dir", tmp_path, "--use_cpu",
             "--max_steps", "6", "--eval_steps", "1", "--effective_batch_size", "4", "--max_seq_length", "64", "--disable_tqdm", "true",
             "--max_train_samples", "8")  # fmt: skip
    more = ("--languages", "de", "--max_predict_samples", "9") if script is run_target else ()
    results = call(script, *flags, *more)
    choosing, whole = [gold for gold in compared if len(gold) == 7], [gold for gold in compared if len(gold) > 9]
    assert len(choosing) >= 6 and whole, [len(gold) for gold in compared]
    assert all(gold == whole[0][:7] for gold in choosing), "the first ones, each time"
    assert results["training"]["best_step"] in range(1, 7)
