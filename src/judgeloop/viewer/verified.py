"""The answers to IFEval's prompts, and which of the instructions in them a program found followed."""

from __future__ import annotations

from typing import Any

from judgeloop.viewer.rows import parsed, said
from judgeloop.viewer.run_view import RunView

IFEVAL = "IFEval"  # the source of these prompts
_HOW = ("strict", "loose")


def verified_answers(view: RunView, model: str) -> dict[str, dict[str, Any]]:
    """Prompt id → the model's answer with its `prompt` (a text), its `instructions` (`kind`; `strict` and `loose` true,
    false or None; the `reason` if nobody can tell), and whether all are `followed` strictly (None: not known)."""
    answers = view.rows(f"{model}/eval.ifeval.jsonl").by("id")
    found = {}
    for _, line in view.rows(f"{model}/eval.ifeval.checks.jsonl").lines():
        row = parsed(line) or {}
        given = answers(str(row.get("id")))
        named = row.get("instructions")
        instructions = [_instruction(one) for one in named if isinstance(one, dict)] if isinstance(named, list) else []
        if not given or not isinstance(row.get("prompt_id"), str):
            continue
        strict = [one["strict"] for one in instructions]
        followed = all(strict) if strict and None not in strict else None
        found[str(row["prompt_id"])] = {**given[0], "prompt": said(row.get("prompt")), "instructions": instructions,
                                        "followed": followed}  # fmt: skip
    return found


def _instruction(one: dict[str, Any]) -> dict[str, Any]:
    checked = {how: one[how] if isinstance(one.get(how), bool) else None for how in _HOW}
    return {"kind": str(one.get("instruction") or ""), **checked, "reason": str(one.get("reason") or "")}
