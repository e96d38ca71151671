"""A small clip with flow and without, its page beside the tests, and a client that sends what it is told to send."""

from __future__ import annotations

import http.client
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from omnitrack.config import load_settings
from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.stages.flow import compute_flow
from omnitrack.stages.init import init_from_frames
from omnitrack.synthetic import translating_scene
from omnitrack.view.shown import ShownPage

SIZE, FRAMES, VELOCITY = (96, 64), 8, (2.0, 1.0)
SETTINGS = {"flow.workers": 1, "flow.descriptors.network": "none"}


@dataclass
class Client:
    """Sends requests to the page as its own script does, or otherwise."""

    url: str
    last_headers: dict[str, str] = field(default_factory=dict)

    @property
    def port(self) -> int:
        """Of the server."""
        port = urlsplit(self.url).port
        assert port is not None
        return port

    @property
    def root(self) -> str:
        """The path of the page: its token."""
        return urlsplit(self.url).path

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str | None] | None = None
    ) -> tuple[int, bytes]:
        """Send a request for the absolute `path`; a header that is None is left out."""
        given: dict[str, str | None] = {"Host": f"127.0.0.1:{self.port}", **(headers or {})}
        if body is not None and "Content-Length" not in given and "Transfer-Encoding" not in given:
            given["Content-Length"] = str(len(body))
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in given.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders()
            if body:
                connection.send(body)
            answer = connection.getresponse()
            self.last_headers = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, answer.read()

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask for a path of the page."""
        return self.send("GET", self.root + path)

    def post(self, path: str, content: Any) -> tuple[int, bytes]:
        """Send JSON to a path of the page."""
        return self.send("POST", self.root + path, json.dumps(content).encode(), {"Content-Type": "application/json"})


@pytest.fixture(scope="session")
def view_settings() -> Settings:
    """Plain flow."""
    return load_settings(overrides=SETTINGS)


@pytest.fixture(scope="session")
def bare_root(tmp_path_factory: pytest.TempPathFactory, view_settings: Settings) -> Path:
    """A project with frames alone, that move by `VELOCITY`."""
    root = tmp_path_factory.mktemp("view") / "bare"
    scene = translating_scene(VELOCITY, SIZE, FRAMES)
    init_from_frames(scene.frames(), root, view_settings, 12.0, "scene")
    return root


@pytest.fixture(scope="session")
def flow_root(bare_root: Path, view_settings: Settings) -> Path:
    """The same with flow."""
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
    """Opens pages, which the test's end closes."""
    pages: list[ShownPage] = []

    def opened(root: Path) -> Client:
        pages.append(ShownPage(Project(root), view_settings, "cpu", browser=False))
        return Client(pages[-1].url)

    yield opened
    for page in pages:
        page.close()


@pytest.fixture
def client(clip_root: Path, open_page: Callable[[Path], Client]) -> Client:
    """Asks the page of a clip with flow."""
    return open_page(clip_root)
