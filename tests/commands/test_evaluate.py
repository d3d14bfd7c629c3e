"""`judgeloop eval` as a user calls it: what it prints, what it writes, how it goes on, what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from endpoint import Answer, Asked, fails, says, serving
from judgeloop.cli import app
from judgeloop.config import JudgeSection
from judgeloop.errors import InputError
from judgeloop.judging.rubric import load_rubric
from judgeloop.models.run_note import RunNote
from judgeloop.stages.run_note import ASKED
from tiny import make_base_model, make_tiny_model

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_tiny_model(tmp_path_factory.mktemp("model") / "tiny"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGELOOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def evaluate(*arguments: object) -> Any:
    """The command's answer as JSON: all of standard output."""
    done = CliRunner().invoke(app, ["eval", *map(str, arguments), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def printed(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["eval", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def lines(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def ranked(path: Path, prompts: int = 6) -> Path:
    words = ("a full and careful answer", "an answer", "what?")
    return lines(path, *(
        {"prompt": f"Question {k}?", "responses": [{"text": f"{text} {k}", "rank": r} for r, text in enumerate(words)]}
        for k in range(prompts)
    ))  # fmt: skip


def by_length(asked: Asked) -> Answer:
    """A judge that scores a response 5, 3 or 1 by its length."""
    response = asked.words.partition("<response>")[2].partition("</response>")[0]
    return says(
        f"It has {len(response)} characters.\nScore: {5 if len(response) > 20 else 3 if len(response) > 7 else 1}"
    )


def prefers_longer(asked: Asked) -> Answer:
    first, _, second = asked.words.partition("</response>")
    sizes = [len(part.rpartition("esponse>")[2]) for part in (first, second.partition("</other")[0])]
    return says("Better: A" if sizes[0] > sizes[1] else "Better: B")


# Agreement -----------------------------------------------------------------------------------------------------------


def test_agreement_of_a_local_judge(tmp_path: Path, model: str) -> None:
    call = ("agreement", "--in", ranked(tmp_path / "r.jsonl"), "--model", model, "--engine", "scripted")
    found = evaluate(*call, "--out", tmp_path / "rows.jsonl", "--resamples", "50")
    assert (found["prompts"], found["responses"], found["missing"], found["judgements"]) == (6, 18, 0, 18)
    assert found["perfect"] == 4.5
    assert found["made_by"]["scoring"] == "expected"
    assert found["made_by"]["rubric"] == "additive-5-direct"
    assert found["metrics"]["pairwise_ties_half"]["n"] == 6
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert len({row["id"] for row in rows}) == 18
    assert all(len(row["distribution"]) == 6 for row in rows)
    sampled = evaluate(*call, "--scoring", "sampled", "--samples", "2", "--limit", "4")
    assert (sampled["prompts"], sampled["judgements"], sampled["perfect"]) == (4, 24, 5.0)
    text = printed(*call)
    assert "Kendall's τ-b" in text
    assert "chance" in text


def test_agreement_goes_on_and_refuses_another_judge(tmp_path: Path, model: str) -> None:
    out = tmp_path / "rows.jsonl"
    call = ("agreement", "--in", ranked(tmp_path / "r.jsonl"), "--model", model, "--engine", "scripted", "--out", out)
    first = evaluate(*call, "--limit", "2")
    kept = out.read_bytes()
    second = evaluate(*call)
    assert (first["resumed"], second["resumed"], second["judgements"]) == (False, True, 18)
    assert out.read_bytes().startswith(kept)
    assert second["metrics"] == evaluate(*call)["metrics"]
    with pytest.raises(InputError, match="made with seed 0, not 1"):
        evaluate(*call, "--seed", "1")
    with pytest.raises(InputError, match='rubric "additive-5-direct", not "additive-5"'):
        evaluate(*call, "--scoring", "sampled")


def test_agreement_of_a_judge_that_a_run_made(tmp_path: Path) -> None:
    """What it learnt is the default, and what is asked otherwise is said."""
    folder = make_tiny_model(tmp_path / "M1")
    settings = JudgeSection(min_mass=0.0, scoring="sampled", samples=2).model_dump(mode="json", exclude=ASKED)
    judge = {"rubric": asdict(load_rubric("curation-5-direct")), **settings}
    RunNote("M1", "0", "2025-01-31", "Be brief.", "auto", judge).write(folder)
    call = ["agreement", "--in", ranked(tmp_path / "r.jsonl"), "--model", folder, "--engine", "scripted"]
    found = evaluate(*call)
    assert (found["made_by"]["rubric"], found["made_by"]["scoring"]) == ("curation-5-direct", "sampled")
    assert (found["judgements"], found["perfect"]) == (2 * 18, 5.0)

    def said(*more: str) -> str:
        done = CliRunner().invoke(app, ["eval", *map(str, call), *more], catch_exceptions=False)
        return " ".join(done.stderr.split())

    assert "learnt" not in said()
    assert "M1 learnt to judge otherwise than it is asked now: scoring expected (learnt: sampled); its" in said(
        "--scoring", "expected"
    )
    assert "now: rubric additive-5 (learnt: curation-5-direct); its" in said("--rubric", "additive-5")
    assert "now: language zh (learnt: en); its" in said("--language", "zh")


def test_agreement_by_a_learnt_rubric_whose_file_is_gone(tmp_path: Path) -> None:
    """The text is in the model's folder: scores are on its scale, and nothing is said to differ."""
    rubric = tmp_path / "mine.txt"
    rubric.write_text("#: score_line = Points: \n#: scores = 1-3\n{instruction}\n<text>{response}</text>\n1 to 3?\n")
    folder = make_tiny_model(tmp_path / "M1")
    settings = JudgeSection(min_mass=0.0).model_dump(mode="json", exclude=ASKED)
    judge = {"rubric": asdict(load_rubric(str(rubric))), **settings}
    RunNote("M1", "0", None, None, "auto", judge, {"kind": "scripted"}).write(folder)
    rubric.unlink()
    out = tmp_path / "rows.jsonl"
    call = ["agreement", "--in", str(ranked(tmp_path / "r.jsonl")), "--model", str(folder), "--out", str(out)]
    done = CliRunner().invoke(app, ["eval", *call, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "learnt to judge otherwise" not in done.stderr
    found = json.loads(done.stdout)
    assert (found["made_by"]["rubric"], found["perfect"], found["missing"]) == (str(rubric), 2.8, 0)
    assert {1 <= json.loads(line)["score"] <= 3 for line in out.read_text().splitlines()} == {True}
    settings_of_rows = json.loads((tmp_path / "rows.settings.json").read_text())["settings"]
    assert "1 to 3?" in settings_of_rows["template"]
    with pytest.raises(InputError, match=r"mine\.txt"):  # asked for by name, the file is needed
        evaluate(*call[:-1], tmp_path / "other.jsonl", "--rubric", rubric, "--language", "zh")


def test_the_engine_is_the_runs_and_options_go_first(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "M1")
    judge = {"rubric": asdict(load_rubric("additive-5-direct")),
             **JudgeSection(min_mass=0.0).model_dump(mode="json", exclude=ASKED)}  # fmt: skip
    RunNote("M1", "0", None, None, "auto", judge, {"kind": "scripted", "precision": "f32"}).write(folder)
    responses = lines(
        tmp_path / "a.jsonl", {"prompt": "Say 1.", "response": "1"}, {"prompt": "Say 2.", "response": "2"}
    )
    calls = (
        ("agreement", "--in", ranked(tmp_path / "r.jsonl"), "--model", folder),
        ("winrate", "--responses", responses, "--against-responses", responses, "--judge", folder, "--compare",
         "scores"),
    )  # fmt: skip
    for call in calls:
        done = CliRunner().invoke(app, ["eval", *map(str, call), "--json"], catch_exceptions=False)
        made = json.loads(done.stdout)["made_by"]
        assert (made["engine"], made["precision"]) == ("scripted", "f32")
        assert "M1 is run as in its run: engine.kind scripted, engine.precision f32;" in " ".join(done.stderr.split())
        made = evaluate(*call, "--set", "engine.precision=default", "--engine", "scripted")["made_by"]
        assert (made["engine"], made.get("precision")) == ("scripted", None)
        with pytest.raises(InputError, match=r"--set judge.samples=3: has no part .*engine.precision"):
            evaluate(*call, "--set", "judge.samples=3")
        with pytest.raises(InputError, match=r"engine\.precision"):
            evaluate(*call, "--set", "engine.precision=f64")


def test_agreement_of_an_endpoint(tmp_path: Path) -> None:
    data = ranked(tmp_path / "r.jsonl")
    with serving(lambda asked: fails(429, Retry_After="0") if asked.number == 1 else by_length(asked)) as server:
        call = ("agreement", "--in", data, "--endpoint", server.url, "--model", "gpt", "--scoring", "sampled",
                "--samples", "1", "--out", tmp_path / "rows.jsonl")  # fmt: skip
        found = evaluate(*call)
        again = evaluate(*call)
        assert len(server.asked) == 19
    assert found["metrics"]["exact_match"] == {"value": 1.0, "low": 0.609666, "high": 1.0, "n": 6}  # Wilson's
    assert found["metrics"]["five_best"]["value"] == 1.0
    assert found["endpoint"]["retries"] == {"429": 1}
    assert found["endpoint"]["tokens"] == {"prompt_tokens": 18 * 11, "completion_tokens": 18 * 3}
    assert found["made_by"]["endpoint"] == f"{server.url}/chat/completions"
    assert again["metrics"] == found["metrics"]


def test_agreement_counts_what_an_endpoint_does_not_say(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Answer:
        return says("I cannot.") if "what? 3" in asked.words else by_length(asked)

    with serving(answer) as server:
        call = ("agreement", "--in", ranked(tmp_path / "r.jsonl"), "--endpoint", server.url, "--model", "gpt")
        found = evaluate(*call)
        text = printed(*call)
    assert (found["missing"], found["unread"]) == (1, {"no score line": 1})
    assert found["metrics"]["exact_match"]["n"] == 5
    assert "1 of 18 responses have no score" in text
    assert "the endpoint gives no log-probabilities" in text


def test_agreement_of_scores_that_are_there_already(tmp_path: Path) -> None:
    data = lines(tmp_path / "s.jsonl", *(
        {"prompt": f"p{k}", "responses": [{"rank": 0, "score": 1 + k % 2}, {"rank": 1, "score": 2 - k % 2},
                                          {"rank": 2, "score": None}]}
        for k in range(4)
    ))  # fmt: skip
    found = evaluate("agreement", "--in", data, "--scored")
    assert (found["prompts"], found["responses"], found["missing"]) == (4, 12, 4)
    assert found["metrics"]["pairwise_ties_half"]["value"] == 0.5
    assert found["metrics"]["exact_match"] is None
    said = printed("agreement", "--in", data, "--scored")
    assert "no agreement with the ranks is shown" in " ".join(said.split())
    with pytest.raises(InputError, match="leave out --model"):
        evaluate("agreement", "--in", data, "--scored", "--model", "m")


# Win rate ------------------------------------------------------------------------------------------------------------


def responses(path: Path, texts: list[str]) -> Path:
    return lines(path, *({"instruction": f"q{k}", "output": text} for k, text in enumerate(texts)))


def test_win_rate_of_two_files(tmp_path: Path) -> None:
    ours = responses(tmp_path / "ours.jsonl", ["long answer"] * 6 + ["x"] * 2 + ["same"])
    theirs = responses(tmp_path / "theirs.jsonl", ["short"] * 8 + ["same"])
    with serving(prefers_longer) as server:
        call = ("winrate", "--responses", ours, "--against-responses", theirs, "--judge", "gpt", "--endpoint",
                server.url, "--out", tmp_path / "rows.jsonl")  # fmt: skip
        found = evaluate(*call)
        assert len(server.asked) == 18
        text = printed(*call)
        assert len(server.asked) == 18  # all rows were there
    assert (found["win"], found["tie"], found["lose"], found["unparsed"]) == (6, 1, 2, 0)
    assert found["rate"]["value"] == pytest.approx(6.5 / 9, abs=1e-6)
    assert found["length_controlled"]["value"] < found["rate"]["value"]
    assert (found["length_controlled"]["longer"], found["length_controlled"]["shorter"]) == (6, 2)
    assert (found["model"], found["against"], found["prompts"]) == ("ours", "theirs", 9)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert sorted(row["outcome"] for row in rows) == ["lose"] * 2 + ["tie"] + ["win"] * 6
    assert "not clear of 50%: no difference is shown" in text


def test_responses_that_do_not_match_are_counted(tmp_path: Path) -> None:
    ours = responses(tmp_path / "ours.jsonl", ["long answer"] * 3)
    theirs = lines(tmp_path / "theirs.jsonl", *({"prompt": f"q{k}", "response": "no"} for k in (1, 2, 2, 7, 8)))
    with serving(prefers_longer) as server:
        call = ("winrate", "--responses", ours, "--against-responses", theirs, "--judge", "gpt")
        found = evaluate(*call, "--endpoint", server.url)
    assert (found["prompts"], found["win"]) == (2, 2)
    assert found["left_out"] == {
        "prompts that theirs has no response to": 1,
        "responses of the other side to other prompts": 2,
        "theirs.jsonl: another response to the same prompt": 1,
    }
    other = responses(tmp_path / "other.jsonl", ["a"])
    lines(other, {"prompt": "something else", "response": "a"})
    with pytest.raises(InputError, match="no prompt in common"):
        evaluate(
            "winrate", "--responses", ours, "--against-responses", other, "--judge", "gpt", "--endpoint", server.url
        )


def test_win_rate_of_two_models_goes_on(tmp_path: Path, model: str) -> None:
    prompts = lines(tmp_path / "p.jsonl", *({"prompt": f"Question {k}?"} for k in range(5)))
    out = tmp_path / "rows.jsonl"
    call = ("winrate", "--model", model, "--against", model, "--prompts", prompts, "--judge", model, "--engine",
            "scripted", "--max-new-tokens", "12", "--out", out)  # fmt: skip
    found = evaluate(*call)
    assert found["prompts"] == 5
    # The same model with the same seed answers the same, so no order can be told from the other.
    assert (found["win"], found["tie"], found["lose"]) == (0, 5, 0)
    assert found["length_controlled"]["value"] == 0.5
    assert set(found["cut_off"]) == {"model", "against"}
    for name in ("rows.model.jsonl", "rows.against.jsonl"):
        assert len((tmp_path / name).read_text().splitlines()) == 5
    out.write_text("".join(out.read_text().splitlines(keepends=True)[:2]))
    again = evaluate(*call)
    assert again["resumed"] is True
    assert {k: v for k, v in again.items() if k not in ("seconds", "resumed")} == {
        k: v for k, v in found.items() if k not in ("seconds", "resumed")
    }


@pytest.mark.parametrize("broken", ["--judge", "--against"])
def test_a_model_that_cannot_play_is_named_before_another_answers(broken: str, tmp_path: Path, model: str) -> None:
    base = make_base_model(tmp_path / "base")
    asked = lines(tmp_path / "p.jsonl", {"prompt": "Question?"})
    roles = {"--model": model, "--against": model, "--judge": model, broken: str(base)}
    arguments = [word for pair in roles.items() for word in pair]
    with pytest.raises(InputError, match="has no chat template"):
        evaluate("winrate", *arguments, "--prompts", asked, "--engine", "scripted", "--out", tmp_path / "out.jsonl")
    assert not list(tmp_path.glob("out*.jsonl"))


def test_unparsed_verdicts_are_counted_and_left_out_of_the_rate(tmp_path: Path) -> None:
    ours = responses(tmp_path / "ours.jsonl", ["long answer"] * 4)
    theirs = responses(tmp_path / "theirs.jsonl", ["short"] * 4)
    with serving(lambda asked: says("Hard to say.") if "q2" in asked.words else prefers_longer(asked)) as server:
        call = ("winrate", "--responses", ours, "--against-responses", theirs, "--judge", "gpt", "--endpoint")
        found = evaluate(*call, server.url)
    assert (found["win"], found["unparsed"], found["rate"]["n"]) == (3, 1, 3)
    assert found["unread"] == {"no verdict line": 2}
    assert found["length_controlled"] is None  # every response is longer by the same
    assert found["first_preferred"] == 0.5


def test_a_judge_without_verdicts_ends_with_2_and_says_what_to_try(tmp_path: Path) -> None:
    ours = responses(tmp_path / "ours.jsonl", ["long answer"] * 4)
    theirs = responses(tmp_path / "theirs.jsonl", ["short"] * 4)

    def undecided(asked: Asked) -> Answer:
        return says("Hard to say.") if "q3" not in asked.words else prefers_longer(asked)

    call = ("winrate", "--responses", ours, "--against-responses", theirs, "--judge", "gpt", "--endpoint")
    with serving(undecided) as server:
        found = evaluate(*call, server.url)
        assert "--compare scores" in printed(*call, server.url)
    assert (found["unparsed"], found["rate"]["n"]) == (3, 1)
    assert "--compare scores" in found["advice"]
    with serving(lambda asked: says("Hard to say.")) as server:
        done = CliRunner().invoke(app, ["eval", *map(str, call), server.url, "--json"])
    assert json.loads(done.stdout)["unparsed"] == 4  # what was found is told nevertheless
    assert isinstance(done.exception, InputError)
    assert str(done.exception) == (
        "none of the 4 comparisons could be read (verdicts: 8 no verdict line); ask it for scores with --compare scores"
    )


def test_compared_by_scores(tmp_path: Path) -> None:
    ours = responses(tmp_path / "ours.jsonl", ["good", "good", "same", "poor", "nothing"])
    theirs = responses(tmp_path / "theirs.jsonl", ["poor", "poor", "same", "good", "poor"])
    value = {"good": "Score: 4", "poor": "Score: 1", "same": "Score: 3", "nothing": "I like it."}

    def score(asked: Asked) -> Answer:
        return says(next(text for word, text in value.items() if f"<response>{word}</response>" in asked.words))

    out = tmp_path / "rows.jsonl"
    call = ("winrate", "--responses", ours, "--against-responses", theirs, "--judge", "gpt", "--compare", "scores",
            "--scoring", "sampled", "--samples", "2", "--out", out, "--endpoint")  # fmt: skip
    with serving(score) as server:
        found = evaluate(*call, server.url)
        assert len(server.asked) == 5 * 2 * 2
        out.write_text("".join(out.read_text().splitlines(keepends=True)[:3]))
        assert evaluate(*call, server.url)["win"] == 2
        assert len(server.asked) == 5 * 2 * 2 + 2 * 2 * 2  # what was missing, and no more
        text = printed(*call, server.url)
    assert (found["win"], found["tie"], found["lose"], found["unparsed"]) == (2, 1, 1, 1)
    assert (found["compare"], found["rate"]["value"], found["first_preferred"]) == ("scores", 0.625, None)
    assert found["unread"] == {"no score line": 2}
    assert "scored by gpt" in text
    assert "both orders" not in text
    rows = {row["response"]: row for row in map(json.loads, out.read_text().splitlines())}
    assert (rows["poor"]["score"], rows["poor"]["against_score"], rows["poor"]["outcome"]) == (1.0, 4.0, "lose")


def test_the_rows_that_it_writes_can_be_read_back(tmp_path: Path, model: str) -> None:
    prompts = lines(tmp_path / "p.jsonl", *({"prompt": f"Question {k}?"} for k in range(3)))
    out = tmp_path / "rows.jsonl"
    call = ("--judge", model, "--engine", "scripted", "--max-new-tokens", "12", "--compare", "scores")
    first = evaluate("winrate", "--model", model, "--against", model, "--prompts", prompts, *call, "--out", out)
    assert first["rate"]["n"] == 3
    for file in (tmp_path / "rows.model.jsonl", out):
        again = evaluate("winrate", "--responses", file, "--against-responses", tmp_path / "rows.against.jsonl", *call)
        assert (again["prompts"], again["rate"], again["left_out"]) == (3, first["rate"], {})


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--scoring", "sampled"], "--scoring: a judge that compares two responses gives no scores; add --compare"),
        (["--rubric", "additive-5"], "--rubric: a judge that compares two"),
        (["--written", "--compare", "scores"], "--written: is about verdicts"),
    ],
)
def test_options_of_the_other_way_to_compare_are_refused(arguments: list[str], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        evaluate("winrate", "--responses", "a.jsonl", "--against-responses", "b.jsonl", "--judge", "m", *arguments)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--judge", "gpt"], "--model: name a model, or with --responses a file"),
        (["--model", "a", "--responses", "r.jsonl", "--judge", "gpt"], "and not both"),
        (["--model", "a", "--against", "b", "--judge", "gpt"], "--prompts: two models need prompts"),
        (["--model", "a", "--against", "b", "--prompts", "p.jsonl"], "no judge"),
    ],
)
def test_what_win_rate_needs(arguments: list[str], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        evaluate("winrate", "--endpoint", "http://127.0.0.1:9/v1", *arguments)


# IFEval --------------------------------------------------------------------------------------------------------------


def verifiable(path: Path) -> Path:
    return lines(
        path,
        {"key": 1, "prompt": "No commas.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
        {"key": 2, "prompt": "A title.", "instruction_id_list": ["detectable_format:title", "made:up"],
         "kwargs": [{}, {}]},
        {"key": 3, "prompt": "Long.", "instruction_id_list": ["length_constraints:number_words"],
         "kwargs": [{"num_words": 500, "relation": "at least"}]},
    )  # fmt: skip


def test_ifeval(tmp_path: Path, model: str) -> None:
    pytest.importorskip("if_verifiable", reason="the extra 'eval' is not installed")
    out = tmp_path / "rows.jsonl"
    call = ("ifeval", "--model", model, "--engine", "scripted", "--prompts", verifiable(tmp_path / "v.jsonl"))
    found = evaluate(*call, "--out", out)
    assert (found["prompts"], found["prompts_checked"], found["instructions"], found["instructions_checked"]) == (
        3, 2, 4, 3,
    )  # fmt: skip
    assert found["prompt_strict"]["value"] == 0.5  # scripted answers are short sentences without a comma
    assert found["instruction_strict"]["value"] == pytest.approx(1 / 3, abs=1e-6)
    assert found["unchecked"] == {"made:up: unknown instruction": 1}
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert rows[1]["instructions"][1] == {
        "instruction": "made:up", "strict": None, "loose": None, "reason": "unknown instruction",
    }  # fmt: skip
    again = evaluate(*call, "--out", out)
    assert (again["resumed"], again["prompt_strict"]) == (True, found["prompt_strict"])
    assert [json.loads(line) for line in out.read_text().splitlines()] == rows
    text = printed(*call)
    assert "prompts, strict" in text
    assert "1 instructions that could not be checked: 1 made:up: unknown instruction" in text
    cut = evaluate(*call, "--max-new-tokens", "2")
    assert cut["cut_off"] == 3


# The command line ----------------------------------------------------------------------------------------------------


def test_a_wrong_key_ends_with_2_and_is_not_shown(tmp_path: Path) -> None:
    key = "sk-not-to-be-seen"
    with serving(lambda asked: fails(401, f"Incorrect API key: {asked.headers['Authorization']}")) as server:
        command = [sys.executable, "-m", "judgeloop", "eval", "agreement", "--in", str(ranked(tmp_path / "r.jsonl")),
                   "--endpoint", server.url, "--model", "gpt", "--out", str(tmp_path / "rows.jsonl")]  # fmt: skip
        environment = {**os.environ, "OPENAI_API_KEY": key}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert server.asked[0].headers["Authorization"] == f"Bearer {key}"
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines() == [
        f"judgeloop: {server.url}/chat/completions: refuses access (401: Incorrect API key: Bearer ***); the key in "
        "OPENAI_API_KEY is not accepted, put a valid one into the environment"
    ]
    assert done.stdout == ""
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(key not in path.read_text(encoding="utf-8") for path in written)
