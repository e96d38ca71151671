"""From command-line arguments to rows (t, x, y) in pixels of the original video."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from omnitrack.errors import OmnitrackError, UsageError
from omnitrack.project.frames_meta import FramesMeta, write_meta
from omnitrack.project.project import Project
from omnitrack.stages.query_points import build_queries, parse_frames


def make_project(root: Path, original: tuple[int, int], working: tuple[int, int], count: int = 5) -> Project:
    """Make a project for `build_queries`: sizes and a number of frames; no pixel is read."""
    (root / "frames").mkdir(parents=True)
    write_meta(root / "frames", FramesMeta("clip.mp4", count, 24.0, working, original, list(range(count)), "abc"))
    return Project(root)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Five frames, 12 x 8 pixels, with working frames of 6 x 4."""
    return make_project(tmp_path / "project", (12, 8), (6, 4))


def save_mask(path: Path, image: np.ndarray) -> str:
    assert cv2.imwrite(str(path), image)
    return str(path)


def test_points_keep_their_values_and_order(project: Project) -> None:
    queries = build_queries(project, points=["3.25,4@2", "0,0", "11.5,-0.5@4", "3.25,4@2", " 1 , 2 @ 3 "])
    assert queries.dtype == np.float32
    expected = [[2, 3.25, 4], [0, 0, 0], [4, 11.5, -0.5], [2, 3.25, 4], [3, 1, 2]]
    np.testing.assert_array_equal(queries, np.float32(expected))


def test_every_way_at_once_in_the_order_of_the_arguments(project: Project, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("1,2,3\n")
    mask = np.zeros((8, 12), np.uint8)
    mask[6, 5] = 255
    queries = build_queries(
        project, ["1,1@4"], tmp_path / "p.csv", ["1@2"], [save_mask(tmp_path / "m.png", mask) + "@3"], [0]
    )
    np.testing.assert_array_equal(queries[:4], np.float32([[4, 1, 1], [1, 2, 3], [2, 5.5, 3.5], [3, 5, 6]]))
    assert len(queries) == 4 + 6 * 4


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "a,2", "1,2@x", "1,2@1.5", "1;2", "1,2@", "@1", "1,"])
def test_a_point_of_another_form(project: Project, text: str) -> None:
    with pytest.raises(UsageError, match="is not X,Y@T") as caught:
        build_queries(project, points=[text])
    assert repr(text) in caught.value.message
    assert caught.value.hint == "for example --point 120.5,64@0"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("1,2@5", "its frames are 0 to 4"),
        ("1,2@-1", "its frames are 0 to 4"),
        ("nan,2@0", "not finite"),
        ("1,inf", "not finite"),
        ("-0.51,2", "outside of the frame of 12x8: x is -0.5 to 11.5, y is -0.5 to 7.5"),
        ("11.51,2", "outside of the frame"),
        ("1,-1", "outside of the frame"),
        ("1,7.6", "outside of the frame"),
    ],
)
def test_a_point_that_is_not_in_the_video(project: Project, text: str, cause: str) -> None:
    with pytest.raises(OmnitrackError, match=cause) as caught:
        build_queries(project, points=["1,1", text])
    assert f"--point {text} " in caught.value.message


def test_no_queries_at_all(project: Project) -> None:
    with pytest.raises(UsageError, match="nothing to track") as caught:
        build_queries(project)
    for option in ("--point", "--points", "--grid", "--mask", "--dense"):
        assert option in str(caught.value.hint)


def test_grid_is_square_and_centred(project: Project) -> None:
    # 12 x 8 pixels in cells of 4: three across, two down, each point in the middle of its cell.
    expected = [[1, 1.5, 1.5], [1, 5.5, 1.5], [1, 9.5, 1.5], [1, 1.5, 5.5], [1, 5.5, 5.5], [1, 9.5, 5.5]]
    np.testing.assert_array_equal(build_queries(project, grids=["3@1"]), np.float32(expected))


def test_grid_where_the_height_is_no_multiple(tmp_path: Path) -> None:
    # 10 x 7 in cells of 5: 1.4 rows, so one, in the middle; 3 columns: 2.1 rows of 10/3, so two about the middle.
    project = make_project(tmp_path, (10, 7), (10, 7))
    np.testing.assert_array_equal(build_queries(project, grids=["2"]), np.float32([[0, 2, 3], [0, 7, 3]]))
    rows = build_queries(project, grids=["3"])[:, 2]
    np.testing.assert_allclose(rows, np.repeat([3 - 5 / 3, 3 + 5 / 3], 3), rtol=1e-6)


def test_finest_grid_is_every_pixel(project: Project) -> None:
    queries = build_queries(project, grids=["12"])
    np.testing.assert_array_equal(queries[:, 1:], [(x, y) for y in range(8) for x in range(12)])


@pytest.mark.parametrize("text", ["0@0", "13@0", "x@0", "-3", "3.5", "3@a", ""])
def test_a_grid_of_another_form(project: Project, text: str) -> None:
    with pytest.raises(UsageError, match="is not N@T with N columns, 1 to 12"):
        build_queries(project, grids=[text])


def test_grid_on_a_missing_frame(project: Project) -> None:
    with pytest.raises(OmnitrackError, match=r"--grid 3@9 .*its frames are 0 to 4"):
        build_queries(project, grids=["3@9"])


def test_dense_is_every_working_pixel_row_by_row(project: Project) -> None:
    # A working pixel covers 2 x 2 pixels of the video: its centre lies between them.
    expected = [[2, 2 * x + 0.5, 2 * y + 0.5] for y in range(4) for x in range(6)]
    np.testing.assert_array_equal(build_queries(project, dense=[2]), np.float32(expected))
    np.testing.assert_array_equal(build_queries(project, dense=["2"]), np.float32(expected))


@pytest.mark.parametrize("frame", [5, -1, "5"])
def test_dense_on_a_missing_frame(project: Project, frame: int | str) -> None:
    with pytest.raises(OmnitrackError, match=f"--dense {frame} .*its frames are 0 to 4"):
        build_queries(project, dense=[frame])


def test_dense_of_another_form(project: Project) -> None:
    with pytest.raises(UsageError, match=r"'1\.5' is not a frame"):
        build_queries(project, dense=["1.5"])


def test_mask_of_the_videos_size(project: Project, tmp_path: Path) -> None:
    mask = np.zeros((8, 12), np.uint8)
    mask[2, 3:5] = 1
    mask[7, 11] = 255
    path = save_mask(tmp_path / "m@2x.png", mask)  # an @ in the name is not a frame
    expected = [[3, 2], [4, 2], [11, 7]]
    for text, frame in ((path, 0), (path + "@4", 4)):
        queries = build_queries(project, masks=[text])
        np.testing.assert_array_equal(queries, np.float32([[frame, x, y] for x, y in expected]))


def test_mask_of_the_working_size(project: Project, tmp_path: Path) -> None:
    mask = np.zeros((4, 6), np.uint8)
    mask[3, 5] = mask[0, 0] = 9
    queries = build_queries(project, masks=[save_mask(tmp_path / "m.png", mask)])
    np.testing.assert_array_equal(queries, np.float32([[0, 0.5, 0.5], [0, 10.5, 6.5]]))


def test_mask_spacing(project: Project, tmp_path: Path) -> None:
    mask = np.ones((8, 12), np.uint8)
    mask[:, 6:] = 0
    path = save_mask(tmp_path / "m.png", mask)
    queries = build_queries(project, masks=[path], mask_spacing=3)
    np.testing.assert_array_equal(queries[:, 1:], [(x, y) for y in (1, 4, 7) for x in (1, 4)])
    one = np.zeros((8, 12), np.uint8)
    one[0, 0] = 1
    with pytest.raises(OmnitrackError, match="no marked pixel left at a spacing of 3"):
        build_queries(project, masks=[save_mask(tmp_path / "one.png", one)], mask_spacing=3)
    with pytest.raises(UsageError, match="spacing of 0"):
        build_queries(project, masks=[path], mask_spacing=0)


@pytest.mark.parametrize("kind", ["16-bit", "colour", "alpha", "opaque", "1-bit"])
def test_mask_kinds(project: Project, tmp_path: Path, kind: str) -> None:
    area = np.zeros((8, 12), bool)
    area[1:3, 4:6] = True
    image = {
        "16-bit": area.astype(np.uint16),  # a value of 1 in 65535 is marked
        "colour": area[..., None] * np.array([0, 0, 200], np.uint8),
        "alpha": np.dstack([np.zeros((8, 12, 3), np.uint8), area.astype(np.uint8) * 128]),  # black paint on clear
        "opaque": np.dstack([np.repeat(area[..., None] * np.uint8(255), 3, 2), np.full((8, 12), 255, np.uint8)]),
        "1-bit": area.astype(np.uint8) * 255,
    }[kind]
    path = tmp_path / "m.png"
    if kind == "1-bit":
        assert cv2.imwrite(str(path), image, [cv2.IMWRITE_PNG_BILEVEL, 1])
    else:
        save_mask(path, image)
    queries = build_queries(project, masks=[str(path)])
    np.testing.assert_array_equal(queries[:, 1:], [(4, 1), (5, 1), (4, 2), (5, 2)])


def test_jpeg_mask(tmp_path: Path) -> None:
    """Lossy black is not exactly black: some of it would count as marked."""
    project = make_project(tmp_path / "project", (96, 64), (96, 64))
    area = np.zeros((64, 96), np.uint8)
    area[21:43, 35:50] = 255
    path = save_mask(tmp_path / "m.jpg", area)
    assert (cv2.imread(path, cv2.IMREAD_GRAYSCALE)[area == 0] > 0).any()
    assert len(build_queries(project, masks=[path])) == 22 * 15


def test_bad_masks(project: Project, tmp_path: Path) -> None:
    empty = save_mask(tmp_path / "empty.png", np.zeros((8, 12), np.uint8))
    other = save_mask(tmp_path / "other.png", np.ones((8, 8), np.uint8))
    good = save_mask(tmp_path / "good.png", np.ones((8, 12), np.uint8))
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "none.png").touch()
    (tmp_path / "half.png").write_bytes(Path(good).read_bytes()[:-8])
    for name, cause in (
        (empty, "is empty: no pixel of it is marked"),
        (other, "is 8x8"),
        (str(tmp_path / "missing.png"), "there is no mask at"),
        (str(tmp_path), "there is no mask at"),
        (str(tmp_path / "text.png"), "text.png is damaged or not an image"),
        (str(tmp_path / "none.png"), "none.png is empty"),
        (str(tmp_path / "half.png"), "half.png is damaged or truncated"),
        (good + "@x", "there is no mask at .*@x"),
        (good + "@7", "its frames are 0 to 4"),
    ):
        with pytest.raises(OmnitrackError, match=cause) as caught:
            build_queries(project, masks=[name])
        assert caught.value.hint
    with pytest.raises(OmnitrackError) as caught:
        build_queries(project, masks=[other])
    assert caught.value.hint == "give one of the frames' size: 12x8 or 6x4"


@pytest.mark.parametrize(
    ("text", "num_frames", "expected"),
    [
        (":", 7, range(0, 7)),
        ("2:", 7, range(2, 7)),
        (":3", 7, range(0, 3)),
        ("2:5", 7, range(2, 5)),
        (" 6 : 7 ", 7, range(6, 7)),
        ("0:7", 7, range(0, 7)),
    ],
)
def test_frames(text: str, num_frames: int, expected: range) -> None:
    assert parse_frames(text, num_frames) == expected


@pytest.mark.parametrize("text", ["", "3", "a:b", "-1:3", "1:-1", "1:2:3", "1.5:3"])
def test_frames_of_another_form(text: str) -> None:
    with pytest.raises(UsageError, match="is not A:B"):
        parse_frames(text, 7)


@pytest.mark.parametrize("text", ["3:3", "5:2", "0:8", "7:", ":0"])
def test_frames_that_are_not_there(text: str) -> None:
    with pytest.raises(OmnitrackError, match="project's 7 frames") as caught:
        parse_frames(text, 7)
    assert "0:7" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("rows", "cause"),
    [
        ("0,1,2\n\n1.5,1,2\n", "line 3 .*a frame that is not a whole number"),
        ("0,1,2\n5,1,2\n", "line 2 .*its frames are 0 to 4"),
        ("0,1,2\n0,nan,2\n", "line 2 .*is not a number"),
        ("0,1,2\n0,1e999,2\n", "line 2 .*not finite"),
        ("t,x,y\n0,1,2\n0,40,2\n", "line 3 .*outside of the frame"),
    ],
)
def test_a_file_with_a_point_that_is_not_in_the_video(project: Project, tmp_path: Path, rows: str, cause: str) -> None:
    (tmp_path / "p.csv").write_text(rows)
    with pytest.raises(OmnitrackError, match=cause):
        build_queries(project, points_file=str(tmp_path / "p.csv"))
