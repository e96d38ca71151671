"""`init`: the frames of a project are the video's, or there is no project."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from shared_data import DATA

from omnitrack.config import load_settings
from omnitrack.errors import OmnitrackError
from omnitrack.progress import Progress, Task
from omnitrack.project.project import Project
from omnitrack.settings import InitSettings, Settings
from omnitrack.stages import init
from omnitrack.stages.init import init_from_frames, init_project, working_size

REPOSITORY = Path(__file__).parents[2]
CLIPS = DATA / "clips"


def chosen(**values: float) -> Settings:
    return Settings(init=replace(InitSettings(), **values))  # type: ignore[arg-type]


def all_frames(root: Path) -> NDArray[np.uint8]:
    project = Project(root)
    return np.stack([project.frame(k) for k in range(project.num_frames)])


class Recorder(Progress):
    """Records the messages of a stage."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.total = self.steps = 0

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def task(self, name: str, total: int, done: int = 0, unit: str = "steps") -> Task:
        recorder, recorder.total = self, total

        class Counter(Task):
            def advance(self, steps: int = 1, **values: float | str) -> None:
                recorder.steps += steps

        return Counter()


# --- what is kept -----------------------------------------------------------------------------------------------
def test_video_becomes_a_project(tmp_path: Path, video_file: Path, clip: NDArray[np.uint8]) -> None:
    root, progress = tmp_path / "new" / "project", Recorder()
    report = init_project(video_file, root, Settings(), progress)
    assert (report.frames, report.fps, report.size, report.original_size) == (8, 12.0, (64, 48), (64, 48))
    assert (report.project, report.source) == (str(root), str(video_file))
    assert sorted(p.name for p in root.iterdir()) == ["frames", "omnitrack.toml"]
    np.testing.assert_array_equal(all_frames(root), clip)
    assert (progress.total, progress.steps, progress.warnings) == (8, 8, [])
    meta = Project(root).meta
    assert (meta.indices, meta.source) == (list(range(8)), str(video_file))
    assert meta.fingerprint == hashlib.sha256(clip.tobytes()).hexdigest()[:16]


def test_settings_are_written_with_the_frames(tmp_path: Path, clip: NDArray[np.uint8]) -> None:
    settings = chosen(stride=2, max_size=32)
    init_from_frames(clip, tmp_path / "p", settings, 12.0, "clip")
    assert load_settings(Project(tmp_path / "p").settings_path) == settings


@pytest.mark.parametrize(
    ("values", "indices", "fps"),
    [
        ({}, [0, 1, 2, 3, 4, 5, 6, 7], 12.0),
        ({"start": 2, "end": 5}, [2, 3, 4], 12.0),
        ({"start": 1, "stride": 3}, [1, 4, 7], 4.0),
        ({"end": 100, "stride": 4}, [0, 4], 3.0),
        ({"stride": 2, "fps": 30.0}, [0, 2, 4, 6], 30.0),
    ],
)
def test_selection(
    tmp_path: Path, clip: NDArray[np.uint8], values: dict[str, float], indices: list[int], fps: float
) -> None:
    progress = Recorder()
    report = init_from_frames(iter(clip), tmp_path / "p", chosen(**values), 12.0, "clip", progress)
    assert (Project(tmp_path / "p").meta.indices, report.fps) == (indices, fps)
    np.testing.assert_array_equal(all_frames(tmp_path / "p"), clip[indices])
    assert progress.total == progress.steps == len(indices)


@pytest.mark.parametrize(
    ("original", "max_size", "expected"),
    [
        ((1280, 546), 854, (854, 364)),
        ((546, 1280), 854, (364, 854)),
        ((640, 480), 854, (640, 480)),  # never enlarged
        ((1920, 1080), 0, (1920, 1080)),
        ((101, 77), 50, (50, 38)),
        ((4000, 3), 100, (100, 1)),
    ],
)
def test_working_size(original: tuple[int, int], max_size: int, expected: tuple[int, int]) -> None:
    assert working_size(original, max_size) == expected


def test_smaller_frames_are_area_means(tmp_path: Path, clip: NDArray[np.uint8]) -> None:
    report = init_from_frames(clip, tmp_path / "p", chosen(max_size=32), 12.0, "clip")
    assert (report.size, report.original_size) == ((32, 24), (64, 48))
    means = clip.reshape(8, 24, 2, 32, 2, 3).mean((2, 4))
    assert np.abs(all_frames(tmp_path / "p") - means).max() <= 0.5
    np.testing.assert_array_equal(Project(tmp_path / "p").to_original(np.array([0.0, 0.0])), [0.5, 0.5])


def test_fingerprint_tells_one_pixel(tmp_path: Path, clip: NDArray[np.uint8]) -> None:
    init_from_frames(clip, tmp_path / "a", Settings(), 12.0, "clip")
    clip[5, 20, 30, 1] ^= 1
    init_from_frames(clip, tmp_path / "b", Settings(), 12.0, "clip")
    assert Project(tmp_path / "a").meta.fingerprint != Project(tmp_path / "b").meta.fingerprint


def test_memory_does_not_grow_with_the_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the disk, only a few frames wait to be written."""
    taken = most = 0
    written: list[Path] = []

    def slow(path: Path, frame: NDArray[np.uint8]) -> None:
        time.sleep(0.005)
        written.append(path)

    def stream() -> Iterator[NDArray[np.uint8]]:
        nonlocal taken, most
        for _ in range(60):
            taken += 1
            most = max(most, taken - len(written))
            yield np.zeros((16, 16, 3), np.uint8)

    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(init, "write_image", slow)
    init_from_frames(stream(), tmp_path / "p", Settings(), 12.0, "stream")
    assert len(written) == 60
    assert most <= 8


def test_project_is_named_after_the_video(video_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert init_project(video_file, None, Settings()).project == "clip"
    assert Project(tmp_path / "here" / "clip").num_frames == 8


def test_current_empty_directory_can_be_the_project(
    tmp_path: Path, clip: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    init_from_frames(clip, Path(), Settings(), 12.0, "clip")
    assert Project(".").num_frames == 8


@pytest.mark.parametrize(
    ("name", "size", "working", "frames"),
    [
        ("carphone_pristine.mp4", (176, 144), (176, 144), 120),
        ("cup.mp4", (640, 480), (640, 480), 217),
        ("motion.mov", (568, 320), (568, 320), 242),
        ("sintel.mp4", (1280, 546), (854, 364), 120),
        ("tree.avi", (320, 240), (320, 240), 68),
    ],
)
def test_real_clips(tmp_path: Path, name: str, size: tuple[int, int], working: tuple[int, int], frames: int) -> None:
    if not (CLIPS / name).is_file():
        pytest.skip(f"{CLIPS / name} is not there")
    report = init_project(CLIPS / name, tmp_path / "p", Settings())
    assert (report.frames, report.original_size, report.size) == (frames, size, working)
    assert Project(tmp_path / "p").frame(frames - 1).std() > 5


# --- refused input ----------------------------------------------------------------------------------------------
def failure(video: Path, root: Path, settings: Settings | None = None) -> OmnitrackError:
    with pytest.raises(OmnitrackError) as caught:
        init_project(video, root, settings or Settings())
    assert caught.value.hint
    return caught.value


def test_existing_project_is_left_alone(tmp_path: Path, video_file: Path, project: Project) -> None:
    before = (project.meta_path.stat().st_mtime_ns, len(list(project.root.rglob("*"))))
    assert failure(video_file, project.root).message == f"{project.root} is already a project"
    assert (project.meta_path.stat().st_mtime_ns, len(list(project.root.rglob("*")))) == before


def test_directory_in_use_is_left_alone(tmp_path: Path, video_file: Path) -> None:
    assert failure(video_file, tmp_path).message == f"{tmp_path} is not empty"
    assert failure(video_file, video_file).message == f"{video_file} is a file"
    assert list(tmp_path.iterdir()) == [video_file]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"start": 500}, "--start 500 leaves 0 frames of {}, which has about 8"),
        ({"start": 7}, "--start 7 leaves 1 frame of {}, which has about 8"),
        ({"start": 4, "end": 2}, "--start 4 --end 2 leaves 0 frames of {}, which has about 8"),
        ({"stride": 8}, "--stride 8 leaves 1 frame of {}, which has about 8"),
    ],
)
def test_selection_of_too_few_frames(tmp_path: Path, video_file: Path, values: dict[str, float], message: str) -> None:
    assert failure(video_file, tmp_path / "p", chosen(**values)).message == message.format(video_file)
    assert not (tmp_path / "p").exists()


def test_single_frame_has_no_motion(tmp_path: Path, clip: NDArray[np.uint8], encode_clip: Callable[..., Path]) -> None:
    path = encode_clip(tmp_path / "one.mp4", clip[:1])
    assert failure(path, tmp_path / "p").message == f"{path} has only 1 frame: there is no motion in it"
    assert not (tmp_path / "p").exists()


def test_truncated_video_is_kept_with_a_warning(
    tmp_path: Path, textured_clip: Callable[..., NDArray[np.uint8]], encode_clip: Callable[..., Path]
) -> None:
    options = ("-c:v", "libx264rgb", "-qp", "0", "-g", "1", "-movflags", "+faststart")
    path = encode_clip(tmp_path / "clip.mp4", textured_clip(20), *options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    progress = Recorder()
    report = init_project(path, tmp_path / "p", Settings(), progress)
    assert 5 < report.frames < 15
    assert len(progress.warnings) == 1
    assert progress.warnings[0].startswith(f"{path} may be damaged (")


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([np.zeros((4, 6, 3), np.uint8), np.zeros((4, 8, 3), np.uint8)], "frame 1 of x is 8x4, .* before it are 6x4"),
        ([np.zeros((4, 6, 3), np.float32)] * 2, r"frame 0 of x is float32 \(4, 6, 3\), not \(H, W, 3\) uint8"),
        ([np.zeros((4, 6), np.uint8)] * 2, r"frame 0 of x is uint8 \(4, 6\), not \(H, W, 3\) uint8"),
    ],
)
def test_frames_that_are_none(tmp_path: Path, frames: list[NDArray[np.uint8]], message: str) -> None:
    with pytest.raises(OmnitrackError, match=message):
        init_from_frames(frames, tmp_path / "p", Settings(), 12.0, "x")
    assert not (tmp_path / "p").exists()


# --- complete or not at all -------------------------------------------------------------------------------------
def test_full_disk_leaves_nothing(tmp_path: Path, clip: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []

    def full_after_three(path: Path, frame: NDArray[np.uint8]) -> None:
        written.append(path)
        if len(written) > 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        path.write_bytes(b"frame")

    monkeypatch.setattr(init, "write_image", full_after_three)
    with pytest.raises(OmnitrackError, match="the disk is full: cannot write project") as caught:
        init_from_frames(clip, tmp_path / "p", Settings(), 12.0, "clip")
    assert "--max-size" in str(caught.value.hint)
    assert not list(tmp_path.iterdir())


def test_other_write_errors_name_the_cause(
    tmp_path: Path, clip: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: Path, frame: NDArray[np.uint8]) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(init, "write_image", denied)
    (tmp_path / "p").mkdir()
    with pytest.raises(OmnitrackError, match=r"cannot write project .*/p: Permission denied"):
        init_from_frames(clip, tmp_path / "p", Settings(), 12.0, "clip")
    assert not list((tmp_path / "p").iterdir())  # the directory existed before, so it stays


def test_interrupted_init_leaves_nothing(tmp_path: Path, clip: NDArray[np.uint8]) -> None:
    def interrupted() -> Iterator[NDArray[np.uint8]]:
        yield from clip
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        init_from_frames(interrupted(), tmp_path / "p", Settings(), 12.0, "clip")
    assert not list(tmp_path.iterdir())


def test_killed_init_is_no_project_and_can_be_run_again(tmp_path: Path, clip: NDArray[np.uint8]) -> None:
    script = (
        "import itertools, pathlib, sys, numpy as np\n"
        "from omnitrack.settings import Settings\n"
        "from omnitrack.stages.init import init_from_frames\n"
        "frames = itertools.repeat(np.zeros((64, 64, 3), np.uint8))\n"
        "init_from_frames(frames, pathlib.Path(sys.argv[1]), Settings(), 12.0, 'endless')\n"
    )
    root = tmp_path / "p"
    process = subprocess.Popen([sys.executable, "-c", script, str(root)], cwd=REPOSITORY)
    deadline = time.monotonic() + 20
    while not list(root.rglob("*.png")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(root.rglob("*.png")), "the process wrote nothing in time"
    with pytest.raises(OmnitrackError, match="is not an omnitrack project"):
        Project(root)
    init_from_frames(clip, root, Settings(), 12.0, "clip")
    np.testing.assert_array_equal(all_frames(root), clip)
    assert sorted(p.name for p in root.iterdir()) == ["frames", "omnitrack.toml"]


INIT = """
import sys
from pathlib import Path
from omnitrack.errors import OmnitrackError
from omnitrack.settings import Settings
from omnitrack.stages.init import init_from_frames
from omnitrack.synthetic import translating_scene
scene = translating_scene(num_frames=12)
sys.stdin.readline()
try:
    init_from_frames(scene.frames(), Path(sys.argv[1]), Settings(), 24.0, "scene")
    print("made")
except OmnitrackError as error:
    print(error.message)
"""


def test_of_two_at_once_one_makes_the_project(tmp_path: Path) -> None:
    root = tmp_path / "p"
    pipe = subprocess.PIPE
    both = [
        subprocess.Popen([sys.executable, "-c", INIT, str(root)], stdin=pipe, stdout=pipe, text=True) for _ in range(2)
    ]
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = sorted(process.communicate(timeout=60)[0].strip() for process in both)
    assert "made" in said
    other = said[0] if said[1] == "made" else said[1]
    assert "in use by omnitrack init" in other or "already a project" in other
    assert Project(root).num_frames == 12
    assert sorted(path.name for path in root.iterdir()) == ["frames", "omnitrack.toml"]
    assert len(list((root / "frames").glob("*.png"))) == 12


@pytest.mark.parametrize("shape", [(7, 64), (64, 7), (3, 3), (1, 1)])
def test_frames_too_small_to_see_motion_in_are_refused(tmp_path: Path, shape: tuple[int, int]) -> None:
    frames = np.zeros((3, *shape, 3), np.uint8)
    with pytest.raises(OmnitrackError, match=f"{shape[1]}x{shape[0]} are too small") as caught:
        init_from_frames(frames, tmp_path / "p", Settings(), 24.0, "tiny")
    assert "8 pixels" in (caught.value.hint or "")
    assert not (tmp_path / "p").exists()


def test_the_smallest_frames_are_taken(tmp_path: Path) -> None:
    init_from_frames(np.zeros((2, 8, 8, 3), np.uint8), tmp_path / "p", Settings(), 24.0, "small")
    assert Project(tmp_path / "p").size == (8, 8)
