"""Instruction Backtranslation (arXiv 2308.06259): instructions for texts that have none.

A backward model, trained on seed rows turned round (section 2.2), writes instructions for segments of text; a forward
model scores each pair from 1 to 5, and the best become IFT rows (section 2.3). Seed rows and kept rows carry different
system prompts, so that the model can tell an assistant's answers from a page's text. Templates and system prompts are
worded by us.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from judgeloop.config import BacktranslationSection
from judgeloop.instructions.filters import lacks_input
from judgeloop.instructions.gate import Gate
from judgeloop.records import Candidate, Message, SupervisedRow, stable_id
from judgeloop.text.language import language_of
from judgeloop.text.tokens import tokens_of

_BACKWARD = {
    "en": "{text}\n\n---\nThe text above answers a request. Write that request.",
    "zh": "{text}\n\n---\n上面的文字是对一个请求的回答。请写出这个请求。",
}
_SYSTEM = {
    "en": ("Answer the way an AI assistant does.", "Answer with what is written on the web."),
    "zh": ("请像人工智能助手那样回答。", "请用网络上写到的知识回答。"),
}
# A request that says nothing about a text, for comparison with one that does (scoring: likelihood).
SAYS_NOTHING = {"en": "Write something.", "zh": "随便写点什么。"}
_COPIED_RUN = 5  # tokens in a row that are found in the text too count as copied
_KEPT_SHOWN, _DROPPED_SHOWN = 5, 3

# What a sentence begins with that states something, and what makes a text a request all the same.
_STATES = re.compile(
    r"(?:the|this|that|these|those|it|its|there|here|he|she|they|we|our|you|your|i|i'm|my|a|an|yes|no|sure|okay)\b",
    re.IGNORECASE,
)
_REQUESTS = re.compile(
    r"(?:^|[.!;:,]\s+|\n\s*|\b(?:and|then|please|to)\s+)(?:please|explain|describe|write|give|tell|list|create|show|help|"
    r"provide|suggest|compare|summari[sz]e|define|discuss|outline|what|how|why|which|who|when|where|can|could)\b"
    r"|\bi(?:'d| would) like\b|\bi(?:'m| am)? (?:want|need|wonder(?:ing)?)\b|\blooking for\b",
    re.IGNORECASE,
)
_CHINESE_REQUESTS = re.compile(
    "请|請|如何|怎|什么|甚麼|什麼|为什么|哪|谁|誰|几|幾|多少|吗|嗎|呢|是否|能否|可否|有没有|写|寫|列|给|給|说|說|讲|講|解释|描述|"
    "介绍|总结|概括|比较|分析|翻译|推荐|举|帮|告诉|设计|编|回答"
)


def system_prompts(config: BacktranslationSection) -> tuple[str, str]:
    """The system prompts of seed rows and of kept rows."""
    seed, augmented = _SYSTEM[config.language]
    return config.seed_system_prompt or seed, config.augmented_system_prompt or augmented


def backward_messages(text: str, language: Literal["en", "zh"]) -> list[Message]:
    """What the backward model is asked: the text, then the order to write its request."""
    return [{"role": "user", "content": _BACKWARD[language].format(text=text)}]


def reversed_rows(
    rows: Iterable[SupervisedRow], language: Literal["en", "zh"]
) -> tuple[list[SupervisedRow], dict[str, int]]:
    """IFT rows turned round, response → instruction, and how many cannot be: those of more than one turn."""
    turned = []
    dropped: Counter[str] = Counter()
    for row in rows:
        words = [message for message in row.prompt if message["role"] != "system"]
        if len(words) != 1:
            dropped["more than one turn"] += 1
            continue
        prompt = backward_messages(row.completion[0]["content"], language)
        completion: list[Message] = [{"role": "assistant", "content": words[0]["content"]}]
        turned.append(_row(prompt, completion, row.source))
    return turned, dict(dropped)


def with_system(row: SupervisedRow, system_prompt: str) -> SupervisedRow:
    """The row under a system prompt; one that brings its own keeps it."""
    if row.prompt and row.prompt[0]["role"] == "system":
        return row
    prompt: list[Message] = [{"role": "system", "content": system_prompt}, *row.prompt]
    return dataclasses.replace(row, id=stable_id(row.kind, prompt, row.completion), prompt=prompt)


def training_rows(
    seed: Sequence[SupervisedRow], kept: Sequence[SupervisedRow], config: BacktranslationSection
) -> list[SupervisedRow]:
    """M1's IFT rows (`config.train`): the seed as it is, or under its system prompt, and the kept rows."""
    if config.train == "nothing":
        return list(seed)
    if config.train == "make":
        seed = [with_system(row, system_prompts(config)[0]) for row in seed]
    return [*seed, *kept]


def _row(prompt: list[Message], completion: list[Message], source: str) -> SupervisedRow:
    return SupervisedRow(
        stable_id("ift", prompt, completion), "ift", stable_id("p", prompt), prompt, completion, source
    )


# Labels --------------------------------------------------------------------------------------------------------------


def labelled_rows(
    labels: Sequence[Candidate],
    texts: Mapping[str, tuple[str, str]],
    gate: Gate,
    config: BacktranslationSection,
    taken: Iterable[str],
) -> tuple[list[SupervisedRow], dict[str, Any]]:
    """Pairs of instruction and text from what the backward model wrote, without those that cannot be.

    `labels` are its generations (`prompt_id` names the segment), `texts` maps segments to text and source, in order;
    `gate` holds what an instruction must differ from, `taken` are instructions that have another response (the seed's).
    The account counts the dropped by reason, with samples.
    """
    taken_by = {_plain(text): "" for text in taken}
    by_segment: dict[str, list[Candidate]] = {}
    for label in labels:
        by_segment.setdefault(label.prompt_id, []).append(label)
    rows: list[SupervisedRow] = []
    dropped: Counter[str] = Counter()
    samples: dict[str, list[dict[str, str]]] = {}
    for segment, (text, source) in texts.items():
        for label in sorted(by_segment.get(segment, ()), key=lambda label: label.id):
            instruction = label.text.strip()
            reason = "cut off by length" if label.finish_reason == "length" else None
            reason = reason or _fault(instruction, text, gate, config.max_copied)
            if reason is None and (owner := taken_by.setdefault(_plain(instruction), segment)) != segment:
                reason = "has another text already" if owner else "is a seed instruction"
            prompt: list[Message] = [{"role": "user", "content": instruction}]
            row = _row(prompt, [{"role": "assistant", "content": text}], source)
            if reason is None and rows and rows[-1].id == row.id:
                reason = "written twice for one text"
            if reason is None:
                rows.append(row)
                continue
            dropped[reason] += 1
            shown = samples.setdefault(reason, [])
            if len(shown) < _DROPPED_SHOWN:
                shown.append({"source": source, "instruction": instruction[:200]})
    account = {
        "segments": len(texts),
        "written": len(labels),
        "tokens": sum(len(label.token_ids) for label in labels),
        "dropped": dict(sorted(dropped.items())),
        "kept": len(rows),
        "segments_with_one": len({row.completion[0]["content"] for row in rows}),
        "dropped_samples": samples,
    }
    return rows, account


def _fault(instruction: str, text: str, gate: Gate, max_copied: float) -> str | None:
    """Why this is no instruction that the text could answer, or None."""
    if not instruction:
        return "empty"
    if copied_share(instruction, text) > max_copied:
        return "copies the text"
    if not is_request(instruction):
        return "states instead of asking"
    reason = gate.refusal(instruction)
    if reason is not None:
        return reason
    return "speaks of material that is missing" if lacks_input(instruction) else None


def copied_share(instruction: str, text: str) -> float:
    """The share of the instruction's tokens that stand in runs of 5 (of all, where it is shorter) found in the text."""
    asked, said = tokens_of(instruction), tokens_of(text)
    run = min(_COPIED_RUN, len(asked))
    if not run:
        return 0.0
    runs = {tuple(said[i : i + run]) for i in range(len(said) - run + 1)}
    copied: set[int] = set()
    for i in range(len(asked) - run + 1):
        if tuple(asked[i : i + run]) in runs:
            copied.update(range(i, i + run))
    return len(copied) / len(asked)


def is_request(text: str) -> bool:
    """Whether the text asks for something, as far as its language has a rule: English and Chinese have one. What does
    not begin like a statement passes."""
    if "?" in text or "？" in text:
        return True
    language = language_of(text)
    if language == "zh":
        return _CHINESE_REQUESTS.search(text) is not None
    if language == "en":
        return _STATES.match(text) is None or _REQUESTS.search(text) is not None
    return True


def _plain(text: str) -> str:
    return " ".join(tokens_of(text))


# Curation ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kept:
    """A pair that was kept, under the kept rows' system prompt, and its score."""

    row: SupervisedRow
    score: float


def curate(
    rows: Sequence[SupervisedRow], scores: Mapping[str, float | None], config: BacktranslationSection
) -> tuple[list[Kept], dict[str, Any]]:
    """The pairs that are kept, best first: of each text the best one, then by `config.keep` those whose score reaches
    the threshold, or the best share of the texts.

    The account says which rule decided and what it came to, how many pairs had which score, and samples.
    """
    dropped: Counter[str] = Counter()
    samples: dict[str, list[dict[str, Any]]] = {}

    def drop(reason: str, row: SupervisedRow, score: float | None) -> None:
        dropped[reason] += 1
        shown = samples.setdefault(reason, [])
        if len(shown) < _DROPPED_SHOWN:
            shown.append(_sample(row, score))

    scored = [(score, row) for row in rows if (score := scores.get(row.id)) is not None]
    for row in rows:
        if scores.get(row.id) is None:
            drop("no score", row, None)
    scored.sort(key=lambda pair: (-pair[0], pair[1].id))
    best: dict[str, tuple[float, SupervisedRow]] = {}
    for score, row in scored:
        if best.setdefault(row.completion[0]["content"], (score, row))[1] is not row:
            drop("another instruction for the text scored higher", row, score)
    candidates = list(best.values())
    if config.keep == "threshold":
        number = sum(score >= config.threshold for score, _ in candidates)
        rule, below = f"score of at least {config.threshold:g}", "below the threshold"
    else:
        number = round(config.top_share * len(candidates))
        rule, below = f"best {config.top_share:.0%} of the texts", "not among the best"
    for score, row in candidates[number:]:
        drop(below, row, score)
    prompt = system_prompts(config)[1]
    kept = [Kept(with_system(row, prompt), score) for score, row in candidates[:number]]
    values = sorted(score for score, _ in scored)
    account = {
        "rule": rule,
        "pairs": len(rows),
        "scored": len(scored),
        "texts": len(candidates),
        "kept": len(kept),
        "lowest_kept": kept[-1].score if kept else None,
        "histogram": _histogram(values) if config.curation.scoring != "likelihood" else None,
        "quantiles": {name: _quantile(values, share) for name, share in _QUANTILES.items()} if values else {},
        "dropped": dict(sorted(dropped.items())),
        "kept_samples": [_sample(pair.row, pair.score) for pair in kept[:_KEPT_SHOWN]],
        "dropped_samples": samples,
    }
    return kept, account


_QUANTILES = {"least": 0.0, "10%": 0.1, "50%": 0.5, "90%": 0.9, "most": 1.0}


def _histogram(values: Sequence[float]) -> dict[str, int]:
    """Pairs by score, rounded to whole ones."""
    return {str(level): sum(round(value) == level for value in values) for level in range(1, 6)}


def _quantile(ordered: Sequence[float], share: float) -> float:
    return round(ordered[round(share * (len(ordered) - 1))], 4)


def _sample(row: SupervisedRow, score: float | None) -> dict[str, Any]:
    return {
        "source": row.source,
        "instruction": row.prompt[-1]["content"],
        "text": row.completion[0]["content"][:300],
        "score": score,
    }
