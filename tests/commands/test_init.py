"""`judgeloop init`: what it asks, writes, checks and refuses; and `judgeloop completion`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from e2e.conftest import write_prompts, write_seed
from judgeloop.cli import app
from judgeloop.config import Config, load
from judgeloop.errors import InputError

CHATS = [{"prompt": f"Question {n}?", "response": f"Answer {n}."} for n in range(4)]


def rows(path: Path, values: list[dict[str, str]]) -> str:
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return str(path)


def init(*arguments: str, answers: str | None = None, monkeypatch: pytest.MonkeyPatch | None = None) -> str:
    """Run the command; what it prints. With `answers`, on a terminal where these are typed."""
    if monkeypatch is not None:
        monkeypatch.setattr("judgeloop.commands.init._can_ask", lambda: True)
    done = CliRunner().invoke(app, ["init", *arguments], input=answers)
    if isinstance(done.exception, InputError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def written(path: Path) -> Config:
    return load(path)


def test_ranked_data_gives_a_config_that_holds_some_out(tmp_path: Path) -> None:
    path, seed = tmp_path / "deep" / "my.yaml", write_seed(tmp_path / "seed.jsonl")
    said = init(str(path), "--data", str(seed))
    config = written(path)
    assert config.seed_data.ranked == (str(seed),)
    assert (config.iterations, config.prompts.source, config.evaluation.prompts) == (2, "few_shot", ())
    assert (config.judge.language, config.report.language) == ("en", "en")
    assert "seed.jsonl (JSONL, 12 rows): ranked responses, 12 taken" in said  # as judgeloop seed --dry-run says it
    held_out = round(0.1 * 12)  # as the config written says it
    assert f"{held_out} sets held out" in said
    few = f"warning: {held_out} prompts to evaluate on, of the 60 of evaluation.count: too few to see a gain"
    assert few in " ".join(said.split())
    assert said.splitlines()[-1] == f"  judgeloop plan {path}"
    assert len(said.splitlines()) <= 12, said
    assert "judgeloop seed" in said
    assert path.read_text().count("#") > 8
    assert not list(path.parent.glob(".*"))


def test_chats_need_held_out_prompts_and_teach_by_contrast(tmp_path: Path) -> None:
    path, chats = tmp_path / "my.yaml", rows(tmp_path / "chats.jsonl", CHATS)
    with pytest.raises(InputError, match="--held-out is missing, and there is no terminal to ask on"):
        init(str(path), "--data", chats)
    held, asked = str(write_prompts(tmp_path / "held.jsonl", 3)), str(write_prompts(tmp_path / "prompts.jsonl", 9))
    options = ["--language", "zh", "--held-out", held, "--prompts", asked, "--size", "usual", "--model", "a:b #c"]
    init(str(path), "--data", chats, *options)
    config = written(path)
    assert (config.seed_data.ift, config.seed_data.eft.source) == ((chats,), "contrast")
    assert (config.judge.language, config.prompts.language, config.report.language) == ("zh", "zh", "zh")
    assert (config.prompts.files, config.prompts.count) == ((asked,), 4)  # nine for two iterations
    assert config.evaluation.prompts == (held,)
    assert config.model == "a:b #c"


def test_what_no_option_says_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seed = tmp_path / "my.yaml", write_seed(tmp_path / "seed.jsonl")
    said = init(str(path), answers=f"{seed}\n\nchinese\nzh\n\ntry\n", monkeypatch=monkeypatch)
    config = written(path)
    assert "chinese: is none of en, zh" in said  # and is asked about again
    assert (config.iterations, config.judge.language, config.model) == (1, "zh", "smollm2-135m-instruct")
    assert [said.index(word) for word in ("Your data", "Model", "Language", "Who asks", "How long")] == sorted(
        said.index(word) for word in ("Your data", "Model", "Language", "Who asks", "How long")
    )


def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path) -> None:
    path, seed = tmp_path / "my.yaml", write_seed(tmp_path / "seed.jsonl")
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match=r"my.yaml: exists already; remove it, or name another file"):
        init(str(path), "--data", str(seed))
    assert path.read_text() == "mine"
    other = tmp_path / "other.yaml"
    for arguments, says in (
        (["--data", str(tmp_path / "none.jsonl")], "none.jsonl: cannot be read"),
        (["--data", str(write_prompts(tmp_path / "p.jsonl"))], "holds prompts without answers"),
        ([], "--data is missing"),
        (
            ["--data", str(seed), "--prompts", str(write_prompts(tmp_path / "one.jsonl", 1))],
            "1 prompts for 2 iterations",
        ),
        (["--data", str(seed), "--prompts", str(tmp_path / "no.jsonl")], "no.jsonl: cannot be read"),
    ):
        with pytest.raises(InputError, match=says):
            init(str(other), *arguments)
        assert not list(tmp_path.glob("*other*")), arguments


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        (["run", "qui"], "quickstart"),
        (["comp"], "completion"),
        (["run", "x", "--set", "train.beta"], "train.beta="),
        (["run", "x", "--set", "evalu"], "evaluation."),
    ],
)
def test_a_shell_completes_commands_configs_and_keys_without_torch(typed: list[str], answer: str) -> None:
    code = "import sys; from judgeloop.cli import main\ntry: main()\nfinally: assert 'torch' not in sys.modules"
    asked = {"_JUDGELOOP_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(["judgeloop", *typed]),
             "COMP_CWORD": str(len(typed))}  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **asked})
    assert (answer in done.stdout.split(), done.stderr) == (True, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_names_the_command(shell: str) -> None:
    done = CliRunner().invoke(app, ["completion", shell])
    assert done.exit_code == 0
    assert "_JUDGELOOP_COMPLETE" in done.output
