"""New prompts from files: nothing that is evaluated on gets through, and the account says what was dropped and why."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from judgeloop.config import PromptsSection, parse
from judgeloop.errors import InputError
from judgeloop.jsonl import read_rows, write_rows_atomically
from judgeloop.loop import method
from judgeloop.records import Prompt, RankedSet, SupervisedRow
from judgeloop.run.directory import RunDirectory
from judgeloop.run.json_artifacts import read_json
from judgeloop.stages.carry_out import run_stage
from judgeloop.stages.contamination import evaluation_sets
from judgeloop.stages.context import Context
from judgeloop.stages.prompts import shares

PROMPTS = [
    "Why do leaves turn yellow in autumn?",  # near an evaluation prompt
    "Describe a walk along the shore of the lake at night",  # shares a run with quiz.jsonl
    "Say a few words on glass",
    "Say a few words on brass",
    "Compare tea with coffee",
    "Tell me of the first rain",  # near a seed prompt
]
EVALUATED = "Why do leaves turn red in autumn?"
CHAT = [
    {"role": "user", "content": "How far did they walk along the shore of the lake at night?"},
    {"role": "assistant", "content": "Five miles."},
    {"role": "user", "content": "Who held out a lamp?"},
]
QUIZ = [{"messages": CHAT}]


def write(path: Path, rows: list[Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def new_prompts(
    folder: Path, prompts: list[Any] = PROMPTS, **section: Any
) -> tuple[list[str], dict[str, Any], Context]:
    tree = {
        "iterations": 2,
        "seed_data": {"ift": write(folder / "seed.jsonl", [{"prompt": "Tell me of the last rain", "response": "So."}])},
        "evaluation": {"prompts": write(folder / "held_out.jsonl", [{"prompt": EVALUATED}]), "count": 1},
        "prompts": {
            "source": "file", "files": write(folder / "new.jsonl", [{"prompt": text} for text in prompts]),
            "count": 10, **section,
        },
    }  # fmt: skip
    config = parse(tree, "test")
    run = RunDirectory.prepare(folder / "run", config, method(config))
    try:
        turn = [{"role": "user", "content": "Tell me of the last rain"}]
        row = SupervisedRow("i", "ift", "p", turn, [{"role": "assistant", "content": "So."}], "seed.jsonl:1")
        write_rows_atomically(run.folder("M1") / "ift.jsonl", [row])
        held_out = RankedSet("s", [{"role": "user", "content": "Who guards the guards?"}], [], "trees:1", None)
        write_rows_atomically(run.folder("M1") / "held_out.jsonl", [held_out])
        context = Context(run, run.steps["M2/prompts"], lambda *_: None)
        run_stage(context)
    finally:
        run.close()
    rows = read_rows(run.folder("M2") / "prompts.jsonl", Prompt)
    return [row.messages[-1]["content"] for row in rows], read_json(run.folder("M2") / "prompts.json"), context


def test_prompts_that_an_evaluation_set_holds_are_dropped_and_counted(tmp_path: Path) -> None:
    quiz = write(tmp_path / "sets" / "quiz.jsonl", QUIZ)
    texts, account, _ = new_prompts(tmp_path, [*PROMPTS, "Who guards all the guards?", EVALUATED], contamination=quiz)
    assert set(texts) == set(PROMPTS[2:])
    assert account["dropped"] == {
        "evaluation prompt": 1,
        "shares 8 words in a row with evaluation set quiz.jsonl": 1,
        "too close to an evaluation prompt": 2,
    }
    assert account["evaluation_sets"] == {
        "evaluation": {"prompts": 2, "seed_prompts_that_share_a_run": 0, "seed_prompts_in_it": 0},
        "quiz.jsonl": {"prompts": 2, "seed_prompts_that_share_a_run": 0, "seed_prompts_in_it": 0},
    }
    assert account["got"] == account["kept"] + sum(account["dropped"].values()) == 8


def test_near_copies_in_files_are_dropped_where_the_config_says_so(tmp_path: Path) -> None:
    texts, account, _ = new_prompts(tmp_path / "a", PROMPTS[2:], novelty={"of_files": True})
    assert len({"Say a few words on glass", "Say a few words on brass"} & set(texts)) == 1
    assert "Compare tea with coffee" in texts
    assert account["dropped"] == {"too close to a prompt already kept": 1, "too close to a seed prompt": 1}
    texts, account, _ = new_prompts(tmp_path / "b", PROMPTS[2:])
    assert len(texts) == 4
    assert account["dropped"] == {}


def test_a_long_conversation_is_dropped_for_any_of_its_turns(tmp_path: Path) -> None:
    quiz = write(tmp_path / "quiz.jsonl", QUIZ)
    turns = [{"role": "user", "content": "Who held out the lamp?"}, {"role": "assistant", "content": "A girl."},
             {"role": "user", "content": "And then what happened?"}]  # fmt: skip
    folder = tmp_path / "run"
    _, account, _ = new_prompts(folder, ["Compare tea with coffee", turns], contamination=quiz)
    assert account["dropped"] == {"too close to evaluation set quiz.jsonl": 1}


def test_a_later_iteration_has_its_own_count_of_what_the_earlier_left(tmp_path: Path) -> None:
    texts = [f"Write a line on {thing}" for thing in ("salt", "rope", "coal", "glass", "tea", "jam")]
    plan = {"count": 1, "later_counts": [3, 9], "max_rouge_l": 1.0}
    second, account, context = new_prompts(tmp_path / "a", texts, **plan)
    assert (len(second), account["asked"], account["left_for_later"]) == (1, 1, 5)
    third = replace(context, step=context.run.steps["M3/prompts"])
    run_stage(third)
    found = [row.messages[-1]["content"] for row in read_rows(third.output(), Prompt)]
    account = read_json(third.output("prompts.json"))
    assert (len(found), account["asked"], account["left_for_later"]) == (3, 3, 2)
    assert not set(found) & set(second)


@pytest.mark.parametrize(
    ("there", "iterations", "said"),
    [
        (9, 3, None),
        (8, 3, "prompts.files: M4 asks for 4 prompts, and at most 3 are left"),
        (13, 4, None),
        (12, 4, "prompts.files: M5 asks for 4 prompts, and at most 3 are left"),
    ],
)
def test_an_iteration_with_fewer_prompts_than_it_asks_for_is_told(
    there: int, iterations: int, said: str | None
) -> None:
    section = PromptsSection(source="file", count=2, later_counts=(3, 4))
    assert shares(section, there, iterations) == ([] if said is None else [said])


@pytest.mark.parametrize(("there", "iterations", "model"), [(5, 3, "M4"), (9, 4, "M5"), (2, 2, "M3")])
def test_an_iteration_without_prompts_is_refused(there: int, iterations: int, model: str) -> None:
    section = PromptsSection(source="file", count=2, later_counts=(3, 4))
    with pytest.raises(InputError, match=f"none of {there} usable prompts is left for {model}; lower prompts.count"):
        shares(section, there, iterations)


def test_diversity_of_seed_and_new_prompts_is_in_the_account(tmp_path: Path) -> None:
    _, account, _ = new_prompts(tmp_path)
    found = account["diversity"]
    assert (found["seed"]["prompts"], found["generated"]["prompts"], found["compared"]) == (1, account["kept"], 1)


def test_sets_of_the_same_file_name_are_told_apart_and_a_missing_file_is_an_error(tmp_path: Path) -> None:
    names = [write(tmp_path / part / "quiz.jsonl", QUIZ) for part in ("a", "b")]
    _, _, context = new_prompts(tmp_path, contamination=names)
    assert list(evaluation_sets(context)) == names
    assert evaluation_sets(context)[names[0]] == [turn["content"] for turn in CHAT[::2]]
    with pytest.raises(InputError, match=r"nowhere\.jsonl"):
        new_prompts(tmp_path / "other", contamination=str(tmp_path / "nowhere.jsonl"))
