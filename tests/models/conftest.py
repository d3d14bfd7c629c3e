"""What tests of model folders have in common."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny import make_tiny_model


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache, empty, for the test alone."""
    monkeypatch.setenv("JUDGELOOP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny model of random weights."""
    return make_tiny_model(tmp_path / "model")
