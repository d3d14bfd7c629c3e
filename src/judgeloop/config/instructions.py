"""New instructions for each iteration."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from judgeloop.config.section import Paths, SamplingSection, Section


class PromptSamplingSection(SamplingSection):
    """How new prompts are sampled (Self-Rewarding Language Models, section 3.1.3: temperature 0.6, top-p 0.9)."""

    temperature: float = Field(0.6, ge=0, description="0 is greedy")
    max_new_tokens: int = Field(256, gt=0, description="tokens a generation may have at most")


class PromptsSection(Section):
    """New instructions for each iteration."""

    source: Literal["few_shot", "file"] = Field("few_shot", description="made by the model itself, or read from a file")
    files: Paths = Field((), description="JSONL with 'prompt' or 'messages' (source: file)")
    count: int = Field(200, gt=0, description="new prompts an iteration")
    seed_demonstrations: int = Field(6, gt=0, description="demonstrations drawn from the seed")
    own_demonstrations: int = Field(2, ge=0, description="demonstrations drawn from prompts already generated")
    max_rouge_l: float = Field(
        0.7, gt=0, le=1, description="drop a prompt whose ROUGE-L F with any other is above this"
    )
    min_words: int = Field(3, ge=1, description="drop shorter prompts")
    max_words: int = Field(150, gt=0, description="drop longer prompts")
    sampling: PromptSamplingSection = Field(default_factory=PromptSamplingSection)
    max_requests: int | None = Field(None, gt=0, description="give up after this many generations; null: 20 per prompt")
