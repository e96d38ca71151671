"""Which planes of a stack are frames, by the names of its axes."""

from __future__ import annotations

import pytest

from omnitrack.video.axes import plan_frames, plane_index


@pytest.mark.parametrize(
    ("axes", "shape", "frames", "index", "said"),
    [
        # the index of frame 1, second channel
        ("TYX", (9, 4, 6), 9, (1, slice(None), slice(None)), []),
        ("TZCYX", (9, 5, 2, 4, 6), 9, (1, 2, 1, slice(None), slice(None)), ["red and green", "5 planes number 3"]),
        ("TCZYX", (9, 3, 4, 4, 6), 9, (1, 1, 2, slice(None), slice(None)), ["red, green", "4 planes number 3"]),
        ("CTYX", (4, 9, 4, 6), 9, (0, 1, slice(None), slice(None)), ["4 channels number 1"]),
        ("ZYX", (7, 4, 6), 7, (1, slice(None), slice(None)), ["7 planes are the frames"]),
        ("CYX", (12, 4, 6), 12, (1, slice(None), slice(None)), ["12 channels are the frames"]),
        ("ZCYX", (7, 3, 4, 6), 7, (1, 1, slice(None), slice(None)), ["7 planes are the frames", "red, green"]),
        ("QYX", (7, 4, 6), 7, (1, slice(None), slice(None)), []),
        ("IZYX", (7, 2, 4, 6), 7, (1, 1, slice(None), slice(None)), ["2 planes number 2"]),
        ("TSYX", (9, 3, 4, 6), 9, (1, slice(None), slice(None), slice(None)), []),
        ("TCYXS", (9, 2, 4, 6, 3), 9, (1, 0, slice(None), slice(None), slice(None)), ["2 channels number 1"]),
        ("TPYX", (9, 5, 4, 6), 9, (1, 0, slice(None), slice(None)), ["5 entries of axis P number 1"]),
        ("TZYX", (9, 1, 4, 6), 9, (1, 0, slice(None), slice(None)), []),
    ],
)
def test_plans(axes: str, shape: tuple[int, ...], frames: int, index: tuple[int | slice, ...], said: list[str]) -> None:
    plan = plan_frames(axes, shape)
    assert plan.frames == frames
    assert plane_index(plan, axes, 1, 1) == index
    assert len(plan.notes) == len(said)
    assert all(word in " ".join(plan.notes) for word in said)


@pytest.mark.parametrize(
    ("axes", "shape"), [("YX", (4, 6)), ("YXS", (4, 6, 3)), ("CYX", (3, 4, 6)), ("TYX", (1, 4, 6))]
)
def test_a_single_picture(axes: str, shape: tuple[int, ...]) -> None:
    assert plan_frames(axes, shape).frames == 1
