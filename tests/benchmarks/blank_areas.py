"""Do textureless places move with the object they belong to?

    python tests/benchmarks/blank_areas.py --work work/blank [--clip cup.mp4] [--end 24] [--max-size 320]
        [--only NAME] [--set K=V] [--eye FILE] [--json FILE]

Up to three clips: `--clip`, a hand-held view of a plain wall (`cup.mp4` of OpenCV's samples), and two synthetic clips
with exact ground truth, noise and flickering light: a blank wall with a few marks behind a textured ball, and a blank
plate in front of a textured ground. Tracks start on a grid of the textureless places of the first frame. The table
shows how far they slide, as median and 90 % in pixels of the video: with the stored flow straight from the first frame,
with chains, with the field alone and fused. It also compares the mean confidence of the fused tracks with their share
of positions that are visible, called visible, and within 4 px at 256 x 256.

The ground truth of the hand-held view is the camera's motion: similarities that RANSAC fits to corners on the wall,
which are found again in each frame. It is independent of omnitrack; `--eye` writes frames stabilised by it, for visual
inspection.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from common import Columns, Report, add_settings, parser_of, settings_of
from numpy.typing import NDArray

from omnitrack.correspondence.anchors import Anchors
from omnitrack.correspondence.appearance import NOISE, FramePatches
from omnitrack.correspondence.blurred_frames import BlurredFrames
from omnitrack.correspondence.raster import pixel_grid
from omnitrack.evaluation.baselines import BASELINES
from omnitrack.progress import SILENT
from omnitrack.project.project import Project
from omnitrack.project.store import FlowStore
from omnitrack.settings import Settings
from omnitrack.stages.bring_up import bring_up_to
from omnitrack.stages.fit import load_field
from omnitrack.stages.graph import Work
from omnitrack.stages.init import init_from_frames
from omnitrack.stages.point_tracker import PointTracker
from omnitrack.synthetic.maps import Similarity
from omnitrack.synthetic.scene import DRAWN, Layer, SyntheticScene
from omnitrack.synthetic.shapes import Ellipse, Plane, Polygon
from omnitrack.synthetic.texture import Canvas, mottled, paint
from omnitrack.units import raster_scale

NEAR_PX = 4.0  # at 256 x 256: within it, a position is right
GRID_PX = 8.0  # at 256 x 256
CORNERS, LEAST_CORNERS, RANSAC_PX = 400, 12, 1.0
BORDER_PX = 12  # margin of the wall around objects in front of it
FIXED: dict[str, object] = {"init.max_size": 320, "init.cuts": "none", "fit.steps": 400}  # settings
TRACKERS = ("flow", "chain", "multigap", "field", "fused")
COLUMNS: Columns = {
    "clip": "{clip}",
    "points": "{points}",
    **{name: f"{{{name}[0]:.2f}} / {{{name}[1]:.2f}}" for name in TRACKERS},
    "confidence": "{confidence:.2f}",
    "right": "{right:.2f}",
}
Frames = list[NDArray[np.uint8]]
Places = NDArray[np.floating]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Truth:
    """Ground-truth positions in T frames of P places of the first frame.

    Attributes:
        pixels: (P, T, 2) pixels of the video.
        seen: (P, T) bool; whether a place is visible.
    """

    pixels: Places
    seen: Bools


@dataclass(frozen=True)
class Clip:
    """A clip, which places of its first frame are queried, and their ground truth."""

    frames: Frames
    asked: Callable[[Places], Bools]
    truth: Callable[[Places], Truth]


# --- a hand-held view of a wall -----------------------------------------------------------------------------------
def wall_clip(path: Path, end: int) -> Clip:
    """Read a video of a pale wall."""
    reader, frames = cv2.VideoCapture(str(path)), []
    while len(frames) < end:
        more, frame = reader.read()
        if not more:
            break
        frames.append(np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8))
    walls = [on_wall(frame) for frame in frames]
    maps = camera_motion(frames, walls[0])

    def truth(places: Places) -> Truth:
        carried = np.stack([places @ m[:, :2].T + m[:, 2] for m in maps], 1)
        seen = [_marked(wall, carried[:, t]) for t, wall in enumerate(walls)]
        return Truth(carried, np.stack(seen, 1))

    return Clip(frames, lambda places: _marked(walls[0], places), truth)


def on_wall(frame: NDArray[np.uint8]) -> Bools:
    """Return a mask of the pale, grey wall, including small marks, at a distance from everything else."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * BORDER_PX + 1, 2 * BORDER_PX + 1))
    lab = cv2.cvtColor(cv2.morphologyEx(frame, cv2.MORPH_CLOSE, disc), cv2.COLOR_RGB2LAB).astype(int)
    pale = (lab[..., 0] > 130) & (np.abs(lab[..., 1] - 128) < 12) & (np.abs(lab[..., 2] - 128) < 18)
    return np.asarray(cv2.erode(pale.astype(np.uint8), disc) > 0)


def camera_motion(frames: Frames, wall: Bools) -> list[Places]:
    """Estimate the similarities (2, 3) from the first frame to each frame."""
    details = [_detail(frame) for frame in frames]
    corners = cv2.goodFeaturesToTrack(details[0], CORNERS, 0.004, 5, mask=wall.astype(np.uint8), blockSize=7)
    maps = [np.eye(2, 3)]
    how = {"winSize": (21, 21), "maxLevel": 2, "flags": cv2.OPTFLOW_USE_INITIAL_FLOW}
    for t in range(1, len(frames)):
        guess = cv2.transform(corners, maps[-1]).astype(np.float32)
        found, here, _ = cv2.calcOpticalFlowPyrLK(details[0], details[t], corners, guess.copy(), **how)
        back, there, _ = cv2.calcOpticalFlowPyrLK(details[t], details[0], found, corners.copy(), **how)
        good = (here[:, 0] & there[:, 0]).astype(bool) & (np.linalg.norm(back - corners, axis=-1)[:, 0] < 0.5)
        how_far = {"ransacReprojThreshold": RANSAC_PX, "maxIters": 5000, "confidence": 0.9999}
        fitted, kept = cv2.estimateAffinePartial2D(corners[good], found[good], **how_far)
        if kept is None or kept.sum() < LEAST_CORNERS:
            raise SystemExit(f"too little of the wall's texture is seen in frame {t}: give a smaller --end")
        maps.append(fitted)
    return maps


def _detail(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the fine detail without shading: the light changes, marks do not."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    small = cv2.GaussianBlur(grey, (0, 0), 1) - cv2.GaussianBlur(grey, (0, 0), 6)
    return np.asarray(np.clip(6 * small + 128, 0, 255), np.uint8)


def _marked(mask: Bools, places: Places) -> Bools:
    """Return the mask (H, W) at places (P, 2); False outside the frame."""
    x, y = np.rint(places).astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < mask.shape[1]) & (y < mask.shape[0])
    return inside & mask[y.clip(0, len(mask) - 1), x.clip(0, mask.shape[1] - 1)]


# --- synthetic clips ----------------------------------------------------------------------------------------------
def synthetic_clip(scene: SyntheticScene, name: str, seed: int = 0) -> Clip:
    """Render a scene as seen by a cheap camera; the places of its layer `name` are queried."""
    rng, layer = np.random.default_rng(seed), [layer.name for layer in scene.layers].index(name)
    x = np.linspace(-1, 1, scene.size[0])[None, :, None]
    frames = []
    for t in range(scene.num_frames):
        light = 1 + 0.03 * math.sin(1.7 * t) + 0.05 * x * math.sin(0.4 * t)
        noisy = scene.frame(t) * light + rng.normal(0, 1.0, (*scene.size[::-1], 3))
        frames.append(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))

    def truth(places: Places) -> Truth:
        return Truth(*scene.tracks(np.column_stack([np.zeros(len(places)), places])))

    return Clip(frames, lambda places: scene.top_layer(0, places) == layer, truth)


def wall_scene() -> SyntheticScene:
    """A ball rolls past a wall with a few marks; the camera pans and turns."""
    rng = np.random.default_rng(1)
    marks = rng.uniform((-20, 150), (276, 185), (14, 2))

    def blank_wall(x: Canvas, y: Canvas) -> Canvas:
        near = np.min([np.hypot(x - a, y - b) for a, b in marks], 0)
        return np.repeat((0.75 + 0.0003 * x - 0.5 * (near < 1.5))[..., None], 3, -1)

    ball = paint(-40, -40, 40, 40, mottled((0.6, 0.35, 0.2), 0.25, np.random.default_rng(2)))
    layers = [
        Layer("ball", Ellipse(38, 38), ball, lambda t: Similarity(60 + 6.0 * t, 90 - 1.0 * t, 0.05 * t)),
        Layer("wall", Plane(), paint(-64, -64, 320, 256, blank_wall)),
    ]
    return SyntheticScene(DRAWN, 24, layers, lambda t: Similarity(-1.2 * t, 0.5 * t, 0.001 * t))


def plate_scene() -> SyntheticScene:
    """A blank plate moves one way, the textured ground behind it another."""
    corners = ((-45, -30), (30, -38), (48, 10), (20, 38), (-38, 30))
    blank = paint(-50, -40, 50, 40, lambda x, y: np.repeat((0.7 + 0.0005 * y)[..., None], 3, -1))
    ground = paint(-64, -64, 320, 256, mottled((0.36, 0.5, 0.32), 0.25, np.random.default_rng(3)))
    layers = [
        Layer("plate", Polygon(corners), blank, lambda t: Similarity(70 + 4.5 * t, 80 + 1.5 * t, 0.01 * t)),
        Layer("ground", Plane(), ground),
    ]
    return SyntheticScene(DRAWN, 24, layers, lambda t: Similarity(-1.5 * t, -0.5 * t))


# --- measurements -------------------------------------------------------------------------------------------------
def measure(name: str, clip: Clip, settings: Settings, root: Path) -> Iterator[dict[str, object]]:
    """Yield the row of a clip."""
    project, frame = fitted_project(clip.frames, settings, root), clip.frames[0]
    size = frame.shape[1::-1]
    places = pixel_grid(size, max(1, round(GRID_PX * raster_scale(size))))
    texture = FramePatches(BlurredFrames(clip.frames.__getitem__, size)).patches(0, places).texture()
    places = places[clip.asked(places) & (texture < NOISE)]
    truth = clip.truth(places.astype(np.float64))
    found, confidence, visible = track(project, settings, project.to_working(places).astype(np.float32))
    counted = truth.seen.copy()
    counted[:, 0] = False
    row: dict[str, object] = {"clip": name, "points": len(places)}
    for tracker, pixels in found.items():
        slide = np.linalg.norm(project.to_original(pixels) - truth.pixels, axis=-1)
        known = slide[counted & np.isfinite(slide)]
        row[tracker] = [float(np.median(known)), float(np.percentile(known, 90))]
    right = truth.seen & visible & (slide < NEAR_PX * raster_scale(size))
    row |= {"confidence": float(confidence[counted].mean()), "right": float(right[counted].mean())}
    yield row


def track(project: Project, settings: Settings, pixels: NDArray[np.float32]) -> tuple[dict[str, Places], Places, Bools]:
    """Track working pixels (P, 2) of the first frame with every tracker, with the fused confidence and visibility."""
    frames, anchors = project.num_frames, Anchors.of(0, pixels)
    queries = np.column_stack([np.zeros(len(pixels)), pixels])
    with FlowStore(project) as flows:
        straight = np.full((len(pixels), frames, 2), np.nan)
        for t in range(1, frames):
            if flows.has(0, t):
                straight[:, t] = pixels + flows.flow_at(0, t, pixels)
        tracker = PointTracker(project, load_field(project, "cpu"), flows, settings)
        fused = tracker.track(anchors)
        found = {
            "flow": straight,
            **{name: BASELINES[name](flows, queries, frames)[0] for name in ("chain", "multigap")},
            "field": tracker.estimates(anchors).field.pixels,
            "fused": fused.pixels,
        }
    return found, fused.confidence, fused.visible


def fitted_project(frames: Frames, settings: Settings, root: Path) -> Project:
    """Return the clip as a project with a fit; existing products are kept."""
    if not root.exists():
        init_from_frames(frames, root, settings, 24.0, root.name)
    project = Project(root)
    bring_up_to("fit", Work(project, settings, "cpu", 0, SILENT))
    return project


def show_still(clip: Clip, maps_of: list[Places], path: Path) -> None:
    """Write the fine detail of some frames, stabilised by the camera's motion, one below the other."""
    rows = []
    for t in np.linspace(0, len(clip.frames) - 1, 4).astype(int):
        size = clip.frames[t].shape[1::-1]
        rows.append(_detail(cv2.warpAffine(clip.frames[t], maps_of[t], size, flags=cv2.WARP_INVERSE_MAP)))
    cv2.imwrite(str(path), np.vstack(rows))


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--work", type=Path, required=True, help="keeps projects")
    parser.add_argument("--clip", type=Path, help="a hand-held view of a pale wall")
    parser.add_argument("--end", type=int, default=24, help="frames of it (24)")
    parser.add_argument("--max-size", type=int, default=320, help="its longest side in pixels (320)")
    parser.add_argument("--only", action="append", choices=("wall", "plate", "clip"), help="these (repeatable)")
    parser.add_argument("--eye", type=Path, help="an image of the clip's frames, held still")
    add_settings(parser)
    given = parser.parse_args()
    settings = settings_of(given, {**FIXED, "init.max_size": given.max_size})
    report = Report(given.json)
    clips: dict[str, Callable[[], Clip]] = {
        "wall": lambda: synthetic_clip(wall_scene(), "wall"),
        "plate": lambda: synthetic_clip(plate_scene(), "plate"),
    }
    if given.clip is not None:
        clips["clip"] = lambda: wall_clip(given.clip, given.end)
    given.work.mkdir(parents=True, exist_ok=True)
    table = report.table("blank areas", COLUMNS)
    for name in given.only or clips:
        clip = clips[name]()
        if name == "clip" and given.eye is not None:
            show_still(clip, camera_motion(clip.frames, on_wall(clip.frames[0])), given.eye)
        for row in measure(name, clip, settings, given.work / name):
            table.add(row)
    report.write()


if __name__ == "__main__":
    main()
