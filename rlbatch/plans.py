"""Which runs are asked for in an experiment's folder? What each command and file asked for, in `experiment.yaml`."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from rlbatch.config import RunConfig
from rlbatch.errors import InputError, RefusedError
from rlbatch.paths import run_path
from rlbatch.results import SCHEMA, storage, write_bytes
from rlbatch.strict_yaml import not_yaml

SYNONYMS = {"score": "metric", "margin": "equivalence", "delta": "equivalence"}
"""Keys of a block `analysis` -> the key that means the same."""
_BINDING = ("metric", "equivalence")
"""Keys that a file has to name for its comparison to be declared."""
_RESTORE = "restore the file, or move the folder away"
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


def asked_now(path: Path) -> Plan:
    """Returns what the last file asked for, and what single commands have added since.

    Args:
        path: of `experiment.yaml`, as in all functions here.

    Raises:
        InputError: it cannot be read.
        RefusedError: it has another schema, or names a run outside its folder.
    """
    plans = read_plans(path)
    current = _current(plans)
    runs, also, analysis = (
        {name: value for plan in current for name, value in plan.get(key, {}).items()} for key in _MAPPINGS
    )
    confirms = next((str(plan["confirms"]) for plan in current if plan.get("confirms")), "")
    asked = Plan(runs, also, analysis, _undeclared(plans, said_in(analysis)), confirms)
    for run in map(Path, asked.runs):
        if run.is_absolute() or ".." in run.parts:
            raise RefusedError(str(path), f"names the run {str(run)!r}, outside the experiment")
    return asked


def commands(path: Path) -> list[str]:
    """Returns the commands that asked for runs, the oldest first, as a shell takes them; raises like `read_plans`."""
    return list(dict.fromkeys(shlex.join(map(str, plan["command"])) for plan in read_plans(path)))


def said_in(analysis: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a block `analysis` with each key under the name that is read."""
    return {SYNONYMS.get(key, key): value for key, value in analysis.items()}


def add_plan(path: Path, configs: Sequence[RunConfig], argv: Sequence[str], *, confirms: str = "") -> None:
    """Adds what a command asks for; a plan with the same runs is not added twice. Raises like `read_plans`.

    Args:
        path: of `experiment.yaml`.
        configs: the runs.
        argv: the command.
        confirms: name of the experiment whose choice they confirm; empty for other runs.
    """
    new, plans = _plan(configs, argv) | ({"confirms": confirms} if confirms else {}), read_plans(path)
    if all(plan["hash"] != new["hash"] for plan in _current(plans)):
        _write_plans(path, [*plans, new])


def replace_plan(path: Path, declared: Declared, argv: Sequence[str]) -> None:
    """Makes a file's runs the plan. Plans before it are kept, but ask for nothing any more.

    A file that is the plan already, to the letter, is not written again. Raises like `read_plans`.
    """
    analysis = dict(declared.analysis)
    new = _plan(declared.configs, argv) | {
        "also": {run_id: [dict(labels) for labels in more] for run_id, more in declared.also.items()},
        "analysis": analysis,
        "analysis_hash": _hash(analysis),
        "file": declared.text,
    }
    plans = read_plans(path)
    kept = ("hash", "analysis_hash", "file")
    current = _current(plans)
    if len(current) != 1 or any(current[0].get(key) != new[key] for key in kept):
        _write_plans(path, [*plans, new])


def read_plans(path: Path) -> list[dict[str, Any]]:
    """Returns all plans, the oldest first.

    Raises:
        InputError: they cannot be read.
        RefusedError: they have another schema.
    """
    if not path.exists():
        return []
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_SafeLoader)  # noqa: S506 - safe
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(str(path), "is not UTF-8", _RESTORE) from error
    except ValueError as error:  # a date that is none, a number that is too long
        raise InputError(str(path), f"is not YAML that rlbatch wrote: {error}", _RESTORE) from error
    except yaml.YAMLError as error:
        raise not_yaml(error, str(path), _RESTORE) from error
    if not isinstance(content, Mapping) or content.get("schema") != SCHEMA:
        raise RefusedError(str(path), f"is not a plan of schema {SCHEMA}")
    plans = content.get("plans")
    if not isinstance(plans, list) or not all(_is_plan(plan) for plan in plans):
        raise InputError(str(path), "is not a plan that rlbatch wrote", "restore or delete it")
    return list(plans)


def _plan(configs: Sequence[RunConfig], argv: Sequence[str]) -> dict[str, Any]:
    """Returns what the plan keeps of one command."""
    runs = {str(run_path(config)): config.run_id for config in configs}
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return {"command": list(argv), "created": created, "hash": _hash(sorted(runs.values())), "runs": runs}


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


def _current(plans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the plans that count: the last one that came from a file, and those after it."""
    files = [index for index, plan in enumerate(plans) if "file" in plan]
    return plans[files[-1] :] if files else plans


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=isinstance(content, dict)).encode()).hexdigest()


def _is_plan(plan: Any) -> bool:
    whole = isinstance(plan, Mapping) and {"hash", "runs"} <= set(plan)
    return whole and all(isinstance(plan.get(key, {}), Mapping) for key in _MAPPINGS)


def _write_plans(path: Path, plans: list[dict[str, Any]]) -> None:
    content = {"schema": SCHEMA, "name": path.parent.name, "plans": plans}
    head = "# The runs that were asked for in this folder. Written by rlbatch.\n"
    with storage(path.parent):
        write_bytes(path, (head + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=120)).encode())


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
