"""Plots of a fit: its weighted losses and its error by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from omnitrack.plotting.figures import look, name_lines, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUM = "loss"  # the name of the sum of all terms


def loss_page(steps: Sequence[int], losses: Sequence[dict[str, float]], errors_px: Sequence[float]) -> Figure:
    """Plot each weighted term and their sum on a log scale, above the error.

    Args:
        steps: Steps of the reports.
        losses: Terms by name in each report; a term may be missing, and values that are not positive are not drawn.
        errors_px: Mean distance of predictions from a fixed set of correspondences, in px at 256 x 256.
    """
    figure = new_figure(9.0, 6.0)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    tidy(above, "weighted loss")
    above.set_yscale("log")
    names = sorted({name for report in losses for name in report} - {SUM})
    lines = {}
    for index, name in enumerate((SUM, *names)):
        values = np.array([report.get(name, np.nan) for report in losses])
        style = {"color": "black", "linewidth": 2.0} if name == SUM else {**look(index - 1), "linewidth": 1.2}
        (lines["all of them" if name == SUM else name.replace("_", " ")],) = above.plot(
            steps, np.where(values > 0, values, np.nan), **style
        )
    name_lines(above, lines, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=8)
    tidy(below, "error (px at 256 x 256)")
    below.plot(steps, errors_px, color="black", linewidth=1.6)
    below.set_ylim(bottom=0)
    below.set_xlabel("step", fontsize=9)
    return figure
