"""The paper's method (Self-Rewarding Language Models, arXiv 2401.10020, section 2) as a list of steps.

Each step names what it makes, what it reads and which config keys matter to it; how it is run, resumed and shown is
said elsewhere.
"""

from __future__ import annotations

import re
from pathlib import Path

from judgeloop.config import Config
from judgeloop.errors import InputError
from judgeloop.steps import Step


def method(config: Config) -> list[Step]:
    """M0, the seed, M1 = SFT, then for each iteration: prompts, candidates, judgements, pairs, and the next model,
    which starts from the current one and has it as the reference. Each model is evaluated as soon as it exists."""
    # The judge's prompt (chat template, rubric) must be the same in training, judging and evaluation.
    base = Step(
        "M0", "model", "model.json", ("model", "revision", "trust_remote_code", "chat_template", "system_prompt")
    )
    seed = Step("M1", "seed", "ift.jsonl", ("seed", "seed_data", *_RUBRIC), light=True)
    steps = [base, seed]

    model = Step("M1", "sft", "model", ("seed", "sft"), (base.name, seed.name))
    steps.append(model)
    if config.evaluation.base:
        steps.append(_evaluation(config, base, None, steps, seed))
    steps.append(_evaluation(config, model, "M0" if config.evaluation.base else None, steps, seed))

    past_prompts: tuple[str, ...] = ()
    for t in range(1, config.iterations + 1):
        new = f"M{t + 1}"
        asked = Step(
            new,
            "prompts",
            "prompts.jsonl",
            ("seed", "prompts", "evaluation.prompts", *_ENGINE),
            (model.name, seed.name, *past_prompts),
        )
        answered = Step(
            new, "candidates", "candidates.jsonl", ("seed", "candidates", *_ENGINE), (model.name, asked.name)
        )
        steps += [asked, answered]
        answers: tuple[str, ...] = (answered.name,)
        if config.pairs.anchor is not None:
            steps.append(_anchors(config, new, model, asked, steps))
            answers += (steps[-1].name,)
        judged = Step(
            new,
            "judge",
            "judgements.jsonl",
            ("seed", "judge", *_ENGINE),
            (_player("judge.role", config.judge.role, model, steps), *answers),
        )
        paired = Step(new, "pairs", "pairs.jsonl", ("pairs", "judge.min_valid"), (*answers, judged.name), light=True)
        trained = Step(new, "train", "model", ("seed", "train"), (model.name, paired.name))
        steps += [judged, paired, trained]
        steps.append(_evaluation(config, trained, model.model, steps, seed))
        model = trained
        past_prompts += (asked.name,)
    return steps


def _anchors(config: Config, new: str, current: Step, asked: Step, steps: list[Step]) -> Step:
    """An earlier model's answers to the same prompts (pairs.anchor)."""
    role = str(config.pairs.anchor)
    if role == "previous":
        role = f"M{int(current.model[1:]) - 1}"
    player = _player("pairs.anchor", role, current, steps)
    keys = ("seed", "candidates.sampling", "pairs.anchor", "pairs.anchor_count", *_ENGINE)
    return Step(new, "anchors", "anchors.jsonl", keys, (player, asked.name))


def _evaluation(config: Config, model: Step, previous: str | None, steps: list[Step], seed: Step) -> Step:
    """Judge health, agreement, length, and the win rate against the previous model, on held-out prompts."""
    judge = _player("evaluation.judge", config.evaluation.judge, model, steps)
    before = (f"{previous}/eval",) if previous is not None else ()
    inputs = tuple(dict.fromkeys((model.name, judge, seed.name, *before)))
    return Step(model.model, "eval", "eval.json", ("seed", "evaluation", "judge", *_ENGINE), inputs)


def _player(key: str, role: str, current: Step, steps: list[Step]) -> str:
    """The step that makes the model which plays a role: the current one, an earlier one by name, or M0's for a folder
    (a frozen model of the user's, which no step makes)."""
    if role == "current":
        return current.name
    makers = {step.model: step.name for step in steps if step.stage in ("model", "sft", "train")}
    if re.fullmatch(r"M\d+", role):
        if role not in makers:
            raise InputError(f"{key}: {role} does not exist yet when {current.model} needs it; name an earlier model")
        return makers[role]
    if not (Path(role) / "config.json").is_file():
        raise InputError(f"{key}: '{role}' is neither current, M0, M1, … nor a model folder; name one of these")
    return makers["M0"]


_RUBRIC = ("judge.rubric", "judge.language", "judge.justification")
_ENGINE = ("engine.kind", "engine.precision", "engine.script")
