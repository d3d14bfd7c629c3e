from __future__ import annotations

import random

import pytest

from judgeloop.instructions import novelty
from judgeloop.instructions.lsh import LEAST_RECALL, bands_and_rows
from judgeloop.instructions.novelty import NoveltyPool


def near_copies(count: int) -> list[str]:
    """Texts of 14 words; every second one is an earlier one with up to four words changed."""
    rng = random.Random(5)
    vocabulary = [f"w{i}" for i in range(2000)]
    texts: list[list[str]] = []
    for number in range(count):
        if number % 2 and texts:
            text = list(rng.choice(texts))
            for place in rng.sample(range(len(text)), rng.randint(1, 4)):
                text[place] = rng.choice(vocabulary)
        else:
            text = rng.choices(vocabulary, k=14)
        texts.append(text)
    return [" ".join(text) for text in texts]


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.9, 0.99, 1.0])
def test_bands_find_a_pair_at_the_threshold_and_have_as_many_rows_as_that_allows(threshold: float) -> None:
    bands, rows = bands_and_rows(threshold)
    jaccard = threshold / (2 - threshold)
    assert bands * rows <= 256
    assert 1 - (1 - jaccard**rows) ** bands >= LEAST_RECALL
    most = 256 // (rows + 1)
    assert threshold == 1 or 1 - (1 - jaccard ** (rows + 1)) ** most < LEAST_RECALL


def test_minhash_takes_over_above_the_size_and_says_what_it_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(novelty, "_CHECK_EVERY", 1)
    texts = near_copies(600)
    exact, approximate = NoveltyPool(0.7), NoveltyPool(0.7, lsh_above=100)
    for text in texts[:100]:
        approximate.add(text)
    assert approximate.recall() is None
    for text in texts[100:300]:
        approximate.add(text)
    for text in texts[:300]:
        exact.add(text)
    asked = texts[300:]
    truth = [exact.nearest(text) is not None for text in asked]
    found = [approximate.nearest(text) is not None for text in asked]
    assert all(near for near, seen in zip(truth, found, strict=True) if seen)
    recall = approximate.recall()
    assert recall is not None
    assert (recall["checked"], recall["near"], recall["found"]) == (len(asked), sum(truth), sum(found))
    assert recall["recall"] == round(sum(found) / sum(truth), 4) >= 0.9
    assert recall["above"] == 100
    assert 0.95 <= recall["recall_at_threshold"] < 1


def test_many_at_once_are_answered_as_one_by_one_across_the_change() -> None:
    texts = near_copies(400)
    once, many = NoveltyPool(0.7, lsh_above=120), NoveltyPool(0.7, lsh_above=120)
    assert many.add_novel(texts) == [once.add_if_novel(text) for text in texts]
    assert len(many) == len(once) > 120


def test_the_order_of_look_ups_before_does_not_matter() -> None:
    texts = near_copies(200)
    straight, roundabout = NoveltyPool(0.7, lsh_above=50), NoveltyPool(0.7, lsh_above=50)
    for text in texts[:100]:
        straight.add(text)
    for text in texts[:100]:
        roundabout.nearest(text[::-1])
        roundabout.add(text)
    assert [straight.nearest(text) for text in texts[100:]] == [roundabout.nearest(text) for text in texts[100:]]
