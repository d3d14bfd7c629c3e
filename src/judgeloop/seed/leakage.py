"""No prompt in two parts: IFT, EFT and the held-out sets share none, neither word for word nor nearly.

Two prompts are the same where one is the other or its beginning: word for word (letters and digits of the
conversation, system messages left out), or nearly, by a ROUGE-L F of what the user says above a threshold
(`seed_data.near_duplicate`).

The default, 0.7, is Self-Instruct's. In Open Assistant's 100 trees no two prompts reach 0.61; different requests made
after one pattern reach 0.75 (IFEval's) to 0.83 (the quickstart's), which a run on such data may allow by a higher
threshold. One word changed in a prompt of eight gives 0.875.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from judgeloop.data.fields import prompt_keys
from judgeloop.records import Message, RankedSet
from judgeloop.text.similarity import NoveltyPool


def prompt_texts(messages: Sequence[Message]) -> Iterator[str]:
    """What the user says up to each of the user's turns, the whole prompt last."""
    said: list[str] = []
    for message in messages:
        if message["role"] == "user":
            said.append(message["content"])
            yield "\n".join(said)


class Known:
    """Prompts of other parts, each with a label, and whether a new one is among them."""

    def __init__(self, near_duplicate: float) -> None:
        self._exact: dict[str, str] = {}
        self._begun: dict[str, str] = {}
        self._pool = NoveltyPool(near_duplicate) if near_duplicate < 1 else None
        self._longer = NoveltyPool(near_duplicate) if near_duplicate < 1 else None

    def add(self, messages: Sequence[Message], label: str) -> None:
        """Add a prompt; of equal ones the first label stays."""
        *earlier, whole = prompt_keys(list(messages))
        self._exact.setdefault(whole, label)
        for key in earlier:
            self._begun.setdefault(key, label)
        if self._pool is not None and self._longer is not None:
            *beginnings, text = prompt_texts(messages)
            self._pool.add(text, label)
            for beginning in beginnings:
                self._longer.add(beginning, label)

    def same(self, messages: Sequence[Message]) -> str | None:
        """The label of a prompt that is this one, begins it or goes on from it, word for word; None: there is none."""
        keys = list(prompt_keys(list(messages)))
        found = next((self._exact[key] for key in keys if key in self._exact), None)
        return found if found is not None else self._begun.get(keys[-1])

    def near(self, messages: Sequence[Message]) -> str | None:
        """The label of a prompt that is nearly this one, nearly begins it or nearly goes on from it."""
        if self._pool is None or self._longer is None:
            return None
        texts = list(prompt_texts(messages))
        matches = [self._pool.nearest(text) for text in texts] + [self._longer.nearest(texts[-1])]
        found = [match for match in matches if match is not None]
        return max(found, key=lambda match: match.score).label if found else None


def clusters(sets: Sequence[RankedSet], near_duplicate: float) -> tuple[list[list[int]], int]:
    """Indices of sets that must stay on one side (same group, same or nearly the same prompt, one's prompt begins the
    other's), and how many sets share a cluster only because prompts are nearly the same.

    Sorted by content, so that what is made of them does not depend on the order of lines and files.
    """
    edges: list[tuple[int, int]] = []
    owner: dict[str, int] = {}
    groups: dict[str, int] = {}
    keys = [list(prompt_keys(ranked.messages)) for ranked in sets]
    for i, ranked in enumerate(sets):
        edges.append((i, owner.setdefault(keys[i][-1], i)))
        if ranked.group:
            edges.append((i, groups.setdefault(ranked.group, i)))
    for i, beginnings in enumerate(keys):
        edges += [(i, owner[key]) for key in beginnings[:-1] if key in owner]
    before = len(_components(edges, len(sets)))
    if near_duplicate < 1:
        pool = NoveltyPool(near_duplicate)
        texts = [list(prompt_texts(ranked.messages)) for ranked in sets]
        for i, said in enumerate(texts):
            pool.add(said[-1], str(i))
        for i, said in enumerate(texts):
            for text in said:
                edges += [(i, int(match.label)) for match in pool.matches(text)]
    members = _components(edges, len(sets))
    return sorted(members, key=lambda cluster: min(sets[i].id for i in cluster)), before - len(members)


def _components(edges: Sequence[tuple[int, int]], size: int) -> list[list[int]]:
    """Numbers 0 to size−1, joined into clusters by the edges."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not size:
        return []
    ends = [list(side) for side in zip(*edges, strict=True)] or [[], []]
    _, labels = connected_components(coo_array(([True] * len(edges), (ends[0], ends[1])), shape=(size, size)))
    found: dict[int, list[int]] = defaultdict(list)
    for i, label in enumerate(labels.tolist()):
        found[label].append(i)
    return list(found.values())
