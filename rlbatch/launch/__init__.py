"""Launch: from planned runs to finished ones. Decides what is left to do, and has it done by worker processes."""

from rlbatch.launch.crew import Interrupted
from rlbatch.launch.execute import Outcome, check, execute

__all__ = ["Interrupted", "Outcome", "check", "execute"]
