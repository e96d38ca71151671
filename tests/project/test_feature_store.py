"""The features in products/features.h5: a round trip, and every way in which the file can be wrong."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.correspondence.features.contract import unit_length
from omnitrack.errors import OmnitrackError
from omnitrack.project.feature_store import (
    FeatureStore,
    features_file,
    write_features,
)
from omnitrack.project.flow_codec import encode
from omnitrack.project.frames_meta import write_meta
from omnitrack.project.project import Project
from omnitrack.project.stamps import make_stamp
from omnitrack.project.store import FlowStore, flow_file, group_name, write_flow

GRID, CHANNELS = (6, 8), 5


def values(frame: int) -> NDArray[np.float32]:
    return unit_length(np.random.default_rng(frame).standard_normal((*GRID, CHANNELS)).astype(np.float32))


def store_features(project: Project, frames: range) -> None:
    stamp = make_stamp({"frames": project.meta.fingerprint, "weights": "w"}, {"extractor": "x"})
    parts = features_file(project).parts(stamp)
    for t in frames:
        parts.write(t, partial(write_features, frame=t, features=values(t)))
    parts.merge(stamp, [])


@pytest.fixture
def stored(project: Project) -> Project:
    """A project with features of all its frames and nothing else."""
    store_features(project, range(project.num_frames))
    return project


def refusal(project: Project) -> OmnitrackError:
    with pytest.raises(OmnitrackError) as caught:
        FeatureStore(project)
    assert f"omnitrack filter {project.root}" in (caught.value.hint or "")
    return caught.value


def test_what_was_stored_is_read(stored: Project) -> None:
    with FeatureStore(stored) as store:
        assert (store.grid, store.channels, store.size) == (GRID, CHANNELS, (64, 48))
        assert store.stamp["inputs"] == {"frames": stored.meta.fingerprint, "weights": "w"}
        for t in (0, 7, 3, 0):
            found = store.features(t)
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, values(t), atol=2**-11)  # float16 has 11 bits
    assert features_file(stored).bytes() > 8 * 6 * 8 * 5 * 2
    with h5py.File(stored.product_path("features")) as file:
        assert file["000003/values"].dtype == np.float16
        assert file["000003/values"].chunks == (*GRID, CHANNELS)


def test_the_cache_is_bounded(stored: Project) -> None:
    one = 6 * 8 * 5 * 4
    with FeatureStore(stored, cache_bytes=2 * one) as store:
        first = store.features(0)
        assert store.features(0) is first
        store.features(1)
        store.features(0)  # now used more recently than 1
        store.features(2)
        assert store.features(0) is first
        store.features(3)
        store.features(4)
        again = store.features(0)
        assert again is not first
        np.testing.assert_array_equal(again, first)


def test_many_threads_read_the_same(stored: Project) -> None:
    with FeatureStore(stored, cache_bytes=1) as store, ThreadPoolExecutor(8) as pool:
        frames = [t % 8 for t in range(200)]
        for t, found in zip(frames, pool.map(store.features, frames), strict=True):
            np.testing.assert_allclose(found, values(t), atol=2**-11)


def test_flow_and_features_keep_each_other(stored: Project) -> None:
    with pytest.raises(OmnitrackError, match="there is no flow yet"):
        FlowStore(stored)
    flow = np.zeros((48, 64, 2), np.float32)
    parts = flow_file(stored).parts({})
    parts.write(0, lambda file: write_flow(file.create_group(group_name((0, 1))), encode(flow)))
    parts.merge(make_stamp({"frames": stored.meta.fingerprint}, {}), [])
    store_features(stored, range(8))
    with FlowStore(stored) as flows, FeatureStore(stored) as store:
        assert flows.pairs() == [(0, 1)]
        assert store.channels == CHANNELS


def test_no_features(project: Project) -> None:
    assert "has no features" in refusal(project).message
    assert features_file(project).stamp() is None
    assert features_file(project).bytes() == 0


def test_features_of_other_frames(stored: Project) -> None:
    write_meta(stored.frames_dir, type(stored.meta)(**{**vars(stored.meta), "fingerprint": "another"}))
    assert "other frames" in refusal(Project(stored.root)).message


def test_a_frame_without_features(project: Project) -> None:
    store_features(project, range(5))
    assert "frame 5 has no features" in refusal(project).message


def test_a_damaged_frame_is_named(stored: Project) -> None:
    with h5py.File(stored.product_path("features"), "r+") as file:
        del file["000004/values"]
    with FeatureStore(stored) as store:
        store.features(3)
        with pytest.raises(OmnitrackError, match="features of frame 4") as caught:
            store.features(4)
    assert f"delete that file, then compute it again: omnitrack filter {stored.root}" in (caught.value.hint or "")


def test_a_file_that_is_cut_short_has_no_features(stored: Project) -> None:
    content = stored.product_path("features").read_bytes()
    stored.product_path("features").write_bytes(content[: len(content) // 2])
    assert features_file(stored).stamp() is None
    assert "has no features" in refusal(stored).message
