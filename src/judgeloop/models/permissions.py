"""Who may read what is saved: safetensors files are written for their owner alone, whatever the user's umask says."""

from __future__ import annotations

import os
from pathlib import Path


def follow_umask(folder: Path) -> None:
    """Give the files in a folder, and below it, the permissions that new files have."""
    mask = os.umask(0)
    os.umask(mask)
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(0o666 & ~mask)
