"""What the hub's local cache has of a model, where the hub is not asked: used if whole, named if it is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from judgeloop.errors import InputError
from judgeloop.models.resolve import resolve
from judgeloop.models.show import report
from tiny import make_tiny_model

COMMIT = "a" * 40


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from huggingface_hub import constants

    monkeypatch.setenv("JUDGELOOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def snapshot(hub: Path) -> Path:
    model = hub / "models--owner--name"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(COMMIT)
    return make_tiny_model(model / "snapshots" / COMMIT)


def test_a_whole_model_is_used(snapshot: Path) -> None:
    assert resolve("owner/name").path == snapshot


@pytest.mark.parametrize(
    ("lost", "said"), [("model.safetensors", "safetensors weights"), ("tokenizer.json", "tokenizer")]
)
def test_a_part_of_a_model_is_called_one(snapshot: Path, lost: str, said: str) -> None:
    (snapshot / lost).unlink()
    problems = report("owner/name", lambda _: "none").problems
    assert len(problems) == 1
    assert f"the model folder has no {said}; the hub's local cache holds no more of owner/name" in problems[0]
    assert "hf download owner/name" in problems[0]


def test_a_model_without_its_newest_revision_is_named_by_what_is_there(snapshot: Path) -> None:
    shutil.rmtree(snapshot.parents[1] / "refs")
    given = f"hf:owner/name@{COMMIT}"
    with pytest.raises(InputError, match=f"does not know its newest revision; .* {given}"):
        resolve("owner/name")
    assert resolve(given).path == snapshot
    with pytest.raises(InputError, match=f"does not know revision 'v2'; .* {given}"):
        resolve("hf:owner/name@v2")


def test_a_setting_that_keeps_the_hub_from_being_asked_is_named() -> None:
    with pytest.raises(
        InputError, match="the hub is not asked for 'owner/other', as HF_HUB_OFFLINE says, and it is not in"
    ):
        resolve("owner/other")
