"""How do many runs train as one torch program? Act, step, store, update, report: each once for the whole stack."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from rlbatch.config import RunConfig
from rlbatch.rows import Commit, Emit, Ending, Row
from rlbatch.training.checkpoint import Checkpoints
from rlbatch.training.endings import never_started, outcome_of
from rlbatch.training.stack import Stack
from rlbatch.training.stacking import order

_LOST = "an environment could not be brought back into its episode; it began a new one, and resume_exact is false"


def train(
    configs: Sequence[RunConfig],
    emit: Emit,
    commit: Commit,
    *,
    device: str,
    env_workers: int = 0,
    modules: Sequence[str] = (),
    checkpoints: Checkpoints | None = None,
    alive: Callable[[], None] = lambda: None,
) -> None:
    """Trains runs that share all but the settings that stack (`Setting.stackable`).

    Args:
        configs: the runs.
        emit: called as emit(run, report) with every row of run number `run`, and last with its ending.
        commit: called as commit(runs, timesteps) when the runs begin and between vector steps, with those that have not
            ended; False asks to stop there, without endings.
        device: torch's name of the device.
        env_workers: processes that step the environments; 0 steps them here.
        modules: what these processes must import.
        checkpoints: where the runs go on, and where their state is kept meanwhile; without, they start from zero.
        alive: called now and then during evaluations, when `commit` is not.

    Raises:
        MemoryError: memory does not suffice for several runs at once; they have no endings, for fewer may fit.
        Exception: what `emit` raises, which is not the runs' doing; on a GPU also what broke the device, after the runs
            were ended, since nothing can be computed there any more.
    """
    if not commit(range(len(configs)), 0):
        return
    places = order(configs)
    unwritten: list[Exception] = []

    def tell(run: int, report: Row | Ending) -> None:
        try:
            emit(places[run], report)
        except Exception as error:
            unwritten.append(error)
            raise

    started = time.perf_counter()
    stack: Stack | None = None
    with torch.inference_mode():
        try:
            ordered = [configs[place] for place in places]
            stack = Stack(ordered, tell, device=device, env_workers=env_workers, modules=modules, alive=alive)
            _run(stack, places, commit, checkpoints)
        except Exception as error:
            if unwritten:
                raise
            _end(configs, stack, tell, error, time.perf_counter() - started)
            if device != "cpu" and outcome_of(error) == "crashed":
                raise
        finally:
            if stack is not None:
                stack.close()


def _end(configs: Sequence[RunConfig], stack: Stack | None, tell: Emit, error: Exception, seconds: float) -> None:
    """Ends what is left with an error that is not one run's own; raises MemoryError where fewer runs may fit."""
    left = len(configs) if stack is None else len(stack.live)
    if left > 1 and outcome_of(error) == "out_of_memory":
        raise MemoryError(f"{left} runs: {error}") from error
    if stack is not None:
        stack.fail_all(error)
        return
    for run in range(len(configs)):
        tell(run, never_started(error, seconds))


def _run(stack: Stack, places: Sequence[int], commit: Commit, checkpoints: Checkpoints | None) -> None:
    """Takes every vector step that is left, unless nothing is left to train or a stop is asked for."""
    if checkpoints is None or checkpoints.resume is None:
        stack.begin()
    else:
        for run_id in stack.restore(*checkpoints.resume):
            checkpoints.note(f"run {run_id}: {_LOST}")
    last = stack.clock.vector_steps
    for step in range(stack.step + 1, last + 1):
        if not stack.live:
            return
        stack.advance(step)
        stack.report(step)
        goes_on = commit([places[run] for run in stack.live], stack.timesteps) or step == last
        if checkpoints is not None and stack.live:
            checkpoints.offer(stack, stopping=not goes_on)
        if not goes_on:
            return
    stack.finish()
