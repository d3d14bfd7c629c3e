"""Write the diagram of the loop into docs/architecture.md, from the steps of `judgeloop.loop`. Run it after changing
them."""

from __future__ import annotations

from pathlib import Path

from judgeloop.config import parse
from judgeloop.loop import method
from judgeloop.run.stage import Artifact

TARGET = Path(__file__).resolve().parents[1] / "docs" / "architecture.md"
BEGIN, END = "<!-- the loop, by scripts/write_loop_diagram.py -->", "<!-- end of the loop -->"


def diagram() -> str:
    """A Mermaid flow chart of the steps from M0 to M2, an arrow for each input with the name that the stage has for
    it. Evaluations are left out of the arrows into later evaluations, to keep the picture readable."""
    steps = method(
        parse({"seed_data": {"ift": "seed.jsonl"}, "iterations": 1, "evaluation": {"base": False}}, "diagram")
    )
    lines = ["```mermaid", "flowchart TD"]
    lines += [f'    {_node(step.name)}["{step.name}<br/>{step.stage.title}"]' for step in steps]
    for step in steps:
        labels: dict[str, list[str]] = {}
        for name, given in step.given.items():
            for one in given:
                if isinstance(one, Artifact) and name != "previous":
                    labels.setdefault(one.step, []).append(name)
        lines += [f"    {_node(source)} -->|{', '.join(names)}| {_node(step.name)}" for source, names in labels.items()]
    return "\n".join([*lines, "```"])


def _node(name: str) -> str:
    return name.replace("/", "_").replace(".", "_")


def page(text: str) -> str:
    """The page with its diagram made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{diagram()}\n{END}{after}"


if __name__ == "__main__":
    TARGET.write_text(page(TARGET.read_text(encoding="utf-8")), encoding="utf-8")
