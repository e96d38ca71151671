"""Calibration of predicted probabilities: of the events predicted with p, does a share p come true?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BINS = 10


@dataclass(frozen=True)
class Reliability:
    """Predicted probabilities and whether they came true: (N,) each."""

    predicted: NDArray[np.floating]
    true: NDArray[np.bool_]

    @staticmethod
    def of_all(parts: Iterable[Reliability]) -> Reliability:
        """Return the pooled predictions of several."""
        parts = list(parts)
        return Reliability(np.concatenate([p.predicted for p in parts]), np.concatenate([p.true for p in parts]))

    def bins(self) -> list[tuple[float, float, int]]:
        """Return (mean prediction, share that came true, number of predictions) of ten bins, without empty ones."""
        which = np.minimum((self.predicted * BINS).astype(int), BINS - 1)
        rows = [which == k for k in range(BINS)]
        return [(float(self.predicted[r].mean()), float(self.true[r].mean()), int(r.sum())) for r in rows if r.any()]

    def calibration_error(self) -> float:
        """Return the mean distance of prediction and share, each bin weighted by its number of predictions."""
        return sum(abs(p - t) * n for p, t, n in self.bins()) / len(self.true)

    def area(self) -> float:
        """Return the area under the ROC curve; ties count half; NaN if all predictions came true, or none."""
        _, place, count = np.unique(self.predicted, return_inverse=True, return_counts=True)
        ranks = (np.cumsum(count) - (count - 1) / 2)[place]
        many = int(self.true.sum())
        between = many * (len(ranks) - many)
        return float((ranks[self.true].sum() - many * (many + 1) / 2) / between) if between else float("nan")


def draw_reliability(
    found: Mapping[str, Reliability],
    path: Path,
    title: str,
    labels: tuple[str, str],
    parts: Iterable[Reliability] = (),
) -> None:
    """Draw true over predicted shares, one line per data set; needs matplotlib.

    Args:
        found: Reliabilities by name.
        path: Path of the picture.
        title: Title of the picture.
        labels: Labels of the axes: what is predicted, and what came true.
        parts: Drawn behind the others, thin and without names.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.5, 6), layout="constrained")
    axes.plot([0, 1], [0, 1], color="black", linewidth=1, linestyle=":")
    for of in parts:
        axes.plot(*list(zip(*of.bins(), strict=True))[:2], marker=".", color="0.8", linewidth=1)
    for name, of in found.items():
        predicted, true, _ = zip(*of.bins(), strict=True)
        axes.plot(predicted, true, marker="o", label=f"{name} ({of.calibration_error():.3f})")
    axes.set(xlabel=labels[0], ylabel=labels[1], title=title)
    axes.grid(alpha=0.3)
    axes.legend(title="calibration error", loc="lower right")
    figure.savefig(path, dpi=110)
