"""The server of the page: one project, one address, on this machine only."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.view.address import Address
from omnitrack.view.security import Guard
from omnitrack.weights import import_extra

if TYPE_CHECKING:
    import uvicorn

END_SECONDS = 1  # for requests that are being answered when the server ends
EXTRA = "view"


def check_installed() -> None:
    """Raise an `OmnitrackError` that says how to get them where the packages of the page are missing."""
    for package in ("starlette", "uvicorn"):
        import_extra(package, EXTRA)


def serve(
    project: Project,
    settings: Settings,
    device: str = "auto",
    seed: int = 0,
    target: str | None = "fit",
    port: int = 0,
    announce: Callable[[Address], None] = Address.show,
) -> None:
    """Serve the page of a project until a signal ends it, and bring the project up to `target` meanwhile.

    Args:
        project: The project.
        settings: To work and to answer by.
        device: Where to fit and to answer.
        seed: Of the fit.
        target: What is made in the background where it is missing, a name in `omnitrack.stages.graph.NODES`.
        port: To listen on; 0 takes a free one.
        announce: Is given the address as soon as it is reachable.

    Raises:
        OmnitrackError: Packages are missing, the port is in use, or the project cannot be read.
    """
    with opened(project, settings, device, seed, target, port) as (address, server):
        announce(address)
        server.run(sockets=[address.socket])


@contextmanager
def opened(
    project: Project, settings: Settings, device: str, seed: int = 0, target: str | None = None, port: int = 0
) -> Iterator[tuple[Address, uvicorn.Server]]:
    """A server that is ready to run, and what works behind it; for the arguments see `serve`."""
    check_installed()
    import uvicorn

    from omnitrack.view.app import make_app
    from omnitrack.view.opening import project_page

    with Address(project, port) as address, project_page(project, settings, device, seed, target) as page:
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        config = uvicorn.Config(
            Guard(make_app(page), address.token, address.port),
            access_log=False,  # paths hold the token
            log_config=None,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=END_SECONDS,
        )
        server = uvicorn.Server(config)
        page.ending = lambda: server.should_exit
        yield address, server
