import time

import pytest

from judgeloop.commands.progress import bar


def test_a_bar_is_drawn_on_a_terminal_and_only_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "160")
    with bar("judging") as progress:
        progress(3, 7, "812 tok/s")
    shown = capsys.readouterr()
    assert shown.out == ""
    for word in ("judging", "3/7", "812 tok/s", "left"):
        assert word in shown.err


def test_a_file_gets_a_line_at_the_first_row_and_then_one_a_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "0")
    clock = iter([0.0, 2.0, 30.0, 61.0, 63.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with bar("judging") as progress:
        for done in range(1, 5):
            progress(done, 7, "3 rows/s" if done == 1 else "")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "judging: 1 of 7 after 2 s, 3 rows/s\njudging: 4 of 7 after 63 s\n"
