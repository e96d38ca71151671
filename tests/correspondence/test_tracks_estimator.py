"""The estimator of flow from files of tracks: what it reads, what it returns, how it reports files that do not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.config import load_settings
from omnitrack.correspondence.estimators import get_estimator, open_estimator, weights_identity
from omnitrack.correspondence.estimators.contract import Clip
from omnitrack.correspondence.estimators.dis import DisEstimator
from omnitrack.correspondence.estimators.tracks import TracksEstimator, track_paths, tracks_identity
from omnitrack.errors import OmnitrackError
from omnitrack.progress import Progress
from omnitrack.project.project import Project
from omnitrack.settings import DescriptorSettings, DisSettings, FlowSettings, TracksSettings
from omnitrack.stages.flow import clip_of, flow_stamp

SIZE, FRAMES, SHIFT = (64, 48), 8, np.array([2, 1])  # of the clip in tests/conftest.py


class Recorder(Progress):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def tracks_of(query_frame: int = 0, spacing: int = 8) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """A grid of points of a frame of the clip: positions (N, T, 2), and whether they are inside the frame."""
    y, x = np.mgrid[4 : SIZE[1] : spacing, 4 : SIZE[0] : spacing]
    start = np.stack([x, y], -1).reshape(-1, 1, 2)
    positions = start + (np.arange(FRAMES)[:, None] - query_frame) * SHIFT
    return positions.astype(np.float64), ((positions >= 0) & (positions < SIZE)).all(-1)


def save(path: Path, positions: NDArray[Any], visible: NDArray[np.bool_]) -> str:
    np.savez(path, pred_tracks=positions.transpose(1, 0, 2)[None], pred_visibility=visible.T[None])
    return str(path)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return save(tmp_path / "tracks.npz", *tracks_of())


def settings(path: str, **tracks: Any) -> FlowSettings:
    return FlowSettings(estimator="tracks", tracks=TracksSettings(path=path, **tracks))


def open_tracks(project: Project, path: str, progress: Progress | None = None, **tracks: Any) -> Any:
    return open_estimator(settings(path, **tracks), clip_of(project, "cpu", progress or Progress()))


def test_flow_between_any_two_frames(project: Project, path: str) -> None:
    for pair, steps in (((0, 1), 1), ((2, 7), 5), ((6, 3), -3)):
        (estimate,) = open_tracks(project, path).estimate_pairs([pair], [None])
        assert estimate.flow.shape == (48, 64, 2) and estimate.flow.dtype == np.float32
        np.testing.assert_allclose(estimate.flow, np.broadcast_to(steps * SHIFT, (48, 64, 2)), atol=1e-3)
    middle = open_tracks(project, path).estimate_pairs([(0, 1)], [None])[0].confidence
    assert middle[4, 4] == pytest.approx(1, abs=1e-4), "at a track"


def test_the_answer_does_not_depend_on_what_was_asked_before(project: Project, path: str) -> None:
    used = open_tracks(project, path)
    many = used.estimate_pairs([(0, 1), (3, 5), (0, 4)], [None] * 3)
    alone = open_tracks(project, path).estimate_pairs([(0, 4)], [np.ones((48, 64, 2), np.float32)])[0]
    np.testing.assert_array_equal(many[2].flow, alone.flow)
    np.testing.assert_array_equal(many[2].confidence, alone.confidence)


def test_positions_are_of_the_original_video(project: Project, tmp_path: Path) -> None:
    """Working frames of half the size: 4 px of the video are 2 working px, and pixel 2 p + 0.5 is pixel p."""
    positions, visible = tracks_of()
    path = save(tmp_path / "large.npz", 2 * positions + 0.5, visible)
    halved = Clip(project.frame, FRAMES, SIZE, (128, 96))
    (estimate,) = TracksEstimator(TracksSettings(path)).open(halved).estimate_pairs([(0, 2)], [None])
    np.testing.assert_allclose(estimate.flow, np.broadcast_to(2 * SHIFT, (48, 64, 2)), atol=1e-3)
    assert estimate.confidence is not None and estimate.confidence[4, 4] == pytest.approx(1, abs=1e-4)


def test_several_files(project: Project, tmp_path: Path) -> None:
    """Points of the first frame leave through the lower right; points of the last frame come from the upper left."""
    folder = tmp_path / "many"
    folder.mkdir()
    first, last = (save(folder / f"{t}.npz", *tracks_of(t)) for t in (0, 7))
    (folder / "notes.txt").write_text("not tracks")
    assert track_paths(str(folder)) == track_paths(str(folder / "*.npz")) == [Path(first), Path(last)]

    def sure(path: str) -> Any:
        return open_tracks(project, path).estimate_pairs([(7, 5)], [None])[0].confidence

    spot = 12, 12  # in frame 7, where no point of frame 0 is left of x = 18
    assert sure(first)[spot] == 0
    assert sure(last)[spot] == pytest.approx(1, abs=1e-4)
    assert sure(str(folder))[spot] == pytest.approx(1, abs=1e-4)


def test_a_pair_without_common_tracks_is_not_an_error(project: Project, tmp_path: Path) -> None:
    positions, visible = tracks_of()
    visible[::2, 4:] = False
    visible[1::2, :4] = False
    visible[:, 2] = False
    recorder = Recorder()
    opened = open_tracks(project, save(tmp_path / "tracks.npz", positions, visible), recorder)
    for pair in ((0, 5), (2, 3), (3, 2)):
        (estimate,) = opened.estimate_pairs([pair], [None])
        assert not estimate.flow.any() and not estimate.confidence.any()
    assert opened.estimate_pairs([(0, 1)], [None])[0].confidence.any()
    assert recorder.warnings == ["no track is visible in 1 of 8 frames, the first is 2"]


def test_tracks_of_which_none_is_seen_twice(project: Project, tmp_path: Path) -> None:
    positions, visible = tracks_of()
    visible[:, 1:] = False
    with pytest.raises(OmnitrackError, match=r"no track of .* is visible in two frames"):
        open_tracks(project, save(tmp_path / "tracks.npz", positions, visible))


def test_of_several_tracks_in_one_pixel_the_longest_counts(project: Project, tmp_path: Path) -> None:
    """Forty tracks lie in one pixel, visible in two frames only; with eight neighbours they would displace all else."""
    positions, visible = tracks_of()
    heap = np.repeat(positions[27:28], 40, 0) + np.linspace(-0.3, 0.3, 40)[:, None, None]
    short = np.zeros((40, FRAMES), bool)
    short[:, :2] = True
    path = save(tmp_path / "heap.npz", np.concatenate([heap, positions]), np.concatenate([short, visible]))
    confidence = open_tracks(project, path).estimate_pairs([(0, 3)], [None])[0].confidence
    x, y = positions[27, 0].astype(int)
    assert confidence[y, x] == pytest.approx(1, abs=1e-4)


def test_near_by_dis_and_far_by_tracks(project: Project, path: str) -> None:
    mixed = replace(
        settings(path),
        estimator="dis",
        far_estimator="tracks",
        far_gap=3,
        surroundings=False,
        descriptors=DescriptorSettings("none"),
    )
    opened = open_estimator(mixed, clip_of(project, "cpu"))
    near, far = opened.estimate_pairs([(0, 2), (0, 3)], [None, None])
    np.testing.assert_array_equal(near.flow, DisEstimator(DisSettings()).estimate(project.frame(0), project.frame(2)))
    assert near.confidence is None
    np.testing.assert_allclose(far.flow, np.broadcast_to(3 * SHIFT, far.flow.shape), atol=1e-3)


# --- what it is made from ---------------------------------------------------------------------------------------
def test_the_stamp_records_what_the_files_say_not_what_they_are_called(project: Project, tmp_path: Path) -> None:
    one, other = save(tmp_path / "a.npz", *tracks_of()), save(tmp_path / "b.npz", *tracks_of(3))
    moved = tmp_path / "c.npz"
    moved.write_bytes(Path(one).read_bytes())
    base = flow_stamp(project, settings(one))
    assert base == flow_stamp(project, settings(str(moved)))
    assert base != flow_stamp(project, settings(other))
    assert base != flow_stamp(project, settings(one, reach_px=5.0))
    assert base["inputs"]["tracks"] == tracks_identity(one) != tracks_identity(other)
    Path(one).write_bytes(Path(other).read_bytes() + b"longer")
    assert flow_stamp(project, settings(one)) != base
    assert flow_stamp(project, settings(str(tmp_path / "gone.npz")))["inputs"]["tracks"] == "none"
    plain = FlowSettings()
    assert flow_stamp(project, replace(plain, tracks=TracksSettings(path=one))) == flow_stamp(project, plain)
    assert weights_identity(plain) == {}


# --- what does not fit ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "message"), [(None, "names none"), ("no.npz", "no file"), ("project", "no file")])
def test_no_tracks(project: Project, tmp_path: Path, name: str | None, message: str) -> None:
    with pytest.raises(OmnitrackError, match=rf"flow\.tracks\.path names {message.removeprefix('names ')}") as error:
        open_tracks(project, "" if name is None else str(tmp_path / name))
    assert "--set flow.tracks.path=FILE" in (error.value.hint or "")


def test_a_width_without_a_height(path: str) -> None:
    with pytest.raises(OmnitrackError, match=r"flow\.tracks\.width is 256 and flow\.tracks\.height is 0"):
        get_estimator("tracks", settings(path, width=256))


def test_tracks_of_another_video_and_damaged_files(project: Project, tmp_path: Path) -> None:
    positions, visible = tracks_of()
    with pytest.raises(OmnitrackError, match=r"short\.npz has pred_tracks of shape \(5, 48, 2\).*the 8 frames"):
        open_tracks(project, save(tmp_path / "short.npz", positions[:, :5], visible[:, :5]))
    whole = Path(save(tmp_path / "cut.npz", positions, visible))
    whole.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(OmnitrackError, match=r"cut\.npz is not a readable \.npz"):
        open_tracks(project, str(whole))
    with pytest.raises(OmnitrackError, match="outside a frame of 64x48"):
        open_tracks(project, save(tmp_path / "large.npz", positions * 4, visible))
    found = open_tracks(project, save(tmp_path / "large.npz", positions * 4 + 1.5, visible), width=256, height=192)
    np.testing.assert_allclose(found.estimate_pairs([(0, 1)], [None])[0].flow[20, 20], SHIFT, atol=1e-3)


def test_a_layout_that_does_not_exist() -> None:
    with pytest.raises(OmnitrackError, match=r"flow\.tracks\.layout"):
        load_settings(overrides={"flow.tracks.layout": "pips"})
