"""Which of two responses some words name: "A", "the second response", "A > B", "both", "前一个".

The vocabulary of verdicts, whatever the form that they are written in.
"""

from __future__ import annotations

import re

from judgeloop.records import Preference

THINGS = (
    r"one|answer|response|assistant|option|output|candidate|model|choice|reply|completion|preference|judge?ment|judge"
)
THING = rf"(?:[ \t]+(?:{THINGS}))?"
OPENERS = r"[ \t\"'“”‘’「『<(\[{→✅✔☑⭐★✨➡👉🏆🥇]*"
_CLOSERS = r"[ \t\"'“”‘’」』>)\]}]*"
NAME = (
    r"(?:(?:the|answer|response|assistant|option|output|candidate|model|choice|reply|completion|judge?ment|judge"
    r"|antwort|respuesta|réponse|resposta|risposta|ответ|応答|답변|回答|答案|回复|选项|助手|模型|评委|评语)"
    rf"[ \t]*[#:_-]?{OPENERS}){{0,3}}"
)
WORD = (
    r"(?:a|b|1|2|first|second|one|two|former|latter|前者|后者|[前后](?:一个|面)|第[一二][个份位]?|(?<=[答案复手型])[一二]|甲|乙"
    # The names of the tags that the two are shown in.
    r"|other_response|(?<!the )other response|(?<=<)response(?=>[^\w\n]*(?:\n|$)))"
)
SIDE = re.compile(rf"{OPENERS}{NAME}(?P<side>{WORD})(?![A-Za-z0-9])(?:个|的|那个|一个)?", re.IGNORECASE)
DRAW = (
    r"平局|平手|引き分け|무승부|unentschieden|gleichstand|égalité|ex[ \t]aequo|empate|pareggio|gelijkspel"
    r"|ничья|нічия|remis|beraberlik|تعادل"
)
_NEITHER = re.compile(
    rf"\[\[[cC]\]\]|{OPENERS}(?:(?:it[ \t]+is|it's)[ \t]+)?"
    r"(?:(?:(?:an?|they(?:[ \t]+are)?)[ \t]+)?(?:tied?|draw)|no[ \t]+(?:clear[ \t]+)?(?:difference|preference|winner)"
    r"|neither|both|equal(?:ly)?|same|none|ningun[oa]|nenhuma?|nessun[oa]|aucune?|keine?"
    rf"|{DRAW}|一样|相同|都|两者|两个|二者|不相上下|难分高下|没有)(?![A-Za-z0-9])",
    re.IGNORECASE,
)
RELATION = re.compile(
    rf"{OPENERS}{NAME}(?P<one>{WORD})(?![A-Za-z0-9])[ \t\"')\]]*(?P<sign>>{{1,3}}|<{{1,3}}|={{1,2}}|[≈≫≪≥≤≻≺〈〉~])"
    rf"{OPENERS}{NAME}(?P<two>{WORD})(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_ASKED_FOR = re.compile(r"[ \t]*[<{(\[][ \t]*A[ \t]*(?:or|或|/|\|)[ \t]*B[ \t]*[>})\]]", re.IGNORECASE)
_LETTERS, _DIGITS = r"[ab]", r"[12]"
_OTHERS = {  # what the other side of "A or B", "1 or 2", "the first or the second" is called
    **dict.fromkeys("ab", _LETTERS), **dict.fromkeys("12", _DIGITS),
}  # fmt: skip
_JOINED = (
    r"(?:[/,;&|]|\b(?:or|and|oder|ou|vs)\b\.?|[,(—–-][ \t]*(?:or|and|maybe|perhaps|possibly)\b|还是|或[者是]?|和|与|、)"
    r"[ \t,(]*(?:(?:or|and)[ \t]+)?(?:(?:possibly|perhaps|maybe)[ \t]+)?"
)
# A second side that the first is set against: "A or B"; not "A (A answers, B does not)".
_MORE: dict[str, re.Pattern[str]] = {
    kind: re.compile(
        rf"{_CLOSERS}{_JOINED}{OPENERS}{NAME}{kind}(?![A-Za-z0-9])"
        r"(?![ \t]+(?:is|does|has|had|only|lacks?|was|gives|fails|errors?|points?)\b)"
        + (r"|(?-i:[ \t]+[AB])[^\w\n]*$" if kind == _LETTERS else ""),
        re.IGNORECASE,
    )
    for kind in (_LETTERS, _DIGITS, WORD)
}
# After a comma, what the other side is told to be: "A，B跑题"; not "A，B都好".
_TOLD_AFTER = re.compile(r"(?![都均皆也同一各])[\u4e00-\u9fff]")
_EQUAL = re.compile(r"[^\n]{0,30}\b(?:equal(?:ly)?|tied?|same)\b|[^\n]{0,10}(?:一样|相同|相当)", re.IGNORECASE)
SUPPOSED = re.compile(
    rf"{_CLOSERS}[,;(]?[ \t]*(?:would|could|might|should|needs?|requires?|if|when|unless"
    r"|for[ \t]+(?:an?[ \t]+)?(?:tie|draw))\b"
    rf"|{_CLOSERS}(?:则|才|需要|应该|如果)",
    re.IGNORECASE,
)
# What takes a side back: the other one in brackets, in a correction, in another respect, or after "but".
_OTHER = rf"{OPENERS}{NAME}(?!(?-i:a|one|two)[ \t]+[a-z])(?P<side>{WORD})(?![A-Za-z0-9])"
_TAKES_BACK = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"[ \t]*[(\[]{_OTHER}[ \t]*[)\]]",
        rf"{_CLOSERS}[^\w\n]{{1,6}}(?:no|wait|actually|sorry|correction|(?:or[ \t]+)?rather|make[ \t]+(?:it|that))"
        rf"\b[^\w\n]{{0,4}}{_OTHER}",
        rf"(?:[ \t]*\([^()\n]{{1,40}}\)|[^,;.\n]{{0,40}}?[ \t](?:for|in|on|at)[ \t][^,;.\n]{{1,40}})[ \t]*[,;/&]"
        rf"[ \t]*(?:(?:and|but|while|whereas)[ \t]+)?{_OTHER}[ \t]*(?:\(|(?:for|in|on|at)\b)",
        rf"[^.!?。！？\n]{{0,40}}?[,;][ \t]*(?:but|yet|however|though|although)\b"
        rf"[^.!?。！？\n]{{0,60}}?(?<![\w-]){_OTHER}"
        r"[ \t]+(?:(?:is|was)[ \t]+(?:(?:the|clearly|much|still|overall|my)[ \t]+){0,2}"
        r"(?:better|best|winner|preferred|superior|stronger)|wins)\b(?![ \t]+(?:in|at|on|for)\b)",
    )
)
_OR_TIE = re.compile(
    rf"{_CLOSERS}[,(]?[ \t]*(?:or|还是|或)[ \t]*(?:(?:maybe|perhaps|possibly|an?)[ \t]+){{0,2}}"
    r"(?:both|neither|tied?|draw|平局)",
    re.IGNORECASE,
)
_NOT = re.compile(r"[ \t]*(?:not|n't|neither|不是|并非)\b", re.IGNORECASE)
# What says that the side it follows is not the better one, or asks.
LOSES = re.compile(
    rf"{_CLOSERS}[ \t]*(?:\?"
    r"|(?:loses|fails|(?:does|did)(?:n't|[ \t]+not)[ \t]+(?:answer|address|follow|help|solve|work|do))\b"
    r"|(?:is|was)(?:n't|[ \t]+(?:not|(?:the[ \t]+)?(?:worse|worst|less|inferior|weaker|poorer)"
    r"|(?:clearly|simply|plainly|also|completely)?[ \t]*"
    r"(?:wrong|incorrect|inaccurate|false|flawed|mistaken|off|irrelevant)))\b|不如|不是|更差|较差)",
    re.IGNORECASE,
)
# A noun of its own after an article or a number in words: "a little of each", "the first sentence", "one that cites".
NOUN = re.compile(
    rf"[ \t]+(?!(?:{THINGS}|is|was|wins|because|since|over|than|as|for|by|with|due|although|but|and|or|in|overall)\b)"
    r"[a-z]"
)
_UNNAMED = re.compile(rf"{OPENERS}(?:the[ \t]+)?(?:a|one|two|first|second|former|latter|1|2)$")
# "A" as an article: "A more detailed answer".
_ARTICLE = re.compile(
    rf"{OPENERS}A[ \t]+(?:more|less|better|good|clear(?:er)?|concise|short(?:er)?|long(?:er)?|detailed|complete|direct"
    r"|simpler?|full(?:er)?|helpful|strong(?:er)?|perfect|ideal|balanced|well)\b(?:[ \t-]+(?!than|is)[a-z]+){0,4}?"
    r"[ \t]+(?:answer|response|explanation|reply|version|summary|example|list|description)s?\b(?![ \t]+than\b)",
    re.IGNORECASE,
)
# After "both" or "neither", the side that is the better one all the same: "but B is better", "so A."
_YET = re.compile(
    rf"{OPENERS}(?:both|neither|都|两者)[^\n]{{0,120}}?(?:\b(?:but|however|though|yet|so)\b|[;；]|但是?|不过)[ \t,]*"
    rf"(?P<side>{NAME}{WORD})(?:(?:[ \t]+(?:is|was)[ \t]+(?:(?:clearly|slightly|much|far|the)[ \t]+){{0,2}}"
    r"(?:better|best|stronger|superior|preferred|closer|clearer)\b|更好)|[^\w\n]*$)",
    re.IGNORECASE,
)
SIDES: dict[str, Preference] = {
    **dict.fromkeys(
        (
            "a",
            "1",
            "first",
            "one",
            "former",
            "前者",
            "前一个",
            "前面",
            "第一",
            "第一个",
            "第一份",
            "第一位",
            "甲",
            "response",
            "一",
        ),
        "first",
    ),
    **dict.fromkeys(
        (
            "b",
            "2",
            "second",
            "two",
            "latter",
            "后者",
            "后一个",
            "后面",
            "第二",
            "第二个",
            "第二份",
            "第二位",
            "乙",
            "二",
        ),
        "second",
    ),
    **dict.fromkeys(("other_response", "other response"), "second"),
}
NO_SIDE = "neither A nor B on the verdict line"
_BOTH_SIDES = "A and B on the verdict line"


def read_side(said: str) -> tuple[Preference | None, str | None, int] | None:
    """The preference at the beginning of a text, or why there is none, and how far it goes; None for one that the text
    only speaks of."""
    if _ASKED_FOR.match(said):
        return None
    relation = RELATION.match(said)
    if relation is not None:
        if re.match(r"[ \t]*[<>=]", said[relation.end() :]):
            return None, _BOTH_SIDES, relation.end()  # three are compared
        if SIDES[relation["one"].lower()] == SIDES[relation["two"].lower()]:
            return None, NO_SIDE, relation.end()
        value = _of_relation(relation)
        second = RELATION.search(said, relation.end())  # in another respect
        if value is None or (second is not None and _of_relation(second) != value):
            return None, _BOTH_SIDES, relation.end()
        return value, None, relation.end()
    neither = _NEITHER.match(said)
    side = SIDE.match(said)
    if neither is not None and (side is None or neither.end() > side.end()):
        yet = _YET.match(said)
        if yet is not None and (named := SIDE.match(yet["side"])) is not None:
            return SIDES[named["side"].lower()], None, yet.end()
        return "neither", None, neither.end()
    if side is None or _NOT.match(said):
        return None, NO_SIDE, 0
    rest = said[side.end() :]
    if _UNNAMED.fullmatch(side.group()) and not side.group().endswith("A") and NOUN.match(rest):
        # "a little of each" says which no more than any words; "the one that cites" is yet to be named.
        return (None, NO_SIDE, 0) if side.group() == "a" else None
    if SUPPOSED.match(rest):
        return None
    if _ARTICLE.match(said):
        return None, NO_SIDE, 0
    if LOSES.match(rest):
        return None, NO_SIDE, side.end()
    if taken_back(side["side"], rest) or _OR_TIE.match(rest):
        return None, _BOTH_SIDES, side.end()
    more = _MORE[_OTHERS.get(side["side"].lower(), WORD)].match(rest)
    again = more is not None and more.group().lower().endswith(side["side"].lower())  # "A, a clear answer"
    if (
        more is not None
        and not again
        and not (more.group().lstrip().startswith(",") and _TOLD_AFTER.match(rest, more.end()))
    ):
        if _EQUAL.match(rest, more.end()):
            return "neither", None, side.end()
        return None, _BOTH_SIDES, side.end()
    return SIDES[side["side"].lower()], None, side.end()


def _of_relation(relation: re.Match[str]) -> Preference | None:
    """The preference that "A > B" says; None for a sign that says none."""
    one, two = relation["one"].lower(), relation["two"].lower()
    if relation["sign"][0] in ">≫≻〉":
        return SIDES[one]
    if relation["sign"][0] in "<≪≺〈":
        return SIDES[two]
    # "A = Response 2": two names of one side
    return (
        None if relation["sign"] in "≥≤~" or (relation["sign"] == "=" and (one in "ab") != (two in "ab")) else "neither"
    )


def taken_back(side: str, rest: str) -> bool:
    """Whether what follows a side names the other one in its place or beside it: "A (the second one)", "A. No, B"."""
    others = (pattern.match(rest) for pattern in _TAKES_BACK)
    return any(SIDES[other["side"].lower()] != SIDES[side.lower()] for other in others if other is not None)
