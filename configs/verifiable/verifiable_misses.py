"""Answers that nearly keep a rule, and answers that keep another one, made by code: what a judge must tell from those
that do as told.

A model that has learnt rules by halves errs so: one capital among small letters, a comma after all; or it takes the
form that a judge has liked, quotes and capitals, where none was asked for. A judge that has seen only keepers of a rule
and plain answers that ignore it scores such answers high, and the loop then trains them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from typing import Any

from verifiable_rules import RULES, TRAINED
from verifiable_track import Task, points, sentences_of

Arguments = Mapping[str, Any]
IGNORED = 2  # points of an answer that is on its topic and complete, and does not do as told


def nearly(task: Task, text: str, rng: random.Random) -> str | None:
    """A text that keeps the rule, changed in little so that it does not; None where that did not succeed."""
    missed = MISSES[task.rule](text, task.args, rng).strip()
    return missed if points(task, missed) == IGNORED else None


def crossed(task: Task, text: str, rng: random.Random) -> str | None:
    """What a text says, made to keep another rule than the task's; None where that did not succeed."""
    bare = text.strip('"')
    sentences = sentences_of(bare) or [bare.strip()]
    others = [name for name in TRAINED if name != task.rule]
    rng.shuffle(others)
    for rule in others:
        found = RULES[rule].mend(sentences, task.topic, RULES[rule].draw(rng), rng)
        if found and found != text and points(task, found) == IGNORED:
            return found
    return None


def _some_words(text: str, rng: random.Random, change: Callable[[str], str]) -> str:
    """One to three words changed, found by their letters so that marks and line breaks stay."""
    words = [m for m in re.finditer(r"[A-Za-z]{2,}", text) if change(m.group()) != m.group()]
    for found in sorted(rng.sample(words, min(len(words), rng.randint(1, 3))), key=lambda m: -m.start()):
        text = text[: found.start()] + change(found.group()) + text[found.end() :]
    return text


def _lowercase(text: str, _args: Arguments, rng: random.Random) -> str:
    if rng.random() < 0.5:  # as anybody begins a sentence
        return text[0].upper() + text[1:]
    return _some_words(text, rng, str.capitalize)


def _capitals(text: str, _args: Arguments, rng: random.Random) -> str:
    kind = rng.randrange(3)
    if kind == 0:
        return _some_words(text, rng, str.lower)
    words = text.split(" ")
    cut = max(1, len(words) // 3)
    if kind == 1:  # forgotten on the way
        return " ".join([*words[:cut], *(word.lower() for word in words[cut:])])
    return text.capitalize()


def _bullets(text: str, _args: Arguments, rng: random.Random) -> str:
    lines = text.splitlines()
    kind = rng.randrange(4)
    if kind == 0:
        return "\n".join(lines[:-1])
    if kind == 1:
        return "\n".join([*lines, rng.choice(lines)])
    if kind == 2:
        place = rng.randrange(len(lines))
        return "\n".join(line.removeprefix("- ") if i == place else line for i, line in enumerate(lines))
    return " ".join(line.removeprefix("- ") for line in lines)


def _include(text: str, args: Arguments, rng: random.Random) -> str:
    pattern = re.compile(rf"\b{re.escape(args['word'])}\w*", re.IGNORECASE)
    others = ("ribbon", "winter", "window", "feather", "saddle", "ticket", "basket", "garden", "river", "candle")
    other = rng.choice([word for word in others if word != args["word"]])
    return pattern.sub(other, text)


def _no_commas(text: str, _args: Arguments, rng: random.Random) -> str:
    joints = [m.start() for m in re.finditer(r" (?:and|or|but|which|with|from|as|in|while|making|known)\b", text)]
    places = joints or [m.start() for m in re.finditer(r" ", text)]
    for place in sorted(rng.sample(places, min(len(places), rng.choice((1, 1, 2)))), reverse=True):
        text = f"{text[:place]},{text[place:]}"
    return text


def _ending(text: str, args: Arguments, rng: random.Random) -> str:
    sentence = args["sentence"]
    before = text[: text.rfind(sentence)].strip()
    kind = rng.randrange(3)
    if kind == 0:
        return f"{sentence} {before}"
    if kind == 1:  # another word than the one asked for
        words = sentence.split()
        place = rng.randrange(len(words) - 1)
        words[place] = rng.choice([w for w in ("you", "this", "we", "it", "will", "then") if w != words[place].lower()])
        return f"{before} {' '.join(words)}"
    return f"{before} {' '.join(sentence.split()[: rng.randint(1, len(sentence.split()) - 1)])}"


def _quotes(text: str, _args: Arguments, rng: random.Random) -> str:
    inner = text.strip().strip('"')
    kind = rng.randrange(3)
    if kind == 0:
        return f'"{inner}'
    if kind == 1:
        return f'{inner}"'
    words = inner.split(" ")
    cut = max(1, len(words) // 3)
    return f'"{" ".join(words[:cut])}" {" ".join(words[cut:])}'


def _first_word(text: str, args: Arguments, rng: random.Random) -> str:
    rest = re.sub(rf"^{args['word']}\b[,.]?\s*", "", text)
    kind = rng.randrange(3)
    if kind == 0:
        other = rng.choice([w for w in ("Certainly", "Honestly", "Clearly", "Well", "Indeed") if w != args["word"]])
        return f"{other}, {rest}"
    if kind == 1:
        return f"{rest.rstrip('.')}, {args['word'].lower()}."
    return f"The {args['word'].lower()} {rest}"


def _title(text: str, _args: Arguments, rng: random.Random) -> str:
    found = re.match(r"<<([^<>\n]+)>>\s*", text)
    if found is None:
        return text
    title, rest = found.group(1), text[found.end() :]
    return rng.choice((f"<{title}>\n{rest}", f"{title}\n{rest}", f"{rest}\n<<{title}>>", f"**{title}**\n{rest}"))


def _highlight(text: str, _args: Arguments, rng: random.Random) -> str:
    found = re.search(r"\*([^*\n]+)\*", text)
    if found is None:
        return text
    word = found.group(1)
    put = rng.choice((f"*{word}", f"{word}*", f'"{word}"', f"_{word}_"))
    return text[: found.start()] + put + text[found.end() :]


MISSES: Mapping[str, Callable[[str, Arguments, random.Random], str]] = {
    "lowercase": _lowercase,
    "capitals": _capitals,
    "bullets": _bullets,
    "include": _include,
    "no_commas": _no_commas,
    "ending": _ending,
    "quotes": _quotes,
    "first_word": _first_word,
    "title": _title,
    "highlight": _highlight,
}
