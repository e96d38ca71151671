"""Analytic scenes with exact frames, flow, tracks and occlusion: the demo's clip and the tests' ground truth."""

from omnitrack.synthetic.park import demo_scene
from omnitrack.synthetic.scene import Layer, SyntheticScene, still
from omnitrack.synthetic.scenes import occluder_scene, panorama_scene, static_scene, translating_scene, two_planes

__all__ = [
    "Layer",
    "SyntheticScene",
    "demo_scene",
    "occluder_scene",
    "panorama_scene",
    "static_scene",
    "still",
    "translating_scene",
    "two_planes",
]
