"""rlbatch completion: the completion script of a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from rlbatch.cli import options, types
from rlbatch.errors import InputError

_SHELLS = ("bash", "zsh", "fish")


@click.command(cls=options.GroupedCommand)
@click.argument("shell", metavar="bash|zsh|fish", type=types.word(*_SHELLS))
def command(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    eval "$(rlbatch completion bash)"
    """  # noqa: D301 - click reads the \b
    from rlbatch.cli.main import commands

    kind = get_completion_class(shell) if shell in _SHELLS else None
    if kind is None:
        raise InputError("completion", f"{shell!r} is not a shell known here", f"allowed: {', '.join(_SHELLS)}")
    click.echo(kind(commands, {}, "rlbatch", "_RLBATCH_COMPLETE").source())
