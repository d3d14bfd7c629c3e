"""What the command line ends with."""

from __future__ import annotations

import errno
import os

import pytest

from judgeloop import cli


@pytest.mark.parametrize(("number", "path", "said"), [
    (errno.ENOSPC, "runs/x/M2/candidates.jsonl", "no space is left for runs/x/M2/candidates.jsonl; free some"),
    (errno.EDQUOT, None, "no space is left; free some and run the same command again"),
])  # fmt: skip
def test_a_full_disk_is_no_traceback(
    number: int, path: str | None, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(**options: object) -> None:
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(cli, "app", full)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    assert said in capsys.readouterr().err


def test_other_faults_of_the_machine_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**options: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(OSError, match="Input/output error"):
        cli.main()
