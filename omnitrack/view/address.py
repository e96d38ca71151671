"""The address of the page: an open port and an unguessable token."""

from __future__ import annotations

import os
import re
import secrets
import socket
import sys
import webbrowser
from contextlib import suppress

from omnitrack.errors import OmnitrackError
from omnitrack.project.project import Project

HOST = "127.0.0.1"
ADDRESS_NAME = ".view.html"  # in the project: redirects a browser to the page, readable by the user only
TOKEN_BYTES = 32


class Address:
    """The address of the page: an open port and an unguessable token.

    A killed server leaves its address in the project; the next server reuses it, so that an open page keeps working.

    Args:
        project: The project of the page.
        port: Port to listen on; 0 takes the port of a killed server, or a free one.

    Raises:
        OmnitrackError: The port is in use or not permitted.
    """

    def __init__(self, project: Project, port: int = 0) -> None:
        self._path = project.root / ADDRESS_NAME
        old_port, old_token = self._left_behind()
        taken_up = _listen_again(old_port) if old_token and port in (0, old_port) else None
        self.token = old_token if taken_up else secrets.token_urlsafe(TOKEN_BYTES)
        try:
            self.socket = taken_up or _listen(port)
        except OSError as error:
            hint = "leave out --port to take a free one"
            raise OmnitrackError(f"cannot listen on port {port}: {error.strerror}", hint) from error
        self.port: int = self.socket.getsockname()[1]
        self.url = f"http://{HOST}:{self.port}/{self.token}/"
        self._text = f'<!doctype html><meta http-equiv="refresh" content="0;url={self.url}">\n'

    def show(self) -> None:
        """Open the browser through a file that redirects to the page: all users can read a command's arguments."""
        # without a display, a text browser would take over the terminal
        displayed = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
        if self._path.exists() and (displayed or not sys.platform.startswith("linux")):
            webbrowser.open(self._path.resolve().as_uri())

    def __enter__(self) -> Address:
        with suppress(OSError):  # a read-only project; its page can still be opened manually
            self._path.unlink(missing_ok=True)
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(file, "w", encoding="utf-8") as opened:
                opened.write(self._text)
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        with suppress(OSError):
            if self._path.read_text(encoding="utf-8") == self._text:  # not the address of another server
                self._path.unlink()

    def _left_behind(self) -> tuple[int, str]:
        with suppress(OSError, ValueError):
            found = re.search(rf"url=http://{HOST}:(\d+)/([\w-]+)/", self._path.read_text(encoding="utf-8"))
            if found and self._path.stat().st_mode & 0o077 == 0:
                return int(found[1]), found[2]
        return 0, ""


def _listen_again(port: int) -> socket.socket | None:
    try:
        return _listen(port)
    except OSError:  # taken by another process meanwhile
        return None


def _listen(port: int) -> socket.socket:
    listening = socket.socket()
    try:
        if os.name == "posix":  # reuses the port of an ended server at once; elsewhere it would share it
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
        listening.listen(128)
    except BaseException:
        listening.close()
        raise
    return listening
