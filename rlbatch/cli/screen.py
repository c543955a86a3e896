"""How is a terminal drawn anew, without harm where it becomes narrower or goes away?"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from rich.console import Console, RenderableType
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType, Segment, SegmentLines


class Terminal(Console):
    """Standard error as a terminal; when nobody reads on, it goes quiet instead of ending the program."""

    def __init__(self) -> None:
        super().__init__(stderr=True)

    def on_broken_pipe(self) -> None:
        """Goes quiet."""
        self.quiet = True


class Screen(Live):
    """What is drawn anew four times a second, in place of what was drawn before.

    Args:
        draw: gets the width and height of the terminal, in columns and lines, and returns what to draw.
        console: the terminal.
    """

    def __init__(self, draw: Callable[[int, int], RenderableType], console: Console) -> None:
        self._draw = draw
        self._lengths: list[int] = []
        self._gone = False
        super().__init__(get_renderable=self._lines, console=console, refresh_per_second=4, vertical_overflow="crop")

    def refresh(self) -> None:
        """Draws anew. A terminal that became narrower has wrapped the old lines, so there are more of them to erase."""
        width = self.console.width
        wrapped = sum((length - 1) // width for length in self._lengths if length)
        up = ((ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1))
        try:
            with self.console:
                self.console.control(Control(*up * wrapped))
                super().refresh()
        except OSError:  # the terminal is gone: training goes on
            self.console.quiet = True

    def show(self) -> None:
        """Begins to draw."""
        try:
            self.start(refresh=True)
        except OSError:
            self._gone = True

    def leave(self, *, keep: bool) -> None:
        """Draws for the last time; what was drawn stays there if asked to keep it."""
        self.transient = not keep
        if not self._gone:
            with contextlib.suppress(OSError):
                self.stop()

    def _lines(self) -> SegmentLines:
        size = self.console.size
        lines = self.console.render_lines(self._draw(size.width, size.height), pad=False)
        self._lengths = [Segment.get_line_length(line) for line in lines]
        return SegmentLines(lines, new_lines=True)
