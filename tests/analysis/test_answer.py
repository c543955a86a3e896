"""The answer: what is concluded from runs with known scores, in every way in which batch sizes can be compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from analysis.folders import config, plan, write

from rlbatch.analysis.all_figures import figures_of
from rlbatch.analysis.answer import Answer, answer
from rlbatch.analysis.as_json import plain, plain_recommendations
from rlbatch.analysis.caveats import caveats
from rlbatch.analysis.collect import LABELS
from rlbatch.analysis.comparison import compare
from rlbatch.analysis.methods import methods
from rlbatch.analysis.recommend import overall, recommend
from rlbatch.analysis.seeds import seeds_to_find
from rlbatch.analysis.steadiness import steadiness_of
from rlbatch.analysis.table import columns, confidence_line, shown
from rlbatch.analysis.tables import tables_of
from rlbatch.errors import InputError
from rlbatch.results import write_json
from rlbatch.wallclock import kind_of

GOOD, BAD = 400.0, 120.0
LEVELS = {16: BAD, 64: GOOD, 128: GOOD - 1}


def fill(
    root: Path,
    levels: Mapping[int, float],
    *,
    seeds: int = 12,
    noise: float = 15.0,
    tags: Mapping[str, float | None] | None = None,
    **settings: Any,
) -> list[Any]:
    """Writes runs whose evaluations rise to a level per batch size; returns their configs."""
    rng = np.random.default_rng(3)
    configs = []
    for batch, level in levels.items():
        for seed in range(seeds):
            own = config(batch_size=batch, seed=seed, **settings)
            top = level + rng.normal(0, noise)
            write(root, own, np.minimum([10.0, top / 2, top, top, top], 500.0).tolist(), tags=tags)
            configs.append(own)
    return configs


def two_environments(root: Path) -> list[Any]:
    """Writes runs in two environments, the first with two learning rates; returns their configs."""
    configs = fill(root, LEVELS, seeds=6, learning_rate=1e-3) + fill(root, LEVELS, seeds=6, learning_rate=1e-4)
    acrobot = {16: -480.0, 64: -100.0, 128: -95.0}
    return configs + fill(root, acrobot, seeds=6, noise=5.0, env_id="Acrobot-v1", learning_rate=1e-3)


def answered(root: Path, configs: list[Any], **analysis: Any) -> Answer:
    plan(root, configs, **({"reference": {"batch_size": 64}, "metric": "auc", "equivalence": 0.1} | analysis))
    return answer(compare([root]))


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Answer:
    root = tmp_path_factory.mktemp("results") / "known"
    return answered(root, fill(root, LEVELS))


def test_batch_sizes_are_called_worse_and_equivalent_as_they_were_made(known: Answer) -> None:
    (part,) = known.parts
    (way,) = part.ways
    verdicts = part.verdicts[way.kind]
    assert known.declared
    assert part.scaled
    assert {batch: one.verdict for batch, one in verdicts.standings.items()} == {
        16: "worse",
        64: "equivalent",
        128: "equivalent",
    }
    assert {batch: one.verdict for batch, one in verdicts.against.items()} == {16: "worse", 128: "no difference shown"}
    assert verdicts.reference == 64
    assert verdicts.trend is not None
    assert verdicts.trend.interval().low > 0
    assert way.words == "at learning rate 0.0001 (set by hand, not tuned)"


def test_means_are_those_of_the_runs_on_the_environments_scale(known: Answer) -> None:
    (part,) = known.parts
    scored = next(arm for arm in part.scored.arms.values() if arm.arm.batch_size == 64)
    scale = part.scored.scale
    assert scale.low is not None
    assert scale.range is not None
    areas = [run.mean() for run in (scored.curves.means[:, :-1] + scored.curves.means[:, 1:]) / 2]
    mean = part.verdicts["at its rate"].means[64]
    assert mean.value == pytest.approx((np.mean(areas) - scale.low) / scale.range)
    assert mean.seeds == 12


@pytest.mark.parametrize(("asked", "hint"), [("fnal", "did you mean final"), ("drawdown_max", "auc, final")])
def test_what_is_no_score_is_refused(asked: str, hint: str, known: Answer) -> None:
    with pytest.raises(InputError, match=f"--metric: {asked} is no score of a run.*{hint}"):
        answer(known.comparison, metric=asked)
    with pytest.raises(InputError, match="no score of a run"):
        answer(known.comparison, metric="steps_to_threshold")


def test_a_declared_metric_that_is_no_score_is_replaced_and_told(tmp_path: Path) -> None:
    found = answered(tmp_path, fill(tmp_path, LEVELS, seeds=5), metric="drawdown_max")
    assert found.metric == "auc"
    assert "drawdown_max was declared, which is no score of a run: this is auc" in caveats(found)


def test_batch_size_and_learning_rate_that_vary_together_have_no_verdict(tmp_path: Path) -> None:
    configs = [*fill(tmp_path, {16: BAD}, learning_rate=1e-4), *fill(tmp_path, {64: GOOD}, learning_rate=1e-3)]
    found = answered(tmp_path, configs)
    (part,) = found.parts
    verdicts = part.verdicts["at its rate"]
    assert (verdicts.standings, verdicts.against, verdicts.trend) == ({}, {}, None)
    assert verdicts.means[64].value > verdicts.means[16].value
    (said,) = recommend(found)
    assert "learning rate and batch size vary together" in said.sentences[0]


def test_what_cannot_be_compared_is_named(tmp_path: Path) -> None:
    configs = [
        *fill(tmp_path, {32: GOOD}, seeds=1, learning_rate=1e-3),
        *fill(tmp_path, {32: GOOD}, seeds=1, learning_rate=3e-3),
        *fill(tmp_path, {64: GOOD}, seeds=1, learning_rate=1e-4),
    ]
    found = answered(tmp_path, configs)
    assert found.parts == ()
    said = "\n".join(caveats(found))
    assert "CartPole-v1: one way less to compare: no learning rate is shared by all batch sizes" in said
    assert "has other rates than" in said


def test_the_design_is_that_of_the_slice_and_not_of_an_arm_that_two_share(tmp_path: Path) -> None:
    shared = [config(batch_size=64, seed=seed) for seed in range(5)]
    more = [
        config(batch_size=128, seed=seed, match=match, train_freq=freq)
        for seed in range(5)
        for match, freq in (("updates", 1), ("samples", 2))
    ]
    for own in (*shared, *more):
        write(tmp_path, own, [10.0, 20.0 + own.seed, 30.0, 40.0, 50.0])
    labels = {own.run_id: [{**{name: getattr(own, name) for name in LABELS}, "match": "samples"}] for own in shared}
    plan(tmp_path, [*shared, *more], also=labels)
    told = {part.env_id + str(n): part.sentences[-1] for n, part in enumerate(recommend(answer(compare([tmp_path]))))}
    assert len(told) == 2
    assert sorted("match samples" in one for one in told.values()) == [False, True]
    assert sorted("match updates" in one for one in told.values()) == [False, True]


def test_the_arguments_of_an_environment_are_part_of_its_name(tmp_path: Path) -> None:
    configs = fill(tmp_path, LEVELS, seeds=5)
    configs += fill(tmp_path, LEVELS, seeds=5, env_kwargs={"sutton_barto_reward": True})
    found = answered(tmp_path, configs)
    names = [part.name for part in found.parts]
    assert names == ["CartPole-v1", 'CartPole-v1 {"sutton_barto_reward": true}']
    titles = [table.title for table in tables_of(found)]
    assert len(set(titles)) == len(titles)
    files = [figure.name for figure in figures_of(found)]
    assert len(set(files)) == len(files)


def test_with_learning_rates_there_are_three_ways(tmp_path: Path) -> None:
    configs = fill(tmp_path, {32: BAD, 64: GOOD}, learning_rate=1e-3)
    configs += fill(tmp_path, {32: GOOD, 64: BAD}, learning_rate=1e-4)
    configs += fill(tmp_path, {32: BAD, 64: BAD}, learning_rate=1e-2)
    (part,) = answered(tmp_path, configs, reference={"batch_size": 64, "learning_rate": 1e-3}).parts
    ways = {way.kind: way for way in part.ways}
    assert list(ways) == ["at its own best rate", "at one rate", "averaged over rates"]
    best = ways["at its own best rate"]
    assert {batch: tuned.best for batch, tuned in best.tuned.items()} == {32: 1e-4, 64: 1e-3}
    assert {batch: tuned.at_edge for batch, tuned in best.tuned.items()} == {32: True, 64: False}
    assert {b: s.verdict for b, s in part.verdicts[best.kind].standings.items()} == {32: "equivalent", 64: "equivalent"}
    assert {arm.arm.learning_rate for arm in best.arms.values()} == {1e-4, 1e-3}
    told = part.verdicts[best.kind]
    assert told.means == {batch: tuned.mean for batch, tuned in best.tuned.items()}
    assert told.means[32].freedom == 10  # of 12 seeds, one less for each half
    assert best.tuned[32].chosen == {1e-4: 1.0, 1e-3: 0.0, 1e-2: 0.0}
    assert best.effective_size(32) <= 12
    assert json.loads(json.dumps(plain(answer(compare([tmp_path])))))["parts"][0]["ways"][0]["tuned"]["32"]["mean"]
    one = part.verdicts["at one rate"]
    assert {batch: found.verdict for batch, found in one.against.items()} == {32: "worse"}
    edge = "CartPole-v1: the best learning rate is the lowest or highest tried at batch 32; a better one may lie beyond"
    assert edge in caveats(answer(compare([tmp_path])))
    even = part.verdicts["averaged over rates"].against[32].verdict
    assert even == "no difference shown"


def test_a_run_that_is_missing_at_the_rate_that_others_choose_costs_its_seed_alone(tmp_path: Path) -> None:
    configs = fill(tmp_path, {16: BAD, 64: BAD}, learning_rate=1e-4, seeds=8)
    configs += fill(tmp_path, {16: GOOD, 64: GOOD}, learning_rate=1e-3, seeds=8)
    configs += fill(tmp_path, {16: BAD, 64: BAD}, learning_rate=1e-2, seeds=8)
    acrobot = fill(tmp_path, {16: -100.0, 64: -90.0}, noise=5.0, seeds=8, env_id="Acrobot-v1", learning_rate=1e-3)
    acrobot += fill(tmp_path, {16: -400.0, 64: -400.0}, noise=5.0, seeds=8, env_id="Acrobot-v1", learning_rate=1e-4)
    lost = config(batch_size=16, learning_rate=1e-3, seed=8)
    alone = config(batch_size=16, learning_rate=1e-4, seed=8)
    write(tmp_path, lost, [10.0], "crashed", "killed")
    write(tmp_path, alone, [10.0, 50.0, BAD, BAD, BAD])
    found = answered(tmp_path, [*configs, *acrobot, lost, alone])
    part = next(part for part in found.parts if part.scored.task.env_id == "CartPole-v1")
    tuned = part.ways[0].tuned[16]
    assert (len(tuned.seeds), len(tuned.scores)) == (9, 8)
    iqm = part.ways[0].iqm(16)
    assert iqm.low < iqm.estimate < iqm.high
    assert {one.metric for one in steadiness_of(part, 0.1)} == {"drawdown_max"}
    assert part.verdicts["at its own best rate"].failures[16].seeds == 8
    assert plain(found)["together"][0]["aggregates"]["16"]["iqm"]["low"] is not None
    assert tables_of(found)


def test_what_few_seeds_leave_open_reads_the_same_in_words_and_tables(tmp_path: Path) -> None:
    configs = [one for rate in (1e-4, 1e-3) for one in fill(tmp_path, {16: BAD, 64: GOOD}, seeds=2, learning_rate=rate)]
    said = " ".join(recommend(answered(tmp_path, configs))[0].sentences)
    assert " [?] of the range." in said
    assert "inf" not in said


def test_environments_are_joined_where_they_share_batch_sizes(tmp_path: Path) -> None:
    configs = fill(tmp_path, LEVELS)
    configs += fill(tmp_path, {16: -480.0, 64: -100.0, 128: -95.0}, noise=5.0, env_id="Acrobot-v1")
    found = answered(tmp_path, configs)
    (both,) = found.together
    assert set(both.names) == {"CartPole-v1", "Acrobot-v1"}
    assert both.verdicts.equivalent == [64, 128]
    assert both.verdicts.standings[16].verdict == "worse"
    assert both.improvement[16].estimate == 0
    assert both.slopes is not None
    assert both.slopes.these.value > 0
    said = overall(found)
    assert said[0] == (
        "Over 2 environments together, at learning rate 0.0001 (set by hand, not tuned): batch 64 and 128 "
        "are as good as the best, within 10% of the range."
    )
    parts = {part.scored.task.env_id: part for part in found.parts}
    (cheap,) = [sentence for sentence in said if "cheapest: batch 64" in sentence]
    samples = sum(part.ways[0].arms[64].curves.samples[-1] for part in parts.values())
    assert f"{shown(float(samples))} samples drawn" in cheap
    assert any("steadiest" in sentence for sentence in said)
    assert not any("to the mark" in sentence for sentence in said)  # on CartPole hardly any run reaches it


def test_environments_are_joined_with_the_errors_of_chosen_rates(tmp_path: Path) -> None:
    configs = []
    for env_id, levels in (("CartPole-v1", (BAD, GOOD)), ("Acrobot-v1", (-480.0, -100.0))):
        for rate, (low, high) in ((1e-3, levels), (1e-4, levels[::-1])):
            configs += fill(tmp_path, {16: low, 64: high}, noise=5.0, env_id=env_id, learning_rate=rate)
    found = answered(tmp_path, configs)
    both = next(both for both in found.together if both.kind == "at its own best rate")
    ways = [part.ways[0] for part in found.parts]
    assert both.means[16] == tuple(way.means[16] for way in ways)
    assert both.verdicts.means[16].error == pytest.approx(np.hypot(*(way.means[16].error for way in ways)) / 2)
    assert both.effective_sizes[16] == tuple(way.effective_size(16) for way in ways)
    mean = both.aggregates[16].mean
    assert mean.high - mean.low == pytest.approx(2 * 2.086 * both.verdicts.means[16].error, rel=0.1)
    assert both.verdicts.failures[16][:2] == (0, 24)
    profile = next(one for one in figures_of(found) if one.name == "together-profiles")
    assert len(profile.pictures[0].series) == 2
    assert "1,000 resamples of choice and scores" in methods(found)


def test_the_methods_tell_of_chosen_rates_only_where_some_were(known: Answer) -> None:
    assert "resamples of choice" not in methods(known)


def test_the_brackets_say_what_they_do_not_hold() -> None:
    assert "a failure that no seed showed is in none of them" in confidence_line()


def test_each_design_is_told_over_its_environments(tmp_path: Path) -> None:
    configs = []
    for match, n in (("updates", 1), ("samples", 3)):
        for env_id, levels in (("CartPole-v1", LEVELS), ("Acrobot-v1", {16: -480.0, 64: -100.0, 128: -95.0})):
            configs += fill(tmp_path, levels, noise=5.0, env_id=env_id, match=match, n_steps=n, seeds=6)
    told = [sentence for sentence in overall(answered(tmp_path, configs)) if "Over 2 environments" in sentence]
    assert len(told) == 2
    assert ["match samples" in sentence for sentence in told] != ["match updates" in sentence for sentence in told]


def test_under_five_seeds_nothing_is_called_better_and_the_reason_is_said(tmp_path: Path) -> None:
    found = answered(tmp_path, fill(tmp_path, LEVELS, seeds=4))
    (part,) = found.parts
    verdicts = part.verdicts["at its rate"]
    assert {one.verdict for one in verdicts.standings.values()} == {"undecided"}
    assert {one.verdict for one in verdicts.against.values()} == {"too few seeds"}
    (said,) = recommend(found)
    assert said.equivalent == ()
    assert any("Under 5 seeds nothing is called better" in sentence for sentence in said.sentences)
    assert any("would be shown to" in sentence for sentence in said.sentences)


def test_a_single_run_and_a_single_batch_size_are_told_without_a_verdict(tmp_path: Path) -> None:
    found = answered(tmp_path, fill(tmp_path, {64: GOOD}, seeds=1))
    (part,) = found.parts
    assert part.verdicts["at its rate"].standings == {}
    (said,) = recommend(found)
    assert "no batch size can be recommended: there is one batch size" in said.sentences[0]
    assert [table.title for table in tables_of(found)]


def test_the_recommendation_names_what_is_equivalent_and_picks_among_that_alone(known: Answer) -> None:
    (said,) = recommend(known)
    assert said.equivalent == (64, 128)
    assert said.worse == (16,)
    assert {pick.batch_size for pick in said.picks.values()} <= {64, 128}
    assert said.picks["cheapest"].batch_size == 64  # fewer samples, and no costs are known
    assert "fewest env steps" not in said.picks  # hardly any run reaches the threshold
    text = "\n".join(said.sentences)
    assert "batch 64 and 128 are as good as the best, within 10% of the range" in text
    assert "Batch 16 is worse" in text
    assert "12 seeds per batch size" in text
    assert "It holds for DQN with networks" in text
    assert said.advantage is not None
    assert said.advantage.low < 0 < said.advantage.high


def test_the_way_to_a_mark_is_compared_where_runs_reach_it(known: Answer) -> None:
    (said,) = recommend(answer(compare([known.comparison.collected.experiments[0]], threshold=300.0)))
    pick = said.picks["fewest env steps"]
    assert {pick.batch_size, *pick.alike} == {64, 128}
    assert "env steps to 300" in pick.by


def test_runs_that_are_missing_or_not_finished_are_counted(tmp_path: Path) -> None:
    configs = fill(tmp_path, LEVELS, seeds=6)
    failed, planned = config(batch_size=64, seed=50), config(batch_size=64, seed=51)
    write(tmp_path, failed, [10.0, 20.0], "env_error", "it broke")
    found = answered(tmp_path, [*configs, failed, planned])
    (said,) = recommend(found)
    assert any(
        "Incomplete: 2 planned runs of this environment are not in these numbers" in sentence
        for sentence in said.sentences
    )
    notes = [note for table in tables_of(found) for note in table.notes]
    assert any("env_error (it broke)" in note for note in notes)
    assert any("1 planned runs are not finished" in note for note in notes)


def test_json_holds_the_numbers_of_the_tables(known: Answer) -> None:
    told = json.loads(json.dumps(plain(known), allow_nan=False))
    table = tables_of(known)[0]
    (way,) = told["parts"][0]["ways"]
    for row in table.rows:
        mean, gap = row[table.headings.index("mean")], row[table.headings.index("minus the best other")]
        verdicts = way["verdicts"]
        assert verdicts["means"][str(row[0])]["value"] == pytest.approx(mean.estimate)  # type: ignore[union-attr]
        assert verdicts["standings"][str(row[0])]["gap"]["low"] == pytest.approx(gap.low)  # type: ignore[union-attr]
        assert verdicts["standings"][str(row[0])]["verdict"] == row[table.headings.index("verdict")]
        assert way["iqm"][str(row[0])]["low"] == pytest.approx(row[table.headings.index("IQM")].low)  # type: ignore[union-attr]
    (part,) = told["parts"]
    assert part["mark"] == "threshold"
    arm = next(one for one in part["arms"] if one["batch_size"] == 16)
    assert arm["values"]["steps_to_threshold"] == ["never"] * 12
    assert arm["reaching"]["threshold"]["steps"]["probability"]["estimate"] == 0
    budgets = {axis: (budget["least"], budget["most"]) for axis, budget in part["budgets"].items()}
    assert budgets == {"steps": (400, 400), "updates": (300, 300), "samples": (300 * 16, 300 * 128)}
    assert arm["reaching"]["threshold"]["samples"]["restricted_mean"]["estimate"] == 300 * 16
    assert arm["cost"]["process_mb"] > 300
    assert part["front"]["reason"]
    said = json.loads(json.dumps(plain_recommendations(known), allow_nan=False))
    assert (said["complete"], said["declared"], said["caveats"]) == (True, True, [])


def test_every_row_of_every_table_has_a_cell_per_heading(known: Answer) -> None:
    for axis in ("steps", "updates", "samples", "seconds"):
        for table in tables_of(known, axis=axis):
            assert all(len(row) == len(table.headings) for row in table.rows), table.title
            assert all(shown(cell) for row in table.rows for cell in row)
            assert all(0 <= column < len(table.headings) for column in columns(table))


def test_without_a_scale_there_is_no_verdict_but_the_returns(tmp_path: Path) -> None:
    configs = fill(tmp_path, LEVELS, env_id="Probe/Probe-v0")
    found = answered(tmp_path, configs)
    (part,) = found.parts
    assert not part.scaled
    assert part.verdicts["at its rate"].standings == {}
    assert part.verdicts["at its rate"].against[16].verdict == "worse"
    (said,) = recommend(found)
    assert "no batch size can be recommended: not listed" in said.sentences[0]


def test_only_runs_with_the_settings_that_are_asked_for_are_compared(tmp_path: Path) -> None:
    configs = fill(tmp_path, LEVELS, learning_rate=1e-3) + fill(tmp_path, LEVELS, learning_rate=1e-4)
    plan(tmp_path, configs)
    (task,) = compare([tmp_path], where={"learning_rate": 1e-4}).tasks
    assert {arm.learning_rate for arm in task.task.arms} == {1e-4}
    with pytest.raises(InputError, match=r"--where: no run has learning_rate=2\.0; they have 0\.0001, 0\.001"):
        compare([tmp_path], where={"learning_rate": 2.0})
    with pytest.raises(InputError, match="did you mean learning_rate"):
        compare([tmp_path], where={"learning_rat": 2.0})
    plan(tmp_path, [*configs, config(batch_size=64, seed=99)])
    assert not compare([tmp_path], where={"match": "updates"}).complete


def test_another_threshold_is_the_mark(tmp_path: Path) -> None:
    plan(tmp_path, fill(tmp_path, LEVELS))
    (task,) = compare([tmp_path], threshold=50.0).tasks
    assert task.marks["threshold"] == 50.0
    assert all(np.isfinite(arm.values["steps_to_threshold"]).all() for arm in task.arms.values())


def withheld(found: Answer) -> str:
    """Returns why there is no verdict, which every view says."""
    (part,) = found.parts
    way = part.ways[0]
    verdicts = part.verdicts[way.kind]
    assert (verdicts.against, verdicts.standings, verdicts.trend) == ({}, {}, None)
    assert f"CartPole-v1: no verdict: {way.withheld}" in caveats(found)
    (said,) = recommend(found)
    assert f"no batch size can be recommended: {way.withheld}." in said.sentences[0]
    return way.withheld


def test_what_else_differs_with_the_batch_size_may_be_the_cause(tmp_path: Path) -> None:
    configs = fill(tmp_path, {16: BAD}, gamma=0.9) + fill(tmp_path, {64: GOOD}, gamma=0.99)
    assert withheld(answered(tmp_path, configs)) == "gamma varies with batch size or learning rate"


def test_what_design_and_rule_make_differ_is_part_of_the_question(tmp_path: Path) -> None:
    schedules = {16: {"train_freq": 1}, 64: {"train_freq": 4}}
    configs = []
    for batch, schedule in schedules.items():
        configs += fill(tmp_path, {batch: LEVELS[batch]}, match="samples", **schedule)
    (part,) = answered(tmp_path, configs).parts
    assert part.slice.confounds == ()
    assert part.verdicts["at its rate"].standings[16].verdict == "worse"


def test_while_runs_have_diverged_and_others_go_on_there_is_no_verdict(tmp_path: Path) -> None:
    # the first runs to count are the worst: what goes well ends last
    configs = fill(tmp_path, {64: GOOD}, seeds=12)
    for seed in range(12):
        own = config(batch_size=16, seed=seed)
        write(tmp_path, own, [10.0, 10.0] if seed < 5 else [10.0, 200.0, 400.0], "diverged" if seed < 5 else None)
        configs.append(own)
    assert withheld(answered(tmp_path, configs)) == "at batch 16 runs diverged while others are not finished"


def test_who_could_choose_among_fewer_rates_is_not_compared_at_its_best_one(tmp_path: Path) -> None:
    configs = fill(tmp_path, {16: BAD, 64: BAD}, learning_rate=1e-4) + fill(tmp_path, {64: GOOD}, learning_rate=1e-3)
    late = [config(batch_size=16, learning_rate=1e-3, seed=seed) for seed in range(12)]
    why = withheld(answered(tmp_path, configs + late))
    assert why == "batch 16 could choose among fewer learning rates than others"


def test_a_declared_reference_that_is_not_there_is_told(tmp_path: Path) -> None:
    found = answered(tmp_path, fill(tmp_path, LEVELS), reference={"batch_size": 32})
    assert found.parts[0].verdicts["at its rate"].reference is None
    assert "CartPole-v1: batch 32, the declared reference, has no runs to compare with" in caveats(found)


def test_the_presets_batch_size_that_is_not_there_is_told(tmp_path: Path) -> None:
    found = answered(tmp_path, fill(tmp_path, {16: BAD, 128: GOOD}, seeds=5), reference={})
    told = "CartPole-v1: batch 64, the preset's, which would be the reference, has no runs to compare with"
    assert told in caveats(found)


@pytest.mark.parametrize(
    ("about", "told"),
    [
        (
            {"env_id": "LunarLander-v3", "learning_rate": 1e-3},
            "that of the preset neutral, not tuned in this environment",
        ),
        ({"preset": "zoo", "env_id": "Acrobot-v1", "learning_rate": 6.3e-4, "lr_reference_batch": 512}, "batch 128)"),
        ({"preset": "zoo", "env_id": "my_env:Line-v0", "learning_rate": 1e-4}, "zoo, not tuned in this environment"),
    ],
)
def test_a_rate_was_tuned_where_its_preset_says_so(about: dict[str, Any], told: str, tmp_path: Path) -> None:
    found = answered(tmp_path, fill(tmp_path, {16: -100.0, 64: -90.0}, seeds=2, **about))
    assert told in found.parts[0].ways[0].words


@pytest.mark.parametrize(
    ("rates", "told"),
    [
        ((1e-4, 1e-3), "0.001, the higher one of those tried"),
        ((1e-4, 3e-4, 1e-3), "0.0003, the middle one of those tried"),
        ((1e-4, 3e-4, 1e-3, 3e-3), "0.001, the upper middle one of those tried"),
    ],
)
def test_the_one_rate_is_called_what_it_is(rates: tuple[float, ...], told: str, tmp_path: Path) -> None:
    configs = [own for rate in rates for own in fill(tmp_path, {16: BAD, 64: GOOD}, seeds=4, learning_rate=rate)]
    ways = {way.kind: way.words for way in answered(tmp_path, configs).parts[0].ways}
    assert ways["at one rate"] == f"all at learning rate {told}"


def test_every_view_says_for_what_it_holds(tmp_path: Path) -> None:
    rates = {16: 5e-4, 64: 1e-3}
    configs = [
        own
        for batch, rate in rates.items()
        for own in fill(tmp_path, {batch: GOOD}, seeds=5, learning_rate=rate, lr_rule="sqrt", lr_reference_batch=64)
    ]
    found = answered(tmp_path, configs)
    told = "match updates, learning-rate rule sqrt (rates are those before the rule), 1 update per env step"
    assert any(told in note for table in tables_of(found) for note in table.notes)
    assert told in plain(found)["parts"][0]["holds_for"]
    assert told in recommend(found)[0].sentences[-1]


def test_no_verdict_on_steadiness_holds_a_batch_size_that_hardly_learned(tmp_path: Path) -> None:
    levels = {16: 12.0, 64: GOOD, 128: 350.0}
    configs = fill(tmp_path, levels, learning_rate=1e-3, noise=1.0) + fill(tmp_path, levels, learning_rate=1e-4)
    found = answered(tmp_path, configs)
    told = steadiness_of(found.parts[0], 0.1)
    assert told
    assert all(set(one.standings) == {64, 128} for one in told)


def test_where_there_is_no_verdict_no_number_of_seeds_promises_one(tmp_path: Path) -> None:
    configs = fill(tmp_path, {16: BAD}, learning_rate=1e-3, seeds=6) + fill(tmp_path, {64: GOOD}, seeds=6)
    told = " ".join(recommend(answered(tmp_path, configs))[0].sentences)
    assert "no batch size can be recommended" in told
    assert "With about" not in told


def test_runs_that_hardly_learned_are_said_to_be_alike_in_every_view(tmp_path: Path) -> None:
    found = answered(tmp_path, fill(tmp_path, {16: 20.0, 64: 20.0}, noise=0.1))
    assert any("all score below 10% of the range" in caveat for caveat in caveats(found))


def test_where_nothing_was_learned_nothing_is_picked_over_environments_either(tmp_path: Path) -> None:
    configs = fill(tmp_path, {16: 30.0, 64: 30.0}, noise=1.0)
    for own in (config(env_id="Acrobot-v1", batch_size=batch, seed=seed) for batch in (16, 64) for seed in range(12)):
        write(tmp_path, own, [-499.0 + own.seed / 10] * 5)
        configs.append(own)
    found = answered(tmp_path, configs)
    assert [part.hardly_learned for part in found.parts] == [True, True]
    assert found.together[0].verdicts.equivalent == [16, 64]
    assert not [sentence for sentence in overall(found) if "cheapest" in sentence]
    assert [steadiness_of(part, found.delta) for part in found.parts] == [(), ()]


def test_a_rise_and_fall_is_said_beside_a_slope_that_has_neither(tmp_path: Path) -> None:
    humped = {16: BAD, 64: GOOD, 256: BAD}
    configs = fill(tmp_path, humped, seeds=8)
    configs += fill(tmp_path, {16: -480.0, 64: -95.0, 256: -480.0}, seeds=8, env_id="Acrobot-v1")
    found = answered(tmp_path, configs)
    said = [sentence for one in recommend(found) for sentence in one.sentences]
    assert len([sentence for sentence in said if sentence.startswith("It rises up to about batch 64 and falls")]) == 2
    assert [sentence for sentence in overall(found) if sentence.startswith("It rises up to about batch 64")]
    together = tables_of(found)[-1]
    assert any(line.startswith("a rise with the batch size") and line.endswith("batch 64") for line in together.lead)


def test_under_five_seeds_no_rise_and_fall_is_placed(tmp_path: Path) -> None:
    found = answered(tmp_path, fill(tmp_path, {16: BAD, 64: GOOD, 256: BAD}, seeds=4, noise=0.1))
    (told,) = recommend(found)
    assert not [sentence for sentence in told.sentences if "rises up to" in sentence]
    (hump,) = [table for table in tables_of(found) if "then a fall" in table.title]
    assert hump.rows[0][2] is None


def test_over_environments_each_says_its_own_rate_and_where_that_comes_from(tmp_path: Path) -> None:
    configs = fill(tmp_path, LEVELS, seeds=5, learning_rate=1e-3)
    configs += fill(tmp_path, {16: -480.0, 64: -100.0, 128: -95.0}, seeds=5, env_id="Acrobot-v1", learning_rate=2e-3)
    (both,) = answered(tmp_path, configs).together
    assert both.words == (
        "in Acrobot-v1 at learning rate 0.002 (set by hand, not tuned); in CartPole-v1 at learning rate "
        "0.001 (that of the preset neutral, tuned at batch 32, 128 and 512)"
    )


def test_seeds_are_counted_for_the_test_that_is_made(tmp_path: Path) -> None:
    (part,) = answered(tmp_path, fill(tmp_path, {16: GOOD, 64: GOOD, 128: GOOD}, seeds=6, noise=60.0)).parts
    verdicts = part.verdicts["at its rate"]
    expected = {batch: seeds_to_find(verdicts.means[batch], verdicts.means[64], 0.1, 2) for batch in (16, 128)}
    assert verdicts.needed == expected
    assert min(verdicts.needed.values()) > 6


def test_two_experiments_in_one_environment_declared_nothing_together(tmp_path: Path) -> None:
    for name in ("one", "two"):
        answered(tmp_path / name, fill(tmp_path / name, LEVELS, seeds=6 if name == "one" else 7))
    found = answer(compare([tmp_path / "one", tmp_path / "two"]))
    assert not found.declared
    assert "several experiments in one environment" in found.exploratory
    assert found.exploratory in methods(found)


@pytest.mark.parametrize(("spread", "alike"), [(0.3, (128,)), (0.01, ())])
def test_costs_that_blocks_do_not_tell_apart_are_alike(spread: float, alike: tuple[int, ...], tmp_path: Path) -> None:
    configs = fill(tmp_path, LEVELS)
    machine = {"cpu": "a", "cores": 2, "gpu": None, "torch": "2"}
    entries = [
        {"kind": kind_of(config(batch_size=size)), "device": "cpu", "machine": machine, "t_env": 1e-4, "t_update": cost}
        | {"t_update_range": [cost * (1 - spread), cost * (1 + spread)]}
        for size, cost in ((16, 0.009), (64, 0.010), (128, 0.011))
    ]
    write_json(tmp_path / "cost.json", {"schema": 1, "entries": entries})
    (said,) = recommend(answered(tmp_path, configs))
    pick = said.picks["cheapest"]
    assert (pick.batch_size, pick.alike) == (64, alike)
    assert pick.value == pytest.approx(400 * 1e-4 + 300 * 0.010)
