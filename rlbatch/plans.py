"""What does experiment.yaml say? The plans of an experiment: which runs were asked for, when, and what was declared.

Every command that trains adds a plan, or replaces those before it, which are kept. So the file also tells whether a
declaration stood there before the first run began.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from rlbatch.config import RunConfig
from rlbatch.errors import InputError, RefusedError
from rlbatch.results import SCHEMA, run_path, storage, write_bytes

SYNONYMS = {"score": "metric", "margin": "equivalence", "delta": "equivalence"}
"""Keys of a block `analysis` -> the key that means the same."""
_BINDING = ("metric", "equivalence")
"""Keys that a file has to name for its comparison to be declared."""
_MAPPINGS = ("runs", "also", "analysis")


@dataclass(frozen=True)
class Declared:
    """What an experiment file declares, kept in the experiment's folder.

    Attributes:
        configs: every run.
        also: run id -> the labels under which the run was asked for once more.
        text: the file as it stands.
        analysis: how the runs will be compared, declared before they are trained.
    """

    configs: Sequence[RunConfig]
    also: Mapping[str, Sequence[Mapping[str, Any]]]
    text: str
    analysis: Mapping[str, Any]


class Plan(NamedTuple):
    """What is asked for now.

    Attributes:
        runs: run path -> run id.
        also: run id -> its further labels.
        analysis: how the runs will be compared.
        undeclared: why metric and equivalence do not count as declared before training; empty where they do.
        confirms: name of the experiment whose choice these runs confirm; empty for any other experiment.
    """

    runs: dict[str, str]
    also: dict[str, list[dict[str, Any]]]
    analysis: dict[str, Any]
    undeclared: str = ""
    confirms: str = ""


def read_plans(path: Path) -> list[dict[str, Any]]:
    """Returns the plans that an experiment.yaml holds, the oldest first; none where there is no such file.

    Raises:
        InputError: it cannot be read.
        RefusedError: it has another schema.
    """
    if not path.exists():
        return []
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_SafeLoader)  # noqa: S506 - it is safe
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(str(path), f"cannot be read: {error}") from error
    if not isinstance(content, Mapping) or content.get("schema") != SCHEMA:
        raise RefusedError(str(path), f"is not a plan of schema {SCHEMA}")
    plans = content.get("plans")
    if not isinstance(plans, list) or not all(_is_plan(plan) for plan in plans):
        raise InputError(str(path), "is not a plan that rlbatch wrote", "restore or delete it")
    return list(plans)


def write_plans(path: Path, plans: Sequence[Mapping[str, Any]]) -> None:
    """Writes an experiment.yaml; raises TemporaryError where the disk is full."""
    content = {"schema": SCHEMA, "name": path.parent.name, "plans": plans}
    head = "# The runs that were asked for in this folder. Written by rlbatch.\n"
    with storage(path.parent):
        write_bytes(path, (head + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=120)).encode())


def asked_for(plans: Sequence[Mapping[str, Any]]) -> Plan:
    """Returns what the last file asked for, and what single commands have added since."""
    counting = current(plans)
    runs, also, analysis = (
        {name: value for plan in counting for name, value in plan.get(key, {}).items()} for key in _MAPPINGS
    )
    confirms = next((str(plan["confirms"]) for plan in counting if plan.get("confirms")), "")
    return Plan(runs, also, analysis, _undeclared(plans, said_in(analysis)), confirms)


def plan_of(configs: Sequence[RunConfig], argv: Sequence[str]) -> dict[str, Any]:
    """Returns what is kept of one command."""
    runs = {str(run_path(config)): config.run_id for config in configs}
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return {"command": list(argv), "created": created, "hash": hash_of(sorted(runs.values())), "runs": runs}


def plan_of_file(declared: Declared, argv: Sequence[str]) -> dict[str, Any]:
    """Returns what is kept of a command that carries out an experiment file."""
    analysis = dict(declared.analysis)
    return plan_of(declared.configs, argv) | {
        "also": {run_id: [dict(labels) for labels in more] for run_id, more in declared.also.items()},
        "analysis": analysis,
        "analysis_hash": hash_of(analysis),
        "file": declared.text,
    }


def current(plans: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Returns the plans that count: the last one that came from a file, and those after it."""
    files = [index for index, plan in enumerate(plans) if "file" in plan]
    return plans[files[-1] :] if files else plans


def said_in(analysis: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a block `analysis` with each key under the name that is read."""
    return {SYNONYMS.get(key, key): value for key, value in analysis.items()}


def hash_of(content: Any) -> str:
    """Returns the SHA-256 of plain data."""
    return hashlib.sha256(json.dumps(content, sort_keys=isinstance(content, dict)).encode()).hexdigest()


def _undeclared(plans: Sequence[Mapping[str, Any]], said: Mapping[str, Any]) -> str:
    """Returns why metric and equivalence do not count as declared before the first run began.

    A plan is written when its runs are about to begin, so what counts has to stand in the first one, and in every one
    that came from a file since.
    """
    lacking = [key for key in _BINDING if key not in said]
    if lacking:
        return f"no file has named {' and '.join(lacking)} before training"
    for number, plan in enumerate(plans):
        before = said_in(plan.get("analysis", {}))
        changed = [key for key in _BINDING if before.get(key) != said[key]]
        if before.get("reference", said.get("reference")) != said.get("reference"):
            changed.append("reference")
        if changed and (number == 0 or "file" in plan):
            return f"{', '.join(changed)} declared or changed after the first run had begun"
    return ""


def _is_plan(plan: Any) -> bool:
    whole = isinstance(plan, Mapping) and {"hash", "runs"} <= set(plan)
    return whole and all(isinstance(plan.get(key, {}), Mapping) for key in _MAPPINGS)


_SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc] # either has the same interface
    """Writes plain data only."""

    def ignore_aliases(self, data: Any) -> bool:
        """Writes what occurs twice twice."""
        return True


def _represent(dumper: Any, text: str) -> Any:
    """Writes a text of several lines as such."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent)
