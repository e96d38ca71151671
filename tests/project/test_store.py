"""Reading products/flow.h5: pairs that exist, pairs that do not, and every way in which the file can be wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import h5py
import numpy as np
import pytest
from h5py._objects import phil
from numpy.typing import NDArray

from omnitrack.correspondence import pairs
from omnitrack.correspondence.pairs import AUTO_BY_LENGTH
from omnitrack.correspondence.raster import CoarseGrid, sample
from omnitrack.errors import OmnitrackError
from omnitrack.project.flow_codec import encode
from omnitrack.project.frames_meta import write_meta
from omnitrack.project.project import Project
from omnitrack.project.stamps import make_stamp
from omnitrack.project.store import FlowStore, flow_file, group_name, pair_of, write_flow
from omnitrack.settings import FlowSettings

FLOW_BYTES = 48 * 64 * 2 * 4
CACHED_BYTES = FLOW_BYTES // 2


def field(source: int, target: int) -> NDArray[np.float32]:
    """Return a flow that identifies its pair."""
    flow = np.zeros((48, 64, 2), np.float32)
    flow[..., 0], flow[..., 1] = source, np.arange(64) / 8 + target
    return flow


@pytest.fixture
def stored(project: Project) -> Project:
    """A project with flow of three pairs."""

    def fill(file: h5py.File) -> None:
        for pair in ((0, 1), (1, 0), (0, 2)):
            write_flow(file.create_group(group_name(pair)), encode(field(*pair)))

    parts = flow_file(project).parts({})
    parts.write(0, fill)
    stamp = make_stamp({"frames": project.meta.fingerprint}, {"estimator": "dis"})
    parts.merge(stamp, [])
    return project


def refusal(project: Project) -> OmnitrackError:
    with pytest.raises(OmnitrackError) as caught:
        FlowStore(project)
    assert str(project.root) in caught.value.message
    assert f"omnitrack flow {project.root}" in (caught.value.hint or "")
    return caught.value


def test_what_was_stored_is_read(stored: Project) -> None:
    with FlowStore(stored) as store:
        assert store.size == (64, 48)
        assert store.pairs() == [(0, 1), (0, 2), (1, 0)]
        assert store.has(0, 2)
        assert not store.has(2, 0)
        for pair in store.pairs():
            np.testing.assert_array_equal(store.flow(*pair), field(*pair))
            assert store.flow(*pair).dtype == np.float32
        assert store.flow_stamp == {
            "format": 1,
            "inputs": {"frames": stored.meta.fingerprint},
            "settings": {"estimator": "dis"},
        }
        assert store.hops_stamp is None
    assert 0 < flow_file(stored).bytes() < 3 * FLOW_BYTES


def test_flow_at_pixels_is_the_flow_sampled_there(project: Project) -> None:
    """To the last bit, with steps of both sizes; and so is the estimator's confidence."""
    rng = np.random.default_rng(0)
    sure = rng.random((48, 64)).astype(np.float32)

    def fill(file: h5py.File) -> None:
        write_flow(
            file.create_group(group_name((0, 1))), encode(rng.normal(0, 9, (48, 64, 2)).astype(np.float32)), sure
        )
        write_flow(file.create_group(group_name((1, 0))), encode(rng.normal(0, 900, (48, 64, 2)).astype(np.float32)))

    parts = flow_file(project).parts({})
    parts.write(0, fill)
    parts.merge(make_stamp({"frames": project.meta.fingerprint}, {}), [])
    with FlowStore(project) as store:
        for low, high in ((10, 12), (-5, 70)):
            pixels = rng.uniform(low, high, (40, 2)).astype(np.float32)
            for pair in ((0, 1), (1, 0)):
                np.testing.assert_array_equal(store.flow_at(*pair, pixels), sample(store.flow(*pair), pixels))
            confidence = store.confidence(0, 1)
            assert confidence is not None
            np.testing.assert_array_equal(store.confidence_at(0, 1, pixels), sample(confidence, pixels))
            assert store.confidence_at(1, 0, pixels) is None


def test_writing_to_flow_handed_out_changes_nobody_elses(stored: Project) -> None:
    with FlowStore(stored) as store:
        store.flow(0, 1)[:] = 9
        np.testing.assert_array_equal(store.flow(0, 1), field(0, 1))


def test_a_pair_that_was_not_matched_is_named(stored: Project) -> None:
    with FlowStore(stored) as store, pytest.raises(OmnitrackError) as caught:
        store.flow(2, 0)
    assert "from frame 2 to frame 0" in caught.value.message
    assert f"omnitrack flow {stored.root}" in (caught.value.hint or "")


def test_the_cache_keeps_the_latest_flows_and_no_more_bytes_than_it_may(
    stored: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    read = FlowStore._read
    monkeypatch.setattr(FlowStore, "_read", lambda self, pair: decoded.append(pair) or read(self, pair))
    with FlowStore(stored, cache_bytes=2 * CACHED_BYTES) as store:
        for pair in ((0, 1), (0, 2), (0, 1), (1, 0), (0, 1), (0, 2)):  # the third read makes (0, 1) the most recent
            np.testing.assert_array_equal(store.flow(*pair), field(*pair))
    assert decoded == [(0, 1), (0, 2), (1, 0), (0, 2)]
    decoded.clear()
    with FlowStore(stored, cache_bytes=0) as store:
        for pair in ((0, 1), (0, 1), (0, 2)):  # one flow is always kept
            np.testing.assert_array_equal(store.flow(*pair), field(*pair))
    assert decoded == [(0, 1), (0, 2)]


def test_the_confidence_of_a_pair_is_cached_too_and_counts(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    sure = np.linspace(0, 1, 48 * 64, dtype=np.float32).reshape(48, 64)

    def fill(file: h5py.File) -> None:
        write_flow(file.create_group(group_name((0, 1))), encode(field(0, 1)), sure)
        write_flow(file.create_group(group_name((1, 0))), encode(field(1, 0)))

    parts = flow_file(project).parts({})
    parts.write(0, fill)
    stamp = make_stamp({"frames": project.meta.fingerprint}, {"estimator": "dis"})
    parts.merge(stamp, [])
    read, decoded = FlowStore._read_confidence, []
    monkeypatch.setattr(FlowStore, "_read_confidence", lambda self, pair: decoded.append(pair) or read(self, pair))
    with FlowStore(project, cache_bytes=CACHED_BYTES + 48 * 64) as store:
        for _ in range(2):
            found = store.confidence(0, 1)
            assert found is not None
            np.testing.assert_allclose(found, sure, atol=1 / 255)
            assert store.confidence(1, 0) is None
            np.testing.assert_array_equal(store.flow(0, 1), field(0, 1))
        assert decoded == [(0, 1), (1, 0)]
        store.flow(1, 0)  # evicts what was read first
        store.confidence(0, 1)
    assert decoded == [(0, 1), (1, 0), (0, 1)]


@pytest.mark.parametrize(
    ("chosen", "expected"), [("keyframe", {0: [1], 1: [0], 2: ()}), ("log", {0: (), 1: (), 2: ()})]
)
def test_pairs_picked_by_what_they_show_have_partners_both_ways(
    stored: Project, chosen: str, expected: dict[int, object]
) -> None:
    stamp = make_stamp({"frames": stored.meta.fingerprint}, {"estimator": "dis", "pairs": chosen})
    with h5py.File(stored.product_path("flow"), "r+") as file:
        file.attrs["stamp"] = json.dumps(stamp)
    with FlowStore(stored) as store:
        assert {frame: store.partners(frame) for frame in range(3)} == expected


def test_of_a_clip_that_is_matched_by_length_only_long_shots_have_partners(
    stored: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shots of frames 0 and 1, and of the rest: with a limit of 1 frame both are long, with 2 only the rest."""
    monkeypatch.setattr(Project, "shots", property(lambda _: [range(2), range(2, 8)]))
    stamp = make_stamp({"frames": stored.meta.fingerprint}, {"estimator": "dis", "pairs": AUTO_BY_LENGTH})
    with h5py.File(stored.product_path("flow"), "r+") as file:
        file.attrs["stamp"] = json.dumps(stamp)
    for limit, expected in ((1, [1]), (2, ())):
        monkeypatch.setattr(pairs, "LONG_SHOT", limit)
        with FlowStore(stored) as store:
            assert store.partners(0) == expected


def test_how_much_all_of_it_takes(stored: Project) -> None:
    with FlowStore(stored) as store:
        assert store.decoded_bytes == 3 * (CACHED_BYTES + len(CoarseGrid.of((64, 48)).pixels))


def test_many_readers_and_threads_at_once(stored: Project) -> None:
    stores = [FlowStore(stored, cache_bytes=FLOW_BYTES) for _ in range(5)]
    pairs = stores[0].pairs() * 20
    with ThreadPoolExecutor(8) as pool:
        for store in stores:
            for pair, flow in zip(pairs, pool.map(lambda p, s=store: s.flow(*p), pairs), strict=True):
                np.testing.assert_array_equal(flow, field(*pair))
    for store in stores:
        store.close()


def test_a_reader_goes_on_while_the_file_is_replaced(stored: Project) -> None:
    with FlowStore(stored, cache_bytes=0) as store:
        stamp = make_stamp({"frames": stored.meta.fingerprint}, {"estimator": "other"})
        flow_file(stored).parts({}).merge(stamp, [], keep=True)
        np.testing.assert_array_equal(store.flow(0, 1), field(0, 1))
        assert store.flow_stamp["settings"] == {"estimator": "dis"}
    with FlowStore(stored) as store:
        assert store.flow_stamp == stamp
        np.testing.assert_array_equal(store.flow(0, 1), field(0, 1))


# --- files that are wrong ---------------------------------------------------------------------------------------
def test_no_flow_yet(project: Project) -> None:
    assert "there is no flow yet" in refusal(project).message


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.99])
def test_a_file_that_was_cut_short(stored: Project, share: float) -> None:
    path = stored.product_path("flow")
    os.truncate(path, int(path.stat().st_size * share))
    assert "cannot be read" in refusal(stored).message


def test_a_file_that_is_not_hdf5(stored: Project) -> None:
    stored.product_path("flow").write_bytes(b"\x89PNG not really" * 100)
    assert "cannot be read" in refusal(stored).message


def test_an_hdf5_file_of_someone_else(stored: Project) -> None:
    with h5py.File(stored.product_path("flow"), "w") as file:
        file["flow"] = [1, 2, 3]
    assert "not a product of omnitrack" in refusal(stored).message


@pytest.mark.parametrize("version", [0, 1, "new"])
def test_another_format_version(stored: Project, version: object) -> None:
    with h5py.File(stored.product_path("flow"), "r+") as file:
        file.attrs["format"] = version
    error = refusal(stored)
    assert f"has format {version}, this omnitrack reads format 2" in error.message
    assert "update omnitrack" in (error.hint or "")


def drop(name: str) -> Callable[[h5py.File], None]:
    def spoil(file: h5py.File) -> None:
        del file.attrs[name]

    return spoil


def put(name: str, value: object) -> Callable[[h5py.File], None]:
    def spoil(file: h5py.File) -> None:
        file.attrs[name] = value

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        drop("size"),
        put("size", [1, 2, 3]),
        put("size", "large"),
        put("stamp", "{not json"),
        put("stamp", "[1]"),
        put("stamp", '{"inputs": 3}'),
        drop("stamp"),
        drop("product"),
        put("product", "filtered"),
        put("members", 7),
        lambda file: file.create_group("by_hand").attrs.create("complete", True),
    ],
)
def test_a_header_that_makes_no_sense(stored: Project, spoil: Callable[[h5py.File], None]) -> None:
    with h5py.File(stored.product_path("flow"), "r+") as file:
        spoil(file)
    assert "cannot be read" in refusal(stored).message


def test_flow_of_other_frames(stored: Project) -> None:
    write_meta(stored.frames_dir, type(stored.meta)(**{**vars(stored.meta), "fingerprint": "other"}))
    changed = Project(stored.root)
    assert "computed from other frames" in refusal(changed).message
    with FlowStore(changed, any_frames=True) as store:
        assert store.has(0, 1)


def test_flow_with_pairs_that_are_not_complete_is_damaged(stored: Project) -> None:
    with h5py.File(stored.product_path("flow"), "r+") as file:
        del file["000000_000001"].attrs["complete"]
        file["000001_000000"].attrs["complete"] = False
    assert "2 of 3 groups are not complete" in refusal(stored).message


@pytest.mark.parametrize("damage", ["bytes", "shape", "lost", "scale"])
def test_damaged_data_of_a_pair_are_named_and_the_others_are_read(stored: Project, damage: str) -> None:
    with h5py.File(stored.product_path("flow"), "r+") as file:
        group = file["000000_000001"]
        if damage == "bytes":
            group["deltas"].id.write_direct_chunk((0, 0, 0), b"\x00" * 40)
        elif damage == "scale":
            del group.attrs["steps_per_px"]
        else:
            del group["deltas"]
            if damage == "shape":
                group["deltas"] = np.zeros((2, 3), np.int16)
    with FlowStore(stored) as store:
        with pytest.raises(OmnitrackError) as caught:
            store.flow(0, 1)
        np.testing.assert_array_equal(store.flow(0, 2), field(0, 2))
    assert "from frame 0 to frame 1" in caught.value.message
    assert str(stored.product_path("flow")) in caught.value.message
    assert f"omnitrack flow {stored.root}" in (caught.value.hint or "")


def test_group_names_sort_like_pairs_and_read_back() -> None:
    pairs = [(2, 10), (10, 2), (2, 9), (123456, 1)]
    assert [pair_of(group_name(pair)) for pair in pairs] == pairs
    assert sorted(map(group_name, pairs)) == list(map(group_name, sorted(pairs)))


def test_stamps_are_equal_where_the_product_is() -> None:
    settings = FlowSettings()
    stamp = make_stamp({"frames": "abc"}, settings)
    assert json.loads(json.dumps(stamp)) == stamp
    assert stamp == make_stamp({"frames": "abc"}, FlowSettings())
    assert stamp != make_stamp({"frames": "abd"}, settings)
    assert stamp != make_stamp({"frames": "abc"}, FlowSettings(pairs="log"))
    assert make_stamp({}, {"steps": 3})["settings"] == {"steps": 3}


def test_an_error_while_reading_keeps_no_lock(stored: Project) -> None:
    with h5py.File(stored.product_path("flow"), "a") as file:
        file.create_group("not a pair").attrs["complete"] = True
        file.create_group("zzz").attrs["complete"] = True
        file.attrs["members"] = len(file)
    with pytest.raises(OmnitrackError) as caught:
        FlowStore(stored)
    got: list[bool] = []
    reader = Thread(target=lambda: got.append(phil.acquire(blocking=False)) or (got[0] and phil.release()))
    reader.start()
    reader.join()
    assert got == [True], caught.value.message  # the error is alive, the lock is free
