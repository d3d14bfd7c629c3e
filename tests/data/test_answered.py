import json
from pathlib import Path

import pytest

from judgeloop.data.answered import read_answered, read_responses, read_scored
from judgeloop.errors import InputError
from judgeloop.records import stable_id


def lines(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_forms_of_a_response_join_by_prompt(tmp_path: Path) -> None:
    user = {"role": "user", "content": "雨？"}
    forms: list[dict[str, object]] = [
        {"prompt": "雨？", "response": "yes"},
        {"instruction": "雨？", "output": "yes", "generator": "m", "dataset": "d"},
        {"prompt": [user], "completion": [{"role": "assistant", "content": "yes"}]},
        {"messages": [user, {"role": "assistant", "content": "yes"}]},
        {"question": "雨？", "answer": "yes"},
    ]
    for form in forms:
        found, dropped = read_responses(lines(tmp_path / "r.jsonl", form))
        (given,) = found.values()
        assert (given.messages, given.text, dict(dropped)) == ([user], "yes", {})
        assert given.id == stable_id("p", [user])


def test_a_json_array_is_read_as_alpaca_eval_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "outputs.json"
    rows = [{"instruction": "a", "output": "1"}, {"instruction": "b", "input": "text", "output": ""}]
    path.write_text("\ufeff" + json.dumps(rows, indent=2), encoding="utf-8")
    found, _ = read_responses(path)
    assert [(g.messages[0]["content"], g.text) for g in found.values()] == [("a", "1"), ("b\n\ntext", "")]


def test_a_second_response_to_a_prompt_is_counted(tmp_path: Path) -> None:
    rows = [{"prompt": "a", "response": "1"}, {"prompt": "a", "response": "2"}]
    found, dropped = read_responses(lines(tmp_path / "r.jsonl", *rows))
    assert [given.text for given in found.values()] == ["1"]
    assert dropped == {"another response to the same prompt": 1}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"response": "1"}, r"r\.jsonl:2: a row without 'prompt'"),
        ({"prompt": "a"}, r"r\.jsonl:2: a row without 'response'"),
        ({"prompt": "a", "response": 5}, "'response' is a number, not text"),
        ({"prompt": "a", "response": None}, "'response' is null"),
        ({"prompt": " ", "response": "1"}, "r.jsonl:2: empty prompt; every row needs a prompt and an answer"),
        ({"prompt": [{"role": "user"}], "response": "1"}, "no.* chat message"),
        ({"prompt": [{"role": "cat", "content": "a"}], "response": "1"}, "'cat', an unknown speaker"),
        ({"prompt": "a", "response": [{"role": "assistant", "content": "1"}] * 2}, "is not one assistant message"),
        ({"messages": [{"role": "user", "content": "a"}]}, "mixed formats"),
    ],
)
def test_a_broken_response_is_named(row: object, problem: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=problem):
        read_responses(lines(tmp_path / "r.jsonl", {"prompt": "a", "response": "1"}, row))


def test_broken_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    for data, problem in (
        (b"", "has no rows"),
        (b"[]", "has no rows"),
        (b"[1]", r"r\.json:row 1: is not a JSON object"),
        (b"[{", "broken JSON"),
        (b'["\xff"]', "not UTF-8"),
    ):
        path.write_bytes(data)
        with pytest.raises(InputError, match=problem):
            read_responses(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_responses(tmp_path / "nowhere.jsonl")


def test_scores_of_another_judge(tmp_path: Path) -> None:
    # The better ranked one may have the lower score: that is what is measured.
    row = {"prompt": "a", "responses": [{"text": "x", "rank": 1, "score": 4.5}, {"rank": 0, "score": None}]}
    (found,) = read_scored(lines(tmp_path / "s.jsonl", row))
    assert (found.ranks, found.scores) == ([1.0, 0.0], [4.5, None])


@pytest.mark.parametrize(
    ("responses", "problem"),
    [
        (None, "without 'responses'"),
        ([{"rank": 0}], r"'responses\[0\]' has no 'score'"),
        ([{"rank": "best", "score": 1}], r"'responses\[0\]\.rank' is no number"),
        ([{"rank": 0, "score": "4"}], r"'responses\[0\]\.score' is no number"),
        ([{"rank": 0, "score": True}], r"'responses\[0\]\.score' is no number"),
    ],
)
def test_broken_scores_are_named(responses: object, problem: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=problem):
        read_scored(lines(tmp_path / "s.jsonl", {"prompt": "a", "responses": responses}))
    (tmp_path / "nan.jsonl").write_text('{"prompt": "a", "responses": [{"rank": 0, "score": NaN}]}\n')
    with pytest.raises(InputError, match="is no number"):
        read_scored(tmp_path / "nan.jsonl")


def test_a_chat_without_an_answer_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"r\.jsonl:1: last turn is not the assistant's; every row needs"):
        read_responses(lines(tmp_path / "r.jsonl", {"messages": [{"role": "user", "content": "a"}]}))
    with pytest.raises(InputError, match="the file holds preference pairs; here it must be prompt and response"):
        read_responses(lines(tmp_path / "r.jsonl", {"prompt": "a", "chosen": "b", "rejected": "c"}))


def test_answers_come_from_any_container_and_without_their_thoughts(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    path.write_text('question,answer,mine\n"Rain, or snow?","<think>Hm.</think>Both, ""often"".",1\nB?,,2\n')
    first, second = read_answered(path)
    assert (first.prompt[0]["content"], first.text) == ("Rain, or snow?", 'Both, "often".')
    assert (first.fields["mine"], first.place.number) == ("1", 2)
    assert (second.text, second.place.number) == ("", 3)


def test_a_template_s_tokens_are_no_part_of_what_is_judged(tmp_path: Path) -> None:
    rows = [{"prompt": "a", "response": "1<|im_end|>\n"}, {"prompt": "b", "response": "<|endoftext|>"}]
    assert [row.text for row in read_answered(lines(tmp_path / "r.jsonl", *rows))] == ["1", ""]
