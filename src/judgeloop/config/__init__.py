"""The typed configuration tree: YAML in, `--set key=value` on top, resolved YAML out. Imports nothing else of ours
but the errors, and nothing heavy.

Each field's description is its documentation; unknown keys are refused with a suggestion.
"""

from judgeloop.config.backtranslation import BacktranslationSection, CurationSection, SegmentsSection
from judgeloop.config.compute import ComputeSection
from judgeloop.config.endpoint import EndpointSection
from judgeloop.config.engine import EngineSection, ServerSection, VllmSection
from judgeloop.config.evaluation import EvaluationSection
from judgeloop.config.instructions import PromptSamplingSection, PromptsSection
from judgeloop.config.judging import CandidatesSection, ContrastSection, JudgeSamplingSection, JudgeSection
from judgeloop.config.loading import HUB, configure, documentation, known_keys, load, parse, validated
from judgeloop.config.pairs import PairsSection
from judgeloop.config.refresh import ContrastRowsSection, RefreshSection
from judgeloop.config.report import ReportSection
from judgeloop.config.section import AS_BEFORE, SPEED_ONLY, SamplingSection, Section, as_before, shapes_results
from judgeloop.config.seed import EftSection, SeedSection
from judgeloop.config.self_instruct import SelfInstructSection
from judgeloop.config.stopping import Gate, HealthSection, StopSection
from judgeloop.config.training import (
    CringeSection,
    EarlyStoppingSection,
    LoraSection,
    SftSection,
    TrainingSection,
    TrainSection,
)
from judgeloop.config.tree import Config
from judgeloop.config.unnatural import UnnaturalSection

__all__ = [
    "AS_BEFORE",
    "HUB",
    "SPEED_ONLY",
    "BacktranslationSection",
    "CandidatesSection",
    "ComputeSection",
    "Config",
    "ContrastRowsSection",
    "ContrastSection",
    "CringeSection",
    "CurationSection",
    "EarlyStoppingSection",
    "EftSection",
    "EndpointSection",
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
    "RefreshSection",
    "ReportSection",
    "SamplingSection",
    "Section",
    "SeedSection",
    "SegmentsSection",
    "SelfInstructSection",
    "ServerSection",
    "SftSection",
    "StopSection",
    "TrainSection",
    "TrainingSection",
    "UnnaturalSection",
    "VllmSection",
    "as_before",
    "configure",
    "documentation",
    "known_keys",
    "load",
    "parse",
    "shapes_results",
    "validated",
]
