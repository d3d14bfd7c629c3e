"""Config keys that several stages depend on."""

from __future__ import annotations

from judgeloop.config import EvaluationSection, JudgeSection


def of(section: str, *names: str) -> tuple[str, ...]:
    """The dotted keys of some fields of a section."""
    return tuple(f"{section}.{name}" for name in names)


ENGINE = of("engine", "kind", "precision", "script", "vllm.quantization", "vllm.kv_cache")
RUBRIC = of("judge", "rubric", "language", "justification")
# Pairs of judgements, and the judge's own EFT rows, are stages of their own; which keys of contrast matter,
# stages/contrast.py says.
JUDGE = of("judge", *(name for name in JudgeSection.model_fields if name not in ("meta", "contrast", "refresh")))
# An evaluation judges every response equally often, and its judge has a role of its own.
FIXED_JUDGE = tuple(key for key in JUDGE if key not in of("judge", "max_samples", "noise", "role", "function"))
# Which models are evaluated changes no evaluation, but by what it is compared with, which is an input.
EVALUATION = of("evaluation", *(name for name in EvaluationSection.model_fields if name not in ("checker", "every")))
# Prompts that no part of the seed may contain.
EVALUATED = (*of("evaluation", "prompts", "ifeval"), "prompts.contamination")
FILTERS = of(
    "prompts", "min_words", "max_words", "min_characters", "max_characters", "blocked_words", "max_rouge_l",
    "contamination",
)  # fmt: skip
