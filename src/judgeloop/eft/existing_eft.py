"""EFT rows that the user has already (`seed_data.eft_files`): used as they are, but for those about a held-out prompt.

A row names the instruction it judges by `prompt_id`; where one of our rubrics made its prompt, the instruction is also
read out of it again, so that nearly equal prompts can be found too.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from judgeloop.data.readers import read_judgements
from judgeloop.errors import InputError
from judgeloop.judging.parse_score import parse_score
from judgeloop.judging.pointwise import taught_score
from judgeloop.judging.rubric import Rubric, load_rubric, shipped_rubrics
from judgeloop.records import Message, RankedSet, SupervisedRow, stable_id
from judgeloop.seed.leakage import Known

_TURN = re.compile(r"\n\n(User|Assistant): ")
_PLACEHOLDER = re.compile(r"(?<!\{)\{(system|instruction|ending|response)\}(?!\})")
_LITERAL = re.compile(r"\{\{(\w+)\}\}")
# An ending is within one line. A system message is as short as the template allows, for what follows it may have the
# same blank lines.
_FORMS = {"ending": r"[^\n]*", "system": ".*?"}


@dataclass(frozen=True, slots=True)
class ExistingEft:
    """`rows` with their whole scores (rounded for the histogram), the `instructions` they judge as far as known, the
    `prompt_ids` they name, and how many rows are `unknown`: only their prompt_id could be compared."""

    rows: list[tuple[int, SupervisedRow]]
    instructions: list[list[Message]]
    prompt_ids: frozenset[str]
    unknown: int
    detected: list[str]
    taken: int


def given_rows(
    sources: Sequence[str],
    rubric: Rubric,
    held_out: Sequence[RankedSet],
    near_duplicate: float,
    dropped: Counter[str],
    score_alone: bool = False,
    evaluated: Callable[[str, str, Sequence[Message], str], bool] | None = None,
) -> ExistingEft:
    """Read the files; rows about a held-out prompt, and rows that occur twice, are left out and counted; so are those
    for which `evaluated` (row, part, prompt, prompt id) says that the prompt is one of the evaluation's.

    With `score_alone` only the score of each is to be learnt: raises InputError with file and row for a score that is
    none of those whose probabilities are read."""
    closed = Known(near_duplicate)
    for ranked in held_out:
        closed.add(ranked.messages, "held-out prompt")
    held_out_ids = {stable_id("p", ranked.messages) for ranked in held_out}
    rubrics = _rubrics(rubric)
    rows: dict[str, tuple[int, SupervisedRow]] = {}
    instructions: list[list[Message]] = []
    detected = []
    taken = unknown = 0
    for source in sources:
        found, account = read_judgements(
            source, partial(has_score, rubric=rubric), partial(taught_score, rubric) if score_alone else None
        )
        detected.append(account.sentence(source))
        taken += account.taken
        dropped.update(account.dropped)
        for row in found:
            about = judged_instruction(row.prompt, rubrics)
            if row.id in rows:
                dropped["duplicate"] += 1
            elif evaluated is not None and evaluated(row.source, "EFT", about or row.prompt, row.prompt_id):
                continue
            elif row.prompt_id in held_out_ids or (about is not None and closed.same(about)):
                dropped["EFT row of a file with a held-out prompt"] += 1
            elif about is not None and closed.near(about):
                dropped["EFT row of a file close to a held-out prompt"] += 1
            else:
                rows[row.id] = (score_in(row, rubric), row)
                unknown += about is None
                instructions += [about] if about is not None else []
    ids = frozenset(row.prompt_id for _, row in rows.values())
    return ExistingEft(list(rows.values()), instructions, ids, unknown, detected, taken)


def has_score(text: str, rubric: Rubric) -> bool:
    """Whether a judgement's text has a score on the rubric's scale that can be read."""
    return parse_score(text, rubric.low, rubric.high, rubric.label, rubric.form).value is not None


def score_in(row: SupervisedRow, rubric: Rubric) -> int:
    """The score that an EFT row teaches, rounded. Raises InputError where it has none that can be read."""
    score = parse_score(row.completion[0]["content"], rubric.low, rubric.high, rubric.label, rubric.form)
    if score.value is None:
        raise InputError(f"EFT row {row.id}: its judgement has no readable score ({score.reason}); remove the row")
    return math.floor(score.value + 0.5)


def judged_instruction(prompt: Sequence[Message], rubrics: Sequence[Rubric]) -> list[Message] | None:
    """The conversation inside a filled judge prompt, None where none of the rubrics made it. Fence tags and control
    tokens in it stay neutralised, which the comparison of prompts does not see."""
    text = prompt[-1]["content"]
    # With a system message first: if the instruction's line is bare, the other template takes it for the instruction.
    for template in [template for rubric in rubrics for template in (rubric.template_with_system, rubric.template)]:
        match = _pattern(template).fullmatch(text)
        if match is not None:
            first, *rest = _TURN.split(match["instruction"])
            turns: list[Message] = [{"role": "user", "content": first}]
            if system := match.groupdict().get("system"):
                turns.insert(0, {"role": "system", "content": system})
            for speaker, content in zip(rest[::2], rest[1::2], strict=True):
                turns.append({"role": speaker.lower(), "content": content})
            return turns if turns[-1]["role"] == "user" else None
    return None


def _pattern(template: str) -> re.Pattern[str]:
    pieces: list[str] = []
    seen: set[str] = set()
    for place, part in enumerate(_PLACEHOLDER.split(template)):
        if place % 2 == 0:
            pieces.append(re.escape(_LITERAL.sub(r"{\1}", part)))
        else:
            pieces.append(f"(?P={part})" if part in seen else f"(?P<{part}>{_FORMS.get(part, '.*')})")
            seen.add(part)
    return re.compile("".join(pieces), re.DOTALL)


def _rubrics(own: Rubric) -> list[Rubric]:
    """The run's rubric and every shipped one that judges single responses."""
    found = [own]
    for language in ("en", "zh"):
        for name in shipped_rubrics(language):
            try:
                rubric = load_rubric(name, language)
            except InputError:
                continue
            if "{other}" not in rubric.template:
                found.append(rubric)
    return found
