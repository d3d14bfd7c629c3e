"""The prompts by which early stopping chooses a checkpoint: none of them is among those that win rates are told on."""

from __future__ import annotations

import random
from collections.abc import Sequence

from judgeloop.config import Config
from judgeloop.errors import InputError
from judgeloop.records import Prompt, RankedSet, derive_seed
from judgeloop.seed.leakage import Known
from judgeloop.stages.context import kept_from_training


def checkpoint_prompts(config: Config, held_out: Sequence[RankedSet]) -> list[Prompt]:
    """train.early_stopping.prompts of the prompts that nothing is trained on and no model is evaluated on: those of
    evaluation.prompts beyond evaluation.count, and the seed's held-out prompts; drawn by the run's seed.

    What is equal or near (seed_data.near_duplicate) to an evaluated prompt is no candidate. Raises InputError if there
    are too few.
    """
    wanted = config.train.early_stopping.prompts
    kept = kept_from_training(config, held_out)
    evaluated, rest = kept[: config.evaluation.count], kept[config.evaluation.count :]
    known = Known(config.seed_data.near_duplicate)
    for prompt in evaluated:
        known.add(prompt.messages, "evaluation")
    sets = [Prompt.of(ranked.messages, "held out") for ranked in held_out]
    seen = {prompt.id for prompt in evaluated}
    unique = {prompt.id: prompt for prompt in (*rest, *sets) if prompt.id not in seen}
    free = sorted(
        (p for p in unique.values() if not known.same(p.messages) and not known.near(p.messages)), key=lambda p: p.id
    )
    if len(free) < wanted:
        raise InputError(
            f"train.early_stopping.prompts: {wanted} held-out prompts are wanted that no model is evaluated on, and "
            f"{len(free)} are left ({len(unique) - len(free)} more are near to one that is); lower it or "
            "evaluation.count, add rows to evaluation.prompts, raise seed_data.held_out_share, or "
            "set train.early_stopping.every to null"
        )
    return random.Random(derive_seed(config.seed, "early_stopping")).sample(free, wanted)
