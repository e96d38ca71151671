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

END_SECONDS = 1  # grace period for requests in progress when the server ends
EXTRA = "view"


def check_installed() -> None:
    """Raise an `OmnitrackError` with the install command if packages of the page are missing."""
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
        settings: Settings of the work and of the answers.
        device: Device to fit and answer on.
        seed: Random seed of the fit.
        target: Product to make in the background if it is missing, a name in `omnitrack.stages.graph.NODES`; or None.
        port: Port to listen on; 0 takes the port of a killed server, or a free one.
        announce: Called with the address as soon as it is reachable.

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
    """Yield the address and a server that is ready to run; for the arguments see `serve`."""
    check_installed()
    import uvicorn

    from omnitrack.view.app import make_app
    from omnitrack.view.opening import project_page

    with Address(project, port) as address, project_page(project, settings, device, seed, target) as page:
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        config = uvicorn.Config(
            Guard(make_app(page), address.token, address.port),
            access_log=False,  # paths contain the token
            log_config=None,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=END_SECONDS,
        )
        server = uvicorn.Server(config)
        page.ending = lambda: server.should_exit
        yield address, server
