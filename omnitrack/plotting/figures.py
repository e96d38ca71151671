"""Blank figures in one style, and saving them; matplotlib is loaded here without touching its global state."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnitrack.atomic import atomic_path
from omnitrack.errors import OmnitrackError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INSTALL = 'pip install "omnitrack-video[plot]"'
SUFFIXES = (".png", ".svg", ".pdf")
DPI = 150  # of a .png
LONGEST_NAME = 28  # characters
GREY, SHADE = "0.45", "0.88"
# Okabe and Ito, "Color Universal Design", 2008, in an order that suits white paper, and without yellow.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.")
_UNDATED = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}  # equal inputs give equal files


def check_plot(path: Path) -> None:
    """Raise an `OmnitrackError` if matplotlib is missing or the suffix is unknown; call it before long work."""
    if find_spec("matplotlib") is None:
        raise OmnitrackError("plots need matplotlib, which is not installed", f"install it: {INSTALL}")
    if path.suffix.lower() not in SUFFIXES:
        raise OmnitrackError(f"{path} does not end in a format of plots", f"one of {', '.join(SUFFIXES)}")


def new_figure(width: float, height: float) -> Figure:
    """Return a blank figure of `width` x `height` inches.

    Raises:
        OmnitrackError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OmnitrackError(f"plots need matplotlib: {error}", f"install it: {INSTALL}") from error
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure to a .png, .svg or .pdf atomically."""
    check_plot(path)
    suffix = path.suffix.lower()
    with atomic_path(path) as part, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a missing glyph is drawn as a box
        figure.savefig(part, format=suffix[1:], dpi=DPI, metadata=_UNDATED[suffix])


def tidy(axes: Axes, what: str = "") -> None:
    """Apply the style of all diagrams: two spines, a light grid, and `what` as the label of the y axis."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    axes.set_ylabel(what, fontsize=9, parse_math=False)


def look(index: int) -> dict[str, Any]:
    """Return colour and line style of line number `index`."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": DASHES[index // len(COLOURS) % len(DASHES)],
    }


def name_lines(axes: Axes, lines: Mapping[str, Any] | Sequence[tuple[str, Any]], **where: Any) -> None:
    """Add a legend of lines by name; names may contain any characters."""
    pairs = list(lines.items() if isinstance(lines, Mapping) else lines)
    # matplotlib leaves out names that begin with an underscore
    names = [shortened(f" {name}" if name.startswith("_") else name) for name, _ in pairs]
    legend = axes.legend([line for _, line in pairs], names, fontsize=8, frameon=False, **where)
    for text in legend.get_texts():
        text.set_parse_math(False)


def shortened(name: str) -> str:
    """Shorten a name to one line of at most `LONGEST_NAME` characters."""
    name = " ".join(name.split()) if name.strip() else name
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
