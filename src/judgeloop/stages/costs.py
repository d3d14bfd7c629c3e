"""What each stage will cost: rows, tokens, loaded models, by the config and the sizes of the seed (`forecast.work`).

Expected values are those of runs that were measured (docs/plan.md); the lows and highs are what the config allows.
"""

from __future__ import annotations

import math
from dataclasses import replace

from judgeloop.config import SftSection
from judgeloop.forecast.work import NOTHING, Asked, Known, Part, Range, Work
from judgeloop.judging.pointwise import judgements_each, tokens_written
from judgeloop.training.data import rows_beside

ACCEPTED = Range(0.3, 0.6, 0.95)  # of the prompts that a model writes, those that pass the filters
PAIRED = Range(0.4, 0.9, 1.0)  # of the prompts, those whose candidates an expected score tells apart
PAIRED_BY_WRITING = Range(0.3, 0.7, 1.0)  # whole scores tie more often
VERDICT = 8  # tokens of a comparison that is read by its probabilities


def seed(known: Known) -> Work:
    sizes = known.sizes
    return Work(
        rows=Range.exactly(sizes.ift + sizes.eft), text=Range.exactly(sizes.sft_text), seconds=_each(sizes.ift, 2e-4)
    )


def rows(known: Known) -> Work:
    sizes = known.sizes
    count = sizes.ift + sizes.eft + sizes.held_out_responses + (sizes.prompt_rows or 0) + sizes.evaluated
    return Work(rows=Range.exactly(count), seconds=_each(count, 1.5e-3))


def sft(known: Known) -> Work:
    """Of the seed's rows, and of those that a model is to make."""
    sizes, made = known.sizes, Range.exactly(known.sizes.eft)
    if known.config.seed_data.eft.source != "ranks":
        made = known.rows("eft")
    return _fine_tuning(known, known.config.sft, Range.exactly(sizes.ift) + made + known.rows("backtranslated"))


def writer(known: Known) -> Work:
    return _fine_tuning(known, known.config.sft, Range.exactly(known.sizes.ift))


def backward(known: Known) -> Work:
    return _fine_tuning(known, known.config.backtranslation.sft, Range.exactly(known.sizes.ift))


def forward(known: Known) -> Work:
    section = known.config.backtranslation.sft
    return _fine_tuning(known, section, Range.exactly(known.sizes.ift) + known.rows("curated"))


def _fine_tuning(known: Known, section: SftSection, count: Range) -> Work:
    sizes = known.sizes
    measured = sizes.ift + sizes.eft
    if not measured:
        return Work(rows=count, loads=1, unknown="its rows are made by a model")
    share = count * (1 / measured)
    sequences = share * sizes.sft_sequences
    if (most := section.tokens_per_step) is not None:
        steps = share.map(lambda part: math.ceil(part * sizes.sft_text / most) * section.epochs)
    else:
        steps = sequences.map(lambda rows: math.ceil(rows / section.batch_size) * section.epochs)
    tokens = sequences * (section.epochs * sizes.sft_step / section.batch_size)
    return Work(
        rows=count, parts=(Part("train", tokens),), loads=1, steps=steps, step_tokens=sizes.sft_largest
    )  # fmt: skip


def new_prompts(known: Known) -> Work:
    section, sizes = known.config.prompts, known.sizes
    *earlier, count = section.counts(max(1, int(known.model[1:]) - 1))
    wanted = Range.exactly(count)
    text = wanted * sizes.prompt
    if sizes.prompt_rows is not None:
        return Work(
            rows=wanted.at_most(max(0, sizes.prompt_rows - sum(earlier))),
            text=text,
            seconds=_each(sizes.prompt_rows, 2e-3),
        )
    shown = (section.seed_demonstrations + section.own_demonstrations) * sizes.seed_prompt
    # A request brings as many as fit, with the one that is cut off at its end.
    each = sizes.seed_prompt or 30.0
    per_request = max(1.0, section.sampling.max_new_tokens / each / 2)
    requests = Range(wanted.low / ACCEPTED.high, wanted.expected / ACCEPTED.expected, wanted.high / ACCEPTED.low) * (
        1 / per_request
    )
    longer = 3.0 if section.source != "few_shot" else 1.0  # whole tasks: instruction, input, output
    parts = (
        Part("read", requests * (shown * longer), "prompter"),
        Part("write", requests * (section.sampling.max_new_tokens * longer), "prompter"),
    )
    return Work(rows=wanted, parts=parts, loads=1, text=text)


def candidates(known: Known) -> Work:
    section = known.config.candidates
    return _answers(known, known.rows("prompts"), section.count, section.sampling.max_new_tokens, "policy")


def anchors(known: Known) -> Work:
    config = known.config
    most = config.candidates.sampling.max_new_tokens
    return _answers(known, known.rows("prompts"), config.pairs.anchor_count, most, "anchor")


def ahead(known: Known) -> Work:
    """A provisional next model's."""
    config = known.config
    most = config.candidates.sampling.max_new_tokens
    return _answers(known, known.rows("prompts"), config.pairs.provisional_count, most, "provisional")


def seed_answers(known: Known) -> Work:
    """To the seed's instructions, for EFT rows by contrast."""
    config, sizes = known.config, known.sizes
    asked = sizes.ift + sizes.eft_sets
    most = config.seed_data.eft.contrast.max_prompts
    prompts = Range.exactly(min(asked, most) if most else asked)
    return _answers(known, prompts, config.seed_data.eft.samples, config.candidates.sampling.max_new_tokens, "writer")


def labels(known: Known) -> Work:
    section = known.config.backtranslation
    return _answers(known, known.rows("segments"), section.samples, section.sampling.max_new_tokens, "backward")


def segments(known: Known) -> Work:
    count = known.sizes.segments
    return Work(rows=Range(count * 0.3, count * 0.7, count), seconds=_each(count, 1e-3))


def scores(known: Known) -> Work:
    """Of instructions and their texts, by the curation's rubric."""
    section = known.config.backtranslation
    pair = section.segments.target_words * 1.5 + known.sizes.judge_lead
    count = known.rows("labelled")
    if section.curation.scoring == "sampled":
        each = section.curation.samples * section.curation.sampling.max_new_tokens
        return Work(rows=count, parts=(Part("read", count * pair), Part("write", count * each)), loads=1)
    return Work(rows=count, parts=(Part("score", count * pair),), loads=1)


def labelled(known: Known) -> Work:
    return Work(rows=known.rows("segments") * 0.8, seconds=_each(known.sizes.segments, 1e-3))


def curated(known: Known) -> Work:
    return Work(rows=known.rows("labelled") * known.config.backtranslation.top_share)


def backtranslated(known: Known) -> Work:
    return Work(rows=known.rows("curated"))


def _answers(known: Known, prompts: Range, count: int, most: int, role: str) -> Work:
    each = known.sizes.answer(most)
    if known.untrained():
        each = Range(each.low, max(each.expected, most * 0.7), most)
    rows = prompts * count
    asked = max(1.0, known.sizes.prompt - known.sizes.lead)  # what all prompts begin with is read once
    parts = (Part("read", prompts * asked, role), Part("write", rows * each, role))
    return Work(rows=rows, parts=parts, loads=1, text=rows * each)


def judgements(known: Known) -> Work:
    config = known.config
    items = known.rows("candidates") + known.rows("anchors")
    if config.judge.function is not None:
        return Work(rows=items, seconds=items * 1e-3, unknown="the time of judge.function")
    section = config.judge.contrast
    under = items * section.others
    if not section.others and section.measure:
        under = known.rows("prompts").at_most(section.measure) * config.candidates.count
    return _judged(known, items + under, known.sizes.judge_new)


def ahead_judgements(known: Known) -> Work:
    """As often as those of the candidates."""
    items = known.rows("ahead")
    if known.config.judge.function is not None:
        return Work(rows=items, seconds=items * 1e-3, unknown="the time of judge.function")
    return _judged(known, items * (1 + known.config.judge.contrast.others), known.sizes.judge_new)


def consistency(known: Known) -> Work:
    return replace(judgements(known), rows=known.rows("candidates"))


def refresh(known: Known) -> Work:
    section = known.config.judge.refresh
    asked = known.rows("prompts") * section.per_prompt
    return replace(_judged(known, asked, known.sizes.judge_new), rows=asked * Range(0.2, 1.0, 2.0))


def contrast_eft(known: Known) -> Work:
    asked = known.rows("candidates")
    return replace(_judged(known, asked * 2, known.sizes.judge_new), rows=asked * Range(0.2, 0.8, 2.0))


def written(known: Known) -> Work:
    """Judgements that a writer is to write of every response of the EFT sets."""
    section, sizes = known.config.seed_data.eft, known.sizes
    each = max(2.0, sizes.held_out_responses / sizes.held_out) if sizes.held_out else 4.0
    rows_ = Range.exactly(sizes.eft_sets * each * section.samples)
    most = section.sampling.max_new_tokens
    parts = (
        Part("read", rows_ * (sizes.judge_prompt / section.samples), "writer"),
        Part("write", rows_ * Range(most / 4, most * 0.7, most), "writer"),
    )
    return Work(rows=rows_, parts=parts, loads=1, text=rows_ * most)


def eft(known: Known) -> Work:
    kept = known.rows("written") * (1 / known.config.seed_data.eft.samples) * Range(0.02, 0.3, 1.0)
    return Work(rows=kept)


def _judged(known: Known, items: Range, new: float, role: str = "judge") -> Work:
    """Judgements of so many responses, by a model here or behind an endpoint."""
    config, sizes = known.config, known.sizes
    each, most = judgements_each(config.judge), tokens_written(config.judge)
    rows = items * each
    written = Range(most / 4, most * 0.6, most) if each > 1 or config.judge.justification else Range(1, 2, 16)
    if each > 1 and config.judge.max_samples:
        rows = Range(rows.low, rows.expected * 1.3, items.high * config.judge.max_samples)
    if known.endpoint(role):
        sent = rows * (sizes.judge_prompt or 300.0)
        return Work(rows=rows, asked=Asked(rows, sent, rows * written), text=rows * written)
    if config.judge.scoring == "sampled" or config.judge.justification:
        parts = [
            Part("read", items * (sizes.judge_prompt - sizes.judge_lead), role),
            Part("write", rows * written, role),
        ]
        if config.judge.scoring == "expected":
            parts.append(Part("score", rows * sizes.judge_prompt, role))
        return Work(rows=rows, parts=tuple(parts), loads=len(parts) - 1, text=rows * written)
    return Work(rows=rows, parts=(Part("score", rows * new, role),), loads=1, text=rows * 20)


def meta(known: Known) -> Work:
    """Judgements compared, each with each, in both orders."""
    section, sizes = known.config.judge.meta, known.sizes
    compared = known.rows("prompts") * section.per_prompt
    most = min(section.max_judgements, known.config.judge.max_samples or known.config.judge.samples)
    pairs = compared * (most * (most - 1))
    length = sizes.judge_prompt + 2 * known.config.judge.sampling.max_new_tokens * 0.6
    found = compared * Range(0.1, 0.6, 1.0)
    made = found.at_most(section.max_pairs) if section.max_pairs else found
    if known.endpoint("judge"):
        return Work(rows=made, asked=Asked(pairs, pairs * length, pairs * VERDICT))
    return Work(rows=made, parts=(Part("score", pairs * length, "judge"),), loads=1)


def pairs(known: Known) -> Work:
    config = known.config
    share = PAIRED if config.judge.scoring == "expected" else PAIRED_BY_WRITING
    kept = config.pairs.share(int(known.model[1:]) - 1)
    most = known.rows("prompts") * (config.pairs.max_per_prompt * kept)
    return Work(
        rows=most * share, text=most * (2 * known.sizes.answer(config.candidates.sampling.max_new_tokens).expected)
    )


def solved(known: Known) -> Work:
    """Of prompts without a pair, those whose answers are good: few at first, more with every iteration."""
    return Work(rows=known.rows("prompts") * Range(0.0, 0.2, 0.6))


def agreed(known: Known) -> Work:
    """Each answer's probability under two models."""
    made = known.rows("pairs")
    answer = known.sizes.answer(known.config.candidates.sampling.max_new_tokens)
    tokens = made * 2 * (answer + Range.exactly(known.sizes.prompt))
    parts = (Part("score", tokens), Part("score", tokens, "before"))
    return Work(rows=made * Range(0.3, 0.6, 0.9), parts=parts, loads=2)


def train(known: Known) -> Work:
    section, sizes = known.config.train, known.sizes
    count = known.rows("pairs") + known.rows("judge_pairs")
    answer = sizes.answer(known.config.candidates.sampling.max_new_tokens)
    pair = Range.exactly(sizes.prompt - sizes.lead) + answer * 2
    per_step = float(section.batch_size)
    if section.tokens_per_step:
        per_step = max(1.0, section.tokens_per_step / (pair.expected + sizes.prompt))
    steps = count.map(lambda rows: math.ceil(rows / per_step) * section.epochs)
    step = pair * per_step + Range.exactly(sizes.lead)
    replayed = NOTHING
    if section.eft_replay or ("refresh" in known.given and section.refresh_replay):
        beside = rows_beside(per_step, section.eft_replay) if section.eft_replay else 0
        if "refresh" in known.given and section.refresh_replay:
            beside += rows_beside(per_step, section.refresh_replay)
        replayed += Range.exactly(sizes.judge_lead + beside * max(0.0, sizes.eft_row - sizes.judge_lead))
    if section.ift_replay:
        replayed += (answer + Range.exactly(sizes.seed_prompt)) * rows_beside(per_step, section.ift_replay)
    if "solved" in known.given and section.solved_replay:
        once = known.rows("solved").expected * per_step / max(1.0, count.expected)  # an epoch
        rehearsed = min(rows_beside(per_step, section.solved_replay), once)
        replayed += (answer + Range.exactly(sizes.prompt)) * rehearsed
    parts = [Part("train", steps * (step + replayed))]
    if section.loss not in _WITHOUT_REFERENCE:
        parts.append(Part("refer", count * (pair + Range.exactly(sizes.lead))))
    stops = " (early_stopping may end it before, and judges at its checkpoints)" if section.early_stopping.every else ""
    return Work(
        rows=count, parts=tuple(parts), loads=2, steps=steps, step_tokens=(step + replayed).high,
        unknown=stops.strip(" ()") or None,
    )  # fmt: skip


_WITHOUT_REFERENCE = ("sft_best",)


def evaluation(known: Known) -> Work:
    """Answers, judgements of them and of the held-out responses, and of the model before."""
    section, sizes, config = known.config.evaluation, known.sizes, known.config
    prompts = Range.exactly(sizes.evaluated)
    evaluated = replace(sizes, prompt=sizes.evaluation_prompt)
    here = replace(known, sizes=evaluated)
    answered = _answers(here, prompts, section.samples, section.sampling.max_new_tokens, "policy")
    parts, asked, text = list(answered.parts), Asked(), answered.text
    if section.ifeval is not None:
        more = _answers(here, Range.exactly(sizes.ifeval), 1, section.ifeval_max_new_tokens, "policy")
        parts += more.parts
        text += more.text
    scored = min(section.judged or section.samples, section.samples)  # answers of a prompt
    judged = [_judged(known, prompts * scored, sizes.judge_new)]
    if config.judge.contrast.measure:
        judged.append(_judged(known, prompts.at_most(config.judge.contrast.measure) * scored, sizes.judge_new))
    if "previous_agreement" not in known.given:
        judged.append(_judged(known, Range.exactly(sizes.held_out_responses), sizes.held_out_new))
    if "previous" in known.given:
        judged.append(_judged(known, prompts * (1 + config.judge.contrast.others * section.contrast), sizes.judge_new))
        if section.compare == "pairwise":
            length = Range.exactly(sizes.judge_lead) + sizes.answer(section.sampling.max_new_tokens) * 2
            both = prompts * 2
            if known.endpoint("judge"):
                asked += Asked(both, both * length, both * VERDICT)
            else:
                parts.append(Part("score", both * length, "judge"))
    for each in judged:
        parts += each.parts
        asked += each.asked
        text += each.text
    seconds = _each(config.evaluation.bootstrap, 2e-3)
    return Work(rows=answered.rows, parts=tuple(parts), asked=asked, text=text, seconds=seconds, loads=2)


def checks(known: Known) -> Work:
    """By the user's own code, whose time nobody knows before."""
    count = known.rows("evaluation")
    return Work(rows=count, seconds=count * Range(1e-4, 5e-3, 5e-2), unknown="the time of evaluation.checker")


def light(_known: Known) -> Work:
    """A stage without a model's work."""
    return Work()


def _each(count: float, seconds: float) -> Range:
    return Range(count * seconds / 2, count * seconds, count * seconds * 3)
