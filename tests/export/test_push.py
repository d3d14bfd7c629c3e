"""Models are sent where the user says: to a hub that is asked over HTTP, and to stores by their URL."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest

from judgeloop.errors import InputError
from judgeloop.export.push import push


def sent(run: Path, to: str, **options: Any) -> list[str]:
    return push(run, "M2", to, "hf", **{"dtype": None, "kind": None, "private": False, **options})


@pytest.fixture(autouse=True)
def no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))


def test_a_folder_of_this_machine_and_a_store_in_memory(made: Path, tmp_path: Path) -> None:
    assert sent(made, f"file://{tmp_path}/there")[-1] == f"pushed to file://{tmp_path}/there"
    weights = (made / "M2" / "model" / "model.safetensors").read_bytes()
    assert (tmp_path / "there" / "model.safetensors").read_bytes() == weights
    sent(made, "memory://models/m2")
    store = fsspec.filesystem("memory")
    assert store.cat_file("/models/m2/model.safetensors") == weights
    assert "/models/m2/README.md" in store.find("/models/m2")


def test_what_cannot_be_sent_is_said_in_a_line(made: Path) -> None:
    with pytest.raises(InputError, match="no token for the hub: set HF_TOKEN"):
        sent(made, "me/model")
    with pytest.raises(InputError, match="neither a hub id"):
        sent(made, "nowhere")
    with pytest.raises(InputError, match="nosuch://"):
        sent(made, "nosuch://bucket/model")


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's API as a commit of small files needs."""

    seen: list[tuple[str, str, bytes]]

    def do_POST(self) -> None:
        body = self._body()
        self.seen.append((self.path, self.headers.get("Authorization", ""), body))
        if self.headers.get("Authorization") != "Bearer hf_right":
            return self._answer(401, {"error": "Invalid token"})
        if self.path == "/api/repos/create":
            return self._answer(200, {"url": f"{self.home()}/me/model", "name": "me/model"})
        if self.path == "/api/validate-yaml":
            return self._answer(200, {"errors": [], "warnings": []})
        if "/preupload/" in self.path:
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in json.loads(body)["files"]
            ]
            return self._answer(200, {"files": files})
        if "/commit/" in self.path:
            address = f"{self.home()}/me/model/commit/{'a' * 40}"
            return self._answer(200, {"success": True, "commitOid": "a" * 40, "commitUrl": address, "hookOutput": ""})
        return self._answer(404, {})

    def do_GET(self) -> None:
        self._answer(200, {"id": "me/model", "sha": "a" * 40, "siblings": []})

    def home(self) -> str:
        return f"http://{self.headers['Host']}"

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def _answer(self, code: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str, bytes]]]:
    seen: list[tuple[str, str, bytes]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Mine", (Hub,), {"seen": seen}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", address)
    yield seen
    server.shutdown()
    server.server_close()


def test_a_hub_gets_every_file_in_one_commit(
    made: Path, monkeypatch: pytest.MonkeyPatch, hub: list[tuple[str, str, bytes]]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    assert sent(made, "me/model", private=True)[-1].startswith("pushed to ")
    created = next(json.loads(body) for path, _, body in hub if path == "/api/repos/create")
    assert created["visibility"] == "private"
    (commit,) = (body for path, _, body in hub if "/commit/" in path)
    files = {line["value"]["path"] for line in map(json.loads, commit.splitlines()) if line["key"] == "file"}
    assert {"README.md", "LICENSE", "config.json", "model.safetensors", "tokenizer.json"} <= files


def test_a_token_that_the_hub_refuses(
    made: Path, monkeypatch: pytest.MonkeyPatch, hub: list[tuple[str, str, bytes]]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(InputError, match="the hub does not take me/model") as error:
        sent(made, "me/model")
    assert "hf_wrong" not in str(error.value)
    assert hub
