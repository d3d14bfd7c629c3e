"""The user's checker in a run directory: what it is shown, what it leaves, and that nobody else ever runs it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from judgeloop.compute.local import run_child
from judgeloop.config import parse
from judgeloop.errors import InputError
from judgeloop.jsonl import read_objects, read_rows, to_line
from judgeloop.loop import method
from judgeloop.records import Candidate, Judgement, Prompt, RankedSet
from judgeloop.run.directory import RunDirectory, describe
from judgeloop.run.json_artifacts import read_json, write_json
from judgeloop.stages.carry_out import run_stage
from judgeloop.stages.context import Context
from judgeloop.stages.ground_truth import load_checker
from tiny import make_tiny_model

WORDS = ("rain", "bread", "moon", "sea")
SAYS_WORD = 'GROUP = "rule"\ndef check(prompt, response, finished):\n'
SAYS_WORD += '    return {"says": prompt["word"] in response, "finished": finished}\n'

HEALTH = dict.fromkeys(("parse_rate", "tie_rate", "top_share", "length_correlation")) | {"judgements": 0}
EVALUATION = {"judge_health": HEALTH, "win_rate_vs_previous": None}


def prompts_file(folder: Path, **first: Any) -> Path:
    rows = [{"prompt": f"Say {word}.", "word": word, "rule": f"rule {k % 2}"} for k, word in enumerate(WORDS)]
    rows[0] |= first
    path = folder / "heldout.jsonl"
    path.write_text("".join(map(to_line, rows)), encoding="utf-8")
    return path


class Checking:
    """A run directory in which M0 and M1 answered the held-out prompts."""

    def __init__(self, folder: Path, checker: str, *, prompts: bool = True) -> None:
        self.file = folder / "check.py"
        self.file.write_text(checker, encoding="utf-8")
        asked = [str(prompts_file(folder))] if prompts else []
        tree = {
            "model": "tiny", "iterations": 0, "engine": {"kind": "scripted"}, "seed_data": {"ift": "seed.jsonl"},
            "evaluation": {"prompts": asked, "checker": str(self.file), "bootstrap": 100},
        }  # fmt: skip
        config = parse(tree, "config")
        self.run = RunDirectory(folder / "run", config, method(config))
        for model in ("M0", "M1"):
            self.run.folder(model).mkdir(parents=True)
            write_json(self.run.folder(model) / "eval.json", EVALUATION | {"model": model, "judge": model})

    def answered(self, model: str, answers: list[list[str]], scores: list[list[float]] | None = None) -> None:
        """Answers of one model, a list a prompt; those ending with … are cut off."""
        rows, judged = [], []
        for p, (word, texts) in enumerate(zip(WORDS, answers, strict=False)):
            prompt = Prompt.of([{"role": "user", "content": f"Say {word}."}], "test")
            for k, text in enumerate(texts):
                reason = "length" if text.endswith("…") else "stop"
                rows.append(Candidate(f"{model}.{prompt.id}.{k}", prompt.id, text, [1], reason))
                score = scores[p][k] if scores is not None else 3.0
                judged.append(Judgement(f"j{p}.{k}", rows[-1].id, 0, "", score, None))
        folder = self.run.folder(model)
        (folder / "eval.responses.jsonl").write_text("".join(map(to_line, rows)), encoding="utf-8")
        (folder / "eval.judgements.jsonl").write_text("".join(map(to_line, judged)), encoding="utf-8")

    def check(self, model: str) -> dict[str, Any]:
        run_stage(Context(self.run, self.run.steps[f"{model}/checks"], lambda done, total, note: None))
        return read_json(self.run.folder(model) / "checks.json")


def test_rows_figures_and_the_difference_to_the_model_before(tmp_path: Path) -> None:
    checking = Checking(tmp_path, SAYS_WORD)
    checking.answered("M0", [["rain", "no"], ["no", "no"], ["moon", "no"], ["no…", "no"]])
    checking.answered(
        "M1", [["rain", "no"], ["bread", "no"], ["moon", "moon"], ["no…", "sea"]],
        [[4, 1], [4, 1], [5, 1], [4, 2]],
    )  # fmt: skip
    first, second = checking.check("M0"), checking.check("M1")
    assert (first["previous"], first["differences"]) == (None, {})
    assert (second["model"], second["checker"], second["judge"], second["previous"]) == ("M1", "check.py", "M1", "M0")
    assert (second["headline"], second["prompts"], second["responses"]) == ("says", 4, 8)
    assert second["measures"]["says"]["value"] == 0.625
    assert second["measures"]["finished"]["value"] == 0.875
    assert second["differences"]["says"]["value"] == 0.375
    assert second["differences"]["finished"]["value"] == 0.0
    assert second["judge_accuracy"]["value"] == pytest.approx(2 / 3)
    assert second["judge_accuracy"]["n"] == 3
    assert {name: (found["value"], found["n"]) for name, found in second["groups"].items()} == {
        "rule 0": (0.75, 2), "rule 1": (0.5, 2),
    }  # fmt: skip
    assert (second["group"], second["without_group"]) == ("rule", 0)

    rows = {row["id"]: row for _, row in read_objects(checking.run.folder("M1") / "checks.jsonl")}
    responses = read_rows(checking.run.folder("M1") / "eval.responses.jsonl", Candidate)
    assert set(rows) == {response.id for response in responses}
    for response in responses:
        row = rows[response.id]
        assert (row["prompt_id"], row["finished"]) == (response.prompt_id, not response.text.endswith("…"))
        assert row["measures"] == {"says": float(response.text in WORDS), "finished": float(row["finished"])}
    assert checking.run.state(checking.run.steps["M1/checks"]) == "done"
    assert checking.run.changed_by_hand([checking.run.steps["M1/checks"]]) == []


def test_prompts_held_out_of_the_seed_have_id_and_messages(tmp_path: Path) -> None:
    checking = Checking(tmp_path, "def check(prompt, response, finished):\n    return sorted(prompt) == "
                        "['id', 'messages'] and prompt['messages'][0]['content'].endswith(response)\n",
                        prompts=False)  # fmt: skip
    ranked = [
        RankedSet(f"r{word}", [{"role": "user", "content": f"Say {word}."}], [{"text": "x", "rank": 0}], "test")
        for word in WORDS
    ]
    (checking.run.folder("M1") / "held_out.jsonl").write_text("".join(map(to_line, ranked)), encoding="utf-8")
    checking.answered("M0", [["rain.", "no"], ["bread."], ["moon."], ["sea."]])
    found = checking.check("M0")
    assert (found["headline"], found["measures"]["passes"]["value"]) == ("passes", 0.875)
    assert (found["group"], found["groups"], found["without_group"]) == (None, {}, None)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("def test(prompt, response, finished):\n    return True\n", "has no function check"),
        ("check = 3\n", "has no function check"),
        ("GROUP = 3\ndef check(*a):\n    return True\n", "GROUP in .* is 3; give the name of a field"),
        ("import no_such_module_at_all\n", "ModuleNotFoundError"),
        ("def check(:\n", "SyntaxError"),
        ("def check(prompt, response, finished):\n\n    return prompt['gold']\n", r"check\.py:3: check\(\) fails with "
         r"KeyError \('gold'\) on a response to heldout\.jsonl:\d; mend it"),
        ("def check(prompt, response, finished):\n    return {prompt['word']: 1}\n", "names .* for the first one"),
        ("def check(prompt, response, finished):\n    return 'yes'\n", r"returns 'yes' .*heldout\.jsonl:\d; return"),
    ],
)  # fmt: skip
def test_a_broken_checker_is_named_and_can_be_mended(tmp_path: Path, code: str, says: str) -> None:
    checking = Checking(tmp_path, code)
    checking.answered("M0", [["rain"], ["no"], ["no"], ["no"]])
    with pytest.raises(InputError, match=says) as error:
        checking.check("M0")
    assert "check.py" in str(error.value)
    assert "\n" not in str(error.value)
    step = checking.run.steps["M0/checks"]
    assert checking.run.state(step) == "missing"
    assert not (checking.run.folder("M0") / "checks.jsonl").exists()

    checking.file.write_text("# mended\n" + SAYS_WORD, encoding="utf-8")
    assert checking.run.stale([step]) == []
    assert checking.check("M0")["measures"]["says"]["value"] == 0.25


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"evaluation\.checker: .*nowhere\.py"):
        load_checker(tmp_path / "nowhere.py")


# What every process of Python runs first here: note which of them carry out the checker's code.
WATCH = """
import json, os, sys
LOG, CHECKER = {log!r}, {checker!r}
def note(what):
    with open(LOG, "a") as handle:
        handle.write(json.dumps([what, os.getpid(), sys.orig_argv[-1]]) + "\\n")
note("started")
sys.addaudithook(lambda event, args: note("ran") if event == "exec" and getattr(args[0], "co_filename", "") == CHECKER
                 else None)
"""


def test_only_the_checks_step_ever_runs_the_checker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Generating, judging and training go on whatever stands in the file, because their processes never import it."""
    model = make_tiny_model(tmp_path / "tiny")
    checker, log = tmp_path / "check.py", tmp_path / "processes.jsonl"
    checker.write_text("raise RuntimeError('imported')\n", encoding="utf-8")
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(WATCH.format(log=str(log), checker=str(checker)))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "watch"), *filter(None, sys.path)]))
    tree = {
        "model": str(model), "threads": 1, "iterations": 1, "engine": {"kind": "scripted"},
        "seed_data": {"ift": "seed.jsonl"},
        "evaluation": {"prompts": [str(prompts_file(tmp_path))], "checker": str(checker), "base": False, "samples": 1,
                       "bootstrap": 50},
    }  # fmt: skip
    config = parse(tree, "config")
    run = RunDirectory(tmp_path / "run", config, method(config))
    for name in ("M0", "M1", "M2"):
        run.folder(name).mkdir(parents=True)
    write_json(run.folder("M0") / "model.json", {"name": "M0", "path": str(model), "hash": "h0"})
    write_json(run.folder("M1") / "train.json", {"hash": "h1"})
    (run.folder("M1") / "model").symlink_to(model)
    (run.folder("M1") / "held_out.jsonl").touch()
    prompt = Prompt.of([{"role": "user", "content": "Why?"}], "test")
    (run.folder("M2") / "prompts.jsonl").write_text(to_line(prompt), encoding="utf-8")
    answers = [Candidate(f"c{k}", prompt.id, f"Answer {k}.", [50 + k, 2], "stop") for k in range(2)]
    (run.folder("M2") / "candidates.jsonl").write_text("".join(map(to_line, answers)), encoding="utf-8")
    describe(run)

    def make(name: str) -> None:
        run_child(["judgeloop.run.worker", str(run.path), name], run.path / "logs" / "log", lambda event: None)

    for name in ("M2/judge", "M1/eval"):
        make(name)
        assert run.state(run.steps[name]) == "done"
    record = f"import os\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
    checker.write_text(record + SAYS_WORD, encoding="utf-8")
    make("M1/checks")

    noted = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    started = [name for what, _, name in noted if what == "started" and "/" in name]
    assert started == ["M2/judge", "M1/eval", "M1/checks"]
    ran = {(pid, name) for what, pid, name in noted if what == "ran"}
    assert {name for _, name in ran} == {"M1/checks"}
    pid = int((tmp_path / "pid").read_text())
    assert pid in {found for found, _ in ran}
    assert pid not in {os.getpid(), *(found for what, found, name in noted if name in ("M2/judge", "M1/eval"))}
