from judgeloop.training.order import BlockOrder


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
