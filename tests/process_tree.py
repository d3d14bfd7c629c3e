"""A command's processes: the driver, what forks, the child that works."""

from __future__ import annotations

from pathlib import Path


def process_tree(pid: int) -> list[int]:
    """The process, its first child, that one's first child, and so on."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        children = []
    return [pid, *(process_tree(int(children[0])) if children else ())]
