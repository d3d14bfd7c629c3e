"""The typed configuration tree: YAML in, `--set key=value` on top, resolved YAML out. Imports nothing else of ours
but the errors, and nothing heavy.

Each field's description is its documentation; unknown keys are refused with a suggestion.
"""

from judgeloop.config.backtranslation import BacktranslationSection, CurationSection, SegmentsSection
from judgeloop.config.engine import EngineSection
from judgeloop.config.evaluation import EvaluationSection
from judgeloop.config.instructions import PromptSamplingSection, PromptsSection
from judgeloop.config.judging import CandidatesSection, JudgeSamplingSection, JudgeSection
from judgeloop.config.loading import HUB, documentation, known_keys, load, parse
from judgeloop.config.pairs import PairsSection
from judgeloop.config.section import SamplingSection, Section
from judgeloop.config.seed import EftSection, SeedSection
from judgeloop.config.stopping import Gate, HealthSection, StopSection
from judgeloop.config.training import LoraSection, SftSection, TrainingSection, TrainSection
from judgeloop.config.tree import Config

__all__ = [
    "HUB",
    "BacktranslationSection",
    "CandidatesSection",
    "Config",
    "CurationSection",
    "EftSection",
    "EngineSection",
    "EvaluationSection",
    "Gate",
    "HealthSection",
    "JudgeSamplingSection",
    "JudgeSection",
    "LoraSection",
    "PairsSection",
    "PromptSamplingSection",
    "PromptsSection",
    "SamplingSection",
    "Section",
    "SeedSection",
    "SegmentsSection",
    "SftSection",
    "StopSection",
    "TrainSection",
    "TrainingSection",
    "documentation",
    "known_keys",
    "load",
    "parse",
]
