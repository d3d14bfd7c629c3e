from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from beside import shared
from judgeloop.cli import app
from judgeloop.data.detection import detect
from judgeloop.data.layouts import FORMATS, WORDS
from judgeloop.data.readers import read_judgements, read_prompts, read_ranked, read_supervised
from judgeloop.eft.existing_eft import has_score
from judgeloop.engines.base import Generation, Request
from judgeloop.engines.scripted import ScriptedEngine
from judgeloop.errors import InputError, JudgeloopError
from tiny import make_tiny_model

ROOT = Path(__file__).resolve().parents[2]
DATA = shared("data")
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the real data is not beside the project")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGELOOP_CACHE", str(tmp_path / "cache"))


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["seed", *map(str, arguments)], terminal_width=200)


def ok(*arguments: object) -> str:
    done = call(*arguments)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def refused(*arguments: object) -> str:
    """The one line of an InputError, which `main` prints."""
    error = call(*arguments).exception
    assert isinstance(error, InputError), error
    assert "\n" not in str(error)
    return str(error)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def ranked(count: int) -> list[dict[str, Any]]:
    return [
        {"prompt": f"Question {n}?", "responses": [{"text": f"good {n}", "rank": 0}, {"text": f"bad {n}", "rank": 1}]}
        for n in range(count)
    ]


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_ranked_responses_become_files_that_are_read_back(tmp_path: Path) -> None:
    path, out = write(tmp_path / "a.jsonl", ranked(20)), tmp_path / "out"
    output = ok("ranked", path, "--out", out, "--held-out-share", 0.2, "--eft-share", 0.5)
    assert output.splitlines()[0] == "a.jsonl (JSONL, 20 rows): ranked responses, 20 taken"
    account = json.loads((out / "seed.json").read_text(encoding="utf-8"))
    assert {name: account[name] for name in ("taken", "ift", "eft", "eft_eval", "held_out")} == {
        "taken": 20, "ift": 8, "eft": 16, "eft_eval": 8, "held_out": 4,
    }  # fmt: skip
    assert account["settings"]["seed_data"]["held_out_share"] == 0.2
    assert len(read_supervised(out / "ift.jsonl")[0]) == 8
    held_out, _ = read_ranked(out / "held_out.jsonl")
    assert {row.id for row in held_out} == {row["id"] for row in rows(out / "held_out.jsonl")}
    assert [row["id"] for row in rows(out / "ift.jsonl")] == [row.id for row in read_supervised(out / "ift.jsonl")[0]]
    eft = rows(out / "eft.jsonl")
    assert all(re.search(r"\S\n\nScore: \d$", row["completion"][0]["content"]) for row in eft)
    about = [{row["prompt_id"] for row in rows(out / name)} for name in ("ift.jsonl", "eft.jsonl", "eft_eval.jsonl")]
    assert sum(len(part) for part in about) == len(set().union(*about)) == 20
    assert not list(tmp_path.glob("*.partial"))


@needs_data
def test_the_real_trees(tmp_path: Path) -> None:
    output = ok("oasst", DATA / "oasst_en_100_trees.jsonl", "--out", tmp_path / "out")
    detected = "oasst_en_100_trees.jsonl (JSONL, 100 rows): Open Assistant trees, 94 taken; 3 dropped: "
    assert " ".join(output.split()).startswith(detected)
    for step, count in (("IFT", 35), ("EFT-train", 123), ("held-out sets", 24), ("dropped: synthetic tree", 5)):
        assert re.search(rf"{step}\W+{count}\b", output), step
    scores = [int(n) for n in re.findall(r"^score \d  █* ?(\d+)$", output, re.MULTILINE)]
    assert (len(scores), sum(scores)) == (6, 123)
    assert len(read_ranked(tmp_path / "out" / "held_out.jsonl")[0]) == 24


def test_several_inputs_of_different_use(tmp_path: Path) -> None:
    tasks = [{"instruction": "Go.", "instances": [{"input": str(n), "output": "x"} for n in range(3)]}]
    inputs = (
        write(tmp_path / "ranked.jsonl", ranked(8)),
        write(tmp_path / "tasks.jsonl", tasks),
        write(tmp_path / "prompts.jsonl", [{"prompt": "Why?"}, {"prompt": "Why?"}]),
    )
    account = json.loads(ok(*inputs, "--out", tmp_path / "out", "--json"))
    assert [sentence.split(":")[0] for sentence in account["detected"]] == [
        "ranked.jsonl (JSONL, 8 rows)", "tasks.jsonl (JSONL, 1 rows)", "prompts.jsonl (JSONL, 2 rows)",
    ]  # fmt: skip
    assert (account["taken"], account["prompts"], account["dropped"]) == (12, 1, {"duplicate": 1})
    assert [row.messages[0]["content"] for row in read_prompts(tmp_path / "out" / "prompts.jsonl")[0]] == ["Why?"]


def test_prompts_alone_make_prompts_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"turns": ["One?", "Two?"]}])
    assert "prompts" in ok(path, "--out", tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["prompts.jsonl", "seed.json"]


def test_options_are_keys_of_the_config(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", ranked(20))
    options = ["--set", "seed_data.eft.max_rows=5", "--eft-share", "1", "--seed", "7", "--language", "zh"]
    account = json.loads(ok(path, "--out", tmp_path / "out", "--json", *options))
    assert (account["eft"], account["ift"], account["settings"]["seed"]) == (5, 0, 7)
    assert "得分：" in rows(tmp_path / "out" / "eft.jsonl")[0]["completion"][0]["content"]
    assert "seed_data.held_out_share" in refused(path, "--out", tmp_path / "b", "--held-out-share", 2)
    assert "did you mean" in refused(path, "--out", tmp_path / "b", "--set", "seed_data.lan=de")
    assert "max_share: 0.3 cannot hold" in refused(path, "--out", tmp_path / "b", "--max-share", 0.3)
    assert not (tmp_path / "b").exists()


def test_a_justification_stands_where_the_rubric_asks_for_one(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", ranked(8))

    def first(*options: str) -> str:
        ok(path, "--out", tmp_path / "out", "--overwrite", *options)
        return str(rows(tmp_path / "out" / "eft.jsonl")[0]["completion"][0]["content"])

    assert re.fullmatch(r".+\n\nScore: [24]", first(), re.DOTALL)
    assert re.fullmatch(r"Score: [24]", first("--rubric", "additive-5-direct"))
    assert re.fullmatch(r"Score: [24]", first("--no-justification"))
    own = tmp_path / "own.txt"
    own.write_text("Grade {instruction} <response>{response}</response>", encoding="utf-8")
    assert "say --justification or --no-justification" in refused(path, "--out", tmp_path / "b", "--rubric", own)
    assert re.fullmatch(r"Score: [24]", first("--rubric", str(own), "--no-justification"))


def test_another_format_than_the_one_named_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"instruction": "x", "output": "y"}])
    message = refused("chat", path, "--out", tmp_path / "out")
    assert message.endswith("a.jsonl: holds Alpaca rows, not chat; leave out 'chat', or write alpaca")
    assert "judgeloop seed alpaca: no input" in refused("alpaca", "--out", tmp_path / "out")
    assert "hf:org/name" in refused("org/name", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_eft_rows_that_are_made_already_are_taken(tmp_path: Path) -> None:
    ok(write(tmp_path / "a.jsonl", ranked(8)), "--out", tmp_path / "first", "--held-out-share", 0)
    ours = tmp_path / "first" / "eft.jsonl"
    chats = write(tmp_path / "b.jsonl", [{"prompt": f"Other {n}?", "response": "x"} for n in range(3)])
    output = ok(ours, chats, "--out", tmp_path / "out")
    assert "eft.jsonl (JSONL, 8 rows): EFT rows, 8 taken" in output
    assert rows(tmp_path / "out" / "eft.jsonl") == [
        {**row, "source": f"eft.jsonl:{n}"} for n, row in enumerate(rows(ours), 1)
    ]
    assert len(rows(tmp_path / "out" / "ift.jsonl")) == 3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


def written_by(tmp_path: Path, model: Path) -> list[object]:
    """Options for judgements of a scripted model, which takes every third question's answers for the other way."""
    rules = [
        {"match": r"<response>(good|bad) [0369]</response>", "reply": ["It is so.\n\nScore: 2"]},
        {"match": "<response>good", "reply": ["It answers.\n\nScore: 4"]},
        {"match": "<response>bad", "reply": ["It does not.\n\nScore: 1"]},
    ]
    script = write(tmp_path / "script.jsonl", rules)
    engine = ["--set", "engine.kind=scripted", "--set", f"engine.script={script}"]
    return ["--eft", "written", "--model", model, "--held-out-share", 0, "--eft-share", 1, *engine]


def test_a_run_makes_the_same_seed_of_the_files(tmp_path: Path) -> None:
    first = tmp_path / "first"
    ok(write(tmp_path / "a.jsonl", ranked(40)), "--out", first)
    files = ["--set", f"seed_data.eft_files={first / 'eft.jsonl'}"]
    ok(first / "ift.jsonl", first / "held_out.jsonl", "--out", tmp_path / "again", "--held-out-share", 1, *files)
    for name in ("ift.jsonl", "eft.jsonl", "eft_eval.jsonl", "held_out.jsonl"):
        ids = [[row["id"] for row in rows(folder / name)] for folder in (first, tmp_path / "again")]
        assert ids[0] == ids[1]
        assert ids[0]


def test_judgements_written_by_a_model(tmp_path: Path, model: Path) -> None:
    path, out = write(tmp_path / "a.jsonl", ranked(9)), tmp_path / "out"
    output = ok(path, "--out", out, *written_by(tmp_path, model))
    assert output.splitlines()[0] == "a.jsonl (JSONL, 9 rows): ranked responses, 9 taken"
    eft = rows(out / "eft.jsonl")
    assert sorted({row["completion"][0]["content"] for row in eft}) == [
        "It answers.\n\nScore: 4", "It does not.\n\nScore: 1",
    ]  # fmt: skip
    about = {int(re.findall(r"(?:good|bad) (\d)", row["prompt"][0]["content"])[0]) for row in eft}
    assert about == {1, 2, 4, 5, 7, 8}
    account = json.loads((out / "seed.json").read_text(encoding="utf-8"))
    assert (account["eft"], account["eft_scores"]) == (12, [0, 6, 0, 0, 6, 0])
    assert (account["eft_written"]["sets"], account["eft_written"]["tied"]) == (9, 3)
    assert "6 sets in the order of their ranks" in output
    assert len(rows(out / "eft.written.jsonl")) == account["eft_written"]["written"] == 9 * 2 * 3


def test_what_was_written_before_an_interruption_is_used(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = write(tmp_path / "a.jsonl", ranked(9)), tmp_path / "out"
    options = written_by(tmp_path, model)
    ok(path, "--out", tmp_path / "whole", *options)

    asked: list[str] = []
    generate = ScriptedEngine.generate

    def counted(self: ScriptedEngine, requests: Sequence[Request], stop_after: int) -> Iterator[Generation]:
        for generation in generate(self, requests):
            if len(asked) == stop_after:
                raise KeyboardInterrupt
            asked.append(generation.request_id)
            yield generation

    monkeypatch.setattr(ScriptedEngine, "generate", lambda self, requests: counted(self, requests, 20))
    assert call(path, "--out", out, *options).exit_code == 130
    assert not out.exists()
    first, asked[:] = len(rows(tmp_path / "out.partial" / "eft.written.jsonl")), []
    assert first == 20
    monkeypatch.setattr(ScriptedEngine, "generate", lambda self, requests: counted(self, requests, 1000))
    ok(path, "--out", out, *options)
    assert len(asked) == 54 - 18  # two more judgements belong to an item that was owed one
    for name in ("ift.jsonl", "eft.jsonl", "held_out.jsonl"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not (tmp_path / "out.partial").exists()


def test_a_model_that_writes_nothing_of_use_is_an_error(tmp_path: Path, model: Path) -> None:
    path, out = write(tmp_path / "a.jsonl", ranked(3)), tmp_path / "out"
    options = written_by(tmp_path, model)
    write(tmp_path / "script.jsonl", [{"match": ".", "reply": ["No idea."]}])
    message = refused(path, "--out", out, *options)
    assert "no row is left of 18 judgements" in message
    assert "out.partial/eft.written.jsonl keeps what was written" in message
    assert "nobody to write; name a model" in refused(path, "--out", out, "--eft", "written")
    assert "add --eft written" in refused(path, "--out", out, "--model", model)
    chats = write(tmp_path / "b.jsonl", [{"prompt": "x", "response": "y"}])
    assert "ranked names no file" in refused(chats, "--out", out, *options)
    assert not out.exists()


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    path, out = write(tmp_path / "a.jsonl", ranked(8)), tmp_path / "out"
    ok(path, write(tmp_path / "p.jsonl", [{"prompt": "Why?"}]), "--out", out)
    (out / "notes.txt").write_text("mine", encoding="utf-8")
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    assert "out: is not empty; choose another --out, or give --overwrite" in refused(path, "--out", out)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    ok(path, "--out", out, "--overwrite", "--seed", "1")
    assert set(before) - {p.name for p in out.iterdir()} == {"prompts.jsonl"}
    assert (out / "notes.txt").read_text(encoding="utf-8") == "mine"
    assert (out / "held_out.jsonl").read_bytes() != before["held_out.jsonl"]
    assert "is a file" in refused(path, "--out", path)
    assert "cannot be written" in refused(path, "--out", path / "inside")
    assert not list(tmp_path.glob("*.partial"))


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    ok(write(tmp_path / "a.jsonl", ranked(8)), "--out", tmp_path / "out")
    assert (tmp_path / "out" / "seed.json").is_file()


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", ranked(20))
    for name in ("one", "two"):
        ok(path, "--out", tmp_path / name, "--seed", "3")
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


@pytest.mark.parametrize("data", ["", "{", '{"text": 1}\n', "\0\0", '{"prompt": "a"}\n{"messages": []}\n'])
def test_bad_input_is_one_line_and_code_2(tmp_path: Path, data: str) -> None:
    (tmp_path / "a.jsonl").write_text(data, encoding="utf-8")
    error = call(tmp_path / "a.jsonl", "--out", tmp_path / "out").exception
    assert isinstance(error, JudgeloopError)
    assert (error.exit_code, "a.jsonl" in str(error), "\n" in str(error)) == (2, True, False)
    assert not (tmp_path / "out").exists()


def test_nothing_heavy_is_loaded_and_errors_end_with_2(tmp_path: Path) -> None:
    code = (
        "import sys, judgeloop.cli as cli\nsys.argv = ['judgeloop', *sys.argv[1:]]\n"
        "try: cli.main()\n"
        "finally: print(sorted({'torch', 'transformers', 'datasets', 'pyarrow'} & sys.modules.keys()))"
    )
    path = write(tmp_path / "a.jsonl", ranked(8))
    command = [sys.executable, "-c", code, "seed", str(path), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1], done.stderr) == (0, "[]", "")
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert re.fullmatch(r"judgeloop: .*out: is not empty; .*\n", again.stderr)


def test_a_dry_run_shows_rows_and_writes_nothing(tmp_path: Path) -> None:
    chats = [
        {"messages": [{"role": "user", "content": f"Say {n}."}, {"role": "assistant", "content": f"{n}!"}], "tag": "x"}
        for n in range(5)
    ]
    path = write(tmp_path / "a.jsonl", chats)
    shown = ok(path, "--dry-run", "--out", tmp_path / "out").splitlines()
    assert shown[0] == "a.jsonl (JSONL, 5 rows): chat messages, 5 taken; columns not read: tag (5 rows)"
    assert shown[1] == f"  {path}: read as {{conversation: messages}}"
    assert shown[3:7] == ["ift.jsonl: 5 rows, the first 3:", "- a.jsonl:1", "    user: Say 0.", "    → target: 0!"]
    assert sum(line.startswith("    → target") for line in shown) == 3
    assert shown[-1] == "no seed file was written (--dry-run)"
    found = json.loads(ok(path, "--dry-run", "--json"))
    assert [row["completion"][0]["content"] for row in found["rows"]["ift.jsonl"]] == ["0!", "1!", "2!"]
    assert found["columns"][str(path)] == {
        "read": {"conversation": "messages"}, "not_read": {"tag": 5}, "thoughts": 0,
    }  # fmt: skip
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jsonl"]
    assert "no folder to write to; name one with --out" in refused(path)


def test_a_dry_run_shows_sets_by_rank(tmp_path: Path) -> None:
    shown = ok(write(tmp_path / "a.jsonl", ranked(8)), "--dry-run", "--held-out-share", 0.5)
    held_out = shown.partition("held_out.jsonl: 4 rows, the first 3:\n")[2]
    assert re.match(r"- a.jsonl:\d\n    user: Question (\d)\?\n    → rank 0: good \1\n    → rank 1: bad \1\n", held_out)


def test_a_dry_run_says_what_becomes_of_every_row(tmp_path: Path) -> None:
    sets = write(tmp_path / "a.jsonl", ranked(8))
    chats = write(tmp_path / "b.jsonl", [{"prompt": f"Question {n}?", "response": "yes"} for n in range(8)])
    shown = ok(sets, chats, "--dry-run", "--held-out-share", 0.5)
    cells = dict(re.findall(r"│ +(\S.*?) +│ +(\d+) │", shown))
    assert cells["taken"] == "16"
    assert cells["dropped: IFT row with a held-out prompt"] == "4"
    assert cells["dropped: IFT row with an EFT prompt"] == "2"
    assert (cells["IFT"], cells["held-out sets"]) == ("4", "4")


def test_the_votes_of_a_run_are_told_to_be_exported(tmp_path: Path) -> None:
    vote = {
        "id": "vote-1", "prompt_id": "p-1", "choice": "left", "models": ["M2", "M1"], "responses": ["a", "b"],
        "prompt": [{"role": "user", "content": "Why?"}], "texts": ["So.", "No."], "time": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    votes = write(tmp_path / "votes.jsonl", [{**vote, "choice": "tie"}, vote])
    assert "votes.jsonl:1: is a vote as `judgeloop view` keeps it; judgeloop view RUN" in refused(votes, "--dry-run")


def test_own_names_of_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"spm": f"{n}?", "svar": "b"} for n in range(3)])
    assert "seed_data.fields: {prompt: ???, response: ???}" in refused(path, "--out", tmp_path / "out")
    fields = "{prompt: spm, response: svar}"
    for more in (["--fields", fields], ["--set", f"seed_data.fields={fields}"]):
        out = tmp_path / more[0].strip("-")
        account = json.loads(ok(path, "--out", out, "--json", *more))
        assert (account["ift"], account["settings"]["seed_data"]["fields"]["prompt"]) == (3, "spm")
        assert rows(out / "ift.jsonl")[0]["prompt"][0]["content"] == "0?"
    assert "--fields [prompt]: write {prompt: COLUMN" in refused(path, "--dry-run", "--fields", "[prompt]")


def test_rated_answers_are_sets_and_rows_alone(tmp_path: Path) -> None:
    given = [
        {"prompt": f"Question {n}?", "response": text, "rating": rating}
        for n in range(8)
        for text, rating in ((f"good {n}", 5), (f"bad {n}", 1))
    ]
    path = write(tmp_path / "a.jsonl", [*given, {"prompt": "Alone?", "response": "fine", "rating": 4}])
    account = json.loads(ok(path, "--out", tmp_path / "out", "--json"))
    assert (account["taken"], account["dropped"]) == (9, {})
    assert (account["ift"], account["eft"], account["held_out"]) == (4, 6, 2)
    learnt = [row["completion"][0]["content"] for row in rows(tmp_path / "out" / "ift.jsonl")]
    assert "fine" in learnt
    assert not [text for text in learnt if text.startswith("bad")]


def test_thoughts_are_trained_on_if_asked(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"prompt": "a?", "response": "b", "reasoning": "Hm."}])
    ok(path, "--out", tmp_path / "out", "--set", "seed_data.thoughts=train")
    (row,) = rows(tmp_path / "out" / "ift.jsonl")
    assert row["completion"][0]["content"] == "<think>\nHm.\n</think>\n\nb"


EXAMPLES = re.findall(r"```json\n(.+?)\n```", (ROOT / "docs" / "data.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example[:40])
def test_the_documented_examples_are_read(tmp_path: Path, example: str) -> None:
    from judgeloop.judging.rubric import load_rubric

    path = tmp_path / "a.jsonl"
    path.write_text(example + "\n", encoding="utf-8")
    form = detect(path)
    if form.judgements:
        assert read_judgements(path, partial(has_score, rubric=load_rubric("additive-5")))[1].taken == 1
    if form.prompts:
        assert read_prompts(path)[0][0].messages[0]["content"].startswith("Name ")
    if form.answers and form.assemble is None:
        assert read_supervised(path)[0][0].completion[0]["content"] == "Blue."
    if form.rankings and form.assemble is None:
        assert len(read_ranked(path)[0][0].responses) == 2


def test_the_document_shows_every_format() -> None:
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    assert {detect_line(example) for example in EXAMPLES} == {form.name for form in FORMATS}
    assert all(f"(`{word}`)" in text for word in WORDS)


def detect_line(example: str) -> str:
    from judgeloop.data.layouts import format_of

    found = format_of(json.loads(example))
    assert found is not None
    return found.name
