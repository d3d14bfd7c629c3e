"""What the viewer needs for a run of many prompts: time of the first page and of others, and peak memory.

`PYTHONPATH=src:tests python benchmarks/view_rows.py [COUNT]` prints one JSON object. The rows are written to a
temporary folder (about 230 MB for a million), and the pages are asked for in the process that serves them.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))


def measure(count: int) -> dict[str, float]:
    from starlette.testclient import TestClient

    from judgeloop.viewer.app import make_app
    from viewer.viewed_run import make_large

    with tempfile.TemporaryDirectory() as folder:
        run = make_large(Path(folder) / "run", count)
        pages = TestClient(make_app([run]), base_url="http://127.0.0.1")
        pages.get("/static/view.css")
        found: dict[str, float] = {"prompts": count}
        for name, query in (
            ("first page", ""), ("same page again", ""), ("last rows", f"start={count - 20}"), ("text", "q=sea"),
            ("text that is nowhere", "q=zebra"),
        ):  # fmt: skip
            started = time.perf_counter()
            answer = pages.get(f"/r/run/prompts/M2?{query}")
            assert answer.status_code == 200
            found[f"{name}, ms"] = round(1000 * (time.perf_counter() - started))
        started = time.perf_counter()
        while "being read once" in pages.get("/r/run/prompts/M2?account=pair&part=1").text:
            pass
        found["until filters work, s"] = round(time.perf_counter() - started, 1)
        started = time.perf_counter()
        pages.get("/r/run/prompts/M2?account=pair&low=2&start=1000")
        found["filtered page, ms"] = round(1000 * (time.perf_counter() - started))
        found["peak memory, MiB"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return found


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000), indent=2))
