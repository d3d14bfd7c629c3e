"""The parts of a judge's text, each with an answer of its own: criteria, or the two responses, and no total.

Texts are as `plain` of answers.py gives them: Markdown's marks are spaces.
"""

from __future__ import annotations

import re

_NEAR = 1000  # characters above an answer in which its part's name is looked for
_LIST_MARK = r"(?:\d{1,2}[.)、][ \t]{0,4}|[-•+][ \t]+)"
# What begins a part, on a line that holds an answer too: "2. Clarity: … Score: 2", "<clarity><score>".
_PART = re.compile(
    r"[^\w\n]*\d{1,2}[.)、].*|[ \t]*-[ \t].*|.*<[\w -]{1,30}>[ \t]*"
    r"|[^\w\n]*criterion[ \t]*(?:\d|[A-J]\b).*",
    re.IGNORECASE,
)
# The name of a part, on a line that Markdown's marks were taken off: "### Clarity", "**Clarity:** It is unclear."
_TITLE = re.compile(
    r"[ \t]{2,}(?:\d{1,2}[.)][ \t]{1,4})?(?P<name>[^\s.!?。！？:][^.!?。！？:\n]{0,59})(?::.*)?"
    r"|[^\w\n]*(?P<criterion>criterion[ \t]*(?:\d+|[A-J]\b)).*",
    re.IGNORECASE,
)
# The name right above or before an answer, with no marks: "Clarity", "clarity:", "- criterion: clarity".
_NAME = re.compile(
    rf"[ \t]*{_LIST_MARK}?(?:(?:criterion|criteria|name|aspect|dimension|category|metric|response|model|评分项|维度)"
    r"[ \t]?:[ \t]?)?(?P<name>[^\W\d][^.,;!?。，；！？:=\n<>]{0,40}?)[ \t]*:?[ \t]*",
    re.IGNORECASE,
)
_LEAD = re.compile(rf"[^\w\n]*{_LIST_MARK}?(?P<name>[^\W\d][^.,;!?。，；！？:=\n<>]{{0,40}}?)[ \t]*:[ \t].*")
_ELEMENT = re.compile(r"(?P<name><[^\W\d][^<>\n]{0,60})>\s{0,20}$")
# What names all of a judgement, or speaks about it, and no part of what is judged. A side does: "Response A".
_WHOLE = re.compile(
    r"(?:the|this|it|its|i|my|your|an?)\b.*|.*\b(?:overall|final|total|score|scoring|rating|grade|revised)\b.*"
    r"|(?:.*[ \t])?(?:summary|conclusion|verdict|result|decision|evaluation|assess(?:ment|or)|judge?ments?|judge"
    r"|reason(?:s|ing)?|rationale|justification|explanation|feedback|analysis|critique|comments?|notes?|review"
    r"|correction|edit|update|thoughts?|step|draft|output|answer|response|so|therefore|thus|hence|wait|actually|however)"
    r"|.*(?:总|综合|最终|结论|评价|评估|评语|评分|得分|分析|理由|反馈|修正|更正).*",
    re.IGNORECASE,
)


def in_parts(text: str, first: int, before: int, second: int, *, alike: bool) -> bool:
    """Whether the answers that start at `first` and `second` are those of two parts; `before` is where the answer
    before the second ends. With `alike` they say the same, which a text may repeat: then each must have a name above it
    and nothing else that could be one."""
    if alike:
        names = [_only_name(text[:first]), _only_name(text[before:second])]
        elements = all((name or "").startswith("<") for name in names)  # such may have one name: <criterion>
        return None not in names and (elements or names[0] != names[1])
    own = [text[text.rfind("\n", 0, start) + 1 : start] for start in (first, second)]
    titles = [_last_title(lines) for lines in (text[:first], text[before:second].partition("\n")[2])]
    return (
        all(_PART.fullmatch(line) for line in own)
        or (None not in titles and titles[0] != titles[1])
        or in_parts(text, first, before, second, alike=True)
    )


def _last_title(above: str) -> str | None:
    """The title nearest to the end of a text, without its last line."""
    found = [_TITLE.fullmatch(line.rstrip()) for line in above[-_NEAR:].split("\n")[:-1]]
    names = [title["name"] or title["criterion"] for title in found if title is not None]
    return names[-1].strip().casefold() if names else None


def _only_name(above: str) -> str | None:
    """The name of the part that ends a text: of the element that holds it, in the lead of its last line, on the line
    right above, or the one title in it. None if it is the name of the whole."""
    lines = above[-_NEAR:].rstrip(" \t").split("\n")
    element = _ELEMENT.search(above[-_NEAR:])
    lead = _LEAD.fullmatch(lines[-1])
    line_above = _NAME.fullmatch(next((line for line in reversed(lines[:-1]) if line.strip()), ""))
    titles = [title for line in lines[:-1] if (title := _TITLE.fullmatch(line.rstrip())) is not None]
    named = [name for title in titles if not _WHOLE.fullmatch(name := (title["name"] or title["criterion"]).strip())]
    for found in (element, lead, line_above):
        if found is not None:
            return None if _WHOLE.fullmatch(found["name"].strip(" \t<")) else found["name"].strip().casefold()
    return named[0].casefold() if len(named) == 1 else None
