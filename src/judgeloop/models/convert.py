"""Models that are not folders of plain weights, made into such folders once and kept in the user's cache: a GGUF file,
an adapter and its base, a vocabulary with two tokens added.

The work (`models.dequantise`, `models.merge`) is done by a process of its own if this one has not imported torch, for
it may have to stay free of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from judgeloop.errors import InputError

MARKER = "judgeloop.json"


def cache_folder() -> Path:
    """The user's cache folder for judgeloop: JUDGELOOP_CACHE, else judgeloop in XDG_CACHE_HOME or ~/.cache."""
    own = os.environ.get("JUDGELOOP_CACHE")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "judgeloop"


def from_gguf(path: Path) -> Path:
    """The weights of a GGUF file, restored to float32, with its tokenizer."""
    with path.open("rb") as handle:
        if handle.read(4) != b"GGUF":
            raise InputError(f"{path}: is not a GGUF file; check the path, or give a model folder")
        handle.seek(0)
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    return _kept(f"gguf-{digest[:16]}", "dequantise:restore", [str(path)], f"{path}: cannot be restored from GGUF")


def merged_adapter(adapter: Path, base: Path, base_hash: str) -> Path:
    """The adapter's weights merged into those of its base."""
    total = hashlib.sha256(base_hash.encode())
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        with (adapter / name).open("rb") as handle:
            total.update(hashlib.file_digest(handle, "sha256").digest())
    return _kept(
        f"merged-{total.hexdigest()[:16]}",
        "merge:merge_adapter",
        [str(adapter), str(base)],
        f"{adapter}: this adapter cannot be merged into {base}",
    )


def with_chatml_tokens(folder: Path, folder_hash: str) -> Path:
    """The model with <|im_start|> and <|im_end|> added to its vocabulary; itself if it has them."""
    known = "".join(
        (folder / name).read_text(encoding="utf-8", errors="replace")
        for name in ("tokenizer.json", "tokenizer_config.json", "added_tokens.json")
        if (folder / name).is_file()
    )
    if "<|im_start|>" in known and "<|im_end|>" in known:
        return folder
    return _kept(
        f"chatml-{folder_hash[:16]}", "merge:add_chatml_tokens", [str(folder)], f"{folder}: tokens cannot be added"
    )


def _kept(name: str, function: str, arguments: Sequence[str], failure: str) -> Path:
    """The cached folder of this name, made by `function(*arguments, folder)` if it is not there yet."""
    target = cache_folder() / "models" / name
    if (target / MARKER).is_file():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target.with_name(f"{name}.lock")):
            if not (target / MARKER).is_file():
                _make(target, function, arguments, failure)
    except OSError as error:
        raise InputError(
            f"{error.filename or target}: {error.strerror or error}; set JUDGELOOP_CACHE to a writable folder with "
            "room for the model"
        ) from error
    return target


def _make(target: Path, function: str, arguments: Sequence[str], failure: str) -> None:
    with tempfile.TemporaryDirectory(prefix=f"{target.name}.partial-", dir=target.parent) as work:
        made = Path(work) / "model"
        if reason := failure_of(function, [*arguments, str(made)]):
            raise InputError(f"{failure} ({reason}); get it again, or give another model")
        (made / MARKER).write_text(json.dumps({"made_by": function, "from": list(arguments)}), encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)  # without its marker, so never finished
        made.rename(target)


def failure_of(function: str, arguments: Sequence[str]) -> str | None:
    """Call `module:function` of this package with the arguments, and return why it failed, None if it did not. Called
    here if that imports nothing heavy that is not imported yet, else in a new interpreter."""
    module, _, name = function.partition(":")
    if {"torch", "transformers"} <= sys.modules.keys():
        try:
            getattr(importlib.import_module(f"judgeloop.models.{module}"), name)(*arguments)
        except (InputError, SystemExit) as error:
            return str(error)
        except Exception as error:  # whatever a library makes of a damaged file
            return traceback.format_exception_only(error)[-1].strip()
        return None
    call = f"import sys; from judgeloop.models.{module} import {name}; {name}(*sys.argv[1:])"
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1"}
    done = run([sys.executable, "-c", call, *arguments], environment)
    return last_line(done) if done.returncode else None


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command and keep what it writes."""
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """The last thing a command said on stderr, which is where the reason is."""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    said = lines[-1].strip() if lines else f"exit code {done.returncode}"
    return said.removeprefix(f"{InputError.__module__}.{InputError.__qualname__}: ")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file; the kernel frees it should this process die."""
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
