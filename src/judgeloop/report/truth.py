"""What the user's own code measured, model by model, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_JUDGE = "judge against truth"


def truth_table(models: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """`{"measure", "columns": models, "rows": [(label, [interval a model])], "judge", "group", "without"}`: the
    measures, the headline by group, and how well the judge tells better from worse. None if nothing was checked."""
    checked = [model for model in models if model["truth"]]
    if not checked:
        return None
    found = [model["truth"] for model in checked]
    last = found[-1]
    rows = [(name, [truth["measures"].get(name) for truth in found]) for name in last["measures"]]
    groups = sorted({name for truth in found for name in truth["groups"]})
    rows += [(f"{last['measure']}, {last['group']} {name}", [t["groups"].get(name) for t in found]) for name in groups]
    rows.append((_JUDGE, [truth["judge_accuracy"] for truth in found]))
    return {
        "measure": last["measure"],
        "columns": [model["name"] for model in checked],
        "rows": rows,
        "judge": _JUDGE,
        "group": last["group"],
        "without": last["without_group"],
    }
