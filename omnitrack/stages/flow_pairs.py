"""Which pairs of a project's frames to match: what `omnitrack.correspondence.pairs` needs to know of its frames."""

from __future__ import annotations

from collections.abc import Callable

from omnitrack.correspondence.features import NONE
from omnitrack.correspondence.keyframes import Keyframes, find_keyframes
from omnitrack.correspondence.pairs import Pair, select_pairs
from omnitrack.correspondence.place_recognition import pooled
from omnitrack.correspondence.raster import Array
from omnitrack.progress import SILENT, Progress
from omnitrack.project.feature_store import FeatureStore
from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.stages.features import compute_features


def selected_pairs(
    project: Project, settings: Settings, progress: Progress = SILENT, device: str = "auto"
) -> list[Pair]:
    """The ordered pairs that ``flow.pairs`` stands for in this project, see `select_pairs`.

    Keyframes that show the same place again are found by the features of ``features.extractor``, which are computed
    where they are not there yet; without an extractor by the thumbnails themselves.

    Raises:
        OmnitrackError: Not a specification, or, for keyframes, a damaged frame or a failing extractor.
    """

    def found(descriptor: Callable[[int], Array] | None) -> Keyframes:
        with progress.task("keyframes", project.num_frames, unit="frames") as task:
            return find_keyframes(project.frame, project.num_frames, descriptor, task.advance)

    def keyframes() -> Keyframes:
        if settings.features.extractor == NONE:
            return found(None)
        compute_features(project, settings, progress, device)
        with FeatureStore(project) as store:
            return found(lambda frame: pooled(store.features(frame)))

    return select_pairs(settings.flow.pairs, project.num_frames, keyframes)
