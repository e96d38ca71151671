"""The page served beside a notebook or a script, which continues to run."""

from __future__ import annotations

import threading
from html import escape
from queue import SimpleQueue

from omnitrack.closing import Closing
from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.view.address import Address
from omnitrack.view.server import opened


class ShownPage(Closing):
    """A page that is served until `close`, or until this process ends; a context manager.

    Args:
        project: The project of the page.
        settings: Settings of the answers.
        device: Device to answer on.
        browser: Whether to open the page in a browser.
        advice: Text that a notebook shows below the link.

    Attributes:
        url: Address of the page; anyone who has it can see the clip and change the points.

    Raises:
        OmnitrackError: Packages are missing, or the project cannot be read.
    """

    def __init__(
        self, project: Project, settings: Settings, device: str = "auto", browser: bool = True, advice: str = ""
    ) -> None:
        self._advice = advice
        begun: SimpleQueue[Address | BaseException] = SimpleQueue()
        self._ended = threading.Event()

        def work() -> None:
            try:
                with opened(project, settings, device) as (address, server):
                    self._server = server
                    begun.put(address)
                    server.run(sockets=[address.socket])
            except BaseException as error:
                begun.put(error)
            finally:
                self._ended.set()

        threading.Thread(target=work, name="omnitrack-view", daemon=True).start()
        address = begun.get()
        if isinstance(address, BaseException):
            raise address
        self.url = address.url
        if browser:
            address.show()

    def close(self) -> None:
        """End the server; the points are kept in the project."""
        self._server.should_exit = True
        self._ended.wait()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url})"

    def _repr_html_(self) -> str:
        link = f'<a href="{self.url}" target="_blank" rel="noreferrer">Open the page: click on anything</a>'
        return f"{link}<br>{escape(self._advice)}" if self._advice else link
