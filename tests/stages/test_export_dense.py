"""Dense exports of an exact field: they map pixels to where the scene has them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from omnitrack.config import load_settings
from omnitrack.errors import OmnitrackError, UsageError
from omnitrack.motion.field import FieldTracks
from omnitrack.project.project import Project
from omnitrack.stages.export_dense import DenseOptions, export_dense, parse_matte, sequence_pattern
from omnitrack.stages.init import init_from_frames
from omnitrack.synthetic.maps import Similarity
from omnitrack.synthetic.scene import Layer, SyntheticScene
from omnitrack.synthetic.scenes import two_planes
from omnitrack.synthetic.shapes import Plane

SIZE, FRAMES, SHRINK = (192, 128), 5, 2


class ExactField:
    """The motion of a scene as a fitted field of a shrunk project: in pixels of the working frames."""

    def __init__(self, scene: SyntheticScene, shrink: int) -> None:
        self.scene, self.shrink, self.num_frames = scene, shrink, scene.num_frames

    def track(self, source: int, pixels: NDArray[np.floating], targets: Sequence[int]) -> FieldTracks:
        whole = (np.asarray(pixels, np.float64) + 0.5) * self.shrink - 0.5
        places, seen = self.scene.tracks(np.column_stack([np.full(len(whole), source), whole]))
        working = (places[:, targets] + 0.5) / self.shrink - 0.5
        return FieldTracks(working.astype(np.float32), np.zeros(working.shape[:2], np.float32), seen[:, targets])

    def depth_map(self, frame: int) -> NDArray[np.float32]:
        raise AssertionError("nobody needs it")

    canonical_map = depth_map


def turning_scene() -> SyntheticScene:
    """One plane that turns, grows and shifts."""
    background = two_planes(SIZE, FRAMES).layers[-1]

    def motion(t: int) -> Similarity:
        return Similarity(96 + 1.5 * t, 64 - t, 0.02 * t, 1.01**t)

    return SyntheticScene(SIZE, FRAMES, [Layer("plane", Plane(), background.texture, motion)])


def project_of(scene: SyntheticScene, root: Path, shrink: int = SHRINK) -> tuple[Project, ExactField]:
    settings = load_settings(overrides={"init.max_size": scene.size[0] // shrink})
    init_from_frames(scene.frames(), root, settings, 12.0, "scene")
    return Project(root), ExactField(scene, shrink)


@pytest.fixture
def turning(tmp_path: Path) -> tuple[SyntheticScene, Project, ExactField]:
    scene = turning_scene()
    return scene, *project_of(scene, tmp_path / "clip")


def read_channels(path: Path) -> dict[str, NDArray[np.floating]]:
    """Channels of an EXR, by the package; skips without it."""
    package = pytest.importorskip("OpenEXR")
    with package.File(str(path), separate_channels=True) as file:
        return {name: channel.pixels.astype(np.float64) for name, channel in file.channels().items()}


def warped_by_nuke(picture: NDArray[np.float32], channels: dict[str, NDArray[np.floating]]) -> NDArray[np.float32]:
    """Warp an image as Nuke's STMap node does: sample where red and green point."""
    height, width = channels["R"].shape
    x = channels["R"] * width - 0.5
    y = height - channels["G"] * height - 0.5
    return np.asarray(cv2.remap(picture, x.astype(np.float32), y.astype(np.float32), cv2.INTER_CUBIC))


def blob(x: float, y: float) -> NDArray[np.float32]:
    """Return a soft spot at (x, y)."""
    columns, rows = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 3.0**2)).astype(np.float32)


def centre_of(picture: NDArray[np.floating]) -> NDArray[np.float64]:
    rows, columns = np.indices(picture.shape)
    weight = np.where(picture > 0.05, picture, 0)
    return np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()


@pytest.mark.parametrize(("bits", "limit_px"), [(32, 0.1), (16, 0.1)])
def test_what_an_stmap_warps_lands_where_it_should(
    turning: tuple[SyntheticScene, Project, ExactField], tmp_path: Path, bits: int, limit_px: float
) -> None:
    pytest.importorskip("OpenEXR")
    scene, project, field = turning
    report = export_dense(project, "stmap", tmp_path / "maps", DenseOptions(frame=1, bits=bits), field=field)
    assert report.frames == FRAMES and report.size == SIZE
    assert sorted(path.name for path in (tmp_path / "maps").iterdir())[0] == "stmap.0001.exr"
    for x, y in ((60.0, 40.0), (130.25, 90.5)):
        truth = scene.tracks(np.array([[1, x, y]]))[0][0]
        for frame in range(FRAMES):
            channels = read_channels(tmp_path / "maps" / f"stmap.{frame + 1:04d}.exr")
            landed = centre_of(warped_by_nuke(blob(x, y), channels))
            assert np.abs(landed - truth[frame]).max() < limit_px, (frame, landed, truth[frame])


def test_there_and_back(turning: tuple[SyntheticScene, Project, ExactField], tmp_path: Path) -> None:
    """Through the map to frame 0 and the one to the last frame, an image returns to where it was."""
    pytest.importorskip("OpenEXR")
    _, project, field = turning
    for frame in (0, FRAMES - 1):
        export_dense(project, "stmap", tmp_path / str(frame), DenseOptions(frame=frame), field=field)
    away = read_channels(tmp_path / "0" / f"stmap.{FRAMES:04d}.exr")
    home = read_channels(tmp_path / str(FRAMES - 1) / "stmap.0001.exr")
    back = warped_by_nuke(warped_by_nuke(blob(90, 70), away), home)
    assert_allclose(centre_of(back), [90, 70], atol=0.1)


def test_stmap_says_what_is_seen(tmp_path: Path) -> None:
    """Where the near strip occludes the far plane in the other frame, alpha is 0."""
    pytest.importorskip("OpenEXR")
    scene = two_planes(SIZE, FRAMES)
    project, field = project_of(scene, tmp_path / "clip", 1)
    export_dense(project, "stmap", tmp_path / "maps", DenseOptions(frame=0), field=field)
    _, seen = scene.flow(4, 0)
    alpha = read_channels(tmp_path / "maps" / "stmap.0005.exr")["A"]
    assert (alpha == seen).mean() > 0.999  # all but the corners of the occluded part


def test_motion_vectors(turning: tuple[SyntheticScene, Project, ExactField], tmp_path: Path) -> None:
    pytest.importorskip("OpenEXR")
    scene, project, field = turning
    export_dense(project, "motion-vectors", tmp_path / "v.####.exr", DenseOptions(first_frame=1001), field=field)
    found = read_channels(tmp_path / "v.1003.exr")
    inside = (slice(2, -2), slice(2, -2))
    for layer, other in (("forward", 3), ("backward", 1)):
        truth = scene.flow(2, other)[0][inside]
        assert_allclose(found[f"{layer}.u"][inside], truth[..., 0], atol=0.02)
        assert_allclose(found[f"{layer}.v"][inside], -truth[..., 1], atol=0.02)
    last = read_channels(tmp_path / "v.1005.exr")
    assert not last["forward.u"].any() and last["backward.u"].any()


def test_flow_files(turning: tuple[SyntheticScene, Project, ExactField], tmp_path: Path) -> None:
    scene, project, field = turning
    report = export_dense(project, "flo", tmp_path / "flow", DenseOptions(), field=field)
    assert report.frames == FRAMES - 1
    assert sorted(path.name for path in (tmp_path / "flow").iterdir()) == [
        f"flo.{t:04d}.flo" for t in range(FRAMES - 1)
    ]
    inside = (slice(2, -2), slice(2, -2))
    truth, seen = scene.flow(3, 4)
    assert_allclose(cv2.readOpticalFlow(str(tmp_path / "flow" / "flo.0003.flo"))[inside], truth[inside], atol=0.01)
    export_dense(project, "kitti", tmp_path / "kitti", DenseOptions(), field=field)
    picture = cv2.imread(str(tmp_path / "kitti" / "kitti.0003.png"), cv2.IMREAD_UNCHANGED)[..., ::-1].astype(float)
    valid = picture[..., 2] > 0
    assert (valid == seen)[inside].mean() > 0.99
    both = valid & seen
    both[:2] = both[-2:] = both[:, :2] = both[:, -2:] = False
    assert_allclose((picture[..., :2][both] - 2**15) / 64, truth[both], atol=0.02)


def test_matte_is_carried_with_soft_edges(turning: tuple[SyntheticScene, Project, ExactField], tmp_path: Path) -> None:
    scene, project, field = turning
    cv2.imwrite(str(tmp_path / "matte.png"), np.rint(65535 * blob(80, 60)).astype(np.uint16))
    options = DenseOptions(*reversed(parse_matte(f"{tmp_path / 'matte.png'}@1")))
    export_dense(project, "matte", tmp_path / "mattes", options, field=field)
    truth = scene.tracks(np.array([[1, 80, 60]]))[0][0]
    for frame in range(FRAMES):
        found = cv2.imread(str(tmp_path / "mattes" / f"matte.{frame + 1:04d}.png"), cv2.IMREAD_UNCHANGED)
        assert found.dtype == np.uint16 and found.shape == SIZE[::-1]
        assert len(np.unique(found)) > 50  # as soft as before
        assert_allclose(centre_of(found / 65535), truth[frame], atol=0.1)


def test_camera(turning: tuple[SyntheticScene, Project, ExactField], tmp_path: Path) -> None:
    scene, project, field = turning
    export_dense(project, "camera", tmp_path / "camera.json", DenseOptions(frame=1), field=field)
    found = json.loads((tmp_path / "camera.json").read_text())
    assert found["reference_frame"] == 2 and [frame["frame"] for frame in found["frames"]] == [1, 2, 3, 4, 5]
    truth = scene.tracks(np.array([[1, 50, 40], [1, 140, 90]]))[0]
    for t, frame in enumerate(found["frames"]):
        matrix = np.array(frame["matrix"])
        assert_allclose([matrix @ [50, 40, 1], matrix @ [140, 90, 1]], truth[:, t], atol=0.05)
    export_dense(project, "camera-nuke", tmp_path / "camera.nk", DenseOptions(), field=field)
    assert (tmp_path / "camera.nk").read_text().startswith("CornerPin2D {\nto1 {{curve x1 0.0000 x2 ")


def test_nothing_crosses_a_cut(tmp_path: Path) -> None:
    scene = turning_scene()
    init_from_frames(scene.frames(), tmp_path / "clip", load_settings(overrides={"init.cuts": "3"}), 12.0, "scene")
    project, field = Project(tmp_path / "clip"), ExactField(scene, 1)
    assert export_dense(project, "flo", tmp_path / "flow", DenseOptions(), field=field).frames == 3
    assert not (tmp_path / "flow" / "flo.0002.flo").exists()
    assert export_dense(project, "camera", tmp_path / "c.json", DenseOptions(), field=field).frames == 3


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("maps", "maps/stmap.%04d.exr"),
        ("maps/shot.%06d.exr", "maps/shot.%06d.exr"),
        ("maps/shot.#####.exr", "maps/shot.%05d.exr"),
        ("50%/maps", "50%%/maps/stmap.%04d.exr"),
    ],
)
def test_names_of_a_sequence(output: str, expected: str) -> None:
    assert sequence_pattern(Path(output), "stmap", ".exr") == expected


def test_a_sequence_is_no_single_file() -> None:
    with pytest.raises(OmnitrackError, match=r"a file a frame, and one\.exr names one") as caught:
        sequence_pattern(Path("one.exr"), "stmap", ".exr")
    assert caught.value.hint == "name a folder, or one.%04d.exr"


@pytest.mark.parametrize(("output", "name", "suffix"), [("m.%04d.tif", "matte", ".png"), ("f.####", "flo", ".flo")])
def test_a_sequence_is_called_what_it_is(output: str, name: str, suffix: str) -> None:
    with pytest.raises(OmnitrackError, match=f"{name} is written as {suffix}, and {output} names other") as caught:
        sequence_pattern(Path(output), name, suffix)
    assert caught.value.hint == f"name a folder, or {name}.%04d{suffix}"


@pytest.mark.parametrize(("bits", "limit"), [(None, 2**-11), (32, 1e-6)])
def test_a_matte_is_an_exr_where_that_is_asked_for(
    turning: tuple[SyntheticScene, Project, ExactField], tmp_path: Path, bits: int | None, limit: float
) -> None:
    pytest.importorskip("OpenEXR")
    _, project, field = turning
    cv2.imwrite(str(tmp_path / "matte.png"), np.rint(65535 * blob(80, 60)).astype(np.uint16))
    for output, asked in (("png", None), ("exr/m.%04d.exr" if bits is None else "exr", bits)):
        export_dense(project, "matte", tmp_path / output, DenseOptions(1, tmp_path / "matte.png", asked), field=field)
    for grey, light in zip(*(sorted((tmp_path / kind).iterdir()) for kind in ("png", "exr")), strict=True):
        expected = cv2.imread(str(grey), cv2.IMREAD_UNCHANGED) / 65535
        found = read_channels(light)
        assert set(found) == set("RGBA") and light.suffix == ".exr"
        for values in found.values():
            assert_allclose(values, expected, atol=limit + 1 / 65535)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("flo", DenseOptions(frame=9), "there is no frame 9"),
        ("matte", DenseOptions(), "--matte FILE@T go together"),
        ("flo", DenseOptions(bits=16), "--bits is for EXR"),
        ("matte", DenseOptions(matte=Path("none.png")), "there is no matte at none.png"),
    ],
)
def test_what_is_refused(
    turning: tuple[SyntheticScene, Project, ExactField],
    tmp_path: Path,
    name: str,
    options: DenseOptions,
    message: str,
) -> None:
    _, project, field = turning
    with pytest.raises(OmnitrackError, match=message):
        export_dense(project, name, tmp_path / "out", options, field=field)


def test_mattes_that_do_not_fit(turning: tuple[SyntheticScene, Project, ExactField], tmp_path: Path) -> None:
    _, project, field = turning
    for picture, message in ((np.zeros((10, 10)), "is 10x10, the video is 192x128"), (np.zeros((128, 192)), "nothing")):
        cv2.imwrite(str(tmp_path / "m.png"), picture.astype(np.uint8))
        with pytest.raises(OmnitrackError, match=message):
            export_dense(project, "matte", tmp_path / "out", DenseOptions(matte=tmp_path / "m.png"), field=field)
    with pytest.raises(UsageError, match="is not FILE@T"):
        parse_matte("m.png")


def test_the_command(
    turning: tuple[SyntheticScene, Project, ExactField],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from omnitrack.cli.app import execute

    _, project, field = turning
    loaded: Callable[..., ExactField] = lambda *_: field  # noqa: E731
    monkeypatch.setattr("omnitrack.stages.fit.load_field", loaded)
    root, out = str(project.root), str(tmp_path / "flow")
    assert execute(["export", root, "--as", "flo", "-o", out]) == 0
    assert (tmp_path / "flow" / "flo.0000.flo").is_file()
    for wrong, message in (
        (["--as", "flo"], "cannot go to standard output"),
        (["--as", "flo", "-o", out, "--hidden", "drop"], "--hidden is for tracks"),
        (["--as", "nuke", "-o", out, "--frame", "3"], "--frame is for stmap"),
        (["--matte", "m.png@0", "-o", out, "--frame", "3"], "says its frame itself"),
    ):
        capfd.readouterr()
        assert execute(["export", root, *wrong]) == 2
        assert message in " ".join(capfd.readouterr().err.split())
