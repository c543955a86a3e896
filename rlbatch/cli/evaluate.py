"""rlbatch evaluate: a run's last evaluation again, or new episodes."""

from __future__ import annotations

from typing import Any

import click

from rlbatch.cli import options, types
from rlbatch.cli.output import echo_json, number
from rlbatch.cli.reading import find_run
from rlbatch.values import Integer


@click.command(cls=options.GroupedCommand)
@click.argument("run", type=types.Parsed("run", str, "dir"))
@options.option(
    "--episodes",
    type=types.integer(Integer(1, 1000)),
    group="Evaluation",
    help="Play this many episodes that training never saw, instead of repeating the last evaluation.",
)
@options.import_option
@options.output_options
def command(run: str, episodes: int | None, modules: tuple[str, ...], as_json: bool) -> int:
    """Repeat a run's last evaluation from its saved weights and compare it with the record.

    Exits 3 if an episode differs. With --episodes, plays new episodes instead.
    """
    from rlbatch.env_ids import import_module

    for module in modules:
        import_module(module)
    folder = find_run(run)
    from rlbatch.training.policies import evaluate_again, evaluate_fresh

    if episodes is not None:
        played = evaluate_fresh(folder, episodes)
        return _tell(as_json, played.values() | {"episodes": episodes}, 0)
    played, recorded, same_device = evaluate_again(folder)
    same = played.returns == recorded["returns"]
    told: dict[str, Any] = {"recorded": recorded["eval/return_mean"], "same": same, "same_device": same_device}
    return _tell(as_json, played.values() | told, 0 if same or not same_device else 3)


def _tell(as_json: bool, told: dict[str, Any], code: int) -> int:
    if as_json:
        echo_json("evaluate", told)
        return code
    spread = f"min {number(told['eval/return_min'])}, max {number(told['eval/return_max'])}"
    click.echo(f"return {told['eval/return_mean']!r} ({spread}, length {number(told['eval/length_mean'])})")
    if "same" in told:
        verdict = (
            "the same in every episode" if told["same"] else "DIFFERENT: has the environment or a version changed?"
        )
        device = "" if told["same_device"] else "; trained on a device that is not here, which may give other bits"
        click.echo(f"recorded {told['recorded']!r}: {verdict}{device}")
    return code
