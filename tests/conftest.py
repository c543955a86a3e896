"""What every test starts from: a working directory of its own, one torch thread, training in process on request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import probes
import pytest
from here import train_here
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).parents[1]
# the same examples in every run, however slow the machine is
settings.register_profile("tests", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuses to train for each worker what a group of tests trains once: versions may not go together."""
    grouped = [item for item in items if item.get_closest_marker("xdist_group")]
    if config.getoption("loadgroup", default=False) and not all("@" in item.nodeid for item in grouped):
        raise pytest.UsageError("pytest-xdist does not keep groups of tests together with this pytest")


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MuJoCo leaves a log where it runs, and relative paths must not meet the repository."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RLBATCH_OUT", raising=False)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
    probes.register()


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trains in this process instead of a worker's, and measures no costs."""
    train_here(monkeypatch)


@pytest.fixture
def fragile() -> Iterator[type[probes.Fragile]]:
    from rlbatch.environments import describe

    describe("Probe/Fragile-v0", {})  # makes an instance, once
    probes.Fragile.choose()
    yield probes.Fragile
    haunted = probes.Fragile.haunted
    probes.Fragile.choose()
    assert haunted == 0, "an environment that had failed was used again"
