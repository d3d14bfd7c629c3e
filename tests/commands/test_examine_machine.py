from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from judgeloop.cli import app
from judgeloop.commands import examine_machine as doctor
from judgeloop.commands.examine_machine import OPTIONAL, REQUIRED, Finding, examine
from judgeloop.compute import allocator
from judgeloop.config.choices import ENGINES


def found() -> dict[str, Finding]:
    return {finding.subject: finding for finding in examine()}


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name in names:
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)


def test_everything_is_examined() -> None:
    findings = found()
    places = {"python", "processor", "memory", "accelerator", "cache folder"}
    engines = {f"engine {name}" for name in ENGINES}
    if sys.platform == "linux":
        places.add("memory allocator")
    assert set(findings) == {*places, *REQUIRED, *OPTIONAL, *engines}
    assert findings["torch"] == Finding("torch", "ok", importlib.metadata.version("torch"))


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "gguf", "tensorboard")
    findings = found()
    assert findings["gguf"] == Finding("gguf", "missing", "not installed; pip install gguf")
    assert findings["tensorboard"].state == "note"
    assert "pip install 'judgeloop[tensorboard]'" in findings["tensorboard"].detail


@pytest.mark.skipif(sys.platform != "linux", reason="preloading is Linux's")
@pytest.mark.parametrize(
    ("loaded", "installed", "state", "says"),
    [
        ("tcmalloc_minimal", None, "ok", "tcmalloc_minimal, for training on a CPU"),
        (None, "libjemalloc.so.2", "ok", "libjemalloc.so.2, for training on a CPU"),
        (None, None, "note", "faster with tcmalloc, and uses it if it is there (apt install libtcmalloc-minimal4)"),
    ],
)
def test_an_allocator_made_for_large_blocks_is_told_or_advised(
    loaded: str | None, installed: str | None, state: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allocator, "loaded", lambda: loaded)
    monkeypatch.setattr(allocator, "installed", lambda: installed)
    finding = found()["memory allocator"]
    assert finding.state == state
    assert says in finding.detail


@pytest.mark.parametrize(
    ("flags", "state", "says"),
    [
        ({"avx2"}, "note", "no bfloat16"),
        ({"avx512_bf16"}, "ok", "bfloat16 by AVX-512"),
        ({"avx512_bf16", "amx_bf16"}, "ok", "bfloat16 by AMX"),
    ],
)
def test_number_formats(flags: set[str], state: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_flags", lambda: flags)
    finding = found()["processor"]
    assert finding.state == state
    assert says in finding.detail


def test_a_cache_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "not" / "yet" / "there"
    monkeypatch.setenv("JUDGELOOP_CACHE", str(folder))
    assert found()["cache folder"].detail.startswith(f"{folder}, ")
    assert not folder.exists()  # looking makes nothing
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    finding = found()["cache folder"]
    assert finding.state == "missing"
    assert f"{folder} cannot be written; set JUDGELOOP_CACHE" in finding.detail


def test_the_command_lists_the_findings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JUDGELOOP_CACHE", str(tmp_path))
    shown = CliRunner().invoke(app, ["doctor"])
    assert shown.exit_code == 0
    assert [line.split()[1] for line in shown.output.splitlines()][:2] == ["python", "torch"]
    listed = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).output)
    assert {row["subject"] for row in listed} == set(found())
    assert all(set(row) == {"subject", "state", "detail"} for row in listed)


def test_the_command_fails_where_something_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "trl")
    assert CliRunner().invoke(app, ["doctor"]).exit_code == 1
    answer = CliRunner().invoke(app, ["doctor", "--json"])
    assert answer.exit_code == 1
    assert {row["subject"] for row in json.loads(answer.output) if row["state"] == "missing"} == {"trl"}
