"""Instances of an instruction (an input and its output): read from what a model wrote, and judged by the filters of
Self-Instruct (arXiv 2212.10560, §2.2)."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from judgeloop.instructions.filters import repeats_itself
from judgeloop.instructions.self_instruct.task_form import TaskForm
from judgeloop.records import Task
from judgeloop.text.tokens import tokens_of

MOST_LABELS = 12
LONGEST_LABEL = 8  # words, or characters of scripts that count by characters
_NOTHING = re.compile(
    r"[\W_]*(?:none|no|n/?a|no ?input|no input (?:is )?(?:needed|required)|nothing|empty|not applicable"
    r"|无|没有|空|不需要|无需输入|无输入)?[\W_]*",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(r"\[(?!MASK\])[^\W\d_][\w'’ -]{2,40}\]")
_BETWEEN_LABELS = re.compile(r"[,，、;；\n|]|\band\b|\bor\b|[和或]", re.IGNORECASE)
_BULLET = re.compile(r"^[\s\-*•]*(?:\(?(?:\d{1,2}|[A-Za-z])[).:]\s+)?")


@dataclass(slots=True)
class Instance:
    """An input, possibly empty, and its output; `reason` says why it is dropped, once that is known, and `shown` which
    tasks the model was shown before it wrote them."""

    input: str
    output: str = ""
    reason: str | None = None
    shown: Sequence[Task] = ()


def has_placeholder(text: str) -> bool:
    """Whether a text leaves something to be filled in: "[name of a city]"."""
    return _PLACEHOLDER.search(text) is not None


def parse_labels(text: str) -> list[str]:
    """The labels of a list in one line, in their order; none if it does not give 2 to 12 different short ones."""
    line = next((line for line in text.splitlines() if line.strip()), "")
    pieces = [_BULLET.sub("", piece).strip(" \t\"'“”‘’*.。()[]【】") for piece in _BETWEEN_LABELS.split(line)]
    labels = list({piece.casefold(): piece for piece in pieces if piece}.values())
    fine = 2 <= len(labels) <= MOST_LABELS and all(len(tokens_of(label)) <= LONGEST_LABEL for label in labels)
    return labels if fine else []


def parse_input(text: str) -> str:
    """An input as it followed its label: up to the first empty line, and empty if it says that there is none."""
    text = text.strip().split("\n\n")[0].strip()
    quoted = re.fullmatch(r'"([^"]+)"|“([^“”]+)”', text)
    text = (quoted.group(1) or quoted.group(2)).strip() if quoted else text
    return "" if _NOTHING.fullmatch(text) else text


def parse_instances(text: str, form: TaskForm, finished: bool, *, label_first: bool = False) -> list[Instance]:
    """The instances of a text that begins after the first one's label: inputs and outputs in turn, or labels and
    inputs (`label_first`), any number of them.

    An instance begins where its first field comes again; headers such as "Example 2" are left out. A text cut off by
    length (`finished` False) loses its last instance.
    """
    first, second = (form.label, form.input) if label_first else (form.input, form.output)
    marks = list(_labels(first, second).finditer(text))
    fields = [(first, text[: marks[0].start()] if marks else text)]
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        name = first if mark.group(1).casefold() == first.casefold() else second
        fields.append((name, text[mark.end() : following.start() if following else len(text)]))
    instances: list[Instance] = []
    for name, value in fields:
        value = _HEADER.sub("", value).strip()
        if name == first or not instances:
            instances.append(_begun(value, label_first))
        elif label_first:
            instances[-1].input = parse_input(value)
        else:
            instances[-1].output = instances[-1].output or value
    if instances and not finished:
        instances[-1].reason = CUT_OFF
    return instances


def _begun(value: str, label_first: bool) -> Instance:
    return Instance("", output=value) if label_first else Instance(parse_input(value))


def _labels(*names: str) -> re.Pattern[str]:
    return re.compile(rf"(?mi)^[ \t]*\**({'|'.join(names)})\**[ \t]*[:：]\**")


_HEADER = re.compile(r"(?mi)^[ \t]*\**(?:example|示例|例)[ \t]*\d+[.:：]?\**[ \t]*$")
CUT_OFF = "output cut off by length"


def judge_instances(instances: Sequence[Instance], instruction: str, *, outputs: bool = True) -> None:
    """Give every instance that must not be kept its reason: no output, an output that is the input or the instruction
    again, a text that repeats itself, an input that has several outputs (all of them go), a duplicate. Without
    input there is but one prompt, so all instances after the first are duplicates.

    `outputs` False: inputs alone are looked at.
    """
    asked = tokens_of(instruction)
    for instance in instances:
        if instance.reason is None:
            instance.reason = _fault(instance, asked, outputs)
    sound = [instance for instance in instances if instance.reason is None]
    answers: dict[str, set[str]] = defaultdict(set)
    for instance in sound:
        answers[_key(instance.input)].add(_key(instance.output))
    seen: Counter[tuple[str, str]] = Counter()
    for instance in sound:
        pair = (_key(instance.input), _key(instance.output) if instance.input else "")
        seen[pair] += 1
        if instance.input and len(answers[pair[0]]) > 1:
            instance.reason = "same input with different outputs"
        elif seen[pair] > 1:
            instance.reason = "duplicate"


def _fault(instance: Instance, asked: list[str], outputs: bool) -> str | None:
    given, answer = tokens_of(instance.input), tokens_of(instance.output)
    if given and given == asked:
        return "input repeats the instruction"
    if repeats_itself(instance.input):
        return "input repeats itself"
    if not outputs:
        return None
    if not instance.output.strip():
        return "output is empty"
    if answer == given:
        return "output is the input"
    if answer == asked:
        return "output repeats the instruction"
    return "output repeats itself" if repeats_itself(instance.output) else None


def _key(text: str) -> str:
    return " ".join(text.split()).casefold()
