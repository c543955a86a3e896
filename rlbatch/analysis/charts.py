"""Which runs and charts show an experiment in TensorBoard? A run for each arm, and charts for each environment.

An arm's run holds, along two axes, the mean return over seeds, the ends of its interval and the number of seeds. An
axis is what TensorBoard takes for its step: env steps or samples. Both stand in one run, so that an arm has one colour;
that is safe only because the file is written as a whole. TensorBoard draws a margin chart from mean and interval; it
takes all runs that have the tags, so the names of experiment and environment stand in the tag.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.custom_scalar import layout_pb2, metadata

from rlbatch.analysis.bands import Band, Curve, band
from rlbatch.analysis.scores import floor_of
from rlbatch.config import RunConfig
from rlbatch.errors import RefusedError
from rlbatch.events import scalars
from rlbatch.paths import run_path
from rlbatch.references import low_of
from rlbatch.wallclock import Entry

AXES = {"env_steps": "env steps", "samples": "samples"}
"""An axis in a tag -> its words."""

Content = list[tuple[int, Summary]]
"""What a TensorBoard run holds: its steps, each with what is told there."""


def contents(name: str, curves: Sequence[Curve], measured: Sequence[Entry]) -> dict[Path, Content]:
    """Returns TensorBoard run -> what it holds; the run without a name holds the layout of the charts.

    Args:
        name: the experiment's.
        curves: its runs.
        measured: the experiment's own references, from `read_references`.

    Raises:
        RefusedError: an environment has no name that a folder can have.
    """
    lows = _lows(curves, measured)
    tree: dict[Path, Content] = {}
    charts: dict[str, layout_pb2.Chart] = {}
    for place, found in arms_of(curves).items():
        arm, env_id = band(found, lows[found[0].environment]), found[0].config.env_id
        if arm is None:
            continue
        tree[place] = []
        for axis, words in AXES.items():
            tag = f"return_by_{axis}/{name}/{place.parts[0]}"
            tree[place] += _points(arm, axis, tag)
            title = f"{env_id}: return by {words}"
            charts[title] = _chart(title, tag)
    shown = reversed(charts.values())  # TensorBoard shows the last chart of a category first
    layout = layout_pb2.Layout(category=[layout_pb2.Category(title=name, chart=shown)])
    return tree | {Path(): [(0, _layout(layout))]}


_DESIGN = ("match", "lr_rule")
"""What tells arms of one batch size and learning rate apart in a name."""


def arms_of(curves: Iterable[Curve]) -> dict[Path, list[Curve]]:
    """Returns the runs of each arm by its TensorBoard run, in the order of these folders.

    An arm is called by its batch size, with the learning rate where several are compared in its environment, with its
    design where that is what differs, and with the beginning of its id where that does not tell it from another one.

    Raises:
        RefusedError: an environment has no name that a folder can have.
    """
    by_id: dict[str, list[Curve]] = {}
    for curve in curves:
        by_id.setdefault(curve.config.arm_id, []).append(curve)
    configs = [found[0].config for found in by_id.values()]
    rates = Counter(home for home, _ in {(_home(config), config.learning_rate) for config in configs})
    names = {config.arm_id: _name(config, with_rate=rates[_home(config)] > 1) for config in configs}
    for axis in _DESIGN:
        alike = Counter(names.values())
        told = {config.arm_id: str(getattr(config, axis)) for config in configs}
        apart = {name for name in alike if len({told[i] for i, own in names.items() if own == name}) > 1}
        names = {i: name.with_name(f"{name.name}-{told[i]}") if name in apart else name for i, name in names.items()}
    taken = Counter(names.values())
    places = {i: name if taken[name] == 1 else name.with_name(f"{name.name}-{i[:8]}") for i, name in names.items()}
    return {place: by_id[arm_id] for arm_id, place in sorted(places.items(), key=lambda item: item[1])}


def _name(config: RunConfig, *, with_rate: bool) -> Path:
    rate = f"-lr{config.learning_rate:.1e}" if with_rate else ""
    return _home(config) / f"b{config.batch_size:05d}{rate}"


def _home(config: RunConfig) -> Path:
    """Returns <env>/<algo>."""
    parts = run_path(config).parts
    if len(parts) != 4 or parts[0].startswith("."):
        raise RefusedError("env_id", f"{config.env_id!r} is not the name of a folder")
    return Path(*parts[:2])


def _lows(curves: Iterable[Curve], measured: Sequence[Entry]) -> dict[tuple[str, str], float]:
    """Returns environment -> the return of its diverged runs."""
    by_environment: dict[tuple[str, str], list[Curve]] = {}
    for curve in curves:
        by_environment.setdefault(curve.environment, []).append(curve)
    return {
        environment: floor_of(
            low_of(environment[0], found[0].config.env_kwargs, measured),
            (height for curve in found for *_, height in curve.points),
        )
        for environment, found in by_environment.items()
    }


def _points(arm: Band, axis: str, tag: str) -> Content:
    """Returns an arm's curve along one axis; where several evaluations share a step, the last of them."""
    steps = arm.timesteps if axis == "env_steps" else arm.samples
    columns = {f"{tag}/{what}": getattr(arm, what) for what in ("mean", "lower", "upper", "seeds")}
    points = {step: {name: float(of[index]) for name, of in columns.items()} for index, step in enumerate(steps)}
    return [(step, scalars(values)) for step, values in points.items()]


def _chart(title: str, tag: str) -> layout_pb2.Chart:
    series = layout_pb2.MarginChartContent.Series(value=f"{tag}/mean", lower=f"{tag}/lower", upper=f"{tag}/upper")
    return layout_pb2.Chart(title=title, margin=layout_pb2.MarginChartContent(series=[series]))


def _layout(layout: layout_pb2.Layout) -> Summary:
    tensor = TensorProto(dtype=DT_STRING, string_val=[layout.SerializeToString()])
    told = metadata.create_summary_metadata()
    return Summary(value=[Summary.Value(tag=metadata.CONFIG_SUMMARY_TAG, metadata=told, tensor=tensor)])
