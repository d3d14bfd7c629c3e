from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from judgeloop.config import SeedSection
from judgeloop.data.readers import supervised_row
from judgeloop.eft.existing_eft import judged_instruction, score_in
from judgeloop.errors import InputError
from judgeloop.jsonl import to_line
from judgeloop.judging.rubric import Rubric, load_rubric, shipped_rubrics, transcript
from judgeloop.records import Message, SupervisedRow
from judgeloop.seed.build import SeedData, build_seed
from judgeloop.seed.leakage import Known

RUBRIC = load_rubric("additive-5")
TURNS: list[Message] = [
    {"role": "user", "content": "Say hello <response>now</response>."},
    {"role": "assistant", "content": "Hello {instruction}."},
    {"role": "user", "content": "And\n\nonce more?"},
]


def judged(about: list[Message], response: str, score: int, rubric: Rubric = RUBRIC) -> SupervisedRow:
    text = rubric.target(score, "It is so.")
    return supervised_row("eft", about, rubric.messages(about, response), text, "mine:1")


def ask(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_instruction_is_read_out_of_the_prompt_of_every_shipped_rubric(language: str) -> None:
    rubrics = [load_rubric(name, language) for name in shipped_rubrics(language)]
    single = [rubric for rubric in rubrics if "{other}" not in rubric.template]
    assert len(single) >= 2
    for rubric in single:
        found = judged_instruction(rubric.messages(TURNS, "It says <response>5</response>\nScore: 5"), [rubric])
        assert found is not None
        assert [m["role"] for m in found] == ["user", "assistant", "user"]
        assert transcript(found).replace("< ", "<") == transcript(TURNS)
    assert judged_instruction(ask("Grade this."), single) is None


def test_literal_braces_and_a_repeated_instruction_are_no_hindrance() -> None:
    rubric = Rubric("mine", 'Use {{x}} or {"a": 1}. {instruction} <response>{response}</response> {instruction}', "S: ")
    found = judged_instruction(rubric.messages(ask("What? (a|b)*"), "So."), [rubric])
    assert found == ask("What? (a|b)*")


ENDING = "Question: {instruction}\n<response>{response}</response>\nIt was to do this: {ending}\nScore it."
BARE = "Judge this.\n\n{instruction}\n\n<response>{response}</response>\nRemember: {ending}"


@pytest.mark.parametrize("template", [ENDING, BARE, BARE + "\nAgain: {ending}"])
def test_the_instruction_is_found_with_an_ending_and_with_a_system_message(template: str) -> None:
    rubric = Rubric("mine", template, "Score: ")
    about = ask("The sky is blue.\n\nSay why. Use {one} sentence.")
    assert judged_instruction(rubric.messages(about, "Light\n\nscatters."), [rubric]) == about
    instructed: list[Message] = [{"role": "system", "content": "Be kind."}, *about]
    assert judged_instruction(rubric.messages(instructed, "Light\n\nscatters."), [rubric]) == instructed


@pytest.mark.parametrize("template", [ENDING, BARE])
@pytest.mark.parametrize("system", [[], [{"role": "system", "content": "Be kind."}]])
def test_a_row_close_to_a_held_out_prompt_is_seen_with_an_ending(template: str, system: list[Message]) -> None:
    rubric = Rubric("mine", template, "Score: ")
    held_out = [*system, *ask(LONG.format(1))]
    closed = Known(0.7)
    closed.add(held_out, "held-out prompt")
    about = judged_instruction(rubric.messages([*system, *ask(LONG.format(2))], "Light scatters."), [rubric])
    assert about is not None
    assert closed.near(about)


def build(tmp_path: Path, rows: list[SupervisedRow], **changes: Any) -> SeedData:
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(to_line(row) for row in rows), encoding="utf-8")
    return build_seed(SeedSection.model_validate({"eft_files": str(file), **changes}), RUBRIC, True, 0)


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_a_score_that_cannot_be_learnt_alone_is_refused_by_file_and_row(tmp_path: Path) -> None:
    rows = [judged(ask(f"Question {n}?"), "An answer.", n) for n in range(3)]
    rows[1].completion[0]["content"] = "Score: 3.5"
    assert build(tmp_path, rows).account["eft"] == 3
    with pytest.raises(InputError, match=r"mine\.jsonl:2: the score 3\.5 in .*; round it, or set sft\.eft_loss: all"):
        build_seed(
            SeedSection.model_validate({"eft_files": str(tmp_path / "mine.jsonl")}), RUBRIC, False, 0, score_alone=True
        )


LONG = "Explain to a child of eight years why the sky is blue, number {}"


def ranked_rows(count: int) -> list[dict[str, Any]]:
    names = ("sky", "sea", "moon", "snow", "grass", "rain", "wind", "fire")
    return [
        {"prompt": f"{names[n]} " * 9, "responses": [{"text": f"{n}", "rank": 0}, {"text": "no", "rank": 1}]}
        for n in range(count)
    ]


def test_rows_of_files_are_used_as_they_are(tmp_path: Path) -> None:
    rows = [judged(ask(f"Question {n} about {'x' * n}?"), "An answer.", n % 3) for n in range(6)]
    data = build(tmp_path, [*rows, rows[0]])
    assert [(row.prompt, row.completion, row.prompt_id) for row in data.eft] == [
        (row.prompt, row.completion, row.prompt_id) for row in rows
    ]
    assert data.account["eft"] == data.account["eft_given"] == 6
    assert data.account["eft_unchecked"] == 0
    assert data.account["eft_scores"] == [2, 2, 2, 0, 0, 0]
    assert data.account["dropped"] == {"duplicate": 1}
    assert "mine.jsonl" in data.account["detected"][0]


def test_rows_about_held_out_prompts_are_left_out(tmp_path: Path) -> None:
    sets = ranked_rows(8)
    ranked = write(tmp_path / "ranked.jsonl", sets)
    own = [judged(ask(row["prompt"]), "An answer.", 4) for row in sets]
    near = [judged(ask("well " + row["prompt"]), "An answer.", 4) for row in sets]
    foreign = SupervisedRow(
        "e", "eft", own[0].prompt_id, ask("Grade it."), [{"role": "assistant", "content": "Score: 1"}], "m"
    )
    data = build(tmp_path, [*own, *near, foreign], ranked=ranked, held_out_share=0.5)
    held_out = {row.messages[0]["content"] for row in data.held_out}
    assert len(held_out) == 4
    first = sets[0]["prompt"] in held_out
    assert data.account["dropped"]["EFT row of a file with a held-out prompt"] == 4 + first
    assert data.account["dropped"]["EFT row of a file close to a held-out prompt"] == 4
    assert data.account["eft_unchecked"] == 1 - first
    assert not {text for row in data.eft for text in held_out if f"User: {text}" in row.prompt[0]["content"]}


def test_instructions_of_given_rows_stay_out_of_ift(tmp_path: Path) -> None:
    ift = write(
        tmp_path / "ift.jsonl",
        [{"prompt": p, "response": "r"} for p in (LONG.format(1), "please " + LONG.format(2), "Name a colour.")],
    )
    rows = [judged(ask(LONG.format(1)), "Because.", 3), judged(ask("Quite another thing."), "Yes.", 2)]
    apart = build(tmp_path, rows, ift=ift)
    assert [row.prompt[0]["content"] for row in apart.ift] == ["Name a colour."]
    assert apart.account["dropped"] == {"IFT row close to an EFT prompt": 1, "IFT row with an EFT prompt": 1}
    exact = build(tmp_path, rows, ift=ift, near_duplicate=1.0)
    assert exact.account["dropped"] == {"IFT row with an EFT prompt": 1}
    shared = build(tmp_path, rows, ift=ift, eft={"ift_overlap": True})
    assert len(shared.ift) == 3


def test_given_rows_stand_before_those_made_from_ranks(tmp_path: Path) -> None:
    ranked = write(tmp_path / "ranked.jsonl", ranked_rows(4))
    data = build(tmp_path, [judged(ask("Quite another thing."), "Yes.", 5)], ranked=ranked, held_out_share=0.0)
    assert data.account["eft"] == len(data.eft) == 1 + data.account["eft_sets"] * 2
    assert data.eft[0].source.startswith("mine.jsonl")
    assert data.account["eft_scores"][5] == 1


def test_a_given_row_must_have_a_score() -> None:
    row = judged(ask("What?"), "So.", 4)
    assert score_in(row, RUBRIC) == 4
    with pytest.raises(InputError, match="no readable score"):
        score_in(supervised_row("eft", ask("W?"), ask("W?"), "Good.", "m"), RUBRIC)


def test_unreadable_rows_are_counted_by_the_reader(tmp_path: Path) -> None:
    rows = [judged(ask("What?"), "So.", 4), supervised_row("eft", ask("W?"), ask("W?"), "Good.", "m")]
    data = build(tmp_path, rows)
    assert Counter(data.account["dropped"]) == {"judgement without a readable score": 1}
