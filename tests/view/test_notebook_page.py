"""The page in a cell of a notebook: the widget through its messages, and its script in a browser."""

from __future__ import annotations

import base64
import io
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from browser_page import DELETE, RIGHT, SECONDS, Page, moved
from notebook_bridge import AnyWidget, Notebook
from page_client import FRAMES

import omnitrack
from omnitrack.errors import OmnitrackError
from omnitrack.tracks.files import load_tracks
from omnitrack.tracks.tracks import Tracks
from omnitrack.view.shown import ShownPage
from omnitrack.view.widget import PageWidget, script

POINT = {"name": "a", "group": "", "t": 0, "x": 30, "y": 20, "pins": []}


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process a notebook's kernel with anywidget."""
    shell = SimpleNamespace(kernel=object())
    stand_ins = {"IPython": {"get_ipython": lambda: shell}, "anywidget": {"AnyWidget": AnyWidget}}
    for name, content in stand_ins.items():
        module = ModuleType(name)
        module.__spec__ = SimpleNamespace()  # type: ignore[assignment]  # so that it can be found
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def shown(notebook: None, clip_root: Path) -> Iterator[PageWidget]:
    """The page of a clip with flow."""
    with omnitrack.open(clip_root, device="cpu").show() as page:
        assert isinstance(page, PageWidget)
        yield page


def ask(shown: PageWidget, path: str, content: Any = None) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of an answer."""
    method, body = ("GET", "") if content is None else ("POST", json.dumps(content))
    widget: Any = shown._widget
    widget.heard(widget, {"key": path, "method": method, "path": path, "body": body}, [])
    parts = b""
    while True:
        head, buffers = widget.sent.get(timeout=SECONDS)
        if head["key"] != path or head.get("taken"):
            continue
        parts += b"".join(base64.b64decode(text) for text in buffers)
        if not head["more"]:
            return head["status"], head["headers"], parts


def test_the_kernel_answers_messages(shown: PageWidget, clip_root: Path) -> None:
    status, _, body = ask(shown, "project")
    assert status == 200 and json.loads(body)["frames"] == FRAMES and not json.loads(body)["fixed"]
    status, headers, body = ask(shown, "answers", {"points": [POINT]})
    assert status == 200 and int(headers["x-version"]) > 0
    found = np.frombuffer(body, "<f4").reshape(1, FRAMES, 4)
    np.testing.assert_allclose(found[0, 6, :2], moved(30, 20, 6), atol=0.8)
    assert ask(shown, "points", {"points": [POINT], "revision": 0})[0] == 200
    assert json.loads((clip_root / "view.json").read_text())["points"][0]["name"] == "a"
    status, headers, body = ask(shown, "export/npz")
    assert status == 200 and 'filename="clip-tracks.npz"' in headers["content-disposition"]
    assert np.load(io.BytesIO(body))["tracks"].shape == (1, FRAMES, 2)
    status, _, body = ask(shown, "frames/3")
    assert status == 200 and body == (clip_root / "frames" / "000003.png").read_bytes()


@pytest.mark.parametrize(
    ("path", "status"),
    [("frames/99", 404), ("../omnitrack.toml", 404), ("export/exe", 404), ("", 200), ("points/x", 404)],
)
def test_other_paths_are_refused(shown: PageWidget, path: str, status: int) -> None:
    assert ask(shown, path)[0] == status


def test_events_come_until_nobody_waits_for_them(shown: PageWidget) -> None:
    widget: Any = shown._widget
    widget.heard(widget, {"key": "e", "method": "GET", "path": "events", "body": ""}, [])
    assert widget.sent.get(timeout=SECONDS)[0] == {"key": "e", "taken": True}
    head, (text,) = widget.sent.get(timeout=SECONDS)
    assert head["more"] and json.loads(base64.b64decode(text).removeprefix(b"data: "))["work"]["phase"] == "idle"
    widget.heard(widget, {"key": "e", "ended": True}, [])
    widget.heard(widget, {"key": "e", "ended": True}, [])  # for an answer that is complete
    assert ask(shown, "project")[0] == 200


def test_a_cell_that_runs_again_takes_the_place_of_what_it_showed(shown: PageWidget, clip_root: Path) -> None:
    before = threading.active_count()
    with omnitrack.open(clip_root, device="cpu").show() as again:
        assert shown._widget.closed and not again._widget.closed
        assert threading.active_count() <= before
        again.close()  # twice does no harm
    names = [thread.name for thread in threading.enumerate() if thread.name.startswith("omnitrack-")]
    assert not [name for name in names if not name.startswith("omnitrack-fused")]  # those of compiled kernels stay


def test_without_anywidget_there_is_a_link_and_the_command_that_gets_it(
    notebook: None, monkeypatch: pytest.MonkeyPatch, clip_root: Path
) -> None:
    monkeypatch.delitem(sys.modules, "anywidget")
    monkeypatch.setattr("omnitrack.view.widget.find_spec", lambda name: None if name == "anywidget" else name)
    monkeypatch.setattr("webbrowser.open", lambda _: True)
    with omnitrack.open(clip_root, device="cpu").show() as shown:
        assert isinstance(shown, ShownPage)
        said = shown._repr_html_()
    assert f'<a href="{shown.url}"' in said
    assert "To have it in the cell: pip install &quot;omnitrack-video[notebook]&quot;" in said


def test_outside_a_notebook_there_is_no_cell(clip_root: Path) -> None:
    with omnitrack.open(clip_root, device="cpu").show(browser=False) as shown:
        assert isinstance(shown, ShownPage) and "pip install" not in shown._repr_html_()


# --- existing tracks --------------------------------------------------------------------------------------------
@pytest.fixture
def tracks(clip_root: Path) -> Tracks:
    """Two tracks of the clip, one of them pinned."""
    with omnitrack.open(clip_root, device="cpu").tracker() as tracker:
        return tracker.query([(0, 30, 20), (2, 50, 40)], pins=[(1, 5, 57, 44)])


def test_tracks_are_shown_as_they_are(notebook: None, tracks: Tracks, clip_root: Path, tmp_path: Path) -> None:
    with tracks.show(clip_root) as shown:
        about = json.loads(ask(shown, "project")[2])
        assert (about["name"], about["frames"], about["fixed"]) == ("2 tracks of clip", FRAMES, True)
        points = json.loads(ask(shown, "points")[2])["points"]
        assert [(point["name"], point["t"], point["pins"]) for point in points] == [
            ("track 0", 0, []),
            ("track 1", 2, [[5, 57.0, 44.0]]),
        ]
        found = np.frombuffer(ask(shown, "answers", {"points": points[::-1]})[2], "<f4").reshape(2, FRAMES, 4)
        np.testing.assert_array_equal(found[..., :2], tracks.tracks[::-1])
        assert ask(shown, "frames/3")[2] == (clip_root / "frames" / "000003.png").read_bytes()
        assert ask(shown, "points", {"points": points, "revision": 0})[0] == 400
        assert ask(shown, "answers", {"points": [POINT]})[0] == 400
        assert b'"track 1"' in ask(shown, "export/nuke")[2]  # the displayed names
        (tmp_path / "a.npz").write_bytes(ask(shown, "export/npz")[2])
        np.testing.assert_array_equal(load_tracks(tmp_path / "a.npz").pins, tracks.pins)
    assert not (clip_root / "view.json").exists()


def test_tracks_of_some_frames_are_hidden_in_the_others(notebook: None, tracks: Tracks) -> None:
    part = replace(
        tracks,
        frames=np.array([2, 4]),
        **{name: getattr(tracks, name)[:, [2, 4]] for name in ("tracks", "visible", "confidence", "depth")},
    )
    with part.show() as shown:
        points = json.loads(ask(shown, "points")[2])["points"]
        found = np.frombuffer(ask(shown, "answers", {"points": points})[2], "<f4").reshape(2, 5, 4)
        assert json.loads(ask(shown, "project")[2])["frames"] == 5
        assert ask(shown, "frames/0")[2].startswith(b"\x89PNG")
    assert found[0, :, 2].tolist() == [0, 0, 1, 0, 1] and found[0, 3, 3] == 0
    np.testing.assert_array_equal(found[0, [0, 1, 2], :2], tracks.tracks[0, [2, 2, 2]])


def test_names_that_two_tracks_have_get_their_numbers(notebook: None, tracks: Tracks) -> None:
    for names, expected in ((["eye", "ear"], ["eye", "ear"]), (["eye", "eye"], ["eye 0", "eye 1"])):
        with replace(tracks, meta={"names": names}).show() as shown:
            assert [point["name"] for point in json.loads(ask(shown, "points")[2])["points"]] == expected


def test_tracks_that_cannot_be_shown(notebook: None, tracks: Tracks, clip_root: Path) -> None:
    rows = {name: getattr(tracks, name)[:0] for name in ("queries", "tracks", "visible", "confidence", "depth", "pins")}
    wrong = {
        "there are no tracks to show": (replace(tracks, **rows), None),
        "the tracks do not say the size of their video": (replace(tracks, size=(0, 0)), None),
        "the tracks to show cannot be of the video of project": (replace(tracks, size=(10, 10)), clip_root),
    }
    for message, (given, project) in wrong.items():
        with pytest.raises(OmnitrackError, match=message):
            given.show(project)
    sys.modules["IPython"].get_ipython = lambda: None  # type: ignore[attr-defined]
    with pytest.raises(OmnitrackError, match="this is not a notebook"):
        tracks.show()


# --- in a browser -----------------------------------------------------------------------------------------------
def in_cell(driver: Any, shown: PageWidget, light: bool = True) -> tuple[Notebook, Page]:
    """Return a cell with the page, and the browser in its frame."""
    driver.get("about:blank")
    driver.get_log("browser")
    notebook = Notebook(shown._widget, light)
    driver.get(notebook.url)
    page = Page.__new__(Page)
    page.driver = driver
    page.until(lambda: driver.find_elements("css selector", "iframe"), "the frame")
    driver.switch_to.frame(driver.find_element("css selector", "iframe"))
    page.until(lambda: driver.find_elements("id", "state") and page.text("state") != "opening", "the page")
    return notebook, page


def test_a_click_in_a_cell_is_followed(driver: Any, shown: PageWidget, clip_root: Path) -> None:
    notebook, page = in_cell(driver, shown)
    with notebook:
        page.until(lambda: page.text("state").startswith("answers"), "answers")
        page.click(30, 20)
        page.answered()
        page.keys(RIGHT * 6)
        page.until(lambda: page.text("place").startswith("frame 6 · 4"), "the answer in frame 6")
        page.until(lambda: page.is_drawn(*moved(30, 20, 6)), "the point, drawn")
        page.drag(moved(30, 20, 6), (48, 34))
        page.until(lambda: "pinned in frame 6" in page.text("message"), "a pin")
        page.answered()
        (point,) = json.loads((clip_root / "view.json").read_text())["points"]
        assert point["pins"][0][0] == 6 and abs(point["pins"][0][1] - 48) < 1
        driver.find_element("css selector", "#export summary").click()
        driver.find_element("css selector", "[data-format=csv]").click()
        np.testing.assert_allclose(load_tracks(page.saved("csv")).tracks[0, 6], point["pins"][0][1:], atol=0.01)
        driver.switch_to.default_content()
        assert driver.execute_script("return getComputedStyle(document.body).display") == "block"  # not the page's grid
        driver.execute_script("leave()")
        assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_a_busy_kernel_is_waited_for(driver: Any, shown: PageWidget) -> None:
    notebook, page = in_cell(driver, shown)
    with notebook:
        page.until(lambda: page.text("state").startswith("answers"), "answers")
        shown._widget.free.clear()
        page.click(30, 20)
        page.until(lambda: page.text("message").startswith("the kernel is busy"), "that the kernel is busy")
        shown._widget.free.set()
        page.answered()
        page.until(lambda: page.is_drawn(30, 20), "the point, drawn")
        page.until(lambda: page.text("message") == "", "that it is not busy any more")
        driver.switch_to.default_content()


def test_tracks_in_a_dark_cell_cannot_be_moved(driver: Any, notebook: None, tracks: Tracks, clip_root: Path) -> None:
    with tracks.show(clip_root) as shown:
        cell, page = in_cell(driver, shown, light=False)
        with cell:
            page.until(lambda: page.text("rows").startswith("track 0"), "the tracks")
            page.answered()
            page.until(lambda: page.is_drawn(30, 20), "a point")
            ground = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
            page.drag((30, 20), (50, 30))
            assert page.text("place").endswith("placed here · 1.00") and page.text("message") == ""
            page.keys("0", DELETE)
            page.click(80, 10)
            assert page.text("rows").splitlines() == ["track 0", "track 1"]
            assert not driver.find_element("css selector", "[data-tool=point]").is_displayed()
        driver.switch_to.default_content()
    assert ground == "rgb(16, 18, 22)"


def test_the_script_is_whole() -> None:
    assert script().count("export default") == 1 and '"main.js"' in script()
