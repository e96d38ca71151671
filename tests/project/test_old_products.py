"""A project of version 0.1: how all its products in one file are converted."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from omnitrack.project.depth_store import read_depth, write_depth
from omnitrack.project.feature_store import FeatureStore, write_features
from omnitrack.project.flow_codec import encode
from omnitrack.project.match_store import read_matches, write_matches
from omnitrack.project.old_products import take_over_old_products
from omnitrack.project.project import Project
from omnitrack.project.stamps import make_stamp
from omnitrack.project.store import FlowStore, flow_file, group_name, write_flow

FLOW = np.full((48, 64, 2), 1.5, np.float32)
FEATURES = np.eye(4, dtype=np.float32)[None].repeat(3, 0)
MAP = np.arange(12, dtype=np.float32).reshape(3, 4)
MATCHES = np.array([[0, 1, 2, 7, 3, 4, 0.9]], np.float32)


@pytest.fixture
def old(project: Project) -> Project:
    """The project as version 0.1 left it."""
    stamp = json.dumps(make_stamp({"frames": project.meta.fingerprint}, {"pairs": "log"}))
    with h5py.File(project.old_correspondences_path, "w") as file:
        file.attrs["format"] = 1
        for name in ("flow", "filter", "features", "match", "depth"):
            file.attrs[f"{name}_stamp"] = stamp
        file.attrs["features_threshold"] = "0.6"
        write_flow(file.create_group(f"flow/{group_name((0, 1))}"), encode(FLOW))
        file.create_group("filtered/000000")
        for frame in range(project.num_frames):
            write_features(file.require_group("features"), frame, FEATURES)
            write_depth(file.require_group("depth"), frame, MAP, "inverse")
        write_matches(file.create_group("matches"), 0, MATCHES)
        for top in file.values():
            for group in top.values():
                group.attrs["complete"] = True
    return project


def test_each_product_moves_into_a_file_of_its_own(old: Project) -> None:
    assert take_over_old_products(old) == ["flow", "features", "matches", "depth"]
    with FlowStore(old) as flows, FeatureStore(old) as features:
        np.testing.assert_array_equal(flows.flow(0, 1), FLOW)
        assert flows.flow_stamp["settings"] == {"pairs": "log"}
        np.testing.assert_array_equal(features.features(7), FEATURES)
        assert features.threshold == 0.6
    maps, kind = read_depth(old)
    np.testing.assert_array_equal(maps[3], MAP)
    assert kind == "inverse"
    np.testing.assert_array_equal(read_matches(old), MATCHES)
    assert sorted(path.name for path in old.products_dir.iterdir()) == [
        "depth.h5",
        "features.h5",
        "flow.h5",
        "matches.h5",
    ]
    assert not old.old_correspondences_path.exists()
    assert take_over_old_products(old) == []


def test_what_is_there_already_stays(old: Project) -> None:
    flow_file(old).parts({}).merge({"n": 1}, [])
    assert "flow" not in take_over_old_products(old)
    assert flow_file(old).stamp() == {"n": 1}


@pytest.mark.parametrize("content", [b"", b"not HDF5"])
def test_a_damaged_file_is_left_alone(project: Project, content: bytes) -> None:
    project.old_correspondences_path.write_bytes(content)
    assert take_over_old_products(project) == []
    assert project.old_correspondences_path.read_bytes() == content
