"""Who gets an answer: names, origins, tokens, and paths that lead out of a run."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

pytest.importorskip("starlette")
from starlette.testclient import TestClient

from judgeloop.viewer.app import make_app
from viewer.viewed_run import make_viewed

BASE = "http://127.0.0.1:7878"
PATHS = (
    "../../../../etc/passwd",
    "..",
    "/etc/passwd",
    "..\\..\\x",
    "M2/../../secret",
    "%2e%2e%2fsecret",
    "M2\x00",
    ".",
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/prompts.jsonl").write_text('{"id":"p-0","messages":[{"role":"user","content":"SECRET"}]}\n')
    (tmp_path / "secret.jsonl").write_text("SECRET\n")
    return make_viewed(tmp_path / "a")


@pytest.mark.parametrize("host", ["127.0.0.1:7878", "localhost:7878", "[::1]:7878", "127.0.0.1"])
def test_own_names_are_answered(run: Path, host: str) -> None:
    assert TestClient(make_app([run]), base_url=BASE).get("/r/a", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:7878", "", "[::1"])
def test_other_names_are_refused(run: Path, host: str) -> None:
    answer = TestClient(make_app([run]), base_url=BASE).get("/r/a", headers={"host": host})
    assert answer.status_code == 400
    assert "Overview" not in answer.text


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "http://127.0.0.1:9999", "http://localhost:7878"]
)
def test_a_vote_from_another_site_is_refused(run: Path, origin: str | None) -> None:
    pages = TestClient(make_app([run]), base_url=BASE)
    headers = {} if origin is None else {"origin": origin}
    answer = pages.post("/r/a/vote", data={"item": "x", "choice": "left"}, headers=headers)
    assert answer.status_code == 403
    assert not (run / "votes.jsonl").exists()


def test_every_answer_has_the_headers(run: Path) -> None:
    pages = TestClient(make_app([run]), base_url=BASE)
    for path in ("/r/a", "/nowhere", "/static/view.css", "/r/a/votes.jsonl"):
        headers = pages.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_other_interfaces_need_the_token(run: Path) -> None:
    app = make_app([run], hosts=None, token="right")
    pages = TestClient(app, base_url="http://10.0.0.5:7878")
    assert pages.get("/r/a").status_code == 401
    assert pages.get("/static/view.css").status_code == 401
    assert pages.get("/r/a?token=wrong").status_code == 401
    assert pages.get("/r/a", headers={"cookie": "judgeloop_view=wrong"}).status_code == 401
    answer = pages.get("/r/a/prompts/M2?q=sky&token=right", follow_redirects=False)
    assert answer.headers["location"] == "/r/a/prompts/M2?q=sky"  # the token stays out of the history
    assert pages.get("/r/a").status_code == 200
    with pytest.raises(ValueError, match="token"):
        TestClient(make_app([run], hosts=None)).get("/")


@pytest.mark.parametrize("path", PATHS)
def test_no_parameter_leads_out_of_the_run(run: Path, path: str) -> None:
    pages = TestClient(make_app([run]), base_url=BASE)
    given = quote(path, safe="")
    for address in (
        f"/r/{given}", f"/r/a/prompts/{given}", f"/r/a/prompt/{given}/p-0", f"/r/a/prompt/M2/{given}",
        f"/r/a/pair/M2/{given}", f"/r/a/pair/{given}/x", f"/r/a/models?a={given}", f"/r/a/models?b={given}",
        f"/r/a/judge?model={given}", f"/static/{given}", f"/compare?a={given}",
        f"/r/a/prompts/M2?q={given}&source={given}&account={given}&tag={given}&low={given}&start={given}",
        f"/r/a/models?order={given}&start={given}",
    ):  # fmt: skip
        answer = pages.get(address)
        assert "SECRET" not in answer.text
        assert "root:" not in answer.text
        assert answer.status_code in (200, 400, 404), address


def test_numbers_in_addresses_may_be_anything(run: Path) -> None:
    pages = TestClient(make_app([run]), base_url=BASE)
    for number in ("nan", "inf", "-5", "1e300", "1e11", "x", "9" * 400):
        assert pages.get(f"/r/a/prompts/M2?start={number}&low={number}&high={number}").status_code == 200
        assert pages.get(f"/r/a/models?start={number}").status_code == 200


def test_a_large_body_is_refused(run: Path) -> None:
    pages = TestClient(make_app([run]), base_url=BASE, headers={"origin": BASE})
    assert pages.post("/r/a/vote", content=b"x" * 10_000).status_code == 413
