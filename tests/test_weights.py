"""Weight files: from a path or the cache, downloaded from a server on this machine, and every way to fail."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from omnitrack import weights
from omnitrack.errors import OmnitrackError
from omnitrack.progress import Progress, Task
from omnitrack.weights import PublishedFile, cache_directory, identity, import_extra, locate

BODY = bytes(range(256)) * 10_000  # 2.56 MB
SHA256 = hashlib.sha256(BODY).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """``/good`` sends the body, ``/cut`` half of it, anything else is not found."""

    def do_GET(self) -> None:
        self.server.requests.append(self.path)  # type: ignore[attr-defined]
        if self.path not in ("/good", "/cut"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY if self.path == "/good" else BODY[: len(BODY) // 2])

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server:
    """A web server, and the requests that it received."""

    def __init__(self) -> None:
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.requests: list[str] = []
        self.http.requests = self.requests  # type: ignore[attr-defined]
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def file(self, path: str, sha256: str = SHA256) -> dict[str, PublishedFile]:
        url = f"http://127.0.0.1:{self.http.server_port}{path}"
        return {"net": PublishedFile("net.pth", url, sha256, 2.56, "BSD-3-Clause")}


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def server(running: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("OMNITRACK_CACHE", str(tmp_path / "cache"))
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    running.requests.clear()
    return running


class Listener(Progress):
    """Records progress and notes."""

    def __init__(self) -> None:
        self.total, self.done, self.notes = 0, 0, ""

    def task(self, name: str, total: int, done: int = 0, unit: str = "steps") -> Task:
        self.total, self.unit, listener = total, unit, self

        class Counting(Task):
            def advance(self, steps: int = 1, **values: float | str) -> None:
                listener.done += steps

        return Counting()

    def note(self, text: str) -> None:
        self.notes += text


def nothing_left(tmp_path: Path) -> bool:
    return not list((tmp_path / "cache").iterdir())


def test_a_file_is_downloaded_once_and_reported(server: Server, tmp_path: Path) -> None:
    listener = Listener()
    path = locate("net", server.file("/good"), listener)
    assert path == tmp_path / "cache" / "net.pth" and path.read_bytes() == BODY
    assert (listener.total, listener.done, listener.unit) == (3, 3, "MB")
    assert "BSD-3-Clause" in listener.notes and "/good" in listener.notes
    assert locate("net", server.file("/good")) == path
    assert server.requests == ["/good"]
    assert [p.name for p in path.parent.iterdir()] == ["net.pth"]


def test_a_damaged_file_in_the_cache_is_replaced(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "cache" / "net.pth"
    path.parent.mkdir()
    path.write_bytes(BODY[:-1])
    assert locate("net", server.file("/good")).read_bytes() == BODY


def test_the_beginning_of_a_checksum_is_enough_where_no_more_is_published(server: Server) -> None:
    assert locate("net", server.file("/good", SHA256[:8])).read_bytes() == BODY


@pytest.mark.parametrize(
    ("path", "sha256", "says"),
    [
        ("/good", "0" * 64, "is not the file that was expected: its sha256 is " + SHA256),
        ("/cut", SHA256, "broke off after 1.3 of 2.6 MB"),
        ("/none", SHA256, "404"),
    ],
)
def test_a_failed_download_says_what_to_do_and_leaves_nothing(
    server: Server, tmp_path: Path, path: str, sha256: str, says: str
) -> None:
    published = server.file(path, sha256)
    with pytest.raises(OmnitrackError) as caught:
        locate("net", published, setting="flow.raft.weights")
    assert says in caught.value.message and published["net"].url in caught.value.message
    hint = str(caught.value.hint)
    assert published["net"].url in hint and str(tmp_path / "cache" / "net.pth") in hint and "flow.raft.weights" in hint
    assert nothing_left(tmp_path)


def test_no_network(server: Server, tmp_path: Path) -> None:
    with socket.socket() as closed:  # bound, but not listening
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/net.pth"
        with pytest.raises(OmnitrackError, match="cannot download") as caught:
            locate("net", {"net": PublishedFile("net.pth", url, SHA256, 2.56, "MIT")})
    assert url in str(caught.value.hint) and str(tmp_path / "cache" / "net.pth") in str(caught.value.hint)
    assert nothing_left(tmp_path)


def test_a_full_disk(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OmnitrackError, match="the disk is full") as caught:
        locate("net", server.file("/good"))
    assert "OMNITRACK_CACHE" in str(caught.value.hint)
    assert nothing_left(tmp_path)


def test_a_local_file_is_taken_as_it_is(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    path.write_bytes(b"abc")
    assert locate(str(path), server.file("/good")) == path
    assert server.requests == []


@pytest.mark.parametrize(
    ("name", "hint"), [("nets", "did you mean net?"), ("else.pth", "give the path of a file, or one of: net")]
)
def test_neither_a_file_nor_a_name(server: Server, name: str, hint: str) -> None:
    with pytest.raises(OmnitrackError, match="neither a file nor a published name") as caught:
        locate(name, server.file("/good"), setting="flow.raft.weights")
    assert caught.value.hint == hint and "flow.raft.weights" in caught.value.message


def test_a_directory_is_no_file_of_weights(server: Server, tmp_path: Path) -> None:
    with pytest.raises(OmnitrackError, match="is a directory"):
        locate(str(tmp_path), server.file("/good"))


def test_identity_tells_files_apart_and_downloads_nothing(server: Server, tmp_path: Path) -> None:
    published = server.file("/good")
    assert identity("net", published) == SHA256
    assert identity(str(tmp_path / "none.pth"), published) == "missing"
    path = tmp_path / "mine.pth"
    path.write_bytes(b"abc")  # FIPS 180-2's first example
    assert identity(str(path), published) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    path.write_bytes(BODY)
    assert identity(str(path), published) == SHA256
    assert server.requests == []


def test_the_cache_is_where_the_platform_keeps_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMNITRACK_CACHE", raising=False)
    monkeypatch.setattr(weights.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "omnitrack"


def test_an_absent_extra_is_named_with_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert import_extra("json", "none").dumps([]) == "[]"
    with pytest.raises(OmnitrackError, match="no_such_package, which is not installed") as caught:
        import_extra("no_such_package", "features")
    assert caught.value.hint == 'pip install "omnitrack-video[features]"'
    (tmp_path / "broken_package.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(OmnitrackError, match="cannot be imported: No module named 'no_such_package'"):
        import_extra("broken_package", "features")
