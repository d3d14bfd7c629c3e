"""`judgeloop view`: look through runs in the browser, vote blindly, export the votes."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

import typer

from judgeloop.errors import InputError


def view(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN…", help="run directories, finished or at work, or a folder of them")
    ],
    host: Annotated[str, typer.Option(help="the interface; any but the loopback needs the token that is printed")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free")] = 7878,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="open the page in the browser")] = False,
    export_votes: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write the run's votes as ranked rows, and end")
    ] = None,
) -> None:
    """Look through runs: prompts, candidates, judgements, pairs, models and judge side by side; vote blindly."""
    runs = [run for given in runs for run in _runs_of(given)]
    if export_votes is not None:
        _export(runs, export_votes)
        return
    try:
        import uvicorn

        from judgeloop.viewer.app import make_app, new_token
        from judgeloop.viewer.security import LOOPBACK
    except ImportError as error:
        raise InputError(f"judgeloop view needs {error.name}: pip install 'judgeloop[view]'") from error
    token = None if host in LOOPBACK else new_token()
    app = make_app(runs, hosts=LOOPBACK if token is None else None, token=token)
    listener = _listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{listener.getsockname()[1]}/" + (f"?token={token}" if token else "")
    typer.echo(f"{address}  (Ctrl-C ends it)")
    if open_browser:
        import webbrowser

        webbrowser.open(address)
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, proxy_headers=False)
    uvicorn.Server(config).run(sockets=[listener])


def _runs_of(folder: Path) -> list[Path]:
    """The folder, or if it is no run directory itself those in it, the one that was started last first."""
    if (folder / "run.json").exists():
        return [folder]
    found = sorted(folder.glob("*/run.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    return [file.parent for file in found] or [folder]


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        raise InputError(f"--host {host} --port {port}: {error.strerror}; give another --port") from error
    return listener


def _export(runs: list[Path], target: Path) -> None:
    from judgeloop.viewer.run_view import RunView
    from judgeloop.viewer.votes import Votes, write_export

    if len(runs) != 1:
        raise InputError("--export-votes: name one run")
    votes = Votes(RunView(runs[0], "run"))
    if not votes.given():
        raise InputError.at(runs[0], None, "has no votes", "vote in 'judgeloop view' first")
    written, left_out = write_export(votes, target)
    more = f"; {left_out} ties left out" if left_out else ""
    typer.echo(f"{target}: {written} ranked row{'s' if written != 1 else ''}{more}")
