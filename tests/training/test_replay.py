from __future__ import annotations

from collections import Counter

import pytest

from judgeloop.training.data import SftExample, rows_beside
from judgeloop.training.packs import IGNORED
from judgeloop.training.replay import Replay


def examples(count: int) -> list[SftExample]:
    return [SftExample(f"row-{k}", [1] * (k + 1), [7, k]) for k in range(count)]


def test_rows_come_round_evenly_and_follow_from_the_seed_and_the_step() -> None:
    replay = Replay(examples(5), 3, pad_id=0, seed=1)
    taken = [row.id for step in range(10) for row in replay.of(step)]
    assert Counter(taken) == {f"row-{k}": 6 for k in range(5)}
    assert [row.id for row in Replay(examples(5), 3, pad_id=0, seed=1).of(7)] == taken[21:24]
    assert taken[:5] != taken[5:10]  # another shuffle
    assert [row.id for row in Replay(examples(5), 3, pad_id=0, seed=2).of(0)] != taken[:3]


@pytest.mark.parametrize(("pairs", "share", "rows"), [(8, 0.2, 2), (8, 0.5, 8), (8, 0.01, 1), (16, 0.25, 5)])
def test_the_share_is_of_all_rows_of_a_batch(pairs: int, share: float, rows: int) -> None:
    assert rows_beside(pairs, share) == rows


def test_the_batch_is_padded_on_the_right_and_labels_the_target_alone() -> None:
    batch = Replay(examples(2), 2, pad_id=9, seed=0).batch(examples(2))
    assert batch["input_ids"].tolist() == [[1, 7, 0, 9], [1, 1, 7, 1]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert batch["labels"].tolist() == [[IGNORED, 7, 0, IGNORED], [IGNORED, IGNORED, 7, 1]]
    assert batch["weights"].sum(dim=1).tolist() == [1, 1]
