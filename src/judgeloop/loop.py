"""The paper's method (Self-Rewarding Language Models, arXiv 2401.10020, section 2): which step follows which, and what
goes into it. How a step is carried out, resumed and shown is said elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from judgeloop.config import Config
from judgeloop.errors import InputError
from judgeloop.run.plan import Given, Plan, made_later
from judgeloop.run.stage import Artifact, Frozen, Remote, Step
from judgeloop.stages import backtranslation as bt
from judgeloop.stages.agreed import AGREED
from judgeloop.stages.contrast_eft import ANSWERS, CONTRAST_EFT
from judgeloop.stages.evaluation import EVAL
from judgeloop.stages.generation import AHEAD, ANCHORS, CANDIDATES
from judgeloop.stages.ground_truth import CHECKS
from judgeloop.stages.judging import CONSISTENCY, JUDGE_AHEAD, JUDGE_CANDIDATES
from judgeloop.stages.meta import META
from judgeloop.stages.model import MODEL
from judgeloop.stages.pairs import FIRST_PAIRS, PAIRS
from judgeloop.stages.prompts import PROMPTS
from judgeloop.stages.refresh import REFRESH
from judgeloop.stages.rows import ROWS
from judgeloop.stages.seed import SEED
from judgeloop.stages.solved import SOLVED
from judgeloop.stages.training import PROVISIONAL, SFT, TRAIN
from judgeloop.stages.written_eft import EFT, WRITER, WRITTEN


def method(config: Config) -> list[Step]:
    """M0, the seed, M1 = SFT, then for each iteration: prompts, candidates, judgements, pairs, and the next model,
    which starts from the current one and has it as the reference. Each model is evaluated as soon as it exists."""
    plan = Plan(config)
    m0 = plan.step(MODEL, "M0")
    seed = plan.step(SEED, "M1", policy=m0)
    render_rows(plan, m0, seed)
    judged_later = made_later(config.evaluation.judge)
    if config.evaluation.base and not judged_later:  # a checker that fails is noticed before anything is trained
        evaluate(plan, m0, seed)
    extra = backtranslated_rows(plan, m0, seed)
    eft = eft_rows(plan, m0, seed)
    model = plan.step(SFT, "M1", policy=m0, ift=seed["ift"], eft=eft, backtranslated=extra)
    if config.evaluation.base and judged_later:
        evaluate(plan, m0, seed)
    evaluate(plan, model, seed)

    earlier: list[Step] = []
    for t in range(1, config.iterations + 1):
        new, train = f"M{t + 1}", config.train
        prompts = new_prompts(plan, new, model, seed, earlier)
        candidates = plan.step(CANDIDATES, new, policy=model, prompts=prompts)
        anchors = None
        if config.pairs.anchor is not None:
            anchor = plan.role("pairs.anchor", config.pairs.anchor, model)
            anchors = plan.step(ANCHORS, new, anchor=anchor, prompts=prompts)
        judge = plan.role("judge.role", config.judge.role, model)
        judgements = plan.step(
            JUDGE_CANDIDATES, new, judge=judge, prompts=prompts, candidates=candidates, anchors=anchors
        )
        answered, judged = [candidates], [judgements]
        ahead = config.pairs.chosen == "provisional"
        made_from = {"prompts": prompts, "candidates": candidates, "anchors": anchors}
        pairs = plan.step(FIRST_PAIRS if ahead else PAIRS, new, None, **made_from, judgements=judgements)
        if config.pairs.implicit and not ahead:
            pairs = implicit_pairs(plan, new, model, pairs, answered, anchors)
        consistency = judge_pairs = None
        if train.consistency:  # the judge of the iteration before (CREAM, arXiv 2410.12735)
            before = plan.role("train.consistency", "previous", model)
            consistency = plan.step(
                CONSISTENCY, new, judge=before, prompts=prompts, candidates=candidates, judgements=judgements
            )["consistency.json"]
        if config.judge.meta.enabled:  # the judge's judgements judged (Meta-Rewarding, arXiv 2407.19594)
            judge_pairs = plan.step(
                META, new, judge=judge, prompts=prompts, candidates=candidates, judgements=judgements
            )
        refreshed = None
        if config.judge.refresh.enabled:  # its own answers as EFT rows (Self-Taught Evaluators, arXiv 2408.02666)
            refreshed = plan.step(
                REFRESH, new, judge=judge, prompts=prompts, candidates=candidates, judgements=judgements
            )
        beside: dict[str, Given] = {
            "judge_pairs": judge_pairs, "consistency": consistency, "candidates": answered, "anchors": anchors,
            "refresh": refreshed,
            "eft": eft if train.eft_replay else None, "ift": seed["ift"] if train.ift_replay else None,
            "held_out": seed["held_out"] if train.early_stopping.every is not None else None,
        }  # fmt: skip
        if ahead:  # a model one step ahead answers too (Temporal Self-Rewarding, arXiv 2508.06026)
            provisional = plan.step(PROVISIONAL, new, None, policy=model, reference=model, pairs=pairs, **beside)
            answers = plan.step(AHEAD, new, provisional=provisional, prompts=prompts)
            theirs = plan.step(JUDGE_AHEAD, new, judge=judge, prompts=prompts, ahead=answers)
            judged = [judgements, theirs]
            pairs = plan.step(PAIRS, new, None, **made_from, ahead=answers, judgements=judged)
            beside["candidates"] = answered = [candidates, answers]
            if config.pairs.implicit:
                pairs = implicit_pairs(plan, new, model, pairs, answered, anchors)
        if train.solved_replay:  # the best answers to prompts without a pair, so that no pair is no forgetting
            beside["solved"] = plan.step(
                SOLVED, new, None, prompts=prompts, candidates=answered, judgements=judged, pairs=pairs
            )
        model = plan.step(TRAIN, new, None, policy=model, reference=model, pairs=pairs, **beside)
        evaluate(plan, model, seed)
        earlier.append(prompts)
    return plan.steps


def implicit_pairs(
    plan: Plan, new: str, model: Step, pairs: Step, answered: Sequence[Step], anchors: Step | None
) -> Step:
    """The pairs on which what its training left in the model's probabilities agrees (SCIR, arXiv 2502.08922)."""
    before = plan.role("pairs.implicit", "previous", model)
    return plan.step(AGREED, new, policy=model, before=before, pairs=pairs, candidates=answered, anchors=anchors)


def render_rows(plan: Plan, m0: Step, seed: Step) -> None:
    """Render every row that is known by now. A model of the run that judges later has M0's chat template."""

    def judge(key: str, role: str) -> Step | Frozen | Remote:
        ours = role in ("current", "previous") or made_later(role)
        return m0 if ours else plan.role(key, role, m0)

    config = plan.config
    plan.step(
        ROWS, "M1", policy=m0, ift=seed["ift"], held_out=seed["held_out"],
        eft=seed["eft"] if config.seed_data.eft.source == "ranks" else None,
        judge=judge("judge.role", config.judge.role),
        evaluator=judge("evaluation.judge", config.evaluation.judge),
    )  # fmt: skip


def new_prompts(plan: Plan, new: str, current: Step, seed: Step, earlier: list[Step]) -> Step:
    """Instructions for one iteration, from files or by the model that plays the prompter."""
    prompter = plan.role("prompts.role", plan.config.prompts.role, current)
    return plan.step(
        PROMPTS, new, prompter=prompter, ift=seed["ift"], held_out=seed["held_out"], earlier=earlier or None
    )


def eft_rows(plan: Plan, m0: Step, seed: Step) -> Artifact:
    """The seed's EFT rows; or, as in the paper (section 3.1.1), those that the model trained on the IFT rows alone
    writes and that order the responses as people did; or those that set its answers to the seed's instructions beside
    other instructions."""
    section = plan.config.seed_data.eft
    if section.source == "ranks":
        return seed["eft"]
    if made_later(section.writer):
        raise InputError(f"seed_data.eft.writer: {section.writer} does not exist yet; name sft, M0 or a model folder")
    writer: Step | Frozen = m0 if section.writer == "M0" else Frozen(section.writer)
    if section.writer == "sft":
        writer = plan.step(WRITER, "M1", policy=m0, ift=seed["ift"])
    sets = seed["eft_sets"]
    if section.source == "contrast":
        answers = plan.step(ANSWERS, "M1", writer=writer, ift=seed["ift"], eft_sets=sets)
        return plan.step(
            CONTRAST_EFT, "M1", judge=writer, ift=seed["ift"], eft_sets=sets, existing=seed["eft_given"],
            candidates=answers,
        ).as_input()  # fmt: skip
    written = plan.step(WRITTEN, "M1", writer=writer, eft_sets=sets)
    who = written["eft.written.json"]
    return plan.step(EFT, "M1", eft_sets=sets, existing=seed["eft_given"], written=written, writer=who).as_input()


def backtranslated_rows(plan: Plan, m0: Step, seed: Step) -> Step | None:
    """Instruction Backtranslation (arXiv 2308.06259, section 2): segments, the backward model, its instructions; then,
    round by round, the forward model of the seed and what was kept so far, its scores, and what is kept by them."""
    section = plan.config.backtranslation
    if not section.texts:
        return None
    segments = plan.step(bt.SEGMENTS, "M1")
    backward = plan.step(bt.BACKWARD, "M1", policy=m0, ift=seed["ift"])
    labels = plan.step(bt.LABELS, "M1", segments=segments, backward=backward)
    labelled = plan.step(
        bt.LABELLED, "M1", segments=segments, labels=labels, ift=seed["ift"], held_out=seed["held_out"]
    )
    curated: list[Step] = []
    made = [segments, backward, labels, labelled]
    for t in range(1, section.rounds + 1):
        kept = curated[-1] if curated else None
        forward = plan.step(bt.FORWARD, "M1", t - 1, policy=m0, ift=seed["ift"], curated=kept)
        scores = plan.step(bt.SCORES, "M1", t, forward=forward, labelled=labelled)
        curated.append(plan.step(bt.CURATE, "M1", t, labelled=labelled, scores=scores))
        made += [forward, scores, curated[-1]]
    rows = plan.step(bt.BACKTRANSLATED, "M1", curated=curated[-1], making=made)
    return rows if section.train != "nothing" else None


def evaluate(plan: Plan, model: Step, seed: Step) -> None:
    """Judge health, agreement, length, and the win rate against the model evaluated before, on held-out prompts; and
    what the user's own code says of the responses, apart: neither the model nor the judge may come near it. Of many
    models every n-th alone (evaluation.every), M1 and the last one always."""
    number, every = int(model.model[1:]), plan.config.evaluation.every
    if number > 1 and (number - 1) % every and number != plan.config.iterations + 1:
        return
    before = {s.stage.name: s for s in plan.steps if int(s.model[1:]) < number and s.stage.measures}
    judge = plan.role("evaluation.judge", plan.config.evaluation.judge, model)
    last, held_out = before.get(EVAL.name), seed["held_out"]
    by = judge.as_input() if isinstance(judge, Step) else judge
    same = last if last is not None and last.given["judge"] == (by,) else None  # what it judged then is not repeated
    evaluated = plan.step(
        EVAL, model.model, policy=model, judge=judge, held_out=held_out, previous=last and last["eval.responses"],
        previous_judgements=same and same["eval.judgements"], previous_agreement=same and same["eval.agreement"],
    )  # fmt: skip
    if plan.config.evaluation.checker is not None:
        checked = before.get(CHECKS.name)
        plan.step(
            CHECKS, model.model, evaluation=evaluated, responses=evaluated["eval.responses"],
            judgements=evaluated["eval.judgements"], held_out=held_out,
            previous=checked and checked["checks.jsonl"],
        )  # fmt: skip
