"""Keep a text that is judged inside its fence: it may not end the fence, open another, or pose as a chat's control
token, in whatever spelling. Nothing is taken out; a bracket that would mean something loses its force by a space.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

# Characters that look like the ones tags are made of and that Unicode's compatibility forms do not already fold.
_LOOKALIKES = str.maketrans(
    "абеорсухіјѕԁԛԝһпткмгαεικνορτυχϲηωɡıℓ‹〈⟨〈《«˂ᐸ❮❬⧼≺›〉⟩〉》»˃ᐳ❯❭⧽≻⁄∕╱⧸⟋∣ǀ｜¦׀",
    "abeopcyxijsdqwhntkmraeiknoptuxcnwgil<<<<<<<<<<<<>>>>>>>>>>>>/////|||||",
)
_INVISIBLE = {"Cf", "Mn", "Me", "Cc"}
_BRACKET_SPELLINGS = re.compile(r"&lt;?|&#0*60;?|&#x0*3c;?|%3c|\\u003c|\\x3c", re.IGNORECASE)
# Control tokens of Llama 2 and 3, ChatML (Qwen, SmolLM), Mistral, Gemma, Phi, DeepSeek and others, and the marks of a
# thought, as the skeleton has them: lower case, DeepSeek's wide bars as plain ones. The tokens of the tokenizer at hand
# need no list: chat.py never reads a control token out of a message's words.
_CONTROL = (
    r"<(?=\|[^<>\n]{0,60}\|>"
    r"|/?s>|<?/?sys>>"
    r"|/?(?:think|thinking|thoughts?|seed:think|reasoning)>"
    r"|/?(?:bos|eos|pad|unk|mask|sep|cls|sop|eop|(?:start|end)_of_(?:turn|image|text)|extra_id_\d{1,3}|turn)>)"
    r"|\[(?=/?(?:inst|system_prompt|available_tools|tool_calls|tool_results|tool_content|args|img|"
    r"cls|sep|pad|unk|mask|gmask|smask|bos|eos|think|(?:begin|end) final response)\])"
    r"|◁(?=/?think▷)"
)


def neutralise(text: str, fences: Sequence[str] = ("response", "other_response")) -> str:
    """Make tags named in `fences`, and chat-control tokens, harmless: a space after their first bracket.

    Tags are found whatever their case, with invisible characters, look-alike letters and brackets, wide forms, HTML
    entities or escapes in place of the bracket. All other characters stay as they are.
    """
    if text.isascii() and not _may_hold_one(text):
        return text
    skeleton, ends = _skeleton(text)
    pieces, done = [], 0
    for match in _pattern(tuple(fences)).finditer(skeleton):
        end = ends[match.start()]
        pieces += [text[done:end], " "]
        done = end
    return "".join([*pieces, text[done:]])


def _may_hold_one(text: str) -> bool:
    return any(mark in text for mark in "<[&%\\")


@lru_cache(maxsize=32)
def _pattern(fences: tuple[str, ...]) -> re.Pattern[str]:
    names = "|".join(re.escape(_fold(name)) for name in fences)
    tags = rf"<(?=(?:[\\/]+\s*)?(?:{names})(?!\w))|" if names else ""
    return re.compile(tags + _CONTROL)


def _skeleton(text: str) -> tuple[str, list[int]]:
    """What a reader sees: folded characters, and for each the place in `text` right after what it was made from."""
    characters: list[str] = []
    ends: list[int] = []
    place = 0
    while place < len(text):
        spelled = _BRACKET_SPELLINGS.match(text, place)
        end = spelled.end() if spelled else place + 1
        for character in "<" if spelled else _fold(text[place]):
            characters.append(character)
            ends.append(end)
        place = end
    return "".join(characters), ends


@lru_cache(maxsize=65536)
def _fold(text: str) -> str:
    """Compatibility forms undone, accents and invisible characters gone, lower case, look-alikes replaced."""
    plain = "".join(
        character
        for character in unicodedata.normalize("NFKD", text).casefold()
        if unicodedata.category(character) not in _INVISIBLE or character in "\n\t\r"
    )
    return plain.translate(_LOOKALIKES)
