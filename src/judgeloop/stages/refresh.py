"""The judge refreshed on its policy's own answers: EFT rows of each iteration, made without truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from judgeloop.config import Config, ContrastRowsSection, ContrastSection
from judgeloop.eft.contrast_rows import Beside, ContrastRows, contrast_rows, set_beside
from judgeloop.jsonl import read_rows, write_rows_atomically
from judgeloop.judging.contrast import asked_in, draw_others, own
from judgeloop.judging.mean_scores import mean_scores
from judgeloop.judging.rubric import Rubric
from judgeloop.records import Candidate, Judgement, Prompt, derive_seed
from judgeloop.run.json_artifacts import write_json
from judgeloop.run.plan import OUTSIDE
from judgeloop.run.stage import Stage
from judgeloop.seed.build import histogram
from judgeloop.stages import costs
from judgeloop.stages.context import Context, Outcome
from judgeloop.stages.judges import endpoint_account, loop_rubric, open_judge
from judgeloop.stages.keys import ENGINE, FIXED_JUDGE
from judgeloop.text.similarity import IDENTICAL
from judgeloop.text.subjects import same_subject


def refresh(context: Context) -> Outcome:
    """Set the best answers of each prompt beside another prompt, judge them there, and write the rows that agree."""
    config, section, rubric = context.config, context.config.judge.refresh, loop_rubric(context)
    dropped: Counter[str] = Counter()
    judgements = own(context.rows("judgements", Judgement))
    answers = context.rows("candidates", Candidate)
    asked = answers_beside(config, section, context.rows("prompts", Prompt), answers, judgements, dropped)
    with open_judge(context) as judge:
        judge.score(context.output("refresh.judgements"), [one.under_other for one in asked])
        name = judge.name
    under = read_rows(context.output("refresh.judgements"), Judgement)
    made = contrast_rows(asked, judgements, under, rubric, section, config.judge, "refresh", dropped)
    write_rows_atomically(context.output(), [row for _, row in made.rows])
    account = account_of(len(answers), asked, made, rubric, dropped)
    write_json(context.output("refresh.json"), {"judge": name, **account})
    lines = told(account)
    if not made.rows:
        lines.append(
            "judge.refresh: there is no row, so this training goes without; see its keys min_gap and min_score"
        )
    return Outcome({"rows": len(made.rows), "yields": [*lines, *endpoint_account(context).get("yields", ())]})


def answers_beside(
    config: Config,
    section: ContrastRowsSection,
    prompts: Sequence[Prompt],
    answers: Sequence[Candidate],
    judgements: Sequence[Judgement],
    dropped: Counter[str],
) -> list[Beside]:
    """The answers that are to be judged under another prompt; what is left out is counted in `dropped`."""
    seed = derive_seed(config.seed, "beside")
    others = _others(prompts, section, seed)
    scores = mean_scores(judgements, config.judge.min_valid)
    return set_beside(prompts, answers, scores, others, section, seed, dropped)


def _others(prompts: Sequence[Prompt], section: ContrastRowsSection, seed: int) -> dict[str, list[Prompt]]:
    """The prompts that the answers to each may be set beside."""
    if section.draw != "subject":
        drawn = ContrastSection(draw=section.draw, max_similarity=section.max_similarity)
        return draw_others(prompts, drawn, seed, count=section.per_prompt)
    by_id = {prompt.id: prompt for prompt in prompts}
    asked = {prompt.id: asked_in(prompt) for prompt in prompts}
    found = same_subject(asked, min(section.max_similarity, IDENTICAL), section.per_prompt)
    return {name: [by_id[other] for other in others] for name, others in found.items()}


def account_of(
    answers: int, asked: Sequence[Beside], made: ContrastRows, rubric: Rubric, dropped: Counter[str]
) -> dict[str, Any]:
    """How many answers there were, were asked about and gave rows, why others did not, and what is taught."""
    return {
        "answers": answers,
        "asked": len(asked),
        "rows": len(made.rows),
        "dropped": {reason: count for reason, count in dropped.items() if count},
        "mean_own_score": made.own,
        "mean_other_score": made.others,
        "scores": histogram([score for score, _ in made.rows], rubric),
    }


def told(account: dict[str, Any]) -> list[str]:
    """The account in lines, for the end of the step."""
    why = [f"{count} {reason}" for reason, count in account["dropped"].items()]
    lines = [f"{account['rows']} rows of {account['answers']} answers, {account['asked']} set beside another prompt"]
    if why:
        lines.append(f"left out: {'; '.join(why)}")
    if account["mean_own_score"] is not None:
        lines.append(
            f"mean score {account['mean_own_score']:.2f} under their own prompts, {account['mean_other_score']:.2f} "
            "under the others"
        )
    return lines


def _keys(config: Config) -> tuple[str, ...]:
    outside = ("endpoint.url", "endpoint.begin_score") if config.judge.role.startswith(OUTSIDE) else ()
    return ("seed", "judge.refresh", *FIXED_JUDGE, *ENGINE, *outside)


REFRESH = Stage(
    "refresh",
    "EFT rows of its own answers",
    run=refresh,
    cost=costs.refresh,
    reads=("judge", "prompts", "candidates", "judgements"),
    writes=("refresh.jsonl", "refresh.json", "refresh.judgements.jsonl"),
    keys=_keys,
)
