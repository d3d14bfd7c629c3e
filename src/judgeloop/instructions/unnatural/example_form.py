"""The form in which examples of tasks are shown to a model and read back from what it writes: instruction, input,
constraints (Unnatural Instructions, arXiv 2212.09689, §2.1). The wording is ours; it is in templates/."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest

from judgeloop.instructions.templates import TemplateLanguage, template, words
from judgeloop.records import Task
from judgeloop.shipped import shipped_text

_EMPTY = re.compile(
    r"[\W_]*(?:none|no|n/?a|no input|no constraints?|nothing|empty|not applicable|无|没有|空|不需要)?[\W_]*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ExampleForm:
    """Labels and orders of one language. `none` is the text of a field that has nothing to say."""

    example: str
    instruction: str
    input: str
    constraints: str
    output: str
    none: str
    colon: str
    other_wording: str
    examples_order: str
    rephrase_order: str

    def header(self, number: int) -> str:
        return f"{self.example} {number}\n{self.instruction}{self.colon}".rstrip(" ")

    def show(self, number: int, task: Task) -> str:
        """One example. Line breaks in a field become spaces; those in the input may mean something, and stay."""
        fields = (
            (self.input, "\n".join(line.strip() for line in task.input.splitlines() if line.strip())),
            (self.constraints, " ".join(task.constraints.split())),
        )
        rest = "\n".join(f"{label}{self.colon}{text or self.none}" for label, text in fields)
        return f"{self.example} {number}\n{self.instruction}{self.colon}{' '.join(task.instruction.split())}\n{rest}"


_PACKAGE = "judgeloop.instructions.unnatural"


def example_form(language: TemplateLanguage) -> ExampleForm:
    """The form of one language, from the files in templates/."""
    labels = words(_PACKAGE, language)
    if labels["colon"] == ":":
        labels["colon"] += " "  # a full-width colon has no space after it
    return ExampleForm(
        **labels,
        examples_order=template(_PACKAGE, "examples", language),
        rephrase_order=template(_PACKAGE, "rephrase", language),
    )


@dataclass(frozen=True, slots=True)
class Parsed:
    """An example as the model wrote it, and the reason why it is unusable, or None."""

    instruction: str
    input: str
    constraints: str
    reason: str | None

    def as_task(self, source: str) -> Task:
        return Task.of(self.instruction, self.input, "", source, constraints=self.constraints)


def parse_examples(text: str, form: ExampleForm, finished: bool) -> list[Parsed]:
    """The examples of a completion that begins after the first example's instruction label.

    An example is whole if instruction, input and constraints each follow their label, in this order; whatever comes
    after them (an output, a remark) is left out. Empty fields and "None." in input or constraints are empty text. A
    completion cut off by length (`finished` False) loses its last example, unless it had gone on beyond it.
    """
    pieces = _header(form).split(form.instruction + form.colon + text)
    examples = []
    for number, piece in enumerate(pieces):
        fields, closed = _fields(piece, form)
        if number and not piece.strip():
            continue  # a header and nothing after it
        cut = not finished and number == len(pieces) - 1 and not closed
        examples.append(_example(fields, form, cut))
    return examples


def _fields(piece: str, form: ExampleForm) -> tuple[dict[str, str], bool]:
    """Field name → text of the fields before the output, and whether anything follows the last of them."""
    names = {
        **dict.fromkeys(("instruction", form.instruction), "instruction"),
        **dict.fromkeys(("input", form.input), "input"),
        **dict.fromkeys(("constraint", "constraints", form.constraints, "要求"), "constraints"),
    }
    marks = list(_labels(form).finditer(piece))
    fields: dict[str, str] = {}
    for mark, following in zip_longest(marks, marks[1:]):
        name = names.get(mark.group(1).lower()) or names.get(mark.group(1))
        if name is None or name in fields:
            return fields, True
        fields[name] = piece[mark.end() : following.start() if following else len(piece)].lstrip()
    return fields, "\n\n" in fields.get("constraints", "")


def _example(fields: dict[str, str], form: ExampleForm, cut: bool) -> Parsed:
    # An empty line ends a field, except the input, which may have paragraphs.
    given = {name: _bare(text if name == "input" else text.split("\n\n")[0]) for name, text in fields.items()}
    one_line = {name: text if name == "input" else " ".join(text.split()) for name, text in given.items()}
    kept = {name: "" if name != "instruction" and _EMPTY.fullmatch(text) else text for name, text in one_line.items()}
    reason = None
    missing = [name for name in ("instruction", "input", "constraints") if name not in fields]
    if cut:
        reason = "cut off by length"
    elif missing or not kept["instruction"]:
        reason = f"no {missing[0] if missing else 'instruction'}"
    elif any(_echo(form).fullmatch(text) for text in kept.values() if text):
        reason = "echoes the template"
    return Parsed(kept.get("instruction", ""), kept.get("input", ""), kept.get("constraints", ""), reason)


def shipped_tasks(language: TemplateLanguage) -> list[Task]:
    """The hand-written demonstrations of one language; most of them have constraints."""
    return [
        Task.of(row["instruction"], row["input"], "", f"shipped:{number}", constraints=row["constraints"])
        for number, row in enumerate(_shipped("tasks", language))
    ]


def shipped_rephrasings(language: TemplateLanguage) -> list[dict[str, str]]:
    """Hand-written pairs of `instruction` and `alternative`, which contains {INPUT} if the task has an input."""
    return _shipped("rephrasings", language)


def _shipped(name: str, language: TemplateLanguage) -> list[dict[str, str]]:
    text = shipped_text("judgeloop.instructions", f"demonstrations/{name}.{language}.jsonl")
    return [json.loads(line) for line in text.splitlines()]


def listed_examples(tasks: Sequence[Task], form: ExampleForm) -> str:
    """The examples one after the other, and the header of the next."""
    examples = [form.show(number, task) for number, task in enumerate(tasks, 1)]
    return "\n\n".join([*examples, form.header(len(tasks) + 1)])


def _bare(text: str) -> str:
    text = text.strip().strip("*").strip()
    return text[1:-1].strip() if re.fullmatch(r'"[^"\n]+"', text) else text


@lru_cache(maxsize=4)
def _labels(form: ExampleForm) -> re.Pattern[str]:
    own = {form.instruction, form.input, form.constraints, form.output}
    names = "|".join(sorted({*own, "Instruction", "Input", "Constraints?", "Output", "要求"}))
    return re.compile(rf"(?m)^[ \t]*\**({names})\**[ \t]*[:：]\**[ \t]*", re.IGNORECASE)


@lru_cache(maxsize=4)
def _header(form: ExampleForm) -> re.Pattern[str]:
    return re.compile(rf"(?m)^[ \t#*]*{form.example}[ \t]*\d+[ \t]*[:.：。]?\**[ \t]*$", re.IGNORECASE)


@lru_cache(maxsize=4)
def _echo(form: ExampleForm) -> re.Pattern[str]:
    names = "|".join([form.example, form.instruction, form.input, form.constraints, form.output])
    return re.compile(rf"[\W_]*(?:the |an? |your )?(?:{names})s?(?: \d+)?(?: (?:here|text))?[\W_]*", re.IGNORECASE)
