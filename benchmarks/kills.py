"""SIGKILL at random moments: does a run that is started again end as one that nothing disturbed?

    python benchmarks/kills.py --kills 100 --seed 0 --out FOLDER
    python benchmarks/kills.py --kills 20 --whole-commands      # `judgeloop run` itself, ten seconds of imports a start

Every start of a run is cut off by one of: SIGKILL of the driver or of the child that works, some of them at a moment
drawn from the clock, most at a file operation (open, rename, remove …) drawn by its number, which is where a kill
hurts; SIGTERM; a full disk (a tmpfs if it can be mounted, else a limit on the size of files). Between two starts the
run directory may be moved, and a day passes. When the run is complete, rows, hashes, references and metrics are
compared with those of the undisturbed run. Exit code 1 if anything differs.

By default a start is a fork of this process, which has loaded the libraries, with the driver and the child as two
processes as in `judgeloop run`.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import datetime
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import kills_runs

_OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree")
_LARGEST = 400_000  # bytes; the tiny model's weights
_SIZE = 2**28  # bytes of a disk on which nothing is full


@dataclass(frozen=True, slots=True)
class Blow:
    """What befalls one start. `after` seconds or, for `at`, file operations; `limit`: bytes a file may have."""

    kind: str
    child: bool = True
    after: float | None = None
    at: int | None = None
    limit: int | None = None
    days: int = 0


class Operations:
    """Counts the file operations of a driver, or of its children, in one run directory; kills at one of them. A
    `counter` is a file that gets a letter for each of either."""

    def __init__(self, folder: Path, at: int | None, child: bool, counter: Path | None) -> None:
        self.folder, self.at, self.child, self.counter = str(folder), at, child, counter
        self.driver = os.getpid()
        self.count = 0

    def __call__(self, event: str, given: tuple[Any, ...]) -> None:
        if event not in _OPERATIONS or not given or not str(given[0]).startswith(self.folder):
            return
        inside = os.getpid() != self.driver
        if self.counter is not None:  # it is not in the folder, so not counted itself
            with self.counter.open("ab", buffering=0) as handle:
                handle.write(b"c" if inside else b"d")
        if inside != self.child:
            return
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def start(config: Path, out: Path, log: Path, blow: Blow, counter: Path | None = None) -> int:
    """Fork a driver of the run; return its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        warnings.simplefilter("ignore")
        if blow.limit is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (blow.limit, resource.RLIM_INFINITY))
        if blow.days:
            _pass_days(blow.days)
        if blow.at is not None or counter is not None:
            sys.addaudithook(Operations(out, blow.at, blow.child, counter))
        code = _drive(config, out)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _drive(config: Path, out: Path) -> int:
    from judgeloop.config import load
    from judgeloop.errors import JudgeloopError
    from judgeloop.run import children, driver

    children.carry_out_in_child = _in_fork  # type: ignore[assignment]
    try:
        driver.execute(load(config), out, _Nothing())
    except JudgeloopError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        return error.exit_code
    return 0


def _in_fork(run: Any, step: Any, _display: Any, _server: Any) -> None:
    """A step in a process of its own, as `children.carry_out_in_child` has it, without loading everything anew."""
    from judgeloop.compute.local import PARENT
    from judgeloop.errors import StageFailed
    from judgeloop.run import worker

    os.environ[PARENT] = str(os.getpid())
    pid = os.fork()
    if not pid:
        code = 1
        try:
            code = worker.main(str(run.path), step.name)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise StageFailed(f"{step.name} ended with {code}")


def _pass_days(days: int) -> None:
    """Let this process believe that so many days went by."""
    from judgeloop.stages import model

    class Later(datetime.date):
        @classmethod
        def today(cls) -> Later:
            found = datetime.datetime.now() + datetime.timedelta(days=days)
            return cls(found.year, found.month, found.day)

    datetime.date = Later  # type: ignore[misc]
    model.date = Later  # type: ignore[attr-defined]


class _Nothing:
    """A display that shows nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


class Killer:
    """Runs of one kind, each cut off until it is complete."""

    def __init__(self, kind: str, place: Path, seed: int, *, whole_commands: bool = False) -> None:
        self.kind, self.place, self.whole_commands = kind, place, whole_commands
        self.rng = random.Random(f"{kind} {seed}")
        self.config = kills_runs.prepare(kind, place)
        self.log = place / "log"
        self.blows: collections.Counter[str] = collections.Counter()
        self.facts: dict[str, Any] = {}
        self.length = 0.0
        self.operations = {False: 0, True: 0}
        self.disk = False  # whether rounds have a disk of their own

    def undisturbed(self) -> None:
        """The run that others are compared with; its file operations are counted."""
        begun = time.monotonic()
        counter = self.place / "operations"
        counter.touch()
        self._finish(self.place / "whole", Blow("none"), counter)
        self.length = time.monotonic() - begun
        self.facts = kills_runs.facts(self.place / "whole")
        found = collections.Counter(counter.read_text(encoding="ascii"))
        self.operations = {False: found["d"], True: found["c"]}

    def same(self, out: Path) -> None:
        """Raise AssertionError if a run's facts are not those of the undisturbed one; else remove it."""
        different = kills_runs.differences(self.facts, kills_runs.facts(out))
        assert not different, f"{out}: {', '.join(different)} differ from {self.place / 'whole'}; log: {self.log}"
        shutil.rmtree(out)

    def round(self, number: int, kills: int) -> None:
        """One run, cut off `kills` times, then let go on to its end, and compared."""
        with _folder(self.place / f"round-{number}") as (place, self.disk):
            out = place / "run"
            for done in range(kills):
                blow = self._blow(done, (out / "M0" / "model.json").exists())
                code = self._strike(out, blow)
                self.blows[blow.kind] += code not in (0, 2)
                if code == 2:
                    raise AssertionError(f"{out}: refused; log: {self.log}")
                if code == 0:
                    break
                if self.rng.random() < 0.3 and out.exists():
                    moved = place / f"moved-{done}"
                    out.rename(moved)
                    out = moved
                    self.blows["moved"] += 1
            self._finish(out, Blow("none", days=kills))
            self.same(out)

    def _blow(self, done: int, found: bool) -> Blow:
        days = done if found else 0
        kind = self.rng.choices(("kill", "term", "full"), (8, 1, 1))[0]
        if kind == "term":
            return Blow("SIGTERM", after=self._moment(), days=days)
        if kind == "full":
            return Blow("disk full", limit=self.rng.randrange(100, _LARGEST), days=days)
        child = self.rng.random() < 0.7
        if self.whole_commands or self.rng.random() < 0.4:
            return Blow("SIGKILL", child=child, after=self._moment(), days=days)
        return Blow("SIGKILL", child=child, at=self.rng.randint(1, max(2, self.operations[child] // 8)), days=days)

    def _moment(self) -> float:
        least = 2.0 if self.whole_commands else 0.05
        return max(least, self.rng.uniform(0.0, 0.4 if self.rng.random() < 0.2 else 0.1) * self.length)

    def _strike(self, out: Path, blow: Blow) -> int | None:
        """Start the run and let the blow befall it; return how it ended."""
        if blow.limit is not None and self.disk:
            used = shutil.disk_usage(out.parent).used
            _mount(out.parent, f"remount,size={used + blow.limit}")
            code = _wait(self._start(out, replace(blow, limit=None)))
            _mount(out.parent, f"remount,size={_SIZE}")
            return code
        pid = self._start(out, blow)
        if blow.after is None:
            return _wait(pid)
        if (code := _wait(pid, blow.after)) is not None:
            return code
        kind = signal.SIGTERM if blow.kind == "SIGTERM" else signal.SIGKILL
        with contextlib.suppress(ProcessLookupError):
            os.kill(_child(pid) if blow.child and kind == signal.SIGKILL else pid, kind)
        return _wait(pid)

    def _start(self, out: Path, blow: Blow, counter: Path | None = None) -> int:
        if not self.whole_commands:
            return start(self.config, out, self.log, blow, counter)
        most = blow.limit
        limits = None if most is None else (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, -1)))
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "judgeloop", "run", str(self.config), "--out", str(out)],
                stdout=log, stderr=log, env={**os.environ, "HF_HUB_OFFLINE": "1"}, preexec_fn=limits,
            ).pid  # fmt: skip

    def _finish(self, out: Path, blow: Blow, counter: Path | None = None) -> None:
        code = _wait(self._start(out, blow, counter))
        assert code == 0, f"{out}: ended with {code}; log: {self.log}"


@contextlib.contextmanager
def _folder(path: Path) -> Iterator[tuple[Path, bool]]:
    """A folder that is removed if all went well, and whether it is a disk of its own."""
    path.mkdir()
    mounted = _mount(path, f"size={_SIZE}")
    yield path, mounted
    if mounted:
        subprocess.run(["umount", path], check=True)
    shutil.rmtree(path)


def _mount(folder: Path, options: str) -> bool:
    if shutil.which("mount") is None:
        return False
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _wait(pid: int, seconds: float | None = None) -> int | None:
    """The exit code of a process; None if it is still there after so many seconds."""
    until = None if seconds is None else time.monotonic() + seconds
    while True:
        found, status = os.waitpid(pid, 0 if until is None else os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if until is not None and time.monotonic() > until:
            return None
        time.sleep(0.01)


def _child(parent: int) -> int:
    """The process that works, or the last one there is on the way to it: the fork server, the driver."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii").split()
    return _child(int(children[0])) if children else parent


def preload() -> None:
    """Load what the steps load, once for all forks."""
    import peft  # noqa: F401
    import transformers.models.llama.modeling_llama  # noqa: F401


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--per-run", type=int, default=10, help="blows before a run is let go to its end")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder that must not exist; none: a temporary one")
    parser.add_argument("--whole-commands", action="store_true")
    parser.add_argument("--runs", nargs="+", choices=kills_runs.RUNS, default=kills_runs.RUNS)
    given = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    place = given.out or Path(tempfile.mkdtemp(prefix="kills-"))
    if not given.whole_commands:
        preload()
    begun, total = time.monotonic(), collections.Counter[str]()
    killers = [Killer(kind, place / kind, given.seed, whole_commands=given.whole_commands) for kind in given.runs]
    for killer in killers:
        killer.undisturbed()
        print(f"{killer.kind}: {killer.length:.0f} s undisturbed, {len(killer.facts)} files compared", flush=True)
    rounds = 0
    while total["SIGKILL"] < given.kills:
        for killer in killers:
            killer.round(rounds, given.per_run)
        rounds += 1
        total = sum((killer.blows for killer in killers), collections.Counter())
        print(f"{len(killers) * rounds} runs, {dict(total)}, {time.monotonic() - begun:.0f} s: all equal", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
