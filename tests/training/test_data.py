from dataclasses import replace

import pytest

from judgeloop.config import TrainSection
from judgeloop.errors import InputError
from judgeloop.models.chat import Chat
from judgeloop.stages.training import to_imitate
from judgeloop.training.data import EMPTY, EQUAL, TOO_LONG, pair_examples, sft_examples

from .cases import assistant, make_pair, make_row, user


def test_sft_prompt_is_the_generation_prompt_and_the_target_is_closed(chat: Chat) -> None:
    (example,) = sft_examples([make_row(3, "Paris.")], chat, 100).examples
    assert example.prompt_ids == chat.prompt_ids(user("Say 3."))
    assert example.target_ids == [*chat.text_ids("Paris."), chat.close_id]


def test_rows_over_the_limit_are_dropped_whole_and_counted(chat: Chat) -> None:
    row = make_row(0, "one two three")
    (example,) = sft_examples([row], chat, 1000).examples
    assert sft_examples([row], chat, example.tokens).dropped == {}
    short = sft_examples([row, make_row(1, "hi")], chat, example.tokens - 1)
    assert [kept.id for kept in short.examples] == ["row-1"]
    assert short.dropped == {TOO_LONG: 1}
    assert short.examples[0].target_ids[-1] == chat.close_id


def test_empty_responses_are_dropped_and_counted(chat: Chat) -> None:
    found = sft_examples([make_row(0, ""), make_row(1, " \n"), make_row(2)], chat, 1000)
    assert len(found.examples) == 1
    assert found.dropped == {EMPTY: 2}


def test_generated_ids_are_trained_on_exactly(chat: Chat) -> None:
    pair = make_pair(0, chosen="Paris", rejected="Rome")
    # not how the tokenizer would write these texts, and the rejected answer was cut off
    best = [chat.text_ids(letter)[0] for letter in "Paris"] + [chat.close_id]
    worst = [chat.text_ids(letter)[0] for letter in "Rome"]
    assert best != chat.response_ids("Paris")
    found = pair_examples([pair], chat, 1000, {"c-0-best": best, "c-0-worst": worst})
    assert found.examples[0].chosen_ids == best
    assert found.examples[0].rejected_ids == worst
    assert chat.close_id not in found.examples[0].rejected_ids
    assert found.from_text == 0


def test_without_generated_ids_the_text_is_tokenised_and_counted(chat: Chat) -> None:
    pair = make_pair(0, chosen="Paris", rejected="Rome")
    found = pair_examples([pair], chat, 1000, {"c-0-best": [5, 6, chat.close_id]})
    assert found.examples[0].chosen_ids == [5, 6, chat.close_id]
    assert found.examples[0].rejected_ids == chat.response_ids("Rome")
    assert found.from_text == 1


def test_pairs_that_cannot_be_trained_on_are_dropped_by_reason(chat: Chat) -> None:
    same = make_pair(1, chosen="yes", rejected="no")
    mute = make_pair(2, chosen="yes", rejected="no")
    given = [make_pair(0), same, mute, make_pair(3, rejected=""), make_pair(4, rejected="why " * 300)]
    ids = {"c-1-best": [9, 8], "c-1-worst": [9, 8], "c-2-worst": [chat.close_id]}
    found = pair_examples(given, chat, 200, ids)
    assert [example.id for example in found.examples] == ["pair-0"]
    assert found.dropped == {EQUAL: 1, EMPTY: 2, TOO_LONG: 1}


def test_a_pair_that_differs_only_in_being_finished_is_kept(chat: Chat) -> None:
    pair = make_pair(0, chosen="yes", rejected="yes")
    found = pair_examples([pair], chat, 200, {"c-0-best": [9, 8, chat.close_id], "c-0-worst": [9, 8]})
    assert len(found.examples) == 1


def test_the_limit_is_on_the_longer_side(chat: Chat) -> None:
    pair = make_pair(0, chosen="yes", rejected="no " * 20)
    (example,) = pair_examples([pair], chat, 1000, {}).examples
    longest = len(example.prompt_ids) + len(example.rejected_ids)
    assert pair_examples([pair], chat, longest, {}).dropped == {}
    assert pair_examples([pair], chat, longest - 1, {}).dropped == {TOO_LONG: 1}


def test_tokens_count_the_prompt_with_each_side(chat: Chat) -> None:
    (example,) = pair_examples([make_pair(0, "yes", "no")], chat, 1000, {}).examples
    both = [example.prompt_ids + example.chosen_ids, example.prompt_ids + example.rejected_ids]
    assert example.tokens == sum(map(len, both))


def test_a_response_must_be_one_assistant_message(chat: Chat) -> None:
    row = make_row(0)
    row.completion.append(*user("and?"))
    with pytest.raises(InputError, match="row-0: the response is not one assistant message"):
        sft_examples([row], chat, 100)
    pair = make_pair(1)
    pair.chosen[:] = [*assistant("a"), *assistant("b")]
    with pytest.raises(InputError, match="pair-1"):
        pair_examples([pair], chat, 100, {})


def test_pairs_of_judgements_are_imitated_whatever_the_share() -> None:
    answers = [replace(make_pair(number), chosen_score=float(number)) for number in range(4)]
    judgements = [replace(make_pair(9), id="judge-pair-9", chosen_score=-40.0)]
    assert to_imitate(TrainSection(nll_weight=1.0, nll_share=0.5), answers, judgements) == {
        "pair-2", "pair-3", "judge-pair-9"
    }  # fmt: skip
    assert to_imitate(TrainSection(nll_weight=1.0), answers, judgements) is None
    assert to_imitate(TrainSection(nll_weight=1.0, nll_share=0.5), [], judgements) is None
