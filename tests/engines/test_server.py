"""engine.kind: server against a stand-in that speaks the part of vLLM's HTTP interface that is used."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import make_config, tiny_model  # noqa: F401
from judgeloop.config import ServerSection, load
from judgeloop.engines.base import OptionRequest, Request, Sampling
from judgeloop.engines.server import ServerEngine
from judgeloop.errors import InputError, JudgeloopError
from judgeloop.models.chat import Chat
from judgeloop.run.driver import execute
from tiny import END_ID, make_tiny_model

PROMPT = (1, 40, 41, 42)


class StandIn:
    """Answers as vLLM does: two tokens that name the weights and the seed, then the end. `faults` come first; `paths`
    that it does not have give 404."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str, Any]] = []
        self.version = "default"
        self.weights = 50
        self.root = "someone/model"
        self.lacks: set[str] = set()
        self.faults: list[tuple[int, bytes]] = []
        self.change: Callable[[dict[str, Any]], None] = lambda answer: None
        self.lock = threading.Lock()

    def answer(self, path: str, body: Any) -> tuple[int, Any]:
        with self.lock:
            self.asked.append((path, body))
            if path == "/v1/completions" and self.faults:
                return self.faults.pop(0)
        if path in self.lacks:
            return 404, {"detail": "Not Found"}
        if path == "/collective_rpc":
            if not Path(body["kwargs"]["weights_path"]).is_dir():
                return 500, b"Internal Server Error"
            self.weights += 1
        elif path == "/update_weight_version":
            self.version = body["new_version"]
        elif path == "/v1/completions":
            choice: dict[str, Any] = {
                "token_ids": [self.weights, 60 + body.get("seed", 0) % 7, END_ID], "finish_reason": "stop",
            }  # fmt: skip
            if "logprob_token_ids" in body:
                top = {f"token_id:{t}": -t / 10 - len(body["prompt"]) for t in body["logprob_token_ids"]}
                choice["logprobs"] = {"top_logprobs": [{"token_id:9": -0.1, **top}]}
            value = {"choices": [choice]}
            self.change(value)
            return 200, value
        answers = {
            "/version": {"version": "0.32.0"},
            "/v1/models": {"data": [{"id": "policy", "root": self.root, "max_model_len": 100}]},
            "/weight_info": {"weight_version": self.version},
            "/reset_prefix_cache": {"success": True},
        }
        return 200, answers.get(path, {})


@pytest.fixture
def server() -> Iterator[StandIn]:
    stand_in = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, value = stand_in.answer(self.path, body)
            content = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = respond  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    stand_in.url = f"http://127.0.0.1:{http.server_port}"
    yield stand_in
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "M1")


def engine(server: StandIn, folder: Path, **keys: Any) -> ServerEngine:
    section = ServerSection(url=server.url, attempts=3, **keys)
    return ServerEngine(section, folder, Chat.load(folder), first_wait=0.01)


def asked(n: int = 3, count: int = 4) -> list[Request]:
    return [
        Request(f"r{k}", PROMPT, Sampling(8, temperature=1.0, stop_strings=("zz",)), n, seed=k) for k in range(count)
    ]


def test_token_ids_go_in_and_come_out_and_each_sample_has_its_seed(server: StandIn, folder: Path) -> None:
    found = list(engine(server, folder).generate(asked()))
    assert sorted((g.request_id, g.index) for g in found) == [(f"r{k}", n) for k in range(4) for n in range(3)]
    assert {g.token_ids[0] for g in found} == {51}  # by the weights that were loaded
    assert all(g.token_ids[-1] == END_ID and g.finish_reason == "stop" for g in found)
    bodies = [body for path, body in server.asked if path == "/v1/completions"]
    assert all(
        body["prompt"] == list(PROMPT) and body["model"] == "policy" and body["return_token_ids"] for body in bodies
    )
    assert len({body["seed"] for body in bodies}) == 12
    again = {(g.request_id, g.index): g for g in engine(server, folder).generate(asked(count=2))}
    assert all(again[key] == next(g for g in found if (g.request_id, g.index) == key) for key in again)


def test_weights_are_loaded_once_and_anew_for_another_model(server: StandIn, folder: Path, tmp_path: Path) -> None:
    other = make_tiny_model(tmp_path / "M2", seed=1)
    one, two = engine(server, folder), engine(server, other)
    assert [next(iter(g.token_ids)) for e in (one, one, two, one) for g in e.generate(asked(1, 1))] == [51, 51, 52, 53]
    loads = [body["kwargs"]["weights_path"] for path, body in server.asked if path == "/collective_rpc"]
    assert loads == [str(folder), str(other), str(folder)]
    resets = [path for path, _ in server.asked if path == "/reset_prefix_cache"]
    assert len(resets) == 3


def test_option_logprobs_sum_the_tokens_of_each_option(server: StandIn, folder: Path) -> None:
    options = ((5,), (6,), (5, 7))
    (result,) = engine(server, folder).option_logprobs([OptionRequest("o", PROMPT, options)])
    assert result.logprobs == pytest.approx((-4.5, -4.6, -4.5 - 5.7))


def test_what_fails_for_a_while_is_asked_again_and_counted(server: StandIn, folder: Path) -> None:
    server.faults = [(503, b"busy"), (500, b"{}"), (200, b"<html>")]
    opened = engine(server, folder)
    assert len(list(opened.generate(asked()))) == 12
    assert opened.retries == {"503": 1, "500": 1, "an answer that is not JSON": 1}


def test_a_server_that_keeps_failing_ends_it_in_one_line(server: StandIn, folder: Path) -> None:
    server.faults = [(503, b"busy")] * 99
    with pytest.raises(JudgeloopError, match="still 503 after 3 tries of r0"):
        list(engine(server, folder, concurrency=1).generate(asked(1, 1)))


def test_nobody_listens(folder: Path) -> None:
    section = ServerSection(url="http://127.0.0.1:9")
    with pytest.raises(InputError, match="connection refused; start the server"):
        list(ServerEngine(section, folder, Chat.load(folder)).generate(asked(1, 1)))


@pytest.mark.parametrize(
    ("lacks", "reason"),
    [
        ({"/version", "/get_model_info", "/model_info"}, "llama.cpp server, which cannot load other weights"),
        ({"/version", "/props"}, "SGLang server"),
        ({"/version", "/props", "/get_model_info", "/model_info"}, "is not vLLM's server"),
        ({"/weight_info"}, "cannot load weights.*VLLM_SERVER_DEV_MODE=1 vllm serve"),
    ],
)
def test_a_server_that_cannot_do_it_is_refused_with_why(
    server: StandIn, folder: Path, lacks: set[str], reason: str
) -> None:
    server.lacks = lacks
    with pytest.raises(InputError, match=reason):
        list(engine(server, folder).generate(asked(1, 1)))
    assert not [path for path, _ in server.asked if path == "/v1/completions"]


def test_a_model_of_another_architecture_is_refused(server: StandIn, folder: Path, tmp_path: Path) -> None:
    server.root = str(make_tiny_model(tmp_path / "qwen", "qwen3"))
    with pytest.raises(InputError, match="whose architectures is"):
        list(engine(server, folder).generate(asked(1, 1)))


def test_what_a_config_leaves_out_is_no_other_architecture(server: StandIn, folder: Path, tmp_path: Path) -> None:
    start = make_tiny_model(tmp_path / "M0")
    config = json.loads((start / "config.json").read_text())
    (start / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "rope_parameters"}))
    server.root = str(start)
    assert len(list(engine(server, folder).generate(asked(1, 1)))) == 1


def test_a_folder_that_the_server_cannot_read_is_named(server: StandIn, folder: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(Path, "is_dir", lambda self: False)
    with pytest.raises(InputError, match="must see the folder under this path"):
        list(engine(server, folder).generate(asked(1, 1)))
    assert server.version == "loading"


def test_weights_that_another_run_loaded_meanwhile_end_it(server: StandIn, folder: Path) -> None:
    def meanwhile(_: Any) -> None:
        server.version = "sha256:another"

    server.change = meanwhile
    with pytest.raises(JudgeloopError, match="was given other weights while it answered"):
        list(engine(server, folder).generate(asked(1, 1)))


def test_a_request_too_long_for_the_server_is_refused_before_any_is_asked(server: StandIn, folder: Path) -> None:
    with pytest.raises(InputError, match=r"needs 204 tokens.*takes 100"):
        list(engine(server, folder).generate([*asked(), Request("long", PROMPT, Sampling(200))]))
    assert not [path for path, _ in server.asked if path == "/v1/completions"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda answer: answer["choices"][0].pop("token_ids"), "an answer without token_ids"),
        (lambda answer: answer["choices"][0].update(finish_reason="abort"), "ended with 'abort'"),
        (lambda answer: answer.pop("choices"), "an answer without choices"),
    ],
)
def test_an_answer_of_another_form_is_refused(server: StandIn, folder: Path, change: Any, reason: str) -> None:
    server.change = change
    with pytest.raises(InputError, match=reason):
        list(engine(server, folder).generate(asked(1, 1)))


def test_a_run_is_refused_before_anything_is_made(
    server: StandIn,
    make_config: Any,  # noqa: F811
    tmp_path: Path,
) -> None:
    server.lacks = {"/weight_info"}
    config = load(make_config(engine={"kind": "server", "server": {"url": server.url}}))
    with pytest.raises(InputError, match="cannot load weights"):
        execute(config, tmp_path / "run", None)  # type: ignore[arg-type]  # nothing is displayed
    assert not (tmp_path / "run").exists()


def test_the_address_is_checked() -> None:
    for url, reason in ((None, "needs it"), ("gpu1:8000", "no plain http address")):
        with pytest.raises(InputError, match=reason):
            ServerEngine(ServerSection(url=url), Path(), None)  # type: ignore[arg-type]
