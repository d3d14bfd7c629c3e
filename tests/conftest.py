"""Whole runs come first: the slowest of them is several minutes long, and if it came last it would keep one of two
workers waiting."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: "e2e" not in item.path.parts)
