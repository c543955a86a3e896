"""What do commands that read runs have in common? They find the run that is named, or have folders compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlbatch.cli import experiments, options
from rlbatch.errors import InputError, nearest

if TYPE_CHECKING:
    from rlbatch.analysis.answer import Answer
    from rlbatch.results import RunFolder


def find_run(word: str) -> RunFolder:
    """Returns the run folder that a command line names; raises InputError if it is none, or holds several."""
    from rlbatch.results import RunFolder, find_runs

    path = options.checked_path(word)
    if (path / "config.json").is_file():
        return RunFolder(path)
    runs = find_runs(path) if path.is_dir() else []
    if len(runs) == 1:
        return runs[0]
    if runs:
        raise InputError(word, f"holds {len(runs)} runs, name one", f"for example {runs[0].path}")
    hint = nearest(word, experiments.known()) or "rlbatch list runs shows them"
    raise InputError(word or "run", "is not a run folder", hint)


def answer_to(
    folders: tuple[str, ...],
    *,
    metric: str | None,
    delta: float | None,
    reference: int | None,
    threshold: float | None,
    where: tuple[tuple[str, Any], ...],
    group: str | None,
) -> Answer:
    """Returns what the runs of the folders say; the arguments are those of `options.analysis_options`."""
    from rlbatch.analysis.answer import answer
    from rlbatch.analysis.collect import collect
    from rlbatch.analysis.comparison import compare

    collected = collect([options.checked_path(folder) for folder in folders])
    comparison = compare(collected, threshold=threshold, where=dict(where), group=group)
    return answer(comparison, metric=metric, delta=delta, reference=reference)


def note_looks(found: Answer) -> None:
    """Keeps that somebody sees this answer: a look at unfinished experiments is counted."""
    from rlbatch.analysis.looks import note_look

    collected = found.comparison.collected
    for experiment, plan in collected.plans.items():
        read = [run for run in collected.runs if experiment in run.experiments]
        note_look(experiment, read, set(plan.runs).difference(run.path for run in read))
