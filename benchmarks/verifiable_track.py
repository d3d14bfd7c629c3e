"""Instructions that code can check: a short question about a topic, and one rule the answer must keep.

The checkers stand for people: they rank the responses of the shipped seed, and they measure models on prompts that the
loop never judged. The loop itself never sees them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SEED_TOPICS = """
lighthouses; hedgehogs; sourdough; monsoons; tide pools; knitting; lanterns; windmills; kites; fireflies; jellyfish;
squirrels; ravens; otters; seahorses; beavers; crickets; salmon; sparrows; goats; donkeys; geese; ladybugs; moths;
pumpkins; lentils; garlic; cinnamon; oatmeal; yogurt; vinegar; walnuts; peaches; cherries; carrots; spinach; pickles;
noodles; dumplings; popcorn; hail; dew; drought; tornadoes; sunsets; tides; canyons; swamps; coral reefs; icebergs;
geysers; meadows; sand dunes; valleys; eclipses; meteors; satellites; telescopes; microscopes; compasses; batteries;
elevators; zippers; bicycle helmets; wheelbarrows; scissors; hammers; ladders; toothbrushes; thermometers; calendars;
postage stamps; newspapers; dictionaries; crayons; puzzles; board games; marbles; swings; trampolines; skateboards;
canoes; submarines; ferries; trams; lighters; fountains; statues; castles; pyramids; barns; attics; kitchens;
bakeries; pharmacies; orchestras; trumpets; flutes; opera; puppets; pottery; origami; embroidery; carpentry;
gardening; archery; fencing; marathons; gymnastics; volleyball; punctuality; generosity
"""
EVAL_TOPICS = """
badgers; flamingos; hummingbirds; lizards; crabs; grasshoppers; swans; foxes; mustard; ginger; pancakes; cucumbers;
raisins; mangoes; waffles; mint; blizzards; avalanches; mudslides; lagoons; cliffs; prairies; planets; galaxies;
backpacks; blankets; buttons; envelopes; faucets; staplers; whistles; teapots; sailboats; scooters; tractors;
balloons; cathedrals; playgrounds; bookstores; harbors; harmonicas; ballet; juggling; wrestling; sculpture; sewing;
humility; gratitude
"""
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
_WORDS = ("ribbon", "pocket", "winter", "mirror", "basket", "thread", "window", "feather", "puddle", "saddle", "copper")
_OPENERS = ("Certainly", "Honestly", "Clearly", "Well", "Indeed", "Look")
_CLOSERS = ("Now you know.", "I hope that helps.", "Isn't that something?", "More on that another day.")
_INCLUDING = (
    "It makes me think of a {word}.",
    "Picture it beside a {word}.",
    "It can be as simple as a {word}.",
    "Even a {word} has less to tell.",
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


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: its wordings, its arguments, whether a text keeps it, and how code makes a text keep it (or None)."""

    wordings: tuple[str, ...]
    draw: Callable[[random.Random], dict[str, Any]]
    kept: Callable[[str, Mapping[str, Any]], bool]
    mend: Callable[[Sequence[str], Task, random.Random], str | None]


def _nothing(_rng: random.Random) -> dict[str, Any]:
    return {}


def _bullets_kept(text: str, args: Mapping[str, Any]) -> bool:
    lines = [line for line in text.splitlines() if line.strip()]
    return len(lines) == args["count"] and all(re.match(r"[-*] \S", line) for line in lines)


def _mend_bullets(sentences: Sequence[str], task: Task, _rng: random.Random) -> str | None:
    count = task.args["count"]
    return "\n".join(f"- {s}" for s in sentences[:count]) if len(sentences) >= count else None


def _title_kept(text: str, _args: Mapping[str, Any]) -> bool:
    match = re.match(r"<<[^<>\n]+>>", text)
    return match is not None and len(text[match.end() :].split()) >= 4


def _mend_opener(sentences: Sequence[str], task: Task, _rng: random.Random) -> str:
    text = _short(sentences)
    keep = text.split()[0] in {"I", "I'm", "I've"}
    return f"{task.args['word']}, {text if keep else text[0].lower() + text[1:]}"


def _mend_commas(sentences: Sequence[str], _task: Task, _rng: random.Random) -> str:
    without = [s for s in sentences if "," not in s]
    return without[0] if without else sentences[0].replace(",", "")


def _short(sentences: Sequence[str], limit: int = 34) -> str:
    """The first sentence, and the second where both together stay short."""
    both = " ".join(sentences[:2])
    return both if len(both.split()) <= limit else sentences[0]


RULES: dict[str, Rule] = {
    "lowercase": Rule(
        ("Use lowercase letters only.", "Write all of it in lowercase."),
        _nothing,
        lambda text, _args: text == text.lower(),
        lambda sentences, _task, _rng: _short(sentences).lower(),
    ),
    "capitals": Rule(
        ("Use CAPITAL LETTERS only.", "Write all of it in CAPITALS."),
        _nothing,
        lambda text, _args: text == text.upper(),
        lambda sentences, _task, _rng: _short(sentences).upper(),
    ),
    "bullets": Rule(
        (
            "Answer in exactly {count} bullet lines starting with '- '.",
            "Make it {count} lines, each starting with '- '.",
        ),
        lambda rng: {"count": rng.choice((2, 3))},
        _bullets_kept,
        _mend_bullets,
    ),
    "include": Rule(
        ("Use the word '{word}' somewhere.", "Your answer must contain the word '{word}'."),
        lambda rng: {"word": rng.choice(_WORDS)},
        lambda text, args: re.search(rf"\b{args['word']}\b", text, re.IGNORECASE) is not None,
        lambda sentences, task, rng: f"{sentences[0]} {rng.choice(_INCLUDING).format(word=task.args['word'])}",
    ),
    "no_commas": Rule(
        ("Do not use commas.", "Leave out every comma."),
        _nothing,
        lambda text, _args: "," not in text,
        _mend_commas,
    ),
    "ending": Rule(
        ("End with exactly this sentence: {sentence}", "Your last sentence must be: {sentence}"),
        lambda rng: {"sentence": rng.choice(_CLOSERS)},
        lambda text, args: text.endswith(args["sentence"]) and len(text.split()) > len(args["sentence"].split()) + 2,
        lambda sentences, task, _rng: f"{sentences[0]} {task.args['sentence']}",
    ),
    "quotes": Rule(
        ("Put the whole answer in double quotes.", "Wrap all of it in double quotation marks."),
        _nothing,
        lambda text, _args: len(text) > 2 and text[0] == text[-1] == '"' and '"' not in text[1:-1],
        lambda sentences, _task, _rng: '"' + _short(sentences).replace('"', "") + '"',
    ),
    "first_word": Rule(
        ("Start with the word '{word}'.", "The very first word must be '{word}'."),
        lambda rng: {"word": rng.choice(_OPENERS)},
        lambda text, args: re.match(rf"{args['word']}\b", text) is not None,
        _mend_opener,
    ),
    "title": Rule(
        ("Begin with a title in << and >>.", "Put a title like <<My Title>> on top."),
        _nothing,
        _title_kept,
        lambda sentences, task, _rng: f"<<{task.topic.title()}>>\n{_short(sentences)}",
    ),
}


def topics(listed: str) -> list[str]:
    """The topics of one of the lists above."""
    return [" ".join(topic.split()) for topic in listed.split(";")]


def make_tasks(listed: Sequence[str], seed: int) -> list[Task]:
    """One task for each topic; rules, wordings and questions go round, so that each comes about equally often."""
    rng = random.Random(seed)
    order = list(listed)
    rng.shuffle(order)
    names = list(RULES)
    tasks = []
    for number, topic in enumerate(order):
        name = names[number % len(names)]
        rule = RULES[name]
        args = rule.draw(rng)
        wording = rule.wordings[number // len(names) % len(rule.wordings)].format(**args)
        question = QUESTIONS[(number + number // len(QUESTIONS)) % len(QUESTIONS)].format(topic=topic)
        tasks.append(Task(topic, question, name, wording, args))
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
    stems = [word[:4] if len(word) > 4 else word.rstrip("s") for word in task.topic.lower().split()]
    return any(re.search(rf"\b{re.escape(stem)}", text.lower()) for stem in stems)


def passes(task: Task, text: str, finished: bool = True) -> bool:
    """Ground truth of the track: complete, and the rule kept."""
    return complete(text, finished) and follows(task, text)


def points(task: Task, text: str, finished: bool = True) -> int:
    """0–5: one for the topic, one for being complete, three for the rule."""
    return int(on_topic(task, text)) + int(complete(text, finished)) + 3 * int(follows(task, text))


def sentences_of(text: str) -> list[str]:
    """Whole sentences of a free answer, without list marks, markup and what was cut off at the end."""
    plain = re.sub(r"[*_#`]+", "", re.sub(r"(?m)^\s*(?:[-*•]|\d+[.)])\s+", "", text))
    parts = re.split(r"(?<=[.!?])\s+", " ".join(plain.split()))
    return [part for part in parts if part[-1:] in {".", "!", "?"} and len(part.split()) >= 4 and not _ODD.search(part)]


def mended(task: Task, answer: str, rng: random.Random) -> str | None:
    """A short answer that keeps the rule, made by code from a free answer; None where that cannot be done."""
    sentences = sentences_of(answer)
    first = next((i for i, sentence in enumerate(sentences) if on_topic(task, sentence)), None)
    if first is None:
        return None
    text = RULES[task.rule].mend(sentences[first:], task, rng)
    return text if text is not None and points(task, text) == 5 else None
