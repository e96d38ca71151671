"""The cuts of a new project, given or to be detected: parsed, checked and described."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from omnitrack.errors import OmnitrackError

AUTO, NONE = "auto", "none"
MOST_NAMED = 6  # cuts that a message lists


def given_cuts(text: str) -> list[int] | None:
    """Return the frames of ``init.cuts`` in order; None if they are to be detected.

    Raises:
        OmnitrackError: The text is neither auto, none nor frames.
    """
    if text in (AUTO, NONE):
        return None if text == AUTO else []
    words = text.split(",")
    if not all(word.strip().isdecimal() for word in words):
        raise OmnitrackError(
            f"--cuts {text!r} is neither auto, none nor frames of the project",
            "separate frames by commas: --cuts 120,340",
        )
    return sorted({int(word) for word in words})


def check_cuts(cuts: Sequence[int], num_frames: int) -> None:
    """Refuse cuts that are not between two frames of the project.

    Raises:
        OmnitrackError: A cut at or before the first frame, or beyond the last.
    """
    wrong = [cut for cut in cuts if not 0 < cut < num_frames]
    if wrong:
        raise OmnitrackError(
            f"--cuts {wrong[0]}: no shot can begin there, the project's frames are 0 to {num_frames - 1}",
            f"name frames from 1 to {num_frames - 1}, counted in the project from 0",
        )


def cuts_sentence(cuts: Sequence[int]) -> str:
    """Describe the cuts: their number, the frames after them, and what they mean for tracking."""
    named = [str(cut) for cut in cuts[:MOST_NAMED]]
    if len(cuts) > MOST_NAMED:
        named.append(f"{len(cuts) - MOST_NAMED} more")
    listed = " and ".join(filter(None, [", ".join(named[:-1]), named[-1]]))
    if len(cuts) == 1:
        return f"1 cut, before frame {listed}: nothing is tracked across it"
    return f"{len(cuts)} cuts, before frames {listed}: nothing is tracked across them"


def with_cuts(fingerprint: str, cuts: Sequence[int]) -> str:
    """Return the fingerprint of frames with cuts: products of the same frames differ if the cuts differ."""
    return hashlib.sha256(f"{fingerprint} {list(cuts)}".encode()).hexdigest()[:16] if cuts else fingerprint
