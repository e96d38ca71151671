"""A small clip with flow and without, and its page."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from page_client import FRAMES, SETTINGS, SIZE, VELOCITY, Client

from omnitrack.config import load_settings
from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.stages.flow import compute_flow
from omnitrack.stages.init import init_from_frames
from omnitrack.synthetic import translating_scene
from omnitrack.view.shown import ShownPage


@pytest.fixture(scope="session")
def view_settings() -> Settings:
    """Settings of plain flow."""
    return load_settings(overrides=SETTINGS)


@pytest.fixture(scope="session")
def bare_root(tmp_path_factory: pytest.TempPathFactory, view_settings: Settings) -> Path:
    """A project with frames only, which move by `VELOCITY`."""
    root = tmp_path_factory.mktemp("view") / "bare"
    scene = translating_scene(VELOCITY, SIZE, FRAMES)
    init_from_frames(scene.frames(), root, view_settings, 12.0, "scene")
    return root


@pytest.fixture(scope="session")
def flow_root(bare_root: Path, view_settings: Settings) -> Path:
    """The same project with flow."""
    root = bare_root.with_name("flow")
    shutil.copytree(bare_root, root)
    compute_flow(Project(root), view_settings)
    return root


@pytest.fixture
def clip_root(flow_root: Path, tmp_path: Path) -> Path:
    """A copy of the project with flow."""
    return Path(shutil.copytree(flow_root, tmp_path / "clip"))


@pytest.fixture
def open_page(view_settings: Settings) -> Iterator[Callable[[Path], Client]]:
    """Return a function that opens pages, which are closed at the end of the test."""
    pages: list[ShownPage] = []

    def opened(root: Path) -> Client:
        pages.append(ShownPage(Project(root), view_settings, "cpu", browser=False))
        return Client(pages[-1].url)

    yield opened
    for page in pages:
        page.close()


@pytest.fixture
def client(clip_root: Path, open_page: Callable[[Path], Client]) -> Client:
    """A client of the page of a clip with flow."""
    return open_page(clip_root)


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser without a window, 1280 x 800."""
    webdriver = pytest.importorskip("selenium.webdriver", reason='pip install "omnitrack-video[browser]"')
    from selenium.webdriver.chrome.service import Service

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    chromedriver = shutil.which("chromedriver")
    if not (chromium and chromedriver):
        pytest.skip("chromium and chromedriver are not there")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    saved = tmp_path_factory.mktemp("downloads")
    options.add_experimental_option("prefs", {"download.default_directory": str(saved)})
    browser = webdriver.Chrome(options=options, service=Service(chromedriver))
    browser.saved = saved
    screen = {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    yield browser
    browser.quit()
