from __future__ import annotations

import pytest

from judgeloop.config import PromptsSection
from judgeloop.instructions.filters import rejection

CONFIG = PromptsSection()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Why?", "too short"),
        ("   ", "too short"),
        ("word " * 151, "too long"),
        ("* Name three rivers in Europe", "starts with punctuation"),
        ("→ Name three rivers in Europe", "starts with punctuation"),
        ("Draw a cat that sits on a mat.", "needs more than text"),
        ("Describe the attached image for me.", "needs more than text"),
        ("Summarise this PDF file for me.", "needs more than text"),
        ("请描述这张图片的内容", "needs more than text"),
        ("Explain the difference between the", "cut off"),
        ("List three cities, two rivers,", "cut off"),
        ("Explain photosynthesis (in simple words", "cut off"),
        ("请解释一下光合作用（用简单的话", "cut off"),
        ("Translate the following sentence into French:", "announces an input that is missing"),
        ("把下面的句子翻译成英文：", "announces an input that is missing"),
        ("Say hello to to to the new neighbour", "repeats itself"),
        ("What is a cat? What is a cat? What is a cat? What is a cat?", "repeats itself"),
    ],
)
def test_what_cannot_be_asked_is_rejected_with_its_reason(text: str, reason: str) -> None:
    assert rejection(text, CONFIG) == reason


@pytest.mark.parametrize(
    "text",
    [
        "Name three rivers.",
        "How do profiles and paragraphs differ?",  # "file" and "graph" only as parts of words
        "¿Qué es una estrella fugaz?",
        "「一期一会」の意味を教えてください。",
        "Is 3 > 2 (and why)?",
        "Explain, in one sentence, what a map is for.",
    ],
)
def test_what_can_be_asked_passes(text: str) -> None:
    assert rejection(text, CONFIG) is None


CHINESE = """
用三句话介绍一下你最喜欢的季节。
写一封简短的感谢信给邻居。
解释什么是复利，并举一个例子。
为一家小面馆想三个名字。
怎样才能养成早起的习惯？
把“时间就是金钱”换一种说法。
列出五种适合初学者的运动。
为什么天空在傍晚会变红？
给小学生讲讲月亮为什么有圆有缺。
比较坐火车和坐飞机的优缺点。
写一首关于雨的四行小诗。
怎样礼貌地拒绝别人的邀请？
用一百字以内总结健康饮食的要点。
推荐一道二十分钟内能做好的菜。
面试前应该做哪些准备？
讲一个关于诚实的小故事。
什么是通货膨胀？它对普通人有什么影响？
请为图书馆写一条安静提示。
""".strip().splitlines()


@pytest.mark.parametrize("text", CHINESE)
def test_chinese_instructions_are_measured_by_characters(text: str) -> None:
    assert rejection(text, CONFIG) is None
    assert rejection(text, PromptsSection(max_words=8)) == "too long"
