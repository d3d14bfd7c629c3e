"""A tiny model and rows to train it on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers.utils import logging

from judgeloop.models.chat import Chat
from judgeloop.records import PreferencePair, SupervisedRow
from tiny import make_tiny_model

from .cases import make_pair, make_row, smooth_adam

logging.disable_progress_bar()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "initial")


@pytest.fixture(scope="session")
def other_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same architecture and tokenizer with other weights."""
    return make_tiny_model(tmp_path_factory.mktemp("models") / "other", seed=1)


@pytest.fixture(scope="session")
def chat(model_folder: Path) -> Chat:
    return Chat.load(model_folder)


@pytest.fixture
def pairs() -> list[PreferencePair]:
    return [make_pair(i) for i in range(6)]


@pytest.fixture
def rows() -> list[SupervisedRow]:
    return [make_row(i) for i in range(7)]


@pytest.fixture
def smooth_steps() -> Iterator[None]:
    """See `cases.smooth_adam`: for tests that compare two computations after a step."""
    with smooth_adam():
        yield
