"""What lies beside the project: the folder `shared`, in a checkout or in a worktree of it."""

from __future__ import annotations

from pathlib import Path


def shared(*parts: str) -> Path:
    """A path in the nearest folder `shared` above the tests; a path that is not there if none is."""
    here = Path(__file__).resolve()
    found = next((up / "shared" for up in here.parents if (up / "shared").is_dir()), here.parents[2] / "shared")
    return found.joinpath(*parts)
