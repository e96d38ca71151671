"""Which pairs of a project's frames to match: what `omnitrack.correspondence.pairs` needs to know of its frames."""

from __future__ import annotations

from omnitrack.correspondence.keyframes import Keyframes, find_keyframes
from omnitrack.correspondence.pairs import Pair, select_pairs
from omnitrack.progress import SILENT, Progress
from omnitrack.project.project import Project
from omnitrack.settings import Settings


def selected_pairs(project: Project, settings: Settings, progress: Progress = SILENT) -> list[Pair]:
    """The ordered pairs that ``flow.pairs`` stands for in this project, see `select_pairs`.

    Raises:
        OmnitrackError: Not a specification, or, for keyframes, a damaged frame.
    """

    def keyframes() -> Keyframes:
        with progress.task("keyframes", project.num_frames, unit="frames") as task:
            return find_keyframes(project.frame, project.num_frames, advance=task.advance)

    return select_pairs(settings.flow.pairs, project.num_frames, keyframes)
