"""`judgeloop export` and `judgeloop push`: a run's models and rows for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from judgeloop.commands.arguments import RunFolder

ModelName = Annotated[str, typer.Option("--model", metavar="NAME", help="M1, M2, …, or best: which the run recommends")]
Format = Annotated[str, typer.Option("--format", help="hf, gguf or ollama; for rows trl, llamafactory or axolotl")]
Dtype = Annotated[str | None, typer.Option(help="hf: bfloat16, float16 or float32 [as the model is]")]
Kind = Annotated[str | None, typer.Option("--type", help="gguf, ollama: f16, bf16, f32 or q8_0 [f16]")]


def export(
    run: RunFolder,
    out: Annotated[Path, typer.Option(help="an empty folder, or one that is not there yet")],
    form: Format,
    model: ModelName = "best",
    dtype: Dtype = None,
    kind: Kind = None,
) -> None:
    """Write a finished model as a Hugging Face folder, a GGUF file or for Ollama; or the run's rows for TRL,
    LLaMA-Factory or Axolotl."""
    from judgeloop.export.formats import export as write

    for line in write(run, model, form, out, dtype=dtype, kind=kind):
        typer.echo(line)
    typer.echo(str(out))


def push(
    run: RunFolder,
    to: Annotated[str, typer.Argument(metavar="REPO|URL", help="owner/name on the hub, or s3://…, gs://…, file://…")],
    form: Format = "hf",
    model: ModelName = "best",
    dtype: Dtype = None,
    kind: Kind = None,
    private: Annotated[bool, typer.Option(help="make the hub's repo a private one")] = False,
) -> None:
    """Export and send: to the hub if there is a token (HF_TOKEN), or to any store that fsspec knows."""
    from judgeloop.export.push import push as send

    for line in send(run, model, to, form, dtype=dtype, kind=kind, private=private):
        typer.echo(line)
