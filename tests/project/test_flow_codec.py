"""Flow as integers: an example by hand, the bounds of rounding, and HDF5's own filters as an independent check."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from omnitrack.project.flow_codec import EncodedFlow, decode, encode, pack, unpack


def test_a_flow_by_hand() -> None:
    x = [[1.0, -2.0], [1.5, -2.0], [0.0, 0.0]]
    y = [[0.0, 0.25], [0.0, 0.5], [-1.0, 0.49]]  # 0.49 px = 15.68 steps
    encoded = encode(np.stack([x, y], -1).astype(np.float32))
    assert encoded.steps_per_px == 32
    assert encoded.deltas.tolist() == [[[32, -64], [16, 0], [-48, 64]], [[0, 8], [0, 8], [-32, 0]]]
    assert decode(encoded)[..., 0].tolist() == x
    assert decode(encoded)[2, 1].tolist() == [0.0, 0.5]


def test_rounding_is_at_most_half_a_step_and_happens_once() -> None:
    flow = np.random.default_rng(0).uniform(-900, 900, (31, 17, 2)).astype(np.float32)
    once = decode(encode(flow))
    assert once.shape == flow.shape
    assert once.dtype == np.float32
    assert np.abs(once - flow).max() <= 1 / 64
    np.testing.assert_array_equal(decode(encode(once)), once)


def test_differences_that_leave_the_range_of_integers_wrap_around() -> None:
    flow = np.zeros((3, 1, 2), np.float32)
    flow[:, 0, 0] = [-1000, 1000, -1000]  # a step of 64,000 does not fit 16 bits
    encoded = encode(flow)
    assert encoded.deltas[0, :, 0].tolist() == [-32000, 64000 - 65536, -64000 + 65536]
    np.testing.assert_array_equal(decode(encoded), flow)


@pytest.mark.parametrize(("longest", "steps_per_px"), [(1023, 32), (1025, 16), (2047.9, 16), (3000, 8), (1e7, 2**-9)])
def test_long_displacements_take_coarser_steps_and_are_never_cut(longest: float, steps_per_px: float) -> None:
    flow = np.zeros((2, 2, 2), np.float32)
    flow[1, 0] = (-longest, longest / 3)
    encoded = encode(flow)
    assert encoded.steps_per_px == steps_per_px
    assert np.abs(decode(encoded) - flow).max() <= 0.5 / steps_per_px


@pytest.mark.parametrize("shape", [(2, 5, 7), (2, 1, 1), (2, 64, 3)])
def test_packed_data_are_what_hdf5_packs_and_reads(tmp_path: Path, shape: tuple[int, ...]) -> None:
    deltas = np.random.default_rng(1).integers(-32768, 32768, shape, dtype=np.int16)
    with h5py.File(tmp_path / "both.h5", "w") as file:
        options = {"chunks": shape, "shuffle": True, "compression": "gzip", "compression_opts": 4}
        file.create_dataset("ours", shape, "<i2", **options).id.write_direct_chunk((0, 0, 0), pack(deltas))
        theirs = file.create_dataset("theirs", data=deltas, **options)
        file.flush()
        np.testing.assert_array_equal(file["ours"][()], deltas)
        np.testing.assert_array_equal(unpack(theirs.id.read_direct_chunk((0, 0, 0))[1], shape), deltas)


@pytest.mark.parametrize("damage", [lambda data: data[:-5], lambda data: b"nonsense", lambda data: b""])
def test_damaged_data_are_refused(damage: object) -> None:
    data = pack(np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    with pytest.raises(ValueError):
        unpack(damage(data), (2, 3, 4))  # type: ignore[operator]
    with pytest.raises(ValueError):
        unpack(data, (2, 3, 5))


def test_encoded_flow_of_a_smooth_field_is_small() -> None:
    y, x = np.mgrid[0:480, 0:854].astype(np.float32)
    flow = np.stack([x / 50 + np.sin(y / 40), y / 80], -1)
    assert len(pack(encode(flow).deltas)) < 0.2 * flow.shape[0] * flow.shape[1]
    assert isinstance(encode(flow), EncodedFlow)
