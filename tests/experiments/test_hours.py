"""The hours in the heads of the experiments: they are what the kept measurements give for the plans of today."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in (ROOT / "experiments").glob("*.yaml"))


@pytest.fixture(scope="module")
def hours() -> ModuleType:
    path = ROOT / "results" / "speed" / "hours.py"
    spec = importlib.util.spec_from_file_location("hours", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["hours"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NAMES)
def test_a_head_tells_the_time_that_the_kept_measurements_give(name: str, hours: ModuleType) -> None:
    costs = json.loads(hours.COSTS.read_text(encoding="utf-8")) if hours.COSTS.is_file() else {}
    lines = (ROOT / "experiments" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    told = [line for line in lines if line.startswith("# Time: ")]
    full = hours.in_full().get(name)
    known = all(hours.kind_of(stack) in costs for stack in hours.stacks_of(name))
    value = full.hours if full is not None else hours.hours(name, costs) if known else None
    if value is None:
        assert told == [], "not what the plan of today takes: python results/speed/hours.py --measure"
        return
    assert value < 8
    assert told == [hours.line_of(value, full=full is not None)]


def test_two_stacks_side_by_side_take_as_long_as_the_longer_one(hours: ModuleType) -> None:
    stacks = hours.stacks_of("quickstart")
    free = {hours.kind_of(stack): {"training": 0.0, "evaluation": 0.0} for stack in stacks}
    # four stacks that only start, four seconds each, on two cores: two after each other on each of them
    assert hours.hours("quickstart", free) == pytest.approx(2 * 4 / 3600)
    kind = hours.kind_of(stacks[0])
    slow = free | {kind: {"training": 1e-3, "evaluation": 0.0}}
    # the first stack takes longer than all the others on the other core, at a millisecond per env step of each run

    assert hours.hours("quickstart", slow) == pytest.approx((4 + len(stacks[0]) * 25) / 3600)


def test_processor_time_counts_where_it_is_known_and_sittings_are_told(hours: ModuleType) -> None:
    quiet, busy = hours.Full(3600.0, None, 1, True), hours.Full(7200.0, 3600.0, 2, True)
    assert (quiet.hours, busy.hours) == (1.0, 0.5)
    text = hours.report({}, {"quickstart": busy}, {})
    assert "| quickstart | 4 |  | 2.0 hours in 2 sittings | 30 minutes |" in text


def test_only_what_came_to_its_end_was_run_in_full(
    hours: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = {"seconds": 9.0, "processor": 8.0, "sittings": 1, "done": False}
    (tmp_path / "full.json").write_text(json.dumps({"a": half, "b": half | {"done": True}}))
    monkeypatch.setattr(hours, "FULL", tmp_path / "full.json")
    assert set(hours.in_full()) == {"b", "quickstart"}


def test_hours_in_words(hours: ModuleType) -> None:
    assert hours.in_words(0.001) == "1 minutes"
    assert hours.in_words(0.5) == "30 minutes"
    assert hours.in_words(3.26) == "3.3 hours"
