"""Trackers of --report_to get the test scores of each language, in the run that the training began. The packages are stand-ins."""

import importlib
import sys

import pytest

import run_intermediate
import run_retrieval
import run_target
from task_adapters import InputError
from trainer import loop
from trainer.trackers import Trackers, final_scores

QUICK = ("--use_cpu", "--disable_tqdm", "true", "--max_seq_length", "64", "--max_steps", "2", "--effective_batch_size", "8",
         "--logging_steps", "1", "--max_train_samples", "16", "--max_eval_samples", "12", "--eval_strategy", "no",
         "--collapse", "off")  # fmt: skip

# Each notes (number of its run, "begin", "end" or {name: value}) in EVENTS, and begins a run by itself where the package would.
STUBS = {
    "wandb": """
from types import SimpleNamespace
EVENTS, run, number = [], None, 0
class Config(dict):
    def update(self, values, **_): dict.update(self, values)
config = Config()
def init(**_):
    global run, number
    number += 1
    run = SimpleNamespace(_label=lambda **_: None, summary={}, id="1", name="n")
    EVENTS.append((number, "begin"))
def define_metric(*_, **__): pass
def termwarn(*_, **__): pass
def log(values): EVENTS.append((number, values))
""",
    "wandb/sdk/lib/config_util": "class ConfigError(Exception): pass",
    "mlflow": """
from types import SimpleNamespace
import mlflow.utils.validation
from mlflow import utils
__version__ = "3.0.0"
EVENTS, current, number = [], None, 0
def is_tracking_uri_set(): return True
def get_tracking_uri(): return "file"
def active_run(): return current
def start_run(**_):
    global current, number
    number += 1
    current = SimpleNamespace(info=SimpleNamespace(run_id=str(number)))
    EVENTS.append((number, "begin"))
def end_run():
    global current
    current = None
    EVENTS.append((number, "end"))
def log_params(*_, **__): pass
def log_metrics(metrics, step, synchronous):
    if current is None: start_run()
    EVENTS.append((number, metrics))
""",
    "mlflow/utils/validation": "MAX_PARAM_VAL_LENGTH, MAX_PARAMS_TAGS_PER_BATCH = 6000, 100",
    "trackio": """
from types import SimpleNamespace
__version__ = "0.30.0"
EVENTS, number, config = [], 0, SimpleNamespace(update=lambda *_, **__: None)
class Config(dict):
    def update(self, values, **_): dict.update(self, values)
config = Config()
context_vars = SimpleNamespace(current_space_id=SimpleNamespace(get=lambda: None))
def init(**_):
    global number
    number += 1
    EVENTS.append((number, "begin"))
def log(values): EVENTS.append((number, values))
def finish(): EVENTS.append((number, "end"))
""",
    "tensorboardX": """
EVENTS, number = [], 0
class SummaryWriter:
    def __init__(self, log_dir=None):
        global number
        number += 1
        self.log_dir = log_dir
        EVENTS.append((number, "begin"))
        EVENTS.append((number, {"log_dir": str(log_dir)}))
    def add_text(self, *_): pass
    def add_scalar(self, name, value, step): EVENTS.append((number, {name: value, "step": step}))
    def flush(self): pass
    def close(self): EVENTS.append((number, "end"))
""",
}
PACKAGE = {"wandb": "wandb", "mlflow": "mlflow", "trackio": "trackio", "tensorboard": "tensorboardX"}


@pytest.fixture
def stubs(tmp_path, monkeypatch):
    """Packages that can be imported, and are forgotten afterwards."""
    folder = tmp_path / "packages"
    for name, code in STUBS.items():
        parts = name.split("/")
        for depth in range(1, len(parts) + 1):
            init = folder.joinpath(*parts[:depth]) / "__init__.py"
            init.parent.mkdir(parents=True, exist_ok=True)
            init.touch()
        init.write_text(code)
    monkeypatch.syspath_prepend(str(folder))
    yield lambda name: importlib.import_module(PACKAGE[name]).EVENTS
    for name in [name for name in sys.modules if name.split(".")[0] in PACKAGE.values()]:
        del sys.modules[name]


def logged(events) -> dict:
    return {name: value for _, values in events if isinstance(values, dict) for name, value in values.items()}


def xnli_flags(tiny_model, data_dir, tmp_path, *flags):
    return ("--task", "xnli", "--model_name_or_path", tiny_model, "--data_dir", data_dir, *QUICK, "--languages", "en", "de",
            "--max_predict_samples", "20", "--output_dir", tmp_path / "run", *flags)  # fmt: skip


@pytest.mark.parametrize("name, prefix", [("wandb", "test/"), ("trackio", "test/"), ("tensorboard", "test/"), ("mlflow", "test_")])
def test_the_scores_of_each_language_reach_the_run_that_the_training_began(name, prefix, stubs, call, tiny_model, data_dir, tmp_path):
    results = call(run_target, *xnli_flags(tiny_model, data_dir, tmp_path, "--report_to", name))
    events = stubs(name)
    assert {number for number, _ in events} == {1}, "all in one run"
    values = logged(events)
    for language in ("en", "de"):
        assert values[f"{prefix}accuracy/{language}"] == results["scores"][language]["accuracy"]
    assert "train/loss" in values or "loss" in values, "what transformers logs is still there"
    assert not any("examples" in key for key in values)
    if name != "wandb":  # which ends with the process
        assert [what for _, what in events].count("end") == 1 and events[-1][1] == "end"
    if name == "tensorboard":
        assert values["log_dir"].startswith(str(tmp_path / "run"))


@pytest.mark.parametrize("name", PACKAGE)
def test_a_run_that_was_cut_off_while_it_was_scored_reports_its_scores(name, stubs, call, tiny_model, data_dir, tmp_path, cut, monkeypatch):
    from conftest import Cut

    flags = xnli_flags(tiny_model, data_dir, tmp_path, "--report_to", name)
    restore = cut(loop, "score", when=lambda *args, **named: args[4] == "de")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainer.loop.score", loop.score)
        with pytest.raises(Cut):
            call(run_target, *flags)
    restore()
    Trackers.open = None  # the process is gone
    before = len(stubs(name))
    results = call(run_target, *flags)
    values = logged(stubs(name)[before:])
    prefix = "test_" if name == "mlflow" else "test/"
    assert values[f"{prefix}accuracy/de"] == results["scores"]["de"]["accuracy"]
    if name == "tensorboard":
        assert values["log_dir"].startswith(str(tmp_path / "run")), "not into ./runs of wherever the command was typed"


def test_an_intermediate_run_reports_its_dev_scores(stubs, call, tiny_model, data_dir, tmp_path):
    flags = ("--task", "mnli", "--model_name_or_path", tiny_model, "--data_dir", data_dir, *QUICK, "--report_to", "trackio")
    results = call(run_intermediate, *flags, "--output_dir", tmp_path / "run")
    assert logged(stubs("trackio"))["eval/accuracy/mnli"] == results["dev"]["accuracy"]


@pytest.mark.parametrize("name", PACKAGE)
def test_retrieval_reports_its_scores_too(name, stubs, call, tiny_model, data_dir, tmp_path):
    flags = ("--task", "tatoeba", "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--use_cpu", "--layer", "1")
    results = call(run_retrieval, *flags, "--languages", "de", "--output_dir", tmp_path / "run", "--report_to", name, "--run_name", "x")
    values = logged(stubs(name))
    assert values[("test_" if name == "mlflow" else "test/") + "accuracy/de"] == results["scores"]["de"]["accuracy"]
    assert {number for number, _ in stubs(name)} == {1}


@pytest.mark.parametrize("name", ["wandb", "mlflow", "trackio", "tensorboard"])
def test_a_tracker_that_is_not_installed_is_one_line_in_retrieval_too(name, call, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=f"^--report_to {name} needs {name}, which is not installed: pip install {name}$"):
        call(run_retrieval, "--task", "tatoeba", "--output_dir", tmp_path / "run", "--use_cpu", "--report_to", name)
    assert not list(tmp_path.iterdir())


def test_an_unknown_tracker_is_one_line_in_retrieval_too(call, tmp_path):
    with pytest.raises(InputError, match="--report_to wandbb is unknown. Did you mean 'wandb'"):
        call(run_retrieval, "--task", "tatoeba", "--output_dir", tmp_path / "run", "--use_cpu", "--report_to", "wandbb")


def test_the_trackers_of_a_failed_attempt_are_ended_when_the_next_one_begins(stubs):
    import torch
    from transformers import TrainerState
    from transformers.integrations import INTEGRATION_TO_CALLBACK

    class Arguments:
        run_name, output_dir = "x", "y"

        def to_dict(self):
            return {}

    model = torch.nn.Linear(1, 1)
    first = Trackers([INTEGRATION_TO_CALLBACK["mlflow"]()])
    first.callbacks[0].on_train_begin(Arguments(), TrainerState(), None)
    first.on_train_begin(Arguments(), TrainerState(), None, model)
    first.callbacks[0].on_train_end(Arguments(), TrainerState(), None)
    assert (1, "end") not in stubs("mlflow"), "the end waits for the scores"
    second = Trackers([INTEGRATION_TO_CALLBACK["mlflow"]()])
    assert stubs("mlflow")[-1] == (1, "end")
    second.finish(Arguments(), TrainerState(), model, {"test_f1/de": 1.0})
    assert stubs("mlflow")[-3:] == [(2, "begin"), (2, {"test_f1/de": 1.0}), (2, "end")] and Trackers.open is None


def test_the_names_of_final_scores():
    results = {"phase": "target", "task": "xquad", "scores": {"de": {"f1": 1.0, "exact_match": 2.0, "examples": 9}}, "mean": None}
    assert final_scores(results) == {"test_f1/de": 1.0, "test_exact_match/de": 2.0}
    assert final_scores({**results, "scores": {}, "dev": {"f1": 4.0, "examples": 9}}) == {"eval_f1/en": 4.0}, "--do_eval alone"
    results |= {"mean": {"f1": 3.0}, "xtreme_score": 4.0}
    assert final_scores(results) == {"test_f1/de": 1.0, "test_exact_match/de": 2.0, "test_f1/mean": 3.0, "test_xtreme_score": 4.0}
    several = {"phase": "intermediate", "task": ["mnli", "squad_v1"],
               "dev": {"mnli": {"accuracy": 5.0, "examples": 1}, "squad_v1": {"f1": 6.0}}}  # fmt: skip
    assert final_scores(several) == {"eval_accuracy/mnli": 5.0, "eval_f1/squad_v1": 6.0}
