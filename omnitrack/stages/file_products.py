"""Files of tracks and renders: whether each was made from the current fit."""

from __future__ import annotations

from pathlib import Path

from omnitrack.config import fingerprint
from omnitrack.errors import DamagedError, OmnitrackError, UnavailableError
from omnitrack.project.renders import index_damage, read_renders
from omnitrack.project.stamps import is_stamp
from omnitrack.stages.products import Judge, Product, Stamp, command_for, files_in, size_on_disk
from omnitrack.stages.render_inputs import RenderInputs
from omnitrack.stages.render_styles import EDIT_STYLE, MATTE_STYLE

TRACK_SUFFIXES = (".npz", ".csv", ".json", ".h5")


def file_products(judge: Judge, fit: Product, fit_stamp: Stamp | None) -> list[Product]:
    """Return the tracks and renders of a project, each checked against the current fit."""

    def judged(path: Path, stage: str, stamp: Stamp | None, broken: OmnitrackError | None = None) -> Product:
        """Return one file as a product; a file without a stamp counts as ready."""
        more = ["--grid", "20@0"] if stage == "query" else _render_flags(path, stamp or {})
        state, reason = _state(broken)
        if stamp is not None:
            inputs = {"fit": fingerprint(fit_stamp), **_drawing_now(stamp), **_files_now(stamp)}
            state, reason = judge.freshness(stage, stamp, inputs, [fit])
        command = command_for(project, stage, *more, "-o", str(path))
        return Product(str(path.relative_to(project.root)), state, reason, size_on_disk(path), command)

    project = judge.project
    tracks = [path for path in files_in(project.tracks_dir) if path.suffix in TRACK_SUFFIXES]
    index = read_renders(project)
    renders = [path for path in files_in(project.renders_dir) if path != project.renders_index_path]
    broken, path = index_damage(project), project.renders_index_path
    command, name = command_for(project, "render"), str(path.relative_to(project.root))
    return [
        *([Product(name, *_state(broken), size_on_disk(path), command)] if broken else []),
        *(judged(path, "query", *_tracks_stamp(path)) for path in tracks),
        *(judged(path, "render", index.get(path.name)) for path in renders),
    ]


def _state(broken: OmnitrackError | None) -> tuple[str, str]:
    """Return the state of a file and its reason, from the error when reading it."""
    if broken is None:
        return "ready", ""
    return "in use" if isinstance(broken, UnavailableError) else "damaged", broken.message


def _tracks_stamp(path: Path) -> tuple[Stamp | None, OmnitrackError | None]:
    from omnitrack.tracks.files import load_meta

    try:
        stamp = load_meta(path).get("stamp")
    except OmnitrackError as error:
        return None, error
    if stamp is None or is_stamp(stamp):
        return stamp, None
    return None, DamagedError(f"the stamp of {path} makes no sense")


def _drawing_now(stamp: Stamp) -> dict[str, str]:
    """Return the drawing of a render as it is now; {} if it no longer exists, which does not make a render stale."""
    path = Path(stamp.get("drawing", ""))
    if not path.is_file():
        return {}
    from omnitrack.stages.render_edit import Drawing
    from omnitrack.video.images import read_pixels

    try:
        return {"drawing": Drawing(read_pixels(path), stamp["settings"]["frame"]).fingerprint}
    except OmnitrackError:
        return {"drawing": ""}  # damaged since


def _files_now(stamp: Stamp) -> dict[str, str]:
    """Return the mask and labels of a render as they are now; missing files do not make a render stale."""
    try:
        return RenderInputs.of_words(_words(stamp)).fingerprints()
    except OSError:
        return {}  # in use


def _words(stamp: Stamp) -> list[str]:
    """Return what a render recorded of its command line; empty if the record is invalid."""
    words = stamp.get("words")
    return words if isinstance(words, list) and all(isinstance(word, str) for word in words) else []


def _render_flags(path: Path, stamp: Stamp) -> list[str]:
    """Return the flags that make a render again; values that were not recorded are placeholders in capitals."""
    made = stamp.get("settings", {})
    style, words = made.get("style", path.stem), _words(stamp)
    if style == EDIT_STYLE:
        return ["--style", style, "--edit", stamp.get("drawing", "DRAWING.png"), "--frame", str(made.get("frame", "T"))]
    needed = ["--mask", "MASK.png@T"] if style == MATTE_STYLE else []
    return ["--style", style, *(words or needed)]
