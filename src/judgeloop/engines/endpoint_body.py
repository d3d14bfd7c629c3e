"""The body of an endpoint's answer must come to an end. The SDK's timeout is one between two pieces, so an endpoint
that keeps a connection open with blanks, or sends without end, would hold a request for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

_MOST = 256 * 2**20  # bytes: 20 log-probabilities for each of a hundred thousand tokens take less


class EndlessAnswer(Exception):
    """The answer's body did not end in time, or is longer than any answer."""


def bounded(seconds: float) -> Callable[[Any], None]:
    """A hook for the responses of the SDK's client. Reading a body raises EndlessAnswer if it has not ended `seconds`
    after its headers."""

    def hook(response: Any) -> None:
        # The SDK's HTTP library is not imported here: its name differs between the SDK's versions.
        base = next(kind for kind in type(response.stream).__mro__ if kind.__name__ == "SyncByteStream")
        response.stream = _bounded_stream(base)(response.stream, seconds)

    return hook


@lru_cache(maxsize=4)
def _bounded_stream(base: Any) -> Any:
    class Bounded(base):  # type: ignore[misc]
        def __init__(self, stream: Any, seconds: float) -> None:
            self._stream = stream
            self._end = time.monotonic() + seconds

        def __iter__(self) -> Iterator[bytes]:
            size = 0
            for piece in self._stream:
                size += len(piece)
                if size > _MOST or time.monotonic() > self._end:
                    raise EndlessAnswer
                yield piece

        def close(self) -> None:
            self._stream.close()

    return Bounded
