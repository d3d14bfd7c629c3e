"""Whole runs come first: the slowest of them is several minutes long, and if it came last it would keep one of two
workers waiting."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from asking import KEY


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What the tests import stays, so no later collection of garbage need look through it: engines and trainers collect
    all of it whenever they close, half of the time of a run of a tiny model in this process."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: "e2e" not in item.path.parts)


@pytest.fixture
def endpoint_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment holds the key of the endpoint that a test serves."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
