"""Limits on the cosines of long-range matches: every extractor of features needs its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

from omnitrack.settings import MatchSettings

NO_LOCAL_LIMITS = (-1.0, 1.01)


@dataclass(frozen=True)
class Calibration:
    """The limits of one extractor.

    Attributes:
        similarity: Least cosine of a match.
        self_similarity: Cosine above which a cell resembles another cell of its frame.
        local: Range of the mean cosine over the window around a cell.
    """

    similarity: float
    self_similarity: float
    local: tuple[float, float]


PUBLISHED = Calibration(0.75, 0.55, (0.3, 1.0))
# Measured on the development clips, 10 to 31 frames apart (tests/benchmarks/match_precision.py): of the mutual nearest
# cells, 0.76 are within 4 pixels and 0.09 are occluded in the other frame; with these limits, 0.92 and 0.01. Local
# limits only lose matches on these clips.
CALIBRATIONS = {"xfeat": Calibration(0.85, 0.65, NO_LOCAL_LIMITS)}


def calibrated(settings: MatchSettings, extractor: str) -> MatchSettings:
    """Replace limits that are 0 by those of the extractor, or by those of DINOv2 if the extractor is unknown."""
    own = CALIBRATIONS.get(extractor, PUBLISHED)
    return replace(
        settings,
        similarity=settings.similarity or own.similarity,
        self_similarity=settings.self_similarity or own.self_similarity,
        local_least=settings.local_least or own.local[0],
        local_most=settings.local_most or own.local[1],
    )
