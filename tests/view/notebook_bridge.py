"""A stand-in for anywidget and a notebook: the widget's messages go to a browser over HTTP."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, SimpleQueue
from typing import Any

# What JupyterLab and anywidget provide to a widget's script, as far as it uses it.
CELL = """<!doctype html><title>notebook</title><body data-jp-theme-light="THEME"><div id="cell"></div>
<script type="module">
import widget from "./widget.js";
const listeners = new Set();
const model = {
  on: (_, listener) => listeners.add(listener), off: (_, listener) => listeners.delete(listener),
  send: (content) => fetch("send", { method: "POST", body: JSON.stringify(content) }),
};
const bytes = (text) => new DataView(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
const listen = async () => {
  for (;;) for (const [content, buffers] of await (await fetch("messages")).json()) {
    for (const listener of [...listeners]) listener(content, buffers.map(bytes));
  }
};
globalThis.leave = widget.render({ model, el: document.getElementById("cell") });
listen();
</script>"""


class AnyWidget:
    """Stands in for `anywidget.AnyWidget`."""

    def __init__(self, _esm: str) -> None:
        self.script, self.sent, self.closed = _esm, SimpleQueue[tuple[dict[str, Any], list[str]]](), False
        self.free = threading.Event()  # set while no cell runs
        self.free.set()

    def on_msg(self, heard: Callable[[Any, Any, Any], None]) -> None:
        """Register `heard` for messages."""
        self.heard = heard

    def send(self, content: dict[str, Any], buffers: list[bytes]) -> None:
        """Send a message to the page."""
        self.sent.put((content, [base64.b64encode(buffer).decode() for buffer in buffers]))

    def close(self) -> None:
        """Close the widget."""
        self.closed = True


class Notebook:
    """Serves a cell with a widget to a browser; a context manager."""

    def __init__(self, widget: AnyWidget, light: bool = True) -> None:
        cell = CELL.replace("THEME", "true" if light else "false")

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/messages":
                    found = []
                    try:
                        found.append(widget.sent.get(timeout=0.2))
                        while True:
                            found.append(widget.sent.get_nowait())
                    except Empty:
                        self._say("application/json", json.dumps(found))
                elif self.path == "/widget.js":
                    self._say("text/javascript", widget.script)
                else:
                    self._say("text/html", cell if self.path == "/" else "")

            def do_POST(self) -> None:
                content = json.loads(self.rfile.read(int(self.headers["content-length"])))
                widget.free.wait()
                widget.heard(widget, content, [])
                self._say("text/plain", "")

            def _say(self, kind: str, text: str) -> None:
                body = text.encode()
                self.send_response(200)
                self.send_header("content-type", f"{kind}; charset=utf-8")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Notebook:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
