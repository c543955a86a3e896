"""Figures and the page: the numbers of the answer, escaped, in one file that asks the network for nothing."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from analysis.folders import config, plan, write
from analysis.test_answer import LEVELS, answered, fill
from analysis.test_comparison import write_front

from rlbatch.analysis.answer import Answer
from rlbatch.analysis.figures import Figure, figures_of
from rlbatch.analysis.plots import ORDERED, colours_of, save
from rlbatch.analysis.recommend import recommend
from rlbatch.analysis.report import page
from rlbatch.analysis.tables import tables_of
from rlbatch.cli import main

HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Answer:
    """Two environments with two learning rates; one run failed with a reason that is markup."""
    root = tmp_path_factory.mktemp("results") / "known"
    configs = fill(root, LEVELS, seeds=6, learning_rate=1e-3) + fill(root, LEVELS, seeds=6, learning_rate=1e-4)
    configs += fill(
        root, {16: -480.0, 64: -100.0, 128: -95.0}, seeds=6, noise=5.0, env_id="Acrobot-v1", learning_rate=1e-3
    )
    failed = config(batch_size=64, seed=50, learning_rate=1e-3)
    write(root, failed, [10.0, 20.0], "env_error", HOSTILE)
    return answered(root, [*configs, failed])


@pytest.fixture(scope="module")
def html(known: Answer) -> str:
    return page(known)


class Reader(HTMLParser):
    """What stands in a page: elements with their attributes, and the text of scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] == "script":
            self.scripts[-1] += data


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    return reader


def test_the_figures_are_those_of_every_environment_axis_and_rate(known: Answer) -> None:
    names = [figure.name for figure in figures_of(known)]
    assert names == sorted(set(names), key=names.index)
    for env in ("cartpole-v1", "acrobot-v1"):
        assert f"{env}-response" in names
        assert {f"{env}-curves-{axis}" for axis in ("steps", "updates", "samples")} <= set(names)
    assert "cartpole-v1-rates" in names
    assert "cartpole-v1-stability" in names
    assert "acrobot-v1-rates" not in names


def figure(known: Answer, name: str) -> Figure:
    return next(one for one in figures_of(known) if one.name == name)


def test_a_response_shows_the_means_of_the_answer_and_every_seed(known: Answer) -> None:
    part = next(part for part in known.parts if part.scored.task.env_id == "CartPole-v1")
    drawn = figure(known, "cartpole-v1-response")
    for way, series in zip(part.ways, drawn.series, strict=True):
        assert series.x.tolist() == sorted(way.samples)
        assert [len(seeds) for seeds in series.seeds] == [len(way.samples[int(x)]) for x in series.x]
        means = part.verdicts[way.kind].means
        assert series.y.tolist() == pytest.approx([means[int(x)].value for x in series.x])
    assert drawn.log_x


def test_curves_are_logarithmic_where_budgets_differ(known: Answer) -> None:
    assert not figure(known, "acrobot-v1-curves-steps").log_x
    samples = figure(known, "acrobot-v1-curves-samples")
    assert samples.log_x
    assert "not areas" in samples.about
    assert all((series.x > 0).all() for series in samples.series)
    ends = {series.batch_size: series.x[-1] for series in samples.series}
    assert ends[128] == 2 * ends[64] == 8 * ends[16]


def test_the_front_is_told_in_a_figure_a_table_and_a_sentence(tmp_path: Path) -> None:
    found = answered(tmp_path, write_front(tmp_path, 100.0, 400.0))
    drawn = next(one for one in figures_of(found) if one.name.endswith("-front"))
    measured, fitted = drawn.series
    assert (drawn.log_x, drawn.log_y, fitted.name) == (True, True, "hyperbola")
    table = next(one for one in tables_of(found) if "median updates and samples" in one.title)
    assert [row[2:] for row in table.rows] == list(zip(measured.y.tolist(), measured.x.tolist(), strict=True))
    line = next(note for note in table.notes if note.startswith("critical batch size"))
    assert line in drawn.about
    critical = float(line.split(":")[1].split("[")[0])
    assert critical == pytest.approx(100.0, rel=0.15)
    (said,) = recommend(found)
    assert line.capitalize() + "." in said.sentences
    # on the hyperbola, twice the least updates and samples at the critical batch
    least = fitted.y.min() / (1 + critical / 256)
    assert np.interp(critical, fitted.x / fitted.y, fitted.y) == pytest.approx(2 * least, rel=0.05)


def test_where_the_design_cannot_tell_the_critical_batch_that_is_said(known: Answer) -> None:
    notes = [note for table in tables_of(known) for note in table.notes]
    assert any(note.startswith("critical batch size: not identifiable, ") for note in notes)


def test_the_best_batch_by_replay_ratio_is_a_table_where_that_is_an_axis(tmp_path: Path) -> None:
    configs = [one for ratio in (1, 2, 4) for one in fill(tmp_path, LEVELS, seeds=3, gradient_steps=ratio)]
    table = next(one for one in tables_of(answered(tmp_path, configs)) if "by replay ratio" in one.title)
    assert [row[0] for row in table.rows] == [1.0, 2.0, 4.0]
    assert {row[1] for row in table.rows} <= {64, 128}
    assert table.notes[0].startswith(("power law: not identifiable", "best batch ~"))


def test_colours_follow_the_order_of_the_batch_sizes(known: Answer) -> None:
    colours = colours_of(figure(known, "acrobot-v1-curves-steps").series)
    assert colours == sorted(colours, key=ORDERED.index)
    assert len(set(colours)) == 3
    ways = figure(known, "cartpole-v1-response").series
    assert len(set(colours_of(ways))) == len(ways)


def test_a_single_seed_has_no_interval_and_still_a_figure(tmp_path: Path) -> None:
    found = answered(tmp_path, fill(tmp_path, {64: 100.0}, seeds=1))
    for drawn in figures_of(found):
        assert all(np.isnan(series.low).all() for series in drawn.series)
        assert drawn.table.rows
    page(found)
    assert all(path.stat().st_size > 0 for path in save(figures_of(found), tmp_path / "figures"))


def test_figures_are_written_as_svg_and_png_and_the_same_again(known: Answer, tmp_path: Path) -> None:
    some = [one for one in figures_of(known) if one.name in ("cartpole-v1-response", "cartpole-v1-rates")]
    first = {path.name: path.read_bytes() for path in save(some, tmp_path / "a")}
    assert sorted(first) == sorted(f"{one.name}.{ending}" for one in some for ending in ("svg", "png"))
    assert first["cartpole-v1-response.png"].startswith(b"\x89PNG")
    assert b"<svg" in first["cartpole-v1-response.svg"]
    assert {path.name: path.read_bytes() for path in save(some, tmp_path / "b")} == first


def test_the_page_asks_the_network_for_nothing_and_allows_its_own_scripts_alone(html: str) -> None:
    reader = read(html)
    for tag, attributes in reader.elements:
        assert "src" not in attributes, tag
        assert not any(name.startswith("on") for name in attributes), tag
        assert (attributes.get("href") or "#").startswith("#"), tag
    (policy,) = [a["content"] or "" for tag, a in reader.elements if tag == "meta" and "http-equiv" in a]
    assert "default-src 'none'" in policy
    assert len(re.findall(r"'sha256-[A-Za-z0-9+/=]{44}'", policy)) == 2
    assert "script-src 'unsafe" not in policy
    assert len(reader.scripts) == 3


def test_what_runs_say_is_text_and_never_markup(html: str) -> None:
    assert HOSTILE not in html
    assert "&lt;img src=x" in html
    assert not [tag for tag, _ in read(html).elements if tag == "img"]


def test_the_page_holds_the_numbers_of_its_figures_and_a_table_for_each(known: Answer, html: str) -> None:
    reader = read(html)
    told: list[dict[str, Any]] = json.loads(reader.scripts[0])
    figures = figures_of(known)
    assert [one["id"] for one in told] == [one.name for one in figures]
    assert told[0]["series"][0]["y"] == pytest.approx(figures[0].series[0].y.tolist())
    assert sum(tag == "figure" for tag, _ in reader.elements) == len(figures)
    assert sum(tag == "details" for tag, _ in reader.elements) == len(figures) + 1
    for word in ("Methods", "Holm", "env_error", "Incomplete: 1 runs are missing"):
        assert word in html


def test_report_writes_the_page_into_the_folder_and_figures_where_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "known"
    plan(root, fill(root, LEVELS, seeds=5))
    assert main.run(["report", str(root), "--figures", str(tmp_path / "figures")]) == 0
    out = capsys.readouterr().out.split()
    assert out[0] == str(root / "report.html")
    assert all(Path(line).is_file() for line in out)
    assert main.run(["report", str(root), "--to", str(tmp_path / "page.html"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["page"] == str(tmp_path / "page.html")
    assert main.run(["compare", str(root)]) == 0  # the page is no run
