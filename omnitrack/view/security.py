"""Access control: a request must contain the token, address this host, come from this page, and be small.

Any web page and any user of the machine can send requests to 127.0.0.1. The token, the first part of every path, keeps
both out. The Host check stops an attacker's domain that resolves to 127.0.0.1, the Origin check an attacker's page.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from omnitrack.errors import OmnitrackError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY_BYTES = 1 << 20
TOO_LARGE = "the request is too large"
HEADERS = {
    # The page's own files only; images also from blobs, into which frames are decoded ahead.
    "content-security-policy": "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",  # the address contains the token
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class BodyTooLarge(OmnitrackError):
    """The body of a request exceeds the limit, and its length was not announced."""

    def __init__(self) -> None:
        super().__init__(TOO_LARGE)


class Guard:
    """ASGI middleware that lets only the opened page through.

    Args:
        app: Handles the accepted requests; receives their paths without the token.
        token: First part of every path.
        port: Port that the server listens on.
    """

    def __init__(self, app: App, token: str, port: int) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = {f"{name}:{port}".encode() for name in ("127.0.0.1", "localhost")}
        self._origins = {b"http://" + host for host in self._hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it without revealing what is served."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await _refuse(send, *refusal)
            return
        inner = {**scope, "path": _without_token(scope["path"]), "root_path": ""}
        inner["raw_path"] = inner["path"].encode()
        await self._app(inner, _limited(receive), _guarded(send))

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Return status and reason if a request is refused, else None."""
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        if len(headers.get(b"host", [])) != 1 or headers[b"host"][0].lower() not in self._hosts:
            return 403, "this host is not served"
        if any(origin not in self._origins for origin in headers.get(b"origin", [])):
            return 403, "this origin is not served"
        token = scope["path"].split("/")[1:2] or [""]
        if not hmac.compare_digest(token[0].encode("utf-8", "replace"), self._token):
            return 403, "open the address that omnitrack view printed"
        length = headers.get(b"content-length", [b"0"])[0]
        if not length.isdigit() or len(length) > 19 or int(length) > MAX_BODY_BYTES:
            return 413, TOO_LARGE
        if scope["method"] == "POST" and not headers.get(b"content-type", [b""])[0].startswith(b"application/json"):
            return 415, "the request is not JSON"
        return None


def _guarded(send: Send) -> Send:
    """Wrap `send` to add the security headers to each response."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name.encode(): value.encode() for name, value in HEADERS.items()}
            message = {**message, "headers": [*message.get("headers", []), *own.items()]}
        await send(message)

    return sending


def _without_token(path: str) -> str:
    """Strip the token from a path: ``/TOKEN/frames/0`` becomes ``/frames/0``."""
    return "/" + path.lstrip("/").partition("/")[2]


def _limited(receive: Receive) -> Receive:
    """Wrap `receive` to limit a body of unannounced length."""
    taken = 0

    async def counting() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > MAX_BODY_BYTES:
            raise BodyTooLarge
        return message

    return counting


async def _refuse(send: Send, status: int, reason: str) -> None:
    send = _guarded(send)
    body = json.dumps({"error": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
