"""Requests to the page's application without a server: each is a task in the event loop of one thread."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, MutableMapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette


@dataclass(frozen=True)
class Part:
    """One part of a response.

    Attributes:
        status: HTTP status.
        headers: HTTP headers by name, in lower case.
        body: The bytes of this part.
        more: Whether more parts follow.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    more: bool


class Calls:
    """Sends requests to an application; a thread handles them, so that the caller does not wait.

    Args:
        app: The application.
        heard: Called in that thread with the key of a request and a part of its response.
    """

    def __init__(self, app: Starlette, heard: Callable[[str, Part], None]) -> None:
        self._app, self._heard = app, heard
        self._loop = asyncio.new_event_loop()
        self._running: dict[str, Future[None]] = {}
        self._thread = threading.Thread(target=self._loop.run_forever, name="omnitrack-calls", daemon=True)
        self._thread.start()

    def begin(self, key: str, method: str, path: str, body: bytes) -> None:
        """Request a path, relative to the page; `key` identifies the request from now on."""
        future = asyncio.run_coroutine_threadsafe(self._ask(key, method, path, body), self._loop)
        self._running[key] = future
        future.add_done_callback(lambda _: self._running.pop(key, None))

    def end(self, key: str) -> None:
        """Cancel a request whose response is no longer needed."""
        if key in self._running:
            self._running[key].cancel()

    def close(self) -> None:
        """Cancel all requests and end the thread."""
        asyncio.run_coroutine_threadsafe(_end_others(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _ask(self, key: str, method: str, path: str, body: bytes) -> None:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": f"/{path}",
            "query_string": b"",
            "headers": [(b"host", b"notebook")],
        }
        head: dict[str, Any] = {}

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                head["status"] = message["status"]
                head["headers"] = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                self._heard(key, Part(**head, body=message.get("body", b""), more=message.get("more_body", False)))

        with suppress(asyncio.CancelledError):
            try:
                await self._app(scope, receive, send)
            except Exception:  # concerns the page only, which has the error; the notebook continues
                logging.getLogger(__name__).exception("the page's request %s %s failed", method, path)


async def _end_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
