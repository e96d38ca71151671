"""Blank figures of one look, and writing them; matplotlib is loaded here, and its global state is left alone."""

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
LONGEST_NAME = 28  # letters
GREY, SHADE = "0.45", "0.88"
# Okabe and Ito, "Color Universal Design", 2008, in an order that suits white paper, and without yellow.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.")
_UNDATED = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}  # one input, one file


def check_plot(path: Path) -> None:
    """Raise an `OmnitrackError` where a figure could not be made or written there; asked before long work."""
    if find_spec("matplotlib") is None:
        raise OmnitrackError("plots need matplotlib, which is not installed", f"install it: {INSTALL}")
    if path.suffix.lower() not in SUFFIXES:
        raise OmnitrackError(f"{path} does not end in a format of plots", f"one of {', '.join(SUFFIXES)}")


def new_figure(width: float, height: float) -> Figure:
    """A blank figure of so many inches.

    Raises:
        OmnitrackError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OmnitrackError(f"plots need matplotlib: {error}", f"install it: {INSTALL}") from error
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure to a .png, .svg or .pdf that is whole or not there."""
    check_plot(path)
    suffix = path.suffix.lower()
    with atomic_path(path) as part, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a letter that the font lacks is a box
        figure.savefig(part, format=suffix[1:], dpi=DPI, metadata=_UNDATED[suffix])


def tidy(axes: Axes, what: str = "") -> None:
    """The look of all diagrams: two spines, a light grid, what the height means."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    axes.set_ylabel(what, fontsize=9, parse_math=False)


def look(index: int) -> dict[str, Any]:
    """Colour and dashes of line number `index`."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": DASHES[index // len(COLOURS) % len(DASHES)],
    }


def name_lines(axes: Axes, lines: Mapping[str, Any] | Sequence[tuple[str, Any]], **where: Any) -> None:
    """A legend of lines by name, whatever letters are in the names."""
    pairs = list(lines.items() if isinstance(lines, Mapping) else lines)
    # matplotlib leaves out what begins with an underscore
    names = [shortened(f" {name}" if name.startswith("_") else name) for name, _ in pairs]
    legend = axes.legend([line for _, line in pairs], names, fontsize=8, frameon=False, **where)
    for text in legend.get_texts():
        text.set_parse_math(False)


def shortened(name: str) -> str:
    """A name on one line that leaves room for the rest."""
    name = " ".join(name.split()) if name.strip() else name
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
