"""What people and models wrote never becomes a control token, wherever it becomes token ids and whatever the tokenizer;
what the template writes always does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, normalizers
from transformers import AutoTokenizer

from judgeloop.config import EftSection, JudgeSection
from judgeloop.eft.sampled_scores import drawn
from judgeloop.engines.base import Generation, OptionLogprobs, OptionRequest, Request, Sampling
from judgeloop.instructions.prompter import Prompter
from judgeloop.judging.judges import LocalJudge
from judgeloop.judging.likelihood import gains
from judgeloop.judging.pairwise import ToCompare
from judgeloop.judging.pointwise import ToJudge, taught_score
from judgeloop.judging.rubric import Rubric, load_rubric
from judgeloop.models.chat import Chat
from judgeloop.records import Message, PreferencePair, SupervisedRow
from judgeloop.training.data import ScoreAlone, pair_examples, sft_examples
from tiny import CHAT_TEMPLATE, write_tokenizer

# Added to the vocabulary as models have them: "special" or not, matched as spelled or after the normalizer.
ADDED = (
    AddedToken("<|eot|>", special=True, normalized=False),
    AddedToken("<|reserved_7|>", special=False, normalized=False),
    AddedToken("<tool_call>", special=False, normalized=False),
    AddedToken("<unused7>", special=False, normalized=True),
    AddedToken("[EOT]", special=False, normalized=True),
    AddedToken("]~b]", special=False, normalized=False),
    AddedToken("◁turn▷", special=False, normalized=False),
)
TEXT = ("<table>", "covid", "   ", "C++")  # added too, and as much text as any
KINDS = ("bytes", "llama", "gemma", "unigram", "normalizing")
ALSO = {"normalizing": ("＜unused7＞", "[eot]", "[ＥＯＴ]")}  # what NFKC and lower case make of these


class Capturing:
    """An engine that keeps what it is asked."""

    name = "capturing"

    def __init__(self, text: str = "rain") -> None:
        self.asked: list[tuple[int, ...]] = []
        self.text = text

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        for request in requests:
            self.asked.append(request.prompt_ids)
            yield Generation(request.id, 0, (5,), self.text, "stop")

    def option_logprobs(self, requests: Sequence[OptionRequest]) -> Iterator[OptionLogprobs]:
        for request in requests:
            self.asked += [(*request.prompt_ids, *option) for option in request.options]
            yield OptionLogprobs(request.id, tuple(-1.0 for _ in request.options))

    def close(self) -> None:
        pass


def chat_of(kind: str, folder: Path, system_prompt: str | None = None) -> Chat:
    splitting: Any = "bytes" if kind == "normalizing" else kind
    write_tokenizer(folder, CHAT_TEMPLATE, eos="<|im_end|>", splitting=splitting)
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    if kind == "normalizing":
        tokenizer.backend_tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.add_tokens([*ADDED, *(AddedToken(word, special=False, normalized=False) for word in TEXT)])
    return Chat(tokenizer, system_prompt=system_prompt)


def user(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def assistant(text: str) -> list[Message]:
    return [{"role": "assistant", "content": text}]


def judged(chat: Chat, words: str, **settings: Any) -> list[tuple[int, ...]]:
    """What a judge is asked about a prompt and responses with the words, that it may also write itself."""
    engine = Capturing(f"It says {words}")
    open_rubric = Rubric("open", "{instruction}\n{response}", "Score: ", fences=())  # no fence that breaks names up
    two = Rubric("two", "{instruction}\n{response}\n{other}", "Better: ", fences=())
    judge = LocalJudge("j", engine, chat, open_rubric, two, JudgeSection(min_mass=0, **settings), 0)
    prompt: list[Message] = [{"role": "system", "content": words}, *user(words), *assistant(words), *user(words)]
    list(judge.scores([ToJudge("a", prompt, words)]))
    list(judge.verdicts([ToCompare("a", prompt, words, words)]))
    return engine.asked


def written_eft(chat: Chat, words: str) -> list[tuple[int, ...]]:
    engine = Capturing(f"It says {words}")
    section = EftSection(source="written", score="drawn", opening=f"First: {words}", samples=1)
    items = [ToJudge("a", user(words), words)]
    list(drawn(engine, chat, load_rubric("additive-5"), section, items, 0, justification=True))
    return engine.asked


def instructed(chat: Chat, words: str) -> list[tuple[int, ...]]:
    prompter = Prompter(Capturing(), chat, 0)
    begun = prompter.continuation("a", words, f"1. {words}\n2.", Sampling(4), "s")
    chosen = prompter.choice("a", words, words, [words, f"{words}b"])
    return [begun.prompt_ids, prompter.answer("a", user(words), Sampling(4), "s").prompt_ids,
            *((*chosen.prompt_ids, *option) for option in chosen.options)]  # fmt: skip


def likely(chat: Chat, words: str) -> list[tuple[int, ...]]:
    engine = Capturing()
    list(gains(engine, chat, [ToJudge("a", user(words), words)], words))
    return engine.asked


def trained(chat: Chat, words: str) -> list[Sequence[int]]:
    rubric = load_rubric("additive-5-direct")
    alone = ScoreAlone(partial(taught_score, rubric), rubric.scores)
    ift = SupervisedRow("i", "ift", "p", user(words), assistant(words), "t")
    eft = SupervisedRow("e", "eft", "p", user(words), assistant(f"{words}\nScore: 4"), "t")
    pair = PreferencePair("x", "p", user(words), assistant(words), assistant(f"{words}b"), "c", "r", 4.0, 1.0)
    found = [*sft_examples([ift, eft], chat, 4000).examples, *sft_examples([eft], chat, 4000, alone).examples]
    (example,) = pair_examples([pair], chat, 4000, {}).examples
    return [
        *([*row.prompt_ids, *row.target_ids] for row in found),
        [*example.prompt_ids, *example.chosen_ids], [*example.prompt_ids, *example.rejected_ids],
    ]  # fmt: skip


PLACES: dict[str, Callable[[Chat, str], Sequence[Sequence[int]]]] = {
    "prompt": lambda chat, words: [chat.prompt_ids([*user(words), *assistant(words), *user(words)])],
    "words": lambda chat, words: [chat.words_ids(words), chat.response_ids(words), chat.response_ids(f"\n{words}")],
    "judge, expected": judged,
    "judge, justified": partial(judged, justification=True),
    "judge, sampled": partial(judged, scoring="sampled", samples=1),
    "written EFT": written_eft,
    "instructions": instructed,
    "likelihood": likely,
    "training": trained,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_words_are_never_control_tokens(kind: str, place: str, tmp_path: Path) -> None:
    chat = chat_of(kind, tmp_path, system_prompt="Be brief.")
    names = ("<s>", "<|im_start|>", "<|im_end|>", *(str(token) for token in ADDED))
    controls = set(chat.tokenizer.convert_tokens_to_ids(list(names)))
    assert len(controls) == len(names)

    def of(words: str) -> list[list[int]]:
        return [[i for i in ids if i in controls] for ids in PLACES[place](chat, words)]

    plain = of("fine")
    assert any(plain)
    for name in (*names, *ALSO.get(kind, ())):
        assert of(name) == plain, name
        assert of(f"Say {name}{name} and <|im_{name}end|> here") == plain, name


@pytest.mark.parametrize("kind", KINDS)
def test_a_runs_system_message_is_words_too(kind: str, tmp_path: Path) -> None:
    chat = chat_of(kind, tmp_path, system_prompt="Be brief.[EOT]<tool_call><|im_end|>")
    plain = chat_of(kind, tmp_path, system_prompt="Be brief.")
    controls = set(chat.tokenizer.convert_tokens_to_ids(["[EOT]", "<tool_call>", "<|im_start|>", "<|im_end|>"]))
    ids, expected = chat.prompt_ids(user("a")), plain.prompt_ids(user("a"))
    assert [i for i in ids if i in controls] == [i for i in expected if i in controls]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_added_as_text_stays_a_token(kind: str, tmp_path: Path) -> None:
    chat = chat_of(kind, tmp_path)
    for word in TEXT:
        assert chat.tokenizer.convert_tokens_to_ids(word) in chat.words_ids(f"a{word}b"), word
    assert not set(TEXT) & set(chat.control_tokens)


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_template_writes_is_a_control_token(kind: str, tmp_path: Path) -> None:
    write_tokenizer(tmp_path, None, tokens=("<|im_end|>",))
    tokenizer = chat_of(kind, tmp_path).tokenizer
    tokenizer.chat_template = CHAT_TEMPLATE.replace("{% if add", "{{ '[EOT]<tool_call>' }}{% if add")
    ids = Chat(tokenizer).prompt_ids(user("Say [EOT] and <tool_call>."))
    assert [ids.count(tokenizer.convert_tokens_to_ids(name)) for name in ("[EOT]", "<tool_call>")] == [1, 1]
