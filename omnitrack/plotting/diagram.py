"""A figure that a notebook shows, whatever backend its matplotlib uses."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omnitrack.plotting.figures import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOTEBOOK_DPI = 90


@dataclass(frozen=True)
class Diagram:
    """A figure that a notebook shows.

    Attributes:
        figure: The matplotlib figure, for changes to its appearance.
    """

    figure: Figure

    def save(self, path: str | Path) -> None:
        """Write the figure to a .png, .svg or .pdf.

        Raises:
            OmnitrackError: The suffix is another one, or the file cannot be written.
        """
        save_figure(self.figure, Path(path))

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.figure.savefig(content, format="png", dpi=NOTEBOOK_DPI)
        return content.getvalue()
