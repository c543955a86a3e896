"""How long will runs take? By what finished runs of their kind took, and unknown otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rlbatch.config import RunConfig, as_dict
from rlbatch.launch.speeds import expected_seconds, kind_of, recorded_speeds
from rlbatch.paths import run_path
from rlbatch.results import run_record, write_json


def config(**settings: Any) -> RunConfig:
    return RunConfig.build(**{"env_id": "CartPole-v1", "algo": "dqn", "total_timesteps": 1000, **settings})


def finish(root: Path, run: RunConfig, seconds: float, *, width: int = 1, outcome: str = "ok") -> None:
    folder = root / "some" / run_path(run)
    folder.mkdir(parents=True)
    write_json(folder / "config.json", run_record(run) | {"stack_width": width})
    write_json(folder / "result.json", {"outcome": outcome, "seconds": seconds, "timesteps": 1000})


def test_the_speed_of_a_stack_is_that_of_all_its_runs(tmp_path: Path) -> None:
    for seed, seconds in enumerate((10.0, 20.0, 50.0)):
        finish(tmp_path, config(seed=seed), seconds, width=4)
    assert recorded_speeds(tmp_path) == {kind_of(as_dict(config())): 4 * 1000 / 20}


@pytest.mark.parametrize(
    "settings", [{"batch_size": 64}, {"net_arch": [8]}, {"env_id": "Acrobot-v1"}, {"engine": "sb3"}, {"train_freq": 1}]
)
def test_another_kind_of_run_says_nothing(settings: dict[str, Any], tmp_path: Path) -> None:
    finish(tmp_path, config(), 10.0)
    runs = [config(), config(learning_rate=0.5), config(**settings)]
    assert expected_seconds(runs, [[0, 1], [2]], recorded_speeds(tmp_path), 1) == (20.0, 1)


def test_failed_unreadable_and_absent_runs_are_passed_over(tmp_path: Path) -> None:
    finish(tmp_path, config(), 10.0, outcome="crashed")
    finish(tmp_path, config(seed=1), 0.0)
    finish(tmp_path, config(seed=2), 10.0)
    (tmp_path / "some" / run_path(config(seed=2)) / "config.json").write_text("{")
    assert recorded_speeds(tmp_path) == {}
    assert recorded_speeds(tmp_path / "nowhere") == {}


def test_what_is_done_already_takes_no_time() -> None:
    speeds = {kind_of(as_dict(config())): 10.0}
    assert expected_seconds([config(), config(seed=1)], [[0], [1]], speeds, 1) == (200.0, 0)
    assert expected_seconds([config(), config(seed=1)], [[0], [1]], speeds, 1, [600, 0]) == (140.0, 0)
