from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

import judgeloop
from judgeloop.engines.base import OptionRequest, Request, Sampling
from judgeloop.engines.scripted import ScriptedEngine, read_script
from judgeloop.errors import InputError
from judgeloop.judging.parse_score import parse_score
from judgeloop.models.chat import Chat
from tiny import make_tiny_model

OPTIONS = tuple((18 + digit,) for digit in range(6))


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Chat:
    return Chat.load(make_tiny_model(tmp_path_factory.mktemp("model")))


def ask(chat: Chat, text: str, n: int = 1, tokens: int = 200) -> Request:
    ids = tuple(chat.prompt_ids([{"role": "user", "content": text}]))
    return Request("r", ids, Sampling(tokens, temperature=1.0), n)


def script(path: Path, *rules: object) -> Path:
    path.write_text("".join(json.dumps(rule) + "\n" for rule in rules), encoding="utf-8")
    return path


def test_the_first_matching_rule_replies(chat: Chat, tmp_path: Path) -> None:
    rules = script(
        tmp_path / "s.jsonl",
        {"match": "(?i)capital", "reply": ["Paris.", "Rome."]},
        {"match": "", "reply": "Whatever."},
    )
    engine = ScriptedEngine(chat, script=rules)
    found = [g.text for g in engine.generate([ask(chat, "The CAPITAL of France?", n=3)])]
    assert found == ["Paris.", "Rome.", "Paris."]
    assert [g.text for g in engine.generate([ask(chat, "Rain?")])] == ["Whatever."]


def test_replies_are_tokens_with_the_turn_closed_or_cut(chat: Chat, tmp_path: Path) -> None:
    engine = ScriptedEngine(chat, script=script(tmp_path / "s.jsonl", {"match": "", "reply": "the sea"}))
    (whole,) = engine.generate([ask(chat, "x")])
    assert list(whole.token_ids) == chat.response_ids("the sea")
    assert whole.finish_reason == "stop"
    (cut,) = engine.generate([ask(chat, "x", tokens=2)])
    assert list(cut.token_ids) == chat.response_ids("the sea")[:2]
    assert cut.finish_reason == "length"


def test_scores_are_the_rules_or_add_up_to_one(chat: Chat, tmp_path: Path) -> None:
    scores = [0, 0.1, 0.2, 0.3, 0.3, 0.1]
    engine = ScriptedEngine(chat, script=script(tmp_path / "s.jsonl", {"match": "sea", "scores": scores}))
    for text, expected in (("the sea", scores), ("rain", None)):
        request = OptionRequest("o", ask(chat, text).prompt_ids, OPTIONS)
        (result,) = engine.option_logprobs([request])
        values = [math.exp(value) for value in result.logprobs]
        assert sum(values) == pytest.approx(1)
        if expected:
            assert values == pytest.approx(expected, abs=1e-8)
    with pytest.raises(InputError, match="6 scores where 2 options"):
        list(engine.option_logprobs([OptionRequest("o", ask(chat, "sea").prompt_ids, OPTIONS[:2])]))


def test_without_a_script_judge_prompts_get_a_score(chat: Chat) -> None:
    found = list(ScriptedEngine(chat, seed=1).generate([ask(chat, "Give a score from 0 to 5.", n=12)]))
    scores = {parse_score(g.text).value for g in found}
    assert None not in scores
    assert len(scores) > 2
    other = list(ScriptedEngine(chat, seed=2).generate([ask(chat, "Give a score from 0 to 5.", n=12)]))
    assert [g.text for g in other] != [g.text for g in found]
    (plain,) = ScriptedEngine(chat, seed=1).generate([ask(chat, "Rain?")])
    assert parse_score(plain.text).value is None


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ({"match": "(", "reply": "a"}, "'match' is not a regular expression"),
        ({"match": "a", "answer": "b"}, "unknown key 'answer'"),
        ({"match": "a"}, "without 'reply' and 'scores'"),
        ({"match": "a", "reply": [1]}, "'reply' is neither"),
        ({"match": "a", "scores": [0.9, 0.9]}, "'scores' are not probabilities"),
        ({"match": "a", "scores": [-1, 1]}, "'scores' are not probabilities"),
    ],
)
def test_a_bad_rule_is_named_with_its_line(rule: object, problem: str, tmp_path: Path) -> None:
    path = script(tmp_path / "s.jsonl", {"match": "a", "reply": "b"}, rule)
    with pytest.raises(InputError, match=rf"s\.jsonl:2: .*{problem}"):
        read_script(path)


def test_it_needs_no_torch(tmp_path: Path) -> None:
    code = "import sys, judgeloop.engines.scripted; print('torch' in sys.modules, 'transformers' in sys.modules)"
    source = str(Path(judgeloop.__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": source})
    assert done.stdout.split() == ["False", "False"], done.stderr
