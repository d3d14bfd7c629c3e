"""Instructions that code can check: a short question about a topic, and one rule the answer must keep.

The checkers stand for people: they score the responses of the shipped seed, and they measure models. The loop itself
never sees them. This file serves as `evaluation.checker`: `check` tells whether a response passes. And as
`judge.function` it is the oracle that the loop is compared with: `score` is never wrong.
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from verifiable_rules import RULES, TRAINED, stems

GROUP = "rule"
QUESTIONS = (
    "Tell me briefly about {topic}.",
    "Give one short fact about {topic}.",
    "What should a beginner know about {topic}?",
    "Why do people care about {topic}?",
    "Explain {topic} to a child.",
    "Write a short note on {topic}.",
    "Say something useful about {topic}.",
    "What makes {topic} special?",
    "How would you sum up {topic}?",
    "Share a simple thought about {topic}.",
    "What is good to know about {topic}?",
    "Describe {topic} in a few words.",
)
# A sentence that announces a list, quotes, speaks of the assistant or of the request is no answer on its own.
_ODD = re.compile(
    r"""[:"“”<>]|\b(?:I|I'm|I'd|I'll|my|me|AI|assistant|sorry|customer|question|answer|sentence|sure)\b""", re.I
)


@dataclass(frozen=True, slots=True)
class Task:
    """One prompt with what its checker needs."""

    topic: str
    question: str
    rule: str
    wording: str
    args: dict[str, Any] = field(default_factory=dict)

    @property
    def prompt(self) -> str:
        return f"{self.question} {self.wording}"

    def row(self) -> dict[str, Any]:
        """As a row of a prompts file, which `check` can read."""
        return {"prompt": self.prompt, "topic": self.topic, "rule": self.rule, "args": self.args}


def make_tasks(listed: Sequence[str], count: int, seed: int, rules: Sequence[str] = TRAINED) -> list[Task]:
    """So many different tasks. Topics, rules and questions are dealt out in rounds, so that each comes about equally
    often and with all others.

    Raises ValueError where there are not so many.
    """
    rng = random.Random(seed)
    tasks: list[Task] = []
    seen: set[str] = set()
    dealt: dict[str, list[Any]] = {"topic": [], "rule": [], "question": []}

    def deal(kind: str, deck: Sequence[str]) -> str:
        if not dealt[kind]:
            dealt[kind] = rng.sample(list(deck), len(deck))
        return str(dealt[kind].pop())

    misses = 0
    while len(tasks) < count:
        name, topic = deal("rule", rules), deal("topic", listed)
        args = RULES[name].draw(rng)
        wording = rng.choice(RULES[name].wordings).format(**args)
        task = Task(topic, deal("question", QUESTIONS).format(topic=topic), name, wording, args)
        if task.prompt in seen:
            misses += 1
            if misses > 100 * count:
                raise ValueError(f"there are no {count} different tasks over {len(listed)} topics")
            continue
        seen.add(task.prompt)
        tasks.append(task)
    return tasks


def follows(task: Task, text: str) -> bool:
    """Whether the text keeps the task's rule exactly."""
    text = text.strip()
    return bool(text) and RULES[task.rule].kept(text, task.args)


def complete(text: str, finished: bool = True) -> bool:
    """Finished, at least five words, and not going round in circles (70% of its word triples differ)."""
    words = text.lower().split()
    triples = [tuple(words[i : i + 3]) for i in range(len(words) - 2)]
    return finished and len(words) >= 5 and len(set(triples)) >= 0.7 * len(triples)


def on_topic(task: Task, text: str) -> bool:
    """Whether a word of the topic, up to its ending, occurs."""
    return any(re.search(rf"\b{re.escape(stem)}", text.lower()) for stem in stems(task.topic))


def passes(task: Task, text: str, finished: bool = True) -> bool:
    """Ground truth of the track: complete, and the rule kept."""
    return complete(text, finished) and follows(task, text)


def points(task: Task, text: str, finished: bool = True) -> int:
    """0–5: one for the topic, one for being complete, three more for keeping the rule as well."""
    whole = complete(text, finished)
    return int(on_topic(task, text)) + int(whole) + 3 * int(whole and follows(task, text))


def check(prompt: Mapping[str, Any], response: str, finished: bool) -> dict[str, bool]:
    """Ground truth for a response to a row of the track's prompts."""
    task = Task(prompt["topic"], "", prompt["rule"], "", prompt["args"])
    passed = passes(task, response, finished)
    return {"passes": passed, "passes on topic": passed and on_topic(task, response)}


def score(messages: Sequence[Mapping[str, str]], response: str, finished: bool) -> float:
    """What a judge would say that is never wrong: 5 where the response passes, else 0."""
    return 5.0 if passes(task_of(messages[-1]["content"]), response, finished) else 0.0


def task_of(prompt: str) -> Task:
    """The task that a prompt's text states. Raises ValueError where it is none of the track's."""
    for name, pattern in _patterns():
        found = pattern.fullmatch(prompt)
        if found:
            args: dict[str, Any] = {key: value for key, value in found.groupdict().items() if key != "topic"}
            if "count" in args:
                args["count"] = int(args["count"])
            return Task(found["topic"], "", name, "", args)
    raise ValueError(f"no prompt of the track: {prompt}")


@functools.cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    """Each rule's wordings behind each question, as patterns whose groups are the topic and the rule's arguments."""
    return [
        (name, re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+?)", re.escape(f"{question} {wording}"))))
        for name, rule in RULES.items()
        for question in QUESTIONS
        for wording in rule.wordings
    ]


def sentences_of(text: str) -> list[str]:
    """Whole sentences of a free answer, without list marks, markup and what was cut off at the end."""
    plain = re.sub(r"[*_#`]+", "", re.sub(r"(?m)^\s*(?:[-*•]|\d+[.)])\s+", "", text))
    parts = re.split(r"(?<=[.!?])\s+", " ".join(plain.split()))
    return [part for part in parts if part[-1:] in {".", "!", "?"} and len(part.split()) >= 4 and not _ODD.search(part)]


def relevant(task: Task, answer: str) -> list[str]:
    """The whole sentences of a free answer from the first one that names the topic on."""
    sentences = sentences_of(answer)
    first = next((i for i, sentence in enumerate(sentences) if on_topic(task, sentence)), len(sentences))
    return sentences[first:]


def mended(task: Task, answer: str, rng: random.Random) -> str | None:
    """A short answer that keeps the rule, made by code from a free answer; None where that cannot be done."""
    sentences = relevant(task, answer)
    text = RULES[task.rule].mend(sentences, task.topic, task.args, rng) if sentences else None
    return text if text is not None and points(task, text) == 5 else None


def degenerate(task: Task, answer: str, rng: random.Random) -> tuple[str, bool]:
    """A bad response as models give them, and whether it is finished: the request's own words, a sentence over and
    over, or an answer that breaks off."""
    kind = rng.choice(("words", "question", "again", "cut"))
    if kind == "words" and "sentence" in task.args:
        return str(task.args["sentence"]), True
    if kind == "words" and "word" in task.args:
        return f"{str(task.args['word']).capitalize()}.", True
    if kind in ("words", "question"):
        return task.question, True
    words = answer.split(" ")
    if kind == "again":
        return " ".join([" ".join(words[:10])] * 3), True
    return " ".join(words[: max(4, len(words) // 2)]), False
