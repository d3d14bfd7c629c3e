"""Blind votes: two models' answers to a prompt, sides by chance, names hidden. Each vote is a row of RUN/votes.jsonl.

The file is the user's own: no step reads it, no fingerprint covers it, and a vote that is taken back stays in it,
with a row that says so.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, get_args

from judgeloop.jsonl import RowLog
from judgeloop.records import derive_seed, stable_id
from judgeloop.viewer.rows import parsed
from judgeloop.viewer.run_view import RunView

FILE = "votes.jsonl"
Choice = Literal["left", "right", "tie", "bad"]
CHOICES: tuple[str, ...] = get_args(Choice)


@dataclass(frozen=True, slots=True)
class Item:
    """A comparison to vote on. `id` says nothing of the models; `left` and `right` are answers, the models' names with
    them."""

    id: str
    prompt_id: str
    prompt: str
    left_model: str
    right_model: str
    left: Mapping[str, Any]
    right: Mapping[str, Any]


class Votes:
    """The votes of one run."""

    def __init__(self, view: RunView) -> None:
        self.view, self.path = view, view.path / FILE
        self._lock = threading.Lock()
        self._items: tuple[object, dict[str, Item], int] | None = None

    def items(self) -> dict[str, Item]:
        """All comparisons by id, in the order in which they are shown; the run's seed draws order and sides. Prompts
        that two models answer alike are left out and counted (`alike`)."""
        models = self.view.evaluated()
        state = tuple((name, self.view.rows(f"{name}/eval.responses.jsonl").size) for name in models)
        if self._items is None or self._items[0] != state:
            self._items = (state, *self._draw(models))
        return self._items[1]

    @property
    def alike(self) -> int:
        self.items()
        return self._items[2] if self._items else 0

    def _draw(self, models: Sequence[str]) -> tuple[dict[str, Item], int]:
        seed = self.view.files().run.get("seed", 0)
        prompts = self.view.evaluation_prompts()
        answers = {name: self.view.responses(name) for name in models}
        drawn: list[tuple[int, Item]] = []
        alike = 0
        for a, b in combinations(models, 2):
            for prompt_id in answers[a].keys() & answers[b].keys():
                one, other = answers[a][prompt_id][0], answers[b][prompt_id][0]
                if str(one.get("text")).strip() == str(other.get("text")).strip():
                    alike += 1
                    continue
                sides = [(a, one), (b, other)]
                if derive_seed(seed, "vote side", a, b, prompt_id) % 2:
                    sides.reverse()
                (left_model, left), (right_model, right) = sides
                text = prompts.get(prompt_id, {}).get("text") or prompt_id
                name = stable_id("vote", seed, a, b, prompt_id)
                item = Item(name, prompt_id, text, left_model, right_model, left, right)
                drawn.append((derive_seed(seed, "vote order", a, b, prompt_id), item))
        return {item.id: item for _, item in sorted(drawn, key=lambda each: (each[0], each[1].id))}, alike

    def given(self) -> dict[str, dict[str, Any]]:
        """Comparison → its vote; those taken back are not among them."""
        found: dict[str, dict[str, Any]] = {}
        for _, line in self.view.rows(FILE).lines():
            row = parsed(line) or {}
            if row.get("undone"):
                found.pop(str(row.get("id")), None)
            elif row.get("choice") in CHOICES and isinstance(row.get("models"), list) and len(row["models"]) == 2:
                found[str(row.get("id"))] = row
        return found

    def next(self) -> Item | None:
        given = self.given()
        return next((item for name, item in self.items().items() if name not in given), None)

    def vote(self, name: str, choice: Choice) -> bool:
        """Append a vote at once; False if there is no such comparison or it has a vote already."""
        with self._lock:
            item = self.items().get(name)
            if item is None or name in self.given():
                return False
            self._append({
                "id": name, "prompt_id": item.prompt_id, "choice": choice,
                "models": [item.left_model, item.right_model],
                "responses": [item.left.get("id"), item.right.get("id")],
                "prompt": self._messages(item), "texts": [item.left.get("text"), item.right.get("text")],
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
            })  # fmt: skip
            return True

    def undo(self) -> str | None:
        """Take the last vote back; its comparison, None if there is none."""
        with self._lock:
            given = self.given()
            if not given:
                return None
            name = list(given)[-1]
            self._append({"id": name, "undone": True, "time": datetime.now(UTC).isoformat(timespec="seconds")})
            return name

    def _append(self, row: Mapping[str, Any]) -> None:
        with RowLog(self.path) as log:
            log.append([row])

    def _messages(self, item: Item) -> Any:
        """The prompt's messages, if the run has them, else its text as one turn."""
        row = self.view.evaluation_prompts().get(item.prompt_id, {}).get("row") or {}
        messages = row.get("messages")
        return messages if isinstance(messages, list) else [{"role": "user", "content": item.prompt}]


def winner(vote: Mapping[str, Any]) -> int | None:
    """0: left, 1: right; None for a tie or two bad answers."""
    return {"left": 0, "right": 1}.get(str(vote["choice"]))


def tally(votes: Votes) -> dict[str, Any]:
    """Win rates of each pair of models with Wilson's interval (ties left out and counted), strengths of more than two
    models, and how often the judge prefers what the user prefers."""
    from judgeloop.evaluation.statistics import as_dict, proportion_interval

    given = list(votes.given().values())
    duels: dict[tuple[str, str], dict[str, Any]] = {}
    for vote in given:
        a, b = sorted(vote["models"], key=_order)
        duel = duels.setdefault((a, b), {"a": a, "b": b, "wins": 0, "losses": 0, "tie": 0, "bad": 0})
        side = winner(vote)
        if side is None:
            duel[str(vote["choice"])] += 1
        else:
            duel["wins" if vote["models"][side] == b else "losses"] += 1
    for duel in duels.values():
        duel["rate"] = as_dict(proportion_interval(duel["wins"], duel["wins"] + duel["losses"]))
    return {"votes": len(given), "duels": sorted(duels.values(), key=lambda d: (_order(d["a"]), _order(d["b"]))),
            "strengths": strengths(list(duels.values())), "judge": _judge_agreement(votes, given)}  # fmt: skip


def _order(name: str) -> tuple[int, str]:
    return (int(name[1:]) if name[1:].isdigit() else 0, name)


def strengths(duels: Sequence[Mapping[str, Any]]) -> list[tuple[str, float, float, float]]:
    """(model, strength, low, high) by the Bradley–Terry model (1952), in Elo points about 0, the strongest first; a tie
    counts half for each side. Empty for fewer than three models. A normal prior with a standard deviation of 400 points
    keeps a model that has won all finite; intervals (95%) are those of the curvature at the maximum."""
    import numpy as np
    from scipy import optimize

    names = sorted({duel[key] for duel in duels for key in ("a", "b")}, key=_order)
    if len(names) < 3:
        return []
    place = {name: number for number, name in enumerate(names)}
    wins = np.zeros((len(names), len(names)))
    for duel in duels:
        a, b, half = place[duel["a"]], place[duel["b"]], (duel["tie"] + duel["bad"]) / 2
        wins[b, a] += duel["wins"] + half
        wins[a, b] += duel["losses"] + half
    scale = 400 / np.log(10)
    spread = 400 / scale

    def loss(theta: Any) -> float:
        apart = theta[:, None] - theta[None, :]
        return float((wins * np.logaddexp(0, -apart)).sum() + (theta**2).sum() / (2 * spread**2))

    theta = optimize.minimize(loss, np.zeros(len(names)), method="BFGS").x
    chance = 1 / (1 + np.exp(-(theta[:, None] - theta[None, :])))
    weight = (wins + wins.T) * chance * (1 - chance)
    curvature = np.diag(weight.sum(axis=1) + 1 / spread**2) - weight
    error = 1.959964 * np.sqrt(np.diag(np.linalg.inv(curvature)))
    found = [
        (name, float(scale * t), float(scale * (t - e)), float(scale * (t + e)))
        for name, t, e in zip(names, theta, error, strict=True)
    ]
    return sorted(found, key=lambda each: -each[1])


def _judge_agreement(votes: Votes, given: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How often the judge scores the answer higher that the user preferred; an equal score counts half."""
    from judgeloop.evaluation.statistics import as_dict, mean_interval

    seed = votes.view.files().run.get("seed", 0)
    found = []
    pairs = sorted({tuple(sorted(vote["models"], key=_order)) for vote in given}, key=lambda p: [_order(n) for n in p])
    for a, b in pairs:
        scored = votes.view.scores_by_one_judge(a, b)
        points = []
        for vote in given if scored is not None else ():
            side = winner(vote)
            both = [scored[1].get(str(name)) for name in vote["responses"]] if scored is not None else []
            if side is None or set(vote["models"]) != {a, b}:
                continue
            liked, other = both[side], both[1 - side]
            if liked is not None and other is not None:
                points.append(0.5 if liked == other else float(liked > other))
        if scored is not None:
            value = as_dict(mean_interval(points, seed=seed, bounds=(0.0, 1.0)))
            found.append({"a": a, "b": b, "judge": scored[0], "value": value})
    return found


def exported(votes: Votes) -> tuple[list[dict[str, Any]], int]:
    """The votes as ranked rows, as the seed and `eval agreement` read them, and how many were left out because neither
    answer was preferred. They hold no score of the judge's: the ranks are the user's."""
    rows, left_out = [], 0
    for vote in votes.given().values():
        side = winner(vote)
        if side is None:
            left_out += 1
            continue
        rows.append({
            "id": vote["id"], "messages": vote["prompt"],
            "responses": [{"text": vote["texts"][side], "rank": 0}, {"text": vote["texts"][1 - side], "rank": 1}],
        })  # fmt: skip
    return rows, left_out


def write_export(votes: Votes, target: Path) -> tuple[int, int]:
    """Write the export to a file; rows written and votes left out."""
    from judgeloop.jsonl import write_text_atomically

    rows, left_out = exported(votes)
    write_text_atomically(target, as_lines(rows))
    return len(rows), left_out


def as_lines(rows: Sequence[Mapping[str, Any]]) -> str:
    from judgeloop.jsonl import to_line

    return "".join(to_line(row) for row in rows)
