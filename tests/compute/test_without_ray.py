"""What can be said of a cluster before there is one."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from judgeloop.compute.cluster import has_token, prepare, require_ray
from judgeloop.compute.local_copies import copied
from judgeloop.config import ComputeSection
from judgeloop.errors import InputError


@pytest.mark.parametrize("address", ["local", "auto", "head:6379", "10.0.0.1:6379", "ray://head:10001"])
def test_addresses(address: str) -> None:
    assert ComputeSection(cluster=address).cluster == address


@pytest.mark.parametrize("address", ["", "head", "http://head:8265", "ray://head", "cluster"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValidationError, match="no address of a Ray cluster"):
        ComputeSection(cluster=address)


def test_ray_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"pip install 'judgeloop\[ray\]'"):
        require_ray(ComputeSection(cluster="auto"))


def test_what_a_client_of_ray_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "grpc" else name)
    require_ray(ComputeSection(cluster="head:6379"))
    with pytest.raises(InputError, match=r"ray://head:10001 needs grpcio; run `pip install 'judgeloop\[ray\]'`"):
        require_ray(ComputeSection(cluster="ray://head:10001"))


def test_a_token_is_looked_for_where_ray_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    assert not has_token()
    monkeypatch.setenv("RAY_AUTH_TOKEN", "abc")
    assert has_token()
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("abc", encoding="utf-8")
    assert has_token()


def test_a_client_shows_its_token_from_the_first_import_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(os, "environ", {"RAY_AUTH_TOKEN": "abc", "RAY_AUTH_MODE": "disabled"})
    prepare(ComputeSection(cluster="ray://head:10001"))
    assert os.environ["RAY_AUTH_MODE"] == "disabled"  # as it was set by hand
    del os.environ["RAY_AUTH_MODE"]
    prepare(ComputeSection(cluster="head:6379"))
    assert "RAY_AUTH_MODE" not in os.environ  # Ray's drivers look for a token themselves
    prepare(ComputeSection(cluster="ray://head:10001"))
    assert os.environ["RAY_AUTH_MODE"] == "token"


def test_a_model_is_copied_once_and_makes_room_for_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy in use stays, though the disk is full; one that nobody uses goes."""
    from judgeloop.compute import local_copies

    folder, cache = tmp_path / "model", tmp_path / "cache"
    folder.mkdir()
    (folder / "weights").write_bytes(b"1")
    with copied(folder, "one", cache) as first:
        (folder / "weights").write_bytes(b"2")
        with copied(folder, "one", cache) as again:
            assert again == first
            assert (again / "weights").read_bytes() == b"1"
        full = type("Usage", (), {"free": 0})
        monkeypatch.setattr(local_copies.shutil, "disk_usage", lambda _: full)
        with copied(folder, "two", cache) as second:
            assert (second / "weights").read_bytes() == b"2"
            assert first.is_dir()
    with copied(folder, "three", cache):
        assert not first.exists()
        assert not second.exists()
