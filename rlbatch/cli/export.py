"""rlbatch export: a run's policy as a Stable-Baselines3 .zip."""

from __future__ import annotations

import click

from rlbatch.cli import options, types
from rlbatch.cli.reading import find_run
from rlbatch.errors import InputError


@click.command(cls=options.GroupedCommand)
@click.argument("run", type=types.Parsed("run", str, "dir"))
@options.option(
    "--to",
    "target",
    type=types.Parsed("file", types.read_path, "file"),
    required=True,
    group="Output",
    help="File to write; must not exist.",
)
@options.import_option
def command(run: str, target: str, modules: tuple[str, ...]) -> None:
    """Write a run's policy as a .zip that DQN.load or SAC.load reads and that acts identically."""
    path = options.checked_path(target if target.endswith(".zip") else f"{target}.zip", "--to")
    from rlbatch.env_ids import import_module

    for module in modules:
        import_module(module)
    folder = find_run(run)
    if folder.config().layer_norm:
        hint = f"its weights are in {folder.policy_path}"
        raise InputError(str(folder.path), "Stable-Baselines3's networks have no layer normalisation", hint)
    from rlbatch.training.policies import export

    name = export(folder, path)
    click.echo(f"wrote {path}; read it with stable_baselines3.{name}.load({str(path)!r})")
