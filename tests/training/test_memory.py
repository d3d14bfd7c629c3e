"""Freed memory is handed back when a process has grown, and not at every step."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from judgeloop.training import memory
from judgeloop.training.memory import KeptMemory

GIB = 2**30


@pytest.mark.parametrize(
    ("resident", "handed_back"),
    [
        ([2.0, 2.2, 2.4, 2.6, 2.3, 2.7, 2.9], [False, False, False, True, False, False, True]),
        ([0.2, 0.3, 0.6, 0.69, 0.3], [False, False, False, False, False]),  # a small model: half a GiB is not reached
        ([8.0, 9.9, 10.1, 8.0], [False, False, True, False]),
        ([None, None], [False, False]),  # the system does not tell
    ],
)
def test_handed_back_once_grown(
    resident: list[float | None], handed_back: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: Iterator[int | None] = iter([None if size is None else int(size * GIB) for size in resident])
    monkeypatch.setattr(memory, "resident_bytes", lambda: next(told))
    monkeypatch.setattr("ctypes.CDLL", lambda _: type("Libc", (), {"malloc_trim": staticmethod(lambda _: 1)}))
    kept = KeptMemory()
    assert [kept.after_step() for _ in resident] == handed_back


def test_what_is_resident_is_told_in_bytes() -> None:
    found = memory.resident_bytes()
    assert found is None or 2**24 < found < 2**40
