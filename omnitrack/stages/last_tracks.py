"""The tracks of a project's last query, which commands use if no others are named."""

from __future__ import annotations

from omnitrack.errors import OmnitrackError
from omnitrack.project.project import Project
from omnitrack.tracks.files import load_tracks
from omnitrack.tracks.tracks import Tracks


def last_tracks(project: Project) -> Tracks:
    """Return the tracks of the last query.

    Raises:
        OmnitrackError: No tracks yet, with the next missing step as a hint; or a damaged file.
    """
    path = project.tracks_dir / "tracks.npz"
    if not path.exists():
        from omnitrack.project.checkpoint import newest_checkpoint, step_towards_a_fit  # imports torch

        fitted = newest_checkpoint(project) is not None
        hint = f"make some: omnitrack query {project.root} --grid 20@0" if fitted else step_towards_a_fit(project)
        raise OmnitrackError(f"project {project.root} has no tracks yet", hint)
    return load_tracks(path)
