import time
from pathlib import Path

import pytest

from judgeloop.commands import progress as progress_module
from judgeloop.commands.judge import judge
from judgeloop.commands.progress import bar
from judgeloop.errors import InputError


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


def test_a_file_is_told_what_is_loaded_if_that_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "0")
    monkeypatch.setattr(progress_module, "PATIENCE", 0.05)
    with bar("judging", loading="runs/\x1b[2Jmine/M1") as progress:
        time.sleep(0.3)
        assert capsys.readouterr().err == "loading runs/␛[2Jmine/M1 …\n"
        progress(1, 7, "")
    assert "judging: 1 of 7" in capsys.readouterr().err


@pytest.mark.parametrize("loading", ["runs/mine/M1", None])
def test_what_is_quick_or_loads_nothing_is_not_announced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], loading: str | None
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "0")
    monkeypatch.setattr(progress_module, "PATIENCE", 0.1)
    with bar("judging", loading=loading) as progress:
        if loading is not None:
            progress(1, 7, "")
        time.sleep(0.3)
    assert "loading" not in capsys.readouterr().err


def test_a_bar_names_what_is_loaded_until_the_first_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "80")
    with bar("judging", loading="runs/mine/M1") as progress:
        time.sleep(0.2)
        assert "loading runs/mine/M1" in capsys.readouterr().err
        progress(1, 7, "")
        time.sleep(0.2)
        assert "judging" in capsys.readouterr().err


def test_judge_announces_the_model_before_it_looks_at_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "0")
    monkeypatch.setattr(progress_module, "PATIENCE", 0.05)

    def slow(*_args: object, **_how: object) -> None:
        time.sleep(0.3)
        raise InputError("found nothing")

    monkeypatch.setattr("judgeloop.models.resolve.resolve", slow)
    monkeypatch.setattr("judgeloop.commands.learnt.learnt_judge", lambda *_args, **_how: None)
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "Why?", "response": "Because."}\n', encoding="utf-8")
    with pytest.raises(InputError, match="found nothing"):
        judge("some/model", rows, tmp_path / "out.jsonl")
    assert capsys.readouterr().err == "loading some/model …\n"
