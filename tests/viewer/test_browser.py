"""The pages in a real browser (Debian's Chromium): votes from the key to the exported row, keys, no request off the
machine."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("starlette")
uvicorn = pytest.importorskip("uvicorn")
playwright = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright")

from judgeloop.data.readers import read_ranked  # noqa: E402
from judgeloop.viewer.app import make_app  # noqa: E402
from viewer.viewed_run import make_large, make_viewed  # noqa: E402

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
WITHOUT = f"the browser tests need a browser: {', '.join(NAMES)} (on Debian: apt install chromium)"
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


class Served:
    """A run's pages on a free port, and everything that the browser asked for or complained of."""

    def __init__(self, browser: Any, *runs: Path) -> None:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        self.base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.server = uvicorn.Server(uvicorn.Config(make_app(runs), log_level="error", lifespan="off"))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listener]}, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.02)
        self.page = browser.new_page(viewport={"width": 390, "height": 844})
        self.page.set_default_timeout(60_000)
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def go(self, path: str) -> None:
        self.page.goto(self.base + path)

    def until(self, expression: str) -> None:
        """Wait until it is true. (Playwright's own waiting needs eval, which the policy of the pages forbids.)"""
        end = time.monotonic() + 60
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, expression
            self.page.wait_for_timeout(50)

    def close(self) -> None:
        self.page.close()
        self.server.should_exit = True
        self.thread.join(10)


@pytest.fixture
def served(browser: Any, tmp_path: Path) -> Iterator[Served]:
    found = Served(browser, make_viewed(tmp_path / "a"))
    yield found
    found.close()


def test_every_page_is_quiet_narrow_and_asks_only_this_machine(served: Served) -> None:
    for path in ("", "/prompts/M2", "/prompt/M2/p-3", "/pair/M2/pair-3", "/pair/M2/pair-2", "/models", "/judge",
                 "/instructions", "/vote", "/votes"):  # fmt: skip
        served.go(f"/r/a{path}")
        assert served.page.evaluate("window.hacked") is None
        assert served.page.evaluate("document.documentElement.scrollWidth") <= 390, path
    assert served.complaints == []
    assert {urlsplit(url).netloc for url in served.asked} == {urlsplit(served.base).netloc}


def test_a_plot_alone_is_no_wider_than_one_of_several(served: Served) -> None:
    served.page.set_viewport_size({"width": 1280, "height": 900})
    served.go("/r/a")
    of_the_training = "[...document.querySelectorAll('section:has(h2) > .plots figure')]"
    assert served.page.evaluate(f"{of_the_training}.length") == 1
    assert 300 < served.page.evaluate(f"{of_the_training}[0].getBoundingClientRect().width") < 600


def test_a_vote_from_the_key_to_the_exported_row(served: Served, tmp_path: Path) -> None:
    page, log = served.page, tmp_path / "a/votes.jsonl"

    def press(key: str, rows: int) -> None:
        page.keyboard.press(key)
        until = time.monotonic() + 60
        while not log.exists() or len(log.read_text().splitlines()) < rows:
            assert time.monotonic() < until, f"{key} wrote no row"
            page.wait_for_timeout(50)
        served.until("!document.querySelector('.htmx-request, .htmx-swapping, .htmx-settling')")
        page.wait_for_timeout(200)

    served.go("/r/a/vote")
    left = page.locator("#left").inner_text()
    right = page.locator("#right").inner_text()
    press("ArrowLeft", 1)
    assert "1 of 4" in page.locator("#vote h1").inner_text()
    press("t", 2)
    press("u", 3)
    assert "1 of 4" in page.locator("#vote h1").inner_text()
    page.click("#vote button[value=right]")
    served.until("document.querySelector('#vote h1').innerText.includes('2 of 4')")
    served.go("/r/a/votes")
    with page.expect_download() as held:
        page.click("text=Export as ranked rows")
    target = tmp_path / "export.jsonl"
    held.value.save_as(target)
    ranked, _ = read_ranked(target)
    assert len(ranked) == 2
    first = json.loads(target.read_text().splitlines()[0])["responses"]
    signs = str.maketrans({"\x1b": "␛"})
    assert [r["text"].translate(signs) for r in first] == [left, right]
    assert served.complaints == []


def test_keys_move_search_and_help(served: Served) -> None:
    page = served.page
    served.go("/r/a/prompts/M2")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert "sky" in page.locator("[data-row].at").inner_text()
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.keyboard.press("?")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "q"
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/prompt/M2/p-1")
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**/prompt/M2/p-2")


def test_scrolling_brings_more_rows(browser: Any, tmp_path: Path) -> None:
    served = Served(browser, make_large(tmp_path / "a", 2000))
    try:
        served.go("/r/a/prompts/M2")
        for wanted in (51, 101):
            served.page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
            served.until(f"document.querySelectorAll('.item').length >= {wanted}")
        assert served.complaints == []
    finally:
        served.close()


def test_a_run_at_work_shows_its_progress_by_itself(served: Served, tmp_path: Path) -> None:
    import fcntl

    run = tmp_path / "a"
    with (run / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        served.go("/r/a")
        marker = {"stage": "judge", "fingerprint": "0", "settings": {}, "inputs": {}}
        (run / "M2/.judge.begun.json").write_text(json.dumps(marker))
        served.until("document.querySelector('#overview').innerText.includes('M2/judge')")
    assert served.complaints == []
