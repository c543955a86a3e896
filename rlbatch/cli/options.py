"""How do options look in help, and what holds for all of them? Groups with headings, and no option given twice."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from rlbatch.cli.types import (
    EnvironmentId,
    Parsed,
    integer,
    read_fraction,
    read_number,
    read_object,
    read_path,
    read_setting,
    word,
)
from rlbatch.errors import InputError
from rlbatch.values import Integer

F = TypeVar("F", bound=Callable[..., Any])


class GroupedOption(click.Option):
    """An option that belongs under a heading of the help."""

    def __init__(self, *names: Any, group: str = "Other", **settings: Any) -> None:
        super().__init__(*names, **settings)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose help shows options under headings, and which refuses an option that is given twice."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parses the words; raises BadOptionUsage for a repeated option."""
        for option in (p for p in self.params if isinstance(p, click.Option) and not p.multiple and not p.count):
            names = {*option.opts, *option.secondary_opts}
            given = [a for a in args if a in names or a.partition("=")[0] in names]
            if len(given) > 1:
                raise click.BadOptionUsage(option.opts[0], "is given more than once", ctx)
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the options under their headings."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                sections.setdefault(getattr(param, "group", "Other"), []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def option(*names: str, group: str, **settings: Any) -> Callable[[F], F]:
    """Declares an option under a heading."""
    return click.option(*names, cls=GroupedOption, group=group, **settings)


def together(*added: Callable[[F], F]) -> Callable[[F], F]:
    """Returns what adds several options, in this order."""

    def add(command: F) -> F:
        for one in reversed(added):
            command = one(command)
        return command

    return add


def output_options(command: F) -> F:
    """Adds --json to a command that prints something."""
    return option("--json", "as_json", is_flag=True, group="Output", help="Print one JSON object and nothing else.")(
        command
    )


def import_option(command: F) -> F:
    """Adds --import, for environments that a module of the user's registers."""
    return option(
        "--import",
        "modules",
        multiple=True,
        metavar="MODULE",
        group="Environment",
        help="Import this Python module first (found from the working directory); it registers environments.",
    )(command)


def environment_options(*, group: str, **env: Any) -> Callable[[F], F]:
    """Adds --env (required, or with the given default), --env-kwargs, --import and --algo, the last under `group`."""
    return together(
        option(
            "--env",
            "env_id",
            type=EnvironmentId(),
            group="Environment",
            help="Gymnasium id, or module:Id for your own (the module is imported).",
            **env,
        ),
        option(
            "--env-kwargs",
            type=Parsed("json", read_object),
            group="Environment",
            help="Arguments of gymnasium.make, as a JSON object.",
        ),
        import_option,
        option(
            "--algo",
            default="auto",
            show_default=True,
            type=word("auto", "dqn", "sac"),
            metavar="auto|dqn|sac",
            group=group,
            help="auto: dqn for Discrete actions, sac for Box actions.",
        ),
    )


def preset_option(*, group: str) -> Callable[[F], F]:
    """Adds --preset."""
    return option(
        "--preset",
        type=word("neutral", "zoo"),
        metavar="neutral|zoo",
        group=group,
        help="Where unnamed hyperparameters come from.  [default: neutral]",
    )


def out_option(command: F) -> F:
    """Adds --out, the folder of all experiments."""
    return option(
        "--out",
        type=Parsed("folder", read_path, "dir"),
        envvar="RLBATCH_OUT",
        show_envvar=True,
        default="results",
        show_default=True,
        group="Output",
        help="Folder of all experiments.",
    )(command)


resource_options = together(
    option(
        "--jobs",
        type=integer(Integer(1, 256)),
        group="Resources",
        help="Stacks that train at a time, each in a process of its own.  [default: one per core]",
    ),
    option(
        "--stack-width",
        type=integer(Integer(1, 256)),
        group="Resources",
        help="Runs that train as one program, at most.  [default: at most 32, fewer where cores would be idle]",
    ),
    option(
        "--env-workers",
        type=integer(Integer(0, 256)),
        default=0,
        group="Resources",
        help="Processes that step the environments of a stack; worth it for MuJoCo and Box2D.  [default: 0, none]",
    ),
    option(
        "--device",
        default="auto",
        show_default=True,
        type=word("auto", "cpu", "cuda"),
        metavar="auto|cpu|cuda[:n]",
        group="Resources",
        help="auto: a GPU for image observations, else the CPU.",
    ),
    option(
        "--launcher",
        default="local",
        show_default=True,
        type=word("local", "ray"),
        metavar="local|ray",
        group="Resources",
        help="local: processes on this machine. ray: tasks on a Ray cluster.",
    ),
    option(
        "--ray-address",
        metavar="HOST:PORT",
        group="Resources",
        help="Head of the Ray cluster, or auto for the one that runs here.  [default: one of its own]",
    ),
    option(
        "--ray-no-auth-ok",
        is_flag=True,
        group="Resources",
        help="Use a Ray cluster that asks for no token, where whoever reaches it can run code.",
    ),
    option(
        "--checkpoint-every",
        "checkpoint_s",
        type=integer(Integer(1, 86_400)),
        metavar="SECONDS",
        group="Resources",
        help="Seconds of training between two checkpoints of a stack, which are what a kill can cost.  [default: 120]",
    ),
    option(
        "--retry-failed",
        is_flag=True,
        group="Resources",
        help="Train failed runs again; a diverged run is a result and stays.",
    ),
    option(
        "--no-calibration",
        "calibration",
        is_flag=True,
        flag_value=False,
        default=True,
        group="Resources",
        help="Do not measure first what is missing in cost.json and references.json.",
    ),
)
"""With what runs are trained, and whether failed ones are trained again; the names are those of `launch.api`."""

analysis_options = together(
    option(
        "--metric",
        metavar="NAME",
        group="Comparison",
        help="Score of a run to compare by: auc, final, return_mean or best  [default: as declared, else auc]",
    ),
    option(
        "--delta",
        type=Parsed("part", read_fraction),
        group="Comparison",
        help="Largest difference that does not matter, as a part of the range.  [default: as declared, else 0.1]",
    ),
    option(
        "--reference",
        type=integer(Integer(1)),
        metavar="BATCH",
        group="Comparison",
        help="Batch size that others are compared with.  [default: as declared, else the preset's]",
    ),
    option(
        "--threshold",
        type=Parsed("return", read_number),
        group="Comparison",
        help="Return to reach, instead of the environment's threshold.",
    ),
    option(
        "--where",
        type=Parsed("field=value", read_setting),
        multiple=True,
        group="Comparison",
        help="Only runs with this setting, for example learning_rate=0.001; may be given several times.",
    ),
    option(
        "--group",
        metavar="FIELD",
        group="Comparison",
        help="Compare only runs that agree in this setting, for example learning_rate: a table for each of its values.",
    ),
)
"""How runs are compared."""

telling_options = together(
    option("--dry-run", is_flag=True, group="Output", help="Print what would run and what it costs; write nothing."),
    output_options,
    option("-q", "--quiet", is_flag=True, group="Output", help="Print nothing but the run folders."),
    option("-v", "--verbose", is_flag=True, group="Output", help="Print every setting and where it came from."),
)
"""Of a command that trains."""


def results_folder(given: str | None) -> Path:
    """Returns the folder a reading command looks into: the given one, else RLBATCH_OUT, else ./results."""
    return checked_path(given or os.environ.get("RLBATCH_OUT") or "results")


def checked_path(word: str, where: str = "") -> Path:
    """Returns the path, which need not exist; raises InputError at `where` if the system cannot even look there."""
    path = Path(word)
    try:
        path.is_dir()
    except OSError as error:
        raise InputError(where or word, f"cannot be used: {error.strerror}") from error
    return path
