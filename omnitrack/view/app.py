"""The requests of the page, each a thin layer over points, answers and live state.

GET  /                 the page; its scripts and styles are beside it
GET  /project          what the page shows: `Clip.about`
GET  /frames/T         frame T as PNG
GET  /points           {"revision", "points"}
POST /points           the same; returns {"revision"}, or 409 if another page was faster
POST /answers          {"points"}; returns (N, T, 4) float32, see `omnitrack.view.answers.packed`
GET  /export/FORMAT    the tracks of the saved points as a file, or the field's motion of every pixel
GET  /events           server-sent events: `Live.snapshot` whenever it changes
"""

from __future__ import annotations

import asyncio
import json
import mimetypes
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from omnitrack.errors import OmnitrackError, UnavailableError
from omnitrack.stages.export import OFFERED_DENSE, OfferedFormat
from omnitrack.tracks.files import FORMATS
from omnitrack.tracks.tracks import Tracks
from omnitrack.view.answers import Answers, packed
from omnitrack.view.clip import Clip
from omnitrack.view.given import GivenAnswers, GivenPoints, Still
from omnitrack.view.live import Live
from omnitrack.view.points import Conflict, Point, PointList
from omnitrack.view.security import BodyTooLarge

EVENT_SECONDS = 0.1  # between two checks for a change
SILENCE_SECONDS = 15.0  # after which a stream sends a sign of life
STATUS = {Conflict: 409, BodyTooLarge: 413, UnavailableError: 503}  # HTTP status of known errors; others: 400
KEEP_FRAME = "private, max-age=86400, immutable"  # the frames of a project do not change


@dataclass
class Page:
    """What the requests work on.

    Attributes:
        clip: What the page shows.
        points: The points that the user placed, or those of the tracks that are shown.
        answers: The tracks of these points.
        live: The state that changes by itself.
        ending: Returns whether the page is about to end, and with it every stream.
    """

    clip: Clip
    points: PointList | GivenPoints
    answers: Answers | GivenAnswers
    live: Live | Still
    ending: Callable[[], bool] = lambda: False


def make_app(page: Page) -> Starlette:
    """Return the application; `omnitrack.view.security.Guard` around it controls access."""
    routes = _Routes(page)
    return Starlette(
        routes=[
            Route("/project", routes.about),
            Route("/frames/{index:int}", routes.frame),
            Route("/points", routes.points),
            Route("/points", routes.keep_points, methods=["POST"]),
            Route("/answers", routes.answers, methods=["POST"]),
            Route("/export/{format}", routes.export),
            Route("/events", routes.events),
            Route("/{name}", routes.static),
            Route("/", routes.static),
        ],
        exception_handlers={Exception: _unexpected, HTTPException: _refused, OmnitrackError: _known},
    )


class _Routes:
    def __init__(self, page: Page) -> None:
        self._page = page
        self._static = _static_files()

    async def static(self, request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        if name not in self._static:
            raise HTTPException(404, "there is no such page")
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(self._static[name], media_type=kind, headers={"cache-control": "no-cache"})

    async def about(self, request: Request) -> Response:
        return _no_store(self._page.clip.about())

    async def frame(self, request: Request) -> Response:
        index = request.path_params["index"]
        picture, headers = self._page.clip.picture(index), {"cache-control": KEEP_FRAME}
        if picture is None:
            raise HTTPException(404, f"there is no frame {index}")
        if isinstance(picture, bytes):
            return Response(picture, media_type="image/png", headers=headers)
        return FileResponse(picture, media_type="image/png", headers=headers)

    async def points(self, request: Request) -> Response:
        revision, points = self._page.points.get()
        return _no_store({"revision": revision, "points": [asdict(point) for point in points]})

    async def keep_points(self, request: Request) -> Response:
        content = await _content(request)
        points, revision = self._page.clip.parse(content.get("points")), content.get("revision")
        if not isinstance(revision, int):
            raise OmnitrackError("the revision is not a whole number")
        return _no_store({"revision": await run_in_threadpool(self._page.points.put, points, revision)})

    async def answers(self, request: Request) -> Response:
        points = self._page.clip.parse((await _content(request)).get("points"))
        version, answer = await run_in_threadpool(self._answer, points)
        headers = {"x-version": str(version), "cache-control": "no-store"}
        return Response(answer, media_type="application/octet-stream", headers=headers)

    def _answer(self, points: tuple[Point, ...]) -> tuple[int, bytes]:
        if not points:
            raise OmnitrackError("there is no point to answer for", "click on the clip")
        version, tracks = self._page.answers.ask(points)
        return version, packed(tracks)

    async def export(self, request: Request) -> Response:
        name = request.path_params["format"]
        offered = next((offered for offered in self._page.clip.formats() if offered.name == name), None)
        if offered is None:
            raise HTTPException(404, f"there is no format {name}")
        path = await run_in_threadpool(self._exported, offered)
        title = f"{self._page.clip.name}-{'tracks' if name in FORMATS else name}{offered.suffix}"
        done = BackgroundTask(path.unlink, missing_ok=True)
        return FileResponse(path, filename=title, background=done, headers={"cache-control": "no-store"})

    def _exported(self, offered: OfferedFormat) -> Path:
        with tempfile.NamedTemporaryFile(suffix=offered.suffix, delete=False) as file:
            path = Path(file.name)
        try:
            if offered in OFFERED_DENSE:
                self._page.clip.write_dense(path, offered.name)
            else:
                tracks, names = self._tracks()
                self._page.clip.write(tracks, names, path, offered.name)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path

    def _tracks(self) -> tuple[Tracks, list[str]]:
        _, points = self._page.points.get()
        if not points:
            raise OmnitrackError("there are no points to export", "click on the clip first")
        return self._page.answers.settled(points), [point.name for point in points]

    async def events(self, request: Request) -> Response:
        headers = {"cache-control": "no-store"}
        return StreamingResponse(self._stream(), media_type="text/event-stream", headers=headers)

    async def _stream(self) -> AsyncIterator[str]:
        last, said_at = "", 0.0
        while not self._page.ending():
            now = json.dumps(self._page.live.snapshot())
            if now != last:
                last, said_at = now, time.monotonic()
                yield f"data: {now}\n\n"
            elif time.monotonic() - said_at > SILENCE_SECONDS:
                said_at = time.monotonic()
                yield ": still here\n\n"
            await asyncio.sleep(EVENT_SECONDS)


def _static_files() -> dict[str, bytes]:
    """Read the page's files by name; no other file can be requested, whatever the path."""
    return {item.name: item.read_bytes() for item in (files("omnitrack.view") / "page").iterdir() if item.is_file()}


async def _content(request: Request) -> dict[str, Any]:
    try:
        content = json.loads(await request.body())
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise OmnitrackError("the request is not a JSON object")
    return content


def _no_store(content: dict[str, Any]) -> Response:
    return JSONResponse(content, headers={"cache-control": "no-store"})


# --- errors -----------------------------------------------------------------------------------------------------
def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, OmnitrackError)
    status = next((status for kind, status in STATUS.items() if isinstance(error, kind)), 400)
    return JSONResponse({"error": error.message, "hint": error.hint or ""}, status)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def _unexpected(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": f"unexpected {type(error).__name__}", "hint": "see the terminal"}, 500)
