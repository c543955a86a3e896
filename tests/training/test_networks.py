"""Stacked networks: torch's own numbers, gradients and initial weights, and rows that lie where bits need them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy import stats
from stable_baselines3.common.utils import polyak_update
from torch import nn

from rlbatch.training.layout import Layout, fill, initial_rows
from rlbatch.training.networks import ACTIVATIONS, StackedMLP, polyak
from rlbatch.training.padding import LANES, padded, padded_rows

MODULES = {"relu": nn.ReLU, "tanh": nn.Tanh, "elu": nn.ELU, "gelu": nn.GELU, "silu": nn.SiLU}
LAYOUTS = [
    Layout((4, 64, 64, 2), "relu"),
    Layout((3, 33, 7, 1), "tanh", layer_norm=True),
    Layout((5, 1, 3), "silu", layer_norm=True),
    Layout((17, 6), "relu"),
    Layout((11, 256, 31, 12), "gelu"),
]
CACHE_LINE = 64


def torch_network(layout: Layout, row: torch.Tensor) -> nn.Sequential:
    """One member's network of torch.nn modules, in the row's precision, with the row's parameters."""
    modules: list[nn.Module] = []
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(layout.sizes)):
        modules.append(nn.Linear(inputs, outputs))
        if layer < len(layout.sizes) - 2:
            modules += [nn.LayerNorm(outputs)] if layout.layer_norm else []
            modules.append(MODULES[layout.activation]())
    network = nn.Sequential(*modules).to(row.dtype)
    parameters = iter(network.parameters())
    for name, start, shape in layout.pieces():
        parameter = next(parameters)
        assert parameter.shape == shape, name
        parameter.data = row[start : start + math.prod(shape)].view(shape).clone()
    assert next(parameters, None) is None
    return network


def gradients_of(layout: Layout, network: nn.Sequential) -> torch.Tensor:
    """The gradients of a torch network as a row."""
    row = torch.zeros(layout.width, dtype=torch.float64)
    for (_, start, shape), parameter in zip(layout.pieces(), network.parameters(), strict=True):
        assert parameter.grad is not None
        row[start : start + math.prod(shape)] = parameter.grad.ravel()
    return row


def random_rows(layout: Layout, members: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Parameters of every kind far from their initial values."""
    rng = np.random.default_rng(layout.width)
    rows = torch.zeros(members, layout.width, dtype=dtype)
    for _, start, shape in layout.pieces():
        size = math.prod(shape)
        rows[:, start : start + size] = torch.from_numpy(rng.normal(0.2, 0.5, (members, size))).to(dtype)
    return rows


def offsets(tensor: torch.Tensor) -> Iterator[int]:
    """Where the members' parts of a tensor lie, in bytes beyond a 64-byte boundary."""
    return (part.data_ptr() % CACHE_LINE for part in tensor)


@pytest.mark.parametrize("layer_norm", [False, True], ids=["plain", "norm"])
@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize("sizes", [(5, 33, 7, 3), (4, 16, 1), (2, 1), (3, 64, 64, 32, 2)], ids=str)
def test_forward_and_backward_are_torchs(sizes: tuple[int, ...], activation: str, layer_norm: bool) -> None:
    layout = Layout(sizes, activation, layer_norm)
    rows = random_rows(layout, 3)
    gradients = torch.full_like(rows, 7.0)
    for _, start, shape in layout.pieces():
        gradients[:, start + math.prod(shape) : start + padded(math.prod(shape))] = 0.0
    rng = np.random.default_rng(1)
    x = torch.from_numpy(rng.normal(size=(3, 16, sizes[0])))
    by_output = torch.from_numpy(rng.normal(size=(3, 16, sizes[-1])))
    stacked = StackedMLP(layout, rows, gradients)
    outputs, tape = stacked.forward_taped(x.clone())
    assert torch.equal(outputs, stacked.forward(x.clone()))
    by_input = stacked.backward(tape, by_output.clone(), to_input=True)
    for member in range(3):
        network, inputs = torch_network(layout, rows[member]), x[member].clone().requires_grad_()
        expected = network(inputs)
        expected.backward(by_output[member])
        torch.testing.assert_close(outputs[member], expected.detach(), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(by_input[member], inputs.grad, rtol=1e-11, atol=1e-12)
        torch.testing.assert_close(gradients[member], gradients_of(layout, network), rtol=1e-11, atol=1e-12)


def test_backward_to_the_input_alone_leaves_the_gradients() -> None:
    layout = Layout((5, 33, 2), "elu", layer_norm=True)
    rows = random_rows(layout, 2)
    gradients = torch.full_like(rows, 7.0)
    stacked = StackedMLP(layout, rows, gradients)
    x, by_output = torch.ones(2, 16, 5, dtype=torch.float64), torch.ones(2, 16, 2, dtype=torch.float64)
    only = stacked.backward(stacked.forward_taped(x)[1], by_output, to_input=True, to_parameters=False)
    assert (gradients == 7.0).all()
    assert torch.equal(only, stacked.backward(stacked.forward_taped(x)[1], by_output, to_input=True))
    assert (gradients != 7.0).any()


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_every_parameter_starts_on_a_multiple_of_sixteen_numbers(layout: Layout) -> None:
    end = 0
    for name, start, shape in layout.pieces():
        assert start % LANES == 0, name
        assert end <= start < end + LANES, name
        end = start + math.prod(shape)
    assert layout.width % LANES == 0
    assert end <= layout.width < end + LANES
    names = [name for name, _, _ in layout.pieces()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_every_members_parameters_start_on_a_cache_line(layout: Layout) -> None:
    assert LANES * torch.float32.itemsize == CACHE_LINE
    rows = initial_rows(layout, range(5), "weights", device="cpu")
    assert set(offsets(rows)) == {0}
    for name, view in layout.views(rows).items():
        assert set(offsets(view)) == {0}, name
        assert view.storage_offset() + view[0].numel() <= layout.width


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_weight_gradients_are_computed_where_every_members_part_is_aligned(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = random_rows(layout, 3, torch.float32)
    stacked = StackedMLP(layout, rows, torch.zeros_like(rows))
    outputs, tape = stacked.forward_taped(torch.ones(3, 16, layout.sizes[0]))
    written: list[torch.Tensor] = []
    product = torch.bmm

    def watched(*args: torch.Tensor, **kwargs: torch.Tensor) -> torch.Tensor:
        written.append(product(*args, **kwargs))
        return written[-1]

    monkeypatch.setattr(torch, "bmm", watched)
    stacked.backward(tape, torch.ones_like(outputs))
    weights = [w for w in written if w.shape[1] != 16]  # the others are gradients of inputs: (members, 16 rows, units)
    assert len(written) > 0
    for product_ in weights:
        assert set(offsets(product_)) == {0}, product_.shape


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_rows_are_padded_to_whole_vectors(activation: str) -> None:
    lanes = {"relu": 16, "tanh": 16}.get(activation, 32)
    for count in range(1, 300):
        rows = padded_rows(count, activation)
        assert rows % lanes == 0
        assert count <= rows < count + lanes
    assert [padded(count) for count in (1, 16, 17, 231)] == [16, 16, 32, 240]


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize("layer_norm", [False, True], ids=["plain", "norm"])
def test_a_members_numbers_are_the_same_bits_alone_and_in_company(activation: str, layer_norm: bool) -> None:
    layout = Layout((3, 33, 7, 1), activation, layer_norm)
    rows = initial_rows(layout, range(32), "weights", device="cpu")
    count = padded_rows(10, activation)
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(32, count, 3)).astype(np.float32))
    by_output = torch.from_numpy(rng.normal(size=(32, count, 1)).astype(np.float32))

    def all_numbers(members: slice) -> tuple[torch.Tensor, ...]:
        own = rows[members].clone()
        gradients = torch.zeros_like(own)
        stacked = StackedMLP(layout, own, gradients)
        outputs, tape = stacked.forward_taped(x[members].clone())
        by_input = stacked.backward(tape, by_output[members].clone(), to_input=True)
        return outputs, by_input, gradients

    together = all_numbers(slice(None))
    for member in range(32):
        alone = all_numbers(slice(member, member + 1))
        for one, many in zip(alone, together, strict=True):
            assert torch.equal(one[0], many[member]), member


def test_initial_weights_have_torchs_own_distribution() -> None:
    layout = Layout((50, 40, 9), "relu")
    rows = np.array([layout.initial(seed, "weights") for seed in range(60)])
    torch.manual_seed(0)
    for piece in layout.pieces():
        layer, kind = piece.name.split(".")
        ours = rows[:, piece.start : piece.start + math.prod(piece.shape)].ravel()
        layers = [nn.Linear(*layout.sizes[int(layer) : int(layer) + 2]) for _ in range(60)]
        theirs = torch.cat([getattr(one, kind).detach().ravel() for one in layers]).double().numpy()
        bound = 1 / math.sqrt(layout.sizes[int(layer)])
        assert np.abs(theirs).max() <= bound * (1 + 1e-6)
        assert bound * (1 - 20 / len(ours)) < np.abs(ours).max() <= bound
        assert stats.kstest(ours / bound, stats.uniform(-1, 2).cdf).pvalue > 1e-4
        assert stats.ks_2samp(ours, theirs).pvalue > 1e-4


def test_initial_weights_differ_between_seeds_networks_and_parameters() -> None:
    layout = Layout((8, 8, 8), "relu")
    rows = [layout.initial(seed, purpose) for seed in range(6) for purpose in ("weights", "critic weights 0")]
    pieces = [row[start : start + 64] for row in rows for name, start, _ in layout.pieces() if "weight" in name]
    found = np.corrcoef(np.array(pieces))
    assert np.abs(found[np.triu_indices(len(pieces), 1)]).max() < 0.6  # 4.8 standard deviations
    assert len({row[start] for row in rows for _, start, _ in layout.pieces()}) == len(rows) * 4


def test_layer_norm_starts_as_torchs_and_padding_as_zero() -> None:
    layout = Layout((3, 33, 7, 1), "relu", layer_norm=True)
    row = layout.initial(0, "weights")
    used = np.zeros(layout.width, bool)
    for name, start, shape in layout.pieces():
        part = slice(start, start + math.prod(shape))
        used[part] = True
        if "gain" in name or "shift" in name:
            assert (row[part] == (1.0 if "gain" in name else 0.0)).all()
    assert (row[~used] == 0.0).all()


def test_initial_rows_of_a_stack_are_those_of_its_runs() -> None:
    layout = Layout((3, 33, 1), "relu")
    rows = initial_rows(layout, [5, 2, 9], "weights", device="cpu")
    assert rows.dtype == torch.float32
    for row, seed in zip(rows, (5, 2, 9), strict=True):
        assert torch.equal(row, torch.from_numpy(layout.initial(seed, "weights")).float())


def test_named_parameters_are_views_under_the_names_of_a_sequential() -> None:
    layout = Layout((3, 33, 7, 1), "relu")
    row = random_rows(layout, 1)[0]
    network = torch_network(layout, row)
    named = layout.named(row, "q_net.")
    assert list(named) == [f"q_net.{name}" for name in network.state_dict()]
    for name, tensor in network.state_dict().items():
        assert torch.equal(named[f"q_net.{name}"], tensor)
    named["q_net.2.bias"].fill_(3.0)
    assert (layout.views(row[None])["1.bias"] == 3.0).all()


def test_fill_copies_arrays_and_refuses_other_names_and_shapes() -> None:
    layout = Layout((3, 5, 2), "relu")
    row = torch.zeros(layout.width)
    views = layout.named(row, "")
    saved = {name: np.full(view.shape, 1.0 + i, np.float32) for i, (name, view) in enumerate(views.items())}
    fill(views, saved)
    assert [view.unique().tolist() for view in views.values()] == [[1.0], [2.0], [3.0], [4.0]]
    before = row.clone()
    missing = {name: array for name, array in saved.items() if name != "0.bias"}
    with pytest.raises(ValueError, match=r"other parameters.*0\.bias"):
        fill(views, missing)
    with pytest.raises(ValueError, match=r"other parameters.*9\.bias"):
        fill(views, saved | {"9.bias": saved["0.bias"]})
    with pytest.raises(ValueError, match=r"2.weight has shape \(5, 2\), the network \(2, 5\)"):
        fill(views, saved | {"2.weight": saved["2.weight"].T})
    with pytest.raises(ValueError, match=r"2.bias has shape \(1,\)"):  # torch alone would broadcast it
        fill(views, saved | {"2.bias": np.zeros(1, np.float32)})
    assert torch.equal(row, before)


@pytest.mark.parametrize("tau", [0.005, 0.5, 1.0])
def test_polyak_is_stable_baselines3s_to_the_bit(tau: float) -> None:
    rng = np.random.default_rng(0)
    parameters, targets = (torch.from_numpy(rng.normal(size=(3, 48)).astype(np.float32)) for _ in range(2))
    expected = targets.clone()
    polyak_update([parameters], [expected], tau)
    before, kept = targets.clone(), parameters.clone()
    polyak(targets, parameters, tau)
    assert torch.equal(targets, expected)
    torch.testing.assert_close(targets, (1 - tau) * before + tau * kept)
    assert torch.equal(parameters, kept)
