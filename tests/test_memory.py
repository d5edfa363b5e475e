"""benchmarks/memory.py: the estimates agree with the memory of torch and DeepSpeed, and the scripts accept the printed commands."""

import os
import shlex
from types import SimpleNamespace

import pytest
import torch
from conftest import ROOT, needs_deepspeed
from transformers import TrainingArguments

import run_intermediate
import run_target
from arguments import Parser
from benchmarks import memory, memory_formula
from benchmarks.memory import CAPS, GIB, Setting
from task_adapters import TASKS, InputError

ALL = os.environ.get("DEEPSPEED_TESTS") == "all"


@pytest.mark.parametrize("setting", [
    Setting(batch=16), Setting(batch=32), Setting(bf16=False, batch=16), Setting(batch=16, checkpointing=True),
    Setting(batch=16, checkpointing=True, frozen=True), Setting(bf16=False, batch=32, length=384, checkpointing=True),
    Setting(batch=16, pieces=None), Setting(batch=16, checkpointing=True, frozen=True, pieces=None),
    Setting(batch=8, choices=4), Setting(batch=8, choices=5, bf16=False, checkpointing=True),
], ids=lambda setting: f"{setting.name}, {setting.size}")  # fmt: skip
def test_the_estimate_is_what_a_step_of_the_plain_trainer_holds(setting):
    counted = memory.dry_run("small", setting)
    assert max(memory.moments("small", setting)[0].values()) == pytest.approx(counted, rel=0.03)


@needs_deepspeed
@pytest.mark.parametrize("setting", [
    pytest.param(setting, marks=() if setting.config in ("zero2_offload", "zero3") and setting.batch == 16
                 else pytest.mark.skipif(not ALL, reason="a long run: DEEPSPEED_TESTS=all"))
    for config in memory.ZERO
    for setting in (Setting(config, batch=16), Setting(config, batch=32, bf16=False, checkpointing=True, pieces=None))
], ids=lambda setting: f"{setting.name}, {setting.batch}")  # fmt: skip
def test_the_estimate_is_what_a_step_under_deepspeed_holds(setting):
    found, host = memory.moments("small", setting, device="cpu")
    assert max(found.values()) + host == pytest.approx(memory.counted_by_child("small", setting), rel=0.03)


def test_host_memory_is_rounded_up_where_it_is_pinned():
    assert memory_formula.pinned_size(3.0) == 4 and memory_formula.pinned_size(4.0) == 4
    offload = Setting("zero2_offload", batch=32)
    pinned, plain = (memory.moments("xlmr-large", offload, device=device)[1] for device in ("cuda", "cpu"))
    assert plain < pinned < 2 * plain


@pytest.mark.parametrize("length, effective", [(128, 32), (384, 16), (64, 32)])
def test_every_card_has_flags_that_fit_it_and_a_larger_one_never_slower_ones(length, effective):
    order = list(memory.candidates(length, effective))
    assert all(setting.tokens >= 1024 for setting in order if not (setting.checkpointing or setting.config)), "it would wait for the host"
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
    assert offloaded["peak"] < 0.65 * alone["peak"] and alone["host"] == 0 < offloaded["host"]


def test_what_nothing_fits_is_said_with_the_least_that_is_needed():
    with pytest.raises(InputError, match=r"Nothing fits 1 GB at length 128: the smallest needs (\d\.\d) GB \(.*offload.*\)\. Try"):
        memory.first_that_fits(1, "xlmr-large", memory.candidates(128, 32), measuring=False)


@pytest.mark.parametrize("gb, shape, model", [
    (6, "xlmr-large", "FacebookAI/xlm-roberta-large"), (16, "xlmr-large", "FacebookAI/xlm-roberta-large"),
    (6, "xlmr-base", "FacebookAI/xlm-roberta-base"),
])  # fmt: skip
@pytest.mark.parametrize("task", ["xnli", "xquad", "mnli", "hellaswag", "commonsenseqa"])
def test_an_answer_is_a_command_that_the_script_takes(gb, shape, model, task, call, capsys):
    call(memory, "--gb", gb, "--task", task, "--shape", shape, "--estimate")
    lines, phase = capsys.readouterr().out.splitlines(), TASKS[task].phase
    assert lines[0].startswith("ESTIMATE ") and ("host memory" in lines[1]) == ("deepspeed" in lines[-2])
    choices = {"hellaswag": " x 4 choices", "commonsenseqa": " x 5 choices"}.get(task, "")
    assert lines[0].endswith(f"{choices} x {TASKS[task].recipes['jiant'].max_seq_length}") and ("choices" in lines[0]) == bool(choices)
    words = shlex.split(lines[-2])
    assert words[:4] == ["accelerate", "launch", "--quiet", f"run_{phase}.py"] and words[words.index("--task") + 1] == task
    assert words[words.index("--model_name_or_path") + 1] == model
    script = {"target": run_target, "intermediate": run_intermediate}[phase]
    known = {option for action in Parser((script.ScriptArguments, TrainingArguments))._actions for option in action.option_strings}
    assert {word for word in words[3:] if word.startswith("--")} <= known
    assert all((ROOT / word).is_file() for word in words if word.endswith(".json"))


def test_the_choices_of_a_question_take_the_room_of_as_many_sentences():
    one, four = Setting(batch=8), Setting(batch=2, choices=4)
    assert memory.estimate("xlmr-large", four) == memory.estimate("xlmr-large", one)
    assert memory.estimate("xlmr-large", Setting(batch=8, choices=4))["peak"] > 1.2 * memory.estimate("xlmr-large", one)["peak"]


@pytest.mark.parametrize("choices, shape", [(1, (2, 8)), (4, (2, 4, 8))])
def test_what_is_measured_is_trained_on_batches_of_the_tasks_kind(choices, shape, monkeypatch):
    monkeypatch.setitem(memory.SHAPES, "tiny", (8, 1, 2, 20))
    setting, seen = Setting(bf16=False, batch=2, length=8, effective=4, choices=choices), []
    model = memory.model_of("tiny", setting)
    model.register_forward_pre_hook(lambda _, args, kwargs: seen.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True)
    assert memory.run_cell(model, setting, None, updates=3)["fits"]
    assert seen == [shape] * 6, "three updates of two micro-batches each"


class TorchWithGpu:
    """torch as benchmarks/memory.py sees it on a machine with a GPU of 40 GB: what it asks of the GPU's memory is noted in `events`."""

    def __init__(self, events):
        self.cuda = SimpleNamespace(
            is_available=lambda: True,
            get_device_properties=lambda index: SimpleNamespace(total_memory=40 * GIB),
            set_per_process_memory_fraction=lambda share, index: events.append((share, index)),
            empty_cache=lambda: None,
            reset_peak_memory_stats=lambda: events.append("peak forgotten"),
            synchronize=lambda: events.append("waited for the GPU"),
            max_memory_allocated=lambda: 5,
            max_memory_reserved=lambda: 6,
            OutOfMemoryError=torch.OutOfMemoryError,
        )

    def __getattr__(self, name):
        return getattr(torch, name)


@pytest.mark.parametrize("gb, share", [(8, (8 * GIB - memory.CONTEXT) / (40 * GIB)), (80, 1.0), (None, None)])
def test_a_measured_cell_is_capped_before_it_trains(gb, share, monkeypatch):
    """The model, the Trainer and its arguments are real and train on the CPU; only the memory of a GPU is not here."""
    events = []
    monkeypatch.setattr(memory, "torch", TorchWithGpu(events))
    monkeypatch.setitem(memory.SHAPES, "tiny", (8, 1, 2, 20))
    setting = Setting(bf16=False, batch=2, length=8, effective=4)
    model = memory.model_of("tiny", setting)
    model.register_forward_pre_hook(lambda *_: events.append("forward"))
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    cell = memory.run_cell(model, setting, gb, updates=3)
    assert cell.pop("examples_per_second") > 0 and cell == {"fits": True, "allocated": 5, "reserved": 6}
    capped = [(pytest.approx(share), 0)] if gb else []
    assert events == [*capped, "peak forgotten", *["forward", "forward", "waited for the GPU"] * 3]
    assert any(not torch.equal(before[name], parameter) for name, parameter in model.named_parameters()), "it has learned"


def test_a_cell_that_is_too_large_says_so_and_its_peak(monkeypatch):
    monkeypatch.setattr(memory, "torch", TorchWithGpu([]))
    monkeypatch.setitem(memory.SHAPES, "tiny", (8, 1, 2, 20))
    setting = Setting(bf16=False, batch=2, length=8, effective=4)
    model = memory.model_of("tiny", setting)

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")

    model.register_forward_pre_hook(full)
    assert memory.run_cell(model, setting, 8, updates=3) == {"fits": False, "allocated": 5, "reserved": 6}


def test_the_table_of_cards_says_that_it_is_an_estimate(call, capsys):
    call(memory, "--cards", "--length", "128", "--estimate")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "xlmr-large, effective batch 32, 80,000 trained tokens, ESTIMATE" and len(lines) == 4 + len(CAPS)
    assert all(line.count("|") == lines[2].count("|") and "not measured" in line for line in lines[4:])
