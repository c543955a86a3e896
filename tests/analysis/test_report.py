"""The page: the numbers of the answer, escaped, planned apart from explored, in one file that needs no network."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from analysis.folders import config, plan, write
from analysis.test_answer import LEVELS, answered, fill, two_environments

from rlbatch.analysis import plots
from rlbatch.analysis.all_figures import figures_of
from rlbatch.analysis.answer import Answer, answer
from rlbatch.analysis.comparison import compare
from rlbatch.analysis.methods import methods
from rlbatch.analysis.report import page
from rlbatch.analysis.tables import tables_of
from rlbatch.cli import main

HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Answer:
    """Two environments with two learning rates; one run failed with a reason that is markup."""
    root = tmp_path_factory.mktemp("results") / "known"
    failed = config(batch_size=64, seed=50, learning_rate=1e-3)
    write(root, failed, [10.0, 20.0], "env_error", HOSTILE)
    return answered(root, [*two_environments(root), failed])


@pytest.fixture(scope="module")
def html(known: Answer) -> str:
    return page(known, figures_of(known))


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


def test_where_the_design_cannot_tell_the_critical_batch_that_is_said(known: Answer) -> None:
    notes = [note for table in tables_of(known) for note in table.notes]
    assert any(note.startswith("critical batch size: not identifiable, ") for note in notes)


def test_the_best_batch_by_replay_ratio_is_a_table_where_that_is_an_axis(tmp_path: Path) -> None:
    configs = [one for ratio in (1, 2, 4) for one in fill(tmp_path, LEVELS, seeds=3, gradient_steps=ratio)]
    table = next(one for one in tables_of(answered(tmp_path, configs)) if "by replay ratio" in one.title)
    assert [row[0] for row in table.rows] == [1.0, 2.0, 4.0]
    assert {row[1] for row in table.rows} <= {64, 128}
    assert table.notes[0].startswith(("power law: not identifiable", "best batch ~"))


def test_the_page_asks_the_network_for_nothing_and_allows_its_own_scripts_alone(html: str) -> None:
    reader = read(html)
    for tag, attributes in reader.elements:
        assert "src" not in attributes, tag
        assert not any(name.startswith("on") for name in attributes), tag
        assert (attributes.get("href") or "#").startswith("#"), tag
    (policy,) = [a["content"] or "" for tag, a in reader.elements if tag == "meta" and "http-equiv" in a]
    assert "default-src 'none'" in policy
    assert len(re.findall(r"'sha256-[A-Za-z0-9+/=]{44}'", policy)) == 2
    assert re.search(r"script-src( 'sha256-[^']*')+$", policy)
    assert len(reader.scripts) == 3


def test_the_style_is_no_markup_that_is_escaped(html: str) -> None:
    style = html.partition("<style>")[2].partition("</style>")[0]
    assert '[aria-pressed="false"]' in style
    assert "&" not in style


def test_the_page_says_what_the_runs_were_trained_with(known: Answer, tmp_path: Path) -> None:
    shutil.copytree(known.comparison.collected.experiments[0], tmp_path / "known")
    for number, path in enumerate(sorted(tmp_path.glob("known/CartPole-v1/**/config.json"))):
        record = json.loads(path.read_text())
        made = {"versions": {"torch": f"2.{number % 2}"}, "git_commit": "c0ffee"}
        path.write_text(json.dumps(record | {"provenance": made, "device": "cuda:0"}))
    found = answer(compare([tmp_path / "known"]))
    html = page(found, [])
    assert "Trained with torch 2.0 and 2.1; on cpu and cuda:0. Git commits of the working directory: c0ffee." in html
    assert "was trained with torch 2.0 and 2.1; on cpu and cuda:0 (engine stacked" in methods(found)


def test_what_runs_say_is_text_and_never_markup(html: str) -> None:
    assert HOSTILE not in html
    assert "&lt;img src=x" in html
    assert not [tag for tag, _ in read(html).elements if tag == "img"]


def test_the_page_holds_the_numbers_of_its_figures_and_a_table_for_each(known: Answer, html: str) -> None:
    reader = read(html)
    told: dict[str, Any] = json.loads(reader.scripts[0])
    figures = figures_of(known)
    pictures = [picture for figure in figures for picture in figure.pictures]
    assert [one["id"] for one in told["figures"]] == [one.name for one in figures]
    drawn = [picture for one in told["figures"] for picture in one["pictures"]]
    assert [one["title"] for one in drawn] == [one.title for one in pictures]
    assert drawn[0]["series"][0]["y"] == pytest.approx(pictures[0].series[0].y.tolist(), rel=1e-5)
    assert told["batches"] == [16, 64, 128]
    assert sum(tag == "figure" for tag, _ in reader.elements) == len(figures)
    assert sum(tag == "details" for tag, _ in reader.elements) == len(figures) + 2  # the list of figures, the runs
    assert sum(tag == "caption" for tag, _ in reader.elements) == len(pictures)
    for word in ("Methods", "Holm", "env_error", "incomplete: 1 run missing"):
        assert word in html


def section(html: str, name: str) -> str:
    """Returns what stands in a section of the page; empty without one."""
    return html.partition(f'<section id="{name}">')[2].partition("</section>")[0]


def test_what_was_planned_stands_apart_from_what_is_explored(known: Answer, html: str) -> None:
    planned, explored = section(html, "planned"), section(html, "exploratory")
    for words in ("metric: auc", "reference: batch_size 64", "margin: 10% of the reference range", "verdict"):
        assert words in planned
    assert planned.count("each at its own best learning rate") >= 1
    for words in ("all at learning rate", "then a fall", "stability", "returns"):
        assert words not in planned
        assert words in explored
    assert sum(table.planned for table in tables_of(known)) == len(known.parts)
    assert "Exploratory: what is compared" not in section(html, "answer")


def test_where_nothing_was_declared_all_is_exploratory_and_the_page_says_so_on_top(known: Answer) -> None:
    found = answer(known.comparison, metric="final")
    html = page(found, figures_of(found))
    assert not section(html, "planned")
    assert "#planned" not in html
    assert "exploratory, not as declared before training" in section(html, "answer")
    assert not any(table.planned for table in tables_of(found))
    assert "verdict" in section(html, "exploratory")


def test_report_writes_the_page_into_the_folder_and_every_view_where_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "known"
    plan(root, fill(root, LEVELS, seeds=5), metric="auc", equivalence=0.1)
    # forty pictures take a while; how they are drawn is tested in test_figures.py
    monkeypatch.setattr(plots, "save", lambda pictures, folder: [folder / f"{one.name}.svg" for one in pictures])
    assert main.run(["report", str(root), "--figures", str(tmp_path / "figures")]) == 0
    page_path, *files = capsys.readouterr().out.split()
    assert page_path == str(root / "report.html")
    assert Path(page_path).is_file()
    assert {Path(file).parent for file in files} == {tmp_path / "figures"}
    names = {Path(file).stem for file in files}
    assert len(names) == len(files)
    assert {f"cartpole-v1-{name}" for name in ("planned", "response-final", "curves-samples", "stability")} <= names
    assert main.run(["report", str(root), "--to", str(tmp_path / "page.html"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["page"] == str(tmp_path / "page.html")
    assert main.run(["compare", str(root)]) == 0  # the page is no run
