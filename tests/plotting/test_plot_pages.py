"""What the plots show: the numbers on their axes, against numbers computed by hand."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnitrack.errors import OmnitrackError
from omnitrack.evaluation.metrics import METRICS
from omnitrack.plotting.evaluation import evaluation_page
from omnitrack.plotting.figures import INSTALL, check_plot, new_figure, save_figure, shortened
from omnitrack.plotting.fit import loss_page
from omnitrack.plotting.tracks import Scale, speeds, times, track_page
from omnitrack.tracks.tracks import Tracks

pytest.importorskip("matplotlib")


def straight(count: int = 2, length: int = 5, fps: float = 10.0) -> Tracks:
    """Return tracks: track n moves by (3 n, 4 n) px per frame, and is occluded in frames 2 and 3 if n is odd."""
    t, n = np.arange(length), np.arange(count)
    steps = n[:, None, None] * t[None, :, None]
    visible = ~((n % 2 == 1)[:, None] & ((t == 2) | (t == 3)))
    return Tracks(
        queries=np.column_stack([0 * n, 100 + 0 * n, 50 + 0 * n]).astype(np.float32),
        tracks=(np.array([100, 50]) + steps * np.array([3, 4])).astype(np.float32),
        visible=visible,
        confidence=np.where(visible, 0.75, 0.25).astype(np.float32),
        depth=np.zeros(visible.shape, np.float32),
        frames=t,
        size=(640, 480),
        fps=fps,
    )


def lines_of(panel: Any) -> list[np.ndarray]:
    return [np.asarray(line.get_ydata(), float) for line in panel.lines]


def test_speeds_in_pixels_and_micrometres_a_second() -> None:
    tracks = straight(3)
    assert speeds(tracks) == pytest.approx(np.array([[0.0], [50], [100]]) * np.ones(5))  # 5 n px in 0.1 s
    assert speeds(tracks, Scale(0.5, "um"))[2] == pytest.approx(50 * np.ones(5))
    assert speeds(replace(tracks, fps=0.0))[1] == pytest.approx(5 * np.ones(5))  # per frame


def test_speeds_over_frames_that_are_not_evenly_spaced() -> None:
    tracks = straight(2)
    some = {name: getattr(tracks, name)[:, [0, 1, 4]] for name in ("tracks", "visible", "confidence", "depth")}
    assert speeds(replace(tracks, frames=np.array([0, 1, 4]), **some))[1] == pytest.approx(50 * np.ones(3))
    one = {name: getattr(tracks, name)[:, :1] for name in ("tracks", "visible", "confidence", "depth")}
    assert np.isnan(speeds(replace(tracks, frames=np.array([7]), **one))).all()
    assert times(replace(tracks, frames=np.array([0, 5, 30])[:3], **some)).tolist() == [0, 0.5, 3.0]


def test_few_tracks_are_in_one_diagram_a_quantity() -> None:
    figure = track_page(straight(2), ["a", "b"], ("x", "y", "speed", "confidence"), Scale(2.0, "mm"))
    labels = [panel.get_ylabel() for panel in figure.axes]
    assert labels == ["x (mm)", "y (mm, down)", "speed (mm/s)", "confidence"]
    assert figure.axes[-1].get_xlabel() == "time (s)"
    seen, whole = lines_of(figure.axes[0])[2:]
    assert whole.tolist() == [200, 206, 212, 218, 224]
    assert np.array_equal(seen, [200, 206, np.nan, np.nan, 224], equal_nan=True)
    assert figure.axes[0].lines[2].get_xdata().tolist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert figure.axes[1].yaxis_inverted()
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["a", "b", "hidden"]


def test_hidden_spans_of_a_single_track_are_shaded() -> None:
    tracks = straight(2)
    one = {name: getattr(tracks, name)[1:] for name in ("queries", "tracks", "visible", "confidence", "depth")}
    figure = track_page(replace(tracks, **one), ["a"], ("speed",), Scale())
    (span,) = figure.axes[0].patches
    assert span.get_extents().width > 0
    x = span.get_x(), span.get_x() + span.get_width()
    assert x == pytest.approx((0.15, 0.35))  # half-way from frame 1 to 2, and from 3 to 4


@pytest.mark.parametrize(
    ("visible", "spans"), [([0, 1, 1, 1, 0], [(0, 0.05), (0.35, 0.4)]), ([0] * 5, [(0, 0.4)]), ([1] * 5, [])]
)
def test_spans_reach_to_the_ends(visible: list[int], spans: list[tuple[float, float]]) -> None:
    tracks = straight(1)
    figure = track_page(replace(tracks, visible=np.array([visible], bool)), ["a"], ("speed",), Scale())
    found = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in figure.axes[0].patches]
    assert np.ravel(found) == pytest.approx(np.ravel(spans))


def test_many_tracks_are_small_multiples() -> None:
    tracks = straight(200)
    figure = track_page(tracks, [f"n{i}" for i in range(200)], ("x", "y"), Scale())
    assert len(figure.axes) == 60
    titles = [panel.get_title() for panel in figure.axes]
    assert (titles[0], titles[-1]) == ("n0", "n199")
    x, y = lines_of(figure.axes[-1])
    assert x.tolist() == [0, 597, 1194, 1791, 2388]  # 199 * 3 per frame, relative to its start
    assert y.tolist() == [0, 796, 1592, 2388, 3184]
    assert len(figure.axes[-1].patches) == 1
    assert "60 of 200 tracks" in figure.get_suptitle()
    nine = track_page(straight(9), [str(i) for i in range(9)], ("speed",), Scale())
    assert sum(panel.get_visible() for panel in nine.axes) == 9
    assert lines_of(nine.axes[2])[0] == pytest.approx(100 * np.ones(5))


def test_losses_and_errors() -> None:
    losses = [{"flow": 1.0, "loss": 1.5, "depth_prior": 0.5}, {"flow": 0.5, "loss": 0.5, "depth_prior": 0.0}]
    figure = loss_page([25, 50], losses, [3.0, 2.0])
    above, below = figure.axes
    names = [text.get_text() for text in above.get_legend().get_texts()]
    assert names == ["all of them", "depth prior", "flow"]
    total, prior, flow = lines_of(above)
    assert (total.tolist(), flow.tolist(), prior[0], np.isnan(prior[1])) == ([1.5, 0.5], [1.0, 0.5], 0.5, True)
    assert lines_of(below)[0].tolist() == [3.0, 2.0]


def results(**clips: float | None) -> dict[str, Any]:
    """Return an evaluation in which every metric of a clip has one value, and the mean is 0.5."""
    videos = {clip: dict.fromkeys(METRICS, value) for clip, value in clips.items()}
    mean = {**dict.fromkeys(METRICS, 0.5), "pts_within_1": 0.25, "jaccard_16": None}
    return {"dataset": "toy", "query_mode": "first", "methods": {"_$a^": {"mean": mean, "videos": videos}}}


def test_an_evaluation_by_threshold_and_clip_by_clip(tmp_path: Path) -> None:
    figure = evaluation_page(results(low=0.2, high=0.9, unknown=None))
    left, right, jaccard, *_ = figure.axes
    assert figure.subfigs[0].get_suptitle() == "toy, first, 3 clips"
    (within,), (index,) = lines_of(left), lines_of(right)
    assert within.tolist() == [25, 50, 50, 50, 50]
    assert np.array_equal(index, [50, 50, 50, 50, np.nan], equal_nan=True)
    assert left.lines[0].get_xdata().tolist() == [1, 2, 4, 8, 16]
    assert [text.get_text() for text in jaccard.get_yticklabels()] == ["high", "low", "unknown"]
    dots = np.asarray(jaccard.lines[0].get_xdata(), float)
    assert np.array_equal(dots, [90, 20, np.nan], equal_nan=True)
    assert jaccard.lines[1].get_xdata()[0] == pytest.approx(55)  # the mean of the known values
    save_figure(figure, tmp_path / "a.png")  # names are not parsed as formulas


def test_an_evaluation_in_which_nothing_is_defined(tmp_path: Path) -> None:
    save_figure(evaluation_page(results(a=None, b=None)), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF"), (".PNG", b"\x89")]
)
def test_files(tmp_path: Path, suffix: str, magic: bytes) -> None:
    path = tmp_path / "deep" / f"a{suffix}"
    save_figure(new_figure(2, 1), path)
    assert path.read_bytes().startswith(magic)


def test_a_format_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(OmnitrackError, match="does not end in a format of plots") as caught:
        check_plot(tmp_path / "a.jpg")
    assert caught.value.hint == "one of .png, .svg, .pdf"


def test_without_matplotlib_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("omnitrack.plotting.figures.find_spec", lambda name: None)
    with pytest.raises(OmnitrackError, match="plots need matplotlib") as caught:
        check_plot(tmp_path / "a.png")
    assert INSTALL in str(caught.value.hint)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(OmnitrackError, match="plots need matplotlib"):
        new_figure(1, 1)


def test_pyplot_and_its_windows_are_left_alone(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from omnitrack.plotting.figures import new_figure, save_figure\n"
        "import omnitrack.plotting.tracks, omnitrack.plotting.evaluation, omnitrack.plotting.fit\n"
        "assert 'matplotlib' not in sys.modules\n"
        f"save_figure(new_figure(1, 1), Path({str(tmp_path / 'a.png')!r}))\n"
        "assert 'matplotlib.pyplot' not in sys.modules and 'tkinter' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_long_names_leave_room() -> None:
    assert shortened("a\nb " * 30) == "a b a b a b a b a b a b a b…"
    assert shortened("tree") == "tree"
