"""The pages of `judgeloop view`: each is there, says what the rows say, and keeps a model's texts in their place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from judgeloop.errors import InputError
from judgeloop.viewer.app import make_app
from judgeloop.viewer.rows import RowFile
from viewer.conftest import make_run

PAIRED, UNPAIRED = "p-000000000000", "p-000000000001"
PAGES = (
    "/r/run", "/r/run/prompts/M2", f"/r/run/prompt/M2/{PAIRED}", f"/r/run/prompt/M2/{UNPAIRED}",
    "/r/run/pair/M2/pair-000000000000", "/r/run/models", "/r/run/judge", "/r/run/instructions", "/r/run/vote",
    "/r/run/votes", "/compare",
)  # fmt: skip


def client(run: Path, **options: object) -> TestClient:
    return TestClient(make_app([run], **options), base_url="http://127.0.0.1:8000")  # type: ignore[arg-type]


@pytest.mark.parametrize("page", PAGES)
def test_every_page_shows_texts_as_texts(run: Path, page: str) -> None:
    answer = client(run).get(page)
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    assert "<img src=x" not in answer.text
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    for outside in ("http://", "https://", "//cdn"):
        assert f'src="{outside}' not in answer.text
        assert f'href="{outside}' not in answer.text


def test_a_prompt_shows_its_pair_or_why_there_is_none(run: Path) -> None:
    page = client(run).get
    paired = page(f"/r/run/prompt/M2/{PAIRED}").text
    assert "chosen" in paired
    assert "pair-000000000000" in paired
    assert "within the margin" in page(f"/r/run/prompt/M2/{UNPAIRED}").text


def test_prompts_are_filtered(run: Path) -> None:
    page = client(run).get
    assert UNPAIRED not in page("/r/run/prompts/M2?account=pair").text
    assert PAIRED not in page("/r/run/prompts/M2?high=1").text
    found = page("/r/run/prompts/M2?q=number 4").text
    assert "p-000000000004" in found
    assert "p-000000000003" not in found


def test_the_judge_is_in_a_pairs_lineage(run: Path) -> None:
    assert "1" * 64 in client(run).get("/r/run/pair/M2/pair-000000000000").text


@pytest.mark.parametrize("address", [
    "/r/other", "/r/run/prompts/M9", "/r/run/prompts/..%2f..", "/r/run/prompt/M2/..%2f..%2frun.json",
    "/r/run/pair/M2/none", "/r/run/models?a=../M1&b=M2", "/static/..%2fapp.py", "/static/../app.py",
    "/r/..%2f..%2fetc", "/compare?a=../../etc",
])  # fmt: skip
def test_what_is_not_there_is_not_found(run: Path, address: str) -> None:
    assert client(run).get(address).status_code == 404


def test_only_its_own_names_and_its_own_page_are_answered(run: Path) -> None:
    page = client(run)
    assert page.get("/r/run", headers={"host": "evil.example"}).status_code in (400, 403)
    for headers in ({"origin": "http://evil.example"}, {"origin": "null"}, {}):
        assert page.post("/r/run/vote", data={"choice": "tie", "item": "x"}, headers=headers).status_code == 403
    assert not (run / "votes.jsonl").exists()


def test_another_interface_needs_the_token(run: Path) -> None:
    page = client(run, hosts=None, token="let-me-in")
    assert page.get("/r/run").status_code in (401, 403)
    assert page.get("/r/run?token=wrong").status_code in (401, 403)
    assert page.get("/?token=let-me-in").status_code == 200  # with the cookie that it sets
    assert page.get("/r/run").status_code == 200


def test_a_half_written_last_line_is_left_out_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id":"a"}\n{"id":"b"', encoding="utf-8")
    rows = RowFile(path)
    assert len(rows.refresh()) == 1
    with path.open("a", encoding="utf-8") as file:
        file.write('}\n{"id":"c"}\n')
    assert [(rows.refresh().row(k) or {}).get("id") for k in range(3)] == ["a", "b", "c"]
    path.write_text('{"id":"d"}\n', encoding="utf-8")
    assert len(rows.refresh()) == 1


def test_a_run_at_its_beginning_and_one_with_damaged_rows_have_pages(run: Path, tmp_path: Path) -> None:
    with (run / "M2/judgements.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"id": \n[1]\n{"id":"x","candidate_id":5,"score":"?"}\n')
    (run / "M1/held_out.jsonl").write_text("no json\n", encoding="utf-8")
    for page in PAGES:
        assert client(run).get(page).status_code == 200, page
    young = tmp_path / "young"
    young.mkdir()
    (young / "run.json").write_text(json.dumps({"models": ["M0", "M1"]}), encoding="utf-8")
    assert client(young).get("/r/young").status_code == 200
    assert client(young).get("/r/young/models").status_code == 404


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run directory"):
        make_app([tmp_path])


def test_the_first_of_many_prompts_are_shown_and_the_rest_as_one_scrolls(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", prompts=20_000)
    page = client(run).get
    first = page("/r/run/prompts/M2").text
    assert "20,000" in first or "20000" in first
    assert first.count("/r/run/prompt/M2/p-") < 500
    assert f"p-{19_999:012x}" in page("/r/run/prompts/M2?start=19990&part=1").text
    assert "number 19999" in page("/r/run/prompts/M2?q=number 19999").text
