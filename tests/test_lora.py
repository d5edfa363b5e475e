"""LoRA: what is merged is what was trained; runs are resumed, trimmed, padding-free and joint as others; adapters are read as models."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import Cut, launch, needs_deepspeed
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import run_intermediate
import run_retrieval
import run_target
from refusals import check_lora
from results import RunFolder
from task_adapters import InputError
from trainer import loop
from trainer.checkpoints import load_encoder

LORA = ("--lora_rank", "4", "--learning_rate", "3e-3")
FAST = ("--use_cpu", "--disable_tqdm", "true", "--max_seq_length", "64", "--effective_batch_size", "16", "--per_device_train_batch_size",
        "16", "--warmup_steps", "0")  # fmt: skip


@pytest.fixture
def mnli(call, tiny_model, data_dir):
    """mnli(folder, *flags): a run of phase 1 with LoRA."""

    def run(folder, *flags, task=("mnli",), model=tiny_model):
        where = ("--model_name_or_path", model, "--data_dir", data_dir, "--output_dir", folder)
        return call(run_intermediate, "--task", *task, *where, *FAST, *LORA, *flags)

    return run


@pytest.fixture
def merging(monkeypatch):
    """The dev scores of the model with its adapters, before they are merged."""
    scores, merge = [], loop.lora.merge

    def scored(trainer, folder, *more):
        scores.append(trainer.evaluate())
        return merge(trainer, folder, *more)

    monkeypatch.setattr(loop.lora, "merge", scored)
    return scores


SELECTED = ("--max_steps", "12", "--eval_strategy", "steps", "--eval_steps", "4", "--save_steps", "4", "--load_best_model_at_end",
            "--metric_for_best_model", "accuracy", "--max_eval_samples", "32", "--keep_checkpoints")  # fmt: skip


def logits_of(model, tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    inputs = tokenizer(["the dog sees a cat .", "surely the house ."], padding=True, return_tensors="pt")
    with torch.no_grad():
        return model.eval()(**inputs).logits


def test_the_merged_model_scores_as_its_adapter_and_peft_reads_the_adapter(mnli, merging, tiny_model, tmp_path, capsys):
    from peft import PeftModel

    results = mnli(tmp_path / "out", *SELECTED, "--lora_dropout", "0.1")
    said = results["training"]["lora"]
    assert said["rank"] == 4 and said["alpha"] == 8 and said["dropout"] == 0.1 and said["targets"] == ["query", "value"]
    assert said["trained_weights"] == 2 * 2 * (4 * 64 * 2) + 64 * 64 + 64 + 64 * 3 + 3 < said["weights"]
    assert (
        f"LoRA of rank 4 on query, value: {said['trained_weights']:,} of {said['weights']:,} weights are trained" in capsys.readouterr().out
    )
    assert merging[0]["eval_accuracy"] == results["dev"]["accuracy"] == results["training"]["best_selection_score"]
    merged = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    base, out = load_file(f"{tiny_model}/model.safetensors"), load_file(tmp_path / "out/model.safetensors")
    changed = {name for name in set(base) & set(out) if not torch.equal(base[name], out[name])}
    assert changed == {f"roberta.encoder.layer.{block}.attention.self.{part}.weight" for block in (0, 1) for part in ("query", "value")}
    plain = AutoModelForSequenceClassification.from_pretrained(tiny_model, num_labels=3)
    adapted = PeftModel.from_pretrained(plain, tmp_path / "out/adapter")
    logits = logits_of(merged, tiny_model)
    assert torch.allclose(logits_of(adapted, tiny_model), logits, atol=1e-5) and logits.std() > 1e-3
    config = json.loads((tmp_path / "out/adapter/adapter_config.json").read_text())
    assert (
        config["base_model_name_or_path"] == tiny_model and config["modules_to_save"] == ["classifier"] and config["task_type"] == "SEQ_CLS"
    )
    checkpoint = load_file(tmp_path / "out/checkpoint-12/model.safetensors")
    assert all("lora_" in name or "classifier" in name for name in checkpoint), "checkpoints hold what is trained"


@pytest.mark.parametrize("script, task, more", [
    (run_intermediate, "mnli", ("--freeze_embeddings", "false", "--padding_free", "on", "--lora_dropout", "0.2")),
    (run_intermediate, "mnli hellaswag", ()),
    (run_target, "xquad", ("--languages", "de", "--doc_stride", "32")),
])  # fmt: skip
def test_a_run_that_is_cut_off_goes_on_to_the_same_bits(script, task, more, call, cut, tiny_model, data_dir, tmp_path):
    flags = ("--task", *task.split(), "--model_name_or_path", tiny_model, "--data_dir", data_dir, *FAST, *LORA, "--max_eval_samples", "16",
             "--max_seq_length", "96", "--max_steps", "6", "--save_steps", "2", "--eval_steps", "2", *more)  # fmt: skip
    whole = call(script, *flags, "--output_dir", tmp_path / "whole")
    undo = cut(loop.RunTrainer, "training_step", when=lambda trainer, *_, **__: trainer.state.global_step == 4)
    with pytest.raises(Cut):
        call(script, *flags, "--output_dir", tmp_path / "cut")
    undo()
    results = call(script, *flags, "--output_dir", tmp_path / "cut")
    assert results["training"]["resumed_from_step"] == 4 and results["training"]["trained_pieces"] > 20
    files = sorted(path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*.safetensors"))
    assert Path("adapter/adapter_model.safetensors") in files and len(files) == (4 if " " in task else 2)
    for file in files:
        one, other = load_file(tmp_path / "whole" / file), load_file(tmp_path / "cut" / file)
        assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one), file
    assert results["dev"] == whole["dev"] and results.get("scores") == whole.get("scores")


def test_a_run_that_is_killed_after_training_goes_on_with_the_merged_model(mnli, cut, tmp_path):
    undo = cut(RunFolder, "finish")
    with pytest.raises(Cut):
        mnli(tmp_path / "out", "--max_steps", "4", "--max_eval_samples", "32")
    undo()
    before = load_file(tmp_path / "out/model.safetensors")
    results = mnli(tmp_path / "out", "--max_steps", "4", "--max_eval_samples", "32")
    after = load_file(tmp_path / "out/model.safetensors")
    assert results["training"]["steps"] == 4 and all(torch.equal(before[name], after[name]) for name in before)


def test_several_tasks_leave_one_adapter_of_the_encoder_and_their_heads(mnli, merging, tiny_model, tmp_path):
    results = mnli(tmp_path / "out", *SELECTED[:-5], "--max_eval_samples", "16", task=("mnli", "hellaswag"))
    assert merging[0]["eval_mean"] == pytest.approx(results["dev_mean"], abs=1e-5)
    encoder, base = load_encoder(str(tmp_path / "out"), None).state_dict(), load_encoder(tiny_model, None).state_dict()
    added = load_encoder(str(tmp_path / "out/adapter"), None).state_dict()
    moved = {name for name in encoder if not torch.equal(encoder[name], base[name])}
    assert all("query" in name or "value" in name or "pooler" in name for name in moved) and len(moved) == 6
    assert all(torch.allclose(added[name], encoder[name], atol=1e-6) for name in encoder)
    assert (tmp_path / "out/heads/mnli/model.safetensors").is_file()


def test_an_adapter_is_a_model_for_every_phase(mnli, call, tiny_model, data_dir, tmp_path):
    mnli(tmp_path / "out", "--max_steps", "3", "--max_eval_samples", "16")
    languages = ("--task", "tatoeba", "--languages", "de", "--layer", "1", "--use_cpu", "--data_dir", data_dir)
    found = [call(run_retrieval, *languages, "--model_name_or_path", tmp_path / folder, "--output_dir", tmp_path / name)
             for folder, name in (("out", "one"), ("out/adapter", "two"))]  # fmt: skip
    assert found[0]["scores"] == found[1]["scores"]
    assert [run["task"] for run in found[1]["lineage"]] == ["mnli"] and found[1]["model"]["revision"].count("sha256:") == 2
    flags = ("--task", "xnli", "--data_dir", data_dir, "--languages", "de", "--max_predict_samples", "12", "--max_steps", "2",
             "--max_eval_samples", "16", *FAST)  # fmt: skip
    target = [
        call(run_target, *flags, "--model_name_or_path", tmp_path / folder, "--output_dir", tmp_path / f"{name}-xnli")
        for folder, name in (("out", "one"), ("out/adapter", "two"))
    ]
    assert target[0]["dev"] == target[1]["dev"] and target[0]["scores"] == target[1]["scores"]
    with pytest.raises(InputError, match="^--keep_head: .*out/adapter is an adapter, which does not name its labels."):
        call(run_target, *flags, "--model_name_or_path", tmp_path / "out/adapter", "--output_dir", tmp_path / "x", "--keep_head")
    # peft keeps the trained head in the adapter, which names no labels; the head of the base is another one.
    with pytest.raises(InputError, match="out/adapter' is an adapter, which does not name its labels. Give the merged model."):
        call(run_intermediate, "--task", "mnli", "--data_dir", data_dir, "--do_train", "false", "--use_cpu",
             "--model_name_or_path", tmp_path / "out/adapter", "--output_dir", tmp_path / "x")  # fmt: skip


@pytest.fixture(scope="module")
def adapter(tiny_model, tmp_path_factory):
    """The folder of an adapter that peft itself has made and saved, with weights that are not zero."""
    from peft import LoraConfig, get_peft_model

    model = AutoModelForSequenceClassification.from_pretrained(tiny_model, num_labels=2)
    config = LoraConfig(
        r=2, lora_alpha=4, target_modules=["query", "dense"], task_type="SEQ_CLS", use_rslora=True, alpha_pattern={"query": 6}
    )
    adapted = get_peft_model(model, config)
    torch.manual_seed(0)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    folder = tmp_path_factory.mktemp("peft")
    adapted.save_pretrained(folder / "adapter")
    adapted.merge_and_unload().roberta.save_pretrained(folder / "merged")
    return folder


def test_an_adapter_of_peft_is_merged_as_peft_merges_it(adapter):
    ours, theirs = (load_encoder(str(adapter / name), None).state_dict() for name in ("adapter", "merged"))
    shared = [name for name in ours if "pooler" not in name]
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in shared)


@pytest.mark.parametrize("changes, rename, message", [
    ({"base_model_name_or_path": None}, None, "is an adapter whose adapter_config.json names no base model"),
    ({"base_model_name_or_path": "no/such/base"}, None, "is an adapter of 'no/such/base'. Cannot load a model from 'no/such/base'"),
    ({"peft_type": "IA3"}, None, "is an adapter of the kind IA3: only LORA can be merged here."),
    ({"use_dora": True}, None, "is a LoRA with use_dora, which cannot be merged here"),
    ({"bias": "all"}, None, "is a LoRA with bias all, which"),
    ({"init_lora_weights": "pissa_niter_4"}, None, "is a LoRA with init_lora_weights pissa_niter_4, which"),
    ({}, ("query", "q_proj"), "is an adapter of another architecture than its base model .*, a xlm-roberta: .*q_proj does not fit."),
    ({}, ("lora_A", "lora_embedding_A"), "which is no LoRA of a linear layer"),
    ({}, None, r"whose adapter_model.safetensors cannot be read \("),
])  # fmt: skip
def test_a_foreign_adapter_is_one_line(changes, rename, message, adapter, call, data_dir, tmp_path):
    folder = shutil.copytree(adapter / "adapter", tmp_path / "adapter")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, **changes}))
    if rename:
        weights = load_file(folder / "adapter_model.safetensors")
        save_file({name.replace(*rename): weight for name, weight in weights.items()}, folder / "adapter_model.safetensors")
    elif not changes:
        (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(InputError, match=message) as error:
        call(run_intermediate, "--task", "mnli", "--model_name_or_path", folder, "--data_dir", data_dir, "--output_dir", tmp_path / "out",
             "--max_steps", "1", *FAST)  # fmt: skip
    assert "\n" not in str(error.value) and not (tmp_path / "out/run.json").exists()


@pytest.mark.parametrize("flags, message", [
    ("--lora_target keys", "--lora_target keys: xlm-roberta has no linear layer of that name. It has: dense, key, query, value."),
    ("--lora_target query decoder", "--lora_target decoder: xlm-roberta has no linear layer of that name."),
    ("--lora_rank 0", "--lora_rank 0: at least 1."),
    ("--lora_dropout 1", "--lora_dropout 1.0: at least 0 and below 1."),
    ("--lora_alpha 0", "--lora_alpha 0.0: above 0 and finite."),
    ("--freeze_embeddings", "--lora_rank: --freeze_embeddings has no effect with it, because LoRA trains no embeddings."),
    ("--mlm_languages en --mlm_data x", "--lora_rank: masked LM trains the embeddings, which LoRA leaves as they are"),
    ("--torch_compile", "--lora_rank: --torch_compile has not been tried with it."),
])  # fmt: skip
def test_what_lora_cannot_have_is_one_line_before_data_are_read(flags, message, mnli, tmp_path):
    with pytest.raises(InputError) as error:
        mnli(tmp_path / "out", *flags.split())
    assert str(error.value).startswith(message) and "\n" not in str(error.value) and not (tmp_path / "out/run.json").exists()


@pytest.mark.parametrize("stage", [2, 3])
def test_zero3_is_refused(stage):
    asked = SimpleNamespace(lora_rank=4, freeze_embeddings=False, torch_compile=False)
    launch = SimpleNamespace(given={"lora_rank": 4}, tasks=(), deepspeed={"zero_optimization": {"stage": stage}})
    if stage == 2:
        return check_lora(launch, asked, asked)
    with pytest.raises(InputError, match="^--lora_rank: it has not been tried under ZeRO-3: ds_configs/zero2.json would be right.$"):
        check_lora(launch, asked, asked)


@pytest.mark.parametrize("flag", [("--lora_alpha", "4"), ("--lora_dropout", "0.1"), ("--lora_target", "query")])
def test_a_flag_of_lora_without_a_rank_is_one_line(flag, call, tiny_model, tmp_path):
    with pytest.raises(InputError, match=f"^{flag[0]} has no effect without --lora_rank. For example: --lora_rank 8$"):
        call(run_target, "--task", "xnli", "--model_name_or_path", tiny_model, "--output_dir", tmp_path / "out", "--use_cpu", *flag)


def test_lora_is_another_run_with_a_rate_of_its_own(call, tiny_model, tmp_path, monkeypatch):
    import arguments
    from settings import describe_run

    def described(*flags):
        monkeypatch.setattr("sys.argv", ["run_target.py", "--task", "xnli", "--output_dir", str(tmp_path), "--use_cpu", *flags])
        args, training_args, tasks, _ = arguments.parse(run_target.ScriptArguments, "target")
        return describe_run("target", args, training_args, tasks)

    plain, adapted = described(), described("--lora_rank", "8")
    assert adapted == {**plain, "lora_rank": 8, "learning_rate": 3e-4}
    assert described("--lora_rank", "8", "--learning_rate", "1e-5") == {**plain, "lora_rank": 8}


@needs_deepspeed
def test_zero2_trains_adapters_as_one_process_does(mnli, tiny_model, data_dir, tmp_path):
    flags = ("--max_steps", "4", "--save_steps", "2", "--max_eval_samples", "16", "--trim_embeddings", "off")
    mnli(tmp_path / "plain", *flags)
    command = ("--task", "mnli", "--model_name_or_path", tiny_model, "--data_dir", data_dir, *FAST, *LORA, *flags)
    launch("run_intermediate.py", *command, "--output_dir", tmp_path / "zero2", "--deepspeed", "ds_configs/zero2.json")
    for file in ("model.safetensors", "adapter/adapter_model.safetensors"):
        one, other = load_file(tmp_path / "plain" / file), load_file(tmp_path / "zero2" / file)
        assert one.keys() == other.keys() and all(torch.allclose(one[name], other[name], atol=1e-5) for name in one), file
