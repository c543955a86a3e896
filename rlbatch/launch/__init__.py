"""Launch: from planned runs to finished ones. Decides what is left to do, and has it done by worker processes."""

from rlbatch.launch.execute import Outcome, check, execute
from rlbatch.launch.local import Interrupted

__all__ = ["Interrupted", "Outcome", "check", "execute"]
