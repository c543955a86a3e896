"""Confirmation: on fresh seeds alone, on enough of them, with what is missing by name and looks counted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from analysis.folders import config, plan, write
from analysis.test_answer import answered, fill

from rlbatch.analysis.answer import Answer
from rlbatch.analysis.comparison import compare
from rlbatch.analysis.confirm import Confirmed, claims_of, confirmed, first_fresh, fresh_configs, sentence_of
from rlbatch.config import RunConfig
from rlbatch.experiment import Experiment

LEVELS = {16: 490.0, 64: 300.0}


@pytest.fixture
def known(tmp_path: Path) -> Answer:
    root = tmp_path / "known"
    return answered(root, fill(root, LEVELS, seeds=6))


def train(folder: Path, configs: list[RunConfig], levels: Mapping[int, float], crashed: tuple[int, ...] = ()) -> None:
    """Writes fresh runs at these levels; of batch 16 the seeds in `crashed` have failed."""
    Experiment(folder).path.mkdir(exist_ok=True)
    Experiment(folder).add_plan(configs, ["rlbatch", "recommend"], confirms="known")
    for own in configs:
        height = levels[own.batch_size] + own.seed % 3
        failed = own.batch_size == 16 and own.seed in crashed
        if not Experiment(folder).run(own).exists():
            write(folder, own, [10.0, height, height, height, height], "crashed" if failed else "ok")


def told(found: Answer, folder: Path, first: int = 6) -> Confirmed:
    (one,) = confirmed(claims_of(found), compare([folder]), found.metric, first, folder)
    return one


def test_a_claim_that_holds_on_fresh_seeds_is_confirmed_and_one_that_turns_is_refuted(
    known: Answer, tmp_path: Path
) -> None:
    configs = fresh_configs(claims_of(known), 6, 5)
    train(tmp_path / "c", configs, LEVELS)
    one = told(known, tmp_path / "c")
    assert (one.verdict, one.seeds, one.lacking, one.before) == ("confirmed", 5, (), ())
    assert sentence_of(one).startswith("CartPole-v1: batch 16 minus batch 64 on 5 fresh seeds: +0.3")
    train(tmp_path / "turned", configs, {16: 300.0, 64: 490.0})
    assert told(known, tmp_path / "turned").verdict == "refuted"
    train(tmp_path / "even", configs, {16: 300.0, 64: 300.0})
    assert "; not confirmed (p = 1)." in sentence_of(told(known, tmp_path / "even"))


def test_two_seeds_are_no_verdict_and_missing_runs_are_named(known: Answer, tmp_path: Path) -> None:
    train(tmp_path / "c", fresh_configs(claims_of(known), 6, 6), LEVELS, crashed=(6, 7, 8, 9))
    one = told(known, tmp_path / "c")
    assert (one.verdict, one.seeds, one.p_value) == ("too few seeds", 2, 1.0)
    said = sentence_of(one)
    assert "on 2 fresh seeds" in said
    assert "no verdict: 5 fresh seeds of each batch size are needed." in said
    assert "Not in it: batch 16 seeds 6, 7, 8, 9 (crashed)." in said
    assert "confirmed" not in said


def test_runs_that_were_never_begun_are_named_too(known: Answer, tmp_path: Path) -> None:
    configs = fresh_configs(claims_of(known), 6, 5)
    train(tmp_path / "c", [own for own in configs if own.batch_size == 64], LEVELS)
    Experiment(tmp_path / "c").add_plan(configs, [], confirms="known")
    one = told(known, tmp_path / "c")
    assert (one.difference, one.verdict) == (None, "too few seeds")
    assert [run.status for run in one.lacking] == ["planned"] * 5
    assert "unknown; no verdict" in sentence_of(one)


def test_seeds_that_the_experiment_has_now_are_not_fresh_any_more(known: Answer, tmp_path: Path) -> None:
    train(tmp_path / "c", fresh_configs(claims_of(known), 6, 5), LEVELS)
    root = tmp_path / "known"
    plan(root, fill(root, LEVELS, seeds=10), reference={"batch_size": 64})
    assert first_fresh(root) == 10
    train(tmp_path / "c", fresh_configs(claims_of(known), 10, 2), LEVELS)
    assert (told(known, tmp_path / "c", 10).seeds, told(known, tmp_path / "c", 10).verdict) == (2, "too few seeds")


def test_the_first_fresh_seed_is_above_all_that_were_planned_or_trained(tmp_path: Path) -> None:
    plan(tmp_path, [config(seed=seed) for seed in range(4)])
    assert first_fresh(tmp_path) == 4
    write(tmp_path, config(seed=11), [1, 2, 3, 4, 5])
    assert first_fresh(tmp_path) == 12


def test_several_claims_are_corrected_together(known: Answer, tmp_path: Path) -> None:
    claims = claims_of(known) * 2
    train(tmp_path / "c", fresh_configs(claims, 6, 5), {16: 301.3, 64: 300.0})
    alone = told(known, tmp_path / "c")
    both = confirmed(claims, compare([tmp_path / "c"]), known.metric, 6, tmp_path / "c")
    assert 0.05 / 2 < alone.p_value < 0.05
    assert alone.verdict == "confirmed"
    assert [one.p_value for one in both] == pytest.approx([2 * alone.p_value] * 2)
    assert [one.verdict for one in both] == ["not confirmed"] * 2
    assert "with Holm's correction for 2 claims" in sentence_of(both[0])


def test_looks_at_fewer_fresh_seeds_are_told(known: Answer, tmp_path: Path) -> None:
    folder = tmp_path / "c"
    for count in (5, 7):
        train(folder, fresh_configs(claims_of(known), 6, count), LEVELS)
        assert told(known, folder).before == ((5,) if count == 7 else ())
    assert told(known, folder).before == (5,)  # the same look again is the same look
    assert "It was looked at before, on 5 of these seeds" in sentence_of(told(known, folder))
    assert len([json.loads(line) for line in (folder / "looks.jsonl").read_text().splitlines()]) == 2
