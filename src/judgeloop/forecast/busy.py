"""How much of the processor other programs took while something was measured."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Moment:
    """Seconds on the clock, of this process on all cores, and of all processes; the last is None where nobody says."""

    clock: float
    own: float
    all: float | None

    @classmethod
    def now(cls) -> Moment:
        return cls(time.monotonic(), time.process_time(), _busy())


def quiet_seconds(begun: Moment, ended: Moment) -> tuple[float, float]:
    """What the time between the two would have been on an idle machine, and the share (0 to 1) of the processor that
    others took. What they took counts as time that this process would have used."""
    clock, own = ended.clock - begun.clock, ended.own - begun.own
    if begun.all is None or ended.all is None or clock <= 0:
        return clock, 0.0
    cores = os.cpu_count() or 1
    others = min(1.0, max(0.0, ended.all - begun.all - own) / (clock * cores))
    mine = own / (clock * cores)
    if mine <= 0 or others < 0.03:
        return clock, others
    return clock * mine / min(1.0, mine + others), others


def others_share(seconds: float = 0.4) -> float:
    """Share of the processor that other programs take now."""
    begun = Moment.now()
    time.sleep(seconds)
    return quiet_seconds(begun, Moment.now())[1]


def _busy() -> float | None:
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()
        user, nice, system, _, _, irq, softirq = (int(value) for value in first[1:8])
        return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
