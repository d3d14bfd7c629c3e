"""A hub that does not answer is said at once, where its libraries would ask again for half a minute."""

from __future__ import annotations

import socket
import time

import datasets
import pytest
from huggingface_hub import constants

from judgeloop.data.hub import hub_rows
from judgeloop.errors import InputError


def never(_seconds: float) -> None:
    raise AssertionError("waited")


def test_nobody_waits_for_a_hub_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", never)
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", url)
    with pytest.raises(InputError, match=r"^hf:nobody/nothing: the hub cannot be reached"):
        hub_rows("hf:nobody/nothing")
    assert datasets.config.HF_HUB_OFFLINE == constants.HF_HUB_OFFLINE


def test_a_hub_that_takes_a_connection_and_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", url)
        begun = time.monotonic()
        with pytest.raises(InputError, match="cannot be reached"):
            hub_rows("hf:nobody/nothing")
    assert time.monotonic() - begun < 10  # six times and more, each 60 seconds
