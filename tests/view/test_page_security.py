"""Only the opened page may send requests, and only those that it needs."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from page_client import Client

from omnitrack.errors import OmnitrackError
from omnitrack.project.project import Project
from omnitrack.view.address import Address
from omnitrack.view.security import MAX_BODY_BYTES, Guard

JSON = {"Content-Type": "application/json"}
SECRETS = (b"scene", b"frames", b"clip")  # what a refusal must not reveal


def refused(answer: tuple[int, bytes], *statuses: int) -> None:
    """Check that a request was refused with one of these statuses, and that the answer reveals nothing."""
    status, body = answer
    assert status in statuses, (status, body)
    assert not any(word in body for word in SECRETS), body


def test_the_page_itself_is_answered(client: Client) -> None:
    status, body = client.get("")
    assert status == 200 and b"<!doctype html>" in body
    assert client.get("project")[0] == 200


@pytest.mark.parametrize("path", ["", "project", "points", "frames/0", "events", "export/csv", "main.js"])
def test_without_the_token_nothing_is_answered(client: Client, path: str) -> None:
    near = client.root[1:-2] + ("A" if client.root[-2] != "A" else "B")
    whole = client.root[1:-1]
    for token in ("", "x", near, whole[:-1], whole + "A", whole.swapcase(), "%00", "%c3%a9"):
        refused(client.send("GET", f"/{token}/{path}"), 400, 403)
    refused(client.send("GET", f"/{path}?token={whole}"), 403)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.evil:{port}"]
)
def test_another_host_is_refused(client: Client, host: str) -> None:
    refused(client.send("GET", client.root, headers={"Host": host.format(port=client.port)}), 403)


def test_no_host_is_refused(client: Client) -> None:
    with closing(socket.create_connection(("127.0.0.1", client.port))) as connection:
        connection.sendall(f"GET {client.root}project HTTP/1.0\r\n\r\n".encode())
        assert b" 403 " in connection.recv(4096).splitlines()[0]


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1", ""]
)
def test_another_origin_is_refused(client: Client, origin: str) -> None:
    headers = {**JSON, "Origin": origin.format(port=client.port)}
    refused(client.send("POST", client.root + "points", b"{}", headers), 403)
    refused(client.send("GET", client.root + "points", headers=headers), 403)


def test_its_own_origin_passes(client: Client) -> None:
    assert client.send("GET", client.root + "points", headers={"Origin": f"http://127.0.0.1:{client.port}"})[0] == 200
    local = {"Host": f"localhost:{client.port}", "Origin": f"http://localhost:{client.port}"}
    assert client.send("GET", client.root + "points", headers=local)[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e/app.py",
        "..\\app.py",
        "app.py",
        "../app.py",
        "frames/../omnitrack.toml",
        "frames/-1",
        "frames/99999999999999999999999999",
        "frames/0.png",
        "frames//etc/passwd",
        "export/../points",
        "export/..%2f..%2fx",
        "/etc/passwd",
        "%00",
        "main.js%00.css",
        "view.json",
        "omnitrack.toml",
    ],
)
def test_paths_that_climb_find_nothing(client: Client, path: str) -> None:
    status, body = client.get(path)
    assert status in (400, 404), (status, body)
    assert b"root:" not in body and b"import" not in body and b"[init]" not in body


def test_huge_bodies_are_refused(client: Client) -> None:
    told = {**JSON, "Content-Length": str(MAX_BODY_BYTES + 1)}
    refused(client.send("POST", client.root + "answers", b"", told), 413)
    refused(client.send("POST", client.root + "answers", b"", {**JSON, "Content-Length": "9" * 30}), 400, 413)
    chunks = b"%x\r\n" % (MAX_BODY_BYTES + 1) + b" " * (MAX_BODY_BYTES + 1) + b"\r\n0\r\n\r\n"
    refused(client.send("POST", client.root + "answers", chunks, {**JSON, "Transfer-Encoding": "chunked"}), 413)
    assert client.get("points")[0] == 200


def test_a_form_of_another_page_cannot_post(client: Client) -> None:
    body = json.dumps({"points": [], "revision": 0}).encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None):
        assert client.send("POST", client.root + "points", body, {"Content-Type": kind})[0] == 415
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        assert client.send(method, client.root + "points", body, JSON)[0] == 405
    assert json.loads(client.get("points")[1])["revision"] == 0


@pytest.mark.parametrize("path", ["", "main.js", "points", "frames/0", "nothing"])
def test_every_answer_has_the_headers_that_keep_others_out(client: Client, path: str) -> None:
    client.get(path)
    headers = client.last_headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer" and headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers and "server" not in headers


def test_only_this_machine_is_served(client: Client) -> None:
    addresses = {found[4][0] for found in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in addresses - {"127.0.0.1"}:
        if not str(address).startswith("127."):
            with pytest.raises(OSError):
                socket.create_connection((str(address), client.port), timeout=2)


def test_websockets_are_closed() -> None:
    sent: list[Any] = []

    async def never(*_: Any) -> None:
        raise AssertionError("let through")

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Guard(never, "token", 1)({"type": "websocket", "path": "/token/", "headers": []}, never, send))
    assert [message["type"] for message in sent] == ["websocket.close"]


def test_tokens_differ_and_are_for_the_user_alone(clip_root: Path) -> None:
    project = Project(clip_root)
    tokens = set()
    for _ in range(3):
        with Address(project) as address:
            tokens.add(address.token)
            (file,) = clip_root.glob(".view*")
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert not list(clip_root.glob(".view*"))
    assert len(tokens) == 3 and min(map(len, tokens)) >= 43  # 32 bytes


def test_a_killed_server_s_address_is_taken_up(clip_root: Path) -> None:
    killed = Address(Project(clip_root)).__enter__()
    killed.socket.close()
    with Address(Project(clip_root)) as address:
        assert address.url == killed.url


def test_an_address_that_others_could_read_is_not_taken_up(clip_root: Path) -> None:
    killed = Address(Project(clip_root)).__enter__()
    killed.socket.close()
    next(clip_root.glob(".view*")).chmod(0o644)
    with Address(Project(clip_root)) as address:
        assert address.token != killed.token


def test_a_port_in_use_is_named(client: Client, flow_root: Path) -> None:
    with pytest.raises(OmnitrackError, match=f"cannot listen on port {client.port}: ") as caught:
        Address(Project(flow_root), client.port)
    assert caught.value.hint == "leave out --port to take a free one"


def test_two_pages_of_one_project_have_addresses_of_their_own(
    client: Client, clip_root: Path, open_page: Callable[[Path], Client]
) -> None:
    other = open_page(clip_root)
    assert other.port != client.port and other.root != client.root
    assert client.get("project")[0] == other.get("project")[0] == 200
    refused(other.send("GET", client.root), 403)
