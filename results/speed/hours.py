"""How long does each shipped experiment take? Measures a part of every kind of stack in it, and writes the hours down.

python results/speed/hours.py --measure [NAME ...]
    measures on two cores of this machine what hours.json lacks, kind by kind, then writes HOURS.md and the line
    `# Time:` of each file whose kinds are all known; takes more than twenty minutes
python results/speed/hours.py
    writes HOURS.md and the lines from hours.json alone
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from summaries import EXPERIMENTS, paragraph, table

from rlbatch.config import RunConfig
from rlbatch.experiment_file import load
from rlbatch.launch.cost import START_S, evaluation_steps, makespan
from rlbatch.launch.plan import plan_stacks

HOME = Path(__file__).parent
CORES = 2
MEMORY = 16 * 2**30
"""Bytes for which stacks are planned, whatever is free here."""
SECONDS = 2.0
"""Of training, and half as many of evaluation, for each kind of stack."""

Costs = Mapping[str, Mapping[str, float]]
"""Kind of stack -> seconds per env step of one run in training and in evaluation."""


def stacks_of(name: str) -> list[list[RunConfig]]:
    """Returns the runs of each stack that two cores would train."""
    configs = [run.config for run in load(EXPERIMENTS / f"{name}.yaml").planned]
    return [[configs[i] for i in stack] for stack in plan_stacks(configs, memory=MEMORY, jobs=CORES)]


def kind_of(stack: Sequence[RunConfig]) -> str:
    """Returns a text that is equal for stacks that take as long per env step."""
    first = stack[0]
    updates = first.gradient_steps / (first.train_freq * first.n_envs)
    network = "x".join(map(str, first.net_arch))
    return (
        f"{first.engine} {first.algo} {first.env_id} {network} batch {first.batch_size} n {first.n_steps} "
        f"updates {updates:.4g} width {len(stack)}"
    )


def hours(name: str, costs: Costs) -> float:
    """Returns the hours that an experiment takes on two cores."""
    seconds = [_seconds(stack, costs[kind_of(stack)]) for stack in stacks_of(name)]
    return makespan(seconds, CORES) / 3600


def in_words(value: float) -> str:
    """Returns hours as a head has them, such as `25 minutes` or `3.5 hours`."""
    return f"{max(round(60 * value), 1)} minutes" if value < 1 else f"{value:.1f} hours"


def line_of(value: float) -> str:
    """Returns the line of a file's head that tells its time."""
    return f"# Time: about {in_words(value)} on two cores (results/speed/HOURS.md says how that was found)."


def report(found: Mapping[str, float], costs: Costs) -> str:
    """Returns the page."""
    rows = [(name, len(stacks_of(name)), in_words(value)) for name, value in sorted(found.items())]
    parts = [
        "# How long do the experiments take?\n",
        paragraph(f"""
            Extrapolated, not run in full: of each of the {len(costs)} kinds of stacks in them (environment, network,
            batch size, width) {SECONDS:.0f} s of training with its rows and {SECONDS / 2:.0f} s of evaluation were
            measured, two kinds at a time, one on each core. Every stack then takes {START_S:.0f} s to start, its env
            steps and its evaluations, with episodes half as long as the environment allows, and two stacks run at a
            time. Measured and written by `python results/speed/hours.py --measure`.
        """),
        table(("experiment", "stacks", "time on two cores"), rows),
    ]
    return "\n".join(parts)


def measure(stacks: Iterable[Sequence[RunConfig]]) -> Iterator[tuple[str, dict[str, float]]]:
    """Yields each kind among the stacks with what it costs, in seconds per env step of one run."""
    kinds = {kind_of(stack): stack for stack in stacks}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(CORES, mp_context=spawn, initializer=_one_thread) as pool:
        for kind, cost in zip(kinds, pool.map(_measure, kinds.values()), strict=True):
            print(kind, cost, flush=True)
            yield kind, cost


def _seconds(stack: Sequence[RunConfig], cost: Mapping[str, float]) -> float:
    each = cost["training"] * stack[0].total_timesteps + cost["evaluation"] * evaluation_steps(stack[0])
    return START_S + len(stack) * each


def _measure(stack: Sequence[RunConfig]) -> dict[str, float]:
    from rlbatch.training.bench_sides import Reference, Stacked

    side: Any
    if stack[0].engine == "sb3":
        side = Reference(stack[0], "cpu")
    else:
        side = Stacked(stack, lambda run, row: None, "cpu", 0, ())
        side.warm_up()
    try:
        return {"training": side.train(SECONDS).cost, "evaluation": side.evaluate(SECONDS / 2).cost}
    finally:
        side.close()


def _one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)


def _write_line(name: str, value: float) -> None:
    """Puts the time into a file's head, under its size."""
    path = EXPERIMENTS / f"{name}.yaml"
    text = re.sub(r"^# Time: .*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    head, size, rest = re.split(r"(^# Size: (?:.*\n# (?!Command))*.*\n)", text, maxsplit=1, flags=re.MULTILINE)
    path.write_text(head + size + line_of(value) + "\n" + rest, encoding="utf-8")


def main() -> None:
    """Measures if asked to, and writes the page and the heads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("names", nargs="*", help="experiments to measure; all by default")
    given = parser.parse_args()
    names = sorted(path.stem for path in EXPERIMENTS.glob("*.yaml"))
    kept = HOME / "hours.json"
    costs = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    if given.measure:
        asked = [stack for name in given.names or names for stack in stacks_of(name)]
        for kind, cost in measure(stack for stack in asked if kind_of(stack) not in costs):
            costs[kind] = cost
            kept.write_text(json.dumps(costs, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    known = [name for name in names if all(kind_of(stack) in costs for stack in stacks_of(name))]
    found = {name: hours(name, costs) for name in known}
    (HOME / "HOURS.md").write_text(report(found, costs), encoding="utf-8")
    for name, value in found.items():
        _write_line(name, value)


if __name__ == "__main__":
    main()
