"""DeepSpeed: the five configurations agree with the flags, make the plain run's update, can be resumed, and leave an ordinary checkpoint.

Nothing is compiled. Two of the ten runs (configuration x processes) are made by default; DEEPSPEED_TESTS=all makes all of them.
"""

import json
import os
import shutil
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import ROOT, launch, needs_deepspeed
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, TrainingArguments

import run_intermediate
from arguments import InputError
from settings import deepspeed_settings
from trainer import deepspeed as deepspeed_support
from trainer.checkpoints import load_model
from trainer.loop import run_trainer

CONFIGS = ("zero1", "zero2", "zero2_offload", "zero3", "zero3_offload")
DEFAULT_RUNS = (("zero2_offload", 1), ("zero3", 2))


@pytest.fixture
def resolved():
    """resolved(config, **flags): (DeepSpeed's configuration after the Trainer has replaced "auto", arguments)"""
    from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig, unset_hf_deepspeed_config

    kept = []

    def resolve(config, **flags):
        args = TrainingArguments(use_cpu=True, per_device_train_batch_size=4, gradient_accumulation_steps=2, max_grad_norm=0.5, **flags)
        kept.append(HfTrainerDeepSpeedConfig(config))
        kept[-1].trainer_config_process(args)
        args.hf_deepspeed_config = kept[-1]
        return kept[-1], args

    yield resolve
    unset_hf_deepspeed_config()


@needs_deepspeed
@pytest.mark.parametrize("flags", [{}, {"bf16": True}])
@pytest.mark.parametrize("name", CONFIGS)
def test_every_file_takes_its_values_from_the_flags(name, flags, resolved):
    path = f"{ROOT}/ds_configs/{name}.json"
    found, args = resolved(path, **flags)
    assert found.mismatches == [] and found.config["train_batch_size"] == 8 and found.config["gradient_clipping"] == 0.5
    assert found.config["train_micro_batch_size_per_gpu"] == 4 and found.config["gradient_accumulation_steps"] == 2
    assert found.config["bf16"]["enabled"] is bool(flags) and found.config["fp16"]["enabled"] is False
    assert found.is_zero3() is name.startswith("zero3") and found.is_offload() is name.endswith("offload")
    if found.is_offload():
        assert found.config["zero_force_ds_cpu_optimizer"] is False, "DeepSpeed's own CPU AdamW must be compiled by the user"
    deepspeed_support.check_agreement(path, deepspeed_support.read_config(path), args)
    deepspeed_support.check_settings(path, args)


@needs_deepspeed
@pytest.mark.parametrize("section, flags, message", [
    ({"fp16": {"enabled": True}}, {"bf16": True}, "says fp16.enabled=True, the flags say"),
    ({"bf16": {"enabled": True}}, {}, "says bf16.enabled=True, the flags say"),
    ({"train_micro_batch_size_per_gpu": 3}, {}, "per_gpu=3, the flags say per_device_train_batch_size=4"),
    ({"gradient_clipping": 1.0}, {}, "gradient_clipping=1.0, the flags say max_grad_norm=0.5"),
    ({"optimizer": {"type": "Lamb", "params": {}}}, {}, "says optimizer Lamb, the flags say --optim adamw_torch"),
    ({"scheduler": {"type": "WarmupLR", "params": {}}}, {}, "says scheduler WarmupLR, the flags say --lr_scheduler_type linear"),
])  # fmt: skip
def test_a_file_that_contradicts_a_flag_is_refused(section, flags, message, resolved):
    config = {**deepspeed_support.read_config(f"{ROOT}/ds_configs/zero2.json"), **section}
    _, args = resolved(config, **flags)
    with pytest.raises(InputError, match=message):
        deepspeed_support.check_agreement("my.json", config, args)


@needs_deepspeed
def test_what_has_not_been_tried_is_refused(resolved):
    config = deepspeed_support.read_config(f"{ROOT}/ds_configs/zero2.json")
    _, args = resolved(config, torch_compile=True)
    with pytest.raises(InputError, match="^--torch_compile has not been tried under DeepSpeed"):
        deepspeed_support.check_agreement("my.json", config, args)


@needs_deepspeed
@pytest.mark.parametrize("flags, refused", [
    ({"bf16_full_eval": True}, "bf16"), ({"fp16_full_eval": True}, "fp16"), ({"fp16_full_eval": True, "bf16": True}, "fp16"),
    ({"bf16_full_eval": True, "bf16": True}, None), ({"bf16": True}, None), ({}, None),
])  # fmt: skip
def test_scoring_in_a_precision_that_the_run_has_not_is_refused(flags, refused, resolved):
    """transformers tells DeepSpeed `bf16 or bf16_full_eval`, so that the model would be trained in it; the result would say bf16: false."""
    config = deepspeed_support.read_config(f"{ROOT}/ds_configs/zero2.json")
    _, args = resolved(config, **flags)
    if refused is None:
        return deepspeed_support.check_agreement("my.json", config, args)
    with pytest.raises(InputError, match=f"^--{refused}_full_eval without --{refused} would train in {refused} too under DeepSpeed"):
        deepspeed_support.check_agreement("my.json", config, args)


@needs_deepspeed
@pytest.mark.parametrize("text, message", [
    (None, "cannot be read (No such file or directory). In ds_configs/: zero1.json"),
    ("{", "is not valid JSON"),
    ("{}", "has no zero_optimization section"),
    ("[1]", "has no zero_optimization section"),
    ('{"zero_optimization": {"stage": 3}}', "no model is left that loads without DeepSpeed"),
    *((json.dumps({"zero_optimization": {"stage": 2}, **config}), message) for config, message in (
        ({"zero_optimization": True}, 'my.json says zero_optimization: true. That is a section, {"stage": 2} for example'),
        ({"zero_optimization": {"stage": 2, "offload_param": "cpu"}}, 'says zero_optimization.offload_param: "cpu". That is a section, {"'),
        ({"bf16": True}, 'my.json says bf16: true. That is a section, {"enabled": "auto"} for example, or it is left out.'),
        ({"fp16": None}, "my.json says fp16: null. That is a section"),
        ({"optimizer": "AdamW"}, 'my.json says optimizer: "AdamW". That is a section, {"type": "AdamW", '),
        ({"scheduler": []}, 'my.json says scheduler: []. That is a section, {"type": "WarmupDecayLR", '),
        ({"flops_profiler": False}, "my.json says flops_profiler: false. That is a section, {...} for example"),
        ({"optimizer": {"type": "Adam", "params": "auto"}}, 'my.json says optimizer.params: "auto". That is a section'),
        ({"optimizer": {"params": {}}}, 'my.json: optimizer names no type. For example: "optimizer": {"type": "AdamW", '),
        ({"scheduler": {"type": 1}}, 'my.json: scheduler names no type. For example: "scheduler": {"type": "WarmupDecayLR", '),
        ({"amp": {"enabled": "auto"}}, "has a section amp, which DeepSpeed does not know any more: remove it."),
        *(({"zero_optimization": {"stage": 3, name: {"device": "nvme"}}}, f'says zero_optimization.{name}.device "nvme", which has not')
          for name in ("offload_optimizer", "offload_param")),
        *(({"zero_optimization": {"stage": stage}}, f"zero_optimization.stage must be 1, 2 or 3, a whole number; there is {found}.")
          for stage, found in (("3", '"3"'), ("auto", '"auto"'), (5, "5"), (0, "0"), (True, "true"), (2.0, "2.0"), (None, "null"))),
        ({"zero_optimization": {}}, "zero_optimization.stage must be 1, 2 or 3, a whole number; there is none."),
    )),
])  # fmt: skip
def test_a_file_that_is_missing_broken_or_leaves_no_checkpoint_is_one_line(text, message, call, tiny_model, data_dir, tmp_path):
    if text is not None:
        (tmp_path / "my.json").write_text(text)
    with pytest.raises(InputError) as error:
        call(run_intermediate, "--task", "mnli", "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--use_cpu",
             "--output_dir", tmp_path / "out", "--deepspeed", tmp_path / "my.json")  # fmt: skip
    assert message in str(error.value) and str(tmp_path / "my.json") in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


@needs_deepspeed
@pytest.mark.parametrize("zero, section, message", [
    ({"reduce_bucket": 5}, {}, "zero_optimization.reduce_bucket: no setting of that name. DeepSpeed's are in https://www.deepspeed.ai/"),
    ({"offload_optimizer": {"pinned": True}}, {}, "zero_optimization.offload_optimizer.pinned: no setting of that name."),
    ({"offload_optimizer": {"device": "gpu"}}, {}, "zero_optimization.offload_optimizer.device: Input should be 'none', 'cpu' or"),
    ({"reduce_bucket_size": "big"}, {}, "zero_optimization.reduce_bucket_size: Input should be a valid integer"),
    ({"cpu_offload": True, "offload_optimizer": {}}, {}, "Cannot provide deprecated parameter 'cpu_offload' and"),
    ({"stage": 3, "compute_grad_norm": False}, {}, "zero_optimization: Value error, compute_grad_norm=false is supported only"),
    ({}, {"bf16": {"enable": False}}, "bf16.enable: no setting of that name."),
    ({}, {"elasticity": {}}, "Elastic training has been removed"),
    ({}, {"communication_data_type": "fp8"}, "Invalid communication_data_type."),
])  # fmt: skip
def test_what_deepspeed_itself_would_refuse_is_one_line(zero, section, message, resolved):
    config = deepspeed_support.read_config(f"{ROOT}/ds_configs/zero2.json")
    _, args = resolved({**config, "zero_optimization": {**config["zero_optimization"], **zero}, **section})
    with pytest.raises(InputError) as error:
        deepspeed_support.check_settings("my.json", args)
    assert str(error.value).startswith(f"my.json: {message}") and "\n" not in str(error.value)


@needs_deepspeed
def test_a_run_with_a_file_that_deepspeed_would_refuse_ends_in_that_line(tmp_path):
    config = json.loads((ROOT / "ds_configs/zero3.json").read_text())
    config["zero_optimization"]["stage3_live"] = 1
    (tmp_path / "my.json").write_text(json.dumps(config))
    flags = ("--task", "mnli", "--use_cpu", "--output_dir", tmp_path / "out", "--deepspeed", tmp_path / "my.json")
    lines = launch("run_intermediate.py", *flags, expect=2).stderr.splitlines()
    expected = f"run_intermediate.py: error: {tmp_path}/my.json: zero_optimization.stage3_live: no setting of that name."
    assert lines[-1].startswith(expected) and not any("Traceback" in line for line in lines)
    assert not (tmp_path / "out").exists()


@needs_deepspeed
def test_one_process_takes_a_port_that_is_free_when_it_is_opened(tmp_path):
    """Seconds pass between the choice of a port and its use, and another process may take it meanwhile."""
    (tmp_path / "script.py").write_text("""
import os, socket
import deepspeed
from trainer.deepspeed import prepare_processes

start = deepspeed.init_distributed

def start_late(*arguments, **options):
    taken = socket.create_server(("127.0.0.1", int(os.environ["MASTER_PORT"])))
    start(*arguments, **options)

deepspeed.init_distributed = start_late
prepare_processes(use_cpu=True)
print(deepspeed.comm.get_world_size())
""")
    assert launch(tmp_path / "script.py").stdout.splitlines()[-1] == "1"


@needs_deepspeed
def test_the_file_that_accelerate_names_is_compared_with_the_flags(tmp_path):
    config = json.loads((ROOT / "ds_configs/zero2.json").read_text())
    (tmp_path / "my.json").write_text(json.dumps({**config, "gradient_clipping": 7}))
    named = {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_CONFIG_FILE": str(tmp_path / "my.json")}
    run = launch("run_intermediate.py", "--task", "mnli", "--use_cpu", "--output_dir", tmp_path / "out", expect=2, **named)
    expected = f"run_intermediate.py: error: {tmp_path}/my.json says gradient_clipping=7, the flags say max_grad_norm=1.0."
    assert run.stderr.splitlines()[-1].startswith(expected)


@needs_deepspeed
def test_the_optimiser_of_a_run_is_the_flags_or_the_one_that_its_file_names(resolved):
    config = deepspeed_support.read_config(f"{ROOT}/ds_configs/zero2.json")
    for section, expected in (({}, "adamw_torch"), ({"optimizer": {"type": "Adam", "params": {}}}, "Adam of my.json")):
        _, args = resolved({**config, **section}, optim="adamw_torch")
        args.deepspeed = "my.json"
        assert deepspeed_support.optimizer_of(args) == expected
    assert deepspeed_support.optimizer_of(TrainingArguments(use_cpu=True, optim="sgd")) == "sgd"


def test_without_deepspeed_nothing_is_prepared(monkeypatch):
    monkeypatch.delenv("ACCELERATE_USE_DEEPSPEED", raising=False)
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", "x.json")
    assert deepspeed_support.config_path(None) is None and deepspeed_support.config_path("y.json") == "y.json"


def test_of_torchs_warnings_only_those_of_deepspeeds_own_calls_are_silenced(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    texts = [f"`torch.distributed.{name}` is deprecated." for name in ("reduce_scatter_tensor", "all_gather_into_tensor", "reduce_op")]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        deepspeed_support.prepare_processes(use_cpu=False)
        for text in texts:
            warnings.warn(text, FutureWarning, stacklevel=1)
    assert [str(warning.message) for warning in said] == texts[2:]


def test_the_file_is_the_flags_or_accelerates_and_two_that_differ_are_refused(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", "x.json")
    assert deepspeed_support.config_path(None) == "x.json"
    for same_file in ("x.json", "./x.json", str(tmp_path / "x.json")):
        assert deepspeed_support.config_path(same_file) == "x.json"
    with pytest.raises(InputError, match="^--deepspeed y.json, but accelerate's settings name x.json: leave the flag out"):
        deepspeed_support.config_path("y.json")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", "none")
    assert deepspeed_support.config_path("y.json") == "y.json"
    with pytest.raises(InputError, match="name no JSON file"):
        deepspeed_support.config_path(None)


def test_a_checkpoint_is_not_gone_on_from_under_another_layout(tmp_path):
    run = SimpleNamespace(deepspeed=None)
    assert deepspeed_support.layout_of_checkpoint(tmp_path) == deepspeed_support.layout_of_run(run) == "no DeepSpeed"
    (tmp_path / "global_step2").mkdir()
    for rank in range(2):
        (tmp_path / f"global_step2/bf16_zero_pp_rank_{rank}_mp_rank_00_optim_states.pt").touch()
    assert deepspeed_support.layout_of_checkpoint(tmp_path) == "DeepSpeed ZeRO stage 1 or 2 in 2 process(es)"
    (tmp_path / "global_step2/zero_pp_rank_0_mp_rank_00_model_states.pt").touch()
    assert deepspeed_support.layout_of_checkpoint(tmp_path) == "DeepSpeed ZeRO stage 3 in 2 process(es)"
    for stage, processes, as_written in ((3, 2, True), (3, 1, False), (2, 2, False)):
        config = SimpleNamespace(is_zero3=lambda stage=stage: stage == 3)
        run = SimpleNamespace(deepspeed="x.json", hf_deepspeed_config=config, world_size=processes)
        written = deepspeed_support.layout_of_checkpoint(tmp_path)
        assert (deepspeed_support.layout_of_run(run) == written) == as_written


def test_training_does_not_begin_from_a_checkpoint_of_another_layout(tmp_path):
    written = tmp_path / "checkpoint-2" / "global_step2"
    written.mkdir(parents=True)
    torch.save({}, written / "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt")
    (written.parent / "trainer_state.json").write_text("{}")
    save_file({"a": torch.ones(1)}, written.parent / "model.safetensors")
    torch.save({}, written.parent / "rng_state.pth")
    with pytest.raises(InputError, match="written with DeepSpeed ZeRO stage 1 or 2 in 1 process.*this command has no DeepSpeed"):
        run_trainer(SimpleNamespace(args=SimpleNamespace(output_dir=str(tmp_path), deepspeed=None)))


# ---- whole runs

# Plain gradient descent, so that the size of a gradient shows. The sixth step is the last one of an epoch and has one example. The greatest
# loss is the "best": the first checkpoint is chosen (in this order of the examples the loss falls).
FLAGS = (
    "--task mnli --max_train_samples 41 --data_seed 7 --use_cpu --disable_tqdm true --max_seq_length 96 --effective_batch_size 8"
    " --max_steps 6 --optim sgd --warmup_steps 0 --learning_rate 0.1 --max_eval_samples 16 --eval_strategy steps --eval_steps 2"
    " --save_steps 2 --save_total_limit 9 --keep_checkpoints --load_best_model_at_end true --metric_for_best_model loss"
    " --greater_is_better true --train_sampling_strategy random"
).split()


@pytest.fixture(scope="module")
def plain_run(tiny_model, data_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("plain") / "out"
    flags = (*FLAGS, "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--output_dir", str(out))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["run_intermediate.py", *flags])
        run_intermediate.main()
    return out


def same(found, expected, tolerance):
    found, expected = load_file(found / "model.safetensors"), load_file(expected / "model.safetensors")
    assert found.keys() == expected.keys(), "the names are those of a run without DeepSpeed"
    for name, weight in expected.items():
        assert found[name].dtype == torch.float32
        assert (found[name] - weight).norm() <= tolerance * weight.norm() + tolerance / 10, name


@needs_deepspeed
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("name", CONFIGS)
def test_a_run_updates_chooses_goes_on_and_hands_over_as_without_deepspeed(name, processes, plain_run, tiny_model, data_dir, tmp_path):
    if (name, processes) not in DEFAULT_RUNS and os.environ.get("DEEPSPEED_TESTS") != "all":
        pytest.skip("half a minute each: DEEPSPEED_TESTS=all runs it")
    out, cut = tmp_path / "out", tmp_path / "cut"
    flags = (*FLAGS, "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--deepspeed", f"ds_configs/{name}.json")
    run = launch("run_intermediate.py", *flags, "--output_dir", out, processes=processes)
    assert "is deprecated" not in run.stderr, "under ZeRO-3 torch said so hundreds of times"
    results = json.loads((out / "results.json").read_text())
    assert results["training"]["deepspeed"]["file"] == f"ds_configs/{name}.json" and results["world_size"] == processes
    same(out / "checkpoint-6", plain_run / "checkpoint-6", 1e-5)
    assert results["training"]["best_step"] == 2
    same(out, plain_run, 1e-5)
    same(out, out / "checkpoint-2", 0)

    shutil.copytree(out, cut)
    for step in (4, 6):
        shutil.rmtree(cut / f"checkpoint-{step}")
    for file in ("results.json", "model.safetensors"):
        (cut / file).unlink()
    launch("run_intermediate.py", *flags, "--output_dir", cut, processes=processes)
    assert json.loads((cut / "results.json").read_text())["training"]["resumed_from_step"] == 2
    same(cut / "checkpoint-6", out / "checkpoint-6", 0)

    tagger, _ = load_model(AutoModelForTokenClassification, str(out), ("a", "b"), seed=1)
    name = "encoder.layer.1.output.dense.weight"
    assert torch.equal(tagger.roberta.get_parameter(name), load_file(out / "model.safetensors")[f"roberta.{name}"])


@needs_deepspeed
@pytest.mark.parametrize("name", ["zero2_offload", "zero3"])
def test_bf16_leaves_the_weights_that_were_trained_not_their_rounded_copy(name, tiny_model, data_dir, tmp_path):
    config = json.loads((ROOT / f"ds_configs/{name}.json").read_text())
    (tmp_path / "bf16.json").write_text(json.dumps({**config, "bf16": {"enabled": True}}))  # The file has the effect of --bf16.
    flags = (*FLAGS, "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--deepspeed", tmp_path / "bf16.json")
    launch("run_intermediate.py", *flags, "--output_dir", tmp_path / "out", "--max_steps", 1, "--load_best_model_at_end", "false")
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert results["bf16"] is True and (results["training"]["trained_pieces"] is None) is (name == "zero3"), "trimmed where it can be"
    assert json.loads((tmp_path / "out/config.json").read_text())["dtype"] == "float32"
    weights = load_file(tmp_path / "out/model.safetensors")
    for key, weight in weights.items():
        assert weight.dtype == torch.float32
        if key.endswith("dense.weight"):
            assert (weight != weight.bfloat16().float()).float().mean() > 0.9, key
    words = "roberta.embeddings.word_embeddings.weight"
    before = load_file(f"{tiny_model}/model.safetensors")[words]
    before = before.bfloat16().float() if name == "zero3" else before  # Weights on the host are not rounded.
    decayed = before * (1 - results["learning_rate"] * results["weight_decay"])
    as_decayed = (weights[words] - decayed).norm(dim=1) <= 1e-6 * decayed.norm(dim=1)
    assert 150 < as_decayed.sum() < len(decayed) - 20, "rows that do not occur, whether they were on the host or not"


@needs_deepspeed
@pytest.mark.parametrize("name, precision", [("zero2", ()), ("zero3", ("--bf16",))])
def test_a_run_killed_while_it_is_scored_is_scored_without_an_engine(name, precision, tiny_model, data_dir, tmp_path):
    flags = ("--task", "udpos", "--model_name_or_path", tiny_model, "--data_dir", data_dir, "--use_cpu", "--deepspeed",
             f"ds_configs/{name}.json", "--learning_rate", 2e-3, "--max_steps", 12, "--max_seq_length", 96, "--languages", "en", "de",
             "--eval_steps", 6, "--save_steps", 6, "--max_train_samples", 96, *precision)  # fmt: skip
    launch("run_target.py", *flags, "--output_dir", tmp_path / "whole")
    launch("tests/killed.py", "scoring", "run_target", *flags, "--output_dir", tmp_path / "cut", expect=-9)
    assert json.loads((tmp_path / "cut/progress.json").read_text())["state"] == "trained"
    again = launch("run_target.py", *flags, "--output_dir", tmp_path / "cut")
    assert "is trained: going on with the scores" in again.stdout
    whole, cut = (json.loads((tmp_path / folder / "results.json").read_text()) for folder in ("whole", "cut"))
    assert cut["training"]["steps"] == 12 and cut["scores"].keys() == whole["scores"].keys()
    # A CPU with AMX rounds a product in bf16 otherwise where the weight lies elsewhere in memory, as it does within the engine.
    rounding = 0.03 if precision and "amx_bf16" in Path("/proc/cpuinfo").read_text() else 0.0
    kept = sorted(path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*.npz"))
    assert len(kept) == 3
    for path in kept:
        before, after = (np.load(tmp_path / folder / path)["log_probabilities"].astype(float) for folder in ("whole", "cut"))
        assert np.abs(before - after).max() <= rounding, path
    if not rounding:
        assert cut["scores"] == whole["scores"]
    same(tmp_path / "cut", tmp_path / "whole", 0)


@needs_deepspeed
def test_under_zero3_too_the_head_is_a_fresh_one_where_an_old_one_would_fit(plain_run, data_dir, tmp_path):
    """The slices of a weight must be gathered before it is drawn. With a learning rate of 0 the drawn weights are saved unchanged."""
    launch("run_target.py", "--task", "xnli", "--model_name_or_path", plain_run, "--data_dir", data_dir, "--output_dir", tmp_path / "out",
           "--use_cpu", "--deepspeed", "ds_configs/zero3.json", "--learning_rate", 0, "--max_steps", 1, "--seed", 7, "--optim", "sgd",
           "--max_seq_length", 96, "--languages", "en", "--max_predict_samples", 8)  # fmt: skip
    saved, before = load_file(tmp_path / "out/model.safetensors"), load_file(plain_run / "model.safetensors")
    fresh, _ = load_model(AutoModelForSequenceClassification, str(plain_run), ("a", "b", "c"), seed=7)
    assert saved.keys() == before.keys() == fresh.state_dict().keys()
    for name, weight in fresh.state_dict().items():
        assert torch.equal(saved[name], weight), name
        if name.startswith("classifier.") and name.endswith("weight"):
            assert not torch.equal(saved[name], before[name]), name


# ---- the contents of a file that make two runs different


@pytest.mark.parametrize("name", CONFIGS)
def test_where_deepspeed_keeps_numbers_makes_no_other_run(name):
    assert deepspeed_settings(f"{ROOT}/ds_configs/{name}.json") == {}


@pytest.mark.parametrize("section, expected", [
    ({"optimizer": {"type": "AdamW", "params": {"adam_w_mode": False}}},
     {"optimizer": {"type": "AdamW", "params": {"adam_w_mode": False}}}),
    ({"scheduler": {"type": "WarmupDecayLR", "params": {}}}, {"scheduler": {"type": "WarmupDecayLR", "params": {}}}),
    ({"data_types": {"grad_accum_dtype": "bf16"}}, {"data_types": {"grad_accum_dtype": "bf16"}}),
    ({"a_section_of_a_later_version": 1}, {"a_section_of_a_later_version": 1}),
    ({"zero_optimization": {"stage": 3, "zero_quantized_gradients": True}}, {"zero_optimization": {"zero_quantized_gradients": True}}),
])  # fmt: skip
def test_what_a_file_changes_in_an_update_makes_another_run(section, expected, tmp_path):
    """The file's content decides: the same file under another name is the same run, another file under the same name is not."""
    config = {**json.loads((ROOT / "ds_configs/zero2.json").read_text()), **section}
    for name in ("one.json", "other.json"):
        (tmp_path / name).write_text(json.dumps(config))
        assert deepspeed_settings(str(tmp_path / name)) == {"deepspeed": expected}
