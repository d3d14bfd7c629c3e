"""Can the user's own models, and those behind an endpoint, play the roles that the config gives them? Asked before the
first stage runs, for a role may come to be played after hours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from judgeloop.config import Config
from judgeloop.errors import InputError, first_line
from judgeloop.judging.pairwise import SIDES
from judgeloop.judging.pointwise import tokens_written
from judgeloop.judging.rubric import Rubric, load_rubric
from judgeloop.judging.score_distribution import option_problems
from judgeloop.models.auto_class import writes_text
from judgeloop.models.chat import Chat
from judgeloop.models.check_folder import check_folder
from judgeloop.run.directory import RunDirectory
from judgeloop.run.plan import OUTSIDE
from judgeloop.run.stage import Frozen, Remote, Step
from judgeloop.stages.contrast_eft import CONTRAST_EFT
from judgeloop.stages.evaluation import EVAL
from judgeloop.stages.judging import JUDGE_AHEAD, JUDGE_CANDIDATES
from judgeloop.stages.meta import META
from judgeloop.stages.models import Model

KEYS = {
    "judge": "judge.role",
    "prompter": "prompts.role",
    "anchor": "pairs.anchor",
    "writer": "seed_data.eft.writer",
}
# The judge of these has a key of its own.
JUDGES = {EVAL.name: "evaluation.judge", CONTRAST_EFT.name: KEYS["writer"]}


def outside_roles(steps: Sequence[Step]) -> list[tuple[Step, str, Frozen | Remote]]:
    """(step, role, model) of every role that is played by no model of the run."""
    return [
        (step, role, given)
        for step in steps
        if not step.stage.only_checks  # it plays no role itself
        for role, inputs in step.given.items()
        for given in inputs
        if isinstance(given, Frozen | Remote)
    ]


def check_players(run: RunDirectory, steps: Sequence[Step]) -> None:
    """Raise InputError if a model of the user's cannot play its role in one of the steps: its folder is not whole, its
    config or its tokenizer cannot be loaded, its chat template cannot be used, the engine cannot run it, its tokenizer
    does not tell the possible scores apart, or it has too few positions for what it is asked; or if an endpoint cannot
    be reached."""
    chats: dict[str, Chat] = {}
    reached: set[str] = set()
    for step, role, given in outside_roles(steps):
        key = JUDGES.get(step.stage.name, KEYS["judge"]) if role == "judge" else KEYS.get(role, role)
        try:
            if isinstance(given, Remote):
                if given.name not in reached:
                    _reach(run.config, given.name)
                reached.add(given.name)
                continue
            path = given.path
            if path not in chats:
                chats[path] = _loaded(Model.frozen(run, path))
            problems = [*_asked(run.config, step, role, chats[path])]
        except InputError as error:
            raise InputError(f"{key}: {error}") from error
        if problems:
            raise InputError(f"{key}: {path} cannot play this role: {problems[0]}")


def _reach(config: Config, name: str) -> None:
    from judgeloop.engines.openai import OpenAiEngine

    engine = OpenAiEngine(config.endpoint, name.removeprefix(OUTSIDE))
    try:
        engine.check()
    finally:
        engine.close()


def _loaded(model: Model) -> Chat:
    from judgeloop.engines import require_engine

    check_folder(model.folder)
    _check_architecture(model.folder, model.run.config.trust_remote_code)
    require_engine(model.run.config.engine, model.folder)
    return model.chat()


def _check_architecture(folder: Path, trust_remote_code: bool) -> None:
    """Raise InputError unless the config is one of a causal language model that transformers knows."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(str(folder), trust_remote_code=trust_remote_code)
    except Exception as error:  # the library raises many kinds; each means the same to the user
        raise InputError(f"{folder}: its config cannot be loaded ({first_line(error)}); name another model") from error
    own = getattr(config, "auto_map", None) or {}
    if not writes_text(config.model_type) and "AutoModelForCausalLM" not in own:
        raise InputError(f"{folder}: is a {config.model_type}, which writes no text; name a causal language model")


def _asked(config: Config, step: Step, role: str, chat: Chat) -> Iterator[str]:
    """What keeps the model from being asked what the step asks."""
    if role != "judge":
        sampling = {
            "prompter": config.prompts.sampling,
            "anchor": config.candidates.sampling,
            "writer": config.seed_data.eft.sampling,
        }.get(role)
        if sampling is not None:
            yield from _room("what it is to write", sampling.max_new_tokens, chat.positions)
        return
    if step.stage.name in (JUDGE_CANDIDATES.name, JUDGE_AHEAD.name) and config.judge.function is not None:
        return
    section, judge = config.evaluation, config.judge
    measures = step.stage.name == EVAL.name
    answer = (section if measures else config.candidates).sampling.max_new_tokens
    written = judge.sampling.max_new_tokens
    language = judge.language
    rubric = load_rubric(judge.rubric, language)
    if step.stage.name == META.name:
        task = answer + len(chat.prompt_ids(rubric.messages([{"role": "user", "content": "?"}], "")))
        yield from _compared(chat, load_rubric("meta", language), task + 2 * written)
        return
    yield from option_problems(chat, rubric.score_line, [str(score) for score in rubric.scores])
    asked = len(chat.prompt_ids(rubric.messages([{"role": "user", "content": "?"}], "")))
    needed = asked + answer + tokens_written(judge)
    yield from _room(f"its rubric and an answer of {answer} tokens", needed, chat.positions)
    if measures and section.compare == "pairwise":
        yield from _compared(chat, load_rubric("pairwise", language), 2 * answer)


def _compared(chat: Chat, rubric: Rubric, texts: int) -> Iterator[str]:
    yield from option_problems(chat, rubric.score_line, SIDES)
    asked = len(chat.prompt_ids(rubric.messages([{"role": "user", "content": "?"}], "", "")))
    yield from _room("a comparison of two texts", asked + texts, chat.positions)


def _room(what: str, needed: int, positions: int | None) -> Iterator[str]:
    if positions is not None and needed > positions:
        yield (
            f"{what} can take {needed} tokens and more, and it has {positions} positions; lower max_new_tokens of what "
            "is sampled, or name a model with more"
        )
