"""Which pairs of a project's frames to match: what `omnitrack.correspondence.pairs` needs to know of its frames."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

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
    """The ordered pairs that ``flow.pairs`` stands for in each shot of this project, see `select_pairs`.

    Keyframes that show the same place again are found by the features of ``features.extractor``, which are computed
    where they are not there yet; without an extractor by the thumbnails themselves.

    Raises:
        OmnitrackError: Not a specification, or, for keyframes, a damaged frame or a failing extractor.
    """

    def found(shot: range, descriptor: Callable[[int], Array] | None) -> Keyframes:
        with progress.task("keyframes", len(shot), unit="frames") as task:
            return find_keyframes(lambda frame: project.frame(shot[frame]), len(shot), descriptor, task.advance)

    def keyframes(shot: range) -> Keyframes:
        if settings.features.extractor == NONE:
            return found(shot, None)
        compute_features(project, settings, progress, device)
        with FeatureStore(project) as store:
            return found(shot, lambda frame: pooled(store.features(shot[frame])))

    pairs = []
    for shot in project.shots:
        within = select_pairs(settings.flow.pairs, len(shot), partial(keyframes, shot))
        pairs += [(shot[source], shot[target]) for source, target in within]
    return pairs
