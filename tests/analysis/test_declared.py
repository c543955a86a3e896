"""Declarations: what several experiments agree on is kept, and only what was declared in time counts as declared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from analysis.folders import config, plan, write

from rlbatch.analysis.answer import Answer, answer
from rlbatch.analysis.comparison import compare
from rlbatch.experiment import Experiment
from rlbatch.results import write_json

RISING = [10, 20, 300, 400, 450]
WHOLE = {"metric": "final", "equivalence": 0.05, "reference": {"batch_size": 32}}


def experiment(root: Path, env_id: str = "CartPole-v1", seeds: int = 1, **analysis: Any) -> Path:
    """Writes runs with batch sizes 16, 32 and 64."""
    runs = [config(env_id=env_id, batch_size=size, seed=seed) for size in (16, 32, 64) for seed in range(seeds)]
    plan(root, runs, **analysis)
    for own in runs:
        write(root, own, [height - (500 if env_id == "Acrobot-v1" else 0) for height in RISING])
    return root


def references(found: Answer) -> dict[str, int | None]:
    return {part.scored.task.env_id: part.verdicts[part.ways[0].kind].reference for part in found.parts}


def test_beside_an_experiment_that_declares_nothing_a_declaration_is_kept(tmp_path: Path) -> None:
    experiment(tmp_path / "a", **WHOLE)
    experiment(tmp_path / "b", "Acrobot-v1", reference={"batch_size": 64})
    found = answer(compare([tmp_path]))
    assert (found.metric, found.delta, found.notes) == ("final", 0.05, ())
    assert references(found) == {"CartPole-v1": 32, "Acrobot-v1": 64}
    assert found.exploratory == "b: no file has named metric and equivalence before training"


def test_what_experiments_agree_on_is_kept_and_where_they_differ_it_is_said(tmp_path: Path) -> None:
    experiment(tmp_path / "a", **WHOLE)
    experiment(tmp_path / "b", "Acrobot-v1", metric="final", equivalence=0.2, reference={"batch_size": 16})
    found = answer(compare([tmp_path]))
    assert (found.metric, found.delta) == ("final", 0.1)
    assert found.notes == ("equivalence is declared differently, so none of these counts: 0.05 in a, 0.2 in b",)
    assert references(found) == {"CartPole-v1": 32, "Acrobot-v1": 16}
    assert not found.declared


def test_references_of_one_environment_that_differ_are_told(tmp_path: Path) -> None:
    experiment(tmp_path / "a", **WHOLE)
    experiment(tmp_path / "b", seeds=2, **WHOLE | {"reference": {"batch_size": 16}})
    found = answer(compare([tmp_path]))
    assert references(found) == {"CartPole-v1": 64}
    assert "CartPole-v1: the reference is declared differently, so the preset's is taken" in found.notes[0]
    experiment(tmp_path / "b", seeds=3, reference={"batch_size": 64})  # by default: it gives way
    assert references(answer(compare([tmp_path]))) == {"CartPole-v1": 32}


def test_an_environment_that_one_of_several_experiments_holds_keeps_its_scale(tmp_path: Path) -> None:
    experiment(tmp_path / "a")
    own = experiment(tmp_path / "b", "Unlisted-v0")
    measured = {"env_id": "Unlisted-v0", "env_kwargs": {}, "random_mean": 0.0, "random_se": 0.1, "random_n": 100}
    write_json(own / "references.json", {"schema": 1, "entries": [measured]})
    scales = [{task.task.env_id: task.scale for task in compare(where).tasks} for where in ([own], [tmp_path])]
    assert scales[0]["Unlisted-v0"] == scales[1]["Unlisted-v0"]
    assert scales[0]["Unlisted-v0"].high == pytest.approx((300 + 400 + 450) / 3)


def test_only_metric_and_equivalence_of_the_file_itself_are_declared(tmp_path: Path) -> None:
    assert answer(compare([experiment(tmp_path / "a", **WHOLE)])).exploratory == ""
    for number, block in enumerate(({}, {"reference": {"batch_size": 64}}, {"metric": "auc"}, {"equivalence": 0.1})):
        assert not answer(compare([experiment(tmp_path / f"b{number}", **block)])).declared


def test_synonyms_are_read(tmp_path: Path) -> None:
    found = answer(compare([experiment(tmp_path / "a", score="final", margin=0.02)]))
    assert (found.metric, found.delta, found.declared) == ("final", 0.02, True)


def test_whatever_else_is_asked_for_is_exploratory(tmp_path: Path) -> None:
    root = experiment(tmp_path / "a", **WHOLE)
    whole = compare([root])
    assert answer(whole, metric="final", delta=0.05).declared
    assert not answer(whole, metric="auc").declared
    assert not answer(whole, delta=0.06).declared
    assert answer(compare([root], where={"batch_size": 32})).exploratory == "asked for was --where"
    assert answer(compare([root], threshold=100.0)).exploratory == "asked for was --threshold"
    assert (
        answer(compare([next(root.glob("CartPole-v1/dqn/b00016*"))])).exploratory == "asked for was a part of the runs"
    )
    assert answer(compare([root / "CartPole-v1"])).declared


def test_what_is_declared_or_changed_after_the_first_run_began_is_not_declared(tmp_path: Path) -> None:
    late = experiment(tmp_path / "late")
    experiment(late, **WHOLE)
    why = "late: metric, equivalence declared or changed after the first run had begun"
    assert answer(compare([late])).exploratory == why
    changed = experiment(tmp_path / "changed", **WHOLE)
    experiment(changed, **WHOLE | {"equivalence": 0.2})
    experiment(changed, **WHOLE)  # changed back, with the scores known
    assert not answer(compare([changed])).declared
    (trained := tmp_path / "trained").mkdir()
    Experiment(trained).add_plan([config()], ["rlbatch", "train"])
    assert not answer(compare([experiment(trained, **WHOLE)])).declared


def test_an_experiment_that_grows_stays_declared(tmp_path: Path) -> None:
    root = experiment(tmp_path / "a", **WHOLE)
    experiment(root, seeds=3, **WHOLE)
    Experiment(root).add_plan([config(seed=9)], ["rlbatch", "train"])
    assert answer(compare([root])).declared
