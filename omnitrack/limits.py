"""The memory limit for files from outside: checked before allocation, and raised by one environment variable."""

from __future__ import annotations

import math
import os

from omnitrack.errors import OmnitrackError

LIMIT_VARIABLE = "OMNITRACK_LIMIT_GIB"
DEFAULT_GIB = 1.0  # an image of 134 megapixels in 16-bit RGBA; dense tracks of 640 x 480 over 200 frames
EXPANSION = 8  # of a large file: tracks, networks and TAP-Vid videos take less than this times their size
_GIB = 2**30


def content_limit(stored_bytes: int = 0) -> int:
    """Return the number of bytes that the content of a file may take in memory.

    It is ``$OMNITRACK_LIMIT_GIB`` (1 if unset), or eight times the file's size on disk if that is more.

    Args:
        stored_bytes: Size of the file.

    Raises:
        OmnitrackError: The variable is not a positive number.
    """
    text = os.environ.get(LIMIT_VARIABLE) or str(DEFAULT_GIB)
    try:
        gib = float(text)
    except ValueError:
        gib = math.nan
    if not 0 < gib < math.inf:
        raise OmnitrackError(f"{LIMIT_VARIABLE}={text} is no number of GiB above zero", f"unset it: {DEFAULT_GIB:g}")
    return max(int(gib * _GIB), EXPANSION * stored_bytes)


def check_content(what: str, needed_bytes: int, stored_bytes: int = 0) -> None:
    """Refuse content that would take more memory than `content_limit` allows.

    Args:
        what: Name of the content, as the subject of a sentence.
        needed_bytes: Its size in memory.
        stored_bytes: Its size on disk.

    Raises:
        OmnitrackError: The content is too large.
    """
    limit = content_limit(stored_bytes)
    if needed_bytes > limit:
        stored = f", from {stored_bytes / 1e6:.3g} MB on disk" if stored_bytes else ""
        raise OmnitrackError(
            f"{what} would take {needed_bytes / _GIB:.3g} GiB of memory{stored}; the limit is {limit / _GIB:.3g} GiB",
            f"if it is meant to be so large: export {LIMIT_VARIABLE}={math.ceil(needed_bytes / _GIB)}",
        )
