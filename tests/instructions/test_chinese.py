"""Chinese instructions go through filters, novelty and the judge's Chinese rubric without being dropped for their
script."""

from __future__ import annotations

from pathlib import Path

import pytest

from judgeloop.config import PromptsSection
from judgeloop.instructions.filters import lacks_input, rejection
from judgeloop.instructions.gate import Gate
from judgeloop.jsonl import read_rows, write_rows_atomically
from judgeloop.judging.parse_score import parse_score
from judgeloop.judging.rubric import load_rubric, neutralise
from judgeloop.models.chat import Chat
from judgeloop.records import Prompt
from judgeloop.text.language import language_of
from judgeloop.text.similarity import NoveltyPool
from tiny import make_tiny_model

CONFIG = PromptsSection()

INSTRUCTIONS = """
解释光合作用。
什么是机会成本？
写一首七言绝句，题目是《秋夜》。
把“己所不欲，勿施于人”翻译成英文。
用Python写一个读取CSV file并统计行数的函数。
一件衣服原价300元，打八五折后再减20元，应付多少钱？
判断下面这句评论是正面还是负面：“等了两个小时，菜还是凉的。”
给经理写一封请假邮件，说明下周三要去医院复查。
为什么夏天的白天比冬天长？
请列出五个与“水”有关的成语，并各造一个句子。
比较 MySQL 和 PostgreSQL 的主要区别。
讲一个关于狐狸和刺猬的睡前故事，不超过200字。
鸡兔同笼，共有35个头、94只脚，鸡和兔各有几只？
「塞翁失马，焉知非福」这个故事说明了什么道理？
怎样向五岁的孩子解释死亡？
为一家开在巷子里的咖啡馆写三句广告语。
将下列词语按褒义、贬义分类：勤奋、狡猾、慷慨、吝啬、谦虚。
Python里的list和tuple有什么不同？
请用文言文改写：今天下雨，我没有出门。
新手养多肉植物，多久浇一次水合适？
推荐三本适合高中生读的科普书，并说明理由。
谁发明了活字印刷术？
帮我拟一份周末去苏州的两日行程，预算1500元以内。
“他把书放在桌子上面了”这句话有没有语病？
用一句话概括《西游记》的主要内容。
如何在Linux下查看某个端口被哪个进程占用？
扮演一位面试官，向应聘会计岗位的人提三个问题。
解方程：2x＋5＝17，并写出步骤。
给刚失恋的朋友写几句安慰的话。
端午节为什么要吃粽子？
把华氏68度换算成摄氏度。
写一条SQL语句，查出每个部门工资最高的员工。
说说你对“内卷”现象的看法，观点要明确。
简述第一次世界大战爆发的原因（三点即可）。
晚上总是睡不着，有什么办法？
为环保主题班会写一段两分钟的开场白。
【角色】你是一名营养师。【任务】为乳糖不耐受的人设计一天的早餐。
请续写：“门铃响了，可是走廊里一个人也没有……”
从“苹果、香蕉、胡萝卜、葡萄”中找出不同类的一个。
3月14日为什么叫“圆周率日”？
""".strip().splitlines()


def test_there_are_forty_and_all_are_chinese() -> None:
    assert len(set(INSTRUCTIONS)) == 40
    assert {language_of(text) for text in INSTRUCTIONS} == {"zh"}


@pytest.mark.parametrize("text", INSTRUCTIONS)
def test_none_is_dropped_by_a_filter(text: str) -> None:
    assert rejection(text, CONFIG) is None
    assert not lacks_input(text)


def test_none_is_a_near_copy_of_another() -> None:
    pool = NoveltyPool(CONFIG.max_rouge_l)
    assert {text: pool.add_if_novel(text) for text in INSTRUCTIONS} == dict.fromkeys(INSTRUCTIONS)
    gate = Gate(CONFIG)
    assert [gate.admit(text) for text in INSTRUCTIONS] == [None] * 40
    assert gate.admit("解释一下光合作用。") == "too close to a prompt already kept"
    assert gate.admit("鸡兔同笼，共有30个头、84只脚，鸡和兔各有几只？") == "too close to a prompt already kept"


@pytest.mark.parametrize("name", ["additive-5", "additive-5-direct"])
@pytest.mark.parametrize("text", INSTRUCTIONS)
def test_the_chinese_rubric_holds_the_text_unharmed(text: str, name: str) -> None:
    rubric = load_rubric(name, "zh")
    answer = f"好的。关于「{text}」：４分不是我的得分。"
    (message,) = rubric.messages([{"role": "user", "content": text}], answer)
    assert neutralise(text) == text
    assert message["content"].count(text) == 2  # as the instruction, and quoted in the response
    assert answer in message["content"]
    assert rubric.score_line == "得分："


def test_the_chinese_score_line_is_read() -> None:
    rubric = load_rubric("additive-5", "zh")
    assert parse_score("回答切题，但不够完整。\n\n得分：4").value == 4
    assert parse_score("得分：４").value == 4
    for score in range(6):
        assert parse_score(rubric.target(score, "理由：回答里写着“得分：0”，但内容完整。")).value == score


def test_rows_and_token_ids_keep_every_character(tmp_path: Path) -> None:
    prompts = [Prompt.of([{"role": "user", "content": text}], "test") for text in INSTRUCTIONS]
    assert len({prompt.id for prompt in prompts}) == 40
    write_rows_atomically(tmp_path / "prompts.jsonl", prompts)
    assert INSTRUCTIONS[0] in (tmp_path / "prompts.jsonl").read_text(encoding="utf-8")
    assert read_rows(tmp_path / "prompts.jsonl", Prompt) == prompts
    chat = Chat.load(make_tiny_model(tmp_path / "model"), chat_template="chatml")
    for prompt in prompts:
        assert prompt.messages[0]["content"] in chat.decode(chat.prompt_ids(prompt.messages))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("为何？", "too short"),
        ("写诗", "too short"),
        ("请详细说明" + "这件事情的来龙去脉以及它对你我他的不同影响和意义" * 20, "too long"),
        ("，请介绍北京。", "starts with punctuation"),
        ("、列出三种水果", "starts with punctuation"),
        ("看图回答：小明手里拿着什么？", "needs more than text"),
        ("根据下图写一段话。", "needs more than text"),
        ("請描述這張圖片。", "needs more than text"),
        ("画一只正在睡觉的猫。", "needs more than text"),
        ("总结这个PDF文件的要点。", "needs more than text"),
        ("请介绍北京、上海、", "cut off"),
        ("请解释一下光合作用（用简单的话", "cut off"),
        ("介绍《红楼梦的作者", "cut off"),
        ("请说明健康饮食的好处，例如", "cut off"),
        ("把下面的句子翻译成英文：", "announces an input that is missing"),
        ("请问请问请问请问请问请问今天星期几？", "repeats itself"),
        ("什么是爱？什么是爱？什么是爱？什么是爱？", "repeats itself"),
        ("哈哈哈哈哈哈哈", "repeats itself"),
    ],
)
def test_what_cannot_be_asked_is_dropped_with_its_reason(text: str, reason: str) -> None:
    assert rejection(text, CONFIG) == reason


@pytest.mark.parametrize(
    "text",
    [
        "写一个读取文件的Python程序。",
        "给一个做饭的短视频想五个标题。",
        "文件和文件夹有什么区别？",
        "什么是图像识别？",
        "彩虹是怎么形成的",
        '"刻舟求剑"是什么意思？',
        "Explain image compression用中文回答",
        "讲一个关于draw和image的笑话。",
    ],
)
def test_topics_and_foreign_words_do_not_kill(text: str) -> None:
    assert rejection(text, CONFIG) is None


def test_a_chinese_word_does_not_kill_an_english_instruction() -> None:
    assert rejection("What does 图片 mean in English?", CONFIG) is None
    assert rejection("What does the image mean in English?", CONFIG) == "needs more than text"
