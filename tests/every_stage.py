"""The stages that the package makes, wherever they are made."""

from __future__ import annotations

import gc

from judgeloop.run.stage import Stage


def every_stage() -> list[Stage]:
    """All stages of this process. What conftest froze is not among the objects that the collector lists."""
    gc.unfreeze()
    found = [each for each in gc.get_objects() if type(each) is Stage]
    gc.freeze()
    return found
