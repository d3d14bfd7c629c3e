"""What an endpoint's refusal means: worth another try, a matter of one request alone, or the user's to mend. No message
holds the key."""

from __future__ import annotations

import re
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

from judgeloop.engines.endpoint_address import LOOPBACK, address_doubt
from judgeloop.engines.endpoint_key import ApiKey
from judgeloop.engines.endpoint_words import Words, wait_asked_for
from judgeloop.engines.messages import CONTENT_REFUSED, TOO_LONG, Refused
from judgeloop.errors import InputError

_BUSY = (408, 409, 425, 429, 498)
_SHOWN = 300  # characters of an endpoint's words
_PAY = re.compile(
    r"insufficient_quota|(?:insufficient|not enough|low|out of|add|purchase|no) (?:\w+ )?(?:balance|credits?|funds)"
    r"|balance is (?:too low|insufficient|not enough)|billing_(?:hard_limit|not_active)|arrearage|余额不足|欠费"
    r"|exceeded_current_quota_error|account balance|account .{0,80}suspended",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(
    r"model_not_found|model_not_exist|model_decommissioned|DeploymentNotFound"
    r"|\b(?:invalid|unknown|no such|not a valid|incorrect) model\b"
    r"|\b(?:model|deployment)\b.{0,120}?(?:not (?:be )?found|(?:not|n't) exist|not (?:a )?valid|not loaded|decommission"
    r"|deprecated|does not have access|retired)|does not have access to (?:the )?model|模型不存在",
    re.IGNORECASE,
)
_ABOUT_KEY = re.compile(r"\bkey\b|token|authenti|authori|credential|log ?in|sign ?in|forbidden", re.IGNORECASE)
_BAD_KEY = re.compile(r"api[ _-]?key\b.{0,60}?(?:not valid|invalid|missing|required|incorrect|not provided)"
                      r"|(?:no|invalid|missing|incorrect) api[ _-]?key", re.IGNORECASE)  # fmt: skip
_HTTPS = re.compile(r"HTTP request (?:was sent to|to an) HTTPS|HTTPS port", re.IGNORECASE)
_PREFILL = re.compile(
    r"pre-?fill|add_generation_prompt|last (?:message|role|turn)|(?:end|ends|ending) with (?:a |the )?user"
    r"|(?:roles?|conversation|messages) must|alternat|assistant (?:message|role|turn)",
    re.IGNORECASE,
)
_TOO_MANY = re.compile(
    r"max_?(?:completion|output|new)?_?tokens\b.*(?:too (?:large|high|big)|at most|less than|exceed|range|maximum"
    r"|between|no more|larger than|greater than|<=|≤)|range of max_tokens",
    re.IGNORECASE,
)
_LONG = re.compile(
    r"context_length_exceeded|exceed_context|context[ _]?(?:length|size|window|limit)|maximum (?:context|prompt|input)"
    r"|(?:prompt|input|message|request|text|content)s?\b.{0,40}? (?:is|are|was) too (?:long|large)"
    r"|too many (?:input )?tokens|request too large|too large for model"
    r"|(?:reduce|shorten) (?:the|your) (?:length|input|prompt|message)"
    r"|`inputs` tokens|input token count|string_above_max_length|range of input length",
    re.IGNORECASE,
)
# A limit of tokens a minute that one request alone exceeds: waiting does not help.
_NEVER_FITS = re.compile(r"request too large for|tokens must be reduced", re.IGNORECASE)
_FILTER = re.compile(
    r"content[_ -]?(?:filter|policy|moderat|management policy)|responsibleai|data_?inspection|content exists risk"
    r"|inappropriate content|usage (?:policy|policies|guidelines)|guardrail|invalid_prompt|requires moderation"
    r"|(?:input|prompt|message|content|text)s?\b.{0,20}? (?:was|were|is|has been) (?:flagged|blocked|rejected)"
    r"|safety (?:system|filter|polic|check|setting)|prohibited_content|敏感|违规|不安全",
    re.IGNORECASE,
)
_CUT = re.compile(r"could not finish the message because max_tokens|output limit was reached", re.IGNORECASE)


class Retry(Exception):
    """Worth another try: `cause` is counted, `wait` is how long the endpoint asks to wait, in seconds. `malformed`:
    there was an answer, but not of this API. `words`: what was said about it."""

    def __init__(self, cause: str, wait: float | None = None, *, malformed: bool = False, words: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.wait = wait
        self.malformed = malformed
        self.in_brackets = f" ({words})" if words else ""


class NotAnswered(Exception):
    """This one request is not answered, however often it is asked; others are. `reason` is one of a few; None if the
    answer was cut off before its first word. `words`: what was said about it."""

    def __init__(self, reason: str | None, words: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.words = words


@dataclass(frozen=True, slots=True)
class Refusals:
    """Reads the refusals of the endpoint at `url`; `name` is the model asked for."""

    url: str
    name: str
    key: ApiKey

    def of_one_request(self, code: int, words: Words) -> NotAnswered | None:
        """The error of a request whose own text is refused: too long for the model, or not to the liking of a filter.
        None if the refusal is about anything else."""
        said = self.shown(words)
        if code in (400, 413, 422, 500) and _CUT.search(words.text):
            return NotAnswered(None, said)
        if code == 413 or (code in (400, 422, 500) and _LONG.search(words.all)) or _NEVER_FITS.search(words.text):
            return NotAnswered(TOO_LONG, said)
        if code in (400, 403, 422, 451, 500) and _FILTER.search(words.all) and "account" not in words.text:
            return NotAnswered(CONTENT_REFUSED, said)
        return None

    def refusal(self, code: int, headers: Mapping[str, str], words: Words, *, begun: bool = False) -> Exception:
        """The error that an answer with this status means. `begun`: the endpoint was to go on with a begun answer."""
        said = self.shown(words)
        if begun and code not in (401, 402, 429) and _PREFILL.search(words.all):
            never = "set endpoint.begin_score: never"
            return Refused(f"{self.url}: goes on with no begun answer ({code}: {said}); {never}", code, said)
        if _HTTPS.search(words.text):
            return InputError(f"{self.url}: speaks https ({code}: {said}); let the URL begin with https://")
        if code == 402 or (code in (400, 403, 429) and _PAY.search(words.all)):
            return InputError(
                f"{self.url}: the account's quota or balance is used up ({code}: {said}); raise it, then start the "
                "command again"
            )
        if code in (400, 403, 404, 422) and _NO_MODEL.search(words.all):
            model = f"the model '{self.name}'" if self.name else "this model"
            return InputError(f"{self.url}: does not give {model} ({code}: {said}); check the URL and the model's name")
        if code in (401, 403) or (code in (400, 422) and _BAD_KEY.search(words.all)):
            return self._no_access(code, words, said)
        if code in (404, 405, 410, 501):
            doubt = address_doubt(self.url)
            return InputError(
                f"{self.url}: not found ({code}: {said}); check the URL{doubt} and the model '{self.name}'"
            )
        if code in _BUSY or code >= 500:
            return Retry(str(code), wait_asked_for(headers) or words.wait, words=said)
        if 300 <= code < 400:
            found = {name.lower(): value for name, value in headers.items()}
            there = urllib.parse.urljoin(self.url, found.get("location", ""))
            return InputError(f"{self.url}: redirects to {self.key.hidden(there)}; give that address")
        mend = (
            "lower judge.sampling.max_new_tokens" if _TOO_MANY.search(words.all) else "mend the options or the prompts"
        )
        return Refused(f"{self.url}: refuses the request ({code}: {said}); {mend}", code, said)

    def _no_access(self, code: int, words: Words, said: str) -> InputError:
        """401 (Google: 400) is about the key; 403 may have another cause, which its words tell: a region, a project, a
        firewall."""
        variable = self.key.variable
        if not self.key.value:
            mend = f"the key in {variable} is not set, put a valid one into the environment"
        elif code != 403 or _ABOUT_KEY.search(words.all) or len(words.text.split()) < 3:
            mend = f"the key in {variable} is not accepted, put a valid one into the environment"
        else:
            mend = f"mend that, or use the key of another account in {variable}"
        return InputError(f"{self.url}: refuses access ({code}: {said}); {mend}")

    def unreachable(self, error: Exception) -> Exception:
        """The error that a connection that fails means."""
        cause = error.__cause__
        words = self.key.hidden(str(cause))
        proxy = self._proxy()
        if "refused" in words or "All connection attempts failed" in words:
            mend = f"check the proxy {proxy}" if proxy else "start the server or check the URL"
            return InputError(f"{self.url}: connection refused; {mend}")
        if type(cause).__name__ in ("RemoteProtocolError", "ReadError", "WriteError", "CloseError"):
            return Retry("a broken connection")
        if type(cause).__name__ == "DecodingError":  # of a compressed body
            return Retry("an answer that cannot be decoded", malformed=True, words=words)
        mend = f"check the URL, the network and the proxy {proxy}" if proxy else "check the URL and the network"
        if "WRONG_VERSION_NUMBER" in words or "RECORD_LAYER" in words:
            mend = "if it speaks plain http, let the URL begin with http://"
        elif "CERTIFICATE_VERIFY" in words:
            mend = "name the certificate of its authority in the environment variable SSL_CERT_FILE"
        return InputError(f"{self.url}: cannot be reached ({words}); {mend}")

    def unusable_proxy(self, error: Exception) -> InputError:
        """The error that the client raises where it cannot use the environment's proxy."""
        first = self.key.hidden(" ".join(str(error).split()))[:_SHOWN]
        return InputError(f"{self.url}: a proxy that the environment names cannot be used ({first}); mend or unset it")

    def _proxy(self) -> str | None:
        """The proxy that the environment names for this address, without a password."""
        parts = urllib.parse.urlsplit(self.url)
        host = parts.hostname or ""
        named = urllib.request.getproxies()
        proxy = named.get(parts.scheme) or named.get("all")
        if not proxy or host in LOOPBACK or urllib.request.proxy_bypass(host):
            return None
        return f"{proxy.rpartition('@')[2]} that the environment names"

    def shown(self, words: Words) -> str:
        """The words as a message has them: without the key, which is hidden before they are cut."""
        return self.key.hidden(words.text)[:_SHOWN]
