"""The clock of a run alone: env steps and updates times what they cost, on one machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rlbatch.config import RunConfig
from rlbatch.errors import InputError, RefusedError
from rlbatch.results import write_json
from rlbatch.wallclock import by_machine, kind_of, price_of, read_costs

MACHINE = {"cpu": "a", "cores": 2, "gpu": None, "torch": "2"}


def config(**values: Any) -> RunConfig:
    return RunConfig.build(**{"env_id": "CartPole-v1", "algo": "dqn", **values})


def entry(run: RunConfig, t_env: float, t_update: float, **other: Any) -> dict[str, Any]:
    known = {"kind": kind_of(run), "device": "cpu", "machine": MACHINE, "t_env": t_env, "t_update": t_update}
    return known | other


PRICE = (0.001, 0.01, (0.01, 0.01))


def test_an_env_step_costs_the_same_at_every_batch_size_and_an_update_what_its_own_batch_costs() -> None:
    costs = ((32, 0.001, 0.01), (64, 0.004, 0.02), (128, 0.002, 0.03))
    entries = [entry(config(batch_size=size), t_env, t_update) for size, t_env, t_update in costs]
    for size, _, t_update in costs:
        assert price_of(entries, config(batch_size=size)) == (0.002, t_update, (t_update, t_update))


def test_what_does_not_change_the_cost_does_not_matter_and_what_does_was_not_measured() -> None:
    entries = [entry(config(), 0.001, 0.01)]
    for same in ({"seed": 3}, {"learning_rate": 0.5}, {"train_freq": 16}, {"total_timesteps": 7}):
        assert price_of(entries, config(**same)) == PRICE
    others = ({"batch_size": 33}, {"net_arch": [8]}, {"env_id": "Acrobot-v1"}, {"n_envs": 2}, {"layer_norm": True})
    for other in (*others, {"env_kwargs": {"sutton_barto_reward": True}}, {"n_steps": 3}, {"activation_fn": "tanh"}):
        assert price_of(entries, config(**other)) is None
    assert price_of(entries, config(engine="sb3")) is None
    assert price_of([], config()) is None


def test_an_env_step_of_another_network_is_another() -> None:
    entries = [entry(config(), 0.001, 0.01), entry(config(batch_size=64, net_arch=[8]), 0.9, 0.01)]
    assert price_of(entries, config()) == PRICE


def test_noise_makes_no_large_batch_cheap() -> None:
    costs = ((32, 0.02), (64, 0.05), (128, 0.03), (256, 0.04))
    entries = [entry(config(batch_size=size), 0.001, t, t_update_range=[t / 2, 2 * t]) for size, t in costs]
    prices = {size: price_of(entries, config(batch_size=size)) for size, _ in costs}
    assert {size: price.t_update for size, price in prices.items() if price} == pytest.approx(
        {32: 0.02, 64: 0.04, 128: 0.04, 256: 0.04}
    )
    assert {size: price.t_update_range for size, price in prices.items() if price} == {
        32: (0.01, 0.04),
        64: (0.025, 0.1),
        128: (0.015, 0.06),
        256: (0.02, 0.08),
    }


def test_machines_and_devices_are_kept_apart() -> None:
    one, gpu = entry(config(), 0.001, 0.01), entry(config(), 0.1, 0.1, device="cuda:0")
    newer = entry(config(), 0.002, 0.01, machine=MACHINE | {"torch": "3"})
    again = entry(config(batch_size=64), 0.001, 0.02)
    assert by_machine([one, gpu, newer, again]) == [[one, again], [gpu], [newer]]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cost.json"
    assert read_costs(path) == []
    entries = [entry(config(net_arch=[8, 8]), 0.001, 0.01)]
    write_json(path, {"schema": 1, "entries": entries})
    assert price_of(read_costs(path), config(net_arch=[8, 8])) == PRICE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cost.json: is not JSON"),
        ("[]", "does not hold an object"),
        ('{"schema": 1}', "holds no list of entries"),
        ('{"schema": 1, "entries": [3]}', "entry 0: is not an object with kind, device, machine, t_env, t_update"),
        ('{"schema": 1, "entries": [{"kind": {}}]}', "entry 0: is not an object"),
        (
            '{"schema": 1, "entries": [{"kind": {}, "device": "", "machine": {}, "t_env": NaN, "t_update": 1}]}',
            "t_env is nan, not a number",
        ),
        (
            '{"schema": 1, "entries": [{"kind": {}, "device": "", "machine": {}, "t_env": 1, "t_update": "1"}]}',
            "t_update is '1', not a number",
        ),
    ],
)
def test_a_damaged_file_says_what_is_wrong(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "cost.json").write_text(text)
    with pytest.raises(InputError) as caught:
        read_costs(tmp_path / "cost.json")
    assert said in str(caught.value)


def test_another_schema_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cost.json").write_text('{"schema": 2, "entries": []}')
    with pytest.raises(RefusedError, match="has schema 2, this version reads 1"):
        read_costs(tmp_path / "cost.json")
