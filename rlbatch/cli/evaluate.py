"""rlbatch evaluate: a run's last evaluation again, or new episodes."""

from __future__ import annotations

from typing import Any

import click

from rlbatch.cli import options, types
from rlbatch.cli.output import echo_json, number
from rlbatch.cli.show import find_run
from rlbatch.values import Integer


@click.command(cls=options.GroupedCommand)
@click.argument("run")
@options.option(
    "--episodes",
    type=types.integer(Integer(1, 100_000)),
    group="Evaluation",
    help="Play this many episodes that training never saw, instead of repeating the last evaluation.",
)
@options.import_option
@options.output_options
def command(run: str, episodes: int | None, modules: tuple[str, ...], as_json: bool) -> int:
    """Repeat a run's last evaluation from its saved weights and compare it with the record.

    Exits 3 if the number differs. With --episodes, plays new episodes instead.
    """
    from rlbatch.environments import import_module

    for module in modules:
        import_module(module)
    folder = find_run(run)
    from rlbatch.training.policies import evaluate_again, evaluate_fresh

    if episodes is not None:
        played = evaluate_fresh(folder, episodes)
        return _tell(as_json, played.values() | {"episodes": episodes}, 0)
    played, recorded = evaluate_again(folder)
    same = played.returns == recorded
    told: dict[str, Any] = played.values() | {"recorded": sum(recorded) / len(recorded), "same": same}
    return _tell(as_json, told, 0 if same else 3)


def _tell(as_json: bool, told: dict[str, Any], code: int) -> int:
    if as_json:
        echo_json("evaluate", told)
        return code
    spread = f"min {number(told['eval/return_min'])}, max {number(told['eval/return_max'])}"
    click.echo(f"return {told['eval/return_mean']!r} ({spread}, length {number(told['eval/length_mean'])})")
    if "same" in told:
        click.echo(f"recorded {told['recorded']!r}: {'the same' if told['same'] else 'DIFFERENT'} in every episode")
    return code
