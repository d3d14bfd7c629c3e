"""Chat templates of the shapes that published models have: what is trained is what is generated, no word is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from judgeloop.errors import InputError
from judgeloop.models.chat import Chat
from judgeloop.models.check_rows import check_rows
from judgeloop.models.template import CHATML
from judgeloop.models.words import PlainTokens
from judgeloop.records import Message
from tiny import write_tokenizer

ASKED: list[Message] = [{"role": "user", "content": "Name a colour."}]
CONVERSATION: list[Message] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello there."},
    {"role": "assistant", "content": "Good day."},
    *ASKED,
]
ZEPHYR = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
PARTS = CHATML.replace(
    "message['content'] + '<|im_end|>\\n' }}",
    "'' }}{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ '<|im_end|>\\n' }}",
)
PHI = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}"
)
NO_THINK = (
    "{% set on = enable_thinking | default(true) and '/no_think' not in messages[0]['content'] %}"
    + CHATML.partition("{% if add")[0]
    + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}"
    + "{% if not on %}{{ '\n</think>\n\n' }}{% endif %}{% endif %}"
)
ONLY_WORDS = NO_THINK.replace("enable_thinking | default(true) and ", "")
BUDGET = (
    "{% for m in messages %}{{ '<s>' + m['role'] + '\n' + m['content'] + '</s>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<s>assistant\n' }}"
    "{% if thinking_budget is defined and thinking_budget == 0 %}{{ '<seed:think>None.</seed:think>' }}{% endif %}"
    "{% endif %}"
)
USER_LAST = "{% if messages[-1]['role'] != 'user' %}{{ raise_exception('a user must be last') }}{% endif %}" + CHATML
SPACE = (
    "{{ bos_token }}{% for m in messages %}{{ m['role'] + ': ' + m['content'] + eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
LAST_USER = (  # Mistral Small 4 before the last user's words, Hunyuan and GLM 4.5 within that turn
    "{% for m in messages %}{% set last = loop.last and m['role'] == 'user' %}{{ '[SET]none[/SET]' if last else '' }}"
    "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + (' /no_think' if last else '') + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LAST_ALONE = (
    "{{ '<|im_start|>user\n' + (messages | selectattr('role', 'equalto', 'user') | list | last)['content'] }}"
    "{{ '<|im_end|>\n<|im_start|>assistant\n' }}"
    "{% if messages[-1]['role'] == 'assistant' %}{{ messages[-1]['content'] + '<|im_end|>\n' }}{% endif %}"
)


def chat_of(template: str, folder: Path, eos: str = "<|im_end|>", tokens: tuple[str, ...] = (), **options: Any) -> Chat:
    known = ("<|assistant|>", "<|end|>", "<|user|>", "<|im_start|>", *tokens)
    write_tokenizer(folder, template, eos=eos, tokens=known)
    chat = Chat.load(folder, **options)
    assert chat.check() == []
    return chat


def shown(chat: Chat, ids: list[int]) -> str:
    return str(chat.tokenizer.decode(ids, skip_special_tokens=False))


def put_bos_before_text(folder: Path) -> None:
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    first, text = {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
    values["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [first, text],
        "pair": [text, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}},
    }
    path.write_text(json.dumps(values), encoding="utf-8")


@pytest.mark.parametrize("named", [False, True])
def test_a_bos_that_the_tokenizer_puts_before_text_stands_before_a_conversation(named: bool, tmp_path: Path) -> None:
    folder = tmp_path / "model"  # Zephyr, TinyLlama and ChatML fine-tunes of Llama and Mistral are so
    write_tokenizer(folder, ZEPHYR)
    put_bos_before_text(folder)
    if named:
        path = folder / "tokenizer_config.json"
        templates = [{"name": "default", "template": ZEPHYR}, {"name": "rag", "template": "{{ documents }}"}]
        path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": templates}))
    chat = Chat.load(folder)
    assert chat.check() == []
    ids = chat.prompt_ids(ASKED)
    assert shown(chat, ids) == "<s><|user|>\nName a colour.</s>\n<|assistant|>\n"
    assert ids.count(0) == 1
    assert any("writes no BOS" in note for note in chat.template.notes())
    chat.tokenizer.save_pretrained(tmp_path / "trained")  # who asks the trained model by its template asks it so
    saved = Chat.load(tmp_path / "trained")
    assert saved.prompt_ids(ASKED) == ids
    assert not saved.template.starts_with_bos


def test_a_template_for_parts_loses_no_words(tmp_path: Path) -> None:
    chat = chat_of(PARTS, tmp_path)
    plain = chat_of(CHATML, tmp_path / "plain")
    assert shown(chat, chat.prompt_ids(CONVERSATION)) == shown(plain, plain.prompt_ids(CONVERSATION))
    assert shown(chat, chat.response_ids("Blue.")) == "Blue.<|im_end|>"


def test_a_template_that_writes_no_words_is_refused(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, "{% for m in messages %}{{ m['text'] }}</s>{% endfor %}")
    with pytest.raises(InputError, match="does not write what a user says"):
        Chat.load(tmp_path)


@pytest.mark.parametrize("name", ["chat_template.json", "processor_config.json"])
@pytest.mark.parametrize("content", [CHATML, [{"name": "default", "template": CHATML}]])
def test_a_template_beside_the_tokenizer_is_found(name: str, content: object, tmp_path: Path) -> None:
    write_tokenizer(tmp_path, None, eos="<|im_end|>", tokens=("<|im_start|>",))
    (tmp_path / "preprocessor_config.json").write_text("{}")
    (tmp_path / name).write_text(json.dumps({"chat_template": content}), encoding="utf-8")
    chat = Chat.load(tmp_path)
    assert shown(chat, chat.prompt_ids(ASKED)).startswith("<|im_start|>user\n")


def test_of_several_templates_without_a_default_one_that_writes_a_conversation_is_taken(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, None, eos="<|im_end|>", tokens=("<|im_start|>",))
    named = [{"name": "tool_use", "template": "{{ tools[0] }}"}, {"name": "chat", "template": CHATML}]
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": named}), encoding="utf-8")
    assert Chat.load(tmp_path).template.source == CHATML


def test_what_ends_a_conversation_alone_is_not_of_the_turn(tmp_path: Path) -> None:
    chat = chat_of(PHI, tmp_path, eos="<|endoftext|>")
    assert shown(chat, chat.response_ids("Blue.")) == "Blue.<|end|>"
    assert [shown(chat, [token]) for token in chat.end_ids] == ["<|end|>", "<|endoftext|>"]


def test_a_date_in_a_form_of_the_templates_own_is_frozen(tmp_path: Path) -> None:
    dated = "{% set form = '%d %b %Y' %}{{ strftime_now(form) + '\n' }}" + CHATML
    chat = chat_of(dated, tmp_path, date="2031-02-03")
    assert shown(chat, chat.prompt_ids(ASKED)).startswith("03 Feb 2031\n")
    assert chat.template.writes_date


@pytest.mark.parametrize(
    ("template", "eos", "end"),
    [(NO_THINK, "<|im_end|>", "<think>\n\n</think>\n\n"), (BUDGET, "</s>", "<seed:think>None.</seed:think>")],
)
def test_a_thought_that_the_prompt_closes_and_conversations_leave_out(
    template: str, eos: str, end: str, tmp_path: Path
) -> None:
    chat = chat_of(template, tmp_path, eos=eos)
    assert not chat.thinks
    assert chat.template.can_switch_off
    assert shown(chat, chat.prompt_ids(ASKED)).endswith(end)
    assert shown(chat, chat.response_ids("Blue.")) == f"Blue.{eos}"


def test_a_system_prompt_may_switch_thinking_and_a_rows_words_may_not(tmp_path: Path) -> None:
    chat = chat_of(ONLY_WORDS, tmp_path, system_prompt="/no_think")
    assert not chat.thinks
    assert shown(chat, chat.prompt_ids(ASKED)).endswith("</think>\n\n")
    assert shown(chat, chat.response_ids("Blue.")) == "Blue.<|im_end|>"
    thinking = chat_of(ONLY_WORDS, tmp_path)
    assert thinking.thinks
    rows: list[tuple[str, list[Message], str]] = [
        ("a", ASKED, "Blue."),
        ("b", [{"role": "user", "content": "Why /no_think?"}], "So."),
    ]
    found = check_rows(thinking, rows)
    assert list(found.usable) == ["a"]
    assert "change whether its chat template opens a thought" in found.left_out["b"]


def test_a_template_that_wants_a_user_last(tmp_path: Path) -> None:
    chat = chat_of(USER_LAST, tmp_path)
    assert shown(chat, chat.response_ids("Blue.")) == "Blue.<|im_end|>"


def test_a_space_before_the_answer_belongs_to_its_first_token(tmp_path: Path) -> None:
    chat = chat_of(SPACE, tmp_path, eos="</s>")
    prompt, response = chat.prompt_ids(ASKED), chat.response_ids("The sky")
    assert shown(chat, prompt).endswith("\nassistant:")
    assert shown(chat, response) == " The sky</s>"
    whole = chat.text_ids("<s>user: Name a colour.</s>\nassistant: The sky</s>")
    assert whole == [*prompt, *response]


def test_turns_that_a_template_leaves_out_are_said(tmp_path: Path) -> None:
    assert any("does not write the turns before the last" in n for n in chat_of(LAST_ALONE, tmp_path).template.notes())
    assert chat_of(CHATML, tmp_path / "all").template.notes() == []


def test_a_tokenizer_set_to_spell_control_tokens_writes_the_templates_own(tmp_path: Path) -> None:
    expected = chat_of(CHATML, tmp_path).prompt_ids(ASKED)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "split_special_tokens": True}))
    assert Chat.load(tmp_path).prompt_ids(ASKED) == expected


def test_the_configs_end_tokens_count_where_there_is_no_generation_config(tmp_path: Path) -> None:
    chat_of(CHATML, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": [1, 4], "vocab_size": 10_000}))
    assert Chat.load(tmp_path).end_ids == (1, 4)


def test_a_padding_token_without_a_row_in_the_weights_is_not_used(tmp_path: Path) -> None:
    chat = chat_of(CHATML, tmp_path)
    rows = len(chat.tokenizer)
    chat.tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    assert Chat(chat.tokenizer, rows=rows).pad_id == chat.tokenizer.eos_token_id
    assert Chat(chat.tokenizer, rows=rows + 1).pad_id == rows


def test_a_token_that_the_template_writes_and_the_weights_do_not_know(tmp_path: Path) -> None:
    chat = chat_of(ZEPHYR, tmp_path, eos="</s>")
    rows = len(chat.tokenizer)
    chat.tokenizer.add_special_tokens({"eos_token": "<|eot|>"})
    (problem,) = Chat(chat.tokenizer, rows=rows).check()
    assert f"writes '<|eot|>' (token {rows}), and the weights know {rows} tokens" in problem


def test_words_are_counted_whole_whatever_a_training_left_in_the_tokenizer(tmp_path: Path) -> None:
    chat = chat_of(CHATML, tmp_path)
    text = "The capital of France is Paris, a city on the Seine."
    chat.tokenizer.backend_tokenizer.enable_truncation(4)
    chat.tokenizer.backend_tokenizer.enable_padding(length=64)
    chat.tokenizer.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert len(PlainTokens(tmp_path).response_ids(text)) == len(chat.text_ids(text)) + 1


def test_what_is_written_for_the_last_user_alone_is_no_other_opening(tmp_path: Path) -> None:
    chat = chat_of(LAST_USER, tmp_path, tokens=("[SET]", "[/SET]"))
    asked = "[SET]none[/SET]<|im_start|>user\nName a colour. /no_think<|im_end|>\n<|im_start|>assistant\n"
    assert shown(chat, chat.prompt_ids(ASKED)) == asked
    assert shown(chat, chat.response_ids("Blue.")) == "Blue.<|im_end|>"
    write_tokenizer(tmp_path / "bot", LAST_USER.replace("assistant\n' }}", "bot\n' }}"), eos="<|im_end|>")
    assert any("opens the assistant's turn" in problem for problem in Chat.load(tmp_path / "bot").check())


@pytest.mark.parametrize(
    ("condition", "thinks"),
    [
        ("reasoning_effort is not defined or reasoning_effort != 'none'", False),
        ("enable_reasoning is not defined or enable_reasoning", False),
        ("not skip_thinking", False),
        ("thinking_mode | default('think') != 'no_think'", False),
        ("(thinking | default('enabled')) == 'enabled'", False),
        ("messages[-1].thinking_mode is not defined", True),  # no variable
        ("reasoning_effort is not defined or reasoning_effort not in ['low', 'no_think']", False),
        ("thinking_mode is not defined or thinking_mode == 'thinking'", False),
        ("thinking_option|default('on') != 'off'", False),
        ("not (disable_thinking | default(false))", False),
        ("think is not defined or think", False),
        ("reasoning_effort != 'low' or reasoning_effort == 'low'", True),  # a word that changes nothing
    ],
)
def test_thinking_is_switched_by_whatever_name_the_template_has_for_it(
    condition: str, thinks: bool, tmp_path: Path
) -> None:
    opened = f"<|im_start|>assistant\\n' }}}}{{% if {condition} %}}{{{{ '<think>\\n' }}}}{{% endif %}}"
    chat = chat_of(CHATML.replace("<|im_start|>assistant\n' }}", opened.replace("\\n", "\n")), tmp_path)
    assert (chat.thinks, chat.template.can_switch_off) == (thinks, not thinks)


@pytest.mark.parametrize(
    ("default", "given"),
    [
        ("no_think", {"effort": "high"}),
        ("high", {}),  # nothing where it thinks as it is
    ],
)
def test_thinking_on_is_the_value_that_opens_a_thought(default: str, given: dict[str, str], tmp_path: Path) -> None:
    head = f"{{% if effort is not defined %}}{{% set effort = {default!r} %}}{{% endif %}}"
    head += "{% if effort not in ['no_think', 'high'] %}{{ raise_exception('which?') }}{% endif %}"
    thought = "{% if effort == 'no_think' %}{{ '<think>\n\n</think>\n\n' }}{% else %}{{ '<think>\n' }}{% endif %}"
    template = head + CHATML.replace("assistant\n' }}", f"assistant\n' }}}}{thought}")
    chat = chat_of(template, tmp_path, thinking="on")
    assert chat.template.turn.variables == given
    assert shown(chat, chat.prompt_ids(ASKED)).endswith("assistant\n<think>\n")
    assert shown(Chat.load(tmp_path), Chat.load(tmp_path).prompt_ids(ASKED)).endswith("\n</think>\n\n")


@pytest.mark.parametrize(
    ("text", "mentioned", "thought"),
    [
        ("[THINK]Sky.[/THINK]Blue.", "", "Sky."),  # Magistral: its marks are control tokens
        ("<|inner_prefix|>Sky.<|inner_suffix|>Blue.", "", "Sky."),
        ("<reasoning>Sky.</reasoning>Blue.", "{# </reasoning> #}", "Sky."),  # Reka Flash: tags that its template drops
        ("<reasoning>Sky.</reasoning>Blue.", "", None),
    ],
)
def test_a_thought_of_its_own_is_split_off_a_model_that_is_not_asked_for_one(
    text: str, mentioned: str, thought: str | None, tmp_path: Path
) -> None:
    marks = ("[THINK]", "[/THINK]", "<|inner_prefix|>", "<|inner_suffix|>")
    chat = chat_of(CHATML + mentioned, tmp_path, tokens=marks)
    assert not chat.thinks
    ids = [*chat.text_ids(text), *chat.close_ids]
    assert chat.spoken(ids, chat.decode(ids)) == (thought, "Blue." if thought else text)


def test_a_word_that_pads_is_a_word(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, CHATML, eos="<|im_end|>")
    expected = Chat.load(tmp_path).words_ids("Blue! Blue!!")
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "pad_token": "!"}))
    chat = Chat.load(tmp_path)
    assert chat.check() == []
    assert "!" not in chat.control_tokens
    assert chat.words_ids("Blue! Blue!!") == expected
    assert chat.decode(expected) == "Blue! Blue!!"
