"""A model behind an OpenAI-compatible endpoint."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from judgeloop.config.section import SPEED_ONLY, Section


class PricesSection(Section):
    """What a model's tokens cost, in any one currency."""

    input: float = Field(ge=0, description="price of a million tokens of prompts")
    output: float = Field(ge=0, description="price of a million tokens of answers")


class EndpointSection(Section):
    """Where the models named `openai:NAME` are, and how they are asked."""

    url: str | None = Field(None, description="base URL of an OpenAI-compatible API, such as http://localhost:8000/v1")
    key_variable: str = Field(
        "OPENAI_API_KEY", description="environment variable that holds the API key; the key itself is never written"
    )
    concurrency: int = Field(8, gt=0, description="requests under way at once")
    timeout: float = Field(120.0, gt=0, description="seconds without an answer after which a request is tried again")
    attempts: int = Field(6, gt=0, description="tries of a request that meets a busy or failing endpoint")
    requests_per_minute: Annotated[float | None, SPEED_ONLY] = Field(
        None, gt=0, description="requests that are started in a minute at most; none: no limit"
    )
    tokens_per_minute: Annotated[float | None, SPEED_ONLY] = Field(
        None, gt=0, description="tokens of prompts and answers in a minute at most, by the endpoint's count"
    )
    prices: Annotated[PricesSection | None, SPEED_ONLY] = Field(
        None, description="what the tokens cost: {input, output} per million; the account then has the cost"
    )
    begin_score: Literal["auto", "always", "never"] = Field(
        "auto",
        description="expected scores without justification: ask for one token after a begun score line; "
        "auto: if the endpoint can go on with the line, else the judge writes it whole",
    )
