"""The errors a user can meet, each with the exit code that the command line gives it."""

from __future__ import annotations

import re
from pathlib import Path


class JudgeloopError(Exception):
    """A fault of ours or of the machine: exit code 1."""

    exit_code = 1


class InputError(JudgeloopError):
    """The user's input is wrong: exit code 2.

    The message is one line that says where (file and line, or config key), what is wrong, and what to do about it.
    """

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(re.sub(r"\s*[\r\n]+\s*", " ", message))  # what other programs say may have several lines

    @classmethod
    def at(cls, path: Path | str, line: int | None, problem: str, remedy: str) -> InputError:
        """Build the line `path:line: problem; remedy`."""
        place = f"{path}:{line}" if line is not None else str(path)
        return cls(f"{place}: {problem}; {remedy}")


def first_line(error: BaseException) -> str:
    """What another program's error says first, and what it goes on with where that ends in a colon; its kind if it says
    nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = lines[:1]
    while told and told[-1].endswith(":") and len(told) < len(lines):
        told.append(lines[len(told)])
    if isinstance(error, KeyError):  # which says the key alone
        return f"KeyError: {error}"
    return " ".join(told) or type(error).__name__


class StageFailed(JudgeloopError):
    """A child process that ran a stage ended badly; its log says more. The run can be resumed."""


class Interrupted(JudgeloopError):
    """The user stopped the run (Ctrl-C or SIGTERM). What was finished stays, and the run can be resumed."""

    exit_code = 130
