"""Views by learning rate: one rate for all where there is one, and captions that say which rates are seen."""

from __future__ import annotations

from pathlib import Path

import pytest
from analysis.test_answer import BAD, GOOD, answered, fill

from rlbatch.analysis.all_figures import figures_of
from rlbatch.analysis.answer import Answer
from rlbatch.analysis.figures import Figure
from rlbatch.analysis.rate_views import OWN_BEST, arms_by_rates, shared_rate_first

TAG, OTHER = "update/td_error", "batch/age_mean"
LOW, HIGH = 1e-4, 1e-3


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Answer:
    """Batch 64 is best at the high rate and batch 16 at the low one; the TD error is that of the rate alone."""
    root = tmp_path_factory.mktemp("results") / "moved"
    configs = []
    for rate, error, levels in ((LOW, 1.0, {16: GOOD, 64: BAD}), (HIGH, 3.0, {16: BAD, 64: GOOD})):
        tags = {TAG: error} | ({OTHER: 5.0} if rate == LOW else {})
        configs += fill(root, levels, seeds=6, learning_rate=rate, tags=tags)
    return answered(root, configs)


@pytest.fixture(scope="module")
def figures(moved: Answer) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures_of(moved)}


def test_diagnostics_are_seen_at_one_rate_first_where_no_rate_looks_like_a_batch_size(
    moved: Answer, figures: dict[str, Figure]
) -> None:
    diagnostics = figures["cartpole-v1-diagnostics"]
    assert diagnostics.controls == ("tag", "learning rate")
    assert diagnostics.options(0) == [TAG, OTHER]
    assert diagnostics.options(1) == ["0.001", OWN_BEST, "0.0001"]  # 0.001 is that of the way "at one rate"
    by_view = {one.choice[1]: one for one in diagnostics.pictures if one.choice[0] == TAG}
    heights = {view: [series.y[0] for series in one.series] for view, one in by_view.items()}
    assert heights == {"0.001": [3.0, 3.0], OWN_BEST: [1.0, 3.0], "0.0001": [1.0, 1.0]}
    assert diagnostics.pictures[0].name == "cartpole-v1-diagnostics-update-td-error"
    assert diagnostics.pictures[0].title.endswith("on env steps, learning rate 0.001")
    part = moved.parts[0]
    assert next(iter(shared_rate_first(part))) == "0.001"
    assert next(iter(arms_by_rates(part))) == OWN_BEST  # of curves, as the answer has them


def test_captions_of_diagnostics_say_at_which_rates_they_are(figures: dict[str, Figure]) -> None:
    said = {one.choice[1]: one.about for one in figures["cartpole-v1-diagnostics"].pictures}
    assert "Learning rate: 0.001." in said["0.001"]
    assert "Learning rates: 0.0001 at batch 16; 0.001 at batch 64." in said[OWN_BEST]
    assert "the rate may be why lines do" in said[OWN_BEST]
    assert "the rate may be why lines do" not in said["0.001"]


def test_a_tag_that_no_run_has_at_a_rate_can_still_be_chosen_there(figures: dict[str, Figure]) -> None:
    diagnostics = figures["cartpole-v1-diagnostics"]
    lines = {one.choice[1]: len(one.series) for one in diagnostics.pictures if one.choice[0] == OTHER}
    assert lines == {"0.001": 0, OWN_BEST: 1, "0.0001": 2}


def test_the_caption_of_steadiness_says_which_rates_were_chosen_how_often(figures: dict[str, Figure]) -> None:
    (picture,) = figures["cartpole-v1-stability"].pictures
    assert "at batch 16 0.0001 (100%); at batch 64 0.001 (100%)." in picture.about


def test_where_no_rate_is_chosen_captions_say_the_one_of_the_runs(tmp_path: Path) -> None:
    found = answered(tmp_path, fill(tmp_path, {16: BAD, 64: GOOD}, seeds=3, learning_rate=HIGH, tags={TAG: 1.0}))
    figures = {figure.name: figure for figure in figures_of(found)}
    assert figures["cartpole-v1-diagnostics"].controls == ("tag",)
    for name in ("diagnostics", "stability", "curves"):
        assert "Learning rate: 0.001." in figures[f"cartpole-v1-{name}"].pictures[0].about


def test_rates_that_follow_a_rule_are_said_to_be_those_before_it(tmp_path: Path) -> None:
    configs = []
    for batch, rate in ((16, LOW), (64, 2 * LOW)):
        rule = {"lr_rule": "sqrt", "lr_reference_batch": 16}
        configs += fill(tmp_path, {batch: GOOD}, seeds=3, learning_rate=rate, tags={TAG: 1.0}, **rule)
    found = answered(tmp_path, configs)
    figure = next(one for one in figures_of(found) if one.name.endswith("-diagnostics"))
    assert "Learning rate (before the rule): 0.0001." in figure.pictures[0].about
