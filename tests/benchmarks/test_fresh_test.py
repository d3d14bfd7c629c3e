"""The test prompts of this round are over topics that nothing else of the track asks about, and come out the same."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from judgeloop.config.user_functions import load_module
from judgeloop.data.readers import read_prompts

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def fresh() -> ModuleType:
    sys.path.insert(0, str(BENCHMARKS))
    return load_module(BENCHMARKS / "make_fresh_test.py", "make_fresh_test")


def test_the_files_are_what_the_code_makes(fresh: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["make_fresh_test.py", "--out", str(tmp_path)])
    fresh.main()
    for name, (count, _) in fresh.FILES.items():
        assert (tmp_path / f"{name}.jsonl").read_bytes() == (BENCHMARKS / "data" / f"{name}.jsonl").read_bytes()
        prompts, account = read_prompts(tmp_path / f"{name}.jsonl")
        assert (len(prompts), account.dropped) == (count, {})


def test_a_topic_that_was_used_before_is_refused(fresh: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fresh.clashes() == []
    monkeypatch.setattr(fresh, "FRESH", "leopards; hedgehogs; winds")
    assert [topic for topic, _ in fresh.clashes()] == ["hedgehogs", "winds"]
