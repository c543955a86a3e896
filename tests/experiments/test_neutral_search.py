"""The summary of neutral_search: the choice and the confirmation from made-up scores."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rlbatch.analysis.intervals import mean_of

Row = dict[str, Any]

SCORES = {1e-4: 0.2, 3e-4: 0.6, 1e-3: 0.5, 3e-3: 0.1}
"""Rate -> mean normalised score at batch 128, made up."""


def area(env_id: str, score: float, summaries: ModuleType) -> float:
    low: float = summaries.listed()[env_id].low
    return low + score * float(summaries.reference_range(env_id))


@pytest.fixture
def rows(summaries: ModuleType, neutral_search: ModuleType) -> list[Row]:
    """The whole search: seeds lie 0.02 apart around the score, batch 32 is 0.1 worse and batch 512 0.1 better."""
    made = []
    for run in neutral_search.declared_parts(summaries.declaration("neutral_search"))["search"]:
        score = SCORES[run["learning_rate"]] + 0.02 * (run["seed"] - 4.5)
        score += {32: -0.1, 128: 0.0, 512: 0.1}[run["batch_size"]]
        made.append(row("search", run, area(run["env_id"], score, summaries)))
    return made


def row(part: str, run: dict[str, Any], auc: float, final: float = 0.0, steps: str = "") -> Row:
    return {
        "part": part,
        "env": run["env_id"],
        "learning_rate": run["learning_rate"],
        "batch_size": run["batch_size"],
        "seed": run["seed"],
        "outcome": "ok",
        "auc": auc,
        "return_mean": final,
        "steps_to_threshold": steps,
    }


def confirmation(
    summaries: ModuleType, neutral_search: ModuleType, env_id: str, rate: float, final: float, reached: int
) -> list[Row]:
    runs = neutral_search.declared_parts(summaries.declaration("neutral_search"))["confirm"]
    runs = [run for run in runs if run["env_id"] == env_id and run["learning_rate"] == rate]
    steps = ["20000"] * reached + ["never"] * (len(runs) - reached)
    return [row("confirm", run, final, final, s) for run, s in zip(runs, steps, strict=True)]


def test_the_rate_with_the_highest_mean_over_batches_is_chosen(
    summaries: ModuleType, neutral_search: ModuleType, rows: list[Row]
) -> None:
    document = summaries.declaration("neutral_search")
    for r in rows:
        if r["learning_rate"] == 1e-3 and r["batch_size"] == 512:
            r["auc"] = area(r["env"], 0.75, summaries)  # best at one batch, not over all
    choice = neutral_search.choose(rows, document, "dqn")
    assert choice.envs == ["CartPole-v1", "Acrobot-v1"]
    assert (choice.rate, choice.ranking) == (3e-4, [3e-4, 1e-3, 1e-4, 3e-3])
    # 1e-3: (0.4 + 0.5 + 0.75) / 3; seeds 0.02 apart have the deviation 0.06055, over √10 the error 0.01915
    mean = mean_of(list(neutral_search.by_seed(choice.scores, rate=1e-3).values()))
    assert (mean.value, mean.error) == pytest.approx((0.55, 0.01915 * 2 / 3), abs=1e-5)


def test_the_page_shows_rates_by_batch_sizes_with_errors_over_seeds(
    summaries: ModuleType, neutral_search: ModuleType, rows: list[Row]
) -> None:
    text = neutral_search.report(rows, summaries.declaration("neutral_search"))
    assert "| dqn | **0.0003** | 0.600 ± 0.019 | 0.001 | 0.100 ± 0.000 | no |" in text
    line = "| 0.0001 | 0.100 ± 0.019 | 0.200 ± 0.019 | 0.300 ± 0.019 | 0.200 ± 0.019 |"
    assert text.count(line) == 4  # dqn together, CartPole, Acrobot, sac
    assert "No confirmation run is there yet." in text


def test_a_rate_at_the_edge_of_the_grid_is_said(
    summaries: ModuleType, neutral_search: ModuleType, rows: list[Row]
) -> None:
    for r in rows:
        r["auc"] += 1000 * (r["learning_rate"] == 3e-3 and r["env"] == "Pendulum-v1")
    text = neutral_search.report(rows, summaries.declaration("neutral_search"))
    assert "| sac | **0.003** |" in text
    assert "| **yes** |" in next(line for line in text.splitlines() if line.startswith("| sac |"))


def test_at_a_tie_the_smaller_rate_is_chosen(
    summaries: ModuleType, neutral_search: ModuleType, rows: list[Row]
) -> None:
    scores = [r | {"auc": 100.0} for r in rows]
    assert neutral_search.choose(scores, summaries.declaration("neutral_search"), "dqn").rate == 1e-4


def test_nothing_is_chosen_while_a_run_is_missing_and_it_is_named(
    summaries: ModuleType, neutral_search: ModuleType, rows: list[Row]
) -> None:
    document = summaries.declaration("neutral_search")
    lost = next(r for r in rows if (r["env"], r["learning_rate"], r["seed"]) == ("Acrobot-v1", 3e-3, 7))
    rows.remove(lost)
    assert neutral_search.choose(rows, document, "dqn").rate is None
    assert neutral_search.choose(rows, document, "sac").rate == 3e-4
    text = neutral_search.report(rows, document)
    assert "| dqn | none yet: 1 runs are missing |" in text
    assert "- Missing, no record: search, Acrobot-v1, rate 0.003, batch 32, seeds 7." in text


def test_a_diverged_run_scores_zero_and_is_named(
    summaries: ModuleType, neutral_search: ModuleType, rows: list[Row]
) -> None:
    document = summaries.declaration("neutral_search")
    for r in rows:
        if r["learning_rate"] == 3e-3 and r["batch_size"] == 32 and r["env"] == "Pendulum-v1":
            r |= {"outcome": "diverged", "auc": None, "return_mean": None}
    text = neutral_search.report(rows, document)
    assert "| 0.003 | 0.000 ± 0.000 | 0.100 ± 0.019 | 0.200 ± 0.019 | 0.100 ± 0.013 |" in text
    assert "`low`: search, Pendulum-v1, rate 0.003, batch 32, seeds 0..9." in text


def test_the_confirmation_is_held_against_what_was_expected(
    summaries: ModuleType, neutral_search: ModuleType, rows: list[Row]
) -> None:
    rows += confirmation(summaries, neutral_search, "CartPole-v1", 3e-4, 480.0, reached=11)
    rows += confirmation(summaries, neutral_search, "Acrobot-v1", 3e-4, -90.0, reached=10)
    rows += confirmation(summaries, neutral_search, "Pendulum-v1", 3e-4, -171.0, reached=0)[:-1]
    rows += confirmation(summaries, neutral_search, "Pendulum-v1", 1e-3, -150.0, reached=0)
    text = neutral_search.report(rows, summaries.declaration("neutral_search"))
    ends = [line for line in text.splitlines() if " of 20 |" in line]
    assert ends == [
        "| CartPole-v1 | 50,000 | 0.0003 | 20 of 20 | 11 of 20 | 480.0 (0.0) | 0.958 (0.000) "
        "| threshold in more than 50% of seeds | **yes** |",
        "| Acrobot-v1 | 100,000 | 0.0003 | 20 of 20 | 10 of 20 | -90.0 (0.0) | 0.965 (0.000) "
        "| threshold in more than 50% of seeds | **no** |",
        "| Pendulum-v1 | 20,000 | 0.0003 | 19 of 20 | - | -171.0 (0.0) | 0.981 (0.000) "
        "| mean return ≥ -170 | incomplete |",
        "| Pendulum-v1 | 20,000 | 0.001 | 20 of 20 | - | -150.0 (0.0) | 1.000 (0.000) "
        "| mean return ≥ -170 | not the chosen rate |",
    ]
    assert "- Missing, no record: confirm, Pendulum-v1, rate 0.0003, batch 64, seeds 119." in text


def test_the_confirmation_has_seeds_and_a_batch_size_of_its_own(
    summaries: ModuleType, neutral_search: ModuleType
) -> None:
    parts = neutral_search.declared_parts(summaries.declaration("neutral_search"))
    seeds = {part: {run["seed"] for run in runs} for part, runs in parts.items()}
    assert seeds == {"search": set(range(10)), "confirm": set(range(100, 120))}
    assert {run["batch_size"] for run in parts["confirm"]} == {64}
    assert {run["total_timesteps"] for run in parts["confirm"]} == {50_000, 100_000, 20_000}


def test_the_page_can_be_made_again_from_the_table_alone(
    summaries: ModuleType, neutral_search: ModuleType, rows: list[Row], tmp_path: Path
) -> None:
    rows += confirmation(summaries, neutral_search, "CartPole-v1", 3e-4, 480.0, reached=11)
    text = neutral_search.report(rows, summaries.declaration("neutral_search"))
    summaries.update_scores(tmp_path / "scores.csv", neutral_search.COLUMNS, neutral_search.KEY, rows)
    assert neutral_search.summarise([], tmp_path) == text == (tmp_path / "README.md").read_text()
