"""The paper's method (Self-Rewarding Language Models, arXiv 2401.10020, section 2) as a list of steps.

Each step names what it makes, what it reads and which config keys matter to it; how it is run, resumed and shown is
said elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from judgeloop.config import Config, EvaluationSection, JudgeSection
from judgeloop.errors import InputError
from judgeloop.run.stage import LOOP, Step, upstream


def method(config: Config) -> list[Step]:
    """M0, the seed, M1 = SFT, then for each iteration: prompts, candidates, judgements, pairs, and the next model,
    which starts from the current one and has it as the reference. Each model is evaluated as soon as it exists."""
    # The judge's prompt (chat template, rubric) must be the same in training, judging and evaluation.
    base = Step(
        "M0",
        "model",
        "model.json",
        ("model", "revision", "trust_remote_code", "chat_template", "system_prompt", "thinking"),
    )
    seed = _seed(config)
    steps = [base, seed]
    waits = re.fullmatch(r"M[1-9]\d*", config.evaluation.judge) is not None  # for a judge that has yet to be made
    if config.evaluation.base and not waits:  # a checker that fails is noticed before anything is trained
        steps += _evaluation(config, base, None, steps, seed)

    extra = _backtranslation(config, base, seed)
    steps += extra
    used, inputs = _used_by_sft(config, extra)
    judgements = _written_eft(config, base, seed)
    inputs += tuple(step.name for step in judgements[-1:])
    model = Step("M1", "sft", "model", ("seed", "sft", *used), (base.name, seed.name, *inputs))
    steps += [*judgements, model]
    if config.evaluation.base and waits:
        steps += _evaluation(config, base, None, steps, seed)
    steps += _evaluation(config, model, "M0" if config.evaluation.base else None, steps, seed)

    past_prompts: tuple[str, ...] = ()
    for t in range(1, config.iterations + 1):
        new = f"M{t + 1}"
        asked = _new_prompts(config, new, model, steps, (seed.name, *past_prompts))
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
            ("seed", *_JUDGE, *_ENGINE),
            (_player("judge.role", config.judge.role, model, steps), *answers),
        )
        rule = ("seed", "pairs", "judge.min_valid")
        paired = Step(new, "pairs", "pairs.jsonl", rule, (*answers, judged.name), light=True)
        steps += [judged, paired]
        made = [paired.name]
        if config.train.consistency:
            steps.append(_consistency(new, model, steps, (answered.name, judged.name)))
            made.append(steps[-1].name)
        if config.judge.meta.enabled:
            # Meta-Rewarding (arXiv 2407.19594): the judge's judgements judged, and trained on beside the responses.
            keys = ("seed", "judge.meta", *_RUBRIC, *_ENGINE)
            steps.append(Step(new, "meta", "judge_pairs.jsonl", keys, (judged.inputs[0], answered.name, judged.name)))
            made.append(steps[-1].name)
        if config.train.eft_replay:
            made.append(judgements[-1].name if judgements else seed.name)
        if config.train.ift_replay and seed.name not in made:
            made.append(seed.name)
        under: tuple[str, ...] = (
            "seed",
            "train",
            "train_thoughts",
            *(("sft.eft_loss",) if config.train.eft_replay else ()),
        )
        if config.train.early_stopping.every is not None:
            under += (*_of("evaluation", "prompts", "count", "sampling"), "judge.language", *_ENGINE)
        trained = Step(new, "train", "model", under, (model.name, *made))
        steps.append(trained)
        steps += _evaluation(config, trained, model.model, steps, seed)
        model = trained
        past_prompts += (asked.name,)
    return steps


def instruction_making(config: Config) -> list[Step]:
    """New prompts once, without a loop: the model, the seed, and the prompts. Who writes them (prompts.role) is the
    config's model where it says `current`; M1 is made first where it says so."""
    needed = "M1/sft" if config.prompts.role == "M1" else "M1/seed"
    steps = method(config)
    base = steps[0]
    made = [base, *(step for step in upstream(steps, needed) if step != base)]
    player, new = (made[-1], "M2") if needed == "M1/sft" else (base, "M1")
    return [*made, _new_prompts(config, new, player, made, ("M1/seed",))]


def _new_prompts(config: Config, new: str, current: Step, steps: list[Step], before: tuple[str, ...]) -> Step:
    player = _player("prompts.role", config.prompts.role, current, steps)
    keys = ("seed", "prompts", "evaluation.prompts", *_ENGINE)
    return Step(new, "prompts", "prompts.jsonl", keys, (player, *before))


def _seed(config: Config) -> Step:
    """The seed's parts. Where a model writes the EFT rows, how it does so matters to later steps only."""
    keys: tuple[str, ...] = ("seed_data", *_RUBRIC)
    if config.seed_data.eft.source == "written":
        parts = [name for name in type(config.seed_data).model_fields if name != "eft"]
        keys = (*_of("seed_data", *parts), *_of("seed_data.eft", "source", "ift_overlap"))
        keys += _RUBRIC if config.seed_data.eft_files else ()
    return Step("M1", "seed", "ift.jsonl", ("seed", *keys), light=True)


def _written_eft(config: Config, base: Step, seed: Step) -> list[Step]:
    """EFT rows as in the paper (section 3.1.1): the model trained on the IFT rows alone writes judgements, those that
    order the responses as people did are kept."""
    section = config.seed_data.eft
    if section.source == "ranks":
        return []
    if re.fullmatch(r"M[1-9]\d*", section.writer):
        raise InputError(f"seed_data.eft.writer: {section.writer} does not exist yet; name sft, M0 or a model folder")
    steps = []
    if section.writer == "sft":
        steps.append(Step("M1", "writer", "writer", ("seed", "sft"), (base.name, seed.name)))
    maker = steps[0] if steps else base
    how = _of("seed_data.eft", "writer", "samples", "examples", "score", "opening", "sampling")
    keys = ("seed", *how, *_RUBRIC, *_ENGINE)
    written = Step("M1", "written", "eft.written.jsonl", keys, (maker.name, seed.name))
    keys = ("seed", *_of("seed_data.eft", "ties", "max_rows", "max_share"), *_RUBRIC)
    kept = Step("M1", "eft", "eft.jsonl", keys, (seed.name, written.name), light=True)
    return [*steps, written, kept]


def backtranslation(config: Config) -> list[Step]:
    """The steps that lead to backtranslated rows, and no others. Raises InputError where the config names no texts."""
    if not config.backtranslation.texts:
        raise InputError("backtranslation.texts names no texts; name folders or files")
    return upstream(method(config), "M1/backtranslated")


def _backtranslation(config: Config, base: Step, seed: Step) -> list[Step]:
    """Instruction Backtranslation (arXiv 2308.06259, section 2): segments, the backward model, its instructions; then,
    round by round, the forward model of the seed and what was kept so far, its scores, and what is kept by them."""
    if not config.backtranslation.texts:
        return []
    cut = Step("M1", "segments", "segments.jsonl", ("seed", *_of("backtranslation", "texts", "text_key", "segments")))
    shared = ("seed", *_of("backtranslation", "language", "sft"))
    backward = Step("M1", "backward", "backward", shared, (base.name, seed.name))
    keys = ("seed", *_of("backtranslation", "language", "samples", "sampling"), *_ENGINE)
    labels = Step("M1", "labels", "labels.jsonl", keys, (cut.name, backward.name))
    keys = (*_of("prompts", *_FILTERS), "evaluation.prompts", "backtranslation.max_copied")
    labelled = Step("M1", "labelled", "labelled.jsonl", keys, (seed.name, cut.name, labels.name))
    steps = [cut, backward, labels, labelled]
    prompts = _of("backtranslation", "language", "seed_system_prompt", "augmented_system_prompt")
    kept: tuple[str, ...] = ()
    for t in range(1, config.backtranslation.rounds + 1):
        name, made_from = f"forward.{t - 1}", (base.name, seed.name, *kept)
        forward = Step("M1", name, name, (*shared, prompts[1]), made_from)
        keys = ("seed", *_of("backtranslation", "curation"), *prompts[:2], *_ENGINE)
        scores = Step("M1", f"scores.{t}", f"scores.{t}.jsonl", keys, (labelled.name, forward.name))
        keys = (*_of("backtranslation", "keep", "threshold", "top_share"), *prompts)
        best = Step("M1", f"curate.{t}", f"curated.{t}.jsonl", keys, (labelled.name, scores.name), light=True)
        steps += [forward, scores, best]
        kept = (best.name,)
    return [*steps, Step("M1", "backtranslated", "backtranslated.jsonl", (), kept, light=True)]


def _used_by_sft(config: Config, steps: list[Step]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Keys and inputs that M1's SFT has on top where backtranslated rows are trained on."""
    if not steps or config.backtranslation.train == "nothing":
        return (), ()
    return _of("backtranslation", "train", "language", "seed_system_prompt"), (steps[-1].name,)


def _of(section: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{section}.{name}" for name in names)


def _anchors(config: Config, new: str, current: Step, asked: Step, steps: list[Step]) -> Step:
    """An earlier model's answers to the same prompts (pairs.anchor)."""
    role = str(config.pairs.anchor)
    if role == "previous":
        role = f"M{int(current.model[1:]) - 1}"
    player = _player("pairs.anchor", role, current, steps)
    keys = ("seed", "candidates.sampling", "pairs.anchor", "pairs.anchor_count", *_ENGINE)
    return Step(new, "anchors", "anchors.jsonl", keys, (player, asked.name))


def _consistency(new: str, current: Step, steps: list[Step], judged: tuple[str, ...]) -> Step:
    """The same candidates judged by the model before the current one (CREAM, arXiv 2410.12735)."""
    before = _player("train.consistency", f"M{int(current.model[1:]) - 1}", current, steps)
    return Step(new, "consistency", "consistency.jsonl", ("seed", *_FIXED_JUDGE, *_ENGINE), (before, *judged))


def _evaluation(config: Config, model: Step, previous: str | None, steps: list[Step], seed: Step) -> list[Step]:
    """Judge health, agreement, length, and the win rate against the previous model, on held-out prompts; and what the
    user's own code says of the responses, apart: neither the model nor the judge may come near it."""
    outside = config.evaluation.judge.startswith("openai:")
    if outside and not config.endpoint.url:
        raise InputError(f"endpoint.url: evaluation.judge is {config.evaluation.judge}; name the API's base URL")
    judge = model.name if outside else _player("evaluation.judge", config.evaluation.judge, model, steps)
    before = (f"{previous}/eval",) if previous is not None else ()
    inputs = tuple(dict.fromkeys((model.name, judge, seed.name, *before)))
    keys = ("seed", *_EVALUATION, *_FIXED_JUDGE, *_ENGINE, *(("endpoint.url",) if outside else ()))
    evaluated = Step(model.model, "eval", "eval.json", keys, inputs)
    if config.evaluation.checker is None:
        return [evaluated]
    before = (f"{previous}/checks",) if previous is not None else ()
    keys = ("seed", *_of("evaluation", "checker", "prompts", "bootstrap"), "judge.min_valid")
    return [evaluated, Step(model.model, "checks", "checks.json", keys, (evaluated.name, seed.name, *before))]


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


INSTRUCTIONS, BACKTRANSLATION = "instructions", "backtranslation"
# What a run directory can be made by; its run.json says which.
METHODS: dict[str, Callable[[Config], list[Step]]] = {
    LOOP: method,
    INSTRUCTIONS: instruction_making,
    BACKTRANSLATION: backtranslation,
}
_LENGTHS = ("min_words", "max_words", "min_characters", "max_characters")
_FILTERS = (*_LENGTHS, "blocked_words", "max_rouge_l", "contamination")
# The pairs of judgements are a step of their own; evaluation judges every response equally often.
_JUDGE = _of("judge", *(name for name in JudgeSection.model_fields if name != "meta"))
_FIXED_JUDGE = tuple(key for key in _JUDGE if key not in _of("judge", "max_samples", "noise", "role", "function"))
_EVALUATION = _of("evaluation", *(name for name in EvaluationSection.model_fields if name != "checker"))
_RUBRIC = ("judge.rubric", "judge.language", "judge.justification")
_ENGINE = ("engine.kind", "engine.precision", "engine.script")
