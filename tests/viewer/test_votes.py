"""Blind votes from the page to rows that the seed and `eval agreement` read."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

pytest.importorskip("starlette")
from starlette.testclient import TestClient

from judgeloop.data.readers import read_ranked
from judgeloop.viewer.app import make_app
from judgeloop.viewer.run_view import RunView
from judgeloop.viewer.votes import Votes, strengths, tally, write_export
from viewer.viewed_run import QUESTIONS, make_viewed

BASE = "http://127.0.0.1:7878"


def client(run: Path) -> TestClient:
    return TestClient(make_app([run]), base_url=BASE, headers={"origin": BASE})


def shown(page: str) -> str:
    found = re.search(r'name="item" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def vote_for(votes: Votes, model: str, name: str) -> None:
    item = votes.items()[name]
    assert votes.vote(name, "left" if item.left_model == model else "right")


def test_the_page_does_not_name_the_models(tmp_path: Path) -> None:
    page = client(make_viewed(tmp_path / "a")).get("/r/a/vote").text
    body = page[page.index("<main>") :]
    assert not re.search(r"\bM[12]\b", body)


def test_sides_are_drawn_by_the_seed(tmp_path: Path) -> None:
    run = make_viewed(tmp_path / "a")
    first, again = (Votes(RunView(run, "a")).items() for _ in range(2))
    assert [(i.id, i.left_model) for i in first.values()] == [(i.id, i.left_model) for i in again.values()]
    many = set()
    for seed in range(8):
        said = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps({**said, "seed": seed}))
        many.add(tuple(item.left_model for item in Votes(RunView(run, "a")).items().values()))
    assert len(many) > 1


def test_a_vote_is_on_the_disk_at_once_and_can_be_undone(tmp_path: Path) -> None:
    run = make_viewed(tmp_path / "a")
    pages = client(run)
    item = shown(pages.get("/r/a/vote").text)
    pages.post("/r/a/vote", data={"item": item, "choice": "left"})
    row = json.loads((run / "votes.jsonl").read_text())
    assert (row["id"], row["choice"]) == (item, "left")
    assert shown(pages.get("/r/a/vote").text) != item
    pages.post("/r/a/vote", data={"item": item, "choice": "right"})  # a second vote on it does not count
    assert len((run / "votes.jsonl").read_text().splitlines()) == 1
    pages.post("/r/a/vote", data={"choice": "undo"})
    assert shown(pages.get("/r/a/vote").text) == item
    assert pages.post("/r/a/vote", data={"item": item, "choice": "middle"}).status_code == 400
    assert pages.post("/r/a/vote", data={"item": "nothing", "choice": "left"}).status_code == 200
    assert len((run / "votes.jsonl").read_text().splitlines()) == 2


def test_a_torn_last_vote_is_asked_again(tmp_path: Path) -> None:
    run = make_viewed(tmp_path / "a")
    votes = Votes(RunView(run, "a"))
    first, second, *_ = votes.items()
    assert votes.vote(first, "tie")
    with (run / "votes.jsonl").open("ab") as handle:
        handle.write(b'{"id":"' + second.encode())
    votes = Votes(RunView(run, "a"))
    assert list(votes.given()) == [first]
    assert votes.vote(second, "bad")
    assert list(Votes(RunView(run, "a")).given()) == [first, second]


def test_win_rate_and_the_judges_agreement(tmp_path: Path) -> None:
    votes = Votes(RunView(make_viewed(tmp_path / "a"), "a"))
    names = list(votes.items())
    for name, model in zip(names, ("M2", "M2", "M1"), strict=False):
        vote_for(votes, model, name)
    assert votes.vote(names[3], "tie")
    found = tally(votes)
    duel = found["duels"][0]
    assert (duel["wins"], duel["losses"], duel["tie"]) == (2, 1, 1)
    assert duel["rate"]["value"] == pytest.approx(2 / 3, abs=1e-6)
    assert duel["rate"]["low"] == pytest.approx(0.2077, abs=1e-3)  # Wilson
    assert found["judge"][0]["value"]["value"] == pytest.approx(2 / 3, abs=1e-6)  # the judge gives M2 more everywhere
    assert found["strengths"] == []


def test_bradley_terry_orders_three_models() -> None:
    duels = [
        {"a": a, "b": b, "wins": wins, "losses": 10 - wins, "tie": 0, "bad": 0}
        for a, b, wins in (("M1", "M2", 7), ("M2", "M3", 7), ("M1", "M3", 10))
    ]
    found = strengths(duels)
    assert [name for name, *_ in found] == ["M3", "M2", "M1"]
    assert sum(value for _, value, *_ in found) == pytest.approx(0, abs=1)
    assert all(low < value < high < 1500 for _, value, low, high in found)


def test_three_models_are_all_compared(tmp_path: Path) -> None:
    votes = Votes(RunView(make_viewed(tmp_path / "a", ("M1", "M2", "M3")), "a"))
    assert len(votes.items()) == 3 * len(QUESTIONS)


def test_the_export_is_read_as_ranked_rows(tmp_path: Path) -> None:
    run = make_viewed(tmp_path / "a")
    votes = Votes(RunView(run, "a"))
    names = list(votes.items())
    for name in names[:3]:
        vote_for(votes, "M2", name)
    votes.vote(names[3], "bad")
    target = tmp_path / "export.jsonl"
    assert write_export(votes, target) == (3, 1)
    ranked, account = read_ranked(target)
    assert len(ranked) == 3
    assert account.dropped == {}
    for entry in ranked:
        assert [r["rank"] for r in entry.responses] == [0, 1]
        assert entry.responses[0]["text"].startswith("2 says")
        assert entry.messages[0]["content"] in QUESTIONS
    assert client(run).get("/r/a/votes.jsonl").text == target.read_text()


def test_the_export_goes_into_a_seed_and_eval_agreement(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from judgeloop.cli import app

    run = make_viewed(tmp_path / "a")
    votes = Votes(RunView(run, "a"))
    for name in votes.items():
        vote_for(votes, "M2", name)
    target = tmp_path / "export.jsonl"
    told = CliRunner().invoke(app, ["view", str(run), "--export-votes", str(target)])
    assert told.exit_code == 0, told.output
    assert "4 ranked rows" in told.output
    made = CliRunner().invoke(app, ["seed", "ranked", str(target), "--out", str(tmp_path / "seed")])
    assert made.exit_code == 0, made.output
    rows = [json.loads(line) for line in (tmp_path / "seed/eft.jsonl").read_text().splitlines()]
    assert rows
    scored = tmp_path / "scored.jsonl"
    with scored.open("w") as handle:
        for line in target.read_text().splitlines():
            row = json.loads(line)
            for response in row["responses"]:
                response["score"] = 5 - response["rank"]
            handle.write(json.dumps(row) + "\n")
    asked = CliRunner().invoke(app, ["eval", "agreement", "--in", str(scored), "--scored", "--json"])
    assert asked.exit_code == 0, asked.output


def test_export_without_votes_is_refused(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from judgeloop.cli import app
    from judgeloop.errors import InputError

    run = make_viewed(tmp_path / "a")
    told = CliRunner().invoke(app, ["view", str(run), "--export-votes", str(tmp_path / "x")])
    assert isinstance(told.exception, InputError)
    assert "has no votes" in str(told.exception)
    assert not (tmp_path / "x").exists()


def test_a_folder_of_runs_stands_for_its_runs(tmp_path: Path) -> None:
    from judgeloop.commands.view import _runs_of

    first, second = (make_viewed(tmp_path / "runs" / name) for name in ("a", "b"))
    os.utime(first / "run.json", (1, 1))
    (tmp_path / "runs" / "no run").mkdir()
    assert _runs_of(tmp_path / "runs") == [second, first]
    assert _runs_of(first) == [first]
    assert _runs_of(tmp_path / "runs" / "no run") == [tmp_path / "runs" / "no run"]
