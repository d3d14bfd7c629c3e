"""Which tokens of a vocabulary are no words: what a user writes must never become one of them."""

from __future__ import annotations

import re
from typing import Any

# Added tokens that are not "special" to the tokenizer and still mean something other than their letters: a name in
# brackets or bars of any kind ("<tool_call>", "[EOT]", "]~b]"). Not the words, spaces and HTML tags that some
# vocabularies add for text.
_CONTROL_LIKE = re.compile(r"[^\w\s▁](?=.*\w).*[^\w\s▁]", re.DOTALL)
_HTML = re.compile(
    r"</?(?:table|caption|thead|tbody|tfoot|tr|th|td|h[1-6]|blockquote|p|div|span|br|hr|ul|ol|li|dl|dt|dd|pre|code|a|img"
    r"|strong|em|b|i|u|s|sub|sup)>"
)


def control_tokens(tokenizer: Any, template: str) -> tuple[str, ...]:
    """Names of the control tokens, long ones first: the special ones, those that look like one, and added ones that the
    chat template writes."""
    found = {str(token) for token in tokenizer.all_special_tokens}
    for token in getattr(tokenizer, "added_tokens_decoder", {}).values():
        name = str(token).strip()
        like = _CONTROL_LIKE.fullmatch(name) and not _HTML.fullmatch(name)
        if token.special or like or str(token) in template:
            found.add(str(token))
    return tuple(sorted((token for token in found if token.strip()), key=lambda token: (-len(token), token)))
