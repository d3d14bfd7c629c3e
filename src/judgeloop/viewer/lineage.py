"""Where a pair comes from and where it went: back to the rows that its prompt's author was shown, and to the file and
line of each; forward to the training steps that used it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from judgeloop.records import request_of
from judgeloop.viewer.rows import said
from judgeloop.viewer.run_view import RunView

SHIPPED = "shipped:"
_FIGURES = ("loss", "reward_accuracy", "reward_margin")


def lineage(view: RunView, model: str, pair_id: str) -> dict[str, Any] | None:
    """A pair, from where its prompt came from to the training steps that used it; None if there is no such pair."""
    found = view.rows(f"{model}/pairs.jsonl").by("id")(pair_id)
    if not found:
        return None
    pair, files = found[0], view.files()
    prompts = view.rows(f"{model}/prompts.jsonl").by("id")(str(pair.get("prompt_id")))
    prompt = prompts[0] if prompts else None
    sides = {}
    for side in ("chosen", "rejected"):
        name = str(pair.get(f"{side}_id"))
        held = view.rows(f"{model}/candidates.jsonl").by("id")(name)
        held = held or view.rows(f"{model}/anchors.jsonl").by("id")(name)
        sides[side] = {
            "row": held[0] if held else None,
            "score": pair.get(f"{side}_score"),
            "judgements": view.rows(f"{model}/judgements.jsonl").by("candidate_id")(name),
        }
    done = {stage: files.json(f"{model}/.{stage}.done.json", whole=False) or {} for stage in
            ("prompts", "candidates", "judge", "pairs", "train")}  # fmt: skip
    judge = files.json(f"{model}/judge.json", whole=False) or {}
    name = str(judge.get("judge") or "")
    identity: dict[str, Any] = {}
    if name in files.models():
        identity = files.json(f"{name}/train.json", whole=False) or files.json(f"{name}/model.json", whole=False) or {}
    train = files.json(f"{model}/train.json", whole=False) or {}
    return {"pair": pair, "prompt": prompt, "sides": sides, "train": train, "done": done, "judge": name,
            "judge_hash": identity.get("hash"), "agreed": _agreed(view, model, pair_id),
            "demonstrations": demonstrations(view, model, prompt or {}),
            "input_demonstrations": input_demonstrations(view, model, prompt or {}),
            "steps": _steps(view, model, pair_id, train)}  # fmt: skip


def _agreed(view: RunView, model: str, pair_id: str) -> bool | None:
    """Whether the pair was kept by the agreement of two rewards; None if the run does not ask for it."""
    if not (view.path / model / "agreed.jsonl").is_file():
        return None
    return bool(view.rows(f"{model}/agreed.jsonl").by("id")(pair_id))


def demonstrations(view: RunView, model: str, prompt: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """What the model was shown when it wrote the prompt: `source` and `text` of each, the `kind` ("seed", "own" or
    "shipped"), the `prompt_id` of one of its own, and the seed row's `answer`. None if a model wrote the prompt and the
    run does not say (a version before wrote no demonstrations.jsonl); empty if no model did."""
    source = str(prompt.get("source") or "")
    request = request_of(source)
    shown = _shown(view, model, request) if request else None
    if shown is None:
        method = view.files().section("prompts").get("source")
        return None if method and source.startswith(f"{method}:") else []
    return shown


def input_demonstrations(view: RunView, model: str, prompt: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the model was shown when it made up the input of the prompt, as `demonstrations` has them; empty if it made
    up none, or if the run does not say."""
    source = str(prompt.get("source") or "")
    return (_shown(view, model, source) or []) if source != request_of(source) else []


def _shown(view: RunView, model: str, name: str) -> list[dict[str, Any]] | None:
    """What demonstrations.jsonl says of this request or task; None if nothing."""
    rows = view.rows(f"{model}/demonstrations.jsonl").by("id")(name)
    if not rows:
        return None
    shown = rows[0].get("shown")
    return [
        _demonstration(view, model, {"source": str(one.get("source") or ""), "text": str(one.get("text") or "")})
        for one in (shown if isinstance(shown, list) else [])
        if isinstance(one, dict)
    ]


def _demonstration(view: RunView, model: str, one: dict[str, Any]) -> dict[str, Any]:
    if one["source"].startswith(SHIPPED):
        return {**one, "kind": "shipped"}
    own = view.rows(f"{model}/prompts.jsonl").by("source")(one["source"])
    if own:  # of a request that gave several prompts the one with this text
        same = [row for row in own if said(row.get("messages")) == one["text"]] or own
        return {**one, "kind": "own", "prompt_id": str(same[0].get("id")) if len(same) == 1 else None}
    seed = view.rows("M1/ift.jsonl").by("source")(one["source"])
    return {**one, "kind": "seed", "answer": said(seed[0].get("completion")) if len(seed) == 1 else None}


def _steps(view: RunView, model: str, pair_id: str, train: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The training steps that the pair was part of, each with its figures and whether it is `in` the weights that were
    kept; empty if the training left it out, None if the run does not say."""
    if not train or not (view.path / model / "train.steps.jsonl").is_file():
        return None
    rows = view.rows(f"{model}/train.steps.jsonl").by("id")(pair_id)
    named = rows[0].get("steps") if rows else []
    steps = [step for step in named if isinstance(step, int)] if isinstance(named, list) else []
    figures = {
        row["step"]: row
        for row in view.files().rows("metrics.jsonl")
        if row.get("model") == model and row.get("stage") == "train" and isinstance(row.get("step"), (int, float))
    }
    kept = train.get("kept_step")
    return [
        {
            "step": step,
            "kept": not isinstance(kept, int) or step <= kept,
            **{name: figures.get(step, {}).get(name) for name in _FIGURES},
        }
        for step in steps
    ]
