"""A project directory: the only module that spells out its file names."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import DamagedError, OmnitrackError
from omnitrack.project.frames_meta import read_meta
from omnitrack.project.png import png_size
from omnitrack.unavailable import unavailable

SETTINGS_NAME = "omnitrack.toml"
FRAMES_NAME = "frames"
LOCK_NAME = ".lock"


def frame_name(index: int) -> str:
    """Return the file name of working frame `index` in the frames directory."""
    return f"{index:06d}.png"


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
        self.meta = read_meta(self.meta_path)

    # --- paths --------------------------------------------------------------------------------------------------
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
        """The file that is locked by the process that writes products."""
        return self.root / LOCK_NAME

    def product_path(self, name: str) -> Path:
        """Return the file of a product: flow, hops, features, filtered, matches or depth."""
        return self.products_dir / f"{name}.h5"

    @property
    def old_correspondences_path(self) -> Path:
        """The file in which version 0.1 kept all products."""
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
    def plots_dir(self) -> Path:
        return self.root / "plots"

    @property
    def renders_index_path(self) -> Path:
        """The index of what each file in `renders_dir` was made from."""
        return self.renders_dir / "renders.json"

    @property
    def eval_dir(self) -> Path:
        return self.root / "eval"

    def frame_path(self, index: int) -> Path:
        """Return the file of working frame `index`."""
        return self.frames_dir / frame_name(index)

    # --- contents -----------------------------------------------------------------------------------------------
    @property
    def num_frames(self) -> int:
        return self.meta.count

    @property
    def shots(self) -> list[range]:
        """The frames of each shot, from one cut to the next."""
        bounds = [0, *self.meta.cuts, self.num_frames]
        return [range(first, stop) for first, stop in pairwise(bounds)]

    def shot(self, frame: int) -> range:
        """Return the frames of the shot that contains a frame."""
        return next(shot for shot in self.shots if frame in shot)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the working frames in pixels."""
        return self.meta.size

    @property
    def scale(self) -> NDArray[np.float64]:
        """(2,) original pixels per working pixel, x and y: original = (working + 0.5) * scale - 0.5."""
        return np.array(self.meta.original_size, np.float64) / np.array(self.meta.size, np.float64)

    def to_original(self, pixels: NDArray[np.floating]) -> NDArray[np.float64]:
        """Convert working pixels (..., 2) to pixels of the original video, both with centres at integers."""
        return (np.asarray(pixels, np.float64) + 0.5) * self.scale - 0.5

    def to_working(self, pixels: NDArray[np.floating]) -> NDArray[np.float64]:
        """Convert pixels (..., 2) of the original video to working pixels, both with centres at integers."""
        return (np.asarray(pixels, np.float64) + 0.5) / self.scale - 0.5

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Read working frame `index` as (H, W, 3) uint8 RGB."""
        import cv2

        path = self.frame_path(index)
        hint = f"make the project again from {self.meta.source}: omnitrack init VIDEO PROJECT"
        try:
            data = path.read_bytes() if path.is_file() else b""
        except OSError as error:
            raise unavailable(path, error) or DamagedError(f"{path} cannot be read: {error}", hint) from error
        size = png_size(data)
        if size is not None and size != self.size:  # known before it is decoded
            found, wanted = (f"{width}x{height}" for width, height in (size, self.size))
            raise DamagedError(f"{path} is {found}, the project's frames are {wanted}", hint)
        image = None if size is None else cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            state = "damaged" if path.exists() else "missing"
            raise DamagedError(f"frame {index} of project {self.root} is {state}: {path}", hint)
        return np.ascontiguousarray(image[..., ::-1])
