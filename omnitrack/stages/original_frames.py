"""The frames of the video that a project was made from, at their original size, to draw on."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack.config import load_settings
from omnitrack.errors import OmnitrackError
from omnitrack.progress import Progress
from omnitrack.project.project import Project
from omnitrack.video.reader import VideoReader
from omnitrack.video.reading import open_video

SAME_LEVELS = 12.0  # largest mean difference, of 255, between a shrunken frame and its working frame, across decoders
Picture = NDArray[np.uint8]


class OriginalFrames:
    """Frames of the original video if it still exists and has larger frames, else frames of the project.

    Frames are read sequentially; a request for an earlier frame reads the video again from its start.

    Args:
        project: The project.
        progress: Receives the reason if the project's smaller frames are used.
    """

    def __init__(self, project: Project, progress: Progress) -> None:
        self._project = project
        self._at = -1  # index in the video of the frame that was read last
        self._frames: Iterator[Picture] | None = None
        self._reader: VideoReader | None = None
        self._read: Picture | None = None
        self.size = project.size
        if project.meta.original_size == project.size:
            return
        self._levels = load_settings(project.settings_path).init.levels
        why = self._why_not()
        if why:
            progress.note(f"drawing on the project's frames of {project.size[0]}x{project.size[1]}: {why}")
        else:
            self.size = project.meta.original_size

    def frame(self, index: int) -> Picture:
        """Return frame `index` of the project, (H, W, 3), at `size`."""
        if self.size == self._project.size:
            return self._project.frame(index)
        return self._original(index)

    def close(self) -> None:
        """Stop reading."""
        if self._reader is not None:
            self._reader.close()

    def _why_not(self) -> str:
        """Return why the video cannot be used; empty if it can."""
        source = self._project.meta.source
        try:
            found = self._original(0)
        except OmnitrackError as error:
            return error.message
        if (found.shape[1], found.shape[0]) != tuple(self._project.meta.original_size):
            return f"{source} has another size now"
        small = cv2.resize(found, self._project.size, interpolation=cv2.INTER_AREA)
        if np.abs(small.astype(np.float32) - self._project.frame(0)).mean() > SAME_LEVELS:
            return f"{source} shows something else now"
        return ""

    def _original(self, index: int) -> Picture:
        wanted = self._project.meta.indices[index]
        if self._frames is None or wanted < self._at:
            self.close()
            self._reader = open_video(self._project.meta.source, self._levels)
            self._frames, self._at = iter(self._reader), -1
        while self._at < wanted:
            self._read = next(self._frames, None)
            if self._read is None:
                raise OmnitrackError(
                    f"{self._project.meta.source} has fewer frames than project {self._project.root} was made from",
                    f"make the project again: omnitrack init {self._project.meta.source} NEW_PROJECT",
                )
            self._at += 1
        assert self._read is not None
        return self._read
