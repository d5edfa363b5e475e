"""benchmarks/memory.py: the estimates are what torch and DeepSpeed hold, and its answers are commands that the scripts take."""

import importlib.util
import os
import shlex

import pytest
from conftest import ROOT
from transformers import TrainingArguments

import run_target
from arguments import Parser
from benchmarks import memory
from benchmarks.memory import CAPS, GIB, Setting
from task_adapters import InputError

ALL = os.environ.get("DEEPSPEED_TESTS") == "all"


@pytest.mark.parametrize("setting", [
    Setting(batch=16), Setting(batch=32), Setting(bf16=False, batch=16), Setting(batch=16, checkpointing=True),
    Setting(batch=16, checkpointing=True, frozen=True), Setting(bf16=False, batch=32, length=384, checkpointing=True),
], ids=lambda setting: f"{setting.name}, {setting.batch} x {setting.length}")  # fmt: skip
def test_the_estimate_is_what_a_step_of_the_plain_trainer_holds(setting):
    counted = memory.dry_run("small", setting)
    assert max(memory.moments("small", setting)[0].values()) == pytest.approx(counted, rel=0.03)


@pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="DeepSpeed is not installed")
@pytest.mark.parametrize("setting", [
    pytest.param(setting, marks=() if setting.config in ("zero2_offload", "zero3") and setting.batch == 16
                 else pytest.mark.skipif(not ALL, reason="a long run: DEEPSPEED_TESTS=all"))
    for config in memory.ZERO
    for setting in (Setting(config, batch=16), Setting(config, batch=32, bf16=False, checkpointing=True))
], ids=lambda setting: f"{setting.name}, {setting.batch}")  # fmt: skip
def test_the_estimate_is_what_a_step_under_deepspeed_holds(setting):
    found, host = memory.moments("small", setting, device="cpu")
    assert max(found.values()) + host == pytest.approx(memory.counted_by_child("small", setting), rel=0.03)


def test_host_memory_is_rounded_up_where_it_is_pinned():
    assert memory.pinned_size(3.0) == 4 and memory.pinned_size(4.0) == 4
    offload = Setting("zero2_offload", batch=32)
    pinned, plain = (memory.moments("xlmr-large", offload, device=device)[1] for device in ("cuda", "cpu"))
    assert plain < pinned < 2 * plain


@pytest.mark.parametrize("length, effective", [(128, 32), (384, 16)])
def test_every_card_has_flags_that_fit_it_and_a_larger_one_never_slower_ones(length, effective):
    order = list(memory.candidates(length, effective))
    places = []
    for gb in CAPS:
        setting, cost, found = memory.first_that_fits(gb, "xlmr-large", order, measuring=False)
        assert cost["peak"] <= gb * GIB and not found and setting.batch * setting.steps() == effective
        places.append(order.index(setting))
    assert places == sorted(places, reverse=True) and places[0] != places[-1]


def test_sharing_among_gpus_needs_less_and_offloading_moves_it_to_the_host():
    for config in ("zero1", "zero2", "zero3"):
        one, four = (memory.estimate("xlmr-large", Setting(config), devices)["peak"] for devices in (1, 4))
        assert four < one
    alone, offloaded = memory.estimate("xlmr-large", Setting()), memory.estimate("xlmr-large", Setting("zero2_offload"))
    assert offloaded["peak"] < 0.6 * alone["peak"] and alone["host"] == 0 < offloaded["host"]


def test_what_nothing_fits_is_said_with_the_least_that_is_needed():
    with pytest.raises(InputError, match=r"Nothing fits 1 GB at length 128: the smallest needs (\d\.\d) GB \(.*offload.*\)\. Try"):
        memory.first_that_fits(1, "xlmr-large", memory.candidates(128, 32), measuring=False)


@pytest.mark.parametrize(
    "gb, task, phase", [(6, "xnli", "target"), (8, "xquad", "target"), (12, "mnli", "intermediate"), (40, "udpos", "target")]
)
def test_an_answer_is_a_command_that_the_script_takes(gb, task, phase):
    lines = memory.answer(gb, "xlmr-large", task, phase, None, False, measuring=False).splitlines()
    assert lines[0].startswith("ESTIMATE ") and ("host memory" in lines[1]) == ("deepspeed" in lines[-2])
    words = shlex.split(lines[-2])
    assert words[:3] == ["accelerate", "launch", f"run_{phase}.py"] and words[words.index("--task") + 1] == task
    known = {option for action in Parser((run_target.ScriptArguments, TrainingArguments))._actions for option in action.option_strings}
    assert {word for word in words if word.startswith("--")} <= known
    assert all((ROOT / word).is_file() for word in words if word.endswith(".json"))


def test_the_table_of_cards_says_that_it_is_an_estimate(call, capsys):
    call(memory, "--cards", "--length", "128", "--estimate")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "xlmr-large, effective batch 32, ESTIMATE" and len(lines) == 4 + len(CAPS)
    assert all(line.count("|") == lines[2].count("|") and "not measured" in line for line in lines[4:])
