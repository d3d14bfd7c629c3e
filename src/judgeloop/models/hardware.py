"""What the machine computes with, and does the config ask for what only one with CUDA can do?"""

from __future__ import annotations

import importlib.util
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from judgeloop.config import TrainingSection
from judgeloop.errors import InputError

# Device files of the drivers that torch's CUDA can use: Nvidia's, Windows' under WSL, AMD's (ROCm), Tegra's.
_DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd", "/dev/nvmap")
_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")


def has_driver() -> bool:
    """Is a GPU's driver there that torch's CUDA can use? Answered without torch."""
    return any(Path(file).exists() for file in _DRIVERS)


def has_cuda() -> bool:
    """Is there a CUDA device that torch can use? Asks torch only if there is a driver: its import takes seconds."""
    if not has_driver():
        return False
    import torch

    return bool(torch.cuda.is_available())


def cpu_has_bf16() -> bool:
    """Does this CPU multiply bfloat16 matrices in hardware (AMX or AVX-512 BF16)? Without, bfloat16 is slower."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags


def cores() -> int:
    """Cores that this process may use: those that it may run on (`taskset`, Slurm, a container's set), or as many as
    its quota of processor time is worth (`docker --cpus`), if that is less. More threads than these wait for each
    other."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [text.split() for text in _limits("cpu.max")]
    quotas += [[*_limits("cpu/cpu.cfs_quota_us"), *_limits("cpu/cpu.cfs_period_us")]]
    worth = [int(share[0]) / int(share[1]) for share in quotas if len(share) == 2 and all(map(str.isdigit, share))]
    return max(1, math.ceil(min([allowed, *worth])))


def memory() -> float:
    """Bytes of memory that this process may have: the machine's, or its container's if that has less; infinite if the
    system does not say."""
    try:
        whole = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (ValueError, OSError, AttributeError):
        return math.inf
    limits = [*_limits("memory.max"), *_limits("memory/memory.limit_in_bytes")]
    return min([whole, *(float(text) for text in limits if text.isdigit())])


def _limits(name: str) -> Iterator[str]:
    """What a file of the process's control group says, and of the groups that it is in."""
    try:
        own = _OWN_GROUP.read_text(encoding="utf-8").partition("0::/")[2].partition("\n")[0]
    except OSError:
        own = ""
    for folder in (_GROUPS / own, *(_GROUPS / own).parents):
        if folder.is_relative_to(_GROUPS) and (folder / name).is_file():
            yield (folder / name).read_text(encoding="ascii").strip()


def cuda_devices() -> int:
    """How many devices CUDA shows to this process, under its CUDA_VISIBLE_DEVICES.

    Asked of torch in a process of its own: CUDA fixes what a process sees when it is first asked. Names of device files
    say little: in a container that was given one GPU it may be called nvidia3, and CUDA calls it 0.
    """
    if not has_driver():
        return 0
    asked = [sys.executable, "-c", "import torch; print(torch.cuda.device_count())"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    last = done.stdout.strip().rpartition("\n")[2]
    return int(last) if done.returncode == 0 and last.isdigit() else 0


def require_gpu_settings(config: TrainingSection, section: str = "") -> None:
    """Raise InputError if the config asks for weights of 4 bits, FlashAttention or Liger's kernels and this machine
    has no GPU, or not the package. `section` is the config's name in the tree, such as "train"."""
    prefix = f"{section}." if section else ""
    if config.method == "qlora":
        _require(prefix, "method: qlora", "bitsandbytes", "lora")
    if config.attention == "flash_attention_2":
        _require(prefix, "attention: flash_attention_2", "flash_attn", "auto")
    if config.kernels == "liger":
        _require(prefix, "kernels: liger", "liger_kernel", "torch")


def _require(prefix: str, setting: str, package: str, instead: str) -> None:
    other = f"{prefix}{setting.partition(':')[0]}: {instead}"
    if not has_cuda():
        raise InputError(f"{prefix}{setting} needs a GPU with CUDA, and this machine has none; set {other}")
    if importlib.util.find_spec(package) is None:
        name = package.replace("_", "-")
        raise InputError(f"{prefix}{setting} needs {name}; run `pip install {name}`, or set {other}")
