"""Which engine trains in tests that are about something else? One name for all of them."""

from __future__ import annotations

ENGINE = "stacked"
