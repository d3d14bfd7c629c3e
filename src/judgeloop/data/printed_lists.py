"""Lists and objects as Python and numpy print them: what a table of lists becomes when it is saved as CSV.

numpy puts blanks and line breaks where Python has commas (`['a' 'b']`), and Python would read two strings that stand
side by side as one; inside lists it writes `array([…], dtype=object)` and `np.float64(5.0)`.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings

_BEGINNING = re.compile(r"""\[\s*(?:['"{]|None\b|nan\b|array\()|\{\s*['"]""")
_LONGEST = 1_000_000  # characters; JSON has no such limit
_NAMES = {"nan": "None", "None": "None", "True": "True", "False": "False", "True_": "True", "False_": "False"}
_BLANK = (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
_OPENED, _CLOSED = ("(", "[", "{"), (")", "]", "}")


def printed_value(text: str) -> object:
    """The value that was printed. Raises ValueError, SyntaxError, MemoryError or RecursionError if none was."""
    if _BEGINNING.match(text) is None or len(text) > _LONGEST:
        raise ValueError(text[:20])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # of escapes that Python does not know
        return ast.literal_eval(_with_commas(text))


def _with_commas(text: str) -> str:
    """The text with a comma between any two values that stand side by side, and numpy's calls as what they hold."""
    try:
        found = [t for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type not in _BLANK]
    except tokenize.TokenError as error:
        raise ValueError(str(error)) from error
    parts: list[str] = []
    calls: list[bool] = []  # of the brackets that are open: whether it is a call's
    ended = left_out = False  # the last token ended a value; the rest of a call says how it is stored
    for before, token, after in zip([None, *found], found, [*found[1:], None], strict=False):
        word, following = token.string, after.string if after is not None else ""
        if word in _CLOSED and calls and calls.pop():
            left_out, ended = False, True
            continue
        left_out = left_out or (word == "," and bool(calls) and calls[-1])
        if left_out or (word == "." and before is not None and before.string == "np"):
            continue
        named = before is not None and before.type == tokenize.NAME
        if word in _OPENED:
            calls.append(word == "(" and named)
            if calls[-1]:
                parts.append("," if ended else "")
                ended = False
                continue
        elif token.type == tokenize.NAME and (following in ("(", ".") or word not in _NAMES):
            if word not in ("array", "np") and (before is None or before.string != "."):
                raise ValueError(word)
            continue
        signed = word == "-" and following[:1].isdigit()
        begins = word in _OPENED or signed or token.type in (tokenize.STRING, tokenize.NUMBER, tokenize.NAME)
        parts.append(f"{',' if ended and begins else ''}{_NAMES.get(word, word)}")
        ended = word in _CLOSED or (begins and word not in _OPENED and not signed)
    return "".join(parts)
