"""A project directory: the only place that spells a file name."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError

FORMAT = 1
SETTINGS_NAME = "omnitrack.toml"
FRAMES_NAME = "frames"
LOCK_NAME = ".lock"


def frame_name(index: int) -> str:
    """File name of working frame `index` in the frames directory."""
    return f"{index:06d}.png"


@dataclass(frozen=True)
class FramesMeta:
    """What ``frames/frames.json`` says about the frames beside it.

    Attributes:
        source: The video as it was named to `init`.
        count: Number of frames T.
        fps: Frames per second of the project.
        size: (width, height) of the working frames in pixels.
        original_size: (width, height) of the video, after its rotation, in pixels: the unit of every track.
        indices: The video's own frame index of each project frame.
        fingerprint: Hash over all pixels: what later products record as their input.
        format: Version of this layout.
        numbers: The number that each project frame has in the name of its image (1001 of ``shot.1001.png``), for
            exports that count frames as the series does; None where it has none, as in a video file.
    """

    source: str
    count: int
    fps: float
    size: tuple[int, int]
    original_size: tuple[int, int]
    indices: list[int]
    fingerprint: str
    format: int = FORMAT
    numbers: list[int] | None = None


class Project:
    """An existing project directory.

    Args:
        root: The directory.

    Raises:
        OmnitrackError: Not a project, or one of another format version.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise OmnitrackError(f"there is no project at {self.root}", "make one: omnitrack init VIDEO PROJECT")
        if not self.meta_path.is_file():
            raise OmnitrackError(
                f"{self.root} is not an omnitrack project: it has no {self.meta_path.relative_to(self.root)}",
                "make one: omnitrack init VIDEO PROJECT",
            )
        self.meta = _read_meta(self.meta_path)

    # --- where things are ---------------------------------------------------------------------------------------
    @property
    def settings_path(self) -> Path:
        return self.root / SETTINGS_NAME

    @property
    def frames_dir(self) -> Path:
        return self.root / FRAMES_NAME

    @property
    def meta_path(self) -> Path:
        return self.frames_dir / "frames.json"

    @property
    def products_dir(self) -> Path:
        return self.root / "products"

    @property
    def lock_path(self) -> Path:
        """Held by the process that writes products."""
        return self.root / LOCK_NAME

    def product_path(self, name: str) -> Path:
        """The file of a product: flow, hops, features, filtered, matches or depth."""
        return self.products_dir / f"{name}.h5"

    @property
    def old_correspondences_path(self) -> Path:
        """Where version 0.1 kept all products together."""
        return self.root / "correspondences.h5"

    @property
    def checkpoints_dir(self) -> Path:
        return self.root / "checkpoints"

    @property
    def fit_dir(self) -> Path:
        return self.root / "fit"

    @property
    def metrics_path(self) -> Path:
        return self.fit_dir / "metrics.jsonl"

    @property
    def tracks_dir(self) -> Path:
        return self.root / "tracks"

    @property
    def renders_dir(self) -> Path:
        return self.root / "renders"

    @property
    def renders_index_path(self) -> Path:
        """What each file in `renders_dir` was made from."""
        return self.renders_dir / "renders.json"

    @property
    def eval_dir(self) -> Path:
        return self.root / "eval"

    def frame_path(self, index: int) -> Path:
        """The file of working frame `index`."""
        return self.frames_dir / frame_name(index)

    # --- what they hold -----------------------------------------------------------------------------------------
    @property
    def num_frames(self) -> int:
        return self.meta.count

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the working frames in pixels."""
        return self.meta.size

    @property
    def scale(self) -> NDArray[np.float64]:
        """(2,) original pixels per working pixel, x and y: original = (working + 0.5) * scale - 0.5."""
        return np.array(self.meta.original_size, np.float64) / np.array(self.meta.size, np.float64)

    def to_original(self, pixels: NDArray[np.floating]) -> NDArray[np.float64]:
        """Working pixels (..., 2) to pixels of the original video, both with centres at integers."""
        return (np.asarray(pixels, np.float64) + 0.5) * self.scale - 0.5

    def to_working(self, pixels: NDArray[np.floating]) -> NDArray[np.float64]:
        """Pixels (..., 2) of the original video to working pixels, both with centres at integers."""
        return (np.asarray(pixels, np.float64) + 0.5) / self.scale - 0.5

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Working frame `index` as (H, W, 3) uint8 RGB."""
        import cv2

        path = self.frame_path(index)
        data = np.fromfile(path, np.uint8) if path.is_file() else np.empty(0, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
        if image is None:
            state = "damaged" if path.exists() else "missing"
            raise OmnitrackError(
                f"frame {index} of project {self.root} is {state}: {path}",
                f"make the project again from {self.meta.source}: omnitrack init VIDEO PROJECT",
            )
        if image.shape[1::-1] != tuple(self.size):
            raise OmnitrackError(
                f"{path} is {image.shape[1]}x{image.shape[0]}, the project's frames are {self.size[0]}x{self.size[1]}",
                f"make the project again from {self.meta.source}: omnitrack init VIDEO PROJECT",
            )
        return np.ascontiguousarray(image[..., ::-1])


def write_meta(frames_dir: Path, meta: FramesMeta) -> None:
    """Finish a project's frames: a directory without this file is not a project, so it is written last."""
    known = {name: value for name, value in asdict(meta).items() if value is not None}
    (frames_dir / "frames.json").write_text(json.dumps(known) + "\n", encoding="utf-8")


def _read_meta(path: Path) -> FramesMeta:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["format"] != FORMAT:
            raise OmnitrackError(
                f"{path} has format {raw['format']}, this omnitrack reads format {FORMAT}",
                "update omnitrack, or make the project again: omnitrack init VIDEO PROJECT",
            )
        meta = FramesMeta(**raw)
    except (ValueError, KeyError, TypeError) as error:
        raise OmnitrackError(
            f"{path} is damaged: {error}", "make the project again: omnitrack init VIDEO PROJECT"
        ) from error
    size, original = (int(meta.size[0]), int(meta.size[1])), (int(meta.original_size[0]), int(meta.original_size[1]))
    return FramesMeta(**{**raw, "size": size, "original_size": original})
