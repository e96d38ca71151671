"""The page in a real browser: clicks, drags and keys, and what is visible then."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_page import CONTROL, DELETE, ENTER, ESCAPE, RIGHT, SECONDS, SHIFT, Page, moved
from page_client import FRAMES, SIZE, Client

from omnitrack.tracks.files import load_tracks


@pytest.fixture
def page(driver: Any, client: Client) -> Iterator[Page]:
    """The page of a clip with flow; the browser must have logged no error at the end."""
    driver.get("about:blank")
    driver.get_log("browser")  # from the previous test
    for path in driver.saved.iterdir():
        path.unlink()
    yield Page(driver, client.url)
    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_a_click_is_followed_through_the_clip(page: Page) -> None:
    page.click(30, 20)
    (point,) = page.kept(1)
    assert point["t"] == 0 and abs(point["x"] - 30) < 0.2 and abs(point["y"] - 20) < 0.2
    page.answered()
    page.keys(RIGHT * 6)
    page.until(lambda: page.text("place").startswith("frame 6"), "frame 6")
    said = page.text("place").split(" · ")
    np.testing.assert_allclose([float(number) for number in said[1].split(", ")], moved(30, 20, 6), atol=0.8)
    assert said[2] == "seen" and page.text("rows").startswith("point 1")
    page.until(lambda: page.is_drawn(*moved(30, 20, 6)), "the point, drawn")
    page.until(lambda: page.is_drawn(*moved(30, 20, 3)), "its trail")
    assert not page.is_drawn(80, 10)


def test_a_drag_corrects(page: Page) -> None:
    page.click(30, 20)
    page.answered()
    page.keys(RIGHT * 6)
    page.until(lambda: page.text("place").startswith("frame 6 · 4"), "the answer in frame 6")
    page.drag(moved(30, 20, 6), (48, 34))
    page.until(lambda: page.points()[0]["pins"], "a pin")
    ((t, x, y),) = page.points()[0]["pins"]
    assert t == 6 and abs(x - 48) < 1 and abs(y - 34) < 1
    page.answered()
    assert "pinned here" in page.text("place") and "pinned in frame 6" in page.text("message")
    page.keys("\ue012")
    page.until(lambda: page.text("place").startswith("frame 5"), "frame 5")
    between = [float(number) for number in page.text("place").split(" · ")[1].split(", ")]
    assert between[0] > moved(30, 20, 5)[0] + 1  # moved along with the pin
    page.hand().key_down(CONTROL).send_keys("z").key_up(CONTROL).perform()
    page.until(lambda: page.points()[0]["pins"] == [], "undo of the pin")
    page.hand().key_down(CONTROL).key_down(SHIFT).send_keys("z").key_up(SHIFT).key_up(CONTROL).perform()
    page.until(lambda: len(page.points()[0]["pins"]) == 1, "redo of the pin")
    page.keys(RIGHT, "x")
    page.until(lambda: page.points()[0]["pins"] == [], "the pin taken away")


def test_a_point_dragged_in_its_own_frame_moves(page: Page) -> None:
    page.click(30, 20)
    page.answered()
    page.drag((30, 20), (40, 25))
    page.until(lambda: page.points()[0]["x"] > 39, "the point moved")
    assert page.points()[0]["pins"] == [] and page.points()[0]["t"] == 0


def test_a_box_is_filled_with_a_grid(page: Page) -> None:
    page.keys("g")
    page.drag((16, 16), (48, 32))
    points = page.kept(8 * 4)  # 8 across, as many down as make square cells
    assert {point["group"] for point in points} == {"grid 1"}
    xs = sorted({point["x"] for point in points})
    np.testing.assert_allclose(xs, 16 + 32 * (np.arange(8) + 0.5) / 8, atol=0.3)
    page.answered()
    assert "grid 1 (32)" in page.text("rows")
    page.keys(DELETE)
    page.kept(0)


def test_what_is_painted_is_filled(page: Page) -> None:
    page.keys("m")
    page.driver.execute_script("""for (const [id, value] of [["brush", 12], ["spacing", 4]])
        document.getElementById(id).value = value""")
    page.drag((30, 30), (60, 30))
    page.driver.find_element("id", "fill").click()
    page.until(lambda: page.points(), "points")
    points = page.points()
    assert all(24 <= point["x"] <= 66 and 24 <= point["y"] <= 36 for point in points)
    assert 16 <= len(points) <= 36 and points[0]["group"] == "mask 1"


def test_the_keyboard_alone_does_everything(page: Page) -> None:
    page.keys("w" * 4, "a" * 3, ENTER)  # the crosshair begins in the middle
    (point,) = page.kept(1)
    assert (point["x"], point["y"]) == (SIZE[0] / 2 - 3, SIZE[1] / 2 - 4)
    page.answered()
    page.keys("r")
    page.keys("left eye", ENTER)
    page.until(lambda: page.points()[0]["name"] == "left eye", "the name")
    page.keys(RIGHT * 4, "\ue015")  # Down selects, and the crosshair moves there
    page.keys("d" * 5, "c")
    page.until(lambda: page.points()[0]["pins"], "a pin")
    ((t, x, y),) = page.points()[0]["pins"]
    there = moved(point["x"] + 5, point["y"], 4)
    assert t == 4 and abs(x - there[0]) <= 1.5 and abs(y - there[1]) <= 1.5
    page.keys("g", ENTER, "d" * 16, "s" * 8, ENTER)
    assert page.kept(1 + 8 * 4)[1]["t"] == 4
    page.keys("m", ENTER, "s" * 10, ENTER, "f")
    page.until(lambda: page.points()[-1]["group"] == "mask 1", "a mask")
    page.keys("\ue011")  # Home
    page.until(lambda: page.text("place").startswith("frame 0"), "the first frame")
    page.keys(" ")
    page.until(lambda: not page.text("place").startswith("frame 0"), "it plays")
    page.keys(" ", "?")
    page.until(lambda: "pin the selected point" in page.text("help"), "the keys")
    page.keys(ESCAPE)
    page.hand().key_down(CONTROL).send_keys("a").key_up(CONTROL).perform()
    page.keys(DELETE)
    page.kept(0)
    page.hand().key_down(CONTROL).send_keys("z").key_up(CONTROL).perform()
    page.until(lambda: page.points(), "undo")
    page.keys("e", ENTER)  # export: the first of the formats
    page.saved("npz")


def test_zoom_and_pan_keep_the_pixel_under_the_hand(page: Page) -> None:
    from selenium.webdriver.common.actions.action_builder import ActionBuilder
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

    canvas = page.driver.find_element("id", "picture")
    origin = ScrollOrigin.from_element(canvas, *page.place(30, 20))
    page.hand().scroll_from_origin(origin, 0, -600).perform()
    page.click(30, 20)  # the wheel zooms about the pointer
    (point,) = page.kept(1)
    assert abs(point["x"] - 30) < 0.2 and abs(point["y"] - 20) < 0.2
    middle = page.place(30, 20)
    page.hand().move_to_element_with_offset(canvas, middle[0] - 60, middle[1]).click().perform()
    left = page.kept(2)[1]  # 60 px on the screen, which were more pixels of the clip before
    assert 60 / (point["x"] - left["x"]) > 2 * (page.place(30, 0)[0] - page.place(0, 0)[0]) / 30
    buttons = ActionBuilder(page.driver)
    pointer = buttons.pointer_action
    pointer.move_to(canvas, *middle)
    pointer.pointer_down(button=2)
    pointer.move_to(canvas, middle[0] + 60, middle[1])
    pointer.pointer_up(button=2)
    buttons.perform()
    page.answered()
    page.hand().move_to_element_with_offset(canvas, middle[0] + 60, middle[1]).click().perform()
    page.until(lambda: "placed here" in page.text("place"), "the point, selected")
    page.keys("0")
    page.click(60, 40)
    point = page.kept(3)[2]
    assert abs(point["x"] - 60) < 0.2 and abs(point["y"] - 40) < 0.2


def test_too_many_points_are_refused_in_words(page: Page) -> None:
    page.driver.execute_script("document.getElementById('across').value = 64")
    page.keys("g")
    for number in (1, 2):  # 64 x 43 points each; at most 4096 are allowed
        page.drag((0, 0), (95, 63))
        page.until(lambda: page.points(), f"grid {number}")
    page.until(lambda: page.text("message") == "at most 4096 points fit on a page", "the refusal")
    page.answered()
    count = len(page.points())
    assert 2500 < count < 3000 and f"grid 1 ({count})" in page.text("rows")


def test_an_export_is_saved(page: Page) -> None:
    page.click(30, 20)
    page.answered()
    for name in ("csv", "npz"):
        page.driver.find_element("css selector", "#export summary").click()
        page.driver.find_element("css selector", f"[data-format={name}]").click()
        path = page.saved(name)
        tracks = load_tracks(path)
        np.testing.assert_allclose(tracks.tracks[0, 5], moved(30, 20, 5), atol=0.8)
        path.unlink()


def test_a_second_tab_sees_what_is_placed(page: Page, driver: Any) -> None:
    first = driver.current_window_handle
    driver.switch_to.new_window("tab")
    try:
        other = Page(driver, page.client.url)
        status, _ = page.client.post(
            "points", {"points": [{"name": "a", "group": "", "t": 0, "x": 30, "y": 20, "pins": []}], "revision": 0}
        )
        assert status == 200
        other.until(lambda: other.text("rows").startswith("a"), "the other's point")
    finally:
        driver.close()
        driver.switch_to.window(first)


def test_a_point_that_vanishes_under_the_hand_is_let_go(page: Page) -> None:
    page.click(30, 20)
    page.kept(1)
    page.over(30, 20).click_and_hold().move_by_offset(30, 0).perform()
    assert page.client.post("points", {"points": [], "revision": 1})[0] == 200
    page.until(lambda: page.text("rows") == "", "what the other page did")
    page.hand().move_by_offset(30, 0).release().perform()
    page.click(60, 40)
    (point,) = page.kept(1)
    assert abs(point["x"] - 60) < 0.2


def test_a_wrong_token_shows_nothing(page: Page, driver: Any) -> None:
    driver.get(page.client.url[:-3] + "xx/")
    assert "open the address that omnitrack view printed" in driver.page_source
    assert "clip" not in driver.title
    driver.get_log("browser")  # contains the expected refusal


def test_everything_has_a_name_for_a_screen_reader(page: Page, driver: Any) -> None:
    page.click(30, 20)
    page.answered()
    tree = driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    named = {"button", "slider", "spinbutton", "radio", "combobox", "application", "image", "progressbar"}
    for node in tree:
        if not node.get("ignored") and node["role"]["value"] in named:
            assert node.get("name", {}).get("value"), node


# --- the program, as users start it -----------------------------------------------------------------------------
def start(root: Path, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    """Start `omnitrack view`, and return the address that it prints."""
    command = [sys.executable, "-m", "omnitrack", "view", str(root), "--no-browser", "--device", "cpu", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_a_page_survives_its_server(driver: Any, clip_root: Path) -> None:
    process, url = start(clip_root, "--no-fit")
    try:
        page = Page(driver, url)
        page.click(30, 20)
        page.kept(1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        page.until(lambda: page.text("state") == "the server has ended", "that the server has ended")
        page.click(60, 20)  # kept on the page until the server is back
        process, again = start(clip_root, "--no-fit")
        assert again == url
        page.kept(2)
        page.until(lambda: page.text("state").startswith("answers"), "answers")
        page.answered()
        page.until(lambda: page.is_drawn(60, 20), "the second point")
    finally:
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=SECONDS)[1]
    assert process.returncode == 0 and "Traceback" not in said, said
    driver.get_log("browser")  # contains the expected failed requests


def test_answers_improve_while_the_fit_runs(driver: Any, bare_root: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(bare_root, tmp_path / "clip"))
    small = ["flow.surroundings=false", "flow.descriptors.network=none", "filter.found_again=false"]
    small += ["filter.grid_points=300", "fit.steps=900", "fit.anchors=64", "fit.checkpoint_seconds=3"]
    process, url = start(root, *(part for setting in small for part in ("--set", setting)))
    try:
        driver.get(url)
        page = Page.__new__(Page)
        page.driver, page.client = driver, Client(url)
        page.until(lambda: page.text("state") != "opening", "the page")
        page.click(30, 20)  # whatever is available by now
        seen: list[str] = []

        def fitted() -> bool:
            seen.append(page.text("state"))
            return seen[-1] == "answers: fit"

        page.until(fitted, "the fit")
        assert "answers: flow" in seen, sorted(set(seen))
        page.answered()
        status, body = page.client.post("answers", {"points": page.points()})
        found = np.frombuffer(body, "<f4").reshape(FRAMES, 4)
        assert status == 200 and np.abs(found[5, :2] - moved(30, 20, 5)).max() < 1.5
    finally:
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=SECONDS)[1]
    assert process.returncode == 0 and "Traceback" not in said, said
    assert not (root / ".lock").exists()
