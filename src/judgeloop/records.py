"""The rows that stages write for one another, and how they are read, appended and keyed.

Every row is one JSON object on one line. Ids are derived from content, so that the same input gives the same id in
every run, and joins go by id, never by position.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self, TypedDict, TypeVar

from judgeloop.errors import InputError


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


@dataclass(frozen=True, slots=True)
class Prompt:
    """An instruction to answer: `messages` end with a user turn; `source` says where it came from."""

    required: ClassVar[tuple[str, ...]] = ("id", "messages", "source")
    id: str
    messages: list[Message]
    source: str

    @classmethod
    def of(cls, messages: list[Message], source: str) -> Self:
        return cls(stable_id("p", messages), messages, source)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One response of a model to a prompt.

    `token_ids` are the ids exactly as generated, closing end-of-turn token included where `finish_reason` is "stop";
    `finish_reason` "length" means that the answer was cut off.
    """

    required: ClassVar[tuple[str, ...]] = ("id", "prompt_id", "text", "token_ids", "finish_reason")
    id: str
    prompt_id: str
    text: str
    token_ids: list[int]
    finish_reason: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """One judgement of one candidate: the judge's raw text, and the score read from it or None with a reason.

    With expected scoring there is one row a candidate (k = 0) without text; `distribution` holds the probability of
    each score, normalised over the scores, and `mass` how much of the whole vocabulary's probability they had.
    """

    required: ClassVar[tuple[str, ...]] = ("id", "candidate_id", "k", "text", "score", "reason")
    id: str
    candidate_id: str
    k: int
    text: str
    score: float | None
    reason: str | None
    distribution: list[float] | None = None
    mass: float | None = None


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Best against worst response to one prompt; `prompt`, `chosen`, `rejected` are chat messages, as TRL has them."""

    required: ClassVar[tuple[str, ...]] = ("id", "prompt_id", "prompt", "chosen", "rejected")
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
class SupervisedRow:
    """A row to imitate, in TRL's prompt-completion form: an IFT row (instruction → response) or an EFT row
    (filled judge prompt → judgement). `prompt_id` names the instruction it is about, for leakage checks."""

    required: ClassVar[tuple[str, ...]] = ("id", "kind", "prompt_id", "prompt", "completion", "source")
    id: str
    kind: str  # "ift" or "eft"
    prompt_id: str
    prompt: list[Message]
    completion: list[Message]
    source: str


@dataclass(frozen=True, slots=True)
class RankedSet:
    """Several responses to one prompt as humans ranked them: `rank` 0 is best, equal ranks are ties.

    Each response is `{"text": str, "rank": int}`; `group` names what must stay on one side of a split (a tree).
    """

    required: ClassVar[tuple[str, ...]] = ("id", "messages", "responses", "source")
    id: str
    messages: list[Message]
    responses: list[dict[str, Any]]
    source: str
    group: str = field(default="")


@dataclass(frozen=True, slots=True)
class Task:
    """An instruction as a model made it: what is asked (`instruction`), what it is asked about (`input`, may be empty),
    under which `constraints`, and an `output` where the method writes one.

    `source` names the method and its request ("self_instruct:17"); `classification` is None where nobody asked.
    """

    required: ClassVar[tuple[str, ...]] = ("id", "instruction", "input", "output", "source")
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


Row = Prompt | Candidate | Judgement | PreferencePair | SupervisedRow | RankedSet | Task
R = TypeVar("R", Prompt, Candidate, Judgement, PreferencePair, SupervisedRow, RankedSet, Task)


def to_line(row: Row | Mapping[str, Any]) -> str:
    """One JSON line, newline included. Fields that are None and optional stay out of the file."""
    if isinstance(row, Mapping):
        data = dict(row)
    else:
        defaults = {f.name: f.default for f in dataclasses.fields(row) if f.default is not dataclasses.MISSING}
        data = {
            f.name: getattr(row, f.name)
            for f in dataclasses.fields(row)
            if not (f.name in defaults and getattr(row, f.name) == defaults[f.name])
        }
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")) + "\n"


def raw_lines(path: Path) -> Iterator[bytes]:
    """Lines of a file; gzip is known by its first two bytes, whatever the file is called."""
    try:
        handle = path.open("rb")
    except OSError as error:
        raise InputError.at(path, None, f"cannot be read ({error.strerror})", "check the path") from error
    with handle:
        packed = handle.read(2) == b"\x1f\x8b"
        handle.seek(0)
        if not packed:
            yield from handle
            return
        try:
            with gzip.GzipFile(fileobj=handle) as unpacked:
                yield from unpacked
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError.at(path, None, f"broken gzip ({error})", "copy the file again") from error


def read_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, object) of a JSONL file a person wrote, gzipped or not; blank lines are skipped.

    Raises InputError with file and line where a line is not a JSON object or not UTF-8.
    """
    for number, raw in enumerate(raw_lines(path), 1):
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise InputError.at(path, number, "is not UTF-8", "save the file as UTF-8") from error
        if not text.strip():
            continue
        try:
            value = json.loads(text)
            if "\\ud" in text.lower():  # the escape of a surrogate: only whole pairs can be written again
                json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            raise InputError.at(path, number, "has half of a surrogate pair", "write the whole character") from error
        except (ValueError, RecursionError) as error:
            nested = isinstance(error, RecursionError)
            detail = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply" if nested else error
            raise InputError.at(path, number, f"broken JSON ({detail})", "mend or remove the line") from error
        if not isinstance(value, dict):
            raise InputError.at(path, number, "is not a JSON object", 'write one {"…": …} object a line')
        yield number, value


def read_rows(path: Path, kind: type[R]) -> list[R]:
    """Read a whole artifact of ours. Unknown fields are allowed (others may add theirs) and left out."""
    names = [f.name for f in dataclasses.fields(kind)]
    rows = []
    for number, value in read_objects(path):
        for name in kind.required:
            if name not in value:
                raise InputError.at(path, number, f"a {kind.__name__} row without '{name}'", "restore the file")
        rows.append(kind(**{name: value[name] for name in names if name in value}))
    return rows


class RowLog:
    """Append rows to a JSONL file so that a kill at any moment loses at most the row being written.

    Opening cuts off a torn last line (one without newline, or not JSON: it was owed and is owed again); finished
    lines keep every byte. Each append is one write and one flush.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._cut_torn_end()
        self._handle = path.open("ab", buffering=0)

    def _cut_torn_end(self) -> None:
        if not self.path.exists():
            return
        data = self.path.read_bytes()
        keep = data.rfind(b"\n") + 1
        while keep:
            start = data.rfind(b"\n", 0, keep - 1) + 1
            try:
                json.loads(data[start:keep])
                break
            except (json.JSONDecodeError, UnicodeDecodeError):
                keep = start
        if keep != len(data):
            os.truncate(self.path, keep)

    def append(self, rows: Iterable[Row | Mapping[str, Any]]) -> None:
        """Write all rows in one go."""
        data = "".join(to_line(row) for row in rows).encode("utf-8")
        view = memoryview(data)
        while view:
            view = view[self._handle.write(view) :]

    def close(self) -> None:
        os.fsync(self._handle.fileno())
        self._handle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def write_text_atomically(path: Path, text: str) -> None:
    """Replace `path` in one step: a reader, or a kill, sees the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    partial.replace(path)


def write_rows_atomically(path: Path, rows: Iterable[Row | Mapping[str, Any]]) -> None:
    """Write a whole artifact that is made in one step (pairs, IFT rows)."""
    write_text_atomically(path, "".join(to_line(row) for row in rows))
