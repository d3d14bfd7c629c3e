"""What may follow a number in a judge's text and take it back: a second number, a condition, a thing counted."""

from __future__ import annotations

import re

from judgeloop.judging.number_marks import CLOSERS, DASHES, UNIT

# A first summand without the sum's total: "1 (relevance) + 1", "1 for relevance, 1 for coverage".
SUMMANDS = re.compile(
    rf"(?:[ \t]*{UNIT})?(?:[ \t]*\([^()\n]{{1,80}}\)|[ \t]+for[ \t]+[^\d+=\n]{{1,60}})?[ \t]*(?:\+|plus\b)[ \t]*\d"
    rf"|(?:[ \t]*{UNIT})?[ \t]+(?:each\b"
    rf"|for[ \t]+[^\d\n]{{1,60}}(?:[,;]|[ \t](?:and|but|while|yet)\b)[ \t]*(?:(?:and|but)[ \t]+)?\d{{1,2}}"
    rf"(?:[ \t]*(?:{UNIT}|/[ \t]*\d{{1,2}}))?[ \t]+for\b)"
    r"|[ \t]*\+[^\d\n=+]{1,20}\d",
    re.IGNORECASE,
)
_JOINER = (
    rf"[{DASHES}~&+=×→]|[-=]>|\.{{2,3}}|(?<!…)…(?!…)|\\sim\b"
    r"|(?:up[ \t]+to|through|to|till?|or|and|vs|bis|oder|und|à|ou|et|a|o|y|e|do|lub|tot|of|и|или|до|ila|veya"
    r"|atau|hingga|sampai|đến|hoặc|إلى|أو|से|या)\b\.?|到|至|还是|或[者是]?|和|、|から|または|もしくは|か(?=\d)|에서|또는|혹은"
)
_FILLER = r"(?:(?:possibly|perhaps|maybe|even|rather|an?)[ \t]+){0,2}"
# A second number that the first is set against: a range, an alternative, a sum, a list up to the end of the line.
SECOND = re.compile(
    rf"{CLOSERS}(?:(?:{_JOINER})[ \t\"'“”‘’(\[<]*{_FILLER}|(?<=[ \t\"'“”‘’])"
    rf"|[,;|(]?[ \t]*[(]?(?:or|maybe|perhaps|possibly|arguably|也许|可能)[ \t]*(?:(?:even|an?)[ \t]+){{0,2}}"
    rf"|[,;|][ \t\"'“”‘’(\[<]*(?=\d[\d.,;|/ \t]*$))\d"
    r"|[ \t]+or\b[^\d\n.]{0,20}\d"
    r"|\W{1,4}(?:should|ought[ \t]+to)[ \t]+(?:(?:really|rather)[ \t]+)?be[ \t]+(?:an?[ \t]+)?\d"
    r"|分?[ \t]*扣\d|分?[^\d\n。]{0,3}扣\d{1,2}分?[^\d\n。]{0,6}(?:共|得|剩|为|即|=)[ \t]*\d"
    r"|[ \t]+or[ \t]+(?:(?:a|low|high)[ \t]+){0,2}(?:more|higher|less|lower|above|below|\d|one|two|three|four|five)\b"
    r"|[ \t]*\([^()\n]{1,60}\)[ \t]*[/,;|&][ \t]*(?:and[ \t]+)?\d{1,2}(?:\.\d{1,2})?[ \t]*\("
    r"|[ \t]+(?:or[ \t]+so|at[ \t]+(?:least|most|best)|and[ \t]+(?:above|below|up)(?![ \t]+[a-z]))\b"
    r"|(?:[ \t]*\([^()\n]{1,40}\))?[ \t]*(?:→|[-=]>)[^\d\n]{0,12}\d|\W{1,6}(?:actually|wait|no,)[^\d\n]{0,30}\d"
    r"|\W{1,6}(?:no|sorry|hmm+|oops|scratch[ \t]+that|make[ \t]+(?:it|that)|correction|(?:or[ \t]+)?rather"
    r"|i[ \t]+mean|(?:let's|let[ \t]+me|i(?:[ \t]+would|'d)?)[ \t]+say|on[ \t]+(?:second[ \t]+thoughts?|reflection))"
    r"\W{0,4}(?:an?[ \t]+)?\d"
    r"|[^\w\n]{0,3}(?:现|后|我|故)?(?:改|更正|修正|调整|上调|下调|升|降|提高|提升|降低|四舍五入)(?:为|成|到|至)[ \t]?\d"
    r"|[ \t]*(?:±|\+/?[-−]|plus[ \t]+or[ \t]+minus\b|give[ \t]+or[ \t]+take\b)"
    r"|[ \t]+(?:minimum|maximum|min|max|tops)\.?(?=[^\w\n]*$)"
    r"|[ \t]*,?[ \t]*(?:minus|less)[ \t]+(?:\d|one|two|half|an?[ \t]+(?:half|point))\b|[加减]\d"
    rf"|{CLOSERS}{UNIT}{CLOSERS}(?:[{DASHES}~]|(?:to|or)\b|到|至|还是|或[者是]?)[ \t]*{_FILLER}\d{{1,3}}[ \t]*{UNIT}",
    re.IGNORECASE,
)
# What makes the number a part of another word or number; a new sentence may follow without a space.
GLUED = re.compile(
    r"[.,/:]\d|[.,/]?[ \t]*[¼-¾⅐-⅞↉]|[ \t]*(?:%|per[ -]?cent\b|pct\b|prozent\b|por[ \t]+ciento\b|процент)"
    r"|[ \t]+and[ \t]+a[ \t]+half\b|e[-+]?\d|\+(?![ \t]*\d)|-?ish\b|分?(?:[中里多]|以[上下]|左右|上下)|比\d|成(?!绩)"
    r"|分(?:制|满分)|[点點]\d|-(?=[ \t]*$)"
    r"|(?!(?:points?|pts|stars?|out|of|to|or|and|p)(?![a-z])|(?-i:[A-Z][a-z]{2}))[a-z]",
    re.IGNORECASE,
)
# The score that the judge made of it after all: "3, raised to 4", "3.5 (rounded to 4)"; not "it would raise it to 5".
_CHANGED = re.compile(
    r"(?:^|[.;!?])(?:(?!\b(?:would|could|might|may|can|should|will|to|if|not|never)\b|'d\b|n't\b)[^\d.;!?\n]){0,60}?"
    r"\b(?:raised?|lower(?:ed)?|upgraded?|downgraded?|bump(?:ed)?|increased?|decreased?|reduced?|round(?:ed)?|adjust(?:ed)?"
    r"|changed?|revised?|correct(?:ed)?|update|updated|amend(?:ed)?|settled?|moved?)"
    r"(?:[ \t]+(?:it|this|that|my|the|score|rating|up|down)){0,3}(?:[ \t]+from[ \t]+(?:an?[ \t]+)?\d(?:\.\d{1,2})?)?"
    r"[ \t]+(?:to|on|as)[ \t]+(?:an?[ \t]+)?(?P<new>\d{1,2}(?:\.\d{1,2})?)(?:[ \t]*/[ \t]*\d{1,3})?"
    rf"(?:[ \t]*{UNIT})?(?=[ \t]*(?:[^\w\s]|$|(?:because|since|for|as|due|given|overall|instead)\b))",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"\d")
_IN_BRACKETS = re.compile(r"[ \t]*\([ \t]*(?P<new>\d{1,3}(?:\.\d{1,2})?)[ \t]*\)")
# What speaks of a score rather than giving it: "Score: 5 would need examples".
SUPPOSED = re.compile(
    rf"{CLOSERS}(?:{UNIT}{CLOSERS})?[,;]?[ \t]*(?:\?|(?:at[ \t]+first|initially|so[ \t]+far|for[ \t]+now|if|when|unless"
    r"|would|could|might|should|requires?|needs?|means?|demands?|implies|(?:is|was)n't)\b"
    r"|(?:is|was)[ \t]+(?:for|reserved|given|only|when|if|not|the[ \t]+(?:highest|maximum|lowest|top)"
    r"|what[ \t]+i[ \t]+(?:would|could|might))\b"
    r"|(?:is|was|seems|looks|feels)[ \t]+(?:(?:a[ \t]+(?:bit|little)|rather|somewhat|far|much)[ \t]+)?"
    r"(?:too|low|high|harsh|generous|unfair)\b"
    r"|(?:则|才|需要|要求|意味着|表示|应该|将会|会是|太|过[高低]|偏[高低]))",
    re.IGNORECASE,
)
# What is counted, and is no score: "5 minutes", "3 tips are given", "2 minor issues". A word in -s may be a verb, too.
COUNTED = re.compile(
    rf"[ \t]+(?:(?:minor|major|main|key|small|big|good|serious|different|clear|more|other|new|factual)[ \t]+)?"
    rf"(?!(?:{UNIT}|marks|as|[\w]*ss|[a-z]?is|th[iu]s|[hw]as|its|plus|minus|always|perhaps|besides|towards|across|looks|feels"
    r"|seems|means|needs|stands|remains|appears|applies|fits|suits|matches|makes|gives|shows|reflects|requires|represents|indicates|captures"
    r"|describes|suggests|acknowledges)\b)(?:(?-i:[a-z]{2,20}s)|criteria|people|percent)\b(?![ \t]*:)"
    r"|[ \t]*分钟|(?:小时|个|条|项|种|次|处|秒|天|年|句|字|元|人|篇|步)",
    re.IGNORECASE,
)


def other_number(rest: str, value: float, high: int) -> bool:
    """Whether what follows a number makes it another one; `high` in brackets is its total."""
    if _DIGIT.search(rest) is None:
        return False
    beside, changed = _IN_BRACKETS.match(rest), _CHANGED.search(rest)
    return (beside is not None and float(beside["new"]) not in (value, high)) or (
        changed is not None and float(changed["new"]) != value
    )
