"""The ablations of the two papers as settings, and the numbers that the papers report for them.

An ablation removes one component of a method. All of a method's ablations, and the whole method beside them, are
scored on the field alone: the usual fusion with the measured flow would hide most of the differences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omnitrack.errors import OmnitrackError, closest_hint
from omnitrack.evaluation.table import COLUMNS

WHOLE = "field-alone"  # row of the whole method without fusion; the method's normal row is fused

# Sources of the numbers; the papers themselves were not accessible, so these are quotations of them.
# OmniMotion: https://jung217.github.io/CvHub/iccv/2023/omnimotion.html, section 4, which quotes the ablations' AJ only.
OMNIMOTION = (
    "OmniMotion, arXiv 2306.05422, ablation study as quoted by others: full-length DAVIS at the published size of run"
)
# CaDeX++: https://github.com/zhaoyang97/Paper-Notes-en, with a copy in https://github.com/M0rtzz/Paper-Notes, both at
# docs/ECCV2024/3d_vision/track_everything_everywhere_fast_and_robustly.md, "Ablation Study". It does not name the
# videos. The study's fourth row, "No CaDeX++" (48.2, 65.4, 80.1, 0.97), removes more than the couplings' splines, as
# its name says, so no row here corresponds to it.
CADEX = (
    "CaDeX++, arXiv 2403.17931, ablation study as quoted by others: its full method has AJ 48.6, that of the paper's "
    "main table (full-length DAVIS at the published size of run) 59.4"
)


@dataclass(frozen=True)
class Ablation:
    """A method without one of its components, or the whole method for comparison.

    Attributes:
        method: Name of the method.
        name: Name of the ablation; `WHOLE` for the whole method.
        text: What it removes.
        changes: The settings that remove it, ``{"fit.hard_share": 0.0}``.
        published: The paper's numbers in the order of `COLUMNS`, shares in [0, 1]; None for a number not found.
        source: Source of the published numbers.
    """

    method: str
    name: str
    text: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    published: tuple[float | None, ...] = ()
    source: str = ""

    @property
    def row(self) -> str:
        """Its name in tables and on the command line: ``cadex/no-long-range``."""
        return f"{self.method}/{self.name}"

    @property
    def overrides(self) -> dict[str, Any]:
        """The settings that it fixes, which take precedence over all others."""
        return {"fit.method": self.method, "query.fuse": False, **self.changes}

    @property
    def numbers(self) -> dict[str, Any] | None:
        """The published numbers in the format of results, with their source; None if there are none."""
        return {**dict(zip(COLUMNS, self.published, strict=True)), "source": self.source} if self.published else None


def _samples(number: int) -> Ablation:
    changes = {"fit.omnimotion.samples": number}
    return Ablation("omnimotion", f"samples-{number}", f"{number} samples of a ray", changes)


_ALL = (
    Ablation("omnimotion", WHOLE, "the whole method, not fused with flow", {}, (0.517, 0.675, 0.853, 0.74), OMNIMOTION),
    Ablation(
        "omnimotion",
        "no-invertible",
        "one network to the canonical volume and another one back",
        {"fit.omnimotion.mapping": "two_networks"},
        (0.125, None, None, None),
        OMNIMOTION,
    ),
    Ablation("omnimotion", "plain-2d", "no canonical volume", {"fit.method": "plain_2d"}),
    Ablation("omnimotion", "no-flow", "no loss on correspondences", {"fit.omnimotion.flow_weight": 0.0}),
    Ablation(
        "omnimotion",
        "no-photometric",
        "no loss on colours",
        {"fit.omnimotion.photometric_weight": 0.0, "fit.omnimotion.photometric_gradient_weight": 0.0},
        (0.423, None, None, None),
        OMNIMOTION,
    ),
    Ablation(
        "omnimotion",
        "uniform-sampling",
        "no more samples where the fit is poor",
        {"fit.hard_share": 0.0},
        (0.478, None, None, None),
        OMNIMOTION,
    ),
    _samples(8),
    _samples(16),
    _samples(32),
    Ablation("cadex", WHOLE, "the whole method, not fused with flow", {}, (0.486, 0.657, 0.801, 1.14), CADEX),
    Ablation(
        "cadex",
        "no-depth-prior",
        "flat depth at the start, and no loss on the initial depth",
        {
            "fit.cadex.depth_start": "flat",
            "fit.cadex.depth_prior_weight": 0.0,
            "fit.cadex.depth_gradient_weight": 0.0,
        },
        (0.420, 0.568, 0.733, 1.42),
        CADEX,
    ),
    Ablation(
        "cadex",
        "no-long-range",
        "no correspondence over 10 frames or more",  # the published long-range matches are at least that far apart
        {"fit.longest_gap": 9},
        (0.456, 0.613, 0.755, 1.32),
        CADEX,
    ),
    Ablation("cadex", "affine-couplings", "affine maps for splines", {"fit.cadex.coupling": "affine"}),
)
ABLATIONS: dict[str, Ablation] = {ablation.row: ablation for ablation in _ALL}
NAMES = (*dict.fromkeys(ablation.method for ablation in _ALL), *ABLATIONS)  # what the command line accepts


def expand_ablations(names: Sequence[str]) -> list[str]:
    """Expand names to rows without duplicates, each method's whole field before its ablations.

    Args:
        names: Each is a method, for all its ablations, or one ablation as ``METHOD/NAME``.

    Raises:
        OmnitrackError: There is no such ablation.

    Example:
        >>> expand_ablations(["cadex/no-long-range"])
        ['cadex/field-alone', 'cadex/no-long-range']
    """
    rows: list[str] = []
    for name in names:
        if name not in NAMES:
            raise OmnitrackError(f"there is no ablation {name}", closest_hint(name, NAMES, "there is"))
        method = name.partition("/")[0]
        rows.append(f"{method}/{WHOLE}")
        rows += [name] if name in ABLATIONS else [row for row, known in ABLATIONS.items() if known.method == method]
    return list(dict.fromkeys(rows))
