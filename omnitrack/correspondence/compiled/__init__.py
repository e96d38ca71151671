"""The hot loops of flow and the filter, compiled: the extra ``fast``. Importing a part needs numba.

Each part has a reference in numpy or torch with the same interface, which is used if numba is not installed or the part
does not agree with it (`omnitrack.compiled_parts`).
"""

from __future__ import annotations


def trouble() -> str:
    """Return why a reference replaces a compiled part although numba is installed; empty if none does."""
    from omnitrack.correspondence.appearance import SIMILARITY
    from omnitrack.correspondence.blank_areas import RECURSIVE
    from omnitrack.correspondence.company import MOVED_TOGETHER
    from omnitrack.correspondence.descriptors.comparing import COMPARING
    from omnitrack.correspondence.flow_steps import FLOW_AT
    from omnitrack.correspondence.local_maps import FITTING
    from omnitrack.correspondence.warped_patches import WEIGHTED_SIMILARITY

    parts = COMPARING, RECURSIVE, SIMILARITY, FITTING, MOVED_TOGETHER, WEIGHTED_SIMILARITY, FLOW_AT
    return next(filter(None, (part.trouble for part in parts)), "")
