"""Inputs of the styles of `omnitrack render` other than tracks, and which style takes which input."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omnitrack.errors import UsageError
from omnitrack.stages.render_styles import EDIT_STYLE, MATTE_STYLE, STABILISE_STYLE, TRACK_STYLES


@dataclass(frozen=True)
class RenderInputs:
    """A drawing, a point, a mask and labels; None if not given.

    Convention:
        Pixels are (x, y) of the original video, x right, y down, centres at integers.

    Attributes:
        edit: For the style edit: an image with transparency, drawn on the frame ``render.frame``.
        point: For stabilise: a text ``x,y@t``, the point to hold still.
        mask: For stabilise, the object to hold still, and for matte, the object to cut out: a text ``M.png@t``, whose
            marked pixels `omnitrack.stages.query_points` reads.
        labels: For the styles that draw tracks: a table with one label per track, or an image of labels over a frame,
            a text ``L.png@t``, see `omnitrack.stages.track_labels`.
    """

    edit: Path | None = None
    point: str | None = None
    mask: str | None = None
    labels: str | None = None

    def words(self) -> list[str]:
        """Return these inputs, except `edit`, as words of a command line that works in any directory."""
        words = [] if self.point is None else ["--point", self.point]
        for flag, path in (("--mask", self.mask), ("--labels", self.labels)):
            words += [] if path is None else [flag, str(Path(path).absolute())]
        return words

    @classmethod
    def of_words(cls, words: Sequence[str]) -> RenderInputs:
        """Return the inputs that `words` describes; words of other options are ignored."""
        given = dict(itertools.pairwise(words))
        return cls(None, given.get("--point"), given.get("--mask"), given.get("--labels"))

    def fingerprints(self) -> dict[str, str]:
        """Return a short stable hash of each existing file, except `edit`, by the name of the input."""
        named = {"mask": self.mask, "labels": self.labels}
        files = {name: _named_file(text) for name, text in named.items() if text is not None}
        there = {name: path for name, path in files.items() if path.is_file()}
        return {name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for name, path in there.items()}


NOTHING = RenderInputs()
TAKEN_BY = {
    "edit": (EDIT_STYLE,),
    "point": (STABILISE_STYLE,),
    "mask": (STABILISE_STYLE, MATTE_STYLE),
    "labels": TRACK_STYLES,
}
NEEDED_BY = {EDIT_STYLE: "edit", MATTE_STYLE: "mask"}
_NOUNS = {"edit": "a drawing", "mask": "a mask"}
_EXAMPLES = {
    "edit": f"--style {EDIT_STYLE} --edit logo.png --frame 0",
    "point": f"--style {STABILISE_STYLE} --point 120,64@0",
    "mask": f"--style {MATTE_STYLE} --mask cat.png@0",
    "labels": "--style points --labels names.csv",
}


def check_inputs(root: Path, style: str, inputs: RenderInputs) -> None:
    """Refuse a style without its required input, and inputs that the style does not use.

    Args:
        root: The project, for the examples in messages.
        style: One of `omnitrack.stages.render_styles.STYLES`.
        inputs: The given inputs.

    Raises:
        UsageError: An input is missing or does not fit; the message names the style and the option.
    """
    needed = NEEDED_BY.get(style)
    if needed and getattr(inputs, needed) is None:
        raise UsageError(f"--style {style} needs {_NOUNS[needed]}", _example(root, needed))
    for name, styles in TAKEN_BY.items():
        value = getattr(inputs, name)
        if value is not None and style not in styles:
            those = " or ".join(styles) if len(styles) < 3 else f"{', '.join(styles[:-1])} or {styles[-1]}"
            raise UsageError(f"--{name} {value} is for --style {those}, not for --style {style}", _example(root, name))
    if inputs.point is not None and inputs.mask is not None:
        raise UsageError("--point and --mask cannot both stand still", "give one of them, or neither: the camera")


def _named_file(text: str) -> Path:
    """Return the file of ``M.png@t`` or ``M.png``."""
    whole = Path(text)
    return whole if whole.is_file() else Path(text.rpartition("@")[0])


def _example(root: Path, name: str) -> str:
    return f"for example: omnitrack render {root} {_EXAMPLES[name]}"
