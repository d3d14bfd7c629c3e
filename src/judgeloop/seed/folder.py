"""The folder that `judgeloop seed` writes: whole or not at all.

Everything is written into a folder of the same name with `.partial` after it, which takes the name at the end. What
was written by a model before the command was interrupted stays there, and the next try goes on with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from judgeloop.errors import InputError
from judgeloop.jsonl import write_rows_atomically
from judgeloop.records import Prompt, RankedSet, SupervisedRow
from judgeloop.run.json_artifacts import write_json

ACCOUNT = "seed.json"
WRITTEN = "eft.written.jsonl"
FILES = ("ift.jsonl", "eft.jsonl", "eft_eval.jsonl", "held_out.jsonl", "prompts.jsonl", WRITTEN, ACCOUNT)

Contents = Mapping[str, Sequence[SupervisedRow] | Sequence[RankedSet] | Sequence[Prompt]]


def refuse_used(out: Path, overwrite: bool) -> None:
    """Raise InputError if `out` is a file, or a folder that holds something and may not be written over."""
    if out.exists() and not out.is_dir():
        raise InputError.at(out, None, "is a file", "choose another --out")
    if out.is_dir() and not overwrite and any(out.iterdir()):
        raise InputError.at(out, None, "is not empty", "choose another --out, or give --overwrite")


def working_folder(out: Path) -> Path:
    """Make the folder beside `out` that is worked in. Raises InputError if that is not allowed."""
    out = out.resolve()
    working = out.with_name(out.name + ".partial")
    try:
        working.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError.at(out, None, f"cannot be written ({error.strerror})", "choose another --out") from error
    return working


def publish(working: Path, out: Path, contents: Contents, account: Mapping[str, Any], logs: Sequence[str] = ()) -> None:
    """Write the files and the account beside the `logs` that are there already, and put them in the place of `out`;
    of what is there, only files that an earlier seed left are replaced or removed."""
    out = out.resolve()
    for name, rows in contents.items():
        write_rows_atomically(working / name, rows)
    write_json(working / ACCOUNT, account)
    for name in FILES:
        if name not in (*contents, *logs, ACCOUNT):
            (working / name).unlink(missing_ok=True)  # of an interrupted try with other settings
    if not out.exists():
        working.rename(out)
        return
    (out / ACCOUNT).unlink(missing_ok=True)  # goes first and comes last: with it, the other files belong together
    for name in FILES:
        if (working / name).exists():
            (working / name).replace(out / name)
        else:
            (out / name).unlink(missing_ok=True)
    working.rmdir()
