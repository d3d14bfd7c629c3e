"""What a column that nobody reads may say against what would be learnt from its row.

It may call the answer bad in a word or in prose, tell that the answer failed, hold a better one, or hold the prompt
that was answered in truth; or hold an object with a rating in it. None of it is guessed: each is a question, which
`seed_data.fields` answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from judgeloop.data.columns import Columns
from judgeloop.data.fields import number_of
from judgeloop.data.marks import Mark, condemns, dismisses, fault_of, is_blank, label_of, mark_of
from judgeloop.data.names import NAMES, hinted_label, label_named, plain_name, says_of, words
from judgeloop.data.questions import Kind, Said, question_of
from judgeloop.data.row_marks import row_role
from judgeloop.data.within import at_path, parts_of

_ELSEWHERE = words(
    """prompt question instruction input query user task topic category categories type subset domain source kind tag
    tags difficulty intent lang language name title id text"""
)
_ASKED = r"(?:instruction|prompt|question|query|problem)"
_PROMPT = re.compile(
    rf"(?:evolved|rewritten|revised|improved|refined|modified)_{_ASKED}|{_ASKED}_(?:evolved|rewritten)"
)
_BETTER = re.compile(
    r"(?:(?:human|user|expert|annotator|reviewer|editor)_)?(?:correction|revision|edit)|(?:corrected|revised|edited|improved|refined|rewritten|fixed)"
    r"(?:_(?:response|answer|output|completion|reply|solution))?"
    r"|(?:response|answer|output|completion|reply|solution)_(?:corrected|revised|edited|improved|refined|rewritten)"
)
_CRITIC = re.compile(
    r"(?:\w+_)?(?:feedbacks?|critiques?|criticism|judge?ments?|evaluation|assessment)(?:_(?:text|comment))?"
)
_FAILED = re.compile(
    r"(?:\w+_)?(?:errors?|exception|failure)(?:_(?:message|msg|reason|type|code|info))?|status_message"
    r"|reject(?:ion)?_reason"
)
_FAULTS = re.compile(
    r"(?:num_|n_)?(?:errors|issues|problems|defects|violations|faults)(?:_found)?|(?:error|issue|violation)s?_count"
)
_REFUSAL = re.compile(r"(?:\w+_)?(?:refusals?|refused|declined)(?:_(?:flag|label|detected))?")  # which may be right
_CODE = re.compile(r"(?:http_)?status_code|http_status|response_code")
_OPTIONS = re.compile(r"(?:answer_)?(?:options?|choices?|opt?)(?:_?[a-e1-5])?|[a-e]")
_ANOTHER = re.compile(r"(?:response|answer|output|completion|reply|solution)_?\d+")
_EXPECTED = re.compile(
    r"expected(?:_(?:output|response|completion|reply))?|(?:ideal|golden)_(?:output|response|answer)"
)
_TRUE = re.compile(r"(?:reference|gold|golden|ground_truth|expected|correct|true)_(?:answer|response|solution|output)")
_MODELS = ("model_", "generated_", "llm_")  # how an answer is called that nobody vouches for
_FOR, _AGAINST = ("upvotes", "votes", "likes"), ("downvotes", "dislikes")
_NONE = words("none false no 0 success ok not_executed")

_SWAPPED = words("swapped swap flipped reversed inverted")
_MARGIN = re.compile(r"(?:score|reward|rating)?_?margin|(?:score|reward|rating)_(?:diff|difference|gap)")
_DECIDING = words("status state flag flags action decision review disposition recommendation filter")
_OF_ROWS = words("valid invalid approved flagged spam broken garbage junk blacklisted low")  # of a row
_STATISTICS = words("avg average mean median value score result")  # of what the name beside it or above it says
_DECIDED = ("status", "label", "answer", "decision", "review", "annotation", "verdict", "outcome")

Shape = Literal["single", "rated", "pair", "set", "other"]


class Suspect(NamedTuple):
    """A column, and what it may say by its name; a `word` may be in any. What is `within` an object is looked at row by
    row, each part as a column of its own."""

    key: str
    kind: Kind
    shape: Shape = "other"


def suspects_of(columns: Columns, unread: Iterable[str], *, asked: bool, shape: Shape) -> tuple[Suspect, ...]:
    """The columns of a row of a shape that may speak against it. `asked`: its prompt has a column."""
    given = columns.given
    kinds: dict[str, Kind | None] = {}
    objects: list[Suspect] = []
    for key in unread:
        name = plain_name(key)
        if _PROMPT.fullmatch(name) and asked and "prompt" in columns and "prompt" not in given:
            kinds[key] = "prompt"
        elif shape == "pair":
            kinds[key] = _of_a_pair(name, columns)
        elif shape == "set":
            kinds[key] = _of_a_set(name, columns)
        elif shape in ("single", "rated"):
            kinds[key] = _of_an_answer(name, columns, rated=shape == "rated")
        if shape != "other" and not _ELSEWHERE & set(name.split("_")):
            objects.append(Suspect(key, "within", shape))
    return (*(Suspect(key, kind) for key, kind in kinds.items() if kind is not None), *objects)


def _cells(row: Mapping[str, Any], suspect: Suspect, columns: Columns) -> Iterator[tuple[str, Kind, Any]]:
    """The cells of a suspect with what each may say: its own, or the parts of the object in it."""
    if suspect.kind != "within":
        yield suspect.key, suspect.kind, row[suspect.key]
        if suspect.kind == "true":  # an annotator's "reject" may be in a column called `answer`
            yield suspect.key, "word", row[suspect.key]
        return
    if suspect.shape == "rated" and _is_condemned(row, columns):
        return  # it is not learnt anyhow
    for path, value in parts_of(suspect.key, row[suspect.key]):
        names = [plain_name(part) for part in path[len(suspect.key) + 1 :].split(".") if not part.isdigit()]
        elsewhere = any(_ELSEWHERE & set(name.split("_")) for name in names)
        if names and not elsewhere and path not in columns.roles.values():
            kind = _of_a_part(_spoken_of(names, path, row), columns, suspect.shape)
            if kind is not None:
                yield path, kind, value


def _spoken_of(names: Sequence[str], path: str, row: Mapping[str, Any]) -> str:
    """The name of what a part says: of a statistic, that of what it is of, as the name beside it says
    (`{"key": "correct", "value": 0}`) or the one above it (`correctness.avg`)."""
    if names[-1] not in _STATISTICS or names[-1] in NAMES["score"]:
        return names[-1]
    beside = (_there(row, f"{path.rpartition('.')[0]}.{name}") for name in ("name", "key", "metric"))
    named = next((plain_name(name) for name in beside if isinstance(name, str)), None)
    return named or (names[-2] if len(names) > 1 else names[-1])


def _there(row: Mapping[str, Any], path: str) -> Any:
    try:
        return at_path(row, path)
    except KeyError:
        return None


def _is_condemned(row: Mapping[str, Any], columns: Columns) -> bool:
    """Whether one of the row's labels calls its answer bad."""
    labels = [(role, columns.roles[role]) for role in ("label", "bad_label") if role in columns]
    return any(
        label_of(row.get(key)) is False if role == "label" else fault_of(row.get(key)) is True
        for role, key in (*labels, *columns.ratings.more)
    )


def _of_a_part(name: str, columns: Columns, shape: Shape) -> Kind | None:
    """What a part of an object may say, by its name; of a column with this name it would be known."""
    if shape == "pair":
        return _of_a_pair(name, columns)
    if shape == "set":
        return _of_a_set(name, columns)
    labelled = label_named(name)
    if name in NAMES["score"] or says_of(name):
        return "score" if shape == "single" and "score" not in columns.given else None
    if columns.given & {"label", "bad_label"}:
        return None
    if name in NAMES["bad_label"] or labelled == "bad_label":
        return "bad_label"
    if name in NAMES["label"] or labelled is not None:
        return "label"
    if (role := row_role(name)) in ("left_out", "kept") and role not in columns.given:
        return "out" if role == "left_out" else "kept"
    kind = _of_an_answer(name, columns, rated=shape == "rated")
    return kind if kind in ("failed", "critic", "word") else None


def _of_a_pair(name: str, columns: Columns) -> Kind | None:
    """What a column may say of a pair: that it was turned round, that it is none, or how far apart its sides are."""
    ordered = "chosen" in columns.given
    if _SWAPPED & set(name.split("_")):
        return None if ordered else "swapped"
    if _MARGIN.fullmatch(name):
        return None if ordered else "margin"
    if name in _DECIDED:
        return None if ordered else "pair"
    return _of_a_set(name, columns)


def _of_a_set(name: str, columns: Columns) -> Kind | None:
    """What a column may say of several answers: that the row as a whole is not to be used."""
    if columns.given & {"left_out", "kept"}:
        return None
    if (role := row_role(name)) in ("left_out", "kept"):
        return "out" if role == "left_out" else "kept"
    if name in ("deleted", "is_deleted") or (_OF_ROWS & set(name.split("_")) and label_named(name) is not None):
        return "kept" if label_named(name) == "label" else "out"
    return "dismissed" if name.rpartition("_")[2] in _DECIDING else None


def _of_an_answer(name: str, columns: Columns, *, rated: bool) -> Kind | None:
    """What a column may say of the one answer of a row."""
    given = columns.given
    if _BETTER.fullmatch(name) and not given & {"response", "chosen", "conversation"}:
        return "better"
    answer = plain_name(columns.roles.get("response", ""))
    if (
        "response" not in given
        and not rated
        and (
            (answer and _ANOTHER.fullmatch(name))
            or _EXPECTED.fullmatch(name)
            or (answer.startswith(_MODELS) and _TRUE.fullmatch(name))
            or (answer and name in NAMES["response"])
        )
    ):
        return "true"
    if _OPTIONS.fullmatch(name) and answer:
        return "options" if "response" not in given else None
    if name in _AGAINST and plain_name(columns.roles.get("score", "")) in _FOR and "score" not in given:
        return "votes"
    if given & {"label", "bad_label"}:
        return None
    if _FAILED.fullmatch(name) or _FAULTS.fullmatch(name) or _CODE.fullmatch(name):
        return "failed"
    if _REFUSAL.fullmatch(name):
        return "bad_label"
    if _ELSEWHERE & set(name.split("_")):
        return None
    hinted = None if rated or _CRITIC.fullmatch(name) else hinted_label(name)
    if hinted is not None:
        return hinted
    return "critic" if not rated and "score" not in given and _CRITIC.fullmatch(name) else "word"


def doubt_of(row: Mapping[str, Any], suspects: Iterable[Suspect], columns: Columns) -> tuple[str, str] | None:
    """What is wrong with a row, and what to do; None if nothing speaks against it."""
    for key, kind, value in (cell for suspect in suspects for cell in _cells(row, suspect, columns)):
        if is_blank(value) or not _speaks(value, kind, plain_name(key.rpartition(".")[2])):
            continue
        doubt = question_of(Said(key, kind, value), row, columns)
        if doubt is not None:
            return doubt
    return None


def _speaks(value: object, kind: Kind, name: str) -> bool:
    """Whether a cell says something of its column's kind: a lone word is no prompt, no answer and no prose."""
    if kind == "options":
        return isinstance(value, (list, Mapping, str))
    if kind in ("word", "pair") and name.rpartition("_")[2] in _DECIDING:
        return any(dismisses(item) for item in (value if isinstance(value, list) else [value]))
    if kind == "word" and isinstance(value, list):
        return any(condemns(item) for item in value)
    if kind in ("word", "pair") or (kind == "critic" and isinstance(value, str) and len(value.split()) < 3):
        return condemns(value)
    if kind == "score":
        return mark_of(value) not in (None, Mark()) or (isinstance(value, str) and len(value.split()) == 1)
    if kind == "label":
        return label_of(value) is False or condemns(value)
    if kind == "kept":
        return label_of(value) is False
    if kind == "dismissed":
        return dismisses(value)
    if kind in ("bad_label", "swapped", "out"):
        return fault_of(value) is True
    if kind == "margin":
        return (number_of(value) or 0.0) < 0
    if kind == "votes":
        return bool(number_of(value))
    if kind == "failed":
        if _CODE.fullmatch(name) or _FAULTS.fullmatch(name):
            number = number_of(value.split()[0] if isinstance(value, str) and value.strip() else value)
            if number is not None:
                return number >= (400 if _CODE.fullmatch(name) else 1)
        return (
            bool(value)
            and not isinstance(value, (bool, int, float))
            and str(value).strip(" <>").casefold() not in _NONE
        )
    texts = value if isinstance(value, list) else [value]
    return any(isinstance(text, str) and len(text.split()) > 2 for text in texts)
