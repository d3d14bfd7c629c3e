"""Whole runs come first: the slowest of them is several minutes long, and if it came last it would keep one of two
workers waiting."""

from __future__ import annotations

import pytest

from asking import KEY


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: "e2e" not in item.path.parts)


@pytest.fixture
def endpoint_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment holds the key of the endpoint that a test serves."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
