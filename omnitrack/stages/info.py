"""`omnitrack info`: what a project holds, what of it is stale and why, and what to type next."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omnitrack.config import as_dict, fingerprint, load_settings, read_toml
from omnitrack.errors import OmnitrackError
from omnitrack.project.project import Project
from omnitrack.project.renders import read_renders
from omnitrack.project.shards import has_shards
from omnitrack.stages.render_styles import EDIT_STYLE

TRACK_SUFFIXES = (".npz", ".csv", ".json", ".h5")
Stamp = Mapping[str, Any]


@dataclass(frozen=True)
class Product:
    """One thing that a stage made.

    Attributes:
        name: frames, flow, filter or fit, or a file of tracks, renders or scores, relative to the project.
        state: ready, missing, unfinished, stale or damaged.
        reason: Why it is not ready; empty where it is.
        bytes: Size on disk.
        command: Makes it, or makes it anew.
    """

    name: str
    state: str
    reason: str
    bytes: int
    command: str


@dataclass(frozen=True)
class InfoReport:
    """A project at a glance.

    Attributes:
        project: The directory.
        source: The video as it was named to `init`.
        frames: Number of frames.
        fps: Frames per second.
        size: (width, height) of the working frames in pixels.
        original_size: (width, height) of the video in pixels.
        products: In the order of the stages.
        bytes: Size of the whole project on disk.
        next_command: What to type next.
    """

    project: str
    source: str
    frames: int
    fps: float
    size: tuple[int, int]
    original_size: tuple[int, int]
    products: list[Product]
    bytes: int
    next_command: str

    def state(self, name: str) -> str:
        """The state of a product; missing where there is none of that name."""
        return next((product.state for product in self.products if product.name == name), "missing")


def inspect_project(project: Project) -> InfoReport:
    """Look at every product of a project; a damaged one is reported, not raised.

    A product is stale where its inputs have changed since, where its input is itself stale, or where ``omnitrack.toml``
    names a setting with another value than it was made with. What flags or a preset set is taken as it is.
    """
    inspector = _Inspector(project)
    stages = inspector.stages()
    files = inspector.files()
    meta = project.meta
    return InfoReport(
        project=str(project.root),
        source=meta.source,
        frames=meta.count,
        fps=meta.fps,
        size=meta.size,
        original_size=meta.original_size,
        products=[*stages, *files],
        bytes=size_on_disk(project.root),
        next_command=_next_command(project, stages, files),
    )


def size_on_disk(path: Path) -> int:
    """Bytes of a file, or of all files below a directory; 0 where there is nothing."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


class _Inspector:
    """Judges one product after the other; each needs to know of the ones before it."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._settings = load_settings(project.settings_path)
        self._named = read_toml(project.settings_path) if project.settings_path.is_file() else {}

    def stages(self) -> list[Product]:
        """The products of init, flow, filter and fit."""
        frames = self._frames()
        flow_stamp, filter_stamp, filtered_bytes, damage = self._correspondences()
        features = self._judge_features(frames, filter_stamp)
        match_stamp, match_bytes = self._matches()
        size = size_on_disk(self._project.correspondences_path)
        inputs = {"frames": self._project.meta.fingerprint, **self._files_now(flow_stamp)}
        depth = self._judge_depth(frames)
        others = filtered_bytes + match_bytes + sum(product.bytes for product in [*features, *depth])
        flow = self._judge("flow", flow_stamp, inputs, frames, size - others, damage)
        inputs = {"flow": fingerprint(flow_stamp)}
        filtered = self._judge("filter", filter_stamp, inputs, flow, filtered_bytes, "")
        filtered = self._perhaps_other_features(filtered, filter_stamp, features)
        matched = self._judge_matches(match_stamp, filtered, match_bytes)
        self._fit_stamp, step, damage = self._checkpoint()
        made_from: dict[str, str | None] = {"filter": fingerprint(filter_stamp)}
        made_from |= self._matches_of_fit(match_stamp) | self._depth_of_fit()
        size = size_on_disk(self._project.checkpoints_dir)
        fit = self._judge("fit", self._fit_stamp, made_from, matched[0] if matched else filtered, size, damage)
        self._fit = self._perhaps_unfinished(fit, step)
        return [frames, flow, *features, filtered, *matched, *depth, self._fit]

    def files(self) -> list[Product]:
        """The tracks and renders of the fit; call `stages` first."""
        tracks = [path for path in _files(self._project.tracks_dir) if path.suffix in TRACK_SUFFIXES]
        made = [self._file(path, "query", *_tracks_stamp(path)) for path in tracks]
        index = read_renders(self._project)
        renders = [path for path in _files(self._project.renders_dir) if path != self._project.renders_index_path]
        return made + [self._file(path, "render", index.get(path.name), "") for path in renders]

    def _judge(
        self,
        name: str,
        stamp: Stamp | None,
        inputs: Mapping[str, str | None],
        upstream: Product,
        size: int,
        damage: str,
    ) -> Product:
        state, reason = "ready", ""
        if damage:
            state, reason = "damaged", damage
        elif has_shards(self._project, name):
            state, reason = "unfinished", "an interrupted run is taken up again"
        elif stamp is None:
            state, reason = "missing", "not made yet"
        else:
            state, reason = self._freshness(name, stamp, inputs, upstream)
        return Product(name, state, reason, size, _command(self._project, name))

    def _judge_features(self, frames: Product, filter_stamp: Stamp | None) -> list[Product]:
        """The features of the frames, which the filter stage makes; none where there are none and nobody wants any."""
        from omnitrack.project.feature_store import features_bytes, read_features_stamp

        self._features_stamp = stamp = read_features_stamp(self._project)
        used = "features" in (filter_stamp or {"inputs": {}})["inputs"]
        self._wants_features = used or self._settings.features.extractor != "none"
        if stamp is None and not self._wants_features and not has_shards(self._project, "features"):
            return []
        inputs = {"frames": self._project.meta.fingerprint}
        judged = self._judge("features", stamp, inputs, frames, features_bytes(self._project), "")
        return [replace(judged, command=_command(self._project, "filter"))]

    def _perhaps_other_features(
        self, filtered: Product, filter_stamp: Stamp | None, features: list[Product]
    ) -> Product:
        if filtered.state != "ready" or filter_stamp is None or not self._wants_features:
            return filtered
        made_from = filter_stamp["inputs"].get("features")
        if features and features[0].state != "ready":
            reason = f"its features are {features[0].state}"
        elif made_from is None:
            reason = "made without features, which omnitrack.toml asks for"
        elif made_from != fingerprint(self._features_stamp):
            reason = "made from other features"
        else:
            return filtered
        return replace(filtered, state="stale", reason=reason)

    def _judge_matches(self, stamp: Stamp | None, filtered: Product, size: int) -> list[Product]:
        """The long-range matches, which the filter stage makes too; none where there are none and none were begun."""
        if stamp is None and not has_shards(self._project, "matching"):
            return []
        from omnitrack.project.feature_store import read_features_stamp

        inputs = {"features": fingerprint(read_features_stamp(self._project))}
        judged = self._judge("matching", stamp, inputs, filtered, size, "")
        return [replace(judged, command=_command(self._project, "filter"))]

    def _judge_depth(self, frames: Product) -> list[Product]:
        """The depth maps, which the fit stage makes; none where there are none and none are asked for."""
        from omnitrack.project.depth_store import read_depth_stamp, stored_bytes

        stamp = read_depth_stamp(self._project)
        wanted = self._wanted_depth()
        if stamp is None and wanted is None and not has_shards(self._project, "depth"):
            return []
        inputs: dict[str, str | None] = {"frames": self._project.meta.fingerprint}
        if wanted is not None:
            inputs["source"] = wanted["inputs"]["source"]
        judged = self._judge("depth", stamp, inputs, frames, stored_bytes(self._project), "")
        return [replace(judged, command=_command(self._project, "fit"))]

    def _wanted_depth(self) -> Stamp | None:
        """The stamp of the depth maps that omnitrack.toml asks for; None where it asks for none."""
        from omnitrack.stages.depth import depth_stamp

        try:
            return depth_stamp(self._project, self._settings)
        except OmnitrackError:  # a source without a path, which the fit will say
            return None

    def _depth_of_fit(self) -> dict[str, str | None]:
        """What a fit should be made from besides: depth maps, where it was made from some or should be now."""
        from omnitrack.project.depth_store import read_depth_stamp

        wanted = self._wanted_depth()
        if wanted is None and "depth" not in (self._fit_stamp or {"inputs": {}})["inputs"]:
            return {}
        return {"depth": fingerprint(wanted or read_depth_stamp(self._project))}

    def _freshness(
        self, table: str, stamp: Stamp, inputs: Mapping[str, str | None], upstream: Product
    ) -> tuple[str, str]:
        """Whether a product with this stamp is ready or stale, and why."""
        for name, now in inputs.items():
            if stamp["inputs"].get(name) != now:
                return "stale", f"made from an earlier {name}" if upstream.state != "missing" else f"its {name} is gone"
        if upstream.state != "ready":
            return "stale", f"its {upstream.name} is {upstream.state}"
        for change in _changes(self._named.get(table, {}), stamp["settings"], table):
            return "stale", change
        return "ready", ""

    # --- what is there ------------------------------------------------------------------------------------------
    def _frames(self) -> Product:
        lost = [i for i in range(self._project.num_frames) if not self._project.frame_path(i).is_file()]
        source = self._project.meta.source
        reason = f"{len(lost)} frames are missing, the first is {lost[0]}" if lost else ""
        size = size_on_disk(self._project.frames_dir)
        command = shlex.join(["omnitrack", "init", source, "NEW_PROJECT"])
        return Product("frames", "damaged" if lost else "ready", reason, size, command)

    def _correspondences(self) -> tuple[Stamp | None, Stamp | None, int, str]:
        """The stamps of flow and filter, the bytes of the filtered half, and what is wrong with the file."""
        from omnitrack.project.store import FLOW_GROUP, stored_groups

        groups = stored_groups(self._project)
        if not self._project.correspondences_path.exists() or (groups and FLOW_GROUP not in groups):
            return None, None, 0, ""
        from omnitrack.project.store import FILTERED_GROUP, FlowStore

        try:
            with FlowStore(self._project, any_frames=True) as store:
                return store.flow_stamp, store.filter_stamp, store.stored_bytes(FILTERED_GROUP), ""
        except OmnitrackError as error:
            return None, None, 0, error.message

    def _matches(self) -> tuple[Stamp | None, int]:
        """The stamp of the long-range matches and their bytes; a damaged file says so elsewhere."""
        if not self._project.correspondences_path.exists():
            return None, 0
        from omnitrack.project.match_store import MATCH_GROUP, read_match_stamp
        from omnitrack.project.store import FlowStore

        try:
            with FlowStore(self._project, any_frames=True) as store:
                return read_match_stamp(self._project), store.stored_bytes(MATCH_GROUP)
        except OmnitrackError:
            return None, 0

    def _matches_of_fit(self, stamp: Stamp | None) -> dict[str, str | None]:
        """What a fit should be made from besides: the matches, where it was made from some or would be now."""
        made = self._fit_stamp or {"inputs": {}, "settings": {}}
        per_step = made["settings"].get("matches", self._settings.fit.matches)
        if stamp is None and "matches" not in made["inputs"]:
            return {}
        return {"matches": fingerprint(stamp) if stamp is not None and per_step > 0 else None}

    def _files_now(self, flow_stamp: Stamp | None) -> dict[str, str]:
        """Checksums of the files, besides the frames, that the flow was made from and that omnitrack.toml names."""
        made_from = set((flow_stamp or {}).get("inputs", {})) - {"frames"}
        if not made_from:
            return {}  # without waiting for torch
        from omnitrack.correspondence.estimators import weights_identity

        now = weights_identity(self._settings.flow)
        return {name: now[name] for name in made_from & set(now)}

    def _checkpoint(self) -> tuple[Stamp | None, int, str]:
        """The stamp of the fit, the step it has reached, and what is wrong with its file."""
        if not _files(self._project.checkpoints_dir):
            return None, 0, ""  # without waiting for torch
        from omnitrack.project.checkpoint import load_checkpoint

        try:
            checkpoint = load_checkpoint(self._project)
        except OmnitrackError as error:
            return None, 0, error.message
        return checkpoint.stamp, int(checkpoint.state["step"]), ""

    def _perhaps_unfinished(self, fit: Product, step: int) -> Product:
        if fit.state != "ready" or self._fit_stamp is None or step >= self._fit_stamp["settings"]["steps"]:
            return fit
        # Going on needs the settings it began with, which flags or a preset may have set.
        made, now = self._fit_stamp["settings"], as_dict(self._settings)["fit"]
        flags = [word for key, value in _leaves(made, now, "fit") for word in ("--set", f"{key}={json.dumps(value)}")]
        seed = self._fit_stamp["inputs"].get("seed", 0)
        flags += ["--seed", str(seed)] if seed else []
        reason = f"stopped at step {step} of {made['steps']}"
        return replace(
            fit, state="unfinished", reason=reason, command=_command(self._project, "fit", "--resume", *flags)
        )

    def _file(self, path: Path, stage: str, stamp: Stamp | None, damage: str) -> Product:
        """One file of tracks or one render; a file that does not say what it was made from is taken as ready."""
        name = str(path.relative_to(self._project.root))
        more = ["--grid", "20@0"] if stage == "query" else _render_flags(path, stamp or {})
        state, reason = ("damaged", damage) if damage else ("ready", "")
        if stamp is not None:
            inputs = {"fit": fingerprint(self._fit_stamp), **_drawing_now(stamp)}
            state, reason = self._freshness(stage, stamp, inputs, self._fit)
        command = _command(self._project, stage, *more, "-o", str(path))
        return Product(name, state, reason, size_on_disk(path), command)


def _tracks_stamp(path: Path) -> tuple[Stamp | None, str]:
    from omnitrack.project.tracks_io import load_meta

    try:
        stamp = load_meta(path).get("stamp")
    except OmnitrackError as error:
        return None, error.message
    return (stamp, "") if isinstance(stamp, dict) else (None, "")


def _drawing_now(stamp: Stamp) -> dict[str, str]:
    """The drawing of a render as it is now; nothing where there is none any more, which a render survives."""
    path = Path(stamp.get("drawing", ""))
    if not path.is_file():
        return {}
    from omnitrack.project.images import read_pixels
    from omnitrack.stages.render_edit import Drawing

    try:
        return {"drawing": Drawing(read_pixels(path), stamp["settings"]["frame"]).fingerprint}
    except OmnitrackError:
        return {"drawing": ""}  # damaged since


def _render_flags(path: Path, stamp: Stamp) -> list[str]:
    """What makes a render anew; in capitals what nobody has recorded."""
    made = stamp.get("settings", {})
    style = made.get("style", path.stem)
    drawing = ["--edit", stamp.get("drawing", "DRAWING.png"), "--frame", str(made.get("frame", "T"))]
    return ["--style", style, *(drawing if style == EDIT_STYLE else [])]


def _files(directory: Path) -> list[Path]:
    """What lies in a directory, by name; hidden files are work in progress."""
    return sorted(path for path in directory.glob("*") if not path.name.startswith("."))


def _changes(named: Mapping[str, Any], made: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """Settings that omnitrack.toml names with another value than a product was made with."""
    for key, value in named.items():
        if key not in made:
            continue  # not a setting that changes the result
        if isinstance(value, dict):
            yield from _changes(value, made[key], f"{prefix}.{key}")
        elif value != made[key]:
            yield f"made with {prefix}.{key} = {json.dumps(made[key])}, omnitrack.toml says {json.dumps(value)}"


def _leaves(made: Mapping[str, Any], now: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """The dotted settings of `made` that differ from `now`."""
    for key, value in made.items():
        if isinstance(value, dict):
            yield from _leaves(value, now[key], f"{prefix}.{key}")
        elif value != now[key]:
            yield f"{prefix}.{key}", value


def _command(project: Project, stage: str, *more: str) -> str:
    return shlex.join(["omnitrack", stage, str(project.root), *more])


def _next_command(project: Project, stages: list[Product], files: list[Product]) -> str:
    for product in (*stages, *files):
        if product.state != "ready":
            return product.command
    if not _files(project.tracks_dir):
        return _command(project, "query", "--grid", "20@0")
    if not _files(project.renders_dir):
        return _command(project, "render")
    return _command(project, "query", "--point", "X,Y@T")
