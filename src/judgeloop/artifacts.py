"""What the JSON artifacts of a run must hold for those who read them, and what is wrong with one that does not.

The rows that stages write for one another are in `records`; these are the accounts and markers beside them. Each shape
names the keys that are read, with their types: a file that was damaged is told from one that is whole when it is read,
not in the middle of what is done with it. Other keys are allowed: later versions and plugins add theirs.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NotRequired

from pydantic import BeforeValidator, TypeAdapter, ValidationError
from typing_extensions import TypedDict

Texts = dict[str, str]
Numbers = dict[str, float]
AsTuple = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)


class Interval(TypedDict):
    """An estimate with its interval over n prompts."""

    value: float
    low: float
    high: float
    n: int


class _Controlled(Interval):
    longer: int
    shorter: int


class _Marker(TypedDict):
    fingerprint: str
    settings: dict[str, Any]
    inputs: Texts
    circumstances: NotRequired[dict[str, Any]]


class _Begun(_Marker):
    seconds: NotRequired[float]


class _Done(_Marker):
    seconds: float
    files: Texts
    title: NotRequired[str]
    order: NotRequired[float]
    finished: NotRequired[str]
    rows: NotRequired[int]
    yields: NotRequired[list[str]]


class _DoneLabels(_Done):
    prompt_tokens: int


class _DoneBackward(_Done):
    not_reversed: dict[str, int]


class _Run(TypedDict):
    started: str
    judgeloop: NotRequired[str]
    format: NotRequired[int]
    method: NotRequired[str]
    models: NotRequired[list[str]]


class _Decision(TypedDict):
    stopped: bool
    at: str
    reason: str
    best: str
    why_best: str
    rests_on: NotRequired[dict[str, Any] | None]


class _Identity(TypedDict):
    name: str
    path: str
    hash: str


class _Model(TypedDict):
    path: str
    hash: str
    name: NotRequired[str]
    beside: NotRequired[str]
    date: NotRequired[str | None]


class _Finished(TypedDict):
    rows: int


class _Train(TypedDict):
    hash: str
    beside: NotRequired[str]
    name: NotRequired[str]
    initial: NotRequired[_Identity]
    reference: NotRequired[_Identity | None]
    rows: NotRequired[int]
    dropped: NotRequired[dict[str, int]]
    steps: NotRequired[int]
    tokens: NotRequired[int]
    first_loss: NotRequired[float | None]
    last_loss: NotRequired[float | None]


class _Health(TypedDict):
    judgements: int
    parse_rate: float | None
    tie_rate: float | None
    top_share: float | None
    length_correlation: float | None
    scale: NotRequired[Annotated[tuple[int, int], AsTuple] | None]
    mean_score: NotRequired[Interval | None]
    histogram: NotRequired[list[int]]
    retest_spread: NotRequired[float | None]


class _Judge(TypedDict):
    judge: str
    health: _Health


class _Agreement(TypedDict):
    pairwise_ties_half: Interval | None
    pairwise_ties_wrong: NotRequired[Interval | None]
    five_best: NotRequired[Interval | None]
    exact_match: NotRequired[Interval | None]
    spearman: NotRequired[Interval | None]
    kendall: NotRequired[Interval | None]
    missing: NotRequired[int]
    responses: NotRequired[int]
    sources: NotRequired[dict[str, int]]


class _ByScore(TypedDict):
    rate: Interval | None


class _Duel(TypedDict):
    previous: str
    rate: Interval | None
    win: int
    tie: int
    lose: int
    unparsed: int
    by: NotRequired[str]
    length_controlled: NotRequired[_Controlled | None]
    by_score: NotRequired[_ByScore | None]


class _Versus(TypedDict):
    model: str
    value: Interval
    even: float


class _Metric(TypedDict):
    label: str
    better: Literal["higher", "lower"]
    compare: Literal["paired", "own"]
    value: Interval | None
    versus: _Versus | None
    share: NotRequired[bool]
    by_prompt: NotRequired[Numbers]


class _Kind(TypedDict):
    strict: Interval | None


class _IfEval(TypedDict):
    prompt_strict: Interval | None
    by_kind: NotRequired[dict[str, _Kind]]


class _Sample(TypedDict):
    prompt: NotRequired[str]
    response: NotRequired[str]
    score: NotRequired[float | None]


class _Length(TypedDict):
    mean_characters: float | None
    mean_tokens: NotRequired[float | None]
    truncated_share: NotRequired[float | None]


class _Eval(TypedDict):
    model: str
    judge: str
    judge_health: _Health
    win_rate_vs_previous: _Duel | None
    agreement: NotRequired[_Agreement | None]
    length: NotRequired[_Length]
    ifeval: NotRequired[_IfEval | None]
    metrics: NotRequired[dict[str, _Metric]]
    samples: NotRequired[list[_Sample]]


class _Checks(TypedDict):
    model: str
    headline: str
    measures: dict[str, Interval | None]
    metrics: NotRequired[dict[str, _Metric]]
    previous: NotRequired[str | None]
    judge: NotRequired[str | None]
    differences: NotRequired[dict[str, Interval | None]]
    judge_accuracy: NotRequired[Interval | None]
    group: NotRequired[str | None]
    groups: NotRequired[dict[str, Interval | None]]
    without_group: NotRequired[int | None]


class _Samples(TypedDict, total=False):
    kept: list[Any]
    dropped: dict[str, list[Any]]


class _Account(TypedDict, total=False):
    """What a stage made, kept and dropped; its other fields are shown as they are."""

    dropped: dict[str, Any]
    samples: _Samples
    kept_samples: list[Any]
    dropped_samples: dict[str, list[Any]]


class _Spread(TypedDict):
    effective: float | None
    top: list[Annotated[tuple[str, float], AsTuple]]


class _Sizes(TypedDict):
    mean: float
    p10: float
    p90: float


class _PromptSet(TypedDict):
    prompts: int
    tokens: _Sizes | None
    characters: float | None
    distinct: list[float | None]
    nearest: float | None
    openings: _Spread
    content_words: _Spread
    languages: Numbers
    lengths: list[int]
    nearest_seed: NotRequired[float | None]


class _Diversity(TypedDict):
    compared: int
    bins: list[int]
    seed: _PromptSet
    generated: _PromptSet


class _Prompts(_Account):
    diversity: NotRequired[_Diversity | None]


class _Pairs(_Account):
    pairs: int


class _Writer(TypedDict):
    writer: dict[str, Any]


class _Consistency(TypedDict):
    smoothing: float


class _Rubric(TypedDict):
    name: str
    template: str
    low: int
    high: int
    score_line: str
    fences: list[str]


class _Learnt(TypedDict):
    rubric: _Rubric
    scoring: str
    justification: bool
    language: str
    samples: int
    sampling: NotRequired[dict[str, Any]]


class _RunNote(TypedDict):
    name: str
    judgeloop: str
    date: str | None
    system_prompt: str | None
    thinking: str
    judge: _Learnt
    engine: NotRequired[dict[str, Any] | None]


class _Used(TypedDict, total=False):
    begin_score: str
    used: dict[str, Numbers]


SHAPES: dict[str, Any] = {
    "run.json": _Run,
    "decision.json": _Decision,
    "endpoint.json": dict[str, _Used],
    "model.json": _Model,
    "train.json": _Train,
    "finished.json": _Finished,
    "judge.json": _Judge,
    "consistency.json": _Consistency,
    "eval.json": _Eval,
    "checks.json": _Checks,
    "pairs.json": _Pairs,
    "prompts.json": _Prompts,
    "seed.json": _Account,
    "eft.json": _Account,
    "eft.written.json": _Writer,
    "backtranslation.json": _Account,
    "judgeloop_run.json": _RunNote,
    ".begun.json": _Begun,
    ".done.json": _Done,
    ".labels.done.json": _DoneLabels,
    ".backward.done.json": _DoneBackward,
}
_KINDS = {
    "string": "text", "int": "a whole number", "float": "a number", "bool": "true or false", "dict": "an object",
    "typed_dict": "an object", "list": "a list", "tuple": "a list",
}  # fmt: skip


def damage(name: str, value: object, needs: Sequence[str] = ()) -> str | None:
    """What is wrong with the content of a JSON artifact that is called `name`, by its first key that is: "it has no
    'hash'", "'judge_health.judgements' is \"many\", not a whole number". None if nothing is. `needs` are
    further keys that the reader cannot do without."""
    if not isinstance(value, dict):
        return "it is not a JSON object"
    marker = re.fullmatch(r"\..+(\.(?:begun|done)\.json)", name)
    known = name if name in SHAPES or marker is None else marker[1]
    if known not in SHAPES:
        return None
    try:
        _adapter(known).validate_python(value, strict=True)
    except ValidationError as error:
        return _first(error)
    return next((f"it has no '{key}'" for key in needs if key not in value), None)


@functools.cache
def _adapter(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(SHAPES[name])


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f"it has no '{key}'"
    kind = re.sub(r"_(type|parsing|from_float)$", "", first["type"])
    wanted = _KINDS.get(kind, first["msg"].removeprefix("Input should be "))
    given = json.dumps(first["input"], ensure_ascii=False)
    return f"'{key}' is {given if len(given) <= 60 else given[:57] + '…'}, not {wanted}"
