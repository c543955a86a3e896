"""The plan of an experiment's folder: what asks for runs, and what is read of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from rlbatch.config import RunConfig
from rlbatch.errors import InputError, RefusedError
from rlbatch.experiment import Experiment
from rlbatch.paths import run_path
from rlbatch.plans import Declared


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


def test_a_plan_that_confirms_says_what(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    experiment.add_plan([config(0)], ["rlbatch", "recommend"], confirms="known")
    assert experiment.plan().confirms == "known"
    assert "confirms: known" in experiment.plan_path.read_text()
    experiment.plan_path.unlink()
    experiment.add_plan([config(0)], ["rlbatch", "train"])
    assert experiment.plan().confirms == ""
    assert "confirms:" not in experiment.plan_path.read_text()


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


def test_a_file_is_kept_to_the_letter_with_the_second_labels_of_its_runs(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    text = "# why?  \nname: x\r\n\tend: 'é'"
    also = {config(1).run_id: [{"match": "samples"}]}
    experiment.replace_plan(Declared([config(1)], also, text, {}), [])
    (plan,) = yaml.safe_load(experiment.plan_path.read_text(encoding="utf-8"))["plans"]
    assert (plan["file"], plan["also"]) == (text, also)


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


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        (b"schema: 1\na: [\n", r":\d:\d", "is not YAML: "),
        (b"a: \x00\n", "", "is not YAML: "),
        (b"a: \xff\n", "", "is not UTF-8"),
        (b"a: 2020-99-99\n", "", "is not YAML that rlbatch wrote: "),
    ],
)
def test_a_plan_that_is_no_yaml_is_told_in_one_line(text: bytes, where: str, said: str, tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    experiment.plan_path.write_bytes(text)
    with pytest.raises(InputError, match=rf"experiment\.yaml{where}: {said}.*restore the file, or move") as caught:
        experiment.planned()
    assert "\n" not in caught.value.what
    assert "\\n" not in str(caught.value)
