"""The typed configuration tree: YAML in, `--set key=value` on top, resolved YAML out. Imports nothing else of ours
but the errors, and nothing heavy.

Each field's description is its documentation; unknown keys are refused with a suggestion.
"""

from judgeloop.config.engine import EngineSection
from judgeloop.config.evaluation import EvaluationSection
from judgeloop.config.instructions import PromptSamplingSection, PromptsSection
from judgeloop.config.judging import CandidatesSection, JudgeSamplingSection, JudgeSection, PairsSection
from judgeloop.config.loading import HUB, documentation, known_keys, load, parse
from judgeloop.config.section import SamplingSection, Section
from judgeloop.config.seed import EftSection, SeedSection
from judgeloop.config.training import LoraSection, SftSection, TrainingSection, TrainSection
from judgeloop.config.tree import Config

__all__ = [
    "HUB",
    "CandidatesSection",
    "Config",
    "EftSection",
    "EngineSection",
    "EvaluationSection",
    "JudgeSamplingSection",
    "JudgeSection",
    "LoraSection",
    "PairsSection",
    "PromptSamplingSection",
    "PromptsSection",
    "SamplingSection",
    "Section",
    "SeedSection",
    "SftSection",
    "TrainSection",
    "TrainingSection",
    "documentation",
    "known_keys",
    "load",
    "parse",
]
