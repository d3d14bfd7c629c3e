from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from judgeloop.models.chat import Chat
from judgeloop.records import PreferencePair
from judgeloop.training import preference
from judgeloop.training.reference import ReferenceCache

from .test_preference import Run


def test_the_method_is_in_the_key(
    pairs: list[PreferencePair], model_folder: Path, tmp_path: Path, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With qlora the reference's weights are of four bits; its sums are not those of full precision."""
    keys = set()

    def noted(*_: Any, cache: ReferenceCache, **__: Any) -> None:
        keys.add(cache.key(ROWS, [1], bf16=False))
        raise InterruptedError

    monkeypatch.setattr(preference, "PairTrainer", noted)
    monkeypatch.setattr(preference, "lora_config", lambda *_, **__: None)
    monkeypatch.setattr(preference, "load_policy", lambda *_, **__: preference.load_model(model_folder))
    monkeypatch.setattr(preference, "require_gpu_settings", lambda _config: None)
    for method in ("full", "lora", "qlora"):
        with pytest.raises(InterruptedError):
            Run(pairs, model_folder, tmp_path / "model", chat, method=method)
    assert len(keys) == 3


ROWS: list[dict[str, Any]] = [{"prompt_ids": [1, 2], "chosen_ids": [3], "rejected_ids": [4, 5]}]


def test_what_was_written_is_read_back_under_the_same_key_only(tmp_path: Path) -> None:
    cache = ReferenceCache(tmp_path / "reference.json", "sha256:a")
    key = cache.key(ROWS, [1], bf16=True)
    assert cache.read(key, 1) is None
    cache.write(key, [[-1.25], [-0.1]])
    assert cache.read(key, 1) == [[-1.25], [-0.1]]
    assert cache.read(key, 2) is None
    assert cache.read("another key", 1) is None
    cache.path.write_text('{"key": "' + key + '", "sums": [[-1.25], [-0.')
    assert cache.read(key, 1) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "sha256:b"},
        {"form": "ld_alpha 0.5"},
        {"rows": [{**ROWS[0], "prompt_ids": [1, 9]}]},  # another template
        {"rows": [{**ROWS[0], "rejected_ids": [4]}]},  # another truncation
        {"rows": [{**ROWS[0], "prompt_ids": [1], "chosen_ids": [2, 3]}]},  # the same ids, cut elsewhere
        {"rows": ROWS * 2},
        {"batches": [1, 1]},
        {"bf16": False},
    ],
)
def test_every_input_is_in_the_key(tmp_path: Path, changed: dict[str, Any]) -> None:
    def key(model: str = "sha256:a", form: str = "", rows: Any = ROWS, batches: Any = (1,), bf16: bool = True) -> str:
        return ReferenceCache(tmp_path / "reference.json", model, form).key(rows, batches, bf16)

    assert key(**changed) != key()
