"""The page as its user sees it, in a browser."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from page_client import SIZE, VELOCITY, Client

SECONDS = 60.0  # seconds allowed on a busy machine
RIGHT, ENTER, DELETE, ESCAPE, CONTROL, SHIFT = "\ue014", "\ue007", "\ue017", "\ue00c", "\ue009", "\ue008"


class Page:
    """The page as its user sees it."""

    def __init__(self, driver: Any, url: str) -> None:
        self.driver = driver
        driver.get(url)
        self.client = Client(url)
        self.until(lambda: self.text("state").startswith("answers"), "the page answers")

    def text(self, name: str) -> str:
        """Return the text of an element."""
        return str(self.driver.find_element("id", name).text)

    def until(self, true: Callable[[], Any], what: str) -> None:
        """Wait for a condition; fail if it does not occur."""
        end = time.monotonic() + SECONDS
        while not true():
            assert time.monotonic() < end, f"not seen: {what}; the page says {self.text('message')!r}"
            time.sleep(0.02)

    def answered(self) -> None:
        """Wait for all answers, and for the server to have the points."""
        self.until(lambda: self.driver.execute_script("return document.body.dataset.answered") == "true", "answers")

    def points(self) -> list[dict[str, Any]]:
        """Return the points that the server stores."""
        found: list[dict[str, Any]] = json.loads(self.client.get("points")[1])["points"]
        return found

    def kept(self, count: int) -> list[dict[str, Any]]:
        """Wait until the server stores that many points."""
        self.until(lambda: len(self.points()) == count, f"{count} points")
        return self.points()

    def saved(self, name: str) -> Path:
        """Wait for an export; the browser first creates an empty file of that name, and fills another one."""
        path = Path(self.driver.saved) / f"clip-tracks.{name}"
        self.until(lambda: path.exists() and path.stat().st_size and len([*path.parent.iterdir()]) == 1, f"the {name}")
        return path

    def place(self, x: float, y: float) -> tuple[int, int]:
        """Return where a pixel of the clip is on the canvas, from its centre: the whole frame, with a margin of 8."""
        canvas = self.driver.find_element("id", "picture").size
        scale = min((canvas["width"] - 16) / SIZE[0], (canvas["height"] - 16) / SIZE[1])
        return round((x + 0.5 - SIZE[0] / 2) * scale), round((y + 0.5 - SIZE[1] / 2) * scale)

    def hand(self) -> Any:
        """Return a mouse and a keyboard."""
        from selenium.webdriver import ActionChains

        return ActionChains(self.driver, duration=20)

    def over(self, x: float, y: float) -> Any:
        """Move the mouse over a pixel of the clip."""
        return self.hand().move_to_element_with_offset(self.driver.find_element("id", "picture"), *self.place(x, y))

    def click(self, x: float, y: float) -> None:
        """Click on a pixel of the clip."""
        self.over(x, y).click().perform()

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag from pixel to pixel."""
        a, b = self.place(*start), self.place(*end)
        self.over(*start).click_and_hold().move_by_offset(b[0] - a[0], b[1] - a[1]).release().perform()

    def keys(self, *keys: str) -> None:
        """Type keys."""
        self.hand().send_keys("".join(keys)).perform()

    def colours(self, x: float, y: float, reach: int = 3) -> np.ndarray[Any, Any]:
        """Return (N, 3), the canvas around a pixel of the clip."""
        script = """const canvas = document.getElementById("picture"), [x, y, reach] = arguments;
        const pen = canvas.getContext("2d"), middle = [canvas.width / 2 + x - reach, canvas.height / 2 + y - reach];
        return Array.from(pen.getImageData(...middle, 2 * reach + 1, 2 * reach + 1).data)"""
        found = self.driver.execute_script(script, *self.place(x, y), reach)
        return np.array(found, np.float64).reshape(-1, 4)[:, :3]

    def is_drawn(self, x: float, y: float) -> bool:
        """Return whether something more saturated than the grey clip is drawn there."""
        colours = self.colours(x, y)
        return bool((colours.max(axis=1) - colours.min(axis=1)).max() > 90)


def moved(x: float, y: float, frames: int) -> tuple[float, float]:
    """Return where a pixel of the clip is after a number of frames."""
    return x + VELOCITY[0] * frames, y + VELOCITY[1] * frames
