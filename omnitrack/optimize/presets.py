"""Named settings of a fit: what they trade, in one place."""

from __future__ import annotations

from dataclasses import replace

from omnitrack.errors import OmnitrackError, closest_hint
from omnitrack.settings import CadexSettings, FitSettings, Settings

FAST = FitSettings(steps=500)
ACCURATE = FitSettings(steps=8000)

# Source: the published configuration, in this program's units. 96 pairs of 1,024 points a step; a depth unit is half a
# frame instead of a metre, and losses are in pixels at 256 x 256, so that the published depth weight of 100 is near 1.
PAPER = FitSettings(
    steps=22_000,
    anchors=48 * 1024,  # and as many neighbours
    targets=1,
    learning_rate=3e-3,
    depth_learning_rate=5e-3,
    flow_gradient_weight=0.022,  # published: grows from 0 to 0.044
    hard_share=0.0,
    cadex=CadexSettings(
        projection="perspective",
        plane_resolutions=(12, 96),
        plane_channels=32,
        hidden=(56, 28),
        depth_weight=1.0,
        occlusion_weight=0.0,
    ),
)

PRESETS: dict[str, FitSettings] = {"fast": FAST, "accurate": ACCURATE, "paper": PAPER}


def preset_settings(name: str, method: str) -> Settings:
    """The settings that a preset stands for; the file and the flags are laid over them.

    Args:
        name: ``fast``, ``accurate`` or ``paper``.
        method: The method to fit.

    Raises:
        OmnitrackError: There is no such preset.
    """
    if name not in PRESETS:
        raise OmnitrackError(f"there is no preset called {name!r}", closest_hint(name, PRESETS, "there is"))
    return replace(Settings(), fit=replace(PRESETS[name], method=method))
