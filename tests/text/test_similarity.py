from __future__ import annotations

import random
from collections.abc import Iterator
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from judgeloop.text import prefix_index
from judgeloop.text import similarity as novelty
from judgeloop.text.similarity import Match, NoveltyPool
from judgeloop.text.tokens import by_characters, rouge_l, tokens_of


def longest_common(left: list[str], right: list[str]) -> int:
    """The textbook table, apart from the library under test."""
    row = [0] * (len(right) + 1)
    for a in left:
        before = row[:]
        for j, b in enumerate(right, 1):
            row[j] = before[j - 1] + 1 if a == b else max(before[j], row[j - 1])
    return row[-1]


def by_all_pairs(texts: list[str], threshold: float) -> list[bool]:
    """Whether each text is novel against those kept before, by comparing every pair."""
    kept: list[list[str]] = []
    novel = []
    for text in texts:
        tokens = tokens_of(text)
        scores = [2 * longest_common(tokens, k) / (len(tokens) + len(k)) for k in kept if tokens or k]
        novel.append(not any(score > threshold or score == 1 for score in scores))
        if novel[-1]:
            kept.append(tokens)
    return novel


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("What's the COST, in U.S. dollars?", ["what", "s", "the", "cost", "in", "u", "s", "dollars"]),
        ("Crème brûlée_recipe 2", ["crème", "brûlée", "recipe", "2"]),
        ("写一首诗 about 雨", ["写", "一", "首", "诗", "about", "雨"]),
        ("한국어", ["한", "국", "어"]),
        ("ひらがな", ["ひ", "ら", "が", "な"]),
        ("?!  …", ["?", "!", ".", ".", "."]),
        ("", []),
    ],
)
def test_words_or_characters_by_script(text: str, tokens: list[str]) -> None:
    assert tokens_of(text) == tokens


def test_rouge_l_is_the_harmonic_mean_of_recall_and_precision() -> None:
    left, right = ["the", "cat", "sat", "on", "the", "mat"], ["the", "cat", "lay", "on", "a", "mat", "today"]
    recall, precision = 4 / 7, 4 / 6
    assert rouge_l(left, right) == pytest.approx(2 * recall * precision / (recall + precision))
    assert rouge_l(left, left) == 1
    assert rouge_l(left, []) == 0


def test_a_near_copy_is_matched_and_not_added() -> None:
    pool = NoveltyPool(0.7)
    pool.add("List three uses of old newspapers", "seed")
    pool.add("Explain how a bill becomes a law", "earlier")
    match = pool.add_if_novel("List four uses of old newspapers")
    assert match is not None
    assert (match.label, match.text) == ("seed", "List three uses of old newspapers")
    assert match.score == pytest.approx(10 / 12)
    assert len(pool) == 2
    assert pool.add_if_novel("Why do leaves fall in autumn?") is None
    assert len(pool) == 3


def test_exactly_at_the_threshold_is_novel() -> None:
    pool = NoveltyPool(0.5)
    pool.add("a b c d")
    assert pool.nearest("a b x y") is None
    assert pool.nearest("a b c y") is not None
    strict = NoveltyPool(1.0)
    strict.add("a b c")
    assert strict.nearest("a b d") is None
    assert strict.nearest("A b c.") is not None  # a copy is never novel


def test_chinese_is_compared_by_characters() -> None:
    pool = NoveltyPool(0.7)
    pool.add("请写一首关于春天的诗")
    assert pool.nearest("请写一首关于秋天的诗") is not None
    assert pool.nearest("为什么天空是蓝色的") is None


WORDS = ["a", "b", "c", "d", "e", "the", "über"]
CHARACTERS = ["请", "写", "诗", "雨", "の", "글", "b"]
english = st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join)
mixed = st.lists(st.sampled_from([*WORDS[:2], *CHARACTERS]), max_size=14).map(lambda tokens: " ".join(tokens))
texts_of_any_script = st.lists(st.one_of(english, mixed), max_size=14)
thresholds = st.one_of(st.sampled_from([0.3, 0.5, 0.7, 0.9, 1.0]), st.floats(0.3, 1.0))


@pytest.fixture(scope="module")
def small_steps() -> Iterator[None]:
    """Blocks, and orders of the index, that change within a dozen texts."""
    with patch.object(novelty, "_BLOCK", 4), patch.object(prefix_index, "_FIRST_ORDER", 3):
        yield


@settings(max_examples=300, deadline=None)
@given(texts_of_any_script, thresholds)
def test_the_pool_decides_as_all_pairs_do(small_steps: None, texts: list[str], threshold: float) -> None:
    pool = NoveltyPool(threshold)
    assert [pool.add_if_novel(text) is None for text in texts] == by_all_pairs(texts, threshold)


@settings(max_examples=300, deadline=None)
@given(texts_of_any_script, texts_of_any_script, thresholds)
def test_many_at_once_are_answered_as_one_by_one(
    small_steps: None, known: list[str], texts: list[str], threshold: float
) -> None:
    once, many = NoveltyPool(threshold), NoveltyPool(threshold)
    for text in known:
        once.add(text, "seed")
        many.add(text, "seed")
    assert many.add_novel(texts) == [once.add_if_novel(text) for text in texts]
    assert len(many) == len(once)


@settings(max_examples=200, deadline=None)
@given(texts_of_any_script, english, thresholds)
def test_every_match_is_found_and_the_nearest_is_the_first_of_the_highest(
    small_steps: None, texts: list[str], text: str, threshold: float
) -> None:
    pool = NoveltyPool(threshold)
    for number, other in enumerate(texts):
        pool.add(other, str(number))
    scores = [rouge_l(tokens_of(text), tokens_of(other)) for other in texts]
    wanted = [Match(texts[i], str(i), score) for i, score in enumerate(scores) if score > threshold or score == 1]
    assert pool.matches(text) == wanted
    assert pool.nearest(text) == max(wanted, key=lambda match: match.score, default=None)


@settings(max_examples=200, deadline=None)
@given(st.text("abcde ,.'-?!019", max_size=60), st.text("abcde ,.'-?!019", max_size=60))
def test_rouge_l_is_rouge_scores_figure_in_english(left: str, right: str) -> None:
    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    alone = [[c for c in text if c.isalnum()] for text in (left, right)]
    if all(alone):  # of texts without words rouge-score says 0, ours compares the signs
        found = rouge_l(tokens_of(left), tokens_of(right))
        assert found == pytest.approx(scorer.score(left, right)["rougeL"].fmeasure, abs=1e-12)


def test_more_tokens_than_there_are_characters_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(novelty, "_SYMBOLS", 4)
    pool = NoveltyPool(0.7)
    pool.add("one two three four five six seven eight")
    assert pool.nearest("nine ten eleven twelve thirteen fourteen fifteen sixteen") is None
    match = pool.nearest("one two three four five six seven nine")
    assert match is not None
    assert match.score == 7 / 8


def test_a_very_long_text_does_not_break_the_others() -> None:
    pool = NoveltyPool(0.7)
    long = " ".join(f"w{i % 5000}" for i in range(200_000))
    pool.add(long)
    pool.add("List three uses of old newspapers")
    assert pool.nearest("List four uses of old newspapers") is not None
    match = pool.nearest(long.removeprefix("w0 "))
    assert match is not None
    assert match.score > 0.99999


@pytest.mark.parametrize(
    ("text", "expected"), [("写一首 poem", True), ("Python 里 list", False), ("hello", False), ("", False)]
)
def test_a_text_is_of_characters_where_most_tokens_are(text: str, expected: bool) -> None:
    assert by_characters(tokens_of(text)) is expected


def test_it_decides_as_all_pairs_do_on_longer_texts_and_finds_the_nearest() -> None:
    rng = random.Random(3)
    vocabulary = [f"w{i}" for i in range(400)]
    weights = [1 / (i + 2) for i in range(400)]
    base = [rng.choices(vocabulary, weights, k=rng.randint(5, 20)) for _ in range(25)]
    texts = []
    for _ in range(250):
        tokens = list(rng.choice(base))
        for _ in range(rng.randint(0, 6)):
            tokens[rng.randrange(len(tokens))] = rng.choice(vocabulary)
        texts.append(" ".join(tokens))
    pool = NoveltyPool(0.7)
    kept: list[str] = []
    for text, novel in zip(texts, by_all_pairs(texts, 0.7), strict=True):
        match = pool.add_if_novel(text)
        assert (match is None) == novel
        if match is not None:
            assert match.score == max(rouge_l(tokens_of(text), tokens_of(other)) for other in kept)
        else:
            kept.append(text)
    assert 25 < len(kept) < 250
