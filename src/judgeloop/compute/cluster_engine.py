"""The engines of a cluster as one engine: requests go to actors in batches, results come back as they finish.

Whoever asks writes rows down, as with an engine of this process, so a row log has one writer. A sample depends on its
request's seed alone, so rows are the same however many engines there are. What an actor had not answered when it, or
its machine, was lost is asked again.

Ray Data's `map_batches` was read and left: what its actors make comes back when a whole batch is done and not row by
row, and its actors end with the data set, while a stage may ask its engine hundreds of times (searching instructions,
judging in rounds), each of which would load the model again.
"""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from judgeloop.compute.cluster import Share, connect, prepare
from judgeloop.compute.cluster_room import Patience, engine_room
from judgeloop.compute.engine_actor import EngineActor, Kind, ToOpen
from judgeloop.config import ComputeSection
from judgeloop.engines.base import Generation, OptionLogprobs, OptionRequest, Request
from judgeloop.errors import JudgeloopError, StageFailed

_MOST = 4096  # requests of one message
_LOSSES = 3  # engines in a row that are lost without a single result: another would be, too
_LOOK = 2.0  # seconds after which a pause without results is used to look whether something died
_TOLD = 60.0  # seconds between two accounts of the engines in the log


@dataclass(eq=False)
class _Worker:
    """An actor: what it is to do, and what is on its way from it."""

    number: int
    actor: Any
    machine: str = ""
    owed: set[int] = field(default_factory=set)  # places of requests
    parts: dict[int, list[Any]] = field(default_factory=dict)  # of requests whose samples have not all come
    waiting: list[Any] = field(default_factory=list)  # Ray's references, in the order in which they are answered
    ready: bool = False
    results: int = 0
    tokens: int = 0
    busy: float = 0.0  # seconds
    since: float = 0.0


class ClusterEngine:
    """One engine to whoever asks; see `engines.base.Engine`. Actors are started when something is first asked."""

    name = "cluster"

    def __init__(self, wanted: ToOpen, section: ComputeSection) -> None:
        prepare(section)  # before the first import of ray below
        self._wanted = wanted
        self._section = section
        self._share: Share | None = None
        self._workers: list[_Worker] = []
        self._started = 0
        self._losses = 0
        self._told = 0.0
        self._patience = Patience(section.wait_minutes)
        self._waits = ""
        _open.append(self)

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        """Yield every sample of every request, a request's samples together, as each request finishes."""
        return cast(Iterator[Generation], self._answers("generate", requests))

    def option_logprobs(self, requests: Sequence[OptionRequest]) -> Iterator[OptionLogprobs]:
        """Yield one result for every request."""
        return cast(Iterator[OptionLogprobs], self._answers("option_logprobs", requests))

    def close(self) -> None:
        """End the actors. Calling it twice is fine."""
        import ray

        self._tell(0.0)
        for worker in self._workers if ray.is_initialized() else ():
            ray.kill(worker.actor)
        self._workers = []
        if self in _open:
            _open.remove(self)

    def pick(self) -> str:
        """The engine that `auto` means on the machines of the cluster."""
        import ray

        worker = self._new_worker()
        self._workers.append(worker)
        try:
            while not ray.wait(worker.waiting, timeout=_LOOK)[0]:
                self._require_place()
            found: str = _get(worker.actor.pick.remote(self._wanted))
        finally:
            self._workers.remove(worker)
            ray.kill(worker.actor)
        return found

    # Asking ----------------------------------------------------------------------------------------------------------

    def _answers(self, kind: Kind, requests: Sequence[Any]) -> Iterator[Any]:
        import ray

        left = deque(range(len(requests)))
        unanswered = set(left)
        ended = False
        self._start(len(requests))
        try:
            while unanswered:
                for worker in self._workers:
                    if worker.ready and not worker.owed and left:
                        self._hand_out(worker, kind, requests, left)
                self._require_place()
                heads = {worker.waiting[0]: worker for worker in self._workers if worker.waiting}
                done, _ = ray.wait(list(heads), num_returns=1, timeout=_LOOK)
                for reference in done:
                    worker = heads[reference]
                    try:
                        found = _get(reference)
                    except _Lost as loss:
                        left.extendleft(sorted(worker.owed, reverse=True))
                        self._replace(worker, loss)
                        continue
                    for place, results in self._take(worker, found, requests):
                        if place in unanswered:
                            unanswered.discard(place)
                            for result in results:
                                yield dataclasses.replace(result, request_id=requests[place].id)
                self._tell(_TOLD)
            ended = True
        finally:
            if not ended and ray.is_initialized():  # else the connection is lost, and they end by themselves
                for worker in self._workers:  # whoever asked went away: what they are at is for nobody
                    if worker.owed:
                        worker.actor.ask.remote(kind, [])
                        worker.owed, worker.parts, worker.waiting = set(), {}, []

    def _start(self, requests: int) -> None:
        if not requests:
            return
        if self._share is None:
            self._share = self._room()
        while len(self._workers) < min(self._share.engines, requests):
            self._open_another()

    def _room(self) -> Share:
        connect(self._section)

        def tell(text: str) -> None:
            self._waits = text

        try:
            return engine_room(self._section, self._wanted.opening.threads, tell)
        finally:
            self._waits = ""

    def _require_place(self) -> None:
        """Raise StageFailed if no engine has found a machine for too long."""
        if any(worker.machine for worker in self._workers):
            self._patience.satisfied()
            self._waits = ""
            return
        over = self._patience.over()
        self._waits = f"waits for room for an engine, {self._patience.waited()}"
        if over:
            raise StageFailed(
                f"no machine of the cluster had room for an engine in {self._section.wait_minutes:g} minutes "
                "(compute.wait_minutes): another program may hold it, or machines were lost, see `ray status`; run the "
                "same command again when there is room"
            )

    def _new_worker(self) -> _Worker:
        import ray

        self._share = self._share or self._room()
        # Ray's own restarts are left out: they would lose what an actor was asked, and wait for the machine it had.
        actor = ray.remote(EngineActor).options(max_restarts=0, max_task_retries=0, **self._share.options())
        self._started += 1
        placed = actor.remote()
        return _Worker(self._started, placed, waiting=[placed.where.remote()])

    def _open_another(self) -> None:
        worker = self._new_worker()
        worker.waiting.append(worker.actor.open.remote(self._wanted))
        self._workers.append(worker)

    def _hand_out(self, worker: _Worker, kind: Kind, requests: Sequence[Any], left: deque[int]) -> None:
        """A batch that fills the engine a few times; the fewer are left, the smaller, so that all end together."""
        fills = math.ceil(self._wanted.opening.section.max_sequences / getattr(requests[left[0]], "n", 1))
        each = len(left) / len(self._workers)
        size = min(_MOST, len(left), max(min(fills, math.ceil(each)), math.ceil(each / 2)))
        places = [left.popleft() for _ in range(size)]
        # Ids of two requests may be alike; places are not.
        batch = [dataclasses.replace(requests[place], id=str(place)) for place in places]
        worker.owed, worker.parts, worker.since = set(places), {}, time.monotonic()
        worker.waiting = [worker.actor.ask.remote(kind, batch), worker.actor.more.remote(), worker.actor.more.remote()]

    def _take(self, worker: _Worker, found: Any, requests: Sequence[Any]) -> Iterator[tuple[int, list[Any]]]:
        """Whole answers out of what an actor sent."""
        worker.waiting.pop(0)
        if not isinstance(found, tuple):  # it is on a machine, has loaded its engine, or taken a batch
            worker.ready = bool(worker.machine)
            worker.machine = worker.machine or str(found)
            return
        results, last = found
        for result in results:
            self._losses = 0
            place = int(result.request_id)
            part = worker.parts.setdefault(place, [])
            part.append(result)
            worker.tokens += len(getattr(result, "token_ids", ()))
            if len(part) == getattr(requests[place], "n", 1):
                worker.results += 1
                worker.owed.discard(place)
                yield place, worker.parts.pop(place)
        if not last:
            worker.waiting.append(worker.actor.more.remote())
            return
        worker.busy += time.monotonic() - worker.since
        if worker.owed:
            raise StageFailed(f"engine {worker.number} on {worker.machine} left {len(worker.owed)} requests unanswered")
        worker.waiting = []  # of a call that finds nothing more

    def _replace(self, worker: _Worker, loss: _Lost) -> None:
        """Start another actor, on a machine that has room for it, now or later."""
        self._losses += 1
        print(
            f"engine {worker.number} on {worker.machine or 'a machine'} was lost ({loss}); {len(worker.owed)} requests "
            "are asked again",
            file=sys.stderr,
            flush=True,
        )
        self._workers.remove(worker)
        if self._losses >= _LOSSES:
            raise StageFailed(
                f"{self._losses} engines in a row were lost before they answered anything ({loss}); their machines may "
                "have run out of memory: see Ray's logs"
            )
        self._open_another()

    # Telling ---------------------------------------------------------------------------------------------------------

    def account(self) -> str:
        """How the engines do, for the display: how many are at work and how fast each is."""
        workers = [worker for worker in self._workers if worker.ready]
        if self._waits or not self._workers:
            return self._waits
        rates = sorted(_rate(worker) for worker in workers if worker.results)
        unit = "tok/s" if any(worker.tokens for worker in workers) else "rows/s"
        many = f"{len(workers)} of {len(self._workers)} engines"
        if not rates:
            return many
        each = f"{rates[0]:.0f}" if len(rates) == 1 else f"{rates[0]:.0f}–{rates[-1]:.0f}"
        return f"{many}, {each} {unit} each"

    def _tell(self, pause: float) -> None:
        """A line an engine for the stage's log."""
        now = time.monotonic()
        if now - self._told < pause or not self._workers:
            return
        first, self._told = not self._told, now
        if first and pause:
            return
        for worker in self._workers:
            state = f"on {worker.machine}" if worker.machine else "waits for a machine"
            state += "" if worker.ready or not worker.machine else " loads the model"
            print(
                f"engine {worker.number} {state}: {worker.results} requests, {worker.tokens} tokens, "
                f"{_rate(worker):.1f} a second, {len(worker.owed)} in work",
                file=sys.stderr,
                flush=True,
            )


def _rate(worker: _Worker) -> float:
    """Tokens a second while it was at work, or requests if it generates none."""
    seconds = worker.busy + (time.monotonic() - worker.since if worker.owed else 0.0)
    return (worker.tokens or worker.results) / max(1e-9, seconds)


class _Lost(Exception):
    """An actor is gone, or what it had sent."""


def _get(reference: Any) -> Any:
    """What Ray's reference stands for. Raises _Lost if the actor is gone, and errors of ours as they were raised."""
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, JudgeloopError):
            raise error.cause from None
        raise StageFailed(f"an engine of the cluster failed: {str(error.cause).strip() or error}") from error
    except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError, ray.exceptions.NodeDiedError) as error:
        raise _Lost((str(error).strip() or type(error).__name__).splitlines()[0]) from error


_open: list[ClusterEngine] = []


def engines_account() -> str:
    """How the engines do that this process has open on a cluster; empty if there are none."""
    return ", ".join(filter(None, (engine.account() for engine in _open)))
