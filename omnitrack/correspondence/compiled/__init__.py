"""The hot loops of flow and the filter, compiled: the extra ``fast``. Importing a part needs numba.

Each part has a reference in numpy or torch with the same interface, which is used if numba is not installed or the part
does not agree with it (`omnitrack.compiled_parts`).
"""

from __future__ import annotations


def trouble() -> str:
    """Return why a reference replaces a compiled part although numba is installed; empty if none does."""
    from omnitrack.correspondence.appearance import SIMILARITY
    from omnitrack.correspondence.blank_areas import RECURSIVE
    from omnitrack.correspondence.descriptors.comparing import COMPARING

    return next(filter(None, (part.trouble for part in (COMPARING, RECURSIVE, SIMILARITY))), "")
