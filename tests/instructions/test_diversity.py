from __future__ import annotations

import json
import math

import pytest

from judgeloop.instructions.diversity import COMPARED, LENGTHS, diversity

SEED = ["Write a poem about rain", "Write a song about rain", "Explain photosynthesis to a child", "List three rivers"]


def test_figures_worked_by_hand() -> None:
    found = diversity(SEED, ["Write a poem about snow", "Write a poem about fog"], 0)
    made = found["generated"]
    assert found["compared"] == 2
    assert (found["seed"]["prompts"], made["prompts"]) == (4, 2)
    assert made["tokens"] == {"mean": 5.0, "median": 5.0, "p10": 5.0, "p90": 5.0}
    assert made["characters"] == (23 + 22) / 2
    assert made["lengths"] == [0, 2, 0, 0, 0, 0, 0, 0]
    assert found["seed"]["lengths"] == [1, 3, 0, 0, 0, 0, 0, 0]
    assert made["distinct"] == [0.6, round(5 / 8, 4), round(4 / 6, 4)]
    assert made["openings"] == {"different": 1, "effective": 1.0, "top": [["write", 1.0]]}
    assert made["content_words"]["top"] == [["poem", 1.0], ["fog", 0.5], ["snow", 0.5]]
    assert made["content_words"]["effective"] == round(math.exp(1.5 * math.log(2)), 2)
    assert made["nearest"] == 0.8
    assert made["languages"] == {"en": 1.0}
    assert "nearest_seed" not in found["seed"]


def test_nearest_of_the_seed_shows_copies() -> None:
    assert diversity(SEED, SEED, 0)["generated"]["nearest_seed"] == 1.0
    other = ["Why does bread rise?", "Tell a joke on cats", "Name two composers", "Plan my holiday trip"]
    assert diversity(SEED, other, 0)["generated"]["nearest_seed"] < 0.4


def test_both_sets_are_cut_to_the_same_number_and_drawn_by_the_seed() -> None:
    many = [f"Describe number {i} and number {i * i % 97}" for i in range(COMPARED + 200)]
    found = diversity(many, many[: COMPARED + 100], 3)
    assert found["compared"] == COMPARED
    assert found["seed"]["prompts"] == COMPARED + 200
    assert found == diversity(many, many[: COMPARED + 100], 3)
    assert found["seed"] != diversity(many, many[: COMPARED + 100], 4)["seed"]


def test_chinese_counts_by_characters() -> None:
    made = diversity(SEED, ["写一首关于春天的诗", "写一个关于雪山的故事"], 0)["generated"]
    assert made["tokens"]["mean"] == 9.5
    assert made["languages"] == {"zh": 1.0}
    assert made["openings"]["top"] == [["写一", 1.0]]
    assert ["雪山", 0.5] in made["content_words"]["top"]


@pytest.mark.parametrize(("seed", "made"), [([], ["Write a poem"]), (["Write a poem"], []), ([], []), (["?"], ["…"])])
def test_what_has_no_value_is_none(seed: list[str], made: list[str]) -> None:
    found = diversity(seed, made, 0)
    assert json.loads(json.dumps(found)) == found
    assert found["generated"]["nearest"] is None
    assert (found["seed"]["tokens"] is None) == (not seed)
    if not made:
        assert found["generated"]["nearest_seed"] is None
        assert found["generated"]["distinct"] == [None, None, None]


def test_every_length_has_its_bin() -> None:
    found = diversity(SEED, [" ".join(["word"] * n) for n in (1, 4, 5, 14, 15, 99, 100, 5000)], 0)["generated"]
    assert found["lengths"] == [2, 1, 1, 1, 0, 0, 1, 2]
    assert len(found["lengths"]) == len(LENGTHS)
