"""`judgeloop completion`: what a shell needs to complete commands, options and keys."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

VARIABLE = "_JUDGELOOP_COMPLETE"


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(help="for which shell")],
) -> None:
    """Print a script that completes commands, options, shipped configs and --set keys in a shell.

    bash: judgeloop completion bash >> ~/.bashrc; zsh: the same with ~/.zshrc, after compinit; fish: judgeloop
    completion fish > ~/.config/fish/completions/judgeloop.fish
    """
    from typer._completion_shared import get_completion_script

    typer.echo(get_completion_script(prog_name="judgeloop", complete_var=VARIABLE, shell=shell))


def begin() -> None:
    """Let a shell's question be answered; called where the environment says that there is one."""
    from typer._completion_classes import completion_init

    completion_init()
