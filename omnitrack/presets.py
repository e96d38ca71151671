"""Settings of a fit by method and preset, with their trade-offs."""

from __future__ import annotations

from dataclasses import replace

from omnitrack.errors import OmnitrackError, closest_hint
from omnitrack.settings import EXPONENTIAL, CadexSettings, FitSettings, OmniMotionSettings, Plain2dSettings, Settings

CADEX = FitSettings()
# From tests/benchmarks/HISTORY.md, "What do more steps bring?": after 1,200 steps the field alone is within 1 AJ of the
# fused tracks. After 300 it is not within 5 AJ, and the fused tracks are 1 AJ worse, in a third of the time. After
# 2,400 the fused tracks have gained nothing, but the field of a clip with fast motion is as good as they are.
CADEX_FAST = FitSettings(steps=300)
CADEX_ACCURATE = FitSettings(steps=2400)

# Source: the published configuration, in this program's units. 96 pairs of 1,024 points per step; a depth unit is half
# a frame instead of a metre, and losses are in px at 256 x 256, so the published depth weight of 100 becomes about 1.
CADEX_PAPER = FitSettings(
    steps=22_000,
    anchors=48 * 1024,  # and as many neighbours
    targets=1,
    learning_rate_decay=EXPONENTIAL,
    second_moment_steps=1000,
    return_px=0.0,
    flow_gradient_weight=0.022,  # published: grows from 0 to 0.044
    matches=96 * 4,
    match_weights=(1.0, 0.1, 0.01),
    hard_share=0.0,
    cadex=CadexSettings(
        projection="perspective",
        plane_resolutions=(12, 96),
        plane_channels=32,
        hidden=(56, 28),
        depth_weight=1.0,
        occlusion_weight=0.0,
        smoothness_weight=0.0,
        learning_rate=3e-3,
    ),
)

# Sized for two CPU cores: a clip of 32 frames in minutes.
OMNIMOTION = FitSettings(
    method="omnimotion",
    steps=1200,
    anchors=512,
    targets=4,
    learning_rate_decay=EXPONENTIAL,
    second_moment_steps=1000,
    matches=128,
    omnimotion=OmniMotionSettings(tracked_samples=2),
)
OMNIMOTION_FAST = replace(OMNIMOTION, steps=400)
OMNIMOTION_ACCURATE = replace(OMNIMOTION, steps=3000)

# Source: the published configuration for TAP-Vid: 8 pairs of 256 points, 32 samples per ray, no affine maps. Half of
# the points are neighbours of the others. Ours are the identity at the start and true neighbours.
OMNIMOTION_PAPER = FitSettings(
    method="omnimotion",
    steps=200_000,
    anchors=8 * 128,  # and as many neighbours
    targets=1,
    outlier_px=0.0,
    learning_rate_decay=EXPONENTIAL,
    second_moment_steps=1000,
    return_px=0.0,
    flow_gradient_weight=0.1,
    matches=0,
    sampler="pairs",
    pairs=8,
    hard_share=0.5,
    omnimotion=OmniMotionSettings(
        frame_map="none",
        conditioner="network",
        hidden=(256, 256, 256),
        two_networks_hidden=(256,) * 8,
        canonical_hidden=512,
        samples=32,
        near=0.0,
        far=2.0,
        photometric_gradient_weight=10.0,
        distortion_weight=10.0,
        depth_prior_weight=0.0,
        guided_share=0.0,
        learning_rate=1e-4,
        canonical_learning_rate=3e-4,
        time_learning_rate=1e-3,
    ),
)

# The ablation of OmniMotion's volume, with the same numbers of steps and points.
PLAIN_2D = replace(OMNIMOTION, method="plain_2d")
PLAIN_2D_PAPER = replace(
    OMNIMOTION_PAPER,
    method="plain_2d",
    plain_2d=Plain2dSettings(hidden=(256,) * 8, time_channels=0, learning_rate=1e-4, time_learning_rate=1e-3),
)

DEFAULTS: dict[str, FitSettings] = {"cadex": CADEX, "omnimotion": OMNIMOTION, "plain_2d": PLAIN_2D}
PRESETS: dict[str, dict[str, FitSettings]] = {
    "fast": {"cadex": CADEX_FAST, "omnimotion": OMNIMOTION_FAST, "plain_2d": replace(PLAIN_2D, steps=400)},
    "accurate": {
        "cadex": CADEX_ACCURATE,
        "omnimotion": OMNIMOTION_ACCURATE,
        "plain_2d": replace(PLAIN_2D, steps=3000),
    },
    "paper": {"cadex": CADEX_PAPER, "omnimotion": OMNIMOTION_PAPER, "plain_2d": PLAIN_2D_PAPER},
}


def preset_settings(name: str | None, method: str) -> Settings:
    """Return the settings of a preset, which the settings file and the flags override.

    Args:
        name: ``fast``, ``accurate`` or ``paper``; None for the method's defaults.
        method: The method to fit. An unknown method gets the defaults of `FitSettings`.

    Raises:
        OmnitrackError: There is no such preset.
    """
    if name is not None and name not in PRESETS:
        raise OmnitrackError(f"there is no preset called {name!r}", closest_hint(name, PRESETS, "there is"))
    fits = DEFAULTS if name is None else PRESETS[name]
    return replace(Settings(), fit=fits.get(method, FitSettings(method=method)))
