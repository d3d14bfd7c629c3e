"""This machine, or a GPU that the user names: how fast it may multiply, how much memory and disk it has."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from judgeloop.errors import InputError
from judgeloop.models import hardware

# Makers' figures: dense bf16 products (TFLOP/s; fp16 where there is no bf16), memory's bandwidth (GB/s) and size (GB).
GPUS: dict[str, tuple[float, float, float]] = {
    "B200": (2250, 8000, 180), "H200": (989, 4800, 141), "H100 PCIe": (756, 2000, 80), "H100": (989, 3350, 80),
    "GH200": (989, 4000, 96), "A100": (312, 2039, 80), "A800": (312, 2039, 80), "H800": (989, 3350, 80),
    "L40S": (362, 864, 48), "L40": (181, 864, 48), "L4": (121, 300, 24), "A40": (150, 696, 48), "A10": (125, 600, 24),
    "A6000": (155, 768, 48), "RTX 6000 Ada": (364, 960, 48), "RTX 5090": (210, 1792, 32), "RTX 4090": (165, 1008, 24),
    "RTX 3090": (71, 936, 24), "V100": (125, 900, 32), "T4": (65, 300, 16), "MI300X": (1307, 5300, 192),
    "MI250": (362, 3277, 128),
}  # fmt: skip
# GFLOP/s of bf16 products of one core, measured on two-core machines; of float32 where bf16 is not in hardware. AMX
# multiplies large matrices at up to 790, but those of a small model's step at 200 to 230 (docs/plan.md).
_CORE = {"amx_bf16": 200.0, "avx512_bf16": 200.0, "avx512f": 60.0, "avx2": 35.0}
_OTHER_CORE = 20.0


@dataclass(frozen=True, slots=True)
class Machine:
    """`rate` in FLOP/s of large products in the training's precision; `bandwidth` in bytes/s of a GPU's memory, None
    for a processor; `memory` in bytes of what holds the weights; `here`: it is this machine."""

    name: str
    rate: float
    bandwidth: float | None
    memory: float
    here: bool = True

    @property
    def gpu(self) -> bool:
        return self.bandwidth is not None


def this_machine(threads: int | None) -> Machine:
    """Its first GPU if a driver is there and the table knows it, else its processor."""
    if hardware.has_driver() and (found := _first_gpu()) is not None:
        return found
    cores, flags = threads or hardware.cores(), _flags()
    rate = next((rate for flag, rate in _CORE.items() if flag in flags), _OTHER_CORE)
    return Machine(f"{_processor()}, {cores} cores", cores * rate * 1e9, None, hardware.memory())


def named_gpu(name: str) -> Machine:
    """A GPU of the table. Raises InputError for another."""
    found = _known(name)
    if found is None:
        raise InputError(f"--gpu: '{name}' is not in the table; choose one of {', '.join(GPUS)}")
    rate, bandwidth, memory = GPUS[found]
    return Machine(found, rate * 1e12, bandwidth * 1e9, memory * 1e9, here=False)


def free_disk(folder: Path) -> float:
    """Bytes that are free where the folder is, or will be."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return float(shutil.disk_usage(place).free)


def _known(name: str) -> str | None:
    plain = re.sub(r"[\s_-]+", "", name).lower()
    ordered = sorted(GPUS, key=len, reverse=True)  # L40S before L4
    return next((known for known in ordered if re.sub(r"[\s_-]+", "", known).lower() in plain), None)


@cache
def _first_gpu() -> Machine | None:
    asked = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return None
    name, _, megabytes = said.rpartition(",")
    found = _known(name)
    if found is None or not megabytes.strip().isdigit():
        return None
    rate, bandwidth, _ = GPUS[found]
    return Machine(name.strip(), rate * 1e12, bandwidth * 1e9, int(megabytes) * 2.0**20)


def _processor() -> str:
    return next((line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")), "processor")


def _flags() -> set[str]:
    return next(
        (set(line.partition(":")[2].split()) for line in _cpuinfo() if line.startswith(("flags", "Feat"))), set()
    )


@cache
def _cpuinfo() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
