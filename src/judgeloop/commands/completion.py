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
    from typer.completion import get_completion_script

    typer.echo(get_completion_script(prog_name="judgeloop", complete_var=VARIABLE, shell=shell))


def begin() -> None:
    """Let a shell's question be answered; called where the environment says that there is one."""
    from typer._completion_classes import completion_init

    completion_init()


def configs(incomplete: str) -> list[str]:
    """Shipped configs that begin so; files are completed by the shell."""
    from judgeloop.commands.arguments import shipped_configs

    return [name for name in shipped_configs() if name.startswith(incomplete)]


def keys(incomplete: str) -> list[str]:
    """Keys for --set that begin so, up to the next section."""
    from judgeloop.config import known_keys

    found = [key for key in known_keys() if key.startswith(incomplete)]
    depth = incomplete.count(".")
    sections = {key.rpartition(".")[0] for key in known_keys()}
    return [f"{key}." if key in sections else f"{key}=" for key in found if key.count(".") == depth]
