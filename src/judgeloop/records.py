"""The rows that stages write for one another. Each is one JSON object on one line (`judgeloop.jsonl`).

Ids are derived from content, so that the same input gives the same id in
every run, and joins go by id, never by position.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypedDict

MAX_SCORE = 5  # scores of a run are from 0 to this one, as the paper's rubric has them

Preference = Literal["first", "second", "neither"]
Overlap = Literal["enough", "little", "hardly", "none"]


class Message(TypedDict):
    """One chat message: `role` is system, user or assistant."""

    role: str
    content: str


def stable_id(kind: str, *parts: object) -> str:
    """Return `kind-` and 12 hex digits of the SHA-256 of the parts (JSON, sorted keys): equal parts, equal id."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return f"{kind}-{hashlib.sha256(text.encode('utf-8')).hexdigest()[:12]}"


def derive_seed(*parts: object) -> int:
    """Return a seed in [0, 2**31) from what it is for, e.g. (run seed, stage, row id, k); no global state."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:4], "big") & 0x7FFFFFFF


def length_overlap(prompts: int, longer: int, shorter: int) -> tuple[float, Overlap]:
    """How often the rarer side occurs, where one side's responses are `longer` on so many of the prompts and `shorter`
    on so many, and the grade of that share. Equal lengths count for the rarer side: they show what equal length does.

    Graded by the errors of length-controlled rates (docs/evaluation.md): enough from 20%, little from 10%, hardly
    below that, none where one side is always the longer one.
    """
    share = (prompts - max(longer, shorter)) / prompts
    return share, "enough" if share >= 0.2 else "little" if share >= 0.1 else "hardly" if share > 0 else "none"


@dataclass(frozen=True, slots=True)
class Prompt:
    """An instruction to answer: `messages` end with a user turn; `source` says where it came from."""

    id: str
    messages: list[Message]
    source: str

    @classmethod
    def of(cls, messages: list[Message], source: str) -> Self:
        return cls(stable_id("p", messages), messages, source)


@dataclass(frozen=True, slots=True)
class EvaluationPrompt:
    """A prompt that was answered in an evaluation, so that who reads the run needs no file of the config: `source` is
    its file and line, `fields` what else is in its row (a tag, a rule, …), long texts left out."""

    id: str
    messages: list[Message]
    source: str
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VerifiedAnswer:
    """What a program says of an answer to one of IFEval's prompts: for each of `instructions` its name, and whether it
    is followed `strict` and `loose`, or neither known and the `reason`. `id` is the answer's."""

    id: str
    prompt_id: str
    prompt: list[Message]
    instructions: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One response of a model to a prompt.

    `token_ids` are the ids exactly as generated, closing end-of-turn token included where `finish_reason` is "stop";
    `finish_reason` "length" means that the answer was cut off. `thought` is what a model that thinks wrote before it
    answered: `token_ids` contain it, `text` is the answer alone, empty if the thought never ended.
    """

    id: str
    prompt_id: str
    text: str
    token_ids: list[int]
    finish_reason: str
    thought: str | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """One judgement of one candidate: the judge's raw text, and the score read from it or None with a reason.

    With expected scoring there is one row a candidate (k = 0) without text; `distribution` holds the probability of
    each score, normalised over the scores, and `mass` how much of the whole vocabulary's probability they had.
    """

    id: str
    candidate_id: str
    k: int
    text: str
    score: float | None
    reason: str | None
    distribution: list[float] | None = None
    mass: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Which of two responses a judge prefers: "first", "second", "neither", or None if that could not be read (then
    `reason` says why). `first_probability` is the probability of the first of the two, if the judge was read by its
    probabilities, and `mass` how much of the whole vocabulary's probability the two answers had; `text` is what the
    judge wrote, if it wrote."""

    id: str
    better: Preference | None
    first_probability: float | None
    text: str | None = None
    reason: str | None = None
    mass: float | None = None


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Best against worst response to one prompt; `prompt`, `chosen`, `rejected` are chat messages, as TRL has them."""

    id: str
    prompt_id: str
    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message]
    chosen_id: str
    rejected_id: str
    chosen_score: float
    rejected_score: float


@dataclass(frozen=True, slots=True)
class TrainedPair:
    """In which `steps` (from 1) of its training a pair was, one an epoch; `id` is the pair's. A pair that the training
    left out has no row."""

    id: str
    steps: list[int]


@dataclass(frozen=True, slots=True)
class SupervisedRow:
    """A row to imitate, in TRL's prompt-completion form: an IFT row (instruction → response) or an EFT row
    (filled judge prompt → judgement). `prompt_id` names the instruction it is about, for leakage checks."""

    id: str
    kind: str  # "ift" or "eft"
    prompt_id: str
    prompt: list[Message]
    completion: list[Message]
    source: str


@dataclass(frozen=True, slots=True)
class RankedSet:
    """Several responses to one prompt as they were ranked: `rank` 0 is best, equal ranks are ties.

    Each response is `{"text": str, "rank": int}`, the first with `"imitable": false` if its file calls even the best
    answer bad; `group` names what must stay on one side of a split (a tree).
    """

    id: str
    messages: list[Message]
    responses: list[dict[str, Any]]
    source: str
    group: str = field(default="")


@dataclass(frozen=True, slots=True)
class Task:
    """An instruction as a model made it: what is asked (`instruction`), what it is asked about (`input`, may be empty),
    under which `constraints`, and an `output` where the method writes one.

    `source` names the method and its request ("self_instruct:17"); `classification` is None if nobody asked.
    """

    id: str
    instruction: str
    input: str
    output: str
    source: str
    constraints: str = ""
    classification: bool | None = None

    @classmethod
    def of(
        cls,
        instruction: str,
        input: str,
        output: str,
        source: str,
        *,
        constraints: str = "",
        classification: bool | None = None,
    ) -> Self:
        name = stable_id("t", instruction, input, output, constraints)
        return cls(name, instruction, input, output, source, constraints, classification)

    def messages(self) -> list[Message]:
        """What a model is asked: instruction, input and constraints, each a paragraph, as one user turn."""
        parts = [part.strip() for part in (self.instruction, self.input, self.constraints) if part.strip()]
        return [{"role": "user", "content": "\n\n".join(parts)}]


@dataclass(frozen=True, slots=True)
class Demonstrations:
    """What the model was shown before it wrote: each of `shown` has the `text` and its `source`, a seed row's file and
    line ("seed.jsonl:3"), an earlier instruction's request ("few_shot:2") or a task that ships with the package
    ("shipped:4"). `id` is the request for new instructions ("self_instruct:17"), or the source of a task
    ("self_instruct:17.2") if they were shown when its input was made up."""

    id: str
    shown: list[dict[str, str]]


def request_of(source: str) -> str | None:
    """The request that an instruction's `source` names, its place in the reply left out: "self_instruct:17.2" is of
    "self_instruct:17". None for a source that names none."""
    found = re.fullmatch(r"(.+:\d+)(?:\.\w+)*", source)
    return found[1] if found else None
