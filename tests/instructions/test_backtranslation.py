from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from judgeloop.config import BacktranslationSection, PromptsSection, load
from judgeloop.errors import InputError
from judgeloop.instructions.backtranslation.curation import curate
from judgeloop.instructions.backtranslation.labelled_rows import labelled_rows
from judgeloop.instructions.backtranslation.training_rows import (
    reversed_rows,
    system_prompts,
    training_rows,
    with_system,
)
from judgeloop.instructions.filters import is_request
from judgeloop.instructions.gate import Gate
from judgeloop.records import Candidate, Message, SupervisedRow, stable_id
from judgeloop.text.tokens import copied_share

TEXT = "Boil fresh water, warm the pot, add one spoon of leaves for each cup, and wait for three minutes."


def ift(*turns: str, response: str = TEXT, system: str | None = None) -> SupervisedRow:
    roles = ("user", "assistant")
    prompt: list[Message] = [{"role": roles[k % 2], "content": turn} for k, turn in enumerate(turns)]
    if system is not None:
        prompt.insert(0, {"role": "system", "content": system})
    completion: list[Message] = [{"role": "assistant", "content": response}]
    return SupervisedRow(stable_id("ift", prompt, completion), "ift", stable_id("p", prompt), prompt, completion, "x:1")


def label(segment: str, k: int, text: str, finish: str = "stop") -> Candidate:
    return Candidate(f"M1.{segment}.{k}", segment, text, [1, 2, 3], finish)


def section(**changes: Any) -> BacktranslationSection:
    return BacktranslationSection(**changes)


def test_rows_turn_round_and_conversations_do_not() -> None:
    rows, dropped = reversed_rows(
        [ift("How is tea made?"), ift("Hi.", "Hello.", "And tea?"), ift("Tea?", system="Be brief.")], "en"
    )
    assert [row.completion for row in rows] == [
        [{"role": "assistant", "content": "How is tea made?"}],
        [{"role": "assistant", "content": "Tea?"}],
    ]
    assert all(len(row.prompt) == 1 and row.prompt[0]["content"].startswith(TEXT) for row in rows)
    assert "Write that request." in rows[0].prompt[0]["content"]
    assert dropped == {"more than one turn": 1}


def test_braces_in_a_text_are_text_and_each_language_has_its_template() -> None:
    (row,), _ = reversed_rows([ift("Q?", response="Use {name} and {0}.")], "zh")
    assert row.prompt[0]["content"].startswith("Use {name} and {0}.\n")
    assert "请写出这个请求" in row.prompt[0]["content"]


def test_a_system_prompt_is_added_once_and_changes_the_id() -> None:
    plain = ift("How is tea made?")
    row = with_system(plain, "Be brief.")
    assert row.prompt == [{"role": "system", "content": "Be brief."}, *plain.prompt]
    assert row.id != plain.id
    assert with_system(row, "Be long.") is row


def test_m1_rows_under_each_way_of_training() -> None:
    seed, kept = [ift("How is tea made?")], [ift("Tea?", system="Web.")]
    assert training_rows(seed, kept, section(train="nothing")) == seed
    assert training_rows(seed, kept, section(train="enlarge")) == [*seed, *kept]
    made = training_rows(seed, kept, section(train="make", seed_system_prompt="Assist."))
    assert made == [with_system(seed[0], "Assist."), *kept]


def test_system_prompts_differ_and_the_users_come_first() -> None:
    for language in ("en", "zh"):
        seed, augmented = system_prompts(section(language=language))
        assert seed
        assert augmented
        assert seed != augmented
    assert system_prompts(section(seed_system_prompt="A", augmented_system_prompt="B")) == ("A", "B")


@pytest.mark.parametrize(
    ("instruction", "share"),
    [
        ("How do I make a good pot of tea?", 0.0),
        ("Boil fresh water, warm the pot", 1.0),
        ("Boil fresh water, warm the pot: how long then do I wait until it is ready?", 6 / 16),
        ("three minutes", 1.0),
        ("five minutes", 0.0),
    ],
)
def test_what_is_copied_counts_in_runs_of_five(instruction: str, share: float) -> None:
    assert copied_share(instruction, TEXT) == pytest.approx(share)


def test_what_is_copied_counts_characters_in_chinese() -> None:
    assert copied_share("把茶叶放入壶中再倒", "先把茶叶放入壶中，倒热水") == pytest.approx(7 / 9)
    assert copied_share("怎么泡茶？", "先把茶叶放入壶中，倒热水") == 0


@pytest.mark.parametrize(
    "text",
    [
        "How is tea made?",
        "The kettle is broken. Can you suggest another way to boil water?",
        "Explain how tea is made.",
        "Elaborate on the making of tea",
        "I want to know how tea is made.",
        "I am wondering what makes tea bitter.",
        "You are a chef. Describe how to make tea.",
        "This is a list of teas: rank them and explain why.",
        "怎么泡茶？",
        "请介绍一下泡茶的方法。",
        "写一首关于茶的诗",
        "お茶の入れ方を教えてください。",
    ],
)
def test_requests_pass(text: str) -> None:
    assert is_request(text)


@pytest.mark.parametrize(
    "text",
    [
        "The water should boil first.",
        "It is made of leaves.",
        "You pour the water over the leaves.",
        "I made tea yesterday.",
        "泡茶用热水。",
    ],
)
def test_statements_do_not(text: str) -> None:
    assert not is_request(text)


def test_labels_are_filtered_in_the_order_of_the_texts_and_every_one_is_counted() -> None:
    other = "A kettle is a pot with a lid, a spout and a handle, in which water is brought to the boil."
    texts = {"s-b": (TEXT, "a.txt:1"), "s-a": (other, "a.txt:9"), "s-c": ("Nothing was written for this.", "a.txt:12")}
    labels = [
        label("s-a", 0, "How do I make tea?"),  # the other text has it already, though this row comes first
        label("s-a", 1, "What is a kettle?"),
        label("s-a", 2, "What is a kettle?"),
        label("s-b", 0, " How do I make tea? "),
        label("s-b", 1, "How do I make tea that is not too strong but", "length"),
        label("s-b", 2, "Boil fresh water, warm the pot, add one spoon"),
        label("s-b", 3, ""),
        label("s-b", 4, "Tea?"),
        label("s-b", 5, "The tea is ready after three minutes."),
        label("s-b", 6, "Summarize the following text."),
        label("s-b", 7, "Draw a picture of a tea pot."),
        label("s-b", 8, "Which tea is best for the evening?"),
        label("s-b", 9, "Explain how to cook rice!"),
    ]
    gate = Gate(PromptsSection(), avoid=["Which tea is the best for the evening?"])
    rows, account = labelled_rows(labels, texts, gate, section(), ["explain how to cook rice"])
    assert [(row.prompt[-1]["content"], row.completion[0]["content"], row.source) for row in rows] == [
        ("How do I make tea?", TEXT, "a.txt:1"),
        ("What is a kettle?", other, "a.txt:9"),
    ]
    assert account["dropped"] == {
        "copies the text": 1,
        "cut off by length": 1,
        "empty": 1,
        "has another text already": 1,
        "is a seed instruction": 1,
        "needs more than text": 1,
        "speaks of material that is missing": 1,
        "states instead of asking": 1,
        "too close to an evaluation prompt": 1,
        "too short": 1,
        "written twice for one text": 1,
    }
    assert account["written"] == len(labels) == account["kept"] + sum(account["dropped"].values())
    assert (account["segments"], account["segments_with_one"], account["tokens"]) == (3, 2, 39)
    assert account["dropped_samples"]["empty"] == [{"source": "a.txt:1", "instruction": ""}]
    assert labelled_rows(labels[::-1], texts, gate, section(), ["explain how to cook rice"])[0] == rows


def scored(*scores: float | None, texts: int | None = None) -> tuple[list[SupervisedRow], dict[str, float | None]]:
    """Rows with these scores; `texts` different texts in turn, or one each."""
    rows = [ift(f"Question {k}?", response=f"Text {k % (texts or len(scores))}.") for k in range(len(scores))]
    return rows, {row.id: score for row, score in zip(rows, scores, strict=True) if score is not None}


def questions(kept: list[Any]) -> list[str]:
    return [pair.row.prompt[-1]["content"] for pair in kept]


def test_the_threshold_keeps_what_reaches_it() -> None:
    rows, scores = scored(4.5, 4.4, 5.0, None, 2.0)
    kept, account = curate(rows, scores, section(keep="threshold", augmented_system_prompt="Web."))
    assert questions(kept) == ["Question 2?", "Question 0?"]
    assert [pair.row.prompt[0] for pair in kept] == [{"role": "system", "content": "Web."}] * 2
    assert account["rule"] == "score of at least 4.5"
    assert (account["pairs"], account["scored"], account["texts"], account["kept"]) == (5, 4, 4, 2)
    assert account["dropped"] == {"below the threshold": 2, "no score": 1}
    assert account["histogram"] == {"1": 0, "2": 1, "3": 0, "4": 2, "5": 1}
    assert account["lowest_kept"] == 4.5
    assert account["quantiles"]["least"] == 2.0
    assert account["quantiles"]["most"] == 5.0
    assert [sample["score"] for sample in account["dropped_samples"]["below the threshold"]] == [4.4, 2.0]


def test_the_top_share_keeps_the_best_of_the_texts() -> None:
    rows, scores = scored(*[1 + k / 10 for k in range(10)])
    kept, account = curate(rows, scores, section(keep="top_share", top_share=0.3))
    assert questions(kept) == ["Question 9?", "Question 8?", "Question 7?"]
    assert account["rule"] == "best 30% of the texts"
    assert account["dropped"] == {"not among the best": 7}


def test_a_text_gets_its_best_instruction_only() -> None:
    rows, scores = scored(3.0, 2.0, 4.0, 5.0, texts=2)
    kept, account = curate(rows, scores, section(keep="top_share", top_share=1.0))
    assert questions(kept) == ["Question 3?", "Question 2?"]
    assert account["dropped"] == {"another instruction for the text scored higher": 2}
    assert account["texts"] == 2


def test_ties_do_not_depend_on_the_order_of_rows() -> None:
    rows, scores = scored(*[3.0] * 8)
    one, _ = curate(rows, scores, section(keep="top_share", top_share=0.5))
    two, _ = curate(rows[::-1], scores, section(keep="top_share", top_share=0.5))
    assert questions(one) == questions(two)
    assert len(one) == 4


def test_nothing_scored_keeps_nothing() -> None:
    rows, scores = scored(None, None)
    kept, account = curate(rows, scores, section())
    assert kept == []
    assert account["dropped"] == {"no score": 2}
    assert account["lowest_kept"] is None


def test_paths_in_a_config_file_are_relative_to_it_and_bounds_are_checked(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("seed_data: {ift: seed.jsonl}\nbacktranslation: {texts: [texts, more.jsonl]}\n")
    assert load(file).backtranslation.texts == (str(tmp_path / "texts"), str(tmp_path / "more.jsonl"))
    with pytest.raises(InputError, match=r"backtranslation\.segments': min_words, target_words and max_words must not"):
        load(file, ["backtranslation.segments.target_words=400"])
