"""rlbatch doctor: versions, devices, and what is missing for which environments."""

from __future__ import annotations

import click

from rlbatch.cli import options
from rlbatch.cli.output import echo_json


@click.command(cls=options.GroupedCommand)
@options.output_options
def command(as_json: bool) -> None:
    """Check versions, devices and what is missing for which environments, with the command that installs it."""
    from rlbatch.environments import INSTALL, installed, listed
    from rlbatch.launch.machine import probe_devices
    from rlbatch.launch.provenance import versions

    found = probe_devices()
    families = {family: installed(family) for family in dict.fromkeys(facts.family for facts in listed().values())}
    if as_json:
        missing = {family: None if there else INSTALL[family] for family, there in families.items()}
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
