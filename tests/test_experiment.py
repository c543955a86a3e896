"""The experiment folder: plan, lock, state, and what may be used as one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from rlbatch import experiment as experiment_module
from rlbatch.config import RunConfig
from rlbatch.errors import BusyError, InputError, RefusedError
from rlbatch.experiment import Experiment, experiment_at
from rlbatch.plans import Declared
from rlbatch.results import run_path, run_record, write_json

RESULT = {
    **dict.fromkeys(("run_id", "reason", "timesteps", "updates", "samples", "seconds", "attempts"), 0),
    "outcome": "ok",
    "final": dict.fromkeys(("return_mean", "auc", "best", "drawdown_max", "dispersion", "steps_to_threshold"), 0),
}


def config(seed: int) -> RunConfig:
    return RunConfig.build(env_id="CartPole-v1", algo="dqn", seed=seed)


def test_plans_are_merged_and_the_same_plan_is_kept_once(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    experiment.add_plan([config(0), config(1)], ["rlbatch", "train"])
    before = experiment.plan_path.read_bytes()
    experiment.add_plan([config(1), config(0)], ["rlbatch", "train", "again"])
    assert experiment.plan_path.read_bytes() == before
    experiment.add_plan([config(2)], ["rlbatch", "train", "more"])
    assert experiment.planned() == {str(run_path(config(s))): config(s).run_id for s in (0, 1, 2)}


def declared(*seeds: int, text: str = "name: x\nseeds: 3\n", **analysis: object) -> Declared:
    return Declared([config(seed) for seed in seeds], {}, text, analysis)


def planned_seeds(experiment: Experiment) -> list[int]:
    return sorted(int(path[-1]) for path in experiment.planned())


def test_a_file_replaces_the_plan_and_older_plans_are_kept(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    experiment.add_plan([config(0)], ["rlbatch", "train"])
    experiment.replace_plan(declared(1, 2), ["rlbatch", "run"])
    assert planned_seeds(experiment) == [1, 2]
    experiment.add_plan([config(0)], ["rlbatch", "train"])  # asked for again, so it is in the plan again
    assert planned_seeds(experiment) == [0, 1, 2]
    experiment.replace_plan(declared(1), ["rlbatch", "run"])
    assert planned_seeds(experiment) == [1]
    plans = yaml.safe_load(experiment.plan_path.read_text())["plans"]
    assert [len(plan["runs"]) for plan in plans] == [1, 2, 1, 1]
    assert len({plan["hash"] for plan in plans}) == 3


def test_a_file_that_is_the_plan_already_is_not_written_again(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    experiment.replace_plan(declared(1, 2, metric="auc"), ["rlbatch", "run"])
    before = experiment.plan_path.read_bytes()
    experiment.replace_plan(declared(1, 2, metric="auc"), ["rlbatch", "run", "again"])
    assert experiment.plan_path.read_bytes() == before
    experiment.replace_plan(declared(1, 2, metric="best"), ["rlbatch", "run"])
    first, second = yaml.safe_load(experiment.plan_path.read_text())["plans"]
    assert (first["hash"], first["analysis"], second["analysis"]) == (
        second["hash"],
        {"metric": "auc"},
        {"metric": "best"},
    )
    assert first["analysis_hash"] != second["analysis_hash"]


def test_a_plan_that_confirms_says_what(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    experiment.add_plan([config(0)], ["rlbatch", "recommend"], confirms="known")
    assert experiment.plan().confirms == "known"
    assert "confirms: known" in experiment.plan_path.read_text()
    Experiment(tmp_path / "x").path.mkdir()
    Experiment(tmp_path / "x").add_plan([config(0)], ["rlbatch", "train"])
    assert Experiment(tmp_path / "x").plan().confirms == ""
    assert "confirms" not in Experiment(tmp_path / "x").plan_path.read_text()


def test_a_file_is_kept_to_the_letter_with_the_second_labels_of_its_runs(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    text = "# why?  \nname: x\r\n\tend: 'é'"
    also = {config(1).run_id: [{"match": "samples"}]}
    experiment.replace_plan(Declared([config(1)], also, text, {}), [])
    (plan,) = yaml.safe_load(experiment.plan_path.read_text(encoding="utf-8"))["plans"]
    assert (plan["file"], plan["also"]) == (text, also)


def test_every_planned_run_has_a_status(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    experiment.add_plan([config(s) for s in (0, 1, 2)], [])
    for seed in (1, 2, 3):  # 3 was never planned
        folder = experiment.run(config(seed))
        folder.path.mkdir(parents=True)
        write_json(folder.config_path, run_record(config(seed)))
    write_json(experiment.run(config(2)).result_path, RESULT)
    states = {path[-1]: state for path, state in experiment.statuses().items()}
    assert states == {"0": "planned", "1": "partial", "2": "ok", "3": "partial"}
    with experiment.lock():
        assert experiment.statuses()[str(run_path(config(1)))] == "running"


def test_a_second_command_waits_and_then_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment_module, "LOCK_WAIT_S", 0.2)
    experiment = Experiment(tmp_path)
    assert not experiment.locked()
    with experiment.lock():
        assert experiment.locked()
        with pytest.raises(BusyError, match="pid"), experiment.lock():
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


@pytest.mark.parametrize("text", ["schema: 2\nplans: []", "[]", "just text"])
def test_a_plan_of_another_schema_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "experiment.yaml").write_text(text)
    with pytest.raises(RefusedError):
        Experiment(tmp_path).planned()


def test_a_plan_with_tags_executes_nothing(tmp_path: Path) -> None:
    (tmp_path / "experiment.yaml").write_text("plans: !!python/object/apply:os.system ['touch canary']")
    with pytest.raises(InputError):
        Experiment(tmp_path).planned()
    assert not Path("canary").exists()


def test_the_plan_is_plain_yaml_with_its_command(tmp_path: Path) -> None:
    Experiment(tmp_path).add_plan([config(0)], ["rlbatch", "train", "--env", "CartPole-v1"])
    text = (tmp_path / "experiment.yaml").read_text()
    assert "--env" in text
    assert json.dumps(config(0).run_id)[1:-1] in text
