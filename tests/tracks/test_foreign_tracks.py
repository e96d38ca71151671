"""Other trackers' files of tracks: each layout, as written by the tracker's own code, is read as the same tracks.

The ground truth is three points that move evenly, in pixels of a video of 80 x 48 with centres at integers. Each test
writes it by hand in the tracker's axes, order of coordinates, pixels and units.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from omnitrack.errors import OmnitrackError
from omnitrack.tracks.files import save_tracks
from omnitrack.tracks.foreign import ForeignTracks, load_foreign_tracks
from omnitrack.tracks.tracks import Tracks

SIZE, FRAMES = (80, 48), 5
MODEL = (256, 256)  # the frame that TAPIR and TAPNext see
STEPS = np.arange(FRAMES)[:, None]
TRUTH = np.stack([[10, 20] + STEPS * [3, 1], [40.5, 8] + STEPS * [0, 2], [70, 40] + STEPS * [-2, -1.5]])  # (N, T, 2)
SEEN = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 1], [0, 1, 1, 1, 1]], bool)


def in_raster(size: tuple[int, int] = SIZE) -> Any:
    """Return `TRUTH` in pixels of a frame of `size` with a corner at (0, 0): twice the size doubles every number."""
    return (TRUTH + 0.5) * (np.array(size) / SIZE)


def frames_first(array: Any) -> Any:
    """Reorder (N, T, ...) to (1, T, N, ...)."""
    return np.swapaxes(array, 0, 1)[None]


def logits(probability: Any) -> Any:
    return np.log(probability) - np.log1p(-np.asarray(probability))


def save(path: Path, **arrays: Any) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        torch.save({key: torch.as_tensor(np.ascontiguousarray(value)) for key, value in arrays.items()}, path)
    return path


def check(path: Path, confidence: float = 1.0, **options: Any) -> ForeignTracks:
    tracks = load_foreign_tracks(path, FRAMES, SIZE, **options)
    np.testing.assert_allclose(tracks.positions, TRUTH, atol=1e-4)
    np.testing.assert_array_equal(tracks.visible, SEEN)
    np.testing.assert_allclose(
        tracks.confidence, np.where(SEEN, 1.0 if confidence is None else confidence, 0), atol=1e-5
    )
    assert tracks.positions.dtype == tracks.confidence.dtype == np.float32
    return tracks


@pytest.fixture(params=[".npz", ".pt"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / f"tracks{request.param}"


@pytest.mark.parametrize("layout", ["auto", "cotracker"])
def test_cotracker(file: Path, layout: str) -> None:
    save(file, pred_tracks=frames_first(TRUTH), pred_visibility=frames_first(SEEN))
    check(file, layout=layout)


def test_cotracker_with_a_last_axis_of_one_and_no_batch(file: Path) -> None:
    save(file, pred_tracks=TRUTH.transpose(1, 0, 2), pred_visibility=SEEN.T[..., None])
    check(file)


def test_cotracker_before_its_threshold(file: Path) -> None:
    """0.9 * 0.8 is 0.72, (0.72 - 0.6) / 0.4 = 0.3 of the way from the threshold to 1: confidence 0.65; 0.7 * 0.8 is
    below the threshold."""
    share = frames_first(np.where(SEEN, 0.9, 0.7))
    save(file, pred_tracks=frames_first(TRUTH), pred_visibility=share, pred_confidence=np.full_like(share, 0.8))
    check(file, confidence=0.65)


def test_cotracker_on_a_resized_video(file: Path) -> None:
    """Twice the size: pixel centre p is at 2 p + 0.5."""
    save(file, pred_tracks=frames_first(2 * TRUTH + 0.5), pred_visibility=frames_first(SEEN))
    check(file, size=(160, 96))


@pytest.mark.parametrize("layout", ["auto", "tapir"])
def test_tapir_after_its_demo(file: Path, layout: str) -> None:
    save(file, tracks=in_raster(), visibles=SEEN)
    check(file, layout=layout)


def test_tapir_as_the_model_gives_it(file: Path) -> None:
    """(1 - 0.1) (1 - 0.2) = 0.72 is visible, 0.44 of the way to 1; (1 - 0.4) (1 - 0.2) = 0.48 is not."""
    hidden, far = logits(np.where(SEEN, 0.1, 0.4)), logits(np.full(SEEN.shape, 0.2))
    save(file, tracks=in_raster(MODEL)[None], occlusion=hidden[None], expected_dist=far[None])
    check(file, confidence=0.72, size=MODEL)
    with pytest.raises(OmnitrackError, match="logits of a model that saw a resized video, and not its size") as error:
        load_foreign_tracks(file, FRAMES, SIZE)
    assert "flow.tracks.width" in (error.value.hint or "")


def test_tapnext_as_the_model_gives_it(file: Path) -> None:
    yx = frames_first(in_raster(MODEL))[..., ::-1]
    save(file, tracks=yx, visible_logits=frames_first(logits(np.where(SEEN, 0.9, 0.3)))[..., None])
    check(file, confidence=0.9, size=MODEL)


def test_track_on(file: Path) -> None:
    """The second version writes zeros where a point is not visible, as before its query."""
    positions = np.where(SEEN[..., None], in_raster(), 0)
    save(file, pred_trajectory=frames_first(positions), pred_visibility=frames_first(SEEN))
    tracks = load_foreign_tracks(file, FRAMES, SIZE)
    np.testing.assert_allclose(tracks.positions[SEEN], TRUTH[SEEN], atol=1e-4)
    np.testing.assert_array_equal(tracks.visible, SEEN)


def test_track_on_first_version(file: Path) -> None:
    save(file, points=frames_first(in_raster()), visibility=frames_first(SEEN))
    check(file)


def our_tracks(count: int = 3) -> Tracks:
    return Tracks(
        queries=np.zeros((count, 3), np.float32),
        tracks=TRUTH[:count].astype(np.float32),
        visible=SEEN[:count],
        confidence=np.full((count, FRAMES), 0.5, np.float32),
        depth=np.ones((count, FRAMES), np.float32),
        frames=np.arange(FRAMES),
        size=SIZE,
        fps=24.0,
    )


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".json", ".csv"])
def test_our_own(tmp_path: Path, suffix: str) -> None:
    """A confidence of one half in our files is half way between the threshold and 1."""
    save_tracks(our_tracks(), tmp_path / f"tracks{suffix}")
    check(tmp_path / f"tracks{suffix}", confidence=0.75)


def test_our_own_of_some_frames(tmp_path: Path) -> None:
    whole = our_tracks()
    part = {key: getattr(whole, key)[:, 1:3] for key in ("tracks", "visible", "confidence", "depth")}
    save_tracks(replace(whole, frames=np.array([1, 2]), **part), tmp_path / "tracks.npz")
    tracks = load_foreign_tracks(tmp_path / "tracks.npz", FRAMES, SIZE)
    np.testing.assert_array_equal(tracks.visible[:, 1:3], SEEN[:, 1:3])
    np.testing.assert_allclose(tracks.positions[:, 1:3], TRUTH[:, 1:3])
    assert not tracks.visible[:, [0, 3, 4]].any()
    with pytest.raises(OmnitrackError, match=r"covers frames 1 to 2, and the video has frames 0 to 1"):
        load_foreign_tracks(tmp_path / "tracks.npz", 2, SIZE)


def test_anybody_with_our_names(file: Path) -> None:
    save(file, tracks=frames_first(in_raster(MODEL)), occluded=frames_first(~SEEN), size=MODEL, raster=True)
    check(file)


def test_a_list_of_tensors_with_the_layout_named(tmp_path: Path) -> None:
    pair = (torch.as_tensor(frames_first(TRUTH)), torch.as_tensor(frames_first(SEEN)))
    torch.save(pair, tmp_path / "tracks.pt")
    check(tmp_path / "tracks.pt", layout="cotracker")
    with pytest.raises(OmnitrackError, match="list of tensors without names"):
        load_foreign_tracks(tmp_path / "tracks.pt", FRAMES, SIZE)


def test_half_precision_tensors(tmp_path: Path) -> None:
    content = {
        "pred_tracks": torch.as_tensor(frames_first(TRUTH)),
        "pred_visibility": torch.as_tensor(frames_first(SEEN)),
    }
    torch.save(content | {"pred_tracks": content["pred_tracks"].bfloat16()}, tmp_path / "tracks.pt")
    tracks = load_foreign_tracks(tmp_path / "tracks.pt", FRAMES, SIZE)
    np.testing.assert_allclose(tracks.positions, TRUTH, atol=0.25)  # rounded to eight bits


def test_nan_is_allowed_where_hidden_and_outside_the_frame_nothing_is_seen(file: Path) -> None:
    positions = np.where(SEEN[..., None], TRUTH, np.nan)
    positions[0, 4] = [80, 20]  # just outside, though visible according to the tracker
    save(file, pred_tracks=frames_first(positions), pred_visibility=frames_first(SEEN))
    tracks = load_foreign_tracks(file, FRAMES, SIZE)
    expected = SEEN.copy()
    expected[0, 4] = False
    np.testing.assert_array_equal(tracks.visible, expected)
    np.testing.assert_array_equal(tracks.confidence, expected)


GIVEN = {"pred_tracks": frames_first(TRUTH), "pred_visibility": frames_first(SEEN)}
SQUARE = {"tracks": np.zeros((5, 5, 2)), "visibles": np.ones((5, 5), bool)}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"tracks": TRUTH, "visible": SEEN}, "may be of several trackers by its names: tracks, visible"),
        ({"video": TRUTH}, "may be of several trackers by its names: none is known"),
        (SQUARE, r"as many tracks as the video has frames, 5: tracks of shape \(5, 5, 2\).*auto \(here tapir\)"),
        ({"pred_tracks": GIVEN["pred_tracks"]}, "has neither visible, visibility nor occluded"),
        (
            {**GIVEN, "pred_tracks": TRUTH},
            r"pred_tracks of shape \(3, 5, 2\).*cotracker .* need \(5, N, 2\)",
        ),
        ({**GIVEN, "pred_tracks": np.zeros((1, 5, 3, 3))}, r"pred_tracks of shape \(5, 3, 3\)"),
        ({**GIVEN, "pred_tracks": np.zeros((2, 5, 3, 2))}, r"pred_tracks of shape \(2, 5, 3, 2\)"),
        ({**GIVEN, "pred_visibility": np.ones((1, 5, 2))}, r"visibility of shape \(5, 2\)"),
        ({**GIVEN, "pred_tracks": np.full((1, 5, 3, 2), np.nan)}, "not finite .NaN. where they are visible, 12 times"),
        ({**GIVEN, "pred_visibility": np.full((1, 5, 3), 3.0)}, r"pred_visibility outside \[0, 1\]"),
        ({**GIVEN, "pred_tracks": np.full((1, 5, 3, 2), "x")}, "pred_tracks of type <U1"),
        (
            {**GIVEN, "pred_tracks": frames_first(TRUTH * 10)},
            "outside a frame of 80x48.*or to another size",
        ),
        ({**GIVEN, "size": np.array([80, 0])}, r"size that is not \(width, height\)"),
    ],
)
def test_what_does_not_fit(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    path = save(tmp_path / "tracks.npz", **arrays)
    with pytest.raises(OmnitrackError, match=rf"tracks\.npz .*{message}") as error:
        load_foreign_tracks(path, FRAMES, SIZE)
    assert error.value.hint


def test_square_tracks_are_read_with_the_layout_named(tmp_path: Path) -> None:
    x = np.arange(5.0)[:, None] * np.ones(5)  # point n stays at x = n
    positions = np.stack([x + 1, x * 0 + 7], -1)
    save(tmp_path / "tracks.npz", tracks=positions, visibles=np.ones((5, 5), bool))
    found = load_foreign_tracks(tmp_path / "tracks.npz", FRAMES, SIZE, layout="tapir")
    np.testing.assert_allclose(found.positions, positions - 0.5)
    found = load_foreign_tracks(tmp_path / "tracks.npz", FRAMES, SIZE, layout="cotracker")
    np.testing.assert_allclose(found.positions, positions.transpose(1, 0, 2))


def test_tracks_of_another_video(tmp_path: Path) -> None:
    path = save(tmp_path / "tracks.npz", **GIVEN)
    with pytest.raises(OmnitrackError, match=r"the 7 frames of this video need \(7, N, 2\)"):
        load_foreign_tracks(path, 7, SIZE)
    save_tracks(our_tracks(), tmp_path / "ours.npz")
    with pytest.raises(OmnitrackError, match="tracks of a video of 80x48 pixels, and this one has 40x24"):
        load_foreign_tracks(tmp_path / "ours.npz", FRAMES, (40, 24))


def test_a_size_that_the_file_contradicts(tmp_path: Path) -> None:
    path = save(tmp_path / "tracks.npz", tracks=TRUTH, visible=SEEN, size=SIZE)
    check(path)
    check(path, size=SIZE)
    with pytest.raises(OmnitrackError, match="a frame of 80x48, the settings say 256x256"):
        load_foreign_tracks(path, FRAMES, SIZE, size=MODEL)


class Payload:
    """A pickle that would run code."""


def test_missing_truncated_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(OmnitrackError, match=r"there are no tracks at .*none\.npz"):
        load_foreign_tracks(tmp_path / "none.npz", FRAMES, SIZE)
    for suffix in (".npz", ".pt"):
        path = save(tmp_path / f"tracks{suffix}", **GIVEN)
        whole = path.read_bytes()
        for data in (b"", b"PK", whole[:100], whole[: len(whole) // 2], whole[:-30], b"<html>"):
            path.write_bytes(data)
            with pytest.raises(OmnitrackError, match=rf"tracks\{suffix} is not a readable"):
                load_foreign_tracks(path, FRAMES, SIZE)
    torch.save({"pred_tracks": Payload()}, tmp_path / "tracks.pt")
    with pytest.raises(OmnitrackError, match="more than tensors, numbers and text"):
        load_foreign_tracks(tmp_path / "tracks.pt", FRAMES, SIZE)
    torch.save(torch.zeros(3), tmp_path / "tracks.pt")
    with pytest.raises(OmnitrackError, match="holds a Tensor, not a dictionary"):
        load_foreign_tracks(tmp_path / "tracks.pt", FRAMES, SIZE)
    (tmp_path / "tracks.mp4").write_bytes(b"video")
    with pytest.raises(OmnitrackError, match="no file of tracks by its name"):
        load_foreign_tracks(tmp_path / "tracks.mp4", FRAMES, SIZE)


def test_an_occlusion_that_is_true_or_false_is_no_logit(file: Path) -> None:
    save(file, tracks=in_raster(), occlusion=~SEEN)
    check(file)
