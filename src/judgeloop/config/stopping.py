"""When a run ends before its last iteration, and which of its models is the best."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from judgeloop.config.choices import METRICS
from judgeloop.config.section import Section

Gate = Literal[
    "parse_rate", "tie_rate", "top_share", "length_correlation", "retest_spread", "agreement", "prompt_blindness",
    "chosen_change",
]  # fmt: skip


class HealthSection(Section):
    """Gates on the judge: looked at after each judging of candidates and each evaluation from M1 on; and one on each
    preference training. What fails one is a warning in the report, or the end of the run before anything is trained on
    such judgements (`stop_on`)."""

    min_parse_rate: float | None = Field(0.7, ge=0, le=1, description="share of judgements with a readable score")
    max_tie_rate: float | None = Field(0.9, ge=0, le=1, description="share of prompts whose best and worst score tie")
    max_top_share: float | None = Field(
        0.9,
        ge=0,
        le=1,
        description="share of the scores at the top of the scale: less than half a step "
        "and than a tenth of the scale below the highest score",
    )
    max_length_correlation: float | None = Field(
        0.8, ge=0, le=1, description="Spearman's ρ of score with length, either way"
    )
    max_retest_spread: float | None = Field(
        1.5,
        ge=0,
        description="mean standard deviation of a response's K scores (scoring: sampled), on a "
        "scale of 0 to 5; on another in proportion",
    )
    min_agreement: float | None = Field(
        None,
        ge=0,
        le=1,
        description="fails where the whole interval of pairwise agreement with the held-out ranks lies below this",
    )
    max_prompt_blindness: float | None = Field(
        None,
        ge=-1,
        le=1,
        description="fails where the whole interval of the judge's prompt-blindness lies above this: the correlation "
        "of scores with those that the same responses get under other prompts (judge.contrast.others or .measure)",
    )
    min_chosen_change: float | None = Field(
        None,
        description="fails where preference training leaves chosen answers less likely than this: log π/π_ref in nats "
        "a response, over the last quarter of the steps; -5: no more than 5 nats lost",
    )
    stop_on: tuple[Gate, ...] = Field(
        ("parse_rate", "tie_rate", "top_share"), description="gates that stop the run; the others warn; []: none stops"
    )
    min_count: int = Field(20, gt=0, description="gates say nothing about fewer judgements (or prompts) than this")


class StopSection(Section):
    """When the loop is good enough, or no better, on held-out prompts; `iterations` is the most it does."""

    metric: Annotated[str, METRICS] = Field(
        "win_rate",
        description="what decides: win rate against the model before (as evaluation.compare has it), the same by "
        "scores of one judge, agreement with the seed's ranks, IFEval, ground truth by evaluation.checker, or a "
        "plugin's metric",
    )
    target: float | None = Field(
        None,
        description="stop when the metric's value reaches this (metric: score: the mean score; win_rate: "
        "the rate against the model before, from M2 on)",
    )
    min_count: int = Field(
        20, gt=0, description="a comparison over fewer prompts than this decides nothing, and reaches no target"
    )
    no_gain: Literal["go_on", "stop"] = Field(
        "go_on", description="stop when a model is not better than the best so far, clear of the interval"
    )
    worse: Literal["go_on", "stop"] = Field(
        "stop", description="stop when a model is worse than the best so far, clear of the interval"
    )
