"""Select the frame pairs of a project to match: gives `omnitrack.correspondence.pairs` what it needs of the frames."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from omnitrack.correspondence.features import NONE
from omnitrack.correspondence.keyframes import Keyframes, find_keyframes
from omnitrack.correspondence.pairs import AUTO, AUTO_BY_LENGTH, LONG_SHOT, Pair, select_pairs
from omnitrack.correspondence.place_recognition import pooled
from omnitrack.correspondence.raster import Array
from omnitrack.progress import SILENT, Progress
from omnitrack.project.feature_store import FeatureStore
from omnitrack.project.project import Project
from omnitrack.project.store import flow_file
from omnitrack.settings import Settings
from omnitrack.stages.features import compute_features


def pairs_rule(project: Project, spec: str) -> str:
    """Return what ``flow.pairs`` means in this project, as written in the stamp of its flow.

    ``auto`` becomes `AUTO_BY_LENGTH` if a shot is long. If an earlier version made the flow with ``auto``, it stays
    ``auto`` and so keeps its pairs: for that version ``auto`` was ``log`` for clips of any length.
    """
    if spec != AUTO or max(map(len, project.shots)) <= LONG_SHOT:
        return spec
    stamp = flow_file(project).stamp() or {}
    return AUTO if stamp.get("settings", {}).get("pairs") == AUTO else AUTO_BY_LENGTH


def keyframes_sentence(project: Project, rule: str, pairs: int) -> str | None:
    """Return a message about keyframes chosen by ``auto``; None if there are none."""
    if rule != AUTO_BY_LENGTH:
        return None
    what = f"{project.num_frames} frames" if len(project.shots) == 1 else f"shots of over {LONG_SHOT} frames"
    return f"{what} are matched by keyframes, {pairs} pairs in all; --set flow.pairs=log matches them evenly"


def selected_pairs(
    project: Project, settings: Settings, progress: Progress = SILENT, device: str = "auto"
) -> list[Pair]:
    """Return the ordered pairs that ``flow.pairs`` selects in each shot, see `pairs_rule`, `select_pairs`.

    Keyframes that show the same place again are found by the features of ``features.extractor``, which are computed
    if missing; without an extractor, by the thumbnails themselves.

    Raises:
        OmnitrackError: An invalid specification or, for keyframes, a damaged frame or a failing extractor.
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

    pairs, rule = [], pairs_rule(project, settings.flow.pairs)
    for shot in project.shots:
        within = select_pairs(rule, len(shot), partial(keyframes, shot))
        pairs += [(shot[source], shot[target]) for source, target in within]
    return pairs
