"""What tells an arm from the others, in a table and in a line?"""

from __future__ import annotations

from collections.abc import Sequence

from rlbatch.cli.output import number
from rlbatch.config import IDENTITY, SETTINGS, RunConfig

_HEADINGS = {"env_id": "env", "batch_size": "batch", "learning_rate": "lr"}


def arm_labels(arms: Sequence[RunConfig]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Returns the headings and for each arm the label that tells it from the others.

    That is the environment where it differs, the batch size, then the learning rate and any other setting as far as
    they are needed.
    """
    names = ["env_id", "batch_size"] if len({arm.env_id for arm in arms}) > 1 else ["batch_size"]
    labels = _values(arms, names)
    others = [name for name, setting in SETTINGS.items() if setting.role == IDENTITY and name != "seed"]
    for name in ("learning_rate", *others):
        if len(set(labels)) == len(arms):
            break
        finer = _values(arms, [*names, name])
        if len(set(finer)) > len(set(labels)):
            names, labels = [*names, name], finer
    return [_HEADINGS.get(name, name) for name in names], labels


def arm_text(headings: Sequence[str], label: Sequence[str]) -> str:
    """Returns what tells an arm from the others in a line: `Pendulum-v1 batch 32 lr 0.001`."""
    named = zip(headings, label, strict=True)
    return " ".join(value if heading == _HEADINGS["env_id"] else f"{heading} {value}" for heading, value in named)


def _values(arms: Sequence[RunConfig], names: Sequence[str]) -> list[tuple[str, ...]]:
    values = [[getattr(config, name) for name in names] for config in arms]
    return [tuple(number(v) if isinstance(v, float) else str(v) for v in row) for row in values]
