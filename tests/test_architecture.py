"""The house: who may import whom, and where torch lives."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "rlbatch"
HOUSE = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
(CHAIN,) = re.findall(r"```\n(errors <.*?)```", HOUSE, flags=re.DOTALL)
FLOORS = [{part.strip() for part in floor.split(",")} for floor in CHAIN.split("<")]
"""A part imports only what stands on an earlier floor, or itself."""
MODULES = sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def floor_of(part: str) -> int:
    return next(i for i, floor in enumerate(FLOORS) if part in floor)


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_imports_only_what_stands_before_it(path: Path) -> None:
    part = part_of(path)
    if part == "__init__":
        return
    for name in imports_of(path):
        pieces = name.split(".")
        if pieces[0] != "rlbatch" or len(pieces) < 2 or pieces[1] == "__version__":
            continue
        assert pieces[1] == part or floor_of(pieces[1]) < floor_of(part), f"{part} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_torch_lives_in_training_alone(path: Path) -> None:
    outside = {n.split(".")[0] for n in imports_of(path)} & {"torch", "stable_baselines3"}
    allowed = part_of(path) == "training" or path.name == "worker.py"
    assert allowed or not outside


def test_every_part_has_a_floor() -> None:
    assert {part_of(path) for path in MODULES} - {"__init__"} == set().union(*FLOORS)


def test_training_and_analysis_meet_on_disk_alone() -> None:
    for path in (PACKAGE / "analysis").glob("*.py"):
        above = {"training", "launch", "recorder", "experiment_file"}
        parts = {n.split(".")[1] for n in imports_of(path) if n.startswith("rlbatch.")}
        assert not parts & above, path.name
    for path in MODULES:
        if part_of(path) not in ("analysis", "cli", "__init__"):
            assert not any(n.startswith("rlbatch.analysis") for n in imports_of(path)), path.name


def test_training_knows_nothing_of_recorders() -> None:
    for path in (PACKAGE / "training").glob("*.py"):
        assert not any(n.startswith(("rlbatch.recorder", "rlbatch.launch")) for n in imports_of(path)), path.name


def test_the_analysis_does_not_load_torch_nor_what_takes_long() -> None:
    names = sorted(path.stem for path in (PACKAGE / "analysis").glob("*.py") if path.stem != "__init__")
    loads = f"import sys, {', '.join(f'rlbatch.analysis.{name}' for name in names)}"
    told = f"{loads}; sys.exit('torch' in sys.modules or 'scipy.stats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", told], check=False).returncode == 0


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_reads_pickles(path: Path) -> None:
    assert not {n.split(".")[0] for n in imports_of(path)} & {"pickle", "cloudpickle", "dill", "marshal", "shelve"}
    assert "torch.load" not in path.read_text()


def test_processes_that_step_environments_do_not_load_torch() -> None:
    told = "import sys, rlbatch.training.env_workers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", told], check=False).returncode == 0
