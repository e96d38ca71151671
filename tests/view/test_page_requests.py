"""The requests of the page, and their answers."""

from __future__ import annotations

import http.client
import io
import json
import shutil
import time
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from page_client import FRAMES, SIZE, VELOCITY, Client

import omnitrack
from omnitrack.errors import OmnitrackError
from omnitrack.export.formats import DENSE
from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.stages.export_dense import DenseOptions
from omnitrack.stages.flow import compute_flow
from omnitrack.tracks.files import FORMATS, load_tracks


def point(t: int, x: float, y: float, *pins: list[float], name: str = "point 1", group: str = "") -> dict[str, Any]:
    """Return a point as the page sends it."""
    return {"name": name, "group": group, "t": t, "x": x, "y": y, "pins": list(pins)}


def answers(client: Client, *points: dict[str, Any]) -> NDArray[np.float32]:
    """Return (N, T, 4): x, y, visible, confidence."""
    status, body = client.post("answers", {"points": points})
    assert status == 200, body
    return np.frombuffer(body, "<f4").reshape(len(points), FRAMES, 4)


def test_the_clip_is_described(client: Client) -> None:
    about = json.loads(client.get("project")[1])
    assert about["frames"] == FRAMES and about["size"] == list(SIZE) and about["fps"] == 12.0
    assert about["name"] == "clip" and about["cuts"] == []
    assert [offered["name"] for offered in about["formats"]][: len(FORMATS)] == list(FORMATS)


def test_frames_are_those_of_the_project(client: Client, clip_root: Path) -> None:
    status, body = client.get("frames/3")
    assert status == 200 and client.last_headers["content-type"] == "image/png"
    shown = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None and shown.shape == (SIZE[1], SIZE[0], 3)
    assert client.get(f"frames/{FRAMES}")[0] == 404


def test_an_answer_follows_the_motion(client: Client) -> None:
    found = answers(client, point(0, 30, 20), point(7, 60, 40))
    steps = np.arange(FRAMES)[:, None] * VELOCITY
    np.testing.assert_allclose(found[0, :, :2], np.add((30, 20), steps), atol=0.7)
    np.testing.assert_allclose(found[1, :, :2], np.add((60, 40), steps - steps[7]), atol=0.7)
    assert found[0, 0].tolist() == [30, 20, 1, 1]  # exactly where it was set
    assert np.isin(found[..., 2], (0, 1)).all() and ((found[..., 3] >= 0) & (found[..., 3] <= 1)).all()


def test_a_pin_is_where_it_was_put_and_moves_what_is_between(client: Client) -> None:
    free, pinned = answers(client, point(0, 30, 20)), answers(client, point(0, 30, 20, [6, 50, 30]))
    assert pinned[0, 6].tolist() == [50, 30, 1, 1] and pinned[0, 0].tolist() == [30, 20, 1, 1]
    assert np.abs(pinned[0, 5, :2] - free[0, 5, :2]).max() > 1


def test_points_are_kept(client: Client, clip_root: Path, open_page: Callable[[Path], Client]) -> None:
    kept = [point(0, 30, 20.5, [3, 36.25, 23], name="left eye"), point(2, 1, 2, group="grid 1")]
    assert json.loads(client.post("points", {"points": kept, "revision": 0})[1]) == {"revision": 1}
    again = json.loads(open_page(clip_root).get("points")[1])
    assert again["points"] == kept


def test_two_pages_do_not_overwrite_each_other(client: Client) -> None:
    assert client.post("points", {"points": [point(0, 1, 1)], "revision": 0})[0] == 200
    status, body = client.post("points", {"points": [], "revision": 0})
    assert status == 409 and json.loads(body)["error"] == "another page has changed the points"
    assert len(json.loads(client.get("points")[1])["points"]) == 1


@pytest.mark.parametrize("name", FORMATS)
def test_exports_are_read_again(client: Client, tmp_path: Path, name: str) -> None:
    kept = [point(0, 30, 20, [5, 41, 25]), point(2, 50, 30)]
    client.post("points", {"points": kept, "revision": 0})
    status, body = client.get(f"export/{name}")
    assert status == 200 and client.last_headers["content-disposition"] == f'attachment; filename="clip-tracks.{name}"'
    (tmp_path / f"t.{name}").write_bytes(body)
    tracks = load_tracks(tmp_path / f"t.{name}")
    np.testing.assert_allclose(tracks.tracks, answers(client, *kept)[..., :2], atol=1e-3)
    assert tracks.tracks[0, 5].tolist() == [41, 25]


def test_exports_for_other_programs(client: Client) -> None:
    kept = [{**point(0, 30, 20), "name": "left eye"}, point(2, 50, 30)]
    client.post("points", {"points": kept, "revision": 0})
    status, body = client.get("export/napari")
    assert status == 200 and client.last_headers["content-disposition"] == 'attachment; filename="clip-napari.csv"'
    assert body.decode().startswith("track_id,t,y,x")
    assert b"left eye" in client.get("export/blender")[1]
    status, body = client.get("export/nuke-cornerpin")
    assert status == 400 and "4" in json.loads(body)["error"]


def test_what_only_a_field_has_is_offered_and_needs_no_points(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = {format["name"]: format["suffix"] for format in json.loads(client.get("project")[1])["formats"]}
    assert set(DENSE) - {"matte"} <= set(offered) and offered["flo"] == ".zip" and offered["camera"] == ".json"
    status, body = client.get("export/camera")
    assert status == 400 and "no fitted field" in json.loads(body)["error"] and json.loads(body)["hint"]

    def write(project: Project, name: str, output: Path, options: DenseOptions, device: str) -> None:
        output.mkdir()
        for number in (2, 1):
            (output / f"{name}.{number}.flo").write_text(f"{project.root.name} {device} {number}")

    monkeypatch.setattr("omnitrack.stages.export_dense.export_dense", write)
    status, body = client.get("export/flo")
    assert status == 200 and client.last_headers["content-disposition"] == 'attachment; filename="clip-flo.zip"'
    with zipfile.ZipFile(io.BytesIO(body)) as packed:
        assert packed.namelist() == ["flo/flo.1.flo", "flo/flo.2.flo"] and packed.read("flo/flo.2.flo") == b"clip cpu 2"


def test_exports_leave_nothing_behind(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    client.post("points", {"points": [point(0, 30, 20)], "revision": 0})
    assert client.get("export/npz")[0] == 200
    wait_until(lambda: not list((tmp_path / "temporary").iterdir()))


def test_an_export_of_nothing_says_what_to_do(client: Client) -> None:
    status, body = client.get("export/csv")
    assert status == 400 and json.loads(body) == {
        "error": "there are no points to export",
        "hint": "click on the clip first",
    }
    assert client.get("export/exe")[0] == 404


WRONG: dict[str, Any] = {
    "no list": {"points": 3},
    "nothing": {},
    "not an object": {"points": [3]},
    "no place": {"points": [{"name": "a", "t": 0, "x": 1}]},
    "text": {"points": [point(0, 1, 1) | {"x": "1"}]},
    "a huge whole number": {"points": [point(0, 1, 1) | {"x": 10**400}]},
    "truth": {"points": [point(0, 1, 1) | {"x": True}]},
    "outside in time": {"points": [point(FRAMES, 1, 1)]},
    "between frames": {"points": [point(0, 1, 1) | {"t": 0.5}]},
    "outside in space": {"points": [point(0, 96, 1)]},
    "a pin of two numbers": {"points": [point(0, 1, 1, [3, 4])]},
    "two places in one frame": {"points": [point(0, 1, 1, [0, 4, 4])]},
    "a name of two lines": {"points": [point(0, 1, 1, name="a\nb")]},
    "a long name": {"points": [point(0, 1, 1, name="a" * 81)]},
    "too many": {"points": [{}] * 4097},
    "none": {"points": []},
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG)
def test_wrong_points_get_one_sentence(client: Client, content: Any) -> None:
    status, body = client.post("answers", content)
    assert status == 400 and json.loads(body)["error"] and b"Traceback" not in body


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[" * 100_000, b"\xff", b"[]", b'{"points": [{"t": NaN, "x": 1, "y": 1}]}']
)
def test_what_is_no_json_gets_one_sentence(client: Client, body: bytes) -> None:
    for path in ("answers", "points"):
        status, answer = client.send("POST", client.root + path, body, {"Content-Type": "application/json"})
        assert status == 400 and json.loads(answer)["error"]


def test_before_there_is_flow_the_answer_waits(
    bare_root: Path, tmp_path: Path, view_settings: Settings, open_page: Callable[[Path], Client]
) -> None:
    root = Path(shutil.copytree(bare_root, tmp_path / "young"))
    client = open_page(root)
    status, body = client.post("answers", {"points": [point(0, 30, 20)]})
    assert status == 503 and json.loads(body)["error"] == "the flow is not measured yet"
    assert snapshot(client)["state"] == "waiting"
    compute_flow(Project(root), view_settings)
    wait_until(lambda: snapshot(client)["answers"] > 0)
    assert snapshot(client)["state"] == "chained"
    assert answers(client, point(0, 30, 20)).shape == (1, FRAMES, 4)


def test_a_damaged_list_of_points_is_named(clip_root: Path, open_page: Callable[[Path], Client]) -> None:
    (clip_root / "view.json").write_text('{"omnitrack_view": 1, "points": [{"t": 99')
    with pytest.raises(OmnitrackError, match=r"view\.json cannot be read") as caught:
        open_page(clip_root)
    assert caught.value.hint == "move it away, and the page begins without points"


def test_a_page_beside_a_notebook(clip_root: Path) -> None:
    with omnitrack.open(clip_root, device="cpu").show(browser=False) as shown:
        assert f'<a href="{shown.url}"' in shown._repr_html_()
        client = Client(shown.url)
        assert answers(client, point(0, 30, 20)).shape == (1, FRAMES, 4)
        assert snapshot(client)["work"]["phase"] == "idle"  # the user of the notebook decides what is fitted
    with pytest.raises(OSError):
        client.get("project")
    assert not list(clip_root.glob(".view*"))


def test_an_export_that_fails_leaves_nothing_behind(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))

    def full(*_: object) -> None:
        raise OmnitrackError("cannot write it: no space left on device", "free some space")

    monkeypatch.setattr("omnitrack.view.clip.save_tracks", full)
    client.post("points", {"points": [point(0, 30, 20)], "revision": 0})
    status, body = client.get("export/npz")
    assert status == 400 and json.loads(body)["hint"] == "free some space"
    assert not list((tmp_path / "temporary").iterdir())


def test_events_tell_of_new_points(client: Client) -> None:
    first = snapshot(client)
    client.post("points", {"points": [point(0, 1, 1)], "revision": 0})
    assert snapshot(client)["points"] == first["points"] + 1


def snapshot(client: Client) -> dict[str, Any]:
    """Return the first event of a stream: the current state."""
    with closing(http.client.HTTPConnection("127.0.0.1", client.port, timeout=20)) as connection:
        connection.request("GET", client.root + "events")
        answer = connection.getresponse()
        assert answer.status == 200 and answer.getheader("content-type", "").startswith("text/event-stream")
        line = answer.readline()
        found: dict[str, Any] = json.load(io.BytesIO(line.removeprefix(b"data: ")))
        return found


def wait_until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for a condition; fail if it does not become true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.05)
