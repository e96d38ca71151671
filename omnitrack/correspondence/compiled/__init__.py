"""What flow and the filter do most, compiled: the extra ``fast``. Importing a part needs numba.

Each part stands beside a reference of the same interface in numpy or torch, which is used where numba is not installed
or a part does not agree with it (`omnitrack.compiled_parts`).
"""

from __future__ import annotations


def trouble() -> str:
    """Why a reference does the work of a compiled part though numba is installed; empty where none does."""
    from omnitrack.correspondence.appearance import SIMILARITY
    from omnitrack.correspondence.blank_areas import RECURSIVE
    from omnitrack.correspondence.descriptors.comparing import COMPARING

    return next(filter(None, (part.trouble for part in (COMPARING, RECURSIVE, SIMILARITY))), "")
