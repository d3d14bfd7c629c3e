"""New instructions for each iteration."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field

from judgeloop.config.choices import INSTRUCTION_METHODS
from judgeloop.config.section import AS_BEFORE, NameOrPath, Paths, SamplingSection, Section
from judgeloop.config.self_instruct import SelfInstructSection
from judgeloop.config.unnatural import UnnaturalSection


def _with_letters(value: str) -> str:
    if not any(character.isalnum() for character in value):
        raise ValueError(f"a blocked word without letters ({value!r}) would match anything; name a word")
    return value


BlockedWord = Annotated[str, AfterValidator(_with_letters)]


class PromptSamplingSection(SamplingSection):
    """How new prompts are sampled (Self-Rewarding Language Models, section 3.1.3: temperature 0.6, top-p 0.9)."""

    temperature: float = Field(0.6, ge=0, description="0 is greedy")
    max_new_tokens: int = Field(256, gt=0, description="tokens a generation may have at most")


class NoveltySection(Section):
    """How a new prompt is compared with those there are."""

    of_files: bool = Field(
        False,
        description="drop prompts from files (source: file) too that come too close to the seed or to one another",
    )


class PromptsSection(Section):
    """New instructions for each iteration."""

    source: Annotated[str, INSTRUCTION_METHODS] = Field(
        "few_shot", description="made by a model, by the method named (docs/instructions.md), or read from a file"
    )
    role: NameOrPath = Field(
        "current", description="who writes them: current, M0, M1, … or a model folder (the paper: one fixed prompter)"
    )
    language: Literal["en", "zh"] = Field("en", description="language of the templates that the prompter is shown")
    files: Paths = Field((), description="JSONL with 'prompt' or 'messages' (source: file)")
    count: int = Field(200, gt=0, description="new prompts an iteration")
    later_counts: Annotated[tuple[Annotated[int, Field(gt=0)], ...], AS_BEFORE] = Field(
        (),
        description="of the second, third, … iteration, in place of count; the last number holds for all after it. A "
        "better model makes fewer pairs of as many prompts",
    )
    seed_demonstrations: int = Field(6, gt=0, description="demonstrations drawn from the seed")
    own_demonstrations: int = Field(2, ge=0, description="demonstrations drawn from prompts already generated")
    max_rouge_l: float = Field(
        0.7,
        gt=0,
        le=1,
        description="drop a prompt whose ROUGE-L F with any other is above this; 1: only the same words again",
    )
    novelty: NoveltySection = Field(default_factory=NoveltySection)
    contamination: Paths = Field(
        (),
        description="evaluation sets: drop prompts that are in one of them; those of evaluation are always among them",
    )
    min_words: int = Field(3, ge=1, description="drop shorter prompts")
    max_words: int = Field(150, gt=0, description="drop longer prompts")
    min_characters: int = Field(
        4, ge=1, description="as min_words, for scripts that count by characters: Chinese, Japanese, Korean, Thai, …"
    )
    max_characters: int = Field(
        300, gt=0, description="as max_words, for those scripts: two characters say about what an English word says"
    )
    blocked_words: tuple[BlockedWord, ...] | None = Field(
        None,
        description="drop prompts with one of these words or phrases, in any language; null: the shipped list of the "
        "prompt's language; '*' alone means up to two words, at the end of a word for any ending",
    )
    sampling: PromptSamplingSection = Field(default_factory=PromptSamplingSection)
    max_requests: int | None = Field(None, gt=0, description="give up after this many generations; null: 20 per prompt")
    requests_per_round: Annotated[int, AS_BEFORE] = Field(
        16,
        gt=0,
        description="generations that are asked for together; the next round shows what was kept of them. On a GPU or "
        "a cluster take as many as all engines hold (engines × engine.max_sequences)",
    )
    self_instruct: SelfInstructSection = Field(default_factory=SelfInstructSection)
    unnatural: UnnaturalSection = Field(default_factory=UnnaturalSection)

    def counts(self, iterations: int) -> list[int]:
        """How many new prompts each of the first iterations asks for."""
        counts = [self.count, *self.later_counts]
        return [counts[min(at, len(counts) - 1)] for at in range(iterations)]

    def of_model(self, model: str) -> Self:
        """The section with the count of the iteration that makes a model: "M2" is made by the first, M1 by none."""
        iteration = int(model[1:]) - 1
        if not self.later_counts or iteration < 1:
            return self
        return self.model_copy(update={"count": self.counts(iteration)[-1], "later_counts": ()})
