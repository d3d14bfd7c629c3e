from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from judgeloop.config import SftSection
from judgeloop.errors import InputError
from judgeloop.judging.parse_score import parse_score
from judgeloop.judging.pointwise import taught_score
from judgeloop.judging.rubric import Rubric, load_rubric
from judgeloop.models.chat import Chat
from judgeloop.records import SupervisedRow
from judgeloop.training.data import ScoreAlone, SftExample, score_places, sft_examples
from judgeloop.training.packs import collate, pack, packs

from .cases import assert_same_gradient, assistant, first_gradient, make_row, token_logps, user
from .test_sft import Run


def example(name: str, prompt: list[int], target: list[int], group: str = "g", **keys: Any) -> SftExample:
    return SftExample(name, prompt, target, group, **keys)


def judgements(count: int = 5) -> list[SupervisedRow]:
    """Judgements of responses to two prompts, and one plain row."""
    rubric = load_rubric("additive-5-short")
    rows = []
    for number in range(count):
        about = user(f"Say what prompt {number % 2} is.")
        filled = rubric.messages(about, "rain " * (number + 1))
        rows.append(
            SupervisedRow(f"eft-{number}", "eft", f"p-{number % 2}", filled, assistant(f"Score: {number}"), "test")
        )
    return [*rows, make_row(7)]


def test_a_pack_by_hand() -> None:
    made = pack([example("a", [1, 2, 3], [9, 8]), example("b", [1, 2, 4, 5], [9], only=(0,))], "row")
    assert made.ids == [1, 2, 3, 9, 8, 4, 5, 9]
    assert made.owners == [0, 0, 1, 1, 1, 2, 2, 2]
    assert made.weights == [0, 0, 0, 0.5, 0.5, 0, 0, 1]
    batch = collate([made.columns(), pack([example("c", [6], [7])], "token").columns()], pad_id=99)
    assert batch["labels"].tolist()[0] == [-100, -100, -100, 9, 8, -100, -100, 9]
    assert batch["input_ids"].tolist()[1] == [6, 7, *[99] * 6]
    assert batch["attention_mask"].sum(dim=1).tolist() == [8, 2]


def test_only_judgements_of_one_prompt_that_share_enough_are_packed() -> None:
    rubric = list(range(100, 120))
    rows = [example(f"a{k}", [*rubric, k], [9], "a") for k in range(3)]
    rows += [example("b0", [*rubric, 7], [9], "b"), example("ift", [*rubric, 8], [9], "")]
    rows += [example("c0", [1, 2], [9], "c"), example("c1", [1, 3], [9], "c")]
    assert [p.rows for p in packs(rows, "row", most=2, max_length=100)] == [2, 1, 1, 1, 1, 1]
    assert [p.rows for p in packs(rows, "row", most=8, max_length=100)] == [3, 1, 1, 1, 1]
    assert [p.rows for p in packs(rows, "row", most=8, max_length=24)] == [2, 1, 1, 1, 1, 1]  # 20 + 2 + 2
    assert [p.rows for p in packs(rows, "row", most=1, max_length=100)] == [1] * 7


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("It is fine.\n\nScore: 4", "4"),
        ("Score: 4/5", "4"),
        ("Score: 3 out of 5", "3"),
        ("**Final score:** 2 of 5 points", "2"),
        ("Score: 4.0/5.0", "4"),
        ("Score (out of 5): 1", "1"),
        ("Score: 5. It names 2 capitals and 3 rivers.", "5"),
        ("Two draft points: 2\nScore: 3\nCorrection: Score: 4\n", "4"),
        ('{"score": 4, "max_score": 5}', "4"),
        ("[[3]]", "3"),
        ("<score>2</score>", "2"),
        ("Score: 4 (1+1+1+1+0)", "4"),
        ("<think>Score: 2?</think>Score: 3, of 5", "3"),
        ("得分：4（满分5分）", "4"),
    ],
)
def test_the_score_that_the_parser_reads_is_what_is_learnt(chat: Chat, text: str, score: str) -> None:
    rubric = load_rubric("additive-5-direct")
    assert parse_score(text).value == float(score)
    (place,) = score_places(text, taught_score(rubric, text), rubric.scores, chat)
    ids = chat.response_ids(text)
    assert chat.decode([ids[place]]) == score
    before = chat.decode(ids[:place])
    assert text.startswith(before)
    start, end = taught_score(rubric, text)
    assert (before, text[start:end]) == (text[:start], score)


@pytest.mark.parametrize("form", [None, "json score", "[[n]]", "<score>"])
@pytest.mark.parametrize(("low", "high"), [(0, 5), (1, 3), (0, 10), (0, 100)])
def test_every_target_of_a_rubric_says_its_score(form: str | None, low: int, high: int) -> None:
    line = {None: "Points: ", "json score": '{"score": ', "[[n]]": "[[", "<score>": "<score>"}[form]
    rubric = Rubric("mine", "{instruction}\n{response}", line, low, high, (), form)
    for score in rubric.scores:
        for justification in (None, "It has 2 of 5 points, and 1 more."):
            text = rubric.target(score, justification)
            start, end = taught_score(rubric, text)
            assert (text[start:end], start) == (str(score), text.rindex(line) + len(line)), text


def test_what_tells_a_one_from_a_ten_is_learnt_too(chat: Chat) -> None:
    def learnt(text: str) -> list[str]:
        ids = chat.response_ids(text)
        start = text.index(":") + 2
        places = score_places(text, (start, len(text)), range(1, 11), chat)
        return [chat.tokenizer.decode([ids[place]]) for place in places]

    assert learnt("Score: 1") == ["1", "<|im_end|>"]
    assert learnt("Score: 10") == ["1", "0"]
    assert learnt("Score: 7") == ["7"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no score", "no score line is none of 0, 1, …, 5"),
        ("Score: 4.5", r"the score 4\.5 in 'Score: 4\.5' is none of 0, 1, …, 5"),
        ("得分：４分", "the score 4 in"),
    ],
)
def test_a_score_that_the_judge_is_not_asked_about_is_refused(chat: Chat, text: str, why: str) -> None:
    rubric = load_rubric("additive-5-direct")
    row = judgements()[0]
    row.completion[0]["content"] = text
    with pytest.raises(InputError, match=rf"EFT row {row.id}: {why}.*; round it, or set sft\.eft_loss: all"):
        sft_examples([row], chat, 4000, ScoreAlone(partial(taught_score, rubric), rubric.scores))


def score_alone() -> ScoreAlone:
    rubric = load_rubric("additive-5-short")
    return ScoreAlone(partial(taught_score, rubric), rubric.scores)


@pytest.mark.parametrize("weighting", ["row", "token"])
@pytest.mark.parametrize("loss", ["all", "score"])
def test_packing_changes_the_computation_and_not_the_loss(
    model_folder: Path, tmp_path: Path, chat: Chat, loss: str, weighting: str
) -> None:
    rows = judgements()
    alone = score_alone() if loss == "score" else None
    keys: dict[str, Any] = {"score_alone": alone, "weighting": weighting, "batch_size": 8, "max_length": 4000}
    runs, gradients = {}, {}
    for most in (1, 4):
        with first_gradient() as gradients[most]:
            runs[most] = Run(rows, model_folder, tmp_path / str(most), chat, pack_judgements=most, **keys)
    assert (runs[1].summary.sequences, runs[4].summary.sequences) == (6, 3)
    assert runs[4].summary.tokens < 0.6 * runs[1].summary.tokens
    assert runs[4].summary.target_tokens == runs[1].summary.target_tokens
    assert runs[4].summary.first_loss == pytest.approx(runs[1].summary.first_loss, abs=2e-5)
    assert runs[4].metrics[0]["grad_norm"] == pytest.approx(runs[1].metrics[0]["grad_norm"], rel=1e-4)
    assert_same_gradient(gradients[4], gradients[1])
    expected = []
    for item in sft_examples(rows, chat, 4000, alone).examples:
        values = token_logps(model_folder, item.prompt_ids, item.target_ids)
        expected.append([-values[k] for k in item.scored])
    by_row = [sum(values) / len(values) for values in expected]
    total = by_row if weighting == "row" else [value for values in expected for value in values]
    assert runs[4].summary.first_loss == pytest.approx(sum(total) / len(total), abs=1e-4)


@pytest.mark.parametrize("most", [1, 4])
def test_judgements_can_weigh_less_than_answers(model_folder: Path, tmp_path: Path, chat: Chat, most: int) -> None:
    rows = judgements()
    run = Run(
        rows, model_folder, tmp_path / "run", chat, pack_judgements=most, eft_weight=0.25, batch_size=8, max_length=4000
    )
    each = []
    for item, row in zip(sft_examples(rows, chat, 4000).examples, rows, strict=True):
        values = token_logps(model_folder, item.prompt_ids, item.target_ids)
        each.append((0.25 if row.kind == "eft" else 1.0, -sum(values) / len(values)))
    mean = sum(weight * loss for weight, loss in each) / sum(weight for weight, _ in each)
    assert run.summary.first_loss == pytest.approx(mean, abs=1e-4)
    assert run.summary.first_loss != pytest.approx(sum(loss for _, loss in each) / len(each), abs=1e-3)


def test_the_defaults_pack_nothing() -> None:
    assert (SftSection().pack_judgements, SftSection().eft_loss) == (1, "auto")
