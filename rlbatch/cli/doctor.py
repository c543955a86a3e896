"""rlbatch doctor: versions, devices, and what is missing for which environments and commands."""

from __future__ import annotations

from importlib.util import find_spec

import click

from rlbatch.cli import options
from rlbatch.cli.output import echo_json

_EXTRAS = {"plots": ("rlbatch report", ("jinja2", "matplotlib", "plotly")), "ray": ("--launcher ray", ("grpc", "ray"))}
"""Extra -> what needs it, and the modules that it installs."""


@click.command(cls=options.GroupedCommand)
@options.output_options
def command(as_json: bool) -> None:
    """Check versions, devices and what is missing for environments and commands, with the command that installs it."""
    from rlbatch.environments import INSTALL, installed, listed
    from rlbatch.launch.machine import probe_devices
    from rlbatch.launch.provenance import versions

    found = probe_devices()
    extras = {extra: all(find_spec(name) is not None for name in names) for extra, (_, names) in _EXTRAS.items()}
    families = {family: installed(family) for family in dict.fromkeys(facts.family for facts in listed().values())}
    if as_json:
        missing = {family: None if there else INSTALL[family] for family, there in families.items()}
        missing |= {extra: None if there else _command(extra) for extra, there in extras.items()}
        echo_json(
            "doctor", {"versions": versions(), "cuda": found["cuda"], "devices": found["devices"], "install": missing}
        )
        return
    for name, version in versions().items():
        click.echo(f"{name:<18} {version or 'not installed'}")
    for device in found["devices"]:
        memory = f", {device['memory_mb']:,} MiB" if device["memory_mb"] else ""
        click.echo(f"device {device['device']:<11} {device['name']}{memory}")
    if len(found["devices"]) == 1:
        built = (
            f"torch is built for CUDA {found['cuda']}, no GPU is visible" if found["cuda"] else "torch is a CPU build"
        )
        click.echo(f"no GPU: {built}")
    for family, there in families.items():
        ids = ", ".join(env_id for env_id, facts in listed().items() if facts.family == family)
        click.echo(f"{family}: {'ready' if there else 'missing, ' + INSTALL[family]} ({ids})")
    for extra, there in extras.items():
        click.echo(f"{extra}: {'ready' if there else 'missing, ' + _command(extra)} ({_EXTRAS[extra][0]})")


def _command(extra: str) -> str:
    return f'pip install "rlbatch[{extra}]"'
