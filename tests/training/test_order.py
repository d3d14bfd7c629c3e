from hypothesis import given
from hypothesis import strategies as st

from judgeloop.training.order import BlockBatches, BlockOrder, steps_of_rows, token_blocks


def blocks_of(order: BlockOrder) -> list[tuple[int, ...]]:
    indices = list(order)
    return [tuple(indices[start : start + order.block]) for start in range(0, order.rows, order.block)]


def test_blocks_keep_their_members_and_change_places_every_epoch() -> None:
    order = BlockOrder(rows=26, block=3, seed=4)
    expected = {tuple(block) for block in order.blocks()}
    seen = []
    for epoch in range(3):
        order.set_epoch(epoch)
        found = blocks_of(order)
        assert set(found) == expected
        assert found[-1] == (24, 25)  # a short block elsewhere would shift all that follow
        seen.append(found)
    assert seen[0] != seen[1] != seen[2]
    order.set_epoch(1)
    assert blocks_of(order) == seen[1]
    assert blocks_of(BlockOrder(rows=26, block=3, seed=5)) != seen[0]


def test_every_row_comes_once() -> None:
    for rows in (1, 2, 7, 8, 9):
        order = BlockOrder(rows, block=4, seed=0)
        assert sorted(order) == list(range(rows))
        assert len(order) == rows


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(1, 120))
def test_blocks_by_tokens_hold_every_row_in_order_within_the_budget(lengths: list[int], budget: int) -> None:
    blocks = token_blocks(lengths, budget)
    assert [index for block in blocks for index in block] == list(range(len(lengths)))
    held = [sum(lengths[i] for i in block) for block in blocks]
    assert all(tokens <= budget or len(block) == 1 for tokens, block in zip(held, blocks, strict=True))
    assert all(tokens + lengths[after[0]] > budget for tokens, after in zip(held, blocks[1:], strict=False))


def test_batches_by_tokens_change_places_every_epoch() -> None:
    batches = BlockBatches(token_blocks([3] * 40, 7), seed=1)
    first = list(batches)
    batches.set_epoch(1)
    assert len(batches) == 20
    assert list(batches) != first
    assert sorted(batches) == sorted(first)
    assert list(BlockBatches(batches.blocks, seed=2)) != first


def test_a_row_is_in_one_step_of_each_epoch() -> None:
    order = BlockOrder(rows=10, block=4, seed=3)
    found = steps_of_rows(order, 10, steps=6)
    for epoch in range(2):
        order.set_epoch(epoch)
        for step, block in enumerate(blocks_of(order), 3 * epoch + 1):
            assert all(found[row][epoch] == step for row in block)
    assert all(len(steps) == 2 for steps in found)
    ended = steps_of_rows(order, 10, steps=4)  # the judge ended it in the second epoch
    assert [steps[:1] for steps in found] == [steps[:1] for steps in ended]
    assert sum(len(steps) == 2 for steps in ended) == len([s for s in found if s[1] == 4])
