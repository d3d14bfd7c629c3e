"""New prompts few-shot from the model itself: it is shown a numbered list of prompts and continues it.

Source: Self-Instruct (arXiv 2212.10560, §2.2 and its appendix): six demonstrations from the seed and two of the
model's own, in random order; Self-Rewarding Language Models (arXiv 2401.10020, §3.1.3) makes each iteration's new
prompts this way. Filters and novelty are theirs too.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from judgeloop.config import PromptsSection
from judgeloop.engines.base import Engine, Request, Sampling
from judgeloop.errors import InputError
from judgeloop.instructions.gate import Gate
from judgeloop.instructions.yield_counts import Tally
from judgeloop.models.chat import Chat
from judgeloop.records import Prompt, derive_seed
from judgeloop.text.tokens import tokens_of

# Requests whose demonstrations are drawn from the same state of the pool. The prompts kept depend on it, on the
# seed and on nothing else: neither on the order in which generations finish nor on where an attempt was killed.
BATCH = 16
REQUESTS_PER_PROMPT = 20
LONGEST_DEMONSTRATION = 60
NEW_ITEMS = 8
_SOURCE = "few_shot"
_ITEM = re.compile(r"(?m)^[ \t]*(?:\**\d{1,3}[.)]\**(?:[ \t]+|$))+")
_ORDER = "Write a list of {count} different requests that people send to an assistant."


def build_demonstration_prompt(
    seed_prompts: Sequence[str], own_prompts: Sequence[str], config: PromptsSection, rng: random.Random
) -> str:
    """A numbered list of demonstrations that ends with the next number, to be continued.

    `config.own_demonstrations` come from `own_prompts` (as many as there are), the others from the seed, up to
    `config.seed_demonstrations` + `config.own_demonstrations` in all, shuffled; each on one line.
    """
    own = rng.sample(list(own_prompts), min(config.own_demonstrations, len(own_prompts)))
    wanted = config.seed_demonstrations + config.own_demonstrations - len(own)
    shown = own + rng.sample(list(seed_prompts), min(wanted, len(seed_prompts)))
    rng.shuffle(shown)
    lines = [f"{number}. {' '.join(text.split())}" for number, text in enumerate(shown, 1)]
    return "\n".join([*lines, f"{len(lines) + 1}."])


def parse_completion(text: str, finished: bool) -> list[str]:
    """The items of a continued list. The text begins inside the first of them.

    An item is the line that stands behind its number. A completion cut off by length (`finished` False) loses its
    last item and keeps the others.
    """
    bounds = [(0, 0), *((match.start(), match.end()) for match in _ITEM.finditer(text)), (len(text), len(text))]
    pieces = [text[bounds[i][1] : bounds[i + 1][0]] for i in range(len(bounds) - 1)]
    if not finished:
        pieces = pieces[:-1]
    items = []
    for piece in pieces:
        line = next((line for line in piece.splitlines() if line.strip()), "").strip()
        bold = re.fullmatch(r"\*\*(.+)\*\*", line)
        line = bold.group(1).strip() if bold else line
        if line:
            items.append(line)
    return items


@dataclass
class _Growth:
    """The state of the search, the same after any resume: what was kept, and what became of every item."""

    gate: Gate
    tally: Tally
    kept: list[Prompt] = field(default_factory=list)
    owed: set[str] = field(default_factory=set)  # ids of rows of a batch that was broken off: they come again
    requests: int = 0
    items: int = 0
    tokens: int = 0

    def account(self, config: PromptsSection, max_requests: int, seed_left_out: int) -> dict[str, Any]:
        stopped = None
        if len(self.kept) >= config.count:
            stopped = "count reached"
        elif self.requests >= max_requests:
            stopped = "max_requests reached"
        return {
            "source": _SOURCE,
            "asked": config.count,
            "requests": self.requests,
            "max_requests": max_requests,
            "got": self.items,
            "tokens": self.tokens,
            **self.tally.as_account(),
            "seed_prompts_too_long_to_show": seed_left_out,
            "stopped": stopped,
        }


def grow_prompts(
    engine: Engine,
    chat: Chat,
    seed_prompts: Sequence[str],
    config: PromptsSection,
    seed: int,
    existing: Sequence[Prompt],
    on_prompt: Callable[[list[Prompt], dict[str, Any]], None],
    *,
    gate: Gate,
    account: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Ask the model for prompts until `config.count` are kept or `config.max_requests` are spent.

    A prompt is kept where `gate` admits it: a fresh one, that knows the seed, the earlier iterations and what is
    evaluated on. After each batch of requests `on_prompt` gets the rows newly kept and the account so far.

    Resuming: give the rows kept by the killed attempt as `existing` and the last account that was stored, if any
    (without it the counts begin anew). Requests are numbered, and a row's source names its request ("few_shot:17");
    a batch that was broken off is asked again, gives the same rows, and only those missing are handed out.

    Returns the account: asked (prompts), got (list items), kept, requests, max_requests, tokens, dropped (by reason),
    samples (of kept and dropped), stopped ("count reached" or "max_requests reached"). Fewer prompts than asked for
    is no error; none at all is an InputError.
    """
    shown = [text for text in seed_prompts if len(tokens_of(text)) <= LONGEST_DEMONSTRATION]
    left_out = len(seed_prompts) - len(shown)
    if not shown:
        raise InputError(
            f"prompts: no seed prompt is short enough to demonstrate ({LONGEST_DEMONSTRATION} words at most); "
            "bring shorter ones, or set prompts.source: file"
        )
    max_requests = config.max_requests or REQUESTS_PER_PROMPT * config.count
    state = _Growth(gate, Tally(None))
    _restore(state, existing, account)

    result = state.account(config, max_requests, left_out)
    while result["stopped"] is None:
        numbers = range(state.requests, min(state.requests + BATCH, max_requests))
        own = [prompt.messages[0]["content"] for prompt in state.kept if prompt.id not in state.owed]
        requests = [_request(chat, shown, own, config, seed, number) for number in numbers]
        generations = {generation.request_id: generation for generation in engine.generate(requests)}
        new = []
        for number, request in zip(numbers, requests, strict=True):
            generation = generations[request.id]
            state.requests += 1
            state.tokens += len(generation.token_ids)
            items = parse_completion(generation.text, generation.finish_reason == "stop")
            state.items += len(items)
            new += _keep(state, items, config, number)
        result = state.account(config, max_requests, left_out)
        on_prompt(new, result)
    if not state.kept:
        reasons = (
            ", ".join(f"{count} {reason}" for reason, count in result["dropped"].items()) or "none was a list item"
        )
        raise InputError(
            f"prompts: no prompt was kept of {state.items} from {state.requests} requests ({reasons}); "
            "raise prompts.max_requests or prompts.max_rouge_l, or set prompts.source: file"
        )
    return result


def _restore(state: _Growth, existing: Sequence[Prompt], account: dict[str, Any] | None) -> None:
    """Take over the rows of a killed attempt and go on with the batch that was not whole.

    The account is stored after the rows of its batch, so one that covers the last row says that its batch is whole.
    """
    last = max((_request_number(prompt) for prompt in existing), default=-1)
    state.requests = max(last, 0) // BATCH * BATCH
    counted = account is not None and account["requests"] >= state.requests
    if account is not None and counted:
        state.items, state.tokens, state.tally = account["got"], account["tokens"], Tally(account)
        if account["requests"] > last:
            state.requests = account["requests"]
    for prompt in existing:
        state.kept.append(prompt)
        state.gate.add(prompt.messages[0]["content"])
        if _request_number(prompt) >= state.requests:
            state.owed.add(prompt.id)
        elif not counted:
            state.tally.keep(prompt.messages[0]["content"])


def _request_number(prompt: Prompt) -> int:
    kind, _, number = prompt.source.partition(":")
    if kind != _SOURCE or not number.isdigit():
        raise InputError(
            f"prompts: the row {prompt.id} is not from few_shot (source '{prompt.source}'); redo the prompts"
        )
    return int(number)


def _request(
    chat: Chat, shown: Sequence[str], own: Sequence[str], config: PromptsSection, seed: int, number: int
) -> Request:
    """Request `number`: the model is asked for a list and finds its own answer begun with the demonstrations.

    With the embedded 135M model and Open Assistant demonstrations this form keeps about half of the items; the bare
    list without a chat turn a little less, and the list in the user's turn copies demonstrations more often.
    """
    rng = random.Random(derive_seed(seed, "few_shot", "demonstrations", number))
    listed = build_demonstration_prompt(shown, own, config, rng)
    total = listed.count("\n") + NEW_ITEMS
    order = chat.prompt_ids([{"role": "user", "content": _ORDER.format(count=total)}])
    sampling = Sampling(
        config.sampling.max_new_tokens,
        config.sampling.temperature,
        config.sampling.top_p,
        config.sampling.top_k,
        stop_strings=(f"\n{total + 1}.",),
    )
    return Request(
        f"{_SOURCE}-{number}",
        (*order, *chat.text_ids(listed)),
        sampling,
        seed=derive_seed(seed, "few_shot", "sampling", number),
    )


def _keep(state: _Growth, items: Sequence[str], config: PromptsSection, number: int) -> list[Prompt]:
    kept = []
    for item in items:
        prompt = Prompt.of([{"role": "user", "content": item}], f"{_SOURCE}:{number}")
        if prompt.id in state.owed:
            state.owed.discard(prompt.id)
            state.tally.keep(item)
            continue
        reason = state.gate.refusal(item)
        if reason is None and len(state.kept) >= config.count:
            reason = "more than were wanted"
        if reason is not None:
            state.tally.drop(reason, item)
            continue
        state.gate.add(item)
        state.tally.keep(item)
        state.kept.append(prompt)
        kept.append(prompt)
    return kept
