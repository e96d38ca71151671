"""The clip that the tests of the page share, and a client that sends any request."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

SIZE, FRAMES, VELOCITY = (96, 64), 8, (2.0, 1.0)
SETTINGS = {"flow.workers": 1, "flow.surroundings": False, "flow.descriptors.network": "none"}


@dataclass
class Client:
    """Sends requests to the page as its own script does, or differently."""

    url: str
    last_headers: dict[str, str] = field(default_factory=dict)

    @property
    def port(self) -> int:
        """The port of the server."""
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
        """Send a request for the absolute `path`; a header that is None is omitted."""
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
        """Get a path of the page."""
        return self.send("GET", self.root + path)

    def post(self, path: str, content: Any) -> tuple[int, bytes]:
        """Send JSON to a path of the page."""
        return self.send("POST", self.root + path, json.dumps(content).encode(), {"Content-Type": "application/json"})
