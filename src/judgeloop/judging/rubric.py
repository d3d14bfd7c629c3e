"""Rubrics: the judge's prompt as a template file, filled so that nothing in a response can pose as the judge.

Sources of the shipped rubrics (criteria and order; the wording is ours): additive-5 is Self-Rewarding Language Models
(arXiv 2401.10020), figure 2; multiple-choice-5 and curation-5 follow the five levels of Instruction Backtranslation
(arXiv 2308.06259), table 19, the former as the paper above compares it; meta is Meta-Rewarding (arXiv 2407.19594).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from judgeloop.errors import InputError
from judgeloop.judging.fence import neutralise
from judgeloop.records import MAX_SCORE, Message
from judgeloop.shipped import shipped_text, ships

HIGHEST = 100  # a scale may go this far; every score on it is an option to read when scoring by expectation
_NAMES = ("instruction", "ending", "response", "other")  # {system} is written by template_with_system alone
_PLACEHOLDER = re.compile(r"\{\{(?P<literal>[A-Za-z_]\w*)\}\}|\{(?P<name>[A-Za-z_]\w*)\}")
_DIRECTIVE = re.compile(r"#:\s*(\w+)\s*=\s?(.*)")
_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s+|(?<=[。！？])(?=.)")
_RANGE = re.compile(r"(\d{1,3})\s*-\s*(\d{1,3})\s*")


@dataclass(frozen=True, slots=True)
class Rubric:
    """A judge's prompt. `score_line` is what the judge writes before the score, trailing space included; whole scores
    run from `low` to `high`; `fences` are the tags around the texts to judge. `form` is the one form in which the judge
    writes its score ("json KEY", "[[n]]", "<TAG>"), None if any will do."""

    name: str
    template: str
    score_line: str
    low: int = 0
    high: int = MAX_SCORE
    fences: tuple[str, ...] = ("response", "other_response")
    form: str | None = None

    @property
    def scores(self) -> range:
        """The whole scores, from the lowest to the highest."""
        return range(self.low, self.high + 1)

    @property
    def label(self) -> str:
        """The word before the score, without colon and spaces."""
        return self.score_line.strip().rstrip(":：").strip()

    def messages(self, prompt: Sequence[Message], response: str, other: str | None = None) -> list[Message]:
        """The filled judge prompt as one user message; a system message of the prompt is shown before its first turn.
        Raises InputError if a rubric for two is given one."""
        instruction = transcript(prompt)
        values = {"instruction": instruction, "ending": last_sentence(instruction), "response": response}
        system = "\n\n".join(message["content"] for message in prompt if message["role"] == "system")
        values["system"] = system
        if other is not None:
            values["other"] = other
        elif "{other}" in self.template:
            raise InputError(f"judge.rubric: '{self.name}' compares two responses; choose one that scores a single one")
        safe = {name: neutralise(value, self.fences) for name, value in values.items()}

        def fill(match: re.Match[str]) -> str:
            return f"{{{match['literal']}}}" if match["literal"] else safe[match["name"]]

        template = self.template_with_system if system.strip() else self.template
        return [{"role": "user", "content": _PLACEHOLDER.sub(fill, template)}]

    @property
    def template_with_system(self) -> str:
        """The template for prompts with a system message: "System: {system}" before the line of the instruction."""
        line = self.template.rfind("\n", 0, self.template.index("{instruction}")) + 1
        return f"{self.template[:line]}System: {{system}}\n\n{self.template[line:]}"

    def target(self, score: int, justification: str | None = None) -> str:
        """What a judge that gives `score` writes: the form of EFT rows. Raises ValueError for a score off the scale."""
        if score not in self.scores:
            raise ValueError(f"score {score} is not on the scale of '{self.name}', {self.low}-{self.high}")
        line = f"{self.score_line}{score}{_form_end(self.form)}"
        return f"{justification.strip()}\n\n{line}" if justification else line


def transcript(prompt: Sequence[Message]) -> str:
    """The instruction as the judge reads it: the words of a single user turn, or the turns with their speakers, without
    a system message (see `Rubric.messages`)."""
    turns = [message for message in prompt if message["role"] != "system"]
    if len(turns) == 1:
        return turns[0]["content"]
    names = {"user": "User", "assistant": "Assistant"}
    first, *rest = turns
    lines = [f"{names.get(m['role'], m['role'])}: {m['content']}" for m in rest]
    return "\n\n".join([first["content"], *lines])


def last_sentence(text: str) -> str:
    """The last sentence of a text's last line, which mostly says how the answer should look. Repeated after the
    response it is near to what a small judge reads when it scores."""
    line = text.strip().splitlines()[-1].strip() if text.strip() else ""
    return _SENTENCE_END.split(line)[-1]


def load_rubric(name: str, language: str = "en") -> Rubric:
    """Load a shipped rubric by name and language, or a template file by path.

    A template has {instruction} and, between a pair of tags, {response} (and {other} if it compares two); {ending} is
    the instruction's last sentence once more. Another word in single braces is refused; {{word}} gives {word}; braces
    around anything else, such as JSON, are plain text. First
    lines may be directives: `#: score_line = Score: ` (what comes before the score), `#: scores = 1-5` (the scale; 0-5
    without it), `#: score = json score`, `#: score = [[n]]` or `#: score = <score>` (the one form in which the score is
    written, then no other counts), `#: fence = none` (no tags around the texts: not safe).
    Raises InputError if file, directive or placeholder is wrong.
    """
    shipped = f"rubrics/{name}.{language}.txt"
    if "/" not in name and ships("judgeloop.judging", shipped):
        text, origin = shipped_text("judgeloop.judging", shipped), name
    else:
        path = Path(name)
        try:
            there = path.exists()
        except (OSError, ValueError):  # a whole rubric in the place of its name
            there = False
        if not there:
            known, first = ", ".join(shipped_rubrics(language)), name.strip().partition("\n")[0]
            raise InputError(
                f"judge.rubric: no rubric '{first:.200}' in language '{language}'; choose {known}, or a file"
            )
        try:
            text, origin = path.read_text(encoding="utf-8-sig"), str(path)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise InputError.at(path, None, f"the rubric cannot be read ({reason})", "check judge.rubric") from error
    lines = text.splitlines()
    named: set[str] = set()
    settings = {"score_line": "", "scores": f"0-{MAX_SCORE}", "score": "", "fence": "tags"}
    while lines and (directive := _DIRECTIVE.fullmatch(lines[0])):
        if directive.group(1) not in settings:
            raise InputError(f"{origin}: unknown directive '{directive.group(1)}'; known are {', '.join(settings)}")
        named.add(directive.group(1))
        settings[directive.group(1)] = directive.group(2)
        lines = lines[1:]
    template = "\n".join(lines).strip()
    _check_placeholders(template, origin)
    low, high = _scale(settings["scores"], origin)
    fences = _fences(template, settings["fence"].strip(), origin)
    form = _form(settings["score"].strip(), origin)
    usual = _form_start(form) or ("Score: " if language == "en" else "得分：")
    given = "score_line" in named
    rubric = Rubric(name, template, settings["score_line"] if given else usual, low, high, fences, form)
    if not rubric.label:
        raise InputError(f"{origin}: score_line names nothing; write '#: score_line = Score: '")
    return rubric


def _form(text: str, origin: str) -> str | None:
    """The form of the score that `#: score` names."""
    if not text:
        return None
    if text.startswith("json ") and text.removeprefix("json ").strip():
        return f"json {text.removeprefix('json ').strip()}"
    if text == "[[n]]" or re.fullmatch(r"<[^\W\d][\w-]*>", text):
        return text
    raise InputError(f"{origin}: score = '{text}' is no form; write json KEY, [[n]] or <TAG>")


def _form_start(form: str | None) -> str:
    """What the judge writes before a score in this form."""
    if form is None:
        return ""
    return "[[" if form == "[[n]]" else f'{{"{form.removeprefix("json ")}": ' if form.startswith("json ") else form


def _form_end(form: str | None) -> str:
    if form is None:
        return ""
    return "]]" if form == "[[n]]" else "}" if form.startswith("json ") else f"</{form[1:]}"


def _check_placeholders(template: str, origin: str) -> None:
    found = [match["name"] for match in _PLACEHOLDER.finditer(template) if match["name"]]
    for name in found:
        if name not in _NAMES:
            known = ", ".join(f"{{{known}}}" for known in _NAMES)
            remedy = f"known are {known}; write {{{{{name}}}}} for the word in braces itself"
            raise InputError(f"{origin}: unknown placeholder {{{name}}}; {remedy}")
    for name in ("instruction", "response"):
        if name not in found:
            raise InputError(f"{origin}: the template has no {{{name}}}; add it where it belongs")
    for name in ("response", "other"):
        if found.count(name) > 1:
            raise InputError(f"{origin}: {{{name}}} is there more than once; keep one")


def _scale(text: str, origin: str) -> tuple[int, int]:
    match = _RANGE.fullmatch(text)
    if match is None or not int(match.group(1)) < int(match.group(2)) <= HIGHEST:
        raise InputError(f"{origin}: scores = '{text}' is no scale; write two whole numbers up to {HIGHEST}, as 1-5")
    return int(match.group(1)), int(match.group(2))


def _fences(template: str, wanted: str, origin: str) -> tuple[str, ...]:
    """The names of the tags around the texts to judge."""
    if wanted == "none":
        return ()
    if wanted != "tags":
        raise InputError(f"{origin}: fence = '{wanted}' is neither tags nor none; choose one")
    names = []
    for name in [name for name in ("response", "other") if f"{{{name}}}" in template]:
        match = re.search(rf"<([A-Za-z][\w-]*)>\s*\{{{name}\}}\s*</\1>", template)
        if match is None:
            raise InputError(
                f"{origin}: {{{name}}} is between no tags, so a response could pose as the judge; write "
                f"<response>{{{name}}}</response>, or '#: fence = none' as the first line to do without"
            )
        if len(re.findall(rf"</?{re.escape(match[1])}>", template)) != 2:
            raise InputError(f"{origin}: the tag <{match[1]}> is in the template twice; keep one pair")
        names.append(match.group(1))
    return tuple(names)


def shipped_rubrics(language: str = "en") -> list[str]:
    """Names of the rubrics that ship in one language."""
    folder = resources.files("judgeloop.judging") / "rubrics"
    ending = f".{language}.txt"
    return sorted(entry.name.removesuffix(ending) for entry in folder.iterdir() if entry.name.endswith(ending))
