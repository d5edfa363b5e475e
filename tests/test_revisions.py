"""--model_revision and --data_revision: what the hub's loaders are asked for, and what run.json says."""

import shutil
import sys

import pytest
from datasets import Dataset

import arguments
import run_retrieval
import run_target
from settings import describe_run, describe_search
from task_adapters import TASKS, InputError, at_revision, hub, hub_ids_of
from task_adapters.base import CONVERTED
from trainer import checkpoints, tokenizers
from trainer.stages import flags_of_first_stage, revisions_of_first_stage

COMMITS = {"main": "a" * 40, "v1": "b" * 40}


@pytest.fixture
def cache(tiny_model, tmp_path, monkeypatch):
    """A hub cache of the model me/tiny: v1 is another commit than main."""
    for revision, commit in COMMITS.items():
        shutil.copytree(tiny_model, tmp_path / "models--me--tiny/snapshots" / commit)
        ref = tmp_path / "models--me--tiny/refs" / revision
        ref.parent.mkdir(exist_ok=True)
        ref.write_text(commit)
    for module in ("huggingface_hub.constants", "transformers.utils.hub.constants"):
        monkeypatch.setattr(f"{module}.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_a_model_and_its_tokenizer_are_read_at_the_revision(cache, monkeypatch):
    read, folders = [], []
    load = checkpoints.AutoModel.from_pretrained
    monkeypatch.setattr(
        checkpoints.AutoModel, "from_pretrained", lambda path, **more: read.append((path, more["revision"])) or load(path, **more)
    )
    files = tokenizers._tokenizer_files
    monkeypatch.setattr(tokenizers, "_tokenizer_files", lambda path: folders.append(files(path)[0].name) or files(path))
    for path, revision in (("me/tiny@v1", "v1"), ("me/tiny", None)):
        config = checkpoints.load_config(path)
        checkpoints.load_encoder(path, None)
        tokenizers.load_tokenizer(path, True)
        described = checkpoints.describe_model(path, config)
        assert described["name_or_path"] == "me/tiny" and described["revision"] == COMMITS[revision or "main"] == folders[-1]
        assert read[-1] == ("me/tiny", revision)
    with pytest.raises(InputError, match="^Cannot load a model from 'me/tiny@v2': "):
        checkpoints.load_config("me/tiny@v2")


def test_a_folder_whose_name_has_an_at_sign_is_a_folder(tiny_model, tmp_path):
    folder = str(shutil.copytree(tiny_model, tmp_path / "model@v1"))
    assert checkpoints.hub_id_and_revision(folder) == (folder, None) and checkpoints.load_config(folder).model_type == "xlm-roberta"


def parsed(script, *flags):
    sys.argv[1:] = ["--output_dir", "OUT", *([] if script is run_retrieval else ["--use_cpu"]), *flags]
    return arguments.parse(script.ScriptArguments, script.__name__.removeprefix("run_"))


@pytest.fixture(autouse=True)
def command_line(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run.py"])


def test_run_json_names_them():
    args, training_args, tasks, _ = parsed(run_target, "--task", "xquad", "--model_revision", "v1", "--data_revision", "v2")
    described = describe_run("target", args, training_args, tasks)
    assert described["model_revision"] == "v1" and described["data_revision"] == ["v2"]
    assert args.model_name_or_path == "FacebookAI/xlm-roberta-large@v1" and tasks[0].sources[0].pinned == "v2"
    args, _, tasks, _ = parsed(run_retrieval, "--task", "tatoeba", "--data_revision", "google/xtreme=v2", "--model_revision", "v1")
    assert tasks[0].sources[0].pinned == "v2" and {"model_revision", "data_revision"} <= {*describe_search(args, tasks[0], "fp32")}


def test_the_first_of_two_stages_has_the_model_with_its_revision_and_keeps_its_own_model():
    words = [
        "--model_revision",
        "v1",
        "--save_model",
        "false",
        "--seed",
        "1",
        "--do_train",
        "--do_eval",
        "--do_predict",
        "--lora_rank",
        "4",
    ]
    assert flags_of_first_stage(words) == ["--seed", "1", "--lora_rank", "4"]


def test_each_of_two_stages_reads_its_own_data_at_their_revision():
    stages = {"cambridgeltl/xcopa", "aps/super_glue"}, {"allenai/social_i_qa"}
    assert {*hub_ids_of([TASKS["xcopa"]], "jiant")} >= stages[0] | stages[1], "the command names those of both stages"
    assert not stages[1] & {*hub_ids_of([TASKS["xcopa"]], "copa")}, "this recipe has one stage"
    pins = ["cambridgeltl/xcopa=a", "allenai/social_i_qa=b"]
    assert flags_of_first_stage(["--data_revision", *pins, "--seed", "1"]) == ["--seed", "1"]
    assert revisions_of_first_stage(pins, "siqa") == ["--data_revision", "allenai/social_i_qa=b"]
    assert revisions_of_first_stage(["v1"], "siqa") == ["--data_revision", "v1"], "one revision is that of all data"
    assert revisions_of_first_stage(pins[:1], "siqa") == revisions_of_first_stage(None, "siqa") == []


def test_data_are_asked_for_at_their_revision(monkeypatch, tmp_path):
    asked = []

    def load_dataset(hub_id, config, split, revision=None):
        asked.append((hub_id, revision))
        return Dataset.from_dict({"a": [1]})

    def snapshot_download(hub_id, revision, **_):
        asked.append((hub_id, revision))
        (tmp_path / "c/validation").mkdir(parents=True, exist_ok=True)
        Dataset.from_dict({"a": [1]}).to_parquet(tmp_path / "c/validation/0000.parquet")
        return str(tmp_path)

    monkeypatch.setattr(hub, "load_dataset", load_dataset)
    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    for revisions, expected in ((["v2"], "v2"), (["google/xquad=v3", "rajpurkar/squad=v4"], "v3"), (None, None)):
        at_revision(TASKS["xquad"], revisions).sources[0].load("test", "de", None)
        assert asked[-1] == ("google/xquad", expected)
    for pinned, expected in (("v2", "v2"), (None, CONVERTED)):
        hub.rows_from_hub("me/script", "c", "validation", CONVERTED, pinned)
        assert asked[-1] == ("me/script", expected), "found by name, as on the branch that it stands for"


@pytest.mark.parametrize("flags, message", [
    (("--model_revision", "v1", "--model_name_or_path", "MODEL"), "--model_revision v1: MODEL is a folder"),
    (("--data_revision", "v1", "--data_dir", "DATA"), "--data_revision v1: --data_dir DATA is a folder; data of the hub have revisions."),
    (("--data_revision", "google/xqad=v1"), "--data_revision google/xqad=v1: 'google/xqad' is not read here. Did you mean 'google/xquad'?"),
    (("--data_revision", "v1", "v2"), "--data_revision v1: one revision is that of all data; several are HUB_ID=REVISION each."),
])  # fmt: skip
@pytest.mark.parametrize("script, task", [(run_target, "xquad"), (run_retrieval, "tatoeba")])
def test_what_has_no_revision_is_refused(script, task, flags, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "MODEL").mkdir()
    if script is run_retrieval and "xqad" in message:
        flags, message = (
            ("--data_revision", "google/xtrem=v1"),
            "--data_revision google/xtrem=v1: 'google/xtrem' is not read here. Did you mean 'google/xtreme'?",
        )
    with pytest.raises(InputError) as error:
        parsed(script, "--task", task, *flags)
    assert str(error.value).startswith(message)
