"""The page in a cell of a notebook: the same page, with requests as messages of a widget (anywidget)."""

from __future__ import annotations

import json
import sys
from contextlib import AbstractContextManager, ExitStack
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnitrack.closing import Closing
from omnitrack.errors import OmnitrackError
from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.tracks.tracks import Tracks
from omnitrack.weights import import_extra

if TYPE_CHECKING:
    from omnitrack.view.app import Page
    from omnitrack.view.calls import Part

EXTRA = "notebook"
PACKAGES = ("anywidget", "starlette")
INSTALL = 'pip install "omnitrack-video[notebook]"'

_open_pages: dict[Path, PageWidget] = {}  # by project: a cell that runs again replaces its page


def in_notebook() -> bool:
    """Whether this process is a notebook's kernel."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None) is not None


def can_show() -> bool:
    """Whether the packages that a widget needs are installed."""
    return all(find_spec(package) for package in PACKAGES)


def project_widget(project: Project, settings: Settings, device: str) -> PageWidget:
    """Return a page on which points are placed; for the arguments see `omnitrack.view.shown.ShownPage`."""
    _check_installed()
    from omnitrack.view.opening import project_page

    root = project.root.resolve()
    if root in _open_pages:
        _open_pages.pop(root).close()
    _open_pages[root] = PageWidget(project_page(project, settings, device))
    return _open_pages[root]


def show_tracks(tracks: Tracks, project: Any = None) -> PageWidget:
    """Return a page that shows tracks in a cell; for the arguments see `Tracks.show`."""
    _check_installed()
    from omnitrack.view.opening import tracks_page

    given = getattr(project, "project", project)  # of an `OpenProject`
    return PageWidget(tracks_page(tracks, given if given is None or isinstance(given, Project) else Project(given)))


class PageWidget(Closing):
    """A page in a cell, until `close`; a context manager. It responds only while no cell of the notebook runs.

    Args:
        page: The page to open.

    Raises:
        OmnitrackError: The page cannot be opened.
    """

    def __init__(self, page: AbstractContextManager[Page]) -> None:
        import anywidget

        from omnitrack.view.app import make_app
        from omnitrack.view.calls import Calls

        with ExitStack() as opening:
            self._calls = Calls(make_app(opening.enter_context(page)), self._answer)
            opening.callback(self._calls.close)
            self._widget = anywidget.AnyWidget(_esm=script())
            opening.callback(self._widget.close)
            self._widget.on_msg(self._hear)
            self._open = opening.pop_all()

    def close(self) -> None:
        """End the page; the points are kept in the project."""
        self._open.close()

    def _repr_mimebundle_(self, **formats: Any) -> Any:
        """Return what a notebook shows."""
        return self._widget._repr_mimebundle_(**formats)

    def _hear(self, widget: object, message: dict[str, Any], buffers: object) -> None:
        """Begin a request of `notebook.js`, or end one that it no longer waits for."""
        if message.get("ended"):
            self._calls.end(message["key"])
        else:
            self._widget.send({"key": message["key"], "taken": True}, [])  # confirms that no cell keeps the kernel busy
            self._calls.begin(message["key"], message["method"], message["path"], message["body"].encode())

    def _answer(self, key: str, part: Part) -> None:
        head = {"key": key, "status": part.status, "headers": part.headers, "more": part.more}
        self._widget.send(head, [part.body])


@cache
def script() -> str:
    """Return ``notebook.js`` preceded by the files of the page; a cell has no address to fetch them from."""
    page = {item.name: item.read_text(encoding="utf-8") for item in (files("omnitrack.view") / "page").iterdir()}
    own = page.pop("notebook.js")
    return f"const FILES = {json.dumps(page)};\n{own}"


def _check_installed() -> None:
    for package in PACKAGES:
        import_extra(package, EXTRA)
    if not in_notebook():
        raise OmnitrackError("this is not a notebook", "omnitrack view PROJECT opens the page in a browser")
