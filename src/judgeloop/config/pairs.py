"""How judged candidates become preference pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from judgeloop.config.choices import PAIR_RULES
from judgeloop.config.section import AS_BEFORE, OptionalNameOrPath, Section


def _one_or_many(value: object) -> object:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


Rho = Annotated[float, Field(ge=0, lt=0.5)]
Share = Annotated[float, Field(gt=0, le=1)]
SharePerIteration = Annotated[tuple[Share, ...], BeforeValidator(_one_or_many), Field(min_length=1)]
RhoPerIteration = Annotated[tuple[Rho, ...], BeforeValidator(_one_or_many), Field(min_length=1)]


class PairsSection(Section):
    """How judged candidates become preference pairs."""

    rule: Annotated[str, PAIR_RULES] = Field(
        "best_worst", description="which candidates make a pair: best_worst, or a rule that a plugin registers"
    )
    contrast: Annotated[bool, AS_BEFORE] = Field(
        True,
        description="pairs are made from contrasts if judge.contrast.others is above 0, and margin, length_rho and "
        "top_share read contrasts; false: from each response's own score",
    )
    margin: float = Field(0.0, ge=0, description="best and worst must differ by more than this")
    max_gap: Annotated[float | None, AS_BEFORE] = Field(
        None,
        gt=0,
        description="a prompt whose best and worst differ by more than this gives no pair (RIP: a poor prompt has "
        "answers that vary); null: no bound",
    )
    min_rejected: Annotated[float | None, AS_BEFORE] = Field(
        None,
        description="a prompt whose rejected answer scores below this gives no pair (RIP: a poor prompt has poor "
        "answers); null: no bound",
    )
    min_rejected_characters: Annotated[int | None, AS_BEFORE] = Field(
        None, gt=0, description="a prompt whose rejected answer is shorter gives no pair (RIP); null: no bound"
    )
    implicit: Annotated[bool, AS_BEFORE] = Field(
        False,
        description="keep only pairs whose chosen answer has the higher implicit reward too, β log π/π_before of the "
        "current model and the one before it (after SCIR)",
    )
    unfinished: Literal["left_out", "as_judged", "zero"] = Field(
        "left_out",
        description="answers cut off by length: left_out of pairs, as_judged (rejected where they score lowest), or "
        "zero (score 0, whatever the judge says, or the least that a contrast can be: so rejected, which teaches to "
        "finish); they are never chosen",
    )
    length_rho: RhoPerIteration = Field(
        (0.0,),
        description="length control of Meta-Rewarding: chosen is the shortest answer in the top share ρ of the score "
        "range, rejected the longest in the bottom share; one number, or one for each iteration (the last holds on)",
    )
    control: Literal["none", "random"] = Field(
        "none",
        description="random: a control, chosen and rejected of each pair swapped at random, except for rejected "
        "answers that were cut off; what a run gains with it, it does not owe to the judge",
    )
    top_share: SharePerIteration = Field(
        (1.0,),
        description="keep this share of the pairs, those whose chosen answer scores highest: where all candidates are "
        "poor, the best of them is no example; one number, or one for each iteration (the last holds on)",
    )
    max_per_prompt: int = Field(1, gt=0, description="pairs a prompt may give; each response serves once")
    anchor: OptionalNameOrPath = Field(
        None,
        description="an earlier model (previous, M0, M1, … or a model folder) answers too, and its answer is rejected "
        "where it scores lower than the worst candidate",
    )
    anchor_count: int = Field(2, gt=0, description="responses of the anchor model to each prompt")
    rejected: Annotated[Literal["own", "anchored"], AS_BEFORE] = Field(
        "own",
        description="own: the worst candidate, or the anchor's answer if that is worse; anchored: the anchor's worst "
        "answer always, so that what is rejected does not get better with the model (Temporal Self-Rewarding)",
    )
    chosen: Annotated[Literal["own", "provisional"], AS_BEFORE] = Field(
        "own",
        description="own: the best candidate; provisional: a provisional next model, trained on the pairs that the "
        "candidates make, answers too, and its best answer is chosen where it scores higher (Temporal Self-Rewarding); "
        "nearly twice the training",
    )
    provisional_count: Annotated[int, AS_BEFORE] = Field(
        2, gt=0, description="responses of the provisional next model to each prompt"
    )

    @model_validator(mode="after")
    def _what_is_rejected_is_there(self) -> PairsSection:
        if self.rejected == "anchored" and self.anchor is None:
            raise ValueError("rejected: anchored rejects an earlier model's answers; name it (anchor: M0 or M1)")
        return self

    def rho(self, iteration: int) -> float:
        """ρ of an iteration, the first being 1."""
        return _of_iteration(self.length_rho, iteration)

    def share(self, iteration: int) -> float:
        """Share of the pairs that an iteration keeps, the first being 1."""
        return _of_iteration(self.top_share, iteration)


def _of_iteration(given: Sequence[float], iteration: int) -> float:
    return given[min(iteration, len(given)) - 1]
