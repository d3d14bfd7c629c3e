"""A Ray cluster: how a process joins it, what its machines have room for, and whether each of them can do the work.

ray is an extra, imported by the children that use it: `pip install 'judgeloop[ray]'`.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import socket
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import judgeloop
from judgeloop.config import ComputeSection
from judgeloop.errors import InputError, StageFailed

_CLIENT = "ray://"
_ANSWER_WITHIN = 120.0  # seconds in which every machine is to say what it has
# For each client the cluster forks a server from a process with many threads; one was seen not to start.
_TRIES, _CHANCE = 3, "Initialization failure from server"


def require_ray(section: ComputeSection) -> None:
    """Raise InputError if ray, or what it needs for `section.cluster`, is not installed."""
    needs = {"ray": "ray", **({"grpc": "grpcio"} if from_outside(section) else {})}
    for module, package in needs.items():
        if importlib.util.find_spec(module) is None:
            raise InputError(
                f"compute.cluster: {section.cluster} needs {package}; run `pip install 'judgeloop[ray]'`, or set "
                "compute.cluster: null"
            )


def from_outside(section: ComputeSection) -> bool:
    """Whether this process is to drive the cluster as Ray's client, from a machine that does not belong to it."""
    return (section.cluster or "").startswith(_CLIENT)


def prepare(section: ComputeSection) -> None:
    """Set what Ray reads when it is first imported. Raises InputError if it is not installed."""
    require_ray(section)
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what is given no GPU keeps the variables it has
    # Else what a killed client had started would work on for 30 seconds, beside what the same command starts then.
    os.environ["RAY_CLIENT_RECONNECT_GRACE_PERIOD"] = "0"
    if from_outside(section) and has_token():
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # Ray's client, unlike its drivers, sends none without it


def connect(section: ComputeSection) -> None:
    """Join the cluster that `section.cluster` names, or start one here if it is `local`. Nothing happens if this
    process has joined. Raises InputError if there is none."""
    prepare(section)
    import ray

    if ray.is_initialized():
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if section.cluster == "local":
        quiet["include_dashboard"] = False
        os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 would let everything else on the machine go first
    _require_answer(section.cluster or "")
    try:
        for again in range(_TRIES):
            try:
                ray.init(address=section.cluster, **quiet)
                break
            except ConnectionError as error:
                if _CHANCE not in str(error) or again + 1 == _TRIES:
                    raise
    except (ConnectionError, RuntimeError, ValueError, TimeoutError, AssertionError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        token = "" if not from_outside(section) or has_token() else (
            "copy ~/.ray/auth_token of the machine that started it to this one, "
        )  # fmt: skip
        raise InputError(
            f"compute.cluster: {section.cluster} cannot be joined ({first}); start it with `ray start --head`, {token}"
            "check the address, or set null"
        ) from error


def has_token() -> bool:
    """Whether there is a token to show to a cluster, where Ray looks for it."""
    names = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    return any(name in os.environ for name in names) or (Path.home() / ".ray" / "auth_token").is_file()


@contextlib.contextmanager
def connection_watched(section: ComputeSection) -> Iterator[None]:
    """Raises StageFailed if the connection of Ray's client is lost within it: its actors are gone then."""
    lost: tuple[type[Exception], ...] = ()
    if from_outside(section):
        import grpc

        lost = (ConnectionError, grpc.RpcError)
    try:
        yield
    except lost as error:
        raise StageFailed(
            f"compute.cluster: the connection to {section.cluster} was lost; run the same command again to go on"
        ) from error


def _require_answer(address: str) -> None:
    """Raise InputError if nothing listens at the address: Ray itself would try for many minutes."""
    host, colon, port = address.removeprefix(_CLIENT).rpartition(":")
    if not colon:
        return  # auto, or local
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=20).close()
    except OSError as error:
        raise InputError(
            f"compute.cluster: {address} cannot be joined ({error.strerror or error}); start it with `ray start "
            "--head`, check the address, or set null"
        ) from error


@dataclass(frozen=True, slots=True)
class Share:
    """What one engine takes of a machine, how many engines there are to be, and for how many there is room now."""

    gpus: int
    cpus: int
    resources: Mapping[str, float]
    engines: int
    room: int

    def options(self) -> dict[str, Any]:
        """As Ray takes them for an actor."""
        return {"num_gpus": self.gpus, "num_cpus": self.cpus, "resources": dict(self.resources)}


def share(section: ComputeSection, threads: int | None) -> Share:
    """What each engine gets on the cluster as it is now. Raises InputError if no machine has room for one."""
    machines = alive_machines()
    needs = engine_needs(section, threads)
    room = sum(places(machine, needs) for machine in machines)
    if not room:
        told = ", ".join(f"{amount:g} {name}" for name, amount in needs.items() if amount)
        raise InputError(
            f"compute.cluster: none of its {len(machines)} machines has {told} for an engine; set "
            "compute.gpus_per_engine, compute.cpus_per_engine or compute.resources to what one has"
        )
    return Share(int(needs["GPU"]), int(needs["CPU"]), section.resources, section.engines or room, room)


def engine_needs(section: ComputeSection, threads: int | None) -> dict[str, float]:
    """What an engine takes of a machine, in Ray's names."""
    machines = alive_machines()
    largest = max((machine.get("GPU", 0) for machine in machines), default=0)
    gpus = section.gpus_per_engine if section.gpus_per_engine is not None else min(1, int(largest))
    suited = [machine for machine in machines if places(machine, {"GPU": gpus, **section.resources})]
    cpus = section.cpus_per_engine
    if cpus is None:
        fewest = min((int(machine.get("CPU", 0)) for machine in suited if machine.get("CPU", 0) >= 1), default=1)
        cpus = 1 if gpus else min(threads or fewest, fewest)
    return {"GPU": gpus, "CPU": cpus, **section.resources}


def places(machine: Mapping[str, float], needs: Mapping[str, float]) -> int:
    """How often what is needed is there."""
    return min((int(machine.get(name, 0) // amount) for name, amount in needs.items() if amount), default=1)


def has_gpus() -> bool:
    """Whether any machine of the cluster has a GPU."""
    return any(machine.get("GPU", 0) >= 1 for machine in alive_machines())


def alive_machines() -> list[Mapping[str, float]]:
    """What each machine has, in Ray's names."""
    return [node["Resources"] for node in _alive()]


def _alive() -> list[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def check_machines(run: Path) -> int:
    """See that every machine of the cluster sees the run directory, under its absolute path, and has the judgeloop,
    Python and torch that this one has; return how many there are.

    Raises InputError naming the machine that does not.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = _found_here()
    machines = _alive()
    with _nonce(run.resolve()) as (path, written):
        ask = ray.remote(num_cpus=0, max_retries=0)(_probe())
        asked = [
            ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], False)).remote(str(path))
            for node in machines
        ]
        for node, answer in zip(machines, asked, strict=True):
            name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
            try:
                found = ray.get(answer, timeout=_ANSWER_WITHIN)
            except ray.exceptions.RayError as error:
                first = (str(error).strip() or type(error).__name__).splitlines()[-1]
                raise StageFailed(f"compute.cluster: machine {name} gives no answer ({first}); take it out") from error
            if found["nonce"] != written:
                raise InputError(
                    f"compute.cluster: machine {name} does not see the run directory {run.resolve()}; put the run "
                    "(--out) into a file system that all machines mount at the same path"
                )
            for what, mine in here.items():
                if found[what] != mine:
                    has = f"has {what} {found[what]}" if found[what] else f"has no {what}"
                    raise InputError(
                        f"compute.cluster: machine {name} {has} and this one {mine}; install the same on both"
                    )
    return len(machines)


def _found_here() -> dict[str, str | None]:
    return {
        "judgeloop": judgeloop.__version__,
        "Python": platform.python_version(),
        "torch": importlib.metadata.version("torch"),
    }


@contextlib.contextmanager
def _nonce(run: Path) -> Iterator[tuple[Path, str]]:
    """A file in the run directory with something that nobody could guess."""
    run.mkdir(parents=True, exist_ok=True)
    path, written = run / f".cluster-{uuid.uuid4().hex}", uuid.uuid4().hex
    path.write_text(written, encoding="ascii")
    try:
        yield path, written
    finally:
        path.unlink(missing_ok=True)


def _probe() -> Any:
    """The function that each machine runs. It is made here, so that Ray sends its code and not its name: the machine
    may have no judgeloop to find it in."""

    def probe(path: str) -> dict[str, str | None]:
        import importlib.metadata
        import platform
        import time
        from pathlib import Path

        found: dict[str, str | None] = {"Python": platform.python_version(), "nonce": None}
        try:
            import judgeloop

            found["judgeloop"] = judgeloop.__version__
        except ImportError:
            found["judgeloop"] = None
        try:
            found["torch"] = importlib.metadata.version("torch")
        except importlib.metadata.PackageNotFoundError:
            found["torch"] = None
        for pause in (0.0, 1.0, 3.0):  # a network file system may know a new file a little later
            time.sleep(pause)
            try:
                found["nonce"] = Path(path).read_text(encoding="ascii")
                break
            except OSError:
                continue
        return found

    return probe
