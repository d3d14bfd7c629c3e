"""The command line: which command is which function, and what errors end with."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated, Any

import typer
import typer.core

from judgeloop import __version__
from judgeloop.commands import completion, evaluate, export, init, instruct, judge, machine, plan, run, seed, view
from judgeloop.errors import JudgeloopError
from judgeloop.text.printable import printable

_UsageError: Any = typer.BadParameter.__mro__[1]  # wrong options and commands; the library gives it no public name


class _Overview(typer.core.TyperGroup):
    """The help of `judgeloop` itself in plain text: what draws boxes takes longer to load than all the rest."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**{**attributes, "rich_markup_mode": None})

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Every command with its first paragraph, uncut."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, " ".join((one.help or "").split("\n\n")[0].split())) for name, one in self.commands.items()]
            )


app = typer.Typer(
    cls=_Overview,
    help="Train a language model on its own judgements.",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(init.init)
app.command()(plan.plan)
app.command()(run.run)
app.command()(run.status)
app.command()(run.report)
app.command()(view.view)
app.command()(export.export)
app.command()(export.push)
app.command()(seed.seed)
app.command()(instruct.instruct)
app.command()(judge.judge)
app.add_typer(evaluate.eval_app, name="eval")
app.add_typer(machine.models_app, name="models")
app.command()(machine.doctor)
app.command()(completion.completion)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"judgeloop {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def main() -> None:
    """Entry point: 0 done, 2 the user's input is wrong, 1 a fault of ours or the machine's, 130 interrupted."""
    if completion.VARIABLE in os.environ:
        completion.begin()
    try:
        sys.exit(app(prog_name="judgeloop", standalone_mode=False) or 0)  # Ctrl-C ends with 130
    except _UsageError as error:
        words = " ".join(error.format_message().split()).rstrip(".")
        if words:  # none: no command was given, and the help is shown already
            path = error.ctx.command_path if error.ctx is not None else "judgeloop"
            print(f"judgeloop: {words}; {path} --help lists what there is", file=sys.stderr)
        sys.exit(2)
    except JudgeloopError as error:
        print(f"judgeloop: {printable(str(error))}", file=sys.stderr)  # it may quote a model or a file
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        place = f" for {error.filename}" if error.filename else ""
        print(f"judgeloop: no space is left{place}; free some and run the same command again", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
