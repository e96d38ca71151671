"""Pickles of arrays are read, whatever program wrote them; a pickle that needs anything else runs nothing."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnitrack.errors import OmnitrackError
from omnitrack.evaluation.plain_pickle import load_plain_pickle

SAMPLE = {
    "grey": np.arange(6, dtype=np.uint8).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.float64).reshape(3, 2)),
    "view": np.arange(24, dtype=np.float32).reshape(4, 6)[::2, 1::2].T,
    "transposed": np.arange(24, dtype=np.int16).reshape(2, 3, 4).transpose(1, 2, 0),
    "big_endian": np.array([1.5, -2.0], ">f4"),
    "bool": np.array([[True, False]]),
    "empty": np.zeros((0, 5, 2), np.float32),
    "text": np.array(["ab", "c"]),
    "scalar": np.float32(0.25),
    "bytes": b"\xff\xd8\x00",
    "nested": [("a", 1), {"b": None}, b""],
}


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_arrays_and_containers_come_back(tmp_path: Path, protocol: int, core: bytes) -> None:
    data = pickle.dumps(SAMPLE, protocol)
    if protocol < 4:  # later protocols store the length of the name, so it cannot be replaced
        data = data.replace(b"numpy._core", b"numpy.core").replace(b"numpy.core", core)
    loaded = load_plain_pickle(write(tmp_path / "a.pkl", data))
    assert loaded.keys() == SAMPLE.keys()
    for key, value in SAMPLE.items():
        if isinstance(value, np.ndarray):
            assert loaded[key].shape == value.shape
            assert loaded[key].dtype == value.dtype
            np.testing.assert_array_equal(loaded[key], value)
    assert loaded["scalar"] == 0.25
    assert loaded["bytes"] == b"\xff\xd8\x00"
    assert loaded["nested"] == [["a", 1], {"b": None}, b""]


def test_an_object_array_is_a_list(tmp_path: Path) -> None:
    frames = np.empty(2, object)
    frames[:] = [b"one", np.array([1, 2])]
    loaded = load_plain_pickle(write(tmp_path / "a.pkl", pickle.dumps(OrderedDict(video=frames))))
    assert isinstance(loaded["video"], list)
    assert loaded["video"][0] == b"one"
    np.testing.assert_array_equal(loaded["video"][1], [1, 2])


def test_python_2_pickle(tmp_path: Path) -> None:
    # {'v': numpy.array([[0, 255], [7, 128]], numpy.uint8), 'j': '\xff\xd8'} as Python 2.7 writes it with protocol 2.
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02K\x02\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x04\x00\xff\x07\x80tb"
    )
    loaded = load_plain_pickle(write(tmp_path / "a.pkl", b"\x80\x02}(U\x01v" + array + b"U\x01jU\x02\xff\xd8u."))
    np.testing.assert_array_equal(loaded["v"], np.array([[0, 255], [7, 128]], np.uint8))
    assert loaded["j"].encode("latin1") == b"\xff\xd8"


class _Runs:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_a_program_is_refused_by_name_and_not_run(tmp_path: Path, protocol: int) -> None:
    path = write(tmp_path / "a.pkl", pickle.dumps({"v": _Runs(os.mkdir, str(tmp_path / "made"))}, protocol))
    with pytest.raises(OmnitrackError, match=r"a\.pkl names (posix|nt)\.mkdir, which is refused"):
        load_plain_pickle(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (_Runs(eval, "1"), r"(builtins|__builtin__)\.eval"),
        (_Runs(getattr, "a", "b"), r"(builtins|__builtin__)\.getattr"),
        (_Runs(np.load, "a"), r"numpy.*\.load"),
        (Path("a"), "pathlib"),
    ],
)
def test_other_globals_are_refused_by_name(tmp_path: Path, call: Any, name: str) -> None:
    with pytest.raises(OmnitrackError, match=f"names {name}"):
        load_plain_pickle(write(tmp_path / "a.pkl", pickle.dumps(call)))


@pytest.mark.parametrize(
    "data",
    [
        b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13tR.",  # a codec other than latin1
        b"cnumpy\nndarray\n(K\x01K\x02tR.",  # an array made directly by its type
        # Eight bytes as a pointer to an object.
        b"cnumpy.core.numeric\n_frombuffer\n(U\x08aaaaaaaacnumpy\ndtype\n(U\x02O8tRK\x01\x85U\x01CtR.",
        b"\x80\x02U\x01aQ.",  # a persistent id
    ],
)
def test_tricks_are_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(OmnitrackError, match=r"a\.pkl"):
        load_plain_pickle(write(tmp_path / "a.pkl", data))


def test_record_arrays_are_refused(tmp_path: Path) -> None:
    records = np.zeros(2, [("x", "f4"), ("y", "f4")])
    with pytest.raises(OmnitrackError, match=r"holds an array of type V8"):
        load_plain_pickle(write(tmp_path / "a.pkl", pickle.dumps(records)))


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_every_truncation_is_a_clear_error(tmp_path: Path, protocol: int) -> None:
    data = pickle.dumps({"points": np.ones((2, 3), np.float32), "video": [b"abc"]}, protocol)
    for length in range(len(data)):
        with pytest.raises(OmnitrackError, match=r"a\.pkl is damaged or not a pickle"):
            load_plain_pickle(write(tmp_path / "a.pkl", data[:length]))


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(OmnitrackError, match=r"there is no file .*none\.pkl"):
        load_plain_pickle(tmp_path / "none.pkl")
    with pytest.raises(OmnitrackError, match="damaged or not a pickle"):
        load_plain_pickle(write(tmp_path / "a.pkl", b"<html>404</html>"))


def test_an_array_that_contains_itself_is_an_error(tmp_path: Path) -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(OmnitrackError, match="damaged"):
        load_plain_pickle(write(tmp_path / "a.pkl", pickle.dumps(loop)))
