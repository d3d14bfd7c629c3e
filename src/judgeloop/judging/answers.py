"""Which of the answers in a judge's text counts: what scores and verdicts have in common.

The first complete answer wins over what the judge rambles on with. A later answer that is called final or corrects the
first wins over the draft. Two answers that contradict each other, with no sign which counts, are none.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from judgeloop.judging.parts import in_parts

Value = TypeVar("Value")

WEAK, PLAIN, TOTAL, FINAL, OWN = range(-1, 4)  # ranks: a higher one wins wherever it is in the text

# Each character that a reader takes for another one, as that one: forms of full width, spaces of all kinds, what is not
# seen at all, hyphens and marks that look the same.
_USUAL_FORMS = str.maketrans(
    {
        **{chr(letter + 0xFEE0): chr(letter) for letter in (*range(65, 91), *range(97, 123))},  # ＡＢＣ
        **dict(zip("０１２３４５６７８９：．／－（）＋＝％，；［］【】｛｝｜＜＞",
                   "0123456789:./-()+=%,;[][]{}|<>", strict=True)),
        **dict.fromkeys("\u00a0\u1680\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B))), " "),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufe0e\ufe0f\ufeff", " "),
        **dict.fromkeys("\u2010\u2011\u2012\u2015\ufe63", "-"),
        **dict.fromkeys("～〜∼", "~"),
        **dict.fromkeys("⁄∕", "/"),
        **dict.fromkeys("⇒⟹⟶➔➙➜➝➞", "→"),
        **dict(zip("🅰🅱ⒶⒷ", "ABAB", strict=True)),
        # 𝐁𝐨𝐥𝐝, 𝘪𝘵𝘢𝘭𝘪𝘤, 𝟜 and the like
        **{chr(code): unicodedata.normalize("NFKC", chr(code)) for code in range(0x1D400, 0x1D800)
           if len(unicodedata.normalize("NFKC", chr(code))) == 1},
    }
)  # fmt: skip
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&nbsp;": " "}
_ENTITY = re.compile("|".join(_ENTITIES))
_FRACTION = re.compile(r"\\[dt]?frac[ \t]{0,4}\{(?P<part>[\d.]{1,9})\}[ \t]{0,4}\{(?P<whole>[\d.]{1,9})\}")
# What carries no meaning around an answer: Markdown, LaTeX, HTML, what is struck through.
_DECORATION = re.compile(
    r"\\(?:boxed|fbox|text(?:bf|it|rm)?|math(?:bf|rm))[ \t]{0,4}\{|\\[()\[\]]|[$*_`#]"
    r"|~(?:~[^~\n]{1,80}~~|(?<![~\w]~)(?=[^\W\d])[^~\n]{1,80}(?<=\S)~(?![~\w]))|<(?P<struck>s|del|strike)>[^<\n]{1,80}</(?P=struck)>"
    r"|</?(?:(?-i:[biup])|em|strong|code|span|h[1-6]|div|li)>|<br ?/?>",
    re.IGNORECASE,
)
# What an answer may follow: the start of a line or a sentence, a list mark, words that introduce a conclusion.
BEGINNING = r"""(?x:(?:^|[\n\r.!?。！？;；]|,[ \t\n]*(?=["'])
    |(?:(?<=[:/]\d)|(?<=[:/][ ]\d))分?[ \t]{0,3}(?=(?-i:[A-Z\u4e00-\u9fff]))
    |,[ \t]*(?=(?:(?:but|yet|the|my|so|thus)[ \t]+){0,2}(?:final|total|overall|revised)\b|最终|总|综合|[得评打]分))
    [^\w\n\r…]{0,40}(?:\d{1,2}[.)、][ \t]{1,4})?
    (?:(?:(?:final[ \t]+|my[ \t]+)?
      (?:answer|verdict|judge?ment|evaluation|assessment|result|conclusion|output|assistant|judge)
      |final|correction|edit|revis(?:ed|ion)|updated?|最终(?:答案|结果|结论)?|最后|答案|评价|评估|结论|结果
      |更正|修正|修改后?|改正|调整后?)[ \t]*(?:\]?[ \t]*:|\])[^\w\n\r…]{0,20}
     |(?:no|actually)[ \t]*,[ \t]*
     |on[ \t]+an?[ \t]+scale[ \t]+(?:of|from)[ \t]+\d{1,3}[ \t]*(?:to|-|–)[ \t]*\d{1,4}[ \t]*,[ \t]*
     |(?:as[ \t]+it[ \t]+stands|however|still|nevertheless|nonetheless|ultimately|on[ \t]+balance|all[ \t]+in[ \t]+all
      |in[ \t]+my[ \t]+(?:opinion|view|judge?ment)|to[ \t]+me)[ \t]*,[ \t]*
     |(?:but[ \t]+|yet[ \t]+)?(?:therefore|thus|so|hence|accordingly|in[ \t]+(?:summary|conclusion|total|short)
      |to[ \t]+(?:sum[ \t]+up|conclude)|finally|overall)[ \t]*,?[ \t]+
     |(?:综上所述|综上|因此|所以|故|总之|总的来[说看]|[总整]体(?:上|来[说看]|而言)|综合(?:来看|考虑|而言)|相比之下|相比而言
      |满分\d{1,3}分)[ \t]*,?[ \t]*)?
    ["'“”‘’「『(\[{<]{0,4})"""
FINAL_WORDS = re.compile(
    r"final|revised|corrected|updated|adjusted|amended|reconsidered|\bnew\b|最终|最終|最后|修正|更正|修改|调整",
    re.IGNORECASE,
)
_CORRECTION = re.compile(
    r"\b(?:correct(?:ion|ed|ing)|revis(?:ed?|ion|ing)|updat(?:ed?|ing)|adjust(?:ed|ing|ment)?|amend(?:ed|ment)?|"
    r"reconsider(?:ed|ing|ation)?|on (?:second thoughts?|reflection)|second thoughts?|wait|actually|hmm?|no[,:]|oops|"
    r"sorry|my mistake|instead|settle|chang(?:e|ing) (?:my|the|this|it)|re-?evaluat\w+)\b"
    r"|\bfinal(?:[ \t]+(?:answer|verdict|judge?ment|evaluation|assessment|result|decision|output))?[ \t]*:"
    r"|\bno[,:]|(?:^|[\n。])不,|应[为是][ \t]{0,2}\d|最终(?:答案|结果|结论|判断)?[ \t]*:"
    r"|更正|修正|修改|改为|改成|调整|重新|不对|等等|抱歉|其实",
    re.IGNORECASE,
)
_BEFORE_ANSWER = 120  # characters before an answer in which a correction is announced
# A paragraph that begins so is a second thought, however long it is.
_SECOND_THOUGHT = re.compile(
    r"^[^\w\n]{0,20}(?:(?:wait|actually|hmm?|oops|sorry|on (?:second thoughts?|reflection)|(?:up)?on re-?\w+|"
    r"on closer (?:inspection|reading|look)|(?:looking|reading|checking) (?:it )?again|"
    r"let me (?:re-?|double-?|look|check)\w*|edit|correction)\b"
    r"|更正|修正|重新|不对|等等|抱歉|其实)",
    re.IGNORECASE | re.MULTILINE,
)
_NEW_TURN = re.compile(
    r"^[^\w\n]{0,20}(?:(?:user|human|assistant|instruction|prompt|question|query|example|input|task|request|model|system"
    r"|(?:the[ \t]+)?(?:instruction|response)[ \t]+to[ \t]+evaluate|task[ \t]+description)[ \t]*[\dA-Z]?[ \t]*[:\n]"
    r"|(?:new|next|another)[ \t]+(?:example|response|question|prompt|instruction|task|case)\b"
    r"|(?:用户|人类|助手|问题|指令|示例|例子|提问)[ \t]*\d?[ \t]*:)"
    r"|<(?:response|instruction|other_response|answer)|\[INST\]"
    # `plain` took the underscores of control tokens: "<|im_start|>", "<end_of_turn>", "<｜User｜>".
    r"|<\|(?:im.(?:start|end)|start.header.id|eot.id|end(?:.?of.\w+)?|user|human)\|>|<(?:start|end).of.turn>",
    re.IGNORECASE | re.MULTILINE,
)
_NUMBERED = re.compile(r"[^\w\n]*\d{1,2}[.)、].{1,80}")
_HEADING = re.compile(rf"{_NUMBERED.pattern}|[^.!?。！？\n]{{1,60}}:[^\w\n]*")
# What a judge was shown, in the tags that it was shown in.
_SHOWN = re.compile(
    r"<(?P<tag>response|other_response|instruction|prompt|judgement_[ab])>(?:(?!<(?P=tag)>).)*?</(?P=tag)>",
    re.IGNORECASE | re.DOTALL,
)
# What a judge quotes in a block of its own, a fence or lines after ">": "The response ends with:".
_QUOTED = re.compile(
    r"\b(?<!my )(?:response|answer|assistant|reply|output|it)\b[^\n:]{0,60}\b(?:contains|sa(?:ys|id)|ends|includes"
    r"|reads|states|writes|wrote|claims|begins|starts|adds|appends)\b[^\n:]{0,40}:[ \t]*\n\s{0,4}"
    r"(?P<block>```.{0,4000}?```|(?:>[^\n]*(?:\n|$))+)",
    re.IGNORECASE | re.DOTALL,
)
# What a judge repeats of its task under names instead of tags: "Response: …", then "Evaluation: …".
_REPEATED = re.compile(
    r"^[^\w\n]{0,9}(?:the[ \t]+)?(?:(?:user|model|ai|candidate)(?:'s)?[ \t]+)?(?:response|回答|回复)"
    r"(?:[ \t]+to[ \t]+(?:be[ \t]+)?(?:evaluate|judge|score|grade|rate)d?)?[^\w\n]{0,4}:",
    re.IGNORECASE | re.MULTILINE,
)
_EVALUATION = re.compile(
    r"^[^\w\n]{0,9}(?:my[ \t]+|your[ \t]+)?(?:evaluation|assessment|judge?ment|critique|feedback|analysis|review"
    r"|评价|评估|评语|评审|分析)[^\w\n]{0,4}[:\n]",
    re.IGNORECASE | re.MULTILINE,
)
_CONTRADICTION = "two answers and no sign which counts"
_CRITERIA = "answers to single criteria and no total"


@dataclass(frozen=True, slots=True)
class Answer(Generic[Value]):
    """An answer found at `start` to `end` of a text: a value, or None with the reason why it cannot be read."""

    start: int
    end: int
    value: Value | None
    reason: str | None
    rank: int = PLAIN


def plain(text: str) -> str:
    """A text of the same length without what carries no meaning: forms of characters, Markdown, LaTeX, HTML."""
    bare = _ENTITY.sub(lambda match: _ENTITIES[match.group()].ljust(len(match.group())), text.translate(_USUAL_FORMS))
    bare = _FRACTION.sub(lambda match: f"{match['part']}/{match['whole']}".rjust(len(match.group())), bare)
    return _DECORATION.sub(lambda match: " " * len(match.group()), bare)


def usual_forms(text: str) -> str:
    """The text with letters, digits, spaces and marks that look like usual ones as these."""
    return text.translate(_USUAL_FORMS)


def masked(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """The text with dots in place of the spans, which are in order: nothing begins a line by it."""
    pieces, done = [], 0
    for start, end in spans:
        start = max(start, done)
        if start < end:
            pieces += [text[done:start], "…" * (end - start)]
            done = end
    return "".join([*pieces, text[done:]])


def without_repeated(text: str) -> str:
    """The text with dots in place of what a judge repeats of its task, in the tags that it was shown in or under the
    name "Response:", and of blocks that it says are the response's. If one element is all of the text, it is the
    judge's own."""
    elements = [element.span() for element in _SHOWN.finditer(text)]
    rest = masked(text, elements)
    rest = rest if len(elements) > 1 or re.search(r"\w", rest) else text
    if any(word in rest for word in ("esponse", "RESPONSE", "回")):  # most texts need no search
        named = _REPEATED.search(rest)
        evaluation = _EVALUATION.search(rest) if named is not None else None
        if named is not None and evaluation is not None and named.end() < evaluation.start():
            rest = masked(rest, [(named.end(), evaluation.start())])
    if "```" not in rest and "\n>" not in rest:
        return rest
    return masked(rest, [quoted.span("block") for quoted in _QUOTED.finditer(rest)])


def settle(text: str, answers: Sequence[Answer[Value]], *, scored: bool = False) -> Answer[Value] | None:
    """The answer that counts, among those found in `text` (as `plain` gives it); None if there is none. `scored`: the
    same answer to each of several parts is none to the whole, as two criteria that get 1 point each."""
    if not answers:
        return None
    ordered = sorted(answers, key=lambda answer: (answer.start, answer.end))
    turn = _NEW_TURN.search(text, ordered[0].end)
    if turn is not None and not _other_side(text[: ordered[0].start], turn):  # an example of the judge's own
        ordered = [answer for answer in ordered if answer.start < turn.start()]
    corrected, lifted = [False], [False]
    for before, answer in itertools.pairwise(ordered):
        since = max(before.end, answer.start - _BEFORE_ANSWER)
        second = _SECOND_THOUGHT.search(text, before.end, answer.start) is not None
        announced = second or _CORRECTION.search(text, since, answer.end) is not None
        corrected.append(announced)
        # A weak one, such as a box, takes a second thought of its own: the words of a correction may be about it.
        lifted.append(second or (announced and answer.rank >= PLAIN))
    ordered = [
        replace(answer, rank=max(answer.rank, FINAL)) if lift else answer
        for answer, lift in zip(ordered, lifted, strict=True)
    ]
    top = max(answer.rank for answer in ordered)
    chosen: Answer[Value] | None = None
    last: Answer[Value] | None = None
    others = 0
    for answer, new in zip(ordered, corrected, strict=True):
        if answer.rank != top:
            continue
        if chosen is None or last is None or new:
            chosen = answer
        else:
            differs = (answer.value, answer.reason) != (chosen.value, chosen.reason)
            if differs and (top == WEAK or _adjacent(text, last, answer)):
                return replace(chosen, value=None, reason=_CONTRADICTION)
            heading = _HEADING if differs else _NUMBERED
            others += all(heading.fullmatch(_line_before(text, one)) for one in (chosen, answer))
            others += (differs or scored) and in_parts(text, chosen.start, last.end, answer.start, alike=not differs)
        last = answer
    if chosen is not None and others:
        return replace(chosen, value=None, reason=_CRITERIA)
    return chosen


def _other_side(before: str, turn: re.Match[str]) -> bool:
    """Whether a turn is no other's but the second of two that the text goes through: "Assistant A", "Assistant B"."""
    name = re.fullmatch(r"\W*(?P<word>[^\W\d_]+)[ \t]*[2B][ \t]*:?\s*", turn.group(), re.IGNORECASE)
    return name is not None and re.search(rf"\b{name['word']}[ \t]*[1A]\b", before, re.IGNORECASE) is not None


def _adjacent(text: str, first: Answer[Value], second: Answer[Value]) -> bool:
    """Whether no line of other words lies between two answers."""
    line_end = text.find("\n", first.end, second.start)
    return line_end < 0 or re.search(r"\w", text[line_end : second.start]) is None


def _line_before(text: str, answer: Answer[Value]) -> str:
    line_start = text.rfind("\n", 0, answer.start)
    before = text[max(0, line_start - 200) : max(0, line_start)].rstrip()
    return before[before.rfind("\n") + 1 :]
