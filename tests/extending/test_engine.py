"""An engine from a user's file: registered by a plugin, selectable by name, and by `auto` only if it asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from judgeloop.config import EngineSection
from judgeloop.config.choices import ENGINES, load_plugin
from judgeloop.engines import open_engine, pick
from judgeloop.engines.base import Engine, Request, Sampling
from judgeloop.errors import InputError
from judgeloop.models.chat import Chat
from tiny import make_tiny_model

PLUGIN = """
from judgeloop.config.choices import ENGINES
from judgeloop.engines.kinds import EngineKind
from judgeloop.engines.scripted import ScriptedEngine

ENGINES.register("{name}")(EngineKind(lambda given: ScriptedEngine(given.chat, seed=given.seed){more}))
"""


def plugin(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, more: str = "") -> None:
    monkeypatch.setattr(ENGINES, "_added", dict(ENGINES._added))
    path = folder / f"{name}.py"
    path.write_text(PLUGIN.format(name=name, more=more), encoding="utf-8")
    load_plugin(path)


def opened(kind: str, folder: Path, work: Path) -> Engine:
    section = EngineSection.model_validate({"kind": kind})
    return open_engine(section, folder, Chat.load(folder), work_dir=work, threads=1, seed=3)


def test_an_engine_of_a_plugin_runs_under_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(tmp_path, monkeypatch, "mine")
    folder = make_tiny_model(tmp_path / "tiny")
    prompt = tuple(Chat.load(folder).prompt_ids([{"role": "user", "content": "Rain?"}]))
    requests = [Request(f"r{k}", prompt, Sampling(max_new_tokens=24), n=2, seed=k) for k in range(3)]
    engine = opened("mine", folder, tmp_path)
    found = list(engine.generate(requests))
    again = list(opened("mine", folder, tmp_path).generate(requests))
    engine.close()
    assert {(one.request_id, one.index) for one in found} == {(f"r{k}", n) for k in range(3) for n in range(2)}
    assert found == again
    assert ENGINES.identity("mine").startswith("mine (sha256:")
    assert pick(folder) != "mine"


def test_auto_takes_an_engine_that_asks_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(tmp_path, monkeypatch, "eager", ", auto=lambda: 99")
    assert pick(make_tiny_model(tmp_path / "tiny")) == "eager"


def test_a_missing_package_is_named_with_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(tmp_path, monkeypatch, "bare", ", package='no_such_package', install='pip install it'")
    with pytest.raises(InputError, match="no-such-package is not installed; run `pip install it`"):
        opened("bare", make_tiny_model(tmp_path / "tiny"), tmp_path)


def test_an_unknown_engine_is_refused_with_the_names() -> None:
    with pytest.raises(ValueError, match="'openvino', 'transformers', 'vllm', 'server' or 'scripted'"):
        EngineSection.model_validate({"kind": "nothing"})
