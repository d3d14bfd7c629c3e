"""Models copied once to a machine's own disk, so that its engines load them from there and not over the network."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from judgeloop.errors import InputError

_DONE = ".complete"


@contextlib.contextmanager
def copied(folder: Path, digest: str, cache: Path) -> Iterator[Path]:
    """The copy in `cache` of a model folder, made now if it is not there; within this nobody removes it.

    `digest` names the content, so another model never meets an old copy. Several processes may ask at once: one copies,
    the others wait. If the disk lacks room, copies that nobody uses go, the longest unused first. Raises InputError if
    that is not enough.
    """
    target = cache / digest[:32]
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as held:
            held.enter_context(_held(target, fcntl.LOCK_SH))
            while not (target / _DONE).is_file():
                held.close()
                with _held(target, fcntl.LOCK_EX):
                    if not (target / _DONE).is_file():
                        shutil.rmtree(target, ignore_errors=True)
                        _make_room(cache, sum(file.stat().st_size for file in _files(folder)), target)
                        _copy(folder, target)
                held.enter_context(_held(target, fcntl.LOCK_SH))  # it may have been removed between the two
            os.utime(target / _DONE)
            yield target
    except OSError as error:
        raise InputError(
            f"compute.local_cache: {error.filename or target}: {error.strerror or error}; name a folder on a disk with "
            "room, or set null"
        ) from error


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if file.is_file()]


def _copy(folder: Path, target: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=f"{target.name}.partial-", dir=target.parent) as work:
        made = Path(work) / "model"
        made.mkdir()
        for file in _files(folder):
            shutil.copyfile(file, made / file.name)
        (made / _DONE).touch()
        made.rename(target)


def _make_room(cache: Path, size: int, target: Path) -> None:
    """Remove unused copies until `size` bytes and a tenth more are free, or none is left."""
    copies = sorted((done.stat().st_mtime, done.parent) for done in cache.glob(f"*/{_DONE}"))
    for _, old in copies:
        if shutil.disk_usage(cache).free >= 1.1 * size:
            return
        if old == target:
            continue
        with contextlib.suppress(BlockingIOError), _held(old, fcntl.LOCK_EX | fcntl.LOCK_NB):
            shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _held(target: Path, how: int) -> Iterator[None]:
    with target.with_name(f"{target.name}.lock").open("a") as handle:
        fcntl.flock(handle, how)
        yield
