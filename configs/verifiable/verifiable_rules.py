"""The rules of the verifiable track: how each is worded, whether a text keeps it, and how code makes a text keep it.

Checked by if-verifiable's IFEval checks where they fit, and by our own where they do not: IFEval asks a language
guesser about lowercase and capitals, which errs on short texts, and has no rule about the first word.
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Arguments = Mapping[str, Any]

_WORDS = ("ribbon", "pocket", "winter", "window", "thread", "feather", "puddle", "saddle", "copper", "ticket", "violet")
_OPENERS = ("Certainly", "Honestly", "Clearly", "Well", "Indeed", "Look")
_CLOSERS = ("Now you know.", "I hope that helps.", "Isn't that something?", "More on that another day.")
_INCLUDING = (
    "It makes me think of a {word}.",
    "Picture it beside a {word}.",
    "It can be as simple as a {word}.",
    "Even a {word} has less to tell.",
)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: its wordings, its arguments, whether a text keeps it, and how code makes sentences about a topic keep it
    (None where it cannot)."""

    wordings: tuple[str, ...]
    draw: Callable[[random.Random], dict[str, Any]]
    kept: Callable[[str, Arguments], bool]
    mend: Callable[[Sequence[str], str, Arguments, random.Random], str | None]


@functools.cache
def _kind(name: str) -> Any:
    from if_verifiable.ifeval.instructions_registry import INSTRUCTION_DICT

    return INSTRUCTION_DICT[name]


def ifeval(name: str, text: str, **arguments: Any) -> bool:
    """Whether a text follows an instruction of IFEval (Zhou et al., arXiv 2311.07911)."""
    check = _kind(name)(name)
    check.build_description(**arguments)
    return bool(check.check_following(text))


def short(sentences: Sequence[str], limit: int = 34) -> str:
    """The first sentence, and the second where both together stay short."""
    both = " ".join(sentences[:2])
    return both if len(both.split()) <= limit else sentences[0]


def stems(topic: str) -> list[str]:
    """The topic's words without their endings."""
    return [word[:4] if len(word) > 4 else word.rstrip("s") for word in topic.lower().split()]


def _nothing(_rng: random.Random) -> dict[str, Any]:
    return {}


def _bullets_kept(text: str, args: Arguments) -> bool:
    lines = [line for line in text.splitlines() if line.strip()]
    only = all(re.match(r"[-*] \S", line) for line in lines)
    return only and ifeval("detectable_format:number_bullet_lists", text, num_bullets=args["count"])


def _mend_bullets(sentences: Sequence[str], _topic: str, args: Arguments, _rng: random.Random) -> str | None:
    count = args["count"]
    return "\n".join(f"- {s}" for s in sentences[:count]) if len(sentences) >= count else None


def _title_kept(text: str, _args: Arguments) -> bool:
    match = re.match(r"<<[^<>\n]+>>", text)
    return match is not None and ifeval("detectable_format:title", text) and len(text[match.end() :].split()) >= 4


def _ending_kept(text: str, args: Arguments) -> bool:
    sentence = args["sentence"]
    return ifeval("startend:end_checker", text, end_phrase=sentence) and len(text.split()) > len(sentence.split()) + 2


def _mend_opener(sentences: Sequence[str], _topic: str, args: Arguments, _rng: random.Random) -> str:
    text = short(sentences)
    return f"{args['word']}, {text[0].lower() + text[1:]}"


def _mend_commas(sentences: Sequence[str], _topic: str, _args: Arguments, _rng: random.Random) -> str:
    without = [s for s in sentences if "," not in s]
    return without[0] if without else sentences[0].replace(",", "")


def _mend_highlight(sentences: Sequence[str], topic: str, _args: Arguments, _rng: random.Random) -> str | None:
    text = short(sentences)
    found = re.search(rf"\b{re.escape(stems(topic)[-1])}\w*", text, re.IGNORECASE)
    return f"{text[: found.start()]}*{found.group()}*{text[found.end() :]}" if found else None


RULES: dict[str, Rule] = {
    "lowercase": Rule(
        ("Use lowercase letters only.", "Write all of it in lowercase."),
        _nothing,
        lambda text, _args: text == text.lower(),
        lambda sentences, _topic, _args, _rng: short(sentences).lower(),
    ),
    "capitals": Rule(
        ("Use CAPITAL LETTERS only.", "Write all of it in CAPITALS."),
        _nothing,
        lambda text, _args: text == text.upper(),
        lambda sentences, _topic, _args, _rng: short(sentences).upper(),
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
        lambda text, args: ifeval("keywords:existence", text, keywords=[args["word"]]),
        lambda sentences, _topic, args, rng: f"{sentences[0]} {rng.choice(_INCLUDING).format(word=args['word'])}",
    ),
    "no_commas": Rule(
        ("Do not use commas.", "Leave out every comma."),
        _nothing,
        lambda text, _args: ifeval("punctuation:no_comma", text),
        _mend_commas,
    ),
    "ending": Rule(
        ("End with exactly this sentence: {sentence}", "Your last sentence must be: {sentence}"),
        lambda rng: {"sentence": rng.choice(_CLOSERS)},
        _ending_kept,
        lambda sentences, _topic, args, _rng: f"{sentences[0]} {args['sentence']}",
    ),
    "quotes": Rule(
        ("Put the whole answer in double quotes.", "Wrap all of it in double quotation marks."),
        _nothing,
        lambda text, _args: len(text) > 2 and ifeval("startend:quotation", text) and '"' not in text[1:-1],
        lambda sentences, _topic, _args, _rng: '"' + short(sentences).replace('"', "") + '"',
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
        lambda sentences, topic, _args, _rng: f"<<{topic.title()}>>\n{short(sentences)}",
    ),
    "highlight": Rule(
        ("Put one important word between asterisks, like *this*.", "Highlight a word with asterisks, like *this*."),
        _nothing,
        lambda text, _args: ifeval("detectable_format:number_highlighted_sections", text, num_highlights=1),
        _mend_highlight,
    ),
    "postscript": Rule(
        ("Add a postscript that starts with P.S.", "Close with a postscript starting with P.S."),
        _nothing,
        lambda text, _args: ifeval("detectable_content:postscript", text, postscript_marker="P.S."),
        lambda sentences, _topic, _args, _rng: f"{sentences[0]}\nP.S. {sentences[1]}" if len(sentences) > 1 else None,
    ),
}
HELD_OUT = ("postscript",)  # in no seed and no loop prompt: does what was learned reach further?
TRAINED = tuple(name for name in RULES if name not in HELD_OUT)
