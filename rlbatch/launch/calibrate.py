"""What is not known yet of an experiment's costs and score scales? Measured before it trains, in one process.

Costs go to `cost.json` (see `wallclock`), returns of random play to `references.json` (see `references`), both beside
the runs. What was measured once is kept. Whatever goes wrong here is told in a note, and training goes on without.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rlbatch.config import RunConfig, as_dict, from_dict
from rlbatch.errors import RlbatchError
from rlbatch.experiment import Experiment
from rlbatch.launch import measuring
from rlbatch.launch.provenance import versions
from rlbatch.references import EPISODES, is_listed, read_references
from rlbatch.results import SCHEMA, write_json
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
_PATIENCE_S = (120.0, 30.0)
"""Within which torch must be loaded, and within which each finding must come after that."""
_UNKNOWN = "not all costs and references are known"
_DISTURBED = 0.1
"""Share of the time, taken by other processes, from which on a note says so."""


@dataclass(frozen=True)
class Missing:
    """What is to be measured: for each environment and each kind of run one run that stands for it."""

    references: Sequence[RunConfig]
    costs: Sequence[RunConfig]


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
        gpu: its name, where the runs train on one.

    Raises:
        Interrupted: a signal ended the command.
    """
    if len(configs) < 2:
        return
    name = {"auto": "cpu", "cuda": "cuda:0"}.get(device, device)
    machine = machine_here(None if name == "cpu" else gpu)

    def note(text: str) -> None:
        report({"type": "note", "text": text})

    try:
        books = _Books(experiment, {"device": name, "machine": machine})
        missing = books.missing(configs)
        asked = len(missing.references) + len(missing.costs)
        if asked:
            report({"type": "measuring", "done": 0, "of": asked})
            job, take = _job(missing, name, modules), _clerk(books, missing, report, note)
            try:
                measuring.run("rlbatch.launch.calibrate", job, take, patience=_PATIENCE_S)
            except RlbatchError as error:
                note(f"{_UNKNOWN}: {error}")
            report({"type": "measuring", "done": asked, "of": asked})
            books.write_costs()
    except (RlbatchError, OSError) as error:
        note(f"{_UNKNOWN}: {error}")


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


def _job(missing: Missing, device: str, modules: Sequence[str]) -> dict[str, Any]:
    return {
        "references": [as_dict(config) for config in missing.references],
        "costs": [as_dict(config) for config in missing.costs],
        "device": device,
        **measuring.surroundings(modules),
    }


def _clerk(
    books: _Books, missing: Missing, report: measuring.Report, note: Callable[[str], None]
) -> Callable[[dict[str, Any]], None]:
    """Returns what takes the findings of the measuring process."""
    asked = len(missing.references) + len(missing.costs)
    done = 0

    def take(finding: dict[str, Any]) -> None:
        nonlocal done
        kind, index, found = finding["kind"], finding.get("index", 0), finding.get("found", {})
        if kind == "ready":
            return
        if kind == "left":
            note(f"{finding['count']} of {asked} measurements are left for the next command that trains here")
            return
        done += 1
        config = getattr(missing, kind)[index]
        if "failed" in finding:
            what = {"costs": f"cost of batch {config.batch_size}", "references": "return of random play"}[kind]
            note(f"{config.env_id}: the {what} is not known: {finding['failed']}")
        elif kind == "costs":
            books.add_cost(config, found)
            if found["queued_share"] > _DISTURBED:
                share = f"{found['queued_share']:.0%}"
                note(f"{config.env_id} batch {config.batch_size}: other processes took {share} of the time measured")
        else:
            books.add_reference(config, found)
        report({"type": "measuring", "done": done, "of": asked})

    return take


def work(job: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Measures a job and yields its findings, those that fail with the reason: random play first, then costs."""
    from rlbatch.training.calibration import measure_cost
    from rlbatch.training.endings import reason_of
    from rlbatch.training.random_play import random_reference

    measuring.take_over(job)
    yield {"kind": "ready"}
    ends = time.monotonic() + _BEGIN_S
    span = min(_COST_S, _COSTS_S / max(len(job["costs"]), 1))
    tasks: dict[str, Callable[[RunConfig], dict[str, Any]]] = {
        "references": lambda config: random_reference(config, EPISODES, _EPISODES_STEPS, _EPISODES_S),
        "costs": lambda config: measure_cost(config, job["device"], span),
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
