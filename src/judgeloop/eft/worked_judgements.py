"""Worked judgements that a writer may be shown before it writes its own (`seed_data.eft.examples`): small models
rarely find the rubric's form without. They say nothing about the user's data, and the rows made do not hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

from judgeloop.eft.justifications import is_chinese
from judgeloop.judging.rubric import Rubric
from judgeloop.records import MAX_SCORE, Message


class Worked(NamedTuple):
    """A response judged by hand; `score` is on the scale 0-5."""

    instruction: str
    response: str
    justification: str
    score: int


# Neither the first nor the last is the best or the worst: what is at the ends is copied most.
_ENGLISH = (
    Worked(
        "Why do leaves change colour in autumn?",
        "Leaves change colour because of the season. It happens every year in many countries.",
        "The response is about the question and names the season, so it is on topic. It does not say why: nothing "
        "about the green pigment breaking down. Part of the request is touched, the reason is left out.",
        2,
    ),
    Worked(
        "Give me three quick breakfast ideas without eggs.",
        "1. Yoghurt with oats and berries: no cooking, two minutes.\n2. Wholegrain toast with peanut butter and "
        "banana.\n3. Overnight porridge: mix oats and milk in the evening, eat it cold.",
        "Exactly three ideas, none with eggs, and each is quick. The list is clear, fits what was asked and wastes no "
        "words. There is nothing to improve.",
        5,
    ),
    Worked(
        "How do I stop a tap from dripping?",
        "Taps are found in kitchens and bathrooms.",
        "The response mentions taps but gives no step towards stopping the drip. It is about the subject and no more "
        "than that.",
        1,
    ),
    Worked(
        "Explain what a prime number is.",
        "A prime number is a whole number greater than 1 that only 1 and itself divide, for example 7. Let me know if "
        "you need more!",
        "The definition is right, an example helps, and it speaks to the user directly. Why 1 is left out could be "
        "said, and the last sentence adds nothing.",
        4,
    ),
)
_CHINESE = (
    Worked(
        "秋天的树叶为什么会变色？",
        "因为到了秋天，树叶就会变色，每年都是这样。",
        "回答提到了季节，没有跑题，但没有解释原因，例如叶绿素的分解。只碰到了问题的一部分。",
        2,
    ),
    Worked(
        "推荐三种不含鸡蛋的快手早餐。",
        "1. 酸奶配燕麦和蓝莓，不用开火，两分钟就好。\n2. 全麦吐司抹花生酱，加几片香蕉。\n"
        "3. 隔夜燕麦：前一晚用牛奶泡好，早上直接吃。",
        "正好三种，都不含鸡蛋，做法都很快。条理清楚，完全符合要求，没有多余的话。",
        5,
    ),
    Worked(
        "水龙头滴水怎么办？",
        "水龙头一般装在厨房和卫生间。",
        "回答只提到了水龙头，没有给出任何止水的办法，对提问的人没有帮助。",
        1,
    ),
    Worked(
        "什么是质数？",
        "质数是大于 1、只能被 1 和它本身整除的整数，例如 7。需要的话我还可以再讲！",
        "定义正确，例子有用，语气直接。没有说明为什么 1 不算质数，最后一句是多余的。",
        4,
    ),
)


@dataclass(frozen=True, slots=True)
class ShownRubric(Rubric):
    """A rubric whose prompt begins with worked judgements, each a turn of the user's and one of the judge's."""

    shown: tuple[Message, ...] = ()

    def messages(self, prompt: Sequence[Message], response: str, other: str | None = None) -> list[Message]:
        return [*self.shown, *Rubric.messages(self, prompt, response, other)]


def with_examples(rubric: Rubric, count: int, justification: bool) -> Rubric:
    """The rubric with the first `count` worked judgements before it, in its language and on its scale."""
    if not count:
        return rubric
    shown: list[Message] = []
    for worked in (_CHINESE if is_chinese(rubric) else _ENGLISH)[:count]:
        score = round(rubric.low + worked.score / MAX_SCORE * (rubric.high - rubric.low))
        text = rubric.target(score, worked.justification if justification else None)
        shown += rubric.messages([{"role": "user", "content": worked.instruction}], worked.response)
        shown.append({"role": "assistant", "content": text})
    return ShownRubric(**{f.name: getattr(rubric, f.name) for f in fields(Rubric)}, shown=tuple(shown))
