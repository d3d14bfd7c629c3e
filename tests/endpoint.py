"""A chat/completions endpoint on this machine, for tests: real HTTP, its answers written by the test."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What the endpoint sends: a status and a body (an object is sent as JSON), after `delay` seconds. `hang_up`:
    the connection is closed before anything is sent; `cut`: so many bytes before the body's end. `blanks`: so many
    spaces come before the body, one each 50 ms, as from an endpoint that keeps the connection open."""

    body: Any = field(default_factory=dict)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    hang_up: bool = False
    cut: int = 0
    blanks: int = 0


@dataclass(frozen=True)
class Asked:
    """A request as it came in; `number` counts from 0."""

    number: int
    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def words(self) -> str:
        return str(self.body["messages"][-1]["content"])


@dataclass
class Endpoint:
    url: str
    asked: list[Asked]
    most_at_once: int = 0


def says(text: str | None, *, tokens: Sequence[tuple[str, Mapping[str, float]]] = (), finish: str = "stop") -> Answer:
    """An ordinary answer; `tokens` are (text, log-probabilities of the likeliest at its place)."""
    choice: dict[str, Any] = {
        "index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish, "logprobs": None,
    }  # fmt: skip
    if tokens:
        content = [
            {"token": token, "logprob": top[token],
             "top_logprobs": [{"token": name, "logprob": value} for name, value in top.items()]}
            for token, top in tokens
        ]  # fmt: skip
        choice["logprobs"] = {"content": content}
    return Answer({"choices": [choice], "usage": {"prompt_tokens": 11, "completion_tokens": 3}})


def fails(status: int, message: str = "no", **headers: str) -> Answer:
    return Answer({"error": {"message": message}}, status, {k.replace("_", "-"): v for k, v in headers.items()})


@contextmanager
def serving(answer: Callable[[Asked], Answer]) -> Iterator[Endpoint]:
    """Run the endpoint on a free port until the block ends."""
    endpoint = Endpoint("", [])
    lock = threading.Lock()
    under_way = [0]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                asked = Asked(len(endpoint.asked), self.path, {k.title(): v for k, v in self.headers.items()}, body)
                endpoint.asked.append(asked)
                under_way[0] += 1
                endpoint.most_at_once = max(endpoint.most_at_once, under_way[0])
            found = answer(asked)
            time.sleep(found.delay)
            with lock:
                under_way[0] -= 1
            if found.hang_up:
                return
            data = found.body if isinstance(found.body, bytes) else json.dumps(found.body).encode()
            try:
                self.send_response(found.status)
                for name, value in {"Content-Type": "application/json", **found.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data) + found.blanks))
                self.end_headers()
                for _ in range(found.blanks):
                    self.wfile.write(b" ")
                    time.sleep(0.05)
                self.wfile.write(data[: len(data) - found.cut])
                self.close_connection = self.close_connection or found.cut > 0
            except OSError:
                return  # the client has gone

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    endpoint.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
