"""What does `rlbatch` do with a command line? Finds the command, runs it, and turns errors into one line and a code."""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

from rlbatch import __version__
from rlbatch.errors import InputError, RlbatchError, nearest, printable

_LONGEST_LINE = 300
_SHORTEST_PART = 80
_CUT = "..."
_HELP = ["-h", "--help"]
_ENVIRONMENT = click.core.ParameterSource.ENVIRONMENT

COMMANDS = {
    "train": "Train one run or all combinations of several batch sizes and seeds.",
    "run": "Train what is missing of an experiment file, or foretell it.",
    "status": "Show what an experiment folder holds: done, partial, failed, planned.",
    "show": "Show a run with where each setting came from, or the plan of an experiment file.",
    "list": "List environments, presets, experiments or runs.",
    "compare": "Compare batch sizes: tables of the runs in one or several folders.",
    "recommend": "Say in sentences which batch size, for what that holds, and how sure it is.",
    "report": "Write one HTML page with the answer, its figures and its tables.",
    "tensorboard": "Look at the curves of a folder in TensorBoard, on this machine only.",
    "evaluate": "Repeat a run's last evaluation from its saved weights, or play new episodes.",
    "export": "Write a run's policy as a Stable-Baselines3 .zip.",
    "bench": "Measure how wide to stack, and whether a GPU is worth it, on this machine.",
    "doctor": "Check versions, devices and what is missing for which environments.",
    "completion": "Print the completion script of a shell.",
}
"""Every command with its one-line help; the command itself is loaded when it is run or asked for help."""


class _Commands(click.Group):
    """A group whose commands live in modules of their own, loaded when needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"rlbatch.cli.{cmd_name}").command
        command.context_settings.setdefault("help_option_names", _HELP)  # click remembers those of the first context
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise InputError("", f"{args[0]!r} is not a command", nearest(args[0], COMMANDS) or "see rlbatch --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": _HELP, "max_content_width": 110})
@click.version_option(__version__, package_name="rlbatch", message="rlbatch %(version)s")
def commands() -> None:
    """How many replay experiences should make up each update batch?

    \b
    rlbatch train --env CartPole-v1 --batch 256
    rlbatch tensorboard
    """  # noqa: D301 - click reads the \b


def main() -> None:
    """Runs the command line and ends the process."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs one command line.

    Args:
        arguments: without the program's name.

    Returns:
        The exit code: 0 done, 1 bug, 2 bad input, 3 a run ended badly, 4 busy, 5 refused, 75 temporary, 128 + signal.
    """
    as_json = "--json" in arguments
    try:
        code = commands.main(args=list(arguments), prog_name="rlbatch", standalone_mode=False, obj=list(arguments))
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        return _tell(_as_input_error(error), as_json)
    except click.Abort:
        return 130
    except RlbatchError as error:
        return _tell(error, as_json)
    except (BrokenPipeError, SystemExit):  # click turns a broken pipe into an exit of its own
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader has gone: nothing more can be said
        return 0
    except Exception as error:  # noqa: BLE001 - the last line of defence: a bug is told, not swallowed
        traceback.print_exc()
        return _tell(RlbatchError("", f"internal error: {error!r}", "please report it with the lines above"), as_json)
    return code if isinstance(code, int) else 0


def _tell(error: RlbatchError, as_json: bool) -> int:
    if as_json:
        told: dict[str, Any] = {"schema": "rlbatch.error/1", "where": error.where, "what": error.what}
        click.echo(json.dumps(told | {"hint": error.hint, "exit_code": error.exit_code}), err=True)
    else:
        click.echo(_line(error), err=True)
    return error.exit_code


def _line(error: RlbatchError) -> str:
    """Returns the error as one line; what makes it too long is cut in the middle, quoted values first."""
    parts = [error.what, error.where, error.hint]
    for index, part in enumerate(parts):
        line = f"rlbatch: error: {RlbatchError(parts[1], parts[0], parts[2])}"
        excess = len(line) - _LONGEST_LINE
        if excess <= 0:
            return line
        text = printable(part)
        kept = max(len(text) - excess - len(_CUT), _SHORTEST_PART) // 2
        parts[index] = f"{text[:kept]}{_CUT}{text[-kept:]}" if 2 * kept < len(text) else text
    return f"rlbatch: error: {RlbatchError(parts[1], parts[0], parts[2])}"


def _as_input_error(error: click.ClickException) -> RlbatchError:
    """Gives click's own complaints the form of ours."""
    told = RlbatchError("", error.format_message().rstrip("."))
    if isinstance(error, click.NoSuchOption):
        told = RlbatchError(error.option_name, "is not an option", _option_hint(error))
    elif isinstance(error, click.MissingParameter) and error.param is not None:
        told = RlbatchError(_name(error.param), "is missing", "see --help")
    elif isinstance(error, click.BadParameter) and error.param is not None:
        name = _name(error.param)
        if error.ctx is not None and error.ctx.get_parameter_source(error.param.name or "") == _ENVIRONMENT:
            name = str(error.param.envvar)
        told = RlbatchError(name, error.message.rstrip("."))
    elif isinstance(error, click.BadOptionUsage):
        told = RlbatchError(error.option_name, error.message.rstrip("."))
    told.exit_code = 2
    return told


def _name(param: click.Parameter) -> str:
    """Returns how the help calls a parameter: --batch, DIR."""
    return param.opts[0] if isinstance(param, click.Option) else param.human_readable_name.removesuffix("...")


def _option_hint(error: click.NoSuchOption) -> str:
    """Returns the nearest option, or how train sets a field that has no option."""
    from rlbatch.config import SETTINGS

    if error.ctx is None:
        return "see --help"
    word = error.option_name.lstrip("-")
    trains = error.ctx.info_name == "train"
    if trains and word.replace("-", "_") in SETTINGS:
        return f"--set {word.replace('-', '_')}=VALUE sets it"
    names = [o.removeprefix("--") for param in error.ctx.command.params for o in param.opts if o.startswith("--")]
    close = nearest(word, names).replace("mean ", "mean --")
    return close or ("see --help; --set FIELD=VALUE sets what has no option" if trains else "see --help")
