"""From a click to a row that the seed and `eval agreement` read."""

from __future__ import annotations

import json
import re
from pathlib import Path

from starlette.testclient import TestClient
from typer.testing import CliRunner

from judgeloop.cli import app
from judgeloop.data.readers import read_ranked
from judgeloop.viewer.app import make_app

ORIGIN = {"origin": "http://127.0.0.1:8000"}


def voted(run: Path, choices: str) -> TestClient:
    """Vote in the order shown: l, r, t, b, or u for taking back."""
    page = TestClient(make_app([run]), base_url="http://127.0.0.1:8000")
    named = {"l": "left", "r": "right", "t": "tie", "b": "bad", "u": "undo"}
    for choice in choices:
        shown = page.get("/r/run/vote").text
        item = re.search(r'name="item" value="([^"]+)"', shown)
        data = {"choice": named[choice], "item": item[1] if item else ""}
        assert page.post("/r/run/vote", data=data, headers=ORIGIN, follow_redirects=False).status_code == 303
    return page


def test_the_names_of_the_models_are_hidden_until_the_results(run: Path) -> None:
    page = voted(run, "l")
    shown = re.sub(r"M[12] says", "", page.get("/r/run/vote").text)
    assert not re.search(r">\s*M[12]\s*<", shown)
    assert re.search(r"M[12]", page.get("/r/run/votes").text)


def test_each_vote_is_a_row_at_once_and_can_be_taken_back(run: Path) -> None:
    voted(run, "l")
    (first,) = [json.loads(line) for line in (run / "votes.jsonl").read_text(encoding="utf-8").splitlines()]
    assert first["choice"] == "left"
    assert sorted(first["models"]) == ["M1", "M2"]
    page = voted(run, "u")
    assert len((run / "votes.jsonl").read_text(encoding="utf-8").splitlines()) == 2
    assert page.get("/r/run/votes.jsonl").text == ""
    again = re.search(r'name="item" value="([^"]+)"', page.get("/r/run/vote").text)
    assert again is not None
    assert again[1] == first["id"]


def test_the_exported_rows_are_ranks_that_the_seed_reads(run: Path, tmp_path: Path) -> None:
    voted(run, "lr")
    out = tmp_path / "ranked.jsonl"
    done = CliRunner().invoke(app, ["view", str(run), "--export-votes", str(out)], catch_exceptions=False)
    assert done.exit_code == 0
    sets, _ = read_ranked(out)
    rows = [json.loads(line) for line in (run / "votes.jsonl").read_text(encoding="utf-8").splitlines()]
    preferred = {row["texts"][0 if row["choice"] == "left" else 1] for row in rows}
    assert {next(r["text"] for r in entry.responses if r["rank"] == 0) for entry in sets} == preferred
    assert len(sets) == 2
