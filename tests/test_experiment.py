"""The experiment folder: plan, lock, state, and what may be used as one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rlbatch import experiment as experiment_module
from rlbatch.config import RunConfig
from rlbatch.errors import BusyError, InputError
from rlbatch.experiment import Experiment, experiment_at
from rlbatch.paths import run_path
from rlbatch.results import run_record, write_json
from rlbatch.rows import Row

RESULT = {
    **dict.fromkeys(("run_id", "reason", "timesteps", "updates", "samples", "seconds", "attempts"), 0),
    "outcome": "ok",
    "final": dict.fromkeys(("return_mean", "auc", "best", "drawdown_max", "dispersion", "steps_to_threshold"), 0),
}
LAST = Row("eval", 0, 0, 0, 0.0, {"eval/return_mean": 1.0}, [1.0], [1]).encode()
"""The evaluation at the run's end, as the result above has it."""


def config(seed: int) -> RunConfig:
    return RunConfig.build(env_id="CartPole-v1", algo="dqn", seed=seed)


def test_every_planned_run_has_a_status(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    experiment.add_plan([config(s) for s in (0, 1, 2)], [])
    for seed in (1, 2, 3):  # 3 was never planned
        folder = experiment.run(config(seed))
        folder.path.mkdir(parents=True)
        write_json(folder.config_path, run_record(config(seed)))
    write_json(experiment.run(config(2)).result_path, RESULT)
    experiment.run(config(2)).metrics_path.write_text(LAST)
    states = {path[-1]: state for path, state in experiment.statuses().items()}
    assert states == {"0": "planned", "1": "partial", "2": "ok", "3": "partial"}
    with experiment.lock():
        assert experiment.statuses()[str(run_path(config(1)))] == "running"


def test_a_finished_run_that_lost_its_last_evaluation_is_unreadable(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    experiment.add_plan([config(0)], [])
    run = experiment.run(config(0))
    run.path.mkdir(parents=True)
    write_json(run.config_path, run_record(config(0)))
    for outcome, rows, state in (
        ("ok", LAST, "ok"),
        ("ok", LAST[:-1], "unreadable"),
        ("ok", "", "unreadable"),
        ("diverged", "", "diverged"),
    ):
        write_json(run.result_path, RESULT | {"outcome": outcome})
        run.metrics_path.write_text(rows)
        assert list(experiment.statuses().values()) == [state]


def test_a_second_command_waits_and_then_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment_module, "LOCK_WAIT_S", 0.2)
    experiment = Experiment(tmp_path)
    assert not experiment.locked()
    with experiment.lock():
        assert experiment.locked()
        with pytest.raises(BusyError, match=r"works here \(process \d+\)"), experiment.lock():
            pass
    assert not experiment.locked()
    with experiment.lock():
        pass


def test_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom rlbatch.experiment import Experiment\n"
        "with Experiment(Path(sys.argv[1])).lock():\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert Experiment(tmp_path).locked()
        holder.kill()
    assert not Experiment(tmp_path).locked()


@pytest.mark.parametrize("name", ["../x", ".", "..", "a/b", "-x", "", "a\x1b[31m", "x" * 101, "end.", "a b", "ü"])
def test_a_name_that_could_leave_the_folder_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="--name"):
        experiment_at(Path("results"), name)


def test_a_folder_of_somebody_else_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match="not an rlbatch experiment"):
        Experiment(tmp_path).check_usable()


@pytest.mark.parametrize("path", ["file", "file/below", "/proc/x", "a" * 300, "loop"])
def test_a_path_that_cannot_be_a_folder_is_refused_and_nothing_is_made(path: str) -> None:
    Path("file").touch()
    Path("loop").symlink_to("loop")
    before = sorted(Path.cwd().iterdir())
    with pytest.raises(InputError):
        Experiment(Path(path)).check_usable()
    assert sorted(Path.cwd().iterdir()) == before


def test_a_fresh_and_an_own_folder_can_be_used(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "new" / "deep")
    experiment.check_usable()
    with experiment.lock():
        experiment.add_plan([config(0)], [])
    experiment.check_usable()
