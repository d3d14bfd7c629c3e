"""Requests through one vLLM engine or several: each takes the next request as it has room for one."""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from judgeloop.errors import JudgeloopError

What = tuple[int, ...]  # what a request is to the one who asks
Asked = tuple[What, tuple[int, ...], Any]  # that, the prompt, and vLLM's SamplingParams
_names = itertools.count()


def run(engines: Sequence[Any], asked: Iterator[Asked], at_once: int) -> Iterator[tuple[What, Any]]:
    """What each request gives, as it finishes, from whichever of the engines takes it; `at_once` of them are under way
    in each. Those under way are given up if the caller stops listening. Raises JudgeloopError if vLLM fails."""
    stop = threading.Event()
    if len(engines) == 1:
        yield from _drive(engines[0], asked, at_once, stop)
        return
    waiting = _Shared(asked)
    found: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def work(engine: Any) -> None:
        try:
            for result in _drive(engine, waiting, at_once, stop):
                found.put(result)
            found.put(None)
        except BaseException as error:  # handed to whoever reads the results
            found.put(error)

    threads = [threading.Thread(target=work, args=(engine,), daemon=True) for engine in engines]
    for thread in threads:
        thread.start()
    working = len(engines)
    try:
        while working:
            result = found.get()
            if isinstance(result, BaseException):
                raise result
            if result is None:
                working -= 1
            else:
                yield result
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _drive(engine: Any, asked: Iterator[Asked], at_once: int, stop: threading.Event) -> Iterator[tuple[What, Any]]:
    from vllm.inputs import tokens_input
    from vllm.v1.engine.exceptions import EngineDeadError

    running: dict[str, What] = {}
    try:
        while not stop.is_set():
            while len(running) < at_once and (one := next(asked, None)) is not None:
                what, ids, params = one
                name = str(next(_names))
                running[name] = what
                engine.add_request(name, tokens_input(list(ids)), params)
            if not running:
                return
            try:
                results = engine.step()
            except (RuntimeError, EngineDeadError) as error:
                raise JudgeloopError(
                    f"vLLM fails as it generates ({last_line(error)}); VLLM_LOGGING_LEVEL=INFO says more; mend the "
                    "cause, or set engine.kind: transformers"
                ) from error
            for result in results:
                if result.finished:
                    (output,) = result.outputs
                    if output.finish_reason not in ("stop", "length"):
                        raise JudgeloopError(f"vLLM gave up a request ({output.finish_reason})")
                    yield running.pop(result.request_id), output
    finally:
        if running:
            with contextlib.suppress(EngineDeadError):  # what was raised before says it
                engine.abort_request(list(running))


class _Shared:
    """What several threads take from, one at a time."""

    def __init__(self, asked: Iterator[Asked]) -> None:
        self._asked = asked
        self._lock = threading.Lock()

    def __iter__(self) -> _Shared:
        return self

    def __next__(self) -> Asked:
        with self._lock:
            return next(self._asked)


def last_line(error: BaseException) -> str:
    """What an exception says in the end; of pydantic's, which end with an address, the first complaint."""
    said = str(error.errors()[0]["msg"]) if isinstance(error, ValidationError) else str(error)
    return (said.strip() or type(error).__name__).splitlines()[-1]
