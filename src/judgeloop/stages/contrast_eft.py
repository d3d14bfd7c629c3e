"""EFT rows without ranked data: a model answers the seed's instructions and judges its answers, each under its own
instruction and under another one."""

from __future__ import annotations

from collections import Counter

from judgeloop.eft.contrast_rows import contrast_rows
from judgeloop.eft.existing_eft import score_in
from judgeloop.eft.from_ranks import balanced
from judgeloop.errors import InputError
from judgeloop.jsonl import each_row, read_rows, write_rows_atomically
from judgeloop.judging.pointwise import ToJudge
from judgeloop.records import Candidate, Judgement, Prompt, RankedSet, SupervisedRow, derive_seed
from judgeloop.run.json_artifacts import write_json
from judgeloop.run.stage import Stage
from judgeloop.seed.build import histogram
from judgeloop.stages import costs
from judgeloop.stages.context import Context, Outcome, sampling
from judgeloop.stages.fitting import fitting
from judgeloop.stages.generation import respond
from judgeloop.stages.judges import loop_rubric, open_judge
from judgeloop.stages.keys import ENGINE, FIXED_JUDGE, of
from judgeloop.stages.refresh import account_of, answers_beside, told


def instructions(context: Context) -> list[Prompt]:
    """What the seed asks, each once: the prompts of its IFT rows and of its ranked sets for EFT, or as many of them as
    `max_prompts` says."""
    asked = [row.prompt for row in context.rows("ift", SupervisedRow)]
    asked += [ranked.messages for ranked in context.rows("eft_sets", RankedSet)]
    prompts = {prompt.id: prompt for prompt in (Prompt.of(messages, "seed") for messages in asked)}
    seed, most = context.config.seed, context.config.seed_data.eft.contrast.max_prompts
    kept = set(sorted(prompts, key=lambda name: derive_seed(seed, "instructions", name))[:most])
    return [prompt for name, prompt in prompts.items() if name in kept]


def answers(context: Context) -> Outcome:
    """`eft.samples` answers to each instruction."""
    model, how = context.model("writer"), context.config.candidates.sampling
    chat = model.chat(answers=True)
    what = f"{context.step.name}: instructions"
    asked, left_out = fitting(model.name, chat, instructions(context), how.max_new_tokens, what)
    count = context.config.seed_data.eft.samples
    tokens = respond(
        context, context.output(), lambda: model.open(chat), chat, asked, count, sampling(how), purpose="answers",
        named="M1.seed",
    )  # fmt: skip
    more = {"prompts_left_out": left_out} if left_out else {}
    return Outcome({"rows": sum(1 for _ in each_row(context.output(), Candidate)), "tokens": tokens, **more})


def contrast_eft(context: Context) -> Outcome:
    """Judge the answers under their own instructions, the best of them under others too, and write the rows that agree
    after those that the user gave."""
    config, rubric = context.config, loop_rubric(context)
    section = config.seed_data.eft
    dropped: Counter[str] = Counter()
    prompts = instructions(context)
    by_id = {prompt.id: prompt.messages for prompt in prompts}
    candidates = context.rows("candidates", Candidate)
    own, others = context.output("eft.judgements"), context.output("eft.others")
    with open_judge(context) as judge:
        judge.score(own, [ToJudge(row.id, by_id[row.prompt_id], row.text) for row in candidates])
        judgements = read_rows(own, Judgement)
        asked = answers_beside(config, section.contrast, prompts, candidates, judgements, dropped)
        judge.score(others, [one.under_other for one in asked])
        name = judge.name
    under = read_rows(others, Judgement)
    made = contrast_rows(asked, judgements, under, rubric, section.contrast, config.judge, "contrast", dropped)
    if not made.rows:
        why = "; ".join(f"{count} {reason}" for reason, count in dropped.items() if count)
        raise InputError(
            f"seed_data.eft: source contrast leaves no row of {len(candidates)} answers ({why}); lower "
            "contrast.min_gap or contrast.min_score, raise eft.samples, or choose another eft.writer"
        )
    kept = balanced(made.rows, section, config.seed, dropped)
    existing = context.rows("existing", SupervisedRow)
    rows = list({row.id: row for row in (*existing, *(row for _, row in kept))}.values())
    write_rows_atomically(context.output(), rows)
    account = {"judge": name, **account_of(len(candidates), asked, made, rubric, dropped)}
    scores = histogram([score_in(row, rubric) for row in rows], rubric)
    write_json(context.output("eft.json"), {"eft": len(rows), "eft_scores": scores, "eft_contrast": account})
    return Outcome({"rows": len(rows), "yields": told(account)})


ANSWERS = Stage(
    "answers",
    "answers to the seed's instructions",
    run=answers,
    cost=costs.seed_answers,
    reads=("writer", "ift", "eft_sets"),
    writes=("answers.jsonl",),
    keys=("seed", "candidates.sampling", *of("seed_data.eft", "writer", "samples", "contrast.max_prompts"), *ENGINE),
)
CONTRAST_EFT = Stage(
    "contrast_eft",
    "EFT rows of these answers",
    run=contrast_eft,
    cost=costs.contrast_eft,
    reads=("judge", "ift", "eft_sets", "existing", "candidates"),
    writes=("eft.jsonl", "eft.json", "eft.judgements.jsonl", "eft.others.jsonl"),
    keys=("seed", *of("seed_data.eft", "contrast", "max_rows", "max_share"), *FIXED_JUDGE, *ENGINE),
)
