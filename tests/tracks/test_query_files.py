"""Query points in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from omnitrack.errors import OmnitrackError
from omnitrack.tracks.query_files import read_points

ROWS = [[0.0, 1.5, 2.0], [3.0, 4.0, 5.25]]


@pytest.mark.parametrize(
    "text",
    [
        "t,x,y\n0,1.5,2\n3,4,5.25\n",
        "0,1.5,2\n3,4,5.25",
        "y,t,x\n2,0,1.5\n5.25,3,4\n",
        "\ufeffT, X, Y\r\n0, 1.5, 2\r\n3, 4, 5.25\r\n",
        "# picked by hand\n\nname,x,y,t\nhead,1.5,2,0\n\nhand,4,5.25,3\n",
    ],
)
def test_csv(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.csv").write_bytes(text.encode())
    rows, _ = read_points(tmp_path / "p.csv")
    assert rows.tolist() == ROWS


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_npy(tmp_path: Path, dtype: type) -> None:
    np.save(tmp_path / "p.npy", np.array(ROWS, dtype))
    rows, place = read_points(tmp_path / "p.npy")
    assert rows.dtype == np.float64 and rows.tolist() == ROWS
    assert place(1) == f"{tmp_path / 'p.npy'} row 1"


@pytest.mark.parametrize("arrays", [{"queries": 0}, {"points": 0}, {"points": 1, "queries": 0, "tracks": 1}])
def test_npz(tmp_path: Path, arrays: dict[str, int]) -> None:
    np.savez(tmp_path / "p.npz", **{key: np.array(ROWS) + offset for key, offset in arrays.items()})
    assert read_points(tmp_path / "p.npz")[0].tolist() == ROWS


def test_place_is_the_line_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("t,x,y\n\n0,1,2\n# skipped\n3,4,5\n")
    _, place = read_points(tmp_path / "p.csv")
    assert [place(0), place(1)] == [f"{tmp_path / 'p.csv'} line 3", f"{tmp_path / 'p.csv'} line 5"]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (b"", "holds no points"),
        (b"t,x,y\n", "holds no points"),
        (b"t,x\n1,2\n", "line 1: neither a header with t, x and y nor a row"),
        (b"a,b,c\n1,2,3\n", "line 1: neither"),
        (b"1,2\n", "line 1: neither"),
        (b"1,2,3,4\n", "line 1: neither"),
        (b"1;2;3\n", "line 1: neither"),
        (b"t,x,y\n1,2,3\n1,two,3\n", "line 3 '1,two,3': could not convert"),
        (b"1,2,3\n\n1,2\n", "line 3 '1,2': too few columns"),
        (b"t,x,y\n1,,3\n", "line 2"),
        (b"\xff\xfe\x00t", "not a text file"),
    ],
)
def test_bad_csv(tmp_path: Path, text: bytes, cause: str) -> None:
    (tmp_path / "p.csv").write_bytes(text)
    with pytest.raises(OmnitrackError, match=cause) as caught:
        read_points(tmp_path / "p.csv")
    assert str(tmp_path / "p.csv") in caught.value.message and caught.value.hint


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("data", [b"", b"garbage", b"\x93NUMPY\x01\x00", b"PK\x03\x04half", b"\x80\x04N."])
def test_damaged_arrays(tmp_path: Path, suffix: str, data: bytes) -> None:
    (tmp_path / f"p{suffix}").write_bytes(data)
    with pytest.raises(OmnitrackError, match=f"not a readable {suffix} file"):
        read_points(tmp_path / f"p{suffix}")


@pytest.mark.parametrize(
    ("array", "cause"),
    [
        (np.zeros((2, 2)), r"shape \(2, 2\)"),
        (np.zeros(3), r"shape \(3,\)"),
        (np.zeros((0, 3)), "holds no points"),
        (np.array([["0", "1", "2"]]), "<U1 values"),
        (np.zeros((1, 3), complex), "complex128 values"),
    ],
)
def test_arrays_of_another_kind(tmp_path: Path, array: np.ndarray, cause: str) -> None:
    np.save(tmp_path / "p.npy", array)
    with pytest.raises(OmnitrackError, match=cause):
        read_points(tmp_path / "p.npy")


def test_pickles_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.array([[{}, 1, 2]], object), allow_pickle=True)
    with pytest.raises(OmnitrackError, match="holds objects"):
        read_points(tmp_path / "p.npy")


def test_npz_of_something_else(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", weights=np.zeros(3))
    with pytest.raises(OmnitrackError, match="no array queries or points, only weights"):
        read_points(tmp_path / "p.npz")


def test_missing_and_unknown(tmp_path: Path) -> None:
    with pytest.raises(OmnitrackError, match="there is no file of points at"):
        read_points(tmp_path / "p.csv")
    with pytest.raises(OmnitrackError, match="does not end in a format of points") as caught:
        read_points(tmp_path / "p.txt")
    assert caught.value.hint == "one of .csv, .npy, .npz"
