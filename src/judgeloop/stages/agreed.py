"""Pairs on which two judges inside the model agree: the one that scores, and the one that its training left in its
probabilities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from judgeloop.engines.base import OptionRequest
from judgeloop.jsonl import append_missing, each_row, write_rows_atomically
from judgeloop.models.chat import Chat
from judgeloop.records import Candidate, Message, PreferencePair
from judgeloop.run.json_artifacts import write_json
from judgeloop.run.stage import Stage
from judgeloop.stages import costs
from judgeloop.stages.context import Context, Outcome
from judgeloop.stages.keys import ENGINE
from judgeloop.stages.models import Model

_TOGETHER = 32  # responses of one call: what is lost at most when the process is killed
Asked = tuple[str, list[Message], Candidate]


@dataclass(frozen=True, slots=True)
class Likelihood:
    """log π(response | prompt) of a model, in nats, its end token included; `id` names the role and the response."""

    id: str
    logprob: float


def agreed(context: Context) -> Outcome:
    """Keep the pairs whose chosen response has the higher implicit reward too: β log π(y|x)/π_before(y|x), π the model
    whose pairs they are and π_before the one it was trained from (of which DPO's loss is made). β > 0 does not change
    which is higher. (After Self-Consistent Internal Rewards, arXiv 2502.08922, which trains on such pairs alone.)"""
    pairs = context.rows("pairs", PreferencePair)
    responses = {row.id: row for name in ("candidates", "anchors") for row in context.each_row(name, Candidate)}
    asked: list[Asked] = [
        (name, pair.prompt, responses[name]) for pair in pairs for name in (pair.chosen_id, pair.rejected_id)
    ]
    own = {row.id for row in context.each_row("candidates", Candidate)}
    for role in ("policy", "before"):
        _ask(context, role, context.model(role), asked, own)
    found = {row.id: row.logprob for row in each_row(context.output("likelihoods"), Likelihood)}

    def reward(name: str) -> float:
        return found[f"policy:{name}"] - found[f"before:{name}"]

    margins = {pair.id: reward(pair.chosen_id) - reward(pair.rejected_id) for pair in pairs}
    kept = [pair for pair in pairs if margins[pair.id] > 0]
    outcome = Counter("agree" if margin > 0 else "disagree" if margin < 0 else "equal" for margin in margins.values())
    write_rows_atomically(context.output(), kept)
    account = {"made": len(pairs), "pairs": len(kept), "disagree": outcome["disagree"], "equal": outcome["equal"]}
    write_json(context.output("agreed.json"), account)
    said = f"pairs.implicit: {len(kept)} of {len(pairs)} pairs kept, on which the implicit reward agrees with the judge"
    return Outcome({"rows": len(kept), "yields": [said]})


def _ask(context: Context, role: str, model: Model, asked: Sequence[Asked], own: set[str]) -> None:
    """Append how likely the model finds each response after its prompt."""

    def likelihoods(owed: Sequence[Asked]) -> Iterator[Likelihood]:
        chat = model.chat()
        engine = model.open(chat)
        try:
            for start in range(0, len(owed), _TOGETHER):
                requests = [
                    OptionRequest(f"{role}:{name}", tuple(chat.prompt_ids(prompt)), (_ids(chat, row, name in own),))
                    for name, prompt, row in owed[start : start + _TOGETHER]
                ]
                for result in engine.option_logprobs(requests):
                    yield Likelihood(result.request_id, round(result.logprobs[0], 6))
        finally:
            engine.close()

    append_missing(
        context.output("likelihoods"), Likelihood, asked, lambda one: (f"{role}:{one[0]}",), likelihoods,
        lambda done, total: context.progress(done, total, role),
    )  # fmt: skip


def _ids(chat: Chat, row: Candidate, own: bool) -> tuple[int, ...]:
    """The ids that a candidate was generated with. An anchor may have another vocabulary, so its text is tokenised."""
    return tuple(row.token_ids if own else chat.response_ids(row.text, finished=row.finish_reason == "stop"))


AGREED = Stage(
    "agreed",
    "pairs that the implicit reward agrees with",
    run=agreed,
    cost=costs.agreed,
    reads=("policy", "before", "pairs", "candidates"),
    may_read=("anchors",),
    writes=("agreed.jsonl", "agreed.json", "likelihoods.jsonl"),
    keys=ENGINE,
)
