"""How much an instruction tells about a text: a score for pairs that needs no judge, for models too small to be one.

Li et al. (arXiv 2308.12032, section 2.2) compare a response's perplexity with and without its instruction in the same
way; there the ratio says how hard the instruction is to follow, here the gain says whether it belongs to the text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from judgeloop.engines.base import Engine, OptionRequest
from judgeloop.judging.pointwise import ToJudge, judgement_id
from judgeloop.models.chat import Chat
from judgeloop.models.check_rows import check_rows
from judgeloop.records import Judgement

_TOGETHER = 32  # responses of one call: what is lost at most when the process is killed


def gains(engine: Engine, chat: Chat, items: Sequence[ToJudge], without: str) -> Iterator[Judgement]:
    """Yield one judgement of every item: log p(response | prompt) − log p(response | `without`), in nats a token of the
    response, its end token included. `without` is a request that says nothing about the response."""
    prompts = check_rows(chat, [(item.id, item.prompt, item.response) for item in items])
    for name, reason in prompts.left_out.items():
        yield Judgement(judgement_id(name, 0), name, 0, "", None, reason)
    by_response: dict[str, list[ToJudge]] = {}
    for item in items:
        if item.id in prompts.usable:
            by_response.setdefault(item.response, []).append(item)
    responses = list(by_response)
    bare = tuple(chat.prompt_ids([{"role": "user", "content": without}]))
    for start in range(0, len(responses), _TOGETHER):
        some = responses[start : start + _TOGETHER]
        ids = [tuple(chat.response_ids(response)) for response in some]
        requests = [OptionRequest(f"bare-{number}", bare, (ids[number],)) for number in range(len(some))]
        for number, response in enumerate(some):
            requests += [
                OptionRequest(item.id, prompts.usable[item.id], (ids[number],)) for item in by_response[response]
            ]
        found = {result.request_id: result.logprobs[0] for result in engine.option_logprobs(requests)}
        for number, response in enumerate(some):
            for item in by_response[response]:
                gain = (found[item.id] - found[f"bare-{number}"]) / len(ids[number])
                yield Judgement(judgement_id(item.id, 0), item.id, 0, "", round(gain, 6), None)
