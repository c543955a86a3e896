"""How long does each shipped experiment take? Measures a part of every kind of stack in it, and writes the hours down.

python results/speed/hours.py --measure [NAME ...]
    measures on two cores of this machine what hours.json lacks, kind by kind, then writes HOURS.md and the line
    `# Time:` of each file whose kinds are all known; takes more than twenty minutes
python results/speed/hours.py --full NAME --out FOLDER
    runs an experiment from nothing into a folder, or goes on with it, and adds to full.json how long that took
python results/speed/hours.py
    writes HOURS.md and the lines from the kept files alone
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))
from summaries import EXPERIMENTS, paragraph, table

from rlbatch.config import RunConfig
from rlbatch.experiment_file import load
from rlbatch.launch.cost import START_S, evaluation_steps, makespan
from rlbatch.launch.plan import plan_stacks

HOME = Path(__file__).parent
CORES = 2
COSTS, FULL, QUICKSTART = HOME / "hours.json", HOME / "full.json", HOME / "quickstart.json"
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
    sizes = "+".join(str(size) for size in sorted({config.batch_size for config in stack}))
    return (
        f"{first.engine} {first.algo} {first.env_id} {network} batch {sizes} n {first.n_steps} "
        f"updates {updates:.4g} width {len(stack)}"
    )


def hours(name: str, costs: Costs) -> float:
    """Returns the hours that an experiment takes on two cores."""
    seconds = [_seconds(stack, costs[kind_of(stack)]) for stack in stacks_of(name)]
    return makespan(seconds, CORES) / 3600


def in_words(value: float) -> str:
    """Returns hours as a head has them, such as `25 minutes` or `3.5 hours`."""
    return f"{max(round(60 * value), 1)} minutes" if value < 1 else f"{value:.1f} hours"


def line_of(value: float, *, full: bool) -> str:
    """Returns the line of a file's head that tells its time; `full`: of a whole run, not extrapolated."""
    how = "measured" if full else "extrapolated"
    return f"# Time: about {in_words(value)} on two cores, {how} (results/speed/HOURS.md)."


class Full(NamedTuple):
    """How long an experiment took.

    Attributes:
        seconds: from the command to its end, all sittings together.
        processor: seconds of all its processes, or None where they were not counted.
        sittings: how often it was begun or gone on with.
        done: whether it came to its end.
    """

    seconds: float
    processor: float | None
    sittings: int
    done: bool

    @property
    def hours(self) -> float:
        """On two cores that have nothing else to do."""
        return (self.seconds if self.processor is None else self.processor / CORES) / 3600


def in_full() -> dict[str, Full]:
    """Returns the time of the experiments that were run from nothing to their end."""
    found = {name: full for name, full in _kept_full().items() if full.done}
    if QUICKSTART.is_file():
        found["quickstart"] = Full(json.loads(QUICKSTART.read_text(encoding="utf-8"))["rlbatch"], None, 1, True)
    return found


def _kept_full() -> dict[str, Full]:
    kept = json.loads(FULL.read_text(encoding="utf-8")) if FULL.is_file() else {}
    return {name: Full(**told) for name, told in kept.items()}


def report(found: Mapping[str, float], full: Mapping[str, Full], costs: Costs) -> str:
    """Returns the page."""
    rows = [
        (
            name,
            len(stacks_of(name)),
            in_words(found[name]) if name in found else "",
            *(_full_cells(full[name]) if name in full else ("", "")),
        )
        for name in sorted({*found, *full})
    ]
    parts = [
        "# How long do the experiments take?\n",
        paragraph(f"""
            Extrapolated: of each of the {len(costs)} kinds of stacks in them (environment, network, batch size, width)
            {SECONDS:.0f} s of training with its rows and {SECONDS / 2:.0f} s of evaluation were measured in processor
            time, two kinds at a time, one on each core. Every stack then takes {START_S:.0f} s to start, its env steps
            and its evaluations, with episodes half as long as the environment allows, and two stacks run at a time.
            Measured and written by `python results/speed/hours.py --measure`.
        """),
        paragraph("""
            In full: from the command to its end, with the calibration of what a step costs, by
            `python results/speed/hours.py --full NAME`, and `quickstart` by `quickstart.py`. Some were stopped and gone
            on with, and the machine had other work besides; half of the processor time of all processes is what two
            cores take that have none. A head tells that half where it was counted, else the wall time.
        """),
        table(("experiment", "stacks", "extrapolated", "in full: wall time", "in full: processor time / 2"), rows),
    ]
    return "\n".join(parts)


def _full_cells(full: Full) -> tuple[str, str]:
    sittings = f" in {full.sittings} sittings" if full.sittings > 1 else ""
    return in_words(full.seconds / 3600) + sittings, "" if full.processor is None else in_words(full.hours)


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
        side.warm_up(evaluates=False)
    try:
        return {"training": _cost(side.train, SECONDS), "evaluation": _cost(side.evaluate, SECONDS / 2)}
    finally:
        side.close()


def _cost(act: Callable[[float], Any], seconds: float) -> float:
    """Returns the processor time per env step of one run: what else the machine has to do hardly changes it."""
    started, cpu = time.perf_counter(), time.thread_time()
    stretch = act(seconds)
    return float(stretch.cost * (time.thread_time() - cpu) / (time.perf_counter() - started))


def _one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)


def run_in_full(name: str, out: Path, before: Full | None) -> Full:
    """Runs an experiment into a folder, or goes on with it; returns how long it took, with the sittings before.

    Raises:
        ValueError: the folder holds runs whose time is not known, or lacks those whose time is.
    """
    if (out / name / "experiment.yaml").exists() != (before is not None):
        raise ValueError(f"{out / name}: {'is not there' if before else 'is there, but not its time'}")
    call = "import sys; from rlbatch.cli.main import run; sys.exit(run(sys.argv[1:]))"
    root = EXPERIMENTS.parent
    command = [sys.executable, "-c", call, "run", name, "--out", os.path.relpath(out, root)]
    started, spent = time.perf_counter(), _of_children()
    try:
        code = subprocess.run([*command, "--jobs", str(CORES)], check=False, cwd=root).returncode
    except KeyboardInterrupt:
        code = 130
    seconds, processor = time.perf_counter() - started, _of_children() - spent
    if before is None:
        return Full(round(seconds, 1), round(processor, 1), 1, code == 0)
    known = None if before.processor is None else round(before.processor + processor, 1)
    return Full(round(before.seconds + seconds, 1), known, before.sittings + 1, code == 0)


def _of_children() -> float:
    """Returns the processor seconds of all processes that this one has waited for, and of those that they have."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _write_line(name: str, value: float, *, full: bool) -> None:
    """Puts the time into a file's head, under its size."""
    path = EXPERIMENTS / f"{name}.yaml"
    text = re.sub(r"^# Time: .*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    head, size, rest = re.split(r"(^# Size: (?:.*\n# (?!Command))*.*\n)", text, maxsplit=1, flags=re.MULTILINE)
    path.write_text(head + size + line_of(value, full=full) + "\n" + rest, encoding="utf-8")


def main() -> None:
    """Measures if asked to, and writes the page and the heads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--full", metavar="NAME")
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("names", nargs="*", help="experiments to measure; all by default")
    given = parser.parse_args()
    names = sorted(path.stem for path in EXPERIMENTS.glob("*.yaml"))
    if given.full:
        full = run_in_full(given.full, given.out, _kept_full().get(given.full))
        _keep(FULL, {name: told._asdict() for name, told in (_kept_full() | {given.full: full}).items()})
    costs = json.loads(COSTS.read_text(encoding="utf-8")) if COSTS.is_file() else {}
    if given.measure:
        asked = [stack for name in given.names or names for stack in stacks_of(name)]
        for kind, cost in measure(stack for stack in asked if kind_of(stack) not in costs):
            costs[kind] = cost
            _keep(COSTS, costs)
    known = [name for name in names if all(kind_of(stack) in costs for stack in stacks_of(name))]
    found, whole = {name: hours(name, costs) for name in known}, in_full()
    (HOME / "HOURS.md").write_text(report(found, whole, costs), encoding="utf-8")
    for name, value in (found | {name: full.hours for name, full in whole.items()}).items():
        _write_line(name, value, full=name in whole)


def _keep(path: Path, what: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(what, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
