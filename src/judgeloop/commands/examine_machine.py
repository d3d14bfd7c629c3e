"""What this machine can run and what is missing, found out without loading any of it."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from judgeloop.compute import allocator
from judgeloop.models import hardware

REQUIRED = ("torch", "transformers", "trl", "accelerate", "datasets", "peft", "gguf", "safetensors")
OPTIONAL = {"tensorboard": "pip install 'judgeloop[tensorboard]'"}


@dataclass(frozen=True, slots=True)
class Finding:
    """`state` "missing" means that nothing will run without it; "note" costs speed or an option."""

    subject: str
    state: Literal["ok", "note", "missing"]
    detail: str


def examine() -> list[Finding]:
    """Python, packages, cores and number formats, memory, disk, accelerators, cache folder."""
    from judgeloop.models.convert import cache_folder

    found = [Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")]
    for name in REQUIRED:
        version = _version(name)
        hint = f"not installed; pip install {name}"
        found.append(Finding(name, "ok" if version else "missing", version or hint))
    found += _engines()
    for name, hint in OPTIONAL.items():
        version = _version(name)
        found.append(Finding(name, "ok" if version else "note", version or f"optional, not installed; {hint}"))
    found += [_processor(), _memory(), *_allocator(), _accelerator(), _cache(cache_folder())]
    return found


def _engines() -> list[Finding]:
    """Every engine by the name that `engine.kind` takes, and what it still needs."""
    from judgeloop.config.choices import ENGINES

    found = []
    for name in ENGINES:
        kind = ENGINES[name]
        missing = kind.missing()
        detail = f"{missing}; {kind.install}" if missing else (kind.package and _version(kind.package)) or "can be used"
        found.append(Finding(f"engine {name}", "note" if missing else "ok", detail))
    return found


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> Finding:
    cores = hardware.cores()
    flags = _flags()
    if "amx_bf16" in flags or "avx512_bf16" in flags:
        kind = "AMX" if "amx_bf16" in flags else "AVX-512"
        return Finding("processor", "ok", f"{cores} cores, bfloat16 by {kind}")
    return Finding("processor", "note", f"{cores} cores, no bfloat16: training runs in float32, several times slower")


def _flags() -> set[str]:
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return set()
    for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith(("flags", "Features")):
            return set(line.partition(":")[2].split())
    return set()


def _memory() -> Finding:
    gib = hardware.memory() / 2**30
    if math.isinf(gib):
        return Finding("memory", "note", "unknown on this system")
    enough = gib >= 6
    detail = f"{gib:.0f} GiB" + ("" if enough else "; the embedded 135M model needs about 6 to train")
    return Finding("memory", "ok" if enough else "note", detail)


def _allocator() -> list[Finding]:
    """Training preloads another than the C library's if there is one (`compute.allocator`)."""
    if sys.platform != "linux":
        return []
    if found := allocator.loaded() or allocator.installed():
        return [Finding("memory allocator", "ok", f"{found}, for training on a CPU")]
    advice = "training on a CPU is faster with tcmalloc, and uses it if it is there (apt install libtcmalloc-minimal4)"
    return [Finding("memory allocator", "note", f"the C library's; {advice}")]


def _accelerator() -> Finding:
    if hardware.has_driver():
        return Finding("accelerator", "ok", "a GPU's driver is installed; a build of torch for it will use it")
    return Finding("accelerator", "note", "none found; everything runs on the processor")


def _cache(folder: Path) -> Finding:
    place = folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 2**30
    if not os.access(place, os.W_OK):
        return Finding("cache folder", "missing", f"{folder} cannot be written; set JUDGELOOP_CACHE to another folder")
    state: Literal["ok", "note"] = "ok" if free >= 5 else "note"
    return Finding(
        "cache folder", state, f"{folder}, {free:.0f} GiB free" + ("" if free >= 5 else "; a run needs about 5")
    )
