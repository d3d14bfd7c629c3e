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


def test_elsewhere_there_is_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "0")
    with bar("judging") as progress:
        progress(3, 7, "812 tok/s")
    assert capsys.readouterr() == ("", "")
