"""How far the frames of a canvas are enlarged."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from omnitrack.settings import RenderSettings
from omnitrack.stages.render_canvas import Canvas


@pytest.mark.parametrize(
    ("size", "expected"),
    [((96, 64), (288, 192)), ((500, 300), (500, 300)), ((960, 8), (1920, 16)), ((8, 3000), (8, 3000))],
)
def test_the_shorter_side_grows_until_the_longer_one_is_large(size: tuple[int, int], expected: tuple[int, int]) -> None:
    project: Any = SimpleNamespace(size=size, meta=SimpleNamespace(original_size=size))
    assert Canvas(project, RenderSettings(min_side=192)).size == expected
