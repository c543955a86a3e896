"""What is on each figure: the numbers of the answer, on every axis, at every rate, for every metric and setting."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from analysis.folders import config, write
from analysis.test_answer import BAD, GOOD, LEVELS, answered, fill, two_environments
from analysis.test_comparison import write_front

from rlbatch.analysis.all_figures import figures_of
from rlbatch.analysis.answer import Answer, answer
from rlbatch.analysis.effort_tables import effort_table
from rlbatch.analysis.figures import Figure, Picture, Series
from rlbatch.analysis.intervals import wilson
from rlbatch.analysis.metrics import METRICS
from rlbatch.analysis.plots import ORDERED, colours_of, ordered_colour, save
from rlbatch.analysis.recommend import recommend
from rlbatch.analysis.same_runs import metric_of, same_means, same_runs
from rlbatch.analysis.tables import tables_of

AMOUNTS = ("samples_to_threshold", "updates_to_threshold")


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Answer:
    """Two environments, the first with two learning rates."""
    root = tmp_path_factory.mktemp("results") / "known"
    return answered(root, two_environments(root))


@pytest.fixture(scope="module")
def figures(known: Answer) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures_of(known)}


def picture(figures: dict[str, Figure], name: str) -> Picture:
    return next(one for figure in figures.values() for one in figure.pictures if one.name == name)


def test_names_are_those_of_files_and_stand_once(known: Answer) -> None:
    found = figures_of(known)
    for names in ([f.name for f in found], [p.name for f in found for p in f.pictures]):
        assert max(Counter(names).values()) == 1
        assert all(name == name.lower() and name.replace("-", "").isalnum() for name in names)


def test_environments_that_differ_in_arguments_have_figures_of_their_own(tmp_path: Path) -> None:
    configs = fill(tmp_path, LEVELS, seeds=2)
    configs += fill(tmp_path, LEVELS, seeds=2, env_kwargs={"sutton_barto_reward": True})
    names = [figure.name for figure in figures_of(answered(tmp_path, configs))]
    assert {"cartpole-v1-response", "cartpole-v1-sutton-barto-reward-true-response"} <= set(names)
    assert len(names) == len(set(names))


def test_what_is_in_no_few_seeds_has_a_point_without_interval(tmp_path: Path) -> None:
    configs = []
    for rate in (1e-3, 1e-4):
        for batch, reaching in ((16, 2), (64, 1)):  # of six seeds, so many reach the mark and have a retention
            for seed in range(6):
                own = config(batch_size=batch, seed=seed, learning_rate=rate)
                top = 500.0 if seed < reaching else 100.0 + seed
                write(tmp_path, own, [10.0, 50.0, top, top, top])
                configs.append(own)
    found = answered(tmp_path, configs)
    (response,) = [figure for figure in figures_of(found) if figure.name == "cartpole-v1-response"]
    retention = next(one for one in response.pictures if one.choice == ("retention",)).series[0]
    assert [len(seeds) for seeds in retention.seeds] == [2, 1]
    assert np.isnan(retention.low).all()
    assert np.isfinite(retention.y).all()


def test_curves_of_one_design_have_the_axes_of_that_design(tmp_path: Path) -> None:
    configs = fill(tmp_path, {16: BAD, 64: GOOD}, seeds=2)
    configs += [*fill(tmp_path, {16: BAD}, seeds=2, match="samples", n_steps=2)]
    configs += [*fill(tmp_path, {64: GOOD}, seeds=2, match="samples", n_steps=2, train_freq=4)]
    found = answered(tmp_path, configs)
    figures = {figure.name: figure for figure in figures_of(found)}
    updates, samples = (
        {one.x_title: one for one in figures[f"cartpole-v1-match-{design}-curves"].pictures}
        for design in ("updates", "samples")
    )
    assert [updates[axis].log_x for axis in ("updates", "samples")] == [False, True]
    assert [samples[axis].log_x for axis in ("updates", "samples")] == [True, False]
    assert "different budgets" not in samples["samples"].about


def test_the_first_curves_are_those_of_the_answer(tmp_path: Path) -> None:
    configs = [one for rate in (1e-4, 3e-4, 1e-3) for one in fill(tmp_path, LEVELS, seeds=1, learning_rate=rate)]
    found = answered(tmp_path, configs)
    assert found.parts[0].ways[0].words.startswith("all at learning rate 0.0003")
    (curves,) = [figure for figure in figures_of(found) if figure.name == "cartpole-v1-curves"]
    assert curves.options(1) == ["0.0003", "0.0001", "0.001"]


def test_names_with_formulas_in_them_are_drawn_as_text(tmp_path: Path) -> None:
    series = tuple(Series(name, np.array([16.0]), *(np.array([0.5]),) * 3) for name in ("$\\frac{$", "cost $5 or $6"))
    drawn = Picture("heat", "$\\frac{$", "heat", "batch size", "$\\frac{$", log_x=False, series=series)
    assert [path.stat().st_size > 0 for path in save([drawn], tmp_path, ("png",))] == [True]


def test_a_reader_chooses_among_all_that_controls_offer(figures: dict[str, Figure]) -> None:
    for figure in figures.values():
        combinations = {one.choice for one in figure.pictures}
        assert len(combinations) == len(figure.pictures)
        if len(figure.pictures) > 1:
            assert len(combinations) == np.prod([len(figure.options(i)) for i in range(len(figure.controls))])


def test_curves_are_there_on_every_axis_and_at_every_rate(figures: dict[str, Figure]) -> None:
    curves = figures["cartpole-v1-curves"]
    assert curves.controls == ("axis", "learning rate")
    assert curves.options(0) == ["env steps", "updates", "samples"]
    assert curves.options(1) == ["each at its own best", "0.0001", "0.001"]
    assert figures["acrobot-v1-curves"].controls == ("axis",)
    own, other = (picture(figures, f"cartpole-v1-curves-steps{rest}") for rest in ("", "-rate-0-001"))
    assert "Learning rate: 0.0001." in own.about
    assert [one.batch_size for one in own.series] == [one.batch_size for one in other.series] == [16, 64, 128]


def test_the_share_that_has_reached_the_mark_grows_to_that_of_the_tables(tmp_path: Path) -> None:
    configs = [*fill(tmp_path, {16: BAD}, seeds=4), *(config(batch_size=64, seed=seed) for seed in range(4))]
    for seed, own in enumerate(configs[4:]):  # the first two reach it, the third too late for it to count
        write(tmp_path, own, [500.0 if seed < 3 and point > seed else 100.0 for point in range(5)])
    found = answered(tmp_path, configs)
    figures = {figure.name: figure for figure in figures_of(found)}
    reaching = figures["cartpole-v1-reaching"]
    assert reaching.controls == figures["cartpole-v1-curves"].controls
    assert reaching.options(0) == figures["cartpole-v1-curves"].options(0)
    none, some = reaching.pictures[0].series
    assert none.y.tolist() == [0.0] * 5
    assert some.x.tolist() == figures["cartpole-v1-curves"].pictures[0].series[1].x.tolist()
    assert some.y.tolist() == [0.0, 0.25, 0.5, 0.5, 0.5]
    told = wilson(2, 4)
    assert (some.low[-1], some.high[-1]) == pytest.approx((told.low, told.high))
    (table,) = [one for one in tables_of(found) if one.title.startswith("CartPole-v1: env steps until")]
    assert [row[2] for row in table.rows] == [pytest.approx(wilson(0, 4)), pytest.approx(told)]


def test_curves_are_logarithmic_where_budgets_differ(figures: dict[str, Figure]) -> None:
    assert not picture(figures, "acrobot-v1-curves-steps").log_x
    samples = picture(figures, "acrobot-v1-curves-samples")
    assert samples.log_x
    assert "not areas" in samples.about
    assert all((series.x > 0).all() for series in samples.series)
    ends = {series.batch_size: series.x[-1] for series in samples.series}
    assert ends[128] == 2 * ends[64] == 8 * ends[16]


def test_what_was_declared_is_a_figure_of_its_own_in_the_one_way_that_counts(known: Answer) -> None:
    planned = [figure for figure in figures_of(known) if figure.planned]
    assert [figure.name for figure in planned] == ["acrobot-v1-planned", "cartpole-v1-planned"]
    assert all(len(figure.pictures) == len(figure.pictures[0].series) == 1 for figure in planned)
    assert not [figure for figure in figures_of(answer(known.comparison, metric="final")) if figure.planned]


def test_a_response_shows_the_means_of_the_answer_and_every_seed(known: Answer, figures: dict[str, Figure]) -> None:
    part = next(part for part in known.parts if part.scored.task.env_id == "CartPole-v1")
    drawn = figures["cartpole-v1-response"].pictures[0]
    assert drawn.choice == ("auc",)
    for way, series in zip(part.ways, drawn.series, strict=True):
        assert series.x.tolist() == sorted(way.samples)
        assert [len(seeds) for seeds in series.seeds] == [len(way.samples[int(x)]) for x in series.x]
        means = part.verdicts[way.kind].means
        assert series.y.tolist() == pytest.approx([means[int(x)].value for x in series.x])
    assert drawn.log_x


def test_every_metric_of_a_run_can_be_chosen_and_is_told_in_its_own_direction(
    known: Answer, figures: dict[str, Figure]
) -> None:
    response = figures["cartpole-v1-response"]
    offered = response.options(0)
    assert offered[:4] == ["auc", "final", "return_mean", "best (optimistic)"]
    assert {"steps_to_75%", "updates_to_75%", "samples_to_75%", "drawdown_max", "dispersion"} <= set(offered)
    assert "seconds_to_75%" not in offered  # there is no cost.json
    part = next(part for part in known.parts if part.scored.task.env_id == "CartPole-v1")
    drawdown = picture(figures, "cartpole-v1-response-drawdown-max")
    assert "Lower is better." in drawdown.about
    assert {one.name for one in drawdown.series} == {way.kind for way in part.ways}
    best = picture(figures, "cartpole-v1-response-best")
    assert "Optimistic" in best.about
    assert all(name.partition(" ")[0] in METRICS for name in offered)


@pytest.mark.parametrize("metric", ["drawdown_max", "dispersion", "steps_to_50%"])
def test_figures_tell_of_the_runs_that_tables_and_picks_tell_of(known: Answer, metric: str) -> None:
    part = next(part for part in known.parts if part.ways[0].tuned)
    (figure,) = [one for one in figures_of(known) if one.name == "cartpole-v1-response"]
    drawn = next(one for one in figure.pictures if one.choice == (metric,)).series[0]
    runs = same_runs(part.ways[0], part.cells, metric_of(metric))
    sign = 1 if METRICS[metric].higher_is_better else -1
    sizes = [size for size in runs if np.isfinite(runs[size]).all()]
    assert sizes
    means = same_means(part.ways[0], part.cells, metric_of(metric), sizes)
    for size in sizes:
        i = drawn.x.tolist().index(size)
        assert drawn.seeds[i].tolist() == (sign * runs[size]).tolist()
        assert drawn.y[i] == pytest.approx(sign * means[size].value)
        assert drawn.high[i] - drawn.low[i] == pytest.approx(np.ptp(means[size].interval()[1:]))


def test_a_run_that_never_gets_there_counts_its_whole_budget(figures: dict[str, Figure]) -> None:
    steps = picture(figures, "acrobot-v1-response-steps-to-75")
    (series,) = steps.series
    never, *reached = series.y.tolist()
    assert never == 400
    assert all(y < 400 for y in reached)
    assert "whole budget" in steps.about


def test_where_budgets_differ_a_small_one_that_fails_does_not_look_fast(tmp_path: Path) -> None:
    configs = [config(env_id="Acrobot-v1", batch_size=batch, seed=seed) for batch in (16, 64) for seed in range(5)]
    for own in configs:  # batch 16 never gets there, batch 64 after more samples than batch 16 has
        write(tmp_path, own, [-490.0, -490.0, *[-90.0 if own.batch_size == 64 else -490.0] * 3])
    found = answered(tmp_path, configs)
    (response,) = [figure for figure in figures_of(found) if figure.name == "acrobot-v1-response"]
    samples, updates = (next(one for one in response.pictures if one.choice == (name,)) for name in AMOUNTS)
    budget = 300 * 16
    assert samples.series[0].y.tolist() == [budget, budget]
    assert "counts the smallest of the budgets, 4,800," in samples.about
    assert updates.series[0].y.tolist() == [300, 100]
    table = effort_table(found.parts[0], "samples")
    assert table.headings[3] == "mean, at most 4,800"
    least = budget * (1 - wilson(0, 5).high)  # of what no run within that budget has shown
    assert [row[3] for row in table.rows] == [pytest.approx((budget, least, budget))] * 2
    assert [row[4] for row in table.rows] == [None, 6400]
    assert [row[2] for row in table.rows] == [pytest.approx(wilson(0, 5)), pytest.approx(wilson(5, 5))]
    assert "budgets differ on this axis" in table.notes[0]


def test_a_mark_that_nobody_reaches_is_not_offered(tmp_path: Path) -> None:
    found = answered(tmp_path, fill(tmp_path, {16: 60.0, 64: 70.0}, seeds=3))
    (response,) = [figure for figure in figures_of(found) if figure.name.endswith("-response")]
    assert not [name for name in response.options(0) if name.endswith("_to_90%")]
    assert "auc" in response.options(0)


def test_a_heat_map_is_there_for_each_second_axis_with_the_others_held(tmp_path: Path) -> None:
    configs = []
    for n_step, rate in ((1, 1e-3), (3, 1e-3), (1, 1e-4), (3, 1e-4), (10, 1e-4)):
        level = GOOD if n_step == 3 else BAD
        levels = {16: level, 64: level + 10 * n_step} if n_step < 10 else {64: BAD}
        configs += fill(tmp_path, levels, seeds=3, n_steps=n_step, learning_rate=rate)
    found = answered(tmp_path, configs, reference={"batch_size": 64, "learning_rate": 1e-4, "n_steps": 3})
    (heat,) = [figure for figure in figures_of(found) if figure.name == "cartpole-v1-heat"]
    assert heat.controls == ("second axis",)
    assert heat.options(0) == ["learning_rate", "n_steps"]
    rates, n_steps = heat.pictures
    assert rates.table.headings == ("learning_rate", "batch size", "mean auc", "low", "high")
    assert rates.table.rows[0][:2] == ("0.0001", 16)
    assert "Held at: n_steps 3." in rates.about
    assert [row.name for row in rates.series] == ["0.0001", "0.001"]
    assert "Held at: learning_rate 0.0001." in n_steps.about
    assert [row.name for row in n_steps.series] == ["1", "3", "10"]
    assert [row.x.tolist() for row in n_steps.series] == [[16, 64], [16, 64], [64]]
    arms = [arm for arm in found.parts[0].scored.arms.values() if arm.arm.learning_rate == 1e-4]
    means = {
        str(arm.arm.config.n_steps): arm.normalised("auc").mean()
        for arm in arms
        if arm.arm.batch_size == 64 and arm.arm.config is not None
    }
    assert {row.name: row.y[-1] for row in n_steps.series} == pytest.approx(means)


def test_without_a_declared_value_an_axis_is_held_at_the_presets(tmp_path: Path) -> None:
    configs = [
        one
        for shape in ([32], [64, 64], [256, 256])
        for gamma in (0.99, 0.995)
        for one in fill(tmp_path, {16: BAD, 64: GOOD}, seeds=2, net_arch=shape, gamma=gamma)
    ]
    (heat,) = [figure for figure in figures_of(answered(tmp_path, configs)) if figure.name.endswith("-heat")]
    assert set(heat.options(0)) == {"net_arch", "gamma"}
    by_shape = next(one for one in heat.pictures if one.choice == ("net_arch",))
    assert "gamma 0.99." in by_shape.about
    assert {row.name for row in by_shape.series} == {"[32]", "[64, 64]", "[256, 256]"}


def test_environments_together_are_shown_in_each_way_that_they_share(figures: dict[str, Figure]) -> None:
    assert "together-profiles" not in figures  # the one has rates, the other has none: no way is shared
    assert "acrobot-v1-heat" not in figures
    assert "cartpole-v1-heat" in figures


def test_environments_that_share_a_way_have_profiles_and_a_map(tmp_path: Path) -> None:
    configs = fill(tmp_path, LEVELS, seeds=3)
    configs += fill(tmp_path, {16: -480.0, 64: -100.0, 128: -95.0}, seeds=3, noise=5.0, env_id="Acrobot-v1")
    figures = {figure.name: figure for figure in figures_of(answered(tmp_path, configs))}
    assert [one.batch_size for one in figures["together-profiles"].pictures[0].series] == sorted(LEVELS)
    (rows,) = (one.series for one in figures["together-environments"].pictures)
    assert [row.name for row in rows] == ["Acrobot-v1", "CartPole-v1"]


def test_the_front_is_told_in_a_figure_a_table_and_a_sentence(tmp_path: Path) -> None:
    found = answered(tmp_path, write_front(tmp_path, 100.0, 400.0))
    (drawn,) = next(one for one in figures_of(found) if one.name.endswith("-front")).pictures
    *measured, fitted = drawn.series
    assert (drawn.log_x, drawn.log_y, fitted.name) == (True, True, "hyperbola")
    table = next(one for one in tables_of(found) if "median updates and samples" in one.title)
    points = [(one.batch_size, float(one.y[0]), float(one.x[0])) for one in measured]
    assert [(row[0], *row[2:]) for row in table.rows] == points
    line = next(note for note in table.notes if note.startswith("critical batch size"))
    assert line in drawn.about
    critical = float(line.split(":")[1].split("[")[0])
    assert critical == pytest.approx(100.0, rel=0.15)
    (said,) = recommend(found)
    assert line.capitalize() + "." in said.sentences
    # on the hyperbola, twice the least updates and samples at the critical batch
    least = fitted.y.min() / (1 + critical / 256)
    assert np.interp(critical, fitted.x / fitted.y, fitted.y) == pytest.approx(2 * least, rel=0.05)


def test_colours_follow_the_order_of_the_batch_sizes(figures: dict[str, Figure]) -> None:
    series = picture(figures, "acrobot-v1-curves-steps").series
    colours = colours_of(series)
    assert colours == sorted(colours, key=ORDERED.index)
    assert len(set(colours)) == 3
    more = colours_of(series, [8, 16, 64, 128, 512])  # the same colours in every picture of a page
    assert more[0] != colours[0]
    assert more == [ordered_colour(place, 5) for place in (1, 2, 3)]
    ways = figures["cartpole-v1-response"].pictures[0].series
    assert len(set(colours_of(ways))) == len(ways)


def test_twelve_batch_sizes_have_twelve_colours() -> None:
    colours = [ordered_colour(place, 12) for place in range(12)]
    assert len(set(colours)) == 12
    assert (colours[0], colours[-1]) == (ORDERED[0], ORDERED[-1])


def test_a_single_seed_has_no_interval_and_still_figures(tmp_path: Path) -> None:
    found = answered(tmp_path, fill(tmp_path, {64: 100.0}, seeds=1))
    figures = figures_of(found)
    for drawn in (one for figure in figures for one in figure.pictures):
        if "reaching" not in drawn.name:  # the interval of a share needs no second seed
            assert all(np.isnan(series.low).all() for series in drawn.series)
        assert drawn.table.rows
    first = [figure.pictures[0] for figure in figures]
    assert all(path.stat().st_size > 0 for path in save(first, tmp_path / "figures"))


def test_files_are_written_as_svg_and_png_and_the_same_again(figures: dict[str, Figure], tmp_path: Path) -> None:
    some = [figures[name].pictures[0] for name in ("cartpole-v1-response", "cartpole-v1-heat")]
    first = {path.name: path.read_bytes() for path in save(some, tmp_path / "a")}
    assert sorted(first) == sorted(f"{one.name}.{ending}" for one in some for ending in ("svg", "png"))
    assert first["cartpole-v1-response-auc.png"].startswith(b"\x89PNG")
    assert b"<svg" in first["cartpole-v1-response-auc.svg"]
    assert {path.name: path.read_bytes() for path in save(some, tmp_path / "b")} == first


def test_an_arm_that_diverged_from_the_start_is_drawn(tmp_path: Path) -> None:
    configs = fill(tmp_path, {64: GOOD}, seeds=2)
    lost = [config(batch_size=16, seed=seed) for seed in range(2)]
    for one in lost:
        write(tmp_path, one, [10.0], "diverged")
    figures = figures_of(answered(tmp_path, [*configs, *lost]))
    curves = next(figure for figure in figures if figure.name.endswith("-curves"))
    assert [one.batch_size for one in curves.pictures[0].series] == [16, 64]
