"""What a user can get wrong: one clear line, exit code 2, no traceback, nothing lost."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]


def one_clear_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    for word in words:
        assert word in lines[0], lines[0]


def test_missing_config(judgeloop: Command) -> None:
    one_clear_line(judgeloop("run", "nowhere.yaml"), "nowhere.yaml", "cannot be read")
    one_clear_line(judgeloop("run", "no-such-name"), "no such config", "quickstart")


def test_unknown_key(make_config: Callable[..., Path], judgeloop: Command) -> None:
    one_clear_line(
        judgeloop("run", str(make_config(candidats={"count": 2}))), "candidats", "did you mean 'candidates'?"
    )
    done = judgeloop("run", str(make_config()), "--set", "train.learning_rat=1")
    one_clear_line(done, "train.learning_rat", "did you mean 'train.learning_rate'?")


def test_wrong_type(make_config: Callable[..., Path], judgeloop: Command) -> None:
    one_clear_line(judgeloop("run", str(make_config()), "--set", "train.beta=soft"), "train.beta", "soft")
    done = judgeloop("run", str(make_config()), "--set", "train.learning_rate=fast")
    one_clear_line(done, "train.learning_rate", "fast")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"prompt": "a", "responses"\n', (":1:", "broken JSON")),
        ('{"responses": [{"text": "x", "rank": 0}, {"text": "y", "rank": 1}]}\n', (":1:", "prompt")),
        ("", ("seed.jsonl",)),
    ],
)
def test_broken_seed(
    make_config: Callable[..., Path], judgeloop: Command, tmp_path: Path, content: str, words: tuple[str, ...]
) -> None:
    config = make_config()
    (tmp_path / "seed.jsonl").write_text(content, encoding="utf-8")
    one_clear_line(judgeloop("run", str(config)), "seed.jsonl", *words)


def test_missing_seed(make_config: Callable[..., Path], judgeloop: Command, tmp_path: Path) -> None:
    config = make_config()
    (tmp_path / "seed.jsonl").unlink()
    one_clear_line(judgeloop("run", str(config)), "seed.jsonl", "cannot be read")


def test_model_without_tokenizer(
    make_config: Callable[..., Path], judgeloop: Command, tmp_path: Path, tiny_model: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_model, broken)
    for path in broken.glob("tokenizer*"):
        path.unlink()
    one_clear_line(judgeloop("run", str(make_config(model=str(broken)))), "tokenizer")


def test_template_that_adds_a_second_bos(
    make_config: Callable[..., Path], judgeloop: Command, tmp_path: Path, tiny_model: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_model, broken)
    settings = json.loads((broken / "tokenizer_config.json").read_text())
    settings["bos_token"] = "<|endoftext|>"
    template = settings.pop("chat_template", None) or (broken / "chat_template.jinja").read_text()
    (broken / "tokenizer_config.json").write_text(json.dumps(settings))
    (broken / "chat_template.jinja").write_text("{{ bos_token }}{{ bos_token }}" + template)
    one_clear_line(judgeloop("run", str(make_config(model=str(broken)))), "2 BOS tokens", "chat template")


def test_unwritable_directory(make_config: Callable[..., Path], judgeloop: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    one_clear_line(judgeloop("run", str(make_config()), "--out", str(tmp_path / "file" / "run")), "cannot be written")


def test_directory_of_somebody_else(make_config: Callable[..., Path], judgeloop: Command, tmp_path: Path) -> None:
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter.txt").write_text("words")
    one_clear_line(judgeloop("run", str(make_config()), "--out", str(other)), "not a run")
    assert [path.name for path in other.iterdir()] == ["chapter.txt"]


def test_second_run_in_a_locked_directory(make_config: Callable[..., Path], judgeloop: Command, tmp_path: Path) -> None:
    import fcntl

    out = tmp_path / "run"
    out.mkdir()
    with (out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        one_clear_line(judgeloop("run", str(make_config()), "--out", str(out)), "another run")


def test_commands_on_what_is_no_run(judgeloop: Command, tmp_path: Path) -> None:
    for name in ("status", "report"):
        one_clear_line(judgeloop(name, str(tmp_path)), "not a run directory")


def test_no_pairs_says_which_keys_to_turn(make_config: Callable[..., Path], judgeloop: Command, tmp_path: Path) -> None:
    done = judgeloop("run", str(make_config(pairs={"margin": 5.0, "unfinished": "as_judged"})))
    one_clear_line(done, "pairs.margin")


def test_unknown_option_and_command(judgeloop: Command) -> None:
    for arguments in (["run", "quickstart", "--bogus"], ["cook"]):
        done = judgeloop(*arguments)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert arguments[-1] in done.stderr


def test_wrong_redo(make_config: Callable[..., Path], judgeloop: Command) -> None:
    one_clear_line(judgeloop("run", str(make_config()), "--redo", "M9/cook"), "M9/cook", "candidates")
