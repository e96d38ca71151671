"""The texts of `omnitrack demo`: an introduction before it starts, and its accuracy at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omnitrack.evaluation.things import Thing

PLAIN, PLAIN_WORDS = "chain", "plain flow"
STAGES = (  # seconds on two cores of an AMD EPYC without a GPU, commit fd1f691
    ("clip", "paint 24 frames whose exact motion is known", 4),
    ("flow", "where each pixel goes from one frame to another, for 178 pairs", 50),
    ("filter", "keep what holds both ways, and link it over the whole clip", 23),
    ("fit", "one smooth motion that explains all of it", 25),
    ("score", "follow 128 points, and compare them with the truth", 3),
    ("render", "draw the tracks over the clip", 4),
)
MEASURES = (
    ("AJ", "average_jaccard", 100, "% located right and called visible"),
    ("delta_avg", "average_pts_within_thresh", 100, "% within 1, 2, 4, 8 and 16 px, averaged"),
    ("OA", "occlusion_accuracy", 100, "% correctly called visible or occluded"),
    ("TC", "temporal_coherence", 1, "px of jitter, lower is better"),
)


def introduction() -> str:
    """Describe what the demo will do and how long each part takes."""
    lines = [f"  {place} {name:<8}{what:<63}{_about(seconds)}" for place, (name, what, seconds) in enumerate(STAGES, 1)]
    total = sum(seconds for *_, seconds in STAGES)
    return "\n".join(
        [
            "A ball rolls behind a tree, a kite swims through the air, the camera pans.",
            f"The demo tracks it in six parts, in about {max(1, round(total / 60))} minutes on two cores:",
            *lines,
            "Stop it at any time: called again, it goes on where it was.",
        ]
    )


def verdict(things: Mapping[str, Thing], method: str, frames: int) -> str:
    """Report how well the points on each object were tracked, compared with plain flow."""
    points = sum(thing.points for thing in things.values())
    lines = [
        f"{points} points, each followed from the first of {frames} frames that shows it:",
        f"  {'':<8}{'within 4 px of the truth':<28}{'found again once no longer hidden':<34}",
        f"  {'':<8}{'omnitrack':<12}{PLAIN_WORDS:<16}{'omnitrack':<14}{PLAIN_WORDS}",
    ]
    for name, thing in things.items():
        ours, plain = (f"{100 * thing.near[key]:.0f} %" for key in (method, PLAIN))
        line = f"  {name:<8}{ours:<12}{plain:<16}"
        if thing.hidden:
            ours, plain = (f"{thing.found_again[key]} of {thing.hidden}" for key in (method, PLAIN))
            line += f"{ours:<14}{plain}"
        lines.append(line.rstrip())
    lines.append(f"  {PLAIN_WORDS}: frame-to-frame motion, accumulated; it loses whatever is hidden")
    return "\n".join(lines)


def measures(results: Mapping[str, Any], method: str) -> str:
    """Report the metrics of the TAP-Vid benchmark, each with a short explanation."""
    means = {key: results["methods"][key]["mean"] for key in (method, PLAIN)}
    lines = ["As the TAP-Vid benchmark counts it:", f"  {'':<11}omnitrack  {PLAIN_WORDS}"]
    for name, key, factor, words in MEASURES:
        digits = 1 if factor == 100 else 2
        ours, plain = ("-" if mean[key] is None else f"{factor * mean[key]:.{digits}f}" for mean in means.values())
        lines.append(f"  {name:<11}{ours:>9}  {plain:>10}  {words}")
    return "\n".join(lines)


def _about(seconds: float) -> str:
    return f"{seconds:>3.0f} s"
