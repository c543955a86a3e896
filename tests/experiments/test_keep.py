"""What is kept of an experiment: every run is in it, the words are those of recommend, and nothing of half of one."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from types import ModuleType

import pytest
from analysis.folders import config, plan, write
from analysis.test_answer import LEVELS, fill

from rlbatch.analysis.answer import answer
from rlbatch.analysis.comparison import compare
from rlbatch.analysis.recommend import recommend


@pytest.fixture
def homes(keep: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for what is kept, and a declaration."""
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "known.yaml").write_text("# Which is it?\n#\n# Size: 3 arms.\nname: known\n")
    (tmp_path / "kept").mkdir()
    monkeypatch.setattr(keep, "EXPERIMENTS", tmp_path / "experiments")
    monkeypatch.setattr(keep, "RESULTS", tmp_path / "kept")
    return tmp_path


def test_every_run_is_a_row_and_the_words_are_those_of_recommend(keep: ModuleType, homes: Path) -> None:
    runs = homes / "known"
    configs = fill(runs, LEVELS, seeds=5)
    lost, broken = config(batch_size=64, seed=50), config(batch_size=64, seed=51)
    write(runs, lost, [10.0, 20.0], "diverged", "a loss was not finite")
    write(runs, broken, [10.0], "crashed", "killed")
    plan(runs, [*configs, lost, broken], reference={"batch_size": 64}, metric="auc", equivalence=0.1)
    home = keep.keep("known", runs)
    text = (home / "README.md").read_text()
    assert text.startswith("# Which is it?\n")
    (told,) = recommend(answer(compare([runs])))
    assert all(sentence in text for sentence in told.sentences)
    assert "- incomplete: 1 run missing (1 crashed)\n" in text
    with (home / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 5 + 2
    assert [row["outcome"] for row in rows if row["run"].endswith(("s050", "s051"))] == ["diverged", "crashed"]
    assert {(row["env"], row["batch_size"], row["learning_rate"]) for row in rows} == {
        ("CartPole-v1", size, "0.0001") for size in ("16", "64", "128")
    }
    assert all(float(row["auc"]) for row in rows if row["outcome"] != "crashed")
    pictures = {path.name for path in (home / "figures").iterdir()}
    assert pictures
    assert all(name.endswith(".svg") for name in pictures)
    assert all(f"(figures/{name})" in text for name in pictures)


def test_nothing_is_kept_of_what_was_not_declared(keep: ModuleType, homes: Path) -> None:
    runs = homes / "known"
    plan(runs, fill(runs, LEVELS, seeds=2), reference={"batch_size": 64})
    with pytest.raises(ValueError, match="known is not as it was declared: "):
        keep.keep("known", runs)
    assert not (homes / "kept" / "known").exists()


def test_the_main_readme_says_what_the_kept_scores_say(headline: ModuleType) -> None:
    text = " ".join((Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8").split())
    told = headline.numbers()
    assert len(told) == 9
    for what, number in told.items():
        assert number in text, what


def test_the_main_readme_says_of_environments_what_their_kept_page_says() -> None:
    root = Path(__file__).parents[2]
    main = " ".join((root / "README.md").read_text(encoding="utf-8").split())
    (slope,) = re.findall(
        r"each at its own best rate: (\S+ \[\S+ \S+\]) per doubling, in environments like these", main
    )
    kept = (root / "results" / "cross_environment" / "README.md").read_text(encoding="utf-8")
    assert f"changes by {slope} of the range, in environments like these" in kept
    assert "best learning rate, chosen on halves of the seeds and scored on the others: batch 256 is as good as" in kept
    assert len(re.findall(r"^- .*the best learning rate is the lowest or highest tried", kept, re.MULTILINE)) == 4
    slopes = re.findall(
        r"^- Per doubling of the batch the score changes by \+\S+ \[(\S+), \S+\] of the range\.$", kept, re.MULTILINE
    )
    assert [float(low) > 0 for low in slopes] == [True] * 5


def test_nothing_is_kept_of_half_an_experiment(keep: ModuleType, homes: Path) -> None:
    runs = homes / "known"
    plan(runs, [*fill(runs, {64: 300.0}, seeds=2), config(batch_size=64, seed=50)])
    with pytest.raises(ValueError, match="1 runs of known are not finished"):
        keep.keep("known", runs)
    assert not (homes / "kept" / "known").exists()
