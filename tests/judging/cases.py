"""What judges write, with what is right: the cases in shared/cases, and variations of each kind made by code."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def shared_cases(name: str) -> list[dict[str, Any]]:
    """The rows of shared/cases/NAME, found beside the checkout or above it; none if they are not there."""
    for folder in Path(__file__).resolve().parents:
        for place in (folder / "shared", folder.parent / "shared"):
            path = place / "cases" / name
            if path.is_file():
                return _rows_of(path)
    return []


def rows(name: str) -> list[dict[str, Any]]:
    """The rows of a file beside this one: outputs, and what a careful reader takes from them."""
    return _rows_of(Path(__file__).with_name(name))


def _rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


@dataclass(frozen=True, slots=True)
class Said:
    """What a judge wrote on a scale from 0 to `high`, and the score that a reader sees."""

    kind: str
    text: str
    high: int
    score: float | None


LABELS = (
    "Score",
    "score",
    "SCORE",
    "Final Score",
    "Overall score",
    "Total score",
    "Rating",
    "My score",
    "得分",
    "综合得分",
    "总分",
    "评分",
    "总体评分",
    "最终得分",
    "【得分】",
)
BETWEEN = (": ", ":", " : ", "：", "： ", ":\n", ":\n\n", " = ")
AROUND = ("{}", "**{}**", "### {}", "- {}", "> {}", "*{}*", "`{}`", "({})", "“{}”", "1. {}", "✅ {}")
NUMBERS = (
    "{n}",
    "{n}.0",
    "{n}/{h}",
    "{n} / {h}",
    "{n}.0/{h}.0",
    "{n} out of {h}",
    "**{n}**",
    "[[{n}]]",
    "\\boxed{{{n}}}",
    "${n}$",
    "{n} points",
    "{n}分",
    "{n} (good)",
    "{n}/{h} ⭐",
    "<{n}>",
    '"{n}"',
    "{n}（满分{h}分）",
)
SCALES = (" (0-{h})", "(1-{h})", " (out of {h})", "（满分{h}分）", " [0–{h}]", " (/{h})")
STRUCTURES = (
    '{{"score": {n}}}',
    '{{"score": "{n}"}}',
    '{{"score": "{n}/{h}"}}',
    '{{"reasoning": "Score: 1 is low.", "score": {n}}}',
    '{{"rating": {n}, "why": "x"}}',
    '{{"result": {{"overall_score": {n}}}}}',
    '```json\n{{\n  "score": {n}\n}}\n```',
    'Here it is: {{"score": {n}}} as asked.',
    "{{'score': {n}, 'why': 'x'}}",
    '{{"评分": {n}}}',
    '{{"得分": "{n}分"}}',
    '{{"relevance": {{"score": 1}}, "total_score": {n}}}',
    '{{"score": {n}, "max_score": {h}}}',
    "<score>{n}</score>",
    "<score>\n{n}\n</score>",
    "<Score>{n}/{h}</Score>",
    "<final_score>{n}</final_score>",
    "<rating>{n}</rating>",
    "<reasoning>Score: 1</reasoning><score>{n}</score>",
    "<得分>{n}</得分>",
    "\\boxed{{{n}}}",
    "$\\boxed{{{n}/{h}}}$",
    "\\boxed{{Score: {n}}}",
    "| Criterion | Score |\n|---|---|\n| Clarity | 1 |\n| **Total** | **{n}** |",
    "| Criterion | Max | Score |\n|---|---|---|\n| Clarity | 1 | 0 |\n| Total | {h} | {n} |",
    "| Score |\n|---|\n| {n} |",
    "| 项目 | 得分 |\n|---|---|\n| 相关 | 1 |\n| 总分 | {n} |",
    "I rate it [[{n}]].",
    "{n}/{h}",
    "**{n}**",
)
REFUSED = (
    "Score: {n}/{o}",
    "Score (out of {o}): {n}",
    '{{"score": {n}, "max_score": {o}}}',
    '{{"score": "{n}/{o}"}}',
    "<score>{n}/{o}</score>",
    "| Total | {n}/{o} |",
    "\\boxed{{{n}/{o}}}",
    "得分：{n}/{o}",
    "得分（满分{o}分）：{n}",
    "Score: {o}",
    '{{"score": {o}}}',
    "<score>{o}</score>",
    "\\boxed{{{o}}}",
    "得分：{o}",
    "Score: 1-{n}",
    "得分：1到{n}",
    "Score: 1 or {n}",
    '{{"score": "1-{n}"}}',
    "<score>1-{n}</score>",
    "Score: -{n}",
    "Score: {n}%",
    "Score: {n}e-1",
    "I give it {n} of {h}.",
    "It deserves a {n}.",
    "我给它{n}分。",
    "Score: N/A",
    '{{"score": null}}',
    '{{"clarity_score": {n}}}',
    "Score: {n}\nScore: 1",
    "| Criterion | Score |\n|---|---|\n| Clarity | {n} |\n| Depth | {n} |",
    '[{{"score": {n}}}, {{"score": {n}}}]',
    "1. Clarity\nScore: {n}\n2. Depth\nScore: {n}",
)
THOUGHTS = (
    "<think>{t}</think>",
    "<think>\n{t}\n</think>\n\n",
    "{t}\n</think>\n\n",
    "<thinking>{t}</thinking>\n",
    "[THINK]{t}[/THINK]",
    "◁think▷{t}◁/think▷",
    "<reasoning>{t}</reasoning>\n",
    "<thought>\n{t}\n</thought>",
    "<|channel|>analysis<|message|>{t}<|end|><|start|>assistant<|channel|>final<|message|>",
)
UNCLOSED = (
    "<think>{t}",
    "<think>\n{t}\n\nSo: ",
    "[THINK]{t}",
    "◁think▷{t}",
    "<|channel|>analysis<|message|>{t}",
    "<reasoning>{t}",
)
RAMBLES = (
    "\n\nA perfect answer, Score: {h}, would give examples.",
    "\nScore: {h} would need examples.",
    "\n\nIt is clear.",
    "\n\nUser: Name a tree.\n\n<response>Oak.</response>\n\nScore: 1",
    "\n\nExample 2\nResponse: Oak.\nScore: 1",
    "\n\n### Instruction:\nName a tree.\n\nFinal score: 1",
    "\n\n问题：说一种树。\n得分：1",
    " ({n}+0)",
    "\n\nThe answer names 3 trees.",
)
CORRECTIONS = (
    "Score: 1\n\nOn reflection it is better.\nFinal score: {n}",
    "Score: 1\nCorrection: Score: {n}",
    "Score: 1\nRevised score: {n}",
    "Score: 1\nWait, I missed a point. Score: {n}",
    "Score: 1\nActually, it covers all.\nScore: {n}",
    "得分：1\n修正后得分：{n}",
    "得分：1分\n等等，漏看了一点。\n得分：{n}分",
    "评分：1\n最终评分：{n}",
    "+1 point: on topic\n+1 point: clear\nTotal: {n}",
    "1. Clarity\nScore: 1\n2. Depth\nScore: 0\nTotal score: {n}",
    "- Clarity: +1\n- Depth: +1\nTotal points: {n}",
)


def score_variations() -> Iterator[Said]:
    """Each kind on two scales, with numbers that no other part of the text has."""
    for n, high, other in ((4, 5, 12), (3, 5, 7), (8, 10, 15)):
        known = {"n": n, "h": high, "o": other}
        for label, between, around in itertools.product(LABELS, BETWEEN, AROUND):
            yield Said("line", around.format(f"{label}{between}{n}"), high, n)
        for label, number in itertools.product(LABELS, NUMBERS):
            yield Said("number", f"It is clear.\n\n{label}: {number.format(**known)}", high, n)
        for label, scale in itertools.product(LABELS, SCALES):
            yield Said("scale", f"{label}{scale.format(**known)}: {n}", high, n)
        for form, before, after in itertools.product(STRUCTURES, ("", "It is clear.\n\n"), ("", "\n")):
            if before and form in ("{n}/{h}", "**{n}**"):
                continue  # a number is an answer if there is nothing else
            yield Said("structure", before + form.format(**known) + after, high, n)
        for form in REFUSED:
            yield Said("refused", form.format(**known), high, None)
        for thought, said in itertools.product(
            THOUGHTS, ("Score: {n}", '{{"score": {n}}}', "得分：{n}", "<score>{n}</score>")
        ):
            yield Said("thought", thought.format(t="It is clear. Score: 1\nOr 2.") + said.format(**known), high, n)
        for thought in (*UNCLOSED, *THOUGHTS):
            yield Said("thought alone", thought.format(t=f"It is clear.\nScore: {n}\nHm."), high, None)
        for ramble, said in itertools.product(
            RAMBLES, ("Score: {n}", "**Score: {n}/{h}**", "<score>{n}</score>", "得分：{n}")
        ):
            yield Said("ramble", said.format(**known) + ramble.format(**known), high, n)
        for form in CORRECTIONS:
            yield Said("correction", form.format(**known), high, n)


SIDES = {"A": "first", "B": "second"}
VERDICTS = (
    "Better: {s}",
    "**Better:** {s}",
    "better：{s}",
    "更好：{s}",
    "更好的是 {s}",
    "更好的回答是{s}",
    "Better:\n{s}",
    "### Better\n\nBetter: **{s}**",
    "The better answer is {s}.",
    "Preferred: Output ({s})",
    "Winner: {s}",
    "Final verdict: [[{s}]]",
    "My final verdict is: [[{s}]]",
    "[[{s}]]",
    "Both are fine, but one is deeper. [[{s}]]",
    "Verdict: [[{s}>{o}]]",
    "Verdict: [[{o}<{s}]]",
    "[[{s}>>{o}]]",
    "Better: {s} > {o}",
    "Better: {o} < {s}",
    "Better: {s}>>{o}",
    '{{"better": "{s}"}}',
    '{{"why": "x", "winner": "{s}"}}',
    '```json\n{{"verdict": "[[{s}]]"}}\n```',
    "<better>{s}</better>",
    "\\boxed{{{s}}}",
    "Better: \\boxed{{{s}}}",
    "{s}",
    "**{s}**",
    "Better: {s} ({s} answers, {o} does not)",
    "Better: {s}, {o} is wrong",
    "<think>Better: {o}</think>Better: {s}",
    "[THINK]{o}[/THINK]{s}",
    "Better: {o}\nWait, it is wrong.\nBetter: {s}",
    "Better: {o} would need sources. Better: {s}",
    "Better: {s}\n\nUser: Name a tree.\nBetter: {o}",
    "Answer {s} is better.",
    "回答{s}更好。",
    "{s}比{o}更好",
)
NO_VERDICTS = (
    "Better: {s} or {o}",
    "Better: {s}/{o}",
    "更好：{s}和{o}",
    "Better: {s}\nBetter: {o}",
    "I like {s}.",
    "<think>Better: {s}",
    "<think>Better: {s}</think>Hm.",
    "{s} is better at tone, {o} is better at spelling.",
    "Better: not {s}",
    "[ERROR] HTTP 429",
    "Output [[{s}]] if {s} is better.",
    "Score: 4",
)
TIES = (
    "Better: tie",
    "Better: A=B",
    "[[A=B]]",
    "Better: [[C]]",
    '{"better": "tie"}',
    "更好：平局",
    "It is a tie.",
    "Better: neither",
)


def verdict_variations() -> Iterator[tuple[str, str | None]]:
    for side, other in (("A", "B"), ("B", "A")):
        for form in VERDICTS:
            yield form.format(s=side, o=other), SIDES[side]
        for form in NO_VERDICTS:
            yield form.format(s=side, o=other), None
    for text in TIES:
        yield text, "neither"
