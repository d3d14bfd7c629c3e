"""What every section of the config is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


@dataclass(frozen=True, slots=True)
class SpeedOnly:
    """Marks a key that changes speed, memory or logging and not what is made: no fingerprint holds it."""


SPEED_ONLY = SpeedOnly()


@dataclass(frozen=True, slots=True)
class AsBefore:
    """Marks a key that came after runs had been made and changes nothing while it has its default: a fingerprint holds
    it only if it has another value, so the artifacts of those runs stay what they are."""


AS_BEFORE = AsBefore()


class Section(BaseModel):
    """A frozen section that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def of_model(self, model: str) -> Self:  # noqa: ARG002
        """The section as it is while a model ("M2") is made: of keys that have a value for each iteration, its own."""
        return self


def shapes_results(section: type[Section], name: str) -> bool:
    """Whether a field's value changes what is made; false if it is marked `SPEED_ONLY`."""
    return SPEED_ONLY not in section.model_fields[name].metadata


def as_before(section: Section, name: str) -> bool:
    """Whether a field is marked `AS_BEFORE` and has its default."""
    info = type(section).model_fields[name]
    return AS_BEFORE in info.metadata and getattr(section, name) == info.default


@dataclass(frozen=True, slots=True)
class Names:
    """Marks a key whose value names something on disk. In a config file such paths are relative to the file.

    `path`: always a path (but `hf:…`, which names a data set of the hub). `path_if_there`: a name, or a path where
    such a thing exists.
    """

    what: Literal["path", "path_if_there"]


def _one_or_many(value: object) -> object:
    return value if isinstance(value, (list, tuple)) else (value,)


Paths = Annotated[tuple[str, ...], BeforeValidator(_one_or_many), Names("path")]
OptionalPath = Annotated[str | None, Names("path")]
NameOrPath = Annotated[str, Names("path_if_there")]
OptionalNameOrPath = Annotated[str | None, Names("path_if_there")]


class SamplingSection(Section):
    """How text is sampled."""

    temperature: float = Field(0.7, ge=0, description="0 is greedy")
    top_p: float = Field(0.9, gt=0, le=1, description="nucleus sampling; 1 switches it off")
    top_k: int = Field(0, ge=0, description="keep the k likeliest tokens; 0 switches it off")
    max_new_tokens: int = Field(512, gt=0, description="tokens a generation may have at most")


def leaves(section: type[Section], prefix: str = "") -> Iterator[tuple[str, type[Section], str]]:
    """(dotted key, section, field name) of every key that is not itself a section."""
    for name, info in section.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            yield from leaves(inner, f"{prefix}{name}.")
        else:
            yield prefix + name, section, name
