"""A page and its background work, whether its requests go to a server or are messages of a notebook."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.tracks.tracks import Tracks
from omnitrack.view.answers import Answers
from omnitrack.view.app import Page
from omnitrack.view.clip import ProjectClip
from omnitrack.view.given import GivenAnswers, GivenClip, GivenPoints, Still
from omnitrack.view.live import Live, Messages
from omnitrack.view.points import PointList
from omnitrack.view.work import BackgroundWork


@contextmanager
def project_page(
    project: Project, settings: Settings, device: str, seed: int = 0, target: str | None = None
) -> Iterator[Page]:
    """Open the page of a project; for the arguments see `omnitrack.view.server.serve`."""

    def begin() -> BackgroundWork:
        assert target is not None
        return BackgroundWork(project.root, settings, device, seed, target)

    messages, points = Messages(), PointList(project)
    with (
        closing(Answers(project, settings, device, messages)) as answers,
        Live(project, answers, points, begin if target else None, messages) as live,
    ):
        yield Page(ProjectClip(project, device), points, answers, live)


@contextmanager
def tracks_page(tracks: Tracks, project: Project | None = None) -> Iterator[Page]:
    """Open a page of existing tracks; for the arguments see `omnitrack.view.given.GivenClip`."""
    clip = GivenClip(tracks, project)
    yield Page(clip, GivenPoints(clip.points), GivenAnswers(clip), Still())
