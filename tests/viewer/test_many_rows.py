"""Runs of many rows: the first page at once, and little memory."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("starlette")
from starlette.testclient import TestClient

from judgeloop.viewer.app import make_app
from judgeloop.viewer.prompts import Filter, PromptList
from judgeloop.viewer.rows import RowFile
from viewer.viewed_run import make_large

COUNT = 20_000


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_large(tmp_path_factory.mktemp("many") / "a", COUNT)


def test_the_first_page_needs_no_facts(run: Path) -> None:
    pages = TestClient(make_app([run]), base_url="http://127.0.0.1")
    started = time.perf_counter()
    page = pages.get("/r/a/prompts/M2")
    taken = time.perf_counter() - started
    assert page.text.count('class="item"') == 50
    assert f"{COUNT:,}" in page.text
    assert taken < 1.5  # 300 ms on a quiet machine: benchmarks/view_rows.py measures it


def test_scrolling_comes_to_every_row_once(run: Path) -> None:
    rows = PromptList(run / "M2")
    start: int | None = 0
    seen: list[str] = []
    while start is not None:
        page = rows.page(Filter(account="pair", text="desert"), start, 500, wait=60)
        seen += [str(row["id"]) for _, row in page.rows]
        start = page.following
    assert seen == [f"p-{k}" for k in range(COUNT) if k % 2 and not k % 3]


def test_the_last_page_is_as_near_as_the_first(run: Path) -> None:
    page = PromptList(run / "M2").page(Filter(), COUNT - 3)
    assert [row["id"] for _, row in page.rows] == [f"p-{k}" for k in range(COUNT - 3, COUNT)]
    assert page.following is None


def test_rows_are_found_by_key(run: Path) -> None:
    find = RowFile(run / "M2/pairs.jsonl").refresh().by("prompt_id")
    assert [row["id"] for row in find("p-777")] == ["pair-777"]
    assert find("p-778") == []


def test_a_key_inside_a_text_is_not_taken_for_one(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text":"{\\"prompt_id\\":\\"p-1\\"}","prompt_id":"p-2"}\n{"prompt_id":"p-\\u0031"}\n')
    find = RowFile(file).refresh().by("prompt_id")
    assert len(find("p-2")) == 1
    assert len(find("p-1")) == 1


def test_a_file_that_was_made_anew_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"id":"a"}\n{"id":"b"}\n')
    rows = RowFile(file).refresh()
    assert len(rows) == 2
    file.write_text('{"id":"c"}\n')
    assert len(rows.refresh()) == 1
    assert rows.row(0) == {"id": "c"}


def test_viewing_loads_nothing_heavy(run: Path) -> None:
    code = "import sys, judgeloop.viewer.app, judgeloop.viewer.votes; print(sorted({'torch', 'transformers', 'plotly', "
    code += "'openvino_genai'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
