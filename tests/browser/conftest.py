"""A real browser, and TensorBoard with an experiment to look at; skipped without a browser, unless one is due."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from boards import record

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
REQUIRED = "TEST_REQUIRES_BROWSER"
"""Environment variable: if set, a missing browser is an error."""
PATIENCE_MS = 100_000
# without WebGL TensorBoard draws lines as SVG, which can be read
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-3d-apis")


class Links(NamedTuple):
    """What `rlbatch tensorboard` prints."""

    series: str
    means: str

    @property
    def hparams(self) -> str:
        return self.series.partition("?")[0] + "#hparams"


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Returns a headless Chromium under Playwright's control."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        if os.environ.get(REQUIRED):
            raise FileNotFoundError(f"{REQUIRED} is set and there is none of {', '.join(BROWSERS)}")
        pytest.skip("no Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def _window(browser: Any) -> Any:
    """Keeps what was loaded for the next page."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(PATIENCE_MS)
    return context


@pytest.fixture
def page(_window: Any) -> Iterator[Any]:
    tab = _window.new_page()
    yield tab
    tab.close()


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two environments; in CartPole batch 64 is 10 better than batch 32 from the first evaluation on."""
    root = tmp_path_factory.mktemp("results")
    for batch_size, height in ((32, 10.0), (64, 20.0)):
        for seed in range(2):
            record(root / "x", [height + 2 * seed] * 5, batch_size=batch_size, seed=seed, learning_rate=1e-3)
    record(root / "x", [0.0, 5.0], None, env_id="my_env:b00099 Line-v0", batch_size=32, learning_rate=1e-3)
    return root


@pytest.fixture(scope="session")
def links(browser: Any, results: Path) -> Iterator[Links]:
    """Starts the command, once, in a process of its own."""
    words = [sys.executable, "-c", "from rlbatch.cli.main import main; main()", "tensorboard", str(results)]
    with subprocess.Popen([*words, "--port", "0"], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield Links(*(server.stdout.readline().split()[-1] for _ in range(2)))
            server.send_signal(signal.SIGINT)
            assert server.wait(30) == 0
        finally:
            server.kill()
