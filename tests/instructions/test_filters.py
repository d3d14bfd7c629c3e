from __future__ import annotations

import pytest
from pydantic import ValidationError

from judgeloop.config import PromptsSection
from judgeloop.instructions.filters import lacks_input, rejection, shipped_words
from judgeloop.text.language import language_of

CONFIG = PromptsSection()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Why?", "too short"),
        ("   ", "too short"),
        ("word " * 151, "too long"),
        ("* Name three rivers in Europe", "starts with punctuation"),
        ("→ Name three rivers in Europe", "starts with punctuation"),
        ('"Name three rivers in Europe"', "starts with punctuation"),
        ("'Name three rivers in Europe", "starts with punctuation"),
        ("Draw a cat that sits on a mat.", "needs more than text"),
        ("Describe the attached image for me.", "needs more than text"),
        ("Summarise this PDF file for me.", "needs more than text"),
        ("Which animals can you see in the following video?", "needs more than text"),
        ("Plot the sales of last year.", "needs more than text"),
        ("Explain the difference between the", "cut off"),
        ("List three cities, two rivers,", "cut off"),
        ("Explain photosynthesis (in simple words", "cut off"),
        ("Translate the following sentence into French:", "announces an input that is missing"),
        ("Say hello to to to the new neighbour", "repeats itself"),
        ("What is a cat? What is a cat? What is a cat? What is a cat?", "repeats itself"),
        ("この画像に写っているものを説明してください。", "needs more than text"),
        ("日本の四季について", "cut off"),
        ("次の文を英語に訳してください：", "announces an input that is missing"),
        ("이 사진을 보고 이야기를 써 주세요.", "needs more than text"),
        ("한국의 역사와 문화를", "cut off"),
        ("ประเทศไทย" * 40, "too long"),
    ],
)
def test_what_cannot_be_asked_is_rejected_with_its_reason(text: str, reason: str) -> None:
    assert rejection(text, CONFIG) == reason


@pytest.mark.parametrize(
    "text",
    [
        "Name three rivers.",
        "How do profiles and paragraphs differ?",  # "file" and "graph" only as parts of words
        "Is 3 > 2 (and why)?",
        "Explain, in one sentence, what a map is for.",
        "Write a file parser in Python.",
        "What is graph theory good for?",
        "Why do people go to concerts when they can hear music at home?",
        '"All that glitters is not gold" - who wrote it?',
        "¿Qué es una estrella fugaz?",
        "Wie erkläre ich einem Kind, was Audio bedeutet und wie man ein Video schneidet?",  # an English list is not its
        "Quelle image avez-vous de la France ?",
        "「一期一会」の意味を教えてください。",
        "写真の撮り方のコツを三つ教えてください。",
        "Pythonでfileを読み込む方法を説明してください。",
        "한국의 사계절을 소개해 주세요.",
        "자기소개서를 잘 쓰는 방법을 알려 주세요.",
        "Объясни, почему небо голубое.",
        "อธิบายว่าทำไมท้องฟ้าเป็นสีฟ้า",
    ],
)
def test_what_can_be_asked_passes(text: str) -> None:
    assert rejection(text, CONFIG) is None


ENGLISH = """
Explain how vaccines train the immune system.
Write a polite email that declines a wedding invitation.
Translate "Where is the nearest pharmacy?" into Spanish and French.
What is 17% of 240, and how do you work it out?
Give me three names for a bakery that only sells rye bread.
Is a tomato a fruit or a vegetable?
Classify each of these animals as mammal or bird: bat, penguin, whale, ostrich.
Write a Python function that reverses the words of a sentence.
Summarise the plot of Romeo and Juliet in two sentences.
How can I stop procrastinating while I study for exams?
Rewrite this sentence in the passive voice: The cat chased the mouse.
List five things to check before buying a used bicycle.
Why does bread rise?
Compose a haiku about the first snow of the year.
Compare renting and owning a flat for someone who moves often.
What are the pros and cons of working from home?
Suggest a three-day itinerary for Lisbon on a small budget.
Correct the grammar: "He don't know nothing about it."
A train leaves at 9:40 and arrives at 12:05; how long is the journey?
Define the word "serendipity" and use it in a sentence.
Give an example of irony from everyday life.
Write a product description for a solar-powered lantern.
What would happen if the Moon disappeared?
Explain recursion to a ten-year-old.
Tell me a joke about mathematicians.
Write a SQL query that counts orders per customer.
Sort these numbers in ascending order: 8, 3, 19, -4, 0.
How do I politely ask my neighbour to turn the volume down?
Describe the taste of a mango without the word sweet.
Which planet has the most moons, and why might that be?
Write the opening line of a mystery set in a lighthouse.
Convert 68 degrees Fahrenheit to Celsius.
Outline an essay on the causes of the French Revolution.
What is the difference between weather and climate?
Give feedback on this slogan: "Fresh today, gone tomorrow."
Create a shopping list for a vegetarian lasagne for four.
Who invented the printing press, and what did it change?
Turn these notes into a paragraph: met Anna, agreed on price, contract by Friday.
Explain the regular expression ^[a-z]+\\d{2}$ step by step.
Plan a surprise birthday for a friend who hates surprises.
""".strip().splitlines()


def test_forty_english_instructions_pass() -> None:
    assert len(ENGLISH) == 40
    assert {text: rejection(text, CONFIG) for text in ENGLISH} == dict.fromkeys(ENGLISH)
    assert {language_of(text) for text in ENGLISH} == {"en"}


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Explain photosynthesis", "en"),
        ("解释光合作用。", "zh"),
        ("用Python写一个REST API的client", "zh"),  # begins in Han
        ("Python里的列表是什么？", "zh"),
        ("Translate 你好 into English.", "en"),
        ("What does “人工智能正在改变世界” mean in English?", "en"),
        ("「我爱你」 in Japanese?", "en"),
        ("「我爱你」", "zh"),
        ("我爱你用日语怎么说？「愛してる」对吗？", "zh"),
        ("東京の人口を教えて。", "ja"),
        ("서울의 인구는 얼마인가요?", "ko"),
        ("大韓民國의 수도를 알려 주세요", "ko"),
        ("Quelle est la capitale du Pérou ?", "other"),
        ("Wie heißt die Hauptstadt von Peru?", "other"),
        ("Что такое фотосинтез?", "other"),
        ("เมืองหลวงของไทยคืออะไร", "other"),
        ("12 + 30 = ?", "other"),
        ("", "other"),
    ],
)
def test_the_frame_decides_the_language(text: str, language: str) -> None:
    assert language_of(text) == language


def test_words_and_characters_have_bounds_of_their_own() -> None:
    assert rejection("Sing a song now", PromptsSection(min_words=5, min_characters=1)) == "too short"
    assert rejection("给我唱首歌", PromptsSection(min_words=50, min_characters=5)) is None
    assert rejection("给我唱首歌", PromptsSection(min_words=1, min_characters=6)) == "too short"
    assert rejection("给我唱首歌", PromptsSection(max_characters=4)) == "too long"
    assert rejection("给我唱首歌", PromptsSection(max_words=4)) is None
    # A word of another script counts as one.
    assert rejection("用TensorFlow写程序", PromptsSection(min_characters=5, max_characters=5)) is None


@pytest.mark.parametrize(
    ("words", "text", "hit"),
    [
        (("file",), "Write a file parser in Python.", True),
        (("file",), "Describe your profile on dating sites.", False),
        (("file",), "用Python打开一个file然后读取内容。", True),  # one's own words hold in every language
        (("attach*",), "Find the attachment points of a tent.", True),
        (("attach*",), "Is the detachment of a retina painful?", False),
        (("my * file",), "What is in my old text file?", True),
        (("my * file",), "What is in my very old text file?", False),
        (("红*绿",), "红灯和绿灯分别代表什么？", True),
        (("红*绿",), "红色。绿色。你选哪个？", False),
        ((), "Draw the attached image.", False),
        (("GO TO",), "Where would you\ngo  to in May?", True),
        (("c++",), "Explain pointers in C++ please", True),
    ],
)
def test_own_blocked_words_replace_the_shipped_ones(words: tuple[str, ...], text: str, hit: bool) -> None:
    assert rejection(text, PromptsSection(blocked_words=words)) == ("needs more than text" if hit else None)


def test_each_language_has_its_list_and_the_rest_none() -> None:
    shipped = {language: shipped_words(language) for language in ("en", "zh", "ja", "ko")}
    assert all(len(words) >= 20 and len(set(words)) == len(words) for words in shipped.values())
    assert {"image", "draw", "flowchart"} <= set(shipped["en"])
    assert "图片" in shipped["zh"]
    assert shipped_words("other") == ()


@pytest.mark.parametrize("word", ["", "*", " ", "…"])
def test_a_blocked_word_that_matches_anything_is_refused(word: str) -> None:
    with pytest.raises(ValidationError, match="blocked word without letters"):
        PromptsSection(blocked_words=("ok", word))


def test_an_instruction_with_an_input_may_announce_it() -> None:
    assert rejection("Translate the following sentence into French:", CONFIG, has_input=True) is None
    assert rejection("把下面的句子翻译成英文：", CONFIG, has_input=True) is None


@pytest.mark.parametrize(
    ("text", "lacking"),
    [
        ("Translate the following sentence into French:", True),
        ("Correct the mistakes in the following sentence.", True),
        ("Summarise this article in two lines.", True),
        ("Find the odd one out among the given words.", True),
        ("Answer the question below.", True),
        ("Answer the following question: Why is the sky blue?", False),
        ('Use the following words in a story: "fox", "moon".', False),
        ("Translate the following words.\ncat\ndog", False),
        ("Given a list of numbers, write a function that sorts it.", False),
        ("Why does the night follow the day?", False),
        ("把下面的句子翻译成英文。", True),
        ("请总结这段话的主要内容", True),
        ("请回答以下问题", True),
        ("翻译下面的句子：今天天气很好。", False),
        ("用五十字以下介绍长城。", False),
        ("给3岁以下的孩子讲一个故事。", False),
        ("以下の文を要約してください。", True),
        ("다음 문장을 영어로 번역하세요.", True),
        ("Traduis la phrase suivante.", False),  # no rule for this language
    ],
)
def test_material_that_is_spoken_of_and_missing_is_seen(text: str, lacking: bool) -> None:
    assert lacks_input(text) is lacking
