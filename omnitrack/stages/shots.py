"""`omnitrack init --split-at-cuts`: one project per shot, from one pass over the video.

The video becomes one project in a hidden directory, whose frames are then distributed. The projects of the shots are
made in the hidden directory too, and renamed when all are complete.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from omnitrack.atomic import process_lives
from omnitrack.config import dump_settings
from omnitrack.errors import OmnitrackError
from omnitrack.progress import SILENT, Progress
from omnitrack.project.frames_meta import write_meta
from omnitrack.project.project import FRAMES_NAME, SETTINGS_NAME, Project, frame_name
from omnitrack.settings import Settings
from omnitrack.stages.cuts import NONE
from omnitrack.stages.init import init_project
from omnitrack.video.reading import default_name

LEAST_FRAMES = 2  # of a project
LEAST_DIGITS = 2  # of the number in a project's name


@dataclass(frozen=True)
class ShotsReport:
    """What `init_shots` made.

    Attributes:
        source: The video as it was named.
        shots: Number of projects.
        frames: Total number of frames of all projects.
        projects: Directories of the projects, in the order of the shots.
        skipped: Number of shots with too few frames for a project.
        seconds: Wall time.
    """

    source: str
    shots: int
    frames: int
    projects: list[str]
    skipped: int
    seconds: float


def init_shots(video: str | Path, root: Path | None, settings: Settings, progress: Progress = SILENT) -> ShotsReport:
    """Turn every shot of a video into its own project, as `init_project` would with its ``--start`` and ``--end``.

    Args:
        video: As for `omnitrack.stages.init.init_project`.
        root: Common name of the projects: ``root-01``, ``root-02`` and so on, with more digits from 100 shots on.
        settings: As for `init_project`.
        progress: As for `init_project`; also receives a warning of shots that are too short.

    Raises:
        OmnitrackError: As for `init_project`; a project with one of these names exists; every shot is too short.
    """
    began = time.perf_counter()
    root = Path(default_name(video)) if root is None else root
    there = shot_projects(root)
    if there:
        raise OmnitrackError(
            f"{there[0]} is there already", "name other projects: omnitrack init VIDEO PROJECT --split-at-cuts"
        )
    with _hidden_directory(root) as hidden:
        init_project(video, hidden / "whole", settings, progress, splitting=True)
        whole = Project(hidden / "whole")
        shots = [shot for shot in whole.shots if len(shot) >= LEAST_FRAMES]
        skipped = len(whole.shots) - len(shots)
        if not shots:
            raise OmnitrackError(f"no shot of {video} has {LEAST_FRAMES} frames", "split it elsewhere: --cuts T,T")
        if skipped:
            progress.warn(f"{skipped} of {len(whole.shots)} shots have a single frame: no projects of them")
        names = [_name(root, number, len(shots)) for number in range(1, len(shots) + 1)]
        made = [_part(whole, shot, settings, hidden / name.name) for shot, name in zip(shots, names, strict=True)]
        for part, name in reversed(list(zip(made, names, strict=True))):  # if the first one exists, all do
            part.rename(name)
    frames = sum(map(len, shots))
    return ShotsReport(str(video), len(shots), frames, [*map(str, names)], skipped, time.perf_counter() - began)


def shot_projects(root: Path) -> list[Path]:
    """Return all paths that are named like a shot's project, in the order of the shots."""
    numbered = re.compile(re.escape(root.name) + rf"-(\d{{{LEAST_DIGITS},}})")
    beside = root.parent.iterdir() if root.parent.is_dir() else []
    found = [(int(match[1]), path) for path in beside if (match := numbered.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def _name(root: Path, number: int, count: int) -> Path:
    return root.with_name(f"{root.name}-{number:0{max(LEAST_DIGITS, len(str(count)))}d}")


def _part(whole: Project, shot: range, settings: Settings, part: Path) -> Path:
    """Make the project of a shot; the files of its frames are moved there."""
    frames = part / FRAMES_NAME
    frames.mkdir(parents=True)
    digest = hashlib.sha256()
    for number, frame in enumerate(shot):
        digest.update(whole.frame(frame).data)
        whole.frame_path(frame).rename(frames / frame_name(number))
    indices = [whole.meta.indices[frame] for frame in shot]
    own = replace(settings.init, start=indices[0], end=indices[-1] + 1, cuts=NONE)
    (part / SETTINGS_NAME).write_text(dump_settings(replace(settings, init=own)), encoding="utf-8")
    numbers = whole.meta.numbers and [whole.meta.numbers[frame] for frame in shot]
    fingerprint = digest.hexdigest()[:16]
    meta = replace(whole.meta, count=len(shot), indices=indices, numbers=numbers, fingerprint=fingerprint, cuts=[])
    write_meta(frames, meta)
    return part


@contextmanager
def _hidden_directory(root: Path) -> Iterator[Path]:
    """A directory beside the projects that is removed at the end, along with the ones that killed processes left."""
    for left in root.parent.glob(f".{root.name}.*.part"):
        number = left.name.removeprefix(f".{root.name}.").removesuffix(".part")
        if number.isdecimal() and not process_lives(int(number)):
            shutil.rmtree(left, ignore_errors=True)
    hidden = root.with_name(f".{root.name}.{os.getpid()}.part")
    try:
        hidden.mkdir(parents=True)
        yield hidden
    except OSError as error:
        raise OmnitrackError(
            f"cannot write projects {root}-NN: {error.strerror or error}", "free some space, or name another place"
        ) from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
