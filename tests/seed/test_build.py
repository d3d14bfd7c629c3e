from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from beside import shared
from judgeloop.config import SeedSection
from judgeloop.errors import InputError
from judgeloop.judging.rubric import load_rubric
from judgeloop.records import Message
from judgeloop.seed.build import SeedData, build_seed

TREES = shared("data", "oasst_en_100_trees.jsonl")
SHIPPED = Path(__file__).resolve().parents[2] / "configs" / "verifiable" / "seed.jsonl"
needs_trees = pytest.mark.skipif(not TREES.is_file(), reason="the Open Assistant sample is not beside the project")
RUBRIC = load_rubric("additive-5-short")


def build(config: dict[str, Any], seed: int = 0, justification: bool = False) -> SeedData:
    return build_seed(SeedSection(**config), RUBRIC, justification, seed)


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def ranked_rows(prompts: list[str]) -> list[dict[str, Any]]:
    return [
        {"prompt": p, "responses": [{"text": f"good {p}", "rank": 0}, {"text": f"bad {p}", "rank": 1}]} for p in prompts
    ]


def plain(text: str) -> str:
    """The test's own idea of the same text, apart from the code under test."""
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()


def turns(messages: list[Message]) -> list[str]:
    """Every user turn with what stood before it, as plain text."""
    words = [f"{m['role']} {plain(m['content'])}" for m in messages]
    return [" / ".join(words[: i + 1]) for i, m in enumerate(messages) if m["role"] == "user"]


def parts(data: SeedData, sets: dict[str, list[Message]]) -> dict[str, list[list[Message]]]:
    """Prompts of each part; those of EFT by their prompt_id."""
    return {
        "held_out": [row.messages for row in data.held_out],
        "eft": [sets[row.prompt_id] for row in data.eft],
        "ift": [row.prompt for row in data.ift],
    }


@needs_trees
@pytest.mark.parametrize("turn", ["first", "all"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_real_trees_split_without_a_shared_prompt(turn: str, seed: int) -> None:
    data = build({"ranked": (str(TREES),), "ift": (str(TREES),), "turns": turn}, seed)
    # An independent walk over the trees: every conversation that ends with a prompter, and its tree.
    conversations: dict[str, list[Message]] = {}
    tree_of: dict[str, str] = {}
    stack: list[tuple[str, dict[str, Any], list[Message]]] = []
    for line in TREES.read_text(encoding="utf-8").splitlines():
        tree = json.loads(line)
        stack.append((tree["message_tree_id"], tree["prompt"], []))
    from judgeloop.records import stable_id

    while stack:
        tree_id, node, before = stack.pop()
        role = "user" if node["role"] == "prompter" else "assistant"
        here: list[Message] = [*before, {"role": role, "content": node["text"]}]
        conversations[stable_id("p", here)] = here
        tree_of[stable_id("p", here)] = tree_id
        stack += [(tree_id, reply, here) for reply in node["replies"]]
    found = parts(data, conversations)
    for left, right in (("held_out", "eft"), ("held_out", "ift"), ("eft", "ift")):
        shared = {t for m in found[left] for t in turns(m)} & {t for m in found[right] for t in turns(m)}
        assert not shared, f"{left} and {right} share {shared}"
        trees = [{tree_of[stable_id("p", m)] for m in found[part]} for part in (left, right)]
        assert not trees[0] & trees[1]
    assert all(found.values())


@needs_trees
def test_the_account_of_the_real_trees_adds_up() -> None:
    data = build({"ranked": (str(TREES),)}, justification=True)
    account = data.account
    assert account["taken"] == 94
    assert account["held_out"] == len(data.held_out) == 24
    assert account["eft"] == len(data.eft) == sum(account["eft_scores"])
    assert account["ift"] == len(data.ift) == 35
    assert min(account["eft_scores"]) > 0
    assert len({row.prompt_id for row in data.eft}) == 94 - 24 - 35
    assert "Open Assistant trees, 94 taken; 3 dropped: reply without a rank" in account["detected"][0]
    json.dumps(account)


def test_the_split_repeats_and_follows_the_seed(tmp_path: Path) -> None:
    rows = ranked_rows([f"Question number {i}?" for i in range(40)])
    forward, backward = write(tmp_path / "a.jsonl", rows), write(tmp_path / "b.jsonl", rows[::-1])
    one, same, other = build({"ranked": forward}), build({"ranked": backward}), build({"ranked": forward}, seed=1)
    assert {row.id for row in one.held_out} == {row.id for row in same.held_out} != {row.id for row in other.held_out}
    assert (len(one.held_out), len({r.prompt_id for r in one.eft}), len(one.ift)) == (10, 15, 15)


def test_the_same_prompt_written_otherwise_stays_on_one_side(tmp_path: Path) -> None:
    prompts = [form.format(i) for i in range(20) for form in ("What is {}?", "what is  {}", "WHAT IS {}!")]
    data = build({"ranked": write(tmp_path / "a.jsonl", ranked_rows(prompts)), "held_out_share": 0.4}, 3)
    held_out = {plain(row.messages[0]["content"]) for row in data.held_out}
    trained = {plain(row.prompt[0]["content"]) for row in data.ift}
    assert len(data.held_out) == 3 * len(held_out) == 24
    assert trained
    assert not held_out & trained


def test_a_conversation_stays_with_the_prompt_it_begins_with(tmp_path: Path) -> None:
    rows = ranked_rows([f"Topic {i}?" for i in range(20)])
    for i in range(20):
        longer = [
            {"role": "user", "content": f"topic {i}"},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": "And?"},
        ]
        rows.append({**rows[i], "prompt": longer})
    data = build({"ranked": write(tmp_path / "a.jsonl", rows), "held_out_share": 0.5})
    held_out = [plain(row.messages[0]["content"]) for row in data.held_out]
    assert len(held_out) == 20
    assert all(held_out.count(text) == 2 for text in held_out)


def test_ift_files_lose_what_other_parts_hold(tmp_path: Path) -> None:
    prompts = [f"Question {i}?" for i in range(8)]
    ranked = write(tmp_path / "ranked.jsonl", ranked_rows(prompts))
    continued = [
        {"role": "user", "content": prompts[0]},
        {"role": "assistant", "content": "Hm."},
        {"role": "user", "content": "So?"},
    ]
    ift = [{"prompt": p.lower(), "response": "r"} for p in prompts]
    ift += [{"prompt": "New?", "response": "r"}, {"prompt": continued, "response": "r"}]
    config = {"ranked": ranked, "ift": write(tmp_path / "ift.jsonl", ift), "held_out_share": 0.25, "eft_share": 1.0}
    apart = build(config)
    assert [row.prompt[0]["content"] for row in apart.ift] == ["New?"]
    held_out = {row.messages[0]["content"].lower() for row in apart.held_out}
    in_held_out = prompts[0].lower() in held_out
    assert apart.account["dropped"] == {
        "IFT row with a held-out prompt": 2 + in_held_out,
        "IFT row with an EFT prompt": 7 - in_held_out,
    }
    shared = build({**config, "eft": {"ift_overlap": True}})
    trained = {row.prompt[0]["content"].lower() for row in shared.ift}
    assert len(trained) == 6 + 1  # the six EFT prompts and the new one
    assert not trained & held_out


def test_limits_and_duplicates_are_counted(tmp_path: Path) -> None:
    pairs = [{"prompt": f"Q{i}?", "response": "r"} for i in range(10)]
    files = (write(tmp_path / "a.jsonl", pairs), write(tmp_path / "b.jsonl", pairs[:4]))
    data = build({"ift": files, "max_ift_rows": 6})
    assert len(data.ift) == 6
    assert data.account["dropped"] == {"IFT row above max_ift_rows": 4, "duplicate": 4}
    assert (data.account["taken"], data.account["eft"], data.account["held_out"]) == (14, 0, 0)


def test_nothing_to_train_on_is_an_input_error(tmp_path: Path) -> None:
    ranked = write(tmp_path / "a.jsonl", ranked_rows(["One?"]))
    with pytest.raises(InputError, match="no IFT and no EFT row is left"):
        build({"ranked": ranked, "held_out_share": 0.9})


def test_the_shipped_seed_builds() -> None:
    data = build({"ranked": str(SHIPPED), "eft_share": 1.0, "near_duplicate": 1.0, "eft": {"ift_overlap": True}})
    scores = data.account["eft_scores"]
    assert data.account["dropped"] == {}
    assert len(data.ift) >= 200
    assert sum(scores[:3]) >= 400
    assert sum(scores[4:]) >= 400
    assert all(row.completion[0]["content"].startswith("Score: ") for row in data.eft)


def test_the_best_of_a_bad_lot_is_no_ift_row(tmp_path: Path) -> None:
    path = tmp_path / "rated.jsonl"
    rows = [{"prompt": f"Question {n}?", "generations": ["x", "y"], "ratings": [2, 1]} for n in range(4)]
    rows += [{"prompt": f"Question {n}?", "generations": ["v", "w"], "ratings": [5, 1]} for n in range(4, 8)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    section = SeedSection(ranked=(str(path),), held_out_share=0, eft_share=0)
    data = build_seed(section, load_rubric("additive-5"), True, 0)
    assert {row.completion[0]["content"] for row in data.ift} == {"v"}
    assert data.account["dropped"] == {"set whose best answer is rated low, for IFT": 4}
