"""Products of version 0.1: all in one ``correspondences.h5``, each a group with its stamp beside it."""

from __future__ import annotations

import numpy as np

from omnitrack.hdf5_file import open_hdf5
from omnitrack.project.depth_store import depth_file
from omnitrack.project.feature_store import THRESHOLD, features_file
from omnitrack.project.groups import UNREADABLE, complete_groups, copy_complete, frame_name
from omnitrack.project.match_store import matches_file
from omnitrack.project.project import Project
from omnitrack.project.store import flow_file

FORMAT = 1
EVERY_FRAME = {"features", "depth"}  # products with one group per frame


def take_over_old_products(project: Project) -> list[str]:
    """Move flow, features, matches and depth maps of version 0.1 to their own files, then remove the old file.

    Filtered correspondences are not moved: version 0.1 did not judge hops. A product with its own file stays.

    Returns:
        Names of the products that were moved; none if there is no old file, or it cannot be read.

    Raises:
        OmnitrackError: The files cannot be written; the old one stays.
    """
    path, moved = project.old_correspondences_path, []
    frames = set(map(frame_name, range(project.num_frames)))
    if not path.is_file():
        return []
    groups = {"flow": flow_file(project), "features": features_file(project)}
    groups |= {"matches": matches_file(project), "depth": depth_file(project)}
    try:
        with open_hdf5(path) as old:
            if old.attrs.get("format") != FORMAT:
                return []
            for name, product in groups.items():
                stamp = old.attrs.get("match_stamp" if name == "matches" else f"{name}_stamp")
                if name not in old or stamp is None or product.path.exists():
                    continue
                if name in EVERY_FRAME and not frames <= set(complete_groups(old[name])):
                    continue  # left by an interrupted run
                with product.replaced() as new:
                    copy_complete(old[name], new)
                    new.attrs["stamp"], new.attrs["seconds"] = np.bytes_(str(stamp)), 0.0
                    if name == "features":
                        new.attrs[THRESHOLD] = float(old.attrs["features_threshold"])
                moved.append(name)
    except UNREADABLE:
        return moved  # damaged: the products in it are made again
    path.unlink()
    return moved
