"""What is not known yet of an experiment's costs and score scales? Measured before it trains, in one process.

Costs go to `cost.json` (see `wallclock`), returns of random play to `references.json` (see `references`), both beside
the runs. What was measured once is kept. Whatever goes wrong here is told in a note, and training goes on without.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from rlbatch.config import RunConfig, as_dict, from_dict
from rlbatch.errors import RlbatchError
from rlbatch.experiment import Experiment
from rlbatch.launch import measuring
from rlbatch.launch.provenance import versions
from rlbatch.references import EPISODES, is_listed, read_references
from rlbatch.results import SCHEMA, write_json
from rlbatch.training.endings import reason_of
from rlbatch.training.random_play import random_reference
from rlbatch.wallclock import Entry, kind_of, read_costs

_COST_S = 0.5
"""Seconds of training for each cost, or less where there are many."""
_COSTS_S = 30.0
"""The same for all of them together."""
_EPISODES_STEPS = 100_000
_EPISODES_S = 10.0
"""Env steps and seconds after which no more random episodes of one environment begin."""
_BEGIN_S = 60.0
"""Seconds after which nothing more is begun."""
_PATIENCE_S = 60.0
"""Seconds within which each finding must come; the first cost waits for torch to be loaded."""
_DISTURBED = 0.1
"""Share of the time, taken by other processes, from which on a note says so."""


@dataclass(frozen=True)
class Missing:
    """What is to be measured: for each environment and each kind of run one run that stands for it."""

    references: Sequence[RunConfig]
    costs: Sequence[RunConfig]

    def __len__(self) -> int:
        """Returns how many measurements there are."""
        return len(self.references) + len(self.costs)

    def job(self, device: str, modules: Sequence[str]) -> dict[str, Any]:
        """Returns what the measuring process is told."""
        asked = {kind: [as_dict(config) for config in getattr(self, kind)] for kind in ("references", "costs")}
        return {**asked, "device": device, **measuring.surroundings(modules)}


def calibrate(
    configs: Sequence[RunConfig],
    experiment: Experiment,
    report: measuring.Report,
    *,
    device: str,
    modules: Sequence[str],
    gpu: str | None = None,
) -> None:
    """Measures what is missing for these runs and keeps it beside them. A single run is compared with nothing.

    Args:
        configs: the runs of the command.
        experiment: their folder, locked.
        report: is told {"type": "measuring", "done", "of"} and {"type": "note", "text"}.
        device: as asked.
        modules: to be imported; the command line named them.
        gpu: its name, where the runs train on one of this machine; without it, no costs of a GPU are measured.

    Raises:
        Interrupted: a signal ended the command.
    """
    if len(configs) < 2:
        return
    name = {"auto": "cpu", "cuda": "cuda:0"}.get(device, device)
    here = {"device": name, "machine": machine_here(None if name == "cpu" else gpu)}
    try:
        books = _Books(experiment, here)
        missing = books.missing(configs)
        if missing.costs and name != "cpu" and gpu is None:  # a cluster's nodes may have one
            _note(report, f"there is no {name} on this machine, so no costs are measured")
            missing = replace(missing, costs=())
        if missing:
            _measure(missing.job(name, modules), _Clerk(books, missing, report))
            books.write_costs()
    except (RlbatchError, OSError) as error:
        _note(report, str(error))


def machine_here(gpu: str | None = None) -> dict[str, Any]:
    """Returns what names this machine in an entry; `gpu` is the name of the one that trains."""
    return {"cpu": _cpu_name(), "cores": os.cpu_count(), "gpu": gpu, "torch": versions()["torch"]}


class _Books:
    """The two files of an experiment. Both are read at first, so that nothing is measured if one cannot be.

    Args:
        experiment: their folder.
        here: device and machine of what is measured now.
    """

    def __init__(self, experiment: Experiment, here: Mapping[str, Any]) -> None:
        self._experiment, self._here = experiment, here
        self._costs = read_costs(experiment.cost_path)
        self._references = read_references(experiment.references_path)

    def missing(self, configs: Sequence[RunConfig]) -> Missing:
        """Returns what is not known here of these runs; of random play, not known from anywhere."""
        here = self._here.items()
        known = [entry["kind"] for entry in self._costs if here <= entry.items()]
        played = [(entry["env_id"], entry["env_kwargs"]) for entry in self._references]
        references: list[RunConfig] = []
        costs: list[RunConfig] = []
        for config in configs:
            env = (config.env_id, config.env_kwargs)
            if not is_listed(*env) and env not in played:
                played.append(env)
                references.append(config)
            if config.engine == "stacked" and (kind := kind_of(config)) not in known:
                known.append(kind)
                costs.append(config)
        return Missing(references, costs)

    def add_cost(self, config: RunConfig, found: Mapping[str, Any]) -> None:
        """Keeps what a run of this kind costs; raises OSError."""
        self._costs.append({"kind": kind_of(config), **self._here, **found, "measured": _today()})
        self.write_costs()

    def add_reference(self, config: RunConfig, found: Mapping[str, Any]) -> None:
        """Keeps what random play brings in an environment; raises OSError."""
        where = {"env_id": config.env_id, "env_kwargs": config.env_kwargs}
        self._references.append({**where, **found, "gymnasium": versions()["gymnasium"], "measured": _today()})
        _write(self._experiment.references_path, self._references)

    def write_costs(self) -> None:
        """Writes cost.json, though it be without entries: it says that they were looked for; raises OSError."""
        _write(self._experiment.cost_path, self._costs)


class _Clerk:
    """Takes the findings of the measuring process into the books, and tells of them.

    Attributes:
        queued: the largest share of the time measured that other processes took.
    """

    def __init__(self, books: _Books, missing: Missing, report: measuring.Report) -> None:
        self._books, self._missing, self._report = books, missing, report
        self._done = 0
        self.queued = 0.0

    def take(self, finding: Mapping[str, Any]) -> None:
        """Takes one; raises OSError where it cannot be kept."""
        kind = finding["kind"]
        if kind == "left":
            self.note(f"{finding['count']} of {len(self._missing)} are left for the next command that trains here")
        else:
            self._keep(kind, getattr(self._missing, kind)[finding["index"]], finding)
            self.tell(self._done + 1)

    def tell(self, done: int | None = None) -> None:
        """Tells how many measurements are done; None for as many as there will be."""
        self._done = len(self._missing) if done is None else done
        self._report({"type": "measuring", "done": self._done, "of": len(self._missing)})

    def note(self, text: str) -> None:
        """Tells what is not as it should be."""
        _note(self._report, text)

    def _keep(self, kind: str, config: RunConfig, finding: Mapping[str, Any]) -> None:
        if "failed" in finding:
            what = f"cost of batch {config.batch_size}" if kind == "costs" else "return of random play"
            self.note(f"{config.env_id}: the {what} is not known: {finding['failed']}")
        elif kind == "costs":
            self._books.add_cost(config, finding["found"])
            self.queued = max(self.queued, finding["found"]["queued_share"])
        else:
            self._books.add_reference(config, finding["found"])


def _measure(job: Mapping[str, Any], clerk: _Clerk) -> None:
    """Has the job done by a process, and tells of it; raises OSError where a finding cannot be kept."""
    clerk.tell(0)
    try:
        measuring.run("rlbatch.launch.calibrate", job, clerk.take, patience=_PATIENCE_S)
    except RlbatchError as error:
        clerk.note(str(error))
    clerk.tell()
    if clerk.queued > _DISTURBED:
        clerk.note(f"other processes took up to {clerk.queued:.0%} of the time in which they were measured")


def _note(report: measuring.Report, text: str) -> None:
    report({"type": "note", "text": f"costs and score scales: {text}"})


def work(job: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Measures a job and yields its findings, those that fail with the reason: random play first, then costs."""
    measuring.take_over(job)
    ends = time.monotonic() + _BEGIN_S
    span = min(_COST_S, _COSTS_S / max(len(job["costs"]), 1))
    tasks: dict[str, Callable[[RunConfig], dict[str, Any]]] = {
        "references": _play,
        "costs": partial(_train, device=job["device"], seconds=span),
    }
    waiting = [(kind, index, from_dict(run)) for kind in tasks for index, run in enumerate(job[kind])]
    while waiting and time.monotonic() < ends:
        kind, index, config = waiting.pop(0)
        try:
            told: tuple[str, Any] = ("found", tasks[kind](config))
        except Exception as error:  # noqa: BLE001 - whatever an environment raises; the run itself will tell of it
            told = ("failed", reason_of(error))
        yield dict([("kind", kind), ("index", index), told])
    if waiting:
        yield {"kind": "left", "count": len(waiting)}


def _play(config: RunConfig) -> dict[str, Any]:
    return random_reference(config, EPISODES, _EPISODES_STEPS, _EPISODES_S)


def _train(config: RunConfig, device: str, seconds: float) -> dict[str, Any]:
    from rlbatch.training.calibration import measure_cost  # loads torch, which random play does not need

    return measure_cost(config, device, seconds)


def _write(path: Path, entries: Sequence[Entry]) -> None:
    write_json(path, {"schema": SCHEMA, "entries": list(entries)})


def _today() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _cpu_name() -> str:
    """Returns the processor's name, or its architecture where it has none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), platform.processor() or platform.machine())


if __name__ == "__main__":
    measuring.serve(work)
