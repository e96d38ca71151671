"""TAP-Vid datasets in every layout, their coordinates and queries, and how malformed ones fail."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from shared_data import DATA, needs

from omnitrack.errors import OmnitrackError
from omnitrack.evaluation.tapvid import (
    file_stem,
    load_tapvid,
    pixels_to_raster,
    raster_to_pixels,
    sample_queries,
    tapvid_queries_to_pixels,
)

DEVELOPMENT = DATA / "tapvid_davis32_dev.pkl"


def entry(seed: int = 0, length: int = 3) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {
        "video": random.integers(0, 256, (length, 8, 12, 3), np.uint8),
        "points": random.random((2, length, 2)).astype(np.float32),
        "occluded": random.random((2, length)) < 0.5,
    }


def save(path: Path, dataset: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pickle.dumps(dataset))
    return path


def encoded(frames: NDArray[np.uint8], suffix: str) -> list[bytes]:
    return [cv2.imencode(suffix, frame[..., ::-1])[1].tobytes() for frame in frames]


# --- layouts ----------------------------------------------------------------------------------------------------
def test_dict_of_videos(tmp_path: Path) -> None:
    dataset = {"goat": entry(0), "bike": entry(1)}
    videos = list(load_tapvid(save(tmp_path / "davis.pkl", dataset)))
    assert [video.name for video in videos] == ["goat", "bike"]
    for video in videos:
        np.testing.assert_array_equal(video.frames, dataset[video.name]["video"])
        np.testing.assert_array_equal(video.points, dataset[video.name]["points"])
        np.testing.assert_array_equal(video.occluded, dataset[video.name]["occluded"])
        assert video.size == (12, 8)
        assert (video.points.dtype, video.occluded.dtype) == (np.float32, np.bool_)


def test_list_of_videos_gets_names(tmp_path: Path) -> None:
    videos = list(load_tapvid(save(tmp_path / "stacking.pkl", [entry(0), entry(1)])))
    assert [video.name for video in videos] == ["video_000", "video_001"]


def test_shards_in_a_directory_or_a_glob(tmp_path: Path) -> None:
    for shard in (1, 0):
        frames = [entry(2 * shard + index) for index in range(2)]
        for item in frames:
            item["video"] = encoded(item["video"], ".png")
        save(tmp_path / "kinetics" / f"000{shard}_of_0002.pkl", frames)
    (tmp_path / "kinetics" / "README.md").write_text("not a shard")
    for path in (tmp_path / "kinetics", tmp_path / "kinetics" / "*_of_*.pkl"):
        videos = list(load_tapvid(path))
        assert [video.name for video in videos] == ["video_000", "video_001", "video_002", "video_003"]
        for index, video in enumerate(videos):
            np.testing.assert_array_equal(video.frames, entry(index)["video"])


def test_shards_of_dicts_keep_names_and_may_not_repeat_them(tmp_path: Path) -> None:
    save(tmp_path / "k" / "a.pkl", {"one": entry()})
    save(tmp_path / "k" / "b.pkl", {"two": entry()})
    assert [video.name for video in load_tapvid(tmp_path / "k")] == ["one", "two"]
    save(tmp_path / "k" / "b.pkl", {"one": entry()})
    with pytest.raises(OmnitrackError, match=r"b\.pkl repeats the video one"):
        list(load_tapvid(tmp_path / "k"))


def test_jpeg_frames_are_rgb(tmp_path: Path) -> None:
    frames = np.zeros((3, 16, 16, 3), np.uint8)
    frames[..., 0] = 200  # red
    video = next(load_tapvid(save(tmp_path / "a.pkl", {"a": entry() | {"video": encoded(frames, ".jpg")}})))
    assert video.frames.shape == (3, 16, 16, 3)
    assert np.abs(video.frames.astype(int) - frames).max() < 5


def test_a_list_of_arrays_and_numbers_for_bools(tmp_path: Path) -> None:
    item = entry()
    item |= {"video": list(item["video"]), "occluded": item["occluded"].astype(np.float64)}
    video = next(load_tapvid(save(tmp_path / "a.pkl", {"a": item})))
    np.testing.assert_array_equal(video.frames, entry()["video"])
    np.testing.assert_array_equal(video.occluded, entry()["occluded"])


def test_videos_are_decoded_one_at_a_time(tmp_path: Path) -> None:
    videos = load_tapvid(save(tmp_path / "a.pkl", {"good": entry(), "bad": {}}))
    assert next(videos).name == "good"
    with pytest.raises(OmnitrackError, match="video bad"):
        next(videos)


@needs(DEVELOPMENT)
def test_development_clips() -> None:
    videos = [(video.frames.shape, len(video.points)) for video in load_tapvid(DEVELOPMENT)]
    assert len(videos) == 10
    assert sum(tracks for _, tracks in videos) == 197
    assert {(shape[0], shape[1]) for shape, _ in videos} == {(32, 480)}


# --- selection --------------------------------------------------------------------------------------------------
def test_selected_videos_in_the_order_of_the_dataset(tmp_path: Path) -> None:
    path = save(tmp_path / "a.pkl", {"one": entry(), "two": {}, "three": entry()})
    assert [video.name for video in load_tapvid(path, ["three", "one"])] == ["one", "three"]


def test_unknown_name(tmp_path: Path) -> None:
    path = save(tmp_path / "a.pkl", {"breakdance": entry(), "goat": entry()})
    with pytest.raises(OmnitrackError, match="has no video brakedance") as caught:
        next(load_tapvid(path, ["goat", "brakedance"]))
    assert caught.value.hint == "did you mean breakdance?"
    with pytest.raises(OmnitrackError) as caught:
        next(load_tapvid(path, ["xyz"]))
    assert caught.value.hint == "it has breakdance, goat"


def test_unknown_name_in_shards(tmp_path: Path) -> None:
    save(tmp_path / "k" / "a.pkl", [entry()])
    save(tmp_path / "k" / "b.pkl", [entry()])
    assert [video.name for video in load_tapvid(tmp_path / "k", ["video_001"])] == ["video_001"]
    with pytest.raises(OmnitrackError, match="has no video video_002"):
        list(load_tapvid(tmp_path / "k", ["video_001", "video_002"]))


def test_file_stem() -> None:
    assert file_stem("abc-12_3 x") == "abc-12_3 x"
    assert file_stem("a/b") == "a%2Fb"


# --- malformed --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"points": None}, "has no 'points'; its keys are video, occluded"),
        ({"video": None}, "has no 'video'"),
        ({"points": np.zeros((2, 3))}, r"has points of shape \(2, 3\)"),
        ({"points": np.zeros((2, 3, 3))}, r"has points of shape \(2, 3, 3\)"),
        ({"points": "abc"}, "not arrays of numbers"),
        ({"points": np.zeros((3, 2, 2))}, r"points of shape \(3, 2, 2\) but occluded of shape \(2, 3\)"),
        ({"points": np.zeros((2, 4, 2)), "occluded": np.zeros((2, 4), bool)}, "has 3 frames but tracks of 4"),
        ({"occluded": np.full((2, 3), 0.5)}, "other than true and false"),
        ({"points": np.full((2, 3, 2), np.nan), "occluded": np.zeros((2, 3), bool)}, r"not finite \(NaN\)"),
        ({"points": np.full((2, 3, 2), 97.0), "occluded": np.zeros((2, 3), bool)}, "visible point at 97; .* fractions"),
        ({"video": np.zeros((3, 8, 12), np.uint8)}, r"not \(T, H, W, 3\) uint8 but uint8 \(3, 8, 12\)"),
        ({"video": np.zeros((3, 8, 12, 3))}, "uint8 but float64"),
        ({"video": np.zeros((3, 0, 12, 3), np.uint8)}, "3 frames of 12x0"),
        ({"video": "frames/"}, "uint8 but str"),
        ({"video": []}, r"uint8 but uint8 \(0,\)"),
        ({"video": [b"", b"", b""]}, "has a frame 0 that is not a JPEG or PNG"),
        ({"video": [1, 2, 3]}, "has a frame 0 that is a int"),
        ({"video": [np.zeros((8, 12, 3), np.uint8), np.zeros((8, 10, 3), np.uint8)]}, "mixes frames of"),
    ],
)
def test_malformed_video(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    item = {key: value for key, value in (entry() | changes).items() if value is not None}
    with pytest.raises(OmnitrackError, match=rf"video cat of .*a\.pkl .*{message}"):
        list(load_tapvid(save(tmp_path / "a.pkl", {"cat": item})))


def test_damaged_frame(tmp_path: Path) -> None:
    frames = encoded(entry()["video"], ".png")
    frames[1] = frames[1][:20]
    with pytest.raises(OmnitrackError, match="has a frame 1 that is not a JPEG or PNG image"):
        list(load_tapvid(save(tmp_path / "a.pkl", {"a": entry() | {"video": frames}})))


def test_single_frame(tmp_path: Path) -> None:
    with pytest.raises(OmnitrackError, match="has 1 frames of 12x8; two or more"):
        list(load_tapvid(save(tmp_path / "a.pkl", [entry(length=1)])))


def test_hidden_points_may_be_anywhere(tmp_path: Path) -> None:
    item = entry() | {"occluded": np.ones((2, 3), bool), "points": np.full((2, 3, 2), np.nan)}
    assert next(load_tapvid(save(tmp_path / "a.pkl", [item]))).occluded.all()


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({}, "holds no videos"),
        ([], "holds no videos"),
        (np.zeros(3), "it holds a ndarray"),
        ("text", "it holds a str"),
        ({"cat": 3}, "video cat .* is a int, not a dict"),
        (entry(), "video video .* is a ndarray, not a dict"),
        ({"..": entry()}, r"names a video '\.\.'"),
    ],
)
def test_not_a_dataset(tmp_path: Path, dataset: Any, message: str) -> None:
    with pytest.raises(OmnitrackError, match=message):
        list(load_tapvid(save(tmp_path / "a.pkl", dataset)))


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(OmnitrackError, match=r"there is no dataset at .*none\.pkl"):
        list(load_tapvid(tmp_path / "none.pkl"))
    with pytest.raises(OmnitrackError, match=r"there is no dataset at .*\*\.pkl"):
        list(load_tapvid(tmp_path / "*.pkl"))
    with pytest.raises(OmnitrackError, match=r"has no \*\.pkl in it"):
        list(load_tapvid(tmp_path))


def test_truncated(tmp_path: Path) -> None:
    path = save(tmp_path / "a.pkl", {"a": entry()})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(OmnitrackError, match=r"a\.pkl is damaged or not a pickle"):
        list(load_tapvid(path))


# --- coordinates and queries ------------------------------------------------------------------------------------
def test_raster_is_pixel_plus_a_half() -> None:
    size = (8, 4)
    # The first pixel's corner and centre, the frame's centre, the last pixel's centre and far corner.
    raster = np.array([[0, 0], [1 / 16, 1 / 8], [0.5, 0.5], [15 / 16, 7 / 8], [1, 1]])
    pixels = np.array([[-0.5, -0.5], [0, 0], [3.5, 1.5], [7, 3], [7.5, 3.5]])
    np.testing.assert_array_equal(raster_to_pixels(raster, size), pixels)
    np.testing.assert_array_equal(pixels_to_raster(pixels, size), raster)


def test_tapvid_queries() -> None:
    np.testing.assert_array_equal(tapvid_queries_to_pixels(np.array([[3, 10.5, 20.5]])), [[3, 20, 10]])


def test_strided_queries() -> None:
    occluded = np.ones((3, 12), bool)
    occluded[0, [0, 3, 10]] = False
    occluded[1, [5, 6]] = False
    occluded[2, [0, 5, 11]] = False
    points = np.random.default_rng(0).random((3, 12, 2))
    queries = sample_queries(points, occluded, "strided")
    # Frames 0, 5 and 10 are query frames; in each, the visible tracks in order.
    expected = [(0, 0), (0, 2), (5, 1), (5, 2), (10, 0)]
    assert queries.frames.tolist() == [frame for frame, _ in expected]
    np.testing.assert_array_equal(queries.points, [points[track] for _, track in expected])
    np.testing.assert_array_equal(queries.occluded, [occluded[track] for _, track in expected])


def test_first_queries() -> None:
    occluded = np.ones((3, 6), bool)
    occluded[0, [2, 4]] = False
    occluded[2, 0] = False  # track 1 is never visible: no query
    points = np.random.default_rng(0).random((3, 6, 2))
    queries = sample_queries(points, occluded, "first")
    assert queries.frames.tolist() == [2, 0]
    np.testing.assert_array_equal(queries.points, points[[0, 2]])
    with pytest.raises(OmnitrackError, match="no query mode"):
        sample_queries(points, occluded, "last")


def test_no_visible_point_asks_nothing() -> None:
    for mode in ("strided", "first"):
        queries = sample_queries(np.zeros((2, 6, 2)), np.ones((2, 6), bool), mode)
        assert len(queries) == 0
        assert queries.points.shape == (0, 6, 2)
        assert queries.pixels((8, 8)).shape == (0, 3)


def test_query_pixels() -> None:
    points = np.zeros((2, 6, 2))
    points[0, 2] = (0.25, 0.5)
    points[1, 0] = (1.0001, -0.0001)  # annotated slightly outside
    occluded = np.ones((2, 6), bool)
    occluded[0, 2] = occluded[1, 0] = False
    queries = sample_queries(points, occluded, "first")
    np.testing.assert_allclose(queries.pixels((16, 8)), [[2, 3.5, 3.5], [0, 15.5, -0.5]])
