"""What the terminal and the log of a run show: lines beside progress bars, endings, progress, a model that is not there."""

import pytest
from transformers import AutoConfig

from task_adapters import InputError
from trainer import checkpoints
from trainer.checkpoints import check_model

# ---- a model that is not there


@pytest.mark.parametrize("path", ["./x", "../x", "/no/such", "~/nothing", "a/b/c", "x/"])
def test_a_path_that_is_no_folder_is_answered_without_the_hub(path, monkeypatch):
    monkeypatch.setattr(AutoConfig, "from_pretrained", lambda *_, **__: pytest.fail("the hub was asked"))
    monkeypatch.setattr(checkpoints, "hub_snapshot", lambda path: pytest.fail("the cache was asked"))
    with pytest.raises(InputError, match=f"^Cannot load a model from '{path}': there is no folder /"):
        check_model(path)


@pytest.mark.parametrize("path, is_offline, refused", [
    ("no/such", True, True), ("nosuch", True, True), ("no/such", False, False), ("--x", True, False),
])  # fmt: skip
def test_a_name_that_may_be_the_hubs_is_answered_at_once_where_the_hub_is_switched_off(path, is_offline, refused, monkeypatch):
    monkeypatch.setattr(checkpoints.constants, "HF_HUB_OFFLINE", is_offline)
    if not refused:
        return check_model(path)
    with pytest.raises(InputError, match="there is no folder /.*, and HF_HUB_OFFLINE is set: of the hub only the cache was searched.$"):
        check_model(path)


def test_a_model_in_the_hubs_cache_is_found_where_the_hub_is_switched_off(monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoints.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(checkpoints, "hub_snapshot", lambda path: tmp_path)
    check_model("some/model")
