"""Every chat template that TRL ships, with a tokenizer made by code."""

from __future__ import annotations

from pathlib import Path

import pytest
import trl

from judgeloop.errors import InputError
from judgeloop.judging.score_distribution import answer_options
from judgeloop.models.chat import Chat
from judgeloop.records import Message
from judgeloop.training.data import score_places
from tiny import make_tiny_model, write_tokenizer

FOLDER = Path(trl.__file__).parent / "chat_templates"
TEMPLATES = {path.stem: path for path in sorted(FOLDER.glob("*.jinja"))}
EOS = {
    "qwen": "<|im_end|>",
    "lfm": "<|im_end|>",
    "nemotron": "<|im_end|>",
    "llama3": "<|eot_id|>",
    "gptoss": "<|return|>",
}
EOS |= {"smolvlm": "<end_of_utterance>", "idefics3": "<end_of_utterance>"}
EOS |= {"cohere": "<|END_OF_TURN_TOKEN|>", "deepseek": "<｜end▁of▁sentence｜>", "muse": "<|eot|>"}
ASKED: list[Message] = [{"role": "user", "content": "Name a colour."}]
ANSWERED: list[Message] = [*ASKED, {"role": "assistant", "content": "Blue."}]


def chat_of(name: str, folder: Path, **options: object) -> Chat:
    eos = next((token for family, token in EOS.items() if name.startswith(family)), "</s>")
    write_tokenizer(folder / name, TEMPLATES[name].read_text(encoding="utf-8"), eos=eos)
    return Chat.load(folder / name, **options)  # type: ignore[arg-type]


def shown(chat: Chat, ids: list[int]) -> str:
    return str(chat.tokenizer.decode(ids, skip_special_tokens=False))


def test_there_are_templates() -> None:
    assert len(TEMPLATES) >= 53


@pytest.mark.parametrize("thinking", ["auto", "on", "off"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_it_passes(name: str, thinking: str, tmp_path: Path) -> None:
    if thinking == "on" and name.startswith("muse"):  # thoughts are turns of their own
        with pytest.raises(InputError, match=r"how its chat template marks a thought .* is not known here"):
            chat_of(name, tmp_path, thinking=thinking)
        return
    chat = chat_of(name, tmp_path, thinking=thinking)
    assert chat.check() == []
    assert chat.thinks == (thinking == "on" or (thinking == "auto" and name.startswith("deepseek")))
    prompt, response = chat.prompt_ids(ASKED), chat.response_ids("Blue.")
    assert shown(chat, prompt).startswith(shown(chat, chat.text_ids(chat.template.render(ASKED, generation=True))))
    assert response[-1] in chat.end_ids
    if not chat.thinks and not name.startswith(("deepseek", "glm")):  # these two write no turn like this themselves
        written = chat.text_ids(chat.template.render(ANSWERED, generation=False))
        assert written[: len(prompt) + len(response)] == [*prompt, *response]
    # What is trained is read back as the answer alone, and so is a thought before it.
    assert chat.spoken(response, chat.decode(response))[1].strip() == "Blue."
    if chat.template.opens_thought:
        thought = chat.text_ids("The sky.\n</think>\n\nBlue.")
        assert chat.spoken([*thought, chat.close_id], chat.decode(thought)) == ("The sky.", "Blue.")
        unclosed = chat.text_ids("The sky")
        assert chat.spoken(unclosed, chat.decode(unclosed)) == ("The sky", "")


@pytest.mark.parametrize("name", TEMPLATES)
def test_any_conversation_is_rendered(name: str, tmp_path: Path) -> None:
    chat = chat_of(name, tmp_path)
    system: Message = {"role": "system", "content": "Be brief."}
    user: Message = {"role": "user", "content": "In one word."}
    later: Message = {"role": "system", "content": "Be kind."}
    text = shown(chat, chat.prompt_ids([system, *ANSWERED, later, user, user]))
    assert text.count("Be brief.") == text.count("Be kind.") == 1
    assert text.count("In one word.") == 2
    assert "Blue." in text


@pytest.mark.parametrize("name", TEMPLATES)
def test_control_tokens_in_words_are_words(name: str, tmp_path: Path) -> None:
    chat = chat_of(name, tmp_path)
    controls = set(chat.tokenizer.convert_tokens_to_ids(list(chat.control_tokens)))
    plain = [i for i in chat.prompt_ids(ASKED) if i in controls]
    for token in chat.control_tokens:
        asked: list[Message] = [{"role": "user", "content": f"Name {token} a colour."}]
        assert [i for i in chat.prompt_ids(asked) if i in controls] == plain, token
        assert f"Name {token} a colour." in shown(chat, chat.prompt_ids(asked))
        assert not controls & set(chat.words_ids(f"a {token} b"))


def test_a_thought_of_channels_is_split_off(tmp_path: Path) -> None:
    chat = chat_of("gptoss", tmp_path, thinking="on")
    said = "<|channel|>analysis<|message|>Think.<|end|><|start|>assistant<|channel|>final<|message|>Blue.<|return|>"
    ids = chat.text_ids(said)
    assert chat.spoken(ids, chat.decode(ids)) == ("Think.", "Blue.")
    off = chat_of("gptoss", tmp_path)
    assert shown(off, off.prompt_ids(ASKED)).endswith("<|start|>assistant<|channel|>final<|message|>")


def test_thinking_off_is_the_templates_own_way(tmp_path: Path) -> None:
    chat = chat_of("qwen3", tmp_path)
    prompt = chat.tokenizer.apply_chat_template(
        ASKED, tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    assert chat.prompt_ids(ASKED) == chat.text_ids(prompt)
    on = chat_of("qwen3", tmp_path, thinking="on")
    assert shown(on, on.prompt_ids(ASKED)).endswith("<|im_start|>assistant\n")
    assert shown(on, on.response_ids("Blue.")) == "<think>\n\n</think>\n\nBlue.<|im_end|>"
    nothink = chat_of("qwen3_5_nothink", tmp_path, thinking="on")
    assert shown(nothink, nothink.prompt_ids(ASKED)).endswith("<think>\n")


def test_a_model_that_thinks_unasked_is_not_judged_by_its_thought(tmp_path: Path) -> None:
    chat = chat_of("qwen2_5", tmp_path)
    assert chat.split("<think>hm</think>\n\nBlue.") == ("hm", "Blue.")
    assert chat.split("It is written </think> in HTML.") == (None, "It is written </think> in HTML.")


@pytest.mark.parametrize("name", ["llama3_2", "gptoss", "muse_glimmer"])
def test_the_date_is_frozen(name: str, tmp_path: Path) -> None:
    chat = chat_of(name, tmp_path, date="2031-02-03")
    text = shown(chat, chat.prompt_ids(ASKED))
    assert ("03 Feb 2031" in text) != ("2031-02-03" in text)
    assert chat.template.writes_date
    assert chat_of(name, tmp_path, date="2031-02-04").prompt_ids(ASKED) != chat.prompt_ids(ASKED)


def test_two_tokens_that_close_a_turn_are_both_trained(tmp_path: Path) -> None:
    chat = chat_of("cohere2", tmp_path)
    assert shown(chat, list(chat.close_ids)) == "<|END_RESPONSE|><|END_OF_TURN_TOKEN|>"
    assert shown(chat, [chat.end_ids[0]]) == "<|END_OF_TURN_TOKEN|>"


def test_a_system_message_that_is_refused_goes_into_the_users_turn(tmp_path: Path) -> None:
    chat = chat_of("gemma", tmp_path)
    assert any("takes no system message" in note for note in chat.template.notes())
    ids = chat.prompt_ids([{"role": "system", "content": "Be brief."}, *ASKED])
    assert "<start_of_turn>user\nBe brief.\n\nName a colour.<end_of_turn>" in shown(chat, ids)
    assert chat.template.folded == {"system": 1}
    assert Chat.load(tmp_path / "gemma", system_prompt="Be brief.").prompt_ids(ASKED) == ids


def test_a_refusal_shows_the_first_token_that_differs(tmp_path: Path) -> None:
    template = "{% for m in messages %}{{ m['role'] + ' ' + m['content'] + eos_token }}{% endfor %}"
    template += "{% if add_generation_prompt %}{{ 'assistant' }}{% endif %}"
    template = template.replace("m['role'] + ' '", "m['role'] + '…'")
    write_tokenizer(tmp_path, template.replace("{{ 'assistant' }}", "{{ 'reply' }}"))
    (problem,) = Chat.load(tmp_path).check()
    assert "with 'reply' when it asks, and writes 'assistant…judgeloop" in problem


@pytest.mark.parametrize("bos", ["<s>", None])
def test_plain_works_with_any_vocabulary(bos: str | None, tmp_path: Path) -> None:
    write_tokenizer(tmp_path, None, bos=bos)
    with pytest.raises(InputError, match="as base models have none; set chat_template: plain"):
        Chat.load(tmp_path)
    chat = Chat.load(tmp_path, chat_template="plain")
    assert chat.check() == []
    assert shown(chat, chat.prompt_ids(ASKED)) == f"{bos or ''}User:\nName a colour.\n\nAssistant:\n"
    assert shown(chat, chat.response_ids("Blue.")) == "Blue.</s>"
    whole = shown(chat, chat.prompt_ids([{"role": "system", "content": "Be brief."}, *ANSWERED, *ASKED]))
    assert whole.startswith(f"{bos or ''}System:\nBe brief.\n\nUser:\n")
    assert "Assistant:\nBlue.</s>\nUser:\n" in whole


def test_chatml_is_not_laid_over_a_vocabulary_without_its_tokens(tmp_path: Path) -> None:
    write_tokenizer(tmp_path / "base", None)
    with pytest.raises(
        InputError, match=r"no <\|im_start\|> and <\|im_end\|>.*set chat_template: plain, or chatml\+tokens"
    ):
        Chat.load(tmp_path / "base", chat_template="chatml")
    folder = make_tiny_model(tmp_path / "chatml")
    assert Chat.load(folder, chat_template="chatml").check() == []


@pytest.mark.parametrize("thinking", ["on", "off"])
def test_the_score_is_found_among_the_trained_tokens(thinking: str, tmp_path: Path) -> None:
    chat = chat_of("qwen3", tmp_path, thinking=thinking)
    ids = chat.response_ids("Good.\nScore: 4")
    (place,) = score_places("Good.\nScore: 4", (13, 14), range(6), chat)
    assert shown(chat, ids[place : place + 1]).strip() == "4"
    lead, options = answer_options(chat, "Score: ", ["3", "4"])
    assert [*lead, *options[1], chat.close_id] == chat.response_ids("Score: 4")
