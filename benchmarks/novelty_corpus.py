"""Instructions made by code, for measuring: forms × topics, word frequencies after Zipf, about a third near-copies.

The words are made of syllables, so that the text of no data set is in them; what matters to a comparison is real: a
small set of forms that many instructions share, frequent and rare words, a vocabulary that grows with the corpus.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from itertools import accumulate

NEAR_COPIES = 0.3

ORDERS = [
    "write",
    "explain",
    "describe",
    "list",
    "compare",
    "summarize",
    "suggest",
    "design",
    "create",
    "give",
    "outline",
    "rewrite",
    "classify",
    "find",
    "plan",
]
PEOPLE = [
    "child",
    "teacher",
    "friend",
    "nurse",
    "farmer",
    "student",
    "lawyer",
    "beginner",
    "customer",
    "pilot",
    "neighbour",
    "programmer",
]
FORMS = (
    "{order} a short story about {topic} and {topic}",
    "what is the difference between {topic} and {topic}",
    "explain how {topic} works to a {person}",
    "give me {number} tips for {topic} when i have little time",
    "list {number} ways to improve {topic} at home",
    "{order} an email to my {person} about {topic}",
    "how can i learn {topic} in {number} weeks without {topic}",
    "rewrite the following sentence so that it mentions {topic}",
    "what are the main causes of {topic} in {topic}",
    "create a plan for {topic} with {number} steps",
    "is it true that {topic} can cause {topic}",
    "compare {topic} with {topic} and say which one is better for a {person}",
    "{order} the history of {topic} in {number} sentences",
    "suggest a name for a company that sells {topic}",
    "why do people like {topic}",
    "write a poem about {topic} in the style of {topic}",
    "what should a {person} know about {topic} before starting",
    "find {number} arguments for and against {topic}",
    "{order} {topic} using an example from {topic}",
    "write a product description for {topic} aimed at a {person}",
)
ENDINGS = (
    "", "", "", "", "in simple words", "please", "and explain your reasoning", "using no more than {number} words",
    "for someone who has never heard of {topic}", "with at least {number} examples", "and mention {topic}",
    "then give a short summary at the end", "in the tone of a {person}",
)  # fmt: skip
CHINESE_FORMS = (
    "写一篇关于{topic}和{topic}的短文", "{topic}和{topic}有什么区别", "请解释{topic}的工作原理",
    "给我{number}条关于{topic}的建议", "列出{number}种改善{topic}的方法", "如何在{number}周内学会{topic}",
    "{topic}的主要原因是什么", "为{topic}制定一个计划", "请把下面关于{topic}的句子改写得更正式",
    "为什么人们喜欢{topic}", "请用简单的话介绍{topic}", "帮我写一封关于{topic}的邮件", "比较{topic}与{topic}的优缺点",
    "给{topic}起一个名字", "请举例说明{topic}如何影响{topic}",
)  # fmt: skip
CHINESE_ENDINGS = (
    "", "", "", "，不超过{number}个字", "，并说明理由", "，请提到{topic}", "，适合初学者阅读", "，最后做一个总结",
)  # fmt: skip
_CONSONANTS = [
    "b",
    "c",
    "d",
    "f",
    "g",
    "h",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "w",
    "br",
    "cl",
    "dr",
    "fl",
    "gr",
    "pl",
    "st",
    "tr",
    "sh",
    "ch",
    "th",
]
_VOWELS = ["a", "e", "i", "o", "u", "ai", "ea", "oo", "ou"]


class Corpus(ABC):
    """Instructions one after the other; the same seed gives the same ones, and a longer corpus begins as a shorter."""

    forms: tuple[str, ...]
    endings: tuple[str, ...]

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.words = self.vocabulary()
        self._word_weights = list(accumulate(1 / (rank + 3) for rank in range(len(self.words))))
        self._form_weights = list(accumulate((rank + 1) ** -0.8 for rank in range(len(self.forms))))

    def make(self, count: int) -> list[str]:
        """`count` instructions."""
        made: list[str] = []
        for _ in range(count):
            copies = made and self.rng.random() < NEAR_COPIES
            made.append(self.edited(self.rng.choice(made)) if copies else self.fresh())
        return made

    def fresh(self) -> str:
        if self.rng.random() < 0.3:
            return self.free()
        form = self.rng.choices(self.forms, cum_weights=self._form_weights)[0]
        return (self._filled(form) + self._filled(self.rng.choice(self.endings))).strip()

    def word(self) -> str:
        return self.rng.choices(self.words, cum_weights=self._word_weights)[0]

    def _filled(self, form: str) -> str:
        while (start := form.find("{")) >= 0:
            end = form.index("}")
            form = form[:start] + self._part(form[start + 1 : end]) + form[end + 1 :]
        return form

    def _part(self, name: str) -> str:
        if name == "topic":
            return self.joined([self.word() for _ in range(self.rng.choice((2, 2, 3, 3, 4, 5)))])
        if name == "number":
            return str(self.rng.randint(2, 20))
        return self.rng.choice(ORDERS if name == "order" else PEOPLE)

    @abstractmethod
    def vocabulary(self) -> list[str]: ...

    @abstractmethod
    def joined(self, words: list[str]) -> str: ...

    @abstractmethod
    def free(self) -> str:
        """An instruction after no form."""

    @abstractmethod
    def edited(self, text: str) -> str:
        """A near-copy: one to three words or characters replaced, added or taken out."""


class English(Corpus):
    """Words between spaces; 13 a text on average."""

    forms = FORMS
    endings = tuple(f" {ending}" for ending in ENDINGS)

    def vocabulary(self) -> list[str]:
        def word(rank: int) -> str:
            rng = random.Random(rank)
            syllables = 2 + (rank > 200) + (rank > 5000)
            return "".join(rng.choice(_CONSONANTS) + rng.choice(_VOWELS) for _ in range(syllables)) + rng.choice("nrst")

        return [word(rank) for rank in range(60_000)]

    def joined(self, words: list[str]) -> str:
        return " ".join(words)

    def free(self) -> str:
        return self.joined([self.rng.choice(ORDERS), *(self.word() for _ in range(self.rng.randint(5, 22)))])

    def edited(self, text: str) -> str:
        words = text.split()
        for _ in range(self.rng.randint(1, 2)):
            place, what = self.rng.randrange(len(words)), self.rng.random()
            if what < 0.6:
                words[place] = self.word()
            elif what < 0.8:
                words.insert(place, self.word())
            elif len(words) > 3:
                del words[place]
        return self.joined(words)


class Chinese(Corpus):
    """Characters without spaces; words of one to four."""

    forms = CHINESE_FORMS
    endings = CHINESE_ENDINGS

    def vocabulary(self) -> list[str]:
        rng = random.Random(99)
        characters = [chr(0x4E00 + rank * 37 % 5000) for rank in range(3500)]
        rng.shuffle(characters)
        weights = list(accumulate(1 / (rank + 30) for rank in range(len(characters))))
        return [
            "".join(rng.choices(characters, cum_weights=weights, k=rng.choice((1, 2, 2, 2, 3, 4))))
            for _ in range(40_000)
        ]

    def joined(self, words: list[str]) -> str:
        return "".join(words)

    def free(self) -> str:
        return "请" + self.joined([self.word() for _ in range(self.rng.randint(4, 14))])

    def edited(self, text: str) -> str:
        characters = list(text)
        for _ in range(self.rng.randint(1, 3)):
            place, what = self.rng.randrange(len(characters)), self.rng.random()
            if what < 0.6:
                characters[place : place + 1] = self.word()
            elif what < 0.8:
                characters[place:place] = self.word()
            elif len(characters) > 6:
                del characters[place]
        return "".join(characters)


CORPORA: dict[str, type[Corpus]] = {"english": English, "chinese": Chinese}
