"""Does an instruction want an input? Looser than the filter that refuses what lacks one: an input too many does no
harm, one too few makes a prompt that nobody can answer."""

from __future__ import annotations

import re

from judgeloop.instructions.filters import lacks_input
from judgeloop.text.language import Language, language_of

_THINGS = (
    r"(?:texts?|sentences?|paragraphs?|passages?|articles?|words?|phrases?|statements?|reviews?|tweets?|e-?mails?"
    r"|messages?|documents?|conversations?|dialogues?|quer(?:y|ies)|strings?|numbers?|lists?|arrays?|code|functions?"
    r"|tables?|equations?|expressions?|data|facts?|information|input|poems?|stories|story|essays?|reports?|transcripts?)"
)
# Words that make "the text of the law", "the number of …", "the list of …" speak of something in the instruction.
_OWN = r"(?!\s*(?:of|in|from|on|about|for|that|which|who|between|behind|you|\"|“|'|‘|\d))"
_SPEAKS: dict[Language, re.Pattern[str]] = {
    "en": re.compile(
        rf"^given\s+(?:a|an|the|two|three|some)\s|\bthe\s+{_THINGS}\b{_OWN}|\b(?:a|an|some)\s+(?:given|provided)\s+\w"
        r"|\b(?:this|these)\s+(?!(?:is|are|was|were|will|can|day|week|year|month|morning|evening|afternoon|night|time"
        r"|way|world|planet|country|century|season|summer|winter|spring|autumn|weekend|kind|sort|type)\b)[a-z]+",
        re.IGNORECASE,
    ),
    "zh": re.compile(
        "这[个位道首幅本条张封则种](?!世界|星期|月|问题是)|[该此](?:文|句|段|词|列表|数)|文中|句中|原文|[给某]定的?"
    ),
}
_MATERIAL = re.compile(r"[:：]\s*\S|\n\s*\S|[“「『《\"‘`].{2,}?[”」』》\"’`]|\d", re.DOTALL)


def wants_input(instruction: str) -> bool:
    """Whether the instruction speaks of material that it lacks: "the text", "this person", "一句给定的话"."""
    if lacks_input(instruction):
        return True
    pattern = _SPEAKS.get(language_of(instruction))
    return pattern is not None and pattern.search(instruction) is not None and _MATERIAL.search(instruction) is None
