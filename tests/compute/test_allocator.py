from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from judgeloop.compute import allocator


def test_the_allocator_of_a_process_is_read_from_its_maps(tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.write_text("7f00-7f01 r-xp 00000000 fd:00 1 /usr/lib/libtcmalloc_minimal.so.4\n", encoding="utf-8")
    assert allocator.loaded(maps) == "tcmalloc_minimal"
    maps.write_text("7f00-7f01 r-xp 00000000 fd:00 1 /usr/lib/libc.so.6\n", encoding="utf-8")
    assert allocator.loaded(maps) is None
    assert allocator.loaded(tmp_path / "none") is None


def test_what_is_installed_is_preloaded_unless_the_user_preloads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    monkeypatch.setattr(allocator, "installed", lambda: "libjemalloc.so.2")
    assert allocator.preload() == {"LD_PRELOAD": "libjemalloc.so.2"}
    monkeypatch.setenv("LD_PRELOAD", "")  # none is wanted
    assert allocator.preload() == {}
    monkeypatch.delenv("LD_PRELOAD")
    monkeypatch.setattr(allocator, "installed", lambda: None)
    assert allocator.preload() == {}


@pytest.mark.skipif(allocator.installed() is None, reason="no other allocator is installed")
def test_a_process_uses_it() -> None:
    code = "from judgeloop.compute import allocator; print(allocator.loaded())"
    environment = {**os.environ, **allocator.preload()}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() in allocator.ALLOCATORS
