"""Why a training has no preference pair, from the account of the step that makes them."""

from __future__ import annotations

from judgeloop.pair_account import in_words, reasons_of, remedies
from judgeloop.run.json_artifacts import read_json
from judgeloop.run.stage import Artifact, Step
from judgeloop.stages.agreed import AGREED
from judgeloop.stages.context import Context


def no_pairs(context: Context) -> str:
    """One line: what became of the prompts, and what to change."""
    made, said = context.given_by("pairs"), "no preference pair to train on"
    if made.stage.name == AGREED.name:
        account = _account(context, made)
        if account.get("made"):
            return (
                f"{said}: on none of the {account['made']} pairs does the implicit reward agree with the judge; set "
                "pairs.implicit: false"
            )
        (given,) = made.given["pairs"]
        assert isinstance(given, Artifact)
        made = context.run.steps[given.step]
    account = _account(context, made)
    reasons = reasons_of(account)
    if reasons:
        said += f": of {account.get('prompts', sum(reasons.values()))} prompts {in_words(reasons)}"
    return f"{said}; {remedies(reasons)}"


def _account(context: Context, step: Step) -> dict[str, object]:
    """The JSON file beside a step's rows; empty if it is gone."""
    path = context.run.folder(step.model) / step.writes[1]
    return read_json(path) if path.exists() else {}
