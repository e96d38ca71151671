"""A small clip as a project at every stage, made through the command line: to be attacked, and to compare with."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
from contents import contents
from zygote import Zygote

from omnitrack.synthetic import occluder_scene

TIMES = float(os.environ.get("OMNITRACK_ATTACKS", "1"))
SMALL_LIMIT_BYTES = 64 << 20  # limit on the content of a foreign file where such files are attacked
SMALL = {
    "flow.workers": "1",
    "flow.surroundings": "false",
    "flow.descriptors.network": "none",
    "filter.grid_points": "300",
    "filter.found_again": "false",
    "fit.steps": "12",
    "fit.checkpoint_seconds": "0",
    "fit.anchors": "64",
    "fit.targets": "2",
    "fit.regions": "4",
    "fit.cadex.plane_resolutions": "[4, 8]",
    "fit.cadex.plane_channels": "4",
    "fit.cadex.time_channels": "4",
    "fit.cadex.hidden": "[8, 8]",
}
STAGES = {"flow": [], "filter": [], "fit": ["--resume"], "query": ["--grid", "5@0"], "render": []}


@dataclass(frozen=True)
class Steps:
    """A clip at every stage.

    Attributes:
        frames: The images that the clip consists of.
        before: The project before each stage.
        after: The contents of the project after each stage.
    """

    frames: Path
    before: dict[str, Path]
    after: dict[str, dict[str, str]]

    def arguments(self, stage: str, root: Path) -> list[str]:
        """Return the command line of a stage."""
        if stage == "init":
            return ["init", str(self.frames), str(root), *(f"--set={key}={value}" for key, value in SMALL.items())]
        return [stage, str(root), *STAGES[stage]]

    def start(self, stage: str, root: Path) -> Path:
        """Return a copy of the project as it is before the stage."""
        if stage != "init":
            shutil.copytree(self.before[stage], root)
        return root


def make_steps(folder: Path, zygote: Zygote) -> Steps:
    """Take 8 frames of 64 x 48 through all stages, undisturbed."""
    frames = folder / "frames"
    frames.mkdir()
    for t, frame in enumerate(occluder_scene((64, 48), 8, speed=3.0).frames()):
        cv2.imwrite(str(frames / f"{t}.png"), frame)
    made = Steps(frames, {}, {})
    root = folder / "clip"
    for stage in ("init", *STAGES):
        if stage != "init":
            made.before[stage] = Path(shutil.copytree(root, folder / f"before_{stage}"))
        ended = zygote.command(*made.arguments(stage, root))
        assert ended.status == 0, ended.said
        made.after[stage] = contents(root)
    return made
